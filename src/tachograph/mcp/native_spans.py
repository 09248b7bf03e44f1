"""Keep the MCP SDK from making a second span for a tool call that is already ours.

mcp 2.x opens a CLIENT span `MCP send tools/call NAME` for every request whenever an OpenTelemetry SDK is set up, and
has no switch for it. Around our own tool calls it is replaced by nothing; the trace context that it would have sent in
`_meta` is then that of our span, so that the server's span is a child of ours. Everybody else's requests, and our own
listings, keep theirs. Where a later SDK has moved the function, its span stands as a child of ours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span

from tachograph.records import ENGINE_MCP

_TOOL_CALL = "MCP send tools/call"


@contextmanager
def _no_span() -> Iterator[Span]:
    yield INVALID_SPAN


def silence_for_our_calls() -> None:
    """Wrap the SDK's span function once; what is not ours passes through."""
    from mcp.shared import jsonrpc_dispatcher

    inner: Callable[..., AbstractContextManager[Span]] | None = getattr(jsonrpc_dispatcher, "otel_span", None)
    if inner is None or hasattr(inner, "__tachograph_wrapped__"):
        return

    @functools.wraps(inner)
    def otel_span(name: str, *args: Any, **options: Any) -> AbstractContextManager[Span]:
        if ENGINE_MCP.get() and name.startswith(_TOOL_CALL):
            return _no_span()
        return inner(name, *args, **options)

    otel_span.__tachograph_wrapped__ = inner  # type: ignore[attr-defined]
    vars(jsonrpc_dispatcher)["otel_span"] = otel_span
