"""Exemptions: findings and blind spots that somebody accepts, with an owner, a reason and an end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar

from .audit import Accepted
from .errors import ConfigError
from .findings import Finding

#: Where a configuration loader may leave the line of an entry.
LINE = "__line__"

_EXEMPTION_SELECTORS = ("rule", "resource", "tag", "account")
_BLIND_SPOT_SELECTORS = ("account", "region", "service", "code")
_REQUIRED = ("owner", "reason", "expires")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """Findings that are accepted until ``expires`` (that day included); a None field accepts any value.

    ``resource`` is an id, a name or an ARN and may hold globs (``vol-*``); ``tag`` is ``key`` or
    ``key=value``; ``source`` is the file and place of the entry.
    """

    rule: str | None = None
    resource: str | None = None
    tag: str | None = None
    account: str | None = None
    owner: str
    reason: str
    expires: date
    source: str = ""

    def covers(
        self,
        *,
        rule_id: str,
        account_id: str,
        resource_id: str,
        resource_arn: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> bool:
        """Return whether every field that is given fits; expiry is not looked at."""
        return (
            (self.rule is None or self.rule == rule_id)
            and (self.account is None or self.account == account_id)
            and (self.resource is None or _fits(self.resource, resource_id, resource_arn))
            and (self.tag is None or _has_tag(self.tag, tags or {}))
        )

    def __str__(self) -> str:
        parts = ((name, getattr(self, name)) for name in _EXEMPTION_SELECTORS)
        return ", ".join(f"{name} {value}" for name, value in parts if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedBlindSpot:
    """A denial that is expected until ``expires`` (that day included); a None field stands for any value.

    Without a ``code`` it stands for refusals alone (denied, not enabled, not subscribed), not for what went wrong.
    """

    account: str | None = None
    region: str | None = None
    service: str | None = None
    code: str | None = None
    owner: str
    reason: str
    expires: date
    source: str = ""

    def covers(self, *, account_id: str, region: str, service: str, code: str, refused: bool) -> bool:
        """Return whether every field that is given is equal; expiry is not looked at."""
        return (
            self.account in (None, account_id)
            and self.region in (None, region)
            and self.service in (None, service)
            and (refused if self.code is None else self.code == code)
        )

    def __str__(self) -> str:
        parts = ((name, getattr(self, name)) for name in _BLIND_SPOT_SELECTORS)
        return ", ".join(f"{name} {value}" for name, value in parts if value is not None)


class _Dated(Protocol):
    @property
    def expires(self) -> date: ...


_D = TypeVar("_D", bound=_Dated)


def expired(entries: Iterable[_D], today: date) -> tuple[_D, ...]:
    """Return the entries that have ended: their last day is before ``today``."""
    return tuple(entry for entry in entries if entry.expires < today)


def current(entries: Iterable[_D], today: date) -> tuple[_D, ...]:
    """Return the entries that still hold ``today``."""
    return tuple(entry for entry in entries if entry.expires >= today)


def match(
    exemptions: Iterable[Exemption],
    *,
    rule_id: str,
    account_id: str,
    resource_id: str,
    resource_arn: str = "",
    tags: Mapping[str, str] | None = None,
    today: date,
) -> Exemption | None:
    """Return the first exemption, in the order of the file, that covers these fields and has not expired."""
    for exemption in current(exemptions, today):
        if exemption.covers(
            rule_id=rule_id,
            account_id=account_id,
            resource_id=resource_id,
            resource_arn=resource_arn,
            tags=tags,
        ):
            return exemption
    return None


def match_finding(exemptions: Iterable[Exemption], finding: Finding, today: date) -> Exemption | None:
    """Return the first exemption that covers ``finding`` and has not expired."""
    return match(
        exemptions,
        rule_id=finding.rule_id,
        account_id=finding.account_id,
        resource_id=finding.resource_id,
        resource_arn=finding.resource_arn,
        tags=finding.tags,
        today=today,
    )


def accept(finding: Finding, exemption: Exemption) -> Accepted:
    """Return the audit's record of ``finding`` accepted by ``exemption``."""
    return Accepted(
        finding_id=finding.id,
        reason=exemption.reason,
        owner=exemption.owner,
        expires=exemption.expires.isoformat(),
    )


