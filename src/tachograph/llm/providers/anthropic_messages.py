"""Anthropic's Messages API: requests built, answers and events read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from tachograph.llm.adapter import Answer, CallParts, RawAnswers
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
from tachograph.vendors.anthropic.apis import MESSAGES
from tachograph.vendors.anthropic.errors import anthropic_failure, anthropic_finish_failure, anthropic_message_failure
from tachograph.vendors.failures import Failure
from tachograph.vendors.fields import items, pick, text

_FINISH: dict[str | None, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_CHOICES = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}
MAX_TOKENS = 4096


class Messages(RawAnswers):
    """The Messages API."""

    api = MESSAGES

    def build(self, request: Request, stream: bool) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "model": request.model,
            "messages": [_message(message) for message in request.conversation],
            "max_tokens": request.max_tokens or MAX_TOKENS,
        }
        if stream:
            payload["stream"] = True
        if request.system is not None:
            payload["system"] = request.system
        if request.tools:
            payload["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
                for tool in request.tools
            ]
        if request.tool_choice is not None:
            choice = request.tool_choice
            payload["tool_choice"] = _CHOICES.get(choice) or {"type": "tool", "name": choice}
        sampling = {
            name: getattr(request, name) for name in ("temperature", "top_p") if getattr(request, name) is not None
        }
        if sampling:
            payload["extra_body"] = sampling  # the API takes them, the SDK's `create` has no arguments for them
        if request.stop:
            payload["stop_sequences"] = list(request.stop)
        output: dict[str, Any] = {}
        if request.output_schema is not None:
            output["format"] = {"type": "json_schema", "schema": dict(request.output_schema)}
        if request.reasoning_effort == "none":
            payload["thinking"] = {"type": "disabled"}
        elif request.reasoning_effort is not None:
            payload["thinking"] = {"type": "adaptive"}
            output["effort"] = "low" if request.reasoning_effort == "minimal" else request.reasoning_effort
        if output:
            payload["output_config"] = output
        payload.update(request.options)
        return payload

    def send(self, client: Any, payload: dict[str, Any], timeout_seconds: float, stream: bool) -> Any:
        return client.messages.with_raw_response.create(**{"timeout": timeout_seconds, **payload})

    def failure(self, error: BaseException) -> Failure:
        return anthropic_failure(error=error)

    def read(self, answer: object, finish_reason: str | None) -> Answer:
        texts, thoughts, calls, native = [], [], [], []
        for block in items(answer, "content"):
            native.append(block)
            kind = text(block, "type")
            if kind == "text":
                texts.append(text(block, "text") or "")
            elif kind == "thinking":
                thoughts.append(text(block, "thinking") or "")
            elif kind == "tool_use":
                arguments = pick(block, "input")
                calls.append(
                    ToolRequest(
                        text(block, "id") or "",
                        text(block, "name") or "",
                        arguments if isinstance(arguments, dict) else {},
                        json.dumps(arguments),
                    )
                )
        return Answer(
            text="".join(texts),
            reasoning="".join(thoughts),
            tool_calls=calls,
            finish_reason=_FINISH.get(finish_reason, "other"),
            native=native,
            raw=answer,
            failure=anthropic_message_failure(answer),
        )

    def fold(self) -> _Fold:
        return _Fold()


class _Fold:
    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls = CallParts()
        self._blocks: dict[Any, dict[str, Any]] = {}
        self._inputs: dict[Any, list[str]] = {}
        self._answer = Answer()

    def feed(self, event: object) -> Iterator[Delta]:
        answer, kind = self._answer, text(event, "type")
        answer.raw = event
        if kind == "content_block_delta":
            yield from self._delta(pick(event, "index"), pick(event, "delta"))
        elif kind == "content_block_start":
            key, block = pick(event, "index"), pick(event, "content_block")
            self._blocks[key] = _plain(block)
            if text(block, "type") == "tool_use":
                id, name = text(block, "id") or "", text(block, "name") or ""
                yield ToolCallDelta(self._calls.begin(key, id, name), id, name)

    def _delta(self, key: object, delta: object) -> Iterator[Delta]:
        block = self._blocks.setdefault(key, {"type": "text", "text": ""})
        kind = text(delta, "type")
        if kind == "text_delta" and (part := text(delta, "text")):
            self._texts.append(part)
            block["text"] = block.get("text", "") + part
            yield TextDelta(part)
        elif kind == "thinking_delta" and (part := text(delta, "thinking")):
            self._thoughts.append(part)
            block["thinking"] = block.get("thinking", "") + part
            yield ReasoningDelta(part)
        elif kind == "signature_delta":
            block["signature"] = (block.get("signature") or "") + (text(delta, "signature") or "")
        elif kind == "input_json_delta" and (part := text(delta, "partial_json")):
            self._inputs.setdefault(key, []).append(part)
            if key in self._calls:
                yield ToolCallDelta(self._calls.add(key, part), arguments=part)
        elif kind == "citations_delta":
            block.setdefault("citations", [])
            if block["citations"] is None:
                block["citations"] = []
            block["citations"].append(_plain(pick(delta, "citation")))

    def answer(self, finish_reason: str | None) -> Answer:
        answer = self._answer
        answer.text = "".join(self._texts)
        answer.reasoning = "".join(self._thoughts)
        answer.tool_calls = self._calls.requests()
        answer.finish_reason = _FINISH.get(finish_reason, "other")
        answer.failure = anthropic_finish_failure(finish_reason)
        for key, parts in self._inputs.items():
            if key in self._blocks:
                self._blocks[key]["input"] = _object("".join(parts))
        answer.native = list(self._blocks.values()) or None
        return answer


def _object(arguments: str) -> dict[str, Any]:
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _plain(block: Any) -> dict[str, Any]:
    dump = getattr(block, "model_dump", None)
    return dump(exclude_none=True, mode="json") if dump is not None else dict(block or {})


def _message(message: Message) -> dict[str, Any]:
    if message.native is not None and message.native[0] == Messages.api.name:
        return {"role": message.role, "content": [_plain(block) for block in message.native[1]]}
    blocks: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text):
            blocks.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            blocks.append(_image(part))
        elif isinstance(part, ToolRequest):
            blocks.append({"type": "tool_use", "id": part.id, "name": part.name, "input": dict(part.arguments)})
        elif isinstance(part, ToolResult):
            content: Any = part.content
            if not isinstance(content, str):
                content = [
                    {"type": "text", "text": inner.text} if isinstance(inner, Text) else _image(inner)
                    for inner in content
                ]
            block = {"type": "tool_result", "tool_use_id": part.id, "content": content}
            blocks.append({**block, "is_error": True} if part.is_error else block)
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        return {"role": message.role, "content": blocks[0]["text"]}
    return {"role": message.role, "content": blocks}


def _image(image: Image) -> dict[str, Any]:
    if image.url is not None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    data = base64.b64encode(image.data or b"").decode()
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": data}}
