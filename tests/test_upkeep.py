"""Exemptions and expected blind spots of finops.yaml that ended or match nothing are named, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from finops_kit import audit, environment, volumes_estate, write_checks

from pytest_finops import upkeep
from pytest_finops.audit import Upkeep
from pytest_finops.testing import Fault, ReplayEndpoint

NOW = "2026-11-01T12:00:00+00:00"
CLAIM = "owner: ann, reason: known"


def entry(selector: str, expires: str = "2027-01-01") -> str:
    return f"  - {{{selector}, {CLAIM}, expires: {expires}}}\n"


EXEMPTIONS = "exemptions:\n" + "".join(
    (
        entry("rule: ebs-lost, resource: vol-1-eu-west-1"),
        entry("resource: vol-9"),
        entry("rule: ec2-low-cpu"),
        entry("rule: ebs-lost, resource: vol-2-*", "2026-10-31"),
    )
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checks(tmp_path)
    (tmp_path / "finops.yaml").write_text(
        EXEMPTIONS
        + "expected_blind_spots:\n"
        + entry("region: us-east-1, code: UnauthorizedOperation")
        + entry("region: eu-west-1", "2026-01-01"),
        encoding="utf-8",
    )
    return tmp_path


def warnings(folder: Path, *args: str, faults: tuple[Fault, ...] = ()) -> list[str]:
    with ReplayEndpoint(volumes_estate(), faults=faults) as endpoint:
        _, output, document = audit(
            folder, "--finops-profile=env", "--finops-prices=offline", "--finops-now", NOW, *args, "checks",
            env=environment(endpoint.url, folder),
        )  # fmt: skip
    assert document, output
    said: list[str] = document["warnings"]
    return said


@pytest.mark.parametrize("args", [(), ("-n", "2")], ids=["here", "workers"])
def test_each_idle_entry_is_named_once(folder: Path, args: tuple[str, ...]) -> None:
    assert warnings(folder, *args) == [
        "exemption no longer matches anything: resource vol-9 (finops.yaml:3)",
        "expired exemption: rule ebs-lost, resource vol-2-* (finops.yaml:5)",
        "expected blind spot did not occur: region us-east-1, code UnauthorizedOperation (finops.yaml:7)",
        "expired expected blind spot: region eu-west-1 (finops.yaml:8)",
    ]


def test_what_could_not_be_seen_is_no_proof(folder: Path) -> None:
    denied = Fault("error", "ec2", "describe_volumes", region="us-east-1")
    said = warnings(folder, faults=(denied,))

    assert said[0].startswith(
        "exemption matches nothing, but 1 of its 2 checks could not look: resource vol-9"
    )
    assert not [line for line in said if "did not occur" in line]


def test_an_exemption_of_a_small_finding_is_in_use(folder: Path) -> None:
    said = warnings(folder, "--finops-min-savings", "1000")

    assert not [line for line in said if "vol-1" in line]


def test_only_a_whole_audit_says_what_matches_nothing() -> None:
    idle = Upkeep(kind="exemption", entry="resource vol-9", source="f:1", expires="2027-01-01", checks=2)
    used = Upkeep(
        kind="exemption", entry="resource vol-9", source="f:1", expires="2027-01-01", checks=3, matched=1
    )

    assert upkeep.warnings([idle], whole=False) == ()
    assert upkeep.warnings(upkeep.joined([[idle], [used]]), whole=True) == ()
    assert upkeep.joined([[idle], [idle]])[0].checks == 4
    assert upkeep.warnings(upkeep.joined([[idle], [idle]]), whole=True) == (
        "exemption no longer matches anything: resource vol-9 (f:1)",
    )
