"""A small agent with a tool in each framework: every call of a model is seen once, with tokens, cost and its parent.

Each runs where it is installed: `make versions ARGS=agents`. The page docs/frameworks.md is made from these runs.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

from support.watching import watched_loopback
from tachograph.tape import TAPE
from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, BadRequest, RateLimited, ServedUsage, Simulators, ToolCall

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks' own deprecations

USAGE = ServedUsage(prompt=120, completion=30)
ASKED = "What is the weather in Ulm?"
CALLS_TOOL = Answer(tool_calls=[ToolCall("weather", {"city": "Ulm"})], usage=USAGE)
SAYS = Answer(text="It is sunny in Ulm.", usage=USAGE)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    for name, value in {
        "CREWAI_DISABLE_TELEMETRY": "true",
        "CREWAI_TRACING_ENABLED": "false",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_KEY": "any",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with watched_loopback() as caught:
        yield caught


@pytest.fixture
def root() -> Iterator[Any]:
    """The span that the application has around its agent."""
    with trace.get_tracer("application").start_as_current_span("work") as span:
        yield span


def check(seen: Recording, simulators: Simulators, root: Any, count: int, parent: str = "work") -> None:
    """Each request that was served is one call, whole, and its span stands where it should.

    Args:
        parent: How the name of the span right above begins: the framework's own for the call of a model, or for its
            agent; the application's where the framework has none. The way up leads to the application's.
    """
    gc.collect()
    TAPE.drain()
    assert len(simulators.served) == count
    calls = seen.llm_calls
    assert [(call.outcome, call.usage and (call.usage.input_tokens, call.usage.output_tokens)) for call in calls] == [
        ("success", (120, 30))
    ] * count
    assert all(call.cost is not None and call.cost.nano_usd for call in calls)
    by_id = {span.context.span_id: span for span in seen.spans if span.context is not None}
    ours = [span for span in seen.spans if span.name == "llm.complete"]
    assert len(ours) == count
    for span in ours:
        above = way_up(span, by_id)
        assert (above[0].name if above else root.name).startswith(parent)
        assert "llm.complete" not in [each.name for each in above]
        top = (above or [span])[-1].parent
        assert (top and top.span_id) == (root and root.get_span_context().span_id)


def way_up(span: Any, by_id: dict[int, Any]) -> list[Any]:
    """The finished spans above a span, the next one first."""
    found: list[Any] = []
    while span.parent is not None and span.parent.span_id in by_id:
        span = by_id[span.parent.span_id]
        found.append(span)
    return found


def weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
        city: Which city.
    """
    return f"sun in {city}"


@pytest.mark.needs("langgraph", "langchain")
async def test_langchain_and_langgraph(simulators: Simulators, seen: Recording, root: Any) -> None:
    from langchain.agents import create_agent
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    simulators.openai.script(*[CALLS_TOOL, SAYS] * 2)
    asked: Any = {"messages": [{"role": "user", "content": ASKED}]}
    agent: Any = create_agent(ChatOpenAI(model="gpt-5", base_url=simulators.openai.url, api_key="any"), [weather])
    assert agent.invoke(asked)["messages"][-1].content == SAYS.text
    assert [part async for part in agent.astream(asked, stream_mode="messages")]
    check(seen, simulators, root, 4)
    simulators.anthropic.script(CALLS_TOOL, SAYS)
    claude: Any = ChatAnthropic(model="claude-opus-4-8", base_url=simulators.anthropic.url, api_key="any")
    assert list(create_agent(claude, [weather]).stream(asked, stream_mode="messages"))
    check(seen, simulators, root, 6)


@pytest.mark.needs("llama_index.llms.openai")
async def test_llamaindex(simulators: Simulators, seen: Recording, root: Any) -> None:
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index.llms.openai import OpenAI

    simulators.openai.script(CALLS_TOOL, SAYS)
    model = OpenAI(model="gpt-4o", api_base=simulators.openai.url, api_key="any")
    agent: Any = FunctionAgent(tools=[weather], llm=model, system_prompt="Help.")
    assert SAYS.text in str(await agent.run(ASKED))
    check(seen, simulators, root, 2)


