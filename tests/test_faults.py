"""Faults one by one: what a code means, how long a run tries, and when it stops asking."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from finops_kit import ACCOUNT, NOW, audit, environment, volumes_estate, write_checks

from pytest_finops.collector.aws import Aws, Login
from pytest_finops.collector.breaker import REST, Breaker
from pytest_finops.collector.executor import Collector, LiveSource
from pytest_finops.collector.faults import PATIENCE, CallFault, classify
from pytest_finops.collector.guard import Guard
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Bucket, Limiter
from pytest_finops.collector.store import Cell, Store
from pytest_finops.declare import Inventory, Metric
from pytest_finops.resources import Target
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

OTHER = "222222222222"
TARGET = Target(ACCOUNT, "us-east-1", now=NOW)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("UnauthorizedOperation", 403, "denied"), ("AccessDeniedException", 400, "denied"), ("NewDenial", 403, "denied"),
        ("RequestLimitExceeded", 503, "throttled"), ("ThrottlingException", 400, "throttled"), ("Odd", 429, "throttled"),
        ("429", 429, "throttled"), ("500", 500, "transient"), ("InternalError", 400, "transient"), ("Odd", 502, "transient"),
        ("RequestExpired", 400, "expired"), ("ExpiredTokenException", 400, "expired"), ("AuthFailure", 401, "unavailable"),
        ("OptInRequired", 401, "unavailable"), ("SubscriptionRequiredException", 400, "unavailable"),
        ("RequestTimeTooSkewed", 403, "unavailable"), ("PermanentRedirect", 301, "unavailable"),
        ("InvalidVolume.NotFound", 400, "gone"), ("LoadBalancerNotFound", 400, "gone"), ("NoSuchBucket", 404, "gone"),
        ("ResourceNotFoundException", 400, "gone"), ("DBInstanceNotFoundFault", 404, "gone"),
        ("InvalidNextToken", 400, "dead_token"), ("PaginationTokenExpiredException", 400, "dead_token"),
        ("ValidationError", 400, "failed"), ("SomethingNew", None, "failed"),
    ],
)  # fmt: skip
def test_what_a_code_means(code: str, status: int | None, kind: str) -> None:
    assert classify(code, status) == kind


def test_pauses_grow_to_a_cap_and_are_spread_over_their_whole_length() -> None:
    throttled = PATIENCE["throttled"]

    assert [throttled.delay(tried, 1.0) for tried in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 20, 20]
    assert throttled.delay(5, 0.0) == 0
    assert len({throttled.delay(5) for _ in range(20)}) > 10
    assert sum(throttled.delay(tried, 1.0) for tried in range(1, throttled.tries)) < 90


def test_a_throttled_bucket_slows_once_a_storm_and_recovers() -> None:
    now = [0.0]
    bucket = Bucket(rate=10, burst=20, clock=lambda: now[0])

    for _ in range(16):
        bucket.slow_down()  # sixteen requests under way hear the same "too much"
    assert bucket.rate == 5
    assert bucket.reserve() > 0
    now[0] = 2
    bucket.slow_down()
    assert bucket.rate == 2.5
    for _ in range(40):
        bucket.recover()
    assert bucket.rate == 10


def test_a_breaker_opens_rests_and_closes() -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0])
    breaker.silent("ec2", "eu-west-1")
    breaker.check("ec2", "eu-west-1")
    breaker.silent("ec2", "eu-west-1")

    with pytest.raises(CallFault, match="ec2 in eu-west-1 did not answer 2 times in a row"):
        breaker.check("ec2", "eu-west-1")
    breaker.check("rds", "eu-west-1")
    breaker.silent("rds", "eu-west-1")
    breaker.silent("elbv2", "eu-west-1")
    with pytest.raises(CallFault, match="eu-west-1 did not answer 4 times in a row"):
        breaker.check("logs", "eu-west-1")
    breaker.check("logs", "us-east-1")

    now[0] = REST + 1
    breaker.check("logs", "eu-west-1")  # one may try
    with pytest.raises(CallFault):
        breaker.check("logs", "eu-west-1")
    breaker.answered("logs", "eu-west-1")
    breaker.check("logs", "eu-west-1")
    for service in ("a", "b", "c", "d"):
        breaker.silent(service, "eu-west-1")
    breaker.check("logs", "eu-west-1")  # somebody answered there: the others may be out of reach alone


# --- the collector -------------------------------------------------------------------------------------------------


def inventory(
    name: str, service: str, operation: str, key: str, id: str | None = None, **more: Any
) -> Inventory:
    return Inventory(
        **{"parse": lambda page: None, **more},
        name=name,
        service=service,
        operation=operation,
        key=key,
        id=id,
    )


VOLUMES = inventory("volumes", "ec2", "describe_volumes", "Volumes[]", "VolumeId")


class Bed:
    """An endpoint and a collector in front of it."""

    def __init__(self, estate: Estate, *faults: Fault, logins: dict[str, Login] | None = None, limit: Decimal | None = None) -> None:  # fmt: skip
        self.endpoint = ReplayEndpoint(estate, faults=faults, page_size=2).start()
        self.stop = Event()
        self.ledger = Ledger(limit)
        self.aws = Aws(
            run_id="x", guard=Guard(), ledger=self.ledger, limiter=Limiter(1e6, self.stop), stop=self.stop, threads=4,
            retry_delay=0, timeouts=(1, 1),
        )  # fmt: skip
        self.logins = logins or {
            account: Login(keys=(one.access_key, "x"), endpoint=self.endpoint.url)
            for account, one in estate.accounts.items()
        }
        self.store = Store()
        self.collector = Collector(
            LiveSource(self.aws, self.logins), self.store, self.ledger, threads=4, stop=self.stop
        )

    def collect(self, *declarations: Inventory, targets: Sequence[Target] = (TARGET,)) -> list[Cell]:
        self.aws.guard.allow((one.service, one.operation) for one in declarations)
        names = {one.name: one for one in declarations}
        cells = [(one, target) for target in targets for one in declarations]
        needs = {(one, target): [(names[one.per], target)] for one, target in cells if one.per}
        self.collector.inventories(cells, needs)
        return [self.store.cell(*cell) for cell in cells]


@pytest.fixture
def beds() -> Iterator[list[Bed]]:
    made: list[Bed] = []
    yield made
    for bed in made:
        bed.endpoint.stop()


def at(beds: list[Bed], estate: Estate, *faults: Fault, **more: Any) -> Bed:
    beds.append(Bed(estate, *faults, **more))
    return beds[-1]


def test_retries_are_counted_apart(beds: list[Bed]) -> None:
    bed = at(beds, volumes_estate(), Fault("throttle", "ec2", times=3))

    (cell,) = bed.collect(VOLUMES)

    assert len(cell.rows) == 3
    (entry,) = bed.ledger.entries()
    assert (entry.calls, entry.retried, entry.throttled) == (2, 3, 3)
    assert bed.endpoint.count("ec2") == 5


def test_a_denial_is_asked_once(beds: list[Bed]) -> None:
    bed = at(beds, volumes_estate(), Fault("error", "ec2"))

    (cell,) = bed.collect(VOLUMES)

    assert cell.fault is not None
    assert cell.fault.kind == "denied"
    assert bed.endpoint.count("ec2") == 1


def test_the_kilobytes_of_an_encoded_denial_are_left_out(beds: list[Bed]) -> None:
    words = "You are not authorized. Encoded authorization failure message: " + "x" * 5000
    bed = at(beds, volumes_estate(), Fault("error", "ec2", message=words))

    (cell,) = bed.collect(VOLUMES)

    assert cell.fault is not None
    assert cell.fault.message == "You are not authorized."


def test_a_dead_region_costs_seconds_and_blinds_nobody_else(beds: list[Bed]) -> None:
    bed = at(beds, volumes_estate(), Fault("hang", region="us-east-1"))
    dead = [
        inventory(f"v{index}", "ec2", "describe_volumes", "Volumes[]", "VolumeId", params={"DryRun": False, "Filters": [{"Name": "size", "Values": [str(index)]}]})
        for index in range(40)
    ]  # fmt: skip

    cells = bed.collect(VOLUMES, *dead, targets=[TARGET, Target(ACCOUNT, "eu-west-1", now=NOW)])

    by_region = {region: [c for (_, t), c in bed.store.cells.items() if t.region == region] for region in ("us-east-1", "eu-west-1")}  # fmt: skip
    assert all(cell.fault and cell.fault.kind == "timeout" for cell in by_region["us-east-1"])
    assert all(cell.fault is None for cell in by_region["eu-west-1"])
    assert len(cells) == 82
    # 41 calls x 2 tries x 1 s over 4 threads would be 20 s; the first few find out for all.
    assert bed.endpoint.count(region="us-east-1") < 12


def test_ended_credentials_stop_their_account_at_once(beds: list[Bed]) -> None:
    estate = volumes_estate()
    estate.account(OTHER, regions=("us-east-1",))
    many = [
        inventory(f"v{index}", "ec2", "describe_volumes", "Volumes[]", "VolumeId", params={"Filters": [{"Name": "size", "Values": [str(index)]}]})
        for index in range(30)
    ]  # fmt: skip
    bed = at(beds, estate, Fault("expired", "ec2", account_id=ACCOUNT))

    cells = bed.collect(*many, targets=[TARGET, Target(OTHER, "us-east-1", now=NOW)])

    assert all(cell.fault and cell.fault.code == "RequestExpired" for cell in cells[:30])
    assert all(cell.fault is None for cell in cells[30:])
    assert bed.endpoint.count(account_id=ACCOUNT) < 10


def test_keys_that_somebody_renews_in_mid_run_are_read_again(
    beds: list[Bed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "credentials"
    text = "[team]\naws_access_key_id = {}\naws_secret_access_key = x\n"
    keys.write_text(text.format("AKIAMAIN"))
    estate = volumes_estate()
    bed = at(beds, estate, logins={ACCOUNT: Login(profile="team")})
    for name, value in environment(bed.endpoint.url, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    (first,) = bed.collect(VOLUMES)
    assert first.fault is None

    # The old keys are no longer known to be valid; the file has new ones.
    keys.write_text(text.format(estate.role_key(ACCOUNT)))
    bed.endpoint.add_fault(Fault("expired", "ec2", times=1))
    (second,) = bed.collect(inventory("again", "ec2", "describe_volumes", "Volumes[]", "VolumeId"))

    assert second.fault is None
    assert len(second.rows) == 3


def test_a_page_token_that_died_restarts_the_listing_once(beds: list[Bed]) -> None:
    dead = Fault("error", "ec2", "describe_volumes", page=2, times=1, code="InvalidNextToken")
    bed = at(beds, volumes_estate(), dead)
    (cell,) = bed.collect(VOLUMES)
    assert [row.id for row in cell.rows] == [f"vol-{index}-us-east-1" for index in range(3)]

    bed.endpoint.set_faults(Fault("error", "ec2", page=2, code="InvalidNextToken"))
    (cell,) = bed.collect(inventory("again", "ec2", "describe_volumes", "Volumes[]", "VolumeId"))
    assert cell.cut is not None
    assert len(cell.rows) == 2


SNAPSHOTS = inventory("snapshots", "ec2", "describe_snapshots", "Snapshots[]", "SnapshotId")
ATTRIBUTES = inventory(
    "attributes", "ec2", "describe_snapshot_attribute", "CreateVolumePermissions[]", per="snapshots",
    param="SnapshotId", params={"Attribute": "createVolumePermission"}, parse=lambda page: [],
)  # fmt: skip


def test_what_vanishes_between_two_calls_is_gone_and_no_fault(beds: list[Bed]) -> None:
    estate = volumes_estate()
    for index in range(2):
        name = f"snap-{index}"
        estate.add(
            ACCOUNT, "us-east-1", "ec2.describe_snapshots", SnapshotId=name, OwnerId=ACCOUNT, StartTime="-90d"
        )
        estate.put(ACCOUNT, "us-east-1", "ec2.describe_snapshot_attribute", {"SnapshotId": name}, {"SnapshotId": name, "Attribute": "createVolumePermission"})  # fmt: skip
    estate.refuse(ACCOUNT, "us-east-1", "ec2.describe_snapshot_attribute", "InvalidSnapshot.NotFound", params={"SnapshotId": "snap-1", "Attribute": "createVolumePermission"})  # fmt: skip
    bed = at(beds, estate)

    _, cell = bed.collect(SNAPSHOTS, ATTRIBUTES)

    assert (cell.fault, cell.faults) == (None, {})
    assert list(cell.gone) == ["snap-1"]


def test_one_that_is_gone_does_not_take_its_batch_with_it(beds: list[Bed]) -> None:
    estate = volumes_estate()
    names = [
        f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:loadbalancer/app/lb-{n}/{n}" for n in range(3)
    ]
    for arn in names:
        estate.add(
            ACCOUNT, "us-east-1", "elbv2.describe_load_balancers", LoadBalancerArn=arn, Type="application"
        )
    parents = inventory("balancers", "elbv2", "describe_load_balancers", "LoadBalancers[]", "LoadBalancerArn")
    tags = inventory(
        "tags", "elbv2", "describe_tags", "TagDescriptions[]", "ResourceArn", per="balancers", param="ResourceArns", batch=20
    )  # fmt: skip
    for arn in names[:2]:
        estate.put(ACCOUNT, "us-east-1", "elbv2.describe_tags", {"TagDescriptions": [{"ResourceArn": arn, "Tags": []}]}, {"ResourceArns": [arn]})  # fmt: skip
    # Any batch with the one that is gone is refused, as AWS does.
    estate.refuse(ACCOUNT, "us-east-1", "elbv2.describe_tags", "LoadBalancerNotFound", params={"ResourceArns": names[2:]})  # fmt: skip
    bed = at(beds, estate)

    _, cell = bed.collect(parents, tags)

    assert cell.faults == {}
    assert list(cell.gone) == names[2:]
    assert [row.id for row in cell.rows] == names[:2]


def test_a_fixture_that_does_not_understand_an_answer_blinds_one_cell(beds: list[Bed]) -> None:
    crash = inventory(
        "crash", "ec2", "describe_volumes", "Volumes[]", parse=lambda page: [page[0]["Nothing"]]
    )
    bed = at(beds, volumes_estate())

    well, ill = bed.collect(VOLUMES, crash)

    assert well.fault is None
    assert ill.fault is not None
    assert (ill.fault.code, ill.fault.message) == ("FixtureCrashed", "fixture crash: KeyError: 'Nothing'")


def test_a_service_that_a_region_does_not_have_is_said_and_no_fault(
    beds: list[Bed], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No endpoint in either list: of memorydb botocore knows the regions, of ec2 it knows this one too.
    there, nowhere = Target(ACCOUNT, "us-east-1", now=NOW), Target(ACCOUNT, "ap-southeast-7", now=NOW)

    def unresolved(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    bed = at(beds, volumes_estate(), logins={ACCOUNT: Login(keys=("AKIAMAIN", "x"))})
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    clusters = inventory("clusters", "memorydb", "describe_clusters", "Clusters[]", "ARN")
    known = bed.aws.session(bed.logins[ACCOUNT]).get_available_regions("memorydb")
    assert "us-east-1" in known
    assert "ap-southeast-7" not in known

    seen, absent = bed.collect(clusters, targets=[there, nowhere])

    assert (absent.fault, absent.rows) == (None, [])
    assert list(bed.store.said) == ["memorydb does not exist in ap-southeast-7: nothing to look at there"]
    assert seen.fault is not None
    assert seen.fault.code == "EndpointConnectionError"


@pytest.mark.parametrize(
    ("kind", "code"), [("", ""), ("missing_key", "ForeignAnswer"), ("repeat_token", "RepeatedToken")]
)
def test_a_list_inside_an_envelope_is_paged_and_verified(beds: list[Bed], kind: Any, code: str) -> None:
    estate = volumes_estate()
    for index in range(5):
        estate.add(ACCOUNT, "global", "cloudfront.list_distributions", Id=f"E{index}")
    faults = [Fault(kind, "cloudfront", page=2)] if kind else []
    bed = at(beds, estate, *faults)
    distributions = inventory(
        "distributions", "cloudfront", "list_distributions", "DistributionList.Items[]", "Id", level="account"
    )

    (cell,) = bed.collect(distributions, targets=[Target(ACCOUNT, "global", now=NOW)])

    assert (cell.cut.code if cell.cut else "") == code
    assert [row.id for row in cell.rows] == [f"E{index}" for index in range(2 if kind else 5)]


# --- series ----------------------------------------------------------------------------------------------------------

IOPS = Metric(
    name="iops", namespace="AWS/EBS", metric_name="VolumeReadOps", of="volumes", dimensions={"VolumeId": "id"}, statistics=("Sum",)
)  # fmt: skip


def series(bed: Bed) -> list[Any]:
    bed.aws.guard.allow([("ec2", "describe_volumes")])
    bed.collector.inventories([(VOLUMES, TARGET)], {})
    bed.collector.series([(IOPS, VOLUMES, TARGET)], NOW - timedelta(days=14), NOW)
    return list(bed.store.series.values())


def metered() -> Estate:
    estate = volumes_estate()
    for index in range(3):
        estate.metric(
            ACCOUNT, "us-east-1", "AWS/EBS", "VolumeReadOps", {"VolumeId": f"vol-{index}-us-east-1"}, "Sum", 5
        )
    return estate


def test_series_that_are_cut_off_once_are_asked_again_and_paid_honestly(beds: list[Bed]) -> None:
    bed = at(beds, metered(), Fault("partial_data", "cloudwatch", times=1))

    found = series(bed)

    assert [points.fault for points in found] == [None] * 3
    entry = next(one for one in bed.ledger.entries() if one.service == "cloudwatch")
    assert (entry.calls, entry.retried, entry.billable_units) == (1, 1, 6)
    assert bed.ledger.repeated == Decimal("0.00003")


@pytest.mark.parametrize("kind", ["truncate", "hang"])
def test_answers_that_did_not_arrive_may_have_been_billed(beds: list[Bed], kind: Any) -> None:
    bed = at(beds, metered(), Fault(kind, "cloudwatch", times=1))

    found = series(bed)

    assert [points.fault for points in found] == [None] * 3
    entry = next(one for one in bed.ledger.entries() if one.service == "cloudwatch")
    assert (entry.calls, entry.retried, entry.billable_units, entry.cost) == (1, 1, 6, Decimal("0.00006"))
    assert bed.ledger.repeated == Decimal("0.00003")


def test_retries_of_billable_calls_stop_at_the_limit(beds: list[Bed]) -> None:
    bed = at(beds, metered(), Fault("truncate", "cloudwatch"), limit=Decimal("0.00006"))

    found = series(bed)

    assert {points.fault.code for points in found} == {"CostLimit"}
    assert bed.endpoint.count("cloudwatch") == 2
    assert bed.ledger.total_cost == Decimal("0.00006")


def test_a_refused_billable_call_holds_nothing_back(beds: list[Bed]) -> None:
    bed = at(beds, metered(), Fault("throttle", "cloudwatch", times=3), limit=Decimal("0.00003"))

    assert [points.fault for points in series(bed)] == [None] * 3
    assert bed.ledger.total_cost == Decimal("0.00003")


@pytest.mark.parametrize(
    ("kind", "code"),
    [("partial_data", "PartialData"), ("repeat_token", "RepeatedToken"), ("empty_page_with_token", "EndlessListing"),
     ("html", "NotAnAwsAnswer"), ("truncate", "ForeignAnswer"), ("missing_key", "ForeignAnswer"), ("error", "AccessDenied"),
     ("throttle", "Throttling")],
)  # fmt: skip
def test_series_that_are_never_finished_are_faults(beds: list[Bed], kind: Any, code: str) -> None:
    bed = at(beds, metered(), Fault(kind, "cloudwatch"))

    found = series(bed)

    assert [points.fault and points.fault.code.removesuffix("Exception") for points in found] == [code] * 3


# --- whole runs --------------------------------------------------------------------------------------------------------


def run(
    folder: Path, *args: str, faults: Sequence[Fault], roles: bool = False
) -> tuple[int, str, dict[str, Any]]:
    estate = volumes_estate()
    estate.account(OTHER, "other", regions=("us-east-1",))
    write_checks(folder)
    more = (
        [f"--finops-role=arn:aws:iam::{account}:role/audit" for account in (ACCOUNT, OTHER)] if roles else []
    )
    with ReplayEndpoint(estate, faults=faults, page_size=2) as endpoint:
        return audit(
            folder, "--finops-profile=env", *more, "checks", "--finops-prices", "offline", "--finops-now", NOW.isoformat(),
            "--finops-max-waste", "1000", *args, env=environment(endpoint.url, folder),
        )  # fmt: skip


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {f"{row['account_id']}/{row['region']}": row["outcome"] for row in document["checks"]}


READS = """
@finops.metric("AWS/EBS", "VolumeReadOps", of="ebs_volumes", dimensions={"VolumeId": "id"}, statistics=("Sum",))
def reads(): ...


