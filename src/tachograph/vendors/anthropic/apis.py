"""How Anthropic's answers are read: whole messages, streamed ones, and the results of batches."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tachograph.instrument import settled
from tachograph.records import LLMCall, Usage
from tachograph.records.content import keep
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.anthropic.errors import anthropic_finish_failure
from tachograph.vendors.anthropic.usage import anthropic_merge_usage, anthropic_usage
from tachograph.vendors.api import Api, WholeAnswer
from tachograph.vendors.fields import dig, getter, items, pick, text, word
from tachograph.vendors.once import COUNTED


def read_message(call: LLMCall, message: Any) -> ErrorType | None:
    """A whole message."""
    get = getter(message)
    usage = get("usage")
    _identify(call, get, usage)
    call.finish_reason = reason = word(get("stop_reason"))
    call.usage = anthropic_usage(usage)
    keep(call, "output", lambda: [pick(block, "text") for block in items(message, "content") if pick(block, "text")])
    return _failure(reason)


def _identify(call: LLMCall, get: Callable[[str], Any], usage: Any) -> None:
    call.response_model = word(get("model")) or call.response_model
    call.response_id = word(get("id")) or call.response_id
    call.service_tier = text(usage, "service_tier") or call.service_tier


def _failure(stop_reason: str | None) -> ErrorType | None:
    failure = anthropic_finish_failure(stop_reason)
    return None if failure is None else failure.error_type


def read_nothing(call: LLMCall, answer: Any) -> ErrorType | None:
    """An answer without usage: a token count, a batch that was created."""
    return None


class MessageEvents(WholeAnswer):
    """Reads a streamed message: it starts with what the prompt used, and ends with what the answer used."""

    tail = 4

    def __init__(self) -> None:
        super().__init__()
        self.message: Any = None
        self.usage: Any = None
        self.stop_reason: str | None = None

    def feed(self, event: Any, call: LLMCall) -> bool:
        """Note one event."""
        kind = getattr(event, "type", None)
        if kind == "content_block_delta":
            if not self.started:
                self.start(call)
        elif kind == "message_delta":
            self.usage = anthropic_merge_usage(self.usage, getattr(event, "usage", None))
            self.stop_reason = text(getattr(event, "delta", None), "stop_reason") or self.stop_reason
            self.is_complete = self.is_complete or self.stop_reason is not None
        elif kind == "message_start":
            self.message = getattr(event, "message", None)
            self.usage = pick(self.message, "usage")
        elif kind == "message_stop":
            self.is_complete = True
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the events said into the record."""
        if self.message is not None:
            _identify(call, getter(self.message), self.usage)
        call.finish_reason = self.stop_reason
        call.usage = anthropic_usage(self.usage)
        self.error_type = self.error_type or _failure(self.stop_reason)


class BatchResults(WholeAnswer):
    """Reads the results of a batch, a message a line: its tokens count once, when all have been read."""

    takes_lines = True

    def __init__(self) -> None:
        super().__init__()
        self.by_model: dict[str, Usage] = {}

    def feed(self, line: Any, call: LLMCall) -> bool:
        """Note one result."""
        message = dig(line, "result", "message")
        usage = anthropic_usage(pick(message, "usage"))
        if usage is not None:
            model = text(message, "model") or "unknown"
            self.by_model[model] = self.by_model[model] + usage if model in self.by_model else usage
        return False

    def fill(self, call: LLMCall) -> None:
        """Put the sums into the record; a batch of several models makes one more record for each."""
        call.service_tier = "batch"
        batch_id = call.response_id or ""
        if not self.is_complete or not self.by_model or not COUNTED.first_time(batch_id):
            call.counts_usage = False
            return
        (model, usage), *others = self.by_model.items()
        call.model = call.response_model = model
        call.usage = usage
        for model, usage in others:
            more = settled.recorder().start_llm_call(call.provider, model, call.operation, labels=call.labels)
            more.api, more.response_id, more.service_tier = call.api, batch_id, "batch"
            more.response_model, more.usage, more.parent_id = model, usage, call.id
            more.finish("success")


_MESSAGES: Final = Api("anthropic", "messages", "chat", read_message, MessageEvents)
ROUTES: Final[dict[tuple[str, str], Api]] = {
    ("post", "/v1/messages"): _MESSAGES,
    ("post", "/v1/messages/count_tokens"): Api(
        "anthropic", "token_count", "count_tokens", read_nothing, counts_usage=False
    ),
    ("post", "/v1/messages/batches"): Api("anthropic", "batches", "create_batch", read_nothing, counts_usage=False),
    ("post", "/v1/complete"): Api("anthropic", "completions", "text_completion", read_nothing),
}
"""What is watched, by method and path."""

_RESULTS: Final = Api("anthropic", "batches", "fetch_response", read_nothing, BatchResults)
RESULTS_PATH: Final = re.compile(r".*/v1/messages/batches/(?P<id>[^/]+)/results")


def route(method: str, url: str) -> tuple[Api | None, str | None]:
    """The API behind a method and a path of the client, and the id in the path, if there is one."""
    path = url.partition("?")[0]
    method = method.lower()
    api = ROUTES.get((method, path))
    if api is None and method == "get" and path.endswith("/results"):
        found = RESULTS_PATH.fullmatch(path)
        if found:
            return _RESULTS, found["id"]
    return api, None
