"""Hand-made views, series, prices and a recorder, to call the judgement of checks directly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest_finops as finops
from pytest_finops.findings import cents
from pytest_finops.rule_files import load

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HERE = finops.Target("111111111111", "us-east-1", now=NOW)
THERE = finops.Target("222222222222", "us-east-1", now=NOW)
OLD = NOW - timedelta(days=100)
HOURS = 336
CHECKS = Path(__file__).parents[1] / "checks"

PRICES = {
    "rds.instance db.m5.2xlarge mysql false": "0.684",
    "rds.instance db.m5.xlarge mysql false": "0.342",
    "rds.instance db.m5.2xlarge mysql true": "1.368",
    "rds.instance db.m5.xlarge mysql true": "0.684",
    "rds.instance db.m5.2xlarge sqlserver-se true": "3.00",
    "rds.instance db.m5.2xlarge sqlserver-se false": "1.50",
    "rds.storage gp3 true": "0.23",
    "rds.storage gp3 false": "0.115",
    "rds.storage io1 true": "0.25",
    "rds.storage io1 false": "0.125",
    "rds.iops gp3 true": "0.04",
    "rds.iops gp3 false": "0.02",
    "rds.throughput true": "0.16",
    "rds.throughput false": "0.08",
    "rds.iops io1 true": "0.20",
    "rds.iops io1 false": "0.10",
    "vpc.nat.hours": "0.045",
    "ec2.ipv4.in_use": "0.005",
    "transfer.cross_az": "0.01",
    "elb.hours application": "0.0225",
    "elb.hours network": "0.0225",
    "elb.hours gateway": "0.0125",
    "elb.hours classic": "0.025",
}
ORDER = ("instance_class", "storage_type", "kind", "engine", "multi_az")


class View(list[Any]):
    """A view on hand-made rows."""

    def by(self, attribute: str) -> dict[Any, list[Any]]:
        index: dict[Any, list[Any]] = {}
        for row in self:
            index.setdefault(getattr(row, attribute), []).append(row)
        return index

    def get(self, resource_id: str, target: finops.Target | None = None) -> Any:
        found = (row for row in self if row.id == resource_id and target in (None, row.target))
        return next(found, None)

    def at(self, target: finops.Target) -> View:
        return View(row for row in self if row.target == target)


class Metric:
    """Series by resource id and statistic; a text in their place is AWS's fault."""

    def __init__(self, values: Mapping[str, Any] | None = None, *, zero: bool = False) -> None:
        self.values = dict(values or {})
        self.zero = zero

    def series(self, resource: Any, statistic: str) -> finops.Series | None:
        found = self.values.get(resource.id)
        if isinstance(found, Mapping):
            found = found[statistic]
        if isinstance(found, str):
            return None
        if found is None:
            return finops.Series((), HOURS, zero_filled=True) if self.zero else None
        return finops.Series(tuple(found), HOURS, zero_filled=self.zero)

    def fault(self, resource: Any) -> str | None:
        found = self.values.get(resource.id)
        return found if isinstance(found, str) else None


class Prices:
    """Prices of a small list; ``without`` names dimensions that have none."""

    def __init__(self, without: Iterable[str] = ()) -> None:
        self.without = tuple(without)

    def line(
        self, dimension: str, resource: Any, quantity: Decimal | int, *, component: str = "", note: str = "",
        **attributes: Any,
    ) -> finops.PriceLine:  # fmt: skip
        words = [str(attributes[name]).lower() for name in ORDER if name in attributes]
        price = PRICES.get(" ".join([dimension, *words]))
        if dimension in self.without:
            price = None
        return finops.PriceLine(
            dimension=dimension, region=resource.region, quantity=Decimal(quantity), unit="",
            unit_price=None if price is None else Decimal(price), source="snapshot", component=component, note=note,
        )  # fmt: skip


@dataclass(slots=True)
class Found:
    """One reported finding."""

    resource: Any
    said: Mapping[str, Any]

    @property
    def saving(self) -> Decimal | None:
        """The savings in cents, or None."""
        sides = [self.said.get("current_lines") or (), self.said.get("target_lines") or ()]
        amounts = [[line.amount for line in side] for side in sides]
        if any(amount is None for side in amounts for amount in side):
            return None
        return cents(sum(amounts[0], Decimal(0)) - sum(amounts[1], Decimal(0)))

    @property
    def components(self) -> list[str]:
        """The keys of what is claimed, in order."""
        given = self.said.get("components")
        if given is not None:
            return [component.key for component in given]
        lines = [*self.said.get("current_lines", ()), *self.said.get("target_lines", ())]
        return list(dict.fromkeys(line.component for line in lines))


@dataclass(slots=True)
class Recorder:
    """Keeps what a check says."""

    found: dict[str, Found] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def report(self, resource: Any, **said: Any) -> None:
        assert resource.id not in self.found
        self.found[resource.id] = Found(resource, said)

    def not_evaluated(self, resource: Any, reason: str) -> None:
        self.skipped.setdefault(resource.id, reason)

    def note(self, resource: Any, text: str) -> None:
        self.notes[resource.id] = text

    @property
    def savings(self) -> dict[str, str | None]:
        """Resource id to savings."""
        return {key: None if f.saving is None else str(f.saving) for key, f in self.found.items()}


class Rule:
    """A shipped rule, with environments by the ``env`` tag: ``dev`` is non-production, ``prod`` production."""

    def __init__(self, file: str, rule_id: str) -> None:
        self._rule = next(rule for rule in load(CHECKS / file) if rule.id == rule_id)
        self.minimum_savings = Decimal(1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rule, name)

    def environment(self, resource: Any) -> finops.Environment:
        word = resource.tags.get("env", "")
        if word == "dev":
            return finops.Environment("nonprod", "tag env", "high")
        if word == "guess":
            return finops.Environment("nonprod", "name", "low")
        if word == "prod":
            return finops.Environment("prod", "tag env", "high")
        return finops.Environment("unknown", "none", "low")


def flat(value: float, count: int = HOURS) -> Sequence[float]:
    """Return a series of one value."""
    return [value] * count
