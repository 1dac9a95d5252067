"""Layers of settings: command line, environment, project file, user file, defaults."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from .documents import LINE, PLACES, Node, Problems, compose, suggestion
from .options import BY_KEY, OPTIONS, SEVERITIES, Option, amount, count, factor, positive
from .settings import Settings

FILE_NAME = "finops.yaml"
COMMAND_LINE = "command line"
ENVIRONMENT = "environment"
DEFAULT = "default"

#: Keys of configuration files that are no options, and the field of Settings that they fill.
SECTIONS = {
    "accounts": "account_entries",
    "rules": "rules",
    "exemptions": "exemptions",
    "expected_blind_spots": "expected_blind_spots",
    "environments": "environments",
    "owners": "owners",
    "prices": "price_settings",
}
_SELECTORS = ("rule", "resource", "tag", "account")
_PLACES = ("account", "region", "service", "code")
_ANSWERS = ("owner", "reason", "expires")
_NUMBERS = (amount, factor, count, positive)


def find(cwd: Path) -> Path | None:
    """Return the ``finops.yaml`` of ``cwd`` or the nearest folder above it."""
    for folder in (cwd, *cwd.parents):
        candidate = folder / FILE_NAME
        if candidate.is_file():
            return candidate
    return None


def user_file() -> Path:
    """Return where the user's own file would stand."""
    import platformdirs

    return Path(platformdirs.user_config_dir("pytest-finops")) / FILE_NAME


def resolve(
    cli: Mapping[str, Any],
    environ: Mapping[str, str],
    cwd: Path,
    *,
    read_files: bool = True,
    problems: Problems | None = None,
) -> Settings:
    """Return the settings of all layers.

    :param cli: what the command line gave, raw, by key (``options.given``): texts, lists of texts, True.
    :param environ: the environment.
    :param cwd: where the project file is looked for, upwards.
    :param read_files: whether configuration files are read at all.
    :param problems: where mistakes are noted instead, by who has more to say; such settings serve nothing else.
    :raises ConfigError: with one line per mistake, all of them.
    """
    noted = problems is not None
    problems = Problems() if problems is None else problems
    layers: list[tuple[str, dict[str, Any], dict[str, str]]] = []

    values, places = _from_command_line(cli, cwd, problems)
    layers.append((COMMAND_LINE, values, places))
    named = values.get("config_file")
    values, places = _from_environment(environ, cwd, problems)
    layers.append((ENVIRONMENT, values, places))

    project: Path | None = None
    if read_files:
        project = named or values.get("config_file") or find(cwd)
        for path in (project, user_file()):
            if path is not None and (path == project or path.is_file()):
                values, places = _from_file(path, problems)
                layers.append((str(path), values, places))

    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for _, values, places in layers:
        for name, value in values.items():
            if name not in merged:
                merged[name] = value
                origins[name] = places[name]
            elif isinstance(value, Mapping):
                # Sections that are mappings merge key by key; the nearer file wins.
                merged[name] = {**value, **merged[name]}
    _choose_targets(merged, origins, layers[0][1], named, problems)
    _together(merged, problems)
    if not noted:
        problems.raise_any()

    merged["config_path"] = project
    for option in OPTIONS:
        origins.setdefault(option.field, DEFAULT)
    return Settings(**merged, origins=origins)


def _choose_targets(
    merged: dict[str, Any],
    origins: Mapping[str, str],
    cli: Mapping[str, Any],
    named: Path | None,
    problems: Problems,
) -> None:
    """Let the nearest layer choose the kind of target, note contradictions, drop what makes no target."""
    kinds = {
        name: fields
        for name, fields in (
            ("--finops-demo", ("demo",)),
            ("--finops-inventory", ("inventory",)),
            (f"--finops-{next((f for f in TARGET_FIELDS if cli.get(f)), TARGET_FIELDS[0])}", TARGET_FIELDS),
        )
        if any(cli.get(field) for field in fields)
    }
    if len(kinds) > 1:
        problems.add(
            COMMAND_LINE,
            f"{' and '.join(sorted(kinds))} exclude each other; "
            "choose the sample estate, a saved inventory, or live accounts",
        )
        return
    chosen = next(iter(kinds.values()), None)
    for name in ("demo", "inventory"):
        # Neither the environment nor a file that nobody named may turn a bare run into an audit.
        if chosen != (name,) and not (chosen is None and _from_named(origins.get(name), named)):
            merged.pop(name, None)
    if chosen in (("demo",), ("inventory",)):
        for name in TARGET_FIELDS:
            merged.pop(name, None)
    elif chosen is None and ("demo" in merged or "inventory" in merged):
        if merged.get("profile") and origins["profile"] == ENVIRONMENT:
            merged.pop("demo", None)
            merged.pop("inventory", None)
        elif "demo" in merged and "inventory" in merged:
            problems.add(origins["demo"], "demo and inventory exclude each other; keep one")
    merged["accounts_are_targets"] = bool(
        named is not None
        and merged.get("account_entries")
        and _from_named(origins.get("account_entries"), named)
        and not merged.get("demo")
        and not merged.get("inventory")
    )


