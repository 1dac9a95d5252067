"""The bundled price snapshot: public list prices by dimension and region, each with source and date."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from ..errors import AuditError
from .catalogue import PriceKey
from .ladder import Ladder


@dataclass(frozen=True, slots=True)
class SnapshotPrice:
    """One price of the snapshot, with the id of its source and the date of the price."""

    prices: Ladder
    source: str
    as_of: str

    @property
    def unit_price(self) -> Decimal:
        """The price of the first units that are not free."""
        return self.prices.unit_price


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The bundled prices. ``header``: built_at, rows, sha256, sources (id -> origin, licence)."""

    header: Mapping[str, Any]
    _origins: tuple[tuple[str, str], ...]
    _rows: Mapping[str, Mapping[str, Mapping[str, tuple[str, int]]]]

    def get(self, wanted: PriceKey) -> SnapshotPrice | None:
        """Return the price of a key, or None."""
        row = self._rows.get(wanted.dimension, {}).get(wanted.region, {}).get(wanted.text)
        return None if row is None else self._price(row)

    def items(self) -> Iterator[tuple[PriceKey, SnapshotPrice]]:
        """Yield every key and its price."""
        for dimension, regions in self._rows.items():
            for region, prices in regions.items():
                for text, row in prices.items():
                    pairs = (pair.partition("=") for pair in text.split(";") if pair)
                    attributes = tuple((name, value) for name, _, value in pairs)
                    yield PriceKey(dimension, region, attributes), self._price(row)

    def _price(self, row: tuple[str, int]) -> SnapshotPrice:
        source, as_of = self._origins[row[1]]
        return SnapshotPrice(Ladder.parse(row[0]), source, as_of)


def digest(origins: object, rows: object) -> str:
    """Return the SHA-256 of the content, by which the header vouches for it."""
    return hashlib.sha256(
        json.dumps([origins, rows], separators=(",", ":"), sort_keys=True).encode()
    ).hexdigest()


def parse(data: bytes) -> Snapshot:
    """Read a snapshot from its compressed bytes; AuditError if it is damaged."""
    try:
        document = json.loads(gzip.decompress(data))
        header, origins, rows = document["header"], document["origins"], document["rows"]
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise AuditError(f"the price snapshot cannot be read: {error}") from error
    return Snapshot(header, tuple((source, as_of) for source, as_of in origins), rows)


@cache
def bundled() -> Snapshot:
    """Return the snapshot of this version, read once."""
    return parse((resources.files(__package__) / "data" / "prices.json.gz").read_bytes())
