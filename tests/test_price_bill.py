"""A month's bill beside our prices, and the commands that show prices."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from finops_kit import ACCOUNT, environment, volumes_estate
from price_kit import Client, book, ec2

from pytest_finops.cli import main as cli
from pytest_finops.errors import CollectError
from pytest_finops.prices import CATALOGUE, key
from pytest_finops.prices.bill import (
    Usage,
    ask,
    billed_as,
    identify,
    last_month,
    questions,
    rates,
    region_of,
    verify,
)
from pytest_finops.testing import ReplayEndpoint


def usage(
    usage_type: str, quantity: str, cost: str, operation: str = "", service: str = "", net: str = ""
) -> Usage:
    return Usage(usage_type, operation, service, Decimal(quantity), Decimal(cost), Decimal(net or cost))


@pytest.mark.parametrize(
    ("usage_type", "operation", "service", "expected"),
    [
        ("BoxUsage:m5.large", "RunInstances", "", ("ec2.instance", "us-east-1")),
        ("EU-BoxUsage:m5.large", "RunInstances:0002", "", ("ec2.instance", "eu-west-1")),
        ("APS3-NatGateway-Hours", "", "", ("vpc.nat.hours", "ap-south-1")),
        ("EBS:VolumeUsage.gp3", "", "EC2 - Other", ("ebs.storage", "us-east-1")),
        ("EBS:VolumeUsage", "", "EC2 - Other", ("ebs.storage", "us-east-1")),
        ("EUC1-InstanceUsage:db.m5.large", "CreateDBInstance:0014", "", ("rds.instance", "eu-central-1")),
        ("EUC1-RDS:Multi-AZ-GP3-Storage", "", "Amazon Relational Database Service", ("rds.storage", "eu-central-1")),
        ("TimedStorage-ByteHrs", "", "Amazon Simple Storage Service", ("s3.storage", "us-east-1")),
        ("TimedStorage-ByteHrs", "", "AmazonCloudWatch", ("cloudwatch.logs.storage", "us-east-1")),
        ("us-east-1-KMS-Keys", "", "AWS Key Management Service", ("kms.key", "us-east-1")),
        ("DataTransfer-Out-Bytes", "", "", ("transfer.internet", "us-east-1")),
        # Four services sell storage of this name; engines share usage types; others are not in the catalogue.
        ("TimedStorage-ByteHrs", "", "", None),
        ("InstanceUsage:db.m5.large", "CreateDBInstance:0009", "", None),
        ("RegionalNatGateway-Hours-X", "", "", None),
        ("XYZ9-NatGateway-Hours", "", "", None),
        ("NoSuchThing", "", "", None),
    ],
)  # fmt: skip
def test_usage_types_are_recognised(usage_type: str, operation: str, service: str, expected: Any) -> None:
    found = identify(usage(usage_type, "1", "1", operation, service))
    assert (found and (found.dimension, found.region)) == expected


def test_what_is_recognised_asks_for_that_usage_type() -> None:
    found = identify(usage("EUC1-Multi-AZUsage:db.r5.large", "1", "1", "CreateDBInstance:0002"))
    assert found == key(
        "rds.instance", "eu-central-1", {"instance_class": "db.r5.large", "engine": "mysql", "multi_az": True}
    )
    assert region_of("EU-BoxUsage:m5.large") == "eu-west-1"


def test_list_prices_meet_the_bill(tmp_path: Path) -> None:
    bill = [
        usage("BoxUsage:m5.large", "1000", "96.00", "RunInstances"),
        usage("EBS:VolumeUsage.gp3", "500", "40.15"),  # 0.4 % above 500 x 0.08
        usage("EBS:VolumeUsage.gp2", "500", "45.00"),  # ten per cent below 500 x 0.10: a private price
        usage("EBS:VolumeP-Throughput.gp3", "2", "81.92"),  # 2 GiB/s are 2048 MiB/s x 0.04
        usage("DataTransfer-Out-Bytes", "20480", "1792.00"),  # 10240 x 0.09 + 10240 x 0.085
        usage("WriteCapacityUnit-Hrs", "21900", "2.145"),  # 3300 above the allowance x 0.00065
        usage("NatGateway-Hours", "100", "0"),
        usage("XYZ9-Something", "1", "7.00"),
        usage("EUC1-EBS:VolumeUsage.sc1", "100", "1.70"),
        usage("NatGateway-Bytes", "0", "0"),
    ]
    found = verify(bill, book(tmp_path, mode="offline"))
    assert [one.verdict for one in found] == [
        "agree", "agree", "disagree", "agree", "agree", "agree", "no charge", "no price", "no price",
    ]  # fmt: skip
    assert found[2].expected == Decimal("50")
    assert found[4].expected == Decimal("1792.00")


def test_effective_rates_are_what_a_unit_cost_after_discounts() -> None:
    bill = [
        usage("BoxUsage:m5.large", "1000", "96.00", "RunInstances", net="62.40"),
        usage("EBS:VolumeP-Throughput.gp3", "2", "81.92", net="81.92"),
        usage("EBS:VolumeUsage.gp3", "500", "40.00"),
        usage("USE1-EBS:VolumeUsage.gp3", "10", "0.10"),  # the same thing twice: nobody knows which
    ]
    found = {wanted.dimension: rate for wanted, rate in rates(bill).items()}
    assert found == {"ec2.instance": Decimal("0.0624"), "ebs.throughput": Decimal("0.04")}


def answer(*groups: tuple[str, str, str, str], token: str = "", currency: str = "USD") -> dict[str, Any]:
    made = [
        {
            "Keys": [usage_type, other],
            "Metrics": {
                "UsageQuantity": {"Amount": quantity, "Unit": "N/A"},
                "UnblendedCost": {"Amount": cost, "Unit": currency},
                "NetAmortizedCost": {"Amount": cost, "Unit": currency},
            },
        }
        for usage_type, other, quantity, cost in groups
    ]
    page = {
        "ResultsByTime": [
            {"TimePeriod": {"Start": "2026-10-01", "End": "2026-11-01"}, "Groups": made, "Estimated": False}
        ]
    }
    return {**page, "NextPageToken": token} if token else page


MONTH = date(2026, 10, 1), date(2026, 11, 1)


def test_operations_stand_in_where_they_decide() -> None:
    sent: list[dict[str, Any]] = []
    pages = iter(
        [
            answer(
                ("BoxUsage:m5.large", "Amazon Elastic Compute Cloud - Compute", "100", "14.2"), token="more"
            ),
            answer(("TimedStorage-ByteHrs", "Amazon Simple Storage Service", "10", "0.23")),
            answer(
                ("BoxUsage:m5.large", "RunInstances", "50", "4.8"),
                ("BoxUsage:m5.large", "RunInstances:0002", "50", "9.4"),
                ("TimedStorage-ByteHrs", "StandardStorage", "10", "0.23"),
            ),
        ]
    )

    def send(request: dict[str, Any]) -> dict[str, Any]:
        sent.append(dict(request))
        return next(pages)

    found = ask(send, *MONTH)

    assert [(one.usage_type, one.operation, one.service) for one in found] == [
        ("BoxUsage:m5.large", "RunInstances:0002", ""),
        ("BoxUsage:m5.large", "RunInstances", ""),
        ("TimedStorage-ByteHrs", "", "Amazon Simple Storage Service"),
    ]
    assert [request.get("NextPageToken") for request in sent] == [None, "more", None]
    assert sent[0]["Filter"] == {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Usage"]}}


@pytest.mark.parametrize(
    "page", [{}, answer(("BoxUsage:m5.large", "S", "1", "1"), currency="CNY"), answer(token="again")]
)
def test_other_answers_are_refused(page: dict[str, Any]) -> None:
    with pytest.raises(CollectError):
        ask(lambda _: page, *MONTH)


def test_the_last_closed_month() -> None:
    assert last_month(date(2026, 11, 23)) == MONTH
    assert last_month(date(2026, 1, 1)) == (date(2025, 12, 1), date(2026, 1, 1))
    first, second = questions(*MONTH)
    assert [group["Key"] for group in first["GroupBy"]] == ["USAGE_TYPE", "SERVICE"]
    assert [group["Key"] for group in second["GroupBy"]] == ["USAGE_TYPE", "OPERATION"]


# --- the commands -------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINOPS_CACHE_DIR", str(tmp_path / "cache"))


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.main, ["prices", *args])


def test_show_prints_the_price_its_origin_and_the_question() -> None:
    found = run(
        "show",
        "ec2.instance@eu-west-1,instance_type=m5.large",
        "transfer.internet@us-east-1",
        "--prices",
        "offline",
    )
    assert found.exit_code == 0, found.output
    assert "0.107 USD per h" in found.output
    assert "snapshot, as of 2024-08-09" in found.output
    assert "capacitystatus=Used" in found.output
    assert "0.09 10240:0.085" in found.output
    document = json.loads(
        run("show", "vpc.nat.hours@us-east-1", "--prices", "offline", "--format", "json").output
    )
    assert document[0]["prices"] == [{"from": "0", "unit_price": "0.045"}]


def test_show_says_unknown_and_refuses_nonsense() -> None:
    unknown = run("show", "ebs.storage@af-south-1,volume_type=gp3", "--prices", "offline")
    assert (unknown.exit_code, "unknown" in unknown.output) == (1, True)
    for text, reason in (
        ("tea.pot@us-east-1", "no price dimension"),
        ("vpc.nat.hours", "is not a region"),
        ("ec2.instance@us-east-1", "needs the attribute"),
        ("ec2.instance@us-east-1,m5.large", "is not NAME=VALUE"),
        ("ebs.storage@us-east-1,volume_type=gp9", "knows no volume_type"),
    ):
        refused = run("show", text, "--prices", "offline")
        assert (refused.exit_code, reason in refused.output) == (4, True), refused.output


def test_verify_costs_money_and_says_so_first() -> None:
    refused = run("verify")
    assert refused.exit_code == 4
    assert "0.01 USD each" in refused.output
    assert run("verify", "--cost-data", "--month", "2026-13").exit_code == 4
    assert "not closed" in run("verify", "--cost-data", "--month", "2099-01").output


def test_verify_asks_twice_compares_and_can_be_repeated_for_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estate = volumes_estate()
    start, end = last_month(date.today())  # noqa: DTZ011 - as the command does
    for question, groups in zip(
        questions(start, end),
        (
            [("EBS:VolumeUsage.gp2", "EC2 - Other", "500", "45.00"), ("BoxUsage:m5.large", "Amazon Elastic Compute Cloud - Compute", "100", "9.60")],
            [("BoxUsage:m5.large", "RunInstances", "100", "9.60")],
        ),
        strict=True,
    ):  # fmt: skip
        estate.put(ACCOUNT, "us-east-1", "ce.get_cost_and_usage", answer(*groups), question)
    with ReplayEndpoint(estate) as endpoint:
        for name, value in environment(endpoint.url, tmp_path).items():
            if name.startswith(("AWS_", "FINOPS_")):
                monkeypatch.setenv(name, value)
        # env is what every command calls the credentials of the environment.
        found = run(
            "verify", "--cost-data", "--profile=env", "--prices", "offline", "--save-bill", "bill.json"
        )
        assert endpoint.count("ce", "get_cost_and_usage") == 2, found.output
    assert "Cost Explorer: 2 requests, 0.02 USD" in found.output
    assert found.exit_code == 1
    assert "1 agree, 1 disagree" in found.output

    again = run("verify", "--bill", "bill.json", "--prices", "offline", "--format", "json")
    assert again.exit_code == 1
    listed = json.loads(again.stdout)
    assert {one["usage_type"]: one["verdict"] for one in listed} == {
        "EBS:VolumeUsage.gp2": "disagree",
        "BoxUsage:m5.large": "agree",
    }
    for text in ("[{}]", "{}", "7", '{"a": 1}'):
        Path("bad.json").write_text(text)
        refused = run("verify", "--bill", "bad.json", "--prices", "offline")
        assert (refused.exit_code, "not a saved bill" in refused.output) == (4, True), refused.output
    Path("none.json").write_text("[]")
    empty = run("verify", "--bill", "none.json", "--prices", "offline")
    assert (empty.exit_code, "nothing was compared" in empty.output) == (0, True)


def test_cache_lists_and_clears(tmp_path: Path) -> None:
    live = book(tmp_path / "cache", Client([ec2()]), today=date.today())  # noqa: DTZ011
    live.prefetch([live.key("ec2.instance", "us-east-1", {"instance_type": "m5.large"})])
    listed = run("cache")
    assert "0.0970000000 (M5SHARED, 0 days old)" in listed.output
    assert "1 prices in" in listed.output
    assert len(json.loads(run("cache", "--format", "json").output)["prices"]) == 1
    assert run("cache", "--clear").exit_code == 0
    assert "0 prices in" in run("cache").output


def test_every_dimension_can_be_shown() -> None:
    from test_price_catalogue import keys_of

    for name in CATALOGUE:
        one = next(keys_of(name))
        text = f"{name}@eu-central-1" + "".join(
            f",{attribute}={value}" for attribute, value in one.attributes
        )
        assert run("show", text, "--prices", "offline").exit_code in (0, 1, 4)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (("ec2.instance", "us-east-1", {"instance_type": "m5.large"}), ("BoxUsage:m5.large", "RunInstances")),
        (
            ("ec2.instance", "eu-west-1", {"instance_type": "m5.large", "operation": "RunInstances:0002", "tenancy": "dedicated"}),
            ("EU-DedicatedUsage:m5.large", "RunInstances:0002"),
        ),
        (
            ("rds.instance", "us-west-2", {"instance_class": "db.r7g.large", "engine": "postgres", "multi_az": True}),
            ("USW2-Multi-AZUsage:db.r7g.large", "CreateDBInstance:0014"),
        ),
        # Engines whose operation is not known, and what is not billed by the hour of an instance.
        (
            ("rds.instance", "us-west-2", {"instance_class": "db.m5.large", "engine": "oracle-se2", "license_model": "license-included"}),
            None,
        ),
        (("ebs.storage", "us-east-1", {"volume_type": "gp3"}), None),
    ],
)  # fmt: skip
def test_what_a_bill_calls_the_hours_of_an_instance(
    wanted: tuple[str, str, dict[str, Any]], named: tuple[str, str] | None
) -> None:
    asked = key(*wanted)
    assert billed_as(asked) == named
    if named is not None:
        zero = Decimal(0)
        assert identify(Usage(*named, "", zero, zero, zero)) == asked
