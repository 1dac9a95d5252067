"""One check end to end: targets, plan, collection, outcomes, audit, exit status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from finops_kit import ACCOUNT, NOW, audit, comparable, environment, volumes_estate, write_checks

from pytest_finops.session import without_group
from pytest_finops.testing import Fault, ReplayEndpoint

OFFLINE = ("--finops-prices", "offline", "--finops-now", NOW.isoformat())


def live(
    folder: Path, *args: str, faults: Any = (), page_size: int | None = 2
) -> tuple[int, str, dict[str, Any], ReplayEndpoint]:
    with ReplayEndpoint(volumes_estate(), faults=faults, page_size=page_size) as endpoint:
        status, output, document = audit(
            folder, "--finops-profile=env", "checks", *OFFLINE, *args, env=environment(endpoint.url, folder)
        )
    return status, output, document, endpoint


def test_findings_prices_and_exit_status(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, document, endpoint = live(tmp_path)

    assert status == 1, output
    # Two unattached volumes a region: 80 GiB x 0.08 = 6.40 in us-east-1, 80 x 0.088 = 7.04 in eu-west-1.
    assert sorted(f["estimated_monthly_savings"] for f in document["findings"]) == [
        "6.40",
        "6.40",
        "7.04",
        "7.04",
    ]
    assert document["total_monthly_savings"] == "26.88"
    assert document["complete"] is True
    assert "gate: broken" in output.splitlines()[-1]
    assert endpoint.count("ec2", "describe_volumes") == 4  # two pages a region


def test_a_denied_region_is_an_error_and_the_rest_is_reported(tmp_path: Path) -> None:
    write_checks(tmp_path)
    denied = Fault("error", "ec2", "describe_volumes", region="us-east-1")

    status, output, document, _ = live(tmp_path, "--finops-max-waste", "1000", faults=[denied])

    assert status == 7, output
    assert {f["region"] for f in document["findings"]} == {"eu-west-1"}
    assert [(s["region"], s["operation"], s["code"]) for s in document["blind_spots"]] == [
        ("us-east-1", "describe_volumes", "UnauthorizedOperation")
    ]
    assert {row["region"]: row["outcome"] for row in document["checks"]} == {
        "eu-west-1": "failed",
        "us-east-1": "error",
    }
    assert document["complete"] is False


@pytest.mark.parametrize("kind", ["html", "truncate", "empty_body", "missing_key", "repeat_token", "reset"])
def test_an_answer_that_is_not_awss_own_is_never_clean(tmp_path: Path, kind: Any) -> None:
    write_checks(tmp_path)

    status, output, document, _ = live(
        tmp_path, faults=[Fault(kind, "ec2", "describe_volumes", region="us-east-1")]
    )

    assert {row["region"]: row["outcome"] for row in document["checks"]}["us-east-1"] == "error", output
    assert status == 1


def test_every_way_of_running_gives_the_same_audit(tmp_path: Path) -> None:
    write_checks(tmp_path)
    _, _, reference, _ = live(tmp_path, "--finops-save-inventory", str(tmp_path / "saved"))
    base = comparable(reference)
    assert base["findings"]

    for args in (("-n", "2"), ("--finops-group", "account"), ("--finops-group", "all", "-n", "2")):
        _, output, document, endpoint = live(tmp_path, *args)
        assert comparable(document) == base, (args, output)
        assert endpoint.count("ec2", "describe_volumes") == 4

    replay = ("--finops-inventory", str(tmp_path / "saved"), "--finops-prices", "offline", "checks")
    for args in ((), ("-n", "2"), ("--finops-group", "all")):
        _, output, document = audit(tmp_path, *replay, *args)
        assert comparable(document, replayed=True) == comparable(reference, replayed=True), output


def test_a_narrower_run_forgets_nothing_of_the_baseline(tmp_path: Path) -> None:
    write_checks(tmp_path)
    asked = ("--finops-baseline=known.json", "--finops-update-baseline")
    _, output, document, _ = live(tmp_path, *asked)
    whole = {finding["id"] for finding in document["findings"]}
    assert "baseline written: " in output
    assert f"known.json, {len(whole)} findings" in output

    live(tmp_path, *asked, "--finops-regions=us-east-1")

    known = json.loads((tmp_path / "known.json").read_text(encoding="utf-8"))["findings"]
    assert {finding["id"] for finding in known} == whole
    status, output, _, _ = live(tmp_path, "--finops-baseline=known.json")
    assert status == 0, output


def test_dry_run_sends_no_metric_and_equals_the_run(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, document, endpoint = live(tmp_path, "--finops-dry-run")

    assert status == 0, output
    assert "INTERNALERROR" not in output
    assert {c["operation"]: c["calls"] for c in document["calls"]}["describe_volumes"] == endpoint.count(
        "ec2", "describe_volumes"
    )
    assert document["predicted"] == {"lower": "0", "upper": "0", "exact": True}


def test_no_target_is_a_usage_error_and_co_lists_each_check_once(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, _ = audit(tmp_path, "checks", env=environment("http://127.0.0.1:9", tmp_path))
    assert status == 4
    assert "--finops-profile" in output

    status, output, _ = audit(
        tmp_path, "checks", "--co", "-q", env=environment("http://127.0.0.1:9", tmp_path)
    )
    assert output.splitlines()[0] == "checks/ebs.yaml::test_ebs_lost"


TEAM = """
@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    for volume in ebs_volumes:
        {body}
