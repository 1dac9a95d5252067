"""What templates and the terminal show of an audit: groups, sums and lines, computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..audit import Accepted, ApiCalls, Audit, BlindSpot, Outcome, PriceUsage, RuleTally
from ..billed import CUT, OPEN
from ..findings import BILLED, Finding, Note, Phase, PriceLine, cents
from ..priorities import PHASES, worth
from ..totals import committed
from .text import count, money, resource_name

#: How many decisions of a phase lead the report; the smaller ones are one line.
LEADING: Mapping[Phase, int] = {"quick_win": 6, "plan": 5, "strategic": 4}
#: Up to how many findings the HTML opens their groups, prints every detail, and Markdown lists every detail.
OPENED, PRINTED, DETAILED = 25, 120, 30
#: How many findings the HTML holds: browsers read no more than some megabytes gladly.
HELD = 2000
#: How many entries of a list HTML and Markdown show; the JSON report has them all.
LONGEST = 25
#: What a phase means to who has to act.
MEANING: Mapping[Phase, tuple[str, str]] = {
    "quick_win": (
        "Quick wins",
        "little effort, no restart, high confidence; see the risk: a deletion may have no way back",
    ),
    "plan": ("To plan", "needs a restart, a closer look, or a maintenance window"),
    "strategic": ("Strategic", "commitments, architecture, high effort"),
}


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

    @property
    def total(self) -> Group:
        """The sum of all groups, to be compared with the headline."""
        return _sum("Total", self.groups)


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

    @property
    def resource(self) -> str:
        """The resource by its short name."""
        return resource_name(self.finding.resource_id)


@dataclass(frozen=True, slots=True)
class Decision:
    """What can be decided at once: the findings of one rule in one phase, the most valuable first.

    ``anchor`` names it in a page; ``total`` is what it counts (USD a month).
    """

    anchor: str
    items: tuple[Item, ...]
    total: Decimal
    unpriced: int

    @property
    def finding(self) -> Finding:
        """The first finding: name, rule, action and words are the same for all."""
        return self.items[0].finding

    @property
    def committed(self) -> Decimal:
        """What reservations and Savings Plans take of its total (USD a month), where they are known."""
        live = (item.finding for item in self.items if item.finding.status != "accepted")
        return sum((committed(finding) or Decimal(0) for finding in live), Decimal(0))

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts it concerns."""
        return tuple(sorted({item.account for item in self.items}))

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions it concerns."""
        return tuple(sorted({item.finding.region for item in self.items}))

    @property
    def owners(self) -> tuple[str, ...]:
        """Who owns what it concerns, where that is known."""
        return tuple(sorted({i.finding.owner for i in self.items if i.finding.owner}))

    @property
    def confidences(self) -> tuple[str, ...]:
        """How sure the findings are, the surest first."""
        found = {item.finding.confidence for item in self.items}
        return tuple(name for name in ("high", "medium", "low") if name in found)

    @property
    def shared(self) -> frozenset[str]:
        """Which of recommendation, remediation_effort and rollback are the same for all, and told once on paper."""
        names = ("recommendation", "remediation_effort", "rollback") if len(self.items) > 1 else ()
        return frozenset(n for n in names if len({getattr(i.finding, n) for i in self.items}) == 1)

    @property
    def waste(self) -> bool:
        """Whether it removes what nobody uses."""
        return self.finding.kind == "waste"


@dataclass(frozen=True, slots=True)
class Step:
    """A phase with its decisions: ``leading`` are listed, ``others`` are summed up."""

    title: str
    meaning: str
    leading: tuple[Decision, ...]
    others: tuple[Decision, ...]

    @property
    def total(self) -> Decimal:
        """What the whole phase counts (USD a month)."""
        return sum((one.total for one in (*self.leading, *self.others)), Decimal(0))

    @property
    def rest(self) -> Decimal:
        """What the decisions that are not listed count (USD a month)."""
        return sum((one.total for one in self.others), Decimal(0))


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
    steps: tuple[Step, ...]
    groups: tuple[Decision, ...]
    opened: bool
    printed: bool
    detailed: tuple[Item, ...]
    longest: int
    held: int
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
    billed: tuple[ApiCalls, ...]
    free: tuple[ApiCalls, ...]
    price_sources: tuple[str, ...]
    call_count: int
    throttled: int
    retried: int
    caveats: tuple[str, ...] = ()
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
    decided = _decisions(items)
    status = Counter(finding.status for finding in audit.findings)

    def where(account_id: str, region: str) -> str:
        return f"{names.get(account_id, account_id)} · {region}"

    judged = _not_judged(audit)
    calls = tuple(sorted(audit.api_usage.calls, key=lambda call: (-call.cost, call.service, call.operation)))
    return View(
        audit=audit,
        total=audit.totals.monthly,
        annual=audit.totals.monthly * 12,
        new=status["new"],
        known=status["known"],
        accepted_count=status["accepted"],
        accounts=names,
        steps=_steps(decided),
        groups=decided,
        opened=len(items) <= OPENED,
        printed=len(items) <= PRINTED,
        detailed=items[:DETAILED],
        longest=LONGEST,
        held=HELD,
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
            *_units(audit),
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
        calls=calls,
        billed=tuple(call for call in calls if call.cost),
        free=tuple(call for call in calls if not call.cost),
        price_sources=tuple(f"{number:,} {name}" for number, name in _sources(audit.prices) if number),
        call_count=sum(call.calls for call in audit.api_usage.calls),
        throttled=sum(call.throttled for call in audit.api_usage.calls),
        retried=sum(call.retried for call in audit.api_usage.calls),
        caveats=_caveats(audit),
        evaluated=sum(rule.evaluated for rule in audit.rules),
    )


def _caveats(audit: Audit) -> tuple[str, ...]:
    """Return a line on what bills took off or left open, and one on what is not reconciled with commitments."""
    live = [finding for finding in audit.findings if finding.status != "accepted"]
    asked = [one for one in live if isinstance(one.evidence.get(BILLED), Mapping)]
    cuts = [Decimal(str(one.metadata[CUT])) for one in asked if CUT in one.metadata]
    bills = [str(text) for one in asked for text in one.evidence[BILLED].values()]
    unbilled = sum(any(str(text).startswith(OPEN) for text in one.evidence[BILLED].values()) for one in asked)
    said = []
    if cuts:
        total = money(sum(map(cents, cuts), Decimal(0)))
        said.append(f"what was billed takes {total} a month off {count(len(cuts), 'finding')}")
    if unbilled:
        said.append(
            f"{unbilled:,} of {count(len(asked), 'finding')} {'is' if unbilled == 1 else 'are'} not reconciled with "
            f"what was billed: {_reasons(bills)}"
        )
    made = ["; ".join(said)] if said else []
    priced = [one for one in live if one.estimated_monthly_savings is not None]
    bases = [str(one.metadata.get("net_basis", "")) for one in priced if one.net_monthly_savings is None]
    if unknown := [basis for basis in bases if basis.startswith(OPEN)]:
        made.append(
            f"{len(unknown):,} of {count(len(priced), 'finding')} {'is' if len(unknown) == 1 else 'are'} not reconciled "
            f"with commitments{', so that there is no sum after them' if audit.totals.net is None else ''}: {_reasons(unknown)}"
        )
    return tuple(made)


def _reasons(texts: Iterable[str]) -> str:
    """Return the most frequent reasons why something is not reconciled."""
    found = Counter(text.removeprefix(OPEN) for text in texts if text.startswith(OPEN))
    named = [f"{reason} ({number:,})" for reason, number in found.most_common(3)]
    return ", ".join([*named, *([f"{count(len(found) - 3, 'other reason')}"] if len(found) > 3 else [])])


def _units(audit: Audit) -> list[Chart]:
    """Return the sums by organizational unit, where an organization was audited."""
    units = {account.account_id: account.organizational_unit for account in audit.accounts}
    if not any(units.values()):
        return []
    return [
        _chart(
            "unit",
            "By organizational unit",
            "Unit",
            audit.findings,
            lambda f: units.get(f.account_id) or "(root)",
        )
    ]


def _sources(prices: PriceUsage) -> tuple[tuple[int, str], ...]:
    return (
        (prices.live, "live"),
        (prices.cached, "cached"),
        (prices.snapshot, "from the shipped snapshot"),
        (prices.overridden, "set in the configuration"),
        (prices.unknown, "unknown"),
    )


def account_names(audit: Audit) -> dict[str, str]:
    """Return the name of each account; the id where two accounts share a name."""
    shared = Counter(account.name for account in audit.accounts)
    return {
        account.account_id: account.name if account.name and shared[account.name] == 1 else account.account_id
        for account in audit.accounts
    }


def _decisions(items: Sequence[Item]) -> tuple[Decision, ...]:
    """Return the findings by rule and phase: phases in order, then money by confidence; accepted ones come last."""
    found: dict[tuple[int, str], list[Item]] = {}
    for item in items:
        finding = item.finding
        place = len(PHASES) if finding.status == "accepted" else PHASES.index(finding.phase)
        found.setdefault((place, finding.rule_id), []).append(item)
    order = sorted(found, key=lambda k: (k[0], -sum(worth(i.finding) for i in found[k]), k[1]))
    return tuple(
        Decision(
            anchor=f"d-{number}",
            items=tuple(found[key]),
            total=sum((cents(i.finding.counted_monthly_savings) for i in found[key]), Decimal(0)),
            unpriced=sum(i.finding.estimated_monthly_savings is None for i in found[key]),
        )
        for number, key in enumerate(order, start=1)
    )


def _steps(decided: Sequence[Decision]) -> tuple[Step, ...]:
    made = []
    for phase in PHASES:
        mine = [d for d in decided if d.finding.phase == phase and d.finding.status != "accepted"]
        # What is only an alternative to something better is no decision of its own.
        mine = [d for d in mine if d.total > 0 or d.unpriced]
        if mine:
            lead = LEADING[phase]
            made.append(Step(*MEANING[phase], tuple(mine[:lead]), tuple(mine[lead:])))
    return tuple(made)


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


def _sum(label: str, parts: Sequence[Group]) -> Group:
    return Group(
        label,
        sum(group.findings for group in parts),
        sum(group.unpriced for group in parts),
        sum((group.waste for group in parts), Decimal(0)),
        sum((group.optimisation for group in parts), Decimal(0)),
    )


_BAR_WIDTH = 330.0
_BAR_STEP = 38.0
_BARS = 12


def _chart(
    name: str, title: str, heading: str, findings: Sequence[Finding], key: Callable[[Finding], str]
) -> Chart:
    rows = groups(findings, key)
    shown, rest = rows[:_BARS], rows[_BARS:]
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
    listed = (*shown, _sum(f"{len(rest):,} more", rest)) if rest else shown
    return Chart(name, title, heading, bars, listed, max(len(bars), 1) * _BAR_STEP)


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
