"""The audit: one frozen object that every report, gate and command reads (interface, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from .findings import Finding, Note, NotEvaluated

SCHEMA_VERSION = "1"
Outcome = Literal["passed", "failed", "xfailed", "skipped", "error", "not_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One audited account."""

    account_id: str
    name: str
    organizational_unit: str | None = None
    partition: str = "aws"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTally:
    """How many targets of a rule ended how."""

    rule_id: str
    expected: int = 0
    passed: int = 0
    failed: int = 0
    xfailed: int = 0
    skipped: int = 0
    error: int = 0
    not_run: int = 0
    evaluated: int = 0
    findings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """How one rule ended on one target."""

    rule_id: str
    account_id: str
    region: str
    outcome: Outcome
    reason: str = ""
    evaluated: int = 0
    findings: int = 0
    not_evaluated: tuple[NotEvaluated, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindSpot:
    """A call that did not answer, and the rules that could not look because of it."""

    account_id: str
    region: str
    service: str
    operation: str
    code: str
    message: str
    rules: tuple[str, ...] = ()
    expected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A finding that an exemption accepts."""

    finding_id: str
    reason: str
    owner: str
    expires: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """An entry of ``finops.yaml`` that accepts or expects something, and whether it still does.

    ``checks`` counts the rows that an exemption reaches, ``unseen`` those of them that could not look, ``matched``
    what it covered; ``known`` is False where its rule does not exist.
    """

    kind: Literal["exemption", "expected_blind_spot"]
    entry: str
    source: str
    expires: str
    expired: bool = False
    known: bool = True
    checks: int = 0
    unseen: int = 0
    matched: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCalls:
    """Requests of one operation in this run; ``cost`` in USD."""

    service: str
    operation: str
    calls: int = 0
    billable_units: int = 0
    cost: Decimal = Decimal(0)
    throttled: int = 0
    retried: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiUsage:
    """What the run was predicted to cost and what it did (USD).

    ``repeated_cost`` is the part of ``actual_cost`` that was paid for asking again what was not answered to its end:
    no prediction holds it.
    """

    predicted_lower: Decimal = Decimal(0)
    predicted_upper: Decimal = Decimal(0)
    predicted_exact: bool = True
    actual_cost: Decimal = Decimal(0)
    repeated_cost: Decimal = Decimal(0)
    calls: tuple[ApiCalls, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceUsage:
    """How many distinct prices came from where; ``used`` names them in a shard, for merging."""

    live: int = 0
    cached: int = 0
    snapshot: int = 0
    overridden: int = 0
    unknown: int = 0
    oldest_as_of: str | None = None
    used: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The judgement of the gate: limits asked for, what was counted (USD), whether it holds and why not."""

    limits: Mapping[str, Any] = field(default_factory=dict)
    counted: Decimal = Decimal(0)
    holds: bool = True
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Monthly sums in USD of figures already rounded to the cent; ``net`` None where nothing was reconciled."""

    waste: Decimal = Decimal(0)
    optimisation: Decimal = Decimal(0)
    gross: Decimal = Decimal(0)
    net: Decimal | None = None
    unpriced_findings: int = 0
    accepted: Decimal = Decimal(0)
    known: Decimal = Decimal(0)

    @property
    def monthly(self) -> Decimal:
        """``total_monthly_savings``: what is counted, once."""
        return self.waste + self.optimisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Everything that a run found, could not see, and cost. ``findings`` are in priority order."""

    tool_version: str
    scan_timestamp: str
    finished_at: str
    selection: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True
    exit_status: int = 0
    accounts: tuple[Account, ...] = ()
    regions: tuple[str, ...] = ()
    totals: Totals = Totals()
    findings: tuple[Finding, ...] = ()
    notes: tuple[Note, ...] = ()
    rules: tuple[RuleTally, ...] = ()
    checks: tuple[CheckRow, ...] = ()
    blind_spots: tuple[BlindSpot, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    api_usage: ApiUsage = ApiUsage()
    prices: PriceUsage = PriceUsage()
    gate: Gate = Gate()
    upkeep: tuple[Upkeep, ...] = ()
    warnings: tuple[str, ...] = ()
