"""Targets: which accounts and regions an audit looks at, resolved once, in the main process."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import last_discovery
from .collector.faults import CURES, CallFault, Fault, classify
from .collector.pool import each
from .config import names_targets, said_by
from .documents import LINE, Problems, suggestion
from .errors import CollectError, ConfigError
from .organization import TAG, UNIT, unit_words
from .resources import GLOBAL, Target

if TYPE_CHECKING:
    from .collector.aws import Aws, Login
    from .collector.saved import Saved
    from .options import Settings


@dataclass(frozen=True, slots=True)
class TargetSet:
    """The targets that one test item covers, and its id."""

    id: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Entrance:
    """One account to enter: how, and what is known of it before AWS is asked.

    ``name`` is what people call it (a profile, a configured name, an id); ``place`` is where its entry stands.
    ``also`` are further words for it, ``unit`` its organizational unit; ``partition`` is empty where not known.
    """

    name: str
    login: Login
    account_id: str | None = None
    place: str = ""
    also: frozenset[str] = frozenset()
    unit: str | None = None
    partition: str = ""

    @property
    def words(self) -> set[str]:
        """Everything that --finops-accounts may call it."""
        profile = None if self.login.role else self.login.profile
        return {word for word in (self.name, self.account_id, profile) if word} | self.also


@dataclass(frozen=True, slots=True)
class Unentered:
    """An account that could not be entered: its id, or else its name, and which call failed."""

    name: str
    fault: Fault
    service: str = "sts"
    operation: str = "get_caller_identity"


@dataclass(slots=True)
class Discovery:
    """What resolving found: targets, how to log in to each account, and the accounts that could not be entered."""

    targets: list[Target] = field(default_factory=list)
    logins: dict[str, Login] = field(default_factory=dict)
    failed: list[Unentered] = field(default_factory=list)
    auditor: Login | None = None
    said: list[str] = field(default_factory=list)
    payer: str | None = None
    #: Whether the accounts are known: before an organization is asked, one stands for all of them.
    accounts_known: bool = True
    #: Ids and names of accounts that the organization lists and nobody can audit, and their state.
    closed: Mapping[str, str] = field(default_factory=dict)


def discover(settings: Settings, aws: Aws, now: datetime) -> Discovery:
    """Ask STS who we are and EC2 which regions are enabled, for every account of the settings.

    :raises ConfigError: when no account at all can be entered, or a name of the settings does not exist.
    """
    found = Discovery()
    problems = Problems()
    words: set[str] = set()
    failed: list[tuple[Entrance, Unentered]] = []
    listed = entrances(settings) if not settings.org else _organization(settings, aws, found)
    tried: list[Entrance] = []
    for entrance in listed:
        # An account that is not wanted need not be asked who it is, where that is known.
        if entrance.account_id and not _wanted(settings, entrance.words | _called(settings, entrance)):
            words |= entrance.words | _called(settings, entrance)
        else:
            tried.append(entrance)
    jobs = [functools.partial(_enter, settings, aws, entrance) for entrance in tried]
    for entrance, entered in zip(tried, each(jobs, settings.max_in_flight, aws.stop), strict=True):
        if isinstance(entered, Unentered):
            failed.append((entrance, entered))
            words |= entrance.words
            continue
        account, partition, names = entered
        _check_regions(settings, partition)
        if entrance.account_id not in (None, account):
            problems.add(
                entrance.place,
                f"{entrance.name} enters account {account}, not {entrance.account_id}; correct id or the way in",
            )
            continue
        known = {account, *entrance.words, *_called(settings, replace(entrance, account_id=account))}
        words |= known
        if not _wanted(settings, known):
            found.said.append(f"account {account} left out by {said_by(settings, 'accounts')}")
            continue
        if account in found.logins:
            found.said.append(f"account {account} is named twice: {entrance.name} adds nothing")
            continue
        found.logins[account] = entrance.login
        found.auditor = found.auditor or entrance.login
        found.targets += [
            Target(
                account_id=account, region=region, name=_shown(settings, entrance, account), partition=partition, now=now,
                organizational_unit=entrance.unit,
            )
            for region in names
        ]  # fmt: skip
    problems.raise_any()
    if failed and (not found.logins or _kept_words(settings) - words):
        lines = "\n".join(f"  {entrance.name}: {_advice(one.fault)}" for entrance, one in failed)
        what = f"{said_by(settings, 'accounts')} names an account that was not found, and these could not be entered"
        raise ConfigError(f"{what if found.logins else 'no account could be entered'}:\n{lines}")
    _check_accounts(settings, words, found.closed)
    # Where all wanted accounts were found, one that cannot be entered is not among them.
    found.failed = [one for entrance, one in failed if _wanted(settings, {one.name, *entrance.words})]
    found.targets = unique_names(_narrowed(found.targets, settings, words))
    if found.payer not in found.logins:
        found.payer = None
    return found


def _enter(settings: Settings, aws: Aws, entrance: Entrance) -> tuple[str, str, list[str]] | Unentered:
    """Return account, partition and regions behind one entrance, or what refused."""
    service, operation = "sts", "get_caller_identity"
    account, partition = entrance.account_id or entrance.name, entrance.partition
    try:
        if not partition:
            account, partition = _identity(aws, entrance.login)
        elif entrance.login.role:
            operation = "assume_role"
            aws.enter(entrance.login)
        service, operation = "ec2", "describe_regions"
        return account, partition, _regions(aws, entrance.login, account, partition, settings)
    except (CallFault, CollectError) as error:
        fault = error.fault if isinstance(error, CallFault) else Fault("denied", error.code, str(error))
        return Unentered(account, fault, service, operation)


def _shown(settings: Settings, entrance: Entrance, account: str) -> str:
    """Return what people call an account: its profile, configured name or name in the organization, else its id."""
    if entrance.partition:
        return configured_name(settings, account) or entrance.name
    shown = entrance.login.profile if not entrance.login.role else None
    return shown or configured_name(settings, account) or (account if entrance.login.role else entrance.name)


def _organization(settings: Settings, aws: Aws, found: Discovery) -> list[Entrance]:
    """Return an entrance for every active account of the organization of the first profile.

    :raises ConfigError: when that profile cannot be entered, or may not list the accounts.
    """
    from . import organization
    from .collector.aws import Login

    hub = Login(profile=None if settings.profile[:1] in ((), ("env",)) else settings.profile[0])
    try:
        account, partition = _identity(aws, hub)
    except (CallFault, CollectError) as error:
        fault = error.fault if isinstance(error, CallFault) else Fault("denied", error.code, str(error))
        raise ConfigError(f"--finops-org: {hub.profile or 'env'}: {_advice(fault)}") from error
    words = {word.removeprefix("!") for word in settings.accounts}
    told = organization.read(aws, hub, account, endpoint_of(partition), words)
    found.said += told.said
    found.payer, found.closed = told.management, told.closed
    # Prices and the organization are asked as ourselves, once.
    found.auditor = hub
    listed = []
    for member in told.members:
        role = f"arn:{partition}:iam::{member.account_id}:role/{settings.org}"
        # Nobody assumes a role into the account where they already are.
        login = hub if member.account_id == account else Login(hub.profile, role, settings.external_id)
        listed.append(
            Entrance(
                member.name,
                login,
                member.account_id,
                also=member.words,
                unit=member.unit,
                partition=partition,
            )
        )
    return listed


def entrances(settings: Settings) -> list[Entrance]:
    """Return every account that the settings name, in order: profiles, roles, accounts of a named file.

    The first profile is the way into roles where there are any; it is not audited itself then.

    :raises ConfigError: when they name none.
    """
    from .collector.aws import Login

    entries = list(settings.account_entries) if settings.accounts_are_targets else []
    profiles: list[str | None] = [None if name == "env" else name for name in settings.profile]
    if not profiles:
        profiles += [str(entry["profile"]) for entry in entries if entry.get("profile")][:1]
    first = profiles[0] if profiles else None
    has_roles = bool(settings.role) or any(entry.get("role") for entry in entries)
    found: list[Entrance] = []
    if names_targets(settings, "profile"):
        found += [
            Entrance(profile, Login(profile=None if profile == "env" else profile))
            for profile in settings.profile[1 if has_roles else 0 :]
        ]
    for role in settings.role:
        account = _role_account(role, said_by(settings, "role"))
        found.append(
            Entrance(account, Login(profile=first, role=role, external_id=settings.external_id), account)
        )
    file = _file(settings)
    for index, entry in enumerate(entries):
        place = f"{file}:{entry[LINE]}: accounts[{index}]"
        known = str(entry["id"]) if entry.get("id") else None
        if entry.get("role"):
            account = _role_account(str(entry["role"]), f"{place}.role")
            if known not in (None, account):
                raise ConfigError(
                    f"{place}: the role is in account {account}, not {known}; correct one of them"
                )
            login = Login(profile=first, role=str(entry["role"]), external_id=settings.external_id)
            found.append(Entrance(str(entry.get("name") or account), login, account, place))
        elif entry.get("profile"):
            profile = str(entry["profile"])
            login = Login(profile=None if profile == "env" else profile)
            found.append(Entrance(str(entry.get("name") or profile), login, known, place))
    if not found:
        raise ConfigError(
            f"{file}: no account has a profile or a role, so none can be entered; add one, or --finops-profile"
        )
    return found


def _role_account(role: str, place: str) -> str:
    parts = role.split(":")
    if len(parts) < 6 or parts[2] != "iam":
        raise ConfigError(f"{place}: {role!r} is not a role ARN like arn:aws:iam::123456789012:role/audit")
    return parts[4]


def _file(settings: Settings) -> str:
    return settings.origins.get("account_entries", "").rpartition(":")[0] or "finops.yaml"


def configured_name(settings: Settings, account: str) -> str | None:
    """Return the name that finops.yaml gives an account."""
    for entry in settings.account_entries:
        if _is(entry, account) and entry.get("name"):
            return str(entry["name"])
    return None


def _is(entry: Mapping[str, Any], account: str) -> bool:
    """Whether an entry of finops.yaml speaks of this account."""
    role = str(entry.get("role") or "")
    return str(entry.get("id")) == account or (bool(role) and role.split(":")[4:5] == [account])


def _called(settings: Settings, entrance: Entrance) -> set[str]:
    name = configured_name(settings, entrance.account_id or "")
    return {name} if name else set()


def _kept_words(settings: Settings) -> set[str]:
    return {word for word in settings.accounts if not word.startswith("!")}


def _wanted(settings: Settings, words: set[str]) -> bool:
    """Whether --finops-accounts keeps an account: one of its words is named, and none is named with a ``!``."""
    kept = _kept_words(settings)
    refused = {word[1:] for word in settings.accounts if word.startswith("!")}
    return (not kept or bool(words & kept)) and not words & refused


def _check_accounts(
    settings: Settings, known: Iterable[str], closed: Mapping[str, str] | None = None
) -> None:
    problems = Problems()
    words, place = set(known), said_by(settings, "accounts")
    for word in settings.accounts:
        name = word.removeprefix("!")
        prefix = next((one for one in (UNIT, TAG) if name.startswith(one)), None)
        if name in words:
            continue
        if closed and name in closed:
            # To leave out what is left out anyway is no mistake.
            if name == word:
                problems.add(place, f"account {name!r} is {closed[name]}: it cannot be audited; leave it out")
        elif prefix and not any(one.startswith(prefix) for one in words):
            problems.add(
                place,
                f"no account here has a {prefix[:-1]}, as {name!r} wants it: units and tags are those of an organization, "
                "read with --finops-org; name accounts by id or name",
            )
        else:
            problems.add(place, f"there is no account {name!r}; {suggestion(name, words)}")
    problems.raise_any()


def check_region_names(settings: Settings, problems: Problems) -> None:
    """Note regions that exist in no partition, where nobody knows yet which one is audited."""
    import botocore.session

    partitions = botocore.session.Session().get_available_partitions()
    names = {name for partition in partitions for name in partition_regions(partition)}
    for place, region in _named_regions(settings):
        if region not in names:
            problems.add(place, f"there is no region {region!r}; {suggestion(region, names)}")


def _named_regions(settings: Settings) -> list[tuple[str, str]]:
    """Return every region that the settings name, with its place."""
    wanted = [(said_by(settings, "regions"), region) for region in settings.regions]
    for index, entry in enumerate(settings.account_entries):
        place = f"{_file(settings)}:{entry[LINE]}: accounts[{index}].regions"
        wanted += [(place, region) for region in entry.get("regions") or ()]
    return [(place, region) for place, region in wanted if region != "enabled"]


def _check_regions(settings: Settings, partition: str, known: Iterable[str] = ()) -> None:
    named = _named_regions(settings)
    if not named:
        return
    problems = Problems()
    names = {*partition_regions(partition), *known}
    for place, region in named:
        if region not in names:
            text = f"there is no region {region!r} in partition {partition}"
            problems.add(place, f"{text}; {suggestion(region, names)}")
    problems.raise_any()


def _narrowed(targets: Iterable[Target], settings: Settings, words: Iterable[str]) -> list[Target]:
    """Keep the regions of --finops-regions, and of an account's own list in finops.yaml; ``words`` call the accounts.

    :raises ConfigError: when nothing is left.
    """
    listed = list(targets)
    if not listed:
        names = sorted(word for word in words if not word.startswith((UNIT, TAG)))
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        raise ConfigError(
            f"no target is left: {said_by(settings, 'accounts')} {','.join(settings.accounts)} leaves out every account "
            f"(known are {', '.join(names[:20])}{more})"
        )
    kept = []
    for target in listed:
        lists = [
            settings.regions,
            *(e.get("regions") or () for e in settings.account_entries if _is_target(e, target)),
        ]
        if target.region == GLOBAL or all(
            not names or "enabled" in names or target.region in names for names in lists
        ):
            kept.append(target)
    if not kept:
        known = ", ".join(sorted({f"{t.account_id}/{t.region}" for t in listed}))
        raise ConfigError(
            f"no target is left: --finops-accounts and --finops-regions exclude everything of {known}"
        )
    return kept


def _is_target(entry: Mapping[str, Any], target: Target) -> bool:
    return _is(entry, target.account_id) or (not entry.get("id") and entry.get("profile") == target.name)


def _advice(fault: Fault) -> str:
    cure = CURES.get(fault.code)
    return f"{fault.code}: {fault.message}" + (f" ({cure})" if cure else "")


def _identity(aws: Aws, login: Login) -> tuple[str, str]:
    region = aws.region(login) or "us-east-1"
    answer = aws.call(login, "caller", region, "sts", "get_caller_identity", {}, witness="Account")
    return str(answer["Account"]), str(answer.get("Arn", "arn:aws:")).split(":")[1]


def _regions(aws: Aws, login: Login, account: str, partition: str, settings: Settings) -> list[str]:
    if settings.regions and "enabled" not in settings.regions:
        # A region that is asked for but not enabled stays: its calls say so, loudly.
        return list(settings.regions)
    region = aws.region(login) or endpoint_of(partition)
    answer = aws.call(
        login, account, region, "ec2", "describe_regions", {"AllRegions": False}, witness="Regions"
    )
    return sorted(
        str(entry["RegionName"])
        for entry in answer.get("Regions", ())
        if entry.get("OptInStatus", "opted-in") in ("opted-in", "opt-in-not-required")
    )


def endpoint_of(partition: str) -> str:
    """Return the region that answers global questions of a partition."""
    return {"aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}.get(partition, "us-east-1")


def partition_regions(partition: str = "aws") -> list[str]:
    """Return botocore's regions of a partition; asks nobody."""
    import botocore.session

    return sorted(botocore.session.Session().get_available_regions("ec2", partition_name=partition))


