"""Aggregations over the series of a frame, all steps at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tachograph.console.promql.errors import PromQLError
from tachograph.console.promql.labels import NAME, Labels, drop, keep, replace
from tachograph.console.promql.numerics import general, kahan_step, plain_decimal
from tachograph.console.promql.types import Bools, Floats, Frame, Ints
from tachograph.console.promql.windows import quantile_of_sorted
from tachograph.console.promql.xxhash import ratio_offset


def group_key(labels: Labels, names: tuple[str, ...], without: bool) -> Labels:
    """Return the labels of the group that a series belongs to."""
    return drop(labels, (*names, NAME)) if without else keep(labels, names)


@dataclass(slots=True)
class Groups:
    """Which group each series is in, and the series of each group in order."""

    labels: list[Labels]
    of: Ints
    members: list[list[int]]

    @classmethod
    def of_frame(cls, frame: Frame, names: tuple[str, ...], without: bool) -> Groups:
        """Group the series of a frame."""
        found: dict[Labels, int] = {}
        members: list[list[int]] = []
        of = np.zeros(len(frame.labels), dtype=np.int64)
        for i, labels in enumerate(frame.labels):
            key = group_key(labels, names, without)
            group = found.setdefault(key, len(found))
            if group == len(members):
                members.append([])
            members[group].append(i)
            of[i] = group
        return cls(list(found), of, members)

    def ranks(self, frame: Frame) -> Iterator[tuple[Ints, Floats, Bools]]:
        """Yield the k-th member of every group at once: group numbers, values, and where present."""
        longest = max((len(m) for m in self.members), default=0)
        for k in range(longest):
            groups = [g for g, m in enumerate(self.members) if len(m) > k]
            rows = np.asarray([self.members[g][k] for g in groups], dtype=np.int64)
            yield np.asarray(groups, dtype=np.int64), frame.values[rows], frame.present[rows]


def aggregate(op: str, frame: Frame, names: tuple[str, ...], without: bool, param: Floats | None) -> Frame:
    """Apply sum, avg, min, max, count, group, stddev, stdvar or quantile."""
    groups = Groups.of_frame(frame, names, without)
    shape = (len(groups.labels), frame.values.shape[1])
    present = np.zeros(shape, dtype=bool)
    np.logical_or.at(present, groups.of, frame.present)
    dropped = np.zeros(shape[0], dtype=bool)
    np.logical_or.at(dropped, groups.of, frame.drop_name)
    if op == "quantile":
        assert param is not None
        values = _quantile(frame, groups, param)
    else:
        values = _SIMPLE[op](frame, groups, shape)
    return Frame(groups.labels, values, present, dropped).compact()


def _count(frame: Frame, groups: Groups, shape: tuple[int, int]) -> Floats:
    out = np.zeros(shape)
    np.add.at(out, groups.of, frame.present.astype(np.float64))
    return out


def _group(frame: Frame, groups: Groups, shape: tuple[int, int]) -> Floats:
    return np.ones(shape)


def _sum(frame: Frame, groups: Groups, shape: tuple[int, int]) -> Floats:
    total, carry = np.zeros(shape), np.zeros(shape)
    for rows, x, active in groups.ranks(frame):
        total[rows], carry[rows] = kahan_step(x, total[rows], carry[rows], active)
    return total + carry


def _avg(frame: Frame, groups: Groups, shape: tuple[int, int]) -> Floats:
    total, carry, running, count = (np.zeros(shape) for _ in range(4))
    incremental = np.zeros(shape, dtype=bool)
    for rows, x, active in groups.ranks(frame):
        n = count[rows] + active
        first = active & (n == 1)
        later = active & ~first
        total[rows] = np.where(first, x, total[rows])
        direct = later & ~incremental[rows]
        new_total, new_carry = kahan_step(x, total[rows], carry[rows], direct)
        overflow = direct & np.isinf(new_total)
        fine = direct & ~overflow
        before = n - 1
        running[rows] = np.where(overflow, total[rows] / before, running[rows])
        carry[rows] = np.where(fine, new_carry, np.where(overflow, carry[rows] / before, carry[rows]))
        total[rows] = np.where(fine, new_total, total[rows])
        incremental[rows] |= overflow
        step = later & incremental[rows]
        if step.any():
            q = before / n
            moved, moved_carry = kahan_step(x / n, q * running[rows], q * carry[rows], step)
            running[rows] = np.where(step, moved, running[rows])
            carry[rows] = np.where(step, moved_carry, carry[rows])
        count[rows] = n
    return np.where(incremental, running + carry, total / count + carry / count)


def _extreme(frame: Frame, groups: Groups, shape: tuple[int, int], largest: bool) -> Floats:
    best = np.full(shape, np.nan)
    for rows, x, active in groups.ranks(frame):
        now = best[rows]
        better = active & (((now < x) if largest else (now > x)) | np.isnan(now))
        best[rows] = np.where(better, x, now)
    return best


def _max(frame: Frame, groups: Groups, shape: tuple[int, int]) -> Floats:
    return _extreme(frame, groups, shape, True)


def _min(frame: Frame, groups: Groups, shape: tuple[int, int]) -> Floats:
    return _extreme(frame, groups, shape, False)


def _stdvar(frame: Frame, groups: Groups, shape: tuple[int, int]) -> Floats:
    count, middle, aux = (np.zeros(shape) for _ in range(3))
    for rows, x, active in groups.ranks(frame):
        n = count[rows] + active
        first = active & (n == 1)
        later = active & ~first
        delta = x - middle[rows]
        moved = middle[rows] + delta / n
        added = aux[rows] + delta * (x - moved)
        middle[rows] = np.where(first, x, np.where(later, moved, middle[rows]))
        start = np.where(np.isfinite(x), 0.0, np.nan)
        aux[rows] = np.where(first, start, np.where(later, added, aux[rows]))
        count[rows] = n
    return aux / count


def _stddev(frame: Frame, groups: Groups, shape: tuple[int, int]) -> Floats:
    return np.sqrt(_stdvar(frame, groups, shape))


_SIMPLE = {
    "sum": _sum,
    "avg": _avg,
    "min": _min,
    "max": _max,
    "count": _count,
    "group": _group,
    "stddev": _stddev,
    "stdvar": _stdvar,
}
SIMPLE = frozenset({*_SIMPLE, "quantile"})


def _quantile(frame: Frame, groups: Groups, q: Floats) -> Floats:
    steps = frame.values.shape[1]
    out = np.empty((len(groups.labels), steps))
    for g, members in enumerate(groups.members):
        present = frame.present[members].T
        window = np.where(present, frame.values[members].T, np.nan)
        nans = np.count_nonzero(np.isnan(window) & present, axis=1)
        window.sort(axis=1)
        out[g] = quantile_of_sorted(q, window, present.sum(axis=1), nans)
    return out


def select_k(op: str, frame: Frame, names: tuple[str, ...], without: bool, k: Floats) -> Frame:
    """Apply topk, bottomk or limitk: series go through unchanged, at the steps where they are among the k."""
    if k.max() < 1:
        return Frame.empty(frame.values.shape[1])
    if np.isnan(k).any():
        raise PromQLError("Parameter value is NaN")
    if k.min() <= -9.223372036854775808e18:
        raise PromQLError(f"Scalar value {general(float(k.min()))} underflows int64")
    if k.max() >= 9.223372036854775808e18:
        raise PromQLError(f"Scalar value {general(float(k.max()))} overflows int64")
    groups = Groups.of_frame(frame, names, without)
    wanted = np.minimum(k, max(len(frame.labels), 1)).astype(np.int64)
    present = np.zeros(frame.present.shape, dtype=bool)
    order: list[int] = []
    for members in groups.members:
        here = frame.present[members]
        if op == "limitk":
            present[members] = here & (np.cumsum(here, axis=0) <= wanted)
            order.extend(members)
            continue
        values = frame.values[members]
        key = np.where(np.isnan(values), np.inf, -values if op == "topk" else values)
        # Absent after NaN after everything else; ties keep the order of the series.
        state = np.where(here, np.where(np.isnan(values), 1, 0), 2)
        ranked = np.lexsort((np.broadcast_to(np.arange(len(members))[:, None], key.shape), key, state), axis=0)
        position = np.empty_like(ranked)
        np.put_along_axis(position, ranked, np.broadcast_to(np.arange(len(members))[:, None], ranked.shape), axis=0)
        present[members] = here & (position < wanted)
        order.extend(members[i] for i in ranked[:, -1])
    chosen = Frame(frame.labels, frame.values, present, frame.drop_name)
    return chosen.take(order).compact()


def limit_ratio(frame: Frame, ratio: Floats) -> Frame:
    """Keep a fixed share of the series, chosen by the hash of their labels; a negative ratio keeps the others."""
    if np.isnan(ratio).any():
        raise PromQLError("Ratio value is NaN")
    offsets = np.asarray([ratio_offset(labels) for labels in frame.labels])[:, None]
    chosen = (offsets < ratio) | ((ratio < 0) & (offsets >= 1.0 + ratio))
    return Frame(frame.labels, frame.values, frame.present & chosen, frame.drop_name).compact()


def count_values(frame: Frame, names: tuple[str, ...], without: bool, label: str) -> Frame:
    """Count how many series of each group have each value; the value becomes a label."""
    steps = frame.values.shape[1]
    rows: dict[Labels, int] = {}
    counts: list[Floats] = []
    for i, labels in enumerate(frame.labels):
        row_values, here = np.ascontiguousarray(frame.values[i]), frame.present[i]
        # By bits, because 0 and -0 are written differently and NaN equals nothing.
        bits = row_values.view(np.int64)
        for one in np.unique(bits[here]):
            named = replace(labels, {label: plain_decimal(float(one.view(np.float64)))})
            key = group_key(named, names if without else (*names, label), without)
            row = rows.setdefault(key, len(rows))
            if row == len(counts):
                counts.append(np.zeros(steps))
            counts[row] += here & (bits == one)
    if not counts:
        return Frame.empty(steps)
    values = np.stack(counts)
    return Frame(list(rows), values, values > 0)
