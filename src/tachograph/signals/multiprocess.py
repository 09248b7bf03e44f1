"""Numbers of several worker processes that add up on any worker's /metrics, and outlive the workers.

A directory is shared. Each process keeps in it

    <id>.values    its numbers, 8 bytes each, mapped into memory: what was written is safe once the instruction is done,
                   whatever becomes of the process (space is allocated first, so that a full disk cannot kill it)
    <id>.index     which number is which, one JSON line per label set, only appended to; a torn last line is passed over

and a lock on its index for as long as it lives; the kernel releases it however the process ends, in whatever
container it ran. A scrape adds up all files: counters and histograms of the living and the dead, gauges of the
living. Dead workers' files are merged into

    archive.json   sums of the dead, and the ids that it holds

under an exclusive lock. The archive replaces its predecessor in one step and names what it has merged, so that no
crash in between counts anything twice or not at all; a reader that sees it change reads again.

docs/multiprocess.md is the user's page, docs/decisions/0031 says why it is done so.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import math
import os
import time
import weakref
from collections.abc import Callable, Iterable, MutableSequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tachograph.files import Ours, UnsafeFile, make_private_directory, mapped, move_up, open_plain, printable, private
from tachograph.signals.cells import LabelValues, Sample, zeros
from tachograph.signals.family import Family
from tachograph.signals.labels import OTHER, render
from tachograph.signals.registry import Collected

FIRST_BYTES: Final = 64 * 1024
MORE_BYTES: Final = 256 * 1024
_RETRY_SECONDS: Final = 5.0
"""How soon a directory that could not take numbers is tried again."""
logger = logging.getLogger("tachograph")

ARCHIVE: Final = "archive.json"
LOCK: Final = "archive.lock"
_VERSION: Final = 1

Key = tuple[str, LabelValues]
Failed = Callable[[BaseException], None]


class MappedStorage:
    """Numbers of one process in a directory shared with its siblings.

    Args:
        directory: Made when it is not there.
        failed: Called with every failure after the start; the numbers concerned are then this process's alone.
        limit: How many values a bounded label may have in the archive.

    Attributes:
        error: Why numbers are in this process's memory alone; None while all are in the directory.
    """

    def __init__(self, directory: Path, failed: Failed, *, limit: int = 200) -> None:
        import fcntl  # noqa: F401 - Windows says at once that it has none

        self.directory = directory
        self.error: OSError | None = None
        self._failed: Failed = lambda error: None  # the caller looks at `error`
        self._siblings = _Siblings(directory, limit, failed)
        self._close_files: weakref.finalize[..., MappedStorage] | None = None
        self._forget_open()
        self.reopen()
        self._failed = failed

    def _forget_open(self) -> None:
        """Nothing is open: numbers are in memory until `reopen`."""
        self.id = ""
        self._slots: dict[Key, MutableSequence[Any]] = {}
        self._chunks: list[memoryview] = []
        self._is_open = self._is_torn = False
        self._retry_at = 0.0

    def _open(self) -> None:
        import fcntl

        make_private_directory(self.directory)
        self.id = f"{os.getpid()}-{time.time_ns()}-{os.urandom(3).hex()}"
        self._used = self._size = self._mapped = 0
        hidden = self.directory / f"{self.id}.new"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with contextlib.ExitStack() as undo:
            self._values_file = move_up(os.open(self.directory / f"{self.id}.values", flags, 0o600))
            undo.callback(self._remove)
            undo.callback(os.close, self._values_file)
            self._index_file = move_up(os.open(hidden, flags | os.O_APPEND, 0o600))
            undo.callback(os.close, self._index_file)
            fcntl.flock(self._index_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._grow(FIRST_BYTES)
            header = json.dumps({"version": _VERSION, "pid": os.getpid(), "started": time.time()}) + "\n"
            if os.write(self._index_file, header.encode()) != len(header):
                raise OSError(errno.ENOSPC, "no space left for the index of the metrics")
            hidden.rename(self.directory / f"{self.id}.index")  # seen only now, when it is locked
            undo.pop_all()
        self._is_open = True
        self._ours = (Ours(self._index_file), Ours(self._values_file))
        self._close_files = weakref.finalize(self, _close, *self._ours)
        self._close_files.atexit = False  # its lock says that we live, and the last calls are counted at the exit

    def _remove(self) -> None:
        self._chunks.clear()
        for suffix in (".values", ".new"):
            with contextlib.suppress(OSError):  # without an index it is not read
                (self.directory / f"{self.id}{suffix}").unlink(missing_ok=True)

    def _grow(self, size: int) -> None:
        """Map more of the values file; allocated first, so that writing to it can never raise SIGBUS."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._values_file, self._mapped, size)
        else:
            os.ftruncate(self._values_file, self._mapped + size)
        self._chunks.append(mapped(self._values_file, size, self._mapped))
        self._mapped += size
        self._used, self._size = 0, size // 8

    def allocate(self, family: Family, labels: LabelValues, size: int) -> MutableSequence[Any]:
        """Numbers for one new cell; in this process's memory alone where the directory can take no more."""
        key = (family.name, labels)
        found = self._slots.get(key)
        if found is not None:
            found[0] = 0
            return found
        if self._is_open and self.error is None:
            try:
                numbers = self._allocate(family, labels, size)
            except OSError as error:
                self._fail(error)
            else:
                self._slots[key] = numbers
                return numbers
        return zeros(size)

    def _allocate(self, family: Family, labels: LabelValues, size: int) -> MutableSequence[Any]:
        if not all(self._ours):
            raise OSError(errno.EBADF, "another part of the process has closed the files of the metrics")
        if self._used + size > self._size:
            self._grow(MORE_BYTES)
        kind = "d" if family.scale == 1 else "q"
        first = self._mapped // 8 - self._size + self._used
        line = json.dumps([first, size, kind, family.name, labels], separators=(",", ":")).encode() + b"\n"
        if self._is_torn:
            line = b"\n" + line  # ends the one that was cut short
        self._is_torn = True
        if os.write(self._index_file, line) != len(line):
            raise OSError(errno.ENOSPC, "no space left for the index of the metrics")
        self._is_torn = False
        chunk: Any = self._chunks[-1]
        numbers: Any = chunk.cast(kind)[self._used : self._used + size]
        self._used += size
        return numbers  # type: ignore[no-any-return]  # a memoryview of numbers

    def merge(self, own: Collected) -> Collected:
        """What this process holds and what its siblings hold, summed."""
        try:
            return self._siblings.merge(own, self.id)
        except OSError as error:
            self._failed(error)
            return own

    def _fail(self, error: OSError) -> None:
        self.error = error
        self._retry_at = math.inf  # also while it is counted, which may take a new cell
        self._failed(error)
        if not self._is_open or all(self._ours):  # files that were closed under us stay closed
            self._retry_at = time.monotonic() + _RETRY_SECONDS

    def leave(self) -> None:
        """A forked child: leave the parent's files to it."""
        if self._is_open and self._close_files is not None and self._close_files.detach():
            _close(*self._ours)  # the parent's lock holds as long as its own copy is open
        self.error = None
        self._forget_open()

    def reopen(self) -> bool:
        """Begin files of this process's own where it has none; whether numbers can be tried to be kept in them now."""
        if time.monotonic() < self._retry_at:
            return False
        try:
            if not self._is_open:
                self._open()
        except OSError as error:
            self._fail(error)
            return False
        self.error = None
        return True

    def close(self) -> None:
        """Release the lock; the numbers are the archive's to keep."""
        if self._close_files is not None:
            self._close_files()


