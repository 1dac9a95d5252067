"""The live source: botocore clients made for an audit, and calls paged and verified to their end."""

from __future__ import annotations

import functools
import itertools
import os
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .. import __version__
from ..errors import CollectError, WriteRefusedError
from ..operations import operation as operation_facts
from ..predictions import METRIC_PRICE
from . import metric_answers, xml_answers
from .breaker import Breaker
from .faults import PATIENCE, CallFault, Fault, FaultKind, classify
from .guard import Guard
from .ledger import Ledger
from .limiter import Limiter

Answer = Mapping[str, Any]
#: Pages in a row that hold nothing but a token, after which a listing is taken for endless.
MAX_EMPTY_PAGES = 200
#: S3 bills requests that it refuses, but neither 5xx answers nor those that send the caller elsewhere or back to log in
#: (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ErrorCodeBilling.html).
BILLED_REFUSALS: Mapping[str, frozenset[FaultKind]] = {"s3": frozenset({"denied", "gone", "failed"})}
#: A request, the question where its bucket is, both again there: more is no way to find it.
MAX_REDIRECTS = 4
#: Requests that were sent and whose answer never came.
UNHEARD = frozenset({"ReadTimeoutError", "ConnectionClosedError", "ResponseStreamingError"})


@dataclass(frozen=True, slots=True)
class Login:
    """How an account is reached: a profile, or a role from the first profile; ``keys`` and ``endpoint`` for the demo."""

    profile: str | None = None
    role: str | None = None
    external_id: str | None = None
    keys: tuple[str, str] | None = None
    endpoint: str | None = None

    @property
    def source(self) -> Login:
        """The login that a role is assumed from; itself where there is no role."""
        return replace(self, role=None, external_id=None)


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
        retry_delay: float = 1.0, timeouts: tuple[float, float] = (5, 30),
    ) -> None:  # fmt: skip
        """Make no session yet; ``retry_delay`` scales the pauses between tries, ``timeouts`` are connect and read."""
        self.run_id = run_id
        self.guard = guard
        self.ledger = ledger
        self.limiter = limiter
        self.stop = stop
        self._threads = threads
        self.breaker = Breaker()
        self._retry_delay = retry_delay
        self._timeouts = timeouts
        self._lock = threading.RLock()
        self._loader: Any = None
        self._parsers = xml_answers.Parsers()
        self._sessions: dict[Login, Any] = {}
        self._credentials: dict[Login, Any] = {}
        self._clients: dict[tuple[str, str, str, int], Any] = {}
        self._settings: dict[Login, str] = {}
        self._acting = _Acting()
        self._standings: dict[Login, _Standing] = {}
        self._methods: dict[tuple[str, str], tuple[str, Any]] = {}

    def session(self, login: Login) -> Any:
        """Return the guarded botocore session behind ``login``, shared by the roles that are assumed from it.

        :raises CollectError: when the profile does not exist.
        """
        source = login.source
        with self._lock:
            if source not in self._sessions:
                self._sessions[source] = self._new_session(source)
            return self._sessions[source]

    def region(self, login: Login) -> str | None:
        """Return the region that the profile or the environment of ``login`` names."""
        named: str | None = self.session(login).get_config_variable("region")
        return named

    def _new_session(self, login: Login) -> Any:
        import botocore.session
        from botocore.exceptions import BotoCoreError

        try:
            core = botocore.session.Session(profile=login.profile)
            if self._loader is None:
                self._loader = core.get_component("data_loader")
            else:
                core.register_component("data_loader", self._loader)
            core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
            self._parsers.register(core)
            metric_answers.register(core)
            self.guard.register(core)
            for role in _roles(core):
                self.guard.allow_role(role)
            return core
        except BotoCoreError as error:
            raise CollectError(
                f"profile {login.profile or 'default'}: {error}", code=type(error).__name__
            ) from error

    def _act(self, login: Login) -> None:
        """Let the clients that this thread uses sign with the credentials of ``login``."""
        with self._lock:
            if login not in self._credentials:
                if login.role:
                    self._credentials[login] = self._assumed(login)
                else:
                    core = self.session(login)
                    if login.keys:
                        core.set_credentials(*login.keys)
                    self._credentials[login] = core.get_credentials()
                    # From now on clients of this session sign for whoever acts.
                    core._credentials = _switch(self._acting)
            self._acting.credentials = self._credentials[login]

    def _assumed(self, login: Login) -> Any:
        """Return credentials that assume the role of ``login`` when they are needed, and again before they end."""
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        source = login.source
        assert login.role is not None
        self.guard.allow_role(login.role)
        extra = {"RoleSessionName": f"pytest-finops-{self.run_id}"}
        if login.external_id:
            extra["ExternalId"] = login.external_id
        self._act(source)
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=lambda _name, **_: _AssumeRole(self, source),
            source_credentials=self._credentials[source],
            role_arn=login.role,
            extra_args=extra,
        )
        return DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)

    def enter(self, login: Login) -> None:
        """Get the credentials of ``login`` now (a role is assumed); CallFault says why not."""
        try:
            self._act(login)
            self._acting.credentials.get_frozen_credentials()
        except Exception as error:
            raise CallFault(fault_of(error)) from error

    def client(self, login: Login, service: str, region: str, *, attempts: int = 3) -> Any:
        """Return the client of ``service`` in ``region``, which signs for ``login`` until this thread asks for another.

        Clients are thread-safe, sessions are not. One client serves every login whose profile has the same settings:
        an organization of 500 accounts needs no more of them than one account (7 ms and 0.3 MB each).
        """
        with self._lock:
            core = self.session(login)
            self._act(login)
            if login not in self._settings:
                self._settings[login] = _settings_of(core, login.endpoint)
            key = (self._settings[login], service, region, attempts)
            if key not in self._clients:
                self._clients[key] = self._make_client(core, service, region, login.endpoint, attempts)
            return self._clients[key]

    def _make_client(
        self, session: Any, service: str, region: str, endpoint: str | None, attempts: int = 3
    ) -> Any:
        from botocore.config import Config

        client = session.create_client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=self._timeouts[0],
                read_timeout=self._timeouts[1],
                max_pool_connections=self._threads,
                user_agent_extra=f"pytest-finops/{__version__} run/{self.run_id}",
            ),
        )
        if service == "s3":
            # botocore itself follows a bucket to its region, once.
            client.meta.events.register("before-send.s3", self._acting.sends)
        return client

    # --- credentials that end in mid-run ----------------------------------------------------------------------------

    def _standing(self, login: Login) -> _Standing:
        with self._lock:
            return self._standings.setdefault(login, _Standing())

    def _renewed(self, login: Login, generation: int, fault: Fault) -> bool:
        """Whether it is worth trying again: with credentials read anew, once, or by another thread meanwhile.

        botocore renews what it can by itself; this is for keys that somebody else renews in a file or a cache.
        Where they ended for good, every further call of the login ends at once.
        """
        with self._lock:
            standing = self._standing(login)
            if generation != standing.generation:
                return standing.ended is None
            if not standing.answered:
                standing.ended = fault
                return False
            for known in (self._sessions, self._credentials):
                for one in [one for one in known if one.profile == login.profile]:
                    del known[one]
            for one, other in self._standings.items():
                if one.profile == login.profile:
                    other.generation, other.answered = other.generation + 1, False
            return True

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
        *, units: int = 0, witness: str = "", again: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Send one request until it is answered or no longer worth it; return the answer, with ``ResponseMetadata``.

        ``witness`` is the member that a genuine answer has; ``units`` what it is billed by; ``again`` marks a request
        that repeats an answered one.

        :raises CallFault: why there is no answer.
        """
        facts = operation_facts(service, method)
        bucket = self.limiter.bucket(
            (account_id, region, service, facts.bucket), facts.rate_per_second, facts.burst
        )
        # The first page of a metric batch is billed by its metrics, the others are not.
        price = (
            METRIC_PRICE * units if units else (facts.request_cost if facts.cost_kind == "request" else ZERO)
        )
        billed = units or (1 if price else 0)
        tries: Counter[FaultKind] = Counter()
        paid = again
        while True:
            standing = self._standing(login)
            generation, fault = standing.generation, standing.ended
            if fault is None:
                self.limiter.wait(bucket)
                if self.stop.is_set():
                    raise CallFault(Fault("missing", "Interrupted", "the run was stopped"))
                try:
                    self._clear(service, region, price)
                except CallFault as error:
                    fault = error.fault
            if fault is not None:
                # Nothing is sent to what cannot answer, or costs more than it may.
                if tries:
                    self._failed(service, method, tries)
                raise CallFault(fault)
            self._acting.sent = 0
            try:
                answer = self._send(login, region, service, method, params, witness)
            except CallFault as error:
                fault = error.fault
            else:
                fault = None
            if self._acting.sent > 1:
                # What was answered from elsewhere costs nothing.
                tries["unavailable"] += self._acting.sent - 1
            if fault is None:
                break
            if price and (
                fault.kind == "foreign"
                or fault.code in UNHEARD
                or fault.kind in BILLED_REFUSALS.get(service, ())
            ):
                # AWS may have done and billed what did not arrive.
                self.ledger.record(service, method, calls=0, units=billed, cost=price, repeated=paid)
                paid = True
            else:
                self.ledger.free(price)
            tries[fault.kind] += 1
            if fault.kind == "timeout":
                self.breaker.silent(service, region)
            elif fault.kind != "transient":
                self.breaker.answered(service, region)
            if fault.kind == "throttled":
                bucket.slow_down()
            if fault.kind == "expired" and tries["expired"] < 3 and self._renewed(login, generation, fault):
                continue
            patience = PATIENCE.get(fault.kind)
            if patience is None or tries[fault.kind] >= patience.tries or self.stop.is_set():
                self._failed(service, method, tries)
                raise CallFault(fault)
            self.stop.wait(patience.delay(tries[fault.kind]) * self._retry_delay)
        standing.answered = True
        self.breaker.answered(service, region)
        bucket.recover()
        self.ledger.record(
            service, method, calls=0 if again else 1, units=billed, cost=price,
            retried=tries.total() + (1 if again else 0), throttled=tries["throttled"], repeated=paid,
        )  # fmt: skip
        return answer

    def _clear(self, service: str, region: str, price: Decimal) -> None:
        """Hold the price of a request that may be sent now; CallFault says why it may not."""
        self.ledger.hold(price)
        try:
            self.breaker.check(service, region)
        except CallFault:
            self.ledger.free(price)
            raise

    def _failed(self, service: str, method: str, tries: Counter[FaultKind]) -> None:
        self.ledger.record(service, method, retried=tries.total() - 1, throttled=tries["throttled"])

    def _send(
        self, login: Login, region: str, service: str, method: str, params: Mapping[str, Any], witness: str
    ) -> dict[str, Any]:
        """Send one request once; an answer must be AWS's own: an HTML or cut-off 200 parses to ``{}`` (measured)."""
        try:
            client = self.client(login, service, region, attempts=1)
            answer: dict[str, Any] = getattr(client, method)(**params)
        except Exception as error:
            fault = fault_of(error)
            if _unresolved(error) and not self._exists(login, service, region):
                fault = Fault("absent", "ServiceNotInRegion", f"{service} does not exist in {region}")
            raise CallFault(fault) from error
        meta = answer.get("ResponseMetadata") or {}
        if not meta.get("RequestId") and not re.search(
            "requestid|request-id", str(meta.get("HTTPHeaders")), re.I
        ):
            raise CallFault(Fault("foreign", "NotAnAwsAnswer", "a 200 answer without a request id"))
        if witness and witness not in answer:
            raise CallFault(
                Fault("foreign", "ForeignAnswer", f"the answer has no {witness!r}: not AWS's own")
            )
        return answer

    def _exists(self, login: Login, service: str, region: str) -> bool:
        """Whether botocore knows an endpoint of ``service`` in ``region``; asked only where a name does not resolve."""
        core = self.session(login)
        partition = core.get_partition_for_region(region)
        known = core.get_available_regions(service, partition_name=partition)
        everywhere = core.get_available_regions("ec2", partition_name=partition)
        # Global services have an empty list, and a region that botocore does not know yet says nothing.
        return not known or region in known or region not in everywhere

    def pages(
        self, login: Login, account_id: str, region: str, service: str, method: str, params: Mapping[str, Any],
        *, tokens: tuple[str, str] | None, witness: str, after: tuple[int, Answer] | None = None,
        page_size: int | None = None,
    ) -> Iterator[tuple[Answer, bool]]:  # fmt: skip
        """Yield (answer, is the last) of every page; loops on the token, never on emptiness; each page is verified.

        ``after`` is the number and the answer of a page that is there already: the listing goes on behind it. ``page_size`` is
        the largest that AWS gives unless a smaller one is asked for.
        """
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
            size = facts.page_size_max if page_size is None else min(page_size, facts.page_size_max)
            request.setdefault(facts.page_size_param, size)
        seen: set[str] = set()
        empty = 0
        for number in itertools.count(after[0] if after else 1):
            there = after is not None and number == after[0]
            answer = (
                after[1]
                if after is not None and there
                else self.call(login, account_id, region, service, method, request, witness=witness)
            )
            found = [jmespath.search(expression, answer) for expression in outputs]
            more = (
                jmespath.search(paging["more_results"], answer)
                if paging and "more_results" in paging
                else True
            )
            if more is None and "." in paging["more_results"]:
                # A body that is nothing but an envelope parses from anything.
                text = f"page {number} does not say whether there is more: not AWS's own"
                raise CallFault(Fault("foreign", "ForeignAnswer", text))
            last = not more or not any(found)
            if last and more and paging and "more_results" in paging:
                raise CallFault(
                    Fault("foreign", "NoToken", f"page {number} says that there is more, but not where")
                )
            empty = 0 if not witness or answer.get(witness) else empty + 1
            if not last:
                token = repr(found)
                if token in seen:
                    raise CallFault(Fault("foreign", "RepeatedToken", f"page {number} repeats its token"))
                if empty > MAX_EMPTY_PAGES:
                    text = f"{empty} pages in a row hold nothing but a token"
                    raise CallFault(Fault("foreign", "EndlessListing", text))
                seen.add(token)
                for name, value in zip(inputs, found, strict=True):
                    if value:
                        request[name] = value
                    else:
                        request.pop(name, None)
            if not there:
                yield {key: value for key, value in answer.items() if key != "ResponseMetadata"}, last
            if last:
                return

    def _client_or_fault(self, login: Login, service: str, region: str) -> Any:
        from botocore.exceptions import BotoCoreError

        try:
            return self.client(login, service, region, attempts=1)
        except (BotoCoreError, CollectError) as error:
            raise CallFault(fault_of(error)) from error


