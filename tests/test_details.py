"""Details are asked only for what can become a finding, and for all that nobody could look into."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from finops_kit import NOW, audit, comparable, environment, write_checks
from pytest_finops.fixtures import elb

import pytest_finops as finops
from pytest_finops import plan
from pytest_finops.collector.store import Cell, Points, Store, series_key
from pytest_finops.declare import Declaration, Inventory, Metric, declaration_of
from pytest_finops.details import Details
from pytest_finops.errors import DeclarationError
from pytest_finops.plan import Check
from pytest_finops.resources import Target
from pytest_finops.rule_files import load
from pytest_finops.rules import Rule
from pytest_finops.targets import TargetSet
from pytest_finops.testing import Estate, Fault, ReplayEndpoint

CHECKS = Path(__file__).parent.parent / "checks"
ACCOUNTS = ("111111111111", "222222222222")
REGION = "us-east-1"
OFFLINE = ("--finops-prices=offline", f"--finops-now={NOW.isoformat()}", "--finops-min-savings=0")
SHIPPED = ("--pyargs", "pytest_finops.checks", "-k", "elb_idle or ebs_old_snapshots")
LIVE = (
    "--finops-profile=env", *(f"--finops-role=arn:aws:iam::{account}:role/audit" for account in ACCOUNTS), *OFFLINE,
)  # fmt: skip
DETAILS = (
    "describe_target_health", "describe_tags", "describe_instance_health", "describe_snapshot_attribute",
)  # fmt: skip

# --- an estate ----------------------------------------------------------------------------------------------------------

#: Load balancers: kind, traffic an hour (None = no datapoints at all), age in days.
BALANCERS = {
    "busy": ("app", 900.0, 300), "few": ("app", 0.25, 300), "quiet": ("app", 0.0, 300), "young": ("app", 0.0, 9),
    "flows": ("net", 5.0, 300), "mute": ("net", None, 300),
}  # fmt: skip
CLASSICS = {"worked": 3.0, "left": 0.0}
METRICS = {
    "app": ("AWS/ApplicationELB", ("RequestCount", "ProcessedBytes", "ActiveConnectionCount")),
    "net": ("AWS/NetworkELB", ("NewFlowCount", "ProcessedBytes")),
}


def arn(account: str, name: str) -> str:
    kind = BALANCERS[name][0]
    return f"arn:aws:elasticloadbalancing:{REGION}:{account}:loadbalancer/{kind}/{name}/50dc6c495c0c9188"


def group_arn(account: str, name: str) -> str:
    return f"arn:aws:elasticloadbalancing:{REGION}:{account}:targetgroup/{name}/73e2d6bc24d8a067"


def estate() -> Estate:
    made = Estate(NOW)
    for number, account in enumerate(ACCOUNTS):
        made.account(
            account, f"team-{number}", regions=(REGION,), access_key=("AKIAMAIN", "AKIAOTHER")[number]
        )
        for name, (kind, traffic, age) in BALANCERS.items():
            fill_balancer(made, account, name, kind, traffic, age)
        for name, worked in CLASSICS.items():
            made.add(
                account, REGION, "elb.describe_load_balancers", LoadBalancerName=name, CreatedTime="-900d",
                Scheme="internal", AvailabilityZones=["us-east-1a"], Instances=[{"InstanceId": f"i-{name}"}],
            )  # fmt: skip
            made.add(
                account,
                REGION,
                "elb.describe_tags",
                LoadBalancerName=name,
                Tags=[{"Key": "team", "Value": name}],
            )
            made.put(
                account, REGION, "elb.describe_instance_health",
                {"InstanceStates": [{"InstanceId": f"i-{name}", "State": "InService"}]}, {"LoadBalancerName": name},
            )  # fmt: skip
            for metric in ("RequestCount", "EstimatedProcessedBytes"):
                made.metric(account, REGION, "AWS/ELB", metric, {"LoadBalancerName": name}, "Sum", worked)
        fill_snapshots(made, account)
    return made


def fill_balancer(made: Estate, account: str, name: str, kind: str, traffic: float | None, age: int) -> None:
    made.add(
        account, REGION, "elbv2.describe_load_balancers", LoadBalancerArn=arn(account, name), LoadBalancerName=name,
        Type={"app": "application", "net": "network"}[kind], CreatedTime=f"-{age}d", Scheme="internal",
        State={"Code": "active"}, IpAddressType="ipv4", AvailabilityZones=[{"ZoneName": "us-east-1a"}],
    )  # fmt: skip
    made.add(
        account, REGION, "elbv2.describe_tags", ResourceArn=arn(account, name), Tags=[{"Key": "team", "Value": name}]
    )  # fmt: skip
    made.add(
        account, REGION, "elbv2.describe_target_groups", TargetGroupArn=group_arn(account, name), TargetGroupName=name,
        TargetType="ip", LoadBalancerArns=[arn(account, name)],
    )  # fmt: skip
    health = [{"Target": {"Id": "10.0.0.5", "Port": 443}, "TargetHealth": {"State": "healthy"}}]
    made.put(
        account, REGION, "elbv2.describe_target_health", {"TargetHealthDescriptions": health},
        {"TargetGroupArn": group_arn(account, name)},
    )  # fmt: skip
    namespace, names = METRICS[kind]
    for metric in names if traffic is not None else ():
        made.metric(
            account, REGION, namespace, metric, {"LoadBalancer": arn(account, name).partition(":loadbalancer/")[2]},
            "Sum", traffic,
        )  # fmt: skip


def fill_snapshots(made: Estate, account: str) -> None:
    """Put in an old snapshot that is left, one that an AMI needs, the last of a volume, and a fresh one."""
    volumes = {
        "snap-left": "vol-gone",
        "snap-ami": "vol-gone-2",
        "snap-last": "vol-1",
        "snap-fresh": "vol-gone-3",
    }
    for name, volume in volumes.items():
        made.add(
            account, REGION, "ec2.describe_snapshots", SnapshotId=name, VolumeId=volume, VolumeSize=10, OwnerId=account,
            FullSnapshotSizeInBytes=2**30, StartTime="-9d" if name == "snap-fresh" else "-200d", State="completed",
            StorageTier="standard", Tags=[],
        )  # fmt: skip
        made.put(
            account, REGION, "ec2.describe_snapshot_attribute", {"SnapshotId": name, "CreateVolumePermissions": []},
            {"SnapshotId": name, "Attribute": "createVolumePermission"},
        )  # fmt: skip
    made.add(
        account, REGION, "ec2.describe_volumes", VolumeId="vol-1", Size=10, VolumeType="gp3", State="in-use",
        CreateTime="-300d", Iops=3000, Throughput=125, Attachments=[{"InstanceId": "i-1"}],
    )  # fmt: skip
    made.add(
        account, REGION, "ec2.describe_images", ImageId="ami-1", OwnerId=account, State="available", Name="one",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-ami"}}],
    )  # fmt: skip
    for operation in ("ec2.describe_launch_template_versions", "autoscaling.describe_launch_configurations"):
        made.put(account, REGION, operation, {})


def asked(endpoint: ReplayEndpoint, account: str = ACCOUNTS[0]) -> dict[str, list[str]]:
    """Return what each detail was asked for, by its operation (tags by service too); names sorted."""
    found: dict[str, list[str]] = {}
    for request in endpoint.requests:
        if request.operation not in DETAILS or request.account_id != account:
            continue
        key = f"{request.service}.tags" if request.operation == "describe_tags" else request.operation
        params: Mapping[str, Any] = request.params
        ids = (
            params.get("ResourceArns") or params.get("LoadBalancerNames")
            or [params.get("TargetGroupArn") or params.get("LoadBalancerName") or params.get("SnapshotId")]
        )  # fmt: skip
        found.setdefault(key, []).extend(one.split("/")[-2] if "/" in one else one for one in ids)
    return {key: sorted(ids) for key, ids in found.items()}


#: What is not known to be clean beforehand: no traffic, no datapoints, no reason to be kept.
NEEDED = {
    "describe_target_health": ["mute", "quiet", "young"],
    "elbv2.tags": ["mute", "quiet", "young"],
    "describe_instance_health": ["left"],
    "elb.tags": ["left"],
    "describe_snapshot_attribute": ["snap-left"],
}
FOUND = ["left", "quiet", "snap-left"]


def found(document: Mapping[str, Any], account: str = ACCOUNTS[0]) -> list[str]:
    return sorted(
        f["resource_id"].split("/")[-2] if "/" in f["resource_id"] else f["resource_id"]
        for f in document["findings"]
        if f["account_id"] == account
    )


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A live run, and the folder of the inventory that it saved."""
    folder = tmp_path_factory.mktemp("reference")
    with ReplayEndpoint(estate()) as endpoint:
        status, output, document = audit(
            folder, *LIVE, "--finops-save-inventory=saved", *SHIPPED, env=environment(endpoint.url, folder)
        )
        assert (status, document["complete"]) == (1, True), output
        for account in ACCOUNTS:
            assert asked(endpoint, account) == NEEDED
            assert found(document, account) == FOUND
    return folder, document


