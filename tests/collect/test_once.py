"""A call is recorded once, however often and by whichever senders it is reported, and what was accepted is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collect.conftest import OPENAI, TRACE, USED, Collected, span, traces
from support.console_client import Client
from support.ledgers import eventually
from support.small_disk import small_disk
from tachograph.collect import start
from tachograph.errors import SettingsError, TachographError
from tachograph.records import NOWHERE, LLMCall, Usage
from tachograph.settings import Settings, load
from tachograph.usage.journal import Journal
from tachograph.usage.ledger import Ledger
from tachograph.usage.stores.open import open_store
from tachograph.usage.stores.query import Query
from tachograph.usage.writer import Writer

CALLS = 'llm_call_seconds_count{provider="openai",model="gpt-5",outcome="success"}'
ANSWER = {"gen_ai.response.id": "chatcmpl-1"}


def test_a_span_that_comes_again_is_one_call(collected: Collected) -> None:
    body = traces(span(OPENAI | USED))
    for _ in range(3):
        assert collected.send(body).status == 200
    assert len(collected.rows()) == 1
    assert collected.metric(CALLS) == 1
    assert collected.metric('tachograph_otlp_received_total{signal="traces",result="duplicate"}') == 2


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"number": 1}, {"number": 2, "parentSpanId": f"{1:016x}"}),
        ({"number": 2, "parentSpanId": f"{1:016x}"}, {"number": 1}),
        ({"number": 1, "more": ANSWER}, {"number": 2, "more": ANSWER}),
    ],
    ids=["inside", "around", "same answer"],
)
def test_two_accounts_of_one_call_are_one_call(
    collected: Collected, first: dict[str, Any], second: dict[str, Any], apart: bool
) -> None:
    spans = [span(OPENAI | USED | one.pop("more", {}), **one) for one in (dict(first), dict(second))]
    for body in [traces(one) for one in spans] if apart else [traces(*spans)]:
        collected.send(body)
    (row,) = collected.rows()
    assert (row.input_tokens, collected.metric(CALLS)) == (1000, 1)


def test_of_two_accounts_that_come_together_the_one_with_usage_is_kept(collected: Collected) -> None:
    collected.send(traces(span(OPENAI, number=1), span(OPENAI | USED, number=2, parentSpanId=f"{1:016x}")))
    (row,) = collected.rows()
    assert row.input_tokens == 1000


def test_calls_that_only_look_alike_stay_apart(collected: Collected) -> None:
    later = span(OPENAI | ANSWER, number=2)
    later |= {"startTimeUnixNano": str(int(later["startTimeUnixNano"]) + 10**10),
              "endTimeUnixNano": str(int(later["endTimeUnixNano"]) + 10**10)}  # fmt: skip
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "ask"}
    collected.send(
        traces(
            span(OPENAI | ANSWER, number=1),
            later,  # small servers use an id again
            span(tool, number=3),
            span(tool | {"gen_ai.tool.name": "search"}, number=4, parentSpanId=f"{3:016x}"),
            span(OPENAI, number=5, parentSpanId=f"{3:016x}"),
        )
    )
    assert len(collected.rows()) == 5


def test_a_call_that_the_application_has_recorded_itself_is_not_recorded_again(collected: Collected) -> None:
    own = LLMCall(NOWHERE, "openai", "gpt-5")
    theirs = span(OPENAI | USED | ANSWER, number=2, parentSpanId=f"{1:016x}")
    own.started_unix_ns = own.started_ns = int(theirs["startTimeUnixNano"])
    own.usage, own.trace_id, own.span_id = Usage(1000, 100), int(TRACE, 16), 1
    own.end("success", ended_ns=own.started_ns + 2_000_000_000)
    assert collected.running.ledger.keep([own]) is None
    assert collected.running.ledger.flush()
    collected.send(traces(theirs))
    assert [row.id for row in collected.rows()] == [own.id]
    assert collected.metric('tachograph_otlp_received_total{signal="traces",result="duplicate"}') == 1


def test_a_span_of_another_tachograph_is_kept_under_its_id_and_left_to_that_one_s_metrics(collected: Collected) -> None:
    identity = "00" * 15 + "07"
    ours = {"provider": "openai", "model": "gpt-5", "prompt_tokens": 9, "tachograph.call_id": identity}
    collected.send(traces(span(ours, name="llm.complete")))
    (row,) = collected.rows()
    assert (row.id.hex(), row.input_tokens, row.labels) == (identity, 9, None)
    assert collected.metric(CALLS) == 0
    assert collected.metric('tachograph_otlp_received_total{signal="traces",result="own"}') == 1


def test_what_a_full_disk_refuses_is_not_counted_and_is_taken_when_it_comes_again(tmp_path: Path) -> None:
    body = traces(span(OPENAI | USED))
    with small_disk(tmp_path, megabytes=24) as disk:
        settings = load({"ledger": {"data_dir": str(disk / "ledger")}}, environ={}, read_file=False)
        with start(settings, port=0) as running:
            collected = Collected(running)
            filler = disk / "filler"
            space = os.statvfs(disk)
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize)
            answer = collected.send(body)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "disk_full" in answer.body.decode()
            assert collected.metric(CALLS) == 0
            filler.unlink()
            eventually(lambda: collected.send(body).status == 200, "the sender may try again after a second")
            assert len(collected.rows()) == 1
            assert collected.metric(CALLS) == 1


def test_a_call_is_in_the_journal_before_the_sender_gets_its_answer(
    collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writer, "step", lambda self: 0.01)  # nothing reaches the store
    assert collected.send(traces(span(OPENAI | USED))).status == 200
    queue = collected.running.ledger._queue
    assert isinstance(queue, Journal)
    assert queue.sequence == 1


@contextmanager
def process(directory: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    environment = {**os.environ, "TACHOGRAPH_LEDGER_DATA_DIR": str(directory)}
    command = [sys.executable, "-m", "tachograph", "collect", "--port", "0"]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        url = running.stdout.readline().partition("ENDPOINT=")[2].split(" ")[0]
        yield running, Client(url)
    finally:
        running.kill()
        running.wait(60)
        if running.stdout is not None:
            running.stdout.close()


def test_what_was_said_yes_to_outlives_kill_9_and_is_once_there_when_it_comes_again(tmp_path: Path) -> None:
    bodies = [traces(*(span(OPENAI | USED, number=10 * batch + n) for n in range(1, 6))) for batch in range(4)]
    with process(tmp_path) as (running, client):
        for body in bodies:
            assert client.post("/v1/traces", body, "application/json").status == 200
        running.send_signal(signal.SIGKILL)
        running.wait(60)
    with process(tmp_path) as (running, client):
        for body in bodies:
            assert client.post("/v1/traces", body, "application/json").status == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    store = open_store(f"sqlite:///{tmp_path / 'ledger.db'}", read_only=True)
    rows = list(store.rows(Query()))
    store.close()
    assert len(rows) == len({row.id for row in rows}) == 20


def own_settings(directory: Path, **ledger: Any) -> Settings:
    return load({"ledger": {"data_dir": str(directory), **ledger}}, environ={}, read_file=False)


def test_senders_and_prometheus_show_the_token(tmp_path: Path) -> None:
    token = "a long random secret"
    with start(own_settings(tmp_path), port=0, token=token) as running:
        stranger, known = Collected(running), Collected(running, token)
        body = traces(span(OPENAI))
        assert stranger.send(body).status == 401
        assert stranger.client.request("GET", "/metrics").status == 401
        assert stranger.client.request("GET", "/-/healthy").status == 200
        assert known.send(body).status == 200
        assert known.client.request("GET", "/metrics").status == 200
        assert len(known.rows()) == 1


def test_a_page_of_another_site_cannot_send(collected: Collected) -> None:
    answer = collected.client.request(
        "POST", "/v1/traces", body=traces(span(OPENAI)),
        headers={"Content-Type": "application/json", "Origin": "https://example.com"},
    )  # fmt: skip
    assert answer.status == 403


def test_the_collector_refuses_to_start_unsafe(tmp_path: Path) -> None:
    with pytest.raises(TachographError, match="needs a token"):
        start(own_settings(tmp_path), host="0.0.0.0", port=0)
    with pytest.raises(SettingsError, match="outlives"):
        start(own_settings(tmp_path, mode="memory"), port=0)


def test_metrics_of_senders_are_accepted_and_left_alone(collected: Collected) -> None:
    assert collected.client.post("/v1/metrics", b'{"resourceMetrics": []}', "application/json").status == 200
    assert collected.metric('tachograph_otlp_received_total{signal="metrics",result="no_call"}') == 1


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tachograph.collect import recorded_calls
    from tachograph.records.projection import Projection

    monkeypatch.setattr(recorded_calls, "MOST", 10)
    calls = recorded_calls.RecordedCalls(lambda: None)
    rows = [
        Projection(n.to_bytes(16, "big"), n, "llm", "openai", "gpt-5", "chat", "success", response_id=f"r{n}")
        for n in range(1, 31)
    ]
    for row in rows:
        calls.add(row)
    assert [calls.has(row) for row in rows] == [False] * 20 + [True] * 10
    assert len(calls._by_key) == 10


def test_the_ledger_keeps_what_it_says_it_keeps(tmp_path: Path) -> None:
    from tachograph.signals.registry import Metrics

    ledger = Ledger(own_settings(tmp_path).ledger, Metrics(()))
    call = LLMCall(NOWHERE, "openai", "gpt-5")
    call.end("success", ended_ns=1)
    assert ledger.keep([call]) is None
    assert ledger.flush()
    assert [row.id for row in ledger._read(lambda store: list(store.rows(Query())))] == [call.id]
    assert ledger.close()
