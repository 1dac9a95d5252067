"""What the benchmarks share: a server in its own process, and measured cold processes."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass(frozen=True, slots=True)
class Measured:
    """One cold process: wall and CPU seconds, peak resident MB, exit status, its output."""

    wall: float
    cpu: float
    peak: int
    status: int
    output: str

    def __str__(self) -> str:
        return f"{self.wall:7.2f} s wall {self.cpu:7.2f} s CPU {self.peak:5d} MB  exit {self.status}"


def run(command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> Measured:
    """Run a process to its end and measure it, its children included in the CPU."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return Measured(
            wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, process.returncode, output.read()
        )


class Server:
    """The endpoint of ``serve.py`` in its own process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._in: IO[str] = process.stdin  # type: ignore[assignment]
        self._out: IO[str] = process.stdout  # type: ignore[assignment]
        self.url = self._out.readline().strip()

    def ask(self, command: str) -> dict[str, Any]:
        """Send one command; return its answer."""
        self._in.write(command + "\n")
        self._in.flush()
        answer: dict[str, Any] = json.loads(self._out.readline())
        return answer

    def cpu(self) -> float:
        """CPU seconds that the server has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(*arguments: str) -> Any:
    """Serve an estate while the block runs."""
    process = subprocess.Popen(
        [sys.executable, HERE / "serve.py", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        yield Server(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


def environment(folder: Path, url: str = "", accounts: int = 1) -> dict[str, str]:
    """The environment of an audit: profiles bench1 … benchN, nothing of this machine's AWS settings."""
    config = folder / "aws-config"
    config.write_text(
        "".join(
            f"[profile bench{n}]\naws_access_key_id=AKIABENCH{n}\naws_secret_access_key=x\nregion=us-east-1\n"
            for n in range(1, accounts + 1)
        )
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "FINOPS_", "PYTEST", "PYTHON"))}
    return {
        **clean, "AWS_ENDPOINT_URL": url, "AWS_CONFIG_FILE": str(config), "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"), "FINOPS_CACHE_DIR": str(folder / "cache"),
        "AWS_ACCESS_KEY_ID": "AKIABENCH1", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1",
        "HOME": str(folder),
    }  # fmt: skip


def audit(*options: str) -> list[str | Path]:
    """The command of an audit with the shipped checks; the plugins of the development environment stay out."""
    return [
        sys.executable, "-m", "pytest", ROOT / "checks", "-q", "-p", "no:hypothesispytest", "-p", "no:cacheprovider",
        *options,
    ]  # fmt: skip


def middle(runs: Sequence[Measured]) -> Measured:
    """The run of median wall time."""
    return sorted(runs, key=lambda one: one.wall)[len(runs) // 2]


def machine() -> str:
    """What the figures were measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )  # fmt: skip
    return (
        f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f} before the run"
    )


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
