"""A real Prometheus that holds given samples, and comparing its answers with our evaluator's."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from support import random_promql
from support.prometheus import prometheus
from tachograph.console.promql import PromQLEngine, PromQLError, PromQLUnsupported
from tachograph.console.tsdb import TimeSeriesStore
from tachograph.drill import remote_write

Answer = dict[tuple[tuple[str, str], ...], dict[int, float]]


@contextmanager
def filled(series: list[random_promql.Series]) -> Iterator[str]:
    """Start a Prometheus, write the samples to it, and yield its URL."""
    config = json.dumps({"global": {"scrape_interval": "1h", "evaluation_interval": "1m"}})
    with prometheus(config, arguments=["--web.enable-remote-write-receiver", "--query.lookback-delta=5m"]) as server:
        remote_write.write(server.url, series)
        yield server.url


def store_of(series: list[random_promql.Series]) -> TimeSeriesStore:
    """Put the same samples into our store."""
    store = TimeSeriesStore(retention_seconds=10 * 365 * 86400)
    for labels, points in series:
        for at, value in points:
            assert store.append(labels, at, value)
    return store


def ask(url: str, query: str, start: int, end: int, step: int) -> Answer | str:
    """Ask a real Prometheus a range query; a refusal comes back as its text."""
    body = urllib.parse.urlencode(
        {"query": query, "start": start / 1000, "end": end / 1000, "step": step / 1000}
    ).encode()
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query_range", data=body, timeout=60) as answer:
            data = json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        return str(json.load(error)["error"])
    return {
        tuple(sorted(one["metric"].items())): {round(t * 1000): float(v) for t, v in one["values"]}
        for one in data["result"]
    }


def evaluate(engine: PromQLEngine, query: str, start: int, end: int, step: int) -> Answer | str:
    """Ask our evaluator the same."""
    try:
        result = engine.range(query, start, end, step)
    except PromQLUnsupported:
        raise
    except PromQLError as error:
        return str(error)
    return {labels: dict(zip(times.tolist(), values.tolist(), strict=True)) for labels, times, values in result.series}


def difference(ours: Answer | str, theirs: Answer | str, tolerance: float = 1e-9) -> str:
    """Say how two answers differ, or "" when they do not."""
    if isinstance(ours, str) or isinstance(theirs, str):
        if isinstance(ours, str) and isinstance(theirs, str):
            return ""
        mine, other = (f"failed: {one}" if isinstance(one, str) else "answered" for one in (ours, theirs))
        return f"ours {mine}; theirs {other}"
    for labels in ours.keys() | theirs.keys():
        if labels not in ours or labels not in theirs:
            return f"{'missing' if labels in theirs else 'unexpected'} {labels}"
        a, b = ours[labels], theirs[labels]
        if a.keys() != b.keys():
            return f"{labels}: steps differ: ours {len(a)}, theirs {len(b)}: {sorted(a.keys() ^ b.keys())[:3]}"
        for at in a:
            if not close(a[at], b[at], tolerance):
                return f"{labels} at {at}: ours {a[at]!r}, theirs {b[at]!r}"
    return ""


def close(a: float, b: float, tolerance: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if a == b:
        return True
    return abs(a - b) <= max(tolerance * max(abs(a), abs(b)), 1e-20) if math.isfinite(a) and math.isfinite(b) else False
