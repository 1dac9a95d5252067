"""The hooks that pytest-finops calls (``pytest_finops_*``): where a team changes targets, findings and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .audit import Audit
    from .findings import Finding
    from .plan import Plan
    from .resources import Target


@pytest.hookspec
def pytest_finops_targets(config: pytest.Config, targets: list[Target]) -> None:
    """Change the list of targets in place, once they are resolved and before tests are parametrized.

    :param config: The pytest config.
    :param targets: The resolved targets; remove or reorder them in place.

    Use in conftest plugins
    =======================

    Any conftest plugin can implement this hook.
    """


@pytest.hookspec
def pytest_finops_plan(config: pytest.Config, plan: Plan) -> None:
    """Look at the plan before anything of it is sent.

    :param config: The pytest config.
    :param plan: The planned cells and series; raise ``pytest.UsageError`` to refuse the run.

    Use in conftest plugins
    =======================

    Any conftest plugin can implement this hook.
    """


@pytest.hookspec(firstresult=True)
def pytest_finops_finding(config: pytest.Config, finding: Finding) -> Finding | None:
    """Return a changed finding, before exemptions and baseline are applied.

    Stops at first non-None result, see :ref:`firstresult`. Runs where the check runs: in a worker under ``-n``.

    :param config: The pytest config.
    :param finding: The finding as the check reported it.
    :returns: The finding to go on with, or None to keep it.

    Use in conftest plugins
    =======================

    Any conftest plugin can implement this hook.
    """


@pytest.hookspec(firstresult=True)
def pytest_finops_overlaps(config: pytest.Config, findings: Sequence[Finding]) -> Sequence[Finding] | None:
    """Return the findings with ``counted_monthly_savings`` set, so that no dollar is counted twice.

    Stops at first non-None result, see :ref:`firstresult`.

    :param config: The pytest config.
    :param findings: All findings of the audit.
    :returns: The counted findings, or None to leave it to the next implementation.

    Use in conftest plugins
    =======================

    Any conftest plugin can implement this hook.
    """


@pytest.hookspec(firstresult=True)
def pytest_finops_priority(config: pytest.Config, finding: Finding) -> int | None:
    """Return the priority of a finding (1 = first), or None for the usual ranking.

    Stops at first non-None result, see :ref:`firstresult`.

    :param config: The pytest config.
    :param finding: A counted finding.
    :returns: The place that the finding takes, or None.

    Use in conftest plugins
    =======================

    Any conftest plugin can implement this hook.
    """


@pytest.hookspec(firstresult=True)
def pytest_finops_audit(config: pytest.Config, audit: Audit) -> Audit | None:
    """Return a changed audit, before it is gated on and reported.

    Stops at first non-None result, see :ref:`firstresult`.

    :param config: The pytest config.
    :param audit: The frozen audit.
    :returns: The audit to report, or None to keep it.

    Use in conftest plugins
    =======================

    Any conftest plugin can implement this hook.
    """


@pytest.hookspec
def pytest_finops_report_formats(config: pytest.Config) -> Mapping[str, Callable[[Audit], str]]:
    """Return report formats by name, each a function from an audit to text.

    :param config: The pytest config.
    :returns: Formats that ``--finops-report NAME[:PATH]`` may name.

    Use in conftest plugins
    =======================

    Any conftest plugin can implement this hook.
    """
    raise AssertionError("a specification is never called")


@pytest.hookspec
def pytest_finops_template_context(config: pytest.Config, audit: Audit, template: str) -> Mapping[str, Any]:
    """Return names to add to the context of a report template.

    :param config: The pytest config.
    :param audit: The audit that is rendered.
    :param template: The template's file name.
    :returns: Names and values.

    Use in conftest plugins
    =======================

    Any conftest plugin can implement this hook.
    """
    raise AssertionError("a specification is never called")


@pytest.hookspec
def pytest_finops_notify(config: pytest.Config, audit: Audit) -> None:
    """Tell somebody about a finished audit; called once, in the main process, after the reports are written.

    :param config: The pytest config.
    :param audit: The audit.

    Use in conftest plugins
    =======================

    Any conftest plugin can implement this hook.
    """
