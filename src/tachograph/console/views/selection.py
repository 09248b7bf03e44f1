"""The calls that a question is about: a range and a filter, out of what the console keeps and what the ledger sums."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tachograph.console.columns import REQUEST_NUMBERS, REQUEST_TEXTS, Filter
from tachograph.console.facts import Facts

if TYPE_CHECKING:
    from tachograph.console.console import Console

HOUR: Final = 3600.0


@dataclass(slots=True)
class TimeRange:
    """Seconds since 1970."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    @property
    def before(self) -> TimeRange:
        """The range of the same length before this one."""
        return TimeRange(self.start - self.seconds, self.start)


@dataclass(slots=True)
class Selection:
    """LLM calls, their requests and tool executions of a range.

    Attributes:
        first: When the first call that is known at all began; `inf` when there is none.
        known_since: From when on the answer is whole: the range's start, or later.
        from_ledger: Whether a part comes from the ledger's hourly sums.
    """

    start: float
    end: float
    llm: Facts
    requests: Facts
    tools: Facts
    first: float
    known_since: float
    from_ledger: bool = False
    filter: Filter = field(default_factory=Filter)


def filter_of(fields: Mapping[str, str | tuple[str, ...]]) -> Filter:
    """A filter by texts; values separated by `|` or `~` mean any of them."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in fields.items():
        values = tuple(value) if not isinstance(value, str) else tuple(v for v in value.replace("~", "|").split("|"))
        if any(values):
            found[name] = values
    return Filter(fields=found)


def select(console: Console, chosen: TimeRange, wanted: Filter | None = None) -> Selection:
    """Gather the calls of a range.

    Calls that began in the range count. What is older than the calls kept here comes from the ledger, by the hour.
    """
    wanted = replace(wanted or Filter(), time=(chosen.start, chosen.end))
    calls, requests = console.calls.facts(wanted)
    kept = console.calls.kept_since()
    first = kept if kept is not None else float("inf")
    known = chosen.start
    from_ledger = False
    if kept is None or chosen.start < kept:
        known = min(max(chosen.start, console.started if kept is None else kept), chosen.end)
        older = _older(console, chosen, kept, wanted)
        if older is not None:
            sums, sent, known, first = older
            from_ledger = len(sums) > 0
            calls, requests = calls.joined(sums), requests.joined(sent)
    return Selection(
        chosen.start,
        chosen.end,
        calls.where(kind="llm"),
        requests,
        calls.where(kind="tool"),
        first,
        known,
        from_ledger,
        wanted,
    )


def _older(
    console: Console, chosen: TimeRange, kept: float | None, wanted: Filter
) -> tuple[Facts, Facts, float, float] | None:
    """The ledger's sums of the time before the calls that are kept here, where a filter does not ask for more."""
    if console.ledger is None or wanted.labels or wanted.text or wanted.run:
        return None
    if any(name not in ("kind", "provider", "model", "outcome", "error") for name in wanted.fields):
        return None
    until = min(chosen.end, time.time() if kept is None else kept)
    until = until // HOUR * HOUR
    if until <= chosen.start:
        return None
    found = console.ledger.history(chosen.start // HOUR * HOUR, until)
    if found is None:
        return None
    sums, first = found
    sums = sums.where(**wanted.fields)
    llm = sums.where(kind="llm")
    requests = Facts(
        {name: llm.codes.get(name, llm.codes["provider"] * 0) for name in REQUEST_TEXTS},
        {name: llm.words.get(name, [""]) for name in REQUEST_TEXTS},
        {name: llm.numbers[name] for name in REQUEST_NUMBERS},
        llm.numbers["attempts"].copy(),
        llm.seq,
        llm.run,
        llm.spread,
    )
    return sums, requests, max(chosen.start, min(first, until)), first
