"""Waste is counted to the nano-dollar, by cause, and is in the ledger beside the calls, never in their sums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

import tachograph
from support.ledgers import metric
from support.simulators import simulators, simulators_process  # noqa: F401 - fixtures
from tachograph.cli import main
from tachograph.llm.types import Message, ToolRequest, ToolResult
from tachograph.recorder import Recorder
from tachograph.records import LLMCall, Usage
from tachograph.records.prompt import prompt_of
from tachograph.runtime import build
from tachograph.settings import load
from tachograph.usage.stores.query import Query
from tachograph_demo.simulators import Answer, ServedUsage, Simulators

# gpt-5: 1250 nano-dollars for a prompt token, 125 for a cached one, 10,000 for a token of the answer.
FULL, CACHED, OUT = 1250, 125, 10_000
HELLO = [{"role": "user", "content": "hello " * 50}]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return recorder_with(tmp_path)


def recorder_with(directory: Path, **waste: Any) -> Recorder:
    settings = load(
        {"ledger": {"data_dir": str(directory)}, "waste": {"prompts": True, **waste}}, environ={}, read_file=False
    )
    return build(settings)


def call(
    recorder: Recorder,
    messages: list[Any],
    usage: Usage,
    outcome: Any = "success",
    *,
    later: float = 0.0,
    seconds: float = 0.0,
    **body: Any,
) -> LLMCall:
    """One call that began so many seconds later than now, and took so many."""
    made = recorder.start_llm_call("openai", "gpt-5", asks={"messages": messages, **body})
    made.started_unix_ns += int(later * 1e9)
    made.begin_attempt().end(outcome)
    made.usage = usage
    made.finish(outcome, "server_error" if outcome == "error" else None, ended_ns=made.started_ns + int(seconds * 1e9))
    recorder.settle()
    return made


def wasted(recorder: Recorder) -> dict[str, int]:
    """Nano-dollars by cause."""
    causes = ("failed", "aborted", "retried", "cache_miss", "duplicate", "loop", "tool_definitions")
    found = {c: round(metric(recorder, "llm_waste_usd_total", "openai", "gpt-5", c) * 1e9) for c in causes}
    return {cause: nano for cause, nano in found.items() if nano}


def test_what_failed_or_was_given_up_after_billing_is_wasted_whole(recorder: Recorder) -> None:
    call(recorder, HELLO, Usage(100, 7), "error")
    call(recorder, HELLO, Usage(100, 9), "cancelled")
    assert wasted(recorder) == {"failed": 100 * FULL + 7 * OUT, "aborted": 100 * FULL + 9 * OUT}


def test_the_same_request_again_is_a_retry_at_first_and_a_duplicate_later(recorder: Recorder) -> None:
    call(recorder, HELLO, Usage(100, 7))
    call(recorder, HELLO, Usage(100, 8), later=30)
    call(recorder, HELLO, Usage(100, 9), later=30 + 61)
    call(recorder, HELLO, Usage(100, 10), later=30 + 61 + 3601)
    call(recorder, [{"role": "user", "content": "other"}], Usage(100, 11))
    call(recorder, HELLO, Usage(100, 12), temperature=0.5)
    assert wasted(recorder) == {"retried": 100 * FULL + 8 * OUT, "duplicate": 100 * FULL + 9 * OUT}


def test_the_same_request_at_the_same_time_is_a_duplicate(recorder: Recorder) -> None:
    call(recorder, HELLO, Usage(100, 7), seconds=5)
    call(recorder, HELLO, Usage(100, 8), seconds=5)
    assert wasted(recorder) == {"duplicate": 100 * FULL + 8 * OUT}


def test_a_prefix_that_was_cached_and_is_not_now_costs_what_it_would_have_saved(recorder: Recorder) -> None:
    system = {"role": "system", "content": "manual " * 900}

    def ask(text: str, cached: int, later: float = 0.0) -> None:
        messages = [{"role": "user", "content": text}]
        details = {"cache_read": cached} if cached else {}
        call(recorder, messages, Usage(2000, 5, details), instructions=system, later=later)

    ask("one", 0)  # nothing is known yet
    ask("two", 1024)
    ask("three", 1024)
    assert wasted(recorder) == {}
    ask("four", 0)
    ask("five", 512)
    assert wasted(recorder) == {"cache_miss": (1024 + 512) * (FULL - CACHED)}
    ask("six", 0)  # 1024 are still there, whatever the last one read
    assert wasted(recorder) == {"cache_miss": (1024 + 512 + 1024) * (FULL - CACHED)}
    ask("seven", 0, later=400)  # longer ago than vendors promise to keep it
    assert wasted(recorder) == {"cache_miss": (1024 + 512 + 1024) * (FULL - CACHED)}


@pytest.mark.parametrize("field", ["api_key_hint", "server_address", "region"])
def test_what_another_account_or_region_has_cached_is_not_missed(recorder: Recorder, field: str) -> None:
    for number, (place, cached) in enumerate([("a", 1024), ("a", 1024), ("b", 0), ("b", 1024), ("a", 0)]):
        asks = {"messages": [{"role": "user", "content": str(number)}], "instructions": "manual " * 900}
        made = recorder.start_llm_call("openai", "gpt-5", asks=asks)
        setattr(made, field, place)
        made.begin_attempt().end("success")
        made.usage = Usage(2000, 5, {"cache_read": cached} if cached else {})
        made.finish("success")
        recorder.settle()
    assert list(wasted(recorder)) == ["cache_miss"]
    assert wasted(recorder)["cache_miss"] == 1024 * (FULL - CACHED)  # the last call's alone


def test_what_a_call_beside_it_was_writing_into_the_cache_is_not_missed(recorder: Recorder) -> None:
    written = Usage(2000, 5, {"cache_write": 1500, "cache_write_5m": 1500})
    call(recorder, HELLO, written, seconds=10, seed=1, instructions="manual")
    turns = [*HELLO, {"role": "assistant", "content": "hi"}]
    call(recorder, turns, written, later=5, seconds=10, seed=2, instructions="manual")
    assert wasted(recorder) == {}
    call(recorder, turns, written, later=20, seconds=1, seed=3, instructions="manual")
    assert list(wasted(recorder)) == ["cache_miss"]


def test_prompts_that_share_nothing_but_what_was_never_cached_miss_no_cache(recorder: Recorder) -> None:
    """OpenAI's system prompt is a turn, and a template may be the beginning of the only turn."""

    def ask(messages: list[Any], cached: int, **body: Any) -> None:
        call(recorder, messages, Usage(2000, 5, {"cache_read": cached} if cached else {}), **body)

    def system(text: str, question: str) -> list[Any]:
        return [{"role": "system", "content": text * 900}, {"role": "user", "content": question}]

    tools = {"tools": [{"type": "function", "function": {"name": "search", "description": "find orders"}}]}
    for body in ({}, tools):
        for number in range(3):
            ask(system("manual ", f"{len(body)} {number}"), 1024 if number else 0, **body)
            ask([{"role": "user", "content": f"hello {len(body)} {number}"}], 0, **body)
            ask(system("other ", f"{len(body)} {number}"), 0, **body)
    brief = {"role": "system", "content": "Be brief."}
    for number in range(3):
        ask([brief, {"role": "user", "content": "template " * 900 + str(number)}], 1024 if number else 0)
        ask([brief, {"role": "user", "content": f"hello {number}" * 50}], 0)
    assert wasted(recorder) == {}
    ask(system("manual ", "four"), 0)
    assert wasted(recorder) == {"cache_miss": 1024 * (FULL - CACHED)}


