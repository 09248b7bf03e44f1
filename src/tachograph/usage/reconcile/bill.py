"""What a provider says that a model used and cost on a day, in one form for all three."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tachograph.errors import TachographError


class BillError(TachographError):
    """A provider's report cannot be had or read."""


@dataclass(slots=True)
class Billed:
    """One model on one day (UTC), as the provider reports it.

    Attributes:
        requests: Requests that were billed; None where the report does not count them.
        input_tokens: The whole prompt, cached and cache-written tokens included; None where not reported.
        usd: What it cost; None where this report has no money.
    """

    day: date
    model: str
    requests: int | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    output_tokens: int | None = None
    usd: Decimal | None = None


def gathered(lines: Iterable[Billed]) -> dict[tuple[date, str], Billed]:
    """Lines of one day and model added up; what one report says is kept apart from what another leaves out."""
    found: dict[tuple[date, str], Billed] = {}
    for line in lines:
        own = found.setdefault((line.day, line.model), Billed(line.day, line.model))
        own.requests = _plus(own.requests, line.requests)
        own.input_tokens = _plus(own.input_tokens, line.input_tokens)
        own.cache_read_tokens = _plus(own.cache_read_tokens, line.cache_read_tokens)
        own.output_tokens = _plus(own.output_tokens, line.output_tokens)
        if line.usd is not None:
            own.usd = (own.usd or Decimal(0)) + line.usd
    return found


def _plus(left: int | None, right: int | None) -> int | None:
    if right is None:
        return left
    return right if left is None else left + right
