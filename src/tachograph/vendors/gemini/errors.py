"""Gemini's categories, for generateContent and for Interactions.

Sources: google-genai 3.4 `errors.py` and `_gaos/lib/compat_errors.py`; google.rpc error details;
ai.google.dev/gemini-api/docs/troubleshooting. Checked 2026-11-23.
"""

from __future__ import annotations

from typing import Final

from tachograph.records.outcomes import ErrorType
from tachograph.vendors.failures import STATUSES, ErrorReport, Failure, FailureTable, categorise
from tachograph.vendors.fields import dig, either, items, pick, text, word

_REASONS: Final[dict[str, ErrorType]] = {
    "API_KEY_INVALID": "auth",
    "API_KEY_EXPIRED": "auth",
    "API_KEY_SERVICE_BLOCKED": "auth",
    "ACCESS_TOKEN_EXPIRED": "auth",
    "SERVICE_DISABLED": "auth",
    "CONSUMER_INVALID": "auth",
    "BILLING_DISABLED": "quota",
}
BLOCKED: Final = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
    }
)
"""Finish reasons by which a filter ended the answer."""


def _refine(said: ErrorReport, status: int | None) -> ErrorType | None:
    error = pick(said.raw, "error") or said.raw
    for detail in items(error, "details"):
        reason = text(detail, "reason")
        if reason in _REASONS:
            return _REASONS[reason]
        for violation in items(detail, "violations"):
            quota_id = text(violation, "quotaId") or ""
            if "PerDay" in quota_id or "PerMonth" in quota_id or str(pick(violation, "quotaValue")) == "0":
                return "quota"  # minutes of waiting do not end a day's limit
    return None


TABLE: Final = FailureTable(
    codes={"UNAUTHENTICATED": "auth"},
    phrases=(
        ("api key not valid", "auth"),  # a 400 INVALID_ARGUMENT
        ("api key expired", "auth"),
        ("monthly spending cap", "quota"),
        ("prepayment credits are depleted", "quota"),
    ),
    refine=_refine,
    classes={
        "UnsupportedFunctionError": "invalid_request",
        "UnknownFunctionCallArgumentError": "invalid_request",
        "UnknownApiResponseError": "server_error",
    },
    statuses={**STATUSES, 504: "timeout"},
    kinds={
        "PERMISSION_DENIED": "auth",
        "RESOURCE_EXHAUSTED": "rate_limit",
        "INVALID_ARGUMENT": "invalid_request",
        "FAILED_PRECONDITION": "invalid_request",
        "OUT_OF_RANGE": "invalid_request",
        "NOT_FOUND": "invalid_request",
        "DEADLINE_EXCEEDED": "timeout",
        "UNAVAILABLE": "server_error",
        "INTERNAL": "server_error",
        "UNKNOWN": "server_error",
        "ABORTED": "server_error",
        "CANCELLED": "connection",
    },
)


def gemini_failure(
    *,
    status: int | None = None,
    headers: object = None,
    body: object = None,
    error: BaseException | None = None,
) -> Failure:
    """Categorise an answer (status, headers, parsed body) or an exception of the google-genai SDK.

    An error inside a stream raises with its own code under HTTP status 200; the exception reports it.
    """
    failure = categorise(TABLE, status=status, headers=headers, body=body, error=error)
    if type(error).__name__ == "ValidationError" and str(getattr(error, "title", "")).endswith("Response"):
        # the answer, and not the request, is of the wrong form
        return Failure("server_error", True, 200, "unreadable_answer", failure.message)
    return failure


def gemini_response_failure(response: object) -> Failure | None:
    """The failure that a response or a chunk reports without raising: a blocked prompt, an answer cut by a filter."""
    feedback = either(response, "prompt_feedback", "promptFeedback")
    reason = word(either(feedback, "block_reason", "blockReason"))
    if reason is not None:
        message = word(either(feedback, "block_reason_message", "blockReasonMessage"))
        return Failure("content_filter", False, 200, reason, message or "The prompt was blocked")
    for candidate in items(response, "candidates"):
        failure = gemini_finish_failure(word(either(candidate, "finish_reason", "finishReason")))
        if failure is not None:
            return failure
    return None


def gemini_finish_failure(finish_reason: str | None) -> Failure | None:
    """The failure that a finish reason reports. MAX_TOKENS is none."""
    if finish_reason in BLOCKED:
        return Failure("content_filter", False, 200, finish_reason, "The answer was cut by a filter")
    return None


def interaction_failure(interaction: object) -> Failure | None:
    """The failure that an interaction's status reports."""
    if text(interaction, "status") != "failed":
        return None
    failure = categorise(TABLE, body={"error": {"message": dig(interaction, "error", "message")}})
    if failure.error_type == "unknown":
        return Failure("server_error", True, 200, text(pick(interaction, "error"), "code"), failure.message)
    return failure
