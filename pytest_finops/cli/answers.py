"""The answers behind a finding: what AWS said about its resource, out of a saved inventory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..collector.saved import Saved
from ..errors import AuditError
from ..findings import Finding
from ..reports.text import safe
from ..resources import GLOBAL


def answers(directory: Path, found: Finding) -> Iterator[str]:
    """Yield a line per call and answer that name the resource of ``found``.

    :raises AuditError: when the directory is not a saved inventory, or a file of it is damaged.
    """
    Saved(directory)
    names = {found.resource_id, found.resource_arn} - {"", None}
    for region in dict.fromkeys((found.region, GLOBAL)):
        for path in sorted((directory / found.account_id / region).glob("*.json*")):
            if path.name == "metrics.jsonl":
                yield from _series(path, names)
            elif path.name != "empty.json":
                seen: dict[str, None] = {}
                for document in _documents(path):
                    for member in _members(document, names):
                        seen[json.dumps(member, sort_keys=True, ensure_ascii=False)] = None
                call = path.name.partition(".json")[0]
                yield from (f"{call} ({region}): {safe(text, 2000)}" for text in seen)


def _documents(path: Path) -> Iterator[Any]:
    """Yield the answers of a saved call, in either of its forms."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            yield from (json.loads(line).get("answer") for line in text.splitlines())
        else:
            yield from (call.get("pages") for call in json.loads(text).get("calls", ()))
    except (OSError, ValueError, AttributeError) as error:
        raise AuditError(f"{path} is damaged ({type(error).__name__}: {error})") from error


def _members(value: Any, names: set[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the innermost mappings that have one of ``names`` as a value."""
    if isinstance(value, list):
        for item in value:
            yield from _members(item, names)
    elif isinstance(value, dict):
        if any(isinstance(item, str) and item in names for item in value.values()):
            yield value
        else:
            for item in value.values():
                yield from _members(item, names)


def _series(path: Path, names: set[str]) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        series = json.loads(line)
        if names & set(map(str, series["dimensions"].values())):
            values = [float(value) for _, value in series["points"]]
            span = (
                f", {min(values):g} to {max(values):g}, mean {sum(values) / len(values):g}" if values else ""
            )
            name = safe(f"{series['namespace']} {series['metric_name']} {series['statistic']}")
            yield f"{name}: {len(values)} points of {series['period']} s{span}"
