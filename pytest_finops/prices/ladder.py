"""Tiers: the unit price falls (or rises) with the quantity, and a saving is worth the last units."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Unit prices by quantity a month: ``steps`` are (from, unit price), ascending, the first from 0.

    A first step at price 0 is an always-free allowance of the account.
    """

    steps: tuple[tuple[Decimal, Decimal], ...]

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.steps]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError("tiers start at 0 and ascend")
        if any(price < 0 for _, price in self.steps):
            raise ValueError("a price is never negative")

    @classmethod
    def flat(cls, price: Decimal) -> Ladder:
        """Return the ladder of a price without tiers."""
        return cls(((ZERO, price),))

    @classmethod
    def parse(cls, text: str) -> Ladder:
        """Read what ``str`` writes: ``0.09 10240:0.085 51200:0.07``; ValueError if it is something else."""
        steps = []
        try:
            for number, part in enumerate(text.split()):
                start, colon, price = part.rpartition(":")
                if bool(colon) != bool(number):
                    raise ValueError(f"{text!r} is not a price")
                steps.append((Decimal(start or "0"), Decimal(price)))
        except InvalidOperation:
            raise ValueError(f"{text!r} is not a price") from None
        if not all(number.is_finite() for step in steps for number in step):
            raise ValueError(f"{text!r} is not a price")
        return cls(tuple(steps))

    def __str__(self) -> str:
        return " ".join(f"{start:f}:{price:f}" if start else f"{price:f}" for start, price in self.steps)

    def normalized(self) -> Ladder:
        """Return the same prices without trailing zeros."""
        return Ladder(tuple((start.normalize(), price.normalize()) for start, price in self.steps))

    @property
    def unit_price(self) -> Decimal:
        """The first price above 0 (0 if there is none): what the first units cost that are not free."""
        return next((price for _, price in self.steps if price), ZERO)

    def parts(self, start: Decimal, end: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Return (quantity, unit price) of the units from ``start`` to ``end``, tier by tier."""
        ends = [*(step[0] for step in self.steps[1:]), None]
        found = []
        for (begin, price), stop in zip(self.steps, ends, strict=True):
            quantity = (end if stop is None else min(end, stop)) - max(start, begin)
            if quantity > 0:
                found.append((quantity, price))
        return found

    def cost(self, quantity: Decimal) -> Decimal:
        """Return what ``quantity`` units a month cost the account."""
        return sum((units * price for units, price in self.parts(ZERO, quantity)), ZERO)
