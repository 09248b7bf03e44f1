"""What a budget decides about a call, to the cent: where it begins to refuse, what it holds, and what it says."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
import weakref
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tachograph
from support.ledgers import metric
from tachograph.errors import BudgetExceededError, SettingsError
from tachograph.recorder import Recorder
from tachograph.records import Cost, LLMCall, Usage
from tachograph.records.reservation import Asked, BudgetStep, Reservation
from tachograph.testing import recording
from tachograph.usage.budgets import guard as guarding
from tachograph.usage.budgets.accounts import AccountRow, Accounts, Slot
from tachograph.usage.budgets.guard import _SWEEP_SECONDS
from usage.test_budget_reservations import balances, begin, end, guard, recorder_with

ASKS = {"messages": [{"role": "user", "content": "x" * 300}], "max_tokens": 1000}
"""Of gpt-5: 100 prompt tokens (and a margin) at $1.25, 1,000 completion tokens at $10 for a million."""
asked: list[tachograph.BudgetRequest] = []


def other_model(request: tachograph.BudgetRequest) -> bool | str:
    asked.append(request)
    return request.labels.get("answer", "") or True


def holds(directory: Path) -> Decimal:
    """What a call of ASKS holds."""
    recorder = recorder_with(directory, {"name": "b", "usd": "1"})
    call = begin(recorder, ASKS)
    held = balances(recorder)["b"][1]
    end(call, None)
    return held


def test_a_call_fits_that_uses_the_limit_up_exactly(tmp_path: Path) -> None:
    needed = holds(tmp_path / "first")
    assert Decimal("0.0101") <= needed < Decimal("0.011")
    recorder = recorder_with(tmp_path, {"name": "b", "usd": str(2 * needed)})
    first, second = begin(recorder, ASKS), begin(recorder, ASKS)
    with pytest.raises(BudgetExceededError) as caught:
        begin(recorder, ASKS)
    error = caught.value
    assert (error.spent_usd, error.reserved_usd, error.needs_usd) == (0, 2 * needed, needed)
    assert error.retry_after_seconds == 0.25  # what others hold may come back
    end(first, str(needed))
    assert balances(recorder)["b"] == (needed, needed)
    end(second, str(needed))
    assert balances(recorder)["b"] == (2 * needed, 0)
    with pytest.raises(BudgetExceededError) as caught:
        begin(recorder, ASKS)
    assert caught.value.retry_after_seconds is None
    assert metric(recorder, "llm_budget_actions_total", "b", "refused") == 2


@pytest.mark.parametrize(("usd", "fits"), [("0", False), ("0.000000001", False), ("5", True)])
def test_a_limit_of_zero_is_one_and_refuses_all(tmp_path: Path, usd: str, fits: bool) -> None:
    recorder = recorder_with(tmp_path, {"name": "b", "usd": usd})
    if fits:
        begin(recorder, ASKS)
    else:
        with pytest.raises(BudgetExceededError):
            begin(recorder, ASKS)


def test_steps_are_shown_as_percent_from_zero_on(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "b", "usd": "1", "steps": [0.25, 0.5, 1]})
    shown = {
        sample.labels: sample.values[0]
        for family, samples in recorder.metrics.collect()
        for sample in samples
        if family.name == "llm_budget_steps_total"
    }
    assert shown == {("b", "25"): 0, ("b", "50"): 0, ("b", "100"): 0}
    end(begin(recorder, ASKS), "0.5")
    assert [metric(recorder, "llm_budget_steps_total", "b", step) for step in ("25", "50", "100")] == [1, 1, 0]


def test_a_function_that_is_asked_hears_every_sum(tmp_path: Path) -> None:
    asked.clear()
    limit = {"name": "ask", "usd": "0.03", "action": "ask"}
    recorder = recorder_with(tmp_path, limit, ask=f"{__name__}:other_model")
    end(begin(recorder, ASKS), "0.012")
    held = begin(recorder, ASKS)
    begin(recorder, ASKS, team="a")
    (request,) = asked
    assert held.reservation is not None
    nano = Decimal(held.reservation.nano_usd).scaleb(-9)
    assert (request.spent_usd, request.reserved_usd, request.needs_usd) == (Decimal("0.012"), nano, nano)
    assert (request.provider, request.model, request.labels, request.budget) == (
        "openai",
        "gpt-5",
        {"team": "a"},
        "ask",
    )
    assert begin(recorder, ASKS, answer="gpt-5-nano").model == "gpt-5-nano"
    assert metric(recorder, "llm_budget_actions_total", "ask", "ask_allowed") == 2


def test_a_call_that_is_given_another_model_is_paid_by_that_model_s_budgets(tmp_path: Path) -> None:
    recorder = recorder_with(
        tmp_path,
        {"name": "all", "usd": "0.02", "use_model": "gpt-5-nano", "use_model_from": 0.75, "provider": "openai"},
        {"name": "large", "usd": "1", "model": "gpt-5"},
        {"name": "small", "usd": "1", "model": "gpt-5-nano"},
    )
    first, second = begin(recorder, ASKS), begin(recorder, ASKS)
    assert [first.model, second.model] == ["gpt-5", "gpt-5-nano"]
    held = balances(recorder)
    large, small = held["large"][1], held["small"][1]
    assert small == pytest.approx(large / 25, rel=Decimal("0.01"))  # $0.05 and $0.40 for a million
    assert held["all"][1] == large + small
    assert metric(recorder, "llm_budget_actions_total", "all", "model_replaced") == 1


def events(budgets: dict[str, Any], directory: Path, calls: int) -> list[dict[str, Any]]:
    """The events of budgets on the run's span."""
    settings = {"guard": "all", "refresh_seconds": 3600, **budgets}
    with recording(budgets=settings, ledger={"enabled": True, "data_dir": str(directory)}) as seen:
        with tachograph.run("planner"):
            for _ in range(calls):
                try:
                    end(begin(seen.recorder, ASKS), "0.008")
                except BudgetExceededError:
                    continue
        return [
            dict(event.attributes or {})
            for span in seen.spans
            for event in span.events
            if event.name == "tachograph.budget.action"
        ]


