"""Rule files: YAML beside the tests, read strictly into rules."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from .documents import LINE, Node, Problems, compose, suggestion
from .findings import Action, Effort, Kind, Risk, Severity
from .rules import CATEGORIES, KEPT_DAYS, RULE_ID, CheckType, Condition, Operator, Rule

VERSION = 1
SAVINGS = ("full_price",)

_TEXTS = ("name", "description", "service", "recommendation", "remediation_effort", "rollback")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "category": CATEGORIES,
    "severity": get_args(Severity),
    "effort": get_args(Effort),
    "risk": get_args(Risk),
    "kind": get_args(Kind),
    "action": get_args(Action),
    "check_type": get_args(CheckType),
}
_LINKS = ("docs_url", "aws_doc")
_REQUIRED = ("id", *_TEXTS, *_CHOICES, *_LINKS, "condition")
_OPTIONAL = (
    "restart",
    "metric",
    "period_days",
    "compliance_skip",
    "resources",
    "savings",
    "enabled",
    "prune",
)
_KEYS = (*_REQUIRED, *_OPTIONAL)
_OPERATORS: tuple[str, ...] = get_args(Operator)
_NUMERIC = ("less_than", "less_or_equal", "greater_than", "greater_or_equal", "older_than_days")
_UNARY = ("exists", "absent")
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")
_TOP_KEY = re.compile(r"([A-Za-z_][\w-]*|\"[^\"]*\"|'[^']*')\s*:(\s|$)")
_HEAD = 4096


def looks_like_rules(path: Path) -> bool:
    """Return whether the first keys of ``path`` are ``version`` and ``rules``; reads only 4 kB."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD).decode("utf-8-sig", errors="replace")
    except OSError:
        return False
    keys: list[str] = []
    for line in head.splitlines():
        found = _TOP_KEY.match(line)
        if found:
            keys.append(found.group(1).strip("\"'"))
            if len(keys) == 2:
                break
    return sorted(keys) == ["rules", "version"]


def load(path: Path) -> tuple[Rule, ...]:
    """Return the rules of the file ``path``.

    :raises ConfigError: with one line per mistake, each naming file, line and column.
    """
    problems = Problems()
    root = compose(path, problems, columns=True)
    rules: list[Rule] = []
    if root is None:
        if not problems:
            problems.add(str(path), "is empty; write version and rules")
    else:
        fields = root.fields(("version", "rules"), ("version", "rules"))
        version = fields.get("version")
        if version is not None and version.value != VERSION:
            version.complain(f"is {version.shown()}; this release reads version {VERSION}")
        seen: dict[str, int] = {}
        for node in fields["rules"].items() if "rules" in fields else ():
            rule = _rule(node, seen)
            if rule is not None:
                rules.append(rule)
    problems.raise_any()
    return tuple(rules)


def _rule(node: Node, seen: dict[str, int]) -> Rule | None:
    fields = node.fields(_KEYS, _REQUIRED)
    made: dict[str, Any] = {}
    for key, value in fields.items():
        made[key] = _field(key, value)
    rule_id = made.get("id")
    if rule_id is not None:
        if not RULE_ID.fullmatch(rule_id):
            fields["id"].complain(
                f"{rule_id!r} is not a rule id; write kebab-case led by the service, like ec2-low-cpu"
            )
        elif rule_id in seen:
            fields["id"].complain(f"{rule_id} stands twice, first on line {seen[rule_id]}; keep one")
        seen.setdefault(rule_id, fields["id"].line)
    if made.get("check_type") == "metric":
        for key in ("metric", "period_days"):
            if key not in fields:
                node.complain(f"check_type metric needs {key}; add it")
    for one, other in (("resources", "savings"), ("savings", "resources")):
        if one in fields and other not in fields:
            fields[one].complain(f"a declarative rule needs {other} too; add it")
    if any(key not in made or made[key] is None for key in _REQUIRED):
        return None
    present = {key: value for key, value in made.items() if value is not None}
    return Rule(**present, source=f"{node.file}:{node.line}")


def _field(key: str, node: Node) -> Any:
    """Return the value of one key of a rule, or None after a mistake."""
    if key in _CHOICES:
        return node.choice(_CHOICES[key])
    if key in _LINKS:
        link = node.text("a link")
        # Shipped rules are documented in the repository itself.
        local = key == "docs_url" and link is not None and re.fullmatch(r"docs/[\w./-]+\.md(#[\w-]+)?", link)
        if link is not None and not local and not re.fullmatch(r"https://[^\s/]+\S*", link):
            node.complain(f"{link!r} is not a link; write one that starts with https://")
            return None
        return link
    if key in ("restart", "enabled", "prune"):
        return node.boolean()
    if key == "period_days":
        return node.integer(1, KEPT_DAYS)
    if key == "compliance_skip":
        names = [item.text("a name") for item in node.items()]
        return tuple(name for name in names if name is not None)
    if key == "savings":
        return node.choice(SAVINGS)
    if key == "resources":
        name = node.text("the name of an inventory fixture")
        if name is not None and not _IDENTIFIER.fullmatch(name):
            node.complain(f"{name!r} is not the name of a fixture; write one like ebs_volumes")
            return None
        return name
    if key == "condition":
        return _conditions(node)
    return node.text()


def _conditions(node: Node) -> tuple[Condition, ...] | None:
    members = node.items() if node.kind == "list" else [node]
    if not members:
        node.complain("is an empty list; write at least one comparison")
        return None
    conditions = [_condition(member) for member in members]
    whole = tuple(condition for condition in conditions if condition is not None)
    return whole if len(whole) == len(members) else None


