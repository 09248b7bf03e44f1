"""Sums on /metrics equal what was sent, to the unit, however many tasks and threads sent it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.parser import text_string_to_metric_families

from support.traffic import llm_call, retried_call, tool_call
from tachograph.llm.metrics.observe import LLMMetrics
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.records import Usage
from tachograph.signals import exposition
from tachograph.testing import Recording

CALLS = 10_000
MODELS = ("gpt-5", "gpt-5-mini", "claude-sonnet-5", "gemini-2.5-pro")


def test_ten_thousand_calls_from_50_tasks_and_8_threads_add_up_to_the_unit(seen: Recording) -> None:
    recorder = seen.recorder
    in_tasks, in_threads = CALLS * 6 // 10, CALLS * 4 // 10

    def one(number: int) -> None:
        llm_call(recorder, model=MODELS[number % 4], prompt=number, completion=7, nano_usd=number * 1_000 + 1)
        if number % 10 == 0:
            retried_call(recorder, "anthropic", MODELS[number % 4])
        tool_call(recorder, "time", f"tool-{number % 3}")

    async def tasks() -> None:
        async def worker(first: int) -> None:
            for number in range(first, in_tasks, 50):
                one(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(worker(first) for first in range(50)))

    start = threading.Barrier(9)

    def thread(first: int) -> None:
        start.wait()
        for number in range(in_tasks + first, CALLS, 8):
            one(number)

    stop = threading.Event()

    with ThreadPoolExecutor(9) as pool:
        scraping = pool.submit(_scrape, seen, stop)
        threads = [pool.submit(thread, first) for first in range(8)]
        start.wait()
        asyncio.run(tasks())
        for future in threads:
            future.result()
        stop.set()
        assert scraping.result() > 0

    assert in_tasks + in_threads == CALLS
    numbers = range(CALLS)
    retried = CALLS // 10
    assert seen.value("llm_call_seconds_count", provider="openai") == CALLS
    assert seen.value("llm_provider_request_seconds_count", provider="openai", outcome="success") == CALLS
    assert seen.value("llm_provider_request_seconds_count", provider="anthropic") == 3 * retried
    assert seen.value("llm_provider_errors_total") == 2 * retried
    assert seen.value("llm_provider_rate_limit_delays_seconds_count") == 2 * retried
    assert seen.value("llm_provider_tokens_total", provider="openai", type="prompt") == sum(numbers)
    assert seen.value("llm_provider_tokens_total", provider="openai", type="completion") == 7 * CALLS
    assert seen.value("mcp_tool_execute_seconds_count", outcome="success") == CALLS
    for model in range(4):
        nano = sum(number * 1_000 + 1 for number in numbers if number % 4 == model)
        shown = seen.value("llm_provider_cost_usd_total", provider="openai", model=MODELS[model])
        assert shown == nano / 1_000_000_000  # exact: whole nano-dollars are kept
    assert len(seen.llm_calls) == CALLS + retried


def _scrape(seen: Recording, stop: threading.Event) -> int:
    """Scrape until `stop`: each scrape must see whole calls."""
    scrapes = 0
    while not stop.is_set():
        values = read(exposition.write(seen.recorder.metrics.collect()))
        calls = requests = completion = 0.0
        for (name, labels), value in values.items():
            if ("provider", "openai") in labels:
                calls += value if name == "llm_call_seconds_count" else 0
                requests += value if name == "llm_provider_request_seconds_count" else 0
                completion += value if (name, "completion") == (name, dict(labels).get("type")) else 0
        assert calls == requests == completion / 7
        scrapes += 1
    return scrapes


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_hundred_thousand_models_and_tools_stay_bounded_and_are_counted() -> None:
    from tachograph.testing import recording

    with recording(metrics={"label_limit": 50}, spans={"enabled": False}, pricing={"enabled": False}) as seen:
        recorder = seen.recorder
        for number in range(100_000):
            call = recorder.start_llm_call("openai", f"model-{number}")
            call.usage = Usage(1, 1)
            call.finish("success")
            if number % 10 == 0:
                recorder.start_tool_call(f"server-{number}", f"tool-{number}").finish("success")
            seen.llm_calls.clear()
        assert len(seen.series("llm_provider_tokens_total")) == 51 * 2
        assert seen.value("llm_provider_tokens_total", model="other", type="prompt") == 99_950
        assert seen.value("llm_provider_tokens_total", type="prompt") == 100_000
        assert seen.value("tachograph_label_overflow_total", label="model") == 99_950
        assert seen.value("tachograph_label_overflow_total", label="tool_name") == 9_950
        assert len(recorder.metrics.part(LLMMetrics)._bound) == 51
        assert len(recorder.metrics.part(MCPMetrics)._bound) == 51
        assert exposition.write(recorder.metrics.collect()).count("\n") < 15_000


def test_user_labels_become_metric_labels_only_when_asked_for() -> None:
    from tachograph.testing import recording

    with recording(metrics={"labels": ["team"]}) as seen:
        llm_call(seen.recorder, team="search", feature="summary")
        llm_call(seen.recorder)
        text = exposition.write(seen.recorder.metrics.collect())
        assert 'llm_provider_cost_usd_total{provider="openai",model="gpt-5",team="search"} 0.00125\n' in text
        assert 'llm_provider_cost_usd_total{provider="openai",model="gpt-5"} 0.00125\n' in text
        assert "feature" not in text
        assert seen.value("llm_provider_tokens_total", team="search", type="prompt") == 100
    with recording() as seen:
        llm_call(seen.recorder, team="search")
        assert "search" not in exposition.write(seen.recorder.metrics.collect())
