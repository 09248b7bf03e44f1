"""The user's own prices, in a TOML file. They win over the bundled ones.

currency = "EUR"            # of all amounts in this file; left out: US dollars
usd_per_unit = 1.08         # what one unit of it costs in US dollars

[[price]]
model = "gpt-5*"            # `*` stands for anything; exact names win over patterns
provider = "openai"         # the provider label; left out: any
input = 1.25                # per million tokens
output = 10
cache_read = 0.125
web_search = 10             # per thousand uses
image = 0.04                # per image, whatever its quality and size
"image/hd/1024x1792" = 0.12 # per image of this quality and size
video_second = 0.10         # per second of video
"video_second/4k" = 0.60    # of this resolution
request = 0                 # per request
from = 2026-01-01           # the day it begins (UTC); the latest that has begun holds
tier = "batch"              # only for this service tier
speed = "fast"              # only for this speed
region = "eu"               # only for this region

[[price.above]]             # other rates for requests whose prompt is longer than this
input_tokens = 200000
input = 2.50

[[discount]]                # off the bundled prices
provider = "openai"
percent = 15

[[included]]                # paid by a subscription: costs 0
provider = "github-copilot"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

from tachograph.errors import TachographError
from tachograph.files import read_toml
from tachograph.pricing.compiled import Price, Rate
from tachograph.pricing.dimensions import TOKENS, TOOLS, Served, speed_word, tier_word
from tachograph.pricing.sources.bundled import Found
from tachograph.records.media import MEDIA

_WHERE = {"tier": tier_word, "speed": speed_word, "region": str.lower}
_TEXTS = ("model", "provider", *_WHERE)
_TERMS = (*_TEXTS, "from", "until")
_TABLES = ("price", "discount", "included")
LONGEST_FILE = 8 << 20
"""Bytes of a price file."""
_KEYS = (*_TEXTS, "from", "above", "request", "audio_hour", *TOKENS, *TOOLS, *MEDIA)


def _is_media(key: str) -> bool:
    """Whether a key is an item of media (`image/hd`): priced by the piece."""
    return key.partition("/")[0] in MEDIA


class PriceFileError(TachographError):
    """The price file cannot be used as it is."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which calls something is for."""

    model: str
    provider: str | None
    tier: str | None
    speed: str | None
    region: str | None
    begins: date | None
    ends: date | None = None

    def holds(self, served: Served, model: str, today: date) -> bool:
        """Whether it is for this model, served so, on that day."""
        return (
            (self.model == model or fnmatchcase(model, self.model))
            and self.provider in (None, served.label)
            and self.tier in (None, served.tier)
            and self.speed in (None, served.speed)
            and self.region in (None, served.region)
            and (self.begins is None or self.begins <= today)
            and (self.ends is None or today < self.ends)
        )

    def rank(self) -> tuple[bool, int, bool, date]:
        """Exact before pattern, given dimensions before none, provider before any, later before earlier."""
        told = sum(word is not None for word in (self.tier, self.speed, self.region))
        return ("*" not in self.model, told, self.provider is not None, self.begins or date.min)


@dataclass(frozen=True, slots=True)
class _Entry:
    scope: _Scope
    price: Price


@dataclass(frozen=True, slots=True)
class Terms:
    """What the user has agreed on with a vendor.

    Attributes:
        factor: Of the list price.
        is_included: Whether a subscription pays for it.
    """

    factor: Fraction = Fraction(1)
    is_included: bool = False


