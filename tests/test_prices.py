"""Prices: one SKU or none, the order of sources, the snapshot's numbers, and Decimal all the way."""

from __future__ import annotations

import gzip
import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from price_kit import M5, TODAY, Client, Thing, book, choose, denied, ec2, nat, product, usd

from pytest_finops.errors import AuditError, ConfigError, DeclarationError
from pytest_finops.prices import CATALOGUE, HOURS, REGION_PREFIXES, PriceBook, bundled, key
from pytest_finops.prices.build import OUTPUT, main
from pytest_finops.prices.catalogue import Query, query
from pytest_finops.prices.snapshot import digest, parse
from pytest_finops.prices.sources import DiskCache, Limiter, Unusable, endpoint


@pytest.mark.parametrize(
    ("dimension", "region", "attributes", "price"),
    [
        ("ec2.instance", "us-east-1", M5, "0.096"),
        ("ec2.instance", "eu-west-1", M5, "0.107"),
        ("ec2.instance", "ap-southeast-1", {"instance_type": "t3.micro"}, "0.0132"),
        ("ec2.instance", "us-east-1", {"instance_type": "p5.48xlarge"}, "55.04"),
        ("ec2.instance", "us-east-1", {"instance_type": "c5.metal"}, "4.08"),
        ("ec2.instance", "us-east-1", {**M5, "operation": "RunInstances:0002"}, "0.188"),
        ("ebs.storage", "us-east-1", {"volume_type": "gp3"}, "0.08"),
        ("ebs.storage", "eu-west-1", {"volume_type": "gp3"}, "0.088"),
        ("ebs.throughput", "us-east-1", {"volume_type": "gp3"}, "0.04"),
        ("vpc.nat.hours", "us-east-1", {}, "0.045"),
        ("ec2.ipv4.idle", "eu-central-1", {}, "0.005"),
        ("elb.hours", "us-east-1", {"kind": "application"}, "0.0225"),
        ("transfer.cross_az", "eu-north-1", {}, "0.01"),
        ("rds.instance", "us-east-1", {"instance_class": "db.m5.large", "engine": "mysql"}, "0.171"),
        (
            "rds.instance",
            "us-east-1",
            {"instance_class": "db.m5.large", "engine": "mysql", "multi_az": True},
            "0.342",
        ),
        ("rds.instance", "sa-east-1", {"instance_class": "db.r6g.large", "engine": "postgres"}, "0.468"),
        ("rds.storage", "us-east-1", {"storage_type": "gp3", "multi_az": True}, "0.23"),
        ("rds.storage", "sa-east-1", {"storage_type": "gp2"}, "0.219"),
    ],
)
def test_the_snapshot_knows_published_prices(
    dimension: str, region: str, attributes: dict[str, object], price: str, tmp_path: Path
) -> None:
    found = book(tmp_path, mode="offline").resolve(dimension, region, attributes)
    assert (found.unit_price, found.source) == (Decimal(price), "snapshot")
    date.fromisoformat(found.as_of)


@pytest.mark.parametrize(
    ("dimension", "region", "attributes"),
    [
        ("ec2.instance", "eu-west-1", {"instance_type": "p5.48xlarge"}),
        ("ec2.instance", "us-east-1", {"instance_type": "c6g.metal"}),
        ("ec2.instance", "eu-west-1", {**M5, "operation": "RunInstances:0002"}),
        ("ec2.instance", "us-east-1", {**M5, "tenancy": "host"}),
        ("ec2.instance", "cn-north-1", M5),
        ("ec2.instance", "xx-new-1", M5),
        ("ebs.storage", "us-east-1", {"volume_type": "gp9"}),
        ("rds.instance", "us-east-1", {"instance_class": "db.m5.large", "engine": "oracle-ee"}),
        ("rds.instance", "us-east-1", {"instance_class": "db.m5.large", "engine": "db2-se"}),
        ("rds.instance", "us-east-1", {"instance_class": "db.m5.large", "engine": "mariadb"}),
    ],
)
def test_what_nobody_vouches_for_is_unknown_with_a_reason(
    dimension: str, region: str, attributes: dict[str, object], tmp_path: Path
) -> None:
    found = book(tmp_path, mode="offline").resolve(dimension, region, attributes)
    assert found.unit_price is None
    assert found.source == "unknown"
    assert found.reason


