"""Every cell of the matrix (`support/matrix.py`), seen to work: the real SDKs against the simulators."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from support.matrix import NOT_SEEN, PAGE, STREAMED, Cell, cells, page
from tachograph.records import LLMCall
from tachograph.tape import TAPE
from tachograph.testing import Recording
from tachograph.vendors.anthropic.apis import route as anthropic_route
from tachograph.vendors.openai.apis import route as openai_route
from tachograph_demo.simulators import Answer, BadRequest, Hang, RateLimited, Simulators

CELLS = list(cells())
_VENDOR = {"openai": "openai", "azure": "openai", "anthropic": "anthropic", "gemini": "gemini"}


@pytest.fixture(scope="session")
def clients() -> dict[tuple[str, bool], Any]:
    """Sync clients by kind: making one costs tens of milliseconds."""
    return {}


def make(kind: str, simulators: Simulators, *, is_async: bool) -> Any:
    if kind == "openai":
        made = openai.AsyncOpenAI if is_async else openai.OpenAI
        return made(base_url=simulators.openai.url, api_key="any")
    if kind == "azure":
        azure = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
        return azure(azure_endpoint=simulators.openai.azure_url, api_key="any", api_version="2024-10-21")
    if kind == "anthropic":
        made_anthropic = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        return made_anthropic(base_url=simulators.anthropic.url, api_key="any")
    retry = types.HttpRetryOptions(attempts=3, initial_delay=0.05, jitter=0)
    return genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url, "retry_options": retry})


def use(cell: Cell, client: Any) -> None:
    """Call the SDK and read the answer as the cell says."""
    answer = cell.row.call[cell.mode](client)
    if cell.mode not in STREAMED:
        if cell.mode == "raw":
            answer.parse()
        return
    manager = answer if cell.mode in ("helper", "raw stream") else None
    if manager is not None:
        answer = manager.__enter__()
    try:
        chunks = answer.iter_bytes(chunk_size=64) if cell.mode == "raw stream" else answer
        for chunk in chunks:
            assert chunk is not None
            if cell.case == "early close":
                break
        if cell.case == "early close" and manager is None:
            answer.close()
    finally:
        if manager is not None:
            manager.__exit__(None, None, None)


async def use_async(cell: Cell, client: Any) -> None:
    """The same with an async client."""
    answer = cell.row.call[cell.mode](client)
    manager = answer if cell.mode in ("helper", "raw stream") else None
    if manager is not None:
        answer = await manager.__aenter__()
    elif inspect.isawaitable(answer):
        answer = await answer
    if cell.mode not in STREAMED:
        parsed = answer.parse() if cell.mode == "raw" else None
        if inspect.isawaitable(parsed):
            await parsed
        return
    try:
        chunks = answer.iter_bytes(chunk_size=64) if cell.mode == "raw stream" else answer
        async for chunk in chunks:
            assert chunk is not None
            if cell.case == "early close":
                break
        if cell.case == "early close" and manager is None:
            close = getattr(answer, "close", None) or answer.aclose
            await close()
    finally:
        if manager is not None:
            await manager.__aexit__(None, None, None)


def prepare(cell: Cell, simulators: Simulators) -> None:
    vendor = getattr(simulators, _VENDOR[cell.row.client])
    text = "one two three four five six seven eight nine ten"
    if cell.case == "hidden retry":
        vendor.script(RateLimited(retry_after=0.05), Answer(text=text))
    elif cell.case == "error":
        vendor.script(BadRequest())
    elif cell.case == "cancel":
        vendor.script(Answer(text=text, ending="hang") if cell.mode in STREAMED else Hang())
    else:
        vendor.script(Answer(text=text))


async def run(cell: Cell, simulators: Simulators, clients: dict[tuple[str, bool], Any]) -> None:
    kind = cell.row.client
    if cell.way == "async":
        client = make(kind, simulators, is_async=True)
        task = asyncio.create_task(use_async(cell, client.aio if kind == "gemini" else client))
        if cell.case == "cancel":
            async with asyncio.timeout(60):
                while not any(exchange.pieces_sent or cell.mode not in STREAMED for exchange in simulators.served):
                    await asyncio.sleep(0.005)  # the simulator has it: from here on the task only waits
            task.cancel()
        await task
        return
    if (kind, False) not in clients:
        clients[kind, False] = make(kind, simulators, is_async=False)
    use(cell, clients[kind, False])


@pytest.mark.filterwarnings("ignore")  # the SDKs' own: deprecated APIs are cells, too
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(cell: Cell, simulators: Simulators, seen: Recording, clients: dict[tuple[str, bool], Any]) -> None:
    prepare(cell, simulators)
    if cell.case == "error":
        with pytest.raises(Exception, match=r"400|nvalid|[Bb]ad"):
            asyncio.run(run(cell, simulators, clients))
    elif cell.case == "cancel":
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(run(cell, simulators, clients))
    else:
        asyncio.run(run(cell, simulators, clients))
    assert TAPE.drain()
    assert len(seen.llm_calls) == 1
    check(cell, seen.llm_calls[0], simulators)


def check(cell: Cell, call: LLMCall, simulators: Simulators) -> None:
    outcomes = [attempt.outcome for attempt in call.attempts]
    if cell.case == "error":
        assert (call.outcome, call.error_type, outcomes) == ("error", "invalid_request", ["error"])
        return
    if cell.case in ("early close", "cancel"):
        assert (call.outcome, call.error_type, outcomes) == ("cancelled", None, ["cancelled"])
        return
    assert (call.outcome, call.error_type) == ("success", None)
    if cell.case == "hidden retry":
        assert outcomes == ["rate_limited", "success"]
        assert 0.04 < call.rate_limit_wait_seconds < 60
    else:
        assert outcomes == ["success"]
    if cell.mode in ("stream", "helper"):
        assert call.first_token_ns
    sent = list(simulators.served)[-1].usage
    assert (sent is not None) == cell.row.reports_usage
    if sent is None or not knows_usage(cell):
        used = call.usage  # speech counts the characters of its text
        assert used is None or (used.input_tokens, used.output_tokens) == (None, None)
    else:
        assert call.usage is not None
        assert (call.usage.input_tokens or 0, call.usage.output_tokens or 0) == (sent.prompt, sent.completion)


def knows_usage(cell: Cell) -> bool:
    """Whether the installed SDK hands usage on: google-genai 2 drops that of embeddings."""
    return cell.row.api != "embed_content" or "usage_metadata" in types.EmbedContentResponse.model_fields


def test_the_page_shows_this_matrix() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it again: PYTHONPATH=src:tests python -m support.matrix"


@pytest.mark.parametrize(("client", "what", "method", "path"), NOT_SEEN)
def test_what_the_page_says_is_not_seen_is_not_watched(client: str, what: str, method: str, path: str) -> None:
    if client == "openai":
        assert openai_route(method, path) is None, what
    else:
        assert anthropic_route(method, path) == (None, None), what
