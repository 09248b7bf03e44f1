"""OpenAI's Responses API: create, stream, background with retrieve, and compact."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from . import seeded
from .operation import Filled, Operation, Piece, Rendered, json_bytes, without_none
from .usage import ServedUsage

Stored = dict[str, tuple[dict[str, Any], ServedUsage | None]]
"""Finished background responses and their usage, by id."""


def route(method: str, path: str, model: str, body: dict[str, Any], stored: Stored) -> Operation | None:
    if method == "POST" and path == "/responses":
        return _create_operation(model, body, stored)
    if method == "POST" and path == "/responses/compact":
        return Operation(name="compact", model=model, whole=_compact_whole, prompt=_prompt(body))
    if method == "POST" and path == "/responses/input_tokens":
        return Operation(
            name="count_tokens", model=model, whole=_count_whole, prompt=_prompt(body), produces_text=False
        )
    if method == "POST" and path == "/decisions":
        return Operation(
            name="decisions",
            model=model,
            whole=_decision_whole,
            prompt=(body.get("input"), body.get("questions")),
            produces_text=False,
        )
    found = re.fullmatch(r"/responses/([^/]+)", path)
    if method == "GET" and found:
        known = stored.get(found[1])
        if known is not None:
            response, usage = known
            return Operation(
                name="retrieve_response",
                model=response["model"],
                is_scripted=False,
                whole=lambda filled: Rendered(body=json_bytes(response), usage=usage, response_id=response["id"]),
            )
    return None


def _prompt(body: dict[str, Any]) -> tuple[Any, ...]:
    return (body.get("instructions"), body.get("input"), body.get("tools"))


def _create_operation(model: str, body: dict[str, Any], stored: Stored) -> Operation:
    tools = {
        tool["name"]: tool.get("parameters") or {} for tool in body.get("tools", ()) if tool.get("type") == "function"
    }
    choice = body.get("tool_choice")
    said = body.get("input")
    form = (body.get("text") or {}).get("format") or {}
    effort = (body.get("reasoning") or {}).get("effort")
    return Operation(
        name="responses",
        model=model,
        whole=partial(_create_whole, stored),
        stream=_pieces if body.get("stream") else None,
        prompt=_prompt(body),
        messages=said if isinstance(said, list) else [said],
        prefix=[body.get("instructions"), body.get("tools")] if body.get("instructions") else None,
        is_cached_by_itself=True,
        tools=tools,
        must_call_tool=choice.get("name", True) if isinstance(choice, dict) else choice == "required",
        output_schema=form.get("schema") if form.get("type") == "json_schema" else None,
        wants_reasoning=effort not in (None, "none"),
    )


def responses_usage(usage: ServedUsage) -> dict[str, Any]:
    lifetimes = None
    if usage.cache_write_30m or usage.cache_write_12h:
        lifetimes = {"ttl_30m_tokens": usage.cache_write_30m, "ttl_12h_tokens": usage.cache_write_12h}
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": without_none(
            {
                "cached_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write,
                "cache_write_tokens_details": lifetimes,
            }
        ),
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
        **usage.extra,
    }


def _response(filled: Filled, status: str, output: list[dict[str, Any]], with_usage: bool) -> dict[str, Any]:
    body = filled.body
    usage = filled.usage
    return {
        "id": filled.id("resp_", 48),
        "object": "response",
        "created_at": filled.created,
        "status": status,
        "background": bool(body.get("background")),
        "error": None,
        "incomplete_details": _incomplete(filled) if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": filled.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": (body.get("reasoning") or {}).get("effort"), "summary": None},
        "service_tier": usage.service_tier or "default",
        "store": True,
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "tool_usage": {"web_search": {"num_requests": usage.web_searches}} if usage.web_searches else None,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": responses_usage(usage) if with_usage and filled.answer.report_usage else None,
        "user": None,
        "metadata": {},
    }


def _incomplete(filled: Filled) -> dict[str, str]:
    return {"reason": "content_filter" if filled.finish == "content_filter" else "max_output_tokens"}


def _status(filled: Filled) -> str:
    return "incomplete" if filled.finish in ("length", "content_filter") else "completed"


def _items(filled: Filled) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if filled.reasoning:
        items.append(
            {
                "id": filled.id("rs_"),
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": filled.reasoning}],
            }
        )
    if filled.text:
        part: dict[str, Any] = {"type": "output_text", "text": filled.text, "annotations": [], "logprobs": []}
        if filled.finish == "refusal":
            part = {"type": "refusal", "refusal": filled.text}
        items.append(
            {
                "id": filled.id("msg_"),
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        )
    for index, call in enumerate(filled.tool_calls):
        items.append(
            {
                "id": filled.id(f"fc_{index}"),
                "type": "function_call",
                "status": "completed",
                "call_id": filled.call_id(index, "call_"),
                "name": call.name,
                "arguments": json_bytes(call.arguments).decode(),
            }
        )
    return items


def _create_whole(stored: Stored, filled: Filled) -> Rendered:
    done = _response(filled, _status(filled), _items(filled), with_usage=True)
    reported = filled.usage if filled.answer.report_usage else None
    if not filled.body.get("background"):
        return Rendered(body=json_bytes(done), usage=reported, response_id=done["id"])
    stored[done["id"]] = (done, reported)
    return Rendered(
        body=json_bytes(_response(filled, "queued", [], with_usage=False)), usage=None, response_id=done["id"]
    )


def _compact_whole(filled: Filled) -> Rendered:
    body = {
        "id": filled.id("resp_", 48),
        "object": "response.compaction",
        "created_at": filled.created,
        "output": [
            {"id": filled.id("cmp_"), "type": "compaction", "encrypted_content": filled.id("gAAAA", 60)},
        ],
        "usage": responses_usage(filled.usage),
    }
    return Rendered(body=json_bytes(body), usage=filled.usage, response_id=str(body["id"]))


def _decision_whole(filled: Filled) -> Rendered:
    questions = filled.body.get("questions") or [{}]
    answers = [
        without_none({"type": "predicate", "name": question.get("name"), "probability": 0.75}) for question in questions
    ]
    body = {"model": filled.model, "answers": answers, "usage": responses_usage(filled.usage)}
    return Rendered(body=json_bytes(body), usage=filled.usage)


def _count_whole(filled: Filled) -> Rendered:
    body = {"object": "response.input_tokens", "input_tokens": filled.usage.prompt}
    return Rendered(body=json_bytes(body), usage=None)


def _event(kind: str, number: int, **fields: object) -> bytes:
    body = json_bytes({"type": kind, "sequence_number": number, **fields})
    return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


def failed_event(filled: Filled, code: str, message: str) -> bytes:
    response = _response(filled, "failed", [], with_usage=False)
    response["error"] = {"code": code, "message": message}
    return _event("response.failed", 99, response=response)


def _pieces(filled: Filled) -> Iterable[Piece]:
    number = -1

    def piece(kind: str, is_content: bool = False, usage: ServedUsage | None = None, **fields: object) -> Piece:
        nonlocal number
        number += 1
        return Piece(data=_event(kind, number, **fields), is_content=is_content, usage=usage)

    yield piece("response.created", response=_response(filled, "in_progress", [], with_usage=False))
    yield piece("response.in_progress", response=_response(filled, "in_progress", [], with_usage=False))
    items = _items(filled)
    for index, item in enumerate(items):
        where = {"item_id": item["id"], "output_index": index}
        if item["type"] == "reasoning":
            yield piece("response.output_item.added", output_index=index, item={**item, "summary": []})
            summary = {**where, "summary_index": 0}
            yield piece("response.reasoning_summary_part.added", **summary, part={"type": "summary_text", "text": ""})
            for text in filled.reasoning_pieces():
                yield piece("response.reasoning_summary_text.delta", is_content=True, **summary, delta=text)
            yield piece("response.reasoning_summary_text.done", **summary, text=filled.reasoning)
            yield piece("response.reasoning_summary_part.done", **summary, part=item["summary"][0])
        elif item["type"] == "message":
            part = item["content"][0]
            kind = "refusal" if part["type"] == "refusal" else "output_text"
            empty = {**part, ("refusal" if kind == "refusal" else "text"): ""}
            content = {**where, "content_index": 0}
            yield piece(
                "response.output_item.added",
                output_index=index,
                item={**item, "status": "in_progress", "content": []},
            )
            yield piece("response.content_part.added", **content, part=empty)
            more: dict[str, Any] = {} if kind == "refusal" else {"logprobs": []}
            for text in filled.text_pieces():
                yield piece(f"response.{kind}.delta", is_content=True, **content, delta=text, **more)
            whole: dict[str, Any] = (
                {"refusal": filled.text} if kind == "refusal" else {"text": filled.text, "logprobs": []}
            )
            yield piece(f"response.{kind}.done", **content, **whole)
            yield piece("response.content_part.done", **content, part=part)
        else:
            yield piece(
                "response.output_item.added",
                output_index=index,
                item={**item, "status": "in_progress", "arguments": ""},
            )
            for text in seeded.split_text(item["arguments"], None):
                yield piece("response.function_call_arguments.delta", is_content=True, **where, delta=text)
            yield piece(
                "response.function_call_arguments.done",
                **where,
                name=item["name"],
                arguments=item["arguments"],
            )
        yield piece("response.output_item.done", output_index=index, item=item)
    status = _status(filled)
    reported = filled.usage if filled.answer.report_usage else None
    yield piece(f"response.{status}", usage=reported, response=_response(filled, status, items, with_usage=True))
