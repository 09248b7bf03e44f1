"""Real exchanges, replayed through the real SDKs: the tokens and parts recorded are those of the vendor's body.

What is expected is read from the recorded body here, by the contract's token rule and without the project's own code.
The folder is `../shared/recorded`, or the one that TACHOGRAPH_RECORDED_DIR names.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai

from support.exhaustive import part
from support.parts import shared_folder
from support.recorded import Exchange, exchanges
from support.replay import Replay, replaying
from tachograph import instrument, uninstrument
from tachograph.records import LLMCall
from tachograph.tape import TAPE
from tachograph.testing import Recording
from tachograph.vendors import once

# What the vendor's body says


@dataclass(slots=True)
class Expected:
    """Tokens under the contract's rule: prompt with what was cached, completion with reasoning."""

    prompt: int
    completion: int
    parts: dict[str, int]


def _number(thing: Any, *path: str) -> int:
    for name in path:
        thing = thing.get(name) if isinstance(thing, dict) else None
    return thing if isinstance(thing, int) and not isinstance(thing, bool) else 0


def _parts(**parts: int) -> dict[str, int]:
    return {name: tokens for name, tokens in parts.items() if tokens}


def openai_expected(exchange: Exchange) -> Expected | None:
    """OpenAI and hosts with its protocol; the totals hold their parts already."""
    usage: Any = None
    if exchange.is_events:
        for event in exchange.events:
            for holder in (event, event.get("response"), event.get("data")):
                if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
                    usage = holder["usage"]
    elif isinstance(exchange.json, dict):
        usage = exchange.json.get("usage")
    if not isinstance(usage, dict) or not any(isinstance(value, int) for value in usage.values()):
        return None
    if "embeddings" in exchange.url.path and set(usage) == {"total_tokens"}:
        return Expected(usage["total_tokens"], 0, {})  # there is nothing but a prompt
    into = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or usage.get("input_token_details")
    out = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    return Expected(
        _number(usage, "prompt_tokens") or _number(usage, "input_tokens"),
        _number(usage, "completion_tokens") or _number(usage, "output_tokens"),
        _parts(
            cache_read=_number(into, "cached_tokens"),
            cache_write=_number(into, "cache_write_tokens"),
            audio_input=_number(into, "audio_tokens"),
            image_input=_number(into, "image_tokens"),
            reasoning=_number(out, "reasoning_tokens"),
            audio_output=_number(out, "audio_tokens"),
            image_output=_number(out, "image_tokens"),
            accepted_prediction=_number(out, "accepted_prediction_tokens"),
            rejected_prediction=_number(out, "rejected_prediction_tokens"),
        ),
    )


def anthropic_expected(exchange: Exchange) -> Expected | None:
    """Anthropic leaves cached tokens out of `input_tokens`; a stream begins with one report and ends with another.

    What the server asked for beside the answer (compaction, an advisor) is in `iterations` alone.
    """
    usage: dict[str, Any] = {}
    if exchange.is_events:
        for event in exchange.events:
            for found in ((event.get("message") or {}).get("usage"), event.get("usage")):
                usage.update({name: value for name, value in (found or {}).items() if value is not None})
    elif isinstance(exchange.json, dict):
        usage = exchange.json.get("usage") or {}
    if not usage:
        return None
    beside = [one for one in usage.get("iterations") or () if one.get("type") in ("compaction", "advisor_message")]
    whole = [_anthropic_report(report) for report in (usage, *beside)]
    parts: Counter[str] = Counter()
    for one in whole:
        parts.update(one.parts)
    return Expected(sum(one.prompt for one in whole), sum(one.completion for one in whole), dict(parts))


