"""Our prices against facts that the builder never opens."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_finops.errors import ConfigError
from pytest_finops.prices.agreement import ASIDE, compare, main, readings, rows
from pytest_finops.prices.build import FACTS

WATCH = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from pytest_finops.prices.build import main
status = main(["--check"])
print(*sorted({name for name in opened if name.startswith(sys.argv[1])}), sep="\\n")
sys.exit(status)
"""


def test_the_builder_opens_its_own_facts_only() -> None:
    # Whatever the folder is called that this stands in.
    watched = [sys.executable, "-c", WATCH, f"{FACTS.parents[1]}/"]
    done = subprocess.run(watched, capture_output=True, text=True, check=True)
    opened = {Path(line) for line in done.stdout.splitlines() if line.startswith("/")}
    assert FACTS / "scalars.csv" in opened
    assert {path.parent for path in opened} == {FACTS}
    assert ASIDE != FACTS
    assert FACTS not in ASIDE.parents


def test_at_least_98_percent_agree_and_the_rest_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    found = compare()
    comparable = [one for one in found if one.ours is not None]
    assert len(comparable) > 3500
    assert sum(one.agrees for one in comparable) / len(comparable) >= 0.98
    # No single large source carries the rest.
    others = [one for one in comparable if one.reading.source != "coroot-elasticache"]
    assert len(others) > 600
    assert sum(one.agrees for one in others) / len(others) >= 0.98
    assert all(one.explanation for one in comparable if not one.agrees)
    assert main(["--check"]) == 0
    assert "up to date" in capsys.readouterr().out


def test_no_reading_is_the_source_of_our_price() -> None:
    for one in compare():
        if one.ours is not None:
            assert one.ours.source != one.reading.source, one.reading.key


def test_every_source_is_described() -> None:
    described = {row["source"] for row in rows(ASIDE / "sources.csv")}
    assert {reading.source for reading in readings()} == described


def test_a_difference_needs_a_reason_and_a_reason_a_difference(tmp_path: Path) -> None:
    folder = tmp_path / "aside"
    shutil.copytree(ASIDE, folder)
    explained = folder / "explained.csv"
    lines = explained.read_text().splitlines()
    explained.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(ConfigError, match="differs without an explanation"):
        compare(folder)
    explained.write_text("\n".join([*lines, "ebs.storage,us-east-1,volume_type=gp3,cloudprice,why"]) + "\n")
    with pytest.raises(ConfigError, match="agrees, but is explained"):
        compare(folder)
    explained.write_text("\n".join([*lines, "ebs.storage,us-east-1,volume_type=gp3,nobody,why"]) + "\n")
    with pytest.raises(ConfigError, match="no reading"):
        compare(folder)
