"""How the answers of OpenAI's APIs are read: whole ones and streamed ones, from models or from loose JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tachograph.records import LLMCall, Usage
from tachograph.records.content import keep
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import Api, WholeAnswer
from tachograph.vendors.failures import Failure
from tachograph.vendors.fields import count, dig, getter, pick, plain, text, word
from tachograph.vendors.once import COUNTED
from tachograph.vendors.openai.errors import (
    openai_event_failure,
    openai_failure,
    openai_finish_failure,
    openai_response_failure,
)
from tachograph.vendors.openai.usage import openai_response_usage, openai_usage


def _identify(call: LLMCall, get: Callable[[str], Any]) -> None:
    # plain text is told apart here: calling `word` for it three times would cost a microsecond
    model, answer_id, tier = get("model"), get("id"), get("service_tier")
    if model is not None:
        call.response_model = model if type(model) is str and model else word(model) or call.response_model
    if answer_id is not None:
        call.response_id = answer_id if type(answer_id) is str and answer_id else word(answer_id) or call.response_id
    if tier is not None:
        call.service_tier = tier if type(tier) is str and tier else word(tier) or call.service_tier


def read_chat(call: LLMCall, answer: Any) -> ErrorType | None:
    """A whole chat completion, or a legacy text completion."""
    get = getter(answer)
    _identify(call, get)
    choices = get("choices")
    reason = None
    if isinstance(choices, (list, tuple)) and choices:
        call.finish_reason = reason = word(pick(choices[0], "finish_reason"))
    call.usage = openai_usage(get("usage"))
    keep(
        call, "output", lambda: [dig(choice, "message", "content") or text(choice, "text") for choice in choices or ()]
    )
    return None if reason == "stop" else _type_of(openai_finish_failure(reason))


def read_stored_chat(call: LLMCall, answer: Any) -> ErrorType | None:
    """A stored chat completion, read again: its tokens were counted when it was made."""
    read_chat(call, answer)
    call.model = call.response_model or call.model
    call.counts_usage = False
    return None  # it was read well, however it had ended


def read_response(call: LLMCall, answer: Any) -> ErrorType | None:
    """A whole response of the Responses API; one made in the background counts when it is read and done."""
    _identify(call, getter(answer))
    status = text(answer, "status")
    call.finish_reason = dig(answer, "incomplete_details", "reason") or status
    call.usage = openai_response_usage(answer)
    is_under_way = call.usage is None and status in ("queued", "in_progress")
    if is_under_way or (pick(answer, "background") and not COUNTED.first_time(call.response_id or "")):
        call.counts_usage = False
    keep(call, "output", lambda: [pick(answer, "output_text")])
    return _type_of(openai_response_failure(answer))


def read_stored_response(call: LLMCall, answer: Any) -> ErrorType | None:
    """A response read by its id: counted only when it was made in the background, the first time that it is done."""
    error_type = read_response(call, answer)
    call.model = call.response_model or call.model
    if pick(answer, "background"):
        return error_type
    call.counts_usage = False
    return None  # it was read well, however it had ended


def _type_of(failure: Failure | None) -> ErrorType | None:
    return None if failure is None else failure.error_type


def read_usage_only(call: LLMCall, answer: Any) -> ErrorType | None:
    """An answer of which only the usage matters: images, transcriptions."""
    _identify(call, getter(answer))
    call.usage = openai_usage(pick(answer, "usage"))
    return None


def read_embeddings(call: LLMCall, answer: Any) -> ErrorType | None:
    """Embeddings have a prompt and nothing else, so servers that tell the total alone (Voyage) have told the prompt."""
    read_usage_only(call, answer)
    if call.usage is None:
        total = count(pick(answer, "usage"), "total_tokens")
        call.usage = None if total is None else Usage(total)
    return None


def read_nothing(call: LLMCall, answer: Any) -> ErrorType | None:
    """An answer without usage: speech, moderations, token counts."""
    call.response_model = text(answer, "model") if not isinstance(answer, (str, bytes)) else None
    return None


def read_batch(call: LLMCall, answer: Any) -> ErrorType | None:
    """A batch: its usage counts the first time that it is read with one."""
    call.response_id = text(answer, "id")
    call.finish_reason = text(answer, "status")
    call.model = text(answer, "model") or call.model
    call.service_tier = "batch"
    return _count_once(call, answer, ("completed", "failed", "expired", "cancelled"))


def read_run(call: LLMCall, answer: Any) -> ErrorType | None:
    """A run of an assistant: its usage counts the first time that it is read with one."""
    call.response_id = text(answer, "id")
    call.finish_reason = text(answer, "status")
    call.model = call.response_model = text(answer, "model") or call.model
    return _count_once(call, answer, ("completed", "failed", "expired", "cancelled", "incomplete"))


def _count_once(call: LLMCall, answer: Any, ended: tuple[str, ...]) -> ErrorType | None:
    usage = openai_usage(pick(answer, "usage"))
    is_whole = call.finish_reason in ended and usage is not None and bool(usage.input_tokens or usage.output_tokens)
    if is_whole and call.response_id and COUNTED.first_time(call.response_id):
        call.usage = usage
    else:
        call.counts_usage = False
    return None


_OF_A_USAGE_CHUNK: Final = frozenset(
    ("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation")
)


class ChatChunks(WholeAnswer):
    """Reads a streamed chat or text completion."""

    tail = 4

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None
        self.usage: Any = None

    def hides(self, chunk: Any) -> bool:
        """Whether a chunk is what asking for usage causes and nothing more: servers put fields of their own beside."""
        fields = plain(chunk)
        return (
            type(fields) is dict
            and fields.get("choices") == []
            and fields.get("usage") is not None
            and all(name in _OF_A_USAGE_CHUNK or value is None for name, value in fields.items())
        )

    def feed(self, chunk: Any, call: LLMCall) -> bool:
        """Note one chunk; True for the one that carries nothing but usage."""
        choices = getattr(chunk, "choices", None)
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self.usage = usage
            if not choices:
                self.is_complete = True  # it comes last, whether or not a finish reason did
                return self.hides(chunk)
        if choices:
            self.last = chunk
            choice = choices[0]
            if choice.finish_reason is not None:
                self.is_complete = True
            if not self.started and _says_something(choice):
                self.start(call)
        elif self.last is None:
            self.last = chunk
            error = getattr(chunk, "error", None)
            if error is not None:
                self.error_type = openai_failure(body=error).error_type
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the chunks said into the record."""
        if self.last is not None:
            _identify(call, getter(self.last))
            choices = getattr(self.last, "choices", None)
            if choices:
                call.finish_reason = text(choices[0], "finish_reason")
                self.error_type = self.error_type or _type_of(openai_finish_failure(call.finish_reason))
        if self.usage is not None:
            call.usage = openai_usage(self.usage)


