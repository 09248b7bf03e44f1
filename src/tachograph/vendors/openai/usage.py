"""OpenAI's usage reports: chat, responses, embeddings, images, transcription, realtime, batches.

Cached, cache-written and audio tokens are parts of the prompt, reasoning and audio tokens parts of the completion, on
the wire already. Source: openai 3.54 types (`CompletionUsage`, `ResponseUsage`, ...), read 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tachograph.records.usage import Usage
from tachograph.vendors.fields import count, getter, pick, plain, whole

_INPUT: Final = {
    "cached_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "audio_tokens": "audio_input",
    "image_tokens": "image_input",
}
_OUTPUT: Final = {
    "reasoning_tokens": "reasoning",
    "audio_tokens": "audio_output",
    "image_tokens": "image_output",
    "accepted_prediction_tokens": "accepted_prediction",
    "rejected_prediction_tokens": "rejected_prediction",
}
_PARTS_OF_PARTS: Final[Mapping[str, Mapping[str, str]]] = {
    "cache_write_tokens_details": {"ttl_30m_tokens": "cache_write_30m", "ttl_12h_tokens": "cache_write_12h"},
    "cached_tokens_details": {"audio_tokens": "audio_cache_read"},
}


def openai_usage(usage: Any) -> Usage | None:
    """The `usage` of any OpenAI API, and of servers that speak its language.

    Args:
        usage: `prompt_tokens`/`completion_tokens` (chat, embeddings), `input_tokens`/`output_tokens` (responses,
            images, audio, realtime), or `seconds` (transcription billed by time).
    """
    if usage is None:
        return None
    get = getter(usage)
    input_tokens, output_tokens = get("prompt_tokens"), get("completion_tokens")
    if type(input_tokens) is not int or input_tokens < 0:
        input_tokens = whole(input_tokens)
        if input_tokens is None:
            input_tokens = whole(get("input_tokens"))
    if type(output_tokens) is not int or output_tokens < 0:
        output_tokens = whole(output_tokens)
        if output_tokens is None:
            output_tokens = whole(get("output_tokens"))
    result = Usage(input_tokens, output_tokens)
    if input_tokens is None and output_tokens is None:
        seconds = get("seconds")
        if type(seconds) not in (int, float) or not 0 <= seconds < float("inf"):
            return None
        result.audio_seconds = float(seconds)
        return result
    into = get("prompt_tokens_details") or get("input_tokens_details") or get("input_token_details")
    if into is not None:
        _add(result.details, into, _INPUT)
    out_of = get("completion_tokens_details") or get("output_tokens_details") or get("output_token_details")
    if out_of is not None:
        _add(result.details, out_of, _OUTPUT)
    return result


def openai_response_usage(response: Any) -> Usage | None:
    """The usage of a whole response object: its `usage` and, for the Responses API, its billed tool requests."""
    usage = openai_usage(pick(response, "usage"))
    tools = pick(response, "tool_usage")
    if tools is None:
        return usage
    searches = count(pick(tools, "web_search"), "num_requests")
    if searches:
        usage = usage or Usage()
        usage.tool_uses["web_search"] = searches
    return usage


def _add(details: dict[str, int], source: Any, parts: Mapping[str, str]) -> None:
    """Note the parts that are there and not nothing: most are absent, null or zero."""
    fields = plain(source)
    if type(fields) is not dict:
        fields = {theirs: pick(source, theirs) for theirs in (*parts, *_PARTS_OF_PARTS)}
    for theirs, value in fields.items():
        if value:
            ours = parts.get(theirs)
            if ours is None:
                if theirs in _PARTS_OF_PARTS:
                    _add(details, value, _PARTS_OF_PARTS[theirs])
            elif tokens := value if type(value) is int and value > 0 else whole(value):
                details[ours] = tokens
