"""What must hold between list prices: a set of prices that breaks it has taken a wrong SKU somewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from .catalogue import CATALOGUE, PriceKey, key
from .ladder import Ladder

#: Multi-AZ keeps a second instance and a second copy of the storage: twice, rounded.
TWICE = (Decimal("1.9"), Decimal("2.1"))
_BYOL = frozenset({"RunInstances:0800", "RunInstances:00g0"})

#: (dimension, attribute, cheaper value, dearer value): the first never costs more than the second.
_ORDERED = (
    ("ec2.instance", "tenancy", "default", "dedicated"),
    ("ebs.storage", "volume_type", "gp3", "gp2"),
    ("elasticache.node", "engine", "valkey", "redis"),
    ("aurora.instance", "storage", "standard", "io-optimized"),
    ("aurora.storage", "storage", "standard", "io-optimized"),
    ("lambda.duration", "architecture", "arm64", "x86_64"),
    ("s3.storage", "storage_class", "standard-ia", "standard"),
    ("s3.storage", "storage_class", "deep-archive", "glacier-ir"),
)


def violations(prices: Mapping[PriceKey, Ladder]) -> Iterator[str]:
    """Yield what cannot be, in words: one line for each price or pair of prices."""
    for wanted, ladder in sorted(prices.items(), key=lambda item: item[0]):
        row, price = CATALOGUE[wanted.dimension], ladder.unit_price
        if not price and not row.free:
            yield f"{wanted} costs nothing"
        elif not row.low <= price <= row.high:
            yield f"{wanted}: {ladder} is outside {row.low} to {row.high}"
        yield from _pairs(wanted, price, prices)


def _pairs(wanted: PriceKey, price: Decimal, prices: Mapping[PriceKey, Ladder]) -> Iterator[str]:
    given = dict(wanted.attributes)

    def other(**changed: str) -> Decimal | None:
        found = prices.get(key(wanted.dimension, wanted.region, {**given, **changed}))
        return None if found is None else found.unit_price

    for dimension, attribute, cheaper, dearer in _ORDERED:
        if wanted.dimension == dimension and given.get(attribute) == dearer:
            less = other(**{attribute: cheaper})
            if less is not None and less > price:
                yield f"{wanted} costs {price:f}, less than with {attribute} {cheaper} ({less:f})"
    if wanted.dimension == "ec2.instance" and given["operation"] != "RunInstances":
        linux = other(operation="RunInstances")
        if linux is not None and (price < linux or (given["operation"] in _BYOL and price != linux)):
            yield f"{wanted} costs {price:f}, beside {linux:f} for Linux"
    if given.get("multi_az") == "true" and given.get("license_model", "none") == "none":
        single = other(multi_az="false")
        if single and not TWICE[0] <= price / single <= TWICE[1]:
            yield f"{wanted} costs {price:f}, not twice {single:f}"
