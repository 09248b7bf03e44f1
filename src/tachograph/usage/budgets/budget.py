"""One budget with its accounts, and a call that it cannot pay for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tachograph.errors import BudgetExceededError
from tachograph.usage.budgets.accounts import AccountRow, Accounts, NoPlace, Slot
from tachograph.usage.budgets.scope import ONLY_ACCOUNT, Scope

if TYPE_CHECKING:
    from tachograph.usage.reports.forecast import Pace

logger = logging.getLogger("tachograph")

_RETRY_SECONDS: Final = 0.25


class Budget:
    """One budget and its accounts."""

    __slots__ = ("accounts", "has_looked_for_price", "own", "pace", "scope", "warned")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.accounts: Accounts | None = None
        self.own: Accounts | None = None
        self.pace: Pace | None = None
        self.warned: dict[int, int] = {}
        self.has_looked_for_price = False

    def row(self, key: int, now: float) -> tuple[AccountRow, bool]:
        """The account of a key, and whether it is the one that all processes share."""
        accounts = self.accounts
        if accounts is not None:
            try:
                row = accounts.row(key, now)
            except (NoPlace, OSError) as error:
                logger.debug("tachograph: the budget %s: %s", self.scope.limit.name, error)
            else:
                return row, True
        if self.own is None:
            self.own = Accounts("", self.scope.window, Slot(None), 1)
        return self.own.row(ONLY_ACCOUNT, now), False

    def rows(self, now: float) -> list[AccountRow]:
        """Every account in use."""
        if not self.scope.per:
            return [self.row(ONLY_ACCOUNT, now)[0]]
        rows = self.accounts.all_rows() if self.accounts is not None else []
        return rows + ([self.own.row(ONLY_ACCOUNT, now)] if self.own is not None else [])


@dataclass(slots=True)
class Refusal:
    """What a budget says to a call that it cannot pay for, in nano-dollars."""

    budget: Budget
    key: int
    spent: int
    reserved: int
    nano: int
    limit: int
    is_unchecked: bool

    def error(self, now: float) -> BudgetExceededError:
        """The message that the application gets."""
        limit = self.budget.scope.limit
        fits = self.spent + self.nano <= self.budget.scope.limit_nano
        return BudgetExceededError(
            self.budget.scope.account(self.key),
            limit.usd,
            in_usd(self.spent),
            self.budget.scope.window.bounds(now)[1],
            reserved_usd=in_usd(self.reserved),
            needs_usd=in_usd(self.nano),
            retry_after_seconds=_RETRY_SECONDS if fits or self.is_unchecked else None,
            is_unchecked=self.is_unchecked,
        )


def in_usd(nano: int) -> Decimal:
    """Nano-dollars in US dollars, exact."""
    return Decimal(nano).scaleb(-9)
