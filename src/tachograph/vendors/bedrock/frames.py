"""Amazon's framing of event streams: length, headers, payload and checksums in binary.

Source: docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream (the same for all
services), smithy.io/2.0/aws/amazon-eventstream.html; 2026-11-27. Checksums are the client library's to check.
"""

from __future__ import annotations

from base64 import b64decode
from struct import unpack_from
from typing import Any, Final

from tachograph.vendors.loose import LooseObject, loads

CONTENT_TYPE: Final = "amazon.eventstream"
PRELUDE: Final = 12
_CHECKSUM: Final = 4
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value, by its type; 6 and 7 say their length."""
LONGEST: Final = 16 * 1024 * 1024
"""A frame that says it is longer is none: the service's own limit is 16 MiB."""


def length(data: bytes) -> int:
    """How long the frame at the front is; 0 while that is not known.

    Raises:
        ValueError: This is no frame.
    """
    if len(data) < PRELUDE:
        return 0
    total: int = unpack_from("!I", data)[0]
    if not PRELUDE + _CHECKSUM <= total <= LONGEST:
        raise ValueError("no frame of an event stream")
    return total


def opened(frame: bytes) -> Any:
    """What a frame says, with the kind of the event as `kind`; None when it cannot be read.

    InvokeModel puts the model's own event into `bytes`, as base64: then that is what the frame says.
    """
    try:
        size = unpack_from("!I", frame, 4)[0]
        headers = _headers(frame[PRELUDE : PRELUDE + size])
        found = loads(frame[PRELUDE + size : -_CHECKSUM] or b"{}")
        inner = found.bytes if isinstance(found, LooseObject) else None
        if isinstance(inner, str):
            found = loads(b64decode(inner))
        if isinstance(found, LooseObject):
            found.kind = headers.get(":event-type") or headers.get(":exception-type") or headers.get(":error-code")
            found.is_failure = headers.get(":message-type") in ("exception", "error")
        return found
    except Exception:  # noqa: BLE001 - struct.error, whatever else binary data can do
        return None


def _headers(data: bytes) -> dict[str, str]:
    found = {}
    place = 0
    while place < len(data):
        name = data[place + 1 : place + 1 + data[place]].decode()
        place += 1 + data[place]
        kind = data[place]
        place += 1
        if kind in (6, 7):
            size = unpack_from("!H", data, place)[0]
            place += 2
        else:
            size = _FIXED[kind]
        if kind == 7:
            found[name] = data[place : place + size].decode()
        place += size
    return found
