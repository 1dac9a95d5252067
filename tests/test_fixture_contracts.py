"""Every declared AWS call against botocore's own offline model."""

from __future__ import annotations

import importlib
import pkgutil
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
import pytest_finops.fixtures
from botocore import xform_name
from botocore.model import OperationModel, Shape

from pytest_finops.declare import Declaration, Inventory, Metric, declaration_of, inventory
from pytest_finops.errors import DeclarationError
from pytest_finops.operations import operation as facts_of
from pytest_finops.resources import Target

SESSION = botocore.session.Session()
TARGET = Target("111122223333", "us-east-1", now=datetime(2026, 11, 23, tzinfo=UTC))


def declarations() -> dict[str, tuple[Declaration, Any]]:
    """Return every declaration of the shipped fixtures by name."""
    found: dict[str, tuple[Declaration, Any]] = {}
    for module_info in pkgutil.iter_modules(pytest_finops.fixtures.__path__):
        module = importlib.import_module(f"pytest_finops.fixtures.{module_info.name}")
        for value in vars(module).values():
            unwrap = getattr(value, "_get_wrapped_function", None)
            declaration = declaration_of(unwrap()) if callable(unwrap) else None
            if declaration is not None:
                found[declaration.name] = (declaration, module)
    return found


DECLARED = {name: declaration for name, (declaration, _) in declarations().items()}
INVENTORIES = [one for one in DECLARED.values() if isinstance(one, Inventory)]
METRICS = [one for one in DECLARED.values() if isinstance(one, Metric)]


def model_of(declared: Inventory) -> OperationModel:
    """Return botocore's model of the declared operation; fails if there is none."""
    service = SESSION.get_service_model(declared.service)
    names = {xform_name(name): name for name in service.operation_names}
    assert declared.operation in names, f"{declared.call} is no operation"
    return service.operation_model(names[declared.operation])


def member(shape: Shape, path: str) -> Shape:
    """Return the shape at ``Reservations[].Instances[]``."""
    if path == "@":
        return shape
    for step in path.split("."):
        name = step.removesuffix("[]")
        assert name in shape.members, f"{shape.name} has no {name}"  # type: ignore[attr-defined]
        shape = shape.members[name]  # type: ignore[attr-defined]
        if step.endswith("[]"):
            assert shape.type_name == "list", f"{name} is no list"
            shape = shape.member  # type: ignore[attr-defined]
    return shape


def check_value(shape: Any, value: Any, path: str) -> None:
    """Fail unless ``value`` has the type of ``shape``, enumerations included."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            assert name in shape.members, f"{path} has no {name}"
            check_value(shape.members[name], inner, f"{path}.{name}")
    elif shape.type_name == "list":
        assert isinstance(value, list | tuple), path
        for inner in value:
            check_value(shape.member, inner, path)
    elif shape.type_name == "string":
        assert isinstance(value, str), path
        assert not shape.enum or value in shape.enum, f"{path}: {value}"
    elif shape.type_name == "boolean":
        assert isinstance(value, bool), path


@pytest.mark.parametrize("declared", INVENTORIES, ids=lambda one: one.name)
def test_inventory_exists_in_aws(declared: Inventory) -> None:
    operation = model_of(declared)
    answer = operation.output_shape
    item = member(answer, declared.key)
    if declared.id and item.type_name == "structure":
        assert declared.id in item.members
    if declared.witness:
        assert declared.witness in answer.members
    request = operation.input_shape.members if operation.input_shape else {}
    for name, value in declared.params_at(TARGET).items():
        assert name in request, f"{declared.call} takes no {name}"
        check_value(request[name], value, name)
    if isinstance(declared.param, str):
        shape = request[declared.param]
        assert declared.batch == 1 or shape.type_name == "list"
    for name in [
        *(declared.param if isinstance(declared.param, dict) else ()),
        *(declared.within or ()),
        *declared.params_at(TARGET),
    ]:
        assert name in request
    missing = set(operation.input_shape.required_members if operation.input_shape else ()) - set(
        declared.params_at(TARGET)
    )
    missing -= {declared.param} if isinstance(declared.param, str) else set(declared.param or ())
    assert not missing - set(declared.within or ()), f"{declared.call} needs {missing}"


@pytest.mark.parametrize("declared", INVENTORIES, ids=lambda one: one.name)
def test_inventory_pages_to_its_end(declared: Inventory) -> None:
    can_page = SESSION.get_paginator_model(declared.service)._paginator_config
    operation = model_of(declared)
    request = operation.input_shape.members if operation.input_shape else {}
    tokens = {"NextToken", "Marker", "nextToken", "marker", "PageToken"} & set(request)
    assert not tokens or operation.name in can_page or declared.tokens, f"{declared.call} pages by {tokens}"


@pytest.mark.parametrize("declared", INVENTORIES, ids=lambda one: one.name)
def test_rate_of_an_inventory_is_looked_up(declared: Inventory) -> None:
    assert facts_of(declared.service, declared.operation).known, f"{declared.call}: no row, so a guessed rate"


@pytest.mark.parametrize("declared", list(DECLARED.values()), ids=lambda one: one.name)
def test_declaration_is_documented_and_knows_its_parent(declared: Declaration) -> None:
    assert declared.description.endswith((".", ")"))
    parent = declared.of if isinstance(declared, Metric) else declared.per
    assert parent is None or parent in DECLARED


@pytest.mark.parametrize("declared", METRICS, ids=lambda one: one.name)
def test_metric_reads_attributes_that_exist(declared: Metric) -> None:
    module = {name: where for name, (_, where) in declarations().items()}[declared.of]
    rows = [value for value in vars(module).values() if isinstance(value, type)]
    for attribute in declared.dimensions.values():
        assert any(hasattr(row, attribute) for row in rows), attribute


@pytest.mark.parametrize(
    ("service", "operation", "more"),
    [
        ("savingsplans", "describe_savings_plan_rates", {}),
        ("savingsplans", "describe_savings_plan_rates", {"per": "a", "param": "b", "batch": 2}),
        ("ce", "get_cost_and_usage", {"per": "a", "param": "b"}),
    ],
)
def test_what_prices_narrow_follows_another_inventory_and_is_free(
    service: str, operation: str, more: dict[str, Any]
) -> None:
    with pytest.raises(DeclarationError, match="by_prices="):
        inventory(service, operation, "x[]", by_prices=lambda parent, prices: [], **more)(lambda page: None)


def test_what_is_billed_by_the_metric_is_no_inventory() -> None:
    with pytest.raises(DeclarationError, match=r"use @finops\.metric"):
        inventory("cloudwatch", "get_metric_data", "MetricDataResults[]")(lambda page: None)