# --- every way of running ---------------------------------------------------------------------------------------------


def test_what_was_not_asked_is_clean_and_what_was_is_in_the_finding(
    reference: tuple[Path, dict[str, Any]],
) -> None:
    _, document = reference
    rows = {(row["rule_id"], row["account_id"]): row for row in document["checks"]}
    for account in ACCOUNTS:
        row = rows["elb-idle", account]
        reasons = {entry["resource_id"].split("/")[-2]: entry["reason"] for entry in row["not_evaluated"]}
        assert set(reasons) == {"young", "mute"}
        assert row["evaluated"] == len(BALANCERS) + len(CLASSICS) - 2
        assert rows["ebs-old-snapshots", account]["evaluated"] == 4
    assert document["blind_spots"] == []
    for finding in document["findings"]:
        if finding["rule_id"] == "elb-idle":
            assert finding["current_value"].endswith("1 of 1 targets healthy")
            assert finding["tags"] in ({"team": "quiet"}, {"team": "left"})


@pytest.mark.parametrize("args", [("-n", "2"), ("--finops-group=account",)])
def test_every_way_of_running_asks_and_says_the_same(
    tmp_path: Path, reference: tuple[Path, dict[str, Any]], args: Sequence[str]
) -> None:
    with ReplayEndpoint(estate()) as endpoint:
        _, output, document = audit(tmp_path, *LIVE, *args, *SHIPPED, env=environment(endpoint.url, tmp_path))
        assert asked(endpoint) == NEEDED, output
    assert comparable(document) == comparable(reference[1])


