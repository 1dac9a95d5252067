"""Local answers: what was collected for each declaration and target, or why it was not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..declare import Inventory, Metric
from ..resources import Target
from .faults import Fault

SeriesKey = tuple[str, str, tuple[tuple[str, str], ...], str, int]


@dataclass(slots=True)
class Cell:
    """The rows of one inventory in one target; ``fault`` blinds all of it, ``faults`` single parents of ``per=`` calls."""

    rows: list[Any] = field(default_factory=list)
    fault: Fault | None = None
    faults: dict[str, Fault] = field(default_factory=dict)
    done: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Points:
    """One series as CloudWatch answered it: (hour, value) pairs, oldest first; ``fault`` if it did not."""

    points: tuple[tuple[datetime, float], ...] = ()
    fault: Fault | None = None


class Store:
    """Everything that checks judge: no check reads anything else."""

    def __init__(self) -> None:
        self.cells: dict[tuple[Inventory, Target], Cell] = {}
        self.series: dict[tuple[Target, SeriesKey], Points] = {}
        self.metric_faults: dict[tuple[Metric, Target], Fault] = {}
        self.window: tuple[datetime, datetime] | None = None

    def cell(self, declaration: Inventory, target: Target) -> Cell:
        """Return the cell; a call that nobody planned is a fault, never an empty inventory."""
        found = self.cells.get((declaration, target))
        if found is None or not found.done:
            fault = Fault("missing", "NotCollected", f"{declaration.call} was not collected")
            return Cell(fault=fault, done=True) if found is None or found.fault is None else found
        return found


def series_key(metric: Metric, resource: Any, statistic: str) -> SeriesKey:
    """Return the identity of a series."""
    return (metric.namespace, metric.metric_name, metric.dimensions_of(resource), statistic, metric.period)


Params = Mapping[str, Any]
