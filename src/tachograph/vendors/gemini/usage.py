"""Gemini's usage reports: generateContent, embeddings and Interactions.

On the wire the answer's tokens leave thoughts out, and the prompt's leave tool results out; here both are in.
Source: google-genai 3.6 types (`GenerateContentResponseUsageMetadata`, interactions `Usage`), read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from tachograph.records.usage import Usage
from tachograph.vendors.fields import count, dig, getter, items, pick, plain, text, whole, word
from tachograph.vendors.usage import Reading, billed_fields, bounded

_MODALITIES = ("audio", "image", "video", "document")
_WORDS_ALONE: Final = frozenset(("text", "modality_unspecified"))
_BY_MODALITY = (
    ("prompt_tokens_details", "promptTokensDetails"),
    ("candidates_tokens_details", "candidatesTokensDetails"),
    ("response_tokens_details", "responseTokensDetails"),
    ("cache_tokens_details", "cacheTokensDetails"),
)
_COUNTS: Final = (
    ("prompt_token_count", "promptTokenCount"),
    ("tool_use_prompt_token_count", "toolUsePromptTokenCount"),
    ("candidates_token_count", "candidatesTokenCount"),
    ("response_token_count", "responseTokenCount"),  # the live API's word
    ("thoughts_token_count", "thoughtsTokenCount"),
    ("cached_content_token_count", "cachedContentTokenCount"),
    ("total_token_count", "totalTokenCount"),
)
_INTERACTION_COUNTS: Final = (
    *("total_input_tokens", "total_tool_use_tokens", "total_output_tokens", "total_thought_tokens"),
    *("total_cached_tokens", "total_tokens"),
)
_OF_AN_INTERACTION: Final = frozenset(
    (
        *(*_INTERACTION_COUNTS, "grounding_tool_count", "initial_input_tokens"),
        *(f"{side}_tokens_by_modality" for side in ("input", "output", "cached", "tool_use")),
    )
)
_KNOWN: Final = frozenset(
    (
        *(name for names in (*_COUNTS, *_BY_MODALITY) for name in names),
        *("tool_use_prompt_tokens_details", "toolUsePromptTokensDetails", "traffic_type", "trafficType"),
    )
)
_GROUNDING: Final = {"google_search": "web_search", "google_maps": "google_maps", "retrieval": "retrieval"}


def gemini_usage(metadata: object) -> Usage | None:
    """The tokens of a response's `usage_metadata`."""
    return read_usage(metadata).usage


def read_usage(metadata: object) -> Reading:
    """The `usage_metadata` of a response or of a stream's last chunk that has one (also `usageMetadata` as sent).

    A chunk's counts are the running total of its request: the last report is the whole.
    """
    if metadata is None:
        return Reading()
    get = getter(metadata)
    is_model = (
        not isinstance(metadata, (dict, SimpleNamespace)) and type(get) is not partial
    )  # then names are as in Python, never as sent

    def field(name: str, wire_name: str) -> object:
        value = get(name)
        return get(wire_name) if value is None and not is_model else value

    said = [field(*names) for names in _COUNTS]
    prompt, tool_use, answer, answered_live, thoughts, cached, total = map(whole, said)
    reading = Reading(
        _total(prompt, tool_use, answered_live if answer is None else answer, thoughts),
        traffic_type=word(field("traffic_type", "trafficType")),
        service_tier=word(field("service_tier", "serviceTier")),
    )
    usage = reading.usage
    if usage is None:
        return bounded(reading, *said)
    _add(usage.details, "cache_read", cached)
    parts = [(get(name), None if is_model else get(wire_name)) for name, wire_name in _BY_MODALITY]
    if any(ours or theirs for ours, theirs in parts):
        by_input, by_output, by_live, by_cache = (_modalities(ours) or _modalities(theirs) for ours, theirs in parts)
        _with_modalities(usage, by_input, by_output or by_live, by_cache)
        reading.unknown = _unknown_modalities([ours or theirs for ours, theirs in parts])
    fields = plain(metadata)
    if type(fields) is dict:
        reading.unknown += billed_fields(fields, _KNOWN)
    if total is not None and total != (usage.input_tokens or 0) + (usage.output_tokens or 0):
        reading.mismatch = "total"
    return bounded(reading, *said)


