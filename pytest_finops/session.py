"""The hooks of an audit: registered only when a check or an option asks for one."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from . import config as layers
from . import options, outputs, plan, predict, prune
from .documents import Problems
from .errors import AuditError, BlindTargets, ConfigError, DeclarationError, FindingsFound, FinopsError
from .findings import Finding, cents
from .gate import EXIT_BROKEN, closing_line
from .marks import CONSOLE, MARKER, TARGETS_FIXTURE
from .plan import Check
from .reports.text import block, count, safe
from .resources import GLOBAL, Target
from .results import Parcel, Row, dumps, loads
from .rulebook import Rulebook, shipped_checks
from .rules import Rule
from .run import RUN, AuditRun, blind_message, check_policies, findings_message
from .targets import TargetSet, check_region_names

SHIPPED_RUN = "there is no checks/ here: the shipped checks run"
SHIPPED_LEFT_OUT = "the shipped checks are not among these; add --pyargs pytest_finops.checks"

#: What a check may do while it has said nothing.
SKIPS = (pytest.skip.Exception, pytest.xfail.Exception)
#: Errors of a check; pytest.fail is no Exception.
CRASHES = (Exception, SystemExit, pytest.fail.Exception)

CHECK: pytest.StashKey[Check] = pytest.StashKey()
STATE: pytest.StashKey[ItemState] = pytest.StashKey()


class ItemState:
    """What happened to one running check."""

    def __init__(self) -> None:
        self.visible: list[Target] = []
        self.blind: dict[Target, list[Any]] = {}
        self.rows: dict[Target, Row] = {}
        self.refused = False
        self.setup_crash: BaseException | None = None
        self.crash: BaseException | None = None
        self.skip: str = ""


def register_fixtures(config: pytest.Config) -> None:
    """Register the inventory fixtures and findings, rule and prices: on demand, never in unrelated runs."""
    from importlib import import_module
    from pkgutil import iter_modules

    package = import_module("pytest_finops.fixtures")
    names = [f"{package.__name__}.{module.name}" for module in iter_modules(package.__path__)]
    for name in ["pytest_finops.check_fixtures", *names]:
        if not config.pluginmanager.has_plugin(name):
            config.pluginmanager.register(import_module(name), name)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Show our own errors as pytest's usage errors (exit status 4)."""
    try:
        yield
    except (ConfigError, AuditError, DeclarationError) as error:
        raise pytest.UsageError(str(error)) from error


