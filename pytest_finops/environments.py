"""Environments and owners: what a resource is used for and by whom, by tags, account and name words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from .errors import ConfigError
from .resources import Environment, Resource

_Value = Literal["prod", "nonprod"]

UNKNOWN = Environment("unknown", "none", "low")

DEFAULT_TAGS = ("environment", "env", "stage")
DEFAULT_PROD = ("prod", "production", "prd", "live")
DEFAULT_NONPROD = (
    "nonprod", "nonproduction", "preprod", "preproduction", "dev", "devel", "develop", "development", "test",
    "testing", "tst", "qa", "uat", "staging", "stage", "stg", "sandbox", "sbx", "demo", "poc",
)  # fmt: skip
DEFAULT_OWNER_TAGS = ("owner", "contact")
DEFAULT_TEAM_TAGS = ("team", "squad")

_SEPARATORS = re.compile(r"[^a-z0-9]+")
# "non-prod" is one word that happens to contain a separator, and the opposite of its second half.
_PREFIXES = frozenset({"non", "pre", "not"})


def tokens(text: str) -> frozenset[str]:
    """Return the words of a name in lower case: ``api-dev2`` is api, dev, dev2; ``non-prod`` nonprod."""
    words = [word for word in _SEPARATORS.split(text.lower()) if word]
    found: set[str] = set()
    prefix = ""
    for word in words:
        if word in _PREFIXES:
            prefix += word
            continue
        for form in {word, word.rstrip("0123456789") or word}:
            found.add(prefix + form)
        prefix = ""
    return frozenset(found)


def _squeeze(text: str) -> str:
    return _SEPARATORS.sub("", text.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentPolicy:
    """How to tell production from the rest; everything is compared without regard to case.

    ``tags`` are the keys that say it; ``prod`` and ``nonprod`` the words that mean it in tags; ``accounts``
    maps an account id, an account name or an organizational unit to ``prod`` or ``nonprod``; ``name_prod``
    and ``name_nonprod`` are the words that count in names.
    """

    tags: tuple[str, ...] = DEFAULT_TAGS
    prod: frozenset[str] = frozenset(DEFAULT_PROD)
    nonprod: frozenset[str] = frozenset(DEFAULT_NONPROD)
    accounts: Mapping[str, _Value] = field(default_factory=lambda: MappingProxyType({}))
    name_prod: frozenset[str] = frozenset(DEFAULT_PROD)
    name_nonprod: frozenset[str] = frozenset(DEFAULT_NONPROD)

    @classmethod
    def from_config(cls, raw: object, source: str = "finops.yaml") -> EnvironmentPolicy:
        """Return the policy of the ``environments`` section; what it leaves out keeps its default.

        A list that is given replaces the default. ``names`` takes ``prod`` and ``nonprod`` lists like
        ``values`` and follows ``values`` where it says nothing.
        """
        section = _section(raw, f"{source}: environments", ("tags", "values", "accounts", "names"))
        place = f"{source}: environments"

        def at(name: str, key: str = "") -> str:
            part = section.get(name)
            known = part.get("__places__", {}).get(key) if isinstance(part, Mapping) else None
            return f"{known or source}: environments.{name}"

        values = _section(section.get("values"), f"{place}.values", ("prod", "nonprod"))
        names = _section(section.get("names"), f"{place}.names", ("prod", "nonprod"))
        prod = _words(values.get("prod"), f"{place}.values.prod", DEFAULT_PROD)
        nonprod = _words(values.get("nonprod"), f"{place}.values.nonprod", DEFAULT_NONPROD)
        name_prod = _words(names.get("prod"), f"{place}.names.prod", prod)
        name_nonprod = _words(names.get("nonprod"), f"{place}.names.nonprod", nonprod)
        for where, one, other in (("values", prod, nonprod), ("names", name_prod, name_nonprod)):
            both = sorted(set(one) & set(other))
            if both:
                raise ConfigError(f"{at(where)}: {both[0]!r} is both prod and nonprod; keep one")
        accounts: dict[str, _Value] = {}
        for key, value in _section(section.get("accounts"), f"{place}.accounts", None).items():
            word = _squeeze(str(value))
            # The two verdicts themselves always count, whatever words the tags use.
            if word == "prod" or word in prod:
                accounts[key] = "prod"
            elif word == "nonprod" or word in nonprod:
                accounts[key] = "nonprod"
            else:
                raise ConfigError(f"{at('accounts', key)}: {key} must be prod or nonprod, not {value!r}")
        return cls(
            tags=_list(section.get("tags"), f"{place}.tags", DEFAULT_TAGS),
            prod=frozenset(prod),
            nonprod=frozenset(nonprod),
            accounts=MappingProxyType(accounts),
            name_prod=frozenset(name_prod),
            name_nonprod=frozenset(name_nonprod),
        )

    def of(self, resource: Resource) -> Environment:
        """Return the environment: explicit tags, else the account map, else whole words of the name, else
        unknown.

        A tag whose whole value is known, and an account id, are high; a word inside a tag's value, an
        account name or organizational unit, and a name are medium. Sources that contradict themselves say
        nothing for certain: unknown.
        """
        return self._by_tags(resource) or self._by_account(resource) or self._by_name(resource) or UNKNOWN

    def _by_tags(self, resource: Resource) -> Environment | None:
        said: list[Environment] = []
        for key in self.tags:
            for tag in sorted(resource.tags):
                if tag.lower() != key.lower():
                    continue
                value = resource.tags[tag]
                source = f"tag {tag}={value}"
                whole = self._word(_squeeze(value))
                if whole is not None:
                    said.append(Environment(whole, source, "high"))
                    continue
                part = _verdict(tokens(value), self.prod, self.nonprod)
                if part is not None:
                    said.append(Environment(part, source, "medium"))
        if not said:
            return None
        if len({environment.value for environment in said}) > 1:
            sources = ", ".join(environment.source.removeprefix("tag ") for environment in said)
            return Environment("unknown", f"tags disagree: {sources}", "low")
        return next((environment for environment in said if environment.confidence == "high"), said[0])

    def _word(self, word: str) -> _Value | None:
        if word in self.prod:
            return "prod"
        return "nonprod" if word in self.nonprod else None

    def _by_account(self, resource: Resource) -> Environment | None:
        target = resource.target
        if target.account_id in self.accounts:
            return Environment(self.accounts[target.account_id], f"account {target.account_id}", "high")
        if target.name and target.name in self.accounts:
            return Environment(self.accounts[target.name], f"account name {target.name}", "medium")
        unit = target.organizational_unit
        if unit and unit in self.accounts:
            return Environment(self.accounts[unit], f"organizational unit {unit}", "medium")
        return None

    def _by_name(self, resource: Resource) -> Environment | None:
        words = tokens(resource.name) | tokens(resource.id)
        value = _verdict(words, self.name_prod, self.name_nonprod)
        return None if value is None else Environment(value, f"name {resource.name}", "medium")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerPolicy:
    """Which tags name the owner and the team of a resource, in order; keys are compared ignoring case."""

    tags: tuple[str, ...] = DEFAULT_OWNER_TAGS
    team_tags: tuple[str, ...] = DEFAULT_TEAM_TAGS

    @classmethod
    def from_config(cls, raw: object, source: str = "finops.yaml") -> OwnerPolicy:
        """Return the policy of the ``owners`` section; what it leaves out keeps its default."""
        section = _section(raw, f"{source}: owners", ("tags",))
        return cls(tags=_list(section.get("tags"), f"{source}: owners.tags", DEFAULT_OWNER_TAGS))

    def of(self, resource: Resource) -> tuple[str | None, str | None]:
        """Return (owner, team), None for what no tag says."""
        return _first(resource.tags, self.tags), _first(resource.tags, self.team_tags)


def _verdict(words: frozenset[str], prod: frozenset[str], nonprod: frozenset[str]) -> _Value | None:
    """Return what the words say, or None if nothing or both."""
    is_prod, is_nonprod = not words.isdisjoint(prod), not words.isdisjoint(nonprod)
    if is_prod == is_nonprod:
        return None
    return "prod" if is_prod else "nonprod"


def _first(tags: Mapping[str, str], keys: Iterable[str]) -> str | None:
    for key in keys:
        for tag in sorted(tags):
            if tag.lower() == key.lower() and tags[tag].strip():
                return tags[tag].strip()
    return None


def _section(raw: object, place: str, allowed: tuple[str, ...] | None) -> dict[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{place} must be a mapping, not {raw!r}")
    section = {_key(key, place): value for key, value in raw.items() if key not in ("__line__", "__places__")}
    if allowed is not None:
        unknown = sorted(set(section) - set(allowed))
        if unknown:
            raise ConfigError(f"{place} has the unknown key {unknown[0]!r}; use {', '.join(allowed)}")
    return section


def _key(key: object, place: str) -> str:
    if isinstance(key, int) and not isinstance(key, bool):
        # YAML reads an unquoted account id as a number and may drop or reinterpret a leading zero.
        if len(str(key)) != 12:
            raise ConfigError(f"{place}: {key} is not 12 digits; put the account id in quotes")
        return str(key)
    return str(key)


def _list(raw: object, place: str, default: tuple[str, ...]) -> tuple[str, ...]:
    if raw is None:
        return default
    if not isinstance(raw, list | tuple) or not all(isinstance(item, str) and item for item in raw):
        raise ConfigError(f"{place} must be a list of texts, not {raw!r}")
    return tuple(raw)


def _words(raw: object, place: str, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_squeeze(word) for word in _list(raw, place, default))
