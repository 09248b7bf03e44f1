"""What all processes of a host have spent and hold reserved, in a mapped file: no lock between processes, no waiting.

One file belongs to one budget; one row of it to one value of what the budget is kept per (one row where it is kept per
nothing). Every process has a slot, and writes only there. A row has for each slot

    head      the newest bucket of the window that its sums are true for
    spent     nano-dollars spent in the window
    reserved  nano-dollars held by calls under way
    buckets   what `spent` is the sum of

A process that needs money first writes its reservation and then adds up all slots; if that is too much it takes the
reservation back. Of two that race, at least the later one sees both, so together they never pass the limit, whatever
the order. Each number is one aligned 8-byte store: a process that is killed leaves a true sum at any moment (money is
added to `spent` before it leaves `reserved`).

A slot is held by a file lock that ends with its process. What a dead process had reserved counts as spent: its
requests were sent, and vendors bill them. Slot 0 belongs to no process: it is what the ledger holds beyond the
slots, and is written under its lock.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tachograph.files import Ours, mapped, move_up, open_plain
from tachograph.usage.budgets.windows import Window
from tachograph.usage.locks import lock

SLOTS: Final = 128
_PAGE: Final = 4096
_INDEX: Final = _PAGE // 8
_ROW_WORDS: Final = 8
_PROBES: Final = 64
_CLAIM_SECONDS: Final = 0.004
_MAGIC: Final = 0x7AC40B01
NUMBER, STEP, LEASED, LEASE_NUMBER, SYNCED, FLEET_SPENT, WANTED = range(7)
"""Words of a row before its slots: the newest bucket any process used it in, how many of the budget's steps are passed;
and of the fleet what this host may spend, in which bucket, when that was last read (milliseconds since the epoch),
what all hosts have spent, and the largest call that was lately asked for."""


class NoPlace(Exception):
    """The file has no room for a further row, or all slots are taken."""


class Slot:
    """This process's place in the files of a directory.

    Args:
        directory: None: nothing is shared, nothing is on disk.

    Raises:
        NoPlace: All slots are taken.
        OSError: The directory cannot be used.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.number = 1
        self._close: Callable[[], object] | None = None
        if directory is None:
            return
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(1, SLOTS):
            fd = self._take(number)
            if fd is not None:
                self.number = number
                self._close = closing = weakref.finalize(self, _close, Ours(fd))
                closing.atexit = False  # the slot is ours until the last call is counted
                return
        raise NoPlace(f"{SLOTS - 1} processes share {directory} already")

    def _take(self, number: int) -> int | None:
        assert self.directory is not None
        path = self.directory / f"slot-{number}.lock"
        fd = move_up(open_plain(path, os.O_RDWR | os.O_CREAT))
        is_ours = False
        try:
            is_ours = lock(fd)
        finally:
            if not is_ours:
                os.close(fd)
        return fd if is_ours else None

    @contextmanager
    def of_the_dead(self, number: int) -> Iterator[bool]:
        """Hold another slot's lock, if no process has it; whether that is so."""
        fd = None
        if self.directory is not None and number != self.number:
            with suppress(OSError):
                fd = self._take(number)
        try:
            yield fd is not None or (self.directory is None and number == 0)
        finally:
            if fd is not None:
                os.close(fd)

    def leave(self) -> None:
        """Give the slot up; in a forked child the parent keeps it."""
        if self._close is not None:
            self._close()


def _close(file: Ours) -> None:
    if file:  # else its number is another file's by now
        with suppress(OSError):
            os.close(file.fd)


