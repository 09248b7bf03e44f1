"""`python -m benchmarks.core`: what a watched call costs its process, at 10, 100 and 1,000 calls a second.

Three minutes on a machine with 16 cores, all with the Python that runs it: it needs what `pip install -e '.[all]'`
installs, no network and no other environment. `--quick` takes 30 s. The tables go into docs/benchmarks.md with
`--publish`, between the marks.

One process imports the clients and forks into halves: one is bare, the others are watched. All halves make the same
calls at the same time, each on cores of its own, and change cores in the next round. A figure is the difference to the
bare half, the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from benchmarks.overhead.pair import _answer, _half

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
START, END = "<!-- made by benchmarks.core -->", "<!-- end of benchmarks.core -->"
RATES: Final = (10, 100, 1000)
WATCHED: Final = {"tachograph": "metrics, ledger", "tachograph_spans": "and a sampled span"}
TOOLS: Final = {"tachograph_tools": "metrics, client's side", "tachograph_tools_spans": "metrics, ledger, span"}
SUBJECTS: Final = {
    "sync:openai": "openai chat",
    "sync:anthropic": "anthropic messages",
    "sync:gemini": "gemini generate_content",
    "stream:openai:20": "openai, stream of 20",
}
_ENOUGH: Final = 2 * (1 + len(WATCHED)) + 2
"""Cores with which the halves run at once, on two each."""
WANTED: Final = {
    "tachograph": (25, 60),
    "tachograph_spans": (40, 90),
    "tachograph_tools": (15, 60),
    "tachograph_tools_spans": (15, 60),
}
"""Microseconds on the caller, and in all."""


class Halves:
    """The bare half and the watched ones, of one origin: what they have in common lies at the same addresses.

    Args:
        names: Peers; the first is bare.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        context = multiprocessing.get_context("fork")
        self._ends: list[Connection] = []
        self._processes = []
        for name in names:
            ours, theirs = context.Pipe()
            self._ends.append(ours)
            process = context.Process(target=_half, args=(theirs, list(self._ends), name), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
        for end in self._ends:
            _answer(end)

    def ask(self, do: str, **arguments: Any) -> list[Any]:
        """Have all of them do it: at once where each has two cores, else one after the other."""
        cores = _cores()
        if len(cores) < _ENOUGH:
            return [_ask(end, do, **arguments) for end in self._ends]
        for number, end in enumerate(self._ends):
            _ask(end, "pin", cores=cores[2 + 2 * number : 4 + 2 * number])
        for end in self._ends:
            end.send((do, arguments))
        return [_answer(end) for end in self._ends]

    def turn(self) -> None:
        """Have the next round on other cores."""
        self._ends.append(self._ends.pop(0))
        self.names.append(self.names.pop(0))

    def round(self, do: str, **arguments: Any) -> dict[str, Any]:
        """What each answers, by name."""
        answers = dict(zip(self.names, self.ask(do, **arguments), strict=True))
        self.turn()
        return answers

    def close(self) -> None:
        """End them."""
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join(5)
            process.kill()


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _ask(end: Connection, do: str, **arguments: Any) -> Any:
    end.send((do, arguments))
    return _answer(end)


def _added(rounds: list[dict[str, Any]], bare: str, name: str, key: str) -> float:
    """The median over the rounds of what it adds to the bare half."""
    return statistics.median(found[name][key] - found[bare][key] for found in rounds)


def _paced(halves: Halves, bare: str, subjects: Sequence[str], *, rounds: int, seconds: float) -> dict[str, Any]:
    """By subject, rate and peer: what a call adds to its caller and in all, in microseconds."""
    found: dict[str, Any] = {}
    for subject in subjects:
        for rate in RATES:
            told = [halves.round("paced", subject=subject, rate=rate, seconds=seconds) for _ in range(rounds)]
            found.setdefault(subject, {})[str(rate)] = {
                name: {
                    "caller_us": _added(told, bare, name, "caller_us"),
                    "total_us": _added(told, bare, name, "total_us"),
                    "bare_us": statistics.median(one[bare]["total_us"] for one in told),
                    "rate": statistics.median(one[name]["rate"] for one in told),
                }
                for name in halves.names
                if name != bare
            }
            print(f"  {subject} at {rate}/s", flush=True)
    return found


def _blocks(halves: Halves, bare: str, subject: str, *, blocks: int, calls: int) -> dict[str, tuple[float, float]]:
    """Blocks of a subject in turn: by peer what the bare one takes and what is added, of the lower quartiles."""
    halves.ask("block", subject=subject, calls=calls * 3)
    halves.ask("freeze")
    taken: dict[str, list[float]] = {name: [] for name in halves.names}
    for _ in range(blocks):
        for name, us in halves.round("block", subject=subject, calls=calls).items():
            taken[name].append(us)
    quartiles = {name: statistics.quantiles(found, n=4)[0] for name, found in taken.items()}
    return {name: (quartiles[bare], quartiles[name] - quartiles[bare]) for name in halves.names if name != bare}


def measure(*, quick: bool) -> dict[str, Any]:
    """All of it; plain data."""
    import anthropic  # noqa: F401 - the application has its clients already
    import mcp.server.mcpserver  # noqa: F401
    import openai  # noqa: F401
    from google import genai  # noqa: F401

    import benchmarks.overhead.subjects
    import benchmarks.overhead.worker
    import benchmarks.peers.emitted  # noqa: F401

    rounds, seconds = (1, 2.0) if quick else (3, 2.5)
    blocks = 8 if quick else 40
    found: dict[str, Any] = {
        "machine": _machine(),
        "rounds": rounds,
        "seconds": seconds,
        "at_once": len(_cores()) >= _ENOUGH,
    }
    halves = Halves(["bare", *WATCHED])
    try:
        print("Event loop:", flush=True)
        beside = [halves.round("loop_beside", rate=500, seconds=seconds) for _ in range(rounds)]
        found["loop"] = {
            name: {key: statistics.median(one[name][key] for one in beside) for key in ("p50_ms", "p99_ms", "max_ms")}
            for name in halves.names
        }
        found["window"] = _ask(halves._ends[halves.names.index("tachograph")], "window", count=100 if quick else 500)
        print("Blocks:", flush=True)
        found["blocks"] = {
            subject: _blocks(halves, "bare", subject, blocks=blocks, calls=10) for subject in list(SUBJECTS)[:3]
        }
        found["tasks"] = {
            name: bare / (bare + more)
            for name, (bare, more) in _blocks(halves, "bare", "tasks", blocks=max(6, blocks // 4), calls=100).items()
        }
        found["chunk"] = {}
        for sdk in ("openai", "anthropic"):
            few, many = (
                _blocks(halves, "bare", f"stream:{sdk}:{chunks}", blocks=max(6, blocks // 2), calls=calls)
                for chunks, calls in ((20, 4), (500, 1))
            )
            found["chunk"][sdk] = {name: (many[name][1] - few[name][1]) / 480 for name in WATCHED}
        print("Paced:", flush=True)
        found["paced"] = _paced(halves, "bare", list(SUBJECTS), rounds=rounds, seconds=seconds)
    finally:
        halves.close()
    halves = Halves(["bare", *TOOLS])
    try:
        found["blocks"]["tool"] = _blocks(halves, "bare", "tool", blocks=blocks, calls=10)
        found["paced"] |= _paced(halves, "bare", ["tool"], rounds=rounds, seconds=seconds)
    finally:
        halves.close()
    return found


def _machine() -> dict[str, Any]:
    from benchmarks.__main__ import _machine as described

    return described()  # imported here: it imports this module


def tables(found: dict[str, Any]) -> list[str]:
    """The tables, in Markdown."""
    from benchmarks.__main__ import _about

    how = "at the same time, on cores of their own" if found["at_once"] else "one after the other"
    names, titles = {**WATCHED, **TOOLS}, {**SUBJECTS, "tool": "MCP call_tool"}
    lines = [
        "## What a call costs its process",
        "",
        f"{_about(found['machine'])} Made by `python -m benchmarks.core --publish`.",
        "",
        "CPU microseconds that are added to a call: on the thread that makes it, and in the whole process, drain and "
        f"ledger's writer included, flushed at the end. The bare half and the watched ones make the same calls {how}; "
        f"median of {found['rounds']} rounds of {found['seconds']:g} s. Wanted: 25 and 60 with metrics and ledger, 40 "
        "and 90 with a sampled span, 15 and 60 for a tool call; a figure above is bold.",
        "",
        "| call | signals | " + " | ".join(f"at {rate}/s: caller, total" for rate in RATES) + " | bare, at 10/s |",
        "|---|---|" + "---|" * (len(RATES) + 1),
    ]
    for subject, by_rate in found["paced"].items():
        for name in (name for name in names if name in by_rate["10"]):
            caller, total = WANTED[name]
            cells = []
            for rate in RATES:
                one = by_rate[str(rate)][name]
                reached = f" (at {one['rate']:.0f}/s)" if one["rate"] < 0.95 * rate else ""
                cells.append(f"{_figure(one['caller_us'], caller)}, {_figure(one['total_us'], total)}{reached}")
            alone = by_rate["10"][name]["bare_us"]
            lines.append(f"| {titles[subject]} | {names[name]} | {' | '.join(cells)} | {alone:.0f} |")
    lines += [
        "",
        "The caller's share in blocks of ten calls, as fast as they go:",
        "",
        "| call | signals | added, us | bare, us |",
        "|---|---|---|---|",
    ]
    for subject, by_name in found["blocks"].items():
        for name, (alone, more) in ((name, by_name[name]) for name in names if name in by_name):
            lines.append(f"| {titles[subject]} | {names[name]} | {_figure(more, WANTED[name][0])} | {alone:.0f} |")
    lines += ["", "| what | " + " | ".join(WATCHED.values()) + " | wanted |", "|---|---|---|---|"]
    for sdk, by_name in found["chunk"].items():
        lines.append(f"| a chunk of {sdk}, us | {' | '.join(f'{by_name[name]:.2f}' for name in WATCHED)} | 0.3 |")
    loop = found["loop"]
    bare = loop["bare"]
    for what, figures, wanted in (
        ("100 tasks: calls per CPU second, of bare", [f"{found['tasks'][name]:.3f}" for name in WATCHED], "0.95"),
        (
            f"an asyncio loop beside 500 calls a second, p99 added, ms (bare {bare['p99_ms']:.2f})",
            [f"{loop[name]['p99_ms'] - bare['p99_ms']:.2f}" for name in WATCHED],
            "1",
        ),
        (
            f"its longest delay, ms (bare {bare['max_ms']:.1f})",
            [f"{loop[name]['max_ms']:.1f}" for name in WATCHED],
            "",
        ),
    ):
        lines.append(f"| {what} | {' | '.join(figures)} | {wanted} |")
    window = found["window"]
    lines.append(
        "| a record that finds no slot in the ring is in the journal after, us (p50, p99) | "
        f"{window['p50_us']:.0f}, {window['p99_us']:.0f} | | |"
    )
    return lines


def _figure(us: float, wanted: float) -> str:
    return f"{us:.0f}" if us <= wanted else f"**{us:.0f}**"


def put_into(page: str, lines: Sequence[str]) -> str:
    """The page with these lines between the marks, or at its end where it has none."""
    text = "\n".join([START, "", *lines, "", END])
    if START not in page:
        return f"{page.rstrip()}\n\n{text}\n"
    before, _, rest = page.partition(START)
    return before + text + rest.partition(END)[2]


def lines_of(page: str) -> list[str]:
    """What stands between the marks."""
    return page.partition(START)[2].partition(END)[0].strip().splitlines()


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: does it run?")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "benchmarks", help="where core.json goes")
    parser.add_argument("--publish", action="store_true", help="put the tables into docs/benchmarks.md")
    parser.add_argument("--render", action="store_true", help="run nothing: make the tables out of core.json")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    kept = asked.out / "core.json"
    began = time.monotonic()
    if not asked.render:
        kept.write_text(json.dumps(measure(quick=asked.quick), indent=1), "utf-8")
    lines = tables(json.loads(kept.read_text("utf-8")))
    print("\n".join(lines))
    if asked.publish:
        PAGE.write_text(put_into(PAGE.read_text("utf-8"), lines), "utf-8")
    print(f"\nTook {time.monotonic() - began:.0f} s; the figures are in {kept}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