def test_the_snapshot_is_small_whole_and_reproducible(capsys: pytest.CaptureFixture[str]) -> None:
    data = OUTPUT.read_bytes()
    assert len(data) < 400_000
    assert main(["--check"]) == 0
    assert "up to date" in capsys.readouterr().out
    document = json.loads(gzip.decompress(data))
    header = document["header"]
    assert header["sha256"] == digest(document["origins"], document["rows"])
    assert header["rows"] == sum(1 for _ in bundled().items())
    assert {price.source for _, price in bundled().items()} == set(header["sources"])
    date.fromisoformat(header["built_at"])


def test_a_damaged_snapshot_is_named() -> None:
    with pytest.raises(AuditError, match="cannot be read"):
        parse(b"not gzip")


def test_snapshot_invariants() -> None:
    prices = {wanted: price.unit_price for wanted, price in bundled().items()}
    for wanted, price in prices.items():
        row = CATALOGUE[wanted.dimension]
        assert row.low <= price <= row.high, wanted
        assert isinstance(query(wanted), Query), wanted
        assert wanted == key(wanted.dimension, wanted.region, dict(wanted.attributes))
        attributes = dict(wanted.attributes)
        if wanted.dimension == "rds.instance" and attributes["multi_az"] == "true":
            single = prices.get(key("rds.instance", wanted.region, {**attributes, "multi_az": False}))
            assert single is None or Decimal("1.9") <= price / single <= Decimal("2.1"), wanted
        if wanted.dimension == "ec2.instance" and attributes["operation"] != "RunInstances":
            linux = prices[key("ec2.instance", wanted.region, {**attributes, "operation": "RunInstances"})]
            assert price >= linux
        if wanted.dimension == "ebs.storage" and attributes["volume_type"] == "gp2":
            assert prices.get(key("ebs.storage", wanted.region, {"volume_type": "gp3"}), price) <= price
        if wanted.dimension == "ec2.instance" and attributes["instance_type"].startswith(
            ("p4d", "p5", "u7i")
        ):
            assert wanted.region == "us-east-1" or wanted.region.startswith("us-gov-")


def test_prefixes_are_distinct_and_anchored() -> None:
    assert len(set(REGION_PREFIXES.values())) == len(REGION_PREFIXES)
    singapore = query(key("vpc.nat.hours", "ap-southeast-1", {}))
    assert isinstance(singapore, Query)
    assert singapore.fits("APS1-NatGateway-Hours")
    for other in ("APS3-NatGateway-Hours", "APS1-RegionalNatGateway-Hours", "APS1-NatGateway-Hours-X"):
        assert not singapore.fits(other)


def test_tiers_come_unordered() -> None:
    attributes = {
        "fromRegionCode": "us-east-1",
        "transferType": "IntraRegion",
        "usagetype": "DataTransfer-Regional-Bytes",
    }
    tiers = (
        usd("0.0080000000", unit="GB", beginRange="10240"),
        usd("0.0100000000", unit="GB", beginRange="0", endRange="10240"),
    )
    assert choose([product("T", "Data Transfer", attributes, *tiers)], "transfer.cross_az") == Decimal("0.01")


def test_other_terms_do_not_price() -> None:
    document = json.loads(ec2())
    rate = {"X.R": {"unit": "Hrs", "pricePerUnit": {"USD": "0.01"}}}
    document["terms"]["FlatRate"] = {"X": {"priceDimensions": rate, "offerTermCode": "FLAT"}}
    document["terms"]["Reserved"] = {"X": {"priceDimensions": rate, "offerTermCode": "RES"}}
    assert choose([json.dumps(document)], "ec2.instance", **M5) == Decimal("0.097")
    del document["terms"]["OnDemand"]
    with pytest.raises(Unusable, match="no SKU"):
        choose([json.dumps(document)], "ec2.instance", **M5)


