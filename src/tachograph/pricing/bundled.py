"""The bundled prices: genai-prices' data, which comes with the package and needs no network.

Importing it takes a moment (0.4 s cold, pydantic included), so it is loaded when a first price is asked for, or by
`load_in_background`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import _bootstrap
from importlib.metadata import version
from typing import Any

from tachograph.pricing.compiled import Price, Rate
from tachograph.pricing.words import TOKENS, TOOLS

_LABELS = {"gemini": "google", "azure_openai": "azure", "vertex": "google"}
_WORD_OF = {dimensions: word for word, dimensions in TOKENS.items()}
_TOOL_OF = {theirs: ours for ours, theirs in TOOLS.items()}
_CONTEXTS: dict[str, dict[str, str]] = {
    "default": {"service_tier": "default"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"speed": "fast", "service_tier": "fast"},
    "batch": {"processing": "batch"},
    "on_demand_flex": {"service_tier": "flex"},
    "on_demand_priority": {"service_tier": "priority"},
}
_ORDINARY = frozenset({"", "default", "standard", "auto", "on_demand", "standard_only"})
"""Tiers that cost the standard price where they have none of their own."""


@dataclass(frozen=True, slots=True)
class Found:
    """A price that was found.

    Attributes:
        is_near: It is another provider's or another tier's: an estimate.
        until: It may change from then on.
    """

    price: Price
    is_near: bool
    until: datetime


@cache
def source() -> str:
    """What the prices are, for `Cost.source`."""
    return f"genai-prices/{version('genai-prices')}"


_loading = threading.Lock()


@cache
def _snapshot() -> Any:
    with _loading:
        from genai_prices.data_snapshot import get_snapshot

        return get_snapshot()


def load_in_background() -> None:
    """Load the data in a thread of its own, unless it is loaded."""
    global _thread
    if _thread is None:
        _thread = threading.Thread(target=_snapshot, name="tachograph-prices", daemon=True)
        _thread.start()


_thread: threading.Thread | None = None


def _after_fork_in_child() -> None:
    """Begin the imports again that the thread was in the middle of: it is not here to finish them.

    The child would wait for ever for the locks of those modules. Waiting for the thread before a fork is no way out:
    under gevent other greenlets would run meanwhile, in the child too.
    """
    global _loading
    _loading = threading.Lock()
    if _thread is None or _snapshot.cache_info().currsize:
        return
    locks = _bootstrap._module_locks  # type: ignore[attr-defined]  # they are what a fork leaves taken
    for name, reference in list(locks.items()):
        lock = reference()
        if lock is not None and lock.owner == _thread.ident:
            locks.pop(name, None)
            sys.modules.pop(name, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def find(label: str, host: str | None, models: tuple[str, ...], tier: str | None, when: datetime) -> Found | None:
    """The price of the first of these models that has one.

    Args:
        label: Our provider label.
        host: Where the requests went, if known.
        models: Names to try, best first.
        tier: The vendor's word for the service tier.
        when: When the call began, UTC.
    """
    for provider, is_near in _providers(label, host, models):
        for name in models:
            model = provider.find_model(name, all_providers=_snapshot().providers)
            if model is not None:
                prices, has_tier = _prices(provider, model, tier, when)
                return Found(_price(prices), is_near or not has_tier, _until(model, when))
    return None


def _providers(label: str, host: str | None, models: tuple[str, ...]) -> Iterator[tuple[Any, bool]]:
    """Providers whose prices may hold, best first, and whether they would only be near."""
    from genai_prices.data_snapshot import find_provider_by_id

    snapshot = _snapshot()
    seen: list[Any] = []
    if host and "." in host:
        try:
            seen.append(snapshot.find_provider(None, None, f"https://{host}"))
            yield seen[-1], False
        except LookupError:
            pass  # a server of the user's own, or a proxy: the label says whose prices hold
    named = find_provider_by_id(snapshot.providers, _LABELS.get(label, label))
    if named is not None and named not in seen:
        yield named, bool(seen)
        seen.append(named)
    for name in models:  # not by `find_provider`, which keeps every name it has ever been asked for
        for guessed in snapshot.providers:
            if guessed.model_match is not None and guessed.model_match.is_match(name):
                if guessed not in seen:
                    yield guessed, True
                    seen.append(guessed)
                break


def _prices(provider: Any, model: Any, tier: str | None, when: datetime) -> tuple[Any, bool]:
    """The model's prices on that day and tier, and whether the tier is one whose price is known."""
    word = (tier or "").lower()
    context = _CONTEXTS.get(word)
    is_own = any(model is own for own in provider.models)  # tiers are the provider's own, not those it borrows from
    if context is None or not is_own:
        return model.get_prices(when), word in _ORDINARY
    has_tier = any(
        all(context.get(key) == value for key, value in variant.when.items())
        and (variant.constraint is None or variant.constraint.active(when))
        for variant in model.price_variants or ()
    )
    return model.get_prices(when, context), has_tier or word in _ORDINARY


def _until(model: Any, when: datetime) -> datetime:
    from genai_prices.types import ModelPrice, TimeOfDateConstraint

    prices = model.prices
    if not isinstance(prices, ModelPrice) and any(isinstance(p.constraint, TimeOfDateConstraint) for p in prices):
        return when.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return datetime(when.year, when.month, when.day, tzinfo=UTC) + timedelta(days=1)


def _price(prices: Any) -> Price:
    from genai_prices.types import TieredPrices
    from genai_prices.units import _get_registry

    registry = _get_registry()
    tokens: dict[str, Rate] = {}
    tools: dict[str, Rate] = {}
    request = audio_second = None
    for key, value in vars(prices).items():
        if value is None or key.startswith("_"):
            continue
        unit = registry.unit_for_price_key(key)
        if isinstance(value, TieredPrices):
            rate = Rate.of(value.base, unit.per, tuple((tier.start, tier.price) for tier in value.tiers))
        else:
            rate = Rate.of(value, unit.per)
        word = _WORD_OF.get(frozenset(unit.dimensions.items()))
        if word is not None:
            tokens[word] = rate
        elif unit.dimensions.get("tool_type") in _TOOL_OF:
            tools[_TOOL_OF[unit.dimensions["tool_type"]]] = rate
        elif key == "requests_kcount":
            request = rate
        elif key == "input_audio_hours" or (key == "audio_hours" and audio_second is None):
            audio_second = rate
    return Price(tokens, tools, request, audio_second)
