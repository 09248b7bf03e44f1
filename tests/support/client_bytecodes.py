"""What watched calls of real clients cost in instructions of ours: `python -m support.client_bytecodes` prints JSON.

A process of its own, because the count differs by what ran before: once a test has set an OpenTelemetry provider up,
which cannot be undone, mcp makes spans that we look at.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx2
from benchmarks.overhead.subjects import Subjects
from google import genai

from support.bytecodes import count
from tachograph import instrument, uninstrument
from tachograph.tape.tape import TAPE
from tachograph.testing import recording


def instructions(run: Callable[[], object]) -> int:
    """The fewest of three runs, after three that warm it up."""
    for _ in range(3):
        run()
    return min(count(run) for _ in range(3))


def of_a_call(client: str) -> int:
    """One call, less what it takes unwatched (generated code of others counts as ours): metrics on, spans off."""
    unwatched = instructions(Subjects().sync(client))
    with recording(spans={"enabled": False}):
        instrument()
        try:
            return instructions(Subjects().sync(client)) - unwatched
        finally:
            uninstrument()


def of_a_delivery(client: str, ledger: Path) -> float:
    """What the drain does with one call: reads and prices the answer, counts it, and makes its row for the ledger."""

    def of_a_batch(run: Callable[[], object]) -> float:
        TAPE.drain()
        for _ in range(CALLS):
            run()
        return count(TAPE.drain) / CALLS

    kept = {"enabled": True, "data_dir": str(ledger), "writer": "external"}
    with recording(spans={"enabled": False}, ledger=kept):
        instrument()
        try:
            run = Subjects().sync(client)
            of_a_batch(run)
            return median(of_a_batch(run) for _ in range(9))  # the drain's own thread is faster now and then
        finally:
            uninstrument()


CALLS = 16


def of_a_tool_call(*, server_too: bool) -> int:
    """One tool call, less what it takes unwatched: generated code of mcp's counts as ours."""

    def now() -> int:
        subjects = Subjects()
        make = subjects.tool()
        return instructions(lambda: subjects.loop.run_until_complete(make()))

    unwatched = now()
    with recording(spans={"enabled": False}):
        instrument(mcp_server=server_too)
        try:
            return now() - unwatched
        finally:
            uninstrument()


FEW, MANY = 20, 120


class _Body(httpx2.SyncByteStream):
    def __init__(self, chunks: int) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        for number in range(1, self._chunks + 1):
            candidate = {"content": {"parts": [{"text": "word "}], "role": "model"}, "index": 0}
            if number == self._chunks:
                candidate["finishReason"] = "STOP"
            usage = {"promptTokenCount": 120, "candidatesTokenCount": number, "totalTokenCount": 120 + number}
            chunk = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}
            yield f"data: {json.dumps(chunk)}\r\n\r\n".encode()


def stream(subjects: Subjects, client: str, chunks: int) -> Callable[[], object]:
    """Reads one whole stream; the benchmark has none of Gemini's."""
    if client != "gemini":
        return subjects.stream(client, chunks)
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=_Body(chunks), headers=headers))
    gemini = genai.Client(
        api_key="k", http_options={"base_url": "http://bench", "httpx_client": httpx2.Client(transport=transport)}
    )
    return lambda: list(gemini.models.generate_content_stream(model="gemini-2.5-flash", contents="hello"))


def of_a_chunk(client: str) -> float:
    """One chunk more of a stream, less what it takes unwatched."""

    def now() -> int:
        subjects = Subjects()
        few, many = (instructions(stream(subjects, client, chunks)) for chunks in (FEW, MANY))
        return many - few

    unwatched = now()
    with recording(spans={"enabled": False}):
        instrument()
        try:
            return (now() - unwatched) / (MANY - FEW)
        finally:
            uninstrument()


def main(directory: Path) -> None:
    """Print what was counted.

    Args:
        directory: Where ledgers may be kept.
    """
    found = {
        **{client: of_a_call(client) for client in ("openai", "anthropic", "gemini")},
        **{f"{client}, a chunk": of_a_chunk(client) for client in ("openai", "anthropic", "gemini")},
        **{
            f"{client}, delivered": of_a_delivery(client, directory / client)
            for client in ("openai", "anthropic", "gemini")
        },
        "tool": of_a_tool_call(server_too=False),
        "tool, and its server": of_a_tool_call(server_too=True),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        main(Path(directory))