def _says_something(choice: Any) -> bool:
    delta = getattr(choice, "delta", None)
    if delta is None:
        return bool(getattr(choice, "text", None))
    return bool(
        getattr(delta, "content", None)
        or getattr(delta, "tool_calls", None)
        or getattr(delta, "refusal", None)
        or getattr(delta, "reasoning_content", None)
        or getattr(delta, "reasoning", None)
        or getattr(delta, "function_call", None)
        or getattr(delta, "audio", None)
    )


class ResponseEvents(WholeAnswer):
    """Reads a streamed answer of the Responses API."""

    tail = 4

    def __init__(self) -> None:
        super().__init__()
        self.response: Any = None

    def feed(self, event: Any, call: LLMCall) -> bool:
        """Note one event."""
        kind = getattr(event, "type", None) or ""
        if kind.endswith(".delta"):
            if not self.started:
                self.start(call)
        elif kind in ("response.completed", "response.incomplete", "response.failed", "response.created"):
            self.response = getattr(event, "response", None)
            if kind != "response.created":
                self.is_complete = True
                self.error_type = _type_of(openai_event_failure(event))
        elif kind == "error":
            self.error_type = _type_of(openai_event_failure(event))
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the events said into the record."""
        if self.response is not None:
            if call.operation == "fetch_response":
                read_stored_response(call, self.response)
            else:
                read_response(call, self.response)


class MediaEvents(WholeAnswer):
    """Reads streamed images, transcriptions and speech: the last event carries the usage."""

    tail = 4

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None

    def feed(self, event: Any, call: LLMCall) -> bool:
        """Note one event."""
        kind = getattr(event, "type", None) or ""
        if kind.endswith((".completed", ".done")):
            self.last = event
            self.is_complete = True
        elif not self.started:
            self.start(call)
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the last event said into the record."""
        if self.last is not None:
            call.usage = openai_usage(pick(self.last, "usage"))


