"""Answers on the wire that come compressed, in pieces of any size: read whatever the application reads of them."""

from __future__ import annotations

import gc
import gzip
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import urllib3

from instrument.test_wire import ASKED, CHAT, STREAMED, WAYS, Loopback, joined
from support.watching import watched_loopback
from tachograph.instrument.encodings import MOST_BYTES, decoded
from tachograph.tape import TAPE
from tachograph.testing import Recording

EVENTS = [
    {"choices": [{"index": 0, "delta": {"content": "Yes"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": CHAT["usage"]},
]
WHOLE = json.dumps(CHAT).encode()
STREAM = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in EVENTS) + b"data: [DONE]\n\n"


def bare_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


def zstd(data: bytes) -> bytes:
    return bytes(import_module("backports.zstd").compress(data))  # httpx2 asks for it where it is installed


ENCODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("Deflate", bare_deflate),
    "zstd": ("zstd", zstd),
    "twice": ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
}


def urllib3_raw(url: str, body: Any) -> list[bytes]:
    response = urllib3.PoolManager().request("POST", url, json=body, preload_content=False)
    return list(response.stream(7, decode_content=False))


READS = {
    name: WAYS[name]
    for name in ("httpx2 read", "httpx2 iter_bytes", "httpx2 iter_raw", "httpx2 async", "requests iter_content")
} | {"urllib3 data": WAYS["urllib3 data"], "urllib3 raw": urllib3_raw, "aiohttp read": WAYS["aiohttp read"]}


@pytest.fixture
def seen() -> Iterator[Recording]:
    with watched_loopback() as caught:
        yield caught


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    running = Loopback()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_answer_is_read_whatever_the_application_reads_of_it(
    seen: Recording, server: Loopback, encoding: str
) -> None:
    server.encoding, compress = ENCODINGS[encoding]
    for way, read in READS.items():
        if way == "aiohttp read" and encoding == "twice":
            continue  # it has one encoding
        for body, kind, plain in ((ASKED, "application/json", WHOLE), (STREAMED, "text/event-stream", STREAM)):
            sent = compress(plain)
            server.answers.append((200, kind, [sent[at : at + 5] for at in range(0, len(sent), 5)]))
            got = joined(read(f"{server.url}/v1/chat/completions", body))
            assert got == sent if "raw" in way else got.count(b"Yes") == 1
            gc.collect()
            TAPE.drain()
            call = seen.llm_calls[-1]
            assert call.usage is not None, way
            assert (call.outcome, call.usage.input_tokens, call.usage.output_tokens) == ("success", 11, 3), way


def test_what_cannot_be_decoded_is_nothing_and_what_is_cut_off_is_read_so_far() -> None:
    assert decoded(b"anything", "snappy") == b""
    assert decoded(b"no gzip at all", "gzip") == b""
    assert decoded(b"", "gzip") == b""
    assert decoded(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip") == b"one two"
    assert decoded(b"plain", "") == decoded(b"plain", "identity") == b"plain"
    assert decoded(gzip.compress(STREAM * 50)[:-30], "gzip").startswith(STREAM[:100])


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstd)])
def test_a_small_body_that_unpacks_to_gigabytes_is_read_no_further(
    encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(bytes(MOST_BYTES // 4)) * 40
    assert len(bomb) < MOST_BYTES / 20
    assert MOST_BYTES <= len(decoded(bomb, encoding)) < 2 * MOST_BYTES


def test_no_decoder_is_imported_to_read_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = zstd(b"some text")
    monkeypatch.delitem(sys.modules, "backports.zstd")
    assert decoded(packed, "zstd") == b""
    assert "backports.zstd" not in sys.modules
