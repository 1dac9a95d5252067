"""Every ``--finops-*`` option in one table."""

# This module is imported in every pytest run of the machine: nothing heavy may be imported here.
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pytest

    from .settings import Settings as Settings

PREFIX = "finops"
RULE_PATHS = "finops_rule_paths"

Form = Literal["flag", "value", "list"]

#: Equal to ``rules.CATEGORIES``, which would have to be imported for it.
CATEGORIES = ("compute", "storage", "database", "network", "commitments", "observability", "governance")
SEVERITIES = ("low", "medium", "high", "critical")
REPORT_FORMATS = ("json", "csv", "markdown", "html")


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """A report asked for; without a path it goes to standard output."""

    format: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """Share ``number`` (from 1) of ``of`` shares of the accounts."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


#: (variable of the number, variable of how many, the first number) of engines that split work.
ARRAYS = (
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", 0),
    ("CI_NODE_INDEX", "CI_NODE_TOTAL", 1),
    ("CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0),
    ("BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0),
)


def text(raw: str) -> str:
    """Return ``raw`` unless it is blank."""
    if not raw.strip():
        raise ValueError("is empty; name a value")
    return raw.strip()


def amount(raw: str) -> Decimal:
    """Return an amount of USD, zero or more."""
    try:
        value = Decimal(raw.strip())
    except InvalidOperation:
        raise ValueError("is not an amount in USD; write one like 1.00") from None
    if not value.is_finite() or value < 0:
        raise ValueError("is not an amount in USD; write one like 1.00, zero or more")
    return value


def factor(raw: str) -> Decimal:
    """Return a share above 0 and up to 1."""
    try:
        value = Decimal(raw.strip())
    except InvalidOperation:
        raise ValueError("is not a number; write a share like 0.5") from None
    if not value.is_finite() or not 0 < value <= 1:
        raise ValueError("is out of range; write a share above 0 and up to 1")
    return value


def count(raw: str) -> int:
    """Return a whole number, zero or more."""
    if not raw.strip().isdecimal():
        raise ValueError("is not a whole number; write one like 3, zero or more")
    return int(raw)


def positive(raw: str) -> int:
    """Return a whole number, one or more."""
    if not raw.strip().isdecimal() or int(raw) < 1:
        raise ValueError("is not a whole number above zero; write one like 16")
    return int(raw)


def path(raw: str) -> Path:
    """Return a path with ``~`` resolved."""
    return Path(text(raw)).expanduser()


def moment(raw: str) -> datetime:
    """Return an ISO 8601 time in UTC; a time without an offset is taken as UTC."""
    try:
        value = datetime.fromisoformat(raw.strip())
    except ValueError:
        raise ValueError("is not an ISO 8601 time; write one like 2026-11-01T06:00:00Z") from None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def shard(raw: str) -> Shard:
    """Return the share that ``K/N`` names, or that the engine of this job names (``auto``)."""
    if raw.strip() == "auto":
        for index, size, first in ARRAYS:
            if index in os.environ and size in os.environ:
                raw = f"{int(os.environ[index]) - first + 1}/{os.environ[size]}"
                break
        else:
            names = ", ".join(index for index, _, _ in ARRAYS)
            raise ValueError(f"finds none of {names} in the environment; write one like 3/7")
    number, _, of = raw.partition("/")
    if not (number.strip().isdecimal() and of.strip().isdecimal() and 1 <= int(number) <= int(of)):
        raise ValueError("is not a share; write K/N like 3/7, K from 1 to N, or auto")
    return Shard(int(number), int(of))


def role(raw: str) -> str:
    """Return the ARN of an IAM role."""
    name = text(raw)
    if not (name.startswith("arn:aws") and ":role/" in name):
        raise ValueError("is not the ARN of a role; write one like arn:aws:iam::123456789012:role/Audit")
    return name


def role_name(raw: str) -> str:
    """Return the name of an IAM role, with its path."""
    name = text(raw).removeprefix("/")
    allowed = set("_+=,.@-/")
    if ":" in name or not all((c.isascii() and c.isalnum()) or c in allowed for c in name):
        raise ValueError("is not the name of a role; write one like FinOpsAudit, not an ARN")
    return name


def region(raw: str) -> str:
    """Return the name of a region, or ``enabled``."""
    name = text(raw)
    head, _, number = name.rpartition("-")
    if name != "enabled" and not (number.isdecimal() and "-" in head and head.replace("-", "").isalpha()):
        raise ValueError("is not a region; write one like eu-west-1, or enabled")
    return name


def report(raw: str) -> ReportRequest:
    """Return the report that ``FORMAT[:PATH]`` asks for."""
    name, colon, target = raw.partition(":")
    if name not in REPORT_FORMATS:
        raise ValueError(f"names no report format; choose one of {', '.join(REPORT_FORMATS)}")
    if colon and not target.strip():
        raise ValueError(f"names no file after the colon; write {name}:FILE, or {name} for standard output")
    return ReportRequest(name, path(target) if colon else None)


def flag(raw: str) -> bool:
    """Return what 1 or 0 in an environment variable means."""
    if raw.strip() not in ("0", "1"):
        raise ValueError("is neither 1 nor 0; write one of them")
    return raw.strip() == "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: ``name`` without prefix, how it is written, and how one value is parsed.

    A ``list`` may be repeated, and is cut at commas unless ``commas`` is False. ``dest`` is the field of
    :class:`Settings` (the name with underscores unless given); ``choices`` are the only values, if any.
    ``in_file`` False keeps an option out of configuration files.
    """

    name: str
    help: str
    form: Form = "value"
    parse: Callable[[str], Any] = text
    default: Any = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    commas: bool = True
    dest: str = ""
    in_file: bool = True

    @property
    def flag(self) -> str:
        """The option as it stands on pytest's command line: ``--finops-min-savings``."""
        return f"--{PREFIX}-{self.name}"

    @property
    def key(self) -> str:
        """The key in ``finops.yaml``: ``min_savings``."""
        return self.name.replace("-", "_")

    @property
    def field(self) -> str:
        """The field of :class:`Settings`."""
        return self.dest or self.key

    @property
    def pytest_dest(self) -> str:
        """The attribute of pytest's option namespace."""
        return f"{PREFIX}_{self.key}"

    @property
    def variable(self) -> str:
        """The environment twin: ``FINOPS_MIN_SAVINGS``."""
        return f"{PREFIX}_{self.key}".upper()


