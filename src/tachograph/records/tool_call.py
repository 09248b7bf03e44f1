"""One execution of an MCP tool."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tachograph.records.content import error_result
from tachograph.records.ids import id_of
from tachograph.records.outcomes import ErrorKind, ToolOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tachograph.records.run import Run
    from tachograph.records.sink import Sink


class ToolCall(msgspec.Struct, eq=False, weakref=True):
    """One tool execution, seen from the client (or, with `side="server"`, from inside the server).

    Attributes:
        sink: Where it goes when it is finished.
        number: In this process.
        given_id: The id of a record that was made elsewhere: received, or recovered.
        traceback: Of the exception, as it was when the call ended.
        slot: Where it is in the ring until the journal has it; -1: nowhere.
        server_id, tool_name: Labels.
        argument_count: Number of arguments (`arg_count` on the span).
        outcome, error_kind, error: How it ended; `error` is the exception, or what may be kept of the text of an error
            result.
        started_unix_ns: UTC. started_ns, ended_ns: monotonic.
        run: The run of an agent that it belongs to.
        is_made_up: There is no such tool: its name, which a model may have invented, is no label value.
        unlisted: A server that could not be asked for its tools, behind the proxy that was asked; empty: not known.
        call_id: The model's id for this call, when a model asked for it.
        attributes: Further facts for the span (`mcp.session.id`, `network.transport`, ...).
        reading: Completes a finished record when it is delivered; as on an LLM call.
        content: Arguments and result, only when the user turned recording on; else None.
        trace_id, span_id, parent_span_id, span: Set by the span signal.
        projection: Its facts as every view shows them, once they were asked for (`records.projection`).
    """

    sink: Sink
    server_id: str
    tool_name: str
    argument_count: int = 0
    labels: Mapping[str, str] | None = None
    side: Literal["client", "server"] = "client"
    run: Run | None = None
    number: int = 0
    started_unix_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    reading: Callable[[], object] | None = None
    outcome: ToolOutcome | None = None
    error_kind: ErrorKind | None = None
    error: BaseException | str | None = None
    is_made_up: bool = False
    unlisted: str | None = None
    call_id: str | None = None
    attributes: dict[str, Any] | None = None
    content: Any = None
    trace_id: int = 0
    span_id: int = 0
    parent_span_id: int = 0
    span: Any = None
    projection: Any = None
    parent_id: bytes | None = None
    given_id: bytes = b""
    slot: int = -1
    traceback: Any = None

    @property
    def id(self) -> bytes:
        """16 bytes, UUIDv7."""
        return self.given_id or id_of(self.started_unix_ns, self.number)

    @property
    def is_finished(self) -> bool:
        """Whether the call has been finished."""
        return self.number not in self.sink.in_flight

    def finish(
        self,
        outcome: ToolOutcome,
        error_kind: ErrorKind | None = None,
        *,
        error: BaseException | str | None = None,
        ended_ns: int = 0,
    ) -> bool:
        """Finish the call, now or at `ended_ns`, and hand it over. Only the first finish counts."""
        if self.sink.in_flight.pop(self.number, None) is None:
            return False
        self.end(outcome, error_kind, error=error, ended_ns=ended_ns or perf_counter_ns())
        self.sink.put(self)
        return True

    def end(
        self,
        outcome: ToolOutcome,
        error_kind: ErrorKind | None = None,
        *,
        error: BaseException | str | None = None,
        ended_ns: int = 0,
    ) -> None:
        """Say how the execution ended, and no more; `finish` hands it over too."""
        self.ended_ns = ended_ns
        self.outcome = outcome
        self.error_kind = error_kind
        self.error = error_result(self, error) if isinstance(error, str) else error
        if isinstance(error, BaseException):
            self.traceback = error.__traceback__

    def withdraw(self) -> None:
        """Drop the call undelivered: it turned out to be no execution."""
        self.sink.in_flight.pop(self.number, None)
        if self.span is not None:
            self.span.finish()

    @property
    def duration_seconds(self) -> float:
        """Seconds from the asking to the end."""
        return (self.ended_ns - self.started_ns) / 1e9

    def __repr__(self) -> str:
        return f"ToolCall({self.server_id}/{self.tool_name}, outcome={self.outcome}, error_kind={self.error_kind})"
