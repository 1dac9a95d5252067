"""``finops-playbook iam-policy``: the least policy that the selected checks need, without asking AWS."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence

import click
import pytest

from ..operations import policy
from .paths import with_checks


class _Calls:
    """A pytest plugin that notes which AWS calls the collected checks need."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from ..plan import planned_calls

        self.calls = planned_calls(session)


def main(args: Sequence[str]) -> int:
    """Collect with pytest arguments ``args``, print the policy, and return the exit status."""
    seen = _Calls()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = int(pytest.main(["--collect-only", "-q", *with_checks(args)], plugins=[seen]))
    if status:
        # Only a failed collection has something to say besides the policy.
        sys.stderr.write(said.getvalue())
        return status
    click.echo(json.dumps(policy(seen.calls), indent=2))
    return 0
