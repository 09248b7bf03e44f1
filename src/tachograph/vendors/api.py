"""What a reader of one API of a vendor looks like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tachograph.records import LLMCall
    from tachograph.records.outcomes import ErrorType


class ChunkReader(Protocol):
    """Reads the pieces of one streamed answer.

    Attributes:
        is_complete: Whether the vendor said that the answer is whole.
        error_type: Set when the answer itself says that it failed.
        takes_lines: Whether the pieces are lines of JSON rather than events.
        started: Whether the first content has come.
        tail: Of the pieces after the first content, how many of the last tell all that counts; 0: each must be fed.
    """

    takes_lines: bool
    tail: int
    started: bool
    is_complete: bool
    error_type: ErrorType | None

    def hides(self, chunk: Any) -> bool:
        """Whether a piece is what asking for usage causes, and nothing more."""

    def feed(self, chunk: Any, call: LLMCall) -> bool:
        """Note one piece; says whether it is to be hidden from the application (only what we asked for is)."""

    def fill(self, call: LLMCall) -> None:
        """Put what the pieces said into the record."""


class WholeAnswer:
    """Reads an answer that is no stream of events; `bodies.Follower` reads it as a whole. Also what readers build on.

    Attributes:
        started: Whether the first content has come.
    """

    takes_lines = False
    tail = 0

    def __init__(self) -> None:
        self.is_complete = False
        self.error_type: ErrorType | None = None
        self.started = False

    def hides(self, chunk: Any) -> bool:
        """Nothing is asked for here."""
        return False

    def feed(self, chunk: Any, call: LLMCall) -> bool:
        """Pieces say nothing here."""
        return False

    def fill(self, call: LLMCall) -> None:
        """Nothing to add."""

    def start(self, call: LLMCall) -> None:
        """The first content is here."""
        self.started = True
        call.first_token()


@dataclass(frozen=True, slots=True)
class Api:
    """One API of a vendor, as we watch it.

    Attributes:
        vendor: Whose wire language it speaks: `openai`, `anthropic` or `gemini`.
        name: `chat_completions`, `messages`, ...: goes into the record.
        operation: OpenTelemetry's word for it.
        read: Reads a whole answer into the record; returns an error type when the answer says that it failed.
        chunks: Makes a reader of streamed answers; None when the API does not stream.
        counts_usage: False where there is never any usage to count (a free or a stored answer).
    """

    vendor: str
    name: str
    operation: str
    read: Callable[[LLMCall, Any], ErrorType | None]
    chunks: Callable[[], ChunkReader] | None = None
    counts_usage: bool = True
