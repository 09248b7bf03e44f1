"""Rooms whose system calls fail one after the other. Run with the library of failing_calls.c before all others.

    python failing_rooms.py DIRECTORY ROOM:KIND:ERROR:HOW...

ROOM is `metrics` (shared by workers), `budgets` or `console`; the rest is as in failing_calls.py. Prints what was not
as promised, and how many calls failed.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import mmap
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from support.failing_calls import KINDS, Plan
from support.ledgers import make_recorder
from tachograph.console.calls import Call, CallDetail
from tachograph.console.store import CallStore
from tachograph.errors import TachographError
from tachograph.records import Cost, Usage
from tachograph.settings.budgets import BudgetLimit, BudgetsSettings
from tachograph.signals import multiprocess
from tachograph.signals.family import Family
from tachograph.signals.multiprocess import MappedStorage
from tachograph.signals.registry import Metrics
from tachograph.usage.budgets import Budgets, guard
from tachograph.usage.ledger import Ledger

CALLS = 3
FAMILY = Family("made_up_total", "counter", ("number",), "Made up.")
Failing = Callable[[], "contextmanager[None]"]


def _shared(directory: Path) -> Metrics:
    return Metrics((FAMILY,), storage=MappedStorage(directory, lambda error: None))


def _total(metrics: Metrics) -> float:
    return sum(sample.value for _, samples in metrics.collect() for sample in samples)


def metrics(directory: Path, failing: Failing) -> str | None:
    """A worker beside one that has ended: afterwards a third sees the numbers of both."""
    ended = _shared(directory)
    ended.cell(FAMILY, "ended").add(5)
    ended.storage.close()
    with failing():
        worker = _shared(directory)
        for number in range(CALLS):
            worker.cell(FAMILY, str(number)).add()
            _total(worker)
    worker.move_in()
    other = _shared(directory)
    seen, own = _total(other), _total(worker)
    for one in (worker, other):
        one.storage.close()
    return None if seen == own == 5 + CALLS else f"others see {seen}, itself {own}"


def budgets(directory: Path, failing: Failing) -> str | None:
    """A process that spends: afterwards its budget is shared, and has what the ledger took."""
    recorder = make_recorder(directory)
    ledger = recorder.ledger
    assert isinstance(ledger, Ledger)
    settings = BudgetsSettings(limits=(BudgetLimit(name="all", usd=Decimal(100)),))

    def spend() -> None:
        call = recorder.start_llm_call("openai", "gpt-5")
        call.usage, call.cost = Usage(1, 1), Cost(10**9, "priced", "test")
        call.finish("success")
        recorder.settle()

    with failing():
        budget = Budgets(settings, recorder, ledger)
        for _ in range(CALLS):
            spend()
    ledger.flush(20)
    budget.tick()
    spend()
    is_whole = ledger.flush(20)
    budget.refresh()
    spent = budget.balances()[0][3]
    is_shared = all(one.accounts is not None for one in budget._budgets)
    ledger.close()
    return None if is_whole and is_shared and spent == CALLS + 1 else f"flush {is_whole}, {is_shared}, ${spent}"


def console(directory: Path, failing: Failing) -> str | None:
    """A console that is sent calls: it keeps those that it said yes to, and no others."""
    store, taken, sent = None, 0, 0

    def send(store: CallStore) -> int:
        call = Call(id=f"{sent:032x}", kind="llm", time=time.time(), provider="openai", model="gpt-5", attempts=1,
                    outcome="success", duration_seconds=1)  # fmt: skip
        return store.add_all([(CallDetail(call, []), None)], wait=True)

    with failing():
        try:
            store = CallStore(directory / "console.db")
        except TachographError:  # it cannot be opened, and says so
            store = None
        while store is not None and sent < CALLS:
            sent += 1
            taken += send(store)
    store = store or CallStore(directory / "console.db")
    before, sent = sent, sent + 1
    goes_on = send(store) == 1
    kept = store._db.execute("SELECT count(*), (SELECT sum(calls) FROM spending) FROM calls").fetchone()
    dropped = store.dropped
    store.close()
    is_right = goes_on and kept == (taken + 1, taken + 1) and taken + dropped == before
    return None if is_right else f"goes on {goes_on}, {kept} kept of {taken} + 1, {dropped} dropped of {before}"


def main(directory: str, *specs: str) -> None:
    """Try them all."""
    logging.disable(logging.CRITICAL)
    multiprocess._RETRY_SECONDS = guard._SWEEP_SECONDS = 0.0  # type: ignore[misc]  # Final: at once, in this process alone
    with open(os.environ["FAILING_CALLS"], "r+b") as file:
        plan = Plan.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(Plan)))
    rooms: dict[str, Callable[[Path, Failing], str | None]] = {
        "metrics": metrics,
        "budgets": budgets,
        "console": console,
    }
    for number, spec in enumerate(specs):
        room, kind, error, how = spec.split(":")
        failed, wrong = 0, []
        plan.kinds, plan.error = sum(1 << KINDS.index(name) for name in kind.split("+")), getattr(errno, error)
        plan.sticky, plan.cut, plan.rings = how == "all", how == "half", b""
        for at in (1, 2, 3, 5, 8, 12, 20):

            @contextmanager
            def failing(at: int = at) -> Iterator[None]:
                plan.at, plan.seen, plan.failed, plan.on = at, 0, 0, 1
                try:
                    yield
                finally:
                    plan.on = 0

            place = Path(directory) / f"{number}-{at}"
            place.mkdir()
            plan.data = bytes(place / "budgets" if room == "budgets" else place)
            try:
                found = rooms[room](place, failing)
            except Exception as raised:  # noqa: BLE001 - whatever the application would have met
                found = repr(raised)
            failed += plan.failed
            if found is not None:
                wrong.append(f"{spec} at {at}: {found}")
            if plan.seen < at:
                break
        sys.stdout.write("\n  ".join([spec, str(failed), *wrong]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
