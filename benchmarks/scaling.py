"""From one process to a fleet: `python -m benchmarks.scaling [--publish]`.

Measures what one record weighs in each signal on this machine (series, /metrics, OTLP with gzip and without, ledger
rows in SQLite and PostgreSQL, CPU of a call), then computes what 1, 1,000 and 1,000,000 calls a second come to.
`--publish` puts the tables between the markers in docs/scaling.md.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT

sys.path[:0] = [str(ROOT / "tests")]

PAGE = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- measured: begin (python -m benchmarks.scaling --publish) -->", "<!-- measured: end -->"
ROWS = 20_000
SPANS = 512
"""As many as one export of OpenTelemetry's batch processor has."""
RATES = (1, 1_000, 1_000_000)
CALLS_PER_PROCESS = 50
"""What one process of a typical service makes a second: models answer in seconds, so this is a few hundred at once."""
MODELS, TOOLS = 10, 20
SCRAPE_SECONDS, PUSH_SECONDS = 15, 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--publish", action="store_true", help="write the tables into docs/scaling.md")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "benchmarks" / "scaling.json")
    asked = parser.parse_args()
    measured = {**series(), **otlp(), **ledger_rows(), **cpu()}
    page = "\n".join(tables(measured))
    print(page)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(measured, indent=1), "utf-8")
    if asked.publish:
        text = PAGE.read_text("utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n{page}\n\n{END}{after}", "utf-8")
    return 0


# -- what one thing weighs


def call_once(recorder: Any, provider: str, model: str, number: int = 0) -> None:
    """One call as a real one is recorded: a retry now and then, cached and reasoning tokens."""
    from tachograph.records import Cost, Usage

    call = recorder.start_llm_call(provider, model, labels={"team": f"t{number % 5}"})
    if number % 50 == 0:
        attempt = call.begin_attempt()
        attempt.end("rate_limited", error_type="rate_limit", status=429)
        attempt.waited_ns = 500_000_000
    call.begin_attempt().end("success", status=200)
    call.first_token()
    call.usage = Usage(1000 + number % 500, number % 300, {"cache_read": 100, "reasoning": 30})
    call.cost = Cost(number % 99_999, "priced", "genai-prices")
    call.response_id = f"resp_{number:024d}"
    call.finish("success")


def tool_once(recorder: Any, server: str, tool: str, number: int = 0) -> None:
    """One tool call; every fiftieth fails."""
    call = recorder.start_tool_call(server, tool)
    call.finish("error", "execution") if number % 50 == 0 else call.finish("success")


def series() -> dict[str, float]:
    """Series and bytes of /metrics: of an idle process, and of each further model and tool."""
    from tachograph.runtime import join
    from tachograph.signals.exposition import write

    def weigh(fill: Callable[[Any], None]) -> tuple[int, int]:
        recorder = join(_metrics())
        fill(recorder)
        text = write(recorder.metrics.collect())
        return sum(not line.startswith("#") for line in text.splitlines()), len(text)

    def calls(who: list[tuple[str, str]], once: Callable[..., None]) -> Callable[[Any], None]:
        def fill(recorder: Any) -> None:
            for first, second in who:
                for number in range(51):
                    once(recorder, first, second, number)

        return fill

    def models(count: int) -> Callable[[Any], None]:
        return calls([("openai", f"model-{n}") for n in range(count)], call_once)

    def providers(count: int) -> Callable[[Any], None]:
        return calls([(name, "model") for name in ("openai", "anthropic", "gemini")[:count]], call_once)

    def tools(count: int) -> Callable[[Any], None]:
        return calls([("shop", f"tool-{n}") for n in range(count)], tool_once)

    def servers(count: int) -> Callable[[Any], None]:
        return calls([(f"server-{n}", "tool") for n in range(count)], tool_once)

    idle, idle_bytes = weigh(lambda recorder: None)
    found: dict[str, float] = {"series of an idle process": idle, "bytes of /metrics of an idle process": idle_bytes}
    for name, make in (("model", models), ("tool", tools), ("provider with one model", providers), ("server", servers)):
        few, few_bytes = weigh(make(1))
        many, many_bytes = weigh(make(3))
        found[f"series of a further {name}"] = (many - few) / 2
        found[f"bytes of /metrics of a further {name}"] = (many_bytes - few_bytes) / 2
    return found


