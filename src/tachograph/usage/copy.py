"""Moving a ledger from one store to another: the same rows, corrections and sums, however often it is run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from tachograph.usage.stores.base import Store
from tachograph.usage.stores.query import MEASURES, Query

_CHUNK = 5000


@dataclass
class Copied:
    """What a copy came to.

    Attributes:
        rows, adjustments: How many were read.
        new_rows, new_adjustments: How many of them the target did not have (ClickHouse counts all rows as new).
        is_equal: Whether the sums of both stores are equal; False too where the target has rows of its own.
    """

    rows: int = 0
    new_rows: int = 0
    adjustments: int = 0
    new_adjustments: int = 0
    is_equal: bool = False


def copy_store(source: Store, target: Store, progress: Callable[[int], None] = lambda rows: None) -> Copied:
    """Copy all rows and corrections. Those that are there already change nothing, so it can be repeated."""
    copied = Copied()
    everything = Query()
    rows = source.rows(everything, adjusted=False)
    while chunk := list(islice(rows, _CHUNK)):
        copied.rows += len(chunk)
        copied.new_rows += target.write(chunk, ingested_us=time.time_ns() // 1000)
        progress(copied.rows)
    corrections = source.adjustments(everything)
    for start in range(0, len(corrections), _CHUNK):
        part = corrections[start : start + _CHUNK]
        copied.adjustments += len(part)
        copied.new_adjustments += target.adjust(part)
    copied.is_equal = _sums(source) == _sums(target)
    return copied


def _sums(store: Store) -> list[int]:
    found = store.usage(Query(raw=True))
    return [int(found[0][name] or 0) for name in MEASURES] if found else [0] * len(MEASURES)
