"""Frameworks that make a span of each call of a model: tokens stand once in a trace (`make versions`: adk, strands,
agent-framework)."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, ServedUsage, Simulators

PROMPT = 120


def of_model_calls(seen: Recording) -> dict[str, int]:
    """Prompt tokens of the spans of model calls, by scope. An agent's span, which sums them, is left out."""
    calls = [span for span in seen.spans if (span.attributes or {}).get("gen_ai.operation.name") != "invoke_agent"]
    return {
        span.instrumentation_scope.name: span.attributes["gen_ai.usage.input_tokens"]
        for span in calls
        if span.instrumentation_scope is not None and "gen_ai.usage.input_tokens" in (span.attributes or {})
    }


@pytest.fixture
def _usage(simulators: Simulators) -> None:
    for simulator in (simulators.openai, simulators.gemini):
        simulator.always(Answer(text="hello", usage=ServedUsage(prompt=PROMPT, completion=30)))


@pytest.mark.needs("google.adk")
@pytest.mark.usefixtures("_usage")
async def test_google_adk(simulators: Simulators, seen: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.adk.agents import LlmAgent
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    monkeypatch.setenv("GOOGLE_API_KEY", "k")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", simulators.gemini.url)
    runner = InMemoryRunner(agent=LlmAgent(name="clerk", model="gemini-2.5-flash"), app_name="shop")
    session = await runner.session_service.create_session(app_name="shop", user_id="u")
    message = types.Content(role="user", parts=[types.Part(text="hi")])
    async for _ in runner.run_async(user_id="u", session_id=session.id, new_message=message):
        pass
    _check(seen, "gcp.vertex.agent")


@pytest.mark.needs("strands")
@pytest.mark.usefixtures("_usage")
async def test_strands(simulators: Simulators, seen: Recording) -> None:
    from strands import Agent
    from strands.models.openai import OpenAIModel

    model: Any = OpenAIModel(client_args={"api_key": "k", "base_url": simulators.openai.url}, model_id="gpt-5")
    await Agent(model=model, callback_handler=None).invoke_async("hi")
    _check(seen, "strands.telemetry.tracer")


@pytest.mark.needs("agent_framework")
@pytest.mark.usefixtures("_usage")
async def test_agent_framework(simulators: Simulators, seen: Recording) -> None:
    from agent_framework import Agent
    from agent_framework.observability import enable_instrumentation
    from agent_framework.openai import OpenAIChatCompletionClient

    enable_instrumentation()
    client: Any = OpenAIChatCompletionClient(model="gpt-5", api_key="k", base_url=simulators.openai.url)
    await Agent(client, name="clerk").run("hi")
    _check(seen, "agent_framework")


def _check(seen: Recording, scope: str) -> None:
    assert of_model_calls(seen) == {scope: PROMPT}
    assert [(call.outcome, call.usage and call.usage.input_tokens) for call in seen.llm_calls] == [("success", PROMPT)]
    ours = next(span for span in seen.spans if span.name == "llm.complete")
    theirs = {span.context.span_id: span for span in seen.spans if span.context is not None}
    assert ours.parent is not None
    parent = theirs[ours.parent.span_id].instrumentation_scope
    assert parent is not None
    assert parent.name == scope
