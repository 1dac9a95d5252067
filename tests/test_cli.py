"""The console script: what each command prints, writes and exits with."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from pytest_finops import config as settings_module
from pytest_finops.audit import Audit, CheckRow
from pytest_finops.cli import main as cli
from pytest_finops.cli import policy
from pytest_finops.cli.paths import with_checks
from pytest_finops.cli.scaffold import FILES, FINOPS_YAML
from pytest_finops.config import SECTIONS, resolve
from pytest_finops.findings import Component, Finding, PriceLine, finding_id
from pytest_finops.options import BY_KEY, OPTIONS
from pytest_finops.reports import as_json
from pytest_finops.rule_files import load, looks_like_rules


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings_module, "user_file", lambda: tmp_path / "user" / "finops.yaml")


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.main, list(args))


class FakePytest:
    """Stands for pytest.main: notes its arguments, writes each report file."""

    def __init__(self, status: int = 0) -> None:
        self.args: list[str] = []
        self.status = status

    def __call__(self, args: Sequence[str], plugins: Sequence[object] = ()) -> int:
        self.args = list(args)
        print("1 passed")  # noqa: T201
        for arg in args:
            if arg.startswith("--finops-report="):
                name, _, path = arg.removeprefix("--finops-report=").partition(":")
                Path(path).write_text(f"<{name} é>", encoding="utf-8")
        return self.status


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePytest:
    made = FakePytest()
    monkeypatch.setattr(pytest, "main", made)
    return made


@pytest.fixture
def finding() -> Finding:
    line = PriceLine(
        dimension="ebs:gp2",
        region="eu-west-1",
        quantity=Decimal(100),
        unit="GB-Mo",
        unit_price=Decimal("0.11"),
        source="snapshot",
        sku="ABC",
        as_of="2026-10-01",
        attributes=(("volume_type", "gp2"),),
    )
    return Finding(
        id=finding_id("ebs-unattached", "123456789012", "eu-west-1", "vol-1"),
        rule_id="ebs-unattached",
        name="Unattached volumes",
        category="storage",
        severity="medium",
        effort="quick_win",
        restart=False,
        risk="low",
        confidence="high",
        kind="waste",
        action="delete",
        resource_id="vol-1",
        resource_arn="arn:aws:ec2:eu-west-1:123456789012:volume/vol-1",
        resource_type="AWS::EC2::Volume",
        account_id="123456789012",
        region="eu-west-1",
        current_monthly_cost=Decimal("11.00"),
        target_monthly_cost=Decimal(0),
        estimated_monthly_savings=Decimal("11.00"),
        counted_monthly_savings=Decimal("11.00"),
        components=(Component("ebs:vol-1", Decimal("11.00"), Decimal("11.00")),),
        current_lines=(line,),
        recommendation="Delete it.",
        evidence={"unattached_days": 31, "name": "\x1b[31mred"},
    )


@pytest.fixture
def audit(tmp_path: Path, finding: Finding) -> Path:
    row = CheckRow(
        rule_id="ebs-unattached", account_id="123456789012", region="eu-west-1", outcome="failed", evaluated=3,
        findings=1,
    )  # fmt: skip
    made = Audit(
        tool_version="0",
        scan_timestamp="2026-11-01T00:00:00Z",
        finished_at="2026-11-01T00:01:00Z",
        findings=(finding,),
        checks=(row,),
    )
    file = tmp_path / "audit.json"
    file.write_text(as_json.render(made), encoding="utf-8")
    return file


# --- scan


def test_scan_takes_every_option_without_the_prefix() -> None:
    shown = run("scan", "--help").output
    for option in OPTIONS:
        assert f"--{option.name}" in shown


def test_scan_hands_options_to_pytest_and_keeps_its_status(fake: FakePytest) -> None:
    fake.status = 7
    done = run(
        "scan", "--profile", "a,b", "--role", "arn:x", "--role", "arn:y", "--strict", "--min-savings", "2",
        "--report", "json:out.json", "--", "-k", "ec2", "--maxfail=1",
    )  # fmt: skip
    assert done.exit_code == 7
    assert fake.args == [
        "--finops-profile=a,b", "--finops-role=arn:x", "--finops-role=arn:y", "--finops-min-savings=2",
        "--finops-strict", "--finops-report=json:out.json", "-k", "ec2", "--maxfail=1", "--pyargs",
        "pytest_finops.checks",
    ]  # fmt: skip


def test_scan_pairs_outputs_with_files_in_order(fake: FakePytest) -> None:
    done = run("scan", "--output", "json", "--file", "a.json", "--output", "html", "--file", "b.html")
    assert done.exit_code == 0
    assert [arg for arg in fake.args if "report" in arg] == [
        "--finops-report=json:a.json",
        "--finops-report=html:b.html",
    ]


def test_scan_without_a_file_prints_the_report_alone(fake: FakePytest) -> None:
    fake.status = 1
    done = run("scan", "--demo", "--output", "markdown")
    assert (done.exit_code, done.stdout) == (1, "<markdown é>")
    assert "1 passed" in done.stderr


def test_scan_refuses_files_without_a_format(fake: FakePytest) -> None:
    done = run("scan", "--file", "a.json")
    assert done.exit_code == 4
    assert "belongs to no --output" in done.stderr
    assert not fake.args


def test_a_usage_error_is_status_4_as_in_pytest() -> None:
    assert run("scan", "--outptu", "json").exit_code == 4
    assert run("scan", "--output", "pdf").exit_code == 4


def test_paths_and_local_checks_come_before_the_shipped_ones(tmp_path: Path) -> None:
    assert with_checks(["-k", "x"]) == ["-k", "x", "--pyargs", "pytest_finops.checks"]
    (tmp_path / "checks").mkdir()
    (tmp_path / "mine").mkdir()
    assert with_checks(["-q"]) == ["-q", "checks"]
    assert with_checks(["-k", "mine"]) == ["-k", "mine", "checks"]
    assert with_checks(["mine::test_x"]) == ["mine::test_x"]
    assert with_checks(["--pyargs", "a.b"]) == ["--pyargs", "a.b"]


# --- report and explain


def test_report_renders_a_saved_audit_again(audit: Path, tmp_path: Path) -> None:
    done = run("report", str(audit), "--format", "json", "--file", "again.json")
    assert done.exit_code == 0
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == audit.read_text(encoding="utf-8")
    assert run("report", str(audit), "--format", "csv").stdout.count("vol-1") >= 1


def test_report_refuses_what_is_no_audit(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    done = run("report", "x.json")
    assert done.exit_code == 4
    assert "x.json" in done.stderr


@pytest.mark.parametrize("name", ["vol-1", None, "arn:aws:ec2:eu-west-1:123456789012:volume/vol-1"])
def test_explain_shows_the_arithmetic(audit: Path, finding: Finding, name: str | None) -> None:
    done = run("explain", name or finding.id[:6], "--audit", str(audit))
    assert done.exit_code == 0
    assert "ebs:gp2 (volume_type gp2) in eu-west-1: 100 GB-Mo x 0.11 USD = 11.00 USD" in done.output
    assert "(snapshot, ABC, as of 2026-10-01)" in done.output
    assert "savings: 11.00 USD - 0.00 USD = 11.00 USD a month" in done.output
    assert "unattached_days: 31" in done.output
    assert "its check here: failed, 3 evaluated, 1 findings, 0 not evaluated" in done.output
    assert "\x1b" not in done.output


def test_explain_names_what_is_missing_or_ambiguous(audit: Path, finding: Finding) -> None:
    assert "no finding 'nope' among 1" in run("explain", "nope", "--audit", str(audit)).stderr
    made = as_json.load(audit)
    twin = replace(finding, id=finding.id[:4] + "0" * 12, region="eu-west-2")
    audit.write_text(as_json.render(replace(made, findings=(*made.findings, twin))), encoding="utf-8")
    for name in ("vol-1", finding.id[:4]):
        done = run("explain", name, "--audit", str(audit))
        assert done.exit_code == 4
        assert "means 2 findings" in done.stderr


def test_explain_shows_every_finding_of_a_resource(audit: Path, finding: Finding) -> None:
    made = as_json.load(audit)
    twin = replace(finding, id="0" * 16, rule_id="ebs-other", name="Another", net_monthly_savings=Decimal(11))
    lines = [
        {"price": "ec2.instance in eu-west-1", "hours": Decimal("-0.4375"), "unit_price": Decimal("0.40")}
    ]
    basis = {"net_basis": "at least, after sp-1", "net_lines": lines}
    twin = replace(twin, counted_monthly_savings=Decimal("4.00"), metadata=basis)
    audit.write_text(as_json.render(replace(made, findings=(*made.findings, twin))), encoding="utf-8")

    done = run("explain", "vol-1", "--audit", str(audit))
    assert done.exit_code == 0
    assert f"{finding.id}  {finding.name}\n" in done.output
    assert f"\n\n{'0' * 16}  Another\n" in done.output
    assert "net:     11.00 USD a month, after commitments; counted 4.00 USD" in done.output
    assert "at least, after sp-1\n" in done.output
    assert "each hour on demand: -0.4375 h of ec2.instance in eu-west-1 x 0.40 USD" in done.output
    assert "ebs-other" not in run("explain", finding.id, "--audit", str(audit)).output


def test_explain_says_when_a_price_is_unknown(audit: Path, finding: Finding) -> None:
    made = as_json.load(audit)
    which = (("operation", "RunInstances:0002"), ("tenancy", "default"))
    line = replace(finding.current_lines[0], unit_price=None, source="unknown", attributes=which)
    blank = replace(
        finding, current_lines=(line,), current_monthly_cost=None, target_monthly_cost=None,
        estimated_monthly_savings=None, components=(Component("ebs:vol-1", None, None),),
        counted_monthly_savings=Decimal(0),
    )  # fmt: skip
    audit.write_text(as_json.render(replace(made, findings=(blank,))), encoding="utf-8")
    done = run("explain", "vol-1", "--audit", str(audit))
    assert "no price known" in done.output
    assert "(operation RunInstances:0002, tenancy default) in " in done.output
    assert "today not priced\n" in done.output
    assert "savings: not priced" in done.output


# --- checks


def test_checks_lists_the_shipped_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "a.yaml").write_text(dict(FILES)["checks/example.yaml"], encoding="utf-8")
    (folder / "b.yaml").write_text("apiVersion: v1\n", encoding="utf-8")
    monkeypatch.setattr(cli, "shipped_rules", lambda: cli.rules_below([folder]))
    shown = run("checks").output
    assert "ebs-forgotten-volume" in shown
    assert "delete (waste)" in shown
    assert "2 checks" in shown
    listed: list[dict[str, Any]] = json.loads(run("checks", "--format", "json").output)
    assert [rule["id"] for rule in listed] == ["ebs-forgotten-volume", "ebs-scratch-volume"]


def test_the_shipped_rules_are_readable() -> None:
    ids = [rule.id for rule in cli.shipped_rules()]
    assert len(ids) == len(set(ids))


# --- config


def test_config_show_prints_values_with_their_origins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "finops.yaml").write_text("max_waste: 12\nowners: {tags: [owner]}\n", encoding="utf-8")
    monkeypatch.setenv("FINOPS_STRICT", "1")
    shown = run("config", "show").output
    assert re.search(r"max_waste +12 +finops.yaml:1", shown)
    assert re.search(r"strict +true +environment", shown)
    assert re.search(r"rate +0.5 +default", shown)
    assert re.search(r"owners \(section\) +1 entry +finops.yaml:2", shown)


def test_config_check_names_each_mistake(tmp_path: Path) -> None:
    assert "the defaults hold" in run("config", "check").output
    (tmp_path / "finops.yaml").write_text("max_wast: 12\nrate: x\n", encoding="utf-8")
    done = run("config", "check")
    assert done.exit_code == 4
    assert done.stderr.splitlines() == [
        "error: finops.yaml:1: max_wast: unknown key; did you mean max_waste?",
        "error: finops.yaml:2: rate: is 'x'; write a number",
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "environments: {accounts: {dev: blue}}",
            "finops.yaml:1: environments.accounts: dev must be prod or nonprod",
        ),
        (
            "environments: {values: {prod: [dev]}}",
            "finops.yaml:1: environments.values: 'dev' is both prod and nonprod",
        ),
        ("owners: {tags: owner}", "finops.yaml:1: owners.tags: is 'owner'; write a list"),
        ("prices: {overrides: [{dimension: ebs.storage}]}", "prices.overrides[0]"),
        ("prices: {discounts: [{percent: 10}]}", "prices.discounts[0]"),
    ],
)
def test_config_check_reads_sections_as_a_run_would(tmp_path: Path, section: str, message: str) -> None:
    (tmp_path / "finops.yaml").write_text(f"{section}\n", encoding="utf-8")
    done = run("config", "check")
    assert done.exit_code == 4
    assert message in done.stderr


def test_config_check_knows_the_rules(tmp_path: Path) -> None:
    run("init")
    (tmp_path / "finops.yaml").write_text("rules:\n  ebs-scratch-volume: {age_day: 3}\n", encoding="utf-8")
    done = run("config", "check")
    assert done.exit_code == 4
    assert "finops.yaml:2: rules.ebs-scratch-volume.age_day: the rule has no such field" in done.stderr
    (tmp_path / "finops.yaml").write_text("rules:\n  ebs-scratch-volum: {age_days: 3}\n", encoding="utf-8")
    assert "did you mean ebs-scratch-volume?" in run("config", "check").stderr
    (tmp_path / "finops.yaml").write_text(
        "rules:\n  ebs-scratch-volume: {age_day: 3}\n  ebs-none: {a: 1}\n  ec2-low-cpu: {severity: low, b: 2}\n",
        encoding="utf-8",
    )
    assert len(run("config", "check").stderr.splitlines()) == 3
    (tmp_path / "finops.yaml").write_text("rules:\n  ebs-scratch-volume: {age_days: 3}\n", encoding="utf-8")
    assert "no mistakes" in run("config", "check").output


def test_config_check_names_every_mistake_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINOPS_COMPLIANCE", "hipaa,pci,hippa")
    claim = "owner: ann, reason: known, expires: 2020-01-01"
    (tmp_path / "finops.yaml").write_text(
        f"""\
