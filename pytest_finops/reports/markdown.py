"""The report as Markdown, for pull requests, wikis and step summaries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..audit import Audit


def render(audit: Audit, *, templates: Path | None = None, context: Mapping[str, Any] | None = None) -> str:
    """Return the Markdown report from ``report.md.j2``."""
    from .templates import render_template

    return render_template("report.md.j2", audit, templates=templates, context=context)
