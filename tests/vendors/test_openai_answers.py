"""OpenAI's answers and events, and what each of them puts into the record: all of it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest

from tachograph.records import LLMCall, Usage
from tachograph.vendors.api import Api
from tachograph.vendors.loose import LooseObject
from tachograph.vendors.once import COUNTED, JOBS
from tachograph.vendors.openai.apis import route


@pytest.fixture(autouse=True)
def nothing_counted_yet() -> Iterator[None]:
    COUNTED.forget()
    yield
    COUNTED.forget()


class Sink:
    """Where finished records go."""

    def __init__(self) -> None:
        self.in_flight: dict[int, Any] = {}
        self.got: list[LLMCall] = []

    def put(self, call: LLMCall) -> None:
        self.got.append(call)


def api(path: str, method: str = "post") -> Api:
    found = route(method, path)
    assert found is not None
    return found


def begun(of: Api, sink: Any = None, **more: Any) -> LLMCall:
    call = LLMCall(sink or Sink(), "openai", "asked-for", of.operation, api=of.name, server_address="api.x.ai")
    for name, value in more.items():
        setattr(call, name, value)
    return call


def changes(call: LLMCall, of: Api) -> dict[str, Any]:
    """What of a record is not as it was begun."""
    fresh = begun(of, call.sink, body=call.body, server_address=call.server_address)
    found = {
        name: getattr(call, name) for name in call.__struct_fields__ if getattr(call, name) != getattr(fresh, name)
    }
    if "first_token_ns" in found:
        found["first_token_ns"] = True
    return found


def read(of: Api, answer: Any, **more: Any) -> tuple[Any, dict[str, Any]]:
    """The error type and what changed, of a whole answer, which is the same as JSON and as objects."""
    found = []
    for form in (lambda value: value, loose):
        COUNTED.forget()
        call = begun(of, **more)
        found.append((of.read(call, form(answer)), changes(call, of)))
    assert found[0] == found[1]
    return found[0]


def loose(value: Any) -> Any:
    if isinstance(value, dict):
        return LooseObject(**{name: loose(inner) for name, inner in value.items()})
    return [loose(inner) for inner in value] if isinstance(value, list) else value


def fed(of: Api, *events: Any, **more: Any) -> tuple[Any, dict[str, Any]]:
    """The reader of a stream of these events, and what changed in the record."""
    assert of.chunks is not None
    reader, call = of.chunks(), begun(of, stream=True, **more)
    for event in events:
        assert reader.feed(loose(event), call) is False
    reader.fill(call)
    found = changes(call, of)
    del found["stream"]
    assert found.pop("first_token_ns", False) == reader.started
    return reader, found


CHAT, RESPONSES, STORED = api("/chat/completions"), api("/responses"), api("/responses/r-1", "get")
STORED_CHAT = api("/chat/completions/c-1", "get")
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
# xAI leaves reasoning out of the completion, and not out of the total
OF_XAI = {**USAGE, "total_tokens": 17}
READ = Usage(10, 5)
READ_AT_XAI = Usage(10, 7, {"reasoning": 2})
HEAD = {"id": "a-1", "model": "m-1", "service_tier": "flex"}
READ_HEAD = {"response_id": "a-1", "response_model": "m-1", "service_tier": "flex"}


class Text(StrEnum):
    """Text as an SDK's enumeration has it."""

    ONE = "one"


# Chat


def chat(finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"message": {"content": "hi"}, "finish_reason": finish}], **more}


@pytest.mark.parametrize(
    ("answer", "error_type", "changed"),
    [
        (chat(usage=USAGE), None, {**READ_HEAD, "finish_reason": "stop", "usage": READ}),
        (chat(usage=OF_XAI), None, {**READ_HEAD, "finish_reason": "stop", "usage": READ_AT_XAI}),
        (chat(), None, {**READ_HEAD, "finish_reason": "stop"}),
        (chat("length"), None, {**READ_HEAD, "finish_reason": "length"}),
        (chat(None), None, READ_HEAD),
        (chat("content_filter"), "content_filter", {**READ_HEAD, "finish_reason": "content_filter"}),
        (chat("error", usage=USAGE), "server_error", {**READ_HEAD, "finish_reason": "error", "usage": READ}),
        (chat("stop", error={"code": 429}), None, {**READ_HEAD, "finish_reason": "stop"}),
        (chat("length", error={"code": 429}), "rate_limit", {**READ_HEAD, "finish_reason": "length"}),
        ({**HEAD, "choices": []}, "server_error", READ_HEAD),
        ({**HEAD, "choices": "text", "usage": USAGE}, "server_error", {**READ_HEAD, "usage": READ}),
        (
            {"choices": [{"finish_reason": "stop", "usage": USAGE}, {"finish_reason": "error"}]},
            None,
            {"finish_reason": "stop", "usage": READ},
        ),
        (chat(x_groq={"usage": USAGE}), None, {**READ_HEAD, "finish_reason": "stop", "usage": READ}),
        (
            {
                "choices": [{"finish_reason": "stop", "usage": {**USAGE, "prompt_tokens": 11}}],
                "x_groq": {"usage": {**USAGE, "prompt_tokens": 12}},
                "timings": {"prompt_n": 13},
            },
            None,
            {"finish_reason": "stop", "usage": Usage(11, 5)},
        ),
        (
            chat(x_groq={"usage": USAGE}, timings={"prompt_n": 13}),
            None,
            {**READ_HEAD, "finish_reason": "stop", "usage": READ},
        ),
        (
            chat(timings={"prompt_n": 6, "cache_n": 4, "predicted_n": 5}),
            None,
            {**READ_HEAD, "finish_reason": "stop", "usage": Usage(10, 5, {"cache_read": 4})},
        ),
        (
            chat(timings={"prompt_n": 6, "predicted_n": 5}),
            None,
            {**READ_HEAD, "finish_reason": "stop", "usage": Usage(6, 5)},
        ),
        (chat(timings={"cache_n": 4, "predicted_n": 5}), None, {**READ_HEAD, "finish_reason": "stop"}),
        (None, None, {}),
        ("<html>", "server_error", {}),
        ({}, "server_error", {}),
    ],
)
def test_a_chat_is_read_whole(answer: Any, error_type: str | None, changed: dict[str, Any]) -> None:
    assert read(CHAT, answer) == (error_type, changed)


