"""What runs and what is committed, out of the store: the facts that net savings need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from .billed import AccountBill, ResourceBill
from .collector.executor import pages_at_most
from .collector.faults import Fault
from .collector.store import Cell, Store
from .commitments import (
    BilledUsage,
    Commitment,
    Estate,
    ObservedCoverage,
    PlanRate,
    Reconciler,
    Usage,
    family_of,
)
from .declare import Inventory
from .findings import Finding, PriceLine
from .plan import Plan, is_billable
from .prices.bill import Usage as BillLine
from .prices.bill import identify, last_month, rates, region_of
from .prices.catalogue import CATALOGUE, PriceKey
from .resources import Target

if TYPE_CHECKING:
    from .prices.resolver import Price

#: The service that tells whether an account shares its commitments with others.
SHARING = "organizations"

#: What covered usage is about, where its operation or price is not known.
UNTOLD = {"BoxUsage": "ec2.instance", ":db.": "rds.instance"}


class Commitments:
    """Reads enrichments (``beside=``) and what runs beside them; ``organization`` are all its accounts, if audited."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        organization: frozenset[str] | None,
        resolve: Callable[[PriceKey], Price],
    ) -> None:
        self._cells = [
            (declaration, target, store.cell(declaration, target)) for declaration, target in plan.cells
        ]
        self._organization = organization
        # What has a bill of its own need not be anything that commitments cover.
        wanted = {
            name
            for declaration, _, _ in self._cells
            if not _tells_resources(declaration)
            for name in declaration.beside
        }
        self._running = {declaration for declaration, _, _ in self._cells if declaration.name in wanted}
        self._of: dict[str, list[tuple[Inventory, Target, Cell]]] = {}
        for declaration, target, cell in self._cells:
            self._of.setdefault(target.account_id, []).append((declaration, target, cell))
        self._estates: dict[frozenset[str] | str, Estate] = {}
        self._accounts: dict[str, Estate] = {}
        self._known: dict[PriceKey, Decimal | None] = {}
        self._resolve = resolve

    def _price(self, key: PriceKey) -> Decimal | None:
        if key not in self._known:
            self._known[key] = self._resolve(key).unit_price
        return self._known[key]

    def reconcile(self, found: Sequence[Finding]) -> list[Finding]:
        """Return the findings with their net savings, where those are known."""
        covered = frozenset(
            row.billed.dimension
            for declaration, _, cell in self._cells
            if declaration in self._running
            for row in cell.rows
            if getattr(row, "billed", None) is not None
        )
        committable = frozenset(name for name, row in CATALOGUE.items() if row.committable)
        return Reconciler(self._estate_of, committable, covered, self._price, key_of).reconcile(found)

    def _estate_of(self, finding: Finding) -> Estate:
        account = finding.account_id
        if account not in self._accounts:
            self._accounts[account] = self._made(account)
        return self._accounts[account]

    def _made(self, account: str) -> Estate:
        shared = self._sharing(account)
        why = shared if isinstance(shared, str) else ""
        if not isinstance(shared, str):
            if shared not in self._estates:
                self._estates[shared] = self._estate(shared)
            made = self._estates[shared]
            if not made.unknown:
                # All commitments that reach the account, as they are now; a bill is of last month.
                return made
            why = made.unknown
        bill = self._billed(account)
        return Estate(unknown=why) if bill is None else self._observed(account, bill)

    def _observed(self, account: str, bill: Sequence[BilledUsage]) -> Estate:
        """Return what a bill tells where not all commitments are known: it knows what was covered, by whomever it was bought."""
        alone = frozenset({account})
        used, where = self._used(alone)
        demanded = [_usage(line) for line in bill if not line.covered]
        hours: dict[tuple[str, str, str], Decimal] = {}
        unclear: set[tuple[str, str]] = set()
        billed: set[tuple[str, str, str]] = set()
        for line in bill:
            if line.quantity <= 0:
                continue
            key = identify(_usage(line))
            price = None if key is None else self._price(key)
            if key is not None:
                billed.add((key.dimension, key.region, family_of(key)))
            if line.covered and key is not None and price is not None:
                family = key.dimension, key.region, family_of(key)
                hours[family] = hours.get(family, Decimal(0)) + price * line.quantity / line.hours
            elif (line.covered or key is None) and (region := region_of(line.usage_type)) is not None:
                untold = {(name, region) for mark, name in UNTOLD.items() if mark in line.usage_type}
                unclear |= untold if line.covered else set()
                billed |= {(*place, "") for place in untold}
        covered = tuple(
            ObservedCoverage(
                id="last month's coverage", target=Target(account, region), capacity=capacity, at_least=True,
                dimension=dimension, family=family,
            )
            for (dimension, region, family), capacity in sorted(hours.items())
        )  # fmt: skip
        return Estate(
            used,
            (*covered, *self._later(account)),
            where,
            rates(demanded),
            frozenset(unclear),
            frozenset(billed),
        )

    def _later(self, account: str) -> list[Commitment]:
        """Return the account's own commitments that began after last month did: its bill knows them in part at most."""
        committed = self._committed(frozenset({account}), at_least=True)
        begin = min(last_month(target.now.date())[0] for _, target, _ in self._of[account])
        return [
            replace(one, at_least=True)
            for one in (() if isinstance(committed, str) else committed)
            if one.created is not None and one.created.date() >= begin
        ]

    def _enrichments(self, accounts: frozenset[str]) -> Iterator[tuple[Inventory, Cell]]:
        for account in sorted(accounts):
            for declaration, _, cell in self._of.get(account, ()):
                if declaration.beside:
                    yield declaration, cell

    def _billed(self, account_id: str) -> list[BilledUsage] | None:
        """Return the account's bill of last month, or None if it was not asked for or is not whole."""
        found: list[BilledUsage] = []
        asked = False
        for declaration, cell in self._enrichments(frozenset({account_id})):
            if is_billable(declaration) and not _tells_resources(declaration):
                if cell.fault or cell.cut or cell.partial:
                    return None
                asked = True
                found += [row for row in cell.rows if isinstance(row, BilledUsage)]
        return found if asked else None

    def _sharing(self, account_id: str) -> frozenset[str] | str:
        """Return the accounts that share commitments with this one, or why they are not known."""
        for declaration, cell in self._enrichments(frozenset({account_id})):
            if declaration.service == SHARING:
                if cell.fault is not None:
                    return f"{declaration.call}: {cell.fault}"
                if not cell.rows:
                    return frozenset({account_id})
                if self._organization is None:
                    return "other accounts of its organization may share commitments: audit all, with --finops-org"
                return self._organization
        return "its commitments were not read"

    def _estate(self, accounts: frozenset[str]) -> Estate:
        # AWS covers the usage of a plan's owner first, and usage that was not seen may take what is freed.
        known = self._committed(accounts, at_least=len(accounts) > 1 or not self._whole(accounts))
        if isinstance(known, str):
            return Estate(unknown=known)
        used, where = self._used(accounts)
        paid: dict[PriceKey, Decimal] = {}
        for account in sorted(accounts):
            bill = self._billed(account) or ()
            for key, rate in rates([_usage(line) for line in bill if not line.covered]).items():
                paid[key] = min(rate, paid.get(key, rate))
        return Estate(used, tuple(known), where, paid)

    def _committed(self, accounts: frozenset[str], *, at_least: bool) -> list[Commitment] | str:
        """Return what the accounts committed to, or why that is not known."""
        committed: list[Commitment] = []
        charged: dict[str, dict[PriceKey, Decimal]] = {}
        for declaration, cell in self._enrichments(accounts):
            if declaration.by_prices:
                for row in cell.rows:
                    if (key := _priced(row)) is not None:
                        charged.setdefault(row.plan, {})[key] = row.rate
                continue
            if is_billable(declaration):
                continue
            if fault := cell.fault or cell.cut:
                return f"{declaration.call}: {fault}"
            committed += [row for row in cell.rows if isinstance(row, Commitment)]
        return [
            one.charging(charged[one.id], at_least=at_least) if one.id in charged else one
            for one in committed
        ]

    def _whole(self, accounts: frozenset[str]) -> bool:
        """Whether everything that runs was seen."""
        cells = (cell for name in accounts for one, _, cell in self._of.get(name, ()) if one in self._running)
        return not any(cell.fault or cell.early for cell in cells)

    def _used(self, accounts: frozenset[str]) -> tuple[Counter[Usage], dict[tuple[str, str, str], Usage]]:
        used: Counter[Usage] = Counter()
        where: dict[tuple[str, str, str], Usage] = {}
        for account in sorted(accounts):
            for declaration, _, cell in self._of.get(account, ()):
                for row in cell.rows if declaration in self._running else ():
                    if getattr(row, "billed", None) is not None:
                        usage = row.billed, getattr(row, "availability_zone", "")
                        used[usage] += 1
                        where[row.account_id, row.region, row.id] = usage
        return used, where


