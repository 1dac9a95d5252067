"""``finops-playbook``: the console script around the pytest plugin."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..errors import AuditError, FinopsError
from ..findings import BILLED, WITHDRAWN
from ..marks import CONSOLE
from ..options import OPTIONS, REPORT_FORMATS, Option, ReportRequest
from ..options import report as parse_report
from ..settings import Settings
from .paths import SHIPPED, names_checks, with_checks
from .prices import prices

if TYPE_CHECKING:
    from rich.table import Table

    from ..audit import Audit
    from ..findings import Finding, PriceLine
    from ..rules import Rule

#: pytest's own status of a usage error: click would say 2, which means "interrupted" here.
USAGE = 4
INTERRUPTED = 2
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_FORMAT = click.Choice(REPORT_FORMATS)


class Playbook(click.Group):
    """A click group with pytest's exit statuses."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run, and turn every refusal into one message and status 4."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        try:
            status: Any = super().main(args, standalone_mode=False, **extra)
        except click.Abort:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except click.ClickException as error:
            error.show()
            sys.exit(USAGE)
        except FinopsError as error:
            from ..reports.text import block

            for line in block(error).splitlines():
                click.echo(f"error: {line}", err=True)
            sys.exit(USAGE)
        except BrokenPipeError:
            # Somebody piped us into head: nothing is wrong, and nothing more can be said.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        sys.exit(status if isinstance(status, int) else 0)


@click.group(cls=Playbook, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="finops-playbook")
def main() -> None:
    """Audit the cost of AWS accounts: every check is a pytest test, every saving names its prices."""


main.add_command(prices)

# --- scan ---------------------------------------------------------------------------------------------------------


class Console:
    """Tells the plugin, by its name, that options are written without their prefix; ``named``: a path was named."""

    __name__ = CONSOLE

    def __init__(self, named: bool) -> None:
        self.named = named


#: What means nothing to the doctor, who judges, spends and keeps nothing.
_AUDITS_ONLY = frozenset({
    "estimate-cost", "dry-run", "max-api-cost", "prune", "save-inventory", "inventory", "resume", "prices", "offline",
    "report", "min-savings", "fail-severity", "baseline", "update-baseline", "max-waste", "max-savings", "max-unpriced",
    "strict", "now",
})  # fmt: skip
_DOCTORS = tuple(option for option in OPTIONS if option.name not in _AUDITS_ONLY)


def _with_options(command: Callable[..., Any], options: Sequence[Option] = OPTIONS) -> Callable[..., Any]:
    """Give ``command`` the options of the plugin, without the prefix."""
    for option in reversed(options):
        name, kind = f"--{option.name}", option.form
        if kind == "flag":
            command = click.option(name, option.key, is_flag=True, help=option.help)(command)
        else:
            command = click.option(
                name, option.key, multiple=kind == "list", metavar=option.metavar, help=option.help
            )(command)
    return command


def _arguments(option: Option, value: Any) -> list[str]:
    """Return the pytest arguments of one option."""
    if option.form == "flag":
        return [option.flag] if value else []
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return [f"{option.flag}={one}" for one in values]


def _reports(
    written: Iterable[str], outputs: Sequence[str], files: Sequence[Path]
) -> tuple[list[ReportRequest], list[str]]:
    """Return the reports that go to files, and the formats that go to standard output."""
    if len(files) > len(outputs):
        raise click.UsageError(f"--file {files[len(outputs)]} belongs to no --output; name its format")
    asked: list[ReportRequest] = []
    for text in written:
        try:
            asked.append(parse_report(text))
        except ValueError as error:
            raise click.UsageError(f"--report: {text!r} {error}") from None
    paths: list[Path | None] = [*files, *[None] * (len(outputs) - len(files))]
    asked += [ReportRequest(name, path) for name, path in zip(outputs, paths, strict=True)]
    return [one for one in asked if one.path], [one.format for one in asked if one.path is None]


