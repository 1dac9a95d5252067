"""The last discovery of each selection, kept in the user's cache: what --co and --finops-estimate-cost look at."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .documents import without_line
from .resources import Target

if TYPE_CHECKING:
    from .options import Settings

FORMAT = 1
#: What decides, beside the settings, which accounts a profile or the environment reaches.
_REACH = (
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_ENDPOINT_URL",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
)


def _path(settings: Settings) -> Path:
    from .prices.sources import directory

    entries = [without_line(entry) for entry in settings.account_entries]
    selection = [
        settings.profile, settings.role, settings.org, settings.external_id, settings.accounts, settings.regions, entries,
        settings.accounts_are_targets, [os.environ.get(name) for name in _REACH],
    ]  # fmt: skip
    name = hashlib.sha256(json.dumps(selection, sort_keys=True).encode()).hexdigest()[:32]
    return directory() / "targets" / f"{name}.json"


def save(settings: Settings, rows: list[dict[str, Any]], failed: int, now: datetime) -> None:
    """Keep the targets of a discovery; a cache that refuses is no reason to stop."""
    path = _path(settings)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # mkstemp makes the file 0600: it names accounts.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, "at": now.isoformat(), "failed": failed, "targets": rows}, file)
        Path(name).replace(path)


def load(settings: Settings, now: datetime) -> tuple[list[Target], str, bool] | None:
    """Return targets, what to say about them, and whether they still need narrowing; None if nothing is kept."""
    narrowed = bool(settings.regions or settings.accounts)
    exact = _read(_path(settings), now)
    if exact is not None:
        return (*exact, False)
    wider = _read(_path(replace(settings, regions=(), accounts=())), now) if narrowed else None
    return None if wider is None else (*wider, True)


def _read(path: Path, now: datetime) -> tuple[list[Target], str] | None:
    # A damaged or older file is as good as none: nothing depends on it but what a prediction lists.
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["format"] != FORMAT:
            return None
        targets = [Target(**{**row, "now": now}) for row in kept["targets"]]
        said = f"AWS was not asked: the targets of the last discovery, {age(now - datetime.fromisoformat(kept['at']))}"
        if kept["failed"]:
            said += f" ({kept['failed']} accounts could not be entered then)"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (targets, said) if targets else None


def age(past: timedelta) -> str:
    """Return ``3 hours ago``."""
    seconds = max(0, int(past.total_seconds()))
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if count := seconds // length:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "less than a minute ago"
