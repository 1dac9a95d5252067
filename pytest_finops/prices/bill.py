"""A bill beside our prices: what Cost Explorer says of a closed month, by usage type and operation."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Literal

from ..errors import CollectError
from . import catalogue
from .catalogue import CATALOGUE, PriceKey
from .resolver import Price, PriceBook

#: Two figures agree within this: bills round quantities.
TOLERANCE = Decimal("0.005")

Verdict = Literal["agree", "disagree", "no price", "no charge"]

#: What Cost Explorer calls the services whose usage types other services have too.
SERVICES: Mapping[str, str] = {
    "Amazon DynamoDB": "AmazonDynamoDB",
    "Amazon DocumentDB (with MongoDB compatibility)": "AmazonDocDB",
    "Amazon EC2 Container Registry (ECR)": "AmazonECR",
    "Amazon ElastiCache": "AmazonElastiCache",
    "Amazon Elastic File System": "AmazonEFS",
    "Amazon Elastic Load Balancing": "AWSELB",
    "Amazon FSx": "AmazonFSx",
    "Amazon Neptune": "AmazonNeptune",
    "Amazon Relational Database Service": "AmazonRDS",
    "Amazon Simple Storage Service": "AmazonS3",
    "AmazonCloudWatch": "AmazonCloudWatch",
    "AWS Cost Explorer": "AWSCostExplorer",
}
#: The engine of a database instance as its operation writes it; the others are left out rather than guessed.
RDS_OPERATIONS: Mapping[str, str] = {
    "CreateDBInstance:0002": "mysql",
    "CreateDBInstance:0014": "postgres",
    "CreateDBInstance:0018": "mariadb",
    "CreateDBInstance:0016": "aurora-mysql",
    "CreateDBInstance:0021": "aurora-postgresql",
}
#: Dimensions whose usage type alone does not say what was used: the operation does.
_BY_OPERATION = frozenset(
    {
        "aurora.instance",
        "ec2.instance",
        "rds.instance",
        "vpc.transit.hours",
        "vpc.transit.bytes",
        "elb.hours",
        "elb.lcu",
    }
)


@dataclass(frozen=True, slots=True)
class Usage:
    """One line of a month's bill: ``cost`` is unblended USD of on-demand usage, ``net`` after every discount."""

    usage_type: str
    operation: str
    service: str
    quantity: Decimal
    cost: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class Verified:
    """A line of the bill beside our price; ``expected`` is what that quantity costs at list price."""

    usage: Usage
    key: PriceKey | None
    price: Price | None
    expected: Decimal | None
    verdict: Verdict


def last_month(today: date) -> tuple[date, date]:
    """Return the first day of the last closed month, and the first day after it."""
    end = today.replace(day=1)
    return (end - timedelta(days=1)).replace(day=1), end


