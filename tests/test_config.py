"""Settings: layers, strict files, messages, and what makes a target."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pytest_finops import config
from pytest_finops.config import has_target, resolve
from pytest_finops.errors import ConfigError
from pytest_finops.options import CATEGORIES, OPTIONS, ReportRequest
from pytest_finops.rules import CATEGORIES as RULE_CATEGORIES
from pytest_finops.settings import Settings


@pytest.fixture(autouse=True)
def _no_user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "user_file", lambda: tmp_path / "user" / "finops.yaml")
    monkeypatch.chdir(tmp_path)


def write(folder: Path, text: str, name: str = "finops.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def mistakes(folder: Path, text: str, **cli: Any) -> list[str]:
    write(folder, text)
    with pytest.raises(ConfigError) as caught:
        resolve(cli, {}, folder)
    return str(caught.value).splitlines()


def test_every_option_has_a_field_with_the_same_default() -> None:
    settings = Settings()
    for option in OPTIONS:
        assert getattr(settings, option.field) == option.default, option.name


def test_help_texts_are_single_phrases() -> None:
    for option in OPTIONS:
        assert option.help[0].isupper()
        assert not option.help.endswith(".")


def test_categories_are_those_of_rules() -> None:
    assert CATEGORIES == RULE_CATEGORIES


def test_options_import_nothing_heavy() -> None:
    code = "import sys, pytest_finops.options; print({'yaml','boto3','jinja2','msgspec','pytest_finops.settings'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_layers_win_in_order(tmp_path: Path) -> None:
    write(tmp_path / "user", "min_savings: 5\nmax_in_flight: 4\nrate: 0.1\nstrict: true\n")
    write(tmp_path, "min_savings: 4\nmax_in_flight: 3\nrate: 0.2\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    settings = resolve({"min_savings": "2"}, {"FINOPS_MIN_SAVINGS": "3", "FINOPS_MAX_IN_FLIGHT": "8"}, below)
    assert (settings.min_savings, settings.max_in_flight) == (Decimal(2), 8)
    assert (settings.rate, settings.strict) == (Decimal("0.2"), True)
    assert settings.origins["min_savings"] == "command line"
    assert settings.origins["max_in_flight"] == "environment"
    assert settings.origins["rate"] == "finops.yaml:3"
    assert settings.origins["strict"] == f"{Path('user') / 'finops.yaml'}:4"
    assert settings.origins["group"] == "default"
    assert settings.config_path == tmp_path / "finops.yaml"


def test_a_flag_can_be_switched_off_by_a_nearer_layer(tmp_path: Path) -> None:
    write(tmp_path, "skip_metrics: true\n")
    assert resolve({}, {}, tmp_path).skip_metrics
    assert not resolve({}, {"FINOPS_SKIP_METRICS": "0"}, tmp_path).skip_metrics


def test_command_line_values_are_parsed(tmp_path: Path) -> None:
    settings = resolve(
        {
            "profile": ["prod,dev", "prod"],
            "report": ["json:out/a,b.json", "html"],
            "now": "2026-11-01T08:00:00+02:00",
            "category": ["compute,storage"],
            "regions": ["eu-west-1", "us-gov-west-1"],
        },
        {},
        tmp_path,
    )
    assert settings.profile == ("prod", "dev")
    assert settings.report == (ReportRequest("json", tmp_path / "out/a,b.json"), ReportRequest("html"))
    assert settings.now == datetime(2026, 11, 1, 6, tzinfo=UTC)
    assert settings.category == ("compute", "storage")
    assert settings.regions == ("eu-west-1", "us-gov-west-1")


def test_paths_of_a_file_are_relative_to_the_file(tmp_path: Path) -> None:
    write(tmp_path, "baseline: known.json\nreport: [json:audit.json]\n")
    below = tmp_path / "below"
    below.mkdir()
    settings = resolve({}, {}, below)
    assert settings.baseline == tmp_path / "known.json"
    assert settings.report == (ReportRequest("json", tmp_path / "audit.json"),)


def test_money_never_passes_through_float(tmp_path: Path) -> None:
    write(
        tmp_path,
        "max_waste: 100.10000000000000000001\nprices: {discounts: [{dimension: ec2., percent: 12.1}]}\n",
    )
    settings = resolve({}, {}, tmp_path)
    assert settings.max_waste == Decimal("100.10000000000000000001")
    assert settings.price_settings == {"discounts": [{"dimension": "ec2.", "percent": Decimal("12.1")}]}
    assert settings.prices is None


def test_prices_is_an_option_when_it_is_a_word(tmp_path: Path) -> None:
    write(tmp_path, "prices: offline\n")
    settings = resolve({}, {}, tmp_path)
    assert (settings.prices, settings.price_settings) == ("offline", {})


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        "min_saving: 1\n"
        "max_in_flight: two\n"
        'max_waste: "10"\n'
        "strict: yes\n"
        "group: regions\n"
        "rate: 2\n"
        "rate: 0.3\n"
        "dry_run: true\n"
        "regions: [nowhere]\n",
    )
    assert found == [
        "finops.yaml:7: rate: stands twice, first on line 6; keep one",
        "finops.yaml:1: min_saving: unknown key; did you mean min_savings?",
        "finops.yaml:2: max_in_flight: is 'two'; write a number",
        "finops.yaml:3: max_waste: is '10'; write a number without quotes",
        "finops.yaml:4: strict: is 'yes'; write true or false",
        "finops.yaml:5: group: is 'regions'; did you mean region?",
        "finops.yaml:6: rate: '2' is out of range; write a share above 0 and up to 1",
        "finops.yaml:8: dry_run: belongs on the command line; use --finops-dry-run",
        "finops.yaml:9: regions[0]: 'nowhere' is not a region; write one like eu-west-1, or enabled",
    ]


def test_mistakes_of_all_layers_are_named_at_once(tmp_path: Path) -> None:
    write(tmp_path, "stric: true\n")
    with pytest.raises(ConfigError) as caught:
        resolve({"category": ["compute,storag"], "max_waste": "x"}, {"FINOPS_STRICT": "yes"}, tmp_path)
    assert str(caught.value).splitlines() == [
        "--finops-category: 'storag' is not known; did you mean storage?",
        "--finops-max-waste: 'x' is not an amount in USD; write one like 1.00",
        "FINOPS_STRICT: 'yes' is neither 1 nor 0; write one of them",
        "finops.yaml:1: stric: unknown key; did you mean strict?",
    ]


@pytest.mark.parametrize(
    ("cli", "message"),
    [
        ({"report": ["pdf"]}, "names no report format"),
        ({"report": ["html:"]}, "names no file after the colon"),
        ({"role": ["Audit"]}, "is not the ARN of a role"),
        ({"max_api_cost": "-1"}, "zero or more"),
        ({"max_api_cost": "NaN"}, "is not an amount"),
        ({"rate": "0"}, "above 0"),
        ({"max_in_flight": "0"}, "above zero"),
        ({"max_unpriced": "-1"}, "is not a whole number"),
        ({"now": "yesterday"}, "is not an ISO 8601 time"),
        ({"regions": [""]}, "is empty"),
        ({"update_baseline": True}, "add --finops-baseline FILE"),
        ({"offline": True, "prices": "live"}, "forbids live prices"),
        ({"config": "missing.yaml"}, "missing.yaml: does not exist"),
    ],
)
def test_wrong_values_name_the_cure(tmp_path: Path, cli: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(cli, {}, tmp_path)


def test_a_broken_file_names_the_place(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "a: [1\nb: 2\n")[0].startswith("finops.yaml:2:2: is not YAML")
    assert mistakes(tmp_path, "a: &a [*a]\n") == ["finops.yaml: an alias contains itself; write it out"]
    assert mistakes(tmp_path, "- a\n") == ["finops.yaml:1: is a list; write a mapping (key: value)"]


def test_an_empty_file_is_no_mistake(tmp_path: Path) -> None:
    write(tmp_path, "# nothing yet\n")
    assert resolve({}, {}, tmp_path).min_savings == Decimal("1.00")


def test_sections_keep_their_lines(tmp_path: Path) -> None:
    write(
        tmp_path,
        "accounts:\n"
        "  - {id: 012345678901, name: prod, profile: p, regions: [eu-west-1]}\n"
        "exemptions:\n"
        "  - {rule: ec2-low-cpu, resource: i-1, reason: spare, owner: ops, expires: 2027-01-31}\n"
        "expected_blind_spots:\n"
        "  - {account: '123456789012', service: rds, code: AccessDenied, reason: policy, owner: o, expires: 2027-01-31}\n"
        "rules:\n"
        "  ec2-low-cpu: {cpu_average: 12.5, severity: high, period_days: 30, enabled: false}\n",
    )
    settings = resolve({}, {}, tmp_path)
    assert settings.account_entries == (
        {"__line__": 2, "id": "012345678901", "name": "prod", "profile": "p", "regions": ("eu-west-1",)},
    )
    assert settings.exemptions[0]["__line__"] == 4
    assert settings.exemptions[0]["expires"] == "2027-01-31"
    assert settings.expected_blind_spots[0]["account"] == "123456789012"
    assert settings.rules["ec2-low-cpu"] == {
        "__line__": 8,
        "cpu_average": Decimal("12.5"),
        "severity": "high",
        "period_days": 30,
        "enabled": False,
    }


def test_sections_are_strict(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        "accounts:\n  - {id: 123, profil: x}\n"
        "exemptions:\n  - {reason: all, owner: o, expires: 2027-01-31}\n  - {rule: a-b, expires: soon, owner: o}\n"
        "rules:\n  EC2: {severity: urgent}\n"
        "owners: {tag: [owner]}\n",
    )
    assert found == [
        "finops.yaml:2: accounts[0].profil: unknown key; did you mean profile?",
        "finops.yaml:2: accounts[0].id: '123' is not an account id; write its 12 digits in quotes",
        "finops.yaml:4: exemptions[0]: selects nothing, so it would select everything; "
        "give rule, resource, tag, account",
        "finops.yaml:5: exemptions[1]: lacks the key reason; add it",
        "finops.yaml:5: exemptions[1].expires: is 'soon'; write a date like 2027-01-31",
        "finops.yaml:7: rules.EC2: is not a rule id; write one like ec2-low-cpu",
        "finops.yaml:7: rules.EC2.severity: is 'urgent'; choose one of low, medium, high, critical",
        "finops.yaml:8: owners.tag: unknown key; did you mean tags?",
    ]


@pytest.mark.parametrize(
    ("cli", "environ", "expected"),
    [
        ({}, {}, False),
        ({"profile": ["p"]}, {}, True),
        ({"role": ["arn:aws:iam::123456789012:role/R"]}, {}, True),
        ({"demo": True}, {}, True),
        ({"inventory": "dir"}, {}, True),
        ({}, {"FINOPS_PROFILE": "p"}, True),
        ({}, {"FINOPS_PROFILE": ""}, False),
        ({}, {"FINOPS_DEMO": "1"}, False),
        ({}, {"FINOPS_INVENTORY": "dir"}, False),
        ({}, {"FINOPS_ROLE": "arn:aws:iam::123456789012:role/R"}, False),
    ],
)
def test_what_makes_a_target(
    tmp_path: Path, cli: dict[str, Any], environ: dict[str, str], expected: bool
) -> None:
    assert has_target(resolve(cli, environ, tmp_path)) is expected


def test_a_file_makes_targets_only_when_the_command_line_names_it(tmp_path: Path) -> None:
    file = write(tmp_path, "accounts: [{id: '123456789012', profile: p}]\nprofile: q\ndemo: true\n")
    bare = resolve({}, {}, tmp_path)
    assert not has_target(bare)
    assert not bare.demo
    assert bare.account_entries
    write(tmp_path, "accounts: [{id: '123456789012', profile: p}]\n")
    assert has_target(resolve({"config": str(file)}, {}, tmp_path))
    assert not has_target(resolve({}, {"FINOPS_CONFIG": str(file)}, tmp_path))


@pytest.mark.parametrize(
    "cli",
    [
        {"demo": True, "profile": ["p"]},
        {"demo": True, "inventory": "d"},
        {"inventory": "d", "role": ["arn:aws:iam::123456789012:role/R"]},
    ],
)
def test_kinds_of_target_exclude_each_other(tmp_path: Path, cli: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        resolve(cli, {}, tmp_path)


def test_the_command_line_chooses_the_kind_of_target_before_the_environment(tmp_path: Path) -> None:
    settings = resolve({"demo": True}, {"FINOPS_PROFILE": "prod"}, tmp_path)
    assert (settings.demo, settings.profile) == (True, ())