@pytest.mark.parametrize("args", [(), ("-n", "2", "--finops-group=account")])
def test_a_replay_says_the_same(
    tmp_path: Path, reference: tuple[Path, dict[str, Any]], args: Sequence[str]
) -> None:
    folder, document = reference
    _, output, replayed = audit(
        tmp_path, f"--finops-inventory={folder / 'saved'}", *OFFLINE, *args, *SHIPPED,
        env=environment("http://127.0.0.1:9", tmp_path),
    )  # fmt: skip
    assert comparable(replayed, replayed=True) == comparable(document, replayed=True), output


def test_shards_ask_and_say_the_same(tmp_path: Path, reference: tuple[Path, dict[str, Any]]) -> None:
    for number in (1, 2):
        with ReplayEndpoint(estate()) as endpoint:
            _, output, document = audit(
                tmp_path,
                *LIVE,
                f"--finops-shard={number}/2",
                *SHIPPED,
                env=environment(endpoint.url, tmp_path),
            )
            mine = [account for account in ACCOUNTS if asked(endpoint, account)]
            assert [asked(endpoint, account) for account in mine] == [NEEDED], output
        (tmp_path / f"shard-{number}.json").write_text(json.dumps(document), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "pytest_finops.cli.main", "merge", "shard-1.json", "shard-2.json", "--output", "json",
         "--file", "merged.json"],
        cwd=tmp_path, capture_output=True, check=False, env={**os.environ, "PYTHONUTF8": "1"}, timeout=60,
    )  # fmt: skip
    merged = json.loads((tmp_path / "merged.json").read_text(encoding="utf-8"))
    for key in ("findings", "checks", "rules", "blind_spots", "total_monthly_savings"):
        assert merged[key] == reference[1][key], key


