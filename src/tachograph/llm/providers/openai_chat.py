"""OpenAI's Chat Completions: requests built, answers and chunks read."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from tachograph.llm.adapter import Answer, CallParts, RawAnswers, tool_request
from tachograph.llm.types import (
    Delta,
    FinishReason,
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
from tachograph.vendors.fields import items, pick, text
from tachograph.vendors.openai.apis import CHAT
from tachograph.vendors.openai.errors import openai_chat_failure, openai_failure, openai_finish_failure

_FINISH: dict[str | None, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class ChatCompletions(RawAnswers):
    """Args:
    max_tokens_name: `max_completion_tokens`, or `max_tokens` for servers that know only that.
    asks_for_usage: Whether a stream is to be asked for usage; servers that always send it may refuse the question.
    """

    api = CHAT

    def __init__(self, max_tokens_name: str = "max_completion_tokens", *, asks_for_usage: bool = True) -> None:
        self._max_tokens_name = max_tokens_name
        self._asks_for_usage = asks_for_usage

    def build(self, request: Request, stream: bool) -> dict[str, Any]:
        messages: list[dict[str, Any]] = []
        if request.system is not None:
            messages.append({"role": "system", "content": request.system})
        for message in request.conversation:
            messages += _messages(message)
        payload: dict[str, Any] = {"model": request.model, "messages": messages}
        if stream:
            payload["stream"] = True
        if stream and self._asks_for_usage:
            payload["stream_options"] = {"include_usage": True}  # without it a stream says nothing of usage
        if request.tools:
            payload["tools"] = [
                {
                    "type": "function",
                    "function": {"name": t.name, "description": t.description, "parameters": dict(t.parameters)},
                }
                for t in request.tools
            ]
        choice = request.tool_choice
        if choice is not None:
            is_word = choice in ("auto", "none", "required")
            payload["tool_choice"] = choice if is_word else {"type": "function", "function": {"name": choice}}
        if request.max_tokens is not None:
            payload[self._max_tokens_name] = request.max_tokens
        for name in ("temperature", "top_p", "reasoning_effort"):
            if getattr(request, name) is not None:
                payload[name] = getattr(request, name)
        if request.stop:
            payload["stop"] = list(request.stop)
        if request.output_schema is not None:
            payload["response_format"] = {"type": "json_schema", "json_schema": schema_format(request)}
        payload.update(request.options)
        return payload

    def send(self, client: Any, payload: dict[str, Any], timeout_seconds: float, stream: bool) -> Any:
        return client.chat.completions.with_raw_response.create(**{"timeout": timeout_seconds, **payload})

    def failure(self, error: BaseException) -> Failure:
        return openai_failure(error=error)

    def read(self, answer: object, finish_reason: str | None) -> Answer:
        message = pick(next(items(answer, "choices"), None), "message")
        calls = [
            tool_request(
                text(call, "id") or "",
                text(pick(call, "function"), "name") or "",
                text(pick(call, "function"), "arguments") or "",
            )
            for call in items(message, "tool_calls")
        ]
        return Answer(
            text=text(message, "content") or "",
            reasoning=_reasoning(message),
            tool_calls=calls,
            refusal=text(message, "refusal"),
            finish_reason=_FINISH.get(finish_reason, "other"),
            raw=answer,
            failure=openai_chat_failure(answer),
        )

    def fold(self) -> _Fold:
        return _Fold()


class _Fold:
    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._refusals: list[str] = []
        self._calls = CallParts()
        self._answer = Answer()

    def feed(self, chunk: object) -> Iterator[Delta]:
        answer = self._answer
        answer.raw = chunk
        choice = next(items(chunk, "choices"), None)
        if choice is None:
            return
        delta = pick(choice, "delta")
        if refusal := text(delta, "refusal"):
            self._refusals.append(refusal)
        if thought := _reasoning(delta):
            self._thoughts.append(thought)
            yield ReasoningDelta(thought)
        if content := text(delta, "content"):
            self._texts.append(content)
            yield TextDelta(content)
        for part in items(delta, "tool_calls"):
            yield self._tool_call(part)

    def _tool_call(self, part: object) -> ToolCallDelta:
        key = pick(part, "index") or 0
        arguments = text(pick(part, "function"), "arguments") or ""
        if key in self._calls:
            return ToolCallDelta(self._calls.add(key, arguments), arguments=arguments)
        id, name = text(part, "id") or "", text(pick(part, "function"), "name") or ""
        place = self._calls.begin(key, id, name)
        self._calls.add(key, arguments)
        return ToolCallDelta(place, id, name, arguments)

    def answer(self, finish_reason: str | None) -> Answer:
        answer = self._answer
        answer.text = "".join(self._texts)
        answer.reasoning = "".join(self._thoughts)
        answer.refusal = "".join(self._refusals) or None
        answer.tool_calls = self._calls.requests()
        answer.finish_reason = _FINISH.get(finish_reason, "other")
        answer.failure = openai_finish_failure(finish_reason)
        return answer


def schema_format(request: Request) -> dict[str, Any]:
    """The structured output that a request asks for; strict where the schema is fit for it."""
    schema = dict(request.output_schema or {})
    return {"name": request.output_name, "schema": schema, "strict": schema.get("additionalProperties") is False}


def image_url(image: Image) -> str:
    """The image's address, or its bytes as one."""
    if image.url is not None:
        return image.url
    return f"data:{image.media_type};base64,{base64.b64encode(image.data or b'').decode()}"


def split_result(result: ToolResult) -> tuple[str, list[Image]]:
    """A tool's result as text, and the images that have no place in it."""
    if isinstance(result.content, str):
        return result.content, []
    texts = [part.text for part in result.content if isinstance(part, Text)]
    return "\n".join(texts), [part for part in result.content if isinstance(part, Image)]


def _messages(message: Message) -> list[dict[str, Any]]:
    if message.role == "assistant":
        return [_assistant(message)]
    found: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            said, images = split_result(part)
            found.append({"role": "tool", "tool_call_id": part.id, "content": said})
            content += [{"type": "image_url", "image_url": {"url": image_url(image)}} for image in images]
        elif isinstance(part, Image):
            content.append({"type": "image_url", "image_url": {"url": image_url(part)}})
        elif isinstance(part, Text):
            content.append({"type": "text", "text": part.text})
    if len(content) == 1 and content[0]["type"] == "text":
        found.append({"role": "user", "content": content[0]["text"]})
    elif content:
        found.append({"role": "user", "content": content})
    return found


def _assistant(message: Message) -> dict[str, Any]:
    said = "".join(part.text for part in message.parts if isinstance(part, Text))
    calls = [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments_text or "{}"}}
        for part in message.parts
        if isinstance(part, ToolRequest)
    ]
    return {"role": "assistant", "content": said or None, **({"tool_calls": calls} if calls else {})}


def _reasoning(message: object) -> str:
    """Compatible servers show thoughts as `reasoning_content` (DeepSeek, vLLM) or `reasoning` (OpenRouter)."""
    return text(message, "reasoning_content") or text(message, "reasoning") or ""