def resource_bills(plan: Plan, store: Store) -> tuple[dict[str, AccountBill], list[str]]:
    """Return what resources were billed, by account, where that was asked for, and what people must know of all bills."""
    found: dict[str, AccountBill] = {}
    warnings: dict[tuple[str, str], str] = {}
    for declaration, target in plan.cells:
        if not declaration.beside or not is_billable(declaration):
            continue
        cell, account = store.cell(declaration, target), target.account_id
        missing = cure = ""
        if fault := cell.fault or cell.cut:
            missing, cure = f"{declaration.call}: {fault}", _cure(declaration, fault)
        elif cell.partial:
            missing = f"{declaration.call}: only the first {pages_at_most(declaration)} pages were read"
            cure = "audit fewer resources of the account at a time"
        if _tells_resources(declaration):
            found[account] = AccountBill.of(cell.rows, missing)
            lacking = "what resources were billed caps no saving there"
        else:
            cure = (
                cure if cell.fault or cell.cut else "what it really paid for a unit is not taken into account"
            )
            lacking = "its savings are net by list prices and by the commitments that were read, not by last month's bill"
        if missing:
            warnings.setdefault((account, lacking), f"{account}: {lacking}: {missing}; {cure}")
    return found, list(warnings.values())


def _tells_resources(declaration: Inventory) -> bool:
    """Whether an enrichment is the bill of resources."""
    return bool(declaration.beside) and is_billable(declaration) and declaration.row_type() is ResourceBill


