"""What can go wrong with a call, as data: AWS's codes, what they mean, and what is worth a retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "denied", "throttled", "transient", "expired", "unavailable", "failed", "missing", "cost_limit", "partial"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call did not answer: kind, AWS's code (or the exception's name) and its words."""

    kind: FaultKind
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class CallFault(Exception):
    """Carries a fault from where a call failed to where it becomes a value."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


_CODES: dict[FaultKind, frozenset[str]] = {
    "denied": frozenset({
        "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "NotAuthorized", "AuthorizationError",
        "OperationNotPermitted", "AuthorizationErrorException", "403",
    }),
    "throttled": frozenset({
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "RequestThrottled",
        "TooManyRequestsException", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
        "BandwidthLimitExceeded", "LimitExceededException", "SlowDown", "PriorRequestNotComplete",
        "EC2ThrottledException", "429",
    }),
    "expired": frozenset({
        "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "AuthFailure",
        "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSignatureException",
        "RequestTimeTooSkewed",
    }),
    "unavailable": frozenset({
        "OptInRequired", "SubscriptionRequiredException", "NotSignedUp", "AllAccessDisabled", "Blocked",
        "PendingVerification", "InvalidAction", "UnknownOperationException", "RegionDisabledException",
    }),
    "transient": frozenset({
        "500", "502", "503", "504", "InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable",
        "ServiceUnavailableException", "Unavailable", "RequestTimeout", "RequestTimeoutException",
    }),
}  # fmt: skip

RETRYABLE: frozenset[FaultKind] = frozenset({"throttled", "transient", "failed"})


def classify(code: str) -> FaultKind:
    """Return what an AWS error code means for a collector; unforeseen codes are failures."""
    for kind, codes in _CODES.items():
        if code in codes:
            return kind
    return "failed"
