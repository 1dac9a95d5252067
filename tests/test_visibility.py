"""What a check may see: its own blindness, its own targets, as often as it likes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from finops_kit import ACCOUNT, NOW, RULES, audit, environment, volumes_estate, write_checks

from pytest_finops.testing import Estate, Fault, ReplayEndpoint

SECOND = (
    RULES[RULES.index("  - id: ebs-team") :].replace("ebs-team", "ebs-other").replace("Team rule", "Other")
)

WITH_ADDRESSES = """
@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    for volume in ebs_volumes:
        findings.report(volume)


@finops.rule("ebs-other")
def test_other(ebs_volumes, addresses, findings):
    list(addresses)
    for volume in ebs_volumes:
        findings.report(volume)
"""

ATTRIBUTES = '''
@finops.inventory("ec2", "describe_account_attributes", "AccountAttributes[]", id="AttributeName", level="account")
def attributes(page):
    """What EC2 says of the account."""
    return None


@finops.rule("ebs-team")
def test_team(ebs_volumes, attributes, findings):
    for volume in ebs_volumes:
        if any(attribute.id == "default-vpc" for attribute in attributes.at(volume.target)):
            findings.report(volume)


@finops.rule("ebs-other")
def test_other(attributes, ebs_volumes, findings):
    for attribute in attributes:
        if len(ebs_volumes.at(attribute.target)) == 6:
            findings.report(attribute)
'''

EVERY_GROUPING = pytest.mark.parametrize("group", ["region", "account", "all"])


def estate_with_attributes() -> Estate:
    estate = volumes_estate()
    estate.add(
        ACCOUNT,
        "us-east-1",
        "ec2.describe_account_attributes",
        AttributeName="default-vpc",
        AttributeValues=[],
    )
    return estate


def run(
    folder: Path, *args: str, faults: Any = (), estate: Estate | None = None
) -> tuple[str, dict[str, Any], ReplayEndpoint]:
    with ReplayEndpoint(estate or volumes_estate(), faults=faults, page_size=2) as endpoint:
        _, output, document = audit(
            folder, "--finops-profile=env", "checks", "--finops-prices=offline", f"--finops-now={NOW.isoformat()}", *args,
            env=environment(endpoint.url, folder),
        )  # fmt: skip
    return output, document, endpoint


def outcomes(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(row["rule_id"], row["region"]): row["outcome"] for row in document["checks"]}


@EVERY_GROUPING
def test_two_checks_share_an_inventory_and_one_is_blind(tmp_path: Path, group: str) -> None:
    write_checks(tmp_path, WITH_ADDRESSES, RULES + SECOND)
    denied = Fault("error", "ec2", "describe_addresses", region="us-east-1")

    output, document, _ = run(tmp_path, f"--finops-group={group}", "-k", "team or other", faults=[denied])

    assert outcomes(document) == {
        ("ebs-other", "eu-west-1"): "failed",
        ("ebs-other", "us-east-1"): "error",
        ("ebs-team", "eu-west-1"): "failed",
        ("ebs-team", "us-east-1"): "failed",
    }, output
    found = [(f["rule_id"], f["region"]) for f in document["findings"]]
    assert {key: found.count(key) for key in found} == {
        ("ebs-other", "eu-west-1"): 3,
        ("ebs-team", "eu-west-1"): 3,
        ("ebs-team", "us-east-1"): 3,
    }
    assert [(s["operation"], s["rules"]) for s in document["blind_spots"]] == [
        ("describe_addresses", ["ebs-other"])
    ]


@EVERY_GROUPING
def test_a_check_mixes_account_and_regional_inventories(tmp_path: Path, group: str) -> None:
    write_checks(tmp_path, ATTRIBUTES, RULES + SECOND)

    output, document, endpoint = run(
        tmp_path, f"--finops-group={group}", "-k", "team or other", estate=estate_with_attributes()
    )

    # The regional rule has a row per region, the rule over an account-level inventory one per account.
    assert outcomes(document) == {
        ("ebs-other", "global"): "failed",
        ("ebs-team", "eu-west-1"): "failed",
        ("ebs-team", "us-east-1"): "failed",
    }, output
    assert len([f for f in document["findings"] if f["rule_id"] == "ebs-team"]) == 6
    assert [f["resource_id"] for f in document["findings"] if f["rule_id"] == "ebs-other"] == ["default-vpc"]
    assert endpoint.count("ec2", "describe_account_attributes") == 1
    assert endpoint.count("ec2", "describe_volumes") == 4


@EVERY_GROUPING
def test_a_denied_region_blinds_the_account_level_check(tmp_path: Path, group: str) -> None:
    write_checks(tmp_path, ATTRIBUTES, RULES + SECOND)
    denied = Fault("error", "ec2", "describe_volumes", region="us-east-1")

    output, document, _ = run(
        tmp_path,
        f"--finops-group={group}",
        "-k",
        "team or other",
        faults=[denied],
        estate=estate_with_attributes(),
    )

    assert outcomes(document) == {
        ("ebs-other", "global"): "error",
        ("ebs-team", "eu-west-1"): "failed",
        ("ebs-team", "us-east-1"): "error",
    }, output


@EVERY_GROUPING
def test_a_check_iterates_twice_and_reports_twice(tmp_path: Path, group: str) -> None:
    body = """
@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    assert [v.id for v in ebs_volumes] == [v.id for v in ebs_volumes]
    assert len(ebs_volumes) == len(list(ebs_volumes))
    for _ in range(2):
        for volume in ebs_volumes:
            findings.report(volume)
"""
    write_checks(tmp_path, body)

    output, document, _ = run(tmp_path, f"--finops-group={group}", "-k", "team")

    assert len({f["id"] for f in document["findings"]}) == len(document["findings"]) == 6, output
    assert {row["evaluated"] for row in document["checks"]} == {3}
