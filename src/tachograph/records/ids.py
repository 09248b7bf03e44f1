"""Record ids: UUIDv7 as 16 bytes, made of the call's time and its number in this process.

Source: RFC 9562, section 5.7. The process draws 42 random bits once; a counter fills the low 32, so an id costs no
system call. A forked child draws its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import count

_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_base = 0
_counter = count()
next_number: Callable[[], int] = _counter.__next__
"""A number for the next record of this process; with its time it makes the record's id."""


def _draw() -> None:
    global _base, _counter, next_number
    random = int.from_bytes(os.urandom(10), "big")
    _base = _VERSION_AND_VARIANT | ((random & 0xFFF) << 64) | (((random >> 12) & 0x3FFFFFFF) << 32)
    _counter = count((random >> 42) & 0xFFFF)
    next_number = _counter.__next__


_draw()
os.register_at_fork(after_in_child=_draw)


def id_of(unix_ns: int, number: int) -> bytes:
    """The id of the record with this number that began at this moment: the same whenever it is asked."""
    return id_from(_base, unix_ns, number)


def id_from(base: int, unix_ns: int, number: int) -> bytes:
    """The same for the process whose base this is."""
    return ((unix_ns // 1_000_000) << 80 | base | (number & 0xFFFFFFFF)).to_bytes(16, "big")


def base() -> int:
    """What the ids of this process have in common."""
    return _base


def new_id(now_ns: int | None = None) -> bytes:
    """A fresh id: sorts by time (UTC nanoseconds; now unless given), unique across threads, processes and forks."""
    return id_of(time.time_ns() if now_ns is None else now_ns, next(_counter))
