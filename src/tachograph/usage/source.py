"""The writer's side of the journals: what is new in them, in order, with the position after it.

Segments of live processes are followed as they grow, those of dead ones read to their end; a drained segment that
no process can append to any more is removed. Positions are kept by the store, in the transaction that stores the rows.

An entry that cannot be opened (another user's file, a link, a directory, a pipe) is left out and said once; all others
drain. Segments are read in the order of their numbers, and one that turns up late is read late: records have ids, so
reading one twice changes nothing, and only what is in no segment is lost.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tachograph.files import CLOEXEC, Ours, UnsafeFile, move_up, open_plain, printable
from tachograph.usage import frames
from tachograph.usage.journal import LONGEST_SEGMENT, SUFFIX, parse_segment_name, segment_name
from tachograph.usage.locks import is_locked, lock

_READ_BYTES: Final = 1 << 20
_LOOK_BYTES: Final = 4096
_FORGET_SECONDS: Final = 600.0
"""For so long the position of a journal without files is kept: a producer may be between two segments."""
_STUCK_SECONDS: Final = 2.0
_ABANDONED_SECONDS: Final = 60.0
_UNREADABLE_SECONDS: Final = 5.0
"""An entry that could not be opened is tried again after so long."""
_datasync: Final = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync


class Position(NamedTuple):
    """How far a journal is committed: everything before `offset` of `segment`; `sequence` is the next record's."""

    journal: str
    segment: int
    offset: int
    sequence: int


class Quarantined(NamedTuple):
    """What the store never gets as a row: why, and its bytes. `records` may be more than one, or 0 for a torn write."""

    reason: str
    detail: str
    payload: bytes
    records: int


class Gap(NamedTuple):
    """Records that are in no segment: those from `first` up to `end`, or `records` of them."""

    journal: str
    first: int
    end: int
    records: int


@dataclass(slots=True)
class Batch:
    """What the writer hands to the store at once.

    Attributes:
        payloads: Rows as they are in the journal.
        gaps: Accepted records that are in no segment: lost, unless another writer has stored them.
        faults: What was left out, each said once: the kind of fault, and a sentence's end that says what and why.
    """

    payloads: list[bytes] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.payloads or self.quarantined or self.positions or self.forget or self.gaps)

    def sizes(self) -> tuple[int, int, int, int]:
        """How much is in it, for `cut`."""
        return len(self.payloads), len(self.quarantined), len(self.positions), len(self.gaps)

    def cut(self, sizes: tuple[int, int, int, int]) -> None:
        """Take out what came after it had these sizes."""
        payloads, quarantined, positions, gaps = sizes
        del self.payloads[payloads:], self.quarantined[quarantined:], self.positions[positions:], self.gaps[gaps:]


