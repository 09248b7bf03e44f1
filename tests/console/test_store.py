"""The store of calls: bounded on disk and in memory, quick after much traffic, and nothing lost when it closes.

`TACHOGRAPH_CONSOLE_CALLS=2000000` pushes a whole day's traffic instead of a small part of it.
"""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tachograph.console.calls import Call, CallAttempt, CallDetail, Span
from tachograph.console.columns import Columns, Filter
from tachograph.console.store import CallStore
from tachograph.errors import TachographError

CALLS = int(os.environ.get("TACHOGRAPH_CONSOLE_CALLS", "60000"))
MODELS = ("gpt-5", "gpt-5-mini", "claude-sonnet", "gemini-3")


def made(number: int, rng: random.Random, at: float) -> tuple[CallDetail, Span]:
    """One call of a day's traffic."""
    identity = f"{number + 1:032x}"
    is_llm = number % 3 > 0
    call = Call(
        id=identity,
        kind="llm" if is_llm else "tool",
        time=at,
        trace_id=identity,
        span_id=identity[16:],
        provider=("", "openai", "anthropic")[number % 3],
        model=MODELS[number % 4] if is_llm else "",
        server_id="" if is_llm else "git",
        tool_name="" if is_llm else "log",
        outcome="success" if number % 17 else "error",
        duration_seconds=rng.random() * 5,
        cost_usd="0.00123" if is_llm else None,
        input_tokens=100 if is_llm else None,
        output_tokens=50 if is_llm else None,
        attempts=1,
        labels={"team": f"t{number % 20}", "user": f"u{number % 300}"},
    )
    span = Span(trace_id=identity, span_id=identity[16:], name="llm.complete", start_unix=at, duration_seconds=1)
    return CallDetail(call, [CallAttempt(1, 0.0, 0.5, 200, "success")]), span


def push(store: CallStore, count: int, first: int = 0) -> None:
    rng = random.Random(first)
    begin = time.time() - 86_400
    for low in range(0, count, 2000):
        batch = [made(first + i, rng, begin + i * 86_400 / count) for i in range(low, min(low + 2000, count))]
        assert store.add_all(batch, wait=True, timeout=60) == len(batch)


FILTERS = {
    "all": Filter(),
    "a rare label": Filter(labels=(("user", "u299"), ("team", "t19"))),
    "nothing": Filter(labels=(("user", "nobody"),)),
    "two that exclude each other": Filter(fields={"provider": ("openai",), "tool_name": ("log",)}),
    "text": Filter(text="claude"),
    "slow and dear": Filter(duration=(4.99, None), cost=(0.001, None)),
}


def test_much_traffic_stays_within_the_bounds_and_the_list_stays_quick(tmp_path: Path) -> None:
    bound = CALLS // 4
    store = CallStore(tmp_path / "console.db", max_calls=bound, max_spans=bound)
    try:
        push(store, CALLS)
        assert bound * 0.95 <= store.count <= bound * 1.05
        size = sum(file.stat().st_size for file in tmp_path.iterdir())
        assert size < bound * 1600 + 80_000_000, "the file does not grow with what was let go"
        for name, wanted in FILTERS.items():
            best = min(_seconds(lambda wanted=wanted: store.find(wanted, 100)) for _ in range(3))
            assert best < 0.2, name
        found, count, more = store.find(Filter(), 100)
        assert (len(found), more) == (100, True)
        assert count <= bound
        assert found[0][1].id == f"{CALLS:032x}"
        sums = store.spending(0, time.time())
        assert sum(row[4] for row in sums) == sum(1 for i in range(CALLS) if i % 3), "money is kept of calls let go too"
    finally:
        store.close()


