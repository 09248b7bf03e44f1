"""A SQLite ledger on a full disk empties its journals all the same, with the space that it has reserved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ledgers import make_recorder, metric, one_call, sums
from support.small_disk import small_disk
from tachograph.usage.stores import StoreFull, open_store
from tachograph.usage.stores.reserve import Reserve


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, megabytes=24) as place:
        yield place


def free(place: Path) -> int:
    space = os.statvfs(place)
    return space.f_bavail * space.f_frsize


def take(place: Path, leave: int) -> Path:
    """A file of another program fills the disk."""
    path = place / f"others-{leave}"
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free(place) - leave)
    return path


def test_journals_on_a_full_disk_are_emptied_into_sqlite_on_the_same_disk(small_disk: Path) -> None:
    first = make_recorder(small_disk)
    one_call(first, 0)
    assert first.ledger.flush(20)
    first.ledger.close()
    reserve = small_disk / "ledger.db.reserve"
    assert reserve.stat().st_size == (24 << 20) // 5

    take(small_disk, leave=3 << 20)
    producer = make_recorder(small_disk, writer="external", segment_mb=0.2)
    number = 0
    while not producer.ledger._queue.refused["disk_full"]:
        one_call(producer, number)
        number += 1
    accepted = metric(producer, "llm_usage_records_accepted_total")
    assert accepted > 8000
    assert free(small_disk) < 8192
    producer.ledger._queue.after_fork_in_child()  # the producer is gone

    writer = make_recorder(small_disk, writer="external")
    assert writer.ledger.drain(60)

    store = writer.ledger.open_store()
    assert store.count() == accepted + 1
    assert sums(store) == sums(store, raw=True)
    assert store.quarantine() == []
    store.close()


def test_without_a_reserve_a_full_disk_says_so_and_what_is_stored_is_whole(small_disk: Path) -> None:
    source = make_recorder(small_disk / "source")
    for number in range(3000):
        one_call(source, number)
    assert source.ledger.flush(20)
    full = source.ledger.open_store()
    from tachograph.usage.stores.query import Query

    rows = list(full.rows(Query()))
    full.close()
    source.ledger.close()
    store = open_store(f"sqlite:///{small_disk / 'other.db'}")
    store.write(rows[:100], ingested_us=1)
    (small_disk / "other.db.reserve").unlink()
    take(small_disk, leave=64 << 10)
    with pytest.raises(StoreFull):
        store.write(rows, ingested_us=1)
    assert store.count() == 100
    assert sums(store) == sums(store, raw=True)
    store.close()


def test_a_reserve_gives_in_pieces_and_is_filled_again_when_there_is_space(small_disk: Path) -> None:
    reserve = Reserve(small_disk / "a.db")
    assert reserve.keep()
    whole = reserve.path.stat().st_size
    others = take(small_disk, leave=0)
    assert reserve.is_disk_full()
    assert reserve.give(1 << 20) == 1 << 20
    assert reserve.path.stat().st_size == whole - (1 << 20)
    assert free(small_disk) >= 1 << 20
    assert reserve.give(1 << 30) == whole - (1 << 20)
    assert not reserve.path.exists()
    assert reserve.give(1) == 0
    take(small_disk, leave=1 << 20)
    reserve._looked_at = 0.0
    assert not reserve.keep(), "there is no plenty of space"
    others.unlink()
    reserve._looked_at = 0.0
    assert reserve.keep()
    assert reserve.path.stat().st_size == whole
