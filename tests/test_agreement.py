"""Audit file, JUnit, pytest-html and terminal tell the same story of a run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from finops_kit import ACCOUNT, NOW, audit, environment, volumes_estate, write_checks

from pytest_finops.testing import Fault, ReplayEndpoint

DENIED = Fault("error", "ec2", "describe_volumes", region="us-east-1")
TEAM = """
@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    for volume in ebs_volumes:
        {body}
"""


@dataclass
class Told:
    """What each output says: outcome -> how many."""

    status: int
    output: str
    document: dict[str, Any]
    suite: ET.Element
    page: str

    @property
    def audit(self) -> dict[str, int]:
        return dict(Counter(row["outcome"] for row in self.document["checks"]))

    @property
    def junit(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for case in self.suite.iter("testcase"):
            tags = {"failure": "failed", "error": "error", "skipped": "skipped"}
            ends = [
                "xfailed" if child.get("type") == "pytest.xfail" else tags[child.tag]
                for child in case
                if child.tag in tags
            ]
            assert len(ends) <= 1, ET.tostring(case)
            found[ends[0] if ends else "passed"] += 1
        numbers = {"errors": "error", "failures": "failed"}
        assert {name: int(self.suite.get(name, "")) for name in numbers} == {
            name: found[outcome] for name, outcome in numbers.items()
        }
        assert int(self.suite.get("tests", "")) == sum(found.values())
        return dict(found)

    @property
    def rows(self) -> list[list[str]]:
        blob = re.search(r'data-jsonblob="([^"]*)"', self.page)
        assert blob is not None
        tests = json.loads(unescape(blob.group(1)))["tests"]
        return [row["resultsTableRow"] for rows in tests.values() for row in rows]

    @property
    def html(self) -> dict[str, int]:
        return dict(Counter(text(row[0]).lower() for row in self.rows))

    @property
    def terminal(self) -> dict[str, int]:
        closing = next(
            line for line in reversed(self.output.splitlines()) if re.match(r"=+ .* in [\d.]+s", line)
        )
        return {
            "error" if word.startswith("error") else word: int(number)
            for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped|xfailed)", closing)
        }

    def cases(self) -> list[dict[str, str]]:
        """The properties of each JUnit testcase."""
        return [
            {p.get("name", ""): p.get("value", "") for p in case.iter("property")} for case in self.suite.iter("testcase")
        ]  # fmt: skip


def text(cell: str) -> str:
    return unescape(re.sub("<[^>]+>", "", cell)).strip()


def told(folder: Path, *args: str, faults: Any = ()) -> Told:
    estate = volumes_estate()
    with ReplayEndpoint(estate, faults=faults, page_size=2) as endpoint:
        env = environment(endpoint.url, folder)
        status, output, document = audit(
            folder, "--finops-profile=env", "checks", "--finops-prices=offline", f"--finops-now={NOW.isoformat()}",
            "--html=report.html", "--self-contained-html", "--junitxml=junit.xml", *args, env=env,
        )  # fmt: skip
    suite = ET.parse(folder / "junit.xml").getroot().find("testsuite")
    assert suite is not None, output
    return Told(status, output, document, suite, (folder / "report.html").read_text(encoding="utf-8"))


def write_known(folder: Path) -> None:
    (folder / "finops.yaml").write_text(
        f"exemptions:\n  - {{rule: ebs-lost, account: '{ACCOUNT}', owner: me, reason: kept, expires: 2027-01-01}}\n",
        encoding="utf-8",
    )


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "two"])
def test_findings_and_a_denied_region(tmp_path: Path, workers: tuple[str, ...]) -> None:
    write_checks(tmp_path)

    said = told(tmp_path, *workers, faults=[DENIED])

    assert said.audit == said.junit == said.html == said.terminal == {"failed": 1, "error": 1}, said.output
    assert {text(row[0]): [text(cell) for cell in row[3:-1]] for row in said.rows} == {
        "Failed": ["ebs-lost", "env", "eu-west-1", "2", "$14.08"],
        "Error": ["ebs-lost", "env", "us-east-1", "0", "$0.00"],
    }
    assert {case["finops_region"]: case["finops_findings"] for case in said.cases()} == {
        "eu-west-1": "2",
        "us-east-1": "0",
    }
    assert "AWS cost audit: $14.08 a month" in said.page
    assert "Audit incomplete: 1 blind spot" in said.page
    assert "UnauthorizedOperation" in said.page


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "two"])
@pytest.mark.parametrize("named", ["tests", "."])
def test_columns_of_checks_are_for_runs_with_checks(
    tmp_path: Path, workers: tuple[str, ...], named: str
) -> None:
    write_checks(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_plain.py").write_text("def test_plain(): pass\n", encoding="utf-8")
    with ReplayEndpoint(volumes_estate()) as endpoint:
        # A CI has it in every job; the clock decides no outcome here.
        env = environment(endpoint.url, tmp_path, FINOPS_PROFILE="env", FINOPS_PRICES="offline")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:hypothesispytest",
            named,
            "--html=report.html",
            *workers,
        ]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, text=True, capture_output=True, timeout=60, check=False
        )

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("finops_rule" in page) == ("AWS cost audit" in page) == (named != "tests"), done.stdout
    assert len(re.findall(r"<th\b", page)) == (9 if named != "tests" else 4)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "two"])
def test_a_crash_is_one_error_and_no_pass(tmp_path: Path, workers: tuple[str, ...]) -> None:
    write_checks(tmp_path, TEAM.format(body='assert volume.region == "eu-west-1"'))

    said = told(tmp_path, *workers, "-k", "team")

    assert said.audit == said.junit == said.html == said.terminal == {"passed": 1, "error": 1}, said.output
    assert said.status == 7
    assert "AssertionError" in ET.tostring(said.suite, "unicode")


def test_a_fixture_that_crashes_is_one_error(tmp_path: Path) -> None:
    body = """
