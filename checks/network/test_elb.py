"""Checks of load balancers."""

from __future__ import annotations

from typing import Any

from pytest_finops.fixtures.elb import Signals

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
    modern = Signals.modern(alb_requests, alb_bytes, alb_connections, nlb_flows, nlb_bytes, gwlb_flows)
    backends = balancers.backends(target_groups, target_health)
    balancers.idle(load_balancers, load_balancer_tags, modern, backends, prices, findings, rule)
    classic = Signals.classics(clb_requests, clb_bytes)
    backends = balancers.classic_backends(classic_instance_health)
    balancers.idle(
        classic_load_balancers, classic_load_balancer_tags, classic, backends, prices, findings, rule
    )
