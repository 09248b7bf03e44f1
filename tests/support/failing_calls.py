"""A ledger whose system calls fail one after the other. Run with the library of failing_calls.c before all others.

    python failing_calls.py DIRECTORY KIND:ERROR:HOW:WHEN...

KIND is a kind of call, ERROR an errno's name. HOW is `once`, `all` (from then on, as on a full disk) or `half` (writes
are cut short). WHEN is `open` (the ledger is open, and calls come) or `new` (it is made meanwhile). The call that
fails is the first, the second and so on, until none is left. Prints what was not as promised, and how many failed.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import mmap
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.ledgers import eventually, make_recorder, metric, one_call, stored_numbers
from tachograph.errors import SettingsError
from tachograph.recorder import Recorder
from tachograph.tape.ring import directory_of
from tachograph.usage import journal, source, writer
from tachograph.usage.stores.errors import StoreError

KINDS = ("open", "write", "sync", "rename", "truncate", "allocate", "unlink", "mkdir", "read", "note")
CALLS = 6
_NUMBERS = ("on", "kinds", "at", "error", "sticky", "seen", "failed", "cut")


class Plan(ctypes.Structure):
    """What failing_calls.c reads."""

    _fields_ = [
        *((name, ctypes.c_int) for name in _NUMBERS),
        ("data", ctypes.c_char * 400),
        ("rings", ctypes.c_char * 400),
    ]


class Trial:
    """One kind of failure, at each place in turn.

    Attributes:
        wrong: What was not as promised.
        failed: How many calls failed.
    """

    def __init__(self, plan: Plan, directory: Path, spec: str) -> None:
        kind, error, how, when = spec.split(":")
        self.plan, self.directory, self.spec = plan, directory, spec
        self.is_new, self.number, self.failed = when == "new", 0, 0
        self.wrong: list[str] = []
        plan.kinds = sum(1 << KINDS.index(name) for name in kind.split("+"))
        plan.error, plan.sticky, plan.cut = getattr(errno, error), how == "all", how == "half"
        plan.data, plan.rings = bytes(directory), bytes(directory_of(directory))

    def run(self) -> None:
        recorder = None if self.is_new else self._recorder()
        for at in (1, 3, 6, 10, 15, 22) if self.is_new else (1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 26, 33):
            if self.is_new:
                self._clear()
            if not self._one(recorder, at):
                break
        if recorder is not None:
            recorder.ledger.close()
        self._clear()

    def _recorder(self) -> Recorder:
        return make_recorder(self.directory, interval_seconds=0.0, segment_mb=0.004)

    def _clear(self) -> None:
        self.number = 0
        for folder in (self.directory, directory_of(self.directory)):
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _failing(self, at: int) -> Iterator[None]:
        self.plan.at, self.plan.seen, self.plan.failed, self.plan.on = at, 0, 0, 1
        try:
            yield
        finally:
            self.plan.on = 0
            self.failed += self.plan.failed

    def _one(self, recorder: Recorder | None, at: int) -> bool:
        """Whether there was such a call at all."""
        try:
            with self._failing(at):
                recorder = recorder or self._recorder()
                for _ in range(CALLS):
                    one_call(recorder, self.number)
                    self.number += 1
                eventually(lambda: recorder.ledger.flush(0.02) or self.plan.seen >= at, "stored, or failed")
        except SettingsError:  # a new ledger that cannot be made is refused, with what to do
            return True
        except Exception as error:  # noqa: BLE001 - whatever the application would have met
            self.wrong.append(f"{self.spec} at {at}: {error!r}")
            return True
        is_whole = recorder.ledger.flush(20)
        try:
            stored = stored_numbers(recorder.ledger)
        except StoreError:  # none was made, as all was refused
            stored = []
        refused = metric(recorder, "llm_usage_records_refused_total")
        other = metric(recorder, "llm_usage_records_lost_total") + metric(
            recorder, "llm_usage_records_quarantined_total"
        )
        if not is_whole or other or len(set(stored)) + refused != self.number or len(set(stored)) != len(stored):
            self.wrong.append(
                f"{self.spec} at {at}: flush {is_whole}, {len(stored)} stored, {refused} refused of {self.number},"
                f" {other} lost or set aside"
            )
        if self.is_new:
            recorder.ledger.close()
        return self.plan.seen >= at


def main(directory: str, *specs: str) -> None:
    """Try them all."""
    logging.disable(logging.CRITICAL)
    source._UNREADABLE_SECONDS = writer._LONGEST_WAIT = journal._RECHECK_SECONDS = 0.0  # type: ignore[misc]
    with open(os.environ["FAILING_CALLS"], "r+b") as file:
        plan = Plan.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(Plan)))
    for number, spec in enumerate(specs):
        trial = Trial(plan, Path(directory) / str(number), spec)
        trial.run()
        sys.stdout.write("\n  ".join([spec, str(trial.failed), *trial.wrong]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