@pytest.mark.parametrize(
    ("more", "action"),
    [({}, "refused"), ({"action": "warn"}, "warned"), ({"action": "ask"}, "asked")],
)
def test_the_span_of_the_run_says_what_was_done_and_with_which_sums(
    tmp_path: Path, more: dict[str, str], action: str
) -> None:
    limits = [{"name": "b", "usd": "0.015", **more}]
    (facts,) = events({"limits": limits, "ask": f"{__name__}:other_model"}, tmp_path, 2)
    needs = facts.pop("needs_usd")
    assert facts == {"budget": "b", "action": action, "model": "gpt-5", "spent_usd": 0.008}
    assert 0.0101 <= needs < 0.011


def test_the_span_says_that_another_model_was_taken(tmp_path: Path) -> None:
    limits = [{"name": "b", "usd": "0.02", "provider": "openai", "use_model": "gpt-5-nano", "use_model_from": 0.75}]
    found = events({"limits": limits}, tmp_path, 2)
    assert found == [{"budget": "b", "action": "model_replaced", "model": "gpt-5"}]


def test_each_user_has_a_sum_and_the_ledger_is_read_when_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = recorder_with(tmp_path, {"name": "b", "usd": "1", "per": ["label:team"]}, refresh_seconds=100)
    guard(recorder)._thread = object()  # type: ignore[assignment]  # its work is done here, step by step
    for team, usd in (("a", "0.1"), ("b", "0.2"), ("a", "0.3")):
        end(begin(recorder, ASKS, team=team), usd)
    assert sorted(spent for spent, _ in balances(recorder).values()) == [Decimal("0.2"), Decimal("0.4")]
    budgets = guard(recorder)
    read: list[float] = []
    monkeypatch.setattr(budgets._history, "read", lambda *given: read.append(given[-1]))
    now = time.time()
    for moment in (now, now + 99, now + 100, now + 150, now + 50):  # the last: a clock that was set back
        monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda moment=moment: moment)
        budgets.tick()
    assert read == [now, now + 100, now + 50]
    swept: list[float] = []
    monkeypatch.setattr(budgets, "sweep", lambda: swept.append(time.time()))
    budgets._swept_at, later = now, now + _SWEEP_SECONDS
    for moment in (later - 1, later, later + 1, later + _SWEEP_SECONDS, now - 9):
        monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda moment=moment: moment)
        budgets.tick()
    assert swept == [later, later + _SWEEP_SECONDS, now - 9]


def test_steps_of_a_rolling_time_are_told_again_once_its_money_has_left(tmp_path: Path, monkeypatch: Any) -> None:
    recorder = recorder_with(tmp_path, {"name": "b", "usd": "1", "period": "24h", "steps": [0.5]})
    begun, now_ns = time.time(), time.time_ns()
    for hours, usd in ((0, "0.4"), (1, "0.2"), (2, "0.1"), (27, "0.1"), (28, "0.6")):
        later = hours * 3600
        monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda later=later: begun + later)
        monkeypatch.setattr("tachograph.recorder.time_ns", lambda later=later: now_ns + later * 10**9)
        end(begin(recorder, ASKS), usd)
        recorder.settle()
    assert metric(recorder, "llm_budget_steps_total", "b", "50") == 2


