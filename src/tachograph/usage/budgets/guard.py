"""The guard: holds a call's largest likely cost before it is sent, and settles it on what it cost.

`reserve` runs on the caller's path: it reads and writes mapped memory under a lock of this process, and waits for
nothing else. All that may wait (the ledger, the fleet's store) is done by one thread.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace

from tachograph.errors import SettingsError
from tachograph.records import LLMCall, Usage
from tachograph.records.media import GENERATES_MEDIA, asked_for
from tachograph.records.outcomes import UNFINISHED
from tachograph.records.reservation import BudgetRequest, BudgetStep, Reservation, asked_of
from tachograph.usage.budgets import gauges
from tachograph.usage.budgets.accounts import STEP, AccountRow, Accounts, NoPlace, Slot
from tachograph.usage.budgets.budget import Budget, Refusal, in_usd
from tachograph.usage.budgets.estimate import Estimates
from tachograph.usage.budgets.history import History
from tachograph.usage.budgets.scope import Scope, place
from tachograph.usage.metrics.families import (
    BUDGET_ACTIONS,
    BUDGET_STEPS,
    BUDGET_UNCHECKED,
)

if TYPE_CHECKING:
    from tachograph.recorder import Recorder
    from tachograph.settings.budgets import BudgetLimit, BudgetsSettings
    from tachograph.signals.family import Family
    from tachograph.usage.budgets.fleet import Fleet
    from tachograph.usage.ledger import Ledger

logger = logging.getLogger("tachograph")

_TICK_SECONDS: Final = 1.0
_FLEET_TICK_SECONDS: Final = 0.1
_SWEEP_SECONDS: Final = 5.0
_LOCK_SECONDS: Final = 0.2
"""Longer than any holder needs: only a signal handler that interrupts the holder waits this long."""
_WRITES: Final = frozenset(("chat", "generate_content"))
"""Operations that any model of a vendor's that writes text can do."""
_STEP_BITS: Final = 8
"""Of the word `STEP`: above these it says in which period so many steps were passed."""
_JOB_SECONDS: Final = 3600.0
"""The money of a job that is not read whole is given back after this long."""
_MOST_JOBS: Final = 16_384
_SHOW_SECONDS: Final = 5.0
"""A scrape waits this long for a thread that holds the lock and gets no processor."""


_Held = tuple[Budget, AccountRow, int]
_Passed = tuple[Budget, int, float, int, LLMCall | None]
"""A step of a budget that was passed: the account, the step, what is spent, and the call that passed it."""


class _Holder:
    """What reservations of this process point to; a forked child has another."""

    __slots__ = ("__weakref__", "pending")

    def __init__(self, pending: deque[Any]) -> None:
        self.pending = pending

    def dropped(self, reservation: Reservation, accounts: list[_Held]) -> None:
        """Give back what a call held that ended without telling; applied with the next call."""
        self.pending.append((Reservation(reservation.nano_usd, reservation.asked, [], self), accounts))