def _cure(declaration: Inventory, fault: Fault) -> str:
    """Return what to do where a bill is not answered."""
    if fault.kind == "denied":
        action = "".join(word.capitalize() for word in declaration.operation.split("_"))
        return f"allow {declaration.service}:{action}, or do without {'the cap' if _tells_resources(declaration) else 'it'}"
    if fault.code == "NotSaved":
        return "save the inventory with --finops-cost-data"
    if fault.kind in ("unavailable", "failed") and _tells_resources(declaration):
        return (
            "in the Cost Management preferences of the payer, switch on resource-level data at daily granularity "
            "for these services; AWS has it two days later"
        )
    return "run again later"


def _priced(row: object) -> PriceKey | None:
    """Return what a rate is the rate of; None where that is not known, or where it is no rate."""
    if not isinstance(row, PlanRate) or row.rate <= 0:
        return None
    zero = Decimal(0)
    return identify(BillLine(row.usage_type, row.operation, "", zero, zero, zero))


def _usage(line: BilledUsage) -> BillLine:
    return BillLine(line.usage_type, line.operation, "", line.quantity, line.cost, line.net)


def key_of(line: PriceLine) -> PriceKey:
    """Return the price that a line is at."""
    return PriceKey(line.dimension, line.region, line.attributes)
