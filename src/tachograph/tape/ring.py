"""The ring: what money needs of each finished record, in a mapped file, until the ledger's journal has it.

A record on the tape lives in this process's memory for up to a second. `kill -9` in that time must not lose what
the call cost. So a finished record is put into a slot of a mapped file with one `struct.pack_into`: no system
call, no lock, no disk (the file is on /dev/shm where there is one). The slot is given back when the journal has the
record's row. What is in the slots of a process that is gone is recovered by the host's ledger writer.

    header   4096 bytes: magic, version, sizes, process id, the base of this process's record ids, bytes of plans used
    plans    what records have in common (kind, provider, model, operation, API, ...), written once, found by number
    pieces   at first one, at most PIECES: 1,024 slots of SLOT_BYTES, or 96 of LARGE_BYTES for records with long labels
    slots    a slot is in use while its first and its last eight bytes hold the same mark

All pieces are mapped from the beginning, and the file grows by one when no slot is free: while a disk does not take the
journal's rows, some 16,000 records find a slot.

A process that ends while it packs leaves two different marks, and the slot counts as unused: that call was not yet
accepted. Where all pieces are in use, a record has over 3.8 KB of labels, or the file cannot be mapped, `keep` says no,
and the drain thread is woken to write the record to the journal at once.

A slot is recovered as a record of its own. Its tokens are those that the answer gave cheaply, so its cost is an
estimate. The row has the id that the complete row would have had: where both exist, the ledger keeps the first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import stat
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import FileIO
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import structs

from tachograph.files import Ours, UnsafeFile, leak, mapped, open_plain, printable, private_and_high
from tachograph.records import Attempt, Cost, LLMCall, Run, ToolCall, Usage, ids
from tachograph.records.outcomes import ERROR_KINDS, ERROR_TYPES, OUTCOMES, TOOL_OUTCOMES

if TYPE_CHECKING:
    from tachograph.records.sink import Sink

SLOT_BYTES: Final = 384
LARGE_BYTES: Final = 4096
PIECES: Final = 16
SUFFIX: Final = ".ring"
_PIECE_BYTES: Final = 1024 * SLOT_BYTES
_MAGIC: Final = b"TGRING01"
_HEADER: Final = struct.Struct("<8sHHIIQ16s")  # magic, version, slot bytes, slots, bytes for plans, process id, base
_VERSION: Final = 2  # version 1 has one piece
_HEADER_BYTES: Final = 4096
_USED_AT: Final = 1024
_KINDS_AT: Final = 2048  # for each piece 0, or 1 where its slots are large
_ABANDONED_AT: Final = 2080  # when its data directory was first found to be gone, in unix seconds; 0 while it is not
_ABANDONED: Final = struct.Struct("<Q")
_PLACE_AT: Final = 2096  # the data directory and the mount namespace in which that is its name
_PLACE: Final = struct.Struct("<QH")
_LONGEST_PLACE: Final = _HEADER_BYTES - _PLACE_AT - _PLACE.size
_HALF_MADE_SECONDS: Final = 60.0  # its process may be about to lock it
ABANDONED_SECONDS: Final = 86_400.0
"""How long the ring of a dead process stays when its data directory is gone: it may be a mount that comes back."""
_PLAN_BYTES: Final = 128 * 1024
_START: Final = _HEADER_BYTES + _PLAN_BYTES
_EXTRA_BYTES: Final = 260
_LARGE_EXTRA_BYTES: Final = _EXTRA_BYTES + LARGE_BYTES - SLOT_BYTES
_SLOT: Final = struct.Struct("<QQqqqqqqHBBBBQQQH260sQ")
_LARGE: Final = struct.Struct(f"<QQqqqqqqHBBBBQQQH{_LARGE_EXTRA_BYTES}sQ")
_TAIL: Final = struct.Struct("<qHBBBBQQQH")
_TAIL_BYTES: Final = _TAIL.size + _EXTRA_BYTES
_SHORT: Final = struct.Struct(f"<QQqqqqq{_TAIL_BYTES}sQ")  # a slot as it is written, its second half in one piece
_pack_into: Final = _SHORT.pack_into
_LONG: Final = struct.Struct(f"<QQqqqqq{_TAIL.size + _LARGE_EXTRA_BYTES}sQ")
_MARK: Final = struct.Struct("<Q")
_USED: Final = struct.Struct("<I")
_PLAN: Final = struct.Struct("<H")
_FLAGS_AT: Final = struct.calcsize("<QQqqqqqqHBBB")
_STREAM, _COUNTS_USAGE, _MEASURED = 1, 2, 4
_NONE: Final = 255
_OWN_PLAN: Final = 0xFFFF
"""The plan of a record that brings its own, because there was no room for a further one."""

_outcome_codes: Final = {word: code for code, word in enumerate(OUTCOMES)}
_error_codes: Final = {word: code for code, word in enumerate(ERROR_TYPES)}
_tool_outcome_codes: Final = {word: code for code, word in enumerate(TOOL_OUTCOMES)}
_kind_codes: Final = {word: code for code, word in enumerate(ERROR_KINDS)}
_llm_facts: Final = attrgetter(
    "provider", "model", "operation", "api", "stream", "counts_usage", "outcome", "error_type"
)
_tool_facts: Final = attrgetter("server_id", "tool_name", "side", "outcome", "error_kind")
_more_of_llm: Final = attrgetter("labels", "run", "cost", "trace_id", "attempts")
_NO_MORE_OF_LLM: Final = (None, None, None, 0, ())
_more_of_tool: Final = attrgetter("labels", "run", "call_id", "trace_id")
_NO_MORE_OF_TOOL: Final = (None, None, None, 0)
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode


def directory_of(data_dir: Path) -> Path:
    """Where the rings of the processes that share a data directory are: on /dev/shm where that is ours to use."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(data_dir))).hexdigest()[:16]
    shared = Path("/dev/shm")
    if shared.is_dir() and os.access(shared, os.W_OK):
        return shared / f"tachograph-{os.getuid()}" / name
    return data_dir / "rings"


