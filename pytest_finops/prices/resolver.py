"""The price book: overrides, live prices, cache and snapshot in order, and no price where none is known."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from ..errors import AuditError, ConfigError, DeclarationError
from ..findings import PriceLine
from . import catalogue, snapshot
from .catalogue import PriceKey
from .ladder import Ladder
from .sources import (
    FRESH_DAYS,
    MOST_PAGES,
    Ambiguous,
    DiskCache,
    Limiter,
    PriceList,
    Quote,
    Unusable,
    age_days,
    directory,
    key_data,
    key_from,
    matches,
    partition,
    select,
)

__all__ = ["Discount", "Mode", "Override", "Price", "PriceBook", "PriceKey", "PriceUsage", "Source"]

log = logging.getLogger(__name__)

Mode = Literal["live", "cache", "offline"]
Source = Literal["live", "cache", "snapshot", "override", "unknown"]

#: From this age on an audit says that the bundled prices are old.
STALE_DAYS = 180
#: What one query fetches: a filter to leave out (or none), and the keys that the answer serves.
_Job = tuple[str, list[PriceKey]]

#: From this many keys that differ in one filter only, all values of that filter are fetched at once.
BATCH = 12
#: Partitions whose list prices are USD and served by the commercial endpoints.
_PRICED = frozenset({"aws", "aws-us-gov"})
_DUMP_VERSION = 2
#: What an override says beside the attributes of its price.
_OF_OVERRIDES = frozenset({"dimension", "region", "unit_price"})


class Located(Protocol):
    """Anything that a price line can be about: it is in a region."""

    @property
    def region(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A resolved price; ``prices`` None means that none is known, and ``reason`` says why."""

    prices: Ladder | None
    unit: str
    source: Source
    sku: str = ""
    as_of: str = ""
    reason: str = ""

    @property
    def unit_price(self) -> Decimal | None:
        """The price of the first units that are not free, or None."""
        return None if self.prices is None else self.prices.unit_price


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceUsage:
    """How many distinct prices the lines used, by source; ``oldest_as_of`` is the oldest price's date."""

    live: int = 0
    cached: int = 0
    snapshot: int = 0
    overridden: int = 0
    unknown: int = 0
    oldest_as_of: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """A price of the user's own: ``region`` ``*`` is every region that no other entry names."""

    dimension: str
    region: str
    attributes: tuple[tuple[str, str], ...]
    unit_price: Decimal

    @property
    def subject(self) -> tuple[object, ...]:
        """What no two entries may say something of."""
        return self.dimension, self.region, self.attributes

    def applies(self, key: PriceKey) -> bool:
        """Whether this is the price of ``key``."""
        return self.region in ("*", key.region) and (self.dimension, self.attributes) == (
            key.dimension,
            key.attributes,
        )


@dataclass(frozen=True, slots=True)
class Discount:
    """A percentage off the list price of a dimension (or a prefix: ``ec2.``) or a service (``AmazonEC2``)."""

    dimension: str
    service: str
    percent: Decimal

    @property
    def subject(self) -> tuple[object, ...]:
        """What no two entries may say something of."""
        return self.dimension, self.service

    def applies(self, key: PriceKey) -> bool:
        """Whether the list price of ``key`` is discounted."""
        if self.service:
            return catalogue.dimension(key.dimension).service == self.service
        return key.dimension == self.dimension or (
            self.dimension.endswith(".") and key.dimension.startswith(self.dimension)
        )


def overrides_from(items: object) -> tuple[Override, ...]:
    """Read ``prices.overrides`` of finops.yaml: dimension, unit_price, optional region and attributes."""
    return tuple(
        override_from(item, f"prices.overrides[{number}]")
        for number, item in enumerate(_list(items, "overrides"))
    )


def discounts_from(items: object) -> tuple[Discount, ...]:
    """Read ``prices.discounts`` of finops.yaml: percent and either dimension (name or prefix) or service."""
    return tuple(
        discount_from(item, f"prices.discounts[{number}]")
        for number, item in enumerate(_list(items, "discounts"))
    )


def _list(items: object, name: str) -> list[Mapping[str, Any]]:
    if items is None:
        return []
    if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping) for item in items):
        raise ConfigError(f"prices.{name} must be a list of mappings")
    return list(items)


