"""Retention: a wrong clock removes nothing; a right one removes what is too old, a share at a time."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from msgspec import structs

from support.ledgers import make_recorder, one_call
from tachograph.usage.retention import Retention
from tachograph.usage.row import Row
from tachograph.usage.stores.base import Store
from tachograph.usage.stores.open import open_store
from tachograph.usage.stores.query import DAY_US, Query

DAY = 86_400.0
TODAY = 1_750_000_000.0
DAYS_KEPT = 90


class Clocks:
    """A wall clock and a monotonic clock that go on together, unless a test moves one."""

    def __init__(self) -> None:
        self.now, self.ran = TODAY, 5000.0
        self.jumps = 0

    def go_on(self, seconds: float) -> None:
        self.now += seconds
        self.ran += seconds

    def retention(self) -> Retention:
        def jumped() -> None:
            self.jumps += 1

        return Retention({"rows": DAYS_KEPT}, jumped, wall=lambda: self.now, monotonic=lambda: self.ran)


def filled(store_url: str, tmp_path: Path, ages: list[int]) -> Store:
    """A store with ten rows of each of these ages in days."""
    recorder = make_recorder(tmp_path / "made", writer="external")
    one_call(recorder)
    recorder.ledger.drain(20)
    made = recorder.ledger.open_store(read_only=True)
    (row,) = made.rows(Query())
    made.close()
    store = open_store(store_url)
    add(store, row, ages)
    return store


def add(store: Store, row: Row, ages: list[int], now: float = TODAY) -> None:
    rows = []
    for age in ages:
        for number in range(10):
            at = int((now - age * DAY) * 1e6) + number
            rows.append(row_at(row, at))
    store.write(rows, ingested_us=int(now * 1e6))


def row_at(row: Row, ts_us: int) -> Row:
    return structs.replace(row, ts_us=ts_us, id=ts_us.to_bytes(16, "big"))


@pytest.mark.parametrize("store_url", ["sqlite", "postgresql"], indirect=True)  # ClickHouse's: test_stores.py
def test_rows_that_are_too_old_go_and_the_others_stay(store_url: str, tmp_path: Path) -> None:
    store = filled(store_url, tmp_path, list(range(95)))
    clocks = Clocks()
    retention = clocks.retention()
    clocks.go_on(3600)
    for _ in range(3):
        retention.run(store)
    left = store.extent("rows", int(TODAY * 1e6))
    assert left is not None
    assert (TODAY * 1e6 - left[0]) / DAY_US == pytest.approx(DAYS_KEPT, abs=1.1)
    assert store.count() in (900, 910)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Forty days of rows, yesterday's among them."""
    return filled(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path, list(range(40)))


def test_a_process_that_starts_with_a_wrong_clock_removes_nothing(store: Store) -> None:
    clocks = Clocks()
    clocks.now += 400 * DAY
    (row,) = list(store.rows(Query()))[:1]
    add(store, row, [0], clocks.now)  # rows of its own agree with its clock, and prove nothing
    retention = clocks.retention()
    for _ in range(20):
        clocks.go_on(3600)
        assert retention.run(store) == 0
    assert store.count() == 410


def test_a_clock_that_jumps_while_it_runs_removes_nothing_and_is_counted(store: Store) -> None:
    clocks = Clocks()
    retention = clocks.retention()
    clocks.go_on(3600)
    assert retention.run(store) == 0
    clocks.now += 75 * DAY
    assert retention.run(store) == 0
    assert clocks.jumps == 1
    clocks.go_on(3600)
    assert retention.run(store) == 0  # the clocks go on together now, but nothing else agrees
    assert store.count() == 400


def test_after_a_long_pause_nothing_goes_until_the_clock_was_steady_for_a_day(store: Store) -> None:
    clocks = Clocks()
    clocks.now += 75 * DAY
    retention = clocks.retention()
    clocks.go_on(DAY / 2)
    assert retention.run(store) == 0
    clocks.go_on(DAY / 2 + 1)
    assert retention.run(store) > 0


def test_a_run_removes_a_bounded_share_and_says_so_before(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    clocks.now += 1000 * DAY
    retention = clocks.retention()
    clocks.go_on(DAY + 1)
    with caplog.at_level(logging.INFO, "tachograph"):
        assert 0 < retention.run(store) <= 60
    assert "the ledger removes rows from before" in caplog.text
    assert store.count() >= 340
