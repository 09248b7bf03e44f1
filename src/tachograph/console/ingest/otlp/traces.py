"""Spans of any sender become spans of the console, and those that are LLM or tool calls become records.

A record made from a span then goes the same way as one of this process: through `records.projection`. What a sender
does not say stays unknown there.

`names.py` has the words of the conventions that are understood; our own `llm.complete` and `mcp.tool.execute` are too.
"""

from __future__ import annotations

# Pyright widens a word that was compared with a str; mypy keeps it.
# pyright: reportArgumentType=false
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, get_args

from msgspec import structs

from tachograph.console.calls import MAX_CONTENT, MAX_ERROR, CallDetail, Event, Span, clip, from_record
from tachograph.console.ingest.otlp import names as n
from tachograph.console.ingest.otlp.agents import SERVICES, VERSIONED_BY_NODE
from tachograph.console.ingest.otlp.values import attributes, hex_id, integer, number, objects
from tachograph.records import (
    ERROR_KINDS,
    ERROR_TYPES,
    NOWHERE,
    OUTCOMES,
    TOOL_OUTCOMES,
    Attempt,
    Cost,
    CostQuality,
    ErrorType,
    LLMCall,
    Run,
    ToolCall,
    Usage,
    outcome_of,
)
from tachograph.records.redact import redact
from tachograph.signals import semconv as s
from tachograph.vendors.usage import Reading, bounded

MAX_SPANS = 20_000
MAX_EVENTS = 64
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
Pricer = Callable[[LLMCall], Cost | None]
"""Prices a call that came without a cost."""


EVENTS: Final = "events"
"""The scope of spans that stand for events."""
Item = tuple[CallDetail | None, Span]


class Received(NamedTuple):
    """One span, and its record where it is a call."""

    span: Span
    record: LLMCall | ToolCall | None


def read(request: Mapping[str, Any], price: Pricer | None = None) -> tuple[list[Item], int]:
    """Return (call or None, span) of each span, and how many spans were refused."""
    received, refused = records(request, price)
    return items(received), refused


def items(received: Iterable[Received]) -> list[Item]:
    """What the console keeps of what was received."""
    kept: list[Item] = []
    for span, record in received:
        detail = None if record is None else from_record(record, span.service, span)[0]
        if detail is not None:
            detail.content = _content(span)
        kept.append((detail, span))
    return kept


def records(request: Mapping[str, Any], price: Pricer | None = None) -> tuple[list[Received], int]:
    """Return each span with its finished, priced record, and how many spans were refused."""
    received: list[Received] = []
    refused = 0
    for resource in objects(request.get("resourceSpans")):
        about = attributes(_dict(resource.get("resource")).get("attributes"))
        for scope in objects(resource.get("scopeSpans")):
            name = str(_dict(scope.get("scope")).get("name") or "")
            for raw in objects(scope.get("spans")):
                found = receive(raw, about, name, price) if len(received) < MAX_SPANS else None
                if found is None:
                    refused += 1
                else:
                    received.append(found)
    return received, refused


def receive(
    raw: Mapping[str, Any], resource: Mapping[str, Any], scope: str, price: Pricer | None = None
) -> Received | None:
    """One span of this resource and scope, with its record; None where it is no usable span."""
    span = _span(raw, clip(str(resource.get("service.name") or "")))
    if span is None:
        return None
    told_by_events = span.service in SERVICES and scope != EVENTS
    record = None if told_by_events else record_of(span, scope, raw)
    version = "" if span.service in VERSIONED_BY_NODE else clip(str(resource.get("service.version") or ""))
    if record is not None and version:
        run = record.run or _NO_RUN
        record.run = structs.replace(run, app_version=run.app_version or version)
    if isinstance(record, LLMCall) and record.cost is None and price is not None:
        record.cost = _priced(record, span, price)
    return Received(span, record)


def _priced(call: LLMCall, span: Span, price: Pricer) -> Cost | None:
    """What the call cost by our prices: an estimate where the sender does not say all that they depend on.

    Where there is no price, the sender's own estimate is taken, if it has one.
    """
    cost = price(call)
    if cost is None or is_ours(span):
        return cost
    if cost.nano_usd is None:
        nano = _nano(span.attributes, n.ESTIMATED_COST_USD)
        return cost if nano is None else Cost(nano, "estimated", f"estimated by {span.service or 'the sender'}")
    unsaid = [what for what, names in n.PRICED_BY.items() if not any(name in span.attributes for name in names)]
    if cost.quality != "priced" or not unsaid or call.operation == "embeddings":
        return cost
    return structs.replace(cost, quality="estimated", detail=f"the sender does not say: {', '.join(unsaid)}")


