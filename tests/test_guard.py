"""The guard: of everything that botocore knows, only the declared reads of a run can leave the process."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import botocore
import pytest
from botocore import xform_name
from finops_kit import ACCOUNT, audit, environment, volumes_estate, write_checks

from pytest_finops.collector.aws import Aws, Login
from pytest_finops.collector.guard import CREDENTIALS, ENGINE_READS, Guard, why_refused
from pytest_finops.collector.ledger import Ledger
from pytest_finops.collector.limiter import Limiter
from pytest_finops.declare import Inventory, declaration_of
from pytest_finops.errors import WriteRefusedError
from pytest_finops.operations import operation
from pytest_finops.testing import ReplayEndpoint

ROLE = f"arn:aws:iam::{ACCOUNT}:role/audit"
WRITES = [
    "accept",
    "activate",
    "add",
    "apply",
    "assign",
    "associate",
    "attach",
    "authorize",
    "batch_create",
    "batch_delete",
    "batch_put",
    "batch_update",
    "cancel",
    "change",
    "complete",
    "copy",
    "create",
    "deactivate",
    "delete",
    "deploy",
    "deregister",
    "detach",
    "disable",
    "disassociate",
    "enable",
    "execute",
    "generate",
    "import",
    "initiate",
    "invoke",
    "modify",
    "move",
    "post",
    "publish",
    "purchase",
    "purge",
    "put",
    "reboot",
    "register",
    "reject",
    "release",
    "remove",
    "renew",
    "replace",
    "request",
    "reset",
    "restore",
    "resume",
    "retry",
    "revoke",
    "rotate",
    "run",
    "schedule",
    "send",
    "set",
    "start",
    "stop",
    "submit",
    "subscribe",
    "suspend",
    "sync",
    "tag",
    "terminate",
    "transfer",
    "unassign",
    "unlink",
    "unregister",
    "unsubscribe",
    "untag",
    "update",
    "upload",
]


def every_operation() -> Iterator[tuple[str, str]]:
    """Every (service, method) of the newest model of each service of the installed botocore."""
    for folder in sorted((Path(botocore.__file__).parent / "data").iterdir()):
        versions = sorted(path for path in folder.glob("*/service-2.json.gz")) if folder.is_dir() else []
        if versions:
            model = json.loads(gzip.decompress(versions[-1].read_bytes()))
            yield from ((folder.name, xform_name(name)) for name in model["operations"])


@pytest.fixture(scope="module")
def everything() -> list[tuple[str, str]]:
    return list(every_operation())


@pytest.fixture(scope="module")
def declared() -> set[tuple[str, str]]:
    """What the shipped fixtures declare."""
    from importlib import import_module
    from pkgutil import iter_modules

    package = import_module("pytest_finops.fixtures")
    found = set()
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        for value in vars(import_module(module.name)).values():
            one = declaration_of(getattr(value, "_fixture_function", value))
            if isinstance(one, Inventory):
                found.add((one.service, one.operation))
    assert ("ec2", "describe_volumes") in found
    return found


def test_of_every_operation_only_the_plan_and_the_engines_reads_pass(
    everything: list[tuple[str, str]], declared: set[tuple[str, str]]
) -> None:
    guard = Guard()
    guard.allow(declared)

    passed = {call for call in everything if guard.permits(*call, {})}

    assert len(everything) > 15_000
    credentials = {call for call in CREDENTIALS if "assume_role" not in call[1]}
    assert passed == declared | ENGINE_READS | credentials
    assert set(everything) >= CREDENTIALS


def test_no_write_can_be_declared(everything: list[tuple[str, str]]) -> None:
    declarable = [call for call in everything if not why_refused(*call)]

    assert 7_000 < len(declarable) < len(everything) / 2
    write = re.compile(f"({'|'.join(WRITES)})_")
    assert [call for call in declarable if write.match(call[1])] == []
    assert [call for call in declarable if operation(*call).writes] == []
    secrets = re.compile(r"credentials|password(?!_polic)|secret_value|session_token|presigned")
    assert [call for call in declarable if secrets.search(call[1])] == []


def test_the_shipped_fixtures_declare_reads(declared: set[tuple[str, str]]) -> None:
    assert {call: why_refused(*call) for call in declared if why_refused(*call)} == {}


@pytest.mark.parametrize(
    "call",
    [
        ("ec2", "delete_volume"), ("sts", "assume_role"), ("sts", "get_session_token"), ("s3", "get_object"),
        ("secretsmanager", "get_secret_value"), ("redshift", "get_cluster_credentials"), ("ssm", "get_parameter"),
        ("lightsail", "get_relational_database_master_user_password"), ("support", "refresh_trusted_advisor_check"),
        ("ce", "start_savings_plans_purchase_recommendation_generation"), ("resource-explorer-2", "search"),
    ],
)  # fmt: skip
def test_allowing_what_is_not_a_read_is_refused(call: tuple[str, str]) -> None:
    with pytest.raises(WriteRefusedError):
        Guard().allow([call])


# --- real clients ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ReplayEndpoint]:
    with ReplayEndpoint(volumes_estate()) as started:
        yield started


@pytest.fixture
def aws(endpoint: ReplayEndpoint) -> Aws:
    stop = Event()
    made = Aws(run_id="x", guard=Guard(), ledger=Ledger(), limiter=Limiter(1.0, stop), stop=stop, threads=2)
    made.guard.allow([("ec2", "describe_volumes"), ("s3", "list_buckets")])
    return made


def client(aws: Aws, endpoint: ReplayEndpoint, service: str) -> Any:
    return aws.client(Login(keys=("AKIAMAIN", "x"), endpoint=endpoint.url), service, "us-east-1")


@pytest.mark.parametrize(
    ("service", "method", "params"),
    [
        ("ec2", "delete_volume", {"VolumeId": "vol-1"}),
        ("ec2", "describe_snapshots", {}),
        ("rds", "describe_db_instances", {}),
        ("s3", "put_object", {"Bucket": "b", "Key": "k", "Body": b"x"}),
        ("lambda", "update_function_configuration", {"FunctionName": "f"}),
        ("logs", "put_retention_policy", {"logGroupName": "g", "retentionInDays": 1}),
        ("sts", "assume_role", {"RoleArn": ROLE, "RoleSessionName": "me"}),
    ],
)
def test_a_call_that_is_not_planned_sends_no_byte(
    aws: Aws, endpoint: ReplayEndpoint, service: str, method: str, params: Any
) -> None:
    before = len(endpoint.requests)

    with pytest.raises(WriteRefusedError, match="not a declared read"):
        getattr(client(aws, endpoint, service), method)(**params)

    assert len(endpoint.requests) == before


def test_the_plan_passes(aws: Aws, endpoint: ReplayEndpoint) -> None:
    ec2 = client(aws, endpoint, "ec2")

    assert len(ec2.describe_volumes()["Volumes"]) == 3
    assert len(list(ec2.get_paginator("describe_volumes").paginate())) == 1
    assert "DescribeVolumes" in ec2.generate_presigned_url("describe_volumes")


def test_nothing_else_is_signed(aws: Aws, endpoint: ReplayEndpoint) -> None:
    with pytest.raises(WriteRefusedError):
        client(aws, endpoint, "ec2").generate_presigned_url("delete_volume", {"VolumeId": "vol-1"})
    s3 = client(aws, endpoint, "s3")
    with pytest.raises(WriteRefusedError):
        s3.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"})
    with pytest.raises(WriteRefusedError):
        s3.generate_presigned_post("b", "k")
    with pytest.raises(WriteRefusedError, match="not signed"):
        client(aws, endpoint, "rds").generate_db_auth_token("db", 5432, "admin")
    with pytest.raises(WriteRefusedError):
        next(iter(s3.get_paginator("list_objects_v2").paginate(Bucket="b")))


def test_only_the_roles_of_the_run_are_taken_on(
    endpoint: ReplayEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(endpoint.url, tmp_path).items():
        monkeypatch.setenv(name, value)
    stop = Event()
    aws = Aws(run_id="x", guard=Guard(), ledger=Ledger(), limiter=Limiter(1.0, stop), stop=stop, threads=2)

    assert (
        aws.client(Login(role=ROLE), "sts", "us-east-1")
        .get_caller_identity()["Arn"]
        .endswith("assumed-role/audit/pytest-finops-x")
    )
    with pytest.raises(WriteRefusedError):
        aws.client(Login(), "sts", "us-east-1").assume_role(
            RoleArn=ROLE.replace("audit", "admin"), RoleSessionName="me"
        )


def test_a_profile_may_take_on_its_role(
    endpoint: ReplayEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(endpoint.url, tmp_path).items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "config"
    file.write_text(
        f"[profile team]\nrole_arn = {ROLE}\nsource_profile = base\nregion = us-east-1\n"
        "[profile base]\naws_access_key_id = AKIAMAIN\naws_secret_access_key = x\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    stop = Event()
    aws = Aws(run_id="x", guard=Guard(), ledger=Ledger(), limiter=Limiter(1.0, stop), stop=stop, threads=2)

    found = aws.client(Login(profile="team"), "sts", "us-east-1").get_caller_identity()

    assert "assumed-role/audit" in found["Arn"]


def test_a_check_that_declares_a_write_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    test = """
@finops.inventory("ec2", "delete_volume", "@")
def gone(page):
    return []


@finops.rule("ebs-team")
def test_team(ebs_volumes, gone, findings):
    pass
"""
    write_checks(tmp_path, test)
    with ReplayEndpoint(volumes_estate()) as endpoint:
        status, output, _ = audit(
            tmp_path, "--finops-profile=env", "checks", env=environment(endpoint.url, tmp_path)
        )

    assert status == 4, output
    assert "inventory gone: ec2.delete_volume is refused: it is not a read" in output
    assert endpoint.count("ec2", "delete_volume") == 0
