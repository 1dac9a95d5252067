"""The gate: whether findings break the run, and with which exit status it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from . import totals
from .audit import Gate
from .findings import Finding, Severity, cents

ZERO = Decimal(0)
DEFAULT_MIN_SAVINGS = Decimal("1.00")

#: Severities from mild to grave.
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")

EXIT_OK = 0
EXIT_BROKEN = 1
EXIT_USAGE = 4
EXIT_BLIND = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the user asked of the gate (USD a month; None = not asked); ``min_savings`` acts before it."""

    max_waste: Decimal | None = None
    max_savings: Decimal | None = None
    max_increase: Decimal | None = None
    max_unpriced: int | None = None
    strict: bool = False
    fail_severity: Severity | None = None
    min_savings: Decimal = DEFAULT_MIN_SAVINGS

    @property
    def has_amounts(self) -> bool:
        """Whether an amount replaces "any new finding breaks the gate"."""
        return not (self.max_waste is None and self.max_savings is None and self.max_increase is None)

    @property
    def unpriced_allowed(self) -> int | None:
        """How many findings without a price may be; None = any number."""
        return 0 if self.max_unpriced is None and self.strict else self.max_unpriced

    def asked(self) -> Mapping[str, Any]:
        """Return the limits that were asked for, for the audit."""
        values = {
            limit.name: getattr(self, limit.name) for limit in fields(self) if limit.name != "min_savings"
        }
        return {name: value for name, value in values.items() if value is not None and value is not False}


def judge(
    findings: Sequence[Finding],
    *,
    limits: Limits,
    previous: Decimal | None = None,
    refused: str = "",
) -> Gate:
    """Return the judgement on ``findings``, classified and counted.

    Only findings with status new are judged; what equals a limit holds. Limits compare unrounded sums,
    except the growth since ``previous`` (the total of the baseline or of the last stored audit, which is
    rounded): it compares rounded totals of all that is counted. Without a ``previous`` the growth is from
    zero, so that a limit never holds for want of something to compare. ``counted`` is a total and sums rounded
    figures, as every total does. A gate forgives findings and nothing
    else: what was not seen and ordinary failures change the exit status, not the judgement. A run that was
    ``refused`` looked at nothing, so nothing holds.
    """
    if refused:
        return Gate(limits=limits.asked(), counted=ZERO, holds=False, reasons=(refused,))
    new = [finding for finding in findings if finding.status == "new"]
    savings = sum((finding.counted_monthly_savings for finding in new), ZERO)
    waste = sum((finding.counted_monthly_savings for finding in new if finding.kind == "waste"), ZERO)
    reasons: list[str] = []
    if limits.max_waste is not None and waste > limits.max_waste:
        reasons.append(f"waste {_over(waste, limits.max_waste)} USD a month")
    if limits.max_savings is not None and savings > limits.max_savings:
        reasons.append(f"savings {_over(savings, limits.max_savings)} USD a month")
    if limits.max_increase is not None:
        growth = totals.counted(f for f in findings if f.status != "accepted") - (previous or ZERO)
        if growth > limits.max_increase:
            since = "since nothing: no earlier audit" if previous is None else "since the last audit"
            reasons.append(f"increase {_over(growth, limits.max_increase)} USD a month {since}")
    if new and not limits.has_amounts:
        reasons.append(f"{len(new)} new finding{'' if len(new) == 1 else 's'}")
    unpriced = sum(1 for finding in new if finding.estimated_monthly_savings is None)
    allowed = limits.unpriced_allowed
    if allowed is not None and unpriced > allowed:
        reasons.append(f"{unpriced} without a price > {allowed}")
    return Gate(limits=limits.asked(), counted=totals.counted(new), holds=not reasons, reasons=tuple(reasons))


def exit_status(gate: Gate, *, complete: bool, pytest_status: int, ordinary_failed: bool) -> int:
    """Return the exit status of the run (interface, section 2).

    pytest's own 2 to 6 pass through. Under ``strict`` an incomplete run is 7 whatever else happened, except
    after a usage error (4), where nothing was asked.
    """
    strict = bool(gate.limits.get("strict"))
    if strict and not complete and pytest_status != EXIT_USAGE:
        return EXIT_BLIND
    if pytest_status not in (EXIT_OK, EXIT_BROKEN, EXIT_BLIND):
        return pytest_status
    if not gate.holds or ordinary_failed:
        return EXIT_BROKEN
    return EXIT_OK if complete else EXIT_BLIND


def closing_line(gate: Gate, complete: bool) -> str:
    """Return the last line of the run: ``gate: broken (2 new findings), complete``."""
    verdict = "holds" if gate.holds else f"broken ({'; '.join(gate.reasons)})"
    return f"gate: {verdict}, {'complete' if complete else 'incomplete'}"


def _over(amount: Decimal, limit: Decimal) -> str:
    """Return ``120.00 > 100.00``; in full where both would round to the same."""
    shown, wanted = cents(amount), cents(limit)
    if shown > wanted:
        return f"{shown:f} > {wanted:f}"
    return f"{_in_full(amount)} > {_in_full(limit)}"


def _in_full(amount: Decimal) -> str:
    """Return an amount with every place that says something, at least the cents."""
    return f"{max(amount.normalize(), cents(amount), key=lambda n: -int(n.as_tuple().exponent)):f}"
