"""Priorities: in which phase a finding belongs and which one to do first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from .findings import Finding, Phase
from .resources import Confidence

#: Phases in the order of doing.
PHASES: tuple[Phase, ...] = ("quick_win", "plan", "strategic")

#: What a dollar is worth by how sure we are of it.
WEIGHT: Mapping[Confidence, Decimal] = {
    "high": Decimal(1),
    "medium": Decimal("0.7"),
    "low": Decimal("0.4"),
}


def phase(finding: Finding) -> Phase:
    """Return the phase: commitments and high effort are strategic; sure, easy, restartless is a quick win."""
    if finding.effort == "high" or finding.action == "commit" or finding.category == "commitments":
        return "strategic"
    if (
        finding.effort in ("quick_win", "low")
        and not finding.restart
        and finding.risk in ("low", "medium")
        and finding.confidence == "high"
    ):
        return "quick_win"
    return "plan"


def worth(finding: Finding) -> Decimal:
    """Return the counted monthly savings weighted by confidence (USD)."""
    return finding.counted_monthly_savings * WEIGHT[finding.confidence]


def rank(
    findings: Iterable[Finding], override: Callable[[Finding], int | None] | None = None
) -> tuple[Finding, ...]:
    """Return ``findings`` in priority order with ``phase`` and ``priority`` (1 = first, no gaps) set.

    The order is phase, then counted savings weighted by confidence, then id. ``override`` may give a
    finding its place: it gets that priority (the next free one if two ask for the same, the last if there
    are fewer findings) and the others keep their order around it.
    """
    phased = (replace(finding, phase=phase(finding)) for finding in findings)
    ordered = sorted(phased, key=lambda f: (PHASES.index(f.phase), -worth(f), f.id))
    wanted: list[tuple[int, int, Finding]] = []
    others: list[Finding] = []
    for natural, finding in enumerate(ordered):
        place = None if override is None else override(finding)
        if place is None:
            others.append(finding)
        else:
            wanted.append((place, natural, finding))
    # Popping from the end takes the first.
    wanted.sort(key=lambda entry: entry[:2], reverse=True)
    others.reverse()
    ranked: list[Finding] = []
    for priority in range(1, len(ordered) + 1):
        asked = bool(wanted) and (not others or wanted[-1][0] <= priority)
        finding = wanted.pop()[2] if asked else others.pop()
        ranked.append(replace(finding, priority=priority))
    return tuple(ranked)
