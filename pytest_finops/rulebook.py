"""The rulebook: which rule file a check's rule stands in, with the overrides of ``finops.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from .config import said_by
from .documents import LINE, Problems, suggestion
from .errors import ConfigError
from .rule_files import load, looks_like_rules, override, unknown_rules
from .rules import Rule
from .settings import Settings


def shipped_checks() -> Path:
    """Return the folder of the shipped checks."""
    return Path(str(resources.files("pytest_finops.checks")))


class Rulebook:
    """Rules by id: those beside a test first, then those of its parent folders, then the shipped ones."""

    def __init__(self, overrides: Mapping[str, Mapping[str, Any]], source: str, root: Path) -> None:
        self._overrides = overrides
        self._source = source
        self._root = root
        self._folders: dict[Path, dict[str, Rule]] = {}
        self._read: dict[Path, tuple[Rule, ...]] = {}

    def file(self, path: Path) -> tuple[Rule, ...]:
        """Return the rules of one file, overridden; ConfigError has a line per mistake, with file, line and cure."""
        if path not in self._read:
            self._read[path] = self._overridden(path)
        return self._read[path]

    def _overridden(self, path: Path) -> tuple[Rule, ...]:
        problems = Problems()
        made = []
        for rule in load(path):
            changes = self._overrides.get(rule.id)
            if changes is not None:
                with problems.collecting():
                    rule = override(rule, changes, place(self._source, changes))
            made.append(rule)
        problems.raise_any()
        return tuple(made)

    def folder(self, folder: Path, deep: bool = False) -> dict[str, Rule]:
        """Return the rules of one folder; ConfigError has a line per mistake in any of its files."""
        if folder not in self._folders:
            problems = Problems()
            found: dict[str, Rule] = {}
            for path in sorted(self._files(folder, deep)):
                with problems.collecting():
                    for rule in self.file(path) if looks_like_rules(path) else ():
                        if rule.id in found:
                            problems.add(
                                rule.source, f"rule {rule.id} is defined in {found[rule.id].source} already"
                            )
                        found[rule.id] = rule
            problems.raise_any()
            self._folders[folder] = found
        return self._folders[folder]

    def check_names(self, settings: Settings, collected: Iterable[Rule], local: Iterable[Path]) -> None:
        """Refuse overrides, exemptions and regimes that no collected rule, shipped check or file below ``local`` has.

        :raises ConfigError: with one line per mistake.
        """
        known = list(collected)
        exempt = {entry["rule"] for entry in settings.exemptions if entry.get("rule")}
        for folder in (shipped_checks(), *local):
            ids = {rule.id for rule in known}
            if {*self._overrides, *exempt} <= ids and set(settings.compliance) <= regimes(known):
                return
            paths = sorted(self._files(folder, deep=True))
            known += [rule for path in paths if looks_like_rules(path) for rule in load(path)]
        problems = Problems()
        with problems.collecting():
            unknown_names(settings, known)
        with problems.collecting():
            # Rules that nobody selected are read too: their overrides must fit as well.
            self.ids()
        problems.raise_any()

    @staticmethod
    def _files(folder: Path, deep: bool) -> Iterable[Path]:
        for pattern in ("*.yaml", "*.yml"):
            yield from folder.rglob(pattern) if deep else folder.glob(pattern)

    def ids(self) -> set[str]:
        """Return the ids of every rule seen so far, and of the shipped ones."""
        self.folder(shipped_checks(), deep=True)
        return {rule_id for rules in self._folders.values() for rule_id in rules}

    def find(self, rule_id: str, beside: Path) -> Rule:
        """Return the rule of a test file.

        :raises ConfigError: when no rule file beside, above, or shipped defines it.
        """
        folder = beside.parent
        while True:
            rules = self.folder(folder)
            if rule_id in rules:
                return rules[rule_id]
            if folder in (self._root, folder.parent):
                break
            folder = folder.parent
        shipped = self.folder(shipped_checks(), deep=True)
        if rule_id in shipped:
            return shipped[rule_id]
        import difflib

        close = difflib.get_close_matches(
            rule_id, [*shipped, *(r for rules in self._folders.values() for r in rules)], 1
        )
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"{beside}: no rule file beside it, above it, or shipped defines rule {rule_id!r}{hint}"
        )


def regimes(rules: Iterable[Rule]) -> set[str]:
    """Return the compliance regimes that can be asked for: the common ones, and those that ``rules`` name."""
    return {"hipaa", "pci"}.union(*(rule.compliance_skip for rule in rules))


def unknown_names(settings: Settings, rules: Iterable[Rule]) -> None:
    """Refuse rule ids and compliance regimes that none of ``rules`` has.

    :raises ConfigError: with one line per mistake.
    """
    problems = Problems()
    rules = list(rules)
    ids, known = {rule.id for rule in rules}, regimes(rules)
    with problems.collecting():
        unknown_rules(settings.rules, ids, _file(settings, "rules"))
    for number, entry in enumerate(settings.exemptions):
        if entry.get("rule") and entry["rule"] not in ids:
            where = place(_file(settings, "exemptions"), entry)
            cure = suggestion(entry["rule"], ids)
            problems.add(where, f"exemptions[{number}].rule: there is no rule {entry['rule']!r}; {cure}")
    for name in settings.compliance:
        if name not in known:
            problems.add(
                said_by(settings, "compliance"),
                f"no rule knows the regime {name!r}; {suggestion(name, known)}",
            )
    problems.raise_any()


def _file(settings: Settings, section: str) -> str:
    return settings.origins.get(section, "").rpartition(":")[0] or "finops.yaml"


def place(file: str, entry: Mapping[str, Any]) -> str:
    """Return ``finops.yaml:12`` of an entry that knows its line."""
    return f"{file}:{entry[LINE]}" if LINE in entry else file
