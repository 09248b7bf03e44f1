"""The facts by which calls are filtered, as numpy columns in memory: half a million calls in milliseconds.

Text is kept once per distinct value; the columns hold its number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tachograph.console.calls import Call

_TEXTS = ("kind", "provider", "model", "server_id", "tool_name", "outcome", "error", "labels", "service")
_MAX_DISTINCT = 100_000


@dataclass(slots=True)
class Filter:
    """What calls to show. Empty means everything; several values of one field mean any of them."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: tuple[tuple[str, str], ...] = ()
    cost: tuple[float | None, float | None] = (None, None)
    duration: tuple[float | None, float | None] = (None, None)
    time: tuple[float | None, float | None] = (None, None)
    text: str = ""
    before: int | None = None
    after: int | None = None


class Words:
    """Distinct texts of one column and their numbers."""

    __slots__ = ("numbers", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = [""]
        self.numbers: dict[str, int] = {"": 0}

    def number(self, text: str) -> int:
        """Return the number of a text; past the bound every new one is the same `…`."""
        found = self.numbers.get(text)
        if found is None:
            if len(self.texts) >= _MAX_DISTINCT:
                text = "…"
                if text in self.numbers:
                    return self.numbers[text]
            found = self.numbers[text] = len(self.texts)
            self.texts.append(text)
        return found


def label_text(labels: Mapping[str, str]) -> str:
    """Write labels as one text, sorted, so that equal sets have equal texts."""
    return "\n".join(f"{k}:{v}" for k, v in sorted(labels.items()))


class Columns:
    """The newest `capacity` calls, in order of arrival (`seq`)."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        room = capacity + max(capacity // 8, 1024)
        self._size = 0
        self._room = min(room, 4096)
        self._most = room
        self.words = {name: Words() for name in _TEXTS}
        self._codes = {name: np.zeros(self._room, dtype=np.int32) for name in _TEXTS}
        self._seq = np.zeros(self._room, dtype=np.int64)
        self._numbers: dict[str, npt.NDArray[np.float64]] = {
            name: np.full(self._room, np.nan) for name in ("time", "duration", "cost")
        }

    def __len__(self) -> int:
        return self._size

    def add(self, seq: int, call: Call) -> None:
        """Append one call; `seq` grows."""
        if self._size == self._room:
            self._make_room()
        row = self._size
        self._seq[row] = seq
        for name, text in (
            ("kind", call.kind),
            ("provider", call.provider),
            ("model", call.model),
            ("server_id", call.server_id),
            ("tool_name", call.tool_name),
            ("outcome", call.outcome),
            ("error", call.error_type or call.error_kind or ""),
            ("labels", label_text(call.labels) if call.labels else ""),
            ("service", call.service),
        ):
            self._codes[name][row] = self.words[name].number(text)
        numbers = self._numbers
        numbers["time"][row] = call.time
        numbers["duration"][row] = call.duration_seconds
        numbers["cost"][row] = float(call.cost_usd) if call.cost_usd is not None else np.nan
        self._size += 1

    def prepend(self, older: Columns) -> None:
        """Put older calls in front (those read back from disk after a start)."""
        renumber = {
            name: np.asarray([self.words[name].number(text) for text in older.words[name].texts], dtype=np.int32)
            for name in _TEXTS
        }
        old, new = older._size, self._size
        keep = max(self.capacity - new, 0)
        skip = max(old - keep, 0)
        total = old - skip + new
        self._room = max(min(self._most, total * 2), total + 1024)
        for name in _TEXTS:
            merged = np.zeros(self._room, dtype=np.int32)
            merged[:total] = np.concatenate([renumber[name][older._codes[name][skip:old]], self._codes[name][:new]])
            self._codes[name] = merged
        seq = np.zeros(self._room, dtype=np.int64)
        seq[:total] = np.concatenate([older._seq[skip:old], self._seq[:new]])
        self._seq = seq
        for name in self._numbers:
            numbers = np.full(self._room, np.nan)
            numbers[:total] = np.concatenate([older._numbers[name][skip:old], self._numbers[name][:new]])
            self._numbers[name] = numbers
        self._size = total

    def _make_room(self) -> None:
        if self._room < self._most:
            grown = min(self._room * 2, self._most)
            for name in _TEXTS:
                self._codes[name] = np.resize(self._codes[name], grown)
            self._seq = np.resize(self._seq, grown)
            for name, column in self._numbers.items():
                self._numbers[name] = np.resize(column, grown)
            self._room = grown
            return
        gone = self._size - self.capacity
        columns: list[npt.NDArray[Any]] = [*self._codes.values(), self._seq, *self._numbers.values()]
        for column in columns:
            column[: self.capacity] = column[gone : self._size].copy()
        self._size = self.capacity

    @property
    def oldest(self) -> int:
        """The smallest seq that the list still shows, or 0."""
        return int(self._seq[max(self._size - self.capacity, 0)]) if self._size else 0

    def find(self, wanted: Filter, limit: int, *, newest_first: bool = True) -> tuple[list[int], int, bool]:
        """Return seqs of matching calls, how many match in all, and whether there are more than returned."""
        low = max(self._size - self.capacity, 0)
        rows = slice(low, self._size)
        mask = np.ones(self._size - low, dtype=bool)
        for name, values in wanted.fields.items():
            codes = self._codes[name][rows]
            numbers = [self.words[name].numbers.get(value, -1) for value in values]
            mask &= np.isin(codes, numbers) if len(numbers) > 1 else codes == numbers[0]
        if wanted.labels:
            mask &= self._text_mask(
                ("labels",), rows, lambda text: all(f"{k}:{v}" in text.split("\n") for k, v in wanted.labels)
            )
        for name, (least, most) in (("cost", wanted.cost), ("duration", wanted.duration), ("time", wanted.time)):
            column = self._numbers[name][rows]
            if least is not None:
                mask &= column >= least
            if most is not None:
                mask &= column <= most
        if wanted.text:
            needle = re.compile(re.escape(wanted.text), re.IGNORECASE)
            mask &= self._text_mask(_TEXTS, rows, lambda text: needle.search(text) is not None)
        count = int(np.count_nonzero(mask))
        seq = self._seq[rows]
        if wanted.before is not None:
            mask &= seq < wanted.before
        if wanted.after is not None:
            mask &= seq > wanted.after
        found = np.flatnonzero(mask)
        chosen = found[-limit:][::-1] if newest_first else found[:limit]
        return [int(s) for s in seq[chosen]], count, len(found) > limit

    def _text_mask(self, names: tuple[str, ...], rows: slice, check: object) -> npt.NDArray[np.bool_]:
        mask = np.zeros(rows.stop - rows.start, dtype=bool)
        for name in names:
            hits = np.asarray([bool(check(text)) for text in self.words[name].texts])  # type: ignore[operator]
            if hits.any():
                mask |= hits[self._codes[name][rows]]
        return mask

    def values(self, name: str) -> list[str]:
        """Return the distinct texts of a column."""
        return sorted(text for text in self.words[name].texts if text)
