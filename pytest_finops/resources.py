"""What an inventory holds: targets, resources and the tags that they carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Literal

#: The pseudo-region of services that answer once per account.
GLOBAL = "global"

NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """One (account, region) that an audit looks at.

    ``name`` is what people see (profile, configured name, or account id); ``now`` is the audit's clock
    (UTC), the only source of time for resources and checks. Two targets are equal when account and region are.
    """

    account_id: str
    region: str
    name: str = field(default="", compare=False)
    partition: str = field(default="aws", compare=False)
    now: datetime = field(default=datetime(1970, 1, 1, tzinfo=UTC), compare=False)
    organizational_unit: str | None = field(default=None, compare=False)

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of ``resource`` (``volume/vol-1``) of ``service`` in this target."""
        region = "" if self.region == GLOBAL else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.account_id}:{resource}"

    def __str__(self) -> str:
        return f"{self.name or self.account_id}-{self.region}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Resource:
    """One thing in an account: the base of every inventory row.

    Subclasses are frozen, slotted, keyword-only dataclasses; ``type_name`` is AWS's resource type
    (``AWS::EC2::Volume``). ``created`` is None where AWS does not say.
    """

    type_name: ClassVar[str] = ""

    id: str
    target: Target
    arn: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    created: datetime | None = None

    @property
    def name(self) -> str:
        """The ``Name`` tag, or the id."""
        return self.tags.get("Name") or self.id

    @property
    def region(self) -> str:
        """The region of the target."""
        return self.target.region

    @property
    def account_id(self) -> str:
        """The account of the target."""
        return self.target.account_id

    @property
    def age_days(self) -> float | None:
        """Days since creation by the audit's clock; None where AWS gives no creation time."""
        return days_between(self.created, self.target.now)

    @property
    def is_managed(self) -> bool:
        """Whether a service or controller owns this resource (auto scaling, EKS, EMR, Beanstalk, ECS, Spot fleet)."""
        return managed_by(self.tags) is not None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} in {self.target}>"


#: Tags by which a service or controller claims a resource (rule G7 of the check catalogue). A trailing * is a prefix.
MANAGED_TAGS = (
    "aws:autoscaling:groupName",
    "aws:ec2:fleet-id",
    "aws:ec2spot:fleet-request-id",
    "aws:elasticmapreduce:*",
    "AmazonECSManaged",
    "eks:cluster-name",
    "elasticbeanstalk:*",
    "karpenter.sh/nodepool",
    "kubernetes.io/cluster/*",
)


def managed_by(tags: Mapping[str, str]) -> str | None:
    """Return the tag key by which a service or controller claims the resource, or None; keys are case-sensitive."""
    for key in sorted(tags):
        for pattern in MANAGED_TAGS:
            if key == pattern or (pattern.endswith("*") and key.startswith(pattern[:-1])):
                return key
    return None


def tags_of(answer: Mapping[str, Any], key: str = "Tags") -> Mapping[str, str]:
    """Return AWS's list of Key and Value pairs under ``key`` as a read-only mapping."""
    pairs: Iterable[Mapping[str, str]] = answer.get(key) or ()
    return MappingProxyType({pair["Key"]: pair.get("Value", "") for pair in pairs}) or NO_TAGS


def days_between(earlier: datetime | None, later: datetime) -> float | None:
    """Return the days from ``earlier`` to ``later``, or None if ``earlier`` is unknown."""
    return None if earlier is None else (later - earlier) / timedelta(days=1)


Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Environment:
    """What a resource is used for: ``value`` is ``prod``, ``nonprod`` or ``unknown``, with its source and confidence."""

    value: Literal["prod", "nonprod", "unknown"]
    source: str
    confidence: Confidence