def _number(value: object, wrong: list[str], name: str) -> Decimal:
    if isinstance(value, str | int | float | Decimal) and not isinstance(value, bool):
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            pass
        else:
            if number.is_finite() and number >= 0:
                return number
    shown = f"{value:f}" if isinstance(value, Decimal) else repr(value)
    wrong.append(f"{name} {shown} is not a number of zero or more")
    return Decimal(0)


def _refuse(wrong: Sequence[str], place: str) -> None:
    """Raise one ConfigError with a line for each mistake of an entry, if there are any."""
    if wrong:
        raise ConfigError("\n".join(f"{place}: {text}" for text in wrong))


def override_from(item: Mapping[str, Any], place: str) -> Override:
    """Read one entry of ``prices.overrides``; ConfigError says all that is wrong at ``place``."""
    wrong: list[str] = []
    dimension, region = item.get("dimension"), item.get("region", "*")
    row = catalogue.CATALOGUE.get(dimension) if isinstance(dimension, str) else None
    attributes: tuple[tuple[str, str], ...] = ()
    if row is None:
        wrong.append(
            "dimension is missing"
            if dimension is None
            else f"there is no dimension {dimension!r}; {catalogue.nearest(str(dimension), catalogue.CATALOGUE)}"
        )
    else:
        given = {name: value for name, value in item.items() if name not in _OF_OVERRIDES}
        attributes = _attributes(str(dimension), row, given, wrong)
    if region != "*" and not (isinstance(region, str) and region in catalogue.REGION_PREFIXES):
        wrong.append(f"{region!r} is not a region with prices in USD")
    if "unit_price" not in item:
        wrong.append("unit_price is missing")
    price = _number(item.get("unit_price", 0), wrong, "unit_price")
    _refuse(wrong, place)
    return Override(str(dimension), region, attributes, price)


def _attributes(
    dimension: str, row: catalogue.Dimension, given: Mapping[str, object], wrong: list[str]
) -> tuple[tuple[str, str], ...]:
    """Return what an override says of its price: it is one price, with the defaults of what it leaves out."""
    told: dict[str, str] = {}
    mistakes = len(wrong)
    for name, value in given.items():
        if name not in row.attributes:
            wrong.append(f"{dimension} has no attribute {name!r}; it takes {sorted(row.attributes)}")
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        values = row.attributes[name].values
        if not isinstance(value, str | int):
            wrong.append(f"{name} must be text, a whole number or a boolean")
        elif values is not None and str(value) not in values:
            wrong.append(f"{name} {value!r} is none of {', '.join(sorted(values))}")
        told[name] = str(value)
    if len(wrong) > mistakes:
        return ()
    try:
        wanted = catalogue.key(dimension, "us-east-1", told)
    except DeclarationError as error:
        wrong.append(f"{error}: prices differ by it")
        return ()
    if isinstance(problem := catalogue.query(wanted), str):
        wrong.append(problem)
    return wanted.attributes


def discount_from(item: Mapping[str, Any], place: str) -> Discount:
    """Read one entry of ``prices.discounts``; ConfigError says all that is wrong at ``place``."""
    wrong = [
        f"{name!r} is unknown; a discount has percent and dimension or service"
        for name in sorted(set(map(str, item)) - {"dimension", "service", "percent"})
    ]
    dimension, service = item.get("dimension", ""), item.get("service", "")
    if bool(dimension) == bool(service) or not (isinstance(dimension, str) and isinstance(service, str)):
        wrong.append("name either a dimension or a service")
    names = set(catalogue.CATALOGUE)
    prefixes = {name[: index + 1] for name in names for index, letter in enumerate(name) if letter == "."}
    if isinstance(dimension, str) and dimension and dimension not in names | prefixes:
        wrong.append(
            f"{dimension!r} is neither a dimension nor a prefix such as 'ec2.'; "
            f"{catalogue.nearest(dimension, names | prefixes)}"
        )
    services = {row.service for row in catalogue.CATALOGUE.values()}
    if isinstance(service, str) and service and service not in services:
        wrong.append(f"service {service!r} is none of {', '.join(sorted(services))}")
    if "percent" not in item:
        wrong.append("percent is missing")
    percent = _number(item.get("percent", 0), wrong, "percent")
    if percent > 100:
        wrong.append(f"{percent} percent is more than everything")
    if 0 < percent < 1:
        wrong.append(
            f"{percent} percent is less than one in a hundred; write 12 for twelve percent, not 0.12"
        )
    _refuse(wrong, place)
    return Discount(dimension, service, percent)