def gemini_searches(queries: Iterable[str], model: str) -> int:
    """Web searches that are billed for a request, of the queries that grounding reports.

    Up to Gemini 2.5 a grounded prompt costs once, however many searches it made; later models cost for each query that
    is not a repeated one. Source: ai.google.dev/gemini-api/docs/pricing, checked 2026-11-27.
    """
    asked = {query for query in queries if query}
    return min(len(asked), 1) if _is_billed_by_prompt(model) else len(asked)


def _is_billed_by_prompt(model: str) -> bool:
    return model.rpartition("/")[2].startswith(("gemini-1", "gemini-2"))


def interactions_usage(usage: object) -> Usage | None:
    """The tokens of an interaction's `usage`."""
    return read_interaction_usage(usage).usage


def read_interaction_usage(usage: object, model: str = "") -> Reading:
    """The `usage` of an interaction, of its completed event, or a step's `metadata.total_usage`.

    Args:
        usage: The report.
        model: What searches are billed by; see `gemini_searches`.
    """
    if usage is None:
        return Reading()
    result = _total(
        count(usage, "total_input_tokens"),
        count(usage, "total_tool_use_tokens"),
        count(usage, "total_output_tokens"),
        count(usage, "total_thought_tokens"),
    )
    said = [pick(usage, name) for name in _INTERACTION_COUNTS]
    if result is None:
        return bounded(Reading(), *said)
    _add(result.details, "cache_read", count(usage, "total_cached_tokens"))
    for tool in items(usage, "grounding_tool_count"):
        kind, uses = text(tool, "type"), count(tool, "count")
        if kind and uses:
            name = _GROUNDING.get(kind, "other")
            result.tool_uses[name] = result.tool_uses.get(name, 0) + uses
    if "web_search" in result.tool_uses and _is_billed_by_prompt(model):
        result.tool_uses["web_search"] = 1
    parts = [pick(usage, f"{side}_tokens_by_modality") for side in ("input", "output", "cached")]
    _with_modalities(result, *map(_modalities, parts))
    fields = plain(usage)
    unknown = billed_fields(fields, _OF_AN_INTERACTION) if type(fields) is dict else ()
    total = whole(said[-1])
    is_off = total is not None and total != (result.input_tokens or 0) + (result.output_tokens or 0)
    reading = Reading(result, "total" if is_off else None, unknown + _unknown_modalities(parts))
    return bounded(reading, *said)


def gemini_embedding_usage(response: object) -> Usage | None:
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


def _modalities(entries: object) -> dict[str, int]:
    """Tokens by modality: entries are `{modality, token_count}`, `{modality, tokenCount}` or `{modality, tokens}`."""
    found: dict[str, int] = {}
    for entry in entries if isinstance(entries, (list, tuple)) else ():
        modality = (text(entry, "modality") or "").lower()
        tokens = next(_counts(entry, ("token_count", "tokenCount", "tokens")), 0)
        if tokens and modality in _MODALITIES:
            found[modality] = found.get(modality, 0) + tokens
    return found


def _unknown_modalities(parts: Iterable[Any]) -> tuple[str, ...]:
    """Modalities that have tokens and, for all we know, prices of their own."""
    entries = [entry for part in parts if isinstance(part, (list, tuple)) for entry in part]
    found = {
        word.lower(): None
        for entry in entries
        if (word := text(entry, "modality")) and next(_counts(entry, ("token_count", "tokenCount", "tokens")), 0)
    }
    return tuple(f"modality {word}" for word in found if word not in _MODALITIES and word not in _WORDS_ALONE)


def _counts(entry: object, names: tuple[str, ...]) -> Iterator[int]:
    return (tokens for name in names if (tokens := count(entry, name)) is not None)


def _with_modalities(
    usage: Usage, by_input: dict[str, int], by_output: dict[str, int], by_cache: dict[str, int]
) -> None:
    for modality in _MODALITIES:
        _add(usage.details, f"{modality}_input", by_input.get(modality))
    _add(usage.details, "audio_output", by_output.get("audio"))
    _add(usage.details, "image_output", by_output.get("image"))
    _add(usage.details, "audio_cache_read", by_cache.get("audio"))


def _add(details: dict[str, int], name: str, tokens: int | None) -> None:
    if tokens:
        details[name] = tokens
