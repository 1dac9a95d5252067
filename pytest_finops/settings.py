"""What one run was asked to do: the options after all layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from .options import ReportRequest, Shard

Prices = Literal["live", "cache", "offline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one run was asked to do, after all layers.

    ``origins`` says for each field whence it comes: ``command line``, ``environment``, ``FILE:LINE`` or
    ``default``. ``config_path`` is the project file that was read; ``accounts_are_targets`` is True when the
    command line named the file that lists ``account_entries``. Raw entries carry their line as ``__line__``.
    ``prices`` None: live with fallback, or what the kind of target implies.
    """

    profile: tuple[str, ...] = ()
    role: tuple[str, ...] = ()
    org: str | None = None
    external_id: str | None = None
    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    demo: bool = False
    config_file: Path | None = None
    category: tuple[str, ...] = ()
    compliance: tuple[str, ...] = ()
    skip_metrics: bool = False
    cost_data: bool = False
    estimate_cost: bool = False
    dry_run: bool = False
    max_api_cost: Decimal = Decimal("0.50")
    prune: Literal["spend"] | None = None
    rate: Decimal = Decimal("0.5")
    max_in_flight: int = 16
    group: Literal["region", "account", "all"] | None = None
    shard: Shard | None = None
    save_inventory: Path | None = None
    inventory: Path | None = None
    resume: bool = False
    prices: Prices | None = None
    offline: bool = False
    report: tuple[ReportRequest, ...] = ()
    min_savings: Decimal = Decimal("1.00")
    fail_severity: Literal["low", "medium", "high", "critical"] | None = None
    baseline: Path | None = None
    update_baseline: bool = False
    max_waste: Decimal | None = None
    max_savings: Decimal | None = None
    max_unpriced: int | None = None
    strict: bool = False
    now: datetime | None = None

    account_entries: tuple[Mapping[str, Any], ...] = ()
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exemptions: tuple[Mapping[str, Any], ...] = ()
    expected_blind_spots: tuple[Mapping[str, Any], ...] = ()
    environments: Mapping[str, Any] = field(default_factory=dict)
    owners: Mapping[str, Any] = field(default_factory=dict)
    price_settings: Mapping[str, Any] = field(default_factory=dict)

    config_path: Path | None = None
    accounts_are_targets: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)