def step_by_step(directory: Path, *limits: dict[str, Any], **settings: Any) -> Recorder:
    """A recorder whose background thread does nothing: its work is done here."""
    recorder = recorder_with(directory, *(limits or ({"name": "b", "usd": "1"},)), **settings)
    guard(recorder)._thread = object()
    return recorder


def account(recorder: Recorder, at: int = 0) -> AccountRow:
    return guard(recorder)._budgets[at].row(1, time.time())[0]


answers: list[Any] = []


def answer(request: tachograph.BudgetRequest) -> Any:
    asked.append(request)
    return answers.pop(0)


@pytest.mark.parametrize(
    ("said", "model", "action"),
    [
        (True, "gpt-5", "ask_allowed"),
        ("gpt-5-nano", "gpt-5-nano", "ask_allowed"),
        (False, None, "ask_refused"),
        (None, None, "ask_refused"),
        (1, None, "ask_refused"),  # nothing but True allows
    ],
)
def test_the_function_that_is_asked_decides_by_true_or_a_model(
    tmp_path: Path, said: object, model: str | None, action: str
) -> None:
    asked.clear()
    answers[:] = [said]
    limits: list[dict[str, Any]] = [
        {"name": "ask", "usd": "0.001", "action": "ask"},
        {"name": "small", "usd": "1", "model": "gpt-5-nano"},
    ]
    recorder = step_by_step(tmp_path, *limits, ask=f"{__name__}:answer")
    needed = holds(tmp_path / "other")
    if model is None:
        with pytest.raises(BudgetExceededError) as caught:
            begin(recorder, ASKS)
        assert (caught.value.budget, caught.value.needs_usd) == ("ask", needed)
        assert balances(recorder) == {"ask": (0, 0), "small": (0, 0)}
    else:
        call = begin(recorder, ASKS)
        assert (call.model, call.reservation is not None) == (model, True)
        held = needed if model == "gpt-5" else needed / 25
        assert balances(recorder)["ask"] == (0, pytest.approx(held, rel=Decimal("0.01")))
        assert balances(recorder)["small"][1] == (balances(recorder)["ask"][1] if model == "gpt-5-nano" else 0)
        assert call.reservation is not None
        assert balances(recorder)["ask"][1] == Decimal(call.reservation.nano_usd).scaleb(-9)
    assert asked == [
        tachograph.BudgetRequest("ask", "openai", "gpt-5", {}, Decimal("0.001"), Decimal(0), Decimal(0), needed)
    ]
    counted = {
        name: metric(recorder, "llm_budget_actions_total", "ask", name)
        for name in ("ask_allowed", "ask_refused", "refused", "warned")
    }
    assert counted == {"ask_allowed": 0, "ask_refused": 0, "refused": 0, "warned": 0} | {action: 1}


def test_a_model_that_the_answer_names_is_taken_only_where_the_request_can_still_ask_for_it(tmp_path: Path) -> None:
    answers[:] = ["gpt-5-nano", "gpt-5-nano"]
    recorder = step_by_step(tmp_path, {"name": "ask", "usd": "0.001", "action": "ask"}, ask=f"{__name__}:answer")
    call = LLMCall(recorder, "openai", "gpt-5")
    guard(recorder).reserve(call, ASKS, False, False)
    assert call.model == "gpt-5"
    guard(recorder).reserve(call, ASKS, False)
    assert call.model == "gpt-5-nano"


@pytest.mark.parametrize(("guards", "is_held"), [("all", True), ("engine", False), ("off", False)])
def test_calls_of_watched_clients_are_held_where_all_are_guarded(tmp_path: Path, guards: str, is_held: bool) -> None:
    recorder = step_by_step(tmp_path, guard=guards)
    assert guard(recorder).refuses is (guards != "off")
    call = LLMCall(recorder, "openai", "gpt-5")
    guard(recorder).reserve(call, ASKS, True)
    assert (call.reservation is not None) is is_held


def test_a_warning_is_logged_once_in_each_period_with_every_sum(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = step_by_step(tmp_path, {"name": "b", "usd": "0.02", "action": "warn", "steps": []})
    end(begin(recorder, ASKS), "0.0115")
    begun = time.time
    with caplog.at_level(logging.WARNING, "tachograph"):
        first, second = begin(recorder, ASKS), begin(recorder, ASKS)
        monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda: begun() + 86_400)
        third = begin(recorder, ASKS)
    assert None not in (first.reservation, second.reservation, third.reservation)
    assert first.reservation is not None
    needed = first.reservation.nano_usd / 1e9
    assert caplog.messages == [
        f"tachograph: the budget 'b' cannot pay for a call of up to ${needed:.6f}: ${spent} of $0.02 are spent, "
        f"${held * needed:.6f} are reserved. Its action is warn, so this and further calls are made; further ones are "
        "only counted."
        for spent, held in (("0.011500", 0), ("0.000000", 2))
    ]
    assert metric(recorder, "llm_budget_actions_total", "b", "warned") == 3


