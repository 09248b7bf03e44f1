"""The accounts behind a budget, against a plain calculation; and what the gauges and leases say of them."""

from __future__ import annotations

import errno
import os
import random
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tachograph.runtime import join
from tachograph.settings.budgets import BudgetLimit
from tachograph.signals.registry import Metrics
from tachograph.usage.budgets import gauges, history
from tachograph.usage.budgets.accounts import LEASED, STEP, AccountRow, Accounts, NoPlace, Slot
from tachograph.usage.budgets.budget import Budget, Refusal, in_usd
from tachograph.usage.budgets.history import History
from tachograph.usage.budgets.scope import Scope
from tachograph.usage.budgets.windows import Window
from tachograph.usage.reports.forecast import Pace
from tachograph.usage.stores.query import Query

HOUR = 3600.0
NOON = datetime(2026, 12, 30, 12, tzinfo=UTC).timestamp()


def test_accounts_hold_what_was_spent_in_the_window_whatever_the_order() -> None:
    draw = random.Random(7)
    for period, buckets, width in (("24h", 25, 3600), ("hour", 1, 3600), ("7d", 25, 25_200)):
        window = Window(period)
        row = Accounts("", window, Slot(None), 1).row(1, 0.0)
        money: Counter[int] = Counter()
        now, most = 1000, 0
        for _ in range(400):
            now += draw.choice((0, 0, 0, 1, 1, 2, 30))
            began, nano = now - draw.randrange(30), draw.randrange(1, 100)
            row.add_spent(nano, window.number(began * width), window.number(now * width))
            if began > now - buckets:
                money[began] += nano
            seen = now + draw.randrange(3)
            counts = sum(nano for begun, nano in money.items() if begun > seen - buckets)
            assert row.spent(window.number(seen * width)) == counts
            most = max(most, counts)
        assert most > 0


def test_processes_of_a_host_see_what_each_other_spent_and_hold(tmp_path: Path) -> None:
    window = Window("24h")
    slots = [Slot(tmp_path) for _ in range(3)]
    assert [slot.number for slot in slots] == [1, 2, 3]
    accounts = [Accounts("b", window, slot, 4) for slot in slots]
    rows = [one.row(77, NOON) for one in accounts]
    number = window.number(NOON)
    for row, spent, held in zip(rows, (5, 70, 900), (1, 20, 300), strict=True):
        row.add_spent(spent, number, number)
        row.add_reserved(held)
    rows[1].add_spent(4000, number - 24, number)
    assert {row.spent(number) for row in rows} == {4975}
    assert {row.reserved() for row in rows} == {321}
    assert [row.spent(number + 1) for row in rows] == [975] * 3  # the oldest bucket has left
    assert [rows[0].has_reserved(slot) for slot in range(5)] == [False, True, True, True, False]
    assert [one.used_slots for one in accounts] == [4, 4, 4]
    rows[1].roll(number + 1)
    assert rows[0].spent(number + 1) == 975
    with slots[0].of_the_dead(2) as is_dead:
        assert not is_dead
    slots[1].leave()
    with slots[0].of_the_dead(2) as is_dead:
        assert is_dead
        rows[0].settle_slot(2, number + 1)
    assert (rows[0].spent(number + 1), rows[0].reserved()) == (995, 301)
    rows[0].settle_slot(2, number + 1)
    assert (rows[0].spent(number + 1), rows[0].reserved()) == (995, 301)
    assert Slot(tmp_path).number == 2  # the next process takes the free place
    with slots[0].of_the_dead(1) as is_dead:
        assert not is_dead  # our own
    with slots[0].of_the_dead(0) as is_ours:
        assert is_ours
        rows[2].raise_base(900, number + 1)
        assert rows[0].spent(number + 1) == 995
        rows[2].raise_base(1000, number + 1)
    assert [row.spent(number + 1) for row in rows] == [1000] * 3
    assert [row.spent(number + 26) for row in rows] == [0] * 3


