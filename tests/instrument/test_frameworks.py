"""Frameworks that use the watched clients are seen through them; each runs where it is installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tachograph
from tachograph.testing import Recording
from tachograph.usage.stores import open_store
from tachograph.usage.stores.query import Query
from tachograph_demo.simulators import Answer, RateLimited, ServedUsage, Simulators, ToolCall

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks' own deprecations

USAGE = ServedUsage(prompt=120, completion=30)


def tokens(seen: Recording) -> list[tuple[str, str | None, int | None, int | None]]:
    return [
        (call.provider, call.outcome, call.usage and call.usage.input_tokens, call.usage and call.usage.output_tokens)
        for call in seen.llm_calls
    ]


@pytest.mark.needs("langchain_openai", "langchain_anthropic")
async def test_langchain(simulators: Simulators, seen: Recording) -> None:
    import langchain_anthropic
    import langchain_openai

    model = langchain_openai.ChatOpenAI(model="gpt-5", base_url=simulators.openai.url, api_key="any")
    simulators.openai.script(RateLimited(retry_after=0.05), *[Answer(text="a b c", usage=USAGE)] * 4)
    model.invoke("hello")
    assert list(model.stream("hello"))
    await model.ainvoke("hello")
    assert [chunk async for chunk in model.astream("hello")]
    assert tokens(seen) == [("openai", "success", 120, 30)] * 4
    assert [len(call.attempts) for call in seen.llm_calls] == [2, 1, 1, 1]
    simulators.anthropic.always(Answer(text="a b c", usage=USAGE))
    claude = langchain_anthropic.ChatAnthropic(
        model="claude-opus-4-8", base_url=simulators.anthropic.url, api_key="any", max_tokens=64
    )
    claude.invoke("hello")
    assert list(claude.stream("hello"))
    assert tokens(seen)[4:] == [("anthropic", "success", 120, 30)] * 2


@pytest.mark.needs("pydantic_ai")
async def test_pydantic_ai(simulators: Simulators, seen: Recording) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=simulators.openai.url, api_key="any")
    agent: Any = Agent(OpenAIChatModel("gpt-5", provider=provider))

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"sun in {city}"

    simulators.openai.script(
        Answer(tool_calls=[ToolCall("weather", {"city": "Ulm"})], usage=USAGE),
        Answer(text="sunny", usage=USAGE),
        Answer(text="a b c", usage=USAGE),
    )
    assert (await agent.run("weather?")).output == "sunny"
    async with agent.run_stream("hello") as answer:
        assert [text async for text in answer.stream_text()]
    assert tokens(seen) == [("openai", "success", 120, 30)] * 3


@pytest.mark.needs("agents")
async def test_openai_agents(simulators: Simulators, seen: Recording) -> None:
    import agents
    import openai

    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
    simulators.openai.always(Answer(text="a b c", usage=USAGE))
    for model in (
        agents.OpenAIResponsesModel(model="gpt-5", openai_client=client),
        agents.OpenAIChatCompletionsModel(model="gpt-5", openai_client=client),
    ):
        agent = agents.Agent(name="helper", instructions="Help.", model=model)
        assert (await agents.Runner.run(agent, "hello")).final_output == "a b c"
        streamed = agents.Runner.run_streamed(agent, "hello")
        assert [event async for event in streamed.stream_events()]
    assert tokens(seen) == [("openai", "success", 120, 30)] * 4


@pytest.mark.needs("litellm")
async def test_litellm(simulators: Simulators, seen: Recording) -> None:
    import litellm

    asked: Any = {
        "model": "openai/gpt-5",
        "messages": [{"role": "user", "content": "hello"}],
        "api_base": simulators.openai.url,
        "api_key": "any",
    }
    simulators.openai.always(Answer(text="a b c", usage=USAGE))
    litellm.completion(**asked)
    assert list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
    await litellm.acompletion(**asked)
    assert [chunk async for chunk in await litellm.acompletion(**asked, stream=True)]
    assert [found[:3] for found in tokens(seen)[:3]] == [("openai", "success", 120)] * 3
    assert [call.outcome for call in seen.llm_calls] == ["success"] * 4


@pytest.mark.needs("fastmcp")
async def test_fastmcp_is_counted_once_on_each_side(seen: Recording) -> None:
    import fastmcp

    server: Any = fastmcp.FastMCP("weather")

    @server.tool
    def forecast(city: str) -> str:
        return f"sun in {city}"

    async with fastmcp.Client(server) as client:
        await client.call_tool("forecast", {"city": "Ulm"})
        with pytest.raises(fastmcp.exceptions.ToolError):
            await client.call_tool("nothing", {})
    ended = sorted((call.side, call.tool_name, call.outcome, call.error_kind) for call in seen.tool_calls)
    assert ended == [
        ("client", "forecast", "success", None),
        ("client", "nothing", "error", "validation"),
        ("server", "forecast", "success", None),
        ("server", "nothing", "error", "validation"),
    ]
    assert {call.server_id for call in seen.tool_calls} == {"weather"}


CELERY = """
import os
import celery, openai
import tachograph

app = celery.Celery("batch", broker="filesystem://", backend="file://" + os.path.abspath("results"))
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}

