"""An organization: its accounts, their names, units and tags, as AWS Organizations tells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .collector.faults import CallFault
from .errors import ConfigError

if TYPE_CHECKING:
    from .collector.aws import Aws, Login

#: What reading an organization may call.
CALLS = (
    ("organizations", "describe_organization"),
    ("organizations", "list_accounts"),
    ("organizations", "list_roots"),
    ("organizations", "list_organizational_units_for_parent"),
    ("organizations", "list_accounts_for_parent"),
    ("organizations", "list_tags_for_resource"),
)
#: How words of --finops-accounts name a unit or a tag.
UNIT, TAG = "unit:", "tag:"
#: So many accounts that are left out are named.
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Member:
    """One active account; ``unit`` is its path of unit names, ``words`` all that --finops-accounts may call it."""

    account_id: str
    name: str
    unit: str | None
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class Organization:
    """The active accounts, the management account's id, what to tell people; ``closed``: ids and names, and their state."""

    members: tuple[Member, ...]
    management: str | None
    said: tuple[str, ...]
    closed: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Reader:
    aws: Aws
    login: Login
    account_id: str
    region: str
    #: Unit id -> path of names; ids of parents whose children are known.
    units: dict[str, str] = field(default_factory=dict)

    def pages(self, method: str, member: str, **params: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the members of every page; empty pages with a token are ordinary here."""
        for answer, _ in self.aws.pages(
            self.login, self.account_id, self.region, "organizations", method, params, tokens=None, witness=member
        ):  # fmt: skip
            yield from answer[member]


def read(aws: Aws, login: Login, account_id: str, region: str, words: set[str]) -> Organization:
    """Return the organization that ``account_id`` belongs to.

    ``words`` are those of --finops-accounts: tags are read only where one names a tag (a call an account), and
    units that cannot be read are an error only where one names a unit.

    :raises ConfigError: when the accounts cannot be listed.
    """
    aws.guard.allow(CALLS)
    reader = _Reader(aws, login, account_id, region)
    try:
        accounts = sorted(reader.pages("list_accounts", "Accounts"), key=lambda account: str(account["Id"]))
    except CallFault as error:
        cure = {
            "AWSOrganizationsNotInUseException": "this account is in no organization: use --finops-profile or --finops-role",
            "AccessDeniedException": "ask from the management account or a delegated administrator, with "
            "organizations:ListAccounts allowed",
        }.get(error.fault.code, "")
        raise ConfigError(
            f"--finops-org: the accounts of the organization could not be listed: {error.fault}"
            + (f" ({cure})" if cure else "")
        ) from error
    # AWS retires Status in favour of State.
    state = {str(a["Id"]): str(a.get("State") or a.get("Status") or "ACTIVE") for a in accounts}
    active = [account for account in accounts if state[str(account["Id"])] == "ACTIVE"]
    closed = [account for account in accounts if state[str(account["Id"])] != "ACTIVE"]
    said = []
    for one in sorted({state[str(account["Id"])] for account in closed}):
        names = [_called(account) for account in closed if state[str(account["Id"])] == one]
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        accounts_ = "account" if len(names) == 1 else "accounts"
        said.append(f"{len(names)} {accounts_} of the organization left out: {one}: {shown}")
    where: dict[str, tuple[str, ...]] = {}
    try:
        where = _units(reader, active)
    except CallFault as error:
        if any(word.startswith(UNIT) for word in words):
            raise ConfigError(
                f"--finops-accounts names a unit, but units could not be read: {error.fault}"
            ) from error
        said.append(f"organizational units are not known: {error.fault}")
    members = []
    for account in active:
        key = str(account["Id"])
        path = where.get(key, ())
        names = [reader.units[unit] for unit in path if unit in reader.units]
        known = {key, str(account.get("Name") or key)}
        known |= {f"{UNIT}{unit}" for unit in path} | {f"{UNIT}{name}" for name in names}
        known |= {f"{UNIT}{name.rpartition('/')[2]}" for name in names}
        if any(word.startswith(TAG) for word in words):
            known |= _tags(reader, key)
        members.append(
            Member(key, str(account.get("Name") or key), names[-1] if names else None, frozenset(known))
        )
    shut = {
        str(account[key]): state[str(account["Id"])]
        for account in closed
        for key in ("Name", "Id")
        if key in account
    }
    return Organization(tuple(members), _management(reader), tuple(said), shut)


def _called(account: Mapping[str, Any]) -> str:
    key = str(account["Id"])
    return f"{account['Name']} ({key})" if account.get("Name") else key


def unit_words(path: str | None) -> set[str]:
    """Return the words that name the unit of this path of unit names, and every unit above it."""
    parts = path.split("/") if path else []
    return {f"{UNIT}{'/'.join(parts[: n + 1])}" for n in range(len(parts))} | {
        f"{UNIT}{part}" for part in parts
    }


def _units(reader: _Reader, accounts: list[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the ids of the units above each account, outermost first; fills the names of units."""
    found: dict[str, tuple[str, ...]] = {}
    for account in accounts:
        paths = account.get("Paths") or ()
        if paths:
            # o-1234567890/r-ab12/ou-ab12-11111111/111111111111/
            found[str(account["Id"])] = tuple(
                part for part in str(paths[0]).split("/") if part.startswith("ou-")
            )
    wanted = {unit for path in found.values() for unit in path}
    complete = len(found) == len(accounts)
    parents: list[tuple[str, tuple[str, ...]]] = [
        (str(root["Id"]), ()) for root in reader.pages("list_roots", "Roots")
    ]
    while parents:
        parent, above = parents.pop()
        if not complete:
            for account in reader.pages("list_accounts_for_parent", "Accounts", ParentId=parent):
                found.setdefault(str(account["Id"]), above)
        elif above and not any(parent in path[:-1] for path in found.values()):
            continue  # nothing below it holds an account
        for unit in reader.pages(
            "list_organizational_units_for_parent", "OrganizationalUnits", ParentId=parent
        ):
            key = str(unit["Id"])
            if complete and key not in wanted:
                continue
            prefix = f"{reader.units[parent]}/" if parent in reader.units else ""
            reader.units[key] = prefix + str(unit["Name"])
            parents.append((key, (*above, key)))
    return found


def _tags(reader: _Reader, account_id: str) -> set[str]:
    try:
        tags = list(reader.pages("list_tags_for_resource", "Tags", ResourceId=account_id))
    except CallFault as error:
        raise ConfigError(
            f"--finops-accounts names a tag, but the tags of account {account_id} could not be read: {error.fault}"
        ) from error
    return {f"{TAG}{tag['Key']}={tag['Value']}" for tag in tags}


def _management(reader: _Reader) -> str | None:
    try:
        answer = reader.aws.call(
            reader.login, reader.account_id, reader.region, "organizations", "describe_organization", {}
        )
    except CallFault:
        # Only payer-level checks need it; without it they ask where we are.
        return None
    return str(answer.get("Organization", {}).get("MasterAccountId") or "") or None
