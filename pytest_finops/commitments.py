"""Net savings: what is left of a saving when reservations and Savings Plans are paid anyway."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .findings import Finding, PriceLine
from .resources import Resource

if TYPE_CHECKING:
    from .prices.catalogue import PriceKey

ZERO = Decimal(0)
#: Hours that only come of dividing what does not divide.
NOISE = Decimal("1e-12")

#: What runs: a price by the hour, and the zone (empty where it does not matter).
Usage = tuple["PriceKey", str]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Commitment(Resource):
    """Hours that are paid whether they are used or not: a reservation, or a Savings Plan.

    ``capacity`` is in units an hour; :meth:`units` says how many of them one hour of something takes.
    ``created`` is when its term began. ``rank`` orders commitments as AWS applies them, the most specific first. ``at_least`` marks one that is taken
    for as large as it can be, or that covers what is not read here too, so that what is left of a saving is at
    least what is said.
    """

    capacity: Decimal = ZERO
    rank: int = 0
    at_least: bool = False

    def units(self, used: Usage, price: Decimal | None) -> Decimal | None:
        """Return the units of one hour of ``used``, whose list price is ``price``; None: it is not covered."""
        raise NotImplementedError

    def charging(self, rates: Mapping[PriceKey, Decimal], *, at_least: bool) -> Commitment:
        """Return this commitment with what AWS says that it charges an hour; ``at_least``: it covers what is not seen too."""
        return self

    def rate(self, key: PriceKey) -> Decimal | None:
        """Return what it charges for an hour of ``key``, where AWS says so."""
        return None

    def discount(self, units: Decimal, price: Decimal | None) -> Decimal:
        """Return how much better this is used than for something else: AWS covers the greatest discount first."""
        return ZERO

    def is_known(self, used: Usage) -> bool:
        """Whether it is known what an hour of ``used`` takes of it; if not, discounts are taken to be alike."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class PlanRate(Resource):
    """What a Savings Plan charges for an hour of a usage type and operation (USD)."""

    plan: str = ""
    usage_type: str = ""
    operation: str = ""
    rate: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class BilledUsage(Resource):
    """A line of a closed month's bill: ``cost`` is unblended USD, ``net`` after every discount, ``hours`` the month's.

    ``covered`` marks what reservations and Savings Plans paid for.
    """

    usage_type: str = ""
    operation: str = ""
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    net: Decimal = ZERO
    hours: int = 730
    covered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ObservedCoverage(Commitment):
    """What reservations and Savings Plans covered of a family last month, in list prices an hour, whoever bought them.

    Which ones they were, and what else the freed hours could cover, a bill does not say: hence "at least".
    """

    dimension: str = ""
    family: str = ""

    def is_known(self, used: Usage) -> bool:
        """A bill does not say at which discount."""
        return False

    def units(self, used: Usage, price: Decimal | None) -> Decimal | None:
        """Return the list price of an hour, for whatever is of this family."""
        key = used[0]
        same = (key.dimension, key.region, family_of(key)) == (self.dimension, self.region, self.family)
        return price if same else None


def family_of(key: PriceKey) -> str:
    """Return what of a price is interchangeable for coverage: all but the size and the number of zones."""
    given = {name: value for name, value in key.attributes if name != "multi_az"}
    for name in ("instance_type", "instance_class"):
        if name in given:
            parts = given[name].split(".")
            given[name] = ".".join(parts[:-1])
    return ";".join(f"{name}={value}" for name, value in sorted(given.items()))


@dataclass(frozen=True, slots=True)
class Estate:
    """Accounts that share commitments: what runs there, what is committed, and what each resource uses.

    ``rates`` are what a unit cost on demand after every discount, where a bill says so. ``unclear`` are
    (dimension, region) whose covered hours a bill does not tell apart. ``billed`` are the (dimension, region, family) that
    a bill has, where it stands in for commitments that are not all known; an empty family: it does not tell which. ``unknown``
    says why nothing is known of what is committed.
    """

    running: Mapping[Usage, int] = field(default_factory=dict)
    commitments: Sequence[Commitment] = ()
    where: Mapping[tuple[str, str, str], Usage] = field(default_factory=dict)
    rates: Mapping[PriceKey, Decimal] = field(default_factory=dict)
    unclear: frozenset[tuple[str, str]] = frozenset()
    billed: frozenset[tuple[str, str, str]] | None = None
    unknown: str = ""