def test_a_stored_chat_is_read_without_its_usage_counting_again() -> None:
    answer = chat("content_filter", usage=USAGE)
    expected = {**READ_HEAD, "model": "m-1", "finish_reason": "content_filter", "usage": READ, "counts_usage": False}
    assert read(STORED_CHAT, answer) == (None, expected)
    assert read(STORED_CHAT, {"choices": []}) == (None, {"counts_usage": False})


@pytest.mark.parametrize("field", ["model", "id", "service_tier"])
def test_a_name_is_text_or_stays_as_it_was(field: str) -> None:
    ours = {"model": "response_model", "id": "response_id", "service_tier": "service_tier"}[field]
    for said, kept in (
        ("new", "new"),
        (Text.ONE, "one"),
        (None, "before"),
        ("", "before"),
        (7, "before"),
        ({}, "before"),
    ):
        call = begun(CHAT, **{ours: "before"})
        CHAT.read(call, {field: said, "choices": [{"finish_reason": "stop"}]})
        assert (getattr(call, ours), type(getattr(call, ours))) == (kept, str)


def test_what_a_chat_said_is_told_choice_by_choice() -> None:
    said = {"choices": [{"message": {"content": "a"}}, {"text": "b"}, {"message": {"content": ""}, "text": "c"}, {}]}
    assert CHAT.output_content(said) == CHAT.output_content(loose(said)) == ["a", "b", "c", None]
    assert CHAT.output_content({}) == []


def test_tokens_for_the_ring_are_those_reported() -> None:
    usage = LooseObject(prompt_tokens=1, completion_tokens=2, input_tokens=3, output_tokens=4)
    assert CHAT.tokens(LooseObject(usage=usage)) == (1, 2)
    assert RESPONSES.tokens(LooseObject(usage=usage)) == (3, 4)
    assert api("/embeddings").tokens(LooseObject(usage=usage)) == (1, 0)
    assert api("/images/edits").tokens(LooseObject(usage=usage)) == (3, 4)
    for each in (CHAT, RESPONSES, api("/embeddings"), api("/audio/speech")):
        assert each.tokens(LooseObject()) is None


# Chat, streamed


def chunk(finish: str | None = None, usage: Any = None, delta: Any = None, **more: Any) -> dict[str, Any]:
    found = {**HEAD, "choices": [{"delta": delta or {}, "finish_reason": finish}], **more}
    return found if usage is None else {**found, "usage": usage}


def last(usage: Any, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [], "usage": usage, **more}


WORDS = chunk(delta={"content": "a"})


