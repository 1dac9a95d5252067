"""XML answers that the collector reads itself: what botocore's own parser makes of them, and nothing else."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any
from xml.sax.saxutils import escape

import botocore.awsrequest
import botocore.loaders
import botocore.parsers
import botocore.session
import pytest
from botocore.model import OperationModel, ServiceModel, Shape, ShapeResolver, StructureShape
from fault_kit import make_aws

from pytest_finops.collector.aws import Login, _timestamp
from pytest_finops.collector.xml_answers import PARSER, Parsers
from pytest_finops.testing import Estate, ReplayEndpoint

LOADER = botocore.loaders.create_loader()
TIMES = ("2026-11-23T10:11:12.000Z", "2026-11-23T10:11:12Z", "2026-11-23T10:11:12+02:00", "1700000000")
TEXTS = ("", "a", " a b ", "<&>\"'", "é\n", "true", "0", "  ")
BAD = {
    "integer": ("", "1.5"),
    "long": ("", "x"),
    "double": ("", "one"),
    "float": ("-",),
    "timestamp": ("", "soon"),
}


@cache
def model(service: str) -> ServiceModel:
    return ServiceModel(LOADER.load_service_model(service, "service-2"), service)


def declared() -> dict[str, list[str]]:
    """Operations that this plugin knows of services that speak one of the protocols, in some version of botocore."""
    found = defaultdict(list)
    table = resources.files("pytest_finops").joinpath("data", "operations.json").read_text(encoding="utf-8")
    for key, facts in json.loads(table)["operations"].items():
        service = key.partition(".")[0]
        metadata = model(service).metadata
        if {"ec2", "query"} & {metadata["protocol"], *metadata.get("protocols", ())}:
            found[service].append(facts["name"])
    return dict(found)


DECLARED = declared()


class Writer:
    """Writes answers of an output shape at random; ``odd`` has what AWS does not send, but could."""

    def __init__(self, seed: str, *, odd: bool) -> None:
        self.random = random.Random(seed)
        self.odd = odd
        self.bad = odd and self.random.random() < 0.2
        self.prefixes = self.random.choice((("",), ("n:",), ("", "n:"))) if odd else ("",)
        self.namespace = self.random.choice(("", 'xmlns="urn:a" ')) + 'xmlns:n="urn:n" xmlns:xsi="urn:xsi"'

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def document(self, operation: OperationModel, protocol: str) -> bytes:
        shape = operation.output_shape
        assert shape is not None
        inner = self.structure(shape, 0)
        wrapper = shape.serialization.get("resultWrapper")
        if wrapper:
            inner = self.tag(wrapper, inner)
        if protocol == "ec2":
            inner += self.tag("requestId", "id-1")
        else:
            inner += self.tag("ResponseMetadata", self.tag("RequestId", "id-1"))
        head = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- head -->' if self.chance(0.5) else ""
        return f"{head}<Answer {self.namespace}>{inner}</Answer>".encode()

    def tag(self, name: str, inner: str, attributes: str = "") -> str:
        name = self.random.choice(self.prefixes) + name
        space = "\n  " if self.chance(0.2) else ""
        if not inner and self.chance(0.5):
            return f"{space}<{name}{attributes}/>"
        return f"{space}<{name}{attributes}>{inner}</{name}>{space}"

    def member(self, name: str, shape: Any, depth: int) -> str:
        flat = shape.serialization.get("flattened")
        xml_name = shape.serialization.get("name", name)
        if flat and shape.type_name == "list":
            xml_name = shape.member.serialization.get("name", xml_name)
            return "".join(
                self.tag(xml_name, self.value(shape.member, depth)) for _ in range(self.random.randrange(4))
            )
        if flat and shape.type_name == "map":
            return "".join(
                self.tag(xml_name, self.pair(shape, depth)) for _ in range(self.random.randrange(4))
            )
        marked = any("xmlAttribute" in one.serialization for one in getattr(shape, "members", {}).values())
        return self.tag(xml_name, self.value(shape, depth), ' xsi:type="Group"' if marked else "")

    def structure(self, shape: Any, depth: int) -> str:
        parts = []
        if shape.is_tagged_union:
            name = self.random.choice(list(shape.members))
            return self.member(name, shape.members[name], depth) if self.chance(0.8) else self.tag("new", "1")
        for name, member in shape.members.items():
            present = 0.9 if depth < 2 else 0.6 if depth < 4 else 0.3 if depth < 6 else 0.1
            if self.chance(present):
                parts.append(self.member(name, member, depth + 1))
                if self.odd and self.chance(0.02):
                    parts.append(self.member(name, member, depth + 1))
        self.random.shuffle(parts)
        if self.odd and self.chance(0.2):
            parts.append(self.tag("unknown", self.random.choice(("text", "<item><name>x</name></item>"))))
        return "".join(parts)

    def pair(self, shape: Any, depth: int) -> str:
        key, value = (
            shape.key.serialization.get("name", "key"),
            shape.value.serialization.get("name", "value"),
        )
        pair = [
            self.tag(key, f"k{self.random.random()}"),
            self.tag(value, self.value(shape.value, depth + 1)),
        ]
        if self.bad and self.chance(0.1):
            self.bad = False
            pair.append(self.tag("other", ""))
        return "".join(pair)

    def value(self, shape: Any, depth: int) -> str:
        kind = shape.type_name
        if kind == "structure":
            return self.structure(shape, depth)
        many = self.random.choice((1, 2) if depth < 2 else (0, 1, 2) if depth < 5 else (0, 1))
        if kind == "list":
            name = shape.member.serialization.get("name", "member")
            return "".join(
                self.tag(
                    "odd" if self.odd and self.chance(0.05) else name, self.value(shape.member, depth + 1)
                )
                for _ in range(many)
            )
        if kind == "map":
            return "".join(self.tag("entry", self.pair(shape, depth)) for _ in range(many))
        if self.bad and kind in BAD and self.chance(0.05):
            self.bad = False
            return self.random.choice(BAD[kind])
        if kind == "timestamp":
            return self.random.choice(TIMES)
        if kind == "boolean":
            return self.random.choice(("true", "false", "", "True"))
        if kind in ("integer", "long"):
            return str(self.random.randrange(-5, 2**40))
        if kind in ("double", "float"):
            return self.random.choice(("0.25", "1", "1e-9", "NaN"))
        if kind == "blob":
            return "YWJj"
        text = self.random.choice(TEXTS)
        return f"<![CDATA[{text}]]>" if self.odd and self.chance(0.1) else escape(text)


def plain(value: Any) -> Any:
    """What an answer holds that JSON does not; botocore leaves nodes in an answer where a text came twice."""
    if isinstance(value, datetime | bytes):
        return repr(value)
    return [value.tag, value.text]


def outcome(factory: Any, protocol: str, body: bytes, shape: Any, status: int = 200) -> str:
    """Return all of an answer, types included, or what was raised."""
    response = {"body": body, "status_code": status, "headers": {"X-Amzn-RequestId": "id-2"}}
    try:
        answer = factory.create_parser(protocol).parse(response, shape)
    except (
        ValueError,
        TypeError,
        KeyError,
        UnboundLocalError,
        botocore.parsers.ResponseParserError,
    ) as error:
        return f"{type(error).__name__}: {error}"
    return json.dumps(answer, sort_keys=True, default=plain)


def factories() -> tuple[Any, Parsers]:
    """Return botocore's factory and ours, as a session of the collector has them."""
    theirs, core = botocore.parsers.ResponseParserFactory(), botocore.session.Session()
    Parsers().register(core)
    ours = core.get_component("response_parser_factory")
    for factory in (theirs, ours):
        factory.set_parser_defaults(timestamp_parser=_timestamp)
    return theirs, ours