def test_a_run_that_was_killed_among_the_last_details_goes_on_there(
    tmp_path: Path, reference: tuple[Path, dict[str, Any]]
) -> None:
    with ReplayEndpoint(estate(), faults=[Fault("hang", "elbv2", "describe_target_health")]) as endpoint:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *LIVE, *SHIPPED], cwd=tmp_path, env=environment(endpoint.url, tmp_path),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while endpoint.count("elbv2", "describe_target_health") < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        endpoint.set_faults()
        paid = endpoint.count("cloudwatch")
        assert paid > 0
        _, output, document = audit(
            tmp_path, *LIVE, "--finops-resume", *SHIPPED, env=environment(endpoint.url, tmp_path)
        )
        assert endpoint.count("cloudwatch") == paid, output
    assert document["findings"] == reference[1]["findings"]
    assert document["checks"] == reference[1]["checks"]


def test_a_dry_run_tells_the_most_and_buys_nothing(tmp_path: Path) -> None:
    with ReplayEndpoint(estate()) as endpoint:
        status, output, document = audit(
            tmp_path, *LIVE, "--finops-dry-run", *SHIPPED, env=environment(endpoint.url, tmp_path)
        )
        assert status == 0, output
        assert endpoint.count("cloudwatch") == 0
        assert asked(endpoint) == {"describe_snapshot_attribute": ["snap-left"]}
    said = {(c["service"], c["operation"]): (c["calls"], c["bound"]) for c in document["calls"]}
    assert said["elbv2", "describe_target_health"] == (12, "most")
    assert said["elbv2", "describe_tags"] == (2, "most")
    assert said["elb", "describe_instance_health"] == (4, "most")
    assert said["ec2", "describe_snapshot_attribute"] == (2, "exact")
    assert document["predicted"]["exact"] is True


# --- blindness never reduces what is looked at --------------------------------------------------------------------------

OLD_ENOUGH = ["snap-ami", "snap-last", "snap-left"]


@pytest.mark.parametrize(
    ("faults", "expected", "outcomes"),
    [
        # Launch configurations are an enrichment, without which snapshots are judged all the same.
        (
            (Fault("error", "cloudwatch"), Fault("error", "autoscaling")),
            {
                "describe_target_health": [*BALANCERS], "describe_instance_health": ["left", "worked"],
                "describe_snapshot_attribute": OLD_ENOUGH,
            },
            {"elb-idle": "error", "ebs-old-snapshots": "failed"},
        ),
        (
            (Fault("error", "elbv2", "describe_load_balancers"), Fault("error", "ec2", "describe_images")),
            {"describe_target_health": [*BALANCERS], "describe_snapshot_attribute": OLD_ENOUGH},
            {"elb-idle": "error", "ebs-old-snapshots": "error"},
        ),
    ],
    ids=["metrics", "listings"],
)  # fmt: skip
def test_what_could_not_be_looked_at_narrows_nothing(
    tmp_path: Path, faults: Sequence[Fault], expected: Mapping[str, list[str]], outcomes: Mapping[str, str]
) -> None:
    here = [dataclasses.replace(fault, account_id=ACCOUNTS[0]) for fault in faults]
    with ReplayEndpoint(estate(), faults=here) as endpoint:
        _, output, document = audit(tmp_path, *LIVE, *SHIPPED, env=environment(endpoint.url, tmp_path))
        for operation, names in expected.items():
            assert asked(endpoint).get(operation) == sorted(names), output
        assert asked(endpoint, ACCOUNTS[1]) == NEEDED
    rows = {r["rule_id"]: r["outcome"] for r in document["checks"] if r["account_id"] == ACCOUNTS[0]}
    assert rows == outcomes, output


