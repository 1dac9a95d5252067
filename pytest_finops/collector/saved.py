"""The saved inventory (interface, section 6): written as pages arrive, replayed without AWS, read by workers."""

from __future__ import annotations

import functools
import json
import os
import re
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from ..errors import AuditError
from ..operations import operation
from ..resources import Target
from .aws import Answer, snake
from .faults import CallFault, Fault, classify
from .store import Points, SeriesKey

FORMAT = 1
#: Members that carry secrets, whatever the service; what an operation of the table carries is in its row.
SECRET = re.compile(
    r"(?i)\w*(password|passphrase|secret(_?value|_?string|_?binary|_?token)?|auth_?token|private_?key|shared_?key"
    r"|credentials?|connection_?string|environment_?variables?|user_?data|master_?username|customergatewayconfiguration)"
)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if key != "ResponseMetadata"}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value


Members = tuple[str, ...]


@functools.cache
def _sensitive(call: str) -> tuple[tuple[Members, ...], bool]:
    """Return the paths of a call's sensitive members, and whether there may be others that nobody listed."""
    facts = operation(*call.split(".", 1))
    return tuple(tuple(path.replace("[]", "").split(".")) for path in facts.sensitive_fields), not facts.known


def without_secrets(call: str, answer: Any) -> Any:
    """Return an answer of ``call`` without its sensitive members; what is around them stays."""
    paths, guess = _sensitive(call)
    return _without(answer, paths, (), guess) if paths or guess else answer


def _without(value: Any, paths: tuple[Members, ...], inside: tuple[Members, ...], guess: bool) -> Any:
    """Drop what ``paths`` name from any member, what ``inside`` names from this one, and what is called a secret."""
    if isinstance(value, list):
        return [_without(item, paths, inside, guess) for item in value]
    if not isinstance(value, Mapping):
        return value
    kept = {}
    for key, item in value.items():
        begun = [path[1:] for path in (*paths, *inside) if path[0] == key]
        secret = guess and not isinstance(item, bool) and SECRET.fullmatch(key)
        if () not in begun and not secret:
            kept[key] = _without(item, paths, tuple(begun), guess)
    return kept


def canonical(params: Mapping[str, Any]) -> str:
    """Return request parameters as comparable text."""
    return json.dumps(_plain(params), sort_keys=True, default=str)


