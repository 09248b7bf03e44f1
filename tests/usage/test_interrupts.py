"""A signal handler that raises inside the journal: the next call repairs what it left, and every record counts once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.interrupts import Interrupt, interrupted_at
from support.ledgers import make_recorder
from tachograph import files
from tachograph.recorder import Recorder
from tachograph.records import NOWHERE, Cost, LLMCall, Usage
from tachograph.tape import ring
from tachograph.tape.ring import Ring
from tachograph.usage import frames, journal, locks
from tachograph.usage.journal import Journal
from tachograph.usage.source import JournalSource

BATCH = [b"n%d" % number + b"." * 300 for number in range(5)]


def begin(made: Journal) -> None:
    """The first record: the directory, a segment and its name."""
    made.append(b"first")


def go_on(made: Journal) -> None:
    """A batch into the segment that is open."""
    made.append_many(BATCH)


def next_segment(made: Journal) -> None:
    """A batch that finishes a segment and begins the next."""
    made.append_many(BATCH * 4)


def drained(directory: Path) -> list[bytes]:
    source = JournalSource(directory, {})
    found: list[bytes] = []
    while batch := source.read(1000):
        assert not batch.quarantined
        assert not batch.gaps
        found += batch.payloads
        source.committed(batch)
    source.close()
    return found


@pytest.mark.parametrize("action", [begin, go_on, next_segment])
def test_an_interrupt_at_any_point_is_repaired_by_the_next_call(
    tmp_path: Path, action: Callable[[Journal], None]
) -> None:
    point = 0
    while True:
        directory = tmp_path / str(point)
        made = Journal(directory, segment_bytes=4096)
        if action is not begin:
            made.append(b"before")
        hit = interrupted_at(point, lambda made=made: action(made), journal, files, frames, locks)  # type: ignore[misc]
        for number in range(30):
            assert made.append(b"after %d" % number + b"." * 200) is None, f"refused after point {point}"
        made.close()
        found = drained(directory)
        assert [item for item in found if item.startswith(b"after")] == [
            b"after %d" % number + b"." * 200 for number in range(30)
        ], f"point {point}"
        assert len(found) == made.sequence == made.committed, f"point {point}: accepted is not stored"
        if not hit:
            break
        point += 1
    assert point > 20


def test_an_interrupted_close_leaves_all_that_was_accepted(tmp_path: Path) -> None:
    point, hit = 0, True
    while hit:
        made = Journal(tmp_path / str(point), segment_bytes=4096)
        made.append_many(BATCH)
        hit = interrupted_at(point, made.close, journal, files, frames, locks)
        made.close()
        assert drained(tmp_path / str(point)) == BATCH, f"point {point}"
        point += 1


def test_an_interrupt_while_a_segment_gets_its_name_refuses_no_later_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Journal(tmp_path / "journals")

    def interrupted(before: object, after: object) -> None:
        monkeypatch.undo()
        raise Interrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(Interrupt):
        made.append(b"lost to the interrupt")
    assert made.append(b"next") is None
    made.close()
    assert drained(tmp_path / "journals") == [b"next"]


def one_record(recorder: Recorder, number: int) -> LLMCall:
    call = recorder.start_llm_call("openai", f"gpt-{number}")
    call.usage, call.cost = Usage(number, 7), Cost(number, "priced", "test/1")
    call.ended_ns, call.outcome = call.started_ns + 5, "success"
    return call


@pytest.mark.parametrize("is_open", [False, True])
def test_an_interrupt_at_any_point_of_the_ring_costs_at_most_a_slot(tmp_path: Path, is_open: bool) -> None:
    recorder = make_recorder(tmp_path, mode="memory", writer="external")
    point = 0
    while True:
        made = Ring(tmp_path / str(point))
        kept: dict[bytes, int] = {}
        if is_open:
            first = one_record(recorder, 0)
            assert made.keep(first)
            kept[first.id] = 0

        def action(made: Ring = made) -> None:
            call = one_record(recorder, 1)
            if made.keep(call):
                made.release([call.slot])

        hit = interrupted_at(point, action, ring, files)
        for number in range(2, 40):
            call = one_record(recorder, number)
            assert made.keep(call), f"refused after point {point}"
            kept[call.id] = number
        assert made.path is not None
        found = {record.id: record for record in ring.read(made.path.read_bytes(), NOWHERE).records}
        interrupted = found.keys() - kept.keys()
        assert len(interrupted) <= 1  # it was put down before the interrupt came
        assert {identity: found[identity].usage.input_tokens for identity in kept} == kept  # type: ignore[union-attr]
        assert made.slots_in_use - len(kept) <= 1
        made.after_fork_in_child()
        if not hit:
            break
        point += 1
    assert point > 10