def test_what_cannot_be_checked_is_refused_with_what_this_process_knows(tmp_path: Path) -> None:
    (tmp_path / "budgets").write_text("in the way")
    recorder = step_by_step(tmp_path, when_store_is_away="refuse")
    number = account(recorder).window.number(time.time())
    account(recorder).add_spent(70, number, number)
    account(recorder).add_reserved(9)
    with pytest.raises(BudgetExceededError) as caught:
        begin(recorder, ASKS)
    error = caught.value
    assert (error.spent_usd, error.reserved_usd) == (Decimal(70).scaleb(-9), Decimal(9).scaleb(-9))
    assert (error.needs_usd, error.limit_usd) == (holds(tmp_path / "other"), Decimal(1))
    assert (error.is_unchecked, error.retry_after_seconds) == (True, 0.25)
    assert metric(recorder, "llm_budget_unchecked_total", "b") == 1
    assert balances(recorder)["b"] == (error.spent_usd, error.reserved_usd)


def test_a_call_is_counted_as_unchecked_once_however_often_its_budgets_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "budgets").write_text("in the way")
    limits: list[dict[str, Any]] = [{"name": "away", "usd": "9"}, {"name": "warns", "usd": "0.02", "action": "warn"}]
    recorder = step_by_step(tmp_path, *limits, {"name": "full", "usd": "0.02"})
    begun = begin(recorder, ASKS)
    with pytest.raises(BudgetExceededError) as caught:
        begin(recorder, ASKS)  # the first call's reservation is in the way, so it looks again, and again after warning
    assert (caught.value.budget, caught.value.retry_after_seconds) == ("full", 0.25)
    assert [metric(recorder, "llm_budget_unchecked_total", name) for name in ("away", "warns", "full")] == [2, 2, 2]
    end(begun, "0.01")


def test_a_call_that_others_keep_out_looks_three_times_and_one_that_money_does_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = step_by_step(tmp_path, {"name": "b", "usd": "0.02"})
    looked: list[int] = []
    look = guarding.Budgets._look

    def looks(budgets: Any, *given: Any) -> Any:
        looked.append(account(recorder).reserved())
        if len(looked) == 3:
            account(recorder).add_reserved(-others)  # the other process takes back what it held to look
        return look(budgets, *given)

    monkeypatch.setattr(guarding.Budgets, "_look", looks)
    others = 19_000_000
    account(recorder).add_reserved(others)
    call = begin(recorder, ASKS)
    assert call.reservation is not None
    assert looked == [others + call.reservation.nano_usd] * 3
    end(call, "0.0115")
    looked[:] = []
    with pytest.raises(BudgetExceededError):
        begin(recorder, ASKS)
    assert looked == [call.reservation.nano_usd if call.reservation else looked[0]]
    assert balances(recorder)["b"] == (Decimal("0.0115"), 0)
    account(recorder).add_reserved(5_000_000)
    looked[:] = [0, 0, 0, 0]
    with pytest.raises(BudgetExceededError) as caught:
        begin(recorder, {**ASKS, "max_tokens": 500})
    assert (len(looked), caught.value.retry_after_seconds) == (4 + 3, 0.25)
    assert balances(recorder)["b"] == (Decimal("0.0115"), Decimal("0.005"))


def test_a_call_without_a_cost_shows_how_long_answers_are_and_one_without_usage_what_they_cost(tmp_path: Path) -> None:
    recorder = step_by_step(tmp_path, {"name": "b", "usd": "100"})
    asks = {"messages": "x" * 300}
    end(begin(recorder, ASKS), None)  # 100 tokens
    held = begin(recorder, asks).reservation
    assert held is not None
    assert held.nano_usd == 97 * 1250 + 100 * 10_000  # 100 tokens of 312 characters
    call = begin(recorder, ASKS, "unknown-9")
    assert call.reservation is not None
    assert call.reservation.nano_usd == 0
    call.cost = Cost(77, "priced", "test")
    call.finish("success")
    recorder.settle()
    held = begin(recorder, asks, "unknown-9").reservation
    assert held is not None
    assert held.nano_usd == 77


def job(outcome: str = "success", finish: str = "queued") -> Any:
    return SimpleNamespace(outcome=outcome, finish_reason=finish)


