"""The AWS wire protocols seen from the server: requests become parameters, answers become bodies."""

from __future__ import annotations

import base64
import json
import math
import re
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import botocore.exceptions
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.utils
from botocore import xform_name

Params = dict[str, Any]
Answer = dict[str, Any]

_BY_SIGNING_NAME: Mapping[str, tuple[str, ...]] = {
    # Where the signing name is not the name boto3 gives the service; docdb and neptune speak the same
    # API version as rds, and what they list is listed by rds too.
    "elasticloadbalancing": ("elbv2", "elb"),
    "monitoring": ("cloudwatch",),
    "rds": ("rds",),
    "elasticfilesystem": ("efs",),
    "es": ("opensearch",),
    "tagging": ("resourcegroupstaggingapi",),
    "pricing": ("pricing",),
    "aws-marketplace-management": ("marketplacecommerceanalytics",),
    "states": ("stepfunctions",),
    "application-autoscaling": ("application-autoscaling",),
    "kafka": ("kafka",),
    "kinesisanalytics": ("kinesisanalyticsv2",),
}
_XML_NAMESPACES: Mapping[str, str] = {
    "s3": "http://s3.amazonaws.com/doc/2006-03-01/",
    "cloudfront": "http://cloudfront.amazonaws.com/doc/2020-05-31/",
    "route53": "https://route53.amazonaws.com/doc/2013-04-01/",
}
_lock = threading.Lock()
_loader = botocore.loaders.create_loader()


class UnreadableRequest(ValueError):
    """A request that no known service, operation or shape explains."""

    def __init__(self, message: str, *, service: str = "", operation: str = "", protocol: str = "query"):
        super().__init__(message)
        self.service = service
        self.operation = operation
        self.protocol = protocol


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """One request as boto3 would have named it."""

    service: str
    operation: str
    protocol: str
    region: str
    access_key: str
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WireResponse:
    """One response, ready to be sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@cache
def _service_model(service: str) -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(_loader.load_service_model(service, "service-2"), service)


def service_model(service: str) -> botocore.model.ServiceModel:
    """botocore's model of a service, by its boto3 name."""
    with _lock:
        return _service_model(service)


@cache
def _operation_names(service: str) -> dict[str, str]:
    return {xform_name(name): name for name in service_model(service).operation_names}


@cache
def operation_model(service: str, operation: str) -> botocore.model.OperationModel:
    """The model of `describe_volumes` or `DescribeVolumes`; KeyError when botocore knows neither."""
    try:
        model = service_model(service)
    except botocore.exceptions.UnknownServiceError:
        raise KeyError(f"{service}.{operation}") from None
    names = _operation_names(service)
    name = operation if operation in names.values() else names.get(operation)
    if name is None:
        raise KeyError(f"{service}.{operation}")
    return model.operation_model(name)


@cache
def paginator_config(service: str, operation: str) -> Mapping[str, Any] | None:
    """botocore's paginator of an operation, or None."""
    try:
        with _lock:
            pages = _loader.load_service_model(service, "paginators-1")["pagination"]
    except botocore.exceptions.DataNotFoundError:
        return None
    found: Mapping[str, Any] | None = pages.get(operation_model(service, operation).name)
    return found


@cache
def _services_signing_as(signing_name: str) -> tuple[str, ...]:
    known = _BY_SIGNING_NAME.get(signing_name)
    if known is not None:
        return known
    available = _loader.list_available_services("service-2")
    if signing_name in available:
        return (signing_name,)
    return tuple(name for name in available if service_model(name).signing_name == signing_name)


# -- requests ---------------------------------------------------------------------------------------------

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")


