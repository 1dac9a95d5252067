"""The read-only guard: no call leaves the process that is not a declared read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import WriteRefusedError

#: Reads of the engine itself: who am I, which regions, what does it cost.
ENGINE_READS = frozenset({
    ("sts", "GetCallerIdentity"), ("sts", "AssumeRole"), ("ec2", "DescribeRegions"),
    ("cloudwatch", "GetMetricData"), ("pricing", "GetProducts"),
})  # fmt: skip


class Guard:
    """Refuses every (service, operation) that was not allowed; registered before any client exists."""

    def __init__(self) -> None:
        self._allowed: set[tuple[str, str]] = set(ENGINE_READS)

    def allow(self, operations: Iterable[tuple[str, str]]) -> None:
        """Allow (boto3 service, API operation) pairs: the declared reads of the plan."""
        self._allowed.update(operations)

    def register(self, session: Any, service_of: str | None = None) -> None:
        """Hook into a botocore session: `provide-client-params` also covers presigned URLs (measured)."""
        session.register("provide-client-params", self._refuse, unique_id=f"pytest-finops-guard-{service_of}")
        session.register("before-call", self._refuse_call, unique_id=f"pytest-finops-last-gate-{service_of}")

    def _refuse(self, model: Any, params: Any = None, **_: Any) -> None:
        self._check(model)

    def _refuse_call(self, model: Any, **_: Any) -> None:
        self._check(model)

    def _check(self, model: Any) -> None:
        service, operation = _boto3_name(model.service_model), model.name
        if (service, operation) not in self._allowed:
            raise WriteRefusedError(
                f"{service}:{operation} is not a declared read of this run: refused", code="Refused"
            )


def _boto3_name(service_model: Any) -> str:
    # elb and elbv2 share an endpoint prefix; only the model's own name tells them apart.
    return str(service_model.service_name)
