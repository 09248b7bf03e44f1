"""Rollups and rows answer alike, by whatever is asked; and what only rows know is not read out of millions unasked."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tachograph.cli import main
from tachograph.usage.reports import report
from tachograph.usage.row import Row
from tachograph.usage.stores import Store, open_store
from tachograph.usage.stores.query import DAY_US, HOUR_US, Query

FIRST = 1_790_000_000_000_000 // DAY_US * DAY_US
QUERIES = [
    Query(FIRST + 5 * HOUR_US, FIRST + 4 * DAY_US + 7 * HOUR_US, by, where)
    for by in (
        (),
        ("day",),
        ("hour", "model"),
        ("model",),
        ("outcome", "provider"),
        ("error_type",),
        ("kind", "operation", "day"),
        ("label:team",),
        ("day", "label:team", "model"),
        ("label:feature", "label:team", "outcome"),
    )
    for where in ({}, {"outcome": ("success",)}, {"model": ("m1", "m2"), "provider": ("p1",)}, {"label:team": ("t1",)})
]
LATENCY_QUERIES = [
    query
    for query in QUERIES
    if not any(name.startswith(("label:", "error", "op")) for name in (*query.by, *query.where))
]


@pytest.fixture
def store(store_url: str) -> Store:
    chance = random.Random(3)
    rows = [
        Row(
            chance.randbytes(16),
            FIRST + chance.randrange(5 * DAY_US),
            chance.choice(["llm", "llm", "mcp"]),
            chance.choice(["p1", "p2"]),
            chance.choice(["m1", "m2", "m3"]),
            "chat",
            *chance.choice([("success", None), ("success", None), ("error", "quota"), ("cancelled", None)]),
            chance.randrange(5_000_000),
            attempts=1,
            input_tokens=chance.randrange(100),
            cost_nusd=chance.choice([None, 7]),
            labels=chance.choice([None, {"team": "t1"}, {"team": "t2", "feature": "f"}, {"feature": 'f"\\'}]),
        )
        for _ in range(3000)
    ]
    store = open_store(store_url)
    for first in range(0, 3000, 400):
        store.write(rows[first : first + 400], ingested_us=FIRST)
    return store


def test_every_question_has_one_answer(store: Store) -> None:
    for query in QUERIES:
        whole_hours = replace(query, raw=True)
        assert store.usage(query) == store.usage(whole_hours), query
        if query in LATENCY_QUERIES:
            assert store.latency(query) == store.latency(whole_hours), query
            assert store.histograms(query) == store.histograms(whole_hours), query
    store.close()


def test_percentiles_by_label_are_read_from_few_rows_and_from_many_only_when_asked(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = {
        "since": datetime.fromtimestamp(FIRST / 1e6, UTC),
        "until": datetime.fromtimestamp((FIRST + 5 * DAY_US) / 1e6, UTC),
        "by": ("label:team",),
    }
    few = report(store, **asked)
    assert all(line.latency_seconds for line in few.lines)
    monkeypatch.setattr(sys.modules["tachograph.usage.reports.report"], "MOST_ROWS", 100)
    many = report(store, **asked)
    assert not any(line.latency_seconds for line in many.lines)
    assert many.total.latency_seconds == few.total.latency_seconds
    assert report(store, **asked, latency=True) == few
    assert not report(store, **asked, latency=False).total.latency_seconds
    if store.kind == "sqlite":
        store.close()
        command = ["report", "--by", "team", "--since", "2026-09-20", "--tools", "--store", store_url]
        assert main(command) == 0
        assert "--percentiles has them" in capsys.readouterr().out
        assert main([*command, "--percentiles"]) == 0
        assert "--percentiles" not in capsys.readouterr().out