class AuditSession:
    """The pytest side of an audit."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the settings.

        :raises pytest.UsageError: with a line for each of their mistakes.
        """
        self.config = config
        with usage_errors():
            given = options.given(config)
            more = self._added_reports(given)
            problems = Problems()
            settings = layers.resolve(given, os.environ, Path.cwd(), problems=problems)
            settings = replace(settings, report=(*settings.report, *more))
            source = settings.origins.get("rules", "").rpartition(":")[0] or "finops.yaml"
            self.settings = settings
            self.rules: dict[str, Rule] = {}
            self._collected: list[Rule] = []
            self.rulebook = Rulebook(settings.rules, source, config.rootpath)
            check_policies(settings, problems)
            if problems:
                # What is otherwise found after collection is told as well: one run, every mistake.
                with problems.collecting():
                    self._check_names()
                check_region_names(settings, problems)
            problems.raise_any()
            if layers.has_target(settings) and not hasattr(config, "workerinput"):
                outputs.check(settings)
            self.run = AuditRun(config, settings)
        config.stash[RUN] = self.run
        self.has_target = layers.has_target(settings) or "finops" in getattr(config, "workerinput", {})
        self.run.known_rules = lambda: {rule.id for rule in self.rules.values()} | self.rulebook.ids()
        self.worker = hasattr(config, "workerinput")
        self.controller = bool(getattr(config.option, "tx", None)) and not self.worker
        self._ending = ""
        self._unwritten: list[str] = []
        self._nothing_met = self._shipped = self._no_target = self._told = False
        self.mistakes: dict[str, None] = {}
        self._sources: dict[Path, str] = {}
        self._untested: list[str] = []
        self._sets: dict[str, list[TargetSet]] = {}
        self._met: set[str] = set()
        self._judged: set[str] = set()
        self._check_ids: set[str] = set()
        self._undiscovered = self._refused = self._predicted = False
        register_fixtures(config)
        if self.has_target:
            from .html_hooks import HtmlHooks

            config.pluginmanager.register(HtmlHooks(self.run), "pytest_finops_html")
            self._default_paths(bare=not given)
        if self.controller and (settings.dry_run or settings.estimate_cost):
            config.option.dist = "no"
            config.option.tx = []
            # Where xdist was configured first, it stands ready already.
            workers = config.pluginmanager.get_plugin("dsession")
            if workers is not None:
                config.pluginmanager.unregister(workers)
            self.controller = False

    def _added_reports(self, given: dict[str, Any]) -> list[options.ReportRequest]:
        """Take the reports out of ``given`` whose format a conftest adds: the option table knows only our own."""
        hook = self.config.hook.pytest_finops_report_formats
        added = {name for formats in hook(config=self.config) for name in formats}
        ours: list[str] = []
        found: list[options.ReportRequest] = []
        for raw in given.get("report", ()):
            name, _, path = raw.partition(":")
            if name in added:
                found.append(options.ReportRequest(name, Path(path).expanduser() if path else None))
            else:
                ours.append(raw)
        if found:
            given["report"] = ours
        return found

    def _default_paths(self, bare: bool) -> None:
        """Run ./checks, or the shipped checks where there is none; ``bare``: nothing but FINOPS_PROFILE asks."""
        named = list(self.config.args)
        if self.config.args_source != pytest.Config.ArgsSource.ARGS:
            if getattr(self.config.option, "pyargs", False):
                return
            if bare:
                # It may stand in every job of a CI: a bare pytest runs what it would run without it, if anything.
                self._nothing_met = not self.worker
                if self.worker and json.loads(self.config.workerinput["finops"])["shipped"]:  # type: ignore[attr-defined]
                    self.config.args = [str(shipped_checks())]
                return
            named = ["checks"]
        here = self.config.invocation_params.dir / "checks"
        if not here.exists() and any(arg.rstrip("/") == "checks" for arg in named):
            named = [str(shipped_checks()) if arg.rstrip("/") == "checks" else arg for arg in named]
            self.run.said.append(SHIPPED_RUN)
        self.config.args = named

    # --- collection -------------------------------------------------------------------------------------------------

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Know that there is something of the user's own to run, and which rules are met."""
        self._nothing_met = False
        marked = plan.marked_rule(item)
        if marked:
            self._judged.add(marked[0])

    def _or_shipped(self, session: pytest.Session) -> None:
        """Collect the shipped checks where FINOPS_PROFILE names a target and there is nothing else to run."""
        if self._nothing_met and not session.testsfailed:
            self._nothing_met = False
            self._shipped = True
            self.run.said.append(SHIPPED_RUN)
            self.config.args = [str(shipped_checks())]
            session.perform_collect()

    def collect_rules(self, path: Path, parent: pytest.Collector) -> Any:
        """Return a collector for a rule file with declarative rules, or None."""
        from .rule_files import looks_like_rules
        from .yaml_rules import RuleFile

        if not self._is_check_path(path) or not looks_like_rules(path):
            return None
        try:
            rules = self.rulebook.file(path)
        except ConfigError as error:
            self._mistake(error)
            return None
        self._collected += rules
        for rule in rules:
            if rule.enabled and not rule.resources and not self._has_test(rule.id, path.parent):
                self._untested.append(
                    f"{rule.source}: rule {rule.id} has no resources and no test beside or below its file, so it would "
                    f'never run; write a test with @finops.rule("{rule.id}"), or set enabled: false'
                )
        if not any(rule.resources for rule in rules):
            return None
        module = RuleFile.from_parent(parent, path=path)
        module.rules = tuple(rule for rule in rules if rule.enabled)
        return module

    def _has_test(self, rule_id: str, folder: Path) -> bool:
        """Whether a file names the rule: a selection may leave the test itself out."""
        if folder not in self._sources:
            files = (path for path in folder.rglob("*.py") if path.is_file())
            self._sources[folder] = "\n".join(path.read_text("utf-8", "replace") for path in files)
        return re.search(rf"""["']{re.escape(rule_id)}["']""", self._sources[folder]) is not None

    def _is_check_path(self, path: Path) -> bool:
        if "checks" in path.parts:
            return True
        return any(
            (self.config.rootpath / entry) in (path, *path.parents)
            for entry in self.config.getini(options.RULE_PATHS)
        )

    def _rule(self, rule_id: str, beside: Path) -> Rule:
        key = f"{beside}:{rule_id}"
        if key not in self.rules:
            self.rules[key] = self.rulebook.find(rule_id, beside)
        return self.rules[key]

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrize a check over its target sets."""
        marked = plan.marked_rule(metafunc.definition)
        if marked is None or TARGETS_FIXTURE not in metafunc.fixturenames or not self.has_target:
            return
        from . import targets as resolving

        rule_id, subject = marked
        self._met.add(metafunc.definition.nodeid)
        function = metafunc.function
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            self._mistake(
                f"{metafunc.definition.nodeid}: a check is no async function: nothing would await it"
            )
            return
        try:
            rule = self._rule(rule_id, metafunc.definition.path)
            _refuse_second_test(metafunc.definition, rule)
            subjects, _, _ = plan.resolve(metafunc.definition, rule, subject)
        except (ConfigError, DeclarationError) as error:
            self._mistake(error)
            return
        if not self._discover():
            return
        group = resolving.grouping(self.run.targets, self.settings.group)
        level = subjects[0].level
        if level not in self._sets:
            self._sets[level] = resolving.target_sets(self.run.targets, group, level, self.run.payer)
        sets = self._sets[level]
        assert self.run.discovery is not None
        if not self.run.targets and self.run.discovery.failed:
            # A shard of nothing but accounts that could not be entered: each check says so.
            sets = [TargetSet("not-entered", ())]
        if not sets:
            return  # another shard's: left out with the other deselected checks
        metafunc.parametrize(
            TARGETS_FIXTURE, sets, indirect=True, ids=[one.id for one in sets], scope="session"
        )

    def _only_looks(self) -> bool:
        """Whether pytest is asked what there is, and nothing will be judged: then AWS is asked nothing."""
        option = self.config.option
        return bool(
            option.collectonly or option.showfixtures or option.show_fixtures_per_test or option.setuponly
        )

    def _discover(self) -> bool:
        """Resolve the targets on the first check; a mistake is told once, after collection."""
        if self.run.discovery is not None:
            return True
        if self._undiscovered:
            return False
        offline = self.settings.estimate_cost or self._only_looks()
        try:
            self.run.discover(offline)
        except (ConfigError, AuditError) as error:
            self._undiscovered = True
            self._mistake(error)
            return False
        if not self.worker:
            self.config.hook.pytest_finops_targets(config=self.config, targets=self.run.targets)
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect checks that are not asked for; refuse checks without a target, and every mistake at once."""
        checks = [item for item in items if plan.marked_rule(item)]
        rules: dict[pytest.Item, Rule] = {}
        for item in checks if self.has_target else ():
            try:
                rules[item] = self._rule(plan.marked_rule(item)[0], item.path)  # type: ignore[index]
            except ConfigError as error:
                self._mistake(error)
        for item in checks if self.has_target else ():
            if plan.covered(item) is None and item.nodeid not in self._met:
                self._mistake(
                    f"{item.nodeid}: @finops.rule belongs on a test function of pytest's own, which runs once "
                    "per target; this one cannot (a method of unittest.TestCase?)"
                )
        self._check_twins(checks)
        self._check_overrides(bool(checks))
        self._check_keyword(bool(checks))
        if not session.testsfailed:
            # A test file that cannot be imported says so itself.
            self.mistakes.update(dict.fromkeys(self._untested))
        self._refuse_mistakes()
        if not checks:
            return
        if not self.has_target:
            if config.option.collectonly:
                return
            alone = len(checks) == len(items)
            if alone and not self.worker:
                raise pytest.UsageError(f"these tests audit AWS and no target is named: {self._cure()}")
            self._deselect(items, checks)
            if self.worker:
                # A usage error of a worker would be pytest's internal error: the main process says it.
                self.config.workeroutput["finops"] = {"checks": len(checks), "alone": alone}  # type: ignore[attr-defined]
            else:
                self.without_target(len(checks), alone)
            return
        wanted = self.settings.category
        dropped = []
        for item, rule in rules.items():
            if not rule.enabled or (wanted and rule.category not in wanted):
                dropped.append(item)
            elif self.run.discovery is not None and plan.covered(item) is None:
                self.run.elsewhere.add(rule.id)
                dropped.append(item)
        if dropped:
            self._deselect(items, dropped)

    def _mistake(self, error: Exception | str) -> None:
        """Keep a mistake to be told with all others after collection, once."""
        self.mistakes.update(dict.fromkeys(block(error).splitlines()))

    def _refuse_mistakes(self) -> None:
        if self.mistakes:
            raise pytest.UsageError("\n".join(self.mistakes))

    def _check_twins(self, checks: Sequence[pytest.Item]) -> None:
        """Refuse two tests of one rule on one target: the row of one would hide that of the other."""
        seen: dict[tuple[str, Target], str] = {}
        for item in checks:
            covered, marked, own = plan.covered(item), plan.marked_rule(item), item.nodeid
            for target in covered.targets if covered and marked else ():
                first = seen.setdefault((marked[0], target), own)  # type: ignore[index]
                if first != own:
                    self._mistake(
                        f"rule {marked[0]} belongs to exactly one test, which is not parametrized: "  # type: ignore[index]
                        f"{first} and {item.nodeid} both judge {target}"
                    )
                    return

    def _check_overrides(self, checks: bool) -> None:
        """Find names in finops.yaml that no rule has; a subset that is selected makes no rule unknown."""
        if not checks or self.worker:
            return
        try:
            self._check_names()
        except ConfigError as error:
            self._mistake(error)

    def _check_names(self) -> None:
        folders = [self.config.invocation_params.dir / "checks"]
        folders += [self.config.rootpath / entry for entry in self.config.getini(options.RULE_PATHS)]
        known = [*self._collected, *self.rules.values()]
        self.rulebook.check_names(self.settings, known, [folder for folder in folders if folder.is_dir()])

    def _grouped_ids(self) -> list[str]:
        """Return the ids that tests would have with one target each, while they are grouped."""
        from . import targets as resolving

        if resolving.grouping(self.run.targets, self.settings.group) == "region":
            return []
        return [one.id for one in resolving.target_sets(self.run.targets, "region", "region")]

    def _check_keyword(self, checks: bool) -> None:
        """Refuse -k on a target while targets are grouped: it would select nothing."""
        words = set(re.findall(r"[^\s()]+", self.config.option.keyword.lower())) - {"and", "or", "not"}
        if checks or not words:
            return
        named = [word for word in sorted(words) if any(word in one.lower() for one in self._grouped_ids())]
        if named:
            self.mistakes[_grouped_message(f"-k {self.config.option.keyword!r}: {', '.join(named)}")] = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, object, object]:
        """Say why a test id does not exist, where we know."""
        with self._ids_explained():
            result = yield
            if not self.controller:
                self._or_shipped(session)
            return result

    @contextmanager
    def _ids_explained(self) -> Iterator[None]:
        try:
            yield
        except pytest.UsageError as error:
            self._refused = True
            # A check that was refused has no ids: its own mistake is the reason.
            self._refuse_mistakes()
            ids = self._grouped_ids()
            named = [arg for arg in self.config.args if any(arg.endswith(f"[{one}]") for one in ids)]
            if named:
                raise pytest.UsageError(_grouped_message(", ".join(named))) from error
            raise

    def without_target(self, checks: int, alone: bool) -> None:
        """Say that checks were deselected; ``alone``: there was nothing else to run, which is a usage error."""
        self._no_target = alone
        self._told = True
        self.run.said.append(
            f"these tests audit AWS and no target is named: {self._cure()}"
            if alone
            else f"{checks} AWS checks deselected: no target (add {targets_named(self.config)[0]})"
        )

    def _cure(self) -> str:
        """Return what to add for a target, and what was set that makes none."""
        origins = self.settings.origins
        fields = ("demo", "inventory", *layers.TARGET_FIELDS)
        idle = [f"{name} ({origins[name]})" for name in fields if origins[name] != layers.DEFAULT]
        return cure(self.config) + (f"; {' and '.join(idle)} makes none there" if idle else "")

    def _say_no_target(self, exitstatus: int) -> None:
        """Say what makes a target where options of ours were given, none does, and nothing else has told so."""
        ended = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self.has_target or self._told or self.worker or self._only_looks() or exitstatus not in ended:
            return
        flags = [option.flag for option in options.OPTIONS if option.key in options.given(self.config)]
        asked = any(str(arg).startswith("--finops-") for arg in self.config.invocation_params.args)
        if flags and (asked or exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED):
            self.run.said.append(nothing_audited(self.config, flags))

    def _deselect(self, items: list[pytest.Item], dropped: Sequence[pytest.Item]) -> None:
        gone = set(dropped)
        items[:] = [item for item in items if item not in gone]
        self.config.hook.pytest_deselected(items=list(dropped))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Make the plan, from what is selected now."""
        if not self.has_target or self.run.discovery is None:
            return
        if self.config.option.setuponly:
            # Fixtures have nothing to hold: --setup-only shows of checks what --setup-plan shows.
            self.config.option.setupplan = True
            return
        checks: list[Check] = []
        for item in session.items:
            marked = plan.marked_rule(item)
            targets = plan.covered(item)
            if marked is None or targets is None:
                continue
            rule = self._rule(marked[0], item.path)
            subjects, inventories, metrics = plan.resolve(item, rule, marked[1])  # type: ignore[arg-type]
            check = Check(
                rule, subjects, inventories, metrics, targets, self._skip_reason(rule, inventories, metrics),
                plan.filtered(item),  # type: ignore[arg-type]
            )  # fmt: skip
            item.stash[CHECK] = check
            checks.append(check)
            self._check_ids.add(item.nodeid)
        self.run.beside = self._enrichments(session)
        with usage_errors():
            if not self.worker and self._leaves_shipped_out():
                self.run.said.append(SHIPPED_LEFT_OUT)
            self.run.plan = plan.build(
                checks, self.run.targets, self.run.payer, self.run.pruned, self.run.beside
            )
        if not self.worker:
            self.config.hook.pytest_finops_plan(config=self.config, plan=self.run.plan)
        self.run.expect(checks)
        chosen = any(argument.startswith("--tb") for argument in self.config.invocation_params.args)
        if checks and len(checks) == len(session.items) and not chosen:
            # pytest's failure summary is quadratic in failures (measured); findings have their own summary.
            self.config.option.tbstyle = "no"

    def _leaves_shipped_out(self) -> bool:
        """Whether ./checks runs since no path was named, and none of the shipped checks with it (nor a copy)."""
        console = self.config.pluginmanager.get_plugin(CONSOLE)
        named = self.config.args_source == pytest.Config.ArgsSource.ARGS
        if console is not None:
            named = getattr(console, "named", True)
        return not named and self.without_shipped()

    def without_shipped(self) -> bool:
        """Whether checks were collected from ./checks, and none of them is a shipped one (nor a copy)."""
        if not self._judged or not (self.config.invocation_params.dir / "checks").is_dir():
            return False
        return not self._judged & self.rulebook.folder(shipped_checks(), deep=True).keys()

    def _enrichments(self, session: pytest.Session) -> list[Any]:
        """Return what the engine reads for itself; Cost Explorer only where it is allowed."""
        found = plan.enrichments(session)
        return [one for one in found if self.settings.cost_data or not plan.is_billable(one)]

    def _skip_reason(self, rule: Rule, inventories: Sequence[Any], metrics: Sequence[Any]) -> str:
        named = sorted(set(rule.compliance_skip) & set(self.settings.compliance))
        if named:
            return f"left out for compliance: {', '.join(named)}"
        if self.settings.skip_metrics and any(not metric.optional for metric in metrics):
            return "needs CloudWatch metrics (--finops-skip-metrics)"
        if not self.settings.cost_data and any(i.service == "ce" and not i.optional for i in inventories):
            return "needs Cost Explorer, 0.01 USD a page (--finops-cost-data)"
        return ""

    # --- collecting from AWS ------------------------------------------------------------------------------------------

    @staticmethod
    def _collected_enough(session: pytest.Session) -> bool:
        return not session.testsfailed or bool(session.config.option.continue_on_collection_errors)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Collect from AWS before the first test; a prediction stops here."""
        if (
            self.run.plan
            and self.run.plan.checks
            and self._collected_enough(session)
            and not self._only_looks()
            and not self.controller
        ):
            if self.settings.estimate_cost:
                self._estimate()
            else:
                self._collect(spool=False)
            if self.settings.dry_run or self.settings.estimate_cost:
                self._print_prediction()
                session.items.clear()
        return (yield)

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_xdist_setupnodes(self, config: pytest.Config, specs: object) -> None:
        """Collect the tests here too, and from AWS, before workers start: they read and judge, nothing else."""
        session: Any = config.pluginmanager.get_plugin("session")
        if not self.controller or session is None or not self.has_target:
            return
        with self._ids_explained():
            session.perform_collect()
            self._or_shipped(session)
        if (
            self.run.plan
            and self.run.plan.checks
            and self._collected_enough(session)
            and not self._only_looks()
        ):
            try:
                self._collect(spool=True)
            except (KeyboardInterrupt, pytest.UsageError) as error:
                # pytest ends a session that did not start without its last hook: the report is due all the same.
                stopped = isinstance(error, KeyboardInterrupt)
                self.pytest_sessionfinish(
                    session, pytest.ExitCode.INTERRUPTED if stopped else pytest.ExitCode.USAGE_ERROR
                )
                raise
        session.items = []
        session.testscollected = 0
        session.testsfailed = 0

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand targets, clock and answers over to a worker."""
        from .targets import to_plain

        node.workerinput["finops"] = json.dumps(
            {
                "now": self.run.now.isoformat(), "targets": to_plain(self.run.targets), "payer": self.run.payer,
                "pruned": sorted(self.run.pruned),
                "failed": [
                    (one.name, (one.fault.kind, one.fault.code, one.fault.message), one.service, one.operation)
                    for one in (self.run.discovery.failed if self.run.discovery else ())
                ],
                "directory": str(self.run.scratch.absolute()) if self.run.scratch else None,
                "prices": str(self.run.price_file) if self.run.price_file else None, "shipped": self._shipped,
            }
        )  # fmt: skip

    def _say(self, text: str, verbosity: int = 0) -> None:
        self._lay_out(block(text), verbosity)

    def _lay_out(self, text: str, verbosity: int = 0) -> None:
        """Print text of our own making, columns and all; what AWS said goes through ``_say``."""
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self.config.get_verbosity() >= verbosity and not self.worker:
            reporter.ensure_newline()
            reporter.write_line(text)

    def _collect(self, spool: bool) -> None:
        run = self.run
        assert run.plan is not None
        if self.worker and not run.targets:
            return  # no account of this shard could be entered: there are no answers to read
        live = not self.worker and run.saved is None
        if live:
            dry = run.settings.dry_run
            planned = (run.sure_plan() or run.plan).cells
            roots = sum(1 for one, _ in planned if not (one.per or (dry and plan.is_billable(one))))
            paid = f"billable ones for at most {run.settings.max_api_cost} USD (--finops-max-api-cost)"
            self._say(
                f"this run: at least {roots + run.ledger.total_calls:,} calls over {count(len(run.targets), 'target')}, "
                f"{'none of them billable' if dry else paid}"
            )
        begun = time.monotonic()
        with usage_errors():
            try:
                run.collect(self._say, self._progress(), spool=spool)
            except FinopsError as error:
                # pytest prints all of it as its own error.
                run.refused = f"the run was refused: {safe(str(error).partition(chr(10))[0])}"
                raise
        if live:
            self._say(
                f"collected: {run.ledger.total_calls:,} calls, {cents_or_less(run.ledger.total_cost)} USD, "
                f"{time.monotonic() - begun:.1f} s"
            )

    def _progress(self) -> Callable[[int, int], None] | None:
        """Return what shows progress: a bar on a terminal, elsewhere a line every ten seconds."""
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        if self.worker or reporter is None or self.config.get_verbosity() < 0:
            return None
        if not reporter.isatty:
            said = time.monotonic()

            def say(done: int, total: int) -> None:
                nonlocal said
                if time.monotonic() - said >= PROGRESS_SECONDS:
                    said = time.monotonic()
                    self._say(f"collecting: {done:,} of {total:,} calls known so far")

            return say

        def show(done: int, total: int) -> None:
            width = 30
            filled = width * done // max(1, total)
            reporter.rewrite(
                f"collecting [{'#' * filled}{'.' * (width - filled)}] {done}/{total}", erase=True
            )

        return show

    def _estimate(self) -> None:
        """Predict without asking AWS: from a saved inventory, or from the plan alone."""
        run = self.run
        assert run.plan is not None
        if run.saved is not None:
            run.collect(self._say)
        else:
            run.prediction = predict.assumed(
                run.plan, run.targets, metrics=not self.settings.skip_metrics, more=run.prune_requests(),
                sure=run.sure_plan(), per_account=run.discovery is not None and not run.discovery.accounts_known,
            )  # fmt: skip

    def _print_prediction(self) -> None:
        from .reports import prediction

        made = self.run.prediction
        self._predicted = True
        for request in self.settings.report:
            if request.format == "json":
                text = json.dumps(prediction.document(made), indent=2) + "\n"
                if request.path is None:
                    sys.stdout.write(text)
                else:
                    request.path.parent.mkdir(parents=True, exist_ok=True)
                    request.path.write_text(text, encoding="utf-8")
            else:
                named = request.format + (f":{request.path}" if request.path else "")
                self.run.said.append(f"report not written: {named}: a prediction is written as json only")
        # As an audit's summary: -q leaves it, -qq does not.
        self._say("", -1)
        for line in prediction.lines(made, replayed=self.run.saved is not None):
            self._lay_out(line, -1)

    # --- one item -----------------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
        """Know which fixture is being set up: what a view shows belongs to one test."""
        from .declare import declaration_of

        own = declaration_of(fixturedef.func) is not None or fixturedef.argname == TARGETS_FIXTURE
        if own:
            return (yield)
        self.run.setups.append((fixturedef.argname, fixturedef.scope))
        try:
            return (yield)
        finally:
            self.run.setups.pop()

    # Innermost: what raises here must find the set-up of pytest's own wrappers done.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Find out what the check can see; refuse to run it blind."""
        check = item.stash.get(CHECK, None)
        if check is None:
            return (yield)
        state = item.stash[STATE] = ItemState()
        if check.skip:
            state.skip = check.skip
            pytest.skip(check.skip)
        for target in check.targets.targets:
            if check.is_pruned(target, self.run.pruned):
                state.rows[target] = Row(
                    rule_id=check.rule.id, account_id=target.account_id, region=target.region, outcome="skipped",
                    reason=prune.REASON,
                )  # fmt: skip
                continue
            blind = self.run.blindness(check, target)
            if blind:
                state.blind[target] = blind
                state.rows[target] = self.run.blind_row(check, target, blind)
            else:
                state.visible.append(target)
        if not state.visible:
            if not state.rows:
                assert self.run.discovery is not None
                failed = "; ".join(f"{one.name}: {one.fault}" for one in self.run.discovery.failed)
                raise BlindTargets(f"could not enter: {failed}")
            if all(row.outcome == "skipped" for row in state.rows.values()):
                pytest.skip(next(iter(state.rows.values())).reason)
            raise blind_message(state.blind)
        self.run.open_scope(check, state.visible)
        try:
            return (yield)
        except pytest.exit.Exception:
            raise
        except (Exception, pytest.fail.Exception, *SKIPS) as error:
            recorder = self.run.recorder
            assert recorder is not None
            # pytest's own marks skip here as well, before any fixture.
            if isinstance(error, SKIPS) and not recorder.said:
                raise
            if len(state.visible) == 1:
                crash = self._stopped(check, state.visible[0], state, error)
                state.refused = True
                if crash is None or crash is error:
                    raise
                raise crash from error
            state.setup_crash = error
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> object:
        """Run the check, then say what it found: no check can forget to fail."""
        check = pyfuncitem.stash.get(CHECK, None)
        if check is None:
            return None
        state = pyfuncitem.stash[STATE]
        recorder = self.run.recorder
        assert recorder is not None
        crash = state.setup_crash
        if crash is None:
            try:
                self._call(pyfuncitem)
                for target in state.visible:
                    state.rows[target] = self.run.row(check, target, recorder, self._hooked)
            except pytest.exit.Exception:
                raise
            except SKIPS as error:
                if len(state.visible) == 1 and not recorder.said:
                    raise
                crash = error
            except CRASHES as error:
                # Anything but findings is an error of the check.
                crash = error
        if crash is not None and len(state.visible) == 1:
            state.crash = self._stopped(check, state.visible[0], state, crash)
        elif crash is not None:
            self._one_by_one(pyfuncitem, check, state)
        rows = [state.rows[target] for target in state.visible]
        if any(row.outcome == "failed" or any(f.status == "new" for f in row.findings) for row in rows):
            raise findings_message(rows)
        if rows and all(row.outcome == "skipped" for row in rows):
            pytest.skip(
                rows[0].reason if len(rows) == 1 else "; ".join(dict.fromkeys(row.reason for row in rows))
            )
        return True

    def _hooked(self, finding: Finding) -> Finding:
        changed: Finding | None = self.config.hook.pytest_finops_finding(config=self.config, finding=finding)
        return changed or finding

    @staticmethod
    def _call(item: pytest.Function) -> None:
        names = item._fixtureinfo.argnames
        returned = item.obj(**{name: item.funcargs[name] for name in names})
        if inspect.iscoroutine(returned):
            returned.close()
        if inspect.isawaitable(returned) or inspect.isasyncgen(returned):
            raise FinopsError("the check returned something to await, and nothing awaits it")

    def _one_by_one(self, item: pytest.Function, check: Check, state: ItemState) -> None:
        """Judge each target of a group alone: one bad resource must not take every target with it."""
        for target in state.visible:
            self.run.open_scope(check, [target])
            try:
                rebuild(item)
                self._call(item)
                recorder = self.run.recorder
                assert recorder is not None
                state.rows[target] = self.run.row(check, target, recorder, self._hooked)
            except pytest.exit.Exception:
                raise
            except (*CRASHES, *SKIPS) as error:
                # Of this target alone; a crash is raised in teardown.
                crash = self._stopped(check, target, state, error)
                state.crash = state.crash or crash

    def _stopped(
        self, check: Check, target: Target, state: ItemState, error: BaseException
    ) -> BaseException | None:
        """Set the row of a target that the check did not come to the end of; return the crash, None for a skip."""
        recorder = self.run.recorder
        assert recorder is not None
        if not isinstance(error, SKIPS):
            if isinstance(error, SystemExit):
                error = RuntimeError(f"the check called sys.exit({error.code!r})")
            state.rows[target] = self._crashed(check, target, error)
            return error
        if not recorder.said:
            state.rows[target] = Row(
                rule_id=check.rule.id, account_id=target.account_id, region=target.region, outcome="skipped",
                reason=str(error.msg) or "skipped",
            )  # fmt: skip
            return None
        name = "xfail" if isinstance(error, pytest.xfail.Exception) else "skip"
        late = FinopsError(
            f"pytest.{name}({str(error.msg)!r}) after the check had said something: "
            "skip before, or use findings.not_evaluated"
        )
        row = self.run.row(check, target, recorder, self._hooked)
        state.rows[target] = replace(row, outcome="error", reason=str(late))
        return late

    @staticmethod
    def _crashed(check: Check, target: Target, error: BaseException) -> Row:
        said = (
            f"there is no fixture {error.argname!r}"
            if isinstance(error, pytest.FixtureLookupError)
            else error
        )
        text = " ".join(f"{type(error).__name__}: {said}".split())
        return Row(
            rule_id=check.rule.id, account_id=target.account_id, region=target.region, outcome="error",
            reason=f"the check crashed: {text[:300]}",
        )  # fmt: skip

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Raise what the call could not: a crash, and what could not be seen."""
        try:
            yield
        finally:
            if item.stash.get(CHECK, None) is not None:
                self.run.close_scope()
        state = item.stash.get(STATE, None)
        if state is None or state.refused or not state.visible:
            return
        if state.crash is not None:
            raise state.crash
        blind = {t: b for t, b in state.blind.items() if state.rows[t].outcome == "error"}
        if blind:
            raise blind_message(blind)
        faulty = [row for row in state.rows.values() if row.outcome == "error"]
        if faulty:
            raise BlindTargets("; ".join(dict.fromkeys(row.reason for row in faulty)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, Any]:
        """Say findings in one line; send rows home with the last report of the item."""
        report = yield
        check = item.stash.get(CHECK, None)
        state = item.stash.get(STATE, None)
        if check is None or state is None:
            return report
        rows = list(state.rows.values())
        error = getattr(call.excinfo, "value", None)
        if report.skipped and not state.skip and any(target not in state.rows for target in state.visible):
            state.skip = str(getattr(error, "msg", "")) or "skipped"
        if call.when != "setup" or not report.passed:
            # JUnit reads the properties of the last report, pytest-html those of each row.
            report.user_properties += self._properties(check, rows)
        if call.when == "call":
            if isinstance(error, FindingsFound):
                report.longrepr = str(error)
            elif state.crash is not None or any(row.outcome == "error" for row in rows):
                # The teardown raises: one error, not a pass (or a skip) and an error.
                report.outcome, report.longrepr, report.finops_hidden = "passed", None, True
            elif report.passed and any(row.findings for row in rows):
                report.outcome = "skipped"
                report.wasxfail = (
                    "; ".join(dict.fromkeys(row.reason for row in rows if row.reason)) or "known"
                )
        elif report.failed and isinstance(error, BlindTargets):
            report.longrepr = str(error)
        _disarm(report)
        if call.when == "teardown":
            parcel = Parcel(
                tuple(self._ended(check, state, report)),
                tuple(self.run.prices.export_usage()) if self.worker else (),
            )
            # Text only where it travels: a large organization has thousands of rows an item.
            report.finops = dumps(parcel) if self.worker else parcel
            state.rows.clear()
        return report

    @staticmethod
    def _properties(check: Check, rows: Sequence[Row]) -> list[tuple[str, str]]:
        from .reports.junit import properties

        findings = [finding for row in rows for finding in row.findings]
        amounts = [f.estimated_monthly_savings for f in findings]
        saved = sum((cents(amount) for amount in amounts if amount is not None), Decimal(0))
        pairs = [(target.account_id, target.region) for target in check.targets.targets]
        return properties(check.rule.id, pairs, len(findings), saved)

    def _ended(self, check: Check, state: ItemState, report: pytest.TestReport) -> list[Row]:
        rows = []
        erred = any(row.outcome == "error" for row in state.rows.values())
        for target in check.targets.targets:
            row = state.rows.get(target)
            if row is None:
                row = Row(
                    rule_id=check.rule.id,
                    account_id=target.account_id,
                    region=target.region,
                    outcome="skipped" if state.skip else "error",
                    reason=state.skip or "the test ended before it judged this target",
                )
            elif report.failed and row.outcome != "error" and not erred:
                row = replace(row, outcome="error", reason="a fixture of the check failed in teardown")
            rows.append(row)
        return rows

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> Any:
        """Show an error once: its call report is not a pass."""
        if getattr(report, "finops_hidden", False):
            return "", "", ""
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the rows of an item that pytest saw to its end."""
        if self.worker:
            return
        sent = getattr(report, "finops", None)
        if sent is not None:
            # Taken off the report, which pytest keeps to the end.
            del report.finops
            parcel = loads(sent) if isinstance(sent, str) else sent
            self.run.take(parcel.rows)
            self.run.merge_prices(parcel.prices)
        elif (
            report.failed
            and MARKER not in report.keywords
            and without_group(report.nodeid) not in self._check_ids
        ):
            # A worker that crashed leaves a report with nothing but the test's id.
            self.run.ordinary_failed += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Know what could not be collected: a file of checks is something that was not looked at."""
        if not report.failed or self.worker:
            return
        if self._is_check_path(self.config.rootpath / report.nodeid.partition("::")[0]):
            self.run.broken[report.nodeid] = None
        else:
            self.run.ordinary_failed += 1

    # --- the end --------------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Freeze the audit, judge it by the gate, write the reports."""
        run = self.run
        if self._no_target:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        if self.worker or run.discovery is None or run.plan is None or self._only_looks():
            return
        if self._refused:
            run.close()
            return
        if self.settings.dry_run or self.settings.estimate_cost:
            lost = [
                (f"{one.service}.{one.operation} in {one.name}", Target(one.name, GLOBAL), one.service, one.fault)
                for one in run.discovery.failed
            ] + [
                (f"{declaration.call} in {target}", target, declaration.service, fault)
                for (declaration, target), cell in run.store.cells.items()
                if (fault := cell.fault or cell.cut) and not declaration.optional
            ]  # fmt: skip
            blind = [
                f"could not look: {what}: {fault}"
                for what, target, service, fault in lost
                if not run.is_expected(target, service, fault)
            ]
            for line in blind:
                self._say(line, -1)
            nothing = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and not (self._predicted or run.spare)
            if nothing and not run.discovery.failed:
                session.exitstatus = exitstatus
            elif exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                session.exitstatus = 7 if blind else 0
            else:
                told = (
                    "the prediction lacks what could not be collected" if self._predicted else "no prediction"
                )
                self._ending = f"{told}: pytest ended with status {int(exitstatus)}"
            run.close()
            return
        if not run.rows and not run.spare:
            run.close()
            return
        if run.spare and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            exitstatus = pytest.ExitCode.OK
        hook = self.config.hook

        def overlap(found: Sequence[Any]) -> Sequence[Any]:
            counted: Sequence[Any] = hook.pytest_finops_overlaps(config=self.config, findings=found)
            return counted

        def priority(finding: Any) -> int | None:
            place: int | None = hook.pytest_finops_priority(config=self.config, finding=finding)
            return place

        audit = run.build(int(exitstatus), priority, overlap)
        changed = hook.pytest_finops_audit(config=self.config, audit=audit)
        if changed is not None:
            audit = run.judge_again(changed, int(exitstatus))
        run.audit = audit
        session.exitstatus = audit.exit_status
        self._ending = closing_line(audit.gate, audit.complete)
        if run.spare:
            # Nothing was found where nothing was looked at.
            self._ending += f"; shard {self.settings.shard} holds no account"
        self._write(audit)
        # A run that looked at nothing knows nothing.
        if self.settings.baseline and self.settings.update_baseline and not run.refused:
            from . import baseline

            try:
                kept = baseline.write(self.settings.baseline, audit.findings, run.looked())
            except ConfigError as error:
                self._unwritten.append(str(error))
            else:
                run.said.append(f"baseline written: {self.settings.baseline}, {count(kept, 'finding')}")
        if self._unwritten:
            # Whoever reads the file would miss it, so CI must notice.
            session.exitstatus = int(session.exitstatus) or EXIT_BROKEN
            self._ending += f"; exit status {int(session.exitstatus)}" if not audit.exit_status else ""
            self._ending += "".join(f"; {line}" for line in self._unwritten)
        hook.pytest_finops_notify(config=self.config, audit=audit)
        if run.settle(interrupted=int(exitstatus) == int(pytest.ExitCode.INTERRUPTED)):
            self._ending += "; --finops-resume asks only for what is missing"
        run.close()

    @pytest.hookimpl(trylast=True)
    def pytest_finops_overlaps(self, findings: Sequence[Any]) -> Sequence[Any]:
        """Count each dollar once: the waterfall over cost components."""
        from . import overlaps

        return overlaps.count(findings)

    def pytest_finops_report_formats(self, config: pytest.Config) -> Mapping[str, Any]:
        """The formats that are always there."""
        from . import reports

        return dict(reports.FORMATS)

    def _write(self, audit: Any) -> None:
        from . import reports

        formats: dict[str, Any] = {}
        for more in reversed(self.config.hook.pytest_finops_report_formats(config=self.config)):
            formats.update(more)
        for request in self.settings.report:
            template = {"html": "report.html.j2", "markdown": "report.md.j2"}.get(request.format)
            context: dict[str, Any] = {}
            if template is not None:
                for names in reversed(
                    self.config.hook.pytest_finops_template_context(
                        config=self.config, audit=audit, template=template
                    )
                ):
                    context.update(names)
            try:
                reports.write(audit, request.format, request.path, context=context, formats=formats)
            except FinopsError as error:
                self._unwritten.append(
                    f"report not written: {error}{self._rescued(audit, request, context, formats)}"
                )
            else:
                if request.path is not None:
                    self.run.said.append(f"{request.format} report: {request.path}")

    @staticmethod
    def _rescued(
        audit: Any, request: options.ReportRequest, context: Mapping[str, Any], formats: Mapping[str, Any]
    ) -> str:
        """Write a report elsewhere whose file refused it; return where, for the last line."""
        from . import reports

        def write(path: Path) -> None:
            reports.write(audit, request.format, path, context=context, formats=formats)

        found = None if request.path is None else outputs.rescue(request.path, write)
        return "" if found is None else f"; it is in {found}"

    def pytest_terminal_summary(self, terminalreporter: Any, exitstatus: int) -> None:
        """Print the audit in at most the terminal's width."""
        self._say_no_target(exitstatus)
        # A refused run has nothing to sum up.
        quiet = self.run.refused or self.config.get_verbosity() < -1
        audit = None if quiet else self.run.audit
        if audit is not None:
            from .reports.terminal import summary_lines

            terminalreporter.section("AWS cost audit")
            for line in summary_lines(audit, width=min(terminalreporter._tw.fullwidth, 160)):
                terminalreporter.write_line(line)
        if not self.worker:
            # The audit has told its own warnings above.
            told = () if audit is None else audit.warnings
            for line in dict.fromkeys(line for line in self.run.said if line not in told):
                terminalreporter.write_line(block(line))

    def last_line(self) -> None:
        """Print the verdict after pytest's own closing line."""
        self.run.close()
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        if self._ending and reporter is not None:
            reporter.write_line(self._ending)
            self._ending = ""