def test_neighbours_of_an_instance_are_not_it() -> None:
    documents = [
        ec2(),
        ec2("DEDICATED", "0.102", tenancy="Dedicated", usagetype="DedicatedUsage:m5.large"),
        ec2("UNUSED", "0.097", capacitystatus="UnusedCapacityReservation", usagetype="UnusedBox:m5.large"),
        ec2("RESERVED", "0", capacitystatus="AllocatedCapacityReservation"),
        ec2("WINDOWS", "0.188", operation="RunInstances:0002"),
        ec2("LOCAL", "0.115", regionCode="us-east-1-bos-1", usagetype="BOS1-BoxUsage:m5.large"),
    ]
    assert choose(documents, "ec2.instance", **M5) == Decimal("0.097")
    assert choose(documents, "ec2.instance", **M5, tenancy="dedicated") == Decimal("0.102")
    assert choose(documents, "ec2.instance", **M5, operation="RunInstances:0002") == Decimal("0.188")


def test_a_regional_nat_gateway_is_another_product() -> None:
    documents = [nat("A", "RegionalNatGateway-Hours", "0.09"), nat("B", "USE1-NatGateway-Hours")]
    assert choose(documents, "vpc.nat.hours") == Decimal("0.045")


def test_a_local_zone_balancer_is_another_product() -> None:
    def balancer(sku: str, price: str, where: str, usage_type: str) -> str:
        attributes = {
            "regionCode": "us-east-1",
            "locationType": where,
            "operation": "LoadBalancing:Application",
            "usagetype": usage_type,
        }
        return product(sku, "Load Balancer-Application", attributes, usd(price))

    documents = [
        balancer("A", "0.0225", "AWS Region", "LoadBalancerUsage"),
        balancer("B", "0.027", "AWS Local Zone", "LoadBalancerUsage"),
        balancer("C", "0.0225", "AWS Region", "Outposts-LoadBalancerUsage"),
    ]
    assert choose(documents, "elb.hours", kind="application") == Decimal("0.0225")


def test_capacity_units_without_a_product_family_are_told_apart_by_operation() -> None:
    def capacity(sku: str, price: str, operation: str, usage_type: str = "EUW2-LCUUsage") -> str:
        attributes = {
            "regionCode": "eu-west-2",
            "locationType": "AWS Region",
            "operation": operation,
            "usagetype": usage_type,
        }
        return product(sku, "", attributes, usd(price))

    documents = [
        capacity("A", "0.0084", "LoadBalancing:Application"),
        capacity("B", "0.0063", "LoadBalancing:Network"),
        capacity("C", "0.0084", "LoadBalancing:Application", "EUW2-ReservedLCUUsage"),
    ]
    assert choose(documents, "elb.lcu", "eu-west-2", kind="application") == Decimal("0.0084")
    assert choose(documents, "elb.lcu", "eu-west-2", kind="network") == Decimal("0.0063")


