"""Money is held before a call is sent and settled when it ends, whatever becomes of the call or its process."""

from __future__ import annotations

import fcntl
import gc
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai

import tachograph
from support.bytecodes import count
from support.ledgers import metric
from support.simulators import simulators, simulators_process  # noqa: F401 - fixtures
from tachograph.errors import BudgetExceededError
from tachograph.files import UnsafeFile
from tachograph.recorder import Recorder
from tachograph.records import Cost, LLMCall, Usage
from tachograph.records.run import RUN, Run
from tachograph.runtime import build
from tachograph.settings import load
from tachograph.tape import TAPE
from tachograph.testing import recording
from tachograph.usage.budgets import Budgets
from tachograph.usage.budgets.accounts import Accounts, NoPlace, Slot
from tachograph.usage.budgets.estimate import Estimates
from tachograph.usage.budgets.windows import Window
from tachograph.usage.stores.errors import StoreError
from tachograph_demo.simulators import Answer, ServedUsage, Simulators

ASKS = {"messages": [{"role": "user", "content": "x" * 300}], "max_tokens": 30_000}
"""Of gpt-5 at most 100 prompt and 30,000 completion tokens: just over $0.30."""


def recorder_with(directory: Path, *limits: dict[str, Any], **budgets: Any) -> Recorder:
    settings = load(
        {
            "ledger": {"data_dir": str(directory), "writer": "external"},
            "budgets": {"limits": list(limits), "guard": "all", "refresh_seconds": 3600, **budgets},
        },
        environ={},
        read_file=False,
    )
    return build(settings)


def begin(recorder: Recorder, asks: dict[str, Any] | None = None, model: str = "gpt-5", **labels: str) -> LLMCall:
    return recorder.start_llm_call("openai", model, labels=labels or None, asks=ASKS if asks is None else asks)


def end(call: LLMCall, usd: str | None) -> None:
    call.begin_attempt().end("success")
    call.usage = Usage(100, 100)
    call.cost = None if usd is None else Cost(int(Decimal(usd).scaleb(9)), "priced", "test")
    call.finish("success")


def guard(recorder: Recorder) -> Budgets:
    assert isinstance(recorder.guard, Budgets)
    return recorder.guard


def balances(recorder: Recorder) -> dict[str, tuple[Decimal, Decimal]]:
    """Spent and reserved by account."""
    recorder.settle()
    return {name: (spent, reserved) for name, _, _, spent, reserved in guard(recorder).balances()}


def let_through(recorder: Recorder, tries: int) -> list[LLMCall]:
    calls = []
    for _ in range(tries):
        try:
            calls.append(begin(recorder))
        except BudgetExceededError:
            continue
    return calls