#: A commitment and what it can cover, by discount and units: size flexibility starts at the smallest size.
Coverage = tuple[Commitment, list[tuple[Decimal, Decimal, Usage]]]


def coverage(
    commitments: Iterable[Commitment], used: Iterable[Usage], price: Callable[[PriceKey], Decimal | None]
) -> list[Coverage]:
    """Return what each commitment can cover of ``used``, in the order in which AWS applies them."""
    ordered = sorted(commitments, key=lambda one: (one.rank, one.account_id, one.id))
    found: list[Coverage] = [(commitment, []) for commitment in ordered]
    for one in used:
        extend(found, one, price)
    return found


def extend(found: Iterable[Coverage], used: Usage, price: Callable[[PriceKey], Decimal | None]) -> None:
    """Add ``used`` to what the commitments that cover it can cover."""
    for commitment, eligible in found:
        listed = price(used[0])
        units = commitment.units(used, listed)
        if units is not None and units > 0:
            insort(eligible, (-commitment.discount(units, listed), units, used))


def uncovered(running: Mapping[Usage, Decimal], commitments: Iterable[Coverage]) -> dict[Usage, Decimal]:
    """Return how much of what runs is billed on demand, in hours an hour, after the commitments."""
    left = dict(running)
    for commitment, eligible in commitments:
        capacity = commitment.capacity
        for _, units, used in eligible:
            if capacity <= 0:
                break
            if (hours := left.get(used, ZERO)) > 0:
                taken = min(hours, capacity / units)
                left[used] = hours - taken
                capacity -= taken * units
    return left


