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


def compare(server: Server, folder: Path, given: argparse.Namespace) -> int:
    """Print every raw figure, then the targets."""
    env = environment(folder, server.url)
    log = folder / "requests.jsonl"
    live = ("--finops-profile", "bench1", "--finops-prices", "offline")
    report = ("--finops-report", f"json:{folder / 'audit.json'}")

    def ours(*more: str) -> tuple[list[Measured], dict[str, Any]]:
        found = []
        run(audit(*live, *report, *more), env, folder)  # warms the server's answers, not this process
        for _ in range(given.runs):
            server.ask("reset")
            found.append(run(audit(*live, *report, *more), env, folder))
            print(f"  {found[-1]}")
        return found, server.ask("report")

    print("pytest-finops, ten checks:")
    runs, asked = ours()
    server.ask(f"log {log}")
    document = json.loads((folder / "audit.json").read_text())
    print(
        f"  {asked['requests']} requests, at most {asked['in_flight']} in flight, {len(document['findings'])} findings, "
        f"complete {document['complete']}"
    )
    print("start-up (the same command with --co: no request):")
    starts = [run(audit(*live, "--co"), env, folder) for _ in range(given.runs)]
    for one in starts:
        print(f"  {one}")
    print("bare fetch of the same requests (whole process; the fetch alone in brackets):")
    bare = []
    for threads in (8, 16, 32, 64):
        for _ in range(given.runs):
            done = run([sys.executable, HERE / "bare_fetch.py", log, server.url, str(threads)], env, folder)
            alone = json.loads(done.output.splitlines()[-1])
            bare.append((threads, done.wall))
            print(f"  {done}  {threads} threads ({alone['wall']:.2f} s wall, {alone['cpu']:.2f} s CPU)")
    # The median of each thread count, then the best of them.
    by_threads = {
        threads: sorted(wall for one, wall in bare if one == threads)[given.runs // 2]
        for threads in (8, 16, 32, 64)
    }
    best = min(by_threads.values())
    waits = [max(0.0, (count - burst * RATE) / (rate * RATE)) for _, count, rate, burst in asked["buckets"]]
    limiter = max(waits, default=0.0)
    print(f"the limiter requires {limiter:.2f} s (rate {RATE} of the published ones)")
    own, start = middle(runs), middle(starts)
    bound = 1.3 * max(best, limiter) + start.wall
    verdicts = [
        (f"ours {own.wall:.2f} s <= 1.3 x max(bare {best:.2f}, limiter {limiter:.2f}) + start-up {start.wall:.2f} "
         f"= {bound:.2f} s", own.wall <= bound)
    ]  # fmt: skip
    if not given.no_peers:
        verdicts += custodian(server, folder, given, own, asked["requests"])
        print(f"pytest-finops, -k {SHARED_WITH_CLEANCLOUD!r}:")
        some, few = ours("-k", SHARED_WITH_CLEANCLOUD)
        print(f"  {few['requests']} requests")
        verdicts += cleancloud(server, folder, given, middle(some), few["requests"])
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


def custodian(
    server: Server, folder: Path, given: argparse.Namespace, own: Measured, requests: int
) -> list[tuple[str, bool]]:
    """Run Cloud Custodian with policies for the same ten checks (``peers/custodian.yml``)."""
    commands = install(given, "c7n")
    if commands is None:
        return []
    print(f"Cloud Custodian ({PEERS['c7n']}), policies for the ten checks:")
    runs = []
    command: list[str | Path] = [
        commands / "custodian", "run", "-s", folder / "out", "-r", "us-east-1", "-r", "eu-west-1", "--cache-period", "0",
        HERE / "peers" / "custodian.yml",
    ]  # fmt: skip
    for turn in range(given.runs + 1):
        server.ask("reset")
        done = run(command, environment(folder, server.url), folder)
        if turn:
            runs.append(done)
            print(f"  {done}")
    asked = server.ask("report")
    print(f"  {asked['requests']} requests, at most {asked['in_flight']} in flight")
    return verdict("Custodian", middle(runs), asked["requests"], own, requests, 6)


def cleancloud(
    server: Server, folder: Path, given: argparse.Namespace, own: Measured, requests: int
) -> list[tuple[str, bool]]:
    """Run CleanCloud with the rules that we have too; its region detection is warm (cached in the home folder)."""
    commands = install(given, "cleancloud")
    if commands is None:
        return []
    print(f"CleanCloud ({PEERS['cleancloud']}), the shared rules:")
    runs = []
    command: list[str | Path] = [
        commands / "cleancloud", "scan", "--provider", "aws", "--all-regions", "--output", "json", "--no-feedback",
        "--output-file", folder / "cleancloud.json", *(part for rule in SKIPPED for part in ("--skip", rule)),
    ]  # fmt: skip
    for turn in range(given.runs + 1):
        server.ask("reset")
        done = run(command, environment(folder, server.url), folder)
        if turn:
            runs.append(done)
            print(f"  {done}")
    asked = server.ask("report")
    print(f"  {asked['requests']} requests, at most {asked['in_flight']} in flight")
    print(f"  {dict(sorted(asked['operations'].items(), key=lambda pair: -pair[1])[:6])}")
    return verdict("CleanCloud", middle(runs), asked["requests"], own, requests, 3)


def verdict(
    peer: str, theirs: Measured, their_requests: int, own: Measured, requests: int, times: int
) -> list[tuple[str, bool]]:
    """The two targets against a peer."""
    return [
        (f"requests: ours {requests} <= {peer} {their_requests} / 5 = {their_requests / 5:.0f}",
         requests * 5 <= their_requests),
        (f"wall: ours {own.wall:.2f} s <= {peer} {theirs.wall:.2f} s / {times} = {theirs.wall / times:.2f} s",
         own.wall * times <= theirs.wall),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
