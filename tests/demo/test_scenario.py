"""The whole demo, in process: every source agrees, each incident shows, nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.exhaustive import part
from tachograph.cli import main
from tachograph.errors import TachographError
from tachograph.llm.metrics import families as llm
from tachograph.mcp.metrics import families as mcp
from tachograph.records import Cost, Usage
from tachograph.runtime import join
from tachograph.settings import load
from tachograph.signals.registry import Metrics
from tachograph.usage.metrics.families import WASTE_USD
from tachograph_demo.expected_totals import Runs, Sums, compare
from tachograph_demo.expected_waste import ExpectedWaste, Waste, waste_differences
from tachograph_demo.incidents import INCIDENTS, SlowTool
from tachograph_demo.scenario import Demo
from tachograph_demo.simulators import Served, ServedUsage, ToolCall
from tachograph_demo.simulators.served import Exchange
from tachograph_demo.summary import Board

PATIENCE_SECONDS = 150.0
WASTEFUL = {
    "broken-streams": "failed",
    "hang-ups": "aborted",
    "repeated-questions": "retried",
    "lost-cache": "cache_miss",
    "agent-loop": "loop",
}
"""Incidents that waste money, each with its cause."""


async def until(demo: Demo, reached: Callable[[Board], bool]) -> Board:
    """Let the demo run until its board shows something; fails when it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached(board := demo.board()):
        assert time.monotonic() < deadline, f"never reached: {board}"
        await demo.run(0.2)
    return board


def error_count(demo: Demo, provider: str, kind: str) -> int:
    return round(demo.window.value(llm.ERRORS, {"provider": provider, "error_type": kind}))


async def provoke(demo: Demo, incident: str) -> None:
    """Begin an incident, and wait until it shows."""
    cost, wasted = demo.board().usd_total, demo.window.value(WASTE_USD, {"cause": WASTEFUL.get(incident, "")})
    await demo.begin_incident(incident)
    match incident:
        case "rate-limit-storm":
            await until(demo, lambda _: error_count(demo, "openai", "rate_limit") >= 1)
            await until(demo, lambda b: any(row[0] == "openai" and row[3] >= 1 for row in b.waits))
            await demo.end_incident()
        case "provider-outage":
            await until(demo, lambda _: error_count(demo, "anthropic", "server_error") >= 1)
        case "bad-key":
            await until(demo, lambda _: error_count(demo, "openai", "auth") >= 1)
        case "slow-tool":
            await until(
                demo, lambda b: any(row.tool == "search_orders" and (row.p95_seconds or 0) > 2.5 for row in b.tools)
            )
        case "dead-mcp-server":
            gone = {"server_id": "workshop", "tool_name": "search_orders", "error_kind": "connection"}
            await until(demo, lambda b: dict(b.connections)["workshop"] == 0)
            died = demo.window.value(mcp.ERRORS, gone)
            await until(demo, lambda _: demo.window.value(mcp.ERRORS, gone) > died)
            await demo.end_incident()
            await until(demo, lambda b: dict(b.connections)["workshop"] == 1)
        case "cost-spike":
            await until(demo, lambda b: b.usd_total > cost + 0.5)
        case _:
            demo.dial.reports_per_second *= 20
            demo.dial.summaries_per_second *= 20
            demo.dial.requests_per_second *= 20
            await until(demo, lambda _: demo.window.value(WASTE_USD, {"cause": WASTEFUL[incident]}) > wasted)


def processes_of(parent: int) -> list[int]:
    """Child processes of every thread, by /proc; none where there is no /proc."""
    found = []
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread ended meanwhile
            found += [int(pid) for pid in children.read_text().split()]
    return found


SOME = ("rate-limit-storm", "dead-mcp-server", "broken-streams")
ALL = (
    "rate-limit-storm",
    "provider-outage",
    "bad-key",
    "slow-tool",
    "dead-mcp-server",
    "cost-spike",
    *WASTEFUL,
)


