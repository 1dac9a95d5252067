"""What was not read is never taken for clean: bounded listings, expected denials, saved answers, secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from finops_kit import NOW, audit, environment, volumes_estate, write_checks

from pytest_finops.testing import Fault, ReplayEndpoint

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
