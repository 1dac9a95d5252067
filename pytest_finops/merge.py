"""Merging: several audits of different accounts as the one audit that a single run would have made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from . import gate, overlaps, priorities, totals, upkeep
from .audit import (
    Account,
    ApiCalls,
    ApiUsage,
    Audit,
    BlindSpot,
    CheckRow,
    Gate,
    PriceUsage,
    RuleTally,
)
from .errors import AuditError
from .gate import Limits
from .resources import GLOBAL

#: What a missing shard has in place of an account.
MISSING = "shard {}"


@dataclass(frozen=True, slots=True)
class Part:
    """One audit to merge, and the file that it came from."""

    source: str
    audit: Audit

    @property
    def shard(self) -> tuple[int, int] | None:
        """(number, of how many) if this is a shard."""
        number, _, of = str(self.audit.selection.get("shard", "")).partition("/")
        return (int(number), int(of)) if number.isdecimal() and of.isdecimal() else None


def merge(parts: Sequence[Part]) -> Audit:
    """Return one audit of all ``parts``: overlaps, priorities, totals, gate and completeness are computed anew.

    A missing shard leaves a row that was not run for every rule, and a rule that only some parts were asked for one for
    every account of the others, so that the result is incomplete.

    :raises AuditError: when two parts hold the same account or shard, or cannot be one audit.
    """
    missing, of = _shards(parts)
    _check_accounts(parts)
    limits = _limits(parts)
    audits = [part.audit for part in parts]
    absent = [
        CheckRow(
            rule_id=rule_id, account_id=MISSING.format(f"{number}/{of}"), region=GLOBAL, outcome="not_run",
            reason=f"shard {number}/{of} is not among the merged audits",
        )
        for rule_id in sorted({rule.rule_id for audit in audits for rule in audit.rules})
        for number in missing
    ] + _unequal(parts)  # fmt: skip
    found = sorted((f for audit in audits for f in audit.findings), key=lambda f: (*f.sort_key, f.id))
    ranked = priorities.rank(overlaps.count(found))
    places = {finding.id: (finding.rule_id, finding.account_id) for finding in found}
    complete = all(audit.complete for audit in audits) and not absent and not missing
    judged = gate.judge(ranked, limits=limits)
    kept = upkeep.joined(audit.upkeep for audit in audits)
    return Audit(
        tool_version=max(audit.tool_version for audit in audits),
        scan_timestamp=min(audit.scan_timestamp for audit in audits),
        finished_at=max(audit.finished_at for audit in audits),
        selection=_selection(audits),
        complete=complete,
        exit_status=_status(audits, judged, complete),
        accounts=_accounts(audits),
        regions=tuple(sorted({region for audit in audits for region in audit.regions})),
        totals=totals.totals(ranked),
        findings=ranked,
        # Accounts are disjoint, so sorting by them leaves the order inside an account as it was.
        notes=tuple(
            sorted((n for a in audits for n in a.notes), key=lambda note: (note.rule_id, note.account_id))
        ),
        rules=_rules(audits, absent),
        checks=tuple(
            sorted(
                (*(row for audit in audits for row in audit.checks), *absent),
                key=lambda row: (row.rule_id, row.account_id, row.region),
            )
        ),
        blind_spots=_blind_spots(audits),
        accepted=tuple(
            sorted(
                (entry for audit in audits for entry in audit.accepted),
                key=lambda entry: places.get(entry.finding_id, ("", "")),
            )
        ),
        api_usage=_usage(audits),
        prices=_prices([audit.prices for audit in audits]),
        gate=judged,
        upkeep=kept,
        warnings=(*_warnings(parts, missing, of), *upkeep.warnings(kept, whole=not missing)),
    )


def _shards(parts: Sequence[Part]) -> tuple[list[int], int]:
    """Return the numbers of the shards that are missing, and of how many."""
    held: dict[tuple[int, int], str] = {}
    for part in parts:
        if part.shard is None:
            continue
        if part.shard in held:
            number, of = part.shard
            raise AuditError(
                f"{held[part.shard]} and {part.source} are both shard {number}/{of}; leave out one"
            )
        held[part.shard] = part.source
    sizes = sorted({of for _, of in held})
    if len(sizes) > 1:
        listed = ", ".join(f"{source} is {number}/{of}" for (number, of), source in held.items())
        raise AuditError(f"shards of different splits cannot be merged: {listed}")
    if held and len(held) < len(parts):
        whole = next(part.source for part in parts if part.shard is None)
        raise AuditError(f"{whole} is no shard and the others are; merge either")
    of = sizes[0] if sizes else 0
    return [number for number in range(1, of + 1) if (number, of) not in held], of


def _unequal(parts: Sequence[Part]) -> list[CheckRow]:
    """Return a row that was not run for each account of a part and rule that another part was asked for."""
    asked = {part.source: _asked(part) for part in parts}
    everything = set().union(*asked.values())
    return [
        CheckRow(
            rule_id=rule_id, account_id=account, region=GLOBAL, outcome="not_run",
            reason=f"{part.source} was not asked for this rule, other audits were",
        )
        for part in parts
        for account in sorted({a.account_id for a in part.audit.accounts} | {r.account_id for r in part.audit.checks})
        for rule_id in sorted(everything - asked[part.source])
    ]  # fmt: skip


def _asked(part: Part) -> set[str]:
    # A shard without the payer names the payer's rules among those that it was asked for.
    return {*part.audit.selection.get("rules", ()), *(rule.rule_id for rule in part.audit.rules)}


def _check_accounts(parts: Sequence[Part]) -> None:
    held: dict[str, str] = {}
    for part in parts:
        # Accounts that could not be entered have rows only.
        for account in {a.account_id for a in part.audit.accounts} | {
            r.account_id for r in part.audit.checks
        }:
            if account in held:
                raise AuditError(
                    f"account {account} is in {held[account]} and in {part.source}; leave out one"
                )
            held[account] = part.source


def _limits(parts: Sequence[Part]) -> Limits:
    """Return the limits that all parts were judged by."""
    first = parts[0]
    for part in parts[1:]:
        if part.audit.gate.limits != first.audit.gate.limits:
            raise AuditError(
                f"{first.source} and {part.source} were judged by different limits "
                f"({_listed(first.audit.gate.limits)}; {_listed(part.audit.gate.limits)}); use the same for every part"
            )
    known = {field.name for field in fields(Limits)}
    values: dict[str, Any] = {}
    for name, value in first.audit.gate.limits.items():
        if name in known:
            values[name] = Decimal(value) if isinstance(value, str) and name != "fail_severity" else value
    return Limits(**values)


def _listed(limits: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in limits.items()) or "none"


def _status(audits: Sequence[Audit], judged: Gate, complete: bool) -> int:
    # pytest's own 2 to 6 (interrupted, internal, usage) win over everything, as in one run.
    own = max(
        (a.exit_status for a in audits if a.exit_status not in (0, gate.EXIT_BROKEN, gate.EXIT_BLIND)),
        default=0,
    )
    ordinary = any(audit.exit_status == gate.EXIT_BROKEN and audit.gate.holds for audit in audits)
    return gate.exit_status(judged, complete=complete, pytest_status=own, ordinary_failed=ordinary)


def _selection(audits: Sequence[Audit]) -> dict[str, Any]:
    """Return the selection of the first audit, over the rules and targets of all."""
    first = {key: value for key, value in audits[0].selection.items() if key != "shard"}
    for key in ("rules", "targets"):
        first[key] = sorted({str(one) for audit in audits for one in audit.selection.get(key, ())})
    return first


def _accounts(audits: Sequence[Audit]) -> tuple[Account, ...]:
    found = sorted((a for audit in audits for a in audit.accounts), key=lambda account: account.account_id)
    names = Counter(account.name for account in found)
    # As in one run: the id where two accounts share a name.
    return tuple(replace(a, name=a.account_id) if names[a.name] > 1 else a for a in found)


def _rules(audits: Sequence[Audit], absent: Sequence[CheckRow]) -> tuple[RuleTally, ...]:
    found: dict[str, Counter[str]] = {}
    names = [field.name for field in fields(RuleTally) if field.name != "rule_id"]
    for rule in (rule for audit in audits for rule in audit.rules):
        found.setdefault(rule.rule_id, Counter()).update({name: getattr(rule, name) for name in names})
    for row in absent:
        found.setdefault(row.rule_id, Counter()).update(expected=1, not_run=1)
    return tuple(RuleTally(rule_id=rule_id, **tally) for rule_id, tally in sorted(found.items()))


def _blind_spots(audits: Sequence[Audit]) -> tuple[BlindSpot, ...]:
    found: dict[tuple[str, str, str, str, str], BlindSpot] = {}
    for spot in (spot for audit in audits for spot in audit.blind_spots):
        key = (spot.account_id, spot.region, spot.service, spot.operation, spot.code)
        # Several shards may have asked the payer in vain.
        other = found.get(key, spot)
        found[key] = replace(other, rules=tuple(sorted({*other.rules, *spot.rules})))
    return tuple(found[key] for key in sorted(found))


def _usage(audits: Sequence[Audit]) -> ApiUsage:
    calls: dict[tuple[str, str], ApiCalls] = {}
    for call in (call for audit in audits for call in audit.api_usage.calls):
        key = (call.service, call.operation)
        other = calls.get(key)
        calls[key] = call if other is None else replace(
            other, calls=other.calls + call.calls, billable_units=other.billable_units + call.billable_units,
            cost=other.cost + call.cost, throttled=other.throttled + call.throttled, retried=other.retried + call.retried,
        )  # fmt: skip
    used = [audit.api_usage for audit in audits]
    return ApiUsage(
        predicted_lower=sum((one.predicted_lower for one in used), Decimal(0)),
        predicted_upper=sum((one.predicted_upper for one in used), Decimal(0)),
        predicted_exact=all(one.predicted_exact for one in used),
        actual_cost=sum((one.actual_cost for one in used), Decimal(0)),
        repeated_cost=sum((one.repeated_cost for one in used), Decimal(0)),
        calls=tuple(calls[key] for key in sorted(calls)),
    )


def _prices(used: Sequence[PriceUsage]) -> PriceUsage:
    """Return how many distinct prices were used; where parts do not name theirs, at most how many."""
    names = ("live", "cached", "snapshot", "overridden", "unknown")
    oldest = min((one.oldest_as_of for one in used if one.oldest_as_of), default=None)
    keys: dict[str, str] = {}
    for line in (line for one in used for line in one.used):
        key, source = line.split()[:2]
        keys.setdefault(key, source)
    # Parts that name no price and used some are no shards.
    if any(not one.used and any(getattr(one, name) for name in names) for one in used):
        return PriceUsage(
            **{name: sum(getattr(one, name) for one in used) for name in names}, oldest_as_of=oldest
        )
    by_source = Counter(keys.values())
    return PriceUsage(
        live=by_source["live"], cached=by_source["cache"], snapshot=by_source["snapshot"],
        overridden=by_source["override"], unknown=by_source["unknown"], oldest_as_of=oldest,
    )  # fmt: skip


def _warnings(parts: Sequence[Part], missing: Sequence[int], of: int) -> list[str]:
    """Return what the parts said, once, and what the merge has to say."""
    said = [f"shard {number}/{of} is missing: its accounts were not audited" for number in missing]
    for what, values in (
        ("versions", {part.audit.tool_version for part in parts}),
        ("clocks", {part.audit.scan_timestamp for part in parts if part.audit.checks}),
    ):
        if len(values) > 1:
            cure = "; give every part the same --finops-now" if what == "clocks" else ""
            said.append(f"the merged audits have different {what}: {min(values)} to {max(values)}{cure}")
    rules = {part.source: _asked(part) for part in parts if part.audit.rules}
    everything = set().union(*rules.values())
    for source, known in rules.items():
        if everything - known:
            said.append(f"{source} did not run {_some(everything - known)}, which others did")
    kept: dict[str, None] = {}
    for part in parts:
        own = {line for whole in (False, True) for line in upkeep.warnings(part.audit.upkeep, whole=whole)}
        kept.update(dict.fromkeys(line for line in part.audit.warnings if line not in own))
    return [*said, *kept]


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