@pytest.mark.parametrize(
    ("chunks", "is_complete", "error_type", "changed"),
    [
        ([], False, None, {}),
        ([WORDS], False, None, READ_HEAD),
        ([WORDS, chunk("stop")], True, None, {**READ_HEAD, "finish_reason": "stop"}),
        ([WORDS, chunk("stop", USAGE)], True, None, {**READ_HEAD, "finish_reason": "stop", "usage": READ}),
        ([WORDS, chunk("stop", OF_XAI)], True, None, {**READ_HEAD, "finish_reason": "stop", "usage": READ_AT_XAI}),
        ([chunk("length"), chunk("stop")], True, None, {**READ_HEAD, "finish_reason": "stop"}),
        ([chunk("content_filter")], True, "content_filter", {**READ_HEAD, "finish_reason": "content_filter"}),
        ([chunk("content_filter"), chunk("stop")], True, "content_filter", {**READ_HEAD, "finish_reason": "stop"}),
        ([chunk("content_filter"), chunk("error")], True, "content_filter", {**READ_HEAD, "finish_reason": "error"}),
        ([chunk("error", error={"code": 429})], True, "rate_limit", {**READ_HEAD, "finish_reason": "error"}),
        ([chunk("error")], True, "server_error", {**READ_HEAD, "finish_reason": "error"}),
        ([chunk("stop", error={"code": 429})], True, None, {**READ_HEAD, "finish_reason": "stop"}),
        ([{**HEAD, "choices": []}], False, None, READ_HEAD),
        ([{"error": {"code": 429}}], False, "rate_limit", {}),
        ([{"error": {"code": 429}}, {"error": {"code": 402}}], False, "rate_limit", {}),
        ([WORDS, {"error": {"code": 429}}], False, "rate_limit", READ_HEAD),
        ([WORDS, {"error": {"code": 429}}, {"error": {"code": 500}}], False, "rate_limit", READ_HEAD),
        ([WORDS, chunk("stop"), {"error": {"code": 429}}], True, None, {**READ_HEAD, "finish_reason": "stop"}),
        # the usage report comes with the last chunk, in either of its two places
        ([chunk("stop", x_groq={"usage": USAGE})], True, None, {**READ_HEAD, "finish_reason": "stop", "usage": READ}),
        (
            [{"choices": [{"finish_reason": "stop", "usage": USAGE}]}],
            True,
            None,
            {"finish_reason": "stop", "usage": READ},
        ),
        (
            [chunk("stop", USAGE, x_groq={"usage": {"prompt_tokens": 9}})],
            True,
            None,
            {**READ_HEAD, "finish_reason": "stop", "usage": READ},
        ),
        # reports before the end
        ([chunk(usage=USAGE)], False, None, {**READ_HEAD, "usage": READ}),
        ([chunk(usage=USAGE), WORDS], False, None, {**READ_HEAD, "usage": READ, "usage_mismatch": "early"}),
        ([chunk(usage=USAGE), WORDS, chunk()], False, None, {**READ_HEAD, "usage": READ, "usage_mismatch": "early"}),
        ([chunk(usage=USAGE), chunk()], False, None, {**READ_HEAD, "usage": READ}),
        (
            [chunk(usage=USAGE), chunk("stop", delta={"content": "a"})],
            True,
            None,
            {**READ_HEAD, "finish_reason": "stop", "usage": READ},
        ),
        (
            [chunk(usage=USAGE), WORDS, chunk(usage={"prompt_tokens": 10, "completion_tokens": 6})],
            False,
            None,
            {**READ_HEAD, "usage": Usage(10, 6)},
        ),
        (
            [chunk(usage=USAGE), WORDS, chunk(usage={"prompt_tokens": 0, "completion_tokens": 0})],
            False,
            None,
            {**READ_HEAD, "usage": READ, "usage_mismatch": "early"},
        ),
        (
            [chunk(usage={**USAGE, "total_tokens": 9}), WORDS],
            False,
            None,
            {**READ_HEAD, "usage": READ, "usage_mismatch": "total"},
        ),
        ([chunk(usage={"completion_tokens": 0}), WORDS], False, None, {**READ_HEAD, "usage_mismatch": "zeros"}),
        # a report that says nothing counts only where it is the first
        (
            [chunk("stop", {"prompt_tokens": 0})],
            True,
            None,
            {**READ_HEAD, "finish_reason": "stop", "usage_mismatch": "zeros"},
        ),
        *(
            ([chunk(usage={}), chunk("stop", {**USAGE, name: 7})], True, None, None)
            for name in ("completion_tokens", "prompt_tokens", "output_tokens", "input_tokens", "total_tokens")
        ),
    ],
)
def test_a_streamed_chat_is_read_whole(
    chunks: list[Any], is_complete: bool, error_type: str | None, changed: dict[str, Any] | None
) -> None:
    reader, found = fed(CHAT, *chunks)
    assert (reader.is_complete, reader.error_type) == (is_complete, error_type)
    if changed is not None:
        assert found == changed


@pytest.mark.parametrize(
    "name", ["completion_tokens", "prompt_tokens", "output_tokens", "input_tokens", "total_tokens"]
)
def test_a_report_that_says_anything_at_all_is_a_later_one(name: str) -> None:
    reader, _ = fed(CHAT, chunk(usage={"prompt_tokens": 10}), chunk(usage={name: 7}), chunk(usage={"cost": 1}))
    assert len(reader.reports) == 2


@pytest.mark.parametrize(
    "place", ["content", "tool_calls", "refusal", "reasoning_content", "reasoning", "function_call", "audio"]
)
def test_a_chunk_says_something_wherever_it_stands(place: str) -> None:
    assert fed(CHAT, chunk(delta={place: "a"}))[0].started
    assert not fed(CHAT, chunk(delta={place: ""}), chunk(delta={"role": "a"}))[0].started


def test_a_legacy_completion_says_its_text() -> None:
    of = api("/completions")
    assert fed(of, {"choices": [{"text": "a", "finish_reason": None}]})[0].started
    assert not fed(of, {"choices": [{"text": "", "finish_reason": None}]}, {"choices": [{"finish_reason": None}]})[
        0
    ].started


def test_the_chunk_that_asking_for_usage_causes_is_hidden_and_no_other() -> None:
    assert CHAT.chunks is not None
    for seen, is_hidden in (
        (last(USAGE), True),
        (last(USAGE, object="o", created=1, system_fingerprint="f", obfuscation="x"), True),
        (last(USAGE, more=None), True),
        (last(USAGE, more=1), False),
        (last(USAGE, choices=None), False),
    ):
        reader, call = CHAT.chunks(), begun(CHAT)
        assert reader.hides(seen) is reader.hides(loose(seen)) is is_hidden
        assert reader.feed(loose(seen), call) is is_hidden
        assert (reader.is_complete, reader.started) == (True, False)
        reader.fill(call)
        assert call.usage == READ
    reader = CHAT.chunks()
    for seen in (last(None), chunk("stop", USAGE), {"usage": USAGE}, None, "text", [], object()):
        assert reader.hides(seen) is False


