"""Shards: one run's share of the accounts, so that many machines can audit one organization."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .options import Shard
    from .targets import Discovery


def owned(account_ids: Iterable[str], shard: Shard) -> frozenset[str]:
    """Return the accounts of one shard: the sorted ids, dealt in turn, so that shares differ by one at most."""
    return frozenset(sorted(set(account_ids))[shard.number - 1 :: shard.of])


def narrow(discovery: Discovery, shard: Shard) -> None:
    """Keep one shard's accounts. Every shard resolves all of them: names and payer are then the same.

    Accounts that could not be entered are dealt like the others, or the shares would differ between machines.
    """
    ids = {target.account_id for target in discovery.targets} | {one.name for one in discovery.failed}
    mine = owned(ids, shard)
    discovery.targets = [target for target in discovery.targets if target.account_id in mine]
    discovery.failed = [one for one in discovery.failed if one.name in mine]