def _metrics() -> Any:
    from tachograph.runtime import build
    from tachograph.settings.load import Settings

    return build(Settings(ledger=_no_ledger(), spans=_no_spans())).metrics


def _no_ledger() -> Any:
    from tachograph.settings.ledger import LedgerSettings

    return LedgerSettings(enabled=False)


def _no_spans() -> Any:
    from tachograph.settings.spans import SpansSettings

    return SpansSettings(enabled=False)


def otlp() -> dict[str, float]:
    """Bytes of a span and of an export of metrics, as OpenTelemetry's own exporter encodes them."""
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics
    from opentelemetry.sdk.resources import Resource

    from benchmarks.overhead.subjects import Subjects
    from tachograph import instrument, uninstrument
    from tachograph.signals.otlp_points import scope_metrics
    from tachograph.testing import recording

    with recording() as seen:
        instrument()
        try:
            ask = Subjects().with_model()
            for number in range(SPANS):
                ask(f"model-{number % MODELS}")
        finally:
            uninstrument()
    span_bytes = encode_spans(seen.spans).SerializeToString()
    from tachograph.runtime import join

    recorder = join(_metrics())
    for number in range(51):
        for model in range(MODELS):
            call_once(recorder, "openai", f"model-{model}", number)
        for tool in range(TOOLS):
            tool_once(recorder, f"server-{tool % 4}", f"tool-{tool}", number)
    resource = ResourceMetrics(Resource.create(), [scope_metrics(recorder.metrics, time.time_ns())], "")
    metric_bytes = encode_metrics(MetricsData([resource])).SerializeToString()
    points = sum(len(metric.data.data_points) for scope in resource.scope_metrics for metric in scope.metrics)
    return {
        "OTLP bytes of a span": len(span_bytes) / len(seen.spans),
        "OTLP bytes of a span, gzip": len(gzip.compress(span_bytes)) / len(seen.spans),
        "OTLP points of a metrics export": points,
        "OTLP bytes of a metrics export": len(metric_bytes),
        "OTLP bytes of a metrics export, gzip": len(gzip.compress(metric_bytes)),
    }


def ledger_rows() -> dict[str, float]:
    """Bytes a row in SQLite and, where it is installed, in PostgreSQL; indexes and rollups included."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        _store(folder, None)
        found["ledger bytes a row, SQLite"] = _size(Path(folder)) / ROWS
    try:
        with _postgres() as url, tempfile.TemporaryDirectory() as folder:
            import psycopg

            with psycopg.connect(url, autocommit=True) as connection:
                empty = connection.execute("SELECT pg_database_size(current_database())").fetchone()
                _store(folder, url)
                full = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            assert empty
            assert full
            found["ledger bytes a row, PostgreSQL"] = (full[0] - empty[0]) / ROWS
    except (ImportError, RuntimeError, OSError) as error:
        print(f"PostgreSQL is left out: {error}", file=sys.stderr)
    return found


@contextmanager
def _postgres() -> Iterator[str]:
    """A server of its own. A test helper skips where there is none; here that is an error to be caught."""
    from support.postgres import postgres_server

    try:
        with postgres_server() as server:
            yield server.url()
    except BaseException as error:
        if type(error).__name__ == "Skipped":
            raise RuntimeError(str(error)) from None
        raise


def _store(folder: str, url: str | None) -> None:
    from tachograph.runtime import join
    from tachograph.settings.ledger import LedgerSettings
    from tachograph.signals.registry import Metrics
    from tachograph.usage.ledger import Ledger

    ledger = Ledger(LedgerSettings(data_dir=folder, url=url), Metrics(()))
    recorder = join(Metrics(()), ledger=ledger)
    for number in range(ROWS):
        call_once(recorder, "openai", f"model-{number % MODELS}", number)
    if not ledger.flush(120):
        raise RuntimeError("the ledger did not store its rows in time")
    ledger.close(10)


def _size(folder: Path) -> int:
    import sqlite3

    (file,) = folder.rglob("*.db")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # its write-ahead log does not grow with the rows
    return file.stat().st_size


def cpu() -> dict[str, float]:
    """CPU microseconds of a record (price, metrics, journal) and of a call with OpenAI's client, watched or not."""
    import shutil

    import tachograph
    from benchmarks.overhead.subjects import Subjects

    def taken(run: Callable[[], object], blocks: int = 15, calls: int = 40) -> float:
        for _ in range(calls):
            run()
        times = []
        for _ in range(blocks):
            began = time.process_time_ns()
            for _ in range(calls):
                run()
            times.append((time.process_time_ns() - began) / calls / 1e3)
        return statistics.quantiles(times, n=4)[0]

    folder = tempfile.mkdtemp()
    bare = taken(Subjects().sync("openai"))
    recorder = tachograph.configure(ledger={"data_dir": folder}, spans={"enabled": False})
    record = taken(lambda: call_once(recorder, "openai", "gpt-5-mini", 1), calls=300)
    tachograph.instrument()
    watched = taken(Subjects().sync("openai"))
    tachograph.uninstrument()
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "CPU us of a record, ledger's writer included": record,
        "CPU us of a call with OpenAI's client, bare": bare,
        "CPU us of a call with OpenAI's client, watched": watched,
    }


