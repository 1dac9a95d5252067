"""Finding out what credentials may ask: the smallest page of each free call, once a target."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..declare import Inventory
from ..operations import operation as operation_facts
from ..resources import Target
from .aws import Answer, Aws, Login
from .executor import Behind, endpoint_region, witness_of
from .faults import Fault
from .store import Points, SeriesKey

#: What every listing accepts as a page size: EC2 wants at least 5, RDS at least 20.
SMALL_PAGE = 20


class Probe:
    """A source that sends one request of each inventory and target, and takes one page of it."""

    def __init__(self, aws: Aws, logins: Mapping[str, Login]) -> None:
        self._aws = aws
        self._logins = logins
        self._lock = threading.Lock()
        #: (inventory name, account, region) of every request that was sent.
        self.tried: set[tuple[str, str, str]] = set()

    def pages(
        self, target: Target, declaration: Inventory, params: Mapping[str, Any], after: Behind = None
    ) -> Iterator[tuple[Answer, bool]]:
        """Yield the first page of the first request."""
        key = (declaration.name, target.account_id, target.region)
        with self._lock:
            if key in self.tried:
                return
            self.tried.add(key)
        facts = operation_facts(declaration.service, declaration.operation)
        pages = self._aws.pages(
            self._logins[target.account_id], target.account_id, endpoint_region(target, facts.endpoint_regions),
            declaration.service, declaration.operation, params, tokens=declaration.tokens,
            witness=witness_of(declaration), page_size=SMALL_PAGE,
        )  # fmt: skip
        for answer, _ in pages:
            yield answer, True
            return

    def metrics(
        self,
        target: Target,
        keys: Sequence[SeriesKey],
        start: datetime,
        end: datetime,
        *,
        again: bool = False,
    ) -> dict[SeriesKey, Points]:
        """Answer nothing: series cost money."""
        return {key: Points(fault=Fault("missing", "NotTried", "billable")) for key in keys}
