"""Where live prices come from: GetProducts answers, the choice of the one SKU, and the disk cache."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ..errors import CollectError
from .catalogue import CATALOGUE_VERSION, Dimension, PriceKey, Query
from .ladder import Ladder

log = logging.getLogger(__name__)

#: The offer term of on-demand prices.
ON_DEMAND = "JRTCKXETXF"

FRESH_DAYS = 7
USABLE_DAYS = 90

_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "NotAuthorized",
        "OptInRequired",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)

#: What botocore says when there is nobody to talk to: no second try will help this run.
_UNREACHABLE = frozenset(
    {
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProxyConnectionError",
    }
)
#: All EC2 types of a region and operation are about 14 pages of 100; more is a token that never ends.
MOST_PAGES = 40


class Unusable(CollectError):
    """An answer that gives no price; the message says why."""


class Ambiguous(Unusable):
    """More than one SKU answers: no other source may stand in, for nobody knows which one is billed."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A live price in the catalogue's unit: the SKU that it belongs to and the day on which AWS said so."""

    prices: Ladder
    sku: str
    as_of: str

    @property
    def unit_price(self) -> Decimal:
        """The price of the first units that are not free."""
        return self.prices.unit_price


def partition(region: str) -> str:
    """Return the AWS partition of a region by its name."""
    for prefix, name in (
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso", "aws-iso"),
        ("eusc-", "aws-eusc"),
    ):
        if region.startswith(prefix):
            return name
    return "aws"


def endpoint(region: str) -> str:
    """Return the nearest region in which the Price List API answers: GovCloud has none and is priced elsewhere."""
    if region.startswith("cn-"):
        return "cn-northwest-1"
    if region.startswith("ap-"):
        return "ap-south-1"
    if region.startswith(("eu-", "me-", "af-", "il-")):
        return "eu-central-1"
    return "us-east-1"


def decimal(text: object) -> Decimal:
    """Return a number of the Price List as Decimal; Unusable if it is none."""
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        raise Unusable(f"{text!r} is not a number") from None
    if not number.is_finite():
        raise Unusable(f"{text!r} is not a price")
    return number