@pytest.mark.needs("pydantic_ai")
async def test_pydantic_ai(simulators: Simulators, seen: Recording, root: Any) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    simulators.openai.script(*[CALLS_TOOL, SAYS] * 2)
    provider = OpenAIProvider(base_url=simulators.openai.url, api_key="any")
    agent: Any = Agent(OpenAIChatModel("gpt-5", provider=provider), tools=[weather])
    assert (await agent.run(ASKED)).output == SAYS.text
    async with agent.run_stream(ASKED) as answer:
        assert [text async for text in answer.stream_text()]
    check(seen, simulators, root, 4)


@pytest.mark.needs("agents")
async def test_openai_agents(simulators: Simulators, seen: Recording, root: Any) -> None:
    import agents
    import openai

    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
    simulators.openai.script(*[CALLS_TOOL, SAYS] * 2)
    tool = agents.function_tool(weather)
    model = agents.OpenAIResponsesModel(model="gpt-5", openai_client=client)
    agent = agents.Agent(name="helper", instructions="Help.", model=model, tools=[tool])
    assert (await agents.Runner.run(agent, ASKED)).final_output == SAYS.text
    streamed = agents.Runner.run_streamed(agent, ASKED)
    assert [event async for event in streamed.stream_events()]
    check(seen, simulators, root, 4)


@pytest.mark.needs("smolagents")
def test_smolagents(simulators: Simulators, seen: Recording, root: Any) -> None:
    import smolagents

    final = Answer(tool_calls=[ToolCall("final_answer", {"answer": "sunny"})], usage=USAGE)
    simulators.openai.script(CALLS_TOOL, final, CALLS_TOOL, final)
    simulators.anthropic.script(CALLS_TOOL, final)
    tool = smolagents.tool(weather)
    asked: Any = {"model_id": "gpt-5", "api_base": simulators.openai.url, "api_key": "any"}
    model = smolagents.OpenAIServerModel(**asked)
    assert smolagents.ToolCallingAgent(tools=[tool], model=model, verbosity_level=0).run(ASKED) == "sunny"
    agent = smolagents.ToolCallingAgent(tools=[tool], model=model, verbosity_level=0, stream_outputs=True)
    assert agent.run(ASKED) == "sunny"
    over: Any = {**asked, "model_id": "anthropic/claude-opus-4-8", "api_base": simulators.anthropic.url}
    claude = smolagents.LiteLLMModel(**over)
    assert smolagents.ToolCallingAgent(tools=[tool], model=claude, verbosity_level=0).run(ASKED) == "sunny"
    check(seen, simulators, root, 6)


@pytest.mark.needs("dspy")
def test_dspy(simulators: Simulators, seen: Recording, root: Any) -> None:
    import dspy

    def fields(**named: str) -> Answer:
        text = "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name, value in named.items())
        return Answer(text=f"{text}[[ ## completed ## ]]", usage=USAGE)

    simulators.openai.script(
        *[
            fields(next_thought="ask", next_tool_name="weather", next_tool_args=json.dumps({"city": "Ulm"})),
            fields(next_thought="done", next_tool_name="finish", next_tool_args="{}"),
            fields(reasoning="told", answer="sunny"),
        ]
        * 2
    )
    for engine in ("litellm", "lm15"):
        model = dspy.LM("openai/gpt-4o", api_base=simulators.openai.url, api_key="any", cache=False, engine=engine)
        with dspy.context(lm=model):
            assert dspy.ReAct("question -> answer", tools=[weather])(question=ASKED).answer == "sunny"
    check(seen, simulators, root, 6)


@pytest.mark.needs("dspy")
async def test_dspys_own_engine_async_streamed_and_failing(simulators: Simulators, seen: Recording, root: Any) -> None:
    import dspy

    said = Answer(text="[[ ## answer ## ]]\nsunny in Ulm\n\n[[ ## completed ## ]]", usage=USAGE)
    simulators.openai.script(said, said, BadRequest(), RateLimited(retry_after=0), said)
    url = simulators.openai.url
    model = dspy.LM("openai/gpt-4o", api_base=url, api_key="any", cache=False, engine="lm15")
    with dspy.context(lm=model):
        assert (await dspy.Predict("question -> answer").acall(question=ASKED)).answer == "sunny in Ulm"
        streamed: Any = dspy.streamify(
            dspy.Predict("question -> answer"), stream_listeners=[dspy.streaming.StreamListener("answer")]
        )
        assert len([part async for part in streamed(question=ASKED)]) > 1
    check(seen, simulators, root, 2)
    assert [call.stream for call in seen.llm_calls] == [False, True]
    with pytest.raises(Exception, match=r"400|nvalid|rejected"):
        model("Hello")
    assert model("Hello")
    calls = seen.llm_calls[2:]
    assert [[attempt.outcome for attempt in call.attempts] for call in calls] == [
        ["error"],
        ["rate_limited", "success"],
    ]
    assert calls[0].error_type == "invalid_request"


