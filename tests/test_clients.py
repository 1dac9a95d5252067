"""One client serves every account of a run, and signs for the one that asks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
from finops_kit import environment

from pytest_finops.collector.aws import Aws, Login
from pytest_finops.collector.faults import CallFault
from pytest_finops.collector.guard import Guard
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Limiter
from pytest_finops.testing import Estate, ReplayEndpoint

ACCOUNTS = [f"{number:012d}" for number in range(1, 9)]
PROFILES = """
[profile one]
aws_access_key_id = AKIAONE
aws_secret_access_key = x
region = us-east-1
[profile two]
aws_access_key_id = AKIATWO
aws_secret_access_key = x
region = eu-west-1
[profile kept-alive]
aws_access_key_id = AKIATWO
aws_secret_access_key = x
tcp_keepalive = true
"""


class ShortLived(ReplayEndpoint):
    """An endpoint whose role sessions are about to end."""

    def _assumed(self, request: Any) -> dict[str, Any]:
        answer = super()._assumed(request)
        answer["Credentials"]["Expiration"] = datetime.now(UTC) + timedelta(seconds=60)
        return answer


def estate() -> Estate:
    made = Estate()
    made.account(ACCOUNTS[0], access_key="AKIAONE")
    made.account(ACCOUNTS[1], access_key="AKIATWO")
    for account in ACCOUNTS[2:]:
        made.account(account)
    return made


@pytest.fixture(params=[ReplayEndpoint, ShortLived])
def endpoint(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReplayEndpoint]:
    with request.param(estate()) as started:
        for name, value in environment(started.url, tmp_path).items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        (tmp_path / "config").write_text(PROFILES)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        yield started


def logins() -> dict[str, Login]:
    roles = {a: Login(profile="one", role=f"arn:aws:iam::{a}:role/audit") for a in ACCOUNTS[2:]}
    return {ACCOUNTS[0]: Login(profile="one"), ACCOUNTS[1]: Login(profile="two"), **roles}


def live() -> Aws:
    stop = Event()
    return Aws(run_id="x", guard=Guard(), ledger=Ledger(), limiter=Limiter(1e6, stop), stop=stop, threads=8)


def who(aws: Aws, login: Login) -> str:
    return str(aws.call(login, "any", "us-east-1", "sts", "get_caller_identity", {})["Account"])


def test_threads_of_many_accounts_share_a_client_and_sign_for_their_own(endpoint: ReplayEndpoint) -> None:
    aws, together = live(), Barrier(len(ACCOUNTS))

    def ask(account: str) -> list[str]:
        together.wait()
        return [who(aws, logins()[account]) for _ in range(5)]

    with ThreadPoolExecutor(len(ACCOUNTS)) as pool:
        answers = dict(zip(ACCOUNTS, pool.map(ask, ACCOUNTS), strict=True))

    assert answers == {account: [account] * 5 for account in ACCOUNTS}
    clients = {id(aws.client(login, "sts", "us-east-1", attempts=1)) for login in logins().values()}
    assert len(clients) == 1
    # Roles are assumed once, or again before each request where their credentials are about to end.
    assumed = endpoint.count("sts", "assume_role")
    assert assumed == 6 if type(endpoint) is ReplayEndpoint else assumed >= 6 * 5


def test_one_thread_may_act_for_one_account_after_the_other(endpoint: ReplayEndpoint) -> None:
    aws = live()
    order = [*ACCOUNTS, *reversed(ACCOUNTS)]
    assert [who(aws, logins()[account]) for account in order] == order


def test_other_settings_of_a_profile_are_another_client(endpoint: ReplayEndpoint) -> None:
    aws = live()
    first = aws.client(Login(profile="two"), "sts", "us-east-1")
    assert aws.client(Login(profile="one"), "sts", "us-east-1") is first
    assert aws.client(Login(profile="kept-alive"), "sts", "us-east-1") is not first
    assert aws.client(Login(profile="one", endpoint=endpoint.url), "sts", "us-east-1") is not first
    assert who(aws, Login(profile="kept-alive")) == ACCOUNTS[1]


def test_a_role_that_is_refused_leaves_the_others_alone(endpoint: ReplayEndpoint) -> None:
    refused = logins()[ACCOUNTS[3]]
    assert refused.role is not None
    endpoint.estate.denied_roles.add(refused.role)
    aws = live()
    with pytest.raises(CallFault, match="AccessDenied"):
        aws.enter(refused)
    with pytest.raises(CallFault, match="AccessDenied"):
        who(aws, refused)
    assert who(aws, logins()[ACCOUNTS[4]]) == ACCOUNTS[4]
    assert who(aws, logins()[ACCOUNTS[0]]) == ACCOUNTS[0]
