"""``pytest --markers`` and ``pytest --fixtures`` read like documentation, and ask AWS nothing."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_finops.fixtures
from finops_kit import NOW, audit, environment, volumes_estate, write_checks
from test_fixture_contracts import DECLARED

import pytest_finops
from pytest_finops.declare import Metric
from pytest_finops.testing import ReplayEndpoint

ROOT = Path(__file__).parent.parent
FIXTURES = Path(pytest_finops.fixtures.__path__[0])


def shown(folder: Path, option: str) -> str:
    """Return what pytest says in an empty folder, on a machine where an audit is configured but cannot run."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "FINOPS_", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", option],
        cwd=folder, env=clean | {"FINOPS_PROFILE": "nobody", "AWS_CONFIG_FILE": str(folder / "none"), "COLUMNS": "200"},
        text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, list[str]]]:
    """Return of each listed fixture of ours where it is and what is said of it."""
    found: dict[str, tuple[str, list[str]]] = {}
    ours = name = ""
    for line in shown(tmp_path_factory.mktemp("empty"), "--fixtures").splitlines():
        if "fixtures defined from" in line:
            ours = "pytest_finops" if "pytest_finops" in line else ""
            name = ""
        elif ours and " -- " in line and not line.startswith(" "):
            name, _, place = line.partition(" -- ")
            name = name.split()[0]
            found[name] = (place, [])
        elif ours and name and line.startswith("    "):
            found[name][1].append(line.strip())
    return found


def test_the_marker_says_what_it_does_how_it_is_written_and_where_to_read(tmp_path: Path) -> None:
    paragraphs = shown(tmp_path, "--markers").split("\n\n")
    (text,) = [paragraph for paragraph in paragraphs if "finops" in paragraph]

    arguments = list(inspect.signature(pytest_finops.rule).parameters)
    assert text.startswith(f"@pytest.mark.finops_rule({arguments[0]}, {arguments[1]}=None): ")
    assert '@finops.rule("ebs-gp2-to-gp3")' in text
    assert "-m finops_rule" in text
    page = text.split("blob/main/")[1].strip()
    assert "@finops.rule(" in (ROOT / page).read_text(encoding="utf-8")


def test_every_public_fixture_is_listed_and_no_other(fixtures: dict[str, tuple[str, list[str]]]) -> None:
    assert set(fixtures) == {*DECLARED, "findings", "rule", "prices"}


@pytest.mark.parametrize("name", [*DECLARED, "findings", "rule", "prices"])
def test_a_fixture_says_in_one_sentence_what_it_is(
    name: str, fixtures: dict[str, tuple[str, list[str]]]
) -> None:
    _, said = fixtures[name]

    assert said
    assert said[0][0].isupper()
    assert all(len(line) <= 130 for line in said)
    assert said[-1].endswith(".")


@pytest.mark.parametrize("name", DECLARED)
def test_a_fixture_names_its_call_and_its_own_file(
    name: str, fixtures: dict[str, tuple[str, list[str]]]
) -> None:
    place, said = fixtures[name]
    declared = DECLARED[name]

    file, _, line = place.rpartition(":")
    body = (FIXTURES / Path(file).name).read_text(encoding="utf-8").splitlines()[int(line) - 1 :]
    assert any(text.startswith(f"def {name}(") for text in body[:20])
    if isinstance(declared, Metric):
        assert f"{declared.namespace} {declared.metric_name}" in said[-1]
        assert "cloudwatch.get_metric_data" in said[-1]
        assert declared.of in said[-1]
    else:
        assert declared.call in said[-1]
        assert (declared.per or declared.level) in said[-1]


@pytest.mark.parametrize(
    ("name", "kind"), [("ebs_volumes", "AWS::EC2::Volume"), ("rds_instances", "AWS::RDS::DBInstance")]
)
def test_a_fixture_names_its_resource_type(
    name: str, kind: str, fixtures: dict[str, tuple[str, list[str]]]
) -> None:
    assert f"({kind}) rows" in fixtures[name][1][-1]


@pytest.mark.parametrize("option", ["--setup-plan", "--setup-only", "--fixtures-per-test", "--co"])
def test_to_look_at_checks_asks_aws_nothing(tmp_path: Path, option: str) -> None:
    write_checks(tmp_path)

    with ReplayEndpoint(volumes_estate()) as endpoint:
        status, output, document = audit(
            tmp_path, "--finops-profile=env", "checks", option, "--finops-now", NOW.isoformat(),
            env=environment(endpoint.url, tmp_path),
        )  # fmt: skip

    assert status == 0, output
    assert endpoint.requests == []
    assert document == {}
    assert "ebs_lost" in output
    assert "AWS cost audit" not in output
