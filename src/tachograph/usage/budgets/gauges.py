"""What budgets show: limit, spent, reserved, and where they are heading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tachograph.usage.budgets.accounts import AccountRow
from tachograph.usage.budgets.budget import Budget, in_usd
from tachograph.usage.metrics.families import (
    BUDGET_FORECAST,
    BUDGET_LEFT,
    BUDGET_LIMIT,
    BUDGET_RESERVED,
    BUDGET_SPENT,
)

if TYPE_CHECKING:
    from tachograph.signals.registry import Metrics
    from tachograph.usage.reports.forecast import Pace

_MOST_DAYS_AHEAD: Final = 3660.0

SpentOf = Callable[[AccountRow, int], int]
"""Nano-dollars that an account has spent in a period, by its number."""


def show(metrics: Metrics, budgets: Sequence[Budget], spent_of: SpentOf, now: float) -> None:
    """Set the gauges. Of a budget per value, the account that has spent the most."""
    for budget in budgets:
        limit, number = budget.scope.limit, budget.scope.window.number(now)
        rows = budget.rows(now)
        spent, reserved = max(((spent_of(row, number), row.reserved()) for row in rows), default=(0, 0))
        labels = limit.name, budget.scope.window.kind
        metrics.cell(BUDGET_LIMIT, *labels).set(float(limit.usd))
        metrics.cell(BUDGET_SPENT, *labels).set(spent / 1e9)
        metrics.cell(BUDGET_RESERVED, *labels).set(reserved / 1e9)
        if budget.pace is not None:
            _show_ahead(metrics, budget, budget.pace, spent, now)


def _show_ahead(metrics: Metrics, budget: Budget, pace: Pace, spent: int, now: float) -> None:
    """Where the budget is heading. A rolling window has no end: what leaves it makes room at the same pace."""
    window = budget.scope.window
    labels = budget.scope.limit.name, window.kind
    begins, ends = (moment.timestamp() for moment in window.bounds(now))
    days_left = (ends - now) / 86400
    if window.kind == "rolling":
        days_left = (ends - begins) / 86400
        pace = replace(pace, mean=pace.mean - spent / days_left)
    elif window.kind != "total":
        expected = pace.expected(spent, days_left)
        for bound in ("low", "likely", "high"):
            metrics.cell(BUDGET_FORECAST, *labels, bound).set(getattr(expected, f"{bound}_usd"))
    likely, earliest = pace.seconds_left(spent, budget.scope.limit_nano, min(days_left, _MOST_DAYS_AHEAD))
    metrics.cell(BUDGET_LEFT, *labels, "likely").set(likely)
    metrics.cell(BUDGET_LEFT, *labels, "earliest").set(earliest)


def balances(
    budgets: Sequence[Budget], spent_of: SpentOf, now: float
) -> list[tuple[str, str, Decimal, Decimal, Decimal]]:
    """Every account in use: its name, its period, limit, spent and reserved, in US dollars."""
    found = []
    for budget in budgets:
        scope, number = budget.scope, budget.scope.window.number(now)
        for row in budget.rows(now):
            sums = in_usd(spent_of(row, number)), in_usd(row.reserved())
            found.append((scope.account(row.accounts.key_of(row)), scope.limit.period, scope.limit.usd, *sums))
    return found
