"""Where a run writes: refused before anything is asked if it cannot work, rescued at the end if it did not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .documents import Problems, shorten
from .errors import FinopsError

if TYPE_CHECKING:
    from .options import Settings


def check(settings: Settings) -> None:
    """Refuse paths that cannot be written.

    :raises ConfigError: with one line per path.
    """
    problems = Problems()
    named: dict[Path, str] = {}
    for request in settings.report:
        if request.path is None:
            continue
        if reason := why_not(request.path):
            problems.add("--finops-report", f"{request.format}: {reason}; name a file that can be written")
        # Programs read /dev/null and the like again and again; a file holds one report.
        twin = named.setdefault(request.path, request.format)
        if twin != request.format and not request.path.is_char_device():
            problems.add(
                "--finops-report",
                f"{shorten(request.path)} would hold {twin} and {request.format}; name two files",
            )
    if settings.save_inventory and (reason := why_not(settings.save_inventory / "manifest.json")):
        problems.add("--finops-save-inventory", f"{reason}; name a directory that can be written")
    if (
        settings.save_inventory
        and (settings.save_inventory / "manifest.json").exists()
        and not settings.resume
    ):
        problems.add(
            "--finops-save-inventory",
            f"{shorten(settings.save_inventory)} holds a saved inventory already, and two would mix; "
            "name another directory, or remove it",
        )
    if settings.baseline and settings.update_baseline and (reason := why_not(settings.baseline)):
        problems.add("--finops-baseline", f"{reason}; name a file that can be written")
    problems.raise_any()


def why_not(path: Path) -> str:
    """Return why a file cannot be written at ``path``, or nothing; nothing is created to find out."""
    if path.is_dir():
        return f"{shorten(path)} is a directory"
    if path.exists():
        return "" if os.access(path, os.W_OK) else f"{shorten(path)} may not be written"
    folder = next(parent for parent in path.parents if parent.exists())
    if not folder.is_dir():
        return f"{shorten(path)}: {shorten(folder)} is not a directory"
    return (
        ""
        if os.access(folder, os.W_OK | os.X_OK)
        else f"{shorten(path)}: {shorten(folder)} may not be written"
    )


def rescue(path: Path, write: Callable[[Path], None]) -> Path | None:
    """Write somewhere else what ``path`` refused: findings are not lost for a full disk; None if that fails too."""
    folder = Path(tempfile.mkdtemp(prefix="pytest-finops-"))
    try:
        write(folder / path.name)
    except (OSError, FinopsError):
        return None
    return folder / path.name