def questions(start: date, end: date) -> list[dict[str, Any]]:
    """Return the two GetCostAndUsage requests that identify usage: by service, and by operation."""
    common = {
        "TimePeriod": {"Start": start.isoformat(), "End": end.isoformat()},
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost", "NetAmortizedCost", "UsageQuantity"],
        "Filter": {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Usage"]}},
    }
    return [
        {**common, "GroupBy": [{"Type": "DIMENSION", "Key": name} for name in names]}
        for names in (("USAGE_TYPE", "SERVICE"), ("USAGE_TYPE", "OPERATION"))
    ]


def ask(send: Callable[[dict[str, Any]], Mapping[str, Any]], start: date, end: date) -> list[Usage]:
    """Return the bill of a month; ``send`` makes one GetCostAndUsage request (0.01 USD each).

    :raises CollectError: when an answer is not Cost Explorer's.
    """
    by_service: list[Usage] = []
    by_operation: list[Usage] = []
    for found, question in zip((by_service, by_operation), questions(start, end), strict=True):
        second = question["GroupBy"][1]["Key"]
        for group in _groups(send, question):
            usage_type, other = group["Keys"]
            metrics = group["Metrics"]
            amounts = [
                _amount(metrics, name) for name in ("UsageQuantity", "UnblendedCost", "NetAmortizedCost")
            ]
            service, operation = (other, "") if second == "SERVICE" else ("", other)
            found.append(Usage(usage_type, operation, service, *amounts))
    # Where the operation decides, its lines stand in for those of the service.
    split = {usage.usage_type for usage in by_operation if _dimensions(usage) & _BY_OPERATION}
    lines = [usage for usage in by_service if usage.usage_type not in split]
    lines += [usage for usage in by_operation if usage.usage_type in split]
    return sorted(lines, key=lambda usage: (-usage.cost, usage.usage_type, usage.operation))


def _groups(
    send: Callable[[dict[str, Any]], Mapping[str, Any]], question: dict[str, Any]
) -> Iterator[Mapping[str, Any]]:
    request = dict(question)
    seen: set[str] = set()
    while True:
        answer = send(request)
        if "ResultsByTime" not in answer:
            raise CollectError(
                "ce.get_cost_and_usage: the answer has no 'ResultsByTime'", code="ForeignAnswer"
            )
        for result in answer["ResultsByTime"]:
            yield from result.get("Groups", ())
        token = answer.get("NextPageToken")
        if not token:
            return
        if token in seen:
            raise CollectError("ce.get_cost_and_usage repeats its token", code="RepeatedToken")
        seen.add(token)
        request["NextPageToken"] = token


def _amount(metrics: Mapping[str, Any], name: str) -> Decimal:
    metric = metrics.get(name) or {"Amount": "0"}
    if name != "UsageQuantity" and metric.get("Unit", "USD") != "USD":
        raise CollectError(f"Cost Explorer answers in {metric['Unit']}, not in USD", code="Currency")
    return Decimal(str(metric["Amount"]))


@cache
def _patterns(region: str) -> tuple[tuple[str, re.Pattern[str], Mapping[str, str], str], ...]:
    """Return (dimension, usage type, listed attributes, operation) for every question of a region."""
    prefix = catalogue.REGION_PREFIXES[region]
    found = []
    for name, row in CATALOGUE.items():
        if row.suffix.startswith(".*"):
            continue  # known by its filters, which a bill does not show
        listed = {attribute: declared for attribute, declared in row.attributes.items() if declared.values}
        free = {attribute: f"(?P<{attribute}>.+)" for attribute in row.attributes if attribute not in listed}
        for values in itertools.product(*(declared.values or () for declared in listed.values())):
            given = dict(zip(listed, values, strict=True))
            words: dict[str, str] = {}
            for attribute, value in given.items():
                words.update(listed[attribute].words(attribute, value) or {})
            escaped = {**free, **{word: re.escape(meaning) for word, meaning in words.items()}}
            suffix = (row.suffix if row.pattern else row.suffix.replace(".", "[.]")).format_map(escaped)
            operation = row.filters.get("operation", "").format_map({**free, **words})
            found.append((name, re.compile(f"({prefix}-|{region}-)?({suffix})"), given, operation))
    return tuple(found)


def region_of(usage_type: str) -> str | None:
    """Return the region of a usage type by its prefix; us-east-1 mostly has none; None: not one of ours."""
    for region, prefix in catalogue.REGION_PREFIXES.items():
        if usage_type.startswith((f"{prefix}-", f"{region}-")):
            return region
    return None if re.match(r"[A-Z]{3}\d+-", usage_type) else "us-east-1"


def _candidates(usage: Usage) -> Iterator[PriceKey]:
    region = region_of(usage.usage_type)
    if region is None:
        return
    service = SERVICES.get(usage.service)
    for name, pattern, given, operation in _patterns(region):
        row = CATALOGUE[name]
        match = pattern.fullmatch(usage.usage_type)
        if match is None or (service is not None and row.service != service):
            continue
        if usage.operation and operation and operation != usage.operation:
            continue
        attributes = {**given, **match.groupdict()}
        if None in attributes.values():
            continue
        if usage.operation.startswith("CreateDBInstance:"):
            if RDS_OPERATIONS.get(usage.operation) != attributes.get("engine"):
                continue
            if "license_model" in attributes:
                attributes["license_model"] = "none"
        wanted = catalogue.key(name, region, attributes)
        if isinstance(catalogue.query(wanted), catalogue.Query):
            yield wanted


def _dimensions(usage: Usage) -> set[str]:
    return {wanted.dimension for wanted in _candidates(usage)}


def identify(usage: Usage) -> PriceKey | None:
    """Return what was used, or None if the catalogue does not know it or cannot tell it from something else."""
    return _identified(usage.usage_type, usage.operation, usage.service)


@cache
def _identified(usage_type: str, operation: str, service: str) -> PriceKey | None:
    # The bills of an organization's accounts have the same lines, and each is held against hundreds of patterns.
    zero = Decimal(0)
    found = set(_candidates(Usage(usage_type, operation, service, zero, zero, zero)))
    return found.pop() if len(found) == 1 else None


#: What covers usage by its hours: dimension -> usage type without the region's prefix.
_HOURLY: Mapping[str, str] = {
    "ec2.instance": "{usage}:{instance_type}",
    "rds.instance": "{usage}:{instance_class}",
}


def billed_as(wanted: PriceKey) -> tuple[str, str] | None:
    """Return the usage type and operation that a bill has for the hours of an instance; None: it is not known."""
    prefix, template = catalogue.REGION_PREFIXES.get(wanted.region), _HOURLY.get(wanted.dimension)
    if prefix is None or template is None:
        return None
    words: dict[str, str] = {}
    for name, value in wanted.attributes:
        words.update(CATALOGUE[wanted.dimension].attributes[name].words(name, value) or {})
    if "usage" not in words:
        return None
    engines = {engine: operation for operation, engine in RDS_OPERATIONS.items()}
    given = dict(wanted.attributes)
    operation = given.get("operation") or engines.get(given.get("engine", ""), "")
    usage_type = ("" if wanted.region == "us-east-1" else f"{prefix}-") + template.format_map(words)
    zero = Decimal(0)
    known = identify(Usage(usage_type, operation, "", zero, zero, zero)) == wanted
    return (usage_type, operation) if known and operation else None


def verify(bill: Iterable[Usage], book: PriceBook) -> list[Verified]:
    """Return every line of a bill beside the list price of its quantity, tiers and allowances included."""
    lines = [(usage, identify(usage)) for usage in bill if usage.quantity > 0]
    book.prefetch(wanted for _, wanted in lines if wanted is not None)
    return [_verified(usage, wanted, book) for usage, wanted in lines]


def _verified(usage: Usage, wanted: PriceKey | None, book: PriceBook) -> Verified:
    price = None if wanted is None else book.resolve(wanted.dimension, wanted.region, dict(wanted.attributes))
    if wanted is None or price is None or price.prices is None:
        return Verified(usage, wanted, price, None, "no price")
    quantity = usage.quantity * CATALOGUE[wanted.dimension].divisor
    expected = price.prices.cost(quantity)
    # The first units of a tiered service may fall under an allowance that other accounts of the payer use up.
    flat = quantity * price.prices.unit_price
    if not usage.cost:
        return Verified(usage, wanted, price, expected, "no charge")
    right = any(abs(usage.cost - sum_) <= TOLERANCE * usage.cost for sum_ in (expected, flat))
    return Verified(usage, wanted, price, expected, "agree" if right else "disagree")


def rates(bill: Sequence[Usage]) -> dict[PriceKey, Decimal]:
    """Return what a unit really cost after every discount, where the bill says so without doubt.

    Accounts without private prices may have no net cost: the unblended one stands in. What cost nothing (free of
    charge, credits) has no rate.
    """
    found: dict[PriceKey, Decimal] = {}
    twice: set[PriceKey] = set()
    for usage in bill:
        wanted, paid = identify(usage), usage.net if usage.net > 0 else usage.cost
        if wanted is None or usage.quantity <= 0 or paid <= 0:
            continue
        if wanted in found:
            twice.add(wanted)
        found[wanted] = paid / (usage.quantity * CATALOGUE[wanted.dimension].divisor)
    return {wanted: rate for wanted, rate in found.items() if wanted not in twice}
