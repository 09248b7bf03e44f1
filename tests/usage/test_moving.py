"""Copying between stores, and migrating them up and down."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import structs

from support.ledgers import sums
from support.postgres import PostgresServer
from tachograph.cli import main
from tachograph.errors import TachographError
from tachograph.settings.ledger import LedgerSettings
from tachograph.usage.copy import copy_store
from tachograph.usage.ledger_paths import LedgerPaths
from tachograph.usage.migrations import migrate
from tachograph.usage.row import Row
from tachograph.usage.stores import UnknownVersion, open_store
from tachograph.usage.stores.base import Adjustment
from tachograph.usage.stores.clickhouse import ClickHouseStore
from tachograph.usage.stores.clickhouse_schema import REVISIONS
from tachograph.usage.stores.query import Query

TS_US = 1_795_435_200_000_000


def make_rows(count: int) -> list[Row]:
    return [
        Row(number.to_bytes(16, "big"), TS_US + number, "llm", "openai", "gpt-5", "chat", "success",
            latency_us=number, input_tokens=number, output_tokens=3, cost_nusd=number * 7, labels={"team": "x"})
        for number in range(1, count + 1)
    ]  # fmt: skip


def fill(url: str) -> None:
    store = open_store(url)
    rows = make_rows(500)
    store.write(rows, ingested_us=TS_US)
    store.adjust([Adjustment(b"a" * 16, rows[4].id, rows[4].ts_us, TS_US, -3, False, "new", "reprice")])
    store.close()


def test_a_ledger_moves_through_every_store_and_comes_back_the_same(
    tmp_path: Path, postgres: PostgresServer, clickhouse: str
) -> None:
    urls = [
        f"sqlite:///{tmp_path / 'first.db'}",
        postgres.url(),
        f"clickhouse+chdb://{clickhouse}?database=moving",
        f"sqlite:///{tmp_path / 'last.db'}",
    ]
    fill(urls[0])
    for source_url, target_url in pairwise(urls):
        for expected_new in (500, 0):
            source, target = open_store(source_url, read_only=True), open_store(target_url)
            copied = copy_store(source, target)
            assert copied.is_equal
            assert (copied.rows, copied.adjustments) == (500, 1)
            assert copied.new_rows == expected_new or target.kind == "clickhouse"
            source.close()
            target.close()
    first, last = open_store(urls[0], read_only=True), open_store(urls[-1], read_only=True)
    assert list(first.rows(Query())) == list(last.rows(Query()))
    assert sums(first) == sums(last) == sums(last, raw=True)
    first.close()
    last.close()


def test_the_command_copies_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}"
    fill(source)
    assert main(["ledger", "copy", source, target]) == 0
    assert "500 rows read, 500 were new; 1 corrections, 1 new; the sums of both stores are equal" in (
        capsys.readouterr().out
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that Alembic can migrate here."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url()


def test_a_store_goes_down_and_up_again_and_keeps_its_rows(migrated_url: str) -> None:
    fill(migrated_url)
    with pytest.raises(TachographError, match="--down"):
        migrate(migrated_url, to="0001")
    assert migrate(migrated_url, to="0001", down=True) == ("0004", "0001")
    with pytest.raises(UnknownVersion, match="tachograph ledger migrate"):
        open_store(migrated_url)
    assert migrate(migrated_url) == ("0001", "0004")
    assert migrate(migrated_url) == ("0004", "0004")
    store = open_store(migrated_url)
    assert store.count() == 500
    assert store.adjustments(Query()) == []
    store.close()


def test_migrating_from_nothing_makes_what_a_fresh_store_has(migrated_url: str) -> None:
    assert migrate(migrated_url) == ("base", "0004")
    fill(migrated_url)
    assert migrate(migrated_url, to="base", down=True) == ("0004", "base")
    assert migrate(migrated_url) == ("base", "0004")
    store = open_store(migrated_url)
    assert store.count() == 0
    store.close()


def test_clickhouse_s_engine_runs_each_version_down_and_up_and_keeps_its_rows(clickhouse: str) -> None:
    url = f"clickhouse+chdb://{clickhouse}?database=versions"
    fill(url)
    store = open_store(url)
    assert isinstance(store, ClickHouseStore)
    before = list(store.rows(Query()))
    for revision in reversed(REVISIONS[2:]):  # the first two make the tables themselves
        for statement in revision.down:
            store._command(statement)
    kept = {row[0] for row in store._query("SELECT name FROM system.columns WHERE table = 'usage' AND database = "
                                           "currentDatabase()")}  # fmt: skip
    assert {"api_key_hint", "parent_span_id", "run_id"}.isdisjoint(kept)
    assert "cost_nusd" in kept
    for revision in REVISIONS[2:]:
        for statement in revision.up:
            store._command(statement)
    assert list(store.rows(Query())) == before
    assert len(before) == store.count() == 500
    row = make_rows(501)[-1]
    added = structs.replace(row, api_key_hint="...wxyz", parent_span_id=b"\1" * 8, run_id="r1")
    store.write([added], ingested_us=TS_US)
    (found,) = [one for one in store.rows(Query()) if one.id == row.id]
    assert (found.api_key_hint, found.parent_span_id, found.run_id) == ("...wxyz", b"\1" * 8, "r1")
    store.close()


def test_migrating_is_refused_while_a_writer_is_at_work(tmp_path: Path) -> None:
    place = LedgerPaths(LedgerSettings(data_dir=str(tmp_path)))
    lock = place.try_lock()
    assert lock is not None
    with pytest.raises(TachographError, match="a writer is at work"):
        migrate(place.url, place)
    lock.release()
    assert migrate(place.url, place) == ("base", "0004")


def test_an_unknown_version_is_said_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(TachographError, match="0001, 0002, 0003, 0004"):
        migrate(f"sqlite:///{tmp_path / 'x.db'}", to="0099")
