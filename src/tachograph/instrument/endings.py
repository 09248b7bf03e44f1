"""How a watched call or attempt ended, in our words. The categories are the engine's own (`tachograph.llm.errors`)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tachograph.llm.errors import failure_of
from tachograph.records import Attempt, LLMCall, outcome_of
from tachograph.records.outcomes import ErrorType, Outcome

__all__ = ["correct_last_attempt", "ending_of", "note_headers", "of_status", "outcome_of", "worth_reading"]

REQUEST_ID_HEADERS: Final = ("x-request-id", "request-id", "x-goog-request-id")


def ending_of(vendor: str, error: BaseException) -> tuple[Outcome, ErrorType | None]:
    """The outcome and the error type of an exception; giving up is no error."""
    if isinstance(error, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)):
        reason = error.args[0] if error.args and isinstance(error.args[0], str) else ""
        if "deadline exceeded" in reason:  # anyio says why it cancels; asyncio's own deadlines do not
            return "timeout", "timeout"
        return "cancelled", None
    error_type = failure_of(vendor, error=error).error_type
    return outcome_of(error_type), error_type


def of_status(vendor: str, status: int, headers: Any, body: Any) -> ErrorType:
    """The error type of an answer with an error status."""
    return failure_of(vendor, status=status, headers=headers, body=body).error_type


def worth_reading(headers: Any) -> dict[str, str] | Any:
    """Of an answer's headers those that say something to us, by lower-case name.

    One look-up in httpx's headers costs one to two microseconds, and we would make fifteen of every answer.
    """
    raw = getattr(headers, "raw", None)
    if type(raw) is not list:
        return headers
    return {
        lower.decode("latin-1"): value.decode("latin-1")
        for name, value in raw
        if (lower := name.lower()) in _IDS or b"ratelimit" in lower
    }


_IDS: Final = frozenset(name.encode() for name in REQUEST_ID_HEADERS)


def note_headers(call: LLMCall, attempt: Attempt, headers: Any) -> None:
    """Keep the ids that the headers of an answer state."""
    for name in REQUEST_ID_HEADERS:
        request_id = headers.get(name)
        if request_id:
            call.request_id = attempt.request_id = request_id
            break


def correct_last_attempt(call: LLMCall, outcome: Outcome, error_type: ErrorType | None) -> None:
    """Let the last attempt say what the call's own ending says, which knows more than a status does."""
    if not call.attempts or error_type is None:
        return
    last = call.attempts[-1]
    if last.ended_ns:
        last.outcome, last.error_type = outcome, error_type
