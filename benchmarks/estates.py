"""The estates that the benchmarks serve: one of about 2,200 resources, one of 100,000."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pytest_finops.testing import Estate
from pytest_finops.testing.demo import balancer_arn, identifier

#: The hour that the benchmark began in: the peers take no other clock than the machine's.
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
GIB = 2**30
REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-west-1", "eu-west-2",
    "eu-west-3", "eu-central-1", "eu-north-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1",
    "ap-northeast-2", "ap-northeast-3",
)  # fmt: skip
FAMILIES = ("m5", "m6i", "c5", "r5", "t3")
SIZES = {"large": (2, 8), "xlarge": (4, 16), "2xlarge": (8, 32), "4xlarge": (16, 64)}


@dataclass(frozen=True, slots=True)
class Mix:
    """How many of each kind stand in one account and region.

    ``old_snapshots`` is the share in per cent of snapshots that people made and left for over 90 days; of the
    others half belong to a Data Lifecycle Manager policy or AWS Backup (a third of those over 90 days old), half
    are younger than 30 days. ``bare_groups``: load balancers without a target group (they redirect).
    """

    instances: int
    volumes: int
    snapshots: int
    databases: int
    balancers: int
    classic: int
    addresses: int
    gateways: int
    images: int
    templates: int
    vpcs: int
    subnets: int
    route_tables: int
    old_snapshots: int = 10

    @property
    def resources(self) -> int:
        """All of them."""
        names = [name for name in self.__slots__ if name != "old_snapshots"]
        return sum(int(getattr(self, name)) for name in names)


SAMPLE = Mix(
    instances=160, volumes=340, snapshots=400, databases=30, balancers=6, classic=1, addresses=30, gateways=4,
    images=50, templates=20, vpcs=6, subnets=36, route_tables=25, old_snapshots=2,
)  # fmt: skip
#: One of 40 targets: together 6,000 instances, 30,000 volumes, 45,000 snapshots, 1,000 databases, 2,000 load balancers.
LARGE = Mix(
    instances=150, volumes=750, snapshots=1125, databases=25, balancers=45, classic=5, addresses=120, gateways=6,
    images=130, templates=60, vpcs=8, subnets=48, route_tables=28,
)  # fmt: skip


def sample() -> Estate:
    """One account with two regions, about 2,200 resources."""
    return estate(SAMPLE, accounts=1, regions=("us-east-1", "eu-west-1"))


def large() -> Estate:
    """Ten accounts with four regions each, 100,000 resources."""
    return estate(LARGE, accounts=10, regions=("us-east-1", "us-west-2", "eu-west-1", "eu-central-1"))


def empty(accounts: int = 20) -> Estate:
    """An organization's worth of accounts with 17 regions each and nothing in them."""
    return estate(Mix(*(0 for _ in range(13))), accounts=accounts, regions=REGIONS)


def estate(mix: Mix, *, accounts: int, regions: tuple[str, ...]) -> Estate:
    """An estate with ``mix`` in each region of each account."""
    made = Estate(NOW)
    for number in range(1, accounts + 1):
        account_id = f"{number:012d}"
        made.account(account_id, f"account-{number}", regions=regions, access_key=f"AKIABENCH{number}")
        for region in regions:
            _Place(made, account_id, region).fill(mix)
    return made


