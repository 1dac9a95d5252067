"""The report for people: one self-contained HTML file that needs no script, prints well and loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..audit import Audit


def render(audit: Audit, *, templates: Path | None = None, context: Mapping[str, Any] | None = None) -> str:
    """Return the HTML report from ``report.html.j2``."""
    from .templates import render_template

    return render_template("report.html.j2", audit, templates=templates, context=context)
