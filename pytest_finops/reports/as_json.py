"""The audit file (interface, section 4): written from an audit and read back into one."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..audit import (
    SCHEMA_VERSION,
    Accepted,
    Account,
    ApiCalls,
    ApiUsage,
    Audit,
    BlindSpot,
    CheckRow,
    Gate,
    PriceUsage,
    RuleTally,
    Totals,
    Upkeep,
)
from ..errors import AuditError
from ..findings import Finding, Note, PriceLine, cents
from ..totals import counted_net
from .text import plain

T = TypeVar("T")

_EFFORTS = ("quick_win", "low", "medium", "high")
#: What a terminal or an editor might obey, and lone surrogates, which do not encode; escapes lose nothing.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?")


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _cents(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(cents(amount))


def _builtin(value: Any) -> Any:
    """Return a value of evidence, metadata, selection or limits as JSON knows it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # JSON has no infinity and no NaN; readers other than Python's reject them.
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return plain(value) if value.is_finite() else None
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _builtin(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_builtin(item) for item in value), key=str)
    if isinstance(value, Iterable):
        return [_builtin(item) for item in value]
    return str(value)


def _iso(moment: datetime) -> str:
    if moment.tzinfo is None:
        return moment.isoformat()
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _line(side: str, line: PriceLine) -> dict[str, Any]:
    return {
        "side": side,
        "dimension": line.dimension,
        "region": line.region,
        "quantity": plain(line.quantity),
        "unit": line.unit,
        "unit_price": _money(line.unit_price),
        "amount": _money(line.amount),
        "source": line.source,
        "sku": line.sku,
        "as_of": line.as_of,
        "component": line.component,
        "note": line.note,
        "attributes": dict(line.attributes),
    }


def finding_to_builtins(finding: Finding) -> dict[str, Any]:
    """Return one finding as the audit file has it: figures rounded, price lines and components not."""
    environment = finding.environment
    return {
        "id": finding.id,
        "rule_id": finding.rule_id,
        "name": finding.name,
        "category": finding.category,
        "severity": finding.severity,
        "effort": finding.effort,
        "restart": finding.restart,
        "risk": finding.risk,
        "confidence": finding.confidence,
        "kind": finding.kind,
        "action": finding.action,
        "resource_id": finding.resource_id,
        "resource_arn": finding.resource_arn,
        "resource_type": finding.resource_type,
        "account_id": finding.account_id,
        "region": finding.region,
        "tags": {key: finding.tags[key] for key in sorted(finding.tags)},
        "owner": finding.owner,
        "team": finding.team,
        "environment": {
            "value": environment.value,
            "source": environment.source,
            "confidence": environment.confidence,
        },
        "current_value": finding.current_value,
        "threshold": finding.threshold,
        "current_monthly_cost": _cents(finding.current_monthly_cost),
        "target_monthly_cost": _cents(finding.target_monthly_cost),
        "estimated_monthly_savings": _cents(finding.estimated_monthly_savings),
        "estimated_annual_savings": _cents(finding.estimated_annual_savings),
        "net_monthly_savings": _cents(finding.net_monthly_savings),
        "counted_monthly_savings": _cents(finding.counted_monthly_savings),
        "counted_net_monthly_savings": _cents(counted_net(finding)),
        # Unrounded: merging shards recomputes the totals from these alone and has to reach the same cents.
        "components": [
            {"key": part.key, "monthly_cost": _money(part.monthly_cost), "saved": _money(part.saved)}
            for part in finding.components
        ],
        "alternative_to": list(finding.alternative_to),
        "price_lines": [
            *(_line("current", line) for line in finding.current_lines),
            *(_line("target", line) for line in finding.target_lines),
        ],
        "recommendation": finding.recommendation,
        "remediation_effort": finding.remediation_effort,
        "rollback": finding.rollback,
        "docs_url": finding.docs_url,
        "aws_doc": finding.aws_doc,
        "priority": finding.priority,
        "phase": finding.phase,
        "status": finding.status,
        "evidence": _builtin(finding.evidence),
        "metadata": _builtin(finding.metadata),
    }


def _check(row: CheckRow) -> dict[str, Any]:
    return {
        "rule_id": row.rule_id,
        "account_id": row.account_id,
        "region": row.region,
        "outcome": row.outcome,
        "reason": row.reason,
        "evaluated": row.evaluated,
        "findings": row.findings,
        "not_evaluated": [
            {"resource_id": skip.resource_id, "reason": skip.reason} | ({"fault": True} if skip.fault else {})
            for skip in row.not_evaluated
        ],
    }


