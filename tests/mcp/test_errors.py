"""The table that sorts failures into kinds."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import httpx2
import pytest
from mcp import MCPError

from tachograph.mcp.errors import classify, kind_of_error_result, kind_of_status, tool_error

REQUEST = httpx2.Request("POST", "http://h/mcp")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MCPError(-32700, "parse"), "validation"),
        (MCPError(-32600, "invalid request"), "validation"),
        (MCPError(-32601, "method not found"), "validation"),
        (MCPError(-32602, "unknown tool"), "validation"),
        (MCPError(-32603, "internal"), "execution"),
        (MCPError(0, "crashed"), "execution"),
        (MCPError(-31999, "of its own"), "execution"),
        (MCPError(-32000, "Connection closed"), "connection"),
        (MCPError(-32001, "timed out"), "timeout"),
        # Servers use the SDKs' own codes for errors of theirs.
        (MCPError(-32000, "Permission denied: /etc"), "execution"),
        (MCPError(-32000, "Request timeout: the database"), "timeout"),
        (MCPError(-32000, "Global rate limit exceeded"), "connection"),
        (MCPError(-32000, "SSE stream ended without a response"), "connection"),
        (MCPError(-32001, "Not found: order 5"), "execution"),
        (MCPError(-32001, "Session expired"), "connection"),
        (httpx2.ConnectError("refused"), "connection"),
        (httpx2.ConnectTimeout("slow"), "connection"),
        (httpx2.ReadTimeout("slow"), "timeout"),
        (httpx2.RemoteProtocolError("cut"), "connection"),
        (httpx2.HTTPStatusError("x", request=REQUEST, response=httpx2.Response(429, request=REQUEST)), "connection"),
        (ExceptionGroup("outer", [ExceptionGroup("inner", [httpx2.ConnectError("refused")])]), "connection"),
        (FileNotFoundError("no such program"), "connection"),
        (BrokenPipeError(), "connection"),
        (TimeoutError(), "timeout"),
        (asyncio.CancelledError(), "connection"),
        (RuntimeError("Invalid structured content returned by tool x: 5"), "validation"),
        (RuntimeError("anything else"), "execution"),
        # What fastmcp's client and its servers' tools say.
        (MCPError(408, "Timed out while waiting for response."), "connection"),
        (MCPError(-32000, "Tool 'slow' execution timed out after 1.0s"), "timeout"),
        (RuntimeError("Session task completed unexpectedly"), "connection"),
        (RuntimeError("Client is not connected. Use the 'async with client:' context manager first."), "connection"),
    ],
)
def test_every_failure_has_its_kind(error, kind):
    assert classify(error) == kind
    assert tool_error(error, "server", "tool").kind == kind


class McpError(Exception):
    """As mcp 1 has it: the code stands on `error`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error = SimpleNamespace(code=code, message=message)


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (408, "Timed out while waiting for response to ClientRequest. Waited 0.3 seconds.", "timeout"),
        (-32000, "Connection closed", "connection"),
        (32600, "Session terminated", "connection"),
        (-32602, "Unknown tool", "validation"),
        (-32603, "internal", "execution"),
    ],
)
def test_errors_of_mcp_1_are_sorted_by_the_same_table(code, message, kind):
    error = McpError(code, message)
    assert classify(error) == kind
    assert tool_error(error, "server", "tool").code == code


def test_a_client_that_could_not_start_in_time_is_a_timeout():
    error = RuntimeError("Failed to initialize server session")
    error.__cause__ = TimeoutError()
    assert classify(error) == "timeout"


@pytest.mark.parametrize(
    ("code", "message", "status"),
    [
        (-32600, "Session not found", 404),  # Python's servers
        (-32600, "Session terminated", None),  # what the SDK says, its status unseen
        (-32001, "Session not found", 404),  # TypeScript's
        (-32000, "Bad Request: No valid session ID provided", 400),  # those that were copied from its examples
        (-32000, "Bad Request: Server not initialized", 400),  # TypeScript's with a single session
        (-32001, "request timed out", 503),
        (-32600, "Redirect to http://h/mcp/ not followed", 307),
    ],
)
def test_a_server_that_has_forgotten_the_session_is_a_connection_error(code, message, status):
    assert classify(MCPError(code, message), status) == "connection"


def test_an_unknown_method_of_the_stateless_protocol_is_no_lost_session():
    assert classify(MCPError(-32601, "Method not found: x"), 404) == "validation"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "validation"),
        (401, "connection"),
        (403, "connection"),
        (404, "connection"),
        (408, "timeout"),
        (413, "validation"),
        (429, "connection"),
        (500, "execution"),
        (502, "connection"),
        (503, "connection"),
        (504, "timeout"),
    ],
)
def test_a_status_decides_where_the_sdk_lost_it(status, kind):
    assert kind_of_status(status) == kind
    assert classify(MCPError(-32603, "Server returned an error response"), status) == kind


def test_a_json_rpc_error_decides_over_the_status_it_came_with():
    assert classify(MCPError(-32602, "bad arguments"), 400) == "validation"
    assert classify(MCPError(-32603, "the tool broke"), 400) == "execution"
    assert classify(MCPError(-32000, "Bad Request: Invalid event ID"), 400) == "validation"


def test_a_status_tells_more_than_a_wait_that_ran_out():
    """fastmcp 2 goes on waiting after its request was refused."""
    for status, kind in ((400, "validation"), (401, "connection"), (500, "execution"), (504, "timeout")):
        assert classify(McpError(408, "Timed out while waiting for response to ClientRequest."), status) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Unknown tool: x", "validation"),
        ("Error executing tool add: 2 validation errors for addArguments\nleft\n  missing", "validation"),
        ("Input validation error: 'left' is a required property", "validation"),
        ("1 validation error for call[add]\nb\n  Missing required argument", "validation"),
        ("Unknown tool: 'x'", "validation"),
        ("MCP error -32602: Input validation error: Invalid arguments for tool echo: expected string", "validation"),
        ("MCP error -32602: Tool x not found", "validation"),
        ("Error calling tool 'slow': Tool 'slow' execution timed out after 0.2s", "timeout"),
        ("Error calling tool 'ok': Connection closed", "connection"),  # of a proxy, whose server is gone
        ("Client failed to connect: All connection attempts failed", "connection"),
        ("Error calling tool 'dial': Connection closed by the modem", "execution"),
        ("Error calling tool 'read': 1 validation error for Answer\nx\n  not an integer", "execution"),
        ("Error calling tool 'shell': Unknown tool: hammer", "execution"),
        ("Error executing tool add", "execution"),
        ("", "execution"),
    ],
)
def test_an_error_result_is_an_execution_error_unless_the_server_refused_the_call(text, kind):
    assert kind_of_error_result(text) == kind


def test_our_exceptions_can_be_caught_as_python_has_them():
    assert isinstance(tool_error(TimeoutError(), "s", "t"), TimeoutError)
    assert isinstance(tool_error(MCPError(-32000, "closed"), "s", "t"), ConnectionError)
    error = tool_error(MCPError(-32603, "Server returned an error response"), "s", "t", status=401)
    assert (error.status, error.code) == (401, -32603)
    assert "HTTP 401" in str(error)
    assert "headers" in str(error)