@finops.rule("ebs-team")
def test_team(ebs_volumes, reads, findings):
    pass
"""


def test_what_is_paid_again_is_said_beside_the_prediction(tmp_path: Path) -> None:
    write_checks(tmp_path, READS)
    with ReplayEndpoint(metered(), faults=[Fault("partial_data", "cloudwatch", times=1)]) as endpoint:
        status, output, document = audit(
            tmp_path, "--finops-profile=env", "checks", "-k", "team", "--finops-regions=us-east-1", "--finops-prices=offline",
            "--finops-now", NOW.isoformat(), env=environment(endpoint.url, tmp_path),
        )  # fmt: skip

    assert status == 0, output
    usage = document["api_usage"]
    assert (usage["predicted"]["upper"], usage["actual_cost"]) == ("0.00003", "0.00006")
    # Not a warning: a replay of the same answers pays nothing, and is the same audit.
    assert (usage["repeated_cost"], document["warnings"]) == ("0.00003", [])
    assert "$0.00003 of it for asking again what was not answered to its end" in output


def test_what_passes_leaves_no_trace_but_in_the_ledger(tmp_path: Path) -> None:
    faults = [
        Fault("throttle", "ec2", times=2),
        Fault("reset", "ec2", times=1),
        Fault("html", "ec2", times=1),
    ]

    status, output, document = run(tmp_path, faults=faults)

    assert status == 0, output
    assert document["complete"] is True
    assert len(document["findings"]) == 4
    usage = {call["operation"]: call for call in document["api_usage"]["calls"]}
    assert sum(call["retried"] for call in usage.values()) == 4


def test_an_account_whose_credentials_end_keeps_what_was_found_elsewhere(tmp_path: Path) -> None:
    ended = Fault("expired", "ec2", "describe_volumes", account_id=OTHER)

    status, output, document = run(tmp_path, faults=[ended], roles=True)

    assert status == 7, output
    assert outcomes(document) == {f"{ACCOUNT}/eu-west-1": "failed", f"{ACCOUNT}/us-east-1": "failed", f"{OTHER}/us-east-1": "error"}  # fmt: skip
    assert len(document["findings"]) == 4
    assert [spot["code"] for spot in document["blind_spots"]] == ["RequestExpired"]


@pytest.mark.parametrize("replayed", [False, True])
def test_a_later_page_that_fails_is_never_clean_and_loses_no_finding(tmp_path: Path, replayed: bool) -> None:
    cut = Fault("error", "ec2", "describe_volumes", region="us-east-1", page=2)
    status, output, document = run(tmp_path, "--finops-save-inventory=saved", faults=[cut])
    if replayed:
        status, output, document = audit(
            tmp_path,
            "--finops-inventory=saved",
            "checks",
            "--finops-prices=offline",
            "--finops-max-waste=1000",
        )

    assert status == 7, output
    assert outcomes(document)[f"{ACCOUNT}/us-east-1"] == "error"
    # The first page holds vol-0 and vol-1, of which the latter is found.
    assert [f["resource_id"] for f in document["findings"] if f["region"] == "us-east-1"] == [
        "vol-1-us-east-1"
    ]
    assert len(document["findings"]) == 3
    (spot,) = document["blind_spots"]
    assert (spot["region"], spot["code"]) == ("us-east-1", "UnauthorizedOperation")
    reason = next(row["reason"] for row in document["checks"] if row["outcome"] == "error")
    assert reason.startswith("ec2.describe_volumes ended after 2 resources: UnauthorizedOperation")
    assert "1 failed" in output or "2 failed" in output


def test_absence_is_no_evidence_where_a_listing_was_cut_off(tmp_path: Path) -> None:
    test = """
