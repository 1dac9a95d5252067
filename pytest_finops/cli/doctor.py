"""``finops-playbook doctor``: which of the selected checks the credentials can run, found out by free calls alone."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import click
import pytest

from ..collector.executor import Collector
from ..collector.probe import Probe
from ..collector.store import Store
from ..details import Details
from ..marks import CONSOLE
from ..operations import operation
from ..plan import Check, is_billable, planned_at
from ..reports.text import block, safe
from ..resources import GLOBAL, Target
from ..run import RUN, AuditRun
from .paths import names_checks, with_checks

#: Exit status: some check cannot look.
BLIND = 7


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one check can do in one account; ``not_tried`` are calls that nothing free could find out about.

    "not known": nothing free is refused, but the check needs a call that bills, and nobody has tried it.
    """

    rule_id: str
    account_id: str
    account: str
    verdict: Literal["can run", "not known", "cannot run", "expected"]
    reasons: tuple[str, ...] = ()
    not_tried: tuple[str, ...] = ()


class Doctor:
    """A pytest plugin that asks small questions instead of running the collected checks."""

    __name__ = CONSOLE

    def __init__(self, named: bool) -> None:
        self.named = named
        self.found: list[Diagnosis] | None = None
        self.calls = 0
        self.said: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Probe as soon as the plan is made; leave nothing to run."""
        yield
        run = session.config.stash.get(RUN, None)
        if run is None or run.plan is None or not run.plan.checks:
            return
        if run.saved is not None:
            raise pytest.UsageError("doctor asks AWS; a saved inventory answers without credentials")
        self.found = diagnose(run)
        self.calls = run.ledger.total_calls
        self.said = run.said
        # What was probed is not an inventory: no check may judge it.
        session.items.clear()
        run.plan.checks.clear()
        run.rows.clear()


def diagnose(run: AuditRun) -> list[Diagnosis]:
    """Send the smallest page of each free call that the plan declares; say what each check could see."""
    assert run.plan is not None
    assert run.discovery is not None
    run.collected = True
    run.guard.allow(run.plan.calls)
    probe = Probe(run._aws(), run.discovery.logins)
    collector = Collector(probe, run.store, run.ledger, threads=run.settings.max_in_flight, stop=run.stop)
    free = [cell for cell in run.plan.cells if not is_billable(cell[0])]
    # Nothing that where= sees is known here, so that a detail is tried wherever there is anything to ask about.
    chooser = Details(run.plan, Store(), run.payer).chooser
    collector.inventories(free, run.plan.needs, chooser)
    return [_of(run, probe, rule_id, account) for rule_id, account in _pairs(run)] + [
        Diagnosis(
            rule_id,
            one.name,
            one.name,
            "expected" if run.is_expected(Target(one.name, GLOBAL), one.service, one.fault) else "cannot run",
            (f"{one.fault} (the account cannot be entered)",),
        )
        for one in run.discovery.failed
        for rule_id in dict.fromkeys(check.rule.id for check in run.plan.checks)
    ]


def _pairs(run: AuditRun) -> list[tuple[str, str]]:
    assert run.plan is not None
    return sorted({
        (check.rule.id, target.account_id)
        for check in run.plan.checks if not check.skip for target in check.targets.targets
    })  # fmt: skip


def _of(run: AuditRun, probe: Probe, rule_id: str, account: str) -> Diagnosis:
    assert run.plan is not None
    faults: dict[tuple[str, str, str], list[str]] = {}
    expected = True
    not_tried: dict[str, None] = {}
    needed: dict[str, None] = {}
    for check in run.plan.checks:
        if check.rule.id != rule_id:
            continue
        for target in check.targets.targets:
            if target.account_id != account:
                continue
            for declaration in check.inventories:
                if is_billable(declaration):
                    not_tried[f"{declaration.call} (billable)"] = None
                    if not declaration.optional:
                        needed[_action(declaration.call)] = None
                    continue
                for at in planned_at(declaration, [target], run.targets, run.payer):
                    cell = run.store.cell(declaration, at)
                    fault = cell.fault or next(iter(cell.faults.values()), None)
                    if fault is not None and not declaration.optional:
                        what = (declaration.call, fault.code, fault.message)
                        faults.setdefault(what, []).append(at.region)
                        expected = expected and run.is_expected(at, declaration.service, fault)
                    elif fault is None and (declaration.name, at.account_id, at.region) not in probe.tried:
                        not_tried[f"{declaration.call} (nothing there to ask about)"] = None
            if any(not metric.optional for metric in check.metrics):
                not_tried["cloudwatch.get_metric_data (billable)"] = None
                needed[_action("cloudwatch.get_metric_data")] = None
        not_tried.update(dict.fromkeys(_beside(run, check)))
    bills = f"needs {', '.join(needed)}, which {'bills' if len(needed) == 1 else 'bill'}" if needed else ""
    reasons = tuple(_reason(what, regions) for what, regions in faults.items())
    verdict: Literal["can run", "not known", "cannot run", "expected"] = (
        ("expected" if expected else "cannot run") if faults else "not known" if needed else "can run"
    )
    name = next((target.name for target in run.targets if target.account_id == account), account)
    return Diagnosis(
        rule_id, account, name or account, verdict,
        (bills,) if verdict == "not known" else reasons, tuple(not_tried),
    )  # fmt: skip


def _beside(run: AuditRun, check: Check) -> list[str]:
    """Return the billable calls that the engine adds to what ``check`` reads, as the bill behind an inventory."""
    assert run.plan is not None
    names = {declaration.name for declaration in check.inventories}
    return [
        f"{one.call} (billable)"
        for one in dict.fromkeys(declaration for declaration, _ in run.plan.cells)
        if is_billable(one) and names.intersection(one.beside)
    ]


def _action(call: str) -> str:
    return operation(*call.split(".", 1)).iam_action or call


def _reason(what: tuple[str, str, str], regions: Sequence[str]) -> str:
    call, code, message = what
    action = operation(*call.split(".", 1)).iam_action
    needs = f", needs {action}" if action else ""
    places = ", ".join(dict.fromkeys(regions))
    return f"{call} in {places}: {code}{needs}" + (f" ({message})" if message else "")


def main(args: Sequence[str], format_: str) -> int:
    """Run pytest with ``args`` up to the plan, probe, print; return the exit status."""
    doctor = Doctor(names_checks(args))
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = int(pytest.main(["-q", "-p", "no:cacheprovider", *with_checks(args)], plugins=[doctor]))
    if doctor.found is None:
        sys.stderr.write(said.getvalue())
        return status
    for line in dict.fromkeys(doctor.said):
        click.echo(block(line), err=True)
    if format_ == "json":
        click.echo(json.dumps([asdict(one) for one in doctor.found], indent=2, ensure_ascii=False))
    else:
        _show(doctor)
    return BLIND if any(one.verdict == "cannot run" for one in doctor.found) else 0


def _show(doctor: Doctor) -> None:
    assert doctor.found is not None
    by_account: dict[tuple[str, str], list[Diagnosis]] = {}
    for one in doctor.found:
        by_account.setdefault((one.account_id, one.account), []).append(one)
    for (account_id, name), found in sorted(by_account.items()):
        click.echo(safe(account_id if name == account_id else f"{name} ({account_id})"))
        width = max(len(one.rule_id) for one in found)
        for one in found:
            click.echo(f"  {one.rule_id:<{width}}  {_words(one)}")
            for reason in one.reasons if one.verdict != "not known" else ():
                click.echo(f"  {'':<{width}}    {safe(reason)}")
        untried = dict.fromkeys(call for one in found for call in one.not_tried)
        if untried:
            click.echo("  not tried: " + ", ".join(untried))
    counts: dict[str, Any] = dict.fromkeys(("can run", "not known", "expected", "cannot run"), 0)
    for one in doctor.found:
        counts[one.verdict] += 1
    click.echo(
        f"{counts['can run']} can run, "
        + (f"{counts['not known']} not known, " if counts["not known"] else "")
        + f"{counts['cannot run']} cannot"
        + (f", {counts['expected']} expected blind spots" if counts["expected"] else "")
        + f"; {doctor.calls} free calls, one small page of each in every region"
    )


def _words(one: Diagnosis) -> str:
    if one.verdict == "expected":
        return "cannot run, as finops.yaml expects"
    return ": ".join((one.verdict, *one.reasons)) if one.verdict == "not known" else one.verdict
