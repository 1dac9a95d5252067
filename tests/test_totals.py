"""Totals: rounded figures, added up by hand."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from pytest_finops.audit import Totals
from pytest_finops.findings import Finding
from pytest_finops.totals import counted, counted_net, group, totals


def found(estimated: str | None, share: str = "0", **fields: Any) -> Finding:
    values: dict[str, Any] = {
        "id": "a", "rule_id": "ec2-low-cpu", "name": "n", "category": "compute", "severity": "low",
        "effort": "low", "restart": False, "risk": "low", "confidence": "high", "kind": "waste",
        "action": "delete", "resource_id": "r", "resource_arn": "", "resource_type": "T", "account_id": "1",
        "region": "us-east-1", "estimated_monthly_savings": None if estimated is None else D(estimated),
        "counted_monthly_savings": D(share),
    } | fields  # fmt: skip
    return Finding(**values)


def test_nothing() -> None:
    assert totals([]) == Totals()


def test_totals_sum_rounded_figures() -> None:
    # 0.005 rounds half up to 0.01, twice: 0.02 (the unrounded sum is 0.010).
    assert totals([found("0.005", "0.005"), found("0.005", "0.005")]).monthly == D("0.02")


def test_totals_by_hand() -> None:
    result = totals(
        [
            found("80.00", "80.00"),
            found("16.00", "0.00", kind="optimisation"),  # an alternative
            found("50.004", "25.002", kind="optimisation", status="known"),
            found("7.00", "0", status="accepted"),
            found(None),
        ]
    )
    assert result.waste == D("80.00")
    assert result.optimisation == D("25.00")
    assert result.monthly == D("105.00")
    assert result.gross == D("153.00")  # 80.00 + 16.00 + 50.00 + 7.00
    assert result.known == D("25.00")
    assert result.accepted == D("7.00")
    assert result.unpriced_findings == 1
    assert result.net is None


def test_accepted_findings_count_nothing_whatever_they_carry() -> None:
    accepted = found("7", "7", status="accepted", net_monthly_savings=D(7))
    assert totals([accepted]).monthly == counted_net(accepted) == D(0)


def test_net_is_never_more_than_what_counts() -> None:
    findings = [
        found("50", "50", net_monthly_savings=D("12.345")),  # 12.35
        found("50", "20", net_monthly_savings=D(40)),  # 20: the rest is an overlap
        found(
            "9", "9", net_monthly_savings=D(-3)
        ),  # -3: it leaves a reservation unused and buys something else
        found(None),  # not priced: counts nothing
    ]
    # A reader of the file adds these up: net savings alone (49.35) would count the overlap twice.
    shares = [counted_net(finding) for finding in findings]
    assert shares == [D("12.35"), D(20), D(-3), D(0)]
    assert totals(findings).net == D("29.35")


def test_net_is_unknown_while_one_that_counts_is_not_reconciled() -> None:
    assert totals([found("50", "50", net_monthly_savings=D(50)), found("9", "9")]).net is None
    assert totals([found("50", "50", net_monthly_savings=D(50)), found("9", "0")]).net == D(50)


def test_groups_are_ordered_by_counted_savings() -> None:
    small = found("1", "1", category="storage")
    large = found("5", "5", category="network")
    other = found("1", "1", category="database")
    more = found("2", "2", category="network")
    groups = group([small, large, other, more], lambda finding: finding.category)
    assert list(groups) == ["network", "database", "storage"]
    assert groups["network"] == (large, more)
    assert counted(groups["network"]) == D("7.00")
