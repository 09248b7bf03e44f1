"""Random faults in one world, from a seed: processes that keep a ledger, and what happens to them and to their files.

    python -m support.chaos --seed 7 --steps 20

Each producer is an application: it makes calls through a recorder (ring, tape, drain, journal), and notes what it has
made in a mapping that survives it. A step plays one fault and lets the world go on. After the last one every call that
was made is stored, once, in one of the databases that there were, or was refused and counted; nothing is counted as
lost; files of the application that took over closed descriptors are as it wrote them; and no call ended with an
exception of ours.

How long the application stood still is the longest time of one call, in its own thread, without what it waited for a
processor (`support.stalls`), and apart from calls during which the process was stopped from outside. A process beside
does work of the same length without Tachograph, and shows what the machine itself adds: on a virtual machine the host
may take the processor away for milliseconds, which no counter of a thread says.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from support.ledgers import make_recorder, metric
from support.small_disk import small_disk
from tachograph.tape.ring import directory_of
from tachograph.usage.stores.open import open_store
from tachograph.usage.stores.query import Query


class _Note(NamedTuple):
    """What a producer says of itself."""

    made: int = 0
    refused: int = 0
    longest_ns: int = 0
    stalls: int = 0
    lost: int = 0
    failures: int = 0


_NOTE = struct.Struct("<6Q")
STALL_MS = 5.0

PRODUCER = """
import json, mmap, os, signal, sys, time
jumped = [0.0]
wall, wall_ns = time.time, time.time_ns
time.time, time.time_ns = lambda: wall() + jumped[0], lambda: wall_ns() + int(jumped[0] * 1e9)
sys.path[:0] = {path!r}
from pathlib import Path
from support.stalls import Stall
from tachograph.records import Cost, Usage
from tachograph.runtime import join
from tachograph.signals.registry import Metrics
from tachograph.usage.ledger import Ledger
from tachograph.settings.ledger import LedgerSettings
directory, name, number = Path({directory!r}), {name!r}, 0
with open(directory / "notes" / name, "w+b") as file:
    file.write(bytes(48))
    file.flush()
    noted = memoryview(mmap.mmap(file.fileno(), 48)).cast("Q")  # a number at once: `pack_into` would clear it first
def note():
    noted[1], noted[2], noted[3], noted[4], noted[5] = refused, longest, stalls, sum(lost), failures
    noted[0] = number
metrics = Metrics(())
ledger = Ledger(LedgerSettings(data_dir=str(directory / "data"), interval_seconds=0.1, segment_mb=0.02,
                               timeout_seconds=2.0), metrics)
recorder = join(metrics, ledger=ledger, strict=False)
recorder.ring, ledger.recovered = ledger.ring, recorder.recovered
ledger.ring.prepare()
lost, wanted, files, continued = [], [], [], []
ledger._metrics.lost = lost.append
signal.signal(signal.SIGUSR1, lambda *_: wanted.append("order"))
signal.signal(signal.SIGTERM, lambda *_: wanted.append("end"))
signal.signal(signal.SIGCONT, lambda *_: continued.append(number))
refused_before = refused = longest = stalls = failures = 0
while "end" not in wanted:
    if wanted:
        wanted.remove("order")
        order, argument = json.loads((directory / "orders" / name).read_text())
        if order == "close descriptors":
            os.closerange(3, 1024)
            for index in range(40):
                files.append(open(directory / "application" / f"{{name}}-{{len(files)}}", "wb", buffering=0))
                files[-1].write(b"A" * 300)
        elif order == "fork":
            child = os.fork()
            if child:
                os._exit(0)
            refused_before = refused
        else:
            jumped[0] += argument
        (directory / "orders" / f"{{name}}.done").write_text(str(os.getpid()))
    stall = Stall()
    try:
        call = recorder.start_llm_call("openai", "gpt-5", labels={{"who": name, "team": "t%d" % (number % 3)}})
        call.begin_attempt().end("success", status=200)
        call.usage, call.cost = Usage(number, 7), Cost(number % 777, "priced", "chaos/1")
        call.finish("success")
    except Exception:
        failures += 1
    took = stall.nanoseconds()
    if number in continued:  # after the functions that were called: there the handler has had its turn
        took = 0
    longest, stalls, number = max(longest, took), stalls + (took > 5_000_000), number + 1
    refused = refused_before + sum(ledger._queue.refused.values())
    note()
    time.sleep(0.002)
ledger.close(20)
refused = refused_before + sum(ledger._queue.refused.values())
note()
os._exit(0)
"""

BESIDE = """
import mmap, struct, sys, time
sys.path[:0] = {path!r}
from support.stalls import Stall
noted_as, longest, stalls, number = struct.Struct("<6Q"), 0, 0, 0
with open(sys.argv[1], "w+b") as file:
    file.write(bytes(noted_as.size))
    file.flush()
    noted = mmap.mmap(file.fileno(), noted_as.size)
while True:
    stall = Stall()
    sum(range(12_000))  # as long as a call: a moment that the host takes the processor hits both equally often
    took = stall.nanoseconds()
    longest, stalls, number = max(longest, took), stalls + (took > 5_000_000), number + 1
    noted_as.pack_into(noted, 0, number, 0, longest, stalls, 0, 0)
    time.sleep(0.002)
