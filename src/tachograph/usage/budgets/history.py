"""What was spent beyond the files of this host, and at which pace: read from the ledger now and then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tachograph.usage.budgets.accounts import AccountRow, Slot
from tachograph.usage.budgets.budget import Budget
from tachograph.usage.budgets.scope import ONLY_ACCOUNT, Scope
from tachograph.usage.reports.forecast import hours_of, pace_of
from tachograph.usage.stores.query import Query

if TYPE_CHECKING:
    from tachograph.usage.budgets.fleet import Fleet
    from tachograph.usage.ledger import Ledger
    from tachograph.usage.stores.base import Store

_FORECAST_SECONDS: Final = 300.0


class History:
    """Raises accounts to what the ledger says. It never lowers a sum.

    Args:
        fleet: Where the sums of all hosts are; None: this host alone.
    """

    def __init__(self, fleet: Fleet | None) -> None:
        self._fleet = fleet
        self._looked_ahead_at = 0.0

    def read(self, budgets: Sequence[Budget], ledger: Ledger, slot: Slot, now: float) -> None:
        """Read the ledger.

        Args:
            slot: This process's, in the host's files.

        Raises:
            StoreError: The ledger's store does not answer; the sums stay as they are.
        """
        store = ledger.open_store(read_only=True)
        try:
            if now - self._looked_ahead_at >= _FORECAST_SECONDS or now < self._looked_ahead_at:
                self._looked_ahead_at = now
                _look_ahead(budgets, store, now)
            for budget in budgets:
                scope, accounts = budget.scope, budget.accounts
                if accounts is None:
                    continue
                keys = [key for key in scope.values if key in accounts.known()] if scope.per else [ONLY_ACCOUNT]
                begins, _ = scope.window.bounds(now)
                lag = 0.0 if self._fleet is None else self._fleet.lag_seconds
                for key in keys:
                    query = Query(
                        int(begins.timestamp() * 1e6),
                        int((now - lag) * 1e6) if lag else 253_402_300_800_000_000,
                        where=scope.where(key),
                        raw=scope.window.kind == "rolling" or lag > 0,
                    )
                    nano = sum(int(row["cost_nusd"] or 0) for row in store.usage(query))
                    self._raise(slot, scope, accounts.row(key, now), nano, now)
        finally:
            store.close()

    def _raise(self, slot: Slot, scope: Scope, row: AccountRow, nano: int, now: float) -> None:
        number = scope.window.number(now)
        if self._fleet is not None:
            self._fleet.raise_base(scope, row, nano, now)
        elif nano > row.spent(number):
            with slot.of_the_dead(0) as is_ours:
                if is_ours:
                    row.raise_base(nano, number)


def _look_ahead(budgets: Sequence[Budget], store: Store, now: float) -> None:
    """Read each budget's pace; not of budgets per value, whose accounts are many."""
    moment = datetime.fromtimestamp(now, UTC)
    for budget in budgets:
        if not budget.scope.per:
            budget.pace = pace_of(hours_of(store, now=moment, where=budget.scope.where(ONLY_ACCOUNT)), moment)