def test_what_a_process_holds_is_in_the_file_for_those_who_come_later(tmp_path: Path) -> None:
    window = Window("day")
    number = window.number(NOON)
    first = Accounts("b", window, Slot(tmp_path), 100)
    for key in (1, 100, 101, 201):  # three of them at the same place
        first.row(key, NOON).add_spent(key, number, number)
    later = Accounts("b", window, Slot(tmp_path), 100)
    assert {later.key_of(row): row.spent(number) for row in later.all_rows()} == {1: 1, 100: 100, 101: 101, 201: 201}
    assert later.known() == {}
    assert later.row(201, NOON).index == first.row(201, NOON).index == 3
    assert list(later.known()) == [201]


@pytest.mark.parametrize(
    ("period", "kept_hours", "given_hours"), [("day", 11.9, 12), ("24h", 50, 51), ("hour", 2, 3), ("total", 9e5, None)]
)
def test_an_account_in_which_nothing_counts_any_more_is_given_to_another_key(
    period: str, kept_hours: float, given_hours: float | None
) -> None:
    window = Window(period)
    accounts = Accounts("", window, Slot(None), 2)
    row, other = accounts.row(2, NOON), accounts.row(3, NOON)
    for one in (row, other):
        one.add_spent(5, window.number(NOON), window.number(NOON))
    row[STEP], row[LEASED] = 3, 9
    other.add_reserved(1)
    for moment in (NOON, NOON + kept_hours * HOUR):
        with pytest.raises(NoPlace):
            accounts.row(4, moment)
    if given_hours is None:
        return
    later = NOON + given_hours * HOUR
    given = accounts.row(4, later)
    assert (given.index, accounts.key_of(given)) == (row.index, 4)
    assert (given[STEP], given[LEASED], given.spent(window.number(later))) == (0, 0, 0)
    given.add_spent(1, window.number(later), window.number(later))
    for key in (2, 5):
        with pytest.raises(NoPlace):  # what is held or spent keeps its account
            accounts.row(key, later)
    assert accounts.row(3, later).index == other.index


def budget_of(period: str, usd: str = "10", **fields: object) -> Budget:
    budget = Budget(Scope(BudgetLimit(name="b", usd=Decimal(usd), period=period, **fields)))
    budget.accounts = Accounts("", budget.scope.window, Slot(None), budget.scope.rows)
    return budget


def spent_of(row: AccountRow, number: int) -> int:
    return row.spent(number)


@pytest.mark.parametrize(
    ("period", "spent", "reserved", "forecast", "left"),
    [
        # at noon half a day is left: $4 a day more, and at $4 a day the other $6 last a day and a half
        ("day", "4", "0.5", 6.0, inf),
        ("day", "9", "0", 11.0, 21_600.0),
        ("month", "4", "0", 10.0, 129_600.0),  # from the 30th at noon on a day and a half is left
        # $4 leave the 24 hours while $4 come: never
        ("24h", "4", "0", None, inf),
        ("total", "2", "0", None, 172_800.0),
    ],
)
def test_gauges_say_what_is_spent_and_where_it_is_heading(
    period: str, spent: str, reserved: str, forecast: float | None, left: float
) -> None:
    metrics = join(Metrics(())).metrics
    budget = budget_of(period)
    budget.pace = Pace(4e9, 0.0, 28)
    row, is_shared = budget.row(1, NOON)
    assert is_shared
    number = budget.scope.window.number(NOON)
    row.add_spent(int(Decimal(spent).scaleb(9)), number, number)
    row.add_reserved(int(Decimal(reserved).scaleb(9)))
    gauges.show(metrics, [budget], spent_of, NOON)
    shown = {
        (family.name.removeprefix("llm_budget_"), *sample.labels): sample.values[0]
        for family, samples in metrics.collect()
        for sample in samples
        if family.name.startswith("llm_budget_") and sample.labels[0] == "b"
    }
    kind = "rolling" if period == "24h" else period
    assert shown["limit_usd", "b", kind] == 10
    assert shown["spent_usd", "b", kind] == float(spent)
    assert shown["reserved_usd", "b", kind] == float(reserved)
    ahead = [shown.get(("forecast_usd", "b", kind, bound), nan) for bound in ("low", "likely", "high")]
    assert ahead == pytest.approx([nan if forecast is None else forecast] * 3, nan_ok=True)
    until = [shown["left_seconds", "b", kind, bound] for bound in ("likely", "earliest")]
    assert until == pytest.approx([left, left], abs=60)


