"""OpenAI's usage reports, and those of servers compatible with its API: chat, responses, embeddings, images, audio.

On the wire cached, cache-written and audio tokens are parts of the prompt, reasoning and audio tokens parts of the
completion; hosts that leave reasoning out are known by their `Dialect` or found by the total. Source: openai 3.57 types
(`CompletionUsage`, `ResponseUsage`, ...); fields of compatible servers as their references have them. Read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tachograph.records.usage import Usage
from tachograph.vendors.fields import count, items, pick, plain, text, whole, wholes
from tachograph.vendors.usage import Reading, billed_fields, bounded, nano_usd, stated

if TYPE_CHECKING:
    from tachograph.vendors.dialects import Dialect

_INPUT: Final = {
    "cached_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "cache_creation_tokens": "cache_write",  # LiteLLM
    "audio_tokens": "audio_input",
    "image_tokens": "image_input",
    "video_tokens": "video_input",
}
_OUTPUT: Final = {
    "reasoning_tokens": "reasoning",
    "audio_tokens": "audio_output",
    "image_tokens": "image_output",
    "video_tokens": "video_output",
    "accepted_prediction_tokens": "accepted_prediction",
    "rejected_prediction_tokens": "rejected_prediction",
}
_PARTS_OF_PARTS: Final[Mapping[str, Mapping[str, str]]] = {
    "cache_write_tokens_details": {"ttl_30m_tokens": "cache_write_30m", "ttl_12h_tokens": "cache_write_12h"},
    "cached_tokens_details": {"audio_tokens": "audio_cache_read", "image_tokens": "image_cache_read"},
}
_LONGEST_AUDIO_SECONDS: Final = 1_000_000
"""More is no length of a recording: eleven days, where the largest files that are taken hold some hours."""
_CACHE_READ_BESIDE: Final = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
"""Where servers put cached tokens beside the details: DeepSeek, Moonshot, Databricks. They are parts of the prompt."""
_CACHE_WRITE_BESIDE: Final = ("cache_creation_input_tokens", "cache_write_tokens")
_TOOLS_BESIDE: Final = {"num_sources_used": "source", "num_search_queries": "search_query"}
"""What xAI and Perplexity bill beside tokens."""
_BESIDE: Final = frozenset((*_CACHE_READ_BESIDE, *_CACHE_WRITE_BESIDE, *_TOOLS_BESIDE))
_KNOWN: Final = frozenset(
    (
        *("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "seconds", "type"),
        *("prompt_tokens_details", "input_tokens_details", "input_token_details"),
        *("completion_tokens_details", "output_tokens_details", "output_token_details"),
        *(*_CACHE_READ_BESIDE, "prompt_cache_miss_tokens", *_CACHE_WRITE_BESIDE, *_TOOLS_BESIDE),
        *("cost", "cost_details", "cost_in_usd_ticks", "is_byok", "estimated_cost"),
        *("invocation_count", "model_name"),  # a run of an eval
        *("queue_time", "prompt_time", "completion_time", "total_time"),  # Groq's clocks
    )
)
_KNOWN_PARTS: Final = frozenset((*_INPUT, *_OUTPUT, *_PARTS_OF_PARTS, "text_tokens"))


def openai_usage(report: object, dialect: Dialect | None = None) -> Usage | None:
    """The tokens of any OpenAI API's `usage`, and of servers compatible with its API."""
    return read_usage(report, dialect).usage


def read_usage(report: object, dialect: Dialect | None = None) -> Reading:
    """All that a `usage` says.

    Args:
        report: `prompt_tokens`/`completion_tokens` (chat, embeddings), `input_tokens`/`output_tokens` (responses,
            images, audio, realtime), or `seconds` (transcription billed by time).
        dialect: What is known of the host.
    """
    if report is None:
        return Reading()
    fields = plain(report)
    is_plain = type(fields) is dict
    get = fields.get if is_plain else partial(pick, report)
    said = [get("prompt_tokens"), get("completion_tokens"), get("total_tokens")]
    if said[0] is None:
        said[0] = get("input_tokens")
    if said[1] is None:
        said[1] = get("output_tokens")
    counts = wholes(said)
    input_tokens, output_tokens, total = counts
    reading = Reading() if dialect is None else Reading(stated_cost_nano_usd=_cost_of(report, dialect))
    if input_tokens is None and output_tokens is None:
        _read_seconds(reading, get("seconds"))
        return bounded(reading, said, counts)
    reading.usage = usage = Usage(input_tokens, output_tokens)
    if is_plain and not _KNOWN.issuperset(fields):
        reading.unknown = billed_fields(fields, _KNOWN)
    into = get("prompt_tokens_details") or get("input_tokens_details") or get("input_token_details")
    if into is not None:
        _add(reading, usage.details, into, _INPUT)
    out_of = get("completion_tokens_details") or get("output_tokens_details") or get("output_token_details")
    if out_of is not None:
        _add(reading, usage.details, out_of, _OUTPUT)
    if is_plain and not _BESIDE.isdisjoint(fields):
        _read_beside(usage, fields)
    if total is not None:
        reading.mismatch = _add_up(usage, total, dialect)
    return bounded(reading, said, counts)


