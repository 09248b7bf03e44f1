"""Ledgers in temporary directories, and calls to put into them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tachograph.recorder import Recorder
from tachograph.records import Cost, LLMCall, ToolCall, Usage
from tachograph.runtime import join
from tachograph.settings.ledger import LedgerSettings
from tachograph.signals.registry import Metrics
from tachograph.tape import TAPE
from tachograph.usage.ledger import Ledger
from tachograph.usage.row import Row
from tachograph.usage.stores.query import MEASURES, Query


def make_ledger(directory: Path, **settings: Any) -> Ledger:
    """A ledger of its own in this directory, with metrics of its own."""
    return make_recorder(directory, **settings).ledger  # type: ignore[return-value]


def make_recorder(directory: Path, **settings: Any) -> Recorder:
    """A strict recorder with a ledger in this directory."""
    metrics = Metrics(())
    ledger = Ledger(LedgerSettings(data_dir=str(directory), **settings), metrics)
    return join(metrics, ledger=ledger, strict=True)


def one_call(recorder: Recorder, number: int = 0, **labels: str) -> LLMCall:
    """One finished, priced call: 100 + `number` tokens in, 7 out, 1000 + `number` nano-dollars."""
    call = recorder.start_llm_call("openai", "gpt-5", labels=labels or None)
    call.begin_attempt().end("success", status=200)
    call.usage = Usage(100 + number, 7, {"cache_read": 40, "reasoning": 3})
    call.cost = Cost(1000 + number, "priced", "test/1")
    call.finish("success")
    TAPE.flush()  # its row is in the journal; the drain thread does so a second later
    return call


def one_tool_call(recorder: Recorder) -> ToolCall:
    """One finished tool call that failed."""
    call = recorder.start_tool_call("clock", "get_time")
    call.finish("error", "execution", error="no")
    TAPE.flush()
    return call


def eventually(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait until it is so, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds:g} s: {what}")
        time.sleep(0.005)


def metric(recorder: Recorder, name: str, *labels: str) -> float:
    """The value of one of the recorder's metrics, as collected now."""
    for family, samples in recorder.metrics.collect():
        if family.name == name:
            return float(sum(sample.values[0] for sample in samples if not labels or sample.labels == labels))
    raise KeyError(name)


def sums(store: Any, **query: Any) -> dict[str, int]:
    """All measures, summed up, from rollups or (raw=True) from rows."""
    found = store.usage(Query(**query))
    return {name: sum(int(row[name] or 0) for row in found) for name in MEASURES}


def sums_of(rows: list[Row]) -> dict[str, int]:
    """What the measures of these rows must be."""
    expected = dict.fromkeys(MEASURES, 0)
    for row in rows:
        details = row.details or {}
        for name, value in {
            "n": 1,
            "attempts": row.attempts,
            "wait_us": row.wait_us,
            "input_tokens": row.input_tokens or 0,
            "output_tokens": row.output_tokens or 0,
            "cache_read_tokens": details.get("cache_read", 0),
            "cache_write_tokens": details.get("cache_write", 0),
            "reasoning_tokens": details.get("reasoning", 0),
            "cost_nusd": row.cost_nusd or 0,
            "estimated_nusd": (row.cost_nusd or 0) if row.cost_quality == "estimated" else 0,
            "unpriced": int(row.is_unpriced),
            "usage_missing": int(row.is_usage_missing),
            "latency_us": row.latency_us,
        }.items():
            expected[name] += value
    return expected


def record_in_child(directory: str, count: int) -> None:
    """For multiprocessing, which ends its children without atexit: what they accepted must not depend on it."""
    recorder = make_recorder(Path(directory))
    for number in range(count):
        one_call(recorder, number)


def stored_numbers(ledger: Ledger) -> list[int]:
    """The numbers of the calls (see `one_call`) that are stored, smallest first."""
    store = ledger.open_store(read_only=True)
    try:
        return sorted((row.input_tokens or 0) - 100 for row in store.rows(Query()))
    finally:
        store.close()
