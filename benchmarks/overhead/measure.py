"""Measures peers against the bare SDK in one run: blocks in turn, order swapped, lower quartiles, spreads."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.environments import BY_NAME, Peer, python_of
from benchmarks.processes import Worker, WorkerError

WHOLE = ("sync:openai", "sync:anthropic", "sync:gemini")
ASYNC = ("async:openai", "async:anthropic", "async:gemini")
STREAMS = ("openai", "anthropic")
FEW, MANY = 20, 500
SECONDS = 60.0
"""Longest that one block may take."""


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


def measure(
    names: list[str], *, quick: bool, say: Callable[[str], None] = print, blocks: int | None = None
) -> dict[str, Any]:
    """All peers, all rows; returns plain data for JSON, by peer's name."""
    results: dict[str, Any] = {}
    for name in names:
        say(f"  {BY_NAME[name].title}")
        try:
            results[name] = _measure(BY_NAME[name], blocks or (10 if quick else 32), quick=quick)
        except (RuntimeError, WorkerError) as error:
            results[name] = {"problem": str(error)}
    return results


def _measure(peer: Peer, blocks: int, *, quick: bool) -> dict[str, Any]:
    python = python_of(peer)

    def begin(who: Peer) -> Worker:
        return Worker(python, "benchmarks.overhead.worker", [who.name], SECONDS)

    with ThreadPoolExecutor(2) as pool:  # they take seconds to import what they need
        both = [pool.submit(begin, who) for who in (BY_NAME["bare"], peer)]
        workers = [future.result() for future in both if future.exception() is None]
    try:
        bare, watched = (future.result() for future in both)
        rows: dict[str, Any] = {"start_up_ms": watched.ask("start_up") - bare.ask("start_up")}
        for subject in WHOLE:
            rows[subject] = asdict(compare(bare, watched, subject, blocks=blocks, calls=10))
        rows["tool"] = asdict(compare(bare, watched, "tool", blocks=blocks, calls=10))
        rows["tasks"] = asdict(compare(bare, watched, "tasks", blocks=max(6, blocks // 4), calls=100))
        if not quick:
            for subject in ASYNC:
                rows[subject] = asdict(compare(bare, watched, subject, blocks=blocks // 2, calls=10))
        for stream in STREAMS[:1] if quick else STREAMS:
            rows[f"chunk:{stream}"] = asdict(chunk_cost(bare, watched, stream, blocks=max(5, blocks // 3)))
        rows["bytecodes"] = _bytecodes(bare, watched)
        if not quick and "ledger" in peer.emits:
            rows["memory"] = _memory(watched)
        return rows
    finally:
        for worker in workers:
            worker.close()


def _bytecodes(bare: Worker, watched: Worker) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        for key, subject in (
            ("call", "sync:openai"),
            ("few", f"stream:openai:{FEW}"),
            ("many", f"stream:openai:{MANY}"),
        ):
            found[key] = watched.ask("bytecodes", subject=subject) - bare.ask("bytecodes", subject=subject)
    except WorkerError as error:
        return {"problem": str(error)}
    return {"call": found["call"], "chunk": (found["many"] - found["few"]) / (MANY - FEW)}


def _memory(watched: Worker) -> dict[str, Any]:
    try:
        calls = watched.ask("memory", calls=10_000, models=1)
        models = watched.ask("memory", calls=1000, models=1000)
    except WorkerError as error:
        return {"problem": str(error)}
    return {"calls_mb": calls / 1e6, "models_mb": models / 1e6}
