"""One forecast for the report and the console: a range, and nothing under a day of data."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta, timezone
from math import inf
from pathlib import Path
from typing import Any

import pytest

from support.ledgers import make_recorder, metric
from tachograph.console.api.spending import forecast as console_forecast
from tachograph.console.ingest.ledger import LedgerFeed
from tachograph.console.store import CallStore
from tachograph.recorder import Recorder
from tachograph.records import Cost, Usage
from tachograph.runtime import build
from tachograph.settings import load
from tachograph.usage.budgets import Budgets
from tachograph.usage.ledger import Ledger
from tachograph.usage.metrics.families import BUDGET_FORECAST
from tachograph.usage.reports import forecast
from tachograph.usage.reports.forecast import as_fields, bounds, heading, in_words, pace_of

NOW = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
USD = 1_000_000_000


def hours_back(hours: int, nano: int = USD) -> dict[int, int]:
    until = NOW.replace(minute=0)
    return {int((until - timedelta(hours=back)).timestamp()): nano for back in range(1, hours + 1)}


def test_under_a_day_of_data_it_is_too_early_to_say() -> None:
    ahead = heading(hours_back(23), NOW)
    assert (ahead.day, ahead.month) == (None, None)
    assert in_words(ahead) == "This month $23.00. A forecast is not possible yet: under a day of data."
    assert as_fields(ahead)["month_usd"] is None


def test_programs_get_every_sum_exactly_and_every_forecast_to_the_hundredth_of_a_cent() -> None:
    fields = as_fields(heading(hours_back(24 * 7), NOW))
    day, month = f"{18 + 5.5:.4f}", f"{7 * 24 + 24 * (10 + 5.5 / 24):.4f}"
    assert fields == {
        "days": 7, "day_spent_usd": "18.000000000", "month_spent_usd": "168.000000000",
        "day_low_usd": day, "day_usd": day, "day_high_usd": day,
        "month_low_usd": month, "month_usd": month, "month_high_usd": month,
    }  # fmt: skip


def test_days_and_months_are_those_of_utc_wherever_the_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    in_tokyo = datetime(2026, 12, 1, 3, 15, 20, 7, tzinfo=timezone(timedelta(hours=9)))
    expected = [datetime(2026, 11, 30), datetime(2026, 12, 1), datetime(2026, 11, 1), datetime(2026, 12, 1)]  # noqa: DTZ001
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        found = bounds(in_tokyo)
    time.tzset()
    assert [moment.replace(tzinfo=None) for moment in found] == expected
    assert {moment.utcoffset() for moment in found} == {timedelta(0)}


def test_an_even_pace_has_no_range() -> None:
    ahead = heading(hours_back(24 * 7), NOW)
    assert ahead.month is not None
    assert ahead.day is not None
    assert ahead.day.low_usd == ahead.day.likely_usd == ahead.day.high_usd == pytest.approx(18 + 24 * 5.5 / 24)
    assert ahead.month.likely_usd == pytest.approx(7 * 24 + 24 * (10 + 5.5 / 24))
    assert in_words(ahead) == "This month $168.00; at the pace of 7 days it comes to $413.50 ($413.50 to $413.50)."


def test_days_that_differ_make_a_range_that_holds_eight_times_out_of_ten() -> None:
    rng = random.Random(3)
    inside = 0
    for _ in range(400):
        days = [rng.gauss(100, 20) for _ in range(18)]  # seven known, eleven to come
        hours: dict[int, int] = {}
        until = NOW.replace(hour=0, minute=0)
        for back, day in enumerate(days[:7]):
            for hour in range(24):
                hours[int((until - timedelta(days=back + 1, hours=-hour)).timestamp())] = int(day * USD / 24)
        ahead = heading(hours, until)
        assert ahead.month is not None
        inside += ahead.month.low_usd <= sum(days) <= ahead.month.high_usd
    assert 0.72 <= inside / 400 <= 0.88


def test_a_limit_is_reached_when_the_pace_has_used_it_up() -> None:
    even = pace_of(hours_back(24 * 7), NOW)
    assert even is not None
    assert even.seconds_left(10 * USD, 22 * USD, 5) == pytest.approx((12 * 3600, 12 * 3600), rel=1e-6)
    assert even.seconds_left(10 * USD, 131 * USD, 5) == (inf, inf)  # 24 a day for five days are 130 at the end
    scattered = pace_of({hour: USD * (1 + hour // 86400 % 2) for hour in hours_back(24 * 7)}, NOW)
    assert scattered is not None
    likely, earliest = scattered.seconds_left(0, 36 * USD, 5)
    assert earliest < likely == pytest.approx(36e9 / scattered.mean * 86400)
    assert pace_of(hours_back(23), NOW) is None


def test_gauges_of_a_budget_say_what_the_report_says(tmp_path: Path) -> None:
    begun = datetime.now(UTC)
    recorder = budgets_recorder(tmp_path, {"name": "search", "usd": "100000", "period": "month", "provider": "openai"},
                                {"name": "each", "usd": "1", "per": ["user"]})  # fmt: skip
    for back in range(1, 72):
        call = recorder.start_llm_call("openai", "gpt-5")
        call.started_unix_ns = int((begun - timedelta(hours=back)).timestamp() * 1e9)
        call.usage, call.cost = Usage(10, 10), Cost(USD * (1 + back % 3), "priced", "test")
        call.finish("success")
    ledger = recorder.ledger
    assert isinstance(ledger, Ledger)
    assert ledger.flush(20)
    guard = recorder.guard
    assert isinstance(guard, Budgets)
    assert "llm_budget_forecast_usd" not in shown(recorder)
    guard.refresh()
    store = ledger.open_store(read_only=True)
    said = forecast(store, now=datetime.now(UTC), where={"provider": ("openai",)})
    store.close()
    assert said.month is not None
    for bound in ("low", "likely", "high"):
        value = metric(recorder, "llm_budget_forecast_usd", "search", "month", bound)
        assert value == pytest.approx(getattr(said.month, f"{bound}_usd"), rel=1e-3)
    assert metric(recorder, "llm_budget_left_seconds", "search", "month", "likely") == inf
    assert set(shown(recorder)) == {"llm_budget_forecast_usd"}
    assert ledger.close(20)


def shown(recorder: Recorder) -> list[str]:
    """Families of forecasts that have series."""
    return [family.name for family, samples in recorder.metrics.collect() if family is BUDGET_FORECAST and samples]


def budgets_recorder(directory: Path, *limits: dict[str, Any]) -> Recorder:
    budgets = {"limits": list(limits), "refresh_seconds": 3600}
    ledger = {"data_dir": str(directory)}
    return build(load({"ledger": ledger, "budgets": budgets}, environ={}, read_file=False))


def test_report_and_console_say_the_same_of_the_same_ledger(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    now = datetime.now(UTC)
    buckets: dict[int, int] = {}
    for hour in range(60):
        call = recorder.start_llm_call("openai", "gpt-5")
        began = now - timedelta(hours=hour)
        call.started_unix_ns = int(began.timestamp() * 1e9)
        call.usage, call.cost = Usage(1, 1), Cost(1_000_000 * (hour % 7 + 1), "priced", "test")
        call.finish("success")
        bucket = call.started_unix_ns // 10**9 // 300 * 300
        buckets[bucket] = buckets.get(bucket, 0) + (call.cost.nano_usd or 0)
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    store = recorder.ledger.open_store(read_only=True)
    calls = CallStore(tmp_path / "console.db")
    calls.add_history([(at, "openai", "gpt-5", "", 1, 1, 1, nano, 0) for at, nano in buckets.items()])
    try:
        ours = as_fields(forecast(store, now=now))
        assert ours["month_usd"] is not None
        assert console_forecast(calls, now.timestamp()) == ours
    finally:
        store.close()
        calls.close()


SHAPES: dict[str, list[tuple[float, int | None]]] = {
    "one hour": [(0.5, 5)],
    "just under a day": [(hour + 0.1, 5) for hour in range(23)],
    "a day": [(hour + 0.1, 5) for hour in range(26)],
    "gaps": [(0.1, 5), (100, 7), (150, 9)],
    "free calls before": [(160, 0), (0.2, 5), (26, 5)],
    "unpriced calls before": [(160, None), (0.2, 5), (26, 5)],
    "a month": [(hour * 3.1, hour) for hour in range(200)],
    "later in this hour, and tomorrow": [(-1e-6, 5), (-30, 5), (0.5, 5), (40, 5)],
    "older than the week": [(24 * 9, 5), (24 * 12, 5)],
}


@pytest.mark.parametrize("shape", [*SHAPES, "only tool calls before"])
def test_report_and_a_console_that_reads_the_ledger_look_ahead_alike(tmp_path: Path, shape: str) -> None:
    recorder = make_recorder(tmp_path)
    now = datetime.now(UTC).replace(minute=59, second=59, microsecond=999_990)
    for hours, millis in SHAPES.get(shape, [(0.2, 5), (0.3, 5)]):
        call = recorder.start_llm_call("openai", "gpt-5")
        call.started_unix_ns = int((now - timedelta(hours=hours)).timestamp() * 1e9)
        call.usage, call.cost = Usage(1, 1), None if millis is None else Cost(millis * 1_000_000, "priced", "test")
        call.finish("success")
    if shape not in SHAPES:
        tool = recorder.start_tool_call("clock", "get_time")
        tool.started_unix_ns = int((now - timedelta(hours=150)).timestamp() * 1e9)
        tool.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    calls = CallStore(tmp_path / "console.db")
    feed = LedgerFeed("", lambda: recorder.ledger.open_store(read_only=True), calls)
    feed.look(now.timestamp())
    store = recorder.ledger.open_store(read_only=True)
    try:
        assert feed.last_error == ""
        assert console_forecast(calls, now.timestamp()) == as_fields(forecast(store, now=now))
    finally:
        feed.close()
        store.close()
        calls.close()
