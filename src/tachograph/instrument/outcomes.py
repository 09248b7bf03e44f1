"""How a watched call or attempt ended, in our words. The categories are the engine's own (`tachograph.llm.errors`)."""

from __future__ import annotations

import asyncio

from tachograph.records import LLMCall, outcome_of
from tachograph.records.outcomes import ErrorType, Outcome
from tachograph.vendors.errors import failure_of

__all__ = ["correct_last_attempt", "ending_of", "of_status", "outcome_of"]


def ending_of(vendor: str, error: BaseException) -> tuple[Outcome, ErrorType | None]:
    """The outcome and the error type of an exception; giving up is not an error."""
    if gives_up(error):
        return ("timeout", "timeout") if is_late(error) else ("cancelled", None)
    error_type = failure_of(vendor, error=error).error_type
    return outcome_of(error_type), error_type


def gives_up(error: BaseException) -> bool:
    """Whether an exception says that the application has given the call up; trio has a class of its own for it."""
    if isinstance(error, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)):
        return True
    kind = type(error)
    return kind.__name__ == "Cancelled" and kind.__module__.startswith("trio")


def is_late(error: BaseException) -> bool:
    """Whether a cancellation says that a deadline has passed: anyio and trio say why, asyncio's own do not."""
    if getattr(error, "source", None) == "deadline":
        return True
    return bool(error.args) and isinstance(error.args[0], str) and "deadline exceeded" in error.args[0]


def of_status(vendor: str, status: int, headers: object, body: object) -> ErrorType:
    """The error type of an answer with an error status."""
    return failure_of(vendor, status=status, headers=headers, body=body).error_type


def correct_last_attempt(call: LLMCall, outcome: Outcome, error_type: ErrorType | None) -> None:
    """Let the last attempt say what the call's own ending says, which holds more than a status does."""
    if not call.attempts or error_type is None:
        return
    last = call.attempts[-1]
    if last.ended_ns:
        last.outcome, last.error_type = outcome, error_type
