"""Fills the console's store with six hours of samples and prints what that took, as JSON; run in a process of its own.

Arguments: series, hours, seconds between samples.
"""

from __future__ import annotations

import json
import sys
import time

from tachograph.console.promql import PromQLEngine
from tachograph.console.promql.labels import labels_of
from tachograph.console.tsdb import TimeSeriesStore


def resident_megabytes() -> float:
    """Resident memory of this process now."""
    with open("/proc/self/statm") as status:
        return int(status.read().split()[1]) * 4096 / 1e6


series, hours, step = (int(text) for text in sys.argv[1:4])
store = TimeSeriesStore()
labels = [
    labels_of(
        {
            "__name__": "llm_provider_request_seconds_bucket", "job": "app", "instance": "127.0.0.1:9464",
            "provider": "openai", "model": f"model-{i // 12}", "outcome": "success", "le": str(i % 12),
        }
    )
    for i in range(series)
]  # fmt: skip
empty = resident_megabytes()
now = int(time.time() * 1000)
# Half an hour more than is kept, so that old samples have to go.
for at in range(now - hours * 3_600_000 - 1_800_000, now, step * 1000):
    value = float(at // 1000)
    store.ingest("test", at, [(one, value) for one in labels])
began = time.perf_counter()
result = PromQLEngine(store).range(
    "sum by (le) (rate(llm_provider_request_seconds_bucket[1m]))", now - hours * 3_600_000, now, 30_000
)
sys.stdout.write(
    json.dumps(
        {
            "megabytes": resident_megabytes() - empty,
            "samples": store.sample_count,
            "series": store.series_count,
            "query_seconds": time.perf_counter() - began,
            "points": sum(len(times) for _, times, _ in result.series),
        }
    )
)