@pytest.mark.parametrize(
    "stored",
    [
        {"conversation": "conv_1"},
        {"previous_response_id": "resp_{}"},
        {"config": {"cached_content": "c{}"}},
        {"prompt": {"id": "p{}"}},
    ],
)
def test_a_part_of_the_prompt_that_the_vendor_keeps_is_not_taken_for_the_rest(
    recorder: Recorder, stored: dict[str, Any]
) -> None:
    tools = [{"type": "function", "name": "search", "description": "find orders"}]

    def ask(usage: Usage, **body: Any) -> None:
        call(recorder, [{"role": "user", "content": "yes"}], usage, instructions="Be brief.", tools=tools, **body)

    kept = json.dumps(stored)
    for number in range(25):  # a history of 6,000 tokens, most of them cached, and a tool that it has used
        ask(Usage(6000, 5, {"cache_read": 5120}), **json.loads(kept.replace("{}", str(number))))
    for number in range(25):
        ask(Usage(5200, 5), temperature=number)
    assert wasted(recorder) == {}


def turns(*arguments: str) -> list[Any]:
    found: list[Any] = [{"role": "user", "content": "find it"}]
    for number, text in enumerate(arguments):
        function = {"name": "search", "arguments": text}
        found.append(
            {"role": "assistant", "tool_calls": [{"id": f"{number}", "type": "function", "function": function}]}
        )
        found.append({"role": "tool", "tool_call_id": f"{number}", "content": "nothing"})
    return found


