"""Settings of the usage ledger."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]


class LedgerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How usage records are kept.

    Attributes:
        enabled: Keep a ledger at all.
        url: `sqlite:///path`, `postgresql://user@host/database` or `clickhouse://host:8123/database`; None: a SQLite
            file in `data_dir`.
        data_dir: Where journals (and the SQLite file) are; None: the platform's directory for an application's data.
        mode: `journal` survives the death of the process; `memory` does not and needs no files.
        writer: `in_process`, or `external` where `tachograph ledger writer` runs beside the application.
        queue_limit: Most records that wait in memory (`memory` only).
        spool_limit_mb: Most megabytes of journals on this host; past it records are refused and counted.
        segment_mb: A journal's file is closed and the next begun after so many megabytes.
        batch_limit: Most records in one transaction.
        interval_seconds: Rows gather for so long before they are stored; they are safe in the journal meanwhile.
        timeout_seconds: A store that does not answer for so long is cut off.
        exit_seconds: Longest that an ending process waits for its last records to be stored.
        rollup_labels: Your labels that rollups are kept by; reports by them are fast and outlive the rows.
        hash_labels: Labels whose values are kept only as keyed hashes.
        hash_key: The key for that.
        keep_rows_days, keep_hours_days, keep_days_days: For how long rows, hourly and daily rollups are kept;
            None: forever.
    """

    enabled: bool = True
    url: str | None = None
    data_dir: str | None = None
    mode: Literal["journal", "memory"] = "journal"
    writer: Literal["in_process", "external"] = "in_process"
    queue_limit: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    spool_limit_mb: Annotated[float, msgspec.Meta(gt=0)] = 1024
    segment_mb: Annotated[float, msgspec.Meta(gt=0, le=1024)] = 4
    batch_limit: Annotated[int, msgspec.Meta(ge=1, le=50_000)] = 2000
    interval_seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] = 5.0
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 10.0
    exit_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 2.0
    rollup_labels: tuple[str, ...] = ("team", "feature")
    hash_labels: tuple[str, ...] = ()
    hash_key: str | None = None
    keep_rows_days: Days | None = 90
    keep_hours_days: Days | None = 400
    keep_days_days: Days | None = None
