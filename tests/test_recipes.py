"""The recipes: templates and jobs that parse, grant what the tool derives and nothing more, and call what there is."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
import click
import pytest
import yaml
from botocore.validate import validate_parameters

from pytest_finops.cli.main import main as command_line

RECIPES = Path(__file__).parent.parent / "docs" / "recipes"
HUB = "arn:aws:iam::111122223333:role/hub"
PSEUDO = {"AWS::Partition": "aws", "AWS::AccountId": "111122223333"}
GONE = object()


class Template(yaml.SafeLoader):
    """Reads the short forms of CloudFormation's functions."""


def _function(loader: Template, suffix: str, node: yaml.Node) -> dict[str, Any]:
    read = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: lambda n: loader.construct_sequence(n, deep=True),
        yaml.MappingNode: lambda n: loader.construct_mapping(n, deep=True),
    }[type(node)]  # fmt: skip
    return {suffix: read(node)}  # type: ignore[no-untyped-call]


Template.add_multi_constructor("!", _function)


class Stack:
    """A template with its parameters: enough of CloudFormation for two roles."""

    def __init__(self, name: str, **parameters: str) -> None:
        self.template = yaml.load((RECIPES / name).read_text(encoding="utf-8"), Template)
        assert self.template["AWSTemplateFormatVersion"] == "2010-09-09"
        defaults = {key: value.get("Default") for key, value in self.template["Parameters"].items()}
        assert set(parameters) <= set(defaults)
        self.values = {**PSEUDO, **defaults, **parameters}
        assert None not in self.values.values(), "a parameter without default is not given"
        self.conditions = {
            name: self.resolve(condition) for name, condition in self.template.get("Conditions", {}).items()
        }
        self.role = self.resolve(self.template["Resources"]["Role"]["Properties"])

    def resolve(self, node: Any) -> Any:
        if isinstance(node, list):
            return [one for one in map(self.resolve, node) if one is not GONE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, value),) = node.items()
            if name == "Ref":
                return GONE if value == "AWS::NoValue" else self.values[value]
            if name == "Sub":
                return re.sub(r"\$\{([^!}]+)\}", lambda found: str(self.values[found[1]]), value)
            if name == "If":
                return self.resolve(value[1] if self.conditions[value[0]] else value[2])
            if name == "Equals":
                return self.resolve(value[0]) == self.resolve(value[1])
            if name == "Not":
                return not self.resolve(value[0])
        return {key: self.resolve(value) for key, value in node.items()}

    def policy(self, name: str) -> dict[str, Any]:
        (found,) = [one["PolicyDocument"] for one in self.role["Policies"] if one["PolicyName"] == name]
        document: dict[str, Any] = found
        return document


def member() -> Stack:
    return Stack("member-role.yaml", HubRoleArn=HUB, ExternalId="a-long-secret")


def derived(part: str, *more: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_finops.cli.main", "iam-policy", "--part", part, *more,
         "--", "--pyargs", "pytest_finops.checks"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_member_grants_what_the_tool_derives() -> None:
    policy = derived("member")
    assert member().policy("finops-audit") == policy
    everything = {action for one in policy["Statement"] for action in one["Action"]}
    assert "ec2:DescribeRegions" in everything
    assert "pricing:GetProducts" not in everything
    assert {action for one in derived("account")["Statement"] for action in one["Action"]} == {
        *everything, "pricing:GetProducts",
    }  # fmt: skip


def test_the_hub_grants_what_the_tool_derives() -> None:
    stack = Stack("hub-role.yaml", MemberRoleName="Other", ResultsBucket="results")
    policy = derived("hub", "--member-role", "Other")
    assert stack.policy("finops-audit") == policy
    enter = policy["Statement"][-1]
    assert (enter["Action"], enter["Resource"]) == (["sts:AssumeRole"], "arn:aws:iam::*:role/Other")
    assert enter["Condition"] == {"StringEquals": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}}


@pytest.mark.parametrize(
    "stack", [member(), Stack("hub-role.yaml", ResultsBucket="results")], ids=["member", "hub"]
)
def test_audits_only_read(stack: Stack) -> None:
    for statement in stack.policy("finops-audit")["Statement"]:
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            assert re.fullmatch(r"[a-z0-9-]+:(Describe|Get|List)\w+|sts:AssumeRole", action)


