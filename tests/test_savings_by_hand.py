"""Every saving formula of the ten checks, to the cent, at bundled list prices: the arithmetic stands beside it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import test_checks_compute as compute
import test_checks_elb as elb
import test_checks_nat as nat
import test_checks_rds as rds
import test_checks_storage as storage
from check_kit import ELSEWHERE, HERE, Recorder, View, hourly
from pytest_finops.checks.storage.test_ebs import test_ebs_old_snapshots as old_snapshots
from pytest_finops.fixtures.addresses import Address
from pytest_finops.fixtures.ebs import Sharing

from pytest_finops.findings import cents
from pytest_finops.prices import PriceBook

#: HERE is us-east-1, ELSEWHERE eu-west-1.
LIST = PriceBook("offline", today=date(2026, 11, 23))
GIB = 2**30


def bill(lines: Any) -> str:
    return str(cents(sum((line.amount for line in lines), Decimal(0))))


# --- ec2-low-cpu: (own type - one size down) x hours seen running, at most 730 ------------------------------------


@pytest.mark.parametrize(
    ("type_name", "hours", "saving"),
    [
        ("m5.xlarge", 336, "70.08"),  # (0.192 - 0.096) x 730
        ("m5.2xlarge", 336, "140.16"),  # (0.384 - 0.192) x 730
        ("t3.medium", 336, "15.18"),  # (0.0416 - 0.0208) x 730 = 15.184
        ("m5.xlarge", 320, "70.08"),  # 95.2 % of the hours: taken for the whole month
        ("m5.xlarge", 280, "58.40"),  # 730 x 280 / 336 = 608.33 h x 0.096
        ("m5.xlarge", 252, "52.56"),  # 730 x 252 / 336 = 547.50 h x 0.096
    ],
)
def test_ec2_low_cpu(type_name: str, hours: int, saving: str) -> None:
    metric = compute.cpu(hourly(3.0, hours), hourly(20.0, hours))
    assert compute.judge(compute.instance(type_name), metric, prices=LIST).savings == {"i-1": saving}


def test_ec2_low_cpu_of_windows_halves_the_licence_too() -> None:
    # r6i.4xlarge 1.864 - r6i.2xlarge 0.932 = 0.932 x 730; the licence is 0.046 a vCPU on both sides
    four, two = (
        LIST.resolve(
            "ec2.instance", "eu-west-1", {"instance_type": f"r6i.{size}xlarge", "operation": operation}
        ).unit_price
        for size, operation in (("4", "RunInstances:0002"), ("2", "RunInstances:0002"))
    )
    assert four is not None
    assert two is not None
    assert str(cents((four - two) * 730)) == "680.36"
    linux = LIST.resolve("ec2.instance", "eu-west-1", {"instance_type": "r6i.2xlarge"}).unit_price
    assert linux is not None
    assert two - linux == 8 * Decimal("0.046")


# --- ec2-old-generation: (own type - same size of the successor) x 730 ----------------------------------------------


@pytest.mark.parametrize(
    ("type_name", "saving"),
    [
        ("m4.large", "2.92"),  # (0.10 - 0.096) x 730
        ("t2.nano", "0.44"),  # (0.0058 - 0.0052) x 730 = 0.438
    ],
)
def test_ec2_old_generation(type_name: str, saving: str) -> None:
    assert compute.renew(compute.instance(type_name), prices=LIST).savings == {"i-1": saving}


# --- ebs-unattached: GB, and the IOPS and throughput that are paid for ----------------------------------------------


@pytest.mark.parametrize(
    ("fields", "monthly"),
    [
        ({"volume_type": "gp2"}, "10.00"),  # 100 x 0.10
        ({"volume_type": "gp3", "iops": 3000, "throughput": 125}, "8.00"),  # 100 x 0.08
        # 100 x 0.08 + (4000 - 3000) x 0.005 + (250 - 125) x 0.04 = 8 + 5 + 5
        ({"volume_type": "gp3", "iops": 4000, "throughput": 250}, "18.00"),
        ({"volume_type": "io1", "iops": 1000}, "77.50"),  # 100 x 0.125 + 1000 x 0.065
        # 100 x 0.125 + 32000 x 0.065 + 32000 x 0.0455 + 6000 x 0.03185 = 12.50 + 2080 + 1456 + 191.10
        ({"volume_type": "io2", "iops": 70000}, "3739.60"),
        ({"volume_type": "st1", "size_gib": 500}, "22.50"),  # 500 x 0.045
        ({"volume_type": "sc1", "size_gib": 500}, "7.50"),  # 500 x 0.015
        ({"volume_type": "standard"}, "5.00"),  # 100 x 0.05
        # Ireland: 200 x 0.088 + 1000 x 0.0055 + 25 x 0.044 = 17.60 + 5.50 + 1.10
        (
            {"target": ELSEWHERE, "volume_type": "gp3", "size_gib": 200, "iops": 4000, "throughput": 150},
            "24.20",
        ),
        ({"target": ELSEWHERE, "volume_type": "io1", "iops": 1000}, "85.80"),  # 100 x 0.138 + 1000 x 0.072
    ],
)
def test_ebs_unattached(fields: dict[str, Any], monthly: str) -> None:
    assert bill(storage.volume(**fields).full_price(LIST)) == monthly


# --- ebs-gp2-to-gp3: gp2 - gp3 with 3 IOPS a GiB (3000 to 16000) and 250 MiB/s from 334 GiB -------------------------


@pytest.mark.parametrize(
    ("fields", "saving"),
    [
        ({"size_gib": 100}, "2.00"),  # 10.00 - 8.00
        ({"size_gib": 333}, "6.66"),  # 33.30 - 26.64
        ({"size_gib": 334}, "1.68"),  # 33.40 - (26.72 + 125 x 0.04)
        ({"size_gib": 1000}, "15.00"),  # 100 - (80 + 5)
        ({"size_gib": 2000}, "20.00"),  # 200 - (160 + 3000 x 0.005 + 5)
        ({"size_gib": 5334}, "36.68"),  # 533.40 - (426.72 + 13000 x 0.005 + 5)
        ({"size_gib": 16384}, "257.68"),  # 1638.40 - (1310.72 + 13000 x 0.005 + 5)
        # Ireland: 220 - (176 + 3000 x 0.0055 + 125 x 0.044) = 220 - (176 + 16.50 + 5.50)
        ({"size_gib": 2000, "target": ELSEWHERE}, "22.00"),
    ],
)
def test_ebs_gp2_to_gp3(fields: dict[str, Any], saving: str) -> None:
    assert storage.convert(storage.volume(volume_type="gp2", **fields), prices=LIST).savings == {
        "vol-1": saving
    }  # type: ignore[arg-type]


# --- ebs-old-snapshots: the full size of the newest of a lineage that goes as a whole -------------------------------


def test_ebs_old_snapshots() -> None:
    snapshots = [
        storage.snapshot("snap-1", full_size_bytes=80 * GIB),
        storage.snapshot("snap-2", volume_id="vol-2"),
    ]
    found = Recorder()
    seen = [Sharing(id=one.id, target=one.target) for one in snapshots]
    old_snapshots(View(snapshots), View(seen), View(), View(), View(), View(), LIST, found, storage.SNAPSHOTS)  # type: ignore[arg-type]
    # 80 x 0.05; 100 x 0.05
    assert found.savings == {"snap-1": "4.00", "snap-2": "5.00"}


# --- eip-unassociated: the idle address, all hours ------------------------------------------------------------------


def test_eip_unassociated() -> None:
    address = Address.from_api(
        {"AllocationId": "eipalloc-1", "PublicIp": "198.51.100.7", "PublicIpv4Pool": "amazon"}, HERE
    )
    assert bill(address.full_price(LIST)) == "3.65"  # 0.005 x 730


# --- rds-low-cpu: (class - one size down) x hours, at the price of its engine and deployment ------------------------


@pytest.mark.parametrize(
    ("fields", "hours", "saving"),
    [
        ({}, 336, "249.66"),  # MySQL (0.684 - 0.342) x 730
        ({"multi_az": True}, 336, "499.32"),  # (1.368 - 0.684) x 730
        ({}, 300, "222.91"),  # 730 x 300 / 336 = 651.79 h x 0.342
        (
            {"engine": "postgres", "license_model": "postgresql-license"},
            336,
            "259.88",
        ),  # (0.712 - 0.356) x 730
    ],
)
def test_rds_low_cpu(fields: dict[str, Any], hours: int, saving: str) -> None:
    engine = {name: fields[name] for name in ("engine", "license_model") if name in fields}
    options = rds.View(rds.option(name, **engine) for name in ("db.m5.2xlarge", "db.m5.xlarge"))
    found = rds.low_cpu(rds.instance(**fields), hours=hours, options=options, prices=LIST)  # type: ignore[arg-type]
    assert found.savings == {"orders-db-1": saving}


# --- rds-multi-az-nonprod: half of the hours, of the storage, of the provisioned IOPS -------------------------------


@pytest.mark.parametrize(
    ("fields", "saving"),
    [
        # (1.368 - 0.684) x 730 = 499.32; 100 x (0.23 - 0.115) = 11.50
        ({}, "510.82"),
        # the same hours; gp3 from 400 GiB includes 12,000 IOPS: 500 x 0.115 = 57.50; (14000 - 12000) x (0.04 - 0.02) = 40
        ({"allocated_gib": 500, "iops": 14000}, "596.82"),
        # gp2: 200 x (0.23 - 0.115) = 23.00
        ({"storage_type": "gp2", "allocated_gib": 200, "iops": 0}, "522.32"),
        # nobody vouches for io1 of Multi-AZ
        ({"storage_type": "io1", "iops": 3000}, None),
    ],
)
def test_rds_multi_az_nonprod(fields: dict[str, Any], saving: str | None) -> None:
    one = rds.instance("orders-dev", multi_az=True, tags={"env": "dev"}, **fields)
    assert rds.multi_az(one, prices=LIST).savings == {"orders-dev": saving}  # type: ignore[arg-type]


# --- nat-gateway-count: hours and addresses, less what then crosses zones, counted where it leaves and enters -------


@pytest.mark.parametrize(
    ("addresses", "gib", "saving"),
    [
        (1, 0, "36.50"),  # (0.045 + 0.005) x 730
        (2, 0, "40.15"),  # (0.045 + 2 x 0.005) x 730
        (1, 500, "26.50"),  # 36.50 - 500 x 2 x 0.01
        (1, 1824, "0.02"),  # 36.50 - 1824 x 2 x 0.01
        (1, 1825, None),  # nothing is left
    ],
)
def test_nat_gateway_count(addresses: int, gib: float, saving: str | None) -> None:
    second = nat.gateway("nat-2", "b", allocation_ids=tuple(f"eipalloc-{n}" for n in range(addresses)))
    found = nat.judge(
        nat.gateway("nat-1"), second, monthly={"nat-1": 9000, "nat-2": gib}, routes={"a": "nat-1", "b": "nat-2"},
        env="dev", prices=LIST,
    )  # type: ignore[arg-type]  # fmt: skip
    assert found.savings == ({} if saving is None else {"nat-2": saving})


# --- elb-idle: hours, and an address in each zone of an internet-facing one -----------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "saving"),
    [
        ("application", {}, "23.73"),  # 0.0225 x 730 + 2 x 0.005 x 730 = 16.425 + 7.30
        ("application", {"zones": ("a", "b", "c")}, "27.38"),  # 16.425 + 10.95
        ("application", {"scheme": "internal"}, "16.43"),  # 16.425
        ("network", {}, "23.73"),
        # nobody vouches for Gateway Load Balancers in us-east-1
        ("gateway", {"scheme": "internal"}, None),
    ],
)
def test_elb_idle(kind: str, fields: dict[str, Any], saving: str | None) -> None:
    quiet = {"network": elb.QUIET_NLB, "gateway": {"gwlb_flows": elb.flat(0.0)}}.get(kind, {})
    found = elb.judge(elb.balancer(kind, **fields), quiet, prices=LIST)  # type: ignore[arg-type]
    assert list(found.savings.values()) == [saving]


# --- tiers: the last units are what a saving is worth ---------------------------------------------------------------


def test_egress_is_saved_at_the_tier_of_the_last_gigabytes() -> None:
    def saved(gone: int, total: int | None) -> str:
        return bill(LIST.lines("transfer.internet", HERE, gone, total=total))

    assert (
        saved(1000, None) == "90.00"
    )  # unknown usage: the first tier, 1000 x 0.09, said to be an upper bound
    assert saved(1000, 5000) == "90.00"
    assert saved(1000, 20000) == "85.00"  # 10 to 50 TB: 0.085
    assert saved(1000, 10740) == "87.50"  # 500 x 0.085 + 500 x 0.09
    (line,) = LIST.lines("transfer.internet", HERE, 1000)
    assert "upper bound" in line.note


def test_a_free_allowance_saves_nothing() -> None:
    # 25 write units of an account are free: 18,600 unit-hours. 30 units are 21,900; giving up 20 saves 3,300 hours.
    assert (
        bill(LIST.lines("dynamodb.capacity.write", HERE, 14600, total=21900)) == "2.15"
    )  # 3300 x 0.00065 = 2.145
    free, paid = LIST.lines("dynamodb.capacity.write", HERE, 14600, total=21900)
    assert (free.quantity, free.amount, free.note) == (11300, 0, "free of charge")
    assert paid.quantity == 3300
