"""Amazon's event streams: binary frames, of which each holds one event.

A frame is its length, the length of its headers and a checksum, four bytes each; then headers, payload, and a checksum.
Bedrock's payload is JSON, with the vendor's event in base64. Source:
docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream, and the frames that botocore
reads (`botocore.eventstream`). Read 2026-11-27.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from tachograph.vendors.loose import loads

CONTENT_TYPE: Final = "vnd.amazon.eventstream"
_PRELUDE: Final = 12
_CHECKSUM: Final = 4
LARGEST_FRAME: Final = 24 * 1024 * 1024
"""Amazon's own limit; a longer length is no frame."""


def whole_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """The frames that are whole, and what is left; nothing is left of what is no stream of frames."""
    frames: list[bytes] = []
    at = 0
    while len(data) - at >= _PRELUDE:
        length = int.from_bytes(data[at : at + 4], "big")
        if not _PRELUDE + _CHECKSUM <= length <= LARGEST_FRAME:
            return frames, b""
        if len(data) - at < length:
            break
        frames.append(data[at : at + length])
        at += length
    return frames, data[at:]


def event_of(frame: bytes) -> Any:
    """The vendor's event in a frame, as the readers take it; None when there is none."""
    start = _PRELUDE + int.from_bytes(frame[4:8], "big")
    try:
        event = loads(frame[start:-_CHECKSUM])
        inner = event.bytes
        return event if inner is None else loads(base64.b64decode(inner))
    except (AttributeError, ValueError, RecursionError):
        return None
