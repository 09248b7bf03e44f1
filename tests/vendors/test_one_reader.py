"""The same answer gives the same record, whether our engine asked for it or a watched client did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2
import msgspec
import openai
import pytest
from google import genai

from support.parts import shared_folder
from support.recorded import exchanges
from support.ways import MODELS, TRUST, VENDORS, Way
from tachograph import ProviderFactory, instrument, uninstrument
from tachograph.llm.errors import ProviderError
from tachograph.llm.retry import RetryPolicy
from tachograph.llm.types import Request
from tachograph.records import LLMCall
from tachograph.tape import TAPE
from tachograph.testing import recording
from tachograph.vendors.dialects import dialect_of
from tachograph_demo.simulators import Simulators
from tachograph_demo.simulators.script import (
    Answer,
    ContextTooLong,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Raw,
    ToolCall,
    Unauthorized,
)
from tachograph_demo.simulators.usage import ServedUsage

OF_ONE_CALL = (
    "sink",
    "projection",
    "number",
    "slot",
    "tokens",
    "started_unix_ns",
    "started_ns",
    "first_token_ns",
    "ended_ns",
    "attempts",
    "error",
    "labels",
)
OF_SIGNALS = ("projection", "trace_id", "span_id", "span", "parent_id", "content")
"""What two calls never share, and what is not read from an answer."""


@dataclass(frozen=True)
class Served:
    """One answer as it came over the wire."""

    name: str
    vendor: str
    options: dict[str, Any]
    is_stream: bool
    status: int
    headers: dict[str, str]
    body: bytes
    base_url: str | None = None

    def client(self) -> httpx2.Client:
        answer = httpx2.MockTransport(lambda _: httpx2.Response(self.status, headers=self.headers, content=self.body))
        return httpx2.Client(transport=answer)


ASKED: dict[str, Any] = {"messages": "hello", "max_tokens": 9, "temperature": 0.5, "reasoning_effort": "low"}


def asked_by_the_engine(served: Served) -> dict[str, Any]:
    """The record of our engine, which asks once."""
    options: dict[str, Any] = {}
    if served.base_url:
        dialect = dialect_of(urlsplit(served.base_url).hostname or "")
        options = {
            "base_url": served.base_url,
            "name": dialect.label if dialect and served.vendor != "gemini" else served.vendor,
        }
    provider = ProviderFactory.create(
        served.vendor,
        api_key="any",
        http_client=served.client(),
        retry=RetryPolicy(attempts=1),
        **served.options,
        **options,
    )
    with recording() as seen:
        try:
            if served.is_stream:
                with provider.stream(model=MODELS[served.vendor], **ASKED) as stream:
                    for _ in stream:
                        pass
            else:
                provider.complete(model=MODELS[served.vendor], **ASKED)
        except ProviderError:
            pass
    (call,) = seen.llm_calls
    return facts(call)


def asked_by_a_watched_client(served: Served) -> dict[str, Any]:
    """The record of a watched client that sends what the engine sends."""
    request = ProviderFactory.create(served.vendor, api_key="any", **served.options)
    payload = request._engine.adapter.build(Request(model=MODELS[served.vendor], **ASKED), served.is_stream)
    with recording() as seen:
        instrument(include_usage="never")
        try:
            ask(served, payload)
        except (openai.OpenAIError, anthropic.AnthropicError, genai.errors.APIError, httpx2.HTTPError, ValueError):
            pass
        finally:
            TAPE.drain()
            uninstrument()
    (call,) = seen.llm_calls
    return facts(call)


def ask(served: Served, payload: dict[str, Any]) -> None:
    where: dict[str, Any] = {"base_url": served.base_url} if served.base_url else {}
    client: Any
    if served.vendor == "openai":
        client = openai.OpenAI(api_key="any", http_client=served.client(), max_retries=0, **where)
        answer = (client.responses if served.options else client.chat.completions).create(**payload)
    elif served.vendor == "anthropic":
        client = anthropic.Anthropic(api_key="any", http_client=served.client(), max_retries=0, **where)
        answer = client.messages.create(**payload)
    else:
        client = genai.Client(api_key="any", http_options={**where, "httpx_client": served.client()})
        method = client.models.generate_content_stream if served.is_stream else client.models.generate_content
        answer = method(**payload)
    if served.is_stream:
        for _ in answer:
            pass


def facts(call: LLMCall) -> dict[str, Any]:
    """Everything that a record says of an answer and of its request."""
    left_out = {*OF_ONE_CALL, *OF_SIGNALS}
    found = {name: getattr(call, name) for name in call.__struct_fields__ if name[0] != "_" and name not in left_out}
    found["usage"] = msgspec.to_builtins(call.usage)
    found["cost"] = msgspec.to_builtins(call.cost)
    found["has_first_token"] = bool(call.first_token_ns)
    found["attempts"] = [
        (attempt.status, attempt.outcome, attempt.error_type, attempt.request_id) for attempt in call.attempts
    ]
    return found


def differences(served: Served) -> dict[str, Any]:
    """What the two records tell differently, ours first."""
    ours, watched = asked_by_the_engine(served), asked_by_a_watched_client(served)
    return {name: (ours[name], watched[name]) for name in ours if ours[name] != watched[name]}


# What the simulators answer


class Captured(httpx2.HTTPTransport):
    """Keeps what comes over the wire."""

    def __init__(self) -> None:
        super().__init__(verify=TRUST)
        self.came: list[tuple[int, dict[str, str], bytes]] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = super().handle_request(request)
        headers = {k: v for k, v in answer.headers.items() if k not in ("content-length", "transfer-encoding")}
        self.came.append((answer.status_code, headers, answer.read()))
        return httpx2.Response(answer.status_code, headers=headers, content=answer.content)


ANSWERS: dict[str, Answer] = {
    "plain": Answer(text="one two three", usage=ServedUsage(prompt=120, completion=30)),
    "cached and reasoned": Answer(
        text="four", usage=ServedUsage(prompt=900, completion=300, cache_read=640, cache_write_5m=64, reasoning=128)
    ),
    "tools": Answer(tool_calls=[ToolCall("get_time", {"zone": "UTC"})], usage=ServedUsage(prompt=80, completion=12)),
    "cut by length": Answer(text="five", finish="length", usage=ServedUsage(prompt=10, completion=5)),
    "filtered": Answer(text="six", finish="content_filter", usage=ServedUsage(prompt=10, completion=5)),
    "through a proxy": Answer(
        text="a", usage=ServedUsage(prompt=10, completion=5), headers={"x-litellm-response-cost": "0.5"}
    ),
    "out of a gateway's cache": Answer(
        text="b", usage=ServedUsage(prompt=10, completion=5), headers={"cf-aig-cache-status": "HIT"}
    ),
}
CUT_SHORT = Answer(text="seven eight", ending="eof", usage=ServedUsage(prompt=10, completion=5))
FAILURES = [RateLimited(retry_after=0), QuotaExhausted(), Unauthorized(), ContextTooLong(), Overloaded(), Raw()]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("vendor", "options"), VENDORS, ids=["chat", "responses", "messages", "generate_content"])
def test_every_answer_of_the_simulators_gives_one_record(
    vendor: str, options: dict[str, Any], streamed: bool, simulators: Simulators
) -> None:
    way = Way(vendor, False, streamed, options)
    captured = Captured()
    items: dict[str, Any] = {**ANSWERS, **{type(each).__name__: each for each in FAILURES}}
    if streamed:
        items |= {"cut short": CUT_SHORT}
    if streamed or vendor == "gemini":  # a page is no stream; google-genai keeps its status to itself
        del items["Raw"]
    getattr(simulators, vendor).script(*items.values())
    provider = way.provider(simulators, http_client=httpx2.Client(transport=captured), retry=RetryPolicy(attempts=1))
    for _ in items:
        with suppress(ProviderError):
            way.events(provider)
    assert len(captured.came) == len(items)
    for name, came in zip(items, captured.came, strict=True):
        served = Served(f"{way} {name}", vendor, options, streamed, *came)
        assert differences(served) == {}, served.name


# What real vendors answered


def recorded() -> Iterator[Served]:
    for exchange in exchanges(shared_folder("recorded", "TACHOGRAPH_RECORDED_DIR")):
        path, host = exchange.url.path, exchange.url.netloc
        if exchange.method != "POST" or exchange.encoding or "bedrock" in host:
            continue
        if path.endswith("/chat/completions"):
            vendor, options = "openai", {}
        elif path.endswith("/responses") and "openai" in host:
            vendor, options = "openai", {"api": "responses"}
        elif path.endswith("/v1/messages"):
            vendor, options = "anthropic", {}
        elif path.endswith((":generateContent", ":streamGenerateContent")):
            vendor, options = "gemini", {}
        else:
            continue
        headers = {name: value for name, value in exchange.headers.items() if name in KEPT_HEADERS}
        kind = "text/event-stream" if exchange.is_events else "application/json"
        headers["content-type"] = kind
        yield Served(
            exchange.name,
            vendor,
            options,
            exchange.is_events,
            exchange.status,
            headers,
            exchange.text.encode(),
            f"https://{host}" if vendor != "openai" else f"https://{host}/v1",
        )


KEPT_HEADERS = ("x-request-id", "request-id", "x-gemini-service-tier", "retry-after")


def test_every_recorded_answer_gives_one_record() -> None:
    compared = 0
    for served in recorded():
        assert differences(served) == {}, served.name
        compared += 1
    assert compared > 100
