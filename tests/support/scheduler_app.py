"""An application under another scheduler, for tests: its tasks make calls and forks; says what came of it.

    python scheduler_app.py gevent|eventlet|uvloop|trio|asyncio DIRECTORY [without]

With `without` it makes no calls: what is left of the longest pause is the machine's and the scheduler's own.
Run as a program, since patching is for the whole process. It ends itself as soon as a child of a fork forks.
"""

from __future__ import annotations

import sys

NAME = sys.argv[1]
if NAME == "gevent":
    from gevent import monkey

    monkey.patch_all()
elif NAME == "eventlet":
    import eventlet

    eventlet.monkey_patch()

import asyncio  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import subprocess  # noqa: E402
import time  # noqa: E402
from collections.abc import Awaitable, Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from support.child_forks import forked  # noqa: E402
from support.ledgers import stored_numbers  # noqa: E402
from tachograph import configure  # noqa: E402
from tachograph.records import Cost, Usage  # noqa: E402

CALLS, FORKS, IN_CHILD = 300, 4, 5


def one_call(recorder: Any, number: int) -> None:
    """A call as an application makes it: it does not wait for the drain."""
    if "without" in sys.argv:
        return
    call = recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt().end("success", status=200)
    call.usage, call.cost = Usage(100 + number, 7), Cost(1000, "priced", "test/1")
    call.finish("success")


def fork(recorder: Any, number: int) -> None:
    """A child that execs, and one that goes on as the application and makes calls of its own."""
    subprocess.run(["true"], check=True)
    child = os.fork()
    if not child:
        for more in range(IN_CHILD):
            one_call(recorder, CALLS + number * IN_CHILD + more)
        os._exit(0 if recorder.ledger.close(20) else 1)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)


class Pauses:
    """The longest time for which the scheduler did not come back, beyond what it was asked to wait."""

    def __init__(self) -> None:
        self.longest, self._last = 0.0, time.perf_counter()

    def beat(self) -> None:
        now = time.perf_counter()
        self.longest, self._last = max(self.longest, now - self._last), now


def with_greenlets(recorder: Any, spawn: Callable[..., Any], wait: Callable[[Any], Any], sleep: Any) -> float:
    def task(number: int) -> None:
        sleep(0.001 * (number % 50))
        one_call(recorder, number)

    for number in range(FORKS):
        fork(recorder, number)
    pauses = Pauses()

    def beat() -> None:
        while len(done) < CALLS:
            sleep(0.001)
            pauses.beat()

    done: list[int] = []
    heart = spawn(beat)
    for waiting in [spawn(lambda number=number: (task(number), done.append(number))) for number in range(CALLS)]:
        wait(waiting)
    wait(heart)
    return pauses.longest


async def with_tasks(recorder: Any, gather: Callable[..., Awaitable[object]], sleep: Any) -> float:
    async def task(number: int) -> None:
        await sleep(0.001 * (number % 50))
        one_call(recorder, number)
        done.append(number)

    async def beat() -> None:
        pauses = Pauses()
        while len(done) < CALLS:
            await sleep(0.001)
            pauses.beat()
        longest.append(pauses.longest)

    done: list[int] = []
    longest: list[float] = []
    for number in range(FORKS):
        fork(recorder, number)
    await gather(beat, *[lambda number=number: task(number) for number in range(CALLS)])
    return longest[0]


async def _gather(*functions: Callable[[], Any]) -> None:
    await asyncio.gather(*(function() for function in functions))


async def _nursery(*functions: Callable[[], Any]) -> None:
    import trio

    async with trio.open_nursery() as nursery:
        for function in functions:
            nursery.start_soon(function)


def main(directory: Path) -> None:
    """Calls in tasks, forks, one heartbeat."""
    recorder = configure(ledger={"data_dir": str(directory)}, metrics={"multiprocess_dir": str(directory / "metrics")})
    one_call(recorder, CALLS + FORKS * IN_CHILD)
    recorder.ledger.flush(20)
    if NAME == "gevent":
        import gevent

        pause = with_greenlets(recorder, gevent.spawn, lambda made: made.get(), gevent.sleep)
    elif NAME == "eventlet":
        pause = with_greenlets(recorder, eventlet.spawn, lambda made: made.wait(), eventlet.sleep)
    elif NAME == "uvloop":
        import uvloop

        pause = uvloop.run(with_tasks(recorder, _gather, asyncio.sleep))
    elif NAME == "trio":
        import trio

        pause = trio.run(with_tasks, recorder, _nursery, trio.sleep)
    else:
        pause = asyncio.run(with_tasks(recorder, _gather, asyncio.sleep))
    found = {
        "flushed": recorder.ledger.flush(20),
        "stored": stored_numbers(recorder.ledger),
        "counted": sum(
            sample.values[0]
            for family, samples in recorder.metrics.collect()
            if family.name == "llm_provider_tokens_total"
            for sample in samples
            if "completion" in sample.labels
        )
        / 7,
        "forks in children": os.path.getsize(forked),
        "longest pause": pause,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[2]))
