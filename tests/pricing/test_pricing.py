"""Prices: exact, the same as genai-prices' own calculation, and the user's file above them."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph import configure
from tachograph.errors import TachographError
from tachograph.pricing import Pricer
from tachograph.pricing.compiled import CompiledPrice, Price, Rate
from tachograph.pricing.sources.published import TIER_FACTORS, same
from tachograph.records import NOWHERE, Cost, LLMCall, Usage
from tachograph.testing import recording

WHEN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def call(
    provider: str,
    model: str,
    usage: Usage | None,
    *,
    response_model: str | None = None,
    tier: str | None = None,
    host: str | None = None,
    when: datetime = WHEN,
) -> LLMCall:
    made = LLMCall(NOWHERE, provider, model)
    made.usage, made.response_model, made.service_tier, made.server_address = usage, response_model, tier, host
    made.started_unix_ns = int(when.timestamp()) * 10**9
    return made


def nano(cost: Cost | None) -> int:
    assert cost is not None
    assert cost.nano_usd is not None
    return cost.nano_usd


THEIR_WORDS = {
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_5m": "cache_write_5m_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "audio_input": "input_audio_tokens",
    "image_input": "input_image_tokens",
    "video_input": "input_video_tokens",
    "audio_cache_read": "cache_audio_read_tokens",
    "reasoning": "output_reasoning_tokens",
    "audio_output": "output_audio_tokens",
    "image_cache_read": "cache_image_read_tokens",
    "image_output": "output_image_tokens",
    "video_output": "output_video_tokens",
}
EVERY_JOIN = ("cache_video_read_tokens", "cache_text_read_tokens")


def random_usage(draw: random.Random) -> Usage:
    """A report that makes sense: parts that lie side by side fit into what they are parts of."""
    five_minutes, one_hour, read_text, read_audio, read_image = (
        draw.choice([0, 0, draw.randrange(5000)]) for _ in range(5)
    )
    audio, image, video = (draw.choice([0, 0, draw.randrange(3000)]) for _ in range(3))
    other = draw.choice([0, draw.randrange(1000), draw.randrange(400_000)])
    reasoning, audio_out, image_out, video_out = (draw.choice([0, 0, draw.randrange(4000)]) for _ in range(4))
    details = {
        "cache_read": read_text + read_audio + read_image,
        "cache_write": five_minutes + one_hour,
        "cache_write_5m": five_minutes,
        "cache_write_1h": one_hour,
        "audio_input": audio + read_audio,
        "audio_cache_read": read_audio,
        "image_input": image + read_image,
        "image_cache_read": read_image,
        "video_input": video,
        "reasoning": reasoning,
        "audio_output": audio_out,
        "image_output": image_out,
        "video_output": video_out,
    }
    return Usage(
        five_minutes + one_hour + read_text + read_audio + read_image + audio + image + video + other,
        reasoning + audio_out + image_out + video_out + draw.randrange(3000),
        {word: tokens for word, tokens in details.items() if tokens},
        {"web_search": draw.randrange(1, 9)} if draw.random() < 0.3 else {},
    )


def theirs(usage: Usage) -> Any:
    from genai_prices import Usage as TheirUsage

    values = {theirs: usage.details.get(ours, 0) for ours, theirs in THEIR_WORDS.items()}
    values |= dict.fromkeys(EVERY_JOIN, 0)
    values |= {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
    values["web_searches"] = usage.tool_uses.get("web_search", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # theirs of combinations that have one price
        return TheirUsage(**values)


def sample_of_models() -> list[tuple[str, str, str]]:
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import ClauseEquals, ClauseOr, ClauseStartsWith

    found = []
    for provider in get_snapshot().providers:
        if provider.id not in ("openai", "anthropic", "google", "azure", "groq", "mistral", "deepseek", "x-ai"):
            continue
        for model in provider.models:
            clause = model.match
            while isinstance(clause, ClauseOr):
                clause = clause.or_[0]
            name = {ClauseEquals: "equals", ClauseStartsWith: "starts_with"}.get(type(clause))
            if name is not None:
                label = "gemini" if provider.id == "google" else provider.id
                found.append((label, provider.id, getattr(clause, name)))
    return found


TIERS: list[tuple[str | None, dict[str, str] | None]] = [
    (None, None),
    ("flex", {"service_tier": "flex"}),
    ("priority", {"service_tier": "priority"}),
    ("batch", {"processing": "batch"}),
]


def test_costs_equal_genai_prices_own_calculation_for_every_model_of_eight_providers() -> None:
    from genai_prices import calc_price

    draw = random.Random(20261123)
    pricer = Pricer()
    compared = 0
    models = sample_of_models()
    assert len(models) > 300
    for label, provider_id, model in models:
        for tier, context in TIERS:
            usage = random_usage(draw)
            if tier is not None:
                usage.tool_uses = {}  # no tier takes anything off a fee
            try:
                expected = calc_price(
                    theirs(usage),
                    model,
                    provider_id=provider_id,
                    genai_request_timestamp=WHEN,
                    price_context=context,
                )
            except (LookupError, ValueError):
                continue  # what they refuse to price is in tests of its own
            if "audio_seconds" in str(expected.model_price) or "kpages" in str(vars(expected.model_price)):
                continue
            if "search" in model or same(provider_id, model) is not None:
                continue  # the fee of each request is ours, too, and what the name stands for
            if expected.model_price.__dict__.get("web_searches_kcount") is None:
                usage.tool_uses = {}  # its fee is ours: in tests of its own
            cost = pricer(call(label, model, usage, tier=tier))
            total = expected.total_price
            if cost is not None and tier and f"no price for service tier {tier!r}" in cost.detail:
                factor = TIER_FACTORS.get((provider_id, tier), Fraction(1))
                total *= Decimal(factor.numerator) / factor.denominator
            exact = total.scaleb(9).quantize(Decimal(1), ROUND_HALF_EVEN)
            if cost is not None and cost.nano_usd is None:
                assert exact == 0, (label, model)  # it has a price, but for none of these parts
                continue
            assert nano(cost) == exact, (label, model, tier, usage)
            compared += 1
    assert compared > 1000


@settings(max_examples=500)
@given(st.integers(0, 2**32))
def test_any_usage_of_the_models_people_use_costs_what_genai_prices_says(seed: int) -> None:
    from genai_prices import calc_price

    draw = random.Random(seed)
    label, provider_id, model = draw.choice(
        [
            ("openai", "openai", "gpt-5"),
            ("openai", "openai", "gpt-4o-audio-preview"),
            ("anthropic", "anthropic", "claude-haiku-4-5-20251001"),
            ("anthropic", "anthropic", "claude-sonnet-5"),
            ("gemini", "google", "gemini-2.5-pro"),
            ("gemini", "google", "gemini-2.5-flash"),
        ]
    )
    usage = random_usage(draw)
    try:
        expected = calc_price(theirs(usage), model, provider_id=provider_id, genai_request_timestamp=WHEN)
    except ValueError:
        return
    if expected.model_price.__dict__.get("web_searches_kcount") is None:
        usage.tool_uses = {}
    exact = expected.total_price.scaleb(9).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert nano(PRICER(call(label, model, usage))) == exact


PRICER = Pricer()


def test_known_prices_by_hand() -> None:
    # claude-haiku-4-5: 1 in, 5 out, 0.10 cached, 1.25 written for 5 minutes, 2 for an hour, 10 a thousand searches
    usage = Usage(
        1000 + 200 + 30 + 4,
        50,
        {"cache_read": 200, "cache_write": 34, "cache_write_5m": 30, "cache_write_1h": 4},
        {"web_search": 3},
    )
    by_hand = 1000 * 1000 + 200 * 100 + 30 * 1250 + 4 * 2000 + 50 * 5000 + 3 * 10_000_000
    cost = PRICER(call("anthropic", "claude-haiku-4-5", usage))
    assert cost is not None
    assert (cost.nano_usd, cost.quality) == (by_hand, "priced")
    assert cost.source.startswith("genai-prices/")


def test_a_long_prompt_costs_more_for_all_of_it() -> None:
    # gemini-2.5-pro: 1.25 and 10 up to 200k tokens of prompt, 2.50 and 15 above
    below = PRICER(call("gemini", "gemini-2.5-pro", Usage(200_000, 10)))
    above = PRICER(call("gemini", "gemini-2.5-pro", Usage(200_001, 10)))
    assert nano(below) == 200_000 * 1250 + 10 * 10_000
    assert nano(above) == 200_001 * 2500 + 10 * 15_000


def test_batch_costs_half() -> None:
    usage = Usage(1000, 1000)
    full = nano(PRICER(call("anthropic", "claude-haiku-4-5", usage)))
    half = PRICER(call("anthropic", "claude-haiku-4-5", usage, tier="batch"))
    assert nano(half) * 2 == full
    assert half is not None
    assert half.quality == "priced"


@pytest.mark.parametrize("tier", ["priority", "PROVISIONED_THROUGHPUT", "something new"])
def test_a_tier_without_a_known_price_is_an_estimate(tier: str) -> None:
    cost = PRICER(call("anthropic", "claude-haiku-4-5", Usage(10, 10), tier=tier))
    assert cost is not None
    assert cost.quality == "estimated"


@pytest.mark.parametrize("tier", [None, "standard", "default", "auto", "ON_DEMAND"])
def test_the_ordinary_tier_has_the_ordinary_price(tier: str | None) -> None:
    cost = PRICER(call("anthropic", "claude-haiku-4-5", Usage(10, 10), tier=tier))
    assert cost == Cost(60_000, "priced", cost.source if cost else "")


def test_the_model_that_answered_is_priced_before_the_one_asked_for() -> None:
    usage = Usage(1000, 100)
    dated = PRICER(call("openai", "gpt-4o", usage, response_model="gpt-4o-2024-08-06"))
    assert nano(dated) == nano(PRICER(call("openai", "gpt-4o-2024-08-06", usage)))
    deployment = PRICER(
        call("openai", "our-deployment", usage, response_model="gpt-4o-2024-08-06", host="x.openai.azure.com")
    )
    assert nano(deployment) == nano(dated)
    assert deployment is not None
    assert deployment.quality == "priced"
    unknown_answer = PRICER(call("openai", "gpt-4o", usage, response_model="no-such-model"))
    assert nano(unknown_answer) == nano(PRICER(call("openai", "gpt-4o", usage)))


def test_the_host_says_whose_prices_hold() -> None:
    usage = Usage(1000, 100)
    at_groq = PRICER(call("openai", "llama-3.1-8b-instant", usage, host="api.groq.com"))
    by_label = PRICER(call("groq", "llama-3.1-8b-instant", usage, host="127.0.0.1"))
    assert at_groq is not None
    assert by_label is not None
    assert at_groq.quality == by_label.quality == "priced"
    assert at_groq.nano_usd == by_label.nano_usd


def test_a_model_without_a_price_is_unpriced_and_never_zero() -> None:
    for label, model in (("openai", "our-own-model-7b"), ("nobody", "nothing")):
        cost = PRICER(call(label, model, Usage(10, 10)))
        assert cost is not None
        assert (cost.nano_usd, cost.quality) == (None, "unpriced")
    with recording() as seen:
        made = seen.recorder.start_llm_call("openai", "our-own-model-7b")
        made.usage = Usage(10, 10)
        made.finish("success")
        assert seen.value("llm_calls_unpriced_total", model="our-own-model-7b") == 1
        assert seen.value("llm_provider_cost_usd_total", model="our-own-model-7b") == 0


@pytest.mark.parametrize(
    ("label", "host", "why"),
    [
        ("openai", None, "no price for zephyr-9 of openai"),
        ("openai", "llm.example.com", "no price for zephyr-9 of openai at llm.example.com"),
        (
            "openai",
            "10.0.0.7",
            "no price for zephyr-9 of openai at 10.0.0.7, a server of your own: only your price file can have one",
        ),
        ("vllm", None, "no price for zephyr-9 of vllm, a server of your own: only your price file can have one"),
    ],
)
def test_a_call_without_a_price_says_what_was_looked_up(label: str, host: str | None, why: str) -> None:
    cost = PRICER(call(label, "zephyr-9", Usage(10, 10), host=host))
    assert cost is not None
    assert (cost.quality, cost.detail) == ("unpriced", why)


def test_a_part_without_a_price_of_its_own_is_an_estimate() -> None:
    cost = PRICER(call("openai", "gpt-5", Usage(100, 100, {"audio_output": 50})))
    assert cost is not None
    assert cost.quality == "estimated"


def test_a_report_that_contradicts_itself_is_an_estimate_and_not_a_failure() -> None:
    cost = PRICER(call("openai", "gpt-5", Usage(100, 100, {"cache_read": 5000})))
    assert cost is not None
    assert cost.quality == "estimated"
    assert nano(cost) > 0


def test_nothing_used_has_no_cost() -> None:
    assert PRICER(call("openai", "gpt-5", None)) is None
    assert PRICER(call("openai", "gpt-5", Usage())) is None


def test_misses_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from tachograph.pricing.sources import bundled

    asked: list[Any] = []
    find: Callable[..., Any] = bundled.find
    monkeypatch.setattr(bundled, "find", lambda *args: asked.append(args) or find(*args))
    pricer = Pricer()
    for _ in range(3):
        found = pricer(call("openai", "our-own-model-7b", Usage(1, 1)))
        assert found is not None
        assert found.quality == "unpriced"
        assert pricer(call("openai", "gpt-5", Usage(1, 1))) is not None
    assert len(asked) == 2


def test_half_a_nano_dollar_rounds_to_even() -> None:
    half = CompiledPrice(Price({"input": Rate.of(Decimal("0.0005"), 1_000_000)}))
    assert [half.nano_usd(Usage(tokens, None))[0] for tokens in (1, 2, 3, 4, 5)] == [0, 1, 2, 2, 2]


def write(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_users_price_file_wins(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
[[price]]
model = "our-own-*"
input = 0.10
output = 0.20
request = 0.001

[[price]]
model = "our-own-model-7b"
provider = "vllm"
input = 1.1
output = 2.2
cache_read = 0.11
web_search = 5
[[price.above]]
input_tokens = 1000
input = 3.3

[[price]]
model = "our-own-model-7b"
provider = "vllm"
from = 2026-12-01
input = 9
output = 9

[[price]]
model = "gpt-5"
tier = "flex"
input = 7
output = 7
""",
    )
    pricer = Pricer(path)
    usage = Usage(1000, 10, {"cache_read": 100}, {"web_search": 2})
    cost = pricer(call("vllm", "our-own-model-7b", usage))
    assert cost == Cost(900 * 1100 + 100 * 110 + 10 * 2200 + 2 * 5_000_000, "priced", "file:prices.toml")
    assert nano(pricer(call("vllm", "our-own-model-7b", Usage(1001, 10)))) == 1001 * 3300 + 10 * 2200
    later = datetime(2026, 12, 1, tzinfo=UTC)
    assert nano(pricer(call("vllm", "our-own-model-7b", Usage(1, 0), when=later))) == 9000
    assert nano(pricer(call("other", "our-own-model-7b", Usage(10, 10)))) == 1_000_000 + 10 * 100 + 10 * 200
    assert nano(pricer(call("openai", "gpt-5", Usage(1, 1), tier="flex"))) == 14_000
    standard = pricer(call("openai", "gpt-5", Usage(1, 1)))
    assert standard is not None
    assert standard.source.startswith("genai-prices/")


