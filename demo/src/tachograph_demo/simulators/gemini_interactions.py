"""Gemini's Interactions API: create, and create as a stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .operation import Filled, Operation, Piece, Rendered, json_bytes, without_none
from .usage import ServedUsage

_STATUS = {"length": "incomplete", "tool_calls": "requires_action"}


def route(method: str, path: str, body: dict[str, Any]) -> Operation | None:
    said = body.get("input")
    if method != "POST" or path.rsplit("/", 1)[-1] != "interactions":
        return None
    return Operation(
        name="interactions",
        model=str(body.get("model") or body.get("agent") or "").removeprefix("models/"),
        whole=_whole,
        stream=_pieces if body.get("stream") else None,
        messages=said if isinstance(said, list) else [said],
        prompt=(body.get("system_instruction"), body.get("input"), body.get("tools")),
        tools={t["name"]: t.get("parameters") or {} for t in body.get("tools", ()) if t.get("type") == "function"},
    )


def interactions_usage(usage: ServedUsage) -> dict[str, Any]:
    return without_none(
        {
            "total_input_tokens": usage.prompt - usage.tool_prompt,
            "total_output_tokens": usage.completion - usage.reasoning,
            "total_thought_tokens": usage.reasoning,
            "total_cached_tokens": usage.cache_read,
            "total_tool_use_tokens": usage.tool_prompt,
            "total_tokens": usage.total,
            "input_tokens_by_modality": _modalities(usage.prompt - usage.tool_prompt, usage.audio_input),
            "output_tokens_by_modality": _modalities(usage.completion - usage.reasoning, usage.audio_output),
            "grounding_tool_count": [{"type": "google_search", "count": usage.web_searches}]
            if usage.web_searches
            else None,
            **usage.extra,
        }
    )


def _modalities(total: int, audio: int) -> list[dict[str, Any]]:
    counts = {"text": total - audio, "audio": audio}
    return [{"modality": name, "tokens": count} for name, count in counts.items() if count > 0]


def _steps(filled: Filled) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if filled.reasoning:
        steps.append({"type": "thought", "summary": [{"type": "text", "text": filled.reasoning}]})
    if filled.text:
        steps.append({"type": "model_output", "content": [{"type": "text", "text": filled.text}]})
    for index, call in enumerate(filled.tool_calls):
        steps.append(
            {
                "type": "function_call",
                "id": filled.call_id(index, "call_"),
                "name": call.name,
                "arguments": dict(call.arguments),
            }
        )
    return steps


def _interaction(filled: Filled, status: str, steps: list[dict[str, Any]], with_usage: bool) -> dict[str, Any]:
    interaction: dict[str, Any] = {
        "id": filled.id("v1_", 40),
        "object": "interaction",
        "status": status,
        "model": filled.model,
        "created": "2026-11-23T00:00:00Z",
        "updated": "2026-11-23T00:00:01Z",
        "steps": steps,
    }
    if with_usage and filled.answer.report_usage:
        interaction["usage"] = interactions_usage(filled.usage)
    return interaction


def _whole(filled: Filled) -> Rendered:
    status = _STATUS.get(filled.finish, "completed")
    body = _interaction(filled, status, _steps(filled), with_usage=True)
    reported = filled.usage if filled.answer.report_usage else None
    return Rendered(body=json_bytes(body), usage=reported, response_id=body["id"])


def _event(kind: str, **fields: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + json_bytes({"event_type": kind, **fields}) + b"\n\n"


def error_event(code: str, message: str) -> bytes:
    return _event("error", error={"code": code.lower(), "message": message})


def _pieces(filled: Filled) -> Iterable[Piece]:
    yield Piece(data=_event("interaction.created", interaction=_interaction(filled, "in_progress", [], False)))
    for index, step in enumerate(_steps(filled)):
        if step["type"] == "thought":
            start: dict[str, Any] = {"type": "thought"}
            deltas: list[dict[str, Any]] = [
                {"type": "thought_summary", "content": {"type": "text", "text": t}} for t in filled.reasoning_pieces()
            ]
        elif step["type"] == "model_output":
            start = {"type": "model_output"}
            deltas = [{"type": "text", "text": text} for text in filled.text_pieces()]
        else:
            start = {**step, "arguments": {}}
            deltas = [{"type": "arguments_delta", "arguments": json_bytes(step["arguments"]).decode()}]
        yield Piece(data=_event("step.start", index=index, step=start))
        for delta in deltas:
            yield Piece(data=_event("step.delta", index=index, delta=delta), is_content=True)
        yield Piece(data=_event("step.stop", index=index))
    status = _STATUS.get(filled.finish, "completed")
    reported = filled.usage if filled.answer.report_usage else None
    done = _interaction(filled, status, [], with_usage=True)
    yield Piece(data=_event("interaction.completed", interaction=done), usage=reported)
    yield Piece(data=b"event: done\ndata: [DONE]\n\n")