"""

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
sys.stdout.write("held"); sys.stdout.flush()
sys.stdin.read()
"""


@dataclass
class Came:
    """What came of it."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    made: int = 0
    refused: int = 0
    stored: int = 0
    missing: int = 0
    doubled: int = 0
    counted_lost: float = 0.0
    application_files_changed: int = 0
    failures: int = 0
    stalls: int = 0
    longest_call_ms: float = 0.0
    stalls_beside: int = 0
    longest_beside_ms: float = 0.0
    left: list[str] = field(default_factory=list)
    """Journals and rings that were not drained in the end: then a missing record may only be late."""

    def add(self, other: Came) -> None:
        """Add up another world."""
        self.faults += other.faults
        for name in ("made", "refused", "stored", "missing", "doubled", "stalls", "stalls_beside"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("longest_call_ms", "longest_beside_ms"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))

    @property
    def is_sound(self) -> bool:
        """Whether nothing was lost, doubled or overwritten; what was refused was counted."""
        return not (
            self.missing > self.refused
            or self.doubled
            or self.counted_lost
            or self.application_files_changed
            or self.failures
            or self.left
        )


class World:
    """One directory, and processes that keep their ledger in it.

    Args:
        disk: A small file system for the data directory, so that it can be filled; None leaves that fault out.
    """

    def __init__(self, directory: Path, seed: int, producers: int = 3, disk: Path | None = None) -> None:
        self.directory, self.chance, self.disk = directory, random.Random(seed), disk
        self.came = Came(seed)
        for name in ("notes", "orders", "application", "archive"):
            (directory / name).mkdir()
        if disk is not None:
            (directory / "data").symlink_to(disk)
        self._made = 0
        self._alive: dict[str, int] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        beside = BESIDE.format(path=sys.path)
        self._processes.append(subprocess.Popen([sys.executable, "-c", beside, str(directory / "beside")]))
        for _ in range(producers):
            self._start()
        self.faults: dict[str, Callable[[str], None]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "close descriptors": lambda name: self._order(name, "close descriptors"),
            "fork, parent ends": self._fork,
            "rename database": self._rename_database,
            "delete lock": lambda name: (directory / "data" / "writer.lock").unlink(missing_ok=True),
            "odd entry": self._odd_entry,
            "new producer": lambda name: self._start(),
            "clock jump": lambda name: self._order(name, "jump", self.chance.choice((-86_400, -30, 30, 90 * 86_400))),
            "hung database": self._hang_database,
        }
        if disk is not None:
            self.faults["full disk"] = self._fill_disk
            del self.faults["rename database"]  # moving it to another file system is copying it

    def _start(self) -> None:
        self._made += 1
        name = f"p{self._made}"
        code = PRODUCER.format(path=sys.path, directory=str(self.directory), name=name)
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL)
        self._processes.append(process)
        self._alive[name] = process.pid
        self._wait(lambda: self._note(name).made > 0, f"{name} makes its first call")

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds:g} s: {what}")
            time.sleep(0.01)

    def _note(self, name: str) -> _Note:
        try:
            data = (self.directory / "notes" / name).read_bytes()
        except FileNotFoundError:
            data = b""
        return _Note(*_NOTE.unpack(data.ljust(_NOTE.size, b"\0")))

    def _signal(self, name: str, number: int) -> None:
        os.kill(self._alive[name], number)

    def _order(self, name: str, order: str, argument: float = 0.0) -> None:
        """Have the producer do it, and wait until it has."""
        done = self.directory / "orders" / f"{name}.done"
        done.unlink(missing_ok=True)
        (self.directory / "orders" / name).write_text(json.dumps([order, argument]))
        self._signal(name, signal.SIGUSR1)
        self._wait(lambda: done.exists() and done.read_text() != "", f"{name}: {order}")
        self._alive[name] = int(done.read_text())

    def _kill(self, name: str) -> None:
        self._signal(name, signal.SIGKILL)
        del self._alive[name]
        self._start()

    def _freeze(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.05, 0.5))
        self._signal(name, signal.SIGCONT)

    def _fork(self, name: str) -> None:
        self._order(name, "fork")

    def _rename_database(self, name: str) -> None:
        database = self.directory / "data" / "ledger.db"
        if not database.exists():
            return
        moved = self.directory / "archive" / f"{time.time_ns()}.db"
        database.rename(moved)
        wal = database.with_name("ledger.db-wal")
        with suppress(FileNotFoundError):
            wal.rename(moved.with_name(f"{moved.name}-wal"))
            return
        for orphan in wal.parent.glob("ledger.db-wal.orphan-*"):  # a writer was faster than we are
            orphan.rename(moved.with_name(f"{moved.name}-wal"))

    def _odd_entry(self, name: str) -> None:
        path = self.directory / "data" / "journals" / f"{self.chance.randbytes(16).hex()}-00000001.journal"
        make = self.chance.choice([path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/nonexistent")])
        with suppress(OSError):  # a full disk
            make()

    def _hang_database(self, name: str) -> None:
        """Another program holds the database's lock for longer than the ledger waits for it."""
        database = self.directory / "data" / "ledger.db"
        if not database.exists():
            return
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert holder.stdout is not None
        if holder.stdout.read(4) == b"held":
            time.sleep(self.chance.uniform(0.5, 3.0))
        holder.communicate()

    def _fill_disk(self, name: str) -> None:
        assert self.disk is not None
        filler = self.disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        time.sleep(self.chance.uniform(0.2, 1.5))
        filler.unlink()

    def play(self, steps: int) -> Came:
        """Play so many faults, end all, drain what is left and count."""
        try:
            for _ in range(steps):
                fault = self.chance.choice(sorted(self.faults))
                self.faults[fault](self.chance.choice(sorted(self._alive)))
                self.came.faults[fault] += 1
                time.sleep(self.chance.uniform(0.05, 0.4))
            for name in self._alive:
                self._signal(name, signal.SIGTERM)
            self._wait(lambda: not any(_runs(pid) for pid in self._alive.values()), "all producers end")
        finally:
            for pid in self._alive.values():
                if _runs(pid):
                    os.kill(pid, signal.SIGKILL)
            self._processes[0].kill()
            for process in self._processes:
                process.wait(30)
        return self._counted()

    def _counted(self) -> Came:
        came, data = self.came, self.directory / "data"
        recorder = make_recorder(data, writer="external")
        recorder.ledger.recovered = recorder.recovered
        recorder.ledger.drain(60)
        came.counted_lost = metric(recorder, "llm_usage_records_lost_total")
        recorder.ledger.close()
        rings = directory_of(data)
        came.left = [path.name for path in [*data.glob("journals/*.journal"), *rings.glob("*.ring")] if path.is_file()]
        stored: Counter[tuple[str, int]] = Counter()
        for database in [data / "ledger.db", *sorted((self.directory / "archive").glob("*.db"))]:
            store = open_store(f"sqlite:///{database}", read_only=True, create=False)
            found = {  # one that was renamed before its tables were made holds none
                row.id: (str((row.labels or {})["who"]), int(row.input_tokens or 0))
                for row in (store.rows(Query()) if store.version() else ())
            }
            came.doubled += sum(count - 1 for count in Counter(found.values()).values())
            stored |= Counter(found.values())
            store.close()
        came.stored = len(stored)
        for path in (self.directory / "notes").iterdir():
            note = self._note(path.name)
            came.counted_lost += note.lost
            came.made += note.made
            came.refused += note.refused
            came.failures += note.failures
            came.stalls += note.stalls
            came.longest_call_ms = max(came.longest_call_ms, note.longest_ns / 1e6)
            came.missing += sum((path.name, number) not in stored for number in range(note.made))
        beside = _Note(*_NOTE.unpack((self.directory / "beside").read_bytes()))
        came.stalls_beside, came.longest_beside_ms = beside.stalls, beside.longest_ns / 1e6
        for path in (self.directory / "application").iterdir():
            came.application_files_changed += path.read_bytes() != b"A" * 300
        return came


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _row(came: Came) -> str:
    faults = ", ".join(f"{count} {name}" for name, count in sorted(came.faults.items()))
    return (
        f"{came.seed} | {faults} | {came.made:,} | {came.refused:,} | {came.stored:,} | {came.missing} | "
        f"{came.doubled} | "
        f"{came.longest_call_ms:.1f} ms, {came.stalls} | {came.longest_beside_ms:.1f} ms, {came.stalls_beside}\n"
    )


