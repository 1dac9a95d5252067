"""What was not read is never taken for clean: bounded listings, expected denials, saved answers, secrets."""

from __future__ import annotations

import copy
import json
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from finops_kit import ACCOUNT, NOW, audit, comparable, environment, volumes_estate, write_checks

from pytest_finops import operations
from pytest_finops.collector.faults import CallFault
from pytest_finops.collector.guard import why_refused
from pytest_finops.collector.saved import SECRET, Saved, Writer, without_secrets
from pytest_finops.collector.store import Points
from pytest_finops.prices.resolver import PriceBook
from pytest_finops.resources import Target
from pytest_finops.testing import Fault, ReplayEndpoint
from pytest_finops.testing.wire import operation_model

BOUNDED = """
@finops.inventory("ec2", "describe_volumes", "Volumes[]", id="VolumeId", max_resources=2)
def first_volumes(page): ...


@finops.rule("ebs-team")
def test_team(first_volumes, findings):
    for volume in first_volumes:
        if volume.id.startswith("vol-1"):
            findings.report(volume)
"""


def live(folder: Path, *args: str, faults: Any = (), page_size: int | None = 2) -> tuple[int, str, Any]:
    with ReplayEndpoint(
        volumes_estate(regions=("us-east-1",)), faults=faults, page_size=page_size
    ) as endpoint:
        return audit(
            folder, "--finops-profile=env", "checks", "--finops-prices=offline", "--finops-now", NOW.isoformat(), *args,
            env=environment(endpoint.url, folder),
        )  # fmt: skip


@pytest.mark.parametrize("page_size", [2, None])
@pytest.mark.parametrize("found", [True, False])
def test_a_bounded_subject_is_never_clean(tmp_path: Path, page_size: int | None, found: bool) -> None:
    test = BOUNDED if found else BOUNDED.replace("vol-1", "vol-9")
    write_checks(tmp_path, test)

    status, output, document = live(tmp_path, "-k", "team", "--finops-max-waste=1000", page_size=page_size)

    assert status == 7, output
    assert document["complete"] is False
    (row,) = document["checks"]
    assert (row["outcome"], row["evaluated"], row["findings"]) == ("error", 2, int(found))
    assert "only the first 2 were read" in row["reason"]
    (spot,) = document["blind_spots"]
    assert (spot["operation"], spot["code"], spot["expected"]) == ("describe_volumes", "Bounded", False)


CLOSED = "999999999999"


@pytest.mark.parametrize(
    ("shard", "rows"),
    [("", 2), ("1/2", 1), ("2/2", 1)],
    ids=["whole", "entered", "closed"],
)
def test_an_account_that_was_not_entered_is_not_entered_in_the_replay(
    tmp_path: Path, shard: str, rows: int
) -> None:
    write_checks(tmp_path)
    roles = [f"--finops-role=arn:aws:iam::{account}:role/audit" for account in (ACCOUNT, CLOSED)]
    more = [f"--finops-shard={shard}"] if shard else []

    status, output, document = live(
        tmp_path, *roles, *more, "--finops-save-inventory=kept", "--finops-max-waste=99"
    )
    assert len(document["checks"]) == rows, output
    again, said, replayed = audit(tmp_path, "--finops-inventory=kept", "checks", "--finops-max-waste=99")

    assert (again, comparable(replayed, replayed=True)) == (status, comparable(document, replayed=True)), said
    assert ("AccessDenied" in said) == (shard != "1/2")
    narrowed, said, _ = audit(tmp_path, "--finops-inventory=kept", "checks", f"--finops-accounts={ACCOUNT}")
    assert (narrowed == 1) == (shard != "2/2"), said


