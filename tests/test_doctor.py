"""finops-playbook doctor: what the credentials can run, found out without a cent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from finops_kit import ACCOUNT, NOW, environment, volumes_estate, write_checks

from pytest_finops.cli.main import main
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

OTHER = "222222222222"
TEST = """
@finops.metric("AWS/EBS", "VolumeReadOps", of="ebs_volumes", dimensions={"VolumeId": "id"}, statistics=("Sum",))
def reads(): ...


@finops.inventory("ec2", "describe_snapshots", "Snapshots[]", id="SnapshotId", params={"OwnerIds": ["self"]})
def all_snapshots(page): ...


@finops.inventory(
    "ec2", "describe_snapshot_attribute", "CreateVolumePermissions[]", per="all_snapshots", param="SnapshotId",
    params={"Attribute": "createVolumePermission"},
)
def shared(page): ...


@finops.rule("ebs-team")
def test_team(ebs_volumes, reads, all_snapshots, shared, findings):
    raise AssertionError("the doctor judges nothing")
"""


def doctor(folder: Path, estate: Estate, *args: str, faults: Any = (), roles: bool = False) -> tuple[int, str, ReplayEndpoint]:  # fmt: skip
    write_checks(folder, TEST)
    more = [f"--role=arn:aws:iam::{account}:role/audit" for account in (ACCOUNT, OTHER)] if roles else []
    with ReplayEndpoint(estate, faults=faults, page_size=2) as endpoint:
        done = subprocess.run(
            [sys.executable, "-m", "pytest_finops.cli.main", "doctor", "--profile=env", *more, *args], cwd=folder,
            env=environment(endpoint.url, folder), text=True, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, endpoint


def snapshots(estate: Estate, region: str) -> None:
    estate.add(
        ACCOUNT, region, "ec2.describe_snapshots", SnapshotId="snap-1", OwnerId=ACCOUNT, StartTime="-9d"
    )


def test_nothing_billable_is_sent_and_what_needs_it_is_not_known(tmp_path: Path) -> None:
    estate = volumes_estate(NOW)
    snapshots(estate, "us-east-1")

    status, output, endpoint = doctor(tmp_path, estate)

    assert status == 0, output
    assert "ebs-lost  can run" in output
    # Whether CloudWatch would answer is nothing that a free call can tell.
    assert "ebs-team  not known: needs cloudwatch:GetMetricData, which bills" in output
    assert "cloudwatch.get_metric_data (billable)" in output
    # Only us-east-1 has a snapshot whose attribute can be asked for.
    assert "ec2.describe_snapshot_attribute (nothing there to ask about)" in output
    assert "1 can run, 1 not known, 0 cannot" in output
    assert "the shipped checks are not among these" in output
    assert endpoint.count("cloudwatch") == 0
    assert endpoint.count("ec2", "describe_volumes") == 2  # one small page a region, of two
    assert {r.params.get("MaxResults") for r in endpoint.requests if r.operation == "describe_volumes"} == {
        20
    }
    assert endpoint.count("ec2", "describe_snapshot_attribute") == 1
    assert not (tmp_path / ".finops").exists()


def test_what_is_denied_names_check_region_and_action(tmp_path: Path) -> None:
    estate = volumes_estate(NOW)
    snapshots(estate, "us-east-1")
    denied = Fault("error", "ec2", "describe_snapshot_attribute")

    status, output, _ = doctor(tmp_path, estate, "--format=json", "--", "checks", faults=[denied])

    assert status == 7, output
    found = {one["rule_id"]: one for one in json.loads(output)}
    assert found["ebs-lost"]["verdict"] == "can run"
    assert found["ebs-team"]["verdict"] == "cannot run"
    (reason,) = found["ebs-team"]["reasons"]
    assert reason.startswith(
        "ec2.describe_snapshot_attribute in us-east-1: UnauthorizedOperation, needs ec2:DescribeSnapshotAttribute"
    )


def test_each_account_is_told_apart_and_expected_denials_are_not_held_against_it(tmp_path: Path) -> None:
    estate = volumes_estate(NOW)
    estate.account(OTHER, "other", regions=("us-east-1",))
    denied = Fault("error", "ec2", "describe_volumes", account_id=OTHER)

    status, output, _ = doctor(tmp_path, estate, faults=[denied], roles=True)

    assert status == 7, output
    assert "1 can run, 1 not known, 2 cannot" in output
    assert "ec2.describe_volumes in us-east-1: UnauthorizedOperation" in output

    (tmp_path / "finops.yaml").write_text(
        f"expected_blind_spots: [{{account: '{OTHER}', owner: me, reason: policy, expires: 2099-01-01}}]\n"
    )
    status, output, _ = doctor(tmp_path, estate, faults=[denied], roles=True)
    assert status == 0, output
    assert "cannot run, as finops.yaml expects" in output
    assert "1 can run, 1 not known, 0 cannot, 2 expected blind spots" in output


def test_an_account_that_cannot_be_entered_cannot_run_anything(tmp_path: Path) -> None:
    estate = volumes_estate(NOW)

    status, output, _ = doctor(tmp_path, estate, roles=True)

    assert status == 7, output
    assert OTHER in output
    assert "the account cannot be entered" in output
    assert "1 can run, 1 not known, 2 cannot" in output

    (tmp_path / "finops.yaml").write_text(
        f"expected_blind_spots: [{{account: '{OTHER}', owner: me, reason: policy, expires: 2099-01-01}}]\n"
    )
    status, output, _ = doctor(tmp_path, estate, roles=True)
    assert status == 0, output
    assert "0 cannot, 2 expected blind spots" in output


def test_mistakes_are_told_as_usage_errors(tmp_path: Path) -> None:
    status, output, _ = doctor(tmp_path, volumes_estate(NOW), "--regions=us-east-9")

    assert status == 4
    assert "us-east-9" in output


def test_cost_explorer_is_named_among_what_was_not_tried(tmp_path: Path) -> None:
    status, output, endpoint = doctor(
        tmp_path, volumes_estate(NOW), "--cost-data", "--", "checks", "-k", "ebs_lost"
    )

    assert status == 0, output
    assert "ebs-lost  can run" in output
    assert "not tried: ce." in output
    assert "1 can run, 0 cannot" in output
    assert endpoint.count("ce") == 0


@pytest.mark.parametrize(
    "option", ["--resume", "--update-baseline", "--baseline=b.json", "--save-inventory=d", "--inventory=d", "--strict",
               "--report=json", "--dry-run", "--estimate-cost", "--max-waste=1", "--offline"],
)  # fmt: skip
def test_options_that_mean_nothing_here_are_not_offered(option: str) -> None:
    offered = CliRunner().invoke(main, ["doctor", "--help"]).output
    assert "--profile" in offered
    assert "--cost-data" in offered
    assert option.partition("=")[0] + " " not in offered
    assert CliRunner().invoke(main, ["doctor", option]).exit_code != 0
