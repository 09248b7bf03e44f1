"""Measures peers against the bare SDK in one run: blocks in turn, order swapped, lower quartiles, spreads."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import BY_NAME, ROOT, Peer, python_of

SUBJECTS = (
    "sync:openai",
    "sync:anthropic",
    "sync:gemini",
    "async:openai",
    "async:anthropic",
    "async:gemini",
    "tool",
    "tasks",
)
STREAMS = ("openai", "anthropic")
FEW, MANY = 20, 500


class WorkerError(Exception):
    """The peer could not do it; the message is its own."""


class Worker:
    """A peer's process."""

    def __init__(self, peer: Peer, python: Path) -> None:
        self.peer = peer
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
        for name in list(environment):
            if name.startswith(("OTEL_", "TACHOGRAPH_")):
                del environment[name]
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.overhead.worker", peer.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        self._read()

    def _read(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr
            raise WorkerError(" ".join(self._process.stderr.read().strip().splitlines()[-1:]))
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer.get("value")

    def ask(self, do: str, **arguments: Any) -> Any:
        """One command, one answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


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
            order = (bare, watched) if index % 2 else (watched, bare)
            taken = {worker.peer.name: worker.ask("block", subject=subject, calls=calls) for worker in order}
            pairs.append((taken[bare.peer.name], taken[watched.peer.name] if watched is not bare else taken["bare"]))
    except WorkerError as error:
        return Figure(problem=str(error))
    base = statistics.quantiles([pair[0] for pair in pairs], n=4)[0]
    seen = statistics.quantiles([pair[1] for pair in pairs], n=4)[0]
    differences = statistics.quantiles([pair[1] - pair[0] for pair in pairs], n=4)
    if subject == "tasks":
        return Figure(base / seen, base, None, None)
    return Figure(seen - base, base, differences[0], differences[2])


def chunk_cost(bare: Worker, watched: Worker, name: str, *, blocks: int) -> Figure:
    """CPU microseconds added by one chunk: the slope between short and long streams."""
    few = compare(bare, watched, f"stream:{name}:{FEW}", blocks=blocks, calls=4)
    many = compare(bare, watched, f"stream:{name}:{MANY}", blocks=blocks, calls=1)
    if few.problem or many.problem:
        return Figure(problem=few.problem or many.problem)
    span = MANY - FEW
    return Figure(((many.added or 0) - (few.added or 0)) / span, ((many.bare or 0) - (few.bare or 0)) / span)


def measure(names: list[str], *, quick: bool, say: Any = print) -> dict[str, Any]:
    """All peers, all rows; returns plain data for JSON."""
    blocks = 12 if quick else 40
    results: dict[str, Any] = {}
    for name in names:
        peer = BY_NAME[name]
        say(f"  {peer.title} ...")
        try:
            bare = Worker(BY_NAME["bare"], python_of(peer))
        except (RuntimeError, WorkerError) as error:
            results[name] = {"problem": str(error)}
            continue
        try:
            watched = Worker(peer, python_of(peer))
        except WorkerError as error:
            results[name] = {"problem": str(error)}
            bare.close()
            continue
        rows: dict[str, Any] = {}
        for subject in SUBJECTS:
            if quick and subject.startswith("async:"):
                continue
            calls = 100 if subject == "tasks" else 10
            rows[subject] = asdict(compare(bare, watched, subject, blocks=blocks, calls=calls))
        for stream in STREAMS:
            rows[f"chunk:{stream}"] = asdict(chunk_cost(bare, watched, stream, blocks=max(8, blocks // 2)))
        rows["bytecodes"] = _bytecodes(bare, watched)
        bare.close()
        watched.close()
        if not quick:
            rows["memory"] = _memory(peer)
        results[name] = rows
    return results


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


def _memory(peer: Peer) -> dict[str, Any]:
    try:
        worker = Worker(peer, python_of(peer))
        kept = worker.ask("memory", calls=10_000)
        worker.close()
    except WorkerError as error:
        return {"problem": str(error)}
    return {"megabytes": kept / 1e6}
