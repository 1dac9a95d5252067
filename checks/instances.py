"""EC2 instances: the types that one could be instead, and what they would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pytest_finops.fixtures.ec2 import Instance, InstanceType
from pytest_finops.fixtures.generations import successors
from pytest_finops.fixtures.sizes import parts, smaller_size

from pytest_finops import PriceLine, Rule

from . import money, rightsizing
from .rightsizing import Usage

#: A successor may have a little less memory: r4.large has 15.25 GiB, i3.2xlarge 61, c3.large 3.75.
MEMORY_TOLERANCE = Decimal("0.95")


@dataclass(frozen=True, slots=True)
class Market:
    """What the region and zone of one instance offer in its place, and at which price."""

    instance: Instance
    types: Mapping[str, list[InstanceType]]
    zones: Mapping[str, list[Any]]
    prices: Any

    @classmethod
    def of(cls, instance: Instance, ec2_types: Any, ec2_type_offerings: Any, prices: Any) -> Market:
        """Return the market of ``instance`` out of the inventories of its own account and region."""
        return cls(
            instance,
            ec2_types.at(instance.target).by("id"),
            ec2_type_offerings.at(instance.target).by("id"),
            prices,
        )

    def type_of(self, name: str) -> InstanceType | None:
        """Return the type ``name``, or None if the region has none of this name."""
        found = self.types.get(name)
        return found[0] if found else None

    @property
    def now(self) -> InstanceType | None:
        """The instance's own type."""
        return self.type_of(self.instance.instance_type)

    def is_offered(self, name: str) -> bool:
        """Return whether the instance's zone offers the type ``name``."""
        zone = self.instance.availability_zone
        return any(name in page.instance_types for page in self.zones.get(zone, ()))

    def line(self, name: str, hours: Decimal = rightsizing.MONTH) -> PriceLine:
        """Return what the instance would cost a month, were it of type ``name``, with its operation and tenancy."""
        instance = self.instance
        return self.prices.line(
            "ec2.instance",
            instance,
            hours,
            instance_type=name,
            operation=instance.usage_operation,
            tenancy=instance.tenancy,
            component=instance.component,
            note=name,
        )

    def smaller(self) -> InstanceType | None:
        """Return the next smaller size of the same family that the zone offers."""
        family = self.instance.family
        sizes = [parts(name)[1] for name in self.types if parts(name)[0] == family and self.is_offered(name)]
        size = smaller_size(self.instance.size, sizes)
        return None if size is None else self.type_of(f"{family}.{size}")

    def successors(self) -> list[InstanceType]:
        """Return the same size of each succeeding family, where the zone offers it and it is not weaker."""
        now = self.now
        names = [f"{family}.{self.instance.size}" for family in successors(self.instance.family)]
        offered = [found for name in names if self.is_offered(name) and (found := self.type_of(name))]
        return [found for found in offered if now is None or _holds(found, now)]

    def cheaper_successor(self, hours: Decimal = rightsizing.MONTH) -> tuple[InstanceType | None, str]:
        """Return the first successor that costs less, and else why that is not known (empty if none does)."""
        unknown = ""
        current = self.line(self.instance.instance_type, hours)
        for successor in self.successors():
            target = self.line(successor.id, hours)
            saved = money.saving([current], [target])
            if saved is not None and saved > 0:
                return successor, ""
            unknown = unknown or money.missing([current, target])
        return None, unknown


def _holds(successor: InstanceType, now: InstanceType) -> bool:
    enough_memory: bool = successor.memory_mib >= now.memory_mib * MEMORY_TOLERANCE
    return enough_memory and bool(successor.vcpus >= now.vcpus)


def unjudged(instance: Instance, ec2_cpu: Any, rule: Rule) -> str:
    """Return why the CPU of ``instance`` cannot be judged, or an empty text."""
    if not rightsizing.meets(rule, "running_days", instance.running_days):
        return f"too young: {rightsizing.days_text(instance.running_days)}"
    fault: str | None = ec2_cpu.fault(instance)
    if fault:
        return fault
    average, maximum = ec2_cpu.series(instance, "Average"), ec2_cpu.series(instance, "Maximum")
    if average is None or maximum is None:
        return "no datapoints"
    coverage = 100 * min(average.coverage, maximum.coverage)
    if not rightsizing.meets(rule, "cpu_coverage", coverage):
        return f"too few datapoints: {coverage:.1f}%"
    return ""


