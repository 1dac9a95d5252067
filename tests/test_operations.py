"""Operations: the bundled table, its defaults, and the IAM policy made from it."""

from __future__ import annotations

from decimal import Decimal

import botocore.session
import pytest
from botocore import xform_name

from pytest_finops.operations import _table, actions, operation, policy


def test_a_known_operation_carries_rate_paging_and_action() -> None:
    volumes = operation("ec2", "describe_volumes")
    assert (volumes.iam_action, volumes.name) == ("ec2:DescribeVolumes", "DescribeVolumes")
    assert (volumes.page_size_param, volumes.page_size_max, volumes.paginator) == ("MaxResults", 1000, True)
    assert (volumes.rate_per_second, volumes.burst, volumes.bucket) == (20.0, 100, "ec2.describe_volumes")
    assert not volumes.billable


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("elbv2", "describe_load_balancers"), ("elbv2", "describe_tags")),
        (("rds", "describe_db_instances"), ("docdb", "describe_db_clusters")),
        (("lambda", "list_functions"), ("lambda", "list_tags")),
        (("route53", "list_hosted_zones"), ("route53", "list_health_checks")),
    ],
)
def test_operations_that_share_a_quota_share_a_bucket(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    assert operation(*first).bucket == operation(*second).bucket


def test_elb_generations_have_their_own_buckets() -> None:
    assert operation("elb", "describe_tags").bucket != operation("elbv2", "describe_tags").bucket


def test_billable_operations_know_price_and_unit() -> None:
    metric = operation("cloudwatch", "get_metric_data")
    assert (metric.request_cost, metric.cost_kind) == (Decimal("0.00001"), "metric")
    page = operation("ce", "get_cost_and_usage")
    assert (page.request_cost, page.cost_kind, page.burst) == (Decimal("0.01"), "request", 1)


def test_every_request_to_cost_explorer_costs() -> None:
    model = botocore.session.get_session().get_service_model("ce")
    free = [name for name in model.operation_names if not operation("ce", xform_name(name)).billable]
    assert free == []


@pytest.mark.parametrize(
    ("service", "method", "price"),
    [("s3", "list_objects", "0.000005"), ("s3", "get_bucket_acl", "0.0000004"), ("s3", "head_object", "0.0000004"),
     ("kms", "list_grants", "0.000003"), ("secretsmanager", "list_secret_version_ids", "0.000005"),
     ("sqs", "list_queue_tags", "0.0000004"), ("sns", "list_subscriptions", "0.0000005"), ("ec2", "describe_x", "0")],
)  # fmt: skip
def test_what_the_table_lacks_costs_what_its_service_asks(service: str, method: str, price: str) -> None:
    unlisted = operation(service, method)
    assert not unlisted.known
    assert unlisted.request_cost == Decimal(price)
    assert unlisted.cost_kind == ("request" if Decimal(price) else "free")


def test_pinned_services_name_the_regions_that_exist() -> None:
    products = operation("pricing", "get_products")
    assert products.endpoint_scope == "pinned"
    assert products.endpoint_regions == ("us-east-1", "eu-central-1", "ap-south-1")


def test_an_unknown_operation_gets_cautious_defaults() -> None:
    unknown = operation("neptune", "describe_something_new")
    assert (unknown.known, unknown.iam_action) == (False, "rds:DescribeSomethingNew")
    assert (unknown.rate_per_second, unknown.burst) == (5.0, 10)


def test_every_row_builds() -> None:
    for call in _table():
        service, _, method = call.partition(".")
        built = operation(service, method)
        assert built.known
        assert built.rate_per_second > 0
        assert built.burst >= 1
        assert (built.cost_kind == "free") == (not built.billable)


def test_what_iam_counts_as_a_write_is_marked() -> None:
    writes = {call for call, row in _table().items() if row.get("writes")}
    assert "support.refresh_trusted_advisor_check" in writes
    assert "ec2.describe_instances" not in writes


def test_policy_is_sorted_least_and_allow_only() -> None:
    made = policy([("s3", "list_buckets"), ("ec2", "describe_volumes"), ("sts", "get_caller_identity")])
    assert [s["Effect"] for s in made["Statement"]] == ["Allow"] * 3
    assert [s["Action"] for s in made["Statement"]] == [
        ["ec2:DescribeRegions", "ec2:DescribeVolumes"],
        ["pricing:GetProducts"],
        ["s3:ListAllMyBuckets"],
    ]


def test_policy_grants_what_an_action_depends_on() -> None:
    assert actions([("compute-optimizer", "get_ebs_volume_recommendations")], live=False) == (
        "compute-optimizer:GetEBSVolumeRecommendations",
        "ec2:DescribeVolumes",
    )


def test_statement_ids_are_what_iam_accepts() -> None:
    made = policy([("compute-optimizer", "get_enrollment_status"), ("resource-explorer-2", "search")])
    assert all(statement["Sid"].isalnum() for statement in made["Statement"])
