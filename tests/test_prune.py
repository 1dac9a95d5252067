"""Pruning by spend: seen, paid for, and never a reason to call something clean."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from finops_kit import ACCOUNT, NOW, RULES, audit, comparable, environment, volumes_estate, write_checks

from pytest_finops import prune
from pytest_finops.collector.aws import Aws, Login
from pytest_finops.collector.faults import CallFault
from pytest_finops.collector.guard import Guard
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Limiter
from pytest_finops.resources import Target
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

REASON = "no spend in the last 30 days (--finops-prune spend)"


def spending(**spent: str) -> Estate:
    """Three regions with volumes; Cost Explorer knows the cost of those in ``spent`` (underscores for dashes)."""
    estate = volumes_estate(regions=("eu-west-1", "us-east-1", "us-west-2"))
    estate.add(
        ACCOUNT, "global", "ce.get_cost_and_usage", TimePeriod={"Start": "2026-10-02", "End": "2026-11-01"}, Estimated=True,
        Groups=[
            {
                "Keys": [ACCOUNT, region.replace("_", "-")],
                "Metrics": {"UnblendedCost": {"Amount": amount.split("/")[0], "Unit": "USD"},
                            "UsageQuantity": {"Amount": amount.split("/")[1], "Unit": "N/A"}},
            }
            for region, amount in spent.items()
        ],
    )  # fmt: skip
    return estate


def run(
    folder: Path, *args: str, estate: Estate, faults: Any = ()
) -> tuple[int, str, dict[str, Any], ReplayEndpoint]:
    with ReplayEndpoint(estate, faults=faults) as endpoint:
        status, output, document = audit(
            folder, "--finops-profile=env", "checks", "--finops-prices=offline", f"--finops-now={NOW.isoformat()}",
            "--finops-prune=spend", *args, env=environment(endpoint.url, folder),
        )  # fmt: skip
    return status, output, document, endpoint


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {row["region"]: row["outcome"] for row in document["checks"]}


@pytest.mark.parametrize(
    "args", [(), ("--finops-group=all",), ("-n", "2")], ids=["each", "grouped", "workers"]
)
def test_a_region_without_spend_is_skipped_visibly_and_not_asked(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    write_checks(tmp_path)

    # What credits paid for is used all the same.
    status, output, document, endpoint = run(
        tmp_path, *args, estate=spending(eu_west_1="12.5/3", us_east_1="0/4", us_west_2="0/0")
    )

    assert status == 1, output
    assert outcomes(document) == {"eu-west-1": "failed", "us-east-1": "failed", "us-west-2": "skipped"}
    assert {row["reason"] for row in document["checks"] if row["region"] == "us-west-2"} == {REASON}
    assert document["complete"] is True
    assert f"1 of 3 account-regions left out: {REASON}" in output
    assert endpoint.count("ce", "get_cost_and_usage") == 1
    assert endpoint.count("ec2", "describe_volumes") == 2
    assert document["api_usage"]["actual_cost"] == "0.01"


def test_a_rule_whose_waste_costs_nothing_yet_is_never_pruned(tmp_path: Path) -> None:
    write_checks(tmp_path, rules=RULES.replace("    service: ebs\n", "    service: ebs\n    prune: false\n"))

    _, output, document, endpoint = run(tmp_path, estate=spending(eu_west_1="1/1"))

    assert set(outcomes(document).values()) == {"failed"}, output
    assert endpoint.count("ec2", "describe_volumes") == 3


@pytest.mark.parametrize(
    "fault",
    [Fault("error", "ce", "get_cost_and_usage"), Fault("html", "ce", "get_cost_and_usage"), None],
    ids=["denied", "foreign", "no-data"],
)
def test_without_an_answer_nothing_is_pruned(tmp_path: Path, fault: Fault | None) -> None:
    write_checks(tmp_path)

    _, output, document, _ = run(tmp_path, estate=spending(), faults=[fault] if fault else [])

    assert set(outcomes(document).values()) == {"failed"}, output
    assert f"nothing is pruned by spend in account {ACCOUNT}" in output
    assert document["complete"] is True


def test_a_dry_run_does_not_pay_and_says_what_pruning_costs(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, document, endpoint = run(tmp_path, "--finops-dry-run", estate=spending(eu_west_1="1/1"))

    assert status == 0, output
    assert endpoint.count("ce", "get_cost_and_usage") == 0
    assert document["predicted"] == {"lower": "0.01", "upper": "0.01", "exact": False}


def test_pruning_keeps_to_the_limit(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, _, endpoint = run(tmp_path, "--finops-max-api-cost=0", estate=spending(eu_west_1="1/1"))

    assert status == 4, output
    assert "--finops-max-api-cost 0: --finops-prune spend would cost up to 0.01 USD" in output
    assert endpoint.count("ce", "get_cost_and_usage") == 0


def test_a_replay_leaves_out_what_the_live_run_left_out(tmp_path: Path) -> None:
    write_checks(tmp_path)
    estate = spending(eu_west_1="1/1", us_east_1="1/1")
    _, _, live, _ = run(tmp_path, "--finops-save-inventory=saved", estate=estate)

    _, output, replayed = audit(
        tmp_path,
        "--finops-inventory=saved",
        "--finops-prices=offline",
        "checks",
        env=environment("http://127.0.0.1:9", tmp_path),
    )

    kept, told = comparable(replayed, replayed=True), comparable(live, replayed=True)
    assert kept.pop("warnings") == []
    assert len(told.pop("warnings")) == 1
    assert kept == told, output


def test_reasked_pruning_queries_count_against_the_limit(tmp_path: Path) -> None:
    write_checks(tmp_path)

    _, output, document, endpoint = run(
        tmp_path, "--finops-max-api-cost=0.015", estate=spending(eu_west_1="1/1"),
        faults=[Fault("html", "ce", "get_cost_and_usage")],
    )  # fmt: skip

    # AWS may have billed the answer that did not arrive, so a second query would pass the limit.
    assert endpoint.count("ce", "get_cost_and_usage") == 1
    assert f"nothing is pruned by spend in account {ACCOUNT}: CostLimit" in output
    assert document["api_usage"]["actual_cost"] == "0.01"


def test_what_pruning_spent_is_not_spent_again(tmp_path: Path) -> None:
    ledger = Ledger(Decimal("0.01"))
    ledger.hold(Decimal("0.01"))
    ledger.record("ce", "get_cost_and_usage", cost=Decimal("0.01"))

    with pytest.raises(CallFault, match="would be passed"):
        ledger.hold(Decimal("0.00001"))


def test_an_account_without_any_row_is_not_pruned() -> None:
    other = "222222222222"
    targets = [Target(account, "eu-west-1", now=NOW) for account in (ACCOUNT, other)]
    targets.append(Target(ACCOUNT, "us-east-1", now=NOW))
    estate = spending(eu_west_1="1/1")
    estate.account(other, regions=("eu-west-1",))
    stop = Event()
    with ReplayEndpoint(estate) as endpoint:
        aws = Aws(
            run_id="x", guard=Guard(), ledger=Ledger(), limiter=Limiter(1e6, stop), stop=stop, threads=2, retry_delay=0
        )  # fmt: skip
        logins = {ACCOUNT: Login(keys=(estate.accounts[ACCOUNT].access_key, "x"), endpoint=endpoint.url)}

        pruned, said = prune.unspent(aws, logins, prune.queries(targets, ACCOUNT, True), targets, NOW)

    assert pruned == {(ACCOUNT, "us-east-1")}
    assert any(f"nothing is pruned by spend in {other}" in line for line in said)
