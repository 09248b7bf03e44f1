"""What requests say about themselves, which API they go to, and what is known of the host."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tachograph.records import NOWHERE, LLMCall
from tachograph.vendors.api import (
    FETCH,
    Api,
    RequestFacts,
    WholeAnswer,
    count_of,
    facts_by,
    no_facts,
    nothing,
    said_under,
    settings_of,
)
from tachograph.vendors.dialects import KNOWN, Dialect, configured, dialect_for, dialect_of, local_dialect, matches
from tachograph.vendors.gateways import LITELLM, are_of_a_gateway, note_gateway
from tachograph.vendors.openai.apis import route
from tachograph.vendors.openai.requests import request_facts, said
from tachograph.vendors.wire import route as wire_route


class Name(str):
    """Text of a kind of its own."""


def call(**more: Any) -> LLMCall:
    made = LLMCall(NOWHERE, "openai", "m")
    for name, value in more.items():
        setattr(made, name, value)
    return made


# Facts of a request


def facts(body: dict[str, Any]) -> tuple[str, int, bool, dict[str, Any] | None]:
    """What a request to OpenAI says, its settings read."""
    found = request_facts(body)
    settings = found.settings() if callable(found.settings) else found.settings
    return found.model, found.message_count, found.stream, settings


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("unknown", 0, False, None)),
        ({"model": "m"}, ("m", 0, False, None)),
        ({"model": ""}, ("unknown", 0, False, None)),
        ({"model": None}, ("unknown", 0, False, None)),
        ({"model": 7}, ("7", 0, False, None)),
        ({"model": Name("m")}, ("m", 0, False, None)),
        ({"model": object()}, ("unknown", 0, False, None)),
        ({"messages": [1, 2]}, ("unknown", 2, False, None)),
        ({"messages": []}, ("unknown", 0, False, None)),
        ({"messages": (1, 2, 3)}, ("unknown", 3, False, None)),
        ({"messages": "one"}, ("unknown", 1, False, None)),
        ({"input": [1, 2]}, ("unknown", 2, False, None)),
        ({"input": "one"}, ("unknown", 1, False, None)),
        ({"prompt": ["a", "b"]}, ("unknown", 2, False, None)),
        ({"prompt": "a"}, ("unknown", 1, False, None)),
        ({"messages": [1], "input": [1, 2], "prompt": [1, 2, 3]}, ("unknown", 1, False, None)),
        ({"messages": None, "input": [1, 2], "prompt": [1, 2, 3]}, ("unknown", 2, False, None)),
        ({"stream": True}, ("unknown", 0, True, None)),
        ({"stream": 1}, ("unknown", 0, True, None)),
        ({"stream": False}, ("unknown", 0, False, None)),
        ({"stream": None}, ("unknown", 0, False, None)),
        ({"stream": object()}, ("unknown", 0, False, None)),
        ({"max_tokens": 1}, ("unknown", 0, False, {"max_tokens": 1})),
        ({"max_tokens": 1, "max_completion_tokens": 2}, ("unknown", 0, False, {"max_tokens": 2})),
        ({"max_completion_tokens": 2, "max_output_tokens": 3}, ("unknown", 0, False, {"max_tokens": 2})),
        ({"max_output_tokens": 3}, ("unknown", 0, False, {"max_tokens": 3})),
        (
            {"temperature": 0.5, "top_p": 0, "seed": 7},
            ("unknown", 0, False, {"temperature": 0.5, "top_p": 0, "seed": 7}),
        ),
        (
            {"frequency_penalty": 1, "presence_penalty": 2},
            ("unknown", 0, False, {"frequency_penalty": 1, "presence_penalty": 2}),
        ),
        ({"service_tier": "flex"}, ("unknown", 0, False, {"service_tier": "flex"})),
        ({"service_tier": Name("flex")}, ("unknown", 0, False, {"service_tier": "flex"})),
        ({"stop": "END"}, ("unknown", 0, False, {"stop_sequences": ["END"]})),
        ({"stop": ["END", "."]}, ("unknown", 0, False, {"stop_sequences": ["END", "."]})),
        ({"stop": None, "temperature": object(), "seed": {"a": 1}}, ("unknown", 0, False, None)),
        ({"reasoning_effort": "low"}, ("unknown", 0, False, {"reasoning.level": "low"})),
        ({"reasoning": {"effort": "high"}}, ("unknown", 0, False, {"reasoning.level": "high"})),
        (
            {"reasoning_effort": "low", "reasoning": {"effort": "high"}},
            ("unknown", 0, False, {"reasoning.level": "high"}),
        ),
        ({"reasoning_effort": "low", "reasoning": {}}, ("unknown", 0, False, {"reasoning.level": "low"})),
        ({"reasoning": SimpleNamespace(effort="high")}, ("unknown", 0, False, {"reasoning.level": "high"})),
        ({"reasoning": "high", "tools": [1], "user": "u"}, ("unknown", 0, False, None)),
    ],
)
def test_a_request_says_its_model_its_messages_and_its_settings(body: dict[str, Any], expected: Any) -> None:
    assert facts(body) == expected


def test_only_the_stated_fields_are_kept_until_the_settings_are_read() -> None:
    got: list[dict[str, Any]] = []

    def read(fields: Any) -> dict[str, Any]:
        got.append(dict(fields))
        return {"read": 1}

    found = facts_by(lambda body: body.get("asked"), read, frozenset(("a", "b")))({"a": 1, "c": 3, "asked": [1, 2]})
    assert got == []
    assert callable(found.settings)
    assert (found.settings(), got, found.message_count) == ({"read": 1}, [{"a": 1}], 2)


@pytest.mark.parametrize(
    ("body", "model", "count", "stream"),
    [
        ({"model": "m", "messages": [1, 2], "stream": True}, "m", 2, True),
        ({"model": Name("m"), "messages": (1, 2), "asked": [1], "stream": False}, "m", 1, False),
        ({"model": "", "asked": "one", "stream": 1}, "unknown", 1, True),
        ({"model": 7, "asked": None, "stream": object()}, "7", 0, False),
        ({"model": None, "messages": [], "asked": [1], "stream": None}, "unknown", 0, False),
        ({"model": object(), "stream": 0}, "unknown", 0, False),
        ({"stream": "yes"}, "unknown", 0, True),
        ({}, "unknown", 0, False),
    ],
)
def test_what_reads_a_request_is_made_for_each_api(body: dict[str, Any], model: str, count: int, stream: bool) -> None:
    read = facts_by(said_under(("asked", "messages")), dict, frozenset(("a",)))
    assert read(body) == RequestFacts(model, count, stream, None)
    stated = read({**body, "a": 0})
    assert (stated.model, stated.message_count, stated.stream) == (model, count, stream)
    assert callable(stated.settings)
    assert stated.settings() == {"a": 0}


def test_what_a_model_was_asked_is_the_first_field_that_is_there() -> None:
    assert said({"messages": [1], "input": "i"}) == [1]
    assert said({"input": "i", "prompt": "p"}) == "i"
    assert said({"prompt": ""}) == ""
    assert said({}) is said_under(())({"a": 1}) is None


@pytest.mark.parametrize(
    ("asked", "count"), [([], 0), ([1, 2], 2), ((1, 2, 3), 3), ("text", 1), ({}, 1), (0, 1), (None, 0)]
)
def test_a_list_counts_its_entries_and_anything_else_is_one(asked: Any, count: int) -> None:
    assert count_of(asked) == count


class Slots:
    """A model without a dictionary."""

    __slots__ = ("b", "last")

    def __init__(self) -> None:
        self.b, self.last = 1, ["x", None]


def test_settings_are_read_under_our_names_from_any_form() -> None:
    names = {"a": "ours", "b": "ours", "last": "list", "odd": "odd", "text": "text"}
    assert settings_of({"a": 1, "b": 2, "c": 3, "odd": object(), "text": Name("t")}, names) == {"ours": 1, "text": "t"}
    assert settings_of({"b": False, "last": ("x", 1)}, names) == {"ours": False, "list": ["x", 1]}
    assert settings_of(SimpleNamespace(b=2, odd={"x": 1}), names) == {"ours": 2}
    assert settings_of(Slots(), names) == {"ours": 1, "list": ["x"]}
    assert settings_of(None, names) == settings_of(7, names) == settings_of({}, names) == {}


def test_a_request_without_a_body_says_its_model_at_most() -> None:
    assert no_facts({"model": "m"}) == RequestFacts("m", 0, False, None)
    assert no_facts({}) == no_facts({"model": ""}) == RequestFacts("unknown", 0, False, None)
    assert no_facts({"model": 7, "messages": [1]}) == RequestFacts("7", 0, False, None)
    assert nothing({"a": 1}) is None


def test_an_answer_that_is_no_stream_is_read_as_a_whole() -> None:
    reader, made = WholeAnswer(), call()
    assert (reader.is_complete, reader.started, reader.error_type) == (False, False, None)
    assert (reader.takes_lines, reader.tail) == (False, 0)
    assert (reader.hides({"a": 1}), reader.feed({"a": 1}, made), reader.content()) == (False, False, None)
    reader.fill(made)
    assert (reader.started, made.first_token_ns) == (False, 0)
    reader.start(made)
    assert (reader.started, made.first_token_ns > 0) == (True, True)


def test_what_is_free_and_what_was_answered_before_costs_nothing() -> None:
    def read(call: LLMCall, answer: Any) -> None:
        return None

    assert Api("openai", "n", "chat", read).costs
    assert not Api("openai", "n", FETCH, read).costs
    assert not Api("openai", "n", "chat", read, counts_usage=False).costs


# OpenAI's APIs

POST: dict[str, tuple[str, str, bool, bool]] = {
    "/chat/completions": ("chat_completions", "chat", True, True),
    "/completions": ("completions", "text_completion", True, True),
    "/responses": ("responses", "chat", True, True),
    "/responses/compact": ("responses_compact", "chat", True, True),
    "/responses/input_tokens": ("token_count", "count_tokens", False, False),
    "/responses/r/cancel": ("responses", "fetch_response", True, True),
    "/decisions": ("decisions", "chat", True, True),
    "/embeddings": ("embeddings", "embeddings", False, True),
    "/images/generations": ("images", "image_generation", True, True),
    "/images/edits": ("images", "image_generation", True, True),
    "/images/variations": ("images", "image_generation", True, True),
    "/audio/transcriptions": ("audio", "transcription", True, True),
    "/audio/translations": ("audio", "transcription", True, True),
    "/audio/speech": ("audio", "speech", True, True),
    "/moderations": ("moderations", "moderation", False, False),
    "/batches": ("batches", "create_batch", False, True),
    "/threads/runs": ("assistants", "invoke_agent", True, True),
    "/threads/t/runs": ("assistants", "invoke_agent", True, True),
    "/threads/t/runs/r/submit_tool_outputs": ("assistants", "invoke_agent", True, True),
    "/videos": ("videos", "video_generation", False, True),
    "/videos/edits": ("videos", "video_generation", False, True),
    "/videos/extensions": ("videos", "video_generation", False, True),
    "/videos/v/remix": ("videos", "video_generation", False, True),
    "/fine_tuning/jobs": ("fine_tuning", "create_fine_tuning_job", False, True),
    "/conversations": ("conversations", "create_conversation", False, True),
    "/conversations/c/items": ("conversations", "add_conversation_items", False, True),
    "/vector_stores": ("vector_stores", "create_vector_store", False, False),
    "/vector_stores/v/search": ("vector_stores", "search_vector_store", False, False),
    "/evals/e/runs": ("evals", "create_eval_run", False, True),
}
GET: dict[str, tuple[str, str, bool, bool]] = {
    "/chat/completions/c": ("chat_completions", "fetch_response", False, True),
    "/responses/r": ("responses", "fetch_response", True, True),
    "/batches/b": ("batches", "fetch_response", False, True),
    "/threads/t/runs/r": ("assistants", "fetch_response", False, True),
    "/evals/e/runs/r": ("evals", "fetch_response", False, True),
    "/videos/v": ("videos", "fetch_response", False, True),
    "/fine_tuning/jobs/j": ("fine_tuning", "fetch_response", False, True),
}
WATCHED = [*(("post", path, api) for path, api in POST.items()), *(("get", path, api) for path, api in GET.items())]


@pytest.mark.parametrize(("method", "path", "expected"), WATCHED)
def test_an_api_is_found_by_its_method_and_path_however_they_are_written(
    method: str, path: str, expected: tuple[str, str, bool, bool]
) -> None:
    ways = (
        *(path, path[1:], f"{path}/", f"{path}?a=/b", f"{path}/?a=b", f"https://host{path}", f"https://host/v1{path}"),
        *(f"https://host/openai/deployments/d{path}?api-version=1", f"https://host/v1{path}/"),
    )
    for way in ways:
        for said_method in (method, method.upper()):
            found = route(said_method, way)
            assert found is not None, way
            described = (found.name, found.operation, found.chunks is not None, found.counts_usage)
            assert (found.vendor, *described) == ("openai", *expected), way
    other = "get" if method == "post" else "post"
    for wrong in (route("delete", path), None if path in GET or path in POST else route(other, path)):
        assert wrong is None


@pytest.mark.parametrize("name", ["X", "aX", "X-1", "..", "a b", "7"])
def test_an_id_in_a_path_may_be_anything_but_a_slash(name: str) -> None:
    for path in (f"/batches/{name}", f"batches/{name}//", f"https://host/v1/batches/{name}/?after=X"):
        found = route("get", path)
        assert found is not None
        assert (found.name, found.operation) == ("batches", "fetch_response")
    assert route("get", f"/batches/{name}/{name}") is route("get", "/batches/") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("get", path) for path in ("/models", "/chat/completions", "/responses/r/input_items", "/batches/b/x", "")),
        *(("post", path) for path in ("/models", "/chat", "/v1/chat/completions", "/threads", "/videos/v/other", "/")),
        *(("post", path) for path in ("https://host", "https://host/v1", "https://[", "://", "chat/completions/x")),
        ("put", "/chat/completions"),
    ],
)
def test_other_endpoints_are_not_watched(method: str, path: str) -> None:
    assert route(method, path) is None


# The APIs of all vendors, on the wire

PUBLISHERS = "/v1/projects/p/locations/l/publishers"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/chat/completions", ("openai", "chat_completions", "chat", "", None)),
        (
            "post",
            "/openai/deployments/my%20gpt/chat/completions",
            ("openai", "chat_completions", "chat", "my gpt", None),
        ),
        ("post", "/v1/engines/davinci/completions", ("openai", "completions", "text_completion", "davinci", None)),
        ("post", "/v1/agents/completions", ("openai", "chat_completions", "chat", "", None)),
        ("get", "/v1/agents/completions", None),
        ("post", "/v1/messages", ("anthropic", "messages", "chat", "", None)),
        ("post", "/proxy/v1/messages", ("anthropic", "messages", "chat", "", None)),
        ("post", "/v1/messages/count_tokens", ("anthropic", "token_count", "count_tokens", "", None)),
        ("post", "/v1/messages/batches", ("anthropic", "batches", "create_batch", "", None)),
        ("get", "/v1/messages/batches/b/results", ("anthropic", "batches", "fetch_response", "", None)),
        ("get", "/v1/messages/other", None),
        (
            "post",
            f"{PUBLISHERS}/anthropic/models/claude-opus-5:rawPredict",
            ("anthropic", "messages", "chat", "claude-opus-5", False),
        ),
        (
            "post",
            f"{PUBLISHERS}/anthropic/models/claude-opus-5:streamRawPredict",
            ("anthropic", "messages", "chat", "claude-opus-5", True),
        ),
        (
            "post",
            f"{PUBLISHERS}/anthropic/models/claude-opus-5%40x:streamRawPredict",
            ("anthropic", "messages", "chat", "claude-opus-5@x", True),
        ),
        ("post", f"{PUBLISHERS}/anthropic/models/count-tokens:rawPredict", None),
        (
            "post",
            f"{PUBLISHERS}/mistralai/models/mistral-large:rawPredict",
            ("openai", "chat_completions", "chat", "mistral-large", False),
        ),
        ("post", f"{PUBLISHERS}/mistralai/models/mistral-large:predict", None),
        ("get", f"{PUBLISHERS}/anthropic/models/claude-opus-5:rawPredict", None),
        (
            "post",
            "/v1beta/models/gemini-3-pro:generateContent",
            ("gemini", "generate_content", "generate_content", "gemini-3-pro", False),
        ),
        (
            "post",
            "/v1beta/models/gemini-3-pro:streamGenerateContent",
            ("gemini", "generate_content", "generate_content", "gemini-3-pro", True),
        ),
        (
            "post",
            "/v1beta/models/gemini-3-pro%3AgenerateContent?alt=sse",
            ("gemini", "generate_content", "generate_content", "gemini-3-pro", False),
        ),
        (
            "post",
            "/model/anthropic.claude-v1%3A0/converse",
            ("bedrock", "converse", "chat", "anthropic.claude-v1:0", False),
        ),
        ("post", "/model/a.b/converse-stream", ("bedrock", "converse", "chat", "a.b", True)),
        ("post", "/model/anthropic.claude/invoke", ("bedrock", "messages", "chat", "anthropic.claude", False)),
        ("get", "/model/a.b/converse", None),
        ("post", "/api/chat", ("ollama", "chat", "chat", "", None)),
        ("get", "/api/chat", None),
        ("post", "/v2/chat", ("cohere", "chat", "chat", "", None)),
        ("post", "/v1/rerank", ("cohere", "rerank", "rerank", "", None)),
        ("get", "/v2/chat", None),
        ("get", "/v1/responses/r", ("openai", "responses", "fetch_response", "", None)),
        ("get", "/v1/models", None),
        ("post", "/", None),
    ],
)
def test_a_request_on_the_wire_is_known_by_its_method_and_path(method: str, path: str, expected: Any) -> None:
    found = wire_route(method, path)
    assert expected == (found and (found.api.vendor, found.api.name, found.api.operation, found.model, found.stream))


# Hosts


@pytest.mark.parametrize(
    ("host", "pattern", "is_meant"),
    [
        ("a.com", "a.com", True),
        ("b.a.com", "a.com", False),
        ("b.a.com", ".a.com", True),
        ("a.com", ".a.com", False),
        ("b-a.com", "-a.com", True),
        ("ba.com", "-a.com", False),
        ("a.com", "", False),
        ("", "", True),
    ],
)
def test_a_host_is_the_one_named_or_ends_as_the_pattern_says(host: str, pattern: str, is_meant: bool) -> None:
    assert matches(host, pattern) is is_meant


def test_a_local_server_is_known_by_its_port() -> None:
    ports = {port: each for each in KNOWN for port in each.local_ports}
    assert ports
    for port, dialect in ports.items():
        assert local_dialect(port) is dialect
    assert local_dialect(1) is local_dialect(None) is None


def test_a_host_is_what_the_settings_say_and_else_what_is_known() -> None:
    assert configured("a.com", (), ()) is configured("a.com", ("b.com",), (".a.com",)) is None
    assert configured("a.com", ("a.com",), ()) == Dialect(label="", hosts=("a.com",), stream_usage="always")
    assert configured("b.a.com", (), ("c.com", ".a.com")) == Dialect(label="", hosts=("b.a.com",), reasoning="outside")
    xai = dialect_of("api.x.ai")
    assert xai is not None
    both = configured("api.x.ai", ("api.x.ai",), ())
    assert both is not None
    assert (both.label, both.reasoning, both.stream_usage, both.stated_cost) == (
        "x-ai", "outside", "always", ("cost_in_usd_ticks",),
    )  # fmt: skip
    assert configured("api.x.ai", (), ("api.x.ai",)) == xai
    mine = Dialect(label="mine", hosts=())
    assert dialect_for(call(dialect=mine, server_address="api.x.ai")) is mine
    assert dialect_for(call(server_address="api.x.ai")) is xai
    assert dialect_for(call(server_address="unknown.com")) is dialect_for(call(server_address="")) is None
    assert dialect_for(call()) is None


# Gateways


@pytest.mark.parametrize(
    ("headers", "before", "cost", "is_litellm"),
    [
        ({}, {}, None, False),
        ({"x-litellm-response-cost": "0.5"}, {}, 500_000_000, True),
        ({"x-litellm-response-cost": "0"}, {}, None, True),
        ({"x-litellm-response-cost": "much"}, {}, None, True),
        ({"x-litellm-response-cost": "0.5"}, {"stream": True}, None, True),
        ({"x-litellm-call-id": "1"}, {}, None, True),
        ({"x-litellm-call-id": "1"}, {"server_address": "unknown.com"}, None, True),
        ({"x-litellm-response-cost": "0.5"}, {"server_address": "api.x.ai"}, 500_000_000, False),
        ({"x-litellm-response-cost": "0.5"}, {"stated_cost_nano_usd": 7}, 500_000_000, True),
        ({"x-litellm-response-cost": "0"}, {"stated_cost_nano_usd": 7}, 7, True),
        ({"cf-aig-cache-status": "HIT"}, {}, 0, False),
        ({"x-portkey-cache-status": "SEMANTIC HIT"}, {}, 0, False),
        ({"helicone-cache": "hit"}, {}, 0, False),
        ({"cf-aig-cache-status": "MISS", "helicone-cache": "HIT"}, {}, 0, False),
        ({"cf-aig-cache-status": "MISS"}, {"stated_cost_nano_usd": 7}, 7, False),
        ({"x-litellm-response-cost": "0.5", "helicone-cache": "HIT"}, {}, 0, True),
    ],
)
def test_a_gateway_states_the_cost_or_that_its_cache_answered(
    headers: dict[str, str], before: dict[str, Any], cost: int | None, is_litellm: bool
) -> None:
    made = call(**before)
    note_gateway(made, headers.get)
    assert (made.stated_cost_nano_usd, made.dialect is LITELLM) == (cost, is_litellm)
    assert are_of_a_gateway("\n".join(headers).encode()) is bool(headers)
    mine = Dialect(label="mine", hosts=())
    configured_call = call(**before, dialect=mine)
    note_gateway(configured_call, headers.get)
    assert (configured_call.stated_cost_nano_usd, configured_call.dialect is mine) == (cost, True)
