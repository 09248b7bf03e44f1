"""Settings of budgets."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class BudgetLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One budget: so many US dollars over a time, for everything or for a part of it.

    Attributes:
        name: What it is called in gauges, alerts and errors.
        usd: The limit.
        period: `hour`, `day`, `week`, `month` (calendar, UTC), `total` (never resets), or a rolling time: `90m`, `24h`,
            `7d`.
        provider, model, agent, user, session, run, execution: Only calls of this provider, of this requested model, ...
        key: Only calls that this API key pays for: its last four characters, as `...wxyz`.
        labels: Only calls with all of these labels of yours.
        per: One budget for each value of these: `provider`, `model`, `agent`, `user`, `session`, `run`, `execution`,
            `key` (the API key), or `label:<name>`.
        action: What happens to a call that does not fit: it is refused (`refuse`), allowed with a warning (`warn`), or
            a function of yours decides (`ask`, see `budgets.ask`).
        use_model: Calls ask for this model instead, once `use_model_from` of the limit is spent or reserved.
        use_model_from: 0.8 is 80 %.
        steps: Parts of the limit at which an event is logged and counted.
    """

    name: Name
    usd: Annotated[Decimal, msgspec.Meta()]
    period: str = "day"
    provider: str | None = None
    model: str | None = None
    agent: str | None = None
    user: str | None = None
    session: str | None = None
    run: str | None = None
    execution: str | None = None
    key: str | None = None
    labels: dict[str, str] = {}
    per: tuple[str, ...] = ()
    action: Literal["refuse", "warn", "ask"] = "refuse"
    use_model: str | None = None
    use_model_from: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.8
    steps: tuple[Annotated[float, msgspec.Meta(gt=0, le=10)], ...] = (0.5, 0.8, 1.0)


class BudgetsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of money, shown as gauges and, on demand, kept by refusing calls.

    Attributes:
        limits: The budgets, as `[[tool.tachograph.budgets.limits]]` tables.
        guard: Refuse calls that a budget cannot pay: never (`off`), those of our engine (`engine`), or those of watched
            clients too (`all`).
        when_store_is_away: What happens to calls whose budget cannot be checked (the files or the fleet's store do not
            answer): they are counted and allowed (`allow`), or refused (`refuse`).
        fleet_url: The PostgreSQL database through which hosts share budgets; that of `ledger.url` where it is one,
            `none` for budgets of each host alone.
        ask: Your function for budgets with `action = "ask"`, as `package.module:function`. It takes a
            `tachograph.BudgetRequest` and returns True (allow), False (refuse) or the name of a model to use instead.
        refresh_seconds: How often the ledger is read for what was spent by processes that share no budget files.
    """

    limits: tuple[BudgetLimit, ...] = ()
    guard: Literal["off", "engine", "all"] = "off"
    when_store_is_away: Literal["allow", "refuse"] = "allow"
    fleet_url: str | None = None
    ask: str | None = None
    refresh_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 15.0