class RunEvents(WholeAnswer):
    """Reads the events of a streamed run of an assistant."""

    tail = 4

    def __init__(self) -> None:
        super().__init__()
        self.run: Any = None

    def feed(self, event: Any, call: LLMCall) -> bool:
        """Note one event."""
        kind = getattr(event, "event", None) or ""
        if kind.startswith("thread.run.") and not kind.startswith("thread.run.step"):
            self.run = getattr(event, "data", None)
            self.is_complete = kind.rpartition(".")[2] not in ("created", "queued", "in_progress")
            if kind == "thread.run.failed":
                self.error_type = openai_failure(body=pick(self.run, "last_error")).error_type
        elif kind == "thread.message.delta" and not self.started:
            self.start(call)
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the last run event said into the record."""
        if self.run is not None:
            read_run(call, self.run)


_CHAT: Final = Api("openai", "chat_completions", "chat", read_chat, ChatChunks)
_STORED_RESPONSE: Final = Api("openai", "responses", "fetch_response", read_stored_response, ResponseEvents)
_RUN: Final = Api("openai", "assistants", "invoke_agent", read_run, RunEvents)

ROUTES: Final[dict[tuple[str, str], Api]] = {
    ("post", "/chat/completions"): _CHAT,
    ("post", "/completions"): Api("openai", "completions", "text_completion", read_chat, ChatChunks),
    ("post", "/responses"): Api("openai", "responses", "chat", read_response, ResponseEvents),
    ("post", "/responses/compact"): Api("openai", "responses_compact", "chat", read_response, ResponseEvents),
    ("post", "/responses/input_tokens"): Api("openai", "token_count", "count_tokens", read_nothing, counts_usage=False),
    ("post", "/decisions"): Api("openai", "decisions", "chat", read_response, ResponseEvents),
    ("post", "/embeddings"): Api("openai", "embeddings", "embeddings", read_embeddings),
    ("post", "/images/generations"): Api("openai", "images", "image_generation", read_usage_only, MediaEvents),
    ("post", "/images/edits"): Api("openai", "images", "image_generation", read_usage_only, MediaEvents),
    ("post", "/images/variations"): Api("openai", "images", "image_generation", read_usage_only, MediaEvents),
    ("post", "/audio/transcriptions"): Api("openai", "audio", "transcription", read_usage_only, MediaEvents),
    ("post", "/audio/translations"): Api("openai", "audio", "transcription", read_usage_only, MediaEvents),
    ("post", "/audio/speech"): Api("openai", "audio", "speech", read_nothing, MediaEvents),
    ("post", "/moderations"): Api("openai", "moderations", "moderation", read_nothing, counts_usage=False),
    ("post", "/batches"): Api("openai", "batches", "create_batch", read_batch),
    ("post", "/threads/runs"): _RUN,
}
"""What is watched, by method and path; other endpoints cost one look-up."""

_PATTERNS: Final = (
    (
        "get",
        re.compile(r"/chat/completions/[^/]+"),
        Api("openai", "chat_completions", "fetch_response", read_stored_chat),
    ),
    ("get", re.compile(r"/responses/[^/]+"), _STORED_RESPONSE),
    ("post", re.compile(r"/responses/[^/]+/cancel"), _STORED_RESPONSE),
    ("get", re.compile(r"/batches/[^/]+"), Api("openai", "batches", "fetch_response", read_batch)),
    ("post", re.compile(r"/threads/[^/]+/runs(/[^/]+/submit_tool_outputs)?"), _RUN),
    ("get", re.compile(r"/threads/[^/]+/runs/[^/]+"), Api("openai", "assistants", "fetch_response", read_run)),
)
_PREFIXES: Final = ("/chat/completions/", "/responses/", "/batches/", "/threads/")


def route(method: str, url: str) -> Api | None:
    """The API behind a method and a path of the client, or None when it is not watched."""
    path = url.partition("?")[0]
    method = method.lower()
    api = ROUTES.get((method, path))
    if api is None and path.startswith(_PREFIXES):
        for wanted, pattern, found in _PATTERNS:
            if wanted == method and pattern.fullmatch(path):
                return found
    return api
