"""Answers measures of the catalogue's panels out of calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from tachograph.catalogue.panels import Measure
from tachograph.console.columns import Floats, Ints
from tachograph.console.facts import Facts
from tachograph.console.views import phrases
from tachograph.console.views.selection import Selection

ENOUGH: Final = 20
"""A p95 of fewer calls is only their slowest: it is drawn as a point."""
MAX_BINS: Final = 120
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_COLUMN: Final = {"error_type": "error", "error_kind": "error"}
_CALLERS_FAULT: Final = ("invalid_request", "content_filter")
_TOKENS: Final = {"prompt": "input", "completion": "output"}
_BOUNDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, np.inf)
MOST_WIDTH: Final = 12
_MAX_EVENTS: Final = 400
_RADIX: Final = 65_536
"""NumPy sorts whole numbers below this one by radix, in a tenth of the time."""

Series = dict[str, Any]


def step_of(start: float, end: float, least: float = 5.0) -> float:
    """The width of a bin: a round one, so that a refresh moves points and does not reshape them."""
    wanted = max((end - start) / MAX_BINS, least)
    return next((step for step in _STEPS if step >= wanted), 86400)


def answer(measure: Measure, chosen: Selection, step: float, variables: Mapping[str, str]) -> list[Series]:
    """The series of a measure, in the shape of Prometheus' range query, with the number of calls beside each value."""
    facts = _rows(measure, chosen, variables)
    if measure.stat == "buckets":
        return _buckets(facts, chosen, step)
    if measure.by and "type" in measure.by:
        found: list[Series] = []
        for kind, column in _TOKENS.items():
            by = tuple(name for name in measure.by if name != "type")
            for series in _series(measure, facts, by, column, chosen, step):
                found.append({**series, "metric": {**series["metric"], "type": kind}})
        return found
    return _series(measure, facts, measure.by, measure.value, chosen, step)


def instant(measure: Measure, chosen: Selection, variables: Mapping[str, str]) -> list[Series]:
    """One value for the whole range, how many calls it is of, and how many of them failed."""
    facts = _rows(measure, chosen, variables)
    if measure.value == "cost" and facts.cost() is None:
        return []
    by = tuple(name for name in measure.by if name != "type")
    groups, index = facts.group([_COLUMN.get(name, name) for name in by])
    found: list[Series] = []
    for number, labels in enumerate(groups):
        own = facts.take(index == number) if by else facts
        if not len(own):
            continue
        value = _whole(measure, own, chosen)
        if value is not None:
            shown = dict(zip(by, labels.values(), strict=True))
            failed = own.where(outcome=phrases.FAILED).count
            found.append({"metric": shown, "value": [chosen.end, value], "n": own.count, "failed": failed})
    return found


def _rows(measure: Measure, chosen: Selection, variables: Mapping[str, str]) -> Facts:
    facts = {"calls": chosen.llm, "requests": chosen.requests, "tools": chosen.tools}[measure.of]
    for name, wanted in measure.where:
        values = variables.get(wanted[1:], "") if wanted.startswith("$") else wanted
        if values:
            facts = facts.where(**{_COLUMN.get(name, name): values.split("|")})
    return facts


def _values(facts: Facts, value: str, above: float) -> Floats:
    """What a measure sums, row by row."""
    numbers = facts.numbers
    if value == "count":
        return facts.weight
    if value in ("success", "failed"):
        outcome = np.asarray(facts.words["outcome"])[facts.codes["outcome"]]
        if value == "success":
            return np.asarray((outcome == "success") * facts.weight)
        error = np.asarray(facts.words["error"])[facts.codes["error"]]
        return np.asarray((error != "") * ~np.isin(error, _CALLERS_FAULT) * facts.weight)
    if value == "retries":
        return np.asarray(np.maximum(np.nan_to_num(numbers["attempts"]) - facts.weight, 0))
    if value == "slow":
        return np.asarray((numbers["duration"] > above) * facts.weight)
    found = numbers["input" if value == "prompt" else value]
    return np.where(np.isnan(found), 0.0, found)


