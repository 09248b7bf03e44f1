"""The projection of a finished record: the facts of a call that every view is made from.

The ledger's row is the projection as it is. Span attributes (`signals/span_facts.py`) and the console's call
(`console/calls.py`) are derived from it, whether the record was made in this process, read from a ledger, or received
as an OTLP span. A fact that one view shows and another does not would be read twice, so it is read here only.

tests/records/test_projection.py sends every field through all of them: a field that one of them drops fails there.
"""

from __future__ import annotations

# Pyright does not count the starred arguments of a msgspec Struct.
# pyright: reportCallIssue=false
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec

from tachograph.records import run
from tachograph.records.cost import Cost
from tachograph.records.llm_call import LLMCall
from tachograph.records.redact import redact
from tachograph.records.tool_call import ToolCall

INT64: Final = 2**63 - 1
LAST_TS_US: Final = 253_402_300_799_999_999
"""The end of the year 9999, the last moment that every store can hold."""

Count = Annotated[int, msgspec.Meta(ge=0, le=INT64)]
TsUs = Annotated[int, msgspec.Meta(ge=0, le=LAST_TS_US)]


class Reported:
    """What is known of a call from the usage that was reported, wherever the call is kept."""

    __slots__ = ()

    @property
    def is_reported(self: Any) -> bool:
        """Whether the vendor reported any usage."""
        return bool(
            self.input_tokens is not None
            or self.output_tokens is not None
            or self.audio_seconds is not None
            or self.tool_uses
        )

    @property
    def is_usage_missing(self: Any) -> bool:
        """Whether the call should have had usage and reported none."""
        is_due = self.kind == "llm" and self.counted and self.outcome in ("success", "cancelled")
        return bool(is_due and not self.is_reported)