def test_a_job_keeps_the_first_reservation_until_it_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets = guard(step_by_step(tmp_path))
    monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda: 5.0)
    first, second = (Reservation(nano, Asked(1, None), [], budgets._holder) for nano in (1, 2))
    assert budgets._of_job(job(), "j", None) is None
    assert budgets._jobs == {}
    assert budgets._of_job(job(), "j", first) is None
    assert budgets._of_job(job(finish="in_progress"), "j", second) is None
    assert budgets._jobs == {"j": (first, 5.0)}
    assert budgets._of_job(job(finish="completed"), "other", None) is None
    assert budgets._of_job(job("error", "completed"), "j", None) is None
    assert budgets._of_job(job("error"), "j", second) is second
    assert budgets._of_job(job(finish="completed"), "j", second) is second  # an answer that was not waited for
    assert budgets._jobs == {"j": (first, 5.0)}
    assert budgets._of_job(job(finish="completed"), "j", None) is first
    assert budgets._jobs == {}
    monkeypatch.setattr(guarding, "_MOST_JOBS", 2)
    for name in "abc":
        budgets._of_job(job(), name, first)
    assert list(budgets._jobs) == ["b", "c"]


def test_the_money_of_a_job_that_nobody_reads_is_given_back_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = step_by_step(tmp_path)
    budgets, now = guard(recorder), time.time()
    monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda: now)
    for name, since in (("old", now - 3600.1), ("young", now - 3600), ("older", now - 4000)):
        call = begin(recorder, ASKS)
        assert call.reservation is not None
        budgets._jobs[name] = call.reservation, since
        call.reservation = None
    held = balances(recorder)["b"][1]
    del call
    budgets.sweep()
    assert list(budgets._jobs) == ["young"]
    assert balances(recorder)["b"] == (0, held / 3)
    guarding._at_exit()
    assert (budgets._jobs, balances(recorder)["b"]) == ({}, (0, 0))


def test_a_forked_child_gives_back_no_job_of_its_parent(tmp_path: Path) -> None:
    budgets = guard(step_by_step(tmp_path))
    budgets._jobs["j"] = Reservation(1, Asked(1, None), [], budgets._holder), 0.0
    budgets._is_forked = True
    guarding._at_exit()
    assert list(budgets._jobs) == ["j"]


def test_what_dead_processes_held_is_spent_and_what_living_ones_hold_stays(tmp_path: Path) -> None:
    recorder = step_by_step(tmp_path, {"name": "b", "usd": "1"}, {"name": "c", "usd": "1"})
    budgets = guard(recorder)
    slots = [Slot(tmp_path / "budgets") for _ in range(4)]
    assert [slot.number for slot in slots] == [2, 3, 4, 5]
    for budget, factor in zip(budgets._budgets, (1, 100), strict=True):
        for slot, nano in zip(slots, (1, 2, 4, 0), strict=True):
            other = Accounts(budget.scope.file_name(), budget.scope.window, slot, 1)
            if factor == 1 or slot.number != 4:
                other.row(1, time.time()).add_reserved(nano * factor)
    account(recorder).add_reserved(50)
    for slot in slots[0], slots[2], slots[3]:
        slot.leave()
    budgets.sweep()
    assert balances(recorder) == {
        "b": (Decimal(5).scaleb(-9), Decimal(52).scaleb(-9)),
        "c": (Decimal(100).scaleb(-9), Decimal(200).scaleb(-9)),
    }


def test_a_process_that_counts_alone_sweeps_its_own_sums(tmp_path: Path) -> None:
    (tmp_path / "budgets").write_text("in the way")
    recorder = step_by_step(tmp_path)
    account(recorder).add_reserved(5)
    guard(recorder).sweep()
    guard(recorder).refresh()  # and reads nothing
    assert balances(recorder)["b"] == (0, Decimal(5).scaleb(-9))


def test_only_the_process_that_holds_a_call_s_money_lets_it_go(tmp_path: Path) -> None:
    recorder = step_by_step(tmp_path)
    budgets, call = guard(recorder), begin(recorder, ASKS)
    budgets.release(LLMCall(recorder, "openai", "gpt-5"))  # nothing was held for it
    reservation, holder = call.reservation, budgets._holder
    assert reservation is not None
    held = balances(recorder)["b"][1]
    budgets._holder = guarding._Holder(budgets._pending)  # as in a forked child
    budgets.release(call)
    assert (balances(recorder)["b"], call.reservation) == ((0, held), None)
    call.reservation, budgets._holder = reservation, holder
    budgets.release(call)
    assert balances(recorder)["b"] == (0, 0)
    assert reservation.accounts == []


