"""What is recorded equals what the simulators served, call by call and in the sums: tokens, parts, cost."""

from __future__ import annotations

import asyncio
import random
import threading

from support.ways import VENDORS, WAYS, Way
from tachograph import instrument, uninstrument
from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, RateLimited, ServedUsage, Simulators
from tachograph_demo.simulators.prices import cost_nano_usd

MODELS = {
    "openai": ("gpt-5", "gpt-4o", "gpt-4.1-mini"),
    "anthropic": ("claude-haiku-4-5", "claude-sonnet-5", "claude-opus-4-7"),
    "gemini": ("gemini-2.5-pro", "gemini-2.5-flash"),
}


def random_usage(draw: random.Random, vendor: str) -> ServedUsage:
    prompt = draw.choice([draw.randrange(1, 4000), draw.randrange(150_000, 300_000)])
    completion = draw.randrange(1, 3000)
    cache_read = draw.choice([0, draw.randrange(prompt)])
    left = prompt - cache_read
    written = (0, 0)
    if vendor == "anthropic" and left:
        first = draw.randrange(left)
        written = (first, draw.randrange(left - first))
    return ServedUsage(
        prompt=prompt,
        completion=completion,
        cache_read=cache_read,
        cache_write_5m=written[0],
        cache_write_1h=written[1],
        reasoning=draw.choice([0, draw.randrange(completion)]),
        web_searches=draw.choice([0, 0, 2]) if vendor == "anthropic" else 0,
    )


def test_every_call_and_every_sum(simulators: Simulators, seen: Recording) -> None:
    draw = random.Random(20261123)
    expected: dict[tuple[str, str, str], int] = {}
    for number in range(96):
        vendor, options = VENDORS[number % len(VENDORS)]
        way = Way(vendor, bool(number & 4), bool(number & 8), options)
        model, usage = draw.choice(MODELS[vendor]), random_usage(draw, vendor)
        getattr(simulators, vendor).script(Answer(text="hi", usage=usage))
        call = way.ask(way.provider(simulators), model=model).call

        assert call.usage is not None
        assert (call.usage.input_tokens, call.usage.output_tokens) == (usage.prompt, usage.completion)
        parts = {
            name: getattr(usage, name)
            for name in ("cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "reasoning")
        }
        assert call.usage.details == {name: tokens for name, tokens in parts.items() if tokens}
        assert call.cost is not None
        assert call.cost.nano_usd == cost_nano_usd(vendor, model, usage), (model, usage)
        assert call.cost.quality == "priced"
        for kind, amount in (
            ("prompt", usage.prompt),
            ("completion", usage.completion),
            ("nano_usd", call.cost.nano_usd or 0),
        ):
            expected[vendor, model, kind] = expected.get((vendor, model, kind), 0) + amount

    for (vendor, model, kind), amount in expected.items():
        labels = {"provider": vendor, "model": model}
        if kind == "nano_usd":
            assert round(seen.value("llm_provider_cost_usd_total", **labels) * 1e9) == amount
        else:
            assert seen.value("llm_provider_tokens_total", type=kind, **labels) == amount
    for (vendor, model), totals in simulators.served.totals().items():
        assert totals.usage.prompt == expected[vendor, model, "prompt"]
        assert totals.nano_usd == expected[vendor, model, "nano_usd"]


def test_fifty_tasks_and_eight_threads_lose_nothing(simulators: Simulators, seen: Recording) -> None:
    usage = ServedUsage(prompt=11, completion=3)
    for vendor in MODELS:
        getattr(simulators, vendor).always(Answer(text="hi", usage=usage))
    ways = [Way(vendor, False, False, options) for vendor, options in VENDORS]
    providers = [(way, way.provider(simulators, async_http_client=None)) for way in ways]

    def in_thread(number: int) -> None:
        for index in range(12):
            way, provider = providers[(number + index) % 4]
            if index % 2:
                provider.complete(model=way.model, messages="Hello")
            else:
                with provider.stream(model=way.model, messages="Hello") as stream:
                    stream.text()

    async def in_task(number: int) -> None:
        way, provider = providers[number % 4]
        for index in range(3):
            if index % 2:
                await provider.acomplete(model=way.model, messages="Hello")
            else:
                async with provider.astream(model=way.model, messages="Hello") as stream:
                    await stream.text()

    async def tasks() -> None:
        await asyncio.gather(*(in_task(number) for number in range(50)))
        for _, provider in providers:
            await provider.aclose()

    threads = [threading.Thread(target=in_thread, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    asyncio.run(tasks())
    for thread in threads:
        thread.join(60)
    calls = 8 * 12 + 50 * 3
    assert len(seen.llm_calls) == len(simulators.served) == calls
    assert {call.outcome for call in seen.llm_calls} == {"success"}
    assert seen.value("llm_provider_tokens_total", type="prompt") == calls * 11
    assert seen.value("llm_provider_tokens_total", type="completion") == calls * 3
    assert seen.value("llm_provider_request_seconds_count", outcome="success") == calls


def test_with_watched_clients_nothing_is_counted_twice(simulators: Simulators, seen: Recording) -> None:
    instrument()
    try:
        for way in WAYS:
            form = "retry_info" if way.vendor == "gemini" else "seconds"
            getattr(simulators, way.vendor).script(
                RateLimited(retry_after=0.01, retry_after_form=form),
                Answer(text="hi", usage=ServedUsage(prompt=7, completion=2)),
            )
            way.ask(way.provider(simulators))
    finally:
        uninstrument()
    assert len(seen.llm_calls) == len(WAYS)
    assert [len(call.attempts) for call in seen.llm_calls] == [2] * len(WAYS)
    assert seen.value("llm_provider_tokens_total", type="prompt") == 7 * len(WAYS)
    assert seen.value("llm_provider_rate_limit_delays_seconds_count") == len(WAYS)
    assert [span.name for span in seen.spans] == ["llm.complete"] * len(WAYS)
