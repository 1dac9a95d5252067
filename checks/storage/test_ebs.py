"""EBS: gp2 volumes that would cost less as gp3, and old snapshots that nothing needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_finops.fixtures import ebs
from pytest_finops.fixtures.ebs import Snapshot, Volume

import pytest_finops as finops

from .. import money, snapshots, volumes


@finops.rule("ebs-gp2-to-gp3")
def test_ebs_gp2_to_gp3(ebs_volumes: Sequence[Volume], prices: Any, findings: Any, rule: finops.Rule) -> None:
    """gp3 with the same IOPS and throughput costs less than gp2."""
    for volume in ebs_volumes:
        if not rule.holds(volume):
            continue
        target = volumes.matched_gp3(volume)
        current_lines, target_lines = volume.full_price(prices), target.lines(prices, volume)
        saved = money.saving(current_lines, target_lines)
        if saved is None:
            findings.not_evaluated(volume, money.missing((*current_lines, *target_lines)))
        elif saved > 0:
            findings.report(
                volume,
                current_lines=current_lines,
                target_lines=target_lines,
                **volumes.words(volume, target),
            )


@finops.rule("ebs-old-snapshots")
def test_ebs_old_snapshots(
    ebs_snapshots: Sequence[Snapshot], ebs_snapshot_sharing: Any, ebs_volumes: Any, amis: Any,
    launch_template_versions: Any, launch_configurations: Any, prices: Any, findings: Any, rule: finops.Rule,
) -> None:  # fmt: skip
    """Old snapshots that no AMI, launch template, other account or backup service needs."""
    named = [ebs.referenced(one) for one in (amis, launch_template_versions, launch_configurations)]
    newest, existing = ebs.newest(ebs_snapshots), ebs.places(ebs_volumes)
    lineages = snapshots.lineages(ebs_snapshots)
    going = {}
    for snapshot in ebs_snapshots:
        if ebs.stays(snapshot, newest, existing, *named) or not rule.holds(snapshot):
            continue
        sharing = ebs_snapshot_sharing.get(snapshot.id, snapshot.target)
        if sharing is None:
            findings.not_evaluated(snapshot, "not known whether it is shared")
        elif not sharing.shared_with:
            going[ebs.place(snapshot)] = snapshot
    for snapshot in going.values():
        lineage = lineages[snapshot.target, snapshot.lineage]
        current = f"{snapshot.age_days:.0f} days old"
        findings.report(snapshot, current=current, **snapshots.claim(snapshot, lineage, going, prices))
