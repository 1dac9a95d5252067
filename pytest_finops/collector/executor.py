"""The executor: runs a plan's calls as data flows, in two phases, on daemon threads."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from ..audit import ApiCalls
from ..declare import Inventory, Metric, Page
from ..operations import operation as operation_facts
from ..resources import GLOBAL, Target
from .aws import Answer, Aws, Login
from .faults import CallFault, Fault
from .ledger import Ledger
from .limiter import Bucket, Limiter, NotYet
from .saved import Saved
from .store import Cell, Moment, Points, SeriesKey, Store, series_key

if TYPE_CHECKING:
    from ..prices.catalogue import PriceKey

#: GetMetricData: at most 500 queries and 100,800 datapoints a request, so that one request is one page.
MAX_QUERIES = 500
MAX_POINTS = 100_800
#: Pages that a billable call without its own bound may take.
BILLABLE_PAGES = 10
#: A batch is cut to fill one page; more than these are no honest answer.
MAX_METRIC_PAGES = 50
#: What CloudWatch says of a series that it may answer when asked again.
UNFINISHED = frozenset({"PartialData", "InternalError"})


def cut(answer: Answer, key: str) -> list[Any]:
    """Return the members of an answer that stand at ``key`` (``Reservations[].Instances[]``; ``@`` = the answer)."""
    found: list[Any] = [answer]
    if key == "@":
        return found
    for part in key.split("."):
        name = part.removesuffix("[]")
        found = [item.get(name) for item in found if item.get(name) is not None]
        if part.endswith("[]"):
            found = [member for items in found for member in items]
    return found


def witness_of(declaration: Inventory) -> str:
    """Return the member that a real page of this call always has."""
    if declaration.witness:
        return declaration.witness
    return "" if declaration.key == "@" else declaration.key.split(".")[0].removesuffix("[]")


def at_level(target: Target, level: str, payer: str | None) -> Target:
    """Return the target that a declaration of ``level`` is asked at when a check looks at ``target``."""
    if level == "region":
        return target
    account = payer if level == "payer" and payer else target.account_id
    return Target(
        account_id=account, region=GLOBAL, name=target.name, partition=target.partition, now=target.now,
        organizational_unit=target.organizational_unit,
    )  # fmt: skip


#: A page that is there already, by number and answer.
Behind = tuple[int, Answer] | None


class Source(Protocol):
    """Where answers come from: AWS, or a saved inventory."""

    def pages(
        self, target: Target, declaration: Inventory, params: Mapping[str, Any], after: Behind = None
    ) -> Iterator[tuple[Answer, bool]]:
        """Yield (answer, is the last), behind the page ``after`` if that is there; CallFault says why not."""
        ...

    def metrics(
        self,
        target: Target,
        keys: Sequence[SeriesKey],
        start: datetime,
        end: datetime,
        *,
        again: bool = False,
    ) -> dict[SeriesKey, Points]:
        """Return each asked series, or its fault; ``again`` marks what was asked, and paid, before."""
        ...


class LiveSource:
    """AWS itself, each account by its own login."""

    def __init__(self, aws: Aws, logins: Mapping[str, Login]) -> None:
        self._aws = aws
        self._logins = logins

    def pages(
        self, target: Target, declaration: Inventory, params: Mapping[str, Any], after: Behind = None
    ) -> Iterator[tuple[Answer, bool]]:
        """Send the call, page by page."""
        facts = operation_facts(declaration.service, declaration.operation)
        region = endpoint_region(target, facts.endpoint_regions)
        yield from self._aws.pages(
            self._logins[target.account_id], target.account_id, region, declaration.service, declaration.operation,
            params, tokens=declaration.tokens, witness=witness_of(declaration), after=after,
        )  # fmt: skip

    def metrics(
        self,
        target: Target,
        keys: Sequence[SeriesKey],
        start: datetime,
        end: datetime,
        *,
        again: bool = False,
    ) -> dict[SeriesKey, Points]:
        """Ask GetMetricData for one batch; a series that is not Complete is a fault, not an absence."""
        queries = [
            {
                "Id": f"q{index}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": namespace, "MetricName": name,
                        "Dimensions": [{"Name": dimension, "Value": value} for dimension, value in dimensions],
                    },
                    "Period": period, "Stat": statistic,
                },
            }
            for index, (namespace, name, dimensions, statistic, period) in enumerate(keys)
        ]  # fmt: skip
        params: dict[str, Any] = {
            "MetricDataQueries": queries, "StartTime": start, "EndTime": end, "ScanBy": "TimestampAscending",
        }  # fmt: skip
        try:
            found, status = self._metric_data(target, params, again)
        except CallFault as error:
            return {key: Points(fault=error.fault) for key in keys}
        series: dict[SeriesKey, Points] = {}
        shared: dict[tuple[Moment, ...], Any] = {}
        for index, key in enumerate(keys):
            code = status.get(f"q{index}")
            if code == "Complete":
                series[key] = Points.of(*found.get(f"q{index}", ([], [])), shared)
            else:
                fault = Fault(
                    "partial", code or "NoAnswer", "CloudWatch did not answer this series completely"
                )
                series[key] = Points(fault=fault)
        return series

    def _metric_data(
        self, target: Target, params: Mapping[str, Any], again: bool
    ) -> tuple[dict[str, tuple[list[Moment], list[float]]], dict[str, str]]:
        """Return the points and the last status of each query, over all pages."""
        found: dict[str, tuple[list[Moment], list[float]]] = {}
        status: dict[str, str] = {}
        request = dict(params)
        for number in range(1, MAX_METRIC_PAGES):
            answer = self._aws.call(
                self._logins[target.account_id], target.account_id, endpoint_region(target, ()), "cloudwatch",
                "get_metric_data", request, units=len(params["MetricDataQueries"]) if number == 1 else 0,
                witness="MetricDataResults", again=again,
            )  # fmt: skip
            for result in answer["MetricDataResults"]:
                times, values = found.setdefault(result["Id"], ([], []))
                times += result.get("Timestamps", ())
                values += result.get("Values", ())
                status[result["Id"]] = str(result.get("StatusCode", "Complete"))
            token = answer.get("NextToken")
            if not token:
                return found, status
            if token == request.get("NextToken"):
                raise CallFault(Fault("foreign", "RepeatedToken", f"page {number} repeats its token"))
            request["NextToken"] = token
        raise CallFault(Fault("foreign", "EndlessListing", f"one batch of series fills {number} pages"))


def endpoint_region(target: Target, regions: Sequence[str]) -> str:
    """Return the region whose endpoint answers for ``target``."""
    if regions and target.region not in regions:
        return regions[0]
    if target.region != GLOBAL:
        return target.region
    return {"aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}.get(target.partition, "us-east-1")


class SavedSource:
    """A saved inventory."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._lock = threading.Lock()
        self._read: Counter[tuple[str, str]] = Counter()

    def replayed(self) -> tuple[ApiCalls, ...]:
        """Return the pages read so far by operation: the requests that a live run would have made."""
        return tuple(ApiCalls(service=s, operation=o, calls=n) for (s, o), n in sorted(self._read.items()))

    def pages(
        self, target: Target, declaration: Inventory, params: Mapping[str, Any], after: Behind = None
    ) -> Iterator[tuple[Answer, bool]]:
        """Read the call."""
        for page in self._saved.pages(
            target, declaration.service, declaration.operation, params,
            key=declaration.key, witness=witness_of(declaration),
        ):  # fmt: skip
            with self._lock:
                self._read[declaration.service, declaration.operation] += 1
            yield page

    def metrics(
        self,
        target: Target,
        keys: Sequence[SeriesKey],
        start: datetime,
        end: datetime,
        *,
        again: bool = False,
    ) -> dict[SeriesKey, Points]:
        """Read the series."""
        return {key: self._saved.series(target, key, start, end) for key in keys}


