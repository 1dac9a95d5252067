"""Prices: a catalogue of dimensions, a bundled snapshot, live list prices, and a book that resolves them."""

from __future__ import annotations

from .catalogue import CATALOGUE, EC2_OPERATIONS, HOURS, REGION_PREFIXES, PriceKey, key
from .resolver import Mode, Price, PriceBook, PriceUsage
from .snapshot import Snapshot, bundled

__all__ = [
    "CATALOGUE",
    "EC2_OPERATIONS",
    "HOURS",
    "REGION_PREFIXES",
    "Mode",
    "Price",
    "PriceBook",
    "PriceKey",
    "PriceUsage",
    "Snapshot",
    "bundled",
    "key",
]