@finops.inventory("ec2", "describe_snapshots", "Snapshots[]", id="SnapshotId", params={"OwnerIds": ["self"]})
def all_snapshots(page): ...


@finops.rule("ebs-team")
def test_team(ebs_volumes, all_snapshots, findings):
    for volume in ebs_volumes:
        if not list(all_snapshots):
            findings.report(volume)
"""
    estate = volumes_estate()
    for index in range(3):
        estate.add(
            ACCOUNT,
            "us-east-1",
            "ec2.describe_snapshots",
            SnapshotId=f"snap-{index}",
            OwnerId=ACCOUNT,
            StartTime="-9d",
        )
    write_checks(tmp_path, test)
    with ReplayEndpoint(
        estate, faults=[Fault("error", "ec2", "describe_snapshots", page=2)], page_size=2
    ) as endpoint:
        status, output, document = audit(
            tmp_path, "--finops-profile=env", "checks", "-k", "team", "--finops-prices=offline", "--finops-regions=us-east-1",
            env=environment(endpoint.url, tmp_path),
        )  # fmt: skip

    assert status == 7, output
    assert document["findings"] == []
    assert [row["outcome"] for row in document["checks"]] == ["error"]


EXEMPTED = """
exemptions:
  - {rule: ebs-old-snapshots, resource: snap-0, owner: kim, reason: kept, expires: 2027-01-01}
