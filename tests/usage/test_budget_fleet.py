"""Budgets of a fleet: hosts lease money from PostgreSQL, and together never spend more than the limit."""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.ledgers import metric
from support.postgres import PostgresServer
from tachograph.errors import BudgetExceededError
from tachograph.recorder import Recorder
from tachograph.settings.budgets import BudgetLimit
from tachograph.settings.ledger import LedgerSettings
from tachograph.usage.budgets import fleet
from tachograph.usage.budgets.accounts import (
    FLEET_SPENT,
    LEASE_NUMBER,
    LEASED,
    NUMBER,
    SYNCED,
    WANTED,
    AccountRow,
    Accounts,
    Slot,
)
from tachograph.usage.budgets.scope import Scope
from tachograph.usage.ledger_paths import LedgerPaths
from tachograph.usage.stores import postgres_connection
from usage.test_budget_reservations import balances, begin, end, guard, recorder_with

SMALL = {"messages": "x" * 300, "max_tokens": 1000}
"""About $0.0101 of gpt-5."""


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url()


def host(directory: Path, url: str, usd: str = "1", period: str = "day", **budgets: Any) -> Recorder:
    recorder = recorder_with(directory, {"name": "fleet", "usd": usd, "period": period}, fleet_url=url, **budgets)
    guard(recorder)._thread = object()  # type: ignore[assignment]  # its work is done here, step by step
    sync(recorder)
    return recorder


def sync(recorder: Recorder) -> None:
    budgets = guard(recorder)
    assert budgets._fleet is not None
    budgets._fleet.sync([(b.scope, b.row(1, time.time())[0]) for b in budgets._budgets], time.time() + 2)


def tried(recorder: Recorder, usd: str | None) -> bool:
    """One call, asking again once the host has had a chance to lease."""
    for _ in range(3):
        try:
            end(begin(recorder, SMALL), usd)
        except BudgetExceededError as error:
            if error.retry_after_seconds is None:
                return False
            sync(recorder)
            continue
        return True
    return False


@pytest.mark.parametrize("period", ["day", "24h", "total"])
def test_hosts_share_one_budget_to_the_last_call(tmp_path: Path, url: str, period: str) -> None:
    hosts = [host(tmp_path / name, url, period=period) for name in "abc"]
    made, failures = 0, 0
    while failures < 20:
        for one in hosts:
            if tried(one, "0.0101"):
                made, failures = made + 1, 0
            else:
                failures += 1
                for each in hosts:
                    sync(each)
    assert 97 <= made <= 99  # of $1 at $0.0101
    assert sum(balances(one)["fleet"][0] > 0 for one in hosts) == 3
    for one in hosts:
        sync(one)
    assert metric(hosts[0], "llm_budget_spent_usd", "fleet", "rolling" if period == "24h" else period) == pytest.approx(
        made * 0.0101
    )


def test_a_dead_host_s_lease_stays_spent_and_its_file_carries_on(tmp_path: Path, url: str) -> None:
    first = host(tmp_path / "a", url)
    assert tried(first, "0.01")
    with psycopg.connect(url) as connection:
        leased = connection.execute("SELECT leased FROM tachograph_budget_account").fetchone()
    assert leased is not None
    assert leased[0] > 100_000_000  # it leased ahead
    second = host(tmp_path / "b", url)
    made = sum(tried(second, "0.0101") for _ in range(120))
    assert made * 0.0101 <= 1 - leased[0] / 1e9  # the first host's lease is not given out again
    del first
    again = host(tmp_path / "a", url)
    assert balances(again)["fleet"][0] >= Decimal("0.01")
    assert tried(again, "0.01")


