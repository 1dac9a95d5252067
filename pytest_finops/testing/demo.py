"""The sample estate behind ``--finops-demo``: two accounts, two regions, waste, healthy resources and traps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from pytest_finops.testing.estate import Estate

PROD = "111122223333"
DEV = "444455556666"
PARTNER = "999988887777"
US = "us-east-1"
EU = "eu-west-1"
GIB = 2**30

Rule = Callable[[datetime], float | None]
Load = float | Rule

_ZONES = {US: ("us-east-1a", "us-east-1b", "us-east-1c"), EU: ("eu-west-1a", "eu-west-1b", "eu-west-1c")}
#: A zone of older hardware: families of the last years are not offered there.
_OLD_ZONE = "us-east-1e"

_LARGE = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16}
#: Family -> MiB of memory per vCPU and sizes with their vCPUs.
_FAMILIES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "m3": (3840, {"medium": 1, "large": 2, "xlarge": 4, "2xlarge": 8}),
    "m4": (4096, _LARGE),
    "m5": (4096, _LARGE),
    "m6i": (4096, _LARGE),
    "m7i-flex": (4096, _LARGE),
    "m6g": (4096, {"medium": 1, **_LARGE}),
    "c4": (1920, _LARGE),
    "c5": (2048, _LARGE),
    "c6i": (2048, _LARGE),
    "c7i-flex": (2048, _LARGE),
    "r4": (7808, _LARGE),
    "r5": (8192, _LARGE),
    "r6i": (8192, _LARGE),
    "r6g": (8192, {"medium": 1, **_LARGE}),
}
#: Burstable size -> vCPUs of t2, vCPUs of t3, MiB of memory.
_BURSTABLE = {
    "nano": (1, 2, 512),
    "micro": (1, 2, 1024),
    "small": (1, 2, 2048),
    "medium": (2, 2, 4096),
    "large": (2, 2, 8192),
}
_XEN = frozenset({"t2", "m3", "m4", "c4", "r4"})
_NOT_CURRENT = frozenset({"m3", "m4", "m5", "c4", "c5", "r4", "r5", "m6i", "r6i"})
_NEW = frozenset({"m6i", "m7i-flex", "m6g", "c6i", "c7i-flex", "r6i", "r6g"})

_LICENCES = {
    "mysql": ("general-public-license",),
    "postgres": ("postgresql-license",),
    "oracle-se2": ("bring-your-own-license", "license-included"),
}
_VERSIONS = {
    "mysql": "8.0.39",
    "postgres": "16.4",
    "oracle-se2": "19.0.0.0.ru-2024-10.rur-2024-10.r1",
    "aurora-postgresql": "16.4",
    "docdb": "5.0.0",
    "neptune": "1.3.2.1",
}
_ORDERABLE_FAMILIES = {
    "mysql": ("m5", "m6g", "r5", "r6g", "t3"),
    "postgres": ("m5", "m6g", "r5", "r6g", "t3"),
    "oracle-se2": ("m5", "r5", "t3"),
}


def identifier(prefix: str, account_id: str, region: str, name: str) -> str:
    """The id of the resource of this name, in AWS's form: a prefix and 17 hexadecimal digits."""
    digest = hashlib.sha256(f"{account_id}/{region}/{prefix}/{name}".encode()).hexdigest()
    return f"{prefix}-0{digest[:16]}"


def balancer_arn(account_id: str, region: str, kind: str, name: str) -> str:
    """The ARN of the load balancer of this name; kind is app, net or gwy."""
    digest = hashlib.sha256(f"{account_id}/{region}/{kind}/{name}".encode()).hexdigest()[:16]
    return f"arn:aws:elasticloadbalancing:{region}:{account_id}:loadbalancer/{kind}/{name}/{digest}"


def demo_estate(now: datetime) -> Estate:
    """The sample estate as it stands at `now`; the same at every call but for its dates."""
    estate = Estate(now)
    estate.account(PROD, "prod", regions=(US, EU))
    estate.account(DEV, "dev", regions=(US, EU))
    _prod_us(_Place(estate, PROD, US, "prod"))
    _prod_eu(_Place(estate, PROD, EU, "prod"))
    _dev_us(_Place(estate, DEV, US, "dev"))
    _dev_eu(_Place(estate, DEV, EU, "dev"))
    return estate


# -- metrics by rule --------------------------------------------------------------------------------------


def _wave(mean: float, swing: float = 0.0) -> Rule:
    """A day that rises and falls around its mean by at most `swing`."""

    def at(moment: datetime) -> float:
        return mean + swing * (abs(moment.hour - 11.5) - 6) / 6

    return at


def _load(value: Load) -> Rule:
    return value if callable(value) else _wave(value, value / 10)


def _but_for(rule: Rule, silent: Callable[[datetime], bool]) -> Rule:
    return lambda moment: None if silent(moment) else rule(moment)


def _seldom(usual: float, peak: float) -> Rule:
    """A peak of one hour on Mondays: a window maximum, but no p95."""
    return lambda moment: peak if (moment.weekday(), moment.hour) == (0, 3) else usual


# -- what stands in one account and region ----------------------------------------------------------------


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items() if value]


