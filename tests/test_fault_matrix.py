"""Each fault x each protocol x where it strikes: no crash, no false clean, no lost row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fault_kit import EVERYTHING, ILL, PROTOCOLS, REGION, cbor_preferred, collect, estate, make_aws, rows

from pytest_finops.collector import aws as live
from pytest_finops.collector.aws import Aws, Login
from pytest_finops.testing import Fault, ReplayEndpoint

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
    with ReplayEndpoint(estate(), page_size=2) as started:
        yield started


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with cbor_preferred():
        yield make_aws()


@pytest.fixture(autouse=True)
def _soon_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_EMPTY_PAGES", 5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_is_taken_for_health(aws: Aws, endpoint: ReplayEndpoint, name: str, protocol: str) -> None:
    declaration, _ = PROTOCOLS[protocol]
    for place, (account, page, times) in PLACES.items():
        if name == "silent" and place not in ("later page", "one account", "once"):
            continue  # waiting is all that the others would add
        fault = Fault(
            service=declaration.service, operation=declaration.operation, account_id=account, page=page, times=times,
            **FAULTS[name],
        )  # fmt: skip

        endpoint.set_faults(fault)
        cells = collect(aws, endpoint.url, declaration)

        for one, cell in cells.items():
            where = f"{name}, {protocol}, {place}, {one}"
            fault = cell.fault or cell.cut
            if fault is None:
                # Complete means complete: nothing lost, nothing twice.
                assert rows(cell) == EVERYTHING, where
            else:
                assert fault.code, where
                # What people read is AWS's word or ours, never the name of a Python exception of a parser.
                assert not re.fullmatch(
                    r"(Key|Value|Type|Attribute|Unicode\w*)Error|ResponseParserError", fault.code
                ), where
                assert rows(cell) == EVERYTHING[: len(cell.rows)], where
                assert (cell.cut is None) == (not cell.rows), where
                assert account in (None, one), where
            struck = account in (None, one)
            cured = name in PASSING and times == 1
            # A first page has no token to repeat; one empty page leads on to the rest.
            leads_on = (name == "empty-page" and page is not None) or (
                name == "same-token" and (page == 1 or place == "once")
            )
            assert (fault is not None) == (struck and not cured and not leads_on), (where, fault)
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
