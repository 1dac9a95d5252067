"""The pytest plugin: hooks only; everything else is done by the modules that they name."""

from __future__ import annotations

import os
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from . import options
from .marks import MARKER

if TYPE_CHECKING:
    from .session import AuditSession

#: The check session of this process, once a check or an option asked for one.
SESSION: pytest.StashKey[AuditSession] = pytest.StashKey()
#: What ``pytest --markers`` prints; its reader may never have heard of this plugin.
RULE_MARKER = (
    f"{MARKER}(rule_id, subject=None): judge a test of AWS cost by the rule 'rule_id' of a YAML rule file beside it or shipped; "
    "it then runs once per account and region of an audit (--finops-profile, --finops-demo). 'subject' names the "
    "inventory fixture whose resources are judged, by default the test's first one. Written through the package: "
    'import pytest_finops as finops; @finops.rule("ebs-gp2-to-gp3"). Select all such tests with -m finops_rule. '
    "See https://github.com/pytest-finops/pytest-finops/blob/main/docs/extending.md"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options; nothing else happens in unrelated runs."""
    options.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hook specifications."""
    from . import hooks

    pluginmanager.add_hookspecs(hooks)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; start an audit if the command line or FINOPS_PROFILE asks for one."""
    config.addinivalue_line("markers", RULE_MARKER)
    if config.option.showfixtures or config.option.show_fixtures_per_test:
        from .session import register_fixtures

        register_fixtures(config)
        return
    asked = any(
        name.startswith("finops_") and value not in (None, []) for name, value in vars(config.option).items()
    )
    if asked or os.environ.get("FINOPS_PROFILE"):
        start(config)


def start(config: pytest.Config) -> AuditSession:
    """Return the audit session of this process, started on first need."""
    found = config.stash.get(SESSION, None)
    if found is None:
        from .session import AuditSession

        found = config.stash[SESSION] = AuditSession(config)
        config.pluginmanager.register(found, "pytest_finops_session")
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Start an audit session when the first check is collected."""
    # Looked at by type alone: whatever else stands in a module may not be touched by a plugin that nobody asked.
    if type(obj) in (FunctionType, staticmethod, classmethod) and collector.funcnamefilter(name):
        marks = getattr(obj, "pytestmark", ())
        if isinstance(marks, list) and any(getattr(mark, "name", "") == MARKER for mark in marks):
            start(collector.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear from a worker that it met checks while nothing names a target."""
    told = (getattr(node, "workeroutput", None) or {}).get("finops")
    if told:
        start(node.config).without_target(**told)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Any:
    """Collect rule files, in an audit only."""
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    session = parent.config.stash.get(SESSION, None)
    if session is None and "checks" not in file_path.parts:
        return None
    if session is None and not _names_checks(parent.config):
        return None
    return (session or start(parent.config)).collect_rules(file_path, parent)


def _names_checks(config: pytest.Config) -> bool:
    # `pytest checks/` without a target must say what to add, and --co list, also when all checks are declarative.
    if config.args_source == pytest.Config.ArgsSource.INVOCATION_DIR:
        return False
    named = ["checks" in Path(arg.split("::")[0]).parts for arg in config.args]
    return any(named) if config.option.collectonly else bool(named) and all(named)


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Say what makes a target where nothing was collected and settings of ours stand that make none."""
    if exitstatus != pytest.ExitCode.NO_TESTS_COLLECTED or SESSION in config.stash:
        return
    if config.args_source == pytest.Config.ArgsSource.ARGS and not _names_checks(config):
        return
    here = config.invocation_params.dir
    found = [option.variable for option in options.OPTIONS if os.environ.get(option.variable, "").strip("0 ")]
    # Its name is enough: no file is opened in a run that audits nothing.
    found += ["finops.yaml"] if any((at / "finops.yaml").is_file() for at in (here, *here.parents)) else []
    if found:
        from .session import nothing_audited

        terminalreporter.write_line(nothing_audited(config, found))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say the last line, after pytest's own."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        session.last_line()
