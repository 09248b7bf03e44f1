"""ClickHouse's tables, version by version.

No rollup tables: materialised views that add up at insertion count a replayed batch twice, and ClickHouse sums up the
rows themselves faster than the other stores read their rollups (10 million rows in 0.5 s).
"""

from __future__ import annotations

from typing import Final

from tachograph.usage.stores.postgres_schema import (
    ADDED_TYPES,
    ALL_TYPES,
    INDEXED,
    LATER_INDEXED,
    LATER_TYPES,
    USAGE_TYPES,
)
from tachograph.usage.stores.schema import Revision

_KINDS = {"bytea": "FixedString(16)", "bigint": "Int64", "text": "String", "jsonb": "String", "double": "Float64"}


def _kind(name: str, sql: str) -> str:
    kind = "FixedString(8)" if name in ("span_id", "parent_span_id") else _KINDS[sql.split()[0]]
    if "DEFAULT 0" in sql:
        return f"{kind} DEFAULT 0"
    return kind if "NOT NULL" in sql else f"Nullable({kind})"


USAGE_KINDS: Final = {name: _kind(name, sql) for name, sql in ALL_TYPES.items()}
_COLUMNS = ", ".join(f"{name} {USAGE_KINDS[name]}" for name in USAGE_TYPES)
WEEK_US: Final = 7 * 86_400_000_000

REVISIONS: Final = (
    Revision(
        "0001",
        up=(
            f"""CREATE TABLE usage ({_COLUMNS}) ENGINE = ReplacingMergeTree ORDER BY (ts_us, id)
 PARTITION BY intDiv(ts_us, {WEEK_US}) SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1""",
            """CREATE TABLE journal_position (journal String, host String, segment Int64, offset Int64, sequence Int64,
 gone UInt8, rev Int64) ENGINE = ReplacingMergeTree(rev) ORDER BY journal SETTINGS fsync_after_insert = 1""",
            """CREATE TABLE quarantine (at_us Int64, host String, reason String, detail String, records Int64,
 payload String) ENGINE = ReplacingMergeTree ORDER BY (host, reason, detail, payload)
 SETTINGS fsync_after_insert = 1""",
        ),
        down=("DROP TABLE quarantine", "DROP TABLE journal_position", "DROP TABLE usage"),
    ),
    Revision(
        "0002",
        up=(
            """CREATE TABLE usage_adjustment (id FixedString(16), record_id FixedString(16), ts_us Int64, at_us Int64,
 cost_delta_nusd Int64, prices_it Int64, price_source String, reason String)
 ENGINE = ReplacingMergeTree ORDER BY (ts_us, id) SETTINGS fsync_after_insert = 1""",
        ),
        down=("DROP TABLE usage_adjustment",),
    ),
    Revision(
        "0003",
        up=(
            "ALTER TABLE usage " + ", ".join(f"ADD COLUMN {name} {USAGE_KINDS[name]}" for name in ADDED_TYPES),
            "ALTER TABLE usage " + ", ".join(f"ADD INDEX usage_{name} {name} TYPE bloom_filter" for name in INDEXED),
        ),
        down=(
            "ALTER TABLE usage " + ", ".join(f"DROP INDEX usage_{name}" for name in INDEXED),
            "ALTER TABLE usage " + ", ".join(f"DROP COLUMN {name}" for name in ADDED_TYPES),
        ),
    ),
    Revision(
        "0004",
        up=(
            "ALTER TABLE usage " + ", ".join(f"ADD COLUMN {name} {USAGE_KINDS[name]}" for name in LATER_TYPES),
            "ALTER TABLE usage "
            + ", ".join(f"ADD INDEX usage_{name} {name} TYPE bloom_filter" for name in LATER_INDEXED),
        ),
        down=(
            "ALTER TABLE usage " + ", ".join(f"DROP INDEX usage_{name}" for name in LATER_INDEXED),
            "ALTER TABLE usage " + ", ".join(f"DROP COLUMN {name}" for name in LATER_TYPES),
        ),
    ),
)
CREATE_VERSION_TABLE: Final = "CREATE TABLE ledger_version (version_num String) ENGINE = MergeTree ORDER BY version_num"