def _anthropic_report(usage: dict[str, Any]) -> Expected:
    read, written = _number(usage, "cache_read_input_tokens"), _number(usage, "cache_creation_input_tokens")
    return Expected(
        _number(usage, "input_tokens") + read + written,
        _number(usage, "output_tokens"),
        _parts(
            cache_read=read,
            cache_write=written,
            cache_write_5m=_number(usage, "cache_creation", "ephemeral_5m_input_tokens"),
            cache_write_1h=_number(usage, "cache_creation", "ephemeral_1h_input_tokens"),
            reasoning=_number(usage, "output_tokens_details", "thinking_tokens"),
        ),
    )


def gemini_expected(exchange: Exchange) -> Expected | None:
    """Gemini leaves thoughts out of the answer's tokens and tool results out of the prompt's; the last chunk counts."""
    answers = exchange.events if exchange.is_events else [exchange.json]
    if isinstance(exchange.json, list):
        answers = exchange.json
    reports = [found["usageMetadata"] for found in answers if isinstance(found, dict) and found.get("usageMetadata")]
    if not reports:
        return None
    usage = reports[-1]
    modalities = {
        f"{modality.lower()}_{side}": sum(
            _number(entry, "tokenCount") for entry in usage.get(field) or () if entry.get("modality") == modality
        )
        for field, side, wanted in (
            ("promptTokensDetails", "input", ("AUDIO", "IMAGE", "VIDEO", "DOCUMENT")),
            ("candidatesTokensDetails", "output", ("AUDIO", "IMAGE")),
        )
        for modality in wanted
    }
    cached_audio = sum(
        _number(entry, "tokenCount")
        for entry in usage.get("cacheTokensDetails") or ()
        if entry.get("modality") == "AUDIO"
    )
    thoughts, tools = _number(usage, "thoughtsTokenCount"), _number(usage, "toolUsePromptTokenCount")
    return Expected(
        _number(usage, "promptTokenCount") + tools,
        _number(usage, "candidatesTokenCount") + thoughts,
        _parts(
            cache_read=_number(usage, "cachedContentTokenCount"),
            reasoning=thoughts,
            tool_use_prompt=tools,
            audio_cache_read=cached_audio,
            **modalities,
        ),
    )


def interactions_expected(exchange: Exchange) -> Expected | None:
    """Gemini's Interactions."""
    usage: Any = None
    for found in exchange.events if exchange.is_events else [exchange.json]:
        holder = found.get("interaction", found) if isinstance(found, dict) else {}
        usage = holder.get("usage") or usage
    if not usage:
        return None
    thoughts, tools = _number(usage, "total_thought_tokens"), _number(usage, "total_tool_use_tokens")
    return Expected(
        _number(usage, "total_input_tokens") + tools,
        _number(usage, "total_output_tokens") + thoughts,
        _parts(
            cache_read=_number(usage, "total_cached_tokens"),
            reasoning=thoughts,
            tool_use_prompt=tools,
            **{
                f"{entry['modality']}_{side}": _number(entry, "tokens")
                for field, side, wanted in (
                    ("input_tokens_by_modality", "input", ("audio", "image", "video", "document")),
                    ("output_tokens_by_modality", "output", ("audio", "image")),
                )
                for entry in usage.get(field) or ()
                if entry.get("modality") in wanted
            },
        ),
    )


# How each covered API is called


Call = Callable[[Any, Exchange], Any]
"""Calls the SDK; the client is sync or async, and what it returns may be awaitable."""


@dataclass(frozen=True, slots=True)
class Covered:
    """One API that is watched.

    Attributes:
        method, path: Of the requests that belong to it; the path's groups `prefix` and `model` are used.
        client: Which client to make.
        call: How to call it.
        expected: What the body says.
        once: Where the usage of a stored thing counts once: its id in the body.
    """

    method: str
    path: re.Pattern[str]
    client: str
    call: Call
    expected: Callable[[Exchange], Expected | None]
    once: bool = False


