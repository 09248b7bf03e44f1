"""Measures peers against the bare SDK: two halves of one process in turn, order swapped, lower quartiles, in rounds.

First what no clock is needed for (bytecodes, memory), on all cores; then times, one peer after the other on one core.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

from benchmarks.environments import BY_NAME, Peer, of_clients, python_of
from benchmarks.processes import Worker, WorkerError

SDKS = ("openai", "anthropic", "gemini")
STREAMS = ("openai", "anthropic")
FEW, MANY = 20, 500
MANY_COUNTED = 120
"""Chunks of the longer stream whose bytecodes are counted: the slope is the same in every run."""
ROUNDS = 3
"""Pairs of processes for each peer, each with other hashes."""
SECONDS = 120.0
"""Longest that one row may take, or a process to start, on a busy machine."""
MEMORY_SECONDS = 300.0
CALLS_KEPT, MODELS_KEPT = 10_000, 1000
_WITHOUT_MEMORY = (
    "tachograph_ledger",
    "tachograph_span",
    "tachograph_span_unsampled",
    "tachograph_unsampled",
    "tachograph_metrics_spans",
)
"""All of them together are measured, and ten thousand calls take their time."""


@dataclass
class Figure:
    """One cell of the table: the median of the rounds.

    Attributes:
        added: CPU microseconds added to the bare call (for `tasks`: calls per CPU second, of bare; for `background`: in
            threads other than the calling one).
        bare: CPU microseconds of the bare call in the same run.
        low, high: The lowest and the highest round.
        problem: What the peer said when it could not.
    """

    added: float | None = None
    bare: float | None = None
    low: float | None = None
    high: float | None = None
    problem: str = ""


def _of_rounds(found: list[tuple[float, float]]) -> Figure:
    added = sorted(more for _, more in found)
    return Figure(statistics.median(added), statistics.median(bare for bare, _ in found), added[0], added[-1])


def _compare(pair: Worker, subject: str, *, blocks: int, calls: int = 10) -> tuple[float, float]:
    """Lower quartiles of interleaved blocks: what else the machine does only ever adds."""
    pairs = pair.ask("compare", subject=subject, blocks=blocks, calls=calls)
    bare, watched = (statistics.quantiles(side, n=4)[0] for side in zip(*pairs, strict=True))
    return bare, bare / watched if subject == "tasks" else watched - bare


def _chunk(pair: Worker, name: str, *, blocks: int) -> tuple[float, float]:
    """CPU microseconds of one chunk: the slope between short and long streams."""
    few = _compare(pair, f"stream:{name}:{FEW}", blocks=blocks, calls=4)
    many = _compare(pair, f"stream:{name}:{MANY}", blocks=blocks, calls=1)
    bare, added = ((more - less) / (MANY - FEW) for more, less in zip(many, few, strict=True))
    return bare, added


def _background(pair: Worker) -> tuple[float, float]:
    """CPU microseconds of one call in other threads."""
    bare, watched = pair.ask("background", calls=300)
    return bare, watched - bare


def _worker(peer: Peer) -> Worker:
    return Worker(python_of(peer), "benchmarks.overhead.worker", [peer.name], SECONDS)


@cache
def _clients(peer: Peer) -> str:
    """Peers of which this is the same run the same bare code."""
    return f"{peer.bare} {sorted(of_clients(python_of(peer)).items())}"


def measure(names: list[str], *, quick: bool, say: Callable[[str], None] = print) -> dict[str, Any]:
    """All peers, all rows; returns plain data for JSON, by peer's name."""
    counted = {} if quick else _count(names, say=say)
    results: dict[str, Any] = {}
    turns = [(name, seed) for name in names for seed in range(1 if quick else ROUNDS)]
    with ThreadPoolExecutor(1) as ahead:  # a pair takes seconds to start: the next one does while one is measured
        coming = ahead.submit(_pair, *turns[0])
        rounds: list[dict[str, Any]] = []
        for (name, _), following in zip(turns, [*turns[1:], None], strict=True):
            pair, problem = coming.result()
            if following is not None:
                coming = ahead.submit(_pair, *following)
            rounds.append({"problem": problem} if pair is None else _round(BY_NAME[name], pair, quick=quick))
            if following is None or following[0] != name:
                say(f"  {BY_NAME[name].title}")
                results[name] = {**_together(rounds), **counted.get(name, {})}
                rounds = []
    return results


