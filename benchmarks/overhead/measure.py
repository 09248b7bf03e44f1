"""Measures peers against the bare SDK in one run: blocks in turn, order swapped, lower quartiles, spreads.

First what no clock is needed for (bytecodes, memory), on all cores; then times, one peer after the other on one core.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from benchmarks.environments import BY_NAME, Peer, of_clients, python_of
from benchmarks.processes import Worker, WorkerError

SDKS = ("openai", "anthropic", "gemini")
STREAMS = ("openai", "anthropic")
FEW, MANY = 20, 500
MANY_COUNTED = 120
"""Chunks of the longer stream whose bytecodes are counted: the slope is the same in every run."""
SECONDS = 120.0
"""Longest that one block may take, or a process to start, on a busy machine."""
MEMORY_SECONDS = 300.0
CALLS_KEPT, MODELS_KEPT = 10_000, 1000
_WITHOUT_MEMORY = ("tachograph_ledger", "tachograph_span", "tachograph_span_unsampled", "tachograph_unsampled")
"""All of them together are measured, and ten thousand calls take their time."""


@dataclass
class Figure:
    """One cell of the table.

    Attributes:
        added: CPU microseconds added to the bare call (for `tasks`: calls per CPU second, of bare).
        bare: CPU microseconds of the bare call in the same run.
        low, high: Quartiles of the paired differences.
        problem: What the peer said when it could not.
    """

    added: float | None = None
    bare: float | None = None
    low: float | None = None
    high: float | None = None
    problem: str = ""


def compare(bare: Worker, watched: Worker, subject: str, *, blocks: int, calls: int) -> Figure:
    """Paired, interleaved blocks: bare and watched in turn, the order swapped each time."""
    try:
        for worker in (bare, watched):
            worker.ask("block", subject=subject, calls=calls * 3)
            worker.ask("freeze")
        pairs: list[tuple[float, float]] = []
        for index in range(blocks):
            if index % 2:
                before = bare.ask("block", subject=subject, calls=calls)
                pairs.append((before, watched.ask("block", subject=subject, calls=calls)))
            else:
                after = watched.ask("block", subject=subject, calls=calls)
                pairs.append((bare.ask("block", subject=subject, calls=calls), after))
    except WorkerError as error:
        return Figure(problem=str(error))
    base = statistics.quantiles([pair[0] for pair in pairs], n=4)[0]
    seen = statistics.quantiles([pair[1] for pair in pairs], n=4)[0]
    differences = statistics.quantiles([pair[1] - pair[0] for pair in pairs], n=4)
    if subject == "tasks":
        shares = statistics.quantiles([pair[0] / pair[1] for pair in pairs], n=4)
        return Figure(base / seen, base, shares[0], shares[2])
    return Figure(seen - base, base, differences[0], differences[2])


def chunk_cost(bare: Worker, watched: Worker, name: str, *, blocks: int) -> Figure:
    """CPU microseconds added by one chunk: the slope between short and long streams."""
    few = compare(bare, watched, f"stream:{name}:{FEW}", blocks=blocks, calls=4)
    many = compare(bare, watched, f"stream:{name}:{MANY}", blocks=blocks, calls=1)
    if few.problem or many.problem:
        return Figure(problem=few.problem or many.problem)
    span = MANY - FEW
    return Figure(
        ((many.added or 0) - (few.added or 0)) / span,
        ((many.bare or 0) - (few.bare or 0)) / span,
        ((many.low or 0) - (few.high or 0)) / span,
        ((many.high or 0) - (few.low or 0)) / span,
    )


def _worker(peer: Peer, who: str, *, pinned: bool) -> Worker:
    arguments = [who, "pinned"] if pinned else [who]
    return Worker(python_of(peer), "benchmarks.overhead.worker", arguments, SECONDS)


@cache
def _clients(peer: Peer) -> str:
    """Peers of which this is the same run the same bare code."""
    return f"{peer.bare} {sorted(of_clients(python_of(peer)).items())}"


class Bares:
    """Bare processes, one for all peers whose environments have the same clients."""

    def __init__(self) -> None:
        self._running: dict[str, Worker] = {}

    def of(self, peer: Peer) -> Worker:
        """The process to compare the peer with."""
        key = _clients(peer)
        if key not in self._running:
            self._running[key] = _worker(peer, peer.bare, pinned=True)
        return self._running[key]

    def close(self) -> None:
        """End them all."""
        for worker in self._running.values():
            worker.close()


def measure(names: list[str], *, quick: bool, say: Callable[[str], None] = print) -> dict[str, Any]:
    """All peers, all rows; returns plain data for JSON, by peer's name."""
    counted = {} if quick else _count(names, say=say)
    results: dict[str, Any] = {}
    bares = Bares()
    try:
        for name in names:
            say(f"  {BY_NAME[name].title}")
            try:
                results[name] = {**_measure(BY_NAME[name], bares, quick=quick), **counted.get(name, {})}
            except (RuntimeError, WorkerError) as error:
                results[name] = {"problem": str(error)}
    finally:
        bares.close()
    return results