@main.command(context_settings={"ignore_unknown_options": False})
@_with_options
@click.option("--output", multiple=True, type=_FORMAT, help="Report format (repeatable)")
@click.option(
    "--file",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the --output in the same place; without it the report goes to standard output",
)
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def scan(
    ctx: click.Context,
    /,
    output: tuple[str, ...],
    file: tuple[Path, ...],
    pytest_args: tuple[str, ...],
    **values: Any,
) -> None:
    """Run the checks; paths and pytest options follow --.

    Without a path the checks/ of the working directory run, or else the shipped ones.
    """
    import pytest

    to_files, to_stdout = _reports(values.pop("report"), output, file)
    args: list[str] = []
    for option in OPTIONS:
        if option.key in values:
            args += _arguments(option, values[option.key])
    args += [f"--finops-report={one.format}:{one.path}" for one in to_files]
    args += with_checks(pytest_args)
    console = Console(names_checks(pytest_args))
    if not to_stdout:
        ctx.exit(int(pytest.main(args, plugins=[console])))
    with tempfile.TemporaryDirectory(prefix="finops-") as folder:
        targets = [Path(folder) / f"{n}.{name}" for n, name in enumerate(to_stdout)]
        args[:0] = [f"--finops-report={name}:{path}" for name, path in zip(to_stdout, targets, strict=True)]
        # Standard output belongs to the report alone, so that it can be piped.
        with contextlib.redirect_stdout(sys.stderr):
            status = int(pytest.main(args, plugins=[console]))
        for target in targets:
            if target.exists():
                click.echo(target.read_bytes(), nl=False)
    ctx.exit(status)


# --- doctor -------------------------------------------------------------------------------------------------------


@main.command()
@partial(_with_options, options=_DOCTORS)
@click.option(
    "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print"
)
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def doctor(ctx: click.Context, /, format_: str, pytest_args: tuple[str, ...], **values: Any) -> None:
    """Find out which of the selected checks the credentials can run, per account, by free calls alone.

    Status 0: nothing is refused; 7: some cannot run. What needs a billable call is "not known". Paths and pytest options follow --.
    """
    from .doctor import main as examine

    args = [arg for option in _DOCTORS for arg in _arguments(option, values[option.key])]
    ctx.exit(examine([*args, *pytest_args], format_))


# --- report -------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("audit", type=_EXISTING)
@click.option(
    "--format", "format_", type=_FORMAT, default="markdown", show_default=True, help="Report format"
)
@click.option(
    "--file", type=click.Path(dir_okay=False, path_type=Path), help="File (default: standard output)"
)
def report(audit: Path, format_: str, file: Path | None) -> None:
    """Write a report of a saved audit; nothing is asked or judged again."""
    from .. import reports

    reports.write(_load(audit), format_, file)
    if file is not None:
        click.echo(f"wrote {file}", err=True)


@main.command()
@click.argument("audits", type=_EXISTING, nargs=-1, required=True, metavar="AUDIT.json...")
@click.option(
    "--output",
    multiple=True,
    type=_FORMAT,
    help="Report format (repeatable; default: json, unless standard output is a terminal)",
    metavar="FORMAT",
)
@click.option(
    "--file",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the --output in the same place; without it the report goes to standard output",
)
@click.pass_context
def merge(
    ctx: click.Context, audits: tuple[Path, ...], output: tuple[str, ...], file: tuple[Path, ...]
) -> None:
    """Join the audits of different accounts (of shards) to one, and judge it by their gate.

    Overlaps, priorities, totals, gate and completeness are computed anew; the exit status is that of one run over
    everything. The same account twice is refused; a missing shard makes the result incomplete.
    """
    from .. import reports
    from ..gate import closing_line
    from ..merge import Part
    from ..merge import merge as merged

    # Thousands of lines of JSON tell nobody anything on a terminal.
    unsaid = not output and not file and sys.stdout.isatty()
    to_files, to_stdout = _reports((), () if unsaid else output or ("json",), file)
    whole = merged([Part(str(path), _load(path)) for path in audits])
    for asked in (*to_files, *(ReportRequest(name) for name in to_stdout)):
        reports.write(whole, asked.format, asked.path)
    if unsaid:
        click.echo("no report is written: add --output json --file FILE, or --output markdown", err=True)
    for warning in whole.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(closing_line(whole.gate, whole.complete), err=True)
    ctx.exit(whole.exit_status)


def _load(path: Path) -> Audit:
    from ..reports import as_json

    return as_json.load(path)


