"""NAT gateways: which of a VPC's can go, with cents by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from check_kit_network import HERE, NOW, OLD, THERE, Metric, Prices, Recorder, Rule, View, flat
from pytest_finops.checks import nat_gateways
from pytest_finops.fixtures.nat import NatGateway, RouteTable, Subnet, Vpc

import pytest_finops as finops

GIB = 1024**3


def gateway(name: str, zone: str = "a", **fields: Any) -> NatGateway:
    given: dict[str, Any] = {
        "state": "available", "vpc_id": "vpc-1", "subnet_id": f"public-{zone}", "created": OLD,
        "allocation_ids": (f"eipalloc-{name}",), "target": HERE,
    }  # fmt: skip
    return NatGateway(id=name, **{**given, **fields})


def network(routes: dict[str, str], target: finops.Target = HERE) -> tuple[View, View]:
    """Return subnets (public and private in zones a to c) and the route tables of the private ones."""
    subnets = View(
        Subnet(id=f"{kind}-{zone}", target=target, vpc_id="vpc-1", zone=zone)
        for kind in ("public", "private")
        for zone in "abc"
    )
    tables = View(
        RouteTable(id=f"rtb-{zone}", target=target, vpc_id="vpc-1", subnet_ids=(f"private-{zone}",), nat_gateway_ids=(nat,))
        for zone, nat in routes.items()
    )  # fmt: skip
    return subnets, tables


def judge(
    *gateways: NatGateway,
    monthly: dict[str, float] | None = None,
    routes: dict[str, str] | None = None,
    env: str = "",
    hours: int = 336,
    prices: Prices | None = None,
    fault: dict[str, str] | None = None,
) -> Recorder:
    """Judge gateways with so many GiB a month each, all of it from clients."""
    subnets, tables = network(routes or {})
    traffic = {name: flat(gib * GIB / 730, hours) for name, gib in (monthly or {}).items()}
    said = Recorder()
    rule = Rule("network/nat.yaml", "nat-gateway-count")
    zero = Metric({name: flat(0.0, hours) for name in traffic})
    judged = nat_gateways.Judge(Metric({**traffic, **(fault or {})}), zero, prices or Prices(), said, rule)
    vpcs = View([Vpc(id="vpc-1", target=HERE, tags={"env": env})])
    nat_gateways.count(View(gateways), vpcs, subnets, tables, judged, said)
    return said


ONE_ZONE = {"a": "nat-1"}


@pytest.mark.parametrize(("second", "goes"), [(0, True), (490, True), (500, False), (1000, False)])
def test_a_quiet_second_gateway_of_a_zone_goes(second: float, goes: bool) -> None:
    said = judge(
        gateway("nat-1"),
        gateway("nat-2"),
        monthly={"nat-1": 1000, "nat-2": second},
        routes=ONE_ZONE,
        env="prod",
    )
    # 0.045 x 730 + 0.005 x 730
    assert said.savings == ({"nat-2": "36.50"} if goes else {})
    assert said.skipped == {}
    if goes:
        assert said.found["nat-2"].components == ["nat-hours:nat-2", "ipv4:eipalloc-nat-2"]
        assert said.found["nat-2"].said["evidence"]["replaced_by"] == "nat-1"


def test_two_without_traffic_are_an_equal_pair() -> None:
    said = judge(gateway("nat-1"), gateway("nat-2"), monthly={"nat-1": 0, "nat-2": 0}, routes=ONE_ZONE)
    assert (said.savings, said.skipped) == ({}, {})


def test_several_addresses_go_with_their_gateway() -> None:
    second = gateway("nat-2", allocation_ids=("eipalloc-x", "eipalloc-y"))
    said = judge(gateway("nat-1"), second, monthly={"nat-1": 9, "nat-2": 1}, routes=ONE_ZONE)
    assert said.savings == {"nat-2": "40.15"}


def test_no_datapoints_where_traffic_decides_is_not_evaluated() -> None:
    said = judge(gateway("nat-1"), gateway("nat-2"), monthly={"nat-1": 9}, routes=ONE_ZONE)
    assert said.savings == {}
    assert said.skipped == {
        "nat-1": "the traffic of nat-2 is not known",
        "nat-2": "no datapoints of BytesInFromSource",
    }
    said = judge(gateway("nat-1"), gateway("nat-2"), monthly={"nat-1": 9}, fault={"nat-2": "Throttled"})
    assert said.skipped["nat-2"] == "BytesInFromSource could not be read: Throttled"
    said = judge(gateway("nat-1"), gateway("nat-2"), monthly={"nat-1": 9, "nat-2": 1}, hours=200)
    assert said.skipped["nat-2"] == "only 60% of the datapoints of BytesInFromSource"


def test_a_gateway_in_a_zone_without_clients_goes() -> None:
    said = judge(
        gateway("nat-1"), gateway("nat-2", "b"), monthly={"nat-1": 5000, "nat-2": 4000}, routes={"a": "nat-1"}, env="prod"
    )  # fmt: skip
    # Whatever it carries crosses zones already.
    assert said.savings == {"nat-2": "36.50"}
    assert said.found["nat-2"].said["evidence"]["case"] == "zone without clients"
    # The configuration alone decides: no datapoints needed.
    assert judge(gateway("nat-1"), gateway("nat-2", "b"), routes={"a": "nat-1"}).savings == {"nat-2": "36.50"}


def test_one_gateway_per_zone_with_clients_is_clean_in_production() -> None:
    said = judge(
        gateway("nat-1"), gateway("nat-2", "b"), monthly={"nat-1": 10, "nat-2": 1},
        routes={"a": "nat-1", "b": "nat-2"}, env="prod",
    )  # fmt: skip
    assert (said.savings, said.skipped, said.notes) == ({}, {}, {})


@pytest.mark.parametrize(
    ("gib", "saving"),
    # 36.50 less 2 x 0.01 a GB: nothing is left at 1,825 GB.
    [(0, "36.50"), (500, "26.50"), (1700, "2.50"), (1824, "0.02"), (1825, None), (4000, None)],
)
def test_outside_production_the_transfer_is_compared(gib: float, saving: str | None) -> None:
    said = judge(
        gateway("nat-1"), gateway("nat-2", "b"), monthly={"nat-1": 5000, "nat-2": gib},
        routes={"a": "nat-1", "b": "nat-2"}, env="dev",
    )  # fmt: skip
    assert said.savings == ({} if saving is None else {"nat-2": saving})
    assert said.skipped == {}
    if gib == 1700:
        # The transfer of 34.00 takes all of the hours (32.85) and 1.15 of the address.
        saved = [(c.key, str(c.saved.normalize())) for c in said.found["nat-2"].said["components"]]
        assert saved == [("nat-hours:nat-2", "0"), ("ipv4:eipalloc-nat-2", "2.5")]


def test_outside_production_needs_a_trusted_environment() -> None:
    for env in ("guess", ""):
        said = judge(
            gateway("nat-1"), gateway("nat-2", "b"), monthly={"nat-1": 5, "nat-2": 1},
            routes={"a": "nat-1", "b": "nat-2"}, env=env,
        )  # fmt: skip
        assert said.savings == {}


def test_a_missing_price_is_not_evaluated_only_where_it_decides() -> None:
    both = (gateway("nat-1"), gateway("nat-2", "b"))
    dear = Prices(without=["transfer.cross_az"])
    said = judge(
        *both, monthly={"nat-1": 5, "nat-2": 1}, routes={"a": "nat-1", "b": "nat-2"}, env="dev", prices=dear
    )
    assert said.skipped["nat-2"].startswith(
        "no price for transfer.cross_az in us-east-1 (traffic of this zone"
    )
    none = Prices(without=["vpc.nat.hours"])
    said = judge(*both, monthly={"nat-1": 5, "nat-2": 1}, routes={"a": "nat-1"}, prices=none)
    assert said.savings == {"nat-2": None}


def test_more_than_zones_in_production_is_a_note() -> None:
    crowd = [gateway(f"nat-{n}", zone) for n, zone in enumerate("aabc", 1)]
    said = judge(
        *crowd, monthly={"nat-1": 10, "nat-2": 8, "nat-3": 10, "nat-4": 10},
        routes={"a": "nat-1", "b": "nat-3", "c": "nat-4"}, env="prod",
    )  # fmt: skip
    assert (said.savings, said.notes) == ({}, {"nat-2": "vpc-1 has 4 NAT gateways for 3 zones"})


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "deleted"},
        {"state": "failed"},
        {"availability_mode": "regional"},
        {"connectivity": "private", "allocation_ids": ()},
        {"vpc_id": "vpc-2"},
        {"target": THERE},
    ],
)
def test_what_is_not_counted(fields: dict[str, Any]) -> None:
    said = judge(
        gateway("nat-1"),
        gateway("nat-2", **fields),
        monthly={"nat-1": 9, "nat-2": 0},
        routes=ONE_ZONE,
        env="dev",
    )
    assert said.savings == {}


def test_a_young_gateway_is_not_evaluated() -> None:
    said = judge(
        gateway("nat-1"), gateway("nat-2", created=NOW - timedelta(days=2)),
        monthly={"nat-1": 9, "nat-2": 1}, routes=ONE_ZONE,
    )  # fmt: skip
    assert (said.savings, said.skipped) == ({}, {"nat-2": "created 2 days ago: too young to judge"})


def test_the_main_route_table_serves_subnets_without_their_own() -> None:
    answer = {
        "RouteTableId": "rtb-main", "VpcId": "vpc-1", "Associations": [{"Main": True}],
        "Routes": [{"NatGatewayId": "nat-1"}, {"NatGatewayId": "nat-9", "State": "blackhole"}],
    }  # fmt: skip
    table = RouteTable.from_api(answer, HERE)
    assert (table.is_main, table.nat_gateway_ids) == (True, ("nat-1",))
    zones = nat_gateways._routed_zones(network({})[0], [table], frozenset({"nat-1"}))
    assert zones == {"a", "b", "c"}


def test_the_answer_becomes_a_gateway() -> None:
    addresses = [{"AllocationId": "eipalloc-2"}, {"AllocationId": "eipalloc-1"}, {"PrivateIp": "10.0.0.4"}]
    answer = {"NatGatewayId": "nat-1", "State": "available", "NatGatewayAddresses": addresses}
    made = NatGateway.from_api(answer, HERE)
    assert (made.is_counted, made.allocation_ids) == (True, ("eipalloc-1", "eipalloc-2"))