def test_a_reader_that_read_nothing_says_so() -> None:
    for path in ("/chat/completions", "/responses", "/images/edits", "/audio/speech", "/threads/runs"):
        reader = api(path).chunks()
        assert (reader.is_complete, reader.started, reader.error_type) == (False, False, None)
        assert (reader.takes_lines, reader.tail, reader.content()) == (False, 64, None)
        assert path == "/chat/completions" or reader.hides(last(USAGE)) is False


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/images/edits", "/audio/speech", "/threads/runs"])
@pytest.mark.parametrize(
    "odd", [object(), SimpleNamespace(), SimpleNamespace(type=None, choices=None), b"sound", "text"]
)
def test_an_event_without_the_fields_of_one_says_nothing(path: str, odd: Any) -> None:
    of = api(path)
    assert of.chunks is not None
    reader, call = of.chunks(), begun(of)
    assert reader.feed(odd, call) is False
    reader.fill(call)
    assert (reader.is_complete, reader.error_type, call.usage, call.response_id) == (False, None, None, None)


@pytest.mark.parametrize(
    "choice", [SimpleNamespace(finish_reason=None), SimpleNamespace(finish_reason=None, delta=object())]
)
def test_a_choice_without_words_is_no_first_content(choice: Any) -> None:
    assert CHAT.chunks is not None
    reader, call = CHAT.chunks(), begun(CHAT)
    assert reader.feed(SimpleNamespace(choices=[choice]), call) is False
    assert (reader.started, reader.is_complete) == (False, False)
    ended = SimpleNamespace(**vars(choice))
    ended.finish_reason = "stop"
    reader.feed(SimpleNamespace(choices=[ended]), call)
    assert (reader.started, reader.is_complete, reader.reports) == (False, True, [])


def test_events_that_lack_what_they_announce_say_nothing() -> None:
    for path, event in (
        ("/responses", SimpleNamespace(type="response.completed")),
        ("/responses", SimpleNamespace(type="response.created")),
        ("/threads/runs", SimpleNamespace(event="thread.run.completed")),
    ):
        of = api(path)
        assert of.chunks is not None
        reader, call = of.chunks(), begun(of)
        reader.feed(event, call)
        reader.fill(call)
        assert (changes(call, of), reader.started) == ({}, False)


# Responses


def response(status: str | None = "completed", **more: Any) -> dict[str, Any]:
    return {**HEAD, "status": status, "usage": {"input_tokens": 10, "output_tokens": 5}, "output": [], **more}


DONE = {**READ_HEAD, "finish_reason": "completed", "usage": READ}
FILTERED = {"reason": "content_filter"}


@pytest.mark.parametrize(
    ("answer", "error_type", "changed"),
    [
        (response(), None, DONE),
        (
            response(usage={"input_tokens": 10, "output_tokens": 5, "total_tokens": 17}),
            None,
            {**DONE, "usage": READ_AT_XAI},
        ),
        (
            response("incomplete", incomplete_details={"reason": "max_output_tokens"}),
            None,
            {**DONE, "finish_reason": "max_output_tokens"},
        ),
        (
            response("incomplete", incomplete_details=FILTERED),
            "content_filter",
            {**DONE, "finish_reason": "content_filter"},
        ),
        (response("failed", error={"code": "rate_limit_exceeded"}), "rate_limit", {**DONE, "finish_reason": "failed"}),
        (response(prompt_cache_diagnostics={"type": "cache_hit"}), None, {**DONE, "cache_miss": (0, "cache_hit")}),
        (
            response(prompt_cache_diagnostics={"type": "cache_miss", "cache_missed_tokens": 7, "reason": "changed"}),
            None,
            {**DONE, "cache_miss": (7, "changed")},
        ),
        (
            response(prompt_cache_diagnostics={"type": "cache_miss", "cache_missed_tokens": 7}),
            None,
            {**DONE, "cache_miss": (7, "cache_miss")},
        ),
        (response(prompt_cache_diagnostics={"type": "cache_miss", "reason": "changed"}), None, DONE),
        (response(prompt_cache_diagnostics={"type": "other", "cache_missed_tokens": 7}), None, DONE),
        (response(background=True), None, DONE),
        (
            response("queued", background=True, usage=None),
            None,
            {**READ_HEAD, "finish_reason": "queued", "counts_usage": False},
        ),
        (
            response("in_progress", background=True, usage=None),
            None,
            {**READ_HEAD, "finish_reason": "in_progress", "counts_usage": False},
        ),
        (response("in_progress", background=True), None, {**DONE, "finish_reason": "in_progress"}),
        (response("cancelled", background=True, usage=None), None, {**READ_HEAD, "finish_reason": "cancelled"}),
        (response("queued", usage=None), None, {**READ_HEAD, "finish_reason": "queued"}),
        (None, None, {}),
        ("<html>", "server_error", {}),
    ],
)
def test_a_response_is_read_whole(answer: Any, error_type: str | None, changed: dict[str, Any]) -> None:
    assert read(RESPONSES, answer) == (error_type, changed)


def test_a_response_of_the_background_counts_once_and_others_each_time() -> None:
    def counts(of: Api, answer: Any) -> bool:
        call = begun(of)
        of.read(call, answer)
        return call.counts_usage

    done = response(background=True)
    assert not counts(RESPONSES, response("queued", background=True, usage=None))
    assert [counts(STORED, done), counts(STORED, done), counts(RESPONSES, done)] == [True, False, False]
    assert counts(STORED, {**done, "id": "a-2"})
    assert [counts(RESPONSES, response()), counts(RESPONSES, response())] == [True, True]
    assert not counts(STORED, response())


