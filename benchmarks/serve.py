"""Serve an estate in a process of its own: ``python benchmarks/serve.py sample --latency 0.05``.

Prints its URL; then reads commands from standard input: ``report`` prints what was asked since the last ``reset`` as
one line of JSON, ``reset`` forgets it. Answers are kept, so that a warmed server spends next to no time on one.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import estates

from pytest_finops.operations import operation as facts_of
from pytest_finops.testing import Estate, ReplayEndpoint
from pytest_finops.testing.replay import LoggedRequest
from pytest_finops.testing.wire import WireResponse, failure


class Recorded(ReplayEndpoint):
    """A replay endpoint that keeps every answer, counts, and can throttle at AWS's published rates."""

    def __init__(self, estate: Estate, *, latency: float, throttle: bool) -> None:
        super().__init__(estate)
        self._wanted = latency
        self._throttle = throttle
        self._answers: dict[tuple[str, ...], tuple[WireResponse, LoggedRequest]] = {}
        self._buckets: dict[tuple[str, ...], tuple[float, float]] = {}
        self._guard = threading.Lock()
        self.throttled = 0
        self._busy = self.most = 0

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> WireResponse | Literal["hang", "reset"]:
        """Answer after the latency, measured from the arrival of the request."""
        begun = time.monotonic()
        with self._guard:
            self._busy += 1
            self.most = max(self.most, self._busy)
        try:
            outcome = self._outcome_of(method, target, headers, body)
            rest = self._wanted - (time.monotonic() - begun)
            if rest > 0:
                time.sleep(rest)
            return outcome
        finally:
            with self._guard:
                self._busy -= 1

    def _outcome_of(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> WireResponse | Literal["hang", "reset"]:
        lower = {name.lower(): value for name, value in headers.items()}
        scope = lower.get("authorization", "").partition(",")[0]
        key = (method, target, lower.get("x-amz-target", ""), scope, body.decode("latin-1"))
        found = self._answers.get(key)
        if found is None:
            outcome = super().answer(method, target, headers, body)
            entry = self._log[-1]
            if isinstance(outcome, WireResponse) and outcome.status == 200:
                self._answers[key] = (outcome, entry)
        else:
            outcome, entry = found
            self._logged(entry)
        if self._throttle and not self._allowed(entry):
            self.throttled += 1
            return _refused(entry.service)
        return outcome

    def _allowed(self, entry: LoggedRequest) -> bool:
        """Take a token of the bucket that AWS publishes for the operation."""
        facts = facts_of(entry.service, entry.operation)
        key = (entry.account_id, entry.region, entry.service, facts.bucket)
        now = time.monotonic()
        with self._guard:
            tokens, last = self._buckets.get(key, (float(facts.burst), now))
            tokens = min(facts.burst, tokens + (now - last) * facts.rate_per_second)
            allowed = tokens >= 1
            self._buckets[key] = (tokens - allowed, now)
        return allowed

    def reset(self) -> None:
        """Forget what was asked."""
        with self._lock:
            self._log.clear()
        self._buckets.clear()
        self.throttled = self.most = 0

    def report(self) -> dict[str, Any]:
        """What was asked since the last reset."""
        log = self.requests
        return {
            "requests": len(log),
            "in_flight": self.most,
            "throttled": self.throttled,
            "operations": Counter(f"{entry.service}.{entry.operation}" for entry in log),
            "buckets": _buckets(log),
        }


def _refused(service: str) -> WireResponse:
    ec2 = service == "ec2"
    protocol = (
        "ec2" if ec2 else "query" if service in ("rds", "elb", "elbv2", "autoscaling", "sts") else "json"
    )
    code = "RequestLimitExceeded" if ec2 else "Throttling"
    return failure(service, protocol, code, "Rate exceeded", 503 if ec2 else 400, "benchmark")


def _buckets(log: list[LoggedRequest]) -> list[list[Any]]:
    """The requests of each throttled bucket of AWS, with its published rate and burst."""
    found: Counter[tuple[str, ...]] = Counter()
    rates: dict[tuple[str, ...], tuple[float, float]] = {}
    for entry in log:
        facts = facts_of(entry.service, entry.operation)
        key = (entry.account_id, entry.region, entry.service, facts.bucket)
        found[key] += 1
        rates[key] = (facts.rate_per_second, float(facts.burst))
    return [[list(key), count, *rates[key]] for key, count in found.items()]


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("estate", choices=("sample", "large", "empty"))
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--throttle", action="store_true")
    given = parser.parse_args()
    estate: Estate = getattr(estates, given.estate)()
    with Recorded(estate, latency=given.latency, throttle=given.throttle) as endpoint:
        print(endpoint.url, flush=True)
        for line in sys.stdin:
            command = line.strip()
            if command == "reset":
                endpoint.reset()
                print("{}", flush=True)
            elif command == "report":
                print(json.dumps(endpoint.report()), flush=True)
            elif command.startswith("log "):
                lines = [
                    json.dumps(
                        [one.account_id, one.region, one.service, one.operation, one.params], default=str
                    )
                    for one in endpoint.requests
                ]
                Path(command[4:]).write_text("\n".join(lines) + "\n", encoding="utf-8")
                print("{}", flush=True)


if __name__ == "__main__":
    main()
