"""The documents are true: what they show runs, what they generate is fresh, what exists is named, links resolve."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import yaml
from docs_kit import DOCS, ROOT, blocks
from finops_kit import environment

from pytest_finops import hooks, rule_files
from pytest_finops.cli.main import main as command_line
from pytest_finops.cli.main import rules_below
from pytest_finops.config import SECTIONS
from pytest_finops.marks import MARKER
from pytest_finops.options import OPTIONS
from pytest_finops.rules import Operator
from pytest_finops.testing import ReplayEndpoint
from pytest_finops.testing.demo import PROD, demo_estate

SPECS = sorted((DOCS / "specs").glob("*.md"))
WRITTEN = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def everything() -> str:
    """All documents but the changelog."""
    return "\n".join(text_of(path) for path in WRITTEN if path.name != "CHANGELOG.md")


def commands(group: click.Group = command_line, prefix: str = "") -> Iterator[str]:
    """Every subcommand: ``scan``, ``config show``."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


# --- what exists is named -----------------------------------------------------------------------------------------


def test_generated_documents_are_fresh(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "FINOPS_CACHE_DIR": str(tmp_path)}, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_option_with_its_twin_and_key_is_documented() -> None:
    page = text_of(DOCS / "options.md")
    for option in OPTIONS:
        assert re.search(rf"\| `{option.flag}[ `]", page), option.flag
        assert f"`{option.variable}`" in page
        assert not option.in_file or f"`{option.key}`" in page
    for section in SECTIONS:
        assert re.search(rf"^{section}:", text_of(DOCS / "configuration.md"), re.M), section


def test_every_hook_marker_command_and_exit_status_is_documented() -> None:
    names = [name for name in vars(hooks) if name.startswith("pytest_finops_")]
    names += [f"finops-playbook {name}" for name in commands()]
    names += [MARKER, "finops_rule_paths"]
    assert [name for name in names if name not in everything()] == []
    for document in (ROOT / "README.md", DOCS / "getting-started.md", DOCS / "specs" / "04-cli-interface.md"):
        for status in (0, 1, 2, 3, 4, 5, 7):
            rows = re.findall(r"^\| (\d(?:-\d)?) \|", text_of(document), re.M)
            covered = {n for row in rows for n in _numbers(row)}
            assert status in covered, (document.name, status)


def _numbers(row: str) -> set[int]:
    first, _, last = row.strip().partition("-")
    return set(range(int(first), int(last or first) + 1))