class _Acting(threading.local):
    """The credentials that the calling thread acts with, and how often botocore sent what it was asked to send."""

    credentials: Any = None
    sent: int = 0

    def sends(self, **_: Any) -> None:
        """Count a request on its way; botocore asks a bucket that never says its region without an end."""
        self.sent += 1
        if self.sent > MAX_REDIRECTS:
            raise CallFault(Fault("unavailable", "PermanentRedirect", "the bucket is elsewhere, and nowhere"))


def _switch(acting: _Acting) -> Any:
    """Return credentials for clients that stand for those of the calling thread."""
    from botocore.credentials import Credentials

    class Switch(Credentials):  # type: ignore[misc]
        def get_frozen_credentials(self) -> Any:
            return acting.credentials and acting.credentials.get_frozen_credentials()

        def get_deferred_property(self, property_name: str) -> Any:
            return lambda: acting.credentials and acting.credentials.get_deferred_property(property_name)()

    return Switch("none", "none")


@dataclass(frozen=True, slots=True)
class _AssumeRole:
    """The client with which botocore assumes a role, signing for its source while it does so."""

    aws: Aws
    source: Login

    def assume_role(self, **params: Any) -> Any:
        """Send AssumeRole; answered or refused, it is one of the run's requests."""
        acting = self.aws._acting
        before = acting.credentials
        try:
            region = self.aws.region(self.source) or "us-east-1"
            return self.aws.client(self.source, "sts", region).assume_role(**params)
        finally:
            acting.credentials = before
            self.aws.ledger.record("sts", "assume_role")


