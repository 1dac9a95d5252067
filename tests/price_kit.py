"""Price documents in the shape of GetProducts, a client that answers with them, and price books in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from pytest_finops.prices import CATALOGUE, PriceBook, key
from pytest_finops.prices.catalogue import Query, query
from pytest_finops.prices.sources import Limiter, Quote, select

TODAY = date(2026, 11, 23)
M5 = {"instance_type": "m5.large"}


@dataclass(frozen=True)
class Thing:
    region: str = "us-east-1"


def product(
    sku: str,
    family: str,
    attributes: Mapping[str, str],
    *tiers: Mapping[str, Any],
    terms: Mapping[str, Any] | None = None,
) -> str:
    """A document as GetProducts answers it: a JSON string."""
    rates = {
        f"{sku}.JRTCKXETXF.{number}": {
            "unit": "Hrs",
            "beginRange": "0",
            "endRange": "Inf",
            "description": "",
            "appliesTo": [],
            **tier,
        }
        for number, tier in enumerate(tiers)
    }
    offer = {
        f"{sku}.JRTCKXETXF": {
            "priceDimensions": rates,
            "sku": sku,
            "effectiveDate": "2026-11-01T00:00:00Z",
            "offerTermCode": "JRTCKXETXF",
            "termAttributes": {},
        }
    }
    return json.dumps(
        {
            "product": {"productFamily": family, "attributes": dict(attributes), "sku": sku},
            "serviceCode": "AmazonEC2",
            "terms": {"OnDemand": offer} if terms is None else terms,
            "version": "20261101000000",
            "publicationDate": "2026-11-01T00:00:00Z",
        }
    )


def usd(price: str, **extra: str) -> dict[str, Any]:
    return {"pricePerUnit": {"USD": price}, **extra}


def ec2(sku: str = "M5SHARED", price: str = "0.0970000000", **changed: str) -> str:
    attributes = {
        "regionCode": "us-east-1",
        "instanceType": "m5.large",
        "operation": "RunInstances",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "usagetype": "BoxUsage:m5.large",
        **changed,
    }
    return product(sku, "Compute Instance", attributes, usd(price))


def nat(sku: str, usage_type: str, price: str = "0.0450000000") -> str:
    return product(sku, "NAT Gateway", {"regionCode": "us-east-1", "usagetype": usage_type}, usd(price))


def choose(
    documents: Iterable[str], dimension: str, region: str = "us-east-1", **attributes: object
) -> Decimal:
    return quote(documents, dimension, region, **attributes).unit_price


def quote(documents: Iterable[str], dimension: str, region: str = "us-east-1", **attributes: object) -> Quote:
    """The price that the engine takes out of these documents for a dimension; Unusable if none."""
    asked = query(key(dimension, region, attributes))
    assert isinstance(asked, Query)
    return select(map(json.loads, documents), asked, CATALOGUE[dimension], TODAY)


class Client:
    """A pricing client that answers from a list of documents, in pages, and remembers what it was asked."""

    def __init__(
        self, documents: Iterable[str] = (), *, error: Exception | None = None, page: int = 100
    ) -> None:
        self.documents, self.error, self.page = list(documents), error, page
        self.regions: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def __call__(self, region: str) -> Client:
        self.regions.append(region)
        return self

    def get_products(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        if self.error:
            raise self.error
        start = int(arguments.get("NextToken", 0))
        answer: dict[str, Any] = {"PriceList": self.documents[start : start + self.page]}
        if start + self.page < len(self.documents):
            answer["NextToken"] = str(start + self.page)
        return answer


def denied() -> ClientError:
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetProducts")


def book(tmp_path: Path, client: Client | None = None, mode: Any = "live", **options: Any) -> PriceBook:
    options.setdefault("today", TODAY)
    limiter = Limiter(clock=lambda: 0.0, sleep=lambda _: None)
    return PriceBook(mode, client_factory=client, cache_dir=tmp_path, limiter=limiter, **options)