def play(seed: int, steps: int) -> Came:
    """Play one world; on a small file system of its own, for odd seeds and where one may be mounted."""
    with tempfile.TemporaryDirectory() as directory:
        if seed % 2 and os.geteuid() == 0:
            with small_disk(Path(directory), megabytes=48) as disk:
                (Path(directory) / "world").mkdir()
                return World(Path(directory) / "world", seed, disk=disk).play(steps)
        return World(Path(directory), seed).play(steps)


def main() -> int:
    """Play until the time is over; prints a table, and the seed of a world that is not sound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=None, help="replay one world")
    parser.add_argument("--steps", type=int, default=40, help="faults in a world")
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long new worlds are begun")
    args = parser.parse_args()
    until, seed, all_ = time.monotonic() + args.minutes * 60, args.seed, Came(0)
    is_sound = True
    sys.stdout.write(
        "seed | faults | made | refused | stored | missing | doubled | "
        f"longest call, calls above {STALL_MS:g} ms | the same beside, without Tachograph\n"
    )
    while True:
        came = play(random.randrange(1 << 31) if seed is None else seed, args.steps)
        sys.stdout.write(_row(came))
        all_.add(came)
        if not came.is_sound:
            sys.stdout.write(
                f"NOT SOUND: {came}\nReplay it: make chaos ARGS='--seed {came.seed} --steps {args.steps}'\n"
            )
            is_sound = False
        sys.stdout.flush()
        if seed is not None or time.monotonic() >= until:
            sys.stdout.write(f"all: {_row(all_)}")
            return 0 if is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
