"""An application under gevent, for tests: greenlets make calls and forks, a ledger is kept; says what came of it.

Run as a program, since patching is for the whole process. It ends itself as soon as a child of a fork forks.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

from support.child_forks import forked  # noqa: E402
from support.ledgers import one_call, stored_numbers  # noqa: E402
from tachograph import configure, native  # noqa: E402
from tachograph.recorder import Recorder  # noqa: E402
from tachograph.testing import recording  # noqa: E402

CALLS, FORKS = 30, 8


def _beats_while_the_disk_stands_still(recorder: Recorder) -> int:
    """Make a call whose row cannot be written before a greenlet has had ten turns; how many it had by then."""
    journal: Any = recorder.ledger._queue
    write, beats, moved = journal._write, 0, list[bool]()
    moves, stands = native.original("allocate_lock")(), native.original("allocate_lock")()
    moves.acquire()
    stands.acquire()

    def stand_still(*what: Any) -> Any:
        stands.release()
        moved.append(moves.acquire(True, 10))
        return write(*what)

    journal._write = stand_still
    one_call(recorder, CALLS + 301)
    while not stands.acquire(False):  # the drain comes to it
        gevent.sleep(0.001)
    while beats < 10:
        gevent.sleep(0.001)
        beats += moves.locked()
    journal._write = write
    moves.release()
    while not moved:
        gevent.sleep(0.001)
    return beats if moved[0] else 0


def main(directory: Path) -> None:
    """Thirty calls, eight forks, one heartbeat."""
    recorder = configure(ledger={"data_dir": str(directory)}, metrics={"multiprocess_dir": str(directory / "metrics")})
    longest = [0.0]

    def beat() -> None:
        last = time.perf_counter()
        while True:
            gevent.sleep(0.001)
            now = time.perf_counter()
            longest[0] = max(longest[0], now - last)
            last = now

    def call(number: int) -> None:
        one_call(recorder, number)
        gevent.sleep(0.01)
        if number < FORKS:
            subprocess.run(["true"], check=True)

    one_call(recorder, CALLS)
    recorder.ledger.flush(20)
    with recording(strict=False):
        gevent.joinall([gevent.spawn(call, number) for number in range(CALLS)], timeout=30)
    heart = gevent.spawn(beat)
    for number in range(CALLS + 1, CALLS + 301):
        one_call(recorder, number)
        if number % 10 == 0:
            gevent.sleep(0.01)
    beats = _beats_while_the_disk_stands_still(recorder)
    done = recorder.ledger.flush(20)
    heart.kill()
    found = {
        "flushed": done,
        "stored": stored_numbers(recorder.ledger),
        "forks in children": os.path.getsize(forked),
        "longest pause": longest[0],
        "beats while the disk stood still": beats,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