class Writer:
    """Writes answers of live calls; files are 0600 in a 0700 directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.Lock()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def manifest(
        self, now: datetime, targets: Iterable[Target], pruned: Container[tuple[str, str]] = (),
        not_entered: Iterable[Mapping[str, str]] = (),
    ) -> None:  # fmt: skip
        """Write ``manifest.json`` for ``targets``; ``pruned`` are the (account, region) that nobody looked at.

        ``not_entered`` are the accounts that could not be entered, with call, code and message.
        """
        accounts: dict[str, dict[str, Any]] = {}
        for target in targets:
            entry = accounts.setdefault(
                target.account_id,
                {
                    "account_id": target.account_id,
                    "name": target.name,
                    "partition": target.partition,
                    "regions": [],
                },
            )
            entry["regions"].append(target.region)
            if (target.account_id, target.region) in pruned:
                entry.setdefault("pruned", []).append(target.region)
            if target.organizational_unit:
                entry["organizational_unit"] = target.organizational_unit
        document: dict[str, Any] = {
            "format": 1, "created": now.isoformat(), "now": now.isoformat(), "metrics": "asked",
            "targets": [accounts[key] for key in sorted(accounts)],
        }  # fmt: skip
        if missing := list(not_entered):
            document["not_entered"] = missing
        text = json.dumps(document, indent=2) + "\n"
        self._write(self.directory / "manifest.json", text.encode(), os.O_TRUNC, durable=True)

    def page(
        self, target: Target, call: str, params: Mapping[str, Any], number: int, answer: Answer, last: bool
    ) -> None:
        """Write one page."""
        kept = without_secrets(call, answer)
        line = {"params": _plain(params), "page": number, "answer": kept, "last": last}
        self._lines(target, f"{call}.jsonl", [line])

    def error(self, target: Target, call: str, params: Mapping[str, Any], fault: Fault) -> None:
        """Write that a call did not answer."""
        line = {"params": _plain(params), "error": {"code": fault.code, "message": fault.message}}
        self._lines(target, f"{call}.jsonl", [line])

    def series(
        self, target: Target, found: Mapping[SeriesKey, Points], start: datetime, end: datetime
    ) -> None:
        """Write metric series, empty ones too, and see them to the disk: they were paid for."""
        lines = []
        # The series of a batch share their hours: each hour is written out once.
        hours: dict[int, list[str]] = {}
        for key, points in found.items():
            namespace, name, dimensions, statistic, period = key
            if id(points.times) not in hours:
                hours[id(points.times)] = [when.isoformat() for when, _ in points.pairs()]
            lines.append({
                "namespace": namespace, "metric_name": name, "dimensions": dict(dimensions), "statistic": statistic,
                "period": period, "unit": None, "start": start.isoformat(), "end": end.isoformat(),
                "status": "complete" if points.fault is None else "partial",
                "error": None if points.fault is None else {"code": points.fault.code, "message": points.fault.message},
                "points": list(zip(hours[id(points.times)], points.values, strict=True)),
            })  # fmt: skip
        self._lines(target, "metrics.jsonl", lines, durable=True)

    def _lines(
        self, target: Target, name: str, documents: Iterable[Mapping[str, Any]], *, durable: bool = False
    ) -> None:
        folder = self.directory / target.account_id / target.region
        data = b"".join(msgspec.json.encode(document) + b"\n" for document in documents)
        with self._lock:
            for one in (folder.parent, folder):
                one.mkdir(exist_ok=True, mode=0o700)
            self._write(folder / name, data, os.O_APPEND, durable)

    @staticmethod
    def _write(path: Path, data: bytes, how: int, durable: bool = False) -> None:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
            # One unbuffered write: a kill between two lines tears neither.
            with os.fdopen(handle, "ab", buffering=0) as file:
                file.write(data)
                if durable:
                    os.fsync(handle)
        except OSError as error:
            raise AuditError(
                f"--finops-save-inventory: {path} cannot be written: {error.strerror}; name another directory"
            ) from error


class Saved:
    """A saved inventory as a source of answers: equal requests, or ones that only narrow a saved request."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifest = self._manifest()
        self.now = datetime.fromisoformat(self.manifest["now"].replace("Z", "+00:00"))
        self._calls: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        self._metrics: dict[tuple[str, str], dict[Any, list[dict[str, Any]]] | None] = {}
        self._folders: dict[Target, tuple[frozenset[str], frozenset[str]]] = {}
        self._lock = threading.RLock()
        self._shapes: dict[str, Any] = {}

    def _manifest(self) -> dict[str, Any]:
        path = self.directory / "manifest.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise AuditError(f"{self.directory} is not a saved inventory: it has no manifest.json") from None
        except OSError as error:
            raise AuditError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise AuditError(f"{path} is not JSON ({error}); save the inventory anew") from error
        if (
            isinstance(document, dict)
            and isinstance(document.get("format"), int)
            and document["format"] > FORMAT
        ):
            raise AuditError(
                f"{path}: format {document['format']} is newer than this release reads ({FORMAT}); "
                "upgrade pytest-finops"
            )
        reason = why_no_manifest(document)
        if reason:
            raise AuditError(f"{path} is not the manifest of a saved inventory: {reason}")
        return dict(document)

    def targets(self) -> list[Target]:
        """The targets that the manifest names, by the saved clock."""
        return [
            Target(
                account_id=str(entry["account_id"]), region=region, name=str(entry.get("name") or entry["account_id"]),
                partition=str(entry.get("partition", "aws")), now=self.now,
                organizational_unit=entry.get("organizational_unit"),
            )
            for entry in self.manifest["targets"]
            for region in entry["regions"]
        ]  # fmt: skip

    def pruned(self) -> frozenset[tuple[str, str]]:
        """The (account, region) that the run that saved left out."""
        return frozenset(
            (str(entry["account_id"]), region)
            for entry in self.manifest["targets"]
            for region in entry.get("pruned", ())
        )

    def not_entered(self) -> list[dict[str, str]]:
        """The accounts that the run that saved could not enter: account_id, service, operation, code, message."""
        return list(self.manifest.get("not_entered", ()))

    def _load(self, target: Target, call: str) -> list[dict[str, Any]]:
        """Return the saved calls as documents with params, pages, error, complete."""
        key = (target.account_id, target.region, call)
        with self._lock:
            if key not in self._calls:
                self._calls[key] = self._read(target, call)
            return self._calls[key]

    def _listed(self, target: Target) -> tuple[frozenset[str], frozenset[str]]:
        """Return the files of a target's folder, and the calls that answered with nothing; read once."""
        if target not in self._folders:
            folder = self.directory / target.account_id / target.region
            names = frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()  # noqa: PTH208 - names alone
            path = folder / "empty.json"
            empty = json.loads(path.read_text(encoding="utf-8")) if path.name in names else ()
            self._folders[target] = (names, frozenset(empty))
        return self._folders[target]

    def _read(self, target: Target, call: str) -> list[dict[str, Any]]:
        folder = self.directory.joinpath(target.account_id, target.region)
        calls: dict[str, dict[str, Any]] = {}
        try:
            names, empty = self._listed(target)
            if f"{call}.json" in names:
                for saved in json.loads((folder / f"{call}.json").read_text(encoding="utf-8"))["calls"]:
                    calls[canonical(saved["params"])] = {
                        "params": saved["params"], "pages": saved.get("pages") or [], "error": saved.get("error"), "complete": True,
                    }  # fmt: skip
            if f"{call}.jsonl" in names:
                for text in (folder / f"{call}.jsonl").read_text(encoding="utf-8").splitlines():
                    saved = json.loads(text)
                    entry = calls.setdefault(
                        canonical(saved["params"]),
                        {"params": saved["params"], "pages": [], "error": None, "complete": False},
                    )
                    if saved.get("error"):
                        entry["error"], entry["complete"] = saved["error"], True
                    else:
                        number, last = saved["page"], bool(saved.get("last"))
                        if number == 1:
                            # Asked anew: the later answers hold.
                            entry["error"], entry["complete"] = None, False
                        entry["pages"][number - 1 :] = [saved["answer"]]
                        entry["complete"] = last
            if not calls and call in empty:
                return [{"params": None, "pages": [], "error": None, "complete": True}]
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Damaged is not absent: whoever needs this call is blind, and the rest is judged.
            text = f"{folder}/{call} is damaged ({type(error).__name__}: {error})"
            raise CallFault(Fault("failed", "Unreadable", text)) from error
        return list(calls.values())

    def pages(
        self, target: Target, service: str, method: str, params: Mapping[str, Any], *, key: str, witness: str
    ) -> Iterator[tuple[Answer, bool]]:
        """Yield the saved pages of a call; CallFault where it is missing or was itself an error."""
        saved = self._load(target, f"{service}.{method}")
        wanted = canonical(params)
        for call in saved:
            if call["params"] is None:
                yield ({witness: []} if witness else {}), True
                return
            if canonical(call["params"]) == wanted:
                yield from self._answers(call, service, method)
                return
        wider = _covering(params, saved)
        if not wider:
            raise CallFault(Fault("missing", "NotSaved", f"{service}.{method} is not in the saved inventory"))
        from .executor import cut

        answers: list[Any] = []
        for call, rest in wider:
            members = [
                member for answer, _ in self._answers(call, service, method) for member in cut(answer, key)
            ]
            for name, values in rest.items():
                members = _narrowed(members, name, values, target.account_id)
            answers.extend(members)
        yield _wrap(key, answers), True

    def _answers(self, call: Mapping[str, Any], service: str, method: str) -> Iterator[tuple[Answer, bool]]:
        for number, answer in enumerate(call["pages"], 1):
            last = bool(call["complete"]) and not call["error"] and number == len(call["pages"])
            yield self._typed(service, method, answer), last
        error = call["error"]
        if error:
            code = str(error.get("code", "Unknown"))
            raise CallFault(Fault(classify(code), code, str(error.get("message", ""))))
        if not call["complete"]:
            # Whoever is content with fewer pages, as the run that saved them was, does not come here.
            text = f"{service}.{method} is not in the saved inventory to its last page"
            raise CallFault(Fault("missing", "NotSaved", text))

    def there(
        self, target: Target, service: str, method: str, params: Mapping[str, Any]
    ) -> tuple[list[Answer], bool]:
        """Return the pages that are saved of exactly this call, and whether they are all; none of a call that failed."""
        wanted = canonical(params)
        for call in self._load(target, f"{service}.{method}"):
            if call["params"] is not None and canonical(call["params"]) == wanted and not call["error"]:
                return [self._typed(service, method, answer) for answer in call["pages"]], call["complete"]
        return [], False

    def _typed(self, service: str, method: str, answer: Any) -> Any:
        """Return the answer with its timestamps as datetimes, by botocore's model of the operation."""
        with self._lock:
            if service not in self._shapes:
                import botocore.session

                api = botocore.session.Session().get_service_model(service)
                self._shapes[service] = {
                    snake(name): api.operation_model(name) for name in api.operation_names
                }
            model = self._shapes[service].get(method)
        return answer if model is None else _revive(answer, model.output_shape)

    def series(self, target: Target, key: SeriesKey, start: datetime, end: datetime) -> Points:
        """Return one series out of ``metrics.jsonl``: equal, finer or longer ones can answer; coarser ones cannot."""
        namespace, name, dimensions, statistic, period = key
        try:
            loaded = self._series_of(target)
        except CallFault as damaged:
            return Points(fault=damaged.fault)
        if loaded is None:
            return Points(
                fault=Fault("missing", "NotSaved", "the saved inventory has no metrics of this target")
            )
        candidates = loaded.get((namespace, name, dimensions, statistic))
        if not candidates:
            if self.manifest.get("metrics") == "complete":
                return Points()
            return Points(
                fault=Fault(
                    "missing", "NotSaved", f"{namespace} {name} {statistic} is not in the saved inventory"
                )
            )
        for line in sorted(candidates, key=lambda one: int(one["period"]), reverse=True):
            if line.get("error") or line.get("status") == "partial":
                error = line.get("error") or {"code": "PartialData", "message": "the saved series is partial"}
                return Points(fault=Fault("partial", str(error.get("code")), str(error.get("message", ""))))
            if int(line["period"]) > period or period % int(line["period"]):
                continue
            if _when(line["start"]) > start or _when(line["end"]) < end:
                # Hours that nobody asked for are not hours without data points.
                continue
            points = [(_when(at), float(value)) for at, value in line["points"]]
            found = list(_coarser(points, statistic, int(line["period"]), period, start, end))
            return Points.of([at for at, _ in found], [value for _, value in found])
        return Points(
            fault=Fault("missing", "TooCoarse", "the saved series is coarser or shorter than what is asked")
        )

    def held(self, target: Target, key: SeriesKey, start: datetime, end: datetime) -> Points | None:
        """Return a series that was answered for exactly this window; None of one that was not, or not completely."""
        loaded = self._series_of(target) or {}
        for line in loaded.get(key[:4], ()):
            same = int(line["period"]) == key[4] and (_when(line["start"]), _when(line["end"])) == (
                start,
                end,
            )
            if same and line["status"] == "complete":
                return Points.of(
                    [_when(at) for at, _ in line["points"]], [value for _, value in line["points"]]
                )
        return None

    def _series_of(self, target: Target) -> dict[Any, list[dict[str, Any]]] | None:
        key = (target.account_id, target.region)
        with self._lock:
            if key not in self._metrics:
                path = self.directory / target.account_id / target.region / "metrics.jsonl"
                if not path.exists():
                    self._metrics[key] = None
                else:
                    found: dict[Any, list[dict[str, Any]]] = {}
                    try:
                        for text in path.read_text(encoding="utf-8").splitlines():
                            line = json.loads(text)
                            identity = (
                                line["namespace"], line["metric_name"],
                                tuple(sorted((k, str(v)) for k, v in line["dimensions"].items())), line["statistic"],
                            )  # fmt: skip
                            _when(line["start"]), _when(line["end"])
                            lines = found.setdefault(identity, [])
                            # Asked anew: the later line holds.
                            same = [
                                one
                                for one in lines
                                if all(one[k] == line[k] for k in ("period", "start", "end"))
                            ]
                            for one in same:
                                lines.remove(one)
                            lines.append(line)
                    except (ValueError, KeyError, TypeError) as error:
                        text = f"{path} is damaged ({type(error).__name__}: {error})"
                        raise CallFault(Fault("failed", "Unreadable", text)) from error
                    self._metrics[key] = found
            return self._metrics[key]


