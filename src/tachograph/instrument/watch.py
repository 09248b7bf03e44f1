"""One watched call under way: its record, and how its answer is read.

Every hook of every client reports to a `Watch`. Its methods never raise into the application: a failure of ours is
handed to the recorder, which counts it and drops it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tachograph.instrument import endings
from tachograph.instrument.settled import recorder
from tachograph.records.content import keep
from tachograph.vendors.api import Api, ChunkReader, WholeAnswer
from tachograph.vendors.loose import opened
from tachograph.vendors.retry_after import retry_after_seconds

if TYPE_CHECKING:
    from tachograph.instrument.streams import StreamState
    from tachograph.records import Attempt, LLMCall
    from tachograph.records.outcomes import ErrorType

WATCH: ContextVar[Any] = ContextVar("tachograph_watch", default=None)
"""The watch whose requests are being sent here, or None: set only around a client library's own call.

A `Watch`, or what has its methods for the HTTP layer.
"""


def no_body() -> None:
    """The body of an answer that nobody has read."""


class Watch:
    """One call being watched.

    Attributes:
        call: The record.
        api: What is being called.
        subject: The request object of the client library, to know a second wrapper around the same call.
        host: Only requests to this host are attempts of the call; None: all are.
        state: Set when an answer's body is still to be read when the client library returns.
        hides_usage: Whether we asked for usage on the application's behalf and hide the chunk that carries it.
        is_raw: Whether the application asked for the response itself.
        body: The response, when the application asked for it and it is read.
        follows_body: Whether the HTTP layer follows the body of a streamed answer; else the client's hook does.
        uses_aiohttp: Whether the requests go through aiohttp itself.
    """

    # What most calls never set stands on the class.
    state: StreamState | None = None
    hides_usage = False
    is_raw = False
    body: Any = None
    follows_body = True
    uses_aiohttp = False

    def __init__(self, call: LLMCall, api: Api, subject: object, host: str | None = None) -> None:
        self.call = call
        self.api = api
        self.subject = subject
        self.host = host

    def reader(self) -> ChunkReader:
        """A reader for this call's streamed answer."""
        return self.api.chunks() if self.api.chunks is not None else WholeAnswer()

    # Attempts, told by the HTTP layer

    def begin_attempt(self, host: str | None, port: int | None) -> Attempt | None:
        """A request goes out; None when it is none of this call's (a token being fetched elsewhere)."""
        if self.host is not None and host != self.host:
            return None
        call = self.call
        if call.server_address is None:
            call.server_address, call.server_port = host, port
        return call.begin_attempt()

    def answered(self, attempt: Attempt, status: int, headers: Any, body: Callable[[], Any]) -> None:
        """An answer came.

        Args:
            attempt: The request's.
            status: HTTP status.
            headers: Of the answer, with `get`.
            body: Reads the error body if it is there already, else returns None.
        """
        try:
            attempt.status = status
            endings.note_headers(self.call, attempt, headers)
            if status >= 400:
                attempt.retry_after_seconds = retry_after_seconds(headers)
                error_type = endings.of_status(self.api.vendor, status, headers, body())
                attempt.end(endings.outcome_of(error_type), error_type, status=status)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
            recorder().failed("instrument", error)

    def attempt_failed(self, attempt: Attempt, error: BaseException) -> None:
        """No answer came."""
        try:
            outcome, error_type = endings.ending_of(self.api.vendor, error)
            attempt.end(outcome, error_type)
        except Exception as own:  # noqa: BLE001
            recorder().failed("instrument", own)

    # Endings, told by the client library's hook

    def failed(self, error: BaseException) -> None:
        """The call ended with an exception that the application sees."""
        try:
            call = self.call
            outcome, error_type = endings.ending_of(self.api.vendor, error)
            endings.correct_last_attempt(call, outcome, error_type)
            call.finish(outcome, error_type, error=None if outcome == "cancelled" else error)
        except Exception as own:  # noqa: BLE001
            recorder().failed("instrument", own)

    def answer(self, answer: Any) -> None:
        """The call ended with a whole answer."""
        call = self.call
        error_type: ErrorType | None = None
        try:
            answer = opened(answer)
            error_type = self.api.read(call, answer)
            keep(call, "output", lambda: self.api.output_content(answer))
        except Exception as own:  # noqa: BLE001
            recorder().failed("instrument", own)
        try:
            if error_type is None:
                call.finish("success")
            else:
                endings.correct_last_attempt(call, endings.outcome_of(error_type), error_type)
                call.finish(endings.outcome_of(error_type), error_type)
        except Exception as own:  # noqa: BLE001
            recorder().failed("instrument", own)


def is_under_way(api: Api, subject: object) -> bool:
    """Whether a request is being watched here already: two wrappers of ours are around it, with others' between.

    Those between may have copied the request object; then it has sent nothing yet.
    """
    outer = WATCH.get()
    return outer is not None and (outer.subject is subject or (outer.api is api and not outer.call.attempts))
