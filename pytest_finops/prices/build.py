"""Build the bundled price snapshot: ``python -m pytest_finops.prices.build [--check | --ask REGION,...]``."""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from ..errors import ConfigError
from . import catalogue
from .catalogue import PriceKey
from .invariants import violations
from .ladder import Ladder
from .resolver import PriceBook
from .snapshot import Snapshot, bundled, digest, parse

ROOT = Path(__file__).resolve().parents[2]
FACTS = ROOT / "docs" / "data" / "prices"
OUTPUT = Path(__file__).resolve().parent / "data" / "prices.json.gz"

#: What --ask writes beside the facts.
ASKED = "getproducts.csv.gz"

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


def asked(facts: Path) -> Iterator[Fact]:
    """What --ask wrote: prices of GetProducts, which win over every other fact."""
    if (facts / ASKED).is_file():
        for row in read(facts / ASKED):
            attributes = dict(pair.split("=", 1) for pair in row["attributes"].split(";") if pair)
            wanted = catalogue.key(row["dimension"], row["region"], attributes)
            yield wanted, Ladder.parse(row["prices"]), "getproducts", row["as_of"]


def askable(known: Iterable[PriceKey], regions: Sequence[str]) -> list[PriceKey]:
    """Return the keys that --ask asks for: known ones, and all of rows whose attributes can be listed."""
    found = {wanted for wanted in known if wanted.region in regions}
    for name, row in catalogue.CATALOGUE.items():
        choices = [list(declared.values) if declared.values else [] for declared in row.attributes.values()]
        for values in itertools.product(*choices):
            given = dict(zip(row.attributes, values, strict=True))
            found.update(catalogue.key(name, region, given) for region in regions)
    return sorted(found)


def ask(regions: Sequence[str], book: PriceBook, facts: Path = FACTS) -> int:
    """Write what GetProducts says of every askable price; return how many prices there were."""
    wanted = askable((known for known, _ in bundled().items()), regions)
    book.prefetch(wanted)
    found = book.live()
    kept = {} if not (facts / ASKED).is_file() else {row[0]: row for row in asked(facts)}
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["dimension", "region", "attributes", "prices", "sku", "as_of"])
    for price_key in sorted({*kept, *found}):
        if price_key in found:
            quote = found[price_key]
            row = [str(quote.prices.normalized()), quote.sku, quote.as_of]
        else:
            row = [str(kept[price_key][1]), "", kept[price_key][3]]
        writer.writerow([price_key.dimension, price_key.region, price_key.text, *row])
    (facts / ASKED).write_bytes(_packed(lines.getvalue()))
    return len(found)


def difference(old: Snapshot, new: Snapshot) -> list[str]:
    """Return what a rebuild changes, one line a price, jumps of more than a quarter marked."""
    before = {wanted: price.prices for wanted, price in old.items()}
    after = {wanted: price.prices for wanted, price in new.items()}
    said = [f"- {wanted}: {before[wanted]}" for wanted in sorted(before.keys() - after.keys())]
    said += [f"+ {wanted}: {after[wanted]}" for wanted in sorted(after.keys() - before.keys())]
    for wanted in sorted(before.keys() & after.keys()):
        was, now = before[wanted], after[wanted]
        if was != now:
            jump = abs(now.unit_price / was.unit_price - 1) > Decimal("0.25")
            said.append(
                f"~ {wanted}: {was} -> {now}" + (" (more than 25 %: look at the SKU)" if jump else "")
            )
    return said


def _packed(text: str) -> bytes:
    packed = bytearray(gzip.compress(text.encode(), 9, mtime=0))
    packed[9] = 255  # the operating system byte differs between Python versions
    return bytes(packed)


def build(facts: Path = FACTS) -> bytes:
    """Return the snapshot's bytes; the same facts give the same bytes.

    :raises ConfigError: when facts contradict each other or what must hold between prices.
    """
    prices: dict[PriceKey, tuple[Ladder, str, str]] = {}
    for part in (ec2, rds, nodes, scalars):
        for wanted, price, source, as_of in part(facts):
            if wanted.region not in catalogue.REGION_PREFIXES:
                continue
            if wanted in prices:
                raise ConfigError(f"two prices for {wanted}")
            if isinstance(reason := catalogue.query(wanted), str):
                raise ConfigError(f"{wanted}: {reason}")
            prices[wanted] = (price, source, as_of)
    for wanted, price, source, as_of in asked(facts):
        prices[wanted] = (price, source, as_of)
    if wrong := list(violations({wanted: price for wanted, (price, _, _) in prices.items()})):
        raise ConfigError("\n".join(wrong))
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
    return _packed(json.dumps(document, separators=(",", ":")))


def main(arguments: list[str] | None = None) -> int:
    """Write the snapshot, or with --check say whether the one in the tree is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, default=FACTS, help="the directory of the price facts")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the snapshot to write")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if the snapshot is not up to date"
    )
    parser.add_argument(
        "--ask",
        metavar="REGION,...",
        help="first ask GetProducts with the credentials of the environment, for these regions",
    )
    options = parser.parse_args(arguments)
    if options.ask:
        book = PriceBook(
            "live", client_factory=_client, today=datetime.now(UTC).date(), cache_dir=options.facts
        )
        print(f"{ask(options.ask.split(','), book, options.facts)} prices of GetProducts")
        for text in book.warnings():
            print(text)
    data = build(options.facts)
    if options.check:
        same: bool = options.output.is_file() and gzip.decompress(
            options.output.read_bytes()
        ) == gzip.decompress(data)
        print("the snapshot is up to date" if same else "the snapshot is not what the facts give")
        return 0 if same else 1
    if options.output.is_file():
        for line in difference(parse(options.output.read_bytes()), parse(data)):
            print(line)
    options.output.write_bytes(data)
    print(f"{options.output.name}: {len(data)} bytes")
    return 0


def _client(region: str) -> object:
    import boto3

    return boto3.client("pricing", region_name=region)


if __name__ == "__main__":
    sys.exit(main())
