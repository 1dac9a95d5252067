"""EC2 checks: verdicts and cents, written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from check_kit import ELSEWHERE, HERE, Metric, Prices, Recorder, View, days_ago, hourly, rule_of
from pytest_finops.checks.compute.test_ec2 import test_ec2_low_cpu as low_cpu
from pytest_finops.checks.compute.test_ec2 import test_ec2_old_generation as old_generation
from pytest_finops.fixtures.ec2 import Instance, InstanceType, ZoneOfferings, instance_prices
from pytest_finops.fixtures.sizes import smaller_size

LOW = rule_of("compute/ec2.yaml", "ec2-low-cpu")
OLD = rule_of("compute/ec2.yaml", "ec2-old-generation")

SHAPES = {
    "m5.large": (2, 8192), "m5.xlarge": (4, 16384), "m5.2xlarge": (8, 32768), "m6i.large": (2, 8192),
    "m4.large": (2, 8192), "m3.medium": (1, 3840), "t3.nano": (2, 512), "t2.nano": (1, 512),
    "t3.small": (2, 2048), "t3.medium": (2, 4096), "c4.8xlarge": (36, 61440), "c6i.8xlarge": (32, 65536),
}  # fmt: skip
PRICES = {
    "m5.large": "0.096", "m5.xlarge": "0.192", "m5.2xlarge": "0.384", "m6i.large": "0.096", "m4.large": "0.10",
    "t3.nano": "0.0052", "t2.nano": "0.0058", "t3.small": "0.0208", "t3.medium": "0.0416",
    "c4.8xlarge": "1.591", "c6i.8xlarge": "1.36",
}  # fmt: skip


def prices(**more: str) -> Prices:
    table = {("ec2.instance", name, "RunInstances", "default"): price for name, price in PRICES.items()}
    table["ec2.instance", "m5.xlarge", "RunInstances:0002", "default"] = "0.376"
    table["ec2.instance", "m5.large", "RunInstances:0002", "default"] = "0.188"
    return Prices(table)


def instance(type_name: str = "m5.xlarge", **fields: Any) -> Instance:
    given = {
        "id": "i-1",
        "target": HERE,
        "state": "running",
        "created": days_ago(30),
        "availability_zone": "a",
    }
    return Instance(instance_type=type_name, **(given | fields))


def types(*accelerated: str) -> View:
    return View(
        InstanceType(id=name, target=HERE, vcpus=v, memory_mib=m, is_accelerated=name in accelerated)
        for name, (v, m) in SHAPES.items()
    )


def offerings(*missing: str) -> View:
    return View([ZoneOfferings(id="a", target=HERE, instance_types=frozenset(SHAPES) - set(missing))])


def cpu(average: Any = None, maximum: Any = None, faults: Any = None) -> Metric:
    found = {("i-1", "Average"): average, ("i-1", "Maximum"): maximum}
    return Metric({key: value for key, value in found.items() if value is not None}, faults)


CALM = cpu(hourly(6.2), hourly(20.0))


def judge(one: Instance, metric: Metric = CALM, **other: Any) -> Recorder:
    found = Recorder()
    low_cpu(
        View([one]), other.get("types", types()), other.get("offerings", offerings()), metric,
        other.get("prices", prices()), found, LOW,
    )  # fmt: skip
    return found


def renew(one: Instance, **other: Any) -> Recorder:
    found = Recorder()
    old_generation(
        View([one]), types(), other.get("offerings", offerings()), other.get("prices", prices()), found, OLD
    )
    return found


def test_low_cpu_is_one_size_down_at_list_price() -> None:
    found = judge(instance())
    report = found.reports["i-1"]
    assert report.savings == "70.08"  # (0.192 - 0.096) x 730
    assert report.current == "6.2% CPU avg"
    assert report.confidence == "medium"  # memory is not measured
    assert report.evidence["target_type"] == "m5.large"
    assert report.evidence["target_cpu_p95"] == 40.0
    assert {line.component for line in report.current_lines} == {"compute:i-1"}


def test_low_cpu_prices_the_operation() -> None:
    assert judge(instance(usage_operation="RunInstances:0002")).savings == {"i-1": "137.24"}


@pytest.mark.parametrize(
    ("average", "maximum", "finding"),
    [(19.99, 20.0, True), (20.0, 20.0, False), (6.0, 40.0, True), (6.0, 40.1, False)],
)
def test_low_cpu_boundaries(average: float, maximum: float, finding: bool) -> None:
    found = judge(instance(), cpu(hourly(average), hourly(maximum)))
    assert bool(found.reports) is finding
    assert not found.unknown


def test_one_boot_hour_does_not_veto() -> None:
    metric = cpu(hourly(5.0), hourly(20.0, peaks=10, peak=100.0))
    assert judge(instance(), metric).savings == {"i-1": "70.08"}


def test_hours_are_scaled_below_95_percent() -> None:
    metric = cpu(hourly(5.0, 252), hourly(20.0, 252))
    assert judge(instance(), metric).savings == {"i-1": "52.56"}  # 0.096 x 547.50


@pytest.mark.parametrize(
    ("one", "metric", "reason"),
    [
        (instance(created=days_ago(3)), CALM, "too young: 3 days"),
        (instance(), cpu(), "no datapoints"),
        (instance(), cpu(faults={"i-1": "cloudwatch: AccessDenied"}), "cloudwatch: AccessDenied"),
        (instance(), cpu(hourly(5.0, 251), hourly(5.0, 251)), "too few datapoints: 74.7%"),
        (instance("m9.large"), CALM, "type m9.large is not described"),
    ],
)
def test_low_cpu_not_evaluated(one: Instance, metric: Metric, reason: str) -> None:
    found = judge(one, metric)
    assert found.unknown == {"i-1": reason}
    assert not found.reports


def test_exactly_fourteen_days_is_old_enough() -> None:
    assert judge(instance(created=days_ago(14))).reports


@pytest.mark.parametrize(
    "one",
    [
        instance(state="stopped"), instance(lifecycle="spot"), instance("m5.metal"), instance(tenancy="host"),
        instance(tags={"aws:autoscaling:groupName": "web"}), instance(operator_managed=True),
    ],
)  # fmt: skip
def test_low_cpu_leaves_out(one: Instance) -> None:
    found = judge(one)
    assert found.is_silent


def test_accelerated_types_are_left_out() -> None:
    assert not judge(instance(), types=types("m5.xlarge")).reports


def test_burstable_baseline_stops_a_downsizing() -> None:
    # t3.medium may use 20 % for ever, t3.small too, but a t3 at 12 % on half the memory is fine.
    one = instance("t3.medium")
    assert judge(one, cpu(hourly(12.0), hourly(30.0))).savings == {"i-1": "15.18"}
    # t3.nano may use 5 % only: its mean of 12 % would spend credits all the time.
    small = judge(instance("t3.small"), cpu(hourly(12.0), hourly(30.0)))
    assert not small.reports


def test_smallest_size_becomes_the_cheaper_successor_or_a_note() -> None:
    upgraded = judge(instance("m4.large"))
    assert upgraded.savings == {"i-1": "2.92"}
    assert upgraded.reports["i-1"].action == "upgrade"
    noted = judge(instance("m5.large"))
    assert not noted.reports
    assert "no smaller size" in noted.notes["i-1"]


def test_low_cpu_without_a_price_is_a_finding_without_savings() -> None:
    found = judge(instance(), prices=Prices({}))
    assert found.savings == {"i-1": None}
    unknown = judge(instance("m4.large"), prices=Prices({}))
    assert unknown.unknown == {
        "i-1": "no price for ec2.instance in us-east-1 (instance_type m4.large, operation RunInstances, tenancy default)"
    }


def test_types_of_another_account_do_not_count() -> None:
    elsewhere = View([InstanceType(id="m5.xlarge", target=ELSEWHERE, vcpus=4, memory_mib=1)])
    assert judge(instance(), types=elsewhere).unknown == {"i-1": "type m5.xlarge is not described"}


def test_old_generation_names_the_same_size_of_the_successor() -> None:
    found = renew(instance("m4.large"))
    assert found.savings == {"i-1": "2.92"}  # (0.10 - 0.096) x 730
    assert found.reports["i-1"].evidence["target_type"] == "m6i.large"


def test_t2_nano_is_a_saving_like_any_other() -> None:
    assert renew(instance("t2.nano")).savings == {"i-1": "0.44"}


def test_m5_is_no_finding_where_its_successor_costs_the_same() -> None:
    found = renew(instance("m5.large"))
    assert found.is_silent


def test_old_generation_without_a_successor_of_its_size_is_a_note() -> None:
    assert "old generation" in renew(instance("m3.medium")).notes["i-1"]
    assert "old generation" in renew(instance("c4.8xlarge")).notes["i-1"]  # fewer vCPUs
    assert "old generation" in renew(instance("m4.large"), offerings=offerings("m6i.large")).notes["i-1"]


def test_old_generation_needs_a_price() -> None:
    found = renew(instance("m4.large"), prices=Prices({}))
    assert found.unknown == {
        "i-1": "no price for ec2.instance in us-east-1 (instance_type m4.large, operation RunInstances, tenancy default)"
    }


@pytest.mark.parametrize(
    "fields", [{"state": "stopped"}, {"lifecycle": "spot"}, {"tags": {"eks:cluster-name": "x"}}]
)
def test_old_generation_leaves_out(fields: dict[str, Any]) -> None:
    found = renew(instance("m4.large", **fields))
    assert found.is_silent


def test_the_ladder_of_sizes() -> None:
    assert smaller_size("2xlarge") == "xlarge"
    assert smaller_size("9xlarge", ["large", "4xlarge", "9xlarge"]) == "4xlarge"
    assert smaller_size("nano") is None
    assert smaller_size("metal") is None


def test_prices_of_both_sides_are_declared() -> None:
    names = {dict(key.attributes)["instance_type"] for key in instance_prices(instance("m4.xlarge"))}
    assert {"m4.xlarge", "m4.large", "m6i.xlarge"} <= names
    assert not list(instance_prices(instance(state="stopped")))


def test_windows_is_told_without_usage_operation() -> None:
    answer = {"InstanceId": "i-1", "Platform": "windows", "InstanceType": "m5.large"}
    assert Instance.from_api(answer, HERE).usage_operation == "RunInstances:0002"
    assert Instance.from_api({"InstanceId": "i-1"}, HERE).usage_operation == "RunInstances"