def unmatched(
    exemptions: Iterable[Exemption], findings: Sequence[Finding], today: date
) -> tuple[Exemption, ...]:
    """Return the exemptions that still hold and cover no finding: good news, the thing is gone.

    ``findings`` are those that the checks reported, before small ones became notes. It is news only if the
    checks could look: that is for the caller to know.
    """
    return tuple(
        exemption
        for exemption in current(exemptions, today)
        if not any(match_finding((exemption,), finding, today) for finding in findings)
    )


def match_blind_spot(
    expected: Iterable[ExpectedBlindSpot],
    *,
    account_id: str,
    region: str,
    service: str,
    code: str,
    refused: bool,
    today: date,
) -> ExpectedBlindSpot | None:
    """Return the first expected blind spot that covers these fields and has not expired."""
    for entry in current(expected, today):
        if entry.covers(account_id=account_id, region=region, service=service, code=code, refused=refused):
            return entry
    return None


def parse_exemptions(raw: object, source: str) -> tuple[Exemption, ...]:
    """Return the ``exemptions`` list of the file ``source``; ConfigError names the place."""
    entries = _entries(raw, source, "exemptions", _EXEMPTION_SELECTORS)
    return tuple(Exemption(**values) for values in entries)


def parse_expected_blind_spots(raw: object, source: str) -> tuple[ExpectedBlindSpot, ...]:
    """Return the ``expected_blind_spots`` of the file ``source``; ConfigError names the place."""
    entries = _entries(raw, source, "expected_blind_spots", _BLIND_SPOT_SELECTORS)
    return tuple(ExpectedBlindSpot(**values) for values in entries)


def _fits(pattern: str, *names: str) -> bool:
    # Equality first: an id may itself hold characters that mean something in a glob.
    return any(name and (name == pattern or fnmatchcase(name, pattern)) for name in names)


def _has_tag(wanted: str, tags: Mapping[str, str]) -> bool:
    if wanted in tags:
        return True
    key, separator, value = wanted.partition("=")
    return bool(separator) and key in tags and tags[key] == value


def _entries(raw: object, source: str, section: str, selectors: tuple[str, ...]) -> list[dict[str, Any]]:
    if raw is None:
        return []
    if not isinstance(raw, list | tuple):
        raise ConfigError(f"{source}: {section} must be a list of entries, not {raw!r}")
    return [
        _entry(item, source, f"{section}[{number}]", selectors) for number, item in enumerate(raw, start=1)
    ]


def _entry(item: object, source: str, position: str, selectors: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise ConfigError(f"{source}: {position} must be a mapping with {', '.join(_REQUIRED)}, not {item!r}")
    line = item.get(LINE)
    place = f"{source}:{line}: {position}" if isinstance(line, int) else f"{source}: {position}"
    fields = {key: value for key, value in item.items() if key != LINE and value is not None}
    unknown = sorted(str(key) for key in fields if key not in (*selectors, *_REQUIRED))
    if unknown:
        allowed = ", ".join((*selectors, *_REQUIRED))
        raise ConfigError(f"{place} has the unknown key {unknown[0]!r}; use {allowed}")
    for key in _REQUIRED:
        if fields.get(key) in (None, ""):
            raise ConfigError(f"{place} needs {key}")
    if not any(key in fields for key in selectors):
        raise ConfigError(f"{place} needs at least one of {', '.join(selectors)}; it would cover everything")
    values: dict[str, Any] = {
        key: _text(value, key, place) for key, value in fields.items() if key != "expires"
    }
    values["expires"] = _date(fields["expires"], place)
    values["source"] = f"{source}:{line}" if isinstance(line, int) else f"{source}: {position}"
    return values


def _text(value: object, key: str, place: str) -> str:
    if key == "account" and isinstance(value, int) and not isinstance(value, bool):
        # YAML reads an unquoted account id as a number and may drop or reinterpret a leading zero.
        if re.fullmatch(r"[1-9]\d{11}", str(value)):
            return str(value)
        raise ConfigError(f"{place}: account {value} is not 12 digits; put the id in quotes")
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{place}: {key} must be a text, not {value!r}")
    return value


def _date(value: object, place: str) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    raise ConfigError(f"{place}: expires must be a date like 2027-01-31, not {value!r}")
