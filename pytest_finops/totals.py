"""Totals: sums of figures already rounded to the cent, so that what people add up by hand agrees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from .audit import Totals
from .findings import Finding, cents

ZERO = Decimal(0)


def counted(findings: Iterable[Finding]) -> Decimal:
    """Return the sum of counted monthly savings, each rounded to the cent (USD)."""
    return sum((cents(finding.counted_monthly_savings) for finding in findings), ZERO)


def totals(findings: Sequence[Finding]) -> Totals:
    """Return the totals of ``findings``, classified and counted (USD a month).

    ``waste`` and ``optimisation`` sum the counted savings of each kind; known findings are inside, accepted
    ones count 0. ``gross`` sums every estimate, before overlaps and exemptions. ``net`` is what is left of
    the counted savings after reservations and Savings Plans: a finding gives its net savings, at most what it
    counts; None if a finding that counts was not reconciled. ``accepted`` sums the estimates of accepted
    findings, ``known`` the counted savings of known ones.
    """
    live = [finding for finding in findings if finding.status != "accepted"]
    return Totals(
        waste=counted(f for f in live if f.kind == "waste"),
        optimisation=counted(f for f in live if f.kind == "optimisation"),
        gross=_estimated(findings),
        net=_net(live),
        unpriced_findings=sum(1 for f in findings if f.estimated_monthly_savings is None),
        accepted=_estimated(f for f in findings if f.status == "accepted"),
        known=counted(f for f in live if f.status == "known"),
    )


def group(findings: Iterable[Finding], key: Callable[[Finding], str]) -> dict[str, tuple[Finding, ...]]:
    """Return ``findings`` by ``key``, the group with the most counted savings first, ties by name.

    Inside a group the findings keep their order.
    """
    groups: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[key(finding)].append(finding)
    names = sorted(groups, key=lambda name: (-counted(groups[name]), name))
    return {name: tuple(groups[name]) for name in names}


def _estimated(findings: Iterable[Finding]) -> Decimal:
    estimates = (finding.estimated_monthly_savings for finding in findings)
    return sum((cents(estimate) for estimate in estimates if estimate is not None), ZERO)


def committed(finding: Finding) -> Decimal | None:
    """Return what commitments take of a finding's counted savings (USD a month), rounded; None = not reconciled."""
    share, net = cents(finding.counted_monthly_savings), finding.net_monthly_savings
    return None if net is None else share - min(share, cents(net))


def _net(findings: Sequence[Finding]) -> Decimal | None:
    total, counting = ZERO, False
    for finding in findings:
        share, taken = cents(finding.counted_monthly_savings), committed(finding)
        if share:
            if taken is None:
                return None
            total, counting = total + share - taken, True
    return total if counting else None
