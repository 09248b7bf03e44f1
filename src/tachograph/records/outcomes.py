"""The words that say how a call, an attempt or a tool execution ended.

They are label values on /metrics (docs/contract.md) and values in the ledger, so they are promises.
"""

from __future__ import annotations

from typing import Final, Literal

Outcome = Literal["success", "error", "timeout", "rate_limited", "cancelled"]
ErrorType = Literal[
    "auth",
    "rate_limit",
    "quota",
    "invalid_request",
    "content_filter",
    "server_error",
    "timeout",
    "connection",
    "unknown",
]
ErrorKind = Literal["connection", "validation", "execution", "timeout"]
ToolOutcome = Literal["success", "error", "timeout", "cancelled"]
CostQuality = Literal["priced", "stated", "estimated", "included", "unpriced"]

OUTCOMES: Final[tuple[Outcome, ...]] = ("success", "error", "timeout", "rate_limited", "cancelled")
ERROR_TYPES: Final[tuple[ErrorType, ...]] = (
    "auth",
    "rate_limit",
    "quota",
    "invalid_request",
    "content_filter",
    "server_error",
    "timeout",
    "connection",
    "unknown",
)
ERROR_KINDS: Final[tuple[ErrorKind, ...]] = ("connection", "validation", "execution", "timeout")
TOOL_OUTCOMES: Final[tuple[ToolOutcome, ...]] = ("success", "error", "timeout", "cancelled")
COST_QUALITIES: Final[tuple[CostQuality, ...]] = ("priced", "stated", "estimated", "included", "unpriced")

UNFINISHED: Final = frozenset(("queued", "in_progress"))
"""What a job's answer gives as its finish reason while the vendor still works at it."""
_OUTCOME_OF: Final[dict[ErrorType, Outcome]] = {"timeout": "timeout", "rate_limit": "rate_limited"}


def outcome_of(error_type: ErrorType) -> Outcome:
    """The outcome that goes with an error type: `timeout`, `rate_limited`, or else `error`.

    `quota` is an `error`: the provider refuses until something is changed; waiting does not help.
    """
    return _OUTCOME_OF.get(error_type, "error")