@pytest.mark.parametrize("incidents", part([SOME, ALL], SOME), ids=len)
async def test_all_books_agree_after_every_incident(
    incidents: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlowTool, "seconds", 2.6)
    before = set(processes_of(os.getpid()))
    async with Demo(rate=20, seed=3, speed=0.02, directory=tmp_path) as demo:
        await demo.tools_ready()
        board = await until(demo, lambda b: b.calls_total >= 60 and len(b.models) >= 9 and len(b.tools) >= 5)
        assert {row.provider for row in board.models} == {"openai", "anthropic", "gemini"}
        assert board.usd_total > 0
        assert board.cached_share is not None
        assert dict(board.connections)["workshop"] == 1
        for incident in incidents:
            await provoke(demo, incident)
        await demo.end_incident()
    assert demo.truth is not None
    assert demo.truth.is_true, str(demo.truth)
    assert demo.truth.ledger == demo.truth.served
    assert demo.truth.runs is not None
    assert demo.truth.runs.count > 0
    assert demo.truth.runs.sums == demo.truth.served
    assert demo.truth.bills is not None
    assert sum(demo.truth.bills.values()) >= sum(sums.nano_usd for sums in demo.truth.served.values())
    assert sum(sums.nano_usd for sums in demo.truth.served.values()) > 0
    begun = tuple(moment.what.split(" begins")[0] for moment in demo.timeline if " begins:" in moment.what)
    assert begun == incidents
    assert {WASTEFUL[incident] for incident in incidents if incident in WASTEFUL} <= {*demo.truth.waste}
    assert set(processes_of(os.getpid())) <= before
    assert (tmp_path / "ledger").is_dir()


def test_the_incidents_of_which_all_books_are_compared_are_all() -> None:
    assert {*ALL} == {*INCIDENTS}


async def test_metrics_are_served_and_the_incident_begins_at_its_time() -> None:
    async with Demo(rate=20, seed=3, speed=0.02, incident="bad-key", incident_at=0.1) as demo:
        assert demo.incident_phase.startswith("in ")
        await until(demo, lambda _: error_count(demo, "openai", "auth") > 0)
        assert demo.incident_phase.startswith("since ")
        await demo.end_incident()
        assert demo.incident_phase == "over"
        assert demo.metrics_url is not None
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(demo.metrics_url or "").read().decode())
        assert 'llm_provider_errors_total{provider="openai"' in text
    assert demo.truth is not None
    assert demo.truth.is_true, str(demo.truth)


async def test_a_demo_whose_servers_start_late_goes_on_until_its_incident_has_begun() -> None:
    async with Demo(rate=2, seed=3, speed=0.02, incident="bad-key", incident_at=0.0, incident_for=0.1) as demo:
        await demo.run(0.2)  # no MCP server is there by then
        assert any(moment.what.startswith("MCP servers connected") for moment in demo.timeline)
        await until(demo, lambda _: demo.incident_phase == "over")
    assert demo.truth is not None
    assert demo.truth.is_true, str(demo.truth)


def test_the_demo_never_uses_the_users_ledger() -> None:
    async def ledger_place() -> tuple[str | None, bool]:
        async with Demo(rate=1) as demo:
            place = demo._settings.ledger.data_dir
            return place, Path(place or "").parent.exists()

    place, existed = asyncio.run(ledger_place())
    assert place is not None
    assert place != load(environ={}).ledger.data_dir
    assert existed
    assert not Path(place).parent.exists()


def test_a_difference_is_told_and_is_not_true() -> None:
    recorder = join(Metrics(()), strict=True)
    call = recorder.start_llm_call("openai", "gpt-5")
    call.usage = Usage(10, 5)
    call.cost = Cost(7, "priced")
    call.finish("success")
    truth = compare(Served(), recorder.metrics, {("openai", "gpt-5"): Sums(10, 5, 7)})
    assert not truth.is_true
    assert len(truth.differences) == 2
    assert "openai/gpt-5: served 0 prompt + 0 completion tokens" in str(truth)
    outside = compare(Served(), recorder.metrics, {}, runs=Runs(1, {("openai", "gpt-5"): Sums(10, 5, 7)}))
    assert "runs 10 prompt + 5 completion tokens" in str(outside)


def served_waste(*exchanges: Exchange) -> Waste:
    """What was wasted of answers that took a second each."""
    served = Served()
    expected = ExpectedWaste(served)
    for exchange in exchanges:
        served.begin(exchange)
        served.end(exchange, exchange.started + 1)
    return expected.sums()


def answer(started: float, **given: Any) -> Exchange:
    """One of 100 + 7 tokens: $0.000195."""
    return Exchange(**({
        "vendor": "openai", "operation": "chat", "model": "gpt-5", "method": "POST", "path": "/v1/chat/completions",
        "headers": {}, "body": {}, "body_hash": "the same", "is_stream": False, "started": started, "status": 200,
        "is_complete": True, "usage": ServedUsage(prompt=100, completion=7),
    } | given))  # fmt: skip


