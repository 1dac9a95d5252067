"""What is known of AWS operations: IAM actions, paging, endpoints, request rates and request prices."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Any, Literal

EndpointScope = Literal["regional", "global", "pinned"]
CostKind = Literal["free", "request", "metric"]

#: The rate assumed where AWS publishes none: requests a second and burst.
DEFAULT_RATE = 5.0
DEFAULT_BURST = 10

#: IAM prefixes of boto3 services that are named otherwise, for operations that the table lacks.
_IAM_PREFIXES = {
    "apigatewayv2": "apigateway", "docdb": "rds", "efs": "elasticfilesystem", "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing", "emr": "elasticmapreduce", "neptune": "rds", "opensearch": "es",
    "resourcegroupstaggingapi": "tag", "s3control": "s3", "service-quotas": "servicequotas",
    "stepfunctions": "states",
}  # fmt: skip

#: What requests cost that the table does not list, by service and first fitting start of the method; USD.
_PRICES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "ce": (("", "0.01"),),
    "ebs": (("", "0.0000006"),),
    "kms": (("", "0.000003"),),
    "s3": (("list_", "0.000005"), ("", "0.0000004")),
    "secretsmanager": (("", "0.000005"),),
    "sns": (("", "0.0000005"),),
    "sqs": (("", "0.0000004"),),
}  # fmt: skip

#: What every live run asks besides its checks: which regions are enabled, and list prices.
_LIVE = (("ec2", "describe_regions"), ("pricing", "get_products"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One AWS operation, by boto3's service and method names.

    ``iam_action`` is empty where no permission is needed. ``page_size_max`` None: no maximum is stated.
    ``endpoint_scope`` ``pinned``: botocore builds a host name for any region, but only ``endpoint_regions``
    exist. ``rate_per_second`` and ``burst`` are AWS's published rate of ``bucket`` (shared by several
    operations where AWS says so), or a cautious assumption. ``request_cost`` is USD per ``cost_kind`` (a
    request, or a metric asked for). ``writes`` marks what IAM counts as a write, however it is named.
    ``sensitive_fields`` may carry secrets and are never written: dotted paths, ``[]`` for lists.
    """

    service: str
    method: str
    name: str
    iam_action: str
    iam_dependent: tuple[str, ...] = ()
    paginator: bool = False
    result_key: str = ""
    page_size_param: str = ""
    page_size_max: int | None = None
    batch_param: str = ""
    batch_max: int | None = None
    endpoint_scope: EndpointScope = "regional"
    endpoint_regions: tuple[str, ...] = ()
    rate_per_second: float = DEFAULT_RATE
    burst: int = DEFAULT_BURST
    bucket: str = ""
    request_cost: Decimal = Decimal(0)
    cost_kind: CostKind = "free"
    writes: bool = False
    sensitive_fields: tuple[str, ...] = ()
    known: bool = True

    @property
    def call(self) -> str:
        """The call as boto3 names it: ``ec2.describe_volumes``."""
        return f"{self.service}.{self.method}"

    @property
    def billable(self) -> bool:
        """Whether a request of this operation costs money."""
        return self.request_cost > 0


#: What operations without a row carry under names that do not say so.
_SENSITIVE: Mapping[str, tuple[str, ...]] = {
    "amplify": ("buildSpec",),
    "batch": ("environment", "command", "parameters"),
    "codebuild": ("buildspec",),
    "elasticbeanstalk": ("OptionSettings",),
    "emr-containers": ("entryPointArguments", "sparkSubmitParameters", "sparkSqlParameters"),
    "greengrass": ("Variables",),
    "lightsail": ("environment",),
    "pipes": ("Environment",),
    "sagemaker": ("Environment", "HyperParameters"),
    "stepfunctions": ("input", "output"),
}


@functools.cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    text = resources.files("pytest_finops").joinpath("data/operations.json").read_text(encoding="utf-8")
    table: Mapping[str, Mapping[str, Any]] = json.loads(text)["operations"]
    return table


@functools.cache
def operation(service: str, method: str) -> Operation:
    """Return what is known of ``service.method``; cautious defaults (``known`` False) without a row."""
    call = f"{service}.{method}"
    row = _table().get(call)
    if row is None:
        # IAM compares action names without case, so DescribeDbInstances grants DescribeDBInstances.
        name = "".join(word[:1].upper() + word[1:] for word in method.split("_"))
        action = f"{_IAM_PREFIXES.get(service, service)}:{name}"
        price = next((usd for start, usd in _PRICES.get(service, ()) if method.startswith(start)), "0")
        return Operation(
            service=service, method=method, name=name, iam_action=action, bucket=call, request_cost=Decimal(price),
            cost_kind="request" if Decimal(price) else "free", known=False, sensitive_fields=_sensitive(service),
        )  # fmt: skip
    return Operation(
        service=service,
        method=method,
        name=row["name"],
        iam_action=row.get("iam", ""),
        iam_dependent=tuple(row.get("iam_dependent", ())),
        paginator=row.get("paginator", False),
        result_key=row.get("result_key", ""),
        page_size_param=row.get("page_size_param", ""),
        page_size_max=row.get("page_size_max"),
        batch_param=row.get("batch_param", ""),
        batch_max=row.get("batch_max"),
        endpoint_scope=row.get("endpoint_scope", "regional"),
        endpoint_regions=tuple(row.get("endpoint_regions", ())),
        rate_per_second=float(row.get("rate_per_second", DEFAULT_RATE)),
        burst=row.get("burst", DEFAULT_BURST),
        bucket=row.get("bucket", call),
        request_cost=Decimal(row.get("request_cost", "0")),
        cost_kind=row.get("cost_kind", "free"),
        writes=row.get("writes", False),
        sensitive_fields=tuple(row.get("sensitive_fields", ())),
    )


@functools.cache
def _sensitive(service: str) -> tuple[str, ...]:
    """Return what any operation of a service may carry: another one may carry it as well."""
    rows = (row for call, row in _table().items() if call.split(".")[0] == service)
    found = {field for row in rows for field in row.get("sensitive_fields", ())}
    return tuple(sorted({*found, *_SENSITIVE.get(service, ())}))


def actions(calls: Iterable[tuple[str, str]], *, live: bool = True) -> tuple[str, ...]:
    """Return the IAM actions that ``calls`` need, sorted; ``live`` adds those of regions and prices."""
    wanted: set[str] = set()
    for service, method in (*calls, *(_LIVE if live else ())):
        known = operation(service, method)
        wanted.update(known.iam_dependent)
        if known.iam_action:
            wanted.add(known.iam_action)
    return tuple(sorted(wanted))


def policy(calls: Iterable[tuple[str, str]], *, live: bool = True) -> dict[str, Any]:
    """Return the least IAM policy that lets ``calls`` through: one Allow statement per service, nothing else.

    ``sts:GetCallerIdentity`` needs no permission and is not named. Most list and describe actions take no
    resource ARN, hence ``"Resource": "*"``.
    """
    by_service: dict[str, list[str]] = {}
    for action in actions(calls, live=live):
        by_service.setdefault(action.partition(":")[0], []).append(action)
    statements = [
        {
            "Sid": "FinopsAudit" + "".join(part.capitalize() for part in service.split("-")),
            "Effect": "Allow",
            "Action": names,
            "Resource": "*",
        }
        for service, names in by_service.items()
    ]
    return {"Version": "2012-10-17", "Statement": statements}