def test_throughput_is_sold_by_gibibytes() -> None:
    attributes = {
        "regionCode": "us-east-1",
        "volumeApiName": "gp3",
        "usagetype": "EBS:VolumeP-Throughput.gp3",
    }
    document = product("T", "Provisioned Throughput", attributes, usd("40.9600000000", unit="GiBps-mo"))
    assert choose([document], "ebs.throughput", volume_type="gp3") == Decimal("0.04")


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        ([], "no SKU"),
        ([ec2("A"), ec2("B")], "2 SKUs match"),
        ([ec2(price="0.0000000000")], "no SKU"),
        ([ec2(price="4000")], "outside"),
        ([ec2().replace('"USD"', '"CNY"')], "CNY"),
        ([ec2().replace('"Hrs"', '"GB"')], "unit"),
        ([ec2().replace("0.0970000000", "NaN")], "not a price"),
        ([ec2().replace("0.0970000000", "many")], "not a number"),
    ],
)
def test_anything_but_one_sound_sku_is_no_price(documents: list[str], reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        choose(documents, "ec2.instance", **M5)


def test_a_live_price_beats_the_snapshot_and_is_cached(tmp_path: Path) -> None:
    client = Client([ec2("OTHER", tenancy="Dedicated"), ec2()], page=1)
    live = book(tmp_path, client)
    assert live.resolve("ec2.instance", "us-east-1", M5).source == "snapshot"
    live.prefetch([live.key("ec2.instance", "us-east-1", M5)])
    line = live.line("ec2.instance", Thing(), HOURS, component="compute:i-1", **M5)
    assert (line.unit_price, line.source, line.sku) == (Decimal("0.0970000000"), "live", "M5SHARED")
    assert (line.as_of, line.component) == ("2026-11-23", "compute:i-1")
    assert line.amount == Decimal("70.81")
    assert client.regions == ["us-east-1"]
    assert len(client.calls) == 2
    live.prefetch([live.key("ec2.instance", "us-east-1", M5)])
    assert len(client.calls) == 2

    again = Client([ec2()])
    later = book(tmp_path, again, today=TODAY + timedelta(days=7))
    later.prefetch([later.key("ec2.instance", "us-east-1", M5)])
    assert again.calls == []
    assert later.resolve("ec2.instance", "us-east-1", M5).source == "cache"


def test_cached_prices_age(tmp_path: Path) -> None:
    first = book(tmp_path, Client([ec2()]))
    first.prefetch([first.key("ec2.instance", "us-east-1", M5)])

    def source(days: int, mode: str, client: Client | None = None) -> str:
        prices = book(tmp_path, client, mode, today=TODAY + timedelta(days=days))
        prices.prefetch([prices.key("ec2.instance", "us-east-1", M5)])
        return prices.resolve("ec2.instance", "us-east-1", M5).source

    broken = Client(error=denied())
    assert source(90, "cache") == "cache"
    assert source(90, "live", broken) == "cache"
    assert len(broken.calls) == 1
    assert source(91, "cache") == "snapshot"
    assert source(0, "offline") == "snapshot"
    assert source(8, "live", Client([ec2()])) == "live"


def test_a_damaged_cache_is_skipped(tmp_path: Path) -> None:
    first = book(tmp_path, Client([ec2()]))
    first.prefetch([first.key("ec2.instance", "us-east-1", M5)])
    path = tmp_path / "prices.jsonl"
    good = path.read_text()
    path.write_text("{\n[]\n" + good.replace("m5.large", "m5.xlarge").replace("0.097", "x") + good)
    assert len(DiskCache(path).quotes(TODAY)) == 1


def test_a_cache_that_cannot_be_written_does_not_matter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    prices = book(tmp_path / "file", Client([ec2()]))
    prices.prefetch([prices.key("ec2.instance", "us-east-1", M5)])
    assert prices.resolve("ec2.instance", "us-east-1", M5).source == "live"
    assert "not cached" in caplog.text


def test_two_denials_end_the_asking(tmp_path: Path) -> None:
    client = Client(error=denied())
    prices = book(tmp_path, client)
    for size in ("large", "xlarge", "2xlarge", "4xlarge"):
        prices.prefetch([prices.key("ec2.instance", "us-east-1", {"instance_type": f"m5.{size}"})])
    assert len(client.calls) == 2
    assert prices.resolve("ec2.instance", "us-east-1", M5).source == "snapshot"
    missing = prices.key("ec2.instance", "us-east-1", {"instance_type": "m99.large"})
    prices.prefetch([missing])
    assert "denied" in prices.resolve("ec2.instance", "us-east-1", {"instance_type": "m99.large"}).reason


def test_one_failed_connection_ends_the_asking(tmp_path: Path) -> None:
    client = Client(error=EndpointConnectionError(endpoint_url="x"))
    prices = book(tmp_path, client)
    prices.prefetch([prices.key("vpc.nat.hours", "us-east-1", {})])
    prices.prefetch([prices.key("vpc.nat.bytes", "us-east-1", {})])
    assert len(client.calls) == 1


def test_many_sizes_are_one_query(tmp_path: Path) -> None:
    sizes = [f"m5.{number}xlarge" for number in range(2, 16)]
    client = Client([ec2(size, instanceType=size, usagetype=f"BoxUsage:{size}") for size in sizes])
    prices = book(tmp_path, client)
    prices.prefetch(prices.key("ec2.instance", "us-east-1", {"instance_type": size}) for size in sizes)
    assert len(client.calls) == 1
    assert "instanceType" not in {item["Field"] for item in client.calls[0]["Filters"]}
    assert prices.resolve("ec2.instance", "us-east-1", {"instance_type": "m5.9xlarge"}).sku == "m5.9xlarge"


def test_the_network_is_never_used_without_prefetch_or_in_other_modes(tmp_path: Path) -> None:
    client = Client([ec2()])
    for mode in ("cache", "offline"):
        prices = book(tmp_path, client, mode)
        prices.prefetch([prices.key("ec2.instance", "us-east-1", M5)])
    book(tmp_path, client).line("ec2.instance", Thing(), 1, **M5)
    live = book(tmp_path, client)
    live.prefetch([live.key("ec2.instance", "cn-north-1", M5), live.key("ec2.instance", "us-iso-east-1", M5)])
    assert client.calls == []


def test_overrides_and_discounts(tmp_path: Path) -> None:
    client = Client([ec2()])
    prices = book(
        tmp_path,
        client,
        overrides=[
            {"dimension": "ec2.instance", "instance_type": "m5.large", "unit_price": "0.07"},
            {
                "dimension": "ec2.instance",
                "instance_type": "m5.large",
                "region": "eu-west-1",
                "unit_price": 0.08,
            },
        ],
        discounts=[
            {"service": "AmazonEC2", "percent": 10},
            {"dimension": "ebs.", "percent": "50"},
            {"dimension": "ebs.iops", "percent": 12.5},
        ],
    )
    prices.prefetch([prices.key("ec2.instance", "us-east-1", M5)])
    assert client.calls == []

    def price(dimension: str, region: str = "us-east-1", **attributes: object) -> tuple[Decimal | None, str]:
        found = prices.resolve(dimension, region, attributes)
        return found.unit_price, found.source

    assert price("ec2.instance", **M5) == (Decimal("0.07"), "override")
    assert price("ec2.instance", "eu-west-1", **M5) == (Decimal("0.08"), "override")
    assert price("ec2.instance", **M5, operation="RunInstances:0002") == (Decimal("0.1692"), "override")
    assert price("ebs.storage", volume_type="gp3") == (Decimal("0.04"), "override")
    assert price("ebs.iops", volume_type="gp3") == (Decimal("0.004375"), "override")
    assert price("elb.hours", kind="application") == (Decimal("0.0225"), "snapshot")
    assert price("ebs.storage", "af-south-1", volume_type="gp3") == (None, "unknown")


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("overrides", {"dimension": "ec2.instance"}),
        ("overrides", [{"dimension": "ec2.teapot", "unit_price": 1}]),
        ("overrides", [{"dimension": "vpc.nat.hours"}]),
        ("overrides", [{"dimension": "vpc.nat.hours", "unit_price": -1}]),
        ("overrides", [{"dimension": "vpc.nat.hours", "unit_price": True}]),
        ("overrides", [{"dimension": "vpc.nat.hours", "unit_price": "cheap"}]),
        ("overrides", [{"dimension": "vpc.nat.hours", "unit_price": 1, "region": "mars-1"}]),
        ("overrides", [{"dimension": "vpc.nat.hours", "unit_price": 1, "size": "x"}]),
        ("overrides", [{"dimension": "ebs.storage", "unit_price": 1, "volume_type": "gp9"}]),
        ("overrides", [{"dimension": "ebs.storage", "unit_price": 1, "volume_type": [1]}]),
        # One price for what differs in price: by an attribute that is missing, or that follows from none.
        ("overrides", [{"dimension": "ebs.storage", "region": "us-east-1", "unit_price": 1}]),
        ("overrides", [{"dimension": "ec2.instance", "unit_price": 1}]),
        (
            "overrides",
            [
                {
                    "dimension": "rds.instance",
                    "instance_class": "db.m5.large",
                    "engine": "oracle-se2",
                    "unit_price": 1,
                }
            ],
        ),
        ("discounts", [{"percent": 0.12, "service": "AmazonEC2"}]),
        ("discounts", [{"percent": 10}]),
        ("discounts", [{"percent": 10, "service": "AmazonEC2", "dimension": "ec2."}]),
        ("discounts", [{"percent": 101, "service": "AmazonEC2"}]),
        ("discounts", [{"service": "AmazonEC2"}]),
        ("discounts", [{"percent": 1, "service": "AmazonTea"}]),
        ("discounts", [{"percent": 1, "dimension": "tea."}]),
        ("discounts", [{"percent": 1, "dimension": "ec2.", "until": "2027"}]),
    ],
)
def test_mistakes_in_the_configuration_are_named(name: str, items: object) -> None:
    with pytest.raises(ConfigError, match=rf"prices\.{name}"):
        PriceBook("offline", today=TODAY, **{name: items})  # type: ignore[arg-type]


