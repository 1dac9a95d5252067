"""What tests of documents share: fenced code blocks by the file that their first line names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

_BLOCK = re.compile(
    r"^```(?P<language>\w+)\n# (?P<path>[\w./-]+)(?:: (?P<title>[^\n]+))?\n(?P<text>.*?)^```$", re.M | re.S
)


def blocks(document: Path) -> dict[tuple[str, str], str]:
    """Return the named code blocks of a document by (file, title)."""
    found: dict[tuple[str, str], str] = {}
    for match in _BLOCK.finditer(document.read_text(encoding="utf-8")):
        key = (match["path"], match["title"] or "")
        assert key not in found, f"{document.name} names {key} twice"
        found[key] = match["text"]
    return found
