"""Runs inside a peer's environment: starts the peer, then measures blocks on command, one JSON line each way.

python -m benchmarks.overhead.worker PEER
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any


class Meter:
    """Measures one process's subjects."""

    def __init__(self, peer: str) -> None:
        from benchmarks.peers.emitted import Emitted

        module = importlib.import_module(f"benchmarks.peers.{peer}")
        self.emitted = Emitted(kept=False, sampled=not peer.endswith("unsampled"))
        module.start(self.emitted)
        from benchmarks.overhead.subjects import Subjects

        self.subjects = Subjects(module.openai_module() if hasattr(module, "openai_module") else None)
        self._ready: dict[str, Callable[[int], None]] = {}

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
        """CPU microseconds of the whole process, background threads included, for one call."""
        run = self.prepare(subject)
        before = time.process_time_ns()
        run(calls)
        return (time.process_time_ns() - before) / calls / 1e3

    def memory(self, calls: int) -> float:
        """Bytes that are kept after so many calls."""
        run = self.prepare("sync:openai")
        run(200)
        gc.collect()
        tracemalloc.start()
        run(calls)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return float(kept)

    def bytecodes(self, subject: str) -> int:
        """Bytecodes executed by one warm call, all code of this thread counted."""
        run = self.prepare(subject)
        run(20)
        counted = 0
        if sys.version_info >= (3, 12):
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

        def trace(frame: Any, event: str, argument: Any) -> Any:
            nonlocal counted
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            if event == "opcode":
                counted += 1
            return trace

        sys.settrace(trace)
        run(1)
        sys.settrace(None)
        return counted


def _repeat(once: Callable[[], Any], n: int) -> None:
    for _ in range(n):
        once()


async def _each(make: Callable[[], Any], n: int) -> None:
    for _ in range(n):
        await make()


async def _together(make: Callable[[], Any], n: int) -> None:
    import asyncio

    await asyncio.gather(*(make() for _ in range(n)))


def main() -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a peer prints must not disturb the answers
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    meter = Meter(sys.argv[1])
    out.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            name = asked.pop("do")
            if name == "freeze":
                gc.collect()
                gc.freeze()
                gc.disable()
                value: Any = None
            else:
                value = getattr(meter, name)(**asked)
            out.write(json.dumps({"value": value}) + "\n")
        except Exception as error:  # noqa: BLE001 - told to the parent, which shows it in the table
            out.write(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}) + "\n")
    os._exit(0)


if __name__ == "__main__":
    main()
