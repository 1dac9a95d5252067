"""The price dimensions that checks ask for: which SKU each one is, in which unit, within which bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ..errors import DeclarationError

#: Hours in a month, as AWS counts them (365 x 24 / 12).
HOURS = Decimal(730)

#: Enters the key of every cached price: raise it when a row's meaning changes.
CATALOGUE_VERSION = 1

#: The region billing codes that prefix usage types; us-east-1 mostly has none, eu-west-1 is plain EU.
REGION_PREFIXES: Mapping[str, str] = {
    "af-south-1": "AFS1",
    "ap-east-1": "APE1",
    "ap-east-2": "APE2",
    "ap-northeast-1": "APN1",
    "ap-northeast-2": "APN2",
    "ap-northeast-3": "APN3",
    "ap-south-1": "APS3",
    "ap-south-2": "APS5",
    "ap-southeast-1": "APS1",
    "ap-southeast-2": "APS2",
    "ap-southeast-3": "APS4",
    "ap-southeast-4": "APS6",
    "ap-southeast-5": "APS7",
    "ap-southeast-6": "APS8",
    "ap-southeast-7": "APS9",
    "ca-central-1": "CAN1",
    "ca-west-1": "CAN2",
    "eu-central-1": "EUC1",
    "eu-central-2": "EUC2",
    "eu-north-1": "EUN1",
    "eu-south-1": "EUS1",
    "eu-south-2": "EUS2",
    "eu-west-1": "EU",
    "eu-west-2": "EUW2",
    "eu-west-3": "EUW3",
    "il-central-1": "ILC1",
    "me-central-1": "MEC1",
    "me-south-1": "MES1",
    "mx-central-1": "MXC1",
    "sa-east-1": "SAE1",
    "us-east-1": "USE1",
    "us-east-2": "USE2",
    "us-gov-east-1": "UGE1",
    "us-gov-west-1": "UGW1",
    "us-west-1": "USW1",
    "us-west-2": "USW2",
}

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

_STORAGE_SUFFIX = {
    "gp2": "EBS:VolumeUsage.gp2",
    "gp3": "EBS:VolumeUsage.gp3",
    "io1": "EBS:VolumeUsage.piops",
    "io2": "EBS:VolumeUsage.io2",
    "st1": "EBS:VolumeUsage.st1",
    "sc1": "EBS:VolumeUsage.sc1",
    "standard": "EBS:VolumeUsage",
}
#: LCU rows come without a product family in some offer files: there, the operation tells the kinds apart.
_BALANCER = {
    "application": {"family": "Load Balancer-Application", "operation": "LoadBalancing:Application"},
    "network": {"family": "Load Balancer-Network", "operation": "LoadBalancing:Network"},
    "gateway": {"family": "Load Balancer-Gateway", "operation": "LoadBalancing:Gateway"},
    "classic": {"family": "Load Balancer", "operation": "LoadBalancing"},
}
_MULTI_AZ = {
    "false": {"deployment": "Single-AZ", "az": "", "usage": "InstanceUsage"},
    "true": {"deployment": "Multi-AZ", "az": "Multi-AZ-", "usage": "Multi-AZUsage"},
}
_RDS_ENGINES: Mapping[str, Mapping[str, str]] = {
    "mysql": {"database": "MySQL", "edition": ""},
    "mariadb": {"database": "MariaDB", "edition": ""},
    "postgres": {"database": "PostgreSQL", "edition": ""},
    "oracle-ee": {"database": "Oracle", "edition": "Enterprise"},
    "oracle-ee-cdb": {"database": "Oracle", "edition": "Enterprise"},
    "oracle-se2": {"database": "Oracle", "edition": "Standard Two"},
    "oracle-se2-cdb": {"database": "Oracle", "edition": "Standard Two"},
    "sqlserver-ex": {"database": "SQL Server", "edition": "Express"},
    "sqlserver-web": {"database": "SQL Server", "edition": "Web"},
    "sqlserver-se": {"database": "SQL Server", "edition": "Standard"},
    "sqlserver-ee": {"database": "SQL Server", "edition": "Enterprise"},
}
_RDS_LICENCES = {
    "none": {"licence": "No license required"},
    "license-included": {"licence": "License included"},
    "bring-your-own-license": {"licence": "Bring your own license"},
}
_RDS_STORAGE = {
    "gp2": {"storage": "GP2-Storage"},
    "gp3": {"storage": "GP3-Storage"},
    "io1": {"storage": "PIOPS-Storage"},
    "standard": {"storage": "StorageUsage"},
}


@dataclass(frozen=True, slots=True, order=True)
class PriceKey:
    """What a price is asked for: normalised, hashable, sortable. Make one with :func:`key`."""

    dimension: str
    region: str
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The attributes as the snapshot writes them (``kind=application``)."""
        return ";".join(f"{name}={value}" for name, value in self.attributes)

    def __str__(self) -> str:
        return f"{self.dimension} in {self.region}" + (f" ({self.text})" if self.attributes else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """An attribute of a dimension; ``values`` maps what callers say to template words (None: anything)."""

    default: str | None = None
    values: Mapping[str, Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One row: the SKU by filters and anchored usage-type suffix, its units and what a plausible price is.

    ``filters`` and ``suffix`` are templates over the attributes' values; a filter whose template comes out
    empty must be absent from the SKU. ``contains`` narrows a query where no product family is confirmed; the
    anchored suffix decides. ``batch`` names the filter to leave out when many keys differ in nothing else;
    in such a row ``suffix`` is a regular expression.
    """

    service: str
    family: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    suffix: str
    units: tuple[str, ...]
    unit: str
    divisor: Decimal = Decimal(1)
    low: Decimal
    high: Decimal
    hourly: bool = False
    free: bool = False
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    contains: str = ""
    batch: str = ""
    region_field: str = "regionCode"


def _named(name: str, *values: str) -> Mapping[str, Mapping[str, str]]:
    return {value: {name: value} for value in values}


_HOURS = ("Hrs", "Hours", "Hour")
_GB_MONTH = ("GB-Mo", "GB-month")
_GB = ("GB", "Gigabytes")
_IOPS_MONTH = ("IOPS-Mo",)

CATALOGUE: Mapping[str, Dimension] = {
    "ec2.instance": Dimension(
        service="AmazonEC2",
        family="{family}",
        filters={
            "instanceType": "{instance_type}",
            "operation": "{operation}",
            "tenancy": "{tenancy}",
            "capacitystatus": "Used",
        },
        suffix="{usage}(:{instance_type})?",
        units=_HOURS,
        unit="h",
        low=Decimal("0.002"),
        high=Decimal(1500),
        hourly=True,
        batch="instanceType",
        attributes={
            "instance_type": Attribute(),
            "operation": Attribute(default="RunInstances", values=_named("operation", *EC2_OPERATIONS)),
            "tenancy": Attribute(
                default="default",
                values={
                    "default": {"tenancy": "Shared", "usage": "BoxUsage"},
                    "dedicated": {"tenancy": "Dedicated", "usage": "DedicatedUsage"},
                },
            ),
        },
    ),
    "ebs.storage": Dimension(
        service="AmazonEC2",
        family="Storage",
        filters={"volumeApiName": "{volume_type}"},
        suffix="{suffix}",
        units=_GB_MONTH,
        unit="GB-Mo",
        low=Decimal("0.005"),
        high=Decimal("0.6"),
        attributes={
            "volume_type": Attribute(
                values={name: {"volume_type": name, "suffix": text} for name, text in _STORAGE_SUFFIX.items()}
            )
        },
    ),
    "ebs.iops": Dimension(
        service="AmazonEC2",
        family="System Operation",
        filters={"volumeApiName": "{volume_type}"},
        suffix="EBS:VolumeP-IOPS.{name}{tier}",
        units=_IOPS_MONTH,
        unit="IOPS-Mo",
        low=Decimal("0.002"),
        high=Decimal("0.4"),
        attributes={
            "volume_type": Attribute(
                values={
                    "gp3": {"volume_type": "gp3", "name": "gp3"},
                    "io1": {"volume_type": "io1", "name": "piops"},
                    "io2": {"volume_type": "io2", "name": "io2"},
                }
            ),
            "tier": Attribute(
                default="1", values={"1": {"tier": ""}, "2": {"tier": ".tier2"}, "3": {"tier": ".tier3"}}
            ),
        },
    ),
    "ebs.throughput": Dimension(
        service="AmazonEC2",
        family="Provisioned Throughput",
        filters={"volumeApiName": "{volume_type}"},
        suffix="EBS:VolumeP-Throughput.{volume_type}",
        units=("GiBps-mo",),
        unit="MiBps-Mo",
        divisor=Decimal(1024),
        low=Decimal("0.01"),
        high=Decimal("0.3"),
        attributes={"volume_type": Attribute(values=_named("volume_type", "gp3"))},
    ),
    "ebs.snapshot": Dimension(
        service="AmazonEC2",
        family="Storage Snapshot",
        suffix="EBS:SnapshotUsage",
        units=_GB_MONTH,
        unit="GB-Mo",
        low=Decimal("0.02"),
        high=Decimal("0.2"),
    ),
    "ec2.ipv4.idle": Dimension(
        service="AmazonVPC",
        suffix="PublicIPv4:IdleAddress",
        contains="PublicIPv4:IdleAddress",
        units=_HOURS,
        unit="h",
        low=Decimal("0.001"),
        high=Decimal("0.05"),
        hourly=True,
    ),
    "ec2.ipv4.in_use": Dimension(
        service="AmazonVPC",
        suffix="PublicIPv4:InUseAddress",
        contains="PublicIPv4:InUseAddress",
        units=_HOURS,
        unit="h",
        low=Decimal("0.001"),
        high=Decimal("0.05"),
        hourly=True,
    ),
    "vpc.nat.hours": Dimension(
        service="AmazonEC2",
        family="NAT Gateway",
        suffix="NatGateway-Hours",
        units=_HOURS,
        unit="h",
        low=Decimal("0.02"),
        high=Decimal("0.3"),
        hourly=True,
    ),
    "vpc.nat.bytes": Dimension(
        service="AmazonEC2",
        family="NAT Gateway",
        suffix="NatGateway-Bytes",
        units=_GB,
        unit="GB",
        low=Decimal("0.02"),
        high=Decimal("0.3"),
    ),
    "transfer.cross_az": Dimension(
        service="AWSDataTransfer",
        family="Data Transfer",
        filters={"transferType": "IntraRegion"},
        suffix="DataTransfer-Regional-Bytes",
        units=_GB,
        unit="GB",
        low=Decimal("0.005"),
        high=Decimal("0.05"),
        region_field="fromRegionCode",
    ),
    "elb.hours": Dimension(
        service="AWSELB",
        family="{family}",
        filters={"locationType": "AWS Region", "operation": "{operation}"},
        suffix="LoadBalancerUsage",
        units=_HOURS,
        unit="h",
        low=Decimal("0.005"),
        high=Decimal("0.15"),
        hourly=True,
        attributes={"kind": Attribute(values=_BALANCER)},
    ),
    "elb.lcu": Dimension(
        service="AWSELB",
        filters={"locationType": "AWS Region", "operation": "{operation}"},
        suffix="LCUUsage",
        contains="LCUUsage",
        units=("LCU-Hrs", "NLCU-Hrs", "GLCU-Hrs", *_HOURS),
        unit="LCU-h",
        low=Decimal("0.002"),
        high=Decimal("0.05"),
        hourly=True,
        attributes={
            "kind": Attribute(
                values={kind: _BALANCER[kind] for kind in ("application", "network", "gateway")}
            )
        },
    ),
    "rds.instance": Dimension(
        service="AmazonRDS",
        family="Database Instance",
        filters={
            "instanceType": "{instance_class}",
            "databaseEngine": "{database}",
            "databaseEdition": "{edition}",
            "licenseModel": "{licence}",
            "deploymentOption": "{deployment}",
            "deploymentModel": "",
        },
        suffix="{usage}:db[.].+",
        units=_HOURS,
        unit="h",
        low=Decimal("0.005"),
        high=Decimal(1500),
        hourly=True,
        batch="instanceType",
        attributes={
            "instance_class": Attribute(),
            "engine": Attribute(values=_RDS_ENGINES),
            "license_model": Attribute(default="none", values=_RDS_LICENCES),
            "multi_az": Attribute(default="false", values=_MULTI_AZ),
        },
    ),
    "rds.storage": Dimension(
        service="AmazonRDS",
        family="Database Storage",
        filters={"deploymentOption": "{deployment}", "databaseEngine": "Any"},
        suffix="RDS:{az}{storage}",
        units=_GB_MONTH,
        unit="GB-Mo",
        low=Decimal("0.03"),
        high=Decimal(2),
        attributes={
            "storage_type": Attribute(values=_RDS_STORAGE),
            "multi_az": Attribute(default="false", values=_MULTI_AZ),
        },
    ),
    "rds.iops": Dimension(
        service="AmazonRDS",
        family="Provisioned IOPS",
        filters={"deploymentOption": "{deployment}", "databaseEngine": "Any"},
        suffix="RDS:{az}{iops}",
        units=_IOPS_MONTH,
        unit="IOPS-Mo",
        low=Decimal("0.005"),
        high=Decimal(2),
        attributes={
            "storage_type": Attribute(values={"io1": {"iops": "PIOPS"}, "gp3": {"iops": "GP3-PIOPS"}}),
            "multi_az": Attribute(default="false", values=_MULTI_AZ),
        },
    ),
    "rds.backup": Dimension(
        service="AmazonRDS",
        family="Storage Snapshot",
        filters={"databaseEngine": "Any"},
        suffix="RDS:ChargedBackupUsage",
        units=_GB_MONTH,
        unit="GB-Mo",
        low=Decimal("0.02"),
        high=Decimal("0.5"),
    ),
}

#: Engines whose licence costs nothing, whatever name DescribeDBInstances gives it.
_OPEN_ENGINES = frozenset({"mysql", "mariadb", "postgres"})


def dimension(name: str) -> Dimension:
    """Return the row of ``name``, or raise DeclarationError."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise DeclarationError(
            f"no price dimension {name!r}; there are {', '.join(sorted(CATALOGUE))}"
        ) from None


def key(name: str, region: str, attributes: Mapping[str, object]) -> PriceKey:
    """Return the normalised key: defaults filled in, booleans as text; DeclarationError on wrong names."""
    row = dimension(name)
    given = {attribute: _text(name, attribute, value) for attribute, value in attributes.items()}
    unknown = sorted(given.keys() - row.attributes.keys())
    if unknown:
        raise DeclarationError(f"{name} has no attribute {unknown[0]!r}; it takes {sorted(row.attributes)}")
    if name == "rds.instance" and given.get("engine") in _OPEN_ENGINES:
        given["license_model"] = "none"
    for attribute, declared in row.attributes.items():
        if attribute not in given:
            if declared.default is None:
                raise DeclarationError(f"{name} needs the attribute {attribute!r}")
            given[attribute] = declared.default
    return PriceKey(name, region, tuple(sorted(given.items())))


def _text(name: str, attribute: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise DeclarationError(f"{name}: {attribute} must be text, a whole number or a boolean, not {value!r}")


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of GetProducts, and how the one SKU is told from its neighbours."""

    service: str
    filters: tuple[tuple[str, str], ...]
    absent: tuple[str, ...]
    contains: str
    usage_type: re.Pattern[str]


def query(wanted: PriceKey) -> Query | str:
    """Return the query of a key, or the reason why its price cannot be looked up."""
    row = dimension(wanted.dimension)
    prefix = REGION_PREFIXES.get(wanted.region)
    if prefix is None:
        return f"no usage-type prefix is known for {wanted.region}"
    words: dict[str, str] = {}
    for name, value in wanted.attributes:
        values = row.attributes[name].values
        if values is None:
            words[name] = value
        elif value in values:
            words.update(values[value])
        else:
            return f"{wanted.dimension} knows no {name} {value!r}"
    if wanted.dimension == "ec2.instance":
        metal = ".metal" in words["instance_type"]
        words["family"] = "Compute Instance (bare metal)" if metal else "Compute Instance"
    if wanted.dimension == "rds.instance" and ("licence", "No license required") in words.items():
        engine = dict(wanted.attributes)["engine"]
        if engine not in _OPEN_ENGINES:
            return f"the licence model of {engine} is not known"
    filters = {row.region_field: wanted.region, "productFamily": row.family.format_map(words)}
    absent = []
    for name, template in row.filters.items():
        value = template.format_map(words)
        if value:
            filters[name] = value
        else:
            absent.append(name)
    if not filters["productFamily"]:
        del filters["productFamily"]
    suffix = row.suffix if row.batch else ""
    pattern = (
        suffix.format_map({name: re.escape(value) for name, value in words.items()})
        if suffix
        else re.escape(row.suffix.format_map(words))
    )
    return Query(
        row.service,
        tuple(sorted(filters.items())),
        tuple(sorted(absent)),
        row.contains,
        re.compile(f"^({prefix}-)?{pattern}$"),
    )
