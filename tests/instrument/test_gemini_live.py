"""Gemini's Live API, watched: each turn of a session is one call."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest
from google import genai

from support.injection import inject_at_entries, watched_quietly
from tachograph import labels
from tachograph.instrument.gemini_live import Session
from tachograph.tape import TAPE
from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, Disconnect, ServedUsage, Simulators

pytest.importorskip("websockets", reason="google-genai's Live API needs it")

USAGE = ServedUsage(prompt=120, completion=30)
MODEL = "gemini-live-2.5-flash"


@pytest.fixture
def client(simulators: Simulators, monkeypatch: pytest.MonkeyPatch) -> genai.Client:
    made = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url})
    # The SDK insists on wss for Live; the simulators have no TLS.
    monkeypatch.setattr(made._api_client, "_websocket_base_url", lambda *_: simulators.gemini.live_url)
    monkeypatch.setattr(made._api_client, "_websocket_ssl_ctx", {})
    return made


def live(client: genai.Client, model: str = MODEL) -> Any:
    return client.aio.live.connect(model=model, config={"response_modalities": ["TEXT"]})


async def say(session: Any) -> None:
    await session.send_client_content(turns={"role": "user", "parts": [{"text": "x"}]}, turn_complete=True)


async def one_turn(client: genai.Client) -> None:
    async with live(client) as session:
        await say(session)
        async for _ in session.receive():
            pass


async def test_each_turn_is_a_call_with_its_usage(
    simulators: Simulators, seen: Recording, client: genai.Client
) -> None:
    simulators.gemini.always(Answer(text="Hello there.", usage=USAGE))
    with labels(team="voice"):
        async with live(client) as session:
            for _ in range(2):
                await say(session)
                assert "".join([message.text or "" async for message in session.receive()]) == "Hello there."
    assert len(seen.llm_calls) == 2
    for call in seen.llm_calls:
        assert (call.provider, call.model, call.api, call.outcome) == ("gemini", MODEL, "live", "success")
        assert call.usage is not None
        assert (call.usage.input_tokens, call.usage.output_tokens) == (120, 30)
        assert call.started_ns <= call.first_token_ns <= call.ended_ns
        assert (call.labels, call.finish_reason) == ({"team": "voice"}, "turn_complete")
    assert seen.value("llm_provider_tokens_total", type="prompt", model=MODEL) == 240
    assert seen.value("tachograph_telemetry_errors_total") == 0


async def test_two_sessions_keep_their_models_apart(
    simulators: Simulators, seen: Recording, client: genai.Client
) -> None:
    simulators.gemini.always(Answer(text="Hello there.", usage=USAGE))
    async with live(client, "one") as first, live(client, "two") as second:
        for session in (first, second, first):
            await say(session)
            async for _ in session.receive():
                pass
    assert [call.model for call in seen.llm_calls] == ["one", "two", "one"]


async def test_a_connection_that_ends_in_a_turn_is_a_failed_call(
    simulators: Simulators, seen: Recording, client: genai.Client
) -> None:
    simulators.gemini.script(Answer(text="a b c d", pieces=4, ending="eof", usage=USAGE))
    with pytest.raises(genai.errors.APIError):
        await one_turn(client)
    (call,) = seen.llm_calls
    assert (call.model, call.outcome) == (MODEL, "error")


async def test_a_session_that_ends_between_turns_is_no_call(
    simulators: Simulators, seen: Recording, client: genai.Client
) -> None:
    simulators.gemini.script(Disconnect())
    with pytest.raises(genai.errors.APIError):
        await one_turn(client)
    assert not seen.llm_calls


async def test_a_turn_that_nobody_hears_to_its_end_is_cancelled(
    simulators: Simulators, seen: Recording, client: genai.Client
) -> None:
    simulators.gemini.script(Answer(text="a b c", pieces=3, usage=USAGE))
    async with live(client) as session:
        await say(session)
        async for message in session.receive():
            assert message.server_content
            break
    del session, message
    gc.collect()
    assert TAPE.drain()
    assert [call.outcome for call in seen.llm_calls] == ["cancelled"]


def message(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**fields)


def report(prompt: int, answer: int) -> SimpleNamespace:
    return SimpleNamespace(prompt_token_count=prompt, response_token_count=answer, total_token_count=prompt + answer)


def test_a_turn_with_tools_has_the_tokens_of_each_time_that_the_model_was_asked(seen: Recording) -> None:
    session = Session(MODEL, None)
    tools = message(function_calls=[{"name": "look"}])
    session.note(message(tool_call=tools, usage_metadata=report(100, 10)))
    session.note(message(server_content=message(model_turn={"parts": [{"text": "sun"}]})))
    session.note(message(server_content=message(turn_complete=True), usage_metadata=report(130, 5)))
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (230, 15)
    assert [usage.input_tokens for usage in call.usages] == [100, 130]


def test_a_report_that_follows_the_end_of_its_turn_is_counted(seen: Recording) -> None:
    session = Session(MODEL, None)
    session.note(message(server_content=message(turn_complete=True)))
    session.note(message(usage_metadata=report(100, 10)))
    assert [call.usage and call.usage.input_tokens for call in seen.llm_calls] == [None, 100]


def test_a_failure_of_ours_changes_no_turn(simulators: Simulators, client: genai.Client) -> None:
    simulators.gemini.always(Answer(text="Hello there.", usage=USAGE))

    async def talk() -> str:
        async with live(client) as session:
            await say(session)
            return "".join([message.text or "" async for message in session.receive()])

    with watched_quietly():
        assert inject_at_entries(lambda: asyncio.run(talk())) > 10
