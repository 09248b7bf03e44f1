"""`Pricer`: from the user's price file, what vendors publish, and bundled prices, to the cost of a call.

Finding a price takes a millisecond, so it is done once for all that a price depends on, misses included, and kept until
prices may change. Then pricing a call is a handful of multiplications of whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from tachograph.pricing import quality
from tachograph.pricing.compiled import CompiledPrice
from tachograph.pricing.dimensions import served
from tachograph.pricing.sources import bundled
from tachograph.pricing.sources.price_file import PriceFile, Terms
from tachograph.records.cost import UNPRICED, Cost
from tachograph.records.llm_call import LLMCall
from tachograph.records.reservation import asked_of
from tachograph.records.usage import Usage

_LARGEST_CACHE: Final = 4096
"""Names of models come from outside; beyond so many the cache is emptied."""
_MINUTE_NS: Final = 60 * 10**9
_DAY_NS: Final = 86_400 * 10**9
_CHARACTERS_PER_TOKEN: Final = 4
"""Of English, about. Source: platform.openai.com/tokenizer, checked 2026-11-27."""

_key: Callable[[LLMCall], tuple[Any, ...]] = attrgetter(
    "provider",
    "server_address",
    "server_port",
    "model",
    "response_model",
    "service_tier",
    "speed",
    "region",
    "traffic_type",
)


_facts: Callable[[LLMCall], tuple[Any, ...]] = attrgetter(
    "usages", "others", "request_count", "unknown_billables", "usage_mismatch", "stated_cost_nano_usd"
)
_ORDINARY: Final = ((), (), 1, (), None, None)
_PLAIN: Final = ("",)
"""In place of the doubts of a price that is the price, of a call that no subscription pays for."""


class _Known(NamedTuple):
    """A price in the cache; `price` is None when there is none."""

    from_ns: int
    until_ns: int
    price: CompiledPrice | None
    doubts: tuple[str, ...] = ()
    source: str = ""
    is_included: bool = False


class Pricer:
    """Prices finished calls.

    Args:
        price_file: A TOML file of the user's own prices; read now.

    Raises:
        PriceFileError: It cannot be used.
    """

    def __init__(self, price_file: str | Path | None = None) -> None:
        self._file = None if price_file is None else PriceFile(price_file)
        self._cache: dict[tuple[Any, ...], _Known] = {}

    def __call__(self, call: LLMCall) -> Cost | None:
        """The call's cost, of quality `unpriced` without a price, or None when it used nothing that is known."""
        usage = call.usage
        if usage is None or not usage.is_reported:
            if call.stated_cost_nano_usd is not None:
                return _stated(call, None)
            usage = _prompt_at_least(call)
            if usage is None:
                return None
        key = _key(call)
        known = self._cache.get(key)
        started = call.started_unix_ns
        if known is None or not known[0] <= started < known[1]:
            known = self._find(key, started)
        if known[3] is _PLAIN and _facts(call) == _ORDINARY:  # most calls: nothing is in doubt
            nano_usd, doubts = known[2].nano_usd(usage)  # type: ignore[union-attr]  # there is one when it is plain
            if not doubts and nano_usd is not None and call.usage is not None and call.outcome == "success":
                return Cost(nano_usd, "priced", known[4])
        cost = _price(call, usage, known, self._of_others(call, key))
        return cost if call.stated_cost_nano_usd is None else _stated(call, cost)

    def _of_others(self, call: LLMCall, key: tuple[Any, ...]) -> tuple[int, tuple[str, ...]]:
        """What other models did for this answer, at their own prices, and what is in doubt about it."""
        total, doubts = 0, tuple[str, ...]()
        for model, usage in call.others:
            known = self._find((*key[:3], model, None, *key[5:]), call.started_unix_ns)
            nano_usd, more = (None, ()) if known.price is None else known.price.nano_usd(usage)
            if nano_usd is None:
                doubts += (f"no price for {model}, which took part",)
            else:
                total += nano_usd
                doubts += (() if known.doubts is _PLAIN else known.doubts) + more
        return total, doubts

    def _find(self, key: tuple[Any, ...], started_unix_ns: int) -> _Known:
        label, host, port, model, response_model, tier, speed, region, traffic_type = key
        when = datetime.fromtimestamp(started_unix_ns / 1e9, UTC)
        # what answered is what is billed: dated names, Azure deployments, fallbacks
        given = (model, response_model) if label == "bedrock" else (response_model, model)  # `global.` is in ours
        models = tuple(dict.fromkeys(name for name in given if name))
        how = served(label, host, port, models, tier, speed, region, traffic_type)
        terms = Terms()
        found, source = None, ""
        if self._file is not None:
            terms, found, source = self._file.terms(how, when), self._file.find(how, when), self._file.source
        price = None if found is None else found.price
        if found is None:
            found, source = bundled.find(how, when), bundled.source()
            if found is not None:
                price = found.price.times(terms.factor)
        if terms.factor != 1 and self._file is not None and source != self._file.source:
            source = f"{source} less {float(100 - terms.factor * 100):g} %"
        size = _MINUTE_NS if found is not None and found.is_by_minute else _DAY_NS
        begin = started_unix_ns // size * size
        if found is None or price is None:
            why = () if terms.is_included else (quality.no_price(how),)
            known = _Known(begin, begin + size, None, why, is_included=terms.is_included)
        else:
            source += f" region={found.region}" if found.region else ""
            known = _Known(begin, begin + size, CompiledPrice(price), found.doubts, source, terms.is_included)
        if known.is_included and self._file is not None:
            known = known._replace(source=self._file.source)
        elif known.price is not None and not known.doubts:
            known = known._replace(doubts=_PLAIN)
        if len(self._cache) >= _LARGEST_CACHE:
            self._cache.clear()
        self._cache[key] = known
        return known


