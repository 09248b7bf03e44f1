"""Bedrock's categories of failure.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors;
botocore 1.44 `bedrock-runtime` model; 2026-11-27.
"""

from __future__ import annotations

from typing import Final

from tachograph.records.outcomes import ErrorType
from tachograph.vendors.failures import STATUSES, Failure, FailureTable, categorise, pick_header, read_body
from tachograph.vendors.fields import dig, pick

_CODES: Final[dict[str, ErrorType]] = {
    "ThrottlingException": "rate_limit",
    "TooManyRequestsException": "rate_limit",
    "ModelNotReadyException": "server_error",
    "ServiceQuotaExceededException": "quota",
    "ModelTimeoutException": "timeout",
    "ModelErrorException": "server_error",
    "ModelStreamErrorException": "server_error",
    "InternalServerException": "server_error",
    "ServiceUnavailableException": "server_error",
    "AccessDeniedException": "auth",
    "UnrecognizedClientException": "auth",
    "InvalidSignatureException": "auth",
    "ExpiredTokenException": "auth",
    "ValidationException": "invalid_request",
    "ResourceNotFoundException": "invalid_request",
}
_LOWER: Final[dict[str, ErrorType]] = {code[:1].lower() + code[1:]: error_type for code, error_type in _CODES.items()}
TABLE: Final = FailureTable(
    codes={**_CODES, **_LOWER},
    classes={
        "ConnectTimeoutError": "timeout",
        "ReadTimeoutError": "timeout",
        "ConnectionClosedError": "connection",
        "EndpointConnectionError": "connection",
        "HTTPClientError": "connection",
        "NoCredentialsError": "auth",
        "ParamValidationError": "invalid_request",
    },
    statuses={**STATUSES, 424: "server_error"},
    request_id_header="x-amzn-requestid",
)


def bedrock_failure(
    *,
    status: int | None = None,
    headers: object = None,
    body: object = None,
    error: BaseException | None = None,
) -> Failure:
    """Categorise an answer or an exception of botocore, whose `response` is a dictionary."""
    told = pick(error, "response")
    code = dig(told, "Error", "Code")
    if status is None:
        status = dig(told, "ResponseMetadata", "HTTPStatusCode")
    if code is None:
        code = (pick_header(headers, "x-amzn-errortype") or "").partition(":")[0] or None
    if isinstance(code, str):
        message = dig(told, "Error", "Message") or read_body(body).message
        body = {"error": {"code": code, "message": message}}
    return categorise(TABLE, status=status, headers=headers, body=body, error=error)


def failure_of_event(kind: str | None) -> ErrorType:
    """The category of an exception inside a stream."""
    found = categorise(TABLE, body={"error": {"code": kind}}).error_type
    return "server_error" if found == "unknown" else found
