"""What AWS bills at least, and what comes unbilled: by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pytest_finops.prices.catalogue import CATALOGUE
from pytest_finops.prices.minimums import MINIMUMS, minimum

KIB = Decimal(1) / 2**20  # in GiB


@pytest.mark.parametrize(
    ("dimension", "facts", "quantity", "count", "billed"),
    [
        # gp3 comes with 3,000 IOPS and 125 MiB/s; gp2 and io1 with nothing.
        ("ebs.iops", {"volume_type": "gp3"}, 4000, 1, 1000),
        ("ebs.iops", {"volume_type": "gp3"}, 3000, 1, 0),
        ("ebs.iops", {"volume_type": "io1"}, 4000, 1, 4000),
        ("ebs.throughput", {"volume_type": "gp3"}, 250, 2, 0),
        # An st1 volume is 125 GiB at least: what is smaller on gp3 would pay for that.
        ("ebs.storage", {"volume_type": "st1"}, 50, 1, 125),
        ("ebs.storage", {"volume_type": "st1"}, 500, 1, 500),
        ("ebs.storage", {"volume_type": "gp3"}, 0, 1, 0),
        # 1,000,000 objects of 10 KiB are billed as 128 KiB each, large ones as they are.
        (
            "s3.storage",
            {"storage_class": "standard-ia"},
            1_000_000 * 10 * KIB,
            1_000_000,
            1_000_000 * 128 * KIB,
        ),
        ("s3.storage", {"storage_class": "standard-ia"}, 5000, 1000, 5000),
        ("s3.storage", {"storage_class": "standard"}, 5, 1_000_000, 5),
        ("efs.storage", {"storage_class": "infrequent"}, 8 * KIB, 2, 256 * KIB),
        # 30 starts of 10 seconds are billed as half an hour.
        ("ec2.instance", {}, Decimal(300) / 3600, 30, Decimal("0.5")),
        ("rds.iops", {"storage_type": "io1", "engine": "mysql"}, 500, 1, 1000),
    ],
)
def test_what_is_billed(
    dimension: str, facts: dict[str, str], quantity: Decimal | int, count: int, billed: Decimal | int
) -> None:
    found = minimum(dimension, **facts).billed(quantity, count)
    assert round(found, 12) == round(Decimal(billed), 12)


@pytest.mark.parametrize(
    ("engine", "gib", "iops", "throughput"),
    [
        ("mysql", 399, 3000, 125),
        ("postgres", 400, 12000, 500),
        ("db2-se", 400, 12000, 500),
        ("oracle-ee", 199, 3000, 125),
        ("oracle-ee", 200, 12000, 500),
        ("sqlserver-se", 4000, 3000, 125),
    ],
)
def test_gp3_storage_of_a_database_comes_with_more_from_a_size_on(
    engine: str, gib: int, iops: int, throughput: int
) -> None:
    included = [
        minimum(name, gib=gib, storage_type="gp3", engine=engine).included
        for name in ("rds.iops", "rds.throughput")
    ]
    assert included == [iops, throughput]


@pytest.mark.parametrize(
    ("dimension", "facts", "days"),
    [
        ("s3.storage", {"storage_class": "standard-ia"}, 30),
        ("s3.storage", {"storage_class": "glacier"}, 90),
        ("s3.storage", {"storage_class": "deep-archive"}, 180),
        ("efs.storage", {"storage_class": "archive"}, 90),
        ("ebs.snapshot.archive", {}, 90),
        ("ebs.snapshot", {}, 0),
    ],
)
def test_days_that_are_paid_for_anyway(dimension: str, facts: dict[str, str], days: int) -> None:
    assert minimum(dimension, **facts).days == days


def test_every_row_is_of_the_catalogue_and_says_who_says_so() -> None:
    for row in MINIMUMS:
        attributes = CATALOGUE[row.dimension].attributes
        assert row.source.startswith("https://")
        assert row.included or row.least or row.days
        for name, values in row.where.items():
            known = attributes[name].values if name in attributes else None
            # The engine and the type decide what comes with the storage of databases, even where its price knows no such.
            assert row.dimension.startswith("rds.") or (known is not None and set(values) <= set(known))