"""


def test_a_crash_on_one_target_of_a_group_is_its_error_alone(tmp_path: Path) -> None:
    body = 'findings.report(volume) if volume.region == "eu-west-1" else {}["nothing"]'
    write_checks(tmp_path, TEAM.format(body=body))

    status, output, document, _ = live(
        tmp_path, "--finops-group", "all", "-k", "team", "--finops-max-waste", "1000"
    )

    rows = {(row["rule_id"], row["region"]): row for row in document["checks"]}
    assert rows["ebs-team", "us-east-1"]["outcome"] == "error", output
    assert "KeyError" in rows["ebs-team", "us-east-1"]["reason"]
    assert rows["ebs-team", "eu-west-1"]["outcome"] == "failed"
    assert len(document["findings"]) == 3
    assert status == 7


@pytest.mark.parametrize("body", ['raise KeyError("x")', "assert False"])
def test_a_check_that_raises_is_an_error_that_no_gate_forgives(tmp_path: Path, body: str) -> None:
    write_checks(tmp_path, TEAM.format(body=body))

    status, output, document, _ = live(tmp_path, "-k", "team", "--finops-max-waste", "1000")

    assert status == 7, output
    assert {row["outcome"] for row in document["checks"]} == {"error"}


def test_a_derived_fixture_that_crashes_on_one_target(tmp_path: Path) -> None:
    test = """
@pytest.fixture
def big(ebs_volumes):
    assert all(volume.region != "us-east-1" for volume in ebs_volumes)
    return list(ebs_volumes)


@finops.rule("ebs-team")
def test_team(ebs_volumes, big, findings):
    for volume in big:
        findings.report(volume)
"""
    write_checks(tmp_path, test)

    _, output, document, _ = live(tmp_path, "--finops-group", "all", "-k", "team")

    assert {r["region"]: r["outcome"] for r in document["checks"]} == {
        "eu-west-1": "failed",
        "us-east-1": "error",
    }, output


def test_an_override_that_calls_the_original_keeps_its_call(tmp_path: Path) -> None:
    test = """
@pytest.fixture
def ebs_volumes(ebs_volumes):
    return [volume for volume in ebs_volumes if volume.id.startswith("vol-1")]


@finops.rule("ebs-team")
def test_team(ebs_volumes, findings):
    for volume in ebs_volumes:
        findings.report(volume)