#: Settings of a profile that say who acts and where, and nothing of how a client behaves.
_WHO = re.compile(
    r"aws_(access_key_id|secret_access_key|session_token|security_token|account_id)|role_\w+|source_profile|external_id"
    r"|credential_(source|process)|duration_seconds|mfa_serial|web_identity_token_file|sso_\w+|login_session|region|output"
    r"|cli_\w+"
)


def _settings_of(core: Any, endpoint: str | None) -> str:
    """Return what makes the clients of a session differ from those of another, its credentials apart."""
    scoped = core.get_scoped_config()
    return repr((endpoint, sorted((k, repr(v)) for k, v in scoped.items() if not _WHO.fullmatch(k))))


@dataclass(slots=True)
class _Standing:
    """How the credentials of a login do: how often they were read anew, whether they were ever accepted since."""

    generation: int = 0
    answered: bool = False
    ended: Fault | None = None


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


def _unresolved(error: BaseException) -> bool:
    """Whether the name of an endpoint did not resolve."""
    from botocore.exceptions import EndpointConnectionError

    if not isinstance(error, EndpointConnectionError):
        return False
    cause: Any = error.kwargs.get("error")
    for _ in range(5):
        if isinstance(cause, socket.gaierror) or type(cause).__name__ == "NameResolutionError":
            return True
        cause = getattr(cause, "reason", None) or getattr(cause, "__cause__", None)
    return False