class Reconciler:
    """Turns list savings into net ones, one finding after another: freed hours are given away once."""

    def __init__(
        self,
        estate_of: Callable[[Finding], Estate],
        committable: frozenset[str],
        covered: frozenset[str],
        price: Callable[[PriceKey], Decimal | None],
        key_of: Callable[[PriceLine], PriceKey],
    ) -> None:
        """``committable`` names the price dimensions that AWS sells commitments for, ``covered`` those read here."""
        self._committable = committable
        self._key_of = key_of
        self._estate_of = estate_of
        self._covered = covered
        self._price = price
        self._left: dict[int, _State] = {}
        self._coverage: dict[int, tuple[set[Usage], list[Coverage]]] = {}
        self._changed: dict[tuple[int, str], tuple[Usage, Usage | None]] = {}

    def reconcile(self, findings: Sequence[Finding]) -> list[Finding]:
        """Return the findings, in their order, with ``net_monthly_savings`` and how it came to be in ``metadata``.

        The largest saving goes first and takes what other on-demand usage can absorb. Accepted findings are judged
        alone: nobody acts on them.
        """
        order = sorted(
            range(len(findings)),
            key=lambda n: (-(findings[n].estimated_monthly_savings or ZERO), findings[n].sort_key),
        )
        done = {number: self._net(findings[number]) for number in order}
        return [done[number].on(finding) for number, finding in enumerate(findings)]

    def _net(self, finding: Finding) -> _Net:
        listed = finding.estimated_monthly_savings
        if listed is None:
            return _Net(None)
        before = [line for line in finding.current_lines if line.dimension in self._committable]
        after = [line for line in finding.target_lines if line.dimension in self._committable]
        if not before and not after:
            return self._discounted(finding, _Net(listed), self._estate_of(finding), ())
        unread = sorted({line.dimension for line in (*before, *after)} - self._covered)
        if unread:
            return _Net(None, f"not reconciled: commitments for {unread[0]} are not read")
        estate = self._estate_of(finding)
        if estate.unknown:
            return _Net(None, f"not reconciled: {estate.unknown}")
        if len(before) != 1 or len(after) > 1:
            return _Net(None, "not reconciled: it is more than one thing that runs")
        return self._alone(finding, listed, estate, before[0], after[0] if after else None)

    def _alone(
        self, finding: Finding, listed: Decimal, estate: Estate, before: PriceLine, after: PriceLine | None
    ) -> _Net:
        now = estate.where.get((finding.account_id, finding.region, finding.resource_id))
        if now is None or now[0] != self._key_of(before):
            return _Net(None, "not reconciled: it is not among what runs")
        if (now[0].dimension, now[0].region) in estate.unclear:
            return _Net(None, "not reconciled: the bill does not tell what was covered")
        place = now[0].dimension, now[0].region
        if estate.billed is not None and not {(*place, family_of(now[0])), (*place, "")} & estate.billed:
            return _Net(None, "not reconciled: last month's bill has no usage of this kind")
        then = None if after is None else (self._key_of(after), now[1])
        known, pairs = self._coverage_of(estate)
        for used in (now, then):
            if used is not None and used not in known:
                known.add(used)
                extend(pairs, used, self._price)
        applying = [
            (one, eligible) for one, eligible in pairs if any(used in (now, then) for *_, used in eligible)
        ]
        if not applying:
            applied = "applies" if estate.billed is None else "applied last month"
            alone = _Net(listed, f"no reservation or Savings Plan {applied}")
            return self._discounted(finding, alone, estate, ())
        if any(_takes_more(one, now, then) for one, _ in applying):
            return _Net(
                None,
                "not reconciled: a plan charges more for what comes, and what else it covers is not read",
            )
        state = self._left.get(id(estate))
        if state is None:
            running = {used: Decimal(n) for used, n in estate.running.items()}
            state = self._left[id(estate)] = _State.of(running, pairs)
        changed = id(estate), f"{finding.account_id}/{finding.region}/{finding.resource_id}"
        if changed in self._changed:
            # Another finding changed it already: judge this one as if that had not happened, and change nothing.
            was, became = self._changed[changed]
            state = _State.of(_moved(state.running, became, was), pairs)
        moved = _State.of(_moved(state.running, now, then), pairs)
        bought = self._bought(state, moved, estate)
        if bought is None:
            return _Net(None, "not reconciled: the price of what takes the freed hours is not known")
        if changed not in self._changed and finding.status != "accepted":
            self._left[id(estate)] = moved
            self._changed[changed] = (now, then)
        then_price = ZERO if after is None or after.unit_price is None else after.unit_price
        listed_hour = (before.unit_price or ZERO) - then_price
        difference = -sum((one.hours * one.unit_price for one in bought), ZERO)
        if _doubt(applying):
            # What is not seen may take all that the plan saves more for what comes: then the list price is saved.
            difference = min(difference, listed_hour)
        net = listed - (listed_hour - difference) * before.quantity
        lines = (before,) if after is None else (before, after)
        found = _Net(net, _basis(applying, now, then), tuple(bought))
        return self._discounted(finding, found, estate, lines)

    def _coverage_of(self, estate: Estate) -> tuple[set[Usage], list[Coverage]]:
        if id(estate) not in self._coverage:
            found = coverage(estate.commitments, estate.running, self._price)
            self._coverage[id(estate)] = set(estate.running), found
        return self._coverage[id(estate)]

    def _bought(self, before: _State, after: _State, estate: Estate) -> list[_Bought] | None:
        """Return what is bought more, or less, on demand each hour, or None if its price is not known."""
        changes: dict[PriceKey, Decimal] = {}
        for used in {*before.bought, *after.bought}:
            change = after.bought.get(used, ZERO) - before.bought.get(used, ZERO)
            if abs(change) > NOISE:
                changes[used[0]] = changes.get(used[0], ZERO) + change
        found = []
        for key, change in sorted(changes.items()):
            price = self._price(key)
            if price is None:
                return None
            found.append(_Bought(key, change, self._paid(estate, key, price)))
        return found

    @staticmethod
    def _paid(estate: Estate, key: PriceKey, price: Decimal) -> Decimal:
        """Return what a unit costs on demand: the list price, or less if the bill says so."""
        return min(price, estate.rates.get(key, price))

    def _discounted(self, finding: Finding, found: _Net, estate: Estate, done: Sequence[PriceLine]) -> _Net:
        """Return ``found`` with the other lines at what their units really cost."""
        assert found.amount is not None
        net = found.amount
        for sign, lines in ((-1, finding.current_lines), (1, finding.target_lines)):
            for line in lines:
                if line.unit_price is not None and line not in done:
                    paid = self._paid(estate, self._key_of(line), line.unit_price)
                    net += sign * line.quantity * (line.unit_price - paid)
        if net == found.amount:
            return found
        said = "at the rates of last month's bill"
        return replace(found, amount=net, basis=f"{found.basis}; {said}" if found.basis else said)