def targets_named(config: pytest.Config) -> tuple[str, ...]:
    """Return the options that make a target, as the command at hand writes them."""
    prefix = "--" if config.pluginmanager.has_plugin(CONSOLE) else "--finops-"
    return tuple(f"{prefix}{name}" for name in ("profile", "role", "inventory", "demo"))


def cure(config: pytest.Config) -> str:
    """Return what to add where a target is missing."""
    profile, role, inventory, demo = targets_named(config)
    return f"add {profile}=PROFILE, {role}=ARN, {inventory}=DIR, or {demo} for the sample estate"


def nothing_audited(config: pytest.Config, settings: Sequence[str]) -> str:
    """Return what to say where ``settings`` stand and none of them makes a target."""
    makes = "makes" if len(settings) == 1 else "make"
    return f"nothing was audited: {', '.join(settings)} {makes} no target; {cure(config)}"


#: Where there is no terminal, collection says how far it is this often.
PROGRESS_SECONDS = 10


def _grouped_message(named: str) -> str:
    return (
        f"{named} names a target, but one test covers several targets here (--finops-group): "
        "narrow with --finops-regions and --finops-accounts, or use --finops-group=region"
    )


def _disarm(report: Any) -> None:
    """Take out of what a report says whatever a terminal or a CI log would act on: AWS's words, names, exceptions."""
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, safe(reason))
    elif report.longrepr is not None and any(
        block(text) != text
        for text in (
            str(report.longrepr),
            getattr(getattr(report.longrepr, "reprcrash", None), "message", ""),
        )
    ):
        # A traceback that is harmless stays an object, for its colours and its summary.
        report.longrepr = block(report.longrepr)
    if hasattr(report, "wasxfail"):
        report.wasxfail = safe(report.wasxfail)