@pytest.mark.parametrize(
    ("answer", "error_type", "changed"),
    [
        (response(), None, {**DONE, "model": "m-1", "counts_usage": False}),
        (response(background=True), None, {**DONE, "model": "m-1"}),
        (
            response("failed", error={"code": 429}),
            None,
            {**DONE, "model": "m-1", "finish_reason": "failed", "counts_usage": False},
        ),
        (
            response("failed", error={"code": 429}, background=True),
            "rate_limit",
            {**DONE, "model": "m-1", "finish_reason": "failed"},
        ),
        ({"status": "completed"}, None, {"finish_reason": "completed", "counts_usage": False}),
    ],
)
def test_a_stored_response_is_read_whole(answer: Any, error_type: str | None, changed: dict[str, Any]) -> None:
    assert read(STORED, answer) == (error_type, changed)


SAID = {
    "output": [
        {"content": [{"text": "a"}, {"refusal": "b"}, {"text": "c", "refusal": "d"}, {}]},
        {"type": "reasoning"},
        {"content": [{"text": ""}, {"text": "e"}]},
    ]
}


def test_what_a_response_said_is_told_part_by_part() -> None:
    assert RESPONSES.output_content(SAID) == RESPONSES.output_content(loose(SAID)) == ["a", "b", "c", "e"]
    assert RESPONSES.output_content({}) == []


def event(kind: str | None, **more: Any) -> dict[str, Any]:
    return {"type": kind, **more}


CREATED = event("response.created", response=response("in_progress", usage=None))
BEGUN = dict(READ_HEAD)


@pytest.mark.parametrize(
    ("events", "is_complete", "error_type", "changed"),
    [
        ([], False, None, {}),
        ([CREATED], False, None, BEGUN),
        ([CREATED, event("response.output_text.delta")], False, None, BEGUN),
        ([CREATED, event("response.completed", response=response())], True, None, DONE),
        (
            [CREATED, event("response.incomplete", response=response("incomplete", incomplete_details=FILTERED))],
            True,
            "content_filter",
            {**DONE, "finish_reason": "content_filter"},
        ),
        (
            [CREATED, event("response.failed", response=response("failed", error={"code": 429}))],
            True,
            "rate_limit",
            {**DONE, "finish_reason": "failed"},
        ),
        (
            [CREATED, event("response.cancelled", response=response("cancelled"))],
            True,
            None,
            {**DONE, "finish_reason": "cancelled"},
        ),
        ([event("response.completed", response=response()), CREATED], True, None, DONE),
        ([CREATED, event("error", code="rate_limit_exceeded")], False, "rate_limit", BEGUN),
        ([event("error", error={"code": "rate_limit_exceeded"})], False, "rate_limit", {}),
        ([event("response.completed")], True, None, {}),
        ([event(None), event("response.in_progress", response=response())], False, None, {}),
    ],
)
def test_a_streamed_response_is_read_whole(
    events: list[Any], is_complete: bool, error_type: str | None, changed: dict[str, Any]
) -> None:
    reader, found = fed(RESPONSES, *events)
    assert (reader.is_complete, reader.error_type, found) == (is_complete, error_type, changed)
    assert reader.started is any(each["type"] == "response.output_text.delta" for each in events)


def test_a_stored_response_that_is_streamed_counts_no_more_than_one_that_is_not() -> None:
    _, found = fed(STORED, event("response.completed", response=response()))
    assert found == {**DONE, "model": "m-1", "counts_usage": False}


def test_the_last_event_holds_what_a_response_said() -> None:
    reader, _ = fed(RESPONSES, event("response.completed", response={**response(), **SAID}))
    assert reader.content() == ["a", "b", "c", "e"]
    assert fed(RESPONSES, event("response.created", response={**response(), **SAID}))[0].content() is None


# Embeddings, images and sound

IMAGES, EMBEDDINGS = api("/images/generations"), api("/embeddings")
TRANSCRIPTION, SPEECH, MODERATION = api("/audio/transcriptions"), api("/audio/speech"), api("/moderations")


@pytest.mark.parametrize(
    ("usage", "changed"),
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, {"usage": Usage(8)}),
        ({"total_tokens": 8}, {"usage": Usage(8)}),
        ({"total_tokens": 0}, {}),
        ({"prompt_tokens": 5, "total_tokens": 8}, {"usage": Usage(5, 3), "usage_mismatch": "incomplete"}),
        (None, {}),
    ],
)
def test_embeddings_have_only_a_prompt(usage: Any, changed: dict[str, Any]) -> None:
    assert read(EMBEDDINGS, {**HEAD, "usage": usage}) == (None, {**READ_HEAD, **changed})


def test_moderations_have_no_usage() -> None:
    assert read(MODERATION, {"model": "m-1", "id": "a-1", "usage": USAGE}) == (None, {"response_model": "m-1"})
    assert read(MODERATION, "text") == read(MODERATION, b"bytes") == read(MODERATION, {}) == (None, {})


@pytest.mark.parametrize(
    ("answer", "changed"),
    [
        ({**HEAD, "usage": {"type": "duration", "seconds": 3}}, {**READ_HEAD, "usage": Usage(audio_seconds=3.0)}),
        ({**HEAD, "usage": OF_XAI}, {**READ_HEAD, "usage": READ_AT_XAI}),
        ({"duration": 2.5}, {"usage": Usage(audio_seconds=2.5)}),
        ({"duration": 2.5, "usage": USAGE}, {"usage": READ}),
        ({"duration": -1}, {"usage_mismatch": "absurd"}),
        ({"text": "a"}, {}),
        ("text", {}),
    ],
)
def test_a_transcription_is_billed_by_its_tokens_or_by_its_length(answer: Any, changed: dict[str, Any]) -> None:
    assert read(TRANSCRIPTION, answer) == (None, changed)