class _Reader:
    """Follows one journal."""

    def __init__(self, directory: Path, name: str, position: Position | None) -> None:
        self.directory = directory
        self.name = name
        self.segment = position.segment if position else 0
        self.sequence = position.sequence if position else -1
        self.fd = -1
        self.drained: list[int] = []
        self.pending: list[
            Quarantined
        ] = []  # damage that waits for a later sequence that shows how many records it held
        self.stuck: tuple[int, float] = (-1, 0.0)
        self._ours: Ours | None = None
        self._offsets = {position.segment: position.offset} if position else {}  # where to go on in each segment
        self._unreadable: dict[int, float] = {}  # segments that could not be opened, and when to try again
        self._segments: list[int] = []

    @property
    def offset(self) -> int:
        """How far the present segment is read."""
        return self._offsets.get(self.segment, frames.HEADER_SIZE)

    @offset.setter
    def offset(self, offset: int) -> None:
        self._offsets[self.segment] = offset

    def close(self) -> None:
        """Close the segment; not, however, a descriptor that has become another file's."""
        if self.fd >= 0 and self._ours:
            os.close(self.fd)
        self.fd, self._ours = -1, None

    def is_open(self) -> bool:
        """Whether a segment is open, and still the one that was opened."""
        if self.fd >= 0 and not self._ours:
            self.close()
        return self.fd >= 0

    def open(self, segment: int, batch: Batch) -> bool:
        """Open a segment; False where it is gone, or cannot be opened and was left out."""
        self.close()
        path = self.directory / segment_name(self.name, segment)
        try:
            self.fd = move_up(open_plain(path, os.O_RDWR, LONGEST_SEGMENT))
        except FileNotFoundError:
            return False
        except OSError as error:
            if segment not in self._unreadable:
                why = error if isinstance(error, UnsafeFile) else f"{printable(path)}: {error.strerror or error}"
                batch.faults.append(("entry_unreadable", str(why)))
            self._unreadable[segment] = time.monotonic() + _UNREADABLE_SECONDS
            return False
        self._ours = Ours(self.fd)
        self._unreadable.pop(segment, None)
        self.segment = segment
        if self.sequence < 0:
            self.sequence = self._first_sequence(segment)
        return True

    def _first_sequence(self, segment: int) -> int:
        """The sequence that the open segment's header says it begins with; -1 where that cannot be trusted."""
        head = os.pread(self.fd, frames.SEGMENT_HEAD.size, 0)
        if len(head) < frames.SEGMENT_HEAD.size:
            return -1
        magic, version, _, number, journal, first, _, _ = frames.SEGMENT_HEAD.unpack(head)
        if magic != frames.SEGMENT_MAGIC or version != frames.SEGMENT_VERSION or journal.hex() != self.name:
            return -1
        return int(first) if number == segment and first < 1 << 48 else -1

    def _next(self, left_out: set[int]) -> int | None:
        """The segment to read: the first that is neither drained nor unreadable."""
        now = time.monotonic()
        for number in self._segments:
            if number not in self.drained and number not in left_out and now >= self._unreadable.get(number, 0.0):
                return number
        return None

    def read(self, batch: Batch, segments: list[int], limit: int) -> None:
        """Add what is new to the batch. `segments` are this journal's files, listed before now."""
        self._segments = segments
        start, left_out = (self.segment, self.offset, self.sequence), set[int]()
        while len(batch.payloads) < limit:
            following = self._next(left_out)
            if following is None:
                break
            if (not self.is_open() or self.segment != following) and not self.open(following, batch):
                if following not in self._unreadable:
                    break  # gone since it was listed
                left_out.add(following)
                continue
            later = any(number > self.segment for number in segments)
            if not self._read_segment(batch, later, limit):
                break
        if (self.segment, self.offset, self.sequence) != start or self.drained:
            batch.positions.append(Position(self.name, self.segment, self.offset, self.sequence))

    def _read_segment(self, batch: Batch, later: bool, limit: int) -> bool:
        """Read on in the open segment; whether there may be more to read now, here or in the next."""
        data = os.pread(self.fd, _READ_BYTES, self.offset)
        sealed = stuck = False
        if len(data) < _READ_BYTES:
            sealed = later or lock(self.fd)
            if sealed:  # it is complete: what is there now is all
                data = os.pread(self.fd, _READ_BYTES, self.offset)
            else:
                stuck = bool(data) and self._is_stuck(data)
        whole = len(data) < _READ_BYTES
        used = self._take(batch, data, final=whole and (sealed or stuck), limit=limit)
        if not used and not whole:  # more than any frame holds, and no frame in it
            used = self._take(batch, data, final=True, limit=limit)
        self.offset += used
        if len(batch.payloads) >= limit:
            return False
        if not whole:
            return True
        if not sealed or used < len(data):
            return False
        if self.pending and not later:
            self._settle(batch, None)
        self.drained.append(self.segment)
        self.close()
        return True

    def _is_stuck(self, data: bytes) -> bool:
        """Whether the unfinished bytes at the end of a live segment have not changed for long: then they are damage."""
        end = self.offset + len(data)
        if self.stuck[0] != end:
            self.stuck = (end, time.monotonic())
            return False
        return time.monotonic() - self.stuck[1] > _STUCK_SECONDS

    def _take(self, batch: Batch, data: bytes, *, final: bool, limit: int) -> int:
        sound = 0
        if self.sequence >= 0 and not self.pending:
            payloads, sound = frames.records(data, self.sequence, limit - len(batch.payloads))
            batch.payloads += payloads
            self.sequence += len(payloads)
            if sound == len(data) or len(batch.payloads) >= limit:
                return sound
            data = data[sound:]
        found, used = frames.scan(data, final=final, limit=limit - len(batch.payloads))
        for item in found:
            if isinstance(item, frames.Damage):
                self.pending.append(self._describe(item, sound, last=final and item.end == len(data)))
                continue
            if item.kind == frames.GAP and self.sequence < 0 and len(item.payload) == 8:
                self.sequence = int.from_bytes(item.payload, "little")
            self._settle(batch, item.sequence)
            if item.kind == frames.RECORD:
                batch.payloads.append(item.payload)
                self.sequence = max(self.sequence, item.sequence + 1)
            else:
                self.sequence = max(self.sequence, item.sequence)
        return sound + used

    def _describe(self, item: frames.Damage, before: int, *, last: bool) -> Quarantined:
        offset = self.offset + before + item.end - len(item.data)
        where = f"{self.name} segment {self.segment} offset {offset}"
        if item.unknown_version is not None:
            return Quarantined("invalid", f"frame of unknown version {item.unknown_version} in {where}", item.data, 1)
        if last and _is_torn(item.data):
            return Quarantined("torn", f"unfinished last write in {where}", item.data, 0)
        return Quarantined("damaged", f"{len(item.data)} damaged bytes in {where}", item.data, 1)

    def _settle(self, batch: Batch, sequence: int | None) -> None:
        """A sequence shows how many records the stretch before it held: what no damage explains is lost."""
        missing = 0 if sequence is None or self.sequence < 0 else max(0, sequence - self.sequence)
        if missing and sequence is not None:
            missing = max(0, missing - self._elsewhere(self.sequence, sequence))
        for number, item in enumerate(self.pending):
            if sequence is not None and self.sequence >= 0 and number == len(self.pending) - 1:
                others = sum(other.records for other in self.pending[:-1])
                item = item._replace(records=max(0, missing - others))
            batch.quarantined.append(item)
        if not self.pending and missing and sequence is not None:
            batch.gaps.append(Gap(self.name, self.sequence, sequence, missing))
        self.pending.clear()

    def _elsewhere(self, first: int, end: int) -> int:
        """How many of these records are in segments that are still to be read: renumbered, or unreadable for now."""
        found = 0
        for number in self._segments:
            if number == self.segment or number in self.drained:
                continue
            try:
                begins, ends = _span(self.directory / segment_name(self.name, number))
            except (FileNotFoundError, UnsafeFile):
                continue
            except OSError:
                return end - first  # it may hold all of them; what is lost is known when it can be read
            found += max(0, min(end, ends) - max(first, begins))
        return found


