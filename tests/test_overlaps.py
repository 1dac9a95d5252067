"""Overlaps: every dollar is counted once. The figures are worked out by hand."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_finops.findings import WATERFALL, Component, Finding, finding_id
from pytest_finops.overlaps import count


def found(name: str, action: str, *components: tuple[str, Any, Any], **fields: Any) -> Finding:
    """Return a finding whose rule and resource are ``name``; components are (key, cost, saved)."""
    claims = tuple(
        Component(key, None if cost is None else D(cost), None if saved is None else D(saved))
        for key, cost, saved in components
    )
    known = [claim.saved for claim in claims if claim.saved is not None]
    values: dict[str, Any] = {
        "rule_id": f"ec2-{name}", "name": name, "category": "compute", "severity": "low", "effort": "low",
        "restart": False, "risk": "low", "confidence": "high", "kind": "waste", "action": action,
        "resource_id": name, "resource_arn": "", "resource_type": "T", "account_id": "111111111111",
        "region": "us-east-1", "components": claims,
        "estimated_monthly_savings": sum(known, D(0)) if known else None,
    } | fields  # fmt: skip
    values["id"] = finding_id(
        values["rule_id"], values["account_id"], values["region"], values["resource_id"]
    )
    return Finding(**values)


def counted(*findings: Finding) -> list[D]:
    return [finding.counted_monthly_savings for finding in count(findings)]


def test_a_lone_finding_counts_what_it_saves() -> None:
    assert counted(found("a", "rightsize", ("compute:i-1", "100", "40"))) == [D(40)]


def test_steps_multiply_on_what_is_left() -> None:
    # 100: the schedule takes 60 %, 40 is left; half of it is 20, left 20; a quarter off is 5.
    findings = [
        found("commit", "commit", ("compute:i-1", "100", "25")),
        found("size", "rightsize", ("compute:i-1", "100", "50")),
        found("hours", "schedule", ("compute:i-1", "100", "60")),
    ]
    assert counted(*findings) == [D(5), D(20), D(60)]


def test_delete_leaves_nothing_and_is_named() -> None:
    deletion = found("gone", "delete", ("ebs:vol-1", "80", "80"))
    upgrade = found("gp3", "upgrade", ("ebs:vol-1", "80", "16"))
    again = found("gp3b", "upgrade", ("ebs:vol-1", "80", "8"))
    first, second, third = count([upgrade, again, deletion])
    assert (first.counted_monthly_savings, first.alternative_to) == (D(0), (deletion.id,))
    assert (second.counted_monthly_savings, second.alternative_to) == (D(0), (deletion.id,))
    assert (third.counted_monthly_savings, third.alternative_to) == (D(80), ())


def test_a_deletion_that_keeps_a_snapshot_still_leaves_nothing_to_save() -> None:
    assert counted(
        found("gone", "delete", ("ebs:vol-1", "80", "70")),
        found("gp3", "upgrade", ("ebs:vol-1", "80", "16")),
    ) == [D(70), D(0)]


def test_of_two_rightsizings_the_best_counts() -> None:
    better = found("better", "rightsize", ("compute:i-1", "100", "50"))
    worse = found("aaa", "rightsize", ("compute:i-1", "100", "30"))
    first, second = count([worse, better])
    assert (first.counted_monthly_savings, first.alternative_to) == (D(0), (better.id,))
    assert (second.counted_monthly_savings, second.alternative_to) == (D(50), ())


def test_equal_alternatives_are_settled_by_sort_key() -> None:
    a = found("a", "rightsize", ("compute:i-1", "100", "50"))
    b = found("b", "rightsize", ("compute:i-1", "100", "50"))
    assert counted(b, a) == [D(0), D(50)]


def test_the_best_alternative_is_the_whole_finding() -> None:
    # Deleting the gateway takes its address with it; releasing the address alone is the lesser alternative.
    gateway = found("nat", "delete", ("nat-hours:nat-1", "32.85", "32.85"), ("ipv4:e-1", "3.65", "3.65"))
    address = found("address", "delete", ("ipv4:e-1", "3.65", "3.65"))
    first, second = count([address, gateway])
    assert (first.counted_monthly_savings, first.alternative_to) == (D(0), (gateway.id,))
    assert second.counted_monthly_savings == D("36.50")


def test_settings_multiply_instead_of_excluding_each_other() -> None:
    # Multi-AZ off halves 200; the other setting saves a tenth of the 100 that are left.
    assert counted(
        found("multi-az", "configure", ("db-compute:x", "200", "100")),
        found("other", "configure", ("db-compute:x", "200", "20")),
        found("size", "rightsize", ("db-compute:x", "200", "100")),
    ) == [D(100), D(10), D(45)]


def test_an_exclusive_group_spans_components() -> None:
    group = {"metadata": {"exclusive_group": "nat:vpc-1"}}
    remove = found("remove", "delete", ("nat-hours:nat-1", "32.85", "32.85"), **group)
    route = found("route", "configure", ("bytes:nat-2", "50", "40"), **group)
    first, second = count([remove, route])
    assert (first.counted_monthly_savings, first.alternative_to) == (D(0), (route.id,))
    assert second.counted_monthly_savings == D(40)


def test_accepted_and_unpriced_findings_take_nothing() -> None:
    accepted = found("gone", "delete", ("ebs:vol-1", "80", "80"), status="accepted")
    unpriced = found("gone2", "delete", ("ebs:vol-1", None, None))
    known = found("gp3", "upgrade", ("ebs:vol-1", "80", "16"), status="known")
    assert counted(accepted, unpriced, known) == [D(0), D(0), D(16)]


def test_without_components_the_estimate_counts() -> None:
    assert counted(found("a", "delete", estimated_monthly_savings=D("3.65")), found("b", "delete")) == [
        D("3.65"),
        D(0),
    ]


def test_a_cost_that_the_change_creates_is_subtracted() -> None:
    upgrade = found("io", "upgrade", ("ebs:vol-1", "100", "30"), ("ebs-iops:vol-1", "0", "-5"))
    assert counted(upgrade) == [D(25)]
    # The deletion takes the 30; the new cost alone never makes a finding count less than nothing.
    assert counted(upgrade, found("gone", "delete", ("ebs:vol-1", "100", "100"))) == [D(0), D(100)]


def test_the_highest_claimed_cost_is_the_component_cost() -> None:
    # 60 of 120 are half: the commitment's 30 of 100 claimed is a quarter of 120, of the 60 left: 15.
    assert counted(
        found("size", "rightsize", ("compute:i-1", "120", "60")),
        found("commit", "commit", ("compute:i-1", "100", "30")),
    ) == [D(60), D(15)]


def test_more_than_the_cost_is_the_cost() -> None:
    assert counted(found("a", "delete", ("ebs:vol-1", "80", "90"))) == [D(80)]


def test_the_same_key_in_another_account_or_region_is_another_component() -> None:
    claim = ("db-compute:orders", "100", "100")
    assert (
        counted(
            found("a", "delete", claim),
            found("b", "delete", claim, account_id="222222222222"),
            found("c", "delete", claim, region="eu-west-1"),
        )
        == [D(100)] * 3
    )


def test_a_global_finding_meets_the_regional_component() -> None:
    assert counted(
        found("a", "stop", ("compute:i-1", "100", "50")),
        found("plan", "commit", ("compute:i-1", "100", "30"), region="global"),
    ) == [D(50), D(15)]


MONEY = st.decimals(min_value=0, max_value=5000, places=4)
KEYS = st.sampled_from(["compute:i-1", "ebs:vol-1", "ipv4:e-1"])


@st.composite
def estates(draw: st.DrawFn) -> list[Finding]:
    """Draw findings with overlapping claims of every action and status."""
    findings = []
    for number in range(draw(st.integers(1, 7))):
        components = []
        for key in draw(st.sets(KEYS, max_size=3)):
            cost = draw(st.none() | MONEY)
            saved = draw(st.none() | st.decimals(min_value=-50, max_value=5000, places=4))
            components.append((key, cost, saved))
        fields: dict[str, Any] = {"status": draw(st.sampled_from(["new", "known", "accepted"]))}
        if draw(st.booleans()):
            fields["metadata"] = {"exclusive_group": draw(st.sampled_from("xy"))}
        findings.append(found(f"f{number}", draw(st.sampled_from(WATERFALL)), *sorted(components), **fields))
    return findings


@given(estates())
def test_the_total_never_exceeds_what_the_components_cost(findings: list[Finding]) -> None:
    highest: defaultdict[str, D] = defaultdict(D)
    for finding in findings:
        for part in finding.components:
            # Where no claim knows the cost, the saving stands for it.
            cost = part.saved if part.monthly_cost is None else part.monthly_cost
            highest[part.key] = max(highest[part.key], cost or D(0))
    total = sum((finding.counted_monthly_savings for finding in count(findings)), D(0))
    assert D(0) <= total <= sum(highest.values(), D(0)) + D("1e-15")
    assert all(finding.counted_monthly_savings >= 0 for finding in count(findings))


@given(estates(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(findings: list[Finding], random: Any) -> None:
    shuffled = list(findings)
    random.shuffle(shuffled)
    assert {f.id: f for f in count(shuffled)} == {f.id: f for f in count(findings)}
    assert [f.id for f in count(shuffled)] == [f.id for f in shuffled]


@given(estates())
def test_counting_twice_changes_nothing(findings: list[Finding]) -> None:
    once = count(findings)
    assert count(once) == once


@pytest.mark.parametrize("action", WATERFALL)
def test_stale_results_are_replaced(action: str) -> None:
    stale = replace(
        found("a", action, ("compute:i-1", "100", "40")),
        counted_monthly_savings=D(7),
        alternative_to=("0" * 16,),
    )
    [fresh] = count([stale])
    assert (fresh.counted_monthly_savings, fresh.alternative_to) == (D(40), ())
