"""The tape's rules, on the test's own thread: how many are delivered, when its thread wakes, what follows a batch."""

from __future__ import annotations

import atexit
import gc
import multiprocessing.util
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from tachograph.tape import tape as module
from tachograph.tape.tape import FULL, OVERFULL, SLICE, Tape


class Entry:
    """A record: its delivery is noted."""

    def __init__(self, heard: list[Any], name: object, then: Callable[[], object] = lambda: None) -> None:
        self.sink, self._heard, self._name, self._then = self, heard, name, then

    def deliver(self, record: object) -> None:
        assert record is self
        self._heard.append(self._name)
        self._then()


class World:
    """A tape whose threads are started by the test, with a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tape, self.heard = Tape(), list[Any]()
        self.now, self.sleeps = 100.0, list[float]()
        self.started: list[Callable[[], None]] = []
        self.can_start = True
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleeps.append))
        monkeypatch.setattr(module, "_start_thread", self._start)
        self.at_exit: list[object] = []
        monkeypatch.setattr(atexit, "register", self.at_exit.append)
        monkeypatch.setattr(atexit, "unregister", lambda what: self.at_exit.append(("no more", what)))
        self.finalized: list[Any] = []
        monkeypatch.setattr(
            multiprocessing.util, "Finalize", lambda *args, **named: self.finalized.append((args, named))
        )

    def _start(self, run: Callable[[Any], None], entries: Any) -> None:
        self.started.append(lambda: run(entries))
        if not self.can_start:
            raise RuntimeError("can't start new thread")

    def put(self, *names: object) -> None:
        for name in names:
            self.tape.put(Entry(self.heard, name))

    def wake_up(self, *rounds: Callable[[], object]) -> list[float]:
        """Run the drain thread here: each wait is over after a round's work, and it ends after the last; the waits."""
        waits, left, tape = list[float](), list(rounds), self.tape
        wake = tape._wake

        def wait(seconds: float) -> bool:
            waits.append(seconds)
            if left:
                left.pop(0)()
            else:
                tape._stopped = True
            return True

        wake.wait = wait
        self.started[-1]()
        tape._stopped = False
        return waits


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def nothing() -> None:
    """A round in which nothing is put down."""


def test_the_first_entry_starts_the_thread_and_asks_for_a_flush_at_the_exit(world: World) -> None:
    tape = world.tape
    assert (len(tape), tape.has_thread) == (0, False)
    world.put(1, 2)
    assert (len(tape), tape.has_thread, len(world.started), world.heard) == (2, True, 1, [])
    assert world.at_exit == [("no more", tape.stop), tape.stop]
    assert world.finalized == [((None, tape.stop), {"exitpriority": 1000})]
    assert tape.drain() is True
    assert (world.heard, len(tape)) == ([1, 2], 0)


def test_the_thread_delivers_in_slices_and_offers_the_interpreter_after_each(world: World) -> None:
    written: list[int] = []
    world.tape.run_after_batch = lambda: written.append(len(world.heard))
    world.put(*range(2 * SLICE))
    assert SLICE == 16
    waits = world.wake_up(nothing, nothing, lambda: world.put(*range(2 * SLICE + 1)), nothing)
    assert waits == [1.0] * 5
    assert world.heard == [*range(32), *range(33)]
    assert world.sleeps == [0] * (2 + 3)
    assert written == [32, 65], "nothing follows where nothing was delivered"
    assert not world.tape.has_thread, "it has ended"


def test_what_another_thread_delivered_is_written_by_the_next_round(world: World) -> None:
    written: list[int] = []
    world.tape.run_after_batch = lambda: written.append(len(world.heard))
    world.put(1)
    world.wake_up(world.tape.drain, nothing)
    assert (world.heard, written, world.sleeps) == ([1], [1], [])
    assert world.tape._has_unwritten is False


def test_an_entry_delivered_by_the_thread_cannot_drain_inside(world: World) -> None:
    inside: list[bool] = []
    world.tape.put(lambda: inside.append(world.tape.drain(wait_seconds=60)))
    world.tape.put(lambda: inside.append(world.tape._owner == threading.get_ident()))
    world.wake_up(nothing)
    assert inside == [False, True]
    assert world.tape._owner is None
    assert not world.tape._lock.locked()


def test_a_thread_that_ends_leaves_a_tape_that_another_thread_has_begun_anew_alone(world: World) -> None:
    world.put(1)
    run = world.started[-1]
    world.tape._after_fork_in_child()
    world.put(2)
    run()
    assert world.tape.has_thread
    assert (len(world.tape), world.heard) == (1, [])
    assert len(world.started) == 2


