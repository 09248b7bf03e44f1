"""Watching MCP servers of this process: each tool execution as the server sees it, under families of its own."""

from __future__ import annotations

from contextvars import ContextVar
from types import ModuleType
from typing import Any

from tachograph.instrument import settled, vendor_spans
from tachograph.instrument.imports import after_import
from tachograph.instrument.mcp import answered, goes_on
from tachograph.instrument.mcp_connections import ending_of
from tachograph.instrument.mcp_identity import named
from tachograph.instrument.patches import MARK, SWITCH, patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.watch import WATCH
from tachograph.mcp.errors import is_unknown_tool
from tachograph.records import ENGINE_CALL, ENGINE_MCP, ToolCall
from tachograph.records.content import keep
from tachograph.vendors.fields import pick

SERVER_NAME: ContextVar[str | None] = ContextVar("tachograph_mcp_server_name", default=None)
"""The server whose request is being handled here; mcp's middleware is not told."""


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


def _on_request(original: Any) -> Any:
    def _on_request(self: Any, dctx: Any, method: str, params: Any, *args: Any, **kwargs: Any) -> Any:
        if method != "tools/call" or not SWITCH.on:
            return original(self, dctx, method, params, *args, **kwargs)
        if _makes_a_span(self.server):
            return _named(self.server.name, original, self, dctx, method, params, *args, **kwargs)
        call = _begin(pick(self.server, "name"), params)
        return _execute(call, original, self, dctx, method, params, *args, **kwargs)

    return _on_request


async def _named(name: str, original: Any, *args: Any, **kwargs: Any) -> Any:
    """Handle a request, its server's name known."""
    token = SERVER_NAME.set(name)
    try:
        return await original(*args, **kwargs)
    finally:
        SERVER_NAME.reset(token)


def _makes_a_span(server: Any) -> bool:
    """Whether its requests pass mcp's own tracing, where they are watched from the inside."""
    for each in pick(server, "middleware") or ():  # noqa: SIM110 - on each execution's path
        if hasattr(type(each).__call__, MARK):
            return True
    return False


def _inside_its_span(original: Any) -> Any:
    def __call__(self: Any, ctx: Any, call_next: Any) -> Any:
        if ctx.method != "tools/call" or not SWITCH.on:
            return original(self, ctx, call_next)

        def watched(ctx: Any) -> Any:
            return _execute(_begin(SERVER_NAME.get(), ctx.params), call_next, ctx)

        return original(self, ctx, watched)

    return __call__


def _handle_request(original: Any) -> Any:
    async def _handle_request(self: Any, message: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        kind = type(request)
        handler = self.request_handlers.get(kind)
        if SWITCH.on and kind.__name__ == "CallToolRequest" and handler is not None and not hasattr(handler, MARK):
            self.request_handlers[kind] = _watched_handler(self, handler)
        return await original(self, message, request, *args, **kwargs)

    return _handle_request


def _watched_handler(server: Any, handler: Any) -> Any:
    async def handle(request: Any) -> Any:
        if not SWITCH.on:
            return await handler(request)
        return await _execute(_begin(server.name, request.params), handler, request)

    setattr(handle, MARK, handler)
    return handle


def _begin(server_name: Any, params: Any) -> ToolCall | None:
    try:
        arguments = pick(params, "arguments")
        call = settled.recorder().start_tool_call(
            named(server_name),
            str(pick(params, "name") or "unknown"),
            argument_count=len(arguments) if arguments else 0,
            server_side=True,
        )
        keep(call, "tool.arguments", lambda: arguments)
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        settled.recorder().failed("instrument", error)
        return None
    return call


async def _execute(call: ToolCall | None, run: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a tool for whoever asked, apart from the caller's own watch, which an in-process client shares with us."""
    if call is None:
        return await run(*args, **kwargs)
    watch, engine, in_engine = WATCH.set(None), ENGINE_CALL.set(None), ENGINE_MCP.set(False)
    try:
        result = await run(*args, **kwargs)
    except BaseException as error:
        _failed(call, error)
        raise
    finally:
        ENGINE_MCP.reset(in_engine)
        ENGINE_CALL.reset(engine)
        WATCH.reset(watch)
    result_of_tool = getattr(result, "root", result)
    if goes_on(result_of_tool) is None:
        answered(call, result_of_tool)
    else:  # a question to the user, or the receipt of a background task: no execution yet
        settled.recorder().leave(call)
        call.withdraw()
    return result


def _failed(call: ToolCall, error: BaseException) -> None:
    try:
        outcome, kind = ending_of(error)
        call.is_made_up = kind == "validation" and is_unknown_tool(error)
        call.finish(outcome, kind, error=None if kind is None else error)
    except Exception as own:  # noqa: BLE001
        settled.recorder().failed("instrument", own)
