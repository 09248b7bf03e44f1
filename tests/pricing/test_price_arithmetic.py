"""The arithmetic of prices: two ways to the same sum, and each word that decides which price holds."""

from __future__ import annotations

import random
from datetime import datetime
from fractions import Fraction

import pytest

from tachograph.pricing import Pricer
from tachograph.pricing.compiled import CompiledPrice, Price, Rate
from tachograph.pricing.dimensions import TOKENS, served
from tachograph.pricing.sources.published import surcharge
from tachograph.records import NOWHERE, LLMCall, Usage

PARTS = [word for word in TOKENS if word not in ("input", "output")]


def random_price(draw: random.Random) -> CompiledPrice:
    """Any parts have prices of their own, some with a step for long prompts."""
    words = [word for word in TOKENS if (word in ("input", "output") and draw.random() < 0.95) or draw.random() < 0.5]

    def rate() -> Rate:
        above = ((1000, Fraction(draw.randrange(900), 3)),) if draw.random() < 0.2 else ()
        return Rate(Fraction(draw.randrange(900), draw.choice((1, 1, 7))), above)

    return CompiledPrice(Price({word: rate() for word in words}, request=rate() if draw.random() < 0.3 else None))


def random_report(draw: random.Random) -> Usage:
    """Some of it makes no sense, and some prompts lie on the step."""
    details = {word: draw.randrange(400) for word in draw.sample(PARTS, draw.choice((0, 1, 1, 2, 3)))}
    return Usage(
        draw.choice((None, 1000, 1001, draw.randrange(2000))), draw.choice((None, draw.randrange(2000))), details
    )


def test_the_short_way_through_a_price_gives_what_the_long_one_gives() -> None:
    draw = random.Random(20)
    for _ in range(400):
        price, usage = random_price(draw), random_report(draw)
        free = {"web_fetch": 1}  # it is looked at, and costs nothing
        the_long_way = Usage(usage.input_tokens, usage.output_tokens, usage.details, free)
        if usage.input_tokens or usage.output_tokens:
            assert price.nano_usd(usage) == price.nano_usd(the_long_way), usage


def test_a_step_of_the_price_begins_above_its_number() -> None:
    price = CompiledPrice(
        Price({"input": Rate(Fraction(1), ((1000, Fraction(3)), (2000, Fraction(5)))), "output": Rate(Fraction(0))})
    )
    assert [price.nano_usd(Usage(n, 0))[0] for n in (1000, 1001, 2000, 2001)] == [1000, 3003, 6000, 10005]


@pytest.mark.parametrize(
    ("tier", "speed", "region", "host", "traffic", "expected"),
    [
        (None, None, None, None, None, ("", "", "")),
        ("default", "standard", "global", None, None, ("", "", "")),
        ("Flex", "Normal", "EU", None, None, ("flex", "", "eu")),
        ("fast", None, None, None, None, ("", "fast", "")),
        ("fast", "standard", None, None, None, ("", "", "")),
        ("flex_processing", None, None, None, None, ("flex", "", "")),
        (None, None, None, None, "ON_DEMAND_PRIORITY", ("priority", "", "")),
        ("batch", None, None, None, "ON_DEMAND_PRIORITY", ("batch", "", "")),
        (None, None, None, "eu.api.openai.com", None, ("", "", "eu")),
        (None, None, "US-west-1", "eu.api.openai.com", None, ("", "", "us-west-1")),
        (None, None, None, "europe-west4-aiplatform.googleapis.com", None, ("", "", "europe-west4")),
        (None, None, None, "aiplatform.us.rep.googleapis.com", None, ("", "", "us")),
        (None, None, "not_available", None, None, ("", "", "")),
        (None, None, None, "api.openai.com", None, ("", "", "")),
    ],
)
def test_tier_speed_and_region_are_each_one_word(
    tier: str | None, speed: str | None, region: str | None, host: str | None, traffic: str | None, expected: object
) -> None:
    how = served("openai", host, 443, ("gpt-5",), tier, speed, region, traffic)
    assert (how.tier, how.speed, how.region) == expected