@app.task
def summarise(number):
    client = openai.OpenAI(base_url=os.environ["SIMULATOR"], api_key="any")
    with tachograph.labels(job=str(number), worker=str(os.getpid())):
        asked = [{"role": "user", "content": "hello"}]
        return client.chat.completions.create(model="gpt-5", messages=asked).usage.total_tokens
"""


@pytest.mark.needs("celery")
def test_celery_workers_are_watched(simulators: Simulators, tmp_path: Path) -> None:
    """Two forked workers, tasks through the file system, no line of ours in the application."""
    (tmp_path / "batch.py").write_text(CELERY)
    for folder in ("queue", "control", "results"):
        (tmp_path / folder).mkdir()
    simulators.openai.always(Answer(text="a b c", usage=USAGE))
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    there = {**os.environ, "SIMULATOR": simulators.openai.url, "TACHOGRAPH_LEDGER_URL": url}
    start = ["celery", "-A", "batch", "worker", "--concurrency", "2", "--without-gossip", "--without-mingle"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tachograph", "run", "--", sys.executable, "-m", *start],
            cwd=tmp_path, env=there, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            ask = "import batch; print(sum(t.get(timeout=100) for t in [batch.summarise.delay(n) for n in range(6)]))"
            asked = subprocess.run(
                [sys.executable, "-c", ask], cwd=tmp_path, env=there, capture_output=True, text=True, timeout=120,
                check=False,
            )  # fmt: skip
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
    assert asked.stdout == "900\n", asked.stderr + log.read_text()
    # What a worker could not store within `ledger.exit_seconds` waits in its journal for the next writer.
    flush = [sys.executable, "-m", "tachograph", "ledger", "flush"]
    flushed = subprocess.run(flush, env=there, capture_output=True, text=True, timeout=60, check=False)
    assert flushed.returncode == 0, flushed.stdout + flushed.stderr
    store = open_store(url, read_only=True)
    rows = list(store.rows(Query()))
    store.close()
    assert sorted((row.labels or {})["job"] for row in rows) == list("012345"), log.read_text()
    assert {(row.input_tokens, row.output_tokens) for row in rows} == {(120, 30)}
    assert {(row.labels or {})["worker"] for row in rows}.isdisjoint({str(worker.pid)}), "the children did the work"


def runs_of(seen: Recording) -> list[tuple[str, str, str]]:
    """Run, session and agent of each call."""
    return [(call.run.id, call.run.session_id, call.run.agent) for call in seen.llm_calls if call.run is not None]


@pytest.mark.needs("langgraph", "langchain_openai")
def test_langgraph_s_thread_and_run_are_picked_up(simulators: Simulators, seen: Recording) -> None:
    import uuid

    import langchain_openai
    from langgraph.graph import END, START, MessagesState, StateGraph

    simulators.openai.always(Answer(text="a b c", usage=USAGE))
    model = langchain_openai.ChatOpenAI(model="gpt-5", base_url=simulators.openai.url, api_key="any")
    graph: Any = StateGraph(MessagesState)
    graph.add_node("refund", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "refund")
    graph.add_edge("refund", END)
    run = uuid.uuid4()
    question = {"messages": [("user", "hello")]}
    graph.compile().invoke(question, {"configurable": {"thread_id": "t-7"}, "run_id": run})
    with tachograph.run("mine", session="s-1") as own:
        graph.compile().invoke(question, {"configurable": {"thread_id": "t-8"}})
    model.invoke("outside of any graph")
    assert runs_of(seen)[:2] == [(str(run), "t-7", "refund"), (own.id, "s-1", "mine")]
    last = seen.llm_calls[-1].run
    assert last is None or not last.session_id


@pytest.mark.needs("agents")
async def test_traces_and_groups_of_openai_s_agents_are_picked_up(simulators: Simulators, seen: Recording) -> None:
    import agents
    import openai

    agents.set_tracing_disabled(False)
    agents.set_trace_processors([])  # nothing is exported
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
    simulators.openai.always(Answer(text="a b c", usage=USAGE))
    agent = agents.Agent(name="triage", model=agents.OpenAIResponsesModel("gpt-5", client))
    settings = agents.RunConfig(workflow_name="support", group_id="chat-7", trace_id="trace_" + "1" * 32)
    await agents.Runner.run(agent, "hello", run_config=settings)
    assert runs_of(seen) == [("trace_" + "1" * 32, "chat-7", "triage")]


@pytest.mark.needs("pydantic_ai")
async def test_a_run_and_a_conversation_of_pydantic_ai_are_picked_up(simulators: Simulators, seen: Recording) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    simulators.openai.always(Answer(text="a b c", usage=USAGE))
    provider = OpenAIProvider(base_url=simulators.openai.url, api_key="any")
    agent: Any = Agent(OpenAIChatModel("gpt-5", provider=provider), name="refunds")
    first = await agent.run("hello")
    second = await agent.run("and?", message_history=first.all_messages())
    (run, session, name), (later, same, _) = runs_of(seen)
    assert (name, run) == ("refunds", first.run_id)
    assert (later, same) == (second.run_id, session)
    assert run != later
    assert session
