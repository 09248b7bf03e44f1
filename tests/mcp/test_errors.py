"""The table that sorts failures into kinds."""

from __future__ import annotations

import asyncio

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
    ],
)
def test_every_failure_has_its_kind(error, kind):
    assert classify(error) == kind
    assert tool_error(error, "server", "tool").kind == kind


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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Unknown tool: x", "validation"),
        ("Error executing tool add: 2 validation errors for addArguments\nleft\n  missing", "validation"),
        ("Input validation error: 'left' is a required property", "validation"),
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