def why_no_manifest(document: Any) -> str:
    """Return what is wrong with a manifest, or nothing."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return f"it needs format {FORMAT}"
    try:
        _when(document["now"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return "now must be a time like 2026-11-01T06:00:00Z"
    targets, missing = document.get("targets"), document.get("not_entered", [])
    names = ("account_id", "service", "operation", "code", "message")
    if not isinstance(missing, list) or not all(
        isinstance(one, dict) and all(isinstance(one.get(n), str) for n in names) for one in missing
    ):
        return f"not_entered must be a list of accounts with {', '.join(names)}"
    if not isinstance(targets, list) or not (targets or missing):
        return "targets must list at least one account"
    for number, entry in enumerate(targets):
        regions = entry.get("regions") if isinstance(entry, dict) else None
        if not isinstance(regions, list) or not regions or not entry.get("account_id"):
            return f"targets[{number}] needs account_id and a list of regions"
    return ""


_MERGES: dict[str, Callable[[list[float]], float]] = {
    "Maximum": max,
    "Minimum": min,
    "Sum": sum,
    "SampleCount": sum,
}


def _when(text: str) -> datetime:
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _coarser(
    points: list[tuple[datetime, float]], statistic: str, have: int, want: int, start: datetime, end: datetime
) -> Iterator[tuple[datetime, float]]:
    inside = sorted((at, value) for at, value in points if start <= at < end)
    if have == want:
        yield from inside
        return
    buckets: dict[int, list[float]] = {}
    for at, value in inside:
        buckets.setdefault(int((at - start).total_seconds()) // want, []).append(value)
    for index, values in sorted(buckets.items()):
        merge: Callable[[list[float]], float] = _MERGES.get(statistic, lambda some: sum(some) / len(some))
        value = merge(values)
        yield start + timedelta(seconds=index * want), value


def _revive(value: Any, shape: Any) -> Any:
    if shape is None or value is None:
        return value
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        return {name: _revive(item, shape.members.get(name)) for name, item in value.items()}
    if kind == "list" and isinstance(value, list):
        return [_revive(item, shape.member) for item in value]
    if kind == "map" and isinstance(value, Mapping):
        return {name: _revive(item, shape.value) for name, item in value.items()}
    if kind == "timestamp" and isinstance(value, str):
        return _when(value)
    return value


def _covering(
    wanted: Mapping[str, Any], saved: Iterable[dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, list[Any]]]]:
    """Return saved calls that hold all of a request, each with the lists that its members are to be narrowed by.

    A call without a list holds all of it; of batches of ids, several may be needed.
    """
    found: dict[str, list[tuple[dict[str, Any], dict[str, list[Any]]]]] = {}
    held: dict[str, set[str]] = {}
    for call in saved:
        params = call["params"]
        if any(name not in wanted for name in params):
            continue
        other = {name: value for name, value in wanted.items() if params.get(name) != value}
        if not all(isinstance(value, list) for value in other.values()):
            continue
        batches = [name for name in other if name in params]
        if not batches:
            return [(call, other)]
        (name, *more) = batches
        # Two lists that differ cannot be put together from batches, nor can anything but ids.
        if more or not _are_texts(wanted[name]) or not _are_texts(params[name]):
            continue
        key = json.dumps([name, sorted(other)])
        new = [item for item in wanted[name] if item in params[name] and item not in held.get(key, ())]
        if not new:
            continue
        held.setdefault(key, set()).update(new)
        rest = {one: value for one, value in other.items() if one != name}
        whole = set(new) == set(params[name])
        found.setdefault(key, []).append((call, rest if whole else {**rest, name: new}))
        if held[key] == set(wanted[name]):
            return found[key]
    return []


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _narrowed(members: list[Any], name: str, values: list[Any], account_id: str) -> list[Any]:
    """Return the members that a list of a request selects; CallFault where the members do not tell."""
    if name == "Filters":
        for one in values:
            members = _filtered(members, one)
        return members
    if not members or not values:
        return members
    unclear = CallFault(Fault("missing", "NotSaved", f"the saved answers cannot be narrowed by {name}"))
    if not _are_texts(values) or not all(isinstance(member, Mapping) for member in members):
        raise unclear
    wanted = {account_id if value == "self" else value for value in values}
    single = {"Owners": "OwnerId", "OwnerIds": "OwnerId"}.get(name, name.removesuffix("s"))
    keys = [single] if all(single in member for member in members) else []
    if not keys and single in ("Arn", "Id", "Name"):
        # Names is the LoadBalancerName of what is listed, if nothing else there is a name.
        keys = sorted({key for member in members for key in member if key.endswith(single)})
    if len(keys) != 1 or not all(isinstance(member.get(keys[0]), str) for member in members):
        raise unclear
    return [member for member in members if member[keys[0]] in wanted]


def _filtered(members: list[Any], one: Mapping[str, Any]) -> list[Any]:
    name, values = one.get("Name"), one.get("Values")
    unclear = CallFault(
        Fault("missing", "NotSaved", f"the saved answers cannot be narrowed by the filter {name}")
    )
    if not isinstance(name, str) or not _are_texts(values):
        raise unclear
    patterns: list[str] = list(values or ())
    if not members:
        return members
    if not all(isinstance(member, Mapping) for member in members):
        raise unclear

    def hit(value: Any) -> bool:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return any(fnmatchcase(text, pattern) for pattern in patterns)

    if name.startswith("tag:"):
        found = [{tag["Key"]: tag.get("Value", "") for tag in member.get("Tags") or ()} for member in members]
        return [
            member
            for member, tags in zip(members, found, strict=True)
            if name[4:] in tags and hit(tags[name[4:]])
        ]
    camel = "".join(part.capitalize() for part in name.replace(".", "-").split("-"))
    for key in (camel, "State") if name == "status" else (camel,):
        there = [member[key] for member in members if key in member]
        if there and all(isinstance(value, str | int | float) for value in there):
            return [member for member in members if key in member and hit(member[key])]
    raise unclear


def _wrap(key: str, members: list[Any]) -> dict[str, Any]:
    """Put members back where ``key`` finds them."""
    value: Any = members
    for part in reversed(key.split(".")):
        value = {part.removesuffix("[]"): value}
        if part != key.split(".")[0]:
            value = [value]
    return value if isinstance(value, dict) else {"": value}