def _whole(measure: Measure, own: Facts, chosen: Selection) -> float | None:
    if measure.stat == "p95":
        return own.quantile(0.95, measure.value)
    total = float(_values(own, measure.value, measure.above).sum())
    if measure.stat == "mean":
        total = total / float(own.weight.sum())
    elif measure.stat == "ratio":
        below = float(_values(own, measure.over or "count", 0).sum())
        if not below:
            return None
        total /= below
    elif measure.stat == "rate":
        total /= max(chosen.end - max(chosen.start, chosen.first), 60.0)
    return total * measure.scale + measure.offset


def _series(
    measure: Measure, facts: Facts, by: tuple[str, ...], value: str, chosen: Selection, step: float
) -> list[Series]:
    if not len(facts) or (value == "cost" and facts.cost() is None):
        return []
    groups, index = facts.group([_COLUMN.get(name, name) for name in by])
    shown = [dict(zip(by, labels.values(), strict=True)) for labels in groups]
    if measure.stat == "events":
        return _events(facts, shown, index)
    begin = float(np.floor(chosen.start / step) * step)
    bins = max(int(np.ceil((chosen.end - begin) / step)), 1)
    place = facts.places(begin, step, bins)
    if measure.stat == "p95":
        return _quantiles(measure, facts, shown, index, place, bins, begin, step)
    values = _values(facts, value, measure.above)
    width = max(1, round((measure.window_seconds or max(60.0, 3 * step)) / step))
    sums = _sliding(index, place, values, len(shown), bins, width)
    ends: Floats = (begin + step * np.arange(1, bins + 1)).astype(np.float64)
    if measure.stat == "rate":
        passed = ends.copy()
        passed[-1] = min(passed[-1], max(chosen.end, begin + step * (bins - 1) + 1))  # the last bin is not over yet
        starts = np.maximum(passed - width * step, min(chosen.first, chosen.end))
        seconds = np.where(passed > chosen.first, np.maximum(passed - starts, min(step, 60.0)), np.nan)
        rows = sums / seconds
    elif measure.stat == "mean":
        counts = _sliding(index, place, facts.weight, len(shown), bins, width)
        with np.errstate(invalid="ignore"):
            rows = np.where(counts > 0, sums / np.maximum(counts, 1e-12), np.nan)
    elif measure.stat == "ratio":
        below = _sliding(index, place, _values(facts, measure.over or "count", 0), len(shown), bins, width)
        rows = np.where(below > 0, sums / np.maximum(below, 1e-12), np.nan)
    else:
        rows = sums
    rows = rows * measure.scale + measure.offset
    totals = np.bincount(index, facts.weight, len(shown)).tolist()
    return [
        {"metric": labels, "values": _points(ends, row), "n": int(total)}
        for labels, row, total in zip(shown, rows, totals, strict=True)
    ]


def _sliding(index: Ints, place: Ints, values: Floats, groups: int, bins: int, width: int) -> Floats:
    """Sums per group and bin, each over the last `width` bins."""
    flat: Floats = np.bincount(index * bins + place, weights=values, minlength=groups * bins).astype(np.float64)
    sums: Floats = flat.reshape(groups, bins)
    if width > 1:
        passed = np.cumsum(sums, axis=1)
        sums = passed.copy()
        sums[:, width:] -= passed[:, :-width]
    return sums


def _points(ends: Floats, row: Floats) -> list[list[float]]:
    known = ~np.isnan(row)
    points: list[list[float]] = np.column_stack((ends[known], row[known])).tolist()
    return points