def _from_named(origin: str | None, named: Path | None) -> bool:
    from .documents import shorten

    return origin is not None and named is not None and origin.rpartition(":")[0] == shorten(named)


def has_target(settings: Settings) -> bool:
    """Return whether the command line, ``FINOPS_PROFILE`` or a named file says what to audit."""
    if settings.demo or settings.inventory is not None or settings.accounts_are_targets:
        return True
    return any(names_targets(settings, field) for field in TARGET_FIELDS)


TargetField = Literal["profile", "role", "org"]
TARGET_FIELDS: tuple[TargetField, ...] = ("profile", "role", "org")


def names_targets(settings: Settings, field: TargetField) -> bool:
    """Return whether profiles (roles) are targets: given on the command line, in FINOPS_PROFILE or a named file."""
    origin = settings.origins.get(field)
    named = settings.config_file if settings.origins.get("config_file") == COMMAND_LINE else None
    given = origin == COMMAND_LINE or _from_named(origin, named)
    return bool(getattr(settings, field)) and (given or (field == "profile" and origin == ENVIRONMENT))


def said_by(settings: Settings, field: str) -> str:
    """Return what a message calls the place where an option was given: its flag, variable or file and line."""
    option = next(option for option in OPTIONS if option.field == field)
    origin = settings.origins.get(field, "")
    if origin == ENVIRONMENT:
        return option.variable
    return f"{origin}: {option.key}" if ":" in origin else option.flag


def _together(merged: Mapping[str, Any], problems: Problems) -> None:
    """Note options that make no sense together."""
    if merged.get("update_baseline") and not merged.get("baseline"):
        problems.add("--finops-update-baseline", "names no file; add --finops-baseline FILE")
    if merged.get("org") and merged.get("role"):
        problems.add(
            "--finops-org", "and --finops-role exclude each other; the organization names its accounts"
        )
    if merged.get("offline") and merged.get("prices") == "live":
        problems.add("--finops-offline", "forbids live prices; choose --finops-prices cache or offline")
    if merged.get("estimate_cost") and merged.get("dry_run"):
        problems.add("--finops-estimate-cost", "excludes --finops-dry-run; choose one")


def _parse(option: Option, raw: str, cwd: Path) -> Any:
    """Return one parsed value; ValueError says what is wrong and how to cure it."""
    if option.choices:
        value = raw.strip()
        if value not in option.choices:
            close = difflib.get_close_matches(value, option.choices, n=1)
            cure = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(option.choices)}"
            raise ValueError(f"is not known; {cure}")
        return value
    value = option.parse(raw)
    if isinstance(value, Path):
        return cwd / value
    if option.key == "report" and value.path is not None:
        return dataclasses.replace(value, path=cwd / value.path)
    return value


def _parse_all(
    option: Option, raws: Iterable[str], cwd: Path, place: str, problems: Problems
) -> tuple[Any, ...]:
    values: list[Any] = []
    for raw in raws:
        try:
            value = _parse(option, raw, cwd)
        except ValueError as error:
            problems.add(place, f"{raw!r} {error}")
        else:
            if value not in values:
                values.append(value)
    return tuple(values)


def _pieces(raw: str) -> list[str]:
    return [piece for piece in raw.split(",") if piece.strip()] or [raw]


