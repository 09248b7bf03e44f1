"""What vendors bill by, each with its arithmetic: the request, the tier, the speed, the region, the item."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.pricing import PriceFileError, Pricer
from tachograph.records import NOWHERE, Cost, LLMCall, Usage
from tachograph.testing import recording

WHEN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PRICER = Pricer()


def call(provider: str, model: str, usage: Usage | None, **facts: Any) -> LLMCall:
    made = LLMCall(NOWHERE, provider, model)
    made.usage = usage
    made.started_unix_ns = int(WHEN.timestamp()) * 10**9
    for name, fact in facts.items():
        setattr(made, name, fact)
    return made


def cost(provider: str, model: str, usage: Usage | None, **facts: Any) -> Cost:
    found = PRICER(call(provider, model, usage, **facts))
    assert found is not None
    return found


# One price per request


def test_each_request_of_a_call_has_the_tier_of_its_own_prompt() -> None:
    # gemini-2.5-pro: 1.25 and 10 up to 200k tokens of prompt, 2.50 and 15 above; three hops of 100k are not one of 300k
    hop = Usage(100_000, 100)
    three = cost("gemini", "gemini-2.5-pro", hop + hop + hop, usages=(hop, hop, hop))
    assert (three.nano_usd, three.quality) == (300_000 * 1250 + 300 * 10_000, "priced")
    long = Usage(200_001, 10)
    mixed = cost("gemini", "gemini-2.5-pro", hop + long, usages=(hop, long))
    assert mixed.nano_usd == 100_000 * 1250 + 100 * 10_000 + 200_001 * 2500 + 10 * 15_000


def test_of_a_sum_the_average_request_decides_and_it_is_an_estimate() -> None:
    # gpt-5.5 in a batch: 2.50 and 15 up to 272k
    batch = cost("openai", "gpt-5.5", Usage(1_000_000, 100_000), service_tier="batch", request_count=1000)
    assert (batch.nano_usd, batch.quality) == (1_000_000 * 2500 + 100_000 * 15_000, "estimated")
    assert "only the sum of 1,000 requests is known" in batch.detail
    unknown = cost("openai", "gpt-5.5", Usage(1_000_000, 100_000), service_tier="batch", request_count=0)
    assert (unknown.nano_usd, unknown.quality) == (batch.nano_usd, "estimated")


def test_a_sum_is_exact_where_no_request_of_it_can_be_long() -> None:
    short = cost("openai", "gpt-5.5", Usage(272_000, 10), service_tier="batch", request_count=40)
    assert (short.nano_usd, short.quality) == (272_000 * 2500 + 10 * 15_000, "priced")
    no_tiers = cost("anthropic", "claude-haiku-4-5", Usage(3_000_000, 10), service_tier="batch", request_count=40)
    assert (no_tiers.nano_usd, no_tiers.quality) == (3_000_000 * 500 + 10 * 2500, "priced")


_REQUESTS = st.lists(st.builds(Usage, st.integers(0, 400_000), st.integers(0, 20_000)), min_size=1, max_size=8)


@settings(max_examples=200)
@given(_REQUESTS, st.integers(0, 8))
def test_any_split_of_a_list_of_requests_costs_the_same(requests: list[Usage], at: int) -> None:
    def price(some: list[Usage]) -> int:
        if not some:
            return 0
        total = some[0]
        for usage in some[1:]:
            total = total + usage
        found = PRICER(call("gemini", "gemini-2.5-pro", total, usages=tuple(some)))
        assert found is not None
        assert found.nano_usd is not None
        return found.nano_usd

    assert price(requests) == price(requests[:at]) + price(requests[at:]) == sum(price([one]) for one in requests)


# Speed, tier, region


def test_anthropics_fast_mode_has_its_own_price() -> None:
    # claude-opus-5 fast: 10 and 50; standard: 5 and 25
    fast = cost("anthropic", "claude-opus-5", Usage(1000, 1000), speed="fast", service_tier="standard")
    assert (fast.nano_usd, fast.quality) == (1000 * 10_000 + 1000 * 50_000, "priced")
    told_as_a_tier = cost("anthropic", "claude-opus-5", Usage(1000, 1000), service_tier="fast")
    assert told_as_a_tier.nano_usd == fast.nano_usd
    standard = cost("anthropic", "claude-opus-5", Usage(1000, 1000), speed="standard")
    assert standard.nano_usd == 1000 * 5000 + 1000 * 25_000
    unknown = cost("anthropic", "claude-haiku-4-5", Usage(1000, 1000), speed="fast")
    assert (unknown.quality, unknown.detail) == ("estimated", "no price for speed 'fast'")


def test_inference_in_the_us_costs_a_tenth_more_from_claude_4_6_on() -> None:
    # 1.1 of every price of tokens, also on top of fast mode; searches cost what they cost
    usage = Usage(1000, 1000, {"cache_read": 400}, {"web_search": 1})
    us = cost("anthropic", "claude-opus-5", usage, region="us")
    assert (us.nano_usd, us.quality) == (600 * 5500 + 400 * 550 + 1000 * 27_500 + 10_000_000, "priced")
    assert us.source.endswith(" region=us")
    fast = cost("anthropic", "claude-opus-5", Usage(1000, 1000), region="us", speed="fast")
    assert fast.nano_usd == 1000 * 11_000 + 1000 * 55_000
    for region in ("global", "not_available", None):
        assert cost("anthropic", "claude-opus-5", Usage(1000, 1000), region=region).nano_usd == 30_000_000
    older = cost("anthropic", "claude-haiku-4-5", Usage(1000, 1000), region="us")
    assert older.nano_usd == 1000 * 1000 + 1000 * 5000


def test_openais_regional_hosts_cost_a_tenth_more_from_gpt_5_4_on() -> None:
    # gpt-5.5: 5 and 30
    for host in ("eu.api.openai.com", "us.api.openai.com"):
        regional = cost("openai", "gpt-5.5", Usage(1000, 100), server_address=host)
        assert (regional.nano_usd, regional.quality) == (1000 * 5500 + 100 * 33_000, "priced")
    assert cost("openai", "gpt-5.5", Usage(1000, 100), server_address="api.openai.com").nano_usd == 8_000_000
    # gpt-5: 1.25 and 10, without a surcharge
    assert cost("openai", "gpt-5", Usage(1000, 100), server_address="eu.api.openai.com").nano_usd == 2_250_000


def test_claude_on_a_regional_endpoint_of_vertex_costs_a_tenth_more() -> None:
    # claude-opus-5 on Vertex: 5 and 25
    usage = Usage(1000, 1000)
    anywhere = cost("vertex", "claude-opus-5", usage, server_address="aiplatform.googleapis.com")
    assert anywhere.nano_usd == 30_000_000
    regional = cost("vertex", "claude-opus-5", usage, server_address="europe-west1-aiplatform.googleapis.com")
    assert (regional.nano_usd, regional.quality) == (33_000_000, "priced")
    gemini = cost("vertex", "gemini-3.5-flash", usage, server_address="europe-west1-aiplatform.googleapis.com")
    assert gemini.quality == "estimated"
    assert "europe-west1" in gemini.detail


def test_bedrocks_prefixes_say_global_or_regional() -> None:
    # claude-haiku-4-5: 1 and 5 through `global.`, 1.10 and 5.50 through `us.` and `eu.`
    name = "anthropic.claude-haiku-4-5-20251001-v1:0"
    host = "bedrock-runtime.us-east-1.amazonaws.com"
    usage = Usage(1000, 1000)
    assert cost("bedrock", f"global.{name}", usage, server_address=host).nano_usd == 6_000_000
    for prefix in ("us", "eu"):
        assert cost("bedrock", f"{prefix}.{name}", usage, server_address=host).nano_usd == 6_600_000
    arn = f"arn:aws:bedrock:us-east-1:1234:inference-profile/us.{name}"
    assert cost("bedrock", arn, usage, server_address=host).nano_usd == 6_600_000


def test_a_tier_without_a_price_of_its_own_is_an_estimate_at_its_usual_discount() -> None:
    # gemini-3.5-flash: 1.50 and 9; flex takes half off
    for facts in ({"traffic_type": "ON_DEMAND_FLEX"}, {"service_tier": "flex"}):
        flex = cost("gemini", "gemini-3.5-flash", Usage(1000, 100), **facts)
        assert (flex.nano_usd, flex.quality) == (1000 * 750 + 100 * 4500, "estimated")
        assert flex.detail == "no price for service tier 'flex'"


# Names and places


@pytest.mark.parametrize(
    ("provider", "model", "facts", "nano"),
    [
        ("openai", "openai/gpt-5", {"server_address": "litellm.example.com"}, 1000 * 1250 + 100 * 10_000),
        ("openai", "anthropic/claude-haiku-4-5", {"server_address": "127.0.0.1"}, 1000 * 1000 + 100 * 5000),
        ("openai", "azure/gpt-5", {}, 1000 * 1250 + 100 * 10_000),
        ("gemini", "models/gemini-2.5-flash", {}, 1000 * 300 + 100 * 2500),
        ("vertex", "projects/p/locations/l/publishers/google/models/gemini-2.5-flash", {}, 1000 * 300 + 100 * 2500),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::id", {}, 1000 * 300 + 100 * 1200),
        ("openai", "ft:gpt-4.1-2025-04-14:org:name:id", {}, 1000 * 3000 + 100 * 12_000),
        ("openai", "ft:gpt-4.1-mini-2025-04-14:org::id", {}, 1000 * 800 + 100 * 3200),
        ("openai", "ft:gpt-4.1-nano-2025-04-14:org::id", {}, 1000 * 200 + 100 * 800),
        ("openai", "ft:o4-mini-2025-04-16:org::id", {}, 1000 * 4000 + 100 * 16_000),
        ("azure", "our-deployment", {"response_model": "gpt-5-2025-08-07"}, 1000 * 1250 + 100 * 10_000),
    ],
)
def test_prefixes_paths_fine_tuned_and_deployment_names_resolve(
    provider: str, model: str, facts: dict[str, Any], nano: int
) -> None:
    found = cost(provider, model, Usage(1000, 100), **facts)
    assert (found.nano_usd, found.quality) == (nano, "priced")


def test_a_free_model_costs_nothing_and_that_is_known() -> None:
    for provider, host in (("openrouter", "openrouter.ai"), ("openai", "litellm.example.com")):
        found = cost(provider, "vendor/model-nobody-knows:free", Usage(1000, 100), server_address=host)
        assert (found.nano_usd, found.quality) == (0, "priced")


def test_a_free_model_is_free_where_its_answer_leaves_the_suffix_out() -> None:
    model = "meta-llama/llama-3.3-70b-instruct"
    known: dict[str, Any] = {"server_address": "openrouter.ai", "response_model": model}
    assert cost("openrouter", f"{model}:free", Usage(1000, 100), **known).nano_usd == 0
    another = cost("openrouter", "vendor/model:free", Usage(1000, 100), **known)  # what the request fell back to
    assert another.nano_usd


def test_a_variant_of_a_model_is_an_estimate_by_what_it_is_made_from() -> None:
    for provider, model, base in (
        ("openai", "ft:gpt-5-mini:org::id", "gpt-5-mini"),
        ("openrouter", "openai/gpt-5-mini:online", "openai/gpt-5-mini"),
    ):
        found = cost(provider, model, Usage(1000, 100))
        assert (found.nano_usd, found.quality) == (1000 * 250 + 100 * 2000, "estimated")
        assert f"price of {base}, not of {model}" in found.detail


def test_cached_tokens_of_a_tuned_model_have_their_price() -> None:
    found = cost("openai", "ft:gpt-4.1-2025-04-14:org::id", Usage(1000, 100, {"cache_read": 400}))
    assert (found.nano_usd, found.quality) == (600 * 3000 + 400 * 750 + 100 * 12_000, "priced")


def test_a_residency_that_nobody_knows_is_an_estimate() -> None:
    known, unknown = (cost("anthropic", "claude-opus-4-6", Usage(1000, 100), region=region) for region in ("us", "eu"))
    assert known.nano_usd == unknown.nano_usd == 1000 * 5500 + 100 * 27_500
    assert (known.quality, unknown.quality) == ("priced", "estimated")
    assert "surcharge of region 'eu'" in unknown.detail


@pytest.mark.parametrize(
    ("model", "host", "port"),
    [
        ("gpt-4o", "127.0.0.1", 8000),  # `vllm serve --served-model-name gpt-4o`
        ("gpt-oss-20b", "127.0.0.1", 8000),
        ("llama-3.1-8b-instant", "localhost", 8000),
        ("qwen3-32b", "192.168.1.4", 8080),
        ("deepseek-chat", "vllm", 8000),
        ("gemma-3-27b-it", "gpu.internal", 8000),
        ("mistral-small-latest", "::1", 8000),
        ("gpt-4o", "127.0.0.1", 11434),
        ("claude-haiku-4-5", "localhost", 1234),
    ],
)
def test_a_local_server_is_never_given_a_hosted_price_by_the_models_name(model: str, host: str, port: int) -> None:
    found = cost("openai", model, Usage(1000, 100), server_address=host, server_port=port)
    assert (found.nano_usd, found.quality) == (None, "unpriced")
    for label in ("ollama", "vllm", "lmstudio"):
        assert cost(label, model, Usage(1000, 100)).quality == "unpriced"
    assert cost("openai", f"ollama/{model}", Usage(1000, 100)).quality == "unpriced"


def test_a_proxy_on_this_machine_is_priced_by_what_only_its_vendor_serves() -> None:
    found = cost("openai", "gpt-5", Usage(1000, 100), server_address="127.0.0.1", server_port=4000)
    assert (found.nano_usd, found.quality) == (1000 * 1250 + 100 * 10_000, "priced")


# Items


@pytest.mark.parametrize(
    ("provider", "model", "uses", "fee", "quality"),
    [
        ("openai", "gpt-5", {"web_search": 3}, 3 * 10_000_000, "priced"),
        ("openai", "gpt-5", {"file_search": 2}, 2 * 2_500_000, "priced"),
        ("openai", "gpt-5", {"code_interpreter": 1}, 30_000_000, "estimated"),
        ("openai", "gpt-4.1", {"web_search": 1}, 10_000_000, "priced"),
        ("openai", "gpt-4.1", {"web_search_preview": 1}, 25_000_000, "priced"),
        ("openai", "gpt-5", {"web_search_preview": 1}, 10_000_000, "priced"),
        ("gemini", "gemini-3.5-flash", {"web_search": 2}, 2 * 14_000_000, "priced"),
        ("gemini", "gemini-2.5-flash", {"web_search": 1}, 35_000_000, "priced"),
        ("gemini", "gemini-2.5-flash", {"google_maps": 1}, 25_000_000, "priced"),
        ("anthropic", "claude-haiku-4-5", {"web_search": 1, "web_fetch": 4}, 10_000_000, "priced"),
        ("x-ai", "grok-4", {"source": 8}, 8 * 25_000_000, "priced"),
        ("x-ai", "grok-4", {"web_search": 2, "file_search": 1}, 2 * 5_000_000 + 2_500_000, "priced"),
    ],
)
def test_items_have_fees(provider: str, model: str, uses: dict[str, int], fee: int, quality: str) -> None:
    bare = cost(provider, model, Usage(1000, 100))
    found = cost(provider, model, Usage(1000, 100, {}, uses))
    assert bare.nano_usd is not None
    assert (found.nano_usd, found.quality) == (bare.nano_usd + fee, quality)


def test_a_search_model_costs_a_fee_with_each_request() -> None:
    # gpt-4o-search-preview: 2.50 and 10, and 25 for a thousand requests
    found = cost("openai", "gpt-4o-search-preview", Usage(1000, 100))
    assert (found.nano_usd, found.quality) == (1000 * 2500 + 100 * 10_000 + 25_000_000, "priced")


def test_speech_is_priced_by_characters_and_transcription_by_seconds() -> None:
    # tts-1: 15 for a million characters; whisper-1: 0.36 an hour
    speech = cost("openai", "tts-1", Usage(tool_uses={"character": 2000}))
    assert (speech.nano_usd, speech.quality) == (2000 * 15_000, "priced")
    heard = cost("openai", "whisper-1", Usage(audio_seconds=90.0))
    assert (heard.nano_usd, heard.quality) == (90 * 100_000, "priced")


# Quality


def test_what_nobody_knows_makes_an_estimate_that_says_what() -> None:
    found = cost("openai", "gpt-5", Usage(1000, 100), unknown_billables=("hologram_call", "usage.dream_tokens"))
    assert found.quality == "estimated"
    assert found.detail == "unknown item or field 'hologram_call'; unknown item or field 'usage.dream_tokens'"
    tool = cost("openai", "gpt-5", Usage(1000, 100, {}, {"teleport": 1}))
    assert (tool.quality, tool.detail) == ("estimated", "no price for teleport")


def test_a_stated_cost_is_taken_and_ours_stands_beside_it() -> None:
    ours = 1000 * 1250 + 100 * 10_000
    agrees = cost("openai", "gpt-5", Usage(1000, 100), stated_cost_nano_usd=ours + 10)
    assert agrees == Cost(ours + 10, "stated", "stated by openai", "", ours)
    assert not agrees.contradicts_list
    assert cost("openai", "gpt-5", Usage(1000, 100), stated_cost_nano_usd=ours * 2).contradicts_list
    alone = cost("perplexity", "model-nobody-knows", None, stated_cost_nano_usd=7)
    assert (alone.nano_usd, alone.quality, alone.list_nano_usd) == (7, "stated", None)
    assert not alone.contradicts_list


def test_a_stated_cost_that_contradicts_ours_is_counted_once() -> None:
    with recording() as seen:
        for factor in (1, 3):
            made = seen.recorder.start_llm_call("openai", "gpt-5")
            made.usage, made.stated_cost_nano_usd = Usage(1000, 100), factor * 2_250_000
            made.finish("success")
        assert seen.value("llm_usage_mismatch_total", model="gpt-5", reason="stated_cost") == 1
        assert seen.value("llm_provider_cost_usd_total", model="gpt-5") == pytest.approx(4 * 0.00225)


# A stream that is cut


def test_an_aborted_stream_costs_at_least_its_prompt() -> None:
    # 4,000 characters and 12 for the turn are about 1,003 tokens, at 1.25
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "word" * 1000}]}
    with recording() as seen:
        made = seen.recorder.start_llm_call("openai", "gpt-5", stream=True, asks=body)
        made.begin_attempt().status = 200
        made.first_token()
        made.finish("cancelled")
        seen.recorder.settle()
        assert made.cost is not None
        assert (made.cost.nano_usd, made.cost.quality) == (1003 * 1250, "estimated")
        assert "only its prompt of about 1,003 tokens" in made.cost.detail
        assert seen.value("llm_provider_cost_usd_total", model="gpt-5") == pytest.approx(1003 * 1250 / 1e9)
        assert seen.value("llm_calls_usage_missing_total", model="gpt-5") == 1
        assert made.body is None


def test_what_the_vendor_counted_before_the_cut_is_a_lower_bound() -> None:
    # Anthropic reports the prompt when the answer begins
    found = cost("anthropic", "claude-haiku-4-5", Usage(1000, 1), stream=True, outcome="cancelled")
    assert (found.nano_usd, found.quality) == (1000 * 1000 + 1 * 5000, "estimated")
    assert "closed early" in found.detail


@pytest.mark.parametrize(("status", "outcome"), [(429, "rate_limited"), (500, "error"), (None, "timeout")])
def test_a_stream_that_was_never_answered_costs_nothing(status: int | None, outcome: Any) -> None:
    with recording() as seen:
        made = seen.recorder.start_llm_call("openai", "gpt-5", stream=True, asks={"messages": "hello" * 100})
        made.begin_attempt().status = status
        made.finish(outcome, "unknown")
        assert made.cost is None


# What the user has agreed on


def with_terms(folder: Path, text: str) -> Pricer:
    path = folder / "prices.toml"
    path.write_text(text, "utf-8")
    return Pricer(path)


GPT_5 = 1000 * 1250 + 100 * 10_000
"""1,000 and 100 tokens of gpt-5, at 1.25 and 10."""


@pytest.mark.parametrize(
    ("terms", "nano_usd", "source"),
    [
        ("percent = 15", GPT_5 * 85 // 100, "less 15 %"),
        ("percent = 100", 0, "less 100 %"),
        ('percent = 12.5\nmodel = "gpt-5*"', GPT_5 * 875 // 1000, "less 12.5 %"),
        ('percent = 15\nmodel = "gpt-4*"', GPT_5, ""),
        ('percent = 15\ntier = "batch"', GPT_5, ""),
        ("percent = 15\nfrom = 2026-11-23\nuntil = 2026-11-24", GPT_5 * 85 // 100, "less 15 %"),
        ("percent = 15\nfrom = 2026-11-24", GPT_5, ""),
        ("percent = 15\nuntil = 2026-11-23", GPT_5, ""),
        ('percent = 15\n[[discount]]\nmodel = "gpt-5"\npercent = 40', GPT_5 * 60 // 100, "less 40 %"),
    ],
)
def test_a_discount_comes_off_the_list_price(tmp_path: Path, terms: str, nano_usd: int, source: str) -> None:
    pricer = with_terms(tmp_path, f'[[discount]]\nprovider = "openai"\n{terms}\n')
    found = pricer(call("openai", "gpt-5", Usage(1000, 100)))
    assert found is not None
    assert (found.nano_usd, found.quality) == (nano_usd, "priced")
    assert found.source.endswith(source)
    assert found.source.startswith("genai-prices/")
    other = pricer(call("anthropic", "claude-opus-5", Usage(1000, 100)))
    assert other is not None
    assert "less" not in other.source


def test_a_discount_is_for_items_too_and_not_for_the_users_own_prices(tmp_path: Path) -> None:
    pricer = with_terms(
        tmp_path,
        '[[discount]]\nprovider = "openai"\npercent = 50\n[[price]]\nmodel = "our-own"\ninput = 1\noutput = 1\n',
    )
    searched = pricer(call("openai", "gpt-5", Usage(1000, 100, {}, {"web_search": 2})))
    assert searched is not None
    assert searched.nano_usd == (GPT_5 + 2 * 10_000_000) // 2
    own = pricer(call("openai", "our-own", Usage(1000, 0)))
    assert own == Cost(1_000_000, "priced", "file:prices.toml")


def test_what_a_subscription_includes_costs_nothing_and_says_what_it_would(tmp_path: Path) -> None:
    pricer = with_terms(tmp_path, '[[included]]\nprovider = "openai"\nmodel = "gpt-5*"\nuntil = 2026-12-01\n')
    assert pricer(call("openai", "gpt-5", Usage(1000, 100))) == Cost(0, "included", "file:prices.toml", "", GPT_5)
    assert pricer(call("openai", "gpt-5-of-ours", Usage(9, 9))) == Cost(0, "included", "file:prices.toml", "", None)
    later = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp()) * 10**9
    ended = pricer(call("openai", "gpt-5", Usage(1000, 100), started_unix_ns=later))
    assert ended is not None
    assert (ended.nano_usd, ended.quality) == (GPT_5, "priced")


def test_what_is_included_counts_tokens_and_no_dollars(tmp_path: Path) -> None:
    with recording() as seen:
        seen.recorder.pricer = with_terms(tmp_path, '[[included]]\nprovider = "openai"\n')
        made = seen.recorder.start_llm_call("openai", "gpt-5")
        made.usage = Usage(1000, 100)
        made.finish("success")
        seen.recorder.settle()
    assert made.cost == Cost(0, "included", "file:prices.toml", "", GPT_5)
    assert seen.value("llm_provider_tokens_total", type="prompt") == 1000
    assert seen.value("llm_provider_cost_usd_total") == 0
    assert seen.value("llm_calls_unpriced_total") == 0
    assert seen.value("llm_usage_mismatch_total") == 0


def test_prices_in_another_currency_are_kept_in_dollars(tmp_path: Path) -> None:
    text = (
        'currency = "EUR"\nusd_per_unit = 1.08\n[[price]]\nmodel = "m"\ninput = 1.80\noutput = 5.40\nrequest = 0.01\n'
    )
    found = with_terms(tmp_path, text)(call("mistral", "m", Usage(1000, 100)))
    assert found == Cost(1000 * 1944 + 100 * 5832 + 10_800_000, "priced", "file:prices.toml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('currency = "EUR"\n', "the prices are in EUR"),
        ("currency = 3\n", "currency is not text"),
        ('currency = "EUR"\nusd_per_unit = 0\n', "usd_per_unit is 0"),
        ('[[discount]]\nprovider = "openai"\n', "[[discount]] number 1 names no percent"),
        ('[[included]]\ntier = "flex"\n', "[[included]] number 1 names neither a provider nor a model"),
        ('[[discount]]\npercent = "9"\n', "[[discount]] number 1: percent is not a number but '9'"),
        ("[[discount]]\npercent = 101\n", "at most 100"),
        ("[[discount]]\npercent = -1\n", "percent is -1"),
        ("[[discount]]\npercent = 1\ninput = 3\n", "unknown key 'input'"),
        ("[[included]]\nfrom = 2026-01-01\n", "names neither a provider nor a model"),
        ('[[included]]\nprovider = "openai"\nuntil = "soon"\n', "until is no day"),
    ],
)
def test_terms_that_say_nothing_sensible_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(PriceFileError) as caught:
        with_terms(tmp_path, text)
    assert complaint in str(caught.value)
    assert caught.value.do


def test_bedrocks_global_profile_costs_less_than_a_regional_one_whatever_the_answer_is_named() -> None:
    named = {"response_model": "claude-sonnet-4-5-20250929"}
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    costs = [cost("bedrock", f"{where}{model}", Usage(1000, 100), **named) for where in ("global.", "us.", "")]
    assert [found.nano_usd for found in costs] == [4_500_000, 4_950_000, 4_950_000]


# Models that have another one's price, or one that genai-prices does not hold

BEDROCK = "bedrock-runtime.{}.amazonaws.com"
MILLION = Usage(1_000_000, 1_000_000)


@pytest.mark.parametrize(
    ("label", "model", "usd", "quality", "facts"),
    [
        ("openai", "daybreak-blue-latest", 8 + 30, "priced", {}),  # above 272,000 tokens, as of GPT-5.6 Sol
        ("openai", "gpt-6-astra-law", 10 + 50, "priced", {}),
        ("openai", "gpt-4o-mini-tts-2025-12-15", 0.6 + 12, "estimated", {}),
        ("openai", "ft:gpt-4.1:us::x", 3 + 12, "priced", {}),
        ("openai", "ft:gpt-4.1:us::x", 1.5 + 6, "priced", {"service_tier": "batch"}),
        ("anthropic", "claude-mythos-5", 10 + 50, "priced", {}),
        ("gemini", "gemini-3.8-flash-cyber", 1.5 + 7.5, "priced", {}),
        ("gemini", "gemini-2.5-flash", 0.54 + 4.5, "estimated", {"service_tier": "priority"}),
        ("gemini", "gemini-4-hydrogen", 1.5 + 7.5, "priced", {}),
        ("gemini", "gemini-4-hydrogen", 0.75 + 3.75, "estimated", {"service_tier": "flex"}),
        ("mistral", "mistral-large-latest", 0.5 + 1.5, "estimated", {}),
        ("x-ai", "grok-4.20-reasoning", 2.5 + 5, "priced", {}),
        ("bedrock", "us.openai.gpt-5.5", 11 + 49.5, "priced", {"server_address": BEDROCK.format("us-east-1")}),
        ("bedrock", "global.openai.gpt-5.5", 10 + 45, "priced", {"server_address": BEDROCK.format("eu-west-1")}),
        ("bedrock", "amazon.nova-pro-v1:0", 0.8 + 3.2, "priced", {"server_address": BEDROCK.format("us-west-2")}),
        ("bedrock", "apac.amazon.nova-pro-v1:0", 4, "estimated", {"server_address": BEDROCK.format("ap-south-1")}),
        (
            "bedrock",
            "eu.anthropic.claude-opus-4-5-20251101-v1:0",
            5.5 + 27.5,
            "priced",
            {"server_address": BEDROCK.format("eu-west-1")},
        ),
    ],
)
def test_a_million_tokens_each_way_cost_what_the_vendor_says(
    label: str, model: str, usd: float, quality: str, facts: dict[str, Any]
) -> None:
    found = cost(label, model, MILLION, **facts)
    assert (found.nano_usd, found.quality) == (round(usd * 10**9), quality)


def test_what_a_model_speaks_is_priced_as_its_output() -> None:
    spoken = cost("gemini", "gemini-2.5-pro-preview-tts", Usage(1000, 1000, {"audio_output": 1000}))
    assert (spoken.nano_usd, spoken.quality) == (1000 * 1_000 + 1000 * 20_000, "priced")


@pytest.mark.parametrize(
    ("model", "used", "nano"),
    [
        ("embed-english-v3.0", Usage(1_000_000), 100_000_000),
        ("rerank-v3.5", Usage(tool_uses={"search_unit": 3}), 6_000_000),
        ("rerank-v4.0-pro", Usage(tool_uses={"search_unit": 1}), 2_500_000),
    ],
)
def test_embeddings_and_searches_of_cohere_have_a_price(model: str, used: Usage, nano: int) -> None:
    found = cost("cohere", model, used)
    assert (found.nano_usd, found.quality) == (nano, "priced")
