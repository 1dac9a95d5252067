"""The plan: which calls the collected tests need; the only reader of pytest's private fixture data."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .collector.executor import Place, at_level
from .collector.guard import why_refused
from .declare import RULE, Declaration, Inventory, Metric, declaration_of
from .documents import suggestion
from .errors import DeclarationError
from .marks import MARKER, TARGETS_FIXTURE
from .operations import operation
from .resources import GLOBAL, Target
from .rules import Rule
from .targets import TargetSet

if TYPE_CHECKING:
    import pytest

#: What pytest.ini's author cannot know: items planned by us carry their check here.
CHECK = "_finops_check"


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One planned item: its rule, the inventories that it judges, everything that it declares, what it covers.

    ``filtered`` are names under which it does not see the declaration itself, but what a fixture of a team makes of it.
    """

    rule: Rule
    subjects: tuple[Inventory, ...]
    inventories: tuple[Inventory, ...]
    metrics: tuple[Metric, ...]
    targets: TargetSet
    skip: str = ""
    filtered: frozenset[str] = frozenset()

    @property
    def declarations(self) -> frozenset[Declaration]:
        """Everything that the check may read."""
        return frozenset((*self.inventories, *self.metrics))

    def seen(self, name: str) -> Declaration | None:
        """Return the inventory or metric that the check sees as it is under ``name``."""
        if name in self.filtered:
            return None
        declared: tuple[Declaration, ...] = (*self.inventories, *self.metrics)
        return next((one for one in declared if one.name == name), None)

    def is_pruned(self, target: Target, pruned: Container[tuple[str, str]]) -> bool:
        """Whether the check leaves ``target`` out, where ``pruned`` are the (account, region) without spend."""
        return self.rule.prune and (target.account_id, target.region) in pruned


@dataclass(slots=True)
class Plan:
    """The union of what the selected checks need, in a stable order.

    ``needs`` are the cells that a ``per=`` cell waits for, its parent first; ``users`` the checks whose needs a
    ``where=`` looks into, one a rule; ``late`` what waits for something that is paid, and is asked last.
    """

    checks: list[Check] = field(default_factory=list)
    cells: list[tuple[Inventory, Target]] = field(default_factory=list)
    series: list[tuple[Metric, Inventory, Target]] = field(default_factory=list)
    needs: dict[Place, list[Place]] = field(default_factory=dict)
    users: dict[Inventory, dict[str, Check]] = field(default_factory=dict)
    late: frozenset[Inventory] = frozenset()
    period_days: int = 0

    @property
    def calls(self) -> list[tuple[str, str]]:
        """The distinct (service, method) of the plan, CloudWatch included."""
        found = {(declaration.service, declaration.operation) for declaration, _ in self.cells}
        if self.series:
            found.add(("cloudwatch", "get_metric_data"))
        return sorted(found)


def fixture_declarations(item: pytest.Function) -> dict[str, list[Declaration]]:
    """Return the declarations behind each fixture of ``item``, walking each override chain (team filters included)."""
    definitions: Mapping[str, Sequence[Any]] = item._fixtureinfo.name2fixturedefs
    found: dict[str, list[Declaration]] = {}
    manager = item.session._fixturemanager
    queue = list(item.fixturenames)
    seen: set[str] = set()
    while queue:
        name = queue.pop(0)
        if name in seen:
            continue
        seen.add(name)
        chain = definitions.get(name) or manager.getfixturedefs(name, item) or ()
        index = len(chain) - 1
        while index >= 0:
            definition = chain[index]
            declaration = declaration_of(definition.func)
            if declaration is not None:
                found.setdefault(name, []).append(declaration)
            queue += [argument for argument in definition.argnames if argument != name]
            # An override reaches the definition that it replaces only by asking for its own name.
            if name not in definition.argnames:
                break
            index -= 1
    return found


