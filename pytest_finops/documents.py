"""YAML read with lines: what configuration and rule files share."""

from __future__ import annotations

import contextlib
import datetime
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError

#: The key under which a mapping keeps the line where it begins.
LINE = "__line__"
#: The key under which a mapping keeps the place of each of its keys, and its own under "".
PLACES = "__places__"

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


class Problems:
    """Mistakes, collected so that a person sees all of them at once."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, place: str, message: str) -> None:
        """Note one mistake at ``place`` (``finops.yaml:3``)."""
        self._lines.append(f"{place}: {message}")

    def raise_any(self) -> None:
        """Raise one ConfigError with a line per mistake, if there are any."""
        if self._lines:
            raise ConfigError("\n".join(self._lines))

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note the mistakes of the block instead of raising them."""
        try:
            yield
        except ConfigError as error:
            self._lines += str(error).splitlines()

    def __bool__(self) -> bool:
        return bool(self._lines)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the cure for an unknown ``word``: the closest of ``known``, or all of them."""
    names = sorted(known)
    # PROD is nearer to prod than to dev.
    folded = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean {folded[close[0]]}?"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"known are {', '.join(names[:20])}{more}"


class Node:
    """One YAML node with its place; every reader notes mistakes in ``problems`` and returns None."""

    __slots__ = ("_node", "columns", "file", "path", "problems")

    def __init__(self, node: yaml.Node, file: str, path: str, problems: Problems, *, columns: bool) -> None:
        self._node = node
        self.file = file
        self.path = path
        self.problems = problems
        self.columns = columns

    @property
    def line(self) -> int:
        """The line, from 1."""
        return int(self._node.start_mark.line) + 1

    @property
    def place(self) -> str:
        """``file:line``, or ``file:line:column`` where columns are wanted."""
        column = f":{self._node.start_mark.column + 1}" if self.columns else ""
        return f"{self.file}:{self.line}{column}"

    @property
    def kind(self) -> str:
        """``mapping``, ``list``, or what a plain scalar is: text, number, bool, null."""
        if isinstance(self._node, yaml.MappingNode):
            return "mapping"
        if isinstance(self._node, yaml.SequenceNode):
            return "list"
        value = self.value
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "bool"
        return "number" if isinstance(value, (int, Decimal)) else "text"

    @property
    def source(self) -> str:
        """The text of a scalar as it stands in the file, without quotes."""
        return str(self._node.value) if isinstance(self._node, yaml.ScalarNode) else ""

    @property
    def value(self) -> Any:
        """A scalar as str, int, Decimal, bool or None; numbers are read from the source, never through float.

        Unlike YAML 1.1, ``yes``, ``no``, ``on``, ``off``, ``012`` and ``1:30`` stay text: an account id or a
        tag must not change its spelling. Dates stay text too.
        """
        if not isinstance(self._node, yaml.ScalarNode):
            return None
        source = str(self._node.value)
        # Quotes and block styles make text of everything.
        if self._node.style:
            return source
        if source in ("", "~", "null", "Null", "NULL"):
            return None
        if source in ("true", "True", "false", "False"):
            return source.lower() == "true"
        if _INTEGER.fullmatch(source):
            return int(source)
        if _NUMBER.fullmatch(source) and not re.fullmatch(r"0[0-9]+", source):
            return Decimal(source)
        return source

    def shown(self) -> str:
        """The value as a message quotes it."""
        if self.kind in ("mapping", "list"):
            return f"a {self.kind}"
        return repr(self.source) if self.source else "nothing"

    def complain(self, message: str) -> None:
        """Note a mistake here."""
        self.problems.add(self.place, f"{self.path}: {message}" if self.path else message)

    def _child(self, node: yaml.Node, path: str) -> Node:
        return Node(node, self.file, path, self.problems, columns=self.columns)

    def items(self) -> list[Node]:
        """The members of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.complain(f"is {self.shown()}; write a list")
            return []
        return [self._child(node, f"{self.path}[{n}]") for n, node in enumerate(self._node.value)]

    def entries(self) -> dict[str, tuple[Node, Node]]:
        """The members of a mapping, key node and value node; keys that stand twice are a mistake."""
        if not isinstance(self._node, yaml.MappingNode):
            self.complain(f"is {self.shown()}; write a mapping (key: value)")
            return {}
        found: dict[str, tuple[Node, Node]] = {}
        for key_node, value_node in self._node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            path = f"{self.path}.{key}" if self.path else str(key)
            at = self._child(key_node, path)
            if key is None:
                at.complain("a key must be plain text")
            elif key in found:
                at.complain(f"stands twice, first on line {found[key][0].line}; keep one")
            else:
                found[str(key)] = (at, self._child(value_node, path))
        return found

    def fields(self, known: Iterable[str], required: Iterable[str] = ()) -> dict[str, Node]:
        """The members of a mapping of known keys; unknown and missing ones are mistakes."""
        allowed = tuple(known)
        entries = self.entries()
        for key, (at, _) in entries.items():
            if key not in allowed:
                at.complain(f"unknown key; {suggestion(key, allowed)}")
        if isinstance(self._node, yaml.MappingNode):
            for key in required:
                if key not in entries:
                    self.complain(f"lacks the key {key}; add it")
        return {key: value for key, (_, value) in entries.items() if key in allowed}

    def text(self, what: str = "text") -> str | None:
        """A text; numbers and bools are refused."""
        if self.kind == "text" and self.source.strip():
            return self.source
        self.complain(
            f"is {self.shown()}; write {what}" + (" in quotes" if self.kind in ("number", "bool") else "")
        )
        return None

    def number(self) -> Decimal | None:
        """A number."""
        if self.kind == "number":
            return Decimal(self.source)
        quoted = self.kind == "text" and _NUMBER.fullmatch(self.source)
        self.complain(f"is {self.shown()}; write a number" + (" without quotes" if quoted else ""))
        return None

    def integer(self, minimum: int = 0, maximum: int | None = None) -> int | None:
        """A whole number of at least ``minimum`` and at most ``maximum``."""
        value = self.value
        fits = isinstance(value, int) and not isinstance(value, bool)
        if fits and minimum <= value and (maximum is None or value <= maximum):
            return int(value)
        limits = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        self.complain(f"is {self.shown()}; write a whole number {limits}")
        return None

    def boolean(self) -> bool | None:
        """A bool."""
        if self.kind == "bool":
            return bool(self.value)
        self.complain(f"is {self.shown()}; write true or false")
        return None

    def choice(self, choices: Iterable[str]) -> str | None:
        """One of ``choices``."""
        allowed = tuple(choices)
        if self.kind == "text" and self.source in allowed:
            return self.source
        close = difflib.get_close_matches(self.source, allowed, n=1)
        cure = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(allowed)}"
        self.complain(f"is {self.shown()}; {cure}")
        return None

    def date(self) -> str | None:
        """An ISO date, as text."""
        try:
            return datetime.date.fromisoformat(self.source).isoformat()
        except ValueError:
            self.complain(f"is {self.shown()}; write a date like 2027-01-31")
            return None

    def plain(self, *, lines: bool = False) -> Any:
        """The node as plain Python; mappings keep their line under ``__line__`` if ``lines``."""
        if isinstance(self._node, yaml.SequenceNode):
            return [item.plain(lines=lines) for item in self.items()]
        if isinstance(self._node, yaml.MappingNode):
            made: dict[str, Any] = {
                key: value.plain(lines=lines) for key, (_, value) in self.entries().items()
            }
            return {**made, LINE: self.line} if lines else made
        return self.value


