"""The console script as a real process on the sample estate: what goes where, and how it ends."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from finops_kit import NOW

from pytest_finops import __file__ as package
from pytest_finops.cli import main as cli

FORMATS = ("json", "csv", "markdown", "html")


def process(
    folder: Path, *args: str, module: str = "pytest_finops.cli.main"
) -> subprocess.CompletedProcess[str]:
    """Run the console script in ``folder``, without credentials, target or configuration."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "FINOPS_", "PYTEST"))}
    env = {
        **clean, "PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:cacheprovider", "FINOPS_CACHE_DIR": str(folder / "cache"),
        "AWS_CONFIG_FILE": str(folder / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
        "AWS_EC2_METADATA_DISABLED": "true", "XDG_CONFIG_HOME": str(folder), "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", module, *args], cwd=folder, env=env, text=True, encoding="utf-8", capture_output=True,
        timeout=120, check=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Scanned:
    """One scan of the sample estate, written in every format."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def audit(self) -> Path:
        return self.folder / "audit.json"

    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.audit.read_text(encoding="utf-8"))["findings"]
        return found


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    folder = tmp_path_factory.mktemp("scan")
    pairs = [part for name in FORMATS for part in ("--output", name, "--file", f"audit.{name}")]
    done = process(
        folder,
        "scan",
        "--demo",
        "--now",
        NOW.isoformat(),
        "--save-inventory",
        "saved",
        *pairs,
        "--",
        "-k",
        "ebs",
        "-q",
    )
    return Scanned(folder, done)


def run(*args: object) -> Result:
    return CliRunner().invoke(cli.main, [str(arg) for arg in args])


def test_a_scan_writes_each_output_to_its_file(scanned: Scanned) -> None:
    assert scanned.done.returncode == 1, scanned.done.stderr
    rules = {finding["rule_id"] for finding in scanned.findings()}
    assert rules == {"ebs-unattached", "ebs-gp2-to-gp3", "ebs-old-snapshots"}
    for name in FORMATS:
        assert (scanned.folder / f"audit.{name}").stat().st_size > 1000


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_of_the_saved_audit_is_the_one_that_the_run_wrote(
    scanned: Scanned, name: str, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    assert run("report", scanned.audit, "--format", name, "--file", again).exit_code == 0
    assert again.read_bytes() == (scanned.folder / f"audit.{name}").read_bytes()


def test_reports_ask_nobody_and_go_to_standard_output(scanned: Scanned) -> None:
    done = process(scanned.folder, "report", "audit.json", "--format", "csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == (scanned.folder / "audit.csv").read_text(encoding="utf-8").splitlines()


def test_without_a_file_only_the_report_goes_to_standard_output(tmp_path: Path) -> None:
    done = process(tmp_path, "scan", "--demo", "--output", "csv", "--", "-k", "ebs_unattached")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert done.returncode == 1, done.stderr
    assert {row["rule_id"] for row in rows} == {"ebs-unattached"}
    assert "AWS cost audit" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("gate: broken (")

    refused = process(tmp_path, "scan", "--output", "json")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "no target is named: add --profile=PROFILE, --role=ARN" in refused.stderr
    undiagnosed = process(tmp_path, "doctor")
    assert undiagnosed.returncode == 4
    assert "no target is named: add --profile=PROFILE, --role=ARN" in undiagnosed.stderr


def test_explain_shows_prices_evidence_and_the_answers(scanned: Scanned) -> None:
    finding = next(one for one in scanned.findings() if one["rule_id"] == "ebs-unattached")
    done = run(
        "explain", finding["resource_id"], "--audit", scanned.audit, "--inventory", scanned.folder / "saved"
    )

    assert done.exit_code == 0, done.output
    line = finding["price_lines"][0]
    attributes = ", ".join(f"{name} {value}" for name, value in line["attributes"].items())
    price = f"{line['quantity']} {line['unit']} x {line['unit_price']} USD"
    assert f"{line['dimension']} ({attributes}) in {line['region']}: {price}" in done.output
    assert "unattached_days: " in done.output
    answer = next(part for part in done.output.splitlines() if part.startswith("  ec2.describe_volumes ("))
    assert json.loads(answer.partition("): ")[2])["VolumeId"] == finding["resource_id"]

    bare = run("explain", finding["id"], "--audit", scanned.audit)
    assert "--inventory DIR" in bare.output
    wrong = run("explain", finding["id"], "--audit", scanned.audit, "--inventory", scanned.folder)
    assert (wrong.exit_code, "is not a saved inventory" in wrong.stderr) == (4, True)


def test_explain_of_too_much_lists_the_beginning(scanned: Scanned) -> None:
    done = run("explain", "", "--audit", scanned.audit)
    count = len(scanned.findings())
    assert done.exit_code == 4
    assert f"'' means {count} findings: " in done.stderr
    assert f" and {count - 10} more; give one id" in done.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": "1"}', '{"schema_version": "9"}'])
def test_what_is_no_audit_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    for args in (("report", tmp_path / "a.json"), ("explain", "x", "--audit", tmp_path / "a.json")):
        done = run(*args)
        assert done.exit_code == 4
        assert "a.json" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not done.stdout


def test_checks_are_listed(tmp_path: Path) -> None:
    done = process(tmp_path, "checks")
    assert done.returncode == 0
    for finding in ("ebs-unattached", "nat-gateway-count", "10 checks"):
        assert finding in done.stdout


# --- iam-policy


def test_the_policy_is_that_of_the_plan_and_needs_no_target(tmp_path: Path) -> None:
    printed = process(tmp_path, "iam-policy", "--", "-k", "ebs")
    pruned = process(tmp_path, "iam-policy", "--part", "member", "--", "-k", "ebs", "--finops-prune=spend")
    assert "ce:" not in printed.stdout
    assert '"ce:GetCostAndUsage"' in pruned.stdout, pruned.stderr
    planned = process(tmp_path, "scan", "--demo", "--dry-run", "--output", "json", "--", "-k", "ebs")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert planned.returncode == 0, planned.stderr

    table = json.loads((Path(package).parent / "data" / "operations.json").read_text(encoding="utf-8"))[
        "operations"
    ]
    calls = [f"{call['service']}.{call['operation']}" for call in json.loads(planned.stdout)["calls"]]
    wanted = {table[call]["iam"] for call in calls}
    policy = json.loads(printed.stdout)
    granted = [action for statement in policy["Statement"] for action in statement["Action"]]
    assert policy["Version"] == "2012-10-17"
    assert all(set(one) == {"Sid", "Effect", "Action", "Resource"} for one in policy["Statement"])
    assert all(one["Effect"] == "Allow" and one["Sid"].isalnum() for one in policy["Statement"])
    assert len(granted) == len(set(granted))
    # Beside the plan only what every live run needs: which regions, and what it costs.
    assert set(granted) == wanted | {"ec2:DescribeRegions", "pricing:GetProducts"}


def test_a_policy_of_nothing_is_none(tmp_path: Path) -> None:
    done = process(tmp_path, "iam-policy", "--", "-k", "nonsense")
    assert (done.returncode, done.stdout) == (5, "")


# --- config and init


def test_init_then_scan_and_pytest(tmp_path: Path) -> None:
    assert process(tmp_path, "init").returncode == 0
    assert process(tmp_path, "config", "check").stdout.endswith("finops.yaml: no mistakes\n")

    scan = process(tmp_path, "scan", "--demo", "--output", "json")
    again = process(tmp_path, "--finops-demo", "--finops-report=json:audit.json", module="pytest")

    document = json.loads(scan.stdout)
    written = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert (scan.returncode, again.returncode) == (1, 1), scan.stderr + again.stdout
    assert {rule["rule_id"] for rule in document["rules"]} == {"ebs-forgotten-volume", "ebs-scratch-volume"}
    assert {finding["rule_id"] for finding in document["findings"]} == {
        "ebs-forgotten-volume", "ebs-scratch-volume",
    }  # fmt: skip
    assert document["complete"] is True
    # Ten shipped checks did not run: a gate that holds here says nothing about them.
    note = "the shipped checks are not among these; add --pyargs pytest_finops.checks"
    assert note in document["warnings"]
    assert note in " ".join(again.stdout.split())
    # The policy is without them as well, and what stands on standard output is the policy alone.
    for more, said in (((), True), (("--", "checks"), False), (("--", "-k", "scratch"), True)):
        policy = process(tmp_path, "iam-policy", *more)
        assert (note in policy.stderr) == said, policy.stderr
        assert json.loads(policy.stdout)["Statement"]
    both = process(
        tmp_path, "--finops-demo", "--finops-report=json:audit.json", "--finops-category=storage",
        "--pyargs", "pytest_finops.checks", "checks/", "-k", "scratch", module="pytest",
    )  # fmt: skip
    assert note not in " ".join(both.stdout.split())
    # Who names the folder knows what is in it.
    chosen = process(tmp_path, "--finops-demo", "-k", "scratch", "checks", module="pytest")
    assert chosen.returncode == 1
    assert note not in " ".join(chosen.stdout.split())
    assert [f["id"] for f in written["findings"]] == [f["id"] for f in document["findings"]]
    # Without a target the example says what to add.
    bare = process(tmp_path, "checks", module="pytest")
    assert bare.returncode == 4
    assert "no target is named" in bare.stderr


def test_config_show_names_each_origin(tmp_path: Path) -> None:
    (tmp_path / "finops.yaml").write_text("max_waste: 12\n", encoding="utf-8")
    shown = process(tmp_path, "config", "show")
    assert shown.returncode == 0
    (line,) = [line for line in shown.stdout.splitlines() if "max_waste" in line]
    assert line.split() == ["max_waste", "12", "finops.yaml:1"]
