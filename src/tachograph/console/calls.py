"""Calls, attempts and spans as the console keeps and shows them, and how a projection becomes them.

A record of this process, a row of a ledger and a span received over OTLP all come through the projection.
"""

from __future__ import annotations

import re
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, TypeVar, cast

import msgspec

from tachograph.records import LLMCall, ToolCall, run
from tachograph.records.projection import Projection, Reported, error_text, project
from tachograph.signals import span_facts

MAX_TEXT = 512
MAX_ERROR = 4096
MAX_CONTENT = 65_536
Kept = TypeVar("Kept", "Call", "Span")
Given = TypeVar("Given")


class CallAttempt(msgspec.Struct, omit_defaults=False):
    """One request on the wire; times in seconds, `start_offset` from the start of the call."""

    number: int
    start_offset: float
    duration_seconds: float
    status: int | None = None
    outcome: str | None = None
    error_type: str | None = None
    retry_after_seconds: float | None = None
    slept_seconds: float = 0.0
    waited_before_seconds: float = 0.0


class Call(Reported, msgspec.Struct, kw_only=True):
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
    counted: bool = True
    details: dict[str, int] | None = None
    tool_uses: dict[str, int] | None = None
    audio_seconds: float | None = None
    price_source: str | None = None
    api: str | None = None
    service_tier: str | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    parent_call_id: str = ""
    retry_wait_seconds: float = 0.0
    speed: str | None = None
    region: str | None = None
    traffic_type: str | None = None
    cost_detail: str | None = None
    list_cost_usd: str | None = None
    stated_cost_usd: str | None = None
    usage_mismatch: str | None = None
    labels: dict[str, str] = {}
    service: str = ""
    execution_id: str = ""
    run_id: str = ""
    parent_run_id: str = ""
    agent: str = ""
    session_id: str = ""
    user_id: str = ""
    app_version: str = ""
    api_key_hint: str | None = None

    @property
    def is_unpriced(self) -> bool:
        """Whether there is usage that no price is known for."""
        return self.counted and self.cost_usd is None and self.is_reported


class CallDetail(msgspec.Struct):
    """A call with what only its own page shows.

    Attributes:
        error: The error's text, as the provider or the tool gave it.
        content: `input`, `output`, `arguments`, `result`: what was said, only where the user keeps content.
    """

    call: Call
    attempts: list[CallAttempt]
    error: str | None = None
    content: dict[str, str] = {}


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


def writable(value: Given) -> Given:
    """The same with text that can be written: an answer's JSON may hold half of a surrogate pair."""
    made: Any = value
    if isinstance(made, str):
        made = made.encode("utf-8", "replace").decode()
    elif isinstance(made, dict):
        made = {writable(name): writable(item) for name, item in made.items()}
    elif isinstance(made, list):
        made = [writable(item) for item in made]
    elif isinstance(made, msgspec.Struct):
        made = msgspec.convert(writable(msgspec.to_builtins(made)), type(made))
    return cast("Given", made)


def clip(text: str, most: int = MAX_TEXT) -> str:
    """Shorten text from outside to a sane length."""
    return text if len(text) <= most else text[: most - 1] + "…"


def merge(known: CallDetail, more: CallDetail) -> CallDetail:
    """One call out of two accounts of it: what one does not say, the other does; the fuller account of attempts."""
    call = _filled(known.call, more.call)
    if not known.call.attempts or (more.attempts and not known.attempts):
        call.attempts = max(known.call.attempts, more.call.attempts)
        call.wait_seconds = max(known.call.wait_seconds, more.call.wait_seconds)
    if known.call.cost_quality is not None and more.call.cost_quality is not None:
        is_better = _is_exact(more.call.cost_quality) and not _is_exact(known.call.cost_quality)
        account = more.call if is_better else known.call
        for name in _OF_A_COST:  # one account's: a price that is known has no doubts of an estimate's
            setattr(call, name, getattr(account, name))
    attempts = more.attempts if len(more.attempts) > len(known.attempts) else known.attempts
    errors = sorted((text for text in (known.error, more.error) if text), key=len)
    return CallDetail(call, attempts, errors[-1] if errors else None, {**more.content, **known.content})


