"""One report: sums, money and latency of a time range, by any dimensions the ledger has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from tachograph.usage.reports.when import from_microseconds, microseconds
from tachograph.usage.row import bucket_seconds
from tachograph.usage.stores.base import Store
from tachograph.usage.stores.histograms import Histograms
from tachograph.usage.stores.query import MEASURES, Query, latency_needs_rows

PERCENTILES: Final = (50, 95, 99)
CALLS: Final = ("llm", "mcp")
"""Rows of other kinds (`waste`) name money that is in a call's row already."""
_TIMES: Final = ("hour", "day")
MOST_ROWS: Final = 100_000
"""Rollups know no labels for latencies. Out of rows percentiles take some 0.3 s for so many calls."""
_NOT_ERRORS: Final = ("success", "cancelled")


@dataclass(slots=True)
class Line:
    """Sums of one group.

    Attributes:
        key: The group's values, in the order of the report's dimensions; times are datetimes (UTC).
        calls, errors, cancelled: Calls; those that failed; those that the application gave up.
        attempts: Requests on the wire.
        wait_seconds: Slept because of rate limits.
        cost_usd: Exact, corrections included; unpriced calls add nothing to it and are counted in `unpriced`.
        estimated_usd: The part of it that is only estimated.
        unpriced, usage_missing: Calls whose cost is unknown; calls that reported no usage.
        latency_seconds: By percentile, of successful calls; at most 1 % off.
    """

    key: tuple[Any, ...]
    calls: int = 0
    errors: int = 0
    cancelled: int = 0
    attempts: int = 0
    wait_seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0
    estimated_nano_usd: int = 0
    unpriced: int = 0
    usage_missing: int = 0
    mean_seconds: float = 0.0
    latency_seconds: dict[int, float] = field(default_factory=dict)

    @property
    def cost_usd(self) -> Decimal:
        """US dollars, exact."""
        return Decimal(self.cost_nano_usd).scaleb(-9)

    @property
    def estimated_usd(self) -> Decimal:
        """The estimated part, exact."""
        return Decimal(self.estimated_nano_usd).scaleb(-9)


@dataclass(frozen=True, slots=True)
class Report:
    """Lines in order, and their total."""

    since: datetime
    until: datetime
    by: tuple[str, ...]
    lines: tuple[Line, ...]
    total: Line


def report(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    by: Sequence[str] = (),
    where: Mapping[str, Sequence[str]] | None = None,
    latency: bool | None = None,
) -> Report:
    """Sum the ledger up.

    Args:
        store: From `tachograph.usage.stores.open_store(url, read_only=True)`.
        since, until: Aware; half open. Where rollups answer, they are widened to whole hours.
        by: `provider`, `model`, `operation`, `outcome`, `error_type`, `kind`, `hour`, `day`, `response_model`, ...,
            `label:NAME`.
        where: Dimension to the values that count; calls alone (`kind` llm and mcp) unless it says another kind.
        latency: Whether percentiles are wanted. None: where rollups have them, and out of the rows of at most
            `MOST_ROWS` calls; the total has them in any case.

    Raises:
        QueryError: A dimension that the ledger does not have.
        StoreUnavailable: The store does not answer.
    """
    query_where = {"kind": CALLS, **{name: tuple(values) for name, values in (where or {}).items()}}
    span = Query(microseconds(since), microseconds(until), where=query_where)
    dimensions = tuple(by)
    groups: dict[tuple[Any, ...], Line] = {}
    total = Line(())
    asked = dimensions if "outcome" in dimensions else (*dimensions, "outcome")
    for row in store.usage(replace(span, by=asked)):
        key = tuple(row[name] for name in dimensions)
        line = groups.setdefault(key, Line(tuple(_shown(name, value) for name, value in zip(by, key, strict=True))))
        for target in (line, total):
            _add(target, row)
    for line in (*groups.values(), total):
        line.mean_seconds = line.mean_seconds / line.calls if line.calls else 0.0
    if latency or latency is None:
        of_total = replace(span, where={"outcome": ("success",), **query_where})
        of_lines = replace(of_total, by=dimensions)
        if latency or total.calls <= MOST_ROWS or not latency_needs_rows(of_lines):
            _add_latency(store.histograms(of_lines), groups, total)
        elif not latency_needs_rows(of_total):
            _add_latency(store.histograms(of_total), {}, total)
    ordered = sorted(groups.items(), key=lambda item: _order(dimensions, item))
    return Report(since, until, dimensions, tuple(line for _, line in ordered), total)


def _add(line: Line, row: Mapping[str, Any]) -> None:
    sums = {name: int(row[name] or 0) for name in MEASURES}
    line.calls += sums["n"]
    if row["outcome"] == "cancelled":
        line.cancelled += sums["n"]
    elif row["outcome"] not in _NOT_ERRORS:
        line.errors += sums["n"]
    line.attempts += sums["attempts"]
    line.wait_seconds += sums["wait_us"] / 1e6
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"):
        setattr(line, name, getattr(line, name) + sums[name])
    line.cost_nano_usd += sums["cost_nusd"]
    line.estimated_nano_usd += sums["estimated_nusd"]
    line.unpriced += sums["unpriced"]
    line.usage_missing += sums["usage_missing"]
    line.mean_seconds += sums["latency_us"] / 1e6  # a sum until all rows are in


def _add_latency(found: Histograms, groups: Mapping[tuple[Any, ...], Line], total: Line) -> None:
    everything: dict[int, int] = {}
    for counts in found.values():
        for bucket, n in counts.items():
            everything[bucket] = everything.get(bucket, 0) + n
    for key, line in groups.items():
        line.latency_seconds = percentiles(found.get(key, {}))
    total.latency_seconds = percentiles(everything)


def percentiles(buckets: Mapping[int, int]) -> dict[int, float]:
    """Seconds at each of `PERCENTILES`, from counts by latency bucket; empty when nothing was counted."""
    whole = sum(buckets.values())
    if not whole:
        return {}
    found: dict[int, float] = {}
    passed = 0
    wanted = list(PERCENTILES)
    for bucket in sorted(buckets):
        passed += buckets[bucket]
        while wanted and passed * 100 >= wanted[0] * whole:
            found[wanted.pop(0)] = bucket_seconds(bucket)
    return found


def _shown(name: str, value: Any) -> object:  # noqa: ANN401 - a column's value
    return from_microseconds(int(value)) if name in _TIMES else value


def _order(dimensions: tuple[str, ...], item: tuple[tuple[Any, ...], Line]) -> tuple[Any, ...]:
    """Times in order, and within them the dearest and busiest first."""
    key, line = item
    times = tuple(int(value) for name, value in zip(dimensions, key, strict=True) if name in _TIMES)
    return (*times, -line.cost_nano_usd, -line.calls, tuple(str(value) for value in key))
