"""Series as the collector keeps them, and answers of CloudWatch that it reads itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_finops.collector import metric_answers
from pytest_finops.collector.store import Moment, Points

HOUR = datetime(2026, 11, 1, 12, tzinfo=UTC)
EPOCH = int(HOUR.timestamp())


def read(body: bytes, status: int = 200) -> tuple[dict[str, Any], bytes]:
    response: dict[str, Any] = {"status_code": status, "body": body, "headers": {}}
    made: dict[str, Any] = {}
    metric_answers.read(response_dict=response, customized_response_dict=made, operation_model=None)
    return made, response["body"]


def test_series_are_taken_out_of_a_json_answer() -> None:
    series = {"Id": "q0", "Timestamps": [1.7e9, 1700003600], "Values": [1, "NaN"], "StatusCode": "Complete"}

    made, left = read(json.dumps({"MetricDataResults": [series], "NextToken": "more"}).encode())

    (result,) = made["MetricDataResults"]
    assert result["Timestamps"] == [1700000000, 1700003600]
    assert (result["Values"][0], result["StatusCode"]) == (1.0, "Complete")
    assert json.loads(left) == {"NextToken": "more"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"{", b"{}", b'{"MetricDataResults": null}', b'{"MetricDataResults": [{}]}', b"\xbf\xff",
        b'{"MetricDataResults": [{"Timestamps": ["2026-11-01T12:00:00Z"], "Values": [1]}]}',
    ],
)  # fmt: skip
def test_any_other_answer_is_left_to_botocore(body: bytes) -> None:
    assert read(body) == ({}, body)


def test_an_error_is_left_to_botocore() -> None:
    body = b'{"MetricDataResults": []}'
    assert read(body, 400) == ({}, body)


def test_points_are_ordered_and_cut_to_a_window() -> None:
    points = Points.of([EPOCH + 7200, HOUR, EPOCH + 3600], [3.0, 1.0, 2.0])

    assert list(points.pairs()) == [(HOUR + timedelta(hours=n), n + 1.0) for n in range(3)]
    assert points.between(HOUR, HOUR + timedelta(hours=2)) == (1.0, 2.0)
    assert points.between(HOUR + timedelta(minutes=1), HOUR + timedelta(days=1)) == (2.0, 3.0)
    assert points.between(HOUR - timedelta(days=1), HOUR) == ()


def test_equal_times_are_kept_once() -> None:
    shared: dict[tuple[Moment, ...], Any] = {}
    first, second = (Points.of([EPOCH, EPOCH + 3600], values, shared) for values in ([1.0, 2.0], [3.0, 4.0]))

    assert first.times is second.times
    assert list(second.values) == [3.0, 4.0]
