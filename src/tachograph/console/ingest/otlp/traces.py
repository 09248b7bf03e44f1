"""Spans of any sender become spans of the console, and those that are LLM or tool calls become calls.

Three generations of the OpenTelemetry conventions are understood: up to 1.36 (`gen_ai.system`,
`gen_ai.usage.prompt_tokens`), 1.37 to 1.41 (`gen_ai.provider.name`), and the GenAI repository's main, which renames
cache tokens; and our own `llm.complete` and `mcp.tool.execute`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tachograph.console.calls import Attempt, Call, CallDetail, Event, Span, clip
from tachograph.console.ingest.otlp.values import attributes, hex_id, integer, number

MAX_SPANS = 20_000
MAX_EVENTS = 64
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_NOT_CALLS = frozenset({"invoke_agent", "create_agent", "invoke_workflow", "plan", "retrieval", "execute_tool"})
_PROVIDERS = {
    "gcp.gemini": "gemini",
    "gcp.vertex_ai": "gemini",
    "gcp.gen_ai": "gemini",
    "vertex_ai": "gemini",
    "google": "gemini",
    "google_genai": "gemini",
    "az.ai.openai": "azure.ai.openai",
}

Pricer = Callable[[Call], tuple[str, str] | None]
"""Returns cost in dollars as text and its quality, for a call that came without one."""


def read(request: Mapping[str, Any], price: Pricer | None = None) -> tuple[list[tuple[CallDetail | None, Span]], int]:
    """Return (call or None, span) of each span, and how many spans were refused."""
    items: list[tuple[CallDetail | None, Span]] = []
    refused = 0
    for resource in _list(request.get("resourceSpans")):
        about = attributes(_dict(resource.get("resource")).get("attributes"))
        service = clip(str(about.get("service.name") or ""))
        for scope in _list(resource.get("scopeSpans")):
            name = str(_dict(scope.get("scope")).get("name") or "")
            for raw in _list(scope.get("spans")):
                span = _span(raw, service) if len(items) < MAX_SPANS else None
                if span is None:
                    refused += 1
                    continue
                items.append((_call(span, name, _dict(raw.get("status")), price), span))
    return items, refused


def _list(value: Any) -> list[Any]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _span(raw: Mapping[str, Any], service: str) -> Span | None:
    trace, identity = hex_id(raw.get("traceId"), 16), hex_id(raw.get("spanId"), 8)
    start, end = integer(raw.get("startTimeUnixNano")), integer(raw.get("endTimeUnixNano"))
    if not trace or not identity or start is None or end is None or not 0 < start < 1 << 62 or end > 1 << 62:
        return None
    kind = raw.get("kind")
    if isinstance(kind, str):
        kind = kind.removeprefix("SPAN_KIND_").lower()
    else:
        kind = _KINDS[kind] if isinstance(kind, int) and 0 <= kind < len(_KINDS) else "unspecified"
    code = _dict(raw.get("status")).get("code")
    status = {1: "ok", 2: "error", "STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error"}.get(code or 0, "unset")
    events = [
        Event(
            clip(str(event.get("name") or "")),
            ((integer(event.get("timeUnixNano")) or start) - start) / 1e9,
            attributes(event.get("attributes")),
        )
        for event in _list(raw.get("events"))[:MAX_EVENTS]
    ]
    return Span(
        trace_id=trace,
        span_id=identity,
        parent_span_id=hex_id(raw.get("parentSpanId"), 8),
        name=clip(str(raw.get("name") or "")),
        kind=kind if kind in _KINDS else "unspecified",
        start_unix=start / 1e9,
        duration_seconds=max(end - start, 0) / 1e9,
        status=status,
        attributes=attributes(raw.get("attributes")),
        events=events,
        service=service,
    )


def _call(span: Span, scope: str, status: Mapping[str, Any], price: Pricer | None) -> CallDetail | None:
    found = span.attributes
    operation = _text(found, "gen_ai.operation.name")
    if span.name == "mcp.tool.execute" or scope == "tachograph.mcp":
        return _tool(span, status)
    if operation == "execute_tool" or (_text(found, "mcp.method.name") == "tools/call" and span.kind != "server"):
        return _tool(span, status)
    if span.name == "llm.complete" or scope == "tachograph.llm":
        return _llm(span, operation or "chat", status, price)
    provider = _text(found, "gen_ai.provider.name", "gen_ai.system")
    model = _text(found, "gen_ai.request.model", "gen_ai.response.model")
    if operation in _NOT_CALLS or operation.endswith(("_memory", "_memory_store")) or span.kind == "server":
        return None
    if operation or (provider and model) or _text(found, "llm.request.type"):
        return _llm(span, operation or _text(found, "llm.request.type") or "chat", status, price)
    return None


def _text(found: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = found.get(name)
        if value not in (None, ""):
            return clip(str(value))
    return ""


def _count(found: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = integer(found.get(name)) if not isinstance(found.get(name), bool) else None
        if value is not None and 0 <= value < 1 << 53:
            return value
    return None


def _identity(span: Span) -> str:
    own = hex_id(span.attributes.get("tachograph.call_id"), 16)
    # The same span sent twice is one call.
    return own or hashlib.blake2b(bytes.fromhex(span.trace_id + span.span_id), digest_size=16).hexdigest()


def _labels(found: Mapping[str, Any]) -> dict[str, str]:
    prefix = "tachograph.label."
    return {k[len(prefix) :][:128]: clip(str(v)) for k, v in list(found.items())[:256] if k.startswith(prefix)}


def _error(span: Span, status: Mapping[str, Any]) -> tuple[str, str]:
    """Return the error's type as the sender named it, and its text."""
    kind = _text(span.attributes, "error.type", "error_type", "error_kind")
    message = clip(str(status.get("message") or ""))
    for event in span.events:
        if event.name == "exception":
            kind = kind or _text(event.attributes, "exception.type")
            message = message or _text(event.attributes, "exception.message")
    return kind, message