def test_every_budget_of_a_call_that_is_not_checked_counts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "_LOCK_SECONDS", 0.001)
    recorder = step_by_step(tmp_path, {"name": "b", "usd": "1"}, {"name": "c", "usd": "1"})
    with guard(recorder)._lock:
        call = begin(recorder, ASKS)
    assert call.reservation is None
    assert [metric(recorder, "llm_budget_unchecked_total", name) for name in "bc"] == [1, 1]


def test_steps_are_told_from_the_lowest_whatever_their_order_and_the_call_knows_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = step_by_step(
        tmp_path, {"name": "b", "usd": "1", "steps": [1.0, 0.25, 0.5]}, {"name": "c", "usd": "2", "steps": [0.5]}
    )
    calls = [begin(recorder, ASKS) for _ in range(3)]
    with caplog.at_level(logging.WARNING, "tachograph"):
        for call, usd in zip(calls, ("0.249999999", "0.750000001", "0.1"), strict=True):
            end(call, usd)
            recorder.settle()
    one = Decimal(1)
    assert [call.budget_steps for call in calls] == [
        (),
        (
            BudgetStep("b", 0.25, one, one),
            BudgetStep("b", 0.5, one, one),
            BudgetStep("b", 1.0, one, one),
            BudgetStep("c", 0.5, one, Decimal(2)),
        ),
        (),
    ]
    assert caplog.messages == [
        f"tachograph: {percent} % of the budget {name!r} are spent: $1.000000 of ${usd}."
        for percent, name, usd in ((25, "b", 1), (50, "b", 1), (100, "b", 1), (50, "c", 2))
    ]


def test_a_step_that_another_process_is_telling_is_told_by_the_next_call(tmp_path: Path) -> None:
    recorder = step_by_step(tmp_path, {"name": "b", "usd": "1", "steps": [0.5]})
    accounts = guard(recorder)._budgets[0].accounts
    assert accounts is not None
    (file,) = (tmp_path / "budgets").glob("*.accounts")
    call = begin(recorder, ASKS)
    with file.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        end(call, "0.6")
        assert metric(recorder, "llm_budget_steps_total", "b", "50") == 0
    with accounts.alone() as is_alone:
        assert is_alone
    end(begin(recorder, ASKS), "0.01")
    assert metric(recorder, "llm_budget_steps_total", "b", "50") == 1
    with file.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it was given up again


