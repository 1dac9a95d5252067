"""The collector behind microburst: error envelopes and broken connections by another author than our stand-in's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from fault_kit import EVERYTHING, ILL, PROTOCOLS, WELL, cbor_preferred, collect, estate, make_aws, rows

from pytest_finops.collector.aws import Aws
from pytest_finops.testing import ReplayEndpoint

pytest.importorskip("microburst")


class Proxy:
    """microburst on a port of its own, in front of the replay endpoint."""

    def __init__(self, upstream: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        command = [sys.executable, "-m", "microburst", "--upstream", upstream, "--port", self.url.rpartition(":")[2], "--no-resign"]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "COV"))}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                return self.rules()
            except OSError:
                assert self.process.poll() is None, "microburst did not start"
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def rules(self, *rules: dict[str, Any]) -> None:
        """Let these faults happen, and no others."""
        request = urllib.request.Request(
            f"{self.url}/_microburst/rules", json.dumps(rules).encode(), {"Content-Type": "application/json"}, method="POST"
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with ReplayEndpoint(estate(), page_size=2) as endpoint:
        made = Proxy(endpoint.url)
        yield made
        # It has nothing to finish: asked politely it may take long on a loaded machine.
        made.process.kill()
        made.process.wait()


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with cbor_preferred():
        yield make_aws(timeout=30)


#: A rule, and the kinds of fault that it may end as; none where another try must cure it.
RULES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "denied": ({"error": {"code": "AccessDenied", "status": 403}}, {"denied"}),
    "denied in EC2's words": ({"error": {"code": "UnauthorizedOperation", "status": 403}}, {"denied"}),
    "throttled": ({"error": {"code": "ThrottlingException", "status": 400}}, {"throttled"}),
    "throttled twice": ({"error": {"code": "ThrottlingException", "status": 400}, "times": 2}, set()),
    "broken": ({"error": {"code": "InternalFailure", "status": 500}}, {"transient"}),
    "broken twice": ({"error": {"code": "ServiceUnavailable", "status": 503}, "times": 2}, set()),
    "expired": ({"error": {"code": "ExpiredTokenException", "status": 400}}, {"expired"}),
    "skew": ({"error": {"code": "InvalidSignatureException", "status": 403}}, {"unavailable"}),
    "reset": ({"reset": True}, {"transient"}),
    "reset once": ({"reset": True, "times": 1}, set()),
    "truncated": ({"response": {"truncate_frac": 0.5}}, {"foreign", "transient"}),
    "cut off": ({"response": {"abort_frac": 0.5}}, {"foreign", "transient"}),
    "no request id": ({"response": {"strip_headers": ["x-amzn-RequestId", "x-amz-request-id"]}}, {"foreign"}),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_microburst_does_is_a_fault_or_cured(proxy: Proxy, aws: Aws, protocol: str) -> None:
    declaration, _ = PROTOCOLS[protocol]
    for name, (rule, kinds) in RULES.items():
        if name == "no request id" and protocol in ("ec2", "query"):
            continue  # theirs is in the body
        proxy.rules({"service": "*", "headers": {"Authorization": f"AKIA{ILL}TEST"}, **rule})

        cells = collect(aws, proxy.url, declaration)

        ill, well = cells[ILL], cells[WELL]
        assert (well.fault, rows(well)) == (None, EVERYTHING), (name, well)
        assert {ill.fault.kind if ill.fault else None} <= (kinds or {None}), (name, ill.fault)
        if not kinds:
            assert rows(ill) == EVERYTHING, name
