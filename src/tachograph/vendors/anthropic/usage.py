"""Anthropic's usage reports. On the wire `input_tokens` leaves cached and cache-written tokens out; here they are in.

Source: anthropic 2.14 types (`Usage`, `MessageDeltaUsage`, `BetaUsage`), read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tachograph.records.usage import Usage
from tachograph.vendors.fields import count, getter, items, pick, plain, text, wholes, word
from tachograph.vendors.usage import Reading, billed_fields, bounded

_COUNTS: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_FIELDS: Final = (
    *_COUNTS,
    "cache_creation",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
    "speed",
    "inference_geo",
    "iterations",
)
_TOOLS: Final = {
    "web_search_requests": "web_search",
    "web_fetch_requests": "web_fetch",
    "code_execution_requests": "code_execution",
}
_TOOL_NAMES: Final = frozenset(_TOOLS)
_KNOWN: Final = frozenset((*_FIELDS, "fallback_credit"))
_OUTSIDE_THE_TOTAL: Final = ("compaction", "advisor_message")
"""Iterations that are billed but left out of the top-level counts: the server's own work beside the answer."""
_INSIDE_THE_TOTAL: Final = ("message", "fallback_message")


def anthropic_usage(report: object) -> Usage | None:
    """The tokens of a message's `usage`, or of what `anthropic_merge_usage` made of a stream's."""
    return read_usage(report).usage


def read_usage(report: object) -> Reading:
    """All that a `usage` says.

    Compaction and advisor iterations, which the top level leaves out, are added. An advisor may be another model, at
    other prices: what it did is distinguished.
    """
    if report is None:
        return Reading()
    fields = plain(report)
    is_plain = type(fields) is dict
    get = fields.get if is_plain else partial(pick, report)
    said = [*map(get, _COUNTS)]
    counts = wholes(said)
    tier, speed, region = get("service_tier"), get("speed"), get("inference_geo")
    reading = Reading(_one(get, counts))
    if tier is not None:
        reading.service_tier = word(tier)
    if speed is not None:
        reading.speed = word(speed)
    if region is not None:
        reading.region = word(region)
    if is_plain and not _KNOWN.issuperset(fields):
        reading.unknown = billed_fields(fields, _KNOWN)
    tools = fields.get("server_tool_use") if is_plain else None
    if tools is not None and type(named := plain(tools)) is dict:
        reading.unknown += billed_fields(named, _TOOL_NAMES, "server_tool_use.")
    usage = reading.usage
    if usage is not None and get("iterations"):
        for iteration in items(report, "iterations"):
            kind = text(iteration, "type") or "iteration"
            more = _of_iteration(iteration) if kind in _OUTSIDE_THE_TOTAL else None
            if more is not None:
                if kind == "advisor_message":
                    reading.own = reading.own or usage
                    reading.others += ((text(iteration, "model") or "an advisor", more),)
                    usage = usage + more
                    usage.tool_uses["advisor"] = usage.tool_uses.get("advisor", 0) + 1
                else:
                    usage = usage + more
                    reading.own = None if reading.own is None else reading.own + more
                reading.usage = usage
            elif kind not in _INSIDE_THE_TOTAL:
                reading.unknown += (f"iterations.{kind}",)
    return bounded(reading, said, counts)


def anthropic_merge_usage(started: object, delta: object) -> dict[str, Any]:
    """The usage of a stream so far, as one report: what `message_start` said, overlaid by a `message_delta`.

    A delta's counts are cumulative and may leave out what the start knew (cache lifetimes, service tier); a relay's may
    say zero where the start knew better. Use it again for further deltas.
    """
    merged: dict[str, Any] = {}
    before, after = getter(started), getter(delta)
    for name in _FIELDS:
        value = after(name)
        if value is None or (value == 0 and before(name)):
            value = before(name)
        if value is not None:
            merged[name] = value
    return merged


def _of_iteration(iteration: object) -> Usage | None:
    get = getter(iteration)
    return _one(get, wholes([*map(get, _COUNTS)]))


def _one(get: Callable[[str], Any], counts: list[int | None]) -> Usage | None:
    fresh, output, read, written = counts
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
        result.tool_uses = {ours: uses for theirs, ours in _TOOLS.items() if (uses := count(tools, theirs))}
    return result