def _condition(node: Node) -> Condition | None:
    if node.kind != "mapping":
        node.complain(f"is {node.shown()}; write a mapping of field, operator and value")
        return None
    fields = node.fields(("field", "operator", "value", "unit"), ("field", "operator"))
    if "field" not in fields or "operator" not in fields:
        return None
    name = fields["field"].text("the name of a property")
    if name is not None and not _IDENTIFIER.fullmatch(name):
        fields["field"].complain(f"{name!r} is not the name of a property; write one like age_days")
        return None
    operator: Any = fields["operator"].choice(_OPERATORS)
    unit = fields["unit"].text() if "unit" in fields else ""
    if name is None or operator is None or unit is None:
        return None
    value = fields.get("value")
    if operator in _UNARY:
        if value is not None:
            value.complain(f"{operator} takes no value; remove it")
            return None
        return Condition(name, operator, None, unit)
    if value is None or value.kind == "null":
        (value or node).complain(f"{operator} needs a value; add one")
        return None
    read = _value(operator, value)
    return None if read is None else Condition(name, operator, read, unit)


def _value(operator: str, node: Node) -> Any:
    """Return what a field is compared with, in the form that ``operator`` needs; numbers are Decimals."""
    if operator in _NUMERIC:
        return node.number()
    if operator in ("in", "not_in"):
        members = [_scalar(item) for item in node.items()]
        return None if not members or None in members else tuple(members)
    if operator == "matches_regex":
        pattern = node.text("a regular expression")
        if pattern is None:
            return None
        try:
            re.compile(pattern)
        except re.error as error:
            node.complain(f"{pattern!r} is not a regular expression: {error}")
            return None
        return pattern
    return _scalar(node)


def _scalar(node: Node) -> Any:
    if node.kind == "number":
        return node.number()
    if node.kind in ("text", "bool"):
        return node.value
    node.complain(f"is {node.shown()}; write a text, a number, or true or false")
    return None


def override(rule: Rule, overrides: Mapping[str, Any], source: str) -> Rule:
    """Return ``rule`` with what ``rules:`` of ``finops.yaml`` says about it.

    :param overrides: by name of a condition's field, or ``severity``, ``period_days``, ``enabled``.
    :param source: where they stand (``finops.yaml:12``), for messages.
    :raises ConfigError: with one line per name that the rule does not have, or value that does not fit.
    """
    problems = Problems()
    wanted = {key: value for key, value in overrides.items() if key != LINE}
    by_field = {condition.field for condition in rule.condition}
    changes: dict[str, Any] = {}
    conditions = list(rule.condition)
    for key, value in wanted.items():
        place = f"rules.{rule.id}.{key}"
        if key in ("severity", "period_days", "enabled"):
            if message := _unfit(rule, key, value):
                problems.add(source, f"{place}: {message}")
            changes[key] = value
        elif key in by_field:
            for n, condition in enumerate(conditions):
                if condition.field == key and condition.operator not in _UNARY:
                    fitted, message = _fit(condition, value)
                    if message:
                        problems.add(source, f"{place}: {message}")
                    conditions[n] = dataclasses.replace(condition, value=fitted)
        else:
            known = (*sorted(by_field), "severity", "period_days", "enabled")
            problems.add(source, f"{place}: the rule has no such field; {suggestion(key, known)}")
    problems.raise_any()
    return dataclasses.replace(
        rule, **changes, condition=tuple(conditions), overridden={**rule.overridden, **wanted}
    )


def _unfit(rule: Rule, key: str, value: Any) -> str:
    """Return why ``value`` does not fit the key, or nothing."""
    if key == "severity" and value not in _CHOICES["severity"]:
        return f"{value!r} is no severity; choose one of {', '.join(_CHOICES['severity'])}"
    if key == "enabled" and not isinstance(value, bool):
        return f"{value!r} is not a bool; write true or false"
    if key == "period_days":
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            return f"{value!r} is not a number of days; write a whole number above zero"
        if value > KEPT_DAYS:
            return f"{value} days are more than CloudWatch keeps; write at most {KEPT_DAYS}"
        if not rule.period_days:
            return "the rule looks at no period; remove it"
    return ""


def _fit(condition: Condition, value: Any) -> tuple[Any, str]:
    """Return ``value`` in the form that the condition compares with, and what is wrong with it."""

    def scalar(one: Any) -> Any:
        return Decimal(one) if isinstance(one, int) and not isinstance(one, bool) else one

    made = scalar(value)
    if condition.operator in _NUMERIC:
        fits = isinstance(made, Decimal)
        return made, "" if fits else f"{value!r} is not a number; write one"
    if condition.operator in ("in", "not_in"):
        if isinstance(value, list) and value:
            return tuple(scalar(one) for one in value), ""
        return made, f"{value!r} is not a list; write a list of values"
    if condition.operator == "matches_regex":
        try:
            re.compile(str(value))
        except re.error as error:
            return made, f"{value!r} is not a regular expression: {error}"
        return str(value), ""
    if isinstance(value, (list, dict)) or value is None:
        return made, f"{value!r} is not a single value; write one"
    return made, ""


def unknown_rules(overrides: Mapping[str, Mapping[str, Any]], known: Collection[str], file: str) -> None:
    """Refuse overrides of rules that no rule file has.

    :raises ConfigError: with one line per unknown id.
    """
    problems = Problems()
    for rule_id, values in overrides.items():
        if rule_id not in known:
            place = f"{file}:{values[LINE]}" if LINE in values else file
            problems.add(place, f"rules.{rule_id}: no such rule; {suggestion(rule_id, known)}")
    problems.raise_any()
