"""Load balancers without traffic, by kind, with cents by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from check_kit_network import HERE, NOW, OLD, Metric, Prices, Recorder, Rule, View, flat
from pytest_finops.checks import balancers
from pytest_finops.fixtures.elb import (
    ClassicLoadBalancer,
    LoadBalancer,
    LoadBalancerTags,
    Signals,
    TargetGroup,
    TargetHealth,
)

import pytest_finops as finops

ARN = "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/app/web-1/50dc6c495c0c9188"


def balancer(kind: str = "application", **fields: Any) -> LoadBalancer:
    given: dict[str, Any] = {
        "load_balancer_name": "web-1", "kind": kind, "state": "active", "scheme": "internet-facing",
        "ip_address_type": "ipv4", "zones": ("us-east-1a", "us-east-1b"), "created": OLD,
    }  # fmt: skip
    return LoadBalancer(id=ARN, arn=ARN, target=HERE, **{**given, **fields})


def judge(
    one: LoadBalancer | ClassicLoadBalancer,
    seen: dict[str, Any] | None = None,
    *,
    health: tuple[str, ...] | None = None,
    target_type: str = "instance",
    tags: dict[str, str] | None = None,
    prices: Prices | None = None,
) -> Recorder:
    """Judge one load balancer; ``seen`` holds series (or faults) by metric fixture name."""

    def metric(name: str, zero: bool) -> Metric:
        return Metric({one.id: seen[name]} if seen and name in seen else {}, zero=zero)

    signals = Signals(
        application={
            "requests": metric("alb_requests", True),
            "processed_bytes": metric("alb_bytes", True),
            "connections": metric("alb_connections", True),
        },
        network={"requests": metric("nlb_flows", False), "processed_bytes": metric("nlb_bytes", False)},
        gateway={"requests": metric("gwlb_flows", False)},
        classic={"requests": metric("clb_requests", True), "processed_bytes": metric("clb_bytes", True)},
    )
    groups, states = View(), View()
    if health is not None:
        groups.append(
            TargetGroup(id="tg", target=HERE, target_type=target_type, load_balancer_arns=(one.id,))
        )
        states += [
            TargetHealth(id="tg", target=HERE, target_id=str(n), state=s) for n, s in enumerate(health)
        ]
    own = View(
        TargetHealth(id=one.id, target=HERE, target_id=str(n), state=s) for n, s in enumerate(health or ())
    )
    backend = balancers.classic_backends(own) if one.kind == "classic" else balancers.backends(groups, states)
    labels = View([LoadBalancerTags(id=one.id, target=HERE, tags=tags)] if tags else [])
    said = Recorder()
    rule = Rule("network/elb.yaml", "elb-idle")
    balancers.idle(View([one]), labels, signals, backend, prices or Prices(), said, rule)
    return said


QUIET_NLB = {"nlb_flows": flat(0.0), "nlb_bytes": flat(0.0)}


def test_an_idle_application_load_balancer_over_two_zones() -> None:
    said = judge(balancer())
    # 0.0225 x 730 + 2 x 0.005 x 730, rounded half up from 23.725
    assert said.savings == {ARN: "23.73"}
    found = said.found[ARN]
    assert found.components == ["lb-hours:web-1", "ipv4:web-1/us-east-1a", "ipv4:web-1/us-east-1b"]
    # It has no target group at all: nothing can serve.
    assert found.said["confidence"] == "high"
    assert said.found[ARN].said["evidence"]["public_addresses"] == 2


@pytest.mark.parametrize(
    ("fields", "saving"),
    [
        ({"zones": ("a", "b", "c")}, "27.38"),
        ({"scheme": "internal"}, "16.43"),
        ({"ip_address_type": "dualstack-without-public-ipv4"}, "16.43"),
        ({"state": "active_impaired"}, "23.73"),
    ],
)
def test_public_addresses(fields: dict[str, Any], saving: str) -> None:
    assert judge(balancer(**fields)).savings == {ARN: saving}


@pytest.mark.parametrize(
    ("health", "target_type", "confidence"),
    [
        ((), "instance", "high"),
        (("unhealthy", "draining", "unused"), "instance", "high"),
        (("healthy", "unhealthy"), "instance", "medium"),
        (("unavailable",), "ip", "medium"),
        ((), "lambda", "medium"),
    ],
)
def test_two_signals_make_it_certain(health: tuple[str, ...], target_type: str, confidence: str) -> None:
    said = judge(balancer(), health=health, target_type=target_type)
    assert said.found[ARN].said["confidence"] == confidence


@pytest.mark.parametrize("signal", ["alb_requests", "alb_bytes", "alb_connections"])
def test_any_signal_of_traffic_is_clean_whatever_the_health(signal: str) -> None:
    said = judge(balancer(), {signal: [0.0, 1.0]}, health=("unhealthy",))
    assert (said.savings, said.skipped) == ({}, {})


def test_a_failed_read_is_not_zero() -> None:
    said = judge(balancer(), {"alb_bytes": "InternalServiceFault"})
    assert said.savings == {}
    assert said.skipped == {ARN: "processed bytes could not be read: InternalServiceFault"}


def test_network_load_balancers_are_judged_by_flows() -> None:
    assert judge(balancer("network"), QUIET_NLB).savings == {ARN: "23.73"}
    # Busy by flows, without a request metric of its own: never idle.
    busy = judge(balancer("network"), {**QUIET_NLB, "nlb_flows": flat(5.0)})
    assert (busy.savings, busy.skipped) == ({}, {})
    long_flow = judge(balancer("network"), {**QUIET_NLB, "nlb_bytes": flat(9.0)})
    assert long_flow.savings == {}
    assert judge(balancer("network")).skipped == {ARN: "no datapoints of requests"}
    few = {"nlb_flows": flat(0.0, 100), "nlb_bytes": flat(0.0, 100)}
    assert "only 30%" in judge(balancer("network"), few).skipped[ARN]


def test_an_elastic_ip_keeps_its_own_component() -> None:
    said = judge(balancer("network", allocations=(("us-east-1a", "eipalloc-7"),)), QUIET_NLB)
    assert said.found[ARN].components == ["lb-hours:web-1", "ipv4:eipalloc-7", "ipv4:web-1/us-east-1b"]
    assert "eipalloc-7" in said.found[ARN].said["recommendation"]


def test_gateway_load_balancers() -> None:
    quiet = judge(balancer("gateway", scheme=""), {"gwlb_flows": flat(0.0)})
    # 0.0125 x 730, no address, no target group
    assert quiet.savings == {ARN: "9.13"}
    assert judge(balancer("gateway", scheme="")).skipped == {ARN: "no datapoints of requests"}


def test_classic_load_balancers() -> None:
    one = ClassicLoadBalancer(
        id="web-1", target=HERE, created=OLD, scheme="internet-facing", zones=("a",), instance_ids=("i-1",)
    )
    said = judge(one, health=("unhealthy",))
    # 0.025 x 730 + 3.65
    assert said.savings == {"web-1": "21.90"}
    assert said.found["web-1"].components == ["lb-hours:classic/web-1", "ipv4:classic/web-1/a"]
    assert said.found["web-1"].said["confidence"] == "high"
    assert judge(one, health=("healthy",)).found["web-1"].said["confidence"] == "medium"
    assert judge(one, {"clb_bytes": [1.0]}).savings == {}


def test_young_and_provisioning_ones() -> None:
    assert "3 days ago" in judge(balancer(created=NOW - timedelta(days=3))).skipped[ARN]
    assert judge(balancer(created=NOW - timedelta(days=14))).savings != {}
    assert "creation time" in judge(balancer(created=None)).skipped[ARN]
    said = judge(balancer(state="provisioning"))
    assert (said.savings, said.skipped) == ({}, {})


@pytest.mark.parametrize(
    ("tags", "advice"),
    [
        ({"elbv2.k8s.aws/cluster": "c"}, "delete its Service or Ingress"),
        ({"kubernetes.io/service-name": "shop/web"}, "delete its Service or Ingress"),
        ({"aws:cloudformation:stack-name": "edge"}, "CloudFormation stack edge"),
        ({"team": "web"}, "DNS record"),
    ],
)
def test_advice_follows_the_owner(tags: dict[str, str], advice: str) -> None:
    found = judge(balancer(), tags=tags).found[ARN]
    assert advice in found.said["recommendation"]
    assert found.resource.tags == tags


def test_without_a_price_it_is_a_finding_without_money() -> None:
    assert judge(balancer(), prices=Prices(without=["elb.hours"])).savings == {ARN: None}


def test_the_answer_becomes_a_load_balancer() -> None:
    answer = {
        "LoadBalancerArn": ARN, "LoadBalancerName": "web-1", "Type": "network", "State": {"Code": "active"},
        "Scheme": "internet-facing", "IpAddressType": "ipv4", "CreatedTime": OLD,
        "AvailabilityZones": [
            {"ZoneName": "b", "LoadBalancerAddresses": []},
            {"ZoneName": "a", "LoadBalancerAddresses": [{"AllocationId": "eipalloc-1"}]},
        ],
    }  # fmt: skip
    made = LoadBalancer.from_api(answer, HERE)
    assert (made.dimension, made.name) == ("app/web-1/50dc6c495c0c9188", "web-1")
    assert (made.public_zones, made.allocations) == (("a", "b"), (("a", "eipalloc-1"),))
    keys = [key.dimension for key in finops_prices(made)]
    assert keys == ["elb.hours", "ec2.ipv4.in_use"]


def finops_prices(one: LoadBalancer) -> list[finops.PriceKey]:
    from pytest_finops.fixtures.elb import _prices

    return list(_prices(one))
