"""Every store keeps the same rows, answers the same questions, and counts a row once however often it is written."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.ledgers import sums, sums_of
from support.postgres import PostgresServer
from tachograph.usage.row import Row, latency_bucket
from tachograph.usage.source import Position, Quarantined
from tachograph.usage.stores import RowsRejected, Store, StoreUnavailable, UnknownVersion, open_store
from tachograph.usage.stores.base import Adjustment
from tachograph.usage.stores.query import DAY_US, HOUR_US, Query, QueryError

NOON_US = 1_795_435_200_000_000 - 1_795_435_200_000_000 % DAY_US + 12 * HOUR_US


def make_row(number: int, **fields: object) -> Row:
    """A row that differs from its neighbours in every way that matters."""
    chance = random.Random(number)
    values: dict[str, object] = {
        "id": number.to_bytes(16, "big"),
        "ts_us": NOON_US - chance.randrange(3 * DAY_US),
        "kind": "llm",
        "provider": chance.choice(["openai", "anthropic"]),
        "model": chance.choice(["a", "b"]),
        "operation": "chat",
        "outcome": chance.choice(["success", "success", "error"]),
        "error_type": chance.choice([None, "timeout"]),
        "latency_us": chance.randrange(1, 10_000_000),
        "attempts": chance.randrange(1, 4),
        "input_tokens": chance.choice([None, chance.randrange(10_000)]),
        "output_tokens": chance.randrange(1000),
        "details": chance.choice([None, {"cache_read": 5, "reasoning": 2, "audio_input": 1}]),
        "cost_nusd": chance.choice([None, chance.randrange(10**9)]),
        "cost_quality": chance.choice(["priced", "estimated"]),
        "price_source": "test/1",
        "labels": chance.choice([None, {"team": "x"}, {"team": "y", "user": "alice", "feature": "ü"}]),
    }
    values.update(fields)
    return Row(**values)  # type: ignore[arg-type]


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    yield opened
    opened.close()


def write(store: Store, rows: list[Row], *, new: int | None = None, **more: object) -> None:
    """Write rows, of which so many are new; ClickHouse does not know that when it writes."""
    found = store.write(rows, ingested_us=NOON_US, host="here", **more)  # type: ignore[arg-type]
    assert store.kind == "clickhouse" or found == (len(rows) if new is None else new)


def test_rows_come_back_as_they_were_stored(store: Store) -> None:
    rows = [make_row(number) for number in range(1, 200)]
    rows.append(make_row(200, trace_id=b"t" * 16, span_id=b"s" * 8, parent_id=b"p" * 16, tool_uses={"web_search": 2},
                         audio_seconds=1.5, stream=True, counted=False, response_model="b-1", api="chat",
                         service_tier="flex", finish_reason="stop", response_id="r", request_id="q", ttft_us=5,
                         wait_us=7))  # fmt: skip
    write(store, rows, new=200)
    assert list(store.rows(Query(), chunk=37)) == sorted(rows, key=lambda row: (row.ts_us, row.id))
    assert store.count() == 200


def test_writing_twice_changes_nothing(store: Store) -> None:
    rows = [make_row(number) for number in range(1, 300)]
    write(store, rows[:200], new=200)
    write(store, rows[100:], new=99)
    write(store, [*rows, *rows[:5]], new=0)
    write(store, [make_row(300), make_row(300)], new=1)
    expected = sums_of([*rows, make_row(300)])
    assert sums(store) == expected
    assert sums(store, raw=True) == expected


def test_rollups_answer_as_the_rows_do_by_every_dimension(store: Store) -> None:
    rows = [make_row(number) for number in range(1, 500)]
    write(store, rows)
    for by in (
        ("hour",),
        ("day",),
        ("provider", "model"),
        ("day", "outcome", "error_type"),
        ("label:team",),
        ("label:feature", "kind", "operation"),
    ):
        rolled = store.usage(Query(by=by))
        assert rolled == [{name: row[name] for name in rolled[0]} for row in store.usage(Query(by=by, raw=True))], by
        assert sum(row["n"] for row in rolled) == 499
    user = store.usage(Query(by=("label:user",)))
    assert {row["label:user"]: row["n"] for row in user} == {
        "": sum("user" not in (row.labels or {}) for row in rows),
        "alice": sum("user" in (row.labels or {}) for row in rows),
    }


def test_times_are_exact_to_the_hour_and_filters_apply(store: Store) -> None:
    rows = [make_row(number) for number in range(1, 500)]
    write(store, rows)
    since, until = NOON_US - 2 * DAY_US - 5 * HOUR_US, NOON_US - 3 * HOUR_US
    for where in ({}, {"model": ("a",)}, {"label:team": ("x", "y"), "provider": ("openai",)}):
        query = Query(since, until, where=where)
        assert sums(store, **{f: getattr(query, f) for f in ("since_us", "until_us", "where")}) == sums(
            store, since_us=since, until_us=until, where=where, raw=True
        )
    inside = [row for row in rows if since <= row.ts_us < until]
    assert sums(store, since_us=since, until_us=until) == sums_of(inside)
    assert list(store.rows(Query(since, until))) == sorted(inside, key=lambda row: (row.ts_us, row.id))


def test_latency_buckets_add_up_to_the_rows(store: Store) -> None:
    rows = [make_row(number) for number in range(1, 300)]
    write(store, rows[:150])
    write(store, rows[100:], new=149)
    found = {(row["model"], row["bucket"]): row["n"] for row in store.latency(Query(by=("model",)))}
    expected: dict[tuple[str, int], int] = {}
    for row in rows:
        key = (row.model, latency_bucket(row.latency_us))
        expected[key] = expected.get(key, 0) + 1
    assert found == expected
    assert store.latency(Query(by=("model",), raw=True)) == store.latency(Query(by=("model",)))


def test_positions_are_kept_with_the_rows_and_by_host(store: Store) -> None:
    write(store, [make_row(1)], positions=[Position("a", 1, 500, 3), Position("b", 2, 128, -1)])
    store.write([], ingested_us=NOON_US, host="there", positions=[Position("c", 1, 200, 1)])
    write(store, [make_row(2)], positions=[Position("a", 2, 900, 7)], forget=["b"])
    assert store.positions("here") == {"a": Position("a", 2, 900, 7)}
    assert store.positions("there") == {"c": Position("c", 1, 200, 1)}


def test_a_rejected_row_leaves_nothing_of_its_batch(store: Store) -> None:
    bad = make_row(3, id=b"too short")
    with pytest.raises(RowsRejected):
        write(store, [make_row(1), bad, make_row(2)], positions=[Position("a", 1, 500, 3)])
    assert store.count() == 0
    assert store.positions("here") == {}
    assert sums(store)["n"] == 0


def test_quarantine_keeps_reason_and_bytes(store: Store) -> None:
    write(store, [], quarantined=[Quarantined("damaged", "17 bytes \0 in x", b"\0\xff bytes", 2)])
    (kept,) = store.quarantine()
    assert (kept.reason, kept.records, kept.payload, kept.host) == ("damaged", 2, b"\0\xff bytes", "here")


def test_text_that_one_store_cannot_hold_is_the_same_in_all(store: Store) -> None:
    write(store, [make_row(1, model="a\0b", labels={"te\0am": "x\0", "e": "\U0001f600"})])
    (row,) = store.rows(Query())
    assert row.model == "a\ufffdb"
    assert row.labels == {"te\ufffdam": "x\ufffd", "e": "\U0001f600"}


def test_clocks_that_jumped_lose_nothing(store: Store) -> None:
    rows = [
        make_row(1, ts_us=0),
        make_row(2, ts_us=NOON_US + 400 * 365 * DAY_US),
        make_row(3, ts_us=253402300799999999),
    ]
    write(store, rows, new=3)
    write(store, rows, new=0)
    assert sums(store)["n"] == 3
    assert list(store.rows(Query())) == rows


def test_corrections_are_appended_once_and_show_everywhere(store: Store) -> None:
    rows = [
        make_row(1, cost_nusd=500, cost_quality="priced", labels={"team": "x"}),
        make_row(2, cost_nusd=None, cost_quality="unpriced", output_tokens=5),
        make_row(3, cost_nusd=7, cost_quality="estimated"),
    ]
    write(store, rows)
    fixes = [
        Adjustment(bytes([1]) * 16, rows[0].id, rows[0].ts_us, NOON_US, -100, False, "test/2", "reprice"),
        Adjustment(bytes([2]) * 16, rows[1].id, rows[1].ts_us, NOON_US, 40, True, "test/2", "reprice"),
        Adjustment(bytes([3]) * 16, rows[2].id, rows[2].ts_us, NOON_US, 3, False, "test/2", "reprice"),
    ]
    assert store.adjust(fixes[:2]) == 2
    assert store.adjust(fixes) == 1
    assert store.adjust(fixes) == 0
    for raw in (False, True):
        total = sums(store, raw=raw)
        assert (total["cost_nusd"], total["unpriced"], total["estimated_nusd"], total["n"]) == (450, 0, 10, 3), raw
    assert {row.id: row.cost_nusd for row in store.rows(Query())} == {
        rows[0].id: 400, rows[1].id: 40, rows[2].id: 10}  # fmt: skip
    assert {row.id: row.cost_nusd for row in store.rows(Query(), adjusted=False)} == {
        rows[0].id: 500, rows[1].id: None, rows[2].id: 7}  # fmt: skip
    assert sorted(store.adjustments(Query())) == sorted(fixes)


def test_retention_removes_what_is_too_old_level_by_level(store: Store) -> None:
    rows = [make_row(number) for number in range(1, 400)] + [make_row(400, ts_us=5)]
    write(store, rows)
    today = NOON_US - NOON_US % DAY_US
    kept = [row for row in rows if row.ts_us >= today - DAY_US]
    before = sums(store)
    if store.kind == "clickhouse":  # keeps rows as long as the other stores keep hours
        assert store.retain({"rows": today, "hour": today - DAY_US}) == 400 - len(kept)
        assert list(store.rows(Query())) == sorted(kept, key=lambda row: (row.ts_us, row.id))
        assert sums(store) == sums_of(kept)
        return
    assert store.retain({"rows": today - DAY_US, "hour": today}) == 400 - len(kept)
    assert list(store.rows(Query())) == sorted(kept, key=lambda row: (row.ts_us, row.id))
    assert sums(store, raw=True) == sums_of(kept)
    assert sums(store) == before  # whole days are in the daily rollups
    assert sum(row["n"] for row in store.usage(Query(by=("hour",)))) == sum(row.ts_us >= today for row in rows)
    assert store.retain({"day": today}) == 0
    assert sums(store)["n"] == sum(row.ts_us >= today for row in rows)


def test_one_subject_can_be_erased_and_the_sums_stay(store_url: str) -> None:
    store = open_store(store_url, rollup_labels=("team", "user"))
    rows = [make_row(number, request_id=f"req{number}") for number in range(1, 200)]
    write(store, rows)
    before = sums(store)
    theirs = sum((row.labels or {}).get("user") == "alice" for row in rows)
    assert theirs
    assert store.erase("user", "alice", NOON_US) == theirs
    assert store.erase("user", "alice", NOON_US) == 0
    assert not any("alice" in str(row.labels) for row in store.rows(Query()))
    assert sum(row.request_id is None for row in store.rows(Query())) == theirs
    assert sums(store) == before == sums(store, raw=True)
    by_user = {row["label:user"]: row["n"] for row in store.usage(Query(by=("label:user",)))}
    assert by_user == {"": 199}
    assert {row["label:team"] for row in store.usage(Query(by=("label:team",)))} == {"", "x", "y"}
    write(store, [replace_labels(rows[0], {"team": "y"})])
    store.close()


def replace_labels(row: Row, labels: dict[str, str]) -> Row:
    import msgspec

    return msgspec.structs.replace(row, id=os.urandom(16), labels=labels)


def test_an_unknown_dimension_is_said(store: Store) -> None:
    with pytest.raises(QueryError, match="no dimension 'colour'"):
        store.usage(Query(by=("colour",)))
    with pytest.raises(QueryError):
        store.usage(replace(Query(), where={"label:": ("x",)}))


def test_labels_with_quotes_in_their_names_are_only_labels(store: Store) -> None:
    name = """it's "quoted" \\ %s"""
    write(store, [make_row(1, labels={name: "v"})])
    found = store.usage(Query(by=(f"label:{name}",)))
    assert [row[f"label:{name}"] for row in found] == ["v"]


