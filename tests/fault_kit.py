"""What fault tests share: one listing for each protocol, in an account that is struck and one that is well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import botocore.model
import pytest
from finops_kit import NOW

from pytest_finops.collector.aws import Aws, Login
from pytest_finops.collector.breaker import Breaker
from pytest_finops.collector.executor import Collector, LiveSource
from pytest_finops.collector.guard import Guard
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Limiter
from pytest_finops.collector.store import Cell, Store
from pytest_finops.declare import Inventory
from pytest_finops.resources import Target
from pytest_finops.testing import Estate

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
    "rest-xml": (listing("s3", "list_buckets", "Buckets[]", "Name"), {}),
    "cbor": (listing("resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList[]", "ResourceARN"), {}),
}  # fmt: skip
MEMBERS = 5
EVERYTHING = [f"one-{index}" for index in range(MEMBERS)]


def estate() -> Estate:
    """Both accounts, with the same members in each listing."""
    made = Estate(NOW)
    for account in (ILL, WELL):
        made.account(account, regions=(REGION,))
        for declaration, more in PROTOCOLS.values():
            for name in EVERYTHING:
                made.add(account, REGION, declaration.call, **{str(declaration.id): name}, **more)
    return made


@contextmanager
def cbor_preferred() -> Iterator[None]:
    """Speak CBOR where it is offered: the tagging API does, but this botocore prefers its JSON."""
    with pytest.MonkeyPatch.context() as patch:
        protocols = botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS
        patch.setattr(
            botocore.model, "PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", ("smithy-rpc-v2-cbor", *protocols)
        )
        yield


def make_aws(timeout: float = 0.7) -> Aws:
    """Return clients that do not pause between tries."""
    stop = Event()
    made = Aws(
        run_id="x", guard=Guard(), ledger=Ledger(), limiter=Limiter(1e6, stop), stop=stop, threads=4, retry_delay=0,
        timeouts=(timeout, timeout),
    )  # fmt: skip
    made.guard.allow((d.service, d.operation) for d, _ in PROTOCOLS.values())
    return made


def collect(aws: Aws, url: str, declaration: Inventory) -> dict[str, Cell]:
    """Collect one listing in both accounts, as a run of its own; return account -> cell."""
    aws.breaker = Breaker()
    aws._standings.clear()
    logins = {account: Login(keys=(f"AKIA{account}TEST", "x"), endpoint=url) for account in (ILL, WELL)}
    for login in logins.values():
        # Every account was entered before anything is collected.
        aws._standing(login).answered = True
    store = Store()
    collector = Collector(LiveSource(aws, logins), store, aws.ledger, threads=2, stop=aws.stop)
    targets = [Target(account, REGION, now=NOW) for account in logins]
    collector.inventories([(declaration, target) for target in targets], {})
    return {target.account_id: store.cell(declaration, target) for target in targets}


def rows(cell: Cell) -> list[str]:
    """The ids of a cell's rows."""
    return [row.id for row in cell.rows]
