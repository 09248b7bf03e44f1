"""Rollups follow when the labels that they are kept by change."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.ledgers import make_recorder, one_call, sums
from tachograph.cli import main
from tachograph.usage.row import Row
from tachograph.usage.stores import open_store
from tachograph.usage.stores.base import Adjustment
from tachograph.usage.stores.query import DAY_US, Query

NOON = 1_790_000_000_000_000 // DAY_US * DAY_US + DAY_US // 2


def rows() -> list[Row]:
    labels = [
        {"team": "a", "user": "u1"},
        {"team": "a", "user": "u2", "feature": 'qu"o\\te'},
        {"user": "ü1\0"},
        {"feature": "f"},
        None,
    ]
    return [
        Row(number.to_bytes(16, "big"), NOON + number % 3 * DAY_US + number, "llm", "openai", f"m{number % 2}", "chat",
            "success", None if number % 4 else "quota", 1000 * number, attempts=1, input_tokens=number, output_tokens=7,
            cost_nusd=None if number % 7 == 0 else number, cost_quality="estimated" if number % 5 else "priced",
            price_source="p/1", labels=labels[number % 5])
        for number in range(1, 301)
    ]  # fmt: skip


def test_rollups_move_to_other_labels_with_corrections_and_without_the_erased(store_url: str) -> None:
    store = open_store(store_url, rollup_labels=("team", "user"))
    stored = rows()
    store.write(stored, ingested_us=NOON)
    store.adjust(
        [
            Adjustment(bytes([row.id[15]]) * 16, row.id, row.ts_us, NOON, 11, row.cost_nusd is None, "p/2", "test")
            for row in stored[:50]
        ]
    )
    store.erase("user", "u1", NOON)
    before = sums(store)
    store.close()

    store = open_store(store_url, rollup_labels=("feature", "user"))
    moved = store.relabel()
    assert moved > 150 or store.kind == "clickhouse"
    assert store.relabel() == 0
    assert sums(store) == before == sums(store, raw=True)
    for by in (("label:user",), ("label:feature", "model", "day"), ("error_type", "label:user", "label:feature")):
        assert store.usage(Query(by=by)) == store.usage(Query(by=by, raw=True))
    users = {row["label:user"] for row in store.usage(Query(by=("label:user",)))}
    assert users == {"", "u2", "ü1\ufffd"}
    store.close()

    store = open_store(store_url, rollup_labels=())
    store.relabel()
    assert sums(store) == before
    store.close()


def test_the_command_says_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = make_recorder(tmp_path)
    for number in range(30):
        one_call(recorder, number, team="a", user=f"u{number % 3}")
    assert recorder.ledger.flush(20)
    recorder.ledger.close()
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TACHOGRAPH_LEDGER_ROLLUP_LABELS", "user")
    assert main(["ledger", "relabel"]) == 0
    assert "are kept by user; 30 rows were moved" in capsys.readouterr().out
    store = open_store(f"sqlite:///{tmp_path / 'ledger.db'}", rollup_labels=("user",))
    assert [row["n"] for row in store.usage(Query(by=("label:user",)))] == [10, 10, 10]
    store.close()
