"""XML answers read by what they hold: botocore's parser asks every node for every member that its shape could have."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

Read = Callable[[Any], Any]
PROTOCOLS = frozenset({"ec2", "query"})
#: What `Parsers` can stand in for, and what `Structures` needs of a parser: other botocores are left as they are.
FACTORY = frozenset({"create_parser", "set_parser_defaults"})
PARSER = ("_handle_structure", "_parse_shape", "_member_key_name", "_timestamp_parser")
#: Serialization traits that no answer of these protocols has today.
RARE = frozenset({"eventheader", "location", "xmlAttribute"})
_NAMESPACE = re.compile("{.*}")


class Parsers:
    """The parser factory of all sessions of a run: botocore's own, but structures in XML are read by `Structures`."""

    def __init__(self) -> None:
        """Make no parser yet."""
        self._factory: Any = None
        self._made: dict[str, Any] = {}

    def register(self, session: Any) -> None:
        """Let the clients that ``session`` makes from now on take their parsers here."""
        factory = session.get_component("response_parser_factory")
        if {name for name in dir(factory) if not name.startswith("_")} == FACTORY:
            self._factory = self._factory or factory
            session.register_component("response_parser_factory", self)

    def set_parser_defaults(self, **defaults: Any) -> None:
        """Set what parsers are made with from now on."""
        self._factory.set_parser_defaults(**defaults)
        self._made.clear()

    def create_parser(self, protocol_name: str) -> Any:
        """Return a parser; an XML protocol has one for all answers, so that what it learnt of a shape is kept."""
        parser = self._made.get(protocol_name)
        if parser is None:
            parser = self._factory.create_parser(protocol_name)
            if protocol_name in PROTOCOLS and all(hasattr(parser, name) for name in PARSER):
                parser._handle_structure = Structures(parser).read
                self._made[protocol_name] = parser
        return parser


class Structures:
    """Readers of structures, made when their shape is first met; what is rare is handed to botocore's own method."""

    def __init__(self, parser: Any) -> None:
        """Take the parser as botocore made it."""
        self._parser = parser
        self._botocores = parser._handle_structure
        self._readers: dict[Any, Read] = {}

    def read(self, shape: Any, node: Any) -> Any:
        """Return or raise what botocore's ``_handle_structure`` does, which also gets the nodes of a repeated tag."""
        if not isinstance(node, list):
            try:
                return self._structure(shape)(node)
            except Exception:  # noqa: BLE001 - botocore reads it again, and raises its own
                pass
        return self._botocores(shape, node)

    def _structure(self, shape: Any) -> Read:
        key = _identity(shape)
        reader = self._readers.get(key)
        if reader is None:
            reader = self._readers[key] = self._new_structure(shape)
        return reader

    def _new_structure(self, shape: Any) -> Read:
        botocores = partial(self._botocores, shape)
        members = {
            self._parser._member_key_name(one, name): (name, one) for name, one in shape.members.items()
        }
        if (
            len(members) < len(shape.members)
            or shape.metadata.get("exception")
            or shape.is_tagged_union
            or any(RARE & one.serialization.keys() for _, one in members.values())
        ):
            return botocores
        known: dict[str, tuple[str, Read]] = {}

        def structure(node: Any) -> Any:
            parsed: dict[str, Any] = {}
            unknown = 0
            for child in node:
                try:
                    name, read = known[child.tag]
                except KeyError:
                    found = members.get(_NAMESPACE.sub("", child.tag))
                    if found is None:
                        unknown += 1
                        continue
                    name, read = known[child.tag] = found[0], self._reader(found[1])
                parsed[name] = child.text or "" if read is _text else read(child)
            # A tag that came twice is botocore's to interpret.
            return parsed if len(parsed) + unknown == len(node) else botocores(node)

        return structure

    def _reader(self, shape: Any) -> Read:
        kind = shape.type_name
        if kind == "structure":
            return self._structure(shape)
        if kind == "list" and "flattened" not in shape.serialization:
            return self._list(shape)
        if kind == "timestamp":
            parse = self._parser._timestamp_parser
            return lambda node: parse(node.text or "")
        return SCALARS.get(kind) or partial(self._parser._parse_shape, shape)

    def _list(self, shape: Any) -> Read:
        read: Read | None = None

        def items(node: Any) -> list[Any]:
            nonlocal read
            if read is None and len(node):
                read = self._reader(shape.member)
            return [read(item) for item in node] if read else []

        return items


def _identity(shape: Any) -> Any:
    """Return what is the same for a structure in every client of a service, whose shapes are objects of their own.

    All clients of a run share one loaded model; the readers keep it alive, so that its id stays its own.
    """
    model = getattr(getattr(shape, "_shape_resolver", None), "_shape_map", None)
    return shape if model is None else (id(model), shape.name)


def _text(node: Any) -> str:
    return node.text or ""


def _boolean(node: Any) -> bool:
    return bool(node.text == "true")


def _integer(node: Any) -> int:
    return int(node.text or "")


SCALARS = {
    "string": _text, "character": _text, "boolean": _boolean, "integer": _integer, "long": _integer,
}  # fmt: skip