# --- checks -------------------------------------------------------------------------------------------------------


def shipped_rules() -> list[Rule]:
    """Return the rules of the installed check package, by id."""
    package = import_module("pytest_finops.checks")
    return rules_below(Path(folder) for folder in package.__path__)


def rules_below(folders: Iterable[Path]) -> list[Rule]:
    """Return the rules of every rule file in ``folders`` and below, by id."""
    from ..rule_files import load, looks_like_rules

    found: list[Rule] = []
    for folder in folders:
        for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
            if looks_like_rules(path):
                found += load(path)
    return sorted(found, key=lambda rule: rule.id)


@main.command()
@click.option(
    "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print"
)
def checks(format_: str) -> None:
    """List the shipped checks."""
    rules = shipped_rules()
    if format_ == "json":
        click.echo(json.dumps([_described(rule) for rule in rules], indent=2, ensure_ascii=False))
        return
    table = _table("id", "category", "severity", "effort", "saves")
    for rule in rules:
        table.add_row(rule.id, rule.category, rule.severity, rule.effort, _saves(rule))
    _print(table)
    click.echo(f"{len(rules)} checks")


def _saves(rule: Rule) -> str:
    """What a check saves by, for people: ``delete (waste)``."""
    return f"{rule.action.replace('_', ' ')} ({rule.kind})"


def _described(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "description": rule.description,
        "category": rule.category,
        "service": rule.service,
        "severity": rule.severity,
        "effort": rule.effort,
        "risk": rule.risk,
        "kind": rule.kind,
        "action": rule.action,
        "saves": _saves(rule),
        "check_type": rule.check_type,
        "period_days": rule.period_days,
        "restart": rule.restart,
        "compliance_skip": list(rule.compliance_skip),
        "docs_url": rule.docs_url,
    }


# --- config -------------------------------------------------------------------------------------------------------


@main.group()
def config() -> None:
    """Show or check the settings of this directory."""


_CONFIG = click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file to use")


def _settings(file: Path | None) -> Settings:
    from ..config import resolve

    return resolve({"config": str(file)} if file else {}, os.environ, Path.cwd())


@config.command("show")
@_CONFIG
def config_show(file: Path | None) -> None:
    """Print each setting with its value and where it comes from."""
    settings = _settings(file)
    table = _table("setting", "value", "from")
    for option in OPTIONS:
        table.add_row(option.key, _value(getattr(settings, option.field)), settings.origins[option.field])
    from ..config import SECTIONS

    for key, name in SECTIONS.items():
        section = getattr(settings, name)
        if section:
            shown = f"{len(section)} entries" if len(section) != 1 else "1 entry"
            table.add_row(f"{key} (section)", shown, settings.origins[name])
    _print(table)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(_value(one) for one in value)
    if isinstance(value, ReportRequest):
        return value.format if value.path is None else f"{value.format}:{value.path}"
    return str(value)


@config.command("check")
@_CONFIG
def config_check(file: Path | None) -> None:
    """Check finops.yaml, and the rules that it changes."""
    from ..config import resolve
    from ..documents import LINE, Problems
    from ..rule_files import override
    from ..rulebook import unknown_names
    from ..run import check_policies, expired_exemptions
    from ..targets import check_region_names

    problems = Problems()
    settings = resolve({"config": str(file)} if file else {}, os.environ, Path.cwd(), problems=problems)
    local = Path("checks")
    known = {rule.id: rule for rule in shipped_rules()}
    if local.is_dir():
        known.update({rule.id: rule for rule in rules_below([local])})
    name = settings.origins.get("rules", "finops.yaml").rpartition(":")[0] or "finops.yaml"
    for rule_id, values in settings.rules.items():
        if rule_id in known:
            with problems.collecting():
                override(known[rule_id], values, f"{name}:{values[LINE]}")
    with problems.collecting():
        unknown_names(settings, known.values())
    check_policies(settings, problems)
    check_region_names(settings, problems)
    problems.raise_any()
    for entry in expired_exemptions(settings):
        click.echo(f"warning: {entry.source}: the exemption of {entry} ended on {entry.expires}", err=True)
    if settings.config_path is None:
        click.echo("there is no finops.yaml here or above; the defaults hold")
    else:
        click.echo(f"{settings.config_path}: no mistakes")


