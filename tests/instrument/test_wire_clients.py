"""Other vendors' client libraries over the wire: each of their calls is seen once (`make versions ARGS=wire`)."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from instrument.test_wire import CHAT, COHERE_2, CONVERSE, OLLAMA, USAGE, Loopback
from support.injection import inject_at_entries, watched_quietly
from support.watching import watched_loopback
from tachograph import instrument, uninstrument
from tachograph.instrument import unwatched
from tachograph.instrument.scope import SCOPE, WireScope
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording
from tachograph_demo.simulators import Answer, RateLimited, ServerError, Simulators

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own deprecations

MESSAGES: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def seen() -> Iterator[Recording]:
    with watched_loopback() as caught:
        yield caught


@pytest.fixture
def server() -> Iterator[Loopback]:
    running = Loopback()
    yield running
    running.server.shutdown()
    running.server.server_close()


def check(seen: Recording, count: int, attempts: int | None = None, *, after: int = 0) -> None:
    gc.collect()
    TAPE.drain()
    found = [
        (call.outcome, call.usage and (call.usage.input_tokens, call.usage.output_tokens))
        for call in seen.llm_calls[after:]
    ]
    assert found == [("success", (11, 3))] * count
    if attempts is not None:
        assert len(seen.llm_calls[0].attempts) == attempts


def answer(simulators: Simulators, *first: Any) -> str:
    simulators.openai.script(*first)
    simulators.openai.always(Answer(text="One two three", usage=USAGE))
    return simulators.openai.url


@pytest.mark.needs("groq")
def test_groq(seen: Recording, server: Loopback) -> None:
    import groq

    delta = {"choices": [{"index": 0, "delta": {"content": "Yes"}, "finish_reason": None}]}
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": CHAT["usage"]}}
    stream = "".join(f"data: {json.dumps(each)}\n\n" for each in (delta, last)) + "data: [DONE]\n\n"
    server.answers += [
        (500, "application/json", b"{}"),
        (200, "application/json", json.dumps(CHAT).encode()),
        (200, "text/event-stream", stream.encode()),
    ]
    client: Any = groq.Groq(api_key="any", base_url=server.url)
    client.chat.completions.create(model="m", messages=MESSAGES)
    assert len(list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))) == 2
    check(seen, 2, attempts=2)
    assert {call.provider for call in seen.llm_calls} == {"groq"}


@pytest.mark.needs("groq")
def test_a_failure_of_ours_changes_no_call_of_groq(simulators: Simulators) -> None:
    import groq

    client: Any = groq.Groq(api_key="any", base_url=answer(simulators).removesuffix("/v1"))

    def ask() -> list[str]:
        whole = client.chat.completions.create(model="m", messages=MESSAGES)
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        return [whole.choices[0].message.content, *(chunk.choices[0].delta.content or "" for chunk in stream)]

    with watched_quietly():
        assert inject_at_entries(ask) > 10


@pytest.mark.needs("mistralai")
def test_a_failure_of_ours_changes_no_retry(simulators: Simulators) -> None:
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    url = answer(simulators).removesuffix("/v1")
    client: Any = Mistral(
        api_key="any", server_url=url, retry_config=RetryConfig("backoff", BackoffStrategy(1, 2, 1.5, 30_000), True)
    )

    def ask() -> Any:
        simulators.openai.script(RateLimited(retry_after=0))
        return client.chat.complete(model="m", messages=MESSAGES).choices[0].message.content

    with watched_quietly(wire_hosts=["127.0.0.1"]):
        assert inject_at_entries(ask) > 10
        assert SCOPE.get() is None


@pytest.mark.needs("together")
async def test_together(seen: Recording, simulators: Simulators) -> None:
    import together

    url = answer(simulators, RateLimited(retry_after=0.01)).removesuffix("/v1")
    client = together.Together(api_key="any", base_url=url)
    client.chat.completions.create(model="m", messages=MESSAGES)
    assert list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    check(seen, 2, attempts=2)
    other = together.AsyncTogether(api_key="any", base_url=url)
    await other.chat.completions.create(model="m", messages=MESSAGES)
    assert [chunk async for chunk in await other.chat.completions.create(model="m", messages=MESSAGES, stream=True)]
    check(seen, 4)
    assert {call.provider for call in seen.llm_calls} == {"together"}


@pytest.mark.needs("mistralai")
async def test_mistralai(seen: Recording, simulators: Simulators) -> None:
    from mistralai.client import Mistral

    url = answer(simulators).removesuffix("/v1")
    client: Any = Mistral(api_key="any", server_url=url)
    client.chat.complete(model="m", messages=MESSAGES)
    await client.chat.complete_async(model="m", messages=MESSAGES)
    check(seen, 2)
    with client.chat.stream(model="m", messages=MESSAGES) as events:
        assert list(events)
    async with await client.chat.stream_async(model="m", messages=MESSAGES) as events:
        assert [event async for event in events]
    gc.collect()
    TAPE.drain()
    assert [(call.stream, call.outcome) for call in seen.llm_calls[2:]] == [(True, "success")] * 2


@pytest.mark.needs("cohere")
def test_cohere(seen: Recording, server: Loopback) -> None:
    import cohere

    message = {"role": "assistant", "content": [{"type": "text", "text": "Yes"}]}
    whole = {"id": "1", "finish_reason": "COMPLETE", "message": message, "usage": COHERE_2}
    events = (
        {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Yes"}}}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_2}},
    )
    stream = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
    server.answers += [(200, "application/json", json.dumps(whole).encode()), (200, "text/event-stream", stream)]
    client = cohere.ClientV2(api_key="any", base_url=server.url)
    client.chat(model="m", messages=MESSAGES)
    assert len(list(client.chat_stream(model="m", messages=MESSAGES))) == 3
    check(seen, 2)


@pytest.mark.needs("ollama")
def test_ollama(seen: Recording, server: Loopback) -> None:
    import ollama

    said = {"role": "assistant", "content": "Yes"}
    line = {"model": "llama3.2", "message": said, "done": False}
    last = {**OLLAMA, "message": said}
    stream = "".join(f"{json.dumps(each)}\n" for each in (line, last)).encode()
    server.answers += [(200, "application/json", json.dumps(last).encode()), (200, "application/x-ndjson", stream)]
    client = ollama.Client(host=server.url)
    client.chat(model="llama3.2", messages=MESSAGES)
    assert len(list(client.chat(model="llama3.2", messages=MESSAGES, stream=True))) == 2
    check(seen, 2)


@pytest.mark.needs("huggingface_hub")
def test_huggingface_hub(seen: Recording, simulators: Simulators) -> None:
    from huggingface_hub import InferenceClient

    client = InferenceClient(base_url=answer(simulators), api_key="any")
    client.chat_completion(MESSAGES, model="m")
    usage: Any = {"include_usage": True}
    assert list(client.chat_completion(MESSAGES, model="m", stream=True, stream_options=usage))
    check(seen, 2)


@pytest.mark.needs("azure.ai.inference")
async def test_azure_ai_inference(seen: Recording, simulators: Simulators) -> None:
    from azure.ai.inference import ChatCompletionsClient
    from azure.ai.inference.aio import ChatCompletionsClient as AsyncClient
    from azure.core.credentials import AzureKeyCredential

    url = answer(simulators)
    asked: Any = {"model": "m", "messages": MESSAGES}
    client = ChatCompletionsClient(url, AzureKeyCredential("any"), permit_redirects=False)
    client.complete(**asked)
    assert list(client.complete(**asked, stream=True, model_extras={"stream_options": {"include_usage": True}}))
    check(seen, 2)
    async with AsyncClient(url, AzureKeyCredential("any")) as other:
        await other.complete(**asked)
    check(seen, 3)


@pytest.mark.needs("litellm")
async def test_litellm(seen: Recording, simulators: Simulators, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it asks the network otherwise
    import litellm

    url = answer(simulators)
    usage = {"include_usage": True}
    asked: dict[str, Any] = {"messages": MESSAGES, "api_key": "any", "num_retries": 0}
    litellm.completion(model="mistral/mistral-small-latest", api_base=url, **asked)
    check(seen, 1)
    for model in ("openai/gpt-5", "hosted_vllm/m"):
        before = len(seen.llm_calls)
        litellm.completion(model=model, api_base=url, **asked)
        assert list(litellm.completion(model=model, api_base=url, stream=True, stream_options=usage, **asked))
        await litellm.acompletion(model=model, api_base=url, **asked)
        answered: Any = await litellm.acompletion(model=model, api_base=url, stream=True, stream_options=usage, **asked)
        assert [chunk async for chunk in answered]
        check(seen, 4, after=before)
    simulators.anthropic.always(Answer(text="One", usage=USAGE))
    simulators.gemini.always(Answer(text="One", usage=USAGE))
    for model, base in (
        ("anthropic/claude-opus-4-8", simulators.anthropic.url),
        ("gemini/gemini-2.5-flash", f"{simulators.gemini.url}/v1beta"),
    ):
        before = len(seen.llm_calls)
        litellm.completion(model=model, api_base=base, **asked)
        assert list(litellm.completion(model=model, api_base=base, stream=True, **asked))
        await litellm.acompletion(model=model, api_base=base, **asked)
        check(seen, 3, after=before)
        assert all(call.cost is not None and call.cost.nano_usd for call in seen.llm_calls[before:])


# Retries of the libraries themselves: one call, with an attempt for each request


def check_attempts(seen: Recording, *outcomes: list[str]) -> None:
    """Each call with the outcomes of its attempts, the call's own being that of the last."""
    gc.collect()
    TAPE.drain()
    assert [[attempt.outcome for attempt in call.attempts] for call in seen.llm_calls] == list(outcomes)
    assert [call.outcome for call in seen.llm_calls] == [each[-1] for each in outcomes]