def offline_targets(settings: Settings, now: datetime) -> Discovery:
    """Return targets without asking AWS: the last discovery, configured regions, or else all of the partition.

    :raises ConfigError: when a name of the settings does not exist.
    """
    last = last_discovery.load(settings, now)
    if last is not None:
        targets, text, wider = last
        return Discovery(
            targets=unique_names(_filtered(targets, settings) if wider else targets), said=[text]
        )
    found = Discovery()
    words: set[str] = set()
    listed = entrances(settings) if not settings.org else _unknown_organization(settings, found)
    for entrance in listed:
        account = entrance.account_id or entrance.name
        known = entrance.words | _called(settings, entrance)
        words |= known
        if not _wanted(settings, known):
            continue
        partition = entrance.login.role.split(":")[1] if entrance.login.role else "aws"
        _check_regions(settings, partition)
        regions = [r for r in settings.regions if r != "enabled"] or partition_regions(partition)
        shown = configured_name(settings, account) or (account if entrance.login.role else entrance.name)
        found.logins[account] = entrance.login
        found.targets += [
            Target(account_id=account, region=r, name=shown, partition=partition, now=now) for r in regions
        ]
    if not settings.org:
        _check_accounts(settings, words)
    found.targets = unique_names(_narrowed(found.targets, settings, words))
    configured = settings.regions or any(entry.get("regions") for entry in settings.account_entries)
    source = "the configured regions" if configured else "all regions that botocore knows"
    found.said.append(f"AWS was not asked, and no earlier discovery is kept: {source}")
    return found