def test_of_fifty_calls_begun_together_only_those_go_that_the_budget_can_pay(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    calls = let_through(recorder, 50)
    assert len(calls) == 3
    for call in calls:
        end(call, "0.3")
    assert balances(recorder) == {"day": (Decimal("0.9"), Decimal(0))}
    with pytest.raises(BudgetExceededError, match="cannot pay for a call of up to"):
        begin(recorder)
    begin(recorder, {**ASKS, "max_tokens": 5000})


def test_threads_that_race_never_hold_more_than_the_limit(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "3.1"})
    found: list[LLMCall] = []
    threads = [threading.Thread(target=lambda: found.extend(let_through(recorder, 20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 10


def test_a_refusal_by_reservations_says_when_to_try_again(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "0.5"})
    call = begin(recorder)
    with pytest.raises(BudgetExceededError, match=r"reserved by calls under way.*Try again in 0.25 s") as caught:
        begin(recorder)
    assert caught.value.retry_after_seconds == 0.25
    end(call, "0.01")
    end(begin(recorder), "0.49")
    with pytest.raises(BudgetExceededError, match="It resets at") as caught:
        begin(recorder)
    assert caught.value.retry_after_seconds is None


def test_failed_cancelled_and_dropped_calls_give_back_what_they_held(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    failed = begin(recorder)
    failed.begin_attempt().end("error", "server_error")
    failed.begin_attempt().end("error", "server_error")  # a retry of the same call holds nothing more
    assert balances(recorder)["day"][1] == pytest.approx(Decimal("0.300126"), abs=Decimal("0.0001"))
    failed.finish("error", "server_error")
    begin(recorder).finish("cancelled")
    dropped = begin(recorder)
    recorder.guard.release(begin(recorder))
    del dropped
    gc.collect()
    assert balances(recorder) == {"day": (Decimal(0), Decimal(0))}


def test_a_stream_that_is_garbage_collected_gives_its_money_back_once(tmp_path: Path, simulators: Simulators) -> None:  # noqa: F811
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="k")
    tachograph.instrument(recorder=recorder)
    try:
        for _ in range(3):
            stream = client.chat.completions.create(
                model="gpt-5", messages=[{"role": "user", "content": "hi " * 50}], stream=True
            )
            next(iter(stream))
            del stream
            gc.collect()
        spent, reserved = balances(recorder)["day"]
    finally:
        tachograph.uninstrument()
    assert reserved == 0
    assert spent > 0


def test_a_ledger_that_falls_behind_never_reopens_a_spent_budget(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    assert recorder.ledger is not None
    recorder.ledger.open_store().close()  # the external writer is not running
    end(begin(recorder), "2")
    for _ in range(2):
        with pytest.raises(BudgetExceededError, match=r"\$2.000000 of \$1"):
            begin(recorder)
        guard(recorder).refresh()
    assert metric(recorder, "llm_budget_spent_usd", "day", "day") == 2.0


WORKER = """
import sys, os, signal
sys.path.insert(0, {tests!r})
from pathlib import Path
from usage.test_budget_reservations import recorder_with, begin, end
recorder = recorder_with(Path(sys.argv[1]), {{"name": "day", "usd": "1"}})
end(begin(recorder), "0.25")
held = begin(recorder)
recorder.settle()
print("ready", flush=True)
sys.stdin.readline()
"""


def test_processes_share_a_budget_and_a_killed_one_has_spent_what_it_held(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    source = WORKER.format(tests=str(Path(__file__).parents[1]))
    worker = subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    spent, reserved = balances(recorder)["day"]
    assert (spent, round(reserved, 2)) == (Decimal("0.25"), Decimal("0.30"))
    assert len(let_through(recorder, 5)) == 1
    gc.collect()
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    guard(recorder).sweep()
    spent, reserved = balances(recorder)["day"]
    assert (round(spent, 2), reserved) == (Decimal("0.55"), Decimal(0))


def test_a_forked_child_counts_in_a_slot_of_its_own(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "2"})
    held = begin(recorder)
    child = os.fork()
    if child == 0:
        try:
            held.finish("cancelled")  # the parent's: it lets go, not the child
            end(begin(recorder), "0.5")
            recorder.settle()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    spent, reserved = balances(recorder)["day"]
    assert (spent, round(reserved, 2)) == (Decimal("0.5"), Decimal("0.30"))
    end(held, "0.1")
    assert balances(recorder)["day"] == (Decimal("0.6"), Decimal(0))


def test_a_budget_per_user_gives_each_an_account(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "user", "usd": "0.5", "per": ["user"], "period": "24h"})
    end(begin(recorder, user="alice"), "0.4")
    with pytest.raises(BudgetExceededError, match="user=alice"):
        begin(recorder, user="alice")
    end(begin(recorder, user="bob"), "0.1")
    assert balances(recorder) == {"user (user=alice)": (Decimal("0.4"), 0), "user (user=bob)": (Decimal("0.1"), 0)}
    assert metric(recorder, "llm_budget_spent_usd", "user", "rolling") == 0.4  # the most of any account


def test_the_run_of_a_call_is_a_scope(tmp_path: Path) -> None:
    recorder = recorder_with(
        tmp_path,
        {"name": "run", "usd": "0.5", "period": "total", "per": ["run"]},
        {"name": "refunds", "usd": "0.7", "agent": "refund-agent"},
    )
    assert recorder.ledger is not None
    recorder.ledger.open_store().close()
    for run, agent, usd, fits in (
        ("r1", "refund-agent", "0.4", True),
        ("r1", "refund-agent", "0.1", False),  # the run's own budget
        ("r2", "search", "0.4", True),
        ("r3", "refund-agent", "0.1", False),  # the agent's: 0.4 + 0.3 of 0.7 is too much by the prompt
        ("r4", "search", "0.1", True),
    ):
        token = RUN.set(Run(id=run, agent=agent))
        try:
            if fits:
                end(begin(recorder), usd)
            else:
                with pytest.raises(BudgetExceededError):
                    begin(recorder)
        finally:
            RUN.reset(token)
    assert balances(recorder)["run (run=r1)"][0] == Decimal("0.4")
    guard(recorder).refresh()


def test_a_budget_that_cannot_be_is_left_out_and_the_others_hold(tmp_path: Path) -> None:
    limits = [
        {"name": "wrong", "usd": "1", "period": "fortnight"},
        {"name": "right", "usd": "0.5"},
        {"name": "no money", "usd": "-1"},
    ]
    settings = load(
        {"ledger": {"data_dir": str(tmp_path)}, "budgets": {"limits": limits, "guard": "all"}},
        environ={},
        read_file=False,
    )
    left_out: list[str] = []
    recorder = build(settings, lambda error, part: left_out.append(part))
    assert left_out == ["the budget 'wrong'", "the budget 'no money'"]
    end(begin(recorder), "0.4")
    with pytest.raises(BudgetExceededError, match="right"):
        begin(recorder)


def test_a_scope_or_a_period_that_does_not_exist_is_refused_with_the_budget_s_name(tmp_path: Path) -> None:
    with pytest.raises(tachograph.SettingsError, match=r"period 'fortnight' .*'x'.* 90m"):
        recorder_with(tmp_path, {"name": "x", "usd": "1", "period": "fortnight"})
    with pytest.raises(tachograph.SettingsError, match=r"per 'team'.*label:<name>"):
        recorder_with(tmp_path, {"name": "x", "usd": "1", "per": ["team"]})
    with pytest.raises(tachograph.SettingsError, match=r"budgets\.ask"):
        recorder_with(tmp_path, {"name": "x", "usd": "1", "action": "ask"})


def test_money_leaves_a_rolling_window_bucket_by_bucket() -> None:
    window = Window("24h")
    row = Accounts("", window, Slot(None), 1).row(1, 0.0)
    hours = [window.number(hour * 3600.0) for hour in range(60)]
    for hour in range(30):
        row.add_spent(1, hours[hour], hours[hour])
        assert row.spent(hours[hour]) == min(hour + 1, 25)
    assert [row.spent(hours[hour]) for hour in (30, 40, 53, 54)] == [24, 14, 1, 0]  # seen before it is rolled on
    row.roll(hours[40])
    assert row.spent(hours[40]) == 14
    row.add_spent(5, hours[10], hours[40])  # a call that began before the window
    assert row.spent(hours[40]) == 14
    row.add_spent(5, hours[39], hours[40])
    assert [row.spent(hours[hour]) for hour in (40, 59)] == [19, 5]


def test_warn_lets_the_call_go_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = recorder_with(tmp_path, {"name": "soft", "usd": "0.1", "action": "warn", "steps": []})
    with caplog.at_level(logging.WARNING, "tachograph"):
        end(begin(recorder), "0.2")
        end(begin(recorder), "0.2")
    assert [record.levelname for record in caplog.records if "'soft' cannot pay" in record.message] == ["WARNING"]
    assert metric(recorder, "llm_budget_actions_total", "soft", "warned") == 2
    assert balances(recorder)["soft"][0] == Decimal("0.4")


asked: list[tachograph.BudgetRequest] = []


def decide(request: tachograph.BudgetRequest) -> bool | str:
    asked.append(request)
    return {"boss": True, "thrifty": "gpt-5-nano"}.get(request.labels["who"], False)


def test_a_function_of_the_user_s_decides(tmp_path: Path) -> None:
    asked.clear()
    limit = {"name": "ask", "usd": "0.1", "action": "ask"}
    recorder = recorder_with(tmp_path, limit, ask=f"{__name__}:decide")
    assert begin(recorder, who="boss").model == "gpt-5"
    assert begin(recorder, who="thrifty").model == "gpt-5-nano"
    with pytest.raises(BudgetExceededError):
        begin(recorder, who="intern")
    assert [(request.budget, request.limit_usd) for request in asked] == [("ask", Decimal("0.1"))] * 3
    assert float(asked[0].needs_usd) == pytest.approx(0.3, abs=0.001)


def test_from_a_part_of_the_limit_on_calls_ask_for_another_model(tmp_path: Path) -> None:
    limit = {"name": "m", "usd": "1", "use_model": "gpt-5-nano", "use_model_from": 0.5}
    recorder = recorder_with(tmp_path, limit)
    assert begin(recorder).model == "gpt-5"
    held = begin(recorder)
    assert held.model == "gpt-5-nano"
    assert metric(recorder, "llm_budget_actions_total", "m", "model_replaced") == 1


def test_the_other_model_is_what_is_sent(tmp_path: Path, simulators: Simulators) -> None:  # noqa: F811
    gemini = genai.Client(api_key="k", http_options={"base_url": simulators.gemini.url})
    calls = {
        "gpt-5-nano": lambda: openai.OpenAI(base_url=simulators.openai.url, api_key="k").chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": "hi"}]
        ),
        "claude-haiku-4-5": lambda: anthropic.Anthropic(base_url=simulators.anthropic.url, api_key="k").messages.create(
            model="claude-sonnet-5", max_tokens=50, messages=[{"role": "user", "content": "hi"}]
        ),
        "gemini-2.5-flash": lambda: gemini.models.generate_content(model="gemini-2.5-pro", contents="hi"),
    }
    servers = {"gpt-5-nano": "openai", "claude-haiku-4-5": "anthropic", "gemini-2.5-flash": "gemini"}
    for model, ask in calls.items():
        limit = {"name": "m", "usd": "100", "use_model": model, "use_model_from": 0.0}
        recorder = recorder_with(tmp_path / model, limit)
        tachograph.instrument(recorder=recorder)
        try:
            simulators.clear()
            getattr(simulators, servers[model]).script(Answer(text="hi", usage=ServedUsage(prompt=5, completion=2)))
            ask()
            assert [served.model for served in simulators.served] == [model]
        finally:
            tachograph.uninstrument()
    recorder = recorder_with(
        tmp_path / "engine", {"name": "m", "usd": "100", "use_model": "gpt-5-nano", "use_model_from": 0.0}
    )
    simulators.clear()
    simulators.openai.script(Answer(text="hi", usage=ServedUsage(prompt=5, completion=2)))
    provider = tachograph.ProviderFactory.create(
        "openai", api_key="k", base_url=simulators.openai.url, recorder=recorder
    )
    assert provider.complete(model="gpt-5", messages="hello").call.model == "gpt-5-nano"
    assert [served.model for served in simulators.served] == ["gpt-5-nano"]


def test_only_calls_that_the_other_model_can_answer_ask_for_it(tmp_path: Path, simulators: Simulators) -> None:  # noqa: F811
    """Another vendor would answer 404, and no model that writes text embeds, draws or makes sound."""
    gpt = openai.OpenAI(base_url=simulators.openai.url, api_key="k")
    claude = anthropic.Anthropic(base_url=simulators.anthropic.url, api_key="k")
    gemini = genai.Client(api_key="k", http_options={"base_url": simulators.gemini.url})
    said: Any = [{"role": "user", "content": "hi"}]
    calls: dict[str, Any] = {
        "claude-sonnet-5": lambda: claude.messages.create(model="claude-sonnet-5", max_tokens=9, messages=said),
        "gemini-2.5-pro": lambda: gemini.models.generate_content(model="gemini-2.5-pro", contents="hi"),
        "text-embedding-3-small": lambda: gpt.embeddings.create(model="text-embedding-3-small", input="hi"),
        "gpt-image-1": lambda: gpt.images.generate(model="gpt-image-1", prompt="hi"),
        "tts-1": lambda: gpt.audio.speech.create(model="tts-1", input="hi", voice="alloy"),
        "whisper-1": lambda: gpt.audio.transcriptions.create(model="whisper-1", file=b"abc"),
        "gpt-3.5-turbo-instruct": lambda: gpt.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi"),
        "gpt-5-nano": lambda: gpt.responses.create(model="gpt-5", input="hi"),
    }
    limit = {"name": "m", "usd": "100", "use_model": "gpt-5-nano", "use_model_from": 0.0}
    tachograph.instrument(recorder=recorder_with(tmp_path / "all", limit))
    try:
        for ask in calls.values():
            ask()
    finally:
        tachograph.uninstrument()
    assert [served.model for served in simulators.served] == list(calls)
    simulators.clear()
    small = {"use_model": "text-embedding-3-small", "use_model_from": 0.0, "usd": "100"}
    limit = {"name": "m", "model": "text-embedding-3-large", **small}
    tachograph.instrument(recorder=recorder_with(tmp_path / "one", limit))
    try:
        gpt.embeddings.create(model="text-embedding-3-large", input="hi")
    finally:
        tachograph.uninstrument()
    assert [served.model for served in simulators.served] == ["text-embedding-3-small"]


def test_each_api_key_has_a_budget_of_its_own(tmp_path: Path, simulators: Simulators) -> None:  # noqa: F811
    first, second = "sk-test-of-the-first-team-aaaa", "sk-test-of-the-second-team-bbbb"

    def openai_asks(key: str) -> None:
        openai.OpenAI(base_url=simulators.openai.url, api_key=key).chat.completions.create(
            model="gpt-5", max_completion_tokens=100, messages=[{"role": "user", "content": "hi"}]
        )

    def anthropic_asks(key: str) -> None:
        anthropic.Anthropic(base_url=simulators.anthropic.url, api_key=key).messages.create(
            model="claude-sonnet-5", max_tokens=50, messages=[{"role": "user", "content": "hi"}]
        )

    def gemini_asks(key: str) -> None:
        client = genai.Client(api_key=key, http_options={"base_url": simulators.gemini.url})
        client.models.generate_content(model="gemini-2.5-flash", contents="hi", config={"max_output_tokens": 50})

    def engine_asks(key: str) -> None:
        provider = tachograph.ProviderFactory.create(
            "openai", api_key=key, base_url=simulators.openai.url, recorder=recorder
        )
        provider.complete(model="gpt-5", messages="hi", max_tokens=100)

    recorder = recorder_with(
        tmp_path,
        {"name": "each key", "usd": "1", "per": ["key"]},
        {"name": "first", "usd": "0.0000001", "key": "...aaaa"},
    )
    tachograph.instrument(recorder=recorder)
    try:
        for ask in (openai_asks, anthropic_asks, gemini_asks, engine_asks):
            with pytest.raises(BudgetExceededError, match="'first'"):
                ask(first)
            ask(second)
    finally:
        tachograph.uninstrument()
    assert len(list(simulators.served)) == 4  # those of the second key
    spent, _ = balances(recorder)["each key (key=...bbbb)"]
    assert spent > 0
    assert recorder.ledger is not None
    TAPE.flush()
    assert recorder.ledger.drain(20)
    total = recorder.ledger.total(api_key_hint="...bbbb")
    assert (total.calls, total.cost_usd) == (4, spent)


def test_what_is_free_is_never_refused(tmp_path: Path, simulators: Simulators) -> None:  # noqa: F811
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "0.1"})
    end(begin(recorder, {"max_tokens": 1}), "0.2")
    gemini = genai.Client(api_key="k", http_options={"base_url": simulators.gemini.url})
    claude = anthropic.Anthropic(api_key="k", base_url=simulators.anthropic.url, max_retries=0)
    gpt = openai.OpenAI(api_key="k", base_url=simulators.openai.url, max_retries=0)
    asked: Any = [{"role": "user", "content": "hi"}]
    tachograph.instrument(recorder=recorder)
    try:
        gemini.models.count_tokens(model="gemini-2.5-flash", contents="hi")
        claude.messages.count_tokens(model="claude-opus-5", messages=asked)
        with suppress(openai.NotFoundError):  # what was made before is read again for nothing
            gpt.responses.input_tokens.count(model="gpt-5", input="hi")
        for read in (gpt.responses.retrieve, gpt.batches.retrieve, gpt.chat.completions.retrieve):
            with suppress(openai.NotFoundError):
                read("id_1")
        with suppress(anthropic.NotFoundError):
            claude.messages.batches.retrieve("id_1")
        with suppress(genai.errors.ClientError):
            gemini.batches.get(name="batches/1")
        with pytest.raises(BudgetExceededError):
            gemini.models.generate_content(model="gemini-2.5-flash", contents="hi")
        with pytest.raises(BudgetExceededError):
            claude.messages.create(model="claude-opus-5", max_tokens=9, messages=asked)
        with pytest.raises(BudgetExceededError):
            gpt.responses.create(model="gpt-5", input="hi")
    finally:
        tachograph.uninstrument()


