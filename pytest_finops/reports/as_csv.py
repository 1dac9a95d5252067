"""The findings as CSV, one row each, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from decimal import Decimal

from ..audit import Audit
from ..findings import Finding, PriceLine, cents
from ..totals import counted_net
from .text import plain, safe

#: A cell that starts with one of these is a formula to a spreadsheet (full-width forms in some locales).
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def neutral(value: object) -> str:
    """Return text that no spreadsheet runs: one line, a leading apostrophe where a formula would start."""
    raw = str(value)
    text = safe(raw)
    return f"'{text}" if text.startswith(_FORMULA) or raw[:1] in ("\t", "\r") else text


def _figure(amount: Decimal | None) -> str:
    # Our own numbers are never neutralised: a negative one has to stay a number.
    return "" if amount is None else plain(cents(amount))


def _provenance(lines: tuple[PriceLine, ...], name: str) -> str:
    return neutral(" ".join(sorted({getattr(line, name) for line in lines} - {""})))


COLUMNS: Mapping[str, Callable[[Finding], str]] = {
    "id": lambda f: f.id,
    "priority": lambda f: str(f.priority),
    "status": lambda f: f.status,
    "phase": lambda f: f.phase,
    "rule_id": lambda f: neutral(f.rule_id),
    "name": lambda f: neutral(f.name),
    "category": lambda f: neutral(f.category),
    "kind": lambda f: f.kind,
    "action": lambda f: f.action,
    "severity": lambda f: f.severity,
    "effort": lambda f: f.effort,
    "risk": lambda f: f.risk,
    "confidence": lambda f: f.confidence,
    "restart": lambda f: "true" if f.restart else "false",
    "account_id": lambda f: neutral(f.account_id),
    "region": lambda f: neutral(f.region),
    "resource_type": lambda f: neutral(f.resource_type),
    "resource_id": lambda f: neutral(f.resource_id),
    "resource_arn": lambda f: neutral(f.resource_arn),
    "owner": lambda f: neutral(f.owner or ""),
    "team": lambda f: neutral(f.team or ""),
    "environment": lambda f: f.environment.value,
    "current_value": lambda f: neutral(f.current_value),
    "threshold": lambda f: neutral(f.threshold),
    "currency": lambda f: "USD",
    "current_monthly_cost": lambda f: _figure(f.current_monthly_cost),
    "target_monthly_cost": lambda f: _figure(f.target_monthly_cost),
    "estimated_monthly_savings": lambda f: _figure(f.estimated_monthly_savings),
    "estimated_annual_savings": lambda f: _figure(f.estimated_annual_savings),
    "net_monthly_savings": lambda f: _figure(f.net_monthly_savings),
    "counted_monthly_savings": lambda f: _figure(f.counted_monthly_savings),
    "counted_net_monthly_savings": lambda f: _figure(counted_net(f)),
    "price_source": lambda f: _provenance(f.current_lines + f.target_lines, "source"),
    "price_as_of": lambda f: _provenance(f.current_lines + f.target_lines, "as_of"),
    "recommendation": lambda f: neutral(f.recommendation),
    "remediation_effort": lambda f: neutral(f.remediation_effort),
    "rollback": lambda f: neutral(f.rollback),
    "docs_url": lambda f: neutral(f.docs_url),
    "aws_doc": lambda f: neutral(f.aws_doc),
    "tags": lambda f: neutral(json.dumps(dict(sorted(f.tags.items())), ensure_ascii=False)) if f.tags else "",
}


def render(audit: Audit) -> str:
    """Return the findings as CSV with a header row, every cell quoted."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    accounts = {account.account_id: account for account in audit.accounts}
    writer.writerow([*COLUMNS, "account_name", "organizational_unit"])
    for finding in audit.findings:
        account = accounts.get(finding.account_id)
        named = (account.name, account.organizational_unit or "") if account else ("", "")
        writer.writerow([*(cell(finding) for cell in COLUMNS.values()), *map(neutral, named)])
    return out.getvalue()
