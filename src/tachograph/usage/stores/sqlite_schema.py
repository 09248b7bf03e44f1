"""SQLite's tables, version by version. A fresh store runs all of it, `tachograph ledger migrate` what is missing."""

from __future__ import annotations

from typing import Final

from tachograph.usage.stores.postgres_schema import ADDED_TYPES, INDEXED, LATER_INDEXED, LATER_TYPES
from tachograph.usage.stores.schema import Revision

_MEASURES = """
 n INTEGER NOT NULL, attempts INTEGER NOT NULL, wait_us INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
 output_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
 reasoning_tokens INTEGER NOT NULL, cost_nusd INTEGER NOT NULL, estimated_nusd INTEGER NOT NULL,
 unpriced INTEGER NOT NULL, usage_missing INTEGER NOT NULL, latency_us INTEGER NOT NULL"""

_CREATE = (
    """CREATE TABLE usage(
 seq INTEGER PRIMARY KEY,
 id BLOB NOT NULL UNIQUE CHECK(length(id) = 16),
 ts_us INTEGER NOT NULL,
 kind TEXT NOT NULL,
 provider TEXT NOT NULL,
 model TEXT NOT NULL,
 operation TEXT NOT NULL,
 outcome TEXT NOT NULL,
 error_type TEXT,
 latency_us INTEGER NOT NULL,
 latency_bucket INTEGER NOT NULL,
 ttft_us INTEGER,
 attempts INTEGER NOT NULL,
 wait_us INTEGER NOT NULL,
 stream INTEGER NOT NULL,
 counted INTEGER NOT NULL,
 input_tokens INTEGER,
 output_tokens INTEGER,
 cache_read_tokens INTEGER,
 cache_write_tokens INTEGER,
 reasoning_tokens INTEGER,
 details TEXT,
 tool_uses TEXT,
 audio_seconds REAL,
 cost_nusd INTEGER,
 cost_quality TEXT,
 price_source TEXT,
 unpriced INTEGER NOT NULL,
 usage_missing INTEGER NOT NULL,
 response_model TEXT,
 api TEXT,
 service_tier TEXT,
 finish_reason TEXT,
 response_id TEXT,
 request_id TEXT,
 trace_id BLOB,
 span_id BLOB,
 parent_id BLOB,
 labels TEXT,
 rollup_labels TEXT NOT NULL,
 ingested_us INTEGER NOT NULL) STRICT""",
    "CREATE INDEX usage_ts ON usage(ts_us)",
    f"""CREATE TABLE usage_rollup(
 level INTEGER NOT NULL, start_us INTEGER NOT NULL, kind TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
 operation TEXT NOT NULL, outcome TEXT NOT NULL, error_type TEXT NOT NULL, labels TEXT NOT NULL,{_MEASURES},
 PRIMARY KEY(level, start_us, kind, provider, model, operation, outcome, error_type, labels)) WITHOUT ROWID, STRICT""",
    """CREATE TABLE latency_rollup(
 level INTEGER NOT NULL, start_us INTEGER NOT NULL, kind TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
 outcome TEXT NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL,
 PRIMARY KEY(level, start_us, kind, provider, model, outcome, bucket)) WITHOUT ROWID, STRICT""",
    """CREATE TABLE journal_position(
 journal TEXT PRIMARY KEY, host TEXT NOT NULL, segment INTEGER NOT NULL, "offset" INTEGER NOT NULL,
 sequence INTEGER NOT NULL, at_us INTEGER NOT NULL) WITHOUT ROWID, STRICT""",
    """CREATE TABLE quarantine(
 seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, host TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
 records INTEGER NOT NULL, payload BLOB NOT NULL) STRICT""",
)
_ADJUSTMENTS = (
    """CREATE TABLE usage_adjustment(
 id BLOB NOT NULL PRIMARY KEY CHECK(length(id) = 16), record_id BLOB NOT NULL, ts_us INTEGER NOT NULL,
 at_us INTEGER NOT NULL, cost_delta_nusd INTEGER NOT NULL, prices_it INTEGER NOT NULL, price_source TEXT NOT NULL,
 reason TEXT NOT NULL) STRICT""",
    "CREATE INDEX usage_adjustment_ts ON usage_adjustment(ts_us)",
    "CREATE INDEX usage_adjustment_record ON usage_adjustment(record_id)",
)


def _kind(sql: str) -> str:
    return sql.replace("bigint", "INTEGER").replace("text", "TEXT").replace("bytea", "BLOB")


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
    Revision("0002", up=_ADJUSTMENTS, down=("DROP TABLE usage_adjustment",)),
    Revision(
        "0003",
        up=(
            *(f"ALTER TABLE usage ADD COLUMN {name} {_kind(sql)}" for name, sql in ADDED_TYPES.items()),
            *(f"CREATE INDEX usage_{name} ON usage({name}) WHERE {name} IS NOT NULL" for name in INDEXED),
        ),
        down=(
            *(f"DROP INDEX usage_{name}" for name in INDEXED),
            *(f"ALTER TABLE usage DROP COLUMN {name}" for name in ADDED_TYPES),
        ),
    ),
    Revision(
        "0004",
        up=(
            *(f"ALTER TABLE usage ADD COLUMN {name} {_kind(sql)}" for name, sql in LATER_TYPES.items()),
            *(f"CREATE INDEX usage_{name} ON usage({name}) WHERE {name} IS NOT NULL" for name in LATER_INDEXED),
        ),
        down=(
            *(f"DROP INDEX usage_{name}" for name in LATER_INDEXED),
            *(f"ALTER TABLE usage DROP COLUMN {name}" for name in LATER_TYPES),
        ),
    ),
)
