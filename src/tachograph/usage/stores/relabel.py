"""Rollups by other labels than they were kept by, after `ledger.rollup_labels` has changed.

Only rows know all labels. So for the rows that are still there, each day in a transaction of its own, their sums are
taken from where they are in the rollups and added where they belong now: what is older than the rows stays as it is,
totals do not change, and it can be cut short and run again, beside a writer too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec

from tachograph.usage.stores.columns import rollup_texts
from tachograph.usage.stores.query import ADD_TO_ROLLUP, DAY_US, LEVELS, MEASURES, SQLDialect

_KEYS: Final = ("kind", "provider", "model", "operation", "outcome")
_MAP: Final = "tachograph_relabel"
_CHUNK: Final = 200
Run = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


def relabel(
    run: Run, transaction: Callable[[], AbstractContextManager[None]], dialect: SQLDialect, rollup_labels: Sequence[str]
) -> int:
    """Move all rows' sums to the rollups of these labels; returns how many rows were moved.

    Args:
        run, transaction: The store's.
        dialect: Its words.
    """
    text_of = rollup_texts(rollup_labels)
    run(f"CREATE TEMP TABLE IF NOT EXISTS {_MAP}(labels text, old_labels text, new_labels text)", ())
    moved = 0
    for (day,) in run(f"SELECT DISTINCT {dialect.floor.format(column='ts_us', size=DAY_US)} FROM usage ORDER BY 1", ()):
        with transaction():
            moved += _relabel_day(run, dialect, int(day), text_of)
    return moved


def _relabel_day(run: Run, dialect: SQLDialect, day: int, text_of: Callable[[dict[str, str]], str]) -> int:
    time = f"ts_us BETWEEN {day} AND {day + DAY_US - 1}"
    labels = dialect.text.format(column="u.labels")
    changed: list[tuple[str, str, str]] = []
    for known, old in run(f"SELECT DISTINCT {labels}, u.rollup_labels FROM usage AS u WHERE u.{time}", ()):
        new = text_of(msgspec.json.decode(known or old))  # an erased row has only what its rollup had
        if new != old:
            changed.append((known, old, new))
    if not changed:
        return 0
    run(f"DELETE FROM {_MAP}", ())
    for first in range(0, len(changed), _CHUNK):
        values = [value for row in changed[first : first + _CHUNK] for value in row]
        places = [dialect.placeholder.format(number + 1) for number in range(len(values))]
        rows = ", ".join(f"({', '.join(places[at : at + 3])})" for at in range(0, len(places), 3))
        run(f"INSERT INTO {_MAP} VALUES {rows}", values)
    for level in LEVELS.values():
        for sign, target in (("-", "old_labels"), ("", "new_labels")):
            run(_move(dialect, level, time, labels, sign, target), ())
    run(f"DELETE FROM usage_rollup WHERE n = 0 AND start_us >= {day} AND start_us < {day + DAY_US}", ())
    found = run(
        f"UPDATE usage AS u SET rollup_labels = m.new_labels FROM {_MAP} AS m"
        f" WHERE u.{time} AND m.labels = {labels} AND m.old_labels = u.rollup_labels RETURNING 1",
        (),
    )
    return len(found)


def _move(dialect: SQLDialect, level: int, time: str, labels: str, sign: str, target: str) -> str:
    cost = "coalesce(u.cost_nusd, 0) + coalesce(a.delta, 0)"
    sums = {
        "n": "count(*)",
        "cost_nusd": f"sum({cost})",
        "estimated_nusd": f"sum(CASE WHEN u.cost_quality = 'estimated' THEN {cost} ELSE 0 END)",
        "unpriced": "sum(u.unpriced - coalesce(a.priced, 0))",
    }
    measures = ", ".join(f"{sign}{sums.get(name, f'sum(coalesce(u.{name}, 0))')}" for name in MEASURES)
    start = dialect.floor.format(column="u.ts_us", size=level * 1_000_000)
    keys = f"{start}, {', '.join(f'u.{key}' for key in _KEYS)}, coalesce(u.error_type, ''), m.{target}"
    return (
        f"INSERT INTO usage_rollup SELECT {level}, {keys}, {measures}"
        f" FROM usage AS u JOIN {_MAP} AS m ON m.labels = {labels} AND m.old_labels = u.rollup_labels"
        " LEFT JOIN (SELECT record_id, sum(cost_delta_nusd) AS delta, sum(prices_it) AS priced"
        f" FROM usage_adjustment WHERE {time} GROUP BY record_id) AS a ON a.record_id = u.id"
        f" WHERE u.{time} GROUP BY {keys} ORDER BY {keys} {ADD_TO_ROLLUP}"
    )