def merge_spans(known: Span, more: Span) -> Span:
    """One span out of two accounts of it: a sent one says more than one that stands for a record."""
    span = _filled(known, more)
    span.attributes = {**known.attributes, **more.attributes}
    fuller, other = sorted((known.events, more.events), key=len, reverse=True)
    names = {event.name for event in fuller}
    lacking = [event for event in other if event.name not in names]
    span.events = sorted([*fuller, *lacking], key=lambda event: event.offset_seconds) if lacking else fuller
    return span


def _filled(known: Kept, more: Kept) -> Kept:
    """A copy of `known`, with what it does not say, which has its field's default, taken from `more`."""
    values = {}
    for one in msgspec.structs.fields(type(known)):
        value = getattr(known, one.name)
        unsaid = value is None or value == "" or value == {} or value == one.default
        values[one.name] = getattr(more, one.name) if unsaid else value
    return type(known)(**values)


_OF_A_COST: Final = ("cost_usd", "cost_quality", "cost_detail", "price_source", "list_cost_usd", "stated_cost_usd")


def _is_exact(quality: str | None) -> bool:
    return quality is not None and quality not in ("estimated", "unpriced")


_VARYING = re.compile(r"\bHTTP \d{3}\b|0x[0-9a-f]+|[0-9a-f-]{16,}|\b\w*\d\w*\b|(['\"`]).*?\1", re.IGNORECASE)


_MESSAGE = re.compile(r"""['"]message['"]\s*:\s*(['"])((?:\\.|(?!\1).)+)\1""")
"""What an API says in the body that its client library writes into the error."""


def fingerprint(call: Call, error: str | None) -> str:
    """What failures of one cause have in common: their type, and their text without numbers, ids and quoted names.

    Of an answer's body only its message counts: all of it is quoted, so different causes would be one.
    """
    kind = call.error_type or call.error_kind
    if kind is None:
        return ""
    first = (error or "").strip().split("\n", 1)[0].removeprefix(f"{kind}: ")
    body = _MESSAGE.search(first)
    if body is not None:
        first = f"{first[: first.index('{')] if '{' in first[: body.start()] else ''}{body[2]}"
    name = call.model or call.tool_name
    first = first.replace(name, "…") if name else first
    said = _VARYING.sub(lambda found: found[0] if found[0].startswith("HTTP ") else "…", first)
    return clip(f"{kind}: {' '.join(said.split())}" if first else kind, 200)


def content_of(kept: object) -> dict[str, str]:
    """The content that a record keeps, as texts."""
    if not isinstance(kept, dict):
        return {}
    return {str(name): clip(str(value), MAX_CONTENT) for name, value in list(kept.items())[:8]}


def from_record(record: LLMCall | ToolCall, service: str = "", span: Span | None = None) -> tuple[CallDetail, Span]:
    """Turn a finished record into what the console keeps; does not hold on to the record.

    Args:
        service: The application that made the call.
        span: The span that the record was received as; without one, a span is made that says the same.
    """
    row = project(record)
    if span is None:
        call = from_projection(row, service)
        span = _span(call, row, _details(record), _events(record))
    else:
        call = from_projection(row, service)
    attempts = [
        CallAttempt(
            attempt.number,
            (attempt.started_ns - record.started_ns) / 1e9,
            attempt.duration_seconds,
            attempt.status,
            attempt.outcome,
            attempt.error_type,
            attempt.retry_after_seconds,
            attempt.waited_ns / 1e9,
            attempt.waited_before_ns / 1e9,
        )
        for attempt in (record.attempts if isinstance(record, LLMCall) else ())
    ]
    error = error_text(record)
    error = None if error is None else clip(error, MAX_ERROR)
    return CallDetail(call, attempts, error, content_of(record.content)), span