def cents_or_less(amount: Decimal) -> str:
    """Return an amount with as many places as it has, at least two."""
    return format(amount.normalize(), "f") if amount and amount < Decimal("0.01") else str(cents(amount))


def _refuse_second_test(item: pytest.Function, rule: Rule) -> None:
    from .yaml_rules import RuleFile

    if rule.resources and not isinstance(item.parent, RuleFile):
        raise DeclarationError(
            f"{item.nodeid}: rule {rule.id} ({rule.source}) judges {rule.resources} by its own conditions and has no "
            "test; give this one a rule of its own, without resources, in a YAML file beside it"
        )


def without_group(nodeid: str) -> str:
    """Return the id of a test without the group that ``--dist loadgroup`` appends (before pytest 9.2)."""
    plain, _, group = nodeid.rpartition("@")
    return plain if plain and "]" not in group else nodeid


def rebuild(item: pytest.Function) -> None:
    """Set up the function-scoped fixtures of ``item`` again, for the view as it is now (pytest's privates, pinned by a test)."""
    request: Any = item._request
    # Not request._fixture_defs: a fixture that crashed is not among them, and its crash is cached.
    for name in reversed(list(item._fixtureinfo.name2fixturedefs)):
        for definition in item._fixtureinfo.name2fixturedefs[name]:
            if definition.scope == "function":
                definition.finish(request)
    item.funcargs.clear()
    item._initrequest()
    item._request._fillfixtures()
