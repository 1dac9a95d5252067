"""The replay endpoint as real boto3 clients see it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from botocore import xform_name
from botocore.awsrequest import HeadersDict
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    PaginationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError, create_parser
from botocore.serialize import create_serializer

from pytest_finops.testing import Estate, Fault, LoggedRequest, ReplayEndpoint
from pytest_finops.testing.wire import (
    decode_cbor,
    encode_cbor,
    operation_model,
    parse_request,
    service_model,
    success,
)

ACCOUNT = "111111111111"
OTHER = "222222222222"
REGION = "eu-west-1"
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

MakeClient = Callable[..., Any]


@pytest.fixture
def estate() -> Estate:
    estate = Estate(NOW)
    estate.account(ACCOUNT, "main", regions=("eu-west-1", "us-east-1"), access_key="AKIAMAIN")
    estate.account(OTHER, "other", regions=("us-east-1",), closed_regions=("af-south-1",))
    return estate


@pytest.fixture
def endpoint(estate: Estate) -> Iterator[ReplayEndpoint]:
    with ReplayEndpoint(estate) as started:
        yield started


@pytest.fixture
def client(endpoint: ReplayEndpoint) -> Iterator[MakeClient]:
    made = []

    def make(service: str, region: str = REGION, key: str = "AKIAMAIN", **config: Any) -> Any:
        settings: dict[str, Any] = {
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "read_timeout": 5,
        } | config
        made.append(
            boto3.client(
                service,
                region_name=region,
                endpoint_url=endpoint.url,
                aws_access_key_id=key,
                aws_secret_access_key="secret",
                config=Config(**settings),
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def add_volumes(estate: Estate, number: int, **more: Any) -> None:
    for index in range(number):
        estate.add(
            ACCOUNT,
            REGION,
            "ec2.describe_volumes",
            VolumeId=f"vol-{index:04}",
            Size=index,
            State="available" if index % 2 else "in-use",
            CreateTime="-45d",
            **more,
        )


def all_of(client: Any, operation: str, key: str, **params: Any) -> list[Any]:
    pages = client.get_paginator(operation).paginate(**params)
    return [member for page in pages for member in page[key]]


# -- answers ----------------------------------------------------------------------------------------------


def test_volumes_are_paged_and_read_back(
    estate: Estate, endpoint: ReplayEndpoint, client: MakeClient
) -> None:
    add_volumes(
        estate, 12, Tags=[{"Key": "Name", "Value": 'a <b> & "ü"'}], Encrypted=True, MultiAttachEnabled=False
    )
    ec2 = client("ec2")
    found = all_of(ec2, "describe_volumes", "Volumes", PaginationConfig={"PageSize": 5})
    assert [volume["VolumeId"] for volume in found] == [f"vol-{index:04}" for index in range(12)]
    assert found[3] == {
        "VolumeId": "vol-0003",
        "Size": 3,
        "State": "available",
        "CreateTime": NOW - timedelta(days=45),
        "Tags": [{"Key": "Name", "Value": 'a <b> & "ü"'}],
        "Encrypted": True,
        "MultiAttachEnabled": False,
    }
    assert endpoint.count("ec2", "describe_volumes") == 3
    assert endpoint.count("ec2", "DescribeVolumes", region="us-east-1") == 0
    assert endpoint.requests[0] == LoggedRequest(
        ACCOUNT, REGION, "ec2", "describe_volumes", {"MaxResults": 5}, 200
    )


def test_every_answer_has_its_own_request_id(estate: Estate, client: MakeClient) -> None:
    add_volumes(estate, 1)
    for service, operation in (
        ("ec2", "describe_volumes"),
        ("rds", "describe_db_instances"),
        ("cloudwatch", "list_metrics"),
        ("ecs", "list_clusters"),
    ):
        call = getattr(client(service), operation)
        ids = {call()["ResponseMetadata"]["RequestId"] for _ in range(2)}
        assert len(ids) == 2
        assert all(len(one) == 36 for one in ids)


def test_nothing_saved_is_an_empty_list(client: MakeClient) -> None:
    assert client("ec2").describe_volumes()["Volumes"] == []
    assert client("rds").describe_db_instances()["DBInstances"] == []
    assert client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    assert client("ecs").list_clusters()["clusterArns"] == []
    assert client("lambda").list_functions()["Functions"] == []
    assert client("efs").describe_file_systems()["FileSystems"] == []


def test_instances_are_wrapped_and_narrowed(estate: Estate, client: MakeClient) -> None:
    for index, state in enumerate(("running", "stopped", "running")):
        estate.add(
            ACCOUNT,
            REGION,
            "ec2.describe_instances",
            InstanceId=f"i-{index}",
            LaunchTime="-3h",
            State={"Name": state, "Code": 16},
            Tags=[{"Key": "team", "Value": "a" if index else "b"}],
        )
    ec2 = client("ec2")

    def ids(**params: Any) -> list[str]:
        answer = ec2.describe_instances(**params)["Reservations"]
        return [instance["InstanceId"] for group in answer for instance in group["Instances"]]

    assert ids() == ["i-0", "i-1", "i-2"]
    assert ids(InstanceIds=["i-2"]) == ["i-2"]
    assert ids(Filters=[{"Name": "instance-state-name", "Values": ["running"]}]) == ["i-0", "i-2"]
    assert ids(Filters=[{"Name": "tag:team", "Values": ["a*"]}]) == ["i-1", "i-2"]
    with pytest.raises(ClientError, match="InvalidParameterCombination"):
        ids(InstanceIds=["i-2"], MaxResults=5)


def test_snapshots_by_owner(estate: Estate, client: MakeClient) -> None:
    for index, owner in enumerate((ACCOUNT, "999999999999", ACCOUNT)):
        estate.add(
            ACCOUNT,
            REGION,
            "ec2.describe_snapshots",
            SnapshotId=f"snap-{index}",
            OwnerId=owner,
            StartTime="-1d",
        )
    ec2 = client("ec2")
    assert len(ec2.describe_snapshots()["Snapshots"]) == 3
    own = all_of(ec2, "describe_snapshots", "Snapshots", OwnerIds=["self"], PaginationConfig={"PageSize": 1})
    assert [snapshot["SnapshotId"] for snapshot in own] == ["snap-0", "snap-2"]


def test_databases_are_paged_by_marker(estate: Estate, endpoint: ReplayEndpoint, client: MakeClient) -> None:
    for index in range(45):
        estate.add(
            ACCOUNT,
            REGION,
            "rds.describe_db_instances",
            DBInstanceIdentifier=f"db-{index}",
            DBInstanceArn=f"arn:aws:rds:{REGION}:{ACCOUNT}:db:db-{index}",
            TagList=[{"Key": "k", "Value": "v"}],
            AllocatedStorage=index,
        )
    rds = client("rds")
    found = all_of(rds, "describe_db_instances", "DBInstances", PaginationConfig={"PageSize": 20})
    assert [one["AllocatedStorage"] for one in found] == list(range(45))
    assert found[0]["TagList"] == [{"Key": "k", "Value": "v"}]
    assert endpoint.count("rds") == 3
    one = rds.describe_db_instances(DBInstanceIdentifier="db-7")["DBInstances"]
    assert [database["DBInstanceIdentifier"] for database in one] == ["db-7"]


def test_both_load_balancer_services(estate: Estate, endpoint: ReplayEndpoint, client: MakeClient) -> None:
    arns = [f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/lb/{n}" for n in range(3)]
    for arn in arns:
        estate.add(
            ACCOUNT,
            REGION,
            "elbv2.describe_load_balancers",
            LoadBalancerArn=arn,
            LoadBalancerName="lb-" + arn[-1],
            CreatedTime="-2w",
        )
        estate.add(
            ACCOUNT,
            REGION,
            "elbv2.describe_tags",
            ResourceArn=arn,
            Tags=[{"Key": "n", "Value": arn[-1]}],
        )
        estate.put(
            ACCOUNT,
            REGION,
            "elbv2.describe_target_health",
            {
                "TargetHealthDescriptions": [
                    {"Target": {"Id": "i-" + arn[-1]}, "TargetHealth": {"State": "healthy"}}
                ]
            },
            params={"TargetGroupArn": arn},
        )
    estate.add(
        ACCOUNT,
        REGION,
        "elb.describe_load_balancers",
        LoadBalancerName="classic",
        Instances=[{"InstanceId": "i-1"}],
        CreatedTime="-400d",
    )
    elbv2, elb = client("elbv2"), client("elb")
    found = all_of(elbv2, "describe_load_balancers", "LoadBalancers", PaginationConfig={"PageSize": 2})
    assert [one["LoadBalancerArn"] for one in found] == arns
    assert found[0]["CreatedTime"] == NOW - timedelta(days=14)
    assert len(elbv2.describe_load_balancers(Names=["lb-1"])["LoadBalancers"]) == 1
    tags = elbv2.describe_tags(ResourceArns=[arns[2], arns[0]])["TagDescriptions"]
    assert [one["ResourceArn"] for one in tags] == [arns[0], arns[2]]
    health = elbv2.describe_target_health(TargetGroupArn=arns[1])["TargetHealthDescriptions"]
    assert health[0]["Target"]["Id"] == "i-1"
    assert elbv2.describe_target_health(TargetGroupArn="arn:other")["TargetHealthDescriptions"] == []
    classic = elb.describe_load_balancers()["LoadBalancerDescriptions"]
    assert classic[0]["Instances"] == [{"InstanceId": "i-1"}]
    assert {request.service for request in endpoint.requests} == {"elb", "elbv2"}


def test_accounts_regions_and_roles(estate: Estate, client: MakeClient) -> None:
    sts = client("sts")
    assert sts.get_caller_identity()["Account"] == ACCOUNT
    role = f"arn:aws:iam::{OTHER}:role/audit/reader"
    answer = sts.assume_role(RoleArn=role, RoleSessionName="run")
    key = answer["Credentials"]["AccessKeyId"]
    assert answer["Credentials"]["Expiration"] > datetime.now(UTC)
    assumed = client("sts", key=key).get_caller_identity()
    assert assumed["Account"] == OTHER
    assert assumed["Arn"] == f"arn:aws:sts::{OTHER}:assumed-role/reader/run"
    ec2 = client("ec2", key=key)
    assert [one["RegionName"] for one in ec2.describe_regions()["Regions"]] == ["us-east-1"]
    assert [one["OptInStatus"] for one in ec2.describe_regions(AllRegions=True)["Regions"]] == [
        "opt-in-not-required",
        "not-opted-in",
    ]
    with pytest.raises(ClientError, match="AuthFailure"):
        client("ec2", key=key, region="af-south-1").describe_volumes()
    estate.denied_roles.add(role)
    for refused in (role, "arn:aws:iam::333333333333:role/reader"):
        with pytest.raises(ClientError) as error:
            sts.assume_role(RoleArn=refused, RoleSessionName="run")
        assert error.value.response["Error"]["Code"] == "AccessDenied"
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("ec2", "describe_volumes", "AuthFailure"),
        ("rds", "describe_db_instances", "InvalidClientTokenId"),
        ("ecs", "list_clusters", "UnrecognizedClientException"),
    ],
)
def test_unknown_keys_are_refused(client: MakeClient, service: str, operation: str, code: str) -> None:
    with pytest.raises(ClientError) as error:
        getattr(client(service, key="AKIASTRANGER"), operation)()
    assert error.value.response["Error"]["Code"] == code


def test_an_action_that_botocore_does_not_know(client: MakeClient) -> None:
    ec2 = client("ec2")

    def rename(params: dict[str, Any], **_: Any) -> None:
        params["body"]["Action"] = "DescribeDreams"

    ec2.meta.events.register("before-call.ec2.DescribeVolumes", rename)
    with pytest.raises(ClientError, match="InvalidAction"):
        ec2.describe_volumes()


def test_saved_errors_and_global_services(estate: Estate, client: MakeClient) -> None:
    estate.refuse(ACCOUNT, REGION, "ec2.describe_addresses", "UnauthorizedOperation", "no")
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        client("ec2").describe_addresses()
    estate.put(ACCOUNT, "global", "ce.get_savings_plans_coverage", {"SavingsPlansCoverages": [{}]})
    period = {"Start": "2026-01-01", "End": "2026-02-01"}
    answer = client("ce", region="us-east-1").get_savings_plans_coverage(TimePeriod=period)
    assert answer["SavingsPlansCoverages"] == [{}]


def test_rest_json(estate: Estate, endpoint: ReplayEndpoint, client: MakeClient) -> None:
    estate.add(ACCOUNT, REGION, "lambda.list_functions", FunctionName="f", MemorySize=128)
    estate.put(
        ACCOUNT,
        REGION,
        "lambda.get_function_concurrency",
        {"ReservedConcurrentExecutions": 5},
        params={"FunctionName": "f"},
    )
    functions = client("lambda")
    assert functions.list_functions(MaxItems=10)["Functions"][0]["MemorySize"] == 128
    assert functions.get_function_concurrency(FunctionName="f")["ReservedConcurrentExecutions"] == 5
    assert endpoint.requests[-1].params == {"FunctionName": "f"}


def test_misspelt_members_and_operations_are_refused(estate: Estate) -> None:
    with pytest.raises(ValueError, match="has no member 'Sise'"):
        estate.add(ACCOUNT, REGION, "ec2.describe_volumes", Sise=1)
    with pytest.raises(ValueError, match=r"no operation ec2\.describe_dreams"):
        estate.put(ACCOUNT, REGION, "ec2.describe_dreams", {})
    with pytest.raises(ValueError, match="not in the estate"):
        estate.put("999999999999", REGION, "ec2.describe_volumes", {})


def test_buckets_zones_and_distributions(
    estate: Estate, endpoint: ReplayEndpoint, client: MakeClient, tmp_path: Path
) -> None:
    for index in range(5):
        estate.add(ACCOUNT, REGION, "s3.list_buckets", Name=f"b-{index}", CreationDate="-9d")
        zone = {"Id": f"/hostedzone/Z{index}", "Name": f"z{index}.example.", "CallerReference": "x"}
        estate.add(ACCOUNT, "global", "route53.list_hosted_zones", **zone)
    tags = [{"Key": "team", "Value": "a&b"}]
    owner = {"Type": "CanonicalUser", "ID": "1"}
    for operation, answer in {
        "get_bucket_tagging": {"TagSet": tags},
        "get_bucket_location": {"LocationConstraint": "EU"},
        "get_bucket_acl": {"Owner": {"ID": "1"}, "Grants": [{"Grantee": owner, "Permission": "READ"}]},
        "list_objects_v2": {"Contents": [{"Key": "a", "Size": 1}, {"Key": "b", "Size": 2}], "Name": "b-1"},
        "head_bucket": {"BucketRegion": REGION},
    }.items():
        estate.put(ACCOUNT, REGION, f"s3.{operation}", answer, params={"Bucket": "b-1"})
    estate.refuse(ACCOUNT, REGION, "s3.get_bucket_tagging", "NoSuchTagSet", "none", params={"Bucket": "b-2"})
    items = [{"Id": f"E{index}", "Status": "Deployed", "Enabled": True} for index in range(5)]
    for item in items:
        estate.add(ACCOUNT, "global", "cloudfront.list_distributions", **item)
    s3 = client("s3")

    found = all_of(s3, "list_buckets", "Buckets", PaginationConfig={"PageSize": 2})
    assert [one["Name"] for one in found] == [f"b-{index}" for index in range(5)]
    assert found[0]["CreationDate"] == NOW - timedelta(days=9)
    assert endpoint.count("s3", "list_buckets") == 3
    assert s3.get_bucket_tagging(Bucket="b-1")["TagSet"] == tags
    assert s3.get_bucket_location(Bucket="b-1")["LocationConstraint"] == "EU"
    assert s3.get_bucket_acl(Bucket="b-1")["Grants"][0]["Grantee"] == owner
    assert s3.head_bucket(Bucket="b-1")["BucketRegion"] == REGION
    objects = all_of(s3, "list_objects_v2", "Contents", Bucket="b-1", PaginationConfig={"PageSize": 1})
    assert [one["Size"] for one in objects] == [1, 2]
    with pytest.raises(ClientError) as refused:
        s3.get_bucket_tagging(Bucket="b-2")
    assert refused.value.response["Error"]["Code"] == "NoSuchTagSet"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert len(refused.value.response["ResponseMetadata"]["RequestId"]) == 36

    zones = all_of(client("route53"), "list_hosted_zones", "HostedZones", PaginationConfig={"PageSize": 2})
    assert [one["Name"] for one in zones] == [f"z{index}.example." for index in range(5)]
    cloudfront = client("cloudfront")
    pages = list(cloudfront.get_paginator("list_distributions").paginate(PaginationConfig={"PageSize": 2}))
    assert [page["DistributionList"]["Quantity"] for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page["DistributionList"]["Items"]] == items
    again = Estate.load(estate.save(tmp_path))
    assert (
        again.calls(ACCOUNT, "global", "cloudfront.list_distributions")[0].answer["DistributionList"]["Items"]
        == items
    )
    none = client("cloudfront", key=f"AKIA{OTHER}TEST").list_distributions()["DistributionList"]
    assert (none["Quantity"], none["IsTruncated"], none.get("Items", [])) == (0, False, [])
    endpoint.add_fault(Fault("throttle", "route53"))
    with pytest.raises(ClientError, match="Throttling"):
        client("route53").list_hosted_zones()
    endpoint.add_fault(Fault("throttle", "s3"))
    with pytest.raises(ClientError, match="SlowDown"):
        s3.list_buckets()
    endpoint.set_faults()
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        client("s3", key="AKIANOBODY").get_bucket_tagging(Bucket="b-9")


# -- metrics ----------------------------------------------------------------------------------------------


def query(number: int, metric: str = "CPUUtilization", period: int = 3600, stat: str = "Average") -> Any:
    return {
        "Id": f"q{number}",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/EC2",
                "MetricName": metric,
                "Dimensions": [{"Name": "InstanceId", "Value": f"i-{number}"}],
            },
            "Period": period,
            "Stat": stat,
        },
    }


END = datetime(2026, 3, 1, 12, tzinfo=UTC)


def declare(estate: Estate, number: int, value: Any, stat: str = "Average") -> None:
    sides = {"InstanceId": f"i-{number}"}
    estate.metric(ACCOUNT, REGION, "AWS/EC2", "CPUUtilization", sides, stat, value)


def by_hour(hour: datetime) -> float | None:
    return None if hour.hour == 10 else float(hour.hour)


def test_metric_data(estate: Estate, endpoint: ReplayEndpoint, client: MakeClient) -> None:
    declare(estate, 0, 2.5)
    declare(estate, 1, by_hour)
    declare(estate, 2, [("-2h", 1.0), (END - timedelta(hours=1), 3.0), ("-90d", 7.0)])
    answer = client("cloudwatch").get_metric_data(
        MetricDataQueries=[query(number) for number in range(4)],
        StartTime=END - timedelta(hours=4),
        EndTime=END,
    )
    zero, one, two, three = answer["MetricDataResults"]
    assert zero["Values"] == [2.5] * 4
    assert zero["Timestamps"][0] == END - timedelta(hours=1)
    assert one["Values"] == [11.0, 9.0, 8.0]
    assert two["Values"] == [3.0, 1.0]
    assert three["Values"] == []
    assert {result["StatusCode"] for result in answer["MetricDataResults"]} == {"Complete"}
    assert "NextToken" not in answer
    assert endpoint.requests[0].params["MetricDataQueries"][1]["MetricStat"]["Period"] == 3600


@pytest.mark.parametrize(
    ("stat", "expected"),
    [("Average", 11.5), ("Maximum", 23.0), ("Minimum", 0.0), ("Sum", 276.0)],
)
def test_coarser_periods(estate: Estate, client: MakeClient, stat: str, expected: float) -> None:
    declare(estate, 0, lambda hour: float(hour.hour), stat)
    day = datetime(2026, 2, 1, tzinfo=UTC)
    answer = client("cloudwatch").get_metric_data(
        MetricDataQueries=[query(0, period=86400, stat=stat)],
        StartTime=day,
        EndTime=day + timedelta(days=2),
        ScanBy="TimestampAscending",
    )
    assert answer["MetricDataResults"][0]["Timestamps"] == [day, day + timedelta(days=1)]
    assert answer["MetricDataResults"][0]["Values"] == [expected, expected]


def test_metric_data_is_paged(estate: Estate, client: MakeClient) -> None:
    for number in range(3):
        declare(estate, number, by_hour)
    cloudwatch = client("cloudwatch")
    asked = {
        "MetricDataQueries": [query(number) for number in range(4)],
        "StartTime": END - timedelta(days=2),
        "EndTime": END,
    }
    whole = cloudwatch.get_metric_data(**asked)["MetricDataResults"]
    pages = list(cloudwatch.get_paginator("get_metric_data").paginate(**asked, MaxDatapoints=50))
    assert len(pages) == 3
    values: dict[str, list[float]] = {}
    for page in pages:
        assert sum(len(result["Values"]) for result in page["MetricDataResults"]) <= 50
        for result in page["MetricDataResults"]:
            values.setdefault(result["Id"], []).extend(result["Values"])
    assert values == {result["Id"]: result["Values"] for result in whole}
    assert pages[0]["MetricDataResults"][-1]["StatusCode"] == "PartialData"


def test_metric_limits(client: MakeClient) -> None:
    cloudwatch = client("cloudwatch")
    window = {"StartTime": END - timedelta(days=1), "EndTime": END}
    with pytest.raises(ClientError, match="ValidationError"):
        cloudwatch.get_metric_data(MetricDataQueries=[query(n) for n in range(501)], **window)
    with pytest.raises(ClientError, match=r"ValidationError.*period|ValidationError.*Period"):
        cloudwatch.get_metric_data(MetricDataQueries=[query(0, period=90)], **window)
    with pytest.raises(ClientError, match="InvalidParameterCombination"):
        cloudwatch.get_metric_statistics(
            Namespace="AWS/EC2", MetricName="CPUUtilization", Period=60, Statistics=["Sum"],
            StartTime=END - timedelta(days=14), EndTime=END,
        )  # fmt: skip


def test_metric_statistics_and_list(estate: Estate, client: MakeClient) -> None:
    declare(estate, 0, 4)
    declare(estate, 0, 9, "Maximum")
    cloudwatch = client("cloudwatch")
    answer = cloudwatch.get_metric_statistics(
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": "i-0"}],
        Period=3600,
        Statistics=["Average", "Maximum"],
        StartTime=END - timedelta(hours=2),
        EndTime=END,
    )
    assert [(point["Average"], point["Maximum"]) for point in answer["Datapoints"]] == [(4.0, 9.0)] * 2
    listed = cloudwatch.list_metrics(Namespace="AWS/EC2")["Metrics"]
    assert listed == [
        {
            "Namespace": "AWS/EC2",
            "MetricName": "CPUUtilization",
            "Dimensions": [{"Name": "InstanceId", "Value": "i-0"}],
        }
    ]


# -- prices -----------------------------------------------------------------------------------------------


def test_products(estate: Estate, endpoint: ReplayEndpoint, client: MakeClient) -> None:
    for index in range(5):
        estate.products.append(
            {
                "serviceCode": "AmazonEC2",
                "product": {"sku": f"S{index}", "attributes": {"regionCode": REGION if index else "x"}},
                "terms": {},
            }
        )
    pricing = client("pricing", region="us-east-1")
    found = all_of(
        pricing,
        "get_products",
        "PriceList",
        ServiceCode="AmazonEC2",
        Filters=[{"Type": "TERM_MATCH", "Field": "regionCode", "Value": REGION}],
        PaginationConfig={"PageSize": 3},
    )
    assert [json.loads(one)["product"]["sku"] for one in found] == ["S1", "S2", "S3", "S4"]
    assert pricing.get_products(ServiceCode="AmazonRDS")["PriceList"] == []
    assert endpoint.count("pricing", "get_products") == 3


# -- faults -----------------------------------------------------------------------------------------------

SAMPLES = (
    ("ec2", "describe_volumes", "UnauthorizedOperation", 403, "RequestLimitExceeded", 503, "RequestExpired"),
    ("rds", "describe_db_instances", "AccessDenied", 403, "Throttling", 400, "ExpiredToken"),
    (
        "ecs",
        "list_clusters",
        "AccessDeniedException",
        400,
        "ThrottlingException",
        400,
        "ExpiredTokenException",
    ),
    ("cloudwatch", "list_metrics", "AccessDenied", 403, "Throttling", 400, "ExpiredToken"),
)


@pytest.mark.parametrize(
    ("service", "operation", "denied", "denied_status", "throttled", "throttled_status", "expired"), SAMPLES
)
def test_refusals(
    endpoint: ReplayEndpoint,
    client: MakeClient,
    service: str,
    operation: str,
    denied: str,
    denied_status: int,
    throttled: str,
    throttled_status: int,
    expired: str,
) -> None:
    for kind in ("error", "throttle", "expired"):
        endpoint.add_fault(Fault(kind, service, times=1))
    endpoint.add_fault(Fault("error", service, code="InternalFailure", times=1))
    call = getattr(client(service), operation)
    seen = []
    for _ in range(4):
        with pytest.raises(ClientError) as error:
            call()
        answer = error.value.response
        assert answer["ResponseMetadata"]["RequestId"]
        seen.append((answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]))
    assert seen[0] == (denied, denied_status)
    assert seen[1] == (throttled, throttled_status)
    assert seen[2][0] == expired
    assert seen[3] == ("InternalFailure", 500)
    assert call()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert [request.status for request in endpoint.requests][-1] == 200


def test_throttling_is_retried_by_botocore(
    estate: Estate, endpoint: ReplayEndpoint, client: MakeClient
) -> None:
    add_volumes(estate, 1)
    endpoint.add_fault(Fault("throttle", "ec2", "describe_volumes", ACCOUNT, REGION, times=1))
    ec2 = client("ec2", retries={"total_max_attempts": 3, "mode": "standard"})
    assert len(ec2.describe_volumes()["Volumes"]) == 1
    assert [request.status for request in endpoint.requests] == [503, 200]


@pytest.mark.parametrize("kind", ["html", "truncate", "empty_body"])
def test_broken_bodies(estate: Estate, endpoint: ReplayEndpoint, client: MakeClient, kind: Any) -> None:
    add_volumes(estate, 3)
    estate.put(ACCOUNT, REGION, "ecs.list_clusters", {"clusterArns": ["arn:a", "arn:b"]})
    endpoint.add_fault(Fault(kind))
    # botocore only complains about XML: broken JSON reads as an answer with nothing in it.
    if kind == "html":
        with pytest.raises((ResponseParserError, KeyError)):
            client("rds").describe_db_instances()
    else:
        with pytest.raises(ResponseParserError):
            client("ec2").describe_volumes()
    assert "clusterArns" not in client("ecs").list_clusters()


def test_strange_pages(estate: Estate, endpoint: ReplayEndpoint, client: MakeClient) -> None:
    add_volumes(estate, 6)
    ec2 = client("ec2")
    paging = {"PaginationConfig": {"PageSize": 2}}
    endpoint.add_fault(Fault("empty_page_with_token", "ec2", page=2, times=1))
    pages = list(ec2.get_paginator("describe_volumes").paginate(**paging))
    assert [len(page["Volumes"]) for page in pages] == [2, 0, 2, 2]
    endpoint.add_fault(Fault("missing_key", page=3, times=1))
    pages = list(ec2.get_paginator("describe_volumes").paginate(**paging))
    assert ["Volumes" in page for page in pages] == [True, True, False]
    endpoint.add_fault(Fault("repeat_token"))
    with pytest.raises(PaginationError, match="same next token"):
        all_of(ec2, "describe_volumes", "Volumes", **paging)


def test_partial_metric_data(estate: Estate, endpoint: ReplayEndpoint, client: MakeClient) -> None:
    declare(estate, 0, 1)
    endpoint.add_fault(Fault("partial_data", "cloudwatch", "get_metric_data"))
    answer = client("cloudwatch").get_metric_data(
        MetricDataQueries=[query(0)], StartTime=END - timedelta(hours=4), EndTime=END
    )
    (result,) = answer["MetricDataResults"]
    assert (result["StatusCode"], result["Values"]) == ("PartialData", [1.0, 1.0])


def test_strange_pages_of_metric_data(estate: Estate, endpoint: ReplayEndpoint, client: MakeClient) -> None:
    declare(estate, 0, 1)
    pages = client("cloudwatch").get_paginator("get_metric_data")
    asked = {
        "MetricDataQueries": [query(0)],
        "StartTime": END - timedelta(hours=4),
        "EndTime": END,
        "MaxDatapoints": 2,
    }
    endpoint.add_fault(Fault("empty_page_with_token", "cloudwatch", page=2, times=1))
    values = [[v for r in page["MetricDataResults"] for v in r["Values"]] for page in pages.paginate(**asked)]
    assert values == [[1.0, 1.0], [], [1.0, 1.0]]
    endpoint.add_fault(Fault("repeat_token"))
    with pytest.raises(PaginationError, match="same next token"):
        list(pages.paginate(**asked))


def test_connections_that_break(endpoint: ReplayEndpoint, client: MakeClient) -> None:
    endpoint.add_fault(Fault("reset", times=1))
    endpoint.add_fault(Fault("hang", times=1))
    ec2 = client("ec2", read_timeout=0.2)
    with pytest.raises(ConnectionClosedError):
        ec2.describe_volumes()
    with pytest.raises(ReadTimeoutError):
        ec2.describe_volumes()
    assert ec2.describe_volumes()["Volumes"] == []
    assert [request.status for request in endpoint.requests] == [0, 0, 200]


# -- saved inventories ------------------------------------------------------------------------------------


def test_save_and_load(estate: Estate, tmp_path: Path) -> None:
    add_volumes(estate, 3)
    estate.put(
        ACCOUNT, REGION, "elbv2.describe_target_health",
        {"TargetHealthDescriptions": [{"Target": {"Id": "i-1"}}]}, params={"TargetGroupArn": "arn:x"},
    )  # fmt: skip
    estate.refuse(ACCOUNT, REGION, "rds.describe_db_instances", "AccessDenied", "no")
    declare(estate, 0, 5)
    root = estate.save(tmp_path / "saved")
    loaded = Estate.load(root)
    assert loaded.now == NOW
    assert loaded.accounts[ACCOUNT].regions == ("eu-west-1", "us-east-1")
    assert (root / ACCOUNT / REGION / "ec2.describe_volumes.jsonl").stat().st_mode & 0o777 == 0o600
    for operation in ("ec2.describe_volumes", "elbv2.describe_target_health", "rds.describe_db_instances"):
        assert loaded.calls(ACCOUNT, REGION, operation) == estate.calls(ACCOUNT, REGION, operation)
    (series,) = loaded.metrics.values()
    assert len(list(series.points(NOW - timedelta(days=30), NOW))) == 14 * 24
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["metrics"] == "complete"
    assert (root / OTHER / "us-east-1" / "metrics.jsonl").read_text() == ""


def test_load_of_a_hand_written_document(tmp_path: Path, client: MakeClient) -> None:
    folder = tmp_path / ACCOUNT / REGION
    folder.mkdir(parents=True)
    (tmp_path / "manifest.json").write_text(
        json.dumps({"format": 1, "now": "2026-03-01T12:30:00Z", "targets": [{"account_id": ACCOUNT}]})
    )
    pages = [
        {"Volumes": [{"VolumeId": "vol-1", "CreateTime": "-1d", "NotYetInTheModel": 1}], "NextToken": "t"},
        {"Volumes": [{"VolumeId": "vol-2", "CreateTime": "2026-01-01T00:00:00Z"}]},
    ]
    (folder / "ec2.describe_volumes.json").write_text(
        json.dumps({"format": 1, "calls": [{"params": {}, "pages": pages, "error": None}]})
    )
    (folder / "empty.json").write_text('["ec2.describe_addresses"]')
    (call,) = Estate.load(tmp_path).calls(ACCOUNT, REGION, "ec2.describe_volumes")
    assert call.answer == {
        "Volumes": [
            {"VolumeId": "vol-1", "CreateTime": NOW - timedelta(days=1)},
            {"VolumeId": "vol-2", "CreateTime": datetime(2026, 1, 1, tzinfo=UTC)},
        ]
    }


# -- the rest ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [0, 23, 24, 255, 256, 65536, 2**32, -1, -500, 1.5, True, False, None, "ü", b"\x00", [1, [2]], {"a": NOW}],
)
def test_cbor_round_trip(value: Any) -> None:
    assert decode_cbor(encode_cbor(value)) == value


def test_cbor_of_indefinite_length() -> None:
    assert decode_cbor(b"\xbf\x61a\x9f\x01\x02\xff\x61b\x7f\x61x\x61y\xff\xff") == {"a": [1, 2], "b": "xy"}


def test_stop_leaves_nothing_open(estate: Estate) -> None:
    before = threading.active_count()
    with ReplayEndpoint(estate, latency=0.01, page_size=1) as endpoint:
        ec2 = boto3.client(
            "ec2",
            region_name=REGION,
            endpoint_url=endpoint.url,
            aws_access_key_id="AKIAMAIN",
            aws_secret_access_key="secret",
        )
        ec2.describe_volumes()
    assert threading.active_count() == before
    ec2.close()
    with pytest.raises(RuntimeError, match="not started"):
        _ = endpoint.url


def sample(shape: Any, depth: int = 0) -> Any:
    """Some value for every member that travels in the body."""
    match shape.type_name:
        case "structure":
            found = {
                name: value
                for name, member in shape.members.items()
                # An empty structure is lost in a form, so the recursion must not end in one.
                if (depth < 4 or member.type_name not in ("structure", "list", "map"))
                and (value := sample(member, depth + 1)) not in ({}, [{}, {}], {"k": {}})
            }
            return dict(list(found.items())[:1]) if shape.is_tagged_union else found
        case "list":
            return [sample(shape.member, depth + 1) for _ in range(2)]
        case "map":
            return {"k": sample(shape.value, depth + 1)}
        case "timestamp":
            return NOW
        case "integer" | "long":
            return 7
        case "float" | "double":
            return 1.5
        case "boolean":
            return True
        case "blob":
            return b"\x00x"
    return "s&<é"


@pytest.mark.parametrize("service", ["ec2", "rds", "elb", "elbv2", "cloudwatch", "sts", "pricing", "ce"])
def test_botocore_reads_and_writes_every_listing(service: str) -> None:
    model = service_model(service)
    protocols = [p for p in model.metadata["protocols"] if p == model.protocol or p != "query"]
    scope = f"Credential=AKIAMAIN/20260301/{REGION}/{model.signing_name}/aws4_request"
    for name in model.operation_names:
        if not name.startswith(("Describe", "Get", "List")):
            continue
        operation = operation_model(service, name)
        for protocol in protocols:
            if operation.output_shape is not None:
                answer = sample(operation.output_shape)
                sent = success(service, name, protocol, answer, "id")
                read = create_parser(protocol).parse(
                    {
                        "status_code": 200,
                        "headers": {key.lower(): value for key, value in sent.headers},
                        "body": sent.body,
                    },
                    operation.output_shape,
                )
                assert read.pop("ResponseMetadata")["RequestId"] == "id"
                assert read == answer, (name, protocol)
            if operation.input_shape is not None:
                params = sample(operation.input_shape)
                request = create_serializer(protocol, False).serialize_to_request(params, operation)
                body = request["body"]
                parsed = parse_request(
                    "POST",
                    request["url_path"],
                    {**request["headers"], "Authorization": scope},
                    urlencode(body).encode() if isinstance(body, dict) else bytes(body),
                )
                assert parsed.params == params, (name, protocol)
                assert (parsed.service, parsed.region) == (service, REGION)


@pytest.mark.parametrize("service", ["s3", "cloudfront", "route53"])
def test_botocore_reads_and_writes_every_listing_of_rest_xml(service: str) -> None:
    model = service_model(service)
    scope = f"Credential=AKIAMAIN/20260301/{REGION}/{model.signing_name}/aws4_request"
    seen = 0
    for name in model.operation_names:
        if not name.startswith(("Describe", "Get", "List", "Head")):
            continue
        operation = operation_model(service, name)
        if operation.deprecated or operation.has_event_stream_output or name == "ListDirectoryBuckets":
            continue  # the last differs from ListBuckets in nothing but its host
        answer = sample(operation.output_shape)
        sent = success(service, name, "rest-xml", answer, "id")
        raw = {
            "status_code": 200,
            "headers": HeadersDict(sent.headers),
            "body": sent.body,
        }
        if name == "GetBucketLocation":
            # botocore reads this one by a handler of its own, not by its parser.
            assert b">s&amp;&lt;\xc3\xa9</LocationConstraint>" in sent.body
        else:
            read = create_parser("rest-xml").parse(raw, operation.output_shape)
            assert read.pop("ResponseMetadata")["RequestId"] == "id"
            payload = operation.output_shape.serialization.get("payload", "")
            if isinstance(answer.get(payload), bytes):
                # A blob is the whole body, which botocore hands out as a stream or as text.
                assert sent.body == answer.pop(payload)
                read.pop(payload)
            assert read == answer, name
        params = sample(operation.input_shape) if operation.input_shape is not None else {}
        request = create_serializer("rest-xml", False).serialize_to_request(params, operation)
        target = request["url_path"]
        if request["query_string"]:
            target += ("&" if "?" in target else "?") + urlencode(request["query_string"], doseq=True)
        headers = {**request["headers"], "Authorization": scope}
        parsed = parse_request(request["method"], target, headers, request["body"])
        assert (parsed.operation, parsed.protocol) == (xform_name(name), "rest-xml"), target
        assert parsed.params == params, name
        seen += 1
    assert seen > 30


def test_a_body_in_chunks_is_read_as_a_proxy_sends_it() -> None:
    import http.client

    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential=AKIA{ACCOUNT}TEST/20260101/{REGION}/lambda/aws4_request, SignedHeaders=host, Signature=x"}  # fmt: skip
    estate = Estate(NOW)
    estate.account(ACCOUNT, regions=(REGION,))
    with ReplayEndpoint(estate) as endpoint:
        connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"))
        for _ in range(2):  # what is left unread would be taken for the next request
            connection.request("GET", "/2015-03-31/functions", iter([]), headers, encode_chunked=True)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b'{"Functions": []}')
        connection.close()
