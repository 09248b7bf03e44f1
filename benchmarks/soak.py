"""The whole stack for an hour at 500 calls a second: `python -m benchmarks.soak --rate 500 --seconds 3600`.

Several processes make the demo's jobs with the vendors' own clients, watched by Tachograph with everything on:
metrics served and scraped, one ledger on disk for all of them, spans sampled and exported to nowhere. The demo's
simulators answer, in memory beneath the clients' HTTP layer, so that the machine's time goes into clients and
watching rather than into sockets (`--transport loopback` takes real HTTP). Prints a line now and then, and at the end
whether memory and descriptors stayed flat, and whether metrics and ledger say what the simulators served, to the token
and the nano-dollar. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.processes import Worker, WorkerError

MEMORY_GROWTH = 0.05
"""How much more than in its second quarter a process may hold in its last one, as a share, ..."""
MEMORY_SLACK_MB = 8.0
"""... or in megabytes: allocators breathe."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--rate", type=float, default=500.0, help="LLM calls a second, of all processes together")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--processes", type=int, default=0, help="0: one for each core")
    parser.add_argument("--transport", choices=("memory", "loopback"), default="memory")
    parser.add_argument("--sampled", type=float, default=0.1, help="share of spans sampled")
    parser.add_argument("--every", type=float, default=0.0, help="seconds between lines; 0: 24 lines in all")
    parser.add_argument("--out", type=Path, default=Path("artifacts/benchmarks/soak.json"))
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    processes = asked.processes or os.cpu_count() or 1
    folder = tempfile.mkdtemp(prefix="tachograph-soak-")
    workers: list[Worker] = []
    try:
        options = {"rate": asked.rate / processes, "transport": asked.transport, "sampled": asked.sampled}
        with ThreadPoolExecutor(processes) as pool:
            starting = [
                pool.submit(
                    Worker,
                    Path(sys.executable),
                    "benchmarks.soak_worker",
                    [json.dumps({**options, "seed": number, "data_dir": folder})],
                    120.0,
                )
                for number in range(processes)
            ]
            workers = [future.result() for future in starting]
        lines = _watch(workers, asked, Path(folder))
        verdict = _verdict(workers, lines)
    except WorkerError as error:
        print(f"A process failed: {error}", file=sys.stderr)
        return 1
    finally:
        for worker in workers:
            worker.close()
        shutil.rmtree(folder, ignore_errors=True)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(
        json.dumps({"options": vars(asked) | {"out": str(asked.out)}, "lines": lines, "verdict": verdict}, indent=1)
    )
    print(f"\nWritten to {asked.out}.")
    return 0 if verdict["passed"] else 1


_HEAD = (
    "|  time | calls/s | CPU ms a call | MB a process | descriptors | tool calls | 429s | ledger waits | ledger MB "
    "| /metrics kB | scrape ms |"
)