@dataclass(frozen=True, slots=True)
class _State:
    """What runs, and what of it is bought on demand, in hours an hour."""

    running: Mapping[Usage, Decimal]
    bought: Mapping[Usage, Decimal]

    @classmethod
    def of(cls, running: Mapping[Usage, Decimal], pairs: Sequence[Coverage]) -> _State:
        return cls(running, uncovered(running, pairs))


@dataclass(frozen=True, slots=True)
class _Bought:
    """Hours of a price that are bought more (or less, negative) on demand each hour, and what one costs."""

    key: PriceKey
    hours: Decimal
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class _Net:
    """Net savings a month (None = not reconciled), where they come from, and the purchases that they follow from."""

    amount: Decimal | None
    basis: str = ""
    bought: tuple[_Bought, ...] = ()

    def on(self, finding: Finding) -> Finding:
        """Return ``finding`` with these net savings."""
        said: dict[str, Any] = {"net_basis": self.basis} if self.basis else {}
        if self.bought:
            said["net_lines"] = [
                {"price": str(one.key), "hours": one.hours, "unit_price": one.unit_price}
                for one in self.bought
            ]
        return replace(finding, net_monthly_savings=self.amount, metadata={**finding.metadata, **said})


def _takes_more(commitment: Commitment, now: Usage, then: Usage | None) -> bool:
    """Whether a change takes more of a commitment that others, who are not seen, might have used: no bound is known."""
    if then is None or not commitment.at_least:
        return False
    before, after = commitment.rate(now[0]), commitment.rate(then[0])
    return before is not None and after is not None and after > before


def _doubt(applying: Sequence[Coverage]) -> str:
    """Return how far net savings are a bound only; empty where they are exact."""
    if not all(one.is_known(used) for one, eligible in applying for *_, used in eligible):
        return "at least if discounts are alike, "
    return "at least, " if any(one.at_least for one, _ in applying) else ""


def _basis(applying: Sequence[Coverage], now: Usage, then: Usage | None) -> str:
    """Return for people after which commitments a saving is net, and at which of their own rates."""
    named = ", ".join(sorted(one.id for one, _ in applying)[:5])
    rates = {
        f"{one.id} charges {rate:f} USD an hour for {used[0]}": None
        for one, _ in applying
        for used in (now, then)
        if used is not None and (rate := one.rate(used[0])) is not None
    }
    return "; ".join([f"{_doubt(applying)}after {named}", *list(rates)[:4]])


def _moved(
    running: Mapping[Usage, Decimal], source: Usage | None, target: Usage | None
) -> dict[Usage, Decimal]:
    """Return what runs after one thing moved; None: it is gone, or new."""
    found = dict(running)
    if source is not None:
        found[source] = max(ZERO, found.get(source, ZERO) - 1)
    if target is not None:
        found[target] = found.get(target, ZERO) + 1
    return found