def marked_rule(item: pytest.Item) -> tuple[str, str | None] | None:
    """Return (rule id, subject) of a check, or None for an ordinary test."""
    mark = item.get_closest_marker(MARKER)
    if mark is None:
        return None
    return str(mark.args[0]), mark.kwargs.get("subject")


def resolve(
    item: pytest.Function, rule: Rule, subject: str | None
) -> tuple[tuple[Inventory, ...], tuple[Inventory, ...], tuple[Metric, ...]]:
    """Return (subjects, inventories, metrics) of a check.

    :raises DeclarationError: when the check names no inventory, a subject that is none, or a call that is no read.
    """
    by_name = fixture_declarations(item)
    inventories = [d for found in by_name.values() for d in found if isinstance(d, Inventory)]
    metrics = [d for found in by_name.values() for d in found if isinstance(d, Metric)]
    for declared in inventories:
        why = why_refused(declared.service, declared.operation)
        if why:
            raise DeclarationError(f"inventory {declared.name}: {declared.call} is refused: {why}")
        for name in declared.sees:
            if name != RULE and not _is_declared(item, name):
                known = _declared(item, Inventory, Metric)
                raise DeclarationError(
                    f"inventory {declared.name}: where= names {name!r}, which is no inventory and no metric; "
                    f"{suggestion(name, known)}"
                )
    if subject is None and rule.resources:
        subject = rule.resources
    if subject:
        names = [name.strip() for name in subject.split(",")]
    else:
        arguments = [
            name
            for name in item._fixtureinfo.argnames
            if any(isinstance(d, Inventory) for d in by_name.get(name, ()))
        ]
        names = arguments[:1]
    subjects: list[Inventory] = []
    for name in names:
        named = [d for d in by_name.get(name, ()) if isinstance(d, Inventory)]
        if not named and rule.resources:
            known = _declared(item, Inventory)
            raise DeclarationError(
                f"{rule.source}: rule {rule.id}: there is no inventory {name!r}; {suggestion(name, known)}"
            )
        if not named:
            raise DeclarationError(f"{item.nodeid}: subject {name!r} is not an inventory among its arguments")
        subjects.append(named[-1])
    if not subjects:
        raise DeclarationError(
            f"{item.nodeid}: rule {rule.id} needs an inventory as an argument, or subject="
        )
    if rule.resources:
        _check_fields(rule, subjects[0])
    return tuple(subjects), tuple(dict.fromkeys(inventories)), tuple(dict.fromkeys(metrics))


def filtered(item: pytest.Function) -> frozenset[str]:
    """Return the names whose declaration ``item`` sees through another fixture: a team's filter of the same name."""
    definitions = item._fixtureinfo.name2fixturedefs
    return frozenset(
        name
        for name in fixture_declarations(item)
        if name in definitions and declaration_of(definitions[name][-1].func) is None
    )


def _is_declared(item: pytest.Function, name: str) -> bool:
    found = item.session._fixturemanager.getfixturedefs(name, item) or ()
    return any(declaration_of(one.func) is not None for one in found)


def _declared(item: pytest.Function, *kinds: type[Declaration]) -> list[str]:
    """Return the names of the declarations that modules registered as plugins offer to ``item``."""
    names = {
        name for plugin in item.config.pluginmanager.get_plugins() for name in getattr(plugin, "__dict__", ())
    }
    manager = item.session._fixturemanager
    return sorted(
        name
        for name in names
        if any(
            isinstance(declaration_of(one.func), kinds) for one in manager.getfixturedefs(name, item) or ()
        )
    )


def _check_fields(rule: Rule, subject: Inventory) -> None:
    """Refuse a declarative rule whose condition names a property that its resources do not have."""
    kind = subject.row_type()
    if kind is None:
        return
    known = [name for name in dir(kind) if not name.startswith("_") and not callable(getattr(kind, name))]
    wrong = [condition.field for condition in rule.condition if condition.field not in known]
    if wrong:
        raise DeclarationError(
            "\n".join(
                f"{rule.source}: rule {rule.id}: {subject.name} have no {name!r}; {suggestion(name, known)}"
                for name in wrong
            )
        )