def _watch(workers: list[Worker], asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Let it run, and look now and then; an interrupt ends it early but in order."""
    every = asked.every or max(1.0, asked.seconds / 24)
    print(f"{asked.rate:g} calls/s for {asked.seconds:g} s, {len(workers)} processes, {asked.transport}", flush=True)
    print(_HEAD + "\n|" + "---|" * 11, flush=True)
    for worker in workers:
        worker.ask("begin")
    began = at = time.monotonic()
    lines: list[dict[str, Any]] = []
    before = [worker.ask("look") for worker in workers]
    try:
        while at - began < asked.seconds:
            time.sleep(min(every, max(0.1, asked.seconds - (at - began))))
            now, looks = time.monotonic(), [worker.ask("look") for worker in workers]
            line = _line(before, looks, now - at)
            line["seconds"] = round(now - began)
            line["ledger_mb"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
            lines.append(line)
            _print(line)
            before, at = looks, now
    except KeyboardInterrupt:
        print("Interrupted: winding down.", flush=True)
    return lines


def _line(before: list[dict[str, Any]], after: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    calls = sum(b["calls"] - a["calls"] for a, b in zip(before, after, strict=True))
    return {
        "calls_per_second": calls / seconds,
        "cpu_ms_per_call": sum(b["cpu"] - a["cpu"] for a, b in zip(before, after, strict=True)) * 1e3 / max(1, calls),
        "memory_mb": [round(look["rss"] / 1e6, 1) for look in after],
        "descriptors": [look["descriptors"] for look in after],
        "tool_calls": sum(look["tool_calls"] for look in after),
        "rate_limited": sum(look["rate_limited"] for look in after),
        "under_way": sum(look["under_way"] for look in after),
        "backlog": max(look["backlog"] for look in after),
        "metrics_kb": max(look["metrics_bytes"] for look in after) / 1e3,
        "scrape_ms": max(look["scrape_ms"] for look in after),
    }


def _print(line: dict[str, Any]) -> None:
    print(
        f"| {line['seconds'] // 60:3}:{line['seconds'] % 60:02} | {line['calls_per_second']:.0f} "
        f"| {line['cpu_ms_per_call']:.2f} | {', '.join(f'{mb:.0f}' for mb in line['memory_mb'])} "
        f"| {', '.join(map(str, line['descriptors']))} | {line['tool_calls']:,} | {line['rate_limited']:,} "
        f"| {line['backlog']:.0f} | {line['ledger_mb']:.1f} | {line['metrics_kb']:.0f} | {line['scrape_ms']:.1f} |",
        flush=True,
    )


def _verdict(workers: list[Worker], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Wind down, compare the books, and look at what grew."""
    for worker in workers:
        worker.seconds = 600.0
        worker.ask("wind_down")
    books = [worker.ask("books") for worker in workers]
    ledger = workers[0].ask("ledger")
    said: list[str] = []
    differences = [f"process {number}: {text}" for number, book in enumerate(books) for text in book["differences"]]
    served: dict[str, list[int]] = {}
    for book in books:
        for who, sums in book["served"].items():
            served[who] = [a + b for a, b in zip(served.get(who, [0, 0, 0]), sums, strict=True)]
    for who in sorted({*served, *ledger["sums"]}):
        expected, found = served.get(who, [0, 0, 0]), ledger["sums"].get(who, [0, 0, 0])
        if expected != found:
            differences.append(f"{who}: served {expected} (prompt, completion, nano-dollars), ledger {found}")
    tokens = sum(sums[0] + sums[1] for sums in served.values())
    dollars = sum(sums[2] for sums in served.values()) / 1e9
    said.append(
        f"books: {sum(book['requests'] for book in books):,} requests and {sum(book['tools'] for book in books):,} "
        f"tool calls; {tokens:,} tokens, ${dollars:,.9f}: served = metrics = ledger ({ledger['rows']:,} rows)"
        if not differences
        else "books: " + "; ".join(differences)
    )
    raised = ", ".join(f"{count} {name}" for book in books for name, count in book["raised"].items()) or "nothing"
    said.append(f"the clients raised {raised}; {sum(book['gone'] for book in books)} of the last answers had no reader")
    is_flat = True
    quarter = len(lines) // 4
    if quarter:
        for key, unit, share, slack in (
            ("memory_mb", "MB", MEMORY_GROWTH, MEMORY_SLACK_MB),
            ("descriptors", "descriptors", 0.0, 4.0),
        ):
            for number in range(len(workers)):
                early = statistics.median(line[key][number] for line in lines[quarter : 2 * quarter])
                late = statistics.median(line[key][number] for line in lines[-quarter:])
                grew = late - early > max(share * early, slack)
                is_flat &= not grew
                said.append(f"process {number}: {early:.0f} {unit} in the second quarter, {late:.0f} in the last")
                said[-1] += ": it grows" if grew else ": flat"
    else:
        said.append("too few lines to say whether memory is flat")
    reached = statistics.median(line["calls_per_second"] for line in lines) if lines else 0.0
    said.append(f"{reached:.0f} calls a second reached (median), {max((x['backlog'] for x in lines), default=0):.0f} ")
    said[-1] += "ledger records waiting at most"
    print("\n" + "\n".join(f"- {text}" for text in said), flush=True)
    passed = not differences and is_flat
    print("\nPASSED" if passed else "\nFAILED", flush=True)
    return {"passed": passed, "said": said, "calls_per_second": reached}


if __name__ == "__main__":
    sys.exit(main())
