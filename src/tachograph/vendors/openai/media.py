"""How OpenAI's other answers are read: embeddings, images, audio, moderations."""

from __future__ import annotations

from typing import Any

from tachograph.records import LLMCall, Usage
from tachograph.records.media import image_of
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import TAIL, WholeAnswer
from tachograph.vendors.dialects import dialect_for
from tachograph.vendors.fields import count, getter, items, pick, text
from tachograph.vendors.loose import last_event
from tachograph.vendors.openai.chat import identify
from tachograph.vendors.openai.usage import read_usage


def read_usage_only(call: LLMCall, answer: object) -> ErrorType | None:
    """An answer of which only the usage matters: transcriptions."""
    identify(call, getter(answer))
    read_usage(pick(answer, "usage"), dialect_for(call)).put(call)
    return None


def read_images(call: LLMCall, answer: object) -> ErrorType | None:
    """Images: by their tokens, or where none are reported, by how many there are of which quality and size."""
    identify(call, getter(answer))
    reading = read_usage(pick(answer, "usage"), dialect_for(call))
    drawn = sum(1 for _ in items(answer, "data"))
    if reading.usage is None and drawn:
        reading.usage = _counted(call, answer, drawn)
    author = pick(answer, "svg_usage")
    wrote = read_usage(author).usage
    if reading.usage is not None and wrote is not None:  # tokens of a model of its own
        if reasoning := count(author, "reasoning_tokens"):
            wrote.details["reasoning"] = reasoning
        reading.own, reading.others = reading.usage, ((text(author, "model") or "an author of SVG", wrote),)
        reading.usage = reading.usage + wrote
        reading.usage.tool_uses["svg_author"] = 1
    reading.put(call)
    return None


def _counted(call: LLMCall, answer: object, drawn: int) -> Usage:
    model = call.response_model or call.model
    return Usage(tool_uses={image_of(model, call.body, text(answer, "quality"), text(answer, "size")): drawn})


def read_embeddings(call: LLMCall, answer: object) -> ErrorType | None:
    """Embeddings have only a prompt: where a server reports only the total (Voyage), that is the prompt."""
    read_usage_only(call, answer)
    if call.usage is None:
        total = count(pick(answer, "usage"), "total_tokens")
        call.usage = Usage(total) if total else None
    return None


def embedding_tokens(answer: Any) -> tuple[int, int] | None:
    """The prompt as it is reported."""
    usage = answer.usage
    return None if usage is None else (usage.prompt_tokens, 0)


def read_nothing(call: LLMCall, answer: object) -> ErrorType | None:
    """An answer without usage: speech, moderations, token counts."""
    call.response_model = text(answer, "model")
    return None


def read_speech(call: LLMCall, answer: object) -> ErrorType | None:
    """Speech: sound says nothing, and what is billed is the length of the text that was sent.

    Events (`stream_format="sse"`), which the client hands out as bytes, end with the usage. `answer` may be the last.
    """
    content = pick(answer, "content")
    event = last_event(content) if isinstance(content, bytes) and content[:5] == b"data:" else answer
    read_usage(pick(event, "usage"), dialect_for(call)).put(call)
    said = pick(call.body, "input")
    if call.usage is None and isinstance(said, str):
        call.usage = Usage(tool_uses={"character": len(said)})
    return None


def read_transcription(call: LLMCall, answer: object) -> ErrorType | None:
    """A transcription or translation: without a usage report, `verbose_json` says how long the audio is."""
    read_usage_only(call, answer)
    if call.usage is None and (seconds := pick(answer, "duration")) is not None:
        read_usage({"seconds": seconds}).put(call)
    return None


class MediaEvents(WholeAnswer):
    """Reads streamed images, transcriptions and speech: the last event carries the usage."""

    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None

    def feed(self, event: object, call: LLMCall) -> bool:
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
            reading = read_usage(pick(self.last, "usage"), dialect_for(call))
            if reading.usage is None and call.operation == "image_generation":
                reading.usage = _counted(call, self.last, 1)
            reading.put(call)


class SpeechEvents(MediaEvents):
    """Reads speech that the application streams: events, or sound."""

    def fill(self, call: LLMCall) -> None:
        """Put the usage into the record, or the length of the text."""
        super().fill(call)
        if call.usage is None:
            read_speech(call, None)
