"""The ledger's speed: `python benchmarks/ledger/run.py [--json FILE] [--markdown FILE] [--quick]`.

Measures the hand-over flat out and beside a busy Python thread, sustained storing and catch-up into SQLite and
PostgreSQL, the time from hand-over to commit, memory, and a report over a month of rollups. Everything is real:
files, servers, the writer that applications use.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.postgres import postgres_server  # noqa: E402
from tachograph.option_values import whole  # noqa: E402
from tachograph.records import Cost, LLMCall, Usage  # noqa: E402
from tachograph.runtime import join  # noqa: E402
from tachograph.settings.ledger import LedgerSettings  # noqa: E402
from tachograph.signals.registry import Metrics  # noqa: E402
from tachograph.usage.journal import _write_function  # noqa: E402
from tachograph.usage.ledger import Ledger  # noqa: E402
from tachograph.usage.reports.report import report as make_report  # noqa: E402
from tachograph.usage.row import Row  # noqa: E402
from tachograph.usage.stores import Store, open_store  # noqa: E402
from tachograph.usage.stores.query import DAY_US, HOUR_US  # noqa: E402

Figures = dict[str, float]


def calls(count: int) -> list[LLMCall]:
    """Finished calls, as an application has them."""
    recorder = join(Metrics(()))
    made = []
    for number in range(count):
        call = recorder.start_llm_call("openai", "gpt-5", labels={"team": f"t{number % 5}", "user": f"u{number % 997}"})
        call.begin_attempt().end("success", status=200)
        call.usage = Usage(1000 + number % 500, number % 300, {"cache_read": 100, "reasoning": 30})
        call.cost = Cost(number % 99_999, "priced", "genai-prices/0.2.3")
        call.response_id = f"resp_{number:024d}"
        call.finish("success")
        made.append(call)
    return made


def percentiles(name: str, values: list[float], scale: float) -> Figures:
    """p50, p95, p99 and the worst."""
    values = sorted(values)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {f"{name} {key}": values[int(len(values) * part)] * scale for key, part in at.items()}
    return {**found, f"{name} max": values[-1] * scale}


@contextmanager
def busy_thread() -> Iterator[None]:
    """A Python thread that never releases the interpreter by itself."""
    stopped = False

    def spin() -> None:
        number = 0
        while not stopped:
            number += 1

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped = True
        thread.join()


def hand_over(directory: Path, quick: bool) -> Figures:
    """What `accept` costs the caller.

    Beside a busy thread the clock starts when the caller has the interpreter: waking up, it waits up to 5 ms for that,
    whether or not there is a ledger. The other way of measuring, from the moment at which the call was due, is shown
    too, beside the same with nothing handed over. A call that does nothing but write 300 bytes shows what of the
    figure is the processor's: after a sleep its caches are cold.
    """
    ledger = Ledger(LedgerSettings(data_dir=str(directory), writer="external"), Metrics(()))
    made = calls(5_000 if quick else 50_000)
    clock = time.perf_counter_ns

    def measure(action: Callable[[LLMCall], object], count: int, gap: float) -> tuple[list[float], list[float]]:
        times, since_due = [], []
        for call in made[:count]:
            due = clock() + int(gap * 1e9)
            if gap:
                time.sleep(gap)
            started = clock()
            action(call)
            ended = clock()
            times.append(ended - started)
            since_due.append(ended - due)
        return times, since_due

    count = 500 if quick else 3_000
    bare = os.open(directory / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    write, payload = _write_function(), b"x" * 300
    flat, _ = measure(ledger.accept, len(made), 0)
    alone, _ = measure(ledger.accept, count, 0.005)
    with busy_thread():
        beside, since_due = measure(ledger.accept, count, 0.005)
        nothing, nothing_since_due = measure(lambda call: None, count, 0.005)
        only_write, _ = measure(lambda call: write(bare, payload, 300), count, 0.005)
    os.close(bare)
    ledger.close(0)
    shown = {
        "hand-over, flat out": flat,
        "hand-over, 200/s, nothing beside it": alone,
        "hand-over, 200/s beside a busy thread": beside,
        "a bare write(2), 200/s beside a busy thread": only_write,
        "nothing at all, 200/s beside a busy thread": nothing,
        "from the due time to the end of the hand-over": since_due,
        "from the due time to the end of nothing": nothing_since_due,
    }
    figures: Figures = {}
    for name, times in shown.items():
        figures |= percentiles(f"{name}, us", times, 1e-3)
    return figures


def catch_up(directory: Path, url: str, count: int) -> Figures:
    """A backlog is drained by one writer; memory is this process's, which does nothing else."""
    producer = Ledger(LedgerSettings(data_dir=str(directory), writer="external", segment_mb=16), Metrics(()))
    made = calls(20_000)
    for number in range(count):
        call = made[number % len(made)]
        call.id = number.to_bytes(16, "big")
        producer.accept(call)
    producer.close(0)
    writer = Ledger(LedgerSettings(data_dir=str(directory), writer="external", url=url, batch_limit=5000), Metrics(()))
    started, used = time.perf_counter(), time.process_time()
    assert writer.drain(600)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    store = open_store(url, read_only=True)
    assert store.count() == count
    store.close()
    return {"catch-up, records/s": count / seconds, "catch-up, records per CPU second of the writer": count / used}


