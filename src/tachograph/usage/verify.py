"""Checks a ledger against itself and against the metrics: says what differs, and repairs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from tachograph.usage.reports.when import from_microseconds, microseconds
from tachograph.usage.stores.base import Store
from tachograph.usage.stores.query import DAY_US, MEASURES, Query

_BY = ("kind", "provider", "model", "outcome")
_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that is not as it should be.

    Attributes:
        check: `rollups`, `duplicates`, `gap`, `metrics`, `quarantine`.
        where: Which day, provider, model, ...
        what: What differs, with both numbers.
    """

    check: str
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what differs."""

    rows: int
    days: int
    checks: tuple[str, ...]
    differences: tuple[Mismatch, ...]


def verify(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    counters: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
    counting_since: datetime | None = None,
) -> Verified:
    """Check rows against rollups, ids for doubles, days for gaps and, where given, the metrics' counters.

    Args:
        counters: From `counters_of`: by provider and model, `prompt`, `completion`, `nano_usd`, `calls`.
        counting_since: When those counters began at zero; only rows from then on are compared with them.
    """
    since_us, until_us = microseconds(since), microseconds(until)
    since_us -= since_us % DAY_US
    differences: list[Mismatch] = []
    checks = ["rows against rollups", "doubled ids", "days without rows", "quarantine"]
    span = Query(since_us, until_us, by=("day", *_BY))
    raw = {_key(row): row for row in store.usage(replace(span, raw=True))}
    rolled = {_key(row): row for row in store.usage(span) if int(row["day"]) + DAY_US <= until_us}
    for key in sorted({*raw, *rolled}, key=str):
        if int(key[0]) + DAY_US > until_us:
            continue  # the day is not over: rows may be on their way
        for name in MEASURES:
            left = int(raw.get(key, {}).get(name) or 0)
            right = int(rolled.get(key, {}).get(name) or 0)
            if left != right and key in raw:  # rows older than their retention are gone by design
                differences.append(Mismatch("rollups", _named(key), f"{name}: rows say {left}, rollups say {right}"))
    days = sorted({int(key[0]) for key in raw})
    differences += _gaps(days)
    rows, doubled = _ids(store, since_us, until_us)
    if doubled:
        differences.append(Mismatch("duplicates", f"{doubled} ids", "are in more than one row"))
    kept = store.quarantine()
    if kept:
        reasons = ", ".join(sorted({item.reason for item in kept}))
        records = sum(item.records for item in kept)
        differences.append(Mismatch("quarantine", reasons, f"{records} set aside: tachograph ledger quarantine"))
    if counters is not None:
        checks.append("ledger against the metrics' counters")
        differences += _against(store, counters, counting_since or since, until)
    return Verified(rows, len(days), tuple(checks), tuple(differences))


def _key(row: Mapping[str, Any]) -> _Key:
    return (int(row["day"]), *(row[name] for name in _BY))


def _named(key: _Key) -> str:
    return f"{from_microseconds(key[0]):%Y-%m-%d} {key[1]} {key[2]}/{key[3]} {key[4]}"


def _gaps(days: list[int]) -> Iterable[Mismatch]:
    for before, after in pairwise(days):
        missing = (after - before) // DAY_US - 1
        if missing:
            first = from_microseconds(before + DAY_US)
            yield Mismatch("gap", f"{first:%Y-%m-%d}", f"{missing} day(s) without a row between days with rows")


def _ids(store: Store, since_us: int, until_us: int) -> tuple[int, int]:
    seen: set[bytes] = set()
    rows = 0
    for row in store.rows(Query(since_us=since_us, until_us=until_us), adjusted=False):
        rows += 1
        seen.add(row.id)
    return rows, rows - len(seen)


def _against(
    store: Store, counters: Mapping[tuple[str, str], Mapping[str, float]], since: datetime, until: datetime
) -> Iterable[Mismatch]:
    query = Query(
        since_us=microseconds(since),
        until_us=microseconds(until),
        by=("provider", "model"),
        where={"kind": ("llm",)},
        raw=True,
    )
    stored = {(row["provider"], row["model"]): row for row in store.usage(query)}
    for pair in sorted({*stored, *counters}):
        row, counted = stored.get(pair, {}), counters.get(pair, {})
        for name, column in (
            ("calls", "n"),
            ("prompt", "input_tokens"),
            ("completion", "output_tokens"),
            ("nano_usd", "cost_nusd"),
        ):
            left, right = int(row.get(column) or 0), round(counted.get(name, 0.0))
            if left != right:
                yield Mismatch("metrics", "/".join(pair), f"{name}: the ledger says {left}, the counters say {right}")


def counters_of(text: str) -> tuple[dict[tuple[str, str], dict[str, float]], float | None]:
    """The LLM counters of a /metrics page in Prometheus' text format, and when its process started.

    Returns:
        By provider and model: `calls`, `prompt`, `completion`, `nano_usd`; and seconds since the epoch, if stated.
    """
    from tachograph.signals.metrics_text import samples

    found: dict[tuple[str, str], dict[str, float]] = {}
    started: float | None = None
    for name, labels, value in samples(text):
        if name == "process_start_time_seconds":
            started = value if started is None else min(started, value)
            continue
        pair = (labels.get("provider", ""), labels.get("model", ""))
        key, factor = {
            "llm_call_seconds_count": ("calls", 1.0),
            "llm_provider_tokens_total": (labels.get("type", ""), 1.0),
            "llm_provider_cost_usd_total": ("nano_usd", 1e9),
        }.get(name, ("", 0.0))
        if key:
            own = found.setdefault(pair, {})
            own[key] = own.get(key, 0.0) + value * factor
    return {pair: own for pair, own in found.items() if any(own.values())}, started
