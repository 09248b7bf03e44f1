"""Nothing of ours that fails on the wire reaches the application: an exception at every function entry of ours.

As `test_guard.py` does it for client libraries, for each HTTP library and each way to read a body.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import aiohttp
import pytest
import requests
import urllib3

from instrument.test_wire import (
    ASKED,
    CHAT,
    CLAUDE_MODEL,
    CONVERSED,
    EVENTS,
    JSON,
    STREAMED,
    TURNS,
    WAYS,
    Loopback,
    joined,
)
from support.injection import Injection, injecting
from tachograph import instrument, uninstrument
from tachograph.instrument.scope import SCOPE
from tachograph.instrument.watch import WATCH
from tachograph.tape import TAPE
from tachograph.testing import recording


class Injected(Exception):
    """A failure of ours."""


STEP = 1 if os.environ.get("TACHOGRAPH_TEST_INJECT") == "all" else 5
"""`make inject` takes each entry, `make test` every fifth, beginning with another for each way to read."""
KINDS = (Injected, RecursionError, MemoryError)
DELTAS = [{"id": "1", "choices": [{"index": 0, "delta": {"content": word}}]} for word in ("One ", "two ", "three")]
LAST = {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": CHAT["usage"]}
PIECES = [f"data: {json.dumps(each)}\n\n".encode() for each in (*DELTAS, LAST)] + [b"data: [DONE]\n\n"]


@pytest.fixture
def server() -> Iterator[Loopback]:
    running = Loopback()
    with recording(strict=False):
        instrument(wire_hosts=["127.0.0.1"])
        logging.disable(logging.CRITICAL)
        try:
            yield running
        finally:
            logging.disable(logging.NOTSET)
            TAPE.drain()
            uninstrument()
            running.server.shutdown()
            running.server.server_close()


def inject(server: Loopback, answer: Any, ask: Any, first: int = 1) -> int:
    """Ask without an exception, then with one at each entry; returns how many entries there were."""
    server.answers.append(answer)
    wanted = ask()
    for number in count(first, STEP):
        server.answers.append(answer)
        injection = Injection(number, KINDS[number // STEP % len(KINDS)])
        with injecting(injection):
            found = ask()
        assert found == wanted, injection.place
        assert WATCH.get() is None, injection.place
        assert SCOPE.get() is None, injection.place
        assert not injection.unraisable or injection.place.endswith("<genexpr>"), injection.place
        if not injection.place:
            break
    gc.collect()
    TAPE.drain()
    return number


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_of_ours_changes_no_body_that_is_read(server: Loopback, way: str) -> None:
    url = f"{server.url}/v1/chat/completions"

    def ask(body: Any) -> Any:
        pieces = WAYS[way](url, body)
        return joined(pieces) if way.startswith("aiohttp iter") else pieces  # which gives what there is

    first = 1 + list(WAYS).index(way) % STEP
    entries = inject(server, (200, "text/event-stream", PIECES), lambda: ask(STREAMED), first)
    assert entries > 10
    inject(server, (200, JSON, json.dumps(CHAT).encode()), lambda: ask(ASKED), first)
    inject(server, (429, JSON, b'{"error": {"message": "slow"}}'), lambda: ask(ASKED), first)


def test_a_failure_of_ours_changes_no_call_of_boto3(server: Loopback) -> None:
    client = server.client()

    def converse() -> Any:
        return list(client.converse_stream(modelId=CLAUDE_MODEL, messages=TURNS)["stream"])

    assert inject(server, (200, EVENTS, CONVERSED), converse) > 10


def test_a_failure_of_ours_changes_no_stream_that_is_left(server: Loopback) -> None:
    url = f"{server.url}/v1/chat/completions"

    async def leave() -> bytes:
        async with aiohttp.ClientSession() as session, session.post(url, json=STREAMED) as response:
            return await response.content.readline()

    answer = (200, "text/event-stream", PIECES)
    inject(server, answer, lambda: asyncio.run(leave()))
    inject(server, answer, lambda: next(requests.post(url, json=STREAMED, stream=True, timeout=10).iter_content(10)))
    pool = urllib3.PoolManager()
    inject(server, answer, lambda: pool.request("POST", url, json=STREAMED, preload_content=False).read(5))


def test_no_connection_raises_the_same_with_a_failure_of_ours(server: Loopback) -> None:
    for way in ("httpx2 read", "requests content", "urllib3 data", "aiohttp read"):

        def ask(way: str = way) -> str:
            try:
                WAYS[way]("http://127.0.0.1:9/v1/chat/completions", ASKED)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is to be the same
                return type(error).__qualname__
            return "nothing"

        assert inject(server, (200, JSON, b"{}"), ask) > 1