#: One for all services: equal names of shapes mean something else in each.
shared_factories = cache(factories)


def agree(service: str, operations: list[str], *, odd: bool, rounds: int = 20) -> list[str]:
    """Read answers with both parsers; return what both made of them."""
    protocol = "ec2" if service == "ec2" else "query"
    theirs, ours = shared_factories()
    found = []
    for name in operations:
        operation = model(service).operation_model(name)
        for count in range(rounds):
            body = Writer(f"{name} {count}", odd=odd).document(operation, protocol)
            expected = outcome(theirs, protocol, body, operation.output_shape)
            assert outcome(ours, protocol, body, operation.output_shape) == expected, body.decode()
            found.append(expected)
    return found


@pytest.mark.parametrize("service", sorted(DECLARED))
def test_an_answer_is_what_botocore_makes_of_it(service: str) -> None:
    assert all(one.startswith("{") for one in agree(service, DECLARED[service], odd=False))


@pytest.mark.parametrize("service", sorted(DECLARED))
def test_an_odd_answer_is_what_botocore_makes_of_it(service: str) -> None:
    agree(service, DECLARED[service], odd=True)


def test_odd_answers_are_odd() -> None:
    found = agree("ec2", DECLARED["ec2"], odd=True)

    assert {one.partition(":")[0] for one in found if not one.startswith("{")} >= {"ValueError", "TypeError"}
    assert sum(one.startswith("{") for one in found) > 0.7 * len(found)


