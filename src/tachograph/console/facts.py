"""Calls of a range as columns that can be grouped and summed: what every tile, panel, table and legend is made from.

A row is one call, one request on the wire, or, from the ledger's hourly sums, many calls of one kind: then `weight`
says how many, and the numbers are sums over them. Quantiles of such rows come from the ledger's log-scale buckets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from tachograph.console.columns import ColumnTable, Floats, Ints

Column = TypeVar("Column")
UNREPORTED: Final = ("cancelled", "timeout")
"""The outcomes of calls that end before their provider has said what they used, where it has not."""
_FEW_KEYS = 1_000_000
"""Up to so many possible groups are counted instead of sorted."""


class _Taken(Mapping[str, Column]):
    """Some rows of columns, each copied when it is first asked for: most questions need a few of them."""

    __slots__ = ("_columns", "_rows", "_source")

    def __init__(self, source: Mapping[str, Column], rows: npt.NDArray[np.intp]) -> None:
        self._source: Mapping[str, Any] = source
        self._rows = rows
        self._columns: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = self._source[name][self._rows]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._source

    def __iter__(self) -> Iterator[str]:
        return iter(self._source)

    def __len__(self) -> int:
        return len(self._source)


@dataclass(slots=True)
class Facts:
    """Rows as columns.

    Attributes:
        codes, words: By name: the number of each row's text, and the texts.
        numbers: By name; NaN where it is not known.
        weight: How many calls a row stands for.
        spread: Durations with their weights, where they are not the rows' own: the same codes beside them.
    """

    codes: Mapping[str, npt.NDArray[np.int32]]
    words: dict[str, list[str]]
    numbers: Mapping[str, Floats]
    weight: Floats
    seq: Ints
    run: Ints
    spread: Facts | None = None
    _groups: dict[tuple[str, ...], tuple[list[dict[str, str]], npt.NDArray[np.intp]]] = field(default_factory=dict)
    _places: dict[tuple[float, float, int], Ints] = field(default_factory=dict)

    @classmethod
    def of(cls, table: ColumnTable, rows: npt.NDArray[np.intp]) -> Facts:
        """Copy these rows, which are in order, of a table."""
        is_stretch = len(rows) > 0 and rows[-1] - rows[0] + 1 == len(rows)
        part: Any = slice(rows[0], rows[-1] + 1) if is_stretch else rows  # a stretch is copied several times faster
        return cls(
            {name: column[part].copy() for name, column in table.codes.items()},
            {name: list(words.texts) for name, words in table.words.items()},
            {name: column[part].copy() for name, column in table.numbers.items()},
            np.ones(len(rows)),
            table.seq[part].copy(),
            table.run[part].copy(),
        )

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def count(self) -> int:
        """How many calls these rows stand for."""
        return int(self.weight.sum())

    def take(self, mask: npt.NDArray[np.bool_]) -> Facts:
        rows = np.flatnonzero(mask)
        return Facts(
            _Taken(self.codes, rows),
            self.words,
            _Taken(self.numbers, rows),
            self.weight[mask],
            self.seq[mask],
            self.run[mask],
            self.spread,
        )

    def where(self, **wanted: Sequence[str] | str) -> Facts:
        """The rows whose text is one of these; a single text that begins with `!` is refused instead."""
        found = self.take(self.mask(**wanted))
        if self.spread is not None:
            found.spread = self.spread.take(self.spread.mask(**wanted))
        return found

    def texts(self, name: str) -> list[str]:
        """The text of each row."""
        words = self.words[name]
        return [words[code] for code in self.codes[name].tolist()]

    def renamed(self, name: str, mask: npt.NDArray[np.bool_], texts: Sequence[str]) -> Facts:
        """The same rows with other texts where the mask says so."""
        words = {text: number for number, text in enumerate(self.words[name])}
        other = np.asarray([words.setdefault(text, len(words)) for text in texts], dtype=np.int32)
        codes, known = {**self.codes, name: np.where(mask, other, self.codes[name])}, {**self.words, name: list(words)}
        return Facts(codes, known, self.numbers, self.weight, self.seq, self.run, self.spread)

    def between(self, start: float, end: float) -> Facts:
        """The rows of [start, end)."""
        times = self.numbers["time"]
        found = self.take((times >= start) & (times < end))
        if self.spread is not None:
            found.spread = self.spread.between(start, end)
        return found

    def mask(self, **wanted: Sequence[str] | str) -> npt.NDArray[np.bool_]:
        """Which rows `where` would give."""
        mask = np.ones(len(self), dtype=bool)
        for name, values in wanted.items():
            texts = [values] if isinstance(values, str) else list(values)
            refuse = [text[1:] for text in texts if text.startswith("!")]
            words = {text: number for number, text in enumerate(self.words[name])}
            numbers = [words.get(text, -1) for text in refuse or texts]
            codes = self.codes[name]
            hit = codes == numbers[0] if len(numbers) == 1 else np.isin(codes, numbers)
            mask &= ~hit if refuse else hit
        return mask

    def group(self, by: Sequence[str]) -> tuple[list[dict[str, str]], npt.NDArray[np.intp]]:
        """The groups by these texts, and the number of each row's group."""
        known = self._groups.get(tuple(by))
        if known is None:
            known = self._groups[tuple(by)] = self._grouped(by)
        return known

    def _grouped(self, by: Sequence[str]) -> tuple[list[dict[str, str]], npt.NDArray[np.intp]]:
        if not by:
            return [{}], np.zeros(len(self), dtype=np.intp)
        key = np.zeros(len(self), dtype=np.int64)
        for name in by:
            key = key * len(self.words[name]) + self.codes[name]
        size = 1
        for name in by:
            size *= len(self.words[name])
        if size <= _FEW_KEYS:
            found = np.flatnonzero(np.bincount(key, minlength=1))
            place = np.zeros(size, dtype=np.intp)
            place[found] = np.arange(len(found))
            index = place[key]
        else:
            found, index = np.unique(key, return_inverse=True)
        groups = []
        for number in found.tolist():
            labels: dict[str, str] = {}
            for name in reversed(by):
                number, code = divmod(number, len(self.words[name]))
                labels[name] = self.words[name][code]
            groups.append({name: labels[name] for name in by})
        return groups, index.reshape(-1)

    def places(self, begin: float, step: float, bins: int) -> Ints:
        """The bin of each row's time; what lies outside is in the first or the last one."""
        known = self._places.get((begin, step, bins))
        if known is None:
            known = np.clip(((self.numbers["time"] - begin) // step).astype(np.int64), 0, bins - 1)
            self._places[begin, step, bins] = known
        return known

    def quantile(self, share: float, name: str = "duration") -> float | None:
        """The exact quantile: the smallest value that this share of the calls does not exceed."""
        values, weights = self._spread(name)
        if not len(values):
            return None
        if weights.min() == weights.max() == 1:
            at = max(int(np.ceil(share * len(values) * (1 - 1e-12))) - 1, 0)
            return float(np.partition(values, at)[at])
        order = np.argsort(values, kind="stable")
        passed = np.cumsum(weights[order])
        at = int(np.searchsorted(passed, share * passed[-1] * (1 - 1e-12)))
        return float(values[order][min(at, len(values) - 1)])

    def _spread(self, name: str) -> tuple[Floats, Floats]:
        values, weights = self.numbers[name], self.weight
        if self.spread is not None and name == "duration":
            values = np.concatenate([values[self.seq >= 0], self.spread.numbers["duration"]])
            weights = np.concatenate([weights[self.seq >= 0], self.spread.weight])
        known = ~np.isnan(values)
        return values[known], weights[known]

    def total(self, name: str) -> float:
        """The sum of a number over the calls; what is not known adds nothing."""
        return float(np.nansum(self.numbers[name]))

    @property
    def unpriced(self) -> Floats:
        """How many calls of each row used something that no price is known for."""
        return self.numbers["unpriced"]

    @property
    def unreported(self) -> npt.NDArray[np.bool_]:
        """Which rows ended before the provider reported what they used: it may bill some of them."""
        return np.asarray((self.numbers["reported"] == 0) & self.mask(kind="llm", outcome=UNREPORTED))

    def cost(self) -> float | None:
        """Dollars of these rows; None where nothing has a cost, and something was or may have been used: not zero."""
        return self.costs(np.zeros(len(self), dtype=np.intp), 1)[0]

    def costs(self, index: npt.NDArray[np.intp], size: int) -> list[float | None]:
        """`cost` of each group."""
        cost = self.numbers["cost"]
        sums = np.bincount(index, np.nan_to_num(cost), size).tolist()
        known = np.bincount(index, ~np.isnan(cost), size)
        lacking = np.bincount(index, self.unpriced + self.unreported, size)
        return [None if no else usd for usd, no in zip(sums, (known == 0) & (lacking > 0), strict=True)]

    def joined(self, other: Facts) -> Facts:
        """These rows and those of another account of the same kind."""
        codes: dict[str, npt.NDArray[np.int32]] = {}
        words: dict[str, list[str]] = {}
        for name, column in self.codes.items():
            known = {text: number for number, text in enumerate(self.words[name])}
            texts = list(self.words[name])
            for text in other.words[name]:
                if text not in known:
                    known[text] = len(texts)
                    texts.append(text)
            renumber = np.asarray([known[text] for text in other.words[name]], dtype=np.int32)
            codes[name] = np.concatenate([column, renumber[other.codes[name]]])
            words[name] = texts
        numbers = {name: np.concatenate([column, other.numbers[name]]) for name, column in self.numbers.items()}
        return Facts(
            codes,
            words,
            numbers,
            np.concatenate([self.weight, other.weight]),
            np.concatenate([self.seq, other.seq]),
            np.concatenate([self.run, other.run]),
            other.spread if self.spread is None else self.spread,
        )


def from_rows(rows: Sequence[Mapping[str, Any]], texts: Sequence[str], numbers: Sequence[str]) -> Facts:
    """Facts of sums: each row has its texts, its numbers and a `weight`; what it lacks is empty or not known."""
    codes: dict[str, npt.NDArray[np.int32]] = {}
    words: dict[str, list[str]] = {}
    for name in texts:
        known: dict[str, int] = {"": 0}
        codes[name] = np.asarray([known.setdefault(row.get(name) or "", len(known)) for row in rows], dtype=np.int32)
        words[name] = list(known)
    size = len(rows)
    return Facts(
        codes,
        words,
        {name: np.asarray([row.get(name, np.nan) for row in rows], dtype=np.float64) for name in numbers},
        np.asarray([row["weight"] for row in rows], dtype=np.float64),
        np.full(size, -1, dtype=np.int64),
        np.zeros(size, dtype=np.int64),
    )
