"""The house: who imports whom is what docs/architecture.md says, and what no room may do."""

from __future__ import annotations

import ast
import fnmatch
import functools
import re
import sys
from dataclasses import dataclass
from pathlib import Path

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


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


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


@functools.cache
def imports(path: Path) -> list[Import]:
    """Return what a module imports; what is imported for type checkers only is no import."""
    tree = parsed(path)
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
    found = []
    for node in ast.walk(tree):
        if node in for_types:
            continue
        at_load = node not in lazy
        if isinstance(node, ast.Import):
            found += [Import(alias.name, "", at_load, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + inside] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                deeper = f"{module}.{alias.name}"
                asked = (deeper, "") if deeper in NAMES else (module, alias.name)
                found.append(Import(*asked, at_load, node.lineno))
    return found


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_a_module_imports_what_its_room_may() -> None:
    wrong = []
    for path in MODULES:
        room = room_of(dotted(path))
        for one in imports(path):
            top = one.module.partition(".")[0]
            if top in sys.stdlib_module_names:
                continue
            if top != "pytest_finops":
                fine = top in room.elsewhere and (
                    not one.at_load or top not in HEAVY or room.name == "testing"
                )
            elif one.module == "pytest_finops" and "public" in room.imports:
                fine = not one.name or one.name in pytest_finops.__all__
            else:
                fine = one.name == "__version__" or room_of(one.module).name in room.imports
            if not fine:
                wrong.append(
                    f"{label(path)}:{one.line} ({room.name}) imports {one.module} {one.name}".rstrip()
                )

    assert not wrong, "\n".join(wrong)


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


def test_checks_and_fixtures_use_public_names_only() -> None:
    wrong = [
        f"{label(path)}:{node.lineno} uses finops.{node.attr}"
        for path in MODULES
        if path.relative_to(ROOT).parts[0] in ("checks", "fixtures")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("finops", "pytest_finops")
        if node.attr not in pytest_finops.__all__
    ]

    assert not wrong, "\n".join(wrong)


def test_a_module_says_its_duty_in_its_first_line() -> None:
    silent = []
    for path in MODULES:
        said = (ast.get_docstring(parsed(path)) or "").splitlines()
        if not said or not said[0].endswith("."):
            silent.append(label(path))

    assert not silent, "\n".join(silent)


def test_money_is_never_a_float() -> None:
    money = re.compile(r"(^|_)(cost|price|amount|savings?|saved|usd|money|monthly)(_|$)")
    wrong = []
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            name, kind, value = "", None, None
            if isinstance(node, ast.arg):
                name, kind = node.arg, node.annotation
            elif isinstance(node, ast.AnnAssign):
                name, kind = ast.unparse(node.target), node.annotation
            elif isinstance(node, ast.FunctionDef):
                name, kind = node.name, node.returns
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Decimal" and node.args:
                value = node.args[0]
            inexact = isinstance(value, ast.Constant) and isinstance(value.value, float)
            inexact |= value is not None and ast.unparse(value).startswith("float(")
            if inexact or (kind is not None and money.search(name) and "float" in ast.unparse(kind)):
                wrong.append(f"{label(path)}:{node.lineno} {ast.unparse(node).splitlines()[0]}")

    assert not wrong, "\n".join(wrong)


def test_time_is_passed_in() -> None:
    """One place reads the clock for the audit; the stand-in for AWS, and what asks prices without one, have their own."""
    clocks = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time"}
    reading = {
        label(path)
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in clocks
    }  # fmt: skip

    assert reading == {
        f"pytest_finops/{name}.py" for name in ("run", "testing/replay", "prices/build", "cli/prices")
    }


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
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and node.value in fixtures
    }

    assert named <= {("pytest_finops/targets.py", "ec2"), ("pytest_finops/run.py", "ec2")}  # DescribeRegions


def test_nothing_unknown_stands_at_the_top() -> None:
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    found = {path.name for path in ROOT.iterdir()}
    kept = {name for name in found if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)}

    assert kept - TOP_LEVEL == set()
