"""Checks of load balancers."""

from __future__ import annotations

from typing import Any

import pytest_finops as finops

from .. import balancers


@finops.rule("elb-idle", subject="load_balancers,classic_load_balancers")
def test_elb_idle(
    load_balancers: Any,
    classic_load_balancers: Any,
    load_balancer_tags: Any,
    classic_load_balancer_tags: Any,
    target_groups: Any,
    target_health: Any,
    classic_instance_health: Any,
    alb_requests: Any,
    alb_bytes: Any,
    alb_connections: Any,
    nlb_flows: Any,
    nlb_bytes: Any,
    gwlb_flows: Any,
    clb_requests: Any,
    clb_bytes: Any,
    prices: Any,
    findings: Any,
    rule: Any,
) -> None:
    """Load balancers of every kind without traffic."""
    signals = balancers.Signals(
        application={"requests": alb_requests, "processed_bytes": alb_bytes, "connections": alb_connections},
        network={"requests": nlb_flows, "processed_bytes": nlb_bytes},
        gateway={"requests": gwlb_flows},
        classic={"requests": clb_requests, "processed_bytes": clb_bytes},
    )
    modern = balancers.backends(target_groups, target_health)
    classic = balancers.classic_backends(classic_instance_health)
    balancers.idle(load_balancers, load_balancer_tags, signals, modern, prices, findings, rule)
    balancers.idle(
        classic_load_balancers, classic_load_balancer_tags, signals, classic, prices, findings, rule
    )
