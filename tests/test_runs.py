"""Runs of agents: carried by context, threads and other processes, kept in the ledger, counted and spanned."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as context_api

import tachograph
from tachograph.cli import main
from tachograph.records import RUN, Cost, Usage
from tachograph.testing import Recording, recording
from tachograph.usage.ledger import Ledger


@pytest.fixture
def seen() -> Iterator[Recording]:
    with recording() as seen:
        yield seen


def llm(seen: Recording, nano: int = 1_000, outcome: Any = "success") -> None:
    call = seen.recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt()
    call.usage, call.cost = Usage(100, 20), Cost(nano, "priced")
    call.finish(outcome, None if outcome == "success" else "server_error")


def tool(seen: Recording) -> None:
    seen.recorder.start_tool_call("time", "get_time").finish("success")


def test_calls_made_inside_carry_the_run_and_those_outside_do_not(seen: Recording) -> None:
    llm(seen)
    with tachograph.run("refund-agent", execution_id="job-7", session="s1", user="u1", version="1.2") as run:
        llm(seen)
        tool(seen)
    llm(seen)
    assert [call.run for call in seen.llm_calls] == [None, run, None]
    assert seen.tool_calls[0].run is run
    assert (run.agent, run.execution_id, run.session_id, run.user_id, run.app_version, run.parent_id) == (
        "refund-agent", "job-7", "s1", "u1", "1.2", "",
    )  # fmt: skip


def test_a_nested_run_knows_its_parent_and_takes_what_it_is_not_given(seen: Recording) -> None:
    with tachograph.run("planner", execution_id="job-7", user="u1") as outer, tachograph.run("searcher") as inner:
        llm(seen, 5)
    assert (inner.parent_id, inner.agent, inner.execution_id, inner.user_id) == (outer.id, "searcher", "job-7", "u1")
    assert inner.id != outer.id
    assert outer.tally is not None
    assert (outer.tally.calls, outer.tally.cost_nano_usd) == (1, 5)
    assert RUN.get() is None


def test_it_works_as_a_decorator_of_functions_and_coroutines(seen: Recording) -> None:
    @tachograph.run("sync-agent")
    def one() -> str:
        llm(seen)
        return "one"

    @tachograph.run("async-agent")
    async def two() -> str:
        await asyncio.sleep(0)
        llm(seen)
        return "two"

    async def both() -> list[str]:
        return list(await asyncio.gather(two(), two()))

    assert (one(), one(), asyncio.run(both())) == ("one", "one", ["two", "two"])
    runs = [call.run for call in seen.llm_calls]
    assert [run.agent for run in runs if run] == ["sync-agent"] * 2 + ["async-agent"] * 2
    assert len({run.id for run in runs if run}) == 4


def test_a_generator_is_one_run_over_its_iteration_and_what_reads_it_is_outside(seen: Recording) -> None:
    @tachograph.run("sync-agent")
    def answers() -> Iterator[Any]:
        llm(seen)
        sent = yield 1
        llm(seen)
        try:
            yield sent
        except KeyError:
            yield "caught"

    @tachograph.run("async-agent")
    async def answers_async() -> AsyncGenerator[Any, Any]:
        llm(seen)
        sent = yield 1
        await asyncio.sleep(0)
        llm(seen)
        try:
            yield sent
        except KeyError:
            yield "caught"

    async def read() -> None:
        reading = answers_async()
        assert await anext(reading) == 1
        llm(seen)
        assert [await reading.asend("sent"), await reading.athrow(KeyError())] == ["sent", "caught"]
        await reading.aclose()

    reading = answers()
    assert next(reading) == 1
    llm(seen)
    assert RUN.get() is None
    assert [reading.send("sent"), reading.throw(KeyError())] == ["sent", "caught"]
    assert list(reading) == []
    asyncio.run(read())
    runs = [call.run for call in seen.llm_calls]
    assert [run and run.agent for run in runs] == ["sync-agent", None, "sync-agent", "async-agent", None, "async-agent"]
    assert [(run.tally.calls, runs.count(run)) for run in (runs[0], runs[3]) if run and run.tally] == [(2, 2)] * 2
    assert seen.value("llm_run_seconds_count", agent="sync-agent", outcome="success") == 1
    assert seen.value("llm_run_seconds_count", agent="async-agent", outcome="cancelled") == 1  # closed early


def test_tasks_and_threads_may_share_one_object_for_their_runs(
    seen: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    agent = tachograph.run("shared")
    first, second = copy_context(), copy_context()
    first_run, second_run = first.run(agent.__enter__), second.run(agent.__enter__)
    assert first_run.id != second_run.id
    first.run(agent.__exit__, None, None, None)
    assert (first.run(RUN.get), second.run(RUN.get)) == (None, second_run)
    second.run(llm, seen)
    second.run(agent.__exit__, None, None, None)
    assert [call.run for call in seen.llm_calls] == [second_run]
    assert seen.value("llm_run_calls_sum", agent="shared") == 1
    assert not caplog.records


def test_a_run_that_ends_in_another_context_leaves_that_one_alone(
    seen: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    opened = tachograph.run("begun elsewhere")
    copy_context().run(opened.__enter__)
    with tachograph.run("here") as here:
        opened.__exit__(None, None, None)
        assert RUN.get() is here
    assert not caplog.records
    assert seen.value("llm_run_seconds_count", agent="here", outcome="success") == 1


async def test_tasks_of_one_loop_keep_their_runs_apart(seen: Recording) -> None:
    async def work(name: str) -> None:
        async with tachograph.run(name) as run:
            await asyncio.sleep(0)
            llm(seen)
            assert seen.llm_calls[-1].run is run

    await asyncio.gather(*(work(f"agent-{number}") for number in range(5)))
    assert RUN.get() is None


def test_threads_and_executors_have_the_run_of_the_code_that_started_them(seen: Recording) -> None:
    tachograph.instrument(recorder=seen.recorder)
    try:
        with ThreadPoolExecutor(1) as pool:
            with tachograph.run("agent") as run:
                thread = threading.Thread(target=llm, args=(seen,))
                thread.start()
                thread.join()
                pool.submit(llm, seen).result()
            pool.submit(llm, seen).result()
    finally:
        tachograph.uninstrument()
    assert [call.run for call in seen.llm_calls] == [run, run, None]


OTHER_PROCESS = """
import json, sys
from opentelemetry import context, propagate
import tachograph
from tachograph.testing import recording
with recording() as seen:
    context.attach(propagate.extract(json.loads(sys.argv[1])))
    seen.recorder.start_tool_call("time", "get_time").finish("success")
    with tachograph.run("inner"):
        seen.recorder.start_tool_call("time", "get_time").finish("success")
    here, inside = (call.run for call in seen.tool_calls)
    print(json.dumps([here.id, here.agent, here.execution_id, here.user_id, inside.parent_id, inside.execution_id]))
