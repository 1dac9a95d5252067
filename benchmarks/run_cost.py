"""What a run costs, by account size: the dry run of every shipped check on estates behind the replay endpoint.

``python benchmarks/run_cost.py`` prints the table, ``--write`` puts it into README.md. The mix is that of a plain
account: per 50 resources 12 instances, 18 volumes, 8 snapshots, 3 addresses, 3 databases, 3 load balancers with
their target groups, 2 NAT gateways, 1 AMI; all in one region, long running, with hourly metrics.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from pytest_finops.testing import Estate, ReplayEndpoint

ROOT = Path(__file__).resolve().parents[1]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ACCOUNT, REGION = "123456789012", "us-east-1"
SIZES = (50, 500, 5_000)
#: Resources of each kind in 50.
MIX = {
    "instance": 12, "volume": 18, "snapshot": 8, "address": 3, "database": 3, "load balancer": 3, "nat": 2, "image": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """What the dry run predicts for one account size."""

    resources: int
    calls: int
    metrics: int
    usd: Decimal
    exact: bool

    @property
    def row(self) -> str:
        """The row of the table."""
        monthly = 30 * self.usd
        return f"| {self.resources:,} | {self.calls:,} | {self.metrics:,} | {self.usd.normalize():f} | {monthly:.2f} |"


def estate(resources: int) -> Estate:
    """Return an account with this many resources, in the mix of ``MIX``."""
    made = Estate(NOW)
    made.account(ACCOUNT, "measured", regions=(REGION,), access_key="AKIAMEASURED")

    def add(operation: str, **member: object) -> None:
        made.add(ACCOUNT, REGION, operation, **member)

    def many(kind: str) -> range:
        return range(MIX[kind] * resources // 50)

    for name, cpus, memory in (("m5.large", 2, 8192), ("m5.xlarge", 4, 16384), ("m6i.large", 2, 8192)):
        add(
            "ec2.describe_instance_types", InstanceType=name, CurrentGeneration=True, Hypervisor="nitro",
            VCpuInfo={"DefaultVCpus": cpus}, MemoryInfo={"SizeInMiB": memory},
            ProcessorInfo={"SupportedArchitectures": ["x86_64"]},
        )  # fmt: skip
        add(
            "ec2.describe_instance_type_offerings",
            InstanceType=name,
            LocationType="availability-zone",
            Location=f"{REGION}a",
        )
    add("ec2.describe_vpcs", VpcId="vpc-1", State="available")
    add("ec2.describe_subnets", SubnetId="subnet-1", VpcId="vpc-1", AvailabilityZone=f"{REGION}a")
    for n in many("instance"):
        add(
            "ec2.describe_instances", InstanceId=f"i-{n:017x}", InstanceType="m5.xlarge", State={"Code": 16, "Name": "running"},
            LaunchTime="-90d", Placement={"AvailabilityZone": f"{REGION}a", "Tenancy": "default"}, UsageOperation="RunInstances",
        )  # fmt: skip
    for n in many("volume"):
        add(
            "ec2.describe_volumes", VolumeId=f"vol-{n:017x}", Size=100, VolumeType="gp2", Iops=300, CreateTime="-90d",
            State="available" if n % 6 == 0 else "in-use", AvailabilityZone=f"{REGION}a", Attachments=[],
        )  # fmt: skip
    for n in many("snapshot"):
        add(
            "ec2.describe_snapshots", SnapshotId=f"snap-{n:017x}", VolumeId=f"vol-{n:017x}", VolumeSize=100, State="completed",
            StartTime="-200d" if n % 4 == 0 else "-20d", OwnerId=ACCOUNT, StorageTier="standard",
        )  # fmt: skip
        if n % 4 == 0:
            asked = {"SnapshotId": f"snap-{n:017x}", "Attribute": "createVolumePermission"}
            answer = {"SnapshotId": asked["SnapshotId"], "CreateVolumePermissions": []}
            made.put(ACCOUNT, REGION, "ec2.describe_snapshot_attribute", answer, asked)
    for n in many("address"):
        add(
            "ec2.describe_addresses",
            AllocationId=f"eipalloc-{n:017x}",
            PublicIp=f"198.51.{n // 250}.{n % 250}",
        )
    for n in many("image"):
        add(
            "ec2.describe_images",
            ImageId=f"ami-{n:017x}",
            State="available",
            OwnerId=ACCOUNT,
            BlockDeviceMappings=[],
        )
    for n in many("nat"):
        add(
            "ec2.describe_nat_gateways", NatGatewayId=f"nat-{n:017x}", VpcId="vpc-1", SubnetId="subnet-1", State="available",
            ConnectivityType="public", CreateTime="-90d", NatGatewayAddresses=[],
        )  # fmt: skip
    for n in many("database"):
        add(
            "rds.describe_db_instances", DBInstanceIdentifier=f"db-{n}", DBInstanceClass="db.m5.large", Engine="postgres",
            EngineVersion="16.4", DBInstanceStatus="available", InstanceCreateTime="-90d", AllocatedStorage=100,
            StorageType="gp3", MultiAZ=False, LicenseModel="postgresql-license",
            DBInstanceArn=f"arn:aws:rds:{REGION}:{ACCOUNT}:db:db-{n}",
        )  # fmt: skip
    add(
        "rds.describe_orderable_db_instance_options",
        Engine="postgres",
        EngineVersion="16.4",
        DBInstanceClass="db.m5.large",
        LicenseModel="postgresql-license",
        StorageType="gp3",
    )
    for n in many("load balancer"):
        _balancer(add, n)
    return made


def _balancer(add: object, n: int) -> None:
    assert callable(add)
    arn = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/lb-{n}/{n:016x}"
    group = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/tg-{n}/{n:016x}"
    add(
        "elbv2.describe_load_balancers", LoadBalancerArn=arn, LoadBalancerName=f"lb-{n}", Type="application",
        Scheme="internet-facing", State={"Code": "active"}, CreatedTime="-90d", VpcId="vpc-1", IpAddressType="ipv4",
        AvailabilityZones=[{"ZoneName": f"{REGION}{zone}"} for zone in "ab"],
    )  # fmt: skip
    add("elbv2.describe_tags", ResourceArn=arn, Tags=[])
    add(
        "elbv2.describe_target_groups", TargetGroupArn=group, TargetGroupName=f"tg-{n}", TargetType="instance",
        LoadBalancerArns=[arn],
    )  # fmt: skip


def measure(resources: int) -> Cost:
    """Return what ``pytest --finops-dry-run`` with every shipped check predicts for an account of this size."""
    with tempfile.TemporaryDirectory() as folder, ReplayEndpoint(estate(resources)) as endpoint:
        target = Path(folder) / "prediction.json"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "FINOPS_", "PYTEST"))}
        environment = clean | {
            "AWS_ENDPOINT_URL": endpoint.url, "AWS_ACCESS_KEY_ID": "AKIAMEASURED", "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", "FINOPS_CACHE_DIR": f"{folder}/cache",
            "AWS_CONFIG_FILE": f"{folder}/none", "AWS_SHARED_CREDENTIALS_FILE": f"{folder}/none",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--finops-profile=env", "--finops-dry-run", "--finops-rate=1",
             "--finops-max-api-cost=100", f"--finops-now={NOW.isoformat()}", f"--finops-report=json:{target}",
             "-p", "no:cacheprovider", "checks"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        document = json.loads(target.read_text(encoding="utf-8"))
    units = [c["billable_units"] for c in document["calls"] if c["operation"] == "get_metric_data"]
    return Cost(
        resources=resources,
        calls=sum(call["calls"] for call in document["calls"]),
        metrics=sum(units),
        usd=Decimal(document["predicted"]["upper"]),
        exact=document["predicted"]["exact"],
    )


def table(costs: list[Cost]) -> str:
    """Return the table of README.md; raises where a prediction is a guess."""
    if not all(cost.exact for cost in costs):
        raise SystemExit("a prediction is not exact")
    head = "| resources | API calls | metric series | USD a run | USD a month, run daily |\n"
    return head + "|" + "---:|" * 5 + "\n" + "".join(f"{cost.row}\n" for cost in costs)


def main(arguments: list[str]) -> None:
    """Print the table, or write it into README.md."""
    text = table([measure(size) for size in SIZES])
    if "--write" not in arguments:
        print(text, end="")
        return
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    block = re.compile(r"(<!-- generated: cost -->\n).*?(<!-- end -->)", re.S)
    after = block.sub(lambda found: f"{found[1]}{text}{found[2]}", before)
    readme.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
