"""Stores that are down, hung, full or refuse a row: records wait, drain by themselves, and the application goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ledgers import eventually, make_recorder, metric, one_call
from support.postgres import PostgresServer
from support.small_disk import small_disk
from tachograph.recorder import Recorder
from tachograph.usage.stores import Store, open_store
from tachograph.usage.stores.query import Query
from tachograph.usage.watchdog import Watchdog


def stored_numbers(store: Store) -> list[int]:
    return sorted((row.input_tokens or 0) - 100 for row in store.rows(Query()))


def test_a_record_that_is_no_row_is_set_aside_and_its_neighbours_are_stored(store_url: str, tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, url=store_url)
    for number in range(200):
        one_call(recorder, number)
        if number in (77, 99):
            call = recorder.start_llm_call("openai", "gpt-5")
            if number == 77:
                call.given_id = b"too long to be an id" * 2  # as a record would be that a store cannot hold
            else:
                call.model = 5  # type: ignore[assignment]
            recorder.ledger.accept(call)
    assert recorder.ledger.flush(20)
    store = open_store(store_url)
    assert stored_numbers(store) == list(range(200))
    assert [(item.reason, item.records) for item in store.quarantine()] == [("invalid", 1)] * 2
    store.close()
    recorder.ledger.close()


def test_a_poison_row_is_found_by_halving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tachograph.usage.stores.sqlite import SQLiteStore

    values = SQLiteStore.__init__

    def poisoned(self: SQLiteStore, *args: object, **kwargs: object) -> None:
        values(self, *args, **kwargs)  # type: ignore[arg-type]
        plain = self._values

        def bad(row, now):  # type: ignore[no-untyped-def]
            found = list(plain(row, now))
            if row.input_tokens in (123, 150):
                found[1] = "not a time"
            return tuple(found)

        self._values = bad

    monkeypatch.setattr(SQLiteStore, "__init__", poisoned)
    recorder = make_recorder(tmp_path)
    for number in range(300):
        one_call(recorder, number)
    assert recorder.ledger.flush(20)
    store = recorder.ledger.open_store()
    assert stored_numbers(store) == [number for number in range(300) if number not in (23, 50)]
    kept = store.quarantine()
    assert [item.reason for item in kept] == ["rejected", "rejected"]
    assert all("usage.ts_us" in item.detail for item in kept)
    store.close()
    assert metric(recorder, "llm_usage_records_quarantined_total", "rejected") == 2
    assert metric(recorder, "llm_usage_persist_errors_total", "validation") >= 1
    recorder.ledger.close()


def test_records_wait_while_the_store_is_down_and_drain_when_it_is_back(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    recorder = make_recorder(tmp_path, url=postgres.url(), timeout_seconds=2.0)
    one_call(recorder, 0)
    assert recorder.ledger.flush(20)
    postgres.stop("immediate")
    try:
        for number in range(1, 500):
            one_call(recorder, number)
        eventually(lambda: metric(recorder, "llm_usage_persist_errors_total", "db_error") > 0, "a failure is counted")
        assert recorder.ledger.flush(0.05) is False
        assert metric(recorder, "llm_usage_persist_seconds", "error") > 0
        assert metric(recorder, "llm_usage_persist_queue_size") == 499
        assert metric(recorder, "llm_usage_persist_oldest_age_seconds") > 0
    finally:
        postgres.start()
    assert recorder.ledger.flush(30)
    assert metric(recorder, "llm_usage_persist_queue_size") == 0
    store = recorder.ledger.open_store()
    assert stored_numbers(store) == list(range(500))
    store.close()
    recorder.ledger.close()


def test_a_hung_connection_is_cut_and_the_call_never_waits(tmp_path: Path, postgres: PostgresServer) -> None:
    recorder = make_recorder(tmp_path, url=postgres.url(), timeout_seconds=4.0)
    one_call(recorder, 0)
    assert recorder.ledger.flush(20)
    slowest = 0.0
    with postgres.hung():
        for number in range(1, 200):
            started = time.perf_counter()
            one_call(recorder, number)
            slowest = max(slowest, time.perf_counter() - started)
        eventually(lambda: metric(recorder, "llm_usage_persist_errors_total", "timeout") > 0, "the hang is cut", 30)
    assert slowest < 3.0, "a call waited for the store, which hangs until it is cut after four seconds"
    assert recorder.ledger.flush(60)
    store = recorder.ledger.open_store()
    assert stored_numbers(store) == list(range(200))
    store.close()
    recorder.ledger.close()


def test_the_watchdog_cuts_what_hangs_and_nothing_else() -> None:
    watchdog = Watchdog(0.2)
    cuts: list[float] = []
    with watchdog.guard(lambda: cuts.append(0)):
        assert not watchdog.fired
    with watchdog.guard(lambda: cuts.append(time.monotonic())):
        started = time.monotonic()
        eventually(lambda: bool(cuts), "the block is cut")
        assert watchdog.fired
    assert cuts[0] - started >= 0.15
    with watchdog.guard(lambda: cuts.append(0)):
        assert not watchdog.fired
    watchdog.stop()


def test_a_store_that_is_too_slow_for_a_batch_gets_smaller_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tachograph.usage.stores import StoreTimeout
    from tachograph.usage.stores.sqlite import SQLiteStore

    write = SQLiteStore.write
    sizes: list[int] = []

    def slow(self: SQLiteStore, rows: list[object], **more: object) -> int:
        sizes.append(len(rows))
        if len(rows) > 300:
            raise StoreTimeout("too much for me")
        return write(self, rows, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(SQLiteStore, "write", slow)
    recorder = make_recorder(tmp_path, writer="external")
    for number in range(1500):
        one_call(recorder, number)
    recorder.ledger._queue.after_fork_in_child()
    writer = make_recorder(tmp_path, writer="external")
    assert writer.ledger.drain(30)
    store = writer.ledger.open_store()
    assert stored_numbers(store) == list(range(1500))
    store.close()
    assert sizes[0] == 1500
    assert 250 in sizes


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, megabytes=12) as place:
        yield place


def fill(recorder: Recorder, refused: str) -> int:
    """Hand over until records are refused for that reason; how many were handed over."""
    number = 0
    while not recorder.ledger._queue.refused[refused]:
        one_call(recorder, number)
        number += 1
        assert number < 200_000
    for _ in range(100):
        one_call(recorder, number)
        number += 1
    return number


def test_a_full_disk_refuses_by_count_and_drains_without_free_space(small_disk: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    recorder = make_recorder(small_disk, url=url, writer="external", segment_mb=1)
    handed_over = fill(recorder, "disk_full")
    accepted = metric(recorder, "llm_usage_records_accepted_total")
    refused = metric(recorder, "llm_usage_records_refused_total", "disk_full")
    assert accepted + refused == handed_over
    assert refused >= 100
    space = os.statvfs(small_disk)
    assert space.f_bavail * space.f_frsize < 8192
    assert metric(recorder, "llm_usage_persist_queue_size") == accepted
    writer = make_recorder(small_disk, url=url, writer="external")
    recorder.ledger._queue.after_fork_in_child()  # the producer is gone
    assert writer.ledger.drain(60)
    store = writer.ledger.open_store()
    assert store.count() == accepted
    assert store.quarantine() == []
    store.close()


def test_a_store_on_a_full_disk_loses_nothing_and_drains_once_there_is_space(small_disk: Path) -> None:
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 9 << 20)
    recorder = make_recorder(small_disk, segment_mb=0.2)
    handed_over = fill(recorder, "disk_full")
    accepted = metric(recorder, "llm_usage_records_accepted_total")
    assert accepted + metric(recorder, "llm_usage_records_refused_total", "disk_full") == handed_over
    eventually(lambda: metric(recorder, "llm_usage_persist_errors_total", "db_error") > 0, "the store says it is full")
    filler.unlink()
    assert recorder.ledger.flush(60)
    one_call(recorder, 5)
    assert recorder.ledger.flush(60)
    store = recorder.ledger.open_store()
    assert store.count() == metric(recorder, "llm_usage_records_accepted_total")
    assert sum(row["n"] for row in store.usage(Query(by=("hour",)))) == store.count()
    store.close()
    recorder.ledger.close()


EXITING = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from support.ledgers import make_recorder, one_call
recorder = make_recorder(Path({directory!r}))
for number in range(300):
    one_call(recorder, number)
"""


def test_an_ending_process_stores_its_last_records(tmp_path: Path) -> None:
    code = EXITING.format(path=sys.path, directory=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    store = open_store(f"sqlite:///{tmp_path / 'ledger.db'}", read_only=True)
    assert stored_numbers(store) == list(range(300))
    store.close()
    assert list((tmp_path / "journals").iterdir()) == []


def test_an_ending_process_does_not_wait_for_a_store_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("")
    url = f"sqlite:///{tmp_path / 'blocked' / 'ledger.db'}"
    code = EXITING.format(path=sys.path, directory=str(tmp_path)).replace(
        "make_recorder(Path(", f"make_recorder(url={url!r}, exit_seconds=0.2, directory=Path("
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0
    assert "records wait in the journals" in done.stderr
    writer = make_recorder(tmp_path, writer="external")
    assert writer.ledger.drain(20)
    store = writer.ledger.open_store()
    assert stored_numbers(store) == list(range(300))
    store.close()
