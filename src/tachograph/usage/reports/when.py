"""Times as people give them: `7d` ago, a date, `today`, `month`. All UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tachograph.errors import TachographError

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
            f"{text!r} is no time",
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