def test_steps_are_told_once_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    with caplog.at_level(logging.WARNING, "tachograph"):
        for usd in ("0.4", "0.2", "0.1", "0.35"):
            end(begin(recorder, {"max_tokens": 10}), usd)
        recorder.settle()
    told = [record.message.partition(" % of the budget 'day'")[0] for record in caplog.records]
    assert told == ["tachograph: 50", "tachograph: 80", "tachograph: 100"]
    assert [metric(recorder, "llm_budget_steps_total", "day", step) for step in ("50", "80", "100")] == [1, 1, 1]


def test_steps_are_told_again_in_the_next_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    end(begin(recorder, {"max_tokens": 10}), "1.2")
    recorder.settle()
    now, time_ns = time.time, time.time_ns
    monkeypatch.setattr("tachograph.usage.budgets.guard.time.time", lambda: now() + 86_400)
    monkeypatch.setattr("tachograph.recorder.time_ns", lambda: time_ns() + 86_400 * 10**9)
    for usd in ("0.6", "0.1", "0.4"):  # the first call of the day passes a step at once
        end(begin(recorder, {"max_tokens": 10}), usd)
        recorder.settle()
    assert [metric(recorder, "llm_budget_steps_total", "day", step) for step in ("50", "80", "100")] == [2, 2, 2]


