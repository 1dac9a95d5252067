"""What must hold for every ladder, and between prices: drawn at random, and for every price of the snapshot."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from price_kit import TODAY, Thing

from pytest_finops.prices import PriceBook, bundled, key
from pytest_finops.prices.invariants import violations
from pytest_finops.prices.ladder import Ladder

PRICE = st.decimals(min_value=0, max_value=100, places=10)
QUANTITY = st.decimals(min_value=0, max_value=10**7, places=3)


@st.composite
def ladders(draw: st.DrawFn) -> Ladder:
    starts = draw(st.lists(st.integers(1, 10**6), unique=True, max_size=5))
    return Ladder(tuple((Decimal(start), draw(PRICE)) for start in [0, *sorted(starts)]))


@given(ladders(), QUANTITY, QUANTITY)
def test_a_ladder_is_monotone_and_additive(ladder: Ladder, first: Decimal, more: Decimal) -> None:
    last_units = sum((units * price for units, price in ladder.parts(first, first + more)), Decimal(0))
    assert ladder.cost(first) <= ladder.cost(first + more)
    assert ladder.cost(first + more) == ladder.cost(first) + last_units
    assert sum((units for units, _ in ladder.parts(first, first + more)), Decimal(0)) == more


@given(ladders(), QUANTITY, st.decimals(min_value="0.001", max_value=1, places=3))
def test_a_ladder_is_continuous(ladder: Ladder, quantity: Decimal, step: Decimal) -> None:
    dearest = max(price for _, price in ladder.steps)
    assert ladder.cost(quantity + step) - ladder.cost(quantity) <= step * dearest


@given(ladders())
def test_a_ladder_reads_what_it_writes(ladder: Ladder) -> None:
    assert Ladder.parse(str(ladder)) == ladder
    assert Ladder.parse(str(ladder.normalized())).steps == ladder.steps


@pytest.mark.parametrize("text", ["", "x", "1:2", "1 2", "1 5:2 3:1", "-1", "1 5:NaN", "Inf"])
def test_other_ladders_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Ladder.parse(text)


@given(QUANTITY, QUANTITY)
def test_a_saving_is_worth_the_last_units(kept: Decimal, gone: Decimal) -> None:
    prices = PriceBook("offline", today=TODAY)
    ladder = prices.resolve("transfer.internet", "us-east-1", {}).prices
    assert ladder is not None
    lines = prices.lines("transfer.internet", Thing(), gone, total=kept + gone)
    assert sum((line.amount or Decimal(0) for line in lines), Decimal(0)) == ladder.cost(
        kept + gone
    ) - ladder.cost(kept)


def prices(**rows: str) -> dict[object, Ladder]:
    """EC2, EBS and RDS prices by a short name."""
    keys = {
        "shared": key("ec2.instance", "us-east-1", {"instance_type": "m5.large"}),
        "dedicated": key("ec2.instance", "us-east-1", {"instance_type": "m5.large", "tenancy": "dedicated"}),
        "windows": key("ec2.instance", "us-east-1", {"instance_type": "m5.large", "operation": "RunInstances:0002"}),
        "byol": key("ec2.instance", "us-east-1", {"instance_type": "m5.large", "operation": "RunInstances:0800"}),
        "gp2": key("ebs.storage", "us-east-1", {"volume_type": "gp2"}),
        "gp3": key("ebs.storage", "us-east-1", {"volume_type": "gp3"}),
        "single": key("rds.instance", "us-east-1", {"instance_class": "db.m5.large", "engine": "mysql"}),
        "multi": key("rds.instance", "us-east-1", {"instance_class": "db.m5.large", "engine": "mysql", "multi_az": True}),
    }  # fmt: skip
    return {keys[name]: Ladder.parse(price) for name, price in rows.items()}


HOURLY = st.decimals(min_value="0.01", max_value=10, places=4)


@given(HOURLY, HOURLY)
def test_a_wrong_sku_shows(one: Decimal, other: Decimal) -> None:
    """Whatever the prices are: the cheaper of a pair that costs more is found, and nothing else is."""

    def found(left: str, right: str) -> bool:
        return bool(list(violations(prices(**{left: f"{one:f}", right: f"{other:f}"}))))  # type: ignore[arg-type]

    assert found("shared", "dedicated") == (one > other)
    assert found("shared", "windows") == (one > other)
    assert found("shared", "byol") == (one != other)
    assert found("single", "multi") == (not Decimal("1.9") <= other / one <= Decimal("2.1"))


@given(*[st.decimals(min_value="0.01", max_value="0.5", places=4)] * 2)
def test_gp3_is_never_dearer_than_gp2(gp2: Decimal, gp3: Decimal) -> None:
    found = list(violations(prices(gp2=f"{gp2:f}", gp3=f"{gp3:f}")))  # type: ignore[arg-type]
    assert bool(found) == (gp3 > gp2)


def test_nothing_is_free_and_nothing_absurd() -> None:
    assert list(violations(prices(gp2="0")))  # type: ignore[arg-type]
    assert list(violations(prices(gp2="7")))  # type: ignore[arg-type]
    assert not list(violations(prices(gp2="0 100:0.1")))  # type: ignore[arg-type]


def test_every_price_of_the_snapshot_holds() -> None:
    assert list(violations({wanted: price.prices for wanted, price in bundled().items()})) == []
