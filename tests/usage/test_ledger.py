"""The ledger as an application meets it: what it accepts is in the store once, and the metrics say what is true."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

import tachograph
from support.ledgers import eventually, make_recorder, metric, one_call, one_tool_call, sums
from tachograph import runtime
from tachograph.errors import SettingsError
from tachograph.records import Usage
from tachograph.usage.stores.query import Query


def test_what_is_accepted_is_in_the_store_with_its_sums(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    for number in range(100):
        one_call(recorder, number, team="search")
    one_tool_call(recorder)
    ledger = recorder.ledger
    assert ledger.flush(10)
    with_store = ledger.open_store(read_only=True)
    assert with_store.count() == 101
    total = sums(with_store)
    assert total["input_tokens"] == sum(100 + number for number in range(100))
    assert total["cost_nusd"] == sum(1000 + number for number in range(100))
    assert sums(with_store, by=("label:team",), where={"label:team": ("search",)})["n"] == 100
    assert sums(with_store, raw=True) == total
    with_store.close()
    assert metric(recorder, "llm_usage_persist_queue_size") == 0
    assert metric(recorder, "llm_usage_records_accepted_total") == 101
    assert metric(recorder, "llm_usage_persist_seconds", "success") > 0
    assert metric(recorder, "llm_usage_persist_seconds", "error") == 0
    assert metric(recorder, "llm_usage_writer_alive") == 1
    assert metric(recorder, "llm_usage_records_lost_total") == 0
    assert ledger.close()
    assert list((tmp_path / "journals").iterdir()) == []


def test_closing_waits_for_no_more_rows_to_gather(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, interval_seconds=60)
    one_call(recorder)
    assert recorder.ledger.flush(60)
    began = time.monotonic()
    assert recorder.ledger.close(200)  # of the journal there is only its end to read
    assert time.monotonic() - began < 60


def test_a_row_comes_back_as_the_call_was(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    call = recorder.start_llm_call("anthropic", "claude-opus", "chat", stream=True, labels={"team": "a", "x": "ü"})
    call.begin_attempt().end("rate_limited", "rate_limit", status=429)
    call.begin_attempt()
    call.first_token()
    call.usage = Usage(None, 12, {"reasoning": 4}, {"web_search": 2}, 1.5)
    call.response_id, call.finish_reason, call.trace_id, call.span_id = "msg_1", "end_turn", 2**127 + 5, 77
    call.finish("success")
    assert recorder.ledger.flush(10)
    store = recorder.ledger.open_store(read_only=True)
    (row,) = store.rows(Query())
    store.close()
    assert row.id == call.id
    assert (row.provider, row.model, row.operation, row.outcome) == (
        "anthropic",
        "claude-opus",
        "chat",
        "success",
    )
    assert (row.input_tokens, row.output_tokens, row.details) == (None, 12, {"reasoning": 4})
    assert (row.tool_uses, row.audio_seconds, row.labels) == ({"web_search": 2}, 1.5, {"team": "a", "x": "ü"})
    assert (row.attempts, row.stream, row.is_unpriced, row.cost_nusd) == (2, True, True, None)
    assert row.trace_id == (2**127 + 5).to_bytes(16, "big")
    assert row.span_id == (77).to_bytes(8, "big")
    assert row.ttft_us is not None
    assert row.wait_us == round(call.rate_limit_wait_seconds * 1e6)
    recorder.ledger.close()


def test_threads_hand_over_without_losing_or_doubling(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, segment_mb=0.02)
    ids: list[bytes] = []

    def work() -> None:
        for number in range(300):
            ids.append(one_call(recorder, number).id)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.ledger.flush(20)
    store = recorder.ledger.open_store(read_only=True)
    assert sorted(row.id for row in store.rows(Query())) == sorted(ids)
    store.close()
    recorder.ledger.close()


def test_a_forked_child_has_a_journal_of_its_own(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    ids = [one_call(recorder).id for _ in range(50)]
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        child_ids = [one_call(recorder).id for _ in range(50)]
        os.write(writer, b"".join(child_ids))
        os._exit(0)
    os.close(writer)
    ids += [one_call(recorder).id for _ in range(50)]
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    ids += [data[start : start + 16] for start in range(0, len(data), 16)]
    assert len(ids) == 150
    store = recorder.ledger.open_store()
    eventually(lambda: store.count() == 150, "the child's and the parent's calls are stored")
    assert sorted(row.id for row in store.rows(Query())) == sorted(ids)
    store.close()
    recorder.ledger.close()


def test_labels_are_hashed_before_they_touch_a_disk(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, hash_labels=("user",), hash_key="a secret of some length", writer="external")
    one_call(recorder, user="alice@example.com", team="a")
    files = list((tmp_path / "journals").iterdir())
    assert files
    assert all(b"alice" not in path.read_bytes() for path in files)
    assert any(b"hmac:" in path.read_bytes() for path in files)


def test_hashing_without_a_key_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="hash_key"):
        make_recorder(tmp_path, hash_labels=("user",))


def test_a_directory_that_cannot_be_made_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"ledger\.data_dir"):
        make_recorder(tmp_path / "file" / "ledger")


def test_past_the_spool_limit_records_are_refused_and_counted(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, spool_limit_mb=0.1, writer="external")
    for number in range(1000):
        one_call(recorder, number)
    accepted = metric(recorder, "llm_usage_records_accepted_total")
    refused = metric(recorder, "llm_usage_records_refused_total", "queue_full")
    assert accepted + refused == 1000
    assert refused > 0
    assert metric(recorder, "llm_usage_persist_queue_size") == accepted
    assert metric(recorder, "llm_usage_spool_bytes") < 150_000
    assert metric(recorder, "llm_usage_writer_alive") == 0
    assert metric(recorder, "llm_usage_persist_oldest_age_seconds") > 0


def test_memory_mode_keeps_records_until_the_store_has_them(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, mode="memory")
    for number in range(500):
        one_call(recorder, number)
    assert recorder.ledger.flush(10)
    store = recorder.ledger.open_store(read_only=True)
    assert store.count() == 500
    store.close()
    assert not (tmp_path / "journals").exists() or not list((tmp_path / "journals").iterdir())
    recorder.ledger.close()


def test_a_full_queue_in_memory_refuses_and_counts(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, mode="memory", queue_limit=10, url=f"sqlite:///{tmp_path}/no/such\0/dir.db")
    for number in range(50):
        one_call(recorder, number)
    assert metric(recorder, "llm_usage_records_refused_total", "queue_full") == 40
    assert metric(recorder, "llm_usage_persist_queue_size") == 10


def test_configure_keeps_a_ledger_and_hands_over_to_the_next(tmp_path: Path) -> None:
    before = runtime.set_recorder(None)
    try:
        first = tachograph.configure(ledger={"data_dir": str(tmp_path)})
        one_call(first)
        second = tachograph.configure(ledger={"data_dir": str(tmp_path)})
        one_call(first)  # a call that was under way finishes on the old one
        one_call(second)
        store = second.ledger.open_store()
        eventually(lambda: store.count() == 3, "all three calls are stored")
        store.close()
        first.ledger.close()
        second.ledger.close()
        assert tachograph.configure(ledger={"enabled": False}).ledger is None
    finally:
        runtime.set_recorder(before)