def test_spans_say_which_step_a_call_passed_and_which_call_was_refused(tmp_path: Path) -> None:
    budgets = {"limits": [{"name": "all", "usd": "1"}], "guard": "all", "refresh_seconds": 3600}
    with recording(budgets=budgets, ledger={"enabled": True, "data_dir": str(tmp_path)}) as seen:
        with tachograph.run("planner"):
            end(begin(seen.recorder), "0.4")
            end(begin(seen.recorder), "0.45")
            with pytest.raises(BudgetExceededError):
                begin(seen.recorder)
        events = [(span.name, event.name, dict(event.attributes or {})) for span in seen.spans for event in span.events]
        assert seen.value("llm_budget_steps_total", budget="all", step="50") == 1
        assert seen.value("llm_budget_steps_total", budget="all", step="100") == 0
    steps = [
        (name, facts["step"], facts["spent_usd"]) for name, event, facts in events if event.endswith("budget.step")
    ]
    assert steps == [("llm.complete", 50.0, 0.85), ("llm.complete", 80.0, 0.85)]
    ((name, facts),) = [(name, facts) for name, event, facts in events if event.endswith("budget.action")]
    assert (name, facts["budget"], facts["action"], facts["spent_usd"]) == (
        "invoke_agent planner", "all", "refused", 0.85,
    )  # fmt: skip


