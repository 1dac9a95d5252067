"""GetMetricData answers read at C speed: botocore's parser makes a datetime and ten calls of each datapoint."""

from __future__ import annotations

import json
from typing import Any


def register(session: Any) -> None:
    """Let ``session`` answer GetMetricData with ``Timestamps`` as epoch seconds."""
    session.register("before-parse.cloudwatch.GetMetricData", read)


def read(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Take the series out of a JSON answer before botocore parses it; leave anything else to botocore."""
    body: bytes = response_dict["body"]
    if response_dict["status_code"] != 200 or not body.startswith(b"{"):
        return
    try:
        document = json.loads(body)
        results = [
            {
                **result,
                "Timestamps": list(map(int, result["Timestamps"])),
                "Values": list(map(float, result["Values"])),
            }
            for result in document.pop("MetricDataResults")
        ]
    except (ValueError, KeyError, TypeError):
        return
    customized_response_dict["MetricDataResults"] = results
    response_dict["body"] = json.dumps(document).encode()
