"""Random faults in one world, from a seed: processes that keep a ledger, and what happens to them and to their files.

    python -m support.chaos --seed 7 --steps 20

Each producer makes calls and notes what it has handed over in a mapping that survives it. A step plays one fault and
lets the world go on. At the end every record that was accepted is stored, once, in one of the databases that there
were; nothing is counted as lost; files of the application that took over closed descriptors are as it wrote them.
"""

from __future__ import annotations

import argparse
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

from support.ledgers import make_recorder, metric
from tachograph.usage.stores.open import open_store
from tachograph.usage.stores.query import Query

_NOTE = struct.Struct("<8sQQQQ")  # prefix of the ids, accepted, refused, longest hand-over in ns, counted as lost

PRODUCER = """
import mmap, os, signal, struct, sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from support.ledgers import make_ledger
from tachograph.records import Cost, Usage
from tachograph.runtime import join
from tachograph.signals.registry import Metrics
directory, name = Path({directory!r}), {name!r}
note = struct.Struct("<8sQQQQ")
prefix = os.urandom(8)
with open(directory / "notes" / name, "w+b") as file:
    file.write(note.pack(prefix, 0, 0, 0, 0))
    file.flush()
    noted = mmap.mmap(file.fileno(), note.size)
ledger = make_ledger(directory / "data", interval_seconds=0.1, segment_mb=0.02)
recorder, wanted, lost = join(Metrics(()), strict=True), [], []
ledger._metrics.lost = lost.append
signal.signal(signal.SIGUSR1, lambda *_: wanted.append("close"))
signal.signal(signal.SIGUSR2, lambda *_: wanted.append("fork"))
signal.signal(signal.SIGTERM, lambda *_: wanted.append("end"))
number = refused = longest = 0
files = []
while "end" not in wanted:
    if "close" in wanted:
        wanted.remove("close")
        os.closerange(3, 1024)
        for index in range(40):
            files.append(open(directory / "application" / f"{{name}}-{{len(files)}}", "wb", buffering=0))
            files[-1].write(b"A" * 300)
    if "fork" in wanted:
        wanted.remove("fork")
        child = os.fork()
        if child:
            os._exit(0)
        (directory / "pids" / name).write_text(str(os.getpid()))
    call = recorder.start_llm_call("openai", "gpt-5", labels={{"team": "t%d" % (number % 3)}})
    call.given_id = prefix + number.to_bytes(8, "big")
    call.begin_attempt().end("success", status=200)
    call.usage, call.cost = Usage(number % 1000, 7), Cost(number % 777, "priced", "chaos/1")
    call.finish("success")
    before, started = ledger._queue.sequence, time.perf_counter_ns()
    ledger.accept(call)
    ledger.write()
    longest = max(longest, time.perf_counter_ns() - started)
    if ledger._queue.sequence > before:
        number += 1
    else:
        refused += 1
    note.pack_into(noted, 0, prefix, number, refused, longest, sum(lost))
    time.sleep(0.002)
ledger.close(10)
os._exit(0)
"""


