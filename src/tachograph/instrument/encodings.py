"""A body without its `Content-Encoding`: one reader for the SDKs' raw answers and for the wire."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

MOST_BYTES: Final = 64 * 1024 * 1024
"""A body that would be longer is read no further: some kilobytes can unpack to gigabytes."""
_SLICE: Final = 1024
"""Of the packed bytes at once, for the same reason."""


def decoded(data: bytes, encoding: str) -> bytes:
    """A body without its encoding; of one that was cut off or is too long what can be read, of an unknown one nothing.

    What the application asked for it can decode: brotli and zstd are imported where its HTTP library offers them.
    Nothing is imported here, since this runs on a thread of ours, and the application may fork meanwhile.
    """
    for name in reversed(encoding.lower().split(",") if encoding else ()):
        decode = _DECODERS.get(name.strip())
        data = b"" if decode is None else decode(data)
    return data


def _with(name: str, *modules: str) -> Callable[[bytes], bytes]:
    """A decoder by what makes one in the first of these modules that is imported and can."""

    def decode(data: bytes) -> bytes:
        for module in modules:
            make = getattr(sys.modules.get(module), name, None)
            if make is not None:
                with suppress(Exception):  # no such encoding after all; each library has errors of its own
                    return _all_members(make, data)
        return b""

    return decode


def _all_members(make: Callable[[], Any], data: bytes) -> bytes:
    found, at, decoder = bytearray(), 0, None
    while at < len(data) and len(found) < MOST_BYTES:
        if decoder is None:
            decoder = make()
            if hasattr(decoder, "decompressobj"):  # zstandard's
                decoder = decoder.decompressobj()
        piece = data[at : at + _SLICE]
        found += (decoder.process if hasattr(decoder, "process") else decoder.decompress)(piece)
        unused = len(getattr(decoder, "unused_data", b""))
        at += len(piece) - unused
        if unused or getattr(decoder, "eof", False):  # the next member begins
            decoder = None
    return bytes(found)


def _inflated(data: bytes) -> bytes:
    for wbits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # with a header; bare, as some servers send it
        with suppress(zlib.error):
            return _all_members(partial(zlib.decompressobj, wbits), data)
    return b""


_DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "br": _with("Decompressor", "brotli", "brotlicffi"),
    "deflate": _inflated,
    "gzip": _inflated,
    "identity": bytes,
    "x-gzip": _inflated,
    "zstd": _with("ZstdDecompressor", "compression.zstd", "backports.zstd", "zstandard"),
}
