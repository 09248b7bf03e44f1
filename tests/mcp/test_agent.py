"""A model with tools: the real SDKs against the simulators, and a real MCP server."""

from __future__ import annotations

import pytest

from support.simulators import simulators, simulators_process
from support.ways import KEY, MODELS
from tachograph.llm import NO_RETRIES, ProviderError, ProviderFactory
from tachograph.mcp import Agent, StepLimitError, ToolFactory
from tachograph_demo.simulators import Answer, ServerError, ToolCall

__all__ = ["simulators", "simulators_process"]


def provider_of(vendor, simulators, **options):
    return ProviderFactory.create(vendor, base_url=getattr(simulators, vendor).url, api_key=KEY, **options)


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "gemini"])
async def test_the_model_uses_tools_until_it_answers_and_one_trace_holds_it_all(vendor, simulators, web, seen):
    getattr(simulators, vendor).script(
        Answer(tool_calls=[ToolCall("add", {"left": 2, "right": 40}), ToolCall("refuse", {"why": "sold out"})]),
        Answer(tool_calls=[ToolCall("echo", {"text": "42"})]),
        Answer(text="It is 42."),
    )
    tools = await ToolFactory(web.executor).create_all()
    async with provider_of(vendor, simulators) as provider:
        result = await Agent(provider, tools, model=MODELS[vendor], name="clerk").run("How much is it?")

    assert result.text == "It is 42."
    assert [[use.request.name for use in step.tool_uses] for step in result.steps] == [["add", "refuse"], ["echo"], []]
    told = [part for message in result.messages if message.role == "user" for part in message.parts][1:]
    assert [(part.name, part.content, part.is_error) for part in told] == [
        ("add", "42", False),
        ("refuse", "Error executing tool refuse: refused: sold out", True),
        ("echo", "42", False),
    ]
    assert result.usage.input_tokens == sum(call.usage.input_tokens for call in seen.llm_calls)
    assert [call.outcome for call in seen.llm_calls] == ["success"] * 3
    assert sorted((call.tool_name, call.outcome) for call in seen.tool_calls) == [
        ("add", "success"),
        ("echo", "success"),
        ("refuse", "error"),
    ]
    assert all(call.call_id for call in seen.tool_calls)

    run = next(span for span in seen.spans if span.name.startswith("invoke_agent "))
    children = [span for span in seen.spans if span.parent is not None and span.parent.span_id == run.context.span_id]
    assert {span.context.trace_id for span in children} == {run.context.trace_id}
    names = [span.name for span in sorted(children, key=lambda span: span.start_time)]
    assert names == [
        "llm.complete",
        "mcp.tool.execute",
        "mcp.tool.execute",
        "llm.complete",
        "mcp.tool.execute",
        "llm.complete",
    ]
    assert run.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert run.attributes["gen_ai.agent.name"] == "clerk"
    assert run.attributes["tachograph.run.calls"] == 3
    assert {call.run.id for call in (*seen.llm_calls, *seen.tool_calls)} == {run.attributes["tachograph.run_id"]}


async def test_a_model_that_never_ends_is_stopped(simulators, web, seen):
    simulators.openai.always(Answer(tool_calls=[ToolCall("echo", {"text": "again"})]))
    tools = await ToolFactory(web.executor).create_all()
    async with provider_of("openai", simulators) as provider:
        with pytest.raises(StepLimitError, match="after 3 steps") as caught:
            await Agent(provider, tools, model="gpt-5", max_steps=3).run("Go on")
    assert len(caught.value.result.steps) == 3
    assert len(seen.llm_calls) == 3
    run = next(span for span in seen.spans if span.name.startswith("invoke_agent "))
    assert run.attributes["error.type"] == "StepLimitError"


async def test_a_tool_that_is_not_offered_and_bad_arguments_are_told_to_the_model(simulators, web, seen):
    simulators.openai.script(
        Answer(tool_calls=[ToolCall("destroy", {}), ToolCall("add", {"left": "two"})]), Answer(text="Sorry.")
    )
    tools = [await ToolFactory(web.executor).create("add")]
    async with provider_of("openai", simulators) as provider:
        result = await Agent(provider, tools, model="gpt-5").run("Break it")
    destroyed, added = result.steps[0].tool_uses
    assert destroyed.error.what == "there is no tool 'destroy'; there are: add"
    assert added.error.what.endswith("arguments: missing 'right'; left: must be integer, not string")
    assert [(call.tool_name, call.error_kind) for call in seen.tool_calls] == [
        ("destroy", "validation"),
        ("add", "validation"),
    ]
    assert seen.value("mcp_tool_errors_total", server_id="unknown", tool_name="unknown", error_kind="validation") == 1


async def test_a_failing_model_ends_the_run_with_its_error(simulators, web, seen):
    simulators.openai.always(ServerError())
    async with provider_of("openai", simulators, retry=NO_RETRIES) as provider:
        with pytest.raises(ProviderError):
            await Agent(provider, [], model="gpt-5").run("Hello")
    run = next(span for span in seen.spans if span.name.startswith("invoke_agent "))
    assert run.status.status_code.name == "ERROR"


def test_an_agent_runs_without_a_loop(simulators, seen):
    from support.mcp_servers import stdio_trouble
    from tachograph.mcp import MCPClient, ToolExecutor, ToolRegistry

    simulators.anthropic.script(Answer(tool_calls=[ToolCall("add", {"left": 1, "right": 1})]), Answer(text="Two."))
    with MCPClient({"mcpServers": {"trouble": stdio_trouble()}}) as client:
        tools = client.run(ToolFactory(ToolExecutor(ToolRegistry(client))).create_all())
        agent = Agent(provider_of("anthropic", simulators), tools, model=MODELS["anthropic"])
        assert client.run(agent.run("How much is one and one?")).text == "Two."