class Budgets:
    """All budgets of a process.

    Args:
        settings: The section `budgets`.
        recorder: Asks before a call is sent and reports what it cost; its metrics carry the gauges.
        ledger: Where the files of the host are, and what was spent by those who share no files; None: this process
            counts alone.

    Raises:
        SettingsError: A limit cannot be used as it is.
    """

    def __init__(self, settings: BudgetsSettings, recorder: Recorder, ledger: Ledger | None) -> None:
        self._settings = settings
        self._recorder = recorder
        self._ledger = ledger
        self._budgets = [Budget(Scope(limit)) for limit in settings.limits]
        self._directory: Path | None = None if ledger is None else ledger.place.directory / "budgets"
        self._fleet: Fleet | None = self._make_fleet()
        self._ask = _function(settings.ask)
        if self._ask is None and any(limit.action == "ask" for limit in settings.limits):
            raise SettingsError(
                "a budget has action = ask and there is no function to ask",
                where="setting budgets.ask",
                do="Name your function as package.module:function.",
            )
        self._estimates = Estimates()
        self._wake = threading.Event()
        self._open()
        for limit in settings.limits:
            for step in limit.steps:  # from zero on, so that an increase is seen
                recorder.metrics.cell(BUDGET_STEPS, limit.name, f"{step * 100:g}")
        recorder.metrics.before_collect(self.show)
        recorder.guard = self
        _all.add(self)

    def _make_fleet(self) -> Fleet | None:
        url = self._settings.fleet_url
        if url is None and self._ledger is not None and self._ledger.place.url.startswith(("postgresql", "postgres:")):
            url = self._ledger.place.url
        if url is None or url == "none" or self._ledger is None:
            return None
        from tachograph.usage.budgets.fleet import Fleet

        return Fleet(url, self._ledger.place, timeout_seconds=self._ledger.settings.timeout_seconds)

    def _open(self) -> None:
        """Take a slot in the host's files; again in a forked child."""
        self._is_forked = False
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._pending: deque[Any] = deque()
        self._holder = _Holder(self._pending)
        self._thread: threading.Thread | None = None
        self._swept_at = self._read_at = 0.0
        self._history = History(self._fleet)
        self._jobs: dict[str, tuple[Reservation, float]] = {}
        self._slot: Slot | None = None
        for budget in self._budgets:
            budget.accounts = budget.own = None
        error = self._share()
        if error is not None:
            logger.warning(
                "tachograph: budgets cannot be shared with other processes (%s); this one counts alone until they can. "
                "budgets.when_store_is_away says whether calls go on. Give %s space and write permission.",
                error,
                self._directory,
            )

    def _share(self) -> Exception | None:
        """Open the accounts that this host's processes share, where they are not open yet; why that is not possible."""
        try:
            if self._slot is None:
                self._slot = Slot(self._directory)
            for budget in self._budgets:
                scope = budget.scope
                if budget.accounts is None:
                    budget.accounts = Accounts(scope.file_name(), scope.window, self._slot, scope.rows)
        except (NoPlace, OSError) as error:
            return error
        return None

    # Asked by the recorder

    @property
    def refuses(self) -> bool:
        """Whether calls are ever checked."""
        return self._settings.guard != "off"

    def reserve(self, call: LLMCall, asks: object, is_watched: bool, takes_other_model: bool = True) -> None:
        """Hold what the call may cost at most, in every budget that pays for it.

        May change `call.model`, where a budget says so: what is sent must ask for that model.

        Args:
            call: Not sent yet.
            asks: The request's body.
            is_watched: Whether a watched client makes it.
            takes_other_model: Whether the request can still be made to ask for another model.

        Raises:
            BudgetExceededError: A budget cannot pay. Nothing is held then.
        """
        if is_watched and self._settings.guard != "all":
            return
        if self._is_forked:
            self._open()
        covering = [budget for budget in self._budgets if budget.scope.covers(call)]
        if not covering:
            return
        if self._thread is None:
            self._start()
        now = time.time()
        asked = asked_of(asks)
        if call.operation in GENERATES_MEDIA:
            asked.media = asked_for(call.operation, call.model, asks)
        nano = self._estimates.nano_usd(call, asked, self._recorder.pricer)
        if takes_other_model and self._use_other_model(call, covering, nano, now):
            covering = [budget for budget in self._budgets if budget.scope.covers(call)]
            nano = self._estimates.nano_usd(call, asked, self._recorder.pricer)
        allowed: list[Budget] = []
        unchecked: list[Budget] = []
        for _ in range(2 * len(self._budgets) + 1):
            held = [(budget, *budget.row(key := budget.scope.key(call), now), key) for budget in covering]
            is_held, refusal = self._hold(held, nano, now, allowed, unchecked)
            if refusal is None:
                if is_held:
                    rows = [(budget, row, key) for budget, row, _, key in held]
                    call.reservation = Reservation(nano, asked, rows, self._holder)
                return
            other = self._resolve(refusal, call, now)
            if other is not None and takes_other_model:
                call.model = other
                covering = [budget for budget in self._budgets if budget.scope.covers(call)]
                nano = self._estimates.nano_usd(call, asked, self._recorder.pricer)
            allowed.append(refusal.budget)

    def _use_other_model(self, call: LLMCall, covering: list[Budget], nano: int, now: float) -> bool:
        for budget in covering:
            limit = budget.scope.limit
            if limit.use_model is None or limit.use_model == call.model:
                continue
            if not budget.has_looked_for_price:
                budget.has_looked_for_price = True
                self._look_for_price(limit, call)
            if not self._serves(limit, call):
                continue
            row, _ = budget.row(budget.scope.key(call), now)
            total = row.spent(budget.scope.window.number(now)) + row.reserved() + nano
            if total > budget.scope.limit_nano * limit.use_model_from:
                _note(limit.name, "model_replaced", call)
                call.model = limit.use_model
                self._count(BUDGET_ACTIONS, limit.name, "model_replaced")
                return True
        return False

    def _serves(self, limit: BudgetLimit, call: LLMCall) -> bool:
        """Whether the budget's other model can answer this call: another vendor's cannot, nor can it embed or draw.

        A budget of one model names a relative of it. Else the calls are those that write text, and the model is one of
        the call's vendor: the budget is the vendor's, or there is a price for it.
        """
        if limit.model is not None:
            return True
        return call.operation in _WRITES and (limit.provider is not None or self._has_price(call, limit.use_model))

    def _look_for_price(self, limit: BudgetLimit, call: LLMCall) -> None:
        """Say once that the other model has no price; here, since prices are loaded with the first call."""
        if self._recorder.pricer is not None and self._price_quality(call, limit.use_model) in (None, "unpriced"):
            is_sent = limit.model is not None or limit.provider is not None
            logger.warning(
                "tachograph: %s",
                SettingsError(
                    f"there is no price for use_model = {limit.use_model!r}, so "
                    + ("its calls cost the budget nothing" if is_sent else "no call is changed to it"),
                    where=place(limit),
                    do="Correct the name, or give it a price in the file that pricing.file names.",
                ),
            )

    def _has_price(self, call: LLMCall, model: str | None) -> bool:
        """Whether the call's vendor is known to have a model of this name."""
        return self._price_quality(call, model) in ("priced", "included")  # an estimate may be another vendor's price

    def _price_quality(self, call: LLMCall, model: str | None) -> str | None:
        pricer = self._recorder.pricer
        if pricer is None or model is None:
            return None
        started = call.started_unix_ns
        cost = pricer(LLMCall(self._recorder, call.provider, model, usage=Usage(1, 1), started_unix_ns=started))
        return None if cost is None else cost.quality

    def _hold(
        self,
        held: list[tuple[Budget, AccountRow, bool, int]],
        nano: int,
        now: float,
        allowed: list[Budget],
        unchecked: list[Budget],
    ) -> tuple[bool, Refusal | None]:
        """Write the reservation, then look whether it fits; take it back where it does not.

        Args:
            allowed: The budgets whose action let the call go.
            unchecked: Those that are counted as not checked for this call.

        Returns:
            Whether the money is held now, and why not. Neither where a signal handler interrupted the holder of the
            lock: such a call goes on unchecked, and is counted by what it costs.
        """
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            for budget, *_ in held:
                self._count_unchecked(budget, unchecked)
            return False, None
        passed: list[_Passed] = []
        try:
            self._apply_pending(passed)
            refusal = None
            for _ in range(3):
                for _, row, _, _ in held:
                    row.add_reserved(nano)
                refusal = self._look(held, nano, now, allowed, unchecked)
                if refusal is None:
                    return True, None
                for _, row, _, _ in held:
                    row.add_reserved(-nano)
                if refusal.spent + nano > refusal.limit:
                    return False, refusal
                # only what others hold is in the way: they may have held it for this moment, to look as we do
            return False, refusal
        finally:
            self._lock.release()
            self._tell(passed)
            if self._pending:
                self._settle_pending()

    def _look(
        self,
        held: list[tuple[Budget, AccountRow, bool, int]],
        nano: int,
        now: float,
        allowed: list[Budget],
        unchecked: list[Budget],
    ) -> Refusal | None:
        for budget, row, is_shared, key in held:
            if budget in allowed:
                continue
            scope = budget.scope
            limit = scope.limit_nano
            number = scope.window.number(now)
            is_checked = is_shared
            if self._fleet is not None and is_shared:
                leased = self._fleet.allowance(row, number, now)
                needs = row.spent(number) + row.reserved()  # this call's with it
                if leased is None or (needs > leased and self._fleet.is_away(row)):
                    is_checked = False
                    self._fleet.want(row, nano)
                else:
                    limit = leased
            if not is_checked:
                self._count_unchecked(budget, unchecked)
                if self._settings.when_store_is_away == "refuse":
                    return Refusal(budget, key, row.spent(number), row.reserved() - nano, nano, limit, True)
            spent = row.spent(number) if is_checked else self._spent(row, number)  # as far as the fleet's is known
            reserved = row.reserved() - nano
            if spent + reserved + nano > limit or (not nano and spent >= limit):
                if self._fleet is not None and is_checked:
                    self._fleet.want(row, nano)
                    self._wake.set()
                return Refusal(budget, key, spent, reserved, nano, limit, False)
        return None

    def _count_unchecked(self, budget: Budget, counted: list[Budget]) -> None:
        """Count the call once, however often the budget is looked at."""
        if budget not in counted:
            counted.append(budget)
            self._count(BUDGET_UNCHECKED, budget.scope.limit.name)

    def _resolve(self, refusal: Refusal, call: LLMCall, now: float) -> str | None:
        """What the budget's action makes of a call that does not fit: None lets it go, a text is another model.

        Raises:
            BudgetExceededError: It is refused.
        """
        scope = refusal.budget.scope
        action = scope.limit.action
        _note(scope.limit.name, {"warn": "warned", "ask": "asked"}.get(action, "refused"), call, refusal)
        if action == "warn":
            self._count(BUDGET_ACTIONS, scope.limit.name, "warned")
            number = scope.window.number(now)
            if refusal.budget.warned.get(refusal.key) != number:
                refusal.budget.warned[refusal.key] = number
                logger.warning(
                    "tachograph: the budget %r cannot pay for a call of up to $%.6f: $%.6f of $%s are spent, $%.6f are "
                    "reserved. Its action is warn, so this and further calls are made; further ones are only counted.",
                    scope.account(refusal.key),
                    refusal.nano / 1e9,
                    refusal.spent / 1e9,
                    scope.limit.usd,
                    refusal.reserved / 1e9,
                )
            return None
        if action == "ask" and self._ask is not None:
            answer = self._ask(
                BudgetRequest(
                    scope.account(refusal.key),
                    call.provider,
                    call.model,
                    dict(call.labels or {}),
                    scope.limit.usd,
                    in_usd(refusal.spent),
                    in_usd(refusal.reserved),
                    in_usd(refusal.nano),
                )
            )
            if answer is True or isinstance(answer, str):
                self._count(BUDGET_ACTIONS, scope.limit.name, "ask_allowed")
                return answer if isinstance(answer, str) else None
            self._count(BUDGET_ACTIONS, scope.limit.name, "ask_refused")
            raise refusal.error(now)
        self._count(BUDGET_ACTIONS, scope.limit.name, "refused")
        raise refusal.error(now)

    def settle(self, call: LLMCall) -> None:
        """The call has ended: count what it cost, and release what it held. A step of the recorder."""
        if self._is_forked:
            self._open()
        reservation, call.reservation = call.reservation, None
        if call.response_id is not None and (self._jobs or reservation is not None):
            reservation = self._of_job(call, call.response_id, reservation)
        cost = call.cost.nano_usd if call.cost is not None and call.counts_usage else None
        if reservation is None and not cost:
            return
        accounts: list[_Held] = []
        asked = None if reservation is None else reservation.asked
        if reservation is not None:
            accounts, reservation.accounts = reservation.accounts, []
            if reservation.holder is not self._holder:  # the parent's call, which ends here too: the parent lets go
                return
        if not accounts:  # nothing was held, or the garbage collector had it given back
            reservation, now = None, time.time()
            for budget in self._budgets:
                if budget.scope.covers(call):
                    key = budget.scope.key(call)
                    accounts.append((budget, budget.row(key, now)[0], key))
        if cost or call.usage is not None:
            self._estimates.learn(call, asked)
        self._pending.append((reservation, accounts, cost or 0, call.started_unix_ns / 1e9, call))
        self._settle_all(_LOCK_SECONDS)  # now, so that the call's span says which steps it passed
        if self._thread is None:
            self._start()

    def _of_job(self, call: LLMCall, job: str, reservation: Reservation | None) -> Reservation | None:
        """Hold the money of a job (a video, a response in the background) until it is read whole: it is billed then."""
        if call.outcome == "success" and call.finish_reason in UNFINISHED:
            if reservation is not None and job not in self._jobs:
                self._jobs[job] = reservation, time.time()
                if len(self._jobs) > _MOST_JOBS:
                    self._jobs.pop(next(iter(self._jobs)), None)
            return None
        return self._jobs.pop(job, (None, 0.0))[0] if reservation is None and call.outcome == "success" else reservation

    def give_back_jobs(self) -> None:
        """This process ends: another one may read its jobs, and counts what they cost."""
        self._jobs.clear()
        self._settle_pending()

    def release(self, call: LLMCall) -> None:
        """Release what the call held: it was never sent, or nothing can come of it."""
        reservation, call.reservation = call.reservation, None
        if reservation is not None and reservation.holder is self._holder:
            accounts, reservation.accounts = reservation.accounts, []
            self._pending.append((reservation, accounts))
            self._settle_pending()

    def _settle_all(self, wait_seconds: float = _SHOW_SECONDS) -> None:
        """Apply everything that has been settled before this moment, also what another thread is about to apply."""
        passed: list[_Passed] = []
        if self._lock.acquire(timeout=wait_seconds):
            try:
                self._apply_pending(passed)
            finally:
                self._lock.release()
        self._tell(passed)

    def _settle_pending(self) -> None:
        """Apply what has been settled. Never waits: the holder of the lock looks here again before it leaves."""
        passed: list[_Passed] = []
        while self._pending and self._lock.acquire(blocking=False):
            try:
                self._apply_pending(passed)
            finally:
                self._lock.release()
        self._tell(passed)

    def _apply_pending(self, passed: list[_Passed]) -> None:
        """The caller holds the lock."""
        now = time.time()
        while self._pending:
            self._apply(*self._pending.popleft(), now=now, passed=passed)

    def _tell(self, passed: list[_Passed]) -> None:
        for budget, key, step, spent, call in passed:
            self._step(budget, key, step, spent)
            if call is not None:
                fact = BudgetStep(budget.scope.account(key), step, in_usd(spent), budget.scope.limit.usd)
                call.budget_steps = (*call.budget_steps, fact)

    def _apply(
        self,
        reservation: Reservation | None,
        accounts: list[_Held],
        cost: int = 0,
        started: float = 0.0,
        call: LLMCall | None = None,
        *,
        now: float,
        passed: list[_Passed],
    ) -> None:
        for budget, row, key in accounts:
            window = budget.scope.window
            number = window.number(now)
            if cost:
                began = window.number(started) if now - started > 1.0 else number
                row.add_spent(cost, began, number)  # before the reservation goes, so that no moment shows too little
            if reservation is not None:
                row.add_reserved(-reservation.nano_usd)
            if cost:
                self._note_steps(budget, row, key, number, passed, call)

    def _note_steps(
        self, budget: Budget, row: AccountRow, key: int, number: int, passed: list[_Passed], call: LLMCall | None
    ) -> None:
        scope = budget.scope
        spent = self._spent(row, number)
        reached = sum(spent >= step * scope.limit_nano for step in scope.limit.steps)
        period = number if scope.window.buckets == 1 else 0  # steps of a rolling window are passed until it falls back
        if row[STEP] == (period << _STEP_BITS) + reached:
            return
        with row.accounts.alone() as is_alone:
            if is_alone:  # else another process is telling a step: the next call of ours looks again
                told, before = divmod(row[STEP], 1 << _STEP_BITS)
                before = before if told in (0, period) else 0
                row[STEP] = (period << _STEP_BITS) + reached
                passed.extend((budget, key, step, spent, call) for step in sorted(scope.limit.steps)[before:reached])

    def _step(self, budget: Budget, key: int, step: float, spent: int) -> None:
        limit = budget.scope.limit
        self._count(BUDGET_STEPS, limit.name, f"{step * 100:g}")
        logger.warning(
            "tachograph: %g %% of the budget %r are spent: $%.6f of $%s.",
            step * 100,
            budget.scope.account(key),
            spent / 1e9,
            limit.usd,
        )

    def _count(self, family: Family, *values: str) -> None:
        self._recorder.metrics.cell(family, *values).add()

    def _spent(self, row: AccountRow, number: int) -> int:
        """Of this host, or of the fleet where that is known to be more."""
        own = row.spent(number)
        return own if self._fleet is None else max(own, self._fleet.spent(row, number))

    # Shown

    def show(self) -> None:
        """Set the gauges; before each collection. Of a budget per value, the account that has spent the most."""
        if self._is_forked:
            self._open()
        if self._thread is None:
            self._start()
        self._settle_all()
        gauges.show(self._recorder.metrics, self._budgets, self._spent, time.time())

    def balances(self) -> list[tuple[str, str, Decimal, Decimal, Decimal]]:
        """Every account in use: its name, its period, limit, spent and reserved, in US dollars."""
        self._recorder.settle()
        self._settle_all()
        return gauges.balances(self._budgets, self._spent, time.time())

    # In the background

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread does, or a signal handler has interrupted the one that does
        try:
            if self._thread is None:
                thread = threading.Thread(
                    target=_run, args=(weakref.ref(self), self._wake), name="tachograph-budgets", daemon=True
                )
                thread.start()
                self._thread = thread
        except RuntimeError:  # the interpreter is ending
            return
        finally:
            self._starting.release()

    def tick(self) -> None:
        """What is to be done now and then; the background thread does it by itself."""
        self._settle_pending()
        now = time.time()
        if self._fleet is not None:
            self._fleet.sync(
                [(b.scope, row) for b in self._budgets if b.accounts for row in b.accounts.all_rows()], now
            )
        if now - self._swept_at >= _SWEEP_SECONDS or now < self._swept_at:
            self._swept_at = now
            if any(budget.accounts is None for budget in self._budgets) and self._share() is None:
                self._read_at = 0.0  # the ledger has what this process spent alone
            self.sweep()
        if now - self._read_at >= self._settings.refresh_seconds or now < self._read_at:
            self._read_at = now
            self.refresh()

    def sweep(self) -> None:
        """Roll our slot on, and count what dead processes had reserved as spent."""
        now = time.time()
        for job in [job for job, (_, since) in tuple(self._jobs.items()) if now - since > _JOB_SECONDS]:
            self._jobs.pop(job, None)
        rows = [(b.scope, row) for b in self._budgets if b.accounts is not None for row in b.accounts.all_rows()]
        with self._lock:
            for scope, row in rows:
                row.roll(scope.window.number(now))
        self._settle_pending()
        if self._slot is None or self._slot.directory is None or not rows:
            return
        for number in range(1, rows[0][1].accounts.used_slots):
            mine = [(scope, row) for scope, row in rows if row.has_reserved(number)]
            if not mine or number == self._slot.number:
                continue
            with self._slot.of_the_dead(number) as is_dead:
                if is_dead:
                    for scope, row in mine:
                        row.settle_slot(number, scope.window.number(now))

    def refresh(self) -> None:
        """Read from the ledger what was spent beyond these files. It never lowers a sum.

        Raises:
            StoreError: The ledger's store does not answer; the sums stay as they are.
        """
        if self._ledger is not None and self._slot is not None:
            self._history.read(self._budgets, self._ledger, self._slot, time.time())


