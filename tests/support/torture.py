"""The torture: producers and the writer are killed with SIGKILL at random, faults are played, the books must balance.

A producer is a process of its own that hands calls to a real `Recorder` and notes, after each hand-over has returned,
how many were accepted, in a file that survives it (a shared mapping). The writer is `python -m tachograph ledger
writer` in a process of its own. At the end the ids in the store are compared with those that were accepted: an id is
the random bits of the producer's ids and its running number, so the check is exact and needs little memory.
"""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tachograph.tape.ring import directory_of
from tachograph.usage.stores import Store, StoreUnavailable, UnknownVersion, open_store
from tachograph.usage.stores.query import Query

_COUNTS = struct.Struct("<QQQQ")  # accepted, refused, input tokens, nano-dollars

PRODUCER = """
import json, mmap, sys, time
sys.path[:0] = json.loads(sys.argv[4])
from tachograph.runtime import join
from tachograph.records import Cost, Usage, ids
from tachograph.settings.ledger import LedgerSettings
from tachograph.signals.registry import Metrics
from tachograph.usage.ledger import Ledger

settings, note, rate = json.loads(sys.argv[1]), sys.argv[2], float(sys.argv[3])
metrics = Metrics(())
ledger = Ledger(LedgerSettings(**settings), metrics)
recorder = join(metrics, strict=True, ledger=ledger)
recorder.ring = ledger.ring
first = ids.next_number() + 1
with open(note, "w+b") as file:
    file.write((ids.id_from(ids.base(), 0, 0)[6:12] + first.to_bytes(4, "big")).ljust(64, b"\\0"))
    file.flush()
    counts = mmap.mmap(file.fileno(), 64)
noted, queue = memoryview(counts).cast("Q"), ledger._queue  # whole numbers at once: `pack_into` clears them first
tokens = nano = number = 0
started = time.perf_counter()
while True:
    for _ in range(20):
        call = recorder.start_llm_call("openai", "gpt-5", labels={"team": "t%d" % (number % 5)})
        call.begin_attempt().end("success", status=200)
        call.usage = Usage(number % 1000, 7, {"cache_read": 3})
        call.cost = Cost(number % 77777, "priced", "torture/1")
        call.finish("success")
        tokens, nano, number = tokens + number % 1000, nano + number % 77777, number + 1
        noted[3], noted[4], noted[5] = sum(queue.refused.values()), tokens, nano
        noted[2] = number
    ahead = number / rate - (time.perf_counter() - started)
    if ahead > 0:
        time.sleep(ahead)
"""


