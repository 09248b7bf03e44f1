"""OpenAI's usage reports: chat, responses, embeddings, images, transcription, realtime, batches.

Cached, cache-written and audio tokens are parts of the prompt, reasoning and audio tokens parts of the completion, on
the wire already. Source: openai 3.54 types (`CompletionUsage`, `ResponseUsage`, ...), read 2026-11-23.
"""

from __future__ import annotations

from typing import Any

from tachograph.llm.fields import count, pick, plain
from tachograph.records.usage import Usage

_INPUT = (
    ("cached_tokens", "cache_read"),
    ("cache_write_tokens", "cache_write"),
    ("audio_tokens", "audio_input"),
    ("image_tokens", "image_input"),
)
_OUTPUT = (
    ("reasoning_tokens", "reasoning"),
    ("audio_tokens", "audio_output"),
    ("image_tokens", "image_output"),
    ("accepted_prediction_tokens", "accepted_prediction"),
    ("rejected_prediction_tokens", "rejected_prediction"),
)
_LIFETIMES = (("ttl_30m_tokens", "cache_write_30m"), ("ttl_12h_tokens", "cache_write_12h"))


def openai_usage(usage: Any) -> Usage | None:
    """The `usage` of any OpenAI API, and of servers that speak its language.

    Args:
        usage: `prompt_tokens`/`completion_tokens` (chat, embeddings), `input_tokens`/`output_tokens` (responses,
            images, audio, realtime), or `seconds` (transcription billed by time).
    """
    if usage is None:
        return None
    usage = plain(usage)
    input_tokens = count(usage, "prompt_tokens")
    if input_tokens is None:
        input_tokens = count(usage, "input_tokens")
    output_tokens = count(usage, "completion_tokens")
    if output_tokens is None:
        output_tokens = count(usage, "output_tokens")
    seconds = pick(usage, "seconds")
    result = Usage(input_tokens, output_tokens)
    if input_tokens is None and output_tokens is None:
        if type(seconds) not in (int, float) or not 0 <= seconds < float("inf"):
            return None
        result.audio_seconds = float(seconds)
        return result
    into = _first(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    out_of = _first(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
    _add(result.details, into, _INPUT)
    _add(result.details, out_of, _OUTPUT)
    if into is not None:
        _add(result.details, pick(into, "cache_write_tokens_details"), _LIFETIMES)
        _add(result.details, pick(into, "cached_tokens_details"), (("audio_tokens", "audio_cache_read"),))
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


def _first(usage: Any, *names: str) -> Any:
    for name in names:
        found = pick(usage, name)
        if found is not None:
            return plain(found)
    return None


def _add(details: dict[str, int], source: Any, names: tuple[tuple[str, str], ...]) -> None:
    if source is None:
        return
    if type(source) is dict:
        for theirs, ours in names:
            if source.get(theirs):  # most parts are absent, null or zero
                tokens = count(source, theirs)
                if tokens:
                    details[ours] = tokens
        return
    for theirs, ours in names:
        tokens = count(source, theirs)
        if tokens:
            details[ours] = tokens