class PriceFile:
    """Prices read from one file, at construction.

    Raises:
        PriceFileError: It is not there, is not TOML, or says something that is no price; the message says where.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.source = f"file:{self.path.name}"
        try:
            data = read_toml(self.path, LONGEST_FILE, parse_float=Decimal)
        except OSError as error:
            raise PriceFileError(
                f"the price file cannot be read: {error.strerror or error}",
                where=str(self.path),
                do="Correct the setting pricing.file, or unset it.",
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PriceFileError(
                f"the price file is not TOML: {error}", where=str(self.path), do="Correct it."
            ) from error
        self._entries = self._read(data)

    def find(self, served: Served, when: datetime) -> Found | None:
        """The price of the first of a call's models that has one here; see `bundled.find`."""
        today = when.date()
        for model in served.models:
            fitting = [entry for entry in self._entries if entry.scope.holds(served, model, today)]
            if fitting:
                best = max(fitting, key=lambda entry: entry.scope.rank())
                doubts = tuple(
                    f"no price for {name} {word!r}"
                    for name, word in (("service tier", served.tier), ("speed", served.speed))
                    if word and getattr(best.scope, name.rpartition(" ")[2]) is None
                )
                return Found(best.price, doubts)
        return None

    def terms(self, served: Served, when: datetime) -> Terms:
        """The discount on a call's list price, and whether it is included in a subscription."""
        today = when.date()

        def holding(found: list[tuple[_Scope, Fraction]]) -> list[tuple[_Scope, Fraction]]:
            return [one for one in found if any(one[0].holds(served, model, today) for model in served.models)]

        discounts = holding(self._discounts)
        factor = max(discounts, key=lambda one: one[0].rank())[1] if discounts else Fraction(1)
        return Terms(factor, bool(holding(self._included)))

    def _read(self, data: Mapping[str, Any]) -> list[_Entry]:
        for key in data:
            if key not in (*_TABLES, "currency", "usd_per_unit"):
                raise self._error(f"{key!r} is not a part of a price file", f"Parts that exist: {', '.join(_TABLES)}.")
        self._usd = self._currency(data)
        entries: list[_Entry] = []
        seen: dict[_Scope, int] = {}
        for number, table in self._tables(data, "price"):
            entry = self._entry(number, table)
            if entry.scope in seen:
                raise self._error(
                    f"[[price]] number {number} is for the same model, provider, tier, speed, region and day as number"
                    f" {seen[entry.scope]}",
                    "Keep one of them.",
                )
            seen[entry.scope] = number
            entries.append(entry)
        self._discounts = [(scope, factor) for scope, factor in self._terms(data, "discount")]
        self._included = list(self._terms(data, "included"))
        return entries

    def _currency(self, data: Mapping[str, Any]) -> Decimal:
        code, rate = data.get("currency", "USD"), data.get("usd_per_unit")
        if not isinstance(code, str):
            raise self._error(f"currency is not text but {code!r}", 'Write it as currency = "EUR".')
        if rate is None:
            if code.upper() != "USD":
                raise self._error(f"the prices are in {code}", "Add usd_per_unit, what one unit costs in US dollars.")
            return Decimal(1)
        usd = self._amount("the file", "usd_per_unit", rate)
        if not usd:
            raise self._error("usd_per_unit is 0", "Write what one unit of the currency costs in US dollars.")
        return usd

    def _tables(self, data: Mapping[str, Any], kind: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        tables = data.get(kind, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._error(f"{kind!r} is not a list of tables", f"Write each as a [[{kind}]] table.")
        yield from enumerate(tables, 1)

    def _terms(self, data: Mapping[str, Any], kind: str) -> Iterator[tuple[_Scope, Fraction]]:
        known = (*_TERMS, "percent") if kind == "discount" else _TERMS
        for number, table in self._tables(data, kind):
            name = f"[[{kind}]] number {number}"
            self._check_keys(name, table, known)
            if kind == "discount" and "percent" not in table:
                raise self._error(f"{name} names no percent", "Add percent = 15.")
            if kind == "included" and "model" not in table and "provider" not in table:
                raise self._error(f"{name} names neither a provider nor a model", 'Add provider = "...".')
            percent = self._amount(name, "percent", table["percent"]) if kind == "discount" else Decimal(100)
            if percent > 100:
                raise self._error(f"{name}: percent is {percent}, and a discount is at most 100", "Correct it.")
            yield self._scope(name, table), 1 - Fraction(percent) / 100

    def _check_keys(self, name: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key, value in table.items():
            if key not in known and not (known is _KEYS and _is_media(key)):
                raise self._error(f"{name} has an unknown key {key!r}", f"Keys that exist: {', '.join(known)}.")
            if key in _TEXTS and not isinstance(value, str):
                raise self._error(f"{name}: {key} is not text but {value!r}", "Put it in quotes.")

    def _scope(self, name: str, table: Mapping[str, Any]) -> _Scope:
        days = []
        for key in ("from", "until"):
            day = table.get(key)
            if day is not None and (not isinstance(day, date) or isinstance(day, datetime)):
                raise self._error(f"{name}: {key} is no day but {day!r}", f"Write it as {key} = 2026-01-31.")
            days.append(day)
        tier, speed, region = (_WHERE[key](table[key]) if key in table else None for key in _WHERE)
        return _Scope(table.get("model", "*"), table.get("provider"), tier, speed, region, *days)

    def _entry(self, number: int, table: Mapping[str, Any]) -> _Entry:
        name = f"[[price]] number {number}"
        if isinstance(table.get("model"), str) and table["model"]:
            name += f" ({table['model']})"
        else:
            raise self._error(f"{name} names no model", 'Add model = "...".')
        self._check_keys(name, table, _KEYS)
        scope = self._scope(name, table)
        media = [key for key in table if _is_media(key)]
        if not media and not any(key in table for key in ("input", "output", "request", "audio_hour", *TOOLS)):
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
        tools |= {item: Rate.of(self._amount(name, item, table[item]), 1) for item in media}
        request = table.get("request")
        audio = table.get("audio_hour")
        price = Price(
            tokens,
            tools,
            None if request is None else Rate.of(self._amount(name, "request", request), 1),
            None if audio is None else Rate.of(self._amount(name, "audio_hour", audio), 3600),
        )
        return _Entry(scope, price.times(Fraction(self._usd)))

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

    def _amount(self, name: str, key: str, value: object) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
            raise self._error(f"{name}: {key} is not a number but {value!r}", "Write US dollars, like 1.25.")
        amount = Decimal(value)
        if not amount.is_finite() or amount < 0:
            raise self._error(f"{name}: {key} is {value}, and a price is 0 or more", "Correct it.")
        return amount

    def _error(self, what: str, do: str) -> PriceFileError:
        return PriceFileError(what, where=str(self.path), do=do)
