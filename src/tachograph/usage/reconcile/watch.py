"""`tachograph reconcile --watch`: the bills are fetched every day, kept, compared and shown as metrics.

What the providers billed and why the ledger differs is kept in `bills.json` in the ledger's directory, by provider and
day, so that a restart loses nothing and a day whose rows came late is corrected.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tachograph.errors import TachographError
from tachograph.files import read_named
from tachograph.signals.family import Family
from tachograph.signals.registry import Metrics
from tachograph.usage.metrics.families import (
    BILL_AGE,
    BILL_CAUSE,
    BILL_DRIFT,
    BILL_KEY_DRIFT,
    BILL_MODEL_DRIFT,
    BILL_USD,
    COST_FORECAST,
    VENDOR_RATE_LIMIT,
    VENDOR_SPEND_ENFORCED,
    VENDOR_SPEND_LIMIT,
)
from tachograph.usage.reconcile.bill import Billed
from tachograph.usage.reconcile.causes import COMPLETE_AFTER, NAMES, Pricer
from tachograph.usage.reconcile.compare import reconcile
from tachograph.usage.reconcile.limits import RateLimit, SpendLimit
from tachograph.usage.reports.forecast import forecast
from tachograph.usage.reports.when import rows_begin
from tachograph.usage.stores.base import Store

logger = logging.getLogger("tachograph")

_LIMITS: Final = (VENDOR_RATE_LIMIT, VENDOR_SPEND_LIMIT, VENDOR_SPEND_ENFORCED)
DAYS: Final = 14
"""Each time so many days are fetched, and those since the last time: providers correct a day for some days."""
_LONGEST_DAYS: Final = 366
FILE: Final = "bills.json"

Fetch = Callable[[datetime, datetime], Iterable[Billed]]


@dataclass(frozen=True, slots=True)
class Account:
    """One provider's bill.

    Attributes:
        provider: The label under which the ledger has its calls.
        fetch: Gets the report of a time.
        limits: Gets the vendor's limits, where its API says them.
        keys: Gets the report by API key, where its API gives it.
    """

    provider: str
    fetch: Fetch
    limits: Callable[[], Iterable[RateLimit | SpendLimit]] | None = None
    keys: Fetch | None = None


class Watcher:
    """Compares each account with the ledger and keeps what it found.

    Args:
        accounts: Whose bills are fetched.
        open_store: Opens the ledger for reading.
        directory: Where `bills.json` is kept.
        metrics: Where the families are set.
        pricer: Our prices.
        tolerance: As of `reconcile`.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        open_store: Callable[[], Store],
        directory: Path,
        metrics: Metrics,
        pricer: Pricer,
        *,
        tolerance: Decimal = Decimal("0.005"),
    ) -> None:
        self._accounts = tuple(accounts)
        self._open_store = open_store
        self._path = directory / FILE
        self._metrics = metrics
        self._pricer = pricer
        self._tolerance = tolerance
        for family in (
            BILL_USD,
            BILL_DRIFT,
            BILL_MODEL_DRIFT,
            BILL_KEY_DRIFT,
            BILL_CAUSE,
            BILL_AGE,
            COST_FORECAST,
            *_LIMITS,
        ):
            metrics.register(family)
        self._kept: dict[str, Any] = self._read()
        self._counted: dict[str, int] = {}
        self._shown: dict[tuple[str, Family], set[tuple[str, ...]]] = {}
        metrics.before_collect(self._show)

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(read_named(self._path, 64 << 20))
            if not isinstance(kept, dict) or not all(
                isinstance(account.get("days"), dict) for account in kept.values()
            ):
                raise ValueError("it holds no bills")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise TachographError(
                f"what was kept of past bills cannot be read: {error}",
                where=str(self._path),
                do="Move the file away: the last days are fetched again.",
            ) from error
        return kept

    def check(self, now: datetime | None = None) -> list[TachographError]:
        """Fetch and compare every account's last days, once; what could not be fetched is returned."""
        now = now or datetime.now(UTC)
        failures = []
        for account in self._accounts:
            self._kept.setdefault(account.provider, {"days": {}, "asked": now.timestamp()})
        store = self._open_store()
        try:
            for account in self._accounts:
                try:
                    self._check(account, store, now)
                except TachographError as error:
                    logger.warning("tachograph: the bill of %s: %s", account.provider, error)
                    failures.append(error)
                try:
                    self._read_limits(account)
                except TachographError as error:  # some keys may read costs and not limits
                    logger.warning("tachograph: the limits of %s: %s", account.provider, error)
            ahead = forecast(store, now=now)
        finally:
            store.close()
        expected: dict[tuple[str, ...], float] = {
            (period, bound): getattr(found, f"{bound}_usd")
            for period, found in (("day", ahead.day), ("month", ahead.month))
            for bound in ("low", "likely", "high")
            if found is not None
        }
        self._set("", COST_FORECAST, expected)
        self._write()
        return failures

    def _check(self, account: Account, store: Store, now: datetime) -> None:
        before = self._kept[account.provider]
        since = _since(before, now)
        bill = list(account.fetch(since, now))
        keys = None if account.keys is None else list(account.keys(since, now))
        days = dict(before["days"])
        complete = now - COMPLETE_AFTER
        begin = rows_begin(store, since, now)
        day = since
        while day < now:
            end = day + timedelta(days=1)
            if begin is not None and day < begin:  # its rows are removed: what was found before stays
                day = end
                continue
            found = reconcile(
                store,
                account.provider,
                (line for line in bill if line.day == day.date()),
                since=day,
                until=end,
                tolerance=self._tolerance,
                now=now,
                pricer=self._pricer,
                keys=None if keys is None else [line for line in keys if line.day == day.date()],
            )
            days[day.date().isoformat()] = {
                "billed_usd": f"{found.billed_usd:f}",
                "ours_usd": f"{found.ours_usd:f}",
                "models": {name: [f"{billed:f}", f"{ours:f}"] for name, (billed, ours) in found.models.items()},
                "keys": {name: [f"{billed:f}", f"{ours:f}"] for name, (billed, ours) in found.keys.items()},
                "causes": {name: f"{usd:f}" for name, usd in found.causes.items() if usd},
                "is_complete": end <= complete,
            }
            day = end
        # a scrape reads beside us, so what it reads is replaced whole
        self._kept[account.provider] = {"days": days, "checked": now.timestamp(), "most_nano_usd": _most(before, days)}

    def _read_limits(self, account: Account) -> None:
        if account.limits is None:
            return
        provider = account.provider
        found: dict[Family, dict[tuple[str, ...], float]] = {family: {} for family in _LIMITS}
        for limit in account.limits():
            if isinstance(limit, RateLimit):
                found[VENDOR_RATE_LIMIT][provider, limit.scope, limit.model, limit.kind] = limit.value
            else:
                found[VENDOR_SPEND_LIMIT][provider, limit.scope] = limit.usd
                found[VENDOR_SPEND_ENFORCED][provider, limit.scope] = float(limit.is_enforcing)
        for family, values in found.items():
            self._set(provider, family, values)

    def _set(self, provider: str, family: Family, values: Mapping[tuple[str, ...], float]) -> None:
        """Set a gauge, and remove its series that are gone."""
        for labels, value in values.items():
            self._metrics.cell(family, *labels).set(value)
        for gone in self._shown.get((provider, family), set()) - values.keys():
            self._metrics.remove(family, *gone)
        self._shown[provider, family] = set(values)

    def _write(self) -> None:
        hidden = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(self._kept, file, indent=1, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())  # a power loss after the rename would leave an empty file
            hidden.replace(self._path)
        except OSError as error:
            raise TachographError(
                f"the bills cannot be kept: {error}", where=str(self._path), do="Give it space and write permission."
            ) from error

    def _show(self) -> None:
        for account in self._accounts:
            kept = self._kept.get(account.provider)
            if kept is None:
                continue
            provider, days = account.provider, kept["days"]
            since = kept.get("checked", kept.get("asked", 0.0))  # an account that no key opens ages too
            self._metrics.cell(BILL_AGE, provider).set(max(0.0, time.time() - since))
            if not days:
                continue
            total = _most(kept, days)
            self._metrics.cell(BILL_USD, provider).add(total - self._counted.get(provider, 0))
            self._counted[provider] = total
            recent = [days[key] for key in sorted(days)[-DAYS:] if days[key]["is_complete"]]
            billed, ours = (sum((Decimal(d[n]) for d in recent), Decimal(0)) for n in ("billed_usd", "ours_usd"))
            self._metrics.cell(BILL_DRIFT, provider).set(_drift(billed, ours))
            for family, part in ((BILL_MODEL_DRIFT, "models"), (BILL_KEY_DRIFT, "keys")):
                self._set(
                    provider, family, {(provider, name): _drift(*pair) for name, pair in _pairs(recent, part).items()}
                )
            sums = _sums(recent)
            for name in NAMES:
                self._metrics.cell(BILL_CAUSE, provider, name).set(float(sums.get(name, 0)))

    def run(self, every_seconds: float, stopped: threading.Event) -> None:
        """Check now and then again and again, sooner after a failure, until stopped."""
        while not stopped.is_set():
            failures: list[TachographError]
            try:
                failures = self.check()
            except TachographError as error:
                logger.warning("tachograph: the bills could not be compared: %s", error)
                failures = [error]
            stopped.wait(min(every_seconds, 3600.0) if failures else every_seconds)