def enrichments(session: pytest.Session) -> list[Inventory]:
    """Return the inventories that the engine reads for itself beside others (``beside=``), by name.

    They are found where fixtures are: in the modules of the fixtures package, which are plugins of an audit.
    """
    manager = session._fixturemanager
    found: dict[str, Inventory] = {}
    for plugin in session.config.pluginmanager.get_plugins():
        if not getattr(plugin, "__name__", "").startswith("pytest_finops.fixtures."):
            continue
        for name in vars(plugin):
            for definition in manager.getfixturedefs(name, session) or ():
                declaration = declaration_of(definition.func)
                if isinstance(declaration, Inventory) and declaration.beside:
                    found[name] = declaration
    return [found[name] for name in sorted(found)]


def build(
    checks: Iterable[Check], all_targets: Sequence[Target], payer: str | None, pruned: Container[tuple[str, str]] = (),
    beside: Sequence[Inventory] = (),
) -> Plan:  # fmt: skip
    """Return the plan of ``checks``: parents before children, each cell once; nothing for ``pruned`` places.

    ``beside`` are enrichments that may follow what is planned.
    """
    plan = Plan()
    cells: dict[tuple[Inventory, Target], None] = {}
    series: dict[tuple[Metric, Inventory, Target], None] = {}
    planned: set[tuple[Declaration, tuple[int, bool]]] = set()
    parents: dict[Inventory, Inventory] = {}
    for check in checks:
        plan.checks.append(check)
        if check.skip:
            continue
        names = {declaration.name: declaration for declaration in check.inventories}
        covered = [target for target in check.targets.targets if not check.is_pruned(target, pruned)]
        same = (id(check.targets), check.rule.prune)
        for declaration in check.inventories:
            # Checks of a large organization share their target set: planning it once is enough.
            if (declaration, same) not in planned:
                planned.add((declaration, same))
                for target in planned_at(declaration, covered, all_targets, payer):
                    cells[declaration, target] = None
            if declaration.per:
                parent = names.get(declaration.per)
                if parent is None:
                    raise DeclarationError(
                        f"inventory {declaration.name}: per={declaration.per!r} is not an inventory"
                    )
                parents[declaration] = parent
            if declaration.sees:
                plan.users.setdefault(declaration, {}).setdefault(check.rule.id, check)
        for metric in check.metrics:
            inventory = names.get(metric.of)
            if inventory is None:
                raise DeclarationError(f"metric {metric.name}: of={metric.of!r} is not an inventory")
            if (metric, same) not in planned:
                planned.add((metric, same))
                for target in planned_at(inventory, covered, all_targets, payer):
                    series[metric, inventory, target] = None
            plan.period_days = max(plan.period_days, check.rule.period_days or 14)
    judged = {subject for check in plan.checks if not check.skip for subject in check.subjects}
    among = {enrichment.name: enrichment for enrichment in beside}
    for enrichment in beside:
        if enrichment.per:
            parents[enrichment] = among[enrichment.per]
        # What costs is asked beside what is judged only, not beside what is looked up.
        paid = is_billable(enrichment)
        for declaration, target in list(cells):
            if declaration.name in enrichment.beside and (declaration in judged or not paid):
                cells[enrichment, at_level(target, enrichment.level, payer)] = None
    order = sorted(cells, key=lambda cell: (cell[1].account_id, cell[1].region, cell[0].call, cell[0].name))
    plan.cells = order
    seen = {declaration: _seen(declaration, plan) for declaration in parents}
    plan.late = _late(parents, seen)
    for metric, inventory, _ in series:
        if inventory in plan.late:
            raise DeclarationError(
                f"metric {metric.name}: of={metric.of!r} is asked after the metrics, for its where= or per= waits for them"
            )
    for declaration, target in order:
        if declaration.per:
            needed = {(parents[declaration], target): None}
            for one in seen[declaration]:
                if isinstance(one, Inventory):
                    needed.update(
                        dict.fromkeys((one, at) for at in planned_at(one, [target], all_targets, payer))
                    )
            plan.needs[declaration, target] = list(needed)
    plan.series = sorted(series, key=lambda s: (s[2].account_id, s[2].region, s[0].name))
    return plan