def test_every_public_fixture_is_documented(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    ours = re.findall(
        r"^(\w+)(?: \[\w+ scope\])? -- \S*(?:pytest_finops|fixtures)/\w+\.py:\d+", done.stdout, re.M
    )
    page = text_of(DOCS / "fixtures.md")
    assert {"findings", "rule", "prices", "ebs_volumes", "ec2_cpu"} <= set(ours), done.stdout[-3000:]
    assert [name for name in ours if f"`{name}`" not in page and not name.startswith("_")] == []


def test_every_rule_has_an_anchor_that_its_link_names() -> None:
    page = text_of(DOCS / "rules.md")
    for rule in rules_below([ROOT / "checks"]):
        assert f"\n## {rule.id}\n" in page
        assert rule.docs_url.endswith(f"/docs/rules.md#{rule.id}"), rule.docs_url


# --- links --------------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a document."""
    found = re.findall(r"^#+ (.+)$", text_of(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(document: Path) -> None:
    prose = re.sub(r"```.*?```", "", text_of(document), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{document.name}: {link}"


# --- specifications -----------------------------------------------------------------------------------------------


def test_there_are_four_specifications() -> None:
    assert [path.stem for path in SPECS] == [
        "01-overview", "02-architecture", "03-rule-schema", "04-cli-interface",
    ]  # fmt: skip


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_specification_has_its_shape(spec: Path) -> None:
    _, front, body = text_of(spec).split("---\n", 2)
    assert list(yaml.safe_load(front)) == ["title", "type", "status", "created"]
    assert re.findall(r"^## (.+)$", body, re.M) == [
        "Purpose", "Requirements", "Design", "Interface", "Dependencies", "Testing",
    ]  # fmt: skip


def test_the_rule_schema_lists_every_key_and_operator() -> None:
    spec = text_of(DOCS / "specs" / "03-rule-schema.md")
    for name in (*rule_files._KEYS, *get_args(Operator), *rule_files.SAVINGS):
        assert f"`{name}`" in spec, name
    for values in rule_files._CHOICES.values():
        for value in values:
            assert f"`{value}`" in spec, value


# --- examples -----------------------------------------------------------------------------------------------------


class Shell:
    """A folder and an AWS configuration whose profile prod reaches the sample estate."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        (folder / "aws-config").write_text(
            "[profile prod]\naws_access_key_id = {key}\naws_secret_access_key = x\nregion = us-east-1\n".format(
                key=f"AKIA{PROD}TEST"
            ),
            encoding="utf-8",
        )
        clean = environment(url, folder, AWS_CONFIG_FILE=str(folder / "aws-config"))
        clean.pop("AWS_ACCESS_KEY_ID")
        clean.pop("AWS_SECRET_ACCESS_KEY")
        tools = Path(sys.executable).parent
        self.environment = clean | {"PATH": f"{tools}:{clean['PATH']}", "FINOPS_NOW": NOW.isoformat()}
        # What the reader would wait for, and what no example is about.
        self.environment |= {"FINOPS_PRICES": "offline", "FINOPS_RATE": "1"}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", line], cwd=self.folder, env=self.environment, text=True, capture_output=True, timeout=120,
            check=False,
        )  # fmt: skip


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with ReplayEndpoint(demo_estate(NOW)) as endpoint:
        yield Shell(tmp_path, endpoint.url)


def shell_lines(document: Path) -> list[str]:
    found = re.findall(r"^```bash\n(.*?)^```$", text_of(document), re.M | re.S)
    return [line for block in found for line in block.splitlines()]


def test_getting_started_runs_from_top_to_bottom(shell: Shell) -> None:
    lines = shell_lines(DOCS / "getting-started.md")
    install, lines = lines[:3], lines[3:]
    assert [shlex.split(line)[0] for line in install] == ["python3", "pip", "mkdir"]
    # Whether every check runs is no matter here, and the suite has other tests for it.
    shell.environment |= {"FINOPS_CATEGORY": "storage", "FINOPS_REGIONS": "us-east-1"}
    (settings,) = (
        text for (path, _), text in blocks(DOCS / "getting-started.md").items() if path == "finops.yaml"
    )

    statuses: dict[str, int] = {}
    for line in lines:
        if "config check" in line:
            # The reader edits the file that init wrote.
            assert (shell.folder / "finops.yaml").exists()
            (shell.folder / "finops.yaml").write_text(settings, encoding="utf-8")
        done = shell.run(line)
        statuses[line] = done.returncode
        expected = (0, 1) if line.startswith(("pytest", "finops-playbook scan")) else (0,)
        assert done.returncode in expected, f"{line}\n{done.stdout}{done.stderr}"

    assert statuses["pytest --finops-profile=prod --finops-dry-run"] == 0
    assert (
        statuses["pytest --finops-demo --finops-report html:report.html --finops-report json:audit.json"] == 1
    )
    # With the baseline that was just written nothing is new.
    both = "--pyargs pytest_finops.checks checks/"
    assert statuses[f"pytest --finops-demo --finops-baseline baseline.json {both}"] == 0
    # It was the shipped checks and those of init that it judged.
    assert "ebs-unattached" in done.stdout
    assert "ebs-forgotten-volume" in done.stdout
    assert '"ec2:DescribeVolumes"' in (shell.folder / "policy.json").read_text(encoding="utf-8")


def test_the_ci_job_runs_the_shipped_checks_and_the_teams(shell: Shell) -> None:
    shell.environment |= {"FINOPS_CATEGORY": "storage", "FINOPS_REGIONS": "us-east-1", "AWS_PROFILE": "prod"}
    assert shell.run("finops-playbook init").returncode == 0
    workflow = yaml.safe_load((shell.folder / ".github/workflows/finops.yml").read_text(encoding="utf-8"))
    (step,) = (one for one in workflow["jobs"]["audit"]["steps"] if one.get("run", "").startswith("pytest "))
    shell.environment |= step["env"]

    done = shell.run(step["run"])

    assert done.returncode == 1, done.stdout + done.stderr
    audit = json.loads((shell.folder / "finops-report/audit.json").read_text(encoding="utf-8"))
    assert {"ebs-unattached", "ebs-forgotten-volume"} <= {rule["rule_id"] for rule in audit["rules"]}
    assert {path.name for path in (shell.folder / "finops-report").iterdir()} == {
        "audit.json", "report.html", "junit.xml",
    }  # fmt: skip


def test_the_commands_of_prices_run(shell: Shell) -> None:
    shown, cached = [shell.run(line) for line in shell_lines(DOCS / "prices.md")]

    assert shown.returncode == cached.returncode == 0, shown.stderr + cached.stderr
    assert "0.088 USD per GB-Mo" in shown.stdout
    assert "asked as AmazonEC2: " in shown.stdout
    assert "0 prices in " in cached.stdout


def test_the_example_configuration_has_no_mistakes(shell: Shell) -> None:
    (text,) = blocks(DOCS / "configuration.md").values()
    (shell.folder / "finops.yaml").write_text(text, encoding="utf-8")

    done = shell.run("finops-playbook config check && pytest --finops-demo -k ebs")

    assert "no mistakes" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1, done.stdout


def extended(folder: Path) -> dict[tuple[str, str], str]:
    """Follow docs/extending.md from top to bottom: a file that comes again goes on; return all blocks."""
    found = blocks(DOCS / "extending.md")
    for (path, _), text in found.items():
        (folder / path).parent.mkdir(exist_ok=True)
        with (folder / path).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    return found


def audit_of(shell: Shell, *args: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    done = shell.run(f"pytest --finops-profile=prod checks --finops-report json:audit.json {' '.join(args)}")
    report = shell.folder / "audit.json"
    document = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    return done, document


def test_a_teams_rule_check_and_inventory(tmp_path: Path) -> None:
    found = extended(tmp_path)
    estate = demo_estate(NOW)
    region = "us-east-1"
    common = {"VolumeType": "gp3", "CreateTime": "-60d", "Attachments": []}
    estate.add(
        PROD, region, "ec2.describe_volumes", VolumeId="vol-scratch", Size=100, State="available",
        Tags=[{"Key": "Name", "Value": "scratch-1"}], **common,
    )  # fmt: skip
    estate.add(
        PROD, region, "ec2.describe_volumes", VolumeId="vol-large", Size=800, State="in-use",
        Tags=[{"Key": "team", "Value": "sandbox"}], **common,
    )  # fmt: skip
    estate.add(PROD, region, "logs.describe_log_groups", logGroupName="/app", storedBytes=5 * 2**30)
    estate.add(
        PROD, region, "logs.describe_log_groups", logGroupName="/kept", storedBytes=2**40, retentionInDays=30
    )

    with ReplayEndpoint(estate) as endpoint:
        shell = Shell(tmp_path, endpoint.url)
        _, overridden = audit_of(shell)
        (tmp_path / "checks" / "conftest.py").write_text(
            found["checks/conftest.py", "inventory"], encoding="utf-8"
        )
        done, document = audit_of(shell)
        policy = shell.run("finops-playbook iam-policy -- checks")

    findings = {
        (f["rule_id"], f["resource_id"]): f["estimated_monthly_savings"] for f in document["findings"]
    }
    assert findings["ebs-scratch-left", "vol-scratch"] is not None, done.stdout
    assert findings["ebs-oversized", "vol-large"] == "44.00"
    assert findings["logs-never-expire", "/app"] is None
    assert ("logs-never-expire", "/kept") not in findings
    assert '"logs:DescribeLogGroups"' in policy.stdout
    kept = {(f["rule_id"], f["resource_id"]) for f in overridden["findings"]}
    assert kept == set(findings) - {("ebs-oversized", "vol-large")}
    assert overridden["complete"]
    for name in ("test_ebs_oversized", "test_logs_never_expire", "log_groups"):
        source = found["checks/test_team.py", ""] + found["checks/conftest.py", "inventory"]
        body = source[source.index(f"def {name}(") :].split("\n\n\n")[0]
        assert len(body.splitlines()) <= 10, name


def test_a_detail_is_asked_for_what_where_leaves_open(tmp_path: Path) -> None:
    found = extended(tmp_path)
    (tmp_path / "checks" / "conftest.py").write_text(
        found["checks/conftest.py", "inventory"] + "\n\n" + found["checks/conftest.py", "detail"], encoding="utf-8"
    )  # fmt: skip
    check = tmp_path / "checks" / "test_team.py"
    text = check.read_text(encoding="utf-8")
    assert "(log_groups, findings" in text
    check.write_text(
        text.replace("(log_groups, f", "(log_groups, log_bytes, log_subscriptions, f"), encoding="utf-8"
    )
    estate = demo_estate(NOW)
    for name in ("/kept", "/quiet", "/written"):
        retention = {"retentionInDays": 30} if name == "/kept" else {}
        estate.add(
            PROD, "us-east-1", "logs.describe_log_groups", logGroupName=name, storedBytes=2**40, **retention
        )
    estate.metric(PROD, "us-east-1", "AWS/Logs", "IncomingBytes", {"LogGroupName": "/written"}, "Sum", 7)

    with ReplayEndpoint(estate) as endpoint:
        done, document = audit_of(Shell(tmp_path, endpoint.url), "-k", "logs")
        asked = [r.params for r in endpoint.requests if r.operation == "describe_subscription_filters"]

    assert [params["logGroupName"] for params in asked] == ["/quiet"], done.stdout
    assert {f["resource_id"] for f in document["findings"]} == {"/quiet", "/written"}
    assert document["complete"]


def test_the_test_of_a_teams_check_and_the_sample_estate(tmp_path: Path) -> None:
    extended(tmp_path)
    shell = Shell(tmp_path, "http://127.0.0.1:9")

    done = shell.run("python -m pytest tests")
    sample = shell.run("pytest --finops-demo checks/ --finops-report json:audit.json")

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    audit = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert {f["rule_id"] for f in audit["findings"]} == {"ebs-scratch-left", "ebs-oversized"}, sample.stdout
    assert audit["complete"]


def test_the_cost_table_is_what_the_planner_says() -> None:
    path = ROOT / "benchmarks" / "run_cost.py"
    spec = importlib.util.spec_from_file_location("run_cost", path)
    assert spec
    assert spec.loader
    run_cost = importlib.util.module_from_spec(spec)
    # Its dataclass looks itself up there.
    sys.modules["run_cost"] = run_cost
    spec.loader.exec_module(run_cost)

    (table,) = re.findall(r"<!-- generated: cost -->\n(.*?)<!-- end -->", text_of(ROOT / "README.md"), re.S)

    smallest = run_cost.measure(run_cost.SIZES[0])
    assert smallest.row in table
    assert smallest.exact
    assert [int(row.split("|")[1].replace(",", "")) for row in table.splitlines()[2:]] == list(run_cost.SIZES)
