"""Bad input: one clear error for each mistake, that names option or file and line, the value and the cure."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finops_kit import NOW, RULES, audit, environment, volumes_estate, write_checks

from pytest_finops.collector.aws import Aws, Login
from pytest_finops.collector.faults import CallFault
from pytest_finops.collector.guard import Guard
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Limiter
from pytest_finops.collector.saved import Saved
from pytest_finops.errors import AuditError
from pytest_finops.outputs import rescue
from pytest_finops.testing import Fault, ReplayEndpoint

OFFLINE = ("--finops-prices", "offline", "--finops-now", NOW.isoformat())
ENV = "--finops-profile=env"
TEAM = '@finops.rule("{rule}")\ndef test_team(ebs_volumes, findings):\n    pass\n'


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ReplayEndpoint]:
    with ReplayEndpoint(volumes_estate(), page_size=2) as made:
        yield made


class Bench:
    """A folder with the checks of a team, in front of the endpoint."""

    def __init__(self, folder: Path, endpoint: ReplayEndpoint) -> None:
        self.folder = folder
        self.endpoint = endpoint
        write_checks(folder)

    def run(self, *args: str, env: dict[str, str] | None = None) -> tuple[int, str, dict[str, Any]]:
        """Run pytest here; whatever went wrong, nobody sees a traceback."""
        status, output, document = audit(
            self.folder, *args, env={**environment(self.endpoint.url, self.folder), **(env or {})}
        )
        assert "Traceback" not in output, output
        assert "INTERNALERROR" not in output, output
        return status, output, document

    def refused(self, *args: str, env: dict[str, str] | None = None) -> list[str]:
        """Run pytest here, expect a usage error before AWS was asked for anything, return its lines."""
        sent = self.endpoint.count("ec2", "describe_volumes")
        status, output, document = self.run(*args, env=env)
        assert (status, document) == (4, {}), output
        assert self.endpoint.count("ec2", "describe_volumes") == sent
        return [line.removeprefix("ERROR: ") for line in output.splitlines()]


@pytest.fixture
def bench(tmp_path: Path, endpoint: ReplayEndpoint) -> Bench:
    return Bench(tmp_path, endpoint)


# --- configuration and rules


def test_all_mistakes_of_rules_and_tests_are_told_at_once(bench: Bench) -> None:
    write_checks(bench.folder, TEAM.format(rule="ebs-teem"))
    (bench.folder / "checks" / "more.yaml").write_text(
        "version: 1\nrules:\n  - id: ebs-more\n    severty: low\n", encoding="utf-8"
    )
    (bench.folder / "finops.yaml").write_text(
        "rules:\n  ebs-lots: {severity: high}\n  ebs-lost: {stat: x, period_days: 3}\n  ec2-low-cpu: {cpu_averag: 5}\n",
        encoding="utf-8",
    )

    lines = bench.refused(ENV, "checks", *OFFLINE)

    for expected in (
        "checks/more.yaml:4:5: rules[0].severty: unknown key; did you mean severity?",
        "finops.yaml:3: rules.ebs-lost.stat: the rule has no such field; did you mean state?",
        "finops.yaml:3: rules.ebs-lost.period_days: the rule looks at no period; remove it",
    ):
        assert lines.count(expected) == 1, "\n".join(lines)


def test_overrides_of_rules_that_do_not_exist(bench: Bench) -> None:
    (bench.folder / "finops.yaml").write_text(
        "rules:\n  ebs-lots: {severity: high}\n  ec2-low-cpus: {enabled: false}\n  ec2-low-cpu: {cpu_averag: 5}\n",
        encoding="utf-8",
    )

    lines = bench.refused(ENV, "checks", *OFFLINE)

    for expected in (
        "finops.yaml:2: rules.ebs-lots: no such rule; did you mean ebs-lost?",
        "finops.yaml:3: rules.ec2-low-cpus: no such rule; did you mean ec2-low-cpu?",
        "finops.yaml:4: rules.ec2-low-cpu.cpu_averag: the rule has no such field; did you mean cpu_average?",
    ):
        assert lines.count(expected) == 1, "\n".join(lines)


def test_a_rule_that_is_not_selected_may_be_overridden(bench: Bench) -> None:
    (bench.folder / "checks" / "other").mkdir()
    (bench.folder / "checks" / "other" / "more.yaml").write_text(
        RULES.replace("ebs-lost", "ebs-more"), encoding="utf-8"
    )
    (bench.folder / "finops.yaml").write_text(
        "rules:\n  ec2-low-cpu: {severity: high}\n  ebs-more: {severity: high}\n  ebs-lost: {severity: high}\n",
        encoding="utf-8",
    )

    status, output, document = bench.run(ENV, "checks/ebs.yaml", *OFFLINE)

    assert status == 1, output
    assert {f["severity"] for f in document["findings"]} == {"high"}


#: A rule file or a test file that cannot be right, the exit status, and what is told.
WRITTEN: dict[str, tuple[str, str, int, str]] = {
    "inventory": (
        RULES.replace("resources: ebs_volumes", "resources: ebs_volume"), "", 4,
        "checks/ebs.yaml:3: rule ebs-lost: there is no inventory 'ebs_volume'; did you mean ebs_volumes?",
    ),
    "property": (
        RULES.replace("field: state", "field: stat"), "", 4,
        "checks/ebs.yaml:3: rule ebs-lost: ebs_volumes have no 'stat'; did you mean state?",
    ),
    "twins": (RULES, TEAM.format(rule="ebs-team") + TEAM.format(rule="ebs-team").replace("test_team", "test_two"), 4,
              "rule ebs-team belongs to exactly one test, which is not parametrized: checks/test_team.py::test_team["),
    "declarative": (
        RULES, TEAM.format(rule="ebs-lost"), 4,
        "checks/test_team.py::test_team: rule ebs-lost (checks/ebs.yaml:3) judges ebs_volumes by its own conditions and has "
        "no test; give this one a rule of its own",
    ),
    "shipped-declarative": (
        RULES, TEAM.format(rule="ebs-unattached").replace("ebs_volumes", "ec2_instances"), 4,
        "checks/storage/ebs.yaml:3) judges ebs_volumes by its own conditions and has no test",
    ),
    "no-id": (RULES, TEAM.format(rule="x").replace('("x")', ""), 2, "@finops.rule needs the id of a rule"),
    "no-inventory": (
        RULES, TEAM.format(rule="ebs-team").replace("ebs_volumes, ", ""), 4,
        "rule ebs-team needs an inventory as an argument, or subject=",
    ),
    "no-fixture": (
        RULES, TEAM.format(rule="ebs-team").replace("findings", "nosuch"), 7, "there is no fixture 'nosuch'",
    ),
    "exit": (
        RULES, TEAM.format(rule="ebs-team").replace("pass", "raise SystemExit(0)"), 7,
        "the check called sys.exit(0)",
    ),
    "no-resource": (
        RULES, TEAM.format(rule="ebs-team").replace("pass", "findings.report('vol-1')"), 7,
        "rule ebs-team: 'vol-1' is not a resource; report one of an inventory",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN)
def test_checks_that_cannot_be_right(bench: Bench, case: str) -> None:
    rules, test, expected, told = WRITTEN[case]
    if test:
        write_checks(bench.folder, test)
    else:
        rules = rules.partition("  - id: ebs-team")[0]
    (bench.folder / "checks" / "ebs.yaml").write_text(rules, encoding="utf-8")

    keyword = ("-k", "team or two") if test else ()
    status, output, document = audit(
        bench.folder, ENV, "checks", *OFFLINE, *keyword, "--finops-max-waste=1000", "--finops-regions=eu-west-1",
        env=environment(bench.endpoint.url, bench.folder),
    )  # fmt: skip

    assert status == expected, output
    reasons = " ".join(row["reason"] for row in document.get("checks", ()))
    assert told in (output if expected != 7 else reasons), output + reasons
    assert "INTERNALERROR" not in output
    if expected == 7:
        assert {row["outcome"] for row in document["checks"]} == {"error"}
        assert " 1 error in " in output


# --- targets that are grouped


@pytest.mark.parametrize(
    "args",
    [
        ("--finops-group=account", "checks", "-k", "lost and eu-west-1"),
        ("--finops-group=all", "checks/ebs.yaml::test_ebs_lost[env-eu-west-1]"),
    ],
)
def test_a_target_cannot_be_picked_out_of_a_group(bench: Bench, args: tuple[str, ...]) -> None:
    lines = "\n".join(bench.refused(ENV, *OFFLINE, *args))
    assert "names a target, but one test covers several targets here" in lines
    assert "--finops-regions and --finops-accounts" in lines


def test_a_keyword_that_names_no_target_selects_nothing_as_ever(bench: Bench) -> None:
    status, output, _ = bench.run(ENV, *OFFLINE, "--finops-group=all", "checks", "-k", "nonsense")
    assert status == 5, output
    # Under grouping by account the name is still part of the id.
    status, output, document = bench.run(ENV, *OFFLINE, "--finops-group=account", "checks", "-k", "env")
    assert status == 1, output
    assert len(document["findings"]) == 4


# --- options, files, targets: refused before anything is asked

MANIFEST = {
    "format": 1,
    "now": "2026-11-01T12:00:00Z",
    "targets": [{"account_id": "1", "regions": ["us-east-1"]}],
}
#: Files to write, arguments, and every line that must be told (a part of it is enough).
REFUSED: dict[str, tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]] = {
    "options": (
        {},
        ("--finops-now=yesterday", "--finops-max-waste=lots", "--finops-demo", "--finops-inventory=x", ENV),
        (
            "--finops-now: 'yesterday' is not an ISO 8601 time; write one like 2026-11-01T06:00:00Z",
            "--finops-max-waste: 'lots' is not an amount in USD; write one like 1.00",
            "--finops-demo and --finops-inventory and --finops-profile exclude each other; choose",
        ),
    ),
    "file-syntax": (
        {"finops.yaml": "max_waste: 3\nregions: [eu-west-1\nrate: {\n"},
        (ENV,),
        ("finops.yaml:3:5: is not YAML: expected ',' or ']'",),
    ),
    "file-types": (
        {"finops.yaml": "max_waste: many\nrat: 1\nexemptions: {a: b}\ndemo: maybe\nprices: {overrides: {ebs:gp3: x}}\n"},
        (ENV,),
        (
            "finops.yaml:1: max_waste: is 'many'; write a number",
            "finops.yaml:2: rat: unknown key; did you mean rate?",
            "finops.yaml:3: exemptions: is a mapping; write a list",
            "finops.yaml:4: demo: is 'maybe'; write true or false",
        ),
    ),
    "no-such-file": ({}, (ENV, "--finops-config=none.yaml"), ("none.yaml: does not exist; name an existing file",)),
    "region": ({}, (ENV, "--finops-regions=eu-wst-1"), ("--finops-regions: there is no region 'eu-wst-1'", "did you mean eu-west-1?")),
    "account": ({}, (ENV, "--finops-accounts=prod"), ("--finops-accounts: there is no account 'prod'; known are 111111111111, env",)),
    "baseline": ({"b.json": "{}"}, (ENV, "--finops-baseline=b.json"), ("b.json has no list of findings; name an audit file",)),
    "paths": (
        {"file": "x"},
        (
            ENV, "--finops-report=html:checks", "--finops-report=csv:file/a.csv", "--finops-report=markdown:a.md",
            "--finops-report=html:a.md", "--finops-save-inventory=file/x",
        ),
        (
            "--finops-report: html: checks is a directory; name a file that can be written",
            "--finops-report: csv: file/a.csv: file is not a directory; name a file that can be written",
            "--finops-report: a.md would hold markdown and html; name two files",
            "--finops-save-inventory: file/x/manifest.json: file is not a directory; name a directory",
        ),
    ),
    "no-inventory": ({}, ("--finops-inventory=checks",), ("checks is not a saved inventory: it has no manifest.json",)),
    "newer-inventory": (
        {"i/manifest.json": json.dumps({**MANIFEST, "format": 2})},
        ("--finops-inventory=i",),
        ("manifest.json: format 2 is newer than this release reads (1); upgrade pytest-finops",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_asked(bench: Bench, case: str) -> None:
    files, args, expected = REFUSED[case]
    for name, text in files.items():
        (bench.folder / name).parent.mkdir(exist_ok=True)
        (bench.folder / name).write_text(text, encoding="utf-8")

    told = "\n".join(bench.refused(*args, "checks"))

    assert "Error:" not in told
    for part in expected:
        assert told.count(part) == 1, told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "manifest.json is not JSON"),
        ("[]", "it needs format 1"),
        (json.dumps({**MANIFEST, "now": "soon"}), "now must be a time like 2026-11-01T06:00:00Z"),
        (json.dumps({**MANIFEST, "targets": []}), "targets must list at least one account"),
        (
            json.dumps({**MANIFEST, "targets": [{"account_id": "1"}]}),
            r"targets\[0\] needs account_id and a list of regions",
        ),
    ],
)
def test_a_manifest_that_is_none_says_why(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(AuditError, match=told):
        Saved(tmp_path)


# --- AWS that refuses, lies or is silent


def test_an_expired_token_says_what_to_do(tmp_path: Path) -> None:
    with ReplayEndpoint(volumes_estate(), faults=[Fault("error", "sts", code="ExpiredToken")]) as endpoint:
        told = "\n".join(Bench(tmp_path, endpoint).refused(ENV, "checks"))
    assert "no account could be entered:\n  env: ExpiredToken: " in told
    assert "(the token has expired: log in again)" in told


def test_half_of_the_calls_denied_leaves_the_other_half(tmp_path: Path) -> None:
    denied = [
        Fault("error", "ec2", operation, region="eu-west-1")
        for operation in (
            "describe_addresses",
            "describe_nat_gateways",
            "describe_snapshots",
            "describe_instances",
        )
    ]
    (tmp_path / "finops.yaml").write_text("min_savings: 0\n", encoding="utf-8")
    with ReplayEndpoint(volumes_estate(), faults=denied) as endpoint:
        bench = Bench(tmp_path, endpoint)
        status, output, document = bench.run(
            ENV,
            *OFFLINE,
            "--pyargs",
            "pytest_finops.checks",
            "--finops-max-waste=1000",
        )

    assert status == 7, output
    outcomes = {(row["rule_id"], row["region"]): row["outcome"] for row in document["checks"]}
    assert outcomes["ebs-unattached", "eu-west-1"] == "failed"
    for rule in ("eip-unassociated", "ebs-old-snapshots", "nat-gateway-count", "ec2-old-generation"):
        assert outcomes[rule, "eu-west-1"] == "error", rule
        # Where nothing stands the row may be left out.
        assert outcomes.get((rule, "us-east-1"), "passed") != "error", rule
    assert len(document["findings"]) == 4
    spots = {(spot["region"], spot["operation"], spot["code"]) for spot in document["blind_spots"]}
    assert spots >= {("eu-west-1", fault.operation, "UnauthorizedOperation") for fault in denied}
    assert {region for region, _, _ in spots} == {"eu-west-1"}
    assert "incomplete" in output.splitlines()[-1]


def test_a_damaged_call_of_a_saved_inventory_blinds_only_its_target(bench: Bench) -> None:
    status, output, _ = bench.run(ENV, "checks", *OFFLINE, "--finops-save-inventory=saved")
    assert status == 1, output
    (damaged,) = (bench.folder / "saved").glob("*/eu-west-1/ec2.describe_volumes.jsonl")
    damaged.write_text(damaged.read_text(encoding="utf-8")[:-30], encoding="utf-8")

    status, output, document = bench.run("--finops-inventory=saved", "checks", "--finops-max-waste=1000")

    assert status == 7, output
    assert {f["region"] for f in document["findings"]} == {"us-east-1"}
    (spot,) = document["blind_spots"]
    assert (spot["region"], spot["code"]) == ("eu-west-1", "Unreadable")


def test_an_endpoint_that_never_answers_is_asked_by_one_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplayEndpoint(volumes_estate(), faults=[Fault("hang", "ec2", region="eu-west-1")]) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
        stop = threading.Event()
        aws = Aws(
            run_id="t", guard=Guard(), ledger=Ledger(), limiter=Limiter(1.0, stop), stop=stop, threads=2,
            retry_delay=0, timeouts=(0.2, 0.2),
        )  # fmt: skip
        login = Login(keys=("AKIAMAIN", "x"), endpoint=endpoint.url)
        for _ in range(3):
            with pytest.raises(CallFault) as caught:
                aws.call(login, "1", "eu-west-1", "ec2", "describe_regions", {})
            assert caught.value.fault.kind == "timeout"
            sent = endpoint.count("ec2", "describe_regions")
            assert sent == 2  # the tries of the first call
        assert "no more was sent" in str(caught.value)
        assert aws.call(login, "1", "us-east-1", "ec2", "describe_regions", {})["Regions"]


def test_an_interrupt_before_workers_start_leaves_a_report(tmp_path: Path) -> None:
    write_checks(tmp_path)
    with ReplayEndpoint(volumes_estate(), faults=[Fault("hang", "ec2", "describe_volumes")]) as endpoint:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", ENV, "checks", *OFFLINE, "-n", "2", "--finops-report=json:audit.json"],
            cwd=tmp_path, env=environment(endpoint.url, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while not endpoint.count("ec2", "describe_volumes") and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=90)

    assert process.returncode == 2, output
    document = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert document["complete"] is False
    assert document["exit_status"] == 2
    assert {row["outcome"] for row in document["checks"]} == {"not_run"}


def test_a_run_names_every_mistake_of_its_file_before_any_call(bench: Bench) -> None:
    write_checks(bench.folder)
    (bench.folder / "finops.yaml").write_text(
        "exemptions:\n  - {rule: ebs-lots, owner: ann, reason: known, expires: 2099-01-01}\n"
        "compliance: hippa\nregions: [us-eastt-1]\nprices:\n  overrides:\n    - {dimension: ebs.storage, unit_price: -1.5}\n",
        encoding="utf-8",
    )
    before = len(bench.endpoint.requests)

    status, output, document = bench.run(ENV, "checks")

    assert status == 4, output
    assert "finops.yaml:7: prices.overrides[0]: unit_price -1.5 is not a number of zero or more" in output
    assert "finops.yaml:2: exemptions[0].rule: there is no rule 'ebs-lots'; did you mean ebs-lost?" in output
    assert "finops.yaml:3: compliance: no rule knows the regime 'hippa'; did you mean hipaa?" in output
    assert "finops.yaml:4: regions: there is no region 'us-eastt-1'; did you mean us-east-1?" in output
    assert not document
    assert len(bench.endpoint.requests) == before

    # Without a mistake of another kind they are told as well.
    (bench.folder / "finops.yaml").write_text("compliance: [hippa, pci]\n", encoding="utf-8")
    status, output, _ = bench.run(ENV, "checks")
    assert status == 4, output
    assert "finops.yaml:1: compliance: no rule knows the regime 'hippa'" in output
    assert "'pci'" not in output


# --- outputs that fail late


def test_a_report_that_fails_at_the_end_is_kept_elsewhere(bench: Bench) -> None:
    test = (
        TEAM.format(rule="ebs-team") + "    import pathlib; pathlib.Path('late').write_text('in the way')\n"
    )
    write_checks(bench.folder, test)

    status, output, _ = bench.run(
        ENV, "checks", *OFFLINE, "--finops-report=csv:late/report.csv", "--finops-baseline=late/b.json", "--finops-update-baseline"
    )  # fmt: skip

    assert status == 1, output
    last = output.splitlines()[-1]
    assert "report not written: cannot write the csv report to " in last
    assert re.search(r"the baseline \S+ cannot be (?:read|written): ", last)
    kept = Path(last.partition("it is in ")[2].partition(";")[0])
    assert kept.read_text(encoding="utf-8").count("vol-") >= 4
    kept.unlink()
    kept.parent.rmdir()


def test_a_report_that_is_lost_is_no_success(bench: Bench) -> None:
    test = (
        TEAM.format(rule="ebs-team") + "    import pathlib; pathlib.Path('late').write_text('in the way')\n"
    )
    write_checks(bench.folder, test)

    status, output, _ = bench.run(
        ENV, "checks", *OFFLINE, "--finops-report=csv:late/report.csv", "--finops-max-savings=9999"
    )

    last = output.splitlines()[-1]
    assert status == 1, output
    assert last.startswith("gate: holds, complete; exit status 1; report not written: "), last
    kept = Path(last.partition("it is in ")[2].partition(";")[0])
    kept.unlink()
    kept.parent.rmdir()


def test_what_cannot_be_rescued_either_is_said(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        raise OSError("no space")

    assert rescue(tmp_path / "x", full) is None
