"""Narrowing a saved answer to what a request asked for: ids, owners, filters."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from typing import Any

from pytest_finops.testing.estate import SavedCall, result_keys

Member = Any

_PAGING = re.compile(r"(?:\w*[tT]oken|Marker|[mM]ax(?:Results|Records|Items|Buckets|Keys)|PageSize|Limit)")
_FILTER_PATHS: Mapping[str, tuple[str, ...]] = {
    # Filters whose name does not spell the member.
    "instance-state-name": ("State.Name",),
    "status": ("State", "Status"),
    "availability-zone": ("AvailabilityZone", "Placement.AvailabilityZone"),
    "db-instance-id": ("DBInstanceIdentifier", "DBInstanceArn"),
    "db-cluster-id": ("DBClusterIdentifier", "DBClusterArn"),
    "owner-alias": ("OwnerAlias", "ImageOwnerAlias"),
    "attachment.instance-id": ("Attachments.InstanceId", "Attachment.InstanceId"),
    "attachment.status": ("Attachments.State", "Attachment.Status"),
    "is-default": ("IsDefault",),
    "default-for-az": ("DefaultForAz",),
    "group-id": ("GroupId", "Groups.GroupId"),
}


def answer_for(
    service: str, operation: str, calls: list[SavedCall], params: Mapping[str, Any], account_id: str
) -> tuple[dict[str, Any], SavedCall | None]:
    """The saved answer that fits the request, narrowed to it; and the saved error, if that is the answer."""
    asked = {key: value for key, value in params.items() if not _PAGING.fullmatch(key)}
    fitting = [call for call in calls if _fits(call, asked)]
    if not fitting:
        return {}, None
    best = max(len(call.params) for call in fitting)
    fitting = [call for call in fitting if len(call.params) == best]
    for call in fitting:
        if call.error is not None:
            return {}, call
    keys = result_keys(service, operation)
    answer: dict[str, Any] = {}
    for call in fitting:
        for key, value in call.answer.items():
            if key in keys and isinstance(value, list):
                answer[key] = [*answer.get(key, []), *value]
            else:
                answer.setdefault(key, value)
    exact = {key for call in fitting for key in call.params if call.params[key] == asked.get(key)}
    narrowing = {key: value for key, value in asked.items() if key not in exact}
    for key in keys:
        if isinstance(answer.get(key), list):
            answer[key] = narrowed(answer[key], narrowing, account_id)
    return answer, None


def _fits(call: SavedCall, asked: Mapping[str, Any]) -> bool:
    for key, value in call.params.items():
        wanted = asked.get(key)
        if wanted == value:
            continue
        # Batches of ids may be cut differently from how they were saved.
        if _is_ids(value) and _is_ids(wanted) and not set(value).isdisjoint(wanted or ()):
            continue
        return False
    return True


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def narrowed(members: list[Member], params: Mapping[str, Any], account_id: str) -> list[Member]:
    """The members that a request with these parameters lists."""
    if (
        members
        and isinstance(members[0], dict)
        and "Instances" in members[0]
        and "ReservationId" in members[0]
    ):
        found = []
        for reservation in members:
            instances = narrowed(reservation["Instances"], params, account_id)
            if instances:
                found.append({**reservation, "Instances": instances})
        return found
    if not all(isinstance(member, dict) for member in members):
        return members
    for name, value in params.items():
        test = _test(name, value, members, account_id)
        if test is not None:
            members = [member for member in members if test(member)]
    return members


def _test(name: str, value: Any, members: list[Member], account_id: str) -> Callable[[Member], bool] | None:
    if name in ("Filters", "Filter", "filters") and isinstance(value, list):
        tests = [test for item in value if (test := _filter(item, members)) is not None]
        return lambda member: all(test(member) for test in tests)
    if name in ("OwnerIds", "Owners"):
        return _owned_by(value, account_id)
    if isinstance(value, bool):
        return None
    wanted = value if isinstance(value, list) else [value]
    if not wanted or not all(isinstance(item, str) for item in wanted):
        return None
    keys = _keys(name, members)
    if not keys:
        return None
    asked = set(wanted)
    return lambda member: any(not asked.isdisjoint(_texts(member.get(key))) for key in keys)


def _keys(name: str, members: list[Member]) -> set[str]:
    """The members' keys that a parameter names: InstanceIds is InstanceId, Names is any ...Name."""
    present = {key for member in members for key in member}
    single = name[:-1] if name.endswith("s") else name
    keys = present & {name, single, f"{name}s"}
    if not keys and single in ("Name", "Id", "Arn"):
        keys = {key for key in present if key.endswith(single)}
    if single.endswith("Identifier"):
        # RDS takes an ARN wherever it takes an identifier.
        keys |= present & {single.removesuffix("Identifier") + "Arn"} if keys else set()
    return keys


def _owned_by(owners: Any, account_id: str) -> Callable[[Member], bool]:
    wanted = {account_id if owner == "self" else owner for owner in owners}

    def owned(member: Member) -> bool:
        alias = member.get("OwnerAlias") or member.get("ImageOwnerAlias")
        return member.get("OwnerId", account_id) in wanted or alias in wanted

    return owned


def _texts(value: Any) -> set[str]:
    if isinstance(value, list):
        return {text for item in value for text in _texts(item)}
    if isinstance(value, bool):
        return {"true" if value else "false"}
    return set() if value is None or isinstance(value, dict) else {str(value)}


def _at(member: Any, path: list[str]) -> set[str]:
    if not path:
        return _texts(member)
    if isinstance(member, list):
        return {text for item in member for text in _at(item, path)}
    return _at(member.get(path[0]), path[1:]) if isinstance(member, dict) else set()


def _filter(item: Mapping[str, Any], members: list[Member]) -> Callable[[Member], bool] | None:
    item = {key.capitalize(): value for key, value in item.items()}
    name, values = str(item.get("Name", "")), item.get("Values") or []
    patterns = [re.compile(fnmatch.translate(str(value))) for value in values]

    def hit(texts: set[str]) -> bool:
        return any(pattern.fullmatch(text) for pattern in patterns for text in texts)

    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return lambda member: hit(
            {str(tag.get("Value", "")) for tag in member.get("Tags") or () if tag.get("Key") == key}
        )
    if name == "tag-key":
        return lambda member: hit({str(tag.get("Key", "")) for tag in member.get("Tags") or ()})
    spelt = ".".join("".join(word.capitalize() for word in part.split("-")) for part in name.split("."))
    paths = [path.split(".") for path in (*_FILTER_PATHS.get(name, ()), spelt, name)]
    known = [path for path in paths if any(_at(member, path) for member in members)]
    if not known:
        # The saved members do not tell; leaving them out would invent an empty answer.
        return None
    return lambda member: any(hit(_at(member, path)) for path in known)