def parse_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> ParsedRequest:
    """Read one signed request; `headers` are matched without regard to case."""
    lower = {name.lower(): value for name, value in headers.items()}
    access_key, region, signing_name = _credential_scope(lower.get("authorization", ""))
    content_type = lower.get("content-type", "")
    if lower.get("smithy-protocol") == "rpc-v2-cbor":
        match = re.search(r"/service/([^/]+)/operation/([^/?]+)", target)
        if match is None:
            raise UnreadableRequest(f"no operation in {target!r}", protocol="smithy-rpc-v2-cbor")
        protocol = "smithy-rpc-v2-cbor"
        service, operation = _by_target(signing_name, match[1]), match[2]
        model = _operation(service, operation, protocol)
        params = _plain_params(model.input_shape, decode_cbor(body) if body else {})
    elif "x-amz-target" in lower:
        prefix, _, operation = lower["x-amz-target"].rpartition(".")
        protocol = "json"
        service = _by_target(signing_name, prefix)
        model = _operation(service, operation, protocol)
        params = _plain_params(model.input_shape, json.loads(body or b"{}"))
    elif content_type.startswith("application/x-www-form-urlencoded") or b"Action=" in body[:4096]:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation = form.pop("Action", "")
        service = _by_version(signing_name, form.pop("Version", ""))
        protocol = "ec2" if service_model(service).metadata.get("protocol") == "ec2" else "query"
        model = _operation(service, operation, protocol)
        params = _form_params(model.input_shape, form, ec2=protocol == "ec2")
    else:
        service, model, params = _by_route(signing_name, method, target, lower, body)
        protocol = _rest_protocol(service)
    return ParsedRequest(service, xform_name(model.name), protocol, region, access_key, params)


def _credential_scope(authorization: str) -> tuple[str, str, str]:
    match = _CREDENTIAL.search(authorization)
    if match is None:
        raise UnreadableRequest("the request is not signed")
    return match[1], match[2], match[3]


def _operation(service: str, operation: str, protocol: str) -> botocore.model.OperationModel:
    try:
        return operation_model(service, operation)
    except KeyError:
        raise UnreadableRequest(
            f"The action {operation} is not valid for this web service.",
            service=service,
            operation=operation,
            protocol=protocol,
        ) from None


def _candidates(signing_name: str, protocol: str) -> tuple[str, ...]:
    found = _services_signing_as(signing_name)
    if not found:
        raise UnreadableRequest(f"no service signs as {signing_name!r}", protocol=protocol)
    return found


def _by_target(signing_name: str, prefix: str) -> str:
    candidates = _candidates(signing_name, "json")
    for name in candidates:
        if service_model(name).metadata.get("targetPrefix") == prefix:
            return name
    return candidates[0]


def _by_version(signing_name: str, version: str) -> str:
    candidates = _candidates(signing_name, "query")
    for name in candidates:
        if service_model(name).api_version == version:
            return name
    return candidates[0]


def _rest_protocol(service: str) -> str:
    return "rest-xml" if service_model(service).metadata.get("protocol") == "rest-xml" else "rest-json"


def _by_route(
    signing_name: str, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, botocore.model.OperationModel, Params]:
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    candidates = _candidates(signing_name, "rest-json")
    for service in candidates:
        for name, pattern, wanted in _routes(service, method):
            match = pattern.fullmatch(url.path)
            if match is None or not _asks(query, wanted):
                continue
            model = operation_model(service, name)
            return service, model, _rest_params(model, match.groupdict(), url.query, headers, body)
    raise UnreadableRequest(
        f"no operation of {signing_name} is {method} {url.path}",
        service=candidates[0],
        protocol=_rest_protocol(candidates[0]),
    )