class Accounts:
    """The accounts of one budget.

    Args:
        name: Of the file; processes with the same name count together.
        window: Over which money counts.
        slot: This process's.
        rows: How many values may have an account.

    Raises:
        OSError: The file cannot be used.
    """

    def __init__(self, name: str, window: Window, slot: Slot, rows: int) -> None:
        self.window = window
        self.slot = slot
        self.rows = rows
        self._row_bytes = -(-(_ROW_WORDS + SLOTS * (3 + window.buckets)) * 8 // _PAGE) * _PAGE
        self._rows_at = _PAGE + -(-rows * 8 // _PAGE) * _PAGE
        size = self._rows_at + rows * self._row_bytes
        self._fd: int | None = None
        if slot.directory is None:
            memory = memoryview(mmap.mmap(-1, size))
        else:
            path = slot.directory / f"{name}.accounts"
            self._fd = move_up(open_plain(path, os.O_RDWR | os.O_CREAT))
            self._ours = Ours(self._fd)
            self._close = weakref.finalize(self, _close, self._ours)
            self._close.atexit = False
            self._allocate(0, self._rows_at)
            if os.fstat(self._fd).st_size < size:
                os.ftruncate(self._fd, size)
            memory = mapped(self._fd, size)
        self._map: Any = memory.cast("q")
        self._index: Any = self._map[_INDEX : _INDEX + rows]
        self._map[0] = _MAGIC
        if self._map[1] < slot.number + 1:
            self._map[1] = slot.number + 1
        self._known: dict[int, AccountRow] = {}

    def _allocate(self, start: int, size: int) -> None:
        """Give the file its blocks now: a full disk found out by writing to the mapping would kill the process."""
        if self._fd is not None and hasattr(os, "posix_fallocate"):
            self._check()
            os.posix_fallocate(self._fd, start, size)

    def _check(self) -> None:
        if not self._ours:
            raise OSError(errno.EBADF, "another part of the process has closed the files of the budgets")

    @property
    def used_slots(self) -> int:
        """Slots that any process ever had, and slot 0."""
        return max(int(self._map[1]), self.slot.number + 1)

    def row(self, key: int, now: float) -> AccountRow:
        """The account of a key (a positive 62-bit number; 1 for the only one).

        Raises:
            NoPlace: Every row belongs to another key.
            OSError: The disk is full.
        """
        found = self._known.get(key)
        if found is None or self._index[found.index] != key:  # given to another key when nothing counted in it
            found = self._known[key] = AccountRow(self, self._find(key, now))
        return found

    def _find(self, key: int, now: float) -> int:
        first = key % self.rows
        places = [(first + step) % self.rows for step in range(min(self.rows, _PROBES))]
        for index in places:
            if self._index[index] == key:
                return index
        with self._claiming():
            stale = None
            for index in places:
                held = self._index[index]
                if held == key:
                    return index
                if held == 0:
                    self._allocate(self._rows_at + index * self._row_bytes, self._row_bytes)
                    self._index[index] = key
                    return index
                if stale is None and AccountRow(self, index).is_over(now):
                    stale = index
            if stale is None:
                raise NoPlace("every account of the budget is in use")
            row = AccountRow(self, stale)
            row[STEP] = row[LEASED] = row[SYNCED] = row[FLEET_SPENT] = row[WANTED] = 0
            self._index[stale] = key
            return stale

    @contextmanager
    def _claiming(self) -> Iterator[None]:
        """One process at a time gives out rows: for a few microseconds, once per value.

        Raises:
            NoPlace: Another process holds the lock for longer: it was stopped meanwhile, or is not ours.
        """
        if self._fd is None:
            yield
            return
        import fcntl

        self._check()
        deadline = time.monotonic() + _CLAIM_SECONDS
        while not lock(self._fd):
            if time.monotonic() >= deadline:
                raise NoPlace("another process gives out accounts")
            time.sleep(_CLAIM_SECONDS / 20)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether no other process is in here, or gives out rows; never waits."""
        if self._fd is None:
            yield True
            return
        import fcntl

        try:
            self._check()
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def all_rows(self) -> list[AccountRow]:
        """Every account there is, of whatever process."""
        return [AccountRow(self, index) for index, held in enumerate(self._index) if held]

    def key_of(self, row: AccountRow) -> int:
        """Whose account it is."""
        key: int = self._index[row.index]
        return key

    def known(self) -> dict[int, AccountRow]:
        """The accounts this process has met, by key."""
        return dict(self._known)


class AccountRow:
    """One account, seen from one process."""

    __slots__ = ("_heads", "_map", "_own", "_reserved", "_spent", "accounts", "at", "count", "index", "window")

    def __init__(self, accounts: Accounts, index: int) -> None:
        self.accounts = accounts
        self.window = accounts.window
        self.index = index
        self.at = (accounts._rows_at + index * accounts._row_bytes) // 8
        self._map = accounts._map
        self._own = accounts.slot.number
        self._bind()

    def _bind(self) -> None:
        first, self.count = self.at + _ROW_WORDS, self.accounts.used_slots
        self._heads = self._map[first : first + self.count]
        self._spent = self._map[first + SLOTS : first + SLOTS + self.count]
        self._reserved = self._map[first + 2 * SLOTS : first + 2 * SLOTS + self.count]

    def is_over(self, now: float) -> bool:
        """Whether nothing here counts any more, and has not for a window's length."""
        is_old = self[NUMBER] < self.window.number(now) - 2 * self.window.buckets
        return is_old and self.window.period != "total" and not any(self._reserved)

    def _buckets_at(self, slot: int) -> int:
        return self.at + _ROW_WORDS + 3 * SLOTS + slot * self.window.buckets

    def add_reserved(self, nano: int) -> None:
        """Hold money, or with a negative amount give it back. The caller holds this process's lock."""
        self._reserved[self._own] += nano

    def add_spent(self, nano: int, number: int, now_number: int, slot: int | None = None) -> None:
        """Count money in its bucket; that of a bucket long past counts no more."""
        slot = self._own if slot is None else slot
        self.roll(now_number, slot)
        count = self.window.buckets
        head = self._heads[slot]
        if head - count < number <= head:
            self._map[self._buckets_at(slot) + number % count] += nano
            self._spent[slot] += nano

    def roll(self, now_number: int, slot: int | None = None) -> None:
        """Release what has left the window."""
        slot = self._own if slot is None else slot
        head = self._heads[slot]
        if head >= now_number:  # clocks may go back: the bucket that was begun stays
            return
        count, at = self.window.buckets, self._buckets_at(slot)
        if self._spent[slot]:
            for number in range(max(head + 1, now_number - count + 1), now_number + 1):
                self._map[at + number % count] = 0
            self._spent[slot] = sum(self._map[at : at + count]) if now_number - head < count else 0
        self._heads[slot] = now_number
        if self._map[self.at + NUMBER] < now_number:
            self._map[self.at + NUMBER] = now_number

    def spent(self, now_number: int) -> int:
        """What counts as spent now, of all processes."""
        if self.count != self.accounts.used_slots:
            self._bind()
        total = 0
        for slot, spent in enumerate(self._spent):
            if spent:
                total += spent if self._heads[slot] >= now_number else self._still(slot, now_number)
        return total

    def _still(self, slot: int, now_number: int) -> int:
        """What still counts of a slot that was not rolled over."""
        count, at, head = self.window.buckets, self._buckets_at(slot), self._heads[slot]
        return sum(self._map[at + number % count] for number in range(now_number - count + 1, head + 1))

    def reserved(self) -> int:
        """What calls under way hold, of all processes."""
        if self.count != self.accounts.used_slots:
            self._bind()
        return sum(self._reserved)

    def settle_slot(self, slot: int, now_number: int) -> None:
        """A dead process's reservations are spent. The caller holds that slot's lock."""
        held = self._reserved[slot]
        if held:
            self.add_spent(held, now_number, now_number, slot)
            self._reserved[slot] = 0
        self.roll(now_number, slot)

    def has_reserved(self, slot: int) -> bool:
        """Whether this slot holds anything."""
        return slot < self.count and self._reserved[slot] != 0

    def raise_base(self, to_nano: int, now_number: int) -> None:
        """The ledger holds this much in the window; never lowers anything. The caller holds slot 0's lock."""
        more = to_nano - self.spent(now_number)
        if more > 0:
            self.add_spent(more, now_number, now_number, 0)

    def __getitem__(self, word: int) -> int:
        found: int = self._map[self.at + word]
        return found

    def __setitem__(self, word: int, value: int) -> None:
        self._map[self.at + word] = value
