"""The circuit breaker: a region that does not answer must not cost minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from .faults import CallFault, Fault

#: Unanswered requests in a row after which nothing more is sent: to a service in a region, and to a whole region
#: of which nobody ever answered (one service may be out of reach from a private network, the others not).
SERVICE_TRIPS = 2
REGION_TRIPS = 4
#: Seconds after which one request may find out whether somebody answers again.
REST = 30.0


@dataclass(slots=True)
class _Line:
    silent: int = 0
    opened: float = 0.0


class Breaker:
    """Counts requests that nobody answered; thread-safe. Any answer, an error too, closes the circuit again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[Hashable, _Line] = {}
        self._alive: set[str] = set()
        self._lock = threading.Lock()

    def check(self, service: str, region: str) -> None:
        """Refuse a request to what does not answer, at once.

        :raises CallFault: while the circuit is open; after a rest one request goes through.
        """
        with self._lock:
            now = self._clock()
            for key, limit in (((service, region), SERVICE_TRIPS), (region, REGION_TRIPS)):
                line = self._lines.get(key)
                if line is None or line.silent < limit:
                    continue
                if now - line.opened < REST:
                    name = f"{service} in {region}" if isinstance(key, tuple) else region
                    text = f"{name} did not answer {line.silent} times in a row; no more was sent"
                    raise CallFault(Fault("timeout", "NoAnswer", text))
                line.opened = now

    def silent(self, service: str, region: str) -> None:
        """Note a request that nobody answered."""
        with self._lock:
            for key in ((service, region), *(() if region in self._alive else (region,))):
                line = self._lines.setdefault(key, _Line())
                line.silent += 1
                line.opened = self._clock()

    def answered(self, service: str, region: str) -> None:
        """Note an answer."""
        if self._lines:
            with self._lock:
                self._lines.pop((service, region), None)
                self._lines.pop(region, None)
        self._alive.add(region)
