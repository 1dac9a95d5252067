"""Which accounts and regions an audit looks at: options, accounts of finops.yaml, the last discovery."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from finops_kit import NOW, audit, environment, write_checks

from pytest_finops import config as layers
from pytest_finops import last_discovery, targets
from pytest_finops.collector.aws import Aws
from pytest_finops.collector.guard import Guard
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Limiter
from pytest_finops.errors import ConfigError
from pytest_finops.resources import Target
from pytest_finops.targets import Discovery
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

HUB, PROD, DEV = "111111111111", "222222222222", "333333333333"
PROFILES = """\
[profile hub]
aws_access_key_id = AKIAHUB
aws_secret_access_key = x
region = us-east-1
[profile prod]
aws_access_key_id = AKIAPROD
aws_secret_access_key = x
region = us-east-1
[profile broken]
aws_access_key_id = AKIANOBODY
aws_secret_access_key = x
region = us-east-1
"""


def estate() -> Estate:
    made = Estate(NOW)
    made.account(HUB, "hub", regions=("us-east-1", "eu-west-1"), access_key="AKIAHUB")
    made.account(PROD, "prod", regions=("us-east-1", "eu-west-1", "eu-west-3"), access_key="AKIAPROD")
    made.account(DEV, "dev", regions=("us-east-1",), access_key="AKIADEV")
    return made


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplayEndpoint]:
    (tmp_path / "aws").write_text(PROFILES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(layers, "user_file", lambda: tmp_path / "user.yaml")
    with ReplayEndpoint(estate()) as made:
        env = {k: v for k, v in environment(made.url, tmp_path).items() if k.startswith(("AWS", "FINOPS"))}
        env["AWS_CONFIG_FILE"] = str(tmp_path / "aws")
        env["AWS_ACCESS_KEY_ID"] = "AKIAHUB"
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield made


def found(tmp_path: Path, text: str = "", *, named: bool = True, **cli: Any) -> Discovery:
    if text:
        (tmp_path / "finops.yaml").write_text(text, encoding="utf-8")
        if named:
            cli["config"] = "finops.yaml"
    settings = layers.resolve(cli, {}, tmp_path)
    stop = threading.Event()
    ledger = Ledger()
    aws = Aws(
        run_id="t", guard=Guard(), ledger=ledger, limiter=Limiter(1.0, stop), stop=stop, threads=2, retry_delay=0
    )  # fmt: skip
    return targets.discover(settings, aws, NOW)


def shown(discovery: Discovery) -> list[str]:
    return [f"{t.name}-{t.region}" for t in discovery.targets]


ACCOUNTS = f"""\
accounts:
  - {{id: '{PROD}', name: shop, profile: prod, regions: [eu-west-1, us-east-1]}}
  - {{name: sandbox, role: 'arn:aws:iam::{DEV}:role/audit'}}