"""


@pytest.mark.parametrize(
    ("exemptions", "faults", "status", "counted", "reason"),
    [
        ("", [], 0, "5.00", None),
        (EXEMPTED, [], 0, "0.00", "the saving needs these to go as well, which stay: snap-0"),
        ("", [Fault("error", "ec2", "describe_snapshots", region="us-east-1", page=2)], 7, "0.00",
         "not everything was listed that the saving may depend on"),
    ],
    ids=["whole", "exempted", "cut off"],
)  # fmt: skip
def test_the_saving_of_a_lineage_needs_all_of_it(
    tmp_path: Path, exemptions: str, faults: list[Fault], status: int, counted: str, reason: str | None
) -> None:
    estate = Estate(NOW)
    estate.account(ACCOUNT, "main", regions=("us-east-1", "eu-west-1"), access_key="AKIAMAIN")
    for name, volume, age in (("0", "1", "-300d"), ("1", "1", "-100d"), ("2", "2", "-3d")):
        estate.add(
            ACCOUNT, "us-east-1", "ec2.describe_snapshots", SnapshotId=f"snap-{name}", VolumeId=f"vol-{volume}",
            VolumeSize=500, FullSnapshotSizeInBytes=100 * 2**30, State="completed", StorageTier="standard", StartTime=age,
            OwnerId=ACCOUNT,
        )  # fmt: skip
        estate.put(ACCOUNT, "us-east-1", "ec2.describe_snapshot_attribute", {"SnapshotId": f"snap-{name}", "CreateVolumePermissions": []}, {"SnapshotId": f"snap-{name}", "Attribute": "createVolumePermission"})  # fmt: skip
    (tmp_path / "finops.yaml").write_text(exemptions, encoding="utf-8")
    same = (
        "--pyargs", "pytest_finops.checks", "-k", "old_snapshots", "--finops-prices=offline", "--finops-max-waste=1000",
        "--finops-now", NOW.isoformat(),
    )  # fmt: skip
    with ReplayEndpoint(estate, faults=faults, page_size=2) as endpoint:
        live = audit(
            tmp_path, "--finops-profile=env", "--finops-save-inventory=saved", *same, env=environment(endpoint.url, tmp_path)
        )  # fmt: skip
    grouped = audit(tmp_path, "--finops-inventory=saved", "--finops-group=all", *same)

    for ended, output, document in (live, grouped):
        assert ended == status, output
        assert document["total_monthly_savings"] == counted
        older, newest = sorted(document["findings"], key=lambda finding: finding["resource_id"])
        assert older["estimated_monthly_savings"] is None
        assert newest["estimated_monthly_savings"] == (None if reason else "5.00")
        assert newest["metadata"].get("withdrawn") == reason


def test_a_wrong_clock_is_one_clear_error(tmp_path: Path) -> None:
    status, output, _ = run(tmp_path, faults=[Fault("error", "sts", code="SignatureDoesNotMatch")])

    assert status == 4, output
    assert "the clock of this machine" in output
    assert "Traceback" not in output
