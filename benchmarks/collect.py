"""Our speed against the least possible and against two peers: ``python benchmarks/collect.py``.

Everything is a cold process against one replayed estate of about 2,200 resources, served by another process at 50 ms a
request. Peers are installed into virtualenvs under ``benchmarks/.peers`` (or ``--peers DIR``) on the first run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import HERE, Measured, Server, audit, environment, machine, middle, run, serving

PEERS = {"c7n": "c7n==0.9.53", "cleancloud": "cleancloud[aws]==1.32.0"}
#: The rules that CleanCloud has too, by their test names.
SHARED_WITH_CLEANCLOUD = "ebs_unattached or ebs_old_snapshots or eip_unassociated or elb_idle"
#: CleanCloud's other rules.
SKIPPED = (
    "aws.ec2.ami.old", "aws.cloudwatch.logs.infinite_retention", "aws.ec2.security_group.unused",
    "aws.ec2.instance.stopped", "aws.ec2.eni.detached", "aws.ec2.nat_gateway.idle", "aws.opensearch.domain.idle",
    "aws.rds.instance.idle", "aws.rds.snapshot.old", "aws.redshift.cluster.idle", "aws.resource.untagged",
)  # fmt: skip
RATE = 0.5


def main() -> int:
    """Measure, print, judge; exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--latency", default="0.05")
    parser.add_argument("--peers", type=Path, default=HERE / ".peers")
    parser.add_argument("--no-peers", action="store_true")
    given = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine()}; {given.latency} s a request")
    with (
        tempfile.TemporaryDirectory() as name,
        serving("sample", "--latency", given.latency) as server,
    ):
        folder = Path(name)
        return compare(server, folder, given)


@dataclass(slots=True)
class Series:
    """What is measured again and again: a command, its runs, and what the server was asked in the last of them."""

    title: str
    command: list[str | Path]
    runs: list[Measured] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)

    def turn(self, server: Server, folder: Path) -> None:
        """Run once more."""
        server.ask("reset")
        self.runs.append(run(self.command, environment(folder, server.url), folder))
        self.asked = server.ask("report")

    def show(self) -> None:
        """Print every raw figure but those of the first, unmeasured run."""
        print(f"{self.title}: {self.asked['requests']} requests, at most {self.asked['in_flight']} in flight")
        for one in self.measured:
            print(f"  {one}")

    @property
    def measured(self) -> list[Measured]:
        """All but the first run, which warms the server's answers and the peers' own caches."""
        return self.runs[1:]

    @property
    def wall(self) -> float:
        """The median wall time in seconds."""
        return middle(self.measured).wall


def compare(server: Server, folder: Path, given: argparse.Namespace) -> int:
    """Print every raw figure, then the targets.

    All commands run in turn, round by round: the machine's speed drifts, and every round drifts as a whole.
    """
    log = folder / "requests.jsonl"
    live = ("--finops-profile", "bench1", "--finops-prices", "offline")
    report = ("--finops-report", f"json:{folder / 'audit.json'}")

    own = Series("pytest-finops, ten checks", audit(*live, *report))
    own.turn(server, folder)
    server.ask(f"log {log}")
    document = json.loads((folder / "audit.json").read_text())
    print(f"{len(document['findings'])} findings, complete {document['complete']}")
    start = Series("start-up (the same command with --co)", audit(*live, "--co"))
    few = Series(f"pytest-finops, -k {SHARED_WITH_CLEANCLOUD!r}", audit(*live, "-k", SHARED_WITH_CLEANCLOUD))
    bare = [
        Series(
            f"bare fetch of the same requests, {threads} threads",
            [sys.executable, HERE / "bare_fetch.py", log, server.url, str(threads)],
        )
        for threads in (8, 16, 32, 64)
    ]
    peers = {} if given.no_peers else {name: command(given, folder) for name, command in COMMANDS.items()}
    theirs = {name: Series(name, found) for name, found in peers.items() if found}
    everything = [own, start, few, *bare, *theirs.values()]
    for _ in range(given.runs + 1):
        for one in everything:
            one.turn(server, folder)
    # The unmeasured run that wrote the log.
    del own.runs[0]
    for one in everything:
        one.show()
    waits = [
        max(0.0, (count - burst * RATE) / (rate * RATE)) for _, count, rate, burst in own.asked["buckets"]
    ]
    limiter = max(waits, default=0.0)
    print(f"the limiter requires {limiter:.2f} s (rate {RATE} of the published ones)")
    best = min(one.wall for one in bare)
    bound = 1.3 * max(best, limiter) + start.wall
    verdicts = [
        (f"ours {own.wall:.2f} s <= 1.3 x max(bare {best:.2f}, limiter {limiter:.2f}) + start-up {start.wall:.2f} "
         f"= {bound:.2f} s", own.wall <= bound)
    ]  # fmt: skip
    for name, ours, times in (("Cloud Custodian", own, 6), ("CleanCloud", few, 3)):
        if name in theirs:
            verdicts += verdict(theirs[name], ours, times)
    print("targets:")
    for text, held in verdicts:
        print(f"  {'met   ' if held else 'MISSED'} {text}")
    return 0 if all(held for _, held in verdicts) else 1


def install(given: argparse.Namespace, name: str) -> Path | None:
    """Return the folder of a peer's commands; None, and why, when it cannot be had."""
    folder: Path = given.peers / name
    if not (folder / "bin" / "pip").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    done = subprocess.run(
        [folder / "bin" / "pip", "install", "-q", PEERS[name]], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{PEERS[name]} could not be installed: {done.stderr.strip().splitlines()[-1]}")
        return None
    return folder / "bin"


def custodian(given: argparse.Namespace, folder: Path) -> list[str | Path]:
    """The command of Cloud Custodian with policies for the same ten checks (``peers/custodian.yml``)."""
    commands = install(given, "c7n")
    return [] if commands is None else [
        commands / "custodian", "run", "-s", folder / "out", "-r", "us-east-1", "-r", "eu-west-1", "--cache-period", "0",
        HERE / "peers" / "custodian.yml",
    ]  # fmt: skip


def cleancloud(given: argparse.Namespace, folder: Path) -> list[str | Path]:
    """The command of CleanCloud with the rules that we have too; its region detection is cached in the home folder."""
    commands = install(given, "cleancloud")
    return [] if commands is None else [
        commands / "cleancloud", "scan", "--provider", "aws", "--all-regions", "--output", "json", "--no-feedback",
        "--output-file", folder / "cleancloud.json", *(part for rule in SKIPPED for part in ("--skip", rule)),
    ]  # fmt: skip


COMMANDS = {"Cloud Custodian": custodian, "CleanCloud": cleancloud}


def verdict(theirs: Series, ours: Series, times: int) -> list[tuple[str, bool]]:
    """The two targets against a peer."""
    own, others = ours.asked["requests"], theirs.asked["requests"]
    return [
        (f"requests: ours {own} <= {theirs.title} {others} / 5 = {others / 5:.0f}", own * 5 <= others),
        (f"wall: ours {ours.wall:.2f} s <= {theirs.title} {theirs.wall:.2f} s / {times} = {theirs.wall / times:.2f} s",
         ours.wall * times <= theirs.wall),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
