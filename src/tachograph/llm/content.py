"""Keeping what was said, only when the user asked for it (`spans.content`), after the user's own redaction.

The form is OpenTelemetry's for `gen_ai.input.messages` and `gen_ai.output.messages`. Images are named, never kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tachograph.llm.types import Image, Message, Part, Reasoning, Request, Text, ToolRequest
from tachograph.runtime import get_settings

if TYPE_CHECKING:
    from tachograph.recorder import Recorder
    from tachograph.records.llm_call import LLMCall


def is_kept(recorder: Recorder) -> bool:
    """Whether this recorder's spans carry content."""
    return bool(getattr(getattr(recorder.spans, "settings", None), "content", False))


def keep_input(call: LLMCall, request: Request) -> None:
    """Keep the prompt."""
    system = [Message("user", request.system)] if request.system is not None else []
    said = _messages([*system, *request.conversation])
    if system:
        said[0]["role"] = "system"
    _keep(call, "input", said)


def keep_output(call: LLMCall, message: Message) -> None:
    """Keep the answer."""
    _keep(call, "output", _messages([message]))


def _keep(call: LLMCall, where: str, said: list[dict[str, Any]]) -> None:
    settings = get_settings()
    kept: str | None = json.dumps(said, ensure_ascii=False, default=str)
    if settings.instrument.redact is not None:
        from tachograph.instrument.content import redactor

        kept = redactor(settings.instrument.redact)(kept or "", where)
    if kept is not None:
        call.content = {**(call.content or {}), where: kept}


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [{"role": message.role, "parts": [_part(part) for part in message.parts]} for message in messages]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "content": part.text}
    if isinstance(part, Reasoning):
        return {"type": "reasoning", "content": part.text}
    if isinstance(part, ToolRequest):
        return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": dict(part.arguments)}
    if isinstance(part, Image):
        return {"type": "uri", "uri": part.url} if part.url else {"type": "blob", "mime_type": part.media_type}
    said = part.content
    if not isinstance(said, str):
        said = " ".join(inner.text for inner in said if isinstance(inner, Text))
    return {"type": "tool_call_response", "id": part.id, "response": said}