@pytest.fixture
def broken():
    raise KeyError("x")


@finops.rule("ebs-team")
def test_team(ebs_volumes, broken, findings):
    pass
"""
    write_checks(tmp_path, body)

    said = told(tmp_path, "-k", "team")

    assert said.audit == said.junit == said.html == said.terminal == {"error": 2}, said.output


def test_accepted_findings_are_expected_failures(tmp_path: Path) -> None:
    write_checks(tmp_path)
    write_known(tmp_path)

    said = told(tmp_path)

    assert said.audit == said.junit == said.html == said.terminal == {"xfailed": 2}, said.output
    assert said.status == 0
    assert "2 known or accepted, 14.08 USD a month" in ET.tostring(said.suite, "unicode")


def test_known_findings_are_expected_failures(tmp_path: Path) -> None:
    write_checks(tmp_path)
    told(tmp_path)
    (tmp_path / "audit.json").rename(tmp_path / "known.json")

    said = told(tmp_path, "--finops-baseline=known.json")

    assert said.audit == said.junit == said.html == said.terminal == {"xfailed": 2}, said.output
    assert {finding["status"] for finding in said.document["findings"]} == {"known"}


@pytest.mark.parametrize("known", [False, True])
def test_a_group_that_is_partly_blind(tmp_path: Path, known: bool) -> None:
    write_checks(tmp_path)
    if known:
        write_known(tmp_path)

    said = told(tmp_path, "--finops-group=all", faults=[DENIED])

    # One item: its findings and its error, side by side; known findings alone do not soften the error.
    assert said.audit == {"error": 1, "xfailed" if known else "failed": 1}, said.output
    assert said.junit == said.html == said.terminal == ({"error": 1} if known else {"failed": 1, "error": 1})
    assert said.status == (7 if known else 1)


def test_a_clean_group_that_is_partly_blind_is_no_pass(tmp_path: Path) -> None:
    write_checks(tmp_path, TEAM.format(body="pass"))

    said = told(tmp_path, "--finops-group=all", "-k", "team", faults=[DENIED])

    assert said.junit == said.html == said.terminal == {"error": 1}, said.output
    assert said.audit == {"error": 1, "passed": 1}


def test_what_a_check_skips_itself_in_a_partly_blind_group(tmp_path: Path) -> None:
    write_checks(tmp_path, TEAM.format(body='pytest.skip("not today")'))

    said = told(tmp_path, "--finops-group=all", "-k", "team", faults=[DENIED])

    assert said.audit == {"error": 1, "skipped": 1}, said.output
    assert said.junit == said.html == said.terminal == {"error": 1}


def test_ordinary_tests_have_empty_cells(tmp_path: Path) -> None:
    write_checks(tmp_path)
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n", encoding="utf-8")

    said = told(tmp_path, "test_plain.py")

    assert said.html == {"failed": 2, "passed": 1}, said.output
    assert [[text(cell) for cell in row[3:-1]] for row in said.rows if text(row[0]) == "Passed"] == [[""] * 5]


def test_hostile_account_names_are_escaped(tmp_path: Path) -> None:
    write_checks(tmp_path)
    (tmp_path / "finops.yaml").write_text(
        f"accounts: [{{id: '{ACCOUNT}', name: '<script>alert(1)</script>'}}]\n", encoding="utf-8"
    )

    said = told(tmp_path)

    assert {text(row[4]) for row in said.rows} == {"<script>alert(1)</script>"}, said.output
    assert "<script>alert(1)" not in "".join(cell for row in said.rows for cell in row)
    assert "<script>alert(1)" not in said.page


def test_unrelated_runs_with_html_are_unchanged(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n", encoding="utf-8")
    clean = environment("http://127.0.0.1:9", tmp_path)
    pages = []
    for extra in ((), ("-p", "no:pytest_finops.plugin")):
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--html=x.html", "--self-contained-html", *extra],
            cwd=tmp_path, env=clean, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        page = (tmp_path / "x.html").read_text(encoding="utf-8")
        blob = re.search(r'data-jsonblob="([^"]*)"', page)
        assert blob is not None
        (rows,) = json.loads(unescape(blob.group(1)))["tests"].values()
        pages.append(
            (re.findall("<th.*?</th>", page), [text(cell) for cell in rows[0]["resultsTableRow"][:2]])
        )
    assert pages[0] == pages[1]
    assert "finops" not in str(pages[0])