def on_demand(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the price dimensions of the on-demand term, by tier; empty if there is none."""
    offers = document.get("terms", {}).get("OnDemand", {})
    terms = [term for term in offers.values() if term.get("offerTermCode", ON_DEMAND) == ON_DEMAND]
    if not terms:
        return []
    if len(terms) > 1:
        raise Unusable("two on-demand terms")
    return sorted(terms[0]["priceDimensions"].values(), key=lambda tier: decimal(tier.get("beginRange", "0")))


def is_free(document: Mapping[str, Any]) -> bool:
    """Whether every on-demand price of the SKU is zero in every currency, or it has none."""
    prices = [price for tier in on_demand(document) for price in tier.get("pricePerUnit", {}).values()]
    return all(decimal(price) == 0 for price in prices)


def matches(document: Mapping[str, Any], query: Query) -> bool:
    """Whether the SKU is what the query asked for; the answer is not trusted to be filtered."""
    product = document.get("product", {})
    attributes = {**product.get("attributes", {}), "productFamily": product.get("productFamily", "")}
    return (
        all(attributes.get(name) == value for name, value in query.filters)
        and not any(attributes.get(name) for name in query.absent)
        and query.fits(attributes.get("usagetype", ""))
    )


def select(documents: Iterable[Mapping[str, Any]], query: Query, row: Dimension, today: date) -> Quote:
    """Return the price of the one matching SKU, or raise Unusable: none and two are no price."""
    found = [item for item in documents if matches(item, query) and (row.free or not is_free(item))]
    if not found:
        raise Unusable("no SKU matches")
    if len(found) > 1:
        skus = ", ".join(sorted(str(item["product"].get("sku", "?")) for item in found))
        raise Ambiguous(f"{len(found)} SKUs match ({skus})")
    tiers = on_demand(found[0])
    for tier in tiers:
        if str(tier.get("unit", "")).lower() not in {unit.lower() for unit in row.units}:
            raise Unusable(f"the unit is {tier.get('unit')!r}, not {row.units[0]}")
        if "USD" not in tier.get("pricePerUnit", {}):
            raise Unusable(
                f"the currency is {', '.join(sorted(tier.get('pricePerUnit', {}))) or 'unknown'}, not USD"
            )
    ladder = _ladder(tiers, row)
    price = ladder.unit_price
    if not price and not row.free:
        raise Unusable("no on-demand price")
    if not row.low <= price <= row.high and not (row.free and not price):
        raise Unusable(f"{price} USD per {row.unit} is outside {row.low} to {row.high}")
    return Quote(ladder, str(found[0]["product"].get("sku", "")), today.isoformat())


def _ladder(tiers: Sequence[Mapping[str, Any]], row: Dimension) -> Ladder:
    """Return the tiers in the row's unit; Unusable if they leave a gap or are priced strangely."""
    steps = []
    expected = "0"
    for tier in tiers:
        begin = str(tier.get("beginRange", "0"))
        if decimal(begin) != decimal(expected):
            raise Unusable(f"a tier begins at {begin}, not at {expected}")
        expected = str(tier.get("endRange", "Inf"))
        steps.append((decimal(begin) * row.divisor, decimal(tier["pricePerUnit"]["USD"]) / row.divisor))
        if expected == "Inf":
            break
    if expected != "Inf" or len(steps) != len(tiers):
        raise Unusable("the tiers do not reach to infinity")
    try:
        return Ladder(tuple(steps))
    except ValueError as error:
        raise Unusable(str(error)) from None


class Limiter:
    """A token bucket: ``rate`` a second after a burst; thread-safe."""

    def __init__(
        self,
        rate: int = 4,
        burst: int = 8,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._burst = rate, burst
        self._clock, self._sleep = clock, sleep
        self._tokens: float = burst
        self._then = clock()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may leave."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
            self._then = now
            self._tokens -= 1
            pause = -self._tokens / self._rate if self._tokens < 0 else 0.0
        if pause:
            self._sleep(pause)


class PriceList:
    """GetProducts, politely: paced, and silent after two denials in a row or one failed connection."""

    def __init__(self, client_factory: Callable[[str], Any], *, limiter: Limiter | None = None) -> None:
        self._factory = client_factory
        self._limiter = limiter or Limiter()
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._denials = 0
        self.stopped = ""

    def documents(self, region: str, query: Query, *, without: str = "") -> list[Mapping[str, Any]]:
        """Return the products of every page, or raise Unusable; ``without`` leaves a filter out (a batch)."""
        from botocore.exceptions import BotoCoreError, ClientError

        filters = [
            {"Type": "TERM_MATCH", "Field": name, "Value": value}
            for name, value in query.filters
            if name != without
        ]
        if query.contains:
            filters.append({"Type": "CONTAINS", "Field": "usagetype", "Value": query.contains})
        found: list[Mapping[str, Any]] = []
        arguments: dict[str, Any] = {"ServiceCode": query.service, "Filters": filters, "MaxResults": 100}
        try:
            client = self._client(endpoint(region))
            for _ in range(MOST_PAGES):
                self._limiter.wait()
                if self.stopped:
                    raise Unusable(self.stopped)
                answer = client.get_products(**arguments)
                found += [json.loads(item) if isinstance(item, str) else item for item in answer["PriceList"]]
                with self._lock:
                    self._denials = 0
                token = answer.get("NextToken")
                if not token:
                    return found
                if token == arguments.get("NextToken"):
                    break
                arguments["NextToken"] = token
            raise Unusable("GetProducts pages without end")
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            self._failed(code)
            raise Unusable(f"GetProducts: {code}") from error
        except BotoCoreError as error:
            self._stop(f"the Price List API cannot be asked: {type(error).__name__}")
            raise Unusable(self.stopped) from error
        except Unusable:
            raise
        except CollectError as error:
            self._failed(error.code)
            raise Unusable(str(error)) from error
        except (ValueError, KeyError) as error:
            raise Unusable(f"GetProducts answered nonsense: {type(error).__name__}") from error

    def _client(self, region: str) -> Any:
        with self._lock:
            if self.stopped:
                raise Unusable(self.stopped)
            if region not in self._clients:
                self._clients[region] = self._factory(region)
            return self._clients[region]

    def _failed(self, code: str) -> None:
        if code in _UNREACHABLE:
            self._stop(f"the Price List API cannot be asked: {code}")
            return
        with self._lock:
            self._denials = self._denials + 1 if code in _DENIED else 0
            stop = self._denials >= 2
        if stop:
            self._stop(f"pricing:GetProducts is denied ({code})")

    def _stop(self, reason: str) -> None:
        with self._lock:
            first, self.stopped = not self.stopped, self.stopped or reason
        if first:
            # The audit's warnings tell people; nobody needs it twice.
            log.info("no more live prices: %s", reason)


def directory() -> Path:
    """Return where prices are cached: ``FINOPS_CACHE_DIR``, or the user's cache directory."""
    if given := os.environ.get("FINOPS_CACHE_DIR"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("pytest-finops", appauthor=False))


class DiskCache:
    """Live prices of earlier runs, one JSON line each, keyed by partition and query."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._quotes: dict[PriceKey, Quote] | None = None

    def quotes(self, today: date) -> Mapping[PriceKey, Quote]:
        """Return every price that is not older than the hard limit; damaged lines are skipped."""
        if self._quotes is None:
            self._quotes = dict(self._read())
        return {
            key: quote
            for key, quote in self._quotes.items()
            if 0 <= age_days(quote.as_of, today) <= USABLE_DAYS
        }

    def add(self, fetched: Mapping[PriceKey, Quote], today: date) -> None:
        """Merge prices into the file in one atomic step; a directory that refuses is only logged."""
        self._quotes = None
        merged = {**self.quotes(today), **fetched}
        self._quotes = merged
        lines = [
            json.dumps(record(key, quote), separators=(",", ":"))
            for key, quote in sorted(merged.items(), key=lambda item: item[0])
        ]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.writelines(f"{line}\n" for line in lines)
                Path(name).replace(self.path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            log.warning("prices are not cached in %s: %s", self.path.parent, error)

    def _read(self) -> Iterator[tuple[PriceKey, Quote]]:
        try:
            lines: Sequence[str] = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, Unusable):
                data = json.loads(line)
                if data["version"] == CATALOGUE_VERSION:
                    key = key_from(data)
                    if data["partition"] == partition(key.region):
                        date.fromisoformat(data["as_of"])
                        yield key, Quote(Ladder.parse(data["prices"]), str(data["sku"]), str(data["as_of"]))


def age_days(as_of: str, today: date) -> int:
    """Return the age of a price in days."""
    return (today - date.fromisoformat(as_of)).days


def record(key: PriceKey, quote: Quote) -> dict[str, Any]:
    """Return a cached price as JSON."""
    return {
        "version": CATALOGUE_VERSION,
        "partition": partition(key.region),
        **key_data(key),
        "prices": str(quote.prices),
        "sku": quote.sku,
        "as_of": quote.as_of,
    }


def key_data(key: PriceKey) -> dict[str, Any]:
    """Return a key as JSON."""
    return {"dimension": key.dimension, "region": key.region, "attributes": dict(key.attributes)}


def key_from(data: Mapping[str, Any]) -> PriceKey:
    """Return the key that :func:`key_data` wrote."""
    return PriceKey(data["dimension"], data["region"], tuple(sorted(data["attributes"].items())))
