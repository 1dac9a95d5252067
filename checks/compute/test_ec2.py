"""EC2: instances with little to do, and instances of old generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_finops.fixtures.ec2 import Instance
from pytest_finops.fixtures.generations import is_old, successors

import pytest_finops as finops

from .. import instances, rightsizing


@finops.rule("ec2-low-cpu")
def test_ec2_low_cpu(
    ec2_instances: Sequence[Instance], ec2_types: Any, ec2_type_offerings: Any, ec2_cpu: Any, prices: Any,
    findings: Any, rule: finops.Rule,
) -> None:  # fmt: skip
    """A smaller size of the same family would do: the mean is low, and the p95 of the maxima fits."""
    for instance in ec2_instances:
        market = instances.Market.of(instance, ec2_types, ec2_type_offerings, prices)
        now = market.now
        if (
            not instance.is_priced_by_type
            or instance.is_metal
            or (now and (now.is_accelerated or now.is_metal))
        ):
            continue
        unknown = instances.unjudged(instance, ec2_cpu, rule)
        if unknown or now is None:
            findings.not_evaluated(instance, unknown or f"type {instance.instance_type} is not described")
            continue
        usage = rightsizing.usage_of(ec2_cpu.series(instance, "Average"), ec2_cpu.series(instance, "Maximum"))
        instances.propose(market, now, usage, findings, rule)


@finops.rule("ec2-old-generation")
def test_ec2_old_generation(
    ec2_instances: Sequence[Instance], ec2_types: Any, ec2_type_offerings: Any, prices: Any, findings: Any,
    rule: finops.Rule,
) -> None:  # fmt: skip
    """The same size of the succeeding family costs less, in the same zone and for the same operation."""
    for instance in ec2_instances:
        if not (instance.is_priced_by_type and successors(instance.family) and rule.holds(instance)):
            continue
        market = instances.Market.of(instance, ec2_types, ec2_type_offerings, prices)
        successor, unknown = market.cheaper_successor()
        if market.now is None or unknown:
            findings.not_evaluated(instance, unknown or f"type {instance.instance_type} is not described")
        elif successor is not None:
            findings.report(instance, **instances.upgrade(market, market.now, successor))
        elif is_old(instance.family):
            findings.note(
                instance, f"{instance.instance_type} is of an old generation, but no successor costs less"
            )
