"""Targets: which accounts and regions an audit looks at, resolved once, in the main process."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .collector.faults import CallFault, Fault
from .errors import CollectError, ConfigError
from .resources import GLOBAL, Target

if TYPE_CHECKING:
    from .collector.aws import Aws, Login
    from .options import Settings


@dataclass(frozen=True, slots=True)
class TargetSet:
    """The targets that one test item covers, and its id."""

    id: str
    targets: tuple[Target, ...]


@dataclass(slots=True)
class Discovery:
    """What resolving found: targets, how to log in to each account, and the accounts that could not be entered."""

    targets: list[Target] = field(default_factory=list)
    logins: dict[str, Login] = field(default_factory=dict)
    failed: list[tuple[str, Fault]] = field(default_factory=list)
    auditor: Login | None = None
    said: list[str] = field(default_factory=list)
    payer: str | None = None


def discover(settings: Settings, aws: Aws, now: datetime) -> Discovery:
    """Ask STS who we are and EC2 which regions are enabled, for every login of the settings.

    :raises ConfigError: when no account at all can be entered, or a region does not exist.
    """
    found = Discovery()
    for name, login in logins_of(settings):
        try:
            account, partition = _identity(aws, login)
            names = _regions(aws, login, account, partition, settings.regions)
        except (CallFault, CollectError) as error:
            fault = error.fault if isinstance(error, CallFault) else Fault("denied", error.code, str(error))
            found.failed.append((login.role.split(":")[4] if login.role else name, fault))
            continue
        if settings.accounts and account not in settings.accounts:
            found.said.append(f"account {account} left out by --finops-accounts")
            continue
        if account in found.logins:
            found.said.append(f"account {account} is named twice: {name} adds nothing")
            continue
        found.logins[account] = login
        found.auditor = found.auditor or login
        shown = configured_name(settings, account) or (name if not login.role else account)
        found.targets += [
            Target(account_id=account, region=region, name=shown, partition=partition, now=now)
            for region in names
        ]
    if found.failed and not found.logins:
        lines = "\n".join(f"  {name}: {_advice(fault)}" for name, fault in found.failed)
        raise ConfigError(f"no account could be entered:\n{lines}")
    if not found.targets:
        raise ConfigError("no target is left: --finops-accounts and --finops-regions exclude everything")
    found.targets = unique_names(found.targets)
    return found


def logins_of(settings: Settings) -> list[tuple[str, Login]]:
    """Return (name, login) of every account that the settings name."""
    from .collector.aws import Login

    profiles = list(settings.profile)
    first = None if not profiles or profiles[0] == "env" else profiles[0]
    found: list[tuple[str, Login]] = []
    if not settings.role:
        found = [(profile, Login(profile=None if profile == "env" else profile)) for profile in profiles]
    for role in settings.role:
        parts = role.split(":")
        if len(parts) < 6 or parts[2] != "iam":
            raise ConfigError(
                f"--finops-role {role!r} is not a role ARN like arn:aws:iam::123456789012:role/audit"
            )
        found.append((parts[4], Login(profile=first, role=role, external_id=settings.external_id)))
    return found


def configured_name(settings: Settings, account: str) -> str | None:
    """Return the name that finops.yaml gives an account."""
    for entry in settings.account_entries:
        if str(entry.get("id")) == account and entry.get("name"):
            return str(entry["name"])
    return None


def _advice(fault: Fault) -> str:
    cures = {
        "NoCredentialsError": "no credentials found: log in (aws sso login, aws configure) or name a profile",
        "ProfileNotFound": "there is no such profile in the AWS configuration files",
        "ExpiredToken": "the token has expired: log in again",
        "ExpiredTokenException": "the token has expired: log in again",
        "RequestExpired": "the token has expired: log in again",
        "UnauthorizedSSOTokenError": "the SSO session has expired: aws sso login",
        "AccessDenied": "access denied: the role is missing or does not trust this principal",
    }
    cure = cures.get(fault.code)
    return f"{fault.code}: {fault.message}" + (f" ({cure})" if cure else "")


def _identity(aws: Aws, login: Login) -> tuple[str, str]:
    region = aws.session(login).region_name or "us-east-1"
    answer = aws.call(login, "caller", region, "sts", "get_caller_identity", {})
    return str(answer["Account"]), str(answer.get("Arn", "arn:aws:")).split(":")[1]


def _regions(aws: Aws, login: Login, account: str, partition: str, wanted: Sequence[str]) -> list[str]:
    if wanted and "enabled" not in wanted:
        known = partition_regions(partition)
        for region in wanted:
            if region not in known:
                close = difflib.get_close_matches(region, known, 1)
                hint = f": did you mean {close[0]}?" if close else ""
                raise ConfigError(
                    f"--finops-regions: there is no region {region!r} in partition {partition}{hint}"
                )
    region = aws.session(login).region_name or endpoint_of(partition)
    answer = aws.call(login, account, region, "ec2", "describe_regions", {"AllRegions": False})
    enabled = sorted(
        str(entry["RegionName"])
        for entry in answer.get("Regions", ())
        if entry.get("OptInStatus", "opted-in") in ("opted-in", "opt-in-not-required")
    )
    if not wanted or "enabled" in wanted:
        return enabled
    # A region that is asked for but not enabled stays: its calls say so, loudly.
    return list(dict.fromkeys(wanted))


def endpoint_of(partition: str) -> str:
    """Return the region that answers global questions of a partition."""
    return {"aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}.get(partition, "us-east-1")


def partition_regions(partition: str = "aws") -> list[str]:
    """Return botocore's regions of a partition; asks nobody."""
    import botocore.session

    return sorted(botocore.session.Session().get_available_regions("ec2", partition_name=partition))


