"""What reservations and Savings Plans leave of a saving: by hand, then through real processes."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from finops_kit import ACCOUNT, audit, environment
from pytest_finops.fixtures.reservations import ReservedDatabases, ReservedInstances, SavingsPlan, normalized

import pytest_finops as finops
from pytest_finops.commitments import Commitment, Estate, Reconciler, coverage, uncovered
from pytest_finops.findings import Finding, PriceLine, cents
from pytest_finops.net import key_of
from pytest_finops.prices import CATALOGUE, PriceKey, key
from pytest_finops.testing import Estate as Accounts
from pytest_finops.testing import Fault, ReplayEndpoint

HERE = finops.Target(ACCOUNT, "us-east-1")
PRICES = {
    "m5.large": "0.096", "m5.xlarge": "0.192", "m5.2xlarge": "0.384", "m4.2xlarge": "0.40", "m6i.2xlarge": "0.384",
    "db.m5.large": "0.171", "db.m5.large/az": "0.342", "db.m5.xlarge": "0.342",
}  # fmt: skip
COMMITTABLE = frozenset(name for name, row in CATALOGUE.items() if row.committable)


def ec2(name: str, region: str = "us-east-1", **more: str) -> PriceKey:
    return key("ec2.instance", region, {"instance_type": name, **more})


def rds(name: str, *, multi_az: bool = False, engine: str = "mysql", **more: str) -> PriceKey:
    return key(
        "rds.instance", "us-east-1", {"instance_class": name, "engine": engine, "multi_az": multi_az, **more}
    )


def price(wanted: PriceKey) -> Decimal | None:
    given = dict(wanted.attributes)
    name = given.get("instance_type") or given["instance_class"] + (
        "/az" if given["multi_az"] == "true" else ""
    )
    return Decimal(PRICES[name]) if name in PRICES else None


def reserved(name: str, count: int = 1, **answer: Any) -> Commitment:
    given = {
        "ReservedInstancesId": f"ri-{name}", "InstanceType": name, "InstanceCount": count, "State": "active",
        "Scope": "Region", "ProductDescription": "Linux/UNIX", "InstanceTenancy": "default",
    }  # fmt: skip
    return ReservedInstances.from_api({**given, **answer}, HERE)


def database(name: str, count: int = 1, **answer: Any) -> Commitment:
    given = {
        "ReservedDBInstanceId": f"rdb-{name}",
        "DBInstanceClass": name,
        "DBInstanceCount": count,
        "ProductDescription": "mysql",
    }
    return ReservedDatabases.from_api({**given, **answer}, HERE)


def plan(kind: str, commitment: str, **answer: Any) -> Commitment:
    given = {
        "savingsPlanId": f"sp-{kind}",
        "savingsPlanType": kind,
        "commitment": commitment,
        "state": "active",
    }
    return SavingsPlan.from_api({**given, **answer}, HERE)


def line(wanted: PriceKey, hours: int = 730) -> PriceLine:
    return PriceLine(
        dimension=wanted.dimension, region=wanted.region, quantity=Decimal(hours), unit="h", unit_price=price(wanted),
        source="snapshot", attributes=wanted.attributes,
    )  # fmt: skip


def finding(
    resource: str,
    now: PriceKey | None,
    then: PriceKey | None = None,
    *,
    more: Sequence[PriceLine] = (),
    **fields: Any,
) -> Finding:
    current = [*([line(now)] if now else []), *more]
    target = [line(then)] if then else []
    amounts = [one.amount or Decimal(0) for one in current], [one.amount or Decimal(0) for one in target]
    values: dict[str, Any] = {
        "id": resource, "rule_id": "ec2-low-cpu", "name": "n", "category": "compute", "severity": "low",
        "effort": "low", "restart": False, "risk": "low", "confidence": "high", "kind": "optimisation",
        "action": "rightsize", "resource_id": resource, "resource_arn": "", "resource_type": "T",
        "account_id": ACCOUNT, "region": "us-east-1", "current_lines": tuple(current), "target_lines": tuple(target),
        "estimated_monthly_savings": sum(amounts[0], Decimal(0)) - sum(amounts[1], Decimal(0)),
    }  # fmt: skip
    return Finding(**{**values, **fields})


def reconciled(
    running: Mapping[str, PriceKey],
    commitments: Sequence[Commitment],
    *found: Finding,
    zone: str = "us-east-1a",
    unknown: str = "",
) -> list[Finding]:
    places = {(ACCOUNT, "us-east-1", name): (wanted, zone) for name, wanted in running.items()}
    estate = Estate(Counter(places.values()), commitments, places, unknown=unknown)
    covered = frozenset(wanted.dimension for wanted in running.values()) | {"ec2.instance"}
    return Reconciler(lambda _: estate, COMMITTABLE, covered, price, key_of).reconcile(found)


def nets(
    running: Mapping[str, PriceKey],
    commitments: Sequence[Commitment],
    *found: Finding,
    zone: str = "us-east-1a",
    unknown: str = "",
) -> list[str | None]:
    """The net savings of findings, rounded, where ``running`` runs: resource id -> price."""
    done = reconciled(running, commitments, *found, zone=zone, unknown=unknown)
    return [None if one.net_monthly_savings is None else str(cents(one.net_monthly_savings)) for one in done]


XL, L = ec2("m5.xlarge"), ec2("m5.large")
ONE = finding("i-1", XL, L)


def many(count: int) -> dict[str, PriceKey]:
    return {f"i-{n}": XL for n in range(1, count + 1)}


@pytest.mark.parametrize(
    ("running", "commitments", "net"),
    [
        (1, [], "70.08"),  # (0.192 - 0.096) x 730
        # The only instance is covered: half of its reservation would go unused.
        (1, [reserved("m5.xlarge")], "0.00"),
        # A second one pays on demand and takes the freed half.
        (2, [reserved("m5.xlarge")], "70.08"),
        # Size flexibility: two large ones are one xlarge; one large covers half, so that the other half is saved.
        (1, [reserved("m5.large", 2)], "0.00"),
        (1, [reserved("m5.large")], "70.08"),
        (1, [reserved("m5.2xlarge")], "0.00"),
        # Others: another family, region scope elsewhere, tenancy, platform, zone.
        (1, [reserved("m4.xlarge")], "70.08"),
        (1, [reserved("m5.xlarge", InstanceTenancy="dedicated")], "70.08"),
        (1, [reserved("m5.xlarge", ProductDescription="Windows")], "70.08"),
        (1, [reserved("m5.xlarge", Scope="Availability Zone", AvailabilityZone="us-east-1b")], "70.08"),
        # Zonal: covers the xlarge and nothing else, so that the large one is bought: -0.096 x 730.
        (1, [reserved("m5.xlarge", Scope="Availability Zone", AvailabilityZone="us-east-1a")], "-70.08"),
        # A platform that nobody knows is taken to cover it, and the large one is bought.
        (1, [reserved("m5.xlarge", ProductDescription="Plan 9")], "-70.08"),
    ],
)  # fmt: skip
def test_reserved_instances(running: int, commitments: list[Commitment], net: str) -> None:
    assert nets(many(running), commitments, ONE) == [net]


def test_freed_hours_are_given_away_once() -> None:
    # 16 reserved units, 24 run: 8 are bought. Each finding frees 4, so two are worth their list price, not three.
    found = [finding(f"i-{n}", XL, L) for n in (1, 2, 3)]
    assert nets(many(3), [reserved("m5.xlarge", 2)], *found) == ["70.08", "70.08", "0.00"]
    # What is accepted is not acted on and takes nothing.
    kept = finding("i-1", XL, L, status="accepted")
    assert nets(many(3), [reserved("m5.xlarge", 2)], kept, *found[1:]) == ["70.08", "70.08", "70.08"]


def test_leaving_a_reserved_family_costs() -> None:
    # The reservation is paid on; m6i.2xlarge comes on top: -0.384 x 730.
    old = finding("i-1", ec2("m4.2xlarge"), ec2("m6i.2xlarge"))
    assert nets({"i-1": ec2("m4.2xlarge")}, [reserved("m4.2xlarge")], old) == ["-280.32"]
    # Into a family whose reservation lies idle everything is saved: 0.40 x 730.
    assert nets({"i-1": ec2("m4.2xlarge")}, [reserved("m6i.2xlarge")], old) == ["292.00"]


def test_two_findings_on_one_instance_are_each_judged_from_today() -> None:
    smaller = finding("i-1", ec2("m4.2xlarge"), None)
    newer = finding("i-1", ec2("m4.2xlarge"), ec2("m6i.2xlarge"), id="other", rule_id="ec2-old-generation")
    assert nets({"i-1": ec2("m4.2xlarge")}, [reserved("m4.2xlarge")], smaller, newer) == ["0.00", "-280.32"]


@pytest.mark.parametrize(
    ("commitments", "net"),
    [
        # 0.0528 / (1 - 0.72) covers 0.188571 of 0.192 an hour: 0.003429 x 730 = 2.50 is bought, and saved.
        ([plan("EC2Instance", "0.0528", region="us-east-1", ec2InstanceFamily="m5")], "2.50"),
        ([plan("EC2Instance", "0.0528", region="eu-west-1", ec2InstanceFamily="m5")], "70.08"),
        ([plan("EC2Instance", "0.0528", region="us-east-1", ec2InstanceFamily="m4")], "70.08"),
        # 0.034 / (1 - 0.66) = 0.10 of 0.192: 0.092 x 730
        ([plan("Compute", "0.034")], "67.16"),
        ([plan("Compute", "10")], "0.00"),
        ([plan("Database", "10"), plan("SageMaker", "10")], "70.08"),
        ([plan("Tea", "10")], "0.00"),
        # The reservation is used first; the plan covers nothing that this changes.
        ([reserved("m5.xlarge"), plan("Compute", "10")], "0.00"),
    ],
)  # fmt: skip
def test_the_kinds_of_savings_plans(commitments: list[Commitment], net: str) -> None:
    assert nets(many(1), commitments, ONE) == [net]


def test_a_plan_says_at_least() -> None:
    (done,) = reconciled({"i-1": XL}, [plan("Compute", "0.034")], ONE)
    assert done.metadata["net_basis"] == "at least if discounts are alike, after sp-Compute"


def m5_plan(commitment: str, rates: Mapping[PriceKey, str]) -> Commitment:
    made = plan("EC2Instance", commitment, region="us-east-1", ec2InstanceFamily="m5")
    return made.charging({one: Decimal(rate) for one, rate in rates.items()}, at_least=False)


M4 = ec2("m4.2xlarge")
RATES = {XL: "0.12", L: "0.06"}  # 37.5 % off 0.192 and 0.096


@pytest.mark.parametrize(
    ("running", "commitment", "net"),
    [
        # Covered as it is: the other half of the commitment would go unused.
        (1, "0.12", "0.00"),
        # Half of it is covered, the other half is bought: 0.096. A large one takes 0.06, all of it: 0.096 x 730.
        (1, "0.06", "70.08"),
        # 0.09 covers three quarters: 0.25 x 0.192 = 0.048 is bought, and saved: 0.048 x 730.
        (1, "0.09", "35.04"),
        # Two take 0.24: the second is bought, 0.192. Then 0.18: 0.06 for the large one, 0.06 for half of the other,
        # whose other half is bought, 0.096.
        (2, "0.12", "70.08"),
        # Three take 0.36 of 0.30: half of one is bought, 0.096. Then all are covered.
        (3, "0.30", "70.08"),
    ],
)
def test_a_plan_at_its_own_rates_is_exact(running: int, commitment: str, net: str) -> None:
    (done,) = reconciled(many(running), [m5_plan(commitment, RATES)], ONE)
    assert str(cents(done.net_monthly_savings or Decimal(0))) == net
    assert done.metadata["net_basis"] == (
        f"after sp-EC2Instance; sp-EC2Instance charges 0.12 USD an hour for {XL}; "
        f"sp-EC2Instance charges 0.06 USD an hour for {L}"
    )
    # What it follows from adds up: hours bought on demand, and what one costs.
    lines = done.metadata.get("net_lines", [])
    assert cents(-730 * sum((one["hours"] * one["unit_price"] for one in lines), Decimal(0))) == Decimal(net)


def test_what_a_plan_frees_is_taken_by_what_saves_most() -> None:
    # 0.14 of 0.192 is 27 % off, 0.32 of 0.40 is 20 %: the m5 is covered first, the m4 is bought. Without the m5
    # 0.14 covers 0.14 / 0.32 = 0.4375 of the m4: 0.4375 x 0.40 x 730 = 127.75, not the 140.16 at list price.
    freed = plan("Compute", "0.14").charging({XL: Decimal("0.14"), M4: Decimal("0.32")}, at_least=False)
    running = {"i-1": XL, "i-2": M4}
    (done,) = reconciled(running, [freed], finding("i-1", XL))
    assert done.net_monthly_savings == Decimal("127.75")
    # Fargate or Lambda, which nobody reads, might take more of it.
    assert done.metadata["net_basis"].startswith("at least, after sp-Compute; sp-Compute charges 0.14 USD")
    assert done.metadata["net_lines"] == [
        {"price": str(M4), "hours": Decimal("-0.4375"), "unit_price": Decimal("0.40")}
    ]
    # The m4 is bought as it is: deleting it saves its list price, 0.40 x 730.
    assert nets(running, [freed], finding("i-2", M4)) == ["292.00"]


def test_what_a_plan_saves_more_for_what_comes_is_not_counted_on() -> None:
    # 10 % off 0.40, 50 % off 0.384. 0.192 covers 0.192 / 0.36 of the old one, 0.1867 is bought; it covers all of the
    # new one. That would be 0.1867 x 730 = 136.27, but where Fargate takes the plan only the list prices differ.
    old, new = ec2("m4.2xlarge"), ec2("m6i.2xlarge")
    better = plan("Compute", "0.192").charging({old: Decimal("0.36"), new: Decimal("0.192")}, at_least=False)
    assert nets({"i-1": old}, [better], finding("i-1", old, new)) == ["11.68"]  # (0.40 - 0.384) x 730


SEEN = (XL, L, ec2("m5.2xlarge"), M4)
UNSEEN = (ec2("c5.large"), ec2("r5.large"))


@pytest.mark.parametrize("told", [True, False], ids=["rates", "no-rates"])
def test_what_is_said_to_be_left_at_least_is_left_whatever_is_not_seen(told: bool) -> None:
    """``told``: the rates are known; if not, all discounts are alike. What is not seen uses the plan as well."""
    judged = sum(at_least_holds(random.Random(seed), told) for seed in range(300))
    assert judged > 100


def at_least_holds(draw: random.Random, told: bool) -> bool:
    """Judge one estate; False: it is one without a bound."""
    now, then = SEEN[:2]
    listed = {one: Decimal(draw.randint(10, 100)) / 100 for one in (*SEEN, *UNSEEN)}
    alike = draw.randint(35, 95)
    rates = {one: amount * (draw.randint(35, 95) if told else alike) / 100 for one, amount in listed.items()}
    gone = draw.random() < 0.3
    if not gone and (listed[then] > listed[now] or rates[then] > rates[now]):
        return False
    bare = plan("Compute", str(Decimal(draw.randint(0, 300)) / 100))
    truth = bare.charging(rates, at_least=False)
    running = {(one, ""): Decimal(draw.randint(1 if one == now else 0, 3)) for one in SEEN}
    everything = {**running, **{(one, ""): Decimal(draw.randint(0, 3)) for one in UNSEEN}}

    def bought(used: dict[tuple[PriceKey, str], Decimal]) -> Decimal:
        left = uncovered(used, coverage([truth], used, listed.get))
        return sum((hours * listed[one] for (one, _), hours in left.items()), Decimal(0))

    after = {**everything, (now, ""): everything[now, ""] - 1}
    if not gone:
        after[then, ""] += 1
    really = (bought(everything) - bought(after)) * 730

    def priced(one: PriceKey) -> PriceLine:
        return replace(line(one), unit_price=listed[one])

    current, target = (priced(now),), () if gone else (priced(then),)
    difference = listed[now] - (Decimal(0) if gone else listed[then])
    one = finding(
        "i-1", None, current_lines=current, target_lines=target, estimated_monthly_savings=difference * 730
    )
    estate = Estate(
        {used: int(number) for used, number in running.items()}, [truth if told else bare],
        {(ACCOUNT, "us-east-1", "i-1"): (now, "")},
    )  # fmt: skip
    dimensions = frozenset({"ec2.instance"})
    (done,) = Reconciler(lambda _: estate, COMMITTABLE, dimensions, listed.get, key_of).reconcile([one])
    assert done.net_monthly_savings is not None
    assert done.metadata["net_basis"].startswith("at least")
    assert done.net_monthly_savings <= really + Decimal("1e-9")
    return True


def test_a_plan_that_charges_more_for_less_has_no_bound() -> None:
    # 0.40 becomes 0.384 at list price, under the plan 0.25 becomes 0.26: what Fargate loses by that nobody knows.
    old, new = ec2("m4.2xlarge"), ec2("m6i.2xlarge")
    dear = plan("Compute", "10").charging({old: Decimal("0.25"), new: Decimal("0.26")}, at_least=False)
    (done,) = reconciled({"i-1": old}, [dear], finding("i-1", old, new))
    assert done.net_monthly_savings is None
    assert done.metadata["net_basis"].startswith("not reconciled: a plan charges more")


def test_a_rate_that_is_missing_is_the_least_that_it_can_be() -> None:
    # The large one takes at least 0.28 x 0.096 = 0.02688, so at most 0.06 covers it whole: 0.5 x 0.192 x 730.
    (done,) = reconciled({"i-1": XL}, [m5_plan("0.06", {XL: "0.12"})], ONE)
    assert str(cents(done.net_monthly_savings or Decimal(0))) == "70.08"
    assert done.metadata["net_basis"].startswith("at least if discounts are alike, after sp-EC2Instance; ")
    # One that runs and has no rate is enough: what it leaves is not known.
    other = {"i-1": XL, "i-2": ec2("m5.2xlarge")}
    (done,) = reconciled(other, [m5_plan("0.06", RATES)], ONE)
    assert done.metadata["net_basis"].startswith("at least if discounts are alike, ")


STORAGE = PriceLine(
    dimension="rds.storage", region="us-east-1", quantity=Decimal(100), unit="GB-Mo", unit_price=Decimal("0.115"), source="snapshot"
)  # fmt: skip


@pytest.mark.parametrize(
    ("commitments", "net"),
    [
        ([], "136.33"),  # (0.342 - 0.171) x 730 + 100 x 0.115
        # Two single ones cover a Multi-AZ one: only the storage is saved.
        ([database("db.m5.large", 2)], "11.50"),
        ([database("db.m5.large", MultiAZ=True)], "11.50"),
        # One covers half of it: the other half is bought, and saved.
        ([database("db.m5.large")], "136.33"),
        ([database("db.m5.xlarge")], "11.50"),
        ([database("db.m5.large", 2, ProductDescription="postgresql")], "136.33"),
        ([database("db.m5.large", 2, ProductDescription="aurora-mysql")], "136.33"),
        ([plan("Database", "10")], "11.50"),
        ([plan("Compute", "10")], "136.33"),
    ],
)
def test_reserved_databases(commitments: list[Commitment], net: str) -> None:
    double, single = rds("db.m5.large", multi_az=True), rds("db.m5.large")
    assert nets({"db-1": double}, commitments, finding("db-1", double, single, more=[STORAGE])) == [net]


@pytest.mark.parametrize(
    ("commitment", "net"),
    [
        # 30 % off: Multi-AZ takes 0.2394, all of it. The single one leaves half unused: only the storage is saved.
        ("0.2394", "11.50"),
        # Half of it is covered, 0.171 is bought; the single one takes 0.1197: 0.171 x 730 + 11.50
        ("0.1197", "136.33"),
    ],
)
def test_a_database_plan_at_its_own_rates(commitment: str, net: str) -> None:
    double, single = rds("db.m5.large", multi_az=True), rds("db.m5.large")
    rates = {double: Decimal("0.2394"), single: Decimal("0.1197")}
    made = plan("Database", commitment).charging(rates, at_least=False)
    (done,) = reconciled({"db-1": double}, [made], finding("db-1", double, single, more=[STORAGE]))
    assert str(cents(done.net_monthly_savings or Decimal(0))) == net
    # Aurora and caches, which nobody reads, might take what is freed.
    assert done.metadata["net_basis"].startswith(
        "at least, after sp-Database; sp-Database charges 0.2394 USD"
    )


def test_licences_included_are_not_flexible() -> None:
    oracle = {"engine": "oracle-se2", "license_model": "license-included"}
    small, large = rds("db.m5.large", **oracle), rds("db.m5.xlarge", **oracle)  # type: ignore[arg-type]
    found = finding("db-1", large, small)
    for product, net in (("oracle-se2 (li)", "-124.83"), ("oracle-se2 (byol)", "124.83")):
        # Covered as it is, the smaller one would be bought: -0.171 x 730.
        assert nets({"db-1": large}, [database("db.m5.xlarge", ProductDescription=product)], found) == [net]


def test_what_is_not_known_stays_null() -> None:
    assert nets(many(1), [], ONE, unknown="savingsplans.describe_savings_plans: AccessDenied") == [None]
    # Nobody reads what is reserved of caches; nothing is ever reserved of volumes.
    cache = line(ec2("m5.large"))
    node = PriceLine(
        dimension="elasticache.node",
        region="us-east-1",
        quantity=Decimal(730),
        unit="h",
        unit_price=Decimal(1),
        source="live",
    )
    assert nets(many(1), [], finding("c", None, more=[node]), finding("v", None, more=[STORAGE])) == [
        None,
        "11.50",
    ]
    assert (
        nets(many(1), [], finding("x", XL, L), finding("i-1", L), finding("i-1", XL, more=[cache]))
        == [None] * 3
    )
    assert nets(many(1), [], finding("i-1", XL, L, estimated_monthly_savings=None)) == [None]
    # What takes the freed hours has no price.
    other = {"i-1": XL, "i-2": ec2("m5.24xlarge")}
    assert nets(other, [reserved("m5.xlarge")], ONE) == [None]


def test_sizes_are_normalised_as_aws_does() -> None:
    sizes = (
        "nano",
        "micro",
        "small",
        "medium",
        "large",
        "xlarge",
        "2xlarge",
        "24xlarge",
        "metal-24xl",
        "metal",
    )
    assert [normalized(size) for size in sizes] == [
        Decimal("0.25"),
        Decimal("0.5"),
        1,
        2,
        4,
        8,
        16,
        192,
        192,
        None,
    ]


def test_uncovered_never_exceeds_what_runs() -> None:
    running = {(XL, ""): Decimal(2), (L, ""): Decimal(1)}
    left = uncovered(running, coverage([reserved("m5.large", 100), plan("Compute", "100")], running, price))
    assert set(left.values()) == {Decimal(0)}
    assert uncovered(running, []) == running


# --- through a process --------------------------------------------------------------------------------------------

RULE = """\
version: 1
rules:
  - {id: ec2-team, name: n, description: d, category: compute, severity: low, effort: low, risk: low,
     kind: optimisation, action: rightsize, service: ec2, check_type: resource_state,
     condition: {field: state, operator: equals, value: running}, recommendation: r, remediation_effort: 1 hour,
     rollback: b, docs_url: "https://example.com/x", aws_doc: "https://docs.aws.amazon.com/x"}
