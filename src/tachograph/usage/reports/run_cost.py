"""What one run, or one execution with all its runs, cost: calls, tokens, money, waits, tools, errors, critical path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tachograph.usage.row import Row
from tachograph.usage.stores.base import Store
from tachograph.usage.stores.query import Query

MOST_RUNS: Final = 10_000
"""Runs inside a run that are followed."""


@dataclass(slots=True)
class RunCost:
    """Sums over the calls and tool calls of runs.

    Attributes:
        runs: Their ids.
        calls, tool_calls, errors: Cancelled ones are not errors.
        cost_nano_usd: Exact; `unpriced` calls are not in it.
        wait_seconds, retry_wait_seconds: Slept because of rate limits, and before trying again for other reasons.
        seconds: From the first call's beginning to the last one's end.
        critical_path: The chain of calls, each begun after the one before it had ended, that ends last: what the run
            waited for. `critical_seconds` is their sum.
    """

    runs: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    calls: int = 0
    tool_calls: int = 0
    errors: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int = 0
    unpriced: int = 0
    wait_seconds: float = 0.0
    retry_wait_seconds: float = 0.0
    seconds: float = 0.0
    critical_seconds: float = 0.0
    critical_path: list[Row] = field(default_factory=list)
    by_model: dict[str, int] = field(default_factory=dict)

    @property
    def cost_usd(self) -> Decimal:
        """US dollars, exact."""
        return Decimal(self.cost_nano_usd).scaleb(-9)


def rows_where(store: Store, where: Mapping[str, Sequence[str]]) -> list[Row]:
    """The calls and tool calls that match, oldest first, corrections included."""
    conditions = {**{name: tuple(values) for name, values in where.items()}, "kind": ("llm", "mcp")}
    return list(store.rows(Query(where=conditions, raw=True)))


def rows_of(store: Store, identity: str) -> list[Row]:
    """The rows of a run, or of an execution, and of the runs inside, oldest first."""
    found = {row.id: row for row in rows_where(store, {"execution_id": (identity,)})}
    seen: set[str] = set()
    waiting = {identity, *(row.run_id for row in found.values() if row.run_id)}
    while waiting and len(seen) < MOST_RUNS:
        runs = tuple(sorted(waiting))[:500]
        seen.update(runs)
        rows = [*rows_where(store, {"run_id": runs}), *rows_where(store, {"parent_run_id": runs})]
        found.update((row.id, row) for row in rows)
        waiting = (waiting | {row.run_id for row in rows if row.run_id}) - seen
    return sorted(found.values(), key=lambda row: (row.ts_us, row.id))


def cost_of(rows: Iterable[Row]) -> RunCost:
    """Add rows up."""
    total = RunCost()
    every = list(rows)
    for row in every:
        if row.run_id:
            total.runs.add(row.run_id)
        if row.agent:
            total.agents.add(row.agent)
        total.errors += row.outcome not in ("success", "cancelled")
        if row.kind != "llm":
            total.tool_calls += 1
            continue
        total.calls += 1
        total.attempts += row.attempts
        total.input_tokens += row.input_tokens or 0
        total.output_tokens += row.output_tokens or 0
        total.cost_nano_usd += row.cost_nusd or 0
        total.unpriced += row.is_unpriced
        total.wait_seconds += row.wait_us / 1e6
        total.retry_wait_seconds += row.retry_wait_us / 1e6
        total.by_model[row.model] = total.by_model.get(row.model, 0) + (row.cost_nusd or 0)
    if every:
        began = min(row.ts_us for row in every)
        total.seconds = (max(map(_end, every)) - began) / 1e6
        total.critical_path = critical_path(every)
        total.critical_seconds = sum(row.latency_us for row in total.critical_path) / 1e6
    return total


def critical_path(rows: Iterable[Row]) -> list[Row]:
    """The call that ended last, before it the one that ended last of those over when it began, and so on."""
    left = sorted(rows, key=_end)
    path: list[Row] = []
    before = _end(left[-1]) if left else 0
    for row in reversed(left):
        if _end(row) <= before:
            path.append(row)
            before = row.ts_us
    return path[::-1]


def _end(row: Row) -> int:
    return row.ts_us + row.latency_us