def _is_torn(data: bytes) -> bool:
    """Whether these are the first bytes of a frame whose rest was never written."""
    if len(data) < frames.HEAD.size:
        return frames.MAGIC.startswith(data[:2])
    magic, version, _, length, _ = frames.HEAD.unpack_from(data)
    return bool(magic == frames.MAGIC and version == frames.VERSION and length + frames.HEAD.size > len(data))


class JournalSource:
    """All journals in a directory."""

    def __init__(self, directory: Path, positions: Mapping[str, Position]) -> None:
        self.directory = directory
        self._known = dict(positions)
        self._committed: dict[str, Position] = {}  # by this source
        self._noted: dict[str, Position] = {}  # what the producers can see of it
        self._readers: dict[str, _Reader] = {}
        self._odd: set[str] = set()
        self._failed: dict[str, float] = {}  # journals that could not be read, and when to try again
        self._faults: list[tuple[str, str]] = []
        self._listed: dict[str, list[int]] = {}
        now, listed = time.monotonic(), self._list()
        self._ended = {name: now for name in positions if name not in listed}  # journals without files, and since when
        self._turn = 0

    def _list(self) -> dict[str, list[int]]:
        listed: dict[str, list[int]] = {}
        try:
            names = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            names = []
        for name in names:
            parsed = parse_segment_name(name)
            if parsed is not None:
                listed.setdefault(parsed[0], []).append(parsed[1])
            elif name.endswith(".new"):
                self._remove_abandoned(self.directory / name)
            elif name.endswith(SUFFIX) and name not in self._odd:
                self._odd.add(name)
                shown = printable(self.directory / name)
                self._faults.append(("entry_unreadable", f"{shown}: no journal's file has such a name"))
        for numbers in listed.values():
            numbers.sort()
        self._listed = listed
        return listed

    def _remove_abandoned(self, path: Path) -> None:
        """A segment that never got its name, because its process died while it made it, holds no record."""
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()
        except OSError:  # finished meanwhile, or not ours
            return

    def read(self, limit: int) -> Batch:
        """What is new, at most `limit` records; journals take turns."""
        listed = self._list()
        batch = Batch(forget=self._forgotten(listed))
        batch.faults, self._faults = self._faults, []
        names = list(listed)
        self._turn += 1
        cut = self._turn % len(names) if names else 0
        for name in names[cut:] + names[:cut]:
            self._read_journal(name, batch, limit)
            if len(batch.payloads) >= limit:
                break
        return batch

    def _read_journal(self, name: str, batch: Batch, limit: int) -> None:
        """Add what is new in one journal. One that fails is read again later, from what the store has of it."""
        reader = self._readers.get(name)
        if reader is None:
            position = self._committed.get(name) or self._known.get(name)
            reader = self._readers[name] = _Reader(self.directory, name, position)
        if time.monotonic() < self._failed.get(name, 0.0):
            return
        before = batch.sizes()
        try:
            reader.read(batch, self._listed[name], limit)
        except OSError as error:
            batch.cut(before)  # it has gone on in what it read, and would leave this out
            reader.close()
            del self._readers[name]
            if name not in self._failed:
                batch.faults.append(
                    ("entry_unreadable", f"journal {name} in {self.directory}: {error.strerror or error}")
                )
            self._failed[name] = time.monotonic() + _UNREADABLE_SECONDS
        else:
            self._failed.pop(name, None)
            self._note(reader)

    def _forgotten(self, listed: Mapping[str, list[int]]) -> list[str]:
        """Journals whose positions can go: they have had no file for long, so no other writer asks for them either."""
        if not self._ended:
            return []
        now, found = time.monotonic(), []
        for name, since in list(self._ended.items()):
            if name in listed:
                del self._ended[name]
            elif now - since > _FORGET_SECONDS:
                found.append(name)
                del self._ended[name]
                self._committed.pop(name, None)
        return found

    def behind(self, positions: Mapping[str, Position]) -> list[Gap]:
        """What the store had taken and, at these positions, has no longer: it has become an older one."""
        found, now = [], time.monotonic()
        for name, position in self._committed.items():
            if name not in positions and now - self._ended.get(name, now) > _FORGET_SECONDS / 2:
                continue  # another writer has forgotten it
            begins = positions[name].sequence if name in positions else 0
            if begins < position.sequence:
                found.append(Gap(name, begins, position.sequence, position.sequence - begins))
        return found

    def holds(self, journal: str) -> bool:
        """Whether any file of this journal is still there."""
        return journal in self._list()

    def committed(self, batch: Batch) -> None:
        """The store has the batch: note it in the segments, remove those that are drained."""
        self._committed.update((position.journal, position) for position in batch.positions)
        for position in batch.positions:
            reader = self._readers[position.journal]
            for number in reader.drained:
                with suppress(OSError):  # it is read again by the next writer, and changes nothing
                    (self.directory / segment_name(reader.name, number)).unlink(missing_ok=True)
            if reader.drained:
                left = [n for n in self._listed.get(reader.name, ()) if n not in reader.drained]
                reader.drained.clear()
                if not left:
                    self._drop(reader)
                    continue
            self._note(reader)

    def _note(self, reader: _Reader) -> None:
        """Note what the store has of a journal in its segment: the producer's `flush` waits for it.

        A note that could not be written (a full disk, a writer that was killed before it) is written after the next
        read.
        """
        position = self._committed.get(reader.name) or self._known.get(reader.name)
        if position is None or self._noted.get(reader.name) == position:
            return
        if reader.is_open() and reader.segment == position.segment:
            note = frames.pack_committed(position.offset, max(0, position.sequence))
            with suppress(OSError):
                if os.pwrite(reader.fd, note, frames.COMMITTED_AT) == len(note):
                    self._noted[reader.name] = position

    def _drop(self, reader: _Reader) -> None:
        """All files of the journal are gone; its position goes later, unless a new file turns up."""
        if any(name.startswith(reader.name) and name.endswith(SUFFIX) for name in os.listdir(self.directory)):
            return
        reader.close()
        del self._readers[reader.name]
        self._known.pop(reader.name, None)
        self._noted.pop(reader.name, None)
        self._ended[reader.name] = time.monotonic()

    def close(self) -> None:
        """Release the files."""
        for reader in self._readers.values():
            reader.close()


