"""The limiter: never above AWS's published rates, and no request waits for another's bucket."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_finops.collector.executor import Collector
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Bucket, Limiter
from pytest_finops.collector.store import Store
from pytest_finops.declare import Inventory
from pytest_finops.operations import _table, operation
from pytest_finops.resources import Target

RATES = sorted(
    {(one.rate_per_second, one.burst) for one in (operation(*call.split(".", 1)) for call in _table())}
)


@given(rate=st.sampled_from(RATES), pauses=st.lists(st.floats(0, 20), min_size=1, max_size=300))
def test_at_half_the_published_rate_nothing_is_throttled(
    rate: tuple[float, float], pauses: list[float]
) -> None:
    now = 0.0
    ours = Bucket(rate[0] * 0.5, rate[1] * 0.5, clock=lambda: now)
    sent = []
    for pause in pauses:
        now += pause if pause < 10 else 0.0
        sent.append(now + ours.reserve())

    tokens, last = float(rate[1]), 0.0
    for at in sorted(sent):
        tokens = min(rate[1], tokens + (at - last) * rate[0])
        last = at
        assert tokens >= 1, f"throttled at {at}"
        tokens -= 1


class Slow:
    """A source of which one target has a bucket that is nearly empty."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.answered: list[str] = []

    def pages(
        self, target: Target, declaration: Inventory, params: Mapping[str, Any], *_: Any
    ) -> Iterator[tuple[Mapping[str, Any], bool]]:
        rate, burst = (20.0, 1.0) if target.region == "slow" else (1000.0, 1000.0)
        self.limiter.wait(self.limiter.bucket(target.region, rate, burst))
        self.answered.append(target.region)
        yield {"Volumes": []}, True

    def metrics(self, *_: Any, **__: Any) -> dict[Any, Any]:
        raise AssertionError("no metric is asked for")


def inventory(name: str) -> Inventory:
    return Inventory(
        name=name, service="ec2", operation="describe_volumes", key="Volumes[]", parse=lambda _: []
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_who_waits_for_one_bucket_holds_up_no_other(threads: int) -> None:
    limiter = Limiter(1.0, threading.Event())
    source = Slow(limiter)
    collector = Collector(source, Store(), Ledger(), threads=threads, stop=threading.Event(), limiter=limiter)
    slow, fast = Target("1", "slow"), Target("1", "fast")
    wanted = [(inventory(f"slow{n}"), slow) for n in range(8)] + [(inventory("fast"), fast)]

    begun = time.monotonic()
    collector.inventories(wanted, {})
    spent = time.monotonic() - begun

    assert source.answered.index("fast") <= 1 + threads, source.answered
    assert source.answered.count("slow") == 8
    assert spent >= 7 / 20 * 0.95, "eight requests, one at once and twenty a second"


def test_an_interrupt_does_not_wait_for_tokens() -> None:
    stop = threading.Event()
    limiter = Limiter(1.0, stop)
    source = Slow(limiter)
    collector = Collector(source, Store(), Ledger(), threads=2, stop=stop, limiter=limiter)
    threading.Timer(0.2, stop.set).start()

    begun = time.monotonic()
    collector.inventories([(inventory(f"slow{n}"), Target("1", "slow")) for n in range(200)], {})

    assert time.monotonic() - begun < 3
    assert len(source.answered) < 100