def test_a_store_of_an_unknown_version_is_refused_with_what_to_do(store_url: str) -> None:
    store = open_store(store_url)
    if store.kind == "sqlite":
        store._db.run("UPDATE ledger_version SET version_num = '9999'")  # type: ignore[attr-defined]
    elif store.kind == "postgresql":
        store._run("UPDATE ledger_version SET version_num = '9999'")  # type: ignore[attr-defined]
    else:
        store._command("INSERT INTO ledger_version VALUES ('9999')")  # type: ignore[attr-defined]
    store.close()
    with pytest.raises(UnknownVersion, match=r"9999.*Upgrade Tachograph"):
        open_store(store_url)


def test_reading_beside_a_writer(store_url: str) -> None:
    store = open_store(store_url)
    reader = open_store(store_url, read_only=True)
    write(store, [make_row(1)])
    assert reader.count() == 1
    write(store, [make_row(2)])
    assert reader.count() == 2
    reader.close()
    store.close()


def test_writers_of_several_hosts_add_up_in_one_postgres(postgres: PostgresServer) -> None:
    url = postgres.url()
    open_store(url).close()
    problems: list[BaseException] = []

    def work(host: int) -> None:
        mine = open_store(url)
        for start in range(0, 400, 50):
            # All hosts touch the same rollups, and write 100 rows of the next host's too.
            rows = [make_row(1 + (host * 400 + number) % 1200) for number in range(start, start + 60)]
            for _ in range(20):
                try:
                    mine.write(rows, ingested_us=NOON_US, host=str(host))
                    break
                except StoreUnavailable:  # a deadlock is resolved by trying again, as the writer does
                    continue
                except BaseException as error:
                    problems.append(error)
                    raise
        mine.close()

    threads = [threading.Thread(target=work, args=(host,)) for host in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    store = open_store(url)
    rows = list(store.rows(Query()))
    assert len(rows) == 1200
    assert sums(store) == sums(store, raw=True) == sums_of(rows)
    store.close()
