"""Snapshots: what deleting them frees."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pytest_finops.fixtures.ebs import Place, Prices, Snapshot, freshness, place

from pytest_finops import Component

from . import money


@dataclass(frozen=True, slots=True)
class Lineage:
    """All snapshots of one source volume, oldest first. They share blocks: one is gone only when all that use it are."""

    snapshots: tuple[Snapshot, ...]

    @property
    def newest(self) -> Snapshot:
        """The completed snapshot that was started last (of any state, if none is completed)."""
        return max(self.snapshots, key=freshness)

    def goes(self, going: Collection[Place]) -> bool:
        """Return whether every snapshot of it is among ``going``: only then its last blocks are freed."""
        return all(place(snapshot) in going for snapshot in self.snapshots)


def lineages(snapshots: Iterable[Snapshot]) -> dict[Place, Lineage]:
    """Return the lineages by target and source volume; each copy is a lineage of its own."""
    found: dict[Place, list[Snapshot]] = {}
    for snapshot in snapshots:
        found.setdefault((snapshot.target, snapshot.lineage), []).append(snapshot)
    return {key: Lineage(tuple(sorted(members, key=_started))) for key, members in found.items()}


def _started(snapshot: Snapshot) -> tuple[float, str]:
    # An unknown start sorts first, so that such a snapshot is never taken for the newest.
    return (float("-inf") if snapshot.age_days is None else -snapshot.age_days), snapshot.id


def claim(snapshot: Snapshot, lineage: Lineage, going: Collection[Place], prices: Prices) -> dict[str, Any]:
    """Return the money side of a finding on ``snapshot``, as arguments of ``findings.report``.

    Billed is what changed since the snapshot before, which AWS does not tell. Sure is only the newest of a
    lineage that goes as a whole, ``together``: at least all its blocks are freed. All others show a range and no
    saving.
    """
    size = snapshot.full_size_gib
    line = prices.line(
        "ebs.snapshot", snapshot, snapshot.size_gib if size is None else size, component=snapshot.component
    )
    bound = money.total([line])
    whole = lineage.goes(going)
    evidence = {
        "source_volume": snapshot.volume_id if snapshot.has_source else None,
        "snapshots_in_lineage": len(lineage.snapshots),
        "whole_lineage": whole,
        "savings_up_to": None if bound is None else str(bound),
        "bound": "volume size" if size is None else "full snapshot size",
    }
    if whole and snapshot is lineage.newest and size is not None:
        return {
            "current_lines": (line,), "confidence": "medium", "evidence": evidence, "together": lineage.snapshots,
        }  # fmt: skip
    evidence["savings_from"] = "0"
    unpriced = (Component(snapshot.component, None, None),)
    return {"components": unpriced, "confidence": "low", "evidence": evidence}