def test_where_no_limit_is_given_the_answers_seen_say_how_much_to_hold(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "100"})
    asks = {"messages": "x" * 3000}

    def held(**labels: str) -> Decimal:
        call = begin(recorder, asks, **labels)
        reserved = balances(recorder)["day"][1]
        call.usage = Usage(750, 8000)
        call.finish("success")
        return reserved

    first = held()
    assert held() > 3 * first
    assert held(feature="short") > 3 * first  # not seen with these labels: as the model in general
    short = begin(recorder, asks, feature="title")
    short.usage = Usage(750, 10)
    short.finish("success")
    assert held(feature="title") < first


def held_for(
    recorder: Recorder, asks: dict[str, Any], model: str = "gpt-5", operation: str = "chat", provider: str = "openai"
) -> float:
    call = recorder.start_llm_call(provider, model, operation, asks=asks)
    (_, reserved), *_ = balances(recorder).values()
    call.finish("cancelled")
    return float(reserved)


def test_the_first_call_of_a_kind_holds_what_it_may_cost(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "100"})
    one: dict[str, Any] = {"messages": "x" * 30, "max_tokens": 10_000}
    assert held_for(recorder, {**one, "n": 8}) == pytest.approx(8 * held_for(recorder, one), rel=0.01)
    assert held_for(recorder, {**one, "service_tier": "priority"}) == pytest.approx(2 * held_for(recorder, one))
    candidates = {"contents": "x" * 30, "config": {"max_output_tokens": 10_000, "candidate_count": 8}}
    assert held_for(recorder, candidates) == pytest.approx(8 * held_for(recorder, one), rel=0.01)
    assert held_for(recorder, {"input": "x" * 4000}, "tts-1", "speech") == 0.06
    images = {"prompt": "a cat", "n": 4}
    assert held_for(recorder, images, "gpt-image-1", "image_generation") == pytest.approx(4 * 7024 * 40e-6, rel=0.01)


