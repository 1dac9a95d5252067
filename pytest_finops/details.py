"""Details: for which resources of its parent a ``per=`` inventory is asked, by all that its ``where=`` sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from .collector.executor import by_where
from .collector.store import Cell, Store
from .declare import RULE, Inventory
from .metrics import Series
from .plan import Check, Plan
from .resources import Resource, Target
from .views import InventoryView, MetricView, Scope


class Unseen(Exception):
    """What ``where=`` reads was not looked at, or not completely: blindness never narrows what is asked."""


class _Seen(Scope):
    """What ``where=`` may see: cells that are complete."""

    def cells(self, declaration: Inventory, targets: Sequence[Target] | None = None) -> Iterator[Cell]:
        for cell in super().cells(declaration, targets):
            if cell.fault or cell.early or cell.faults:
                raise Unseen
            yield cell


class _SeenMetric(MetricView):
    def series(self, resource: Resource, statistic: str) -> Series:
        found = super().series(resource, statistic)
        if found is None:
            raise Unseen
        return found


class _Unknown:
    """What the check that asks does not declare, or sees through a filter of a team."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Unseen

    def __getitem__(self, index: object) -> NoReturn:
        raise Unseen

    def __len__(self) -> int:
        raise Unseen

    def __iter__(self) -> Iterator[Any]:
        raise Unseen

    def __contains__(self, item: object) -> bool:
        raise Unseen


@dataclass(frozen=True, slots=True)
class _Reader:
    scope: Scope | None
    wide_fixture: str | None = None


class Details:
    """Chooses the parents that at least one check of the plan may need the detail of."""

    def __init__(self, plan: Plan, store: Store, payer: str | None) -> None:
        self._plan = plan
        self._store = store
        self._payer = payer

    def chooser(self, child: Inventory, target: Target) -> Callable[[Any], bool]:
        """Return what says of a parent in ``target`` whether ``child`` is asked for it."""
        where = child.where
        if where is None or not child.sees:
            return by_where(child, target)
        seen = [self._arguments(child, target, check) for check in self._plan.users.get(child, {}).values()]

        def needed(parent: Any) -> bool:
            return any(_may_need(where, parent, arguments) for arguments in seen)

        return needed

    def _arguments(self, child: Inventory, target: Target, check: Check) -> dict[str, Any]:
        scope = _Seen(
            store=self._store, targets=[target], declarations=check.declarations, payer=self._payer,
            period_days=check.rule.period_days, filled=check.inventories,
        )  # fmt: skip
        reader = _Reader(scope)
        arguments: dict[str, Any] = {}
        for name in child.sees:
            declaration = check.seen(name)
            if name == RULE:
                arguments[name] = check.rule
            elif declaration is None:
                arguments[name] = _Unknown()
            elif isinstance(declaration, Inventory):
                arguments[name] = InventoryView(reader, declaration)
            else:
                arguments[name] = _SeenMetric(reader, declaration)
        return arguments


def _may_need(where: Callable[..., bool], parent: Any, arguments: dict[str, Any]) -> bool:
    try:
        return bool(where(parent, **arguments))
    except Unseen:
        return True
