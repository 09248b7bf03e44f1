"""Binary operators between scalars, frames and both, with vector matching."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tachograph.console.promql.errors import PromQLError
from tachograph.console.promql.labels import NAME, Labels, drop, get, keep, replace, text, without_name
from tachograph.console.promql.syntax import Binary
from tachograph.console.promql.types import Bools, Floats, Frame, Ints, merge_same_labels

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "^", "atan2"})
SET_OPERATORS = frozenset({"and", "or", "unless"})


_FLOAT_OPS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: np.fmod(a, b),
    "^": lambda a, b: np.power(a, b),
    "atan2": lambda a, b: np.arctan2(a, b),
}
_BOOL_OPS: dict[str, Callable[[Floats, Floats], Bools]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


def scalars(op: str, left: Floats, right: Floats) -> Floats:
    """Combine two scalars; comparisons give 0 or 1."""
    if op in _FLOAT_OPS:
        return _FLOAT_OPS[op](left, right)
    return _BOOL_OPS[op](left, right).astype(np.float64)


def vector_scalar(node: Binary, frame: Frame, scalar: Floats, *, scalar_left: bool) -> Frame:
    """Combine a vector and a scalar; a comparison filters, and always keeps the vector's value."""
    left, right = (scalar, frame.values) if scalar_left else (frame.values, scalar)
    if node.op in _FLOAT_OPS:
        return frame.with_values(_FLOAT_OPS[node.op](left, right))
    keeps = _BOOL_OPS[node.op](*np.broadcast_arrays(left, right))
    if node.return_bool:
        return frame.with_values(keeps.astype(np.float64))
    return Frame(frame.labels, frame.values, frame.present & keeps, frame.drop_name).compact()


class Signatures:
    """Numbers for the label sets on which two vectors are matched."""

    def __init__(self, node: Binary) -> None:
        self._numbers: dict[Labels, int] = {}
        self._on = node.on
        self._names = node.matching if node.on else (*node.matching, NAME)

    def key(self, labels: Labels) -> Labels:
        """Return the part of the labels that must be equal on both sides."""
        return keep(labels, self._names) if self._on else drop(labels, self._names)

    def of(self, frame: Frame) -> Ints:
        """Return the signature number of each series."""
        numbers = self._numbers
        return np.asarray(
            [numbers.setdefault(self.key(labels), len(numbers)) for labels in frame.labels], dtype=np.int64
        )

    def __len__(self) -> int:
        return len(self._numbers)


def _seen(frame: Frame, of: Ints, count: int) -> Bools:
    """Return at which steps each of `count` signatures has a value."""
    mask = np.zeros((count, frame.values.shape[1]), dtype=bool)
    np.logical_or.at(mask, of, frame.present)
    return mask


def set_operation(node: Binary, left: Frame, right: Frame) -> Frame:
    """and, or, unless."""
    signatures = Signatures(node)
    left_of, right_of = signatures.of(left), signatures.of(right)
    if node.op == "or":
        rest = right.present & ~_seen(left, left_of, len(signatures))[right_of]
        both = Frame(
            left.labels + right.labels,
            np.concatenate([left.values, right.values]),
            np.concatenate([left.present, rest]),
            np.concatenate([left.drop_name, right.drop_name]),
        )
        return _merge_or(both.compact())
    on_right = _seen(right, right_of, len(signatures))[left_of]
    present = left.present & (on_right if node.op == "and" else ~on_right)
    return Frame(left.labels, left.values, present, left.drop_name).compact()


def _merge_or(frame: Frame) -> Frame:
    """Join rows of equal labels that will be one series, whichever side they came from."""
    marked = list(zip(frame.labels, frame.drop_name.tolist(), strict=True))
    if len(set(marked)) == len(marked):
        return frame
    return merge_same_labels(frame)


