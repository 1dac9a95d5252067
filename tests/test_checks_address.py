"""The Elastic IP rule: what it holds for, and its price."""

from __future__ import annotations

from typing import Any

import pytest
from check_kit import HERE, Prices, rule_of
from pytest_finops.fixtures.addresses import Address

RULE = rule_of("network/eip.yaml", "eip-unassociated")
IDLE = {"AllocationId": "eipalloc-1", "PublicIp": "198.51.100.7", "PublicIpv4Pool": "amazon"}


def test_an_idle_address_costs_its_hours() -> None:
    address = Address.from_api(IDLE, HERE)
    assert RULE.holds(address)
    (line,) = address.full_price(Prices({("ec2.ipv4.idle",): "0.005"}))
    assert str(line.amount) == "3.650"
    assert line.component == "ipv4:eipalloc-1"


@pytest.mark.parametrize(
    "more",
    [
        {"AssociationId": "eipassoc-1"},
        {"InstanceId": "i-1"},
        {"NetworkInterfaceId": "eni-1"},  # a NAT gateway's: it has no instance
        {"PrivateIpAddress": "10.0.0.7"},
        {"ServiceManaged": "alb"},
        {"PublicIpv4Pool": "ipv4pool-ec2-012345"},
        {"Tags": [{"Key": "kubernetes.io/cluster/a", "Value": "owned"}]},
    ],
)
def test_what_is_used_managed_or_free_is_clean(more: dict[str, Any]) -> None:
    assert not RULE.holds(Address.from_api(IDLE | more, HERE))
