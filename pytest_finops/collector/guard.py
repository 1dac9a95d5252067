"""The read-only guard: no call leaves the process, and nothing is signed, that is not a declared read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import WriteRefusedError
from ..operations import operation as operation_facts

#: Reads of the engine itself: who am I, which regions, what does it cost.
ENGINE_READS = frozenset({
    ("sts", "get_caller_identity"), ("ec2", "describe_regions"), ("cloudwatch", "get_metric_data"),
    ("pricing", "get_products"),
})  # fmt: skip

#: How credentials are got and renewed: botocore's own providers send these through the guarded session.
CREDENTIALS = frozenset({
    ("sts", "assume_role"), ("sts", "assume_role_with_web_identity"), ("sso", "get_role_credentials"),
    ("sso-oidc", "create_token"), ("signin", "create_oauth2_token"),
})  # fmt: skip
#: The members of a credential call that name a role: each must be a role that the run was started with.
_ROLE = {"assume_role": "RoleArn", "assume_role_with_web_identity": "RoleArn"}

_READ = re.compile(r"(describe|list|get|batch_get|batch_describe|search|lookup|select|head)_")
#: Read by name, but IAM counts them as writes, or they hand out credentials, signed addresses or secrets
#: (found by comparing every operation that botocore knows with the Service Authorization Reference).
_NOT_READS = re.compile(
    r"credentials|password(?!_polic)|token$|_from_refresh_token|access_token_for|secret_value|presigned_?url"
    r"|login_url|upload_url|sign_?in_url|access_details"
)
NEVER = frozenset({
    ("appfabric", "batch_get_user_access_tasks"), ("athena", "get_session_endpoint"), ("cognito-identity", "get_id"),
    ("socialmessaging", "get_whats_app_message_media"), ("stepfunctions", "get_activity_task"),
    # The first call in a region may create an index.
    ("resource-explorer-2", "search"), ("resource-explorer-2", "list_resources"),
    # What customers keep in AWS is none of a cost audit's business.
    ("athena", "get_query_results"), ("cloudformation", "get_template"), ("codecommit", "get_blob"),
    ("codecommit", "get_file"), ("dynamodb", "batch_get_item"), ("dynamodb", "get_item"),
    ("ec2", "describe_instance_attribute"), ("ec2", "get_console_output"), ("ec2", "get_console_screenshot"),
    ("ecr", "batch_get_image"), ("ecr", "get_download_url_for_layer"), ("glue", "get_connection"),
    ("glue", "get_connections"), ("kinesis", "get_records"), ("lambda", "get_function"), ("logs", "get_log_events"),
    ("logs", "get_log_record"), ("logs", "get_query_results"), ("redshift-data", "get_statement_result"),
    ("s3", "get_object"), ("s3", "get_object_torrent"), ("s3", "select_object_content"), ("ssm", "get_parameter"),
    ("ssm", "get_parameter_history"), ("ssm", "get_parameters"), ("ssm", "get_parameters_by_path"),
})  # fmt: skip


def why_refused(service: str, method: str) -> str:
    """Return why an inventory may not declare ``service.method`` (boto3's names); empty for a read."""
    if service in ("sts", "sso", "sso-oidc", "signin") and (service, method) not in ENGINE_READS:
        return "it hands out credentials"
    if (service, method) in NEVER or _NOT_READS.search(method):
        return "it reads contents or secrets, or writes for all its name says"
    if not _READ.match(method) or operation_facts(service, method).writes:
        return "it is not a read"
    return ""


class Guard:
    """Refuses every (service, operation) that was not allowed; registered before any client exists."""

    def __init__(self) -> None:
        self._allowed: set[tuple[str, str]] = set(ENGINE_READS)
        self._roles: set[str] = set()
        self._checked: set[tuple[str, str]] = set()

    def allow(self, calls: Iterable[tuple[str, str]]) -> None:
        """Allow (boto3 service, boto3 method) pairs: the declared reads of the plan.

        :raises WriteRefusedError: for what is not a read, whoever declared it.
        """
        for service, method in calls:
            why = why_refused(service, method)
            if why:
                raise WriteRefusedError(f"{service}.{method} is refused: {why}", code="Refused")
            self._allowed.add((service, method))
            if service == "s3":
                # botocore asks a bucket for its region when it answers from elsewhere.
                self._allowed.add(("s3", "head_bucket"))

    def allow_role(self, arn: str) -> None:
        """Allow the run to take on one role."""
        self._roles.add(arn)

    def permits(self, service: str, method: str, params: Mapping[str, Any]) -> bool:
        """Whether this request may be made: a declared read, or the credentials of the run itself."""
        if (service, method) in CREDENTIALS:
            role = _ROLE.get(method)
            return role is None or params.get(role) in self._roles
        return (service, method) in self._allowed

    def register(self, session: Any) -> None:
        """Hook into a botocore session: at the parameters, before sending, and before anything is signed."""
        events = session.get_component("event_emitter")
        # `provide-client-params` also covers presigned URLs; `before-call` does not (measured).
        events.register_first("provide-client-params", self._refuse, unique_id="pytest-finops-guard")
        events.register_first("before-call", self._refuse_call, unique_id="pytest-finops-last-gate")
        # Tokens and forms that are signed without an operation of the model (rds, dsql) pass only here.
        events.register_first("choose-signer", self._refuse_signing, unique_id="pytest-finops-signer")

    def _refuse(self, model: Any, params: Mapping[str, Any] | None = None, **_: Any) -> None:
        from botocore import xform_name

        # elb and elbv2 share an endpoint prefix; only the model's own name tells them apart.
        service = str(model.service_model.service_name)
        if not self.permits(service, xform_name(model.name), params or {}):
            raise WriteRefusedError(
                f"{service}:{model.name} is not a declared read of this run: refused", code="Refused"
            )
        self._checked.add((str(model.service_model.service_id.hyphenize()), str(model.name)))

    def _refuse_call(self, model: Any, **_: Any) -> None:
        if (str(model.service_model.service_id.hyphenize()), str(model.name)) not in self._checked:
            self._refuse(model)

    def _refuse_signing(self, event_name: str, **_: Any) -> None:
        service, operation = event_name.split(".")[1:3]
        if (service, operation) not in self._checked:
            raise WriteRefusedError(
                f"{service}:{operation} is not a declared read of this run: not signed", code="Refused"
            )
