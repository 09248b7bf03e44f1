"""Power loss, as a model (`support.power`): what a sync has promised is there, and nothing that was never written."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from support.ledgers import make_recorder, sums, sums_of
from tachograph.records import NOWHERE, Cost, Usage
from tachograph.tape import ring as rings
from tachograph.tape.ring import Ring
from tachograph.usage import source
from tachograph.usage.journal import Journal
from tachograph.usage.row import Row
from tachograph.usage.source import JournalSource, JournalSync, Position
from tachograph.usage.stores.query import Query
from tachograph.usage.stores.sqlite import SQLiteStore

pytest.importorskip("apsw", reason="SQLite is recorded through apsw, which is not installed")

from support.power import Disk, Recording

BATCH, BATCHES = 20, 12


def rows_of(first: int) -> list[Row]:
    return [
        Row(number.to_bytes(16, "big"), 1_700_000_000_000_000 + number, "llm", "openai", "gpt-5", "chat", "success",
            input_tokens=number, cost_nusd=number)
        for number in range(first, first + BATCH)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_sqlite_holds_every_transaction_that_it_has_acknowledged(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged, cuts = 0, []

    def perhaps() -> None:
        if chance.random() < 0.03:
            cuts.append(acknowledged)
            recording.cut(tmp_path / f"cut-{len(cuts) - 1}", chance)

    with Recording(perhaps) as recording:
        store = SQLiteStore(tmp_path / "ledger.db")
        for batch in range(BATCHES):
            position = Position("journal", 1, batch, (batch + 1) * BATCH)
            store.write(rows_of(batch * BATCH), ingested_us=1, host="here", positions=[position])
            acknowledged += BATCH
            if batch % 5 == 4:
                store._db.run("PRAGMA wal_checkpoint(RESTART)")
        store.close()
    assert cuts
    for number, promised in enumerate(cuts):
        if not (tmp_path / f"cut-{number}" / "ledger.db").exists():
            assert promised == 0
            continue
        left = SQLiteStore(tmp_path / f"cut-{number}" / "ledger.db")
        assert left._db.run("PRAGMA integrity_check") == [("ok",)]
        rows = list(left.rows(Query()))
        numbers = sorted(int.from_bytes(row.id, "big") for row in rows)
        assert numbers == list(range(len(numbers)))
        assert len(numbers) in (promised, promised + BATCH)  # the one under way, whole or not at all
        positions = left.positions("here")
        assert (positions["journal"].sequence if positions else 0) == len(numbers)
        if rows:
            assert sums(left) == sums_of(rows)
        left.close()


@pytest.mark.parametrize("seed", range(8))
def test_journals_hold_every_record_of_the_last_sync_and_invent_none(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    folder, cut = tmp_path / "journals", tmp_path / "cut"
    disks: dict[str, Disk] = {}
    named: set[str] = set()  # whose names a sync of the directory has made safe

    def note() -> None:
        """What the files have grown by is written, and not safe."""
        for path in folder.glob("*.journal"):
            disk = disks.setdefault(path.name, Disk())
            known = max([len(disk.synced), *(at + len(data) for at, data in disk.unsynced)])
            more = path.read_bytes()[known:]
            if more:
                disk.write(more, known)

    def datasync(fd: int) -> None:
        disks[Path(os.readlink(f"/proc/self/fd/{fd}")).name].sync()

    def sync_names(fd: int) -> None:
        named.update(os.listdir(fd))

    monkeypatch.setattr(source, "_datasync", datasync)
    monkeypatch.setattr(os, "fsync", sync_names)
    journal, sync = Journal(folder, segment_bytes=4096), JournalSync(folder)
    appended: list[bytes] = []
    promised = 0
    for _ in range(60):
        batch = [b"%06d" % (len(appended) + number) + b"." * chance.randrange(400) for number in range(3)]
        assert journal.append_many(batch) is None
        appended += batch
        note()
        if chance.random() < 0.15:
            sync()
            promised = len(appended)
    cut.mkdir()
    for name, disk in disks.items():
        if name in named or chance.random() < 0.5:
            (cut / name).write_bytes(disk.after_a_cut(chance))
    reader, found = JournalSource(cut, {}), []
    while batch_left := reader.read(1000):
        found += batch_left.payloads
        reader.committed(batch_left)
    assert promised > 0
    assert len(found) == len(set(found))
    assert set(found) <= set(appended)
    assert set(appended[:promised]) <= set(found)


@pytest.mark.parametrize("seed", range(8))
def test_a_ring_on_a_disk_gives_back_only_records_that_were_put_into_it(tmp_path: Path, seed: int) -> None:
    """It promises nothing after a power loss; the file is read all the same."""
    chance = random.Random(seed)
    ring, recorder = Ring(tmp_path / "rings"), make_recorder(tmp_path, mode="memory", writer="external")
    put: dict[bytes, tuple[int | None, str]] = {}
    disk = Disk()
    before = b""
    for number in range(40):
        call = recorder.start_llm_call("openai", f"gpt-{number % 3}", labels={"user": "u" * chance.randrange(40)})
        call.usage, call.cost = Usage(number, 7), Cost(number, "priced", "test/1")
        call.ended_ns, call.outcome = call.started_ns + 5, "success"
        assert ring.keep(call)
        put[call.id] = (number, call.model)
        assert ring.path is not None
        now = ring.path.read_bytes()
        if not before:
            disk.synced = bytearray(len(now))
            before = bytes(len(now))
        for at in range(0, len(now), 512):
            if now[at : at + 512] != before[at : at + 512]:
                disk.write(now[at : at + 512], at)
        before = now
        if number % 5 == 0:
            ring.release([call.slot])
        if chance.random() < 0.05:
            disk.sync()
    left = disk.after_a_cut(chance)
    try:
        found = rings.read(left, NOWHERE).records
    except ValueError:
        return  # not even its header was written
    for record in found:
        assert put[record.id] == (record.usage.input_tokens, record.model)  # type: ignore[union-attr]