def _ask(method: Any, asked: dict[str, Any], **given: Any) -> Any:
    """Call an SDK's method with what was asked; what it has no parameter for goes into `extra_body`."""
    known = inspect.signature(method).parameters
    asked = {**asked, **given}
    extra = {name: asked.pop(name) for name in list(asked) if name not in known}
    if "messages" in known and not asked.get("messages"):
        asked["messages"] = [{"role": "user", "content": "?"}]
    return method(**asked, **({"extra_body": extra} if extra else {}))


def _file() -> tuple[str, bytes]:
    return ("file.wav", b"RIFF")


def _model(exchange: Exchange) -> str:
    return str(exchange.asked.get("model") or "a-model")


def _id(exchange: Exchange, pattern: str) -> Any:
    found = re.search(pattern, exchange.url.path)
    assert found
    return found.groups() if len(found.groups()) > 1 else found[1]


def _run_parts(exchange: Exchange) -> tuple[str, str]:
    thread, run = _id(exchange, r"/threads/([^/]+)/runs/([^/]+)")
    return thread, run


def _anthropic_message(client: Any, exchange: Exchange) -> Any:
    asked = dict(exchange.asked)
    if "bedrock" in exchange.url.netloc:
        asked["model"] = _id(exchange, r"/model/([^/]+)/invoke").replace("%3A", ":")
        asked["stream"] = "with-response-stream" in exchange.url.path
        asked.pop("anthropic_version", None)
    elif "rawPredict" in exchange.url.path or "streamRawPredict" in exchange.url.path:
        asked["model"] = _id(exchange, r"/models/([^/:]+)")
        asked.pop("anthropic_version", None)
    asked.setdefault("max_tokens", 16)
    is_beta = "true" in exchange.query.get("beta", ())
    return _ask((client.beta.messages if is_beta else client.messages).create, asked, timeout=120)


def _gemini(name: str) -> Call:
    def call(models: Any, exchange: Exchange) -> Any:
        model = _id(exchange, r"/models/([^/:]+):")
        return getattr(models.models, name)(model=model, contents="replayed")

    return call


_OPENAI = r"(?P<prefix>.*?)(/openai/deployments/(?P<model>[^/]+))?"