"""
TEST = """\
import pytest_finops as finops

@finops.rule("ec2-team")
def test_team(ec2_instances, prices, findings, rule):
    for one in ec2_instances:
        def lines(name):
            return [prices.line("ec2.instance", one, 730, instance_type=name, component=one.component)]
        findings.report(one, current_lines=lines(one.instance_type), target_lines=lines("m5.large"))
"""
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ARGS = (
    "--finops-profile=env",
    "checks",
    "--finops-prices",
    "offline",
    "--finops-now",
    NOW.isoformat(),
    "-p",
    "no:hypothesispytest",
)


def accounts(*, alone: bool = True) -> Accounts:
    estate = Accounts(NOW)
    estate.account(ACCOUNT, "main", regions=("us-east-1",), access_key="AKIAMAIN")
    for number in range(2):
        estate.add(
            ACCOUNT, "us-east-1", "ec2.describe_instances", InstanceId=f"i-{number}", InstanceType="m5.xlarge",
            State={"Name": "running"}, LaunchTime="-90d", UsageOperation="RunInstances",
            Placement={"AvailabilityZone": "us-east-1a", "Tenancy": "default"},
        )  # fmt: skip
    for number in range(2):
        estate.add(
            ACCOUNT, "us-east-1", "ec2.describe_reserved_instances", ReservedInstancesId=f"ri-{number}",
            InstanceType="m5.large", InstanceCount=3, State="active" if number else "retired", Scope="Region",
            ProductDescription="Linux/UNIX", InstanceTenancy="default",
        )  # fmt: skip
    if alone:
        estate.refuse(
            ACCOUNT, "global", "organizations.describe_organization", "AWSOrganizationsNotInUseException"
        )
    else:
        estate.put(ACCOUNT, "global", "organizations.describe_organization", {"Organization": {"Id": "o-1"}})
    return estate


def run(
    folder: Path, estate: Accounts, *args: str, faults: Any = ()
) -> tuple[int, str, dict[str, Any], set[str]]:
    (folder / "checks").mkdir(exist_ok=True)
    (folder / "checks" / "ec2.yaml").write_text(RULE)
    (folder / "checks" / "test_team.py").write_text(TEST)
    with ReplayEndpoint(estate, faults=faults) as endpoint:
        status, output, document = audit(folder, *ARGS, *args, env=environment(endpoint.url, folder))
        return status, output, document, {f"{r.service}.{r.operation}" for r in endpoint.requests}


def test_an_audit_reconciles_what_it_finds(tmp_path: Path) -> None:
    status, output, document, asked = run(
        tmp_path, accounts(), "--finops-save-inventory", str(tmp_path / "saved")
    )

    assert status == 1, output
    # 12 reserved units, 16 run: 4 are bought. The first finding frees 4 of them, the second frees what is paid anyway.
    assert [(f["estimated_monthly_savings"], f["net_monthly_savings"]) for f in document["findings"]] == [
        ("70.08", "70.08"),
        ("70.08", "0.00"),
    ]
    assert document["totals"]["net"] == "70.08"
    assert document["total_monthly_savings"] == "140.16"
    assert document["findings"][1]["metadata"]["net_basis"] == "after ri-1"
    assert {"ec2.describe_reserved_instances", "savingsplans.describe_savings_plans"} <= asked
    assert "rds.describe_reserved_db_instances" not in asked

    replay = (
        "--finops-inventory",
        str(tmp_path / "saved"),
        "checks",
        "--finops-prices",
        "offline",
        "-n",
        "2",
    )
    _, output, again = audit(tmp_path, *replay)
    assert again["totals"] == document["totals"], output


def planned(*, alone: bool = True, rates: Sequence[tuple[str, str, str]] = ()) -> Accounts:
    """Two m5.xlarge under an EC2 Instance Savings Plan of 0.12 USD an hour; ``rates``: usage type, operation, USD."""
    estate = accounts(alone=alone)
    estate.put(ACCOUNT, "us-east-1", "ec2.describe_reserved_instances", {"ReservedInstances": []})
    estate.add(
        ACCOUNT, "global", "savingsplans.describe_savings_plans", savingsPlanId="sp-1", state="active",
        savingsPlanType="EC2Instance", commitment="0.12", region="us-east-1", ec2InstanceFamily="m5",
    )  # fmt: skip
    for usage_type, operation, rate in rates:
        estate.add(
            ACCOUNT, "global", "savingsplans.describe_savings_plan_rates", rate=rate, currency="USD", unit="Hrs",
            productType="EC2", serviceCode="AmazonEC2", usageType=usage_type, operation=operation,
        )  # fmt: skip
    return estate


OWN = [
    ("BoxUsage:m5.xlarge", "RunInstances", "0.12"),
    ("BoxUsage:m5.large", "RunInstances", "0.06"),
    ("BoxUsage:m5.xlarge", "RunInstances:0002", "0.304"),
    ("DedicatedUsage:m5.xlarge", "RunInstances", "0.13"),
    ("EU-BoxUsage:m5.xlarge", "RunInstances", "0.14"),
]
RATE_CALL = "savingsplans.describe_savings_plan_rates"


def test_the_rates_of_a_plan_are_asked_for_what_there_is(tmp_path: Path) -> None:
    estate, saved = planned(rates=OWN), tmp_path / "saved"
    _, output, document, asked = run(tmp_path, estate, "--finops-dry-run")
    assert RATE_CALL in asked
    assert [c["calls"] for c in document["calls"] if f"{c['service']}.{c['operation']}" == RATE_CALL] == [
        1
    ], output

    status, output, document, _ = run(tmp_path, estate, "--finops-save-inventory", str(saved))
    assert status == 1, output
    # 0.24 of rates, 0.12 committed: one is bought. The first that shrinks saves 0.096 of it, the second the other 0.096.
    assert [f["net_monthly_savings"] for f in document["findings"]] == ["70.08", "70.08"]
    bases = [f["metadata"]["net_basis"] for f in document["findings"]]
    assert all(
        basis.startswith("after sp-1; sp-1 charges 0.12 USD an hour for ec2.instance") for basis in bases
    )
    (line,) = (saved / ACCOUNT / "global" / f"{RATE_CALL}.jsonl").read_text().splitlines()
    page = json.loads(line)
    assert page["params"]["savingsPlanId"] == "sp-1"
    filters = {one["name"]: one["values"] for one in page["params"]["filters"]}
    model = (
        botocore.session.Session()
        .get_service_model("savingsplans")
        .operation_model("DescribeSavingsPlanRates")
    )
    assert set(filters) <= set(model.input_shape.members["filters"].member.members["name"].enum)
    assert filters["operation"] == ["RunInstances"]
    # What runs, what it may become, and nothing of other families, regions, tenancies.
    assert {"BoxUsage:m5.large", "BoxUsage:m5.xlarge"} <= set(filters["usageType"])
    assert all(name.startswith("BoxUsage:m5.") for name in filters["usageType"])
    assert [one["rate"] for one in page["answer"]["searchResults"]] == ["0.12", "0.06"]

    _, output, again = audit(
        tmp_path, "--finops-inventory", str(saved), "checks", "--finops-prices", "offline"
    )
    assert [f["metadata"] for f in again["findings"]] == [f["metadata"] for f in document["findings"]], output


@pytest.mark.parametrize("why", ["denied", "missing", "shared", "unseen"])
def test_without_its_rates_a_plan_is_bounded(tmp_path: Path, why: str) -> None:
    # The bound: 0.12 / 0.28 = 0.4286 of 0.384 are covered, so that at least nothing is saved.
    rates = OWN[:1] if why == "missing" else OWN
    estate = planned(rates=rates)
    args = ["--finops-org=FinOpsAudit"] if why == "shared" else []
    if why == "shared":
        estate.account("222222222222", "other", regions=("us-east-1",), access_key="AKIAOTHER")
        organization = {"Id": "o-1", "MasterAccountId": ACCOUNT}
        for member in (ACCOUNT, "222222222222"):
            estate.put(
                member, "global", "organizations.describe_organization", {"Organization": organization}
            )
            estate.add(
                ACCOUNT, "global", "organizations.list_accounts", Id=member, Name=member, State="ACTIVE",
                Status="ACTIVE", Paths=[f"o-1/r-1/{member}/"],
            )  # fmt: skip
        estate.put(ACCOUNT, "global", "organizations.list_roots", {"Roots": [{"Id": "r-1", "Name": "Root"}]})
    faults = [Fault("error", "savingsplans", "describe_savings_plan_rates", code="AccessDeniedException")]
    if why == "unseen":
        estate.account(ACCOUNT, "main", regions=("us-east-1", "us-west-2"), access_key="AKIAMAIN")
        faults = [
            Fault("error", "ec2", "describe_instances", region="us-west-2", code="UnauthorizedOperation")
        ]
    faults = faults if why in ("denied", "unseen") else []
    status, output, document, _ = run(tmp_path, estate, *args, faults=faults)
    assert document["findings"], output
    for one in document["findings"]:
        bound = "at least" if why in ("shared", "unseen") else "at least if discounts are alike"
        assert one["metadata"]["net_basis"].startswith(f"{bound}, after sp-1"), one["metadata"]
    if why == "denied":
        assert [f["net_monthly_savings"] for f in document["findings"]] == ["0.00", "0.00"]
        assert (status, document["complete"], document["blind_spots"]) == (1, True, [])


def test_no_plan_asks_for_no_rates(tmp_path: Path) -> None:
    _, output, _, asked = run(tmp_path, accounts())
    assert "savingsplans.describe_savings_plans" in asked, output
    assert RATE_CALL not in asked


def test_pruning_keeps_what_the_engine_reads_for_itself(tmp_path: Path) -> None:
    # Cost Explorer does not answer, so nothing is left out.
    _, output, document, asked = run(tmp_path, accounts(), "--finops-prune=spend")

    assert "nothing is pruned by spend" in output
    assert "ec2.describe_reserved_instances" in asked
    assert document["totals"]["net"] == "70.08"


def test_the_dry_run_names_the_calls_and_a_refusal_is_no_blind_spot(tmp_path: Path) -> None:
    denied = [Fault("error", "savingsplans", "describe_savings_plans", code="AccessDeniedException")]
    status, output, document, asked = run(tmp_path, accounts(), "--finops-dry-run", faults=denied)
    assert status == 0, output
    assert {f"{call['service']}.{call['operation']}" for call in document["calls"]} == asked
    assert "savingsplans.describe_savings_plans" in asked

    status, output, document, _ = run(tmp_path, accounts(), faults=denied)
    assert (status, document["complete"], document["blind_spots"]) == (1, True, [])
    assert {f["net_monthly_savings"] for f in document["findings"]} == {None}
    assert document["totals"]["net"] is None
    assert "AccessDeniedException" in document["findings"][0]["metadata"]["net_basis"]
    said = "2 of 2 findings are not reconciled with commitments, so that there is no sum after them: savingsplans."
    assert said in " ".join(output.split())


def test_a_member_of_an_organization_is_reconciled_only_with_all_of_it(tmp_path: Path) -> None:
    _, output, document, _ = run(tmp_path, accounts(alone=False))
    assert {f["net_monthly_savings"] for f in document["findings"]} == {None}, output
    assert "may share commitments" in document["findings"][0]["metadata"]["net_basis"]


def bill(*groups: tuple[str, str, str, str, str]) -> dict[str, Any]:
    made = [
        {
            "Keys": [usage_type, operation],
            "Metrics": {
                "UsageQuantity": {"Amount": quantity, "Unit": "Hrs"},
                "UnblendedCost": {"Amount": cost, "Unit": "USD"},
                "NetAmortizedCost": {"Amount": net, "Unit": "USD"},
            },
        }
        for usage_type, operation, quantity, cost, net in groups
    ]
    return {"ResultsByTime": [{"Groups": made, "Estimated": False}]}


def month(*records: str) -> dict[str, Any]:
    return {
        "TimePeriod": {"Start": "2026-10-01", "End": "2026-11-01"},
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost", "NetAmortizedCost", "UsageQuantity"],
        "GroupBy": [{"Type": "DIMENSION", "Key": name} for name in ("USAGE_TYPE", "OPERATION")],
        "Filter": {
            "And": [
                {"Dimensions": {"Key": "RECORD_TYPE", "Values": list(records)}},
                {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": [ACCOUNT]}},
            ]
        },
    }


COVERED = "DiscountedUsage", "SavingsPlanCoveredUsage"


def test_cost_data_tells_what_was_covered_and_what_was_really_paid(tmp_path: Path) -> None:
    estate = accounts(alone=False)  # a member: who bought what does not matter, the bill knows
    # October has 744 hours. 1,116 of the two instances' 1,488 were covered: 1.5 of 2 instances. The rest cost 10 % less.
    on_demand = bill(("BoxUsage:m5.xlarge", "RunInstances", "372", "71.424", "64.2816"))
    covered = bill(("BoxUsage:m5.xlarge", "RunInstances", "1116", "0", "130"))
    estate.put(ACCOUNT, "global", "ce.get_cost_and_usage", on_demand, month("Usage"))
    estate.put(ACCOUNT, "global", "ce.get_cost_and_usage", covered, month(*COVERED))

    status, output, document, asked = run(tmp_path, estate, "--finops-cost-data", "--finops-dry-run")
    assert status == 0, output
    # At most two pages of each of the two questions, and five of what single resources were billed.
    assert document["predicted"]["upper"] == "0.09"
    assert "ce.get_cost_and_usage" not in asked

    status, output, document, asked = run(tmp_path, estate, "--finops-cost-data")
    assert status == 1, output
    assert document["api_usage"]["actual_cost"] == "0.03"
    # Half an instance is bought, 0.096 an hour at list, 10 % less in fact: the first finding saves that, no other does.
    # 0.096 x 0.9 x 730 = 63.072
    assert [f["net_monthly_savings"] for f in document["findings"]] == ["63.07", "0.00"]
    assert document["findings"][0]["metadata"]["net_basis"] == (
        "at least if discounts are alike, after last month's coverage"
    )

    _, output, document, asked = run(tmp_path, estate)
    assert "ce.get_cost_and_usage" not in asked
    assert document["api_usage"]["actual_cost"] == "0"


def test_a_bill_overrules_no_commitment_that_is_known(tmp_path: Path) -> None:
    # The account stands alone, so that its reservation is all there is. Its bill has not a line: nothing is told by that.
    _, output, document, _ = run(tmp_path, accounts(), "--finops-cost-data")
    assert [f["net_monthly_savings"] for f in document["findings"]] == ["70.08", "0.00"], output

    # What a unit cost in fact counts all the same: 0.096 x 0.9 x 730.
    estate = accounts()
    on_demand = bill(("BoxUsage:m5.xlarge", "RunInstances", "372", "71.424", "64.2816"))
    estate.put(ACCOUNT, "global", "ce.get_cost_and_usage", on_demand, month("Usage"))
    _, output, document, _ = run(tmp_path, estate, "--finops-cost-data")
    assert [f["net_monthly_savings"] for f in document["findings"]] == ["63.07", "0.00"], output


@pytest.mark.parametrize(
    ("start", "billed", "nets", "basis"),
    [
        # Bought before last month began: the bill knows it, and nothing was covered.
        ("2026-09-30T00:00:00Z", True, ["70.08", "70.08"], "no reservation or Savings Plan applied last month"),
        # 12 reserved units since the middle of the month, or since today, 16 run.
        ("2026-10-15T00:00:00Z", True, ["70.08", "0.00"], "at least, after ri-1"),
        ("2026-11-01T00:00:00Z", True, ["70.08", "0.00"], "at least, after ri-1"),
        # Last month nothing of the kind ran: others may have bought something since.
        ("2026-11-01T00:00:00Z", False, [None, None], "not reconciled: last month's bill has no usage of this kind"),
        ("2026-09-30T00:00:00Z", False, [None, None], "not reconciled: last month's bill has no usage of this kind"),
    ],
)  # fmt: skip
def test_a_bill_says_nothing_of_what_it_has_no_line_of_or_came_later(
    tmp_path: Path, start: str, billed: bool, nets: list[str | None], basis: str
) -> None:
    estate = accounts(alone=False)
    estate.put(
        ACCOUNT, "us-east-1", "ec2.describe_reserved_instances",
        {"ReservedInstances": [{
            "ReservedInstancesId": "ri-1", "InstanceType": "m5.large", "InstanceCount": 3, "State": "active",
            "Scope": "Region", "ProductDescription": "Linux/UNIX", "InstanceTenancy": "default", "Start": start,
        }]},
    )  # fmt: skip
    if billed:
        on_demand = bill(("BoxUsage:m5.xlarge", "RunInstances", "1488", "285.696", "285.696"))
        estate.put(ACCOUNT, "global", "ce.get_cost_and_usage", on_demand, month("Usage"))
    _, output, document, _ = run(tmp_path, estate, "--finops-cost-data")
    assert [f["net_monthly_savings"] for f in document["findings"]] == nets, output
    assert {f["metadata"]["net_basis"] for f in document["findings"]} == {basis}


def test_a_bill_that_is_not_whole_or_not_clear_is_no_coverage(tmp_path: Path) -> None:
    estate = accounts(alone=False)
    estate.put(ACCOUNT, "global", "ce.get_cost_and_usage", bill(), month("Usage"))
    unclear = bill(("BoxUsage:m5.xlarge", "RunInstances:9999", "1116", "0", "130"))
    estate.put(ACCOUNT, "global", "ce.get_cost_and_usage", unclear, month(*COVERED))
    _, output, document, _ = run(tmp_path, estate, "--finops-cost-data")
    assert [f["net_monthly_savings"] for f in document["findings"]] == [None, None], output

    denied = [Fault("error", "ce", "get_cost_and_usage", code="AccessDeniedException")]
    status, output, document, _ = run(tmp_path, accounts(), "--finops-cost-data", faults=denied)
    # Without a bill the reservations that the account shows stand in, and that is said once.
    said = [text for text in document["warnings"] if "not by last month's bill" in text]
    assert len(said) == 1, document["warnings"]
    assert said[0].endswith("; allow ce:GetCostAndUsage, or do without it")
    assert [f["net_monthly_savings"] for f in document["findings"]] == ["70.08", "0.00"], output
    assert (status, document["complete"]) == (1, True)


def test_checks_of_other_things_ask_for_no_commitments(tmp_path: Path) -> None:
    from finops_kit import volumes_estate, write_checks

    write_checks(tmp_path)
    with ReplayEndpoint(volumes_estate()) as endpoint:
        _, output, document = audit(tmp_path, *ARGS, env=environment(endpoint.url, tmp_path))
        assert {r.service for r in endpoint.requests} == {"sts", "ec2"}, output
    # Nothing commits anybody to volumes: the net savings are the savings.
    assert document["totals"]["net"] == document["total_monthly_savings"] == "26.88"