class PriceBook:
    """Prices for one audit: only :meth:`prefetch` uses the network. Safe to share between threads.

    ``mode`` ``live`` asks AWS and falls back to cached prices and the snapshot; ``cache`` never asks;
    ``offline`` uses the snapshot alone. Overrides and discounts hold in every mode.
    """

    def __init__(
        self,
        mode: Mode,
        *,
        client_factory: Callable[[str], Any] | None = None,
        overrides: object = None,
        discounts: object = None,
        cache_dir: Path | None = None,
        today: date,
        limiter: Limiter | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise ConfigError(f"prices come from {', '.join(get_args(Mode))}, not {mode!r}")
        self.mode = mode
        self.today = today
        self._overrides = overrides_from(overrides)
        self._discounts = discounts_from(discounts)
        self._configured = {"overrides": _plain(overrides), "discounts": _plain(discounts)}
        self._list = PriceList(client_factory, limiter=limiter) if client_factory and mode == "live" else None
        self._disk = None if mode == "offline" else DiskCache((cache_dir or directory()) / "prices.jsonl")
        self._cached: Mapping[PriceKey, Quote] | None = None
        self._live: dict[PriceKey, Quote] = {}
        self._failed: dict[PriceKey, str] = {}
        self._used: dict[PriceKey, Price] = {}
        self._ambiguous: set[PriceKey] = set()
        self._warned: dict[str, None] = {}
        self._lock = threading.RLock()
        self._flight = threading.Lock()

    def key(self, dimension: str, region: str, attributes: Mapping[str, object]) -> PriceKey:
        """Return the normalised key of a price (:func:`catalogue.key`)."""
        return catalogue.key(dimension, region, attributes)

    def resolve(self, dimension: str, region: str, attributes: Mapping[str, object]) -> Price:
        """Return the price, from memory, cache or snapshot; never from the network, never a default."""
        return self._price(catalogue.key(dimension, region, attributes))

    def line(
        self,
        dimension: str,
        resource: Located,
        quantity: Decimal | int,
        *,
        component: str = "",
        note: str = "",
        **attributes: object,
    ) -> PriceLine:
        """Return a price line for ``quantity`` a month in the region of ``resource``; floats are refused.

        Where the price has tiers it is that of the first ones that are not free: see :meth:`lines`.
        """
        price, key = self._asked(dimension, resource, quantity, attributes)
        return _line(key, Decimal(quantity), price.unit_price, price, component, note or price.reason)

    def lines(
        self,
        dimension: str,
        resource: Located,
        quantity: Decimal | int,
        *,
        total: Decimal | int | None = None,
        component: str = "",
        note: str = "",
        **attributes: object,
    ) -> list[PriceLine]:
        """Return price lines for the last ``quantity`` of the ``total`` units that the account uses a month.

        That is what a saving is worth: the units that go are the cheapest (or dearest) ones, and what the
        always-free allowance covers saves nothing. Without ``total`` all units have the first paid price, and
        where there are more tiers the line says that this is an upper bound.
        """
        price, key = self._asked(dimension, resource, quantity, attributes)
        wanted, ladder = Decimal(quantity), price.prices
        if ladder is None or total is None:
            tiers = 0 if ladder is None else len(ladder.steps)
            bound = "upper bound: the usage of the account, which decides the tier, is not known"
            said = "; ".join(part for part in (note or price.reason, bound if tiers > 1 else "") if part)
            return [_line(key, wanted, price.unit_price, price, component, said)]
        if total < wanted:
            raise ValueError(f"{wanted} units of {total} cannot go")
        parts = ladder.parts(Decimal(total) - wanted, Decimal(total))
        return [
            _line(key, units, unit_price, price, component, note or ("" if unit_price else "free of charge"))
            for units, unit_price in parts
        ]

    def _asked(
        self,
        dimension: str,
        resource: Located,
        quantity: Decimal | int,
        attributes: Mapping[str, object],
    ) -> tuple[Price, PriceKey]:
        if isinstance(quantity, bool) or not isinstance(quantity, Decimal | int):
            raise TypeError(f"a quantity is Decimal or int, not {type(quantity).__name__}")
        key = catalogue.key(dimension, resource.region, attributes)
        price = self._price(key)
        with self._lock:
            self._used[key] = price
        return price, key

    def prefetch(self, keys: Iterable[PriceKey]) -> None:
        """Ask AWS for prices that are neither overridden nor freshly cached; failures leave the fallbacks."""
        if self._list is None:
            return
        with self._flight:
            wanted = [key for key in sorted(set(keys)) if self._wants(key)]
            jobs = self._jobs(wanted)
            if not jobs:
                return
            fetched: dict[PriceKey, Quote] = {}
            _concurrently(lambda job: fetched.update(self._fetch(job)), jobs)
            with self._lock:
                self._live.update(fetched)
            if fetched and self._disk is not None:
                self._disk.add(fetched, self.today)

    def requests(self, keys: Iterable[PriceKey]) -> tuple[int, bool]:
        """Return how many GetProducts requests :meth:`prefetch` would send at most, and whether that is exact."""
        if self._list is None:
            return 0, True
        jobs = self._jobs([key for key in sorted(set(keys)) if self._wants(key)])
        batches = sum(bool(without) for without, _ in jobs)
        return len(jobs) + batches * (MOST_PAGES - 1), not batches

    def live(self) -> Mapping[PriceKey, Quote]:
        """Return what AWS was asked and answered in this run."""
        with self._lock:
            return dict(self._live)

    def usage(self) -> PriceUsage:
        """Return how many distinct prices the lines used, by source."""
        with self._lock:
            used = list(self._used.values())
        count = {source: sum(price.source == source for price in used) for source in get_args(Source)}
        return PriceUsage(
            live=count["live"],
            cached=count["cache"],
            snapshot=count["snapshot"],
            overridden=count["override"],
            unknown=count["unknown"],
            oldest_as_of=min((price.as_of for price in used if price.as_of), default=""),
        )

    def warnings(self) -> tuple[str, ...]:
        """Return what a reader of the figures must know: prices that could not be asked, old or strange ones."""
        with self._lock:
            said = list(self._warned)
            snapshots = any(price.source == "snapshot" for price in self._used.values())
        if self._list is not None and self._list.stopped:
            said.insert(0, f"{self._list.stopped}: cached and bundled prices were used instead")
        built = str(snapshot.bundled().header["built_at"]) if snapshots else ""
        if built and age_days(built, self.today) > STALE_DAYS:
            said.append(
                f"the bundled prices are of {built}, {age_days(built, self.today)} days ago: "
                "allow pricing:GetProducts, or upgrade"
            )
        return tuple(said)

    def _warn(self, text: str) -> None:
        log.info("%s", text)
        with self._lock:
            self._warned[text] = None

    def export_usage(self) -> list[dict[str, Any]]:
        """Return what the lines used, as JSON, for :meth:`merge_usage` in the main process."""
        with self._lock:
            used = sorted(self._used.items(), key=lambda item: item[0])
        return [{**key_data(key), **_price_data(price)} for key, price in used]

    def fingerprints(self) -> tuple[str, ...]:
        """Return ``KEY SOURCE AS_OF`` of every price that the lines used: shards count a shared price once."""
        with self._lock:
            used = dict(self._used)
        names = {
            key: hashlib.sha256(json.dumps(key_data(key), sort_keys=True).encode()).hexdigest()[:12]
            for key in used
        }
        return tuple(
            sorted(f"{names[key]} {price.source} {price.as_of}".strip() for key, price in used.items())
        )

    def merge_usage(self, used: Iterable[Mapping[str, Any]]) -> None:
        """Add what a worker's lines used; the same price counts once."""
        with self._lock:
            for data in used:
                self._used[key_from(data)] = _price_from(data)

    def dump(self, path: Path) -> None:
        """Write everything that :meth:`load` needs to answer as this book does, without network or cache."""
        with self._lock:
            live = dict(self._live)
            cached = dict(self._usable())
            failed = dict(self._failed)
            ambiguous = set(self._ambiguous)
        document = {
            "version": _DUMP_VERSION,
            "mode": self.mode,
            "today": self.today.isoformat(),
            **self._configured,
            "live": [_quote_data(key, live[key]) for key in sorted(live)],
            "cached": [_quote_data(key, cached[key]) for key in sorted(cached)],
            "failed": [
                {**key_data(key), "reason": failed[key], "ambiguous": key in ambiguous}
                for key in sorted(failed)
            ],
        }
        # The team's discounts are in it.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file)

    @classmethod
    def load(cls, path: Path) -> PriceBook:
        """Return a book that answers as the one that was dumped; it never uses network or cache."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["version"] != _DUMP_VERSION:
                raise AuditError(f"{path}: version {document['version']} of dumped prices is not known")
            book = cls(
                "offline",
                overrides=document["overrides"],
                discounts=document["discounts"],
                today=date.fromisoformat(document["today"]),
            )
            book.mode = document["mode"]
            book._live = dict(map(_quote_from, document["live"]))
            book._cached = dict(map(_quote_from, document["cached"]))
            book._failed = {key_from(data): data["reason"] for data in document["failed"]}
            book._ambiguous = {key_from(data) for data in document["failed"] if data["ambiguous"]}
        except (OSError, ValueError, KeyError, TypeError, InvalidOperation) as error:
            raise AuditError(f"{path}: the dumped prices cannot be read: {error}") from error
        return book

    def _price(self, key: PriceKey) -> Price:
        row = catalogue.dimension(key.dimension)
        own = (override for override in self._overrides if override.applies(key))
        best = max(own, key=lambda override: override.region != "*", default=None)
        if best is not None:
            return Price(
                prices=Ladder.flat(best.unit_price),
                unit=row.unit,
                source="override",
                reason="price of finops.yaml",
            )
        price = self._listed(key, row.unit)
        discount = max(
            (item for item in self._discounts if item.applies(key)),
            key=lambda item: (not item.service, len(item.dimension)),
            default=None,
        )
        if discount is None or price.prices is None:
            return price
        left = (100 - discount.percent) / 100
        return replace(
            price,
            prices=Ladder(tuple((start, step * left) for start, step in price.prices.steps)),
            source="override",
            reason=f"{price.source} price less {discount.percent} percent by finops.yaml",
        )

    def _listed(self, key: PriceKey, unit: str) -> Price:
        with self._lock:
            live, cached, failed = self._live.get(key), self._usable().get(key), self._failed.get(key, "")
            if key in self._ambiguous:
                return Price(prices=None, unit=unit, source="unknown", reason=f"no price is known: {failed}")
        for quote, source in ((live, "live"), (cached, "cache")):
            if quote is not None:
                return Price(
                    prices=quote.prices,
                    unit=unit,
                    source="live" if source == "live" else "cache",
                    sku=quote.sku,
                    as_of=quote.as_of,
                )
        if partition(key.region) not in _PRICED:
            return Price(
                prices=None, unit=unit, source="unknown", reason=f"{key.region} is not priced in USD"
            )
        known = snapshot.bundled().get(key)
        if known is not None:
            return Price(prices=known.prices, unit=unit, source="snapshot", as_of=known.as_of)
        query = catalogue.query(key)
        reason = failed or (query if isinstance(query, str) else "")
        return Price(
            prices=None,
            unit=unit,
            source="unknown",
            reason=f"no price is known: {reason}" if reason else "no price is known",
        )

    def _usable(self) -> Mapping[PriceKey, Quote]:
        if self._cached is None:
            self._cached = {} if self._disk is None else self._disk.quotes(self.today)
        return self._cached

    def _wants(self, key: PriceKey) -> bool:
        with self._lock:
            cached = self._usable().get(key)
            if key in self._live or key in self._failed or any(item.applies(key) for item in self._overrides):
                return False
        if cached is not None and age_days(cached.as_of, self.today) <= FRESH_DAYS:
            return False
        return partition(key.region) in _PRICED and isinstance(catalogue.query(key), catalogue.Query)

    def _jobs(self, keys: list[PriceKey]) -> list[_Job]:
        """Return what to fetch: a filter to leave out (or none), and the keys that the answer serves."""
        groups: dict[object, list[PriceKey]] = {}
        for key in keys:
            query, without = catalogue.query(key), catalogue.dimension(key.dimension).batch
            assert isinstance(query, catalogue.Query)
            rest = tuple(item for item in query.filters if item[0] != without)
            groups.setdefault(
                (key.dimension, query.absent, rest, "" if without else key.attributes), []
            ).append(key)
        jobs: list[_Job] = []
        for group in groups.values():
            without = catalogue.dimension(group[0].dimension).batch
            if without and len(group) >= BATCH:
                jobs.append((without, group))
            else:
                jobs += [("", [key]) for key in group]
        return jobs

    def _fetch(self, job: _Job) -> dict[PriceKey, Quote]:
        without, keys = job
        found: dict[PriceKey, Quote] = {}
        queries = {key: query for key in keys if isinstance(query := catalogue.query(key), catalogue.Query)}
        assert self._list is not None
        try:
            documents = self._list.documents(keys[0].region, queries[keys[0]], without=without)
        except Unusable as error:
            self._fail(keys, str(error))
            return found
        for key, query in queries.items():
            row = catalogue.dimension(key.dimension)
            try:
                quote = select((item for item in documents if matches(item, query)), query, row, self.today)
            except Ambiguous as error:
                self._warn(f"{key}: {error}")
                self._fail([key], str(error))
                with self._lock:
                    self._ambiguous.add(key)
                continue
            except Unusable as error:
                log.info("%s: %s", key, error)
                self._fail([key], str(error))
                continue
            known = snapshot.bundled().get(key)
            if known is not None and not known.unit_price / 2 <= quote.unit_price <= known.unit_price * 2:
                self._warn(
                    f"{key}: the live price {quote.unit_price:f} is far from {known.unit_price:f} of {known.as_of}"
                )
            found[key] = quote
        return found

    def _fail(self, keys: Iterable[PriceKey], reason: str) -> None:
        with self._lock:
            self._failed.update(dict.fromkeys(keys, reason))


def _line(
    key: PriceKey, quantity: Decimal, unit_price: Decimal | None, price: Price, component: str, note: str
) -> PriceLine:
    return PriceLine(
        dimension=key.dimension, region=key.region, quantity=quantity, unit=price.unit, unit_price=unit_price,
        source=price.source, sku=price.sku, as_of=price.as_of, component=component, note=note,
        attributes=key.attributes,
    )  # fmt: skip


def _concurrently(work: Callable[[_Job], None], jobs: Iterable[_Job], threads: int = 4) -> None:
    """Do every job on daemon threads (an executor's threads would hold an interrupted process)."""
    left = list(jobs)[::-1]
    crashes: list[BaseException] = []

    def run() -> None:
        try:
            while True:
                work(left.pop())
        except IndexError:
            return
        except BaseException as error:  # noqa: BLE001 - re-raised in the calling thread
            crashes.append(error)

    workers = [
        threading.Thread(target=run, daemon=True, name=f"finops-prices-{n}")
        for n in range(min(threads, len(left)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if crashes:
        raise crashes[0]


def _plain(items: object) -> object:
    """Return configuration as JSON can carry it."""
    if isinstance(items, Mapping):
        return {str(name): _plain(value) for name, value in items.items()}
    if isinstance(items, list | tuple):
        return [_plain(item) for item in items]
    return items if items is None or isinstance(items, bool | int) else str(items)


def _quote_data(key: PriceKey, quote: Quote) -> dict[str, Any]:
    return {**key_data(key), "prices": str(quote.prices), "sku": quote.sku, "as_of": quote.as_of}


def _quote_from(data: Mapping[str, Any]) -> tuple[PriceKey, Quote]:
    return key_from(data), Quote(Ladder.parse(data["prices"]), data["sku"], data["as_of"])


def _price_data(price: Price) -> dict[str, Any]:
    return {
        "prices": None if price.prices is None else str(price.prices),
        "unit": price.unit,
        "source": price.source,
        "sku": price.sku,
        "as_of": price.as_of,
        "reason": price.reason,
    }


def _price_from(data: Mapping[str, Any]) -> Price:
    return Price(
        prices=None if data["prices"] is None else Ladder.parse(data["prices"]),
        unit=data["unit"],
        source=data["source"],
        sku=data["sku"],
        as_of=data["as_of"],
        reason=data["reason"],
    )
