"""Watching MCP servers of this process: each tool execution as the server sees it, under families of its own."""

from __future__ import annotations

import operator
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import active_config, vendor_spans
from tachograph.instrument.imports import after_import
from tachograph.instrument.mcp import answered, goes_on
from tachograph.instrument.mcp_connections import ending_of
from tachograph.instrument.mcp_identity import named
from tachograph.instrument.mcp_proxies import EXECUTING, PROXIED
from tachograph.instrument.patches import MARK, SWITCH, patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.watch import WATCH
from tachograph.mcp.errors import is_unknown_tool
from tachograph.records import ENGINE_CALL, ENGINE_MCP, RUN, ToolCall
from tachograph.records.content import keep
from tachograph.run_context import carried
from tachograph.signals.spans import leave
from tachograph.tape.guard import call_wrapper, choice, generate
from tachograph.vendors.fields import pick

SERVER_NAME: ContextVar[str | None] = ContextVar("tachograph_mcp_server_name", default=None)
"""The server whose request is being handled here; mcp's middleware does not get it."""


def install() -> None:
    """Hook the servers of mcp 2 and of mcp 1; fastmcp's are built on them."""
    vendor_spans.install_mcp_server()
    after_import("mcp.server.runner", _hook_runner)
    after_import("mcp.server._otel", _hook_middleware)
    after_import("mcp.server.lowlevel.server", _hook_lowlevel)


def _hook_runner(module: ModuleType) -> None:
    """mcp 2: every request to every server passes the runner of its connection."""
    if patch(module.ServerRunner, "_on_request", _on_request):
        hooked("mcp", "ServerRunner._on_request")
    else:
        missing("mcp", "ServerRunner._on_request", "tool executions inside servers are not seen")


def _hook_middleware(module: ModuleType) -> None:
    """mcp 2 makes a span of each request: begun inside of it, our record takes its ids, and no second span is made."""
    patch(module.OpenTelemetryMiddleware, "__call__", _inside_its_span)


def _hook_lowlevel(module: ModuleType) -> None:
    """mcp 1: the low-level server looks its handler up for each request; the tools' one is wrapped on first use."""
    if hasattr(module.Server, "_handle_request") and patch(module.Server, "_handle_request", _handle_request):
        hooked("mcp", "Server._handle_request")


_APART: Final[Any] = {
    WATCH: "None",
    ENGINE_CALL: "None",
    ENGINE_MCP: "False",
    PROXIED: "None",
    EXECUTING: "watch",
    RUN: "watch.run",
}
"""A tool runs apart from the caller's own watch, which an in-process client shares with us, and in the caller's run."""


def _on_request(original: object) -> Any:
    signature = "self, dctx, method, params, *args, **keywords"
    named = call_wrapper(
        original,
        {SERVER_NAME: "watch"},
        begin=lambda runner: runner.server.name,
        is_async=True,
        signature=signature,
        begins="self",
    )
    executed = call_wrapper(
        original,
        _APART,
        begin=lambda runner, params: _begin(pick(runner.server, "name"), params, pick(params, "_meta")),
        done=_answered,
        failed=_failed,
        is_async=True,
        signature=signature,
        begins="self, params",
    )

    def choose(runner: Any, method: str) -> Any:
        if method != "tools/call" or not SWITCH.on:
            return original
        return named if _makes_a_span(runner.server) else executed

    return choice(original, choose, signature=signature, chooses="self, method")


def _makes_a_span(server: object) -> bool:
    """Whether its requests pass mcp's own tracing, where they are watched from the inside."""
    for each in pick(server, "middleware") or ():  # noqa: SIM110 - on each execution's path
        if hasattr(type(each).__call__, MARK):
            return True
    return False


_INSIDE: Final = """
    def __call__(self, ctx, call_next):
        inner = call_next
        guard pass: inner = watch(ctx, call_next)
        return original(self, ctx, inner)
"""


def _inside_its_span(original: object) -> Any:
    return generate(_INSIDE, "__call__", original=original, watch=_watch_next)


def _watch_next(ctx: Any, call_next: Any) -> Any:
    return partial(_execute, call_next) if ctx.method == "tools/call" and SWITCH.on else call_next


def _handle_request(original: object) -> Any:
    return call_wrapper(
        original,
        begin=_wrap_handler,
        is_async=True,
        signature="self, message, request, *args, **keywords",
        begins="self, request",
    )


def _wrap_handler(server: Any, request: Any) -> None:
    kind = type(request)
    handler = server.request_handlers.get(kind)
    if SWITCH.on and kind.__name__ == "CallToolRequest" and handler is not None and not hasattr(handler, MARK):
        handle = call_wrapper(
            handler,
            _APART,
            begin=lambda request: (
                _begin(server.name, request.params, pick(request.params, "meta")) if SWITCH.on else None
            ),
            done=_answered,
            failed=_failed,
            is_async=True,
            signature="request",
            begins="request",
        )
        setattr(handle, MARK, handler)
        server.request_handlers[kind] = handle


def _begin(server_name: Any, params: object, meta: object) -> ToolCall:
    arguments = pick(params, "arguments")
    call = active_config.recorder().start_tool_call(
        named(server_name),
        str(pick(params, "name") or "unknown"),
        argument_count=len(arguments) if arguments else 0,
        server_side=True,
    )
    try:
        if call.run is None:
            call.run = carried(meta)
        if call.sink.content.keeps:
            keep(call, "tool.arguments", lambda: arguments)
    except Exception:
        call.withdraw()
        raise
    return call


def _answered(call: ToolCall, result: object) -> None:
    result = getattr(result, "root", result)
    if goes_on(result) is None:
        answered(call, result)
    else:  # a question to the user, or the receipt of a background task: no execution yet
        leave(call)
        call.withdraw()


def _failed(call: ToolCall, error: BaseException) -> None:
    outcome, kind = ending_of(error)
    call.is_made_up = kind == "validation" and is_unknown_tool(error)
    call.finish(outcome, kind, error=None if kind is None else error)


_execute: Final = call_wrapper(
    operator.call,
    _APART,
    begin=lambda ctx: _begin(SERVER_NAME.get(), ctx.params, ctx.meta),
    done=_answered,
    failed=_failed,
    is_async=True,
    signature="call_next, ctx",
    begins="ctx",
)
"""Runs a tool below mcp's middleware."""
