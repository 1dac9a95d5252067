"""What AWS bills at least, and what comes with a thing unbilled: rows with their source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)

_EBS = "https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html"
_EFS = "https://aws.amazon.com/efs/pricing/"
_RDS = "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html"
_S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html#sc-compare"

#: 128 KiB, in the GiB that storage is billed by.
_SMALL = Decimal(128) / 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """A row: of each ``each`` (volume, object, start), ``included`` units are not billed and ``least`` are at the least.

    It holds for things that are ``where`` says, from ``from_gib`` of storage on. ``days`` are paid for even if it goes
    earlier.
    """

    dimension: str
    each: str = ""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    from_gib: int = 0
    included: Decimal = ZERO
    least: Decimal = ZERO
    days: int = 0
    source: str = ""

    def billed(self, quantity: Decimal | int, count: Decimal | int = 1) -> Decimal:
        """Return how many units ``count`` things with ``quantity`` units in all are billed; what is not there is not.

        Where single sizes are not known (objects), this is the least that it can be.
        """
        if quantity <= 0:
            return ZERO
        return max(ZERO, max(Decimal(quantity), self.least * count) - self.included * count)

    def fits(self, gib: int, facts: Mapping[str, str]) -> bool:
        """Whether the row is about such a thing; an engine may be named by its beginning (``oracle-``)."""
        return gib >= self.from_gib and all(
            any(
                facts.get(name, "") == value or (value[-1:] == "-" and facts.get(name, "").startswith(value))
                for value in values
            )
            for name, values in self.where.items()
        )


def _gp3(dimension: str, included: int, striped: int) -> Iterator[Minimum]:
    """Yield what comes with gp3 storage of RDS, which is striped over four volumes from a size on."""
    for from_gib, engines, units in (
        (0, (), included),
        (400, ("mysql", "mariadb", "postgres", "db2-"), striped),
        (200, ("oracle-",), striped),
    ):
        where = {"storage_type": ("gp3",), **({"engine": engines} if engines else {})}
        yield Minimum(
            dimension=dimension,
            each="instance",
            where=where,
            from_gib=from_gib,
            included=Decimal(units),
            source=_RDS,
        )


def _storage(dimension: str, each: str, source: str, days: int, small: bool, *classes: str) -> Minimum:
    return Minimum(
        dimension=dimension,
        each=each,
        where={"storage_class": classes},
        least=_SMALL if small else ZERO,
        days=days,
        source=source,
    )


#: The last row that fits holds.
MINIMUMS: tuple[Minimum, ...] = (
    Minimum(
        dimension="ec2.instance", each="start", least=Decimal(60) / 3600,
        source="https://aws.amazon.com/blogs/aws/new-per-second-billing-for-ec2-instances-and-ebs-volumes/",
    ),
    Minimum(dimension="ebs.storage", each="volume", where={"volume_type": ("gp2", "gp3", "standard")}, least=Decimal(1), source=_EBS),
    Minimum(dimension="ebs.storage", each="volume", where={"volume_type": ("io1", "io2")}, least=Decimal(4), source=_EBS),
    Minimum(dimension="ebs.storage", each="volume", where={"volume_type": ("st1", "sc1")}, least=Decimal(125), source=_EBS),
    Minimum(dimension="ebs.iops", each="volume", where={"volume_type": ("gp3",)}, included=Decimal(3000), source=_EBS),
    Minimum(dimension="ebs.throughput", each="volume", where={"volume_type": ("gp3",)}, included=Decimal(125), source=_EBS),
    Minimum(
        dimension="ebs.snapshot.archive", each="snapshot", days=90,
        source="https://docs.aws.amazon.com/dlm/latest/APIReference/API_RetentionArchiveTier.html",
    ),
    Minimum(dimension="rds.storage", each="instance", where={"storage_type": ("gp2", "gp3")}, least=Decimal(20), source=_RDS),
    Minimum(dimension="rds.storage", each="instance", where={"storage_type": ("io1", "io2")}, least=Decimal(100), source=_RDS),
    Minimum(dimension="rds.iops", each="instance", where={"storage_type": ("io1", "io2")}, least=Decimal(1000), source=_RDS),
    *_gp3("rds.iops", 3000, 12000),
    *_gp3("rds.throughput", 125, 500),
    _storage("s3.storage", "object", _S3, 30, True, "standard-ia", "onezone-ia"),
    _storage("s3.storage", "object", _S3, 90, True, "glacier-ir"),
    _storage("s3.storage", "object", _S3, 90, False, "glacier"),
    _storage("s3.storage", "object", _S3, 180, False, "deep-archive"),
    _storage("efs.storage", "file", _EFS, 0, True, "infrequent", "one-zone-infrequent"),
    _storage("efs.storage", "file", _EFS, 90, True, "archive"),
)  # fmt: skip


def minimum(dimension: str, *, gib: int = 0, **facts: str) -> Minimum:
    """Return what holds for a thing of ``dimension`` with ``gib`` of storage; nothing in particular where no row fits."""
    fitting = (row for row in MINIMUMS if row.dimension == dimension and row.fits(gib, facts))
    return next(reversed([*fitting]), Minimum(dimension=dimension))
