"""How long a sound file lasts at most, without decoding it: what is asked for by the minute costs as much."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

_BYTES_PER_SECOND: Final = 4000
"""Of speech, compressed as far as recorders do (32 kbit/s): a file has seldom less."""
MOST_SECONDS: Final = 25 * 2**20 / _BYTES_PER_SECOND
"""Of a file of 25 MB, the largest that OpenAI takes.
Source: platform.openai.com/docs/guides/speech-to-text, not opened again in 2026."""


def seconds_at_most(file: object) -> float | None:
    """The longest that a file likely lasts, in any form that clients take; None where its size cannot be seen.

    A WAV file in memory says exactly how many bytes a second takes; of all others the size is divided by what speech
    takes at least. Files are not read, and their position stays.
    """
    if isinstance(file, tuple):
        file = next((part for part in file[1:2]), None)
    view = getattr(file, "getbuffer", None)
    if view is not None:
        file = view()
    if isinstance(file, (bytes, bytearray, memoryview)):
        return len(file) / (_wave_rate(bytes(file[:32])) or _BYTES_PER_SECOND)
    with suppress(OSError, ValueError, TypeError):
        if isinstance(file, (str, os.PathLike)):
            return os.stat(file).st_size / _BYTES_PER_SECOND
        number = getattr(file, "fileno", None)
        if number is not None:
            return os.fstat(number()).st_size / _BYTES_PER_SECOND
    return None


def _wave_rate(begin: bytes) -> int:
    """Bytes a second by the head of a WAV file; 0 if it is none."""
    is_wave = begin[:4] == b"RIFF" and begin[8:16] == b"WAVEfmt "
    return int.from_bytes(begin[28:32], "little") if is_wave else 0
