"""Codex's events.

Source: https://developers.openai.com/codex/security (OTel), github.com/openai/codex codex-rs/otel (checked 2026-11-27).
A request that succeeded ends with the event of its completed answer, which has the tokens; one that failed appears
in `codex.api_request` alone. `tool_token_count` is the total again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tachograph.console.ingest.otlp.values import integer
from tachograph.signals import semconv as s


def read(event: str, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The call that the event reports."""
    if event == "sse_event":
        if found.get("event.kind") == "response.completed" and found.get("input_token_count") is not None:
            return _call(found) | _usage(found)
        return _call(found) | _failure(found) if found.get("event.kind") == "response.failed" else None
    if event == "api_request":
        status = integer(found.get("http.response.status_code"))
        failed = found.get("error.message") or (status is not None and status >= 400)
        return _call(found) | _failure(found) if failed else None
    return _tool(found) if event == "tool_result" else None


def _call(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        s.OPERATION_NAME: "chat",
        s.PROVIDER_NAME: "openai",
        s.REQUEST_MODEL: found.get("model") or found.get("slug"),
        s.RESPONSE_ID: found.get("response.id"),
        s.API: "responses",
        **_whose(found),
    }


def _whose(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        s.SESSION_ID: found.get("conversation.id"),
        s.USER_ID: found.get("user.account_id"),
        s.AGENT_NAME: "codex",
        s.AGENT_VERSION: found.get("app.version"),
    }


def _usage(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        s.USAGE_INPUT_TOKENS: found.get("input_token_count"),
        s.USAGE_OUTPUT_TOKENS: found.get("output_token_count"),
        s.USAGE_DETAILS["cache_read"]: found.get("cached_token_count"),
        s.USAGE_DETAILS["cache_write"]: found.get("cache_write_token_count"),
        s.USAGE_DETAILS["reasoning"]: found.get("reasoning_token_count"),
    }


def _failure(found: Mapping[str, Any]) -> dict[str, Any]:
    status = found.get("http.response.status_code")
    return {s.ERROR_TYPE: status or "error", s.EXCEPTION_MESSAGE: found.get("error.message")}


def _tool(found: Mapping[str, Any]) -> dict[str, Any]:
    failed = str(found.get("success")).lower() == "false"
    return {
        s.OPERATION_NAME: "execute_tool",
        "server_id": found.get("mcp_server") or "codex",
        s.TOOL_NAME: found.get("tool_name") or "unknown",
        s.TOOL_CALL_ID: found.get("call_id"),
        **_whose(found),
        **({s.ERROR_TYPE: "execution"} if failed else {}),
    }