def test_the_first_transcription_holds_what_its_file_may_cost(
    tmp_path: Path,
    simulators: Simulators,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[int] = []
    estimate = Estimates.nano_usd
    monkeypatch.setattr(Estimates, "nano_usd", lambda *given: held.append(estimate(*given)) or held[-1])
    recorder = recorder_with(tmp_path / "files", {"name": "day", "usd": "100"})
    sound = io.BytesIO()
    with wave.open(sound, "wb") as writing:
        writing.setparams((1, 2, 16_000, 0, "NONE", ""))
        writing.writeframes(b"\0" * 32_000 * 90)
    data = sound.getvalue()
    path = tmp_path / "sound.mp3"
    path.write_bytes(b"\0" * 4000 * 90)
    tachograph.instrument(recorder=recorder)
    try:
        gpt = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
        with path.open("rb") as opened:
            for file in (data, io.BytesIO(data), ("a.wav", data), ("a.wav", io.BytesIO(data)), opened, path):
                gpt.audio.transcriptions.create(model="whisper-1", file=file)
        gpt.audio.transcriptions.create(model="gpt-4o-transcribe", file=path)
        gpt.audio.transcriptions.create(model="whisper-1", file=b"\0" * 4000)
    finally:
        tachograph.uninstrument()
    minute = 6_000_000  # nano-dollars of whisper-1
    assert held[:6] == pytest.approx([1.5 * minute] * 6, rel=0.001)
    assert minute * 1.5 < held[6] < minute * 4
    assert held[7] == pytest.approx(minute / 60)
    unseen = recorder_with(tmp_path / "unseen", {"name": "day", "usd": "100"})
    assert held_for(unseen, {"file_url": "https://sound.example/a.mp3"}, "whisper-1", "transcription") > 0.6


def test_what_a_prompt_holds_beside_its_text_says_nothing_about_other_texts(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "100"})
    text = {"input": "x" * 90_000, "max_output_tokens": 10}
    before = held_for(recorder, text)
    document = {"type": "input_file", "file_data": "..."}
    search = [{"type": "web_search"}]
    for asks in (
        {"input": "go on " * 20, "previous_response_id": "resp_1"},
        {"input": [{"role": "user", "content": [document]}]},
        {"input": "what is new? " * 10, "tools": search},
    ):
        asks["max_output_tokens"] = 10
        call = begin(recorder, asks)
        call.usage = Usage(200_000, 10)
        call.finish("success")
        recorder.settle()
        assert held_for(recorder, text) == before
        assert held_for(recorder, asks) == pytest.approx(200_000 * 1.25e-6, rel=0.1)