COVERED = [
    Covered(
        "POST", re.compile(_OPENAI + "/chat/completions"), "openai",
        lambda client, exchange: _ask(client.chat.completions.create, exchange.asked), openai_expected,
    ),
    Covered(
        "POST", re.compile(_OPENAI + "(?<!chat)/completions"), "openai",
        lambda client, exchange: _ask(client.completions.create, exchange.asked), openai_expected,
    ),
    Covered(
        "POST", re.compile(_OPENAI + "/responses"), "openai",
        lambda client, exchange: _ask(client.responses.create, exchange.asked), openai_expected,
    ),
    Covered(
        "GET", re.compile(_OPENAI + "/responses/[^/]+"), "openai",
        lambda client, exchange: client.responses.retrieve(_id(exchange, "/responses/([^/]+)")), openai_expected, True,
    ),
    Covered(
        "POST", re.compile(_OPENAI + "/embeddings"), "openai",
        lambda client, exchange: _ask(client.embeddings.create, exchange.asked), openai_expected,
    ),
    Covered(
        "POST", re.compile(_OPENAI + "/images/generations"), "openai",
        lambda client, exchange: _ask(client.images.generate, exchange.asked), openai_expected,
    ),
    Covered(
        "POST", re.compile(_OPENAI + "/images/edits"), "openai",
        lambda client, exchange: client.images.edit(image=_file(), prompt="?", model=_model(exchange)), openai_expected,
    ),
    Covered(
        "POST", re.compile(_OPENAI + "/audio/transcriptions"), "openai",
        lambda client, exchange: client.audio.transcriptions.create(
            file=_file(), model=_model(exchange), **({"stream": True} if exchange.is_events else {})
        ),
        openai_expected,
    ),
    Covered(
        "POST", re.compile(_OPENAI + "/audio/translations"), "openai",
        lambda client, exchange: client.audio.translations.create(file=_file(), model=_model(exchange)),
        openai_expected,
    ),
    Covered(
        "POST", re.compile(_OPENAI + "/moderations"), "openai",
        lambda client, exchange: _ask(client.moderations.create, exchange.asked), openai_expected,
    ),
    Covered(
        "GET", re.compile(_OPENAI + "/batches/[^/]+"), "openai",
        lambda client, exchange: client.batches.retrieve(_id(exchange, "/batches/([^/]+)")), openai_expected, True,
    ),
    Covered(
        "GET", re.compile(_OPENAI + "/threads/[^/]+/runs/[^/]+"), "openai",
        lambda client, exchange: client.beta.threads.runs.retrieve(
            _run_parts(exchange)[1], thread_id=_run_parts(exchange)[0]
        ),
        openai_expected, True,
    ),
    Covered(
        "POST", re.compile(_OPENAI + "/threads/[^/]+/runs"), "openai",
        lambda client, exchange: _ask(
            client.beta.threads.runs.create, exchange.asked, thread_id=_id(exchange, "/threads/([^/]+)/runs")
        ),
        openai_expected, True,
    ),
    Covered("POST", re.compile("(?P<prefix>.*)/v1/messages"), "anthropic", _anthropic_message, anthropic_expected),
    Covered(
        "POST", re.compile("(?P<prefix>.*)/v1/messages/count_tokens"), "anthropic",
        lambda client, exchange: _ask(client.messages.count_tokens, exchange.asked), anthropic_expected,
    ),
    Covered(
        "POST", re.compile(r"(?P<prefix>)/model/(?P<model>[^/]*anthropic[^/]+)/invoke(-with-response-stream)?"),
        "bedrock", _anthropic_message, anthropic_expected,
    ),
    Covered(
        "POST", re.compile(r"(?P<prefix>).*/publishers/anthropic/models/(?P<model>[^/:]+):(streamR|r)awPredict"),
        "vertex_anthropic", _anthropic_message, anthropic_expected,
    ),
    Covered("POST", re.compile(r".*/models/[^/:]+:generateContent"), "gemini", _gemini("generate_content"),
            gemini_expected),
    Covered("POST", re.compile(r".*/models/[^/:]+:streamGenerateContent"), "gemini",
            _gemini("generate_content_stream"), gemini_expected),
    Covered("POST", re.compile(r".*/models/[^/:]+:(embedContent|batchEmbedContents)"), "gemini",
            _gemini("embed_content"), gemini_expected),
    Covered("POST", re.compile(r".*/models/[^/:]+:countTokens"), "gemini", _gemini("count_tokens"),
            gemini_expected),
    Covered("POST", re.compile(r".*/v1[^/]*/interactions"), "gemini",
            lambda client, exchange: client.interactions.create(
                model=_model(exchange), input="replayed", stream=exchange.is_events
            ), interactions_expected),
]  # fmt: skip


def covered(exchange: Exchange) -> Covered | None:
    """The covered API that an exchange belongs to."""
    path = exchange.url.path.rstrip("/")
    for api in COVERED:
        if api.method == exchange.method and api.path.fullmatch(path):
            return api
    return None


