"""Functions of instant vectors and scalars, by name; functions over time live in over_time.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from tachograph.console.promql.errors import PromQLError
from tachograph.console.promql.labels import NAME, Labels, get, replace
from tachograph.console.promql.matchers import EQUAL, LabelMatcher, compile_regex
from tachograph.console.promql.types import Floats, Frame, Ints, merge_same_labels


def _round_half_up(values: Floats, nearest: Floats) -> Floats:
    inverse = 1.0 / nearest
    return np.floor(values * inverse + 0.5) / inverse


ELEMENTWISE: dict[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "ln": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "rad": lambda v: v * np.pi / 180,
    "deg": lambda v: v * 180 / np.pi,
    "sgn": lambda v: np.where(v < 0, -1.0, np.where(v > 0, 1.0, v)),
}


def clamp(frame: Frame, low: Floats, high: Floats) -> Frame:
    """Limit values to [low, high]; steps where high < low give nothing."""
    values = _go_max(low, _go_min(high, frame.values))
    return frame.with_values(values, frame.present & ~(high < low)).compact()


def _go_max(a: Floats, b: Floats) -> Floats:
    # As Go's math.Max: an infinity wins over NaN, else NaN wins.
    a, b = np.broadcast_arrays(a, b)
    return np.where(np.isposinf(a) | np.isposinf(b), np.inf, np.maximum(a, b))


def _go_min(a: Floats, b: Floats) -> Floats:
    a, b = np.broadcast_arrays(a, b)
    return np.where(np.isneginf(a) | np.isneginf(b), -np.inf, np.minimum(a, b))


def go_extreme(a: Floats, b: Floats, *, largest: bool) -> Floats:
    """max_of and min_of."""
    return _go_max(a, b) if largest else _go_min(a, b)


def round_to(frame: Frame, nearest: Floats) -> Frame:
    """Round to a multiple; ties go up."""
    return frame.with_values(_round_half_up(frame.values, nearest))


def to_scalar(frame: Frame) -> Floats:
    """The value of the only series at each step, or NaN."""
    single = frame.present.sum(axis=0) == 1
    return np.where(single, np.where(frame.present, frame.values, 0.0).sum(axis=0), np.nan)


def _day(seconds: Ints) -> Ints:
    return seconds // 86400


DATE_PARTS: dict[str, Callable[[Ints], Ints]] = {
    "minute": lambda s: (s % 3600) // 60,
    "hour": lambda s: (s % 86400) // 3600,
    "day_of_week": lambda s: (_day(s) + 4) % 7,
}


def _calendar(name: str, seconds: Ints) -> Ints:
    return np.asarray(_calendar_part(name, seconds)).astype(np.int64)


def _calendar_part(name: str, seconds: Ints) -> Any:  # noqa: ANN401 - numpy's dates minus dates
    days = _day(seconds).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    years = days.astype("datetime64[Y]")
    if name == "month":
        return months - years.astype("datetime64[M]") + 1
    if name == "year":
        return years - np.datetime64(0, "Y") + 1970
    if name == "day_of_month":
        return days - months.astype("datetime64[D]") + 1
    if name == "day_of_year":
        return days - years.astype("datetime64[D]") + 1
    following = (months + np.timedelta64(1, "M")).astype("datetime64[D]")
    return following - months.astype("datetime64[D]")


DATES = frozenset({*DATE_PARTS, "month", "year", "day_of_month", "day_of_year", "days_in_month"})


# What Go makes of a time that is no number or does not fit: the date of the smallest int64, wrapped around.
_BEYOND = {
    "minute": 30.0,
    "hour": 15.0,
    "day_of_week": 0.0,
    "month": 12.0,
    "year": 292277026596.0,
    "day_of_month": 4.0,
    "day_of_year": 339.0,
    "days_in_month": 31.0,
}


def date_part(name: str, values: Floats) -> Floats:
    """Read a part of the date (UTC) from seconds since 1970."""
    fits = np.isfinite(values) & (np.abs(values) < 9.2e18)
    seconds = np.trunc(np.where(fits, values, 0.0)).astype(np.int64)
    part = DATE_PARTS.get(name)
    result = part(seconds) if part else _calendar(name, seconds)
    return np.where(fits, result.astype(np.float64), _BEYOND[name])


def absent_labels(matchers: tuple[LabelMatcher, ...]) -> Labels:
    """Labels that absent() takes from its selector: those asked for by one equality."""
    known: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in matchers:
        if matcher.name == NAME:
            continue
        if matcher.op == EQUAL and matcher.name not in seen:
            known[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            known.pop(matcher.name, None)
    return replace((), known)


def label_replace(frame: Frame, target: str, template: str, source: str, pattern: str) -> Frame:
    """Set a label from a regular expression's groups."""
    try:
        regex = compile_regex(pattern)
    except PromQLError:
        raise PromQLError(f"invalid regular expression in label_replace(): {pattern}") from None
    _check_label(target, "destination", "label_replace")
    labels: list[Labels] = []
    drop = frame.drop_name.copy()
    for row, one in enumerate(frame.labels):
        found = regex.fullmatch(get(one, source))
        if found is None:
            labels.append(one)
            continue
        labels.append(replace(one, {target: expand(template, found)}))
        if target == NAME:
            drop[row] = False
    return merge_same_labels(Frame(labels, frame.values, frame.present, drop))


def label_join(frame: Frame, target: str, separator: str, sources: list[str]) -> Frame:
    """Set a label to the join of others."""
    for source in sources:
        _check_label(source, "source", "label_join")
    _check_label(target, "destination", "label_join")
    drop = frame.drop_name.copy()
    if target == NAME:
        drop[:] = False
    labels = [replace(one, {target: separator.join(get(one, s) for s in sources)}) for one in frame.labels]
    return merge_same_labels(Frame(labels, frame.values, frame.present, drop))


def _check_label(name: str, role: str, function: str) -> None:
    if not name:
        raise PromQLError(f"invalid {role} label name in {function}(): {name}")


_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})", re.ASCII)


def expand(template: str, match: object) -> str:
    """Fill `$1`, `${name}` and `$$` in, by Go's rules: the longest name counts, unknown names are empty."""

    def fill(found: re.Match[str]) -> str:
        if found.group(1):
            return "$"
        name = found.group(2) or found.group(3)
        try:
            value = match.group(int(name) if name.isdigit() else name)  # type: ignore[attr-defined]
        except (IndexError, KeyError):
            return ""
        return value or ""

    return _REFERENCE.sub(fill, template)


def sorted_by_value(frame: Frame, *, descending: bool) -> Frame:
    """Order series by their value at the last step; NaN goes last either way."""
    if not frame.labels:
        return frame
    last = frame.values[:, -1]
    keys = -last if descending else last
    order = np.lexsort((np.arange(len(last)), keys, np.isnan(last)))
    return frame.take([int(i) for i in order])


def sorted_by_label(frame: Frame, names: list[str], *, descending: bool) -> Frame:
    """Order series by labels, with numbers inside the values counted as numbers."""

    def key(row: int) -> tuple[list[list[tuple[int, int, str]]], Labels]:
        labels = frame.labels[row]
        return [natural(get(labels, name)) for name in names], labels

    return frame.take(sorted(range(len(frame.labels)), key=key, reverse=descending))


@lru_cache(maxsize=4096)
def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    parts = re.findall(r"\d+|\D+", text, re.ASCII)
    return tuple((0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key in which a2 comes before a10."""
    return list(_natural(text))