def test_a_shard_without_accounts_says_that_it_saves_nothing(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, document = live(tmp_path, "--finops-shard=2/2", "--finops-save-inventory=kept")

    assert (status, document["complete"]) == (0, True), output
    assert document["warnings"] == ["shard 2/2 has no account: --finops-save-inventory writes nothing"]
    assert not (tmp_path / "kept").exists()


def test_what_finops_yaml_leaves_out_of_a_saved_inventory_is_said(tmp_path: Path) -> None:
    write_checks(tmp_path)
    volumes_estate().save(tmp_path / "kept")
    for regions, said_of in (("us-east-1", True), ("enabled", False), ("us-east-1, eu-west-1", False)):
        entry = f"accounts:\n  - {{id: '{ACCOUNT}', profile: prod, regions: [{regions}]}}\n"
        (tmp_path / "finops.yaml").write_text(entry, encoding="utf-8")

        _, output, document = audit(tmp_path, "--finops-inventory=kept", "checks")

        text = (
            f"finops.yaml:2: accounts[0].regions leaves out what is saved of account {ACCOUNT} in eu-west-1"
        )
        assert (text in document["warnings"]) == said_of, output
        assert ("accounts[0].regions leaves out" in output) == said_of, output
        assert document["regions"] == (["us-east-1"] if said_of else ["eu-west-1", "us-east-1"])


def expect_region(folder: Path, code: str = "") -> None:
    (folder / "finops.yaml").write_text(
        f"expected_blind_spots:\n  - {{region: us-east-1, {code}owner: me, reason: policy, expires: 2027-01-01}}\n",
        encoding="utf-8",
    )


@pytest.mark.parametrize(("code", "expected"), [("", False), ("code: NotAnAwsAnswer, ", True)])
def test_only_a_denial_is_expected_without_its_code(tmp_path: Path, code: str, expected: bool) -> None:
    write_checks(tmp_path)
    expect_region(tmp_path, code)

    status, output, document = live(tmp_path, faults=[Fault("html", "ec2", "describe_volumes")])

    (spot,) = document["blind_spots"]
    assert spot["expected"] is expected, (spot, output)
    assert status == (0 if expected else 7), output
    assert [row["outcome"] for row in document["checks"]] == ["skipped" if expected else "error"]


def test_an_expected_cut_is_no_clean_listing(tmp_path: Path) -> None:
    write_checks(tmp_path, BOUNDED.replace(", max_resources=2", "").replace("vol-1", "vol-9"))
    expect_region(tmp_path)

    _, output, document = live(
        tmp_path, "-k", "team", faults=[Fault("error", "ec2", "describe_volumes", page=2)]
    )

    (row,) = document["checks"]
    assert row["outcome"] == "skipped", output
    assert row["reason"].startswith("expected blind spot: ec2.describe_volumes ended after 2 resources")
    assert [spot["expected"] for spot in document["blind_spots"]] == [True]


TARGET = Target(ACCOUNT, "us-east-1", now=NOW)


def saved(folder: Path, call: str, pages: list[tuple[dict[str, Any], dict[str, Any]]]) -> Saved:
    """Write one page a call, as a run would, and read it back."""
    writer = Writer(folder)
    writer.manifest(NOW, [TARGET])
    for params, answer in pages:
        writer.page(TARGET, call, params, 1, answer, True)
    return Saved(folder)


@pytest.mark.parametrize(
    ("call", "answer", "left"),
    [
        (
            "lambda.list_functions",
            {"Functions": [{"FunctionName": "f", "Environment": {"Variables": {"KEY": "s3cret"}, "Error": {}}}]},
            {"Functions": [{"FunctionName": "f", "Environment": {"Error": {}}}]},
        ),
        (  # has no row of its own: what its service's other calls carry
            "lambda.get_function",
            {"Configuration": {"FunctionName": "f", "Environment": {"Variables": {"KEY": "s3cret"}}}},
            {"Configuration": {"FunctionName": "f", "Environment": {}}},
        ),
        (
            "ecs.describe_task_definition",
            {
                "taskDefinition": {
                    "containerDefinitions": [
                        {"name": "c", "environment": [{"name": "KEY", "value": "s3cret"}], "command": ["s3cret"]},
                        {"name": "d", "logConfiguration": {"logDriver": "x", "options": {"token": "s3cret"}}},
                    ]
                }
            },
            {
                "taskDefinition": {
                    "containerDefinitions": [{"name": "c"}, {"name": "d", "logConfiguration": {"logDriver": "x"}}]
                }
            },
        ),
        (
            "ec2.describe_launch_template_versions",
            {"LaunchTemplateVersions": [{"LaunchTemplateData": {"ImageId": "ami-1", "UserData": "s3cret"}}]},
            {"LaunchTemplateVersions": [{"LaunchTemplateData": {"ImageId": "ami-1"}}]},
        ),
        (  # neither it nor its service has a row: what is called a secret, where it stands
            "codebuild.batch_get_projects",
            {
                "projects": [
                    {
                        "name": "p",
                        "environment": {"computeType": "BUILD_GENERAL1_SMALL", "privilegedMode": True,
                                        "environmentVariables": [{"name": "KEY", "value": "s3cret"}]},
                        "webhook": {"url": "https://example.com", "secret": "s3cret"},
                    }
                ]
            },
            {
                "projects": [
                    {
                        "name": "p", "environment": {"computeType": "BUILD_GENERAL1_SMALL", "privilegedMode": True},
                        "webhook": {"url": "https://example.com"},
                    }
                ]
            },
        ),
        (
            "batch.describe_job_definitions",
            {"jobDefinitions": [{"containerProperties": {"vcpus": 2, "environment": [{"name": "KEY", "value": "s3cret"}]}}]},
            {"jobDefinitions": [{"containerProperties": {"vcpus": 2}}]},
        ),
        (
            "elbv2.describe_listeners",
            {"Listeners": [{"Port": 1, "DefaultActions": [{"AuthenticateOidcConfig": {"ClientSecret": "s3cret"}}]}]},
            {"Listeners": [{"Port": 1, "DefaultActions": [{"AuthenticateOidcConfig": {}}]}]},
        ),
    ],
)  # fmt: skip
def test_secrets_are_never_written(
    tmp_path: Path, call: str, answer: dict[str, Any], left: dict[str, Any]
) -> None:
    before = copy.deepcopy(answer)
    saved(tmp_path, call, [({}, answer)])

    text = (tmp_path / ACCOUNT / "us-east-1" / f"{call}.jsonl").read_text(encoding="utf-8")
    assert "s3cret" not in text
    assert json.loads(text)["answer"] == left
    # The run itself goes on with all of it.
    assert answer == before


def members(shape: Any, seen: frozenset[str] = frozenset()) -> Any:
    """A value with every member that the model of an answer has."""
    if shape.name in seen:
        return None
    inner = seen | ({shape.name} if shape.type_name in ("structure", "list", "map") else set())
    match shape.type_name:
        case "structure":
            return {name: members(member, inner) for name, member in shape.members.items()}
        case "list":
            return [members(shape.member, inner)]
        case "map":
            return {"any": members(shape.value, inner)}
    return shape.type_name == "boolean" or "text"


def named(value: Any) -> Iterator[str]:
    """The names of all members inside, but switches."""
    if isinstance(value, list):
        for item in value:
            yield from named(item)
    elif isinstance(value, dict):
        yield from (key for key, item in value.items() if not isinstance(item, bool))
        for item in value.values():
            yield from named(item)


def test_the_rows_of_the_table_name_every_secret_that_the_models_know() -> None:
    seen = 0
    for call in json.loads(
        Path(operations.__file__).with_name("data").joinpath("operations.json").read_text()
    )["operations"]:
        service, _, method = call.partition(".")
        if why_refused(service, method):
            continue
        shape = operation_model(service, method).output_shape
        if shape is None:
            continue
        kept = list(named(without_secrets(call, members(shape))))
        assert not [name for name in kept if SECRET.fullmatch(name)], call
        seen += len(kept)
    assert seen > 5000


@pytest.mark.parametrize(("ended", "fault"), [(0, None), (-1, "TooCoarse")])
def test_a_series_that_ends_early_is_not_taken_for_zeros(
    tmp_path: Path, ended: int, fault: str | None
) -> None:
    start = NOW - timedelta(days=2)
    key = ("AWS/EBS", "VolumeReadOps", (("VolumeId", "vol-1"),), "Sum", 3600)
    writer = Writer(tmp_path)
    writer.manifest(NOW, [TARGET])
    writer.series(TARGET, {key: Points.of([start], [7.0])}, start, NOW + timedelta(hours=ended))

    points = Saved(tmp_path).series(TARGET, key, start, NOW)

    assert (points.fault.code if points.fault else None) == fault


def test_workers_prices_are_private_and_leave_nothing_behind(tmp_path: Path) -> None:
    write_checks(tmp_path)
    (tmp_path / "finops.yaml").write_text(
        "prices:\n  overrides:\n    - {dimension: ebs.storage, region: us-east-1, volume_type: gp3, unit_price: 0.5}\n",
        encoding="utf-8",
    )

    _, output, document = live(tmp_path, "-n1", "--finops-save-inventory=kept")

    assert [f["estimated_monthly_savings"] for f in document["findings"]] == ["40.00", "40.00"], output
    kept = {path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    assert kept == {"manifest.json", "ec2.describe_volumes.jsonl"}


def test_dumped_prices_are_for_their_owner_alone(tmp_path: Path) -> None:
    PriceBook("offline", today=NOW.date()).dump(tmp_path / "prices.json")

    assert stat.S_IMODE((tmp_path / "prices.json").stat().st_mode) == 0o600
    assert PriceBook.load(tmp_path / "prices.json").mode == "offline"


SNAPSHOTS = {
    "Snapshots": [
        {"SnapshotId": "a", "OwnerId": ACCOUNT, "State": "completed", "Encrypted": True},
        {"SnapshotId": "b", "OwnerId": "999999999999", "State": "error"},
        {"SnapshotId": "c", "OwnerId": ACCOUNT, "State": "pending", "Tags": [{"Key": "env", "Value": "dev"}]},
    ]
}


def one(*ids: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"SnapshotIds": list(ids)}, {"Snapshots": [{"SnapshotId": id} for id in ids]}


def filters(name: str, *values: str) -> dict[str, Any]:
    return {"Filters": [{"Name": name, "Values": list(values)}]}


@pytest.mark.parametrize(
    ("pages", "asked", "answer"),
    [
        ([({}, SNAPSHOTS)], {"OwnerIds": ["self"]}, ["a", "c"]),
        ([({}, SNAPSHOTS)], {"OwnerIds": ["999999999999"]}, ["b"]),
        ([({}, SNAPSHOTS)], {"SnapshotIds": ["b", "z"]}, ["b"]),
        ([({}, SNAPSHOTS)], {"OwnerIds": ["self"], **filters("state", "pending")}, ["c"]),
        ([({}, {"Snapshots": []})], {"OwnerIds": ["self"], **filters("volume-size", "1")}, []),
        ([({}, SNAPSHOTS)], filters("encrypted", "true"), ["a"]),
        ([({}, SNAPSHOTS)], filters("status", "comp*"), ["a"]),
        ([({}, SNAPSHOTS)], filters("tag:env", "dev"), ["c"]),
        ([({}, SNAPSHOTS)], filters("tag:env", "prod"), []),
        # What nothing tells is missing, not empty.
        ([({}, SNAPSHOTS)], filters("storage-tier", "archive"), None),
        ([({}, SNAPSHOTS)], {"Filters": [{"Key": "State", "Values": ["pending"]}]}, None),
        ([({}, SNAPSHOTS)], {"RestorableByUserIds": ["self"]}, None),
        ([({}, {"Snapshots": [{"SnapshotId": "a"}]})], {"OwnerIds": ["self"]}, None),
        ([({}, SNAPSHOTS)], {"OwnerIds": ["self"], "DryRun": True}, None),
        # Batches: all of what is asked, each once.
        ([one("a")], {"SnapshotIds": ["a", "b"]}, None),
        ([one("a"), one("b")], {"SnapshotIds": ["a", "b"]}, ["a", "b"]),
        ([one("a", "b"), one("b", "c")], {"SnapshotIds": ["a", "b", "c"]}, ["a", "b", "c"]),
        ([one("a", "b")], {"SnapshotIds": ["b"]}, ["b"]),
        ([one("a"), ({}, SNAPSHOTS)], {"SnapshotIds": ["a", "b"]}, ["a", "b"]),
        ([({"OwnerIds": ["self"]}, SNAPSHOTS)], {}, None),
    ],
)
def test_a_narrower_question_never_invents_an_answer(
    tmp_path: Path, pages: Any, asked: dict[str, Any], answer: list[str] | None
) -> None:
    read = saved(tmp_path, "ec2.describe_snapshots", pages)

    def ids() -> list[str]:
        found = read.pages(TARGET, "ec2", "describe_snapshots", asked, key="Snapshots[]", witness="Snapshots")
        return [row["SnapshotId"] for page, _ in found for row in page["Snapshots"]]

    if answer is None:
        with pytest.raises(CallFault) as caught:
            ids()
        assert (caught.value.fault.kind, caught.value.fault.code) == ("missing", "NotSaved")
    else:
        assert ids() == answer