#: An inventory at a target.
Place = tuple[Inventory, Target]
#: Says of a ``per=`` inventory at a target which parents are asked for.
Chooser = Callable[[Inventory, Target], Callable[[Any], bool]]


def by_where(child: Inventory, target: Target) -> Callable[[Any], bool]:
    """Choose by a ``where=`` that sees the parent alone."""
    return child.where or (lambda parent: True)


@dataclass(slots=True)
class _Run:
    """One cell in work: its open requests, and the pages that they brought, in order."""

    declaration: Inventory
    target: Target
    open: int = 0
    pages: dict[tuple[int, int], list[Any]] = field(default_factory=dict)
    asked: int = 0
    count: int = 0


class Collector:
    """Collects cells and series of a plan into a store; a fault ends as a value and stops nothing else."""

    def __init__(
        self, source: Source, store: Store, ledger: Ledger, *, threads: int, stop: threading.Event,
        progress: Callable[[int, int], None] | None = None,
        limiter: Limiter | None = None,
    ) -> None:  # fmt: skip
        self._source = source
        self.store = store
        self._ledger = ledger
        self._threads = threads
        self._stop = stop
        self._progress = progress or (lambda done, total: None)
        self._lock = threading.RLock()
        self._done = threading.Condition(self._lock)
        self._limiter = limiter
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._delayed: list[tuple[float, int, Callable[[], None]]] = []
        self._turns = itertools.count()
        self._prices: Sequence[PriceKey] = ()
        self._open = 0
        self._total = 0
        self._crash: BaseException | None = None

    def inventories(
        self,
        wanted: Iterable[Place],
        needs: Mapping[Place, Sequence[Place]],
        chooser: Chooser = by_where,
        prices: Sequence[PriceKey] = (),
    ) -> None:
        """Collect every wanted cell: roots at once, ``per=`` cells as soon as all that they need is complete.

        ``needs`` names the parent first, then what ``where=`` sees. What is not wanted was collected before: the calls
        of a run come in phases. ``prices`` is what ``by_prices=`` narrows requests to.
        """
        cells = list(wanted)
        here = set(cells)
        self._prices = prices
        self._needs, self._chooser = needs, chooser
        self._followers: dict[Place, list[Place]] = {}
        self._lacking: dict[Place, int] = {}
        jobs: list[Callable[[], None]] = []
        for cell in cells:
            self.store.cells.setdefault(cell, Cell())
            lacking = [one for one in needs.get(cell, ()) if one in here]
            for one in lacking:
                self._followers.setdefault(one, []).append(cell)
            if lacking:
                self._lacking[cell] = len(lacking)
            else:
                jobs.append(lambda c=cell: self._begin(*c))  # type: ignore[misc]
        self._run(jobs)

    def series(
        self, wanted: Iterable[tuple[Metric, Inventory, Target]], start: datetime, end: datetime
    ) -> None:
        """Ask for every planned series in batches; series that several metrics share are asked once."""
        self.store.window = (start, end)
        jobs: list[Callable[[], None]] = []
        for target, keys in self.planned_series(wanted).items():
            for batch in batches(keys, start, end):
                jobs.append(lambda t=target, b=batch: self._series(t, b, start, end))  # type: ignore[misc]
        self._run(jobs)

    def replayed(self) -> tuple[ApiCalls, ...]:
        """Return what was read from a saved inventory; nothing where AWS itself answers."""
        return self._source.replayed() if isinstance(self._source, SavedSource) else ()

    def planned_series(
        self, wanted: Iterable[tuple[Metric, Inventory, Target]]
    ) -> dict[Target, list[SeriesKey]]:
        """Return the distinct series of each target, from the inventories that are there."""
        planned: dict[Target, dict[SeriesKey, None]] = {}
        for metric, inventory, target in wanted:
            cell = self.store.cell(inventory, target)
            for resource in cell.rows:
                if metric.where is None or metric.where(resource):
                    for statistic in metric.statistics:
                        planned.setdefault(target, {})[series_key(metric, resource, statistic)] = None
        return {target: list(keys) for target, keys in planned.items()}

    # --- one cell -------------------------------------------------------------------------------------------------

    def _begin(self, declaration: Inventory, target: Target) -> None:
        if declaration.per is None:
            self._start(declaration, target, [(declaration.params_at(target), ())])
        else:
            self._start_child(declaration, target, self.store.cell(*self._needs[declaration, target][0]))

    def _start(
        self, declaration: Inventory, target: Target, requests: list[tuple[dict[str, Any], tuple[str, ...]]]
    ) -> None:
        run = _Run(declaration, target, open=len(requests), asked=len(requests))
        if not requests:
            self._finish(run)
            return
        for index, (params, parents) in enumerate(requests):
            self._submit(lambda i=index, p=params, n=parents: self._fetch(run, i, p, n))  # type: ignore[misc]

    def _fetch(
        self, run: _Run, index: int, params: dict[str, Any], parents: tuple[str, ...], token: Bucket | None = None
    ) -> None:  # fmt: skip
        """Read a call; where its first request has to wait for the limiter, the thread is free until then."""
        try:
            self._ask(run, index, params, parents, token)
        except NotYet as later:
            held = later.bucket
            self._later(later.delay, lambda: self._fetch(run, index, params, parents, held))

    def _ask(
        self, run: _Run, index: int, params: dict[str, Any], parents: tuple[str, ...], token: Bucket | None
    ) -> None:  # fmt: skip
        cell = self.store.cells[run.declaration, run.target]
        fault = self._read(run, index, params, token)
        if fault is not None and fault.kind == "dead_token":
            # The token of a later page has died: once more from the first page.
            with self._lock:
                for key in [key for key in run.pages if key[0] == index]:
                    run.count -= len(run.pages.pop(key))
            fault = self._read(run, index, params)
        if fault is not None and fault.kind == "absent":
            self.store.said[f"{fault.message}: nothing to look at there"] = None
        elif fault is not None and fault.code not in run.declaration.absent:
            if self._again_one_by_one(run, params, parents, fault):
                return
            with self._lock:
                if fault.kind == "gone" and parents and isinstance(run.declaration.param, str):
                    cell.gone.update(dict.fromkeys(parents, fault))
                elif parents:
                    cell.faults.update(dict.fromkeys(parents, fault))
                elif any(run.pages.values()):
                    # A later page failed: what was read can be judged, absence cannot.
                    cell.cut = fault
                else:
                    cell.fault = fault
        with self._lock:
            run.open -= 1
            finished = run.open == 0
        if finished:
            self._finish(run)

    def _read(
        self, run: _Run, index: int, params: dict[str, Any], token: Bucket | None = None
    ) -> Fault | None:
        """Read one request page by page; return why it did not answer to its end."""
        declaration, target = run.declaration, run.target
        cell = self.store.cells[declaration, target]
        price = operation_facts(declaration.service, declaration.operation).request_cost
        most = pages_at_most(declaration) if price else None
        try:
            answers = self._source.pages(target, declaration, params)
            for number in itertools.count(1):
                # Only before a first page can all of it be left for later; what was paid for waits where it is.
                free = number == 1 and not price
                with self._limiter.turn(token) if self._limiter is not None and free else nullcontext():
                    found = next(answers, None)
                if found is None:
                    break
                answer, last = found
                rows = self._rows(declaration, answer, target, params)
                with self._lock:
                    run.pages[index, number] = rows
                    run.count += len(rows)
                    full = declaration.max_resources and run.count >= declaration.max_resources
                    if (full or number == most) and not last:
                        cell.partial = True
                        break
                if last:
                    break
        except CallFault as error:
            return error.fault
        return None

    @staticmethod
    def _rows(declaration: Inventory, answer: Answer, target: Target, params: Mapping[str, Any]) -> list[Any]:
        try:
            return declaration.rows(Page(cut(answer, declaration.key), target, params))
        except Exception as error:
            # One answer that a fixture does not understand blinds one target, not the audit.
            raise CallFault(fixture_crashed(declaration, error)) from error

    def _again_one_by_one(
        self, run: _Run, params: dict[str, Any], parents: tuple[str, ...], fault: Fault
    ) -> bool:
        """Ask for each id of a batch alone if one of them is gone: AWS then refuses the whole batch."""
        name = run.declaration.param
        if fault.kind != "gone" or len(parents) < 2 or not isinstance(name, str) or run.declaration.batch < 2:
            return False
        requests = [
            ({**params, name: [value]}, (parent,))
            for value, parent in zip(params[name], parents, strict=True)
        ]
        with self._lock:
            run.open += len(requests) - 1
            first, run.asked = run.asked, run.asked + len(requests)
        for offset, (request, one) in enumerate(requests):
            self._submit(lambda i=first + offset, p=request, n=one: self._fetch(run, i, p, n))  # type: ignore[misc]
        return True

    def _finish(self, run: _Run) -> None:
        cell = self.store.cells[run.declaration, run.target]
        with self._lock:
            cell.rows = [row for key in sorted(run.pages) for row in run.pages[key]]
            limit = run.declaration.max_resources
            if limit and len(cell.rows) > limit:
                cell.rows, cell.partial = cell.rows[:limit], True
            codes = {(fault.kind, fault.code) for fault in cell.faults.values()}
            # A whole denied operation is one blind spot, not one line a resource.
            if cell.faults and len(codes) == 1 and not run.pages and run.asked > 1:
                cell.fault = next(iter(cell.faults.values()))
        self._end(run.declaration, run.target)

    def _end(self, declaration: Inventory, target: Target) -> None:
        """The cell is complete: begin what waited for it last."""
        ready = []
        with self._lock:
            self.store.cells[declaration, target].done = True
            for follower in self._followers.get((declaration, target), ()):
                self._lacking[follower] -= 1
                if not self._lacking[follower]:
                    ready.append(follower)
        for follower in ready:
            self._begin(*follower)

    def _start_child(self, child: Inventory, target: Target, parent: Cell) -> None:
        cell = self.store.cells[child, target]
        if parent.fault is not None:
            cell.fault = parent.fault
            self._end(child, target)
            return
        try:
            requests = requests_for(child, target, parent.rows, self._chooser, self._prices)
        except Exception as error:  # noqa: BLE001 - where= is a fixture's code: it blinds this cell alone
            cell.fault, requests = fixture_crashed(child, error), []
        self._start(child, target, requests)

    # --- one batch of series ----------------------------------------------------------------------------------------

    def _series(self, target: Target, keys: list[SeriesKey], start: datetime, end: datetime) -> None:
        found = self._source.metrics(target, keys, start, end)
        found |= self._cut_off(target, found, start, end)
        with self._lock:
            for key in keys:
                self.store.series[target, key] = found[key]

    def _cut_off(
        self, target: Target, found: Mapping[SeriesKey, Points], start: datetime, end: datetime
    ) -> dict[SeriesKey, Points]:
        """Ask once more for the series that CloudWatch did not finish: each costs again, and the ledger says so."""
        keys = [key for key, points in found.items() if points.fault and points.fault.code in UNFINISHED]
        more = self._source.metrics(target, keys, start, end, again=True) if keys else {}
        return {key: points for key, points in more.items() if points.fault is None}

    # --- threads ----------------------------------------------------------------------------------------------------

    def _submit(self, task: Callable[[], None]) -> None:
        with self._lock:
            self._open += 1
            self._total += 1
        self._tasks.put(task)

    def _later(self, delay: float, task: Callable[[], None]) -> None:
        with self._done:
            self._open += 1
            heapq.heappush(self._delayed, (time.monotonic() + delay, next(self._turns), task))
            self._done.notify_all()

    def _wake(self) -> float:
        """Hand over the tasks whose time has come; return the seconds until the next look."""
        while self._delayed:
            rest = self._delayed[0][0] - time.monotonic()
            if rest > 0 and not self._stop.is_set():
                return min(rest, 0.2)
            self._tasks.put(heapq.heappop(self._delayed)[2])
        return 0.2

    def _run(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run jobs and all that they submit; threads are daemons, so that an interrupt ends the process at once."""
        if not jobs:
            return
        with self._lock:
            self._open = self._total = 0
        for job in jobs:
            self._submit(job)
        workers = [
            threading.Thread(target=self._work, daemon=True, name=f"finops-{index}")
            for index in range(min(self._threads, max(1, len(jobs) * 2)))
        ]
        for worker in workers:
            worker.start()
        try:
            with self._done:
                while self._open and self._crash is None:
                    self._done.wait(self._wake())
                    self._progress(self._total - self._open, self._total)
        except KeyboardInterrupt:
            self._stop.set()
            raise
        finally:
            for _ in workers:
                self._tasks.put(None)
        for worker in workers:
            worker.join(5)
        if self._crash is not None:
            raise self._crash

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            try:
                if not self._stop.is_set():
                    task()
            except BaseException as error:  # noqa: BLE001 - re-raised in the main thread
                with self._done:
                    self._crash = self._crash or error
            finally:
                with self._done:
                    self._open -= 1
                    # Only the end wakes the main thread; it looks at progress by itself.
                    if self._open == 0 or self._crash is not None:
                        self._done.notify_all()


def fixture_crashed(declaration: Inventory, error: Exception) -> Fault:
    """Return the fault that code of a fixture is to its cell."""
    text = " ".join(f"fixture {declaration.name}: {type(error).__name__}: {error}".split())
    return Fault("failed", "FixtureCrashed", text)


def requests_for(
    child: Inventory,
    target: Target,
    parents: Sequence[Any],
    chooser: Chooser,
    prices: Sequence[PriceKey] = (),
) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
    """Return the distinct requests of a ``per=`` inventory, each with the ids of the parents that it is for."""
    if not parents:
        return []
    chosen = chooser(child, target)
    wanted = [parent for parent in parents if chosen(parent)]
    assert not callable(child.params)  # the declaration refuses it
    if isinstance(child.param, str) and child.batch > 1:
        groups: dict[tuple[Any, ...], list[Any]] = {}
        within = child.within or {}
        for parent in wanted:
            groups.setdefault(tuple(getattr(parent, name) for name in within.values()), []).append(parent)
        found: list[tuple[dict[str, Any], tuple[str, ...]]] = []
        for values, members in groups.items():
            for begin in range(0, len(members), child.batch):
                part = members[begin : begin + child.batch]
                params = {
                    **child.params, **dict(zip(within, values, strict=True)), child.param: [_id_of(child, m) for m in part],
                }  # fmt: skip
                found.append((params, tuple(member.id for member in part)))
        return found
    mapping = {child.param: "id"} if isinstance(child.param, str) else dict(child.param or {})
    requests: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for parent in wanted:
        for more in child.by_prices(parent, prices) if child.by_prices else ({},):
            params = {
                **child.params,
                **{member: getattr(parent, attribute) for member, attribute in mapping.items()},
                **more,
            }
            requests.setdefault(repr(sorted(params.items())), (params, []))[1].append(parent.id)
    return [(params, tuple(ids)) for params, ids in requests.values()]


def _id_of(child: Inventory, parent: Any) -> str:
    # Batches by ARN take the ARN: the request member says so.
    if isinstance(child.param, str) and child.param.endswith(("Arn", "Arns")) and parent.arn:
        return str(parent.arn)
    return str(parent.id)


def pages_at_most(declaration: Inventory) -> int:
    """Return how many pages one request of a billable inventory may take; beyond them its answer is partial."""
    facts = operation_facts(declaration.service, declaration.operation)
    if not (facts.paginator or declaration.tokens):
        return 1
    return declaration.max_pages or BILLABLE_PAGES


def batches(keys: Sequence[SeriesKey], start: datetime, end: datetime) -> list[list[SeriesKey]]:
    """Cut series into requests of min(500, 100,800 // datapoints) queries, so that no answer needs a second page."""
    by_period: dict[int, list[SeriesKey]] = {}
    for key in keys:
        by_period.setdefault(key[4], []).append(key)
    found: list[list[SeriesKey]] = []
    for period, members in sorted(by_period.items()):
        points = max(1, int((end - start) / timedelta(seconds=period)))
        size = max(1, min(MAX_QUERIES, MAX_POINTS // points))
        found += [list(members[begin : begin + size]) for begin in range(0, len(members), size)]
    return found