_ERROR_WORDS = (
    ("timeout", ("timeout", "timed out", "deadline", "504", "408")),
    ("quota", ("insufficient_quota", "quota")),
    ("rate_limit", ("ratelimit", "rate_limit", "rate limit", "429", "resource_exhausted", "too many requests")),
    ("auth", ("authentication", "permission", "unauthorized", "401", "403", "api key")),
    ("connection", ("connection", "connect", "network", "dns")),
    ("content_filter", ("content_filter", "content filter", "safety")),
    (
        "server_error",
        ("internalserver", "server_error", "servererror", "overloaded", "529", "500", "502", "503", "unavailable"),
    ),
    ("invalid_request", ("badrequest", "invalid", "400", "404", "422", "notfound", "not_found", "unprocessable")),
)
_OWN_ERRORS = frozenset({word for word, _ in _ERROR_WORDS} | {"unknown"})


def error_type(kind: str, message: str = "") -> str:
    """Sort a sender's error into the contract's words."""
    if kind in _OWN_ERRORS:
        return kind
    for text in (kind.lower(), message.lower()):
        for word, hints in _ERROR_WORDS:
            if any(hint in text for hint in hints):
                return word
    return "unknown"


def _llm(span: Span, operation: str, status: Mapping[str, Any], price: Pricer | None) -> CallDetail:
    found = span.attributes
    kind, message = _error(span, status)
    failed = span.status == "error" or bool(kind)
    outcome = _text(found, "tachograph.outcome")
    sorted_type = error_type(kind, message) if failed and outcome != "cancelled" else None
    if not outcome:
        lowered = f"{kind} {message}".lower()
        if not failed:
            outcome = "success"
        elif "cancel" in lowered:
            outcome, sorted_type = "cancelled", None
        else:
            outcome = {"timeout": "timeout", "rate_limit": "rate_limited"}.get(sorted_type or "", "error")
    provider = _text(found, "provider") if span.name == "llm.complete" else ""
    provider = provider or _text(found, "gen_ai.provider.name", "gen_ai.system")
    usage = "gen_ai.usage."
    cost = found.get("tachograph.cost.usd")
    attempts = _attempts(span)
    waits = sum(number(e.attributes.get("seconds")) for e in span.events if e.name.endswith("_wait"))
    first = found.get("gen_ai.response.time_to_first_chunk")
    call = Call(
        id=_identity(span),
        kind="llm",
        time=span.start_unix,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        provider=_PROVIDERS.get(provider.lower(), provider.lower()),
        model=_text(found, "gen_ai.request.model", "model", "gen_ai.response.model"),
        response_model=_text(found, "gen_ai.response.model") or None,
        operation=operation,
        outcome=outcome,
        error_type=sorted_type,
        duration_seconds=span.duration_seconds,
        first_token_seconds=number(first) if first is not None else None,
        input_tokens=_count(found, usage + "input_tokens", usage + "prompt_tokens", "prompt_tokens"),
        cached_tokens=_count(
            found, usage + "cache_read.input_tokens", usage + "cache_read_input_tokens", usage + "cached_tokens"
        ),
        output_tokens=_count(found, usage + "output_tokens", usage + "completion_tokens", "completion_tokens"),
        reasoning_tokens=_count(found, usage + "reasoning.output_tokens", usage + "reasoning_tokens"),
        cost_usd=_money(cost),
        cost_quality=_text(found, "tachograph.cost.quality") or None,
        attempts=len(attempts) or _count(found, "tachograph.attempts") or 1,
        wait_seconds=waits if waits == waits else 0.0,
        stream=found.get("gen_ai.request.stream") is True or first is not None,
        labels=_labels(found),
        service=span.service,
    )
    if price is not None and call.cost_usd is None and call.cost_quality is None:
        priced = price(call)
        if priced is not None:
            call.cost_usd, call.cost_quality = priced
    return CallDetail(call, attempts, (f"{kind}: {message}" if message else kind) or None if failed else None)