def _seconds(work: Callable[[], object]) -> float:
    """What it costs this thread: what else runs on the machine meanwhile is not ours."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def test_closing_writes_what_is_queued(tmp_path: Path) -> None:
    rng = random.Random(1)
    store = CallStore(tmp_path / "console.db")
    for i in range(5000):
        assert store.add(*made(i, rng, time.time()))
    store.close()
    again = CallStore(tmp_path / "console.db")
    assert again.count == 5000
    found, count, _ = again.find(Filter(), 1)
    assert (count, found[0][1].id) == (5000, f"{5000:032x}")
    again.close()


def test_the_same_call_twice_is_one_call_and_its_money_counts_once() -> None:
    store = CallStore()
    one = made(1, random.Random(1), time.time())
    store.add_all([one, one], wait=True)
    store.add_all([one], wait=True)
    assert store.count == 1
    assert [row[4] for row in store.spending(0, time.time() + 1)] == [1]
    store.close()


def test_a_full_queue_drops_and_counts() -> None:
    store = CallStore(queue=10)
    with store._lock:  # the writer cannot write, as with a disk that hangs
        rng = random.Random(1)
        taken = sum(store.add(*made(i, rng, time.time())) for i in range(100))
        assert taken <= 21
        assert store.dropped == 100 - taken
    assert store.flush()
    assert store.count == taken
    store.close()


def test_calls_older_than_the_limit_go(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "console.db", max_age_seconds=3600)
    rng = random.Random(1)
    store.add_all([made(i, rng, time.time() - 7200) for i in range(10)], wait=True)
    store.add_all([made(100, rng, time.time())], wait=True)
    assert store.count == 1
    store.close()


def test_a_file_that_grows_too_large_loses_its_oldest(tmp_path: Path) -> None:
    store = CallStore(tmp_path / "console.db", max_bytes=2_000_000)
    push(store, 20_000)
    assert 100 < store.count < 10_000
    assert store.bytes < 5_000_000  # what is removed leaves free pages, and the index of the text search
    store.close()


def test_calls_read_back_come_before_those_made_meanwhile() -> None:
    older, newer = Columns(10), Columns(10)
    rng = random.Random(1)
    for i in range(8):
        older.add(i, made(i, rng, 0.0)[0].call)
    for i in range(8, 12):
        newer.add(i, made(i, rng, 0.0)[0].call)
    newer.prepend(older)
    for i in range(12, 40):
        newer.add(i, made(i, rng, 0.0)[0].call)
    seqs, count, _ = newer.find(Filter(), 100)
    assert (seqs, count) == (list(range(39, 29, -1)), 10)
    assert newer.oldest == 30


@pytest.mark.parametrize("values", [("u1",), ("u1", "u2")])
def test_money_keeps_counting_past_the_bound_on_label_sets(values: tuple[str, ...]) -> None:
    store = CallStore(label_sets=1)
    now = time.time() // 300 * 300 + 1
    for i, value in enumerate(values):
        call = Call(id=f"{i:032x}", kind="llm", time=now, provider="p", model="m", cost_usd="1", labels={"user": value})
        store.add(CallDetail(call, []))
    assert store.flush()
    rows = store.spending(now - 300, now + 300)
    assert sum(row[7] for row in rows) == len(values) * 10**9
    assert {row[3] for row in rows} == {"user:u1", *([""] if len(values) > 1 else [])}
    store.close()


def test_a_file_of_before_silences_had_matchers_keeps_its_notes(tmp_path: Path) -> None:
    path = tmp_path / "console.sqlite"
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE notes(at REAL NOT NULL, alert TEXT NOT NULL, kind TEXT NOT NULL, until REAL NOT NULL,"
                    " text TEXT NOT NULL)")  # fmt: skip
        old.execute("INSERT INTO notes VALUES(1, 'LLMModelDown', 'silence', 2, 'was')")
    store = CallStore(path)
    store.note("LLMModelDown", "silence", 3.0, "is", 'model="gpt-5"')
    assert [note[1:] for note in store.notes()] == [
        ("LLMModelDown", "silence", 3.0, "is", 'model="gpt-5"'), ("LLMModelDown", "silence", 2.0, "was", ""),
    ]  # fmt: skip
    store.close()


def test_any_text_can_be_searched_for() -> None:
    store = CallStore()
    said = "Incorrect key: invalid_api_key, cafe\u0301, \u65e5\u672c\u8a9e, req_ab12"
    call = Call(id=f"{1:032x}", kind="llm", time=time.time(), provider="openai", model="gpt-5")
    try:
        store.add_all([(CallDetail(call, [], said), None)], wait=True)
        found = (
            "invalid_api_key",
            '"Incorrect key"',
            "api*",
            "caf\u00e9",
            "CAFE",
            "\u65e5\u672c",
            "req_ab12",
            "key " * 3000,
        )
        assert [text for text in found if store.find(Filter(text=text), 9)[1] != 1] == []
        rng = random.Random(5)
        odd = [
            "NEAR(key api)",
            "said:key",
            "a\0b",
            "\u0915\u094d\u0937\u093f",
            "a\U0002ba60b",
            "x" * 10_240,
            "_",
            "-",
            '"',
        ]
        odd += ["".join(chr(rng.choice((rng.randrange(32, 0xD800), 65))) for _ in range(5)) for _ in range(2000)]
        for text in odd:
            store.find(Filter(text=text), 1)  # refuses none
        assert store.find(Filter(text="NEAR(key api)"), 9)[1] == 0
    finally:
        store.close()


@pytest.mark.parametrize("what", ["garbage", "directory", "pipe", "link", "below a file"])
def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path: Path, what: str) -> None:
    path = tmp_path / "console.db"
    if what == "garbage":
        path.write_bytes(b"no database" * 999)
    elif what == "directory":
        path.mkdir(mode=0o755)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(path.name)
    else:
        path.touch()
        path = path / "console.db"
    with pytest.raises(TachographError, match=r"console's calls cannot be kept.*Move the file away"):
        CallStore(path)
    assert what != "directory" or stat.S_IMODE(path.stat().st_mode) == 0o755


def test_calls_that_a_full_disk_refuses_are_not_said_to_be_kept(tmp_path: Path) -> None:
    store, rng = CallStore(tmp_path / "console.db"), random.Random(1)
    items = [made(number, rng, time.time()) for number in range(300)]
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    assert store.add_all(items, wait=True) == 0
    assert store.dropped == 300
    store._db.execute(f"PRAGMA max_page_count={1 << 30}")
    assert store.add_all(items, wait=True) == 300
    store.close()


def test_half_a_surrogate_pair_takes_no_other_call_along_and_is_shown_as_a_question_mark() -> None:
    store, rng = CallStore(), random.Random(1)
    items = [made(number, rng, time.time()) for number in range(1, 5)]
    items[0][0].call.response_id = "id\ud800"
    items[1][0].error = "said \udc00"
    items[2][1].attributes = {"said": ["\ud800"], "n": 1}
    items[3][0].call.input_tokens = 2**80  # SQLite cannot hold it
    store.add_all(items, wait=True)
    assert store.dropped == 1
    first, second, third, fourth = (store.get(bytes.fromhex(item[0].call.id)) for item in items)
    assert first is not None
    assert second is not None
    assert (first.call.response_id, second.error) == ("id?", "said ?")
    assert third is not None
    assert fourth is None
    store.close()


def test_a_call_that_cannot_be_made_stops_no_later_one() -> None:
    store, rng = CallStore(None), random.Random(1)

    def failing() -> tuple[CallDetail, Span]:
        raise ValueError("no call")

    store.add_later(failing)
    assert store.flush()
    assert store.add_all([made(1, rng, time.time())], wait=True) == 1
    store.close()