@dataclass
class Came:
    """What came of it."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    refused: int = 0
    stored: int = 0
    missing: int = 0
    doubled: int = 0
    counted_lost: float = 0.0
    application_files_changed: int = 0
    longest_hand_over_ms: float = 0.0

    @property
    def is_sound(self) -> bool:
        """Whether nothing was lost, doubled or overwritten."""
        return not (self.missing or self.doubled or self.counted_lost or self.application_files_changed)


class World:
    """One directory, and processes that keep their ledger in it."""

    def __init__(self, directory: Path, seed: int, producers: int = 3) -> None:
        self.directory, self.chance = directory, random.Random(seed)
        self.came = Came(seed)
        for name in ("notes", "pids", "application", "archive"):
            (directory / name).mkdir()
        self._made = 0
        self._alive: dict[str, int] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        for _ in range(producers):
            self._start()
        self.faults: dict[str, Callable[[str], None]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "close descriptors": lambda name: self._signal(name, signal.SIGUSR1),
            "fork, parent ends": self._fork,
            "rename database": self._rename_database,
            "delete lock": lambda name: (directory / "data" / "writer.lock").unlink(missing_ok=True),
            "odd entry": self._odd_entry,
            "new producer": lambda name: self._start(),
        }

    def _start(self) -> None:
        self._made += 1
        name = f"p{self._made}"
        code = PRODUCER.format(path=sys.path, directory=str(self.directory), name=name)
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL)
        self._processes.append(process)
        self._alive[name] = process.pid
        self._wait(lambda: self._note(name)[1] > 0)

    def _wait(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError("the world stands still")
            time.sleep(0.01)

    def _note(self, name: str) -> tuple[bytes, int, int, int, int]:
        try:
            data = (self.directory / "notes" / name).read_bytes()
        except FileNotFoundError:
            data = b""
        prefix, accepted, refused, longest, lost = _NOTE.unpack(data.ljust(_NOTE.size, b"\0"))
        return prefix, accepted, refused, longest, lost

    def _signal(self, name: str, number: int) -> None:
        os.kill(self._alive[name], number)

    def _kill(self, name: str) -> None:
        self._signal(name, signal.SIGKILL)
        del self._alive[name]
        self._start()

    def _freeze(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.05, 0.5))
        self._signal(name, signal.SIGCONT)

    def _fork(self, name: str) -> None:
        told = self.directory / "pids" / name
        told.unlink(missing_ok=True)
        self._signal(name, signal.SIGUSR2)
        self._wait(lambda: told.exists() and told.read_text() != "")
        self._alive[name] = int(told.read_text())

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
        make()

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
            self._wait(lambda: not any(_runs(pid) for pid in self._alive.values()))
        finally:
            for pid in self._alive.values():
                if _runs(pid):
                    os.kill(pid, signal.SIGKILL)
            for process in self._processes:
                process.wait(10)
        return self._counted()

    def _counted(self) -> Came:
        came = self.came
        recorder = make_recorder(self.directory / "data", writer="external")
        recorder.ledger.drain(30)  # type: ignore[union-attr]
        came.counted_lost = metric(recorder, "llm_usage_records_lost_total")
        stored: set[bytes] = set()
        for database in [self.directory / "data" / "ledger.db", *sorted((self.directory / "archive").glob("*.db"))]:
            store = open_store(f"sqlite:///{database}", read_only=True, create=False)
            found = [row.id for row in store.rows(Query())]
            came.doubled += len(found) - len(set(found))
            stored |= set(found)
            store.close()
        came.stored = len(stored)
        for path in (self.directory / "notes").iterdir():
            prefix, accepted, refused, longest, lost = self._note(path.name)
            came.counted_lost += lost
            came.accepted += accepted
            came.refused += refused
            came.longest_hand_over_ms = max(came.longest_hand_over_ms, longest / 1e6)
            came.missing += sum(prefix + number.to_bytes(8, "big") not in stored for number in range(accepted))
        for path in (self.directory / "application").iterdir():
            came.application_files_changed += path.read_bytes() != b"A" * 300
        return came


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def main() -> int:
    """Play until the time is over; prints a table, and the seed of a world that is not sound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=None, help="replay one world")
    parser.add_argument("--steps", type=int, default=40, help="faults in a world")
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long new worlds are begun")
    args = parser.parse_args()
    until, seed, sound = time.monotonic() + args.minutes * 60, args.seed, True
    sys.stdout.write("seed | faults | accepted | refused | stored | missing | doubled | longest hand-over\n")
    while True:
        number = random.randrange(1 << 31) if seed is None else seed
        with tempfile.TemporaryDirectory() as directory:
            came = World(Path(directory), number).play(args.steps)
        faults = ", ".join(f"{count} {name}" for name, count in sorted(came.faults.items()))
        sys.stdout.write(
            f"{number} | {faults} | {came.accepted:,} | {came.refused:,} | {came.stored:,} | {came.missing} | "
            f"{came.doubled} | {came.longest_hand_over_ms:.1f} ms\n"
        )
        sys.stdout.flush()
        if not came.is_sound:
            sys.stdout.write(f"NOT SOUND: {came}. Replay it: make chaos ARGS='--seed {number} --steps {args.steps}'\n")
            sound = False
        if seed is not None or time.monotonic() >= until:
            return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
