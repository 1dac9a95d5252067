"""Predict the calls of a plan and what they cost, before anything billable is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from math import ceil
from typing import Any

from .audit import ApiCalls
from .collector.executor import Chooser, batches, pages_at_most, requests_for
from .collector.store import SeriesKey, Store
from .declare import Inventory
from .operations import operation
from .plan import Plan, is_billable
from .predictions import ASSUMED_RESOURCES, METRIC_PRICE, PredictedCall, Prediction
from .resources import GLOBAL, Target

#: One GetMetricStatistics request returns at most this many datapoints, and five statistics.
STATISTICS_POINTS = 1440
#: AWS's price list counts "up to five statistics for the same metric" as one metric; bills have counted each.
STATISTICS_PER_METRIC = 5


def measured(
    plan: Plan, store: Store, made: Iterable[ApiCalls], series: Mapping[Target, Sequence[SeriesKey]],
    window: tuple[datetime, datetime], targets: Sequence[Target], chooser: Chooser, prices: Sequence[PredictedCall] = (),
    sure: tuple[Plan, Mapping[Target, Sequence[SeriesKey]]] | None = None,
) -> Prediction:  # fmt: skip
    """Return the prediction when the free calls are answered: what they were, and what is still to be sent.

    Exact for CloudWatch; an upper bound for billable inventories, whose pages nobody knows beforehand, and for what is
    asked after the metrics, of which they may need less.
    ``prices`` is what is asked outside the plan. ``sure`` are the plan and the series of a run that prunes as much as it
    can, where pruning, which is billed, is still to come.
    """
    surely_planned, surely_asked = sure or (plan, series)
    certain = set(surely_planned.cells) if sure else ()
    spare = {(cell[0].service, cell[0].operation) for cell in plan.cells if sure and cell not in certain}
    calls = [
        PredictedCall(
            c.service, c.operation, c.calls, c.billable_units, c.cost,
            "most" if (c.service, c.operation) in spare else "exact", c.cost,
        )
        for c in made if c.calls
    ]  # fmt: skip
    least = _requests_to_come(surely_planned, store, chooser)
    for declaration, sent in _requests_to_come(plan, store, chooser).items():
        facts = operation(declaration.service, declaration.operation)
        if sent is None or (not facts.billable and (facts.paginator or declaration.tokens)):
            calls.append(PredictedCall(declaration.service, declaration.operation, 0, bound="least"))
            continue
        if declaration in plan.late:
            calls.append(PredictedCall(declaration.service, declaration.operation, sent, bound="most"))
            continue
        pages = pages_at_most(declaration)
        surely = least.get(declaration) or 0
        calls.append(
            PredictedCall(
                declaration.service, declaration.operation, sent * pages, sent * pages,
                facts.request_cost * sent * pages, "exact" if sent * pages == surely else "most",
                facts.request_cost * surely, declaration.name if facts.billable else "",
            )
        )  # fmt: skip
    calls += prices
    subjects = {subject for check in plan.checks for subject in check.subjects}
    keys = [key for found in series.values() for key in found]
    if keys:
        sent = sum(len(batches(found, *window)) for found in series.values())
        surely = sum(len(found) for found in surely_asked.values())
        calls.append(
            PredictedCall(
                "cloudwatch", "get_metric_data", sent, len(keys), METRIC_PRICE * len(keys),
                "exact" if surely == len(keys) else "most", METRIC_PRICE * surely,
            )
        )  # fmt: skip
    return Prediction(
        **_sums(calls),
        resources=sum(len(store.cell(d, t).rows) for d, t in plan.cells if d in subjects),
        metrics=len(keys), metrics_lower=_metrics_lower(series), statistics_requests=_statistics(series, window),
        **_size(targets),
    )  # fmt: skip


def assumed(
    plan: Plan, targets: Sequence[Target], *, metrics: bool = True, more: Sequence[PredictedCall] = (),
    sure: Plan | None = None, per_account: bool = False,
) -> Prediction:  # fmt: skip
    """Return the prediction when nothing may be asked: each call once, and a stated number of resources.

    ``more`` are calls outside the plan (pruning), ``sure`` is the plan of a run that prunes as much as it can.
    """
    counts: dict[tuple[str, str], int] = {}
    billable: dict[Inventory, int] = {}
    for declaration, _ in plan.cells:
        # How many resources a per= call follows is not known: possibly none.
        if is_billable(declaration):
            each = ASSUMED_RESOURCES if declaration.per else 1
            billable[declaration] = billable.get(declaration, 0) + each * pages_at_most(declaration)
        else:
            name = declaration.service, declaration.operation
            counts[name] = counts.get(name, 0) + (0 if declaration.per else 1)
    # A region may turn out to be none of the account's.
    least = Counter(
        declaration
        for declaration, _ in (sure or plan).cells
        if not declaration.per and declaration.level != "region"
    )
    calls: list[PredictedCall] = list(more)
    calls += [PredictedCall(*name, number, bound="least") for name, number in counts.items()]
    for declaration, pages in billable.items():
        price = operation(declaration.service, declaration.operation).request_cost
        calls.append(
            PredictedCall(
                declaration.service, declaration.operation, pages, pages, price * pages, "most",
                price * least[declaration], declaration.name,
            )
        )  # fmt: skip
    asked = sum(len(metric.statistics) for metric, _, _ in plan.series) if metrics else 0
    if asked:
        upper = METRIC_PRICE * asked * ASSUMED_RESOURCES
        sent = len({target for _, _, target in plan.series})
        calls.append(
            PredictedCall("cloudwatch", "get_metric_data", sent, asked * ASSUMED_RESOURCES, upper, "most")
        )
    return Prediction(**_sums(calls), per_account=per_account, **_size(targets))


def _sums(calls: Sequence[PredictedCall]) -> dict[str, Any]:
    return {
        "calls": tuple(sorted(calls, key=_name)),
        "lower": sum((call.least for call in calls), Decimal(0)),
        "upper": sum((call.cost for call in calls), Decimal(0)),
        "exact": all(call.bound == "exact" for call in calls if call.cost),
    }


def _name(call: PredictedCall) -> tuple[str, str, str]:
    return call.service, call.operation, call.purpose


def _size(targets: Sequence[Target]) -> dict[str, Any]:
    return {
        "accounts": len({target.account_id for target in targets}),
        "regions": len({target.region for target in targets if target.region != GLOBAL}),
    }


def _requests_to_come(plan: Plan, store: Store, chooser: Chooser) -> dict[Inventory, int | None]:
    """Return how many requests are billable or wait for what is; None where not even their parents are known."""
    found: dict[Inventory, int | None] = {}
    for declaration, target in plan.cells:
        if not (is_billable(declaration) or declaration in plan.late):
            continue
        before = found.setdefault(declaration, 0)
        sent: int | None = 1
        if declaration.per:
            parent = plan.needs[declaration, target][0]
            known = not (is_billable(parent[0]) or parent[0] in plan.late)
            sent = _asked(declaration, target, store.cell(*parent).rows, chooser) if known else None
        found[declaration] = None if sent is None or before is None else before + sent
    return found


def _asked(declaration: Inventory, target: Target, parents: Sequence[Any], chooser: Chooser) -> int:
    try:
        return len(requests_for(declaration, target, parents, chooser))
    except Exception:  # noqa: BLE001 - where= is a fixture's code: the collector tells of it, and asks nothing
        return 0


def _metrics_lower(series: Mapping[Target, Sequence[SeriesKey]]) -> int:
    lower = 0
    for found in series.values():
        statistics: dict[object, int] = {}
        for namespace, name, dimensions, _, period in found:
            identity = (namespace, name, dimensions, period)
            statistics[identity] = statistics.get(identity, 0) + 1
        lower += sum(ceil(number / STATISTICS_PER_METRIC) for number in statistics.values())
    return lower


def _statistics(series: Mapping[Target, Sequence[SeriesKey]], window: tuple[datetime, datetime]) -> int:
    seconds = (window[1] - window[0]).total_seconds()
    requests = 0
    for found in series.values():
        metrics = {(namespace, name, dimensions, period) for namespace, name, dimensions, _, period in found}
        requests += sum(ceil(seconds / period / STATISTICS_POINTS) for _, _, _, period in metrics)
    return requests