@pytest.mark.parametrize(
    ("provider", "model", "region", "factor", "doubt"),
    [
        ("google", "gemini-3-pro", "", 1, ""),
        ("google", "gemini-3-pro", "europe-west4", 1, "region 'europe-west4' may have other prices"),
        ("google", "gemini-2.5-pro", "europe-west4", 1, ""),
        ("azure", "gpt-5", "eu", 1, "region 'eu' may have other prices"),
        ("mistral", "mistral-large", "eu", 1, ""),
    ],
)
def test_a_region_that_may_have_other_prices_puts_them_in_doubt(
    provider: str, model: str, region: str, factor: int, doubt: str
) -> None:
    assert surcharge(provider, model, region) == (factor, doubt)


@pytest.mark.parametrize(
    ("label", "model", "host", "nano", "doubt"),
    [
        ("openai", "anthropic/claude-sonnet-4-5", "api.anthropic.com", 180_000, ""),
        ("openai", "anthropic/claude-sonnet-4-5", None, 180_000, ""),
        (
            "openai",
            "anthropic/claude-sonnet-4-5",
            "api.groq.com",
            180_000,
            "price of anthropic, as the model's name says",
        ),
        ("anthropic", "claude-sonnet-4-5", "api.openai.com", 180_000, "price of anthropic, not of api.openai.com"),
        ("openai", "gpt-5", "api.anthropic.com", 112_500, "price of openai, not of api.anthropic.com"),
        ("openai", "gpt-5", "api.openai.com", 112_500, ""),
        ("gemini", "gemini-2.5-pro", None, 112_500, ""),
    ],
)
def test_the_vendor_whose_price_is_taken_is_named_where_it_may_be_another(
    label: str, model: str, host: str | None, nano: int, doubt: str
) -> None:
    cost = Pricer()(called(label, model, Usage(10, 10), server_address=host))
    assert cost is not None
    assert (cost.nano_usd, cost.quality, cost.detail) == (nano, "estimated" if doubt else "priced", doubt)


def called(label: str, model: str, usage: Usage, **facts: object) -> LLMCall:
    made = LLMCall(NOWHERE, label, model)
    made.usage, made.outcome, made.started_unix_ns = usage, "success", 1_795_000_000 * 10**9
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def test_a_price_by_the_time_of_day_changes_with_the_minute_whatever_was_asked_before() -> None:
    kept, found = Pricer(), []
    for clock in (
        "03:59:50",
        "04:00:00",
        "04:00:10",
        "05:59:59",
        "06:00:30",
        "09:59:59",
        "10:00:00",
        "23:59:30",
        "03:59:59",
    ):
        started = datetime.fromisoformat(f"2026-11-23T{clock}+00:00")
        call = called("deepseek", "deepseek-v4-flash", Usage(10, 10), started_unix_ns=int(started.timestamp()) * 10**9)
        assert kept(call) == Pricer()(call)
        found.append(getattr(kept(call), "nano_usd", None))
    high, low = found[0], found[1]
    assert found == [high, low, low, low, high, high, low, low, high]
    assert high == 10 * 300 + 10 * 1200 != low


def test_a_factor_is_taken_of_every_part_or_of_tokens_alone() -> None:
    rate = Rate(Fraction(8), ((100, Fraction(16)),))
    price = Price({"input": rate}, {"web_search": rate}, rate, rate, {"web_search": "why"})
    half = Rate(Fraction(4), ((100, Fraction(8)),))
    assert price.times(Fraction(1, 2)) == Price(
        {"input": half}, {"web_search": half}, half, half, {"web_search": "why"}
    )
    only = Price({"input": half}, {"web_search": rate}, rate, rate, {"web_search": "why"})
    assert price.times(Fraction(1, 2), only_tokens=True) == only
    assert price.times(Fraction(1)) is price
    cost = CompiledPrice(price).nano_usd(Usage(100, None, {}, {"web_search": 3}, audio_seconds=2.5))
    assert cost == (8 + 800 + 24 + 20, ("why",))