ART = {"input_tokens": 3, "output_tokens": 4}


@pytest.mark.parametrize(
    ("answer", "body", "changed"),
    [
        ({**HEAD, "usage": USAGE, "data": [{}]}, None, {**READ_HEAD, "usage": READ}),
        ({"usage": OF_XAI}, None, {"usage": READ_AT_XAI}),
        ({"data": [{}, {}]}, {"quality": "hd", "size": "9x9"}, {"usage": Usage(tool_uses={"image/hd/9x9": 2})}),
        (
            {"data": [{}], "quality": "low", "size": "1x1"},
            {"quality": "hd", "size": "9x9"},
            {"usage": Usage(tool_uses={"image/low/1x1": 1})},
        ),
        (
            {"model": "dall-e-3", "data": [{}]},
            None,
            {"response_model": "dall-e-3", "usage": Usage(tool_uses={"image/standard/1024x1024": 1})},
        ),
        ({"data": []}, None, {}),
        ({"usage": USAGE, "svg_usage": {}}, None, {"usage": READ}),
        (
            {"usage": USAGE, "svg_usage": {**ART, "model": "author", "reasoning_tokens": 2}},
            None,
            {
                "usage": Usage(13, 9, {"reasoning": 2}, {"svg_author": 1}),
                "usages": (READ,),
                "others": (("author", Usage(3, 4, {"reasoning": 2})),),
            },
        ),
        (
            {"data": [{}], "svg_usage": ART},
            None,
            {
                "usage": Usage(3, 4, {}, {"image": 1, "svg_author": 1}),
                "usages": (Usage(tool_uses={"image": 1}),),
                "others": (("an author of SVG", Usage(3, 4)),),
            },
        ),
        ({"svg_usage": ART}, None, {}),
    ],
)
def test_images_are_billed_by_their_tokens_or_by_their_number(answer: Any, body: Any, changed: dict[str, Any]) -> None:
    assert read(IMAGES, answer, body=body) == (None, changed)


def test_an_image_is_that_of_the_model_that_was_asked_where_the_answer_names_none() -> None:
    call = begun(IMAGES, model="dall-e-2")
    IMAGES.read(call, {"data": [{}]})
    assert call.usage == Usage(tool_uses={"image/1024x1024": 1})


SPOKEN = b'data: {"type": "speech.audio.delta"}\n\ndata: {"usage": {"input_tokens": 10, "output_tokens": 5}}\n\n'


@pytest.mark.parametrize(
    ("answer", "body", "changed"),
    [
        (SimpleNamespace(content=SPOKEN), {"input": "hello"}, {"usage": READ}),
        (SimpleNamespace(content=b"\x00\x01sound"), {"input": "hello"}, {"usage": Usage(tool_uses={"character": 5})}),
        (SimpleNamespace(content="data: {}"), {"input": "hello"}, {"usage": Usage(tool_uses={"character": 5})}),
        ({"usage": OF_XAI}, {"input": "hello"}, {"usage": READ_AT_XAI}),
        (None, {"input": "hello"}, {"usage": Usage(tool_uses={"character": 5})}),
        (None, {"input": ["hello"]}, {}),
        (None, {}, {}),
        (None, None, {}),
    ],
)
def test_speech_is_billed_by_its_tokens_or_by_the_text(answer: Any, body: Any, changed: dict[str, Any]) -> None:
    assert read(SPEECH, answer, body=body) == (None, changed)


@pytest.mark.parametrize(
    ("of", "events", "is_complete", "changed"),
    [
        (IMAGES, [event("image_generation.partial_image")], False, {}),
        (IMAGES, [event("image_generation.completed", usage=USAGE)], True, {"usage": READ}),
        (IMAGES, [event("image_generation.completed", usage=OF_XAI)], True, {"usage": READ_AT_XAI}),
        (
            IMAGES,
            [event("image_generation.completed", quality="hd", size="9x9")],
            True,
            {"usage": Usage(tool_uses={"image/hd/9x9": 1})},
        ),
        (
            TRANSCRIPTION,
            [event("transcript.text.delta"), event("transcript.text.done", usage=USAGE)],
            True,
            {"usage": READ},
        ),
        (TRANSCRIPTION, [event("transcript.text.done")], True, {}),
        (SPEECH, [event("speech.audio.delta"), event("speech.audio.done", usage=USAGE)], True, {"usage": READ}),
        (SPEECH, [event("speech.audio.done")], True, {"usage": Usage(tool_uses={"character": 5})}),
        (SPEECH, [event(None), b"sound"], False, {"usage": Usage(tool_uses={"character": 5})}),
    ],
)
def test_streamed_media_are_read_by_their_last_event(
    of: Api, events: list[Any], is_complete: bool, changed: dict[str, Any]
) -> None:
    reader, found = fed(of, *events, body={"input": "hello"})
    assert (reader.is_complete, reader.error_type, found) == (is_complete, None, changed)
    assert reader.started is any(getattr(loose(each), "type", None) not in LAST for each in events)


LAST = ("image_generation.completed", "transcript.text.done", "speech.audio.done")


# Jobs