"""


def test_accounts_of_a_named_file_are_targets(endpoint: ReplayEndpoint, tmp_path: Path) -> None:
    made = found(tmp_path, ACCOUNTS)

    # Name = profile, else the configured name; the account's own regions narrow it.
    assert shown(made) == ["prod-eu-west-1", "prod-us-east-1", "sandbox-us-east-1"]
    assert {t.account_id for t in made.targets} == {PROD, DEV}
    # The role is assumed from the first profile of the file.
    assert made.logins[DEV].profile == "prod"


def test_a_role_of_the_file_is_assumed_from_the_first_profile_or_the_environment(
    endpoint: ReplayEndpoint, tmp_path: Path
) -> None:
    text = f"accounts: [{{role: 'arn:aws:iam::{DEV}:role/audit'}}]\n"

    alone = found(tmp_path, text)
    through = found(tmp_path, text, profile=["hub,prod"])

    assert (shown(alone), alone.logins[DEV].profile) == ([f"{DEV}-us-east-1"], None)
    assert through.logins[DEV].profile == "hub"
    # hub is the way in; prod is a target like any profile.
    assert {t.name for t in through.targets} == {DEV, "prod"}


def test_a_file_that_nobody_named_only_names_and_narrows(endpoint: ReplayEndpoint, tmp_path: Path) -> None:
    made = found(tmp_path, ACCOUNTS, named=False, role=[f"arn:aws:iam::{n}:role/audit" for n in (PROD, DEV)])

    assert shown(made) == ["shop-eu-west-1", "shop-us-east-1", "sandbox-us-east-1"]


def test_accounts_are_kept_by_id_name_or_profile(endpoint: ReplayEndpoint, tmp_path: Path) -> None:
    for word in (PROD, "shop", "prod"):
        made = found(tmp_path, ACCOUNTS, accounts=[word])
        assert {t.account_id for t in made.targets} == {PROD}
    # What is known not to be wanted is not even asked.
    assert not any(request.operation == "assume_role" for request in endpoint.requests)


def test_unknown_accounts_name_the_closest(endpoint: ReplayEndpoint, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        found(tmp_path, ACCOUNTS, accounts=["shpo,sandbox,elsewhere"])

    assert str(caught.value).splitlines() == [
        "--finops-accounts: there is no account 'shpo'; did you mean shop?",
        f"--finops-accounts: there is no account 'elsewhere'; known are {PROD}, {DEV}, prod, sandbox, shop",
    ]


def test_unknown_regions_name_option_or_line(endpoint: ReplayEndpoint, tmp_path: Path) -> None:
    text = ACCOUNTS.replace("eu-west-1", "eu-wset-1")
    with pytest.raises(ConfigError) as caught:
        found(tmp_path, text, regions=["us-eastt-1"])

    assert str(caught.value).splitlines() == [
        "--finops-regions: there is no region 'us-eastt-1' in partition aws; did you mean us-east-1?",
        "finops.yaml:2: accounts[0].regions: there is no region 'eu-wset-1' in partition aws; did you mean eu-west-1?",
    ]


def test_a_replay_without_a_region_that_is_asked_for_says_so(tmp_path: Path) -> None:
    listed = [Target(PROD, region, "prod", now=NOW) for region in ("global", "us-east-1", "eu-west-1")]
    settings = layers.resolve({"regions": ["us-east-1,eu-west-2,ap-south-1"]}, {}, tmp_path)
    with pytest.raises(ConfigError) as caught:
        targets.filter_targets(listed, settings)

    assert str(caught.value).splitlines() == [
        "--finops-regions: no account that is kept has the region 'eu-west-2' here; did you mean eu-west-1?",
        "--finops-regions: no account that is kept has the region 'ap-south-1' here; known are eu-west-1, us-east-1",
    ]
    asked = layers.resolve({"regions": ["us-east-1"]}, {}, tmp_path)
    assert [t.region for t in targets.filter_targets(listed, asked)] == ["global", "us-east-1"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("prod,!prod", f"--finops-accounts prod,!prod leaves out every account (known are {PROD}, prod)"),
        ("unit:Prod", "--finops-accounts: no account here has a unit, as 'unit:Prod' wants it"),
        ("tag:env=prod", "--finops-accounts: no account here has a tag, as 'tag:env=prod' wants it"),
        ("PROD", "--finops-accounts: there is no account 'PROD'; did you mean prod?"),
    ],
)
def test_accounts_that_a_replay_cannot_keep_are_told_with_the_reason(
    tmp_path: Path, words: str, told: str
) -> None:
    settings = layers.resolve({"accounts": [words]}, {}, tmp_path)
    with pytest.raises(ConfigError) as caught:
        targets.filter_targets([Target(PROD, "us-east-1", "prod", now=NOW)], settings)

    assert told in str(caught.value)


def test_the_demo_refuses_a_region_that_it_does_not_have(tmp_path: Path) -> None:
    write_checks(tmp_path)
    status, output, document = audit(
        tmp_path, "--finops-demo", "checks", "--finops-regions=us-east-1,ap-south-2",
        env=environment("http://127.0.0.1:9", tmp_path),
    )  # fmt: skip
    assert status == 4, output
    assert "has the region 'ap-south-2' here" in output
    assert not document


def test_a_wrong_id_is_told_with_its_line(endpoint: ReplayEndpoint, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"finops.yaml:2: accounts\[0\]: .* enters account {PROD}, not {HUB}"
    ):
        found(tmp_path, f"accounts:\n  - {{id: '{HUB}', profile: prod}}\n")
    with pytest.raises(ConfigError, match=rf"finops.yaml:2: .*the role is in account {DEV}, not {HUB}"):
        found(tmp_path, f"accounts:\n  - {{id: '{HUB}', role: 'arn:aws:iam::{DEV}:role/audit'}}\n")


def test_accounts_that_nobody_can_enter_are_no_target(tmp_path: Path, endpoint: ReplayEndpoint) -> None:
    with pytest.raises(ConfigError, match=r"finops.yaml: no account has a profile or a role"):
        found(tmp_path, f"accounts: [{{id: '{PROD}', name: shop}}]\n")


def test_one_account_that_cannot_be_entered_stops_nothing(endpoint: ReplayEndpoint, tmp_path: Path) -> None:
    made = found(tmp_path, profile=["prod,broken"])
    assert [(one.name, one.operation) for one in made.failed] == [("broken", "get_caller_identity")]
    assert {t.account_id for t in made.targets} == {PROD}

    # It is not missed where all that is wanted was found, and named where it may be what was meant.
    assert found(tmp_path, profile=["prod,broken"], accounts=[PROD]).failed == []
    with pytest.raises(ConfigError, match=r"(?s)could not be entered:\n  broken: "):
        found(tmp_path, profile=["prod,broken"], accounts=[PROD, HUB])


def test_regions_that_are_named_need_no_permission_to_list_them(
    tmp_path: Path, endpoint: ReplayEndpoint
) -> None:
    endpoint.add_fault(Fault("error", "ec2", "describe_regions"))
    assert shown(found(tmp_path, profile=["hub"], regions=["eu-west-1"])) == ["hub-eu-west-1"]
    with pytest.raises(ConfigError, match="UnauthorizedOperation"):
        found(tmp_path, profile=["hub"])


# --- without asking AWS


def settings_of(tmp_path: Path, **cli: Any) -> Any:
    return layers.resolve(cli, {}, tmp_path)


def test_offline_targets_are_the_last_discovery_with_its_age(
    tmp_path: Path, endpoint: ReplayEndpoint
) -> None:
    settings = settings_of(tmp_path, profile=["prod"])
    made = [Target(PROD, region, "prod") for region in ("eu-west-1", "us-east-1")]
    last_discovery.save(settings, targets.to_plain(made), 0, NOW - timedelta(hours=3))

    whole = targets.offline_targets(settings, NOW)
    part = targets.offline_targets(settings_of(tmp_path, profile=["prod"], regions=["us-east-1"]), NOW)
    other = targets.offline_targets(settings_of(tmp_path, profile=["hub"], regions=["eu-west-1"]), NOW)

    assert shown(whole) == ["prod-eu-west-1", "prod-us-east-1"]
    assert whole.said == ["AWS was not asked: the targets of the last discovery, 3 hours ago"]
    assert {t.now for t in whole.targets} == {NOW}
    assert shown(part) == ["prod-us-east-1"]
    assert shown(other) == ["hub-eu-west-1"]
    assert "the configured regions" in other.said[0]
    with pytest.raises(ConfigError, match="did you mean prod"):
        targets.offline_targets(settings_of(tmp_path, profile=["prod"], accounts=["prd"]), NOW)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "targets": [{}], "at": "x"}']
)
def test_a_damaged_discovery_is_none(tmp_path: Path, endpoint: ReplayEndpoint, text: str) -> None:
    settings = settings_of(tmp_path, profile=["prod"])
    last_discovery.save(settings, targets.to_plain([Target(PROD, "us-east-1", "prod")]), 0, NOW)
    (file,) = (tmp_path / "cache" / "targets").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(text, encoding="utf-8")

    assert "all regions that botocore knows" in targets.offline_targets(settings, NOW).said[0]


def test_a_cache_that_refuses_stops_nothing(tmp_path: Path, endpoint: ReplayEndpoint) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    last_discovery.save(settings_of(tmp_path, profile=["prod"]), [], 0, NOW)


def test_a_whole_run_with_accounts_of_a_file(tmp_path: Path) -> None:
    write_checks(tmp_path)
    (tmp_path / "aws").write_text(PROFILES, encoding="utf-8")
    (tmp_path / "targets.yaml").write_text(ACCOUNTS, encoding="utf-8")
    arguments = ("--finops-config", "targets.yaml", "checks", "--finops-prices", "offline")
    with ReplayEndpoint(estate()) as endpoint:
        env = {**environment(endpoint.url, tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "aws")}
        status, output, document = audit(tmp_path, *arguments, env=env)
        sent = len(endpoint.requests)
        _, listed, _ = audit(tmp_path, *arguments, "--co", "-q", env=env)
        assert len(endpoint.requests) == sent

    assert status == 0, output
    assert document["account_ids"] == [PROD, DEV]
    assert [account["name"] for account in document["accounts"]] == ["prod", "sandbox"]
    ids = [line for line in listed.splitlines() if "::" in line]
    assert ids == [
        "checks/ebs.yaml::test_ebs_lost[prod-eu-west-1]",
        "checks/ebs.yaml::test_ebs_lost[prod-us-east-1]",
        "checks/ebs.yaml::test_ebs_lost[sandbox-us-east-1]",
    ]
    assert "the last discovery, less than a minute ago" in listed


def test_nothing_is_sent_unless_a_check_runs_on_a_target(tmp_path: Path) -> None:
    write_checks(tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_plain.py").write_text("def test_plain():\n    pass\n", encoding="utf-8")
    # Nobody names this file: it may narrow and name targets, and makes none.
    (tmp_path / "finops.yaml").write_text(f"profile: env\ndemo: true\n{ACCOUNTS}", encoding="utf-8")
    with ReplayEndpoint(estate()) as endpoint:
        env = {**environment(endpoint.url, tmp_path), "AWS_ACCESS_KEY_ID": "AKIAHUB"}
        bare = audit(tmp_path, env=env)
        plain = audit(tmp_path, "tests", env={**env, "FINOPS_PROFILE": "env"})
        listed = audit(tmp_path, "--co", "-q", env=env)
        picked = audit(
            tmp_path, "--finops-profile=env", "checks", "--co", "-q", "--finops-regions=eu-west-1", env=env
        )

        assert endpoint.requests == []
    assert (bare[0], plain[0], listed[0], picked[0]) == (0, 0, 0, 0)
    assert "1 AWS checks deselected: no target" in bare[1]
    assert "1 passed" in plain[1]
    assert [line for line in listed[1].splitlines() if "::" in line] == [
        "checks/ebs.yaml::test_ebs_lost",
        "tests/test_plain.py::test_plain",
    ]
    assert "test_ebs_lost[env-eu-west-1]" in picked[1]
    assert "AWS was not asked, and no earlier discovery is kept: the configured regions" in picked[1]
