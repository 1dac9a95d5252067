"""A prediction as a table for people and as a document for scripts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ..predictions import ASSUMED_RESOURCES, METRIC_PRICE, STATISTICS_PRICE, Prediction
from .text import count

SCHEMA_VERSION = "1"
_SIGN = {"exact": "", "least": ">=", "most": "<="}


def plain(amount: Decimal) -> str:
    """Return an amount without trailing zeros and never with an exponent."""
    return format(amount.normalize(), "f") if amount else "0"


def document(made: Prediction) -> dict[str, Any]:
    """Return what ``--finops-report json`` writes for a prediction (interface, section 2)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "predicted": {"lower": plain(made.lower), "upper": plain(made.upper), "exact": made.exact},
        "calls": [
            {
                "service": call.service,
                "operation": call.operation,
                "calls": call.calls,
                "billable_units": call.billable_units,
                "cost": format(call.cost, "f"),
                "bound": call.bound,
            }
            for call in made.calls
        ],
        "accounts": made.accounts,
        "regions": made.regions,
        "resources": made.resources,
        "metrics": {
            "requested": made.metrics,
            "up_to_five_statistics_as_one": made.metrics_lower,
            "cost": plain(METRIC_PRICE * made.metrics),
            "cost_up_to_five_statistics_as_one": plain(METRIC_PRICE * made.metrics_lower),
            "get_metric_statistics_requests": made.statistics_requests,
            "get_metric_statistics_cost": plain(STATISTICS_PRICE * made.statistics_requests),
        },
    }


def lines(made: Prediction) -> list[str]:
    """Return the table, at most 80 columns wide, and what it means."""
    shown = [f"{'API call':<46}{'calls':>10}{'billable':>11}{'USD':>12}"]
    for call in made.calls:
        price = plain(call.cost) if call.cost else "free"
        sign = _SIGN[call.bound]
        units = f"{call.billable_units:,}" if call.billable_units else "."
        shown.append(
            f"{call.service + '.' + call.operation:<46}{sign + format(call.calls, ','):>10}{units:>11}{price:>12}"
        )
    total = plain(made.upper) if made.lower == made.upper else f"{plain(made.lower)} to {plain(made.upper)}"
    mark = ">=" if any(call.bound == "least" for call in made.calls) else ""
    shown.append(f"{'total':<46}{mark + format(made.total_calls, ','):>10}{'':>11}{total:>12}")
    looked = f"{count(made.accounts, 'account')}, {count(made.regions, 'region')}"
    if made.resources is not None:
        looked += f", {count(made.resources, 'resource')}"
    shown += ["", looked]
    if made.metrics:
        lower = plain(METRIC_PRICE * made.metrics_lower)
        shown += [
            f"GetMetricData: {made.metrics:,} metrics, {plain(METRIC_PRICE * made.metrics)} USD;",
            f"  {lower} USD where AWS counts up to five statistics of a metric once",
            f"GetMetricStatistics instead: {made.statistics_requests:,} requests, "
            f"{plain(STATISTICS_PRICE * made.statistics_requests)} USD,",
            "  of which the first 1,000,000 a month are free",
        ]
    if made.resources is None:
        shown.append(
            f"{plain(made.lower)} to {plain(made.upper)} USD if no account holds more than {ASSUMED_RESOURCES} resources of a kind in a region;"
        )
        shown.append("  calls are first pages only; nothing was sent")
    else:
        bound = "exact" if made.exact else "an upper bound where pages are not known"
        shown.append(f"{plain(made.upper)} USD, {bound}; nothing billable was sent")
    return shown
