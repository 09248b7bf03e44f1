"""The arithmetic of prices: two ways to the same sum, and each word that decides which price holds."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tachograph.pricing import Pricer
from tachograph.pricing.compiled import CompiledPrice, Price, Rate
from tachograph.pricing.dimensions import TOKENS, Name, Served, is_free, is_local, names, served, serves_own_models
from tachograph.pricing.sources import bundled, published
from tachograph.pricing.sources.published import surcharge
from tachograph.records import NOWHERE, Cost, LLMCall, Usage
from tachograph.records.llm_call import Attempt

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


WHEN = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "first_token_ns", "is_answered"),
    [(200, 0, True), (399, 0, True), (400, 0, False), (None, 0, False), (None, 5, True), (500, 5, True)],
)
def test_a_stream_costs_its_prompt_once_it_is_answered(
    status: int | None, first_token_ns: int, is_answered: bool
) -> None:
    made = called("openai", "gpt-5", Usage(), stream=True, first_token_ns=first_token_ns, counts_usage=True)
    made.usage, made.body = None, {"input": "x" * 402}
    assert Pricer()(made) is None  # no attempt was made
    made.attempts.append(Attempt(1, started_ns=1))
    made.attempts[0].status = status
    cost = Pricer()(made)
    assert (None if cost is None else cost.nano_usd) == (100 * 1_250 if is_answered else None)
    for body, nano in (({"input": "abc"}, 1_250), ({"input": "x" * 8}, 2_500), ({}, None), (None, None)):
        made.body = body
        cost = Pricer()(made)
        assert (None if cost is None else cost.nano_usd) == (nano if is_answered else None)
    made.body = {"input": "x" * 402}
    for name, value in (("stream", False), ("outcome", None), ("counts_usage", False)):
        kept = getattr(made, name)
        setattr(made, name, value)
        assert Pricer()(made) is None
        setattr(made, name, kept)


def test_a_cost_that_the_vendor_states_names_it_whether_ours_is_known_or_not() -> None:
    made = called("perplexity", "no-such-model", Usage(), stated_cost_nano_usd=7)
    made.usage = None
    assert Pricer()(made) == Cost(7, "stated", "stated by perplexity")
    made.usage = Usage(10, 10)
    cost = Pricer()(made)
    assert cost == Cost(7, "stated", "stated by perplexity", "no price for no-such-model of perplexity")
    stated = called("openai", "gpt-5", Usage(10, 10), stated_cost_nano_usd=7)
    assert Pricer()(stated) == Cost(7, "stated", "stated by openai", "", 112_500)


def test_what_other_models_did_for_an_answer_is_added_at_their_prices() -> None:
    used, other = Usage(10, 10), ("gpt-5-nano", Usage(1_000, 100))
    small = 1_000 * 50 + 100 * 400
    both = Pricer()(called("openai", "gpt-5", used, others=(other, other)))
    assert both is not None
    assert (both.nano_usd, both.quality, both.detail) == (112_500 + 2 * small, "priced", "")
    unknown = Pricer()(called("openai", "gpt-5", used, others=(("x-9", used), other, ("y-9", used))))
    assert unknown is not None
    assert (unknown.nano_usd, unknown.quality) == (112_500 + small, "estimated")
    assert unknown.detail == "no price for x-9, which took part; no price for y-9, which took part"
    part = Pricer()(called("openai", "gpt-5", used, others=(("gpt-5-nano", Usage(10, 0, {"audio_input": 3})),)))
    assert part is not None
    assert (part.nano_usd, part.detail) == (112_500 + 500, "no price for audio_input")


def test_a_list_of_requests_costs_those_that_have_a_price_and_says_each_doubt_once() -> None:
    used = Usage(10, 10, {}, {"teleport": 1})
    cost = Pricer()(called("openai", "gpt-5", used, usages=(used, used)))
    assert cost == Cost(225_000, "estimated", cost.source if cost else "", "no price for teleport")


def test_the_cache_of_prices_is_emptied_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tachograph.pricing.pricer._LARGEST_CACHE", 2)
    pricer = Pricer()
    sizes = []
    for model in ("a", "b", "c", "c", "d"):
        pricer(called("openai", model, Usage(1, 1)))
        sizes.append(len(pricer._cache))
    assert sizes == [1, 2, 1, 1, 2]


@pytest.mark.parametrize(
    ("speed", "tier", "nano", "detail"),
    [
        ("", "", 10 * 5_000 + 10 * 25_000, ""),
        ("fast", "", 2 * (10 * 5_000 + 10 * 25_000), ""),
        ("", "batch", (10 * 5_000 + 10 * 25_000) // 2, ""),
        ("fast", "odd", 2 * (10 * 5_000 + 10 * 25_000), "no price for service tier 'odd'"),
        ("slow", "odd", 10 * 5_000 + 10 * 25_000, "no price for service tier 'odd'; no price for speed 'slow'"),
    ],
)
def test_tier_and_speed_each_have_their_price_or_are_in_doubt(speed: str, tier: str, nano: int, detail: str) -> None:
    cost = Pricer()(called("anthropic", "claude-opus-4-8", Usage(10, 10), speed=speed, service_tier=tier))
    assert cost is not None
    assert (cost.nano_usd, cost.quality, cost.detail) == (nano, "estimated" if detail else "priced", detail)


def found(*served_as: Any, **facts: Any) -> bundled.Found | None:
    return bundled.find(Served(*served_as, **facts), WHEN)


@pytest.mark.parametrize(
    ("label", "host", "model", "vendor"),
    [
        ("openai", None, "gpt-5", "openai"),
        ("openai", "10.0.0.5", "gpt-5", "openai"),  # through a proxy: no other vendor serves it
        ("openai", "10.0.0.5", "mistral-large-latest", None),  # of the user's own, or of another vendor
        ("mistral", "10.0.0.5", "mistral-large-latest", "mistral"),  # not a label that a client gives to any host
        ("openai", "llm.example.com", "mistral-large-2512", "mistral"),  # guessed by its name
        ("openai", "llm.example.com", "no-such-model", None),
    ],
)
def test_on_a_private_host_no_other_vendor_s_price_holds(
    label: str, host: str | None, model: str, vendor: str | None
) -> None:
    price = found(label, host, 443, (model,))
    assert (price is None) is (vendor is None)
    if price is not None and vendor != label:
        assert price.doubts == (f"price of {vendor}, not of {label}",)


def test_a_guess_goes_on_to_the_next_name_where_the_first_has_no_price() -> None:
    price = found("someone", "llm.example.com", 443, ("mistral-no-such", "gpt-5"))
    assert price is not None
    assert price.doubts == ("price of openai, not of someone",)


def test_a_model_that_costs_what_another_does_keeps_its_own_doubts() -> None:
    price = found("mistral", None, None, ("mistral-large-latest",))
    assert price is not None
    assert price.doubts == ("the name stands for the newest model, whose price changes with it",)
    elsewhere = found("mistral", "api.groq.com", 443, ("mistral-large-latest",))
    assert elsewhere is not None
    assert elsewhere.doubts == ("price of mistral, not of api.groq.com", *price.doubts)
    assert elsewhere.price == price.price


def test_a_tier_of_a_price_that_is_only_published_is_a_share_of_its_tokens() -> None:
    plain, batch, odd = (found("google", None, None, ("gemini-4-hydrogen",), tier) for tier in ("", "batch", "odd"))
    assert plain is not None
    assert batch is not None
    assert odd is not None
    assert (plain.doubts, plain.price.tokens["output"]) == ((), Rate(Fraction(7_500)))
    assert batch.price == plain.price.times(Fraction(1, 2), only_tokens=True)
    assert batch.doubts == ("no price for service tier 'batch'",)
    assert (odd.price, odd.doubts) == (plain.price, ("no price for service tier 'odd'",))
    film, half = (found("google", None, None, ("veo-3.1-fast-generate-001",), tier) for tier in ("", "batch"))
    assert film is not None
    assert half is not None
    assert film.price.tools == half.price.tools  # by the second: no tokens


def test_prices_by_the_time_of_the_day_are_known_by_their_model() -> None:
    price, other = found("deepseek", None, None, ("deepseek-v4-flash",)), found("openai", None, None, ("gpt-5",))
    assert price is not None
    assert other is not None
    assert (price.is_by_minute, other.is_by_minute) == (True, False)


def test_published_prices_are_by_item_and_size() -> None:
    assert published._by_size("low", "0.1", "0.2") == {
        "image/low/1024x1024": Decimal("0.1"),
        "image/low/1024x1536": Decimal("0.2"),
        "image/low/1536x1024": Decimal("0.2"),
    }
    assert published._of_sizes("a", ("1x2", "2x1"), "0.5") == {"a/1x2": Decimal("0.5"), "a/2x1": Decimal("0.5")}
    assert published._each({"a": "1", "b": "0.25"}) == {"a": Decimal(1), "b": Decimal("0.25")}
    assert published.tokens("cohere", "embed-v5.0-pro") == {"input": Decimal("0.12")}
    assert published.tokens("openai", "embed-v5.0-pro") == published.tokens("cohere", "embed-v5.0-pro-2") == {}
    assert published.media("google", "veo-2.0-x") == published.Media(
        "google",
        published.media("google", "veo-2.0-x").models,
        {"video_second": Decimal("0.50")},
    )
    assert published.media("openai", "veo-2.0-x") is None
    assert published.media("openai", "dall-e-3-x") is None
    assert published.same("openai", "daybreak-blue-latest") is not None
    assert published.same("google", "daybreak-blue-latest") is None
    assert published.fine_tuned("o4-mini") == {
        "input": Decimal(4), "cache_read": Decimal(1), "output": Decimal(16),
    }  # fmt: skip
    assert published.fine_tuned("o4") is None


def test_the_first_fee_of_a_tool_that_fits_a_model_counts() -> None:
    fees = published.fees("openai", "gpt-4.1")
    assert {tool: fee.usd for tool, fee in fees.items()} == {
        "web_search": Decimal(10), "web_search_preview": Decimal(25), "file_search": Decimal("2.5"),
        "code_interpreter": Decimal(30),
    }  # fmt: skip
    assert published.fees("openai", "gpt-5")["web_search_preview"].usd == Decimal(10)
    assert published.fees("nobody", "gpt-5") == {}
    assert published.fees("openai", "gpt-5-search-api")["request"].usd == Decimal(10)


@pytest.mark.parametrize(
    ("provider", "model", "region", "factor", "doubt"),
    [
        ("anthropic", "claude-opus-4-6", "us", "1.1", ""),
        ("anthropic", "claude-opus-4-5", "us", "1", ""),
        ("anthropic", "claude-opus-5", "us", "1.1", ""),
        ("anthropic", "claude-opus-4-6", "eu", "1.1", "the surcharge of region 'eu' is not known"),
        ("openai", "gpt-5.4", "eu", "1.1", ""),
        ("openai", "gpt-5.3", "eu", "1", ""),
        ("openai", "gpt-6", "eu", "1.1", ""),
        ("google", "claude-sonnet-4-5", "europe-west4", "1.1", ""),
        ("google", "claude-3-7-sonnet", "europe-west4", "1", ""),
        ("aws", "amazon.nova-pro-v1:0", "ap-south-1", "1", "region 'ap-south-1' may have other prices"),
        ("aws", "global.amazon.nova-2-lite-v1:0", "ap-south-1", "1", ""),
        ("aws", "eu.anthropic.claude-sonnet-4-5", "eu-west-1", "1", ""),
        ("google", "gemini-3.0-pro", "us", "1", "region 'us' may have other prices"),
    ],
)
def test_a_region_raises_prices_from_a_generation_on(
    provider: str, model: str, region: str, factor: str, doubt: str
) -> None:
    assert surcharge(provider, model, region) == (Fraction(factor), doubt)


@pytest.mark.parametrize(
    ("models", "looked_up"),
    [
        (("gpt-5",), [Name("gpt-5")]),
        (("models/gemini-2.5-pro",), [Name("models/gemini-2.5-pro"), Name("gemini-2.5-pro")]),
        (
            ("OpenRouter/anthropic/claude-x",),
            [
                Name("OpenRouter/anthropic/claude-x"),
                Name("anthropic/claude-x", "openrouter"),
                Name("claude-x", "anthropic"),
            ],
        ),
        (("azure/mine/",), [Name("azure/mine/"), Name("mine/", "azure")]),
        (("ft:gpt-4o:org:x:1",), [Name("ft:gpt-4o:org:x:1"), Name("gpt-4o", None, "ft:gpt-4o:org:x:1")]),
        (("a:online", "b"), [Name("a:online"), Name("b"), Name("a", None, "a:online")]),
        (("a:other",), [Name("a:other")]),
        ((":online",), [Name(":online")]),
        (("gpt-5-2026-01-02",), [Name("gpt-5-2026-01-02"), Name("gpt-5", None, "gpt-5-2026-01-02")]),
        (("-2026-01-02",), [Name("-2026-01-02")]),
        (("a", "a"), [Name("a")]),
    ],
)
def test_names_are_looked_up_as_given_then_without_paths_and_then_without_variants(
    models: tuple[str, ...], looked_up: list[Name]
) -> None:
    assert names(models) == looked_up


@pytest.mark.parametrize(
    ("models", "free"),
    [(("a:free",), True), (("a", "a:free"), True), (("b", "a:free"), False), (("a:free", "a"), True), (("a",), False)],
)
def test_a_name_says_that_a_model_is_free(models: tuple[str, ...], free: bool) -> None:
    assert is_free(models) is free


@pytest.mark.parametrize(
    ("host", "local"),
    [
        (None, False), ("", False), ("localhost", True), ("a.localhost", True), ("nas.local", True),
        ("llm.internal", True), ("box.lan", True), ("ollama", True), ("[::1]", True), ("::1", True),
        ("10.1.2.3", True), ("192.168.1.1", True), ("127.0.0.9", True), ("8.8.8.8", False),
        ("[2001:4860:4860::8888]", True), ("api.openai.com", False), ("localhost.example.com", False),
    ],
)  # fmt: skip
def test_a_host_of_this_machine_or_a_private_network_is_local(host: str | None, local: bool) -> None:
    assert is_local(host) is local


@pytest.mark.parametrize(
    ("label", "host", "port", "own"),
    [
        ("openai", "localhost", 8000, True), ("openai", "127.0.0.1", 8000, True), ("openai", "::1", 8000, True),
        ("openai", "[::1]", 8000, True), ("openai", "10.0.0.5", 8000, False), ("openai", "localhost", 8001, False),
        ("openai", "10.0.0.5", 11434, True), ("openai", "10.0.0.5", 1234, True), ("openai", "8.8.8.8", 11434, False),
        ("ollama", "8.8.8.8", 443, True), ("vllm", None, None, True), ("lm_studio", None, None, True),
        ("openai", None, None, False),
    ],
)  # fmt: skip
def test_a_server_of_one_s_own_is_known_by_its_label_or_port(
    label: str, host: str | None, port: int | None, own: bool
) -> None:
    assert serves_own_models(label, host, port) is own


def test_of_items_of_media_the_price_that_names_most_holds() -> None:
    rates = {
        name: Rate(Fraction(nano)) for nano, name in enumerate(("image", "image/hd", "image/zz", "image/hd/1x1"), 1)
    }
    price = CompiledPrice(Price({}, rates))
    wanted = {"image": 1, "image/hd/2x2": 2, "image/1x1/hd": 4, "image/2x2": 1, "image/hd/1x1/zz": 4, "image/zz/hd": 2}
    for item, nano in wanted.items():
        assert price.nano_usd(Usage(tool_uses={item: 10})) == (10 * nano, ()), item
    assert price.nano_usd(Usage(tool_uses={"video": 1})) == (None, ("no price for video",))


def test_a_sum_of_requests_is_rounded_once_and_a_price_by_steps_holds_for_each_part() -> None:
    step = ((1_000, Fraction(2)),)
    price = CompiledPrice(
        Price(
            {
                "input": Rate(Fraction(1, 2), step),
                "output": Rate(Fraction(1), step),
                "cache_read": Rate(Fraction(1, 4), ((1_000, Fraction(1)), (1_001, Fraction(9)))),
            },
            request=Rate(Fraction(100)),
        )
    )
    for requests, usage, nano in (
        (1, Usage(1_000, 3, {"cache_read": 10}), 100 + 495 + 3 + 2),
        (1, Usage(1_001, 3, {"cache_read": 10}), 100 + 2 * 991 + 6 + 10),
        (1, Usage(1_002, 3, {"cache_read": 10}), 100 + 2 * 992 + 6 + 90),
        (2, Usage(1_000, 3, {"cache_read": 10}), 200 + 495 + 3 + 2),
        (0, Usage(1_000, 3), 100 + 500 + 3),
        (1, Usage(1, 0), 100),
        (1, Usage(3, 0), 102),
    ):
        assert price.nano_usd(usage, requests) == (nano, ()), usage


def test_a_source_names_the_region_only_where_it_made_a_difference() -> None:
    kept = Pricer()
    sources = [
        cost.source.partition(" ")[2]
        for model, region in (("gpt-5.4", "eu"), ("gpt-5", "eu"), ("gpt-5.4", None))
        if (cost := kept(called("openai", model, Usage(1, 1), region=region))) is not None
    ]
    assert sources == ["region=eu", "", ""]


def test_a_fee_that_is_in_doubt_is_an_estimate() -> None:
    cost = Pricer()(called("openai", "gpt-5", Usage(10, 10, {}, {"code_interpreter": 2, "web_search": 1})))
    assert cost is not None
    assert (cost.nano_usd, cost.quality) == (112_500 + 60_000_000 + 10_000_000, "estimated")
    assert cost.detail == "code_interpreter: a container of 1 GB, by its session"
