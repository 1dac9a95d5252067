"""The gate: limits, exit status, the closing line, the baseline, and what becomes known or a note."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from pytest_finops import baseline, overlaps
from pytest_finops.audit import Gate
from pytest_finops.classify import classify, classify_all
from pytest_finops.errors import ConfigError
from pytest_finops.exemptions import Exemption
from pytest_finops.findings import Component, Finding, Note, finding_id
from pytest_finops.gate import Limits, closing_line, exit_status, judge
from pytest_finops.totals import totals

TODAY = date(2026, 11, 23)


def found(name: str = "a", savings: str | None = "10", **fields: Any) -> Finding:
    amount = None if savings is None else D(savings)
    values: dict[str, Any] = {
        "rule_id": "ec2-low-cpu", "name": "Low CPU", "category": "compute", "severity": "medium",
        "effort": "low", "restart": False, "risk": "low", "confidence": "high", "kind": "waste",
        "action": "delete", "resource_id": name, "resource_arn": "", "resource_type": "T",
        "account_id": "111111111111", "region": "us-east-1", "estimated_monthly_savings": amount,
        "counted_monthly_savings": amount or D(0),
        "id": finding_id("ec2-low-cpu", "111111111111", "us-east-1", name),
    } | fields  # fmt: skip
    return Finding(**values)


def verdict(*findings: Finding, **limits: Any) -> Gate:
    return judge(findings, limits=Limits(**limits))


def test_without_a_gate_option_any_new_finding_breaks() -> None:
    assert verdict().holds
    assert verdict(found(status="known"), found("b", status="accepted")).holds
    gate = verdict(found(savings=None))
    assert not gate.holds
    assert gate.reasons == ("1 new finding",)


def test_limits_compare_unrounded_counted_savings() -> None:
    # 0.004 and 0.004 round to 0.00 each and sum to 0.008.
    small = (found("a", "0.004"), found("b", "0.004"))
    assert verdict(*small, max_waste=D("0.008")).holds
    gate = verdict(*small, max_waste=D("0.007"))
    assert not gate.holds
    assert gate.reasons == ("waste 0.008 > 0.007 USD a month",)


def test_what_the_gate_counted_is_the_total_of_the_report() -> None:
    new = (found("a", "10.005"), found("b", "10.005"))
    gate = verdict(*new, max_savings=D("20.01"))
    assert gate.counted == totals(new).monthly == D("20.02")
    # The limit compares 20.010, which equals it.
    assert gate.holds


def test_an_amount_is_shown_with_the_places_that_say_something() -> None:
    assert verdict(found(savings="3614.53478000"), max_savings=D("3614.5340")).reasons == (
        "savings 3614.53478 > 3614.534 USD a month",
    )
    assert verdict(found(savings="1000.00100"), max_savings=D(1000)).reasons == (
        "savings 1000.001 > 1000.00 USD a month",
    )


def test_a_refused_run_holds_nothing() -> None:
    gate = judge((), limits=Limits(max_waste=D(9)), refused="the run was refused")
    assert (gate.holds, gate.reasons) == (False, ("the run was refused",))


def test_waste_limits_waste_and_savings_limit_everything() -> None:
    findings = (found("a", "60"), found("b", "50", kind="optimisation"), found("c", "900", status="known"))
    assert verdict(*findings, max_waste=D(60)).holds
    assert verdict(*findings, max_waste=D("59.99")).reasons == ("waste 60.00 > 59.99 USD a month",)
    assert verdict(*findings, max_savings=D(110)).holds
    assert verdict(*findings, max_savings=D(100)).reasons == ("savings 110.00 > 100.00 USD a month",)


@pytest.mark.parametrize(
    "limits", [{"fail_severity": "low"}, {"max_unpriced": 5}, {"strict": True}, {"min_savings": D(5)}]
)
def test_other_options_do_not_replace_any_new_finding(limits: dict[str, Any]) -> None:
    assert not verdict(found(), **limits).holds


def test_unpriced_findings() -> None:
    unpriced = (found("a", None), found("b", None), found("c", None, status="known"))
    assert verdict(*unpriced, max_waste=D(0)).holds
    assert verdict(*unpriced, max_waste=D(0), max_unpriced=2).holds
    assert verdict(*unpriced, max_waste=D(0), max_unpriced=1).reasons == ("2 without a price > 1",)
    assert verdict(*unpriced, max_waste=D(0), strict=True).reasons == ("2 without a price > 0",)
    assert verdict(*unpriced, max_waste=D(0), strict=True, max_unpriced=2).holds


def test_increase_compares_rounded_totals_and_sees_known_findings() -> None:
    # 100.00 + 20.00 against 90.00: 30.00 more.
    findings = (found("a", "100.004", status="known"), found("b", "20"), found("c", "7", status="accepted"))
    limits = Limits(max_increase=D(30))
    assert judge(findings, limits=limits, previous=D("90.00")).holds
    gate = judge(findings, limits=limits, previous=D("89.99"))
    assert gate.reasons == ("increase 30.01 > 30.00 USD a month since the last audit",)
    assert "no earlier audit" in judge(findings, limits=limits).reasons[0]


def test_limits_asked_for_are_in_the_gate() -> None:
    assert verdict(max_waste=D(5), strict=True).limits == {"max_waste": D(5), "strict": True}
    assert verdict().limits == {}


@pytest.mark.parametrize(
    ("holds", "complete", "pytest_status", "ordinary", "strict", "expected"),
    [
        (True, True, 0, False, False, 0),
        (True, True, 1, False, False, 0),  # checks failed, the gate forgives
        (False, True, 1, False, False, 1),
        (True, True, 1, True, False, 1),  # an ordinary test failed
        (True, False, 1, False, False, 7),
        (False, False, 1, False, False, 1),
        (True, False, 1, True, False, 1),
        (True, False, 2, False, False, 2),
        (True, True, 3, False, False, 3),
        (False, False, 4, False, False, 4),
        (True, True, 5, False, False, 5),
        (True, True, 6, False, False, 6),
        (False, False, 1, True, True, 7),
        (True, False, 0, False, True, 7),
        (False, False, 2, False, True, 7),
        (True, False, 4, False, True, 4),
        (False, True, 1, False, True, 1),
        (True, True, 0, False, True, 0),
    ],
)
def test_exit_status(
    holds: bool, complete: bool, pytest_status: int, ordinary: bool, strict: bool, expected: int
) -> None:
    gate = Gate(holds=holds, limits={"strict": True} if strict else {})
    status = exit_status(gate, complete=complete, pytest_status=pytest_status, ordinary_failed=ordinary)
    assert status == expected


def test_closing_line() -> None:
    assert closing_line(Gate(), True) == "gate: holds, complete"
    gate = Gate(holds=False, reasons=("waste 2.00 > 1.00 USD a month", "1 without a price > 0"))
    why = "waste 2.00 > 1.00 USD a month; 1 without a price > 0"
    assert closing_line(gate, False) == f"gate: broken ({why}), incomplete"


def test_baseline_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    findings = [found("b", "10.005"), found("a", None), found("c", "3", status="accepted")]
    assert baseline.write(path, findings, ()) == 2
    assert baseline.load(path) == {found("a").id: D("0.00"), found("b").id: D("10.01")}
    assert [entry.name for entry in tmp_path.iterdir()] == ["baseline.json"]


def test_a_narrower_run_keeps_what_it_did_not_look_at(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    elsewhere = found("b", id="elsewhere", region="eu-west-1")
    by_account = found("d", id="by-account", rule_id="s3-old")
    baseline.write(path, [found("a"), elsewhere, by_account, found("c", id="accepted")], ())
    document = json.loads(path.read_text())
    document["findings"].append({"id": "placeless", "counted_monthly_savings": "4.00"})
    path.write_text(json.dumps(document))

    looked = {("ec2-low-cpu", "111111111111", "us-east-1"), ("s3-old", "111111111111", "global")}
    now = [found("n", "5", id="new"), found("c", id="accepted", status="accepted")]
    assert baseline.write(path, now, looked) == 3
    assert baseline.load(path) == {"elsewhere": D("10.00"), "new": D("5.00"), "placeless": D("4.00")}


def test_an_audit_file_is_a_baseline(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    findings = [{"id": "ab", "counted_monthly_savings": "1.50", "name": "x"}, {"id": "cd"}]
    path.write_text(json.dumps({"schema_version": "1", "findings": findings}))
    assert baseline.load(path) == {"ab": D("1.50"), "cd": D(0)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{\n  oops", "baseline.json:2 is not JSON"),
        ("[]", "has no list of findings"),
        ('{"findings": [{"name": "x"}]}', r"findings\[0\] has no id"),
        ('{"findings": [{"id": "a", "counted_monthly_savings": "NaN"}]}', "must be an amount"),
        ('{"findings": [{"id": "a", "counted_monthly_savings": []}]}', "must be an amount"),
    ],
)
def test_a_broken_baseline_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        baseline.load(path)


def test_a_missing_baseline(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--finops-update-baseline"):
        baseline.load(tmp_path / "none.json")
    assert baseline.load(tmp_path / "none.json", missing_ok=True) == {}


def test_an_unwritable_baseline(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        baseline.write(tmp_path / "missing" / "baseline.json", [], ())


def sorted_into(finding: Finding, *, known: set[str] | None = None, **limits: Any) -> Finding | Note:
    return classify(finding, exemptions=(), baseline=known or set(), limits=Limits(**limits), today=TODAY)


def test_a_saving_equal_to_the_minimum_is_a_finding() -> None:
    assert isinstance(sorted_into(found(savings="1.00")), Finding)
    assert isinstance(sorted_into(found(savings="0.9999")), Note)  # rounds to the minimum, is below it
    assert isinstance(sorted_into(found(savings=None)), Finding)
    assert isinstance(sorted_into(found(savings="-3")), Note)
    assert isinstance(sorted_into(found(savings="0"), min_savings=D(0)), Finding)


def test_known_and_new() -> None:
    finding = found(severity="medium")
    assert sorted_into(finding).status == "new"  # type: ignore[union-attr]
    assert sorted_into(finding, known={finding.id}).status == "known"  # type: ignore[union-attr]
    assert sorted_into(finding, fail_severity="high").status == "known"  # type: ignore[union-attr]
    assert sorted_into(finding, fail_severity="medium").status == "new"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("older", "complete", "saved", "reason"),
    [
        ({}, True, "50", None),
        ({"known": True}, True, "50", None),
        ({"accepted": True}, True, None, "the saving needs these to go as well, which stay: old"),
        ({"savings": "0.50"}, True, None, "the saving needs these to go as well, which stay: old"),
        (None, True, None, "the saving needs these to go as well, which stay: old"),
        ({}, False, None, "not everything was listed that the saving may depend on"),
    ],
)
def test_a_saving_that_needs_others_to_go_falls_where_one_stays(
    older: dict[str, Any] | None, complete: bool, saved: str | None, reason: str | None
) -> None:
    claim = Component("ebs:vol-1", D(50), D(50))
    newest = replace(found("new", savings="50"), components=(claim,), metadata={"together": ("new", "old")})
    name = "old" if older and "accepted" in older else "zz"
    kept = Exemption(resource=name, owner="kim", reason="kept", expires=TODAY)
    others = [] if older is None else [found("old", savings=older.get("savings"))]
    result = classify_all(
        [newest, *others],
        exemptions=[kept], baseline={one.id for one in others if older and "known" in older}, limits=Limits(), today=TODAY,
        complete=complete,
    )  # fmt: skip
    priced = result.findings[0]
    assert priced.estimated_monthly_savings == (None if saved is None else D(saved))
    assert [one.saved for one in priced.components] == [priced.estimated_monthly_savings]
    assert priced.metadata.get("withdrawn") == reason
    assert overlaps.count(result.findings)[0].counted_monthly_savings == D(saved or 0)


def test_everything_classified() -> None:
    exemption = Exemption(resource="a*", owner="kim", reason="kept", expires=TODAY)
    gone = Exemption(resource="zz", owner="kim", reason="kept", expires=TODAY)
    ended = Exemption(resource="b", owner="kim", reason="kept", expires=date(2026, 11, 22))
    result = classify_all(
        [found("a1"), found("b"), found("c", "0.5")],
        exemptions=[exemption, gone, ended],
        baseline=(),
        limits=Limits(),
        today=TODAY,
    )
    assert [finding.status for finding in result.findings] == ["accepted", "new"]
    assert [note.resource_id for note in result.notes] == ["c"]
    assert [(entry.finding_id, entry.expires) for entry in result.accepted] == [
        (found("a1").id, "2026-11-23")
    ]
    assert (result.unmatched, result.expired) == ((gone,), (ended,))
