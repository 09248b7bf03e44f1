"""How the Responses API is read: whole responses, stored ones, and the events of a stream."""

from __future__ import annotations

from typing import Any

from tachograph.records import LLMCall
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import TAIL, WholeAnswer
from tachograph.vendors.dialects import dialect_for
from tachograph.vendors.fields import getter, items, pick, text, whole
from tachograph.vendors.once import COUNTED
from tachograph.vendors.openai.chat import identify, type_of
from tachograph.vendors.openai.errors import openai_event_failure, openai_response_failure
from tachograph.vendors.openai.usage import read_response_usage

ENDINGS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


def read_response(call: LLMCall, answer: object) -> ErrorType | None:
    """A whole response; one made in the background counts when it is read and done."""
    if answer is None:
        return None  # the application asked for the response itself, and it is not JSON
    identify(call, getter(answer))
    status = text(answer, "status")
    call.finish_reason = text(pick(answer, "incomplete_details"), "reason") or status
    read_response_usage(answer, dialect_for(call)).put(call)
    call.cache_miss = _cache_miss(pick(answer, "prompt_cache_diagnostics"))
    is_under_way = call.usage is None and status in ("queued", "in_progress")
    if pick(answer, "background") and (is_under_way or not COUNTED.first_time(call.response_id or "")):
        call.counts_usage = False
    return type_of(openai_response_failure(answer))


def _cache_miss(diagnostics: object) -> tuple[int, str] | None:
    """What the prompt cache's diagnostics say, where the request asked for them.

    Source: `prompt_cache_diagnostics` of the openai 3.54 SDK's `types/responses/response.py`, read 2026-11-27.
    """
    kind = text(diagnostics, "type")
    if kind == "cache_hit":
        return 0, kind
    missed = whole(pick(diagnostics, "cache_missed_tokens"))
    return None if kind != "cache_miss" or missed is None else (missed, text(diagnostics, "reason") or kind)


def read_stored_response(call: LLMCall, answer: object) -> ErrorType | None:
    """A response read by its id: counted only when it was made in the background, the first time that it is done."""
    error_type = read_response(call, answer)
    call.model = call.response_model or call.model
    if pick(answer, "background"):
        return error_type
    call.counts_usage = False
    return None  # it was read well, however it had ended


def response_tokens(answer: Any) -> tuple[int, int] | None:
    """Prompt and completion as they are reported."""
    usage = answer.usage
    return None if usage is None else (usage.input_tokens, usage.output_tokens)


def response_content(answer: object) -> object:
    """What the model said."""
    return [
        said
        for item in items(answer, "output")
        for part in items(item, "content")
        if (said := text(part, "text") or text(part, "refusal"))
    ]


class ResponseEvents(WholeAnswer):
    """Reads a streamed response: its last event carries the whole of it."""

    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.response: Any = None

    def feed(self, event: object, call: LLMCall) -> bool:
        """Note one event."""
        kind = getattr(event, "type", None) or ""
        if kind.endswith(".delta"):
            if not self.started:
                self.start(call)
        elif kind in ENDINGS:
            self.response = getattr(event, "response", None)
            self.is_complete = True
            self.error_type = type_of(openai_event_failure(event))
        elif kind == "response.created" and self.response is None:
            self.response = getattr(event, "response", None)
        elif kind == "error":
            self.error_type = type_of(openai_event_failure(event))
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the events said into the record."""
        if self.response is None:
            return
        if call.operation == "fetch_response":
            read_stored_response(call, self.response)
        else:
            read_response(call, self.response)
        if not self.is_complete:
            call.finish_reason = None  # how it began is not how it ended

    def content(self) -> Any:
        """The last event holds it all."""
        return response_content(self.response) if self.is_complete else None