def test_where_no_thread_starts_the_entry_is_delivered_at_once_and_a_second_later_one_is_tried(world: World) -> None:
    world.can_start = False
    written: list[int] = []
    world.tape.run_after_batch = lambda: written.append(len(world.heard))
    for later, tries in ((0.0, 1), (0.5, 1), (0.99, 1), (1.0, 2), (1.5, 2), (2.0, 3)):
        world.now = 100.0 + later
        world.put(later)
        assert (len(world.started), world.heard[-1], len(world.tape)) == (tries, later, 0)
    assert written == [1, 2, 3, 4, 5, 6]
    assert (world.tape.has_thread, world.at_exit) == (False, [])
    world.can_start, world.now = True, 103.0
    world.put("waits")
    assert (world.tape.has_thread, len(world.tape)) == (True, 1)


def test_while_another_thread_starts_the_drain_the_entry_waits_for_it(world: World) -> None:
    with world.tape._starting:
        world.put(1)
    assert (len(world.tape), world.started, world.heard) == (1, [], [])
    world.put(2)
    assert len(world.started) == 1
    assert not world.tape._starting.locked()


def test_a_thread_that_was_started_meanwhile_is_enough(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tape, starting = world.tape, threading.Lock()

    class Meanwhile:
        release = staticmethod(starting.release)

        def acquire(self, blocking: bool) -> bool:
            tape.has_thread = True
            return starting.acquire(blocking)

    tape._starting = Meanwhile()
    world.put(1)
    assert (world.started, len(tape), starting.locked()) == ([], 1, False)


def test_methods_are_called_with_the_first_record_of_a_process_while_their_object_lives(world: World) -> None:
    class Part:
        def __init__(self, name: str) -> None:
            self.name = name

        def begin(self) -> None:
            world.heard.append(self.name)
            if self.name == "fails":
                raise ValueError(self.name)

    parts = [Part(name) for name in ("a", "gone", "fails", "b")]
    for part in parts:
        world.tape.when_started(part.begin)
    del parts[1], part
    gc.collect()
    world.put("record")
    assert world.heard == ["a", "fails", "b"]
    world.put("record")
    assert world.heard == ["a", "fails", "b"]
    later = Part("later")
    world.tape.when_started(later.begin)
    assert len(world.tape._when_started) == 4, "the one that is gone is forgotten"
    world.tape._after_fork_in_child()
    world.put("record")
    assert world.heard == ["a", "fails", "b", "a", "fails", "b", "later"]


def test_a_full_tape_wakes_the_thread_and_an_overfull_one_is_delivered_a_slice_at_a_time(world: World) -> None:
    tape = world.tape
    assert (FULL, OVERFULL) == (512, 8192)
    world.put(*range(512))
    assert not tape._wake.is_set()
    world.put(512)
    assert tape._wake.is_set()
    tape._wake.clear()
    tape.hurry()
    assert tape._wake.is_set()
    world.put(*range(513, 8192))
    assert (len(tape), world.heard) == (8192, [])
    world.put(8192)
    assert (len(tape), world.heard) == (8193 - 16, list(range(16)))
    tape._lock.acquire()
    world.put(*range(8193, 8193 + 20))
    assert (len(tape), len(world.heard)) == (8197, 16), "while another thread delivers, no thread waits"
    tape._lock.release()


@pytest.mark.parametrize(("limit", "delivered"), [(None, 5), (0, 0), (1, 1), (4, 4), (5, 5), (6, 5)])
def test_as_many_are_delivered_as_are_asked_for(world: World, limit: int | None, delivered: int) -> None:
    world.put(*range(5))
    assert world.tape.drain(limit=limit) is True
    assert (world.heard, len(world.tape)) == (list(range(delivered)), 5 - delivered)


def test_what_an_entry_puts_down_itself_is_delivered_with_it_up_to_a_slice(world: World) -> None:
    tape, heard = world.tape, world.heard
    tape.put(Entry(heard, "answer", lambda: [tape.append(Entry(heard, number)) for number in range(3)]))
    assert tape.drain()
    assert (heard, len(tape)) == (["answer", 0, 1, 2], 0)

    def again() -> None:
        tape.append(Entry(heard, "again", again))

    heard.clear()
    tape.put(Entry(heard, "again", again))
    tape.put(Entry(heard, "after"))
    assert tape.drain()
    assert (len(heard), len(tape)) == (2 + 2 + SLICE, 1)
    heard.clear()
    assert tape.drain(limit=1)
    assert len(heard) == 1 + 1 + SLICE
    many = Entry(heard, "many", lambda: [tape.append(Entry(heard, number)) for number in range(40)])
    tape.drain(limit=0)
    tape._entries.clear()
    heard.clear()
    tape.put(many)
    assert tape.drain()
    assert (heard, len(tape)) == (["many", *range(1 + SLICE)], 40 - 1 - SLICE)


def test_a_failure_is_raised_once_and_stops_nothing(world: World) -> None:
    tape = world.tape

    def fail(name: str) -> Callable[[], None]:
        def fails() -> None:
            raise ValueError(name)

        return fails

    tape.put(fail("first"))
    tape.put(Entry(world.heard, 1, fail("second")))
    world.put(2)
    with pytest.raises(ValueError, match="first"):
        tape.drain()
    assert world.heard == [1, 2]
    assert tape.drain() is True
    assert not tape._lock.locked()


def test_a_drain_waits_for_another_one_as_long_as_it_is_told(world: World) -> None:
    tape = world.tape
    world.put(1)
    waited: list[dict[str, Any]] = []

    class Held:
        def acquire(self, **how: Any) -> bool:
            waited.append(how)
            return False

    tape._lock = Held()
    assert tape.drain() is False
    assert tape.drain(wait_seconds=0.5) is False
    assert tape.drain(wait_seconds=0.0) is False
    assert waited == [{"timeout": 5.0}, {"timeout": 0.5}, {"blocking": False}]
    tape._take_slice()
    assert waited[3:] == [{"timeout": 1.0}]
    assert world.heard == []


class Worker:
    """Stands for the thread that writes: what it is asked for is noted."""

    made: ClassVar[list[Worker]] = []

    def __init__(self, work: Callable[[], None], name: str) -> None:
        if name != "tachograph-write":
            raise ValueError(name)
        self.work, self.asked, self.waits = work, 0, list[float]()
        self.is_done = True
        Worker.made.append(self)

    def ask(self) -> None:
        self.asked += 1

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.work()
        return self.is_done


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    Worker.made = []
    monkeypatch.setattr(module, "Worker", Worker)
    return Worker.made


def test_callbacks_run_after_a_batch_in_a_thread_of_their_own(world: World, workers: list[Worker]) -> None:
    tape, heard = world.tape, world.heard
    tape.run_after_batch()
    assert tape.flush() is True
    assert workers == [], "there is nothing to call"

    def fails() -> None:
        heard.append("fails")
        raise ValueError

    remove_first = tape.after_batch(lambda: heard.append("first"))
    tape.after_batch(fails)
    tape.after_batch(lambda: heard.append("last"))
    tape.run_after_batch()
    tape.run_after_batch()
    (worker,) = workers
    assert (worker.asked, heard) == (2, [])
    worker.work()
    assert heard == ["first", "fails", "last"]
    remove_first()
    worker.work()
    assert heard == ["first", "fails", "last", "fails", "last"]


def test_a_flush_delivers_and_waits_for_the_writing_in_the_time_that_is_left(
    world: World, workers: list[Worker]
) -> None:
    tape, heard = world.tape, world.heard
    tape.after_batch(lambda: heard.append("written"))

    def slowly() -> None:
        world.now += 3.0

    tape.put(Entry(heard, 1, slowly))
    assert tape.flush() is True
    assert heard == [1, "written"]
    tape.put(Entry(heard, 2, slowly))
    assert tape.flush(2.5) is True
    (worker,) = workers
    assert worker.waits == [2.0, 0.0]
    worker.is_done = False
    assert tape.flush() is False
    worker.is_done = True
    waits: list[float] = []
    tape.drain = lambda *, wait_seconds: waits.append(wait_seconds) or False
    assert tape.flush(7.0) is False
    assert waits == [7.0]


def test_where_no_thread_can_write_the_callbacks_run_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "Worker", no_thread)
    world.tape.after_batch(lambda: world.heard.append("written"))
    world.tape.run_after_batch()
    assert world.heard == ["written"]
    assert world.tape.flush() is True
    assert world.heard == ["written"] * 2


