"""What templates and the terminal show of an audit: groups, sums and lines, computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..audit import Accepted, ApiCalls, Audit, BlindSpot, Outcome, RuleTally
from ..findings import Finding, Note, PriceLine, cents

#: How many decisions lead the report.
DECISIONS = 8


@dataclass(frozen=True, slots=True)
class Group:
    """Counted savings (USD a month) of the findings that share a category, an account or a region."""

    label: str
    findings: int
    unpriced: int
    waste: Decimal
    optimisation: Decimal

    @property
    def total(self) -> Decimal:
        """Waste and optimisation together."""
        return self.waste + self.optimisation


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart in drawing units (geometry, not money)."""

    group: Group
    y: float
    waste: float
    optimisation: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A stacked horizontal bar chart and the table that says the same."""

    name: str
    title: str
    heading: str
    bars: tuple[Bar, ...]
    groups: tuple[Group, ...]
    height: float
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """A finding as people see it."""

    finding: Finding
    account: str
    lines: tuple[tuple[str, PriceLine], ...]
    acceptance: Accepted | None
    alternatives: tuple[str, ...]

    @property
    def where(self) -> str:
        """Account and region."""
        return f"{self.account} · {self.finding.region}"


@dataclass(frozen=True, slots=True)
class Unseen:
    """Targets that a rule did not judge for one reason."""

    rule_id: str
    outcome: Outcome
    reason: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotJudged:
    """Resources that a rule could not judge for one reason."""

    rule_id: str
    reason: str
    resources: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """What a template sees of an audit."""

    audit: Audit
    total: Decimal
    annual: Decimal
    new: int
    known: int
    accepted_count: int
    accounts: dict[str, str]
    decisions: tuple[Item, ...]
    decided: Decimal
    charts: tuple[Chart, ...]
    items: tuple[Item, ...]
    blind_spots: tuple[tuple[str, BlindSpot], ...]
    expected_blind_spots: tuple[tuple[str, BlindSpot], ...]
    errors: tuple[Unseen, ...]
    skipped: tuple[Unseen, ...]
    not_run: tuple[Unseen, ...]
    not_evaluated: tuple[NotJudged, ...]
    not_evaluated_count: int
    rules: tuple[RuleTally, ...]
    outcomes: dict[str, int]
    notes: tuple[tuple[str, Note], ...]
    acceptances: tuple[tuple[Accepted, Finding | None], ...]
    calls: tuple[ApiCalls, ...]
    call_count: int
    throttled: int
    retried: int
    evaluated: int = 0


def view(audit: Audit) -> View:
    """Return what templates see of ``audit``."""
    names = account_names(audit)
    accepted = {item.finding_id: item for item in audit.accepted}
    by_id = {finding.id: finding for finding in audit.findings}
    items = tuple(
        Item(
            finding=finding,
            account=names.get(finding.account_id, finding.account_id),
            lines=(
                *(("current", line) for line in finding.current_lines),
                *(("target", line) for line in finding.target_lines),
            ),
            acceptance=accepted.get(finding.id),
            alternatives=tuple(
                by_id[other].rule_id if other in by_id else other for other in finding.alternative_to
            ),
        )
        for finding in audit.findings
    )
    decisions = tuple(item for item in items if item.finding.status != "accepted" and _worth(item.finding))[
        :DECISIONS
    ]
    status = Counter(finding.status for finding in audit.findings)

    def where(account_id: str, region: str) -> str:
        return f"{names.get(account_id, account_id)} · {region}"

    judged = _not_judged(audit)
    return View(
        audit=audit,
        total=audit.totals.monthly,
        annual=audit.totals.monthly * 12,
        new=status["new"],
        known=status["known"],
        accepted_count=status["accepted"],
        accounts=names,
        decisions=decisions,
        decided=sum((cents(item.finding.counted_monthly_savings) for item in decisions), Decimal(0)),
        charts=(
            _chart("category", "By category", "Category", audit.findings, lambda f: f.category),
            _chart(
                "account",
                "By account",
                "Account",
                audit.findings,
                lambda f: names.get(f.account_id, f.account_id),
            ),
            _chart("region", "By region", "Region", audit.findings, lambda f: f.region),
        ),
        items=items,
        blind_spots=tuple((where(s.account_id, s.region), s) for s in audit.blind_spots if not s.expected),
        expected_blind_spots=tuple(
            (where(s.account_id, s.region), s) for s in audit.blind_spots if s.expected
        ),
        errors=_unseen(audit, "error", where),
        skipped=_unseen(audit, "skipped", where),
        not_run=_unseen(audit, "not_run", where),
        not_evaluated=judged,
        not_evaluated_count=sum(len(row.resources) for row in judged),
        rules=tuple(sorted(audit.rules, key=lambda rule: rule.rule_id)),
        outcomes={
            name: sum(getattr(rule, name) for rule in audit.rules)
            for name in ("passed", "failed", "xfailed", "skipped", "error", "not_run")
        },
        notes=tuple((where(note.account_id, note.region), note) for note in audit.notes),
        acceptances=tuple((item, by_id.get(item.finding_id)) for item in audit.accepted),
        calls=tuple(
            sorted(audit.api_usage.calls, key=lambda call: (-call.cost, call.service, call.operation))
        ),
        call_count=sum(call.calls for call in audit.api_usage.calls),
        throttled=sum(call.throttled for call in audit.api_usage.calls),
        retried=sum(call.retried for call in audit.api_usage.calls),
        evaluated=sum(rule.evaluated for rule in audit.rules),
    )


def account_names(audit: Audit) -> dict[str, str]:
    """Return the name of each account; the id where two accounts share a name."""
    shared = Counter(account.name for account in audit.accounts)
    return {
        account.account_id: account.name if account.name and shared[account.name] == 1 else account.account_id
        for account in audit.accounts
    }


def _worth(finding: Finding) -> bool:
    return finding.counted_monthly_savings > 0 or finding.estimated_monthly_savings is None


def groups(findings: Iterable[Finding], key: Callable[[Finding], str]) -> tuple[Group, ...]:
    """Return counted savings by ``key``, the largest first; accepted findings count nothing."""
    sums: dict[str, dict[str, Decimal]] = {}
    counts: Counter[str] = Counter()
    unpriced: Counter[str] = Counter()
    for finding in findings:
        if finding.status == "accepted":
            continue
        label = key(finding)
        part = sums.setdefault(label, {"waste": Decimal(0), "optimisation": Decimal(0)})
        part[finding.kind] += cents(finding.counted_monthly_savings)
        counts[label] += 1
        unpriced[label] += finding.estimated_monthly_savings is None
    made = (
        Group(label, counts[label], unpriced[label], part["waste"], part["optimisation"])
        for label, part in sums.items()
    )
    return tuple(sorted(made, key=lambda group: (-group.total, group.label)))


_BAR_WIDTH = 330.0
_BAR_STEP = 38.0
_BARS = 12


def _chart(
    name: str, title: str, heading: str, findings: Sequence[Finding], key: Callable[[Finding], str]
) -> Chart:
    rows = groups(findings, key)
    shown = rows[:_BARS]
    longest = max((group.total for group in shown), default=Decimal(0))
    scale = _BAR_WIDTH / float(longest) if longest > 0 else 0.0
    bars = tuple(
        Bar(
            group,
            index * _BAR_STEP,
            round(max(float(group.waste) * scale, 0.0), 1),
            round(max(float(group.optimisation) * scale, 0.0), 1),
        )
        for index, group in enumerate(shown)
    )
    return Chart(name, title, heading, bars, rows, max(len(bars), 1) * _BAR_STEP, len(rows) - len(shown))


def _unseen(audit: Audit, outcome: Outcome, where: Callable[[str, str], str]) -> tuple[Unseen, ...]:
    found: dict[tuple[str, str], list[str]] = {}
    for row in audit.checks:
        if row.outcome == outcome:
            found.setdefault((row.rule_id, row.reason), []).append(where(row.account_id, row.region))
    return tuple(Unseen(rule, outcome, reason, tuple(at)) for (rule, reason), at in sorted(found.items()))


def _not_judged(audit: Audit) -> tuple[NotJudged, ...]:
    found: dict[tuple[str, str], list[str]] = {}
    for row in audit.checks:
        for skip in row.not_evaluated:
            found.setdefault((row.rule_id, skip.reason), []).append(skip.resource_id)
    return tuple(NotJudged(rule, reason, tuple(ids)) for (rule, reason), ids in sorted(found.items()))
