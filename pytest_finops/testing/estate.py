"""What the stand-in for AWS knows: accounts, answers per account, region and operation, metric series."""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.utils

from pytest_finops.testing import wire

HOUR = timedelta(hours=1)
GLOBAL = "global"
SAVED_DAYS = 14

Points = list[tuple[datetime, float]]
MetricValue = float | int | Callable[[datetime], float | None] | Iterable[tuple[datetime | str, float]]
SeriesKey = tuple[str, str, str, str, tuple[tuple[str, str], ...], str]

_RELATIVE = re.compile(r"-(\d+(?:\.\d+)?)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DATE_NAME = re.compile(r"(?:Date|Time|At|Timestamp)$")


@dataclass(frozen=True, slots=True)
class Account:
    """One account of the estate; `closed_regions` are listed as not opted in."""

    account_id: str
    name: str
    regions: tuple[str, ...]
    access_key: str
    closed_regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedError:
    """A call that answers with an error."""

    code: str
    message: str = ""


@dataclass(slots=True)
class SavedCall:
    """One call and all of its answer, on one page."""

    params: dict[str, Any]
    answer: dict[str, Any] = field(default_factory=dict)
    error: SavedError | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One CloudWatch series by rule: a constant, a function of the hour, or points."""

    account_id: str
    region: str
    namespace: str
    metric_name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    unit: str
    rule: float | Callable[[datetime], float | None] | tuple[tuple[datetime, float], ...]

    def points(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
        """The points of whole hours from start up to, but without, end; oldest first."""
        if isinstance(self.rule, tuple):
            first = bisect.bisect_left(self.rule, start, key=lambda point: point[0])
            for at, value in self.rule[first:]:
                if at >= end:
                    return
                yield at, value
            return
        hour = floor_hour(start)
        if hour < start:
            hour += HOUR
        while hour < end:
            found = self.rule(hour) if callable(self.rule) else self.rule
            if found is not None:
                yield hour, float(found)
            hour += HOUR


def floor_hour(moment: datetime) -> datetime:
    """The start of the hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


#: What operations list that have other lists beside it and no paginator in botocore.
_LISTED = {
    "ce.get_cost_and_usage": ("ResultsByTime",),
    "ce.get_cost_and_usage_with_resources": ("ResultsByTime",),
    "ce.get_reservation_coverage": ("CoveragesByTime",),
    "ce.get_dimension_values": ("DimensionValues",),
}


def result_keys(service: str, operation: str) -> tuple[str, ...]:
    """The members of the answer that list what was asked for."""
    if f"{service}.{operation}" in _LISTED:
        return _LISTED[f"{service}.{operation}"]
    shape = wire.operation_model(service, operation).output_shape
    if shape is None:
        return ()
    config = wire.paginator_config(service, operation)
    if config is not None:
        keys = config["result_key"]
        named = tuple(keys) if isinstance(keys, list) else (keys,)
        return tuple(key for key in named if key in shape.members)
    return tuple(name for name, member in shape.members.items() if member.type_name == "list")


def envelope(service: str, operation: str) -> str:
    """The member around list, count and token of an answer, as CloudFront has it; empty where there is none."""
    key = (wire.paginator_config(service, operation) or {}).get("result_key", "")
    return key.removesuffix(".Items") if isinstance(key, str) and key.endswith(".Items") else ""


class Estate:
    """The accounts, answers, metrics and prices that a `ReplayEndpoint` serves."""

    def __init__(self, now: datetime | None = None):
        self.now = (now or datetime(2026, 1, 15, 12, tzinfo=UTC)).astimezone(UTC)
        self.accounts: dict[str, Account] = {}
        self.denied_roles: set[str] = set()
        self.products: list[dict[str, Any]] = []
        self.metrics: dict[SeriesKey, Series] = {}
        self.version = 0
        self._calls: dict[tuple[str, str, str], list[SavedCall]] = {}

    # -- accounts -----------------------------------------------------------------------------------------

    def account(
        self,
        account_id: str,
        name: str = "",
        regions: Iterable[str] = ("us-east-1",),
        access_key: str = "",
        closed_regions: Iterable[str] = (),
    ) -> Account:
        """Declare an account; without an access key it gets `AKIA<account id>TEST`."""
        account = Account(
            account_id, name, tuple(regions), access_key or f"AKIA{account_id}TEST", tuple(closed_regions)
        )
        self.accounts[account_id] = account
        self.version += 1
        return account

    def account_of(self, access_key: str) -> str | None:
        """The account that an access key, or the key of an assumed role, belongs to."""
        for account in self.accounts.values():
            if access_key in (account.access_key, self.role_key(account.account_id)):
                return account.account_id
        return None

    @staticmethod
    def role_key(account_id: str) -> str:
        """The access key that `sts.assume_role` answers for a role of the account."""
        return f"ASIA{account_id}ROLE"

    # -- answers ------------------------------------------------------------------------------------------

    def put(
        self,
        account_id: str,
        region: str,
        operation: str,
        answer: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the whole answer of an operation, for requests that have these parameters."""
        call = self._call(account_id, region, operation, params)
        call.answer = self._revived(operation, answer)
        call.error = None
        self.version += 1

    def refuse(
        self,
        account_id: str,
        region: str,
        operation: str,
        code: str,
        message: str = "",
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Let an operation answer with an error."""
        self._call(account_id, region, operation, params).error = SavedError(code, message)
        self.version += 1

    def add(self, account_id: str, region: str, operation: str, /, **member: Any) -> None:
        """Append one member to the result list of an operation."""
        service, _, name = operation.partition(".")
        around = envelope(service, name)
        if around:
            (revived,) = self._revived(operation, {around: {"Items": [member]}})[around]["Items"]
            listed = self._call(account_id, region, operation, None).answer.setdefault(around, {})
            listed.setdefault("Items", []).append(revived)
            self.version += 1
            return
        keys = result_keys(service, name)
        if not keys:
            raise ValueError(f"{operation} has no result list to add to")
        if operation == "ec2.describe_instances" and "Instances" not in member:
            instance = str(member.get("InstanceId", "i-0"))
            member = {
                "ReservationId": "r-" + instance.removeprefix("i-"),
                "OwnerId": account_id,
                "Groups": [],
                "Instances": [member],
            }
        revived = self._revived(operation, {keys[0]: [member]})
        call = self._call(account_id, region, operation, None)
        call.answer.setdefault(keys[0], []).extend(revived[keys[0]])
        self.version += 1

    def calls(self, account_id: str, region: str, operation: str) -> list[SavedCall]:
        """The saved calls of an operation; those of a global service are kept under `global`."""
        found = self._calls.get((account_id, region, operation))
        return found if found is not None else self._calls.get((account_id, GLOBAL, operation), [])

    def _call(
        self, account_id: str, region: str, operation: str, params: Mapping[str, Any] | None
    ) -> SavedCall:
        if account_id not in self.accounts:
            raise ValueError(f"account {account_id} is not in the estate")
        service, _, name = operation.partition(".")
        try:
            wire.operation_model(service, name)
        except KeyError:
            raise ValueError(f"botocore knows no operation {operation}") from None
        saved = self._calls.setdefault((account_id, region, operation), [])
        wanted = dict(params or {})
        for call in saved:
            if call.params == wanted:
                return call
        call = SavedCall(wanted)
        saved.append(call)
        return call

    # -- dates --------------------------------------------------------------------------------------------

    def moment(self, value: datetime | str) -> datetime:
        """A datetime from a datetime, an ISO string, or an age such as -45d."""
        if isinstance(value, str):
            match = _RELATIVE.fullmatch(value)
            if match:
                return self.now - timedelta(**{_UNITS[match[2]]: float(match[1])})
            value = botocore.utils.parse_timestamp(value)
        if not isinstance(value, datetime):
            raise TypeError(f"not a point in time: {value!r}")
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def _revived(self, operation: str, answer: Mapping[str, Any], *, strict: bool = True) -> dict[str, Any]:
        service, _, name = operation.partition(".")
        shape = wire.operation_model(service, name).output_shape
        plain = {key: item for key, item in answer.items() if key != "ResponseMetadata"}
        if shape is None:
            return {}
        revived: dict[str, Any] = self._revive(shape, plain, "", operation, strict)
        return revived

    def _revive(self, shape: Any, value: Any, member: str, where: str, strict: bool) -> Any:
        if value is None:
            return None
        match shape.type_name:
            case "structure":
                if getattr(shape, "is_document_type", False):
                    return value
                found = {}
                for key, item in value.items():
                    if key in shape.members:
                        found[key] = self._revive(shape.members[key], item, key, where, strict)
                    elif strict:
                        # A misspelt member would be dropped on the wire and the test would prove nothing.
                        raise ValueError(f"{where}: {shape.name} has no member {key!r}")
                return found
            case "list":
                return [self._revive(shape.member, item, member, where, strict) for item in value]
            case "map":
                return {
                    key: self._revive(shape.value, item, "", where, strict) for key, item in value.items()
                }
            case "timestamp":
                return self.moment(value)
            case "string" if _DATE_NAME.search(member) and isinstance(value, str):
                # Some dates are plain strings in the model (an image's CreationDate).
                if _RELATIVE.fullmatch(value):
                    return f"{self.moment(value):%Y-%m-%dT%H:%M:%S}.000Z"
        return value

    # -- metrics ------------------------------------------------------------------------------------------

    def metric(
        self,
        account_id: str,
        region: str,
        namespace: str,
        metric_name: str,
        dimensions: Mapping[str, str],
        statistic: str,
        value: MetricValue,
        unit: str = "None",
    ) -> None:
        """Declare an hourly series: a constant, a function of the hour (None: no data point), or points."""
        rule: float | Callable[[datetime], float | None] | tuple[tuple[datetime, float], ...]
        if isinstance(value, int | float):
            rule = float(value)
        elif callable(value):
            rule = value
        else:
            rule = tuple(sorted((self.moment(at), float(number)) for at, number in value))
        sides = tuple(sorted(dimensions.items()))
        self.metrics[account_id, region, namespace, metric_name, sides, statistic] = Series(
            account_id, region, namespace, metric_name, sides, statistic, unit, rule
        )
        self.version += 1

    # -- saved inventory ----------------------------------------------------------------------------------

    @classmethod
    def load(cls, directory: Path | str) -> Estate:
        """Read a saved inventory directory."""
        root = Path(directory)
        manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        moment = manifest.get("now") or manifest.get("created")
        estate = cls(botocore.utils.parse_timestamp(moment) if moment else None)
        for target in manifest["targets"]:
            estate.account(target["account_id"], target.get("name") or "", target.get("regions") or ())
        for folder in sorted(root.glob("*/*/")):
            account_id, region = folder.parent.name, folder.name
            if account_id not in estate.accounts:
                estate.account(account_id, regions=())
            for file in sorted(folder.iterdir()):
                if file.name == "metrics.jsonl":
                    estate._load_metrics(account_id, region, file)
                elif file.name == "empty.json":
                    for operation in json.loads(file.read_text(encoding="utf-8")):
                        estate._call(account_id, region, operation, None)
                elif file.suffix in (".json", ".jsonl"):
                    estate._load_calls(account_id, region, file)
        return estate

    def _load_calls(self, account_id: str, region: str, file: Path) -> None:
        operation = file.name.rpartition(".")[0]
        text = file.read_text(encoding="utf-8")
        lines: list[dict[str, Any]] = []
        if file.suffix == ".jsonl":
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            for call in json.loads(text)["calls"]:
                params = call.get("params") or {}
                lines += [{"params": params, "answer": page} for page in call.get("pages") or ()]
                if call.get("error"):
                    lines.append({"params": params, "error": call["error"]})
        for line in lines:
            saved = self._call(account_id, region, operation, line.get("params"))
            if line.get("error"):
                saved.error = SavedError(line["error"]["code"], line["error"].get("message", ""))
                continue
            self._merge(saved, operation, self._revived(operation, line.get("answer") or {}, strict=False))

    @staticmethod
    def _merge(saved: SavedCall, operation: str, answer: dict[str, Any]) -> None:
        service, _, name = operation.partition(".")
        keys = result_keys(service, name)
        tokens = output_tokens(service, name)
        around = envelope(service, name)
        if around in answer and "Items" in answer[around]:
            saved.answer.setdefault(around, {}).setdefault("Items", []).extend(answer[around]["Items"])
            return
        for key, item in answer.items():
            if key in keys and isinstance(item, list):
                saved.answer.setdefault(key, []).extend(item)
            elif key not in tokens:
                saved.answer.setdefault(key, item)

    def _load_metrics(self, account_id: str, region: str, file: Path) -> None:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if not line.strip():
                    continue
                row = json.loads(line)
                self.metric(
                    account_id,
                    region,
                    row["namespace"],
                    row["metric_name"],
                    row.get("dimensions") or {},
                    row["statistic"],
                    [(at, value) for at, value in row.get("points") or ()],
                    row.get("unit") or "None",
                )

    def save(self, directory: Path | str) -> Path:
        """Write a saved inventory: a full page for each call, 14 days of hourly points for each series."""
        root = Path(directory)
        root.mkdir(parents=True, exist_ok=True)
        manifest = {
            "format": 1,
            "created": _text(self.now),
            "now": _text(self.now),
            "metrics": "complete",
            "targets": [
                {
                    "account_id": account.account_id,
                    "name": account.name,
                    "partition": "aws",
                    "regions": list(account.regions),
                }
                for account in self.accounts.values()
            ],
        }
        _write(root / "manifest.json", json.dumps(manifest, indent=2) + "\n")
        for (account_id, region, operation), calls in self._calls.items():
            lines = []
            for call in calls:
                line: dict[str, Any] = {"params": call.params}
                if call.error is not None:
                    line["error"] = {"code": call.error.code, "message": call.error.message}
                else:
                    line |= {"page": 1, "answer": complete(operation, call.answer), "last": True}
                lines.append(json.dumps(line, default=_text) + "\n")
            _write(root / account_id / region / f"{operation}.jsonl", "".join(lines))
        self._save_metrics(root)
        return root

    def _save_metrics(self, root: Path) -> None:
        end = floor_hour(self.now)
        start = end - timedelta(days=SAVED_DAYS)
        lines: dict[tuple[str, str], list[str]] = {
            # A target without the file would be a blind spot instead of a target without metrics.
            (account.account_id, region): []
            for account in self.accounts.values()
            for region in account.regions
        }
        for series in self.metrics.values():
            row = {
                "namespace": series.namespace,
                "metric_name": series.metric_name,
                "dimensions": dict(series.dimensions),
                "statistic": series.statistic,
                "period": 3600,
                "unit": series.unit,
                "start": _text(start),
                "end": _text(end),
                "status": "complete",
                "error": None,
                "points": [
                    [_text(at), value]
                    for at, value in aggregate(series.points(start, end), start, 3600, series.statistic)
                ],
            }
            lines.setdefault((series.account_id, series.region), []).append(json.dumps(row) + "\n")
        for (account_id, region), rows in lines.items():
            _write(root / account_id / region / "metrics.jsonl", "".join(rows))


def output_tokens(service: str, operation: str) -> tuple[str, ...]:
    """The members of an answer that only serve paging."""
    config = wire.paginator_config(service, operation)
    names = {"NextToken", "nextToken", "NextMarker", "NextPageToken"}
    if config is not None:
        token = config["output_token"]
        names.update(token if isinstance(token, list) else [token])
        if "more_results" in config:
            names.add(config["more_results"])
    return tuple(names)


def complete(operation: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with every result list, as AWS sends empty lists too."""
    service, _, name = operation.partition(".")
    around = envelope(service, name)
    if around:
        listed = answer.get(around, {})
        said = {"Marker": "", "MaxItems": 100, "IsTruncated": False, "Quantity": len(listed.get("Items", ()))}
        return {**answer, around: said | listed}
    return {key: [] for key in result_keys(service, name) if _is_list(service, name, key)} | dict(answer)


def _is_list(service: str, operation: str, key: str) -> bool:
    shape = wire.operation_model(service, operation).output_shape
    return shape is not None and shape.members[key].type_name == "list"


def aggregate(
    points: Iterable[tuple[datetime, float]], start: datetime, period: int, statistic: str
) -> Points:
    """Points gathered into periods that count from `start`, oldest first."""
    bins: dict[int, list[float]] = {}
    for at, value in points:
        bins.setdefault(int((at - start).total_seconds() // period), []).append(value)
    return [
        (start + timedelta(seconds=number * period), _reduced(values, statistic))
        for number, values in sorted(bins.items())
    ]


def _reduced(values: list[float], statistic: str) -> float:
    match statistic:
        case "Sum" | "SampleCount":
            return sum(values)
        case "Minimum":
            return min(values)
        case "Average":
            return sum(values) / len(values)
        case _:
            # A percentile of percentiles does not exist; the highest is the cautious one.
            return max(values)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"cannot write {type(value).__name__}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
