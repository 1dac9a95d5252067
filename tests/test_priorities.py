"""Priorities: phases, and the order of doing."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from pytest_finops.findings import Finding
from pytest_finops.priorities import phase, rank, worth


def found(id: str = "a", counted: str = "10", **fields: Any) -> Finding:
    values: dict[str, Any] = {
        "id": id, "rule_id": "ec2-low-cpu", "name": "n", "category": "compute", "severity": "low",
        "effort": "low", "restart": False, "risk": "low", "confidence": "high", "kind": "waste",
        "action": "delete", "resource_id": id, "resource_arn": "", "resource_type": "T", "account_id": "1",
        "region": "us-east-1", "counted_monthly_savings": D(counted),
    } | fields  # fmt: skip
    return Finding(**values)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "quick_win"),
        ({"effort": "quick_win", "risk": "medium"}, "quick_win"),
        ({"risk": "high"}, "plan"),
        ({"restart": True}, "plan"),
        ({"confidence": "medium"}, "plan"),
        ({"effort": "medium"}, "plan"),
        ({"effort": "high"}, "strategic"),
        ({"effort": "quick_win", "action": "commit"}, "strategic"),
        ({"category": "commitments"}, "strategic"),
    ],
)
def test_phase(fields: dict[str, Any], expected: str) -> None:
    assert phase(found(**fields)) == expected


def order(*findings: Finding, **options: Any) -> list[tuple[str, int]]:
    return [(finding.id, finding.priority) for finding in rank(findings, **options)]


def test_phase_comes_first_then_weighted_savings_then_id() -> None:
    # In the phase "plan": 100 x 0.4 = 40, 60 x 0.7 = 42, 42 x 1 = 42.
    assert order(
        found("low", "100", effort="medium", confidence="low"),
        found("sure", "42", effort="medium"),
        found("maybe", "60", effort="medium", confidence="medium"),
        found("big", "9000", effort="high"),
        found("easy", "1"),
    ) == [("easy", 1), ("maybe", 2), ("sure", 3), ("low", 4), ("big", 5)]


def test_phase_is_set() -> None:
    assert [finding.phase for finding in rank([found(effort="high")])] == ["strategic"]
    assert worth(found(counted="10", confidence="medium")) == D("7.0")


def test_override_places_a_finding() -> None:
    findings = [found("a", "30"), found("b", "20"), found("c", "10")]
    assert order(*findings, override=lambda f: 1 if f.id == "c" else None) == [("c", 1), ("a", 2), ("b", 3)]
    assert order(*findings, override=lambda f: 2 if f.id == "c" else None) == [("a", 1), ("c", 2), ("b", 3)]
    assert order(*findings, override=lambda f: 99 if f.id == "a" else None) == [("b", 1), ("c", 2), ("a", 3)]
    assert order(*findings, override=lambda f: None if f.id == "a" else 1) == [("b", 1), ("c", 2), ("a", 3)]


def test_the_order_of_the_input_does_not_matter() -> None:
    findings = [found(name, "5") for name in "dbca"]
    assert order(*findings) == order(*reversed(findings)) == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
    assert rank(rank(findings)) == rank(findings)
    assert rank([]) == ()
