"""Whatever order things happen in, crashes and replays included, every accepted record is in the sums once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support.exhaustive import part
from support.ledgers import sums, sums_of
from support.postgres import PostgresServer
from tachograph.usage.journal import Journal
from tachograph.usage.row import Row, encode
from tachograph.usage.source import JournalSource
from tachograph.usage.stores import Store, StoreUnavailable, open_store
from tachograph.usage.stores.base import Adjustment
from tachograph.usage.stores.query import DAY_US, HOUR_US, Query
from tachograph.usage.writer import Writer

NOON_US = 1_795_435_200_000_000 + 12 * HOUR_US
make_url: Callable[[], str]


class Silent:
    """An observer that only counts what must not happen."""

    def __init__(self) -> None:
        self.set_aside = 0
        self.gone = 0

    def persisted(self, outcome: str, seconds: float, records: int) -> None: ...
    def failed(self, error_type: str, records: int) -> None: ...
    def alive(self) -> None: ...

    def quarantined(self, reason: str, records: int) -> None:
        self.set_aside += records

    def lost(self, records: int) -> None:
        self.gone += records


class FailingStore:
    """A store whose write fails before or after it has happened, when a test says so."""

    def __init__(self, store: Store, fail: list[str]) -> None:
        self._store = store
        self._fail = fail

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def write(self, *args: object, **kwargs: object) -> int:
        how = self._fail.pop() if self._fail else ""
        if how == "before":
            raise StoreUnavailable("it went away before the write")
        written = self._store.write(*args, **kwargs)  # type: ignore[arg-type]
        if how == "after":
            raise StoreUnavailable("it went away before it could say that it has written")
        return written


class LedgerMachine(RuleBasedStateMachine):
    """Producers append and die; the writer works, crashes and begins again; stores fail; costs are corrected."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
        self.url = make_url()
        self.accepted: list[Row] = []
        self.corrections: dict[bytes, Adjustment] = {}
        self.numbers = count(1)
        self.journals: list[Journal] = []
        self.observer = Silent()
        self.fail: list[str] = []
        self.writer = self.new_writer()
        self.start_producer()

    def new_writer(self) -> Writer:
        return Writer(
            lambda: FailingStore(open_store(self.url), self.fail),  # type: ignore[arg-type, return-value]
            lambda positions: JournalSource(self.directory, positions),
            self.observer,
            host="h",
            batch_limit=7,
            interval_seconds=0.0,
        )

    @rule()
    def start_producer(self) -> None:
        self.journals.append(Journal(self.directory, segment_bytes=4096, limit_bytes=1 << 30))

    @precondition(lambda self: self.journals)
    @rule(amount=st.integers(1, 40), data=st.data())
    def accept(self, amount: int, data: st.DataObject) -> None:
        journal = data.draw(st.sampled_from(self.journals))
        for _ in range(amount):
            number = next(self.numbers)
            cost = None if number % 5 == 0 else number * 3
            row = Row(number.to_bytes(16, "big"), NOON_US + (number % 50) * HOUR_US - DAY_US, "llm", "openai",
                      "gpt-5" if number % 2 else "gpt-5-mini", "chat", "success", latency_us=number * 1000,
                      input_tokens=number, output_tokens=1, cost_nusd=cost,
                      cost_quality="unpriced" if cost is None else "priced",
                      labels={"team": "a"} if number % 3 else None)  # fmt: skip
            assert journal.append(encode(row)) is None
            self.accepted.append(row)

    @precondition(lambda self: self.journals)
    @rule(data=st.data(), orderly=st.booleans())
    def end_producer(self, data: st.DataObject, orderly: bool) -> None:
        journal = data.draw(st.sampled_from(self.journals))
        self.journals.remove(journal)
        if orderly:
            journal.close()
        else:
            journal.after_fork_in_child()  # releases its file without a word, as SIGKILL does

    @rule(steps=st.integers(1, 5))
    def write(self, steps: int) -> None:
        for _ in range(steps):
            self.writer._retry_at = 0.0
            self.writer.step()

    @rule(how=st.sampled_from(["before", "after"]))
    def store_fails(self, how: str) -> None:
        self.fail.append(how)

    @rule()
    def writer_crashes(self) -> None:
        """All that it held in memory is gone; a new one begins at the positions in the store."""
        self.writer.close()
        self.writer = self.new_writer()

    @rule()
    def writer_crashes_after_the_commit(self) -> None:
        """The rows and the position are stored, the drained files are still there."""
        source = self.writer._source
        if source is None:
            return
        plain, source.committed = source.committed, lambda batch: None  # type: ignore[method-assign]
        self.write(1)
        source.committed = plain  # type: ignore[method-assign]
        self.writer_crashes()

    @rule()
    def replay(self) -> None:
        """Everything that was ever accepted is written again, as from a journal that came back."""
        store = open_store(self.url)
        stored = {row.id for row in store.rows(Query())}
        store.write([row for row in self.accepted if row.id in stored], ingested_us=NOON_US)
        store.close()

    @rule(position=st.booleans())
    def correct(self, position: bool) -> None:
        """Unpriced rows are priced; doing it again changes nothing."""
        store = open_store(self.url)
        made = [
            Adjustment(row.id[:8] + b"adjusted"[:8], row.id, row.ts_us, NOON_US, 11, True, "later", "reprice")
            for row in store.rows(Query(), adjusted=False)
            if row.cost_nusd is None
        ]
        made = [item._replace(id=item.record_id[8:] + b"adjusted") for item in made]
        store.adjust(made)
        store.adjust(made)
        self.corrections.update({item.id: item for item in made})
        store.close()

    @invariant()
    def nothing_is_set_aside_or_lost(self) -> None:
        if hasattr(self, "observer"):
            assert (self.observer.set_aside, self.observer.gone) == (0, 0)

    def teardown(self) -> None:
        if not hasattr(self, "writer"):
            return
        self.fail.clear()
        for journal in self.journals:
            journal.close()
        for _ in range(2000):
            self.writer._retry_at = 0.0
            self.writer.step()
            if self.writer.idle and not list(self.directory.glob("*.journal")):
                break
        self.writer.close()
        store = open_store(self.url)
        expected = sums_of(self.accepted)
        expected["cost_nusd"] += sum(item.cost_delta_nusd for item in self.corrections.values())
        expected["unpriced"] -= len(self.corrections)
        assert sums(store, raw=True) == expected
        assert sums(store) == expected
        assert sums(store, by=("hour", "model", "label:team")) == expected
        assert sum(row["n"] for row in store.latency(Query())) == len(self.accepted)
        assert sorted(row.id for row in store.rows(Query())) == [row.id for row in self.accepted]
        assert all(position.journal for position in store.positions("h").values())
        store.close()
        shutil.rmtree(self.directory)
        assert (self.observer.set_aside, self.observer.gone) == (0, 0)


@pytest.mark.parametrize("kind", part(["sqlite", "postgresql", "clickhouse"], "sqlite", "postgresql"))
def test_any_interleaving_leaves_the_sums_of_what_was_accepted(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    global make_url
    numbers = count()
    if kind == "sqlite":
        make_url = lambda: f"sqlite:///{tmp_path / f'{next(numbers)}.db'}"  # noqa: E731
    elif kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        make_url = server.url
    else:
        engine = request.getfixturevalue("clickhouse")
        make_url = lambda: f"clickhouse+chdb://{engine}?database=interleaved{next(numbers)}"  # noqa: E731
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples={"sqlite": 30, "postgresql": 8, "clickhouse": 3}[kind],
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
