"""The house: who imports whom is what docs/architecture.md says, and what no room may do."""

from __future__ import annotations

import ast
import fnmatch
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import pytest_finops

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "pytest_finops": "pytest_finops",
    "fixtures": "pytest_finops.fixtures",
    "checks": "pytest_finops.checks",
}
TOP_LEVEL = {
    ".ci", ".git", ".gitattributes", ".gitignore", "CHANGELOG.md", "CLAUDE.md", "CONTRIBUTING.md", "LICENSE",
    "Makefile", "README.md", "benchmarks", "checks", "conftest.py", "docs", "fixtures", "pyproject.toml",
    "pytest_finops", "report_templates", "tests",
}  # fmt: skip
#: May stand at the head of a module only where AWS is played, not asked.
HEAVY = {"boto3", "botocore", "jinja2", "moto", "rich"}


@dataclass(frozen=True)
class Room:
    """One row of the table."""

    name: str
    modules: frozenset[str]
    imports: frozenset[str]
    elsewhere: frozenset[str]


@dataclass(frozen=True)
class Import:
    """One import: the module asked for, the name out of it, and whether it runs when the module is loaded."""

    module: str
    name: str
    at_load: bool
    line: int


def rooms() -> dict[str, Room]:
    """Return the table of docs/architecture.md."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    table = [row for row in rows if len(row) == 5 and not set(row[0]) <= {"-"} and row[0] != "room"]
    names = {row[0] for row in table}
    found = {}
    for name, modules, _, imports, elsewhere in table:
        if imports.startswith("all but "):
            allowed = names - set(imports.removeprefix("all but ").split(", "))
        else:
            allowed = {word for word in imports.split(", ") if word}
        assert allowed <= {*names, "public"}, f"{name} imports from no room of the table: {allowed - names}"
        found[name] = Room(name, frozenset(ticked(modules)), frozenset(allowed), frozenset(ticked(elsewhere)))
    return found


def ticked(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


ROOMS = rooms()
MODULES = sorted(path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py"))


def dotted(path: Path) -> str:
    """Return the name under which a file is installed."""
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([PACKAGES[folder], *(part for part in rest if part != "__init__")])


NAMES = {dotted(path) for path in MODULES}


def room_of(module: str) -> Room:
    """Return the room that a module of ours stands in."""
    parts = module.split(".")[1:] or ["__init__"]
    fitting = [room for room in ROOMS.values() if {parts[0], f"{parts[0]}/"} & room.modules]
    assert len(fitting) == 1, f"{module} stands in {[room.name for room in fitting]} of docs/architecture.md"
    return fitting[0]


def imports(path: Path) -> Iterator[Import]:
    """Yield what a module imports; what is imported for type checkers only is no import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = path.name == "__init__.py"
    package = dotted(path).split(".")
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    lazy = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", node not in lazy, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + inside] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                deeper = f"{module}.{alias.name}"
                if deeper in NAMES:
                    yield Import(deeper, "", node not in lazy, node.lineno)
                else:
                    yield Import(module, alias.name, node not in lazy, node.lineno)


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_a_module_imports_what_its_room_may(path: Path) -> None:
    room = room_of(dotted(path))
    wrong = []
    for one in imports(path):
        top = one.module.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        if top != "pytest_finops":
            if top not in room.elsewhere or (one.at_load and top in HEAVY and room.name != "testing"):
                wrong.append(one)
        elif "public" in room.imports and one.module == "pytest_finops":
            if one.name and one.name not in pytest_finops.__all__:
                wrong.append(one)
        elif one.name != "__version__" and room_of(one.module).name not in room.imports:
            wrong.append(one)
    assert wrong == []


def test_every_entry_of_the_table_stands_for_something() -> None:
    standing = {part for name in NAMES for part in (name.split(".")[1:2] or ["__init__"])}
    listed = {module.rstrip("/") for room in ROOMS.values() for module in room.modules}
    assert listed - {"report_templates"} == standing

    used = {
        (room_of(dotted(path)).name, one.module.partition(".")[0])
        for path in MODULES
        for one in imports(path)
    }
    for room in ROOMS.values():
        assert {name for name in room.elsewhere if (room.name, name) not in used} == set()


@pytest.mark.parametrize("path", [p for p in MODULES if "pytest_finops" not in p.parts[-3:]], ids=label)
def test_checks_and_fixtures_use_public_names_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("finops", "pytest_finops")
    }  # fmt: skip

    assert used <= set(pytest_finops.__all__)


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_a_module_says_its_duty_in_its_first_line(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""

    assert said.splitlines()[:1], "no docstring"
    assert said.splitlines()[0].endswith(".")


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_money_is_never_a_float(path: Path) -> None:
    money = re.compile(r"(^|_)(cost|price|amount|savings?|saved|usd|money|monthly)(_|$)")
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.arg):
            typed = [(node.arg, node.annotation)]
        elif isinstance(node, ast.AnnAssign):
            typed = [(ast.unparse(node.target), node.annotation)]
        elif isinstance(node, ast.FunctionDef):
            typed = [(node.name, node.returns)]
        else:
            typed = []
        wrong += [
            name for name, kind in typed if kind and money.search(name) and "float" in ast.unparse(kind)
        ]
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Decimal":
            wrong += [
                ast.unparse(node)
                for a in node.args
                if isinstance(a, ast.Constant) and isinstance(a.value, float)
            ]
            wrong += [ast.unparse(node) for a in node.args if ast.unparse(a).startswith("float(")]
    assert wrong == []


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_time_is_passed_in(path: Path) -> None:
    """One place reads the clock for the audit; the stand-in for AWS has one of its own."""
    reads = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    } & {"datetime.now", "datetime.utcnow", "date.today", "time.time", "datetime.today"}

    if label(path) not in ("pytest_finops/run.py", "pytest_finops/testing/replay.py"):
        assert reads == set()


def test_the_engine_names_no_service_of_the_fixtures() -> None:
    """A fixture module is found by standing in fixtures/: adding one changes no line of the engine."""
    fixtures = {path.stem for path in (ROOT / "fixtures").glob("*.py")} - {"__init__"}
    engine = [
        path
        for path in MODULES
        if room_of(dotted(path)).name in ("session", "writing", "entrance", "verdicts")
    ]
    named = {
        (label(path), node.value)
        for path in engine
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in fixtures
    }

    assert named <= {("pytest_finops/targets.py", "ec2"), ("pytest_finops/run.py", "ec2")}  # DescribeRegions


def test_nothing_unknown_stands_at_the_top() -> None:
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    found = {path.name for path in ROOT.iterdir()}
    kept = {name for name in found if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)}

    assert kept - TOP_LEVEL == set()