def _from_command_line(
    cli: Mapping[str, Any], cwd: Path, problems: Problems
) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    for key, raw in cli.items():
        option = BY_KEY[key]
        if raw is None:
            continue
        if option.form == "flag":
            values[option.field] = bool(raw)
            continue
        raws = [raw] if isinstance(raw, str) else list(raw)
        if option.form == "list" and option.commas:
            raws = [piece for one in raws for piece in _pieces(one)]
        parsed = _parse_all(option, raws, cwd, option.flag, problems)
        if parsed:
            values[option.field] = parsed if option.form == "list" else parsed[-1]
    return values, dict.fromkeys(values, COMMAND_LINE)


def _from_environment(
    environ: Mapping[str, str], cwd: Path, problems: Problems
) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    for option in OPTIONS:
        raw = environ.get(option.variable, "")
        # CI systems set variables to nothing where others leave them out.
        if not raw.strip():
            continue
        if option.form == "flag":
            if raw.strip() in ("0", "1"):
                values[option.field] = raw.strip() == "1"
            else:
                problems.add(option.variable, f"{raw!r} is neither 1 nor 0; write one of them")
            continue
        raws = _pieces(raw) if option.form == "list" else [raw]
        parsed = _parse_all(option, raws, cwd, option.variable, problems)
        if parsed:
            values[option.field] = parsed if option.form == "list" else parsed[0]
    return values, dict.fromkeys(values, ENVIRONMENT)


def _from_file(path: Path, problems: Problems) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    root = compose(path, problems)
    if root is None:
        return values, places
    known = {option.key for option in OPTIONS if option.in_file} | set(SECTIONS)
    entries = root.entries()
    for key, (at, node) in entries.items():
        option = BY_KEY.get(key)
        if option is not None and not option.in_file:
            at.complain(f"belongs on the command line; use {option.flag}")
            continue
        if key not in known:
            at.complain(f"unknown key; {suggestion(key, known)}")
            continue
        # "prices" is an option when it is a word and a section when it is a mapping.
        if key in SECTIONS and not (key == "prices" and node.kind == "text"):
            field, value = SECTIONS[key], _SECTION_READERS[key](node)
        else:
            assert option is not None
            field, value = option.field, _option_of(option, node, path.parent)
        if value is not None:
            values[field] = value
            places[field] = at.place
    return values, places


def _option_of(option: Option, node: Node, folder: Path) -> Any:
    """Return the value of an option in a file; types are strict."""
    if option.form == "flag":
        return node.boolean()
    if option.form == "list":
        members = node.items() if node.kind == "list" else [node]
        parsed = [_one(option, member, folder) for member in members]
        return tuple(value for value in parsed if value is not None)
    return _one(option, node, folder)


def _one(option: Option, node: Node, folder: Path) -> Any:
    if option.choices:
        return node.choice(option.choices)
    if option.parse in _NUMBERS:
        if node.number() is None:
            return None
    elif node.text("text") is None:
        return None
    try:
        return _parse(option, node.source, folder)
    except ValueError as error:
        node.complain(f"{node.source!r} {error}")
        return None


def _identity(node: Node) -> str | None:
    """An account id or a name: YAML may take the former for a number."""
    return node.source if node.kind == "number" else node.text()


def _accounts(node: Node) -> tuple[Mapping[str, Any], ...]:
    made: list[Mapping[str, Any]] = []
    for item in node.items():
        fields = item.fields(("id", "name", "profile", "role", "regions"))
        entry: dict[str, Any] = {LINE: item.line}
        for key, value in fields.items():
            if key == "regions":
                option = BY_KEY["regions"]
                entry[key] = _option_of(option, value, Path())
            elif key == "role":
                entry[key] = _one(BY_KEY["role"], value, Path())
            else:
                entry[key] = _identity(value)
        account = entry.get("id")
        if account is not None and not (account.isdecimal() and len(account) == 12):
            fields["id"].complain(f"{account!r} is not an account id; write its 12 digits in quotes")
        if "profile" in fields and "role" in fields:
            item.complain("profile and role exclude each other; keep one")
        if item.kind == "mapping" and not fields:
            item.complain("says nothing; give id, profile or role")
        made.append(entry)
    return tuple(made)


