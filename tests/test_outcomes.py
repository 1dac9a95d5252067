"""How a run ends when a check, an ordinary test or the collection ends in an unusual way."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from finops_kit import NOW, RULES, audit, environment, volumes_estate, write_checks

from pytest_finops.testing import ReplayEndpoint

TEAM = RULES[RULES.index("  - id: ebs-team") :]
THREE = RULES + TEAM.replace("ebs-team", "ebs-other") + TEAM.replace("ebs-team", "ebs-third")
#: An amount that the small estate never reaches.
ROOMY = "--finops-max-waste=1000"


def run(folder: Path, *args: str) -> tuple[int, str, dict[str, Any]]:
    with ReplayEndpoint(volumes_estate()) as endpoint:
        return audit(
            folder, "--finops-profile=env", "checks", "--finops-prices=offline", f"--finops-now={NOW.isoformat()}", *args,
            env=environment(endpoint.url, folder),
        )  # fmt: skip


def outcomes(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(row["rule_id"], row["region"]): row["outcome"] for row in document["checks"]}


ORDINARY = {
    "setup": "import pytest\n\n@pytest.fixture\ndef bad():\n    1 / 0\n\ndef test_plain(bad):\n    pass\n",
    "teardown": "import pytest\n\n@pytest.fixture\ndef bad():\n    yield\n    1 / 0\n\ndef test_plain(bad):\n    pass\n",
    "file": "import nowhere_at_all\n",
    "worker": "import os\n\ndef test_plain():\n    os._exit(3)\n",
}


@pytest.mark.parametrize("kind", list(ORDINARY))
def test_an_error_of_an_ordinary_test_is_no_clean_run(tmp_path: Path, kind: str) -> None:
    write_checks(tmp_path)
    (tmp_path / "test_plain.py").write_text(ORDINARY[kind], "utf-8")
    workers = ["-n1"] if kind == "worker" else []

    status, output, document = run(
        tmp_path, "test_plain.py", ROOMY, "--continue-on-collection-errors", *workers
    )

    assert (status, document["exit_status"], document["complete"]) == (1, 1, True), output


@pytest.mark.parametrize("workers", [[], ["-n1"]], ids=["one process", "workers"])
def test_a_broken_file_of_checks_makes_the_audit_incomplete(tmp_path: Path, workers: list[str]) -> None:
    write_checks(tmp_path)
    (tmp_path / "checks" / "test_broken.py").write_text("import nowhere_at_all\n", "utf-8")

    status, output, document = run(tmp_path, ROOMY, "--continue-on-collection-errors", *workers)

    assert (status, document["exit_status"], document["complete"]) == (7, 7, False), output
    assert [line for line in document["warnings"] if "test_broken.py" in line], output
    assert output.rstrip().endswith("gate: holds, incomplete"), output


def test_a_skip_of_one_target_hides_no_crash_of_another(tmp_path: Path) -> None:
    body = """
@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    if any(volume.region == "us-east-1" for volume in ebs_volumes):
        raise ValueError("odd volume")
    pytest.skip("not here")
"""
    write_checks(tmp_path, body)

    status, output, document = run(tmp_path, "--finops-group=all", "-k", "team")

    assert status == 7, output
    assert {row["region"]: (row["outcome"], row["reason"]) for row in document["checks"]} == {
        "eu-west-1": ("skipped", "not here"),
        "us-east-1": ("error", "the check crashed: ValueError: odd volume"),
    }, output


def test_a_skip_is_of_its_own_target_in_a_group_too(tmp_path: Path) -> None:
    body = """
@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    for volume in ebs_volumes:
        if volume.region == "eu-west-1":
            pytest.skip("not here")
        findings.report(volume)
"""
    write_checks(tmp_path, body)

    _, output, document = run(tmp_path, "--finops-group=all", "-k", "team")

    assert outcomes(document) == {
        ("ebs-team", "eu-west-1"): "skipped",
        ("ebs-team", "us-east-1"): "failed",
    }, output


LATE = """
@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    for volume in ebs_volumes:
        findings.report(volume)
    pytest.skip("enough")


@finops.rule("ebs-other")
def test_other(ebs_volumes, findings):
    for volume in ebs_volumes:
        findings.report(volume)
    pytest.xfail("enough")


@finops.rule("ebs-third")
def test_third(ebs_volumes, findings):
    pytest.fail("no good")
"""


@pytest.mark.parametrize("group", ["region", "all"])
def test_what_a_check_said_is_not_skipped_away(tmp_path: Path, group: str) -> None:
    write_checks(tmp_path, LATE, THREE)

    status, output, document = run(
        tmp_path, ROOMY, f"--finops-group={group}", "-k", "team or other or third", "--junitxml=junit.xml"
    )

    assert (status, document["complete"]) == (7, False), output
    assert set(outcomes(document).values()) == {"error"}, output
    assert len(document["checks"]) == 6
    reasons = {row["rule_id"]: row["reason"] for row in document["checks"]}
    assert "pytest.skip" in reasons["ebs-team"]
    assert "pytest.xfail" in reasons["ebs-other"]
    assert reasons["ebs-third"] == "the check crashed: Failed: no good"
    said = [finding["rule_id"] for finding in document["findings"]]
    assert {rule: said.count(rule) for rule in said} == {"ebs-team": 6, "ebs-other": 6}
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()[0]
    items = 6 if group == "region" else 3
    assert (suite.get("errors"), suite.get("skipped")) == (str(items), "0"), output
    assert f"{items} errors" in output


def test_an_async_check_is_refused(tmp_path: Path) -> None:
    body = """
@finops.rule("ebs-team")
async def test_team(ebs_volumes, findings):
    pass


@finops.rule("ebs-other")
async def test_other(ebs_volumes, findings):
    yield
"""
    write_checks(tmp_path, body, THREE[: THREE.index("  - id: ebs-third")])

    status, output, document = run(tmp_path)

    assert (status, document) == (4, {}), output
    assert "checks/test_team.py::test_team: a check is no async function" in output
    assert "checks/test_team.py::test_other: a check is no async function" in output


def test_a_check_that_returns_a_coroutine_has_judged_nothing(tmp_path: Path) -> None:
    body = """
async def later():
    pass


@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    return later()
"""
    write_checks(tmp_path, body)

    status, output, document = run(tmp_path, "-k", "team")

    assert (status, set(outcomes(document).values())) == (7, {"error"}), output
    assert "never awaited" not in output


@pytest.mark.parametrize("stopped", ["broken file", "interrupt"])
def test_a_prediction_that_was_stopped_says_so(tmp_path: Path, stopped: str) -> None:
    write_checks(tmp_path)
    if stopped == "broken file":
        (tmp_path / "checks" / "test_broken.py").write_text("import nowhere_at_all\n", "utf-8")
    else:
        (tmp_path / "conftest.py").write_text(
            "def pytest_finops_plan(plan):\n    raise KeyboardInterrupt\n", "utf-8"
        )

    status, output, document = run(tmp_path, "--finops-estimate-cost")

    assert (status, document) == (2, {}), output
    assert "no prediction" in output


def test_a_method_of_a_test_case_is_refused_as_a_check(tmp_path: Path) -> None:
    body = """
import unittest


class TestTeam(unittest.TestCase):
    @finops.rule("ebs-team")
    def test_team(self):
        raise AssertionError
"""
    write_checks(tmp_path, body)

    status, output, document = run(tmp_path)

    assert (status, document) == (4, {}), output
    assert "checks/test_team.py::TestTeam::test_team" in output
