"""What a fixture declares: the AWS call behind an inventory, the series behind a metric."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from .errors import DeclarationError
from .operations import operation as operation_facts
from .resources import Resource, Target

if TYPE_CHECKING:
    from .prices.catalogue import PriceKey

Level = Literal["region", "account", "payer"]
Row = Any

#: What ``where=`` calls the rule of the check that needs the detail.
RULE = "rule"

#: Attribute of the fixture function that carries its declaration.
MARK = "__finops_declaration__"


class Page(Sequence[Mapping[str, Any]]):
    """One page of raw answers, already cut out of the AWS response, with the target they came from.

    ``params`` are the parameters of the call: what a per-resource answer belongs to.
    """

    __slots__ = ("_answers", "params", "target")

    def __init__(
        self, answers: Sequence[Mapping[str, Any]], target: Target, params: Mapping[str, Any]
    ) -> None:
        self._answers = answers
        self.target = target
        self.params = params

    def __getitem__(self, index: Any) -> Any:
        return self._answers[index]

    def __len__(self) -> int:
        return len(self._answers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inventory:
    """One declared AWS read, whose answers become the rows of a fixture of the same name."""

    name: str
    service: str
    operation: str
    key: str
    id: str | None = None
    level: Level = "region"
    params: Mapping[str, Any] | Callable[[Target], Mapping[str, Any]] = field(default_factory=dict)
    per: str | None = None
    param: str | Mapping[str, str] | None = None
    batch: int = 1
    within: Mapping[str, str] | None = None
    where: Callable[..., bool] | None = None
    sees: tuple[str, ...] = ()
    witness: str | None = None
    tokens: tuple[str, str] | None = None
    absent: frozenset[str] = frozenset()
    optional: bool = False
    max_resources: int | None = None
    max_pages: int | None = None
    prices: Callable[[Any], Iterable[PriceKey]] | None = None
    by_prices: Callable[[Any, Sequence[PriceKey]], Iterable[Mapping[str, Any]]] | None = None
    beside: tuple[str, ...] = ()
    parse: Callable[[Page], Iterable[Row] | None]
    description: str = ""

    def params_at(self, target: Target) -> dict[str, Any]:
        """Return the request parameters for ``target``."""
        return dict(self.params(target) if callable(self.params) else self.params)

    @property
    def call(self) -> str:
        """The call as boto3 names it: ``ec2.describe_volumes``."""
        return f"{self.service}.{self.operation}"

    def facts(self, function: Callable[..., Any]) -> str:
        """Return for people what is asked and what comes of it."""
        made = inspect.signature(function).return_annotation
        row = re.sub(r"^list\[(\w+)\]$", r"\1", made) if isinstance(made, str) else ""
        kind = getattr(function.__globals__.get(row), "type_name", "")
        rows = (
            f"{row} ({kind}) rows from" if kind else f"{row} rows from" if row.isidentifier() else "Rows from"
        )
        asked = f"one call per {self.level}" if self.per is None else f"asked for {self.per}"
        return f"{rows} {self.call}, {asked}."

    def row_type(self) -> type | None:
        """Return the class of the rows, as the body's annotation names it; None where it does not say."""
        made = inspect.signature(self.parse).return_annotation
        if isinstance(made, str):
            found = getattr(self.parse, "__globals__", {}).get(re.sub(r"^list\[(\w+)\]$", r"\1", made))
        else:
            found = next(iter(get_args(made)), None)
        return found if isinstance(found, type) and issubclass(found, Resource) else None

    def rows(self, page: Page) -> list[Row]:
        """Return the rows of one page: what the fixture's body made of it, or plain default rows."""
        made = self.parse(page)
        if made is None:
            return [
                Resource(id=str(answer.get(self.id or "", "")), target=page.target)
                for answer in page
            ]  # fmt: skip
        return list(made)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """Declared CloudWatch series of every (candidate) resource of an inventory."""

    name: str
    namespace: str
    metric_name: str
    of: str
    dimensions: Mapping[str, str]
    statistics: tuple[str, ...]
    period: int = 3600
    absent: Literal["zero", "unknown"] = "unknown"
    where: Callable[[Any], bool] | None = None
    optional: bool = False
    description: str = ""

    def facts(self, function: Callable[..., Any]) -> str:
        """Return for people what is asked and of what."""
        statistics = " and ".join(self.statistics)
        return f"{statistics} of {self.namespace} {self.metric_name} for {self.of}, from cloudwatch.get_metric_data (billable)."

    def dimensions_of(self, resource: object) -> tuple[tuple[str, str], ...]:
        """Return the CloudWatch dimensions of ``resource`` as sorted pairs."""
        return tuple(
            sorted((name, str(getattr(resource, attribute))) for name, attribute in self.dimensions.items())
        )