# --- init ---------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init(directory: Path) -> None:
    """Write finops.yaml, an example in checks/, a CI job and .gitignore; keep what is there."""
    from .scaffold import FILES

    for name, text in FILES:
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # "x" refuses to overwrite, also what appears in between.
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            click.echo(f"kept     {path} (it exists)")
            if name == ".gitignore":
                _missing_lines(path, text)
        except OSError as error:
            raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
        else:
            click.echo(f"written  {path}")
    both = " ".join((*SHIPPED, "checks/"))
    click.echo("next, the shipped checks and yours (without these paths checks/ runs alone):")
    click.echo(f"  finops-playbook scan --demo -- {both}")
    click.echo(f"  pytest --finops-profile=PROFILE {both}")


def _missing_lines(path: Path, text: str) -> None:
    present = set(path.read_text(encoding="utf-8", errors="replace").split()) if path.is_file() else set()
    missing = [line for line in text.split() if line not in present]
    if missing:
        click.echo(f"         consider adding: {' '.join(missing)}")


# --- explain ------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("finding")
@click.option("--audit", "file", type=_EXISTING, required=True, help="Audit file (json report)")
@click.option(
    "--inventory",
    type=click.Path(path_type=Path),
    help="Saved inventory of that run: shows what AWS answered about the resource",
)
def explain(finding: str, file: Path, inventory: Path | None) -> None:
    """Show how a finding came to be: price lines, evidence, the row of its check, and AWS's own answers.

    FINDING is an id, the beginning of one, or a resource id: then every finding on it is shown.
    """
    audit = _load(file)
    for number, found in enumerate(_named(audit, finding)):
        click.echo("\n" * bool(number), nl=False)
        _explained(audit, found, inventory)


def _explained(audit: Audit, found: Finding, inventory: Path | None) -> None:
    from ..reports.text import safe

    click.echo(f"{safe(found.id)}  {safe(found.name)}")
    for label, value in (
        ("rule", f"{found.rule_id} ({found.category}, {found.severity}, {found.kind})"),
        ("resource", found.resource_arn or found.resource_id),
        ("target", f"{found.account_id} {found.region}"),
        ("owner", found.owner or "unknown"),
        ("measured", f"{found.current_value or '-'} (rule: {found.threshold or '-'})"),
        (
            "judged",
            f"confidence {found.confidence}, risk {found.risk}, effort {found.effort}, {found.status}",
        ),
        ("priority", f"{found.priority} ({found.phase})"),
    ):
        click.echo(f"  {label:<10}{safe(value)}")
    click.echo()
    _arithmetic(found)
    if found.components:
        click.echo("\nclaims")
        for part in found.components:
            _tell(f"  {part.key}: costs {_usd(part.monthly_cost)}, saves {_usd(part.saved)}")
    seen = {key: value for key, value in found.evidence.items() if key != BILLED}
    if seen:
        click.echo("\nevidence")
        for key, value in seen.items():
            _tell(f"  {safe(key)}: {safe(value)}")
    click.echo("\nwhat to do")
    for text in (found.recommendation, f"effort: {found.remediation_effort}", f"back: {found.rollback}"):
        _tell(f"  {safe(text)}")
    for row in audit.checks:
        if (row.rule_id, row.account_id, row.region) == (found.rule_id, found.account_id, found.region):
            reason = f" ({safe(row.reason)})" if row.reason else ""
            click.echo(
                f"\nits check here: {row.outcome}{reason}, {row.evaluated} evaluated, {row.findings} findings, "
                f"{len(row.not_evaluated)} not evaluated"
            )
    if inventory is None:
        click.echo("the answers behind it: name what --finops-save-inventory wrote with --inventory DIR")
        return
    from .answers import answers

    click.echo("\nthe answers behind it")
    said = False
    for line in answers(inventory, found):
        said = True
        _tell(f"  {line}")
    if not said:
        click.echo("  none names this resource: the inventory is of another run, or of another selection")


def _tell(text: str) -> None:
    """Print what stands in an audit or an answer: whoever names a resource does not get to act on a terminal."""
    from ..reports.text import block

    click.echo(block(text))


