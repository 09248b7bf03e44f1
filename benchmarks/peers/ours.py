"""Tachograph, watching the clients that the benchmark uses."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

SIGNALS = {
    "tachograph_metrics": ("metrics",),
    "tachograph_ledger": ("ledger",),
    "tachograph_span": ("spans",),
    "tachograph_span_unsampled": ("spans",),
    "tachograph": ("metrics", "ledger"),
    "tachograph_unsampled": ("metrics", "ledger", "spans"),
    "tachograph_metrics_spans": ("metrics", "spans"),
    "tachograph_spans": ("metrics", "ledger", "spans"),
    "tachograph_tools": ("metrics",),
    "tachograph_tools_span": ("spans",),
    "tachograph_tools_spans": ("metrics", "ledger", "spans"),
}
"""What is on, by the peer's name."""
ONE_SIDE = frozenset({"tachograph_tools", "tachograph_tools_span", "tachograph_tools_spans"})
"""The benchmark's MCP server is in the client's process, and both sides are watched there; but not with these."""


class Ours:
    """One setting of it.

    Args:
        name: Says which signals are on.
    """

    def __init__(self, name: str) -> None:
        self._signals = SIGNALS[name]
        self._is_one_side = name in ONE_SIDE
        self._before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._seen: set[bytes] = set()
        self._folder = tempfile.mkdtemp(prefix="tachograph-bench-")
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)

    def start(self, emitted: Any) -> None:
        """Switch it on; the ledger in a directory of its own."""
        if "spans" in self._signals:
            emitted.make_global(meters=False)
        else:
            os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
        import tachograph

        tachograph.configure(
            metrics={"enabled": "metrics" in self._signals},
            ledger={"enabled": "ledger" in self._signals, "data_dir": self._folder},
            spans={"enabled": "spans" in self._signals},
        )
        tachograph.instrument(include_usage_hosts=["127.0.0.1"], mcp_server=not self._is_one_side)

    def instrument_again(self) -> None:
        """Switch it on once more, as another part of the application may."""
        import tachograph

        tachograph.instrument()

    def take(self) -> dict[str, Any]:
        """What the metrics gained, and the ledger's new rows, since the last taking."""
        from tachograph import runtime
        from tachograph.tape import TAPE
        from tachograph.usage.ledger import Ledger
        from tachograph.usage.stores.query import Query

        TAPE.drain()
        recorder = runtime.get_recorder()
        metrics = []
        for family, samples in recorder.metrics.collect():
            if family.kind == "gauge":
                continue
            for sample in samples:
                labels = tuple(zip(family.labels, sample.labels, strict=True))
                parts = {"": sample.value}
                if family.kind == "histogram":
                    parts = {"_sum": sample.sum, "_count": float(sum(sample.buckets))}
                for suffix, value in parts.items():
                    key = (family.name + suffix, labels)
                    gained = value - self._before.get(key, 0.0)
                    self._before[key] = value
                    if gained:
                        metrics.append({"name": key[0], "labels": dict(labels), "value": gained})
        rows: list[dict[str, Any]] = []
        if isinstance(recorder.ledger, Ledger):
            if not recorder.ledger.flush():
                raise RuntimeError("the ledger did not store its rows in time")
            if not (Path(self._folder) / "ledger.db").is_file():  # nothing was ever to be kept
                return {"metrics": metrics, "rows": []}
            store = recorder.ledger.open_store(read_only=True)
            try:
                for row in store.rows(Query()):
                    if row.id not in self._seen:
                        self._seen.add(row.id)
                        rows.append({n: _plain(getattr(row, n)) for n in row.__struct_fields__ if getattr(row, n)})
            finally:
                store.close()
        return {"metrics": metrics, "rows": rows}


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
