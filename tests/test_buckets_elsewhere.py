"""Buckets in another region than the one that is asked: followed where that helps, else a blind spot of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fault_kit import ILL, REGION, WELL, make_aws
from finops_kit import NOW

from pytest_finops.collector.aws import Aws, Login
from pytest_finops.collector.executor import Collector, LiveSource
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.store import Cell, Store
from pytest_finops.declare import Inventory
from pytest_finops.operations import operation
from pytest_finops.resources import Resource, Target
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

THERE = "eu-west-1"
EACH = operation("s3", "get_bucket_tagging").request_cost
BUCKETS = Inventory(
    name="buckets", service="s3", operation="list_buckets", key="Buckets[]", id="Name", level="account",
    parse=lambda page: None,
)  # fmt: skip
TAGS = Inventory(
    name="tags", service="s3", operation="get_bucket_tagging", key="TagSet[]", level="account", per="buckets",
    param="Bucket", absent=frozenset({"NoSuchTagSet"}),
    parse=lambda page: [
        Resource(id=f"{page.params['Bucket']}:{tag['Value']}", target=page.target) for tag in page
    ],
)  # fmt: skip


def estate() -> Estate:
    """Return two accounts with three buckets each, whose tags are known where the bucket is."""
    made = Estate(NOW)
    for account in (ILL, WELL):
        made.account(account, regions=(REGION,))
        for index in range(3):
            name = f"{account}-{index}"
            made.add(account, REGION, "s3.list_buckets", Name=name)
            region = THERE if index == 1 else REGION
            tags = {"TagSet": [{"Key": "in", "Value": region}]}
            made.put(account, region, "s3.get_bucket_tagging", tags, params={"Bucket": name})
            made.put(account, region, "s3.head_bucket", {"BucketRegion": region}, params={"Bucket": name})
    return made


def elsewhere(bucket: str, code: str, says: str | None = THERE, **more: Any) -> Fault:
    """Return S3's answer in ``REGION`` about a bucket that is elsewhere."""
    headers = {} if says is None else {"x-amz-bucket-region": says}
    return Fault("error", "s3", region=REGION, code=code, params={"Bucket": bucket}, headers=headers, **more)


@dataclass
class Bed:
    """An endpoint and the clients of a run, shared by both accounts."""

    endpoint: ReplayEndpoint
    aws: Aws

    def collect(self) -> dict[str, Cell]:
        """Collect the tags of every bucket; return account -> cell."""
        self.aws.ledger = Ledger()
        logins = {a: Login(keys=(f"AKIA{a}TEST", "x"), endpoint=self.endpoint.url) for a in (ILL, WELL)}
        store = Store()
        collector = Collector(
            LiveSource(self.aws, logins), store, self.aws.ledger, threads=2, stop=self.aws.stop
        )
        targets = [Target(account, "global", now=NOW) for account in logins]
        needs = {(TAGS, target): [(BUCKETS, target)] for target in targets}
        collector.inventories([(d, t) for t in targets for d in (BUCKETS, TAGS)], needs)
        return {target.account_id: store.cell(TAGS, target) for target in targets}

    def tagging(self) -> Any:
        """Return what the ledger says of the tags."""
        return next(one for one in self.aws.ledger.entries() if one.operation == "get_bucket_tagging")


@pytest.fixture
def bed() -> Iterator[Bed]:
    with ReplayEndpoint(estate()) as endpoint:
        aws = make_aws(timeout=5)
        aws.guard.allow([("s3", "get_bucket_tagging")])
        yield Bed(endpoint, aws)


def rows(account: str) -> list[str]:
    return [f"{account}-{index}:{THERE if index == 1 else REGION}" for index in range(3)]


@pytest.mark.parametrize(
    "code", ["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"]
)
def test_a_redirect_is_followed_and_the_bill_stays_the_same(bed: Bed, code: str) -> None:
    bed.endpoint.set_faults(*(elsewhere(f"{account}-1", code) for account in (ILL, WELL)))

    cells = bed.collect()

    for account, cell in cells.items():
        assert (cell.fault, cell.cut, cell.faults) == (None, None, {})
        assert sorted(row.id for row in cell.rows) == rows(account)
    assert bed.endpoint.count("s3", "get_bucket_tagging") == 8
    made = bed.tagging()
    # S3 does not bill these answers; the request that was answered costs what it always does.
    assert (made.calls, made.retried, made.billable_units, made.cost) == (6, 2, 6, 6 * EACH)