OPTIONS: tuple[Option, ...] = (
    Option(
        name="profile",
        form="list",
        default=(),
        metavar="P[,P2]",
        help="AWS profiles to audit, one account each; env means the credentials of the environment",
    ),
    Option(
        name="role",
        form="list",
        parse=role,
        default=(),
        metavar="ARN",
        help="Role to assume from the first profile, one account each (repeatable)",
    ),
    Option(
        name="org",
        parse=role_name,
        metavar="ROLE_NAME",
        help="Every active account of the organization of the first profile, through the role of this name",
    ),
    Option(name="external-id", metavar="X", help="External id to send when roles are assumed"),
    Option(
        name="accounts",
        form="list",
        default=(),
        metavar="A,B",
        help="Keep only these accounts, by id, name, unit:NAME or tag:KEY=VALUE; !WORD leaves out (default: all found)",
    ),
    Option(
        name="regions",
        form="list",
        parse=region,
        default=(),
        metavar="R,R2|enabled",
        help="Keep only these regions (default: every enabled region)",
    ),
    Option(name="demo", form="flag", default=False, help="Audit the embedded sample estate, without AWS"),
    Option(
        name="config",
        parse=path,
        metavar="FILE",
        dest="config_file",
        in_file=False,
        help="Configuration file to use instead of the finops.yaml found upwards",
    ),
    Option(
        name="category",
        form="list",
        default=(),
        choices=CATEGORIES,
        metavar="C,C2",
        help="Run only checks of these categories: " + ", ".join(CATEGORIES),
    ),
    Option(
        name="compliance",
        form="list",
        default=(),
        metavar="hipaa,pci",
        help="Skip rules that one of these regimes forbids to act on",
    ),
    Option(name="skip-metrics", form="flag", default=False, help="Make no CloudWatch call"),
    Option(name="cost-data", form="flag", default=False, help="Allow Cost Explorer (0.01 USD a page)"),
    Option(
        name="estimate-cost",
        form="flag",
        default=False,
        in_file=False,
        help="Predict API calls and their cost without any AWS call, and stop",
    ),
    Option(
        name="dry-run",
        form="flag",
        default=False,
        in_file=False,
        help="Predict API calls and their cost with free calls only, and stop",
    ),
    Option(
        name="max-api-cost",
        parse=amount,
        default=Decimal("0.50"),
        metavar="USD",
        help="Refuse to spend more than this on billable API calls (default: 0.50)",
    ),
    Option(
        name="prune",
        choices=("spend",),
        metavar="spend",
        help="Leave out accounts and regions without spend: one Cost Explorer query per payer (0.01 USD a page)",
    ),
    Option(
        name="rate",
        parse=factor,
        default=Decimal("0.5"),
        metavar="FACTOR",
        help="Share of AWS's published request rates to use (default: 0.5)",
    ),
    Option(
        name="max-in-flight",
        parse=positive,
        default=16,
        metavar="N",
        help="Concurrent calls (default: 16)",
    ),
    Option(
        name="group",
        choices=("region", "account", "all"),
        metavar="region|account|all",
        help="Targets that one test item covers (default: by the number of targets)",
    ),
    Option(
        name="shard",
        parse=shard,
        metavar="K/N|auto",
        in_file=False,
        help="Audit share K of N of the accounts; auto takes K and N from AWS Batch, GitLab, CircleCI or Buildkite",
    ),
    Option(name="save-inventory", parse=path, metavar="DIR", help="Directory to write the AWS answers to"),
    Option(
        name="inventory",
        parse=path,
        metavar="DIR",
        help="Run the checks on the AWS answers saved in this directory",
    ),
    Option(
        name="resume",
        form="flag",
        default=False,
        in_file=False,
        help="Finish an interrupted run of the same selection: only what is missing is asked",
    ),
    Option(
        name="prices",
        choices=("live", "cache", "offline"),
        metavar="live|cache|offline",
        help="Where prices may come from (default: live, falling back)",
    ),
    Option(name="offline", form="flag", default=False, help="Use no network at all"),
    Option(
        name="report",
        form="list",
        parse=report,
        default=(),
        commas=False,
        metavar="FORMAT[:PATH]",
        help=f"Report to write: {', '.join(REPORT_FORMATS)}; no path means standard output (repeatable)",
    ),
    Option(
        name="min-savings",
        parse=amount,
        default=Decimal("1.00"),
        metavar="USD",
        help="Monthly savings below which a finding becomes a note (default: 1.00)",
    ),
    Option(
        name="fail-severity",
        choices=SEVERITIES,
        metavar="low|medium|high|critical",
        help="Severity below which findings are reported but do not break the gate",
    ),
    Option(name="baseline", parse=path, metavar="FILE", help="Findings in this file are known"),
    Option(
        name="update-baseline",
        form="flag",
        default=False,
        in_file=False,
        help="Write the baseline after this run was judged against the old one",
    ),
    Option(
        name="max-waste",
        parse=amount,
        metavar="USD",
        help="Gate: new monthly waste up to this amount is allowed",
    ),
    Option(
        name="max-savings",
        parse=amount,
        metavar="USD",
        help="Gate: new monthly savings of every kind up to this amount are allowed",
    ),
    Option(
        name="max-unpriced",
        parse=count,
        metavar="N",
        help="Gate: more findings without a price than this break it",
    ),
    Option(
        name="strict",
        form="flag",
        default=False,
        help="Incompleteness wins over everything, and unpriced findings break the gate",
    ),
    Option(
        name="now",
        parse=moment,
        metavar="ISO8601",
        help="Clock of the audit, for replays and tests",
    ),
)  # fmt: skip

