"""The catalogue of price dimensions: every row is a sound, anchored question that only its own SKU answers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from decimal import Decimal

import pytest

from pytest_finops.prices import CATALOGUE, REGION_PREFIXES, PriceKey, bundled, key
from pytest_finops.prices.catalogue import Query, query
from pytest_finops.prices.rows import Dimension

#: Service codes as DescribeServices lists them.
SERVICES = {
    "AWSCostExplorer", "AWSDataTransfer", "AWSELB", "AWSGlue", "AWSLambda", "AWSNetworkFirewall", "AWSSecretsManager",
    "AmazonAthena", "AmazonCloudWatch", "AmazonDocDB", "AmazonDynamoDB", "AmazonEC2", "AmazonECR", "AmazonECS",
    "AmazonEFS", "AmazonEKS", "AmazonES", "AmazonElastiCache", "AmazonFSx", "AmazonKinesis", "AmazonMSK",
    "AmazonMemoryDB", "AmazonNeptune", "AmazonRDS", "AmazonRedshift", "AmazonS3", "AmazonSageMaker", "AmazonVPC",
    "AmazonWorkSpaces", "awskms",
}  # fmt: skip

#: Something to say for attributes that take any value.
EXAMPLES = {
    "instance_type": "m5.large",
    "instance_class": "db.r5.large",
    "node_type": "cache.r6g.large",
    "host_family": "m5",
    "engine_version": "MySQL5.7",
    "to": "eu-west-1",
}


def keys_of(name: str, region: str = "eu-central-1") -> Iterator[PriceKey]:
    """Every key that a row can be asked by, with one example for attributes that take anything."""
    attributes = CATALOGUE[name].attributes
    choices = [
        list(declared.values) if declared.values is not None else [EXAMPLES[attribute]]
        for attribute, declared in attributes.items()
    ]
    for values in itertools.product(*choices):
        yield key(name, region, dict(zip(attributes, values, strict=True)))


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_row_is_a_sound_question(name: str) -> None:
    row = CATALOGUE[name]
    assert row.service in SERVICES
    assert row.units
    assert row.unit
    assert Decimal(0) < row.low < row.high
    # Without a family or a part of the usage type the query would fetch a whole service.
    assert row.family or row.contains or row.filters
    assert row.batch == "" or row.batch in row.filters
    asked = [found for wanted in set(keys_of(name)) if isinstance(found := query(wanted), Query)]
    assert asked
    for found in asked:
        filters = dict(found.filters)
        assert filters[row.region_field] == "eu-central-1"
        assert "" not in filters.values()
        assert "{" not in str(found), "a template word is missing"
        assert len(filters) <= 50


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_usage_types_are_anchored(name: str) -> None:
    for wanted in set(keys_of(name)):
        found = query(wanted)
        if not isinstance(found, Query) or CATALOGUE[name].pattern:
            continue
        suffix = re.sub(r"\\(.)", r"\1", found.usage_type.partition(")?(")[2].removesuffix(")"))
        for right in (suffix, f"EUC1-{suffix}", f"eu-central-1-{suffix}"):
            assert found.fits(right)
        for wrong in (
            f"EUC2-{suffix}",
            f"Regional{suffix}",
            f"EUC1-IA-{suffix}",
            f"{suffix}-X",
            f"EUC1-{suffix}.tier9",
        ):
            assert not found.fits(wrong)


def test_values_of_a_row_ask_different_questions() -> None:
    for name in CATALOGUE:
        asked: dict[object, PriceKey] = {}
        for wanted in sorted(set(keys_of(name))):
            found = query(wanted)
            if isinstance(found, str) or wanted.dimension == "rds.instance":
                # Editions of one engine with and without container databases have one price.
                continue
            assert asked.setdefault((found.filters, found.absent, found.usage_type), wanted) == wanted


def test_engine_and_licence_go_together() -> None:
    oracle = {"instance_class": "db.m5.large", "engine": "oracle-ee"}
    refused = query(key("rds.instance", "us-east-1", oracle))
    assert isinstance(refused, str)
    assert "do not go together" in refused
    assert isinstance(
        query(key("rds.instance", "us-east-1", {**oracle, "license_model": "license-included"})), Query
    )
    open_engine = key(
        "rds.instance",
        "us-east-1",
        {"instance_class": "db.m5.large", "engine": "mysql", "license_model": "general-public-license"},
    )
    assert dict(open_engine.attributes)["license_model"] == "none"


def test_bare_metal_is_a_family_of_its_own() -> None:
    def family(instance_type: str) -> str:
        found = query(key("ec2.instance", "us-east-1", {"instance_type": instance_type}))
        assert isinstance(found, Query)
        return dict(found.filters)["productFamily"]

    assert family("m5.metal") == "Compute Instance (bare metal)"
    assert family("c6g.metal-16xl") == "Compute Instance (bare metal)"
    assert family("m5.large") == "Compute Instance"


def test_adding_a_dimension_is_adding_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Dimension(
        service="AmazonTea", suffix="Pot-Hours", units=("Hrs",), unit="h", low=Decimal("0.1"), high=Decimal(1),
        family="Pot",
    )  # fmt: skip
    monkeypatch.setitem(CATALOGUE, "tea.pot", row)  # type: ignore[arg-type]
    found = query(key("tea.pot", "eu-west-1", {}))
    assert isinstance(found, Query)
    assert found.filters == (("productFamily", "Pot"), ("regionCode", "eu-west-1"))
    assert found.fits("EU-Pot-Hours")


def test_the_snapshot_keeps_to_the_catalogue() -> None:
    dimensions = {wanted.dimension for wanted, _ in bundled().items()}
    assert dimensions <= set(CATALOGUE)
    assert len(CATALOGUE) >= 90
    assert len(dimensions) >= 65
    for name in (
        "lambda.duration",
        "s3.storage",
        "elasticache.node",
        "opensearch.instance",
        "sagemaker.endpoint",
    ):
        assert name in dimensions
    assert {wanted.region for wanted, _ in bundled().items()} <= set(REGION_PREFIXES)
