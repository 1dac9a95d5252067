"""The Jinja environment of the reports: what a template may load, how it escapes, the filters it has."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ..audit import Audit
from ..errors import ConfigError
from . import text
from .view import view

if TYPE_CHECKING:
    from jinja2 import Environment

_SPECIAL = re.compile(r"[\\`*\[\]~|]")
_EDGE_UNDERSCORE = re.compile(r"(?<!\w)_|_(?!\w)")
_MENTION = re.compile(r"(?<![\w.])@(?=\w)")


def escape_markdown(value: object) -> Markup:
    """Return a value as plain text in Markdown: no markup, link, image, mention, cell border or HTML comes of it."""
    line = text.inline(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _SPECIAL.sub(r"\\\g<0>", line)
    line = _EDGE_UNDERSCORE.sub(r"\\_", line)
    # Addresses would become links and names notifications: a report invites nobody and points nowhere.
    line = line.replace("://", "&#58;//")
    return Markup(_MENTION.sub("@\N{ZERO WIDTH SPACE}", line))


def https(url: str) -> str:
    """Return ``url`` if it is a plain https address, else nothing: a link must not carry a script."""
    return url if re.fullmatch(r"https://[\w.-]+(?:/[\w./%#?=&+~:-]*)?", url) else ""


def environment(template: str, templates: Path | None = None) -> Environment:
    """Return the environment for ``template``; ``templates`` is searched before the shipped ones.

    Everything printed is escaped for what the template makes (by its name: HTML, Markdown, else plain text) and
    undefined names are errors.
    """
    import jinja2

    loaders: list[jinja2.BaseLoader] = []
    if templates is not None:
        if not templates.is_dir():
            raise ConfigError(f"no directory {templates} for report templates")
        loaders.append(jinja2.FileSystemLoader(templates))
    loaders.append(jinja2.PackageLoader("pytest_finops.report_templates", ""))
    name = template.removesuffix(".j2")
    to_html = name.endswith((".html", ".htm", ".xml", ".svg"))

    def finalize(value: Any) -> Any:
        if isinstance(value, Markup):
            return value
        # Numbers and strings alike go through here before Jinja escapes what is not Markup.
        if to_html:
            return text.inline(value)
        return escape_markdown(value) if name.endswith(".md") else Markup(text.inline(value))

    env = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(
        money=text.money,
        small_money=text.small_money,
        number=text.number,
        percent=text.percent,
        count=text.count,
        moment=text.moment,
        flat=text.flat,
        fact=text.fact,
        listed=text.listed,
        resource_name=text.resource_name,
        lines=text.lines,
        short=text.safe,
        https=https,
    )
    return env


def render_template(
    template: str,
    audit: Audit,
    *,
    templates: Path | None = None,
    context: Mapping[str, Any] | None = None,
) -> str:
    """Return the rendered template; it sees the view of the audit, ``css`` with its hash, and ``context``."""
    import jinja2

    env = environment(template, templates)
    try:
        css = env.get_template("report.css").render()
        names: dict[str, Any] = {**vars(view(audit)), "css": Markup(css), "css_hash": _hash(css)}
        return env.get_template(template).render(names | dict(context or {}))
    except jinja2.TemplateNotFound as error:
        places = f"{templates} and the shipped templates" if templates else "the shipped templates"
        raise ConfigError(f"no template {error.name!r} in {places}") from error
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"template {error.name}, line {error.lineno}: {error.message}") from error
    except jinja2.TemplateError as error:
        raise ConfigError(f"template {template}: {error.message}") from error


def _hash(css: str) -> str:
    """Return what a content security policy calls this style sheet."""
    return "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
