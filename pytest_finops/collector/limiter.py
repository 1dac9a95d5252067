"""Politeness: token buckets per account, region and throttled bucket of the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

#: Seconds that are not worth doing something else.
SHORT = 0.02

#: Requests that are under way when AWS says "too much" all hear it: seconds in which that counts once.
_ONE_SAYING = 1.0
#: Answers after which a bucket that was slowed to nothing has its full rate again.
_RECOVERY = 40


class Bucket:
    """A token bucket: ``rate`` tokens a second, at most ``burst`` at once; slower while throttled."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._full_rate = rate
        self._rate = rate
        self._burst = max(1.0, burst)
        self._tokens = self._burst
        self._clock = clock
        self._last = clock()
        self._slowed: float | None = None
        self._lock = threading.Lock()

    @property
    def rate(self) -> float:
        """Tokens a second, as of now."""
        return self._rate

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
            now = self._clock()
            if self._slowed is not None and now - self._slowed < _ONE_SAYING:
                return
            self._slowed = now
            self._rate = max(self._rate / 2, min(0.5, self._full_rate))
            self._tokens = min(self._tokens, 0.0)

    def recover(self) -> None:
        """Win back a little of the rate, on every answer."""
        if self._rate < self._full_rate:
            with self._lock:
                self._rate = min(self._full_rate, self._rate + self._full_rate / _RECOVERY)


class NotYet(Exception):
    """A request has its token, but may be sent only in ``delay`` seconds: its thread can do something else meanwhile."""

    def __init__(self, delay: float, bucket: Bucket) -> None:
        super().__init__(delay)
        self.delay = delay
        self.bucket = bucket


class Limiter:
    """One bucket per key, made on first use at ``factor`` of the published rate."""

    def __init__(self, factor: float, stop: threading.Event) -> None:
        self._factor = factor
        self._stop = stop
        self._buckets: dict[Hashable, Bucket] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    def bucket(self, key: Hashable, rate: float, burst: float) -> Bucket:
        """Return the bucket of ``key``."""
        with self._lock:
            found = self._buckets.get(key)
            if found is None:
                found = self._buckets[key] = Bucket(rate * self._factor, burst * self._factor)
            return found

    @contextmanager
    def turn(self, token: Bucket | None) -> Iterator[None]:
        """Let the first request of the block come back later (NotYet) instead of blocking its thread.

        ``token`` is the bucket of which a token was taken for it before.
        """
        self._local.token, self._local.first = token, True
        try:
            yield
        finally:
            self._local.token, self._local.first = None, False

    def wait(self, bucket: Bucket) -> None:
        """Block until a request may be sent, or the run is stopped.

        :raises NotYet: for the first request of a :meth:`turn` that would block for long.
        """
        token, first = getattr(self._local, "token", None), getattr(self._local, "first", False)
        self._local.token, self._local.first = None, False
        if token is bucket:
            return
        delay = bucket.reserve()
        if first and delay > SHORT:
            raise NotYet(delay, bucket)
        if delay:
            self._stop.wait(delay)