def test_files_that_cannot_be_made_are_a_choice_between_allowing_and_refusing(tmp_path: Path) -> None:
    (tmp_path / "budgets").write_text("in the way")
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "0.5"})
    end(begin(recorder), "0.5")
    assert metric(recorder, "llm_budget_unchecked_total", "day") == 1
    with pytest.raises(BudgetExceededError, match="spent"):  # this process still counts its own
        begin(recorder)
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "0.5"}, when_store_is_away="refuse")
    with pytest.raises(BudgetExceededError, match="cannot be checked now"):
        begin(recorder)


def test_files_that_can_be_made_later_are_shared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tachograph.usage.budgets.guard._SWEEP_SECONDS", 0.0)
    (tmp_path / "budgets").write_text("in the way")
    alone = recorder_with(tmp_path, {"name": "day", "usd": "0.5"}, when_store_is_away="refuse")
    with pytest.raises(BudgetExceededError, match="cannot be checked now"):
        begin(alone)
    (tmp_path / "budgets").unlink()
    with suppress(StoreError):  # there is no ledger to read
        guard(alone).tick()
    other = recorder_with(tmp_path, {"name": "day", "usd": "0.5"})
    held = begin(alone)
    with pytest.raises(BudgetExceededError, match="reserved"):
        begin(other)
    end(held, None)


