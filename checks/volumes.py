"""Volumes: the gp3 configuration that matches a gp2 volume, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_finops.fixtures.ebs import GP3_IOPS, GP3_THROUGHPUT, Prices, Volume, volume_lines

from pytest_finops import PriceLine

#: gp2 gives 3 IOPS a GiB, at most this many.
GP2_MOST_IOPS = 16_000

#: From this size on gp2 delivers 250 MiB/s for ever; smaller ones only on burst credits, at most 125 is kept.
GP2_FAST_FROM_GIB = 334
GP2_MOST_THROUGHPUT = 250


@dataclass(frozen=True, slots=True)
class Gp3:
    """A gp3 configuration: size, IOPS and throughput (MiB/s)."""

    size_gib: int
    iops: int
    throughput: int

    @property
    def text(self) -> str:
        """The configuration for people: ``gp3, 100 GiB, 3000 IOPS, 125 MiB/s``."""
        return f"gp3, {self.size_gib} GiB, {self.iops} IOPS, {self.throughput} MiB/s"

    def lines(self, prices: Prices, volume: Volume) -> tuple[PriceLine, ...]:
        """Return what ``volume`` would cost a month in this configuration."""
        lines: tuple[PriceLine, ...] = volume_lines(
            prices, volume, "gp3", self.size_gib, self.iops, self.throughput
        )
        return lines


def matched_gp3(volume: Volume) -> Gp3:
    """Return the gp3 configuration that gives what the gp2 ``volume`` gives without burst credits."""
    return Gp3(
        size_gib=volume.size_gib,
        iops=min(max(3 * volume.size_gib, GP3_IOPS), GP2_MOST_IOPS),
        throughput=GP2_MOST_THROUGHPUT if volume.size_gib >= GP2_FAST_FROM_GIB else GP3_THROUGHPUT,
    )


def words(volume: Volume, target: Gp3) -> dict[str, Any]:
    """Return the words of a finding that proposes ``target``, as arguments of ``findings.report``."""
    kept = (
        "the 250 MiB/s that gp2 sustains"
        if target.throughput > GP3_THROUGHPUT
        else "gp2's 125 MiB/s without burst"
    )
    return {
        "current": f"gp2, {volume.size_gib} GiB",
        "confidence": "high",
        "evidence": {
            "target": target.text,
            "target_iops": target.iops,
            "target_throughput_mib": target.throughput,
            "matched_to": f"3 IOPS a GiB (at least {GP3_IOPS}, at most {GP2_MOST_IOPS}) and {kept}",
        },
        "recommendation": f"Change the volume to {target.text}; it keeps {kept}.",
    }
