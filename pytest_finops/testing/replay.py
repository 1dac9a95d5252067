"""A stand-in for AWS on 127.0.0.1: answers from an estate in the protocol of the request."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import socket
import struct
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

from botocore import xform_name

from pytest_finops.testing import cloudwatch, wire
from pytest_finops.testing.estate import Estate, complete, envelope, output_tokens, result_keys
from pytest_finops.testing.narrow import answer_for

FaultKind = Literal[
    "error",
    "throttle",
    "html",
    "truncate",
    "empty_body",
    "empty_page_with_token",
    "repeat_token",
    "hang",
    "reset",
    "partial_data",
    "missing_key",
    "expired",
    "corrupt",
    "abort",
    "gateway",
]

# What a service sends on a page when the request names no size.
_DEFAULT_SIZES: Mapping[str, int] = {"rds": 100, "elb": 400, "elbv2": 400, "pricing": 100}
_NO_IDS_WITH_PAGES: Mapping[str, str] = {
    "describe_instances": "InstanceIds",
    "describe_volumes": "VolumeIds",
    "describe_snapshots": "SnapshotIds",
}
_HTML = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head>"
    b"<body><h1>Welcome</h1><p>Please sign in to use this network.</p></body></html>"
)
_NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong for the requests it names; `times` None: every time."""

    kind: FaultKind
    service: str | None = None
    operation: str | None = None
    account_id: str | None = None
    region: str | None = None
    page: int | None = None
    times: int | None = None
    code: str = ""
    message: str = ""
    #: Parameters that the request must have, and headers that the error gets.
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def fits(self, request: LoggedRequest, page: int) -> bool:
        """Whether the fault is meant for the page of this request."""
        return (
            self.service in (None, request.service)
            and (self.operation is None or xform_name(self.operation) == request.operation)
            and self.account_id in (None, request.account_id)
            and self.region in (None, request.region)
            and self.page in (None, page)
            and all(request.params.get(name) == value for name, value in self.params.items())
        )


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request the endpoint got; status 0 when it sent no answer."""

    account_id: str
    region: str
    service: str
    operation: str
    params: Mapping[str, Any]
    status: int


@dataclass(frozen=True, slots=True)
class _Page:
    offset: int = 0
    number: int = 1


class _Refusal(Exception):
    def __init__(self, code: str, message: str, status: int = 400, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = headers


class ReplayEndpoint:
    """Serves an estate over HTTP; a context manager, or start() and stop()."""

    def __init__(
        self,
        estate: Estate,
        *,
        latency: float = 0.0,
        faults: Iterable[Fault] = (),
        page_size: int | None = None,
        now: datetime | None = None,
    ):
        self.estate = estate
        self.latency = latency
        self.page_size = page_size
        self.now = now or estate.now
        self._faults = [[fault, fault.times] for fault in faults]
        self._lock = threading.Lock()
        self._log: list[LoggedRequest] = []
        self._bodies: dict[tuple[Any, ...], wire.WireResponse] = {}
        self._bodies_of = estate.version
        self._sessions: dict[str, str] = {}
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.stopping = threading.Event()

    # -- life ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the endpoint listens."""
        if self._server is None:
            raise RuntimeError("the endpoint is not started")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        """Listen on a free port of the loopback interface."""
        if self._server is None:
            self.stopping.clear()
            self._server = _Server(self)
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.02,), name="replay-endpoint", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and close what is open."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is None or thread is None:
            return
        self.stopping.set()
        server.shutdown()
        thread.join()
        server.close_connections()
        server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- log ----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests so far, in order."""
        with self._lock:
            return list(self._log)

    def count(
        self,
        service: str | None = None,
        operation: str | None = None,
        region: str | None = None,
        account_id: str | None = None,
    ) -> int:
        """How many requests there were, of a service, operation, region, account."""
        wanted = Fault("error", service, operation, account_id, region)
        return sum(wanted.fits(request, 1) for request in self.requests)

    def add_fault(self, fault: Fault) -> None:
        """Let something go wrong from now on."""
        with self._lock:
            self._faults.append([fault, fault.times])

    def set_faults(self, *faults: Fault) -> None:
        """Let these things go wrong from now on, and no others."""
        with self._lock:
            self._faults = [[fault, fault.times] for fault in faults]

    # -- answers ------------------------------------------------------------------------------------------

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> wire.WireResponse | Literal["hang", "reset"]:
        """The response to one request, which is logged; or what to do to the connection instead."""
        request_id = str(uuid.uuid4())
        if self.latency:
            time.sleep(self.latency)
        try:
            request = wire.parse_request(method, target, headers, body)
        except wire.UnreadableRequest as error:
            code = "InvalidAction" if error.operation else "MissingAuthenticationToken"
            response = wire.failure(error.service, error.protocol, code, str(error), 400, request_id)
            self._logged(LoggedRequest("", "", error.service, error.operation, {}, 400))
            return response
        except ValueError as error:
            self._logged(LoggedRequest("", "", "", "", {}, 400))
            return wire.failure("", "query", "MalformedInput", str(error), 400, request_id)
        account_id = self.estate.account_of(request.access_key) or self._sessions.get(request.access_key, "")
        entry = LoggedRequest(
            account_id, request.region, request.service, request.operation, request.params, 0
        )
        try:
            outcome = self._outcome(request, entry, request_id)
        except _Refusal as refusal:
            outcome = wire.failure(
                request.service,
                request.protocol,
                refusal.code,
                refusal.message,
                refusal.status,
                request_id,
                refusal.headers,
            )
        status = outcome.status if isinstance(outcome, wire.WireResponse) else 0
        self._logged(
            LoggedRequest(account_id, entry.region, entry.service, entry.operation, entry.params, status)
        )
        return outcome

    def _logged(self, entry: LoggedRequest) -> None:
        with self._lock:
            self._log.append(entry)

    def _outcome(
        self, request: wire.ParsedRequest, entry: LoggedRequest, request_id: str
    ) -> wire.WireResponse | Literal["hang", "reset"]:
        page = self._page(request)
        fault = self._fault(entry, page.number)
        match fault:
            case Fault(kind="hang" | "reset" as kind):
                return kind
            case Fault(kind="html"):
                return wire.WireResponse(200, (("Content-Type", "text/html"),), _HTML)
            case Fault(kind="gateway"):
                return wire.WireResponse(504, (("Content-Type", "text/html"),), _HTML)
            case Fault(kind="error" | "throttle" | "expired"):
                raise _refusal(fault, request)
        account = self.estate.accounts.get(entry.account_id)
        # A region that was never opted in does not know the account's keys either.
        if account is None or request.region in account.closed_regions:
            raise _unknown_key(request)
        response = self._response(request, entry.account_id, page, fault)
        body = response.body.replace(_NO_ID.encode(), request_id.encode(), 1)
        headers = tuple((name, request_id if value == _NO_ID else value) for name, value in response.headers)
        match fault:
            case Fault(kind="truncate"):
                body = body[: len(body) // 2]
            case Fault(kind="empty_body"):
                body = b""
            case Fault(kind="corrupt"):
                middle = len(body) // 2
                body = body[:middle] + b"\xff" * 16 + body[middle + 16 :]
            case Fault(kind="abort"):
                # More is announced than is sent.
                headers = (*headers, ("Content-Length", str(len(body))))
                body = body[: len(body) // 2]
        return wire.WireResponse(response.status, headers, body)

    def _fault(self, entry: LoggedRequest, page: int) -> Fault | None:
        with self._lock:
            for state in self._faults:
                fault, left = state
                if isinstance(fault, Fault) and left != 0 and fault.fits(entry, page):
                    if isinstance(left, int):
                        state[1] = left - 1
                    return fault
        return None

    def _response(
        self, request: wire.ParsedRequest, account_id: str, page: _Page, fault: Fault | None
    ) -> wire.WireResponse:
        kind = fault.kind if fault is not None else ""
        key = (
            account_id,
            request.region,
            request.service,
            request.operation,
            request.protocol,
            kind,
            repr(sorted(request.params.items(), key=lambda item: item[0])),
        )
        # Metric data are large and seldom asked twice: only listings are worth keeping.
        kept = request.service not in ("sts", "cloudwatch")
        if kept:
            with self._lock:
                if self._bodies_of != self.estate.version:
                    self._bodies.clear()
                    self._bodies_of = self.estate.version
                found = self._bodies.get(key)
            if found is not None:
                return found
        answer = self._answer(request, account_id, page, kind)
        response = wire.success(request.service, request.operation, request.protocol, answer, _NO_ID)
        if kept:
            with self._lock:
                self._bodies[key] = response
        return response

    def _answer(
        self, request: wire.ParsedRequest, account_id: str, page: _Page, fault: str
    ) -> dict[str, Any]:
        operation = f"{request.service}.{request.operation}"
        saved = self.estate.calls(account_id, request.region, operation)
        if not saved:
            made = self._made(request, account_id, operation)
            if made is not None:
                return self._spoilt(request, made, fault)
        answer, refused = answer_for(request.service, request.operation, saved, request.params, account_id)
        if refused is not None and refused.error is not None:
            code = refused.error.code
            raise _Refusal(code, refused.error.message, _status(code, request))
        answer = complete(operation, answer)
        if operation == "pricing.get_products":
            answer["PriceList"] += self._products(request.params)
            answer.setdefault("FormatVersion", "aws_v1")
        elif operation == "cloudwatch.list_metrics":
            answer["Metrics"] += cloudwatch.metrics_listed(
                self.estate, account_id, request.region, request.params
            )
        answer = self._paged(request, answer, page, fault)
        return self._spoilt(request, answer, fault)

    def _made(self, request: wire.ParsedRequest, account_id: str, operation: str) -> dict[str, Any] | None:
        """The answers that are computed instead of saved."""
        match operation:
            case "sts.get_caller_identity":
                arn = self._sessions.get(request.access_key + "/arn")
                return {
                    "UserId": request.access_key,
                    "Account": account_id,
                    "Arn": arn or f"arn:aws:iam::{account_id}:user/auditor",
                }
            case "sts.assume_role":
                return self._assumed(request)
            case "organizations.describe_organization":
                raise _Refusal(
                    "AWSOrganizationsNotInUseException", "Your account is not a member of an organization."
                )
            case "ec2.describe_regions":
                return {"Regions": self._regions(request, account_id)}
            case "cloudwatch.get_metric_data":
                with _cloudwatch_refusals():
                    return cloudwatch.metric_data(
                        self.estate, account_id, request.region, request.params, self.now
                    )
            case "cloudwatch.get_metric_statistics":
                with _cloudwatch_refusals():
                    return cloudwatch.metric_statistics(
                        self.estate, account_id, request.region, request.params, self.now
                    )
        return None

    def _assumed(self, request: wire.ParsedRequest) -> dict[str, Any]:
        arn = str(request.params.get("RoleArn", ""))
        match = re.fullmatch(r"arn:[\w-]+:iam::(\d{12}):role/(.+)", arn)
        if match is None:
            raise _Refusal("ValidationError", f"{arn} is invalid")
        account_id, role = match[1], match[2].rsplit("/", 1)[-1]
        session = str(request.params.get("RoleSessionName", ""))
        if account_id not in self.estate.accounts or arn in self.estate.denied_roles:
            raise _Refusal(
                "AccessDenied", f"User is not authorized to perform: sts:AssumeRole on resource: {arn}", 403
            )
        key = self.estate.role_key(account_id)
        assumed = f"arn:aws:sts::{account_id}:assumed-role/{role}/{session}"
        self._sessions[key] = account_id
        self._sessions[key + "/arn"] = assumed
        seconds = int(request.params.get("DurationSeconds") or 3600)
        return {
            "Credentials": {
                "AccessKeyId": key,
                "SecretAccessKey": "not-a-secret",
                "SessionToken": "not-a-token",
                # By the caller's clock: botocore renews credentials that the estate's past has expired.
                "Expiration": datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds),
            },
            "AssumedRoleUser": {"AssumedRoleId": f"AROA{account_id}TEST:{session}", "Arn": assumed},
        }

    def _regions(self, request: wire.ParsedRequest, account_id: str) -> list[dict[str, str]]:
        account = self.estate.accounts[account_id]
        status = dict.fromkeys(account.regions, "opt-in-not-required")
        if request.params.get("AllRegions"):
            status |= dict.fromkeys(account.closed_regions, "not-opted-in")
        wanted = request.params.get("RegionNames") or list(status)
        for item in request.params.get("Filters") or ():
            if item.get("Name") == "opt-in-status":
                status = {name: state for name, state in status.items() if state in item.get("Values", ())}
        return [
            {"RegionName": name, "Endpoint": f"ec2.{name}.amazonaws.com", "OptInStatus": state}
            for name, state in status.items()
            if name in wanted
        ]

    def _products(self, params: Mapping[str, Any]) -> list[str]:
        found = []
        for document in self.estate.products:
            product = document.get("product", {})
            fields = {"productFamily": product.get("productFamily"), **product.get("attributes", {})}
            fields.setdefault("servicecode", document.get("serviceCode"))
            wanted = params.get("ServiceCode")
            if wanted not in (None, document.get("serviceCode"), fields["servicecode"]):
                continue
            if all(_matches(item, fields) for item in params.get("Filters") or ()):
                found.append(json.dumps(document))
        return found

    # -- pages --------------------------------------------------------------------------------------------

    def _page(self, request: wire.ParsedRequest) -> _Page:
        if request.operation == "get_metric_data":
            with _cloudwatch_refusals():
                return _Page(*cloudwatch.position(request.params.get("NextToken")))
        names = _paging(request.service, request.operation)
        token = request.params.get(names.input_token) if names is not None else None
        if token is None or names is None:
            return _Page()
        try:
            offset, number = base64.urlsafe_b64decode(str(token)).decode("ascii").split(".")
            return _Page(int(offset), int(number))
        except (ValueError, binascii.Error):
            raise _Refusal(
                "InvalidNextToken" if "Token" in names.input_token else "InvalidParameterValue",
                f"The value of {names.input_token} is not valid.",
            ) from None

    def _paged(
        self, request: wire.ParsedRequest, answer: dict[str, Any], page: _Page, fault: str
    ) -> dict[str, Any]:
        names = _paging(request.service, request.operation)
        if names is None:
            return answer
        around = envelope(request.service, request.operation)
        if around:
            return {**answer, around: self._cut(request, answer[around], page, fault, names)}
        return self._cut(request, answer, page, fault, names)

    def _cut(
        self, request: wire.ParsedRequest, answer: dict[str, Any], page: _Page, fault: str, names: _Paging
    ) -> dict[str, Any]:
        asked = request.params.get(names.limit) if names.limit else None
        if request.service == "ec2" and asked is not None:
            ids = _NO_IDS_WITH_PAGES.get(request.operation, "")
            if request.params.get(ids):
                raise _Refusal(
                    "InvalidParameterCombination",
                    f"The parameter {ids} cannot be used with the parameter {names.limit}",
                )
        members = answer.get(names.result, [])
        total = len(members)
        default = _DEFAULT_SIZES.get(request.service)
        sizes = [int(size) for size in (asked or default, self.page_size) if size]
        size = min(sizes) if sizes else max(total, 1)
        shown = {name: item for name, item in answer.items() if name not in names.tokens}
        following = page.offset + size
        if fault == "empty_page_with_token":
            shown[names.result] = []
            following = page.offset
        else:
            shown[names.result] = members[page.offset : following]
        if "Quantity" in shown:
            shown["Quantity"] = len(shown[names.result])
        token: str | None = None
        if following < total or fault == "empty_page_with_token":
            token = _token(following, page.number + 1)
        if fault == "repeat_token":
            token = request.params.get(names.input_token) or _token(min(following, total), page.number + 1)
        if token is not None:
            shown[names.output_token] = token
        if names.more is not None:
            shown[names.more] = token is not None
        return shown

    def _spoilt(self, request: wire.ParsedRequest, answer: dict[str, Any], fault: str) -> dict[str, Any]:
        if fault == "missing_key":
            keys = result_keys(request.service, request.operation) or tuple(answer)
            return {name: item for name, item in answer.items() if name not in keys}
        if fault == "partial_data" and "MetricDataResults" in answer:
            for result in answer["MetricDataResults"]:
                half = (len(result["Values"]) + 1) // 2
                result["StatusCode"] = "PartialData"
                result["Timestamps"], result["Values"] = result["Timestamps"][:half], result["Values"][:half]
        if fault == "empty_page_with_token" and "MetricDataResults" in answer:
            offset, number = cloudwatch.position(request.params.get("NextToken"))
            answer |= {"MetricDataResults": [], "NextToken": f"{offset}.{number + 1}"}
        if fault == "repeat_token" and "MetricDataResults" in answer:
            answer["NextToken"] = request.params.get("NextToken") or "0.2"
        return answer


# -- helpers ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Paging:
    input_token: str
    output_token: str
    limit: str
    result: str
    more: str | None
    tokens: tuple[str, ...]


def _paging(service: str, operation: str) -> _Paging | None:
    config = wire.paginator_config(service, operation)
    keys = ("Items",) if envelope(service, operation) else result_keys(service, operation)
    if not keys or operation == "get_metric_data":
        return None
    tokens = tuple(name.rpartition(".")[2] for name in output_tokens(service, operation))
    if config is not None:
        # A few operations page by several tokens at once; their answers come on one page.
        if isinstance(config["input_token"], list):
            return None
        # The model writes `NextMarker || Marker` where services differ.
        output = str(config["output_token"]).split("||")[0].strip().rpartition(".")[2]
        return _Paging(
            config["input_token"],
            output,
            config.get("limit_key", ""),
            keys[0],
            str(config["more_results"]).rpartition(".")[2] if "more_results" in config else None,
            tokens,
        )
    model = wire.operation_model(service, operation)
    inputs = model.input_shape.members if model.input_shape is not None else {}
    outputs = model.output_shape.members if model.output_shape is not None else {}
    for given, taken in (
        ("NextToken", "NextToken"),
        ("NextMarker", "Marker"),
        ("nextToken", "nextToken"),
        ("NextPageToken", "NextPageToken"),
    ):
        if given in outputs and taken in inputs:
            limits = ("MaxResults", "MaxRecords", "PageSize", "maxResults")
            return _Paging(taken, given, next((n for n in limits if n in inputs), ""), keys[0], None, tokens)
    return None


def _token(offset: int, number: int) -> str:
    return base64.urlsafe_b64encode(f"{offset}.{number}".encode()).decode()


def _matches(item: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    value = fields.get(item.get("Field", ""))
    wanted = str(item.get("Value", ""))
    match item.get("Type"):
        case "EQUALS" | "TERM_MATCH":
            return value == wanted
        case "CONTAINS":
            return wanted in str(value or "")
        case "ANY_OF":
            return value in wanted.split(",")
        case "NONE_OF":
            return value not in wanted.split(",")
    return False


@contextlib.contextmanager
def _cloudwatch_refusals() -> Any:
    try:
        yield
    except cloudwatch.Refused as error:
        raise _Refusal(error.code, str(error)) from None


def _family(request: wire.ParsedRequest) -> str:
    if request.protocol in ("ec2", "query"):
        return request.protocol
    if request.protocol == "rest-xml":
        return "query"
    # These keep the codes they had before JSON and CBOR.
    return "query" if wire.is_query_compatible(request.service) else "json"


def _refusal(fault: Fault, request: wire.ParsedRequest) -> _Refusal:
    family = _family(request)
    name = wire.operation_model(request.service, request.operation).name
    match fault.kind:
        case "throttle":
            code = {"ec2": "RequestLimitExceeded", "query": "Throttling"}.get(family, "ThrottlingException")
            code = "SlowDown" if request.service == "s3" else code
            message = "Request limit exceeded." if family == "ec2" else "Rate exceeded"
        case "expired":
            code = {"ec2": "RequestExpired", "query": "ExpiredToken"}.get(family, "ExpiredTokenException")
            message = "The security token included in the request is expired"
        case _:
            code = {"ec2": "UnauthorizedOperation", "query": "AccessDenied"}.get(
                family, "AccessDeniedException"
            )
            message = f"User is not authorized to perform: {request.service}:{name}"
    code = fault.code or code
    return _Refusal(code, fault.message or message, _status(code, request), fault.headers)


_STATUSES: Mapping[str, int] = {
    "UnauthorizedOperation": 403,
    "AccessDenied": 403,
    "OptInRequired": 403,
    "InvalidClientTokenId": 403,
    "ExpiredToken": 403,
    "SignatureDoesNotMatch": 403,
    "AuthFailure": 401,
    "InvalidAccessKeyId": 403,
    "NoSuchBucket": 404,
    "NoSuchTagSet": 404,
    "PermanentRedirect": 301,
    "RequestLimitExceeded": 503,
    "SlowDown": 503,
    "ServiceUnavailable": 503,
    "Unavailable": 503,
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "InternalServiceFault": 500,
}


def _status(code: str, request: wire.ParsedRequest) -> int:
    status = _STATUSES.get(code, 400)
    return 403 if request.protocol == "rest-json" and code == "AccessDeniedException" else status


def _unknown_key(request: wire.ParsedRequest) -> _Refusal:
    message = "The security token included in the request is invalid."
    match _family(request):
        case "ec2":
            return _Refusal(
                "AuthFailure", "AWS was not able to validate the provided access credentials", 401
            )
        case "query" if request.service == "s3":
            text = "The AWS Access Key Id you provided does not exist in our records."
            return _Refusal("InvalidAccessKeyId", text, 403)
        case "query":
            return _Refusal("InvalidClientTokenId", message, 403)
        case _:
            return _Refusal("UnrecognizedClientException", message, 400)


# -- HTTP -------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, endpoint: ReplayEndpoint):
        self.endpoint = endpoint
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look up the name of the host, which can take seconds.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the endpoint; anything else is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._open_lock:
                self._open.discard(request)

    def close_connections(self) -> None:
        """End the connections that clients keep alive, and wait for their threads."""
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            with self._open_lock:
                still = list(self._open)
            if not still:
                return
            for connection in still:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            time.sleep(0.005)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer one request."""
        body = self._body()
        endpoint = self.server.endpoint
        outcome = endpoint.answer(self.command, self.path, dict(self.headers.items()), body)
        if outcome == "hang":
            endpoint.stopping.wait()
            self.close_connection = True
        elif outcome == "reset":
            self._reset()
        else:
            self._send(outcome)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # Proxies send even no body in chunks.
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    do_GET = do_POST
    do_HEAD = do_POST
    do_PUT = do_POST
    do_DELETE = do_POST

    def _send(self, response: wire.WireResponse) -> None:
        self.send_response_only(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        if all(name != "Content-Length" for name, _ in response.headers):
            self.send_header("Content-Length", str(len(response.body)))
        else:
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def _reset(self) -> None:
        """Close so that the peer sees a reset, not an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the log of requests is `ReplayEndpoint.requests`."""