@pytest.mark.needs("instructor")
def test_instructor(simulators: Simulators, seen: Recording, root: Any) -> None:
    import instructor
    import openai
    import pydantic

    class City(pydantic.BaseModel):
        name: str

    found = Answer(tool_calls=[ToolCall("City", {"name": "Ulm"})], usage=USAGE)
    simulators.openai.script(found, found)
    client: Any = instructor.from_openai(openai.OpenAI(base_url=simulators.openai.url, api_key="any"))
    asked: Any = {"model": "gpt-5", "response_model": City, "messages": [{"role": "user", "content": ASKED}]}
    assert client.chat.completions.create(**asked).name == "Ulm"
    assert list(client.chat.completions.create_partial(**asked))[-1].name == "Ulm"
    check(seen, simulators, root, 2)


@pytest.mark.needs("haystack")
def test_haystack(simulators: Simulators, seen: Recording, root: Any) -> None:
    from haystack.components.agents import Agent
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage
    from haystack.tools import create_tool_from_function
    from haystack.utils import Secret

    simulators.openai.script(*[CALLS_TOOL, SAYS] * 2)
    key = Secret.from_token("any")
    for callback in (None, lambda chunk: None):
        model = OpenAIChatGenerator(api_key=key, model="gpt-5", api_base_url=simulators.openai.url)
        agent: Any = Agent(
            chat_generator=model, tools=[create_tool_from_function(weather)], streaming_callback=callback
        )
        assert agent.run(messages=[ChatMessage.from_user(ASKED)])["messages"][-1].text == SAYS.text
    check(seen, simulators, root, 4)


@pytest.mark.needs("agno")
def test_agno(simulators: Simulators, seen: Recording, root: Any) -> None:
    from agno.agent import Agent
    from agno.models.openai import OpenAIChat

    simulators.openai.script(*[CALLS_TOOL, SAYS] * 2)
    model = OpenAIChat(id="gpt-5", base_url=simulators.openai.url, api_key="any")
    agent: Any = Agent(model=model, tools=[weather], telemetry=False)
    assert agent.run(ASKED).content == SAYS.text
    assert list(agent.run(ASKED, stream=True))
    check(seen, simulators, root, 4)


@pytest.mark.needs("strands")
def test_strands(simulators: Simulators, seen: Recording, root: Any) -> None:
    from strands import Agent, tool
    from strands.models.openai import OpenAIModel

    simulators.openai.script(CALLS_TOOL, SAYS)
    model: Any = OpenAIModel(client_args={"api_key": "any", "base_url": simulators.openai.url}, model_id="gpt-5")
    assert SAYS.text in str(Agent(model=model, tools=[tool(weather)], callback_handler=None)(ASKED))
    check(seen, simulators, root, 2, "chat")


@pytest.mark.needs("autogen_agentchat")
async def test_autogen(simulators: Simulators, seen: Recording, root: Any) -> None:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    simulators.openai.script(*[CALLS_TOOL, SAYS] * 2)
    model: Any = OpenAIChatCompletionClient(model="gpt-4o", base_url=simulators.openai.url, api_key="any")
    for stream in (False, True):
        agent: Any = AssistantAgent(
            "helper", model, tools=[weather], reflect_on_tool_use=True, model_client_stream=stream
        )
        assert (await agent.run(task=ASKED)).messages[-1].content == SAYS.text
    check(seen, simulators, root, 4, "invoke_agent helper")


@pytest.mark.needs("crewai")
def test_crewai(simulators: Simulators, seen: Recording, root: Any) -> None:
    from crewai import LLM, Agent, Crew, Task
    from crewai.tools import tool

    simulators.openai.script(*[CALLS_TOOL, SAYS] * 2)
    for stream in (False, True):
        model = LLM(model="openai/gpt-4o", base_url=simulators.openai.url, api_key="any", stream=stream)
        tools = [tool("weather")(weather)]
        helper: Any = Agent(role="helper", goal="Help.", backstory="Helps.", llm=model, tools=tools)
        task = Task(description=ASKED, expected_output="A sentence.", agent=helper)
        assert SAYS.text in str(Crew(agents=[helper], tasks=[task]).kickoff())
    check(seen, simulators, root, 4)
    assert [call.stream for call in seen.llm_calls] == [False, False, True, True]


