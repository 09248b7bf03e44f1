"""How Anthropic's messages are read: whole and streamed, and the results of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from tachograph.records import LLMCall, Usage
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.anthropic.errors import (
    anthropic_event_failure,
    anthropic_finish_failure,
    anthropic_message_failure,
)
from tachograph.vendors.anthropic.usage import anthropic_merge_usage, read_usage
from tachograph.vendors.api import TAIL, WholeAnswer
from tachograph.vendors.failures import Failure
from tachograph.vendors.fields import dig, getter, items, pick, text, whole, word
from tachograph.vendors.once import COUNTED


def read_message(call: LLMCall, message: object) -> ErrorType | None:
    """A whole message."""
    if message is None:
        return None  # the application asked for the response itself, and it is not JSON
    get = getter(message)
    _identify(call, get)
    call.finish_reason = word(get("stop_reason"))
    read_usage(get("usage")).put(call)
    for block in items(message, "content"):
        if getattr(block, "type", None) not in _FREE_BLOCKS:
            note_blocks(call, items(message, "content"))
            break
    diagnostics = get("diagnostics")
    if diagnostics is not None:
        call.cache_miss = _cache_miss(diagnostics)
    return _type_of(anthropic_message_failure(message))


def message_tokens(message: Any) -> tuple[int, int] | None:
    """Prompt, without cached tokens, and completion as they are reported."""
    usage = message.usage
    return None if usage is None else (usage.input_tokens, usage.output_tokens)


def message_content(message: object) -> object:
    """What the model said."""
    return [said for block in items(message, "content") if (said := pick(block, "text"))]


def _identify(call: LLMCall, get: Callable[[str], Any]) -> None:
    call.response_model = word(get("model")) or call.response_model
    call.response_id = word(get("id")) or call.response_id


def _cache_miss(diagnostics: object) -> tuple[int, str] | None:
    """What the prompt cache's diagnostics say, where the request asked for them and they came in time.

    Source: `diagnostics` of the anthropic 2 SDK's `types/message.py`, read 2026-11-27.
    """
    reason = pick(diagnostics, "cache_miss_reason")
    missed = whole(pick(reason, "cache_missed_input_tokens"))
    return None if missed is None else (missed, text(reason, "type") or "cache_miss")


def _type_of(failure: Failure | None) -> ErrorType | None:
    return None if failure is None else failure.error_type


def read_nothing(call: LLMCall, answer: object) -> ErrorType | None:
    """An answer without usage: a token count, a batch that was created."""
    return None


_FREE_BLOCKS: Final = frozenset(
    (
        *("text", "thinking", "redacted_thinking", "tool_use", "toolset_tool_use", "mcp_tool_use", "mcp_tool_result"),
        *("container_upload", "compaction", "fallback", "tool_reference"),
    )
)
"""Blocks of an answer that cost nothing but the tokens they make. Source: anthropic 2.14 `ContentBlock`, 2026-11-27."""
_COUNTED_TOOLS: Final = frozenset(("web_search", "web_fetch", "tool_search_tool_regex", "tool_search_tool_bm25"))
"""Server-side tools that are free, or billed by a count in the usage report."""


def note_blocks(call: LLMCall, blocks: Iterable[Any]) -> None:
    """Take note of what an answer holds that may be billed beside its tokens.

    Code is run in a container that is billed by its time, except beside web search and web fetch.
    Source: platform.claude.com/docs/en/about-claude/pricing, "Code execution tool", 2026-11-27.
    """
    for block in blocks:
        kind = pick(block, "type")
        if kind in _FREE_BLOCKS:
            continue
        item = pick(block, "name") if kind == "server_tool_use" else kind
        if type(item) is not str or item in _COUNTED_TOOLS or item in call.unknown_billables:
            continue
        if kind != "server_tool_use" and item.endswith(("_tool_use", "_tool_result")):
            continue
        if (
            item.endswith("code_execution")
            and call.usage is not None
            and not call.usage.tool_uses.keys().isdisjoint(_WEB)
        ):
            continue
        call.unknown_billables += (item,)


_WEB: Final = frozenset(("web_search", "web_fetch"))


class MessageEvents(WholeAnswer):
    """Reads a streamed message: it starts with what the prompt used, and ends with what the answer used."""

    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.message: Any = None
        self.usage: Any = None
        self.blocks: list[Any] = []
        self.stop_reason: str | None = None

    def feed(self, event: object, call: LLMCall) -> bool:
        """Note one event."""
        kind = getattr(event, "type", None)
        if kind == "content_block_delta":
            if not self.started:
                self.start(call)
        elif kind == "message_delta":
            self.usage = anthropic_merge_usage(self.usage, getattr(event, "usage", None))
            self.stop_reason = text(getattr(event, "delta", None), "stop_reason") or self.stop_reason
            self.is_complete = self.is_complete or self.stop_reason is not None
        elif kind == "content_block_start":
            self.blocks.append(getattr(event, "content_block", None))
        elif kind == "message_start":
            self.message = getattr(event, "message", None)
            self.usage = pick(self.message, "usage")
        elif kind == "message_stop":
            self.is_complete = True
        elif kind == "error":
            self.error_type = anthropic_event_failure(event).error_type
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the events said into the record."""
        if self.message is not None:
            _identify(call, getter(self.message))
            call.cache_miss = _cache_miss(pick(self.message, "diagnostics"))
        call.finish_reason = self.stop_reason
        read_usage(self.usage).put(call)
        note_blocks(call, self.blocks)
        self.error_type = self.error_type or _type_of(anthropic_finish_failure(self.stop_reason))


class BatchResults(WholeAnswer):
    """Reads the results of a batch, a message a line: its tokens count once, when all have been read."""

    takes_lines = True
    ends_with_body = True

    def __init__(self) -> None:
        super().__init__()
        self.by_model: dict[str, list[Usage]] = {}

    def feed(self, line: object, call: LLMCall) -> bool:
        """Note one result."""
        message = dig(line, "result", "message")
        usage = read_usage(pick(message, "usage")).usage
        if usage is not None:
            self.by_model.setdefault(text(message, "model") or "unknown", []).append(usage)
        return False

    def fill(self, call: LLMCall) -> None:
        """Put the sums into the record; a batch of several models makes one more record for each."""
        call.service_tier = "batch"
        batch_id = call.response_id or ""
        if not self.is_complete or not self.by_model or not COUNTED.first_time(batch_id):
            call.counts_usage = False
            return
        (model, usages), *others = self.by_model.items()
        call.model = call.response_model = model
        _put_all(call, usages)
        for model, usages in others:
            more = call.another(model)
            more.api, more.response_id, more.service_tier = call.api, batch_id, "batch"
            more.response_model, more.parent_id = model, call.id
            _put_all(more, usages)
            more.finish("success")


def _put_all(call: LLMCall, usages: list[Usage]) -> None:
    """Each request's tokens, for each has its own price, and their sum."""
    total = usages[0]
    for usage in usages[1:]:
        total = total + usage
    call.usage, call.usages = total, tuple(usages)
