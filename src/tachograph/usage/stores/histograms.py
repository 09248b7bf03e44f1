"""Latency counts by bucket: how stores pack them, and how they are added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tachograph.usage.stores.query import LEVELS

Histograms = dict[tuple[Any, ...], dict[int, int]]
"""Counts by bucket, by the values of a query's dimensions."""

_numbers: Final = msgspec.json.Decoder(list[int]).decode


def of_records(records: Iterable[Mapping[str, Any]], by: Sequence[str]) -> Histograms:
    """What `Store.latency` gives, as histograms."""
    found: Histograms = {}
    for record in records:
        found.setdefault(tuple(record[name] for name in by), {})[int(record["bucket"])] = int(record["n"])
    return found


def as_records(histograms: Histograms, by: Sequence[str]) -> list[dict[str, Any]]:
    """Histograms as `Store.latency` gives them."""
    return [
        {**dict(zip(by, key, strict=True)), "bucket": bucket, "n": counts[bucket]}
        for key, counts in sorted(histograms.items())
        for bucket in sorted(counts)
    ]


def unpacked(rows: Iterable[Sequence[Any]], keys: Sequence[str], by: Sequence[str]) -> Histograms:
    """Add up what `packed_latency_sql` selects: key columns, buckets and counts as texts of numbers."""
    places = [
        (keys.index("start_us"), LEVELS[name] * 1_000_000) if name in LEVELS else (keys.index(name), 0) for name in by
    ]
    found: Histograms = {}
    for *values, buckets, counts in rows:
        key = tuple(values[place] - values[place] % size if size else values[place] for place, size in places)
        pairs = zip(_numbers(f"[{buckets}]"), _numbers(f"[{counts}]"), strict=True)
        known = found.get(key)
        if known is None:
            known = found[key] = {}
            if "outcome" in keys:  # the whole key: no bucket stands there twice
                known.update(pairs)
                continue
        have = known.get
        for bucket, n in pairs:
            known[bucket] = have(bucket, 0) + n
    return found
