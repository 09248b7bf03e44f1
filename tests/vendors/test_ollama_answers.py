"""Ollama's own API: requests, answers and streams of lines."""

from __future__ import annotations

from typing import Any

import pytest

from support.answers import attributes, loose, read, routed, streamed
from tachograph.records import Usage
from tachograph.vendors.api import RequestFacts
from tachograph.vendors.wire import route

CHAT, GENERATE, EMBED, OLD_EMBED = (routed(f"/api/{name}").api for name in ("chat", "generate", "embed", "embeddings"))
FORMS = pytest.mark.parametrize("form", [lambda each: each, loose, attributes], ids=["dict", "wire", "attributes"])


@pytest.mark.parametrize(
    ("path", "name", "operation", "streams"),
    [
        ("/api/chat", "chat", "chat", True),
        ("/api/generate", "generate", "text_completion", True),
        ("/api/embed", "embed", "embeddings", False),
        ("/api/embeddings", "embed", "embeddings", False),
    ],
)
def test_a_path_is_an_api(path: str, name: str, operation: str, streams: bool) -> None:
    api = routed(path).api
    assert (api.vendor, api.name, api.operation, api.chunks is not None) == ("ollama", name, operation, streams)
    assert route("GET", path) is None


OPTIONS = {"num_predict": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "seed": 1, "num_ctx": 4096}
SETTINGS = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "seed": 1}


@pytest.mark.parametrize("api", [CHAT, GENERATE], ids=["chat", "generate"])
@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ({"model": "llama3", "messages": [1, 2]}, RequestFacts("llama3", 2, True, None)),
        ({"model": "llama3", "prompt": "p", "stream": False}, RequestFacts("llama3", 1, False, None)),
        ({"model": "m", "stream": True, "options": OPTIONS}, RequestFacts("m", 0, True, SETTINGS)),
        ({"model": "m", "stream": None, "options": {"num_ctx": 1}}, RequestFacts("m", 0, True, None)),
        ({"model": ""}, RequestFacts("unknown", 0, True, None)),
        ({}, RequestFacts("unknown", 0, True, None)),
    ],
)
def test_a_request_streams_unless_it_says_no(api: Any, body: dict[str, Any], facts: RequestFacts) -> None:
    assert api.facts(body) == facts


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ({"model": "m", "input": ["a", "b"], "stream": True}, RequestFacts("m", 2, False, None)),
        ({"model": "m", "prompt": "p", "options": OPTIONS}, RequestFacts("m", 1, False, None)),
        ({}, RequestFacts("unknown", 0, False, None)),
    ],
)
def test_a_request_for_embeddings_never_streams(body: dict[str, Any], facts: RequestFacts) -> None:
    assert EMBED.facts(body) == OLD_EMBED.facts(body) == facts


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"messages": [1], "prompt": "p", "input": "i"}, [1]),
        ({"messages": None, "prompt": "p", "input": "i"}, "p"),
        ({"prompt": "", "input": "i"}, ""),
        ({"input": "i"}, "i"),
        ({}, None),
    ],
)
def test_what_was_asked_stands_in_one_of_three_fields(body: dict[str, Any], asked: object) -> None:
    assert {str(api.input_content(body)) for api in (CHAT, GENERATE, EMBED)} == {str(asked)}


DONE = {"model": "llama3:8b", "done": True, "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 8}


@FORMS
@pytest.mark.parametrize("api", [CHAT, GENERATE, EMBED], ids=["chat", "generate", "embed"])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (DONE, {"response_model": "llama3:8b", "finish_reason": "stop", "usage": Usage(26, 8)}),
        ({"eval_count": 8}, {"usage": Usage(None, 8)}),
        ({"prompt_eval_count": 26}, {"usage": Usage(26, None)}),
        ({"prompt_eval_count": 26.0, "eval_count": 8.0}, {"usage": Usage(26, 8)}),
        ({"prompt_eval_count": 26, "eval_count": -8}, {"usage": Usage(26, None), "usage_mismatch": "absurd"}),
        ({"prompt_eval_count": 0, "eval_count": 0}, {"usage_mismatch": "zeros"}),
        ({"error": "model not found"}, {"failed": "server_error"}),
        ({"error": ""}, {}),
        ({}, {}),
    ],
)
def test_an_answer_has_its_model_reason_and_tokens(
    form: Any, api: Any, answer: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert read(api, form(answer)) == expected


def test_what_an_answer_does_not_say_stays_as_it_was() -> None:
    known = {"response_model": "m", "finish_reason": "length", "usage": Usage(1, 2)}
    assert read(CHAT, {}, **known) == known
    assert read(CHAT, DONE, **known) == {
        "response_model": "llama3:8b", "finish_reason": "stop", "usage": Usage(26, 8),
    }  # fmt: skip


def test_what_was_said_is_the_response_or_the_message() -> None:
    for api in (CHAT, GENERATE, EMBED):
        assert api.output_content({"response": "one"}) == "one"
        assert api.output_content({"response": "", "message": {"role": "assistant", "content": "two"}}) == "two"
        assert api.output_content({}) is None


@FORMS
@pytest.mark.parametrize("api", [CHAT, GENERATE], ids=["chat", "generate"])
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [{"message": {"content": "a"}, "done": False}, {"message": {"content": "b"}, "done": False}, DONE],
            {
                "first": 0,
                "whole": True,
                "response_model": "llama3:8b",
                "finish_reason": "stop",
                "usage": Usage(26, 8),
            },
        ),
        ([DONE], {"whole": True, "response_model": "llama3:8b", "finish_reason": "stop", "usage": Usage(26, 8)}),
        ([{"error": "out of memory"}], {"failed": "server_error"}),
        ([{"response": "a"}, {"error": "out of memory", "done": True}], {"first": 0, "failed": "server_error"}),
        ([], {}),
    ],
)
def test_a_stream_is_read_as_its_last_line_says(
    form: Any, api: Any, lines: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    assert streamed(api, *map(form, lines)) == expected
