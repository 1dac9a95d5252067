"""The fixtures that every check has: findings, rule, prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .errors import PlanError
from .marks import TARGETS_FIXTURE

if TYPE_CHECKING:
    from .prices.resolver import PriceBook
    from .recorder import BoundRule, Recorder
    from .run import AuditRun


def _run(config: pytest.Config) -> AuditRun:
    from .run import RUN

    run = config.stash.get(RUN, None)
    if run is None or run.scope is None:
        raise PlanError("findings, rule and prices belong to tests that are marked with @finops.rule")
    return run


@pytest.fixture(scope="session", name=TARGETS_FIXTURE)
def _finops_targets(request: pytest.FixtureRequest) -> Any:
    return getattr(request, "param", None)


@pytest.fixture
def findings(request: pytest.FixtureRequest) -> Recorder:
    """Reports what a check finds: ``findings.report(volume, current_lines=[...])``, ``findings.not_evaluated(volume, reason)``.

    ``findings.note(resource, text)`` says something without money. The test fails by itself when it reported.
    """
    recorder = _run(request.config).recorder
    assert recorder is not None
    return recorder


@pytest.fixture
def rule(request: pytest.FixtureRequest) -> BoundRule:
    """The rule of the check, as its YAML file and ``finops.yaml`` say: ``rule.holds(volume)``, ``rule.value_of("age_days")``."""
    bound = _run(request.config).bound_rule
    assert bound is not None
    return bound


@pytest.fixture
def prices(request: pytest.FixtureRequest) -> PriceBook:
    """List prices in USD a month: ``prices.line("ec2.ipv4.idle", address, 730)``, a line with SKU, source and date.

    Attributes of the dimension follow as keywords; a price that nobody knows is a line whose amount is None.
    """
    return _run(request.config).prices
