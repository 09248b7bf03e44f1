"""The user's own prices, in a TOML file. They win over the bundled ones.

[[price]]
model = "gpt-5*"            # `*` stands for anything; exact names win over patterns
provider = "openai"         # the provider label; left out: any
input = 1.25                # US dollars per million tokens
output = 10
cache_read = 0.125
web_search = 10             # US dollars per thousand uses
request = 0                 # US dollars per call
from = 2026-01-01           # the day it begins (UTC); the latest that has begun holds
tier = "batch"              # only for this service tier

[[price.above]]             # other rates for calls whose prompt is longer than this
input_tokens = 200000
input = 2.50
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tachograph.errors import TachographError
from tachograph.pricing.bundled import Found
from tachograph.pricing.compiled import Price, Rate
from tachograph.pricing.words import TOKENS, TOOLS

_TEXTS = ("model", "provider", "tier")
_KEYS = (*_TEXTS, "from", "above", "request", "audio_hour", *TOKENS, *TOOLS)


class PriceFileError(TachographError):
    """The price file cannot be used as it is."""


@dataclass(frozen=True, slots=True)
class _Entry:
    model: str
    provider: str | None
    tier: str | None
    begins: date | None
    price: Price

    def rank(self) -> tuple[bool, bool, bool, date]:
        """Exact before pattern, tier before none, provider before any, later before earlier."""
        return ("*" not in self.model, self.tier is not None, self.provider is not None, self.begins or date.min)


class PriceFile:
    """Prices read from one file, at construction.

    Raises:
        PriceFileError: It is not there, is no TOML, or says something that is no price; the message says where.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.source = f"file:{self.path.name}"
        try:
            data = tomllib.loads(self.path.read_text("utf-8"), parse_float=Decimal)
        except OSError as error:
            raise PriceFileError(
                f"the price file cannot be read: {error.strerror}",
                where=str(self.path),
                do="Correct the setting pricing.file, or unset it.",
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PriceFileError(f"the price file is no TOML: {error}", where=str(self.path), do="Mend it.") from error
        self._entries = self._read(data)

    def find(
        self, label: str, host: str | None, models: tuple[str, ...], tier: str | None, when: datetime
    ) -> Found | None:
        """The price of the first of these models that has one here; see `bundled.find`."""
        today = when.date()
        for model in models:
            fitting = [
                entry
                for entry in self._entries
                if (entry.model == model or fnmatchcase(model, entry.model))
                and entry.provider in (None, label)
                and entry.tier in (None, tier)
                and (entry.begins is None or entry.begins <= today)
            ]
            if fitting:
                best = max(fitting, key=_Entry.rank)
                is_ordinary = (tier or "standard") in ("standard", "default", "auto", "ON_DEMAND")
                midnight = datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=1)
                return Found(best.price, best.tier is None and not is_ordinary, midnight)
        return None

    def _read(self, data: Mapping[str, Any]) -> list[_Entry]:
        for key in data:
            if key != "price":
                raise self._error(f"{key!r} is no part of a price file", "Prices stand in [[price]] tables.")
        tables = data.get("price", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._error("'price' is not a list of tables", "Write each price as a [[price]] table.")
        entries: list[_Entry] = []
        seen: dict[tuple[Any, ...], int] = {}
        for number, table in enumerate(tables, 1):
            entry = self._entry(number, table)
            what = (entry.model, entry.provider, entry.tier, entry.begins)
            if what in seen:
                raise self._error(
                    f"[[price]] number {number} is for the same model, provider, tier and day as number {seen[what]}",
                    "Keep one of them.",
                )
            seen[what] = number
            entries.append(entry)
        return entries

    def _entry(self, number: int, table: Mapping[str, Any]) -> _Entry:
        name = f"[[price]] number {number}"
        if isinstance(table.get("model"), str) and table["model"]:
            name += f" ({table['model']})"
        else:
            raise self._error(f"{name} names no model", 'Add model = "...".')
        for key, value in table.items():
            if key not in _KEYS:
                raise self._error(f"{name} has an unknown key {key!r}", f"Keys that exist: {', '.join(_KEYS)}.")
            if key in _TEXTS and not isinstance(value, str):
                raise self._error(f"{name}: {key} is not text but {value!r}", "Put it in quotes.")
        begins = table.get("from")
        if begins is not None and (not isinstance(begins, date) or isinstance(begins, datetime)):
            raise self._error(f"{name}: from is no day but {begins!r}", "Write it as from = 2026-01-31.")
        if not any(key in table for key in ("input", "output", "request", "audio_hour")):
            raise self._error(f"{name} has no price", "Add input and output, in US dollars per million tokens.")
        above = self._above(name, table)
        tokens = {
            word: Rate.of(
                self._amount(name, word, table[word]),
                1_000_000,
                tuple((start, rates[word]) for start, rates in above if word in rates),
            )
            for word in TOKENS
            if word in table
        }
        tools = {word: Rate.of(self._amount(name, word, table[word]), 1000) for word in TOOLS if word in table}
        request = table.get("request")
        audio = table.get("audio_hour")
        price = Price(
            tokens,
            tools,
            None if request is None else Rate.of(self._amount(name, "request", request), 1),
            None if audio is None else Rate.of(self._amount(name, "audio_hour", audio), 3600),
        )
        return _Entry(table["model"], table.get("provider"), table.get("tier"), begins, price)

    def _above(self, name: str, table: Mapping[str, Any]) -> list[tuple[int, dict[str, Decimal]]]:
        steps = table.get("above", [])
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise self._error(f"{name}: above is not a list of tables", "Write each step as [[price.above]].")
        found = []
        for step in steps:
            start = step.get("input_tokens")
            if type(start) is not int or start < 1:
                raise self._error(f"{name}: a step names no input_tokens", "Add input_tokens = 200000.")
            rates = {}
            for word, value in step.items():
                if word == "input_tokens":
                    continue
                if word not in table or word not in TOKENS:
                    raise self._error(
                        f"{name}: the step above {start} prices {word!r}, which has no price below it",
                        f"Price it in the [[price]] table too; words that exist: {', '.join(TOKENS)}.",
                    )
                rates[word] = self._amount(name, word, value)
            found.append((start, rates))
        return sorted(found, key=lambda step: step[0])

    def _amount(self, name: str, key: str, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            raise self._error(f"{name}: {key} is no number but {value!r}", "Write US dollars, like 1.25.")
        amount = Decimal(value)
        if not amount.is_finite() or amount < 0:
            raise self._error(f"{name}: {key} is {value}, and a price is 0 or more", "Correct it.")
        return amount

    def _error(self, what: str, do: str) -> PriceFileError:
        return PriceFileError(what, where=str(self.path), do=do)
