"""Reports out of the ledger: sums equal the rows, percentiles come from buckets, money is exact."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from support.ledgers import make_recorder
from tachograph.cli import main
from tachograph.errors import TachographError
from tachograph.recorder import Recorder
from tachograph.records import Cost, Usage
from tachograph.usage.reports import forecast, moment, report
from tachograph.usage.stores import Store, open_store
from tachograph.usage.verify import counters_of, verify

NOW = datetime.now(UTC)


def call(
    recorder: Recorder,
    model: str,
    *,
    ago: timedelta = timedelta(minutes=5),
    seconds: float = 1.0,
    nano_usd: int | None = 1_000,
    outcome: str = "success",
    **labels: str,
) -> None:
    """One finished call that began so long ago."""
    one = recorder.start_llm_call("openai", model, labels=labels or None)
    one.started_unix_ns = int((NOW - ago).timestamp() * 1e9)
    attempt = one.begin_attempt()
    ended = one.started_ns + int(seconds * 1e9)
    failed = "server_error" if outcome == "error" else None
    attempt.end(outcome, failed, ended_ns=ended)
    if outcome == "success":
        one.usage = Usage(100, 10, {"cache_read": 40})
        one.cost = Cost(nano_usd, "priced" if nano_usd is not None else "unpriced", "test/1")
    one.finish(outcome, failed, ended_ns=ended)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    """Three models: a busy one with latencies from 1 to 100 s, an unpriced one, one that fails."""
    recorder = make_recorder(directory)
    for second in range(1, 101):
        call(recorder, "gpt-5", seconds=second, team="search")
    for _ in range(3):
        call(recorder, "mystery", nano_usd=None, team="support")
    for _ in range(2):
        call(recorder, "gpt-5-mini", outcome="error", ago=timedelta(days=2), team="support")
    assert recorder.ledger is not None
    assert recorder.ledger.flush(20)
    recorder.ledger.close()
    opened = open_store(f"sqlite:///{directory / 'ledger.db'}", read_only=True)
    yield opened
    opened.close()


def test_sums_by_model_equal_the_calls(store: Store) -> None:
    found = report(store, since=NOW - timedelta(days=7), until=NOW + timedelta(hours=1), by=("model",))
    lines = {line.key[0]: line for line in found.lines}
    assert {name: (line.calls, line.errors) for name, line in lines.items()} == {
        "gpt-5": (100, 0),
        "mystery": (3, 0),
        "gpt-5-mini": (2, 2),
    }
    assert lines["gpt-5"].input_tokens == 10_000
    assert lines["gpt-5"].cache_read_tokens == 4_000
    assert found.total.cost_usd == Decimal("0.000100000")
    assert lines["mystery"].unpriced == 3
    assert lines["mystery"].cost_usd == 0
    assert found.lines[0].key == ("gpt-5",)  # the dearest first


def test_percentiles_are_at_most_one_percent_off(store: Store) -> None:
    found = report(store, since=NOW - timedelta(days=1), until=NOW, by=("model",), where={"model": ("gpt-5",)})
    latency = found.lines[0].latency_seconds
    assert latency[50] == pytest.approx(50, rel=0.011)
    assert latency[95] == pytest.approx(95, rel=0.011)
    assert latency[99] == pytest.approx(99, rel=0.011)


def test_a_label_and_a_day_are_dimensions(store: Store) -> None:
    found = report(store, since=NOW - timedelta(days=7), until=NOW, by=("day", "label:team"))
    assert [line.key[1] for line in found.lines][-2:] == ["search", "support"]
    assert sum(line.calls for line in found.lines) == found.total.calls == 105
    assert [line.key[0] for line in found.lines] == sorted(line.key[0] for line in found.lines)


def test_an_unknown_dimension_is_refused_with_those_there_are(store: Store) -> None:
    with pytest.raises(TachographError, match="provider"):
        report(store, since=NOW - timedelta(days=1), until=NOW, by=("colour",))


def test_the_forecast_goes_on_at_the_pace_of_the_days_there_are(store: Store) -> None:
    ahead = forecast(store, now=NOW)
    assert ahead.month is not None
    assert ahead.day is not None
    assert float(ahead.month_spent_usd) <= ahead.month.low_usd <= ahead.month.likely_usd <= ahead.month.high_usd
    assert float(ahead.day_spent_usd) <= ahead.day.low_usd


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:30+02:00", datetime(2026, 11, 1, 10, 30, tzinfo=UTC)),
        ("month", NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)),
    ],
)
def test_times_are_read_as_people_give_them(text: str, expected: datetime) -> None:
    assert moment(text, now=NOW) == expected


def test_a_time_that_is_none_says_what_would_be() -> None:
    with pytest.raises(TachographError, match="7d"):
        moment("last tuesday", now=NOW)


def test_the_command_prints_a_table_and_says_what_has_no_price(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(directory))
    assert main(["report", "--by", "model,team"]) == 0
    printed = capsys.readouterr().out
    assert "gpt-5" in printed
    assert "search" in printed
    assert "Calls without a price: 3. Their cost is unknown, not zero" in printed


def test_csv_and_json_carry_exact_money(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(directory))
    assert main(["report", "--format", "csv", "--by", "model"]) == 0
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    assert rows["gpt-5"]["cost_usd"] == "0.000100000"
    assert main(["report", "--format", "json", "--by", "model", "--where", "model=gpt-5"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert [line["cost_usd"] for line in body["lines"]] == ["0.000100000"]
    assert body["forecast"].keys() >= {"days", "day_usd", "month_low_usd", "month_usd", "month_high_usd"}


def test_parquet_keeps_types(store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parquet = pytest.importorskip(
        "pyarrow.parquet", reason="pyarrow is not installed: pip install 'tachograph[parquet]'"
    )
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(directory))
    file = tmp_path / "report.parquet"
    assert main(["report", "--format", "parquet", "--by", "day,model", "--output", str(file)]) == 0
    table = parquet.read_table(file)
    assert str(table.schema.field("cost_usd").type) == "decimal128(38, 9)"
    assert sum(table.column("calls").to_pylist()) == 105


def test_a_word_that_is_no_dimension_and_no_label_of_any_call_is_named(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(directory))
    assert main(["report", "--by", "modle"]) == 0
    printed = capsys.readouterr().out
    assert "No call has the label 'modle'. What the ledger has without labels: hour, day, kind, provider," in printed
    assert main(["report", "--by", "team,model"]) == 0
    assert "No call has" not in capsys.readouterr().out


def test_without_a_ledger_the_command_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "nothing"))
    assert main(["report"]) == 2
    assert "there is no ledger yet" in capsys.readouterr().err


def test_a_ledger_that_agrees_verifies(store: Store) -> None:
    found = verify(store, since=NOW - timedelta(days=7), until=NOW + timedelta(days=2))
    assert found.rows == 105
    assert [one for one in found.differences if one.check != "gap"] == []


def test_a_rollup_that_lies_is_found(store: Store, directory: Path) -> None:
    import sqlite3

    store.close()
    with sqlite3.connect(directory / "ledger.db") as connection:
        connection.execute("UPDATE usage_rollup SET n = n + 1 WHERE model = 'mystery'")
    reopened = open_store(f"sqlite:///{directory / 'ledger.db'}", read_only=True)
    found = verify(reopened, since=NOW - timedelta(days=7), until=NOW + timedelta(days=2))
    assert [(one.check, one.what) for one in found.differences if one.check == "rollups"] == [
        ("rollups", "n: rows say 3, rollups say 4")
    ]


def test_counters_that_say_more_than_the_ledger_are_found(store: Store) -> None:
    page = (
        'llm_call_seconds_count{provider="openai",model="gpt-5",outcome="success"} 101\n'
        'llm_provider_tokens_total{provider="openai",model="gpt-5",type="prompt"} 10000\n'
        'llm_provider_tokens_total{provider="openai",model="gpt-5",type="completion"} 1000\n'
        'llm_provider_cost_usd_total{provider="openai",model="gpt-5"} 0.0001\n'
        f"process_start_time_seconds {(NOW - timedelta(hours=1)).timestamp()}\n"
    )
    counters, started = counters_of(page)
    assert started is not None
    found = verify(
        store,
        since=NOW - timedelta(days=7),
        until=NOW + timedelta(days=1),
        counters=counters,
        counting_since=datetime.fromtimestamp(started, UTC),
    )
    told = [(one.where, one.what) for one in found.differences if one.check == "metrics"]
    assert ("openai/gpt-5", "calls: the ledger says 100, the counters say 101") in told
    assert all("gpt-5" not in where or "prompt" not in what for where, what in told)


def test_an_answer_out_of_rows_says_where_rows_were_removed(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(directory))

    def said(*words: str) -> str:
        main([words[0], "--since", "7d", *words[1:]])
        return capsys.readouterr().err

    focus = ("export-focus", str(tmp_path / "calls.csv"))
    from_rows = [("report", "--by", "agent"), focus, ("reconcile", "openai", "--from", str(tmp_path / "calls.csv"))]
    assert ["no longer kept" in said(*words) for words in from_rows] == [False] * 3
    writing = open_store(f"sqlite:///{directory / 'ledger.db'}")
    assert writing.retain({"rows": int((NOW - timedelta(days=1)).timestamp() * 1e6)}) == 2
    writing.close()
    assert ["no longer kept" in said(*words) for words in from_rows] == [True] * 3
    assert said("report", "--by", "model,day") == ""
    assert "no longer kept" not in said("report", "--by", "agent", "--since", "1h")
