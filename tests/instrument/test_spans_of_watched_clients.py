"""Spans of watched clients: one per call, parent and children true, nothing left current."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types
from opentelemetry import trace

from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, RateLimited, ServedUsage, Simulators
from tachograph_demo.simulators.script import ToolCall

ASKED: Any = [{"role": "user", "content": "hello"}]
USAGE = ServedUsage(prompt=120, completion=30)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_one_span_per_call_under_the_application_s_own(
    simulators: Simulators, seen: Recording, vendor: str, streamed: bool
) -> None:
    getattr(simulators, vendor).script(RateLimited(retry_after=0), Answer(usage=USAGE))
    tracer = trace.get_tracer("application")
    with tracer.start_as_current_span("agent") as agent:
        if vendor == "openai":
            client: Any = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
            answer: Any = client.chat.completions.create(model="gpt-5", messages=ASKED, stream=streamed)
        else:
            client = anthropic.Anthropic(base_url=simulators.anthropic.url, api_key="any")
            answer = client.messages.create(model="claude-opus-5", max_tokens=9, messages=ASKED, stream=streamed)
        assert trace.get_current_span() is agent
        if streamed:
            for _ in answer:
                assert trace.get_current_span() is agent
    span, _ = sorted(seen.spans, key=lambda span: span.name, reverse=True)
    assert span.name == "llm.complete"
    assert span.parent == agent.get_span_context()
    assert (span.attributes or {})["prompt_tokens"] == 120
    assert [event.name for event in span.events] == ["llm.attempt", "llm.rate_limit_wait", "llm.attempt"]


def test_a_gemini_stream_has_one_span_that_is_current_only_while_a_chunk_is_made(
    simulators: Simulators, seen: Recording
) -> None:
    simulators.gemini.script(Answer(text="a b c d", pieces=4, usage=USAGE))
    client = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url})
    tracer = trace.get_tracer("application")
    with tracer.start_as_current_span("agent") as agent:
        for _ in client.models.generate_content_stream(model="gemini-2.5-flash", contents="hello"):
            assert trace.get_current_span() is agent
    span, _ = sorted(seen.spans, key=lambda span: span.name, reverse=True)
    assert (span.name, span.parent) == ("llm.complete", agent.get_span_context())
    facts = dict(span.attributes or {})
    assert (facts["provider"], facts["prompt_tokens"], facts["completion_tokens"]) == ("gemini", 120, 30)


def test_tools_that_a_gemini_stream_runs_are_no_wait(simulators: Simulators, seen: Recording) -> None:
    simulators.gemini.script(Answer(tool_calls=[ToolCall("look", {"day": "today"})]), Answer(text="sunny"))

    def look(day: str) -> str:
        """The weather of a day."""
        return day

    client = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url})
    config = types.GenerateContentConfig(tools=[look])
    for _ in client.models.generate_content_stream(model="gemini-2.5-flash", contents="hello", config=config):
        assert not trace.get_current_span().get_span_context().is_valid
    (span,) = seen.spans
    assert [event.name for event in span.events] == ["llm.attempt", "llm.attempt"]


@pytest.mark.parametrize("is_async", [False, True])
def test_the_span_of_a_gemini_stream_is_current_inside_the_tools_that_it_runs(
    simulators: Simulators, seen: Recording, is_async: bool
) -> None:
    asked = [Answer(tool_calls=[ToolCall("look", {"day": day})], usage=USAGE) for day in ("today", "tomorrow")]
    simulators.gemini.script(*asked, Answer(text="a b c d e f", pieces=6, usage=USAGE))
    inside: list[int] = []

    def look(day: str) -> str:
        """The weather of a day."""
        inside.append(trace.get_current_span().get_span_context().span_id)
        return day

    client = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url})
    request: Any = {"model": "gemini-2.5-flash", "contents": "hello", "config": {"tools": [look]}}
    if is_async:

        async def read() -> None:
            async for _ in await client.aio.models.generate_content_stream(**request):
                assert not trace.get_current_span().get_span_context().is_valid

        asyncio.run(read())
    else:
        for _ in client.models.generate_content_stream(**request):
            assert not trace.get_current_span().get_span_context().is_valid
    (call,) = seen.llm_calls
    assert call.span_id
    assert inside == [call.span_id, call.span_id]
    assert len(call.attempts) == 3
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (360, 90)
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_raw_answer_left_unread_leaves_nothing_current(simulators: Simulators, seen: Recording) -> None:
    simulators.openai.script(Answer(usage=USAGE))
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
    with client.chat.completions.with_streaming_response.create(model="gpt-5", messages=ASKED) as response:
        assert not trace.get_current_span().get_span_context().is_valid
        response.read()
    assert [span.name for span in seen.spans] == ["llm.complete"]
