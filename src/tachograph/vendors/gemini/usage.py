"""Gemini's usage reports: generateContent, embeddings and Interactions.

On the wire the answer's tokens leave thoughts out, and the prompt's leave tool results out; here both are in.
Source: google-genai 3.6 types (`GenerateContentResponseUsageMetadata`, interactions `Usage`), read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tachograph.records.usage import Usage
from tachograph.vendors.fields import count, dig, items, pick, plain, text, wholes, word
from tachograph.vendors.usage import Reading, billed_fields, bounded

_MODALITIES = ("audio", "image", "video", "document")
_WORDS_ALONE: Final = frozenset(("text", "modality_unspecified"))
_BY_MODALITY: Final = (
    *("prompt_tokens_details", "candidates_tokens_details", "response_tokens_details", "cache_tokens_details"),
)
_COUNTS: Final = (
    *("prompt_token_count", "tool_use_prompt_token_count", "candidates_token_count"),
    *("response_token_count", "thoughts_token_count", "cached_content_token_count", "total_token_count"),
)
"""`response_token_count` is the live API's word."""
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
_KNOWN: Final = frozenset((*_COUNTS, *_BY_MODALITY, "tool_use_prompt_tokens_details", "traffic_type", "service_tier"))
_SENT_AS: Final = {
    "".join(word if at == 0 else word.title() for at, word in enumerate(name.split("_"))): name for name in _KNOWN
}
"""Names in Python by those on the wire."""
_SENT_NAMES: Final = frozenset(_SENT_AS)
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
    fields = plain(metadata)
    if type(fields) is not dict:
        fields = {name: pick(metadata, name) for names in _SENT_AS.items() for name in names}
    if not _SENT_NAMES.isdisjoint(fields):
        fields = _in_python(fields)
    get = fields.get
    said = [*map(get, _COUNTS)]
    counts = wholes(said)
    prompt, tool_use, answer, answered_live, thoughts, cached, total = counts
    usage = _total(prompt, tool_use, answered_live if answer is None else answer, thoughts)
    reading = Reading(usage)
    traffic, tier = get("traffic_type"), get("service_tier")
    if traffic is not None:
        reading.traffic_type = word(traffic)
    if tier is not None:
        reading.service_tier = word(tier)
    if usage is None:
        return bounded(reading, said, counts)
    if cached:
        usage.details["cache_read"] = cached
    parts = [*map(get, _BY_MODALITY)]
    if any(parts):
        by_input, by_output, by_live, by_cache = map(_modalities, parts)
        _with_modalities(usage, by_input, by_output or by_live, by_cache)
        reading.unknown = _unknown_modalities(parts)
    if not _KNOWN.issuperset(fields):
        reading.unknown += billed_fields(fields, _KNOWN)
    if total is not None and total != (usage.input_tokens or 0) + (usage.output_tokens or 0):
        reading.mismatch = "total"
    return bounded(reading, said, counts)


def _in_python(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as they are sent, under their names in Python; those that have these already are the ones that count."""
    sent = {_SENT_AS[name]: value for name, value in fields.items() if name in _SENT_AS}
    return sent | {name: value for name, value in fields.items() if name not in _SENT_AS and value is not None}


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
    said = [pick(usage, name) for name in _INTERACTION_COUNTS]
    counts = wholes(said)
    prompt, tool_use, answer, thoughts, cached, total = counts
    result = _total(prompt, tool_use, answer, thoughts)
    if result is None:
        return bounded(Reading(), said, counts)
    _add(result.details, "cache_read", cached)
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
    is_off = total is not None and total != (result.input_tokens or 0) + (result.output_tokens or 0)
    reading = Reading(result, "total" if is_off else None, unknown + _unknown_modalities(parts))
    return bounded(reading, said, counts)


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
    if thoughts:
        usage.details["reasoning"] = thoughts
    if tool_use:
        usage.details["tool_use_prompt"] = tool_use
    return usage


def _modalities(entries: object) -> dict[str, int]:
    """Tokens by modality: entries are `{modality, token_count}`, `{modality, tokenCount}` or `{modality, tokens}`."""
    found: dict[str, int] = {}
    for entry in entries if isinstance(entries, (list, tuple)) else ():
        modality = (text(entry, "modality") or "").lower()
        tokens = _tokens(entry)
        if tokens:
            found[modality] = found.get(modality, 0) + tokens
    return found


def _unknown_modalities(parts: Iterable[Any]) -> tuple[str, ...]:
    """Modalities that have tokens and, for all we know, prices of their own."""
    entries = [entry for part in parts if isinstance(part, (list, tuple)) for entry in part]
    found = {word.lower(): None for entry in entries if (word := text(entry, "modality")) and _tokens(entry)}
    return tuple(f"modality {word}" for word in found if word not in _MODALITIES and word not in _WORDS_ALONE)


def _tokens(entry: object) -> int:
    return count(entry, "token_count") or count(entry, "tokenCount") or count(entry, "tokens") or 0


def _with_modalities(
    usage: Usage, by_input: dict[str, int], by_output: dict[str, int], by_cache: dict[str, int]
) -> None:
    for modality in _MODALITIES:
        _add(usage.details, f"{modality}_input", by_input.get(modality))
    _add(usage.details, "audio_output", by_output.get("audio"))
    _add(usage.details, "image_output", by_output.get("image"))
    _add(usage.details, "video_output", by_output.get("video"))
    for modality in ("audio", "image"):
        _add(usage.details, f"{modality}_cache_read", by_cache.get(modality))


def _add(details: dict[str, int], name: str, tokens: int | None) -> None:
    if tokens:
        details[name] = tokens