# -- what it comes to


def tables(measured: dict[str, float]) -> list[str]:
    """Both tables, in Markdown."""
    machine = f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine}, load {os.getloadavg()[0]:.1f}.",
        "",
        "| what | figure |",
        "|---|---|",
        *(f"| {name} | {value:,.0f} |" for name, value in measured.items()),
        f"| calls a second that one core carries with OpenAI's client, watched | {_per_core(measured):,.0f} |",
        "",
        f"Computed from these, for processes of {CALLS_PER_PROCESS} calls a second each that ask {MODELS} models and "
        f"use {TOOLS} tools, scraped every {SCRAPE_SECONDS} s or pushed every {PUSH_SECONDS} s:",
        "",
        "| a second | " + " | ".join(f"{rate:,}" for rate in RATES) + " |",
        "|---|" + "---|" * len(RATES),
    ]
    in_process = (
        measured["series of an idle process"]
        + MODELS * measured["series of a further model"]
        + TOOLS * measured["series of a further tool"]
    )
    postgres = measured.get("ledger bytes a row, PostgreSQL")
    day = 86_400
    rows: list[tuple[str, Callable[[int], str]]] = [
        ("processes", lambda rate: f"{_processes(rate):,}"),
        ("cores that the calls take, clients included", lambda rate: f"{rate / _per_core(measured):,.1f}"),
        ("series in Prometheus", lambda rate: f"{in_process * _processes(rate):,.0f}"),
        ("samples a second", lambda rate: f"{in_process * _processes(rate) / SCRAPE_SECONDS:,.0f}"),
        (
            "the same, 16 workers of a host as one target",
            lambda rate: f"{in_process * -(-_processes(rate) // 16) / SCRAPE_SECONDS:,.0f}",
        ),
        (
            "metrics over OTLP, gzip, a day",
            lambda rate: _bytes(
                measured["OTLP bytes of a metrics export, gzip"] * _processes(rate) * day / PUSH_SECONDS
            ),
        ),
        ("spans over OTLP, all, a day", lambda rate: _bytes(measured["OTLP bytes of a span"] * rate * day)),
        ("the same, gzip", lambda rate: _bytes(measured["OTLP bytes of a span, gzip"] * rate * day)),
        ("the same, 1 % sampled", lambda rate: _bytes(measured["OTLP bytes of a span, gzip"] * rate * day / 100)),
        ("ledger rows a day", lambda rate: f"{rate * day:,}"),
        ("ledger bytes a day, SQLite", lambda rate: _bytes(measured["ledger bytes a row, SQLite"] * rate * day)),
    ]
    if postgres:
        rows.append(("ledger bytes a day, PostgreSQL", lambda rate: _bytes(postgres * rate * day)))
    lines += [f"| {title} | " + " | ".join(compute(rate) for rate in RATES) + " |" for title, compute in rows]
    return lines


def _per_core(measured: dict[str, float]) -> float:
    return 1e6 / measured["CPU us of a call with OpenAI's client, watched"]


def _processes(rate: int) -> int:
    return max(1, -(-rate // CALLS_PER_PROCESS))


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:,.3g} {unit}"
        count /= 1000
    raise AssertionError


if __name__ == "__main__":
    sys.exit(main())
