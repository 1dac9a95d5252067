"""Generations: which family succeeds an old one, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Raise it when a row changes.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Succession:
    """The families that succeed one, in order of preference (same processor architecture, same kind of work).

    ``old`` is False where the family is merely older (m5): then only the price list makes it worth a word.
    """

    families: tuple[str, ...]
    old: bool = True


#: Not here, on purpose: p2 and p3 (no successor has their sizes), h1 (none at all), and families that AWS
#: calls previous although nothing cheaper follows. Graviton is another check: it changes the architecture.
SUCCESSIONS: Mapping[str, Succession] = {
    "t1": Succession(("t3",)),
    "t2": Succession(("t3",)),
    "m1": Succession(("m6i", "m7i-flex")),
    "m2": Succession(("r6i",)),
    "m3": Succession(("m6i", "m7i-flex")),
    "m4": Succession(("m6i", "m7i-flex")),
    "c1": Succession(("c6i", "c7i-flex")),
    "c3": Succession(("c6i", "c7i-flex")),
    "c4": Succession(("c6i", "c7i-flex")),
    "r3": Succession(("r6i",)),
    "r4": Succession(("r6i",)),
    "i2": Succession(("i4i",)),
    "i3": Succession(("i4i",)),
    "d2": Succession(("d3",)),
    "g2": Succession(("g4dn", "g5")),
    "g3": Succession(("g4dn", "g5")),
    "x1": Succession(("x2idn",)),
    "x1e": Succession(("x2iedn",)),
    "a1": Succession(("t4g", "m6g")),
    "m5": Succession(("m6i",), old=False),
    "c5": Succession(("c6i",), old=False),
    "r5": Succession(("r6i",), old=False),
}

#: Families whose instances run on Xen: their successors need ENA and NVMe drivers.
XEN = frozenset(
    {
        "t1",
        "t2",
        "m1",
        "m2",
        "m3",
        "m4",
        "c1",
        "c3",
        "c4",
        "r3",
        "r4",
        "i2",
        "i3",
        "d2",
        "g2",
        "g3",
        "x1",
        "x1e",
    }
)


def successors(family: str) -> tuple[str, ...]:
    """Return the families that succeed ``family``, the preferred one first."""
    found = SUCCESSIONS.get(family)
    return found.families if found else ()


def is_old(family: str) -> bool:
    """Return whether ``family`` is of a previous generation, and not merely older."""
    found = SUCCESSIONS.get(family)
    return found is not None and found.old
