"""Declarative rules: a rule file as a module of generated test functions."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

import pytest

from .marks import rule as rule_mark
from .rules import Rule

#: Operators that an unknown value can satisfy.
OF_ABSENCE = ("exists", "absent")


class RuleFile(pytest.Module):
    """A rule file; its declarative rules are test functions, so that -k, the plan and -n work unchanged."""

    rules: tuple[Rule, ...] = ()

    def _getobj(self) -> Any:
        module = types.ModuleType(self.path.stem)
        module.__file__ = str(self.path)
        for rule in self.rules:
            if rule.resources:
                function = declarative(rule)
                function.__module__ = module.__name__
                setattr(module, function.__name__, function)
        return module


def declarative(rule: Rule) -> Callable[..., None]:
    """Return the test function of a declarative rule: every resource for which the condition holds is a finding."""

    def check(findings: Any, rule: Any, prices: Any, **inventories: Any) -> None:
        (resources,) = inventories.values()
        for resource in resources:
            # A comparison that is known to fail decides, whatever else is unknown.
            unknown = [
                c
                for c in rule.condition
                if c.operator not in OF_ABSENCE and getattr(resource, c.field) is None
            ]
            if any(c not in unknown and not c.holds(getattr(resource, c.field)) for c in rule.condition):
                continue
            if unknown:
                findings.not_evaluated(resource, f"{unknown[0].field} is unknown")
            else:
                first = rule.condition[0]
                findings.report(
                    resource,
                    current=first.shown(getattr(resource, first.field)),
                    current_lines=resource.full_price(prices),
                    evidence={c.field: getattr(resource, c.field) for c in rule.condition},
                )

    name = f"test_{rule.id.replace('-', '_')}"
    keyword = inspect.Parameter.KEYWORD_ONLY
    check.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(argument, keyword) for argument in (rule.resources, "findings", "rule", "prices")]
    )
    check.__name__ = check.__qualname__ = name
    check.__doc__ = rule.description
    return rule_mark(rule.id)(check)
