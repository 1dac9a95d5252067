"""One audit: what a pytest session of checks knows, from options to the frozen audit."""

from __future__ import annotations

import gc
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import (
    __version__,
    baseline,
    billed,
    gate,
    last_discovery,
    net,
    overlaps,
    plan,
    predict,
    priorities,
    prune,
    shards,
    totals,
    upkeep,
)
from .audit import Account, ApiUsage, Audit, BlindSpot, CheckRow, PriceUsage, RuleTally
from .classify import classify_all
from .collector.executor import Collector, LiveSource, SavedSource, Source
from .collector.faults import REFUSALS, Fault
from .collector.guard import Guard
from .collector.ledger import Ledger
from .collector.limiter import Limiter
from .collector.saved import Saved, Writer, canonical
from .collector.state import CURABLE, Recorded, Resumed, RunState
from .collector.store import Store, Troubles, series_key
from .details import Details
from .documents import Problems
from .environments import EnvironmentPolicy, OwnerPolicy
from .errors import BlindTargets, ConfigError, FindingsFound
from .exemptions import Exemption, expired, match_blind_spot, parse_exemptions, parse_expected_blind_spots
from .findings import Finding, NotEvaluated, cents
from .gate import Limits
from .plan import Check, Plan, is_billable, planned_at
from .predictions import PredictedCall, Prediction
from .recorder import SILENT, BoundRule, Recorder
from .resources import GLOBAL, Target
from .results import Row
from .targets import Discovery, Unentered
from .views import Scope

if TYPE_CHECKING:
    from .declare import Inventory
    from .options import Settings
    from .prices.catalogue import PriceKey
    from .prices.resolver import Price, PriceBook

RUN: pytest.StashKey[AuditRun] = pytest.StashKey()


def check_policies(settings: Settings, problems: Problems) -> None:
    """Note what is wrong with environments and owners."""
    source = str(settings.config_path or "finops.yaml")
    with problems.collecting():
        EnvironmentPolicy.from_config(dict(settings.environments), source)
    with problems.collecting():
        OwnerPolicy.from_config(dict(settings.owners), source)


def expired_exemptions(settings: Settings) -> tuple[Exemption, ...]:
    """Return the exemptions that ended, by today's clock or that of the settings."""
    source = settings.origins.get("exemptions", "").rpartition(":")[0] or "finops.yaml"
    today = (settings.now or datetime.now(UTC)).date()
    return expired(parse_exemptions(list(settings.exemptions), source), today)


