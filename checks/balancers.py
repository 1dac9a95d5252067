"""Judgement of load balancers: no traffic in the look-back, by the signals of each kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_finops.fixtures.elb import Signals

from pytest_finops import PriceLine

from . import rightsizing

#: Tags by which a controller in Kubernetes claims a load balancer: it would make it anew.
KUBERNETES_TAGS = (
    "elbv2.k8s.aws/cluster",
    "ingress.k8s.aws/stack",
    "ingress.k8s.aws/cluster",
    "service.k8s.aws/stack",
    "kubernetes.io/service-name",
    "kubernetes.io/ingress-name",
    "kubernetes.io/cluster/",
    "eks:eks-cluster-name",
)

#: Health states of targets that may serve: without health checks nobody knows.
SERVING = frozenset({"healthy", "unavailable"})

#: Signal of a kind -> the field of the condition that it is compared with.
FIELDS = ("requests", "processed_bytes", "connections")


@dataclass(frozen=True, slots=True)
class Backend:
    """What stands behind a load balancer: targets registered, and how many of them may serve."""

    targets: int
    serving: int
    functions: int = 0

    @property
    def may_serve(self) -> bool:
        """Whether anything behind it could answer; functions have no health, so they could."""
        return bool(self.serving or self.functions)


def idle(
    balancers: Any, tags: Any, signals: Signals, backend_of: Any, prices: Any, findings: Any, rule: Any
) -> None:
    """Report the load balancers of one inventory without any traffic in the look-back."""
    for plain in balancers:
        if not plain.is_serving:
            continue
        labels = tags.at(plain.target).get(plain.id)
        balancer = plain if labels is None else dataclasses.replace(plain, tags=labels.tags)
        metrics = signals.of(balancer.kind)
        reason = _unjudged(balancer, metrics, rule)
        if reason:
            findings.not_evaluated(balancer, reason)
            continue
        seen = {field: metric.series(balancer, "Sum").total for field, metric in metrics.items()}
        if not rule.holds(balancer, coverage=100, **{field: seen.get(field, 0) for field in FIELDS}):
            continue
        backend = backend_of(balancer)
        findings.report(
            balancer,
            current=f"no traffic in {rule.period_days} days, {backend.serving} of {backend.targets} targets healthy",
            current_lines=_lines(prices, balancer),
            confidence="medium" if backend.may_serve else "high",
            evidence={
                "kind": balancer.kind,
                **{field: round(value) for field, value in seen.items()},
                "targets": backend.targets,
                "targets_that_may_serve": backend.serving,
                "functions": backend.functions,
                "zones": list(balancer.zones),
                "public_addresses": len(balancer.public_zones),
                "age_days": round(balancer.age_days),
            },
            recommendation=_advice(balancer),
        )


def _unjudged(balancer: Any, metrics: Mapping[str, Any], rule: Any) -> str | None:
    """Return why the load balancer cannot be judged, or None."""
    if not metrics:
        return f"load balancers of kind {balancer.kind!r} are not known"
    if balancer.age_days is None:
        return "AWS gives no creation time"
    if balancer.age_days < rule.period_days or not rightsizing.meets(rule, "age_days", balancer.age_days):
        return f"created {rightsizing.days_text(balancer.age_days)} ago: too young to judge"
    for field, metric in metrics.items():
        series = metric.series(balancer, "Sum")
        what = field.replace("_", " ")
        if series is None:
            fault = metric.fault(balancer)
            return f"{what} could not be read: {fault}" if fault else f"no datapoints of {what}"
        if not rightsizing.meets(rule, "coverage", 100 * series.coverage):
            return f"only {100 * series.coverage:.0f}% of the datapoints of {what}"
    return None


def _lines(prices: Any, balancer: Any) -> list[PriceLine]:
    """Return what disappears: the hours and a public IPv4 address in each zone; idle ones use no capacity units."""
    name = balancer.billing_name
    allocated = dict(balancer.allocations)
    return [
        prices.line(
            "elb.hours", balancer, rightsizing.MONTH, kind=balancer.kind, component=f"lb-hours:{name}"
        ),
        *(
            prices.line(
                "ec2.ipv4.in_use",
                balancer,
                rightsizing.MONTH,
                # An Elastic IP keeps its own key, so that checks of addresses do not count it again.
                component=f"ipv4:{allocated.get(zone) or f'{name}/{zone}'}",
            )
            for zone in balancer.public_zones
        ),
    ]


def _advice(balancer: Any) -> str:
    claimed = sorted(key for key in balancer.tags if key.startswith(KUBERNETES_TAGS))
    stack = balancer.tags.get("aws:cloudformation:stack-name")
    if claimed:
        text = (
            f"A controller in Kubernetes owns {balancer.name} ({claimed[0]}): delete its Service or Ingress."
        )
    elif stack:
        text = f"Remove {balancer.name} from the CloudFormation stack {stack}."
    else:
        text = f"Delete {balancer.name} once no DNS record, web ACL or endpoint service points to it."
    if balancer.allocations:
        text += f" Release {', '.join(allocation for _, allocation in balancer.allocations)} with it."
    return text


def backends(target_groups: Any, target_health: Any) -> Any:
    """Return a function from a load balancer to what stands behind it, by its target groups."""

    def of(balancer: Any) -> Backend:
        groups = [g for g in target_groups.at(balancer.target) if balancer.id in g.load_balancer_arns]
        health = target_health.at(balancer.target).by("id")
        states = [row.state for group in groups for row in health.get(group.id, ())]
        functions = sum(not group.has_health for group in groups)
        return Backend(len(states), sum(state in SERVING for state in states), functions)

    return of


def classic_backends(instance_health: Any) -> Any:
    """Return a function from a Classic Load Balancer to what stands behind it."""

    def of(balancer: Any) -> Backend:
        rows = instance_health.at(balancer.target).by("id").get(balancer.id, ())
        return Backend(len(balancer.instance_ids), sum(row.state in SERVING for row in rows))

    return of