def _measure(peer: Peer, bares: Bares, *, quick: bool) -> dict[str, Any]:
    blocks = 6 if quick else 24
    with ThreadPoolExecutor(2) as pool:  # they take seconds to import what they need
        starting = pool.submit(_worker, peer, peer.name, pinned=True)
        bare = bares.of(peer)
        watched = starting.result()
    try:
        rows: dict[str, Any] = {"start_up_ms": watched.ask("start_up") - bare.ask("start_up")}
        if peer.groups == ("tools",):
            return {**rows, "tool": asdict(compare(bare, watched, "tool", blocks=blocks, calls=10))}
        for sdk in SDKS:
            rows[f"sync:{sdk}"] = asdict(compare(bare, watched, f"sync:{sdk}", blocks=blocks, calls=10))
            if not quick:
                rows[f"async:{sdk}"] = asdict(compare(bare, watched, f"async:{sdk}", blocks=blocks * 2 // 3, calls=10))
        rows["tasks"] = asdict(compare(bare, watched, "tasks", blocks=max(4, blocks // 4), calls=100))
        for stream in STREAMS:
            rows[f"chunk:{stream}"] = asdict(chunk_cost(bare, watched, stream, blocks=max(5, blocks // 2)))
        # last: one peer's calls cost twice as much once an MCP client is open in the process
        rows["tool"] = asdict(compare(bare, watched, "tool", blocks=blocks, calls=10))
        if quick:  # else counted before, in processes of their own
            rows["bytecodes"] = _added(_instructions(bare), _instructions(watched))
        return rows
    finally:
        watched.close()


def _count(names: list[str], *, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """What does not depend on the clock, of two peers at a time."""
    bare: dict[str, dict[str, int]] = {}

    def one(name: str) -> dict[str, Any]:
        peer = BY_NAME[name]
        if peer.groups == ("tools",):
            return {}
        try:
            worker = _worker(peer, name, pinned=False)
            try:
                found: dict[str, Any] = {"bytecodes": _added(bare[_clients(peer)], _instructions(worker))}
            finally:
                worker.close()
            if name not in _WITHOUT_MEMORY:
                found["memory"] = _memory(peer)
        except (RuntimeError, WorkerError) as error:
            return {"bytecodes": {"problem": str(error)}}
        say(f"  {peer.title}: bytecodes{', memory' if 'memory' in found else ''}")
        return found

    def count_bare(peer: Peer) -> dict[str, int]:
        try:
            worker = _worker(peer, peer.bare, pinned=False)
            try:
                return _instructions(worker)
            finally:
                worker.close()
        except (RuntimeError, WorkerError) as error:
            say(f"  {peer.title}: its bare clients cannot be counted: {error}")
            return {}

    with ThreadPoolExecutor(2) as pool:
        any_of = {_clients(BY_NAME[name]): BY_NAME[name] for name in names if not BY_NAME[name].groups}
        for key, counts in zip(any_of, pool.map(count_bare, any_of.values()), strict=True):
            bare[key] = counts
        return dict(zip(names, pool.map(one, names), strict=True))


_COUNTED = (
    *(f"sync:{sdk}" for sdk in SDKS),
    *(f"stream:{name}:{chunks}" for name in STREAMS for chunks in (FEW, MANY_COUNTED)),
)


def _instructions(worker: Worker) -> dict[str, int]:
    return {subject: worker.ask("bytecodes", subject=subject) for subject in _COUNTED}


def _added(bare: dict[str, int], watched: dict[str, int]) -> dict[str, float]:
    """Instructions that a peer adds to a call and to a chunk of each SDK that has one."""
    if not bare:
        raise WorkerError("its bare clients could not be counted")
    added = {subject: watched[subject] - bare[subject] for subject in _COUNTED}
    chunks = MANY_COUNTED - FEW
    return {
        **{f"call:{sdk}": added[f"sync:{sdk}"] for sdk in SDKS},
        **{
            f"chunk:{name}": (added[f"stream:{name}:{MANY_COUNTED}"] - added[f"stream:{name}:{FEW}"]) / chunks
            for name in STREAMS
        },
    }


def _memory(peer: Peer) -> dict[str, Any]:
    """Megabytes that a fresh process grows by in so many calls, and then by so many models."""
    worker = _worker(peer, peer.name, pinned=False)
    worker.seconds = MEMORY_SECONDS
    try:
        calls = worker.ask("memory", calls=CALLS_KEPT, models=1)
        models = worker.ask("memory", calls=MODELS_KEPT, models=MODELS_KEPT)
    except WorkerError as error:
        return {"problem": str(error)}
    finally:
        worker.close()
    return {"calls_mb": calls / 1e6, "models_mb": models / 1e6}
