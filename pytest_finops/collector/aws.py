"""The live source: boto3 clients made for an audit, and calls paged and verified to their end."""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .. import __version__
from ..errors import CollectError, WriteRefusedError
from ..operations import operation as operation_facts
from ..predictions import METRIC_PRICE
from . import metric_answers
from .faults import RETRYABLE, CallFault, Fault, classify
from .guard import Guard
from .ledger import Ledger
from .limiter import Limiter

Answer = Mapping[str, Any]
#: Task-level tries of one page beyond botocore's own: its retry quota runs dry in a storm (measured).
TASK_TRIES = 3
#: Seconds to connect, and to wait for an answer; botocore tries three times.
TIMEOUTS = (5.0, 30.0)
#: What an endpoint that does not answer at all ends with, after botocore's own tries.
SILENCE = frozenset({"ConnectTimeoutError", "ReadTimeoutError"})


@dataclass(frozen=True, slots=True)
class Login:
    """How an account is reached: a profile, or a role from the first profile; ``keys`` and ``endpoint`` for the demo."""

    profile: str | None = None
    role: str | None = None
    external_id: str | None = None
    keys: tuple[str, str] | None = None
    endpoint: str | None = None


@functools.lru_cache(maxsize=4096)
def _timestamp(value: Any) -> datetime:
    """Parse a timestamp; 8 times faster than botocore's dateutil path, which is the fallback (measured).

    All series of a batch have the same hours: the cache makes one datetime of each.
    """
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        from botocore.utils import parse_timestamp

        slow: datetime = parse_timestamp(value)
        return slow
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def snake(name: str) -> str:
    """Return boto3's method name of an API operation."""
    from botocore import xform_name

    return str(xform_name(name))