@pytest.mark.parametrize(
    ("service", "operations"),
    [
        ("sdb", ["GetAttributes", "Select", "ListDomains"]),  # flattened lists
        ("sqs", ["GetQueueAttributes", "ReceiveMessage", "ListQueues"]),  # flattened maps
        ("s3", ["GetBucketAcl", "ListObjectsV2", "ListObjectVersions", "GetBucketLifecycleConfiguration"]),
        ("cloudwatch", ["GetDashboard", "GetMetricWidgetImage", "DescribeAlarms"]),
        ("dynamodb", ["GetItem", "Query"]),  # unions and recursion, were they sent as XML
    ],
)  # fmt: skip
@pytest.mark.parametrize("odd", [False, True])
def test_traits_that_are_rare_are_left_to_botocore(service: str, operations: list[str], odd: bool) -> None:
    agree(service, operations, odd=odd, rounds=30)


TEXT = {"shape": "Text"}
BY_HAND = {
    "Text": {"type": "string"},
    "Number": {"type": "integer"},
    "Twice": {"type": "structure", "members": {"One": {**TEXT, "locationName": "x"}, "Two": {**TEXT, "locationName": "x"}}},
    "Head": {"type": "structure", "members": {"Body": TEXT, "Event": {**TEXT, "eventheader": True}}},
    "Error": {"type": "structure", "exception": True, "members": {"Detail": TEXT}},
    "Texts": {"type": "list", "member": TEXT, "flattened": True},
    "Lists": {"type": "structure", "members": {"Of": {"shape": "ListOfTexts"}, "Texts": {"shape": "Texts"}}},
    "ListOfTexts": {"type": "list", "member": {"shape": "Texts"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("Twice", "<x>1</x>", {"One": "1", "Two": "1"}),
        ("Head", "<Body>1</Body><Event>2</Event>", {"Body": "1"}),
        ("Error", "<Detail>1</Detail>", {"Detail": "1"}),
        ("Error", "<Errors><Error><Detail>1</Detail></Error></Errors>", {"Detail": "1"}),
        ("Lists", "<Texts>1</Texts>", {"Texts": ["1"]}),
        ("Lists", "<Texts>1</Texts><Texts>2</Texts>", {"Texts": ["1", "2"]}),
        ("Lists", "<Of><m>1</m><m>2</m></Of>", {"Of": [["1"], ["2"]]}),
    ],
)
def test_shapes_that_are_rare_are_left_to_botocore(name: str, body: str, expected: dict[str, Any]) -> None:
    shape = ShapeResolver(BY_HAND).get_shape_by_name(name)
    response = {"body": f"<A>{body}</A>".encode(), "status_code": 200, "headers": {}}

    for factory in factories():
        answer = factory.create_parser("ec2").parse(response, shape)
        del answer["ResponseMetadata"]
        assert answer == expected


def test_a_plain_answer_never_meets_botocores_own_method(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[str] = []

    def meet(self: Any, shape: Any, node: Any) -> Any:
        met.append(shape.name)

    monkeypatch.setattr(botocore.parsers.BaseXMLResponseParser, "_handle_structure", meet)
    _, ours = factories()
    for service in ("ec2", "rds", "elbv2"):
        for name in DECLARED[service]:
            operation = model(service).operation_model(name)
            body = Writer(name, odd=False).document(operation, service)
            outcome(ours, service if service == "ec2" else "query", body, operation.output_shape)

    assert met == []


def test_what_the_collector_asks_never_meets_it_either(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[str] = []
    botocores = botocore.parsers.BaseXMLResponseParser._handle_structure

    def meet(self: Any, shape: Any, node: Any) -> Any:
        met.append(shape.name)
        return botocores(self, shape, node)

    monkeypatch.setattr(botocore.parsers.BaseXMLResponseParser, "_handle_structure", meet)
    estate = Estate(datetime(2026, 11, 1, tzinfo=UTC))
    for account in ("111111111111", "222222222222"):
        estate.account(account, "a", regions=("us-east-1",), access_key=f"AKIA{account}")
        estate.add(account, "us-east-1", "ec2.describe_volumes", VolumeId=f"vol-{account}")
    aws = make_aws(5)
    aws.guard.allow([("ec2", "describe_volumes")])
    with ReplayEndpoint(estate) as endpoint:
        for account in estate.accounts:
            login = Login(keys=(f"AKIA{account}", "x"), endpoint=endpoint.url)
            answer = aws.call(login, account, "us-east-1", "ec2", "describe_volumes", {})
            assert [volume["VolumeId"] for volume in answer["Volumes"]] == [f"vol-{account}"]

    assert met == []


@pytest.mark.parametrize("body", [b"", b"<a>", b"<a><b></a>", b"<html>&nbsp;</html>", b"\xff", b"<a/>"])
@pytest.mark.parametrize(("service", "name"), [("ec2", "DescribeVolumes"), ("rds", "DescribeDBInstances")])
@pytest.mark.parametrize("status", [200, 400, 503])
def test_what_is_no_answer_ends_as_with_botocore(service: str, name: str, body: bytes, status: int) -> None:
    theirs, ours = factories()
    protocol, shape = (
        "ec2" if service == "ec2" else "query",
        model(service).operation_model(name).output_shape,
    )

    assert outcome(ours, protocol, body, shape, status) == outcome(theirs, protocol, body, shape, status)


def test_an_answer_that_is_cut_off_ends_as_with_botocore() -> None:
    theirs, ours = factories()
    operation = model("ec2").operation_model("DescribeInstances")
    body = Writer("cut", odd=False).document(operation, "ec2")

    for end in range(0, len(body), 97):
        expected = outcome(theirs, "ec2", body[:end], operation.output_shape)
        assert expected.startswith("ResponseParserError")
        assert outcome(ours, "ec2", body[:end], operation.output_shape) == expected


def test_an_error_of_a_client_has_its_code_and_its_class() -> None:
    core = botocore.session.Session()
    core.set_credentials("key", "secret")
    Parsers().register(core)
    client = core.create_client("rds", region_name="us-east-1")

    def answer(request: Any, **_: Any) -> Any:
        response = botocore.awsrequest.AWSResponse(request.url, 404, {}, None)
        response._content = b"<R><Error><Code>DBInstanceNotFound</Code><Message>gone</Message></Error><RequestId>1</RequestId></R>"
        return response

    client.meta.events.register("before-send", answer)
    with pytest.raises(client.exceptions.DBInstanceNotFoundFault, match="gone") as raised:
        client.describe_db_instances()

    assert raised.value.response["Error"]["Code"] == "DBInstanceNotFound"


def test_what_was_learnt_serves_all_clients_of_a_service() -> None:
    _, ours = factories()
    description = LOADER.load_service_model("ec2", "service-2")
    shapes = [
        ServiceModel(description, "ec2").operation_model("DescribeVolumes").output_shape for _ in range(2)
    ]
    body = b"<A><volumeSet><item><volumeId>v</volumeId></item></volumeSet><requestId>1</requestId></A>"

    first, second = (outcome(ours, "ec2", body, shape) for shape in shapes)

    assert first == second
    assert ["members" in vars(shape) for shape in shapes] == [True, False]


def test_sessions_share_parsers_that_follow_their_defaults() -> None:
    parsers, sessions = Parsers(), [botocore.session.Session() for _ in range(2)]
    for core in sessions:
        parsers.register(core)

    assert {id(core.get_component("response_parser_factory")) for core in sessions} == {id(parsers)}
    before = parsers.create_parser("query")
    assert parsers.create_parser("query") is before
    assert parsers.create_parser("json") is not parsers.create_parser("json")

    parsers.set_parser_defaults(timestamp_parser=len)
    body = b"<A><AssumeRoleResult><Credentials><Expiration>12345</Expiration></Credentials></AssumeRoleResult></A>"
    response = {"body": body, "status_code": 200, "headers": {}}
    answer = parsers.create_parser("query").parse(
        response, model("sts").operation_model("AssumeRole").output_shape
    )
    assert answer["Credentials"] == {"Expiration": 5}


def test_a_factory_that_can_more_is_left_alone() -> None:
    class Factory(botocore.parsers.ResponseParserFactory):
        def create_another(self) -> None: ...

    core, factory = botocore.session.Session(), Factory()
    core.register_component("response_parser_factory", factory)
    Parsers().register(core)

    assert core.get_component("response_parser_factory") is factory


@pytest.mark.parametrize("lacks", PARSER)
def test_a_parser_that_lacks_something_is_left_alone(lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Parser:
        """Has nothing but the names."""

    for name in set(PARSER) - {lacks}:
        setattr(Parser, name, None)
    monkeypatch.setitem(botocore.parsers.PROTOCOL_PARSERS, "ec2", lambda **_: Parser())

    parser = factories()[1].create_parser("ec2")

    assert "_handle_structure" not in vars(parser)


def test_shapes_that_do_not_show_their_model_are_known_by_themselves() -> None:
    class Resolver:
        def __init__(self, name: str) -> None:
            self.resolve_shape_ref = lambda _ref: Shape(name, {"type": "string"})

    shapes = [
        StructureShape("Same", {"type": "structure", "members": {name: {}}}, Resolver(name))
        for name in ("One", "Two")
    ]
    theirs, ours = factories()
    body = b"<A><One>1</One><Two>2</Two></A>"

    for shape in shapes:
        assert outcome(ours, "query", body, shape) == outcome(theirs, "query", body, shape)
