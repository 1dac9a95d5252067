"""Every hook, by its example in docs/hooks.md."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from docs_kit import DOCS, blocks
from finops_kit import NOW, audit, environment, volumes_estate, write_checks

from pytest_finops import hooks
from pytest_finops.testing import ReplayEndpoint

EXAMPLES = {title: text for (_, title), text in blocks(DOCS / "hooks.md").items()}
SPECS = {
    name.removeprefix("pytest_finops_"): value
    for name, value in vars(hooks).items()
    if name.startswith("pytest_finops_")
}


def run(folder: Path, name: str, *args: str) -> tuple[int, str, dict[str, Any], ReplayEndpoint]:
    write_checks(folder)
    (folder / "checks" / "conftest.py").write_text(EXAMPLES[name], encoding="utf-8")
    with ReplayEndpoint(volumes_estate()) as endpoint:
        status, output, document = audit(
            folder, "--finops-profile=env", "checks", "--finops-prices", "offline", "--finops-now", NOW.isoformat(), *args,
            env=environment(endpoint.url, folder),
        )  # fmt: skip
    return status, output, document, endpoint


def test_every_hook_has_one_example_and_a_docstring_in_pytests_form() -> None:
    text = (DOCS / "hooks.md").read_text(encoding="utf-8")
    assert set(EXAMPLES) == set(SPECS)
    for name, spec in SPECS.items():
        arguments = list(inspect.signature(spec).parameters)
        assert f"`pytest_finops_{name}({', '.join(arguments)})`" in text
        assert "Use in conftest plugins" in spec.__doc__
        for argument in arguments:
            assert f":param {argument}:" in spec.__doc__, (name, argument)


@pytest.mark.parametrize("more", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_targets(tmp_path: Path, more: tuple[str, ...]) -> None:
    status, output, document, endpoint = run(tmp_path, "targets", *more)

    assert status == 1, output
    assert [row["region"] for row in document["checks"]] == ["eu-west-1"]
    assert endpoint.count("ec2", "describe_volumes") == 1


def test_plan(tmp_path: Path) -> None:
    status, output, document, endpoint = run(tmp_path, "plan")

    assert status == 4, output
    assert "2 inventory reads planned; name fewer regions" in output
    assert not document
    assert endpoint.count("ec2", "describe_volumes") == 0


@pytest.mark.parametrize("more", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_finding_is_changed_before_the_severity_decides(tmp_path: Path, more: tuple[str, ...]) -> None:
    status, output, document, _ = run(tmp_path, "finding", "--finops-fail-severity=critical", *more)

    assert status == 1, output
    assert {(f["region"], f["severity"], f["status"], f["owner"]) for f in document["findings"]} == {
        ("us-east-1", "critical", "new", "platform"),
        ("eu-west-1", "medium", "known", None),
    }
    assert {row["region"]: row["outcome"] for row in document["checks"]} == {
        "us-east-1": "failed",
        "eu-west-1": "xfailed",
    }


def test_overlaps(tmp_path: Path) -> None:
    _, output, document, _ = run(tmp_path, "overlaps")

    # Two volumes of 6.40 in us-east-1 count, two of 7.04 in eu-west-1 do not.
    assert document["total_monthly_savings"] == "12.80", output
    assert {f["counted_monthly_savings"] for f in document["findings"]} == {"6.40", "0.00"}


def test_priority(tmp_path: Path) -> None:
    _, output, document, _ = run(tmp_path, "priority")

    first = min(document["findings"], key=lambda finding: finding["priority"])
    assert first["resource_id"] == "vol-1-us-east-1", output
    assert sorted(finding["priority"] for finding in document["findings"]) == [1, 2, 3, 4]


def test_audit_is_changed_before_the_gate(tmp_path: Path) -> None:
    # 14.08 in eu-west-1 holds, with the 12.80 of us-east-1 it would not.
    status, output, document, _ = run(tmp_path, "audit", "--finops-max-waste=20")

    assert {finding["region"] for finding in document["findings"]} == {"eu-west-1"}
    assert document["total_monthly_savings"] == "14.08"
    assert document["gate"]["holds"] is True
    assert (status, document["exit_status"]) == (0, 0), output


def test_report_formats(tmp_path: Path) -> None:
    _, output, document, _ = run(tmp_path, "report_formats", "--finops-report", "ids:findings.txt")

    written = (tmp_path / "findings.txt").read_text(encoding="utf-8").splitlines()
    assert written == [f"{f['id']} {f['resource_id']}" for f in document["findings"]], output
    assert len(written) == 4


def test_a_format_that_nobody_adds_is_a_usage_error(tmp_path: Path) -> None:
    status, output, _, _ = run(tmp_path, "notify", "--finops-report", "ids:findings.txt")

    assert status == 4
    assert "names no report format" in output


def test_template_context(tmp_path: Path) -> None:
    _, output, _, _ = run(tmp_path, "template_context", "--finops-report", "markdown:report.md")

    assert "(Payments)" in (tmp_path / "report.md").read_text(encoding="utf-8"), output


@pytest.mark.parametrize("more", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_notify(tmp_path: Path, more: tuple[str, ...]) -> None:
    _, output, document, _ = run(tmp_path, "notify", *more)

    assert json.loads((tmp_path / "audit.json").read_text(encoding="utf-8")) == document
    message = (tmp_path / "message.txt").read_text(encoding="utf-8")
    assert message == "4 findings, 26.88 USD a month, status 1\n", output
