"""OpenAI's Responses API: requests built, answers and events read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tachograph.llm.adapter import Answer, CallParts, RawAnswers, tool_request
from tachograph.llm.providers.openai_chat import image_url, schema_format, split_result
from tachograph.llm.types import (
    Delta,
    Image,
    Message,
    ReasoningDelta,
    Request,
    Text,
    TextDelta,
    ToolCallDelta,
    ToolRequest,
    ToolResult,
)
from tachograph.vendors.failures import Failure
from tachograph.vendors.fields import dig, items, pick, text
from tachograph.vendors.openai.apis import RESPONSES
from tachograph.vendors.openai.errors import openai_event_failure, openai_failure, openai_response_failure
from tachograph.vendors.openai.responses import ENDINGS

_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


class Responses(RawAnswers):
    """The Responses API."""

    api = RESPONSES

    def build(self, request: Request, stream: bool) -> dict[str, Any]:
        if request.stop:
            raise ValueError("The Responses API has no stop sequences; use api='chat_completions'")
        entries: list[Any] = []
        for message in request.conversation:
            entries += _entries(message)
        payload: dict[str, Any] = {"model": request.model, "input": entries}
        if stream:
            payload["stream"] = True
        if request.system is not None:
            payload["instructions"] = request.system
        if request.tools:
            payload["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                    "strict": False,
                }
                for tool in request.tools
            ]
        choice = request.tool_choice
        if choice is not None:
            is_word = choice in ("auto", "none", "required")
            payload["tool_choice"] = choice if is_word else {"type": "function", "name": choice}
        if request.max_tokens is not None:
            payload["max_output_tokens"] = request.max_tokens
        for name in ("temperature", "top_p"):
            if getattr(request, name) is not None:
                payload[name] = getattr(request, name)
        if request.reasoning_effort is not None:
            payload["reasoning"] = {"effort": request.reasoning_effort}
        if request.output_schema is not None:
            payload["text"] = {"format": {"type": "json_schema", **schema_format(request)}}
        payload.update(request.options)
        return payload

    def send(self, client: Any, payload: dict[str, Any], timeout_seconds: float, stream: bool) -> Any:
        return client.responses.with_raw_response.create(**{"timeout": timeout_seconds, **payload})

    def failure(self, error: BaseException) -> Failure:
        return openai_failure(error=error)

    def read(self, answer: object, finish_reason: str | None) -> Answer:
        return _read(answer)

    def fold(self) -> _Fold:
        return _Fold()


class _Fold:
    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls = CallParts()
        self._answer = Answer()
        self._last: Answer | None = None

    def feed(self, event: object) -> Iterator[Delta]:
        answer, kind = self._answer, text(event, "type")
        answer.raw = event
        if kind == "response.output_text.delta":
            if part := text(event, "delta"):
                self._texts.append(part)
                yield TextDelta(part)
        elif kind in _THOUGHTS:
            if part := text(event, "delta"):
                self._thoughts.append(part)
                yield ReasoningDelta(part)
        elif kind == "response.function_call_arguments.delta":
            key = pick(event, "output_index")
            if key in self._calls and (part := text(event, "delta")):
                yield ToolCallDelta(self._calls.add(key, part), arguments=part)
        elif kind == "response.output_item.added":
            item = pick(event, "item")
            if text(item, "type") == "function_call":
                id, name = text(item, "call_id") or "", text(item, "name") or ""
                yield ToolCallDelta(self._calls.begin(pick(event, "output_index"), id, name), id, name)
        elif kind in ENDINGS:
            self._last = _read(pick(event, "response"))
            self._last.failure = openai_event_failure(event)
        elif kind == "error":
            answer.failure = openai_event_failure(event)

    def answer(self, finish_reason: str | None) -> Answer:
        if self._last is not None:
            return self._last
        answer = self._answer
        answer.text = "".join(self._texts)
        answer.reasoning = "".join(self._thoughts)
        answer.tool_calls = self._calls.requests()
        return answer


def _read(response: object) -> Answer:
    answer = Answer(raw=response, failure=openai_response_failure(response))
    texts, thoughts, refusals = [], [], []
    native = []
    for item in items(response, "output"):
        native.append(item)
        kind = text(item, "type")
        if kind == "message":
            for part in items(item, "content"):
                texts.append(text(part, "text") or "")
                refusals.append(text(part, "refusal") or "")
        elif kind == "reasoning":
            for part in (*items(item, "summary"), *items(item, "content")):
                thoughts.append(text(part, "text") or "")
        elif kind == "function_call":
            answer.tool_calls.append(
                tool_request(text(item, "call_id") or "", text(item, "name") or "", text(item, "arguments") or "")
            )
    answer.text, answer.reasoning = "".join(texts), "".join(thoughts)
    answer.refusal = "".join(refusals) or None
    answer.native = native
    status, why = text(response, "status"), dig(response, "incomplete_details", "reason")
    if why == "max_output_tokens":
        answer.finish_reason = "length"
    elif why == "content_filter":
        answer.finish_reason = "content_filter"
    elif answer.tool_calls:
        answer.finish_reason = "tool_calls"
    elif status == "completed":
        answer.finish_reason = "stop"
    return answer


def _entries(message: Message) -> list[Any]:
    if message.native is not None and message.native[0] == Responses.api.name:
        return [_plain(item) for item in message.native[1]]
    found: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ToolRequest):
            found.append(
                {
                    "type": "function_call",
                    "call_id": part.id,
                    "name": part.name,
                    "arguments": part.arguments_text or "{}",
                }
            )
        elif isinstance(part, ToolResult):
            said, images = split_result(part)
            found.append({"type": "function_call_output", "call_id": part.id, "output": said})
            content += [{"type": "input_image", "image_url": image_url(image), "detail": "auto"} for image in images]
        elif isinstance(part, Image):
            content.append({"type": "input_image", "image_url": image_url(part), "detail": "auto"})
        elif isinstance(part, Text):
            kind = "input_text" if message.role == "user" else "output_text"
            content.append({"type": kind, "text": part.text})
    if message.role == "assistant":
        said = "".join(part["text"] for part in content)
        return [*([{"role": "assistant", "content": said}] if said else []), *found]
    return [*found, *([{"role": "user", "content": content}] if content else [])]


def _plain(item: object) -> object:
    dump = getattr(item, "model_dump", None)
    return item if dump is None else dump(exclude_none=True, mode="json")
