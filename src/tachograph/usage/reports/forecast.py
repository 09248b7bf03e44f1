"""Where the money is heading: one formula for the report, the console, the budgets' gauges and the alert.

The last whole hours are cut into days, seven at most. Their mean is the pace and their scatter gives the range: with
probability 0.8 the sum comes to lie between `low_usd` and `high_usd`, if days go on to differ as they did. Under a day
of data it is too early to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf, sqrt
from statistics import fmean, stdev
from typing import Any, Final

from tachograph.usage.reports.forms import money
from tachograph.usage.reports.report import report
from tachograph.usage.stores.base import Store

MOST_DAYS: Final = 7
_HOUR: Final = 3600
_DAY: Final = 86400
_HALVINGS: Final = 40
_Z80: Final = 1.2816
"""Of the normal distribution: 80 % lie within so many standard deviations."""
TOO_EARLY: Final = "not possible yet: under a day of data"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a period comes to, in US dollars."""

    low_usd: float
    likely_usd: float
    high_usd: float


@dataclass(frozen=True, slots=True)
class Pace:
    """What a day costs, in nano-dollars: mean and standard deviation of the last `days` days."""

    mean: float
    spread: float
    days: int

    def expected(self, spent: int, days_left: float) -> Expected:
        """What a period comes to of which this much is spent and this much time is left."""
        # the days to come scatter, and the mean is only known to spread / sqrt(days)
        apart = _Z80 * self.spread * sqrt(days_left + days_left**2 / self.days)
        likely = spent + self.mean * days_left
        return Expected(max(spent, likely - apart) / 1e9, likely / 1e9, (likely + apart) / 1e9)

    def seconds_left(self, spent: int, limit: int, days_left: float) -> tuple[float, float]:
        """In how many seconds a limit is reached: likely, and at the earliest (the range's upper end).

        Args:
            days_left: Until the period ends. What is not reached by then is infinitely far.
        """
        return self._reached(spent, limit, days_left, "likely_usd"), self._reached(spent, limit, days_left, "high_usd")

    def _reached(self, spent: int, limit: int, days_left: float, bound: str) -> float:
        def is_reached(days: float) -> bool:
            found: float = getattr(self.expected(spent, days), bound)
            return found >= limit / 1e9

        if not is_reached(days_left):
            return inf
        early, late = 0.0, days_left
        for _ in range(_HALVINGS):
            middle = (early + late) / 2
            early, late = (early, middle) if is_reached(middle) else (middle, late)
        return late * _DAY


@dataclass(frozen=True, slots=True)
class Forecast:
    """What has been spent, and what the day and the month (UTC) come to.

    Attributes:
        day_spent_usd, month_spent_usd: Since midnight and since the first of the month, exact.
        days: Whole days of data that the forecast rests on.
        day, month: None: too early to say.
    """

    at: datetime
    day_spent_usd: Decimal
    month_spent_usd: Decimal
    days: int
    day: Expected | None
    month: Expected | None


def bounds(now: datetime) -> tuple[datetime, datetime, datetime, datetime]:
    """Beginning and end of the day and of the month, UTC."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    month = day.replace(day=1)
    return day, day + timedelta(days=1), month, (month + timedelta(days=32)).replace(day=1)


def reading_since(now: datetime) -> datetime:
    """From when on `heading` takes the hours into account."""
    return min(bounds(now)[2], now - timedelta(days=MOST_DAYS, hours=1))


def heading(hours: Mapping[int, int], now: datetime) -> Forecast:
    """Forecast from what was spent in each hour.

    Args:
        hours: Nano-dollars by the hour's beginning (seconds since the epoch), since `reading_since(now)`; hours with
            calls that cost nothing included, others left out.
        now: UTC.
    """
    day, day_end, month, month_end = bounds(now)
    spent_day = sum(nano for hour, nano in hours.items() if hour >= day.timestamp())
    spent_month = sum(nano for hour, nano in hours.items() if hour >= month.timestamp())
    pace = pace_of(hours, now)
    expected = [
        None if pace is None else pace.expected(spent, (end - now).total_seconds() / _DAY)
        for spent, end in ((spent_day, day_end), (spent_month, month_end))
    ]
    exact = [Decimal(nano).scaleb(-9) for nano in (spent_day, spent_month)]
    return Forecast(now, exact[0], exact[1], 0 if pace is None else pace.days, expected[0], expected[1])


def pace_of(hours: Mapping[int, int], now: datetime) -> Pace | None:
    """The pace of the last whole days, seven at most; None under a day of data. `hours` as of `heading`."""
    until = int(now.timestamp()) // _HOUR * _HOUR
    first = max(min(hours, default=until), until - MOST_DAYS * 24 * _HOUR)
    days = (until - first) // (24 * _HOUR)
    return Pace(*_pace(hours, until, days), days) if days >= 1 else None


def _pace(hours: Mapping[int, int], until: int, days: int) -> tuple[float, float]:
    """Mean and standard deviation of a day, in nano-dollars."""
    sums = [0.0] * days
    for hour, nano in hours.items():
        back = (until - hour - 1) // (24 * _HOUR)
        if hour < until and back < days:
            sums[back] += nano
    if days > 1:
        return fmean(sums), stdev(sums)
    single = [float(hours.get(until - (back + 1) * _HOUR, 0)) for back in range(24)]
    return sums[0], stdev(single) * sqrt(24)


def as_fields(ahead: Forecast) -> dict[str, Any]:
    """For programs: sums exact, forecasts to the cent, null where it is too early to say."""
    fields: dict[str, Any] = {
        "days": ahead.days,
        "day_spent_usd": f"{ahead.day_spent_usd:f}",
        "month_spent_usd": f"{ahead.month_spent_usd:f}",
    }
    for name, expected in (("day", ahead.day), ("month", ahead.month)):
        for bound in ("low", "likely", "high"):
            value = None if expected is None else f"{getattr(expected, f'{bound}_usd'):.4f}"
            fields[f"{name}_{bound}_usd" if bound != "likely" else f"{name}_usd"] = value
    return fields


def in_words(ahead: Forecast) -> str:
    """The month in one sentence."""
    spent = money(ahead.month_spent_usd)
    if ahead.month is None:
        return f"This month {spent}. A forecast is {TOO_EARLY}."
    low, likely, high = (money(Decimal(str(v))) for v in (ahead.month.low_usd, ahead.month.likely_usd,
                                                         ahead.month.high_usd))  # fmt: skip
    return f"This month {spent}; at the pace of {ahead.days} days it comes to {likely} ({low} to {high})."


def forecast(store: Store, *, now: datetime, where: Mapping[str, Sequence[str]] | None = None) -> Forecast:
    """Forecast the day and the month from what the ledger holds."""
    return heading(hours_of(store, now=now, where=where), now)


def hours_of(store: Store, *, now: datetime, where: Mapping[str, Sequence[str]] | None = None) -> dict[int, int]:
    """What the ledger's hours cost, as `heading` and `pace_of` want it."""
    asked = {"kind": ("llm",), **(where or {})}  # tool calls cost nothing, and are no data about cost
    found = report(store, since=reading_since(now), until=now, by=("hour",), where=asked, latency=False)
    return {int(line.key[0].timestamp()): line.cost_nano_usd for line in found.lines}
