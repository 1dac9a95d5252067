"""What a run will send and pay: a prediction as a value."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

#: USD per metric requested by GetMetricData (AWS: 0.01 USD per 1,000; never free).
METRIC_PRICE = Decimal("0.00001")
#: USD per GetMetricStatistics request (AWS: 0.01 USD per 1,000, the first 1,000,000 a month free).
STATISTICS_PRICE = Decimal("0.00001")
#: Resources per inventory and target that an estimate assumes when nothing may be asked.
ASSUMED_RESOURCES = 100


@dataclass(frozen=True, slots=True)
class PredictedCall:
    """The requests of one operation; ``bound`` says whether the number is exact, the least, or the most.

    ``lower`` is what they cost at least where ``cost`` is the most; ``purpose`` is what a billable one is asked for.
    """

    service: str
    operation: str
    calls: int
    billable_units: int = 0
    cost: Decimal = Decimal(0)
    bound: str = "exact"
    lower: Decimal = Decimal(0)
    purpose: str = ""

    @property
    def least(self) -> Decimal:
        """What they cost at least."""
        return self.cost if self.bound == "exact" else self.lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a run will send and pay, in USD.

    ``lower`` to ``upper`` is the range (equal where ``exact``). ``metrics`` counts each statistic asked for, as
    bills do; ``metrics_lower`` counts up to five statistics of a metric as one, as AWS's price list can be read.
    ``statistics_requests`` is what GetMetricStatistics would need for the same series. ``per_account``: nobody knows
    how many accounts there are, so ``upper`` is that of each.
    """

    calls: tuple[PredictedCall, ...] = ()
    lower: Decimal = Decimal(0)
    upper: Decimal = Decimal(0)
    exact: bool = True
    accounts: int = 0
    regions: int = 0
    resources: int | None = None
    metrics: int = 0
    metrics_lower: int = 0
    statistics_requests: int = 0
    per_account: bool = False

    @property
    def total_calls(self) -> int:
        """All requests."""
        return sum(call.calls for call in self.calls)
