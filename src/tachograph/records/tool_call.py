"""One execution of an MCP tool."""

from __future__ import annotations

from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from tachograph.records.content import error_result
from tachograph.records.ids import new_id
from tachograph.records.outcomes import ErrorKind, ToolOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.records.content import ContentGate
    from tachograph.records.run import Run


class ToolCallSink(Protocol):
    """Where a finished tool call goes."""

    @property
    def content(self) -> ContentGate:
        """What may be kept of what was said."""

    def failed(self, component: str, error: BaseException) -> None:
        """Take a failure of ours."""

    def finish_tool_call(self, call: ToolCall) -> None:
        """Take the call; it changes no more."""


class ToolCall(msgspec.Struct, eq=False, weakref=True):
    """One tool execution, seen from the client (or, with `side="server"`, from inside the server).

    Attributes:
        sink: Where it goes when it is finished.
        id: 16 bytes, UUIDv7.
        server_id, tool_name: Labels.
        argument_count: Number of arguments (`arg_count` on the span).
        outcome, error_kind, error: How it ended; `error` is the exception, or what may be kept of the text of an error
            result.
        started_unix_ns: UTC. started_ns, ended_ns: monotonic.
        run: The run of an agent that it belongs to.
        is_made_up: There is no such tool: its name, which a model may have invented, is no label value.
        call_id: The model's id for this call, when a model asked for it.
        attributes: Further facts for the span (`mcp.session.id`, `network.transport`, ...).
        content: Arguments and result, only when the user turned recording on; else None.
        trace_id, span_id, span: Set by the span signal.
        projection: Its facts as every view shows them, once they were asked for (`records.projection`).
    """

    sink: ToolCallSink
    server_id: str
    tool_name: str
    argument_count: int = 0
    labels: Mapping[str, str] | None = None
    side: Literal["client", "server"] = "client"
    run: Run | None = None
    id: bytes = b""
    started_unix_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    outcome: ToolOutcome | None = None
    error_kind: ErrorKind | None = None
    error: BaseException | str | None = None
    is_made_up: bool = False
    call_id: str | None = None
    attributes: dict[str, Any] | None = None
    content: Any = None
    trace_id: int = 0
    span_id: int = 0
    span: Any = None
    projection: Any = None
    parent_id: bytes | None = None
    _open: list[ToolCallSink] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        self._open.append(self.sink)
        self.started_unix_ns = now = time_ns()
        self.id = new_id(now)
        self.started_ns = perf_counter_ns()

    @property
    def is_finished(self) -> bool:
        """Whether the call has been finished."""
        return not self._open

    def finish(
        self,
        outcome: ToolOutcome,
        error_kind: ErrorKind | None = None,
        *,
        error: BaseException | str | None = None,
        ended_ns: int = 0,
    ) -> bool:
        """Finish the call, now or at `ended_ns`, and hand it over. Only the first finish counts."""
        try:
            sink = self._open.pop()  # one atomic step
        except IndexError:
            return False
        self.ended_ns = ended_ns or perf_counter_ns()
        self.outcome = outcome
        self.error_kind = error_kind
        self.error = error_result(self, error) if isinstance(error, str) else error
        sink.finish_tool_call(self)
        return True

    def withdraw(self) -> None:
        """Drop the call undelivered: it turned out to be no execution."""
        self._open.clear()

    @property
    def duration_seconds(self) -> float:
        """Seconds from the asking to the end."""
        return (self.ended_ns - self.started_ns) / 1e9

    def __repr__(self) -> str:
        return f"ToolCall({self.server_id}/{self.tool_name}, outcome={self.outcome}, error_kind={self.error_kind})"
