"""Making strings from an account fit to print: anyone who can tag a resource controls what a report says."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ..findings import cents

#: CSI and OSC sequences (7-bit and 8-bit forms) and the two-character escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
#: An amount in evidence, where decimals are text; a version has fewer digits.
_LONG = re.compile(r"-?\d+\.\d{5,}")
_SELECTORS = dict.fromkeys((0xFE0E, 0xFE0F))


def safe(text: object, limit: int | None = None) -> str:
    """Return ``text`` as one line without escapes, control, bidi or invisible characters, cut to ``limit``."""
    raw = str(text)
    if raw.isascii() and raw.isprintable():
        # Nearly everything: ids, regions, numbers.
        return _cut(" ".join(raw.split()), limit)
    kept = []
    for char in _ESCAPES.sub("", raw):
        kind = unicodedata.category(char)
        if char.isspace():
            kept.append(" ")
        elif kind == "Cs":
            kept.append("\N{REPLACEMENT CHARACTER}")
        elif kind not in ("Cc", "Cf"):
            kept.append(char)
    return _cut(" ".join("".join(kept).split()), limit)


def _cut(line: str, limit: int | None) -> str:
    if limit is not None and len(line) > limit:
        return line[: max(limit - 1, 0)] + "…"
    return line


def inline(text: object) -> str:
    """Return ``text`` made safe, with the space at either end that joins it to what stands beside it."""
    raw = str(text)
    return " " * raw.startswith(" ") + safe(raw) + " " * (raw.endswith(" ") and bool(raw.strip()))


def block(text: object) -> str:
    """Return ``text`` made safe line by line; lines and their indentation stay."""
    return "\n".join(
        no_command(line[: len(line) - len(line.lstrip(" "))] + safe(line)) for line in str(text).split("\n")
    )


def no_command(line: str) -> str:
    """Return ``line`` so that a CI log does not take it for a workflow command, which may be indented."""
    body = line.lstrip()
    if not body.startswith(("::", "##[")):
        return line
    return f"{line[: len(line) - len(body)]}{body[0]} {body[1:]}"


def lines(text: str) -> list[str]:
    """Return the non-empty lines of ``text``, each made safe."""
    return [line for part in text.splitlines() if (line := safe(part))]


def cell_width(text: str) -> int:
    """Return how many terminal columns ``text`` takes."""
    width = 0
    for char in text:
        if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
            continue
        width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return width


def fit(text: object, width: int, *, right: bool = False) -> str:
    """Return ``text`` made safe and padded or cut to exactly ``width`` terminal columns."""
    # Terminals disagree on how wide a character is that a selector turns into an emoji.
    line = safe(text).translate(_SELECTORS)
    if cell_width(line) > width:
        while line and cell_width(line) > width - 1:
            line = line[:-1]
        line += "…"
    pad = " " * (width - cell_width(line))
    return pad + line if right else line + pad


def plain(amount: Decimal) -> str:
    """Return ``amount`` as a plain decimal string, never with an exponent or as ``-0``."""
    text = format(amount, "f")
    return text.lstrip("-") if amount == 0 else text


def money(amount: Decimal | None, missing: str = "not priced") -> str:
    """Return ``amount`` in USD for people: ``$1,234.50``, rounded half up to the cent."""
    if amount is None:
        return missing
    rounded = cents(amount)
    sign = "-" if rounded < 0 else ""
    return f"{sign}${abs(rounded):,f}"


def small_money(amount: Decimal) -> str:
    """Return a request cost or unit price in USD with as many digits as it has, at least two."""
    text = plain(amount)
    whole, _, rest = text.partition(".")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}${int(whole):,}.{rest.rstrip('0').ljust(2, '0')}"


def number(value: Decimal) -> str:
    """Return a quantity for people: thousands separated, no trailing zeros, at most four decimals."""
    rounded = value.quantize(Decimal("0.0001"), ROUND_HALF_UP) if value == value else value
    text = f"{rounded:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(part: Decimal, whole: Decimal | int = 1) -> str:
    """Return ``part`` of ``whole`` as a percentage without decimals; a dash where there is no whole."""
    if not whole:
        return "–"
    share = (Decimal(part) * 100 / Decimal(whole)).quantize(Decimal(1), ROUND_HALF_UP)
    return "< 1%" if share == 0 and part > 0 else f"{share}%"


def count(amount: int, one: str, many: str | None = None) -> str:
    """Return ``3 findings`` or ``1 finding``."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def moment(text: str) -> str:
    """Return an ISO time for people: ``2026-11-20 08:00 UTC``; anything else as it is."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return safe(text)


def resource_name(resource_id: str) -> str:
    """Return the short name of a resource: an ARN without what is the same for all of its kind."""
    parts = resource_id.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return resource_id
    # "loadbalancer/app/web/50dc", "db:orders", "topic"
    return re.split(r"[/:]", parts[5], maxsplit=1)[-1]


def fact(key: str, value: Any) -> str:
    """Return one piece of evidence for people: ``unattached days: 120``."""
    return f"{safe(key).removeprefix('is_').replace('_', ' ')}: {flat(value)}"


def listed(values: Sequence[str], most: int, what: str = "") -> str:
    """Return up to ``most`` values by name, or else how many there are."""
    if what and len(values) > most:
        return f"{len(values):,} {what}"
    more = len(values) - most
    return ", ".join(values[:most]) + (f" and {more:,} more" if more > 0 else "")


def flat(value: Any) -> str:
    """Return a value of evidence or metadata as one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{safe(key)}: {flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(flat(item) for item in value)
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, str) and _LONG.fullmatch(value):
        return number(Decimal(value))
    if isinstance(value, float) and math.isfinite(value):
        return number(Decimal(str(value)))
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else safe(value)
