"""Gemini CLI's events.

Source: github.com/google-gemini/gemini-cli docs/cli/telemetry.md (checked 2026-11-27). As in Gemini's API, thoughts
come on top of `output_token_count`, and tokens of tool results on top of `input_token_count`. The same answer
arrives a second time, as `gen_ai.client.inference.operation.details`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tachograph.console.ingest.otlp.values import integer
from tachograph.signals import semconv as s


def read(event: str, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The call that the event reports."""
    if event in ("api_response", "api_error"):
        return _call(found) | (_usage(found) if event == "api_response" else _failure(found))
    return _tool(found) if event == "tool_call" else None


def _call(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        s.OPERATION_NAME: "generate_content",
        s.PROVIDER_NAME: "gemini",
        s.REQUEST_MODEL: found.get("model") or found.get("model_name"),
        s.RESPONSE_ID: found.get("response_id"),
        **_whose(found),
    }


def _whose(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        s.SESSION_ID: found.get("session.id"),
        s.USER_ID: found.get("installation.id"),
        s.EXECUTION_ID: found.get("prompt_id"),
        s.AGENT_NAME: "gemini-cli",
    }


def _usage(found: Mapping[str, Any]) -> dict[str, Any]:
    thoughts = integer(found.get("thoughts_token_count"))
    return {
        s.USAGE_INPUT_TOKENS: _sum(found.get("input_token_count"), found.get("tool_token_count")),
        s.USAGE_OUTPUT_TOKENS: _sum(found.get("output_token_count"), thoughts),
        s.USAGE_DETAILS["cache_read"]: found.get("cached_content_token_count"),
        s.USAGE_DETAILS["reasoning"]: thoughts,
    }


def _sum(first: object, more: object) -> int | None:
    count = integer(first)
    return None if count is None else count + (integer(more) or 0)


def _failure(found: Mapping[str, Any]) -> dict[str, Any]:
    kind = found.get("status_code") or found.get("error_type") or found.get("error.type") or "error"
    return {s.ERROR_TYPE: kind, s.EXCEPTION_MESSAGE: found.get("error") or found.get("error.message")}


def _tool(found: Mapping[str, Any]) -> dict[str, Any]:
    failed = str(found.get("success")).lower() == "false"
    return {
        s.OPERATION_NAME: "execute_tool",
        "server_id": found.get("mcp_server_name") or "gemini-cli",
        s.TOOL_NAME: found.get("function_name") or "unknown",
        **_whose(found),
        **({s.ERROR_TYPE: "execution", s.EXCEPTION_MESSAGE: found.get("error")} if failed else {}),
    }
