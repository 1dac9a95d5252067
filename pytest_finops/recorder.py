"""What a running check reports to, and the rule as it sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from .environments import EnvironmentPolicy, OwnerPolicy
from .errors import FinopsError
from .findings import TOGETHER, Action, Component, Finding, Note, NotEvaluated, PriceLine, finding_id
from .resources import GLOBAL, Confidence, Environment, Resource, Target
from .rules import Rule


class BoundRule:
    """The rule of the running check: its metadata and thresholds, and the policies that judge with it."""

    def __init__(self, rule: Rule, environments: EnvironmentPolicy, minimum_savings: Decimal) -> None:
        self._rule = rule
        self._environments = environments
        self.minimum_savings = minimum_savings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rule, name)

    def environment(self, resource: Resource) -> Environment:
        """Return what ``resource`` is used for, by tags, account, then whole name tokens."""
        return self._environments.of(resource)

    def __repr__(self) -> str:
        return f"<rule {self._rule.id}>"


@dataclass(slots=True)
class Verdicts:
    """What a check said about the resources of one target."""

    findings: dict[str, Finding] = field(default_factory=dict)
    not_evaluated: dict[str, NotEvaluated] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


#: What was said about a target that no check said anything about.
SILENT = Verdicts()


class Recorder:
    """The ``findings`` fixture: collects findings, resources that could not be judged, and notes."""

    def __init__(
        self, rule: Rule, targets: Sequence[Target], environments: EnvironmentPolicy, owners: OwnerPolicy
    ) -> None:
        self._rule = rule
        self._environments = environments
        self._owners = owners
        self._targets = frozenset(targets)
        self._verdicts: dict[Target, Verdicts] = {}

    @property
    def said(self) -> bool:
        """Whether the check said anything so far."""
        return any(verdicts != SILENT for verdicts in self._verdicts.values())

    def of(self, target: Target) -> Verdicts:
        """Return what was said about ``target`` so far."""
        return self._verdicts.get(target, SILENT)

    def _of(self, resource: Resource) -> Verdicts:
        if not isinstance(resource, Resource):
            raise FinopsError(
                f"rule {self._rule.id}: {resource!r} is not a resource; report one of an inventory"
            )
        # A check at account level judges resources of any region of its accounts.
        for target in (resource.target, Target(resource.account_id, GLOBAL)):
            if target in self._targets:
                return self._verdicts.setdefault(target, Verdicts())
        raise FinopsError(
            f"rule {self._rule.id}: {resource!r} is not one of the targets that this test looks at"
        )

    def report(
        self,
        resource: Resource,
        *,
        current: str | None = None,
        current_lines: Sequence[PriceLine] = (),
        target_lines: Sequence[PriceLine] = (),
        components: Sequence[Component] | None = None,
        action: Action | None = None,
        confidence: Confidence | None = None,
        evidence: Mapping[str, Any] | None = None,
        recommendation: str | None = None,
        together: Iterable[Resource] = (),
    ) -> None:
        """Report a finding on ``resource``.

        :param current: what was measured, for people: ``6.2% CPU avg``.
        :param current_lines: what it costs now; the savings are these less ``target_lines``, None if any has no price.
        :param components: what of the bill is claimed; derived from the lines unless given.
        :param together: resources, this one among them, that must all go for the saving to hold (snapshots that share
            blocks). It is withdrawn, to *not priced*, where one of them is no finding, is accepted or a note, or where
            a listing of what the rule judges ended early, so that more of them may exist.
        :raises FinopsError: when the resource is not of this test's targets, or is reported twice differently.
        """
        rule = self._rule
        verdicts = self._of(resource)
        now_cost, then_cost = _sum(current_lines), _sum(target_lines)
        savings = None if now_cost is None or then_cost is None else now_cost - then_cost
        claimed = (
            tuple(components)
            if components is not None
            else components_of(resource, current_lines, target_lines)
        )
        owner, team = self._owners.of(resource)
        chosen = action or rule.action
        needed = [one.id for one in together]
        finding = Finding(
            id=finding_id(rule.id, resource.account_id, resource.target.region, resource.id),
            rule_id=rule.id, name=rule.name, category=rule.category, severity=rule.severity, effort=rule.effort,
            restart=rule.restart, risk=rule.risk, confidence=confidence or "high",
            kind=rule.kind if chosen == rule.action else ("waste" if chosen in ("delete", "stop") else "optimisation"),
            action=chosen, resource_id=resource.id, resource_arn=resource.arn, resource_type=type(resource).type_name,
            account_id=resource.account_id, region=resource.target.region, tags=dict(resource.tags), owner=owner, team=team,
            environment=self._environments.of(resource), current_value=current or "", threshold=rule.threshold,
            current_monthly_cost=now_cost if current_lines else None,
            target_monthly_cost=then_cost if current_lines else None,
            estimated_monthly_savings=savings if current_lines else None,
            components=claimed, current_lines=tuple(current_lines), target_lines=tuple(target_lines),
            recommendation=recommendation or rule.recommendation, remediation_effort=rule.remediation_effort,
            rollback=rule.rollback, docs_url=rule.docs_url, aws_doc=rule.aws_doc,
            evidence={key: plain(value) for key, value in (evidence or {}).items()},
            metadata={TOGETHER: needed} if needed else {},
        )  # fmt: skip
        earlier = verdicts.findings.get(resource.id)
        if earlier is not None and earlier != finding:
            raise FinopsError(f"rule {rule.id} reports {resource.id} twice, with different figures")
        verdicts.findings[resource.id] = finding

    def not_evaluated(self, resource: Resource, reason: str) -> None:
        """Say that ``resource`` could not be judged, and why: neither clean nor a finding."""
        self._of(resource).not_evaluated.setdefault(resource.id, NotEvaluated(resource.id, reason))

    def note(self, resource: Resource, text: str) -> None:
        """Say something about ``resource`` that neither fails nor counts."""
        note = Note(self._rule.id, resource.account_id, resource.target.region, resource.id, text)
        notes = self._of(resource).notes
        if note not in notes:
            notes.append(note)


def _sum(lines: Sequence[PriceLine]) -> Decimal | None:
    total = Decimal(0)
    for line in lines:
        if line.amount is None:
            return None
        total += line.amount
    return total


def components_of(
    resource: Resource, current_lines: Sequence[PriceLine], target_lines: Sequence[PriceLine]
) -> tuple[Component, ...]:
    """Return the cost components that the lines name, in order; one of the resource's own where they name none."""
    own = f"{type(resource).__name__.lower()}:{resource.id}"
    keys = dict.fromkeys(line.component or own for line in (*current_lines, *target_lines))
    found: list[Component] = []
    for key in keys:
        cost = _sum([line for line in current_lines if (line.component or own) == key])
        then = _sum([line for line in target_lines if (line.component or own) == key])
        found.append(Component(key, cost, None if cost is None or then is None else cost - then))
    return tuple(found)


def plain(value: Any) -> Any:
    """Return a value as JSON builtins."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [
            plain(item) for item in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)
        ]
    if isinstance(value, float):
        return round(value, 6)
    return value if isinstance(value, (str, int, bool)) or value is None else str(value)
