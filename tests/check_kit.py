"""Stand-ins for what a check is given: views, prices, metrics, a recorder of findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pytest_finops import Component, PriceLine, Resource, Rule, Series, Target
from pytest_finops.findings import cents
from pytest_finops.rule_files import load

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HERE = Target("111122223333", "us-east-1", now=NOW)
ELSEWHERE = Target("444455556666", "eu-west-1", now=NOW)
ROOT = Path(__file__).resolve().parents[1]


def days_ago(days: float) -> datetime:
    """Return the time that many days before the audit's clock."""
    return NOW - timedelta(days=days)


def rule_of(path: str, rule_id: str) -> Rule:
    """Return one rule of a shipped rule file."""
    return next(rule for rule in load(ROOT / "checks" / path) if rule.id == rule_id)


class View(Sequence[Any]):
    """An inventory view over resources made by hand."""

    def __init__(self, rows: Iterable[Any] = ()) -> None:
        self.rows = list(rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, target: Target) -> View:
        return View(row for row in self.rows if row.target == target)

    def by(self, attribute: str) -> Mapping[Any, list[Any]]:
        index: dict[Any, list[Any]] = {}
        for row in self.rows:
            index.setdefault(getattr(row, attribute), []).append(row)
        return index

    def get(self, resource_id: str, target: Target | None = None) -> Any:
        found = [row for row in self.rows if row.id == resource_id and target in (None, row.target)]
        return found[0] if found else None


class Prices:
    """Prices by dimension and attribute values: ``{("ebs.storage", "gp2"): "0.10"}``."""

    def __init__(self, table: Mapping[tuple[str, ...], str]) -> None:
        self.table = table

    def line(
        self, dimension: str, resource: Resource, quantity: Decimal | int, *, component: str = "", note: str = "",
        **attributes: object,
    ) -> PriceLine:  # fmt: skip
        assert isinstance(quantity, Decimal | int), "money never meets floats"
        words = tuple(str(attributes[name]) for name in sorted(attributes))
        price = self.table.get((dimension, *words))
        return PriceLine(
            dimension=dimension, region=resource.region, quantity=Decimal(quantity), unit="",
            unit_price=None if price is None else Decimal(price), source="unknown" if price is None else "live",
            component=component, note=note, attributes=tuple((name, str(attributes[name])) for name in sorted(attributes)),
        )  # fmt: skip


class Metric:
    """A metric fixture's value: series by (resource id, statistic), faults by resource id."""

    def __init__(
        self, series: Mapping[tuple[str, str], Series], faults: Mapping[str, str] | None = None
    ) -> None:
        self._series = series
        self._faults = faults or {}

    def series(self, resource: Resource, statistic: str) -> Series | None:
        return self._series.get((resource.id, statistic))

    def fault(self, resource: Resource) -> str | None:
        return self._faults.get(resource.id)


@dataclass
class Reported:
    """One finding as a check reported it."""

    resource: Any
    current: str | None
    current_lines: tuple[PriceLine, ...]
    target_lines: tuple[PriceLine, ...]
    components: Sequence[Component] | None
    action: str | None
    confidence: str | None
    evidence: Mapping[str, Any]
    recommendation: str | None
    together: tuple[str, ...] = ()

    @property
    def savings(self) -> str | None:
        """The saving rounded to cents, or None if a price is missing or no line was given."""
        amounts = [line.amount for line in (*self.current_lines, *self.target_lines)]
        if not self.current_lines or None in amounts:
            return None
        saved = sum((a for line in self.current_lines if (a := line.amount) is not None), Decimal(0))
        saved -= sum((a for line in self.target_lines if (a := line.amount) is not None), Decimal(0))
        return str(cents(saved))


@dataclass
class Recorder:
    """The ``findings`` fixture's value, keeping what it is told by resource id."""

    reports: dict[str, Reported] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def report(
        self, resource: Any, *, current: str | None = None, current_lines: Sequence[PriceLine] = (),
        target_lines: Sequence[PriceLine] = (), components: Sequence[Component] | None = None,
        action: str | None = None, confidence: str | None = None, evidence: Mapping[str, Any] | None = None,
        recommendation: str | None = None, together: Iterable[Any] = (),
    ) -> None:  # fmt: skip
        assert resource.id not in self.reports, "reported twice"
        self.reports[resource.id] = Reported(
            resource, current, tuple(current_lines), tuple(target_lines), components, action, confidence,
            evidence or {}, recommendation, tuple(one.id for one in together),
        )  # fmt: skip

    def not_evaluated(self, resource: Any, reason: str) -> None:
        self.unknown[resource.id] = reason

    def note(self, resource: Any, text: str) -> None:
        self.notes[resource.id] = text

    @property
    def is_silent(self) -> bool:
        """Whether nothing was said: everything is clean."""
        return not (self.reports or self.unknown or self.notes)

    @property
    def savings(self) -> dict[str, str | None]:
        """The savings by resource id."""
        return {resource_id: found.savings for resource_id, found in self.reports.items()}


def hourly(
    value: float, hours: int = 336, *, peaks: int = 0, peak: float = 0.0, expected: int = 336
) -> Series:
    """Return hourly datapoints: ``hours`` of ``value``, the last ``peaks`` of them at ``peak``."""
    return Series((value,) * (hours - peaks) + (peak,) * peaks, expected)
