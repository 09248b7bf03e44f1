"""Gemini's generateContent: requests built, answers and chunks read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from tachograph.llm.adapter import Answer
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
from tachograph.vendors.failures import Failure, unreadable
from tachograph.vendors.fields import dig, items, pick, text
from tachograph.vendors.gemini.apis import GENERATE
from tachograph.vendors.gemini.errors import BLOCKED, gemini_failure, gemini_response_failure

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576}
"""Gemini 2.5 takes a budget of tokens where later models take a level. Ours to choose."""
_OURS = "tachograph-call-"
_numbers = count(1)


class GenerateContent:
    """The generateContent API."""

    api = GENERATE
    sends_while_read = True

    def build(self, request: Request, stream: bool) -> dict[str, Any]:
        config: dict[str, Any] = {}
        if request.system is not None:
            config["system_instruction"] = request.system
        if request.tools:
            config["tools"] = [
                {
                    "function_declarations": [
                        {
                            "name": tool.name,
                            "description": tool.description,
                            "parameters_json_schema": dict(tool.parameters),
                        }
                        for tool in request.tools
                    ]
                }
            ]
        if request.tool_choice is not None:
            mode = _MODES.get(request.tool_choice)
            calling: dict[str, Any] = {"mode": mode or "ANY"}
            if mode is None:
                calling["allowed_function_names"] = [request.tool_choice]
            config["tool_config"] = {"function_calling_config": calling}
        if request.max_tokens is not None:
            config["max_output_tokens"] = request.max_tokens
        for name in ("temperature", "top_p"):
            if getattr(request, name) is not None:
                config[name] = getattr(request, name)
        if request.stop:
            config["stop_sequences"] = list(request.stop)
        if request.output_schema is not None:
            config["response_mime_type"] = "application/json"
            config["response_json_schema"] = dict(request.output_schema)
        if request.reasoning_effort is not None:
            config["thinking_config"] = _thinking(request)
        config.update(request.options)
        return {
            "model": request.model,
            "contents": [_content(message) for message in request.conversation],
            "config": config,
        }

    def send(self, client: Any, payload: dict[str, Any], timeout_seconds: float, stream: bool) -> Any:
        config = dict(payload["config"])
        config["http_options"] = {"timeout": max(1, int(timeout_seconds * 1000)), **config.get("http_options", {})}
        function = client.models.generate_content_stream if stream else client.models.generate_content
        return function(model=payload["model"], contents=payload["contents"], config=config)

    def parse(self, sent: object) -> object:
        return sent

    def response(self, stream: object) -> Any:
        return None  # an HTTP client of ours shows it: see `read_deadline`

    def headers(self, sent: object) -> Mapping[str, str] | None:
        found = dig(sent, "sdk_http_response", "headers")
        return found if isinstance(found, Mapping) else None

    def failure(self, error: BaseException) -> Failure:
        return gemini_failure(error=error)

    def read(self, answer: object, finish_reason: str | None) -> Answer:
        fold = _Fold()
        for _ in fold.feed(answer):
            continue
        result = fold.answer(finish_reason)
        if result.failure is None and next(items(answer, "candidates"), None) is None:
            result.failure = unreadable(answer)
        return result

    def fold(self) -> _Fold:
        return _Fold()


class _Fold:
    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._parts: list[Any] = []
        self._answer = Answer()

    def feed(self, chunk: object) -> Iterator[Delta]:
        answer = self._answer
        answer.raw = chunk
        answer.failure = gemini_response_failure(chunk) or answer.failure
        candidate = next(items(chunk, "candidates"), None)
        if candidate is None:
            return
        for part in items(pick(candidate, "content"), "parts"):
            self._parts.append(part)
            call = pick(part, "function_call")
            if call is not None:
                request = _tool_request(call)
                answer.tool_calls.append(request)
                place = len(answer.tool_calls) - 1
                yield ToolCallDelta(place, request.id, request.name, request.arguments_text)
            elif said := text(part, "text"):
                if pick(part, "thought") is True:
                    self._thoughts.append(said)
                    yield ReasoningDelta(said)
                else:
                    self._texts.append(said)
                    yield TextDelta(said)

    def answer(self, finish_reason: str | None) -> Answer:
        answer = self._answer
        answer.text = "".join(self._texts)
        answer.reasoning = "".join(self._thoughts)
        answer.native = self._parts or None
        answer.finish_reason = _finish(answer, finish_reason)
        return answer


def _finish(answer: Answer, reason: str | None) -> FinishReason:
    if answer.failure is not None or reason in BLOCKED:
        return "content_filter"
    if reason == "MAX_TOKENS":
        return "length"
    if reason == "STOP":
        return "tool_calls" if answer.tool_calls else "stop"
    return "other"


def _tool_request(call: object) -> ToolRequest:
    arguments = pick(call, "args")
    arguments = dict(arguments) if isinstance(arguments, Mapping) else {}
    id = text(call, "id") or f"{_OURS}{next(_numbers)}"
    return ToolRequest(id, text(call, "name") or "", arguments, json.dumps(arguments))


def _thinking(request: Request) -> dict[str, Any]:
    effort = request.reasoning_effort or "none"
    if "gemini-2" in request.model:
        return {"thinking_budget": _BUDGETS[effort], "include_thoughts": effort != "none"}
    level = "MINIMAL" if effort == "none" else effort.upper()
    return {"thinking_level": level, "include_thoughts": effort != "none"}


def _content(message: Message) -> dict[str, Any]:
    role = "model" if message.role == "assistant" else "user"
    if message.native is not None and message.native[0] == GenerateContent.api.name:
        return {"role": role, "parts": list(message.native[1])}
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text):
            parts.append({"text": part.text})
        elif isinstance(part, Image):
            parts.append(_image(part))
        elif isinstance(part, ToolRequest):
            parts.append({"function_call": {**_id(part.id), "name": part.name, "args": dict(part.arguments)}})
        elif isinstance(part, ToolResult):
            said = part.content
            images: list[Image] = []
            if not isinstance(said, str):
                images = [inner for inner in said if isinstance(inner, Image)]
                said = "\n".join(inner.text for inner in said if isinstance(inner, Text))
            response = {"error" if part.is_error else "result": said}
            parts.append({"function_response": {**_id(part.id), "name": part.name, "response": response}})
            parts += [_image(image) for image in images]
    return {"role": role, "parts": parts}


def _id(id: str) -> dict[str, str]:
    """An id of ours means nothing to Gemini, which then matches by name and order."""
    return {} if id.startswith(_OURS) else {"id": id}


def _image(image: Image) -> dict[str, Any]:
    if image.url is not None:
        return {"file_data": {"file_uri": image.url, "mime_type": image.media_type}}
    return {"inline_data": {"data": image.data, "mime_type": image.media_type}}
