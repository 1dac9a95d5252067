"""Money: sums of price lines, and what to say when a price is missing."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from pytest_finops import PriceLine


def total(lines: Iterable[PriceLine]) -> Decimal | None:
    """Return the monthly sum of ``lines``, or None if one of them has no price."""
    amounts = [line.amount for line in lines]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def saving(current: Iterable[PriceLine], target: Iterable[PriceLine]) -> Decimal | None:
    """Return what the target side saves a month (negative: costs more), or None if a price is missing."""
    now, then = total(current), total(target)
    return None if now is None or then is None else now - then


def missing(lines: Iterable[PriceLine]) -> str:
    """Return why no saving is known, naming the first line without a price."""
    for line in lines:
        if line.amount is None:
            told = [line.which, "" if line.note in line.which else line.note]
            more = "; ".join(part for part in told if part)
            return f"no price for {line.dimension} in {line.region}" + (f" ({more})" if more else "")
    return ""
