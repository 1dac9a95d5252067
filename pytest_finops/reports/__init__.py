"""Reports: every format that an audit can be written in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..audit import Audit
from ..errors import FinopsError

Renderer = Callable[..., str]


def _json(audit: Audit) -> str:
    from .as_json import render as rendered

    return rendered(audit)


def _csv(audit: Audit) -> str:
    from .as_csv import render as rendered

    return rendered(audit)


def _markdown(
    audit: Audit, *, templates: Path | None = None, context: Mapping[str, Any] | None = None
) -> str:
    from .markdown import render as rendered

    return rendered(audit, templates=templates, context=context)


def _html(audit: Audit, *, templates: Path | None = None, context: Mapping[str, Any] | None = None) -> str:
    from .html import render as rendered

    return rendered(audit, templates=templates, context=context)


#: What a report can be; the hook ``pytest_finops_report_formats`` adds names. Called with the audit alone.
FORMATS: dict[str, Renderer] = {"json": _json, "csv": _csv, "markdown": _markdown, "html": _html}

#: Formats made from templates: these also take ``templates`` and ``context``.
TEMPLATED = frozenset({"markdown", "html"})


def render(
    audit: Audit,
    format: str,
    *,
    templates: Path | None = None,
    context: Mapping[str, Any] | None = None,
    formats: Mapping[str, Renderer] | None = None,
) -> str:
    """Return the report; ``format`` is a name in ``formats`` (FORMATS unless given) or ``template:NAME``.

    ``templates`` is searched before the shipped templates; ``context`` adds names to what a template sees.
    """
    if format.startswith("template:"):
        from .templates import render_template

        return render_template(format.removeprefix("template:"), audit, templates=templates, context=context)
    there = FORMATS if formats is None else formats
    try:
        renderer = there[format]
    except KeyError:
        known = ", ".join(there)
        raise FinopsError(f"no report format {format!r}; there are {known} and template:NAME") from None
    if format in TEMPLATED and renderer is FORMATS[format]:
        return renderer(audit, templates=templates, context=context)
    return renderer(audit)


def write(
    audit: Audit,
    format: str,
    path: Path | None = None,
    *,
    templates: Path | None = None,
    context: Mapping[str, Any] | None = None,
    formats: Mapping[str, Renderer] | None = None,
) -> None:
    """Write the report to ``path`` (missing directories are made), or to standard output without one."""
    text = render(audit, format, templates=templates, context=context, formats=formats)
    if path is None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
        return
    data = text.encode("utf-8", "replace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise FinopsError(f"cannot write the {format} report to {path}: {error.strerror or error}") from error