def test_the_most_particular_entry_holds(tmp_path: Path) -> None:
    database = {"instance_class": "db.m5.large", "engine": "mysql"}
    prices = book(
        tmp_path,
        Client([]),
        overrides=[
            {"dimension": "rds.instance", **database, "region": "us-east-1", "unit_price": 2},
            {"dimension": "rds.instance", **database, "unit_price": 1},
        ],
        discounts=[{"dimension": "ebs.storage", "percent": 10}, {"dimension": "ebs.", "percent": 50}, {"service": "AmazonEC2", "percent": 25}],
    )  # fmt: skip

    def unit_price(dimension: str, region: str, **attributes: object) -> Decimal | None:
        return prices.resolve(dimension, region, attributes).unit_price

    assert unit_price("rds.instance", "us-east-1", **database) == 2
    assert unit_price("rds.instance", "eu-west-1", **database) == 1
    assert unit_price("ebs.storage", "us-east-1", volume_type="gp3") == Decimal("0.072")  # 0.08 less 10 %
    assert unit_price("ebs.storage", "us-east-1", volume_type="gp2") == Decimal("0.09")


def test_every_mistake_of_an_entry_is_named() -> None:
    override = {
        "dimension": "ec2.instance",
        "instance_typ": "m5.large",
        "tenancy": "shared",
        "region": "mars-1",
    }
    discount = {"service": "AmazonTea", "dimension": "tea.", "percent": 101, "until": "2027"}
    for name, item, starts in (
        (
            "overrides",
            override,
            [
                "ec2.instance has no attribute 'instance_typ'",
                "tenancy 'shared' is none of",
                "'mars-1' is not",
                "unit_price is",
            ],
        ),
        (
            "discounts",
            discount,
            [
                "'until' is unknown",
                "name either",
                "'tea.' is neither",
                "service 'AmazonTea' is none of",
                "101 percent",
            ],
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            PriceBook("offline", today=TODAY, **{name: [item]})  # type: ignore[arg-type]
        lines = str(caught.value).splitlines()
        assert len(lines) == len(starts), lines
        for line, start in zip(lines, starts, strict=True):
            assert line.startswith(f"prices.{name}[0]: {start}")


def test_mistakes_of_a_check_are_declaration_errors(tmp_path: Path) -> None:
    prices = book(tmp_path, mode="offline")
    mistakes: list[tuple[str, dict[str, Any]]] = [
        ("ec2.teapot", {}),
        ("ec2.instance", {}),
        ("ec2.instance", {"instance_type": "m5.large", "colour": "red"}),
        ("ebs.iops", {"volume_type": "io2", "tier": 1.0}),
    ]
    for dimension, attributes in mistakes:
        with pytest.raises(DeclarationError):
            prices.resolve(dimension, "us-east-1", attributes)
    with pytest.raises(ConfigError):
        book(tmp_path, mode="guess")


def test_a_loaded_book_answers_as_the_dumped_one(tmp_path: Path) -> None:
    client = Client([ec2()])
    options: dict[str, Any] = {"discounts": [{"dimension": "vpc.", "percent": 12.5}]}
    first = book(tmp_path, client, **options)
    first.prefetch([first.key("ec2.instance", "us-east-1", M5), first.key("ebs.snapshot", "af-south-1", {})])
    first.dump(tmp_path / "dump.json")
    (tmp_path / "prices.jsonl").unlink()
    worker = PriceBook.load(tmp_path / "dump.json")
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("ec2.instance", "us-east-1", M5),
        ("ebs.snapshot", "af-south-1", {}),
        ("vpc.nat.hours", "us-east-1", {}),
    ]
    calls = len(client.calls)
    for question in asked:
        assert worker.resolve(*question) == first.resolve(*question)
    worker.prefetch([worker.key("vpc.nat.bytes", "us-east-1", {})])
    assert len(client.calls) == calls

    worker.line("ec2.instance", Thing(), 1, **M5)
    worker.line("ec2.instance", Thing(), 2, **M5)
    worker.line("ebs.snapshot", Thing("af-south-1"), 1)
    first.line("ec2.instance", Thing(), 1, **M5)
    first.line("ec2.instance", Thing("eu-west-1"), 1, **M5)
    first.merge_usage(json.loads(json.dumps(worker.export_usage())))
    usage = first.usage()
    assert (usage.live, usage.snapshot, usage.unknown, usage.cached, usage.overridden) == (1, 1, 1, 0, 0)
    assert usage.oldest_as_of == "2024-08-09"


@pytest.mark.parametrize("text", ["", "{}", '{"version": 99}', "[]"])
def test_a_damaged_dump_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    path.write_text(text)
    with pytest.raises(AuditError, match=r"dump\.json"):
        PriceBook.load(path)


def test_the_cache_directory_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINOPS_CACHE_DIR", str(tmp_path))
    prices = PriceBook("live", client_factory=Client([ec2()]), today=TODAY)
    prices.prefetch([prices.key("ec2.instance", "us-east-1", M5)])
    assert (tmp_path / "prices.jsonl").is_file()


def test_endpoints_and_pace() -> None:
    regions = ("us-west-2", "ap-southeast-1", "eu-west-1", "sa-east-1", "us-gov-west-1", "me-south-1")
    expected = ["us-east-1", "ap-south-1", "eu-central-1", "us-east-1", "us-east-1", "eu-central-1"]
    assert [endpoint(region) for region in regions] == expected
    slept: list[float] = []
    limiter = Limiter(4, 8, clock=lambda: 0.0, sleep=slept.append)
    for _ in range(10):
        limiter.wait()
    assert slept == [0.25, 0.5]


@given(st.decimals(min_value=0, max_value=10**9, places=6) | st.integers(0, 10**12))
def test_amounts_are_exact_decimals(quantity: Decimal | int) -> None:
    line = PriceBook("offline", today=TODAY).line("ebs.storage", Thing(), quantity, volume_type="gp3")
    assert type(line.amount) is Decimal
    assert line.amount == Decimal(quantity) * Decimal("0.08")


@given(st.floats() | st.booleans() | st.text(max_size=3) | st.none())
def test_other_quantities_are_refused(quantity: Any) -> None:
    with pytest.raises(TypeError, match="Decimal or int"):
        PriceBook("offline", today=TODAY).line("ebs.storage", Thing(), quantity, volume_type="gp3")
