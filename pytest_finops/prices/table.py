"""The catalogue of price dimensions: adding a dimension is adding a row."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .rows import Attribute, Dimension, Words, named

#: ``UsageOperation`` of an instance -> operating system and licence; the price list calls it ``operation``.
EC2_OPERATIONS: Mapping[str, str] = {
    "RunInstances": "Linux",
    "RunInstances:0002": "Windows",
    "RunInstances:0800": "Windows BYOL",
    "RunInstances:0006": "Windows with SQL Server Standard",
    "RunInstances:0102": "Windows with SQL Server Enterprise",
    "RunInstances:0202": "Windows with SQL Server Web",
    "RunInstances:0004": "Linux with SQL Server Standard",
    "RunInstances:0100": "Linux with SQL Server Enterprise",
    "RunInstances:0200": "Linux with SQL Server Web",
    "RunInstances:0010": "RHEL",
    "RunInstances:1010": "RHEL with HA",
    "RunInstances:00g0": "RHEL BYOL",
    "RunInstances:0014": "RHEL with SQL Server Standard",
    "RunInstances:0110": "RHEL with SQL Server Enterprise",
    "RunInstances:0210": "RHEL with SQL Server Web",
    "RunInstances:1014": "RHEL with HA and SQL Server Standard",
    "RunInstances:1110": "RHEL with HA and SQL Server Enterprise",
    "RunInstances:000g": "SUSE",
    "RunInstances:0g00": "Ubuntu Pro",
}

_HOURS = ("Hrs", "Hours", "Hour")
_GB_MONTH = ("GB-Mo", "GB-month", "GB-Months")
_GB_HOUR = ("GB-Hours", "GB-hours", "GB Hours", *_HOURS)
_GB = ("GB", "Gigabytes")
_IOPS_MONTH = ("IOPS-Mo",)
_REQUESTS = ("Requests", "Request", "API Requests", "Count")
_IOS = ("IOs", "IO", "I/O", "IOPS", "Requests")
_VCPU_HOUR = ("vCPU-Hours", "vCPU-hour", "vCPU-Hrs", *_HOURS)

#: Values that several rows share.
_TENANCIES: Words = {
    "default": {"tenancy": "Shared", "usage": "BoxUsage"},
    "dedicated": {"tenancy": "Dedicated", "usage": "DedicatedUsage"},
}
_VOLUMES: Words = {
    name: {"volume_type": name, "suffix": suffix}
    for name, suffix in {
        "gp2": "EBS:VolumeUsage.gp2",
        "gp3": "EBS:VolumeUsage.gp3",
        "io1": "EBS:VolumeUsage.piops",
        "io2": "EBS:VolumeUsage.io2",
        "st1": "EBS:VolumeUsage.st1",
        "sc1": "EBS:VolumeUsage.sc1",
        "standard": "EBS:VolumeUsage",
    }.items()
}
#: LCU rows come without a product family in some offer files: there, the operation tells the kinds apart.
_BALANCERS: Words = {
    "application": {"family": "Load Balancer-Application", "operation": "LoadBalancing:Application"},
    "network": {"family": "Load Balancer-Network", "operation": "LoadBalancing:Network"},
    "gateway": {"family": "Load Balancer-Gateway", "operation": "LoadBalancing:Gateway"},
    "classic": {"family": "Load Balancer", "operation": "LoadBalancing"},
}
_MULTI_AZ: Words = {
    "false": {"deployment": "Single-AZ", "az": "", "usage": "InstanceUsage"},
    "true": {"deployment": "Multi-AZ", "az": "Multi-AZ-", "usage": "Multi-AZUsage"},
}
#: An engine and a licence go together when they agree on ``licensing``.
_ENGINES: Words = {
    "mysql": {"database": "MySQL", "edition": "", "licensing": "open"},
    "mariadb": {"database": "MariaDB", "edition": "", "licensing": "open"},
    "postgres": {"database": "PostgreSQL", "edition": "", "licensing": "open"},
    "oracle-ee": {"database": "Oracle", "edition": "Enterprise", "licensing": "commercial"},
    "oracle-ee-cdb": {"database": "Oracle", "edition": "Enterprise", "licensing": "commercial"},
    "oracle-se2": {"database": "Oracle", "edition": "Standard Two", "licensing": "commercial"},
    "oracle-se2-cdb": {"database": "Oracle", "edition": "Standard Two", "licensing": "commercial"},
    "sqlserver-ex": {"database": "SQL Server", "edition": "Express", "licensing": "commercial"},
    "sqlserver-web": {"database": "SQL Server", "edition": "Web", "licensing": "commercial"},
    "sqlserver-se": {"database": "SQL Server", "edition": "Standard", "licensing": "commercial"},
    "sqlserver-ee": {"database": "SQL Server", "edition": "Enterprise", "licensing": "commercial"},
    "db2-se": {"database": "Db2", "edition": "Standard", "licensing": "commercial"},
    "db2-ae": {"database": "Db2", "edition": "Advanced", "licensing": "commercial"},
}
_LICENCES: Words = {
    "none": {"licence": "No license required", "licensing": "open"},
    "license-included": {"licence": "License included", "licensing": "commercial"},
    "bring-your-own-license": {"licence": "Bring your own license", "licensing": "commercial"},
}
_RDS_STORAGE: Words = {
    "gp2": {"storage": "GP2-Storage"},
    "gp3": {"storage": "GP3-Storage"},
    "io1": {"storage": "PIOPS-Storage"},
    "io2": {"storage": "PIOPS-Storage-IO2"},
    "standard": {"storage": "StorageUsage"},
}
_AURORA: Words = {
    "aurora-mysql": {"database": "Aurora MySQL"},
    "aurora-postgresql": {"database": "Aurora PostgreSQL"},
}
#: Aurora, DocumentDB and Neptune sell instances with and without paid I/O.
_CLUSTER_IO: Words = {
    "standard": {"instance": "InstanceUsage", "storage": "StorageUsage", "acu": "ServerlessV2Usage"},
    "io-optimized": {
        "instance": "InstanceUsageIOOptimized",
        "storage": "IO-OptimizedStorageUsage",
        "acu": "ServerlessV2IOOptimizedUsage",
    },
}
_ARCHITECTURES: Words = {"x86_64": {"arm": ""}, "arm64": {"arm": "-ARM"}}
_PLATFORMS: Words = {
    "linux-x86_64": {"platform": ""},
    "linux-arm64": {"platform": "ARM-"},
    "windows": {"platform": "Windows-"},
}
_TABLE_CLASSES: Words = {"standard": {"class": ""}, "standard-ia": {"class": "IA-"}}
_S3_CLASSES: Words = {
    "standard": {"storage": "TimedStorage-ByteHrs"},
    "standard-ia": {"storage": "TimedStorage-SIA-ByteHrs"},
    "onezone-ia": {"storage": "TimedStorage-ZIA-ByteHrs"},
    "glacier-ir": {"storage": "TimedStorage-GIR-ByteHrs"},
    "glacier": {"storage": "TimedStorage-GlacierByteHrs"},
    "deep-archive": {"storage": "TimedStorage-GDA-ByteHrs"},
    "int-frequent": {"storage": "TimedStorage-INT-FA-ByteHrs"},
    "int-infrequent": {"storage": "TimedStorage-INT-IA-ByteHrs"},
    "int-archive-instant": {"storage": "TimedStorage-INT-AIA-ByteHrs"},
    "int-archive": {"storage": "TimedStorage-INT-AA-ByteHrs"},
    "int-deep-archive": {"storage": "TimedStorage-INT-DAA-ByteHrs"},
}
_EFS_CLASSES: Words = {
    "standard": {"storage": "TimedStorage-ByteHrs"},
    "infrequent": {"storage": "IATimedStorage-ByteHrs"},
    "archive": {"storage": "ArchiveTimedStorage-ByteHrs"},
    "one-zone": {"storage": "TimedStorage-Z-ByteHrs"},
    "one-zone-infrequent": {"storage": "IATimedStorage-Z-ByteHrs"},
}

_ANY = Attribute()


def _one_of(words: Words, default: str | None = None) -> Attribute:
    return Attribute(values=words, default=default)


def _row(
    service: str, suffix: str, units: tuple[str, ...], unit: str, low: str, high: str, **more: Any
) -> Dimension:
    return Dimension(
        service=service, suffix=suffix, units=units, unit=unit, low=Decimal(low), high=Decimal(high), **more
    )


# One row a dimension: service, usage-type suffix, AWS's units, our unit, bounds in USD, and what tells the SKU apart.
# fmt: off
CATALOGUE: Mapping[str, Dimension] = {
    # --- EC2 ---------------------------------------------------------------------------------------------------
    "ec2.instance": _row(
        "AmazonEC2", "{usage}(:{instance_type})?", _HOURS, "h", "0.002", "1500", pattern=True, family="{family}",
        filters={"instanceType": "{instance_type}", "operation": "{operation}", "tenancy": "{tenancy}", "capacitystatus": "Used"},
        batch="instanceType",
        attributes={
            "instance_type": Attribute(
                patterns=((r"\.metal", {"family": "Compute Instance (bare metal)"}), ("", {"family": "Compute Instance"}))
            ),
            "operation": _one_of(named("operation", *EC2_OPERATIONS), "RunInstances"),
            "tenancy": _one_of(_TENANCIES, "default"),
        },
        committable=True,
    ),
    "ec2.reserved_capacity": _row(  # a capacity reservation that nothing runs in
        "AmazonEC2", "UnusedBox:{instance_type}", _HOURS, "h", "0.002", "1500", family="Compute Instance",
        filters={"instanceType": "{instance_type}", "operation": "{operation}", "tenancy": "Shared", "capacitystatus": "UnusedCapacityReservation"},
        attributes={"instance_type": _ANY, "operation": _one_of(named("operation", *EC2_OPERATIONS), "RunInstances")},
        committable=True,
    ),
    "ec2.host": _row(
        "AmazonEC2", "HostUsage:{host_family}", _HOURS, "h", "0.2", "500", family="Dedicated Host",
        filters={"instanceType": "{host_family}"}, attributes={"host_family": _ANY},
        committable=True,
    ),
    "ec2.dedicated_fee": _row(
        "AmazonEC2", "DedicatedRegionUsage|Dedicated(Instance)?Fee", _HOURS, "h", "0.5", "10", pattern=True, family="Fee",
        contains="Dedicated", assumed="the usage type of the regional fee for Dedicated Instances",
    ),
    "ec2.cpu_credits": _row(
        "AmazonEC2", "CPUCredits:{family_name}", ("vCPU-Hours", "vCPU-hours"), "vCPU-h", "0.01", "0.3", family="CPU Credits",
        filters={"operatingSystem": "{system}"},
        attributes={
            "family": _one_of(named("family_name", "t2", "t3", "t3a", "t4g")),
            "system": _one_of({"linux": {"system": "Linux"}, "windows": {"system": "Windows"}}, "linux"),
        },
    ),
    "ec2.ipv4.idle": _row(
        "AmazonVPC", "PublicIPv4:IdleAddress", _HOURS, "h", "0.001", "0.05", contains="PublicIPv4:IdleAddress",
    ),
    "ec2.ipv4.in_use": _row(
        "AmazonVPC", "PublicIPv4:InUseAddress", _HOURS, "h", "0.001", "0.05", contains="PublicIPv4:InUseAddress",
    ),
    # --- EBS ---------------------------------------------------------------------------------------------------
    "ebs.storage": _row(
        "AmazonEC2", "{suffix}", _GB_MONTH, "GB-Mo", "0.005", "0.6", family="Storage",
        filters={"volumeApiName": "{volume_type}"}, attributes={"volume_type": _one_of(_VOLUMES)},
    ),
    "ebs.iops": _row(
        "AmazonEC2", "EBS:VolumeP-IOPS.{name}{tier}", _IOPS_MONTH, "IOPS-Mo", "0.002", "0.4", family="System Operation",
        filters={"volumeApiName": "{volume_type}"},
        attributes={
            "volume_type": _one_of({
                "gp3": {"volume_type": "gp3", "name": "gp3"},
                "io1": {"volume_type": "io1", "name": "piops"},
                "io2": {"volume_type": "io2", "name": "io2"},
            }),
            "tier": _one_of({"1": {"tier": ""}, "2": {"tier": ".tier2"}, "3": {"tier": ".tier3"}}, "1"),
        },
    ),
    "ebs.throughput": _row(
        "AmazonEC2", "EBS:VolumeP-Throughput.{volume_type}", ("GiBps-mo",), "MiBps-Mo", "0.01", "0.3",
        family="Provisioned Throughput", divisor=Decimal(1024), filters={"volumeApiName": "{volume_type}"},
        attributes={"volume_type": _one_of(named("volume_type", "gp3"))},
    ),
    "ebs.requests": _row(
        "AmazonEC2", "EBS:VolumeIOUsage", _IOS, "I/O", "0.00000001", "0.000001", family="System Operation",
        filters={"volumeApiName": "standard"},
    ),
    "ebs.snapshot": _row("AmazonEC2", "EBS:SnapshotUsage", _GB_MONTH, "GB-Mo", "0.02", "0.2", family="Storage Snapshot"),
    "ebs.snapshot.archive": _row(
        "AmazonEC2", "EBS:SnapshotArchiveStorage", _GB_MONTH, "GB-Mo", "0.003", "0.06", family="Storage Snapshot",
    ),
    "ebs.fast_restore": _row(
        "AmazonEC2", "EBS:FastSnapshotRestore", ("DSU-Hrs", "DSU-Hours", *_HOURS), "DSU-h", "0.2", "3",
        family="Fast Snapshot Restore", assumed="the unit of the Data Services Unit hour",
    ),
    # --- VPC ---------------------------------------------------------------------------------------------------
    "vpc.nat.hours": _row("AmazonEC2", "NatGateway-Hours", _HOURS, "h", "0.02", "0.3", family="NAT Gateway"),
    "vpc.nat.bytes": _row("AmazonEC2", "NatGateway-Bytes", _GB, "GB", "0.02", "0.3", family="NAT Gateway"),
    "vpc.nat.regional.hours": _row(
        "AmazonEC2", "RegionalNatGateway-Hours", _HOURS, "h", "0.02", "0.3", family="NAT Gateway",
    ),
    "vpc.endpoint.hours": _row("AmazonVPC", "VpcEndpoint-Hours", _HOURS, "h", "0.005", "0.06", family="VpcEndpoint"),
    "vpc.endpoint.bytes": _row("AmazonVPC", "VpcEndpoint-Bytes", _GB, "GB", "0.004", "0.06", family="VpcEndpoint"),
    "vpc.endpoint.gateway_balancer.hours": _row(
        "AmazonVPC", "VpcEndpoint-GWLBE-Hours", _HOURS, "h", "0.005", "0.06", family="VpcEndpoint",
    ),
    "vpc.transit.hours": _row(
        "AmazonVPC", "TransitGateway-Hours", _HOURS, "h", "0.02", "0.3", contains="TransitGateway-Hours",
        filters={"operation": "TransitGateway{attachment}"},
        attributes={"attachment": _one_of(named("attachment", "VPC", "VPN", "PeeringAttachment"), "VPC")},
    ),
    "vpc.transit.bytes": _row(
        "AmazonVPC", "TransitGateway-Bytes", _GB, "GB", "0.005", "0.1", contains="TransitGateway-Bytes",
        filters={"operation": "TransitGateway{attachment}"},
        attributes={"attachment": _one_of(named("attachment", "VPC", "VPN"), "VPC")},
    ),
    "vpc.vpn.hours": _row(
        "AmazonVPC", "VPN-Usage-Hours:ipsec[.]1", _HOURS, "h", "0.02", "0.2", pattern=True, family="Cloud Connectivity",
        filters={"operation": "CreateVpnConnection"}, assumed="the operation of a standard VPN connection",
    ),
    "networkfirewall.endpoint.hours": _row(
        "AWSNetworkFirewall", "Endpoint-Hours?", _HOURS, "h", "0.1", "2", pattern=True, contains="Endpoint-Hour",
        assumed="the usage type of a firewall endpoint",
    ),
    # --- data transfer -----------------------------------------------------------------------------------------
    "transfer.cross_az": _row(
        "AWSDataTransfer", "DataTransfer-Regional-Bytes", _GB, "GB", "0.005", "0.05", family="Data Transfer",
        filters={"transferType": "IntraRegion"}, region_field="fromRegionCode",
    ),
    "transfer.cross_region": _row(
        "AWSDataTransfer", "[A-Z0-9]+-AWS-Out-Bytes", _GB, "GB", "0.005", "0.3", pattern=True, family="Data Transfer",
        filters={"transferType": "InterRegion Outbound", "toRegionCode": "{to}"}, region_field="fromRegionCode",
        attributes={"to": _ANY},
    ),
    "transfer.internet": _row(
        "AWSDataTransfer", "DataTransfer-Out-Bytes", _GB, "GB", "0.02", "0.3", family="Data Transfer",
        filters={"transferType": "AWS Outbound", "toLocation": "External"}, region_field="fromRegionCode",
    ),
    # --- load balancers ----------------------------------------------------------------------------------------
    "elb.hours": _row(
        "AWSELB", "LoadBalancerUsage", _HOURS, "h", "0.005", "0.15", family="{family}",
        filters={"locationType": "AWS Region", "operation": "{operation}"}, attributes={"kind": _one_of(_BALANCERS)},
    ),
    "elb.lcu": _row(
        "AWSELB", "LCUUsage", ("LCU-Hrs", "NLCU-Hrs", "GLCU-Hrs", *_HOURS), "LCU-h", "0.002", "0.05", contains="LCUUsage",
        filters={"locationType": "AWS Region", "operation": "{operation}"},
        attributes={"kind": _one_of({kind: _BALANCERS[kind] for kind in ("application", "network", "gateway")})},
    ),
    "elb.lcu.reserved": _row(
        "AWSELB", "ReservedLCUUsage", ("LCU-Hrs", "NLCU-Hrs", *_HOURS), "LCU-h", "0.002", "0.05", contains="ReservedLCUUsage",
        filters={"locationType": "AWS Region", "operation": "{operation}"},
        attributes={"kind": _one_of({kind: _BALANCERS[kind] for kind in ("application", "network")})},
    ),
    "elb.bytes": _row(
        "AWSELB", "DataProcessing-Bytes", _GB, "GB", "0.002", "0.05", family="Load Balancer",
        filters={"locationType": "AWS Region"},
    ),
    # --- RDS ---------------------------------------------------------------------------------------------------
    "rds.instance": _row(
        "AmazonRDS", "{usage}:(?P<instance_class>db[.].+)", _HOURS, "h", "0.005", "1500", pattern=True, family="Database Instance",
        filters={
            "instanceType": "{instance_class}", "databaseEngine": "{database}", "databaseEdition": "{edition}",
            "licenseModel": "{licence}", "deploymentOption": "{deployment}", "deploymentModel": "",
        },
        batch="instanceType", implied={("engine", name): ("license_model", "none") for name in ("mysql", "mariadb", "postgres")},
        attributes={
            "instance_class": _ANY, "engine": _one_of(_ENGINES), "license_model": _one_of(_LICENCES, "none"),
            "multi_az": _one_of(_MULTI_AZ, "false"),
        },
        committable=True,
    ),
    "rds.cluster_instance": _row(  # one of the three of a Multi-AZ cluster with readable standbys
        "AmazonRDS", "Multi-AZClusterUsage:{instance_class}", _HOURS, "h", "0.005", "1500", family="Database Instance",
        filters={
            "instanceType": "{instance_class}", "databaseEngine": "{database}",
            "deploymentOption": "Multi-AZ (readable standbys)",
        },
        attributes={"instance_class": _ANY, "engine": _one_of({name: _ENGINES[name] for name in ("mysql", "postgres")})},
        assumed="whether the SKU is one instance or all three",
        committable=True,
    ),
    "rds.storage": _row(
        "AmazonRDS", "RDS:{az}{storage}", _GB_MONTH, "GB-Mo", "0.03", "2", family="Database Storage",
        filters={"deploymentOption": "{deployment}", "databaseEngine": "Any"},
        attributes={"storage_type": _one_of(_RDS_STORAGE), "multi_az": _one_of(_MULTI_AZ, "false")},
    ),
    "rds.iops": _row(
        "AmazonRDS", "RDS:{az}{iops}", _IOPS_MONTH, "IOPS-Mo", "0.005", "2", family="Provisioned IOPS",
        filters={"deploymentOption": "{deployment}", "databaseEngine": "Any"},
        attributes={
            "storage_type": _one_of({"io1": {"iops": "PIOPS"}, "gp3": {"iops": "GP3-PIOPS"}}),
            "multi_az": _one_of(_MULTI_AZ, "false"),
        },
    ),
    "rds.throughput": _row(
        "AmazonRDS", "RDS:{az}GP3-Throughput", ("MBPS-Mo", "MiBps-Mo", "MBps-Mo"), "MiBps-Mo", "0.02", "1",
        family="Provisioned Throughput", filters={"deploymentOption": "{deployment}", "databaseEngine": "Any"},
        attributes={"multi_az": _one_of(_MULTI_AZ, "false")},
    ),
    "rds.backup": _row(
        "AmazonRDS", "RDS:ChargedBackupUsage", _GB_MONTH, "GB-Mo", "0.02", "0.5", family="Storage Snapshot",
        filters={"databaseEngine": "Any"},
    ),
    "rds.extended_support": _row(
        "AmazonRDS", "ExtendedSupport:{years}:{engine_version}", _VCPU_HOUR, "vCPU-h", "0.05", "0.6",
        contains="ExtendedSupport:{years}:{engine_version}",
        attributes={"years": _one_of({"1-2": {"years": "Yr1-Yr2"}, "3": {"years": "Yr3"}}), "engine_version": _ANY},
    ),
    "rds.proxy": _row(
        "AmazonRDS", "RDS:ProxyUsage", _VCPU_HOUR, "vCPU-h", "0.005", "0.1", contains="ProxyUsage",
    ),
    # --- Aurora ------------------------------------------------------------------------------------------------
    "aurora.instance": _row(
        "AmazonRDS", "{instance}:{instance_class}", _HOURS, "h", "0.02", "200", family="Database Instance",
        filters={"instanceType": "{instance_class}", "databaseEngine": "{database}"},
        attributes={"instance_class": _ANY, "engine": _one_of(_AURORA), "storage": _one_of(_CLUSTER_IO, "standard")},
        committable=True,
    ),
    "aurora.serverless": _row(
        "AmazonRDS", "Aurora:{acu}", ("ACU-Hr", "ACU-Hrs", *_HOURS), "ACU-h", "0.03", "0.6", contains="Aurora:{acu}",
        filters={"databaseEngine": "{database}"},
        attributes={"engine": _one_of(_AURORA), "storage": _one_of(_CLUSTER_IO, "standard")},
        committable=True,
    ),
    "aurora.storage": _row(
        "AmazonRDS", "Aurora:{storage}", _GB_MONTH, "GB-Mo", "0.03", "1", family="Database Storage",
        filters={"databaseEngine": "Any"}, attributes={"storage": _one_of(_CLUSTER_IO, "standard")},
    ),
    "aurora.io": _row(
        "AmazonRDS", "Aurora:StorageIOUsage", _IOS, "I/O", "0.00000005", "0.000002", family="System Operation",
        filters={"databaseEngine": "Any"},
    ),
    "aurora.backup": _row(
        "AmazonRDS", "Aurora:BackupUsage", _GB_MONTH, "GB-Mo", "0.005", "0.2", family="Storage Snapshot",
    ),
    # --- other databases ---------------------------------------------------------------------------------------
    "docdb.instance": _row(
        "AmazonDocDB", "{instance}:{instance_class}", _HOURS, "h", "0.02", "100", family="Database Instance",
        filters={"instanceType": "{instance_class}"},
        attributes={"instance_class": _ANY, "storage": _one_of(_CLUSTER_IO, "standard")},
        committable=True,
    ),
    "docdb.storage": _row("AmazonDocDB", "StorageUsage", _GB_MONTH, "GB-Mo", "0.03", "1", contains="StorageUsage"),
    "docdb.io": _row("AmazonDocDB", "StorageIOUsage", _IOS, "I/O", "0.00000005", "0.000002", contains="StorageIOUsage"),
    "docdb.backup": _row("AmazonDocDB", "BackupUsage", _GB_MONTH, "GB-Mo", "0.005", "0.2", family="Storage Snapshot"),
    "neptune.instance": _row(
        "AmazonNeptune", "{instance}:{instance_class}", _HOURS, "h", "0.02", "100", family="Database Instance",
        filters={"instanceType": "{instance_class}"},
        attributes={"instance_class": _ANY, "storage": _one_of(_CLUSTER_IO, "standard")},
        committable=True,
    ),
    "neptune.storage": _row("AmazonNeptune", "StorageUsage", _GB_MONTH, "GB-Mo", "0.03", "1", contains="StorageUsage"),
    "neptune.io": _row("AmazonNeptune", "StorageIOUsage", _IOS, "I/O", "0.00000005", "0.000002", contains="StorageIOUsage"),
    "neptune.backup": _row("AmazonNeptune", "BackupUsage", _GB_MONTH, "GB-Mo", "0.005", "0.2", contains="BackupUsage"),
    "dynamodb.capacity.write": _row(
        "AmazonDynamoDB", "{class}WriteCapacityUnit-Hrs", ("WriteCapacityUnit-Hrs", *_HOURS), "WCU-h", "0.0002", "0.005",
        family="Provisioned IOPS", filters={"group": "DDB-WriteUnits{class}"},
        attributes={"table_class": _one_of({"standard": {"class": ""}, "standard-ia": {"class": "IA-"}}, "standard")},
        assumed="the group of the Standard-IA class",
        committable=True,
    ),
    "dynamodb.capacity.read": _row(
        "AmazonDynamoDB", "{class}ReadCapacityUnit-Hrs", ("ReadCapacityUnit-Hrs", *_HOURS), "RCU-h", "0.00004", "0.001",
        family="Provisioned IOPS", filters={"group": "DDB-ReadUnits{class}"},
        attributes={"table_class": _one_of(_TABLE_CLASSES, "standard")}, assumed="the group of the Standard-IA class",
        committable=True,
    ),
    "dynamodb.capacity.replicated_write": _row(
        "AmazonDynamoDB", "ReplWriteCapacityUnit-Hrs", ("ReplWriteCapacityUnit-Hrs", *_HOURS), "rWCU-h", "0.0002", "0.005",
        contains="ReplWriteCapacityUnit-Hrs",
        committable=True,
    ),
    "dynamodb.request.write": _row(
        "AmazonDynamoDB", "{class}WriteRequestUnits", ("WriteRequestUnits", *_REQUESTS), "WRU", "0.0000002", "0.000005",
        family="Amazon DynamoDB PayPerRequest Throughput", attributes={"table_class": _one_of(_TABLE_CLASSES, "standard")},
        committable=True,
    ),
    "dynamodb.request.read": _row(
        "AmazonDynamoDB", "{class}ReadRequestUnits", ("ReadRequestUnits", *_REQUESTS), "RRU", "0.00000004", "0.000001",
        family="Amazon DynamoDB PayPerRequest Throughput", attributes={"table_class": _one_of(_TABLE_CLASSES, "standard")},
        committable=True,
    ),
    "dynamodb.storage": _row(
        "AmazonDynamoDB", "{class}TimedStorage-ByteHrs", _GB_MONTH, "GB-Mo", "0.05", "1", family="Database Storage",
        attributes={"table_class": _one_of(_TABLE_CLASSES, "standard")},
    ),
    "dynamodb.backup": _row(
        "AmazonDynamoDB", "{kind}-ByteHrs", _GB_MONTH, "GB-Mo", "0.03", "1", contains="{kind}-ByteHrs",
        attributes={"kind": _one_of({"on-demand": {"kind": "TimedBackupStorage"}, "continuous": {"kind": "TimedPITRStorage"}})},
    ),
    "elasticache.node": _row(
        "AmazonElastiCache", "NodeUsage:{node_type}", _HOURS, "h", "0.005", "100", family="Cache Instance",
        filters={"instanceType": "{node_type}", "cacheEngine": "{engine}", "locationType": "AWS Region"},
        attributes={
            "node_type": _ANY,
            "engine": _one_of({"redis": {"engine": "Redis"}, "valkey": {"engine": "Valkey"}, "memcached": {"engine": "Memcached"}}),
        },
        committable=True,
    ),
    "elasticache.backup": _row(
        "AmazonElastiCache", "BackupUsage", _GB_MONTH, "GB-Mo", "0.02", "0.5", contains="BackupUsage",
    ),
    "memorydb.node": _row(
        "AmazonMemoryDB", "NodeUsage:{node_type}", _HOURS, "h", "0.01", "100", filters={"instanceType": "{node_type}"},
        attributes={"node_type": _ANY}, assumed="how Valkey and Redis OSS nodes are told apart: two SKUs are no price",
        committable=True,
    ),
    "redshift.node": _row(
        "AmazonRedshift", "Node:{node_type}", _HOURS, "h", "0.1", "60", family="Compute Instance",
        filters={"instanceType": "{node_type}"}, attributes={"node_type": _ANY},
        committable=True,
    ),
    "redshift.storage": _row(
        "AmazonRedshift", "RMS:{node_type}", _GB_MONTH, "GB-Mo", "0.01", "0.1", family="Redshift Managed Storage",
        filters={"instanceType": "{node_type}"}, attributes={"node_type": _ANY},
    ),
    "redshift.serverless": _row(
        "AmazonRedshift", "(Redshift:)?ServerlessUsage", ("RPU-Hr", "RPU-Hours", *_HOURS), "RPU-h", "0.1", "2", pattern=True,
        contains="ServerlessUsage", assumed="the unit of the RPU hour",
        committable=True,
    ),
    "opensearch.instance": _row(
        "AmazonES", "ESInstance:.+", _HOURS, "h", "0.01", "100", pattern=True, family="Amazon OpenSearch Service Instance",
        filters={"instanceType": "{instance_type}"}, attributes={"instance_type": _ANY}, batch="instanceType",
        committable=True,
    ),
    "opensearch.storage": _row(
        "AmazonES", "ES:{media}-Storage", _GB_MONTH, "GB-Mo", "0.03", "1", family="Amazon OpenSearch Service Volume",
        attributes={"volume_type": _one_of({
            "gp2": {"media": "GP2"}, "gp3": {"media": "GP3"}, "io1": {"media": "PIOPS"}, "standard": {"media": "Magnetic"},
        })},
    ),
    "opensearch.iops": _row(
        "AmazonES", "ES:PIOPS", _IOPS_MONTH, "IOPS-Mo", "0.02", "0.5", family="Amazon OpenSearch Service Volume",
    ),
    # --- serverless and containers -----------------------------------------------------------------------------
    "lambda.requests": _row(
        "AWSLambda", "(Lambda-)?Request{arm}", _REQUESTS, "request", "0.0000001", "0.000001", pattern=True, family="Serverless",
        filters={"group": "AWS-Lambda-Requests{arm}"}, attributes={"architecture": _one_of(_ARCHITECTURES, "x86_64")},
        committable=True,
    ),
    "lambda.duration": _row(
        "AWSLambda", "Lambda-GB-Second{arm}", ("Lambda-GB-Second", "Second", "Seconds", "GB-Second", "GB-Seconds"), "GB-s",
        "0.000005", "0.0001", family="Serverless", filters={"group": "AWS-Lambda-Duration{arm}"},
        attributes={"architecture": _one_of(_ARCHITECTURES, "x86_64")},
        committable=True,
    ),
    "lambda.provisioned": _row(
        "AWSLambda", "Lambda-Provisioned-Concurrency{arm}",
        ("Lambda-GB-Second", "Second", "Seconds", "GB-Second", "GB-Seconds"), "GB-s", "0.000001", "0.00005", family="Serverless",
        filters={"group": "AWS-Lambda-Provisioned-Concurrency{arm}"},
        attributes={"architecture": _one_of(_ARCHITECTURES, "x86_64")},
        committable=True,
    ),
    "lambda.provisioned_duration": _row(
        "AWSLambda", "Lambda-Provisioned-GB-Second{arm}",
        ("Lambda-GB-Second", "Second", "Seconds", "GB-Second", "GB-Seconds"), "GB-s", "0.000003", "0.0001", family="Serverless",
        filters={"group": "AWS-Lambda-Duration-Provisioned{arm}"},
        attributes={"architecture": _one_of(_ARCHITECTURES, "x86_64")},
        committable=True,
    ),
    "fargate.cpu": _row(
        "AmazonECS", "Fargate-{platform}vCPU-Hours:perCPU", _VCPU_HOUR, "vCPU-h", "0.01", "0.3", family="Compute",
        attributes={"platform": _one_of(_PLATFORMS, "linux-x86_64")},
        committable=True,
    ),
    "fargate.memory": _row(
        "AmazonECS", "Fargate-{platform}GB-Hours", _GB_HOUR, "GB-h", "0.001", "0.05", family="Compute",
        attributes={"platform": _one_of(_PLATFORMS, "linux-x86_64")},
        committable=True,
    ),
    "fargate.storage": _row(
        "AmazonECS", "Fargate-EphemeralStorage-GB-Hours", _GB_HOUR, "GB-h", "0.00001", "0.001",
        contains="Fargate-EphemeralStorage",
    ),
    "eks.cluster": _row(
        "AmazonEKS", "AmazonEKS-Hours:{support}", _HOURS, "h", "0.05", "1.5", family="Compute",
        attributes={"support": _one_of({"standard": {"support": "perCluster"}, "extended": {"support": "extendedSupport"}}, "standard")},
    ),
    "ecr.storage": _row(
        "AmazonECR", "TimedStorage-ByteHrs", _GB_MONTH, "GB-Mo", "0.03", "0.5", contains="TimedStorage-ByteHrs",
    ),
    # --- CloudWatch --------------------------------------------------------------------------------------------
    "cloudwatch.logs.ingest": _row(
        "AmazonCloudWatch", "DataProcessing{class}-Bytes", _GB, "GB", "0.1", "2", family="Data Payload",
        attributes={"log_class": _one_of({"standard": {"class": ""}, "infrequent": {"class": "IA"}}, "standard")},
    ),
    "cloudwatch.logs.storage": _row(
        "AmazonCloudWatch", "TimedStorage-ByteHrs", _GB_MONTH, "GB-Mo", "0.01", "0.15", family="Storage Snapshot",
    ),
    "cloudwatch.logs.scan": _row(
        "AmazonCloudWatch", "DataScanned-Bytes", _GB, "GB", "0.001", "0.03", contains="DataScanned-Bytes",
    ),
    "cloudwatch.alarm": _row(
        "AmazonCloudWatch", "CW:{usage}", ("Alarms", "Alarm"), "alarm-Mo", "0.03", "2", family="Alarm",
        attributes={"resolution": _one_of(
            {"standard": {"usage": "AlarmMonitorUsage"}, "high": {"usage": "HighResAlarmMonitorUsage"}}, "standard"
        )},
    ),
    "cloudwatch.metric": _row(
        "AmazonCloudWatch", "CW:MetricMonitorUsage", ("Metrics", "Metric"), "metric-Mo", "0.1", "1", family="Metric",
        filters={"group": "Metric"},
    ),
    "cloudwatch.dashboard": _row(
        "AmazonCloudWatch", "DashboardsUsageHour", ("Dashboards", "Dashboard"), "dashboard-Mo", "1", "10", family="Dashboard",
    ),
    "cloudwatch.metric_data": _row(
        "AmazonCloudWatch", "CW:GMD-Metrics", ("Metrics", *_REQUESTS), "metric", "0.000005", "0.0001", contains="GMD-Metrics",
    ),
    # --- S3 ----------------------------------------------------------------------------------------------------
    "s3.storage": _row(
        "AmazonS3", "{storage}", _GB_MONTH, "GB-Mo", "0.0005", "0.1", family="Storage",
        attributes={"storage_class": _one_of(_S3_CLASSES, "standard")},
    ),
    "s3.requests": _row(
        "AmazonS3", "Requests-{tier}", _REQUESTS, "request", "0.0000001", "0.00005", family="API Request",
        attributes={"tier": _one_of({"write": {"tier": "Tier1"}, "read": {"tier": "Tier2"}})},
    ),
    "s3.monitoring": _row(
        "AmazonS3", "Monitoring-Automation-INT", ("Objects", "Object"), "object-Mo", "0.000001", "0.00001",
        contains="Monitoring-Automation-INT",
    ),
    # --- files -------------------------------------------------------------------------------------------------
    "efs.storage": _row(
        "AmazonEFS", "{storage}", _GB_MONTH, "GB-Mo", "0.003", "1", family="Storage",
        attributes={"storage_class": _one_of(_EFS_CLASSES, "standard")},
    ),
    "efs.throughput": _row(
        "AmazonEFS", "ProvisionedTP-MiBpsHrs", ("MiBps-Mo", "MiBpsHrs", "MBps-Mo"), "MiBps-Mo", "2", "20",
        family="Provisioned Throughput",
    ),
    "fsx.storage": _row(
        "AmazonFSx", ".*Storage.*", _GB_MONTH, "GB-Mo", "0.005", "1", pattern=True, family="Storage",
        filters={"fileSystemType": "{system}", "deploymentOption": "{deployment}", "storageType": "{media}"},
        attributes={
            "system": _one_of(named("system", "Windows", "Lustre", "ONTAP", "OpenZFS")),
            "deployment": _one_of(named("deployment", "Single-AZ", "Multi-AZ"), "Single-AZ"),
            "media": _one_of(named("media", "SSD", "HDD"), "SSD"),
        },
        assumed="the usage types: the filters must leave one SKU",
    ),
    "fsx.throughput": _row(
        "AmazonFSx", ".*Throughput.*", ("MBps-Mo", "MiBps-Mo", "MBps-Month"), "MBps-Mo", "0.3", "10", pattern=True,
        family="Provisioned Throughput", filters={"fileSystemType": "{system}", "deploymentOption": "{deployment}"},
        attributes={
            "system": _one_of(named("system", "Windows", "ONTAP", "OpenZFS")),
            "deployment": _one_of(named("deployment", "Single-AZ", "Multi-AZ"), "Single-AZ"),
        },
        assumed="the usage types: the filters must leave one SKU",
    ),
    "fsx.backup": _row(
        "AmazonFSx", "BackupUsage", _GB_MONTH, "GB-Mo", "0.01", "0.3", filters={"fileSystemType": "{system}"},
        contains="BackupUsage", attributes={"system": _one_of(named("system", "Windows", "Lustre", "ONTAP", "OpenZFS"))},
    ),
    # --- streams and analytics ---------------------------------------------------------------------------------
    "kinesis.shard": _row(
        "AmazonKinesis", "Storage-ShardHour", _HOURS, "h", "0.005", "0.1", family="Kinesis Streams",
        filters={"operation": "shardHourStorage"},
    ),
    "kinesis.stream": _row(
        "AmazonKinesis", "OnDemand-StreamHour", _HOURS, "h", "0.01", "0.3", family="Kinesis Streams",
    ),
    "kinesis.put": _row(
        "AmazonKinesis", "PutRequestPayloadUnits", ("Units", "PayloadUnits", *_REQUESTS), "25 kB unit", "0.000000005", "0.0000001",
        family="Kinesis Streams",
    ),
    "msk.broker": _row(
        "AmazonMSK", "Kafka[.]{instance_type}", _HOURS, "h", "0.02", "30", pattern=True,
        family="Managed Streaming for Apache Kafka (MSK)", filters={"locationType": "AWS Region"},
        attributes={"instance_type": _ANY},
    ),
    "msk.storage": _row(
        "AmazonMSK", "Kafka[.]Storage[.]GP2", _GB_MONTH, "GB-Mo", "0.03", "0.5", pattern=True,
        family="Managed Streaming for Apache Kafka (MSK)", filters={"storageFamily": "GP2"},
    ),
    "glue.dpu": _row(
        "AWSGlue", "ETL-DPU-Hour", ("DPU-Hour", "DPU-Hours", *_HOURS), "DPU-h", "0.1", "2", filters={"operation": "Jobrun"},
        contains="ETL-DPU-Hour", assumed="the operation of a job run",
    ),
    "athena.scan": _row(
        "AmazonAthena", "DataScannedInTB", ("Terabytes", "TB"), "TB", "1", "20", contains="DataScannedInTB",
    ),
    "sagemaker.endpoint": _row(
        "AmazonSageMaker", "Host:{instance_type}", _HOURS, "h", "0.005", "300", contains="Host:{instance_type}",
        filters={"component": "Hosting"}, attributes={"instance_type": _ANY},
        committable=True,
    ),
    "sagemaker.notebook": _row(
        "AmazonSageMaker", "Notebk:{instance_type}", _HOURS, "h", "0.005", "300", contains="Notebk:{instance_type}",
        filters={"component": "Notebook"}, attributes={"instance_type": _ANY}, assumed="the component of notebooks",
        committable=True,
    ),
    # --- the rest ----------------------------------------------------------------------------------------------
    "workspaces.bundle": _row(
        "AmazonWorkSpaces", "AW-HW-{bundle}(-.*)?", ("Month", "Months", *_HOURS), "month", "1", "1000", pattern=True,
        family="Enterprise Applications",
        filters={"bundle": "{bundle_name}", "runningMode": "{mode}", "license": "Included", "resourceType": "Hardware"},
        attributes={
            "bundle": Attribute(values={
                "value": {"bundle": "1", "bundle_name": "Value"}, "standard": {"bundle": "2", "bundle_name": "Standard"},
                "performance": {"bundle": "3", "bundle_name": "Performance"},
            }),
            "running_mode": _one_of({"always-on": {"mode": "AlwaysOn"}, "auto-stop": {"mode": "AutoStop"}}),
        },
        assumed="every attribute value",
    ),
    "secrets.secret": _row(
        "AWSSecretsManager", "AWSSecretsManager-Secret", ("Secrets", "Secret", "Secrets-Mo", "Secret-Months"), "secret-Mo", "0.2", "2",
        family="Secret",
    ),
    "kms.key": _row(
        "awskms", "KMS-Keys", ("Keys", "Key", "keys"), "key-Mo", "0.5", "3", family="Encryption Key",
    ),
    "kms.requests": _row(
        "awskms", "KMS-Requests", _REQUESTS, "request", "0.000001", "0.0001", contains="KMS-Requests",
    ),
    "costexplorer.request": _row(
        "AWSCostExplorer", "APIRequest", _REQUESTS, "request", "0.005", "0.05", contains="APIRequest",
    ),
}
# fmt: on
