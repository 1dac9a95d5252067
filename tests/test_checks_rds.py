"""Databases: one size down, and Multi-AZ outside production, with cents by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from check_kit_network import HERE, NOW, OLD, Metric, Prices, Recorder, Rule, View, flat
from pytest_finops.checks import databases
from pytest_finops.fixtures.rds import DBInstance, OrderableOption

import pytest_finops as finops

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Ec2Type(finops.Resource):
    vcpus: int
    memory_mib: int


TYPES = View(
    [
        Ec2Type(id="m5.2xlarge", target=HERE, vcpus=8, memory_mib=32768),
        Ec2Type(id="m5.xlarge", target=HERE, vcpus=4, memory_mib=16384),
        Ec2Type(id="t3.xlarge", target=HERE, vcpus=4, memory_mib=16384),
        Ec2Type(id="t3.large", target=HERE, vcpus=2, memory_mib=8192),
    ]
)


def instance(name: str = "orders-db-1", **fields: Any) -> DBInstance:
    given: dict[str, Any] = {
        "engine": "mysql", "engine_version": "8.0.40", "license_model": "general-public-license",
        "instance_class": "db.m5.2xlarge", "status": "available", "zone": "us-east-1a", "storage_type": "gp3",
        "allocated_gib": 100, "iops": 3000, "created": OLD,
    }  # fmt: skip
    return DBInstance(id=name, target=HERE, **{**given, **fields})


def option(instance_class: str, **fields: Any) -> OrderableOption:
    given: dict[str, Any] = {
        "engine": "mysql", "engine_version": "8.0.40", "license_model": "general-public-license",
        "storage_type": "gp3", "multi_az_capable": True, "zones": frozenset({"us-east-1a", "us-east-1b"}),
    }  # fmt: skip
    return OrderableOption(
        id=instance_class, target=HERE, instance_class=instance_class, **{**given, **fields}
    )


OPTIONS = View(option(name) for name in ("db.m5.2xlarge", "db.m5.xlarge", "db.r5.large", "db.t3.large"))


def low_cpu(
    *instances: DBInstance,
    mean: float = 6.2,
    peak: float = 30.0,
    free: float = 22 * GIB,
    hours: int = 336,
    options: View = OPTIONS,
    cpu: Metric | None = None,
    memory: Metric | None = None,
    prices: Prices | None = None,
) -> Recorder:
    names = [one.id for one in instances]
    cpu = cpu or Metric({n: {"Average": flat(mean, hours), "Maximum": flat(peak, hours)} for n in names})
    memory = memory or Metric({n: flat(free, hours) for n in names})
    said = Recorder()
    databases.low_cpu(
        View(instances), options, TYPES, cpu, memory, Metric({n: flat(0.0) for n in names}),
        prices or Prices(), said, Rule("database/rds.yaml", "rds-low-cpu"),
    )  # fmt: skip
    return said


def multi_az(*instances: DBInstance, prices: Prices | None = None) -> Recorder:
    said = Recorder()
    rule = Rule("database/rds.yaml", "rds-multi-az-nonprod")
    databases.multi_az_nonprod(View(instances), prices or Prices(), said, rule)
    return said


def test_one_size_down_is_priced_on_both_sides() -> None:
    said = low_cpu(instance())
    # (0.684 - 0.342) x 730
    assert said.savings == {"orders-db-1": "249.66"}
    found = said.found["orders-db-1"]
    assert found.components == ["db-compute:orders-db-1"]
    assert found.said["current"] == "6.2% CPU avg"
    assert found.said["confidence"] == "high"
    assert found.said["evidence"]["target_class"] == "db.m5.xlarge"
    assert found.said["evidence"]["cpu_p95_on_target"] == 60.0
    assert "db.m5.2xlarge to db.m5.xlarge" in found.said["recommendation"]
    assert "No client connected" in found.said["recommendation"]


def test_multi_az_pays_twice() -> None:
    # (1.368 - 0.684) x 730
    assert low_cpu(instance(multi_az=True)).savings == {"orders-db-1": "499.32"}


def test_hours_are_scaled_below_95_percent() -> None:
    # 300 of 336 hours: 730 x 300 / 336 = 651.79 h x 0.342
    assert low_cpu(instance(), hours=300).savings == {"orders-db-1": "222.91"}


def test_coverage_below_three_quarters_is_not_evaluated() -> None:
    assert low_cpu(instance(), hours=252).savings != {}
    said = low_cpu(instance(), hours=251)
    assert said.savings == {}
    assert said.skipped == {"orders-db-1": "only 75% of the datapoints of CPUUtilization"}


@pytest.mark.parametrize(
    "fields",
    [
        {"engine": "aurora-mysql"},
        {"engine": "aurora-postgresql", "cluster_id": "c"},
        {"engine": "docdb"},
        {"engine": "neptune"},
        {"cluster_id": "multi-az-cluster"},
        {"engine": "custom-oracle-ee"},
        {"instance_class": "db.serverless"},
        {"status": "stopped"},
    ],
)
def test_members_of_clusters_and_what_does_not_run_are_clean(fields: dict[str, Any]) -> None:
    said = low_cpu(instance(**fields))
    assert (said.savings, said.skipped, said.notes) == ({}, {}, {})


@pytest.mark.parametrize(
    ("given", "stays"),
    [
        ({"mean": 19.9}, False),
        ({"mean": 20.0}, True),
        # Twice 40 % is 80 % of half the vCPUs: still fits.
        ({"peak": 40.0}, False),
        ({"peak": 40.1}, True),
        # 32 GiB less 18 GiB free = 14 GiB used, x 1.1 = 15.4 GiB: fits into 16; 17 GiB free would need 16.5.
        ({"free": 18 * GIB}, False),
        ({"free": 17 * GIB}, True),
    ],
)
def test_boundaries(given: dict[str, float], stays: bool) -> None:
    said = low_cpu(instance(), **given)  # type: ignore[arg-type]
    assert (said.savings == {}) is stays
    assert said.skipped == {}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (View(), "the classes that can be ordered for mysql 8.0.40 are not known"),
        (View([option("db.m5.xlarge", engine_version="5.7.44")]), "the classes that can be ordered"),
    ],
)
def test_unknown_orderable_classes(options: View, reason: str) -> None:
    assert low_cpu(instance(), options=options).skipped["orders-db-1"].startswith(reason)


@pytest.mark.parametrize(
    "fields",
    [
        {"license_model": "bring-your-own-license"},
        {"storage_type": "io1"},
        {"multi_az_capable": False},
        {"zones": frozenset({"us-east-1c"})},
        {"max_storage_gib": 50},
        {"max_iops": 2000},
    ],
)
def test_a_target_that_cannot_be_ordered_is_a_note(fields: dict[str, Any]) -> None:
    said = low_cpu(instance(multi_az=True), options=View([option("db.m5.xlarge", **fields)]))
    assert (said.savings, list(said.notes)) == ({}, ["orders-db-1"])


def test_young_pending_and_unmeasured_instances_are_not_evaluated() -> None:
    assert "13 days ago" in low_cpu(instance(created=NOW - timedelta(days=13.9))).skipped["orders-db-1"]
    assert low_cpu(instance(created=NOW - timedelta(days=14))).savings != {}
    assert "pending" in low_cpu(instance(pending_changes=("DBInstanceClass",))).skipped["orders-db-1"]
    assert "processor" in low_cpu(instance(processor_features=True)).skipped["orders-db-1"]
    assert "no datapoints of CPU" in low_cpu(instance(), cpu=Metric()).skipped["orders-db-1"]
    denied = low_cpu(instance(), cpu=Metric({"orders-db-1": "AccessDenied"}))
    assert "AccessDenied" in denied.skipped["orders-db-1"]
    assert "FreeableMemory" in low_cpu(instance(), memory=Metric()).skipped["orders-db-1"]
    unknown = low_cpu(instance(instance_class="db.z9.large"))
    assert unknown.skipped == {"orders-db-1": "vCPU and memory of db.z9.large are not known"}


def test_a_burstable_target_must_hold_its_baseline() -> None:
    # 18 % of four vCPUs is 36 % of two, above the 30 % of t3.large.
    small = instance(instance_class="db.t3.xlarge")
    assert low_cpu(small, mean=18.0, peak=20.0, free=13 * GIB).savings == {}
    said = low_cpu(small, mean=10.0, peak=20.0, free=13 * GIB)
    # No price of db.t3 in the list: a finding all the same, not priced.
    assert said.savings == {"orders-db-1": None}


def test_a_replica_is_doubtful() -> None:
    found = low_cpu(instance(replica_of="orders-db-0")).found["orders-db-1"]
    assert found.said["confidence"] == "low"
    assert "orders-db-0" in found.said["recommendation"]


def test_multi_az_halves_hours_and_storage() -> None:
    said = multi_az(instance(multi_az=True, tags={"env": "dev"}))
    # 0.684 x 730 + 0.115 x 100 GiB
    assert said.savings == {"orders-db-1": "510.82"}
    assert said.found["orders-db-1"].components == ["db-compute:orders-db-1", "db-storage:orders-db-1"]
    assert said.found["orders-db-1"].said["confidence"] == "high"


@pytest.mark.parametrize(
    ("fields", "saving"),
    [
        # 499.32 + 0.125 x 200 + 0.10 x 4000 IOPS
        ({"storage_type": "io1", "allocated_gib": 200, "iops": 4000}, "924.32"),
        # 499.32 + 0.115 x 400; 12,000 IOPS are included from 400 GiB on
        ({"allocated_gib": 400, "iops": 12000}, "545.32"),
        # and 3,000 of 15,000 are charged: + 0.02 x 3000
        ({"allocated_gib": 400, "iops": 15000}, "605.32"),
        # 500 MiB/s are included then, 200 of 700 are charged: 545.32 + 0.08 x 200
        ({"allocated_gib": 400, "iops": 12000, "throughput_mibps": 700}, "561.32"),
        # SQL Server stripes nothing: 1.50 x 730 + 0.115 x 400 + 0.02 x 9000 + 0.08 x 375
        (
            {
                "engine": "sqlserver-se",
                "license_model": "license-included",
                "allocated_gib": 400,
                "iops": 12000,
                "throughput_mibps": 500,
            },
            "1351.00",
        ),
    ],
)
def test_provisioned_iops_double_too(fields: dict[str, Any], saving: str) -> None:
    assert multi_az(instance(multi_az=True, tags={"env": "dev"}, **fields)).savings == {"orders-db-1": saving}


def test_only_a_trusted_environment_decides() -> None:
    assert multi_az(instance(multi_az=True, tags={"env": "prod"})).skipped == {}
    for name in ("contest-db", "latest-db"):
        said = multi_az(instance(name, multi_az=True))
        assert (said.savings, list(said.skipped)) == ({}, [name])
    assert list(multi_az(instance(multi_az=True, tags={"env": "guess"})).skipped) == ["orders-db-1"]


@pytest.mark.parametrize(
    "fields", [{"multi_az": False}, {"engine": "docdb"}, {"cluster_id": "c"}, {"status": "stopped"}]
)
def test_single_zone_members_and_stopped_are_clean(fields: dict[str, Any]) -> None:
    said = multi_az(instance(**{"multi_az": True, "tags": {"env": "dev"}, **fields}))
    assert (said.savings, said.skipped) == ({}, {})


def test_without_a_price_the_standby_is_a_finding_without_money() -> None:
    said = multi_az(instance(multi_az=True, tags={"env": "dev"}), prices=Prices(without=["rds.storage"]))
    assert said.savings == {"orders-db-1": None}


def test_the_answer_becomes_an_instance() -> None:
    answer = {
        "DBInstanceIdentifier": "a-b", "DBInstanceClass": "db.m5.large", "Engine": "oracle-se2", "MultiAZ": True,
        "DBInstanceStatus": "available", "AllocatedStorage": 200, "Iops": 12000, "StorageType": "gp3",
        "InstanceCreateTime": OLD, "TagList": [{"Key": "env", "Value": "dev"}],
        "PendingModifiedValues": {"DBInstanceClass": "db.m5.xlarge"}, "MasterUsername": "admin",
    }  # fmt: skip
    made = DBInstance.from_api(answer, HERE)
    assert (made.is_standalone, made.charged_iops, made.pending_changes) == (True, 0, ("DBInstanceClass",))
    assert (made.ec2_type, made.tags["env"], hasattr(made, "master_username")) == ("m5.large", "dev", False)


def test_every_price_that_a_verdict_asks_for_is_announced() -> None:
    from pytest_finops.fixtures.rds import _prices

    from pytest_finops.prices import catalogue

    keys = set(_prices(instance(multi_az=True, storage_type="io1", iops=1000)))
    engine = {"engine": "mysql", "license_model": "general-public-license"}
    for name, multi_az in (("db.m5.2xlarge", True), ("db.m5.2xlarge", False), ("db.m5.xlarge", True)):
        wanted = {"instance_class": name, "multi_az": multi_az, **engine}
        assert catalogue.key("rds.instance", "us-east-1", wanted) in keys
    for dimension in ("rds.storage", "rds.iops"):
        wanted = {"storage_type": "io1", "multi_az": False}
        assert catalogue.key(dimension, "us-east-1", wanted) in keys