def _asks(query: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    return all(key in query and value in (None, query[key]) for key, value in wanted.items())


@cache
def _routes(service: str, method: str) -> list[tuple[str, re.Pattern[str], dict[str, str | None]]]:
    """Operation, pattern of its path, and what its query must have (None: any value), most specific first."""
    found = []
    for name in service_model(service).operation_names:
        model = operation_model(service, name)
        if model.http.get("method", "POST") != method:
            continue
        path, _, query = str(model.http.get("requestUri", "/")).partition("?")
        wanted: dict[str, str | None] = dict(parse_qsl(query, keep_blank_values=True))
        shape = model.input_shape
        for member in shape.required_members if shape is not None else ():
            serialization = shape.members[member].serialization
            if serialization.get("location") == "querystring":
                wanted[serialization.get("name", member)] = None
        pattern = ""
        for part in re.split(r"(\{[^}]+\})", path):
            if part.startswith("{"):
                label = part[1:-1]
                pattern += (
                    f"(?P<{label.rstrip('+').replace('-', '_')}>{'.+' if label[-1] == '+' else '[^/]+'})"
                )
            else:
                pattern += re.escape(part)
        rank = (path.count("{"), -len(wanted), -len(path), bool(model.deprecated), name)
        found.append((rank, (name, re.compile(pattern), wanted)))
    # The route with the most literal text wins: /functions/ before /functions/{name}, ?tagging before none.
    return [route for _, route in sorted(found, key=lambda one: one[0])]


def _rest_params(
    model: botocore.model.OperationModel,
    labels: Mapping[str, str],
    query: str,
    headers: Mapping[str, str],
    body: bytes,
) -> Params:
    shape = model.input_shape
    if shape is None:
        return {}
    params: Params = {}
    if _rest_protocol(model.service_model.service_name) == "rest-xml":
        # botocore's parser reads any shape, that of a request included.
        botocore.parsers.RestXMLParser()._parse_payload({"body": body, "headers": {}}, shape, {}, params)
    elif body and isinstance(document := json.loads(body), dict):
        params = _plain_params(shape, document)
    pairs = parse_qsl(query, keep_blank_values=True)
    member: Any
    for name, member in shape.members.items():
        location, wire_name = member.serialization.get("location"), member.serialization.get("name", name)
        if location == "uri" and wire_name.replace("-", "_") in labels:
            params[name] = _scalar(member, unquote(labels[wire_name.replace("-", "_")]))
        elif location == "header" and wire_name.lower() in headers:
            text = headers[wire_name.lower()]
            listed = member.type_name == "list"
            params[name] = text.split(",") if listed else _scalar(member, text)
        elif location == "querystring":
            values = [value for key, value in pairs if key == wire_name]
            if values and member.type_name == "list":
                params[name] = [_scalar(member.member, value) for value in values]
            elif values:
                params[name] = _scalar(member, values[-1])
    return params


def _plain_params(shape: Any, value: Any) -> Any:
    """JSON or CBOR data as boto3 parameters: names by the model, timestamps as datetimes."""
    if shape is None or value is None:
        return {} if value is None else value
    if shape.type_name == "structure":
        by_wire = {
            member.serialization.get("name", name): (name, member) for name, member in shape.members.items()
        }
        return {
            by_wire[key][0]: _plain_params(by_wire[key][1], item)
            for key, item in value.items()
            if key in by_wire
        }
    if shape.type_name == "list":
        return [_plain_params(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: _plain_params(shape.value, item) for key, item in value.items()}
    if shape.type_name == "timestamp" and not isinstance(value, datetime):
        return botocore.utils.parse_timestamp(value)
    if shape.type_name == "blob" and isinstance(value, str):
        return base64.b64decode(value)
    return value


def _form_params(shape: Any, form: Mapping[str, str], *, ec2: bool) -> Params:
    if shape is None:
        return {}
    tree: dict[str, Any] = {}
    for key, value in form.items():
        node = tree
        *parents, last = key.split(".")
        for part in parents:
            child = node.setdefault(part, {})
            if not isinstance(child, dict):
                child = node[part] = {}
            node = child
        node[last] = value
    params: Params = _form_value(shape, tree, ec2)
    return params


def _form_name(name: str, shape: Any, ec2: bool) -> str:
    serialization = shape.serialization
    if ec2:
        if "queryName" in serialization:
            return str(serialization["queryName"])
        wire_name = str(serialization.get("name", name))
        return wire_name[0].upper() + wire_name[1:] if "name" in serialization else wire_name
    if shape.type_name == "list" and serialization.get("flattened") and "name" in shape.member.serialization:
        return str(shape.member.serialization["name"])
    return str(serialization.get("name", name))


def _numbered(node: Any) -> list[Any]:
    if not isinstance(node, dict):
        return []
    if not all(key.isdigit() for key in node):
        # The level of a list that is not flattened: Values.member.1, Filters.Filter.1.
        return [item for child in node.values() for item in _numbered(child)]
    return [node[key] for key in sorted(node, key=int)]


def _form_value(shape: Any, node: Any, ec2: bool) -> Any:
    if shape.type_name == "structure":
        found = {}
        for name, member in shape.members.items():
            wire_name = _form_name(name, member, ec2)
            if isinstance(node, dict) and wire_name in node:
                found[name] = _form_value(member, node[wire_name], ec2)
        return found
    if shape.type_name == "list":
        return [_form_value(shape.member, item, ec2) for item in _numbered(node)]
    if shape.type_name == "map":
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        return {
            pair[key_name]: _form_value(shape.value, pair.get(value_name, ""), ec2)
            for pair in _numbered(node)
        }
    return _scalar(shape, node)


def _scalar(shape: Any, text: Any) -> Any:
    match shape.type_name:
        case "integer" | "long":
            return int(text)
        case "float" | "double":
            return float(text)
        case "boolean":
            return str(text).lower() == "true"
        case "timestamp":
            return botocore.utils.parse_timestamp(text)
        case "blob":
            return base64.b64decode(text)
        case _:
            return text


# -- responses --------------------------------------------------------------------------------------------


def is_query_compatible(service: str) -> bool:
    """Whether the service keeps the error codes of its former query protocol."""
    return "awsQueryCompatible" in service_model(service).metadata


def success(service: str, operation: str, protocol: str, answer: Answer, request_id: str) -> WireResponse:
    """A 200 with the answer in the protocol of the request."""
    model = operation_model(service, operation)
    shape = model.output_shape
    match protocol:
        case "ec2" | "query":
            body = _xml_body(model, answer, request_id, ec2=protocol == "ec2")
        case "rest-xml":
            members, body = _rest_xml(model, answer)
            return WireResponse(200, (*_headers(service, protocol, request_id), *members), body)
        case "smithy-rpc-v2-cbor":
            body = bytes(_cbor_value(shape, answer)) if shape is not None else b"\xa0"
        case _:
            document = _json_value(shape, answer) if shape is not None else {}
            payload = shape.serialization.get("payload") if shape is not None else None
            body = json.dumps(document.get(payload, {}) if payload else document).encode()
    return WireResponse(200, _headers(service, protocol, request_id), body)


def failure(
    service: str,
    protocol: str,
    code: str,
    message: str,
    status: int,
    request_id: str,
    more: Mapping[str, str] | None = None,
) -> WireResponse:
    """An error in the protocol's envelope; ``more`` are headers that it has beside."""
    headers = (*_headers(service, protocol, request_id), *(more or {}).items())
    match protocol:
        case "rest-xml" if service == "s3":
            region = (more or {}).get("x-amz-bucket-region")
            wrong = f"<Region>{region}</Region>" if region and code == "AuthorizationHeaderMalformed" else ""
            body = (
                '<?xml version="1.0" encoding="UTF-8"?>\n'
                f"<Error><Code>{_escape(code)}</Code><Message>{_escape(message)}</Message>{wrong}"
                f"<RequestId>{request_id}</RequestId><HostId>{_HOST_ID}</HostId></Error>"
            ).encode()
        case "ec2":
            body = (
                '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
                f"<Code>{_escape(code)}</Code><Message>{_escape(message)}</Message>"
                f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
            ).encode()
        case "query" | "rest-xml":
            kind = "Sender" if status < 500 else "Receiver"
            body = (
                f"<ErrorResponse><Error><Type>{kind}</Type><Code>{_escape(code)}</Code>"
                f"<Message>{_escape(message)}</Message></Error><RequestId>{request_id}</RequestId>"
                "</ErrorResponse>"
            ).encode()
        case _:
            document = {"__type": code, "message": message}
            if service and is_query_compatible(service):
                kind = "Sender" if status < 500 else "Receiver"
                headers += (("x-amzn-query-error", f"{code};{kind}"),)
            if protocol == "rest-json":
                headers += (("x-amzn-errortype", code),)
            body = (
                encode_cbor(document) if protocol == "smithy-rpc-v2-cbor" else json.dumps(document).encode()
            )
    return WireResponse(status, headers, body)


def _headers(service: str, protocol: str, request_id: str) -> tuple[tuple[str, str], ...]:
    match protocol:
        case "ec2":
            kind = "text/xml;charset=UTF-8"
        case "rest-xml" if service == "s3":
            return (
                ("Content-Type", "application/xml"),
                ("x-amz-request-id", request_id),
                ("x-amz-id-2", _HOST_ID),
            )
        case "query" | "rest-xml":
            kind = "text/xml"
        case "smithy-rpc-v2-cbor":
            kind = "application/cbor"
        case "json":
            version = service_model(service).metadata.get("jsonVersion", "1.1") if service else "1.1"
            kind = f"application/x-amz-json-{version}"
        case _:
            kind = "application/json"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", kind), ("x-amzn-RequestId", request_id))
    if protocol == "smithy-rpc-v2-cbor":
        headers += (("smithy-protocol", "rpc-v2-cbor"),)
    return headers


_HOST_ID = "aG9zdA=="
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _escape(value: object) -> str:
    text = _NOT_XML.sub("", str(value))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _iso(value: datetime) -> str:
    value = value.astimezone(UTC)
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"


def _xml_body(model: botocore.model.OperationModel, answer: Answer, request_id: str, *, ec2: bool) -> bytes:
    name, shape = model.name, model.output_shape
    namespace = str(model.metadata.get("xmlNamespace", ""))
    if ec2:
        version = model.metadata["apiVersion"]
        namespace = f"http://ec2.amazonaws.com/doc/{version}/"
    out: list[str] = [f'<{name}Response xmlns="{namespace}">' if namespace else f"<{name}Response>"]
    if ec2:
        out.append(f"<requestId>{request_id}</requestId>")
        if shape is not None:
            _xml_members(shape, answer, out)
    else:
        if shape is not None:
            wrapper = shape.serialization.get("resultWrapper", f"{name}Result")
            out.append(f"<{wrapper}>")
            _xml_members(shape, answer, out)
            out.append(f"</{wrapper}>")
        out.append(f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>")
    out.append(f"</{name}Response>")
    return "".join(out).encode()


def _rest_xml(model: botocore.model.OperationModel, answer: Answer) -> tuple[list[tuple[str, str]], bytes]:
    """The members of an answer that are headers, and the body that has the others."""
    shape = model.output_shape
    headers: list[tuple[str, str]] = []
    if shape is None:
        return headers, b""
    inside = {}
    for key, value in answer.items():
        member = shape.members.get(key)
        if value is None or member is None:
            continue
        name = member.serialization.get("name", key)
        match member.serialization.get("location"):
            case "header":
                headers.append((name, _header(member, value)))
            case "headers":
                headers += [(name + one, str(text)) for one, text in value.items()]
            case None:
                inside[key] = value
    tag, namespace = f"{model.name}Result", _XML_NAMESPACES.get(model.service_model.service_name, "")
    payload = shape.serialization.get("payload")
    if payload is not None:
        shape, value = shape.members[payload], inside.get(payload)
        if shape.type_name != "structure":
            return headers, b"" if value is None else _as_bytes(value)
        tag, inside = shape.serialization.get("name", payload), value or {}
    elif all("location" in member.serialization for member in shape.members.values()):
        return headers, b""
    out: list[str] = []
    if model.name == "GetBucketLocation":
        # The only answer without an element around its member.
        out.append(
            f"<LocationConstraint>{_escape(inside.get('LocationConstraint', ''))}</LocationConstraint>"
        )
    else:
        _xml_value(shape, inside, tag, out)
    if namespace:
        out[0] = out[0].replace(">", f' xmlns="{namespace}">', 1)
    return headers, ('<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(out)).encode()


def _header(shape: Any, value: Any) -> str:
    if shape.type_name == "timestamp":
        return format_datetime(value.astimezone(UTC), usegmt=True)
    return str(value).lower() if shape.type_name == "boolean" else str(value)


def _xml_members(shape: Any, value: Mapping[str, Any], out: list[str]) -> None:
    members = shape.members
    for key, item in value.items():
        if item is None or key not in members:
            continue
        member = members[key]
        name = member.serialization.get("name", key)
        if member.serialization.get("xmlAttribute"):
            continue
        if member.type_name == "list" and member.serialization.get("flattened"):
            name = member.member.serialization.get("name", name)
        _xml_value(member, item, name, out)


def _xml_value(shape: Any, value: Any, tag: str, out: list[str]) -> None:
    kind = shape.type_name
    if kind == "structure":
        out.append(f"<{tag}{_xml_attributes(shape, value)}>")
        _xml_members(shape, value, out)
        out.append(f"</{tag}>")
    elif kind == "list":
        if shape.serialization.get("flattened"):
            for item in value:
                _xml_value(shape.member, item, tag, out)
            return
        name = shape.member.serialization.get("name", "member")
        out.append(f"<{tag}>")
        for item in value:
            _xml_value(shape.member, item, name, out)
        out.append(f"</{tag}>")
    elif kind == "map":
        flattened = shape.serialization.get("flattened")
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        pair = tag if flattened else "entry"
        if not flattened:
            out.append(f"<{tag}>")
        for key, item in value.items():
            out.append(f"<{pair}><{key_name}>{_escape(key)}</{key_name}>")
            _xml_value(shape.value, item, value_name, out)
            out.append(f"</{pair}>")
        if not flattened:
            out.append(f"</{tag}>")
    elif kind == "timestamp":
        out.append(f"<{tag}>{_iso(value)}</{tag}>")
    elif kind == "boolean":
        out.append(f"<{tag}>{'true' if value else 'false'}</{tag}>")
    elif kind == "blob":
        out.append(f"<{tag}>{base64.b64encode(_as_bytes(value)).decode()}</{tag}>")
    else:
        out.append(f"<{tag}>{_escape(value)}</{tag}>")


def _xml_attributes(shape: Any, value: Mapping[str, Any]) -> str:
    space = shape.serialization.get("xmlNamespace", {})
    found = "".join(
        f' {member.serialization["name"]}="{_escape(value[key])}"'
        for key, member in shape.members.items()
        if member.serialization.get("xmlAttribute") and value.get(key) is not None
    )
    return f' xmlns:{space["prefix"]}="{space["uri"]}"{found}' if found and "prefix" in space else found


def _as_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _json_value(shape: Any, value: Any) -> Any:
    match shape.type_name:
        case "structure":
            if getattr(shape, "is_document_type", False):
                return value
            return {
                shape.members[key].serialization.get("name", key): _json_value(shape.members[key], item)
                for key, item in value.items()
                if item is not None and key in shape.members
            }
        case "list":
            if shape.member.type_name == "double":
                # Most of the bytes of metric data: not worth a call per level.
                return value
            return [_json_value(shape.member, item) for item in value]
        case "map":
            return {key: _json_value(shape.value, item) for key, item in value.items()}
        case "timestamp":
            if shape.serialization.get("timestampFormat") == "iso8601":
                return _iso(value)
            seconds = value.timestamp()
            return int(seconds) if seconds.is_integer() else seconds
        case "blob":
            return base64.b64encode(_as_bytes(value)).decode()
        case "float" | "double":
            return float(value)
        case _:
            return value


# -- CBOR -------------------------------------------------------------------------------------------------


def _cbor_head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError(f"{number} does not fit into 64 bits")


def _cbor_value(shape: Any, value: Any) -> bytearray:
    out = bytearray()
    kind = shape.type_name
    if kind == "structure":
        items = {key: item for key, item in value.items() if item is not None and key in shape.members}
        out += _cbor_head(5, len(items))
        for key, item in items.items():
            out += encode_cbor(shape.members[key].serialization.get("name", key))
            out += _cbor_value(shape.members[key], item)
    elif kind == "list":
        out += _cbor_head(4, len(value))
        if shape.member.type_name == "timestamp":
            # Most of the bytes of metric data: not worth a call per level.
            out += b"".join(map(encode_cbor, value))
        elif shape.member.type_name == "double":
            out += b"".join(b"\xfb" + struct.pack(">d", item) for item in value)
        else:
            for item in value:
                out += _cbor_value(shape.member, item)
    elif kind == "map":
        out += _cbor_head(5, len(value))
        for key, item in value.items():
            out += encode_cbor(key)
            out += _cbor_value(shape.value, item)
    elif kind in ("float", "double"):
        out += encode_cbor(float(value))
    elif kind == "blob":
        out += encode_cbor(_as_bytes(value))
    else:
        out += encode_cbor(value)
    return out


def encode_cbor(value: Any) -> bytes:
    """The CBOR bytes of plain data; a datetime becomes an epoch number under tag 1."""
    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return _cbor_head(0, value) if value >= 0 else _cbor_head(1, -1 - value)
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return _cbor_head(3, len(text)) + text
        case bytes():
            return _cbor_head(2, len(value)) + value
        case datetime():
            seconds = value.timestamp()
            return b"\xc1" + encode_cbor(int(seconds) if seconds.is_integer() else seconds)
        case list() | tuple():
            return _cbor_head(4, len(value)) + b"".join(encode_cbor(item) for item in value)
        case dict():
            pairs = (encode_cbor(key) + encode_cbor(item) for key, item in value.items())
            return _cbor_head(5, len(value)) + b"".join(pairs)
        case _:
            raise TypeError(f"CBOR has no form for {type(value).__name__}")


def decode_cbor(data: bytes) -> Any:
    """Plain data from CBOR bytes, indefinite lengths and tag 1 included."""
    value, end = _cbor_item(data, 0)
    if end != len(data):
        raise ValueError("bytes after the end of the CBOR item")
    return value


_BREAK = object()
_SIMPLE: Mapping[int, Any] = {20: False, 21: True, 22: None, 23: None, 31: _BREAK}
_FLOATS: Mapping[int, tuple[str, int]] = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}


def _cbor_item(data: bytes, at: int) -> tuple[Any, int]:
    if at >= len(data):
        raise ValueError("the CBOR data end too early")
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if info in _FLOATS:
            layout, size = _FLOATS[info]
            return struct.unpack(layout, data[at : at + size])[0], at + size
        return _SIMPLE[info], at
    number: int | None = info
    if info == 31:
        number = None
    elif info >= 24:
        size = 1 << (info - 24)
        number, at = int.from_bytes(data[at : at + size], "big"), at + size
    if major in (2, 3):
        return _cbor_string(data, at, major, number)
    if major in (4, 5):
        return _cbor_container(data, at, major, number)
    if number is None:
        raise ValueError("an integer of indefinite length")
    if major == 6:
        value, at = _cbor_item(data, at)
        return (datetime.fromtimestamp(value, UTC) if number == 1 else value), at
    return (number if major == 0 else -1 - number), at


def _cbor_string(data: bytes, at: int, major: int, length: int | None) -> tuple[Any, int]:
    finish: Callable[[bytes], Any] = bytes.decode if major == 3 else bytes
    if length is not None:
        return finish(data[at : at + length]), at + length
    chunks: list[Any] = []
    while True:
        chunk, at = _cbor_item(data, at)
        if chunk is _BREAK:
            return finish(b"".join(c.encode() if isinstance(c, str) else c for c in chunks)), at
        chunks.append(chunk)


def _cbor_container(data: bytes, at: int, major: int, length: int | None) -> tuple[Any, int]:
    wanted = math.inf if length is None else length * (major - 3)
    items: list[Any] = []
    while len(items) < wanted:
        item, at = _cbor_item(data, at)
        if item is _BREAK:
            break
        items.append(item)
    if major == 4:
        return items, at
    return dict(zip(items[::2], items[1::2], strict=True)), at
