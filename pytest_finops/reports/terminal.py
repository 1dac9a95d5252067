"""The summary that closes a run in the terminal."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from textwrap import wrap

from ..audit import Audit
from .text import cell_width, count, fit, money, no_command, safe, small_money
from .view import View, view

#: How many findings the table shows; the rest are in the reports.
TOP = 10
_BLIND = 8
_REASONS = 4
#: What an account id with its region takes, and the id of a volume.
_WHERE, _RESOURCE = 22, 21
#: The least width that shows what was seen of a finding.
_SEEN = 16
_NOTES = 8


def summary_lines(audit: Audit, width: int = 80) -> list[str]:
    """Return the summary as lines of at most ``width`` columns (80 to 200); none is a command to a CI log."""
    width = min(max(width, 80), 200)
    shown = view(audit)
    made = [
        *_headline(shown),
        *_findings(shown, width),
        *_rules(shown, width),
        *_unseen(shown, width),
        *_warnings(shown, width),
        *_made(shown),
    ]
    return [_cut(no_command(line), width) for line in made]


def _cut(line: str, width: int) -> str:
    # Every value in a line is safe already; ``fit`` would fold the columns of a table.
    if cell_width(line) <= width:
        return line.rstrip()
    while cell_width(line) > width - 1:
        line = line[:-1]
    return line + "…"


def _headline(shown: View) -> list[str]:
    audit, totals = shown.audit, shown.audit.totals
    made = [
        f"Savings {money(shown.total)} a month ({money(shown.annual)} a year)",
        f"  waste {money(totals.waste)}, optimisation {money(totals.optimisation)}"
        + (f"; {money(totals.net)} after commitments" if totals.net is not None else ""),
        f"  {count(len(audit.findings), 'finding')}{_statuses(shown)}",
    ]
    if totals.unpriced_findings:
        made.append(f"  {count(totals.unpriced_findings, 'finding')} without a price, not in the sums")
    return made


def _statuses(shown: View) -> str:
    totals = shown.audit.totals
    if not shown.items:
        return ""
    if shown.new == len(shown.items):
        return ", all new"
    parts = [f"{shown.new:,} new"]
    if shown.known:
        parts.append(f"{shown.known:,} known ({money(totals.known)})")
    if shown.accepted_count:
        parts.append(f"{shown.accepted_count:,} accepted ({money(totals.accepted)}, not counted)")
    return ": " + ", ".join(parts)


def _findings(shown: View, width: int) -> list[str]:
    top = [item for item in shown.items if item.finding.status != "accepted"][:TOP]
    if not top:
        return []
    # Two spaces of indent, five columns, two spaces between each; what remains is shared by the text columns.
    savings = max(10, *(len(_saving(item.finding.counted_monthly_savings)) for item in top))
    text = width - 2 - 3 - savings - 4 * 2
    cells = [
        ("rule", "resource", "account-region", "seen"),
        *(
            (i.finding.rule_id, i.resource, f"{i.account}-{i.finding.region}", i.finding.current_value)
            for i in top
        ),
    ]
    natural = [max(cell_width(safe(row[column])) for row in cells) for column in range(4)]
    widths = list(natural[:3])
    if sum(widths) > text:
        # Where and which come first: a rule is known by its beginning, an account and region by neither end.
        where, resource = min(natural[2], _WHERE), min(natural[1], _RESOURCE)
        rule = min(natural[0], text - where - resource)
        widths = [rule, text - rule - where, where]
    # What was seen is shown where it fits, never at the cost of what identifies a finding.
    left = text - sum(widths) - 2
    if left >= _SEEN:
        widths.append(min(left, natural[3]))
    elif left + 2 > 0:
        widths[1] += left + 2
    rows = [""]
    for number, row in enumerate(cells):
        if number:
            finding = top[number - 1].finding
            place = str(finding.priority or "-")
            priced = finding.estimated_monthly_savings is not None
            saving = _saving(finding.counted_monthly_savings) if priced else "not priced"
        else:
            place, saving = "#", "USD/month"
        shown_cells = [fit(cell, size) for cell, size in zip(row, widths, strict=False)]
        rows.append(
            "  " + "  ".join((fit(place, 3, right=True), *shown_cells, fit(saving, savings, right=True)))
        )
    more = sum(item.finding.status != "accepted" for item in shown.items) - len(top)
    if more > 0:
        rows.append(f"       and {more:,} more")
    return rows


def _saving(amount: Decimal) -> str:
    return money(amount).replace("$", "")


def _rules(shown: View, width: int) -> list[str]:
    columns = (
        ("passed", "passed"),
        ("failed", "failed"),
        ("xfailed", "xfailed"),
        ("skipped", "skipped"),
        ("error", "error"),
        ("not_run", "not run"),
    )
    clean = [rule for rule in shown.rules if rule.passed == rule.expected]
    rest = [rule for rule in shown.rules if rule.passed != rule.expected]
    if not shown.rules:
        return []
    name = min(width, 100) - 2 - len(columns) * 8 - 1
    made = [
        "",
        "  " + fit("checks, by target", name) + "".join(fit(title, 8, right=True) for _, title in columns),
    ]
    for rule in rest:
        cells = (getattr(rule, key) for key, _ in columns)
        made.append(
            "  "
            + fit(rule.rule_id, name)
            + "".join(fit(f"{cell:,}" if cell else "·", 8, right=True) for cell in cells)
        )
    if clean:
        made.append(
            "  "
            + fit(f"{count(len(clean), 'rule')} clean everywhere", name)
            + fit(f"{sum(rule.passed for rule in clean):,}", 8, right=True)
        )
    return made


def _unseen(shown: View, width: int) -> list[str]:
    made: list[str] = []
    if shown.blind_spots:
        made += ["", f"  Blind spots: {len(shown.blind_spots):,}"]
        for where, spot in shown.blind_spots[:_BLIND]:
            rules = f" ({count(len(spot.rules), 'rule')})"
            said = f"{safe(where)} {safe(spot.service)}.{safe(spot.operation)}: {safe(spot.code)}"
            made.append("    " + fit(said, width - 4 - len(rules)).rstrip() + rules)
        if len(shown.blind_spots) > _BLIND:
            made.append(f"    and {len(shown.blind_spots) - _BLIND:,} more")
    if shown.expected_blind_spots:
        made.append(f"  Expected blind spots: {len(shown.expected_blind_spots):,}")
    if shown.not_evaluated:
        reasons: Counter[str] = Counter()
        for row in shown.not_evaluated:
            reasons[safe(row.reason)] += len(row.resources)
        made.append(f"  Not evaluated: {count(shown.not_evaluated_count, 'resource')}")
        for reason, number in reasons.most_common(_REASONS):
            made.append("    " + fit(reason, width - 12).rstrip() + f" ({number:,})")
        if len(reasons) > _REASONS:
            made.append(f"    and {count(len(reasons) - _REASONS, 'other reason')}")
    return ["", *made] if made and made[0] else made


def _warnings(shown: View, width: int) -> list[str]:
    """Say in whole sentences what whoever reads the sums should know."""
    said = (*shown.caveats, *shown.audit.warnings)
    if not said:
        return []
    made = ["", "  Notes:"]
    for warning in said[:_NOTES]:
        made += wrap(safe(warning), width - 4, initial_indent="  - ", subsequent_indent="    ")
    if len(said) > _NOTES:
        made.append(f"    and {len(said) - _NOTES:,} more")
    return made


def _made(shown: View) -> list[str]:
    usage, prices = shown.audit.api_usage, shown.audit.prices
    predicted = small_money(usage.predicted_lower)
    if usage.predicted_upper != usage.predicted_lower:
        predicted += f" to {small_money(usage.predicted_upper)}"
    if not usage.predicted_exact:
        predicted += ", upper bound"
    sources = {
        "live": prices.live,
        "cached": prices.cached,
        "snapshot": prices.snapshot,
        "overridden": prices.overridden,
        "unknown": prices.unknown,
    }
    known = ", ".join(f"{number:,} {name}" for name, number in sources.items() if number) or "none asked"
    return [
        "",
        f"  API cost: {small_money(usage.actual_cost)}; predicted {predicted}",
        *(
            [
                f"    {small_money(usage.repeated_cost)} of it for asking again what was not answered to its end"
            ]
            if usage.repeated_cost
            else []
        ),
        f"  API calls: {shown.call_count:,}"
        + (
            f", {shown.throttled:,} throttled, {shown.retried:,} retried"
            if shown.throttled or shown.retried
            else ""
        ),
        f"  Prices: {known}",
        *([f"  Oldest price as of {safe(prices.oldest_as_of)}"] if prices.oldest_as_of else []),
    ]
