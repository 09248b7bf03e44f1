"""Claude Code's events.

Source: https://code.claude.com/docs/en/monitoring-usage (checked 2026-11-27). `input_tokens` leaves cached tokens out.
`cost_usd` is its own estimate by list prices: it is in only where we have no price.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tachograph.console.ingest.otlp import names as n
from tachograph.console.ingest.otlp.values import integer
from tachograph.signals import semconv as s


def read(event: str, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The call that the event reports."""
    if event in ("api_request", "api_error"):
        return _request(found) | ({} if event == "api_request" else _failure(found))
    return _tool(found) if event == "tool_result" else None


def _request(found: Mapping[str, Any]) -> dict[str, Any]:
    read, written = integer(found.get("cache_read_tokens")), integer(found.get("cache_creation_tokens"))
    fresh = integer(found.get("input_tokens"))
    return {
        s.OPERATION_NAME: "chat",
        s.PROVIDER_NAME: "anthropic",
        s.REQUEST_MODEL: found.get("model"),
        s.USAGE_INPUT_TOKENS: None if fresh is None else fresh + (read or 0) + (written or 0),
        s.USAGE_OUTPUT_TOKENS: found.get("output_tokens"),
        s.USAGE_DETAILS["cache_read"]: read,
        s.USAGE_DETAILS["cache_write"]: written,
        s.REQUEST_ID: found.get("request_id"),
        s.SPEED: "fast" if found.get("speed") == "fast" else None,
        n.ESTIMATED_COST_USD: found.get("cost_usd"),
        s.SESSION_ID: found.get("session.id"),
        s.USER_ID: found.get("user.account_uuid") or found.get("user.id"),
        s.EXECUTION_ID: found.get("prompt.id"),
        s.AGENT_NAME: found.get("agent.name") or "claude-code",
    }


def _failure(found: Mapping[str, Any]) -> dict[str, Any]:
    return {s.ERROR_TYPE: found.get("status_code") or "error", s.EXCEPTION_MESSAGE: found.get("error")}


def _tool(found: Mapping[str, Any]) -> dict[str, Any]:
    name = str(found.get("tool_name") or "unknown")
    server = str(found.get("mcp_server_name") or "")
    if name.startswith("mcp__"):  # mcp__SERVER__TOOL
        _, server, name = (*name.split("__", 2), "", "")[:3]
    failed = str(found.get("success")).lower() == "false"
    return {
        s.OPERATION_NAME: "execute_tool",
        "server_id": server or "claude-code",
        s.TOOL_NAME: name,
        s.TOOL_CALL_ID: found.get("tool_use_id"),
        s.SESSION_ID: found.get("session.id"),
        s.USER_ID: found.get("user.account_uuid") or found.get("user.id"),
        s.EXECUTION_ID: found.get("prompt.id"),
        s.AGENT_NAME: found.get("agent.name") or "claude-code",
        **({s.ERROR_TYPE: "execution", s.EXCEPTION_MESSAGE: found.get("error")} if failed else {}),
    }