def job(status: str | None = "completed", **more: Any) -> dict[str, Any]:
    return {"id": "j-1", "model": "m-1", "status": status, "usage": USAGE, **more}


JOB = {"response_id": "j-1", "model": "m-1", "finish_reason": "completed"}
BATCH, RUN = api("/batches/j-1", "get"), api("/threads/t/runs/j-1", "get")
ENDED = ("completed", "failed", "expired", "cancelled", "incomplete")


@pytest.mark.parametrize(
    ("of", "more"),
    [
        (BATCH, {"service_tier": "batch", "request_count": 0}),
        (RUN, {"response_model": "m-1", "request_count": 0}),
    ],
    ids=["batch", "run"],
)
def test_a_batch_or_a_run_is_read_whole(of: Api, more: dict[str, Any]) -> None:
    for status in ENDED:
        expected = {**JOB, **more, "finish_reason": status, "usage": READ}
        assert read(of, job(status)) == (None, expected)
    assert read(of, job(usage=OF_XAI))[1]["usage"] == READ_AT_XAI
    for said in (job("in_progress"), job(usage=None), job(usage={})):
        expected = {**JOB, **more, "finish_reason": said["status"], "counts_usage": False}
        assert read(of, said) == (None, expected)
    without = job()
    del without["id"]
    expected = {**JOB, **more, "counts_usage": False}
    del expected["response_id"]
    assert read(of, without) == (None, expected)
    call = begun(of)
    of.read(call, {})
    assert (call.model, call.counts_usage) == ("asked-for", False)


def test_a_batch_says_how_many_requests_it_made() -> None:
    assert read(BATCH, job(request_counts={"completed": 7, "total": 9}))[1]["request_count"] == 7


@pytest.mark.parametrize("of", [BATCH, RUN, api("/evals/e/runs/j-1", "get")], ids=["batch", "run", "eval"])
def test_usage_of_a_job_counts_the_first_time_that_it_is_read_with_it(of: Api) -> None:
    def counts(answer: Any) -> tuple[bool, Any]:
        call = begun(of)
        of.read(call, {**answer, "per_model_usage": [answer["usage"]]})
        return call.counts_usage, call.usage

    assert counts(job("in_progress")) == counts(job(usage={})) == (False, None)
    assert counts(job()) == (True, READ)
    assert counts(job()) == (False, None)
    assert counts({**job(), "id": "j-2"}) == (True, READ)


VIDEO, TUNING = api("/videos/j-1", "get"), api("/fine_tuning/jobs/j-1", "get")
BILLED = ("completed", "succeeded", "cancelled")


@pytest.mark.parametrize(
    ("of", "more", "uses"),
    [
        (VIDEO, {"seconds": "8", "size": "9x9"}, {"video_second/9x9": 8}),
        (VIDEO, {"seconds": 4}, {"video_second": 4}),
        (TUNING, {"trained_tokens": 70}, {"trained_token": 70}),
    ],
)
def test_a_job_that_is_billed_by_number_counts_once_it_is_whole(of: Api, more: dict[str, Any], uses: Any) -> None:
    for status in BILLED:
        expected = {**JOB, "finish_reason": status, "usage": Usage(tool_uses=uses)}
        assert read(of, job(status, **more)) == (None, expected)
    for said in (job("failed", **more), job("in_progress", **more), job()):
        assert read(of, said) == (None, {**JOB, "finish_reason": said["status"], "counts_usage": False})
    without = {"status": "completed", **more}
    assert read(of, without) == (None, {"finish_reason": "completed", "counts_usage": False})
    call = begun(of)
    of.read(call, job(**more))
    again = begun(of)
    of.read(again, job(**more))
    assert (call.counts_usage, again.counts_usage, again.usage) == (True, False, None)


def test_a_video_is_billed_by_the_seconds_that_were_asked_for() -> None:
    made = begun(api("/videos"), body={"seconds": "12"})
    made.operation = "video_generation"
    api("/videos/edits").read(made, {"id": "v-1", "model": "sora-2", "size": "9x9", "status": "queued", "seconds": "4"})
    assert (made.model, made.counts_usage, made.usage) == ("sora-2", False, None)
    assert JOBS.asked("v-1") == ("video_second/9x9", 12)
    whole = begun(VIDEO)
    VIDEO.read(whole, {"id": "v-1", "model": "sora-2", "size": "8x8", "status": "completed", "seconds": "20"})
    assert whole.usage == Usage(tool_uses={"video_second/9x9": 12})
    other = begun(VIDEO, body={"seconds": "12"})
    VIDEO.read(other, {"id": "v-2", "model": "sora-2", "status": "completed", "seconds": "20"})
    assert (other.usage, JOBS.asked("v-2")) == (Usage(tool_uses={"video_second/720x1280": 20}), None)
    unasked = begun(api("/videos"), body={})
    api("/videos").read(unasked, {"id": "v-3", "model": "sora-2", "status": "queued", "seconds": "4"})
    assert JOBS.asked("v-3") is None
    assert JOBS.asked("") is None


CONVERSATION = api("/conversations")


