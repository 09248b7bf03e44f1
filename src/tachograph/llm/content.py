"""The engine's requests and answers as content.

The form is OpenTelemetry's for `gen_ai.input.messages` and `gen_ai.output.messages`. Images are named, never kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tachograph.llm.types import Image, Message, Part, Reasoning, Request, Text, ToolRequest
from tachograph.records.content import keep

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall


def keep_input(call: LLMCall, request: Request) -> None:
    """Keep the prompt, if prompts are kept."""

    def said() -> list[dict[str, Any]]:
        system = [Message("user", request.system)] if request.system is not None else []
        messages = _messages([*system, *request.conversation])
        if system:
            messages[0]["role"] = "system"
        return messages

    keep(call, "input", said)


def keep_output(call: LLMCall, message: Message) -> None:
    """Keep the answer, if answers are kept."""
    keep(call, "output", lambda: _messages([message]))


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