class AuditRun:
    """The state of one audit; lives in ``config.stash``."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.started = datetime.now(UTC)
        self.now = (settings.now or self.started).replace(microsecond=0)
        self.id = secrets.token_hex(4)
        self.worker = hasattr(config, "workerinput")
        source = str(settings.config_path or "finops.yaml")
        self.exemptions = parse_exemptions(list(settings.exemptions), source)
        self.expected = parse_expected_blind_spots(list(settings.expected_blind_spots), source)
        self.environments = EnvironmentPolicy.from_config(dict(settings.environments), source)
        self.owners = OwnerPolicy.from_config(dict(settings.owners), source)
        self.limits = Limits(
            max_waste=settings.max_waste, max_savings=settings.max_savings, max_unpriced=settings.max_unpriced,
            strict=settings.strict, fail_severity=settings.fail_severity, min_savings=settings.min_savings,
        )  # fmt: skip
        self.known: Mapping[str, Decimal] = (
            baseline.load(settings.baseline, missing_ok=settings.update_baseline) if settings.baseline else {}
        )
        self.stop = threading.Event()
        self.guard = Guard()
        self.ledger = Ledger(settings.max_api_cost)
        self.store = Store()
        self._troubles: Troubles | None = None
        self._troubled: dict[Check, bool] = {}
        self.discovery: Discovery | None = None
        self.plan: Plan | None = None
        #: Inventories that the engine reads for itself beside what checks need.
        self.beside: Sequence[Inventory] = ()
        self.checks: dict[str, Check] = {}
        self.rows: dict[tuple[str, str, str], Row] = {}
        #: Selected rules that only the payer's shard can judge.
        self.elsewhere: set[str] = set()
        #: Ids of every rule there is, selected or not; asked for once, by the audit.
        self.known_rules: Callable[[], Collection[str]] = lambda: {key[0] for key in self.rows}
        self.said: list[str] = []
        self.ordinary_failed = 0
        #: Why nothing was looked at, if the run was refused before its checks.
        self.refused = ""
        #: Files of checks that could not be collected.
        self.broken: dict[str, None] = {}
        self.audit: Audit | None = None
        self.prediction = Prediction()
        #: (account, region) that --finops-prune leaves out.
        self.pruned: frozenset[tuple[str, str]] = frozenset()
        self.scratch: Path | None = None
        #: What the main process resolved, for the workers of this run alone.
        self.price_file: Path | None = None
        self.scope: Scope | None = None
        self.recorder: Recorder | None = None
        self.bound_rule: BoundRule | None = None
        self.setups: list[tuple[str, str]] = []
        self.saved: Saved | None = None
        self.demo: Any = None
        self.aws: Any = None
        self.collected = False
        self.root = config.invocation_params.dir
        self.state: RunState | None = None
        self.state_open = True
        if settings.resume and not self.worker:
            self._resume()
        self._prices: PriceBook | None = None
        self._price_usage: list[Mapping[str, Any]] = []
        self._clean: list[Path] = []

    def _resume(self) -> None:
        """Adopt the clock of the interrupted run, before any target carries another.

        :raises ConfigError: when there is nothing to go on from.
        """
        for name in ("demo", "inventory", "dry_run", "estimate_cost"):
            if getattr(self.settings, name):
                raise ConfigError(
                    f"--finops-resume goes on with calls to AWS, and --finops-{name.replace('_', '-')} makes none"
                )
        self.state = RunState.resume(self.root, self.started)
        if self.settings.now is None:
            self.now = self.state.now

    # --- targets ----------------------------------------------------------------------------------------------------

    @property
    def wide_fixture(self) -> str | None:
        """The fixture of wider than function scope that is being set up, if any."""
        for name, scope in self.setups:
            if scope != "function":
                return name
        return None

    @property
    def targets(self) -> list[Target]:
        """The resolved targets; none before discovery."""
        return [] if self.discovery is None else self.discovery.targets

    @property
    def payer(self) -> str | None:
        """The account that payer-level calls are asked in."""
        return None if self.discovery is None else self.discovery.payer

    @property
    def spare(self) -> bool:
        """Whether this is a shard without accounts: complete as it is, or an array larger than the estate never were."""
        found = self.discovery
        return self.settings.shard is not None and found is not None and not (found.targets or found.failed)

    def discover(self, offline: bool) -> None:
        """Resolve the targets, once; ``offline`` asks AWS nothing.

        :raises ConfigError: when there is nothing to look at.
        """
        if self.discovery is not None:
            return
        from . import targets as resolving

        worker = getattr(self.config, "workerinput", {}).get("finops")
        if worker:
            import json

            handed = json.loads(worker)
            self.pruned = frozenset((account, region) for account, region in handed["pruned"])
            self.now = datetime.fromisoformat(handed["now"])
            self.discovery = Discovery(
                targets=resolving.from_plain(handed["targets"]), payer=handed["payer"],
                failed=[
                    Unentered(name, Fault(*fault), service, operation) for name, fault, service, operation in handed["failed"]
                ],
            )  # fmt: skip
            self.scratch = Path(handed["directory"]) if handed["directory"] else None
            self.price_file = Path(handed["prices"]) if handed["prices"] else None
            return
        if self.settings.inventory:
            self.saved = Saved(self.settings.inventory)
            self.now = self.settings.now or self.saved.now
            self.pruned = self.saved.pruned()
            self.discovery = resolving.replayed(self.saved, self.settings, self.now)
        elif self.settings.demo:
            self._demo()
        elif offline:
            self.discovery = resolving.offline_targets(self.settings, self.now)
        else:
            self.discovery = resolving.discover(self.settings, self._aws(), self.now)
            kept = resolving.to_plain(self.discovery.targets)
            last_discovery.save(self.settings, kept, len(self.discovery.failed), self.now)
        assert self.discovery is not None
        self.discovery.payer = self.discovery.payer or (
            self.discovery.targets[0].account_id if self.discovery.targets else None
        )
        if self.settings.shard:
            shards.narrow(self.discovery, self.settings.shard)
        self.said += self.discovery.said
        if self.spare and self.settings.save_inventory:
            self.said.append(
                f"shard {self.settings.shard} has no account: --finops-save-inventory writes nothing"
            )

    def _demo(self) -> None:
        from . import targets as resolving
        from .collector.aws import Login
        from .testing.demo import demo_estate
        from .testing.replay import ReplayEndpoint

        estate = demo_estate(self.now)
        self.demo = ReplayEndpoint(estate)
        self.demo.start()
        listed: list[Target] = []
        logins: dict[str, Login] = {}
        for account in estate.accounts.values():
            logins[account.account_id] = Login(keys=(account.access_key, "demo"), endpoint=self.demo.url)
            listed += [
                Target(
                    account_id=account.account_id,
                    region=region,
                    name=account.name or account.account_id,
                    now=self.now,
                )
                for region in account.regions
            ]
        kept = resolving.unique_names(resolving.filter_targets(listed, self.settings))
        self._aws()
        self.discovery = Discovery(targets=kept, logins=logins)

    def _aws(self) -> Any:
        if self.aws is None:
            from .collector.aws import Aws

            limiter = Limiter(float(self.settings.rate), self.stop)
            self.aws = Aws(
                run_id=self.id, guard=self.guard, ledger=self.ledger, limiter=limiter, stop=self.stop,
                threads=self.settings.max_in_flight,
            )  # fmt: skip
        return self.aws

    # --- prices -----------------------------------------------------------------------------------------------------

    @property
    def prices(self) -> PriceBook:
        """The price book of the run; workers read what the main process resolved."""
        if self._prices is None:
            from .prices.resolver import PriceBook

            if self.worker and self.price_file is not None:
                self._prices = PriceBook.load(self.price_file)
            else:
                mode = self.settings.prices or (
                    "offline"
                    if self.settings.demo or self.settings.offline
                    else "cache"
                    if self.settings.inventory
                    else "live"
                )
                if self.settings.offline:
                    mode = "offline"
                self._prices = PriceBook(
                    mode, client_factory=self._pricing_client if mode == "live" else None,
                    overrides=self.settings.price_settings.get("overrides"),
                    discounts=self.settings.price_settings.get("discounts"),
                    # Prices are asked and cached today, whatever the clock of the audit says.
                    today=(self.now if mode == "offline" else self.started).date(),
                )  # fmt: skip
        return self._prices

    def _pricing_client(self, region: str) -> Any:
        from .collector.aws import Login, PriceListCalls

        login = self.discovery.auditor if self.discovery else None
        return PriceListCalls(self._aws(), login or Login(), region)

    def _price_requests(self) -> list[PredictedCall]:
        asked, exact = self.prices.requests(self.price_keys())
        bound = "exact" if exact else "most"
        return [PredictedCall("pricing", "get_products", asked, bound=bound)] if asked else []

    def price_keys(self) -> list[PriceKey]:
        """Return the prices that the collected resources can need, as their inventories declare."""
        assert self.plan is not None
        keys = {
            key: None
            for declaration, target in self.plan.cells
            if declaration.prices
            for row in self.store.cell(declaration, target).rows
            for key in declaration.prices(row)
        }
        return list(keys)

    # --- collection -------------------------------------------------------------------------------------------------

    def collect(self, say: Any, progress: Any = None, *, spool: bool = False) -> None:
        """Run the plan: free calls, estimate, billable calls, prices; ``spool`` also writes answers for workers.

        :raises ConfigError: when the billable calls would cost more than --finops-max-api-cost.
        """
        with long_lived():
            self._collect(say, progress, spool)

    def _collect(self, say: Any, progress: Any, spool: bool) -> None:
        assert self.plan is not None
        self.collected = True
        if self.settings.prune and self.saved is None and not self.worker and not self.settings.dry_run:
            self._prune(say)
        collector = self._collector(progress, spool)
        if self.state is not None and self.state.resumed:
            # Told here alone: the audit is that of one run without a break.
            say(f"resumed: going on from the run that started at {self.state.started:%Y-%m-%d %H:%M} UTC")
        self.guard.allow(self.plan.calls)
        chooser = Details(self.plan, self.store, self.payer).chooser
        late = [cell for cell in self.plan.cells if cell[0] in self.plan.late]
        paid = [cell for cell in self.plan.cells if is_billable(cell[0])]
        now = [cell for cell in self.plan.cells if not (cell[0] in self.plan.late or is_billable(cell[0]))]
        collector.inventories([cell for cell in now if not cell[0].by_prices], self.plan.needs, chooser)
        priced = [cell for cell in now if cell[0].by_prices]
        if priced:
            collector.inventories(priced, self.plan.needs, chooser, self.price_keys())
        wanted = () if self.settings.skip_metrics else self.plan.series
        if not self.worker:
            made = self.ledger.entries() if self.saved is None else collector.replayed()
            series = collector.planned_series(wanted)
            sure = self.sure_plan() if self.settings.dry_run else None
            self.prediction = predict.measured(
                self.plan, self.store, made, series, self.window(), self.targets, chooser,
                [*self._price_requests(), *(self.prune_requests() if self.settings.dry_run else [])],
                (sure, collector.planned_series(() if self.settings.skip_metrics else sure.series)) if sure else None,
            )  # fmt: skip
            if self.settings.dry_run or self.settings.estimate_cost:
                return
            if self.saved is None:
                self._afford(self.prediction)
                if self.prediction.upper:
                    say(f"billable: {prediction_line(self.prediction)}")
        if self.state is not None:
            self.state.restore(self.ledger, early=False)
        if paid:
            collector.inventories(paid, self.plan.needs, chooser)
        if wanted:
            collector.series(wanted, *self.window())
        if late:
            collector.inventories(late, self.plan.needs, chooser)
        self.state_open = False
        self.said += self.store.said
        if not self.worker:
            self.prices.prefetch(self.price_keys())
            if spool and self.scratch is not None:
                # Not beside the answers: those may be the user's to keep, or to pass on.
                self.price_file = self._temporary() / "prices.json"
                self.prices.dump(self.price_file)

    def prune_requests(self) -> list[PredictedCall]:
        """Return what pruning would ask, for a prediction: it bills, so a dry run does not ask it."""
        if not self.settings.prune or self.saved is not None:
            return []
        return [prune.predicted(prune.queries(self.targets, self.payer, bool(self.settings.org)))]

    def sure_plan(self) -> plan.Plan | None:
        """Return the plan of a run in which nothing has spend, for the least that a prediction says; None: not pruned."""
        if not self.settings.prune or self.saved is not None:
            return None
        assert self.plan is not None
        everywhere = {
            (target.account_id, target.region) for target in self.targets if target.region != GLOBAL
        }
        return plan.build(self.plan.checks, self.targets, self.payer, everywhere, self.beside)

    def _prune(self, say: Any) -> None:
        """Leave out of the plan what Cost Explorer has billed nothing for."""
        assert self.plan is not None
        assert self.discovery is not None
        if self.state is not None:
            # The interrupted run has asked and paid.
            self.pruned = Saved(self.state.answers).pruned()
            self.plan = plan.build(self.plan.checks, self.targets, self.payer, self.pruned, self.beside)
            return
        asked = prune.queries(self.targets, self.payer, bool(self.settings.org))
        limit, cost = self.settings.max_api_cost, prune.predicted(asked).cost
        if cost > limit:
            raise ConfigError(
                f"--finops-max-api-cost {limit}: --finops-prune spend would cost up to {cost} USD for {len(asked)} "
                "Cost Explorer queries; raise the limit, or leave pruning out"
            )
        self.pruned, said = prune.unspent(self._aws(), self.discovery.logins, asked, self.targets, self.now)
        self.said += said
        for line in said:
            say(line)
        self.plan = plan.build(self.plan.checks, self.targets, self.payer, self.pruned, self.beside)

    def _afford(self, made: Prediction) -> None:
        limit = self.settings.max_api_cost
        if made.upper > limit:
            ways = ["raise the limit", "narrow the selection"]
            ways += ["use --finops-skip-metrics"] if made.metrics else []
            # Without a purpose it was asked, and paid: pruning.
            asks = any(call.service == "ce" and call.purpose for call in made.calls)
            ways += ["leave out --finops-cost-data"] if asks else []
            raise ConfigError(
                f"--finops-max-api-cost {limit}: this run would cost up to {made.upper} USD ({prediction_line(made)}); "
                f"{', '.join(ways[:-1])}, or {ways[-1]}"
            )

    def window(self) -> tuple[datetime, datetime]:
        """Return the metric window: whole hours, as long as the longest look-back of the selected rules."""
        assert self.plan is not None
        end = self.now.replace(minute=0, second=0, microsecond=0)
        return end - timedelta(days=self.plan.period_days or 14), end

    def _collector(self, progress: Any, spool: bool) -> Collector:
        assert self.discovery is not None
        source: Source
        live = not self.worker and self.saved is None
        if self.worker and self.scratch is not None:
            source = SavedSource(Saved(self.scratch))
        elif self.saved is not None:
            source = SavedSource(self.saved)
        else:
            source = LiveSource(self._aws(), self.discovery.logins)
        writer: Writer | None = None
        if live and not (self.settings.demo or self.settings.dry_run):
            state = self._open_state()
            writer = Writer(state.answers)
            self.scratch = state.answers if spool else None
        elif live and self.settings.save_inventory:
            writer = Writer(self.settings.save_inventory)
            self.scratch = self.settings.save_inventory if spool else None
        elif spool and not self.worker:
            # Workers replay the same answers.
            self.scratch = self._temporary()
            writer = Writer(self.scratch)
        if writer is not None:
            writer.manifest(self.now, self.targets, self.pruned, self._not_entered())
            source = Recorded(source, writer)
            if self.state is not None and self.state.resumed:
                source = Resumed(Saved(self.state.answers), source)
        return Collector(
            source, self.store, self.ledger, threads=self.settings.max_in_flight, stop=self.stop, progress=progress,
            limiter=self._aws().limiter if live else None,
        )  # fmt: skip

    def _not_entered(self) -> list[dict[str, str]]:
        return [
            {
                "account_id": one.name, "service": one.service, "operation": one.operation,
                "code": one.fault.code, "message": one.fault.message,
            }
            for one in (self.discovery.failed if self.discovery else ())
        ]  # fmt: skip

    def _open_state(self) -> RunState:
        """Begin the state of this run, or go on with that of the interrupted one, if it is of the same selection."""
        saved = self.settings.save_inventory
        if self.state is None:
            self.state = self._start_state(saved)
            for paid in (entry for entry in self.ledger.entries() if entry.cost):
                self.state.journal(
                    service=paid.service, operation=paid.operation, calls=paid.calls, units=paid.billable_units,
                    cost=paid.cost, retried=paid.retried, throttled=paid.throttled, early=True,
                )  # fmt: skip
        else:
            try:
                self.state.agree(self._asked())
            except ConfigError:
                # It stays for who repeats its options; this run has nothing to go on from.
                self.state.release()
                self.state = None
                raise
            self.state.restore(self.ledger, early=True)
        self.ledger.journal = self.state.journal
        return self.state

    def _start_state(self, saved: Path | None) -> RunState:
        """Begin a state here, or where nobody finds it again if nothing can be written here."""
        asked = self._asked()
        try:
            return RunState.start(self.root, self.id, self.started, self.now, asked, saved)
        except OSError as error:
            self.said.append(f"this run could not be resumed if it were interrupted: {error}")
            return RunState.start(self._temporary(), self.id, self.started, self.now, asked, saved)

    def _asked(self) -> dict[str, Any]:
        """Return what decides which calls a run makes: what an interrupted run must have in common."""
        assert self.plan is not None
        saved = self.settings.save_inventory
        return {
            "rules": sorted({check.rule.id for check in self.plan.checks if not check.skip}),
            "targets": sorted(f"{target.account_id}/{target.region}" for target in self.targets),
            "calls": sorted({f"{d.call} {canonical(d.params_at(target))}" for d, target in self.plan.cells}),
            "series": sorted({f"{m.namespace} {m.metric_name} {s}" for m, _, _ in self.plan.series for s in m.statistics}),
            "look-back in days": self.plan.period_days,
            "--finops-prune": self.settings.prune or "",
            "--finops-save-inventory": str(saved.absolute()) if saved else "",
            "clock": self.now.isoformat(),
        }  # fmt: skip

    def settle(self, *, interrupted: bool) -> bool:
        """Remove the state of a run that is done; return whether it stays, for --finops-resume."""
        if self.state is None:
            return False
        cells = [cell for (declaration, _), cell in self.store.cells.items() if not declaration.optional]
        faults = [cell.fault or cell.cut for cell in cells]
        faults += [fault for cell in cells for fault in cell.faults.values()]
        faults += [points.fault for points in self.store.series.values()]
        kept = interrupted or self.state_open or any(fault and fault.kind in CURABLE for fault in faults)
        if not kept:
            self.state.remove()
        return kept

    def _temporary(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="pytest-finops-"))
        self._clean.append(folder)
        return folder

    def close(self) -> None:
        """Stop the demo endpoint and remove what was only for this run."""
        self.stop.set()
        if self.demo is not None:
            self.demo.stop()
            self.demo = None
        if self.state is not None:
            self.state.release()
        for folder in self._clean:
            shutil.rmtree(folder, ignore_errors=True)
        self._clean.clear()

    # --- judging one item ---------------------------------------------------------------------------------------------

    @property
    def troubles(self) -> Troubles:
        """Where answers are missing; final, as nothing is collected while checks run."""
        if self._troubles is None:
            self._troubles = self.store.troubles()
        return self._troubles

    def troubled(self, check: Check) -> bool:
        """Whether anything that ``check`` declares lacks an answer on any target."""
        if check not in self._troubled:
            self._troubled[check] = self.troubles.touch((*check.inventories, *check.metrics))
        return self._troubled[check]

    def blindness(self, check: Check, target: Target) -> list[tuple[str, str, Fault]]:
        """Return (service, operation, fault) of everything that blinds ``check`` on ``target``; metrics of non-subjects too."""
        found: list[tuple[str, str, Fault]] = []
        troubles = self.troubles
        if not self.troubled(check):
            return found
        for declaration in check.inventories:
            bad = troubles.cells.get(declaration)
            if declaration.optional or not bad:
                continue
            for at in planned_at(declaration, [target], self.targets, self.payer):
                if at not in bad:
                    continue
                cell = self.store.cell(declaration, at)
                fault = cell.fault
                if fault is None and cell.faults and declaration.per not in {s.name for s in check.subjects}:
                    fault = next(iter(cell.faults.values()))
                if fault is None and declaration not in check.subjects:
                    fault = cell.early
                if fault is not None:
                    found.append((declaration.service, declaration.operation, fault))
        for metric in check.metrics:
            inventory = next(i for i in check.inventories if i.name == metric.of)
            if metric.optional or (metric.namespace, metric.metric_name) not in troubles.metrics:
                continue
            faults = []
            asked = 0
            for at in planned_at(inventory, [target], self.targets, self.payer):
                for resource in self.store.cell(inventory, at).rows:
                    if metric.where is None or metric.where(resource):
                        for statistic in metric.statistics:
                            asked += 1
                            points = self.store.series.get(
                                (resource.target, series_key(metric, resource, statistic))
                            )
                            if points is not None and points.fault is not None:
                                faults.append(points.fault)
            if faults and (len(faults) == asked or inventory not in check.subjects):
                found.append(("cloudwatch", "get_metric_data", faults[0]))
        return found

    def cut_off(self, check: Check, target: Target) -> list[tuple[str, str, Fault]]:
        """Return (service, operation, fault) of the subject's listings that end early: what was read is judged."""
        from .plan import planned_at

        if not self.troubled(check):
            return []
        return [
            (subject.service, subject.operation, early)
            for subject in check.subjects
            for at in planned_at(subject, [target], self.targets, self.payer)
            if (early := self.store.cell(subject, at).early) is not None
        ]

    def resource_faults(self, check: Check, target: Target) -> dict[str, str]:
        """Return the subject resources that AWS did not answer for, each with why."""
        found: dict[str, str] = {}
        if not self.troubled(check):
            return found
        subjects = {subject.name for subject in check.subjects}
        for declaration in check.inventories:
            if declaration.per in subjects and not declaration.optional:
                for at in planned_at(declaration, [target], self.targets, self.payer):
                    for parent, fault in self.store.cell(declaration, at).faults.items():
                        found[parent] = f"{declaration.call}: {fault}"
        for metric in check.metrics:
            if metric.of not in subjects or metric.optional:
                continue
            if (metric.namespace, metric.metric_name) not in self.troubles.metrics:
                continue
            inventory = next(i for i in check.inventories if i.name == metric.of)
            for at in planned_at(inventory, [target], self.targets, self.payer):
                for resource in self.store.cell(inventory, at).rows:
                    for statistic in metric.statistics:
                        points = self.store.series.get(
                            (resource.target, series_key(metric, resource, statistic))
                        )
                        if points is not None and points.fault is not None:
                            found[resource.id] = f"cloudwatch.get_metric_data: {points.fault}"
        return found

    def gone(self, check: Check, target: Target) -> dict[str, str]:
        """Return the subject resources that were deleted while the run looked at them, each with AWS's words."""
        if not self.troubled(check):
            return {}
        subjects = {subject.name for subject in check.subjects}
        return {
            parent: f"gone since it was listed: {fault.code}"
            for declaration in check.inventories
            if declaration.per in subjects
            for at in planned_at(declaration, [target], self.targets, self.payer)
            for parent, fault in self.store.cell(declaration, at).gone.items()
        }

    def subject_ids(self, check: Check, target: Target) -> list[str]:
        """Return the ids of what ``check`` judges in ``target``, from the store."""
        return [
            row.id
            for subject in check.subjects
            if subject in self.troubles.filled
            for at in planned_at(subject, [target], self.targets, self.payer)
            for row in self.store.cell(subject, at).rows
        ]

    def open_scope(self, check: Check, targets: Sequence[Target]) -> None:
        """Let the running item see ``targets``, with a fresh recorder."""
        self.scope = Scope(
            store=self.store, targets=targets, declarations=check.declarations, payer=self.payer,
            period_days=check.rule.period_days, filled=self.troubles.filled,
        )  # fmt: skip
        self.recorder = Recorder(check.rule, targets, self.environments, self.owners)
        self.bound_rule = BoundRule(check.rule, self.environments, self.settings.min_savings)

    def close_scope(self) -> None:
        """Let nothing be seen between items."""
        self.scope = self.recorder = self.bound_rule = None

    def row(
        self, check: Check, target: Target, recorder: Recorder, changed: Callable[[Finding], Finding]
    ) -> Row:
        """Return how ``check`` ended on ``target``, from what the check said and what AWS refused.

        ``changed`` is what the hook makes of a finding, before exemptions and baseline act on it.
        """
        verdicts = recorder.of(target)
        if not self.troubled(check) and verdicts == SILENT and not self.subject_ids(check, target):
            return Row(
                rule_id=check.rule.id, account_id=target.account_id, region=target.region, outcome="passed"
            )
        faults = self.resource_faults(check, target)
        gone = self.gone(check, target)
        unseen = {**gone, **faults}
        subjects = self.subject_ids(check, target)
        missing = {
            **verdicts.not_evaluated,
            **{rid: NotEvaluated(rid, reason, fault=rid in faults) for rid, reason in unseen.items()},
        }  # fmt: skip
        notes = list(verdicts.notes)
        missing = {
            rid: entry for rid, entry in missing.items() if rid in unseen or rid not in verdicts.findings
        }
        cut_off = self.cut_off(check, target)
        said = classify_all(
            [changed(verdicts.findings[rid]) for rid in sorted(verdicts.findings) if rid not in unseen],
            exemptions=self.exemptions, baseline=set(self.known), limits=self.limits, today=self.now.date(),
            complete=not cut_off,
        )  # fmt: skip
        findings = list(said.findings)
        notes += said.notes
        accepted = list(said.accepted)
        idle = {id(entry) for entry in (*said.expired, *said.unmatched)}
        judged = len(subjects) - len(missing.keys() & set(subjects))
        outcome, reason = self._outcome(findings, judged, missing, len(subjects))
        for service, operation, fault in cut_off:
            text = f"{service}.{operation} ended after {len(subjects)} resources: {fault}"
            if not self.is_expected(target, service, fault):
                outcome, reason = "error", text
            elif outcome == "passed":
                # Expected is not clean: nobody saw the rest.
                outcome, reason = "skipped", f"expected blind spot: {text}"
        return Row(
            rule_id=check.rule.id, account_id=target.account_id, region=target.region, outcome=outcome, reason=reason,
            evaluated=judged, not_evaluated=tuple(missing[rid] for rid in sorted(missing)), findings=tuple(findings),
            notes=tuple(sorted(notes, key=lambda n: (n.resource_id, n.text))), accepted=tuple(accepted),
            exemptions=tuple(n for n, entry in enumerate(self.exemptions) if id(entry) not in idle),
        )  # fmt: skip

    @staticmethod
    def _outcome(
        findings: Sequence[Finding], judged: int, missing: Mapping[str, NotEvaluated], subjects: int
    ) -> tuple[Any, str]:
        faulty = [entry for entry in missing.values() if entry.fault]
        if faulty:
            return "error", f"{len(faulty)} not answered: {faulty[0].reason}"
        if any(finding.status == "new" for finding in findings):
            return "failed", ""
        if findings:
            known = sum((cents(f.estimated_monthly_savings or Decimal(0)) for f in findings), Decimal(0))
            return "xfailed", f"{len(findings)} known or accepted, {known} USD a month"
        if missing and judged <= 0:
            return "skipped", skip_reason(missing.values(), subjects)
        return "passed", ""

    def blind_row(self, check: Check, target: Target, blind: Sequence[tuple[str, str, Fault]]) -> Row:
        """Return the row of a target that could not be seen: an error, or a skip where that was expected."""
        service, operation, fault = blind[0]
        text = f"{service}.{operation}: {fault}"
        expected = all(self.is_expected(target, s, f) for s, _, f in blind)
        return Row(
            rule_id=check.rule.id, account_id=target.account_id, region=target.region,
            outcome="skipped" if expected else "error", reason=f"expected blind spot: {text}" if expected else text,
        )  # fmt: skip

    def is_expected(self, target: Target, service: str, fault: Fault) -> bool:
        """Whether finops.yaml expects this denial."""
        return (
            match_blind_spot(
                self.expected, account_id=target.account_id, region=target.region, service=service, code=fault.code,
                refused=fault.kind in REFUSALS, today=self.now.date(),
            )
            is not None
        )  # fmt: skip

    # --- the audit ----------------------------------------------------------------------------------------------------

    def expect(self, checks: Iterable[Check]) -> None:
        """Say which rows must come: each starts as not run."""
        for check in checks:
            for target in check.targets.targets:
                key = (check.rule.id, target.account_id, target.region)
                self.rows.setdefault(key, Row(rule_id=key[0], account_id=key[1], region=key[2]))
        for one in self.discovery.failed if self.discovery else ():
            for check in self.plan.checks if self.plan else ():
                blind = (one.service, one.operation, one.fault)
                row = self.blind_row(check, Target(one.name, GLOBAL), [blind])
                self.rows[row.key] = row

    def blind_spots(self) -> tuple[BlindSpot, ...]:
        """Return every call that did not answer, once, with the rules that could not look."""
        found: dict[tuple[str, str, str, str, str], tuple[Fault, dict[str, None]]] = {}
        for one in self.discovery.failed if self.discovery else ():
            place = (one.name, GLOBAL, one.service, one.operation, one.fault.code)
            entry = found.setdefault(place, (one.fault, {}))
            entry[1].update(dict.fromkeys(check.rule.id for check in (self.plan.checks if self.plan else ())))
        for check in self.plan.checks if self.plan and self.collected else ():
            if check.skip:
                continue
            for target in check.targets.targets if self.troubled(check) else ():
                if check.is_pruned(target, self.pruned):
                    continue
                for service, operation, fault in (
                    *self.blindness(check, target),
                    *self.cut_off(check, target),
                ):
                    key = (target.account_id, target.region, service, operation, fault.code)
                    found.setdefault(key, (fault, {}))[1][check.rule.id] = None
        return tuple(
            BlindSpot(
                account_id=key[0], region=key[1], service=key[2], operation=key[3], code=key[4], message=fault.message,
                rules=tuple(sorted(rules)), expected=self.is_expected(Target(key[0], key[1]), key[2], fault),
            )
            for key, (fault, rules) in sorted(found.items())
        )  # fmt: skip

    def build(self, pytest_status: int, priority: Any = None, overlaps_hook: Any = None) -> Audit:
        """Freeze the audit: overlaps, priorities, totals, gate and exit status."""
        rows = [self.rows[key] for key in sorted(self.rows)]
        found = [finding for row in rows for finding in row.findings]
        found = self._reconciled(found)
        counted = overlaps_hook(found) if overlaps_hook else overlaps.count(found)
        ranked = priorities.rank(counted, priority)
        complete = (
            (bool(rows) or self.spare)
            and not self.broken
            and not any(row.outcome in ("error", "not_run") for row in rows)
        )
        self.said += [f"{name} could not be collected: its checks did not run" for name in self.broken]
        judged = gate.judge(ranked, limits=self.limits, refused=self.refused)
        status = gate.exit_status(
            judged,
            complete=complete,
            pytest_status=pytest_status,
            ordinary_failed=self._unexplained(pytest_status, complete),
        )
        spots = self.blind_spots()
        today = self.now.date()
        kept = (
            *upkeep.of_exemptions(self.exemptions, rows, self.known_rules(), today),
            *upkeep.of_blind_spots(self.expected, spots, today),
        )
        accounts = {target.account_id: target for target in self.targets}
        # A replay sends nothing: what a live run would cost is not its prediction.
        predicted = self.prediction if self.saved is None else Prediction()
        self.audit = Audit(
            tool_version=__version__, scan_timestamp=self.now.isoformat(),
            finished_at=datetime.now(UTC).replace(microsecond=0).isoformat(),
            selection=self.selection(), complete=complete, exit_status=status,
            accounts=tuple(
                Account(account_id=key, name=t.name, organizational_unit=t.organizational_unit, partition=t.partition)
                for key, t in sorted(accounts.items())
            ),
            regions=tuple(sorted({target.region for target in self.targets if target.region != GLOBAL})),
            totals=totals.totals(ranked), findings=tuple(ranked),
            notes=tuple(note for row in rows for note in row.notes), rules=self._tallies(rows),
            checks=tuple(
                CheckRow(
                    rule_id=row.rule_id, account_id=row.account_id, region=row.region, outcome=row.outcome,
                    reason=row.reason, evaluated=row.evaluated, findings=len(row.findings), not_evaluated=row.not_evaluated,
                )
                for row in rows
                # Where nothing stood there is nothing to say: 850,000 rows in a large organization.
                if row.outcome != "passed" or row.evaluated or row.findings or row.notes or row.accepted
            ),
            blind_spots=spots, accepted=tuple(entry for row in rows for entry in row.accepted),
            api_usage=ApiUsage(
                predicted_lower=predicted.lower, predicted_upper=predicted.upper, predicted_exact=predicted.exact,
                actual_cost=self.ledger.total_cost, repeated_cost=self.ledger.repeated, calls=self.ledger.entries(),
            ),
            prices=self._usage(), gate=judged, upkeep=kept,
            warnings=(*dict.fromkeys(self.said), *self._price_warnings(), *upkeep.warnings(kept, whole=not self.settings.shard)),
        )  # fmt: skip
        return self.audit

    def _reconciled(self, found: list[Finding]) -> list[Finding]:
        """Return the findings with what reservations, Savings Plans and their bills leave of their savings."""
        settings, discovery = self.settings, self.discovery
        if self.plan is None or not self.collected or discovery is None or self.refused:
            return found
        whole = bool(settings.org) and not (settings.accounts or settings.shard or discovery.failed)
        accounts = frozenset(target.account_id for target in self.targets) if whole else None

        def resolve(key: PriceKey) -> Price:
            return self.prices.resolve(key.dimension, key.region, dict(key.attributes))

        reconciled = net.Commitments(self.plan, self.store, accounts, resolve).reconcile(found)
        bills, warnings = net.resource_bills(self.plan, self.store)
        self.said += warnings
        return billed.cap(reconciled, bills)

    def looked(self) -> set[tuple[str, str, str]]:
        """Return the (rule, account, region) that were judged: what is not found there is gone."""
        return {key for key, row in self.rows.items() if row.outcome in ("passed", "failed", "xfailed")}

    def judge_again(self, audit: Audit, pytest_status: int) -> Audit:
        """Return an audit that a hook changed with the totals, gate and exit status of its findings."""
        judged = gate.judge(audit.findings, limits=self.limits, refused=self.refused)
        status = gate.exit_status(
            judged,
            complete=audit.complete,
            pytest_status=pytest_status,
            ordinary_failed=self._unexplained(pytest_status, audit.complete),
        )
        return replace(audit, totals=totals.totals(audit.findings), gate=judged, exit_status=status)

    def _unexplained(self, pytest_status: int, complete: bool) -> bool:
        """Whether something failed that is no check; or pytest says so and no check explains it."""
        explained = not complete or any(row.outcome == "failed" for row in self.rows.values())
        return bool(self.ordinary_failed) or (pytest_status == gate.EXIT_BROKEN and not explained)

    def selection(self) -> dict[str, Any]:
        """Return what was asked for: rules, targets and the options that are not default."""
        chosen = {k: str(v) for k, v in sorted(self.settings.origins.items()) if v != "default"}
        shard = {"shard": str(self.settings.shard)} if self.settings.shard else {}
        return {
            **shard, "rules": sorted({key[0] for key in self.rows} | self.elsewhere), "args": [str(arg) for arg in self.config.args],
            "options": chosen, "targets": sorted({f"{t.account_id}/{t.region}" for t in self.targets}),
        }  # fmt: skip

    def _price_warnings(self) -> list[str]:
        return [f"prices: {text}" for text in (self._prices.warnings() if self._prices else ())]

    def _usage(self) -> PriceUsage:
        if self._prices is None and not self._price_usage:
            return PriceUsage()
        if self._price_usage:
            self.prices.merge_usage(self._price_usage)
        used = self.prices.usage()
        return PriceUsage(
            live=used.live, cached=used.cached, snapshot=used.snapshot, overridden=used.overridden, unknown=used.unknown,
            oldest_as_of=str(used.oldest_as_of) if used.oldest_as_of else None,
            used=self.prices.fingerprints() if self.settings.shard else (),
        )  # fmt: skip

    def merge_prices(self, used: Iterable[Mapping[str, Any]]) -> None:
        """Remember which prices a worker's lines used."""
        self._price_usage += list(used)

    @staticmethod
    def _tallies(rows: Sequence[Row]) -> tuple[RuleTally, ...]:
        found: dict[str, dict[str, int]] = {}
        for row in rows:
            tally = found.setdefault(row.rule_id, {"expected": 0, "evaluated": 0, "findings": 0})
            tally["expected"] += 1
            tally["evaluated"] += row.evaluated
            tally["findings"] += len(row.findings)
            tally[row.outcome] = tally.get(row.outcome, 0) + 1
        return tuple(RuleTally(rule_id=rule_id, **tally) for rule_id, tally in sorted(found.items()))

    def take(self, rows: Iterable[Row]) -> None:
        """Take rows that pytest saw to their end."""
        for row in rows:
            if row.key in self.rows:
                self.rows[row.key] = row