def _named(audit: Audit, name: str) -> list[Finding]:
    """Return the findings that ``name`` means: one by its id, or all on one resource."""
    exact = [one for one in audit.findings if name in (one.id, one.resource_id, one.resource_arn)]
    found = exact or [one for one in audit.findings if one.id.startswith(name)]
    if not found:
        raise AuditError(f"no finding {name!r} among {len(audit.findings)}; give an id of the audit file")
    if len({(one.account_id, one.region, one.resource_id) for one in found}) > 1:
        listed = ", ".join(f"{one.id} ({one.rule_id})" for one in found[:10])
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise AuditError(f"{name!r} means {len(found)} findings: {listed}{more}; give one id")
    return found


def _arithmetic(found: Finding) -> None:
    """Print both sides of the calculation, line by line, and how the savings follow."""
    from ..findings import cents
    from ..reports.text import safe
    from ..totals import counted_net

    for side, lines, total in (
        ("today", found.current_lines, found.current_monthly_cost),
        ("target", found.target_lines, found.target_monthly_cost),
    ):
        click.echo(f"{side} {_usd(total)}{' a month' if total is not None else ''}")
        for line in lines:
            _tell(f"  {_line(line)}")
    current, target = found.current_monthly_cost, found.target_monthly_cost
    saved = found.estimated_monthly_savings
    if saved is None:
        reason = found.metadata.get(WITHDRAWN, "a price above is not known")
        click.echo(f"savings: not priced, because {safe(str(reason))}")
        return
    shown = f"{_usd(current)} - {_usd(Decimal(0) if target is None else target)} = "
    click.echo(f"savings: {shown if current is not None else ''}{_usd(saved)} a month")
    billed = found.evidence.get(BILLED)
    for key, text in billed.items() if isinstance(billed, Mapping) else ():
        click.echo(f"billed:  {safe(key)}: {safe(text)}")
    click.echo(
        f"counted: {_usd(found.counted_monthly_savings)} a month, after {'what was billed and ' if billed else ''}overlaps"
    )
    if found.net_monthly_savings is not None:
        share = counted_net(found)
        counted = "" if share == cents(found.net_monthly_savings) else f"; counted {_usd(share)}"
        click.echo(f"net:     {_usd(found.net_monthly_savings)} a month, after commitments{counted}")
    if basis := found.metadata.get("net_basis"):
        click.echo(f"         {safe(basis)}")
    for line in found.metadata.get("net_lines", ()):
        hours = f"{Decimal(line['hours']):+.4f}".rstrip("0").rstrip(".")
        _tell(f"         each hour on demand: {hours} h of {safe(line['price'])} x {line['unit_price']} USD")


def _line(line: PriceLine) -> str:
    from ..reports.text import safe

    price = "no price known" if line.unit_price is None else f"{line.unit_price:f} USD = {line.amount:f} USD"
    where = ", ".join(
        part
        for part in (line.source, line.sku, f"as of {line.as_of}" if line.as_of else "", line.note)
        if part
    )
    named = f"{line.dimension} ({line.which})" if line.which else line.dimension
    return safe(f"{named} in {line.region}: {line.quantity:f} {line.unit} x {price} ({where})")


def _usd(value: Decimal | None) -> str:
    from ..findings import cents

    return "not priced" if value is None else f"{cents(value):,.2f} USD"


# --- iam-policy ---------------------------------------------------------------------------------------------------


@main.command("iam-policy")
@click.option(
    "--part",
    type=click.Choice(("account", "member", "hub")),
    default="account",
    show_default=True,
    help="What audits itself; what a hub enters; what enters the members of its organization",
)
@click.option(
    "--member-role",
    metavar="NAME",
    default="FinOpsAudit",
    show_default=True,
    help="Role that the hub assumes in members (--part hub)",
)
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def iam_policy(ctx: click.Context, part: str, member_role: str, pytest_args: tuple[str, ...]) -> None:
    """Print the least IAM policy of the selected checks; paths and pytest options follow --."""
    from . import policy

    ctx.exit(policy.main(pytest_args, part, member_role))


# --- tables -------------------------------------------------------------------------------------------------------


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    # A pipe has no width: cutting ids there would break whoever reads them.
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)


if __name__ == "__main__":
    main()