Declaration = Inventory | Metric


def _documented(function: Callable[..., Any], declaration: Declaration) -> str:
    """Return the body's docstring with the call in its first paragraph, which is what ``pytest --fixtures`` shows."""
    first, gap, rest = declaration.description.partition("\n\n")
    return f"{first}\n{declaration.facts(function)}{gap}{rest}"


def _fixture(declaration: Declaration, function: Callable[..., Any], parents: Sequence[str]) -> Any:
    """Return a session-scoped pytest fixture that hands out a view on the store (design, section 4)."""
    import pytest

    def supply(request: pytest.FixtureRequest, **_parents: Any) -> Any:
        from .views import view_of

        return view_of(request.config, declaration)

    functools.update_wrapper(supply, function)
    names = ["request", *parents]
    supply.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    supply.__doc__ = _documented(function, declaration)
    setattr(supply, MARK, declaration)
    return pytest.fixture(scope="session", name=declaration.name)(supply)


def inventory(
    service: str,
    operation: str,
    key: str,
    *,
    id: str | None = None,
    level: Level = "region",
    params: Mapping[str, Any] | Callable[[Target], Mapping[str, Any]] | None = None,
    per: str | None = None,
    param: str | Mapping[str, str] | None = None,
    batch: int = 1,
    within: Mapping[str, str] | None = None,
    where: Callable[..., bool] | None = None,
    witness: str | None = None,
    tokens: tuple[str, str] | None = None,
    absent: Iterable[str] = (),
    optional: bool = False,
    max_resources: int | None = None,
    max_pages: int | None = None,
    prices: Callable[[Any], Iterable[PriceKey]] | None = None,
    by_prices: Callable[[Any, Sequence[PriceKey]], Iterable[Mapping[str, Any]]] | None = None,
    beside: Iterable[str] = (),
) -> Callable[[Callable[[Page], Any]], Any]:
    """Declare an inventory fixture: one AWS read, paged to its end, once per account and region.

    :param service: boto3's service name, ``ec2``.
    :param operation: boto3's method name, ``describe_volumes``.
    :param key: where the members stand in a page: ``Volumes[]``, ``Reservations[].Instances[]``; ``@`` = the whole answer.
    :param id: the member's field that identifies it, ``VolumeId``.
    :param level: ``region``, ``account`` (global services) or ``payer``.
    :param params: fixed request parameters, or a function that makes them of the target (of its clock, say).
    :param per: another inventory; the call is then made for each of its resources.
    :param param: the request member that takes the parent's id (a list when ``batch`` > 1), or a mapping of request
        members to attributes of the parent; equal requests are sent once.
    :param batch: how many parent ids one request takes.
    :param within: request members that are constant inside a batch, mapped to attributes of the parent.
    :param where: which parents are asked for: a function of the parent. Further parameters name what else it sees, as
        those of fixtures do: inventories, metrics, and ``rule``, for the rule of the check that asks. Series come last,
        so what names a metric is asked after the metrics.
    :param witness: a top-level member that every real page has, if it is not the first name of ``key``.
    :param tokens: (request member, response member) of operations that page without a botocore paginator.
    :param absent: AWS error codes that mean "there is none".
    :param optional: enrichment whose absence blinds nobody.
    :param max_resources: bound; beyond it the result is marked partial.
    :param max_pages: bound of a billable call (Cost Explorer, S3), 10 unless given; what it may cost follows from it.
    :param prices: the price keys that one resource can need.
    :param by_prices: with ``per=``: further members of the requests for one parent, by the prices that all resources can
        need; asked after everything else that is free.
    :param beside: inventories beside which the engine itself reads this one, as an enrichment: commitments, say.
    :raises DeclarationError: when the declaration cannot be right.

    The body turns one :class:`Page` into resources, in a collector thread, as the page arrives.
    """

    def decorate(function: Callable[[Page], Any]) -> Any:
        name = function.__name__
        if len(inspect.signature(function).parameters) != 1:
            raise DeclarationError(
                f"inventory {name}: the body takes one argument, the page; name other inventories with per="
            )
        if operation_facts(service, operation).cost_kind == "metric":
            raise DeclarationError(
                f"inventory {name}: {service}.{operation} is billed by the metric, which no limit sees here; "
                "use @finops.metric"
            )
        if (per is None) != (param is None):
            raise DeclarationError(f"inventory {name}: per= and param= belong together")
        if not re.fullmatch(r"@|\w+(\[\])?(\.\w+(\[\])?)*", key):
            raise DeclarationError(f"inventory {name}: key {key!r} is not a path like 'Volumes[]'")
        if per and callable(params):
            raise DeclarationError(f"inventory {name}: params= of a per= inventory are fixed ones")
        if by_prices and (per is None or batch > 1 or operation_facts(service, operation).billable):
            raise DeclarationError(f"inventory {name}: by_prices= needs per= without batch=, and a free call")
        if where is not None and not per:
            raise DeclarationError(f"inventory {name}: where= chooses among the resources of per=")
        if batch > 1 and not isinstance(param, str):
            raise DeclarationError(f"inventory {name}: batch= needs param= to be one request member")
        declaration = Inventory(
            name=name, service=service, operation=operation, key=key, id=id, level=level, params=params if callable(params) else dict(params or {}),
            per=per, param=param, batch=batch, within=within, where=where, sees=_seen_by(where), witness=witness, tokens=tokens,
            absent=frozenset(absent), optional=optional or bool(beside), beside=tuple(beside), max_resources=max_resources, max_pages=max_pages, prices=prices, by_prices=by_prices, parse=function,
            description=(inspect.getdoc(function) or "").strip(),
        )  # fmt: skip
        return _fixture(declaration, function, [per] if per else [])

    return decorate