def test_from_the_third_time_the_same_tool_call_is_a_loop(recorder: Recorder) -> None:
    for count in range(1, 5):
        call(recorder, turns(*["{}"] * count), Usage(100, count))
    call(recorder, turns("{}", "{}", '{"page": 2}'), Usage(100, 9))
    assert wasted(recorder) == {"loop": (100 * FULL + 3 * OUT) + (100 * FULL + 4 * OUT)}


def test_a_tool_that_is_asked_the_same_for_each_of_several_questions_is_no_loop(recorder: Recorder) -> None:
    one_question = [*turns("{}"), {"role": "assistant", "content": "It is noon."}]
    call(recorder, [*one_question * 3, {"role": "user", "content": "thank you"}], Usage(100, 1))
    call(recorder, [*one_question * 3, *turns("{}")], Usage(100, 1))
    looped = [*turns(*["{}"] * 3), {"role": "assistant", "content": "I found nothing."}]
    call(recorder, [*looped, {"role": "user", "content": "never mind"}], Usage(100, 1))
    assert wasted(recorder) == {}
    spoken: dict[str, Any] = {"role": "assistant", "type": "message", "content": "Let me look."}
    asked = {"type": "function_call", "name": "search", "arguments": "{}", "call_id": "c"}
    found = {"type": "function_call_output", "call_id": "c", "output": "nothing"}
    call(recorder, [{"role": "user", "content": "find it"}, *[spoken, asked, found] * 3], Usage(100, 1))
    assert wasted(recorder) == {"loop": 100 * FULL + OUT}


def polled(form: str, *answers: str) -> dict[str, Any]:
    """A conversation that asks for the state of a job again and again, as each API has it."""
    turns: list[Any] = [{"role": "user", "content": "tell me when it is done", "parts": []}]
    for number, answer in enumerate(answers):
        key = f"call_{number}"
        if form == "messages":
            asked = {"id": key, "type": "function", "function": {"name": "state", "arguments": "{}"}}
            turns.append({"role": "assistant", "tool_calls": [asked]})
            turns.append({"role": "tool", "tool_call_id": key, "content": answer})
        elif form == "input":
            turns.append({"type": "function_call", "name": "state", "arguments": "{}", "call_id": key})
            turns.append({"type": "function_call_output", "call_id": key, "output": answer})
        elif form == "content":
            use = {"type": "tool_use", "id": key, "name": "state", "input": {}}
            turns.append({"role": "assistant", "content": [use]})
            result = {"type": "tool_result", "tool_use_id": key, "content": answer}
            turns.append({"role": "user", "content": [result]})
        elif form == "engine":
            turns.append(Message("assistant", (ToolRequest(key, "state", {}),)))
            turns.append(Message("user", (ToolResult(key, answer),)))
        else:
            turns.append({"role": "model", "parts": [{"function_call": {"name": "state", "args": {}}}]})
            response = {"function_response": {"name": "state", "response": {"is": answer}}}
            turns.append({"role": "user", "parts": [response]})
    return {{"content": "messages", "engine": "messages"}.get(form, form): turns}


