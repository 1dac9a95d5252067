"""The sample estate and the table of what an audit of it must find."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from demo_expected import EXPECTED, NET, NOT_EVALUATED, TOTAL, TRAPS, check_audit, counted

from pytest_finops.testing import ReplayEndpoint
from pytest_finops.testing.demo import DEV, EU, PROD, US, demo_estate

NOW = datetime(2026, 9, 25, 12, 34, 56, tzinfo=UTC)
RULES = {
    "ec2-low-cpu",
    "ec2-old-generation",
    "ebs-unattached",
    "ebs-gp2-to-gp3",
    "ebs-old-snapshots",
    "eip-unassociated",
    "rds-low-cpu",
    "rds-multi-az-nonprod",
    "nat-gateway-count",
    "elb-idle",
}
_CONTENTS = {
    "ec2.describe_volumes": ("Volumes", "VolumeId"),
    "ec2.describe_snapshots": ("Snapshots", "SnapshotId"),
    "ec2.describe_addresses": ("Addresses", "AllocationId"),
    "ec2.describe_nat_gateways": ("NatGateways", "NatGatewayId"),
    "rds.describe_db_instances": ("DBInstances", "DBInstanceIdentifier"),
    "elbv2.describe_load_balancers": ("LoadBalancers", "LoadBalancerArn"),
    "elb.describe_load_balancers": ("LoadBalancerDescriptions", "LoadBalancerName"),
}


def _resources() -> Counter[tuple[str, str, str]]:
    estate = demo_estate(NOW)
    found: Counter[tuple[str, str, str]] = Counter()
    for account in estate.accounts.values():
        for region in account.regions:
            place = (account.account_id, region)
            for operation, (members, name) in _CONTENTS.items():
                for call in estate.calls(*place, operation):
                    found.update((*place, member[name]) for member in call.answer[members])
            for call in estate.calls(*place, "ec2.describe_instances"):
                for reservation in call.answer["Reservations"]:
                    found.update((*place, instance["InstanceId"]) for instance in reservation["Instances"])
    return found


def _audit() -> dict[str, Any]:
    """An audit as it should be, made of the tables."""
    findings = [
        {
            "rule_id": rule_id,
            "account_id": account_id,
            "region": region,
            "resource_id": resource_id,
            "estimated_monthly_savings": savings,
            "counted_monthly_savings": str(counted((rule_id, account_id, region, resource_id))),
        }
        for (rule_id, account_id, region, resource_id), savings in EXPECTED.items()
    ]
    return {
        "findings": findings,
        "total_monthly_savings": TOTAL,
        "totals": {
            "waste": "0.00",
            "optimisation": TOTAL,
            "net": NET,
            "unpriced_findings": sum(savings is None for savings in EXPECTED.values()),
        },
        "checks": [
            {
                "rule_id": rule_id,
                "account_id": account_id,
                "region": region,
                "not_evaluated": [{"resource_id": resource_id, "reason": "nobody knows"}],
            }
            for rule_id, account_id, region, resource_id in sorted(NOT_EVALUATED)
        ],
    }


def test_every_rule_fires_and_the_table_adds_up() -> None:
    assert {rule_id for rule_id, *_ in EXPECTED} == RULES
    assert sum(map(counted, EXPECTED), Decimal(0)) == Decimal(TOTAL)


def test_tables_name_resources_of_the_estate() -> None:
    found = _resources()
    assert set(found.values()) == {1}
    assert {(account_id, region, resource) for _, account_id, region, resource in EXPECTED} <= set(found)
    assert {resource for *_, resource in found} >= TRAPS
    assert NOT_EVALUATED.isdisjoint(EXPECTED)
    assert TRAPS.isdisjoint(resource for *_, resource in EXPECTED)
    assert {(account_id, region) for account_id, region, _ in found} == {
        (account_id, region) for account_id in (PROD, DEV) for region in (US, EU)
    }


def test_the_estate_is_the_same_at_every_call_and_moves_with_the_clock(tmp_path: Path) -> None:
    def saved(name: str, now: datetime) -> dict[str, str]:
        root = demo_estate(now).save(tmp_path / name)
        return {
            file.relative_to(root).as_posix(): file.read_text(encoding="utf-8")
            for file in sorted(root.rglob("*"))
            if file.is_file()
        }

    assert saved("one", NOW) == saved("two", NOW)
    later = saved("later", NOW + timedelta(days=7))
    line = json.loads(later[f"{PROD}/{US}/ec2.describe_nat_gateways.jsonl"])
    assert line["answer"]["NatGateways"][0]["CreateTime"].startswith("2025-08-28T12:34:56")


@pytest.mark.parametrize("account_id", [PROD, DEV])
def test_clients_read_the_estate(account_id: str) -> None:
    estate = demo_estate(NOW)
    with ReplayEndpoint(estate) as endpoint:
        key = estate.accounts[account_id].access_key
        made: list[Any] = []

        def client(service: str) -> Any:
            made.append(
                boto3.client(
                    service,
                    region_name=US,
                    endpoint_url=endpoint.url,
                    aws_access_key_id=key,
                    aws_secret_access_key="x",
                    config=Config(retries={"total_max_attempts": 1}),
                )
            )
            return made[-1]

        try:
            ec2, elbv2, rds = client("ec2"), client("elbv2"), client("rds")
            snapshots = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
            assert {snapshot["OwnerId"] for snapshot in snapshots} == {account_id}
            for snapshot in snapshots:
                answer = ec2.describe_snapshot_attribute(
                    SnapshotId=snapshot["SnapshotId"], Attribute="createVolumePermission"
                )
                assert answer["SnapshotId"] == snapshot["SnapshotId"]
            for group in elbv2.describe_target_groups()["TargetGroups"]:
                elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
            balancers = elbv2.describe_load_balancers()["LoadBalancers"]
            tags = elbv2.describe_tags(ResourceArns=[balancers[0]["LoadBalancerArn"]])["TagDescriptions"]
            assert [row["ResourceArn"] for row in tags] == [balancers[0]["LoadBalancerArn"]]
            options = rds.describe_orderable_db_instance_options(Engine="mysql", EngineVersion="8.0.39")
            rows = options["OrderableDBInstanceOptions"]
            assert {row["Engine"] for row in rows} == {"mysql"}
        finally:
            for each in made:
                each.close()


def test_the_table_accepts_itself() -> None:
    check_audit(_audit())


def _trap(audit: dict[str, Any]) -> None:
    audit["findings"].append({**audit["findings"][0], "resource_id": min(TRAPS)})


def _missing(audit: dict[str, Any]) -> None:
    audit["findings"].pop()


def _twice(audit: dict[str, Any]) -> None:
    audit["findings"].append(audit["findings"][0])


def _elsewhere(audit: dict[str, Any]) -> None:
    audit["findings"][0]["region"] = "eu-central-1"


def _cent(audit: dict[str, Any]) -> None:
    audit["findings"][0]["estimated_monthly_savings"] = "70.09"


def _invented(audit: dict[str, Any]) -> None:
    unpriced = next(f for f in audit["findings"] if f["estimated_monthly_savings"] is None)
    unpriced["estimated_monthly_savings"] = "0.00"


def _counted_twice(audit: dict[str, Any]) -> None:
    swallowed = next(f for f in audit["findings"] if f["counted_monthly_savings"] == "124.83")
    swallowed["counted_monthly_savings"] = swallowed["estimated_monthly_savings"]


def _total(audit: dict[str, Any]) -> None:
    audit["total_monthly_savings"] = "3614.58"


def _silent(audit: dict[str, Any]) -> None:
    audit["checks"][0]["not_evaluated"] = []


@pytest.mark.parametrize(
    "spoil", [_trap, _missing, _twice, _elsewhere, _cent, _invented, _counted_twice, _total, _silent]
)
def test_the_table_refuses_what_differs(spoil: Callable[[dict[str, Any]], None]) -> None:
    audit = copy.deepcopy(_audit())
    spoil(audit)
    with pytest.raises(AssertionError):
        check_audit(audit)