def _note(note: Note) -> dict[str, Any]:
    return {
        "rule_id": note.rule_id,
        "account_id": note.account_id,
        "region": note.region,
        "resource_id": note.resource_id,
        "text": note.text,
        "estimated_monthly_savings": _cents(note.estimated_monthly_savings),
    }


def to_builtins(audit: Audit) -> dict[str, Any]:
    """Return the audit as the audit file has it: strings, numbers, lists and dicts in a fixed order."""
    totals, usage = audit.totals, audit.api_usage
    nobody: dict[str, str | None] = {"account_name": "", "organizational_unit": None}
    named = collections.defaultdict(lambda: nobody) | {
        a.account_id: {"account_name": a.name, "organizational_unit": a.organizational_unit}
        for a in audit.accounts
    }
    categories: dict[str, list[str]] = {}
    efforts: dict[str, list[str]] = {}
    for finding in audit.findings:
        categories.setdefault(finding.category, []).append(finding.id)
        efforts.setdefault(finding.effort, []).append(finding.id)
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "pytest-finops", "version": audit.tool_version},
        "scan_timestamp": audit.scan_timestamp,
        "finished_at": audit.finished_at,
        "selection": _builtin(audit.selection),
        "currency": "USD",
        "complete": audit.complete,
        "exit_status": audit.exit_status,
        "account_ids": [account.account_id for account in audit.accounts],
        "regions": list(audit.regions),
        "accounts": [
            {
                "account_id": account.account_id,
                "name": account.name,
                "organizational_unit": account.organizational_unit,
                "partition": account.partition,
            }
            for account in audit.accounts
        ],
        "total_monthly_savings": _cents(totals.monthly),
        "total_annual_savings": _cents(totals.monthly * 12),
        "totals": {
            "waste": _cents(totals.waste),
            "optimisation": _cents(totals.optimisation),
            "gross": _cents(totals.gross),
            "net": _cents(totals.net),
            "unpriced_findings": totals.unpriced_findings,
            "accepted": _cents(totals.accepted),
            "known": _cents(totals.known),
        },
        "findings_by_category": {name: categories[name] for name in sorted(categories)},
        "findings_by_effort": {name: efforts[name] for name in _EFFORTS if name in efforts},
        "findings": [finding_to_builtins(finding) | named[finding.account_id] for finding in audit.findings],
        "notes": [_note(note) for note in audit.notes],
        "rules": [dataclasses.asdict(rule) for rule in audit.rules],
        "checks": [_check(row) for row in audit.checks],
        "blind_spots": [dataclasses.asdict(spot) | {"rules": list(spot.rules)} for spot in audit.blind_spots],
        "accepted": [dataclasses.asdict(item) for item in audit.accepted],
        "api_usage": {
            "predicted": {
                "lower": plain(usage.predicted_lower),
                "upper": plain(usage.predicted_upper),
                "exact": usage.predicted_exact,
            },
            "actual_cost": plain(usage.actual_cost),
            "repeated_cost": plain(usage.repeated_cost),
            "calls": [dataclasses.asdict(call) | {"cost": plain(call.cost)} for call in usage.calls],
        },
        "prices": {
            key: value for key, value in dataclasses.asdict(audit.prices).items() if key != "used" or value
        },
        "gate": {
            "limits": _builtin(audit.gate.limits),
            "counted": _cents(audit.gate.counted),
            "holds": audit.gate.holds,
            "reasons": list(audit.gate.reasons),
        },
        "upkeep": [dataclasses.asdict(entry) for entry in audit.upkeep],
        "warnings": list(audit.warnings),
    }


def render(audit: Audit) -> str:
    """Return the audit file as text."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", _indented(to_builtins(audit))) + "\n"


def _indented(plain: Mapping[str, Any]) -> str:
    try:
        # json indents in Python, 20 times slower.
        return msgspec.json.format(json.dumps(plain, ensure_ascii=False, allow_nan=False), indent=2)
    except UnicodeEncodeError:
        # Half a surrogate pair in somebody's tag.
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)


def load(path: Path) -> Audit:
    """Read a saved audit; raise AuditError with file and place if it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AuditError(f"{path}: is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise AuditError(
            f"{path}: is not JSON: {error.msg} at line {error.lineno}, column {error.colno} (cut off?)"
        ) from error
    except RecursionError as error:
        raise AuditError(f"{path}: is nested too deeply to be an audit") from error
    return from_builtins(data, source=str(path))