def test_of_several_prices_that_fit_the_most_exact_holds(tmp_path: Path) -> None:
    entries = [  # each beats those above it
        ('model = "m*"', 1),
        ('model = "m*"\nfrom = 2026-01-01', 2),
        ('model = "m*"\nprovider = "vllm"', 3),
        ('model = "m*"\ntier = "flex"', 4),
        ('model = "m*"\ntier = "flex"\nspeed = "fast"', 5),
        ('model = "m1"', 6),
        ('model = "m1"\ntier = "flex"\nspeed = "fast"\nregion = "us"', 7),
    ]
    for count in range(1, len(entries) + 1):
        for order in (entries[:count], entries[count - 1 :: -1]):
            path = write(tmp_path, "".join(f"[[price]]\n{scope}\ninput = {usd}\n" for scope, usd in order))
            asked = call("vllm", "m1", Usage(1, 0), tier="flex")
            asked.speed, asked.region = "fast", "us"
            assert nano(Pricer(path)(asked)) == entries[count - 1][1] * 1000


def test_steps_hold_by_their_size_and_not_by_their_order(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
[[price]]
model = "m"
input = 1
output = 1
[[price.above]]
input_tokens = 2000
input = 3
[[price.above]]
input_tokens = 1000
input = 2
output = 2
""",
    )
    pricer = Pricer(path)
    assert nano(pricer(call("x", "m", Usage(1000, 10)))) == 1000 * 1000 + 10 * 1000
    assert nano(pricer(call("x", "m", Usage(1001, 10)))) == 1001 * 2000 + 10 * 2000
    assert nano(pricer(call("x", "m", Usage(2000, 10)))) == 2000 * 2000 + 10 * 2000
    assert nano(pricer(call("x", "m", Usage(2001, 10)))) == 2001 * 3000 + 10 * 2000


def test_a_price_of_items_alone_and_of_audio_by_the_hour(tmp_path: Path) -> None:
    path = write(tmp_path, '[[price]]\nmodel = "ears"\naudio_hour = 0.36\n[[price]]\nmodel = "tool"\nweb_search = 5\n')
    pricer = Pricer(path)
    heard = Usage(0, 0, audio_seconds=90)
    assert nano(pricer(call("x", "ears", heard))) == 9_000_000
    assert nano(pricer(call("x", "tool", Usage(0, 0, {}, {"web_search": 3})))) == 15_000_000


def test_a_missing_price_file_is_refused_when_configuring(tmp_path: Path) -> None:
    with pytest.raises(TachographError, match="price file cannot be read"):
        configure(pricing={"file": str(tmp_path / "absent.toml")}, ledger={"enabled": False})


def test_a_missing_price_file_does_not_break_a_call_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from tachograph import get_recorder, runtime

    monkeypatch.setenv("TACHOGRAPH_PRICING_FILE", str(tmp_path / "absent.toml"))
    monkeypatch.setenv("TACHOGRAPH_LEDGER_ENABLED", "off")
    before = runtime.set_recorder(None)
    try:
        assert get_recorder().pricer is not None
    finally:
        runtime.set_recorder(before)
    assert "absent.toml" in caplog.text
    assert "Going on without the price file" in caplog.text


_WORDS = (
    *("cache_read", "cache_write", "cache_write_1h", "cache_write_5m", "reasoning"),
    *("audio_input", "audio_cache_read", "audio_output", "image_input"),
)
_RATES = st.integers(1, 50_000).map(lambda usd: Rate.of(Decimal(usd) / 1000, 1_000_000))


@settings(max_examples=500)
@given(
    st.dictionaries(st.sampled_from(("input", "output", *_WORDS)), _RATES),
    st.integers(0, 5000),
    st.integers(0, 5000),
    st.dictionaries(st.sampled_from((*_WORDS, "tool_use_prompt")), st.integers(1, 3000)),
    st.dictionaries(st.sampled_from(("web_search", "web_fetch")), st.integers(1, 3)),
)
def test_the_quick_sum_and_the_thorough_one_are_the_same(
    rates: dict[str, Rate], prompt: int, completion: int, details: dict[str, int], tools: dict[str, int]
) -> None:
    usage = Usage(prompt, completion, details, tools)
    # rates above any prompt change nothing, but with them below every prompt there is no quick sum
    thorough = {word: Rate(Rate.of(Decimal(7), 1).nano, ((-1, rate.nano),)) for word, rate in rates.items()}
    assert CompiledPrice(Price(rates)).nano_usd(usage) == CompiledPrice(Price(thorough)).nano_usd(usage)