def test_a_tape_that_is_stopped_delivers_what_is_there_and_what_comes_later_at_once(world: World) -> None:
    tape = world.tape
    world.put(1)
    tape.put(lambda: 1 / 0)
    world.put(2)
    tape.stop()
    assert (world.heard, tape.has_thread, tape._wake.is_set()) == ([1, 2], False, True)
    world.put(3)
    assert (world.heard, len(world.started)) == ([1, 2, 3], 1)


def test_a_forked_child_has_an_empty_tape_that_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tape, forgotten = world.tape, list[int]()
    monkeypatch.setattr(module, "forget_imports_of", forgotten.append)
    world.put(1)
    tape._lock.acquire()
    tape._starting.acquire()
    tape._wake.set()
    tape._owner = 12345
    tape._after_fork_in_child()
    assert (len(tape), tape.has_thread, tape._wake.is_set(), forgotten) == (0, False, False, [12345])
    world.put(2)
    assert tape.drain() is True
    assert world.heard == [2]
    tape._owner = threading.get_ident()
    tape._after_fork_in_child()
    tape._after_fork_in_child()
    assert forgotten == [12345], "the imports of the thread that forks go on"


@pytest.mark.parametrize("are_greenlets", [False, True])
def test_the_thread_has_a_name_and_ends_with_the_process(monkeypatch: pytest.MonkeyPatch, are_greenlets: bool) -> None:
    ran: list[tuple[str, bool] | None] = []
    began = threading.Event()

    def run(entries: Any) -> None:
        thread = threading.current_thread()
        ran.append((thread.name, thread.daemon) if not are_greenlets else entries)
        began.set()

    monkeypatch.setattr(module, "is_patched", lambda: are_greenlets)
    module._start_thread(run, None)
    assert began.wait(60)
    assert ran == [None if are_greenlets else ("tachograph-drain", True)]
