"""The ledger: every request of a run, what it cost, and how often it was refused."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from ..audit import ApiCalls


@dataclass(slots=True)
class _Entry:
    calls: int = 0
    units: int = 0
    cost: Decimal = Decimal(0)
    throttled: int = 0
    retried: int = 0


class Ledger:
    """Counts answered requests by operation; thread-safe. ``calls`` are answered or refused requests, retries apart."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = defaultdict(_Entry)
        self._lock = threading.Lock()
        #: Told of every entry, so that a resumed run can say what the whole audit cost.
        self.journal: Callable[..., None] | None = None

    def record(
        self,
        service: str,
        operation: str,
        *,
        calls: int = 1,
        units: int = 0,
        cost: Decimal = Decimal(0),
        retried: int = 0,
        throttled: int = 0,
    ) -> None:
        """Record one request (with its retries) of ``service`` and ``operation``; ``calls`` 0: it only repeats another."""
        self.restore(service, operation, calls, units, cost, retried, throttled)
        if self.journal is not None:
            self.journal(
                service=service, operation=operation, calls=calls, units=units, cost=cost, retried=retried,
                throttled=throttled,
            )  # fmt: skip

    def restore(
        self,
        service: str,
        operation: str,
        calls: int,
        units: int,
        cost: Decimal,
        retried: int,
        throttled: int,
    ) -> None:
        """Count requests that were recorded before."""
        with self._lock:
            entry = self._entries[service, operation]
            entry.calls += calls
            entry.units += units
            entry.cost += cost
            entry.retried += retried
            entry.throttled += throttled

    @property
    def total_calls(self) -> int:
        """All requests so far, retries not counted."""
        return sum(entry.calls for entry in self._entries.values())

    @property
    def total_cost(self) -> Decimal:
        """USD spent so far."""
        return sum((entry.cost for entry in self._entries.values()), Decimal(0))

    def entries(self) -> tuple[ApiCalls, ...]:
        """The ledger by operation, sorted."""
        return tuple(
            ApiCalls(
                service=service, operation=operation, calls=e.calls, billable_units=e.units, cost=e.cost,
                throttled=e.throttled, retried=e.retried,
            )
            for (service, operation), e in sorted(self._entries.items())
        )  # fmt: skip
