"""Budgets: what has been spent of each in its day or month, as gauges, and a guard that refuses calls when it is gone.

Spent is what the ledger holds (all processes that share its store) plus what this process has finished since that was
read. A call's cost is known when it ends, so calls under way when the money runs out still count: a budget can be
overspent by them, and by what other processes spend between two readings.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from tachograph.errors import BudgetExceededError
from tachograph.records import LLMCall, ToolCall
from tachograph.usage.metrics.families import BUDGET_LIMIT, BUDGET_SPENT

if TYPE_CHECKING:
    from tachograph.recorder import Recorder
    from tachograph.settings.budgets import BudgetLimit, BudgetsSettings
    from tachograph.usage.ledger import Ledger

logger = logging.getLogger("tachograph")


class _Budget:
    """One budget's running sum, in whole nano-dollars."""

    __slots__ = ("begins", "ends", "ledger_nano", "limit", "limit_nano", "own_nano")

    def __init__(self, limit: BudgetLimit) -> None:
        self.limit = limit
        self.limit_nano = int(limit.usd.scaleb(9))
        self.ledger_nano = 0
        self.own_nano = 0  # finished here and not yet in ledger_nano
        self.begins = self.ends = 0.0

    def covers(self, provider: str, model: str, labels: Mapping[str, str] | None) -> bool:
        """Whether a call of this kind is paid from it."""
        limit = self.limit
        if limit.provider is not None and limit.provider != provider:
            return False
        if limit.model is not None and limit.model != model:
            return False
        return not limit.labels or (labels is not None and limit.labels.items() <= labels.items())

    def roll(self, now: float) -> None:
        """Begin a new day or month when it has come."""
        if now < self.ends:
            return
        begins, ends = bounds(self.limit.period, datetime.fromtimestamp(now, UTC))
        self.begins, self.ends = begins.timestamp(), ends.timestamp()
        self.ledger_nano = self.own_nano = 0

    @property
    def spent_nano(self) -> int:
        return self.ledger_nano + self.own_nano


def bounds(period: str, now: datetime) -> tuple[datetime, datetime]:
    """Where the day or month of this moment begins and ends, UTC."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day, day + timedelta(days=1)
    month = day.replace(day=1)
    return month, (month + timedelta(days=32)).replace(day=1)


class Budgets:
    """All budgets of a process.

    Args:
        recorder: Its finished calls are counted, and its metrics carry the gauges.
        ledger: Where the sums of all processes come from; None counts this process alone.
    """

    def __init__(self, settings: BudgetsSettings, recorder: Recorder, ledger: Ledger | None) -> None:
        self._settings = settings
        self._recorder = recorder
        self._ledger = ledger
        self._lock = threading.Lock()
        self._budgets = [_Budget(limit) for limit in settings.limits]
        self._read_at = 0.0
        self._reading = False
        for budget in self._budgets:
            budget.roll(time.time())
        recorder.add_listener(self.count)
        recorder.metrics.before_collect(self.show)
        if settings.guard != "off":
            recorder.guard = self.check

    def count(self, record: LLMCall | ToolCall) -> None:
        """Count what a finished call cost; a listener of the recorder."""
        if (
            not isinstance(record, LLMCall)
            or record.cost is None
            or not record.cost.nano_usd
            or not record.counts_usage
        ):
            return
        now = time.time()
        with self._lock:
            for budget in self._budgets:
                budget.roll(now)
                if budget.covers(record.provider, record.model, record.labels):
                    budget.own_nano += record.cost.nano_usd

    def check(self, provider: str, model: str, labels: Mapping[str, str] | None, is_watched: bool) -> None:
        """Refuse a call that a spent budget would have to pay.

        Raises:
            BudgetExceededError: Before anything is sent.
        """
        if is_watched and self._settings.guard != "all":
            return
        now = time.time()
        self._read_now_and_then(now)
        for budget in self._budgets:
            if now >= budget.ends:
                with self._lock:
                    budget.roll(now)
            if budget.spent_nano >= budget.limit_nano and budget.covers(provider, model, labels):
                resets_at = datetime.fromtimestamp(budget.ends, UTC)
                spent = Decimal(budget.spent_nano).scaleb(-9)
                raise BudgetExceededError(budget.limit.name, budget.limit.usd, spent, resets_at)

    def show(self) -> None:
        """Set the gauges; before each collection."""
        now = time.time()
        self._read_now_and_then(now)
        metrics = self._recorder.metrics
        for budget in self._budgets:
            with self._lock:
                budget.roll(now)
            limit = budget.limit
            metrics.cell(BUDGET_LIMIT, limit.name, limit.period).set(float(limit.usd))
            metrics.cell(BUDGET_SPENT, limit.name, limit.period).set(budget.spent_nano / 1e9)

    def refresh(self) -> None:
        """Read the sums from the ledger now.

        Raises:
            StoreError: It does not answer; the sums stay as they were.
        """
        from tachograph.usage.stores.query import Query

        if self._ledger is None:
            return
        with self._lock:
            counted = [budget.own_nano for budget in self._budgets]  # all of this will be in the store after the flush
        self._ledger.flush(5.0)
        store = self._ledger.open_store(read_only=True)
        try:
            for budget, own in zip(self._budgets, counted, strict=True):
                where = {"kind": ("llm",)}
                limit = budget.limit
                if limit.provider is not None:
                    where["provider"] = (limit.provider,)
                if limit.model is not None:
                    where["model"] = (limit.model,)
                for name, value in limit.labels.items():
                    where[f"label:{name}"] = (value,)
                begins = budget.begins
                query = Query(int(begins * 1e6), int(budget.ends * 1e6), where=where)
                spent = sum(int(row["cost_nusd"] or 0) for row in store.usage(query))
                with self._lock:
                    if budget.begins == begins:
                        budget.ledger_nano = spent
                        budget.own_nano -= own
        finally:
            store.close()

    def _read_now_and_then(self, now: float) -> None:
        """Start reading the ledger in the background when the last reading is old; never waits."""
        if self._ledger is None or self._reading or now - self._read_at < self._settings.refresh_seconds:
            return
        with self._lock:
            if self._reading:
                return
            self._reading = True
        self._read_at = now
        thread = threading.Thread(target=self._read, name="tachograph-budgets", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending
            self._reading = False

    def _read(self) -> None:
        try:
            self.refresh()
        except Exception as error:  # noqa: BLE001 - a store that is down must not stop the application
            logger.debug("tachograph: budgets could not be read from the ledger: %s", error)
        finally:
            self._reading = False
