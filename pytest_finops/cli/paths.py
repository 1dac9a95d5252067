"""Which checks a command runs when nobody names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SHIPPED = ("--pyargs", "pytest_finops.checks")

#: pytest options whose value stands apart: it is no path, whatever it looks like.
_TAKES_VALUE = ("-k", "-m", "-n", "-p", "-o", "-c", "-W", "-r")


def names_checks(args: Sequence[str]) -> bool:
    """Return whether pytest arguments ``args`` name something to collect."""
    if "--pyargs" in args:
        return True
    before = ""
    for arg in args:
        if not arg.startswith("-") and before not in _TAKES_VALUE and Path(arg.partition("::")[0]).exists():
            return True
        before = arg
    return False


def with_checks(args: Sequence[str]) -> list[str]:
    """Return ``args``, with the local ``checks/`` or else the shipped checks where they name none."""
    if names_checks(args):
        return list(args)
    return [*args, "checks"] if Path("checks").is_dir() else [*args, *SHIPPED]