def _unknown_organization(settings: Settings, found: Discovery) -> list[Entrance]:
    from .collector.aws import Login

    found.said.append("the accounts of the organization are not known: it stands as one account")
    found.accounts_known = False
    return [Entrance("organization", Login(), also=frozenset(_kept_words(settings)))]


def unique_names(targets: Iterable[Target]) -> list[Target]:
    """Fall back to the account id where two accounts share a name, or names that make the same test id."""
    listed = list(targets)
    accounts = {target.account_id: target.name or target.account_id for target in listed}
    count = Counter(safe_id(name) for name in accounts.values())
    return sorted(
        (
            replace(
                target,
                name=accounts[target.account_id]
                if count[safe_id(accounts[target.account_id])] == 1
                else target.account_id,
            )
            for target in listed
        ),
        key=lambda target: (target.account_id, target.region),
    )


def replayed(saved: Saved, settings: Settings, now: datetime) -> Discovery:
    """Return what a saved inventory has of the accounts that the settings keep, entered or not.

    :raises ConfigError: when a name of the settings does not exist in it.
    """
    failed = [
        Unentered(
            one["account_id"], Fault(classify(one["code"]), one["code"], one["message"]), one["service"], one["operation"]
        )
        for one in saved.not_entered()
    ]  # fmt: skip
    targets = [replace(target, now=now) for target in saved.targets()]
    kept = filter_targets(targets, settings, {one.name for one in failed})
    return Discovery(
        targets=unique_names(kept),
        failed=[one for one in failed if _wanted(settings, {one.name})],
        said=_left_out(targets, {target.account_id for target in kept}, settings),
    )


