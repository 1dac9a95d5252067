"""Cells and a summary for pytest-html's own report, escaped here because pytest-html does not escape."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape

from ..audit import Audit
from .text import count, money, safe

_HEADINGS = (
    ("rule", "Rule"),
    ("account", "Account"),
    ("region", "Region"),
    ("findings", "Findings"),
    ("savings", "Savings a month"),
)


def header_cells() -> list[str]:
    """Return the table headings that ``cells`` fills."""
    return [
        f'<th class="sortable" data-column-type="finops_{name}">{title}</th>' for name, title in _HEADINGS
    ]


def cells(
    rule_id: str, accounts: Sequence[str], regions: Sequence[str], findings: int, savings: Decimal
) -> list[str]:
    """Return a row's table cells."""
    values = (
        rule_id,
        _joined(accounts, "accounts"),
        _joined(regions, "regions"),
        # pytest-html sorts cells as text: blanks before a number, which no browser shows, keep the order.
        f"{findings:>8}",
        f"{money(savings):>16}",
    )
    return [
        f'<td class="col-finops_{name}">{" " * (len(value) - len(value.lstrip(" ")))}{escape(safe(value.lstrip(" ")))}</td>'
        for (name, _), value in zip(_HEADINGS, values, strict=True)
    ]


def empty_cells() -> list[str]:
    """Return the cells of a row that is not a check."""
    return [f'<td class="col-finops_{name}"></td>' for name, _ in _HEADINGS]


def summary(audit: Audit) -> list[str]:
    """Return paragraphs for the head of the report."""
    totals = audit.totals
    blind = sum(not spot.expected for spot in audit.blind_spots)
    return [
        f"<h3>AWS cost audit: {escape(money(totals.monthly))} a month</h3>",
        f"<p>Waste {escape(money(totals.waste))}, optimisation {escape(money(totals.optimisation))} a month "
        f"({escape(money(totals.monthly * 12))} a year) in {count(len(audit.findings), 'finding')}; "
        f"{totals.unpriced_findings} without a price.</p>",
        f"<p>Audit {'complete' if audit.complete else 'incomplete'}: {count(blind, 'blind spot')}. "
        f"Gate {'holds' if audit.gate.holds else 'broken'}"
        f"{escape(_reasons(audit.gate.reasons))}.</p>",
    ]


def _reasons(reasons: Sequence[str]) -> str:
    return f" ({safe('; '.join(reasons))})" if reasons else ""


def _joined(names: Sequence[str], many: str) -> str:
    # A grouped item may cover thousands of targets: a cell says how many instead of listing them.
    distinct = sorted(set(names))
    return ", ".join(distinct) if len(distinct) <= 4 else f"{len(distinct):,} {many}"
