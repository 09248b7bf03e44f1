"""Budgets of a fleet: hosts lease money from PostgreSQL, and together never spend more than the limit."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.ledgers import metric
from support.postgres import PostgresServer
from tachograph.errors import BudgetExceededError
from tachograph.recorder import Recorder
from tachograph.usage.budgets import fleet
from tachograph.usage.budgets.accounts import FLEET_SPENT, LEASED, WANTED, AccountRow
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