def _pair(name: str, seed: int) -> tuple[Worker | None, str]:
    """A pair that is ready, or why there is none."""
    peer = BY_NAME[name]
    try:
        return Worker(python_of(peer), "benchmarks.overhead.pair", [peer.name, peer.bare], SECONDS, seed), ""
    except (RuntimeError, WorkerError) as error:
        return None, str(error)


def _round(peer: Peer, pair: Worker, *, quick: bool) -> dict[str, Any]:
    """What one pair finds: by row the bare figure and what is added, or what the peer said when it could not."""
    found: dict[str, Any] = {}
    try:
        found["start_up_ms"] = pair.ask("start_up")
        for row, run in _rows(peer, quick=quick):
            try:
                found[row] = run(pair)
            except WorkerError as error:
                found[row] = str(error)
        if quick and not peer.groups:  # else counted before, in processes of their own
            both = {subject: pair.ask("bytecodes", subject=subject) for subject in _COUNTED}
            found["bytecodes"] = _added(*({key: two[side] for key, two in both.items()} for side in (0, 1)))
    except WorkerError as error:
        found["problem"] = str(error)
    finally:
        pair.close()
    return found


def _together(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of one peer, out of its rounds."""
    problem = next((found["problem"] for found in rounds if "problem" in found), "")
    if problem:
        return {"problem": problem}
    rows: dict[str, Any] = {"start_up_ms": statistics.median(found.pop("start_up_ms") for found in rounds)}
    for row, first in rounds[0].items():
        if row == "bytecodes":
            rows[row] = first
            continue
        said = next((found[row] for found in rounds if isinstance(found[row], str)), "")
        rows[row] = asdict(Figure(problem=said) if said else _of_rounds([found[row] for found in rounds]))
    return rows


def _rows(peer: Peer, *, quick: bool) -> Iterator[tuple[str, Callable[[Worker], tuple[float, float]]]]:
    blocks = 6 if quick else 8
    if peer.groups != ("tools",):
        for sdk in SDKS:
            yield f"sync:{sdk}", partial(_compare, subject=f"sync:{sdk}", blocks=blocks)
            if not quick:
                yield f"async:{sdk}", partial(_compare, subject=f"async:{sdk}", blocks=blocks)
        yield "background", _background
        yield "tasks", partial(_compare, subject="tasks", blocks=4, calls=100)
        for stream in STREAMS:
            yield f"chunk:{stream}", partial(_chunk, name=stream, blocks=4 if quick else 5)
    # last: one peer's calls cost twice as much once an MCP client is open in the process
    yield "tool", partial(_compare, subject="tool", blocks=blocks)


def _count(names: list[str], *, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """What does not depend on the clock, of two peers at a time."""
    bare: dict[str, dict[str, int]] = {}

    def one(name: str) -> dict[str, Any]:
        peer = BY_NAME[name]
        if peer.groups == ("tools",):
            return {}
        try:
            worker = _worker(peer)
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
            worker = _worker(replace(peer, name=peer.bare))
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
    worker = _worker(peer)
    worker.seconds = MEMORY_SECONDS
    try:
        calls = worker.ask("memory", calls=CALLS_KEPT, models=1)
        models = worker.ask("memory", calls=MODELS_KEPT, models=MODELS_KEPT)
    except WorkerError as error:
        return {"problem": str(error)}
    finally:
        worker.close()
    return {"calls_mb": calls / 1e6, "models_mb": models / 1e6}