def test_waste_is_judged_by_what_was_served_and_must_be_the_same_in_metrics_and_ledger() -> None:
    whole = 100 * 1250 + 7 * 10_000
    wanted = [ToolCall("stock_level", {"article": "lamp"})]
    expected = served_waste(
        answer(0.0), answer(5.0), answer(500.0), answer(5000.0),  # the last one comes more than an hour later
        answer(0.0, body_hash="broke", is_complete=False),
        answer(0.0, body_hash="left", is_complete=False, client_gone=True),
        answer(0.0, body_hash="read", prefix=1, usage=ServedUsage(prompt=2000, cache_read=1024)),
        answer(20.0, body_hash="lost", prefix=1, usage=ServedUsage(prompt=2000)),
        answer(400.0, body_hash="late", prefix=1, usage=ServedUsage(prompt=2000)),  # later than any vendor keeps it
        *(answer(9.0, body_hash=f"step {step}", tool_results=step, tool_calls=wanted) for step in range(4)),
    )  # fmt: skip
    who = ("openai", "gpt-5")
    assert expected == {
        (*who, "retried"): whole,
        (*who, "duplicate"): whole,
        (*who, "failed"): whole,
        (*who, "aborted"): whole,
        (*who, "cache_miss"): 1024 * (1250 - 125),
        (*who, "loop"): whole,
    }
    assert waste_differences(expected, {}, expected, expected) == []
    (told,) = waste_differences(expected, {}, expected, {})
    assert told == "waste: metrics $0.002127000, ledger $0.000000000"
    for cause in ("retried", "failed", "aborted", "cache_miss", "loop"):
        other = expected | {(*who, cause): whole + 1}
        assert any(
            f"wasted by {cause}, the metrics say" in told for told in waste_differences(expected, {}, other, other)
        )


def test_unknown_incidents_and_idle_rates_are_refused() -> None:
    with pytest.raises(TachographError, match="Choose one of rate-limit-storm"):
        Demo(incident="flood")
    with pytest.raises(TachographError, match="above 0"):
        Demo(rate=0)


def test_the_command_line_knows_every_incident() -> None:
    from tachograph.cli.demo import INCIDENTS as OFFERED

    assert set(OFFERED) == set(INCIDENTS)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--rate", "fast", "must be a number, not 'fast'"),
        ("--rate", "0", "must be a number above 0, not '0'"),
        ("--duration", "inf", "must be a number above 0, not 'inf'"),
        ("--incident-at", "-5", "must be 0 or more, not '-5'"),
        ("--metrics-port", "65536", "must be a whole number from 0 to 65535, not '65536'"),
        ("--console-port", "-1", "must be a whole number from 0 to 65535, not '-1'"),
    ],
)
def test_a_wrong_option_is_refused_in_words(
    option: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: {words}" in capsys.readouterr().err


def test_an_incident_after_the_end_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--duration", "20", "--incident", "hang-ups", "--incident-at", "20"]) == 2
    said = "the incident would begin when the demo has ended (in --incident-at). Begin it earlier"
    assert said in capsys.readouterr().err


def test_a_taken_port_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option in ("--metrics-port", "--console-port"):
            ports = {"--metrics-port": "0", "--console-port": "0", option: str(port)}
            arguments = [part for pair in ports.items() for part in pair]
            done = subprocess.run(
                [sys.executable, "-m", "tachograph", "demo", "--duration", "1", *arguments],
                capture_output=True,
                text=True,
                timeout=240,
            )
            assert done.returncode == 2
            assert f"{option} {port}" in done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", part([signal.SIGINT, signal.SIGTERM], signal.SIGINT))
def test_a_signal_ends_the_command_with_its_children_and_code_0(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tachograph", "demo", "--metrics-port", "0", "--no-console", "--rate", "10"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines = []
    children: set[int] = set()
    for line in process.stdout:
        lines.append(line)
        if all(f"{server}=1" in line for server in ("git", "time", "workshop")):
            children = set(processes_of(process.pid))
            os.killpg(process.pid, number)  # the whole group, as Ctrl-C in a terminal does
            break
    rest = process.stdout.read()
    assert (process.wait(60), process.stderr.read()) == (0, "")
    assert "truth: served = metrics = ledger" in rest
    assert "metrics http://127.0.0.1:" in lines[0]
    assert len(children) == 3
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
