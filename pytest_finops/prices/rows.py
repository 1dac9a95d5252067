"""What a row of the catalogue says: which SKU a price dimension is, in which unit, within which bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

#: What callers say -> template words that follow from it.
Words = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """An attribute of a dimension; ``values`` maps what callers say to template words (None: anything).

    ``patterns`` gives words to values that are not listed: the first regular expression that matches decides.
    """

    default: str | None = None
    values: Words | None = None
    patterns: tuple[tuple[str, Mapping[str, str]], ...] = ()

    def words(self, name: str, value: str) -> Mapping[str, str] | None:
        """Return the template words of ``value``, or None if the attribute ``name`` cannot have it."""
        if self.values is not None:
            return self.values.get(value)
        more = next((words for pattern, words in self.patterns if re.search(pattern, value)), {})
        return {name: value, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One row: the SKU by filters and anchored usage-type suffix, its units and what a plausible price is.

    ``filters`` and ``suffix`` are templates over the words of the attributes' values; a filter whose template
    comes out empty must be absent from the SKU. With ``pattern`` the suffix is a regular expression.
    ``contains`` narrows a query where no product family is confirmed; the anchored suffix decides. ``batch``
    names the filter to leave out when many keys differ in nothing else. ``implied`` gives attributes that
    follow from another one: (attribute, value) -> (attribute, value). ``divisor`` turns AWS's unit into ours;
    ``free`` allows a price of zero; ``committable``
    marks what reservations or Savings Plans are sold for; ``assumed`` says what nobody has read in a price list yet: at worst such a
    row finds no SKU, and so no price.
    """

    service: str
    suffix: str
    units: tuple[str, ...]
    unit: str
    low: Decimal
    high: Decimal
    family: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    implied: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    pattern: bool = False
    contains: str = ""
    batch: str = ""
    region_field: str = "regionCode"
    divisor: Decimal = Decimal(1)
    free: bool = False
    committable: bool = False
    assumed: str = ""


def named(name: str, *values: str) -> Words:
    """Return values that are template words themselves."""
    return {value: {name: value} for value in values}
