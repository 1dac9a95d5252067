"""Rightsizing: what a smaller size must be able to hold."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from pytest_finops.fixtures.sizes import parts

from pytest_finops import Rule, Series

#: Hours of a month, for every hourly price.
MONTH = Decimal(730)

#: Below this share of datapoints a month's hours are scaled to the hours that were seen running.
FULL_COVERAGE = 95

#: A p95 of the hourly maxima from here on makes a smaller size doubtful, whatever the mean says.
RESTLESS = 60

#: Below this p95 of the hourly maxima, and with memory known to be as low, a smaller size is certain.
CALM = 40

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
