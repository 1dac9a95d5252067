"""Rule files: what is read, what is refused and where, and overrides."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from pytest_finops.errors import ConfigError
from pytest_finops.rule_files import load, looks_like_rules, override, unknown_rules
from pytest_finops.rules import Condition

RULE = """\
version: 1
rules:
  - id: ec2-low-cpu
    name: EC2 instances with low CPU
    description: Instances that hardly compute.
    category: compute
    severity: medium
    effort: low
    risk: medium
    kind: optimisation
    action: rightsize
    service: ec2
    check_type: metric
    metric: CPUUtilization
    period_days: 14
    condition: {field: cpu_average, operator: less_than, value: 20, unit: percent}
    restart: true
    recommendation: Choose the next smaller size.
    remediation_effort: One restart.
    rollback: Choose the old size again.
    docs_url: https://example.com/ec2-low-cpu
    aws_doc: https://docs.aws.amazon.com/ec2/
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "ec2.yaml"
    made.write_text(RULE, encoding="utf-8")
    return made


def mistakes(file: Path, *changes: tuple[str, str]) -> list[str]:
    text = RULE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value).splitlines()


def test_a_rule_is_read(file: Path) -> None:
    (rule,) = load(file)
    assert (rule.id, rule.period_days, rule.restart, rule.source) == ("ec2-low-cpu", 14, True, "ec2.yaml:3")
    assert rule.condition == (Condition("cpu_average", "less_than", Decimal(20), "percent"),)
    assert rule.threshold == "< 20%"


def test_a_list_of_conditions_and_a_declarative_rule(file: Path) -> None:
    text = RULE.replace(
        "{field: cpu_average, operator: less_than, value: 20, unit: percent}",
        "[{field: state, operator: in, value: [available, 3]}, {field: created, operator: exists}]",
    ).replace("    restart: true\n", "    resources: ebs_volumes\n    savings: full_price\n")
    file.write_text(text, encoding="utf-8")
    (rule,) = load(file)
    assert rule.condition[0].value == ("available", Decimal(3))
    assert rule.condition[1] == Condition("created", "exists")
    assert (rule.resources, rule.savings) == ("ebs_volumes", "full_price")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "severity: medium",
            "severity: mediun",
            "7:15: rules[0].severity: is 'mediun'; did you mean medium?",
        ),
        ("    effort: low\n", "", "3:5: rules[0]: lacks the key effort; add it"),
        ("restart: true", "restart: maybe", "17:14: rules[0].restart: is 'maybe'; write true or false"),
        ("restart:", "restrat:", "17:5: rules[0].restrat: unknown key; did you mean restart?"),
        ("id: ec2-low-cpu", "id: LowCpu", "3:9: rules[0].id: 'LowCpu' is not a rule id"),
        ("    metric: CPUUtilization\n", "", "3:5: rules[0]: check_type metric needs metric; add it"),
        ("    period_days: 14\n", "", "3:5: rules[0]: check_type metric needs period_days; add it"),
        (
            "period_days: 14",
            "period_days: 1.5",
            "15:18: rules[0].period_days: is '1.5'; write a whole number",
        ),
        ("less_than", "less", "rules[0].condition.operator: is 'less'; did you mean less_than?"),
        ("value: 20", "value: many", "rules[0].condition.value: is 'many'; write a number"),
        (", value: 20", "", "rules[0].condition: less_than needs a value; add one"),
        ("operator: less_than", "operator: exists", "exists takes no value; remove it"),
        ("operator: less_than, value: 20", "operator: matches_regex, value: '('", "not a regular expression"),
        ("operator: less_than", "operator: in", "is '20'; write a list"),
        ("field: cpu_average", "field: CPU average", "is not the name of a property"),
        ("restart: true", "resources: ebs_volumes", "a declarative rule needs savings too; add it"),
        ("restart: true", "savings: full_price", "a declarative rule needs resources too; add it"),
        ("https://example.com/", "http://example.com/", "write one that starts with https://"),
        ("version: 1", "version: 2", "1:10: version: is '2'; this release reads version 1"),
        ("name: EC2 instances with low CPU", "name: 5", "4:11: rules[0].name: is '5'; write text in quotes"),
    ],
)
def test_mistakes_name_file_line_column_and_cure(file: Path, old: str, new: str, expected: str) -> None:
    found = mistakes(file, (old, new))
    assert len(found) == 1
    assert found[0].startswith("ec2.yaml:")
    assert expected in found[0]


def test_all_mistakes_are_named_at_once(file: Path) -> None:
    assert len(mistakes(file, ("severity: medium", "severity: x"), ("effort: low", "effort: x"))) == 2


def test_an_id_may_stand_once(file: Path) -> None:
    file.write_text(RULE + RULE.partition("rules:\n")[2], encoding="utf-8")
    with pytest.raises(ConfigError, match="stands twice, first on line 3"):
        load(file)


def test_an_empty_file_is_refused(file: Path) -> None:
    file.write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="is empty"):
        load(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RULE, True),
        ("# a comment\n---\n" + RULE, True),
        ("rules: []\nversion: 1\n", True),
        ("apiVersion: v1\nkind: Service\n", False),
        ("name: x\nversion: 1\nrules: []\n", False),
        ("version: 1\nservices: {}\nrules: []\n", False),
        ("", False),
        ("\x00\x01", False),
        ("# " + "x" * 5000 + "\n" + RULE, False),
    ],
)
def test_only_files_that_begin_with_version_and_rules_are_rules(
    tmp_path: Path, text: str, expected: bool
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(text, encoding="utf-8")
    assert looks_like_rules(file) is expected


def test_a_file_that_is_not_there_is_no_rule_file(tmp_path: Path) -> None:
    assert not looks_like_rules(tmp_path / "missing.yaml")


def test_overrides_change_values_severity_period_and_enabled(file: Path) -> None:
    (rule,) = load(file)
    changed = override(
        rule,
        {"__line__": 4, "cpu_average": 12, "severity": "high", "period_days": 30, "enabled": False},
        "finops.yaml:4",
    )
    assert changed.value_of("cpu_average") == Decimal(12)
    assert (changed.severity, changed.period_days, changed.enabled) == ("high", 30, False)
    assert changed.overridden == {"cpu_average": 12, "severity": "high", "period_days": 30, "enabled": False}
    assert rule.value_of("cpu_average") == Decimal(20)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"cpu_averag": 1},
            "rules.ec2-low-cpu.cpu_averag: the rule has no such field; did you mean cpu_average?",
        ),
        ({"cpu_average": "many"}, "'many' is not a number"),
        ({"cpu_average": True}, "True is not a number"),
        ({"severity": "urgent"}, "'urgent' is no severity"),
        ({"period_days": 0}, "0 is not a number of days"),
        ({"enabled": 1}, "1 is not a bool"),
    ],
)
def test_overrides_that_do_not_fit_are_refused(
    file: Path, overrides: dict[str, object], message: str
) -> None:
    (rule,) = load(file)
    with pytest.raises(ConfigError) as caught:
        override(rule, overrides, "finops.yaml:4")
    assert str(caught.value).startswith("finops.yaml:4: ")
    assert message in str(caught.value)


def test_overrides_of_unknown_rules_are_refused(file: Path) -> None:
    (rule,) = load(file)
    with pytest.raises(
        ConfigError, match=r"f:7: rules.ec2-low-cpus: no such rule; did you mean ec2-low-cpu\?"
    ):
        unknown_rules({"ec2-low-cpus": {"__line__": 7}}, {rule.id: rule}, "f")
