"""No saving claims more than its resource was billed: by hand, then through real processes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from finops_kit import ACCOUNT, NOW, audit, comparable, environment, volumes_estate, write_checks
from pytest_finops.fixtures.bills import SERVICES, paid_components

import pytest_finops as finops
from pytest_finops import overlaps
from pytest_finops.billed import AccountBill, ResourceBill, cap
from pytest_finops.findings import BILLED, Component, Finding, cents
from pytest_finops.reports.as_json import load
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

HERE = finops.Target(ACCOUNT, "us-east-1")
#: Twelve whole days that ended a day ago, by the clock of the estates (1 November).
START, END = date(2026, 10, 19), date(2026, 10, 31)
DAYS = [START + timedelta(days=n) for n in range(12)]
D = Decimal


# --- by hand ----------------------------------------------------------------------------------------------------------


def billed(resource_id: str, *costs: str, amortized: str = "", **fields: Any) -> ResourceBill:
    """A bill of the twelve days: one cost for all of them, or one for each."""
    each = [D(cost) for cost in (costs * 12 if len(costs) == 1 else costs)]
    region, components = paid_components(resource_id)
    values: dict[str, Any] = {
        "id": resource_id, "target": HERE, "components": components, "billed_region": region, "start": START, "end": END,
        "daily": {day: (cost, D(amortized or cost)) for day, cost in zip(DAYS, each, strict=False)},
    }  # fmt: skip
    return ResourceBill(**{**values, **fields})


def found(
    action: str,
    *claims: tuple[str, str, str],
    rule: str = "rule",
    net: str | None = None,
    **fields: Any,
) -> Finding:
    """A finding that claims (component, cost, saved)."""
    parts = tuple(Component(key, D(cost), D(saved)) for key, cost, saved in claims)
    values: dict[str, Any] = {
        "id": f"{rule}-{action}", "rule_id": rule, "name": "n", "category": "compute", "severity": "low",
        "effort": "low", "restart": False, "risk": "low", "confidence": "high", "kind": "optimisation",
        "action": action, "resource_id": "r", "resource_arn": "", "resource_type": "T", "account_id": ACCOUNT,
        "region": "us-east-1", "components": parts, "net_monthly_savings": None if net is None else D(net),
        "estimated_monthly_savings": sum((D(saved) for _, _, saved in claims), D(0)),
    }  # fmt: skip
    return Finding(**{**values, **fields})


def capped(*findings: Finding, bills: list[ResourceBill], missing: str = "") -> list[Finding]:
    return cap(findings, {ACCOUNT: AccountBill.of(bills, missing)})


def claims(finding: Finding) -> list[tuple[str, str]]:
    """(cost, saved) of the components, rounded."""
    return [
        (str(cents(part.monthly_cost or D(0))), str(cents(part.saved or D(0)))) for part in finding.components
    ]


def said(finding: Finding) -> str:
    (text,) = finding.evidence[BILLED].values()
    return str(text)


def test_a_deletion_saves_what_was_billed() -> None:
    # 0.16 x 12 = 1.92 USD in 288 h; 1.92 x 730 / 288 = 4.8666...
    (done,) = capped(
        found("delete", ("ebs:vol-1", "6.40", "6.40"), net="6.40"), bills=[billed("vol-1", "0.16")]
    )

    assert claims(done) == [("4.87", "4.87")]
    assert done.components[0].saved == D("1.92") * 730 / 288
    assert done.net_monthly_savings == D("1.92") * 730 / 288
    assert done.metadata["net_basis"] == "at most what was billed"
    assert done.estimated_monthly_savings == D("6.40")
    assert said(done) == "1.92 USD in 288 h (2026-10-19 to 2026-10-30) = 4.87 a month: caps 6.40"
    assert overlaps.count([done])[0].counted_monthly_savings == D("1.92") * 730 / 288


def test_a_bill_above_the_list_price_replaces_nothing() -> None:
    before = found("delete", ("ebs:vol-1", "6.40", "6.40"), net="6.40", metadata={"net_basis": "x"})
    (done,) = capped(before, bills=[billed("vol-1", "0.30")])

    assert (done.components, done.net_monthly_savings, done.metadata) == (
        before.components,
        D("6.40"),
        before.metadata,
    )
    assert said(done) == "3.6 USD in 288 h (2026-10-19 to 2026-10-30) = 9.13 a month: covers 6.40"


def test_a_change_saves_its_difference_and_no_more_than_was_billed() -> None:
    change = found("rightsize", ("compute:i-1", "140.16", "70.08"))

    # 4.00 a day = 121.67 a month: less than the instance costs, more than half of it saves.
    (half,) = capped(change, bills=[billed("i-1", "4.00")])
    assert claims(half) == [("121.67", "70.08")]
    # 2.00 a day = 60.83 a month.
    (less,) = capped(change, bills=[billed("i-1", "2.00")])
    assert claims(less) == [("60.83", "60.83")]


def test_what_is_free_of_charge_saves_nothing() -> None:
    (done,) = capped(
        found("rightsize", ("compute:i-1", "7.59", "3.80"), net="3.80"), bills=[billed("i-1", "0")]
    )

    assert claims(done) == [("0.00", "0.00")]
    assert done.net_monthly_savings == 0


@pytest.mark.parametrize(
    ("bill", "why"),
    [
        # A reservation: nothing is billed for the hours, their share of the reservation is amortized.
        (billed("i-1", "0", amortized="1.51"), "a reservation or a Savings Plan paid for some of it"),
        # A Savings Plan for half of the hours.
        (billed("i-1", "1.15", amortized="1.80"), "a reservation or a Savings Plan paid for some of it"),
        (billed("i-1", *["1.15"] * 7), "it was billed on 7 of 12 days"),
        (billed("i-1", "0.48", *["1.15"] * 11), "its days cost unequal amounts, so that some may be partial"),
        (billed("i-1", "-1", *["1.15"] * 11), "its bill has days below zero"),
        (billed("i-1", "1.15", currency="EUR"), "it is billed in EUR"),
        (billed("i-2", "1.15"), "the bill does not name it"),
    ],
    ids=["reserved", "plan", "young", "partial", "negative", "currency", "absent"],
)  # fmt: skip
def test_what_the_bill_does_not_tell_keeps_its_estimate(bill: ResourceBill, why: str) -> None:
    before = found("rightsize", ("compute:i-1", "140.16", "70.08"), net="70.08")
    (done,) = capped(before, bills=[bill])

    assert (done.components, done.net_monthly_savings) == (before.components, before.net_monthly_savings)
    assert said(done) == f"not reconciled: {why}"


def test_a_listing_that_ended_early_is_the_reason_for_what_it_lacks() -> None:
    bills = [billed("i-1", *["1.15"] * 7), billed("i-3", "1.15")]
    findings = [found("rightsize", (f"compute:i-{n}", "140.16", "70.08"), rule=f"r{n}") for n in (1, 2, 3)]
    first, second, third = capped(*findings, bills=bills, missing="only 5 pages")

    assert said(first) == said(second) == "not reconciled: only 5 pages"
    assert claims(third) == [("34.98", "34.98")]  # 13.80 x 730 / 288


def test_pennies_of_traffic_are_no_partial_day() -> None:
    (done,) = capped(
        found("rightsize", ("compute:i-1", "7.59", "3.80")),
        bills=[billed("i-1", "0.0001", "0.009", *["0"] * 10)],
    )
    assert claims(done) == [("0.02", "0.02")]  # 0.0091 x 730 / 288


def test_pages_of_one_listing_are_one_bill() -> None:
    pages = [
        billed("vol-1", daily={day: (D("0.16"), D("0.16")) for day in days}) for days in (DAYS[:5], DAYS[5:])
    ]
    (done,) = capped(found("delete", ("ebs:vol-1", "6.40", "6.40")), bills=pages)
    assert claims(done) == [("4.87", "4.87")]


def test_components_of_one_resource_share_its_bill() -> None:
    name = f"arn:aws:rds:us-east-1:{ACCOUNT}:db:orders"
    # 3.60 x 12 x 730 / 288 = 109.50, beside 120.00 at list price for hours and storage.
    bills = [billed(name, "3.60")]
    hours = found("rightsize", ("db-compute:orders", "100", "50"), rule="a")
    storage = found("configure", ("db-storage:orders", "20", "20"), rule="b")

    assert [claims(one) for one in capped(hours, storage, bills=bills)] == [
        [("100.00", "50.00")],
        [("9.50", "9.50")],
    ]
    (both,) = capped(
        found("delete", ("db-compute:orders", "100", "100"), ("db-storage:orders", "20", "20")), bills=bills
    )
    assert claims(both) == [("100.00", "100.00"), ("9.50", "9.50")]
    assert both.evidence[BILLED]["db-storage:orders"].endswith(
        "= 109.50 a month, 9.50 of it left for this: caps 20.00"
    )
    # Alone, it may have been all of it.
    assert claims(capped(storage, bills=bills)[0]) == [("20.00", "20.00")]
    # The same name in another region is another database.
    elsewhere = found("configure", ("db-storage:orders", "200", "200"), region="eu-west-1")
    assert said(capped(elsewhere, bills=bills)[0]) == "not reconciled: the bill does not name it"


def test_overlapping_claims_share_what_was_billed() -> None:
    # 60.83 a month: the deletion takes all of it.
    deletion = found("delete", ("compute:i-1", "140.16", "140.16"), rule="a")
    change = found("rightsize", ("compute:i-1", "140.16", "70.08"), rule="b")
    counted = overlaps.count(capped(deletion, change, bills=[billed("i-1", "2.00")]))
    assert [str(cents(one.counted_monthly_savings)) for one in counted] == ["60.83", "0.00"]

    # Two settings of 70.08 each multiply on what is left, and never exceed the bill.
    settings = [found("configure", ("compute:i-1", "140.16", "70.08"), rule=name) for name in "ab"]
    counted = overlaps.count(capped(*settings, bills=[billed("i-1", "3.00")]))
    assert sum(cents(one.counted_monthly_savings) for one in counted) <= D("91.25")


def test_what_has_no_price_or_no_bill_asked_for_stays_as_it_is() -> None:
    unpriced = found("delete", ("ebs:vol-1", "6.40", "6.40"), estimated_monthly_savings=None)
    elsewhere = found("delete", ("ebs:vol-1", "6.40", "6.40"), account_id="222222222222")
    assert capped(unpriced, elsewhere, bills=[billed("vol-1", "0.16")]) == [unpriced, elsewhere]


@pytest.mark.parametrize(
    ("resource_id", "region", "components"),
    [
        ("i-0abc", "", ("compute:i-0abc",)),
        ("vol-0abc", "", ("ebs:vol-0abc",)),
        ("arn:aws:ec2:eu-west-1:111111111111:volume/vol-0abc", "", ("ebs:vol-0abc",)),
        ("arn:aws:ec2:eu-west-1:111111111111:natgateway/nat-0abc", "", ("nat-hours:nat-0abc",)),
        ("arn:aws:ec2:eu-west-1:111111111111:elastic-ip/eipalloc-0abc", "", ("ipv4:eipalloc-0abc",)),
        ("arn:aws-us-gov:rds:us-gov-west-1:1:db:my-db", "us-gov-west-1", ("db-compute:my-db", "db-storage:my-db")),
        ("arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/web/50dc6c49", "eu-west-1", ("lb-hours:web",)),
        ("arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/web", "eu-west-1", ("lb-hours:classic/web",)),
        ("arn:aws:ec2:eu-west-1::snapshot/snap-0abc", "", ()),
        ("arn:aws:ec2:eu-west-1:1:network-interface/eni-0abc", "", ()),
        ("arn:aws:rds:eu-west-1:1:cluster:cluster-ABC", "", ()),
        ("NoResourceId", "", ()),
        ("i-am-a-bucket.example", "", ()),
    ],
)  # fmt: skip
def test_ids_of_a_bill(resource_id: str, region: str, components: tuple[str, ...]) -> None:
    assert paid_components(resource_id) == (region, components)


# --- through real processes -------------------------------------------------------------------------------------------

ARGS = (
    "--finops-profile=env", "checks", "--finops-regions", "us-east-1", "--finops-prices", "offline",
    "--finops-now", NOW.isoformat(),
)  # fmt: skip
PLAYBOOK = str(Path(sys.executable).with_name("finops-playbook"))
CALL = "ce.get_cost_and_usage_with_resources"


def question() -> dict[str, Any]:
    return {
        "TimePeriod": {"Start": "2026-10-19", "End": "2026-10-31"},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost", "AmortizedCost"],
        "GroupBy": [{"Type": "DIMENSION", "Key": "RESOURCE_ID"}],
        "Filter": {
            "And": [
                {"Dimensions": {"Key": "SERVICE", "Values": list(SERVICES)}},
                {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": [ACCOUNT]}},
                {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Credit", "Refund", "Tax"]}}},
            ]
        },
    }


def bill(daily: Mapping[str, str]) -> dict[str, Any]:
    """The answer for resources that cost the same every day."""
    groups = [
        {
            "Keys": [resource_id],
            "Metrics": {name: {"Amount": cost, "Unit": "USD"} for name in ("UnblendedCost", "AmortizedCost")},
        }
        for resource_id, cost in daily.items()
    ]
    return {
        "ResultsByTime": [
            {
                "TimePeriod": {"Start": day.isoformat(), "End": (day + timedelta(days=1)).isoformat()},
                "Groups": groups,
                "Estimated": True,
            }
            for day in DAYS
        ]
    }


def volumes(daily: Mapping[str, str] | None = None) -> Estate:
    """Two lost volumes of 6.40 USD a month each, the first of which was billed for less."""
    estate = volumes_estate(NOW, ("us-east-1",))
    daily = (
        {"vol-1-us-east-1": "0.16", "vol-2-us-east-1": "0.22", "NoResourceId": "9"}
        if daily is None
        else daily
    )
    estate.put(ACCOUNT, "global", CALL, bill(daily), question())
    return estate


def run(
    folder: Path, estate: Estate, *args: str, faults: Any = (), page_size: int | None = None
) -> tuple[int, str, dict[str, Any], int]:
    """Audit the estate; the last of the answer is how often Cost Explorer was asked."""
    write_checks(folder)
    with ReplayEndpoint(estate, faults=faults, page_size=page_size) as endpoint:
        status, output, document = audit(folder, *ARGS, *args, env=environment(endpoint.url, folder))
        return status, output, document, sum(request.service == "ce" for request in endpoint.requests)


def savings(document: Mapping[str, Any]) -> list[tuple[str, str | None, str]]:
    names = ("estimated_monthly_savings", "net_monthly_savings", "counted_monthly_savings")
    ordered = sorted(document["findings"], key=lambda one: str(one["resource_id"]))
    return [tuple(one[name] for name in names) for one in ordered]  # type: ignore[misc]


def test_an_audit_caps_what_it_finds_and_says_how(tmp_path: Path) -> None:
    saved = str(tmp_path / "saved")
    status, output, document, asked = run(
        tmp_path, volumes(), "--finops-cost-data", "--finops-save-inventory", saved
    )

    assert (status, asked) == (1, 1), output
    # 1.92 USD in 288 h: 4.87 a month. The other's 6.69 does not cap 6.40. 4.87 + 6.40 = 11.27
    assert savings(document) == [("6.40", "4.87", "4.87"), ("6.40", "6.40", "6.40")]
    assert document["total_monthly_savings"] == document["totals"]["net"] == "11.27"
    assert document["totals"]["gross"] == "12.80"
    assert document["api_usage"]["actual_cost"] == "0.01"
    assert document["warnings"] == []
    assert "what was billed takes $1.53 a month off 1 finding\n" in output
    first = next(one for one in document["findings"] if one["resource_id"] == "vol-1-us-east-1")
    lines = [line["amount"] for line in first["price_lines"]]
    assert [D(amount) for amount in lines] == [D("6.40")]
    assert first["components"][0]["saved"].startswith("4.8666666")

    # What merges and what-ifs go by says the same as the run did.
    again = load(tmp_path / "audit.json").findings
    assert [one.counted_monthly_savings for one in again] == [
        cents(one.counted_monthly_savings) for one in overlaps.count(again)
    ]
    told = subprocess.run(
        [PLAYBOOK, "explain", "vol-1-us-east-1", "--audit", str(tmp_path / "audit.json")],
        text=True, capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert (
        "billed:  ebs:vol-1-us-east-1: 1.92 USD in 288 h (2026-10-19 to 2026-10-30) = 4.87 a month: caps 6.40\n"
        "counted: 4.87 USD a month, after what was billed and overlaps\n" in told
    ), told

    replay = ("--finops-inventory", saved, "checks", "--finops-prices", "offline", "--finops-cost-data")
    for more in ((), ("-n", "2")):
        _, output, replayed = audit(tmp_path, *replay, *more)
        assert comparable(replayed, replayed=True) == comparable(document, replayed=True), output


def test_without_cost_data_nothing_is_asked_and_nothing_capped(tmp_path: Path) -> None:
    status, output, document, asked = run(tmp_path, volumes())

    assert (status, asked) == (1, 0), output
    assert savings(document) == [("6.40", "6.40", "6.40")] * 2
    assert all(BILLED not in one["evidence"] for one in document["findings"])


def test_nothing_is_paid_beside_what_is_only_looked_up(tmp_path: Path) -> None:
    write_checks(
        tmp_path,
        '@finops.rule("ebs-team")\ndef test_team(ebs_snapshots, ebs_volumes, findings):\n    assert len(ebs_volumes) == 3\n',
    )
    with ReplayEndpoint(volumes()) as endpoint:
        status, output, _ = audit(
            tmp_path, *ARGS, "-k", "team", "--finops-cost-data", env=environment(endpoint.url, tmp_path)
        )
        assert (status, endpoint.count("ec2", "describe_volumes"), endpoint.count("ce")) == (0, 1, 0), output


def test_the_price_is_known_before_and_limits(tmp_path: Path) -> None:
    status, output, document, asked = run(tmp_path, volumes(), "--finops-cost-data", "--finops-dry-run")
    assert (status, asked) == (0, 0), output
    assert document["predicted"]["upper"] == "0.05"
    assert re.search(r"ce.get_cost_and_usage_with_resources \(billed_resources\)\s+<=5 +5 +0.05", output)

    status, output, _, asked = run(tmp_path, volumes(), "--finops-cost-data", "--finops-max-api-cost", "0.04")
    assert (status, asked) == (4, 0), output

    status, output, document, asked = run(tmp_path, volumes(), "--finops-cost-data", "--finops-estimate-cost")
    assert (status, asked, document["predicted"]["upper"]) == (0, 0, "0.05"), output


def test_the_policy_allows_it_where_cost_data_are_asked_for(tmp_path: Path) -> None:
    write_checks(tmp_path)
    command = [PLAYBOOK, "iam-policy", "--", "checks"]
    plain, paid = (
        subprocess.run([*command, *more], cwd=tmp_path, text=True, capture_output=True, check=True).stdout
        for more in ((), ("--finops-cost-data",))
    )
    assert "ce:" not in plain
    assert "ce:GetCostAndUsageWithResources" in paid


def test_what_lies_behind_the_last_page_is_not_reconciled(tmp_path: Path) -> None:
    # A day a page: five of twelve are read.
    status, output, document, asked = run(
        tmp_path, volumes(), "--finops-cost-data", "--finops-rate", "1", page_size=1
    )

    assert (status, asked, document["complete"]) == (1, 5, True), output
    assert document["api_usage"]["actual_cost"] == "0.05"
    assert savings(document) == [("6.40", "6.40", "6.40")] * 2
    (warning,) = document["warnings"]
    assert "only the first 5 pages were read" in warning
    assert {*document["findings"][0]["evidence"][BILLED].values()} == {
        "not reconciled: ce.get_cost_and_usage_with_resources: only the first 5 pages were read"
    }

    # Six days a page: all of it.
    status, output, document, asked = run(tmp_path, volumes(), "--finops-cost-data", page_size=6)
    assert (asked, document["total_monthly_savings"]) == (2, "11.27"), output


@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        (Fault("error", "ce", code="DataUnavailableException"), "switch on resource-level data at daily granularity"),
        (Fault("error", "ce", code="AccessDeniedException"), "allow ce:GetCostAndUsageWithResources"),
        (Fault("html", "ce"), "run again later"),
    ],
    ids=["not enabled", "denied", "no answer"],
)  # fmt: skip
def test_a_bill_that_cannot_be_read_is_a_warning_and_no_zero(tmp_path: Path, fault: Fault, cure: str) -> None:
    status, output, document, _ = run(tmp_path, volumes(), "--finops-cost-data", faults=[fault])

    assert (status, document["complete"], document["blind_spots"]) == (1, True, []), output
    assert savings(document) == [("6.40", "6.40", "6.40")] * 2
    (warning,) = document["warnings"]
    assert warning.startswith(f"{ACCOUNT}: what resources were billed caps no saving there: {CALL}: ")
    assert cure in warning
    texts = [text for one in document["findings"] for text in one["evidence"][BILLED].values()]
    assert len(texts) == 2
    assert "2 of 2 findings are not reconciled with what was billed:" in " ".join(output.split())
    assert all(text.startswith(f"not reconciled: {CALL}: ") for text in texts)


def test_a_saved_inventory_without_bills_says_so(tmp_path: Path) -> None:
    saved = str(tmp_path / "saved")
    run(tmp_path, volumes(), "--finops-save-inventory", saved)
    status, output, document = audit(
        tmp_path,
        "--finops-inventory",
        saved,
        "checks",
        "--finops-prices",
        "offline",
        "--finops-cost-data",
        "-q",
    )
    assert (status, document["complete"]) == (1, True), output
    assert document["total_monthly_savings"] == "12.80"
    assert "save the inventory with --finops-cost-data" in document["warnings"][0]