def _quantiles(
    measure: Measure, facts: Facts, shown: list[dict[str, str]], index: Ints, place: Ints, bins: int, begin: float,
    step: float,
) -> list[Series]:  # fmt: skip
    """Exact quantiles by bin: one sort over all rows, then a look at the right place of each stretch."""
    values, weight, own_index, own_place = facts.numbers[measure.value], facts.weight, index, place
    spread = facts.spread if measure.value == "duration" else None
    if spread is not None:
        single = facts.seq >= 0
        groups, more = spread.group([_COLUMN.get(name, name) for name in measure.by])
        numbers = {tuple(labels.values()): number for number, labels in enumerate(shown)}
        renumber = np.asarray([numbers.get(tuple(labels.values()), -1) for labels in groups])[more]
        known = renumber >= 0
        late = ((spread.numbers["time"] - begin) // step).astype(np.int64)
        values = np.concatenate([values[single], spread.numbers["duration"][known]])
        weight = np.concatenate([weight[single], spread.weight[known]])
        own_index = np.concatenate([index[single], renumber[known]])
        own_place = np.concatenate([place[single], np.clip(late[known], 0, bins - 1)])
    known = ~np.isnan(values)
    values, weight = values[known], weight[known]
    key = own_index[known] * bins + own_place[known]
    own_keys = np.flatnonzero(np.bincount(key))
    width = _width(len(values), len(shown), bins)
    if width > 1:  # each call counts in the bins after its own too, until there are enough for a quantile
        late = np.tile(np.arange(width), len(values))
        own, column = np.repeat(key // bins, width), np.repeat(key % bins, width) + late
        inside = column < bins
        key = (own * bins + column)[inside]
        values, weight = np.repeat(values, width)[inside], np.repeat(weight, width)[inside]
    order = np.argsort(values)
    sortable = key[order] if len(shown) * bins > _RADIX else key[order].astype(np.uint16)
    order = order[np.argsort(sortable, kind="stable")]
    values, weight, key = values[order], weight[order], key[order]
    found: list[Series] = [{"metric": labels, "values": [], "n": 0} for labels in shown]
    if not len(values):
        return []
    passed = np.cumsum(weight)
    firsts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    lasts = np.concatenate([firsts[1:], [len(key)]]) - 1
    before = np.where(firsts > 0, passed[np.maximum(firsts - 1, 0)], 0.0)
    totals = passed[lasts] - before
    at = np.minimum(np.searchsorted(passed, before + 0.95 * totals * (1 - 1e-12)), lasts)
    # Too few for a quantile are drawn as points, each only where its calls are.
    drawn = (totals >= ENOUGH) | np.isin(key[firsts], own_keys)
    firsts, totals, at = firsts[drawn], totals[drawn], at[drawn]
    for stretch, total, value in zip(key[firsts].tolist(), totals.tolist(), values[at].tolist(), strict=True):
        series = found[stretch // bins]
        series["values"].append([begin + step * (stretch % bins + 1), value, int(total)])
    for number, count in enumerate(np.bincount(index, facts.weight, len(shown)).tolist()):
        found[number]["n"] = int(count)
    return [series for series in found if series["values"]]


def _width(size: int, groups: int, bins: int) -> int:
    """How many bins a quantile looks back, so that a typical one is of enough calls; bounded by the work of it."""
    wanted = int(np.ceil(1.5 * ENOUGH * groups * bins / max(size, 1)))
    return max(1, min(wanted, MOST_WIDTH, 500_000 // max(size, 1)))


def _events(facts: Facts, shown: list[dict[str, str]], index: object) -> list[Series]:
    """Single events, the newest of each series where there are many."""
    found = []
    for number, labels in enumerate(shown):
        times = np.sort(facts.numbers["time"][index == number])
        if len(times):
            marks = [[float(t), 1] for t in times[-_MAX_EVENTS:]]
            found.append({"metric": labels, "values": marks, "n": len(times)})
    return found


def _buckets(facts: Facts, chosen: Selection, step: float) -> list[Series]:
    """Cumulative counts by latency bucket and bin."""
    begin = float(np.floor(chosen.start / step) * step)
    bins = max(int(np.ceil((chosen.end - begin) / step)), 1)
    rows = facts.spread.joined(facts.take(facts.seq >= 0)) if facts.spread is not None else facts
    if not len(rows):
        return []
    place = rows.places(begin, step, bins)
    ends: Floats = (begin + step * np.arange(1, bins + 1)).astype(np.float64)
    found = []
    level = np.searchsorted(_BOUNDS, rows.numbers["duration"])  # not known is larger than all
    inside = level < len(_BOUNDS)
    cells = np.bincount(level[inside] * bins + place[inside], rows.weight[inside], len(_BOUNDS) * bins)
    for bound, counts in zip(_BOUNDS, np.cumsum(cells.reshape(len(_BOUNDS), bins), axis=0), strict=True):
        le = "+Inf" if bound == np.inf else f"{bound:g}"
        found.append({"metric": {"le": le}, "values": _points(ends, counts), "n": int(counts.sum())})
    return found
