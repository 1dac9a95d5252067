"""Shards: whole accounts, dealt evenly; merged they are the audit of one run."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from audit_samples import sample_audit
from finops_kit import NOW, audit, environment, write_checks
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_finops import gate, options, overlaps, priorities, shards, totals, upkeep
from pytest_finops.audit import (
    Accepted,
    Account,
    ApiCalls,
    ApiUsage,
    Audit,
    BlindSpot,
    CheckRow,
    PriceUsage,
    RuleTally,
    Upkeep,
)
from pytest_finops.collector.faults import Fault as CallFaultReason
from pytest_finops.errors import AuditError
from pytest_finops.findings import WATERFALL, Component, Finding, Note, PriceLine, finding_id
from pytest_finops.merge import Part, merge
from pytest_finops.options import Shard
from pytest_finops.reports import as_json
from pytest_finops.resources import Target
from pytest_finops.targets import Discovery, Unentered
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

RULES = ("aws-one", "aws-two", "aws-three")
LIMITS = gate.Limits(max_savings=Decimal("100"), max_unpriced=2)


# --- dealing accounts --------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 10**12 - 1).map("{:012}".format), max_size=60), st.integers(1, 9))
def test_shares_are_disjoint_whole_and_even(ids: set[str], of: int) -> None:
    shares = [shards.owned(ids, Shard(number, of)) for number in range(1, of + 1)]
    assert sum(map(len, shares)) == len(ids)
    assert set().union(*shares) == ids
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares == [shards.owned(sorted(ids, reverse=True), Shard(n, of)) for n in range(1, of + 1)]


def test_an_account_that_cannot_be_entered_keeps_its_place() -> None:
    def dealt(closed: str, number: int) -> tuple[set[str], set[str]]:
        fault = CallFaultReason("denied", "AccessDenied", "no")
        found = Discovery(
            targets=[Target(account, "eu-west-1", now=NOW) for account in ACCOUNTS if account != closed],
            failed=[Unentered(closed, fault)] if closed else [],
        )
        shards.narrow(found, Shard(number, 2))
        return {target.account_id for target in found.targets}, {one.name for one in found.failed}

    for closed in ACCOUNTS:
        for number in (1, 2):
            entered, failed = dealt(closed, number)
            assert (entered | failed, failed <= {closed}) == (dealt("", number)[0], True)


@pytest.mark.parametrize("raw", ["0/3", "4/3", "3", "a/b", "1/0", "", "-1/2", "1/2/3"])
def test_what_is_no_share_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="K/N"):
        options.shard(raw)


@pytest.mark.parametrize(
    ("variables", "share"),
    [
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "7"}, "1/7"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "6", "AWS_BATCH_JOB_ARRAY_SIZE": "7"}, "7/7"),
        ({"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "4"}, "1/4"),
        ({"CIRCLE_NODE_INDEX": "3", "CIRCLE_NODE_TOTAL": "4"}, "4/4"),
        ({"BUILDKITE_PARALLEL_JOB": "0", "BUILDKITE_PARALLEL_JOB_COUNT": "2"}, "1/2"),
    ],
)
def test_auto_takes_the_share_of_the_engine(
    variables: Mapping[str, str], share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index, size, _ in options.ARRAYS:
        monkeypatch.delenv(index, raising=False)
        monkeypatch.delenv(size, raising=False)
    with pytest.raises(ValueError, match="AWS_BATCH_JOB_ARRAY_INDEX"):
        options.shard("auto")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(options.shard("auto")) == share
    assert str(options.shard("2/5")) == "2/5"


# --- merging is what one run would have made ------------------------------------------------------------------------------

money = st.decimals(0, 500, places=5)


@st.composite
def findings_of(draw: st.DrawFn, account: str) -> list[Finding]:
    made = {}
    for _ in range(draw(st.integers(0, 5))):
        rule, region = (
            draw(st.sampled_from(RULES)),
            draw(st.sampled_from(("eu-west-1", "us-east-1", "global"))),
        )
        resource = draw(st.sampled_from(("r-1", "r-2", "r-3")))
        cost = draw(st.none() | money)
        saved = (
            None
            if cost is None
            else cost * draw(st.sampled_from((Decimal(1), Decimal("0.33"), Decimal("0.5"))))
        )
        key = draw(st.sampled_from(("compute:i-1", "ebs:vol-1", "rds:db")))
        kind = draw(st.sampled_from(("waste", "optimisation")))
        lines = [
            PriceLine(
                dimension="d", region=region, quantity=Decimal(1), unit="Hrs", unit_price=amount, source="live", component=key
            )
            for amount in (cost, None if cost is None or saved is None else cost - saved)
        ]  # fmt: skip
        one = Finding(
            id=finding_id(rule, account, region, resource), rule_id=rule, name=rule, category="compute",
            severity="medium", effort=draw(st.sampled_from(("low", "high"))), restart=False, risk="low",
            confidence=draw(st.sampled_from(("high", "medium", "low"))), kind=kind,  # type: ignore[arg-type]
            action=draw(st.sampled_from(WATERFALL)), resource_id=resource, resource_arn="", resource_type="t",
            account_id=account, region=region, current_monthly_cost=cost,
            target_monthly_cost=None if cost is None or saved is None else cost - saved,
            estimated_monthly_savings=saved, components=(Component(key, cost, saved),),
            current_lines=(lines[0],), target_lines=(lines[1],),
            status=draw(st.sampled_from(("new", "known", "accepted"))),
        )  # fmt: skip
        made[one.id] = one
    return list(made.values())


@st.composite
def estates(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """What each account holds: findings, row outcomes, blind spots, prices."""
    accounts = draw(st.lists(st.integers(1, 10**12 - 1).map("{:012}".format), max_size=7, unique=True))
    return {
        account: {
            "findings": draw(findings_of(account)),
            "outcomes": {rule: draw(st.sampled_from(("passed", "failed", "error", "not_run"))) for rule in RULES},
            "name": draw(st.sampled_from(("dev", f"a-{account}"))),
            "prices": draw(st.sets(st.sampled_from(("aa live", "bb cache", "cc snapshot", "dd unknown")))),
            "denied": draw(st.booleans()),
        }
        for account in accounts
    }  # fmt: skip


def made(
    estate: Mapping[str, Mapping[str, Any]],
    shard: Shard | None = None,
    everything: Mapping[str, Any] | None = None,
) -> Audit:
    """Return the audit of ``estate`` as a run assembles it."""
    rows = sorted((rule, account) for account in estate for rule in RULES)
    found = sorted((f for one in estate.values() for f in one["findings"]), key=lambda f: f.sort_key)
    ranked = priorities.rank(overlaps.count(found))
    outcome = {(rule, account): estate[account]["outcomes"][rule] for rule, account in rows}
    complete = not {"error", "not_run"} & set(outcome.values())
    judged = gate.judge(ranked, limits=LIMITS)
    used = sorted(set().union(*(one["prices"] for one in estate.values())))
    kept = (
        Upkeep(
            kind="exemption",
            entry="resource r-9",
            source="finops.yaml:3",
            expires="2027-01-01",
            checks=len(rows),
        ),
    )
    # A shard resolves all accounts, so names are told apart over everything.
    shared = [one["name"] for one in (everything or estate).values()]
    tallies = {rule: [outcome[rule, account] for account in estate] for rule in RULES if estate}
    return Audit(
        tool_version="1.0", scan_timestamp="2026-11-01T00:00:00+00:00", finished_at="2026-11-01T00:01:00+00:00",
        selection={"rules": sorted(RULES), "targets": sorted(estate)} | ({"shard": str(shard)} if shard else {}),
        complete=complete, exit_status=gate.exit_status(judged, complete=complete, pytest_status=0, ordinary_failed=False),
        accounts=tuple(
            Account(account_id=a, name=a if shared.count(estate[a]["name"]) > 1 else estate[a]["name"]) for a in sorted(estate)
        ),
        regions=tuple(sorted({f.region for f in found})), totals=totals.totals(ranked), findings=ranked,
        notes=tuple(
            Note(rule, account, region, "r-7", text) for rule, account in rows for region, text in (("z", "b"), ("a", "c"))
        ),
        rules=tuple(
            RuleTally(rule_id=rule, expected=len(ends), **{end: ends.count(end) for end in set(ends)})
            for rule, ends in sorted(tallies.items())
        ),
        checks=tuple(CheckRow(rule_id=r, account_id=a, region="global", outcome=outcome[r, a]) for r, a in rows),
        blind_spots=tuple(
            BlindSpot(
                account_id="000000000000", region="global", service="ce", operation="get_cost_and_usage", code="Denied",
                message="no", rules=("aws-one",),
            )
            for _ in range(any(one["denied"] for one in estate.values()))
        ),
        accepted=tuple(
            Accepted(finding_id=f.id, reason="r", owner="o", expires="2027-01-01") for f in found if f.status == "accepted"
        ),
        api_usage=ApiUsage(
            actual_cost=Decimal("0.01") * len(estate),
            calls=tuple(ApiCalls(service="ec2", operation="x", calls=len(estate)) for _ in range(bool(estate))),
        ),
        prices=PriceUsage(
            live=int("aa live" in used), cached=int("bb cache" in used), snapshot=int("cc snapshot" in used), unknown=int("dd unknown" in used),
            used=tuple(used) if shard else (),
        ),
        gate=judged, upkeep=kept,
        warnings=("the same for all", *upkeep.warnings(kept, whole=shard is None)),
    )  # fmt: skip


def saved(whole: Audit) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(as_json.render(whole))
    return document


@settings(max_examples=40, deadline=None)
@given(estates(), st.integers(1, 7))
def test_merged_shards_are_the_whole(estate: dict[str, dict[str, Any]], of: int) -> None:
    parts = []
    for number in range(1, of + 1):
        shard = Shard(number, of)
        mine = shards.owned(estate, shard)
        one = made({account: estate[account] for account in estate if account in mine}, shard, estate)
        parts.append(Part(f"{number}.json", as_json.from_builtins(saved(one))))

    together, whole = saved(merge(parts)), saved(made(estate))

    assert json.dumps({**together, "selection": 0}) == json.dumps({**whole, "selection": 0})
    assert together["selection"]["targets"] == whole["selection"]["targets"]


def test_the_order_of_the_files_does_not_matter() -> None:
    sample = as_json.from_builtins(saved(sample_audit()))
    parts = [Part(f"{n}.json", one) for n, one in enumerate(split(sample))]

    assert saved(merge(parts)) == {**saved(merge(parts[::-1])), "selection": saved(merge(parts))["selection"]}


def split(whole: Audit) -> list[Audit]:
    """Return ``whole`` by account, as two runs of one account each would have made it."""
    made = []
    for account in whole.accounts:
        ranked = tuple(f for f in whole.findings if f.account_id == account.account_id)
        mine = {f.id for f in ranked}
        made.append(
            replace(
                whole, accounts=(account,), findings=ranked,
                checks=tuple(r for r in whole.checks if r.account_id == account.account_id),
                notes=tuple(n for n in whole.notes if n.account_id == account.account_id),
                accepted=tuple(a for a in whole.accepted if a.finding_id in mine),
            )
        )  # fmt: skip
    return made


# --- what cannot be merged, and what is told ---------------------------------------------------------------------------


def shard_of(number: int, of: int, account: str = "", **changes: Any) -> Part:
    found: dict[str, dict[str, Any]] = {
        account or f"{number:012}": {
            "findings": [], "outcomes": dict.fromkeys(RULES, "passed"), "name": f"n{number}", "prices": set(), "denied": False,
        }
    }  # fmt: skip
    return Part(f"{number}.json", replace(made(found, Shard(number, of) if of else None), **changes))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            [shard_of(1, 2), shard_of(2, 2, "0" * 11 + "1")],
            r"account 000000000001 is in 1\.json and in 2\.json",
        ),
        ([shard_of(1, 2), shard_of(1, 2, "9" * 12)], "are both shard 1/2"),
        ([shard_of(1, 2), shard_of(2, 3)], r"different splits.*1\.json is 1/2, 2\.json is 2/3"),
        ([shard_of(1, 2), shard_of(2, 0)], r"2\.json is no shard"),
        (
            [shard_of(1, 2), shard_of(2, 2, gate=gate.judge((), limits=gate.Limits()))],
            "different limits .*max_savings 100",
        ),
    ],
)
def test_what_is_not_one_audit_is_refused(parts: Sequence[Part], said: str) -> None:
    with pytest.raises(AuditError, match=said):
        merge(parts)


def test_a_missing_shard_is_not_run() -> None:
    result = merge([shard_of(1, 3), shard_of(3, 3)])

    assert (result.complete, result.exit_status) == (False, 7)
    assert result.warnings[0] == "shard 2/3 is missing: its accounts were not audited"
    gaps = [row for row in result.checks if row.outcome == "not_run"]
    assert [(row.rule_id, row.account_id) for row in gaps] == [(rule, "shard 2/3") for rule in sorted(RULES)]
    assert {(rule.expected, rule.not_run) for rule in result.rules} == {(3, 1)}


@pytest.mark.parametrize("sharded", [True, False])
def test_different_clocks_versions_and_rules_are_told(sharded: bool) -> None:
    later = shard_of(2, 2, scan_timestamp="2026-11-01T02:00:00+00:00", tool_version="1.1")
    selection = {**later.audit.selection, "rules": ["aws-one", "aws-three"]}
    fewer = replace(later, audit=replace(later.audit, rules=later.audit.rules[:2], selection=selection))
    parts = [shard_of(1, 2), fewer]
    if not sharded:
        parts = [
            replace(one, audit=replace(one.audit, selection={**one.audit.selection, "shard": ""}))
            for one in parts
        ]
    result = merge(parts)

    assert result.scan_timestamp == "2026-11-01T00:00:00+00:00"
    assert result.warnings[:3] == (
        "the merged audits have different versions: 1.0 to 1.1",
        "the merged audits have different clocks: 2026-11-01T00:00:00+00:00 to 2026-11-01T02:00:00+00:00; "
        "give every part the same --finops-now",
        "2.json did not run aws-two, which others did",
    )
    gaps = [(row.rule_id, row.account_id) for row in result.checks if row.outcome == "not_run"]
    assert gaps == [("aws-two", "000000000002")]
    assert (result.complete, result.exit_status) == (False, 7)
    assert {rule.rule_id: rule.not_run for rule in result.rules} == {
        "aws-one": 0,
        "aws-three": 0,
        "aws-two": 1,
    }


def test_a_rule_that_only_the_payer_can_answer_is_no_gap() -> None:
    payers, others = shard_of(1, 2), shard_of(2, 2)
    rows = tuple(row for row in others.audit.checks if row.rule_id != "aws-two")
    tallies = tuple(rule for rule in others.audit.rules if rule.rule_id != "aws-two")
    result = merge([payers, replace(others, audit=replace(others.audit, checks=rows, rules=tallies))])

    assert (result.complete, result.warnings[0]) == (True, "the same for all")


@pytest.mark.parametrize(("statuses", "expected"), [((0, 0), 0), ((0, 1), 1), ((2, 1), 2), ((0, 7), 0)])
def test_the_status_is_that_of_one_run(statuses: tuple[int, int], expected: int) -> None:
    # 1 with a gate that holds is a failing ordinary test; 7 follows from the rows, which are complete here.
    assert merge([shard_of(n, 2, exit_status=s) for n, s in enumerate(statuses, 1)]).exit_status == expected


# --- real processes -----------------------------------------------------------------------------------------------------

ACCOUNTS = [f"{number:012}" for number in range(111111111111, 111111111114)]


CLOSED = "999999999999"


def organization() -> Estate:
    """Three accounts in two regions, each with an unattached volume of its own size."""
    estate = Estate(NOW)
    for index, account in enumerate(ACCOUNTS):
        estate.account(
            account, f"team-{index}", regions=("eu-west-1", "us-east-1"), access_key=f"AKIA{index:08}"
        )
        for region in ("eu-west-1", "us-east-1"):
            estate.add(
                account, region, "ec2.describe_volumes", VolumeId=f"vol-{index}-{region}", Size=100 + index,
                VolumeType="gp3", State="available", CreateTime="-45d", Iops=3000, Throughput=125, Attachments=[],
            )  # fmt: skip
    return estate


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[int, str, dict[str, Any]]]:
    write_checks(tmp_path)
    (tmp_path / "finops.yaml").write_text(
        "exemptions:\n"
        "  - {resource: vol-2-us-east-1, owner: ann, reason: kept, expires: 2027-01-01}\n"
        "  - {resource: vol-9, owner: ann, reason: gone, expires: 2027-01-01}\n"
    )
    denied = Fault("error", "ec2", "describe_volumes", account_id=ACCOUNTS[1], region="eu-west-1")

    def one(name: str, *args: str) -> tuple[int, str, dict[str, Any]]:
        with ReplayEndpoint(organization(), faults=[denied]) as endpoint:
            # The last cannot be entered: its share says so.
            roles = [f"--finops-role=arn:aws:iam::{account}:role/audit" for account in (*ACCOUNTS, CLOSED)]
            env = environment(endpoint.url, tmp_path, AWS_ACCESS_KEY_ID="AKIA00000000")
            result = audit(
                tmp_path, "--finops-profile=env", *roles, "--finops-prices=offline", "--finops-now", NOW.isoformat(),
                "--finops-max-waste=20", *args, "checks", env=env,
            )  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(result[2]), encoding="utf-8")
        return result

    return one


def test_json_that_nobody_asked_for_goes_to_a_pipe_and_not_to_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(as_json.render(shard_of(1, 1).audit), encoding="utf-8")
    command = [sys.executable, "-m", "pytest_finops.cli.main", "merge", str(tmp_path / "one.json")]

    piped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0), os.fdopen(slave, "wb", buffering=0) as terminal:
        shown = subprocess.run(
            command, stdout=terminal, stderr=subprocess.PIPE, text=True, check=True, timeout=60
        )
        terminal.write(b"end")
        assert os.read(master, 100) == b"end"

    assert json.loads(piped.stdout)["findings"] == []
    assert "no report is written: add --output json --file FILE" in shown.stderr
    assert shown.stderr.splitlines()[1:] == piped.stderr.splitlines()


def test_shards_merge_to_the_whole(run: Callable[..., Any], tmp_path: Path) -> None:
    status, output, whole = run("whole")
    assert (status, whole["complete"]) == (1, False), output
    assert CLOSED in {spot["account_id"] for spot in whole["blind_spots"]}
    # One share holds nothing but the account that cannot be entered, and the last is empty, and complete.
    for number, expected in enumerate((0, 7, 0, 7, 0), start=1):
        status, output, part = run(
            f"shard-{number}", f"--finops-shard={number}/5", *(("-n", "2") if number == 4 else ())
        )
        blind = {spot["account_id"] for spot in part["blind_spots"]}
        assert (CLOSED in blind) == (number == 4), output
        assert part["account_ids"] == ACCOUNTS[number - 1 : number], output
        assert (status, part["complete"]) == (expected, expected == 0), output
        assert output.splitlines()[-1].endswith("; shard 5/5 holds no account") == (number == 5), output
    done = subprocess.run(
        [sys.executable, "-m", "pytest_finops.cli.main", "merge", *(f"shard-{n}.json" for n in (3, 1, 5, 2, 4)),
         "--output", "json", "--file", "merged.json", "--output", "markdown"],
        cwd=tmp_path, text=True, capture_output=True, check=False, env={**os.environ, "PYTHONUTF8": "1"}, timeout=60,
    )  # fmt: skip

    merged = json.loads((tmp_path / "merged.json").read_text(encoding="utf-8"))
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("# AWS cost audit: ")
    assert "gate: broken (waste " in done.stderr.splitlines()[-1]
    left_out = {"scan_timestamp", "finished_at", "selection", "api_usage"}
    assert json.dumps({k: v for k, v in merged.items() if k not in left_out}) == json.dumps(
        {k: v for k, v in whole.items() if k not in left_out}
    )
    assert [line for line in merged["warnings"] if "vol-" in line] == [
        "exemption matches nothing, but 2 of its 7 checks could not look: resource vol-9 (finops.yaml:3)"
    ]
    schema = Path(as_json.__file__).parent.parent / "audit.schema.json"
    jsonschema.validate(merged, json.loads(schema.read_text(encoding="utf-8")))
    jsonschema.validate(part, json.loads(schema.read_text(encoding="utf-8")))
