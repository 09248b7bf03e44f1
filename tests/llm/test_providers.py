"""What goes over the wire and what comes back, in one form for all vendors, through the real SDKs."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from support.ways import STREAMS, WAYS, Way
from tachograph.llm import Image, InvalidRequestError, Message, Text, Tool, ToolRequest, ToolResult
from tachograph.llm.types import Completed, ReasoningDelta, Request, TextDelta, ToolCallDelta
from tachograph.records import Usage
from tachograph.testing import Recording, recording
from tachograph_demo.simulators import Answer, ServedUsage, Simulators, ToolCall

WEATHER = Tool(
    "get_weather",
    "The weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
PIXEL = b"\x89PNG\r\n\x1a\nnot really"
WHOLE = [way for way in WAYS if not way.is_async and not way.is_stream]


def only_body(simulators: Simulators) -> Any:
    (exchange,) = simulators.served.wait(1)
    return exchange.body


def test_an_answer_comes_back_whole(way: Way, simulators: Simulators, seen: Recording) -> None:
    getattr(simulators, way.vendor).script(
        Answer(
            text="The answer is 42.",
            reasoning="Six times seven.",
            usage=ServedUsage(prompt=100, completion=60, cache_read=40, reasoning=25),
            model=f"{way.model}-served",
        )
    )
    effort: Any = None if (way.vendor, way.options) == ("openai", {}) else "low"
    events, response = way.events(way.provider(simulators), reasoning_effort=effort, labels={"team": "search"})

    assert response.text == "The answer is 42."
    assert response.finish_reason == "stop"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (100, 60)
    assert response.usage.details["cache_read"] == 40
    assert response.usage.details["reasoning"] == 25
    assert response.model == f"{way.model}-served"
    assert response.id
    call = response.call
    assert (call.response_model, call.response_id) == (response.model, response.id)
    assert (call.api, call.message_count, call.stream) == (
        {"anthropic": "messages", "gemini": "generate_content"}.get(
            way.vendor, way.options.get("api", "chat_completions")
        ),
        1,
        way.is_stream,
    )
    assert call.server_address == "127.0.0.1"
    assert call.labels == {"team": "search"}
    assert call.cost is not None
    if effort is not None:
        assert response.reasoning == "Six times seven."
    if way.is_stream:
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == response.text
        thoughts = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
        assert thoughts == response.reasoning
        assert isinstance(events[-1], Completed)
        assert sum(isinstance(event, Completed) for event in events) == 1
        assert call.first_token_ns
    else:
        assert call.first_token_ns == 0


def test_a_conversation_with_tools_goes_round(way: Way, simulators: Simulators, seen: Recording) -> None:
    wanted = [ToolCall("get_weather", {"city": "Oslo"}), ToolCall("get_weather", {"city": "Rome"})]
    vendor = getattr(simulators, way.vendor)
    vendor.script(Answer(text="", tool_calls=wanted), Answer(text="Cold and warm."))
    provider = way.provider(simulators)
    question = Message("user", "Weather in Oslo and Rome?")
    events, first = way.events(provider, messages=[question], tools=[WEATHER], tool_choice="required")

    assert first.finish_reason == "tool_calls"
    assert [(call.name, dict(call.arguments)) for call in first.tool_calls] == [
        ("get_weather", {"city": "Oslo"}),
        ("get_weather", {"city": "Rome"}),
    ]
    assert len({call.id for call in first.tool_calls}) == 2
    if way.is_stream:
        parts: dict[int, str] = {}
        names = {}
        for event in events:
            if isinstance(event, ToolCallDelta):
                parts[event.index] = parts.get(event.index, "") + event.arguments
                if event.name:
                    names[event.index] = (event.id, event.name)
        assert [json.loads(parts[index]) for index in (0, 1)] == [{"city": "Oslo"}, {"city": "Rome"}]
        assert [names[index] for index in (0, 1)] == [(call.id, call.name) for call in first.tool_calls]

    results = [
        ToolResult(call.id, "-5" if call.arguments["city"] == "Oslo" else "oven broken", call.name, is_error=index == 1)
        for index, call in enumerate(first.tool_calls)
    ]
    conversation = [question, first.message, Message("user", results)]
    second = way.ask(way.provider(simulators), messages=conversation, tools=[WEATHER])
    assert second.text == "Cold and warm."
    sent = simulators.served.wait(2)[1].body
    for said in ("Weather in Oslo and Rome?", "get_weather", "Oslo", "-5", "oven broken"):
        assert said in json.dumps(sent)
    asked = next(sent[name] for name in ("messages", "input", "contents") if name in sent)
    assert seen.llm_calls[1].message_count == len(asked)  # each vendor divides a conversation in its own way


def test_a_conversation_moves_from_one_vendor_to_the_next(simulators: Simulators, seen: Recording) -> None:
    messages: list[Message] = [Message("user", "Weather in Oslo?")]
    for way in WHOLE:
        getattr(simulators, way.vendor).script(
            Answer(text="Let me see.", tool_calls=[ToolCall("get_weather", {"city": "Oslo"})])
        )
        response = way.ask(way.provider(simulators), messages=messages, tools=[WEATHER])
        assert response.tool_calls
        messages += [
            response.message,
            Message("user", [ToolResult(call.id, "-5", call.name) for call in response.tool_calls]),
        ]
    assert [call.outcome for call in seen.llm_calls] == ["success"] * len(WHOLE)


EXPECTED: dict[str, Any] = {
    "openai": {
        "model": "gpt-5",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgpub3QgcmVhbGx5"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                ],
            },
        ],
        "max_completion_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "reasoning_effort": "low",
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "The weather of a city.",
                    "parameters": dict(WEATHER.parameters),
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": False},
        },
        "seed": 7,
    },
    "anthropic": {
        "model": "claude-haiku-4-5",
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {
                        "type": "image",
                        "source": {
                            "type": "base64",
                            "media_type": "image/png",
                            "data": "iVBORw0KGgpub3QgcmVhbGx5",
                        },
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                ],
            }
        ],
        "max_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive"},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"},
        "tools": [
            {
                "name": "get_weather",
                "description": "The weather of a city.",
                "input_schema": dict(WEATHER.parameters),
            }
        ],
        "tool_choice": {"type": "tool", "name": "get_weather"},
        "metadata": {"user_id": "7"},
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is it?"},
                    {"inlineData": {"data": "iVBORw0KGgpub3QgcmVhbGx5", "mime_type": "image/png"}},
                    {"fileData": {"file_uri": "https://example.com/a.png", "mime_type": "image/png"}},
                ],
            }
        ],
        "generationConfig": {
            "maxOutputTokens": 99,
            "temperature": 0.5,
            "topP": 0.9,
            "stopSequences": ["END"],
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
            "thinkingConfig": {"thinking_budget": 1024, "include_thoughts": True},
            "seed": 7,
        },
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "get_weather",
                        "description": "The weather of a city.",
                        "parameters_json_schema": dict(WEATHER.parameters),
                    }
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}},
    },
}


@pytest.mark.parametrize("vendor", list(EXPECTED))
def test_a_request_says_the_same_to_every_vendor(vendor: str, simulators: Simulators, seen: Recording) -> None:
    way = Way(vendor, False, False)
    options: dict[str, Any] = {"metadata": {"user_id": "7"}} if vendor == "anthropic" else {"seed": 7}
    request = Request(
        model=way.model,
        messages=[
            Message("user", [Text("What is it?"), Image(PIXEL), Image(url="https://example.com/a.png")]),
        ],
        system="Be brief.",
        tools=[WEATHER],
        tool_choice="get_weather",
        max_tokens=99,
        temperature=0.5,
        top_p=0.9,
        stop=["END"],
        output_schema={"type": "object"},
        reasoning_effort="low",
        options=options,
    )
    getattr(simulators, vendor).script(Answer(text="{}"))
    with way.provider(simulators) as provider:
        provider.complete(request)
    assert only_body(simulators) == EXPECTED[vendor]
    (call,) = seen.llm_calls
    assert call.settings() == {
        "max_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        **({"reasoning.level": "low"} if vendor != "gemini" else {}),  # Gemini 2.5 is given a budget instead
        **({"seed": 7} if vendor != "anthropic" else {}),
    }


def test_the_responses_api_is_asked_in_its_own_words(simulators: Simulators, seen: Recording) -> None:
    way = Way("openai", False, False, {"api": "responses"})
    past = Message(
        "assistant", [Text("Looking."), ToolRequest("call_1", "get_weather", {"city": "Oslo"}, '{"city": 1}')]
    )
    with way.provider(simulators) as provider:
        provider.complete(
            model="gpt-5",
            messages=[Message("user", "Hi"), past, Message("user", [ToolResult("call_1", "-5", "get_weather")])],
            system="Be brief.",
            max_tokens=50,
            tool_choice="none",
            tools=[WEATHER],
            reasoning_effort="high",
        )
    body = only_body(simulators)
    assert body["input"] == [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "assistant", "content": "Looking."},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city": 1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "-5"},
    ]
    assert (body["instructions"], body["max_output_tokens"]) == ("Be brief.", 50)
    assert (body["tool_choice"], body["reasoning"]) == ("none", {"effort": "high"})


def test_what_an_api_cannot_do_is_refused_before_anything_is_sent(simulators: Simulators, seen: Recording) -> None:
    way = Way("openai", False, False, {"api": "responses"})
    with pytest.raises(InvalidRequestError, match="has no stop sequences"):
        way.ask(way.provider(simulators), stop=["END"])
    assert len(simulators.served) == 0
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type, call.attempts) == ("error", "invalid_request", [])


@pytest.mark.parametrize("way", [way for way in STREAMS if way.vendor == "openai" and not way.options], ids=str)
def test_a_chat_stream_asks_for_its_usage(way: Way, simulators: Simulators, seen: Recording) -> None:
    simulators.openai.script(Answer(text="hi", usage=ServedUsage(prompt=5, completion=2)))
    assert way.ask(way.provider(simulators)).usage == Usage(5, 2)
    assert only_body(simulators)["stream_options"] == {"include_usage": True}


def test_a_server_that_always_sends_usage_is_not_asked_for_it(simulators: Simulators, seen: Recording) -> None:
    import httpx2

    from tachograph import ProviderFactory

    class Redirected(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            here = httpx2.URL(simulators.openai.url)
            request.url = request.url.copy_with(scheme="http", host=here.host, port=here.port)
            return super().handle_request(request)

    simulators.openai.always(Answer(text="hi", usage=ServedUsage(prompt=5, completion=2)))
    with httpx2.Client(transport=Redirected()) as http:
        provider = ProviderFactory().create(
            "openai", name="mistral", base_url="https://api.mistral.ai/v1", api_key="any", http_client=http
        )
        assert list(provider.stream(messages="hi", model="m"))
    assert "stream_options" not in only_body(simulators)  # Mistral refuses it


def test_arguments_that_are_no_json_are_kept_as_text(simulators: Simulators, seen: Recording) -> None:
    from tachograph.llm.adapter import tool_request

    assert tool_request("1", "f", '{"a": ').arguments == {}
    assert tool_request("1", "f", '{"a": ').arguments_text == '{"a": '
    assert tool_request("1", "f", "[1]").arguments == {}
    assert tool_request("1", "f", "").arguments == {}


def test_azure_is_asked_by_deployment_and_priced_by_what_answered(simulators: Simulators, seen: Recording) -> None:
    from tachograph import ProviderFactory

    simulators.openai.script(
        Answer(text="hi", model="gpt-4o-2024-08-06", usage=ServedUsage(prompt=1000, completion=100))
    )
    with ProviderFactory.create(
        "openai", azure_endpoint=simulators.openai.azure_url, api_key="azure-key-123", name="azure"
    ) as provider:
        response = provider.complete(model="our-deployment", messages="Hello")
    assert response.text == "hi"
    (exchange,) = simulators.served.wait(1)
    assert exchange.path.endswith("/deployments/our-deployment/chat/completions")
    (call,) = seen.llm_calls
    assert (call.provider, call.model, call.response_model) == ("azure", "our-deployment", "gpt-4o-2024-08-06")
    assert call.cost is not None
    assert call.cost.nano_usd == 1000 * 2500 + 100 * 10_000


def test_a_compatible_server_has_a_label_of_the_users_choice(simulators: Simulators, seen: Recording) -> None:
    way = Way("openai", False, True)
    way.ask(way.provider(simulators, name="vllm"), model="llama-9", max_tokens=5)
    assert only_body(simulators)["max_tokens"] == 5
    assert seen.value("llm_provider_request_seconds_count", provider="vllm", model="llama-9") == 1


def test_nothing_that_was_said_is_kept_unless_asked_for(way: Way, simulators: Simulators, seen: Recording) -> None:
    getattr(simulators, way.vendor).script(Answer(text="the secret answer"))
    way.ask(way.provider(simulators), messages="a secret question", system="secret orders")
    (call,) = seen.llm_calls
    assert call.content is None
    assert "secret" not in "".join(span.to_json() for span in seen.spans)


def upper(text: str, where: str) -> str | None:
    """A redaction hook."""
    return text.upper() if where == "input" else None


def test_what_was_said_is_kept_when_asked_for(way: Way, simulators: Simulators) -> None:
    question = [Message("user", [Text("What is it?"), Image(PIXEL)])]
    for hook in (None, f"{__name__}:upper"):
        getattr(simulators, way.vendor).script(Answer(text="A pixel."))
        sys.modules.setdefault(__name__, sys.modules[upper.__module__])
        with recording(spans={"content": True}, instrument={"redact": hook}) as seen:
            way.ask(way.provider(simulators), messages=question, system="Be brief.")
        kept = seen.llm_calls[0].content
        if hook is not None:
            assert set(kept) == {"input"}
            assert "WHAT IS IT?" in kept["input"]
            continue
        assert json.loads(kept["input"]) == [
            {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
            {
                "role": "user",
                "parts": [{"type": "text", "content": "What is it?"}, {"type": "blob", "mime_type": "image/png"}],
            },
        ]
        assert json.loads(kept["output"]) == [{"role": "assistant", "parts": [{"type": "text", "content": "A pixel."}]}]
