"""Settings of budgets."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec


class BudgetLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One budget: so many US dollars a day or a month (UTC), for everything or for a part of it.

    Attributes:
        name: What it is called in gauges, alerts and errors.
        usd: The limit.
        period: `day` or `month`.
        provider, model: Only calls of this provider, of this requested model.
        labels: Only calls with all of these labels of yours.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    usd: Annotated[Decimal, msgspec.Meta()]
    period: Literal["day", "month"] = "day"
    provider: str | None = None
    model: str | None = None
    labels: dict[str, str] = {}


class BudgetsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of money, shown as gauges and, on demand, kept by refusing calls.

    Attributes:
        limits: The budgets, as `[[tool.tachograph.budgets.limits]]` tables.
        guard: Refuse calls when a budget is spent: never (`off`), those of our engine (`engine`), or those of watched
            clients too (`all`).
        refresh_seconds: How often the sums are read from the ledger; what this process spends counts at once.
    """

    limits: tuple[BudgetLimit, ...] = ()
    guard: Literal["off", "engine", "all"] = "off"
    refresh_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 15.0
