"""Which calls a budget pays for, and whose account of it a call is on."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from tachograph.errors import SettingsError
from tachograph.settings.budgets import BudgetLimit
from tachograph.usage.budgets.windows import Window

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall

ONLY_ACCOUNT: Final = 1
SCOPES: Final = ("provider", "model", "agent", "user", "session", "run", "execution", "key")
_OF_RUN: Final = {
    "agent": "agent",
    "user": "user_id",
    "session": "session_id",
    "run": "id",
    "execution": "execution_id",
}
_COLUMNS: Final = {"agent": "agent", "user": "user_id", "session": "session_id", "run": "run_id",
                   "execution": "execution_id", "key": "api_key_hint"}  # fmt: skip
"""Where a run and where the ledger keep a scope."""
_PER_ROWS: Final = 4096
_MOST_USD: Final = 9_000_000_000
"""Accounts count nano-dollars in 64 bits."""


def place(limit: BudgetLimit) -> str:
    """Where a budget's settings are, as errors say it."""
    return f"setting budgets.limits, the budget {limit.name!r}"


def scope_of(call: LLMCall, name: str) -> str:
    """The value of a scope for this call: its run's, or a label of the same name; "" when it has none."""
    if name in ("provider", "model"):
        found: str = getattr(call, name)
        return found
    if name == "key" and call.api_key_hint:
        return call.api_key_hint
    run = call.run
    if run is not None and name in _OF_RUN:
        value: str = getattr(run, _OF_RUN[name])
        if value:
            return value
    labels = call.labels
    return labels.get(name.removeprefix("label:"), "") if labels else ""


class Scope:
    """One budget as its setting says.

    Raises:
        SettingsError: The period or a scope is not one that there is, or the limit is not above zero.
    """

    def __init__(self, limit: BudgetLimit) -> None:
        self.limit = limit
        where = place(limit)
        if not (limit.usd.is_finite() and 0 <= limit.usd <= _MOST_USD):
            do = f"Give US dollars, from 0 to {_MOST_USD:,}."
            raise SettingsError(f"the limit {limit.usd} is not an amount of money", where=where, do=do)
        self.limit_nano = int(limit.usd.scaleb(9))
        try:
            self.window = Window(limit.period)
        except ValueError as error:
            raise SettingsError(f"the period {limit.period!r} is unknown", where=where, do=f"{error}.") from None
        for name in limit.per:
            if name not in SCOPES and not name.startswith("label:"):
                raise SettingsError(
                    f"there are no budgets per {name!r}",
                    where=where,
                    do=f"Allowed: {', '.join(SCOPES)}, or label:<name>.",
                )
        self.per = limit.per
        self.rows = _PER_ROWS if limit.per else 1
        self._wanted = [(name, value) for name in SCOPES if (value := getattr(limit, name)) is not None]
        self._labels = limit.labels.items()
        self._keys: dict[tuple[str, ...], int] = {}
        self.values: dict[int, tuple[str, ...]] = {ONLY_ACCOUNT: ()}

    def covers(self, call: LLMCall) -> bool:
        """Whether it would have to pay for this call."""
        for name, value in self._wanted:
            if scope_of(call, name) != value:
                return False
        return not self._labels or (call.labels is not None and self._labels <= call.labels.items())

    def key(self, call: LLMCall) -> int:
        """The account that this call is on."""
        if not self.per:
            return ONLY_ACCOUNT
        values = tuple([scope_of(call, name) for name in self.per])
        key = self._keys.get(values)
        if key is None:
            if len(self._keys) >= 4 * _PER_ROWS:
                self._keys.clear()
                self.values.clear()
            digest = blake2b("\0".join(values).encode("utf-8", "replace"), digest_size=8).digest()
            key = self._keys[values] = (int.from_bytes(digest, "big") >> 2) | 2
            self.values[key] = values
        return key

    def where(self, key: int) -> dict[str, tuple[str, ...]]:
        """Which rows of the ledger it has paid for, as a query says it."""
        where: dict[str, tuple[str, ...]] = {"kind": ("llm",)}
        asked = [*self._wanted, *((f"label:{name}", value) for name, value in self._labels)]
        for name, value in [*asked, *zip(self.per, self.values[key], strict=True)]:
            where[_COLUMNS.get(name) or name] = (value,)
        return where

    def account(self, key: int) -> str:
        """What an account is called in errors and logs."""
        values = self.values.get(key)
        if not values:
            return self.limit.name
        return f"{self.limit.name} ({', '.join(f'{n}={v}' for n, v in zip(self.per, values, strict=True))})"

    def file_name(self) -> str:
        """Budgets that mean the same share a file, also while one process has another limit for it."""
        limit = self.limit
        said = [limit.name, limit.period, *limit.per]
        said += [f"{name}={value}" for name, value in [*self._wanted, *sorted(self._labels)]]
        return blake2b("\0".join(said).encode("utf-8", "replace"), digest_size=8).hexdigest()
