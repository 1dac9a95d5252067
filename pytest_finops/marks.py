"""``@finops.rule``: what joins a test function to its rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

MARKER = "finops_rule"
#: The private fixture that is parametrized with the target sets of a check.
TARGETS_FIXTURE = "_finops_targets"
#: The name of the plugin that the console script hands to pytest.
CONSOLE = "finops-playbook"


def rule(rule_id: str, *, subject: str | None = None) -> Callable[[F], F]:
    """Join a test function to the rule ``rule_id`` of a YAML rule file beside it.

    :param subject: the inventory whose resources are judged; the first inventory argument unless named here.
    """
    import pytest

    from .errors import DeclarationError

    if not isinstance(rule_id, str):
        raise DeclarationError('@finops.rule needs the id of a rule: @finops.rule("ec2-low-cpu")')

    def decorate(function: F) -> F:
        marked = pytest.mark.finops_rule(rule_id, subject=subject)(function)
        joined: F = pytest.mark.usefixtures(TARGETS_FIXTURE)(marked)
        return joined

    return decorate
