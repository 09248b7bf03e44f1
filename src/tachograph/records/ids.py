"""Record ids: UUIDv7 as 16 bytes, made once, at the call.

Source: RFC 9562, section 5.7. The process draws 42 random bits once; a counter fills the low 32, so an id costs no
system call. A forked child draws anew.
"""

from __future__ import annotations

import os
import time
from itertools import count

_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_base = 0
_counter = count()


def _draw() -> None:
    global _base, _counter
    random = int.from_bytes(os.urandom(10), "big")
    _base = _VERSION_AND_VARIANT | ((random & 0xFFF) << 64) | (((random >> 12) & 0x3FFFFFFF) << 32)
    _counter = count((random >> 42) & 0xFFFF)


_draw()
os.register_at_fork(after_in_child=_draw)


def new_id(now_ns: int | None = None) -> bytes:
    """A fresh id: sorts by time (UTC nanoseconds; now unless given), unique across threads, processes and forks."""
    return (
        ((time.time_ns() if now_ns is None else now_ns) // 1_000_000) << 80 | _base | (next(_counter) & 0xFFFFFFFF)
    ).to_bytes(16, "big")
