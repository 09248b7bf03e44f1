"""What is not known about a cost is said beside it, and what is known is added up all the same."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tachograph.pricing import Pricer
from tachograph.pricing.compiled import CompiledPrice, Price, Rate
from tachograph.records import NOWHERE, Attempt, Cost, LLMCall, Usage

PRICER = Pricer()
USED = Usage(10, 10)
GPT_5 = 10 * 1_250 + 10 * 10_000
"""Of USED, in nano-dollars."""


def call(provider: str, model: str, used: Usage, **facts: Any) -> LLMCall:
    made = LLMCall(NOWHERE, provider, model)
    made.usage, made.outcome, made.started_unix_ns = used, "success", 1_795_000_000 * 10**9
    for name, value in facts.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("facts", "nano", "detail"),
    [
        ({}, GPT_5, ""),
        (
            {"others": (("no-such-a", USED), ("no-such-b", USED), ("gpt-5-mini", Usage(4, 0)))},
            GPT_5 + 4 * 250,
            "no price for no-such-a, which took part; no price for no-such-b, which took part",
        ),
        (
            {"stream": True, "outcome": "cancelled", "finish_reason": "stop"},
            GPT_5,
            "the stream was closed early: what followed its last report is not in it",
        ),
        (
            {"stream": True, "outcome": "error"},
            GPT_5,
            "the stream was cut: what followed its last report is not in it",
        ),
        ({"stream": True, "outcome": "error", "finish_reason": "stop"}, GPT_5, ""),
        ({"outcome": "error"}, GPT_5, ""),
        ({"usage_mismatch": "total"}, GPT_5, "the usage report contradicts itself (total)"),
        (
            {"unknown_billables": ("a", "b"), "usage_mismatch": "total"},
            GPT_5,
            "unknown item or field 'a'; unknown item or field 'b'; the usage report contradicts itself (total)",
        ),
        ({"usage": Usage(10, 10, {"image_output": 5})}, GPT_5, "no price for image_output"),
        ({"usage": Usage(10, 10, audio_seconds=3)}, GPT_5, "no price for audio_seconds"),
        ({"speed": "standard"}, GPT_5, ""),
        ({"speed": "normal"}, GPT_5, ""),
        ({"speed": "fast"}, 2 * GPT_5, ""),
    ],
)
def test_what_is_in_doubt_is_said_beside_the_cost(facts: dict[str, Any], nano: int, detail: str) -> None:
    cost = PRICER(call("openai", "gpt-5", USED, **facts))
    quality = "estimated" if detail else "priced"
    assert cost == Cost(nano, quality, cost.source if cost else "", detail)


@pytest.mark.parametrize(
    ("provider", "host", "model"),
    [("azure", "x.openai.azure.com", "gpt-5"), ("openrouter", "openrouter.ai", "openai/gpt-5")],
)
def test_a_tier_has_no_price_at_a_host_that_only_passes_models_on(provider: str, host: str, model: str) -> None:
    asked = call(provider, model, USED, service_tier="priority", server_address=host)
    cost = PRICER(asked)
    assert cost is not None
    assert (cost.nano_usd, cost.detail) == (GPT_5, "no price for service tier 'priority'")


@pytest.mark.parametrize(
    ("outcome", "how"), [("success", "reported no usage"), ("cancelled", "was closed before it reported usage")]
)
def test_a_stream_without_usage_costs_at_least_its_prompt(outcome: str, how: str) -> None:
    made = call("openai", "gpt-5", Usage(), stream=True, outcome=outcome, first_token_ns=1, counts_usage=True)
    made.usage, made.body = None, {"messages": [{"role": "user", "content": "x" * 4_000}]}
    made.attempts.append(Attempt(1, started_ns=1))
    cost = PRICER(made)
    assert cost is not None
    assert cost.detail == f"the stream {how}: only its prompt of about 1,003 tokens"
    assert (cost.nano_usd, cost.quality) == (1_003 * 1_250, "estimated")


def test_a_fee_of_each_request_is_added() -> None:
    cost = PRICER(call("perplexity", "sonar", Usage(1000, 0), server_address="api.perplexity.ai"))
    assert cost is not None
    assert (cost.nano_usd, cost.quality) == (1000 * 1_000 + 12_000_000, "priced")


def test_a_call_without_a_model_says_so() -> None:
    assert PRICER(call("x", "", USED)) == Cost(None, "unpriced", "", "no price for a call without a model's name of x")


def test_a_file_s_price_for_any_tier_is_an_estimate_for_a_tier(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[price]]\nmodel = "m"\ninput = 1\noutput = 1\n[[price.above]]\ninput_tokens = 1\ninput = 2\n')
    pricer = Pricer(path)
    plain = pricer(call("x", "m", Usage(1, 1)))
    assert plain == Cost(2_000, "priced", "file:prices.toml")
    assert pricer(call("x", "m", Usage(2, 1))) == Cost(5_000, "priced", "file:prices.toml")
    asked = call("x", "m", Usage(1, 1), service_tier="flex", speed="fast")
    assert pricer(asked) == Cost(
        2_000, "estimated", "file:prices.toml", "no price for service tier 'flex'; no price for speed 'fast'"
    )


def per_million(**usd: str) -> dict[str, Rate]:
    return {word: Rate.of(Decimal(amount), 1_000_000) for word, amount in usd.items()}


def test_audio_in_the_prompt_beside_a_cache_is_in_doubt_unless_the_report_has_both() -> None:
    price = CompiledPrice(Price(per_million(input="1", output="2", cache_read="0.1", audio_input="4")))
    doubt = ("how much of the audio was cached is not reported",)
    assert price.nano_usd(Usage(100, 0, {"audio_input": 30, "cache_read": 40})) == (30_000 + 120_000 + 4_000, doubt)
    assert price.nano_usd(Usage(100, 0, {"audio_input": 0, "cache_read": 40})) == (60_000 + 4_000, ())
    assert price.nano_usd(Usage(100, 0, {"audio_input": 30})) == (70_000 + 120_000, ())


def test_of_several_requests_the_average_one_says_which_step_holds() -> None:
    price = CompiledPrice(Price({"input": Rate.of(Decimal(1), 1_000_000, ((1000, Decimal(2)),))}))
    why = "the price of a long prompt goes by the request, and only the sum of {} is known"
    assert price.nano_usd(Usage(2001), 2) == (2001 * 1_000, (why.format("2 requests"),))
    assert price.nano_usd(Usage(2002), 2) == (2002 * 2_000, (why.format("2 requests"),))
    assert price.nano_usd(Usage(1500), 0) == (1500 * 1_000, (why.format("several requests"),))
    assert price.nano_usd(Usage(1000), 0) == (1000 * 1_000, ())


def test_parts_that_are_more_than_their_whole_contradict_the_report() -> None:
    price = CompiledPrice(Price(per_million(input="1", output="2", reasoning="3", cache_read="0.1")))
    doubt = ("the report contradicts itself",)
    assert price.nano_usd(Usage(10, 5, {"reasoning": 9})) == (10_000 + 27_000, doubt)
    assert price.nano_usd(Usage(10, 5, {"reasoning": 5})) == (10_000 + 15_000, ())
    assert price.nano_usd(Usage(10, 5, {"cache_read": 12})) == (1_200 + 10_000, doubt)
    assert price.nano_usd(Usage(10, 5, {"cache_read": 10})) == (1_000 + 10_000, ())
