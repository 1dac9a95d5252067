"""Checks of RDS database instances."""

from __future__ import annotations

from typing import Any

import pytest_finops as finops

from .. import databases


@finops.rule("rds-low-cpu")
def test_rds_low_cpu(
    rds_instances: Any,
    rds_orderable_options: Any,
    ec2_types: Any,
    rds_cpu: Any,
    rds_freeable_memory: Any,
    rds_connections: Any,
    prices: Any,
    findings: Any,
    rule: Any,
) -> None:
    """Databases whose CPU and memory fit one size down."""
    databases.low_cpu(
        rds_instances,
        rds_orderable_options,
        ec2_types,
        rds_cpu,
        rds_freeable_memory,
        rds_connections,
        prices,
        findings,
        rule,
    )


@finops.rule("rds-multi-az-nonprod")
def test_rds_multi_az_nonprod(rds_instances: Any, prices: Any, findings: Any, rule: Any) -> None:
    """Databases of non-production that pay for a standby."""
    databases.multi_az_nonprod(rds_instances, prices, findings, rule)