"""


def test_baggage_carries_the_run_to_another_process_without_the_user(seen: Recording) -> None:
    carrier: dict[str, str] = {}
    with tachograph.run("refund agent", execution_id="job-7", user="alice") as run:
        propagate.inject(carrier)
    assert "alice" not in json.dumps(carrier)
    assert not baggage.get_all()
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, json.dumps(carrier)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [run.id, "refund agent", "job-7", "", run.id, "job-7"]


def test_a_framework_s_span_names_the_session_user_and_agent(seen: Recording) -> None:
    attributes = {"gen_ai.conversation.id": "c1", "user.id": "u1", "gen_ai.agent.name": "triage"}
    with trace.get_tracer("framework").start_as_current_span("invoke_agent triage", attributes=attributes):
        llm(seen)
    token = context_api.attach(baggage.set_baggage("session.id", "s9"))
    llm(seen)
    context_api.detach(token)
    first, second = (call.run for call in seen.llm_calls)
    assert first is not None
    assert (first.session_id, first.user_id, first.agent, first.id) == ("c1", "u1", "triage", "")
    assert second is not None
    assert second.session_id == "s9"


def test_a_run_has_one_span_over_its_calls_and_is_counted(seen: Recording) -> None:
    @tachograph.run("refund-agent", session="s1")
    def refund() -> None:
        llm(seen, 2_000_000_000)
        tool(seen)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        refund()
    by_name = {span.name: span for span in seen.spans}
    over = by_name["invoke_agent refund-agent"]
    facts = over.attributes or {}
    assert (facts["gen_ai.operation.name"], facts["gen_ai.agent.name"], facts["gen_ai.conversation.id"]) == (
        "invoke_agent", "refund-agent", "s1",
    )  # fmt: skip
    assert (facts["error.type"], facts["tachograph.run.cost_usd"]) == ("ValueError", 2.0)
    for name in ("llm.complete", "mcp.tool.execute"):
        assert by_name[name].parent == over.context
        assert (by_name[name].attributes or {})["gen_ai.conversation.id"] == "s1"
        assert (by_name[name].attributes or {})["tachograph.run_id"] == facts["tachograph.run_id"]
    assert seen.value("llm_run_seconds", agent="refund-agent", outcome="error") == 1
    assert seen.value("llm_run_calls", agent="refund-agent") == 1
    assert seen.value("llm_run_tool_calls", agent="refund-agent") == 1


def test_agents_of_metrics_are_bounded() -> None:
    with recording(metrics={"label_limit": 3}) as seen:
        for number in range(10):
            with tachograph.run(f"agent-{number}"):
                llm(seen)
        agents = {dict(labels)["agent"] for labels in seen.series("llm_run_seconds")}
        assert "other" in agents
        assert len(agents) <= 4


def ledger_of(seen: Recording) -> Ledger:
    ledger = seen.recorder.ledger
    assert isinstance(ledger, Ledger)
    return ledger


def test_the_ledger_answers_by_execution_and_in_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(ledger={"enabled": True, "data_dir": str(tmp_path)}) as seen:
        with tachograph.run("planner", execution_id="job-7", user="alice", version="2.0") as outer:
            llm(seen, 1_000_000_000)
            tool(seen)
            with tachograph.run("searcher"):
                llm(seen, 250_000_000)
        with tachograph.run("planner", execution_id="job-8", user="bob"):
            llm(seen, 3, "error")
        llm(seen, 7)
        ledger = ledger_of(seen)
        rows = ledger.by_execution("job-7")
        assert [(row.kind, row.agent) for row in rows] == [("llm", "planner"), ("mcp", "planner"), ("llm", "searcher")]
        total = ledger.total(user_id="alice")
        assert (total.calls, total.tool_calls, total.cost_nano_usd, total.errors) == (2, 1, 1_250_000_000, 0)
        assert ledger.total(agent="planner").cost_nano_usd == 1_000_000_003
        assert ledger.total().cost_nano_usd == 1_250_000_010
        assert ledger.total(execution_id="job-8").errors == 1
        monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path))
        for identity in (outer.id, "job-7"):
            assert main(["run-cost", identity, "--format", "json"]) == 0
            said = json.loads(capsys.readouterr().out)
            assert (said["cost_usd"], said["calls"], said["tool_calls"]) == ("1.250000000", 2, 1)
            assert said["agents"] == ["planner", "searcher"]
            assert 0 < len(said["critical_path"]) <= 3
        assert main(["run-cost", "job-7"]) == 0
        assert "$1.25" in capsys.readouterr().out
        assert main(["run-cost", "nothing"]) == 2
        assert "tachograph report --by run" in capsys.readouterr().err
        for name, values in (("agent", {"planner", "searcher", ""}), ("user", {"alice", "bob", ""})):
            assert main(["report", "--by", name, "--format", "json"]) == 0
            lines = json.loads(capsys.readouterr().out)["lines"]
            assert {line[{"agent": "agent", "user": "user_id"}[name]] for line in lines} == values
        ledger.close()


def test_ids_that_are_no_text_reach_the_ledger_as_text(tmp_path: Path) -> None:
    given: Any = {"execution_id": 7, "session": UUID(int=5), "user": 0, "version": 1.2, "run_id": None}
    with recording(ledger={"enabled": True, "data_dir": str(tmp_path)}) as seen:
        with tachograph.run("refund-agent", **given):
            llm(seen)
        (row,) = ledger_of(seen).by_execution("7")
        assert (row.session_id, row.user_id, row.app_version) == (str(UUID(int=5)), "0", "1.2")
        assert row.run_id not in (None, "None")


def test_rows_of_a_trace_make_a_tree(tmp_path: Path) -> None:
    with recording(ledger={"enabled": True, "data_dir": str(tmp_path)}) as seen:
        with tachograph.run("planner", execution_id="job-7"):
            outer = seen.recorder.start_tool_call("shop", "refund")
            llm(seen)
            outer.finish("success")
        ledger = ledger_of(seen)
        refund, asked = ledger.by_execution("job-7")
        ledger.close()
        spans = {span.context.span_id: span for span in seen.spans if span.context is not None}
    assert refund.trace_id == asked.trace_id
    assert asked.parent_span_id == refund.span_id
    assert refund.parent_span_id is not None
    assert spans[int.from_bytes(refund.parent_span_id, "big")].name == "invoke_agent planner"


def test_a_failure_of_ours_leaves_the_run_s_own_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    with recording(strict=False) as seen:
        monkeypatch.setattr(seen.recorder.runs, "open_run", lambda *_: 1 / 0)
        monkeypatch.setattr(seen.recorder.runs, "close_run", lambda *_: 1 / 0)
        with pytest.raises(KeyError), tachograph.run("agent"):
            raise KeyError("the application's")
        assert RUN.get() is None
        assert seen.value("tachograph_telemetry_errors_total", component="runs") == 2
