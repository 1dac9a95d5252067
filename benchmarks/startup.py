"""What the plugin adds to a pytest run that has nothing to do with AWS: paired, alternating, every figure printed.

    python benchmarks/startup.py [PAIRS]

One trivial test runs with the plugin and with ``-p no:pytest_finops.plugin``, in turn, in fresh processes of this
interpreter. Wall and processor time are printed; the limit is held against processor time (user and system), which
is the wall time of an idle machine and moves less on a busy one. The figure is the median of the paired differences.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Milliseconds that an unrelated run may pay.
LIMIT = 20.0
WITHOUT = ("-p", "no:pytest_finops.plugin")
#: hypothesis comes with our own test extra only, and costs more than everything else together.
OPTIONS = ("-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")


def run(folder: Path, *options: str) -> tuple[float, float]:
    """Return wall and processor time of one run in milliseconds."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FINOPS_", "PYTEST"))}
    command = [sys.executable, "-m", "pytest", *OPTIONS, *options]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * wall, 1000 * used


def main(pairs: int) -> int:
    """Print both series and their difference; return 1 if the plugin costs more than it may."""
    figures: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_trivial.py").write_text("def test_trivial():\n    pass\n", encoding="utf-8")
        run(folder)
        run(folder, *WITHOUT)
        for pair in range(pairs):
            # Who goes first alternates, so that a slow moment of the machine hits both.
            for which in ("with", "without") if pair % 2 else ("without", "with"):
                figures[which].append(run(folder, *(WITHOUT if which == "without" else ())))
    added = 0.0
    for place, kind in enumerate(("wall", "processor")):
        series = {which: [one[place] for one in taken] for which, taken in figures.items()}
        for which, taken in series.items():
            print(f"{kind}, {which}, ms: {' '.join(f'{one:.0f}' for one in taken)}")
            print(f"  min {min(taken):.0f}, median {statistics.median(taken):.0f}")
        differences = [one - other for one, other in zip(series["with"], series["without"], strict=True)]
        added = statistics.median(differences)
        least = min(series["with"]) - min(series["without"])
        print(f"  added: {added:.0f} ms (median of pairs), {least:.0f} ms (minima)")
    print(f"limit of {LIMIT:.0f} ms: {'held' if added <= LIMIT else 'broken'}")
    return int(added > LIMIT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 45))