def test_a_bucket_that_was_found_is_asked_where_it_is(bed: Bed) -> None:
    bed.endpoint.set_faults(elsewhere(f"{ILL}-1", "PermanentRedirect"))
    bed.collect()
    sent = bed.endpoint.count("s3", "get_bucket_tagging")

    # Names of buckets are unique in a partition, and so is what the shared client remembers of them.
    for account in (ILL, WELL):
        bed.endpoint.estate.put(
            account, THERE, "s3.get_bucket_tagging", {"TagSet": []}, params={"Bucket": f"{ILL}-1"}
        )
    login = Login(keys=(f"AKIA{WELL}TEST", "x"), endpoint=bed.endpoint.url)
    bed.aws.call(login, WELL, REGION, "s3", "get_bucket_tagging", {"Bucket": f"{ILL}-1"})

    assert bed.endpoint.count("s3", "get_bucket_tagging") == sent + 1
    last = bed.endpoint.requests[-1]
    assert (last.account_id, last.region, last.status) == (WELL, THERE, 200)


def test_where_only_the_bucket_itself_can_say_its_region_it_is_asked(bed: Bed) -> None:
    bed.endpoint.set_faults(
        elsewhere(f"{ILL}-1", "PermanentRedirect", operation="head_bucket"),
        elsewhere(f"{ILL}-1", "PermanentRedirect", says=None, operation="get_bucket_tagging"),
        elsewhere(f"{WELL}-1", "PermanentRedirect"),
    )

    cells = bed.collect()

    assert sorted(row.id for row in cells[ILL].rows) == rows(ILL)
    made = bed.tagging()
    assert bed.endpoint.count("s3", "head_bucket") == 2
    assert made.retried == 4
    assert (made.calls, made.billable_units, made.cost) == (6, 6, 6 * EACH)


@pytest.mark.parametrize("says", [THERE, "no where", None])
def test_where_no_redirect_helps_one_bucket_is_blind_and_no_other(bed: Bed, says: str | None) -> None:
    nowhere = replace(elsewhere(f"{ILL}-1", "PermanentRedirect", says), region=None)
    bed.endpoint.set_faults(nowhere, elsewhere(f"{WELL}-1", "PermanentRedirect"))

    cells = bed.collect()

    well, ill = cells[WELL], cells[ILL]
    assert (well.fault, well.cut, well.faults) == (None, None, {})
    assert sorted(row.id for row in well.rows) == rows(WELL)
    assert (ill.fault, ill.cut) == (None, None)
    assert list(ill.faults) == [f"{ILL}-1"]
    assert ill.faults[f"{ILL}-1"].kind in ("unavailable", "failed")
    assert sorted(row.id for row in ill.rows) == [rows(ILL)[0], rows(ILL)[2]]
    assert bed.endpoint.count("s3") < 20
    assert 5 * EACH <= bed.tagging().cost <= 6 * EACH


def test_what_s3_refuses_it_bills(bed: Bed) -> None:
    for index, code in enumerate(("NoSuchTagSet", "AccessDenied", "NoSuchBucket")):
        bed.endpoint.estate.refuse(
            ILL, REGION, "s3.get_bucket_tagging", code, params={"Bucket": f"{ILL}-{index}"}
        )

    bed.collect()

    made = bed.tagging()
    assert (made.calls, made.billable_units, made.cost) == (6, 6, 6 * EACH)


@pytest.mark.parametrize("kind", ["throttle", "expired"])
def test_what_s3_cannot_answer_is_free(bed: Bed, kind: Any) -> None:
    bed.endpoint.set_faults(Fault(kind, "s3", "get_bucket_tagging"))

    bed.collect()

    assert bed.tagging().cost == 0