def holds_on(rule: Rule, instance: Instance, usage: Usage, now: InstanceType, target: InstanceType) -> bool:
    """Return whether ``rule`` holds with ``target`` in the place of the instance's type, and it can sustain the mean."""
    p95 = rightsizing.projected(usage.p95_maximum, now.vcpus, target.vcpus)
    return rule.holds(
        instance,
        cpu_average=usage.mean,
        cpu_coverage=usage.coverage,
        target_cpu_p95=p95,
    ) and rightsizing.sustains(usage.mean, now.vcpus, target.id, target.vcpus)


def resize(market: Market, usage: Usage, now: InstanceType, target: InstanceType) -> dict[str, Any]:
    """Return the words and money of a finding that proposes ``target``, as arguments of ``findings.report``."""
    p95 = rightsizing.projected(usage.p95_maximum, now.vcpus, target.vcpus)
    return {
        "current": f"{usage.mean:.1f}% CPU avg",
        "current_lines": (market.line(now.id, usage.hours),),
        "target_lines": (market.line(target.id, usage.hours),),
        "confidence": rightsizing.confidence(usage.p95_maximum, None),
        "evidence": {
            **configurations(now, target),
            **usage.evidence,
            "target_cpu_p95": round(p95, 2),
            "memory": "not measured",
            "operation": market.instance.usage_operation,
        },
        "recommendation": (
            f"Resize {now.id} to {target.id} ({_words(target)}): the p95 of its hourly CPU maxima would be "
            f"{p95:.0f}%. Check its memory first, which is not measured{_losses(now, target)}."
        ),
    }


def upgrade(market: Market, now: InstanceType, target: InstanceType) -> dict[str, Any]:
    """Return the words and money of a finding that proposes the successor ``target``."""
    return {
        "current": now.id,
        "current_lines": (market.line(now.id),),
        "target_lines": (market.line(target.id),),
        "confidence": "high",
        "evidence": {
            **configurations(now, target),
            "zone": market.instance.availability_zone,
            "operation": market.instance.usage_operation,
            "hypervisor_change": hypervisor_changes(now, target),
        },
        "recommendation": f"Change {now.id} to {target.id} ({_words(target)}){_losses(now, target)}.",
    }


def hypervisor_changes(now: InstanceType, target: InstanceType) -> bool:
    """Return whether the move is from Xen to Nitro, which needs ENA and NVMe drivers."""
    return bool(now.hypervisor and target.hypervisor and now.hypervisor != target.hypervisor)


def configurations(now: InstanceType, target: InstanceType) -> dict[str, Any]:
    """Return both configurations, for the evidence of a finding."""
    return {
        "current_type": now.id,
        "current_vcpus": now.vcpus,
        "current_memory_mib": now.memory_mib,
        "target_type": target.id,
        "target_vcpus": target.vcpus,
        "target_memory_mib": target.memory_mib,
    }


def _words(found: InstanceType) -> str:
    memory = Decimal(found.memory_mib) / 1024
    return f"{found.vcpus} vCPU, {memory.normalize():f} GiB"


def _losses(now: InstanceType, target: InstanceType) -> str:
    text = ""
    if now.instance_storage_gb > target.instance_storage_gb:
        text += f"; local disks shrink from {now.instance_storage_gb} to {target.instance_storage_gb} GB"
    if hypervisor_changes(now, target):
        text += "; ENA and NVMe drivers must be in place, since it moves from Xen to Nitro"
    return text


def propose(market: Market, now: InstanceType, usage: Usage, findings: Any, rule: Rule) -> None:
    """Report what an instance with this CPU could be: one size down, else a cheaper newer generation, else a note."""
    instance = market.instance
    smaller = market.smaller()
    if smaller is not None:
        if holds_on(rule, instance, usage, now, smaller):
            proposal = resize(market, usage, now, smaller)
            saved = money.saving(proposal["current_lines"], proposal["target_lines"])
            if saved is None or saved > 0:
                findings.report(instance, **proposal)
        return
    if not holds_on(rule, instance, usage, now, now):
        return
    successor, unknown = market.cheaper_successor(usage.hours)
    if unknown:
        findings.not_evaluated(instance, unknown)
    elif successor is None:
        findings.note(
            instance, f"{usage.mean:.1f}% CPU avg, but no smaller size and no cheaper successor of {now.id}"
        )
    elif holds_on(rule, instance, usage, now, successor):
        findings.report(instance, **resize(market, usage, now, successor), action="upgrade")
