"""AWS cost checks as pytest tests: everything that a check, a fixture or a hook needs is named here.

PYTEST_DONT_REWRITE: the console script imports this before pytest, which would warn that it comes too late.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audit import Audit
    from .billed import ResourceBill
    from .commitments import BilledUsage, Commitment, PlanRate
    from .declare import Page, inventory, metric
    from .errors import FindingsFound, FinopsError
    from .findings import Component, Finding, PriceLine
    from .marks import rule
    from .metrics import Series
    from .prices.bill import billed_as
    from .prices.catalogue import PriceKey
    from .prices.minimums import minimum
    from .resources import Environment, Resource, Target, days_between, managed_by, tags_of
    from .rules import Condition, Rule

__version__ = "0.1.0"

#: Where each public name lives; imported on first use, so that unrelated pytest runs stay cheap.
_HOMES = {
    "Audit": "audit", "BilledUsage": "commitments", "Commitment": "commitments", "Component": "findings", "Condition": "rules", "Environment": "resources",
    "Finding": "findings", "FindingsFound": "errors", "FinopsError": "errors", "Page": "declare",
    "PlanRate": "commitments", "PriceKey": "prices.catalogue", "PriceLine": "findings", "Resource": "resources", "ResourceBill": "billed", "Rule": "rules",
    "Series": "metrics", "Target": "resources", "days_between": "resources", "inventory": "declare",
    "managed_by": "resources", "metric": "declare", "rule": "marks", "tags_of": "resources", "billed_as": "prices.bill", "minimum": "prices.minimums",
}  # fmt: skip

__all__ = [
    "Audit", "BilledUsage", "Commitment", "Component", "Condition", "Environment", "Finding", "FindingsFound", "FinopsError", "Page", "PlanRate", "PriceKey",
    "PriceLine", "Resource", "ResourceBill", "Rule", "Series", "Target", "__version__", "billed_as", "days_between", "inventory", "managed_by",
    "metric", "minimum", "rule", "tags_of",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pytest_finops' has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    # No module may share a public name: importing it would bind the module here.
    globals()[name] = value
    return value