def _close(*files: Ours) -> None:
    for file in files:
        if file:  # else its number is another file's by now
            with contextlib.suppress(OSError):
                os.close(file.fd)


class _Entry(NamedTuple):
    first: int
    size: int
    kind: str
    key: Key


class _Sibling:
    """One process's files, read again and again; its index is parsed only once, as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[_Entry] = []
        self._parsed = 0

    def read(self) -> list[tuple[Key, list[float]]]:
        """Every label set with its numbers.

        Raises:
            FileNotFoundError: It has been merged into the archive meanwhile.
            OSError: A file of it cannot be read.
        """
        with os.fdopen(open_plain(self.path, os.O_RDONLY), "rb") as index:
            index.seek(self._parsed)
            text = index.read()
        whole = text.rfind(b"\n") + 1
        for line in text[:whole].split(b"\n"):
            entry = _entry(line)
            if entry is not None:
                self.entries.append(entry)
        self._parsed += whole
        raw = _read_plain(self.path.with_suffix(".values"))
        raw = raw[: len(raw) // 8 * 8]
        views: dict[str, Any] = {"d": memoryview(raw).cast("d"), "q": memoryview(raw).cast("q")}
        return [
            (entry.key, views[entry.kind][entry.first : entry.first + entry.size].tolist())
            for entry in self.entries
            if (entry.first + entry.size) * 8 <= len(raw)
        ]


def _read_plain(path: Path) -> bytes:
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        return file.read()


def _entry(line: bytes) -> _Entry | None:
    """One line of an index; None for the header and for what is damaged."""
    try:
        first, size, kind, name, labels = json.loads(line)
        if kind in ("d", "q") and isinstance(name, str) and first >= 0 and size > 0:
            return _Entry(first, size, kind, (name, tuple(labels)))
    except (ValueError, TypeError, RecursionError):
        return None  # cut short when its process died
    return None


class _Siblings:
    """Everybody's files in the directory, and the archive."""

    def __init__(self, directory: Path, limit: int, failed: Failed) -> None:
        self.directory = directory
        self.limit = limit
        self._failed = failed
        self._known: dict[str, _Sibling] = {}
        self._archive: tuple[Any, dict[Key, list[float]], set[str]] = (None, {}, set())

    def merge(self, own: Collected, own_id: str) -> Collected:
        """Add everybody's numbers to this process's own."""
        families = {family.name: family for family, _ in own}
        for _ in range(20):
            stamp = self._stamp()
            archived, merged = self._read_archive(stamp)
            try:
                living, dead = self._read_siblings({own_id, *merged})
            except FileNotFoundError:
                continue
            if self._stamp() == stamp:
                break
        else:
            raise OSError(f"the archive in {self.directory} does not stand still")
        if dead:
            try:
                self._compact(families)
            except OSError as error:  # a full disk: their files stay, and are read each time
                self._failed(error)
        total = _Total(own)
        for key, numbers in archived.items():
            total.add(families.get(key[0]), key[1], numbers)
        for sibling, alive in ((living, True), (dead, False)):
            for key, numbers in sibling:
                family = families.get(key[0])
                if alive or (family is not None and family.kind != "gauge"):
                    total.add(family, key[1], numbers)
        return total.collected

    def _stamp(self) -> object:
        try:
            status = (self.directory / ARCHIVE).lstat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read_archive(self, stamp: object) -> tuple[dict[Key, list[float]], set[str]]:
        if stamp != self._archive[0]:
            if stamp is None:
                self._archive = (None, {}, set())
            else:
                self._archive = (stamp, *self._archived())
        return self._archive[1], self._archive[2]

    def _archived(self) -> tuple[dict[Key, list[float]], set[str]]:
        """What the archive holds; one that cannot be read is set aside, so that the metrics of the living go on."""
        path = self.directory / ARCHIVE
        try:
            data = json.loads(_read_plain(path))
            cells = {(name, tuple(labels)): numbers for name, labels, numbers in data["cells"]}
            if not all(isinstance(number, (int, float)) for numbers in cells.values() for number in numbers):
                raise TypeError("a value is not a number")
            return cells, set(data["merged"])
        except (ValueError, TypeError, KeyError, RecursionError, UnsafeFile) as error:
            aside = path.with_suffix(".damaged")
            path.replace(aside)
            logger.error(
                "tachograph: %s cannot be read (%s) and is now %s: counters lose what ended processes had counted",
                path,
                error,
                aside.name,
            )
            return {}, set()

    def _read_siblings(self, without: set[str]) -> tuple[list[tuple[Key, list[float]]], list[tuple[Key, list[float]]]]:
        living: list[tuple[Key, list[float]]] = []
        dead: list[tuple[Key, list[float]]] = []
        seen = set()
        for path in sorted(self.directory.glob("*.index")):
            if path.stem in without:
                continue
            seen.add(path.stem)
            try:
                alive = is_alive(path)  # asked first: what it wrote before its death is then read in full
                numbers = self._known.setdefault(path.stem, _Sibling(path)).read()
            except OSError as error:
                self._leave_out(path, error)
                continue
            (living if alive else dead).extend(numbers)
        for gone in self._known.keys() - seen:
            del self._known[gone]
        return living, dead

    def _leave_out(self, path: Path, error: OSError) -> None:
        """Count that a file cannot be read.

        Raises:
            FileNotFoundError: It has been merged into the archive meanwhile.
        """
        if isinstance(error, FileNotFoundError) and not os.path.lexists(path):
            raise error
        known = isinstance(error, UnsafeFile)
        self._failed(error if known else OSError(error.errno, f"{printable(path)}: {error.strerror}"))

    def _dead(self) -> list[tuple[Path, list[tuple[Key, list[float]]]]]:
        """What can be read of the files of ended processes; the merge before this has said what cannot."""
        found = []
        for path in self.directory.glob("*.index"):
            with contextlib.suppress(OSError):
                if not is_alive(path):
                    found.append((path, _Sibling(path).read()))
        return found

    def _compact(self, families: dict[str, Family]) -> None:
        """Merge the files of the dead into the archive, unless another process does so."""
        import fcntl

        lock = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return
            cells, merged = self._read_archive(self._stamp())
            total = {key: list(numbers) for key, numbers in cells.items()}
            bound = _Bound(families, self.limit, total)
            dead = self._dead()
            for path, held_there in dead:
                if path.stem in merged:
                    continue  # merged before, by a process that died before removing it
                for key, numbers in held_there:
                    family = families.get(key[0])
                    if family is None or family.kind == "gauge" or len(key[1]) != len(family.labels):
                        continue
                    key = bound(family, key)
                    held = total.get(key)
                    total[key] = numbers if held is None else [a + b for a, b in zip(held, numbers, strict=True)]
            left = {stem for stem in merged if os.path.lexists(self.directory / f"{stem}.index")}
            self._write_archive(total, sorted(left.union(path.stem for path, _ in dead)))
            for path, _ in dead:
                path.unlink(missing_ok=True)
                path.with_suffix(".values").unlink(missing_ok=True)
            self._sweep()
        finally:
            os.close(lock)

    def _sweep(self) -> None:
        """Remove what processes left that died before they had begun."""
        for path in self.directory.glob("*.new"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > 60 and not is_alive(path):
                    path.unlink()
                    path.with_suffix(".values").unlink()

    def _write_archive(self, cells: dict[Key, list[float]], merged: Iterable[str]) -> None:
        data = {
            "version": _VERSION,
            "merged": list(merged),
            "cells": [[name, labels, numbers] for (name, labels), numbers in cells.items()],
        }
        fresh = self.directory / f"{ARCHIVE}.{os.getpid()}"
        try:
            with open(fresh, "w", encoding="utf-8", opener=private) as file:
                json.dump(data, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.directory / ARCHIVE)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise


class _Bound:
    """Keeps the archive bounded: each generation of workers may bring label values of its own."""

    def __init__(self, families: dict[str, Family], limit: int, cells: Iterable[Key]) -> None:
        self.limit = limit
        self._values: dict[str, set[str]] = {}
        for name, labels in cells:
            family = families.get(name)
            if family is not None and len(labels) == len(family.labels):
                self(family, (name, labels))

    def __call__(self, family: Family, key: Key) -> Key:
        """The key under which to keep these numbers."""
        name, labels = key
        kept = list(labels)
        for index, label in enumerate(family.labels):
            value = labels[index]
            if label in family.bounded and value not in (OTHER, ""):
                known = self._values.setdefault(label, set())
                if value not in known:
                    if len(known) < self.limit:
                        known.add(value)
                    else:
                        kept[index] = OTHER
        return name, tuple(kept)


class _Total:
    """Sums label sets as they come, in the order in which they were first met."""

    def __init__(self, own: Collected) -> None:
        self.collected: Collected = [(family, list(samples)) for family, samples in own]
        self._lists = {family.name: samples for family, samples in self.collected}
        self._found: dict[Key, Sample] = {
            (family.name, sample.labels): sample for family, samples in own for sample in samples
        }

    def add(self, family: Family | None, labels: LabelValues, numbers: list[float]) -> None:
        if family is None or len(labels) != len(family.labels):
            return  # written by another version, or with other labels
        size = len(family.buckets) + 2 if family.kind == "histogram" else 1
        if len(numbers) != size or math.isnan(numbers[0]):
            return  # of another version, or removed
        key = (family.name, labels)
        sample = self._found.get(key)
        if sample is None:
            sample = Sample(labels, render(family.labels, labels), list(numbers))
            self._found[key] = sample
            self._lists[family.name].append(sample)
        elif family.kind != "gauge" or family.gauge_merge == "sum":
            sample.values = [a + b for a, b in zip(sample.values, numbers, strict=True)]
        else:
            sample.values = [(max if family.gauge_merge == "max" else min)(sample.values[0], numbers[0])]


def is_alive(index: Path) -> bool:
    """Whether the process behind an index still holds its lock.

    Raises:
        FileNotFoundError: The index is gone.
        OSError: It cannot be opened, or is not a plain file.
    """
    import fcntl

    file = open_plain(index, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
