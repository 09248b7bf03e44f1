"""The time that a budget counts over: calendar periods in UTC, a rolling time, or all time.

A window is cut into buckets with ascending numbers. A calendar period is one bucket. A rolling window is 24 buckets and
the one that is being filled, so money leaves it up to 1/24 of its length late and never early.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

CALENDAR: Final = ("hour", "day", "week", "month", "total")
_ROLLING: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400}
_PARTS: Final = 24
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


class Window:
    """The window of one budget.

    Args:
        period: `hour`, `day`, `week`, `month`, `total`, or a rolling time: `90m`, `24h`, `7d`.

    Attributes:
        buckets: How many buckets count at once.
        kind: The period's word on metrics: the calendar period, or `rolling`.

    Raises:
        ValueError: The period is not one of these.
    """

    def __init__(self, period: str) -> None:
        self.period = period
        self._ends = self._begins = 0.0
        self._number = 0
        if period in CALENDAR:
            self.buckets, self.kind, self._width = 1, period, 0.0
            return
        rolling = _ROLLING.fullmatch(period)
        if rolling is None:
            raise ValueError(f"allowed: {', '.join(CALENDAR)}, or a rolling time such as 90m, 24h or 7d")
        self.buckets, self.kind = _PARTS + 1, "rolling"
        self._width = int(rolling[1]) * _SECONDS[rolling[2]] / _PARTS

    def number(self, now: float) -> int:
        """The bucket of this moment (seconds since the epoch)."""
        if self._width:
            return int(now // self._width)
        if not self._begins <= now < self._ends:
            begins, ends = self.bounds(now)
            number = 1 if self.period == "total" else int(begins.timestamp() // 3600)
            # the end last: other threads read without a lock
            self._ends, self._number, self._begins = 0.0, number, begins.timestamp()
            self._ends = ends.timestamp()
            return number
        return self._number

    def bounds(self, now: float) -> tuple[datetime, datetime]:
        """Since when money counts that is counted at this moment, and when the first of it stops counting, UTC."""
        if self._width:
            bucket = int(now // self._width)
            begins = datetime.fromtimestamp((bucket - _PARTS) * self._width, UTC)
            return begins, datetime.fromtimestamp((bucket + 1) * self._width, UTC)
        return calendar_bounds(self.period, datetime.fromtimestamp(now, UTC))


def calendar_bounds(period: str, now: datetime) -> tuple[datetime, datetime]:
    """Where the calendar period of this moment begins and ends, UTC."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if period == "hour":
        return hour, hour + timedelta(hours=1)
    day = hour.replace(hour=0)
    if period == "day":
        return day, day + timedelta(days=1)
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    if period == "month":
        month = day.replace(day=1)
        return month, (month + timedelta(days=32)).replace(day=1)
    return datetime.fromtimestamp(0, UTC), FOREVER
