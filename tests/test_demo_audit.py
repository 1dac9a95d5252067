"""The sample estate through the real collector: totals by hand, every way of running the same, five faults at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from demo_expected import check_audit
from finops_kit import audit, comparable
from pytest_finops.fixtures.bills import paid_components

from pytest_finops.testing import Fault, ReplayEndpoint
from pytest_finops.testing.demo import demo_estate

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
OFFLINE = ("--finops-prices", "offline", "--finops-now", NOW.isoformat())
PROD, DEV = "111122223333", "444455556666"


def clean(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "FINOPS_", "PYTEST"))} | more


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("demo")
    return audit(
        folder, "--finops-demo", str(ROOT / "checks"), "--finops-now", NOW.isoformat(),
        "--finops-report", f"html:{folder / 'report.html'}", env=clean(),
    )  # fmt: skip


def test_the_demo_is_right_to_the_cent(demo: tuple[int, str, dict[str, Any]]) -> None:
    status, output, document = demo

    assert status == 1, output
    check_audit(document)
    assert document["complete"] is True


def test_the_demo_follows_the_schema(demo: tuple[int, str, dict[str, Any]]) -> None:
    schema = json.loads((resources.files("pytest_finops") / "audit.schema.json").read_text(encoding="utf-8"))

    jsonschema.validate(demo[2], schema)


def test_what_checks_claim_is_what_a_bill_of_the_resource_pays_for(
    demo: tuple[int, str, dict[str, Any]],
) -> None:
    unnamed = set()
    for finding in demo[2]["findings"]:
        for part in finding["components"]:
            name = part["key"].partition(":")[2]
            ids = name, f"arn:aws:ec2:eu-west-1:1:any/{name}", finding["resource_arn"]
            if not any(part["key"] in paid_components(one)[1] for one in ids):
                unnamed.add(part["key"].partition(":")[0] if "/" not in name else "ipv4 of a load balancer")

    assert unnamed == {"snap-lineage", "ipv4 of a load balancer"}


def test_the_summary_fits_80_columns(demo: tuple[int, str, dict[str, Any]]) -> None:
    _, output, _ = demo
    begin = output.index("AWS cost audit")
    end = output.index("short test summary")
    assert max(len(line) for line in output[begin:end].splitlines() if "report:" not in line) <= 80


def test_a_selection_calls_exactly_what_its_dry_run_lists(tmp_path: Path) -> None:
    run = ("--finops-demo", str(ROOT / "checks"), "-k", "ebs", "--finops-now", NOW.isoformat())

    status, output, dry = audit(tmp_path, *run, "--finops-dry-run", env=clean())
    assert status == 0, output
    _, _, real = audit(tmp_path, *run, env=clean())

    listed = {(c["service"], c["operation"]): c["calls"] for c in dry["calls"]}
    assert listed == {(c["service"], c["operation"]): c["calls"] for c in real["api_usage"]["calls"]}
    assert {operation for _, operation in listed} <= {
        "describe_volumes", "describe_snapshots", "describe_images",
        "describe_launch_template_versions", "describe_launch_configurations", "describe_snapshot_attribute",
    }  # fmt: skip


def test_the_dry_run_is_exact_for_cloudwatch(tmp_path: Path) -> None:
    run = ("--finops-demo", str(ROOT / "checks"), "--finops-now", NOW.isoformat())

    _, _, dry = audit(tmp_path, *run, "--finops-dry-run", env=clean())
    _, _, real = audit(tmp_path, *run, env=clean())

    usage = {
        (c["service"], c["operation"]): (c["calls"], c["billable_units"]) for c in real["api_usage"]["calls"]
    }
    listed = {(c["service"], c["operation"]): c for c in dry["calls"]}
    assert listed.keys() == usage.keys()
    exact = {key: (c["calls"], c["billable_units"]) for key, c in listed.items() if c["bound"] == "exact"}
    assert exact == {key: usage[key] for key in exact}
    # What is asked after the metrics: the most that it can be, with nothing to pay.
    bounded = listed.keys() - exact.keys()
    assert {operation for _, operation in bounded} == {
        "describe_tags", "describe_target_health", "describe_instance_health",
    }  # fmt: skip
    assert all(usage[key][0] <= listed[key]["calls"] and listed[key]["bound"] == "most" for key in bounded)
    assert dry["predicted"]["upper"] == real["api_usage"]["predicted"]["upper"]
    assert float(real["api_usage"]["actual_cost"]) == float(dry["predicted"]["upper"])


FAULTS = (
    Fault("error", "ec2", "describe_volumes", account_id=PROD, region="us-east-1"),
    Fault("truncate", "rds", "describe_db_instances", account_id=DEV, region="us-east-1"),
    Fault("partial_data", "cloudwatch", "get_metric_data", account_id=PROD, region="eu-west-1"),
    Fault("html", "elbv2", "describe_load_balancers", account_id=DEV, region="eu-west-1"),
    Fault("error", "ec2", "describe_snapshot_attribute", account_id=DEV, region="us-east-1"),
)


def two_accounts(folder: Path, *args: str, faults: tuple[Fault, ...]) -> tuple[int, str, dict[str, Any]]:
    """Audit both accounts of the sample estate by assumed roles, as a hub account would."""
    with ReplayEndpoint(demo_estate(NOW), faults=faults) as endpoint:
        roles = [f"--finops-role=arn:aws:iam::{account}:role/audit" for account in (PROD, DEV)]
        key = endpoint.estate.accounts[PROD].access_key
        env = clean(
            AWS_ENDPOINT_URL=endpoint.url, AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY="x",
            AWS_DEFAULT_REGION="us-east-1", AWS_CONFIG_FILE=str(folder / "none"),
            AWS_SHARED_CREDENTIALS_FILE=str(folder / "none"), AWS_EC2_METADATA_DISABLED="true",
        )  # fmt: skip
        return audit(folder, "--finops-profile=env", *roles, str(ROOT / "checks"), *OFFLINE, *args, env=env)


@pytest.mark.parametrize("faults", [(), FAULTS], ids=["well", "five-faults"])
def test_every_way_of_running_gives_the_same_audit(tmp_path: Path, faults: tuple[Fault, ...]) -> None:
    saved = tmp_path / "saved"
    status, output, reference = two_accounts(tmp_path, "--finops-save-inventory", str(saved), faults=faults)
    assert status == 1, output
    assert reference["complete"] is not bool(faults)
    base = json.dumps(comparable(reference))

    for args in (
        ("-n", "2"),
        ("--finops-group", "account"),
        ("--finops-group", "all", "-n", "2"),
        ("--finops-group", "all"),
    ):
        _, output, document = two_accounts(tmp_path, *args, faults=faults)
        assert json.dumps(comparable(document)) == base, (args, output)

    base = json.dumps(comparable(reference, replayed=True))
    for args in ((), ("-n", "2"), ("--finops-group", "account"), ("--finops-group", "all", "-n", "2")):
        _, output, document = audit(
            tmp_path,
            "--finops-inventory",
            str(saved),
            "--finops-prices",
            "offline",
            str(ROOT / "checks"),
            *args,
            env=clean(),
        )
        assert json.dumps(comparable(document, replayed=True)) == base, (args, output)


def test_faults_blind_only_what_they_hide(tmp_path: Path) -> None:
    _, output, well = two_accounts(tmp_path, faults=())
    _, output, blind = two_accounts(tmp_path, faults=FAULTS)

    outcome = {(r["rule_id"], r["account_id"], r["region"]): r["outcome"] for r in blind["checks"]}
    assert outcome["ebs-unattached", PROD, "us-east-1"] == "error", output
    assert outcome["ec2-low-cpu", PROD, "eu-west-1"] == "error"
    assert outcome["rds-low-cpu", DEV, "us-east-1"] == "error"
    assert outcome["elb-idle", DEV, "eu-west-1"] == "error"
    assert outcome["ebs-old-snapshots", DEV, "us-east-1"] == "error"
    errors = {key for key, value in outcome.items() if value == "error"}
    # Whatever was not hidden is reported exactly as before.
    seen = {f["id"] for f in well["findings"] if (f["rule_id"], f["account_id"], f["region"]) not in errors}
    assert seen <= {f["id"] for f in blind["findings"]}
    assert {f["id"] for f in blind["findings"]} <= {f["id"] for f in well["findings"]}


def test_a_narrow_save_replayed_by_a_wider_selection_is_blind(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    two_accounts(tmp_path, "-k", "unattached", "--finops-save-inventory", str(saved), faults=())

    status, output, document = audit(
        tmp_path, "--finops-inventory", str(saved), "--finops-prices", "offline", str(ROOT / "checks"),
        "--finops-max-savings", "1000000", env=clean(),
    )  # fmt: skip

    assert status == 7, output
    assert {f["rule_id"] for f in document["findings"]} <= {"ebs-unattached", "ebs-gp2-to-gp3"}
    assert {s["code"] for s in document["blind_spots"]} == {"NotSaved"}
    assert {r["outcome"] for r in document["checks"] if r["rule_id"] == "ec2-low-cpu"} == {"error"}


def test_make_demo_leaves_a_report(demo: tuple[int, str, dict[str, Any]], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--finops-demo", str(ROOT / "checks"), "-q", "-k", "eip",
         "--finops-report", f"html:{tmp_path / 'deep' / 'report.html'}"],
        cwd=tmp_path, env=clean(), text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 1, done.stdout
    assert "eip-unassociated" in (tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
