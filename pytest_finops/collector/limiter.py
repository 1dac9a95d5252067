"""Politeness: token buckets per account, region and throttled bucket of the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable


class Bucket:
    """A token bucket: ``rate`` tokens a second, at most ``burst`` at once; slower while throttled."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(1.0, burst)
        self._tokens = self._burst
        self._clock = clock
        self._last = clock()
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take one token; return the seconds to wait before it may be used."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._last) * self._rate)
            self._last = now
            self._tokens -= 1
            return 0.0 if self._tokens >= 0 else -self._tokens / self._rate

    def slow_down(self) -> None:
        """Halve the rate and empty the bucket: AWS said that it was too much."""
        with self._lock:
            self._rate = max(self._rate / 2, 0.5)
            self._tokens = min(self._tokens, 0.0)


class Limiter:
    """One bucket per key, made on first use at ``factor`` of the published rate."""

    def __init__(self, factor: float, stop: threading.Event) -> None:
        self._factor = factor
        self._stop = stop
        self._buckets: dict[Hashable, Bucket] = {}
        self._lock = threading.Lock()

    def bucket(self, key: Hashable, rate: float, burst: float) -> Bucket:
        """Return the bucket of ``key``."""
        with self._lock:
            found = self._buckets.get(key)
            if found is None:
                found = self._buckets[key] = Bucket(rate * self._factor, burst * self._factor)
            return found

    def wait(self, bucket: Bucket) -> None:
        """Block until a request may be sent, or the run is stopped."""
        delay = bucket.reserve()
        if delay:
            self._stop.wait(delay)