def test_thresholds_of_a_rule_decide_what_may_become_a_finding(tmp_path: Path) -> None:
    (tmp_path / "finops.yaml").write_text(
        "rules: {elb-idle: {requests: 100, processed_bytes: 100, connections: 100}}\n"
    )
    with ReplayEndpoint(estate()) as endpoint:
        _, output, document = audit(tmp_path, *LIVE, *SHIPPED, env=environment(endpoint.url, tmp_path))
        # A quarter of a request an hour over 14 days: 84.
        assert asked(endpoint).get("describe_target_health") == ["few", "mute", "quiet", "young"], output
    assert found(document) == ["few", "left", "quiet", "snap-left"]
    assert all(
        f["current_value"].endswith("1 of 1 targets healthy")
        for f in document["findings"]
        if f["rule_id"] == "elb-idle"
    )


# --- checks of a team -------------------------------------------------------------------------------------------------

ALONE = """
@finops.rule("ebs-team")
def test_team(target_groups, target_health, findings):
    for group in target_groups:
        states = [row.state for row in target_health.by("id").get(group.id, ())]
        findings.report(group, current=f"{group.name}: {states}")
"""
FILTER = """
import pytest


@pytest.fixture
def amis(amis):
    return []
"""


def test_a_check_that_names_no_metric_has_every_row_and_pays_nothing(tmp_path: Path) -> None:
    write_checks(tmp_path, ALONE)
    with ReplayEndpoint(estate()) as endpoint:
        _, output, document = audit(
            tmp_path, *LIVE, "checks", "-k", "team", env=environment(endpoint.url, tmp_path)
        )
        assert endpoint.count("cloudwatch") == 0, output
    mine = [f["current_value"] for f in document["findings"] if f["account_id"] == ACCOUNTS[0]]
    assert sorted(mine) == sorted(f"{name}: ['healthy']" for name in BALANCERS)


def test_two_checks_have_the_rows_that_either_needs(tmp_path: Path) -> None:
    write_checks(tmp_path, ALONE)
    with ReplayEndpoint(estate()) as endpoint:
        _, output, document = audit(
            tmp_path, *LIVE, "--pyargs", "pytest_finops.checks", "checks", "-k", "team or elb_idle",
            env=environment(endpoint.url, tmp_path),
        )  # fmt: skip
        assert asked(endpoint).get("describe_target_health") == sorted(BALANCERS), output
        assert asked(endpoint).get("elbv2.tags") == ["mute", "quiet", "young"]
    mine = [f for f in document["findings"] if f["account_id"] == ACCOUNTS[0] and f["rule_id"] == "ebs-team"]
    assert len(mine) == len(BALANCERS)


