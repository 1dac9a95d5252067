"""CloudWatch answers from series by rule: metric data, statistics, the list of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_finops.testing.estate import Estate, Points, Series, aggregate, floor_hour

MAX_QUERIES = 500
MAX_POINTS = 100_800
MAX_STATISTICS_POINTS = 1_440
KEPT_DAYS = 455


class Refused(ValueError):
    """A request that CloudWatch refuses."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def metric_data(
    estate: Estate, account_id: str, region: str, params: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """The answer to GetMetricData, one page of it."""
    queries = params.get("MetricDataQueries") or []
    if len(queries) > MAX_QUERIES:
        raise Refused(
            "ValidationError",
            f"The collection MetricDataQueries must not have a size greater than {MAX_QUERIES}.",
        )
    ids = [query["Id"] for query in queries]
    if len(set(ids)) != len(ids):
        raise Refused("ValidationError", "The values for parameter id in MetricDataQueries are not unique.")
    start, end = _window(params, "ValidationError")
    newest_first = params.get("ScanBy") != "TimestampAscending"
    first, page = position(params.get("NextToken"))
    room = min(int(params.get("MaxDatapoints") or MAX_POINTS), MAX_POINTS)
    results: list[dict[str, Any]] = []
    seen, token = 0, None
    for query in queries:
        if query.get("ReturnData") is False:
            continue
        label, points = _queried(estate, account_id, region, query, start, end, now)
        if newest_first:
            points.reverse()
        begin, seen = seen, seen + len(points)
        if points and (seen <= first or token is not None):
            continue
        if not points and token is not None:
            continue
        skipped = max(first - begin, 0)
        part = points[skipped : skipped + max(room, 0)]
        room -= len(part)
        status = "Complete"
        if skipped + len(part) < len(points):
            status, token = "PartialData", f"{begin + skipped + len(part)}.{page + 1}"
            if not part:
                continue
        results.append(
            {
                "Id": query["Id"],
                "Label": query.get("Label") or label,
                "Timestamps": [at for at, _ in part],
                "Values": [value for _, value in part],
                "StatusCode": status,
            }
        )
    answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
    if token is not None:
        answer["NextToken"] = token
    return answer


def metric_statistics(
    estate: Estate, account_id: str, region: str, params: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """The answer to GetMetricStatistics."""
    start, end = _window(params, "InvalidParameterValue")
    period = _period(params.get("Period"), "InvalidParameterValue")
    if (end - start).total_seconds() / period > MAX_STATISTICS_POINTS:
        raise Refused(
            "InvalidParameterCombination",
            "You have requested more than 1,440 datapoints, which exceeds the limit. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
        )
    rows: dict[datetime, dict[str, Any]] = {}
    for group in ("Statistics", "ExtendedStatistics"):
        for statistic in params.get(group) or ():
            series = _series(estate, account_id, region, params, statistic)
            for at, value in _points(series, period, statistic, start, end, now):
                unit = series.unit if series is not None else "None"
                row = rows.setdefault(at, {"Timestamp": at, "Unit": unit})
                if group == "Statistics":
                    row[statistic] = value
                else:
                    row.setdefault("ExtendedStatistics", {})[statistic] = value
    # AWS does not sort them; an order by clock face catches whoever relies on one.
    points = sorted(rows.values(), key=lambda row: (row["Timestamp"].hour, row["Timestamp"]))
    return {"Label": params["MetricName"], "Datapoints": points}


def metrics_listed(estate: Estate, account_id: str, region: str, params: Mapping[str, Any]) -> list[Any]:
    """The members of ListMetrics."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    wanted = params.get("Dimensions") or ()
    for series in estate.metrics.values():
        if (series.account_id, series.region) != (account_id, region):
            continue
        if params.get("Namespace") not in (None, series.namespace):
            continue
        if params.get("MetricName") not in (None, series.metric_name):
            continue
        sides = dict(series.dimensions)
        if any(
            side["Name"] not in sides or side.get("Value") not in (None, sides[side["Name"]])
            for side in wanted
        ):
            continue
        found[series.namespace, series.metric_name, series.dimensions] = {
            "Namespace": series.namespace,
            "MetricName": series.metric_name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
        }
    return list(found.values())


def position(token: str | None) -> tuple[int, int]:
    """How many points the pages before held, and the number of the page that the token asks for."""
    if token is None:
        return 0, 1
    offset, _, number = token.partition(".")
    if not (offset.isdigit() and number.isdigit()):
        raise Refused("InvalidNextToken", "The service cannot parse the given pagination token.")
    return int(offset), int(number)


def _window(params: Mapping[str, Any], code: str) -> tuple[datetime, datetime]:
    start, end = params["StartTime"], params["EndTime"]
    if start >= end:
        raise Refused(code, "The parameter StartTime must be less than the parameter EndTime.")
    # UTC proper: botocore's parser leaves a dateutil zone, whose arithmetic costs ten times as much.
    return start.astimezone(UTC).replace(second=0, microsecond=0), end.astimezone(UTC)


def _period(period: Any, code: str) -> int:
    if not isinstance(period, int) or period < 1 or (period % 60 and period not in (1, 5, 10, 30)):
        raise Refused(code, "Period must be 1, 5, 10, 30 or a multiple of 60.")
    return period


def _queried(
    estate: Estate,
    account_id: str,
    region: str,
    query: Mapping[str, Any],
    start: datetime,
    end: datetime,
    now: datetime,
) -> tuple[str, Points]:
    stat = query.get("MetricStat")
    if stat is None:
        raise Refused("ValidationError", f"Error in expression '{query['Id']}': expressions are not served.")
    period = _period(stat.get("Period"), "ValidationError")
    series = _series(estate, account_id, region, stat["Metric"], stat["Stat"])
    return stat["Metric"]["MetricName"], _points(series, period, stat["Stat"], start, end, now)


def _series(
    estate: Estate, account_id: str, region: str, metric: Mapping[str, Any], statistic: str
) -> Series | None:
    sides = tuple(sorted((side["Name"], side["Value"]) for side in metric.get("Dimensions") or ()))
    key = (account_id, region, metric["Namespace"], metric["MetricName"], sides, statistic)
    return estate.metrics.get(key)


def _points(
    series: Series | None, period: int, statistic: str, start: datetime, end: datetime, now: datetime
) -> Points:
    if series is None:
        return []
    if period >= 3600:
        start = floor_hour(start)
    begin = max(start, floor_hour(now) - timedelta(days=KEPT_DAYS))
    if period == 3600 and not isinstance(series.rule, tuple):
        # A rule has one point an hour: nothing to gather.
        return list(series.points(begin, min(end, now)))
    return aggregate(series.points(begin, min(end, now)), start, period, statistic)
