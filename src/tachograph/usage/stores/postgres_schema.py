"""PostgreSQL's tables, version by version. Rows are partitioned by the UTC day of the call; see `postgres.py`."""

from __future__ import annotations

from typing import Final

from tachograph.usage.stores.query import MEASURES
from tachograph.usage.stores.schema import Revision

USAGE_TYPES: Final[dict[str, str]] = {
    "id": "bytea NOT NULL CHECK (length(id) = 16)",
    "ts_us": "bigint NOT NULL",
    "kind": "text NOT NULL",
    "provider": "text NOT NULL",
    "model": "text NOT NULL",
    "operation": "text NOT NULL",
    "outcome": "text NOT NULL",
    "error_type": "text",
    "latency_us": "bigint NOT NULL",
    "latency_bucket": "bigint NOT NULL",
    "ttft_us": "bigint",
    "attempts": "bigint NOT NULL",
    "wait_us": "bigint NOT NULL",
    "stream": "bigint NOT NULL",
    "counted": "bigint NOT NULL",
    "input_tokens": "bigint",
    "output_tokens": "bigint",
    "cache_read_tokens": "bigint",
    "cache_write_tokens": "bigint",
    "reasoning_tokens": "bigint",
    "details": "jsonb",
    "tool_uses": "jsonb",
    "audio_seconds": "double precision",
    "cost_nusd": "bigint",
    "cost_quality": "text",
    "price_source": "text",
    "unpriced": "bigint NOT NULL",
    "usage_missing": "bigint NOT NULL",
    "response_model": "text",
    "api": "text",
    "service_tier": "text",
    "finish_reason": "text",
    "response_id": "text",
    "request_id": "text",
    "trace_id": "bytea",
    "span_id": "bytea",
    "parent_id": "bytea",
    "labels": "jsonb",
    "rollup_labels": "text NOT NULL",
    "ingested_us": "bigint NOT NULL",
}
"""The columns of version 0001."""

ADDED_TYPES: Final[dict[str, str]] = {
    "execution_id": "text",
    "run_id": "text",
    "parent_run_id": "text",
    "agent": "text",
    "session_id": "text",
    "user_id": "text",
    "app_version": "text",
    "retry_wait_us": "bigint NOT NULL DEFAULT 0",
    "speed": "text",
    "region": "text",
    "traffic_type": "text",
    "cost_detail": "text",
    "list_cost_nusd": "bigint",
    "stated_cost_nusd": "bigint",
    "usage_mismatch": "text",
}
"""The columns that version 0003 added."""
LATER_TYPES: Final[dict[str, str]] = {"parent_span_id": "bytea", "api_key_hint": "text"}
"""The columns that version 0004 added."""
ALL_TYPES: Final[dict[str, str]] = {**USAGE_TYPES, **ADDED_TYPES, **LATER_TYPES}
INDEXED: Final = ("execution_id", "run_id", "parent_run_id", "session_id", "user_id")
"""Of these, the ones that name few rows among many; rows without them are not in the index."""
LATER_INDEXED: Final = ("agent", "app_version")
"""What version 0004 added to them: a report of one agent, and one version beside the one before."""

_COLUMNS = ", ".join(f"{name} {kind}" for name, kind in USAGE_TYPES.items())
_MEASURES = ", ".join(f"{name} bigint NOT NULL" for name in MEASURES)

_CREATE = (
    f"CREATE TABLE usage ({_COLUMNS}, PRIMARY KEY (ts_us, id)) PARTITION BY RANGE (ts_us)",
    "CREATE TABLE usage_default PARTITION OF usage DEFAULT",
    f"""CREATE TABLE usage_rollup (level integer NOT NULL, start_us bigint NOT NULL, kind text NOT NULL,
 provider text NOT NULL, model text NOT NULL, operation text NOT NULL, outcome text NOT NULL, error_type text NOT NULL,
 labels text NOT NULL, {_MEASURES},
 PRIMARY KEY (level, start_us, kind, provider, model, operation, outcome, error_type, labels))""",
    """CREATE TABLE latency_rollup (level integer NOT NULL, start_us bigint NOT NULL, kind text NOT NULL,
 provider text NOT NULL, model text NOT NULL, outcome text NOT NULL, bucket bigint NOT NULL, n bigint NOT NULL,
 PRIMARY KEY (level, start_us, kind, provider, model, outcome, bucket))""",
    """CREATE TABLE journal_position (journal text PRIMARY KEY, host text NOT NULL, segment bigint NOT NULL,
 "offset" bigint NOT NULL, sequence bigint NOT NULL, at_us bigint NOT NULL)""",
    """CREATE TABLE quarantine (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at_us bigint NOT NULL,
 host text NOT NULL, reason text NOT NULL, detail text NOT NULL, records bigint NOT NULL, payload bytea NOT NULL)""",
)

REVISIONS: Final = (
    Revision(
        "0001",
        up=_CREATE,
        down=(
            "DROP TABLE quarantine",
            "DROP TABLE journal_position",
            "DROP TABLE latency_rollup",
            "DROP TABLE usage_rollup",
            "DROP TABLE usage",
        ),
    ),
    Revision(
        "0002",
        up=(
            """CREATE TABLE usage_adjustment (id bytea NOT NULL PRIMARY KEY CHECK (length(id) = 16),
 record_id bytea NOT NULL, ts_us bigint NOT NULL, at_us bigint NOT NULL, cost_delta_nusd bigint NOT NULL,
 prices_it bigint NOT NULL, price_source text NOT NULL, reason text NOT NULL)""",
            "CREATE INDEX usage_adjustment_ts ON usage_adjustment (ts_us)",
            "CREATE INDEX usage_adjustment_record ON usage_adjustment (record_id)",
        ),
        down=("DROP TABLE usage_adjustment",),
    ),
    Revision(
        "0003",
        up=(
            "ALTER TABLE usage " + ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in ADDED_TYPES.items()),
            *(f"CREATE INDEX usage_{name} ON usage ({name}) WHERE {name} IS NOT NULL" for name in INDEXED),
        ),
        down=("ALTER TABLE usage " + ", ".join(f"DROP COLUMN {name}" for name in ADDED_TYPES),),
    ),
    Revision(
        "0004",
        up=(
            "ALTER TABLE usage " + ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in LATER_TYPES.items()),
            *(f"CREATE INDEX usage_{name} ON usage ({name}) WHERE {name} IS NOT NULL" for name in LATER_INDEXED),
        ),
        down=(
            *(f"DROP INDEX usage_{name}" for name in LATER_INDEXED),
            "ALTER TABLE usage " + ", ".join(f"DROP COLUMN {name}" for name in LATER_TYPES),
        ),
    ),
)
