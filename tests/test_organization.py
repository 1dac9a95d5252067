"""A whole organization through one role: every active account, by name and unit, whatever one of them does."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from finops_kit import NOW, audit, comparable, environment, write_checks

from pytest_finops import config as layers
from pytest_finops import targets
from pytest_finops.collector.aws import Aws
from pytest_finops.collector.guard import Guard
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Limiter
from pytest_finops.collector.saved import Saved
from pytest_finops.errors import ConfigError
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

HUB, WEB, LAB, OLD, LOCKED = "111111111111", "222222222222", "333333333333", "444444444444", "555555555555"
ROLE = "FinOpsAudit"
REGION = "eu-west-1"
UNITS = {
    HUB: "",
    WEB: "ou-ab12-prod0001/ou-ab12-shop0001",
    LAB: "ou-ab12-sand0001",
    OLD: "",
    LOCKED: "ou-ab12-prod0001",
}
NAMES = {HUB: "payer", WEB: "web <b>", LAB: "lab", OLD: "old", LOCKED: "locked"}


def organization(*, paths: bool = True, locked: bool = False) -> Estate:
    estate = Estate(NOW)
    for account_id, name in NAMES.items():
        if account_id == LOCKED and not locked:
            continue
        estate.account(account_id, name, regions=(REGION,), access_key=f"AKIA{account_id}")
        estate.add(
            account_id, REGION, "ec2.describe_volumes", VolumeId=f"vol-{account_id}", Size=80, VolumeType="gp3",
            State="available", CreateTime="-45d", Iops=3000, Throughput=125, Attachments=[],
        )  # fmt: skip
        unit = f"{UNITS[account_id]}/" if UNITS[account_id] else ""
        more = {"Paths": [f"o-1234567890/r-ab12/{unit}{account_id}/"]} if paths else {}
        estate.add(
            HUB, "global", "organizations.list_accounts", Id=account_id, Name=name,
            State="SUSPENDED" if account_id == OLD else "ACTIVE", Status="ACTIVE", **more,
        )  # fmt: skip
        estate.put(
            HUB, "global", "organizations.list_tags_for_resource",
            {"Tags": [{"Key": "team", "Value": NAMES[account_id][:3]}]}, {"ResourceId": account_id},
        )  # fmt: skip
    if locked:
        estate.denied_roles.add(f"arn:aws:iam::{LOCKED}:role/{ROLE}")
    estate.put(
        HUB, "global", "organizations.describe_organization", {"Organization": {"MasterAccountId": HUB}}
    )
    estate.put(HUB, "global", "organizations.list_roots", {"Roots": [{"Id": "r-ab12", "Name": "Root"}]})
    for parent, units in (
        ("r-ab12", [("ou-ab12-prod0001", "Production"), ("ou-ab12-sand0001", "Sandbox")]),
        ("ou-ab12-prod0001", [("ou-ab12-shop0001", "Shop")]),
        ("ou-ab12-shop0001", []),
        ("ou-ab12-sand0001", []),
    ):
        estate.put(
            HUB, "global", "organizations.list_organizational_units_for_parent",
            {"OrganizationalUnits": [{"Id": key, "Name": name} for key, name in units]}, {"ParentId": parent},
        )  # fmt: skip
        held = [
            account for account in estate.accounts if (UNITS[account].split("/")[-1] or "r-ab12") == parent
        ]
        estate.put(
            HUB, "global", "organizations.list_accounts_for_parent",
            {"Accounts": [{"Id": account, "Name": NAMES[account]} for account in held]}, {"ParentId": parent},
        )  # fmt: skip
    return estate


def run(
    folder: Path, *args: str, estate: Estate | None = None, faults: Any = (), page_size: int | None = 2
) -> tuple[int, str, dict[str, Any], ReplayEndpoint]:
    write_checks(folder)
    with ReplayEndpoint(estate or organization(), faults=faults, page_size=page_size) as endpoint:
        status, output, document = audit(
            folder, f"--finops-org={ROLE}", "checks", "--finops-prices=offline", f"--finops-now={NOW.isoformat()}", *args,
            env=environment(endpoint.url, folder, AWS_ACCESS_KEY_ID=f"AKIA{HUB}"),
        )  # fmt: skip
    return status, output, document, endpoint


def audited(document: dict[str, Any]) -> dict[str, str | None]:
    return {account["name"]: account["organizational_unit"] for account in document["accounts"]}


@pytest.mark.parametrize("paths", [True, False], ids=["paths", "no-paths"])
def test_every_active_account_is_audited_by_name_and_unit(tmp_path: Path, paths: bool) -> None:
    status, output, document, endpoint = run(
        tmp_path, "--finops-report=html:report.html", estate=organization(paths=paths)
    )

    assert status == 1, output
    assert audited(document) == {"payer": None, "web <b>": "Production/Shop", "lab": "Sandbox"}
    assert {(f["account_name"], f["organizational_unit"]) for f in document["findings"]} == {
        ("payer", None), ("web <b>", "Production/Shop"), ("lab", "Sandbox"),
    }  # fmt: skip
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "By organizational unit" in page
    assert "Production/Shop" in page
    assert f"1 account of the organization left out: SUSPENDED: old ({OLD})" in output
    assert "test_ebs_lost[web__b_-eu-west-1]" in output
    # The account where the credentials are is entered as it is; the others through the role.
    assert endpoint.count("sts", "assume_role") == 2
    assert (endpoint.count("organizations", "list_accounts_for_parent") > 0) is not paths
    sent = {(c["service"], c["operation"]): c["calls"] for c in document["api_usage"]["calls"]}
    assert sent["sts", "assume_role"] == endpoint.count("sts", "assume_role") > 0


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (f"{WEB},lab", {"web <b>", "lab"}),
        ("unit:Production", {"web <b>"}),
        ("unit:Production/Shop", {"web <b>"}),
        ("unit:ou-ab12-sand0001", {"lab"}),
        ("tag:team=pay", {"payer"}),
        ("!lab", {"payer", "web <b>"}),
        ("unit:Production,payer,!unit:Shop", {"payer"}),
    ],
)
def test_accounts_are_selected_by_id_name_unit_and_tag(tmp_path: Path, words: str, kept: set[str]) -> None:
    _, output, document, endpoint = run(tmp_path, f"--finops-accounts={words}")

    assert set(audited(document)) == kept, output
    assert (endpoint.count("organizations", "list_tags_for_resource") > 0) is words.startswith("tag:")


def test_an_unknown_unit_is_one_clear_error(tmp_path: Path) -> None:
    status, output, _, endpoint = run(tmp_path, "--finops-accounts=unit:Producton")

    assert status == 4
    assert "'unit:Producton'" in output
    assert "unit:Production" in output
    assert endpoint.count("ec2", "describe_volumes") == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("old", "--finops-accounts: account 'old' is SUSPENDED: it cannot be audited; leave it out"),
        (f"{OLD},lab", f"--finops-accounts: account '{OLD}' is SUSPENDED: it cannot be audited; leave it out"),
        ("tag:team=LAB", "there is no account 'tag:team=LAB'; did you mean tag:team=lab?"),
        ("tag:team=WEB", "did you mean tag:team=web?"),
        ("unit:SANDBOX", "did you mean unit:Sandbox?"),
        ("lab,!lab", f"--finops-accounts lab,!lab leaves out every account (known are {HUB}, {WEB}, {LAB}, lab, payer, "),
    ],
)  # fmt: skip
def test_what_cannot_be_selected_is_told_with_its_reason(
    tmp_path: Path, words: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReplayEndpoint(organization()) as endpoint:
        for name, value in environment(endpoint.url, tmp_path, AWS_ACCESS_KEY_ID=f"AKIA{HUB}").items():
            monkeypatch.setenv(name, value)
        settings = layers.resolve({"org": ROLE, "accounts": [words]}, {}, tmp_path)
        stop = threading.Event()
        aws = Aws(
            run_id="t", guard=Guard(), ledger=Ledger(), limiter=Limiter(1.0, stop), stop=stop, threads=2
        )
        with pytest.raises(ConfigError) as caught:
            targets.discover(settings, aws, NOW)

    assert told in str(caught.value)


def test_to_leave_out_a_suspended_account_is_no_mistake(tmp_path: Path) -> None:
    _, output, document, _ = run(tmp_path, "--finops-accounts=!old,!lab")

    assert set(audited(document)) == {"payer", "web <b>"}, output


def test_one_account_that_refuses_is_loud_and_stops_nothing(tmp_path: Path) -> None:
    status, output, document, _ = run(tmp_path, "--finops-max-waste=1000", estate=organization(locked=True))

    assert status == 7, output
    assert {f["account_id"] for f in document["findings"]} == {HUB, WEB, LAB}
    assert [(s["account_id"], s["operation"], s["code"]) for s in document["blind_spots"]] == [
        (LOCKED, "assume_role", "AccessDenied")
    ]
    assert {(r["account_id"], r["outcome"]) for r in document["checks"] if r["account_id"] == LOCKED} == {
        (LOCKED, "error")
    }
    assert document["complete"] is False


def test_an_account_that_is_expected_to_refuse_is_a_skip(tmp_path: Path) -> None:
    (tmp_path / "finops.yaml").write_text(
        f"expected_blind_spots: [{{account: '{LOCKED}', owner: me, reason: vault, expires: 2099-01-01}}]\n"
    )

    status, output, document, _ = run(tmp_path, "--finops-max-waste=1000", estate=organization(locked=True))

    assert status == 0, output
    (row,) = [row for row in document["checks"] if row["account_id"] == LOCKED]
    assert row["outcome"] == "skipped"
    assert row["reason"].startswith("expected blind spot: sts.assume_role: AccessDenied")
    assert [(spot["account_id"], spot["expected"]) for spot in document["blind_spots"]] == [(LOCKED, True)]
    assert document["complete"] is True

    status, output, _, _ = run(tmp_path, "--finops-dry-run", estate=organization(locked=True))
    assert status == 0, output
    assert "could not look" not in output


def test_units_that_cannot_be_read_are_said_unless_they_are_asked_for(tmp_path: Path) -> None:
    denied = [Fault("error", "organizations", "list_roots")]

    status, output, document, _ = run(tmp_path, faults=denied)
    assert status == 1, output
    assert set(audited(document).values()) == {None}
    assert "organizational units are not known" in json.dumps(document["warnings"]) + output

    status, output, _, _ = run(tmp_path, "--finops-accounts=unit:Sandbox", faults=denied)
    assert status == 4
    assert "names a unit, but units could not be read" in output


def test_who_may_not_list_the_accounts_is_told_who_may(tmp_path: Path) -> None:
    status, output, _, _ = run(tmp_path, faults=[Fault("error", "organizations", "list_accounts")])

    assert status == 4
    assert "--finops-org: the accounts of the organization could not be listed" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("kind", ["html", "truncate", "missing_key", "repeat_token"])
def test_an_answer_that_is_not_awss_own_is_no_empty_organization(tmp_path: Path, kind: Any) -> None:
    status, output, _, _ = run(tmp_path, faults=[Fault(kind, "organizations", "list_accounts")])

    assert status == 4
    assert "could not be listed" in output


def test_empty_pages_with_a_token_are_read_past(tmp_path: Path) -> None:
    empty = Fault("empty_page_with_token", "organizations", "list_accounts", times=1)

    _, output, document, _ = run(tmp_path, faults=[empty])

    assert set(audited(document)) == {"payer", "web <b>", "lab"}, output


def test_org_and_role_exclude_each_other(tmp_path: Path) -> None:
    status, output, _, _ = run(tmp_path, f"--finops-role=arn:aws:iam::{WEB}:role/x")

    assert status == 4
    assert "--finops-org" in output
    assert "exclude each other" in output


def test_an_arn_is_not_the_name_of_a_role(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, _ = audit(
        tmp_path,
        f"--finops-org=arn:aws:iam::{WEB}:role/x",
        "checks",
        env=environment("http://127.0.0.1:9", tmp_path),
    )

    assert status == 4
    assert "is not the name of a role; write one like FinOpsAudit, not an ARN" in output


def test_an_estimate_before_any_discovery_says_that_accounts_are_not_known(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, _ = audit(
        tmp_path, f"--finops-org={ROLE}", "checks", "--finops-estimate-cost", "--finops-regions=eu-west-1",
        env=environment("http://127.0.0.1:9", tmp_path),
    )  # fmt: skip

    assert status == 0, output
    assert "the accounts of the organization are not known: it stands as one account" in output


def test_workers_and_replays_see_the_same_organization(tmp_path: Path) -> None:
    _, _, one, _ = run(tmp_path, "--finops-save-inventory=saved")
    _, output, two, endpoint = run(tmp_path, "-n", "2")
    assert comparable(two) == comparable(one), output
    assert endpoint.count("organizations", "list_accounts") == 2

    _, output, replayed = audit(
        tmp_path,
        "--finops-inventory=saved",
        "--finops-prices=offline",
        "checks",
        env=environment("http://127.0.0.1:9", tmp_path),
    )
    kept, told = comparable(replayed, replayed=True), comparable(one, replayed=True)
    # Which accounts AWS listed as closed is news of the live run alone.
    assert kept.pop("warnings") == []
    assert told.pop("warnings") == [f"1 account of the organization left out: SUSPENDED: old ({OLD})"]
    assert kept == told, output
    # The units that a replay knows can be named.
    settings = layers.resolve({"inventory": "saved", "accounts": ["unit:Production"]}, {}, tmp_path)
    saved = targets.replayed(Saved(tmp_path / "saved"), settings, NOW)
    assert {target.name for target in saved.targets} == {"web <b>"}