@pytest.mark.parametrize("form", ["messages", "input", "content", "contents", "engine"])
def test_an_agent_that_waits_for_a_job_loops_only_while_the_answer_stays_the_same(form: str) -> None:
    def count(*answers: str) -> int:
        prompt = prompt_of(polled(form, *answers))
        assert prompt is not None
        return prompt.asked.count(prompt.asked[-1])

    assert count("10 %", "20 %", "30 %", "40 %") == 1
    assert count("queued", "queued", "running") == 1
    assert count("queued", "running", "running", "running") == 3
    assert count("queued", "queued", "queued") == 3


def test_without_times_the_same_request_is_never_waste(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, retry_seconds=0, duplicate_seconds=0)
    for later in (0.0, 0.0, 5.0):
        call(recorder, HELLO, Usage(100, 7), seconds=1, later=later)
    assert wasted(recorder) == {}


def test_definitions_of_tools_that_are_never_called_cost_their_share(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, unused_calls=2)
    recorder.start_tool_call("shop", "buy").finish("success")  # by this it is known whose tool it is
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("search", "buy")]
    made = []
    for count in range(5):
        messages = [*turns(*[f"{{{count}}}"] * (count % 2)), {"role": "user", "content": f"question {count}"}]
        searched = {"web_search": count}  # what a search costs is no part of the prompt
        made.append(call(recorder, messages, Usage(1000, count, {}, searched), tools=tools))
    assert made[0].prompt is not None
    expected = 0
    for one in made[2:]:
        assert one.prompt is not None
        unused = dict(one.prompt.tools)["buy"]  # "search" was called
        expected += 1000 * unused // one.prompt.size * FULL
    assert wasted(recorder) == {"tool_definitions": expected}
    assert metric(recorder, "llm_tool_definition_tokens_total", "openai", "gpt-5", "shop") == sum(
        1000 * dict(one.prompt.tools)["buy"] // one.prompt.size for one in made if one.prompt is not None
    )


def test_watched_clients_and_the_engine_are_looked_at_alike(tmp_path: Path, simulators: Simulators) -> None:  # noqa: F811
    recorder = recorder_with(tmp_path)
    answer = Answer(text="hi", usage=ServedUsage(prompt=50, completion=2))
    simulators.openai.always(answer)
    simulators.anthropic.always(answer)
    tachograph.instrument(recorder=recorder)
    try:
        gpt = openai.OpenAI(base_url=simulators.openai.url, api_key="k")
        claude = anthropic.Anthropic(base_url=simulators.anthropic.url, api_key="k")
        provider = tachograph.ProviderFactory.create(
            "openai", api_key="k", base_url=simulators.openai.url, recorder=recorder
        )
        for _ in range(2):
            gpt.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "watched"}])
            gpt.responses.create(model="gpt-5", input="watched")
            claude.messages.create(
                model="claude-sonnet-5", max_tokens=5, messages=[{"role": "user", "content": "watched"}]
            )
            provider.complete(model="gpt-5", messages="engine")
    finally:
        tachograph.uninstrument()
    assert wasted(recorder) == {"retried": 3 * (50 * FULL + 2 * OUT)}
    assert metric(recorder, "llm_waste_usd_total", "anthropic", "claude-sonnet-5", "retried") > 0