def from_builtins(data: Any, *, source: str = "audit") -> Audit:
    """Return the audit that ``to_builtins`` wrote; ``source`` names the file in an AuditError."""
    return _Reader(source).audit(data)


class _Reader:
    """Turns the audit file back into dataclasses; every complaint names the file and the place in it."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, place: str, message: str) -> AuditError:
        return AuditError(f"{self.source}: {place}: {message}" if place else f"{self.source}: {message}")

    def mapping(self, value: Any, place: str, required: Iterable[str] = ()) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fail(place, f"expected an object, got {type(value).__name__}")
        missing = [key for key in required if key not in value]
        if missing:
            raise self.fail(place, f"missing {', '.join(missing)}")
        return value

    def items(self, data: dict[str, Any], key: str, place: str = "") -> list[Any]:
        value = data[key]
        if not isinstance(value, list):
            raise self.fail(f"{place}{key}", f"expected a list, got {type(value).__name__}")
        return value

    def convert(self, value: Any, kind: type[T], place: str, money: Iterable[str] = ()) -> T:
        """Return ``value`` as ``kind``; ``money`` names the keys that hold decimal strings."""
        import msgspec

        for key in money:
            amount = value.get(key)
            # Decimal would also take "NaN", exponents and floats; none of them is money.
            if amount is not None and not (isinstance(amount, str) and _DECIMAL.fullmatch(amount)):
                raise self.fail(f"{place}.{key}", f"expected a plain decimal string, got {amount!r}")
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            raise self.fail(place + path.rstrip("`"), message) from error

    def rows(
        self, data: dict[str, Any], key: str, kind: type[T], *, money: Iterable[str] = (), place: str = ""
    ) -> tuple[T, ...]:
        required = _names(kind)
        return tuple(
            self.convert(self.mapping(row, where, required), kind, where, money)
            for index, row in enumerate(self.items(data, key, place))
            for where in [f"{place}{key}[{index}]"]
        )

    def audit(self, value: Any) -> Audit:
        data = self.mapping(value, "")
        version = data.get("schema_version")
        if version is None:
            raise self.fail("", "is not an audit of pytest-finops: it has no schema_version")
        if version != SCHEMA_VERSION:
            raise self.fail(
                "schema_version", f"{version!r} is not supported; this version reads {SCHEMA_VERSION!r}"
            )
        self.mapping(data, "", _TOP)
        tool = self.mapping(data["tool"], "tool", ("name", "version"))
        return self.convert(
            {
                "tool_version": tool["version"],
                "scan_timestamp": data["scan_timestamp"],
                "finished_at": data["finished_at"],
                "selection": data["selection"],
                "complete": data["complete"],
                "exit_status": data["exit_status"],
                "regions": data["regions"],
                "warnings": data.get("warnings", []),
            },
            _Plain,
            "",
        ).audit(
            accounts=self.rows(data, "accounts", Account),
            totals=self.convert(
                self.mapping(data["totals"], "totals", _names(Totals)),
                Totals,
                "totals",
                ("waste", "optimisation", "gross", "net", "accepted", "known"),
            ),
            findings=tuple(
                self.finding(row, f"findings[{index}]")
                for index, row in enumerate(self.items(data, "findings"))
            ),
            notes=self.rows(data, "notes", Note, money=("estimated_monthly_savings",)),
            rules=self.rows(data, "rules", RuleTally),
            checks=self.rows(data, "checks", CheckRow),
            blind_spots=self.rows(data, "blind_spots", BlindSpot),
            accepted=self.rows(data, "accepted", Accepted),
            api_usage=self.usage(data["api_usage"]),
            prices=self.convert(
                self.mapping(data["prices"], "prices", _names(PriceUsage, ("used",))), PriceUsage, "prices"
            ),
            gate=self.convert(self.mapping(data["gate"], "gate", _names(Gate)), Gate, "gate", ("counted",)),
            upkeep=self.rows(data, "upkeep", Upkeep) if "upkeep" in data else (),
        )

    def usage(self, value: Any) -> ApiUsage:
        row = self.mapping(value, "api_usage", ("predicted", "actual_cost", "calls"))
        predicted = self.mapping(row["predicted"], "api_usage.predicted", ("lower", "upper", "exact"))
        flat = {f"predicted_{key}": item for key, item in predicted.items()} | {
            "actual_cost": row["actual_cost"],
            "repeated_cost": row.get("repeated_cost", "0"),
        }
        usage = self.convert(
            flat,
            ApiUsage,
            "api_usage",
            ("predicted_lower", "predicted_upper", "actual_cost", "repeated_cost"),
        )
        calls = self.rows(row, "calls", ApiCalls, money=("cost",), place="api_usage.")
        return dataclasses.replace(usage, calls=calls)

    def finding(self, value: Any, place: str) -> Finding:
        required = _names(Finding, ("current_lines", "target_lines"))
        row = dict(self.mapping(value, place, (*required, "price_lines", "estimated_annual_savings")))
        sides: dict[str, list[PriceLine]] = {"current": [], "target": []}
        for index, item in enumerate(self.items(row, "price_lines", f"{place}.")):
            where = f"{place}.price_lines[{index}]"
            line = self.mapping(
                item, where, ("side", "amount", *_names(PriceLine, ("component", "note", "attributes")))
            )
            side = line["side"]
            if side not in ("current", "target"):
                raise self.fail(f"{where}.side", f"expected current or target, got {side!r}")
            named = self.mapping(dict(line).pop("attributes", {}), f"{where}.attributes", ())
            plain_line = {**line, "attributes": [[name, str(value)] for name, value in sorted(named.items())]}
            sides[side].append(
                self.convert(plain_line, PriceLine, where, ("quantity", "unit_price", "amount"))
            )
        for index, item in enumerate(self.items(row, "components", f"{place}.")):
            where = f"{place}.components[{index}]"
            part = self.mapping(item, where, ("key", "monthly_cost", "saved"))
            self.convert(part, dict, where, ("monthly_cost", "saved"))
        finding = self.convert(row, Finding, place, _FIGURES)
        finding = dataclasses.replace(
            finding, current_lines=tuple(sides["current"]), target_lines=tuple(sides["target"])
        )
        return _unrounded(finding, row["estimated_annual_savings"])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Plain:
    """The plain values of an audit, checked together."""

    tool_version: str
    scan_timestamp: str
    finished_at: str
    selection: dict[str, Any]
    complete: bool
    exit_status: int
    regions: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def audit(self) -> Callable[..., Audit]:
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return lambda **rest: Audit(**values, **rest)


_FIGURES = (
    "current_monthly_cost", "target_monthly_cost", "estimated_monthly_savings", "estimated_annual_savings",
    "net_monthly_savings", "counted_monthly_savings",
)  # fmt: skip

_TOP = (
    "tool", "scan_timestamp", "finished_at", "selection", "currency", "complete", "exit_status",
    "account_ids", "regions", "accounts", "total_monthly_savings", "total_annual_savings", "totals", "findings_by_category",
    "findings_by_effort", "findings", "notes", "rules", "checks", "blind_spots", "accepted", "api_usage",
    "prices", "gate",
)  # fmt: skip


def _names(kind: Any, optional: Iterable[str] = ()) -> tuple[str, ...]:
    return tuple(item.name for item in dataclasses.fields(kind) if item.name not in optional)


def _side(lines: Iterable[PriceLine]) -> Decimal | None:
    total = Decimal(0)
    for line in lines:
        if line.amount is None:
            return None
        total += line.amount
    return total


def _unrounded(finding: Finding, annual: str | None) -> Finding:
    """Put the unrounded figures back where the file still tells them.

    Thresholds compare unrounded figures and the annual one is twelve times the unrounded month: without this
    a saved audit would read a little different from the run that wrote it.
    """
    saved = finding.estimated_monthly_savings
    if saved is None:
        return finding
    before, after = _side(finding.current_lines), _side(finding.target_lines)
    changes: dict[str, Any] = {}
    if before is not None and _rounds_to(before, finding.current_monthly_cost):
        changes["current_monthly_cost"] = before
    if after is not None and _rounds_to(after, finding.target_monthly_cost):
        changes["target_monthly_cost"] = after
    yearly = None if annual is None else Decimal(annual)
    candidates = [] if before is None or after is None else [before - after]
    if yearly is not None:
        candidates.append(yearly / 12)
    for candidate in candidates:
        if _rounds_to(candidate, saved) and (yearly is None or cents(candidate * 12) == yearly):
            changes["estimated_monthly_savings"] = candidate
            break
    return dataclasses.replace(finding, **changes)


def _rounds_to(amount: Decimal, figure: Decimal | None) -> bool:
    return figure is not None and cents(amount) == figure