def test_only_the_hub_with_its_secret_enters_a_member() -> None:
    (trust,) = member().role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": HUB}
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": "a-long-secret"}}
    assert member().role["MaxSessionDuration"] == 3600


def test_the_hub_is_entered_only_from_where_it_is_said() -> None:
    def trusts(**parameters: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = Stack("hub-role.yaml", **parameters).role["AssumeRolePolicyDocument"][
            "Statement"
        ]
        return found

    assert trusts() == []
    (github,) = trusts(
        GitHubProviderArn="arn:aws:iam::1:oidc-provider/x", GitHubSubject="repo:a/b:ref:refs/heads/main"
    )
    assert github["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == (
        "repo:a/b:ref:refs/heads/main"
    )
    (batch,) = trusts(ResultsBucket="results")
    assert batch["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert batch["Condition"] == {"StringEquals": {"aws:SourceAccount": "111122223333"}}
    (write, listing) = Stack("hub-role.yaml", ResultsBucket="results").policy("finops-results")["Statement"]
    assert write["Resource"] == "arn:aws:s3:::results/finops/*"
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "finops/*"}}
    assert [one["PolicyName"] for one in Stack("hub-role.yaml").role["Policies"]] == ["finops-audit"]


# --- jobs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("batch-audit.json", "RegisterJobDefinition"),
        ("batch-audit-submit.json", "SubmitJob"),
        ("batch-merge-submit.json", "SubmitJob"),
    ],
)
def test_batch_takes_the_jobs(name: str, asked: str) -> None:
    document = json.loads((RECIPES / name).read_text(encoding="utf-8"))
    model = botocore.session.Session().get_service_model("batch").operation_model(asked)
    validate_parameters(document, model.input_shape)


def test_the_array_is_merged_under_one_clock() -> None:
    audit, merge = (
        json.loads((RECIPES / f"batch-{name}-submit.json").read_text(encoding="utf-8"))
        for name in ("audit", "merge")
    )
    job = json.loads((RECIPES / "batch-audit.json").read_text(encoding="utf-8"))
    assert audit["jobDefinition"] == merge["jobDefinition"] == job["jobDefinitionName"]
    given = {one["name"]: one["value"] for one in audit["containerOverrides"]["environment"]}
    shared = {one["name"]: one["value"] for one in merge["containerOverrides"]["environment"]}
    assert given["RUN"] == shared["RUN"]
    assert given["FINOPS_NOW"].endswith("Z")
    assert {"name": "FINOPS_SHARD", "value": "auto"} in job["containerProperties"]["environment"]


def workflow() -> Mapping[str, Any]:
    text = (RECIPES / "github-matrix.yml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)["jobs"]
    return found


def test_the_matrix_is_every_share_of_itself() -> None:
    jobs = workflow()
    shares = jobs["audit"]["strategy"]["matrix"]["shard"]
    assert shares == list(range(1, len(shares) + 1))
    # Without it the first share that fails would take the others with it.
    assert jobs["audit"]["strategy"]["fail-fast"] is False
    assert (jobs["audit"]["needs"], jobs["merge"]["needs"]) == ("clock", "audit")
    commands = "\n".join(step.get("run", "") for step in jobs["audit"]["steps"])
    assert "${{ matrix.shard }}/${{ strategy.job-total }}" in commands
    assert "FINOPS_NOW" in jobs["audit"]["env"]


def test_recipes_use_options_that_exist() -> None:
    seen = 0
    for path in sorted(RECIPES.iterdir()):
        text = path.read_text(encoding="utf-8").replace("\\\n", " ").replace('\\"', '"')
        for line in re.findall(r"finops-playbook ((?:scan|merge|iam-policy)[^\n;|`]*)", text):
            # A value of the workflow may stand where a number stands.
            words = shlex.split(re.sub(r"\$\{\{[^}]*\}\}", "1", line).replace('"', ""))
            command = command_line.commands[words[0]]
            names = {
                name for param in command.params if isinstance(param, click.Option) for name in param.opts
            }
            for word in words[1:]:
                if word == "--":
                    break
                assert not word.startswith("--") or word.partition("=")[0] in names, (
                    f"{path.name}: {word} of {line}"
                )
            seen += 1
    assert seen >= 8
    assert {path.name for path in RECIPES.iterdir()} == set(
        re.findall(r"\]\(([\w.-]+)\)", (RECIPES / "README.md").read_text())
    ) | {"README.md"}