def _left_out(targets: Iterable[Target], accounts: Container[str], settings: Settings) -> list[str]:
    """Return what the regions of an account in finops.yaml, meant for live runs, leave unread of a saved inventory."""
    lines = []
    for index, entry in enumerate(settings.account_entries):
        names = entry.get("regions") or ("enabled",)
        left = [
            t for t in targets if t.account_id in accounts and _is_target(entry, t) and t.region not in names
        ]
        if left and "enabled" not in names:
            regions = ", ".join(sorted(target.region for target in left))
            lines.append(
                f"{_file(settings)}:{entry[LINE]}: accounts[{index}].regions leaves out what is saved of account "
                f"{left[0].account_id} in {regions}"
            )
    return lines


def filter_targets(targets: Iterable[Target], settings: Settings, also: Collection[str] = ()) -> list[Target]:
    """Keep and name what the settings say (replays and the demo); ``also`` are names of accounts without targets.

    :raises ConfigError: when a name of the settings does not exist, a region is not among the targets, or nothing is left.
    """
    listed = list(targets)
    kept = _filtered(listed, settings, also)
    accounts = {target.account_id for target in kept}
    have = {target.region for target in listed if target.account_id in accounts} - {GLOBAL}
    problems = Problems()
    for region in settings.regions if kept else ():
        # Nobody can be asked what is there: leaving it out would look like a region without findings.
        if region not in have and region != "enabled":
            problems.add(
                said_by(settings, "regions"),
                f"no account that is kept has the region {region!r} here; {suggestion(region, have)}",
            )
    problems.raise_any()
    return kept