def _rules(node: Node) -> Mapping[str, Mapping[str, Any]]:
    from .rules import KEPT_DAYS, RULE_ID

    made: dict[str, Mapping[str, Any]] = {}
    for rule_id, (at, value) in node.entries().items():
        if not RULE_ID.fullmatch(rule_id):
            # Kept, it would be told again as a rule that does not exist.
            at.complain("is not a rule id; write one like ec2-low-cpu")
        overrides: dict[str, Any] = {LINE: at.line}
        for key, (_, member) in value.entries().items():
            if key in ("enabled", "severity", "period_days"):
                fitted: Any = (
                    member.boolean()
                    if key == "enabled"
                    else member.choice(SEVERITIES)
                    if key == "severity"
                    else member.integer(1, KEPT_DAYS)
                )
                if fitted is not None:
                    overrides[key] = fitted
            elif member.kind == "mapping":
                member.complain("is a mapping; write a value or a list of values")
            else:
                overrides[key] = member.plain()
        if RULE_ID.fullmatch(rule_id):
            made[rule_id] = overrides
    return made


def _selected(node: Node, selectors: tuple[str, ...]) -> tuple[Mapping[str, Any], ...]:
    """Entries that accept something: what they select, why, who answers for it, and until when."""
    made: list[Mapping[str, Any]] = []
    for item in node.items():
        fields = item.fields((*selectors, *_ANSWERS), _ANSWERS)
        entry: dict[str, Any] = {LINE: item.line}
        for key, value in fields.items():
            if key == "expires":
                entry[key] = value.date()
            else:
                entry[key] = _identity(value)
            if key == "tag" and "=" not in (entry[key] or "="):
                value.complain(f"{entry[key]!r} is not KEY=VALUE; write one like keep=yes")
        if item.kind == "mapping" and not any(key in fields for key in selectors):
            item.complain(f"selects nothing, so it would select everything; give {', '.join(selectors)}")
        made.append(entry)
    return tuple(made)


def _texts(node: Node) -> list[str] | None:
    texts = [text for item in node.items() if (text := item.text()) is not None]
    return texts if node.kind == "list" and len(texts) == len(node.items()) else None


def _environments(node: Node) -> Mapping[str, Any]:
    """What is wrong by its form is told and left out; the words keep their places for who compares them."""
    made: dict[str, Any] = {}
    for key, value in node.fields(("tags", "values", "accounts", "names")).items():
        if value.kind == "null":
            continue
        if key == "tags":
            read: Any = _texts(value)
        elif key == "accounts":
            read = {name: member.text() for name, (_, member) in value.entries().items()}
        else:
            given = value.fields(("prod", "nonprod")).items()
            read = {name: _texts(member) for name, member in given if member.kind != "null"}
        if isinstance(read, dict):
            places = {name: at.place for name, (at, _) in value.entries().items()} if read else {}
            read = None if None in read.values() else {**read, PLACES: {"": value.place, **places}}
        if read is not None:
            made[key] = read
    return made


def _owners(node: Node) -> Mapping[str, Any]:
    fields = node.fields(("tags",))
    tags = _texts(fields["tags"]) if "tags" in fields and fields["tags"].kind != "null" else None
    return {} if tags is None else {"tags": tags}


def _prices(node: Node) -> Mapping[str, Any]:
    """Prices and percentages of the user's own, each entry read as the price book will."""
    from .prices.resolver import Discount, Override, discount_from, override_from

    readers: Mapping[str, Callable[[Mapping[str, Any], str], Override | Discount]] = {
        "overrides": override_from,
        "discounts": discount_from,
    }
    made: dict[str, Any] = {}
    for key, value in node.fields(readers).items():
        made[key] = []
        first: dict[tuple[object, ...], Node] = {}
        for item in value.items():
            if item.kind != "mapping":
                item.complain(f"is {item.shown()}; write a mapping (key: value)")
                continue
            entry = item.plain()
            with node.problems.collecting():
                subject = readers[key](entry, f"{item.place}: {item.path}").subject
                earlier = first.setdefault(subject, item)
                if earlier is not item:
                    item.complain(f"says again what {earlier.path} in line {earlier.line} says; keep one")
            made[key].append(entry)
    return made


_SECTION_READERS: Mapping[str, Callable[[Node], Any]] = {
    "accounts": _accounts,
    "rules": _rules,
    "exemptions": lambda node: _selected(node, _SELECTORS),
    "expected_blind_spots": lambda node: _selected(node, _PLACES),
    "environments": _environments,
    "owners": _owners,
    "prices": _prices,
}
