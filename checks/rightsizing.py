"""Rightsizing: the ladder of sizes, one size down, and what the target must be able to hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from pytest_finops import Rule, Series

#: Hours of a month, for every hourly price.
MONTH = Decimal(730)

#: Below this share of datapoints a month's hours are scaled to the hours that were seen running.
FULL_COVERAGE = 95

#: A p95 of the hourly maxima from here on makes a smaller size doubtful, whatever the mean says.
RESTLESS = 60

#: Below this p95 of the hourly maxima, and with memory known to be as low, a smaller size is certain.
CALM = 40

_SMALL = {"nano": 0.03125, "micro": 0.0625, "small": 0.125, "medium": 0.25, "large": 0.5, "xlarge": 1.0}

#: The sizes that most families have, smallest first.
LADDER = (
    "nano", "micro", "small", "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge",
    "16xlarge", "24xlarge", "32xlarge", "48xlarge",
)  # fmt: skip

_T3 = {
    "nano": 5.0,
    "micro": 10.0,
    "small": 20.0,
    "medium": 20.0,
    "large": 30.0,
    "xlarge": 40.0,
    "2xlarge": 40.0,
}
_T2 = {
    "nano": 5.0,
    "micro": 10.0,
    "small": 20.0,
    "medium": 20.0,
    "large": 30.0,
    "xlarge": 22.5,
    "2xlarge": 16.875,
}

#: CPU (per cent of all vCPUs) that a burstable size may use for ever; above it, it spends credits.
BASELINES = {"t2": _T2, "t3": _T3, "t3a": _T3, "t4g": _T3}


def parts(type_name: str) -> tuple[str, str]:
    """Return family and size of ``m5.large``, or of ``db.m5.large``."""
    family, _, size = type_name.removeprefix("db.").partition(".")
    return family, size


def size_rank(size: str) -> float | None:
    """Return a number that orders sizes (``xlarge`` is 1); None for ``metal`` and other unordered names."""
    if size in _SMALL:
        return _SMALL[size]
    factor = size.removesuffix("xlarge")
    return float(factor) if size.endswith("xlarge") and factor.isdecimal() else None


#: The sizes that any family has, smallest first.
EVERY_SIZE = tuple(
    sorted(
        (*LADDER, "3xlarge", "6xlarge", "9xlarge", "10xlarge", "18xlarge"),
        key=lambda name: size_rank(name) or 0,
    )
)


def smaller_size(size: str, among: Iterable[str] = LADDER) -> str | None:
    """Return the next smaller size out of ``among`` (the sizes of a family), or None if there is none."""
    rank = size_rank(size)
    if rank is None:
        return None
    ranked = [(other_rank, other) for other in among if (other_rank := size_rank(other)) is not None]
    return max((pair for pair in ranked if pair[0] < rank), default=(0.0, None))[1]


def smaller_sizes(size: str) -> tuple[str, ...]:
    """Return what the next smaller size can be called, families having different ladders; likeliest first."""
    rank = size_rank(size)
    if rank is None:
        return ()
    below = [name for name in EVERY_SIZE if (size_rank(name) or 0.0) < rank]
    return tuple(reversed(below[-4:] if rank > 2 else below[-1:]))


def baseline(type_name: str) -> float | None:
    """Return the CPU baseline in per cent of a burstable type (``t3.micro``, ``db.t3.micro``), or None."""
    family, size = parts(type_name)
    return BASELINES.get(family, {}).get(size)


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU of one resource in the rule's window, in per cent: what a rightsizing verdict rests on."""

    mean: float
    p95_average: float
    p95_maximum: float
    maximum: float
    coverage: float
    hours: Decimal

    @property
    def evidence(self) -> dict[str, float | str]:
        """The measured numbers, for a finding."""
        return {
            "cpu_average": round(self.mean, 2),
            "cpu_p95_of_averages": round(self.p95_average, 2),
            "cpu_p95_of_maxima": round(self.p95_maximum, 2),
            "cpu_maximum": round(self.maximum, 2),
            "coverage_percent": round(self.coverage, 1),
            "hours": str(self.hours),
        }


def usage_of(average: Series, maximum: Series) -> Usage:
    """Return what the hourly averages and the hourly maxima of a CPU say."""
    return Usage(
        mean=average.mean,
        p95_average=average.percentile(95),
        p95_maximum=maximum.percentile(95),
        maximum=maximum.maximum,
        coverage=100 * average.coverage,
        hours=hours_of(average),
    )


def hours_of(series: Series) -> Decimal:
    """Return the hours of a month that the resource runs: 730, or its share where less than 95 % was seen."""
    if 100 * series.coverage >= FULL_COVERAGE or not series.expected:
        return MONTH
    share = MONTH * len(series.values) / series.expected
    return share.quantize(Decimal("0.01"), ROUND_HALF_UP)


def projected(percent: float, vcpus: int, target_vcpus: int) -> float:
    """Return the CPU that ``percent`` of ``vcpus`` is on ``target_vcpus``."""
    return percent * vcpus / target_vcpus


def sustains(mean: float, vcpus: int, target_type: str, target_vcpus: int) -> bool:
    """Return whether the target can run at this mean for ever: a burstable one only below its baseline."""
    limit = baseline(target_type)
    return limit is None or projected(mean, vcpus, target_vcpus) <= limit


def confidence(p95_maximum: float, memory_percent: float | None) -> Literal["high", "medium", "low"]:
    """Return high, medium or low: calm CPU and memory, CPU alone, restless CPU."""
    if p95_maximum >= RESTLESS:
        return "low"
    calm = p95_maximum < CALM and memory_percent is not None and memory_percent < CALM
    return "high" if calm else "medium"


def meets(rule: Rule, field: str, actual: Any) -> bool:
    """Return whether the rule's conditions on this one field hold (they do if it has none)."""
    return all(condition.holds(actual) for condition in rule.condition if condition.field == field)


def days_text(days: float | None) -> str:
    """Return whole days for people: ``3 days``."""
    whole = int(days or 0)
    return f"{whole} day" if whole == 1 else f"{whole} days"
