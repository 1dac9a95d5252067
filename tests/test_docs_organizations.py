"""docs/organizations.md, and the shares of the recipes: what they show runs, and does what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs_kit import DOCS
from test_docs import NOW, Shell

from pytest_finops.testing import Estate, Fault, ReplayEndpoint

HUB, SHOP, LAB, OLD, VAULT, DATA = (str(n) * 12 for n in range(1, 7))
REGIONS = ("eu-west-1", "us-east-1")
PRODUCTION, SHOPS, SANDBOX = "ou-ab12-prod0001", "ou-ab12-shop0001", "ou-ab12-sand0001"
ACCOUNTS = {
    HUB: ("management", ()), SHOP: ("shop", (PRODUCTION, SHOPS)), LAB: ("lab", (SANDBOX,)), OLD: ("old", ()),
    VAULT: ("vault", (PRODUCTION,)), DATA: ("data", (PRODUCTION,)),
}  # fmt: skip
UNITS = {"r-ab12": {PRODUCTION: "Production", SANDBOX: "Sandbox"}, PRODUCTION: {SHOPS: "Shop"}}


def organization() -> Estate:
    """Six accounts, one suspended and one closed to the hub; all but the first left a volume in one of two regions."""
    estate = Estate(NOW)
    for account, (name, units) in ACCOUNTS.items():
        estate.account(account, name, regions=REGIONS)
        if account != HUB:
            estate.add(
                account, REGIONS[0], "ec2.describe_volumes", VolumeId=f"vol-{name}", Size=80, VolumeType="gp3",
                State="available", CreateTime="-45d", Iops=3000, Throughput=125, Attachments=[],
            )  # fmt: skip
        path = "/".join(("o-1234567890", "r-ab12", *units, account, ""))
        estate.add(
            HUB, "global", "organizations.list_accounts", Id=account, Name=name, Paths=[path],
            State="SUSPENDED" if account == OLD else "ACTIVE",
        )  # fmt: skip
        tags = {"Tags": [{"Key": "team", "Value": name}]}
        estate.put(HUB, "global", "organizations.list_tags_for_resource", tags, {"ResourceId": account})
    estate.denied_roles.add(f"arn:aws:iam::{VAULT}:role/FinOpsAudit")
    estate.put(
        HUB, "global", "organizations.describe_organization", {"Organization": {"MasterAccountId": HUB}}
    )
    estate.put(HUB, "global", "organizations.list_roots", {"Roots": [{"Id": "r-ab12", "Name": "Root"}]})
    for parent in ("r-ab12", PRODUCTION, SHOPS, SANDBOX):
        units_below = [{"Id": key, "Name": name} for key, name in UNITS.get(parent, {}).items()]
        estate.put(
            HUB, "global", "organizations.list_organizational_units_for_parent", {"OrganizationalUnits": units_below},
            {"ParentId": parent},
        )  # fmt: skip
    spent = {"UnblendedCost": {"Amount": "5", "Unit": "USD"}, "UsageQuantity": {"Amount": "3", "Unit": "N/A"}}
    estate.add(
        HUB, "global", "ce.get_cost_and_usage", TimePeriod={"Start": "2026-10-24", "End": "2026-11-23"},
        Groups=[{"Keys": [account, REGIONS[0]], "Metrics": spent} for account in ACCOUNTS],
    )  # fmt: skip
    return estate


class Reader(Shell):
    """Somebody at the shell of the hub, who follows a page."""

    def __init__(self, folder: Path, endpoint: ReplayEndpoint) -> None:
        super().__init__(folder, endpoint.url)
        config = folder / "aws-config"
        config.write_text(
            f"[profile hub]\naws_access_key_id = AKIA{HUB}TEST\naws_secret_access_key = x\nregion = us-east-1\n",
            encoding="utf-8",
        )
        self.environment |= {"FINOPS_CATEGORY": "storage"}

    def does(self, line: str) -> tuple[int, str, dict[str, Any]]:
        """Run one line; return status, output and the audit, if there is one."""
        if line.startswith("export "):
            name, value = line.removeprefix("export ").split("=")
            self.environment[name] = value
            return 0, "", {}
        audit = self.folder / "told.json"
        audit.unlink(missing_ok=True)
        asked = line.startswith("pytest ") and "--finops-dry-run" not in line
        done = self.run(line + (" --finops-report json:told.json" if asked else ""))
        told = json.loads(audit.read_text(encoding="utf-8")) if audit.exists() else {}
        return done.returncode, done.stdout + done.stderr, told


@pytest.fixture
def endpoint() -> Iterator[ReplayEndpoint]:
    with ReplayEndpoint(organization()) as started:
        yield started


def steps(page: Path) -> Iterator[str]:
    """Yield what a reader types, in order: lines for the shell, and whole files."""
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
        assert language in ("bash", "yaml")
        yield from text.splitlines() if language == "bash" else [text]


def test_the_page_of_organizations_runs_from_top_to_bottom(tmp_path: Path, endpoint: ReplayEndpoint) -> None:
    reader = Reader(tmp_path, endpoint)
    done: list[tuple[str, int, str, dict[str, Any]]] = []
    for step in steps(DOCS / "organizations.md"):
        if step.startswith("# finops.yaml\n"):
            (tmp_path / "finops.yaml").write_text(step, encoding="utf-8")
            continue
        if "--finops-resume" in step:
            # What a proxy answers between two attempts.
            endpoint.set_faults(Fault("html", "ec2", "describe_volumes", account_id=LAB))
            _, output, _ = reader.does(step.replace(" --finops-resume", ""))
            assert output.splitlines()[-1].endswith("--finops-resume asks only for what is missing")
            endpoint.set_faults()
        before = len(endpoint.requests)
        done.append((step, *reader.does(step)))
        listed = [r.account_id for r in endpoint.requests[before:] if r.operation == "describe_volumes"]

    _, doctor, dry, every, some, pruned, resumed = done
    assert doctor[1] == 7
    assert "(the account cannot be entered)" in doctor[2]
    assert dry[1] == 7
    assert f"could not look: sts.assume_role in {VAULT}: AccessDenied" in dry[2]
    # Findings break the gate; that one account is blind as well is told.
    assert every[1] == 1, every[2]
    assert {f["account_name"]: f["organizational_unit"] for f in every[3]["findings"]} == {
        "shop": "Production/Shop", "lab": "Sandbox", "data": "Production",
    }  # fmt: skip
    assert [(one["account_id"], one["operation"]) for one in every[3]["blind_spots"]] == [
        (VAULT, "assume_role")
    ]
    assert every[3]["complete"] is False
    assert "SUSPENDED" in every[2]
    assert {account["name"] for account in some[3]["accounts"]} == {"shop", "lab", "data"}
    assert some[3]["complete"] is True
    reasons = {row["reason"].split(":")[0] for row in pruned[3]["checks"] if row["outcome"] == "skipped"}
    assert reasons == {"no spend in the last 30 days (--finops-prune spend)", "expected blind spot"}
    assert pruned[3]["complete"] is True
    assert pruned[3]["api_usage"]["actual_cost"] == "0.01"
    assert "resumed: going on from the run that started at " in resumed[2]
    assert resumed[3]["complete"] is True
    # What was answered is not asked again.
    assert set(listed) == {LAB}
    assert {f["id"] for f in resumed[3]["findings"]} == {f["id"] for f in every[3]["findings"]}


def test_the_shares_of_the_recipes_merge_to_one_audit(tmp_path: Path, endpoint: ReplayEndpoint) -> None:
    reader = Reader(tmp_path, endpoint)
    page = (DOCS / "recipes" / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    ((?:export|finops-playbook (?:scan|merge)) .+)$", page, re.M)
    assert len(lines) == 4

    results = [reader.does(line) for line in lines]

    status, output, _ = results[-1]
    assert status == 1, output
    parts = [json.loads((tmp_path / name).read_text(encoding="utf-8")) for name in ("1.json", "2.json")]
    whole = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    found = [{f["resource_id"] for f in one["findings"]} for one in (*parts, whole)]
    assert all(found)
    assert found[2] == found[0] | found[1] == {"vol-shop", "vol-lab", "vol-data"}
    assert (tmp_path / "report.html").exists()