class JournalSync:
    """Makes durable against a crash of the host what no store has taken yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._synced: dict[str, int] = {}

    def __call__(self) -> None:
        """Sync every segment that has grown and is not committed to its end, and the names of new ones."""
        found: dict[str, int] = {}
        has_new = False
        for name in os.listdir(self.directory) if self.directory.is_dir() else ():
            if not name.endswith(SUFFIX):
                continue
            try:
                fd = open_plain(self.directory / name, os.O_RDWR)
            except OSError:  # drained meanwhile, or left out by the writer, which says so
                continue
            try:
                size = os.fstat(fd).st_size
                committed, _ = frames.unpack_committed(os.pread(fd, frames.COMMITTED.size, frames.COMMITTED_AT))
                if size > max(committed, self._synced.get(name, 0)):
                    _datasync(fd)
                has_new = has_new or name not in self._synced
                found[name] = size
            finally:
                os.close(fd)
        if has_new:  # a file that no directory names is gone after a power loss, however well it was synced
            fd = os.open(self.directory, os.O_RDONLY | CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        self._synced = found


def backlog(directory: Path, skip: Iterable[str] = (), *, dead_only: bool = False) -> tuple[int, int | None]:
    """Records in journals that are not committed, and when the oldest was accepted (microseconds since the epoch).

    Args:
        skip: Journals to leave out.
        dead_only: Count only journals of processes that are gone.
    """
    records, oldest = 0, None
    left_out = set(skip)
    journals: dict[str, list[int]] = {}
    for name in sorted(os.listdir(directory)) if directory.is_dir() else ():
        parsed = parse_segment_name(name)
        if parsed is not None and parsed[0] not in left_out:
            journals.setdefault(parsed[0], []).append(parsed[1])
    for journal, segments in journals.items():
        paths = [directory / segment_name(journal, number) for number in segments]
        try:
            if dead_only and is_locked(paths[-1]):
                continue
            while len(paths) > 1 and not _is_readable(paths[0]):
                del paths[0]  # left out by the writer, which says so
            count, since = _backlog_of(paths)
        except OSError:
            continue  # drained meanwhile, or left out too
        records += count
        if count and since is not None:
            oldest = since if oldest is None else min(oldest, since)
    return records, oldest


def _is_readable(path: Path) -> bool:
    try:
        os.close(open_plain(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def _backlog_of(paths: list[Path]) -> tuple[int, int | None]:
    """One journal: from what its first segment notes as committed to the last frame of its last segment.

    Reads a few kilobytes, however much waits: the writer asks once a second while it drains.
    """
    with os.fdopen(open_plain(paths[0], os.O_RDONLY), "rb") as file:
        head = file.read(frames.HEADER_SIZE)
        if len(head) < frames.HEADER_SIZE:
            return 0, None
        offset, noted = frames.unpack_committed(head[frames.COMMITTED_AT :])
        done, since = max(_first_sequence(head), noted), None
        file.seek(min(offset, os.fstat(file.fileno()).st_size))
        found, _ = frames.scan(file.read(_LOOK_BYTES), final=False, limit=3)
    for item in found:
        if isinstance(item, frames.JournalFrame) and item.kind == frames.GAP:
            done = max(done, item.sequence)
        elif isinstance(item, frames.JournalFrame) and item.kind == frames.RECORD:
            since = item.accepted_us
            break
    return max(0, _end_sequence(paths[-1]) - done), since


def _first_sequence(head: bytes) -> int:
    return int(frames.SEGMENT_HEAD.unpack_from(head)[5])


def _span(path: Path) -> tuple[int, int]:
    """The sequences that a segment begins with and ends before."""
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        head = file.read(frames.HEADER_SIZE)
    return (_first_sequence(head), _end_sequence(path)) if len(head) == frames.HEADER_SIZE else (0, 0)


def _end_sequence(path: Path) -> int:
    """The sequence after a segment's last whole frame, found from its end."""
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        head = file.read(frames.HEADER_SIZE)
        size = file.seek(0, os.SEEK_END)
        for reach in (_LOOK_BYTES, 2 * frames.LARGEST_PAYLOAD):
            file.seek(max(frames.HEADER_SIZE, size - reach))
            data = file.read()
            place = data.rfind(frames.MAGIC)
            while place >= 0:
                found, _ = frames.scan(data[place:], final=False, limit=1)
                if found and isinstance(found[0], frames.JournalFrame):
                    return found[0].sequence + (found[0].kind == frames.RECORD)
                place = data.rfind(frames.MAGIC, 0, place)
    return _first_sequence(head) if len(head) == frames.HEADER_SIZE else 0
