"""The ring: what finds a slot, what is read back, and a record that comes in the midst of another."""

from __future__ import annotations

import gc
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from support.ledgers import eventually, make_recorder
from tachograph.records import NOWHERE, LLMCall, ToolCall, Usage
from tachograph.tape import ring as module
from tachograph.tape.ring import ABANDONED_SECONDS, Ring, read, sweep
from tachograph.testing import Recording, recording
from tachograph.usage import journal
from tachograph.usage.journal import Journal
from tachograph.usage.ledger import Ledger


def _call(seen: Recording, model: str) -> LLMCall:
    call = seen.recorder.start_llm_call("openai", model)
    call.finish("success")
    return call


@pytest.mark.timeout(60)
def test_a_call_made_at_any_line_of_the_ring_waits_for_nothing_and_spoils_no_slot(tmp_path: Path) -> None:
    """A signal handler runs between any two lines, also of those that make the file and write down a new plan."""
    with recording() as seen:
        for line in range(1, 10_000):
            ring, kept, lines = Ring(tmp_path), dict[str, bool](), 0

            def trace(frame: FrameType, event: str, _: Any) -> Any:
                nonlocal lines
                if frame.f_code.co_filename != module.__file__:
                    return None
                if event == "line":
                    lines += 1
                    if lines == line:  # noqa: B023 - called in this round only
                        sys.settrace(None)
                        kept["handler"] = ring.keep(_call(seen, "handler"))  # noqa: B023
                return trace

            outer = _call(seen, "outer")
            sys.settrace(trace)
            try:
                kept["outer"] = ring.keep(outer)
            finally:
                sys.settrace(None)
            if "handler" not in kept:
                break
            kept["later"] = ring.keep(_call(seen, "later"))
            assert ring.path is not None
            assert kept["later"]
            held = {record.model for record in read(ring.path.read_bytes(), seen.recorder).records}  # type: ignore[union-attr]
            assert held == {name for name, is_kept in kept.items() if is_kept}
            ring.path.unlink()
            ring.after_fork_in_child()
    assert line > 40, "the ring was not seen at work"


def _held(ring: Ring, seen: Recording) -> list[LLMCall | ToolCall]:
    assert ring.path is not None
    return read(ring.path.read_bytes(), seen.recorder).records


def _slots(record: LLMCall | ToolCall) -> tuple[Any, ...]:
    return record.id, record.outcome, dict(record.labels or {}), getattr(record, "call_id", None)