def metric(
    namespace: str,
    name: str,
    *,
    of: str,
    dimensions: Mapping[str, str],
    statistics: Iterable[str] | str = ("Average",),
    period: int = 3600,
    absent: Literal["zero", "unknown"] = "unknown",
    where: Callable[[Any], bool] | None = None,
    optional: bool = False,
) -> Callable[[Callable[[], Any]], Any]:
    """Declare a metric fixture: CloudWatch series of every resource of the inventory ``of``.

    :param namespace: ``AWS/EC2``.
    :param name: ``CPUUtilization``.
    :param dimensions: CloudWatch dimension to attribute of the resource.
    :param statistics: ``Average``, ``Maximum``, ``Minimum``, ``Sum``, ``SampleCount``; each is one billable query.
    :param period: seconds.
    :param absent: ``zero`` where AWS publishes nothing while nothing happens, else ``unknown``.
    :param where: which resources are asked for (running instances only, say).
    :param optional: evidence whose absence blinds nobody.
    :raises DeclarationError: when the declaration cannot be right.
    """
    wanted = (statistics,) if isinstance(statistics, str) else tuple(statistics)

    def decorate(function: Callable[[], Any]) -> Any:
        unknown = set(wanted) - {"Average", "Maximum", "Minimum", "Sum", "SampleCount"}
        if unknown or not wanted:
            raise DeclarationError(f"metric {function.__name__}: unknown statistics {sorted(unknown)}")
        if _seen_by(where):
            raise DeclarationError(
                f"metric {function.__name__}: where= of a metric sees its resource alone: what is paid is told beforehand"
            )
        declaration = Metric(
            name=function.__name__, namespace=namespace, metric_name=name, of=of, dimensions=dict(dimensions),
            statistics=wanted, period=period, absent=absent, where=where, optional=optional,
            description=(inspect.getdoc(function) or "").strip(),
        )  # fmt: skip
        return _fixture(declaration, function, [of])

    return decorate


def _seen_by(where: Callable[..., bool] | None) -> tuple[str, ...]:
    """Return what ``where=`` names behind the resource; parameters with a default are its own."""
    if where is None:
        return ()
    try:
        given = list(inspect.signature(where).parameters.values())[1:]
    except ValueError:  # a function of the interpreter that tells nothing of itself
        return ()
    return tuple(
        one.name
        for one in given
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) and one.default is one.empty
    )


def declaration_of(function: object) -> Declaration | None:
    """Return the declaration that a fixture function carries, or None for ordinary fixtures."""
    found = getattr(function, MARK, None)
    return found if isinstance(found, (Inventory, Metric)) else None
