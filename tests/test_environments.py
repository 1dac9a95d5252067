"""Environments and owners: explicit tags, then accounts, then whole words of names."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_finops.environments import EnvironmentPolicy, OwnerPolicy, tokens
from pytest_finops.errors import ConfigError
from pytest_finops.resources import Resource, Target

TARGET = Target("111111111111", "us-east-1", name="acme", organizational_unit="ou-1")


def thing(id: str = "x-1", target: Target = TARGET, **tags: str) -> Resource:
    return Resource(id=id, target=target, tags=tags)


def said(resource: Resource, **section: Any) -> tuple[str, str]:
    environment = EnvironmentPolicy.from_config(section).of(resource)
    return environment.value, environment.confidence


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"Environment": "Production"}, ("prod", "high")),
        ({"env": "dev"}, ("nonprod", "high")),
        ({"STAGE": "Non-Prod"}, ("nonprod", "high")),
        ({"env": "pre_prod"}, ("nonprod", "high")),
        ({"env": "team-dev"}, ("nonprod", "medium")),
        ({"env": "dev2"}, ("nonprod", "medium")),
        ({"env": "blue"}, ("unknown", "low")),
        ({"env": "prod", "stage": "dev"}, ("unknown", "low")),
        ({"env": "team-dev", "stage": "dev"}, ("nonprod", "high")),
        ({"purpose": "dev"}, ("unknown", "low")),
        ({}, ("unknown", "low")),
    ],
)
def test_tags(tags: dict[str, str], expected: tuple[str, str]) -> None:
    assert said(thing(**tags)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api-dev", "nonprod"),
        ("api.dev2.eu", "nonprod"),
        ("orders_test", "nonprod"),
        ("orders-non-prod", "nonprod"),
        ("orders-preprod", "nonprod"),
        ("orders-prod", "prod"),
        ("contest", "unknown"),
        ("latest-build", "unknown"),
        ("device-registry", "unknown"),
        ("develops", "unknown"),
        ("product-api", "unknown"),
        ("prod-to-dev-sync", "unknown"),
        ("non", "unknown"),
    ],
)
def test_names_count_by_whole_words(name: str, value: str) -> None:
    confidence = "low" if value == "unknown" else "medium"
    assert said(thing(Name=name)) == (value, confidence)
    assert said(thing(name)) == (value, confidence)


def test_tags_beat_accounts_beat_names() -> None:
    accounts = {"111111111111": "nonprod"}
    assert said(thing("orders-prod", env="prod"), accounts=accounts) == ("prod", "high")
    assert said(thing("orders-prod"), accounts=accounts) == ("nonprod", "high")
    assert said(thing("orders-prod")) == ("prod", "medium")


def test_accounts_by_id_name_or_unit() -> None:
    assert said(thing(), accounts={111111111111: "dev"}) == ("nonprod", "high")
    assert said(thing(), accounts={"acme": "nonprod"}) == ("nonprod", "medium")
    assert said(thing(), accounts={"ou-1": "prod"}) == ("prod", "medium")
    assert said(thing(), accounts={"222222222222": "prod"}) == ("unknown", "low")


def test_the_name_of_a_profile_is_no_evidence() -> None:
    target = Target("111111111111", "us-east-1", name="demo")
    assert said(thing(target=target)) == ("unknown", "low")


def test_the_source_is_named() -> None:
    policy = EnvironmentPolicy()
    assert policy.of(thing(Env="dev")).source == "tag Env=dev"
    assert policy.of(thing("db-dev")).source == "name db-dev"
    assert policy.of(thing(env="prod", stage="dev")).source == "tags disagree: env=prod, stage=dev"


def test_a_section_replaces_what_it_gives() -> None:
    section = {"tags": ["tier"], "values": {"nonprod": ["blue"]}}
    assert said(thing(tier="Blue"), **section) == ("nonprod", "high")
    assert said(thing(env="dev"), **section) == ("unknown", "low")
    assert said(thing("db-blue"), **section) == ("nonprod", "medium")
    assert said(thing("db-blue"), **section, names={"nonprod": []}) == ("unknown", "low")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"tag": []}, "unknown key 'tag'"),
        ({"tags": "env"}, r"environments\.tags must be a list"),
        ({"values": {"test": []}}, r"environments\.values has the unknown key 'test'"),
        ({"values": {"prod": ["dev"]}}, "'dev' is both prod and nonprod"),
        ({"accounts": {"111111111111": "blue"}}, "111111111111 must be prod or nonprod"),
        ({"accounts": {5349: "prod"}}, "in quotes"),
        (["prod"], "must be a mapping"),
    ],
)
def test_mistakes(section: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EnvironmentPolicy.from_config(section)


def test_accounts_are_prod_or_nonprod_whatever_words_tags_use() -> None:
    policy = EnvironmentPolicy.from_config(
        {
            "values": {"prod": ["live"], "nonprod": ["lab"]},
            "accounts": {"a": "prod", "b": "nonprod", "c": "lab"},
        }
    )
    assert policy.accounts == {"a": "prod", "b": "nonprod", "c": "nonprod"}


def test_tokens() -> None:
    assert tokens("Api-dev2.EU") == {"api", "dev", "dev2", "eu"}
    assert tokens("non-prod") == {"nonprod"}
    assert tokens("") == frozenset()


def test_owners() -> None:
    policy = OwnerPolicy()
    assert policy.of(thing(Owner=" kim ", Team="data")) == ("kim", "data")
    assert policy.of(thing(owner="", contact="lee")) == ("lee", None)
    assert policy.of(thing()) == (None, None)
    custom = OwnerPolicy.from_config({"tags": ["CostOwner"]})
    assert custom.of(thing(costowner="kim", Owner="lee")) == ("kim", None)
    with pytest.raises(ConfigError, match=r"owners has the unknown key 'tag'"):
        OwnerPolicy.from_config({"tag": ["x"]})