def _note(budget: str, action: str, call: LLMCall, refusal: Refusal | None = None) -> None:
    """An event on the application's span: the call that a budget could not pay for has none of its own yet."""
    span = trace.get_current_span()
    if span.is_recording():
        facts: dict[str, Any] = {"budget": budget, "action": action, "model": call.model}
        if refusal is not None:
            facts |= {"needs_usd": refusal.nano / 1e9, "spent_usd": refusal.spent / 1e9}
        span.add_event("tachograph.budget.action", facts)


def _function(name: str | None) -> Callable[[BudgetRequest], Any] | None:
    if name is None:
        return None
    module, _, function = name.partition(":")
    try:
        found: Callable[[BudgetRequest], Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(
            f"the function {name!r} cannot be imported: {error}",
            where="setting budgets.ask",
            do="Name it as package.module:function.",
        ) from error
    return found


def _run(budgets_ref: weakref.ref[Budgets], wake: threading.Event) -> None:
    logged: set[type[BaseException]] = set()
    while True:
        budgets = budgets_ref()
        if budgets is None:
            return
        seconds = _TICK_SECONDS if budgets._fleet is None else _FLEET_TICK_SECONDS
        try:
            budgets.tick()
        except Exception as error:  # noqa: BLE001 - a store that is down must not stop the application
            if type(error) not in logged:
                logged.add(type(error))
                logger.debug("tachograph: budgets could not be read: %s", error)
        del budgets
        wake.wait(seconds)
        wake.clear()


_all: weakref.WeakSet[Budgets] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for budgets in list(_all):
        budgets._is_forked = True
        if budgets._slot is not None:
            budgets._slot.leave()  # the parent's opening, and its lock, stay
        if budgets._fleet is not None:
            budgets._fleet.after_fork_in_child()


def _at_exit() -> None:
    for budgets in list(_all):
        if not budgets._is_forked:
            budgets.give_back_jobs()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