def from_row(row: Projection, service: str = "") -> tuple[CallDetail, Span]:
    """Turn a ledger's row into a call and a span that stands for it."""
    call = from_projection(row, service)
    return CallDetail(call, []), _span(call, row, {}, [])


_shared_names: Final = tuple(
    name
    for name in Projection.__struct_fields__
    if name in Call.__struct_fields__
    and name
    not in (
        "id",
        "kind",
        "provider",
        "model",
        "error_type",
        "trace_id",
        "span_id",
        "parent_span_id",
        "labels",
        *run.FIELDS,
    )
)
_shared: Final = attrgetter(*_shared_names)
"""Facts that a call has by the projection's own names and in its own form; `from_projection` has the others."""


def from_projection(row: Projection, service: str = "") -> Call:
    is_llm = row.kind == "llm"
    details = row.details or {}
    above = row.parent_id
    over = row.parent_span_id or (above[8:] if above and not row.span_id else None)
    ids: dict[str, Any] = {name: clip(value or "") for name, value in zip(run.FIELDS, _run(row), strict=True)}
    return Call(
        **dict(zip(_shared_names, _shared(row), strict=True)),
        id=row.id.hex(),
        kind="llm" if is_llm else "tool",
        time=row.ts_us / 1e6,
        trace_id=(row.trace_id or above or row.id).hex(),
        span_id=(row.span_id or row.id[8:]).hex(),
        parent_span_id=over.hex() if over else "",
        provider=clip(row.provider) if is_llm else "",
        model=clip(row.model) if is_llm else "",
        server_id="" if is_llm else clip(row.provider),
        tool_name="" if is_llm else clip(row.model),
        error_type=row.error_type if is_llm else None,
        error_kind=None if is_llm else row.error_type,
        duration_seconds=row.latency_us / 1e6,
        first_token_seconds=None if row.ttft_us is None else row.ttft_us / 1e6,
        cached_tokens=details.get("cache_read"),
        reasoning_tokens=details.get("reasoning"),
        cost_usd=_dollars(row.cost_nusd),
        list_cost_usd=_dollars(row.list_cost_nusd),
        stated_cost_usd=_dollars(row.stated_cost_nusd),
        retry_wait_seconds=row.retry_wait_us / 1e6,
        wait_seconds=row.wait_us / 1e6,
        parent_call_id=above.hex() if above else "",
        labels={clip(str(k)): clip(str(v)) for k, v in list((row.labels or {}).items())[:32]},
        service=service,
        **ids,
    )


_run: Final = attrgetter(*run.FIELDS)


def _dollars(nano: int | None) -> str | None:
    return None if nano is None else format(Decimal(nano).scaleb(-9).normalize(), "f")


def _details(record: LLMCall | ToolCall) -> dict[str, Any]:
    """What a span says beside the projection, as far as the console shows it."""
    if isinstance(record, ToolCall):
        return {"arg_count": record.argument_count}
    facts: dict[str, Any] = {"prompt_length": record.message_count}
    if record.server_address:
        facts["server.address"] = record.server_address
    return facts


def _events(record: LLMCall | ToolCall) -> list[Event]:
    if isinstance(record, ToolCall):
        return []
    offset = record.started_unix_ns
    events = [Event(name, (at - offset) / 1e9, facts) for name, at, facts in span_facts.waits_and_attempts(record)]
    if record.first_token_seconds is not None:
        events.append(Event("first_token", record.first_token_seconds))
    return events


def _span(call: Call, row: Projection, details: dict[str, Any], events: list[Event]) -> Span:
    return Span(
        trace_id=call.trace_id,
        span_id=call.span_id,
        parent_span_id=call.parent_span_id,
        name=span_facts.LLM_SPAN if call.kind == "llm" else span_facts.TOOL_SPAN,
        kind="client" if row.operation != "serve_tool" else "server",
        start_unix=call.time,
        duration_seconds=call.duration_seconds,
        status="ok" if call.outcome == "success" else "unset" if call.outcome == "cancelled" else "error",
        attributes={**span_facts.projected(row), **details},
        events=events,
        service=call.service,
    )
