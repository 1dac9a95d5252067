"""Predictions: the calls of a plan and what they cost, before anything billable is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ceil

from .audit import ApiCalls
from .collector.executor import batches, pages_at_most, requests_for
from .collector.ledger import METRIC_PRICE
from .collector.store import SeriesKey, Store
from .declare import Inventory
from .operations import operation
from .plan import Plan, is_billable
from .resources import GLOBAL, Target

#: USD per GetMetricStatistics request (AWS: 0.01 USD per 1,000, the first 1,000,000 a month free).
STATISTICS_PRICE = Decimal("0.00001")
#: One GetMetricStatistics request returns at most this many datapoints, and five statistics.
STATISTICS_POINTS = 1440
#: AWS's price list counts "up to five statistics for the same metric" as one metric; bills have counted each.
STATISTICS_PER_METRIC = 5
#: Resources per inventory and target that an estimate assumes when nothing may be asked.
ASSUMED_RESOURCES = 100


@dataclass(frozen=True, slots=True)
class PredictedCall:
    """The requests of one operation; ``bound`` says whether the number is exact, the least, or the most."""

    service: str
    operation: str
    calls: int
    billable_units: int = 0
    cost: Decimal = Decimal(0)
    bound: str = "exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a run will send and pay, in USD.

    ``lower`` to ``upper`` is the range (equal where ``exact``). ``metrics`` counts each statistic asked for, as
    bills do; ``metrics_lower`` counts up to five statistics of a metric as one, as AWS's price list can be read.
    ``statistics_requests`` is what GetMetricStatistics would need for the same series.
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

    @property
    def total_calls(self) -> int:
        """All requests."""
        return sum(call.calls for call in self.calls)


def measured(
    plan: Plan, store: Store, made: Iterable[ApiCalls], series: Mapping[Target, Sequence[SeriesKey]],
    window: tuple[datetime, datetime], targets: Sequence[Target],
) -> Prediction:  # fmt: skip
    """Return the prediction when the free calls are answered: what they were, and what is still to be sent.

    Exact for CloudWatch; an upper bound for billable inventories, whose pages nobody knows beforehand.
    """
    calls = [
        PredictedCall(c.service, c.operation, c.calls, c.billable_units, c.cost) for c in made if c.calls
    ]
    for declaration, sent in _billable_requests(plan, store).items():
        pages = pages_at_most(declaration)
        facts = operation(declaration.service, declaration.operation)
        calls.append(
            PredictedCall(
                declaration.service, declaration.operation, sent * pages, sent * pages,
                facts.request_cost * sent * pages, "exact" if pages == 1 else "most",
            )
        )  # fmt: skip
    subjects = {subject for check in plan.checks for subject in check.subjects}
    keys = [key for found in series.values() for key in found]
    if keys:
        sent = sum(len(batches(found, *window)) for found in series.values())
        calls.append(
            PredictedCall("cloudwatch", "get_metric_data", sent, len(keys), METRIC_PRICE * len(keys))
        )
    upper = sum((call.cost for call in calls), Decimal(0))
    unsure = [call for call in calls if call.bound != "exact"]
    least = sum((operation(c.service, c.operation).request_cost for c in unsure), Decimal(0))
    lower = upper - sum((call.cost for call in unsure), Decimal(0)) + least
    return Prediction(
        calls=tuple(sorted(calls, key=_name)), lower=lower, upper=upper, exact=not unsure,
        resources=sum(len(store.cell(d, t).rows) for d, t in plan.cells if d in subjects),
        metrics=len(keys), metrics_lower=_metrics_lower(series), statistics_requests=_statistics(series, window),
        **_size(targets),
    )  # fmt: skip


def assumed(plan: Plan, targets: Sequence[Target], *, metrics: bool = True) -> Prediction:
    """Return the prediction when nothing may be asked: each call once, and a stated number of resources."""
    counts: dict[tuple[str, str], int] = {}
    money = Decimal(0)
    calls: list[PredictedCall] = []
    for declaration, _ in plan.cells:
        # How many resources a per= call follows is not known: possibly none.
        name = declaration.service, declaration.operation
        counts[name] = counts.get(name, 0) + (0 if declaration.per else 1)
        if is_billable(declaration):
            each = ASSUMED_RESOURCES if declaration.per else 1
            money += (
                operation(declaration.service, declaration.operation).request_cost
                * each
                * pages_at_most(declaration)
            )
    for (service, method), number in counts.items():
        price = operation(service, method).request_cost * number
        calls.append(PredictedCall(service, method, number, number if price else 0, price, "least"))
    asked = sum(len(metric.statistics) for metric, _, _ in plan.series) if metrics else 0
    if asked:
        upper = METRIC_PRICE * asked * ASSUMED_RESOURCES
        sent = len({target for _, _, target in plan.series})
        calls.append(
            PredictedCall("cloudwatch", "get_metric_data", sent, asked * ASSUMED_RESOURCES, upper, "most")
        )
        money += upper
    return Prediction(
        calls=tuple(sorted(calls, key=_name)),
        lower=Decimal(0),
        upper=money,
        exact=not money,
        **_size(targets),
    )


def _name(call: PredictedCall) -> tuple[str, str]:
    return call.service, call.operation


def _size(targets: Sequence[Target]) -> dict[str, int]:
    return {
        "accounts": len({target.account_id for target in targets}),
        "regions": len({target.region for target in targets if target.region != GLOBAL}),
    }


def _billable_requests(plan: Plan, store: Store) -> dict[Inventory, int]:
    found: dict[Inventory, int] = {}
    by_name = {(declaration.name, target): declaration for declaration, target in plan.cells}
    for declaration, target in plan.cells:
        if not is_billable(declaration):
            continue
        sent = 1
        if declaration.per:
            parent = by_name[declaration.per, target]
            sent = len(requests_for(declaration, store.cell(parent, target).rows))
        found[declaration] = found.get(declaration, 0) + sent
    return found


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
