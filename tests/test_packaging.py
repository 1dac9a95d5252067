"""What is published: the wheel has everything it needs, and works in a clean virtualenv far from the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from demo_expected import check_audit

from pytest_finops.rule_files import load

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
VERSION = PROJECT["project"]["version"]
SNAPSHOT_LIMIT = 400_000


def clean(**more: str) -> dict[str, str]:
    """Return the environment without anything that points to this repository, to AWS or to an audit."""
    unwanted = ("AWS_", "FINOPS_", "PYTEST", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)} | more


def run(*command: str | Path, folder: Path, status: int = 0, **more: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder, env=clean(**more), text=True, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def folder_of(package: str) -> Path:
    """Return the folder of a package, as the package-dir table maps it."""
    for name, folder in sorted(SETUPTOOLS["package-dir"].items(), key=lambda pair: -len(pair[0])):
        if package == name or package.startswith(name + "."):
            return Path(folder, *package.removeprefix(name).strip(".").split("."))
    raise AssertionError(f"no folder for {package}")


def shipped() -> dict[str, Path]:
    """Return every file that the wheel must have, by its name there, from the folders of the repository."""
    files = {}
    for name, folder in SETUPTOOLS["package-dir"].items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                files["/".join((*name.split("."), *path.relative_to(ROOT / folder).parts))] = path
    return files


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build source distribution, and the wheel from it, out of a copy of what git would clone."""
    source = tmp_path_factory.mktemp("source") / "repository"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "finops-report")
    shutil.copytree(ROOT, source, ignore=unwanted)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, source, folder=source)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(built / f"pytest_finops-{VERSION}-py3-none-any.whl")


@pytest.fixture(scope="module")
def installed(built: Path, wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of a clean virtualenv, elsewhere, that has the wheel and what it asks for."""
    home = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", home / "venv", folder=home)
    programs = home / "venv" / "bin"
    run(programs / "pip", "install", "--quiet", str(wheel.filename), folder=home)
    return programs


def test_every_folder_is_a_listed_package() -> None:
    on_disk = {
        ".".join((name, *path.parent.relative_to(ROOT / folder).parts))
        for name, folder in SETUPTOOLS["package-dir"].items()
        for path in (ROOT / folder).rglob("*.py")
    }

    assert set(SETUPTOOLS["packages"]) == on_disk
    for package in on_disk:
        assert (ROOT / folder_of(package) / "__init__.py").is_file(), package


def test_the_wheel_has_all_files_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert names == set(shipped())
    for kind in (".yaml", ".j2", ".css", "audit.schema.json", "operations.json", "py.typed", "LICENSE"):
        assert any(name.endswith(kind) for name in wheel.namelist()), kind


def test_the_price_snapshot_is_small(wheel: zipfile.ZipFile) -> None:
    sizes = [
        info.file_size for info in wheel.infolist() if info.filename.startswith("pytest_finops/prices/data/")
    ]

    assert 0 < sum(sizes) < SNAPSHOT_LIMIT


def test_the_source_distribution_stands_beside_the_wheel(built: Path) -> None:
    assert (built / f"pytest_finops-{VERSION}.tar.gz").is_file()


def test_the_shipped_checks_run_installed(installed: Path, tmp_path: Path) -> None:
    output = run(
        installed / "pytest", "--finops-demo", "--pyargs", "pytest_finops.checks",
        "--finops-now", "2026-11-01T12:00:00Z", "--finops-report", "json:audit.json", "--finops-report", "html:report.html",
        folder=tmp_path, status=1, HOME=str(tmp_path),
    )  # fmt: skip

    document: dict[str, Any] = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    check_audit(document)
    assert document["complete"] is True
    assert document["tool"]["version"] == VERSION
    assert output.rstrip().splitlines()[-1].startswith("gate: broken")
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_console_script_runs_installed(installed: Path, tmp_path: Path) -> None:
    rules = [rule.id for path in (ROOT / "checks").rglob("*.yaml") for rule in load(path)]

    assert VERSION in run(installed / "finops-playbook", "--version", folder=tmp_path)
    table = run(installed / "finops-playbook", "checks", folder=tmp_path, COLUMNS="200")
    assert f"{len(rules)} checks" in table
    assert [rule for rule in rules if rule not in table] == []


def test_a_scan_installed_warns_of_nothing(installed: Path, tmp_path: Path) -> None:
    output = run(
        installed / "finops-playbook",
        "scan",
        "--demo",
        "--estimate-cost",
        folder=tmp_path,
        HOME=str(tmp_path),
    )

    assert "warning" not in output.lower()


def test_what_is_installed_owes_nothing_to_this_repository(installed: Path, tmp_path: Path) -> None:
    script = "import pytest_finops, sys; print(pytest_finops.__file__, *sys.path, sep='\\n')"
    file, *paths = run(installed / "python", "-c", script, folder=tmp_path).splitlines()

    assert Path(file).is_relative_to(installed.parent)
    assert [path for path in paths if Path(path).is_relative_to(ROOT)] == []
