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
    the counted savings after reservations and Savings Plans, the sum of :func:`counted_net`; None if a finding
    that counts was not reconciled. ``accepted`` sums the estimates of accepted findings, ``known`` the counted
    savings of known ones.
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


def counted_net(finding: Finding) -> Decimal | None:
    """Return a finding's share of ``totals.net`` (USD a month), rounded; None = not reconciled.

    At most what it counts, so that these add up to ``totals.net`` as counted savings add up to the total.
    """
    share = ZERO if finding.status == "accepted" else cents(finding.counted_monthly_savings)
    if not share:
        return ZERO
    net = finding.net_monthly_savings
    return None if net is None else min(share, cents(net))


def committed(finding: Finding) -> Decimal | None:
    """Return what commitments take of a finding's counted savings (USD a month), rounded; None = not reconciled."""
    left = counted_net(finding)
    return None if left is None else counted((finding,)) - left


def _net(findings: Sequence[Finding]) -> Decimal | None:
    counting = [finding for finding in findings if counted((finding,))]
    shares = [counted_net(finding) for finding in counting]
    known = [share for share in shares if share is not None]
    return sum(known, ZERO) if counting and len(known) == len(shares) else None
