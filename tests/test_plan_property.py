"""For every selection: the run never pays more than its dry run said, and exactly that for CloudWatch."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_finops import config as layers
from pytest_finops import plan
from pytest_finops.collector.aws import Aws, Login
from pytest_finops.collector.guard import Guard
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Limiter
from pytest_finops.plan import Check
from pytest_finops.predictions import METRIC_PRICE
from pytest_finops.resources import Target
from pytest_finops.run import AuditRun
from pytest_finops.targets import Discovery, TargetSet
from pytest_finops.testing import Estate, Fault, ReplayEndpoint, cloudwatch
from pytest_finops.testing.demo import demo_estate
from pytest_finops.testing.estate import SavedCall, result_keys

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class _Resolved:
    """A pytest plugin that notes what each collected check declares."""

    def __init__(self) -> None:
        self.checks: dict[str, tuple[Any, ...]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Iterator[None]:
        audit: Any = session.config.pluginmanager.get_plugin("pytest_finops_session")
        for item in session.items:
            marked = plan.marked_rule(item)
            if marked is not None:
                rule = audit._rule(marked[0], item.path)
                self.checks[rule.id] = (rule, *plan.resolve(item, rule, marked[1]))  # type: ignore[arg-type]
        return (yield)


@dataclass
class Bench:
    """The shipped checks, a server, and sessions that all examples share."""

    checks: dict[str, tuple[Any, ...]]
    endpoint: ReplayEndpoint
    aws: Aws
    folder: Path

    def run(self, rules: list[str], targets: list[Target], *, dry: bool) -> AuditRun:
        given = {"profile": ["env"], "prices": "offline", "max_api_cost": "100", "now": NOW.isoformat()}
        if dry:
            given["dry_run"] = True  # type: ignore[assignment]
        config: Any = SimpleNamespace(invocation_params=SimpleNamespace(dir=self.folder))
        run = AuditRun(config, layers.resolve(given, {}, self.folder))
        accounts = self.endpoint.estate.accounts
        logins = {
            one: Login(keys=(a.access_key, "x"), endpoint=self.endpoint.url) for one, a in accounts.items()
        }
        run.discovery = Discovery(targets=targets, logins=logins, payer=targets[0].account_id)
        run.guard, run.aws = self.aws.guard, self.aws
        self.aws.ledger = run.ledger
        run.plan = plan.build([Check(*self.checks[rule], TargetSet("all", tuple(targets))) for rule in rules], targets, run.payer)  # fmt: skip
        run.collect(lambda text: None)
        run.settle(interrupted=False)
        run.close()
        run.stop.clear()
        return run


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    seen = _Resolved()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", str(ROOT / "checks")], plugins=[seen])
    stop = threading.Event()
    aws = Aws(
        run_id="x", guard=Guard(), ledger=Ledger(), limiter=Limiter(1e6, stop), stop=stop, threads=8, retry_delay=0
    )  # fmt: skip
    with ReplayEndpoint(demo_estate(NOW)) as endpoint:
        yield Bench(seen.checks, endpoint, aws, tmp_path_factory.mktemp("property"))


def thinned(estate: Estate, shares: list[int]) -> Estate:
    """Return the estate with only some members of each list: every ``share``-th."""
    made = Estate(estate.now)
    made.accounts, made.metrics, made.products = estate.accounts, estate.metrics, estate.products
    for number, (key, calls) in enumerate(estate._calls.items()):
        service, _, name = key[2].partition(".")
        share = shares[number % len(shares)]
        for call in calls:
            answer = {
                k: v[::share] if share and k in result_keys(service, name) and isinstance(v, list) else v
                for k, v in call.answer.items()
            }
            made._calls.setdefault(key, []).append(SavedCall(call.params, answer, call.error))
    return made


def some(bits: int, things: list[Any]) -> list[Any]:
    """Return the things whose bit is set, at least one; all is drawn before a run, which leaves the draws alone."""
    return [one for number, one in enumerate(things) if bits >> number & 1] or [things[bits % len(things)]]


ONE_OR_MORE = st.integers(0, 2**10 - 1)
SHARES = st.lists(st.integers(0, 3), min_size=1, max_size=5)
SIZES = st.one_of(st.none(), st.integers(1, 7))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    picked=ONE_OR_MORE, placed=ONE_OR_MORE, shares=SHARES, before=SIZES, after=SIZES, points=st.sampled_from([100_800, 500]),
    unfinished=st.sampled_from(["", "partial_data", "truncate"]),
)  # fmt: skip
def test_a_run_pays_what_its_dry_run_said(
    bench: Bench, picked: int, placed: int, shares: list[int], before: int | None, after: int | None, points: int,
    unfinished: Any,
) -> None:  # fmt: skip
    whole = demo_estate(NOW)
    everywhere = [
        Target(one.account_id, region, one.name, now=NOW) for one in whole.accounts.values() for region in one.regions
    ]  # fmt: skip
    rules, targets = some(picked, sorted(bench.checks)), some(placed, everywhere)
    bench.endpoint.estate = thinned(whole, shares)

    bench.endpoint.page_size = before
    sent = len(bench.endpoint.requests)
    dry = bench.run(rules, targets, dry=True)
    assert {r.operation for r in bench.endpoint.requests[sent:]}.isdisjoint({"get_metric_data"})

    bench.endpoint.page_size = after
    with pytest.MonkeyPatch.context() as patch:
        # CloudWatch may cut its answers into smaller pages than it publishes: that costs no cent more.
        patch.setattr(cloudwatch, "MAX_POINTS", points)
        sent = len(bench.endpoint.requests)
        bench.endpoint.set_faults(*([Fault(unfinished, "cloudwatch", times=1)] if unfinished else ()))
        try:
            real = bench.run(rules, targets, dry=False)
        finally:
            bench.endpoint.set_faults()

    said = {(c.service, c.operation): c for c in dry.prediction.calls}
    made = {(c.service, c.operation): c for c in real.ledger.entries()}
    assert not [cell for cell in real.store.cells.values() if cell.fault]
    # What CloudWatch did not answer to its end is paid again, apart from what was predicted, and said.
    again = real.ledger.repeated
    assert dry.prediction.lower <= real.ledger.total_cost - again <= dry.prediction.upper
    assert bool(again) == (unfinished != "" and ("cloudwatch", "get_metric_data") in said)
    metrics = ("cloudwatch", "get_metric_data")
    assert (metrics in said) == (metrics in made)
    if metrics in made:
        repeated = int(again / METRIC_PRICE)
        assert (
            made[metrics].billable_units - repeated == said[metrics].billable_units == dry.prediction.metrics
        )
        assert made[metrics].cost - again == said[metrics].cost
        queries = [q for r in bench.endpoint.requests[sent:] if r.operation == "get_metric_data" and not r.params.get("NextToken") for q in r.params["MetricDataQueries"]]  # fmt: skip
        assert len(queries) == made[metrics].billable_units
    if before == after and points > 500:
        assert made.keys() <= said.keys()
        for key, call in said.items():
            sent = made[key].calls if key in made else 0
            assert sent == call.calls if call.bound == "exact" else sent <= call.calls, key
    assert real.prediction.upper == dry.prediction.upper
