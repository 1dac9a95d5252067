"""Bad input: one clear error for each mistake, that names option or file and line, the value and the cure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finops_kit import NOW, RULES, audit, environment, volumes_estate, write_checks

from pytest_finops.testing import ReplayEndpoint

OFFLINE = ("--finops-prices", "offline", "--finops-now", NOW.isoformat())
ENV = "--finops-profile=env"
TEAM = '@finops.rule("{rule}")\ndef test_team(ebs_volumes, findings):\n    pass\n'


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ReplayEndpoint]:
    with ReplayEndpoint(volumes_estate(), page_size=2) as made:
        yield made


class Bench:
    """A folder with the checks of a team, in front of the endpoint."""

    def __init__(self, folder: Path, endpoint: ReplayEndpoint) -> None:
        self.folder = folder
        self.endpoint = endpoint
        write_checks(folder)

    def run(self, *args: str, env: dict[str, str] | None = None) -> tuple[int, str, dict[str, Any]]:
        """Run pytest here; whatever went wrong, nobody sees a traceback."""
        status, output, document = audit(
            self.folder, *args, env={**environment(self.endpoint.url, self.folder), **(env or {})}
        )
        assert "Traceback" not in output, output
        assert "INTERNALERROR" not in output, output
        return status, output, document

    def refused(self, *args: str, env: dict[str, str] | None = None) -> list[str]:
        """Run pytest here, expect a usage error before AWS was asked for anything, return its lines."""
        sent = self.endpoint.count("ec2", "describe_volumes")
        status, output, document = self.run(*args, env=env)
        assert (status, document) == (4, {}), output
        assert self.endpoint.count("ec2", "describe_volumes") == sent
        return [line.removeprefix("ERROR: ") for line in output.splitlines()]


@pytest.fixture
def bench(tmp_path: Path, endpoint: ReplayEndpoint) -> Bench:
    return Bench(tmp_path, endpoint)


# --- configuration and rules


def test_all_mistakes_of_rules_and_tests_are_told_at_once(bench: Bench) -> None:
    write_checks(bench.folder, TEAM.format(rule="ebs-teem"))
    (bench.folder / "checks" / "more.yaml").write_text(
        "version: 1\nrules:\n  - id: ebs-more\n    severty: low\n", encoding="utf-8"
    )
    (bench.folder / "finops.yaml").write_text(
        "rules:\n  ebs-lots: {severity: high}\n  ebs-lost: {stat: x, period_days: 3}\n  ec2-low-cpu: {cpu_averag: 5}\n",
        encoding="utf-8",
    )

    lines = bench.refused(ENV, "checks", *OFFLINE)

    for expected in (
        "checks/more.yaml:4:5: rules[0].severty: unknown key; did you mean severity?",
        "finops.yaml:3: rules.ebs-lost.stat: the rule has no such field; did you mean state?",
        "finops.yaml:3: rules.ebs-lost.period_days: the rule looks at no period; remove it",
    ):
        assert lines.count(expected) == 1, "\n".join(lines)


def test_overrides_of_rules_that_do_not_exist(bench: Bench) -> None:
    (bench.folder / "finops.yaml").write_text(
        "rules:\n  ebs-lots: {severity: high}\n  ec2-low-cpus: {enabled: false}\n  ec2-low-cpu: {cpu_averag: 5}\n",
        encoding="utf-8",
    )

    lines = bench.refused(ENV, "checks", *OFFLINE)

    for expected in (
        "finops.yaml:2: rules.ebs-lots: no such rule; did you mean ebs-lost?",
        "finops.yaml:3: rules.ec2-low-cpus: no such rule; did you mean ec2-low-cpu?",
        "finops.yaml:4: rules.ec2-low-cpu.cpu_averag: the rule has no such field; did you mean cpu_average?",
    ):
        assert lines.count(expected) == 1, "\n".join(lines)


def test_a_rule_that_is_not_selected_may_be_overridden(bench: Bench) -> None:
    (bench.folder / "checks" / "other").mkdir()
    (bench.folder / "checks" / "other" / "more.yaml").write_text(
        RULES.replace("ebs-lost", "ebs-more"), encoding="utf-8"
    )
    (bench.folder / "finops.yaml").write_text(
        "rules:\n  ec2-low-cpu: {severity: high}\n  ebs-more: {severity: high}\n  ebs-lost: {severity: high}\n",
        encoding="utf-8",
    )

    status, output, document = bench.run(ENV, "checks/ebs.yaml", *OFFLINE)

    assert status == 1, output
    assert {f["severity"] for f in document["findings"]} == {"high"}


# --- targets that are grouped


@pytest.mark.parametrize("group", ["account", "all"])
def test_a_target_cannot_be_picked_out_of_a_group(bench: Bench, group: str) -> None:
    for args in (("checks", "-k", "lost and eu-west-1"), ("checks/ebs.yaml::test_ebs_lost[env-eu-west-1]",)):
        lines = "\n".join(bench.refused(ENV, *OFFLINE, f"--finops-group={group}", *args))
        assert "names a target, but one test covers several targets here" in lines
        assert "--finops-regions and --finops-accounts" in lines


def test_a_keyword_that_names_no_target_selects_nothing_as_ever(bench: Bench) -> None:
    status, output, _ = bench.run(ENV, *OFFLINE, "--finops-group=all", "checks", "-k", "nonsense")
    assert status == 5, output
    # Under grouping by account the name is still part of the id.
    status, output, document = bench.run(ENV, *OFFLINE, "--finops-group=account", "checks", "-k", "env")
    assert status == 1, output
    assert len(document["findings"]) == 4
