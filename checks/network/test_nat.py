"""Checks of NAT gateways."""

from __future__ import annotations

from typing import Any

import pytest_finops as finops

from .. import nat_gateways as judgement


@finops.rule("nat-gateway-count")
def test_nat_gateway_count(
    nat_gateways: Any,
    vpcs: Any,
    subnets: Any,
    route_tables: Any,
    nat_bytes_in: Any,
    nat_bytes_out: Any,
    prices: Any,
    findings: Any,
    rule: Any,
) -> None:
    """NAT gateways that a VPC can do without."""
    judge = judgement.Judge(nat_bytes_in, nat_bytes_out, prices, findings, rule)
    judgement.count(nat_gateways, vpcs, subnets, route_tables, judge, findings)