def _filtered(targets: Iterable[Target], settings: Settings, also: Collection[str] = ()) -> list[Target]:
    listed = []
    for target in targets:
        unnamed = target.name in ("", target.account_id)
        name = configured_name(settings, target.account_id) if unnamed else None
        listed.append(replace(target, name=name) if name else target)
    words = set(also)
    kept = []
    for target in listed:
        name = configured_name(settings, target.account_id)
        known = {target.account_id, target.name, *([name] if name else [])} | unit_words(
            target.organizational_unit
        )
        words |= known
        if _wanted(settings, known):
            kept.append(target)
    _check_accounts(settings, words)
    for partition in sorted({target.partition for target in kept}):
        _check_regions(settings, partition, {target.region for target in listed})
    # Accounts that could not be entered have no targets, and are told by themselves.
    alone = any(_wanted(settings, {name}) for name in also) or not listed
    return _narrowed(kept, settings, words) if kept or not alone else kept


def grouping(targets: Sequence[Target], asked: str | None) -> str:
    """Return region, account or all: what was asked, or by the number of targets alone (interface, section 2)."""
    if asked:
        return asked
    if len(targets) <= 200:
        return "region"
    return "account" if len({target.account_id for target in targets}) <= 200 else "all"


def target_sets(
    targets: Sequence[Target], group: str, level: str, payer: str | None = None
) -> list[TargetSet]:
    """Return what one item each covers, for a subject of ``level``; none in a shard without the payer."""
    regional = [target for target in targets if target.region != GLOBAL]
    if level != "region":
        seen: dict[str, Target] = {}
        for target in targets:
            seen.setdefault(target.account_id, replace(target, region=GLOBAL))
        regional = [t for t in seen.values() if level != "payer" or payer in (None, t.account_id)]
    if not regional:
        return []
    if group == "all":
        return [TargetSet("all", tuple(regional))]
    by_account: dict[str, list[Target]] = {}
    for target in regional:
        by_account.setdefault(target.account_id, []).append(target)
    if level != "region":
        return [TargetSet(safe_id(members[0].name), tuple(members)) for members in by_account.values()]
    if group == "account":
        return [TargetSet(f"{safe_id(m[0].name)}-grouped", tuple(m)) for m in by_account.values()]
    return [TargetSet(f"{safe_id(target.name)}-{target.region}", (target,)) for target in regional]


def safe_id(name: str) -> str:
    """Return a name that is safe in a test id: account names are hostile input like any other."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in name)
    return kept[:64] or "_"


def to_plain(targets: Iterable[Target]) -> list[dict[str, Any]]:
    """Return targets as builtins, for workers."""
    return [
        {
            "account_id": t.account_id, "region": t.region, "name": t.name, "partition": t.partition,
            "now": t.now.isoformat(), "organizational_unit": t.organizational_unit,
        }
        for t in targets
    ]  # fmt: skip


def from_plain(rows: Iterable[Mapping[str, Any]]) -> list[Target]:
    """Return targets from builtins."""
    return [Target(**{**row, "now": datetime.fromisoformat(row["now"])}) for row in rows]
