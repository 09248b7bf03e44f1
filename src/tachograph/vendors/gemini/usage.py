"""Gemini's usage reports: generateContent, embeddings and Interactions.

On the wire the answer's tokens leave thoughts out, and the prompt's leave tool results out; here both are in.
Source: google-genai 3.4 types (`GenerateContentResponseUsageMetadata`, interactions `Usage`), read 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tachograph.records.usage import Usage
from tachograph.vendors.fields import count, dig, getter, items, pick, text, whole

_MODALITIES = ("audio", "image", "video", "document")
_BY_MODALITY = (
    ("prompt_tokens_details", "promptTokensDetails"),
    ("candidates_tokens_details", "candidatesTokensDetails"),
    ("cache_tokens_details", "cacheTokensDetails"),
)
_GROUNDING = {"google_search": "web_search", "google_maps": "google_maps", "retrieval": "retrieval"}


def gemini_usage(metadata: Any) -> Usage | None:
    """The `usage_metadata` of a response or of a stream's last chunk that has one (also `usageMetadata` as sent).

    A chunk's counts are the running total of its request: the last report is the whole.
    """
    if metadata is None:
        return None
    get = getter(metadata)
    is_model = type(metadata) is not dict and type(get) is not partial  # then names are as in Python, never as sent

    def tokens(name: str, wire_name: str) -> int | None:
        value = get(name)
        return whole(get(wire_name) if value is None and not is_model else value)

    prompt = tokens("prompt_token_count", "promptTokenCount")
    tool_use = tokens("tool_use_prompt_token_count", "toolUsePromptTokenCount")
    answer = tokens("candidates_token_count", "candidatesTokenCount")
    if answer is None:
        answer = tokens("response_token_count", "responseTokenCount")  # the live API's word
    thoughts = tokens("thoughts_token_count", "thoughtsTokenCount")
    result = _total(prompt, tool_use, answer, thoughts)
    if result is None:
        return None
    _add(result.details, "cache_read", tokens("cached_content_token_count", "cachedContentTokenCount"))
    parts = [(get(name), None if is_model else get(wire_name)) for name, wire_name in _BY_MODALITY]
    if not any(ours or theirs for ours, theirs in parts):
        return result
    by_input, by_output, by_cache = (_modalities(ours) or _modalities(theirs) for ours, theirs in parts)
    return _with_modalities(result, by_input, by_output, by_cache)


def gemini_searches(response: Any, model: str) -> int:
    """Web searches that are billed for a response or a chunk: grounding tells its queries beside the usage.

    Up to Gemini 2.5 a grounded prompt costs once, however many searches it made; later models cost per search.
    Source: ai.google.dev/gemini-api/docs/pricing, checked 2026-11-23.
    """
    queries = sum(
        isinstance(query, str) and query != ""
        for candidate in items(response, "candidates")
        for query in items(pick(candidate, "grounding_metadata"), "web_search_queries")
    )
    is_per_prompt = model.rpartition("/")[2].startswith(("gemini-1", "gemini-2"))
    return min(queries, 1) if is_per_prompt else queries


def interactions_usage(usage: Any) -> Usage | None:
    """The `usage` of an interaction, of its completed event, or a step's `metadata.total_usage`."""
    if usage is None:
        return None
    result = _total(
        count(usage, "total_input_tokens"),
        count(usage, "total_tool_use_tokens"),
        count(usage, "total_output_tokens"),
        count(usage, "total_thought_tokens"),
    )
    if result is None:
        return None
    _add(result.details, "cache_read", count(usage, "total_cached_tokens"))
    for tool in items(usage, "grounding_tool_count"):
        kind, uses = text(tool, "type"), count(tool, "count")
        if kind and uses:
            name = _GROUNDING.get(kind, "other")
            result.tool_uses[name] = result.tool_uses.get(name, 0) + uses
    return _with_modalities(
        result,
        _modalities(pick(usage, "input_tokens_by_modality")),
        _modalities(pick(usage, "output_tokens_by_modality")),
        _modalities(pick(usage, "cached_tokens_by_modality")),
    )


def gemini_embedding_usage(response: Any) -> Usage | None:
    """The usage of an `embed_content` response: its metadata, or the sum of what each embedding states (Vertex)."""
    usage = gemini_usage(pick(response, "usage_metadata"))
    if usage is not None:
        return usage
    stated = [dig(embedding, "statistics", "token_count") for embedding in items(response, "embeddings")]
    tokens = [int(number) for number in stated if isinstance(number, (int, float)) and 0 <= number < float("inf")]
    return Usage(sum(tokens)) if tokens else None


def _total(prompt: int | None, tool_use: int | None, answer: int | None, thoughts: int | None) -> Usage | None:
    if prompt is None and tool_use is None and answer is None and thoughts is None:
        return None
    usage = Usage(
        None if prompt is None and tool_use is None else (prompt or 0) + (tool_use or 0),
        None if answer is None and thoughts is None else (answer or 0) + (thoughts or 0),
    )
    _add(usage.details, "reasoning", thoughts)
    _add(usage.details, "tool_use_prompt", tool_use)
    return usage


def _modalities(entries: Any) -> dict[str, int]:
    """Tokens by modality: entries are `{modality, token_count}`, `{modality, tokenCount}` or `{modality, tokens}`."""
    found: dict[str, int] = {}
    for entry in entries if isinstance(entries, (list, tuple)) else ():
        modality = (text(entry, "modality") or "").lower()
        tokens = next(_counts(entry, ("token_count", "tokenCount", "tokens")), 0)
        if tokens and modality in _MODALITIES:
            found[modality] = found.get(modality, 0) + tokens
    return found


def _counts(entry: Any, names: tuple[str, ...]) -> Iterator[int]:
    return (tokens for name in names if (tokens := count(entry, name)) is not None)


def _with_modalities(
    usage: Usage, by_input: dict[str, int], by_output: dict[str, int], by_cache: dict[str, int]
) -> Usage:
    for modality in _MODALITIES:
        _add(usage.details, f"{modality}_input", by_input.get(modality))
    _add(usage.details, "audio_output", by_output.get("audio"))
    _add(usage.details, "image_output", by_output.get("image"))
    _add(usage.details, "audio_cache_read", by_cache.get("audio"))
    return usage


def _add(details: dict[str, int], name: str, tokens: int | None) -> None:
    if tokens:
        details[name] = tokens