def client_of(api: Covered, exchange: Exchange, server: Replay, *, is_async: bool) -> Any:
    """The client that the exchange came from, pointed at the local server."""
    found = api.path.fullmatch(exchange.url.path.rstrip("/"))
    assert found
    groups = found.groupdict()
    common: dict[str, Any] = {"max_retries": 0, "timeout": 30}
    if api.client == "openai" and groups["model"]:
        azure = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
        version = (exchange.query.get("api-version") or ["2024-10-21"])[0]
        return azure(azure_endpoint=server.url, api_key="any", api_version=version, **common)
    if api.client == "openai":
        plain = openai.AsyncOpenAI if is_async else openai.OpenAI
        return plain(base_url=server.url + groups["prefix"], api_key="any", **common)
    if api.client == "anthropic":
        kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        return kind(base_url=server.url + groups["prefix"], api_key="any", **common)
    if api.client == "bedrock":
        bedrock = anthropic.AsyncAnthropicBedrock if is_async else anthropic.AnthropicBedrock
        return bedrock(base_url=server.url, api_key="any", aws_region="us-east-1", **common)
    if api.client == "vertex_anthropic":
        vertex = anthropic.AsyncAnthropicVertex if is_async else anthropic.AnthropicVertex
        return vertex(base_url=server.url, access_token="any", region="global", project_id="p", **common)
    is_vertex = "aiplatform" in exchange.url.netloc
    client = genai.Client(api_key="any", vertexai=is_vertex, http_options={"base_url": server.url})
    return client.aio if is_async else client


# The replay


@dataclass(slots=True)
class Count:
    """What was checked."""

    exchanges: int = 0
    with_usage: int = 0
    other: Counter[str] | None = None


@pytest.fixture(scope="module")
def recorded() -> list[Exchange]:
    return list(exchanges(shared_folder("recorded", "TACHOGRAPH_RECORDED_DIR")))


@pytest.fixture(scope="module")
def server() -> Iterator[Replay]:
    with replaying() as running:
        yield running


def play(api: Covered, exchange: Exchange, client: Any) -> None:
    """Call the SDK as the recorded client did; its exceptions are the vendor's errors."""
    try:
        answer = api.call(client, exchange)
        if exchange.is_events or inspect.isgenerator(answer) or hasattr(answer, "__stream__"):
            for _ in answer:
                pass
    except Exception:
        if exchange.status < 400:
            raise


async def play_async(api: Covered, exchange: Exchange, client: Any) -> None:
    """The same by the async client."""
    try:
        answer = api.call(client, exchange)
        if inspect.isawaitable(answer):
            answer = await answer
        if hasattr(answer, "__aiter__") and not hasattr(answer, "has_next_page"):
            async for _ in answer:
                pass
    except Exception:
        if exchange.status < 400:
            raise


_UNREACHED = (openai.APIConnectionError, anthropic.APIConnectionError, httpx2.TransportError, OSError)
"""The replay's own failure, not a body that an SDK cannot read."""


async def fails_unwatched(ask: Callable[[], Awaitable[None]]) -> bool:
    """Whether the SDK itself cannot send this request or read this answer: a client of another kind did."""
    uninstrument()
    try:
        await ask()
    except Exception:  # noqa: BLE001 - whatever the SDK raises
        return True
    finally:
        instrument(include_usage_hosts=["127.0.0.1"])
    return False


def check(api: Covered, exchange: Exchange, calls: list[LLMCall], counted: set[str]) -> bool:
    """Compare one exchange with the record of it; says whether the body had usage."""
    assert len(calls) == 1, f"{exchange.name}: {len(calls)} records"
    (call,) = calls
    if exchange.status >= 400:
        assert call.outcome in ("error", "rate_limited", "timeout"), exchange.name
        assert (call.usage, call.error_type is not None) == (None, True), exchange.name
        return False
    expected = api.expected(exchange)
    if api.once:
        stored = exchange.json if isinstance(exchange.json, dict) else {}
        is_counted_elsewhere = "/responses/" in exchange.url.path and not stored.get("background")
        is_first = stored.get("id") not in counted
        if exchange.is_events or (expected and expected.prompt + expected.completion and is_first):
            counted.add(str(stored.get("id")))
        elif expected is not None or is_counted_elsewhere:
            assert not call.counts_usage, exchange.name
            return False
    if expected is None:  # images are counted by what they are, where the answer has no tokens
        is_image = call.operation == "image_generation" and isinstance(exchange.json, dict)
        images = len(exchange.json["data"]) if is_image else 0
        assert sum(call.usage.tool_uses.values() if call.usage else ()) == images, exchange.name
        assert call.usage is None or (call.usage.input_tokens, call.usage.output_tokens) == (None, None), exchange.name
        return False
    assert call.usage is not None, exchange.name
    recorded = Expected(call.usage.input_tokens or 0, call.usage.output_tokens or 0, call.usage.details)
    assert recorded == expected, f"{recorded} is not {expected}"
    return True


