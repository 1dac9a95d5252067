"""Views: what the running check may see of the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .collector.executor import at_level
from .collector.store import Cell, Points, Store, series_key
from .declare import Declaration, Inventory, Metric
from .errors import PlanError
from .metrics import Series
from .resources import GLOBAL, Resource, Target

if TYPE_CHECKING:
    import pytest

T = TypeVar("T")


def view_of(config: pytest.Config, declaration: Declaration) -> Any:
    """Return the view on ``declaration``; what it shows follows the running item."""
    from .run import RUN

    run = config.stash[RUN]
    return (
        InventoryView(run, declaration)
        if isinstance(declaration, Inventory)
        else MetricView(run, declaration)
    )


class Scope:
    """What one running item may see: its targets that are not blind, its declarations, the rule's look-back."""

    def __init__(
        self, *, store: Store, targets: Sequence[Target], declarations: frozenset[Declaration], payer: str | None,
        period_days: int, filled: Collection[Inventory],
    ) -> None:  # fmt: skip
        self.store = store
        self.targets = list(targets)
        self.declarations = declarations
        self.payer = payer
        self.period_days = period_days
        self.filled = filled
        self.cache: dict[Any, Any] = {}
        self._by_account: dict[str, list[Target]] = {}
        for target in self.targets:
            self._by_account.setdefault(target.account_id, []).append(target)

    def at(self, target: Target) -> list[Target]:
        """Return the visible targets that belong to ``target``: itself, and its account where a check looks at that."""
        return [t for t in self._by_account.get(target.account_id, ()) if t == target or t.region == GLOBAL]

    def cells(self, declaration: Inventory, targets: Sequence[Target] | None = None) -> Iterator[Cell]:
        """Yield the distinct cells of ``declaration`` that the item may see."""
        seen: set[Target] = set()
        if declaration not in self.filled:
            return
        for target in self.targets if targets is None else targets:
            for at in self._cells_at(declaration, target):
                if at not in seen:
                    seen.add(at)
                    yield self.store.cell(declaration, at)

    def _cells_at(self, declaration: Inventory, target: Target) -> list[Target]:
        if declaration.level == "region" and target.region == GLOBAL:
            # A check at account level reads the regional inventories of all its regions.
            return self.store.regions(declaration, target.account_id)
        return [at_level(target, declaration.level, self.payer)]


class Reader(Protocol):
    """On whose behalf a view is read."""

    @property
    def scope(self) -> Scope | None:
        """What may be seen."""

    @property
    def wide_fixture(self) -> str | None:
        """The fixture of wider than function scope that is being set up, if any."""


class _View:
    def __init__(self, run: Reader, declaration: Declaration) -> None:
        self._run = run
        self._declaration = declaration

    def _scope(self) -> Scope:
        scope = self._run.scope
        if scope is None:
            raise PlanError(f"{self._declaration.name} was read while no check was running")
        if self._declaration not in scope.declarations:
            raise PlanError(
                f"{self._declaration.name} is not in this test's plan, so it was not collected for it: "
                "name it as an argument (request.getfixturevalue is invisible to the plan)"
            )
        wide = self._run.wide_fixture
        if wide:
            raise PlanError(
                f"fixture {wide!r} of wider than function scope reads {self._declaration.name}: what a view shows belongs to "
                "one test; give the fixture function scope"
            )
        return scope


class InventoryView(_View, Sequence[Any]):
    """The resources of an inventory that the running check may see, oldest page first; iterate it as often as you like."""

    _declaration: Inventory

    def __init__(self, run: Reader, declaration: Inventory, targets: Sequence[Target] | None = None) -> None:
        super().__init__(run, declaration)
        self._targets = targets

    def _rows(self) -> list[Any]:
        scope = self._scope()
        key = ("rows", self._declaration, None if self._targets is None else tuple(self._targets))
        if key not in scope.cache:
            scope.cache[key] = [
                row for cell in scope.cells(self._declaration, self._targets) for row in cell.rows
            ]
        rows: list[Any] = scope.cache[key]
        return rows

    def __getitem__(self, index: Any) -> Any:
        return self._rows()[index]

    def __len__(self) -> int:
        return len(self._rows())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows())

    def __contains__(self, item: object) -> bool:
        return any(row is item for row in self._rows())

    def at(self, target: Target) -> InventoryView:
        """Return the view narrowed to one target: look-ups belong to the account and region of their resource."""
        return InventoryView(self._run, self._declaration, self._scope().at(target))

    def by(self, attribute: str) -> Mapping[Any, list[Any]]:
        """Return the resources indexed by one attribute; the index is cached for the running check."""
        rows = self._rows()
        scope = self._scope()
        key = ("by", attribute, self._declaration, None if self._targets is None else tuple(self._targets))
        if key not in scope.cache:
            index: dict[Any, list[Any]] = {}
            for row in rows:
                index.setdefault(getattr(row, attribute), []).append(row)
            scope.cache[key] = index
        found: Mapping[Any, list[Any]] = scope.cache[key]
        return found

    def once(self, make: Callable[[Iterable[Any]], T]) -> T:
        """Return what ``make`` makes of the resources, computed once for the running check."""
        rows = self._rows()
        scope = self._scope()
        key = ("once", make, self._declaration, None if self._targets is None else tuple(self._targets))
        if key not in scope.cache:
            scope.cache[key] = make(rows)
        found: T = scope.cache[key]
        return found

    def get(self, resource_id: str, target: Target | None = None) -> Any:
        """Return the resource with this id (in ``target``), or None."""
        for row in self.by("id").get(resource_id, ()):
            if target is None or row.target == target:
                return row
        return None

    def __repr__(self) -> str:
        return f"<inventory {self._declaration.name}>"


class MetricView(_View):
    """The series of a metric, for the resources of its inventory and the look-back of the running rule."""

    _declaration: Metric

    def _points(self, resource: Resource, statistic: str) -> Points | None:
        if statistic not in self._declaration.statistics:
            raise PlanError(f"{self._declaration.name} does not declare statistic {statistic!r}")
        scope = self._scope()
        return scope.store.series.get((resource.target, series_key(self._declaration, resource, statistic)))

    def series(self, resource: Resource, statistic: str) -> Series | None:
        """Return the series of ``resource`` in the rule's window, or None where nothing is known.

        Datapoints before the resource was created belong to a deleted namesake and are left out.
        """
        points = self._points(resource, statistic)
        if points is None or points.fault is not None:
            return None
        scope = self._scope()
        if scope.store.window is None:
            return None
        from datetime import timedelta

        first, end = scope.store.window
        start = max(first, end - timedelta(days=scope.period_days)) if scope.period_days else first
        floor = start if resource.created is None else max(start, resource.created - timedelta(hours=1))
        values = points.between(floor, end)
        zero = self._declaration.absent == "zero"
        if not values and not zero:
            return None
        expected = int((end - start) / timedelta(seconds=self._declaration.period))
        return Series(values, expected, self._declaration.period, zero, start)

    def fault(self, resource: Resource) -> str | None:
        """Return why AWS did not answer for ``resource``, or None if it did (or was not asked)."""
        for statistic in self._declaration.statistics:
            points = self._points(resource, statistic)
            if points is not None and points.fault is not None:
                return str(points.fault)
        return None

    def __repr__(self) -> str:
        return f"<metric {self._declaration.name}>"
