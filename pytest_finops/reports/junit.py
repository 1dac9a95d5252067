"""Properties of a check for JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from ..findings import cents
from .text import plain, safe


def properties(
    rule_id: str, targets: Sequence[tuple[str, str]], findings: int, savings: Decimal
) -> list[tuple[str, str]]:
    """Return (name, value) pairs for ``report.user_properties``; ``targets`` are (account, region) pairs.

    Values are strings: they cross process borders as JSON, where a Decimal would abort the run.
    """
    return [
        ("finops_rule", safe(rule_id)),
        ("finops_account", ",".join(sorted(map(safe, {account for account, _ in targets})))),
        ("finops_region", ",".join(sorted(map(safe, {region for _, region in targets})))),
        ("finops_findings", str(findings)),
        ("finops_savings", plain(cents(savings))),
    ]
