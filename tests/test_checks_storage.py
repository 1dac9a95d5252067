"""EBS checks: verdicts and cents, written by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from check_kit import ELSEWHERE, HERE, Prices, Recorder, View, days_ago, rule_of
from pytest_finops.checks.storage.test_ebs import test_ebs_gp2_to_gp3 as gp2_to_gp3
from pytest_finops.checks.storage.test_ebs import test_ebs_old_snapshots as old_snapshots
from pytest_finops.fixtures.ebs import (
    Image,
    LaunchSource,
    Sharing,
    Snapshot,
    Volume,
    ebs_snapshots,
    volume_prices,
)

UNATTACHED = rule_of("storage/ebs.yaml", "ebs-unattached")
GP2 = rule_of("storage/ebs.yaml", "ebs-gp2-to-gp3")
SNAPSHOTS = rule_of("storage/ebs.yaml", "ebs-old-snapshots")

PRICES = Prices(
    {
        ("ebs.storage", "gp2"): "0.10", ("ebs.storage", "gp3"): "0.08", ("ebs.storage", "io1"): "0.125",
        ("ebs.storage", "io2"): "0.125", ("ebs.storage", "st1"): "0.045", ("ebs.storage", "standard"): "0.05",
        ("ebs.iops", "1", "gp3"): "0.005", ("ebs.iops", "1", "io1"): "0.065", ("ebs.iops", "1", "io2"): "0.065",
        ("ebs.iops", "2", "io2"): "0.0455", ("ebs.iops", "3", "io2"): "0.03185",
        ("ebs.throughput", "gp3"): "0.04", ("ebs.snapshot",): "0.05",
    }
)  # fmt: skip
GIB = 2**30


def volume(**fields: Any) -> Volume:
    given = {"id": "vol-1", "target": HERE, "state": "available", "created": days_ago(40), "size_gib": 100}
    return Volume(**(given | fields))


def convert(*volumes: Volume, prices: Prices = PRICES) -> Recorder:
    found = Recorder()
    gp2_to_gp3(View(volumes), prices, found, GP2)
    return found


@pytest.mark.parametrize(
    ("gib", "savings"),
    [
        (100, "2.00"), (171, "3.42"), (250, "5.00"), (333, "6.66"), (334, "1.68"), (1000, "15.00"),
        (2000, "20.00"), (5334, "36.68"), (16384, "257.68"),
    ],
)  # fmt: skip
def test_gp2_matches_iops_and_throughput(gib: int, savings: str) -> None:
    found = convert(volume(size_gib=gib, state="in-use", attached_to=("i-1",)))
    assert found.savings == {"vol-1": savings}
    assert {line.component for line in found.reports["vol-1"].target_lines} == {"ebs:vol-1"}


def test_gp2_names_its_target() -> None:
    report = convert(volume(size_gib=2000)).reports["vol-1"]
    assert report.evidence["target"] == "gp3, 2000 GiB, 6000 IOPS, 250 MiB/s"


def test_gp2_without_a_price_is_not_evaluated() -> None:
    found = convert(volume(), prices=Prices({("ebs.storage", "gp2"): "0.10"}))
    assert found.unknown == {"vol-1": "no price for ebs.storage in us-east-1 (volume_type gp3)"}


@pytest.mark.parametrize(
    "fields",
    [{"volume_type": "gp3"}, {"volume_type": "io1"}, {"state": "deleting"}, {"operator_managed": True}],
)
def test_gp2_leaves_out(fields: dict[str, Any]) -> None:
    found = convert(volume(**fields))
    assert found.is_silent


@pytest.mark.parametrize(
    ("fields", "monthly"),
    [
        ({"volume_type": "gp2"}, "10.00"),
        ({"volume_type": "gp3", "iops": 3000, "throughput": 125}, "8.00"),
        ({"volume_type": "gp3"}, "8.00"),
        ({"volume_type": "gp3", "iops": 4000, "throughput": 250}, "18.000"),  # 8 + 5 + 5
        ({"volume_type": "io1", "iops": 1000}, "77.500"),  # 12.50 + 65
        ({"volume_type": "io2", "iops": 32000}, "2092.500"),  # 12.50 + 2,080
        ({"volume_type": "io2", "iops": 70000}, "3739.60000"),  # 12.50 + 2,080 + 1,456 + 191.10
        ({"volume_type": "st1", "size_gib": 500}, "22.500"),
        ({"volume_type": "st1"}, "5.625"),  # 125 GiB are the least
        ({"volume_type": "standard"}, "5.00"),
    ],
)
def test_full_price_of_each_type(fields: dict[str, Any], monthly: str) -> None:
    lines = volume(**fields).full_price(PRICES)
    assert sum(line.amount or 0 for line in lines) == Decimal(monthly)


def test_prices_asked_for_cover_the_lines() -> None:
    for fields in ({"volume_type": "io2", "iops": 70000}, {"volume_type": "gp2", "size_gib": 2000}):
        one = volume(**fields)
        asked = {(key.dimension, *(value for _, value in key.attributes)) for key in volume_prices(one)}
        used: set[tuple[str, ...]] = set()

        class Watch(Prices):
            def line(self, dimension: str, *args: Any, used: set[Any] = used, **attributes: Any) -> Any:
                names = sorted(set(attributes) - {"component", "note"})
                used.add((dimension, *(str(attributes[name]) for name in names)))
                return super().line(dimension, *args, **attributes)

        one.full_price(Watch(PRICES.table))
        assert used <= asked


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({}, True),
        ({"created": days_ago(7)}, True),
        ({"created": days_ago(6.9)}, False),
        ({"created": None}, False),
        ({"state": "in-use", "attached_to": ("i-1",)}, False),
        ({"state": "available", "attached_to": ("i-1",)}, False),
        ({"state": "creating"}, False),
        ({"operator_managed": True}, False),
        ({"tags": {"aws:backup:source-resource": "x"}}, False),
        ({"tags": {"kubernetes.io/cluster/a": "owned"}}, False),
    ],
)
def test_unattached(fields: dict[str, Any], holds: bool) -> None:
    assert UNATTACHED.holds(volume(**fields)) is holds


def snapshot(name: str, **fields: Any) -> Snapshot:
    given = {
        "id": name,
        "target": HERE,
        "state": "completed",
        "created": days_ago(200),
        "volume_id": "vol-gone",
    }
    return Snapshot(**(given | {"size_gib": 500, "full_size_bytes": 100 * GIB} | fields))


def audit(
    *snapshots: Snapshot,
    volumes: Any = (),
    amis: Any = (),
    launch: Any = (),
    shared: Any = (),
    unseen: Any = (),
) -> Recorder:
    sharing = [
        Sharing(id=one.id, target=one.target, shared_with=("999988887777",) if one.id in shared else ())
        for one in snapshots
        if one.id not in unseen
    ]
    found = Recorder()
    old_snapshots(
        View(snapshots),
        View(sharing),
        View(volumes),
        View(amis),
        View(launch),
        View(),
        PRICES,
        found,
        SNAPSHOTS,
    )
    return found


def test_a_whole_lineage_is_booked_once_on_its_newest() -> None:
    found = audit(snapshot("snap-1", created=days_ago(300)), snapshot("snap-2", created=days_ago(100)))
    assert found.savings == {"snap-1": None, "snap-2": "5.00"}  # 100 GiB x 0.05, not 500 GiB
    assert found.reports["snap-2"].confidence == "medium"
    assert found.reports["snap-2"].together == ("snap-1", "snap-2")
    assert found.reports["snap-1"].together == ()
    assert found.reports["snap-1"].evidence["savings_from"] == "0"
    assert found.reports["snap-1"].evidence["savings_up_to"] == "5.00000000"
    assert {c.key for c in found.reports["snap-1"].components or ()} == {"snap-lineage:vol-gone"}


def test_a_lineage_that_stays_in_part_has_no_sure_saving() -> None:
    found = audit(snapshot("snap-1", created=days_ago(300)), snapshot("snap-2", created=days_ago(10)))
    assert found.savings == {"snap-1": None}


def test_without_the_full_size_nothing_is_booked() -> None:
    found = audit(snapshot("snap-1", full_size_bytes=None))
    assert found.savings == {"snap-1": None}
    assert found.reports["snap-1"].evidence["bound"] == "volume size"


def test_copies_do_not_share_a_lineage() -> None:
    found = audit(
        snapshot("snap-1", volume_id="vol-ffffffff"),
        snapshot("snap-2", volume_id="vol-ffffffff", created=days_ago(9)),
    )
    assert found.savings == {"snap-1": "5.00"}


def test_what_something_needs_stays() -> None:
    one = snapshot("snap-1")
    image = Image(id="ami-1", target=HERE, state="disabled", snapshot_ids=("snap-1",))
    template = LaunchSource(id="lt-1:1", target=HERE, snapshot_ids=("snap-1",))
    assert not audit(one, amis=[image]).reports
    assert not audit(one, launch=[template]).reports
    assert not audit(one, shared=["snap-1"]).reports
    foreign = Image(id="ami-1", target=ELSEWHERE, snapshot_ids=("snap-1",))
    assert audit(one, amis=[foreign]).reports


def test_the_newest_of_an_existing_volume_stays() -> None:
    found = audit(
        snapshot("snap-1", volume_id="vol-1", created=days_ago(300)),
        snapshot("snap-2", volume_id="vol-1", created=days_ago(100)),
        volumes=[volume()],
    )
    assert found.savings == {"snap-1": None}


@pytest.mark.parametrize(
    "fields",
    [
        {"created": days_ago(89.9)}, {"state": "pending"}, {"storage_tier": "archive"},
        {"tags": {"aws:backup:source-resource": "x"}}, {"tags": {"aws:dlm:lifecycle-policy-id": "x"}},
    ],
)  # fmt: skip
def test_snapshots_left_out(fields: dict[str, Any]) -> None:
    found = audit(snapshot("snap-1", **fields))
    assert found.is_silent


def test_ninety_days_are_old() -> None:
    assert audit(snapshot("snap-1", created=days_ago(90))).reports


def test_unknown_sharing_is_not_evaluated() -> None:
    found = audit(snapshot("snap-1"), unseen=["snap-1"])
    assert found.unknown == {"snap-1": "not known whether it is shared"}
    assert not found.reports


def test_public_snapshots_of_others_are_dropped() -> None:
    from pytest_finops.declare import Inventory, Page, declaration_of

    declaration = declaration_of(ebs_snapshots._get_wrapped_function())
    assert isinstance(declaration, Inventory)
    answers = [
        {"SnapshotId": "snap-1", "OwnerId": "999"},
        {"SnapshotId": "snap-2", "OwnerId": HERE.account_id},
    ]
    assert [row.id for row in declaration.rows(Page(answers, HERE, {}))] == ["snap-2"]
