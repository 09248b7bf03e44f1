"""One forecast for the report and the console: a range, and nothing under a day of data."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from math import inf
from pathlib import Path
from statistics import mean, stdev
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
from tachograph.usage.reports.forecast import (
    Expected,
    Forecast,
    Pace,
    as_fields,
    bounds,
    heading,
    hours_of,
    in_words,
    pace_of,
    reading_since,
)

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


def reference_pace(hours: dict[int, int], until: datetime) -> tuple[float, float, int] | None:
    """Days back from the last whole hour, one by one."""
    known = [until - timedelta(seconds=until.timestamp() - hour) for hour in hours]
    days: list[float] = []
    while len(days) < 7 and any(moment <= until - timedelta(days=len(days) + 1) for moment in known):
        end = until - timedelta(days=len(days))
        inside = [hour for hour in hours if end.timestamp() - 86400 <= hour < end.timestamp()]
        days.append(float(sum(hours[hour] for hour in inside)))
    if not days:
        return None
    if len(days) == 1:
        single = [float(hours.get(int(until.timestamp()) - 3600 * back, 0)) for back in range(1, 25)]
        return days[0], stdev(single) * 24**0.5, 1
    return mean(days), stdev(days), len(days)


def test_the_pace_is_that_of_the_last_whole_days() -> None:
    rng = random.Random(5)
    until = NOW.replace(minute=0)
    seen = set()
    for _ in range(300):
        reach = rng.choice((1, 23, 24, 25, 47, 48, 49, 100, 24 * 7 - 1, 24 * 7, 24 * 7 + 1, 24 * 9))
        backs = {rng.randrange(-3, reach + 1) for _ in range(rng.randrange(1, 60))} | {reach}
        hours = {int((until - timedelta(hours=back)).timestamp()): rng.randrange(0, 5 * USD) for back in backs}
        found, expected = pace_of(hours, NOW), reference_pace(hours, until)
        seen.add(None if expected is None else expected[2])
        if found is None:
            assert expected is None
        else:
            assert (found.mean, found.spread, found.days) == pytest.approx(expected, rel=1e-12)
    assert seen == {None, 1, 2, 4, 6, 7}
    assert pace_of({}, NOW) is None


def test_a_range_is_as_wide_as_the_days_differ_and_never_below_what_is_spent() -> None:
    pace = Pace(mean=4e9, spread=1e9, days=4)
    apart = 1.2816 * (9 + 81 / 4) ** 0.5
    assert pace.expected(2 * USD, 9) == Expected(
        pytest.approx(38 - apart), pytest.approx(38.0), pytest.approx(38 + apart)
    )
    assert pace.expected(2 * USD, 0) == Expected(2.0, 2.0, 2.0)
    assert Pace(1e9, 5e9, 2).expected(7 * USD, 1).low_usd == 7.0
    assert Pace(2e9, 0.0, 1).seconds_left(USD, 3 * USD, 1.0) == pytest.approx((86400, 86400))
    assert Pace(2e9, 0.0, 1).seconds_left(3 * USD, 3 * USD, 1.0) == pytest.approx((0, 0), abs=1e-6)
    assert Pace(2e9, 0.0, 1).seconds_left(USD, 3 * USD + 1, 1.0) == (inf, inf)
    likely, earliest = pace.seconds_left(2 * USD, 20 * USD, 9)
    assert likely == pytest.approx(4.5 * 86400)
    assert pace.expected(2 * USD, earliest / 86400).high_usd == pytest.approx(20)


def test_day_and_month_go_on_at_the_pace_until_they_end() -> None:
    hours = {hour: USD * (1 + hour // 86400 % 3) for hour in hours_back(24 * 30)}
    pace = pace_of(hours, NOW)
    assert pace is not None
    day, month = (
        sum(n for h, n in hours.items() if h >= start.timestamp()) for start in (bounds(NOW)[0], bounds(NOW)[2])
    )
    assert heading(hours, NOW) == Forecast(
        NOW,
        Decimal(day) / USD,
        Decimal(month) / USD,
        7,
        pace.expected(day, 5.5 / 24),
        pace.expected(month, 10 + 5.5 / 24),
    )
    assert heading({}, NOW) == Forecast(NOW, Decimal(0), Decimal(0), 0, None, None)
    assert reading_since(NOW) == datetime(2026, 11, 1, tzinfo=UTC)
    assert reading_since(NOW.replace(day=5)) == datetime(2026, 10, 29, 17, 30, tzinfo=UTC)
    for moment, ends in (((2026, 12, 31), (2027, 1, 1)), ((2028, 2, 29), (2028, 3, 1)), ((2026, 1, 1), (2026, 2, 1))):
        now = datetime(*moment, 23, 59, 59, 999_999, tzinfo=UTC)
        start = datetime(*moment, tzinfo=UTC)
        assert bounds(now) == (start, start + timedelta(days=1), start.replace(day=1), datetime(*ends, tzinfo=UTC))


def test_a_forecast_of_some_calls_leaves_out_the_others(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    now = datetime.now(UTC)
    for provider, millis in (("openai", 3), ("anthropic", 5)):
        for hours in (1, 30):
            call = recorder.start_llm_call(provider, "m")
            call.started_unix_ns = int((now - timedelta(hours=hours)).timestamp() * 1e9)
            call.usage, call.cost = Usage(1, 1), Cost(millis * 1_000_000, "priced", "test")
            call.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    store = recorder.ledger.open_store(read_only=True)
    try:
        found = [
            sum(hours_of(store, now=now, where=where).values())
            for where in (
                None,
                {"provider": ("openai",)},
                {"kind": ("llm",), "provider": ("anthropic",)},
                {"kind": ("tool",)},
            )
        ]
        said = [
            forecast(store, now=now, where=where).days
            for where in (None, {"provider": ("openai",)}, {"provider": ("x",)})
        ]
        ours = forecast(store, now=now, where={"provider": ("openai",)}).day
    finally:
        store.close()
    assert found == [16_000_000, 6_000_000, 10_000_000, 0]
    assert said == [1, 1, 0]
    assert ours is not None


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