class Projection(Reported, msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One call: an LLM call (`kind` "llm"), or a tool execution ("mcp": then `provider` is the server's id, `model` the
    tool's name, `error_type` the error's kind). The order of the fields is the format of journals: only ever append.

    Attributes:
        id: 16 bytes, made once, at the call; storing it twice changes nothing.
        ts_us: UTC, when the call began, microseconds since the epoch.
        counted: False where another call already counts these tokens; then there are no tokens and no cost here.
        input_tokens, output_tokens: The whole prompt and the whole completion; None: not reported.
        details: Parts of the two, never to be added to them.
        cost_nusd: Billionths of a US dollar; None: unpriced, which is not zero.
        price_source: Which prices: the version that a correction compares with.
        latency_us, ttft_us: From the asking to the end, and to the first content.
        wait_us, retry_wait_us: Slept because of rate limits, and before trying again for other reasons.
        labels: The user's own; hashed in the ledger where the settings say so.
        execution_id, run_id, parent_run_id, agent, session_id, user_id, app_version: The run it belongs to.
        parent_span_id: The span that the call's own span is below, so that rows of a trace make a tree.
        api_key_hint: The last characters of the key that paid, as vendors show them in their lists of keys.
        cost_detail: What is unknown about the cost, for people.
        list_cost_nusd, stated_cost_nusd: What our prices say, and what the vendor says, where that is known beside it.
    """

    id: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    ts_us: TsUs
    kind: str
    provider: str
    model: str
    operation: str
    outcome: str
    error_type: str | None = None
    latency_us: Count = 0
    ttft_us: Count | None = None
    attempts: Count = 0
    wait_us: Count = 0
    stream: bool = False
    counted: bool = True
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    details: dict[str, Count] | None = None
    tool_uses: dict[str, Count] | None = None
    audio_seconds: float | None = None
    cost_nusd: Count | None = None
    cost_quality: str | None = None
    price_source: str | None = None
    response_model: str | None = None
    api: str | None = None
    service_tier: str | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    trace_id: bytes | None = None
    span_id: bytes | None = None
    parent_id: bytes | None = None
    labels: dict[str, str] | None = None
    execution_id: str | None = None
    run_id: str | None = None
    parent_run_id: str | None = None
    agent: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    app_version: str | None = None
    retry_wait_us: Count = 0
    speed: str | None = None
    region: str | None = None
    traffic_type: str | None = None
    cost_detail: str | None = None
    list_cost_nusd: Count | None = None
    stated_cost_nusd: Count | None = None
    usage_mismatch: str | None = None
    parent_span_id: bytes | None = None
    api_key_hint: str | None = None

    @property
    def is_unpriced(self) -> bool:
        """Whether there is usage that no price is known for."""
        return self.counted and self.cost_nusd is None and self.is_reported


def project(record: LLMCall | ToolCall) -> Projection:
    """The projection of a finished record, made once."""
    found: Projection | None = record.projection
    if found is None:
        # mypy does not follow `type(...) is`, which is cheaper here than isinstance
        found = _of_llm_call(record) if type(record) is LLMCall else _of_tool_call(record)  # type: ignore[arg-type]
        record.projection = found
    return found


def _of_llm_call(call: LLMCall) -> Projection:
    usage, cost, attempts = call.usage, call.cost, call.attempts
    wait = retry_wait = 0
    if call.unsent_wait_ns or (
        attempts and (len(attempts) > 1 or attempts[0].waited_ns or attempts[0].waited_before_ns)
    ):
        wait = round(call.rate_limit_wait_seconds * 1e6)
        retry_wait = sum(attempt.waited_ns for attempt in attempts if attempt.outcome != "rate_limited") // 1000
    counted = call.counts_usage
    tokens = _NO_TOKENS
    if usage is not None and counted:
        tokens = (
            usage.input_tokens,
            usage.output_tokens,
            usage.details or None,
            usage.tool_uses or None,
            usage.audio_seconds,
        )
    has_more = retry_wait or _more(call) != _NO_MORE or (cost is not None and _more_of_cost(cost) != _NO_MORE_OF_COST)
    return Projection(  # type: ignore[call-arg, misc]  # mypy counts no starred ones
        call.id,
        call.started_unix_ns // 1000,
        "llm",
        *_asked(call),
        (call.ended_ns - call.started_ns) // 1000,
        (call.first_token_ns - call.started_ns) // 1000 if call.first_token_ns else None,
        len(attempts),
        wait,
        call.stream,
        counted,
        *tokens,
        *(_money(cost) if cost is not None and counted else _NO_MONEY),
        *_answered(call),
        *(_rest(call, cost, retry_wait) if has_more else ()),
        api_key_hint=call.api_key_hint or None,
    )


def _rest(call: LLMCall, cost: Cost | None, retry_wait: int) -> tuple[Any, ...]:
    """What most calls have nothing of: the fields from `trace_id` to the last but one."""
    trace_id, counted = call.trace_id, call.counts_usage
    return (
        trace_id.to_bytes(16, "big") if trace_id else None,
        call.span_id.to_bytes(8, "big") if trace_id else None,
        call.parent_id,
        call.labels,
        *(_NO_RUN if call.run is None else run.facts_of(call.run)),
        retry_wait,
        *_priced_by(call),
        *((cost.detail or None, cost.list_nano_usd) if cost is not None and counted else (None, None)),
        call.stated_cost_nano_usd if counted else None,
        call.usage_mismatch,
        call.parent_span_id.to_bytes(8, "big") if call.parent_span_id else None,
    )


_asked: Final = attrgetter("provider", "model", "operation", "outcome", "error_type")
_money: Final = attrgetter("nano_usd", "quality", "source")
_answered: Final = attrgetter("response_model", "api", "service_tier", "finish_reason", "response_id", "request_id")
_priced_by: Final = attrgetter("speed", "region", "traffic_type")
_more: Final = attrgetter(
    *("trace_id", "parent_span_id", "parent_id", "labels", "run", "speed", "region", "traffic_type"),
    *("stated_cost_nano_usd", "usage_mismatch"),
)
_NO_MORE: Final = (0, 0, *(None,) * 8)
_more_of_cost: Final = attrgetter("detail", "list_nano_usd")
_NO_MORE_OF_COST: Final = ("", None)
_NO_RUN: Final = (None,) * len(run.FIELDS)
_NO_TOKENS: Final[tuple[Any, ...]] = (None,) * 5
_NO_MONEY: Final = (None,) * 3


def _of_tool_call(call: ToolCall) -> Projection:
    trace_id = call.trace_id
    of_run: dict[str, Any] = {} if call.run is None else dict(zip(run.FIELDS, run.facts_of(call.run), strict=True))
    return Projection(
        call.id,
        call.started_unix_ns // 1000,
        "mcp",
        call.server_id,
        call.tool_name,
        "execute_tool" if call.side == "client" else "serve_tool",
        call.outcome,  # type: ignore[arg-type]  # finished calls have one
        call.error_kind,
        (call.ended_ns - call.started_ns) // 1000,
        attempts=1,
        response_id=call.call_id,
        trace_id=trace_id.to_bytes(16, "big") if trace_id else None,
        span_id=call.span_id.to_bytes(8, "big") if trace_id else None,
        parent_id=call.parent_id,
        parent_span_id=call.parent_span_id.to_bytes(8, "big") if call.parent_span_id else None,
        labels=call.labels,  # type: ignore[arg-type]  # a mapping; the ledger makes it a dictionary
        **of_run,
    )


def error_text(record: LLMCall | ToolCall) -> str | None:
    """The failure of a record: type and message of an exception, or the text that stands for one; without secrets."""
    error = record.error
    if error is None:
        return None
    text = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error
    return redact(text, keeps_content=bool(record.content))