def test_the_ledger_keeps_waste_beside_the_calls_and_out_of_their_sums(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = recorder_with(tmp_path)
    with tachograph.labels(team="search"):
        call(recorder, HELLO, Usage(100, 7), "error")
        call(recorder, HELLO, Usage(100, 7))
        call(recorder, HELLO, Usage(100, 7), later=1)
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path))
    assert main(["report", "--since", "1d", "--format", "csv"]) == 0
    assert f"{3 * (100 * FULL + 7 * OUT) / 1e9:.9f}" in capsys.readouterr().out
    assert main(["waste", "--since", "1d", "--by", "cause,team"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[:3] for line in said.splitlines()[2:4]] == [
        ["failed", "search", "$0.000195"], ["retried", "search", "$0.000195"]
    ]  # fmt: skip
    assert "$0.000390 of $0.000585 (66.7 %) bought nothing." in said


def test_tool_calls_of_every_vendor_s_history_are_read() -> None:
    histories: list[dict[str, Any]] = [
        {"messages": turns("{}")},
        {"input": [{"type": "function_call", "name": "search", "arguments": "{}"}]},
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "search", "input": {}}]}]},
        {"contents": [{"role": "model", "parts": [{"function_call": {"name": "search", "args": {}}}]}]},
    ]
    for body in histories:
        prompt = prompt_of(body)
        assert prompt is not None
        assert (len(prompt.asked), prompt.used) == (1, frozenset({"search"})), body


def _answering(body: dict[str, Any]) -> Any:
    """An HTTP client whose server gives this answer."""
    return httpx2.Client(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, json=body)))


RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-5", "output": [],
    "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    "usage": {
        "input_tokens": 3000, "input_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 0},
        "output_tokens": 10, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 3010,
    },
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
    "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 2000, "cache_read_input_tokens": 1000, "output_tokens": 10},
}  # fmt: skip
MISSED = {"type": "cache_miss", "cache_missed_tokens": 1500, "reason": "tools_changed"}


@pytest.mark.parametrize(
    ("diagnostics", "missed"),
    [
        (MISSED, 1500),
        (MISSED | {"cache_missed_tokens": 9**9}, 2000),
        ({"type": "cache_hit"}, 0),
        ({"type": "unavailable"}, 0),
    ],
)  # fmt: skip
def test_openai_s_own_diagnosis_of_its_cache_is_taken(tmp_path: Path, diagnostics: dict[str, Any], missed: int) -> None:
    recorder = recorder_with(tmp_path, prompts=False)
    tachograph.instrument(recorder=recorder)
    try:
        client = openai.OpenAI(
            api_key="k", http_client=_answering(RESPONSE | {"prompt_cache_diagnostics": diagnostics})
        )
        client.responses.create(model="gpt-5", input="hello")
    finally:
        tachograph.uninstrument()
    recorder.settle()
    assert wasted(recorder) == ({"cache_miss": missed * (FULL - CACHED)} if missed else {})


def test_anthropic_s_own_diagnosis_of_its_cache_is_taken_with_its_reason(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, prompts=False)
    reason = {"type": "system_changed", "cache_missed_input_tokens": 1500}
    tachograph.instrument(recorder=recorder)
    try:
        client = anthropic.Anthropic(
            api_key="k", http_client=_answering(MESSAGE | {"diagnostics": {"cache_miss_reason": reason}})
        )
        client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    finally:
        tachograph.uninstrument()
    recorder.settle()
    full, cached = 3000, 300  # nano-dollars for a prompt token, and for a cached one
    amount = metric(recorder, "llm_waste_usd_total", "anthropic", "claude-sonnet-4-5", "cache_miss")
    assert round(amount * 1e9) == 1500 * (full - cached)
    ledger: Any = recorder.ledger
    (row,) = ledger._read(lambda store: list(store.rows(Query(where={"kind": ("waste",)}, raw=True))))
    assert (row.operation, row.cost_detail, row.cost_nusd) == ("cache_miss", "system_changed", 1500 * (full - cached))
