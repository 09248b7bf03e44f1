"""What is measured without a call: import, start-up, and one scrape of many series."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.environments import BY_NAME, ROOT, python_of

_IMPORTS = {
    "import tachograph": "import tachograph",
    "import tachograph, configure(), instrument()": (
        "import tachograph; tachograph.configure(ledger={'enabled': False}); tachograph.instrument()"
    ),
    "import openai (for comparison)": "import openai",
}


def imports(runs: int) -> dict[str, float]:
    """CPU milliseconds of each, median of so many fresh processes, those of an empty one taken off."""
    python = python_of(BY_NAME["tachograph"])

    def taken(code: str) -> float:
        timed = f"import time\nt=time.process_time()\n{code}\nprint(time.process_time()-t)"
        return statistics.median(_seconds(python, timed) for _ in range(runs)) * 1e3

    return {name: taken(code) for name, code in _IMPORTS.items()}


def _seconds(python: Path, code: str) -> float:
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    return float(done.stdout.split()[-1])


def scrapes(runs: int) -> dict[str, Any]:
    """CPU milliseconds and bytes of one answer of /metrics, with so many label sets of the request histogram."""
    found: dict[str, Any] = {}
    for sets in (100, 1000, 10_000):
        text = _filled(sets)
        found[f"{sets} label sets"] = {
            "lines": text().count("\n"),
            "bytes": len(text()),
            "ms": _median(text, runs),
            "prometheus_client_ms": _median(_theirs(sets), max(1, runs // 3)) if sets <= 1000 else None,
        }
    return found


def _median(run: Callable[[], Any], runs: int) -> float:
    run()
    taken = []
    for _ in range(runs):
        began = time.process_time()
        run()
        taken.append(time.process_time() - began)
    return statistics.median(taken) * 1e3


def _filled(sets: int) -> Callable[[], str]:
    from tachograph.llm.metrics.families import REQUEST_SECONDS
    from tachograph.signals.exposition import write
    from tachograph.signals.registry import Metrics

    metrics = Metrics([REQUEST_SECONDS], limit=sets)
    for index in range(sets):
        metrics.histogram(REQUEST_SECONDS, "openai", f"model-{index}", "success").observe(0.3 + index % 7)
    return lambda: write(metrics.collect())


def _theirs(sets: int) -> Callable[[], str]:
    try:
        from prometheus_client import CollectorRegistry, Histogram, generate_latest
    except ImportError:
        sys.stderr.write("prometheus_client is not installed here: not compared\n")
        return lambda: ""
    registry = CollectorRegistry()
    family = Histogram(
        "llm_provider_request_seconds",
        "Duration",
        ["provider", "model", "outcome"],
        buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120),
        registry=registry,
    )
    for index in range(sets):
        family.labels("openai", f"model-{index}", "success").observe(0.3 + index % 7)
    return lambda: generate_latest(registry).decode()
