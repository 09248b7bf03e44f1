"""Waste is counted to the nano-dollar, by cause, and is in the ledger beside the calls, never in their sums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from msgspec.structs import replace

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
from tachograph.usage.waste.judge import _Recent
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


NOW_NS = 1_764_000_000_000_000_000


class Waiting:
    """Calls at exact times, in seconds since a moment, and what each of them wasted."""

    def __init__(self, directory: Path, **waste: Any) -> None:
        self.recorder = recorder_with(directory, **waste)

    def call(
        self,
        at: float,
        usage: Usage | None,
        *,
        seconds: float = 0.0,
        outcome: Any = "success",
        hint: str = "",
        **body: Any,
    ) -> dict[str, int]:
        before = wasted(self.recorder)
        made = self.recorder.start_llm_call("openai", "gpt-5", asks={"messages": HELLO, **body})
        made.api_key_hint = hint
        made.started_unix_ns = NOW_NS + round(at * 1e9)
        made.begin_attempt().end(outcome)
        made.usage = usage
        made.finish(outcome, ended_ns=made.started_ns + round(seconds * 1e9))
        self.recorder.settle()
        after = wasted(self.recorder)
        return {cause: nano - before.get(cause, 0) for cause, nano in after.items() if nano != before.get(cause, 0)}


@pytest.mark.parametrize(
    ("age", "cause"),
    [
        (-0.001, "duplicate"), (0, "retried"), (59.999, "retried"), (60, "duplicate"), (60.001, "duplicate"),
        (3599.999, "duplicate"), (3600, None), (3600.001, None),
    ],
)  # fmt: skip
def test_until_when_a_request_is_a_retry_or_a_duplicate(tmp_path: Path, age: float, cause: str | None) -> None:
    waiting = Waiting(tmp_path)
    assert waiting.call(0, Usage(100, 7), seconds=2) == {}
    cost = 100 * FULL + 3 * OUT
    assert waiting.call(2 + age, Usage(100, 3)) == ({cause: cost} if cause else {})


def test_the_age_of_a_request_counts_from_the_last_answer(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path, retry_seconds=10, duplicate_seconds=20)
    seen = [list(waiting.call(at, Usage(100, 7), seconds=1)) for at in (0, 10.9, 21.9, 42.8, 63.8, 70)]
    assert seen == [[], ["retried"], ["duplicate"], ["duplicate"], [], ["retried"]]
    only = Waiting(tmp_path / "only", retry_seconds=0, duplicate_seconds=20)
    assert [list(only.call(at, Usage(100, 7))) for at in (0, 0, 19, 39)] == [[], ["duplicate"], ["duplicate"], []]


def test_what_did_not_succeed_is_no_answer_to_compare_with(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    assert waiting.call(0, Usage(100, 7), outcome="error") == {"failed": 100 * FULL + 7 * OUT}
    assert waiting.call(1, Usage(100, 7), outcome="timeout") == {"failed": 100 * FULL + 7 * OUT}
    assert waiting.call(2, Usage(100, 7), outcome="cancelled") == {"aborted": 100 * FULL + 7 * OUT}
    assert waiting.call(3, None, outcome="error") == {}
    assert waiting.call(4, Usage(100, 7)) == {}
    assert waiting.call(5, Usage(0, 7)) == {"retried": 7 * OUT}


def cached(waiting: Waiting, at: float, number: int, read: int, **more: Any) -> dict[str, int]:
    """A call with a long system prompt and a question of its own that reads so many tokens from the cache."""
    details = {**({"cache_read": read} if read else {}), **more.pop("details", {})}
    messages = [{"role": "user", "content": f"question {number}"}]
    return waiting.call(
        at, Usage(more.pop("tokens", 2000), 5, details), messages=messages, instructions="manual " * 900, **more
    )


@pytest.mark.parametrize(("age", "missed"), [(0, 1024), (299.999, 1024), (300, 1024), (300.001, 0), (3600, 0)])
def test_a_cached_prefix_is_expected_for_five_minutes_after_its_last_use(
    tmp_path: Path, age: float, missed: int
) -> None:
    waiting = Waiting(tmp_path)
    cached(waiting, 0, 1, 0)
    assert cached(waiting, 10, 2, 1024, seconds=5) == {}
    assert cached(waiting, 15 + age, 3, 0) == ({"cache_miss": missed * (FULL - CACHED)} if missed else {})


@pytest.mark.parametrize(("age", "missed"), [(300.001, True), (3600, True), (3600.001, False)])
def test_a_prefix_that_was_written_for_an_hour_is_expected_for_an_hour(
    tmp_path: Path, age: float, missed: bool
) -> None:
    waiting = Waiting(tmp_path)
    written = Usage(2000, 5, {"cache_write": 1500, "cache_write_1h": 1500})
    assert waiting.call(0, written, seconds=5, seed=1) == {}
    found = waiting.call(5 + age, Usage(2000, 5), seed=2)
    assert found == ({"cache_miss": 1500 * (FULL - CACHED)} if missed else {})


@pytest.mark.parametrize(("began", "missed"), [(-0.001, False), (0, True), (0.001, True)])
def test_what_is_being_written_is_there_when_the_call_has_ended(tmp_path: Path, began: float, missed: bool) -> None:
    waiting = Waiting(tmp_path)
    assert waiting.call(0, Usage(2000, 5, {"cache_write": 1500}), seconds=5, seed=1) == {}
    found = waiting.call(5 + began, Usage(2000, 5), seed=2)
    assert found == ({"cache_miss": 1500 * (FULL - CACHED)} if missed else {})


def test_a_prefix_that_is_written_again_was_there_all_the_time(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    waiting.call(0, Usage(2000, 5, {"cache_write": 1500}), seconds=5, seed=1)
    assert waiting.call(100, Usage(2000, 5, {"cache_write": 1500}), seconds=50, seed=2) == {
        "cache_miss": 1500 * (FULL - CACHED)
    }
    assert waiting.call(120, Usage(2000, 5), seed=3) == {"cache_miss": 1500 * (FULL - CACHED)}
    # After a gap it is there from the end of the call that wrote it.
    waiting.call(1000, Usage(2000, 5, {"cache_write": 1400}), seconds=50, seed=4)
    assert waiting.call(1020, Usage(2000, 5), seed=5) == {}
    assert waiting.call(1050, Usage(2000, 5), seed=6) == {"cache_miss": 1400 * (FULL - CACHED)}


def test_no_more_is_missed_than_the_prompt_has_and_what_was_read_counts(tmp_path: Path) -> None:
    for read, tokens, missed in ((0, 2000, 1500), (600, 2000, 900), (1500, 2000, 0), (1600, 2000, 0), (0, 700, 700)):
        waiting = Waiting(tmp_path / f"{read}-{tokens}")
        waiting.call(0, Usage(2000, 5, {"cache_write": 1500}), seed=1)
        details = {"cache_read": read} if read else {}
        found = waiting.call(1, Usage(tokens, 5, details), seed=2)
        assert found == ({"cache_miss": missed * (FULL - CACHED)} if missed else {}), (read, tokens)


def test_another_key_has_a_cache_of_its_own(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    waiting.call(0, Usage(2000, 5, {"cache_write": 1500}), seed=1, hint="one")
    assert waiting.call(1, Usage(2000, 5), seed=2, hint="two") == {}
    assert waiting.call(2, Usage(2000, 5), seed=3, hint="one") == {"cache_miss": 1500 * (FULL - CACHED)}


def test_the_newest_twenty_thousand_entries_are_remembered() -> None:
    recent: _Recent[int] = _Recent()
    for key in range(20_000):
        recent.keep(key, key)
    recent.keep(0, 5)
    assert (len(recent), next(iter(recent))) == (20_000, 1)
    recent.keep("new", 6)
    assert (len(recent), 1 in recent, recent[0], recent["new"], next(iter(recent))) == (20_000, False, 5, 6, 2)


@pytest.mark.parametrize("calls", [2, 3, 5])
def test_from_which_call_on_it_is_a_loop_is_a_setting(tmp_path: Path, calls: int) -> None:
    waiting = Waiting(tmp_path, loop_calls=calls)
    for count in (calls - 1, calls, calls + 1):
        found = waiting.call(count * 10_000, Usage(100, 1), messages=turns(*["{}"] * count))
        assert found == ({"loop": 100 * FULL + OUT} if count >= calls else {})


def test_a_tool_is_unused_after_so_many_calls_and_what_was_cached_of_it_is_cheaper(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "search", "description": "find orders " * 20}}]
    waiting = Waiting(tmp_path, unused_calls=3)
    sent = [
        waiting.call(
            at * 10_000,
            Usage(1000, 5, {"cache_read": 800}),
            messages=[{"role": "user", "content": f"{at}"}],
            tools=tools,
        )
        for at in range(5)
    ]
    prompt = prompt_of({"messages": [{"role": "user", "content": "0"}], "tools": tools})
    assert prompt is not None
    tokens = 1000 * dict(prompt.tools)["search"] // prompt.size
    assert 0 < tokens < 1000
    more = min(tokens, 800) * CACHED + max(0, tokens - 800) * FULL
    assert sent == [{}, {}, {}, {"tool_definitions": more}, {"tool_definitions": more}]


def test_a_row_of_waste_is_the_call_without_what_it_measured(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path)
    with tachograph.labels(team="search"):
        failed = call(recorder, HELLO, Usage(100, 7, {"cache_read": 50}, {"web_search": 1}), "error", seconds=2)
    ledger: Any = recorder.ledger
    rows = ledger._read(lambda store: list(store.rows(Query(raw=True))))
    row = next(one for one in rows if one.kind == "waste")
    whole = next(one for one in rows if one.kind == "llm")
    assert row.id != whole.id
    assert (whole.latency_us, whole.cost_nusd) == (2_000_000, row.cost_nusd)
    assert row.cost_nusd >= 50 * FULL + 50 * CACHED + 7 * OUT
    none = ("error_type", "input_tokens", "output_tokens", "details", "tool_uses", "list_cost_nusd", "span_id")
    nothing = dict.fromkeys(none)
    assert row == replace(
        whole, id=row.id, kind="waste", operation="failed", outcome="success", latency_us=0, attempts=0,
        cost_detail=None, parent_id=failed.id, **nothing,
    )  # fmt: skip


def test_without_a_price_nothing_is_wasted(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path)
    for written in (1500, 0):
        made = recorder.start_llm_call("openai", "a model of ours", asks={"messages": HELLO, "seed": written})
        made.begin_attempt().end("success")
        made.usage = Usage(2000, 5, {"cache_write": 1500} if written else {})
        made.finish("success")
    recorder.settle()
    causes = ("cache_miss", "duplicate", "retried")
    assert [metric(recorder, "llm_waste_usd_total", "openai", "a model of ours", cause) for cause in causes] == [
        0,
        0,
        0,
    ]


def test_where_prompts_are_not_looked_at_only_ends_and_diagnoses_count(tmp_path: Path) -> None:
    recorder = recorder_with(tmp_path, prompts=False)
    assert recorder.tool_owners is None
    call(recorder, HELLO, Usage(100, 7))
    call(recorder, HELLO, Usage(100, 7))
    assert wasted(recorder) == {}
    call(recorder, HELLO, Usage(100, 7), "error")
    call(recorder, HELLO, Usage(100, 8), "cancelled")
    assert wasted(recorder) == {"failed": 100 * FULL + 7 * OUT, "aborted": 100 * FULL + 8 * OUT}


def test_what_a_search_costs_is_no_part_of_what_the_cache_missed(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    waiting.call(0, Usage(2000, 5, {"cache_write": 1500}), seed=1)
    found = waiting.call(1, Usage(2000, 5, {"cache_write": 1600}, {"web_search": 3}), seed=2)
    assert found == {"cache_miss": 1500 * (FULL - CACHED)}


def test_tools_that_are_sent_take_from_the_front_of_what_was_cached(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "search", "description": "find"}}]
    waiting = Waiting(tmp_path, unused_calls=1)
    messages = [{"role": "user", "content": "a question " * 200}]
    prompt = prompt_of({"messages": messages, "tools": tools})
    assert prompt is not None
    tokens = 1000 * dict(prompt.tools)["search"] // prompt.size
    assert 0 < tokens < 800
    usage = Usage(1000, 5, {"cache_read": 800})
    assert waiting.call(0, usage, messages=messages, tools=tools) == {}
    assert waiting.call(10_000, usage, messages=messages, tools=tools) == {"tool_definitions": tokens * CACHED}


@pytest.mark.parametrize(("word", "price"), [("cache_write_5m", 3750), ("cache_write_1h", 6000)])
def test_what_was_missed_was_written_at_a_price(tmp_path: Path, word: str, price: int) -> None:
    recorder = recorder_with(tmp_path)
    made = recorder.start_llm_call("anthropic", "claude-sonnet-4-5", asks={"messages": HELLO})
    made.begin_attempt().end("success")
    made.usage = Usage(2000, 5, {"cache_write": 1500, word: 1500})
    made.cache_miss = (1000, "system_changed")
    made.finish("success")
    recorder.settle()
    amount = metric(recorder, "llm_waste_usd_total", "anthropic", "claude-sonnet-4-5", "cache_miss")
    assert round(amount * 1e9) == 1000 * (price - 300)
