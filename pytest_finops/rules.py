"""Rules: the YAML metadata that a check is judged by."""

from __future__ import annotations

import operator as op
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from .findings import Action, Effort, Kind, Risk, Severity

Operator = Literal[
    "less_than", "less_or_equal", "greater_than", "greater_or_equal", "equals", "not_equals", "in", "not_in",
    "matches_regex", "exists", "absent", "older_than_days",
]  # fmt: skip
CheckType = Literal["metric", "resource_state", "tag_check"]

CATEGORIES = ("compute", "storage", "database", "network", "commitments", "observability", "governance")
#: CloudWatch keeps no data point longer.
KEPT_DAYS = 455
RULE_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")


def _number(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "less_than": lambda a, b: _number(a) < _number(b),
    "less_or_equal": lambda a, b: _number(a) <= _number(b),
    "greater_than": lambda a, b: _number(a) > _number(b),
    "greater_or_equal": lambda a, b: _number(a) >= _number(b),
    # "older than 14 days" includes exactly 14 days (ruling 15 of the check catalogue).
    "older_than_days": lambda a, b: _number(a) >= _number(b),
    "equals": op.eq,
    "not_equals": op.ne,
    "in": lambda a, b: a in b,
    "not_in": lambda a, b: a not in b,
    "matches_regex": lambda a, b: re.search(str(b), str(a)) is not None,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a documented property of the resource with a value; ``unit`` is for people."""

    field: str
    operator: Operator
    value: Any = None
    unit: str = ""

    def holds(self, actual: Any) -> bool:
        """Return whether ``actual`` satisfies the comparison; an unknown (None) satisfies only ``absent``."""
        if self.operator == "exists":
            return actual is not None
        if self.operator == "absent":
            return actual is None
        if actual is None:
            return False
        return _COMPARE[self.operator](actual, self.value)

    @property
    def text(self) -> str:
        """The comparison for people: ``< 20%``, ``>= 7 days``; a yes-or-no field by its name."""
        symbols = {
            "less_than": "<", "less_or_equal": "<=", "greater_than": ">", "greater_or_equal": ">=",
            "equals": "=", "not_equals": "!=", "older_than_days": ">=",
        }  # fmt: skip
        if isinstance(self.value, bool):
            return self.shown(self.value if self.operator == "equals" else not self.value)
        shown = "" if self.value is None else f" {self.shown(self.value)}"
        return f"{symbols.get(self.operator, self.operator.replace('_', ' '))}{shown}"

    def shown(self, value: Any) -> str:
        """Return a value of the field for people: ``120 days``, ``not managed``."""
        if isinstance(value, bool):
            name = self.field.removeprefix("is_").replace("_", " ")
            return name if value else f"not {name}"
        if value is None:
            return "none"
        if isinstance(value, list | tuple):
            return ", ".join(map(str, value))
        unit = self.unit or ("days" if self.operator == "older_than_days" else "")
        suffix = "" if not unit else ("%" if unit in ("percent", "%") else f" {unit}")
        return f"{round(value, 1) if isinstance(value, float) else value}".removesuffix(".0") + suffix


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: identity, words, classification and condition of a check, as its YAML file and ``finops.yaml`` say.

    ``period_days`` is the look-back of metric rules (0 = none); ``resources`` and ``savings`` make it declarative;
    ``prune`` False keeps it from being left out where nothing is spent; ``source`` is ``file:line`` of its definition.
    """

    id: str
    name: str
    description: str
    category: str
    severity: Severity
    effort: Effort
    risk: Risk
    kind: Kind
    action: Action
    service: str
    check_type: CheckType
    condition: tuple[Condition, ...]
    recommendation: str
    remediation_effort: str
    rollback: str
    docs_url: str
    aws_doc: str
    restart: bool = False
    metric: str = ""
    period_days: int = 0
    compliance_skip: tuple[str, ...] = ()
    resources: str = ""
    savings: str = ""
    enabled: bool = True
    prune: bool = True
    source: str = ""
    overridden: Mapping[str, Any] = field(default_factory=dict)

    @property
    def threshold(self) -> str:
        """The first condition for people: ``< 20%``."""
        return self.condition[0].text if self.condition else ""

    def value_of(self, name: str) -> Any:
        """Return the value of the condition on field ``name`` (a threshold); KeyError if the rule has none."""
        for condition in self.condition:
            if condition.field == name:
                return condition.value
        raise KeyError(f"rule {self.id} has no condition on {name!r}")

    def holds(self, resource: object, **values: Any) -> bool:
        """Return whether every condition holds for ``resource``.

        ``values`` gives measured fields (``cpu_average=6.2``) and wins over properties of the resource;
        AttributeError names a field that is neither.
        """
        for condition in self.condition:
            actual = (
                values[condition.field] if condition.field in values else getattr(resource, condition.field)
            )
            if not condition.holds(actual):
                return False
        return True
