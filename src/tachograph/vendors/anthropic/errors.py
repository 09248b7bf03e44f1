"""Anthropic's categories.

Sources: anthropic 2.12 `_exceptions.py`, `types/shared/error_type.py` and the error details beside it;
docs.anthropic.com/en/api/errors. Checked 2026-11-23.
"""

from __future__ import annotations

from typing import Final

from tachograph.vendors.failures import STATUSES, Failure, FailureTable, categorise, unreadable
from tachograph.vendors.fields import pick, text

TABLE: Final = FailureTable(
    codes={
        "enforced_spend_limit_reached": "quota",
        "contract_spend_limit_reached": "quota",
        "linked_organization_spend_limit_reached": "quota",
        "linked_organization_billing_unavailable": "quota",
        "billing_error": "quota",
        "ramp_limit_exceeded": "rate_limit",
        "organization_on_hold": "auth",
        "overloaded_error": "server_error",
    },
    phrases=(
        ("credit balance is too low", "quota"),  # a 400 invalid_request_error
        ("reached your specified api usage limits", "quota"),
        ("blocked by content filtering", "content_filter"),
    ),
    classes={
        "CredentialsError": "auth",
        "RetryableError": "server_error",
    },
    statuses=STATUSES,
    kinds={
        "authentication_error": "auth",
        "permission_error": "auth",
        "rate_limit_error": "rate_limit",
        "invalid_request_error": "invalid_request",
        "not_found_error": "invalid_request",
        "request_too_large": "invalid_request",
        "conflict_error": "invalid_request",
        "timeout_error": "timeout",
        "api_error": "server_error",
    },
    request_id_header="request-id",
)


def anthropic_failure(
    *,
    status: int | None = None,
    headers: object = None,
    body: object = None,
    error: BaseException | None = None,
) -> Failure:
    """Categorise an answer (status, headers, parsed body), a stream's `error` event (its data as the body, status 200)
    or an exception of the anthropic SDK."""
    failure = categorise(TABLE, status=status, headers=headers, body=body, error=error)
    if failure.error_type == "unknown" and failure.status == 200:  # an error event of a kind not known yet
        return Failure("server_error", True, 200, failure.code, failure.message, failure.request_id)
    return failure


def anthropic_finish_failure(stop_reason: str | None) -> Failure | None:
    """The failure that a message's stop reason reports. Running out of tokens or context is none."""
    if stop_reason == "refusal":
        return Failure("content_filter", False, 200, "refusal", "The model refused to answer")
    return None


def anthropic_message_failure(message: object) -> Failure | None:
    """The failure that a whole answer reports under status 200: refused, an error body, or no message at all."""
    if text(message, "type") == "error" or (pick(message, "error") is not None and pick(message, "content") is None):
        return anthropic_event_failure(message)
    if not isinstance(pick(message, "content"), (list, tuple)):
        return unreadable(message)
    return anthropic_finish_failure(text(message, "stop_reason"))


def anthropic_event_failure(event: object) -> Failure:
    """The failure that an `error` event, or an error body under status 200, reports."""
    error = pick(event, "error")
    body = {name: value for name in ("type", "message") if (value := text(error, name))}
    return anthropic_failure(status=200, body={"error": body})
