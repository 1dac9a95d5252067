"""What engine tests share: small estates behind the replay endpoint, and audits run in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_finops.testing import Estate

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ACCOUNT = "111111111111"
REGIONS = ("eu-west-1", "us-east-1")

RULES = """\
version: 1
rules:
  - id: ebs-lost
    name: Lost volume
    description: A volume that nobody uses.
    category: storage
    severity: medium
    effort: low
    risk: low
    kind: waste
    action: delete
    service: ebs
    check_type: resource_state
    resources: ebs_volumes
    savings: full_price
    condition: {field: state, operator: equals, value: available}
    recommendation: Delete it.
    remediation_effort: 5 minutes
    rollback: Restore the snapshot.
    docs_url: https://example.com/ebs-lost
    aws_doc: https://docs.aws.amazon.com/ebs/
  - id: ebs-team
    name: Team rule
    description: A rule with a test function.
    category: storage
    severity: low
    effort: low
    risk: low
    kind: waste
    action: delete
    service: ebs
    check_type: resource_state
    condition: {field: state, operator: equals, value: available}
    recommendation: Delete it.
    remediation_effort: 5 minutes
    rollback: None.
    docs_url: https://example.com/ebs-team
    aws_doc: https://docs.aws.amazon.com/ebs/
"""


def volumes_estate(now: datetime = NOW, regions: Iterable[str] = REGIONS) -> Estate:
    """An account with three 80 GiB gp3 volumes a region, two of them unattached."""
    estate = Estate(now)
    estate.account(ACCOUNT, "main", regions=tuple(regions), access_key="AKIAMAIN")
    for region in regions:
        for index in range(3):
            estate.add(
                ACCOUNT, region, "ec2.describe_volumes", VolumeId=f"vol-{index}-{region}", Size=80, VolumeType="gp3",
                State="available" if index else "in-use", CreateTime="-45d", Iops=3000, Throughput=125, Attachments=[],
            )  # fmt: skip
    return estate


def write_checks(folder: Path, test: str = "", rules: str = RULES) -> None:
    """Write a team's checks/ with the rules above and a test file."""
    checks = folder / "checks"
    checks.mkdir(exist_ok=True)
    if not test:
        rules = rules[: rules.index("  - id: ebs-team")]
    (checks / "ebs.yaml").write_text(rules, encoding="utf-8")
    if test:
        (checks / "test_team.py").write_text(
            "import pytest_finops as finops\nimport pytest\n\n" + test, encoding="utf-8"
        )


def environment(url: str, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of an audit against the endpoint at ``url``."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "FINOPS_", "PYTEST"))}
    return {
        # The plugin of hypothesis costs each process a second or two when it ends, and no audit needs it.
        **clean, "PYTEST_ADDOPTS": "-p no:hypothesispytest", "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "AKIAMAIN", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "FINOPS_CACHE_DIR": str(folder / "cache"),
        "AWS_CONFIG_FILE": str(folder / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"), **more,
    }  # fmt: skip


def audit(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> tuple[int, str, dict[str, Any]]:
    """Run pytest in ``folder``; return exit status, output and the audit document (empty if none was written)."""
    target = folder / "audit.json"
    target.unlink(missing_ok=True)
    done = subprocess.run(
        # Without hypothesis, whose plugin imports it (0.3 s) at the end of every session.
        [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", *args, "--finops-report", f"json:{target}"],
        cwd=folder, env=env, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    document = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    return done.returncode, done.stdout + done.stderr, document


def comparable(document: Mapping[str, Any], *, replayed: bool = False) -> dict[str, Any]:
    """Return what must be equal between two runs of the same audit (issue: byte for byte but these)."""
    left_out = {"scan_timestamp", "finished_at", "selection"} | (
        {"api_usage", "prices"} if replayed else set()
    )
    kept = {key: value for key, value in document.items() if key not in left_out}
    if replayed:
        kept = json.loads(json.dumps(kept))
        for finding in kept["findings"]:
            for line in finding["price_lines"]:
                line.pop("source")
    return kept
