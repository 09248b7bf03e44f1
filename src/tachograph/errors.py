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
    """A call was refused before anything was sent, because a budget cannot pay for it.

    Attributes:
        budget: Its name, and whose account of it where it is kept per value.
        limit_usd, spent_usd: US dollars.
        reserved_usd: What calls under way hold.
        needs_usd: The largest likely cost of the refused call.
        resets_at: When its period ends, UTC; of a rolling one, when the first of the money is free again.
        retry_after_seconds: When to try again: only reservations are in the way, and calls that end give back what
            they did not need. None: the money is spent.
        is_unchecked: Whether it was refused because the budget could not be checked.
    """

    def __init__(
        self,
        budget: str,
        limit_usd: Decimal,
        spent_usd: Decimal,
        resets_at: datetime,
        *,
        reserved_usd: Decimal = Decimal(0),
        needs_usd: Decimal = Decimal(0),
        retry_after_seconds: float | None = None,
        is_unchecked: bool = False,
    ) -> None:
        if is_unchecked:
            what = f"the budget {budget!r} cannot be checked now, and budgets.when_store_is_away is refuse"
            do = "Check that its directory can be written and that the fleet's store answers."
        elif retry_after_seconds is not None:
            what = (
                f"the budget {budget!r} has no room now for a call of up to ${needs_usd:.6f}: ${spent_usd:.6f} of "
                f"${limit_usd} are spent and ${reserved_usd:.6f} are reserved by calls under way"
            )
            do = f"Try again in {retry_after_seconds:g} s, ask for a smaller answer, or raise the limit."
        else:
            spent = f"${spent_usd:.6f} of ${limit_usd}"
            if spent_usd >= limit_usd:
                what = f"the budget {budget!r} is spent: {spent}"
            else:
                what = f"the budget {budget!r} cannot pay for a call of up to ${needs_usd:.6f}: {spent} are spent"
            end = "It never resets" if resets_at.year == 9999 else f"It resets at {resets_at:%Y-%m-%d %H:%M} UTC"
            do = f"{end}. Raise its limit, ask for a smaller answer, or set budgets.guard to off."
        super().__init__(what, where="setting budgets.limits", do=do)
        self.budget = budget
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = reserved_usd
        self.needs_usd = needs_usd
        self.resets_at = resets_at
        self.retry_after_seconds = retry_after_seconds
        self.is_unchecked = is_unchecked
