"""Each fault x each protocol x where it strikes: no crash, no false clean, no lost row."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import botocore.model
import pytest
from finops_kit import NOW

from pytest_finops.collector import aws as live
from pytest_finops.collector.aws import Aws, Login
from pytest_finops.collector.breaker import Breaker
from pytest_finops.collector.executor import Collector, LiveSource
from pytest_finops.collector.guard import Guard
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Limiter
from pytest_finops.collector.store import Cell, Store
from pytest_finops.declare import Inventory
from pytest_finops.resources import Target
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

ILL, WELL = "111111111111", "222222222222"
REGION = "us-east-1"


def listing(service: str, operation: str, key: str, id: str) -> Inventory:
    return Inventory(
        name=operation, service=service, operation=operation, key=key, id=id, parse=lambda page: None
    )


#: One listing for each protocol that AWS speaks, and what a member of it needs.
PROTOCOLS: dict[str, tuple[Inventory, dict[str, Any]]] = {
    "ec2": (listing("ec2", "describe_volumes", "Volumes[]", "VolumeId"), {}),
    "query": (listing("rds", "describe_db_instances", "DBInstances[]", "DBInstanceIdentifier"), {}),
    "json": (listing("logs", "describe_log_groups", "logGroups[]", "logGroupName"), {}),
    "rest-json": (listing("lambda", "list_functions", "Functions[]", "FunctionName"), {}),
    "cbor": (listing("resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList[]", "ResourceARN"), {}),
}  # fmt: skip
MEMBERS = 5
FAULTS: dict[str, dict[str, Any]] = {
    "denied": {"kind": "error"},
    "policy": {"kind": "error", "code": "AccessDenied", "message": "with an explicit deny in a service control policy"},
    "not-enabled": {"kind": "error", "code": "AuthFailure"},
    "no-subscription": {"kind": "error", "code": "SubscriptionRequiredException"},
    "skew": {"kind": "error", "code": "SignatureDoesNotMatch"},
    "throttled": {"kind": "throttle"},
    "broken": {"kind": "error", "code": "InternalError"},
    "expired": {"kind": "expired"},
    "unforeseen": {"kind": "error", "code": "SomethingNewException"},
    "html": {"kind": "html"},
    "truncated": {"kind": "truncate"},
    "empty": {"kind": "empty_body"},
    "no-key": {"kind": "missing_key"},
    "corrupt": {"kind": "corrupt"},
    "cut-off": {"kind": "abort"},
    "gateway": {"kind": "gateway"},
    "reset": {"kind": "reset"},
    "silent": {"kind": "hang"},
    "same-token": {"kind": "repeat_token"},
    "empty-page": {"kind": "empty_page_with_token"},
}  # fmt: skip
#: Faults that another try cures, when they strike once.
PASSING = {"throttled", "broken", "expired", "html", "truncated", "empty", "no-key", "corrupt", "cut-off", "gateway", "reset", "silent", "empty-page"}  # fmt: skip
#: account, page, how often.
PLACES: dict[str, tuple[str | None, int | None, int | None]] = {
    "first page": (None, 1, None),
    "later page": (None, 2, None),
    "one account": (ILL, None, None),
    "always": (None, None, None),
    "once": (ILL, None, 1),
    "once, later page": (ILL, 2, 1),
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ReplayEndpoint]:
    estate = Estate(NOW)
    for account in (ILL, WELL):
        estate.account(account, regions=(REGION,))
        for declaration, more in PROTOCOLS.values():
            for index in range(MEMBERS):
                estate.add(account, REGION, declaration.call, **{str(declaration.id): f"one-{index}"}, **more)
    with ReplayEndpoint(estate, page_size=2) as started:
        yield started


@pytest.fixture(scope="module")
def aws() -> Aws:
    stop = Event()
    made = Aws(
        run_id="x", guard=Guard(), ledger=Ledger(), limiter=Limiter(1e6, stop), stop=stop, threads=4, retry_delay=0,
        timeouts=(0.7, 0.7),
    )  # fmt: skip
    made.guard.allow((d.service, d.operation) for d, _ in PROTOCOLS.values())
    return made


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_EMPTY_PAGES", 5)
    protocols = botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS
    # The tagging API speaks CBOR too; this botocore prefers JSON where both are offered.
    monkeypatch.setattr(
        botocore.model, "PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", ("smithy-rpc-v2-cbor", *protocols)
    )


def collect(aws: Aws, endpoint: ReplayEndpoint, declaration: Inventory, *faults: Fault) -> dict[str, Cell]:
    """Collect one listing in both accounts, as a run of its own; return account -> cell."""
    endpoint.set_faults(*faults)
    aws.breaker = Breaker()
    aws._standings.clear()
    logins = {
        account: Login(keys=(f"AKIA{account}TEST", "x"), endpoint=endpoint.url) for account in (ILL, WELL)
    }
    for login in logins.values():
        # Every account was entered before anything is collected.
        aws._standing(login).answered = True
    store = Store()
    collector = Collector(LiveSource(aws, logins), store, aws.ledger, threads=2, stop=aws.stop)
    targets = [Target(account, REGION, now=NOW) for account in logins]
    collector.inventories([(declaration, target) for target in targets], {})
    return {target.account_id: store.cell(declaration, target) for target in targets}


def rows(cell: Cell) -> list[str]:
    return [row.id for row in cell.rows]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_is_taken_for_health(aws: Aws, endpoint: ReplayEndpoint, name: str, protocol: str) -> None:
    declaration, _ = PROTOCOLS[protocol]
    everything = [f"one-{index}" for index in range(MEMBERS)]
    for place, (account, page, times) in PLACES.items():
        if name == "silent" and place not in ("later page", "one account", "once"):
            continue  # waiting is all that the others would add
        fault = Fault(
            service=declaration.service, operation=declaration.operation, account_id=account, page=page, times=times,
            **FAULTS[name],
        )  # fmt: skip

        cells = collect(aws, endpoint, declaration, fault)

        for one, cell in cells.items():
            where = f"{name}, {protocol}, {place}, {one}"
            if cell.fault is None:
                # Complete means complete: nothing lost, nothing twice.
                assert rows(cell) == everything, where
            else:
                assert cell.fault.code, where
                assert account in (None, one), where
            struck = account in (None, one)
            cured = name in PASSING and times == 1
            # A first page has no token to repeat; one empty page leads on to the rest.
            leads_on = (name == "empty-page" and page is not None) or (
                name == "same-token" and (page == 1 or place == "once")
            )
            assert (cell.fault is not None) == (struck and not cured and not leads_on), (where, cell.fault)
        assert endpoint.requests, place


def test_the_protocols_are_what_they_are_called(aws: Aws, endpoint: ReplayEndpoint) -> None:
    for protocol, (declaration, _) in PROTOCOLS.items():
        client = aws.client(
            Login(keys=(f"AKIA{ILL}TEST", "x"), endpoint=endpoint.url),
            declaration.service,
            REGION,
            attempts=1,
        )
        assert str(client.meta.service_model.resolved_protocol).endswith(protocol)