def test_while_the_store_is_away_calls_are_allowed_or_refused_as_set(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allows = host(tmp_path / "a", url)
    refuses = host(tmp_path / "b", url, when_store_is_away="refuse")
    assert tried(allows, "0.01")
    assert tried(refuses, "0.01")
    monkeypatch.setattr(fleet, "LEASE_SECONDS", -1.0)  # no answer has come for too long
    end(begin(allows, SMALL), "0.01")
    assert metric(allows, "llm_budget_unchecked_total", "fleet") == 1
    with pytest.raises(BudgetExceededError, match="cannot be checked now") as caught:
        begin(refuses, SMALL)
    assert caught.value.is_unchecked


def test_what_the_ledger_knows_beyond_the_hosts_is_spent_too(tmp_path: Path, url: str) -> None:
    one = host(tmp_path / "a", url)
    budgets = guard(one)
    budget = budgets._budgets[0]
    row, _ = budget.row(1, time.time())
    assert budgets._fleet is not None
    for _ in range(2):  # reading it again adds nothing
        budgets._fleet.raise_base(budget.scope, row, 980_000_000, time.time())
        sync(one)
    assert metric(one, "llm_budget_spent_usd", "fleet", "day") == pytest.approx(0.98)
    assert [tried(one, "0.0101") for _ in range(3)] == [True, False, False]


def account(recorder: Recorder) -> AccountRow:
    return guard(recorder)._budgets[0].row(1, time.time())[0]


def spend(recorder: Recorder, nano: int) -> None:
    window = account(recorder).window
    account(recorder).add_spent(nano, window.number(time.time()), window.number(time.time()))


def test_a_host_whose_lease_is_used_up_while_the_store_is_away_calls_on_or_not_as_set(tmp_path: Path, url: str) -> None:
    allows = host(tmp_path / "a", url)
    refuses = host(tmp_path / "b", url, when_store_is_away="refuse")
    for one in (allows, refuses):
        spend(one, account(one)[LEASED] - 5_000_000)
        with pytest.raises(BudgetExceededError) as caught:
            begin(one, SMALL)
        assert (caught.value.is_unchecked, caught.value.retry_after_seconds) == (False, 0.25)  # a lease is on its way
        leases = guard(one)._fleet
        assert leases is not None
        leases._disconnect()
        leases._url = f"postgresql:///none?host={tmp_path}"
        with pytest.raises(psycopg.OperationalError):
            sync(one)
    end(begin(allows, SMALL), "0.01")
    assert metric(allows, "llm_budget_unchecked_total", "fleet") == 1
    with pytest.raises(BudgetExceededError, match="cannot be checked now"):
        begin(refuses, SMALL)
    account(allows)[FLEET_SPENT] = 995_000_000  # a budget that is known to be spent stays so
    with pytest.raises(BudgetExceededError) as caught:
        begin(allows, SMALL)
    assert caught.value.spent_usd == Decimal("0.995")


@pytest.mark.parametrize("period", ["day", "24h"])
def test_a_host_leases_what_it_holds_asks_for_and_an_eighth_of_what_is_free(
    tmp_path: Path, url: str, period: str
) -> None:
    one = host(tmp_path / "a", url, period=period)
    assert account(one)[LEASED] == 125_000_000  # an eighth of the limit
    leases = guard(one)._fleet
    assert leases is not None
    for nano in (300_000_000, 200_000_000):
        leases.want(account(one), nano)
    sync(one)
    assert (account(one)[LEASED], account(one)[WANTED]) == (300_000_000, 270_000_000)
    other = host(tmp_path / "b", url, period=period)
    assert account(other)[LEASED] == 700_000_000 // 8
    spend(one, 250_000_000)
    spend(other, 1_000_000)
    sync(other)  # what one has spent is not known yet
    assert account(other)[FLEET_SPENT] == 1_000_000
    sync(one)
    assert (account(one)[LEASED], account(one)[FLEET_SPENT]) == (520_000_000, 251_000_000)
    account(one)[WANTED] = 0
    sync(one)  # it gives back what no call asks for
    free = 1_000_000_000 - account(other)[LEASED] - 250_000_000
    assert account(one)[LEASED] == 250_000_000 + free // 8
    sync(other)
    assert (account(one)[WANTED], account(other)[FLEET_SPENT]) == (0, 251_000_000)
    now, number = time.time(), account(one).window.number(time.time())
    assert leases.spent(account(one), number) == 251_000_000
    assert leases.spent(account(one), number + 48) == (251_000_000 if period == "24h" else 0)
    assert leases.allowance(account(one), number, now + 25) == account(one)[LEASED]
    assert leases.allowance(account(one), number, now + 31) is None
    assert (leases.allowance(account(one), number + 48, now) is None) is (period == "day")
    spend(one, 800_000_000)  # more than it leased: nothing is left to give
    sync(one)
    sync(other)
    assert account(other)[LEASED] <= 1_000_000_000
    assert account(other)[FLEET_SPENT] == 1_051_000_000


NOON = datetime(2026, 12, 30, 12, tzinfo=UTC).timestamp()
MILLION = 1_000_000


class Host:
    """One host's leases and its account of a budget of $1, without a recorder."""

    def __init__(self, directory: Path, url: str, period: str = "day") -> None:
        place = LedgerPaths(LedgerSettings(data_dir=str(directory)))
        place.make()
        self.name = place.host()
        self.scope = Scope(BudgetLimit(name="b", usd=Decimal(1), period=period))
        self.fleet = fleet.Fleet(url, place, timeout_seconds=7.5)
        accounts = Accounts("b", self.scope.window, Slot(directory / "budgets"), 1)
        self.row = accounts.row(1, NOON)
        self.number = self.scope.window.number(NOON)

    def spend(self, nano: int) -> None:
        self.row.add_spent(nano, self.number, self.number)

    def sync(self, now: float = NOON + 2) -> None:
        self.fleet.sync([(self.scope, self.row)], now)

    def words(self) -> tuple[int, int, int]:
        return self.row[LEASED], self.row[WANTED], self.row[FLEET_SPENT]


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet.time, "time", lambda: NOON)