def test_a_filter_of_a_team_is_no_reason_to_ask_less(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(FILTER)
    (tmp_path / "test_copy.py").write_text((CHECKS / "storage" / "test_ebs.py").read_text().replace("from ..", "from pytest_finops.checks"))  # fmt: skip
    (tmp_path / "ebs.yaml").write_text((CHECKS / "storage" / "ebs.yaml").read_text())
    with ReplayEndpoint(estate()) as endpoint:
        _, output, document = audit(
            tmp_path, *LIVE, "test_copy.py", "-k", "old_snapshots", env=environment(endpoint.url, tmp_path)
        )
        assert asked(endpoint).get("describe_snapshot_attribute") == OLD_ENOUGH, output
    assert found(document) == ["snap-ami", "snap-left"], output


@pytest.mark.parametrize("name", ["ebs_volumse", "tmp_path"])
def test_a_name_that_declares_nothing_is_refused(tmp_path: Path, name: str) -> None:
    write_checks(
        tmp_path,
        f"""
@finops.inventory("ec2", "describe_snapshot_attribute", "@", per="ebs_snapshots", param="SnapshotId",
                  params={{"Attribute": "createVolumePermission"}}, where=lambda snapshot, {name}: True)
def detail(page): ...


@finops.rule("ebs-team")
def test_team(ebs_snapshots, detail, findings): ...
""",
    )
    status, output, _ = audit(
        tmp_path, *LIVE, "checks", "-k", "team", env=environment("http://127.0.0.1:9", tmp_path)
    )
    assert status == 4, output
    assert f"inventory detail: where= names '{name}', which is no inventory and no metric" in output
    assert "did you mean ebs_volumes?" in output or name == "tmp_path", output


# --- plans --------------------------------------------------------------------------------------------------------------

RULE = next(rule for rule in load(CHECKS / "network" / "elb.yaml") if rule.id == "elb-idle")
HERE = Target(ACCOUNTS[0], REGION, "main", now=NOW)


def declared(fixture: Any) -> Any:
    return declaration_of(fixture._get_wrapped_function())


def listing(name: str, operation: str = "describe_volumes", **more: Any) -> Inventory:
    def body(page: finops.Page) -> None:
        """Rows."""

    body.__name__ = name
    service = "s3" if "bucket" in operation else "ec2"
    made: Inventory = declared(finops.inventory(service, operation, "@", witness="", **more)(body))
    return made


def check(*declarations: Declaration, rule: Rule = RULE) -> Check:
    inventories = tuple(one for one in declarations if isinstance(one, Inventory))
    metrics = tuple(one for one in declarations if isinstance(one, Metric))
    return Check(rule, inventories[:1], inventories, metrics, TargetSet("all", (HERE,)))


def built(*declarations: Declaration) -> plan.Plan:
    return plan.build([check(*declarations)], [HERE], HERE.account_id)


READS = declared(
    finops.metric("AWS/EBS", "VolumeReadOps", of="volumes", dimensions={"VolumeId": "id"})(lambda: None)
)
READS = dataclasses.replace(READS, name="reads")


def test_names_that_go_in_a_circle_are_refused() -> None:
    first = listing("first", per="volumes", param="VolumeId", where=lambda one, second: True)
    second = listing("second", per="first", param="VolumeId")
    with pytest.raises(DeclarationError, match=r"inventory first: .* circle \(first -> second -> first\)"):
        built(listing("volumes"), first, second)
    own = listing("own", per="volumes", param="VolumeId", where=lambda one, own: True)
    with pytest.raises(DeclarationError, match=r"own -> own"):
        built(listing("volumes"), own)


def test_a_billable_call_waits_for_nothing_that_is_paid() -> None:
    paid = listing(
        "paid", "get_bucket_location", per="volumes", param="Bucket", where=lambda one, reads: True
    )
    with pytest.raises(DeclarationError, match=r"inventory paid: .* may not follow a metric \(reads\)"):
        built(listing("volumes"), paid, READS)
    late = listing("late", per="volumes", param="VolumeId", where=lambda one, reads: True)
    after = listing("after", "get_bucket_location", per="late", param="Bucket")
    with pytest.raises(DeclarationError, match=r"inventory after: "):
        built(listing("volumes"), late, after, READS)


def test_no_metric_is_of_what_comes_after_the_metrics() -> None:
    late = listing("late", per="volumes", param="VolumeId", where=lambda one, reads: True)
    of_late = dataclasses.replace(READS, name="of_late", of="late")
    with pytest.raises(DeclarationError, match=r"metric of_late: of='late' is asked after the metrics"):
        built(listing("volumes"), late, READS, of_late)


def test_what_is_paid_for_decides_what_comes_last() -> None:
    volumes, paid = listing("volumes"), listing("paid", "get_bucket_location", per="volumes", param="Bucket")
    behind = listing("behind", per="paid", param="VolumeId")
    early = listing("early", per="volumes", param="VolumeId", where=lambda one, others, rule: True)
    late = listing("late", per="volumes", param="VolumeId", where=lambda one, reads: True)
    later = listing("later", per="volumes", param="VolumeId", where=lambda one, late: True)
    others = listing("others")
    made = built(volumes, paid, behind, early, late, later, others, READS)
    assert made.late == {behind, late, later}
    assert made.needs[early, HERE] == [(volumes, HERE), (others, HERE)]
    # A name that the check does not declare is waited for by nobody.
    assert built(volumes, late).late == frozenset()


def test_declarations_that_cannot_be_right() -> None:
    with pytest.raises(DeclarationError, match=r"where= chooses among the resources of per="):
        listing("volumes", where=lambda one: True)
    with pytest.raises(DeclarationError, match=r"where= of a metric sees its resource alone"):
        finops.metric("A", "B", of="volumes", dimensions={}, where=lambda one, others: True)(lambda: None)
    factor = listing("detail", per="volumes", param="VolumeId", where=lambda one, factor=2: True)
    assert factor.sees == ()


@pytest.mark.parametrize(("days", "asked_for"), [((7,), True), ((30,), False), ((30, 7), True)])
def test_each_rule_looks_back_by_itself(days: tuple[int, ...], asked_for: bool) -> None:
    names = ("alb_requests", "alb_bytes", "alb_connections", "nlb_flows", "nlb_bytes", "gwlb_flows")
    metrics = [declared(getattr(elb, name)) for name in names]
    balancers, tags = declared(elb.load_balancers), declared(elb.load_balancer_tags)
    one = elb.LoadBalancer(
        id=arn(ACCOUNTS[0], "quiet"), target=HERE, kind="application", state="active", created=NOW - timedelta(days=99)
    )  # fmt: skip
    checks = [
        check(balancers, tags, *metrics, rule=dataclasses.replace(RULE, id=f"elb-{n}", period_days=n))
        for n in days
    ]
    made = plan.build(checks, [HERE], HERE.account_id)
    store = Store()
    store.window = (NOW - timedelta(days=30), NOW)
    store.cells[balancers, HERE] = Cell(rows=[one], done=True)
    for metric in metrics:
        # Traffic once, twenty days ago.
        store.series[HERE, series_key(metric, one, "Sum")] = Points.of([NOW - timedelta(days=20)], [5.0])

    assert Details(made, store, None).chooser(tags, HERE)(one) is asked_for


# --- the findings are those of a run that asks for everything -----------------------------------------------------------

EVERYTHING = """
import pytest_finops.details

pytest_finops.details._may_need = lambda where, parent, arguments: True
"""


def test_the_sample_estate_has_the_same_findings_as_if_everything_were_asked(tmp_path: Path) -> None:
    made = []
    for conftest in ("", EVERYTHING):
        (tmp_path / "conftest.py").write_text(conftest)
        env = environment("http://127.0.0.1:9", tmp_path)
        made.append(
            audit(tmp_path, "--finops-demo", *OFFLINE, "--pyargs", "pytest_finops.checks", env=env)[2]
        )
    few, everything = made
    assert len(few["findings"]) > 50
    assert json.dumps(few["findings"]) == json.dumps(everything["findings"])
    assert few["checks"] == everything["checks"]
    sent = [sum(call["calls"] for call in one["api_usage"]["calls"]) for one in made]
    assert sent[0] < sent[1]
