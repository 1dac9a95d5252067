"""``finops-playbook iam-policy``: the least policy that the selected checks need, without asking AWS."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from typing import Any

import click
import pytest

from ..operations import policy
from ..organization import CALLS
from .paths import names_checks, with_checks


class _Calls:
    """A pytest plugin that notes which AWS calls the collected checks need."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.without_shipped = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from .. import prune
        from ..plan import planned_calls
        from ..plugin import SESSION

        audit = session.config.stash.get(SESSION, None)
        self.without_shipped = audit is not None and audit.without_shipped()
        self.calls = planned_calls(
            session, cost_data=bool(session.config.getoption("finops_cost_data", False))
        )
        if audit is not None and audit.settings.prune:
            self.calls.append(prune.CALL)


def of_part(calls: Sequence[tuple[str, str]], part: str, member_role: str) -> dict[str, Any]:
    """Return the policy of an ``account`` that audits itself, of a ``member``, or of the ``hub`` that enters members.

    Prices and the organization are asked by the hub, which is audited as well; members answer for themselves only.
    """
    if part == "member":
        # Regions are asked in every account, prices by the hub alone.
        return policy([*calls, ("ec2", "describe_regions")], live=False)
    made = policy([*calls, *CALLS] if part == "hub" else calls)
    if part == "hub":
        made["Statement"].append(
            {
                "Sid": "FinopsAuditEnterMembers",
                "Effect": "Allow",
                "Action": ["sts:AssumeRole"],
                "Resource": f"arn:aws:iam::*:role/{member_role}",
                "Condition": {"StringEquals": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}},
            }
        )
    return made


def main(args: Sequence[str], part: str = "account", member_role: str = "FinOpsAudit") -> int:
    """Collect with pytest arguments ``args``, print the policy, and return the exit status."""
    seen = _Calls()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = int(pytest.main(["--collect-only", "-q", *with_checks(args)], plugins=[seen]))
    if status:
        # Only a failed collection has something to say besides the policy.
        sys.stderr.write(said.getvalue())
        return status
    if seen.without_shipped and not names_checks(args):
        from ..session import SHIPPED_LEFT_OUT

        # The policy is what standard output is for.
        click.echo(SHIPPED_LEFT_OUT, err=True)
    click.echo(json.dumps(of_part(seen.calls, part, member_role), indent=2))
    return 0
