"""After a store that was too slow a batch is written in parts, and in one piece again once writes are quick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.ledgers import make_recorder, one_call
from tachograph.usage.stores.errors import StoreTimeout
from tachograph.usage.stores.query import Query
from tachograph.usage.stores.sqlite import SQLiteStore


def test_parts_grow_back_and_the_positions_are_stored_with_the_last_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = make_recorder(tmp_path, writer="external")
    for number in range(1000):
        one_call(recorder, number)
    recorder.ledger._queue.after_fork_in_child()  # releases the file, as the end of the process does
    written: list[tuple[int, bool]] = []
    write = SQLiteStore.write

    def noted(self: SQLiteStore, rows: Any, **options: Any) -> int:
        written.append((len(rows), bool(options["positions"])))
        if len(written) == 1:
            raise StoreTimeout("the store did not answer and was cut off", where="the test")
        return write(self, rows, **options)

    monkeypatch.setattr(SQLiteStore, "write", noted)
    drained = make_recorder(tmp_path, writer="external", batch_limit=400).ledger
    assert drained.drain(60)
    assert [one for one in written if one[0]] == [(400, True), (200, False), (200, True), (400, True), (200, True)]
    store = drained.open_store(read_only=True)
    assert sorted((row.input_tokens or 0) - 100 for row in store.rows(Query())) == list(range(1000))
    store.close()