@pytest.mark.needs("semantic_kernel")
async def test_semantic_kernel(simulators: Simulators, seen: Recording, root: Any) -> None:
    import openai
    from semantic_kernel.agents import ChatCompletionAgent
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
    from semantic_kernel.functions import kernel_function

    class Sky:
        @kernel_function(name="weather", description="Tell the weather in a city.")
        def weather(self, city: str) -> str:
            return weather(city)

    asks = Answer(tool_calls=[ToolCall("Sky-weather", {"city": "Ulm"})], usage=USAGE)
    simulators.openai.script(*[asks, SAYS] * 2)
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
    service = OpenAIChatCompletion(ai_model_id="gpt-5", async_client=client)
    agent: Any = ChatCompletionAgent(service=service, name="helper", plugins=[Sky()])
    assert str(await agent.get_response(ASKED)) == SAYS.text
    assert [part async for part in agent.invoke_stream(ASKED)]
    check(seen, simulators, root, 4, "AutoFunctionInvocationLoop")


@pytest.mark.needs("google.adk")
async def test_google_adk(simulators: Simulators, seen: Recording, root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.adk.agents import LlmAgent
    from google.adk.agents.run_config import RunConfig, StreamingMode
    from google.adk.models.lite_llm import LiteLlm
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    monkeypatch.setenv("GOOGLE_API_KEY", "any")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", simulators.gemini.url)
    simulators.gemini.script(*[CALLS_TOOL, SAYS] * 2)
    simulators.anthropic.script(*[CALLS_TOOL, SAYS] * 2)
    claude: Any = LiteLlm(model="anthropic/claude-opus-4-8", api_base=simulators.anthropic.url, api_key="any")
    sessions = []
    for model in ("gemini-2.5-flash", claude):
        runner = InMemoryRunner(agent=LlmAgent(name="clerk", model=model, tools=[weather]), app_name="shop")
        for mode in (StreamingMode.NONE, StreamingMode.SSE):
            session = await runner.session_service.create_session(app_name="shop", user_id="ann")
            message = types.Content(role="user", parts=[types.Part(text=ASKED)])
            async for _ in runner.run_async(
                user_id="ann", session_id=session.id, new_message=message, run_config=RunConfig(streaming_mode=mode)
            ):
                pass
            sessions += [session.id] * 2
    check(seen, simulators, root, 8, "generate_content")
    runs = [call.run for call in seen.llm_calls]
    assert [run and (run.agent, run.session_id) for run in runs] == [("clerk", session) for session in sessions]
    assert len({run.execution_id for run in runs if run}) == 4


@pytest.mark.needs("litellm.proxy", "fastapi", "orjson")
async def test_litellm_proxy(simulators: Simulators, seen: Recording, tmp_path: Any) -> None:
    import httpx
    from litellm.proxy.proxy_server import app, initialize

    config = tmp_path / "config.yaml"
    models = [
        {"model_name": "gpt-5", "litellm_params": {"model": "openai/gpt-5", "api_base": simulators.openai.url}},
        {
            "model_name": "claude",
            "litellm_params": {"model": "anthropic/claude-opus-4-8", "api_base": simulators.anthropic.url},
        },
    ]
    for model in models:
        model["litellm_params"]["api_key"] = "any"  # type: ignore[index]
    config.write_text(json.dumps({"model_list": models}))
    simulators.openai.script(SAYS, SAYS)
    simulators.anthropic.script(SAYS, SAYS)
    await initialize(config=str(config))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
        for model in ("gpt-5", "claude"):
            for stream in (False, True):
                body = {"model": model, "messages": [{"role": "user", "content": ASKED}], "stream": stream}
                answer = await client.post("/chat/completions", json=body)
                assert answer.status_code == 200, answer.text
    check(seen, simulators, None, 4, "fastapi.endpoint")  # a server has traces of its own
    assert [call.stream for call in seen.llm_calls] == [False, True, False, True]
