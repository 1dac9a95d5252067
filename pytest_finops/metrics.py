"""CloudWatch series, reduced to what checks ask of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Series:
    """The hourly (or coarser) datapoints of one metric of one resource in the rule's window, oldest first.

    ``expected`` is the number of datapoints that the window can hold; ``zero_filled`` is True where AWS publishes
    nothing while nothing happens, so that absent hours are zeros (then ``values`` holds only what was published).
    Values have the unit of the metric.
    """

    values: tuple[float, ...]
    expected: int
    period: int = 3600
    zero_filled: bool = False
    start: datetime | None = None

    @property
    def coverage(self) -> float:
        """The share of expected datapoints that exist, 0 to 1 (1 where absence means zero)."""
        if self.zero_filled:
            return 1.0
        return min(1.0, len(self.values) / self.expected) if self.expected else 0.0

    @property
    def total(self) -> float:
        """The sum of all datapoints."""
        return math.fsum(self.values)

    @property
    def mean(self) -> float:
        """The arithmetic mean; absent hours are zeros where the metric is declared so. 0.0 without any datapoint."""
        count = max(self.expected, len(self.values)) if self.zero_filled else len(self.values)
        return self.total / count if count else 0.0

    @property
    def maximum(self) -> float:
        """The largest datapoint (0.0 without any)."""
        return max(self.values, default=0.0)

    @property
    def minimum(self) -> float:
        """The smallest datapoint (0.0 without any, or where absent hours are zeros)."""
        if self.zero_filled and len(self.values) < self.expected:
            return min(0.0, *self.values) if self.values else 0.0
        return min(self.values, default=0.0)

    def percentile(self, n: float) -> float:
        """Return the ``n``-th percentile (nearest rank), absent hours counted as zeros where declared so."""
        padding = max(0, self.expected - len(self.values)) if self.zero_filled else 0
        ordered = sorted(self.values + (0.0,) * padding)
        if not ordered:
            return 0.0
        return ordered[max(0, math.ceil(n / 100 * len(ordered)) - 1)]
