"""The errors of ours that a user can meet: each says what is wrong, where, and what to do."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal


class TachographError(Exception):
    """Something a user can put right.

    Args:
        what: What is wrong, as a sentence.
        where: The file, setting, address or argument it was found in.
        do: What to do about it.
    """

    def __init__(self, what: str, *, where: str | None = None, do: str | None = None) -> None:
        self.what = what
        self.where = where
        self.do = do
        super().__init__(what, where, do)

    def __str__(self) -> str:
        text = self.what
        if self.where:
            text += f" (in {self.where})"
        if self.do:
            text += f". {self.do}"
        return text


class SettingsError(TachographError):
    """A setting has a name or a value that is not allowed."""


class MissingExtraError(TachographError, ImportError):
    """An optional part was asked for whose packages are not installed."""

    def __init__(self, part: str, extra: str, missing: str) -> None:
        super().__init__(
            f"{part} needs the package {missing!r}, which is not installed",
            do=f"Install it: pip install 'tachograph[{extra}]'",
        )
        self.extra = extra


class BudgetExceededError(TachographError):
    """A call was refused before anything was sent, because the money of a budget is spent.

    Attributes:
        budget: Its name.
        limit_usd, spent_usd: US dollars.
        resets_at: When its next day or month begins, UTC.
    """

    def __init__(self, budget: str, limit_usd: Decimal, spent_usd: Decimal, resets_at: datetime) -> None:
        super().__init__(
            f"the budget {budget!r} is spent: ${spent_usd:.6f} of ${limit_usd}",
            where="setting budgets.limits",
            do=f"It begins anew at {resets_at:%Y-%m-%d %H:%M} UTC. Raise its limit, or set budgets.guard to off.",
        )
        self.budget = budget
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.resets_at = resets_at
