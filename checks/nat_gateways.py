"""Judgement of NAT gateways: which of a VPC's gateways can go, and what their going costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pytest_finops import Component, PriceLine

from . import money, rightsizing

GIB = Decimal(1024**3)

#: Below this confidence an environment decides nothing.
TRUSTED = frozenset({"high", "medium"})


@dataclass(frozen=True, slots=True)
class Gateway:
    """A counted gateway: its zone, its traffic a month (None: unknown, with the reason)."""

    resource: Any
    zone: str
    gigabytes: Decimal | None
    silence: str

    @property
    def order(self) -> tuple[Decimal, str]:
        """Least traffic first."""
        return (self.gigabytes or Decimal(0), self.resource.id)


@dataclass(frozen=True, slots=True)
class Network:
    """One VPC: its gateways, the zones of its subnets, and the zones whose subnets are routed to a gateway."""

    vpc: Any
    gateways: tuple[Gateway, ...]
    zones: frozenset[str]
    routed_zones: frozenset[str]
    referenced: frozenset[str]


class Judge:
    """Judges the gateways of one audit, VPC by VPC."""

    def __init__(self, bytes_in: Any, bytes_out: Any, prices: Any, findings: Any, rule: Any) -> None:
        self._metrics = {"BytesInFromSource": bytes_in, "BytesOutToSource": bytes_out}
        self._prices = prices
        self._findings = findings
        self._rule = rule

    def gateway(self, resource: Any, zone: str) -> Gateway:
        """Return the gateway with its traffic: what clients sent and got, scaled to a month."""
        volume = Decimal(0)
        for name, metric in self._metrics.items():
            series = metric.series(resource, "Sum")
            if series is None:
                fault = metric.fault(resource)
                reason = f"{name} could not be read: {fault}" if fault else f"no datapoints of {name}"
                return Gateway(resource, zone, None, reason)
            if not rightsizing.meets(self._rule, "coverage", 100 * series.coverage):
                share = f"{100 * series.coverage:.0f}%"
                return Gateway(resource, zone, None, f"only {share} of the datapoints of {name}")
            seen = Decimal(len(series.values) * series.period) / 3600
            if seen:
                volume += Decimal(int(series.total)) * rightsizing.hours_of(series) / seen
        return Gateway(resource, zone, (volume / GIB).quantize(Decimal("0.001")), "")

    def judge(self, network: Network) -> None:
        """Apply the cases in order: same zone, zones without clients, non-production, too many."""
        kept = self._same_zone(network, network.gateways)
        kept = self._unused_zones(network, kept)
        environment = self._rule.environment(network.vpc)
        if environment.value == "nonprod" and environment.confidence in TRUSTED:
            self._nonproduction(network, kept, environment)
        elif kept and len(kept) > len(network.zones):
            least = min(kept, key=lambda gateway: gateway.order)
            text = f"{network.vpc.id} has {len(kept)} NAT gateways for {len(network.zones)} zones"
            self._findings.note(least.resource, text)

    def _same_zone(self, network: Network, gateways: Sequence[Gateway]) -> list[Gateway]:
        kept: list[Gateway] = []
        for zone in sorted({gateway.zone for gateway in gateways}):
            together = [gateway for gateway in gateways if gateway.zone == zone]
            if len(together) == 1 or not self._known(together):
                kept += together
                continue
            busiest, *others = sorted(together, key=lambda g: (-g.order[0], g.order[1]))
            kept.append(busiest)
            for gateway in others:
                share = self._share(gateway, busiest)
                if share is None or not rightsizing.meets(self._rule, "traffic_share", share):
                    kept.append(gateway)
                elif self._settled(gateway):
                    why = f"{share:.1f}% of the traffic of {busiest.resource.id} in {zone}"
                    self._report(network, gateway, busiest, "same zone", why, Decimal(0), "high")
        return kept

    def _share(self, gateway: Gateway, busiest: Gateway) -> Decimal | None:
        """Return the traffic in per cent of the busiest gateway's; None where both have none: an equal pair."""
        if not busiest.gigabytes or gateway.gigabytes is None:
            return None
        return 100 * gateway.gigabytes / busiest.gigabytes

    def _unused_zones(self, network: Network, gateways: list[Gateway]) -> list[Gateway]:
        zones = {gateway.zone for gateway in gateways}
        excess = len(zones) - max(1, len(network.routed_zones))
        if excess <= 0:
            return gateways
        # A zone without clients loses its gateway first: its traffic crosses zones as it is.
        spare = sorted(zones - network.routed_zones)
        if len(spare) != excess and not self._known([g for g in gateways if g.zone in spare]):
            return gateways
        loads = {zone: sum((g.order[0] for g in gateways if g.zone == zone), Decimal(0)) for zone in spare}
        going = set(sorted(spare, key=lambda zone: (loads[zone], zone))[:excess])
        kept = [gateway for gateway in gateways if gateway.zone not in going]
        busiest = max(kept, key=lambda gateway: gateway.order)
        for gateway in sorted((g for g in gateways if g.zone in going), key=lambda g: g.order):
            if self._settled(gateway):
                served = len(network.routed_zones)
                why = f"gateways in {len(zones)} zones, private subnets routed to them in {served}"
                confidence = "high" if gateway.resource.id not in network.referenced else "medium"
                self._report(network, gateway, busiest, "zone without clients", why, Decimal(0), confidence)
        return kept

    def _nonproduction(self, network: Network, gateways: list[Gateway], environment: Any) -> None:
        by_traffic = sorted(gateways, key=lambda gateway: gateway.order, reverse=True)
        keep = len(by_traffic)
        while keep > 1 and rightsizing.meets(self._rule, "nonprod_gateways", keep):
            keep -= 1
        if keep == len(by_traffic) or not self._known(by_traffic):
            return
        kept, going = by_traffic[:keep], by_traffic[keep:]
        kept_zones = {gateway.zone for gateway in kept}
        for gateway in reversed(going):
            if not self._settled(gateway):
                continue
            clients = gateway.zone in network.routed_zones or not network.routed_zones
            crossing = gateway.zone not in kept_zones and clients
            moved = (gateway.gigabytes or Decimal(0)) if crossing else Decimal(0)
            why = f"{len(gateways)} gateways in a non-production VPC ({environment.source})"
            confidence = environment.confidence
            self._report(network, gateway, kept[0], "non-production", why, moved, confidence)

    def _known(self, gateways: Iterable[Gateway]) -> bool:
        """Return whether the traffic of all is known; where it decides and is not, none of them is evaluated."""
        silent = [gateway for gateway in gateways if gateway.gigabytes is None]
        for gateway in gateways if silent else ():
            reason = gateway.silence or f"the traffic of {silent[0].resource.id} is not known"
            self._findings.not_evaluated(gateway.resource, reason)
        return not silent

    def _settled(self, gateway: Gateway) -> bool:
        age = gateway.resource.age_days
        if age is None:
            self._findings.not_evaluated(gateway.resource, "AWS gives no creation time")
            return False
        if age < self._rule.period_days or not rightsizing.meets(self._rule, "age_days", age):
            reason = f"created {rightsizing.days_text(age)} ago: too young to judge"
            self._findings.not_evaluated(gateway.resource, reason)
            return False
        return True

    def _report(
        self,
        network: Network,
        gateway: Gateway,
        heir: Gateway,
        case: str,
        why: str,
        moved: Decimal,
        confidence: str,
    ) -> None:
        resource = gateway.resource
        current: list[PriceLine] = [
            self._prices.line(
                "vpc.nat.hours", resource, rightsizing.MONTH, component=f"nat-hours:{resource.id}"
            )
        ]
        current += [
            self._prices.line("ec2.ipv4.in_use", resource, rightsizing.MONTH, component=f"ipv4:{allocation}")
            for allocation in resource.allocation_ids
        ]
        target: list[PriceLine] = []
        components: list[Component] | None = None
        if moved:
            # Each gigabyte is charged where it leaves a zone and where it enters the other.
            crossing = self._prices.line(
                "transfer.cross_az",
                resource,
                2 * moved,
                component=f"nat-hours:{resource.id}",
                note="traffic of this zone, which would cross zones, both directions",
            )
            for line in (*current, crossing):
                if line.amount is None:
                    self._findings.not_evaluated(resource, money.missing([line]))
                    return
            costs = sum((line.amount for line in current if line.amount is not None), Decimal(0))
            if crossing.amount is None or costs <= crossing.amount:
                return
            target = [crossing]
            components = _spread(current, crossing.amount)
        released = f" and release {', '.join(resource.allocation_ids)}" if resource.allocation_ids else ""
        self._findings.report(
            resource,
            current=why,
            current_lines=current,
            target_lines=target,
            components=components,
            confidence=confidence,
            evidence={
                "case": case,
                "vpc": network.vpc.id,
                "zone": gateway.zone,
                "gigabytes_a_month": gateway.gigabytes,
                "replaced_by": heir.resource.id,
                "gigabytes_a_month_of_replacement": heir.gigabytes,
                "gateways_in_vpc": len(network.gateways),
                "zones_with_clients": sorted(network.routed_zones),
                "gigabytes_that_would_cross_zones": moved,
            },
            recommendation=f"Point the routes of {resource.id} ({gateway.zone}) to {heir.resource.id} "
            f"({heir.zone}), wait for its connections to end, delete it{released}. "
            "Partners that allow-list its address must know first.",
        )