def read_reports(reports: Sequence[object], dialect: Dialect | None = None) -> Reading:
    """What the reports of one stream say together.

    They are running totals, so the last is the whole. A side that the last leaves out (the prompt comes first, the
    completion last) is that of a report before. A completion that falls is no running total: its reports are its parts.

    Args:
        reports: One or more, in their order.
        dialect: What is known of the host.
    """
    last = reports[-1]
    if len(reports) == 1:
        return read_usage(last, dialect)
    prompts, completions = (
        [number for report in reports if (number := _first_count(report, names))] for names in (_PROMPT, _COMPLETION)
    )
    falls = completions != sorted(completions)
    prompt = prompts[-1] if prompts else None
    completion = sum(completions) if falls else completions[-1] if completions else None
    if (prompt, completion) == (_first_count(last, _PROMPT) or None, _first_count(last, _COMPLETION) or None):
        return read_usage(last, dialect)
    whole_report = {name: value for report in reports for name, value in fields_of(report).items() if value}
    whole_report |= {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": None}
    reading = read_usage(whole_report, dialect)
    if falls and reading.mismatch is None:
        reading.mismatch = "early"
    return reading


_PROMPT: Final = ("prompt_tokens", "input_tokens")
_COMPLETION: Final = ("completion_tokens", "output_tokens")


def _first_count(report: object, names: tuple[str, ...]) -> int | None:
    return next((number for name in names if (number := count(report, name)) is not None), None)


def fields_of(report: object) -> dict[str, Any]:
    """The fields of a report; none where it is nothing of the kind."""
    fields = plain(report)
    return fields if type(fields) is dict else {}


def _read_seconds(reading: Reading, seconds: Any) -> None:
    """Audio that is billed by its length."""
    if type(seconds) in (int, float) and 0 <= seconds <= _LONGEST_AUDIO_SECONDS:
        reading.usage = Usage(audio_seconds=float(seconds))
    elif seconds is not None:
        reading.mismatch = "absurd"


def _read_beside(usage: Usage, fields: Mapping[str, Any]) -> None:
    """What servers report beside the two details."""
    for name in _CACHE_READ_BESIDE:
        if name in fields and "cache_read" not in usage.details and (tokens := whole(fields[name])):
            usage.details["cache_read"] = tokens
    for name in _CACHE_WRITE_BESIDE:
        if name in fields and "cache_write" not in usage.details and (tokens := whole(fields[name])):
            usage.details["cache_write"] = tokens
    for name, ours in _TOOLS_BESIDE.items():
        if name in fields and (uses := whole(fields[name])):
            usage.tool_uses[ours] = uses


def _add_up(usage: Usage, total: int, dialect: Dialect | None) -> str | None:
    """Make the two sides fit the total, where it is known how; else say why not."""
    prompt, completion = usage.input_tokens, usage.output_tokens
    if prompt is None or completion is None:
        left = total - (prompt or 0) - (completion or 0)
        if left > 0:  # an embedding has no completion: nothing is left
            usage.input_tokens = left if prompt is None else prompt
            usage.output_tokens = left if completion is None else completion
            return "incomplete"
        return None
    left = total - prompt - completion
    if left == 0:
        return None
    leaves_out = dialect is not None and dialect.reasoning == "outside"
    reasoning = usage.details.get("reasoning", 0)
    if left == reasoning:
        usage.output_tokens = completion + left
        return None if leaves_out else "reasoning_outside"
    if leaves_out and left > 0:
        usage.output_tokens = completion + left
        usage.details["reasoning"] = max(reasoning, left)
        return None
    return "total"


def _cost_of(report: object, dialect: Dialect | None) -> Any:
    if dialect is None or not dialect.stated_cost:
        return None
    cost = nano_usd(stated(report, *dialect.stated_cost), dialect.stated_cost_per_usd)
    if cost is None or not dialect.upstream_cost or pick(report, "is_byok") is not True:
        return cost
    upstream = nano_usd(stated(report, *dialect.upstream_cost), dialect.stated_cost_per_usd)
    return None if upstream is None else cost + upstream


# What the Responses API bills beside tokens

_TOOL_ITEMS: Final = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
}
_FREE_ITEMS: Final = frozenset(
    (
        *("message", "reasoning", "function_call", "function_call_output", "computer_call", "computer_call_output"),
        *("program", "program_output", "tool_search_call", "tool_search_output", "additional_tools", "compaction"),
        *("local_shell_call", "local_shell_call_output", "shell_call_output", "apply_patch_call"),
        *("apply_patch_call_output", "mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response"),
        *("custom_tool_call", "custom_tool_call_output"),
    )
)
"""Kinds of output items that cost nothing but the tokens they make. Source: openai 3.57 `ResponseOutputItem`."""


