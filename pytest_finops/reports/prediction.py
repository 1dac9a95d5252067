"""A prediction as a table for people and as a document for scripts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ..predictions import ASSUMED_RESOURCES, METRIC_PRICE, STATISTICS_PRICE, Prediction
from .text import count

SCHEMA_VERSION = "1"
#: Columns of the table: what is called, how often, billable units, USD.
_LABEL = 46
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
                "purpose": call.purpose,
            }
            for call in made.calls
        ],
        "accounts": made.accounts,
        "regions": made.regions,
        "per_account": made.per_account,
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


def lines(made: Prediction, *, replayed: bool = False) -> list[str]:
    """Return the table, at most 80 columns wide, and what it means; ``replayed``: of answers that were saved."""
    shown = [f"{'API call':<{_LABEL}}{'calls':>10}{'billable':>11}{'USD':>12}"]
    for call in made.calls:
        price = plain(call.cost) if call.cost else "free"
        sign = _SIGN[call.bound]
        units = f"{call.billable_units:,}" if call.billable_units else "."
        label = f"{call.service}.{call.operation}" + (f" ({call.purpose})" if call.purpose else "")
        if len(label) >= _LABEL:
            shown.append(label)
            label = ""
        shown.append(f"{label:<{_LABEL}}{sign + format(call.calls, ','):>10}{units:>11}{price:>12}")
    total = plain(made.upper) if made.lower == made.upper else f"{plain(made.lower)} to {plain(made.upper)}"
    signs = {_SIGN[call.bound] for call in made.calls} - {""}
    mark = "~" if len(signs) > 1 else "".join(signs)
    shown.append(f"{'total':<{_LABEL}}{mark + format(made.total_calls, ','):>10}{'':>11}{total:>12}")
    looked = "accounts not known" if made.per_account else f"{count(made.accounts, 'account')}"
    looked += f", {count(made.regions, 'region')}"
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
        if made.per_account:
            shown.append(
                f"at least {plain(made.lower)} USD, at most {plain(made.upper)} USD for each account,"
            )
        else:
            shown.append(f"{plain(made.lower)} to {plain(made.upper)} USD")
        shown.append(f"  if no account holds more than {ASSUMED_RESOURCES} resources of a kind in a region;")
        shown.append("  free calls are first pages only; nothing was sent")
    else:
        bound = "exact" if made.exact else "an upper bound where pages are not known"
        sent = (
            "; a live run would pay it, a replay sends nothing" if replayed else "; nothing billable was sent"
        )
        shown.append(f"{plain(made.upper)} USD, {bound}{sent}")
    return shown