def test_a_call_that_ran_past_midnight_counts_on_the_day_it_began_and_one_of_a_second_on_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    midnight = 1_800_057_600.0
    for ended, spent in ((midnight + 0.5, "0.1"), (midnight + 0.6, "0")):
        recorder = step_by_step(tmp_path / str(ended))
        monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda: midnight - 0.5)
        call = begin(recorder, ASKS)
        call.started_unix_ns = int((midnight - 0.5) * 1e9)
        monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda ended=ended: ended)
        end(call, "0.1")
        assert balances(recorder)["b"] == (Decimal(spent), 0)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("json:no_such_name", "module 'json' has no attribute 'no_such_name'"),
        ("json", "module 'json' has no attribute ''"),
        (":f", "Empty module name"),
    ],
)
def test_a_function_that_cannot_be_imported_is_named(name: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        guarding._function(name)
    assert caught.value.what == f"the function {name!r} cannot be imported: {why}"
    assert (caught.value.where, caught.value.do) == ("setting budgets.ask", "Name it as package.module:function.")


def test_a_function_is_found_by_its_module_and_name() -> None:
    assert guarding._function(None) is None
    assert guarding._function(f"{__name__}:answer") is answer


def test_one_thread_does_the_work_and_a_signal_handler_does_not_wait_for_it_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    started: list[object] = []

    class FakeThread:
        def __init__(self, **facts: Any) -> None:
            made.append(facts)

        def start(self) -> None:
            if len(made) == 1:
                raise RuntimeError("can't create new thread at interpreter shutdown")
            started.append(self)

    budgets = guard(step_by_step(tmp_path))
    budgets._thread = None
    interrupted = threading.Timer(5, budgets._starting.release)  # so that a handler that waits fails
    interrupted.start()
    monkeypatch.setattr(guarding.threading, "Thread", FakeThread)
    with budgets._starting:
        began = time.monotonic()
        budgets._start()
        assert time.monotonic() - began < 4
    interrupted.cancel()
    assert made == []
    budgets._start()
    assert budgets._thread is None
    for _ in range(2):
        budgets._start()
    assert started == [budgets._thread]
    expected = {"target": guarding._run, "args": (weakref.ref(budgets), budgets._wake), "name": "tachograph-budgets"}
    assert made == [{**expected, "daemon": True}] * 2


@pytest.mark.parametrize(("has_fleet", "seconds"), [(False, 1.0), (True, 0.1)])
def test_the_thread_ticks_until_the_budgets_are_gone_and_logs_each_kind_of_failure_once(
    has_fleet: bool, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[Exception | None] = [OSError("a"), OSError("b"), None, ValueError("c"), OSError("d")]
    waited: list[float | str] = []

    class FakeBudgets:
        _fleet = object() if has_fleet else None

        @staticmethod
        def tick() -> None:
            failure = failures.pop(0)
            if failure is not None:
                raise failure

    class FakeEvent:
        def wait(self, timeout: float) -> None:
            waited.append(timeout)
            if not failures:
                kept.clear()

        def clear(self) -> None:
            waited.append("clear")

    kept = [FakeBudgets()]
    with caplog.at_level(logging.DEBUG, "tachograph"):
        guarding._run(weakref.ref(kept[0]), FakeEvent())
    assert waited == [seconds, "clear"] * 5
    assert caplog.messages == [f"tachograph: budgets could not be read: {text}" for text in "ac"]


@pytest.mark.parametrize(
    ("url", "fleet_url", "found"),
    [
        ("sqlite:///x", None, None),
        ("postgresql://a/b", None, "postgresql://a/b"),
        ("postgres://a/b", None, "postgres://a/b"),
        ("postgresql://a/b", "none", None),
        ("postgresql://a/b", "postgresql://c/d", "postgresql://c/d"),
        ("sqlite:///x", "postgresql://c/d", "postgresql://c/d"),
    ],
)
def test_hosts_share_budgets_through_the_ledger_s_database_or_another(
    tmp_path: Path, url: str, fleet_url: str | None, found: str | None
) -> None:
    pytest.importorskip("psycopg")
    budgets = guard(step_by_step(tmp_path))
    assert budgets._ledger is not None
    budgets._ledger.place.url = url
    budgets._settings = SimpleNamespace(fleet_url=fleet_url)
    fleet = budgets._make_fleet()
    if found is None:
        assert fleet is None
    else:
        assert fleet is not None
        timeout = budgets._ledger.settings.timeout_seconds
        assert (fleet._url, fleet._place, fleet._timeout) == (found, budgets._ledger.place, timeout)
    budgets._ledger = None
    assert budgets._make_fleet() is None


def test_a_forked_child_begins_with_a_slot_and_sums_of_its_own(tmp_path: Path) -> None:
    recorder = step_by_step(tmp_path)
    budgets = guard(recorder)
    held, holder = begin(recorder, ASKS), budgets._holder
    assert budgets._slot is not None
    first = budgets._slot
    fleet = SimpleNamespace(forked=0)
    fleet.after_fork_in_child = lambda: setattr(fleet, "forked", fleet.forked + 1)
    budgets._fleet = fleet
    guarding._after_fork_in_child()
    assert (budgets._is_forked, fleet.forked) == (True, 1)
    budgets._fleet = None
    keeps = Slot(tmp_path / "budgets")  # the place that was left; in a real child the parent keeps it
    assert (first.number, keeps.number) == (1, 1)
    budgets.show()
    assert not budgets._is_forked
    assert (budgets._slot.number, budgets._holder is holder, budgets._jobs) == (2, False, {})
    reserved = balances(recorder)["b"][1]
    assert held.reservation is not None
    assert reserved == Decimal(held.reservation.nano_usd).scaleb(-9)
    end(held, "0.1")  # the parent's call: the parent counts it
    assert balances(recorder)["b"] == (0, reserved)


@pytest.mark.parametrize(
    ("fields", "operation", "quality", "serves"),
    [
        ({"model": "gpt-5"}, "embeddings", None, True),
        ({}, "chat", "priced", True),
        ({}, "generate_content", "included", True),
        ({}, "chat", "estimated", False),
        ({}, "chat", "unpriced", False),
        ({}, "chat", None, False),
        ({}, "embeddings", "priced", False),
        ({"provider": "openai"}, "chat", None, True),
        ({"provider": "openai"}, "embeddings", "priced", False),
    ],
)
def test_the_other_model_serves_what_it_can_answer(
    tmp_path: Path, fields: dict[str, str], operation: str, quality: Any, serves: bool
) -> None:
    limit = {"name": "b", "usd": "1", "use_model": "gpt-5-nano", "use_model_from": 0.0, **fields}
    recorder = step_by_step(tmp_path, limit)
    priced: list[LLMCall] = []
    costs = None if quality is None else Cost(None, quality)
    recorder.pricer = lambda made: priced.append(made) or costs
    call = LLMCall(recorder, "openai", "gpt-5", operation, started_unix_ns=77)
    assert guard(recorder)._serves(guard(recorder)._budgets[0].scope.limit, call) is serves
    if priced:
        (made,) = priced
        assert (made.provider, made.model, made.started_unix_ns) == ("openai", "gpt-5-nano", 77)
        assert made.usage == Usage(1, 1)
    recorder.pricer = None
    assert guard(recorder)._price_quality(call, "gpt-5-nano") is None
    assert guard(recorder)._price_quality(call, None) is None


def test_another_model_is_taken_above_its_part_of_the_limit_and_by_the_first_budget_that_names_one(
    tmp_path: Path,
) -> None:
    needed = holds(tmp_path / "other")
    more = {"use_model": "gpt-5-nano", "use_model_from": 0.5}
    recorder = step_by_step(
        tmp_path,
        {"name": "plain", "usd": "9"},
        {"name": "same", "usd": "9", "use_model": "gpt-5", "use_model_from": 0.0},
        {"name": "roomy", "usd": "9", **more},
        {"name": "exact", "usd": str(2 * needed), **more},
    )
    first = begin(recorder, ASKS)
    assert first.model == "gpt-5"  # exactly its half
    call = LLMCall(recorder, "openai", "gpt-5")
    guard(recorder).reserve(call, ASKS, False, False)
    assert call.model == "gpt-5"
    guard(recorder).release(call)
    second = begin(recorder, ASKS)
    assert second.model == "gpt-5-nano"
    replaced = {
        name: metric(recorder, "llm_budget_actions_total", name, "model_replaced")
        for name in ("plain", "same", "roomy", "exact")
    }
    assert replaced == {"plain": 0, "same": 0, "roomy": 0, "exact": 1}


def test_messages_of_a_budget_per_user_name_the_user(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked.clear()
    answers[:] = [True]
    more = {"per": ["user"], "steps": [0.5]}
    limits = [
        {"name": "warns", "usd": "0.011", "action": "warn", **more},
        {"name": "asks", "usd": "0.012", "action": "ask", **more},
        {"name": "refuses", "usd": "0.02", "per": ["user"], "steps": []},
    ]
    recorder = step_by_step(tmp_path, *limits, ask=f"{__name__}:answer")
    with caplog.at_level(logging.WARNING, "tachograph"):
        first = begin(recorder, ASKS, user="u1")
        end(first, "0.008")
        recorder.settle()
        end(begin(recorder, {**ASKS, "max_tokens": 500}, user="u1"), "0.008")
        answers[:] = [True]
        with pytest.raises(BudgetExceededError) as caught:
            begin(recorder, ASKS, user="u1")
    assert [step.budget for step in first.budget_steps] == ["warns (user=u1)", "asks (user=u1)"]
    assert caught.value.budget == "refuses (user=u1)"
    assert {request.budget for request in asked} == {"asks (user=u1)"}
    assert [message.partition("budget ")[2].partition(" c")[0].partition(" are")[0] for message in caplog.messages] == [
        "'warns (user=u1)'", "'asks (user=u1)'", "'warns (user=u1)'",
    ]  # fmt: skip
    assert sorted(balances(recorder)) == ["asks (user=u1)", "refuses (user=u1)", "warns (user=u1)"]


def test_the_ledger_is_read_for_all_budgets_by_this_process_s_slot(tmp_path: Path, monkeypatch: Any) -> None:
    budgets = guard(step_by_step(tmp_path))
    read: list[Any] = []
    monkeypatch.setattr(budgets._history, "read", lambda *given: read.append(given))
    monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda: 5.0)
    budgets.refresh()
    budgets._slot, slot = None, budgets._slot
    budgets.refresh()
    budgets._slot, budgets._ledger, ledger = slot, None, budgets._ledger
    budgets.refresh()
    assert read == [(budgets._budgets, ledger, slot, 5.0)]


def test_a_tick_asks_the_fleet_for_every_account_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = step_by_step(tmp_path, {"name": "b", "usd": "1", "per": ["user"]}, {"name": "c", "usd": "1"})
    for user in ("u1", "u2"):
        end(begin(recorder, ASKS, user=user), None)
    budgets, synced = guard(recorder), list[Any]()
    monkeypatch.setattr(budgets, "sweep", lambda: None)
    monkeypatch.setattr(budgets, "refresh", lambda: None)
    monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda: 5.0)
    budgets._fleet = SimpleNamespace(sync=lambda rows, now: synced.append((rows, now)))
    budgets.tick()
    budgets._budgets[0].accounts = None
    budgets.tick()
    found = [([(scope.limit.name, row.index) for scope, row in rows], now) for rows, now in synced]
    assert [(len(rows), {name for name, _ in rows}, now) for rows, now in found] == [
        (3, {"b", "c"}, 5.0),
        (1, {"c"}, 5.0),
    ]
    budgets._fleet = None