def openai_response_usage(response: object) -> Usage | None:
    """The tokens of a whole response object, and its billed tool requests."""
    return read_response_usage(response).usage


def read_response_usage(response: object, dialect: Dialect | None = None) -> Reading:
    """The usage of a response: its `usage`, and its billed tools by `tool_usage`, else by the items of the output."""
    reading = read_usage(pick(response, "usage"), dialect)
    uses, unknown = _tools_of(response)
    reading.unknown += unknown
    if uses:
        reading.usage = reading.usage or Usage()
        reading.usage.tool_uses.update(uses)
        drawn = read_usage(pick(pick(response, "tool_usage"), "image_gen")).usage
        if drawn is not None:  # tokens of a model of its own
            usage = reading.usage
            own = {kind: number for kind, number in uses.items() if kind != "image_generation"}
            reading.own = Usage(usage.input_tokens, usage.output_tokens, usage.details, own)
            reading.others = ((_image_model(response), drawn),)
    return reading


def _image_model(response: object) -> str:
    """The model of the image generation tool, as the response repeats the request's tools."""
    kinds = [tool for tool in items(response, "tools") if text(tool, "type") == "image_generation"]
    return next((model for tool in kinds if (model := text(tool, "model"))), "an image model")


def _tools_of(response: object) -> tuple[dict[str, int], tuple[str, ...]]:
    uses: dict[str, int] = {}
    unknown: dict[str, None] = {}
    containers: set[str] = set()
    for item in items(response, "output"):
        kind = text(item, "type") or ""
        if kind in _FREE_ITEMS:
            continue
        tool = _TOOL_ITEMS.get(kind)
        if tool == "code_interpreter":  # billed for each container that is kept for a session
            containers.add(text(item, "container_id") or text(item, "id") or "")
        elif tool == "web_search" and text(pick(item, "action"), "type") not in (None, "search"):
            continue  # opening a page that was found is no search
        elif tool is not None:
            uses[tool] = uses.get(tool, 0) + 1
        elif kind:
            unknown[kind] = None
    if containers:
        uses["code_interpreter"] = len(containers)
    told = pick(response, "tool_usage")
    searches = count(pick(told, "web_search"), "num_requests")
    if searches is not None:
        uses.pop("web_search", None)
        if searches:
            uses["web_search"] = searches
    if "web_search" in uses and any(
        (text(tool, "type") or "").startswith("web_search_preview") for tool in items(response, "tools")
    ):
        uses["web_search_preview"] = uses.pop("web_search")  # the older tool, at other prices
    return uses, tuple(unknown)


def _add(reading: Reading, details: dict[str, int], source: object, parts: Mapping[str, str]) -> None:
    """Note the parts that are there and not nothing, and those that no table has."""
    fields = plain(source)
    if type(fields) is not dict:
        fields = {theirs: pick(source, theirs) for theirs in (*parts, *_PARTS_OF_PARTS)}
    elif not _KNOWN_PARTS.issuperset(fields):
        reading.unknown += billed_fields(fields, _KNOWN_PARTS)
    if any(fields.values()):  # most are null or zero
        _add_parts(details, fields, parts)


def _add_parts(details: dict[str, int], fields: Mapping[str, Any], parts: Mapping[str, str]) -> None:
    for theirs, value in fields.items():
        if value:
            ours = parts.get(theirs)
            if ours is None:
                if theirs in _PARTS_OF_PARTS:
                    named = _PARTS_OF_PARTS[theirs]
                    _add_parts(details, {name: pick(value, name) for name in named}, named)
            elif tokens := whole(value):
                details[ours] = tokens
