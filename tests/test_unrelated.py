"""A pytest run that has nothing to do with AWS is what it was before the plugin was installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from finops_kit import NOW, environment, volumes_estate, write_checks

from pytest_finops.testing import ReplayEndpoint

ROOT = Path(__file__).parent.parent
WITHOUT = ("-p", "no:pytest_finops.plugin")
MANIFESTS = 1000

TESTS = '''
import os

import pytest


class Touchy:
    """What some libraries leave in a module: an object that may not be asked for anything yet."""

    def __getattribute__(self, name):
        raise RuntimeError(f"touched: {name}")


test_proxy = None
proxy = Touchy()


@pytest.fixture
def prices():
    """The repository's own."""
    return [1, 2]


def test_prices(prices):
    assert sum(prices) == 3


@pytest.mark.parametrize("number", range(3))
def test_numbers(number):
    assert number < 3


class TestGroup:
    def test_method(self):
        assert os.sep

    @pytest.mark.skip(reason="not today")
    def test_skipped(self):
        raise AssertionError

    @pytest.mark.xfail(strict=True)
    def test_expected(self):
        assert [1, 2] == [1, 3]


def test_failing(prices):
    assert prices == [1, 3]
'''


def run(folder: Path, *options: str, **more: str) -> tuple[int, str]:
    """Run pytest as on a machine without any setting of ours; return exit status and output."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "FINOPS_", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *options],
        cwd=folder, env=clean | more, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def same(output: str) -> str:
    """Return output without what differs between two runs of anything: durations, addresses, the list of plugins."""
    timed = re.sub(r"\bin \d+\.\d+s( \([\d:]+\))?", "in TIME", output)
    lines = [line for line in timed.splitlines() if not line.startswith(("plugins: ", "metadata: "))]
    return re.sub(r"0x[0-9a-f]+", "0x", re.sub(r"=+", "=", "\n".join(lines)))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return somebody's repository: tests, 1,000 manifests, a ClusterRole, rules of other tools, a checks/ of its own."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_things.py").write_text(TESTS, encoding="utf-8")
    manifests = tmp_path / "deploy"
    manifests.mkdir()
    for number in range(MANIFESTS):
        (manifests / f"service-{number}.yaml").write_text("apiVersion: v1\nkind: Service\n", encoding="utf-8")
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nrules:\n  - apiGroups: ['']\n"
    (manifests / "clusterrole.yaml").write_text(role, encoding="utf-8")
    others = tmp_path / "checks"
    others.mkdir()
    (others / "semgrep.yml").write_text(
        "rules:\n  - id: no-print\n    pattern: print(...)\n", encoding="utf-8"
    )
    (others / "alerts.yaml").write_text(
        "version: 1\nrules:\n  - alert: Down\n    expr: up == 0\n", encoding="utf-8"
    )
    (others / "broken.yaml").write_text("rules: [\n", encoding="utf-8")
    (others / "clusterrole.yaml").write_text(role, encoding="utf-8")
    return tmp_path


def test_a_repository_runs_as_without_the_plugin(repository: Path) -> None:
    for options in (("-v",), ("--co", "-q")):
        status, output = run(repository, *options)
        status_without, output_without = run(repository, *options, *WITHOUT)

        assert "test_numbers[2]" in output
        assert status == status_without
        assert same(output) == same(output_without)


def test_a_repository_in_a_folder_called_checks_runs_as_without_the_plugin(tmp_path: Path) -> None:
    folder = tmp_path / "checks"
    folder.mkdir()
    (folder / "test_one.py").write_text("def test_one():\n    pass\n", encoding="utf-8")
    (folder / "alerts.yaml").write_text("version: 1\nrules:\n  - alert: Down\n", encoding="utf-8")

    assert same(run(folder, "-v")[1]) == same(run(folder, "-v", *WITHOUT)[1])


def test_a_profile_in_the_environment_starts_no_audit_without_checks(repository: Path) -> None:
    """CI sets FINOPS_PROFILE for every step; unit tests still run as they are, tracebacks and all."""
    for name in ("semgrep.yml", "alerts.yaml", "broken.yaml", "clusterrole.yaml"):
        (repository / "checks" / name).unlink()
    status, output = run(repository, "-v", FINOPS_PROFILE="nobody")
    status_without, output_without = run(repository, "-v", *WITHOUT)

    assert status == status_without == 1
    assert same(output) == same(output_without)


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_a_profile_in_the_environment_runs_the_shipped_checks_where_nothing_else_is(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with ReplayEndpoint(volumes_estate(regions=["us-east-1"])) as endpoint:
        env = environment(
            endpoint.url, tmp_path, FINOPS_PROFILE="env", FINOPS_PRICES="offline", FINOPS_NOW=NOW.isoformat()
        )
        _, output = run(tmp_path, *options, **{k: v for k, v in env.items() if k not in os.environ})

    assert "there is no checks/ here: the shipped checks run" in output
    assert endpoint.count("ec2", "describe_volumes") > 0
    assert output.splitlines()[-1].startswith("gate: broken")


def test_nothing_heavy_is_imported_and_no_fixture_registered(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text(
        "apiVersion: v1\nkind: ClusterRole\nrules: []\n", encoding="utf-8"
    )
    (tmp_path / "test_plain.py").write_text(
        """
import sys

HEAVY = {"boto3", "botocore", "yaml", "msgspec", "rich", "click", "moto"}

def test_plain(request):
    loaded = set(sys.modules)
    assert not HEAVY & loaded
    assert {name for name in loaded if name.startswith("pytest_finops")} == {
        "pytest_finops", "pytest_finops.plugin", "pytest_finops.options", "pytest_finops.marks", "pytest_finops.hooks",
    }
    known = list(request.session._fixturemanager._get_all_fixture_defs())
    assert "tmp_path" in {one.argname for one in known}
    assert not [one.argname for one in known if one.func.__module__.startswith("pytest_finops")]
""",
        encoding="utf-8",
    )

    # pytest-html, which comes with us, is loaded in every run and imports jinja2 by itself.
    status, output = run(tmp_path, "-q", "-p", "no:html")
    assert status == 0, output
    status, output = run(tmp_path, "-q", "-p", "no:html", "-W", "error")
    assert status == 0, output


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_checks_without_a_target_are_left_out_of_a_mixed_run_and_refused_alone(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    test = '@finops.rule("ebs-team")\ndef test_team(ebs_volumes, findings):\n    raise AssertionError\n'
    write_checks(tmp_path, test)
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n", encoding="utf-8")

    status, output = run(tmp_path, *options)
    assert status == 0, output
    assert "1 passed" in output
    assert "AWS checks deselected: no target (add --finops-profile)" in output

    status, output = run(tmp_path, "checks", *options)
    assert status == 4, output
    assert "no target is named: add --finops-profile=PROFILE" in output
    assert "INTERNALERROR" not in output

    status, output = run(tmp_path, "checks", *options, FINOPS_DEMO="1")
    assert status == 4, output
    assert "demo (environment) makes none there" in output


@pytest.mark.parametrize(
    ("options", "variables", "text", "named"),
    [
        (("--finops-regions=eu-west-1",), {}, "", "--finops-regions makes"),
        ((), {"FINOPS_DEMO": "1", "FINOPS_REGIONS": "eu-west-1"}, "", "FINOPS_REGIONS, FINOPS_DEMO make"),
        ((), {}, "demo: true\n", "finops.yaml makes"),
        ((), {"FINOPS_DEMO": "0", "FINOPS_CACHE_DIR": "cache"}, "", ""),
        (("tests",), {}, "demo: true\n", ""),
    ],
)
def test_settings_that_make_no_target_are_named_where_nothing_ran(
    tmp_path: Path, options: tuple[str, ...], variables: dict[str, str], text: str, named: str
) -> None:
    (tmp_path / "tests").mkdir()
    if text:
        (tmp_path / "finops.yaml").write_text(text, encoding="utf-8")

    status, output = run(tmp_path, *options, **variables)

    assert status == 5, output
    said = [line for line in output.splitlines() if line.startswith("nothing was audited")]
    cure = "add --finops-profile=PROFILE, --finops-role=ARN, --finops-inventory=DIR, or --finops-demo"
    assert said == (
        [f"nothing was audited: {named} no target; {cure} for the sample estate"] if named else []
    )


def test_an_option_that_audits_nothing_beside_ordinary_tests_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n", encoding="utf-8")

    status, output = run(tmp_path, "--finops-strict")

    assert status == 0
    assert "nothing was audited: --finops-strict makes no target" in output
