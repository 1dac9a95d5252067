"""Build the bundled price snapshot: ``python -m pytest_finops.prices.build [--check]``."""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from ..errors import ConfigError
from . import catalogue
from .catalogue import PriceKey
from .ladder import Ladder
from .snapshot import digest

ROOT = Path(__file__).resolve().parents[2]
FACTS = ROOT / "docs" / "data" / "prices"
OUTPUT = Path(__file__).resolve().parent / "data" / "prices.json.gz"

DERIVED_AS_OF = "2024-08-09"
COROOT_AS_OF = "2024-08-09"
LEANER_AS_OF = "2025-04-24"
FLEXERA_AS_OF = "2026-05-20"

#: A fact: key, price, source id, date.
Fact = tuple[PriceKey, Ladder, str, str]


def read(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file, compressed or not."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    yield from csv.DictReader(io.StringIO(text))


def ec2(facts: Path) -> Iterator[Fact]:
    """EC2 Linux: Karpenter's rows where there are any, else the derived ones.

    A metal type costs what the size with the same hardware costs; a metal row that equals no size of its
    family and region (within 0.5 %) is the price of a Dedicated Instance and dropped.
    """
    prices: dict[tuple[str, str], tuple[Decimal, str, str]] = {}
    for row in read(facts / "ec2_linux_derived.csv.gz"):
        place = (row["region"], row["instance_type"])
        prices[place] = (Decimal(row["usd_per_hour"]), "derived", DERIVED_AS_OF)
    for row in read(facts / "ec2_linux_karpenter.csv"):
        place = (row["region"], row["instance_type"])
        prices[place] = (Decimal(row["usd_per_hour"]), "karpenter", row["as_of"])
    sizes: dict[tuple[str, str], list[Decimal]] = {}
    for (region, instance_type), (price, _, _) in prices.items():
        family, _, size = instance_type.partition(".")
        if not size.startswith("metal"):
            sizes.setdefault((region, family), []).append(price)
    for (region, instance_type), (price, source, as_of) in prices.items():
        family, _, size = instance_type.partition(".")
        same = [
            other for other in sizes.get((region, family), []) if abs(price / other - 1) <= Decimal("0.005")
        ]
        if same or not size.startswith("metal"):
            yield (
                catalogue.key("ec2.instance", region, {"instance_type": instance_type}),
                Ladder.flat(price),
                source,
                as_of,
            )


def rds(facts: Path) -> Iterator[Fact]:
    """RDS for MySQL and PostgreSQL; pairs whose Multi-AZ price is not about twice the other are dropped."""
    prices: dict[tuple[str, str, str], dict[str, Decimal]] = {}
    for row in read(facts / "rds_coroot.csv.gz"):
        place = (row["region"], row["engine"], row["instance_class"])
        prices.setdefault(place, {})[row["variant"]] = Decimal(row["usd_per_hour"])
    for (region, engine, instance_class), pair in prices.items():
        single, multi = pair.get("single_az"), pair.get("multi_az")
        if (
            single is not None
            and multi is not None
            and not Decimal("1.9") <= multi / single <= Decimal("2.1")
        ):
            continue
        for variant, price in pair.items():
            attributes = {
                "instance_class": instance_class,
                "engine": engine,
                "multi_az": variant == "multi_az",
            }
            wanted = catalogue.key("rds.instance", region, attributes)
            yield wanted, Ladder.flat(price), "coroot", COROOT_AS_OF


def scalars(facts: Path) -> Iterator[Fact]:
    """The hand table, transfer to the internet, and between Availability Zones where both directions agree."""
    for row in read(facts / "scalars.csv"):
        attributes = dict(pair.split("=", 1) for pair in row["attributes"].split(";") if pair)
        wanted = catalogue.key(row["dimension"], row["region"], attributes)
        yield wanted, Ladder.parse(row["unit_price"]), row["source"], row["as_of"]
    directions: dict[str, set[Decimal]] = {}
    for row in read(facts / "cross_az_coroot.csv"):
        directions.setdefault(row["region"], set()).add(Decimal(row["usd_per_gb"]))
    for region, prices in directions.items():
        if len(prices) == 1:
            wanted = catalogue.key("transfer.cross_az", region, {})
            yield wanted, Ladder.flat(prices.pop()), "coroot", COROOT_AS_OF
    for row in read(facts / "internet_coroot.csv"):
        wanted = catalogue.key("transfer.internet", row["region"], {})
        yield wanted, Ladder.parse(row["usd_per_gb"]), "coroot", COROOT_AS_OF


def hourly(
    facts: Path, file: str, dimension: str, columns: Mapping[str, str], source: str, as_of: str
) -> Iterator[Fact]:
    """The rows of a file with one price an hour: ``columns`` maps attributes of the dimension to its columns."""
    for row in read(facts / file):
        attributes = {attribute: row[column] for attribute, column in columns.items()}
        wanted = catalogue.key(dimension, row["region"], attributes)
        yield wanted, Ladder.flat(Decimal(row["usd_per_hour"])), source, as_of


def nodes(facts: Path) -> Iterator[Fact]:
    """ElastiCache, OpenSearch and SageMaker: one file each, every row a price."""
    engine = {"node_type": "node_type", "engine": "engine"}
    yield from hourly(
        facts, "elasticache_leanercloud.csv.gz", "elasticache.node", engine, "leanercloud", LEANER_AS_OF
    )
    instance = {"instance_type": "instance_type"}
    yield from hourly(
        facts, "opensearch_leanercloud.csv.gz", "opensearch.instance", instance, "leanercloud", LEANER_AS_OF
    )
    yield from hourly(
        facts, "sagemaker_flexera.csv.gz", "sagemaker.endpoint", instance, "flexera", FLEXERA_AS_OF
    )


def build(facts: Path = FACTS) -> bytes:
    """Return the snapshot's bytes; the same facts give the same bytes."""
    prices: dict[PriceKey, tuple[Ladder, str, str]] = {}
    for part in (ec2, rds, nodes, scalars):
        for wanted, price, source, as_of in part(facts):
            row = catalogue.dimension(wanted.dimension)
            if wanted.region not in catalogue.REGION_PREFIXES:
                continue
            if wanted in prices:
                raise ConfigError(f"two prices for {wanted}")
            if isinstance(reason := catalogue.query(wanted), str):
                raise ConfigError(f"{wanted}: {reason}")
            if not row.low <= price.unit_price <= row.high:
                raise ConfigError(f"{wanted}: {price} is outside {row.low} to {row.high}")
            prices[wanted] = (price, source, as_of)
    origins = sorted({(source, as_of) for _, source, as_of in prices.values()})
    numbers = {origin: number for number, origin in enumerate(origins)}
    rows: dict[str, dict[str, dict[str, tuple[str, int]]]] = {}
    for wanted in sorted(prices):
        price, source, as_of = prices[wanted]
        place = rows.setdefault(wanted.dimension, {}).setdefault(wanted.region, {})
        place[wanted.text] = (str(price.normalized()), numbers[source, as_of])
    used = {source for source, _ in origins}
    listed = {row["source"]: row for row in read(facts / "sources.csv")}
    if missing := sorted(used - listed.keys()):
        raise ConfigError(f"sources.csv does not describe {missing[0]}")
    header = {
        "built_at": max(as_of for _, as_of in origins),
        "rows": len(prices),
        "sha256": digest(origins, rows),
        "sources": {
            name: {"origin": listed[name]["origin"], "licence": listed[name]["licence"]}
            for name in sorted(used)
        },
    }
    document = {"header": header, "origins": origins, "rows": rows}
    packed = bytearray(gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 9, mtime=0))
    packed[9] = 255  # the operating system byte differs between Python versions
    return bytes(packed)


def main(arguments: list[str] | None = None) -> int:
    """Write the snapshot, or with --check say whether the one in the tree is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, default=FACTS, help="the directory of the price facts")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the snapshot to write")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if the snapshot is not up to date"
    )
    options = parser.parse_args(arguments)
    data = build(options.facts)
    if options.check:
        same: bool = options.output.is_file() and gzip.decompress(
            options.output.read_bytes()
        ) == gzip.decompress(data)
        print("the snapshot is up to date" if same else "the snapshot is not what the facts give")
        return 0 if same else 1
    options.output.write_bytes(data)
    print(f"{options.output.name}: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
