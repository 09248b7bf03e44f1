"""Removing what is too old, without trusting the clock alone: a clock that jumps ahead would make everything too old.

The wall clock has to agree with the monotonic clock since the last run, and with the newest rows from before the last
day: where a year lies between those rows and now, either nothing ran for a year or the clock is wrong. Rows of the
last day prove nothing, since the same clock has stamped them. In doubt nothing is removed until this process has seen
the clock agree for a day. Each run says what it removes before it does, and removes a bounded share.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from tachograph.usage.stores.query import DAY_US

if TYPE_CHECKING:
    from tachograph.usage.stores.base import Store

logger = logging.getLogger("tachograph")

_AGREE_SECONDS: Final = 300.0
_SHARE: Final = 10
"""A run removes at most this part (a tenth) of the time that the rows span, or a day's rows if that is more."""


def _monotonic() -> float:
    """Seconds that go on while the machine sleeps, where the system has such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Retention:
    """Removes rows and rollups that are older than they are kept.

    Args:
        keep_days: Days by level: `rows`, `hour`, `day`.
        jumped: Called when wall clock and monotonic clock disagree.
        wall, monotonic: The clocks, in seconds.
    """

    def __init__(
        self,
        keep_days: Mapping[str, int],
        jumped: Callable[[], None] = lambda: None,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = _monotonic,
    ) -> None:
        self._keep_days = keep_days
        self._jumped = jumped
        self._wall, self._monotonic = wall, monotonic
        self._start()

    def _start(self) -> None:
        self._wall_at, self._monotonic_at = self._wall(), self._monotonic()

    def run(self, store: Store) -> int:
        """Remove what is too old; returns how many rows went."""
        wall, elapsed = self._wall(), self._monotonic() - self._monotonic_at
        ahead = wall - self._wall_at - elapsed
        if abs(ahead) > _AGREE_SECONDS:
            logger.warning(
                "tachograph: the clock was moved by %+.0f s; the ledger removes nothing old until it has run "
                "steadily for a day, or agrees with the rows of yesterday",
                ahead,
            )
            self._jumped()
            self._start()
            return 0
        now_us = int(wall * 1e6)
        before = {}
        for level, days in self._keep_days.items():
            cutoff = self._cutoff(store, level, days, now_us, is_steady=elapsed * 1e6 >= DAY_US)
            if cutoff is not None:
                before[level] = cutoff
        return store.retain(before) if before else 0

    def _cutoff(self, store: Store, level: str, days: int, now_us: int, *, is_steady: bool) -> int | None:
        """Remove what is older than this; None for nothing."""
        found = store.extent(level, now_us - DAY_US)
        if found is None:
            return None
        oldest, newest = found
        cutoff = min(now_us - days * DAY_US, oldest + max(DAY_US, (newest - oldest) // _SHARE))
        if oldest >= cutoff:
            return None
        if not is_steady and now_us - newest > 2 * DAY_US + days * DAY_US // _SHARE:
            logger.info(
                "tachograph: the newest %s before today are %d days old: the ledger removes none until the clock has "
                "run steadily for a day",
                level,
                (now_us - newest) // DAY_US,
            )
            return None
        text = time.strftime("%Y-%m-%d %H:%M", time.gmtime(cutoff / 1e6))
        logger.info("tachograph: the ledger removes %s from before %s UTC (kept for %d days)", level, text, days)
        return cutoff
