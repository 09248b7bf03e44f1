"""Budgets: the gauges tell what is spent, over processes, and the guard refuses before anything is sent."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai

import tachograph
from support.ledgers import metric
from support.simulators import simulators, simulators_process  # noqa: F401 - fixtures
from tachograph.errors import BudgetExceededError
from tachograph.recorder import Recorder
from tachograph.records import Cost, Usage
from tachograph.runtime import build
from tachograph.settings import load
from tachograph.usage.budgets import Budgets
from tachograph.usage.budgets.accounts import AccountRow
from tachograph.usage.budgets.windows import calendar_bounds
from tachograph_demo.simulators import Answer, ServedUsage, Simulators

LIMITS = [
    {"name": "all", "usd": "0.01"},
    {"name": "search", "usd": "0.002", "period": "month", "labels": {"team": "search"}},
    {"name": "openai", "usd": "5", "provider": "openai"},
]


def recorder_with(directory: Path, *, guard: str = "engine", limits: list[dict[str, Any]] = LIMITS) -> Recorder:
    """A recorder with a ledger in this directory and these budgets."""
    settings = load(
        {
            "ledger": {"data_dir": str(directory)},
            "budgets": {"limits": limits, "guard": guard, "refresh_seconds": 3600},
            "pricing": {"enabled": False},
        },
        environ={},
        read_file=False,
    )
    return build(settings)


def spend(recorder: Recorder, usd: str, provider: str = "openai", **labels: str) -> None:
    """One finished call of this cost."""
    call = recorder.start_llm_call(provider, "gpt-5", labels=labels or None)
    call.begin_attempt().end("success")
    call.usage = Usage(10, 10)
    call.cost = Cost(int(Decimal(usd).scaleb(9)), "priced", "test")
    call.finish("success")


def close(recorder: Recorder) -> None:
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)


def test_gauges_tell_limit_and_spent_of_each_budget(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path)
    spend(recorder, "0.0015", team="search")
    spend(recorder, "0.0005", provider="gemini")
    assert metric(recorder, "llm_budget_limit_usd", "search", "month") == 0.002
    assert metric(recorder, "llm_budget_spent_usd", "all", "day") == pytest.approx(0.002)
    assert metric(recorder, "llm_budget_spent_usd", "search", "month") == pytest.approx(0.0015)
    assert metric(recorder, "llm_budget_spent_usd", "openai", "day") == pytest.approx(0.0015)
    close(recorder)


def test_a_scrape_has_what_was_settled_while_another_thread_held_the_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = recorder_with(tmp_path)
    spend(recorder, "0.0015")
    assert metric(recorder, "llm_budget_spent_usd", "all", "day") == pytest.approx(0.0015)
    is_rolling, goes_on = threading.Event(), threading.Event()
    roll = AccountRow.roll

    def stopped(row: AccountRow, *arguments: Any) -> None:
        """The sweep gets no processor in the middle of its work."""
        if threading.current_thread() is sweeper:
            is_rolling.set()
            assert goes_on.wait(30)
        roll(row, *arguments)

    monkeypatch.setattr(AccountRow, "roll", stopped)
    sweeper = threading.Thread(target=budgets_of(recorder).sweep)
    sweeper.start()
    assert is_rolling.wait(30)
    spend(recorder, "0.0005")
    read: list[float] = []
    scrape = threading.Thread(target=lambda: read.append(metric(recorder, "llm_budget_spent_usd", "all", "day")))
    scrape.start()
    scrape.join(0.1)  # one that does not wait for the sweep has read by now
    goes_on.set()
    scrape.join(30)
    sweeper.join(30)
    assert read == [pytest.approx(0.002)]
    close(recorder)


def test_what_other_processes_spent_counts_after_a_reading(tmp_path: Path) -> None:
    first = recorder_with(tmp_path)
    spend(first, "0.003")
    close(first)
    second = recorder_with(tmp_path)
    spend(second, "0.001")
    budgets = budgets_of(second)
    budgets.refresh()
    assert metric(second, "llm_budget_spent_usd", "all", "day") == pytest.approx(0.004)
    spend(second, "0.001")
    assert metric(second, "llm_budget_spent_usd", "all", "day") == pytest.approx(0.005)
    close(second)


def budgets_of(recorder: Recorder) -> Budgets:
    """The budgets behind a recorder's guard."""
    assert isinstance(recorder.guard, Budgets)
    return recorder.guard


def test_a_spent_budget_refuses_only_what_it_would_pay(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path)
    spend(recorder, "0.002", team="search")
    recorder.start_llm_call("openai", "gpt-5", labels={"team": "support"}, asks={}).finish("success")
    with pytest.raises(BudgetExceededError, match="'search' is spent") as caught:
        recorder.start_llm_call("openai", "gpt-5", labels={"team": "search"}, asks={})
    assert caught.value.limit_usd == Decimal("0.002")
    assert caught.value.resets_at.day == 1
    with tachograph.labels(team="search"), pytest.raises(BudgetExceededError):
        recorder.start_llm_call("openai", "gpt-5", asks={})
    close(recorder)


def test_our_engine_sends_nothing_once_the_money_is_gone(tmp_path: Path, simulators: Simulators) -> None:  # noqa: F811
    recorder = recorder_with(tmp_path)
    spend(recorder, "0.01")
    provider = tachograph.ProviderFactory.create(
        "openai", api_key="k", base_url=simulators.openai.url, recorder=recorder
    )
    with pytest.raises(BudgetExceededError, match="all"):
        provider.complete(model="gpt-5", messages="hello")
    assert len(list(simulators.served)) == 0
    close(recorder)


def test_watched_clients_are_refused_only_when_the_user_asked(tmp_path: Path, simulators: Simulators) -> None:  # noqa: F811
    calls = {
        "openai": lambda: openai.OpenAI(base_url=simulators.openai.url, api_key="k").chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": "hi"}]
        ),
        "anthropic": lambda: anthropic.Anthropic(base_url=simulators.anthropic.url, api_key="k").messages.create(
            model="claude-sonnet-5", max_tokens=50, messages=[{"role": "user", "content": "hi"}]
        ),
        "gemini": lambda: gemini.models.generate_content(model="gemini-2.5-flash", contents="hi"),
    }
    gemini = genai.Client(api_key="k", http_options={"base_url": simulators.gemini.url})
    for guard, refused in (("engine", False), ("all", True)):
        recorder = recorder_with(tmp_path / guard, guard=guard)
        spend(recorder, "0.01")
        tachograph.instrument(recorder=recorder)
        try:
            for name, ask in calls.items():
                simulators.clear()
                getattr(simulators, name).script(Answer(text="hi", usage=ServedUsage(prompt=5, completion=2)))
                if refused:
                    with pytest.raises(BudgetExceededError):
                        ask()
                    assert len(list(simulators.served)) == 0
                else:
                    ask()
        finally:
            tachograph.uninstrument()
            close(recorder)


def test_days_and_months_begin_at_midnight_utc() -> None:
    now = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert calendar_bounds("day", now) == (datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert calendar_bounds("month", now) == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def test_a_limit_that_is_no_number_is_refused_with_its_name() -> None:
    with pytest.raises(tachograph.SettingsError, match=r"budgets\.limits"):
        load({"budgets": {"limits": [{"name": "x", "usd": "much"}]}}, environ={}, read_file=False)
