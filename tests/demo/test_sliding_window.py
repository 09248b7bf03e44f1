"""The demo's window on the metrics, and the board read through it."""

from __future__ import annotations

import pytest

from tachograph.llm.metrics import families as llm
from tachograph.mcp.metrics import families as mcp
from tachograph.recorder import Recorder
from tachograph.records import Cost, Usage
from tachograph.runtime import join
from tachograph.signals.registry import Metrics
from tachograph_demo.sliding_window import Window
from tachograph_demo.summary import Status, read_board
from tachograph_demo.view import Plain, make_view


@pytest.fixture
def recorder() -> Recorder:
    return join(Metrics(()), strict=True)


def call(recorder: Recorder, model: str, seconds: float, *, limited: bool = False) -> None:
    """One finished call of a known length."""
    record = recorder.start_llm_call("openai", model)
    attempt = record.begin_attempt()
    if limited:
        attempt.end("rate_limited", "rate_limit", status=429, ended_ns=attempt.started_ns + 1)
        attempt.waited_ns = 500_000_000
        attempt = record.begin_attempt()
    record.usage = Usage(1000, 100, {"cache_read": 250})
    record.cost = Cost(2_000_000, "priced")
    end = attempt.started_ns + int(seconds * 1e9)
    attempt.end("success", status=200, ended_ns=end)
    record.finish("success", ended_ns=end)


def test_rates_are_increases_within_the_window(recorder: Recorder) -> None:
    window = Window(recorder.metrics)
    window.look(100.0)
    assert window.rate(llm.CALL_SECONDS) == 0.0
    for _ in range(6):
        call(recorder, "gpt-5", 0.3)
    window.look(102.0)
    assert window.rate(llm.CALL_SECONDS) == 3.0
    assert window.rate(llm.TOKENS, {"type": "prompt"}) == 3000.0
    window.look(120.0)
    assert window.rate(llm.CALL_SECONDS, None, 10.0) == 0.0
    assert window.value(llm.CALL_SECONDS) == 6


def test_quantiles_are_estimated_from_the_buckets_of_the_window(recorder: Recorder) -> None:
    window = Window(recorder.metrics)
    call(recorder, "gpt-5", 50.0)
    window.look(0.0)
    for _ in range(10):
        call(recorder, "gpt-5", 0.3)
    window.look(1.0)
    assert window.quantile(0.5, llm.REQUEST_SECONDS) == pytest.approx(0.25 + 0.25 * 0.5)
    assert window.quantile(0.5, llm.REQUEST_SECONDS, {"model": "none"}) is None


def test_what_is_older_than_the_window_is_forgotten(recorder: Recorder) -> None:
    window = Window(recorder.metrics, seconds=10.0)
    for second in range(100):
        call(recorder, "gpt-5", 0.3)
        window.look(float(second))
    assert len(window._moments) <= 12
    assert window.rate(llm.CALL_SECONDS, None, 60.0) == 1.0


def test_the_board_shows_what_was_recorded(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    window = Window(recorder.metrics)
    window.look(0.0)
    call(recorder, "gpt-5", 0.3)
    call(recorder, "gpt-5-mini", 3.0, limited=True)
    tool = recorder.start_tool_call("workshop", "weather")
    tool.finish("error", "execution")
    recorder.metrics.cell(mcp.CONNECTIONS_ACTIVE, "workshop").set(1)
    window.look(2.0)
    board = read_board(window)
    assert (board.calls_total, board.calls_per_second, board.cached_share) == (2, 1.0, 0.25)
    assert board.usd_total == pytest.approx(0.004)
    assert board.usd_per_hour == pytest.approx(0.002 * 3600)
    assert [(row.provider, row.model) for row in board.models] == [("openai", "gpt-5"), ("openai", "gpt-5-mini")]
    assert board.errors == (("openai", "rate_limit", 0.5, 1),)
    assert [(provider, total) for provider, _, _, total in board.waits] == [("openai", 1)]
    assert [(row.server, row.tool, row.errors) for row in board.tools] == [("workshop", "weather", 0.5)]
    assert board.connections == (("workshop", 1),)
    status = Status(elapsed_seconds=2, rate=1, seed=0, addresses=[], incident="bad-key", incident_phase="in 5 s")
    Plain().show(board, status)
    line = capsys.readouterr().out
    for word in ("calls/s 1.0", "p95", "gpt-5-mini", "workshop=1", "incident bad-key in 5 s"):
        assert word in line


def test_a_pipe_gets_lines() -> None:
    assert isinstance(make_view(is_plain=True), Plain)


def test_the_live_board_draws_at_any_width(recorder: Recorder) -> None:
    from rich.console import Console

    from tachograph_demo.live import Live

    window = Window(recorder.metrics)
    window.look(0.0)
    call(recorder, "gpt-5", 0.3)
    window.look(1.0)
    status = Status(elapsed_seconds=61, rate=1, seed=0, addresses=[("metrics", "http://127.0.0.1:1/metrics")])
    for width in (60, 80, 120, 200):
        console = Console(width=width, record=True, force_terminal=True, file=open("/dev/null", "w"))  # noqa: SIM115
        console.print(Live(console).draw(read_board(window), status))
        text = console.export_text()
        assert "gpt-5" in text
        assert "/metrics" in text
        assert all(len(line) <= width for line in text.splitlines())