exemptions:
  - {{rule: ec2-low-cpus, {claim}}}
  - {{tag: keep, {claim}}}
regions: [eu-wst-1, cn-north-1]
rules:
  ec2-low-cpu: {{period_days: 456}}
  ec2-low-cpux: {{enabled: false}}
  nosuch: {{enabled: false}}
prices:
  overrides:
    - {{dimension: ebs.storage, volume_type: gp3, unit_price: -0.07}}
    - {{dimension: ebs.storag, unit_price: 1}}
    - {{dimension: ebs.storage, region: us-east-1, unit_price: 0.07}}
    - {{dimension: vpc.nat.hours, region: us-east-1, unit_price: 0.05}}
    - {{dimension: vpc.nat.hours, region: us-east-1, unit_price: 9}}
  discounts:
    - {{service: AmazonRDS, percent: 101.5}}
    - {{dimension: ec2., percent: 5}}
    - {{dimension: ec2., percent: 12}}
max_wast: 3
environments:
  values:
    prd: [live]
  accounts:
    a: prod
    b: blue
owners:
  tags: owner
""",
        encoding="utf-8",
    )
    done = run("config", "check")

    assert done.exit_code == 4
    lines = [line.removeprefix("error: ") for line in done.stderr.splitlines()]
    starts = (
        "FINOPS_COMPLIANCE: no rule knows the regime 'hippa'; did you mean hipaa?",
        "finops.yaml:2: exemptions[0].rule: there is no rule 'ec2-low-cpus'; did you mean ec2-low-cpu?",
        "finops.yaml:3: exemptions[1].tag: 'keep' is not KEY=VALUE; write one like keep=yes",
        "finops.yaml:4: regions: there is no region 'eu-wst-1'; did you mean eu-west-1?",
        "finops.yaml:6: rules.ec2-low-cpu.period_days: is '456'; write a whole number from 1 to 455",
        "finops.yaml:7: rules.ec2-low-cpux: no such rule; did you mean ec2-low-cpu?",
        "finops.yaml:11: prices.overrides[0]: unit_price -0.07 is not a number of zero or more",
        "finops.yaml:12: prices.overrides[1]: there is no dimension 'ebs.storag'; did you mean ebs.storage?",
        "finops.yaml:13: prices.overrides[2]: ebs.storage needs the attribute 'volume_type': prices differ by it",
        "finops.yaml:15: prices.overrides[4]: says again what prices.overrides[3] in line 14 says; keep one",
        "finops.yaml:17: prices.discounts[0]: 101.5 percent is more than everything",
        "finops.yaml:19: prices.discounts[2]: says again what prices.discounts[1] in line 18 says; keep one",
        "finops.yaml:20: max_wast: unknown key; did you mean max_waste?",
        "finops.yaml:23: environments.values.prd: unknown key; did you mean prod?",
        "finops.yaml:26: environments.accounts: b must be prod or nonprod, not 'blue'",
        "finops.yaml:28: owners.tags: is 'owner'; write a list",
        "finops.yaml:8: rules.nosuch: is not a rule id; write one like ec2-low-cpu",
    )
    for start in starts:
        assert [line for line in lines if line.startswith(start)], (start, lines)
    assert len(lines) == len(starts), lines
    assert "Decimal" not in done.stderr


def test_config_check_only_warns_of_an_exemption_that_ended(tmp_path: Path) -> None:
    (tmp_path / "finops.yaml").write_text(
        "exemptions:\n  - {rule: ec2-low-cpu, owner: ann, reason: known, expires: 2020-01-01}\n",
        encoding="utf-8",
    )
    done = run("config", "check")
    assert done.exit_code == 0
    assert "no mistakes" in done.stdout
    assert "finops.yaml:2: the exemption of rule ec2-low-cpu ended on 2020-01-01" in done.stderr


# --- init


def test_init_writes_everything_once(tmp_path: Path) -> None:
    done = run("init", "here")
    assert done.exit_code == 0
    # A checks/ of one's own hides the shipped ones from a run without a path: the next step names both.
    assert "pytest --finops-profile=PROFILE --pyargs pytest_finops.checks checks/" in done.output
    assert "finops-playbook scan --demo -- --pyargs pytest_finops.checks checks/" in done.output
    for name, text in FILES:
        assert (tmp_path / "here" / name).read_text(encoding="utf-8") == text
    (tmp_path / "here" / ".gitignore").write_text("mine\n.finops/\n", encoding="utf-8")
    again = run("init", "here")
    assert again.exit_code == 0
    assert again.output.count("kept") == len(FILES)
    assert "consider adding: finops-report/" in again.output
    assert (tmp_path / "here" / ".gitignore").read_text(encoding="utf-8") == "mine\n.finops/\n"


def test_what_init_writes_is_right(tmp_path: Path) -> None:
    run("init")
    rules = tmp_path / "checks" / "example.yaml"
    assert looks_like_rules(rules)
    declarative, tested = load(rules)
    assert declarative.resources
    source = (tmp_path / "checks" / "test_example.py").read_text(encoding="utf-8")
    ast.parse(source)
    assert f'@finops.rule("{tested.id}")' in source
    assert yaml.safe_load((tmp_path / ".github/workflows/finops.yml").read_text(encoding="utf-8"))["jobs"]
    assert "no mistakes" in run("config", "check").output


def test_the_commented_settings_hold_when_uncommented(tmp_path: Path) -> None:
    keys = "|".join([*BY_KEY, *SECTIONS])
    text = re.sub(rf"(?m)^# (?=({keys}):|  )", "", FINOPS_YAML)
    (tmp_path / "finops.yaml").write_text(text, encoding="utf-8")
    settings = resolve({}, {}, tmp_path)
    assert len(settings.account_entries) == 2
    assert settings.exemptions
    assert settings.expected_blind_spots
    assert settings.rules["ec2-low-cpu"]["period_days"] == 30


# --- iam-policy


def test_iam_policy_is_that_of_the_collected_calls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake_main(args: Sequence[str], plugins: Sequence[Any]) -> int:
        assert args[:2] == ["--collect-only", "-q"]
        plugins[0].calls = [("ec2", "describe_volumes")]
        return 0

    monkeypatch.setattr(pytest, "main", fake_main)
    assert policy.main(["-k", "ebs"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["Statement"][0]["Action"] == ["ec2:DescribeRegions", "ec2:DescribeVolumes"]


def test_iam_policy_prints_none_when_collection_fails(
    fake: FakePytest, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.status = 2
    assert policy.main([]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "1 passed\n")
