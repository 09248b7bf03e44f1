"""The bundled prices: genai-prices' data, which comes with the package and needs no network.

Importing it takes a moment (35 ms, and 0.1 s for pydantic and httpx2 where no SDK has imported them), so `load` does it
once an SDK is imported, or before the first call begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from tachograph.pricing.compiled import Price, Rate
from tachograph.pricing.dimensions import TOKENS, TOOLS, Name, Served, is_free, is_local, names, serves_own_models
from tachograph.pricing.sources import published

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_LABELS = {"gemini": "google", "azure_openai": "azure", "vertex": "google", "bedrock": "aws"}
_WORD_OF = {dimensions: word for word, dimensions in TOKENS.items()}
_TOOL_OF = {theirs: ours for ours, theirs in TOOLS.items()}
_OF_CLIENTS = frozenset({"openai", "anthropic", "google"})
"""Labels that a client library gives to a host that it does not know."""
_CLOSED = re.compile(
    r"(ft:)?(gpt-(?!oss)|o\d|chatgpt|codex|computer-use|text-embedding|whisper-1|tts-1|dall-e|sora|claude|gemini|imagen|veo-|lyria)"
)
"""Models that only their vendors and its partners serve: on a private host they are reached through a proxy."""
_OWN = frozenset({"ollama", "vllm", "lmstudio"})


@dataclass(frozen=True, slots=True)
class Found:
    """A price that was found.

    Attributes:
        doubts: Why it may be another one; empty when it is the price.
        region: Where, if that made a difference.
        is_by_minute: Whether it may change within the day (UTC).
    """

    price: Price
    doubts: tuple[str, ...] = ()
    region: str = ""
    is_by_minute: bool = False


@cache
def source() -> str:
    """What the prices are, for `Cost.source`."""
    return f"genai-prices/{version('genai-prices')}"


@cache
def load() -> DataSnapshot:
    """The data, imported by the first that asks: by the thread of the application that begins a call, or before.

    No thread of ours may do that. What it has half imported, the application would find in `sys.modules`
    (`openai.OpenAI()` then failed with AttributeError), and locks of pydantic that it holds stay taken in a child that
    is forked meanwhile: nothing there could use pydantic any more.
    """
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def find(served: Served, when: datetime) -> Found | None:
    """The price of the first of a call's models that has one.
    Args:
        served: How and where.
        when: When the call began, UTC.
    """
    if is_free(served.models):
        free = Rate(Fraction(0))
        return Found(Price({"input": free, "output": free}))
    looked_up = names(served.models)
    if serves_own_models(served.label, served.host, served.port) or any(name.provider in _OWN for name in looked_up):
        return None
    snapshot = load()
    for name, provider, doubt in _candidates(served, looked_up):
        same = published.same(provider.id, name.model)
        if same is not None:
            return _found_by(same, served, when, name, doubt)
        model = provider.find_model(name.model, all_providers=snapshot.providers)
        if model is not None:
            return _found(served, when, name, provider, model, doubt)
        own = _published(provider.id, name.model)
        if own is not None:
            doubts = [doubt, f"no price for service tier {served.tier!r}" if served.tier else ""]
            own = own.times(published.TIER_FACTORS.get((provider.id, served.tier), Fraction(1)), only_tokens=True)
            return Found(own, tuple(filter(None, doubts)))
    return None


def _found_by(same: published.Same, served: Served, when: datetime, name: Name, doubt: str) -> Found | None:
    """The price of a model by that of another."""
    from genai_prices.data_snapshot import find_provider_by_id

    providers = load().providers
    provider = find_provider_by_id(providers, same.of[0])
    model = None if provider is None else provider.find_model(same.of[1], all_providers=providers)
    if provider is None or model is None:
        return None
    if provider.id != same.provider:
        served = served._replace(region="")  # which the factor has
    found = _found(served, when, name._replace(model=same.of[1]), provider, model, doubt)
    doubts = (*found.doubts, same.doubt) if same.doubt else found.doubts
    return replace(found, price=found.price.times(same.factor, only_tokens=True), doubts=doubts)


def _published(provider: str, model: str) -> Price | None:
    """The price of a model that genai-prices does not hold, where its vendor publishes one that we have."""
    rates = {word: Rate.of(usd, 1_000_000) for word, usd in published.tokens(provider, model).items()}
    price = _with_fees(Price(rates), provider, model)
    return price if rates or published.media(provider, model) is not None else None


def _candidates(served: Served, looked_up: list[Name]) -> Iterator[tuple[Name, Provider, str]]:
    """Names and the providers whose prices may hold for them, best first, and why they might not."""
    from genai_prices.data_snapshot import find_provider_by_id

    providers = load().providers
    of_host = _of_host(served.host)
    of_label = find_provider_by_id(providers, _LABELS.get(served.label, served.label))
    is_private = is_local(served.host)
    for name in looked_up:
        if name.provider is not None:
            named = find_provider_by_id(providers, name.provider)
            if named is not None:
                differs = of_host is not None and named is not of_host
                yield name, named, f"price of {named.id}, as the model's name says" if differs else ""
        if of_host is not None:
            yield name, of_host, ""
        if of_label is not None and of_label is not of_host:
            is_guess = is_private and of_label.id in _OF_CLIENTS and not _CLOSED.match(name.model)
            if not is_guess:
                yield name, of_label, f"price of {of_label.id}, not of {served.host}" if of_host is not None else ""
    if is_private:
        return  # a server of the user's own: no other vendor's price holds there
    for name in looked_up:  # not by `find_provider`, which keeps every name it has ever been asked for
        for guessed in providers:
            if guessed.model_match is not None and guessed.model_match.is_match(name.model):
                yield name, guessed, f"price of {guessed.id}, not of {served.label}"
                break


def _of_host(host: str | None) -> Provider | None:
    if host and "." in host:
        with suppress(LookupError):  # a server of the user's own, or a proxy: the label says whose prices hold
            return load().find_provider(None, None, f"https://{host}")
    return None


def _found(served: Served, when: datetime, name: Name, provider: Provider, model: ModelInfo, doubt: str) -> Found:
    prices, doubts = _prices(served, provider, model, when)
    if doubt:
        doubts.append(doubt)
    tuned = published.fine_tuned(name.model) if name.variant.startswith("ft:") else None
    if name.variant and tuned is None:
        doubts.append(f"price of {name.model}, not of {name.variant}")
    discount = Fraction(1)
    if served.tier and (doubts or tuned is not None):
        discount = published.TIER_FACTORS.get((provider.id, served.tier), discount)
    factor, unsure = published.surcharge(provider.id, name.model, served.region)
    if unsure:
        doubts.append(unsure)
    price = _with_fees(_price(prices), provider.id, name.model)
    if tuned is not None:
        price = replace(price, tokens={word: Rate.of(usd, 1_000_000) for word, usd in tuned.items()})
    for word, made in (("image", "image_output"), ("tts", "audio_output")):
        if word in name.model and "output" in price.tokens:  # such a model puts out nothing else
            price = replace(price, tokens={made: price.tokens["output"], **price.tokens})
    price = price.times(discount * factor, only_tokens=True)
    return Found(price, tuple(doubts), served.region if factor != 1 else "", _is_by_minute(model))


def _with_fees(price: Price, provider: str, model: str) -> Price:
    """The price with what the vendor charges by item, where genai-prices does not say."""
    tools, doubts, request = dict(price.tools), {}, price.request
    for tool, fee in published.fees(provider, model).items():
        if tool == "request":
            request = request or Rate.of(fee.usd, 1000)
        elif tool not in tools:
            tools[tool] = Rate.of(fee.usd, 1000)
            if fee.doubt:
                doubts[tool] = fee.doubt
    media = published.media(provider, model)
    if media is not None:
        tools |= {item: Rate.of(usd, 1) for item, usd in media.usd.items()}
        doubts |= dict.fromkeys(media.usd, media.doubt) if media.doubt else {}
    return replace(price, tools=tools, request=request, doubts=doubts)


def _prices(served: Served, provider: Provider, model: ModelInfo, when: datetime) -> tuple[ModelPrice, list[str]]:
    """The model's prices on that day, tier and speed, and which of these has no price of its own."""
    if not served.tier and not served.speed:
        return model.get_prices(when), []
    asked = []
    if served.tier == "batch":
        asked.append(({"processing": "batch"}, "service tier 'batch'"))
    elif served.tier:
        asked.append(({"service_tier": served.tier}, f"service tier {served.tier!r}"))
    if served.speed:
        context = {"speed": served.speed, "service_tier": served.speed}
        asked.append((context, f"speed {served.speed!r}"))
    if not any(model is own for own in provider.models):  # tiers are the provider's own, not those it borrows from
        return model.get_prices(when), [f"no price for {word}" for _, word in asked]
    whole: dict[str, str] = {}
    doubts = []
    for context, word in asked:
        whole |= context
        if not any(
            all(context.get(key) == value for key, value in variant.when.items())
            and (variant.constraint is None or variant.constraint.active(when))
            for variant in model.price_variants or ()
        ):
            doubts.append(f"no price for {word}")
    return model.get_prices(when, whole), doubts


def _is_by_minute(model: ModelInfo) -> bool:
    """Whether the model has prices by the time of the day."""
    from genai_prices.types import ModelPrice, TimeOfDateConstraint

    prices = model.prices
    return not isinstance(prices, ModelPrice) and any(isinstance(p.constraint, TimeOfDateConstraint) for p in prices)


def _price(prices: object) -> Price:
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
        elif key == "input_mchars":
            tools["character"] = rate
        elif key == "requests_kcount":
            request = rate
        elif key == "input_audio_hours" or (key == "audio_hours" and audio_second is None):
            audio_second = rate
    return Price(tokens, tools, request, audio_second)