def _since(kept: Mapping[str, Any], now: datetime) -> datetime:
    """The first day to fetch: after a pause all days that were not final when it began are fetched."""
    checked = datetime.fromtimestamp(kept.get("checked", now.timestamp()), UTC)
    since = max(min(checked, now) - timedelta(days=DAYS), now - timedelta(days=_LONGEST_DAYS))
    return since.replace(hour=0, minute=0, second=0, microsecond=0)


def _most(kept: Mapping[str, Any], days: Mapping[str, Mapping[str, Any]]) -> int:
    """The most that was ever billed for all days: a counter. What is taken back later shows in the drift."""
    total = sum(int(Decimal(day["billed_usd"]).scaleb(9)) for day in days.values())
    return max(total, int(kept.get("most_nano_usd", 0)))


def _drift(billed: Decimal, ours: Decimal) -> float:
    if billed:
        return float((billed - ours) / abs(billed))
    return -math.inf if ours else 0.0


def _pairs(days: Iterable[Mapping[str, Any]], part: str) -> dict[str, tuple[Decimal, Decimal]]:
    """Billed and ours by model or key; files of before know none."""
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for day in days:
        for name, (billed, ours) in day.get(part, {}).items():
            before = sums.get(name, (Decimal(0), Decimal(0)))
            sums[name] = before[0] + Decimal(billed), before[1] + Decimal(ours)
    return sums


def _sums(days: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for day in days:
        for name, usd in day["causes"].items():
            sums[name] = sums.get(name, Decimal(0)) + Decimal(usd)
    return sums