class _Place:
    """Adds resources to one account and region of the estate."""

    def __init__(self, estate: Estate, account_id: str, region: str, environment: str):
        self.estate = estate
        self.account_id = account_id
        self.region = region
        self.environment = environment
        self.zones = _ZONES[region]
        self._orderable: set[str] = set()
        self._addresses = 0
        self._types()
        self.add("autoscaling.describe_launch_configurations")

    def add(self, operation: str, **member: Any) -> None:
        """Append a member; without one the operation answers with nothing."""
        if member:
            self.estate.add(self.account_id, self.region, operation, **member)
        else:
            self.estate.put(self.account_id, self.region, operation, {})

    def id(self, prefix: str, name: str) -> str:
        """The id of the resource of this name."""
        return identifier(prefix, self.account_id, self.region, name)

    def arn(self, service: str, rest: str) -> str:
        """The ARN of a resource here."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{rest}"

    def labels(self, name: str, team: str, **more: str) -> list[dict[str, str]]:
        """Name, owner, team and environment; an `environment` of "" leaves that one out."""
        owner = {"team": team, "owner": f"{team}@example.com"} if team else {}
        tags = {"Name": name, "environment": self.environment, **owner, **more}
        return _tags(tags)

    def metric(self, namespace: str, name: str, dimension: str, of: str, statistic: str, rule: Rule) -> None:
        """Declare an hourly series."""
        self.estate.metric(self.account_id, self.region, namespace, name, {dimension: of}, statistic, rule)

    # -- instance types -----------------------------------------------------------------------------------

    def _types(self) -> None:
        for family, (mib, sizes) in _FAMILIES.items():
            for size, vcpus in sizes.items():
                self._type(family, size, vcpus, mib * vcpus)
        for size, (t2, t3, mib) in _BURSTABLE.items():
            self._type("t2", size, t2, mib)
            self._type("t3", size, t3, mib)
        self._type("m5", "metal", 96, 393216)
        gpu = {"Name": "T4", "Manufacturer": "NVIDIA", "Count": 1, "MemoryInfo": {"SizeInMiB": 16384}}
        self._type("g4dn", "xlarge", 4, 16384, GpuInfo={"Gpus": [gpu], "TotalGpuMemoryInMiB": 16384})

    def _type(self, family: str, size: str, vcpus: int, mib: int, **more: Any) -> None:
        name = f"{family}.{size}"
        metal = size == "metal"
        cores = vcpus if family in ("t2", "m6g", "r6g") else max(vcpus // 2, 1)
        self.add(
            "ec2.describe_instance_types",
            InstanceType=name,
            CurrentGeneration=family not in _NOT_CURRENT,
            BareMetal=metal,
            **({} if metal else {"Hypervisor": "xen" if family in _XEN else "nitro"}),
            BurstablePerformanceSupported=family in ("t2", "t3"),
            ProcessorInfo={"SupportedArchitectures": ["arm64" if family in ("m6g", "r6g") else "x86_64"]},
            VCpuInfo={
                "DefaultVCpus": vcpus,
                "DefaultCores": cores,
                "DefaultThreadsPerCore": vcpus // cores,
            },
            MemoryInfo={"SizeInMiB": mib},
            InstanceStorageSupported=False,
            SupportedUsageClasses=["on-demand", "spot"],
            **more,
        )
        old = (_OLD_ZONE,) if self.region == US and family not in _NEW else ()
        for zone in (*self.zones, *old):
            self.add(
                "ec2.describe_instance_type_offerings",
                InstanceType=name,
                LocationType="availability-zone",
                Location=zone,
            )

    # -- compute ------------------------------------------------------------------------------------------

    def instance(
        self,
        name: str,
        type_name: str,
        cpu: tuple[Load, Load] | None,
        *,
        team: str = "platform",
        age: str = "-200d",
        zone: str = "",
        state: str = "running",
        windows: bool = False,
        tags: Mapping[str, str] | None = None,
        **more: Any,
    ) -> str:
        """An instance with a 30 GiB gp3 root volume; cpu is (mean of averages, maxima), None: no metrics."""
        instance_id, zone = self.id("i", name), zone or self.zones[0]
        codes = {"running": 16, "stopped": 80, "terminated": 48}
        platform = {"Platform": "windows"} if windows else {}
        volume_id = self.volume(f"{name}-root", 30, "gp3", on=instance_id, team=team, age="-300d", zone=zone)
        self.add(
            "ec2.describe_instances",
            InstanceId=instance_id,
            InstanceType=type_name,
            ImageId=self.id("ami", "base"),
            LaunchTime=age,
            State={"Code": codes[state], "Name": state},
            Architecture="x86_64",
            VirtualizationType="hvm",
            PlatformDetails="Windows" if windows else "Linux/UNIX",
            UsageOperation="RunInstances:0002" if windows else "RunInstances",
            RootDeviceName="/dev/xvda",
            RootDeviceType="ebs",
            BlockDeviceMappings=[
                {
                    "DeviceName": "/dev/xvda",
                    "Ebs": {"VolumeId": volume_id, "Status": "attached", "DeleteOnTermination": True},
                }
            ],
            NetworkInterfaces=[{"NetworkInterfaceId": self.id("eni", name), "Status": "in-use"}],
            Monitoring={"State": "disabled"},
            EbsOptimized=True,
            Tags=self.labels(name, team, **(tags or {})),
            **{
                "Placement": {"AvailabilityZone": zone, "Tenancy": "default"},
                **platform,
                **more,
            },
        )
        if cpu is not None:
            for statistic, value in zip(("Average", "Maximum"), cpu, strict=True):
                rule = _load(value)
                self.metric("AWS/EC2", "CPUUtilization", "InstanceId", instance_id, statistic, rule)
        return instance_id

    # -- storage ------------------------------------------------------------------------------------------

    def volume(
        self,
        name: str,
        gib: int,
        kind: str,
        *,
        iops: int = 0,
        throughput: int = 0,
        on: str = "",
        team: str = "platform",
        age: str = "-300d",
        zone: str = "",
        state: str = "",
        tags: Mapping[str, str] | None = None,
        **more: Any,
    ) -> str:
        """A volume, attached to `on` or available."""
        volume_id = self.id("vol", name)
        usual = {"gp3": 3000, "gp2": min(max(3 * gib, 100), 16000)}.get(kind)
        attachment = {
            "InstanceId": on,
            "VolumeId": volume_id,
            "Device": "/dev/xvda" if name.endswith("-root") else "/dev/sdf",
            "State": "attached",
            "AttachTime": age,
            "DeleteOnTermination": name.endswith("-root"),
        }
        if iops or usual:
            more["Iops"] = iops or usual
        if kind == "gp3":
            more["Throughput"] = throughput or 125
        self.add(
            "ec2.describe_volumes",
            VolumeId=volume_id,
            Size=gib,
            VolumeType=kind,
            State=state or ("in-use" if on else "available"),
            AvailabilityZone=zone or self.zones[0],
            CreateTime=age,
            Encrypted=True,
            MultiAttachEnabled=False,
            SnapshotId="",
            Attachments=[attachment] if on else [],
            Tags=self.labels(name, team, **(tags or {})),
            **more,
        )
        return volume_id

    def snapshot(
        self,
        name: str,
        gib: int,
        age: str,
        *,
        full_gib: int = 0,
        of: str = "",
        shared: Iterable[Mapping[str, str]] = (),
        state: str = "completed",
        tier: str = "standard",
        owner: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """A snapshot of volume `of`; without one, of a volume that is gone."""
        snapshot_id = self.id("snap", name)
        self.add(
            "ec2.describe_snapshots",
            SnapshotId=snapshot_id,
            VolumeId=of or self.id("vol", f"gone-{name}"),
            VolumeSize=gib,
            FullSnapshotSizeInBytes=(full_gib or gib) * GIB,
            StartTime=age,
            State=state,
            StorageTier=tier,
            Progress="100%",
            OwnerId=owner or self.account_id,
            Encrypted=not owner,
            Description=name.replace("-", " "),
            Tags=self.labels(name, "platform", **(tags or {})),
        )
        self.estate.put(
            self.account_id,
            self.region,
            "ec2.describe_snapshot_attribute",
            {"SnapshotId": snapshot_id, "CreateVolumePermissions": list(shared)},
            {"SnapshotId": snapshot_id, "Attribute": "createVolumePermission"},
        )
        return snapshot_id

    def image(self, name: str, snapshot_id: str, state: str = "available") -> None:
        """An AMI made of one snapshot."""
        self.add(
            "ec2.describe_images",
            ImageId=self.id("ami", name),
            Name=name,
            OwnerId=self.account_id,
            State=state,
            CreationDate="-400d",
            RootDeviceName="/dev/xvda",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id}}],
            Tags=self.labels(name, "platform"),
        )

    def template(self, name: str, snapshot_id: str) -> None:
        """A launch template whose data volume is made of a snapshot."""
        template_id = self.id("lt", name)
        common = {"LaunchTemplateId": template_id, "LaunchTemplateName": name, "CreateTime": "-300d"}
        self.add(
            "ec2.describe_launch_templates",
            **common,
            DefaultVersionNumber=1,
            LatestVersionNumber=1,
            Tags=self.labels(name, "platform"),
        )
        mapping = {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot_id, "VolumeType": "gp3"}}
        self.add(
            "ec2.describe_launch_template_versions",
            **common,
            VersionNumber=1,
            DefaultVersion=True,
            LaunchTemplateData={"InstanceType": "m6i.large", "BlockDeviceMappings": [mapping]},
        )

    def launch_configuration(self, name: str, snapshot_id: str) -> None:
        """A launch configuration whose data volume is made of a snapshot."""
        self.add(
            "autoscaling.describe_launch_configurations",
            LaunchConfigurationName=name,
            ImageId=self.id("ami", "base"),
            InstanceType="m5.large",
            CreatedTime="-900d",
            BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot_id}}],
        )

    # -- network ------------------------------------------------------------------------------------------

    def address(self, name: str, *, tags: Mapping[str, str] | None = None, **more: Any) -> str:
        """An Elastic IP address; `more` is what it is associated with."""
        allocation_id = self.id("eipalloc", name)
        self._addresses += 1
        block = {(PROD, US): 10, (PROD, EU): 20, (DEV, US): 30, (DEV, EU): 40}[self.account_id, self.region]
        self.add(
            "ec2.describe_addresses",
            AllocationId=allocation_id,
            PublicIp=f"203.0.113.{block + self._addresses}",
            Domain="vpc",
            NetworkBorderGroup=self.region,
            Tags=self.labels(name, "network", **(tags or {})),
            **{"PublicIpv4Pool": "amazon", **more},
        )
        return allocation_id

    def vpc(self, name: str, private: Iterable[str], **tags: str) -> str:
        """A VPC with a public subnet in each zone, and private subnets in the zones `private`."""
        vpc_id = self.id("vpc", name)
        self.add(
            "ec2.describe_vpcs",
            VpcId=vpc_id,
            CidrBlock="10.0.0.0/16",
            State="available",
            IsDefault=False,
            OwnerId=self.account_id,
            Tags=self.labels(name, "network", **tags),
        )
        places = [(f"{name}-public-{zone[-1]}", zone) for zone in self.zones]
        places += [(f"{name}-private-{zone[-1]}", zone) for zone in private]
        for number, (subnet, zone) in enumerate(places):
            subnet_id = self.id("subnet", subnet)
            self.add(
                "ec2.describe_subnets",
                SubnetId=subnet_id,
                SubnetArn=self.arn("ec2", f"subnet/{subnet_id}"),
                VpcId=vpc_id,
                AvailabilityZone=zone,
                CidrBlock=f"10.0.{number}.0/24",
                AvailableIpAddressCount=200,
                State="available",
                Tags=self.labels(subnet, "network", **tags),
            )
        self._table(f"{name}-main", vpc_id, [{"Main": True}], {"GatewayId": self.id("igw", name)})
        return vpc_id

    def _table(
        self, name: str, vpc_id: str, associations: list[dict[str, Any]], route: Mapping[str, str]
    ) -> None:
        self.add(
            "ec2.describe_route_tables",
            RouteTableId=self.id("rtb", name),
            VpcId=vpc_id,
            OwnerId=self.account_id,
            Associations=associations,
            Routes=[
                {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"},
                {"DestinationCidrBlock": "0.0.0.0/0", "State": "active", **route},
            ],
            Tags=self.labels(name, "network"),
        )

    def nat(
        self,
        name: str,
        vpc: str,
        zone: int,
        gib_an_hour: float | None,
        *,
        routed: bool = True,
        age: str = "-400d",
        state: str = "available",
        addresses: int = 1,
        **more: Any,
    ) -> str:
        """A NAT gateway in the public subnet of a zone; routed: the zone's private subnet leads to it."""
        gateway_id = self.id("nat", name)
        letter = self.zones[zone][-1]
        held = []
        for number in range(addresses):
            eni = self.id("eni", f"{name}-{number}")
            allocation_id = self.address(
                f"{name}-{number}",
                AssociationId=self.id("eipassoc", f"{name}-{number}"),
                NetworkInterfaceId=eni,
                PrivateIpAddress=f"10.0.{zone}.{10 + number}",
            )
            held.append(
                {
                    "AllocationId": allocation_id,
                    "NetworkInterfaceId": eni,
                    "IsPrimary": number == 0,
                    "Status": "succeeded",
                }
            )
        self.add(
            "ec2.describe_nat_gateways",
            NatGatewayId=gateway_id,
            VpcId=self.id("vpc", vpc),
            SubnetId=self.id("subnet", f"{vpc}-public-{letter}"),
            State=state,
            CreateTime=age,
            NatGatewayAddresses=held,
            Tags=self.labels(name, "network"),
            **{"ConnectivityType": "public", **more},
        )
        if routed:
            associations = [{"Main": False, "SubnetId": self.id("subnet", f"{vpc}-private-{letter}")}]
            self._table(
                f"{vpc}-private-{letter}", self.id("vpc", vpc), associations, {"NatGatewayId": gateway_id}
            )
        if gib_an_hour is not None:
            # Half of the bytes in each direction.
            half = _wave(gib_an_hour * GIB / 2)
            for direction in ("BytesInFromSource", "BytesOutToSource"):
                self.metric("AWS/NATGateway", direction, "NatGatewayId", gateway_id, "Sum", half)
        return gateway_id

    def balancer(
        self,
        kind: str,
        name: str,
        zones: int,
        *,
        public: bool = True,
        age: str = "-300d",
        state: str = "active",
        healthy: int = 0,
        targets: int = 2,
        metrics: Mapping[str, float] | None = None,
        team: str = "web",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """An Application (app), Network (net) or Gateway (gwy) Load Balancer with a target group."""
        arn = balancer_arn(self.account_id, self.region, kind, name)
        word, namespace = {
            "app": ("application", "AWS/ApplicationELB"),
            "net": ("network", "AWS/NetworkELB"),
            "gwy": ("gateway", "AWS/GatewayELB"),
        }[kind]
        facing = {"Scheme": "internet-facing" if public else "internal"} if kind != "gwy" else {}
        self.add(
            "elbv2.describe_load_balancers",
            LoadBalancerArn=arn,
            LoadBalancerName=name,
            DNSName=f"{name}-{arn[-10:]}.elb.{self.region}.amazonaws.com",
            CreatedTime=age,
            Type=word,
            State={"Code": state},
            IpAddressType="ipv4",
            VpcId=self.id("vpc", f"{self.environment}-core"),
            AvailabilityZones=[
                {
                    "ZoneName": zone,
                    "SubnetId": self.id("subnet", f"{self.environment}-core-public-{zone[-1]}"),
                }
                for zone in self.zones[:zones]
            ],
            **facing,
        )
        self.add(
            "elbv2.describe_tags",
            ResourceArn=arn,
            Tags=self.labels(name, team, **(tags or {})),
        )
        for metric, value in (metrics or {}).items():
            dimension = arn.partition(":loadbalancer/")[2]
            self.metric(namespace, metric, "LoadBalancer", dimension, "Sum", _wave(value))
        group = self.arn("elasticloadbalancing", f"targetgroup/{name}/{arn[-16:]}")
        self.add(
            "elbv2.describe_target_groups",
            TargetGroupArn=group,
            TargetGroupName=name,
            Protocol={"app": "HTTP", "net": "TCP", "gwy": "GENEVE"}[kind],
            Port=6081 if kind == "gwy" else 443,
            TargetType="ip",
            VpcId=self.id("vpc", f"{self.environment}-core"),
            LoadBalancerArns=[arn],
        )
        health = [
            {
                "Target": {"Id": f"10.0.{10 + number}.25", "Port": 443},
                "TargetHealth": {"State": "healthy" if number < healthy else "unhealthy"},
            }
            for number in range(targets)
        ]
        self.estate.put(
            self.account_id,
            self.region,
            "elbv2.describe_target_health",
            {"TargetHealthDescriptions": health},
            {"TargetGroupArn": group},
        )
        return arn

    def classic(self, name: str, zones: int, instance_id: str, requests: float | None = None) -> None:
        """An internet-facing Classic Load Balancer before one instance; without requests it has no metrics."""
        self.add(
            "elb.describe_load_balancers",
            LoadBalancerName=name,
            DNSName=f"{name}-1234567890.{self.region}.elb.amazonaws.com",
            CreatedTime="-900d",
            Scheme="internet-facing",
            AvailabilityZones=list(self.zones[:zones]),
            VPCId=self.id("vpc", f"{self.environment}-core"),
            Instances=[{"InstanceId": instance_id}],
        )
        self.add("elb.describe_tags", LoadBalancerName=name, Tags=self.labels(name, "web"))
        health = "InService" if requests else "OutOfService"
        self.estate.put(
            self.account_id,
            self.region,
            "elb.describe_instance_health",
            {"InstanceStates": [{"InstanceId": instance_id, "State": health}]},
            {"LoadBalancerName": name},
        )
        if requests:
            for metric, value in (("RequestCount", requests), ("EstimatedProcessedBytes", requests * 2048)):
                self.metric("AWS/ELB", metric, "LoadBalancerName", name, "Sum", _wave(value))

    # -- databases ----------------------------------------------------------------------------------------

    def database(
        self,
        name: str,
        engine: str,
        size: str,
        cpu: tuple[Load, Load] | None,
        *,
        free_gib: float = 4.0,
        storage: str = "gp3",
        gib: int = 100,
        multi_az: bool = False,
        age: str = "-500d",
        status: str = "available",
        team: str = "data",
        environment: str | None = None,
        cluster: str = "",
        connections: float = 20.0,
        **more: Any,
    ) -> None:
        """A database instance; with `cluster`, a member of it. An environment of "" leaves the tag out."""
        version = _VERSIONS[engine]
        licence = _LICENCES.get(engine, ("general-public-license",))[0]
        word = self.environment if environment is None else environment
        arn = self.arn("rds", f"db:{name}")
        if storage == "gp3":
            more = {"Iops": 3000, "StorageThroughput": 125, **more}
        if cluster:
            more |= {"DBClusterIdentifier": cluster}
        self.add(
            "rds.describe_db_instances",
            DBInstanceIdentifier=name,
            DBInstanceArn=arn,
            DBInstanceClass=f"db.{size}",
            Engine=engine,
            EngineVersion=version,
            LicenseModel=licence,
            DBInstanceStatus=status,
            MultiAZ=multi_az,
            AvailabilityZone=self.zones[0],
            StorageType=storage,
            AllocatedStorage=gib,
            InstanceCreateTime=age,
            BackupRetentionPeriod=7,
            PubliclyAccessible=False,
            StorageEncrypted=True,
            PendingModifiedValues={},
            TagList=self.labels(name, team, environment=word),
            **more,
        )
        if engine in _ORDERABLE_FAMILIES:
            self._offer(engine, version)
        if cpu is None:
            return
        for statistic, value in zip(("Average", "Maximum"), cpu, strict=True):
            rule = _load(value)
            self.metric("AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", name, statistic, rule)
        measured = _load(cpu[0])
        for metric, statistic, amount in (
            ("FreeableMemory", "Minimum", free_gib * GIB),
            ("DatabaseConnections", "Maximum", connections),
        ):
            # Whatever silences the CPU silences the rest as well.
            rule = _but_for(_wave(amount), lambda moment: measured(moment) is None)
            self.metric("AWS/RDS", metric, "DBInstanceIdentifier", name, statistic, rule)

    def _offer(self, engine: str, version: str) -> None:
        if engine in self._orderable:
            return
        self._orderable.add(engine)
        options = [
            {
                "Engine": engine,
                "EngineVersion": version,
                "DBInstanceClass": f"db.{family}.{size}",
                "LicenseModel": licence,
                "StorageType": storage,
                "MultiAZCapable": True,
                "ReadReplicaCapable": True,
                "AvailabilityZones": [{"Name": zone} for zone in self.zones],
                "MinStorageSize": 20,
                "MaxStorageSize": 65536,
                "Vpc": True,
            }
            for family in _ORDERABLE_FAMILIES[engine]
            for size in (_LARGE if family != "t3" else ("micro", "small", "medium", "large"))
            for licence in _LICENCES[engine]
            for storage in ("gp2", "gp3", "io1")
        ]
        self.estate.put(
            self.account_id,
            self.region,
            "rds.describe_orderable_db_instance_options",
            {"OrderableDBInstanceOptions": options},
            {"Engine": engine, "EngineVersion": version},
        )

    def cluster(self, name: str, engine: str, members: Iterable[str], size: str) -> None:
        """A cluster of Aurora, DocumentDB or Neptune with its members, all of low CPU."""
        self.add(
            "rds.describe_db_clusters",
            DBClusterIdentifier=name,
            DBClusterArn=self.arn("rds", f"cluster:{name}"),
            Engine=engine,
            EngineVersion=_VERSIONS[engine],
            Status="available",
            MultiAZ=True,
            ClusterCreateTime="-500d",
            StorageType="aurora",
            DBClusterMembers=[
                {"DBInstanceIdentifier": member, "IsClusterWriter": number == 0}
                for number, member in enumerate(members)
            ],
            TagList=self.labels(name, "data"),
        )
        for member in members:
            self.database(member, engine, size, (4, 9), cluster=name, storage="aurora", gib=1)


# -- production -------------------------------------------------------------------------------------------


def _prod_us(here: _Place) -> None:
    _prod_us_compute(here)
    _prod_us_storage(here)
    _prod_us_databases(here)
    _prod_us_network(here)
    _prod_us_balancers(here)


def _prod_us_compute(here: _Place) -> None:
    # Healthy.
    for number in (1, 2, 3, 4):
        here.instance(f"web-{number}", "m6i.large", (45, 70), team="web", zone=here.zones[number % 3])
    for number in (1, 2):
        here.instance(f"search-{number}", "c6i.2xlarge", (58, 81), team="search")
    # Too large.
    here.instance("api-1", "m5.xlarge", (6, 22), team="checkout")
    here.instance("api-2", "m5.xlarge", (7, 25), team="checkout", zone=here.zones[1])
    here.instance("pricing-engine", "m5.2xlarge", (_wave(9, 2), _seldom(24, 100)), team="checkout")
    here.instance("feature-store", "r5.2xlarge", (12, 35), team="data")
    # It is reserved until next year: a smaller size would leave half of that unused.
    here.add(
        "ec2.describe_reserved_instances",
        ReservedInstancesId=here.id("ri", "feature-store"),
        InstanceType="r5.2xlarge",
        InstanceCount=1,
        State="active",
        Scope="Region",
        ProductDescription="Linux/UNIX",
        InstanceTenancy="default",
        OfferingClass="standard",
        OfferingType="All Upfront",
        Start="-200d",
        Duration=31_536_000,
    )
    nightly = [_but_for(_wave(mean, 1), lambda moment: moment.hour < 4) for mean in (8, 20)]
    here.instance("etl-runner", "m5.xlarge", (nightly[0], nightly[1]), team="data")
    # Too large and old, old only.
    here.instance("legacy-erp-app", "m4.2xlarge", (8, 30), team="erp")
    here.instance("legacy-erp-db", "m4.xlarge", (35, 60), team="erp")
    here.instance("legacy-search", "c4.2xlarge", (55, 80), team="search")
    # Too large, but the snapshot of prices has none for Windows on it.
    here.instance("crm-windows", "m5.xlarge", (5, 18), team="crm", windows=True)
    # Traps.
    for number in (1, 2, 3):
        group = {"aws:autoscaling:groupName": "shop-asg"}
        here.instance(f"shop-asg-{number}", "m5.large", (6, 15), team="web", tags=group)
    for number in (1, 2):
        cluster = {"kubernetes.io/cluster/prod-eks": "owned", "eks:cluster-name": "prod-eks"}
        here.instance(f"eks-node-{number}", "m5.xlarge", (10, 30), tags=cluster)
    here.instance("karpenter-node", "c4.xlarge", (9, 20), tags={"karpenter.sh/nodepool": "default"})
    here.instance("render-spot", "m4.2xlarge", (3, 9), team="media", InstanceLifecycle="spot")
    here.instance("billing-blue", "m5.2xlarge", (3, 9), team="checkout", age="-3d")
    here.instance("month-end-batch", "m5.2xlarge", (9, 95), team="erp")
    gaps = _but_for(_wave(4), lambda moment: moment.hour >= 12)
    here.instance("flaky-agent", "m5.xlarge", (gaps, gaps), team="data")
    here.instance("no-monitoring", "m5.xlarge", None, team="data")
    here.instance("old-reports", "m4.2xlarge", None, team="erp", state="stopped")
    here.instance("bare-metal-kvm", "m5.metal", (1, 4))
    here.instance("inference-1", "g4dn.xlarge", (4, 12), team="ml")
    host = {"AvailabilityZone": here.zones[0], "Tenancy": "host", "HostId": here.id("h", "sql")}
    here.instance("sql-on-host", "r5.2xlarge", (6, 14), team="crm", Placement=host)
    operator = {"Managed": True, "Principal": "eks.amazonaws.com"}
    here.instance("auto-mode-node", "m5.xlarge", (2, 8), Operator=operator)
    here.instance("zone-bound", "r4.xlarge", (50, 70), team="erp", zone=_OLD_ZONE)
    here.instance("bastion", "t2.nano", (2, 6))
    here.instance("credits-eater", "t3.micro", (8, 30), team="web")


def _prod_us_storage(here: _Place) -> None:
    erp, search = here.id("i", "legacy-erp-db"), here.id("i", "legacy-search")
    here.volume("old-warehouse", 500, "gp3", iops=6000, throughput=250, team="data")
    here.volume("migrated-oracle", 200, "io1", iops=5000, team="erp", age="-120d")
    here.volume("log-archive", 1000, "st1", team="data", age="-800d")
    here.volume("forgotten-scratch", 100, "gp2", team="web", age="-45d")
    data = here.volume("erp-data", 1000, "gp2", on=erp, team="erp")
    here.volume("erp-archive", 2000, "gp2", on=erp, team="erp")
    here.volume("search-index", 5334, "gp2", on=search, team="search")
    here.volume("search-logs", 334, "gp2", on=search, team="search")
    here.volume("erp-exports", 171, "gp2", on=erp, team="erp")
    here.volume("erp-spool", 50, "gp2", on=erp, team="erp")
    here.volume("feature-data", 400, "gp3", on=here.id("i", "feature-store"), team="data")
    # Traps.
    here.volume("small-gp2", 49, "gp2", on=erp, team="erp")
    here.volume("just-detached", 300, "gp3", age="-2d", team="web")
    managed = {"Managed": True, "Principal": "eks.amazonaws.com"}
    here.volume("operator-volume", 80, "gp2", Operator=managed)
    here.volume("eks-pv", 120, "gp2", tags={"kubernetes.io/cluster/prod-eks": "owned"})
    here.volume("backup-restore", 90, "gp3", tags={"aws:backup:source-resource": "vol-restore"})
    here.volume("being-made", 60, "gp2", state="creating", age="-1d")
    _prod_us_snapshots(here, data)


def _prod_us_snapshots(here: _Place, existing: str) -> None:
    gone = here.id("vol", "decommissioned-wiki")
    here.snapshot("wiki-2023", 100, "-400d", of=gone, full_gib=70)
    here.snapshot("wiki-2024", 100, "-300d", of=gone, full_gib=75)
    here.snapshot("wiki-final", 100, "-200d", of=gone, full_gib=80)
    here.snapshot("erp-data-old", 1000, "-400d", of=existing, full_gib=600)
    here.snapshot("erp-data-last-week", 1000, "-7d", of=existing, full_gib=640)
    here.snapshot("dr-copy", 200, "-120d", of="vol-ffffffff")
    half = here.id("vol", "half-shared")
    here.snapshot("half-shared-old", 60, "-250d", of=half)
    here.snapshot(
        "half-shared-new", 60, "-200d", of=half, shared=[{"UserId": PARTNER}], tags={"purpose": "partner"}
    )
    # Traps.
    newest = here.volume("audit-log", 100, "gp3", on=here.id("i", "web-1"), team="security")
    here.snapshot("audit-log-only-backup", 100, "-500d", of=newest)
    here.image("golden-base", here.snapshot("golden-base", 30, "-400d"))
    here.image("golden-retired", here.snapshot("golden-retired", 30, "-600d"), state="disabled")
    here.template("batch-worker", here.snapshot("reference-genome", 300, "-350d"))
    here.launch_configuration("legacy-lc", here.snapshot("legacy-lc-data", 50, "-700d"))
    here.snapshot("public-dataset", 40, "-500d", shared=[{"Group": "all"}])
    here.snapshot("backup-recovery-point", 100, "-365d", tags={"aws:backup:source-resource": existing})
    here.snapshot("dlm-monthly", 100, "-180d", tags={"aws:dlm:lifecycle-policy-id": "policy-0abc"})
    here.snapshot("seven-year-archive", 500, "-700d", tier="archive")
    here.snapshot("last-month", 80, "-30d")
    here.snapshot("failed-copy", 80, "-200d", state="error")
    here.snapshot("ubuntu-public", 8, "-900d", owner="099720109477", shared=[{"Group": "all"}])


def _prod_us_databases(here: _Place) -> None:
    here.database("orders", "postgres", "m5.2xlarge", (45, 68), multi_az=True, team="checkout", gib=500)
    here.database("sessions", "mysql", "m6g.large", (38, 60), team="web")
    here.database("reporting", "postgres", "r5.xlarge", (8, 25), free_gib=24, gib=300)
    here.database("catalog", "mysql", "m5.xlarge", (6, 20), free_gib=11, multi_az=True, team="web")
    # Too large, but nothing knows what Oracle costs.
    here.database("ledger-oracle", "oracle-se2", "m5.xlarge", (7, 24), free_gib=10, gib=400, team="erp")
    # Traps.
    here.database("buffer-pool", "mysql", "r5.xlarge", (5, 16), free_gib=2)
    here.database("month-end", "postgres", "m5.xlarge", (12, 90), free_gib=10, team="erp")
    here.database("contest", "mysql", "m5.large", (35, 60), multi_az=True, environment="", team="web")
    here.database("latest-results", "mysql", "m5.large", (35, 60), multi_az=True, environment="", team="web")
    here.database("launch-day", "postgres", "m5.xlarge", (3, 8), free_gib=12, age="-5d")
    half = _but_for(_wave(4), lambda moment: moment.hour >= 12)
    here.database("gappy", "postgres", "m5.xlarge", (half, half), free_gib=12)
    here.database("floor", "mysql", "m5.large", (4, 10), free_gib=6)
    here.database("parked", "mysql", "m5.xlarge", None, status="stopped")
    here.database("burstable", "mysql", "t3.small", (15, 30), free_gib=1.5, gib=50)
    here.cluster("shop-aurora", "aurora-postgresql", ("shop-aurora-1", "shop-aurora-2"), "r6g.large")
    here.cluster("content-docdb", "docdb", ("content-docdb-1",), "r5.xlarge")
    here.cluster("graph-neptune", "neptune", ("graph-neptune-1",), "r5.xlarge")


def _prod_us_network(here: _Place) -> None:
    first, second, third = here.zones
    here.vpc("prod-core", here.zones)
    for number, traffic in enumerate((4.0, 3.5, 3.0)):
        here.nat(f"core-{here.zones[number][-1]}", "prod-core", number, traffic)
    here.nat("core-a-legacy", "prod-core", 0, 0.1, routed=False)
    here.vpc("prod-shared", (first, second))
    here.nat("shared-a", "prod-shared", 0, 2.0)
    here.nat("shared-b", "prod-shared", 1, 1.8)
    here.nat("shared-c", "prod-shared", 2, 0.0, routed=False)
    # Traps.
    here.vpc("prod-data", (second,))
    here.nat("data-b-1", "prod-data", 1, 5.0)
    here.nat("data-b-2", "prod-data", 1, 4.5, routed=False)
    here.nat("core-failed", "prod-core", 1, None, routed=False, state="failed", addresses=0)
    here.nat("core-deleted", "prod-core", 1, None, routed=False, state="deleted", addresses=0)
    private = {"ConnectivityType": "private"}
    here.nat("core-private", "prod-core", 2, 0.1, routed=False, addresses=0, **private)
    here.vpc("prod-edge", (third,))
    here.nat("edge-regional", "prod-edge", 2, 1.0, AvailabilityMode="regional")
    # Addresses.
    here.address("old-vpn-1")
    here.address("old-vpn-2")
    here.address("byoip-1", PublicIpv4Pool="ipv4pool-ec2-012345")
    here.address("alb-managed", ServiceManaged="alb")
    here.address("eks-ingress", tags={"kubernetes.io/cluster/prod-eks": "owned"})
    here.address("transfer-endpoint", NetworkInterfaceId=here.id("eni", "transfer"))
    here.address(
        "bastion",
        InstanceId=here.id("i", "bastion"),
        AssociationId=here.id("eipassoc", "bastion"),
        NetworkInterfaceId=here.id("eni", "bastion"),
        PrivateIpAddress="10.0.0.25",
    )


def _prod_us_balancers(here: _Place) -> None:
    busy = {"RequestCount": 90_000.0, "ProcessedBytes": 4e9, "ActiveConnectionCount": 30_000.0}
    here.balancer("app", "shop", 3, healthy=2, metrics=busy)
    here.balancer("app", "legacy-portal", 3, team="erp")
    here.balancer("app", "orphaned-internal", 2, public=False, targets=0, team="erp")
    here.balancer("net", "old-ingest", 2, metrics={"NewFlowCount": 0, "ProcessedBytes": 0}, team="data")
    # Traps.
    here.balancer("net", "mqtt", 2, healthy=2, metrics={"NewFlowCount": 800, "ProcessedBytes": 9e8})
    here.balancer("net", "silent-net", 2, team="data")
    here.balancer("app", "redirects", 2, metrics={"ProcessedBytes": 1e6}, targets=0)
    here.balancer(
        "app", "websockets", 2, healthy=2, metrics={"ActiveConnectionCount": 40, "ProcessedBytes": 1e7}
    )
    here.balancer("app", "next-release", 2, age="-5d")
    here.balancer("app", "coming-up", 2, state="provisioning", age="-40d")
    here.balancer("gwy", "firewall", 2, healthy=2, metrics={"NewFlowCount": 70_000}, team="security")


def _prod_eu(here: _Place) -> None:
    for number in (1, 2, 3):
        here.instance(f"eu-web-{number}", "m6i.large", (42, 66), team="web", zone=here.zones[number - 1])
    here.instance("eu-api", "m5.2xlarge", (10, 30), team="checkout")
    here.instance("eu-mail", "t2.medium", (25, 45))
    here.instance("eu-analytics", "r4.xlarge", (60, 85), team="data")
    here.instance("eu-encoder", "c5.2xlarge", (65, 90), team="media")
    here.volume("eu-analytics-data", 1000, "gp2", on=here.id("i", "eu-analytics"), team="data")
    here.volume("eu-mail-spool", 300, "gp2", on=here.id("i", "eu-mail"))
    here.volume("eu-detached", 200, "gp3", team="data")
    # Unattached, but nothing knows what sc1 costs here.
    here.volume("eu-cold", 500, "sc1", team="data", age="-600d")
    here.snapshot("eu-old-export", 160, "-150d")
    here.snapshot("eu-recent", 160, "-20d")
    here.address("eu-former-partner")
    here.vpc("prod-core", here.zones[:2])
    here.nat("eu-core-a", "prod-core", 0, 2.0)
    here.nat("eu-core-b", "prod-core", 1, 1.5)
    here.database("eu-orders", "postgres", "m5.large", (40, 62), multi_az=True, team="checkout")
    here.database("eu-invoices", "postgres", "m5.xlarge", (7, 21), free_gib=12, team="erp", connections=0)
    busy = {"RequestCount": 40_000.0, "ProcessedBytes": 2e9, "ActiveConnectionCount": 12_000.0}
    here.balancer("app", "eu-shop", 3, healthy=2, metrics=busy)
    here.balancer("app", "eu-campaign", 2, public=False, targets=0)
    # Idle, but nothing knows what a Network Load Balancer costs here.
    here.balancer("net", "eu-ingest", 2, public=False, metrics={"NewFlowCount": 0, "ProcessedBytes": 0})


# -- development ------------------------------------------------------------------------------------------


def _dev_us(here: _Place) -> None:
    here.instance("jenkins", "m5.2xlarge", (11, 30), team="ci")
    here.instance("dev-desktop", "t3.large", (4, 12), team="web")
    here.instance("dev-legacy", "m3.large", (40, 65), team="erp")
    here.instance("dev-search", "c4.xlarge", (30, 55), team="search")
    here.instance("dev-api", "m6i.large", (35, 60), team="checkout")
    # Traps.
    here.instance("dev-sandbox", "m5.large", (2, 6), team="web")
    here.instance("beanstalk-app", "m5.xlarge", (3, 9), tags={"elasticbeanstalk:environment-name": "dev-app"})
    here.instance(
        "emr-core", "m4.xlarge", (5, 14), team="data", tags={"aws:elasticmapreduce:job-flow-id": "j-1ABC"}
    )
    here.instance("fleet-worker", "m5.xlarge", (5, 14), tags={"aws:ec2:fleet-id": "fleet-0abc"})
    here.volume("dev-old-desktop", 100, "gp3", team="web", age="-60d")
    here.volume("dev-oracle-dump", 250, "gp2", team="erp", age="-90d")
    here.volume("dev-magnetic", 80, "standard", age="-2000d", team="")
    here.volume("dev-cold-logs", 1000, "sc1", team="data", age="-250d")
    here.snapshot("dev-before-upgrade", 50, "-220d")
    here.snapshot("dev-load-test-data", 400, "-130d")
    here.snapshot("dev-tiny", 10, "-500d")
    here.address("dev-demo")
    here.address("dev-old-bastion")
    _dev_us_databases(here)
    _dev_us_network(here)
    here.balancer("app", "dev-preview", 2, healthy=1)
    here.balancer(
        "app", "k8s-dev-ingress", 2, public=False, tags={"elbv2.k8s.aws/cluster": "dev-eks"}, team="platform"
    )
    here.classic("dev-classic", 2, here.id("i", "dev-sandbox"))
    here.classic("dev-classic-busy", 2, here.id("i", "dev-api"), requests=1200.0)


def _dev_us_databases(here: _Place) -> None:
    here.database(
        "staging-orders",
        "postgres",
        "m5.large",
        (45, 68),
        multi_az=True,
        storage="gp2",
        gib=200,
        environment="staging",
        team="checkout",
    )
    here.database("dev-users", "mysql", "m5.xlarge", (5, 17), free_gib=12, multi_az=True, team="web")
    here.database("qa-metrics", "mysql", "t3.medium", (30, 50), multi_az=True, gib=50, environment="")
    # Multi-AZ, but nothing knows what a second copy of io1 storage costs.
    here.database(
        "dev-perf", "postgres", "m6g.large", (40, 60), multi_az=True, storage="io1", gib=200, Iops=2000
    )
    here.database("dev-catalog", "mysql", "t3.medium", (28, 45), team="web", gib=40)


def _dev_us_network(here: _Place) -> None:
    here.vpc("dev-core", here.zones)
    here.nat("dev-a", "dev-core", 0, 0.5)
    here.nat("dev-b", "dev-core", 1, 0.1)
    here.nat("dev-c", "dev-core", 2, 0.02, addresses=2)
    # Traps: traffic that would cost more across zones, and a gateway too young to judge.
    here.vpc("perf-lab", here.zones[:2], environment="test")
    here.nat("perf-a", "perf-lab", 0, 3.5)
    here.nat("perf-b", "perf-lab", 1, 3.0)
    here.vpc("dev-sandbox", here.zones[:2], environment="sandbox")
    here.nat("sandbox-a", "dev-sandbox", 0, 0.3)
    here.nat("sandbox-b", "dev-sandbox", 1, 0.01, age="-4d")


def _dev_eu(here: _Place) -> None:
    here.instance("eu-dev-runner", "m5.xlarge", (6, 19), team="ci")
    here.instance("eu-dev-legacy", "m4.large", (50, 72), team="erp")
    here.instance("eu-dev-api", "m6i.large", (33, 58), team="checkout")
    here.volume("eu-dev-io1", 100, "io1", iops=1000, team="data")
    here.volume("eu-dev-young", 100, "gp3", age="-5d", team="data")
    here.snapshot("eu-dev-kept", 40, "-60d")
    here.address("eu-dev-unused")
    here.vpc("dev-core", here.zones[:2])
    # Traps: without datapoints nobody knows which of the two can go.
    here.nat("eu-dev-a", "dev-core", 0, None)
    here.nat("eu-dev-b", "dev-core", 1, None)
    here.database("eu-test-users", "mysql", "m5.large", (36, 61), multi_az=True, environment="test")
    here.database("eu-dev-billing", "postgres", "t3.medium", (26, 45), gib=30, team="erp")