def _spread(lines: Sequence[PriceLine], loss: Decimal) -> list[Component]:
    """Return the components with the loss taken from the first ones, so that none saves less than nothing."""
    components = []
    for line in lines:
        amount = line.amount or Decimal(0)
        taken = min(loss, amount)
        loss -= taken
        components.append(Component(line.component, amount, amount - taken))
    return components


def count(
    gateways: Any,
    vpcs: Any,
    subnets: Any,
    route_tables: Any,
    judge: Judge,
    findings: Any,
) -> None:
    """Report the NAT gateways that can go, VPC by VPC."""
    by_vpc: dict[tuple[Any, str], list[Any]] = {}
    for resource in gateways:
        if resource.is_counted:
            by_vpc.setdefault((resource.target, resource.vpc_id), []).append(resource)
    for (target, vpc_id), members in by_vpc.items():
        places = {subnet.id: subnet.zone for subnet in subnets.at(target)}
        stray = [resource for resource in members if resource.subnet_id not in places]
        for resource in stray:
            findings.not_evaluated(resource, f"the zone of its subnet {resource.subnet_id} is not known")
        located = [
            judge.gateway(resource, places[resource.subnet_id])
            for resource in members
            if resource not in stray
        ]
        if len(located) > 1:
            own = list(subnets.at(target).by("vpc_id").get(vpc_id, ()))
            tables = route_tables.at(target).by("vpc_id").get(vpc_id, ())
            ids = frozenset(gateway.resource.id for gateway in located)
            judge.judge(
                Network(
                    vpc=vpcs.at(target).get(vpc_id) or members[0],
                    gateways=tuple(located),
                    zones=frozenset(subnet.zone for subnet in own),
                    routed_zones=_routed_zones(own, tables, ids),
                    referenced=frozenset(g for table in tables for g in table.nat_gateway_ids),
                )
            )


def _routed_zones(subnets: Sequence[Any], tables: Sequence[Any], gateways: frozenset[str]) -> frozenset[str]:
    """Return the zones of the subnets whose route table, or the main one in its place, leads to a gateway."""
    explicit = {subnet_id: table for table in tables for subnet_id in table.subnet_ids}
    main = next((table for table in tables if table.is_main), None)
    zones = set()
    for subnet in subnets:
        table = explicit.get(subnet.id, main)
        if table is not None and gateways.intersection(table.nat_gateway_ids):
            zones.add(subnet.zone)
    return frozenset(zones)
