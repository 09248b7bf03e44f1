"""Beside other people's instrumentations, active before ours or after: all is counted once, they are named."""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from tachograph import instrument, uninstrument
from tachograph.instrument import checkup, other_instrumentation
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording
from tachograph_demo.simulators import Answer, RateLimited, ServedUsage, Simulators

pytestmark = pytest.mark.filterwarnings("ignore")  # the other instrumentations' own deprecations

USAGE = ServedUsage(prompt=120, completion=30)
ASKED: Any = [{"role": "user", "content": "hello"}]

OFFICIAL = [
    "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
    "opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor",
    "opentelemetry.instrumentation.google_genai:GoogleGenAiSdkInstrumentor",
]
OPENLLMETRY = [
    "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
    "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
    "opentelemetry.instrumentation.google_generativeai:GoogleGenerativeAiInstrumentor",
    "opentelemetry.instrumentation.mcp:McpInstrumentor",
]


def _needs(places: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.needs(*(place.partition(":")[0] for place in places))


SETS = [
    pytest.param(places, id=name, marks=_needs(places))
    for name, places in (("official", OFFICIAL), ("openllmetry", OPENLLMETRY), ("both", [*OFFICIAL, *OPENLLMETRY]))
]


@pytest.fixture(params=["before", "after"])
def order(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def seen() -> Iterator[Recording]:
    """Records are caught; each test switches the instrumentations on in an order of its own."""
    with recording() as caught:
        yield caught


@pytest.fixture
def switch_on(seen: Recording, order: str) -> Iterator[Any]:
    with ExitStack() as stack:

        def switch_on(places: list[str]) -> None:
            def ours() -> None:
                instrument(include_usage_hosts=["127.0.0.1"])
                stack.callback(uninstrument)
                stack.callback(TAPE.drain)

            if order == "after":
                ours()
            for place in places:
                module, _, name = place.partition(":")
                theirs = getattr(importlib.import_module(module), name)()
                theirs.instrument()
                stack.callback(theirs.uninstrument)
            if order == "before":
                ours()

        yield switch_on


@pytest.mark.parametrize("places", SETS)
async def test_calls_are_counted_once(
    simulators: Simulators,
    seen: Recording,
    switch_on: Any,
    places: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(other_instrumentation, "_logged", set())
    caplog.set_level(logging.INFO, "tachograph")
    switch_on(places)
    other_instrumentation.log_once()
    for vendor in (simulators.openai, simulators.anthropic, simulators.gemini):
        vendor.script(RateLimited(retry_after=0), *[Answer(text="a b c", usage=USAGE)] * 8)
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
    client.chat.completions.create(model="gpt-5", messages=ASKED)
    assert list(client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True))
    client.responses.create(model="gpt-5", input="hello")
    assert list(client.responses.create(model="gpt-5", input="hello", stream=True))
    slow = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
    await slow.chat.completions.create(model="gpt-5", messages=ASKED)
    assert [chunk async for chunk in await slow.chat.completions.create(model="gpt-5", messages=ASKED, stream=True)]
    claude = anthropic.Anthropic(base_url=simulators.anthropic.url, api_key="any")
    asked: Any = {"model": "claude-opus-4-8", "max_tokens": 64, "messages": ASKED}
    claude.messages.create(**asked)
    assert list(claude.messages.create(**asked, stream=True))
    with claude.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == "a b c"
    await anthropic.AsyncAnthropic(base_url=simulators.anthropic.url, api_key="any").messages.create(**asked)
    options: Any = {"base_url": simulators.gemini.url, "retry_options": {"attempts": 2, "initial_delay": 0.01}}
    gemini = genai.Client(api_key="any", http_options=options)
    gemini.models.generate_content(model="gemini-2.5-flash", contents="hello")
    assert list(gemini.models.generate_content_stream(model="gemini-2.5-flash", contents="hello"))
    await gemini.aio.models.generate_content(model="gemini-2.5-flash", contents="hello")

    counted = [
        (call.provider, call.outcome, call.usage and (call.usage.input_tokens, call.usage.output_tokens))
        for call in seen.llm_calls
    ]
    assert counted == [
        *[("openai", "success", (120, 30))] * 6,
        *[("anthropic", "success", (120, 30))] * 4,
        *[("gemini", "success", (120, 30))] * 3,
    ]
    assert [len(call.attempts) for call in seen.llm_calls] == [2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1]
    served = simulators.served.totals()
    assert served["openai", "gpt-5"].usage.prompt == 6 * 120
    cost = Counter[str]()
    for call in seen.llm_calls:
        assert call.cost is not None
        cost[call.provider] += call.cost.nano_usd
    assert cost == {vendor: totals.nano_usd for (vendor, _), totals in served.items()}
    assert all(cost.values())
    ours = [span for span in seen.spans if span.name == "llm.complete"]
    assert len(ours) == len(counted)
    for place in places:
        whose = "OpenTelemetry (official)" if place in OFFICIAL else "OpenLLMetry"
        name = f"{whose}: {place.partition(':')[2]}"
        assert name in [other.name for other in other_instrumentation.active()]
        assert f"also active: {name}, which" in caplog.text


@pytest.mark.needs("opentelemetry.instrumentation.genai.openai")
def test_the_doctor_lists_each_instrumentation_once(
    seen: Recording, switch_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = list(checkup.entry_points(group="opentelemetry_instrumentor"))
    monkeypatch.setattr(checkup, "entry_points", lambda group_=group, **_: [*group_, *group_])
    installed = {entry.value for entry in group}
    place = OFFICIAL[0]
    assert place in installed

    def listed() -> list[str]:
        found = checkup.Checkup()
        checkup._others(found)
        return [finding.name for finding in found.findings]

    assert listed().count(place) == 1
    switch_on([place])
    names = listed()
    assert place not in names, "it is listed as active"
    assert names.count("OpenTelemetry (official): OpenAIInstrumentor") == 1
    assert len(names) == len(set(names))


@pytest.mark.needs("opentelemetry.instrumentation.mcp")
async def test_tool_calls_beside_openllmetry_are_counted_once(seen: Recording, switch_on: Any) -> None:
    """Its instrumentor supports mcp 1 only, and breaks mcp 2, whether we are there or not."""
    switch_on(OPENLLMETRY)
    server: Any = importlib.import_module("mcp.server.fastmcp").FastMCP("weather")
    connect = importlib.import_module("mcp.shared.memory").create_connected_server_and_client_session

    @server.tool()
    def forecast(city: str) -> str:
        return f"sun in {city}"

    async with connect(server._mcp_server) as session:
        assert not (await session.call_tool("forecast", {"city": "Ulm"})).isError
    assert sorted((call.side, call.outcome) for call in seen.tool_calls) == [
        ("client", "success"),
        ("server", "success"),
    ]
