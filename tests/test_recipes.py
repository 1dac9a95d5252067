"""The recipes: templates and jobs that parse, grant what the tool derives and nothing more, and call what there is."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import click
import pytest
import yaml
from botocore import xform_name
from botocore.validate import validate_parameters

from pytest_finops.cli.main import main as command_line
from pytest_finops.cli.scaffold import WORKFLOW_YML

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


def readme() -> str:
    return (RECIPES / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")


def playbook_lines() -> Iterator[tuple[str, list[str]]]:
    """Every command line of finops-playbook in the recipes: the file, and its words as a shell would pass them."""
    for path in sorted(RECIPES.iterdir()):
        text = path.read_text(encoding="utf-8").replace("\\\n", " ").replace('\\"', '"')
        for line in re.findall(r"finops-playbook ((?:[a-z][\w-]*)[^\n;|`]*)", text):
            # A value of the workflow may stand where a number stands.
            yield path.name, shlex.split(re.sub(r"\$\{\{[^}]*\}\}", "1", line).replace('"', ""))


def aws_lines() -> Iterator[tuple[str, str, dict[str, list[str]]]]:
    """Every command of the AWS command line in the README: service, operation, and the words of each option."""
    for line in re.findall(r"^ +aws (.+)$", readme(), re.M):
        service, operation, *words = shlex.split(line)
        options: dict[str, list[str]] = {}
        for word in words:
            if word.startswith("--"):
                options[word[2:]] = given = []
            else:
                given.append(word)
        yield service, operation, options


def given_to(template: str) -> list[dict[str, str]]:
    """The parameters of each command in the README that deploys ``template``."""
    found = []
    for _, operation, options in aws_lines():
        if [template] == options.get("template-file"):
            found.append(dict(word.split("=", 1) for word in options["parameter-overrides"]))
        elif [f"file://{template}"] == options.get("template-body"):
            assert operation == "create-stack-set"
            pairs = [
                dict(part.split("=", 1) for part in word.split(",", 1)) for word in options["parameters"]
            ]
            found.append({pair["ParameterKey"]: pair["ParameterValue"] for pair in pairs})
    return found


def batch_job() -> dict[str, Any]:
    document = json.loads((RECIPES / "batch-audit.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = document["containerProperties"]
    return found


def test_every_command_line_parses() -> None:
    seen = 0
    for name, words in playbook_lines():
        command = command_line.commands[words[0]]
        names = {
            option for param in command.params if isinstance(param, click.Option) for option in param.opts
        }
        for word in itertools.takewhile(lambda word: word != "--", words[1:]):
            assert not word.startswith("--") or word.partition("=")[0] in names, (name, words)
        if words[0] != "merge":  # whose files come from the shares
            command.make_context(words[0], [word for word in words[1:] if not re.fullmatch(r"[<>&].*", word)])
        seen += 1
    assert seen >= 8
    assert {path.name for path in RECIPES.iterdir()} == set(
        re.findall(r"\]\(([\w.-]+)\)", (RECIPES / "README.md").read_text())
    ) | {"README.md"}


def test_shares_and_policies_name_the_shipped_checks() -> None:
    # Without a path they would be left out wherever there is a checks/.
    wanted = [
        (name, words) for name, words in playbook_lines() if words[0] in ("scan", "iam-policy", "doctor")
    ]
    assert len(wanted) >= 7
    for name, words in wanted:
        assert words[words.index("--") :][1:3] == ["--pyargs", "pytest_finops.checks"], (name, words)


def test_the_commands_of_aws_exist() -> None:
    session = botocore.session.Session()
    for service, operation, options in aws_lines():
        if operation == "deploy":  # the command line's own
            assert set(options) == {"stack-name", "template-file", "capabilities", "parameter-overrides"}
            continue
        model = session.get_service_model(service)
        made = {xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(made[operation]).input_shape
        members = {xform_name(name, "-") for name in shape.members}
        assert set(options) <= members | {"cli-input-json"}, operation


def test_stacks_are_deployed_with_what_their_templates_ask_for() -> None:
    hubs, members = given_to("hub-role.yaml"), given_to("member-role.yaml")
    # The StackSet, which never reaches the management account, and the stack there.
    assert len(members) == 2
    for template, parameters in [
        *(("hub-role.yaml", one) for one in hubs), *(("member-role.yaml", one) for one in members),
    ]:  # fmt: skip
        stack = Stack(template, **parameters)
        assert stack.role["AssumeRolePolicyDocument"]["Statement"], f"nobody can enter: {parameters}"
        assert stack.role["RoleName"]
    for _, operation, options in aws_lines():
        if operation in ("deploy", "create-stack-set"):
            # CloudFormation refuses a template that names its role otherwise.
            assert options["capabilities"] == ["CAPABILITY_NAMED_IAM"]
    (instances,) = [options for _, operation, options in aws_lines() if operation == "create-stack-instances"]
    (made,) = [options for _, operation, options in aws_lines() if operation == "create-stack-set"]
    assert instances["stack-set-name"] == made["stack-set-name"]
    assert len(instances["regions"]) == 1


def test_the_roles_agree_on_their_names() -> None:
    hub, entered = Stack("hub-role.yaml"), member()
    arn = f"arn:aws:iam::111122223333:role/{hub.role['RoleName']}"
    assert batch_job()["jobRoleArn"] == arn
    assert {one["HubRoleArn"] for one in given_to("member-role.yaml")} == {arn}
    assert hub.values["MemberRoleName"] == entered.role["RoleName"]
    named = [words[words.index("--org") + 1] for _, words in playbook_lines() if "--org" in words]
    assert len(named) >= 4
    assert set(named) == {entered.role["RoleName"]}


def test_jobs_send_the_external_id_that_members_demand() -> None:
    (demanded,) = {one["ExternalId"] for one in given_to("member-role.yaml")}
    assert len(demanded) >= member().template["Parameters"]["ExternalId"]["MinLength"]
    sent = {one["name"]: one["value"] for one in batch_job()["environment"]}
    assert sent["FINOPS_EXTERNAL_ID"] == demanded
    assert workflow()["audit"]["env"]["FINOPS_EXTERNAL_ID"] == "${{ secrets.FINOPS_EXTERNAL_ID }}"
    assert f"FINOPS_EXTERNAL_ID={demanded}\n" in readme()


def test_the_batch_job_may_run_as_the_hub_and_keep_its_results() -> None:
    (parameters,) = [one for one in given_to("hub-role.yaml") if "ResultsBucket" in one]
    stack = Stack("hub-role.yaml", **parameters)
    services = [
        one["Principal"].get("Service") for one in stack.role["AssumeRolePolicyDocument"]["Statement"]
    ]
    assert services == ["ecs-tasks.amazonaws.com"]
    (results,) = [one["value"] for one in batch_job()["environment"] if one["name"] == "RESULTS"]
    kept = stack.policy("finops-results")["Statement"][0]["Resource"]
    assert kept == results.replace("s3://", "arn:aws:s3:::") + "/*"


def test_no_job_installs_a_bare_name() -> None:
    # Whoever holds the name in an index would run with the role of the job.
    document = yaml.safe_load((RECIPES / "github-matrix.yml").read_text(encoding="utf-8"))
    assert re.fullmatch(r"pytest-finops @ git\+https://\S+@\S+", document["env"]["PACKAGE"])
    for jobs in (document["jobs"], yaml.safe_load(WORKFLOW_YML)["jobs"]):
        steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
        installed = [line for line in steps if "pip install" in line]
        assert installed
        for line in installed:
            assert re.search(r'pip install "(\$PACKAGE|pytest-finops @ git\+https://\S+@\S+)"', line), line
    # Only the job that enters accounts may ask for a token.
    assert "id-token" not in document["permissions"]
    assert [name for name, job in document["jobs"].items() if "id-token" in job.get("permissions", {})] == [
        "audit"
    ]


@pytest.mark.parametrize("written", [True, False])
def test_the_status_of_the_merge_is_that_of_its_job(tmp_path: Path, written: bool) -> None:
    (step,) = [one["run"] for one in workflow()["merge"]["steps"] if "merge parts" in one.get("run", "")]
    stub = tmp_path / "finops-playbook"
    stub.write_text(
        "#!/bin/sh\n" + ("mkdir report; echo sums > report/report.md\n" if written else "") + "exit 4\n"
    )
    stub.chmod(0o755)

    done = subprocess.run(
        ["bash", "-e", "-c", step], cwd=tmp_path, check=False, timeout=30,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")},
    )  # fmt: skip

    assert done.returncode == 4
    assert (tmp_path / "summary.md").exists() is written