def _dict(value: object) -> dict[str, Any]:
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
        for event in objects(raw.get("events"))[:MAX_EVENTS]
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


def record_of(span: Span, scope: str, raw: Mapping[str, Any]) -> LLMCall | ToolCall | None:
    """The finished record of a span that is an LLM call or a tool call; None for any other."""
    found = span.attributes
    if span.name == "mcp.tool.execute" or scope == "tachograph.mcp":
        return _tool(span, raw)
    if span.name == "llm.complete" or scope == "tachograph.llm":
        return _llm(span, _text(found, s.OPERATION_NAME) or "chat", raw)
    operation = clip(n.operation_of(span.name, found, span.kind == "server"))
    if operation == "execute_tool":
        return _tool(span, raw)
    return _llm(span, operation, raw) if operation else None


def is_ours(span: Span) -> bool:
    """Whether a Tachograph has sent the span: the same call may be in its own ledger and its own metrics."""
    return s.CALL_ID in span.attributes


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


def _identity(span: Span) -> bytes:
    own = hex_id(span.attributes.get(s.CALL_ID), 16)
    # The same span sent twice is one call.
    return (
        bytes.fromhex(own)
        if own
        else hashlib.blake2b(bytes.fromhex(span.trace_id + span.span_id), digest_size=16).digest()
    )


def _begin(record: LLMCall | ToolCall, span: Span, raw: Mapping[str, Any]) -> int:
    """Give a record the span's ids and times; returns its end. The clock of a span is UTC."""
    start, end = integer(raw["startTimeUnixNano"]) or 0, integer(raw["endTimeUnixNano"]) or 0
    record.given_id = _identity(span)
    record.started_unix_ns = record.started_ns = start
    record.trace_id, record.span_id = int(span.trace_id, 16), int(span.span_id, 16)
    record.parent_span_id = int(span.parent_span_id or "0", 16)
    if isinstance(record, LLMCall):
        record.api_key_hint = _text(span.attributes, s.API_KEY_HINT)
    above = hex_id(span.attributes.get(s.PARENT_CALL_ID), 16)
    record.parent_id = bytes.fromhex(above) if above else None
    record.labels = _labels(span.attributes) or None
    record.run = _run(span.attributes)
    return max(start, end)


def _run(found: Mapping[str, Any]) -> Run | None:
    run = Run(
        _text(found, s.RUN_ID),
        _text(found, *n.AGENT),
        _text(found, s.EXECUTION_ID),
        _text(found, *n.SESSION),
        _text(found, *n.USER),
        _text(found, s.AGENT_VERSION),
        _text(found, s.PARENT_RUN_ID),
    )
    return None if run == _NO_RUN else run


_NO_RUN: Final = Run()


def _labels(found: Mapping[str, Any]) -> dict[str, str]:
    prefix = s.LABEL_PREFIX
    return {k[len(prefix) :][:128]: clip(str(v)) for k, v in list(found.items())[:256] if k.startswith(prefix)}


def _error(span: Span, raw: Mapping[str, Any]) -> tuple[str, str]:
    """Return the error's type as the sender named it, and its text."""
    kind = _text(span.attributes, "error.type", "error_type", "error_kind")
    message = clip(str(_dict(raw.get("status")).get("message") or ""), MAX_ERROR)
    for event in span.events:
        if event.name == "exception":
            kind = kind or _text(event.attributes, "exception.type")
            message = message or clip(str(event.attributes.get("exception.message") or ""), MAX_ERROR)
    return kind, redact(message, keeps_content=False)


