"""Times as people give them: `7d` ago, a date, `today`, `month`. All UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tachograph.errors import TachographError
from tachograph.usage.stores.query import HOUR_US, Query

if TYPE_CHECKING:
    from tachograph.usage.stores.base import Store

_AGO = re.compile(r"^(\d+(?:\.\d+)?)\s*(m|h|d|w)$")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def moment(text: str, *, now: datetime, where: str = "--since") -> datetime:
    """The moment that a text means.

    Args:
        text: `90m`, `24h`, `7d`, `2w` ago; `2026-11-01` or `2026-11-01T12:00`; `today`, `yesterday`, `month`, `now`.
        now: Aware, to count from.

    Raises:
        TachographError: It means no moment.
    """
    text = text.strip()
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    words = {
        "now": now,
        "today": today,
        "yesterday": today - timedelta(days=1),
        "month": today.replace(day=1),
    }
    if text in words:
        return words[text]
    ago = _AGO.match(text)
    if ago:
        try:
            return now - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        except OverflowError:
            raise TachographError(
                f"{text!r} lies before the calendar begins", where=where, do="Give a smaller age, or a date."
            ) from None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise TachographError(
            f"{text!r} is not a time",
            where=where,
            do="Give an age (90m, 24h, 7d), a date (2026-11-01), a time (2026-11-01T12:00), today, yesterday or month.",
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def microseconds(at: datetime) -> int:
    """Microseconds since the epoch, exact."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def from_microseconds(us: int) -> datetime:
    """The moment of these microseconds since the epoch."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def rows_begin(store: Store, since: datetime, until: datetime) -> datetime | None:
    """From when on the ledger has rows of this time, where older ones were removed after `ledger.keep_rows_days`."""
    since_us, until_us = microseconds(since), microseconds(until)
    rows = store.extent("rows", until_us)
    oldest_us = until_us if rows is None else rows[0]
    known_until_us = oldest_us // HOUR_US * HOUR_US
    if known_until_us <= since_us or not any(
        int(row["n"] or 0) for row in store.usage(Query(since_us, known_until_us))
    ):
        return None
    return from_microseconds(oldest_us)
