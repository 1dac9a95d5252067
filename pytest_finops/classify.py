"""Classification: whether a finding is new, known or accepted, or too small to be more than a note."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from .audit import Accepted
from .exemptions import Exemption, accept, expired, match_finding, unmatched
from .findings import TOGETHER, WITHDRAWN, Component, Finding, Note, cents
from .gate import SEVERITIES, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """Everything that classification has to say about the findings of a run."""

    findings: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    expired: tuple[Exemption, ...] = ()
    unmatched: tuple[Exemption, ...] = ()


def classify(
    finding: Finding,
    *,
    exemptions: Iterable[Exemption],
    baseline: Collection[str],
    limits: Limits,
    today: date,
) -> Finding | Note:
    """Return ``finding`` with its status, or a note if its savings are below the minimum.

    A price below the minimum makes a note first of all (unrounded; the minimum itself is a finding, and so
    is a finding without a price). Then an exemption that has not expired makes it accepted; an id in
    ``baseline`` or a severity below the one that fails makes it known; anything else is new.
    """
    savings = finding.estimated_monthly_savings
    if savings is not None and savings < limits.min_savings:
        return Note(
            rule_id=finding.rule_id,
            account_id=finding.account_id,
            region=finding.region,
            resource_id=finding.resource_id,
            text=f"{finding.name}: saves {cents(savings):f} USD a month, below the minimum of "
            f"{limits.min_savings:f}",
            estimated_monthly_savings=savings,
        )
    if match_finding(exemptions, finding, today) is not None:
        return replace(finding, status="accepted")
    if finding.id in baseline or _is_mild(finding, limits):
        return replace(finding, status="known")
    return replace(finding, status="new")


def classify_all(
    findings: Sequence[Finding],
    *,
    exemptions: Sequence[Exemption],
    baseline: Collection[str],
    limits: Limits,
    today: date,
    complete: bool = True,
) -> Classified:
    """Return the findings of a rule on one target classified, and which exemptions acted, ended or match nothing.

    A saving that needs several resources to go is withdrawn where one of them stays: it is no finding, is
    accepted or a note. ``complete`` False says that more of them may exist, unlisted.
    """
    kept: list[Finding] = []
    notes: list[Note] = []
    accepted: list[Accepted] = []
    for finding in findings:
        verdict = classify(finding, exemptions=exemptions, baseline=baseline, limits=limits, today=today)
        if isinstance(verdict, Note):
            notes.append(verdict)
            continue
        kept.append(verdict)
        exemption = match_finding(exemptions, finding, today) if verdict.status == "accepted" else None
        if exemption is not None:
            accepted.append(accept(verdict, exemption))
    going = {finding.resource_id for finding in kept if finding.status != "accepted"}
    return Classified(
        findings=tuple(_if_together(finding, going, complete) for finding in kept),
        notes=tuple(notes),
        accepted=tuple(accepted),
        expired=expired(exemptions, today),
        unmatched=unmatched(exemptions, findings, today),
    )


def _if_together(finding: Finding, going: Collection[str], complete: bool) -> Finding:
    """Return ``finding``, without its price if that needs a resource to go which may stay."""
    needed = finding.metadata.get(TOGETHER, ())
    # An accepted finding counts nothing; its price says what accepting it costs.
    staying = [] if finding.status == "accepted" else [one for one in needed if one not in going]
    if not needed or (complete and not staying):
        return finding
    reason = (
        f"the saving needs these to go as well, which stay: {', '.join(staying)}"
        if staying
        else "not everything was listed that the saving may depend on"
    )
    return replace(
        finding,
        current_monthly_cost=None, target_monthly_cost=None, estimated_monthly_savings=None,
        current_lines=(), target_lines=(),
        components=tuple(Component(component.key, None, None) for component in finding.components),
        metadata={**finding.metadata, WITHDRAWN: reason},
    )  # fmt: skip


def _is_mild(finding: Finding, limits: Limits) -> bool:
    wanted = limits.fail_severity
    return wanted is not None and SEVERITIES.index(finding.severity) < SEVERITIES.index(wanted)