_ERROR_WORDS: Final[tuple[tuple[ErrorType, tuple[str, ...]], ...]] = (
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


def error_type(kind: str, message: str = "") -> ErrorType:
    """Sort a sender's error into the contract's words."""
    for known in ERROR_TYPES:
        if kind == known:
            return known
    for text in (kind.lower(), message.lower()):
        for word, hints in _ERROR_WORDS:
            if any(hint in text for hint in hints):
                return word
    return "unknown"


def _llm(span: Span, operation: str, raw: Mapping[str, Any]) -> LLMCall:
    found = span.attributes
    kind, message = _error(span, raw)
    failed = span.status == "error" or bool(kind)
    outcome = next((word for word in OUTCOMES if word == found.get(s.OUTCOME)), None)
    sorted_type = error_type(kind, message) if failed and outcome != "cancelled" else None
    if outcome is None:
        if sorted_type is None:
            outcome = "success"
        elif "cancel" in f"{kind} {message}".lower():
            outcome, sorted_type = "cancelled", None
        else:
            outcome = outcome_of(sorted_type)
    provider = _text(found, "provider") if span.name == "llm.complete" or is_ours(span) else ""
    provider = provider or n.provider_of(_text(found, *n.PROVIDER)) or "unknown"
    record = LLMCall(NOWHERE, provider, _text(found, *n.REQUEST_MODEL) or "unknown", operation)
    ended = _begin(record, span, raw)
    record.message_count = _count(found, "prompt_length") or 0
    record.server_address = _text(found, s.SERVER_ADDRESS) or None
    first = number(found.get(s.RESPONSE_TIME_TO_FIRST_CHUNK))
    if n.FIRST_CHUNK_MS in found:
        first = number(found[n.FIRST_CHUNK_MS]) / 1000
    record.first_token_ns = record.started_ns + round(first * 1e9) if 0 <= first < 1e9 else 0
    record.stream = any(found.get(name) is True for name in n.IS_STREAM) or bool(record.first_token_ns)
    record.stream |= _text(found, "ai.operationId").endswith(n.STREAMS)
    record.speed = _text(found, s.SPEED) or None
    record.region = _text(found, s.REGION) or None
    record.traffic_type = _text(found, s.TRAFFIC_TYPE) or None
    record.stated_cost_nano_usd = _nano(found, s.STATED_COST_USD)
    record.counts_usage = found.get(s.COUNTED) is not False
    reading = _usage(found)
    record.usage = reading.usage
    record.usage_mismatch = _text(found, s.USAGE_MISMATCH) or reading.mismatch
    record.cost = _cost(found)
    record.response_model = _text(found, s.RESPONSE_MODEL) or None
    record.api = _text(found, s.OPENAI_API_TYPE, s.API)
    record.service_tier = _text(found, s.OPENAI_RESPONSE_SERVICE_TIER, s.SERVICE_TIER) or None
    record.response_id = _text(found, s.RESPONSE_ID) or None
    record.request_id = _text(found, s.REQUEST_ID) or None
    reasons = found.get(s.RESPONSE_FINISH_REASONS)
    if isinstance(reasons, list) and reasons:
        record.finish_reason = clip(str(reasons[0]))
    _attempts(record, span)
    record.end(outcome, sorted_type, error=_failure(span, kind, message) if failed else None, ended_ns=ended)
    return record


def _content(span: Span) -> dict[str, str]:
    """What was said, where the sender sends it: as attributes of the span, or of an event inside it."""
    kept: dict[str, str] = {}
    for found in (span.attributes, *(event.attributes for event in span.events)):
        for name, words in n.CONTENT.items():
            value = next((found[word] for word in words if found.get(word) not in (None, "")), None)
            if value is not None and name not in kept:
                kept[name] = clip(value if isinstance(value, str) else json.dumps(value), MAX_CONTENT)
    return kept


def _failure(span: Span, kind: str, message: str) -> str | None:
    """The error's text; ours names the exception itself."""
    return (message if message and is_ours(span) else f"{kind}: {message}" if message else kind) or None


def _usage(found: Mapping[str, Any]) -> Reading:
    """The usage that a span reports, with what contradicts itself in it."""
    details = {detail: _count(found, *names) for detail, names in n.DETAILS.items()}
    usage = Usage(
        _count(found, *n.INPUT),
        _count(found, *n.OUTPUT),
        {**{detail: tokens for detail, tokens in details.items() if tokens}, **_counts(found, s.DETAIL_PREFIX)},
        _counts(found, s.TOOL_USE_PREFIX),
    )
    seconds = number(found.get(s.AUDIO_SECONDS))
    if 0 <= seconds < 1e9:
        usage.audio_seconds = seconds
    if not (usage.is_reported or usage.details or usage.tool_uses):
        return Reading()
    cached = usage.details.get("cache_read", 0) + usage.details.get("cache_write", 0)
    if usage.input_tokens is not None and cached > usage.input_tokens:
        usage.input_tokens += cached  # the sender counts as Anthropic does: what is cached comes on top
    return bounded(Reading(usage), (), ())


def _counts(found: Mapping[str, Any], prefix: str) -> dict[str, int]:
    counts = {name[len(prefix) :]: _count(found, name) for name in found if name.startswith(prefix)}
    return {name: count for name, count in counts.items() if count}


def _cost(found: Mapping[str, Any]) -> Cost | None:
    quality: CostQuality | None = next((word for word in _QUALITIES if word == found.get(s.COST_QUALITY)), None)
    nano = _nano(found, s.COST_USD)
    if nano is None and quality is None:
        return None
    return Cost(
        nano,
        quality or "estimated",
        _text(found, s.PRICE_SOURCE),
        _text(found, s.COST_DETAIL),
        _nano(found, s.LIST_COST_USD),
    )


def _nano(found: Mapping[str, Any], name: str) -> int | None:
    stated = found.get(name)
    amount = float("nan") if isinstance(stated, bool) else number(stated)
    return round(amount * 1e9) if 0 <= amount < 1e9 else None


_QUALITIES: Final[tuple[CostQuality, ...]] = get_args(CostQuality)
_ATTEMPT_EVENTS = ("llm.attempt", "attempt")
_WAITS_AFTER = ("llm.rate_limit_wait", "llm.retry_wait")


def _attempts(record: LLMCall, span: Span) -> None:
    """The attempts and waits that the span's events tell; one attempt as long as the span where they tell none."""
    attempts = record.attempts
    waited_before = 0
    for event in span.events:
        facts = event.attributes
        seconds = number(facts.get("seconds"))
        length = round(seconds * 1e9) if 0 <= seconds < 1e9 else 0
        if event.name in _ATTEMPT_EVENTS:
            end = record.started_ns + round(event.offset_seconds * 1e9)
            attempt = Attempt(
                integer(facts.get("number")) or len(attempts) + 1,
                max(end - length, record.started_ns),
                max(end, record.started_ns),
                integer(facts.get(s.HTTP_STATUS)),
                next((word for word in OUTCOMES if word == facts.get("outcome")), "error"),
                next((word for word in ERROR_TYPES if word == facts.get("error_type")), None),
                number(facts["retry_after_seconds"]) if "retry_after_seconds" in facts else None,
                waited_before_ns=waited_before,
                request_id=_text(facts, "request_id") or None,
            )
            attempts.append(attempt)
            waited_before = 0
        elif event.name in _WAITS_AFTER and attempts:
            attempts[-1].waited_ns = length
        elif event.name == "llm.limiter_wait":
            waited_before = length
    record.unsent_wait_ns = waited_before
    if not attempts:
        attempts.append(Attempt(1, record.started_ns))  # it ends with the call, and as the call does


def _tool(span: Span, raw: Mapping[str, Any]) -> ToolCall:
    found = span.attributes
    kind, message = _error(span, raw)
    failed = span.status == "error" or bool(kind)
    outcome = next((word for word in TOOL_OUTCOMES if word == found.get(s.OUTCOME)), None)
    error_kind = next((word for word in ERROR_KINDS if word == found.get("error_kind")), None)
    if failed and error_kind is None:
        lowered = f"{kind} {message}".lower()
        error_kind = next((word for word in ERROR_KINDS if word != "execution" and word[:7] in lowered), "execution")
    if outcome is None:
        outcome = "success" if not failed else "timeout" if error_kind == "timeout" else "error"
    record = ToolCall(
        NOWHERE,
        _text(found, *n.TOOL_SERVER) or ("" if is_ours(span) else "unknown"),
        _text(found, *n.TOOL),
        argument_count=_count(found, "arg_count") or 0,
        side="server" if span.kind == "server" else "client",
    )
    ended = _begin(record, span, raw)
    record.call_id = _text(found, s.TOOL_CALL_ID) or None
    record.end(
        outcome,
        error_kind if outcome not in ("success", "cancelled") else None,
        error=_failure(span, kind, message) if failed else None,
        ended_ns=ended,
    )
    return record
