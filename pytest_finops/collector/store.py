"""Local answers: what was collected for each declaration and target, or why it was not."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from ..declare import Declaration, Inventory, Metric
from ..resources import Target
from .faults import Fault

SeriesKey = tuple[str, str, tuple[tuple[str, str], ...], str, int]


@dataclass(slots=True)
class Cell:
    """The rows of one inventory in one target; ``fault`` blinds all of it, ``faults`` single parents of ``per=`` calls.

    ``cut`` says why a listing ends early: the rows that are there can be judged, the absence of others cannot.
    ``gone`` are parents that were deleted since they were listed: no fault, and nothing to judge.
    """

    rows: list[Any] = field(default_factory=list)
    fault: Fault | None = None
    cut: Fault | None = None
    faults: dict[str, Fault] = field(default_factory=dict)
    gone: dict[str, Fault] = field(default_factory=dict)
    done: bool = False
    partial: bool = False

    @property
    def early(self) -> Fault | None:
        """Why the listing ends early: cut off, or bounded by its declaration."""
        if self.cut is None and self.partial:
            return Fault("partial", "Bounded", f"only the first {len(self.rows)} were read")
        return self.cut


#: A moment as answers have it: epoch seconds, or a datetime.
Moment = datetime | int
_Shared = dict[tuple[Moment, ...], "array[int]"]


@dataclass(frozen=True, slots=True)
class Points:
    """One series as CloudWatch answered it: ``times`` (epoch seconds, oldest first) and ``values``; ``fault`` if it did not.

    Arrays, because a run holds millions of them: 16 bytes a datapoint, 8 where series share their times.
    """

    times: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    fault: Fault | None = None

    @classmethod
    def of(cls, times: Sequence[Moment], values: Sequence[float], shared: _Shared | None = None) -> Points:
        """Return the series of ``times`` and ``values`` in any order; times that are ``shared`` are kept once."""
        count = min(len(times), len(values))
        key = tuple(times[:count])
        line = None if shared is None else shared.get(key)
        if line is None:
            line = array("q", [when if isinstance(when, int) else int(when.timestamp()) for when in key])
            if any(earlier > later for earlier, later in pairwise(line)):
                order = sorted(zip(line, values[:count], strict=True))
                return cls(array("q", [when for when, _ in order]), array("d", [value for _, value in order]))
            if shared is not None:
                shared[key] = line
        return cls(line, array("d", values[:count]))

    def pairs(self) -> Iterator[tuple[datetime, float]]:
        """Yield (time, value), oldest first."""
        for when, value in zip(self.times, self.values, strict=True):
            yield datetime.fromtimestamp(when, UTC), value

    def between(self, start: datetime, end: datetime) -> tuple[float, ...]:
        """Return the values from ``start`` up to, but without, ``end``."""
        first = bisect_left(self.times, start.timestamp())
        return tuple(self.values[first : bisect_left(self.times, end.timestamp())])


@dataclass(frozen=True, slots=True)
class Troubles:
    """What did not answer completely: the targets of each inventory, and metrics by (namespace, name).

    ``filled`` are the inventories that have rows anywhere.
    """

    cells: Mapping[Inventory, Collection[Target]]
    metrics: Collection[tuple[str, str]]
    filled: Collection[Inventory]

    def touch(self, declarations: Iterable[Declaration]) -> bool:
        """Whether any of ``declarations`` lacks anything anywhere."""
        return any(
            one in self.cells
            if isinstance(one, Inventory)
            else (one.namespace, one.metric_name) in self.metrics
            for one in declarations
        )


class Store:
    """Everything that checks judge: no check reads anything else."""

    def __init__(self) -> None:
        self.cells: dict[tuple[Inventory, Target], Cell] = {}
        self.series: dict[tuple[Target, SeriesKey], Points] = {}
        self.metric_faults: dict[tuple[Metric, Target], Fault] = {}
        self.said: dict[str, None] = {}
        self.window: tuple[datetime, datetime] | None = None
        self._places: dict[tuple[Inventory, str], list[Target]] = {}
        self._places_of = 0

    def troubles(self) -> Troubles:
        """Return where answers are missing, once collection is over: most checks and targets need no closer look."""
        cells: dict[Inventory, set[Target]] = {}
        for (declaration, target), cell in self.cells.items():
            if cell.fault or cell.cut or cell.faults or cell.gone or cell.partial or not cell.done:
                cells.setdefault(declaration, set()).add(target)
        metrics = {(key[0], key[1]) for (_, key), points in self.series.items() if points.fault is not None}
        return Troubles(cells, metrics, {one for (one, _), cell in self.cells.items() if cell.rows})

    def regions(self, declaration: Inventory, account_id: str) -> list[Target]:
        """Return the targets of an account at which ``declaration`` was collected."""
        if self._places_of != len(self.cells):
            # Made aside: where= is asked by many threads.
            places: dict[tuple[Inventory, str], list[Target]] = {}
            for one, target in self.cells:
                places.setdefault((one, target.account_id), []).append(target)
            self._places, self._places_of = places, len(self.cells)
        return self._places.get((declaration, account_id), [])

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