ONCE_AGAIN = ["rate_limited", "success"]


@pytest.mark.needs("mistralai")
async def test_a_retry_of_mistralai_is_an_attempt(seen: Recording, simulators: Simulators) -> None:
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    limited = RateLimited(retry_after=0)
    url = answer(simulators, limited, Answer(text="One", usage=USAGE), limited, Answer(text="One", usage=USAGE))
    again = RetryConfig("backoff", BackoffStrategy(1, 2, 1.5, 30_000), True)
    client: Any = Mistral(api_key="any", server_url=url.removesuffix("/v1"), retry_config=again)
    client.chat.complete(model="m", messages=MESSAGES)
    await client.chat.complete_async(model="m", messages=MESSAGES)
    check_attempts(seen, ONCE_AGAIN, ONCE_AGAIN)
    simulators.openai.always(RateLimited(retry_after=0))
    with pytest.raises(Exception, match="429"):
        Mistral(api_key="any", server_url=url.removesuffix("/v1")).chat.complete(model="m", messages=MESSAGES)
    check_attempts(seen, ONCE_AGAIN, ONCE_AGAIN, ["rate_limited"])


@pytest.mark.needs("cohere")
async def test_a_retry_of_cohere_is_an_attempt(
    seen: Recording, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cohere
    from cohere.core import http_client

    monkeypatch.setattr(http_client, "_retry_timeout", lambda **_: 0.0)
    message = {"role": "assistant", "content": [{"type": "text", "text": "Yes"}]}
    whole = {"id": "1", "finish_reason": "COMPLETE", "message": message, "usage": COHERE_2}
    limited = (429, "application/json", b'{"message": "Too many"}')
    for _ in range(2):
        server.answers += [limited, limited, (200, "application/json", json.dumps(whole).encode())]
    cohere.ClientV2(api_key="any", base_url=server.url).chat(model="m", messages=MESSAGES)
    await cohere.AsyncClientV2(api_key="any", base_url=server.url).chat(model="m", messages=MESSAGES)
    check_attempts(seen, ["rate_limited", *ONCE_AGAIN], ["rate_limited", *ONCE_AGAIN])


@pytest.mark.needs("azure.ai.inference")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_retry_of_azure_ai_inference_is_an_attempt(
    seen: Recording, simulators: Simulators, stream: bool
) -> None:
    from azure.ai.inference import ChatCompletionsClient
    from azure.ai.inference.aio import ChatCompletionsClient as AsyncClient
    from azure.core.credentials import AzureKeyCredential

    limited = RateLimited(retry_after=0)  # whose body is never read where a stream was asked for
    again = [limited, limited, Answer(text="One", usage=USAGE)]
    url = answer(simulators, *again, *[limited] * 4, *again)
    asked: Any = {"model": "m", "messages": MESSAGES, "stream": stream}
    client = ChatCompletionsClient(url, AzureKeyCredential("any"), retry_backoff_factor=0)
    answered: Any = client.complete(**asked)
    if stream:
        assert list(answered)
        answered.close()  # the stream said that it is done, and its end was not read
    with pytest.raises(Exception, match="Rate limit"):
        client.complete(**asked)
    async with AsyncClient(url, AzureKeyCredential("any"), retry_backoff_factor=0) as other:
        other_answered: Any = await other.complete(**asked)
        if stream:
            assert [chunk async for chunk in other_answered]
            await other_answered.aclose()
    gc.collect()
    TAPE.drain()
    found = sorted([attempt.outcome for attempt in call.attempts] for call in seen.llm_calls)
    assert found == [["rate_limited"] * 4, *[["rate_limited", *ONCE_AGAIN]] * 2]


@pytest.mark.needs("aiobotocore")
async def test_a_retry_of_aiobotocore_is_an_attempt(seen: Recording, server: Loopback) -> None:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    failed = (503, "application/json", b'{"message": "Busy"}')
    server.answers += [failed, (200, "application/json", json.dumps(CONVERSE).encode()), failed, failed]
    asked: Any = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    async with get_session().create_client(
        "bedrock-runtime", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="any",
        aws_secret_access_key="any", config=AioConfig(retries={"total_max_attempts": 2, "mode": "standard"}),
    ) as client:  # fmt: skip
        await client.converse(**asked)
        with pytest.raises(Exception, match="Busy"):
            await client.converse(**asked)
    check_attempts(seen, ["error", "success"], ["error", "error"])


@pytest.mark.needs("litellm", "tenacity")
@pytest.mark.parametrize("model", ["openai/gpt-5", "mistral/mistral-small-latest"])
async def test_a_retry_of_litellm_is_an_attempt(
    seen: Recording, simulators: Simulators, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it asks the network otherwise
    import litellm

    answered = Answer(text="One", usage=USAGE)
    simulators.openai.script(ServerError(), answered, ServerError(), answered, ServerError(), answered)
    asked: dict[str, Any] = {"messages": MESSAGES, "api_key": "any", "api_base": simulators.openai.url}
    litellm.completion(model=model, num_retries=2, max_retries=0, **asked)
    await litellm.acompletion(model=model, num_retries=2, max_retries=0, **asked)
    for _ in range(2):  # asked twice by the application: two calls
        try:
            litellm.completion(model=model, num_retries=0, max_retries=0, **asked)
        except litellm.InternalServerError:
            continue
    check_attempts(seen, ["error", "success"], ["error", "success"], ["error"], ["success"])


@pytest.mark.needs("litellm", "tenacity")
def test_a_retry_of_litellm_above_the_retries_of_openai_is_an_attempt(
    seen: Recording, simulators: Simulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it asks the network otherwise
    import litellm

    failed = [ServerError(headers={"retry-after-ms": "1"}) for _ in range(4)]
    url = answer(simulators, *failed, Answer(text="One", usage=USAGE))
    asked: dict[str, Any] = {"messages": MESSAGES, "api_key": "any", "api_base": url}
    litellm.completion(model="openai/gpt-5", num_retries=3, **asked)
    assert len(simulators.served) == 5
    check_attempts(seen, ["error"] * 4 + ["success"])


@pytest.mark.needs("litellm", "tenacity")
@pytest.mark.parametrize("model", ["openai/gpt-5", "mistral/mistral-small-latest"])
async def test_a_retry_of_litellms_router_is_an_attempt_and_its_fallback_a_call_to_the_other_provider(
    seen: Recording, simulators: Simulators, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it asks the network otherwise
    import litellm

    answered = Answer(text="One", usage=USAGE)
    simulators.anthropic.always(answered)
    places = {"main": (model, simulators.openai.url), "other": ("anthropic/claude-opus-4-8", simulators.anthropic.url)}
    router: Any = litellm.Router(
        [
            {"model_name": name, "litellm_params": {"model": of, "api_base": url, "api_key": "any", "max_retries": 0}}
            for name, (of, url) in places.items()
        ],
        num_retries=1,
        retry_after=0,
        fallbacks=[{"main": ["other"]}],
    )
    simulators.openai.script(ServerError(), answered, ServerError(), answered, *[ServerError()] * 4)
    for _ in range(2):
        router.completion(model="main", messages=MESSAGES)
        await router.acompletion(model="main", messages=MESSAGES)
    fallen_back: Any = [["error", "error"], ["success"]] * 2
    check_attempts(seen, ["error", "success"], ["error", "success"], *fallen_back)
    assert [call.provider for call in seen.llm_calls[2:]] == ["openai", "anthropic"] * 2  # on loopback, by their APIs


def test_what_a_library_leaves_running_is_no_part_of_what_it_was_asked_for() -> None:
    """A task that it started has its scope in its context."""
    scope = WireScope()
    scope.close()
    watch: Any = SimpleNamespace(scope=None)
    scope.begin(watch, "m", {})
    assert watch.scope is None


# Clients that are not watched


@pytest.mark.parametrize(
    ("library", "module", "keeps"),
    [
        ("vertexai", "google.cloud.aiplatform.initializer", {"global_config": SimpleNamespace(_api_transport="rest")}),
        (
            "google.generativeai",
            "google.generativeai.client",
            {"_client_manager": SimpleNamespace(client_config={"transport": "rest"})},
        ),
    ],
)
def test_a_client_of_googles_that_the_application_has_use_http_is_seen(
    monkeypatch: pytest.MonkeyPatch, library: str, module: str, keeps: dict[str, Any]
) -> None:
    import sys
    from types import ModuleType

    monkeypatch.setitem(sys.modules, library, ModuleType(library))
    with recording():
        instrument()
        assert [(each.library, "it sends over gRPC" in each.reason) for each in unwatched.imported()] == [
            (library, True)
        ]
        settings = ModuleType(module)
        vars(settings).update(keeps)
        monkeypatch.setitem(sys.modules, module, settings)
        assert unwatched.imported() == []


def test_a_client_that_nobody_sees_is_told_in_the_metrics_and_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import sys
    from types import ModuleType

    unwatched._logged.clear()
    monkeypatch.setitem(sys.modules, "vertexai", ModuleType("vertexai"))
    monkeypatch.setitem(sys.modules, "ollama", ModuleType("ollama"))
    with recording() as seen, caplog.at_level(logging.WARNING, "tachograph"):
        instrument()
        try:
            assert [each.library for each in unwatched.imported()] == ["vertexai"]
            assert seen.value("tachograph_unwatched_client", library="vertexai") == 1
            instrument("openai")
            assert {"ollama", "vertexai"} <= {each.library for each in unwatched.imported()}
        finally:
            uninstrument()
    told = [record.message for record in caplog.records if "not seen" in record.message]
    assert len([line for line in told if "vertexai" in line]) == 1
    unwatched._logged.clear()
