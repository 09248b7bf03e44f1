"""One watched call under way: its record, and how its answer is read.

Every hook of every client reports to a `Watch`, through the guard (`tape/guard.py`). The hooks put down clocks and
references; `read_...` methods run when the record is delivered, in the drain.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from time import perf_counter_ns
from typing import Any, ClassVar

import msgspec

from tachograph.instrument import outcomes
from tachograph.instrument.active_config import recorder
from tachograph.instrument.scope import WireScope
from tachograph.llm.answer_headers import note_answer
from tachograph.records import Attempt, LLMCall
from tachograph.records.content import keep
from tachograph.records.outcomes import ErrorType
from tachograph.signals.spans import leave
from tachograph.urls import split
from tachograph.vendors.api import Api, ChunkReader, WholeAnswer
from tachograph.vendors.loose import opened
from tachograph.vendors.retry_after import retry_after_seconds

WATCH: ContextVar[Any] = ContextVar("tachograph_watch", default=None)
"""The watch whose requests are being sent here, or None: set only around a client library's own call.

A `Watch`, or what has its methods for the HTTP layer.
"""


class Sent(msgspec.Struct, eq=False):
    """One request of a watched call, as the HTTP layer saw it; read when the record is delivered.

    Attributes:
        started_ns, ended_ns: Monotonic; `ended_ns` is 0 while the answer's body is unread.
        url: Where it went.
        status: HTTP status; None when no answer came.
        headers: Of the answer, with `get`.
        response: An answer with an error status, whose body says more.
        error: The exception that ended it, where there was one.
    """

    started_ns: int
    url: Any = None
    ended_ns: int = 0
    status: int | None = None
    headers: Any = None
    response: Any = None
    error: BaseException | None = None


class Watch(msgspec.Struct, eq=False, weakref=True):
    """One call being watched: what the hooks put down, and how it is read when the record is delivered.

    Attributes:
        call: The record; None for a call that has sent nothing yet (Gemini's lazy streams).
        api: What is being called.
        subject: The request object of the client library, to know a second wrapper around the same call.
        host: Only requests to this host are attempts of the call; None: all are.
        sent: Its requests on the wire, in order.
        state: Set when an answer's body is still to be read when the client library returns.
        hides_usage: Whether we asked for usage on the application's behalf and hide the chunk that carries it.
        is_raw: Whether the application asked for the response itself.
        body: The response, where it is read: until the client library has made its own of it, or to the end, where the
            application asked for it.
        follows_body: Whether the HTTP layer follows the body of a streamed answer; else the client's hook does.
        notes_breaks: Whether only a body that breaks off is reported, as a request that was not answered.
        uses_aiohttp: Whether the requests go through aiohttp itself.
        answer: The whole answer.
        error: The exception that the application sees.
        scope: The open scope that may send the request again.
    """

    call: LLMCall
    api: Api
    subject: Any = None
    host: str | None = None
    sent: list[Sent] = msgspec.field(default_factory=list)
    state: Any = None
    hides_usage: bool = False
    is_raw: bool = False
    body: Any = None
    follows_body: bool = True
    notes_breaks: ClassVar[bool] = False
    uses_aiohttp: bool = False
    answer: Any = None
    error: BaseException | None = None
    scope: WireScope | None = None

    def reader(self) -> ChunkReader:
        """A reader for this call's streamed answer."""
        return self.api.chunks() if self.api.chunks is not None else WholeAnswer()

    @property
    def expects_events(self) -> bool:
        """Whether the answer is a stream of events that the HTTP layer follows."""
        return self.call.stream and self.follows_body and self.api.chunks is not None

    # Called by the HTTP layer

    def sending(self, url: object) -> Sent | None:
        """A request goes out; None when it is none of this call's."""
        sent = Sent(perf_counter_ns(), url)
        self.sent.append(sent)
        return sent

    def answered(self, sent: Sent, status: int, response: Any, is_read: bool = False) -> bool:
        """An answer came; says whether there is a body to follow."""
        sent.status = status
        sent.headers = response.headers
        if status >= 400:
            sent.response = response
        elif is_read and not self.call.stream:
            self.body = response
        else:
            return True
        sent.ended_ns = perf_counter_ns()
        return False

    def not_answered(self, sent: Sent, error: BaseException) -> None:
        """No answer came."""
        sent.ended_ns = perf_counter_ns()
        sent.error = error

    # Called by the client library's hook

    def failed(self, error: BaseException) -> None:
        """The call ended with an exception that the application sees."""
        if self.call.span is not None:
            leave(self.call)
        self.error = error
        self.call.traceback = error.__traceback__
        self.fail(self.read_failure)

    def fail(self, reading: Callable[[], object]) -> None:
        """A request has failed: so has the call, unless it is in a scope, which may send the request again."""
        if self.scope is None:
            self.call.hand_over(reading)
        else:
            self.scope.failed(self, reading)

    def answered_whole(self, answer: object) -> None:
        """The client library has returned: the call ended with a whole answer, unless it goes on in a stream."""
        call = self.call
        if self.state is not None:
            if call.span is not None:
                leave(call)  # it is current only while its request is sent
            return
        self.answer = answer
        if not self.is_raw:
            self.body = None
            if call.sink.ring is not None:
                call.tokens = self.tokens_of(answer)
        call.hand_over(self.read_answer)

    def tokens_of(self, answer: object) -> tuple[int | None, int | None] | None:
        """Tokens of an answer for the ring, as they are reported."""
        try:
            return self.api.tokens(answer)
        except Exception:  # noqa: BLE001 - no model of the SDK's: it is read when the record is delivered
            return None

    # Read when the record is delivered

    def read_failure(self) -> None:
        """How the call failed, and what it used where the provider answered all the same."""
        last = self.sent[-1] if self.sent else None
        answer = None if last is None or last.status is None or last.status >= 400 else opened(self.body)
        self.body = None
        self.read_requests()
        self.end_failed(was_answered=answer is not None and self.api.read(self.call, answer) is None)

    def end_failed(self, *, was_answered: bool = False) -> None:
        """End the record with the exception that the application saw.

        Args:
            was_answered: The request itself was answered well: the client library does not accept what is in it.
        """
        call, error = self.call, self.error
        assert error is not None
        outcome, error_type = outcomes.ending_of(self.api.vendor, error)
        if not was_answered:
            outcomes.correct_last_attempt(call, outcome, error_type)
        call.end(outcome, error_type, error=None if outcome == "cancelled" else error)

    def read_answer(self) -> None:
        """A whole answer, whatever it says."""
        self.read_requests()
        call = self.call
        error_type: ErrorType | None = None
        try:
            answer = opened(self.whole_answer())
            error_type = self.api.read(call, answer)
            if call.sink.content.keeps:
                keep(call, "output", partial(self.api.output_content, answer))
        finally:
            self.answer = self.body = None
            if error_type is None:
                call.end("success")
            else:
                outcomes.correct_last_attempt(call, outcomes.outcome_of(error_type), error_type)
                call.end(outcomes.outcome_of(error_type), error_type)

    def whole_answer(self) -> object:
        """The answer; where the application asked for the response itself, that response."""
        return self.answer if self.body is None else self.body

    def read_requests(self) -> None:
        """The attempts on the wire."""
        call = self.call
        call.attempts = []
        for sent in self.sent:
            self._read_request(call, sent)

    def _read_request(self, call: LLMCall, sent: Sent) -> None:
        host, port = place_of(sent.url)
        if self.host is not None and host != self.host:
            return  # a token being fetched elsewhere
        if call.server_address is None:
            call.server_address, call.server_port = host, port
        attempt = call.begin_attempt(sent.started_ns)
        attempt.status = status = sent.status
        if sent.headers is not None:
            note_answer(recorder(), call, attempt, sent.headers)
        if sent.error is None and (status is None or status < 400):
            if sent.ended_ns:
                attempt.ended_ns, attempt.outcome = sent.ended_ns, "success"
        else:
            self._read_failed_request(attempt, sent)
        sent.headers = sent.response = sent.error = None

    def _read_failed_request(self, attempt: Attempt, sent: Sent) -> None:
        vendor = self.api.vendor
        outcome, error_type = None, None
        if sent.error is not None:
            outcome, error_type = outcomes.ending_of(vendor, sent.error)
        if sent.status is not None and sent.status >= 400:
            attempt.retry_after_seconds = retry_after_seconds(sent.headers)
            if error_type is None:
                error_type = outcomes.of_status(vendor, sent.status, sent.headers, error_body(sent.response))
                outcome = outcomes.outcome_of(error_type)
        if sent.ended_ns:
            attempt.end(outcome or "success", error_type, ended_ns=sent.ended_ns)


def place_of(url: Any) -> tuple[str | None, int | None]:
    """Host and port of a URL of whatever make."""
    if isinstance(url, str):
        parts = split(url)
        return parts.hostname, parts.port
    return (None, None) if url is None else (url.host, url.port)


def error_body(response: Any) -> object:
    """The body of an error as JSON, where the client library has read it; else None."""
    try:
        return json.loads(response.content) if response.is_closed else None
    except Exception:  # noqa: BLE001 - an error body can be anything
        return None


def is_under_way(outer: Any, api: Api, subject: object) -> bool:
    """Whether the watch that is here is of this request: two wrappers of ours are around it, with others' between.

    Those between may have copied the request object; then it has sent nothing yet.
    """
    return outer.subject is subject or (outer.api is api and not outer.sent)