def shorten(path: Path) -> str:
    """Return ``path`` as people read it: relative to the working directory where it is below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def compose(path: Path, problems: Problems, *, columns: bool = False) -> Node | None:
    """Return the root of the YAML file ``path``; None if it is empty, or broken (noted in ``problems``)."""
    file = shorten(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problems.add(file, "does not exist; name an existing file")
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        problems.add(file, f"cannot be read: {reason}")
        return None
    try:
        node = _composed(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        problems.add(place, f"is not YAML: {error.problem or error.context}")
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.add(
            f"{file}:{line}", f"is not YAML: character {error.character!r} must be written as an escape"
        )
        return None
    if node is None:
        return None
    if _loops(node, frozenset()):
        problems.add(file, "an alias contains itself; write it out")
        return None
    return Node(node, file, "", problems, columns=columns)


def _composed(text: str) -> yaml.Node | None:
    if hasattr(yaml, "CSafeLoader"):
        with contextlib.suppress(yaml.YAMLError):
            # 10 times faster; what it refuses is told in the words of the other.
            return yaml.compose(text, Loader=yaml.CSafeLoader)
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _loops(node: yaml.Node, above: frozenset[int]) -> bool:
    if id(node) in above:
        return True
    if isinstance(node, yaml.ScalarNode):
        return False
    inside = above | {id(node)}
    members = node.value
    if isinstance(node, yaml.MappingNode):
        members = [part for pair in node.value for part in pair]
    return any(_loops(member, inside) for member in members)


def without_line(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``mapping`` without what this module added."""
    return {key: value for key, value in mapping.items() if key != LINE}