def _price(call: LLMCall, usage: Usage, known: _Known, others: tuple[int, tuple[str, ...]]) -> Cost:
    _, _, price, doubts, source, is_included = known
    doubts = () if doubts is _PLAIN else doubts
    nano_usd: int | None = None
    if price is not None:
        usages = call.usages
        if usages:  # each request by itself: a long one makes none but itself expensive
            nano_usd, more = _sum(price, usages)
        else:
            nano_usd, more = price.nano_usd(usage, call.request_count)
        doubts += more + others[1]
        nano_usd = None if nano_usd is None else nano_usd + others[0]
    if is_included:
        return Cost(0, "included", source, quality.detail(doubts), nano_usd)
    if nano_usd is None:
        return quality.unpriced(doubts) if doubts else UNPRICED
    if call.usage is not usage:
        why = "reported no usage" if call.outcome == "success" else "was closed before it reported usage"
        doubts += (f"the stream {why}: only its prompt of about {usage.input_tokens:,} tokens",)
    else:
        doubts += quality.doubts_about(call)
    return quality.cost_of(nano_usd, source, doubts)


def _sum(price: CompiledPrice, usages: tuple[Usage, ...]) -> tuple[int | None, tuple[str, ...]]:
    total, doubts = 0, dict[str, None]()
    is_priced = False
    for usage in usages:
        nano_usd, more = price.nano_usd(usage)
        doubts.update(dict.fromkeys(more))
        if nano_usd is not None:
            total += nano_usd
            is_priced = True
    return total if is_priced else None, tuple(doubts)


def _stated(call: LLMCall, ours: Cost | None) -> Cost:
    """The vendor's own figure, and ours beside it."""
    source = f"stated by {call.provider}"
    if ours is None:
        return Cost(call.stated_cost_nano_usd, "stated", source)
    return Cost(call.stated_cost_nano_usd, "stated", source, ours.detail, ours.nano_usd)


def _prompt_at_least(call: LLMCall) -> Usage | None:
    """What a stream that has not reported any usage has used at least: its prompt, by our estimate."""
    if not call.stream or call.outcome is None or not call.counts_usage or not call.attempts:
        return None
    status = call.attempts[-1].status
    if not call.first_token_ns and (status is None or status >= 400):
        return None  # it was never answered
    size = _prompt_size(call)
    return Usage(max(1, size // _CHARACTERS_PER_TOKEN)) if size else None


def _prompt_size(call: LLMCall) -> int:
    """Characters of the prompt, 0 when they are not known."""
    if call.reservation is not None:
        return call.reservation.asked.size
    return 0 if call.body is None else asked_of(call.body).size
