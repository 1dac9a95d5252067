"""Three large audits: ``python benchmarks/scale.py resources``, ``… organization`` and ``… live``.

``resources``: 100,000 resources in 40 targets, hourly metrics where checks ask for them, against a served estate.
``organization``: 500 accounts x 17 regions x 100 rules (ten copies of the ten checks) on empty saved inventories.
``live``: 20 accounts x 17 regions against a served estate with nothing in it: what an account costs beside its resources.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from estates import REGIONS
from harness import ROOT, audit, environment, machine, run, serving


def main() -> int:
    """Run one of the two; exit status 1 when its target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("which", choices=("resources", "organization", "live"))
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--latency", default="0.05")
    given = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.which == "organization":
            return organization(folder, given.accounts)
        return {"resources": resources, "live": live}[given.which](folder, given.latency)


def resources(folder: Path, latency: str) -> int:
    """Audit 100,000 resources twice: the first run warms the server's answers."""
    report = folder / "audit.json"
    profiles = ",".join(f"bench{n}" for n in range(1, 11))
    with serving("large", "--latency", latency, "--throttle") as server:
        env = environment(folder, server.url, accounts=10)
        command = audit(
            "--finops-profile", profiles, "--finops-prices", "offline", "--finops-max-api-cost", "5",
            "--finops-report", f"json:{report}",
        )  # fmt: skip
        print(f"  warming {run(command, env, folder)}")
        server.ask("reset")
        before = server.cpu()
        done = run(command, env, folder)
        spent = server.cpu() - before
        asked = server.ask("report")
    print(f"  {done}")
    waits = {" ".join(key): (count - burst / 2) / (rate / 2) for key, count, rate, burst in asked["buckets"]}
    slowest = max(waits, key=lambda key: waits[key])
    document = json.loads(report.read_text())
    print(
        f"  {asked['requests']} requests, {asked['throttled']} throttled at AWS's published rates, at most "
        f"{asked['in_flight']} in flight, server {spent:.1f} s CPU, the limiter "
        f"requires {max(0.0, waits[slowest]):.1f} s ({slowest}), {len(document['findings'])} findings, "
        f"audit file {report.stat().st_size / 1e6:.1f} MB, complete {document['complete']}"
    )
    print("".join(f"  {line}\n" for line in done.output.splitlines() if line.startswith("collected")), end="")
    held = done.wall - spent < 90 and done.peak < 1024 and document["complete"]
    print(
        f"  {'met   ' if held else 'MISSED'} {done.wall:.1f} s wall ({done.wall - spent:.1f} s without the server's CPU) < 90 s, "
        f"{done.peak} MB < 1024 MB"
    )
    return 0 if held else 1


def live(folder: Path, latency: str) -> int:
    """Audit 5, 10 and 20 empty accounts: requests and CPU grow with the accounts, memory hardly."""
    with serving("empty", "--latency", latency) as server:
        for accounts in (20, 5, 10, 20):
            profiles = ",".join(f"bench{n}" for n in range(1, accounts + 1))
            server.ask("reset")
            done = run(
                audit("--finops-profile", profiles, "--finops-prices", "offline"),
                environment(folder, server.url, accounts=accounts),
                folder,
            )
            asked = server.ask("report")
            print(f"  {accounts:3d} accounts {done} {asked['requests']:6d} requests")
    return 0


def organization(folder: Path, accounts: int) -> int:
    """Audit empty saved inventories with a hundred rules."""
    copies(folder / "checks")
    inventory(folder / "inventory", accounts)
    report = folder / "audit.json"
    command = audit("--finops-inventory", str(folder / "inventory"), "--finops-report", f"json:{report}")
    command[3] = folder / "checks"
    done = run(command, environment(folder), folder)
    print(f"  {done}")
    if not report.exists():
        print(done.output[-3000:])
        return 1
    document = json.loads(report.read_text())
    pairs = sum(rule["expected"] for rule in document["rules"])
    print(
        f"  {len(document['rules'])} rules, {pairs} (rule, target) pairs, passed {sum(r['passed'] for r in document['rules'])}, "
        f"audit file {report.stat().st_size / 1e6:.1f} MB, complete {document['complete']}"
    )
    held = done.wall < 60 and done.peak < 1024 and document["complete"]
    print(f"  {'met   ' if held else 'MISSED'} {done.wall:.1f} s wall < 60 s, {done.peak} MB < 1024 MB")
    return 0 if held else 1


def copies(folder: Path) -> None:
    """Write ten copies of the shipped checks, each with rule ids of its own."""
    for number in range(10):
        for source in sorted(p for p in (ROOT / "checks").glob("*/*") if p.suffix in (".yaml", ".py")):
            target = folder / f"copy{number}" / f"{source.stem}_{number}{source.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8")
            if source.suffix == ".yaml":
                target.write_text(
                    re.sub(r"^(  - id: .*)$", rf"\1-{number}", text, flags=re.M), encoding="utf-8"
                )
            elif source.name.startswith("test_"):
                text = re.sub(r'(@finops\.rule\("[a-z0-9-]+)"', rf'\1-{number}"', text)
                target.write_text(
                    text.replace("from .. import", "from pytest_finops.checks import"), encoding="utf-8"
                )


def inventory(folder: Path, accounts: int) -> None:
    """Write a saved inventory in which every call of every target answered with nothing."""
    empty = json.dumps(sorted(planned()))
    targets = [
        {"account_id": f"{n:012d}", "name": f"account-{n}", "partition": "aws", "regions": list(REGIONS)}
        for n in range(1, accounts + 1)
    ]
    now = "2026-11-01T12:00:00+00:00"
    for target in targets:
        for region in REGIONS:
            place = folder / str(target["account_id"]) / region
            place.mkdir(parents=True)
            (place / "empty.json").write_text(empty)
            (place / "metrics.jsonl").touch()
    manifest = {"format": 1, "created": now, "now": now, "metrics": "complete", "targets": targets}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def planned() -> set[str]:
    """The calls that the shipped checks can make."""
    import importlib
    import pkgutil

    import pytest_finops.fixtures

    from pytest_finops.declare import Inventory, declaration_of

    found: set[str] = set()
    for one in pkgutil.iter_modules(pytest_finops.fixtures.__path__):
        for value in vars(importlib.import_module(f"pytest_finops.fixtures.{one.name}")).values():
            unwrap = getattr(value, "_get_wrapped_function", None)
            declaration = declaration_of(unwrap()) if callable(unwrap) else None
            if isinstance(declaration, Inventory):
                found.add(declaration.call)
    return found


if __name__ == "__main__":
    sys.exit(main())
