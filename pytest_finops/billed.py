"""The cap by the bill: no resource saves more than it was billed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

from .findings import BILLED, Component, Finding, cents
from .resources import Resource

ZERO = Decimal(0)
#: Hours of a month, as everywhere, and of a day.
MONTH, DAY = Decimal(730), 24
#: Whole days of one resource cost the same within this share, or within this many USD.
EVEN, PENNIES = Decimal("0.1"), Decimal("0.01")
#: What amortization shifts is more than this (USD): bills round amounts to ten digits.
SAME = Decimal("0.000001")

#: Key of the metadata: what the bill takes off the claims of a finding (USD a month).
CUT = "cut_by_bill"
#: How the evidence of a component without a ceiling begins, and ``net_basis`` where commitments are not known.
OPEN = "not reconciled: "
#: What ``net_basis`` says where the bill decides.
NET_BASIS = "at most what was billed"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ResourceBill(Resource):
    """What one resource was billed; its id is the bill's: an id or an ARN.

    ``components`` are the cost components that it pays for, in ``billed_region`` (empty: the id is unique without one).
    ``daily`` has (unblended, amortized) cost in ``currency`` for each billed day from ``start`` to before ``end``.
    """

    components: tuple[str, ...] = ()
    billed_region: str = ""
    start: date = date.min
    end: date = date.min
    daily: Mapping[date, tuple[Decimal, Decimal]] = field(default_factory=dict)
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Billed:
    """A bill as a month's cost; ``unclear`` says why it is no ceiling."""

    resource_id: str
    start: date
    last: date
    cost: Decimal
    hours: int
    unclear: str = ""

    @property
    def monthly(self) -> Decimal:
        """USD a month, unrounded."""
        return self.cost * MONTH / self.hours


@dataclass(frozen=True, slots=True)
class AccountBill:
    """The bills of an account by region and component; ``missing`` says why others may not be there."""

    bills: Mapping[tuple[str, str], Billed] = field(default_factory=dict)
    missing: str = ""

    @classmethod
    def of(cls, rows: Iterable[ResourceBill], missing: str = "") -> AccountBill:
        """Return the bills of ``rows``: a page holds some days, or some resources, of a listing."""
        several: defaultdict[tuple[str, tuple[str, ...]], list[ResourceBill]] = defaultdict(list)
        for row in rows:
            several[row.billed_region, row.components].append(row)
        bills = {}
        for (region, components), parts in several.items():
            billed = _billed(parts)
            bills.update({(region, key): billed for key in components})
        return cls(bills, missing)

    def at(self, region: str, key: str) -> Billed | None:
        """Return the bill that pays for a component, if there is one."""
        return self.bills.get((region, key)) or self.bills.get(("", key))

    def why_not(self, region: str, key: str) -> str:
        """Return why a component has no ceiling; empty where it has one."""
        billed = self.at(region, key)
        if billed is None or (billed.unclear and self.missing):
            return self.missing or "the bill does not name it"
        return billed.unclear


def _billed(parts: Sequence[ResourceBill]) -> Billed:
    first = parts[0]
    daily: defaultdict[date, Decimal] = defaultdict(Decimal)
    amortized = ZERO
    for part in parts:
        for day, (cost, spread) in part.daily.items():
            daily[day] += cost
            amortized += spread
    asked = [first.start + timedelta(days=n) for n in range((first.end - first.start).days)]
    costs = [daily[day] for day in asked if day in daily]
    total = sum(costs, ZERO)
    unclear = ""
    if first.currency != "USD":
        unclear = f"it is billed in {first.currency}"
    elif len(costs) < len(asked):
        unclear = f"it was billed on {len(costs)} of {len(asked)} days"
    elif abs(amortized - total) > SAME:
        unclear = "a reservation or a Savings Plan paid for some of it"
    elif min(costs) < 0:
        unclear = "its bill has days below zero"
    elif max(costs) - min(costs) > max(EVEN * max(costs), PENNIES):
        unclear = "its days cost unequal amounts, so that some may be partial"
    return Billed(first.id, first.start, first.end - timedelta(days=1), total, DAY * len(asked), unclear)


