"""Price keys, and the query that finds the one SKU of a key: the rows are in ``table.py``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ..errors import DeclarationError
from .rows import Dimension
from .table import CATALOGUE, EC2_OPERATIONS

__all__ = [
    "CATALOGUE",
    "CATALOGUE_VERSION",
    "EC2_OPERATIONS",
    "HOURS",
    "REGION_PREFIXES",
    "Dimension",
    "PriceKey",
    "Query",
    "dimension",
    "key",
    "nearest",
    "query",
]

#: Hours in a month, as AWS counts them (365 x 24 / 12).
HOURS = Decimal(730)

#: Enters the key of every cached price: raise it when a row's meaning changes.
CATALOGUE_VERSION = 2

#: The region billing codes that prefix usage types; us-east-1 mostly has none, eu-west-1 is plain EU.
REGION_PREFIXES: Mapping[str, str] = {
    "af-south-1": "AFS1",
    "ap-east-1": "APE1",
    "ap-east-2": "APE2",
    "ap-northeast-1": "APN1",
    "ap-northeast-2": "APN2",
    "ap-northeast-3": "APN3",
    "ap-south-1": "APS3",
    "ap-south-2": "APS5",
    "ap-southeast-1": "APS1",
    "ap-southeast-2": "APS2",
    "ap-southeast-3": "APS4",
    "ap-southeast-4": "APS6",
    "ap-southeast-5": "APS7",
    "ap-southeast-6": "APS8",
    "ap-southeast-7": "APS9",
    "ca-central-1": "CAN1",
    "ca-west-1": "CAN2",
    "eu-central-1": "EUC1",
    "eu-central-2": "EUC2",
    "eu-north-1": "EUN1",
    "eu-south-1": "EUS1",
    "eu-south-2": "EUS2",
    "eu-west-1": "EU",
    "eu-west-2": "EUW2",
    "eu-west-3": "EUW3",
    "il-central-1": "ILC1",
    "me-central-1": "MEC1",
    "me-south-1": "MES1",
    "mx-central-1": "MXC1",
    "sa-east-1": "SAE1",
    "us-east-1": "USE1",
    "us-east-2": "USE2",
    "us-gov-east-1": "UGE1",
    "us-gov-west-1": "UGW1",
    "us-west-1": "USW1",
    "us-west-2": "USW2",
}


@dataclass(frozen=True, slots=True, order=True)
class PriceKey:
    """What a price is asked for: normalised, hashable, sortable. Make one with :func:`key`."""

    dimension: str
    region: str
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The attributes as the snapshot writes them (``kind=application``)."""
        return ";".join(f"{name}={value}" for name, value in self.attributes)

    def __str__(self) -> str:
        return f"{self.dimension} in {self.region}" + (f" ({self.text})" if self.attributes else "")


def dimension(name: str) -> Dimension:
    """Return the row of ``name``, or raise DeclarationError."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise DeclarationError(f"no price dimension {name!r}; {nearest(name, CATALOGUE)}") from None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the cure for an unknown name: the closest of ``known``, or where all of them are listed."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean {close[0]}?" if close else "docs/prices.md lists them"


def key(name: str, region: str, attributes: Mapping[str, object]) -> PriceKey:
    """Return the normalised key: defaults filled in, booleans as text; DeclarationError on wrong names."""
    row = dimension(name)
    given = {attribute: _text(name, attribute, value) for attribute, value in attributes.items()}
    unknown = sorted(given.keys() - row.attributes.keys())
    if unknown:
        raise DeclarationError(f"{name} has no attribute {unknown[0]!r}; it takes {sorted(row.attributes)}")
    for (attribute, value), (other, follows) in row.implied.items():
        if given.get(attribute) == value:
            given[other] = follows
    for attribute, declared in row.attributes.items():
        if attribute not in given:
            if declared.default is None:
                raise DeclarationError(f"{name} needs the attribute {attribute!r}")
            given[attribute] = declared.default
    return PriceKey(name, region, tuple(sorted(given.items())))


def _text(name: str, attribute: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise DeclarationError(f"{name}: {attribute} must be text, a whole number or a boolean, not {value!r}")


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of GetProducts, and how the one SKU is told from its neighbours."""

    service: str
    filters: tuple[tuple[str, str], ...]
    absent: tuple[str, ...]
    contains: str
    usage_type: str

    def fits(self, usage_type: str) -> bool:
        """Whether a SKU's usage type is the asked one: anchored at both ends, whatever its region's prefix."""
        return re.fullmatch(self.usage_type, usage_type) is not None


def query(wanted: PriceKey) -> Query | str:
    """Return the query of a key, or the reason why its price cannot be looked up."""
    row = dimension(wanted.dimension)
    prefix = REGION_PREFIXES.get(wanted.region)
    if prefix is None:
        return f"no usage-type prefix is known for {wanted.region}"
    words: dict[str, str] = {}
    for name, value in wanted.attributes:
        told = row.attributes[name].words(name, value)
        if told is None:
            return f"{wanted.dimension} knows no {name} {value!r}"
        if any(words.get(word, meaning) != meaning for word, meaning in told.items()):
            return f"{wanted.text.replace(';', ' and ')} do not go together"
        words.update(told)
    filters = {row.region_field: wanted.region, "productFamily": row.family.format_map(words)}
    absent = []
    for name, template in row.filters.items():
        value = template.format_map(words)
        if value:
            filters[name] = value
        else:
            absent.append(name)
    if not filters["productFamily"]:
        del filters["productFamily"]
    escaped = {name: re.escape(value) for name, value in words.items()}
    suffix = row.suffix.format_map(escaped) if row.pattern else re.escape(row.suffix.format_map(words))
    return Query(
        row.service,
        tuple(sorted(filters.items())),
        tuple(sorted(absent)),
        row.contains.format_map(words),
        # KMS writes the region's name where all others write its billing code.
        f"({prefix}-|{wanted.region}-)?({suffix})",
    )
