"""What a budget decides about a call, to the cent: where it begins to refuse, what it holds, and what it says."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import tachograph
from support.ledgers import metric
from tachograph.errors import BudgetExceededError
from tachograph.testing import recording
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