@contextmanager
def long_lived() -> Iterator[None]:
    """Keep the garbage collector off what is read inside: it stays to the end, and walking it over and over takes CPU."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.freeze()


def prediction_line(made: Prediction) -> str:
    """Return ``244 CloudWatch metrics, 0.00244 USD`` for what a run pays."""
    parts = [f"{made.metrics:,} CloudWatch metrics"] if made.metrics else []
    for call in made.calls:
        if call.cost and (call.service, call.operation) != ("cloudwatch", "get_metric_data"):
            sign = "up to " if call.bound == "most" else ""
            parts.append(f"{sign}{call.calls:,} {call.service}.{call.operation}")
    total = f"{made.upper:f}" if made.exact else f"{made.lower:f} to {made.upper:f}"
    return f"{', '.join(parts)}, {total} USD"


def skip_reason(missing: Iterable[NotEvaluated], subjects: int) -> str:
    """Return ``0 of 37 judged: no datapoints (31), too young (6)``."""
    counts: dict[str, int] = {}
    for entry in missing:
        counts[entry.reason.split(":")[0]] = counts.get(entry.reason.split(":")[0], 0) + 1
    listed = ", ".join(f"{reason} ({n})" for reason, n in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
    return f"0 of {subjects} judged: {listed}"


def blind_message(blind: Mapping[Target, Sequence[tuple[str, str, Fault]]]) -> BlindTargets:
    """Return the error that says what could not be seen."""
    lines = [
        f"{target}: {service}.{operation}: {fault}"
        for target, faults in blind.items()
        for service, operation, fault in faults[:1]
    ]
    return BlindTargets("could not look: " + "; ".join(dict.fromkeys(lines)))


def findings_message(rows: Sequence[Row]) -> FindingsFound:
    """Return what a terminal user reads of a failed check."""
    new = [finding for row in rows for finding in row.findings if finding.status == "new"]
    priced = [f.estimated_monthly_savings for f in new if f.estimated_monthly_savings is not None]
    total = sum((cents(amount) for amount in priced), Decimal(0))
    unpriced = len(new) - len(priced)
    plural = "" if len(new) == 1 else "s"
    text = f"{len(new)} finding{plural}, {total} USD a month"
    return FindingsFound(text + (f", {unpriced} not priced" if unpriced else ""))