def test_a_decision_runs_few_instructions(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1000"}, {"name": "model", "usd": "9", "model": "gpt-4"})
    for _ in range(3):
        end(begin(recorder), "0.01")
    recorder.settle()
    budgets, call = guard(recorder), LLMCall(recorder, "openai", "gpt-5")
    count(lambda: budgets.reserve(call, ASKS, False))  # the first one after a settlement brings the sums up to date
    assert count(lambda: budgets.reserve(call, ASKS, False)) < 1400  # about 15 us at 11 ns each


def test_a_call_of_a_signal_handler_that_interrupts_a_decision_goes_on_and_leaves_no_reservation_behind(
    tmp_path: Path,
) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    with guard(recorder)._lock:  # the decision that the handler interrupts
        call = begin(recorder)
    end(call, "0.3")
    assert balances(recorder) == {"day": (Decimal("0.3"), Decimal(0))}
    assert metric(recorder, "llm_budget_unchecked_total", "day") == 1
    assert len(let_through(recorder, 50)) == 2


def test_a_process_that_was_stopped_while_it_gave_out_an_account_keeps_no_call_waiting(tmp_path: Path) -> None:
    accounts = Accounts("shared", Window("day"), Slot(tmp_path), 4)
    with (tmp_path / "shared.accounts").open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NoPlace, match="another process"):
            accounts.row(1, 0.0)
    assert accounts.row(1, 0.0)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_in_the_place_of_accounts_is_refused_and_its_target_is_not_touched(tmp_path: Path, link: Any) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    for name in ("shared.accounts", "slot-1.lock"):
        link(target, tmp_path / name)
    with pytest.raises(UnsafeFile):
        Slot(tmp_path)
    (tmp_path / "slot-1.lock").unlink()
    with pytest.raises(UnsafeFile):
        Accounts("shared", Window("day"), Slot(tmp_path), 4)
    assert target.read_bytes() == b"precious"


def test_images_and_videos_hold_what_they_will_cost(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "100"})
    hd: dict[str, Any] = {"prompt": "a cat", "quality": "hd", "size": "1024x1792", "n": 2}
    assert held_for(recorder, hd, "dall-e-3", "image_generation") == pytest.approx(0.24)
    film: dict[str, Any] = {"prompt": "a cat", "size": "1792x1024", "seconds": "12"}
    assert held_for(recorder, film, "sora-2-pro", "video_generation") == pytest.approx(6)
    films: dict[str, Any] = {"config": {"duration_seconds": 4, "number_of_videos": 2, "resolution": "4k"}}
    assert held_for(recorder, films, "veo-3.1-generate-001", "video_generation", "gemini") == pytest.approx(4.8)
    assert held_for(recorder, {}, "imagen-4.0-generate-001", "image_generation", "gemini") == pytest.approx(0.04)


@pytest.mark.parametrize(("ended", "spent"), [("completed", 0.8), ("failed", 0.0)])
def test_the_money_of_a_job_is_held_until_it_is_read_whole(tmp_path: Path, ended: str, spent: float) -> None:
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    film: dict[str, Any] = {"prompt": "a cat", "seconds": "8"}

    def asks(status: str, operation: str = "fetch_response") -> None:
        body = film if operation == "video_generation" else None
        call = recorder.start_llm_call("openai", "sora-2", operation, asks=body)
        call.begin_attempt().end("success")
        call.response_id, call.finish_reason = "video_1", status
        if status == "completed":
            call.usage = Usage(tool_uses={"video_second/720x1280": 8})
        else:
            call.counts_usage = False
        call.finish("success")
        recorder.settle()

    asks("queued", "video_generation")
    asks("in_progress")
    assert [float(usd) for usd in balances(recorder)["day"]] == [0, 0.8]
    with pytest.raises(BudgetExceededError):
        recorder.start_llm_call("openai", "sora-2", "video_generation", asks=film)
    asks(ended)
    assert [float(usd) for usd in balances(recorder)["day"]] == [spent, 0]


def test_a_process_that_ends_gives_back_what_its_jobs_hold(tmp_path: Path) -> None:
    """Another process reads them, and counts what they cost."""
    settings = {
        "ledger": {"data_dir": str(tmp_path), "writer": "external"},
        "budgets": {"limits": [{"name": "day", "usd": "1"}], "guard": "all", "refresh_seconds": 3600},
    }
    code = f"""
from tachograph.runtime import build
from tachograph.settings import load
recorder = build(load({settings!r}, environ={{}}, read_file=False))
call = recorder.start_llm_call("openai", "sora-2", "video_generation", asks={{"prompt": "a cat", "seconds": "8"}})
call.begin_attempt().end("success")
call.response_id, call.finish_reason, call.counts_usage = "video_1", "queued", False
call.finish("success")
(_, _, _, _, reserved), = recorder.guard.balances()
print(reserved)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == 0.8
    recorder = recorder_with(tmp_path, {"name": "day", "usd": "1"})
    guard(recorder).sweep()
    assert [float(usd) for usd in balances(recorder)["day"]] == [0, 0]
