"""How Cohere's chat, embeddings and rerank are read, v1 and v2, whole and streamed.

`billed_units` is what Cohere bills; `tokens` is what the model saw. The two differ by what Cohere adds to a prompt, so
the billed ones count. Source: docs.cohere.com/reference/chat, cohere 5.x types (`Usage`, `ApiMeta`); 2026-11-27.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from tachograph.records import LLMCall, Usage
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import TAIL, Api, WholeAnswer
from tachograph.vendors.fields import count, items, pick, plain, text, wholes
from tachograph.vendors.openai.requests import request_facts, said
from tachograph.vendors.usage import Reading, billed_fields, bounded

_UNITS: Final = {"search_units": "search_unit", "classifications": "classification"}
_KNOWN: Final = frozenset(("input_tokens", "output_tokens", "image_tokens", *_UNITS))
_FAILED: Final[dict[str | None, ErrorType]] = {
    "ERROR": "server_error",
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "invalid_request",
    "TIMEOUT": "timeout",
}
"""Finish reasons that are failures."""


def read_usage(meta: object) -> Reading:
    """A `usage` of v2, or a `meta` of v1 and of embeddings."""
    billed = pick(meta, "billed_units")
    tokens = pick(meta, "tokens")
    source = tokens if billed is None else billed
    if source is None:
        return Reading()
    said = [pick(source, "input_tokens"), pick(source, "output_tokens")]
    prompt, answered = counts = wholes(said)
    usage = Usage(prompt, answered)
    if cached := min(count(meta, "cached_tokens") or 0, prompt or 0):
        usage.details["cache_read"] = cached
    if images := count(source, "image_tokens"):
        usage.details["image_input"] = images
    for theirs, ours in _UNITS.items():
        if uses := count(source, theirs):
            usage.tool_uses[ours] = uses
    fields = plain(source)
    unknown = billed_fields(fields, _KNOWN) if type(fields) is dict else ()
    return bounded(Reading(usage, unknown=unknown), said, counts)


def read_chat(call: LLMCall, answer: object) -> ErrorType | None:
    """A whole chat answer."""
    call.response_id = text(answer, "id") or text(answer, "response_id") or text(answer, "generation_id")
    call.finish_reason = text(answer, "finish_reason")
    read_usage(pick(answer, "usage") or pick(answer, "meta")).put(call)
    return _FAILED.get(call.finish_reason)


def read_meta(call: LLMCall, answer: object) -> ErrorType | None:
    """Embeddings and rerank."""
    call.response_id = text(answer, "id")
    read_usage(pick(answer, "meta")).put(call)
    return None


def chat_content(answer: object) -> object:
    """What the model said."""
    return text(answer, "text") or [text(part, "text") for part in items(pick(answer, "message"), "content")]


class ChatEvents(WholeAnswer):
    """Reads a streamed chat: events of v2, or lines of v1, of which the last has everything."""

    takes_lines = True
    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.id: str | None = None
        self.end: Any = None

    def feed(self, event: object, call: LLMCall) -> bool:
        """Note one event."""
        kind = text(event, "type") or text(event, "event_type")
        if kind in ("content-delta", "tool-call-start", "tool-plan-delta", "text-generation", "tool-calls-chunk"):
            if not self.started:
                self.start(call)
        elif kind in ("message-start", "stream-start"):
            self.id = text(event, "id") or text(event, "generation_id")
        elif kind in ("message-end", "stream-end"):
            self.end = event
            self.is_complete = True
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the last event said into the record."""
        if self.end is not None:
            last = pick(self.end, "delta") or pick(self.end, "response")
            reason = text(self.end, "finish_reason")
            self.error_type = read_chat(call, last) or _FAILED.get(reason)
            call.finish_reason = call.finish_reason or reason
        call.response_id = self.id or call.response_id


def chat_said(body: Any) -> object:
    """What the model was asked: v2's messages, or v1's message."""
    return said(body) or body.get("message") or body.get("texts") or body.get("query")


_api: Final = partial(Api, "cohere", facts=request_facts, input_content=chat_said)
_CHAT: Final = _api("chat", "chat", read_chat, ChatEvents, output_content=chat_content)
_EMBED: Final = _api("embed", "embeddings", read_meta)
_RERANK: Final = _api("rerank", "rerank", read_meta)
ROUTES: Final = {
    f"/{version}/{name}": api
    for version in ("v1", "v2")
    for name, api in (("chat", _CHAT), ("embed", _EMBED), ("rerank", _RERANK))
}
"""What is watched, by path; all are `post`."""
