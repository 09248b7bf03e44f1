"""One ledger row: what is kept of a finished call, and how it is written down in a journal.

A row is one call as the application asked for it, retries included: an LLM call (`kind` "llm") or a tool execution
("mcp", where `provider` is the server's id and `model` the tool's name). Sums over rows equal the metrics' counters.
"""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec

from tachograph.records.llm_call import LLMCall
from tachograph.records.tool_call import ToolCall

INT64: Final = 2**63 - 1
LAST_TS_US: Final = 253_402_300_799_999_999
"""The end of the year 9999, the last moment that every store can hold."""

Count = Annotated[int, msgspec.Meta(ge=0, le=INT64)]
TsUs = Annotated[int, msgspec.Meta(ge=0, le=LAST_TS_US)]


class Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A call as the ledger keeps it. The order of the fields is the wire format of journals: only ever append.

    Attributes:
        id: 16 bytes, made once, at the call; storing it twice changes nothing.
        ts_us: UTC, when the call began, microseconds since the epoch.
        counted: False where another row already counts these tokens; then there are no tokens and no cost here.
        input_tokens, output_tokens: The whole prompt and the whole completion; None: not reported.
        details: Parts of the two, never to be added to them.
        cost_nusd: Billionths of a US dollar; None: unpriced, which is not zero.
        price_source: Which prices: the version that a correction compares with.
        latency_us, ttft_us: From the asking to the end, and to the first content.
        wait_us: Slept because of rate limits.
        labels: The user's own; hashed where the settings say so.
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

    @property
    def is_reported(self) -> bool:
        """Whether the vendor reported any usage."""
        return self.input_tokens is not None or self.output_tokens is not None or self.audio_seconds is not None

    @property
    def is_unpriced(self) -> bool:
        """Whether there is usage that no price is known for."""
        return self.counted and self.cost_nusd is None and self.is_reported

    @property
    def is_usage_missing(self) -> bool:
        """Whether the call should have had usage and reported none."""
        return self.kind == "llm" and self.counted and not self.is_reported and self.outcome in ("success", "cancelled")


_decode: Final = msgspec.msgpack.Decoder(Row).decode
_decode_any: Final = msgspec.msgpack.Decoder().decode
encode: Final = msgspec.msgpack.Encoder().encode
"""The bytes of a row, or of its fields in order."""


def llm_values(call: LLMCall, labels: dict[str, str] | None) -> tuple[Any, ...]:
    """The fields of a call's row, in order. Called on the call's own path: keep it flat."""
    usage, cost, attempts = call.usage, call.cost, call.attempts
    wait = 0
    if call.unsent_wait_ns or (
        attempts and (len(attempts) > 1 or attempts[0].waited_ns or attempts[0].waited_before_ns)
    ):
        wait = round(call.rate_limit_wait_seconds * 1e6)
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
    trace_id = call.trace_id
    return (
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
        trace_id.to_bytes(16, "big") if trace_id else None,
        call.span_id.to_bytes(8, "big") if trace_id else None,
        call.parent_id,
        labels,
    )


_asked: Final = attrgetter("provider", "model", "operation", "outcome", "error_type")
_money: Final = attrgetter("nano_usd", "quality", "source")
_answered: Final = attrgetter("response_model", "api", "service_tier", "finish_reason", "response_id", "request_id")
_NO_TOKENS: Final[tuple[Any, ...]] = (None,) * 5
_NO_MONEY: Final = (None,) * 3


def tool_values(call: ToolCall, labels: dict[str, str] | None) -> tuple[Any, ...]:
    """The fields of a tool execution's row, in order."""
    trace_id = call.trace_id
    return (
        call.id,
        call.started_unix_ns // 1000,
        "mcp",
        call.server_id,
        call.tool_name,
        "execute_tool" if call.side == "client" else "serve_tool",
        call.outcome,
        call.error_kind,
        (call.ended_ns - call.started_ns) // 1000,
        None,
        1,
        0,
        False,
        True,
        *((None,) * 12),
        call.call_id,
        None,
        trace_id.to_bytes(16, "big") if trace_id else None,
        call.span_id.to_bytes(8, "big") if trace_id else None,
        call.parent_id,
        labels,
    )


def encode_oddities(values: tuple[Any, ...]) -> bytes:
    """The bytes of a row's fields that hold what `encode` does not take: as text.

    Raises:
        ValueError, TypeError, OverflowError: They cannot be written down, not even as text.
    """
    return encode(tuple(_plain(value) for value in values))


def decode(payload: bytes) -> Row:
    """The row of these bytes.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: They are none.
    """
    try:
        return _decode(payload)
    except msgspec.ValidationError:
        values = _decode_any(payload)
        if not isinstance(values, list):
            raise
        return msgspec.convert([_convertible(value) for value in values], Row, strict=False)


def _convertible(value: Any) -> Any:
    """Labels that are not text become text."""
    if isinstance(value, dict) and not all(isinstance(item, int) for item in value.values()):
        return {str(key): item if isinstance(item, str) else str(item) for key, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    """Text that any store can hold, in place of what a client library put there (lone surrogates, enums)."""
    if value is None or isinstance(value, bool | float | bytes):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    return str(value).encode("utf-8", "replace").decode()


GAMMA: Final = 1.02
"""Neighbouring latency buckets differ by 2 %, so a percentile read from them is at most 1 % off."""
_PER_LOG: Final = 1 / math.log(GAMMA)


def latency_bucket(microseconds: int) -> int:
    """The log bucket of a latency: bucket b holds (GAMMA^(b-1), GAMMA^b] microseconds; 0 holds 0 and 1."""
    return math.ceil(math.log(microseconds) * _PER_LOG - 1e-9) if microseconds > 1 else 0


def bucket_seconds(bucket: int) -> float:
    """The middle of a latency bucket (in ratio), in seconds."""
    return float(GAMMA ** (bucket - 0.5)) / 1e6 if bucket > 0 else 1e-6
