"""Exemptions and expected blind spots: parsing, matching, expiry."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from pytest_finops.errors import ConfigError
from pytest_finops.exemptions import (
    Exemption,
    ExpectedBlindSpot,
    expired,
    match,
    match_blind_spot,
    parse_exemptions,
    parse_expected_blind_spots,
)

TODAY = date(2026, 11, 23)
SIGNED = {"owner": "kim", "reason": "disaster recovery", "expires": "2027-01-31"}


def exempt(**fields: Any) -> Exemption:
    return Exemption(**({"owner": "kim", "reason": "r", "expires": date(2027, 1, 31)} | fields))


def matches(exemption: Exemption, **fields: Any) -> bool:
    values: dict[str, Any] = {
        "rule_id": "ebs-unattached",
        "account_id": "111111111111",
        "resource_id": "vol-12",
        "resource_arn": "arn:aws:ec2:us-east-1:111111111111:volume/vol-12",
        "tags": {"keep": "yes", "Team": "data"},
        "today": TODAY,
    }
    return match([exemption], **(values | fields)) is not None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"rule": "ebs-unattached"}, True),
        ({"rule": "ebs"}, False),
        ({"resource": "vol-12"}, True),
        ({"resource": "vol-1"}, False),
        ({"resource": "vol-*"}, True),
        ({"resource": "VOL-*"}, False),
        ({"resource": "arn:aws:ec2:*:volume/vol-1?"}, True),
        ({"tag": "keep"}, True),
        ({"tag": "Keep"}, False),
        ({"tag": "keep=yes"}, True),
        ({"tag": "keep=no"}, False),
        ({"tag": "gone"}, False),
        ({"account": "111111111111"}, True),
        ({"account": "222222222222"}, False),
        ({"rule": "ebs-unattached", "tag": "keep=no"}, False),  # every field must fit
        ({"rule": "ebs-unattached", "resource": "vol-*", "account": "111111111111"}, True),
    ],
)
def test_matching(fields: dict[str, str], expected: bool) -> None:
    assert matches(exempt(**fields)) is expected


def test_tags_with_equals_signs_and_ids_with_brackets() -> None:
    assert matches(exempt(tag="a=b=c"), tags={"a": "b=c"})
    assert matches(exempt(tag="a=b"), tags={"a=b": "anything"})
    assert matches(exempt(tag="a="), tags={"a": ""})
    assert not matches(exempt(tag="a="), tags={"a": "b"})
    assert matches(exempt(resource="job[1]"), resource_id="job[1]")


def test_the_last_day_still_counts() -> None:
    entry = exempt(rule="ebs-unattached", expires=TODAY)
    assert matches(entry)
    assert not matches(entry, today=date(2026, 11, 24))
    assert expired([entry], TODAY) == ()
    assert expired([entry], date(2026, 11, 24)) == (entry,)


def test_the_first_that_has_not_expired_wins() -> None:
    entries = [
        exempt(rule="ebs-unattached", expires=date(2026, 1, 1)),
        exempt(resource="vol-12", reason="second"),
        exempt(rule="ebs-unattached", reason="third"),
    ]
    found = match(entries, rule_id="ebs-unattached", account_id="1", resource_id="vol-12", today=TODAY)
    assert found is entries[1]


def test_parsing() -> None:
    raw = [
        {"rule": "ebs-unattached", "__line__": 12, **SIGNED},
        {"account": 123456789012, **SIGNED, "expires": date(2026, 12, 1)},
        {"tag": "keep", "resource": None, **SIGNED, "expires": datetime(2026, 12, 2, tzinfo=UTC)},
    ]
    first, second, third = parse_exemptions(raw, "finops.yaml")
    assert (first.expires, first.source) == (date(2027, 1, 31), "finops.yaml:12")
    assert (second.account, second.source) == ("123456789012", "finops.yaml: exemptions[2]")
    assert (third.expires, third.resource) == (date(2026, 12, 2), None)
    assert parse_exemptions(None, "finops.yaml") == ()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"rule": "x-y", "__line__": 7}, r"^finops\.yaml:7: exemptions\[1\] needs owner"),
        ({"rule": "x-y", "owner": "kim", "reason": ""}, r"finops\.yaml: exemptions\[1\] needs reason"),
        ({"rule": "x-y", "owner": "kim", "reason": "r"}, "needs expires"),
        (dict(SIGNED), "at least one of rule, resource, tag, account"),
        ({"rule": "x-y", **SIGNED, "until": "2027-01-01"}, "unknown key 'until'"),
        ({"rule": "x-y", **SIGNED, "expires": "soon"}, "date like 2027-01-31"),
        ({"rule": ["x-y"], **SIGNED}, "rule must be a text"),
        ({"account": 5349, **SIGNED}, "put the id in quotes"),
        ("ebs-unattached", "must be a mapping"),
    ],
)
def test_mistakes_name_the_place(entry: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_exemptions([entry], "finops.yaml")


def test_the_section_must_be_a_list() -> None:
    with pytest.raises(ConfigError, match="must be a list"):
        parse_exemptions({"rule": "x-y"}, "finops.yaml")


def test_expected_blind_spots() -> None:
    raw = [{"service": "rds", "code": "AccessDenied", **SIGNED}, {"region": "eu-west-1", **SIGNED}]
    denied, region = parse_expected_blind_spots(raw, "finops.yaml")
    spot: dict[str, Any] = {
        "account_id": "1",
        "region": "us-east-1",
        "service": "rds",
        "code": "AccessDenied",
        "refused": True,
    }
    assert match_blind_spot((denied, region), **spot, today=TODAY) is denied
    assert match_blind_spot((denied, region), **spot, today=date(2027, 2, 1)) is None
    throttled = spot | {"code": "Throttling", "refused": False}
    assert match_blind_spot((denied,), **throttled, today=TODAY) is None


def test_without_a_code_a_refusal_alone_is_expected() -> None:
    named, region = parse_expected_blind_spots(
        [{"code": "Throttling", **SIGNED}, {"region": "eu-west-1", **SIGNED}], "finops.yaml"
    )
    spot = {"account_id": "1", "region": "eu-west-1", "service": "rds", "code": "Throttling"}
    assert match_blind_spot((region,), **spot, refused=True, today=TODAY) is region
    assert match_blind_spot((region,), **spot, refused=False, today=TODAY) is None
    assert match_blind_spot((region, named), **spot, refused=False, today=TODAY) is named


def test_a_blind_spot_that_expects_everything_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"expected_blind_spots\[1\] needs at least one of account"):
        parse_expected_blind_spots([dict(SIGNED)], "finops.yaml")


def test_entries_read_well() -> None:
    assert str(exempt(rule="x-y", tag="keep")) == "rule x-y, tag keep"
    entry = ExpectedBlindSpot(region="eu-west-1", owner="k", reason="r", expires=TODAY)
    assert str(entry) == "region eu-west-1"
