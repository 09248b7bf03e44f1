"""The columns of the table `usage`, the same in every store, and how a row becomes their values and comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from tachograph.usage.row import Row, latency_bucket

COLUMNS: Final[tuple[str, ...]] = (
    "id",
    "ts_us",
    "kind",
    "provider",
    "model",
    "operation",
    "outcome",
    "error_type",
    "latency_us",
    "latency_bucket",
    "ttft_us",
    "attempts",
    "wait_us",
    "stream",
    "counted",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "details",
    "tool_uses",
    "audio_seconds",
    "cost_nusd",
    "cost_quality",
    "price_source",
    "unpriced",
    "usage_missing",
    "response_model",
    "api",
    "service_tier",
    "finish_reason",
    "response_id",
    "request_id",
    "trace_id",
    "span_id",
    "parent_id",
    "labels",
    "rollup_labels",
    "ingested_us",
    "execution_id",
    "run_id",
    "parent_run_id",
    "agent",
    "session_id",
    "user_id",
    "app_version",
    "retry_wait_us",
    "speed",
    "region",
    "traffic_type",
    "cost_detail",
    "list_cost_nusd",
    "stated_cost_nusd",
    "usage_mismatch",
    "parent_span_id",
    "api_key_hint",
)
"""Beside the row's own: three parts of the tokens as columns, the latency's bucket, two flags that rollups sum up,
the labels that rollups are kept by as JSON with sorted keys, and when the row was stored."""

_json: Final = msgspec.json.Encoder(order="deterministic").encode


def json_text(value: dict[str, Any] | None) -> str | None:
    """JSON with sorted keys, or None."""
    return _json(value).decode() if value else None


def _clean(text: str | None) -> str | None:
    """Text without NUL, which PostgreSQL cannot hold: every store gets the same."""
    return text.replace("\0", "\ufffd") if text is not None and "\0" in text else text


class _Cleaned(dict[str | None, str | None]):
    """Texts of which there are few, cleaned once."""

    def __missing__(self, text: str | None) -> str | None:
        if len(self) > _REMEMBERED:
            self.clear()
        found = self[text] = _clean(text)
        return found


_REMEMBERED: Final = 10_000


def rollup_texts(rollup_labels: Sequence[str]) -> Callable[[dict[str, str]], str]:
    """A function from a row's labels to those that rollups are kept by, as the column `rollup_labels` has them."""
    wanted = tuple(rollup_labels)
    texts: dict[tuple[str | None, ...], str] = {}

    def rollup_text(labels: dict[str, str]) -> str:
        key = tuple(map(labels.get, wanted))
        text = texts.get(key)
        if text is None:
            if len(texts) > _REMEMBERED:
                texts.clear()
            found = {name: value for name, value in zip(wanted, key, strict=True) if value is not None}
            text = texts[key] = json_text(found) or "{}"
        return text

    return rollup_text


def values_of(rollup_labels: Sequence[str]) -> Callable[[Row, int], tuple[Any, ...]]:
    """A function from a row, and the time it is stored, to the values of `COLUMNS`."""
    rollup_text = rollup_texts(rollup_labels)
    clean = _Cleaned()

    def values(row: Row, ingested_us: int) -> tuple[Any, ...]:
        labels, details, tool_uses = row.labels, row.details, row.tool_uses
        input_tokens, cost_nusd, response_id, request_id = (
            row.input_tokens,
            row.cost_nusd,
            row.response_id,
            row.request_id,
        )
        labels_text, rollup = None, "{}"
        if labels:
            labels_text = _json(labels).decode()
            if "\\u0000" in labels_text:  # unless there is a backslash before it, and then this changes nothing
                labels = {str(_clean(key)): str(_clean(value)) for key, value in labels.items()}
                labels_text = _json(labels).decode()
            rollup = rollup_text(labels)
        details_text = cache_read = cache_write = reasoning = None
        if details:
            details_text = _json(details).decode()
            part = details.get
            cache_read, cache_write, reasoning = part("cache_read"), part("cache_write"), part("reasoning")
        return (
            row.id,
            row.ts_us,
            row.kind,
            clean[row.provider],
            clean[row.model],
            clean[row.operation],
            row.outcome,
            row.error_type,
            row.latency_us,
            latency_bucket(row.latency_us),
            row.ttft_us,
            row.attempts,
            row.wait_us,
            1 if row.stream else 0,
            1 if row.counted else 0,
            input_tokens,
            row.output_tokens,
            cache_read,
            cache_write,
            reasoning,
            details_text,
            _json(tool_uses).decode() if tool_uses else None,
            row.audio_seconds,
            cost_nusd,
            row.cost_quality,
            row.price_source,
            1 if cost_nusd is None and row.is_unpriced else 0,
            1 if input_tokens is None and row.is_usage_missing else 0,
            clean[row.response_model],
            row.api,
            clean[row.service_tier],
            clean[row.finish_reason],
            response_id if response_id is None or "\0" not in response_id else _clean(response_id),
            request_id if request_id is None or "\0" not in request_id else _clean(request_id),
            row.trace_id,
            row.span_id,
            row.parent_id,
            labels_text,
            rollup,
            ingested_us,
            *_added(row),
        )

    return values


ADDED: Final[tuple[str, ...]] = COLUMNS[COLUMNS.index("ingested_us") + 1 :]
"""The columns of versions 0003 and 0004: the run that a call belongs to, what its price depends on, its place in its
trace, and which key paid."""
SUBJECTS: Final = ("user_id", "session_id")
"""Columns that name a person: `erase` takes them beside labels."""
FORGET: Final = ", ".join(
    f"{name} = NULL"
    for name in (
        *("response_id", "request_id", "trace_id", "span_id", "parent_id", "parent_span_id"),
        *("execution_id", "run_id", "parent_run_id", "session_id", "user_id"),
    )
)
"""What an erased row loses beside its labels."""
_get_added: Final = attrgetter(*ADDED)


def _added(row: Row) -> list[Any]:
    return [_clean(value) if type(value) is str else value for value in _get_added(row)]


ROW_COLUMNS: Final[tuple[str, ...]] = tuple(name for name in Row.__struct_fields__)
"""What `row_from` takes, in order; every one is a column."""

_JSON_FIELDS: Final = tuple(ROW_COLUMNS.index(name) for name in ("details", "tool_uses", "labels"))
_BOOL_FIELDS: Final = tuple(ROW_COLUMNS.index(name) for name in ("stream", "counted"))
_BYTES_FIELDS: Final = tuple(
    ROW_COLUMNS.index(name) for name in ("id", "trace_id", "span_id", "parent_id", "parent_span_id")
)


def row_from(values: Sequence[Any]) -> Row:
    """The row of what a store gave back for `ROW_COLUMNS`."""
    fields = list(values)
    for index in _JSON_FIELDS:
        value = fields[index]
        if isinstance(value, str | bytes):
            fields[index] = msgspec.json.decode(value) if value else None
    for index in _BOOL_FIELDS:
        fields[index] = bool(fields[index])
    for index in _BYTES_FIELDS:
        if fields[index] is not None:
            fields[index] = bytes(fields[index])
    return Row(*fields)
