"""The shipped rules and fixtures as a whole: complete, joined to each other, known to AWS's models and price list."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from test_fixture_contracts import DECLARED, INVENTORIES, METRICS, model_of

from pytest_finops import Resource, Rule
from pytest_finops.declare import Inventory
from pytest_finops.operations import operation
from pytest_finops.prices.catalogue import CATALOGUE
from pytest_finops.rule_files import load
from pytest_finops.rules import RULE_ID

ROOT = Path(__file__).parent.parent
CHECKS = ROOT / "checks"
BLOB = "https://github.com/pytest-finops/pytest-finops/blob/main/docs/rules.md"
READS = ("describe_", "list_", "get_", "lookup_", "search_")

RULES = {rule.id: rule for path in sorted(CHECKS.rglob("*.yaml")) for rule in load(path)}
NAMED = [rule.id for path in sorted(CHECKS.rglob("*.yaml")) for rule in load(path)]


def shipped_checks() -> Iterator[tuple[str, ast.FunctionDef, list[str]]]:
    """Yield of each shipped test its file, its syntax and the rules that it is joined to."""
    for path in sorted(CHECKS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                calls = [d for d in node.decorator_list if isinstance(d, ast.Call)]
                joined = [ast.literal_eval(d.args[0]) for d in calls if ast.unparse(d.func) == "finops.rule"]
                yield str(path.relative_to(ROOT)), node, joined


TESTS = {rule_id: node for _, node, joined in shipped_checks() for rule_id in joined}


def subject_of(rule: Rule) -> Inventory:
    """Return the inventory whose resources a rule judges."""
    if rule.resources:
        found = DECLARED[rule.resources]
    else:
        node = TESTS[rule.id]
        named = [
            keyword.value.value
            for decorator in node.decorator_list
            if isinstance(decorator, ast.Call)
            for keyword in decorator.keywords
            if keyword.arg == "subject" and isinstance(keyword.value, ast.Constant)
        ]
        names = [*named, *(argument.arg for argument in (*node.args.args, *node.args.kwonlyargs))]
        found = next(DECLARED[str(name)] for name in names if isinstance(DECLARED.get(str(name)), Inventory))
    assert isinstance(found, Inventory)
    return found


def rows_of(declared: Inventory) -> type[Resource]:
    """Return the resource type of an inventory, as its body is annotated."""
    made = inspect.signature(declared.parse).return_annotation
    module = importlib.import_module(declared.parse.__module__)
    row: type[Resource] = eval(made.removeprefix("list[").removesuffix("]"), vars(module))
    assert issubclass(row, Resource)
    return row


def documented(row: type[Resource]) -> set[str]:
    """Return the fields of a resource type, and its properties that say what they are."""
    properties = {
        name
        for name, value in inspect.getmembers(row, lambda one: isinstance(one, property))
        if value.__doc__
    }
    return properties | {one.name for one in dataclasses.fields(row)}  # type: ignore[arg-type]


def measured() -> set[str]:
    """Return every name that a check gives to the conditions of its rule, beyond properties."""
    names: set[str] = set()
    for path in CHECKS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg:
                names.add(node.arg)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
    return names


def first_words(folder: str, call: str) -> set[str]:
    """Return the first argument of every call of ``call`` under ``folder``, where it is written out."""
    return {
        node.args[0].value
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == call and node.args
        if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
    }  # fmt: skip


def test_an_id_is_given_once_and_to_one_check() -> None:
    assert [rule_id for rule_id, times in Counter(NAMED).items() if times > 1] == []

    joined = Counter(rule_id for _, _, found in shipped_checks() for rule_id in found)
    for rule in RULES.values():
        assert joined[rule.id] == (0 if rule.resources else 1), rule.id
    assert set(joined) <= set(RULES)


def test_every_shipped_test_is_a_check() -> None:
    assert [(file, node.name) for file, node, joined in shipped_checks() if len(joined) != 1] == []
    for rule_id, node in TESTS.items():
        assert node.name == f"test_{rule_id.replace('-', '_')}"
        assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_is_complete(rule: Rule) -> None:
    assert RULE_ID.fullmatch(rule.id)
    assert rule.id.startswith(f"{rule.service}-")
    words: Mapping[str, Any] = {name: getattr(rule, name) for name in (
        "name", "description", "recommendation", "remediation_effort", "rollback", "aws_doc",
    )}  # fmt: skip
    assert [name for name, text in words.items() if not text.strip()] == []
    assert [
        name
        for name in ("description", "recommendation", "remediation_effort")
        if not words[name].endswith(".")
    ] == []
    assert rule.condition
    assert rule.docs_url == f"{BLOB}#{rule.id}"
    assert rule.aws_doc.startswith("https://docs.aws.amazon.com/")
    folder = Path(rule.source.rpartition(":")[0]).parent.name
    assert folder == rule.category


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_condition_speaks_of_documented_properties_or_of_what_the_check_measures(rule: Rule) -> None:
    known = documented(rows_of(subject_of(rule)))
    if not rule.resources:
        known |= measured()

    assert {condition.field for condition in rule.condition} <= known


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_metric_rule_names_a_metric_that_its_check_reads(rule: Rule) -> None:
    if rule.check_type != "metric":
        assert (rule.metric, rule.period_days) == ("", 0)
        return
    arguments = {argument.arg for argument in TESTS[rule.id].args.args}

    assert rule.metric in {metric.metric_name for metric in METRICS if metric.name in arguments}
    assert rule.period_days > 0


@pytest.mark.parametrize("declared", INVENTORIES, ids=lambda one: one.name)
def test_a_declared_call_is_a_known_read_with_an_iam_action(declared: Inventory) -> None:
    known = operation(declared.service, declared.operation)

    assert known.known, f"{declared.call} has no row in operations.json"
    assert known.name == model_of(declared).name
    assert known.iam_action.partition(":")[2]
    assert declared.operation.startswith(READS)
    assert not known.writes


def test_metrics_are_a_known_read() -> None:
    known = operation("cloudwatch", "get_metric_data")

    assert (known.known, known.iam_action, known.writes) == (True, "cloudwatch:GetMetricData", False)


def test_every_price_that_a_check_uses_is_announced_and_in_the_catalogue() -> None:
    announced = first_words("fixtures", "PriceKey")
    used = first_words("checks", "line") | first_words("fixtures", "line")

    assert used
    assert used - announced == set()
    assert announced - set(CATALOGUE) == set()
