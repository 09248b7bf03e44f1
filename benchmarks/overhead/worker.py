"""Runs inside a peer's environment: starts the peer, then measures blocks on command.

python -m benchmarks.overhead.worker PEER
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.overhead.bytecodes import count
from benchmarks.peers import is_sampled, load
from benchmarks.processes import pin, serve

_SOON = 0.3
"""Seconds within which what is kept for a batch is written."""


class Meter:
    """Measures one process's subjects."""

    def __init__(self, peer: str) -> None:
        import anthropic  # noqa: F401 - the application has its clients already
        import openai  # noqa: F401
        from google import genai  # noqa: F401

        from benchmarks.peers.emitted import Emitted

        module = load(peer)
        self.emitted = Emitted(kept=False, sampled=is_sampled(peer))
        began = time.process_time()
        module.start(self.emitted)
        self.started_ms = (time.process_time() - began) * 1e3
        from benchmarks.overhead.subjects import Subjects

        self.subjects = Subjects(
            module.openai_module() if hasattr(module, "openai_module") else None,
            module if hasattr(module, "tool_client") else None,
        )
        self._ready: dict[str, Callable[[int], None]] = {}

    def pin(self, cores: list[int]) -> None:
        """Run on these cores from now on, background threads included."""
        pin(cores)

    def prepare(self, subject: str) -> Callable[[int], None]:
        """A function that runs the subject n times."""
        if subject not in self._ready:
            self._ready[subject] = self._make(subject)
        return self._ready[subject]

    def _make(self, subject: str) -> Callable[[int], None]:
        kind, _, rest = subject.partition(":")
        loop = self.subjects.loop
        if kind == "sync":
            once = self.subjects.sync(rest)
            return lambda n: _repeat(once, n)
        if kind == "async":
            make = self.subjects.asynchronous(rest)
            return lambda n: loop.run_until_complete(_each(make, n))
        if kind == "stream":
            name, _, chunks = rest.partition(":")
            once = self.subjects.stream(name, int(chunks))
            return lambda n: _repeat(once, n)
        if kind == "tool":
            make = self.subjects.tool()
            return lambda n: loop.run_until_complete(_each(make, n))
        if kind == "tasks":
            make = self.subjects.asynchronous("openai")
            return lambda n: loop.run_until_complete(_together(make, n))
        raise ValueError(subject)

    def block(self, subject: str, calls: int) -> float:
        """CPU microseconds of one call in the calling thread; of many at once, in all threads."""
        run = self.prepare(subject)
        clock = time.process_time_ns if subject == "tasks" else time.thread_time_ns
        before = clock()
        run(calls)
        return (clock() - before) / calls / 1e3

    def background(self, calls: int) -> float:
        """CPU microseconds of one OpenAI call that other threads took, those soon after it included."""
        run = self.prepare("sync:openai")
        run(20)
        time.sleep(_SOON)
        all_of_it, here = time.process_time_ns(), time.thread_time_ns()
        run(calls)
        time.sleep(_SOON)
        return (time.process_time_ns() - all_of_it - (time.thread_time_ns() - here)) / calls / 1e3

    def paced(self, subject: str, rate: float, seconds: float) -> dict[str, float]:
        """CPU microseconds of one call at so many calls a second: in the calling thread, and in the whole process."""
        run = self.prepare(subject)
        run(20)
        _flush()
        mine = calls = 0
        clock, now = time.thread_time_ns, time.perf_counter
        all_of_it, began = time.process_time_ns(), now()
        while calls < max(20, rate * seconds) and (calls < 20 or now() < began + 1.5 * seconds):
            ahead = began + calls / rate - now()
            if ahead > 0:
                time.sleep(ahead)
            before = clock()
            run(1)
            mine += clock() - before
            calls += 1
        took = now() - began
        _flush()
        total = time.process_time_ns() - all_of_it
        return {"caller_us": mine / calls / 1e3, "total_us": total / calls / 1e3, "rate": (calls - 1) / took}

    def loop_beside(self, rate: float, seconds: float) -> dict[str, float]:
        """How late an event loop that does nothing else wakes, while a thread makes so many OpenAI calls a second."""
        run = self.prepare("sync:openai")
        run(20)
        is_over = threading.Event()

        def calls() -> None:
            began, number = time.perf_counter(), 0
            while not is_over.is_set():
                ahead = began + number / rate - time.perf_counter()
                if ahead > 0:
                    time.sleep(ahead)
                run(1)
                number += 1

        async def beat() -> list[float]:
            late, until = [], time.perf_counter() + seconds
            while (now := time.perf_counter()) < until:
                await asyncio.sleep(0.001)
                late.append(time.perf_counter() - now - 0.001)
            return sorted(late)

        thread = threading.Thread(target=calls)
        thread.start()
        late = asyncio.run(beat())
        is_over.set()
        thread.join()
        at = len(late) - 1
        return {"p50_ms": late[at // 2] * 1e3, "p99_ms": late[int(at * 0.99)] * 1e3, "max_ms": late[at] * 1e3}

    def window(self, count: int) -> dict[str, float]:
        """How long after its call a record that finds no slot in the ring is in the journal."""
        from tachograph.runtime import get_recorder
        from tachograph.usage.ledger import Ledger

        recorder, took = get_recorder(), []
        assert isinstance(recorder.ledger, Ledger)
        queue = recorder.ledger._queue
        for _ in range(count):
            recorder.ledger.flush()
            call, before = recorder.start_llm_call("openai", "gpt-5", labels={"user": "u" * 5000}), queue.sequence
            call.finish("success")
            now = time.perf_counter()
            while queue.sequence == before:
                time.sleep(0)
            took.append((time.perf_counter() - now) * 1e6)
        took.sort()
        return {"p50_us": took[count // 2], "p99_us": took[int(count * 0.99) - 1]}

    def start_up(self) -> float:
        """CPU milliseconds that switching the peer on took, the clients imported before."""
        return self.started_ms

    def freeze(self) -> None:
        """Leave what is there out of garbage collection, which goes on for what comes: streams are cycles."""
        gc.collect()
        gc.freeze()

    def memory(self, calls: int, models: int) -> float:
        """Bytes by which the process has grown after so many calls, spread over so many models."""
        ask = self.subjects.with_model()
        for _ in range(300):
            ask("gpt-5-mini")
        gc.collect()
        before = _resident()
        for index in range(calls):
            ask(f"model-{index % models}")
        gc.collect()
        return float(_resident() - before)

    def bytecodes(self, subject: str) -> int:
        """Bytecodes executed by one warm call, all code of this thread counted; the fewest of three."""
        run = self.prepare(subject)
        run(5)
        return min(_counted(run) for _ in range(3))


def _flush() -> None:
    """Have written what gathers, where we watch."""
    runtime = sys.modules.get("tachograph.runtime")
    if runtime is not None:
        runtime.get_recorder().settle()
        ledger = runtime.get_recorder().ledger
        if ledger is not None:
            ledger.flush()


def _counted(run: Callable[[int], None]) -> int:
    if sys.version_info < (3, 12):
        return count(lambda: run(1))
    counted = 0
    monitoring = sys.monitoring
    monitoring.use_tool_id(3, "count")

    def seen(code: Any, offset: int) -> Any:
        nonlocal counted
        counted += 1

    monitoring.register_callback(3, monitoring.events.INSTRUCTION, seen)
    monitoring.set_events(3, monitoring.events.INSTRUCTION)
    run(1)
    monitoring.set_events(3, 0)
    monitoring.free_tool_id(3)
    return counted


def _repeat(once: Callable[[], Any], n: int) -> None:
    for _ in range(n):
        once()


async def _each(make: Callable[[], Any], n: int) -> None:
    for _ in range(n):
        await make()


async def _together(make: Callable[[], Any], n: int) -> None:
    await asyncio.gather(*(make() for _ in range(n)))


def _resident() -> int:
    """Resident bytes of this process."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _make() -> Meter:
    return Meter(sys.argv[1])


if __name__ == "__main__":
    serve(_make)
