"""Prices of a run: asked, cached, replayed, refused; through real processes against the endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finops_kit import NOW, audit, environment, volumes_estate, write_checks
from price_kit import Client, book, product, usd

from pytest_finops.testing import Fault, ReplayEndpoint

RULES = ("--finops-profile=env", "checks", "--finops-now", NOW.isoformat(), "-p", "no:hypothesispytest")


def gp3(region: str, price: str, usage_type: str = "EBS:VolumeUsage.gp3") -> dict[str, Any]:
    attributes = {
        "regionCode": region,
        "volumeApiName": "gp3",
        "usagetype": usage_type,
        "servicecode": "AmazonEC2",
    }
    document: dict[str, Any] = json.loads(
        product(f"GP3-{region}", "Storage", attributes, usd(price, unit="GB-Mo"))
    )
    return document


def run(folder: Path, *args: str, faults: Any = ()) -> tuple[int, str, dict[str, Any], int]:
    estate = volumes_estate()
    estate.products += [
        gp3("us-east-1", "0.0810000000"),
        gp3("eu-west-1", "0.0890000000", "EU-EBS:VolumeUsage.gp3"),
    ]
    with ReplayEndpoint(estate, faults=faults) as endpoint:
        status, output, document = audit(folder, *RULES, *args, env=environment(endpoint.url, folder))
        return status, output, document, endpoint.count("pricing", "get_products")


def lines(document: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    return {
        (line["region"], line["unit_price"], line["source"], line["sku"])
        for finding in document["findings"]
        for line in finding["price_lines"]
    }


def test_prices_are_asked_once_cached_and_offline_on_request(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, document, asked = run(tmp_path, "--finops-dry-run")
    assert status == 0, output
    predicted = {c["operation"]: c["calls"] for c in document["calls"]}["get_products"]
    # A gp3 volume can need three prices: storage, IOPS, throughput.
    assert (predicted, asked) == (6, 0)

    status, output, document, asked = run(tmp_path, "-n", "2")
    assert status == 1, output
    assert lines(document) == {
        ("us-east-1", "0.0810000000", "live", "GP3-us-east-1"),
        ("eu-west-1", "0.0890000000", "live", "GP3-eu-west-1"),
    }
    # 80 GiB x 0.081 = 6.48; 80 GiB x 0.089 = 7.12
    assert sorted({f["estimated_monthly_savings"] for f in document["findings"]}) == ["6.48", "7.12"]
    calls = {c["operation"]: c["calls"] for c in document["api_usage"]["calls"]}
    assert calls["get_products"] == asked == predicted
    assert document["prices"]["live"] == 2

    for args, source, price, asks in (
        # What was found is cached; what nobody sells is asked again.
        ((), "cache", "0.0810000000", 4),
        (("--finops-prices", "cache"), "cache", "0.0810000000", 0),
        (("--finops-prices", "offline"), "snapshot", "0.08", 0),
    ):
        status, output, document, asked = run(tmp_path, *args)
        assert asked == asks, output
        assert {line[1:3] for line in lines(document) if line[0] == "us-east-1"} == {(price, source)}


def test_a_missing_permission_fails_no_audit_and_is_said_once(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, document, asked = run(
        tmp_path, faults=[Fault("error", "pricing", "get_products", code="AccessDeniedException")]
    )

    assert status == 1, output
    assert document["complete"] is True
    assert document["blind_spots"] == []
    assert {line[2] for line in lines(document)} == {"snapshot"}
    # Two denials end the asking; four may be on their way.
    assert asked <= 5
    said = [text for text in document["warnings"] if "prices:" in text]
    assert said == [
        "prices: pricing:GetProducts is denied (AccessDeniedException): cached and bundled prices were used instead"
    ]


def test_two_skus_make_an_unpriced_finding_not_a_guess(tmp_path: Path) -> None:
    write_checks(tmp_path)
    estate = volumes_estate(regions=("us-east-1",))
    estate.products += [gp3("us-east-1", "0.08"), {**gp3("us-east-1", "0.05"), "version": "other"}]
    with ReplayEndpoint(estate) as endpoint:
        status, output, document = audit(tmp_path, *RULES, env=environment(endpoint.url, tmp_path))

    assert status == 1, output
    assert [f["estimated_monthly_savings"] for f in document["findings"]] == [None, None]
    assert any("2 SKUs match" in text for text in document["warnings"])


def test_govcloud_is_priced_by_the_commercial_endpoint_and_china_by_none(tmp_path: Path) -> None:
    attributes = {
        "regionCode": "us-gov-west-1",
        "volumeApiName": "gp3",
        "usagetype": "UGW1-EBS:VolumeUsage.gp3",
    }
    client = Client([product("G", "Storage", attributes, usd("0.0960000000", unit="GB-Mo"))])
    prices = book(tmp_path, client)
    volume = {"volume_type": "gp3"}
    prices.prefetch([prices.key("ebs.storage", region, volume) for region in ("us-gov-west-1", "cn-north-1")])

    assert client.regions == ["us-east-1"]
    assert prices.resolve("ebs.storage", "us-gov-west-1", volume).source == "live"
    china = prices.resolve("ebs.storage", "cn-north-1", volume)
    assert (china.prices, china.reason) == (None, "cn-north-1 is not priced in USD")
