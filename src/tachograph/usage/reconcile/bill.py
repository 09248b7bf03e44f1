"""What a provider says that a model used and cost on a day, in one form for all three."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Final, TypeVar

from tachograph.errors import TachographError
from tachograph.files import open_named

_LONGEST: Final = 16 << 30
_LONGEST_LINE: Final = 1 << 20
_EXACT: Final = Decimal("1e-12")
"""Of amounts that are converted."""


Line = TypeVar("Line")


class BillError(TachographError):
    """A provider's report cannot be had or read."""


@dataclass(slots=True)
class Billed:
    """One model on one day (UTC), as the provider reports it; or one part of that, by tier and region.

    Attributes:
        requests: Requests that were billed; None where the report does not count them.
        input_tokens: The whole prompt, cached and cache-written tokens included; None where not reported.
        usd: What it cost, credits included; None where this report has no money.
        credit_usd: The part of it that is credits and refunds, below zero.
        digits_usd: What rounding in the report's own digits may hide, added up.
        tier, region: The vendor's words, where the report distinguishes usage by them.
        key: Which API key, where the report was asked for that.
        parts: What it was added up from, where that has tokens.
    """

    day: date
    model: str
    requests: int | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    output_tokens: int | None = None
    usd: Decimal | None = None
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    credit_usd: Decimal = Decimal(0)
    digits_usd: Decimal = Decimal(0)
    tier: str = ""
    region: str = ""
    key: str = ""
    parts: list[Billed] = field(default_factory=list)


CREDITS = "credits"
"""The model of lines that are credits of no model."""
OTHER: Final = "other"
"""The model of money that is billed for no model."""


def money_line(
    day: date, model: str, usd: Decimal, digits_usd: Decimal | None = None, *, is_credit: bool = False
) -> Billed:
    """A line of a cost report; without `digits_usd` the last digit is as exact as it is."""
    credit = usd if is_credit else Decimal(0)
    digits = _hidden(usd) if digits_usd is None else digits_usd
    return Billed(day, model or CREDITS if is_credit else model, usd=usd, credit_usd=credit, digits_usd=digits)


def _hidden(amount: Decimal) -> Decimal:
    """What rounding to the last digit may hide: half of it; a whole number hides nothing."""
    exponent = amount.as_tuple().exponent
    return Decimal(1).scaleb(exponent) / 2 if isinstance(exponent, int) and exponent < 0 else Decimal(0)


def in_usd(amount: Decimal, currency: object, where: str, rate: object = None) -> tuple[Decimal, Decimal]:
    """An amount of a bill in US dollars, which the ledger is in, and what its last digit may hide.

    Args:
        amount: As billed.
        currency: Its code; None or empty: US dollars.
        where: The bill.
        rate: How much of the currency a dollar is, where the bill says it (Google's `currency_conversion_rate`).

    Raises:
        BillError: It is in another currency, and the bill has no rate.
    """
    code = str(currency or "").strip().upper()
    if code in ("", "USD"):
        return amount, _hidden(amount)
    by = Decimal(str(rate or 0))
    if by <= 0:
        raise BillError(
            f"its amounts are in {code}, and the ledger is in US dollars",
            where=where,
            do="Export it in US dollars, or convert the amounts and write USD as the currency.",
        )
    return (amount / by).quantize(_EXACT), (_hidden(amount) / by).quantize(_EXACT)


@contextmanager
def opened(path: Path, *, takes_pipes: bool = True) -> Iterator[Iterator[str]]:
    """The lines of a saved bill; a pipe will do, as `<(zcat bill.csv.gz)` is one.

    Raises:
        BillError: A line is longer than any of a bill.
        OSError, UnicodeDecodeError: It cannot be read.
    """
    with BufferedReader(open_named(path, _LONGEST, takes_pipes=takes_pipes)) as file:
        yield _lines(TextIOWrapper(file, encoding="utf-8-sig", newline=""), path)


def _lines(file: TextIOWrapper, path: Path) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise BillError(
                f"a line has more than {_LONGEST_LINE:,} characters", where=str(path), do="Export it again."
            )
        yield line


def gathered(lines: Iterable[Billed]) -> dict[tuple[date, str], Billed]:
    """Lines of one day and model added up; what one report says is kept apart from what another leaves out."""
    found: dict[tuple[date, str], Billed] = {}
    for line in lines:
        model = line.model or (OTHER if line.usd else "")
        own = found.setdefault((line.day, model), Billed(line.day, model))
        own.requests = _plus(own.requests, line.requests)
        own.input_tokens = _plus(own.input_tokens, line.input_tokens)
        own.cache_read_tokens = _plus(own.cache_read_tokens, line.cache_read_tokens)
        own.output_tokens = _plus(own.output_tokens, line.output_tokens)
        own.cache_write_5m_tokens += line.cache_write_5m_tokens
        own.cache_write_1h_tokens += line.cache_write_1h_tokens
        own.credit_usd += line.credit_usd
        own.digits_usd += line.digits_usd
        if line.usd is not None:
            own.usd = (own.usd or Decimal(0)) + line.usd
        if line.input_tokens is not None or line.output_tokens is not None:
            own.parts.append(line)
    return found


def _plus(left: int | None, right: int | None) -> int | None:
    if right is None:
        return left
    return right if left is None else left + right


def understood(lines: Iterable[Line], where: str) -> Iterator[Line]:
    """The lines of a report.

    Raises:
        BillError: A value in it is not what the reports of this provider have there.
    """
    try:
        yield from lines
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, csv.Error) as error:
        raise BillError(
            f"the report has a value that is not understood: {type(error).__name__}: {error}",
            where=where,
            do="Save the provider's report as it comes, and compare it with docs/reconcile.md.",
        ) from error
