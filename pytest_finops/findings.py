"""Findings: what a check reports, and what crosses process borders as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from .resources import Confidence, Environment

Severity = Literal["low", "medium", "high", "critical"]
Effort = Literal["quick_win", "low", "medium", "high"]
Risk = Literal["low", "medium", "high"]
Kind = Literal["waste", "optimisation"]
Action = Literal["delete", "stop", "schedule", "configure", "rightsize", "upgrade", "storage_class", "commit"]
Phase = Literal["quick_win", "plan", "strategic"]
Status = Literal["new", "known", "accepted"]

#: The order in which claims on the same component are settled (interface, section 5).
WATERFALL: tuple[Action, ...] = (
    "delete", "stop", "schedule", "configure", "rightsize", "upgrade", "storage_class", "commit",
)  # fmt: skip

CENT = Decimal("0.01")

#: ``Finding.metadata`` keys: the resources that must all go for the saving to hold, and why it was withdrawn.
TOGETHER = "together"
WITHDRAWN = "withdrawn"

#: ``Finding.evidence`` key: what was billed for each component that the finding claims, where bills were asked for.
BILLED = "what_was_billed"


def cents(amount: Decimal) -> Decimal:
    """Round half up to the cent (interface, section 4)."""
    return amount.quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """One line of a price calculation: quantity x unit price = amount, in USD a month.

    ``unit_price`` None means that no price is known; then ``amount`` is None too, never zero.
    ``quantity`` is a month's (730 hours for hourly prices). ``source`` is ``live``, ``cache``, ``snapshot`` or
    ``override`` (``unknown`` without a price); ``as_of`` an ISO date; ``component`` the cost component that this
    line is part of (``ebs:vol-1``; empty = the finding's first component). ``attributes`` say which price of the
    dimension it is (``instance_type``, ``m5.large``).
    """

    dimension: str
    region: str
    quantity: Decimal
    unit: str
    unit_price: Decimal | None
    source: str
    sku: str = ""
    as_of: str = ""
    component: str = ""
    note: str = ""
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def amount(self) -> Decimal | None:
        """Unrounded USD a month, or None if no price is known."""
        return None if self.unit_price is None else self.quantity * self.unit_price

    @property
    def which(self) -> str:
        """Which price of the dimension it is, for people: ``instance_type m5.large, operation RunInstances``."""
        return ", ".join(f"{name} {value}" for name, value in self.attributes)


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the bill that a finding claims: ``key`` (``compute:i-1``), its monthly cost and what is saved of it (USD)."""

    key: str
    monthly_cost: Decimal | None
    saved: Decimal | None


def finding_id(rule_id: str, account_id: str, region: str, resource_id: str) -> str:
    """Return the stable identity of a finding: 16 hex digits of SHA-256 (interface, section 4)."""
    text = "\n".join((rule_id, account_id, region, resource_id))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One waste or optimisation on one resource, with both sides priced (USD a month, unrounded Decimal).

    ``estimated_monthly_savings`` None means not priced; ``net_monthly_savings`` None means not reconciled with
    commitments; ``counted_monthly_savings`` is this finding's share of the total after overlaps (set by
    ``overlaps.count``). ``priority`` 0 means not yet ranked.
    """

    id: str
    rule_id: str
    name: str
    category: str
    severity: Severity
    effort: Effort
    restart: bool
    risk: Risk
    confidence: Confidence
    kind: Kind
    action: Action
    resource_id: str
    resource_arn: str
    resource_type: str
    account_id: str
    region: str
    tags: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    team: str | None = None
    environment: Environment = Environment("unknown", "none", "low")
    current_value: str = ""
    threshold: str = ""
    current_monthly_cost: Decimal | None = None
    target_monthly_cost: Decimal | None = None
    estimated_monthly_savings: Decimal | None = None
    net_monthly_savings: Decimal | None = None
    counted_monthly_savings: Decimal = Decimal(0)
    components: tuple[Component, ...] = ()
    alternative_to: tuple[str, ...] = ()
    current_lines: tuple[PriceLine, ...] = ()
    target_lines: tuple[PriceLine, ...] = ()
    recommendation: str = ""
    remediation_effort: str = ""
    rollback: str = ""
    docs_url: str = ""
    aws_doc: str = ""
    priority: int = 0
    phase: Phase = "plan"
    status: Status = "new"
    evidence: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def estimated_annual_savings(self) -> Decimal | None:
        """Twelve times the monthly savings."""
        monthly = self.estimated_monthly_savings
        return None if monthly is None else monthly * 12

    @property
    def sort_key(self) -> tuple[str, str, str, str]:
        """The order in which findings are listed where nothing else is said."""
        return (self.rule_id, self.account_id, self.region, self.resource_id)


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """A resource that a check could not judge, and why; ``fault`` is True when AWS refused or failed (not mere absence)."""

    resource_id: str
    reason: str
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth saying without money and without failing: hygiene, or a finding below the minimum savings."""

    rule_id: str
    account_id: str
    region: str
    resource_id: str
    text: str
    estimated_monthly_savings: Decimal | None = None