@dataclass
class Result:
    """What a torture came to."""

    seconds: float
    producer_kills: int = 0
    writer_kills: int = 0
    accepted: int = 0
    refused: int = 0
    stored: int = 0
    missing: int = 0
    unacknowledged: int = 0
    drain_seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    quarantined: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Accepted records per second."""
        return self.accepted / self.seconds


class Torture:
    """Runs producers and a writer on one ledger, and kills them.

    Args:
        settings: The section `ledger`; `data_dir` is added.
        directory: For the data directory and the notes.
        producers: How many at once.
        rate: Records per second, all producers together.
    """

    def __init__(
        self, directory: Path, *, settings: Mapping[str, object] | None = None, producers: int = 4, rate: float = 12_000
    ) -> None:
        self.directory = directory
        self.settings = {"data_dir": str(directory / "data"), "writer": "external", **(settings or {})}
        self.url = str(self.settings.get("url") or f"sqlite:///{directory / 'data' / 'ledger.db'}")
        self.notes = directory / "notes"
        self.notes.mkdir(parents=True)
        self.rate = rate / producers
        self.count = producers
        self.random = random.Random(20261123)
        self._producers: list[subprocess.Popen[bytes]] = []
        self._writer: subprocess.Popen[bytes] | None = None
        self._started = 0
        self._first: dict[bytes, int] = {}

    def start_producer(self) -> None:
        """Start one more producer."""
        note = self.notes / f"{self._started:06d}"
        self._started += 1
        command = [sys.executable, "-c", PRODUCER, json.dumps(self.settings), str(note), str(self.rate),
                   json.dumps(sys.path)]  # fmt: skip
        self._producers.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))

    def start_writer(self) -> None:
        """Start the writer."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        for name, value in self.settings.items():
            environment[f"TACHOGRAPH_LEDGER_{name.upper()}"] = str(value)
        log = (self.directory / "writer.log").open("ab")
        command = [sys.executable, "-m", "tachograph", "ledger", "writer"]
        self._writer = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.directory)
        log.close()

    def wait(self, seconds: float) -> None:
        """Let the torture go on for so long: here time is the load, not a guess at when something has happened."""
        time.sleep(seconds)

    def kill_producer(self) -> None:
        """SIGKILL a random producer and start another."""
        victim = self._producers.pop(self.random.randrange(len(self._producers)))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        self.start_producer()

    def kill_writer(self) -> None:
        """SIGKILL the writer and start another."""
        assert self._writer is not None
        self._writer.send_signal(signal.SIGKILL)
        self._writer.wait()
        self.start_writer()

    def run(
        self,
        seconds: float,
        *,
        producer_kills: int,
        writer_kills: int,
        faults: Mapping[float, tuple[str, Callable[[], None]]] | None = None,
        drain_seconds: float = 120.0,
    ) -> Result:
        """Run for so long, with so many kills spread at random, and faults at fixed moments; then check the books."""
        result = Result(seconds)
        events: list[tuple[float, str, Callable[[], None]]] = []
        for count, name, action in (
            (producer_kills, "producer", self.kill_producer),
            (writer_kills, "writer", self.kill_writer),
        ):
            events += [(self.random.uniform(0.5, seconds), name, action) for _ in range(count)]
        events += [(at, name, action) for at, (name, action) in (faults or {}).items()]
        events.sort(key=lambda event: event[0])
        self.start_writer()
        for _ in range(self.count):
            self.start_producer()
        try:
            self._wait_until_running()
            started = time.monotonic()
            for at, name, action in events:
                time.sleep(max(0.0, started + at - time.monotonic()))
                action()
                if name == "producer":
                    result.producer_kills += 1
                elif name == "writer":
                    result.writer_kills += 1
                else:
                    result.faults.append(f"{at:.1f} s: {name}")
            time.sleep(max(0.0, started + seconds - time.monotonic()))
            result.seconds = time.monotonic() - started
            for producer in self._producers:
                producer.send_signal(signal.SIGKILL)
                producer.wait()
            result.producer_kills += len(self._producers)
            self._drain(result, drain_seconds)
        finally:
            for process in [*self._producers, *([self._writer] if self._writer else [])]:
                with suppress(ProcessLookupError):
                    process.kill()
                process.wait()
        self._check(result)
        return result

    def _wait_until_running(self) -> None:
        """The clock starts when every producer has handed over and the writer has stored something."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            running = [counts for counts in self.accepted().values() if counts[0]]
            if len(running) == self.count:
                with suppress(StoreUnavailable, UnknownVersion):
                    store = open_store(self.url, read_only=True)
                    stored = store.version() is not None and store.count()
                    store.close()
                    if stored:
                        return
            time.sleep(0.05)
        raise RuntimeError("producers and writer did not start in 60 s")

    def _drain(self, result: Result, seconds: float) -> None:
        """Wait until no journal and no ring is left."""
        data = Path(str(self.settings["data_dir"]))
        journals, rings = data / "journals", directory_of(data)
        started = time.monotonic()
        while any(journals.glob("*.journal")) or any(rings.glob("*.ring")):
            if time.monotonic() - started > seconds:
                result.problems.append(f"not drained in {seconds:g} s: {sorted(p.name for p in journals.iterdir())}")
                state = self._writer.poll() if self._writer is not None else None
                log = (self.directory / "writer.log").read_text()[-2000:]
                result.problems.append(f"the writer: {'alive' if state is None else f'ended with {state}'}; {log}")
                break
            time.sleep(0.02)
        result.drain_seconds = time.monotonic() - started

    def accepted(self) -> dict[bytes, tuple[int, int, int, int]]:
        """By producer: accepted, refused, input tokens, nano-dollars."""
        found = {}
        for note in self.notes.iterdir():
            data = note.read_bytes()
            if len(data) == 64:
                found[data[:6]] = _COUNTS.unpack_from(data, 16)
                self._first[data[:6]] = int.from_bytes(data[6:10], "big")
        return found

    def _check(self, result: Result) -> None:
        accepted = self.accepted()
        result.accepted = sum(counts[0] for counts in accepted.values())
        result.refused = sum(counts[1] for counts in accepted.values())
        store = open_store(self.url, read_only=True)
        try:
            self._compare(result, store, accepted)
        finally:
            store.close()

    def _compare(self, result: Result, store: Store, accepted: Mapping[bytes, tuple[int, int, int, int]]) -> None:
        highest: dict[bytes, int] = {}
        stored: dict[bytes, int] = {}
        tokens = nano = 0
        for identity, row_tokens, row_nano in _ids(store):
            producer = identity[6:12]
            number = int.from_bytes(identity[12:], "big") - self._first.get(producer, 0)
            stored[producer] = stored.get(producer, 0) + 1
            highest[producer] = max(highest.get(producer, -1), number)
            tokens, nano = tokens + row_tokens, nano + row_nano
        result.stored = sum(stored.values())
        for producer, counts in accepted.items():
            have, top = stored.get(producer, 0), highest.get(producer, -1) + 1
            if have != top:
                result.missing += abs(top - have)
                result.problems.append(f"{producer.hex()}: {have} rows, numbers up to {top}: a hole or a double")
            if have < counts[0]:
                result.missing += counts[0] - have
                result.problems.append(f"{producer.hex()}: accepted {counts[0]}, stored {have}")
            # Killed between the write and its note: one record more than was noted, never more.
            result.unacknowledged += max(0, have - counts[0])
            if have > counts[0] + 1:
                result.problems.append(f"{producer.hex()}: accepted {counts[0]}, stored {have}")
        for producer in set(stored) - set(accepted):
            result.problems.append(f"{producer.hex()}: rows of a producer that was never started")
        rolled = store.usage(Query())[0]
        for name, expected in (("n", result.stored), ("input_tokens", tokens), ("cost_nusd", nano)):
            if rolled[name] != expected:
                result.problems.append(f"rollups say {name} = {rolled[name]}, rows say {expected}")
        for item in store.quarantine():
            result.quarantined[item.reason] = result.quarantined.get(item.reason, 0) + max(1, item.records)
        for reason in set(result.quarantined) - {"torn"}:
            result.problems.append(f"quarantined: {reason} {result.quarantined[reason]}")


def _ids(store: Store) -> list[tuple[bytes, int, int]]:
    for attempt in range(50):
        try:
            return [(row.id, row.input_tokens or 0, row.cost_nusd or 0) for row in store.rows(Query(), adjusted=False)]
        except StoreUnavailable:
            if attempt == 49:
                raise
            time.sleep(0.2)
    raise AssertionError
