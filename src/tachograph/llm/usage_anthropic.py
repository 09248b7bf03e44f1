"""Anthropic's usage reports. On the wire `input_tokens` leaves cached and cache-written tokens out; here they are in.

Source: anthropic 2.12 types (`Usage`, `MessageDeltaUsage`, `BetaUsage`), read 2026-11-23.
"""

from __future__ import annotations

from typing import Any

from tachograph.llm.fields import count, items, pick, plain, text
from tachograph.records.usage import Usage

_FIELDS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
    "speed",
    "inference_geo",
    "iterations",
)
_TOOLS = (
    ("web_search_requests", "web_search"),
    ("web_fetch_requests", "web_fetch"),
    ("code_execution_requests", "code_execution"),
)
_OUTSIDE_THE_TOTAL = ("compaction", "advisor_message")
"""Iterations that are billed but left out of the top-level counts: the server's own work beside the answer."""


def anthropic_usage(usage: Any) -> Usage | None:
    """The `usage` of a message, or what `anthropic_merge_usage` made of a stream's.

    Compaction and advisor iterations, which the top level leaves out, are added.
    """
    if usage is None:
        return None
    usage = plain(usage)
    result = _one(usage)
    if result is None:
        return None
    for iteration in items(usage, "iterations"):
        if text(iteration, "type") in _OUTSIDE_THE_TOTAL:
            more = _one(iteration)
            if more is not None:
                result = result + more
    return result


def anthropic_merge_usage(started: Any, delta: Any) -> dict[str, Any]:
    """The usage of a stream so far, as one report: what `message_start` said, overlaid by a `message_delta`.

    A delta's counts are cumulative and may leave out what the start knew (cache lifetimes, service tier). Use it again
    for further deltas: `merged = anthropic_merge_usage(merged, event.usage)`.
    """
    merged: dict[str, Any] = {}
    for name in _FIELDS:
        value = pick(delta, name)
        if value is None:
            value = pick(started, name)
        if value is not None:
            merged[name] = value
    return merged


def _one(usage: Any) -> Usage | None:
    fresh, output = count(usage, "input_tokens"), count(usage, "output_tokens")
    read, written = count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens")
    lifetimes = pick(usage, "cache_creation")
    five_minutes = count(lifetimes, "ephemeral_5m_input_tokens")
    one_hour = count(lifetimes, "ephemeral_1h_input_tokens")
    if written is None and (five_minutes is not None or one_hour is not None):
        written = (five_minutes or 0) + (one_hour or 0)
    if fresh is None and output is None and read is None and written is None:
        return None
    known = fresh is not None or read is not None or written is not None
    result = Usage((fresh or 0) + (read or 0) + (written or 0) if known else None, output)
    details = {
        "cache_read": read,
        "cache_write": written,
        "cache_write_5m": five_minutes,
        "cache_write_1h": one_hour,
        "reasoning": count(pick(usage, "output_tokens_details"), "thinking_tokens"),
    }
    result.details = {name: tokens for name, tokens in details.items() if tokens}
    tools = pick(usage, "server_tool_use")
    if tools is not None:
        result.tool_uses = {ours: uses for theirs, ours in _TOOLS if (uses := count(tools, theirs))}
    return result