def _which_client(api: Covered, exchange: Exchange) -> object:
    """What distinguishes the client of one exchange from another's."""
    found = api.path.fullmatch(exchange.url.path.rstrip("/"))
    assert found
    asked = found.groupdict()
    return api.client, asked.get("prefix"), bool(asked.get("model")), "aiplatform" in exchange.url.netloc


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDKs' own, of APIs that were recorded
@pytest.mark.timeout(1800)  # as many as the folder has
@pytest.mark.parametrize("way", part(["sync", "async"], "sync"))
def test_every_recorded_exchange_is_recorded_as_its_body_says(
    recorded: list[Exchange], server: Replay, seen: Recording, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    once.COUNTED.forget()
    belonging: Counter[str] = Counter()
    others: Counter[str] = Counter()
    counted: set[str] = set()
    differing: list[str] = []
    unreadable: list[str] = []
    checked = with_usage = 0

    clients: dict[object, Any] = {}

    async def one(exchange: Exchange, *, asynchronously: bool) -> None:
        nonlocal checked, with_usage
        api = covered(exchange)
        if api is None:
            others[f"{exchange.method} {_endpoint(exchange)}"] += 1
            return
        belonging[_endpoint(exchange)] += 1
        server.exchange = exchange
        seen.llm_calls.clear()
        which = _which_client(api, exchange)
        if which not in clients:  # making one costs tens of milliseconds
            clients[which] = client_of(api, exchange, server, is_async=asynchronously)
        client = clients[which]

        async def ask() -> None:
            await play_async(api, exchange, client) if asynchronously else play(api, exchange, client)

        try:
            await ask()
            if not seen.llm_calls:
                TAPE.drain()
            with_usage += check(api, exchange, seen.llm_calls, counted)
            checked += 1
        except Exception as error:  # noqa: BLE001 - all that differ are listed at the end
            is_theirs = not isinstance(error, (AssertionError, *_UNREACHED))
            if is_theirs and await fails_unwatched(ask):
                unreadable.append(f"{exchange.name}: {type(error).__name__}")
            else:
                differing.append(f"{exchange.name}: {type(error).__name__}: {error}")

    if way == "async":

        async def all_async() -> None:
            for exchange in recorded:
                await one(exchange, asynchronously=True)

        asyncio.run(all_async())
    else:
        for exchange in recorded:
            step = one(exchange, asynchronously=False)
            with pytest.raises(StopIteration):
                step.send(None)
    with capsys.disabled():
        print(  # noqa: T201
            f"\nrecorded exchanges ({way}): {checked} checked, every one of a covered API "
            f"({with_usage} with usage in the body); {sum(others.values())} belong to no covered API"
        )
        print(_told(others, unreadable))  # noqa: T201
    assert not differing, "\n".join(differing)
    assert checked > len(unreadable)
    assert checked + len(unreadable) == sum(belonging.values())
    assert checked + len(unreadable) + sum(others.values()) == len(recorded)


def _told(others: Counter[str], unreadable: list[str]) -> str:
    lines = [f"    not covered: {number} x {endpoint}" for endpoint, number in others.most_common()]
    return "\n".join([*lines, *(f"    the SDK itself, unwatched, cannot replay it: {name}" for name in unreadable)])


def _endpoint(exchange: Exchange) -> str:
    return re.sub(
        r"(thread|run|msg|asst|step|resp|batch|file|fileSearchStores)[_/][\w-]{8,}", r"\1/ID", exchange.url.path
    )