def vectors(node: Binary, left: Frame, right: Frame) -> Frame:
    """Arithmetic and comparison between two vectors.

    Raises:
        PromQLError: The matching is not unique where it has to be.
    """
    swapped = node.card == "one-to-many"
    many, one = (right, left) if swapped else (left, right)
    # Prometheus does not swap these with the sides.
    fill_one, fill_many = node.fill_right, node.fill_left
    signatures = Signatures(node)
    many_of, one_of = signatures.of(many), signatures.of(one)
    some_many, some_one = many.present.any(axis=0), one.present.any(axis=0)
    filled = fill_one is not None or fill_many is not None
    active: Bools = np.asarray(some_many | some_one if filled else some_many & some_one)
    _check_one_side(node, one, one_of, active, signatures, "left" if swapped else "right")

    rows_many, rows_one = _pairs(many_of, one_of, len(signatures))
    present = many.present[rows_many] & one.present[rows_one]
    parts = [(many.values[rows_many], one.values[rows_one], present, many_of[rows_many], many.drop_name[rows_many])]
    labels = [_result_labels(node, many.labels[m], one.labels[o]) for m, o in zip(rows_many, rows_one, strict=True)]
    if fill_one is not None:
        missing = many.present & ~_seen(one, one_of, len(signatures))[many_of]
        parts.append((many.values, np.full(many.values.shape, fill_one), missing, many_of, many.drop_name))
        labels += [_result_labels(node, alone, signatures.key(alone)) for alone in many.labels]
    if fill_many is not None:
        missing = one.present & ~_seen(many, many_of, len(signatures))[one_of]
        parts.append((np.full(one.values.shape, fill_many), one.values, missing, one_of, one.drop_name))
        labels += [_result_labels(node, signatures.key(alone), alone) for alone in one.labels]

    many_values, one_values, present, owners, dropped = (np.concatenate(column) for column in zip(*parts, strict=True))
    _check_matches(node, labels, owners.tolist(), present)
    a, b = (one_values, many_values) if swapped else (many_values, one_values)
    if node.op in _FLOAT_OPS:
        result = Frame(labels, _FLOAT_OPS[node.op](a, b), present)
    elif node.return_bool:
        result = Frame(labels, _BOOL_OPS[node.op](a, b).astype(np.float64), present, np.ones(len(labels), dtype=bool))
    else:
        # As Prometheus has it, the value that stays is the left one.
        result = Frame(labels, a, present & _BOOL_OPS[node.op](a, b), dropped)
    return merge_same_labels(result.compact())


def _pairs(many_of: Ints, one_of: Ints, count: int) -> tuple[Ints, Ints]:
    by_signature: list[list[int]] = [[] for _ in range(count)]
    for row, signature in enumerate(one_of):
        by_signature[int(signature)].append(row)
    rows_many: list[int] = []
    rows_one: list[int] = []
    for row, signature in enumerate(many_of):
        for other in by_signature[int(signature)]:
            rows_many.append(row)
            rows_one.append(other)
    return np.asarray(rows_many, dtype=np.int64), np.asarray(rows_one, dtype=np.int64)


def _result_labels(node: Binary, many: Labels, one: Labels) -> Labels:
    labels = many
    if node.op in ARITHMETIC:
        labels = without_name(labels)
    if node.card == "one-to-one":
        labels = keep(labels, node.matching) if node.on else drop(labels, node.matching)
    if node.include:
        labels = replace(labels, {name: get(one, name) for name in node.include})
    return labels


def _check_one_side(node: Binary, one: Frame, one_of: Ints, active: Bools, signatures: Signatures, side: str) -> None:
    first: dict[int, int] = {}
    clashes: dict[int, list[int]] = {}
    for row, signature in enumerate(one_of):
        number = int(signature)
        if number in first:
            clashes.setdefault(number, [first[number]]).append(row)
        else:
            first[number] = row
    for rows in clashes.values():
        together = (one.present[rows].sum(axis=0) > 1) & active
        if together.any():
            step = int(np.flatnonzero(together)[0])
            names = [text(one.labels[r]) for r in rows if one.present[r, step]]
            pair = sorted(names[:2])
            matched = text(signatures.key(one.labels[rows[0]]))
            raise PromQLError(
                f"found duplicate series for the match group {matched} on the {side} hand-side of the operation: "
                f"[{pair[0]}, {pair[1]}];many-to-many matching not allowed: matching labels must be unique on one side"
            )


def _check_matches(node: Binary, labels: list[Labels], owners: list[int], present: Bools) -> None:
    if node.card == "one-to-one":
        keys: list[object] = list(owners)
        message = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    else:
        keys = list(zip(labels, owners, strict=True))
        message = "multiple matches for labels: grouping labels must ensure unique matches"
    seen: dict[object, Bools] = {}
    for key, here in zip(keys, present, strict=True):
        before = seen.get(key)
        if before is None:
            seen[key] = here
            continue
        if (before & here).any():
            raise PromQLError(message)
        seen[key] = before | here
