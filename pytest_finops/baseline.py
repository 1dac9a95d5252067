"""Baselines: the findings that a team already knows, as a small JSON file or a whole audit file."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from .audit import SCHEMA_VERSION
from .errors import ConfigError
from .findings import Finding, cents
from .resources import GLOBAL

#: Where an entry stands; files of audits have these keys, older baselines do not.
_PLACE = ("rule_id", "account_id", "region")


def load(path: Path, *, missing_ok: bool = False) -> dict[str, Decimal]:
    """Return the counted monthly savings (USD) of every finding in the baseline at ``path``, by finding id.

    ``missing_ok`` is for the run that writes the first one. ConfigError names the file and the cure.
    """
    entries = _entries(path, missing_ok)
    return dict(_entry(entry, f"the baseline {path}: findings[{n}]") for n, entry in enumerate(entries))


def _entries(path: Path, missing_ok: bool) -> list[Any]:
    """Return the findings of a baseline as they stand in the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if missing_ok:
            return []
        cure = "write it with --finops-update-baseline or name an audit file"
        raise ConfigError(f"the baseline {path} does not exist; {cure}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"the baseline {path} cannot be read: {reason}; name another file") from error
    try:
        document = json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        cure = "write it anew with --finops-update-baseline"
        raise ConfigError(f"the baseline {path}:{error.lineno} is not JSON ({error.msg}); {cure}") from None
    entries = document.get("findings") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        cure = "name an audit file (--finops-report json:FILE) or write one with --finops-update-baseline"
        raise ConfigError(f"the baseline {path} has no list of findings; {cure}")
    return entries


def write(path: Path, findings: Sequence[Finding], looked: Collection[tuple[str, str, str]]) -> int:
    """Write the baseline of ``findings`` to ``path``, whole or not at all (ConfigError); return how many it has.

    Accepted findings are left out: when their exemption ends they are new again, not silently known. What the file
    knows of places (rule, account, region) that this run has not ``looked`` at stays known, and so does an entry
    that does not say its place, unless this run saw the finding: only who looked knows that something is gone.
    """
    rows = {
        finding.id: {
            "id": finding.id, "counted_monthly_savings": f"{cents(finding.counted_monthly_savings):f}",
            "rule_id": finding.rule_id, "account_id": finding.account_id, "region": finding.region,
        }
        for finding in findings
        if finding.status != "accepted"
    }  # fmt: skip
    seen = {finding.id for finding in findings}
    places = set(looked)
    for number, entry in enumerate(_entries(path, missing_ok=True)):
        known, amount = _entry(entry, f"the baseline {path}: findings[{number}]")
        rule, account, region = (entry.get(key) for key in _PLACE)
        # What a check judges by account stands under the region global, wherever its resources are.
        if known not in seen and not {(rule, account, region), (rule, account, GLOBAL)} & places:
            place = {key: entry[key] for key in _PLACE if key in entry}
            rows[known] = {"id": known, "counted_monthly_savings": f"{amount:f}", **place}
    text = json.dumps(
        {"schema_version": SCHEMA_VERSION, "findings": [rows[key] for key in sorted(rows)]}, indent=2
    )
    text += "\n"
    # Through a link, the file that it points to is replaced, not the link.
    final = path.resolve()
    draft = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(final)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        reason = error.strerror or error
        raise ConfigError(f"the baseline {path} cannot be written: {reason}; name a writable file") from error
    return len(rows)


def _entry(entry: Any, place: str) -> tuple[str, Decimal]:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise ConfigError(f"{place} has no id; write the file anew with --finops-update-baseline")
    amount = entry.get("counted_monthly_savings")
    try:
        number = Decimal(0) if amount is None else Decimal(amount)
    except (InvalidOperation, TypeError, ValueError):
        number = Decimal("NaN")
    if not number.is_finite():
        raise ConfigError(f'{place}: counted_monthly_savings must be an amount like "12.30", not {amount!r}')
    return entry["id"], number
