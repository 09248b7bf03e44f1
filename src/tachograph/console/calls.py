"""Calls, attempts and spans as the console keeps and shows them; and how records of this process become them."""

from __future__ import annotations

from typing import Any

import msgspec

from tachograph.records import LLMCall, ToolCall

MAX_TEXT = 512


class Attempt(msgspec.Struct, omit_defaults=False):
    """One request on the wire; times in seconds, `start_offset` from the start of the call."""

    number: int
    start_offset: float
    duration_seconds: float
    status: int | None = None
    outcome: str | None = None
    error_type: str | None = None
    retry_after_seconds: float | None = None
    slept_seconds: float = 0.0


class Call(msgspec.Struct, kw_only=True):
    """One LLM call or tool execution. Ids are lowercase hex; costs are exact decimals as text."""

    id: str
    kind: str
    time: float
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    provider: str = ""
    model: str = ""
    response_model: str | None = None
    operation: str = ""
    server_id: str = ""
    tool_name: str = ""
    outcome: str = ""
    error_type: str | None = None
    error_kind: str | None = None
    duration_seconds: float = 0.0
    first_token_seconds: float | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: str | None = None
    cost_quality: str | None = None
    attempts: int = 0
    wait_seconds: float = 0.0
    stream: bool = False
    labels: dict[str, str] = {}
    service: str = ""


class CallDetail(msgspec.Struct):
    """A call with what only its own page shows."""

    call: Call
    attempts: list[Attempt]
    error: str | None = None


class Event(msgspec.Struct):
    """Something that happened inside a span."""

    name: str
    offset_seconds: float
    attributes: dict[str, Any] = {}


class Span(msgspec.Struct, kw_only=True):
    """One span of a trace; ids in hex."""

    trace_id: str
    span_id: str
    parent_span_id: str = ""
    name: str
    kind: str = "internal"
    start_unix: float
    duration_seconds: float
    status: str = "unset"
    attributes: dict[str, Any] = {}
    events: list[Event] = []
    service: str = ""


def clip(text: str) -> str:
    """Shorten text from outside to a sane length."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def from_record(record: LLMCall | ToolCall, service: str = "") -> tuple[CallDetail, Span]:
    """Turn a finished record into what the console keeps; does not hold on to the record."""
    if isinstance(record, LLMCall):
        return _llm(record, service)
    return _tool(record, service)


def _ids(record: LLMCall | ToolCall) -> tuple[str, str, str]:
    identity = record.id
    trace = f"{record.trace_id:032x}" if record.trace_id else (record.parent_id or identity).hex()
    span = f"{record.span_id:016x}" if record.span_id else identity[8:].hex()
    parent = record.parent_id[8:].hex() if record.parent_id and not record.span_id else ""
    return trace, span, parent


def _labels(record: LLMCall | ToolCall) -> dict[str, str]:
    return {clip(str(k)): clip(str(v)) for k, v in list((record.labels or {}).items())[:32]}


def _llm(record: LLMCall, service: str) -> tuple[CallDetail, Span]:
    trace, span, parent = _ids(record)
    usage, cost = record.usage, record.cost
    details = usage.details if usage is not None else {}
    attempts = [
        Attempt(
            a.number,
            (a.started_ns - record.started_ns) / 1e9,
            a.duration_seconds,
            a.status,
            a.outcome,
            a.error_type,
            a.retry_after_seconds,
            a.waited_ns / 1e9,
        )
        for a in record.attempts
    ]
    counts = record.counts_usage
    call = Call(
        id=record.id.hex(),
        kind="llm",
        time=record.started_unix_ns / 1e9,
        trace_id=trace,
        span_id=span,
        parent_span_id=parent,
        provider=clip(record.provider),
        model=clip(record.model),
        response_model=clip(record.response_model) if record.response_model else None,
        operation=clip(record.operation),
        outcome=record.outcome or "",
        error_type=record.error_type,
        duration_seconds=record.duration_seconds,
        first_token_seconds=record.first_token_seconds,
        input_tokens=usage.input_tokens if usage and counts else None,
        cached_tokens=details.get("cache_read"),
        output_tokens=usage.output_tokens if usage and counts else None,
        reasoning_tokens=details.get("reasoning"),
        cost_usd=None if not counts or cost is None or cost.usd is None else format(cost.usd.normalize(), "f"),
        cost_quality=cost.quality if cost and counts else None,
        attempts=len(attempts),
        wait_seconds=sum(a.waited_ns + a.waited_before_ns for a in record.attempts) / 1e9,
        stream=record.stream,
        labels=_labels(record),
        service=service,
    )
    error = clip(f"{type(record.error).__name__}: {record.error}") if record.error is not None else None
    attributes: dict[str, Any] = {
        "provider": call.provider,
        "model": call.model,
        "prompt_length": record.message_count,
        "gen_ai.operation.name": call.operation,
    }
    for name, value in (
        ("prompt_tokens", call.input_tokens),
        ("completion_tokens", call.output_tokens),
        ("gen_ai.response.model", call.response_model),
        ("gen_ai.response.id", record.response_id),
        ("error_type", record.error_type),
        ("server.address", record.server_address),
    ):
        if value is not None:
            attributes[name] = value
    events = [
        Event(
            "attempt",
            a.start_offset,
            {k: v for k, v in msgspec.to_builtins(a).items() if v is not None and k != "start_offset"},
        )
        for a in attempts
    ]
    if call.first_token_seconds is not None:
        events.append(Event("first_token", call.first_token_seconds))
    return CallDetail(call, attempts, error), _span(call, "llm.complete", "client", attributes, events)


def _tool(record: ToolCall, service: str) -> tuple[CallDetail, Span]:
    trace, span, parent = _ids(record)
    call = Call(
        id=record.id.hex(),
        kind="tool",
        time=record.started_unix_ns / 1e9,
        trace_id=trace,
        span_id=span,
        parent_span_id=parent,
        operation="execute_tool",
        server_id=clip(record.server_id),
        tool_name=clip(record.tool_name),
        outcome=record.outcome or "",
        error_kind=record.error_kind,
        duration_seconds=record.duration_seconds,
        attempts=1,
        labels=_labels(record),
        service=service,
    )
    attributes: dict[str, Any] = {
        "server_id": call.server_id,
        "tool_name": call.tool_name,
        "arg_count": record.argument_count,
    }
    if record.error_kind is not None:
        attributes["error_kind"] = record.error_kind
    error = None
    if isinstance(record.error, BaseException):
        error = clip(f"{type(record.error).__name__}: {record.error}")
    elif record.error is not None:
        # What a tool answers is content; it is kept only where the user has turned content on.
        error = clip(record.error) if record.content else "the tool answered with an error; its text is not recorded"
    return CallDetail(call, [], error), _span(call, "mcp.tool.execute", "client", attributes, [])


def _span(call: Call, name: str, kind: str, attributes: dict[str, Any], events: list[Event]) -> Span:
    return Span(
        trace_id=call.trace_id,
        span_id=call.span_id,
        parent_span_id=call.parent_span_id,
        name=name,
        kind=kind,
        start_unix=call.time,
        duration_seconds=call.duration_seconds,
        status="ok"
        if call.outcome == "success"
        else "error"
        if call.outcome in ("error", "timeout", "rate_limited")
        else "unset",
        attributes=attributes,
        events=events,
        service=call.service,
    )
