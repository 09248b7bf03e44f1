"""OpenAI's categories, Azure's and compatible servers' included.

Sources: openai 3.57 `_exceptions.py`, `types/responses/response_error.py`, `types/beta/session_turn_error.py` (spend
limits); platform.openai.com/docs/guides/error-codes; Azure content filter codes. Checked 2026-11-27.
"""

from __future__ import annotations

from typing import Any, Final

from tachograph.records.outcomes import ErrorType
from tachograph.vendors.failures import STATUSES, ErrorReport, Failure, FailureTable, categorise, unreadable
from tachograph.vendors.fields import count, dig, items, pick, text

_IMAGES: Final[tuple[str, ...]] = (
    *("invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "image_too_large"),
    *("image_too_small", "image_parse_error", "invalid_image_mode", "image_file_too_large", "empty_image_file"),
    *("unsupported_image_media_type", "failed_to_download_image", "image_file_not_found"),
)


def _inner_code(said: ErrorReport, status: int | None) -> ErrorType | None:
    """Azure says it one level deeper."""
    error = pick(said.raw, "error")
    return TABLE.codes.get(text(pick(said.raw if error is None else error, "innererror"), "code") or "")


TABLE: Final = FailureTable(
    codes={
        "invalid_api_key": "auth",
        "account_deactivated": "auth",
        "invalid_grant": "auth",
        "invalid_subject_token": "auth",
        "unsupported_country_region_territory": "auth",
        "rate_limit_exceeded": "rate_limit",
        "insufficient_quota": "quota",
        "quota_exceeded": "quota",
        "billing_hard_limit_reached": "quota",
        "billing_not_active": "quota",
        "credit_balance_exhausted": "quota",
        "usage_limit_exceeded": "quota",
        "project_spend_limit_exceeded": "quota",
        "organization_spend_limit_exceeded": "quota",
        "organization_usage_limit_exceeded": "quota",
        "access_terminated": "auth",
        "content_filter": "content_filter",
        "content_policy_violation": "content_filter",
        "image_content_policy_violation": "content_filter",
        "moderation_blocked": "content_filter",
        "ResponsibleAIPolicyViolation": "content_filter",
        "bio_policy": "content_filter",
        "cyber_policy": "content_filter",
        "misalignment_policy_violation": "content_filter",
        "context_length_exceeded": "invalid_request",
        "model_not_found": "invalid_request",
        "DeploymentNotFound": "invalid_request",
        "invalid_prompt": "invalid_request",
        "data_residency_mismatch": "invalid_request",
        "vector_store_timeout": "server_error",
        "flex_unavailable": "server_error",
        "server_overloaded": "server_error",
        "request_timeout": "timeout",
        **dict.fromkeys(_IMAGES, "invalid_request"),
    },
    phrases=(
        ("request too large for", "quota"),  # one request above the minute's tokens: waiting does not help
        ("insufficient balance", "quota"),
        ("monthly spending limit", "quota"),  # xAI
    ),
    refine=_inner_code,
    classes={
        "OAuthError": "auth",
        "SubjectTokenProviderError": "auth",
        "LengthFinishReasonError": "invalid_request",
        "ContentFilterFinishReasonError": "content_filter",
    },
    statuses=STATUSES,
    kinds={
        "server_error": "server_error",
        "api_error": "server_error",
        "overloaded_error": "server_error",
        "overloaded": "server_error",
        "rate_limit": "rate_limit",
        "service_unavailable": "server_error",
        "invalid_request_error": "invalid_request",
        "invalid_request": "invalid_request",
        "authentication_error": "auth",
        "permission_error": "auth",
        "tokens": "rate_limit",
        "requests": "rate_limit",
        "rate_limit_error": "rate_limit",
        "timeout": "timeout",
    },
    request_id_header="x-request-id",
)


def openai_failure(
    *,
    status: int | None = None,
    headers: object = None,
    body: Any = None,
    error: BaseException | None = None,
) -> Failure:
    """Categorise an answer (status, headers, parsed body) or an exception of the openai SDK."""
    failure = categorise(TABLE, status=status, headers=headers, body=body, error=error)
    if failure.error_type == "unknown" and failure.status is None and type(error).__name__ == "APIError":
        return _server_error(failure)  # an error event inside a stream, of a kind not known yet
    return failure


def openai_response_failure(response: object) -> Failure | None:
    """The failure that a Responses API object reports without raising: `failed`, or `incomplete` by the filter."""
    status = text(response, "status")
    error = pick(response, "error")
    if status == "failed" or (status is None and error is not None):
        return openai_body_failure(error)
    if status is None and pick(response, "usage") is None and not isinstance(pick(response, "output"), (list, tuple)):
        return unreadable(response)
    if status == "incomplete" and dig(response, "incomplete_details", "reason") == "content_filter":
        return Failure("content_filter", False, 200, "content_filter", "The answer was cut by the content filter")
    return None


def openai_event_failure(event: object) -> Failure | None:
    """The failure that a stream event reports: `response.failed`, `response.incomplete`, `error`."""
    kind = text(event, "type")
    if kind in ("response.failed", "response.incomplete"):
        return openai_response_failure(pick(event, "response"))
    if kind == "error":
        nested = pick(event, "error")
        return openai_body_failure(event if nested is None else nested)
    return None


def openai_finish_failure(finish_reason: str | None) -> Failure | None:
    """The failure that a chat completion's finish reason reports."""
    if finish_reason == "content_filter":
        return Failure("content_filter", False, 200, "content_filter", "The answer was cut by the content filter")
    if finish_reason == "error":  # OpenRouter: the provider behind it failed during the answer
        return Failure("server_error", True, 200, "error", "The provider ended the answer with an error")
    return None


def openai_chat_failure(answer: object) -> Failure | None:
    """The failure that a chat completion, or one chunk of it, reports under status 200."""
    choice = next(items(answer, "choices"), None)
    error = pick(answer, "error") or pick(choice, "error")
    if error is not None and error != "":
        return openai_body_failure(error)
    if choice is None:
        return unreadable(answer)
    return openai_finish_failure(text(choice, "finish_reason"))


def openai_body_failure(error: object) -> Failure:
    """The failure that an error object under status 200 reports; relays put the status they got into its code."""
    status = count(error, "code")
    if isinstance(error, str):
        failure = categorise(TABLE, body={"error": error})
    else:
        known = status if status is not None and 400 <= status <= 599 else None
        failure = categorise(TABLE, status=known, body={"error": _plain(error)})
    return failure if failure.error_type != "unknown" else _server_error(failure)


def _plain(error: object) -> dict[str, Any]:
    return {name: value for name in ("code", "type", "message") if (value := text(error, name)) and value != "error"}


def _server_error(failure: Failure) -> Failure:
    return Failure("server_error", True, None, failure.code, failure.message)
