"""What calls cost: `Pricer()(call)` gives a Cost, from the user's price file or from bundled prices.

Finding a price takes a millisecond, so it is done once per provider, model and tier, misses included, and kept until
prices may change. Then pricing a call is a handful of multiplications of whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

from tachograph.pricing import bundled
from tachograph.pricing.compiled import CompiledPrice
from tachograph.pricing.price_file import PriceFile, PriceFileError
from tachograph.records.cost import UNPRICED, Cost
from tachograph.records.llm_call import LLMCall

_LARGEST_CACHE: Final = 4096
"""Names of models come from outside; beyond so many the cache begins anew."""

_Key = tuple[str, str | None, str, str | None, str | None]
_key: Callable[[LLMCall], _Key] = attrgetter("provider", "server_address", "model", "response_model", "service_tier")


class _Known(NamedTuple):
    """A price in the cache; `price` is None when there is none."""

    from_ns: int
    until_ns: int
    price: CompiledPrice | None
    is_near: bool
    source: str


class Pricer:
    """Prices finished calls.

    Args:
        price_file: A TOML file of the user's own prices; read now.

    Raises:
        PriceFileError: It cannot be used.
    """

    def __init__(self, price_file: str | Path | None = None) -> None:
        self._file = None if price_file is None else PriceFile(price_file)
        self._cache: dict[_Key, _Known] = {}

    def __call__(self, call: LLMCall) -> Cost | None:
        """The call's cost, `UNPRICED` without a price, or None when it used nothing that is known."""
        usage = call.usage
        if usage is None or not (usage.is_reported or usage.tool_uses):
            return None
        key = _key(call)
        known = self._cache.get(key)
        started = call.started_unix_ns
        if known is None or not known[0] <= started < known[1]:
            known = self._find(key, started)
        _, _, price, is_near, source = known
        if price is None:
            return UNPRICED
        nano_usd, is_estimate = price.nano_usd(usage)
        if nano_usd is None:
            return UNPRICED
        return Cost(nano_usd, "estimated" if is_estimate or is_near else "priced", source)

    def _find(self, key: _Key, started_unix_ns: int) -> _Known:
        label, host, model, response_model, tier = key
        when = datetime.fromtimestamp(started_unix_ns / 1e9, UTC)
        # what answered is what is billed: dated names, Azure deployments, fallbacks
        models = tuple(dict.fromkeys(name for name in (response_model, model) if name))
        found = None if self._file is None else self._file.find(label, host, models, tier, when)
        source = "" if self._file is None else self._file.source
        if found is None:
            found, source = bundled.find(label, host, models, tier, when), bundled.source()
        midnight = datetime(when.year, when.month, when.day, tzinfo=UTC).timestamp()
        if found is None:
            known = _Known(int(midnight) * 10**9, (int(midnight) + 86400) * 10**9, None, False, "")
        else:
            until_ns = int(found.until.timestamp()) * 10**9
            from_ns = until_ns - (60 if until_ns != (int(midnight) + 86400) * 10**9 else 86400) * 10**9
            known = _Known(from_ns, until_ns, CompiledPrice(found.price), found.is_near, source)
        if len(self._cache) >= _LARGEST_CACHE:
            self._cache.clear()
        self._cache[key] = known
        return known


__all__ = ["PriceFile", "PriceFileError", "Pricer"]
