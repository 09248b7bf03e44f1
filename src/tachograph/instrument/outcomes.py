"""How a watched call or attempt ended, in our words. The categories are the engine's own (`tachograph.llm.errors`)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tachograph.instrument.active_config import recorder
from tachograph.llm import headroom
from tachograph.llm.headroom import Headroom
from tachograph.records import Attempt, LLMCall, outcome_of
from tachograph.records.outcomes import ErrorType, Outcome
from tachograph.vendors import gateways
from tachograph.vendors.errors import failure_of

__all__ = ["correct_last_attempt", "ending_of", "note_headers", "of_status", "outcome_of"]

REQUEST_ID_HEADERS: Final = ("x-request-id", "request-id", "x-goog-request-id")


def ending_of(vendor: str, error: BaseException) -> tuple[Outcome, ErrorType | None]:
    """The outcome and the error type of an exception; giving up is no error."""
    if isinstance(error, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)):
        return ("timeout", "timeout") if is_late(error) else ("cancelled", None)
    error_type = failure_of(vendor, error=error).error_type
    return outcome_of(error_type), error_type


def is_late(error: BaseException) -> bool:
    """Whether a cancellation says that a deadline has passed: anyio says why it cancels, asyncio's own do not."""
    return bool(error.args) and isinstance(error.args[0], str) and "deadline exceeded" in error.args[0]


def of_status(vendor: str, status: int, headers: Any, body: Any) -> ErrorType:
    """The error type of an answer with an error status."""
    return failure_of(vendor, status=status, headers=headers, body=body).error_type


def note_headers(call: LLMCall, attempt: Attempt, headers: Any) -> None:
    """Take what the headers of an answer say: the request's id, and how much is left of the rate limits.

    One look-up in httpx's headers costs one to two microseconds, so they are looked through as bytes.
    """
    raw = getattr(headers, "raw", None)
    if type(raw) is not list:
        _note_other_headers(call, attempt, headers)
        return
    known = dict(raw)
    names = b" ".join(known).lower()
    if b"request-id" in names:
        found = known.get(b"x-request-id") or known.get(b"request-id") or _request_id(known)
        if found:
            call.request_id = attempt.request_id = found.decode("latin-1")
    if attempt.status is not None and attempt.status < 400 and gateways.are_of_a_gateway(names):
        lower = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in known.items()}
        gateways.note_gateway(call, lower.get)
    if b"ratelimit" in names:
        recorder().metrics.part(Headroom).keep(call.provider, call.model, known)


def _request_id(raw: dict[bytes, bytes]) -> bytes | None:
    lower = {name.lower(): value for name, value in raw.items()}
    return next((lower[name] for name in _IDS if lower.get(name)), None)


_IDS: Final = tuple(name.encode() for name in REQUEST_ID_HEADERS)


def _note_other_headers(call: LLMCall, attempt: Attempt, headers: Any) -> None:
    """The same, of another library's headers: a mapping that ignores case."""
    for name in REQUEST_ID_HEADERS:
        request_id = headers.get(name)
        if request_id:
            call.request_id = attempt.request_id = request_id
            break
    if attempt.status is not None and attempt.status < 400:
        gateways.note_gateway(call, headers.get)
    headroom.note_headers(recorder(), call.provider, call.model, headers)


def correct_last_attempt(call: LLMCall, outcome: Outcome, error_type: ErrorType | None) -> None:
    """Let the last attempt say what the call's own ending says, which knows more than a status does."""
    if not call.attempts or error_type is None:
        return
    last = call.attempts[-1]
    if last.ended_ns:
        last.outcome, last.error_type = outcome, error_type
