"""The one SKU of each question, out of documents in the shape in which GetProducts answers."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from price_kit import Client, book, choose, product, quote, usd

from pytest_finops.prices import PriceBook
from pytest_finops.prices.sources import Unusable


def storage(service: str, sku: str, usage_type: str, price: str, **more: str) -> str:
    attributes = {"regionCode": "us-east-1", "usagetype": usage_type, **more}
    return product(sku, service, attributes, usd(price, unit="GB-Mo"))


def test_infrequent_access_stands_beside_standard_storage() -> None:
    documents = [
        storage("Database Storage", "IA", "IA-TimedStorage-ByteHrs", "0.1000000000"),
        storage("Database Storage", "STD", "TimedStorage-ByteHrs", "0.2500000000"),
        storage("Database Storage", "BAK", "USE1-TimedBackupStorage-ByteHrs", "0.1000000000"),
    ]
    assert choose(documents, "dynamodb.storage") == Decimal("0.25")
    assert choose(documents, "dynamodb.storage", table_class="standard-ia") == Decimal("0.1")


@pytest.mark.parametrize(
    ("storage_class", "price"),
    [("standard", "0.023"), ("standard-ia", "0.0125"), ("onezone-ia", "0.01"), ("int-infrequent", "0.0126"),
     ("int-archive", "0.0036"), ("deep-archive", "0.00099"), ("glacier", "0.0037")],
)  # fmt: skip
def test_storage_classes_of_s3_are_told_apart(storage_class: str, price: str) -> None:
    documents = [
        storage("Storage", "A", "TimedStorage-ByteHrs", "0.0230000000"),
        storage("Storage", "B", "TimedStorage-SIA-ByteHrs", "0.0125000000"),
        storage("Storage", "C", "TimedStorage-ZIA-ByteHrs", "0.0100000000"),
        storage("Storage", "D", "TimedStorage-INT-IA-ByteHrs", "0.0126000000"),
        storage("Storage", "E", "TimedStorage-INT-AA-ByteHrs", "0.0036000000"),
        storage("Storage", "F", "TimedStorage-GDA-ByteHrs", "0.0009900000"),
        storage("Storage", "G", "TimedStorage-GlacierByteHrs", "0.0037000000"),
        storage("Storage", "H", "TimedStorage-RRS-ByteHrs", "0.0240000000"),
        storage("Storage", "I", "USE1-TimedStorage-XZ-ByteHrs", "0.1600000000"),
    ]
    assert choose(documents, "s3.storage", storage_class=storage_class) == Decimal(price)


def test_io_optimized_stands_beside_standard() -> None:
    def instance(sku: str, usage_type: str, price: str, engine: str = "Aurora MySQL") -> str:
        attributes = {
            "regionCode": "us-east-1", "instanceType": "db.r6g.large", "databaseEngine": engine, "usagetype": usage_type,
        }  # fmt: skip
        return product(sku, "Database Instance", attributes, usd(price))

    documents = [
        instance("STD", "InstanceUsage:db.r6g.large", "0.2600000000"),
        instance("IOO", "InstanceUsageIOOptimized:db.r6g.large", "0.3380000000"),
        instance("PG", "InstanceUsage:db.r6g.large", "0.2600000001", "Aurora PostgreSQL"),
        storage("Database Storage", "S1", "Aurora:StorageUsage", "0.1000000000", databaseEngine="Any"),
        storage(
            "Database Storage", "S2", "Aurora:IO-OptimizedStorageUsage", "0.2250000000", databaseEngine="Any"
        ),
    ]
    aurora = {"instance_class": "db.r6g.large", "engine": "aurora-mysql"}
    standard, optimized = (
        choose(documents, "aurora.instance", storage=kind, **aurora) for kind in ("standard", "io-optimized")
    )
    assert (standard, optimized, optimized / standard) == (Decimal("0.26"), Decimal("0.338"), Decimal("1.3"))
    assert choose(documents, "aurora.storage", storage="io-optimized") == Decimal("0.225")
    assert choose(documents, "aurora.storage") == Decimal("0.1")


def test_editions_licences_and_deployments_of_one_class() -> None:
    def instance(sku: str, price: str, usage: str = "InstanceUsage:db.m5.xlarge", **changed: str) -> str:
        attributes = {
            "regionCode": "us-east-1", "instanceType": "db.m5.xlarge", "databaseEngine": "Oracle",
            "databaseEdition": "Enterprise", "licenseModel": "Bring your own license", "deploymentOption": "Single-AZ",
            "usagetype": usage, **changed,
        }  # fmt: skip
        return product(sku, "Database Instance", attributes, usd(price))

    documents = [
        instance("BYOL", "0.3560000000"),
        instance("TWO", "0.3570000000", databaseEdition="Standard Two"),
        instance("LI", "0.7800000000", databaseEdition="Standard Two", licenseModel="License included"),
        instance("MAZ", "0.7120000000", "Multi-AZUsage:db.m5.xlarge", deploymentOption="Multi-AZ"),
        instance("CUSTOM", "0.4000000000", deploymentModel="Custom"),
        instance("OUTPOST", "0.2000000000", "Outposts-InstanceUsage:db.m5.xlarge"),
    ]
    oracle = {"instance_class": "db.m5.xlarge", "license_model": "bring-your-own-license"}
    assert choose(documents, "rds.instance", engine="oracle-ee", **oracle) == Decimal("0.356")
    assert choose(documents, "rds.instance", engine="oracle-ee", multi_az=True, **oracle) == Decimal("0.712")
    assert choose(documents, "rds.instance", engine="oracle-se2", **oracle) == Decimal("0.357")
    included = {**oracle, "license_model": "license-included"}
    assert choose(documents, "rds.instance", engine="oracle-se2", **included) == Decimal("0.78")


def test_kms_writes_the_region_s_name_before_its_usage_types() -> None:
    attributes = {"regionCode": "ap-southeast-1", "usagetype": "ap-southeast-1-KMS-Keys"}
    documents = [
        product("K", "Encryption Key", attributes, usd("1.0000000000", unit="Keys")),
        product("X", "Encryption Key", {**attributes, "usagetype": "ap-southeast-1-KMS-Keys-Custom"}, usd("2", unit="Keys")),
    ]  # fmt: skip
    assert choose(documents, "kms.key", "ap-southeast-1") == 1


LAMBDA = {"regionCode": "us-east-1", "usagetype": "Lambda-GB-Second", "group": "AWS-Lambda-Duration"}


def tiers(*ranges: tuple[str, str, str]) -> list[str]:
    rates = [
        usd(price, unit="Lambda-GB-Second", beginRange=begin, endRange=end) for begin, end, price in ranges
    ]
    return [product("L", "Serverless", LAMBDA, *rates)]


def test_tiers_out_of_order_make_a_ladder() -> None:
    found = quote(
        tiers(
            ("15000000000", "Inf", "0.0000133334"),
            ("0", "6000000000", "0.0000166667"),
            ("6000000000", "15000000000", "0.0000150000"),
        ),
        "lambda.duration",
    ).prices
    assert str(found) == "0.0000166667 6000000000:0.0000150000 15000000000:0.0000133334"
    assert found.unit_price == Decimal("0.0000166667")


def test_a_free_allowance_is_the_first_tier() -> None:
    attributes = {"regionCode": "us-east-1", "usagetype": "WriteCapacityUnit-Hrs", "group": "DDB-WriteUnits"}
    rates = [
        usd("0.0006500000", unit="WriteCapacityUnit-Hrs", beginRange="18600", endRange="Inf"),
        usd("0.0000000000", unit="WriteCapacityUnit-Hrs", beginRange="0", endRange="18600"),
    ]
    found = quote([product("W", "Provisioned IOPS", attributes, *rates)], "dynamodb.capacity.write").prices
    assert str(found) == "0.0000000000 18600:0.0006500000"
    assert (found.cost(Decimal(18601)), found.unit_price) == (Decimal("0.00065"), Decimal("0.00065"))


@pytest.mark.parametrize(
    "ranges",
    [
        [("0", "100", "0.00001")],
        [("0", "100", "0.00001"), ("200", "Inf", "0.00002")],
        [("100", "Inf", "0.00001")],
        [("0", "Inf", "0.00001"), ("0", "Inf", "0.00002")],
        [("0", "Inf", "-0.00001")],
    ],
)
def test_tiers_with_gaps_are_no_price(ranges: list[tuple[str, str, str]]) -> None:
    with pytest.raises(Unusable):
        quote(tiers(*ranges), "lambda.duration")


def test_two_skus_are_unknown_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    documents = [
        storage("Storage Snapshot", sku, "EBS:SnapshotUsage", price)
        for sku, price in (("ONE", "0.05"), ("TWO", "0.06"))
    ]
    prices = book(tmp_path, Client(documents))
    with caplog.at_level(logging.INFO):
        prices.prefetch([prices.key("ebs.snapshot", "us-east-1", {})])
    assert "ebs.snapshot in us-east-1: 2 SKUs match (ONE, TWO)" in caplog.text
    assert prices.warnings() == ("ebs.snapshot in us-east-1: 2 SKUs match (ONE, TWO)",)
    prices.dump(tmp_path / "dump.json")
    for reader in (prices, PriceBook.load(tmp_path / "dump.json")):
        # The snapshot has a price; but who knows for which of the two?
        found = reader.resolve("ebs.snapshot", "us-east-1", {})
        assert (found.prices, found.source) == (None, "unknown")
        assert "2 SKUs match" in found.reason


def test_a_token_that_never_ends_is_no_price(tmp_path: Path) -> None:
    class Endless(Client):
        def get_products(self, **arguments: Any) -> dict[str, Any]:
            self.calls.append(arguments)
            return {"PriceList": [], "NextToken": str(len(self.calls))}

    class Stuck(Client):
        def get_products(self, **arguments: Any) -> dict[str, Any]:
            self.calls.append(arguments)
            return {"PriceList": [], "NextToken": "again"}

    for client, calls in ((Endless(), 40), (Stuck(), 2)):
        prices = book(tmp_path, client)
        prices.prefetch([prices.key("ebs.snapshot", "af-south-1", {})])
        assert "without end" in prices.resolve("ebs.snapshot", "af-south-1", {}).reason
        assert len(client.calls) == calls


def test_a_price_far_from_the_bundled_one_is_used_and_said(tmp_path: Path) -> None:
    prices = book(tmp_path, Client([storage("Storage Snapshot", "S", "EBS:SnapshotUsage", "0.15")]))
    prices.prefetch([prices.key("ebs.snapshot", "us-east-1", {})])
    assert prices.resolve("ebs.snapshot", "us-east-1", {}).source == "live"
    assert any("0.15 is far from 0.05" in text for text in prices.warnings())


def test_documents_may_come_parsed() -> None:
    # botocore hands strings over; saved answers of other tools are often objects already.
    assert isinstance(json.loads(storage("Storage", "A", "TimedStorage-ByteHrs", "0.02")), dict)