def _seen(declaration: Inventory, plan: Plan) -> list[Declaration]:
    """Return what ``where=`` of ``declaration`` sees in any check, but for the resource itself."""
    names = [name for name in declaration.sees if name != RULE]
    found = (check.seen(name) for check in plan.users.get(declaration, {}).values() for name in names)
    return [one for one in dict.fromkeys(found) if one is not None]


def _late(
    parents: Mapping[Inventory, Inventory], seen: Mapping[Inventory, Sequence[Declaration]]
) -> frozenset[Inventory]:
    """Return what can be asked only after something that is paid for: metrics, a billable call, another late one.

    :raises DeclarationError: when a billable call would have to, or when inventories wait for each other.
    """
    known: dict[Inventory, bool] = {}

    def waits(one: Inventory, path: tuple[Inventory, ...]) -> bool:
        if one in path:
            circle = " -> ".join(declared.name for declared in (*path[path.index(one) :], one))
            raise DeclarationError(
                f"inventory {one.name}: per= and where= go in a circle ({circle}); leave one of the names out of where="
            )
        if one not in known:
            behind = [parents[one], *seen[one]] if one in parents else []
            paid = [b for b in behind if isinstance(b, Metric) or is_billable(b) or waits(b, (*path, one))]
            if paid and is_billable(one):
                what = (
                    f"a billable one ({paid[0].call})"
                    if isinstance(paid[0], Inventory)
                    else f"a metric ({paid[0].name})"
                )
                raise DeclarationError(
                    f"inventory {one.name}: a billable call may not follow {what}: its price could not be told beforehand"
                )
            if paid and one.by_prices:
                raise DeclarationError(
                    f"inventory {one.name}: by_prices= is asked before anything is paid for"
                )
            known[one] = bool(paid)
        return known[one]

    return frozenset(one for one in parents if waits(one, ()))


def is_billable(declaration: Inventory) -> bool:
    """Whether each request of an inventory costs money (Cost Explorer, S3)."""
    return operation(declaration.service, declaration.operation).billable


def planned_at(
    declaration: Inventory, targets: Iterable[Target], all_targets: Sequence[Target], payer: str | None
) -> list[Target]:
    """Return where ``declaration`` is asked for a check that covers ``targets``."""
    found: dict[Target, None] = {}
    regional = declaration.level == "region"
    for target in targets:
        if regional and target.region != GLOBAL:
            found[target] = None
        elif regional:
            for other in all_targets:
                if other.account_id == target.account_id and other.region != GLOBAL:
                    found[other] = None
        else:
            found[at_level(target, declaration.level, payer)] = None
    return list(found)


def planned_calls(session: pytest.Session, *, cost_data: bool = False) -> list[tuple[str, str]]:
    """Return the (service, method) pairs that the collected checks need, without any target or AWS."""
    found: set[tuple[str, str]] = set()
    names: set[str] = set()
    for item in session.items:
        if marked_rule(item) is None:
            continue
        for declarations in fixture_declarations(item).values():  # type: ignore[arg-type]
            for declaration in declarations:
                if isinstance(declaration, Inventory):
                    found.add((declaration.service, declaration.operation))
                    names.add(declaration.name)
                else:
                    found.add(("cloudwatch", "get_metric_data"))
    found.update(
        (e.service, e.operation)
        for e in enrichments(session)
        if names.intersection(e.beside) and (cost_data or not is_billable(e))
    )
    return sorted(found)


def covered(item: pytest.Item) -> TargetSet | None:
    """Return the target set of a parametrized check item."""
    callspec = getattr(item, "callspec", None)
    found = None if callspec is None else callspec.params.get(TARGETS_FIXTURE)
    return found if isinstance(found, TargetSet) else None