def _tags(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _day(mean: float, swing: float) -> Callable[[datetime], float]:
    return lambda moment: round(mean + swing * (abs(moment.hour - 11.5) - 6) / 6, 3)


class _Place:
    def __init__(self, made: Estate, account_id: str, region: str) -> None:
        self.estate = made
        self.account_id = account_id
        self.region = region
        self.zones = tuple(f"{region}{letter}" for letter in "abc")

    def id(self, prefix: str, number: object) -> str:
        return identifier(prefix, self.account_id, self.region, str(number))

    def add(self, operation: str, **member: Any) -> None:
        self.estate.add(self.account_id, self.region, operation, **member)

    def put(self, operation: str, answer: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> None:
        self.estate.put(self.account_id, self.region, operation, answer, params)

    def metric(self, namespace: str, name: str, dimension: str, of: str, statistic: str, value: Any) -> None:
        self.estate.metric(self.account_id, self.region, namespace, name, {dimension: of}, statistic, value)

    def fill(self, mix: Mix) -> None:
        self._types()
        self.put("autoscaling.describe_launch_configurations", {})
        for number in range(mix.instances):
            self._instance(number)
        for number in range(mix.volumes):
            self._volume(number, mix)
        for number in range(mix.snapshots):
            self._snapshot(number, mix)
        for number in range(mix.images):
            self.add(
                "ec2.describe_images", ImageId=self.id("ami", number), OwnerId=self.account_id, State="available",
                Name=f"image-{number}", CreationDate="-200d",
                BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": self.id("snap", f"ami-{number}")}}],
            )  # fmt: skip
        for number in range(mix.templates):
            self._template(number)
        self._network(mix)
        for number in range(mix.balancers):
            self._balancer(number)
        for number in range(mix.classic):
            self._classic(number)
        self._databases(mix.databases)

    def _types(self) -> None:
        types = [
            {
                "InstanceType": f"{family}.{size}", "CurrentGeneration": True, "BareMetal": False, "Hypervisor": "nitro",
                "VCpuInfo": {"DefaultVCpus": cpus}, "MemoryInfo": {"SizeInMiB": gib * 1024},
                "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
            }
            for family in FAMILIES
            for size, (cpus, gib) in SIZES.items()
        ]  # fmt: skip
        self.put("ec2.describe_instance_types", {"InstanceTypes": types})
        offered = [
            {"InstanceType": one["InstanceType"], "LocationType": "availability-zone", "Location": zone}
            for one in types
            for zone in self.zones
        ]
        self.put("ec2.describe_instance_type_offerings", {"InstanceTypeOfferings": offered})

    def _instance(self, number: int) -> None:
        instance_id = self.id("i", number)
        managed = number % 4 == 3
        running = number % 8 != 5
        tags = _tags(Name=f"node-{number}", environment=("prod", "dev")[number % 2], team="web")
        if managed:
            tags += [{"Key": "aws:autoscaling:groupName", "Value": f"group-{number // 20}"}]
        self.add(
            "ec2.describe_instances", InstanceId=instance_id, LaunchTime="-90d", Architecture="x86_64",
            InstanceType=f"{FAMILIES[number % 5]}.{list(SIZES)[number % 4]}", UsageOperation="RunInstances",
            State={"Code": 16, "Name": "running"} if running else {"Code": 80, "Name": "stopped"},
            Placement={"AvailabilityZone": self.zones[number % 3], "Tenancy": "default"},
            PrivateIpAddress=f"10.0.{number // 250}.{number % 250}", SubnetId=self.id("subnet", number % 6),
            BlockDeviceMappings=[
                {"DeviceName": "/dev/xvda", "Ebs": {"VolumeId": self.id("vol", number), "Status": "attached"}}
            ],
            SecurityGroups=[{"GroupId": self.id("sg", number % 9), "GroupName": "web"}], Tags=tags,
        )  # fmt: skip
        if running:
            low = number % 5 == 0
            for statistic, value in (("Average", 4.0 if low else 45.0), ("Maximum", 9.0 if low else 80.0)):
                self.metric(
                    "AWS/EC2", "CPUUtilization", "InstanceId", instance_id, statistic, _day(value, value / 4)
                )

    def _volume(self, number: int, mix: Mix) -> None:
        # The first ones are the root volumes of the instances; a fifth of the others is attached to nothing.
        attached = number < mix.instances or number % 5 != 0
        kind = ("gp3", "gp2", "gp3")[number % 3]
        volume_id = self.id("vol", number)
        more = {"Throughput": 125} if kind == "gp3" else {}
        self.add(
            "ec2.describe_volumes", VolumeId=volume_id, Size=20 + number % 200, VolumeType=kind, Iops=3000,
            State="in-use" if attached else "available", AvailabilityZone=self.zones[number % 3],
            CreateTime="-200d", Encrypted=True,
            Attachments=[
                {"InstanceId": self.id("i", number % mix.instances), "VolumeId": volume_id, "State": "attached"}
            ] if attached else [],
            Tags=_tags(Name=f"disk-{number}", environment=("prod", "dev")[number % 2]), **more,
        )  # fmt: skip

    def _snapshot(self, number: int, mix: Mix) -> None:
        behind = mix.snapshots - 1 - number
        snapshot_id = self.id("snap", f"ami-{behind}" if behind < mix.images else number)
        left = number * 100 < mix.snapshots * mix.old_snapshots
        kept = not left and number % 2 == 0
        tags = _tags(Name=f"snapshot-{number}")
        if kept:
            key = ("aws:dlm:lifecycle-policy-id", "aws:backup:source-resource")[number // 2 % 2]
            tags += [{"Key": key, "Value": "policy-0123456789abcdef0"}]
        age = "-150d" if left or (kept and number % 6 == 0) else f"-{1 + number % 28}d"
        self.add(
            "ec2.describe_snapshots", SnapshotId=snapshot_id, VolumeId=self.id("vol", number % mix.volumes),
            VolumeSize=20 + number % 200, FullSnapshotSizeInBytes=8 * GIB, StartTime=age, State="completed",
            StorageTier="standard", OwnerId=self.account_id, Progress="100%", Encrypted=True, Tags=tags,
        )  # fmt: skip
        if age == "-150d":
            self.put(
                "ec2.describe_snapshot_attribute",
                {"SnapshotId": snapshot_id, "CreateVolumePermissions": []},
                {"SnapshotId": snapshot_id, "Attribute": "createVolumePermission"},
            )

    def _template(self, number: int) -> None:
        common = {"LaunchTemplateId": self.id("lt", number), "LaunchTemplateName": f"template-{number}"}
        self.add("ec2.describe_launch_templates", **common, CreateTime="-300d", LatestVersionNumber=1)
        self.add(
            "ec2.describe_launch_template_versions", **common, VersionNumber=1, DefaultVersion=True, CreateTime="-300d",
            LaunchTemplateData={"InstanceType": "m6i.large", "ImageId": self.id("ami", number)},
        )  # fmt: skip

    def _network(self, mix: Mix) -> None:
        for number in range(mix.vpcs):
            self.add("ec2.describe_vpcs", VpcId=self.id("vpc", number), IsDefault=False, State="available")
        for number in range(mix.subnets):
            self.add(
                "ec2.describe_subnets", SubnetId=self.id("subnet", number), VpcId=self.id("vpc", number % mix.vpcs),
                AvailabilityZone=self.zones[number % 3], State="available",
            )  # fmt: skip
        for number in range(mix.route_tables):
            gateway = self.id("nat", number % mix.gateways)
            self.add(
                "ec2.describe_route_tables", RouteTableId=self.id("rtb", number), VpcId=self.id("vpc", number % mix.vpcs),
                Associations=[{"SubnetId": self.id("subnet", number)}],
                Routes=[{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": gateway, "State": "active"}],
            )  # fmt: skip
        for number in range(mix.gateways):
            gateway = self.id("nat", number)
            self.add(
                "ec2.describe_nat_gateways", NatGatewayId=gateway, VpcId=self.id("vpc", number // 2),
                SubnetId=self.id("subnet", number), State="available", CreateTime="-300d", ConnectivityType="public",
                NatGatewayAddresses=[{"AllocationId": self.id("eipalloc", number), "IsPrimary": True}],
            )  # fmt: skip
            for direction in ("BytesInFromSource", "BytesOutToSource"):
                self.metric("AWS/NATGateway", direction, "NatGatewayId", gateway, "Sum", _day(GIB, GIB / 4))
        for number in range(mix.addresses):
            used = {"AssociationId": self.id("eipassoc", number), "InstanceId": self.id("i", number)}
            self.add(
                "ec2.describe_addresses", AllocationId=self.id("eipalloc", number), Domain="vpc",
                PublicIp=f"203.0.113.{number}", **(used if number % 4 else {}),
            )  # fmt: skip

    def _balancer(self, number: int) -> None:
        kind, word, namespace = (
            ("app", "application", "AWS/ApplicationELB"), ("net", "network", "AWS/NetworkELB"),
        )[number % 2]  # fmt: skip
        arn = balancer_arn(self.account_id, self.region, kind, f"balancer-{number}")
        self.add(
            "elbv2.describe_load_balancers", LoadBalancerArn=arn, LoadBalancerName=f"balancer-{number}", Type=word,
            CreatedTime="-300d", Scheme="internet-facing", State={"Code": "active"}, IpAddressType="ipv4",
            VpcId=self.id("vpc", 0), AvailabilityZones=[{"ZoneName": zone} for zone in self.zones[:2]],
        )  # fmt: skip
        self.add("elbv2.describe_tags", ResourceArn=arn, Tags=_tags(Name=f"balancer-{number}"))
        group = f"arn:aws:elasticloadbalancing:{self.region}:{self.account_id}:targetgroup/group-{number}/{arn[-16:]}"
        self.add(
            "elbv2.describe_target_groups", TargetGroupArn=group, TargetGroupName=f"group-{number}", TargetType="ip",
            LoadBalancerArns=[arn],
        )  # fmt: skip
        health = [{"Target": {"Id": "10.0.0.5", "Port": 443}, "TargetHealth": {"State": "healthy"}}]
        self.put(
            "elbv2.describe_target_health", {"TargetHealthDescriptions": health}, {"TargetGroupArn": group}
        )
        busy = 0.0 if number % 4 == 0 else 5000.0
        names = {
            "app": ("RequestCount", "ProcessedBytes", "ActiveConnectionCount"), "net": ("NewFlowCount", "ProcessedBytes"),
        }[kind]  # fmt: skip
        for name in names:
            self.metric(namespace, name, "LoadBalancer", arn.partition(":loadbalancer/")[2], "Sum", busy)

    def _classic(self, number: int) -> None:
        name = f"classic-{number}"
        self.add(
            "elb.describe_load_balancers", LoadBalancerName=name, CreatedTime="-900d", Scheme="internal",
            AvailabilityZones=list(self.zones[:2]), Instances=[{"InstanceId": self.id("i", number)}],
        )  # fmt: skip
        self.add("elb.describe_tags", LoadBalancerName=name, Tags=_tags(Name=name))
        state = {"InstanceStates": [{"InstanceId": self.id("i", number), "State": "InService"}]}
        self.put("elb.describe_instance_health", state, {"LoadBalancerName": name})
        for metric in ("RequestCount", "EstimatedProcessedBytes"):
            self.metric("AWS/ELB", metric, "LoadBalancerName", name, "Sum", 1000.0 * (number % 2))

    def _databases(self, count: int) -> None:
        orderable = [
            {
                "Engine": "postgres", "EngineVersion": "16.4", "DBInstanceClass": f"db.{family}.{size}",
                "LicenseModel": "postgresql-license", "StorageType": "gp3", "MultiAZCapable": True,
                "AvailabilityZones": [{"Name": zone} for zone in self.zones],
            }
            for family in ("m6g", "r6g", "t4g")
            for size in SIZES
        ]  # fmt: skip
        self.put("rds.describe_orderable_db_instance_options", {"OrderableDBInstanceOptions": orderable})
        for number in range(count):
            name = f"db-{number}"
            environment = ("prod", "dev", "staging")[number % 3]
            self.add(
                "rds.describe_db_instances", DBInstanceIdentifier=name, Engine="postgres", EngineVersion="16.4",
                DBInstanceArn=f"arn:aws:rds:{self.region}:{self.account_id}:db:{name}", DBInstanceStatus="available",
                DBInstanceClass=f"db.{('m6g', 'r6g')[number % 2]}.{list(SIZES)[number % 4]}", StorageType="gp3",
                AllocatedStorage=100, Iops=3000, LicenseModel="postgresql-license", MultiAZ=number % 2 == 0,
                AvailabilityZone=self.zones[number % 3], InstanceCreateTime="-400d",
                TagList=_tags(Name=name, environment=environment),
            )  # fmt: skip
            low = number % 4 == 0
            for metric, statistic, value in (
                ("CPUUtilization", "Average", 5.0 if low else 50.0), ("CPUUtilization", "Maximum", 12.0 if low else 90.0),
                ("FreeableMemory", "Minimum", 6.0 * GIB), ("DatabaseConnections", "Maximum", 40.0),
            ):  # fmt: skip
                self.metric(
                    "AWS/RDS", metric, "DBInstanceIdentifier", name, statistic, _day(value, value / 8)
                )
