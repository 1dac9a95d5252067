"""What a run will send and pay is told before, and kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from finops_kit import ACCOUNT, NOW, audit, environment, volumes_estate, write_checks

import pytest_finops as finops
from pytest_finops import predict
from pytest_finops.audit import ApiCalls
from pytest_finops.collector.store import Store
from pytest_finops.declare import Inventory, declaration_of
from pytest_finops.plan import Plan
from pytest_finops.predictions import Prediction
from pytest_finops.reports import prediction
from pytest_finops.resources import GLOBAL, Target
from pytest_finops.testing import Estate, ReplayEndpoint

COST = '''
@finops.inventory(
    "ce", "get_cost_and_usage", "ResultsByTime[]", level="payer", tokens=("NextPageToken", "NextPageToken"), max_pages={pages},
    params={{"TimePeriod": {{"Start": "2026-10-01", "End": "2026-11-01"}}, "Granularity": "DAILY", "Metrics": ["UnblendedCost"]}},
)
def spend(page):
    """The cost of a month, a row a day."""
    return None


@finops.inventory("s3", "get_bucket_location", "@", per="ebs_volumes", param="Bucket", witness="LocationConstraint")
def locations(page):
    """A billable call for each volume: an S3 request."""
    return None


@finops.rule("ebs-team")
def test_team(ebs_volumes, {fixture}, findings):
    list({fixture})
'''


def estate() -> Estate:
    made = volumes_estate()
    for day in range(1, 7):
        made.add(
            ACCOUNT, "global", "ce.get_cost_and_usage", TimePeriod={"Start": f"2026-10-{day:02}", "End": f"2026-10-{day + 1:02}"},
            Total={"UnblendedCost": {"Amount": "1", "Unit": "USD"}}, Groups=[], Estimated=False,
        )  # fmt: skip
    return made


def run(
    folder: Path, *args: str, estate_: Estate | None = None
) -> tuple[int, str, dict[str, Any], ReplayEndpoint]:
    with ReplayEndpoint(estate_ or estate(), page_size=2) as endpoint:
        status, output, document = audit(
            folder, "--finops-profile=env", "checks", "--finops-prices=offline", f"--finops-now={NOW.isoformat()}",
            "-k", "team", *args, env=environment(endpoint.url, folder),
        )  # fmt: skip
    return status, output, document, endpoint


def test_cost_explorer_is_asked_only_where_it_is_allowed(tmp_path: Path) -> None:
    write_checks(tmp_path, COST.format(fixture="spend", pages=5))

    status, output, document, endpoint = run(tmp_path)

    assert status == 0, output
    assert {row["outcome"] for row in document["checks"]} == {"skipped"}
    assert "--finops-cost-data" in document["checks"][0]["reason"]
    assert endpoint.count("ce", "get_cost_and_usage") == 0


def test_pages_of_cost_explorer_are_an_upper_bound(tmp_path: Path) -> None:
    write_checks(tmp_path, COST.format(fixture="spend", pages=5))

    status, output, dry, endpoint = run(tmp_path, "--finops-cost-data", "--finops-dry-run")
    assert status == 0, output
    assert endpoint.count("ce", "get_cost_and_usage") == 0
    begun, ended = (re.search(rf"{word} ([0-9]+) calls", output) for word in ("at least", "collected:"))
    assert begun
    assert ended
    assert int(begun[1]) <= int(ended[1])
    assert "none of them billable" in output
    # Beside volumes, what they were billed is asked for too, five pages at most.
    assert dry["predicted"] == {"lower": "0.02", "upper": "0.1", "exact": False}
    asked = [call for call in dry["calls"] if call["service"] == "ce"]
    assert [(call["operation"], call["calls"], call["cost"], call["bound"]) for call in asked] == [
        ("get_cost_and_usage", 5, "0.05", "most"), ("get_cost_and_usage_with_resources", 5, "0.05", "most"),
    ]  # fmt: skip

    status, output, document, endpoint = run(tmp_path, "--finops-cost-data")
    assert status == 0, output
    assert endpoint.count("ce", "get_cost_and_usage") == 3  # six days, two a page
    assert endpoint.count("ce", "get_cost_and_usage_with_resources") == 1
    assert document["api_usage"]["actual_cost"] == "0.04"
    assert document["api_usage"]["predicted"] == {"lower": "0.02", "upper": "0.10", "exact": False}
    assert (
        "up to 5 ce.get_cost_and_usage, up to 5 ce.get_cost_and_usage_with_resources, 0.02 to 0.10 USD"
        in output
    )


def test_more_pages_than_declared_are_not_paid_for_and_not_clean(tmp_path: Path) -> None:
    write_checks(tmp_path, COST.format(fixture="spend", pages=2))

    status, output, document, endpoint = run(tmp_path, "--finops-cost-data")

    assert endpoint.count("ce", "get_cost_and_usage") == 2
    assert status == 7, output
    assert {spot["code"] for spot in document["blind_spots"]} == {"Bounded"}


def test_a_dear_run_is_refused_before_it_pays(tmp_path: Path) -> None:
    write_checks(tmp_path, COST.format(fixture="spend", pages=5))

    status, output, document, endpoint = run(tmp_path, "--finops-cost-data", "--finops-max-api-cost=0.04")

    assert status == 4, output
    assert "--finops-max-api-cost 0.04: this run would cost up to 0.10 USD" in output
    assert endpoint.count("ce", "get_cost_and_usage") == 0
    # Nothing is lost, and nothing looks clean: every row is there and did not run.
    assert {row["outcome"] for row in document["checks"]} == {"not_run"}
    assert (document["complete"], document["exit_status"]) == (False, 4)
    assert document["gate"]["holds"] is False
    assert "the run was refused: --finops-max-api-cost 0.04" in document["gate"]["reasons"][0]
    assert "avings" not in output
    assert "gate: holds" not in output
    # Advice of what this run is: it asks for no metric, and replays nothing.
    assert "narrow the selection, or leave out --finops-cost-data" in output
    assert "NotCollected" not in output
    assert document["warnings"] == []


def test_a_billable_call_per_resource_is_counted_from_the_free_ones(tmp_path: Path) -> None:
    write_checks(tmp_path, COST.format(fixture="locations", pages=5))
    made = estate()

    status, output, dry, endpoint = run(tmp_path, "--finops-dry-run", estate_=made)

    assert status == 0, output
    (asked,) = [call for call in dry["calls"] if call["service"] == "s3"]
    # Three volumes in each of two regions, 0.0004 USD per 1,000 requests.
    assert (asked["calls"], Decimal(asked["cost"])) == (6, Decimal("0.0000024"))
    assert dry["predicted"]["exact"] is True
    assert endpoint.count("s3", "get_bucket_location") == 0


def test_a_billable_call_may_not_follow_a_billable_one(tmp_path: Path) -> None:
    body = COST.format(fixture="locations", pages=5).replace('per="ebs_volumes"', 'per="spend"')
    write_checks(tmp_path, body.replace("(ebs_volumes, locations", "(ebs_volumes, spend, locations"))

    status, output, _, _ = run(tmp_path, "--finops-cost-data")

    assert status == 4, output
    assert (
        "inventory locations: a billable call may not follow a billable one (ce.get_cost_and_usage)" in output
    )


BEHIND = '''
@finops.inventory(
    "ce", "get_cost_and_usage", "ResultsByTime[]", level="payer", tokens=("NextPageToken", "NextPageToken"),
    params={"TimePeriod": {"Start": "2026-10-01", "End": "2026-11-01"}, "Granularity": "DAILY", "Metrics": ["UnblendedCost"]},
)
def days(page):
    """The cost of a month, a row a day."""
    return [finops.Resource(id=answer["TimePeriod"]["Start"], target=page.target) for answer in page]


@finops.inventory("iam", "list_role_tags", "Tags[]", id="Value", level="payer", per="days", param="RoleName")
def behind(page):
    """A free call for each row of a billable one."""


@finops.rule("ebs-team")
def test_team(ebs_volumes, days, behind, findings):
    for volume in ebs_volumes:
        findings.report(volume, current=f"{len(days)} {len(behind)}")
'''


def test_a_free_call_may_follow_a_billable_one(tmp_path: Path) -> None:
    write_checks(tmp_path, BEHIND)
    made = estate()
    for day in range(1, 7):
        made.put(
            ACCOUNT, "global", "iam.list_role_tags", {"Tags": [{"Key": "day", "Value": str(day)}]}, {"RoleName": f"2026-10-{day:02}"}
        )  # fmt: skip
    given = ("--finops-cost-data", "--finops-min-savings=0")

    status, output, dry, endpoint = run(tmp_path, *given, "--finops-dry-run", estate_=made)
    assert status == 0, output
    assert endpoint.count("iam") == 0
    (asked,) = [call for call in dry["calls"] if call["service"] == "iam"]
    # Nobody knows how many rows the billable call will have.
    assert (asked["calls"], asked["bound"]) == (0, "least")

    status, output, document, endpoint = run(tmp_path, *given, estate_=made)
    assert {f["current_value"] for f in document["findings"]} == {"6 6"}, output
    assert document["complete"] is True


def test_the_estimate_of_a_saved_inventory_is_what_the_run_would_send(tmp_path: Path) -> None:
    write_checks(
        tmp_path,
        COST.format(fixture="ebs_volumes", pages=1).replace("(ebs_volumes, ebs_volumes,", "(ebs_volumes,"),
    )
    status, output, live, _ = run(tmp_path, "--finops-save-inventory=saved")
    assert status == 0, output

    status, output, document = audit(
        tmp_path, "--finops-inventory=saved", "checks", "-k", "team", "--finops-estimate-cost",
        env=environment("http://127.0.0.1:9", tmp_path),
    )  # fmt: skip

    assert status == 0, output
    sent = {(c["service"], c["operation"]): c["calls"] for c in live["api_usage"]["calls"]}
    assert {(c["service"], c["operation"]): c["calls"] for c in document["calls"]} == {
        ("ec2", "describe_volumes"): sent["ec2", "describe_volumes"]
    }
    assert "6 resources" in output
    assert "a replay sends nothing" in output


def estimate(folder: Path, *args: str) -> tuple[int, str, dict[str, Any]]:
    write_checks(folder)
    return audit(
        folder, "--finops-profile=env", "checks", "--finops-estimate-cost", "--finops-regions=eu-west-1,us-east-1", *args,
        env=environment("http://127.0.0.1:9", folder),
    )  # fmt: skip


def test_a_quiet_run_shows_its_prediction_and_says_which_report_it_does_not_write(tmp_path: Path) -> None:
    # Workers would have nothing to do, and are not started.
    status, output, _ = estimate(tmp_path, "-q", "-n", "2", "--finops-report=html:x.html")

    assert status == 0, output
    assert "ec2.describe_volumes" in output
    assert "report not written: html:" in output
    assert not (tmp_path / "x.html").exists()


def test_a_prediction_of_nothing_ends_as_pytest_does_where_nothing_is_selected(tmp_path: Path) -> None:
    status, output, document = estimate(tmp_path, "-k", "nothing")

    assert (status, document) == (5, {}), output


def test_an_estimate_without_aws_says_what_it_assumes(tmp_path: Path) -> None:
    status, output, document = estimate(tmp_path)

    assert status == 0, output
    assert [(c["operation"], c["calls"], c["bound"]) for c in document["calls"]] == [
        ("describe_volumes", 2, "least")
    ]
    assert "nothing was sent" in output
    assert (
        max(len(line) for line in output[output.index("API call") :].splitlines() if "finops" not in line)
        <= 80
    )


def test_the_columns_of_a_prediction_stand_under_each_other(tmp_path: Path) -> None:
    write_checks(tmp_path)
    with ReplayEndpoint(volumes_estate()) as endpoint:
        _, output, _ = audit(
            tmp_path,
            "--finops-profile=env",
            "checks",
            "--finops-dry-run",
            env=environment(endpoint.url, tmp_path),
        )

    (head,) = (line for line in output.splitlines() if line.startswith("API call "))
    (row,) = (line for line in output.splitlines() if line.startswith("ec2.describe_volumes "))
    assert len(head) == len(row), output
    assert row[: head.index("USD") + 3].endswith("free")


def test_a_line_that_the_audit_tells_is_told_once(tmp_path: Path) -> None:
    with ReplayEndpoint(volumes_estate()) as endpoint:
        _, output, _ = audit(
            tmp_path, "--finops-profile=env", "-k", "ebs_unattached", "--finops-prices=offline",
            env=environment(endpoint.url, tmp_path),
        )  # fmt: skip

    assert output.count("there is no checks/ here: the shipped checks run") == 1


def test_a_dry_run_names_what_it_could_not_see(tmp_path: Path) -> None:
    write_checks(tmp_path)
    estate = volumes_estate()
    estate.refuse(ACCOUNT, "eu-west-1", "ec2.describe_volumes", "UnauthorizedOperation", "not you")
    with ReplayEndpoint(estate) as endpoint:
        status, output, _ = audit(
            tmp_path,
            "--finops-profile=env",
            "checks",
            "--finops-dry-run",
            env=environment(endpoint.url, tmp_path),
        )

    assert status == 7
    assert "could not look: ec2.describe_volumes in env-eu-west-1: UnauthorizedOperation: not you" in output


@finops.inventory(
    "ce",
    "get_cost_and_usage",
    "ResultsByTime[]",
    level="account",
    tokens=("NextPageToken", "NextPageToken"),
    max_pages=5,
)
def bills(page):  # type: ignore[no-untyped-def]
    """What an account was billed."""


@finops.inventory(
    "organizations", "list_organizational_units_for_parent", "OrganizationalUnits[]", id="Id", level="account"
)
def units(page):  # type: ignore[no-untyped-def]
    """A free call with a long name."""


PLACES = [Target(f"{number}" * 12, GLOBAL, f"account-{number}", "aws", NOW) for number in (1, 2, 3)]


def planned(*inventories: Any, places: list[Target] = PLACES) -> Plan:
    declared = [declaration_of(one) for one in inventories]
    return Plan(cells=[(one, place) for one in declared for place in places if isinstance(one, Inventory)])


def dry(plan: Plan, sure: Plan | None = None, asked: Sequence[ApiCalls] = ()) -> Prediction:
    return predict.measured(
        plan,
        Store(),
        asked,
        {},
        (NOW, NOW),
        PLACES,
        lambda *_: lambda _: True,
        [],
        (sure, {}) if sure else None,
    )


def test_the_least_is_a_page_of_every_question() -> None:
    made = dry(planned(bills))

    assert (made.lower, made.upper, made.exact) == (Decimal("0.03"), Decimal("0.15"), False)


def test_what_pruning_may_leave_out_is_not_in_the_least() -> None:
    asked = [ApiCalls(service="organizations", operation="list_organizational_units_for_parent", calls=3)]
    made = dry(planned(bills, units), sure=planned(bills, places=PLACES[:1]), asked=asked)

    assert [(call.service, call.bound) for call in made.calls] == [("ce", "most"), ("organizations", "most")]
    assert (made.lower, made.upper, made.exact) == (Decimal("0.01"), Decimal("0.15"), False)


def test_the_rows_of_an_estimate_add_up_to_its_bounds() -> None:
    made = predict.assumed(planned(bills, units), PLACES)

    assert (made.lower, made.upper) == (Decimal("0.03"), Decimal("0.15"))
    assert sum(call.cost for call in made.calls) == made.upper
    assert [call.bound for call in made.calls] == ["most", "least"]


def test_an_estimate_of_an_organization_that_is_not_known_is_one_for_each_account() -> None:
    told = " ".join(
        prediction.lines(predict.assumed(planned(bills, places=PLACES[:1]), PLACES[:1], per_account=True))
    )

    assert "accounts not known" in told
    assert "0.05 USD for each account" in told


def test_a_row_says_what_is_asked_for_and_breaks_no_column() -> None:
    shown = prediction.lines(predict.assumed(planned(bills, units), PLACES))

    assert shown[1].startswith("ce.get_cost_and_usage (bills) ")
    assert shown[2:4] == [
        "organizations.list_organizational_units_for_parent",
        f"{'':<46}{'>=3':>10}{'.':>11}{'free':>12}",
    ]


def test_the_total_is_bounded_as_its_rows_are() -> None:
    def total(made: Prediction) -> str:
        (line,) = (line for line in prediction.lines(made) if line.startswith("total"))
        return line.split()[1]

    assert total(dry(planned(bills))) == "<=15"
    assert total(predict.assumed(planned(units), PLACES)) == ">=3"
    # At least and at most together are neither.
    assert total(predict.assumed(planned(bills, units), PLACES)) == "~18"