"""
    write_checks(tmp_path, test)

    _, output, document, endpoint = live(tmp_path, "-k", "team")

    assert [f["resource_id"] for f in document["findings"]] == ["vol-1-eu-west-1", "vol-1-us-east-1"], output
    assert endpoint.count("ec2", "describe_volumes") == 4
    assert {row["evaluated"] for row in document["checks"]} == {3}


def test_getfixturevalue_is_refused_with_the_cure(tmp_path: Path) -> None:
    test = """
@finops.rule("ebs-team")
def test_team(ebs_volumes, findings, request):
    list(request.getfixturevalue("addresses"))
"""
    write_checks(tmp_path, test)

    status, output, document, _ = live(tmp_path, "-k", "team")

    assert status == 7, output
    assert "not in this test's plan" in document["checks"][0]["reason"]


def test_a_wider_fixture_that_reads_a_view_fails_loudly(tmp_path: Path) -> None:
    test = """
@pytest.fixture(scope="module")
def kept(ebs_volumes):
    return list(ebs_volumes)


@finops.rule("ebs-team")
def test_team(ebs_volumes, kept, findings):
    pass
"""
    write_checks(tmp_path, test)

    status, output, document, _ = live(tmp_path, "-k", "team")

    assert status == 7, output
    assert "wider than function scope" in document["checks"][0]["reason"]


def test_stopping_at_the_first_failure_leaves_not_run(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, document, _ = live(tmp_path, "-x")

    assert {row["outcome"] for row in document["checks"]} == {"failed", "not_run"}, output
    assert document["complete"] is False
    assert status == 1  # findings break the gate: that wins over not having looked at the rest


@pytest.mark.parametrize("distribution", ["load", "loadgroup"])
def test_a_killed_worker_is_an_incomplete_audit(tmp_path: Path, distribution: str) -> None:
    body = 'import os, signal; os.kill(os.getpid(), signal.SIGKILL) if volume.region == "us-east-1" else None'
    write_checks(tmp_path, "@pytest.mark.xdist_group('some')\n" + TEAM.format(body=body).lstrip())

    status, output, document, _ = live(tmp_path, "-n", "2", "-k", "team", "--dist", distribution)

    assert {r["region"]: r["outcome"] for r in document["checks"]} == {
        "eu-west-1": "passed",
        "us-east-1": "not_run",
    }, output
    assert document["complete"] is False
    assert status == 7, output


@pytest.mark.parametrize(
    ("nodeid", "plain"),
    [("checks/a.py::t[x-us-east-1]@g", "checks/a.py::t[x-us-east-1]"), ("checks/a.py::t@g", "checks/a.py::t"),
     ("checks/a.py::t[a@b]", "checks/a.py::t[a@b]"), ("checks/a.py::t[a@b]@g", "checks/a.py::t[a@b]"),
     ("checks/a.py::t", "checks/a.py::t")],
)  # fmt: skip
def test_the_group_that_xdist_appends_is_no_part_of_an_id(nodeid: str, plain: str) -> None:
    assert without_group(nodeid) == plain


def interrupted(folder: Path) -> tuple[int, float, dict[str, Any]]:
    """Interrupt a run that waits for an endpoint which never answers: status, seconds to the end, audit."""
    with ReplayEndpoint(volumes_estate(), faults=[Fault("hang", "ec2", "describe_volumes")]) as endpoint:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "--finops-profile=env", "checks", *OFFLINE, "--finops-report", "json:audit.json"],
            cwd=folder, env=environment(endpoint.url, folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while not endpoint.count("ec2", "describe_volumes") and time.monotonic() < deadline:
            time.sleep(0.05)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        took = time.monotonic() - begun
    return process.returncode, took, json.loads((folder / "audit.json").read_text(encoding="utf-8"))


def test_interrupt_ends_within_three_seconds_with_a_report(tmp_path: Path) -> None:
    write_checks(tmp_path)
    least = 60.0
    # A loaded machine may take longer once; a run that waits for its endpoint takes longer each time.
    for _ in range(5):
        status, took, document = interrupted(tmp_path)
        assert status == 2
        assert document["complete"] is False
        least = min(least, took)
        if least < 3:
            break
    assert least < 3


def test_unknown_rule_id_names_the_closest(tmp_path: Path) -> None:
    write_checks(tmp_path, TEAM.format(body="pass").replace("ebs-team", "ebs-teem"))

    status, output, _, _ = live(tmp_path)

    assert status == 4
    assert "ebs-teem" in output
    assert "did you mean 'ebs-team'" in output


def test_a_rule_that_nothing_tests_is_refused(tmp_path: Path) -> None:
    write_checks(tmp_path, TEAM.format(body="pass"))
    (tmp_path / "checks" / "test_team.py").write_text("", encoding="utf-8")

    status, output, _, endpoint = live(tmp_path, "-k", "lost")

    assert status == 4
    assert (
        "rule ebs-team has no resources and no test beside or below its file, so it would never run" in output
    )
    assert not endpoint.count("ec2", "describe_volumes")


def test_a_saved_inventory_is_not_written_over_another(tmp_path: Path) -> None:
    write_checks(tmp_path)
    live(tmp_path, "--finops-save-inventory=saved")
    before = {path: path.read_bytes() for path in (tmp_path / "saved").rglob("*") if path.is_file()}

    status, output, _, endpoint = live(tmp_path, "--finops-save-inventory=saved")

    assert status == 4
    assert "--finops-save-inventory: saved holds a saved inventory already, and two would mix" in output
    assert not endpoint.count()
    assert {path: path.read_bytes() for path in (tmp_path / "saved").rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_written_to_costs_the_resume_alone(tmp_path: Path) -> None:
    write_checks(tmp_path)
    (tmp_path / ".finops").write_text("in the way", encoding="utf-8")

    status, output, document, _ = live(tmp_path)

    assert status == 1, output
    assert len(document["findings"]) == 4
    assert "could not be resumed" in json.dumps(document["warnings"])


def test_no_credentials_is_one_clear_error(tmp_path: Path) -> None:
    write_checks(tmp_path)
    env = environment("http://127.0.0.1:9", tmp_path)
    del env["AWS_ACCESS_KEY_ID"]

    status, output, _ = audit(tmp_path, "--finops-profile=env", "checks", env=env)

    assert status == 4
    assert "no credentials found" in output
    assert "Traceback" not in output


def test_unknown_profile_is_one_clear_error(tmp_path: Path) -> None:
    write_checks(tmp_path)

    status, output, _ = audit(
        tmp_path, "--finops-profile=nobody", "checks", env=environment("http://127.0.0.1:9", tmp_path)
    )

    assert status == 4
    assert "nobody" in output
    assert "Traceback" not in output


def test_exemptions_make_a_finding_accepted(tmp_path: Path) -> None:
    write_checks(tmp_path)
    (tmp_path / "finops.yaml").write_text(
        f"exemptions:\n  - rule: ebs-lost\n    account: '{ACCOUNT}'\n    owner: me\n    reason: kept\n    expires: 2027-01-01\n",
        encoding="utf-8",
    )

    status, output, document, _ = live(tmp_path)

    assert status == 0, output
    assert {f["status"] for f in document["findings"]} == {"accepted"}
    assert document["total_monthly_savings"] == "0.00"
    assert {row["outcome"] for row in document["checks"]} == {"xfailed"}


def test_expected_blind_spots_are_skips(tmp_path: Path) -> None:
    write_checks(tmp_path)
    (tmp_path / "finops.yaml").write_text(
        "expected_blind_spots:\n  - region: us-east-1\n    owner: me\n    reason: policy\n    expires: 2027-01-01\n",
        encoding="utf-8",
    )

    status, output, document, _ = live(
        tmp_path,
        "--finops-max-waste",
        "100",
        faults=[Fault("error", "ec2", "describe_volumes", region="us-east-1")],
    )

    assert status == 0, output
    assert {row["region"]: row["outcome"] for row in document["checks"]} == {
        "eu-west-1": "failed",
        "us-east-1": "skipped",
    }
    assert [spot["expected"] for spot in document["blind_spots"]] == [True]