def test_without_a_call_the_gauges_show_nothing_spent() -> None:
    metrics = join(Metrics(())).metrics
    gauges.show(metrics, [budget_of("day", per=("user",))], spent_of, NOON)
    found = {
        family.name: sample.values[0]
        for family, samples in metrics.collect()
        for sample in samples
        if sample.labels == ("b", "day")
    }
    assert (found["llm_budget_spent_usd"], found["llm_budget_reserved_usd"], found["llm_budget_limit_usd"]) == (
        0,
        0,
        10,
    )


def test_of_a_budget_per_user_the_one_who_spent_most_is_shown_and_all_are_listed() -> None:
    budget = budget_of("day", per=("user",))
    assert budget.accounts is not None
    number = budget.scope.window.number(NOON)
    for key, nano, held in ((5, 10, 4), (6, 30, 0), (7, 20, 9)):
        row = budget.accounts.row(key, NOON)
        row.add_spent(nano, number, number)
        row.add_reserved(held)
    metrics = join(Metrics(())).metrics
    gauges.show(metrics, [budget], spent_of, NOON)
    found = {
        family.name: sample.values[0]
        for family, samples in metrics.collect()
        for sample in samples
        if sample.labels == ("b", "day")
    }
    assert (found["llm_budget_spent_usd"], found["llm_budget_reserved_usd"]) == (30e-9, 0)
    listed = gauges.balances([budget], spent_of, NOON)
    assert sorted(one[3:] for one in listed) == [
        (in_usd(10), in_usd(4)),
        (in_usd(20), in_usd(9)),
        (in_usd(30), in_usd(0)),
    ]
    assert {one[1:3] for one in listed} == {("day", Decimal(10))}


@pytest.mark.parametrize(
    ("spent", "nano", "is_unchecked", "retry"),
    [(9, 1, False, 0.25), (9, 2, False, None), (9, 2, True, 0.25), (10, 0, False, 0.25)],
)
def test_a_refusal_says_when_to_try_again_only_where_that_may_help(
    spent: int, nano: int, is_unchecked: bool, retry: float | None
) -> None:
    budget = budget_of("day", usd="10e-9")
    error = Refusal(budget, 1, spent, 3, nano, 10, is_unchecked).error(NOON)
    assert error.retry_after_seconds == retry
    assert (error.spent_usd, error.reserved_usd, error.needs_usd) == (in_usd(spent), in_usd(3), in_usd(nano))
    assert error.is_unchecked is is_unchecked
    assert in_usd(1_500_000_000) == Decimal("1.5")


def test_a_directory_that_is_not_there_is_made_for_this_user_alone(tmp_path: Path) -> None:
    slot = Slot(tmp_path / "a" / "budgets")
    assert (tmp_path / "a" / "budgets").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in (tmp_path / "a" / "budgets").iterdir()) == ["slot-1.lock"]
    slot.leave()
    slot.leave()
    assert Slot(tmp_path / "a" / "budgets").number == 1
    Slot(None).leave()