def fault_of(error: BaseException) -> Fault:
    """Return the fault that an exception stands for."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,
        ConnectTimeoutError,
        CredentialRetrievalError,
        EndpointConnectionError,
        HTTPClientError,
        LoginError,
        NoCredentialsError,
        PartialCredentialsError,
        ReadTimeoutError,
        RefreshWithMFAUnsupportedError,
        SSOError,
        TokenRetrievalError,
    )

    if isinstance(error, CallFault):
        return error.fault
    if isinstance(error, (WriteRefusedError, KeyboardInterrupt, SystemExit)):
        raise error
    if isinstance(error, CollectError):
        return Fault("unavailable", error.code or "CollectError", str(error))
    if isinstance(error, ClientError):
        body = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        # S3 with the page of a gateway: botocore finds no code at all.
        code = str(body.get("Code") or status or "Unknown")
        return Fault(classify(code, status), code, _words(body.get("Message", "")))
    name, text = type(error).__name__, _words(error)
    ended = (
        NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, SSOError, LoginError, TokenRetrievalError,
        RefreshWithMFAUnsupportedError,
    )  # fmt: skip
    if isinstance(error, ended):
        return Fault("expired", name, text)
    if isinstance(error, (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError)):
        return Fault("timeout", name, text)
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return Fault("transient", name, text)
    if isinstance(error, BotoCoreError):
        return Fault("failed", name, text)
    # ResponseParserError, UnicodeDecodeError, KeyError: botocore lets them escape on bodies that are not AWS's.
    return Fault("foreign", "ForeignAnswer", f"the answer cannot be read ({name}: {text}): not AWS's own")


def _words(message: object) -> str:
    """Return AWS's words on one line, without the kilobytes of an encoded authorization failure."""
    text = " ".join(str(message).split()).partition(" Encoded authorization failure message:")[0]
    return text if len(text) <= 500 else text[:499] + "…"


ZERO = Decimal(0)
