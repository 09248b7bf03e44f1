"""The recent past of the metrics on disk, so that a console that starts again begins with it.

Each minute, and at the end, what is new goes into one small file; a file is whole or not there. At the start those of
the retention are read in order, and every series is marked stale after its last sample: no scrape has shown it since.
What cannot be read is left out, since this is a cache and not the ledger.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import sys
import time
import zlib
from array import array
from pathlib import Path
from typing import IO, Final

import msgspec

from tachograph.console.promql.labels import Labels
from tachograph.console.tsdb import TimeSeriesStore
from tachograph.files import make_private_directory, make_private_file, open_plain

try:
    import fcntl
except ImportError:  # Windows: nothing keeps a second console from the same files, so none are kept
    fcntl = None  # type: ignore[assignment]  # Windows has no such module

logger = logging.getLogger("tachograph.console")

EVERY_SECONDS: Final = 60.0
MAX_BYTES: Final = 64_000_000
"""Of all files; the oldest go first. Six hours of two thousand series at 5 seconds take 20 MB."""
_MAX_PART_BYTES: Final = 128_000_000
_REMOVED_AT_ONCE: Final = 2
"""Files past retention that go with each file that is written."""
_NAME: Final = re.compile(r"[0-9]{15}")
_VERSION: Final = f"1 {sys.byteorder}"


class _Part(msgspec.Struct, array_like=True):
    """One file: series, each with its labels as MessagePack, its times (64-bit integers, milliseconds) and its values.

    The labels stand as bytes, so that the many files of one series read them once.
    """

    version: str
    series: list[tuple[bytes, bytes, bytes]]


class MetricSnapshots:
    """The files of one store. The first console of a directory has them; a second one has none.

    Args:
        directory: Made if it is not there.
    """

    def __init__(self, directory: Path, store: TimeSeriesStore) -> None:
        self._directory = directory
        self._store = store
        self._written = time.monotonic()
        self._lock: IO[bytes] | None = None
        if fcntl is None:
            return
        try:
            make_private_directory(directory)
            make_private_file(directory / "lock")
            lock = os.fdopen(open_plain(directory / "lock", os.O_RDWR), "r+b")
        except OSError as error:
            logger.warning("tachograph console: metrics are not kept across a restart: %s", error)
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return
        self._lock = lock

    def load(self) -> int:
        """Give the store what was kept; returns the number of samples."""
        if self._lock is None:
            return 0
        now = int(time.time() * 1000)
        found: dict[bytes, tuple[array[int], array[float]]] = {}
        for path in self._parts(now):
            try:
                with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
                    data = zlib.decompressobj().decompress(file.read(), _MAX_PART_BYTES)
                part = msgspec.msgpack.decode(data, type=_Part)
                if part.version == _VERSION:
                    _gather(part, found)
            except (OSError, ValueError, zlib.error) as error:
                logger.info("tachograph console: kept metrics are left out: %s: %s", path.name, type(error).__name__)
        samples, read = 0, msgspec.msgpack.Decoder(Labels)
        for name, (times, values) in found.items():
            try:
                samples += self._store.restore(read.decode(name), times, values, now)
            except ValueError:
                continue
        self._store.trim_when_due(now)
        return samples

    def write_when_due(self) -> None:
        """Write when the last time is a minute ago."""
        if time.monotonic() - self._written >= EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is new since the last time."""
        self._written = time.monotonic()
        if self._lock is None:
            return
        encode = msgspec.msgpack.encode
        series = [(encode(labels), times, values) for labels, times, values in self._store.take_new()]
        if not series:
            return
        now = int(time.time() * 1000)
        while (path := self._directory / f"{now:015d}.part").exists():
            now += 1  # the last one is of this millisecond: it is not written over
        partial = path.with_suffix(".writing")
        try:
            make_private_file(partial)
            partial.write_bytes(zlib.compress(encode(_Part(_VERSION, series)), 1))
            os.replace(partial, path)
            self._parts(now)
        except OSError as error:
            logger.warning("tachograph console: the last minute's metrics are not kept: %s", error)

    def close(self) -> None:
        """Write what is new, and let the directory go."""
        self.write()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _parts(self, now: int) -> list[Path]:
        """The files within retention and size, oldest first. Those past the size are removed, and a few past retention:
        where the clock has jumped, most are still there when it is right again."""
        found: list[Path] = []
        old: list[Path] = []
        surplus: list[Path] = []
        room = MAX_BYTES
        for path in sorted(self._directory.glob("*.part"), reverse=True):
            status = path.lstat()
            if not (stat.S_ISREG(status.st_mode) and _NAME.fullmatch(path.stem)):
                continue  # not ours
            room -= status.st_size
            is_old = now - int(path.stem) > self._store.retention_ms + EVERY_SECONDS * 1000
            (surplus if room < 0 else old if is_old else found).append(path)
        for path in (*surplus, *old[-_REMOVED_AT_ONCE:]):
            path.unlink(missing_ok=True)
        return found[::-1]


def _gather(part: _Part, found: dict[bytes, tuple[array[int], array[float]]]) -> None:
    """Append a file's samples to those of the files before it; what is not newer (the clock went back) is left out.

    Raises:
        ValueError: The bytes are no numbers.
    """
    for name, ticks, numbers in part.series:
        known = found.get(name)
        if known is None:
            known = found[name] = (array("q"), array("d"))
        times, values = known
        if times and int.from_bytes(ticks[:8], sys.byteorder, signed=True) <= times[-1]:
            continue
        times.frombytes(ticks)
        values.frombytes(numbers)