def offline_targets(settings: Settings, now: datetime) -> Discovery:
    """Return targets without asking AWS: configured regions, or else botocore's regions of the partition."""
    regions = [r for r in settings.regions if r != "enabled"] or partition_regions()
    found = Discovery()
    for name, login in logins_of(settings):
        account = login.role.split(":")[4] if login.role else name
        found.logins[account] = login
        found.targets += [Target(account_id=account, region=r, name=name, now=now) for r in regions]
    source = "the configured regions" if settings.regions else "all regions that botocore knows"
    found.said.append(f"AWS was not asked: {source}")
    return found


def unique_names(targets: Iterable[Target]) -> list[Target]:
    """Fall back to the account id where two accounts share a name."""
    listed = list(targets)
    accounts = {target.account_id: target.name or target.account_id for target in listed}
    count = Counter(accounts.values())
    return sorted(
        (
            replace(
                target,
                name=accounts[target.account_id]
                if count[accounts[target.account_id]] == 1
                else target.account_id,
            )
            for target in listed
        ),
        key=lambda target: (target.account_id, target.region),
    )


def filter_targets(targets: Iterable[Target], settings: Settings) -> list[Target]:
    """Keep what --finops-accounts and --finops-regions name (replays and the demo).

    :raises ConfigError: when nothing is left.
    """
    listed = list(targets)
    kept = [
        target
        for target in listed
        if (
            not settings.accounts
            or target.account_id in settings.accounts
            or target.name in settings.accounts
        )
        and (
            not settings.regions
            or "enabled" in settings.regions
            or target.region in settings.regions
            or target.region == GLOBAL
        )
    ]
    if listed and not kept:
        known = ", ".join(sorted({f"{t.account_id}/{t.region}" for t in listed}))
        raise ConfigError(
            f"no target is left: --finops-accounts and --finops-regions exclude everything of {known}"
        )
    return kept


def grouping(targets: Sequence[Target], asked: str | None) -> str:
    """Return region, account or all: what was asked, or by the number of targets alone (interface, section 2)."""
    if asked:
        return asked
    if len(targets) <= 200:
        return "region"
    return "account" if len({target.account_id for target in targets}) <= 200 else "all"


def target_sets(targets: Sequence[Target], group: str, level: str) -> list[TargetSet]:
    """Return what one item each covers, for a subject of ``level``."""
    regional = [target for target in targets if target.region != GLOBAL]
    if level != "region":
        seen: dict[str, Target] = {}
        for target in targets:
            seen.setdefault(target.account_id, replace(target, region=GLOBAL))
        regional = list(seen.values())
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
