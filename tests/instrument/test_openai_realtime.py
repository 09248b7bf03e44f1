"""openai's WebSocket connections, watched: each response is one call."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import openai
import pytest

from tachograph import labels
from tachograph.tape import TAPE
from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, ServedUsage, Simulators

pytest.importorskip("websockets", reason="pip install 'openai[realtime]'")

USAGE = ServedUsage(prompt=120, completion=30)


def test_each_realtime_response_is_a_call_with_its_usage(simulators: Simulators, seen: Recording) -> None:
    simulators.openai.always(Answer(text="a b c", usage=USAGE))
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
    with client.realtime.connect(model="gpt-realtime") as connection:
        for _ in range(2):
            connection.response.create()
            for event in connection:
                if event.type == "response.done":
                    break
    assert [(call.model, call.api, call.outcome) for call in seen.llm_calls] == [
        ("gpt-realtime", "realtime", "success")
    ] * 2
    assert all(call.usage and call.usage.input_tokens == 120 and call.first_token_ns for call in seen.llm_calls)


async def test_a_response_on_a_connection_that_is_dropped_is_recorded_once(
    simulators: Simulators, seen: Recording
) -> None:
    simulators.openai.always(Answer(text="a b c", usage=USAGE))
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
    connection: Any = await client.realtime.connect(model="gpt-realtime").enter()
    await connection.response.create()
    async for event in connection:
        if event.type == "response.created":
            break
    await connection.close()
    del connection, event
    gc.collect()
    assert TAPE.drain()
    assert [call.outcome for call in seen.llm_calls] == ["cancelled"]


@pytest.mark.parametrize("parses", [False, True], ids=["bytes alone", "bytes, then parse_event"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_bytes_that_the_application_takes_itself_are_read_once(
    simulators: Simulators, seen: Recording, parses: bool, is_async: bool
) -> None:
    simulators.openai.always(Answer(text="a b c", usage=USAGE))

    def is_last(connection: Any, data: bytes) -> bool:
        kind = connection.parse_event(data).type if parses else json.loads(data)["type"]
        return bool(kind == "response.done")

    async def listen() -> None:
        client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
        async with client.realtime.connect(model="gpt-realtime") as connection:
            await connection.response.create()
            while not is_last(connection, await connection.recv_bytes()):
                pass

    with labels(team="voice"):
        if is_async:
            asyncio.run(listen())
        else:
            client = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
            with client.realtime.connect(model="gpt-realtime") as connection:
                connection.response.create()
                while not is_last(connection, connection.recv_bytes()):
                    pass
    (call,) = seen.llm_calls
    assert (call.model, call.api, call.outcome, call.labels) == (
        "gpt-realtime",
        "realtime",
        "success",
        {"team": "voice"},
    )
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (120, 30)
    assert call.started_ns <= call.first_token_ns <= call.ended_ns
    assert seen.value("tachograph_telemetry_errors_total") == 0
