"""Frames: how records are in a journal's segments, and how they are found again after damage.

A segment is a header of 128 bytes and then frames, appended and never changed. A frame is

    magic "TG" | version u8 | kind u8 | body length u32 | CRC-32 u32 | body = sequence u64, accepted_us u64, payload

little-endian. The CRC covers the body and is seeded with version and kind. `sequence` counts a journal's records over
all its segments, so the reader can say how many records a damaged stretch held. The reader that meets bytes that are
no frame looks for the next place where a whole valid frame begins.

The header's bytes 64 to 88 belong to the writer, which notes there how far it has committed. That note is for the
producer's gauges and its `flush`; the truth is in the store.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import Final
from zlib import crc32

MAGIC: Final = b"TG"
VERSION: Final = 1
RECORD: Final = 0
END: Final = 1
"""A journal's last frame when it is closed in good order: its sequence says how many records there were."""
GAP: Final = 2
"""Records before this sequence were in a file that was removed; the payload says from which one on (u64)."""

HEAD: Final = struct.Struct("<2sBBII")
BODY: Final = struct.Struct("<QQ")
OVERHEAD: Final = HEAD.size + BODY.size
LARGEST_PAYLOAD: Final = 256 * 1024
"""A row is about 300 bytes; only absurd labels come near this. It bounds what damage can make the reader wait for."""

SEGMENT_MAGIC: Final = b"TGJRNL01"
SEGMENT_HEAD: Final = struct.Struct("<8sHHI16sQQI")
"""Magic, version, header's size, segment, journal, first sequence, created (microseconds), process id."""
SEGMENT_VERSION: Final = 1
HEADER_SIZE: Final = 128
COMMITTED: Final = struct.Struct("<QQI")  # offset, sequence, CRC
COMMITTED_AT: Final = 64

_AT_ONCE: Final = 256
"""Frames that are read without offering the interpreter to other threads: 0.3 ms."""
_WHOLE: Final = struct.Struct("<2sBBIIQQ")  # both of them
_pack_head = HEAD.pack
_pack_body = BODY.pack


def frame(sequence: int, accepted_us: int, payload: bytes, kind: int = RECORD) -> bytes:
    """The bytes of one frame."""
    body = _pack_body(sequence, accepted_us) + payload
    return _pack_head(MAGIC, VERSION, kind, len(body), crc32(body, VERSION ^ kind << 8)) + body


def segment_header(journal: bytes, segment: int, first_sequence: int, created_us: int, pid: int) -> bytes:
    """The first 128 bytes of a segment."""
    head = SEGMENT_HEAD.pack(
        SEGMENT_MAGIC, SEGMENT_VERSION, HEADER_SIZE, segment, journal, first_sequence, created_us, pid
    )
    return head.ljust(HEADER_SIZE, b"\0")


def pack_committed(offset: int, sequence: int) -> bytes:
    """The writer's note of how far it has come."""
    return COMMITTED.pack(offset, sequence, (offset ^ sequence) & 0xFFFFFFFF)


def unpack_committed(data: bytes) -> tuple[int, int]:
    """The writer's note; (HEADER_SIZE, 0) when there is none yet."""
    if len(data) < COMMITTED.size:
        return HEADER_SIZE, 0
    offset, sequence, check = COMMITTED.unpack_from(data)
    return (offset, sequence) if offset and check == (offset ^ sequence) & 0xFFFFFFFF else (HEADER_SIZE, 0)


@dataclass(slots=True, frozen=True)
class JournalFrame:
    """One frame that was read: `end` is the position after it, relative to what was scanned."""

    kind: int
    sequence: int
    accepted_us: int
    payload: bytes
    end: int


@dataclass(slots=True, frozen=True)
class Damage:
    """Bytes that are no frame, up to `end`; `unknown_version` when they are one of a version that we do not read."""

    data: bytes
    end: int
    unknown_version: int | None = None


def scan(data: bytes, *, final: bool, limit: int = 1 << 30) -> tuple[list[JournalFrame | Damage], int]:
    """Read frames from the start of `data`.

    Args:
        data: Bytes that begin where a frame begins.
        final: Whether nothing will follow, so that what is incomplete is damage and not merely unfinished.
        limit: Stop after so many frames.

    Returns:
        What was found, and the position up to which `data` is used.
    """
    found: list[JournalFrame | Damage] = []
    position, size = 0, len(data)
    while position < size and len(found) < limit:
        item = _frame_at(data, position, size)
        if item is not None:
            found.append(item)
            position = item.end
            continue
        version = _other_version(data, position, size)
        if version is not None:
            following = position + HEAD.size + HEAD.unpack_from(data, position)[3]
        else:
            following = _next_frame(data, position + 1, size)
            if following is None:
                if not final:
                    break
                following = size
        found.append(Damage(data[position:following], following, version))
        position = following
    return found, position


def records(data: bytes, sequence: int, limit: int) -> tuple[list[bytes], int]:
    """The payloads of sound records in an unbroken run from the start of `data`; anything else ends it.

    What `scan` would find, for the usual case: a quarter of its time, and nothing for the garbage collector to look at.

    Args:
        data: Bytes that begin where a frame begins.
        sequence: What the first of them must have.
        limit: Stop after so many.

    Returns:
        The payloads, and the position after the last of them.
    """
    found: list[bytes] = []
    unpack, view, position, size = _WHOLE.unpack_from, memoryview(data), 0, len(data)
    last = size - OVERHEAD
    for expected in range(sequence, sequence + limit):
        if position > last:
            break
        if not expected % _AT_ONCE:
            time.sleep(0)  # another thread's turn
        magic, version, kind, length, check, number, _ = unpack(data, position)
        start = position + HEAD.size
        end = start + length
        if magic != MAGIC or version != VERSION or kind != RECORD or number != expected or end > size:
            break
        if length < BODY.size or crc32(view[start:end], VERSION) != check:
            break
        found.append(data[start + BODY.size : end])
        position = end
    return found, position


def _frame_at(data: bytes, position: int, size: int) -> JournalFrame | None:
    start = position + HEAD.size
    if start + BODY.size > size:
        return None
    magic, version, kind, length, check = HEAD.unpack_from(data, position)
    end = start + length
    if magic != MAGIC or version != VERSION or length < BODY.size or end > size:
        return None
    if crc32(memoryview(data)[start:end], VERSION ^ kind << 8) != check:
        return None
    sequence, accepted_us = BODY.unpack_from(data, start)
    return JournalFrame(kind, sequence, accepted_us, data[start + BODY.size : end], end)


def _next_frame(data: bytes, position: int, size: int) -> int | None:
    """Where the next frame begins, of whatever version, or None."""
    while (position := data.find(MAGIC, position)) >= 0:
        if _frame_at(data, position, size) is not None or _other_version(data, position, size) is not None:
            return position
        position += 1
    return None


def _other_version(data: bytes, position: int, size: int) -> int | None:
    """The version of a sound frame that a later Tachograph wrote, or None."""
    if position + OVERHEAD > size:
        return None
    magic, version, kind, length, check = HEAD.unpack_from(data, position)
    start = position + HEAD.size
    if magic != MAGIC or version == VERSION or not BODY.size <= length <= LARGEST_PAYLOAD + BODY.size:
        return None
    if start + length > size or crc32(memoryview(data)[start : start + length], version ^ kind << 8) != check:
        return None
    return int(version)