def test_the_file_grows_while_the_journal_takes_nothing(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    with recording() as seen:
        calls = [_call(seen, f"gpt-{number % 3}") for number in range(2500)]
        assert all(ring.keep(call) for call in calls)
        assert ring.slots_in_use == 2500
        assert [_slots(record) for record in _held(ring, seen)] == sorted(_slots(call) for call in calls)
        ring.release([call.slot for call in calls])
        assert (ring.slots_in_use, _held(ring, seen)) == (0, [])


def test_long_labels_find_a_large_slot_and_longer_ones_none(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    with recording() as seen:
        calls = [
            seen.recorder.start_llm_call("openai", "gpt-5", labels={"user": "u" * size})
            for size in (10, 200, 300, 3000, 3900, 4500)
        ]
        for call in calls:
            call.finish("success")
        assert [ring.keep(call) for call in calls] == [True, True, True, True, True, False]
        assert [_slots(record) for record in _held(ring, seen)] == [_slots(call) for call in calls[:-1]]
        ring.release([call.slot for call in calls[:-1]])
        assert ring.slots_in_use == 0


def test_tool_calls_of_a_model_and_any_number_of_models_find_slots(tmp_path: Path) -> None:
    """The model gives each tool call an id of its own, and names tools that there are not."""
    ring = Ring(tmp_path)
    with recording() as seen:
        records: list[LLMCall | ToolCall] = []
        for number in range(3000):
            tool = seen.recorder.start_tool_call("clock", "get_time")
            tool.call_id = f"call_{number:040d}"
            tool.finish("success")
            records.append(tool)
            records.append(_call(seen, f"a-fine-tuned-model-of-somebody-{number:040d}"))
        assert all(ring.keep(record) for record in records)
        held = _held(ring, seen)
        assert [_slots(record) for record in held] == sorted(_slots(record) for record in records)
        assert {record.model for record in held if isinstance(record, LLMCall)} == {
            record.model for record in records if isinstance(record, LLMCall)
        }


def test_what_cannot_be_packed_is_refused_and_no_slot_is_lost(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    with recording() as seen:
        assert ring.keep(_call(seen, "first"))
        half = seen.recorder.start_llm_call("openai", "gpt-5", labels={"user": "\ud83d"})
        huge = seen.recorder.start_llm_call("openai", "gpt-5")
        huge.usage = Usage(2**70, 1)
        for call in (half, huge):
            call.finish("success")
            assert not ring.keep(call)
        assert ring.slots_in_use == 1


def test_a_name_that_a_power_loss_spoiled_costs_only_its_own_records(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    with recording() as seen:
        assert ring.keep(_call(seen, "whole"))
        assert ring.keep(_call(seen, "spoiled"))
        assert ring.path is not None
        data = ring.path.read_bytes().replace(b"spoiled", b"spoil\xff\xff")
        assert [record.model for record in read(data, NOWHERE).records] == ["whole"]  # type: ignore[union-attr]


def test_a_ring_that_an_older_version_left_is_read(tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    with recording() as seen:
        assert ring.keep(_call(seen, "before the upgrade"))
        assert ring.path is not None
        data = bytearray(ring.path.read_bytes())
        assert data[8:10] == b"\x02\x00"
        data[8:10] = b"\x01\x00"  # version 1 had one piece, and no other difference that matters to a reader
        assert [record.model for record in read(bytes(data), NOWHERE).records] == ["before the upgrade"]  # type: ignore[union-attr]


def test_a_disk_that_does_not_answer_stops_no_call_and_no_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when no slot is left: the record then waits in memory, and is written once the disk answers."""
    monkeypatch.setattr(module, "PIECES", 1)
    stuck, go_on = threading.Event(), threading.Event()
    writers: set[int] = set()
    write = journal._write_function()

    def slow(fd: int, data: bytes, size: int) -> int:
        writers.add(threading.get_ident())
        stuck.set()
        assert go_on.wait(60)
        return write(fd, data, size)

    recorder = make_recorder(tmp_path, writer="external")
    ledger = recorder.ledger
    assert isinstance(ledger, Ledger)
    queue = ledger._queue
    assert isinstance(queue, Journal)
    recorder.ring, queue._write = ledger.ring, slow
    heard: list[object] = []
    recorder.add_listener(heard.append)
    try:
        recorder.start_llm_call("openai", "gpt-5", labels={"user": "u" * 5000}).finish("success")
        assert stuck.wait(60), "the record without a slot was not written at once"
        for _ in range(1500):
            recorder.start_llm_call("openai", "gpt-5").finish("success")
        eventually(lambda: len(heard) == 1501, "the drain goes on")
        assert queue.sequence == 0
        assert ledger.ring is not None
        assert ledger.ring.slots_in_use == 1024
    finally:
        go_on.set()
    eventually(lambda: queue.sequence == 1501, "the journal has them")
    assert threading.get_ident() not in writers
    ledger.close()


def test_a_ring_that_is_closed_leaves_nothing_behind_and_can_be_made_again(tmp_path: Path) -> None:
    for _ in range(2):
        ring = Ring(tmp_path / "user" / "rings", tmp_path)
        ring.prepare()
        assert ring.path is not None
        assert ring.path.exists()
        ring.close()
        assert list((tmp_path / "user").iterdir()) == []


def test_what_dead_processes_left_for_data_directories_that_are_gone_is_removed_a_day_later(tmp_path: Path) -> None:
    root, now = tmp_path / "user", time.time()
    for name, has_place in (("gone", False), ("there", True), ("alive", False)):
        if has_place:
            (tmp_path / name).mkdir()
    alive = Ring(root / "alive", tmp_path / "alive")
    alive.prepare()
    for name in ("gone", "there"):
        Ring(root / name, tmp_path / name).prepare()
    (root / "empty").mkdir()
    gc.collect()  # the two are not locked any more, as when their process is gone

    def left() -> set[str]:
        return {path.parent.name for path in root.glob("*/*.ring")}

    sweep(root, now)
    assert left() == {"gone", "there", "alive"}, "its mount may come back"
    assert not (root / "empty").exists()
    (tmp_path / "gone").mkdir()
    sweep(root, now + 2 * ABANDONED_SECONDS)
    assert left() == {"gone", "there", "alive"}, "it has come back"
    (tmp_path / "gone").rmdir()
    sweep(root, now + 2 * ABANDONED_SECONDS)
    assert left() == {"gone", "there", "alive"}, "the day begins again"
    missing_since = int(now + 2 * ABANDONED_SECONDS)
    sweep(root, missing_since + ABANDONED_SECONDS - 1)
    assert left() == {"gone", "there", "alive"}
    sweep(root, missing_since + ABANDONED_SECONDS)
    assert left() == {"there", "alive"}
    assert not (root / "gone").exists()
    alive.close()