def commit_latency(directory: Path, url: str, rate: float, seconds: float) -> Figures:
    """From the hand-over until the store has it, with the writer in this process, at a steady rate."""
    ledger = Ledger(LedgerSettings(data_dir=str(directory), url=url), Metrics(()))
    made = calls(20_000)
    queue = ledger._queue
    handed: list[float] = []
    committed: list[tuple[float, int]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set() or queue.committed < len(handed):
            committed.append((time.perf_counter(), queue.committed))
            time.sleep(0.002)
        committed.append((time.perf_counter(), queue.committed))

    ledger.accept(made[0])
    handed.append(time.perf_counter())
    assert ledger.flush(30)
    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    number = 0
    while (now := time.perf_counter()) - started < seconds:
        due = int((now - started) * rate)
        while number < due:
            call = made[number % len(made)]
            call.id = (1 << 64 | number).to_bytes(16, "big")
            ledger.accept(call)
            handed.append(time.perf_counter())
            number += 1
        time.sleep(0.001)
    done.set()
    watcher.join()
    waits, index = [], 0
    for position, at in enumerate(handed[1:], 1):
        while committed[index][1] <= position:
            index += 1
        waits.append(committed[index][0] - at)
    ledger.close(30)
    return {f"stored at {rate:,.0f}/s, achieved records/s": number / seconds} | percentiles(
        f"hand-over to commit at {rate:,.0f}/s, ms", waits, 1e3
    )


MODELS: dict[str, tuple[str, ...]] = {
    "openai": ("gpt-5", "gpt-5-mini", "gpt-5-nano", "o4-mini"),
    "anthropic": ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-3-5-haiku"),
    "gemini": ("gemini-3-pro", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"),
}
ENDS = (("success", None),) * 95 + (("cancelled", None),) + (("error", "rate_limit"),) * 2 + (
    ("error", "server_error"), ("timeout", "timeout"))  # fmt: skip


def month_of_rows(count: int) -> Iterator[list[Row]]:
    """Rows over 30 days, in batches by hour: 12 models of 3 providers, 5 endings, 12 teams with 4 features each.

    Latencies are lognormal around 0.4 to 5 s, a different one for each model. Each hour has about 1,000 groups in the
    rollups and 2,500 latency buckets.
    """
    chance = random.Random(7)
    first = (time.time_ns() // 1000 // DAY_US - 30) * DAY_US
    spread = [math.exp(chance.gauss(0, 0.7)) for _ in range(10_007)]
    models = [(provider, model) for provider, names in MODELS.items() for model in names]
    chosen = chance.choices(range(12), [1 / (rank + 1) for rank in range(12)], k=4099)
    labels = [{"team": f"team-{team}", "feature": f"feature-{n}", "user": f"u{team}{n}"}
              for team in range(12) for n in range(4)]  # fmt: skip
    done = 0
    for hour in range(720):
        rows = []
        due = count * (hour + 1) // 720
        for number in range(done, due):
            at = first + hour * HOUR_US + (number - done) * HOUR_US // (due - done)
            which = chosen[number % 4099]
            outcome, error = ENDS[number % 100]
            rows.append(
                Row(((at // 1000) << 80 | number).to_bytes(16, "big"), at, "llm", *models[which], "chat",
                    outcome, error, int(400_000 * (1 + which) * spread[number % 10_007]), attempts=1,
                    input_tokens=number % 5_003, output_tokens=number % 701, details={"cache_read": number % 1_000},
                    cost_nusd=number % 99_991, cost_quality="priced", price_source="genai-prices/1",
                    response_id=f"resp_{number:024d}", labels=labels[number * 31 % 4801 % 48])
            )  # fmt: skip
        done = due
        yield rows


REPORTS: dict[str, tuple[str, ...]] = {
    "provider, model, day": ("provider", "model", "day"),
    "model": ("model",),
    "provider, outcome": ("provider", "outcome"),
    "team": ("label:team",),
    "team, model": ("label:team", "model"),
}


def reports(store: Store, rounds: int = 7) -> Figures:
    """Whole reports over the last 30 days, with latency percentiles, as `tachograph report --by ...` makes them."""
    until = datetime.now(UTC)
    since = until - timedelta(days=30)
    figures = {}
    for name, by in REPORTS.items():
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            made = make_report(store, since=since, until=until, by=by)
            times.append(time.perf_counter() - started)
        assert made.total.calls
        figures[f"report by {name}, ms"] = sorted(times)[len(times) // 2] * 1e3
        figures[f"report by {name}, worst of {rounds}, ms"] = max(times) * 1e3
    return figures


def report(store: Store, count: int) -> Figures:
    """A month, from rollups."""
    started = time.perf_counter()
    for rows in month_of_rows(count):
        for first in range(0, len(rows), 5000):
            store.write(rows[first : first + 5000], ingested_us=time.time_ns() // 1000)
    filled = {"rows/s while filling the month": count / (time.perf_counter() - started)}
    return {"rows in the report's store": float(store.count()), **filled, **reports(store)}


MEMORY = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from support.ledgers import make_recorder, one_call
from tachograph.runtime import join
from tachograph.signals.registry import Metrics

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

recorder = make_recorder(Path({directory!r})) if {on} else join(Metrics(()))
for _ in range(20):
    for number in range(500):
        one_call(recorder, number, team="a")
    if recorder.ledger is not None:
        recorder.ledger.flush(30)
print(resident())
"""


def memory(directory: Path) -> Figures:
    """What the ledger adds to a process that records 10,000 calls."""
    resident = {}
    for on in (False, True):
        code = MEMORY.format(path=sys.path, directory=str(directory), on=on)
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        resident[on] = float(done.stdout)
    return {"added by the ledger, MB": resident[True] - resident[False]}


def main() -> int:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--rows", type=whole(1, 100_000_000), help="rows in the report's store")
    arguments = parser.parse_args()
    quick = arguments.quick
    backlog = 20_000 if quick else 200_000
    seconds = 2 if quick else 10
    rows = arguments.rows or (100_000 if quick else 1_000_000)
    root = Path(tempfile.mkdtemp(prefix="tg-bench-"))
    figures: dict[str, Figures] = {"caller": hand_over(root / "hand", quick)}
    show(figures, "caller")
    figures["SQLite"] = catch_up(root / "s1", f"sqlite:///{root / 's1.db'}", backlog)
    for rate in (1_000, 10_000, 25_000):
        figures["SQLite"] |= commit_latency(root / f"s{rate}", f"sqlite:///{root / f's{rate}.db'}", rate, seconds)
    store = open_store(f"sqlite:///{root / 'report.db'}", rollup_labels=("team",))
    figures["SQLite"] |= report(store, rows)
    store.close()
    show(figures, "SQLite")
    with postgres_server() as server:
        figures["PostgreSQL"] = catch_up(root / "p1", server.url(), backlog)
        for rate in (1_000, 10_000, 30_000):
            figures["PostgreSQL"] |= commit_latency(root / f"p{rate}", server.url(), rate, seconds)
        store = open_store(server.url(), rollup_labels=("team",))
        figures["PostgreSQL"] |= report(store, rows // 5)
        store.close()
        show(figures, "PostgreSQL")
    figures["memory"] = memory(root / "memory")
    shutil.rmtree(root, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(figures))
    return 0


def show(figures: dict[str, Figures], part: str) -> None:
    """One part's figures on the terminal."""
    for name, value in figures[part].items():
        print(f"{part:12} {name:60} {value:12,.1f}", flush=True)


def markdown(figures: dict[str, Figures]) -> str:
    """The page docs/benchmarks-ledger.md."""
    load = os.getloadavg()[0]
    lines = [
        "# The ledger's speed",
        "",
        f"Made by `python benchmarks/ledger/run.py` on {time.strftime('%Y-%m-%d')}: Python "
        f"{platform.python_version()}, {os.cpu_count()} cores shared with other work (load {load:.0f} at the end), "
        f"{platform.system()}.",
        "",
        "| part | figure | value |",
        "|---|---|---|",
    ]
    for part, values in figures.items():
        lines += [f"| {part} | {name} | {value:,.1f} |" for name, value in values.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