def cap(findings: Sequence[Finding], accounts: Mapping[str, AccountBill]) -> list[Finding]:
    """Return the findings, in their order, with nothing claimed beyond what was billed.

    1. The ceiling of a component is what its resource was billed: unblended USD over whole days x 730 h / their hours.
       Components of one resource (hours and storage of a database) share its bill, the dearest first.
    2. ``monthly_cost`` and ``saved`` of a component are at most the ceiling; so is what a change saves. The list
       price of the lines and the estimate stay: both are shown.
    3. ``net_monthly_savings`` is at most what is left of the claims.
    4. What has no ceiling keeps its claim, and ``evidence`` says that it was not reconciled, and why.

    Findings of accounts whose bill was not asked for, without components or without a price stay as they are.
    """
    claimants: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.account_id in accounts and finding.estimated_monthly_savings is not None:
            claimants[finding.account_id].append(finding)
    ceilings = {account: _ceilings(accounts[account], claims) for account, claims in claimants.items()}
    return [
        _capped(finding, accounts[finding.account_id], ceilings[finding.account_id])
        if finding.account_id in accounts and finding.estimated_monthly_savings is not None and finding.components
        else finding
        for finding in findings
    ]  # fmt: skip


def _ceilings(bill: AccountBill, findings: Sequence[Finding]) -> dict[tuple[str, str], Decimal]:
    """Return the ceiling of each component that the findings of an account claim and that has one, by region and key."""
    claimed: defaultdict[Billed, dict[tuple[str, str], Decimal]] = defaultdict(dict)
    for finding in findings:
        for part in finding.components:
            billed = bill.at(finding.region, part.key)
            if billed is not None and not billed.unclear and part.saved is not None:
                place = finding.region, part.key
                cost = max(part.monthly_cost or ZERO, part.saved, ZERO)
                claimed[billed][place] = max(cost, claimed[billed].get(place, ZERO))
    found = {}
    for billed, costs in claimed.items():
        left = billed.monthly
        for place in sorted(costs, key=lambda place: (-costs[place], place)):
            found[place] = left
            left -= min(left, costs[place])
    return found


def _capped(finding: Finding, bill: AccountBill, ceilings: Mapping[tuple[str, str], Decimal]) -> Finding:
    said: dict[str, str] = {}
    parts = []
    cut = ZERO
    for part in finding.components:
        place = finding.region, part.key
        billed, ceiling = bill.at(*place), ceilings.get(place)
        if billed is None or ceiling is None or part.saved is None:
            said[part.key] = f"{OPEN}{bill.why_not(*place)}"
            parts.append(part)
            continue
        cost = None if part.monthly_cost is None else min(part.monthly_cost, ceiling)
        parts.append(Component(part.key, cost, min(part.saved, ceiling)))
        cut += part.saved - min(part.saved, ceiling)
        said[part.key] = _text(billed, ceiling, part.saved)
    net, metadata = finding.net_monthly_savings, finding.metadata
    if cut:
        metadata = {**metadata, CUT: cut}
    left = sum((part.saved for part in parts if part.saved is not None), ZERO)
    if net is not None and left < net and tuple(parts) != finding.components:
        earlier = metadata.get("net_basis")
        net = left
        metadata = {**metadata, "net_basis": f"{earlier}; {NET_BASIS}" if earlier else NET_BASIS}
    return replace(
        finding,
        components=tuple(parts),
        net_monthly_savings=net,
        evidence={**finding.evidence, BILLED: said},
        metadata=metadata,
    )


def _text(billed: Billed, ceiling: Decimal, saved: Decimal) -> str:
    """Return how a ceiling came to be, and what it does to a claim, for people."""
    days = f"{billed.start} to {billed.last}"
    text = f"{billed.cost.normalize():f} USD in {billed.hours} h ({days}) = {cents(billed.monthly)} a month"
    if ceiling != billed.monthly:
        text += f", {cents(ceiling)} of it left for this"
    return f"{text}: {'caps' if saved > ceiling else 'covers'} {cents(saved)}"