class Aws:
    """Sessions and clients of one run: one shared loader, guarded before any client exists, built under a lock."""

    def __init__(
        self, *, run_id: str, guard: Guard, ledger: Ledger, limiter: Limiter, stop: threading.Event, threads: int,
        retry_delay: float = 0.4, timeouts: tuple[float, float] = TIMEOUTS,
    ) -> None:  # fmt: skip
        self.run_id = run_id
        self.guard = guard
        self.ledger = ledger
        self.limiter = limiter
        self.stop = stop
        self._threads = threads
        self._retry_delay = retry_delay
        self._timeouts = timeouts
        self._silent: dict[tuple[str, str], Fault] = {}
        self._answered: set[tuple[str, str]] = set()
        self._lock = threading.RLock()
        self._loader: Any = None
        self._sessions: dict[Login, Any] = {}
        self._clients: dict[tuple[Login, str, str], Any] = {}
        self._methods: dict[tuple[str, str], tuple[str, Any]] = {}

    def session(self, login: Login) -> Any:
        """Return the guarded boto3 session of ``login``; CollectError if the profile does not exist."""
        with self._lock:
            if login not in self._sessions:
                self._sessions[login] = self._new_session(login)
            return self._sessions[login]

    def _new_session(self, login: Login) -> Any:
        import boto3
        import botocore.session
        from botocore.exceptions import BotoCoreError

        try:
            core = botocore.session.Session(profile=login.profile)
            if self._loader is None:
                self._loader = core.get_component("data_loader")
            else:
                core.register_component("data_loader", self._loader)
            core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
            metric_answers.register(core)
            self.guard.register(core)
            for role in _roles(core):
                self.guard.allow_role(role)
            if login.keys:
                return boto3.Session(
                    aws_access_key_id=login.keys[0],
                    aws_secret_access_key=login.keys[1],
                    botocore_session=core,
                )
            if login.role:
                self._assume(core, login)
            return boto3.Session(botocore_session=core)
        except BotoCoreError as error:
            raise CollectError(
                f"profile {login.profile or 'default'}: {error}", code=type(error).__name__
            ) from error

    def _assume(self, core: Any, login: Login) -> None:
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        source = self.session(Login(profile=login.profile))
        assert login.role is not None
        self.guard.allow_role(login.role)
        extra = {"RoleSessionName": f"pytest-finops-{self.run_id}"}
        if login.external_id:
            extra["ExternalId"] = login.external_id

        def client(_name: str, **credentials: Any) -> Any:
            # The fetcher hands over frozen keys; the guarded session refreshes its own.
            return self._make_client(source, "sts", source.region_name or "us-east-1", None)

        fetcher = AssumeRoleCredentialFetcher(
            client_creator=client,
            source_credentials=source.get_credentials(),
            role_arn=login.role,
            extra_args=extra,
        )
        core._credentials = DeferredRefreshableCredentials(
            method="assume-role", refresh_using=fetcher.fetch_credentials
        )

    def enter(self, login: Login) -> None:
        """Get the credentials of ``login`` now (a role is assumed); CallFault says why not."""
        try:
            self.session(login).get_credentials().get_frozen_credentials()
        except Exception as error:
            raise CallFault(fault_of(error)[0]) from error

    def client(self, login: Login, service: str, region: str) -> Any:
        """Return the client of ``service`` in ``region``; clients are thread-safe, sessions are not."""
        key = (login, service, region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make_client(self.session(login), service, region, login.endpoint)
            return self._clients[key]

    def _make_client(self, session: Any, service: str, region: str, endpoint: str | None) -> Any:
        from botocore.config import Config

        return session.client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 3},
                connect_timeout=self._timeouts[0],
                read_timeout=self._timeouts[1],
                max_pool_connections=self._threads,
                user_agent_extra=f"pytest-finops/{__version__} run/{self.run_id}",
            ),
        )

    def _method(self, client: Any, service: str, method: str) -> tuple[str, Any]:
        """Return the API operation name of ``method`` and its paging configuration (None = does not page)."""
        from botocore.exceptions import UnknownServiceError

        key = (service, method)
        with self._lock:
            if key not in self._methods:
                name = client.meta.method_to_api_mapping.get(method)
                if name is None:
                    raise CollectError(f"{service} has no operation {method}", code="InvalidAction")
                try:
                    paging = self._loader.load_service_model(service, "paginators-1")["pagination"].get(name)
                except UnknownServiceError:
                    paging = None
                self._methods[key] = (name, paging)
            return self._methods[key]

    def call(
        self, login: Login, account_id: str, region: str, service: str, method: str, params: Mapping[str, Any],
        *, units: int = 0,
    ) -> dict[str, Any]:  # fmt: skip
        """Send one request and return its answer, with ``ResponseMetadata``; CallFault says why not."""
        facts = operation_facts(service, method)
        bucket = self.limiter.bucket(
            (account_id, region, service, facts.bucket), facts.rate_per_second, facts.burst
        )
        silent = self._silent.get((service, region))
        if silent is not None:
            raise CallFault(silent)
        retried = throttled = 0
        for attempt in range(1, TASK_TRIES + 1):
            self.limiter.wait(bucket)
            if self.stop.is_set():
                raise CallFault(Fault("failed", "Interrupted", "the run was stopped"))
            try:
                client = self.client(login, service, region)
                answer: dict[str, Any] = getattr(client, method)(**params)
                meta = answer.get("ResponseMetadata") or {}
                retried += int(meta.get("RetryAttempts", 0))
                self._answered.add((service, region))
                if not meta.get("RequestId") and not re.search(
                    "requestid|request-id", str(meta.get("HTTPHeaders")), re.I
                ):
                    raise CallFault(Fault("failed", "NotAnAwsAnswer", "a 200 answer without a request id"))
            except Exception as error:
                fault, inner = fault_of(error)
                retried += inner
                if fault.code in SILENCE and (service, region) not in self._answered:
                    # Nobody waits twice for an endpoint that never answered: what else is asked of it fails at once.
                    text = f"{service} in {region} did not answer, and was not asked again"
                    self._silent[service, region] = Fault("unavailable", fault.code, text)
                throttled += 1 if fault.kind == "throttled" else 0
                if fault.kind == "throttled":
                    bucket.slow_down()
                if fault.kind in RETRYABLE and attempt < TASK_TRIES and not self.stop.is_set():
                    retried += 1
                    self.stop.wait(self._retry_delay * 2 ** (attempt - 1))
                    continue
                self.ledger.record(service, method, retried=retried, throttled=throttled)
                raise CallFault(fault) from error
            price = (
                METRIC_PRICE * units
                if units
                else (facts.request_cost if facts.cost_kind == "request" else ZERO)
            )
            self.ledger.record(
                service,
                method,
                units=units or (1 if price else 0),
                cost=price,
                retried=retried,
                throttled=throttled,
            )
            return answer
        raise AssertionError("unreachable")

    def pages(
        self, login: Login, account_id: str, region: str, service: str, method: str, params: Mapping[str, Any],
        *, tokens: tuple[str, str] | None, witness: str,
    ) -> Iterator[tuple[Answer, bool]]:  # fmt: skip
        """Yield (answer, is the last) of every page; loops on the token, never on emptiness; each page is verified."""
        import jmespath

        client = self._client_or_fault(login, service, region)
        _, paging = self._method(client, service, method)
        if tokens:
            inputs, outputs = [tokens[0]], [tokens[1]]
        elif paging:
            inputs = _listed(paging["input_token"])
            outputs = _listed(paging["output_token"])
        else:
            inputs, outputs = [], []
        request = dict(params)
        facts = operation_facts(service, method)
        # AWS refuses a page size beside explicit ids.
        if (
            facts.page_size_param
            and facts.page_size_max
            and not any(
                isinstance(value, list) and name.endswith(("Ids", "Arns", "Names"))
                for name, value in params.items()
            )
        ):
            request.setdefault(facts.page_size_param, facts.page_size_max)
        seen: set[str] = set()
        for attempt in range(1, 100_000):
            answer = self._verified(login, account_id, region, service, method, request, witness)
            found = [jmespath.search(expression, answer) for expression in outputs]
            more = (
                jmespath.search(paging["more_results"], answer)
                if paging and "more_results" in paging
                else True
            )
            last = not more or not any(found)
            if not last:
                token = repr(found)
                if token in seen:
                    raise CallFault(Fault("failed", "RepeatedToken", f"page {attempt} repeats its token"))
                seen.add(token)
                for name, value in zip(inputs, found, strict=True):
                    if value:
                        request[name] = value
                    else:
                        request.pop(name, None)
            yield {key: value for key, value in answer.items() if key != "ResponseMetadata"}, last
            if last:
                return

    def _client_or_fault(self, login: Login, service: str, region: str) -> Any:
        from botocore.exceptions import BotoCoreError

        try:
            return self.client(login, service, region)
        except (BotoCoreError, CollectError) as error:
            raise CallFault(fault_of(error)[0]) from error

    def _verified(
        self,
        login: Login,
        account_id: str,
        region: str,
        service: str,
        method: str,
        request: Mapping[str, Any],
        witness: str,
    ) -> dict[str, Any]:
        """Return an answer that carries its result key: an HTML or truncated 200 parses to ``{}`` (measured)."""
        for attempt in range(1, TASK_TRIES + 1):
            answer = self.call(login, account_id, region, service, method, request)
            if not witness or witness in answer:
                return answer
            if attempt < TASK_TRIES:
                self.stop.wait(self._retry_delay * 2 ** (attempt - 1))
        raise CallFault(Fault("failed", "ForeignAnswer", f"the answer has no {witness!r}: not AWS's own"))