def _money(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    amount = number(value)
    if not 0 <= amount < 1e9:
        return None
    return format(Decimal(repr(amount)).quantize(Decimal("1e-9")).normalize(), "f")


def _attempts(span: Span) -> list[Attempt]:
    attempts: list[Attempt] = []
    for event in span.events:
        facts = event.attributes
        if event.name in ("llm.attempt", "attempt"):
            seconds = number(facts.get("seconds"))
            seconds = seconds if seconds == seconds else 0.0
            attempts.append(
                Attempt(
                    integer(facts.get("number")) or len(attempts) + 1,
                    max(event.offset_seconds - seconds, 0.0),
                    seconds,
                    integer(facts.get("http.response.status_code")),
                    _text(facts, "outcome") or None,
                    _text(facts, "error_type") or None,
                    number(facts["retry_after_seconds"]) if "retry_after_seconds" in facts else None,
                )
            )
        elif event.name in ("llm.rate_limit_wait", "llm.retry_wait") and attempts:
            slept = number(facts.get("seconds"))
            attempts[-1].slept_seconds = slept if slept == slept else 0.0
    return attempts


def _tool(span: Span, status: Mapping[str, Any]) -> CallDetail:
    found = span.attributes
    kind, message = _error(span, status)
    failed = span.status == "error" or bool(kind)
    outcome = _text(found, "tachograph.outcome")
    error_kind = _text(found, "error_kind") or None
    if failed and error_kind is None:
        lowered = f"{kind} {message}".lower()
        error_kind = next(
            (word for word in ("timeout", "connection", "validation") if word[:7] in lowered), "execution"
        )
    if not outcome:
        outcome = "success" if not failed else "timeout" if error_kind == "timeout" else "error"
    call = Call(
        id=_identity(span),
        kind="tool",
        time=span.start_unix,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        operation="execute_tool",
        server_id=_text(found, "server_id", "mcp.server.name", "server.address"),
        tool_name=_text(found, "tool_name", "gen_ai.tool.name", "mcp.tool.name"),
        outcome=outcome,
        error_kind=error_kind if outcome not in ("success", "cancelled") else None,
        duration_seconds=span.duration_seconds,
        attempts=1,
        labels=_labels(found),
        service=span.service,
    )
    return CallDetail(call, [], (f"{kind}: {message}" if message else kind) or None if failed else None)
