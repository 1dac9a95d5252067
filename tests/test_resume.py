"""Interrupt and resume: a kill loses at most the calls in flight, and nothing that was paid for is paid again."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from finops_kit import ACCOUNT, NOW, REGIONS, audit, comparable, environment, volumes_estate, write_checks

from pytest_finops.collector.state import RunState
from pytest_finops.errors import ConfigError
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

VOLUMES = 40
TEST = """
from datetime import timedelta


@finops.metric("AWS/EBS", "VolumeReadOps", of="ebs_volumes", dimensions={"VolumeId": "id"}, statistics=("Sum",), period=300)
def reads(): ...


@finops.inventory("ec2", "describe_snapshots", "Snapshots[]", id="SnapshotId", params={"OwnerIds": ["self"]})
def all_snapshots(page): ...


@finops.rule("ebs-team")
def test_team(ebs_volumes, reads, all_snapshots, findings):
    for volume in ebs_volumes:
        series = reads.series(volume, "Sum")
        if series is not None and series.total < 10_000:
            findings.report(volume, current=f"{series.total} {len(list(all_snapshots))}")
"""
#: 5-minute periods over 14 days: 25 series fill a request, so that 40 volumes a region need two.
RUN = (
    "--finops-profile=env", "checks", "--finops-prices=offline", f"--finops-now={NOW.isoformat()}", "--finops-min-savings=0",
    "--finops-max-in-flight=2",
)  # fmt: skip


def estate() -> Estate:
    made = Estate(NOW)
    made.account(ACCOUNT, "main", regions=REGIONS, access_key="AKIAMAIN")
    for region in REGIONS:
        for index in range(VOLUMES):
            name = f"vol-{index:02}-{region}"
            made.add(
                ACCOUNT, region, "ec2.describe_volumes", VolumeId=name, Size=80, VolumeType="gp3", Iops=3000, Throughput=125,
                State="available" if index % 2 else "in-use", CreateTime="-45d", Attachments=[],
            )  # fmt: skip
            made.add(
                ACCOUNT,
                region,
                "ec2.describe_snapshots",
                SnapshotId=f"snap-{index}",
                OwnerId=ACCOUNT,
                StartTime="-9d",
            )
            made.metric(
                ACCOUNT,
                region,
                "AWS/EBS",
                "VolumeReadOps",
                {"VolumeId": name},
                "Sum",
                5 if index % 3 else 900,
            )
    return made


@contextmanager
def endpoint(*faults: Fault) -> Iterator[ReplayEndpoint]:
    with ReplayEndpoint(estate(), faults=faults, page_size=10) as started:
        yield started


def asked(endpoint: ReplayEndpoint, since: int = 0) -> list[tuple[str, str]]:
    """Return each (region, volume) whose series was asked for, in order."""
    return [
        (request.region, query["MetricStat"]["Metric"]["Dimensions"][0]["Value"])
        for request in endpoint.requests[since:]
        if request.operation == "get_metric_data"
        for query in request.params["MetricDataQueries"]
    ]


#: Where runs are killed: this never answers, until so many requests of the operation are there.
LISTING = (Fault("hang", "ec2", "describe_volumes", page=3), 6)
SERIES = (Fault("hang", "cloudwatch", region="us-east-1"), 4)


def killed(folder: Path, endpoint: ReplayEndpoint, where: tuple[Fault, int], how: int) -> int:
    """Start a run, and kill it where it hangs; return how many requests the endpoint got."""
    fault, count = where
    endpoint.set_faults(fault)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *RUN, "--finops-report=json:audit.json"], cwd=folder,
        env=environment(endpoint.url, folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while endpoint.count(fault.service, fault.operation) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)  # what was answered last is on its way to the disk
    process.send_signal(how)
    process.communicate(timeout=30)
    endpoint.set_faults()
    return len(endpoint.requests)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("reference")
    write_checks(folder, TEST)
    with endpoint() as started:
        status, output, document = audit(folder, *RUN, env=environment(started.url, folder))
        assert len(asked(started)) == len(set(asked(started))) == VOLUMES * 2
    assert status == 1, output
    assert document["complete"] is True
    assert document["findings"]
    assert not (folder / ".finops").exists()
    return document


@pytest.mark.parametrize(
    ("where", "how"), [(LISTING, signal.SIGKILL), (SERIES, signal.SIGKILL), (SERIES, signal.SIGINT)]
)
def test_a_resumed_audit_equals_the_uninterrupted_one(
    tmp_path: Path, reference: dict[str, Any], where: tuple[Fault, int], how: int
) -> None:
    write_checks(tmp_path, TEST)
    with endpoint() as started:
        sent = killed(tmp_path, started, where, how)
        (state,) = (tmp_path / ".finops").iterdir()
        assert stat.S_IMODE((tmp_path / ".finops").stat().st_mode) == 0o700
        assert stat.S_IMODE((state / "run.json").stat().st_mode) == 0o600
        there = {(path.parent.name, json.loads(line)["dimensions"]["VolumeId"]) for path in state.rglob("metrics.jsonl") for line in path.read_text().splitlines()}  # fmt: skip
        pages = sum(len(path.read_text().splitlines()) for path in state.rglob("ec2.*.jsonl"))

        status, output, document = audit(
            tmp_path, *RUN, "--finops-resume", env=environment(started.url, tmp_path)
        )

        again = asked(started, sent)
        listed = sum(request.operation in ("describe_volumes", "describe_snapshots") for request in started.requests[sent:])  # fmt: skip
    assert status == 1, output
    assert json.dumps(comparable(document, replayed=True)) == json.dumps(comparable(reference, replayed=True))
    # Nothing that was answered is asked again, listings go on behind their last page.
    assert there.isdisjoint(again)
    assert len(again) == VOLUMES * 2 - len(there)
    assert listed == 16 - pages
    assert not (tmp_path / ".finops").exists()
    assert "resumed: going on from the run that started at " in output
    usage = {call["operation"]: call for call in document["api_usage"]["calls"]}
    assert usage["get_metric_data"]["billable_units"] == VOLUMES * 2
    assert document["api_usage"]["predicted"] == reference["api_usage"]["predicted"]


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """A folder in which a run was killed."""
    write_checks(tmp_path, TEST)
    with endpoint() as started:
        killed(tmp_path, started, LISTING, signal.SIGKILL)
    return tmp_path


def test_another_selection_is_refused_with_every_difference(interrupted: Path) -> None:
    with endpoint() as started:
        env = environment(started.url, interrupted)
        status, output, _ = audit(
            interrupted, *RUN, "--finops-resume", "-k", "team", "--finops-regions=us-east-1", env=env
        )
        assert status == 4, output
        assert "the interrupted run was another one" in output
        assert "rules: then only ebs-lost" in output
        # What follows from that is left out, and nothing is left to finish with these options.
        assert "  calls: " not in output
        assert output.count("then only") == 2
        assert "(other rules, targets); repeat its options" in output
        assert "--finops-resume asks only for what is missing" not in output
        assert f"targets: then only {ACCOUNT}/eu-west-1" in output
        other = [arg for arg in RUN if "now" not in arg]
        status, output, _ = audit(
            interrupted, *other, "--finops-resume", "--finops-now=2026-11-02T12:00:00Z", env=env
        )
        assert status == 4, output
        assert "clock: then 2026-11-01T12:00:00+00:00, now 2026-11-02T12:00:00+00:00" in output
        assert started.count("ec2", "describe_volumes") == 0
        # Refused is not lost; and the clock of the interrupted run holds where none is given.
        status, output, document = audit(interrupted, *other, "--finops-resume", env=env)
        assert status == 1, output
        assert document["scan_timestamp"] == NOW.isoformat()


def test_what_is_too_old_is_refused_and_then_removed(interrupted: Path) -> None:
    (state,) = (interrupted / ".finops").iterdir()
    document = json.loads((state / "run.json").read_text())
    (state / "run.json").write_text(json.dumps({**document, "started": "2026-01-01T00:00:00+00:00"}))
    os.utime(state / "run.json", (0, 0))
    with endpoint() as started:
        env = environment(started.url, interrupted)
        status, output, _ = audit(interrupted, *RUN, "--finops-resume", env=env)
        assert status == 4, output
        assert "hours old, more than 24" in output
        status, output, _ = audit(interrupted, *RUN, env=env)
        assert status == 1, output
    assert not (interrupted / ".finops").exists()


def test_torn_lines_and_a_page_token_that_died_meanwhile(
    interrupted: Path, reference: dict[str, Any]
) -> None:
    for path in (interrupted / ".finops").rglob("*.jsonl"):
        data = path.read_bytes()
        path.write_bytes(data[: -len(data.splitlines()[-1]) // 2])
    dead = [Fault("error", "ec2", operation, times=1, code="InvalidNextToken") for operation in ("describe_volumes", "describe_snapshots")]  # fmt: skip
    with endpoint(*dead) as started:
        env = environment(started.url, interrupted)
        status, output, document = audit(interrupted, *RUN, "--finops-resume", "-n", "2", env=env)
    assert status == 1, output
    assert comparable(document, replayed=True) == comparable(reference, replayed=True)


def test_there_is_nothing_to_resume(tmp_path: Path) -> None:
    write_checks(tmp_path)
    env = environment("http://127.0.0.1:9", tmp_path)

    status, output, _ = audit(tmp_path, *RUN, "--finops-resume", env=env)
    assert status == 4
    assert "holds no interrupted run" in output

    status, output, _ = audit(tmp_path, "--finops-demo", "--finops-resume", "checks", env=env)
    assert status == 4
    assert "--finops-demo makes none" in output


def test_an_account_that_was_blind_for_a_while_is_finished_by_a_resume(tmp_path: Path) -> None:
    write_checks(tmp_path)
    # A proxy's page; keys that end would end the other region too, if they do so before it has answered.
    foreign = Fault("html", "ec2", "describe_volumes", region="us-east-1")
    with ReplayEndpoint(volumes_estate(), faults=[foreign], page_size=2) as started:
        env = environment(started.url, tmp_path)
        status, output, _ = audit(tmp_path, *RUN[:4], env=env)
        assert status == 1, output
        assert output.splitlines()[-1].endswith("incomplete; --finops-resume asks only for what is missing")
        started.set_faults()
        before = started.count("ec2", "describe_volumes", "eu-west-1")
        status, output, document = audit(tmp_path, *RUN[:4], "--finops-resume", env=env)
        assert started.count("ec2", "describe_volumes", "eu-west-1") == before
    assert status == 1, output
    assert document["complete"] is True
    assert len(document["findings"]) == 4


def test_denials_are_final_and_leave_nothing_behind(tmp_path: Path) -> None:
    write_checks(tmp_path)
    with ReplayEndpoint(volumes_estate(), faults=[Fault("error", "ec2", "describe_volumes")]) as started:
        status, output, _ = audit(tmp_path, *RUN[:4], env=environment(started.url, tmp_path))
    assert status == 7, output
    assert not (tmp_path / ".finops").exists()


def test_what_pruning_asked_and_paid_is_not_asked_again(tmp_path: Path) -> None:
    write_checks(tmp_path)
    estate = volumes_estate()
    spent = {"Keys": [ACCOUNT, "us-east-1"], "Metrics": {"UnblendedCost": {"Amount": "12", "Unit": "USD"}, "UsageQuantity": {"Amount": "3", "Unit": "N/A"}}}  # fmt: skip
    estate.add(ACCOUNT, "global", "ce.get_cost_and_usage", TimePeriod={"Start": "2026-10-02", "End": "2026-11-01"}, Groups=[spent])  # fmt: skip
    run = (*RUN[:4], "--finops-prune=spend")
    with ReplayEndpoint(estate, faults=[Fault("expired", "ec2", "describe_volumes")]) as started:
        env = environment(started.url, tmp_path)
        status, output, _ = audit(tmp_path, *run, env=env)
        assert status == 7, output
        started.set_faults()
        status, output, document = audit(tmp_path, *run, "--finops-resume", env=env)
        assert started.count("ce") == 1
    assert status == 1, output
    assert {row["region"]: row["outcome"] for row in document["checks"]} == {
        "eu-west-1": "skipped",
        "us-east-1": "failed",
    }
    assert document["api_usage"]["actual_cost"] == "0.01"


def test_a_run_that_was_refused_for_its_price_goes_on_with_a_higher_limit(tmp_path: Path) -> None:
    write_checks(tmp_path, TEST)
    with endpoint() as started:
        env = environment(started.url, tmp_path)
        status, output, _ = audit(tmp_path, *RUN, "--finops-max-api-cost=0.0001", env=env)
        assert status == 4, output
        before = started.count("ec2", "describe_volumes")
        status, output, document = audit(tmp_path, *RUN, "--finops-resume", env=env)
        assert status == 1, output
        assert started.count("ec2", "describe_volumes") == before
    assert document["complete"] is True
    assert not (tmp_path / ".finops").exists()


SELECTION = {
    "rules": ["a", "b"], "targets": ["1/r", "2/r"], "series": ["N M Sum"], "look-back in days": 14, "--finops-prune": "",
    "calls": ['ce.get_cost_and_usage {"Filter": {"Dimensions": {}}}', "ec2.describe_volumes {}"], "clock": "t",
    "--finops-save-inventory": "",
}  # fmt: skip


def state(folder: Path, run_id: str, **changes: Any) -> RunState:
    return RunState.start(folder, run_id, datetime.now(UTC), NOW, {**SELECTION, **changes}, None)


def test_calls_that_differ_are_told_by_their_names(tmp_path: Path) -> None:
    begun = state(tmp_path, "one")
    other = ['ce.get_cost_and_usage {"Filter": {"Not": {}}}', "ec2.describe_addresses {}"]
    with pytest.raises(ConfigError) as caught:
        begun.agree({**SELECTION, "calls": other})

    assert str(caught.value).splitlines() == [
        "--finops-resume: the interrupted run was another one (other calls); repeat its options, or start without "
        "--finops-resume",
        "  calls: then only ec2.describe_volumes; now only ec2.describe_addresses; with other parameters "
        "ce.get_cost_and_usage",
    ]


@pytest.mark.parametrize(
    ("old", "removed"),
    [
        ({"clock": "earlier", "calls": ['ce.get_cost_and_usage {"Filter": {"Not": {}}}']}, True),
        ({"rules": ["a"], "targets": ["1/r"]}, True),
        ({"rules": ["a", "c"]}, False),
        ({"targets": ["3/r"]}, False),
        ({"series": ["N M Average"]}, False),
        ({"look-back in days": 30}, False),
        ({"calls": ["ec2.describe_addresses {}"]}, False),
    ],
)
def test_a_run_that_is_done_removes_what_it_covers(
    tmp_path: Path, old: dict[str, Any], removed: bool
) -> None:
    state(tmp_path, "old", **old).release()
    alive = state(tmp_path, "alive")

    state(tmp_path, "new").remove()

    left = {path.name for path in (tmp_path / ".finops").iterdir()}
    assert left == {"alive"} | (set() if removed else {"old"})
    alive.remove()
    assert (tmp_path / ".finops").exists() is not removed


def test_a_run_with_prune_does_not_cover_one_without(tmp_path: Path) -> None:
    state(tmp_path, "old").release()
    state(tmp_path, "new", **{"--finops-prune": "spend"}).remove()
    assert (tmp_path / ".finops" / "old").exists()