BY_KEY: Mapping[str, Option] = {option.key: option for option in OPTIONS}


def add_options(parser: pytest.Parser) -> None:
    """Register every option in pytest's group ``finops``; None means "not given", so that layers can tell."""
    group = parser.getgroup(PREFIX, "AWS cost audit (pytest-finops)")
    for option in OPTIONS:
        if option.form == "flag":
            group.addoption(
                option.flag, dest=option.pytest_dest, action="store_true", default=None, help=option.help
            )
        else:
            group.addoption(
                option.flag,
                dest=option.pytest_dest,
                action="append" if option.form == "list" else "store",
                default=None,
                metavar=option.metavar,
                # argparse formats help with %, which no help text here needs.
                help=option.help.replace("%", "%%"),
            )
    parser.addini(
        RULE_PATHS, "Directories whose YAML rule files are collected in an audit", type="linelist", default=[]
    )


def given(config: pytest.Config) -> dict[str, Any]:
    """Return what pytest's command line gave, raw, by key (``min_savings``)."""
    values = {option.key: config.getoption(option.pytest_dest, None) for option in OPTIONS}
    return {key: value for key, value in values.items() if value is not None}


def __getattr__(name: str) -> Any:
    # Building so wide a class costs more than the rest of this module: only audits pay for it.
    if name == "Settings":
        from .settings import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
