"""What can go wrong with a call, as data: AWS's codes, what they mean, and how long to try again."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "denied",       # no permission, service control policies included
    "throttled",    # too many requests
    "transient",    # a 5xx answer, a broken connection
    "timeout",      # nobody answers
    "foreign",      # an answer that is not AWS's own: HTML, cut off, without its result key
    "expired",      # the credentials ended: all that follows would fail as well
    "unavailable",  # region not enabled, subscription or enrolment missing, clock wrong, elsewhere
    "absent",       # the service does not exist in the region: nothing to look at
    "gone",         # deleted since it was listed
    "dead_token",   # the page token is no longer valid
    "failed",       # anything else
    "missing",      # not asked, or not in the saved inventory
    "cost_limit", "partial",
]  # fmt: skip


#: What a team can expect without naming a code: somebody decided that this is closed. The rest went wrong.
REFUSALS: frozenset[FaultKind] = frozenset({"denied", "unavailable"})


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


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is sent at most, and the seconds between: full jitter up to ``base`` x 2^n, at most ``cap``."""

    tries: int
    base: float
    cap: float

    def delay(self, tried: int, chance: float | None = None) -> float:
        """Return the seconds to wait after ``tried`` tries; ``chance`` is a number from 0 to 1, drawn unless given."""
        share = random.random() if chance is None else chance
        return share * min(self.cap, self.base * 2.0 ** (tried - 1))


#: What is worth another try. botocore itself does not retry: it counts neither rates nor dead regions.
PATIENCE: Mapping[FaultKind, Patience] = {
    "throttled": Patience(tries=9, base=0.5, cap=20.0),
    "transient": Patience(tries=5, base=0.2, cap=5.0),
    "foreign": Patience(tries=3, base=0.5, cap=5.0),
    "timeout": Patience(tries=2, base=0.2, cap=1.0),
}

_CODES: Mapping[FaultKind, frozenset[str]] = {
    "denied": frozenset({
        "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "NotAuthorized", "AuthorizationError",
        "OperationNotPermitted", "OperationNotPermittedException", "AuthorizationErrorException", "Forbidden",
        "ForbiddenException", "UnauthorizedException", "401", "403",
    }),
    "throttled": frozenset({
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "RequestThrottled",
        "TooManyRequestsException", "TooManyRequests", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
        "BandwidthLimitExceeded", "LimitExceededException", "SlowDown", "PriorRequestNotComplete",
        "EC2ThrottledException", "TransactionInProgressException", "429",
    }),
    "expired": frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}),
    "unavailable": frozenset({
        # A region that is not enabled does not know the keys; wrong keys end where the account is entered.
        "AuthFailure", "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException",
        "OptInRequired", "OptInRequiredException", "RegionDisabledException",
        # Subscription, support plan, enrolment, organization missing; account closed.
        "SubscriptionRequiredException", "NotSignedUp", "AllAccessDisabled", "AccountProblem", "Blocked",
        "PendingVerification", "AWSOrganizationsNotInUseException", "DataUnavailableException",
        "BillExpirationException", "BillingViewHealthStatusException",
        "InvalidAction", "UnknownOperationException", "UnsupportedOperationException",
        # The clock of this machine is wrong, or something on the way changes requests.
        "IncompleteSignature", "InvalidSignatureException", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
        # The bucket is elsewhere, and botocore did not find it there either.
        "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect",
    }),
    "dead_token": frozenset({
        "ExpiredNextTokenException", "ExpiredPaginationToken", "ExpiredPaginationTokenException", "InvalidNextToken",
        "InvalidNextTokenException", "InvalidPaginationToken", "InvalidPaginationTokenException",
        "PaginationTokenExpiredException",
    }),
    "transient": frozenset({
        "500", "502", "503", "504", "InternalError", "InternalFailure", "InternalServerError", "InternalServerException",
        "InternalServiceError", "InternalServiceException", "InternalServiceFault", "RequestTimeout",
        "RequestTimeoutException", "ServiceException", "ServiceUnavailable", "ServiceUnavailableException",
        "Unavailable",
    }),
    "absent": frozenset({"ServiceNotInRegion"}),
}  # fmt: skip
_BY_CODE: Mapping[str, FaultKind] = {code: kind for kind, codes in _CODES.items() for code in codes}
_GONE = re.compile(r".*\.NotFound|.*NotFound(Exception|Fault)?|NoSuchBucket|NoSuchEntity(Exception)?|404")

#: What cures a fault, for people.
CURES: Mapping[str, str] = {
    "AccessDenied": "access denied: the role is missing or does not trust this principal",
    "ExpiredToken": "the token has expired: log in again",
    "ExpiredTokenException": "the token has expired: log in again",
    "InvalidSignatureException": "is the clock of this machine right?",
    "LoginRefreshRequired": "the session has expired: aws login",
    "NoCredentialsError": "no credentials found: log in (aws sso login, aws configure) or name a profile",
    "ProfileNotFound": "there is no such profile in the AWS configuration files",
    "RequestExpired": "the token has expired, or the clock of this machine is wrong: log in again",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "SignatureDoesNotMatch": "is the secret key right, and the clock of this machine?",
    "TokenRetrievalError": "the SSO session has expired: aws sso login",
    "UnauthorizedSSOTokenError": "the SSO session has expired: aws sso login",
}


def classify(code: str, status: int | None = None) -> FaultKind:
    """Return what an AWS error code means for a collector; of unforeseen codes the HTTP ``status`` decides."""
    known = _BY_CODE.get(code)
    if known is not None:
        return known
    if _GONE.fullmatch(code):
        return "gone"
    if status == 429:
        return "throttled"
    if status in (401, 403):
        return "denied"
    return "transient" if status is not None and status >= 500 else "failed"
