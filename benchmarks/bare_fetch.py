"""The least that the same pages can cost: ``python benchmarks/bare_fetch.py LOG URL THREADS``.

Sends exactly the requests of LOG (one a line, as ``serve.py`` writes it) concurrently, page tokens known beforehand, with
everything that is known to help: one shared loader, clients built once, a fast timestamp parser. No limiter, no
verification, no judgement; answers are parsed and dropped. Prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError


@functools.lru_cache(maxsize=4096)
def timestamp(value: Any) -> datetime:
    """The fastest timestamp parser that still returns datetimes."""
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    return datetime.fromisoformat(value)


def main() -> None:
    """Send the requests; print wall and CPU seconds of the fetch alone."""
    log, url, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    requests = [json.loads(line) for line in Path(log).read_text(encoding="utf-8").splitlines()]
    begun, cpu = time.perf_counter(), time.process_time()
    loader = None
    clients: dict[tuple[str, str, str], Any] = {}
    sessions: dict[str, Any] = {}
    lock = threading.Lock()

    def client(account: str, region: str, service: str) -> Any:
        nonlocal loader
        with lock:
            if account not in sessions:
                core = botocore.session.Session()
                loader = loader or core.get_component("data_loader")
                core.register_component("data_loader", loader)
                core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=timestamp)
                sessions[account] = boto3.Session(f"AKIABENCH{int(account)}", "x", botocore_session=core)
            key = (account, region, service)
            if key not in clients:
                clients[key] = sessions[account].client(
                    service, region_name=region, endpoint_url=url,
                    config=Config(max_pool_connections=threads, retries={"mode": "standard"}),
                )  # fmt: skip
            return clients[key]

    def send(request: list[Any]) -> None:
        account, region, service, operation, params = request
        # An account outside any organization answers so with an error: that is an answer too.
        with contextlib.suppress(ClientError):
            getattr(client(account, region, service), operation)(**params)

    with ThreadPoolExecutor(threads) as pool:
        for done in pool.map(send, requests):
            del done
    wall, spent = time.perf_counter() - begun, time.process_time() - cpu
    print(json.dumps({"threads": threads, "requests": len(requests), "wall": wall, "cpu": spent}))


if __name__ == "__main__":
    main()