def table(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


LEASES = "SELECT host, granted, spent FROM tachograph_budget_lease ORDER BY host"
ACCOUNTS = "SELECT key, begins, leased, base FROM tachograph_budget_account"


@pytest.mark.parametrize("period", ["day", "24h", "total"])
@pytest.mark.usefixtures("at_noon")
def test_leases_are_those_of_a_plain_calculation_whatever_hosts_spend_hold_and_ask_for(
    tmp_path: Path, url: str, period: str
) -> None:
    hosts = [Host(tmp_path / name, url, period) for name in "abc"]
    draw, limit = random.Random(11), 1_000_000_000
    granted, told, wanted, spent, held = (Counter[str]() for _ in range(5))
    for turn in range(60):
        one = hosts[turn % 3]
        name = one.name
        spent[name] += (more := draw.randrange(9 * MILLION))
        one.spend(more)
        if turn % 4 == 0:
            held[name] += (more := draw.choice((20, 5, -5)) * MILLION if held[name] else 7 * MILLION)
            one.row.add_reserved(more)
        if turn % 5 == 0:
            ask = draw.randrange(400) * MILLION
            one.fleet.want(one.row, ask)
            wanted[name] = max(wanted[name], ask)
        one.sync()
        left = limit - granted.total()
        needed = spent[name] + held[name]
        idle = max(0, left) + max(0, granted[name] - needed)
        ahead = max(wanted[name], min(idle // 8, limit // 8))
        granted[name] += min(needed + ahead - granted[name], max(0, left))
        told[name] = spent[name]
        wanted[name] = int(wanted[name] * 0.9)
        assert one.words() == (granted[name], wanted[name], told.total())
        assert (one.row[SYNCED], one.row[LEASE_NUMBER]) == (NOON * 1000, 1 if period == "24h" else one.number)
    assert table(url, LEASES) == sorted((one.name, granted[one.name], told[one.name]) for one in hosts)
    begins = 0 if period == "24h" else hosts[0].number
    key = f"{hosts[0].scope.file_name()}-1"
    assert table(url, ACCOUNTS) == [(key, begins, granted.total(), 0)]
    assert granted.total() <= limit


@pytest.mark.usefixtures("at_noon")
def test_where_another_host_is_faster_a_host_leases_what_is_left(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = Host(tmp_path / "a", url), Host(tmp_path / "b", url)
    run, others = slow.fleet._run, [500 * MILLION, 650 * MILLION, 900 * MILLION]

    def overtaken(statement: str, parameters: object) -> list[Any]:
        if statement == fleet._LEASE and others:
            fast.fleet.want(fast.row, others.pop(0))
            fast.sync()
        return run(statement, parameters)

    monkeypatch.setattr(slow.fleet, "_run", overtaken)
    slow.fleet.want(slow.row, 600 * MILLION)
    slow.sync()  # 1,000, 500 left and then 350 left were free when it looked: two tries
    assert (slow.row[LEASED], fast.row[LEASED]) == (0, 650 * MILLION)
    assert table(url, LEASES) == [(fast.name, 650 * MILLION, 0)]
    others.clear()
    slow.fleet.want(slow.row, 600 * MILLION)
    slow.sync()
    assert slow.row[LEASED] == 350 * MILLION
    slow.row[WANTED] = 0
    others.append(0)  # while it gives back
    slow.sync()
    assert slow.row[LEASED] == 350 * MILLION // 8


@pytest.mark.usefixtures("at_noon")
def test_a_call_that_begins_while_a_host_gives_back_keeps_what_it_holds(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Host(tmp_path, url)
    one.fleet.want(one.row, 500 * MILLION)
    one.sync()
    one.row[WANTED] = 0
    one.spend(10 * MILLION)
    write = AccountRow.__setitem__

    def written(row: AccountRow, word: int, value: int) -> None:
        begins = word == LEASED and value < row[LEASED] and not row.reserved()
        write(row, word, value)
        if begins:
            row.add_reserved(300 * MILLION)

    monkeypatch.setattr(AccountRow, "__setitem__", written)
    one.sync()
    assert one.row[LEASED] == 310 * MILLION
    assert table(url, LEASES) == [(one.name, 310 * MILLION, 10 * MILLION)]


@pytest.mark.parametrize(
    ("words", "spent", "held", "is_due"),
    [
        # a lease of this period that was read a moment ago
        ({}, 0, 0, False),
        ({SYNCED: -999}, 0, 0, False),
        ({SYNCED: -1000}, 0, 0, True),  # a second ago
        ({WANTED: 1}, 0, 0, True),
        ({LEASED: 10, WANTED: 10}, 0, 0, False),
        ({LEASED: 10, WANTED: 5}, 3, 2, False),
        ({LEASED: 10, WANTED: 5}, 3, 3, True),
        ({LEASED: 10, WANTED: 5}, 4, 2, True),
        # a lease of the period before
        ({LEASE_NUMBER: -24}, 0, 0, False),
        ({LEASE_NUMBER: -24, NUMBER: -1}, 0, 0, True),
        ({LEASE_NUMBER: -24, NUMBER: 0}, 0, 0, True),
        ({LEASE_NUMBER: -24, NUMBER: -2}, 0, 0, False),
        ({LEASE_NUMBER: -24, NUMBER: -2}, 0, 1, True),
        ({LEASE_NUMBER: -24, NUMBER: -2, SYNCED: None}, 0, 0, True),
    ],
)  # fmt: skip
def test_a_lease_is_read_again_when_calls_need_it(
    tmp_path: Path, words: dict[int, int | None], spent: int, held: int, is_due: bool
) -> None:
    one = Host(tmp_path, "postgresql:///none")
    one.spend(spent)
    one.row.add_reserved(held)
    begins = {SYNCED: int(NOON * 1000), LEASE_NUMBER: one.number, NUMBER: one.number if spent else 0}
    for word, start in begins.items():
        one.row[word] = start
    for word, value in words.items():
        from_zero = {NUMBER: one.number}.get(word, begins.get(word, 0))
        one.row[word] = 0 if value is None else from_zero + value
    if not spent and NUMBER not in words:
        one.row[NUMBER] = one.number - 2
    assert one.fleet._is_due(one.scope, one.row, NOON) is is_due


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_one_process_of_a_host_reads_and_after_a_failure_only_a_second_later(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [NOON]
    monkeypatch.setattr(fleet.time, "time", lambda: now[0])
    one = Host(tmp_path, url)
    with (tmp_path / "budgets" / "fleet.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        before = descriptors()
        one.sync(NOON)
        assert (one.row[SYNCED], descriptors()) == (0, before)
        fcntl.flock(other, fcntl.LOCK_UN)
        one.sync(NOON)
        assert one.row[SYNCED] == NOON * 1000
        assert descriptors() == before + 1  # the connection
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not one.fleet.is_away(one.row)
    connection = one.fleet._connection
    monkeypatch.setattr(fleet, "_READ", "SELECT nothing")
    now[0] = NOON + 10
    with pytest.raises(psycopg.Error):
        one.sync(now[0])
    assert (connection.closed, one.fleet._connection) == (True, None)
    assert one.fleet.is_away(one.row)
    one.sync(NOON + 10.9)
    monkeypatch.undo()
    monkeypatch.setattr(fleet.time, "time", lambda: NOON + 11)
    one.sync(NOON + 11)
    assert one.row[SYNCED] == (NOON + 11) * 1000
    assert not one.fleet.is_away(one.row)
    one.row[SYNCED] = int((NOON + 10) * 1000)
    assert not one.fleet.is_away(one.row)  # at the moment of the failure another process read it
    one.row[SYNCED] -= 1
    assert one.fleet.is_away(one.row)


@pytest.mark.usefixtures("at_noon")
def test_what_may_be_spent_is_known_for_thirty_seconds_of_the_lease_s_period(tmp_path: Path) -> None:
    one = Host(tmp_path, "postgresql:///none")
    one.row[LEASED], one.row[LEASE_NUMBER], one.row[SYNCED], one.row[FLEET_SPENT] = 5, one.number, int(NOON * 1000), 9
    asked = [(one.number, NOON), (one.number, NOON + 30), (one.number, NOON + 30.01), (one.number + 24, NOON)]
    assert [one.fleet.allowance(one.row, *each) for each in asked] == [5, 5, None, None]
    assert [one.fleet.spent(one.row, number) for number in (one.number, one.number + 24)] == [9, 0]
    for nano, wanted in ((3, 3), (2, 3), (3, 3), (4, 4)):
        one.fleet.want(one.row, nano)
        assert one.row[WANTED] == wanted


@pytest.mark.parametrize(
    ("nano", "silent_seconds", "base"),
    [(50, 0, 40), (50, 4, 40), (10, 0, 0), (11, 0, 1), (50, 6, 0), (125, 6, 0), (126, 6, 1), (225, 6, 100)],
)
@pytest.mark.usefixtures("at_noon")
def test_the_ledger_raises_what_hosts_told_or_the_whole_lease_of_a_silent_one(
    tmp_path: Path, url: str, nano: int, silent_seconds: int, base: int
) -> None:
    one = Host(tmp_path, url)
    one.spend(10 * MILLION)
    one.sync()
    one.spend(1)
    with psycopg.connect(url) as connection:
        connection.execute(
            f"UPDATE tachograph_budget_lease SET granted = {125 * MILLION}, heard_at = now() - interval"
            f" '{silent_seconds} s'"
        )
        connection.execute(f"UPDATE tachograph_budget_account SET leased = {125 * MILLION}")
    one.fleet.raise_base(one.scope, one.row, nano * MILLION, NOON)
    key = f"{one.scope.file_name()}-1"
    assert table(url, ACCOUNTS) == [(key, one.number, (125 + base) * MILLION, base * MILLION)]
    one.fleet.raise_base(one.scope, one.row, nano * MILLION, NOON)
    assert table(url, ACCOUNTS) == [(key, one.number, (125 + base) * MILLION, base * MILLION)]


@pytest.mark.usefixtures("at_noon")
def test_the_ledger_makes_the_account_of_a_budget_that_no_host_has_asked_for(tmp_path: Path, url: str) -> None:
    one, rolling = Host(tmp_path / "a", url), Host(tmp_path / "b", url, "24h")
    one.fleet.raise_base(one.scope, one.row, 7, NOON)
    rolling.fleet.raise_base(rolling.scope, rolling.row, 7, NOON)  # nothing would take it out again
    assert table(url, ACCOUNTS) == [(f"{one.scope.file_name()}-1", one.number, 7, 7)]


@pytest.mark.usefixtures("at_noon")
def test_the_lease_of_a_host_that_died_is_given_out_again_when_a_rolling_window_has_passed(
    tmp_path: Path, url: str
) -> None:
    hosts = [Host(tmp_path / name, url, "24h") for name in "abc"]
    for one in hosts:
        one.fleet.want(one.row, 200 * MILLION)
        one.sync()
    with psycopg.connect(url) as connection:
        for one, hours in zip(hosts, (25.1, 24.9), strict=False):
            connection.execute(
                f"UPDATE tachograph_budget_lease SET heard_at = now() - interval '{hours} h' WHERE host = %s",
                (one.name,),
            )
    hosts[2].sync()
    assert {host for host, _, _ in table(url, LEASES)} == {one.name for one in hosts[1:]}
    assert table(url, ACCOUNTS) == [(f"{hosts[0].scope.file_name()}-1", 0, 380 * MILLION, 0)]


@pytest.mark.usefixtures("at_noon")
def test_tables_are_made_once_under_a_lock_and_each_transaction_has_its_time_limit(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    run = fleet.Fleet._in_transaction

    def noted(name: str) -> Any:
        call = getattr(postgres_connection, name)
        return lambda *given, **named: (said.append((name, given, named)), call(*given, **named))[1]

    for name in ("connect", "limits"):
        monkeypatch.setattr(postgres_connection, name, noted(name))
    monkeypatch.setattr(fleet.Fleet, "_in_transaction", lambda *given: (said.append(given[1]), run(*given))[1])
    limits = ("limits", (7.5,), {})
    connected: list[Any] = [("connect", (url,), {"timeout_seconds": 7.5}), fleet._TABLES_EXIST, limits]
    made: list[Any] = [f"SELECT pg_advisory_xact_lock({postgres_connection.LOCK}); {'; '.join(fleet._TABLES)}", limits]
    steps = (fleet._READ, fleet._MAKE, fleet._READ, fleet._LEASE)
    synced = [each for step in steps for each in (step, limits)]
    for name, period, expected in (("a", "day", connected + made + synced), ("b", "hour", connected + synced)):
        Host(tmp_path / name, url, period).sync()
        assert said == expected
        said.clear()


def test_a_forked_child_leaves_the_parent_s_connection_open(tmp_path: Path, url: str) -> None:
    one = Host(tmp_path, url)
    one.fleet._run("SELECT 1", None)
    connection, mutex = one.fleet._connection, one.fleet._mutex
    with mutex:
        one.fleet.after_fork_in_child()
        assert fleet._leaked[-1] is connection
        assert one.fleet._run("SELECT 2", None) == [(2,)]
    assert not connection.closed
    assert one.fleet._connection is not connection
    fleet._leaked.remove(connection)
    connection.close()
    one.fleet._disconnect()
    one.fleet._disconnect()
