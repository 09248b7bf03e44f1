"""Anthropic's usage reports. On the wire `input_tokens` leaves cached and cache-written tokens out; here they are in.

Source: anthropic 2.12 types (`Usage`, `MessageDeltaUsage`, `BetaUsage`), read 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tachograph.records.usage import Usage
from tachograph.vendors.fields import count, getter, items, pick, text, whole

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

    Compaction and advisor iterations, which the top level leaves out, are added. An advisor may be another model, at
    other prices: it is named among the tool requests, so that the cost is known to be an estimate.
    """
    if usage is None:
        return None
    get = getter(usage)
    result = _one(get)
    if result is None:
        return None
    if get("iterations"):
        for iteration in items(usage, "iterations"):
            kind = text(iteration, "type")
            if kind in _OUTSIDE_THE_TOTAL:
                more = _one(getter(iteration))
                if more is not None:
                    if kind == "advisor_message":
                        more.tool_uses["advisor"] = 1
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


def _one(get: Callable[[str], Any]) -> Usage | None:
    fresh, output = whole(get("input_tokens")), whole(get("output_tokens"))
    read, written = whole(get("cache_read_input_tokens")), whole(get("cache_creation_input_tokens"))
    details = {}
    lifetimes = get("cache_creation")
    if lifetimes is not None:
        five_minutes = count(lifetimes, "ephemeral_5m_input_tokens")
        one_hour = count(lifetimes, "ephemeral_1h_input_tokens")
        if written is None and (five_minutes is not None or one_hour is not None):
            written = (five_minutes or 0) + (one_hour or 0)
        if five_minutes:
            details["cache_write_5m"] = five_minutes
        if one_hour:
            details["cache_write_1h"] = one_hour
    if fresh is None and read is None and written is None:
        if output is None:
            return None
        result = Usage(None, output, details)
    else:
        result = Usage((fresh or 0) + (read or 0) + (written or 0), output, details)
    if read:
        details["cache_read"] = read
    if written:
        details["cache_write"] = written
    out_of = get("output_tokens_details")
    if out_of is not None and (thinking := count(out_of, "thinking_tokens")):
        details["reasoning"] = thinking
    tools = get("server_tool_use")
    if tools is not None:
        result.tool_uses = {ours: uses for theirs, ours in _TOOLS if (uses := count(tools, theirs))}
    return result
