"""Calls that an application gives up while a provider or a server hangs: cancelled, long, and no success among them.

Nothing fails there, so this is what shows the trouble; by the same measure as LLMCallsGivenUp and MCPCallsGivenUp.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from tachograph.console.facts import Facts
from tachograph.console.views.selection import HOUR, Selection

if TYPE_CHECKING:
    from tachograph.console.console import Console

LEAST: Final = 3
MANY: Final = 20
"""So many are enough when they last longer than an answer; fewer must last twice as long."""
_LONG_SECONDS: Final = 5.0
"""What counts as the length of an answer where none came in the hour before."""
_BY: Final = {"llm": ("provider", "model"), "tool": ("server_id",)}


@dataclass(slots=True)
class GivenUp:
    """The newest stretch of such calls of one model or server.

    Attributes:
        calls: Those that began in the range.
        since: When the first of the stretch began: before the range, where it was under way then.
        over: Whether a call has succeeded since.
        usual: Mean seconds of the answers in the hour before; None where there were none.
    """

    kind: str
    who: str
    model: str
    calls: Facts
    since: float
    over: bool
    usual: float | None


def given_up(console: Console, here: Selection) -> list[GivenUp]:
    """Models and servers whose calls were given up in the range."""
    if max(one.where(outcome="cancelled").count for one in (here.llm, here.tools)) < LEAST:
        return []
    longer = replace(here.filter, time=(here.start - HOUR, here.end))
    calls, _ = console.calls.facts(longer)
    return [one for kind in _BY for one in _of_kind(calls.where(kind=kind), kind, here.start)]


def marks(found: list[GivenUp], facts: Facts) -> npt.NDArray[np.bool_]:
    """Which rows are among them."""
    own = [one.calls.seq for one in found]
    return np.isin(facts.seq, np.concatenate(own)) if own else np.zeros(len(facts), dtype=bool)


def _of_kind(calls: Facts, kind: str, start: float) -> Iterator[GivenUp]:
    groups, index = calls.group(_BY[kind])
    often = np.bincount(index, calls.mask(outcome="cancelled"), len(groups))
    for number in np.flatnonzero(often >= LEAST).tolist():
        one = _newest(calls.take(index == number), start)
        if one is not None:
            chosen, since, over, usual = one
            yield GivenUp(
                kind, groups[number][_BY[kind][0]], groups[number].get("model", ""), chosen, since, over, usual
            )


def _newest(own: Facts, start: float) -> tuple[Facts, float, bool, float | None] | None:
    """The newest stretch between two successes that is long and has enough, as far as it is in the range."""
    begins, lasted = own.numbers["time"], np.nan_to_num(own.numbers["duration"])
    order = np.argsort(begins + lasted, kind="stable")
    success, cancelled = own.mask(outcome="success")[order], own.mask(outcome="cancelled")[order]
    stretch = np.cumsum(success)
    counts = np.bincount(stretch, cancelled)
    for number in np.flatnonzero(counts >= LEAST)[::-1].tolist():
        rows = order[cancelled & (stretch == number)]
        since = float(begins[rows].min())
        answers = order[success & (stretch <= number)]
        answers = answers[begins[answers] >= since - HOUR]
        usual = float(lasted[answers].mean()) if len(answers) else None
        long = (_LONG_SECONDS if usual is None else usual) * (1 if counts[number] >= MANY else 2)
        inside = np.isin(np.arange(len(own)), rows[begins[rows] >= start])
        if lasted[rows].mean() > long and inside.any():
            return own.take(inside), since, number < int(stretch[-1]), usual
    return None
