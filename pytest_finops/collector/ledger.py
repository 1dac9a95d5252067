"""The ledger: every request of a run, what it cost, and how often it was refused."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from ..audit import ApiCalls
from .faults import CallFault, Fault


@dataclass(slots=True)
class _Entry:
    calls: int = 0
    units: int = 0
    cost: Decimal = Decimal(0)
    throttled: int = 0
    retried: int = 0


class Ledger:
    """Counts answered requests by operation; thread-safe. ``calls`` are answered or refused requests, retries apart.

    It also keeps what is spent, and held for requests on their way, within ``limit`` USD.
    """

    def __init__(self, limit: Decimal | None = None) -> None:
        self._limit = limit
        self._held = Decimal(0)
        #: USD of requests that were paid before: their answer never came, or not to its end. No prediction holds them.
        self.repeated = Decimal(0)
        self._entries: dict[tuple[str, str], _Entry] = defaultdict(_Entry)
        self._lock = threading.RLock()
        #: Told of every entry, so that a resumed run can say what the whole audit cost.
        self.journal: Callable[..., None] | None = None

    def hold(self, cost: Decimal) -> None:
        """Take ``cost`` out of what may be spent until it is recorded or freed.

        :raises CallFault: CostLimit, where the limit would be passed.
        """
        if not cost:
            return
        with self._lock:
            if self._limit is not None and self._spent() + self._held + cost > self._limit:
                text = f"--finops-max-api-cost {self._limit} USD would be passed"
                raise CallFault(Fault("cost_limit", "CostLimit", text))
            self._held += cost

    def free(self, cost: Decimal) -> None:
        """Give back what was held for a request that was not billed."""
        with self._lock:
            self._held -= cost

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
        repeated: bool = False,
    ) -> None:
        """Record one request (with its retries) of ``service`` and ``operation``; ``calls`` 0: it only repeats another.

        Its ``cost`` is no longer held; ``repeated``: it was paid before.
        """
        with self._lock:
            self._held -= cost
            self.restore(service, operation, calls, units, cost, retried, throttled, repeated)
        if self.journal is not None:
            self.journal(
                service=service, operation=operation, calls=calls, units=units, cost=cost, retried=retried,
                throttled=throttled, repeated=repeated,
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
        repeated: bool = False,
    ) -> None:
        """Count requests that were recorded before."""
        with self._lock:
            self.repeated += cost if repeated else 0
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
        with self._lock:
            return self._spent()

    def _spent(self) -> Decimal:
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
