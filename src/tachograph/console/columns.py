"""The facts by which calls are filtered and summed, as numpy columns in memory: half a million calls in milliseconds.

Text is kept once per distinct value; the columns hold its number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tachograph.console.calls import Call, CallAttempt

TEXTS: Final = (
    "kind", "provider", "model", "server_id", "tool_name", "outcome", "error", "labels", "service", "operation",
    "finish_reason", "app_version", "agent", "session_id", "user_id", "fingerprint",
)  # fmt: skip
NUMBERS: Final = (
    "time", "duration", "cost", "first_token", "wait", "attempts", "input", "cached", "output", "reasoning",
    "reported", "unpriced", "usage_missing",
)  # fmt: skip
REQUEST_TEXTS: Final = ("provider", "model", "outcome", "error", "service", "app_version")
REQUEST_NUMBERS: Final = ("time", "duration")
_SEARCHED: Final = ("kind", "provider", "model", "server_id", "tool_name", "outcome", "error", "labels", "service",
                    "agent", "session_id", "user_id", "app_version")  # fmt: skip
_MAX_DISTINCT = 100_000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class Filter:
    """What calls to show. Empty means everything; several values of one field mean any of them.

    Attributes:
        matched: Calls (by seq) whose error, names, ids or content match `text`, found by the full-text index.
    """

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: tuple[tuple[str, str], ...] = ()
    cost: tuple[float | None, float | None] = (None, None)
    duration: tuple[float | None, float | None] = (None, None)
    time: tuple[float | None, float | None] = (None, None)
    text: str = ""
    before: int | None = None
    after: int | None = None
    run: str = ""
    matched: Ints | None = None


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


class ColumnTable:
    """The newest `capacity` rows, in order of arrival (`seq`): texts as numbers of words, and floats."""

    def __init__(self, texts: Sequence[str], numbers: Sequence[str], capacity: int) -> None:
        self.capacity = capacity
        self._most = capacity + max(capacity // 8, 1024)
        self._room = min(self._most, 4096)
        self.size = 0
        self.words = {name: Words() for name in texts}
        self.codes = {name: np.zeros(self._room, dtype=np.int32) for name in texts}
        self.numbers = {name: np.full(self._room, np.nan) for name in numbers}
        self.seq = np.zeros(self._room, dtype=np.int64)
        self.run = np.zeros(self._room, dtype=np.int64)

    def add(self, seq: int, texts: Iterable[str], numbers: Iterable[float], run: int = 0) -> None:
        """Append one row; `seq` never falls."""
        if self.size == self._room:
            self._make_room()
        self.size += 1
        self.seq[self.size - 1] = seq
        self._fill(self.size - 1, texts, numbers, run)

    def replace(self, seq: int, texts: Iterable[str], numbers: Iterable[float], run: int = 0) -> None:
        """Replace a row, where it is still here."""
        row = int(np.searchsorted(self.seq[: self.size], seq))
        if row < self.size and self.seq[row] == seq:
            self._fill(row, texts, numbers, run)

    def _fill(self, row: int, texts: Iterable[str], numbers: Iterable[float], run: int) -> None:
        for (name, column), text in zip(self.codes.items(), texts, strict=True):
            column[row] = self.words[name].number(text)
        for column_, number in zip(self.numbers.values(), numbers, strict=True):
            column_[row] = number
        self.run[row] = run

    def drop(self, seqs: Iterable[int]) -> None:
        """Take the rows of these away."""
        keep = ~np.isin(self.seq[: self.size], np.fromiter(seqs, dtype=np.int64))
        kept = int(np.count_nonzero(keep))
        for column in self._all():
            column[:kept] = column[: self.size][keep]
        self.size = kept

    def prepend(self, older: ColumnTable) -> None:
        """Put older rows in front (those read back from disk after a start)."""
        old, new = older.size, self.size
        skip = max(old - max(self.capacity - new, 0), 0)
        total = old - skip + new
        self._room = max(min(self._most, total * 2), total + 1024)
        for name, words in older.words.items():
            renumber = np.asarray([self.words[name].number(text) for text in words.texts], dtype=np.int32)
            self.codes[name] = self._joined(renumber[older.codes[name][skip:old]], self.codes[name][:new])
        for name, column in older.numbers.items():
            self.numbers[name] = self._joined(column[skip:old], self.numbers[name][:new])
        self.seq = self._joined(older.seq[skip:old], self.seq[:new])
        self.run = self._joined(older.run[skip:old], self.run[:new])
        self.size = total

    def _joined(self, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
        joined = np.zeros(self._room, dtype=second.dtype)
        joined[: len(first) + len(second)] = np.concatenate([first, second])
        return joined

    def _all(self) -> list[npt.NDArray[Any]]:
        return [*self.codes.values(), *self.numbers.values(), self.seq, self.run]

    def _make_room(self) -> None:
        if self._room < self._most:
            self._room = min(self._room * 2, self._most)
            self.codes = {name: np.resize(column, self._room) for name, column in self.codes.items()}
            self.numbers = {name: np.resize(column, self._room) for name, column in self.numbers.items()}
            self.seq, self.run = np.resize(self.seq, self._room), np.resize(self.run, self._room)
            return
        gone = self.size - self.capacity
        for column in self._all():
            column[: self.capacity] = column[gone : self.size].copy()
        self.size = self.capacity

    @property
    def rows(self) -> slice:
        """The rows that count: no more than the capacity."""
        return slice(max(self.size - self.capacity, 0), self.size)


class Columns:
    """The newest `capacity` calls, and the requests on the wire that they made."""

    def __init__(self, capacity: int) -> None:
        self.calls = ColumnTable(TEXTS, NUMBERS, capacity)
        self.requests = ColumnTable(REQUEST_TEXTS, REQUEST_NUMBERS, capacity * 2)

    def __len__(self) -> int:
        return self.calls.size

    def add(self, seq: int, call: Call, attempts: Sequence[CallAttempt] = (), fingerprint: str = "") -> None:
        """Append one call; `seq` grows."""
        self.calls.add(seq, _texts(call, fingerprint), _numbers(call), _run(call))
        for texts, numbers in _requests(call, attempts):
            self.requests.add(seq, texts, numbers)

    def replace(self, changed: Mapping[int, tuple[Call, Sequence[CallAttempt], str]]) -> None:
        """Replace calls about which more is known now."""
        self.requests.drop(changed)
        for seq, (call, attempts, fingerprint) in sorted(changed.items()):
            self.calls.replace(seq, _texts(call, fingerprint), _numbers(call), _run(call))
            for texts, numbers in _requests(call, attempts):
                self.requests.add(seq, texts, numbers)

    def prepend(self, older: Columns) -> None:
        """Put older calls in front."""
        self.calls.prepend(older.calls)
        self.requests.prepend(older.requests)

    @property
    def oldest(self) -> int:
        """The smallest seq that the list still shows, or 0."""
        return int(self.calls.seq[self.calls.rows.start]) if self.calls.size else 0

    def mask(self, wanted: Filter) -> npt.NDArray[np.bool_]:
        """Which of the calls match, apart from the cursors."""
        table, rows = self.calls, self.calls.rows
        mask = np.ones(rows.stop - rows.start, dtype=bool)
        for name, values in wanted.fields.items():
            codes = table.codes[name][rows]
            numbers = [table.words[name].numbers.get(value, -1) for value in values]
            mask &= np.isin(codes, numbers) if len(numbers) > 1 else codes == numbers[0]
        if wanted.labels:
            mask &= self._text_mask(
                ("labels",), rows, lambda text: all(f"{k}:{v}" in text.split("\n") for k, v in wanted.labels)
            )
        for name, (least, most) in (("cost", wanted.cost), ("duration", wanted.duration), ("time", wanted.time)):
            column = table.numbers[name][rows]
            if least is not None:
                mask &= column >= least
            if most is not None:
                mask &= column <= most
        if wanted.run:
            mask &= table.run[rows] == hash(wanted.run)
        if wanted.text:
            needle = re.compile(re.escape(wanted.text), re.IGNORECASE)
            found = self._text_mask(_SEARCHED, rows, lambda text: needle.search(text) is not None)
            if wanted.matched is not None:
                found |= np.isin(table.seq[rows], wanted.matched)
            mask &= found
        return mask

    def find(
        self, wanted: Filter, limit: int, *, newest_first: bool = True, sort: str = "time", skip: int = 0
    ) -> tuple[list[int], int, bool]:
        """Return seqs of matching calls by when they began, how many match in all, and whether there are more."""
        rows = self.calls.rows
        mask = self.mask(wanted)
        count = int(np.count_nonzero(mask))
        seq = self.calls.seq[rows]
        if wanted.before is not None:
            mask &= seq < wanted.before
        if wanted.after is not None:
            mask &= seq > wanted.after
        found = np.flatnonzero(mask)
        if sort == "arrival":
            chosen = found[-limit:][::-1] if newest_first else found[:limit]
            return [int(s) for s in seq[chosen]], count, len(found) > limit
        values = self.calls.numbers[sort][rows][found]
        order = np.argsort(np.where(np.isnan(values), -np.inf, values), kind="stable")
        chosen = found[order[::-1] if newest_first else order][skip : skip + limit]
        return [int(s) for s in seq[chosen]], count, len(found) > skip + limit

    def _text_mask(self, names: tuple[str, ...], rows: slice, check: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
        mask = np.zeros(rows.stop - rows.start, dtype=bool)
        for name in names:
            hits = np.asarray([check(text) for text in self.calls.words[name].texts])
            if hits.any():
                mask |= hits[self.calls.codes[name][rows]]
        return mask


def run_of(call: Call) -> str:
    """What groups a call with others: its run, or the trace it belongs to."""
    return call.run_id or call.trace_id


def _run(call: Call) -> int:
    return hash(run_of(call))


def _texts(call: Call, fingerprint: str) -> tuple[str, ...]:
    return (
        call.kind, call.provider, call.model, call.server_id, call.tool_name, call.outcome,
        call.error_type or call.error_kind or "", label_text(call.labels) if call.labels else "", call.service,
        call.operation, call.finish_reason or "", call.app_version, call.agent, call.session_id, call.user_id,
        fingerprint,
    )  # fmt: skip


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _numbers(call: Call) -> tuple[float, ...]:
    return (
        call.time, call.duration_seconds, np.nan if call.cost_usd is None else float(call.cost_usd),
        _number(call.first_token_seconds), call.wait_seconds, call.attempts, _number(call.input_tokens),
        _number(call.cached_tokens), _number(call.output_tokens), _number(call.reasoning_tokens),
        call.is_reported, call.is_unpriced, call.is_usage_missing,
    )  # fmt: skip


def _requests(call: Call, attempts: Sequence[CallAttempt]) -> Iterable[tuple[tuple[str, ...], tuple[float, ...]]]:
    """The requests of a call; where only their number is known, the last one ended as the call did."""
    if call.kind != "llm":
        return
    about = (call.service, call.app_version)
    if not attempts:
        if call.attempts:
            texts = (call.provider, call.model, call.outcome, call.error_type or "", *about)
            yield texts, (call.time + call.duration_seconds, call.duration_seconds)
        return
    for attempt in attempts:
        texts = (call.provider, call.model, attempt.outcome or "", attempt.error_type or "", *about)
        yield texts, (call.time + attempt.start_offset + attempt.duration_seconds, attempt.duration_seconds)