@pytest.mark.parametrize(
    ("answer", "changed"),
    [
        ({"id": "c-1", "usage": USAGE}, {"response_id": "c-1", "usage": READ}),
        ({"id": "c-1", "usage": OF_XAI}, {"response_id": "c-1", "usage": READ_AT_XAI}),
        ({"conversation_id": "c-2"}, {"response_id": "c-2", "counts_usage": False}),
        ({"id": "c-1", "conversation_id": "c-2"}, {"response_id": "c-1", "counts_usage": False}),
        ({"usage": {"prompt_tokens": 0}}, {"usage_mismatch": "zeros", "counts_usage": False}),
        ({}, {"counts_usage": False}),
    ],
)
def test_a_conversation_counts_where_it_has_usage(answer: Any, changed: dict[str, Any]) -> None:
    assert read(CONVERSATION, answer) == (None, changed)


# Evals

EVAL = api("/evals/e/runs")


def part(name: str | None = None, other: str | None = None, times: Any = 3, **usage: Any) -> dict[str, Any]:
    return {"model_name": name, "run_model_name": other, "invocation_count": times, **(usage or USAGE)}


def test_each_model_of_an_eval_is_a_record_of_its_own() -> None:
    sink = Sink()
    call = begun(EVAL, sink, number=1, started_unix_ns=5, labels={"team": "a"})
    parts = [
        part("first"),
        part("nothing", prompt_tokens=0),
        part(None, "second", 0, prompt_tokens=1, completion_tokens=2),
        part(times="many", **OF_XAI),
        part("named", "other"),
    ]
    assert EVAL.read(call, loose(job(per_model_usage=parts))) is None
    assert changes(call, EVAL) == {
        "model": "first",
        "response_model": "first",
        "response_id": "j-1",
        "finish_reason": "completed",
        "usage": READ,
        "request_count": 3,
        "number": 1,
        "started_unix_ns": 5,
        "labels": {"team": "a"},
    }
    assert [(each.model, each.response_model, each.usage, each.request_count) for each in sink.got] == [
        ("second", "second", Usage(1, 2), 0),
        ("unknown", "unknown", READ_AT_XAI, 0),
        ("named", "named", READ, 3),
    ]
    for each in sink.got:
        assert (each.api, each.response_id, each.parent_id) == ("evals", "j-1", call.id)
        assert (each.outcome, each.error_type, each.operation, each.labels) == (
            "success", None, "create_eval_run", {"team": "a"},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "changed"),
    [
        *(
            (
                job(status, per_model_usage=[part("first")]),
                {"finish_reason": status, "model": "first", "response_model": "first"},
            )
            for status in ("completed", "failed", "canceled")
        ),
        (job("in_progress", per_model_usage=[part("first")]), None),
        (job("queued", per_model_usage=[part("first")]), None),
        (job(per_model_usage=[]), None),
        (job(per_model_usage=[part("first", prompt_tokens=0)]), None),
        (job(), None),
    ],
)
def test_an_eval_counts_once_it_has_ended_with_usage(answer: Any, changed: dict[str, Any] | None) -> None:
    if changed is None:
        expected = {**JOB, "finish_reason": answer["status"], "counts_usage": False}
    else:
        expected = {**JOB, **changed, "usage": READ, "request_count": 3}
    assert read(EVAL, answer) == (None, expected)
    without = {name: value for name, value in answer.items() if name not in ("id", "model")}
    nameless = {"finish_reason": answer["status"], "counts_usage": False}
    assert read(EVAL, without) == (None, nameless)


# A run, streamed

ASSISTANT = api("/threads/runs")


def step(kind: str | None, **data: Any) -> dict[str, Any]:
    return {"event": kind, "data": data or None}


RAN = {"model": "m-1", "response_model": "m-1", "response_id": "j-1", "request_count": 0}


@pytest.mark.parametrize(
    ("events", "is_complete", "error_type", "changed"),
    [
        ([], False, None, {}),
        *(
            (
                [step(f"thread.run.{kind}", **job(kind, usage=None))],
                False,
                None,
                {**RAN, "finish_reason": kind, "counts_usage": False},
            )
            for kind in ("created", "queued", "in_progress")
        ),
        *(
            ([step(f"thread.run.{kind}", **job(kind))], True, None, {**RAN, "finish_reason": kind, "usage": READ})
            for kind in ("completed", "cancelled", "expired", "incomplete")
        ),
        (
            [step("thread.run.failed", **job("failed", last_error={"code": "rate_limit_exceeded", "message": "m"}))],
            True,
            "rate_limit",
            {**RAN, "finish_reason": "failed", "usage": READ},
        ),
        (
            [step("thread.run.completed", **job(last_error={"code": "rate_limit_exceeded"}))],
            True,
            None,
            {**RAN, "finish_reason": "completed", "usage": READ},
        ),
        (
            [step("thread.run.requires_action", **job("requires_action", usage=None))],
            True,
            None,
            {**RAN, "finish_reason": "requires_action", "counts_usage": False},
        ),
        (
            [step("thread.run.completed", **job()), step("thread.run.step.completed", **job("failed"))],
            True,
            None,
            {**RAN, "finish_reason": "completed", "usage": READ},
        ),
        ([step("thread.run.step.created"), step("thread.created"), step(None), step("done")], False, None, {}),
        ([step("thread.message.delta")], False, None, {}),
        ([step("thread.run.completed")], True, None, {}),
    ],
)
def test_a_streamed_run_is_read_by_its_last_event(
    events: list[Any], is_complete: bool, error_type: str | None, changed: dict[str, Any]
) -> None:
    reader, found = fed(ASSISTANT, *events)
    assert (reader.is_complete, reader.error_type, found) == (is_complete, error_type, changed)
    assert reader.started is any(each["event"] == "thread.message.delta" for each in events)
