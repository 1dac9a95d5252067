"""``finops-playbook prices``: what a price is, whether the bill agrees, what is cached."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CollectError
from ..settings import Settings

if TYPE_CHECKING:
    from ..prices import Price, PriceBook, PriceKey
    from ..prices.bill import Usage, Verified

#: What one Cost Explorer request costs (USD).
CE_PRICE = Decimal("0.01")

_PROFILE = click.option(
    "--profile", metavar="P", help="AWS profile that asks; env, the default, means the environment"
)
_CONFIG = click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file to use")
_MODE = click.option(
    "--prices", "mode", type=click.Choice(("live", "cache", "offline")), help="Where prices may come from"
)
_FORMAT = click.option(
    "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print"
)


@click.group("prices")
def prices() -> None:
    """Show list prices, check them against your bill, look into the cache."""


def _settings(file: Path | None) -> Settings:
    import os

    from ..config import resolve

    return resolve({"config": str(file)} if file else {}, os.environ, Path.cwd())


class _Calls:
    """Guarded calls of this command, counted."""

    def __init__(self, profile: str | None, *allowed: tuple[str, str]) -> None:
        from ..collector.aws import Aws, Login
        from ..collector.guard import Guard
        from ..collector.ledger import Ledger
        from ..collector.limiter import Limiter

        stop = threading.Event()
        guard = Guard()
        guard.allow(allowed)
        self.ledger = Ledger()
        self.aws = Aws(
            run_id="prices", guard=guard, ledger=self.ledger, limiter=Limiter(0.5, stop), stop=stop, threads=4
        )
        self.login = Login(profile=None if profile == "env" else profile)

    def pricing(self, region: str) -> Any:
        """Return what the price book asks in ``region``."""
        from ..collector.aws import PriceListCalls

        return PriceListCalls(self.aws, self.login, region)

    def bill(self, request: dict[str, Any]) -> Mapping[str, Any]:
        """Send one GetCostAndUsage request."""
        from ..collector.faults import CallFault

        try:
            return self.aws.call(self.login, "payer", "us-east-1", "ce", "get_cost_and_usage", request)
        except CallFault as error:
            raise CollectError(f"ce.get_cost_and_usage: {error.fault}", code=error.fault.code) from error


def _book(settings: Settings, mode: str | None, client: Callable[[str], Any]) -> PriceBook:
    from ..prices import PriceBook

    chosen: Any = mode or settings.prices or ("offline" if settings.offline else "live")
    return PriceBook(
        chosen,
        client_factory=client if chosen == "live" else None,
        overrides=settings.price_settings.get("overrides"),
        discounts=settings.price_settings.get("discounts"),
        today=datetime.now(UTC).date(),
    )


# --- show ---------------------------------------------------------------------------------------------------------


def parse(text: str) -> PriceKey:
    """Return the key that ``DIMENSION@REGION[,NAME=VALUE...]`` means."""
    from ..errors import DeclarationError
    from ..prices import catalogue

    head, *pairs = text.split(",")
    dimension, _, region = head.partition("@")
    try:
        row = catalogue.dimension(dimension)
        if region not in catalogue.REGION_PREFIXES:
            raise DeclarationError(f"{region!r} is not a region; write {dimension}@eu-west-1")
        given = {}
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not equals:
                raise DeclarationError(
                    f"{pair!r} is not NAME=VALUE; {dimension} takes {', '.join(row.attributes)}"
                )
            given[name] = value
        found = catalogue.key(dimension, region, given)
        asked = catalogue.query(found)
        if isinstance(asked, str):
            raise DeclarationError(asked)
    except DeclarationError as error:
        raise click.UsageError(f"{text}: {error}") from None
    return found


@prices.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@_MODE
@_PROFILE
@_CONFIG
@_FORMAT
def show(
    keys: tuple[str, ...], mode: str | None, profile: str | None, file: Path | None, format_: str
) -> None:
    """Print the price of each KEY as an audit would take it: DIMENSION@REGION[,NAME=VALUE...].

    For example: ec2.instance@eu-west-1,instance_type=m5.large
    """
    from ..prices import catalogue

    wanted = [parse(text) for text in keys]
    book = _book(_settings(file), mode, _Calls(profile).pricing)
    book.prefetch(wanted)
    found = [(key, book.resolve(key.dimension, key.region, dict(key.attributes))) for key in wanted]
    if format_ == "json":
        click.echo(json.dumps([_described(key, price) for key, price in found], indent=2))
    else:
        for key, price in found:
            asked = catalogue.query(key)
            click.echo(str(key))
            shown = "unknown" if price.prices is None else f"{price.prices} USD per {price.unit}"
            click.echo(f"  {shown}")
            origin = [price.source, price.sku, f"as of {price.as_of}" if price.as_of else "", price.reason]
            click.echo(f"  {', '.join(part for part in origin if part)}")
            if isinstance(asked, catalogue.Query):
                filters = ", ".join(f"{name}={value}" for name, value in asked.filters)
                click.echo(f"  asked as {asked.service}: {filters}; usage type {asked.usage_type}")
    for text in book.warnings():
        click.echo(text, err=True)
    if any(price.prices is None for _, price in found):
        sys.exit(1)


def _described(key: PriceKey, price: Price) -> dict[str, Any]:
    return {
        "dimension": key.dimension,
        "region": key.region,
        "attributes": dict(key.attributes),
        "unit": price.unit,
        "prices": None
        if price.prices is None
        else [{"from": f"{start:f}", "unit_price": f"{step:f}"} for start, step in price.prices.steps],
        "source": price.source,
        "sku": price.sku,
        "as_of": price.as_of,
        "reason": price.reason,
    }


# --- verify -------------------------------------------------------------------------------------------------------


@prices.command()
@click.option("--cost-data", is_flag=True, help="Allow Cost Explorer: two requests or more, 0.01 USD each")
@click.option("--month", metavar="YYYY-MM", help="Closed month to check (default: the last one)")
@click.option(
    "--bill",
    "saved",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Use the answers in this file instead: what --save-bill wrote",
)
@click.option("--save-bill", type=click.Path(dir_okay=False, path_type=Path), help="Write the answers here")
@_MODE
@_PROFILE
@_CONFIG
@_FORMAT
def verify(
    cost_data: bool,
    month: str | None,
    saved: Path | None,
    save_bill: Path | None,
    mode: str | None,
    profile: str | None,
    file: Path | None,
    format_: str,
) -> None:
    """Compare list prices with a month of your bill: agree, disagree (by more than 0.5 %), no price.

    Only undiscounted on-demand usage is compared. The status is 1 if a price disagrees.
    """
    from ..prices import bill

    settings = _settings(file)
    calls = _Calls(profile, ("ce", "get_cost_and_usage"))
    if saved is not None:
        usages = _load(saved)
    else:
        if not (cost_data or settings.cost_data):
            raise click.UsageError(
                "verify asks Cost Explorer, two requests or more at 0.01 USD each: allow it with --cost-data"
            )
        start, end = _period(month)
        usages = bill.ask(calls.bill, start, end)
        cost = calls.ledger.total_cost
        click.echo(f"Cost Explorer: {cost / CE_PRICE:.0f} requests, {cost} USD", err=True)
    if save_bill is not None:
        save_bill.write_text(json.dumps([_plain(usage) for usage in usages], indent=1), encoding="utf-8")
    book = _book(settings, mode, calls.pricing)
    found = bill.verify(usages, book)
    if format_ == "json":
        click.echo(json.dumps([_result(one) for one in found], indent=2))
    else:
        _table(found)
    for text in book.warnings():
        click.echo(text, err=True)
    if not usages:
        click.echo("the bill holds no usage: nothing was compared", err=True)
    if any(one.verdict == "disagree" for one in found):
        sys.exit(1)


def _period(month: str | None) -> tuple[date, date]:
    from ..prices.bill import last_month

    today = datetime.now(UTC).date()
    if month is None:
        return last_month(today)
    try:
        start = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise click.UsageError(f"--month {month}: write one like 2026-10") from None
    end = date(start.year + start.month // 12, start.month % 12 + 1, 1)
    if end > today:
        raise click.UsageError(f"--month {month} is not closed yet")
    return start, end


def _plain(usage: Usage) -> dict[str, str]:
    return {
        "usage_type": usage.usage_type,
        "operation": usage.operation,
        "service": usage.service,
        "quantity": f"{usage.quantity:f}",
        "cost": f"{usage.cost:f}",
        "net": f"{usage.net:f}",
    }


def _load(path: Path) -> list[Usage]:
    from ..errors import AuditError
    from ..prices.bill import Usage

    try:
        lines = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(lines, list):
            raise TypeError("it holds no list of usage lines")
        return [
            Usage(
                line["usage_type"],
                line["operation"],
                line["service"],
                *(Decimal(line[name]) for name in ("quantity", "cost", "net")),
            )
            for line in lines
        ]
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise AuditError(f"{path}: not a saved bill: {error}") from error


def _result(one: Verified) -> dict[str, Any]:
    return {
        **_plain(one.usage),
        "verdict": one.verdict,
        "price": None if one.key is None else str(one.key),
        "expected": None if one.expected is None else f"{one.expected:f}",
        "source": None if one.price is None else one.price.source,
    }


def _table(found: list[Verified]) -> None:
    from ..reports.text import safe

    click.echo(f"{'usage type':<44}{'quantity':>16}{'billed':>12}{'at list':>12}  verdict")
    for one in found:
        usage = one.usage
        name = safe(f"{usage.usage_type} {usage.operation}".strip())
        listed = "-" if one.expected is None else f"{one.expected:.2f}"
        click.echo(f"{name:<44}{usage.quantity:>16.3f}{usage.cost:>12.2f}{listed:>12}  {one.verdict}")
        if one.verdict == "disagree" and one.price is not None:
            click.echo(
                f"{'':<4}{one.key}: {one.price.prices} per {one.price.unit} ({one.price.source}, {one.price.as_of})"
            )
    counts = Counter(one.verdict for one in found)
    spent = sum((one.usage.cost for one in found), Decimal(0))
    seen = sum((one.usage.cost for one in found if one.verdict in ("agree", "disagree")), Decimal(0))
    share = 100 * seen / spent if spent else Decimal(0)
    listed = ", ".join(f"{counts[name]} {name}" for name in ("agree", "disagree", "no price", "no charge"))
    click.echo(f"{listed}; {share:.1f} % of {spent:.2f} USD compared")


# --- cache --------------------------------------------------------------------------------------------------------


@prices.command("cache")
@click.option("--clear", is_flag=True, help="Forget every cached price")
@_FORMAT
def cache_(clear: bool, format_: str) -> None:
    """List the prices that earlier runs asked for, with their age."""
    from ..prices.sources import FRESH_DAYS, USABLE_DAYS, DiskCache, age_days, directory

    path = directory() / "prices.jsonl"
    if clear:
        path.unlink(missing_ok=True)
        click.echo(f"cleared {path}")
        return
    today = datetime.now(UTC).date()
    quotes = DiskCache(path).quotes(today)
    if format_ == "json":
        listed = [
            {"price": str(key), "prices": str(quote.prices), "sku": quote.sku, "as_of": quote.as_of}
            for key, quote in sorted(quotes.items(), key=lambda item: item[0])
        ]
        click.echo(json.dumps({"path": str(path), "prices": listed}, indent=2))
        return
    for key, quote in sorted(quotes.items(), key=lambda item: item[0]):
        age = age_days(quote.as_of, today)
        stale = "" if age <= FRESH_DAYS else ", asked again when possible"
        click.echo(f"{key}: {quote.prices} ({quote.sku}, {age} days old{stale})")
    click.echo(f"{len(quotes)} prices in {path}; fresh for {FRESH_DAYS} days, usable for {USABLE_DAYS}")
