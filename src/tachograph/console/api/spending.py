"""What was spent: sums by provider, model, label or day, over time, and where the day and the month are heading."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tachograph.console.store import BUCKET_SECONDS, CallStore
from tachograph.usage.reports.forecast import as_fields, heading, reading_since

NANO = Decimal(1_000_000_000)
MAX_GROUPS = 200
MAX_POINTS = 150

Row = tuple[int, str, str, str, int, int, int, int, int]


def usd(nano: int) -> str:
    """Write nano-dollars as exact dollars."""
    text = format(Decimal(nano) / NANO, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def key_of(by: str) -> Callable[[Row], str]:
    """Return what a row is grouped by.

    Raises:
        ValueError: `by` is not one of provider, model, day, label:KEY.
    """
    if by == "provider":
        return lambda row: row[1]
    if by == "model":
        return lambda row: row[2]
    if by == "day":
        return lambda row: datetime.fromtimestamp(row[0], UTC).strftime("%Y-%m-%d")
    if by.startswith("label:") and len(by) > 6:
        prefix = by[6:] + ":"
        return lambda row: next((p[len(prefix) :] for p in row[3].split("\n") if p.startswith(prefix)), "")
    raise ValueError(by)


def kept_sums(
    store: CallStore, start: float, end: float, wanted: Mapping[str, str] | None = None
) -> tuple[list[Row], int]:
    """The five-minute sums in [start, end), of one provider or model where `wanted` names it, and the width to draw."""
    chosen = wanted or {}
    rows = [
        row
        for row in store.spending(start, end)
        if chosen.get("provider", row[1]) == row[1] and chosen.get("model", row[2]) == row[2]
    ]
    width = BUCKET_SECONDS
    while (end - start) / width > MAX_POINTS:
        width *= 2 if width < 3600 else 3 if width == 3600 * 2 else 2
    return rows, width


def summarize(rows: Iterable[Row], width: int, by: str) -> dict[str, Any]:
    """Sum up spending, drawn in bars of `width` seconds.

    Raises:
        ValueError: `by` is not known.
    """
    key = key_of(by)
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    series: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    providers: dict[str, str] = {}
    for row in rows:
        group = key(row)
        if by in ("provider", "model"):
            providers.setdefault(group, row[1])
        for i in range(5):
            sums[group][i] += int(row[4 + i])
        series[group][row[0] // width * width] += row[7]
    ordered = sorted(sums, key=(lambda g: g) if by == "day" else (lambda g: (-sums[g][3], g)))
    groups = [
        {
            "key": group,
            "provider": providers.get(group, ""),
            "cost_usd": usd(sums[group][3]),
            "calls": sums[group][0],
            "input_tokens": sums[group][1],
            "output_tokens": sums[group][2],
            "unpriced_calls": sums[group][4],
            "series": [[bucket, nano / 1e9] for bucket, nano in sorted(series[group].items())],
        }
        for group in ordered[:MAX_GROUPS]
    ]
    calls = sum(s[0] for s in sums.values())
    unpriced = sum(s[4] for s in sums.values())
    return {
        "groups": groups,
        "total_usd": usd(sum(s[3] for s in sums.values())),
        "calls": calls,
        "unpriced_share": unpriced / calls if calls else 0.0,
        "step_seconds": width,
        "more_groups": max(len(ordered) - MAX_GROUPS, 0),
    }


def forecast(store: CallStore, now: float) -> dict[str, Any]:
    """Where the day and the month (UTC) are heading, by the report's formula."""
    moment = datetime.fromtimestamp(now, UTC)
    hours: dict[int, int] = defaultdict(int)
    for row in store.spending(reading_since(moment).timestamp(), (now // 3600 + 1) * 3600 - 1):
        hours[row[0] // 3600 * 3600] += row[7]
    return as_fields(heading(hours, moment))