class PriceListCalls:
    """What the price book needs of a pricing client, sent, paced and counted like every other call of the run."""

    def __init__(self, aws: Aws, login: Login, region: str) -> None:
        self._aws, self._login, self._region = aws, login, region

    def get_products(self, **params: Any) -> dict[str, Any]:
        """Send one GetProducts request with the auditor's credentials; CollectError says why not."""
        try:
            return self._aws.call(self._login, "auditor", self._region, "pricing", "get_products", params)
        except CallFault as error:
            raise CollectError(f"pricing.get_products: {error.fault}", code=error.fault.code) from error


def _roles(core: Any) -> Iterator[str]:
    """Yield the roles that the profile of a session takes on, its sources' roles included."""
    environment = os.environ.get("AWS_ROLE_ARN")
    if environment:
        yield environment
    profiles = core.full_config.get("profiles", {})
    name, seen = core.profile or "default", set[str]()
    while name in profiles and name not in seen:
        seen.add(name)
        if "role_arn" in profiles[name]:
            yield str(profiles[name]["role_arn"])
        name = profiles[name].get("source_profile", "")


def _listed(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [value]


def fault_of(error: BaseException) -> tuple[Fault, int]:
    """Return the fault that an exception stands for, and botocore's own retries before it."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        CredentialRetrievalError,
        EndpointConnectionError,
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
        ReadTimeoutError,
        SSOError,
    )

    if isinstance(error, CallFault):
        return error.fault, 0
    if isinstance(error, WriteRefusedError):
        raise error
    if isinstance(error, CollectError):
        return Fault("unavailable", error.code or "CollectError", str(error)), 0
    if isinstance(error, ClientError):
        body = error.response.get("Error", {})
        code = str(body.get("Code", "Unknown"))
        retries = int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))
        return Fault(classify(code), code, " ".join(str(body.get("Message", "")).split())), retries
    name = type(error).__name__
    text = " ".join(str(error).split())
    if isinstance(error, (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, SSOError)):
        return Fault("expired", name, text), 0
    if isinstance(error, (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError)):
        return Fault("unavailable", name, text), 0
    if isinstance(error, HTTPClientError):
        return Fault("transient", name, text), 0
    if isinstance(error, BotoCoreError):
        return Fault("failed", name, text), 0
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        raise error
    # ResponseParserError, UnicodeDecodeError, KeyError: botocore lets them escape on bodies that are not AWS's.
    return Fault("failed", name, text), 0


ZERO = Decimal(0)
