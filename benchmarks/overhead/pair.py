"""Two processes of one origin, one bare and one watched, measured in turn.

python -m benchmarks.overhead.pair PEER BARE

Two processes started apart differ by up to a tenth in the same call, by where things happen to lie in memory: more than
what is to be measured. So one process imports the clients and forks twice; what the two have in common lies at the same
addresses in both, and bare against bare comes out at zero.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.processes import pin, serve


class Pair:
    """The bare half and the watched half.

    Args:
        peer: What watches in the watched half.
        bare: What runs in the other half, without it.
    """

    def __init__(self, peer: str, bare: str) -> None:
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        pin(self._cores[-1:])  # not where another pair may be measured meanwhile
        import anthropic  # noqa: F401 - the application has its clients already
        import mcp.server.mcpserver  # noqa: F401
        import openai  # noqa: F401
        from google import genai  # noqa: F401

        import benchmarks.overhead.subjects
        import benchmarks.overhead.worker
        import benchmarks.peers.emitted  # noqa: F401

        context = multiprocessing.get_context("fork")
        ends = [context.Pipe(), context.Pipe()]
        self._halves = [ours for ours, _ in ends]
        for (_, theirs), name in zip(ends, (bare, peer), strict=True):
            context.Process(target=_half, args=(theirs, self._halves, name), daemon=True).start()
            theirs.close()
        for half in self._halves:
            _answer(half)

    def start_up(self) -> float:
        """CPU milliseconds that switching the peer on took."""
        bare, watched = (self._ask(half, "start_up") for half in self._halves)
        return float(watched - bare)

    def compare(self, subject: str, blocks: int, calls: int) -> list[tuple[float, float]]:
        """CPU microseconds of a call, bare and watched, block by block; the order is swapped each time."""
        bare, watched = self._halves
        for half in self._halves:
            self._ask(half, "pin", cores=self._cores[:1])
            self._ask(half, "block", subject=subject, calls=calls * 3)
            self._ask(half, "freeze")
        pairs = []
        for index in range(blocks):
            if index % 2:
                before = self._ask(bare, "block", subject=subject, calls=calls)
                pairs.append((before, self._ask(watched, "block", subject=subject, calls=calls)))
            else:
                after = self._ask(watched, "block", subject=subject, calls=calls)
                pairs.append((self._ask(bare, "block", subject=subject, calls=calls), after))
        return pairs

    def background(self, calls: int) -> tuple[float, float]:
        """CPU microseconds that other threads took for one call, bare and watched."""
        for half in self._halves:  # both at once: most of it is waiting
            half.send(("background", {"calls": calls}))
        bare, watched = [_answer(half) for half in self._halves]
        return bare, watched

    def bytecodes(self, subject: str) -> tuple[int, int]:
        """Instructions of one warm call, bare and watched."""
        bare, watched = (self._ask(half, "bytecodes", subject=subject) for half in self._halves)
        return bare, watched

    def _ask(self, half: Connection, do: str, **arguments: Any) -> Any:
        half.send((do, arguments))
        return _answer(half)


def _answer(half: Connection) -> Any:
    answer = half.recv()
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["value"]


def _half(asked: Connection, parents: list[Connection], name: str) -> None:
    """One half's own side: follow commands until the parent is gone."""
    for end in parents:  # else this process would keep them open, and never see the parent go
        end.close()
    from benchmarks.overhead.worker import Meter

    meter: Meter | None = None
    try:
        while True:
            try:
                if meter is None:
                    meter = Meter(name)
                    answer: dict[str, Any] = {"value": "ready"}
                else:
                    do, arguments = asked.recv()
                    answer = {"value": getattr(meter, do)(**arguments)}
            except EOFError:
                break
            except Exception as error:  # noqa: BLE001 - sent to the parent, which shows it in the table
                answer = {"error": f"{type(error).__name__}: {error}"[:300]}
            asked.send(answer)
            if meter is None:
                break
    finally:
        os._exit(0)


if __name__ == "__main__":
    serve(lambda: Pair(*sys.argv[1:3]))
