"""Upkeep of ``finops.yaml``: which exemptions and expected blind spots ended, and which match nothing any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import PurePath

from .audit import BlindSpot, Upkeep
from .exemptions import Exemption, ExpectedBlindSpot
from .results import Row

#: Outcomes that do not tell whether an exemption still covers something.
UNSEEN = ("skipped", "error", "not_run")


def of_exemptions(
    entries: Sequence[Exemption], rows: Sequence[Row], known_rules: Collection[str], today: date
) -> tuple[Upkeep, ...]:
    """Return how each exemption fared: what it reaches, what of that could not look, what it covers."""
    matched = Counter(number for row in rows for number in row.exemptions)
    found = []
    for number, entry in enumerate(entries):
        reach = [
            row
            for row in rows
            if entry.rule in (None, row.rule_id) and entry.account in (None, row.account_id)
        ]
        found.append(
            Upkeep(
                kind="exemption", entry=str(entry), source=PurePath(entry.source).name, expires=entry.expires.isoformat(),
                expired=entry.expires < today, known=entry.rule is None or entry.rule in known_rules,
                checks=len(reach), unseen=sum(row.outcome in UNSEEN for row in reach), matched=matched[number],
            )
        )  # fmt: skip
    return tuple(found)


def of_blind_spots(
    entries: Iterable[ExpectedBlindSpot], spots: Sequence[BlindSpot], today: date
) -> tuple[Upkeep, ...]:
    """Return how each expected blind spot fared."""
    return tuple(
        Upkeep(
            kind="expected_blind_spot", entry=str(entry), source=PurePath(entry.source).name, expires=entry.expires.isoformat(),
            expired=entry.expires < today,
            # What is expected without its code was refused; an audit does not say it of the rest.
            matched=sum(
                entry.covers(
                    account_id=s.account_id, region=s.region, service=s.service, code=s.code, refused=s.expected
                )
                for s in spots
            ),
        )
        for entry in entries
    )  # fmt: skip


def joined(parts: Iterable[Iterable[Upkeep]]) -> tuple[Upkeep, ...]:
    """Return the upkeep of several audits of one configuration, as one audit of everything would have it."""
    found: dict[tuple[str, str, str], Upkeep] = {}
    for part in parts:
        for entry in part:
            key = (entry.kind, entry.source, entry.entry)
            other = found.get(key)
            found[key] = entry if other is None else replace(
                other, known=other.known or entry.known, checks=other.checks + entry.checks,
                unseen=other.unseen + entry.unseen, matched=other.matched + entry.matched,
            )  # fmt: skip
    return tuple(sorted(found.values(), key=lambda entry: entry.kind != "exemption"))


def warnings(entries: Iterable[Upkeep], *, whole: bool) -> tuple[str, ...]:
    """Return a line for each entry that needs attention.

    Only a ``whole`` audit knows what matches nothing: in a shard the match may stand in another one.
    """
    return tuple(line for entry in entries if (line := _warning(entry, whole)))


def _warning(entry: Upkeep, whole: bool) -> str:
    named = f"{entry.entry} ({entry.source})"
    what = entry.kind.replace("_", " ")
    if entry.expired:
        return f"expired {what}: {named}"
    if entry.kind == "exemption" and not entry.known:
        return f"exemption of a rule that does not exist here: {named}"
    if entry.matched or not whole:
        return ""
    if entry.kind != "exemption":
        return f"expected blind spot did not occur: {named}"
    if not entry.checks:
        return ""  # a narrower selection: nothing is known about this exemption
    if entry.unseen:
        return f"exemption matches nothing, but {entry.unseen} of its {entry.checks} checks could not look: {named}"
    return f"exemption no longer matches anything: {named}"
