"""Rows: how a rule ended on a target, and how rows travel from a worker as JSON text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from .audit import Accepted, Outcome
from .findings import Finding, Note, NotEvaluated


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How one rule ended on one target, with everything that it said."""

    rule_id: str
    account_id: str
    region: str
    outcome: Outcome = "not_run"
    reason: str = ""
    evaluated: int = 0
    not_evaluated: tuple[NotEvaluated, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    #: Places in ``exemptions`` of those that cover something here, small findings included.
    exemptions: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What a row is known by."""
        return (self.rule_id, self.account_id, self.region)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one item sends home: its rows, and the prices that its lines used."""

    rows: tuple[Row, ...] = ()
    prices: tuple[dict[str, Any], ...] = ()


def dumps(parcel: Parcel) -> str:
    """Return a parcel as text: a Decimal in a report would abort a distributed run (measured)."""
    return msgspec.json.encode(parcel).decode()


def loads(text: str) -> Parcel:
    """Return the parcel of ``text``."""
    return msgspec.json.decode(text, type=Parcel)
