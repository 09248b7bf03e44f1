"""A ledger of the edition before: its tables migrate with no row lost, and its journals' frames still drain."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path

import pytest

from support.ledgers import make_recorder
from tachograph.cli import main
from tachograph.records import RUN, Run, Usage
from tachograph.usage.ledger import Ledger
from tachograph.usage.migrations import migrate
from tachograph.usage.row import decode
from tachograph.usage.stores.errors import UnknownVersion
from tachograph.usage.stores.open import open_store
from tachograph.usage.stores.query import Query

OLD = Path(__file__).with_name("ledger_0002.sql")
"""A store as the first edition wrote it: six LLM calls and a tool call."""
FRAMES = (
    "3AAgxBADAwMDAwMDAwMDAwMDAwMDzwAGW/7aU6bAo2xsbaZvcGVuYWmlZ3B0LTWkY2hhdKdzdWNjZXNzwM4AB6EgwALOAB6EgMLDZxSCqmNhY2hl"
    "X3JlYWQ8qXJlYXNvbmluZwXAwM4AD0JDpnByaWNlZLJnZW5haS1wcmljZXMvMC4yLjOqZ3B0LTUtMjAyNalyZXNwb25zZXPAwKJyM6JxM8DAwIKk"
    "dGVhbaZzZWFyY2ikdXNlcqJ1MQ==",
    "3AAgxBAJCQkJCQkJCQkJCQkJCQkJzwAGW/7akK/Ao21jcKR0aW1lqGdldF90aW1lrGV4ZWN1dGVfdG9vbKVlcnJvcqlleGVjdXRpb27NE4jAAQDC"
    "w8DAwMDAwMDAwMDAwMDAwMDAwA==",
)
"""Two records as the first edition's journals hold them."""
SUMS = ("n", "attempts", "wait_us", "input_tokens", "output_tokens", "cost_nusd", "unpriced", "latency_us")


def old_store(folder: Path) -> str:
    path = folder / "ledger.db"
    with sqlite3.connect(path) as database:
        database.executescript(OLD.read_text())
    database.close()
    return f"sqlite:///{path}"


def test_an_old_store_is_refused_and_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UnknownVersion, match="tachograph ledger migrate"):
        open_store(old_store(tmp_path))


@pytest.mark.parametrize("command", [["report", "--by", "run"], ["run-cost", "r1"], ["export-focus", "calls.csv"]])
def test_a_report_that_an_old_store_cannot_give_says_what_to_run(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--store", old_store(tmp_path)]) == 2
    assert "run: tachograph ledger migrate" in capsys.readouterr().err


def test_an_old_store_migrates_with_every_row_and_sum(tmp_path: Path) -> None:
    url = old_store(tmp_path)
    assert migrate(url) == ("0002", "0004")
    store = open_store(url, rollup_labels=("team",))
    try:
        rows = list(store.rows(Query(raw=True)))
        assert [row.model for row in rows] == ["gpt-5"] * 6 + ["get_time"]
        assert {(row.run_id, row.agent, row.retry_wait_us) for row in rows} == {(None, None, 0)}
        for raw in (False, True):
            (found,) = store.usage(Query(raw=raw, where={"kind": ("llm",)}))
            assert [found[name] for name in SUMS] == [6, 7, 2_000_000, 615, 120, 5_000_010, 1, 3_000_000]
        store.write([decode(base64.b64decode(frame)) for frame in FRAMES], ingested_us=1)  # known: nothing is doubled
        assert store.count() == 7
    finally:
        store.close()


def test_frames_of_old_journals_still_drain(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    ledger = recorder.ledger
    assert isinstance(ledger, Ledger)
    token = RUN.set(Run("run-1", "refund-agent", user_id="alice"))
    call = recorder.start_llm_call("openai", "gpt-5")
    RUN.reset(token)
    call.usage = Usage(10, 5)
    call.finish("success")
    for frame in FRAMES:
        ledger._queue.append(base64.b64decode(frame))
    assert ledger.flush(20)
    store = ledger.open_store(read_only=True)
    rows = sorted(store.rows(Query(raw=True)), key=lambda row: row.ts_us)
    store.close()
    ledger.close()
    assert [(row.response_id, row.wait_us, row.run_id) for row in rows[:2]] == [
        ("r3", 2_000_000, None),
        (None, 0, None),
    ]
    assert (rows[2].run_id, rows[2].agent, rows[2].user_id) == ("run-1", "refund-agent", "alice")


def test_erasing_a_user_takes_the_rows_that_the_run_names_too(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    ledger = recorder.ledger
    assert isinstance(ledger, Ledger)
    for user in ("alice", "bob"):
        token = RUN.set(Run(f"run-{user}", "refund-agent", session_id=f"session-{user}", user_id=user))
        recorder.start_tool_call("time", "get_time").finish("success")
        RUN.reset(token)
    assert ledger.close(20)
    store = ledger.open_store()
    assert store.erase("user_id", "alice", 1) == 1
    rows = list(store.rows(Query(raw=True)))
    store.close()
    assert {(row.user_id, row.session_id, row.run_id) for row in rows} == {
        (None, None, None), ("bob", "session-bob", "run-bob"),
    }  # fmt: skip


def test_user_and_session_are_hashed_where_the_settings_say_so(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, hash_labels=("user_id",), hash_key="k" * 20)
    ledger = recorder.ledger
    assert isinstance(ledger, Ledger)
    token = RUN.set(Run("run-1", "refund-agent", session_id="s", user_id="alice"))
    recorder.start_tool_call("time", "get_time").finish("success")
    RUN.reset(token)
    assert ledger.close(20)
    store = ledger.open_store(read_only=True)
    (row,) = store.rows(Query(raw=True))
    store.close()
    assert row.user_id is not None
    assert row.user_id.startswith("hmac:")
    assert row.session_id == "s"
