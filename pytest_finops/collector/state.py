"""The state of a live run under ``.finops/``: what a kill leaves behind, and what ``--finops-resume`` goes on from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .faults import CallFault, FaultKind
from .saved import Saved, Writer, canonical

if TYPE_CHECKING:
    from ..declare import Inventory
    from ..resources import Target
    from .aws import Answer
    from .executor import Behind, Source
    from .ledger import Ledger
    from .store import Points, SeriesKey

FORMAT = 1
FOLDER = ".finops"
#: Answers of an interrupted run are too old to go on from after this; the next run removes them.
MAX_AGE = timedelta(hours=24)
#: Faults that another attempt may cure: what was answered is worth keeping for it.
CURABLE: frozenset[FaultKind] = frozenset(
    {"throttled", "transient", "timeout", "foreign", "expired", "cost_limit", "partial", "missing"}
)


@dataclass(slots=True)
class RunState:
    """One run's folder: ``run.json`` (selection, clock), ``ledger.jsonl``, the answers; locked while the run lives."""

    folder: Path
    answers: Path
    started: datetime
    now: datetime
    selection: Mapping[str, Any]
    resumed: bool
    _lock: int

    @classmethod
    def start(
        cls,
        root: Path,
        run_id: str,
        started: datetime,
        now: datetime,
        selection: Mapping[str, Any],
        answers: Path | None,
    ) -> RunState:
        """Make the folder of a run that ``started`` now, by the real clock, and remove what is too old to be resumed."""
        for old in unfinished(root):
            if _age(old, started) > MAX_AGE:
                shutil.rmtree(old, ignore_errors=True)
        folder = root / FOLDER / run_id
        # Parents would get the mode of the umask.
        folder.parent.mkdir(exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        document = {
            "format": FORMAT, "started": started.isoformat(), "now": now.isoformat(),
            "answers": str(answers.absolute()) if answers else None, "selection": dict(selection),
        }  # fmt: skip
        lock = _locked(folder)
        assert lock is not None
        _durable(folder / "run.json", json.dumps(document, indent=2) + "\n")
        return cls(folder, answers or folder, started, now, selection, False, lock)

    @classmethod
    def resume(cls, root: Path, today: datetime) -> RunState:
        """Take over the newest interrupted run below ``root``; ``today`` is the real clock.

        :raises ConfigError: when there is none, or it is too old or cannot be read.
        """
        for folder in unfinished(root):
            lock = _locked(folder)
            if lock is None:
                continue
            try:
                document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
                started = datetime.fromisoformat(document["started"])
                now = datetime.fromisoformat(document["now"])
                selection, answers = document["selection"], document["answers"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"--finops-resume: {folder}/run.json cannot be read: {error}") from error
            where = Path(answers) if answers else folder
            if not (where / "manifest.json").exists():
                os.close(lock)  # killed before it asked anything
                continue
            age = today - started
            if age > MAX_AGE:
                raise ConfigError(
                    f"--finops-resume: the interrupted run is {age.days * 24 + age.seconds // 3600} hours old, more than "
                    f"{MAX_AGE.days * 24}; start anew without --finops-resume"
                )
            state = cls(folder, where, started, now, selection, True, lock)
            state._mend()
            return state
        raise ConfigError(
            f"--finops-resume: {root / FOLDER} holds no interrupted run; start without --finops-resume"
        )

    def agree(self, selection: Mapping[str, Any]) -> None:
        """Refuse to go on with another selection.

        :raises ConfigError: naming each difference.
        """
        then = json.loads(json.dumps(self.selection))
        now = json.loads(json.dumps(selection))
        differ = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
        if not differ:
            return
        # Other rules and targets ask otherwise: that says nothing more.
        told = (
            [name for name in differ if name not in _FOLLOWS] if {"rules", "targets"} & {*differ} else differ
        )
        lines = [f"  {name}: {_difference(name, then.get(name), now.get(name))}" for name in told]
        raise ConfigError(
            f"--finops-resume: the interrupted run was another one (other {', '.join(told)}); repeat its options, or start "
            "without --finops-resume\n" + "\n".join(lines)
        )

    def journal(self, **entry: Any) -> None:
        """Append one ledger entry."""
        text = json.dumps({key: str(v) if isinstance(v, Decimal) else v for key, v in entry.items()}) + "\n"
        handle = os.open(self.folder / "ledger.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)

    def restore(self, ledger: Ledger, *, early: bool) -> None:
        """Put what the interrupted run sent into ``ledger``: what comes before the prediction, or what it predicts."""
        path = self.folder / "ledger.jsonl"
        if not self.resumed or not path.exists():
            return
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            cost = Decimal(entry.pop("cost"))
            if (entry.pop("early", False) or not cost) == early:
                ledger.restore(**entry, cost=cost)

    def _mend(self) -> None:
        """Cut off lines that a kill left torn: what is appended now must start on a line of its own."""
        for path in [*self.folder.rglob("*.jsonl"), *self.answers.rglob("*.jsonl")]:
            data = path.read_bytes()
            if data and not data.endswith(b"\n"):
                os.truncate(path, data.rfind(b"\n") + 1)

    def remove(self) -> None:
        """The run is done: remove its folder, and those of runs that asked nothing else (answers saved elsewhere stay)."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for old in unfinished(self.folder.parent.parent):
            lock = _locked(old)
            if lock is not None:
                if _covers(self.selection, _selection(old)):
                    shutil.rmtree(old, ignore_errors=True)
                os.close(lock)
        with suppress(OSError):
            self.folder.parent.rmdir()
        self.release()

    def release(self) -> None:
        """Let another run take the folder over."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def unfinished(root: Path) -> list[Path]:
    """Return the folders of runs that did not end, newest first."""
    found = [path.parent for path in (root / FOLDER).glob("*/run.json")]
    return sorted(found, key=lambda folder: (folder / "run.json").stat().st_mtime, reverse=True)


def _age(folder: Path, today: datetime) -> timedelta:
    lock = _locked(folder)
    if lock is None:
        return timedelta(0)
    os.close(lock)
    changed = datetime.fromtimestamp((folder / "run.json").stat().st_mtime, UTC)
    return today - changed


def _locked(folder: Path) -> int | None:
    """Return a handle that holds the folder; None where a living run holds it."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        import fcntl

        # The kernel lets go when the process dies, however it dies.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except OSError:
        os.close(handle)
        return None
    return handle


def _durable(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)


def _selection(folder: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))["selection"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _covers(done: Mapping[str, Any], old: Mapping[str, Any] | None) -> bool:
    """Whether a run that is done has asked everything that an ``old`` one wanted to know."""
    if old is None or done.get("--finops-prune") not in ("", old.get("--finops-prune")):
        return False
    days = "look-back in days"
    return (done.get(days) or 0) >= (old.get(days) or 0) and all(
        {*_names(name, old.get(name) or ())} <= {*_names(name, done.get(name) or ())}
        for name in ("rules", "targets", *_FOLLOWS)
    )


#: What follows from rules and targets, and from what may be asked.
_FOLLOWS = ("calls", "series")


def _names(what: str, listed: Iterable[str]) -> list[str]:
    """Return what people read of a list of the selection: of calls their names, whatever they are asked with."""
    return list(dict.fromkeys(one.partition(" ")[0] if what == "calls" else one for one in listed))


def _difference(name: str, old: Any, new: Any) -> str:
    if not (isinstance(old, list) and isinstance(new, list)):
        return f"then {old}, now {new}"
    gone = _names(name, [one for one in old if one not in new])
    more = _names(name, [one for one in new if one not in old])
    both = [one for one in gone if one in more]
    return "; ".join(
        _listed([one for one in gone if one not in both], "then only")
        + _listed([one for one in more if one not in both], "now only")
        + _listed(both, "with other parameters")
    )


def _listed(names: Sequence[str], words: str) -> list[str]:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return [f"{words} {shown}"] if names else []


class Recorded:
    """A source whose answers are written down as they arrive, before anybody uses them."""

    def __init__(self, source: Source, writer: Writer) -> None:
        self._source = source
        self._writer = writer

    def pages(
        self, target: Target, declaration: Inventory, params: Mapping[str, Any], after: Behind = None
    ) -> Iterator[tuple[Answer, bool]]:
        """Pass on each page, written."""
        call = declaration.call
        try:
            pages = self._source.pages(target, declaration, params, after)
            for number, (answer, last) in enumerate(pages, after[0] + 1 if after else 1):
                self._writer.page(target, call, params, number, answer, last)
                yield answer, last
        except CallFault as error:
            if error.fault.kind != "missing":
                self._writer.error(target, call, params, error.fault)
            raise

    def metrics(
        self,
        target: Target,
        keys: Sequence[SeriesKey],
        start: datetime,
        end: datetime,
        *,
        again: bool = False,
    ) -> dict[SeriesKey, Points]:
        """Pass on the series, written and on the disk: they were paid for."""
        found = self._source.metrics(target, keys, start, end, again=again)
        kept = {
            key: points
            for key, points in found.items()
            if points.fault is None or points.fault.kind != "missing"
        }
        self._writer.series(target, kept, start, end)
        return found


class Resumed:
    """A source that answers from what an interrupted run wrote, and asks for the rest."""

    def __init__(self, saved: Saved, source: Source) -> None:
        self._saved = saved
        self._source = source
        self._begun: set[tuple[Target, Inventory, str]] = set()

    def pages(
        self, target: Target, declaration: Inventory, params: Mapping[str, Any], after: Behind = None
    ) -> Iterator[tuple[Answer, bool]]:
        """Yield the pages that are there, then go on behind them."""
        call = (target, declaration, canonical(params))
        there, complete = self._saved.there(target, declaration.service, declaration.operation, params)
        if call in self._begun:
            # The token of the last page that is there has died meanwhile: from the first page.
            there, complete = [], False
        self._begun.add(call)
        for number, answer in enumerate(there, 1):
            yield answer, complete and number == len(there)
        if not complete:
            yield from self._source.pages(
                target, declaration, params, (len(there), there[-1]) if there else None
            )

    def metrics(
        self,
        target: Target,
        keys: Sequence[SeriesKey],
        start: datetime,
        end: datetime,
        *,
        again: bool = False,
    ) -> dict[SeriesKey, Points]:
        """Return the series that were answered; ask, and pay, for the others alone."""
        found: dict[SeriesKey, Points] = {}
        for key in keys:
            points = self._saved.held(target, key, start, end)
            if points is not None:
                found[key] = points
        rest = [key for key in keys if key not in found]
        return found | (self._source.metrics(target, rest, start, end, again=again) if rest else {})