def test_a_process_that_finds_no_free_slot_is_told_how_many_there_are(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tachograph.usage.budgets.accounts.SLOTS", 3)
    slots = [Slot(tmp_path) for _ in range(2)]
    assert [slot.number for slot in slots] == [1, 2]
    with pytest.raises(NoPlace, match=f"^2 processes share {tmp_path} already$"):
        Slot(tmp_path)


class FakeLedger:
    """A ledger whose store has one answer, and notes what it is asked."""

    def __init__(self, *rows: object) -> None:
        self.rows = [{"cost_nusd": nano} for nano in rows]
        self.asked: list[Query] = []
        self.opened: list[bool] = []
        self.closed = 0

    def open_store(self, *, read_only: bool = False) -> Any:
        self.opened.append(read_only)
        return self

    def usage(self, query: Query) -> list[dict[str, object]]:
        self.asked.append(query)
        return self.rows

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def looked_ahead(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr(history, "hours_of", lambda store, **asked: seen.append((store, asked)) or {1: 2})
    monkeypatch.setattr(history, "pace_of", lambda hours, now: (hours, now))
    return seen


TO_THE_END = 253_402_300_800_000_000
MIDNIGHT_US = int(datetime(2026, 12, 30, tzinfo=UTC).timestamp()) * 1_000_000
NOON_US = int(NOON) * 1_000_000


@pytest.mark.parametrize(
    ("period", "fields", "begins", "where"),
    [
        ("day", {}, MIDNIGHT_US, {}),
        ("24h", {"model": "gpt-5"}, NOON_US - 24 * 3600 * 1_000_000, {"model": ("gpt-5",)}),
        ("total", {"user": "u"}, 0, {"user_id": ("u",)}),
    ],
)
@pytest.mark.usefixtures("looked_ahead")
def test_the_ledger_is_asked_for_the_window_and_raises_what_is_known(
    tmp_path: Path, period: str, fields: dict[str, Any], begins: int, where: dict[str, Any]
) -> None:
    slot, ledger = Slot(tmp_path), FakeLedger(5, None, "7")
    apart = budget_of("day")
    apart.accounts = None
    budget = budget_of(period, **fields)
    budget.accounts = Accounts("b", budget.scope.window, slot, 1)
    row, number = budget.row(1, NOON)[0], budget.scope.window.number(NOON)
    row.add_spent(3, number, number)
    reading = History(None)
    reading.read([apart, budget], ledger, slot, NOON)
    is_rolling = period == "24h"
    assert ledger.asked == [Query(begins, TO_THE_END, where={"kind": ("llm",), **where}, raw=is_rolling)]
    assert (ledger.opened, ledger.closed) == ([True], 1)
    assert row.spent(number) == 12
    ledger.rows = ledger.rows[:1]  # less than is known
    reading.read([budget], ledger, slot, NOON)
    assert row.spent(number) == 12
    ledger.rows = [{"cost_nusd": 13}]
    with slot.of_the_dead(0) as is_held:  # another process raises it just now
        assert is_held
        reading.read([budget], ledger, slot, NOON)
    assert row.spent(number) == 12
    reading.read([budget], ledger, slot, NOON)
    assert row.spent(number) == 13


@pytest.mark.parametrize("period", ["day", "24h"])
@pytest.mark.usefixtures("looked_ahead")
def test_of_a_fleet_the_ledger_is_read_up_to_when_hosts_have_told_what_they_spent(period: str) -> None:
    ledger, raised = FakeLedger(5, 7), []
    fleet: Any = SimpleNamespace(lag_seconds=10.0, raise_base=lambda *given: raised.append(given))
    budget = budget_of(period)
    History(fleet).read([budget], ledger, Slot(None), NOON)
    begins = MIDNIGHT_US if period == "day" else NOON_US - 24 * 3600 * 1_000_000
    assert ledger.asked == [Query(begins, NOON_US - 10_000_000, where={"kind": ("llm",)}, raw=True)]
    row, number = budget.row(1, NOON)[0], budget.scope.window.number(NOON)
    ((scope, told, nano, now),) = raised
    assert (scope, told.index, nano, now) == (budget.scope, row.index, 12, NOON)
    assert row.spent(number) == 0


@pytest.mark.usefixtures("looked_ahead")
def test_of_a_budget_per_user_the_accounts_are_read_that_this_process_has_met() -> None:
    ledger, budget = FakeLedger(5), budget_of("day", per=("user",))
    assert budget.accounts is not None
    budget.scope.values |= {6: ("a",), 7: ("b",), 8: ("c",)}
    for key in (9, 7, 6):  # 8 has no account here, and whose 9 is, is not known
        budget.accounts.row(key, NOON)
    History(None).read([budget], ledger, Slot(None), NOON)
    wanted = {"kind": ("llm",)}
    assert ledger.asked == [
        Query(MIDNIGHT_US, TO_THE_END, where={**wanted, "user_id": (user,)}, raw=False) for user in "ab"
    ]
    number = budget.scope.window.number(NOON)
    assert {key: row.spent(number) for key, row in budget.accounts.known().items()} == {9: 0, 7: 5, 6: 5}


def test_the_pace_is_read_every_five_minutes_and_after_a_clock_was_set_back(looked_ahead: list[Any]) -> None:
    ledger, reading = FakeLedger(), History(None)
    budget, per = budget_of("day", model="gpt-5"), budget_of("day", per=("user",))
    read_at = []
    for seconds in (0, 299.9, 300, 599, 600, 700, 599):
        before = len(looked_ahead)
        reading.read([per, budget], ledger, Slot(None), NOON + seconds)
        read_at += [seconds] * (len(looked_ahead) - before)
    assert read_at == [0, 300, 600, 599]
    moment = datetime.fromtimestamp(NOON + 599, UTC)
    assert looked_ahead[-1] == (ledger, {"now": moment, "where": {"kind": ("llm",), "model": ("gpt-5",)}})
    assert (budget.pace, per.pace) == (({1: 2}, moment), None)


@pytest.mark.usefixtures("looked_ahead")
def test_a_store_that_does_not_answer_is_closed() -> None:
    ledger = FakeLedger("no number")
    with pytest.raises(ValueError, match="no number"):
        History(None).read([budget_of("day")], ledger, Slot(None), NOON)
    assert ledger.closed == 1


def test_the_file_of_accounts_is_laid_out_alike_in_every_version(tmp_path: Path) -> None:
    """Processes of two versions may share it: words of 8 bytes, rows behind two pages, 128 slots."""
    window = Window("24h")
    number = window.number(NOON)
    first, second = Slot(tmp_path), Slot(tmp_path)
    one, two = (Accounts("b", window, slot, 4).row(6, NOON) for slot in (first, second))
    one.add_spent(5, number, number)
    one.add_spent(7, number - 24, number)
    two.add_spent(11, number - 1, number)
    one.add_reserved(13)
    two.add_reserved(17)
    one[STEP] = 19
    second.leave()
    assert (one.spent(number), one.reserved()) == (23, 30)
    one.settle_slot(2, number)
    words = memoryview((tmp_path / "b.accounts").read_bytes()).cast("q")
    row_words = 8 * 512  # 8 and 128 times 3 and 25 buckets, in whole pages
    assert len(words) == 1024 + 4 * row_words
    index, row = 512, 1024 + 2 * row_words
    heads, spent, reserved, buckets = row + 8, row + 8 + 128, row + 8 + 256, row + 8 + 384
    found = {place: words[place] for place in range(len(words)) if words[place]}
    assert found == {
        0: 0x7AC40B01,
        1: 3,
        index + 2: 6,
        row: number,
        row + 1: 19,
        heads + 1: number,
        heads + 2: number,
        spent + 1: 12,
        spent + 2: 28,
        reserved + 1: 13,
        buckets + 25 + number % 25: 5,
        buckets + 25 + (number - 24) % 25: 7,
        buckets + 50 + (number - 1) % 25: 11,
        buckets + 50 + number % 25: 17,
    }


def test_a_row_s_blocks_are_given_when_it_is(tmp_path: Path) -> None:
    accounts = Accounts("b", Window("day"), Slot(tmp_path), 1000)
    path = tmp_path / "b.accounts"
    before = path.stat()
    accounts.row(1, NOON)
    row_bytes = 2 * 4096  # 8 words and 128 times 4, in whole pages
    assert path.stat().st_size == before.st_size == 4096 + 8192 + 1000 * row_bytes
    assert path.stat().st_blocks * 512 == before.st_blocks * 512 + row_bytes


def test_the_files_of_a_daemon_that_closed_them_give_out_no_account(tmp_path: Path) -> None:
    accounts = Accounts("b", Window("day"), Slot(tmp_path), 4)
    assert accounts._fd is not None
    os.close(accounts._fd)
    with pytest.raises(OSError, match="another part of the process has closed the files of the budgets") as caught:
        accounts.row(1, NOON)
    assert caught.value.errno == errno.EBADF
    with accounts.alone() as is_alone:
        assert not is_alone
    alone = Accounts("", Window("day"), Slot(None), 1)
    with alone.alone() as is_alone:
        assert is_alone


def test_a_row_that_no_window_counts_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for period, hours in (("day", 24), ("24h", 51), ("hour", 3), ("week", 168)):
        accounts = Accounts("", Window(period), Slot(None), 1)
        row, begin = accounts.row(1, NOON), Window(period).bounds(NOON)[0].timestamp()
        if period == "24h":
            begin = NOON
        row.add_spent(1, row.window.number(NOON), row.window.number(NOON))
        assert [row.is_over(begin + hours * HOUR + more) for more in (-1, 0)] == [False, True]
        row.add_reserved(1)
        assert not row.is_over(begin + hours * HOUR)
