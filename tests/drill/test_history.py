"""`tachograph quiet-life --history`: a user's own past, out of a real Prometheus and out of a ledger."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from support.prometheus import prometheus
from tachograph import catalogue
from tachograph.catalogue.export.alertmanager import config
from tachograph.cli import main
from tachograph.console.promql.types import STALE_NAN
from tachograph.drill import remote_write
from tachograph.drill.quiet_life.history import HistoryReport, judge
from tachograph.drill.quiet_life.past import HistoryError, LedgerPast, PrometheusPast
from tachograph.drill.quiet_life.shape import Fault, Shape, Traffic
from tachograph.drill.quiet_life.world import World
from tachograph.settings import Settings
from tachograph.usage.row import Row
from tachograph.usage.stores import open_store

STEP, DAY = 60_000, 86_400_000
END = int(time.time() * 1000) // STEP * STEP
ROUTES = config("page", "ticket", "note", "watchdog")
GROUPS = catalogue.rule_groups(Settings(), f"{STEP // 1000}s")


def outage(minutes: int) -> Shape:
    return Shape(
        name="two-hours-of-outage",
        story="",
        expected="page",
        traffic=(Traffic(per_minute=20, usd=0.01, faults=(Fault(begin=300, end=420),)),),
        minutes=minutes,
        step=60,
    )


def samples(shape: Shape, begin: int) -> Iterator[tuple[remote_write.Labels, list[tuple[int, float]]]]:
    for selector, values in World(shape).series():
        name, _, rest = selector.partition("{")
        labels = [pair.split("=", 1) for pair in rest.rstrip("}").split(",")]
        points = [
            (begin + index * shape.step * 1000, STALE_NAN if math.isnan(value) else value)
            for index, value in enumerate(values)
            if value is not None
        ]
        yield (("__name__", name), *((key, value.strip('"')) for key, value in labels)), points


def by_name(found: HistoryReport) -> dict[str, tuple[int, float]]:
    return {one.name: (len(one.episodes), one.usd) for one in found.alerts}


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with prometheus("global: {}\n", arguments=["--web.enable-remote-write-receiver"]) as server:
        remote_write.write(server.url, samples(outage(12 * 60), END - DAY // 2))
        yield server.url


@pytest.fixture(scope="module")
def found(server_url: str) -> HistoryReport:
    return judge(GROUPS, ROUTES, PrometheusPast(server_url), END - DAY // 2, END, STEP)


def test_an_outage_of_a_real_prometheus_is_one_page_and_money_is_told(found: HistoryReport) -> None:
    alerts = by_name(found)
    assert alerts["LLMProviderDown"][0] == 1
    assert [one.alerts for one in found.notified if one.receiver == "page"] == [("LLMProviderDown",)]
    ten_hours = 20 * 600 * 0.01
    assert found.usd == pytest.approx(ten_hours, rel=0.1)
    assert alerts["LLMProviderDown"][1] < ten_hours * 0.05  # failed calls cost nothing; only the alert's tail does
    assert "LLMMonitorTargetDown" not in alerts


def test_the_command_shows_how_often_a_week(server_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quiet-life", "--history", server_url, "--days", "1", "--step", "120"]) == 0
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith("LLMProviderDown"))
    assert line.split()[1:4] == ["critical", "1", "7.0"]
    assert "pages and" in said


def test_a_store_that_allows_few_samples_a_query_is_asked_for_less_at_a_time(found: HistoryReport) -> None:
    arguments = ["--web.enable-remote-write-receiver", "--query.max-samples=3000"]
    with prometheus("global: {}\n", arguments=arguments) as strict:
        remote_write.write(strict.url, samples(outage(12 * 60), END - DAY // 2))
        whole_day = {"start": (END - DAY) / 1000, "end": END / 1000, "step": STEP / 1000}
        with pytest.raises(AssertionError, match="too many samples"):
            strict.get("/api/v1/query_range", query="rate(llm_provider_errors_total[5m])", **whole_day)
        assert judge(GROUPS, ROUTES, PrometheusPast(strict.url), END - DAY // 2, END, STEP) == found


def ledger_rows(begin: int) -> list[Row]:
    """Twelve hours of a call every three seconds, with the same outage."""
    return [
        Row(
            id=index.to_bytes(16, "big"),
            ts_us=(begin + index * 3000) * 1000,
            kind="llm",
            provider="openai",
            model="gpt-5",
            operation="chat",
            outcome="error" if 300 <= index * 3000 / 60_000 < 420 else "success",
            error_type="server_error" if 300 <= index * 3000 / 60_000 < 420 else None,
            latency_us=2_000_000,
            attempts=1,
            input_tokens=800,
            output_tokens=200,
            cost_nusd=10_000_000,
        )
        for index in range(DAY // 2 // 3000)
    ]


def test_a_ledger_tells_the_same_outage_as_one_though_it_goes_on_over_two_days_of_queries() -> None:
    rows = ledger_rows(END - DAY // 2)
    begin = END - DAY // 2 + 360 * 60_000 - DAY  # a day later, the outage is in its second hour
    past = LedgerPast(rows, "tachograph", begin, END, STEP)
    found = judge(GROUPS, ROUTES, past, begin, END, STEP)
    assert by_name(found)["LLMProviderDown"][0] == 1
    assert [one.alerts for one in found.notified if one.receiver == "page"] == [("LLMProviderDown",)]
    assert found.usd == pytest.approx(len(rows) * 0.01, rel=0.02)


def test_two_hundred_models_of_a_ledger_are_counted_over_days_that_follow_one_another() -> None:
    row = ledger_rows(END - 8 * 3_600_000)[0]
    rows = [
        msgspec.structs.replace(row, ts_us=(END - hours * 3_600_000) * 1000, model=f"model-{n}")
        for hours in (8, 5, 1)
        for n in range(200)
    ]
    begin = END - 9 * 3_600_000
    past = LedgerPast(rows, "tachograph", begin, END, STEP)
    calls: list[float] = []
    for low in range(begin, END, 3 * 3_600_000):
        answer = past.range("sum(llm_call_seconds_count)", low, low + 3 * 3_600_000 - STEP, STEP)
        calls += answer[()][1].tolist() if answer else []
    assert (calls[59], calls[61], calls[245], calls[-1]) == (0, 200, 400, 600)


def test_the_command_reads_the_ledger_of_the_settings_out_of_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'usage.db'}"
    store = open_store(url)
    store.write(ledger_rows(END - DAY // 2), ingested_us=END * 1000)
    store.close()
    monkeypatch.setenv("TACHOGRAPH_LEDGER_URL", url)
    assert main(["quiet-life", "--history", "ledger", "--days", "1", "--step", "120"]) == 0
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith("LLMProviderDown"))
    assert line.split()[1:4] == ["critical", "1", "7.0"]
    spent = re.search(r"1 days, \$([0-9.]+) spent", said)
    assert spent is not None
    assert float(spent[1]) == pytest.approx(144, rel=0.02)


def test_a_ledger_that_does_not_exist_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quiet-life", "--history", f"sqlite:///{tmp_path / 'none.db'}"]) == 2
    assert "there is no ledger yet" in capsys.readouterr().err


def test_what_is_no_prometheus_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HistoryError, match="no answer of a Prometheus"):
        PrometheusPast("http://127.0.0.1:9").range("up", 0, 60_000, 60_000)
    assert main(["quiet-life", "--history", "http://127.0.0.1:9", "--token-file", str(tmp_path / "none")]) == 2
    assert "the token cannot be read" in capsys.readouterr().err


def test_a_query_that_a_prometheus_refuses_is_shown_with_its_words(server_url: str) -> None:
    with pytest.raises(HistoryError, match="refused"):
        PrometheusPast(server_url).range("sum(", 0, 60_000, 60_000)