def _make_private(directory: Path) -> None:
    """Make a directory for this user alone.

    Raises:
        OSError: It cannot be made, or it belongs to another user.
    """
    for part in (directory.parent, directory):
        with contextlib.suppress(FileExistsError):
            part.mkdir(mode=0o700)
    for part in (directory.parent, directory):
        found = part.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(f"{part} is not a directory of this user")


class Ring:
    """The slots of this process. Safe from any thread, from finalisers and signal handlers, and after fork.

    Args:
        directory: Where its file is made, with the first record.
        place: The data directory that its records belong to; written into the file for `sweep`.
    """

    def __init__(self, directory: Path, place: Path | None = None) -> None:
        self.directory = directory
        self._place = os.fsencode(place.resolve()) if place is not None else b""
        self._file: FileIO | None = None
        self._ours: Ours | None = None
        self._path: Path | None = None
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """The parent's slots are the parent's. Only references are dropped here: nothing waits or is written."""
        if self._file is not None:
            if self._ours:
                self._file.close()  # the lock stays with the parent's opening
            else:
                leak(self._file)  # its number is another file's by now
        self._file = self._ours = self._path = None
        self._buffer: Any = None  # unmapped: else the lock would last as long as the child
        self._free: deque[int] = deque()  # a new one: a slot that the parent takes back is not ours to give out
        self._large: deque[int] = deque()
        self._pieces = 0
        self._plans: dict[tuple[Any, ...], int] = {}
        self._tails: dict[tuple[Any, ...], bytes] = {}
        self._plan_bytes = 0
        self._has_failed = False
        self._opening = threading.Lock()

    @property
    def path(self) -> Path | None:
        """The file, while it is open."""
        return self._path

    @property
    def slots_in_use(self) -> int:
        """Records that the journal does not have yet."""
        if self._buffer is None:
            return 0
        kinds = bytes(self._buffer[_KINDS_AT : _KINDS_AT + self._pieces])
        slots = sum(_PIECE_BYTES // (LARGE_BYTES if kind else SLOT_BYTES) for kind in kinds)
        return slots - len(self._free) - len(self._large)

    def keep(self, record: LLMCall | ToolCall) -> bool:
        """Put a finished record into a slot; False where that is not possible."""
        try:
            if type(record) is LLMCall:
                key, first, waited = _llm_facts(record), record.first_token_ns, record.unsent_wait_ns
                tokens = record.tokens
                tokens_in, tokens_out = tokens if tokens is not None and None not in tokens else _tokens_of(record)
                tail = self._tails.get(key) if _more_of_llm(record) == _NO_MORE_OF_LLM else None
            else:
                key, first, waited, tokens_in, tokens_out = _tool_facts(record), 0, 0, -1, -1
                tail = self._tails.get(key) if _more_of_tool(record) == _NO_MORE_OF_TOOL else None
            if tail is None:
                tail = self._tail(record, key)
                is_long = len(tail) > _TAIL_BYTES
                free, pack_into = (self._large, _LONG.pack_into) if is_long else (self._free, _pack_into)
            else:
                free, pack_into = self._free, _pack_into
            try:
                offset = free.pop()  # the one given back last: it is in the processor's cache
            except IndexError:
                self._grow(free)
                offset = free.pop()  # fails where there is none
            mark, started = record.number + 1, record.started_ns
            try:
                pack_into(
                    self._buffer,  # pyright: ignore[reportArgumentType]  # open() has mapped it
                    offset,
                    mark,
                    record.started_unix_ns,
                    record.ended_ns - started,
                    first and first - started,
                    waited,
                    tokens_in,
                    tokens_out,
                    tail,
                    mark,
                )
            except BaseException:
                free.append(offset)
                raise
            record.slot = offset
            return True
        except (ValueError, TypeError, OverflowError, LookupError, struct.error):
            return False  # half a character in a label, a number of more than 64 bits: the journal finds a way

    def _tail(self, record: LLMCall | ToolCall, key: tuple[Any, ...]) -> bytes:
        """The second half of a slot. That of records of which it says no more than these facts is kept for the next.

        Raises:
            ValueError: No slot is large enough, or there is no ring.
        """
        if isinstance(record, LLMCall):
            codes = _outcome_codes.get(record.outcome, _NONE), _error_codes.get(record.error_type, _NONE)  # type: ignore[arg-type]  # None has no code
            own, has_more = ("llm", *key[:4]), _more_of_llm(record) != _NO_MORE_OF_LLM
            call_id, cost = None, record.cost
            counts = len(record.attempts) or 1, record.stream + (record.counts_usage << 1)
        else:
            codes = _tool_outcome_codes.get(record.outcome, _NONE), _kind_codes.get(record.error_kind, _NONE)  # type: ignore[arg-type]  # as above
            own, has_more = ("mcp", *key[:3]), _more_of_tool(record) != _NO_MORE_OF_TOOL
            call_id, cost = record.call_id, None
            counts = 1, _COUNTS_USAGE
        plan = self._plans.get(own)
        if plan is None:
            if self._buffer is None and not self._open():
                raise ValueError("no ring")
            plan = self._add_plan(own)
        extra = b""
        if record.labels is not None or record.run is not None or call_id is not None or plan == _OWN_PLAN:
            extra = _extra(record, call_id, own if plan == _OWN_PLAN else None)
            if len(extra) > _LARGE_EXTRA_BYTES:
                raise ValueError("too long")
        nano_usd = -1 if cost is None or cost.nano_usd is None else cost.nano_usd
        trace_id = record.trace_id
        ids_of_span = trace_id >> 64, trace_id & 0xFFFFFFFFFFFFFFFF, record.span_id
        tail = _TAIL.pack(nano_usd, plan, *codes, *counts, *ids_of_span, len(extra)) + extra
        if not has_more and plan != _OWN_PLAN:
            self._tails[key] = tail
        return tail

    def _add_plan(self, key: tuple[Any, ...]) -> int:
        """Write down what calls of this kind have in common; `_OWN_PLAN` when there is no room, or not now."""
        if self._opening.locked():
            return _OWN_PLAN  # another thread does, or this one, when a signal handler made a call of its own
        with self._opening:
            found = self._plans.get(key)
            if found is not None:
                return found
            number, data = len(self._plans), _encode(key)
            end = self._plan_bytes + _PLAN.size + len(data)
            if end > _PLAN_BYTES:  # long before there are `_OWN_PLAN`: each takes ten bytes or more
                return _OWN_PLAN
            at, used = _HEADER_BYTES + self._plan_bytes, _USED.pack(end)
            _PLAN.pack_into(self._buffer, at, len(data))
            self._buffer[at + _PLAN.size : at + _PLAN.size + len(data)] = data
            # After the plan itself, and in one piece: `pack_into` would clear the number before it writes it.
            self._buffer[_USED_AT : _USED_AT + _USED.size] = used
            # No call between these two: a signal handler that raises comes before both, and the plan is written again.
            self._plans[key] = number
            self._plan_bytes = end
            return number

    def _grow(self, free: deque[int]) -> None:
        """Add a piece to the file, for this list of free slots, where that is possible."""
        if self._opening.locked():
            return  # another thread does, or this one, when a signal handler made a call of its own
        with self._opening:
            file, number, is_large = self._file, self._pieces, free is self._large
            if free or file is None or not self._ours or number >= PIECES:
                return
            at = _START + number * _PIECE_BYTES
            try:
                _allocate(file.fileno(), at, _PIECE_BYTES)
            except OSError:  # no room
                return
            self._buffer[_KINDS_AT + number] = is_large
            slots = range(at, at + _PIECE_BYTES, LARGE_BYTES if is_large else SLOT_BYTES)
            # No call between these two: a signal handler that raises comes before both, and the piece is made again.
            self._pieces = number + 1
            free.extend(slots)

    def measured(self, record: LLMCall | ToolCall) -> None:
        """The record is counted in the metrics: recovery of its slot must not count it again."""
        at = record.slot + _FLAGS_AT
        self._buffer[at] |= _MEASURED

    def release(self, slots: list[int]) -> None:
        """The journal has these records, or has refused them: their slots are free again."""
        buffer = self._buffer
        if buffer is None:
            return
        for offset in slots:
            _MARK.pack_into(buffer, offset, 0)
            is_large = buffer[_KINDS_AT + (offset - _START) // _PIECE_BYTES]
            (self._large if is_large else self._free).append(offset)

    def prepare(self) -> None:
        """Make the file now, so that no call does: what the disk takes for it would be the first call's."""
        self._open()

    def _open(self) -> bool:
        """Make, allocate and map the file; whether there is one. Once for each process, and no thread waits for it."""
        if self._opening.locked():
            return False
        with (
            self._opening
        ):  # `with`, not `acquire`: an interrupt cannot come between taking the lock and giving it back
            if self._buffer is not None:
                return True
            if self._has_failed:
                return False
            try:
                self._create()
            except (
                OSError,
                ValueError,
                ImportError,
            ):  # no such file system, room, permission, or descriptor for `mmap`
                self._has_failed = True
                return False
            return True

    def _create(self) -> None:
        path = self.directory / f"{os.getpid()}-{secrets.token_hex(8)}{SUFFIX}"
        unnamed = path.with_suffix(".new")
        try:
            _make_private(self.directory)
            file = FileIO(str(unnamed), "x+", opener=private_and_high)
        except FileNotFoundError:  # another process that ended has just removed the empty directory
            _make_private(self.directory)
            file = FileIO(str(unnamed), "x+", opener=private_and_high)
        try:
            os.fchmod(file.fileno(), 0o600)
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)  # held for as long as the process lives
            _allocate(file.fileno(), 0, _START + _PIECE_BYTES)
            buffer = mapped(
                file.fileno(), _START + PIECES * _PIECE_BYTES
            )  # what lies beyond the file's end comes later
            base, slots = ids.base().to_bytes(16, "big"), PIECES * _PIECE_BYTES // SLOT_BYTES
            _HEADER.pack_into(buffer, 0, _MAGIC, _VERSION, SLOT_BYTES, slots, _PLAN_BYTES, os.getpid(), base)
            if len(self._place) <= _LONGEST_PLACE:
                _PLACE.pack_into(buffer, _PLACE_AT, _namespace(), len(self._place))
                at = _PLACE_AT + _PLACE.size
                buffer[at : at + len(self._place)] = self._place
            ours, free = Ours(file.fileno()), deque(range(_START, _START + _PIECE_BYTES, SLOT_BYTES))
            os.rename(unnamed, path)
        except BaseException:
            file.close()
            unnamed.unlink(missing_ok=True)
            raise
        self._file, self._ours, self._path, self._buffer = file, ours, path, buffer
        self._free, self._pieces = free, 1

    def close(self) -> None:
        """The process ends in good order: remove the file, unless a slot of it is still in use."""
        file, path = self._file, self._path
        if file is None or path is None or self.slots_in_use:
            return
        self.after_fork_in_child()
        self._has_failed = True
        path.unlink(missing_ok=True)
        _remove_empty(self.directory)


def _remove_empty(directory: Path) -> None:
    """Remove a directory on /dev/shm that holds no ring any more; the next ring makes it again."""
    with contextlib.suppress(OSError):  # another process has its ring there
        directory.rmdir()


def _namespace() -> int:
    """The mount namespace of this process: in a container, a path may name another directory."""
    try:
        return os.stat("/proc/self/ns/mnt").st_ino
    except OSError:  # no Linux
        return 0


def sweep(root: Path, now: float) -> None:
    """Remove what processes that are gone have left for data directories that are gone as well.

    Empty directories and half-made files go at once. A ring goes when its data directory has been missing for
    `ABANDONED_SECONDS`. One of another mount namespace, or of an existing data directory, stays for its own writer.

    Args:
        root: The directory of this user, which has one directory of rings for each data directory.
        now: Unix seconds.
    """
    try:
        directories = [entry for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for entry in directories:
        directory = Path(entry.path)
        for file in _dead(directory, "*.new"):
            if now - os.fstat(file.fileno()).st_mtime > _HALF_MADE_SECONDS:
                Path(str(file.name)).unlink(missing_ok=True)
        for file in _dead(directory):
            with contextlib.suppress(OSError, struct.error):  # no ring, or not ours to change
                if _is_abandoned(file, now):
                    Path(str(file.name)).unlink()
        _remove_empty(directory)


def place_of(header: bytes) -> str | None:
    """The data directory that a ring belongs to; None where it does not say, or says it for another namespace.

    Raises:
        struct.error: It is too short for a ring.
    """
    namespace, size = _PLACE.unpack_from(header, _PLACE_AT)
    place = header[_PLACE_AT + _PLACE.size :][:size]
    if not header.startswith(_MAGIC) or not place or namespace != _namespace():
        return None
    return os.fsdecode(place)


def _is_abandoned(file: FileIO, now: float) -> bool:
    header = file.read(_HEADER_BYTES)
    place = place_of(header)
    if place is None:
        return False
    since = 0 if os.path.exists(place) else _ABANDONED.unpack_from(header, _ABANDONED_AT)[0] or int(now)
    os.pwrite(file.fileno(), _ABANDONED.pack(since), _ABANDONED_AT)
    return bool(since) and now - since >= ABANDONED_SECONDS


def _allocate(fd: int, at: int, size: int) -> None:
    """Make the file longer by pages that are really there: one that cannot be had would be a SIGBUS later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, at, size)
    else:
        os.truncate(fd, at + size)


def _tokens_of(call: LLMCall) -> tuple[int, int]:
    usage, tokens = call.usage, call.tokens
    if tokens is None:
        tokens = (None, None) if usage is None else (usage.input_tokens, usage.output_tokens)
    return -1 if tokens[0] is None else tokens[0], -1 if tokens[1] is None else tokens[1]


def _extra(record: LLMCall | ToolCall, call_id: str | None, key: tuple[Any, ...] | None) -> bytes:
    """What only some records have: the user's labels, the run, the model's id of a tool call, a plan of its own."""
    labels, run = record.labels, record.run
    facts = None if run is None else structs.astuple(run)[:-1]  # the tally is of this process alone
    return _encode((None if labels is None else dict(labels), facts, call_id, key))


@dataclass(slots=True)
class Recovered:
    """What the slots of a process that is gone hold.

    Attributes:
        records: To be delivered; each with the id that it had, and with its slot.
        measured: Ids of those that the process, or a sibling, had added to the metrics already.
    """

    records: list[LLMCall | ToolCall] = field(default_factory=list)
    measured: set[bytes] = field(default_factory=set)


def read(data: bytes, sink: Sink) -> Recovered:
    """What a ring's file holds.

    Args:
        data: The bytes of the file.
        sink: Of the records that are made.

    Raises:
        ValueError: It is no ring, or one of another version.
    """
    if len(data) < _HEADER_BYTES:
        raise ValueError("too short for a ring")
    magic, version, slot_bytes, _, plan_bytes, _, base = _HEADER.unpack_from(data)
    if magic != _MAGIC or version not in (1, _VERSION) or slot_bytes != SLOT_BYTES:
        raise ValueError("no ring of a version that is known here")
    plans = _plans(data, min(_USED.unpack_from(data, _USED_AT)[0], plan_bytes))
    found = Recovered()
    for form, offset in _slots_of(data, _HEADER_BYTES + plan_bytes):
        mark = _MARK.unpack_from(data, offset)[0]
        if mark and mark == _MARK.unpack_from(data, offset + form.size - _MARK.size)[0]:
            with contextlib.suppress(ValueError, TypeError, IndexError):  # a slot that says nothing
                record, is_measured = _record(form.unpack_from(data, offset), plans, int.from_bytes(base, "big"), sink)
                record.slot = offset
                found.records.append(record)
                if is_measured:
                    found.measured.add(record.id)
    found.records.sort(key=lambda record: record.id)
    return found


def _slots_of(data: bytes, start: int) -> Iterator[tuple[struct.Struct, int]]:
    """Each slot: its form, and where it begins."""
    for number, at in enumerate(range(start, len(data), _PIECE_BYTES)):
        form, size = (_LARGE, LARGE_BYTES) if data[_KINDS_AT + number] else (_SLOT, SLOT_BYTES)
        for offset in range(at, min(at + _PIECE_BYTES, len(data) - size + 1), size):
            yield form, offset


def _plans(data: bytes, used: int) -> list[tuple[Any, ...]]:
    plans: list[tuple[Any, ...]] = []
    at, end = _HEADER_BYTES, min(_HEADER_BYTES + used, len(data))
    while at + _PLAN.size <= end:
        (length,) = _PLAN.unpack_from(data, at)
        try:
            plans.append(tuple(_decode(data[at + _PLAN.size : at + _PLAN.size + length])))
        except (ValueError, TypeError):
            break  # a power loss took it; calls of this and later plans are left out
        at += _PLAN.size + length
    return plans


def _record(
    slot: tuple[Any, ...], plans: list[tuple[Any, ...]], base: int, sink: Sink
) -> tuple[LLMCall | ToolCall, bool]:
    mark, started, duration, first, waited, tokens_in, tokens_out, nano, plan, outcome, error, attempts, flags = slot[
        :13
    ]
    trace_high, trace_low, span_id, length, extra = slot[13:18]
    labels, facts, *more = _decode(extra[:length]) if length else (None, None)
    kind, *common = more[1] if plan == _OWN_PLAN else plans[plan]
    run = None if facts is None else Run(*facts)
    made: LLMCall | ToolCall
    if kind == "llm":
        provider, model, operation, api = common
        made = call = LLMCall(
            sink, provider, model, operation, 0, bool(flags & _STREAM), labels, run, mark - 1, started, 0
        )
        call.api = api
        call.ended_ns = duration
        call.first_token_ns = first
        call.unsent_wait_ns = waited
        call.counts_usage = bool(flags & _COUNTS_USAGE)
        call.outcome = OUTCOMES[outcome] if outcome != _NONE else "success"
        call.error_type = ERROR_TYPES[error] if error != _NONE else None
        if tokens_in >= 0 or tokens_out >= 0:
            call.usage = Usage(tokens_in if tokens_in >= 0 else None, tokens_out if tokens_out >= 0 else None)
        if nano >= 0:
            call.cost = Cost(nano, "priced")
        call.attempts = [
            Attempt(number + 1, 0, duration, None, call.outcome, call.error_type) for number in range(attempts)
        ]
    else:
        server_id, tool_name, side, *_ = common
        made = tool = ToolCall(sink, server_id, tool_name, 0, labels, side, run, mark - 1, started, 0)
        tool.ended_ns = duration
        tool.outcome = TOOL_OUTCOMES[outcome] if outcome != _NONE else "success"
        tool.error_kind = ERROR_KINDS[error] if error != _NONE else None
        tool.call_id = more[0] if more else None
    made.given_id = ids.id_from(base, started, mark - 1)
    made.trace_id, made.span_id = trace_high << 64 | trace_low, span_id
    return made, bool(flags & _MEASURED)


def are_there_others(ring: Ring) -> bool:
    """Whether there is any other ring beside this one, of processes that live or are gone."""
    own = ring.path and ring.path.name
    try:
        return any(name.endswith(SUFFIX) and name != own for name in os.listdir(ring.directory))
    except OSError:
        return False


def measure_dead(directory: Path, count: Callable[[LLMCall | ToolCall], None], sink: Sink) -> None:
    """Add to the metrics what processes that are gone had not added to them, once; their rings stay for the ledger."""
    for file in _dead(directory):
        with contextlib.suppress(ValueError):
            found = read(file.readall(), sink)
            for record in found.records:
                if record.id not in found.measured:
                    count(record)
                    at = record.slot + _FLAGS_AT
                    os.pwrite(file.fileno(), bytes((os.pread(file.fileno(), 1, at)[0] | _MEASURED,)), at)


def dead(directory: Path, sink: Sink, left_out: Callable[[str], None]) -> Iterator[Recovered]:
    """What the rings of processes that are gone hold, each locked while it is looked at.

    A file is removed when the next one is asked for: by then its records must be where they belong. One that cannot
    be opened or read stays where it is.

    Args:
        sink: Of the records that are made.
        left_out: Called with each file that stays, and why.
    """
    for file in _dead(directory, left_out=left_out):
        path = Path(str(file.name))
        try:
            found = read(file.readall(), sink)
        except ValueError as error:
            left_out(f"{printable(path)}: {error}")
            continue
        yield found
        path.unlink(missing_ok=True)


def nothing_said(_: str) -> None:
    """What one look leaves out, another one says."""


def _open_old(path: str, _: int) -> int:
    return open_plain(Path(path), os.O_RDWR, _START + PIECES * _PIECE_BYTES)


def _dead(
    directory: Path, names: str = f"*{SUFFIX}", left_out: Callable[[str], None] = nothing_said
) -> Iterator[FileIO]:
    try:
        paths = sorted(directory.glob(names))
    except OSError:
        return
    for path in paths:
        try:
            file = FileIO(str(path), "r+", opener=_open_old)
        except FileNotFoundError:
            continue
        except OSError as error:
            left_out(str(error) if isinstance(error, UnsafeFile) else f"{printable(path)}: {error.strerror or error}")
            continue
        with file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its process lives
            yield file
