"""Overlaps: every dollar is counted once, by a waterfall over the cost components that findings claim."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from .findings import WATERFALL, Finding
from .resources import GLOBAL

ZERO = Decimal(0)

#: ``Finding.metadata`` key: findings of one target that share its value are alternatives even where they
#: claim different components (removing per-zone NAT gateways against routing inside the zone).
EXCLUSIVE_GROUP = "exclusive_group"

_STEP: Mapping[str, int] = {action: step for step, action in enumerate(WATERFALL)}

# Settings are independent knobs (Multi-AZ off, extended support off), so they multiply; any other action
# can be done to a component only once.
_REPEATABLE = frozenset({"configure"})

# (account, region or GLOBAL, component key)
_Scope = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one finding claims of one component; ``index`` is the finding's place in the input."""

    index: int
    finding: Finding
    cost: Decimal | None
    saved: Decimal
    total: Decimal

    @property
    def best_first(self) -> tuple[Decimal, tuple[str, str, str, str], str]:
        """The order among alternatives: what the whole finding saves (not just here), then identity."""
        return (-self.total, self.finding.sort_key, self.finding.id)


def count(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return ``findings`` in the same order with ``counted_monthly_savings`` and ``alternative_to`` set anew.

    The rule, in full:

    1. A component is a key of one account and region; a finding of region ``global`` joins the only region
       of its account that claims the same key. It costs the highest ``monthly_cost`` claimed for it (where
       nobody knows the cost, the highest saving claimed).
    2. Accepted findings and findings without a price count 0 and take nothing. A finding without components
       counts its estimate. Known findings count like new ones.
    3. Findings of one account and region with the same ``metadata["exclusive_group"]`` are alternatives:
       the one that saves most by its components counts, the others count 0.
    4. Each component is settled in the order of ``WATERFALL``. Within one action, findings are
       alternatives: only the one that saves most counts on this component (ties by ``sort_key``);
       ``configure`` findings are not alternatives and multiply, in that same order.
    5. Each step takes ``residual x saved / cost`` and leaves the rest to the next; a saving above the cost
       is the cost. ``delete`` leaves nothing, even if it saves less than everything (a final
       snapshot stays).
    6. A negative saving (a cost that the change creates) is subtracted in full and takes nothing from
       others.
    7. A finding counts the sum over its components, at least 0. What it took stays taken even so: the total
       may be too low by that, never too high.
    8. ``alternative_to`` names the better alternatives of steps 3 and 4, and, if nothing was left on any
       component that the finding could save on, the findings that took everything.
    """
    counted = [ZERO] * len(findings)
    rivals: list[set[str]] = [set() for _ in findings]
    emptied: list[list[str | None]] = [[] for _ in findings]
    live = [index for index, finding in enumerate(findings) if _counts(finding)]
    for index in live:
        finding = findings[index]
        if not finding.components and finding.estimated_monthly_savings is not None:
            counted[index] = max(ZERO, finding.estimated_monthly_savings)
    claimants = _without_excluded(findings, live, rivals, counted)
    for claims in _by_component(findings, claimants).values():
        _settle(claims, counted, rivals, emptied)
    return tuple(
        replace(
            finding,
            counted_monthly_savings=max(ZERO, counted[index]),
            alternative_to=_alternatives(rivals[index], emptied[index]),
        )
        for index, finding in enumerate(findings)
    )


def _counts(finding: Finding) -> bool:
    return finding.status != "accepted" and finding.estimated_monthly_savings is not None


def _total(finding: Finding) -> Decimal:
    """What a finding saves alone, by its components (merge and what-if have nothing else)."""
    if not finding.components:
        return finding.estimated_monthly_savings or ZERO
    return sum((component.saved for component in finding.components if component.saved is not None), ZERO)


def _without_excluded(
    findings: Sequence[Finding], live: Sequence[int], rivals: list[set[str]], counted: list[Decimal]
) -> list[int]:
    """Return ``live`` without the losers of exclusive groups, which are marked."""
    groups: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index in live:
        finding = findings[index]
        name = finding.metadata.get(EXCLUSIVE_GROUP)
        if name:
            groups[finding.account_id, finding.region, str(name)].append(index)
    losers: set[int] = set()
    for members in groups.values():
        best, *others = sorted(
            members, key=lambda i: (-_total(findings[i]), findings[i].sort_key, findings[i].id)
        )
        for index in others:
            rivals[index].add(findings[best].id)
            counted[index] = ZERO
            losers.add(index)
    return [index for index in live if index not in losers]


def _by_component(findings: Sequence[Finding], claimants: Iterable[int]) -> dict[_Scope, list[_Claim]]:
    """Return every claim under the component that it is on."""
    raw: list[tuple[_Scope, _Claim]] = []
    for index in claimants:
        finding = findings[index]
        total = _total(finding)
        costs: dict[str, Decimal | None] = {}
        saved: defaultdict[str, Decimal] = defaultdict(Decimal)
        for component in finding.components:
            if component.saved is None:
                continue
            known = [c for c in (costs.get(component.key), component.monthly_cost) if c is not None]
            costs[component.key] = max(known, default=None)
            saved[component.key] += component.saved
        for key, amount in saved.items():
            scope = (finding.account_id, finding.region, key)
            raw.append((scope, _Claim(index, finding, costs[key], amount, total)))
    regions: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for (account, region, key), _ in raw:
        if region != GLOBAL:
            regions[account, key].add(region)
    components: defaultdict[_Scope, list[_Claim]] = defaultdict(list)
    for (account, region, key), claim in raw:
        home = regions[account, key]
        place = next(iter(home)) if region == GLOBAL and len(home) == 1 else region
        components[account, place, key].append(claim)
    return dict(components)


def _settle(
    claims: Sequence[_Claim],
    counted: list[Decimal],
    rivals: list[set[str]],
    emptied: list[list[str | None]],
) -> None:
    """Run the waterfall on one component."""
    costs = [claim.cost for claim in claims if claim.cost is not None]
    cost = max(costs) if costs else max(claim.saved for claim in claims)
    residual = max(ZERO, cost)
    emptied_by: str | None = None
    settled: dict[str, str] = {}
    for claim in sorted(claims, key=lambda claim: (_STEP[claim.finding.action], *claim.best_first)):
        index, action = claim.index, claim.finding.action
        if claim.saved <= 0:
            counted[index] += claim.saved
            continue
        if action in settled and action not in _REPEATABLE:
            rivals[index].add(settled[action])
            emptied[index].append(None)
            continue
        if residual <= 0:
            emptied[index].append(emptied_by)
            continue
        settled.setdefault(action, claim.finding.id)
        # Exact while nothing was taken; afterwards a quotient, never more than what is left.
        share = min(claim.saved, cost)
        taken = share if residual == cost else min(residual, residual * share / cost)
        counted[index] += taken
        emptied[index].append(None)
        residual = ZERO if action == "delete" else residual - taken
        if residual <= 0:
            emptied_by = claim.finding.id


def _alternatives(rivals: set[str], emptied: Sequence[str | None]) -> tuple[str, ...]:
    """Return the ids a finding is an alternative to; who emptied components matters if all are empty."""
    takers = {taker for taker in emptied if taker is not None}
    swallowed = takers if takers and None not in emptied else set()
    return tuple(sorted(rivals | swallowed))
