"""``make`` on a bare machine: system packages are installed where that is allowed, and named where it is not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEED = ROOT / ".ci" / "need"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return a folder of programs: an apt-get that notes its calls, and no ``gadget`` until it is installed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    apt = f'#!/bin/sh\necho "$@" >> {tmp_path}/apt.log\ncase "$*" in *install*gadget*) : > {tmp_path}/gadget;; esac\n'
    for name, text in {
        "apt-get": apt,
        "gadget": f"#!/bin/sh\ntest -e {tmp_path}/gadget\n",
        "id": '#!/bin/sh\necho "${FAKE_UID:-0}"\n',
        "sudo": '#!/bin/sh\ntest -n "$FAKE_SUDO" || exit 1\nshift\nexec "$@"\n',
    }.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    return tmp_path


def need(machine: Path, *words: str, **more: str) -> tuple[int, str]:
    env = os.environ | {"PATH": f"{machine / 'bin'}:{os.environ['PATH']}"} | more
    done = subprocess.run(
        [str(NEED), *words], env=env, text=True, capture_output=True, timeout=20, check=False
    )
    return done.returncode, done.stderr


def calls(machine: Path) -> list[str]:
    log = machine / "apt.log"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def test_what_works_is_not_installed(machine: Path) -> None:
    assert need(machine, "gadget", "true") == (0, "")
    assert calls(machine) == []


@pytest.mark.parametrize("who", [{}, {"FAKE_UID": "1000", "FAKE_SUDO": "yes"}])
def test_root_and_sudo_install_what_is_missing(machine: Path, who: dict[str, str]) -> None:
    assert need(machine, "gadget", "gadget", "--version", **who) == (0, "")
    assert [line.split()[-1] for line in calls(machine)] == ["-qq", "gadget"]


def test_anybody_else_is_told_what_to_install(machine: Path) -> None:
    status, said = need(machine, "gadget", "gadget", FAKE_UID="1000")

    assert status == 1
    assert "apt-get install gadget" in said
    assert calls(machine) == []


def test_a_package_that_does_not_help_is_an_error(machine: Path) -> None:
    status, said = need(machine, "other", "gadget")

    assert status == 1
    assert "lacks other" in said


def test_everything_runs_out_of_the_virtualenv() -> None:
    """No recipe uses a tool that only some machines have."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    first = {
        line.lstrip("\t@-").split()[0]
        for line in text.splitlines()
        if line.startswith("\t") and line[1] != " "
    }

    assert first <= {
        "$(PY)",
        "$(PIP)",
        "$(PYTHON)",
        "$(VENV)/bin/ruff",
        "$(VENV)/bin/mypy",
        ".ci/need",
        "touch",
        "rm",
    }


def test_what_runs_leave_behind_is_ignored() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()

    assert {".venv/", "build/", "dist/", "*.egg-info/", "finops-report/", ".finops/", "__pycache__/"} <= set(
        ignored
    )
