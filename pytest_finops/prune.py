"""Pruning by spend: which (account, region) Cost Explorer has billed nothing for, so that nobody looks there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from .collector.faults import CallFault, Fault
from .operations import operation
from .predictions import PredictedCall
from .resources import GLOBAL, Target

if TYPE_CHECKING:
    from .collector.aws import Aws, Login

#: What the reason of a pruned row says.
REASON = "no spend in the last 30 days (--finops-prune spend)"
#: Accounts and regions that one page of Cost Explorer holds at least.
ACCOUNTS_PER_PAGE = 100
_DAYS = 30
#: The question that pruning asks.
CALL = ("ce", "get_cost_and_usage")

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Cost Explorer: who asks, and for which accounts."""

    asker: str
    accounts: frozenset[str]

    @property
    def pages(self) -> int:
        """How many pages it may take; 0.01 USD each."""
        return 1 + len(self.accounts) // ACCOUNTS_PER_PAGE


def queries(targets: Iterable[Target], payer: str | None, organization: bool) -> list[Query]:
    """Return one query by the payer of an organization for all of it, else one by each account for itself."""
    accounts = frozenset(target.account_id for target in targets)
    if organization and payer in accounts:
        return [Query(payer, accounts)]
    return [Query(account, frozenset({account})) for account in sorted(accounts)]


def predicted(asked: Sequence[Query]) -> PredictedCall:
    """Return what ``asked`` costs at most, and at least: each query is a page or more."""
    pages, price = sum(query.pages for query in asked), operation(*CALL).request_cost
    return PredictedCall(
        *CALL, pages, pages, price * pages, "most", price * len(asked), "--finops-prune spend"
    )


def unspent(
    aws: Aws, logins: Mapping[str, Login], asked: Sequence[Query], targets: Sequence[Target], now: datetime
) -> tuple[frozenset[Place], list[str]]:
    """Return the (account, region) of ``targets`` without cost and usage for 30 days, and what to tell people.

    A question that Cost Explorer does not answer prunes nothing.
    """
    aws.guard.allow([CALL])
    found: set[Place] = set()
    said: list[str] = []
    for query in asked:
        try:
            spending = _spending(aws, logins[query.asker], query, now)
        except CallFault as error:
            said.append(f"nothing is pruned by spend in account {query.asker}: {error.fault}")
            continue
        # Cost Explorer may not have the data of a new account yet, or a billing view hides it.
        seen = {account for account, _ in spending}
        unseen = sorted(query.accounts - seen)
        if unseen:
            more = f" and {len(unseen) - 3} more" if len(unseen) > 3 else ""
            said.append(
                f"nothing is pruned by spend in {', '.join(unseen[:3])}{more}: Cost Explorer shows no spend of these accounts"
            )
        found |= {
            (target.account_id, target.region)
            for target in targets
            if target.account_id in query.accounts & seen
            and target.region != GLOBAL
            and (target.account_id, target.region) not in spending
        }
    if found:
        said.append(f"{len(found)} of {len(targets)} account-regions left out: {REASON}")
    return frozenset(found), said


def _spending(aws: Aws, login: Login, query: Query, now: datetime) -> set[Place]:
    params: dict[str, Any] = {
        "TimePeriod": {"Start": str((now - timedelta(days=_DAYS)).date()), "End": str(now.date())},
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost", "UsageQuantity"],
        "GroupBy": [{"Type": "DIMENSION", "Key": key} for key in ("LINKED_ACCOUNT", "REGION")],
    }
    found: set[Place] = set()
    answers = aws.pages(
        login, query.asker, "us-east-1", *CALL, params, tokens=("NextPageToken", "NextPageToken"), witness="ResultsByTime"
    )  # fmt: skip
    pages = list(islice(answers, query.pages))
    for answer, _ in pages:
        for period in answer["ResultsByTime"]:
            for group in period.get("Groups", ()):
                # Credits hide cost, so usage counts too.
                if any(Decimal(metric["Amount"]) for metric in group["Metrics"].values()):
                    account, region = group["Keys"]
                    found.add((account, region))
    if not pages[-1][1]:
        raise CallFault(Fault("partial", "Bounded", f"the answer has more than {query.pages} pages"))
    if not found:
        # An account that costs nothing at all is more likely one whose data Cost Explorer does not have yet.
        raise CallFault(Fault("partial", "NoData", "Cost Explorer shows no spend at all"))
    return found
