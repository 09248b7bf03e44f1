"""Where the money is heading: spent this day and month, and what they come to at the present pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tachograph.usage.reports.report import report
from tachograph.usage.stores.base import Store

PACE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Forecast:
    """US dollars, exact sums and a straight line on.

    Attributes:
        day_spent_usd, month_spent_usd: Since midnight and since the first of the month (UTC).
        per_day_usd: The pace: the mean of the last seven days, or of as long as there is anything.
        day_usd, month_usd: What the day and the month come to at that pace.
    """

    at: datetime
    day_spent_usd: Decimal
    month_spent_usd: Decimal
    per_day_usd: Decimal
    day_usd: Decimal
    month_usd: Decimal


def forecast(store: Store, *, now: datetime, where: Mapping[str, Sequence[str]] | None = None) -> Forecast:
    """Forecast the day and the month from what the ledger holds."""
    now = now.astimezone(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = day.replace(day=1)
    month_end = (month + timedelta(days=32)).replace(day=1)
    recent = report(store, since=now - PACE, until=now, by=("hour",), where=where, latency=False)
    first = min((line.key[0] for line in recent.lines), default=now)
    known = max(min(now - max(first, now - PACE), PACE), timedelta(hours=1))
    pace = recent.total.cost_usd / Decimal(known.total_seconds()) * 86400
    spent_today = report(store, since=day, until=now, where=where, latency=False).total.cost_usd
    spent_month = report(store, since=month, until=now, where=where, latency=False).total.cost_usd
    rest_of_day = Decimal((day + timedelta(days=1) - now).total_seconds()) / 86400
    rest_of_month = Decimal((month_end - now).total_seconds()) / 86400
    return Forecast(
        now, spent_today, spent_month, pace, spent_today + pace * rest_of_day, spent_month + pace * rest_of_month
    )
