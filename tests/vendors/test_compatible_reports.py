"""Usage reports of servers with a vendor's protocol: where tokens are, and what contradicts itself."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tachograph import instrument
from tachograph.records import LLMCall
from tachograph.testing import Recording
from tachograph.vendors.dialects import KNOWN, dialect_of
from tachograph.vendors.openai.usage import read_response_usage, read_usage

ASKED: Any = [{"role": "user", "content": "hello"}]
USAGE = {"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196}
UNKNOWN = "https://llm.example.com/v1"


def client(base_url: str, body: Any, kind: str = "application/json", status: int = 200) -> openai.OpenAI:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx2.MockTransport(
        lambda _: httpx2.Response(status, stream=httpx2.ByteStream(content), headers={"content-type": kind})
    )
    http = httpx2.Client(transport=answer)
    return openai.OpenAI(api_key="any", base_url=base_url, http_client=http, max_retries=0)


def chat(usage: Any, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    head = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return {**head, "usage": usage, **fields}


def chunk(content: str | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **fields}


def asked(seen: Recording, base_url: str, body: Any) -> LLMCall:
    client(base_url, body).chat.completions.create(model="m", messages=ASKED)
    return seen.llm_calls[-1]


def streamed(seen: Recording, base_url: str, *chunks: Any, done: bool = True) -> LLMCall:
    data = "".join(f"data: {json.dumps(each)}\n\n" for each in chunks) + ("data: [DONE]\n\n" if done else "")
    for _ in client(base_url, data.encode(), "text/event-stream").chat.completions.create(
        model="m", messages=ASKED, stream=True
    ):
        pass
    return seen.llm_calls[-1]


def tokens(call: LLMCall) -> tuple[int | None, int | None] | None:
    return None if call.usage is None else (call.usage.input_tokens, call.usage.output_tokens)


# Reasoning beside the completion


@pytest.mark.parametrize(
    ("base_url", "usage", "expected"),
    [
        (
            "https://api.x.ai/v1",
            {
                "prompt_tokens": 10120,
                "completion_tokens": 1499,
                "total_tokens": 14428,
                "completion_tokens_details": {"reasoning_tokens": 2809},
            },
            (10120, 1499 + 2809, 2809),
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            {"prompt_tokens": 758, "completion_tokens": 102, "total_tokens": 1725},
            (758, 967, 865),
        ),
        (
            "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi",
            {
                "prompt_tokens": 20,
                "completion_tokens": 20,
                "total_tokens": 140,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            (20, 120, 100),
        ),
    ],
)
def test_the_completion_includes_reasoning_whatever_the_host_leaves_out(
    seen: Recording, base_url: str, usage: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    call = asked(seen, base_url, chat(usage))
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens, call.usage.details["reasoning"]) == expected
    assert call.usage_mismatch is None


def test_an_unknown_host_that_leaves_reasoning_out_is_found_by_the_total_and_counted(seen: Recording) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 22, "reasoning_tokens": 7}
    usage["completion_tokens_details"] = {"reasoning_tokens": usage.pop("reasoning_tokens")}
    call = asked(seen, UNKNOWN, chat(usage))
    assert (tokens(call), call.usage_mismatch) == ((10, 12), "reasoning_outside")
    assert seen.value("llm_usage_mismatch_total", reason="reasoning_outside") == 1


# Where cached tokens and whole reports stand


@pytest.mark.parametrize(
    ("base_url", "more"),
    [
        ("https://api.deepseek.com", {"prompt_cache_hit_tokens": 900, "prompt_cache_miss_tokens": 100}),
        ("https://api.moonshot.ai/v1", {"cached_tokens": 900}),
        ("https://dbc.cloud.databricks.com/serving-endpoints", {"cache_read_input_tokens": 900}),
    ],
)
def test_cached_tokens_beside_the_details_are_parts_of_the_prompt(
    seen: Recording, base_url: str, more: dict[str, int]
) -> None:
    call = asked(seen, base_url, chat({"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010, **more}))
    assert call.usage is not None
    assert (tokens(call), call.usage.details, call.unknown_billables) == ((1000, 10), {"cache_read": 900}, ())


def test_a_stream_reports_usage_in_its_last_choice_or_in_a_field_of_its_own(seen: Recording) -> None:
    last = chunk(None, "stop")
    last["choices"][0]["usage"] = USAGE
    assert tokens(streamed(seen, "https://api.moonshot.ai/v1", chunk("a"), last)) == (194, 2)
    assert tokens(streamed(seen, UNKNOWN, chunk("a"), chunk("", "stop", x_groq={"usage": USAGE}))) == (194, 2)


# Reports that contradict themselves

ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize(
    ("usage", "expected", "reason"),
    [
        ({"prompt_tokens": 12, "total_tokens": 17}, (12, 5), "incomplete"),
        (ZEROS, None, "zeros"),
        ({"prompt_tokens": 1e30, "completion_tokens": 5}, (None, 5), "absurd"),
        ({"prompt_tokens": -3, "completion_tokens": 5}, (None, 5), "absurd"),
        ({"prompt_tokens": "12", "completion_tokens": 5}, (None, 5), "absurd"),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99}, (10, 5), "total"),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 900}},
            (10, 5),
            "parts",
        ),
        (USAGE, (194, 2), None),
    ],
)
def test_what_contradicts_itself_is_counted_and_bounded(
    seen: Recording, usage: dict[str, Any], expected: tuple[int | None, int | None] | None, reason: str | None
) -> None:
    call = asked(seen, UNKNOWN, chat(usage))
    assert (tokens(call), call.usage_mismatch) == (expected, reason)
    assert seen.value("llm_usage_mismatch_total") == (reason is not None)
    said = (expected or (0, 0))[0] or 0
    assert seen.value("llm_provider_tokens_total", type="prompt") == said


@pytest.mark.parametrize("pieces", [1, 200])
def test_a_report_before_the_end_of_a_stream_is_no_total(seen: Recording, pieces: int) -> None:
    early = chunk("a", usage=USAGE)
    call = streamed(seen, "https://api.openai.com/v1", early, *[chunk("b")] * pieces, chunk("", "stop"))
    assert (tokens(call), call.usage_mismatch) == ((194, 2), "early")
    assert seen.value("llm_usage_mismatch_total", reason="early") == 1


@pytest.mark.parametrize("last", [chunk("", "stop", usage=USAGE), {**chunk(), "choices": [], "usage": USAGE}])
def test_running_totals_beside_the_content_end_in_the_total(seen: Recording, last: dict[str, Any]) -> None:
    so_far = {"prompt_tokens": 194, "completion_tokens": 1, "total_tokens": 195}
    call = streamed(seen, UNKNOWN, *[chunk("a", usage=so_far)] * 100, chunk("b"), last)
    assert (tokens(call), call.usage_mismatch) == ((194, 2), None)


SPLIT: list[tuple[list[dict[str, Any]], tuple[int, int], dict[str, int], str | None]] = [
    (
        [{"prompt_tokens": 194, "prompt_tokens_details": {"cached_tokens": 90}}, {"completion_tokens": 2}],
        (194, 2),
        {"cache_read": 90},
        None,
    ),
    (
        [{**USAGE, "completion_tokens": 0}, {"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2}],
        (194, 2),
        {},
        None,
    ),
    (
        [{"input_tokens": 194}, {"output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}],
        (194, 2),
        {"reasoning": 1},
        None,
    ),
    ([{"prompt_tokens": 194, "completion_tokens": each} for each in (3, 5, 2)], (194, 10), {}, "early"),
]


def test_the_usage_that_we_ask_for_is_the_total(seen: Recording) -> None:
    last = {**chunk(), "choices": [], "usage": USAGE}
    call = streamed(seen, "https://api.openai.com/v1", *[chunk("a")] * 5, chunk("", "stop"), last)
    assert (tokens(call), call.usage_mismatch) == ((194, 2), None)


@pytest.mark.parametrize(
    ("reports", "expected", "details", "reason"),
    SPLIT,
    ids=["left out", "zero", "other names", "not running totals"],
)
def test_the_reports_of_a_stream_are_read_together(
    seen: Recording,
    reports: list[dict[str, Any]],
    expected: tuple[int, int],
    details: dict[str, int],
    reason: str | None,
) -> None:
    *early, last = reports
    call = streamed(seen, UNKNOWN, *[chunk("a", usage=each) for each in early], chunk("", "stop", usage=last))
    assert call.usage is not None
    assert (tokens(call), call.usage.details, call.usage_mismatch) == (expected, details, reason)


@pytest.mark.parametrize("timings", [{"prompt_n": 104, "cache_n": 90}, {"prompt_n": 194}])
def test_llama_cpp_reports_its_tokens_in_timings(seen: Recording, timings: dict[str, int]) -> None:
    last = chunk(None, "stop", timings={**timings, "predicted_n": 2, "predicted_ms": 46.1})
    call = streamed(seen, "http://127.0.0.1:8080/v1", chunk("a"), last)
    assert call.usage is not None
    assert (tokens(call), call.usage.details.get("cache_read", 0)) == ((194, 2), timings.get("cache_n", 0))


def test_a_report_of_zeros_takes_nothing_back(seen: Recording) -> None:
    zeros = {**chunk(), "choices": [], "usage": ZEROS}
    assert tokens(streamed(seen, UNKNOWN, chunk("a"), chunk("", "stop", usage=USAGE), zeros)) == (194, 2)


def test_a_relay_that_says_zero_at_the_end_takes_nothing_back(seen: Recording) -> None:
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": []}
    begun = {**message, "stop_reason": None, "usage": {"input_tokens": 400, "output_tokens": 0}}
    ended = {"delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 0, "output_tokens": 15}}
    events = [{"type": "message_start", "message": begun}, {"type": "message_delta", **ended}, {"type": "message_stop"}]
    data = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
    headers = {"content-type": "text/event-stream"}
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, text=data, headers=headers))
    relay = anthropic.Anthropic(api_key="any", http_client=httpx2.Client(transport=answer))
    list(relay.messages.create(model="claude-opus-5", max_tokens=9, messages=ASKED, stream=True))
    assert tokens(seen.llm_calls[-1]) == (400, 15)


# Endings


def test_a_stream_that_ends_by_the_marker_alone_is_whole(seen: Recording) -> None:
    assert streamed(seen, UNKNOWN, chunk("a"), chunk("b")).outcome == "success"


def test_a_stream_without_a_finish_and_without_the_marker_was_cut(seen: Recording) -> None:
    call = streamed(seen, UNKNOWN, chunk("a", ""), chunk("b", ""), done=False)
    assert (call.outcome, call.error_type) == ("error", "connection")


def test_a_finish_reason_error_is_an_error(seen: Recording) -> None:
    call = streamed(seen, "https://openrouter.ai/api/v1", chunk("a"), chunk("", "error"))
    assert (call.outcome, call.error_type, call.finish_reason) == ("error", "server_error", "error")


def test_an_error_body_with_status_200_is_an_error(seen: Recording) -> None:
    call = asked(seen, "https://openrouter.ai/api/v1", {"error": {"message": "Provider returned error", "code": 502}})
    assert (call.outcome, call.error_type) == ("error", "server_error")
    call = asked(seen, "https://openrouter.ai/api/v1", {"error": {"message": "slow down", "code": 429}})
    assert (call.outcome, call.error_type) == ("rate_limited", "rate_limit")
    assert seen.value("llm_provider_errors_total") == 2


def test_chunks_after_the_end_change_nothing(seen: Recording) -> None:
    after = [chunk(None) for _ in range(20)]
    call = streamed(seen, UNKNOWN, *[chunk("a")] * 5, chunk("", "stop", usage=USAGE), *after)
    assert (call.outcome, call.finish_reason, tokens(call)) == ("success", "stop", (194, 2))


def test_a_page_with_status_200_is_an_error(seen: Recording) -> None:
    client(UNKNOWN, b"<html>busy</html>", "text/html").chat.completions.create(model="m", messages=ASKED)
    assert [(call.outcome, call.error_type) for call in seen.llm_calls] == [("error", "server_error")]


@pytest.mark.parametrize(
    "code", ["project_spend_limit_exceeded", "organization_spend_limit_exceeded", "organization_usage_limit_exceeded"]
)
def test_spend_limits_are_quota(seen: Recording, code: str) -> None:
    error = {"error": {"message": "The limit has been reached.", "type": "invalid_request_error", "code": code}}
    with pytest.raises(openai.RateLimitError):
        client(UNKNOWN, error, status=429).chat.completions.create(model="m", messages=ASKED)
    assert [call.error_type for call in seen.llm_calls] == ["quota"]


# Requests and answers in other forms


@pytest.mark.parametrize(
    "path",
    [
        *("/chat/completions", "chat/completions", f"{UNKNOWN}/chat/completions"),
        *("/chat/completions/", "chat/completions/", f"{UNKNOWN}/chat/completions/?version=1"),
    ],
)
@pytest.mark.parametrize(
    "kind", [httpx2.Response, str, object, dict[str, Any]], ids=["response", "text", "any", "dict"]
)
def test_a_request_by_post_is_a_call_whatever_its_path_and_its_answer(seen: Recording, path: str, kind: Any) -> None:
    assert client(UNKNOWN, chat(USAGE)).post(path, body={"model": "m", "messages": ASKED}, cast_to=kind)
    (call,) = seen.llm_calls
    assert (call.outcome, call.message_count, tokens(call)) == ("success", 1, (194, 2))


# What is billed beside tokens


def test_tools_are_counted_by_the_items_of_the_output() -> None:
    items = [
        {"type": "web_search_call", "action": {"type": "search"}},
        {"type": "web_search_call", "action": {"type": "open_page"}},
        {"type": "file_search_call"},
        {"type": "code_interpreter_call", "container_id": "c1"},
        {"type": "code_interpreter_call", "container_id": "c1"},
        {"type": "image_generation_call"},
        {"type": "hologram_call"},
        {"type": "message", "content": []},
    ]
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "hologram_tokens": 3}
    reading = read_response_usage({"output": items, "usage": usage})
    assert reading.usage is not None
    assert reading.usage.tool_uses == {
        "web_search": 1,
        "file_search": 1,
        "code_interpreter": 1,
        "image_generation": 1,
    }
    assert reading.unknown == ("hologram_tokens", "hologram_call")


@pytest.mark.parametrize(
    ("host", "usage", "nano_usd"),
    [
        ("openrouter.ai", {"cost": 0.0095}, 9_500_000),
        ("api.perplexity.ai", {"cost": {"total_cost": 0.006}}, 6_000_000),
        ("api.x.ai", {"cost_in_usd_ticks": 37_756_000}, 3_775_600),
        ("api.deepinfra.com", {"estimated_cost": 0.0000268}, 26_800),
        ("llm.example.com", {"cost": 3}, None),
        ("openrouter.ai", {"cost": "a lot"}, None),
    ],
)
def test_a_cost_that_the_host_states_is_read_where_its_unit_is_known(
    host: str, usage: dict[str, Any], nano_usd: int | None
) -> None:
    assert read_usage({**USAGE, **usage}, dialect_of(host)).stated_cost_nano_usd == nano_usd


def test_a_host_of_the_users_is_read_as_the_settings_say(seen: Recording) -> None:
    instrument(reasoning_outside_hosts=[".example.com"], always_usage_hosts=["llm.example.com"])
    usage = {"prompt_tokens": 758, "completion_tokens": 102, "total_tokens": 1725}
    call = asked(seen, UNKNOWN, chat(usage))
    assert (tokens(call), call.usage_mismatch) == ((758, 967), None)
    instrument(include_usage="always", always_usage_hosts=["llm.example.com"])
    served = Counter[str]()
    data = (
        f"data: {json.dumps(chunk('a', 'stop'))}\n\ndata: {json.dumps({**chunk(), 'choices': [], 'usage': USAGE})}\n\n"
    )
    for each in client(UNKNOWN, data.encode(), "text/event-stream").chat.completions.create(
        model="m", messages=ASKED, stream=True
    ):
        served["usage" if each.usage else "content"] += 1
    assert served == {"content": 1, "usage": 1}


def test_each_host_is_known_once() -> None:
    patterns = [(pattern, dialect.host_part) for dialect in KNOWN for pattern in dialect.hosts]
    assert len(patterns) == len(set(patterns))
    for pattern, part in patterns:
        host = pattern.lstrip(".-") if pattern[0] not in ".-" else f"{part or 'x'}{pattern}"
        assert dialect_of(host), pattern


@pytest.mark.parametrize(
    ("base_url", "label"),
    [
        ("https://api.sambanova.ai/v1", "sambanova"),
        ("https://adb-1.azuredatabricks.net/serving-endpoints", "databricks"),
        ("https://ai-gateway.vercel.sh/v1", "openai"),
        ("https://oai.helicone.ai/v1", "openai"),
        ("https://groq.helicone.ai/openai/v1", "groq"),
        ("https://openrouter.helicone.ai/api/v1", "openrouter"),
        ("https://gateway.helicone.ai/v1", "openai"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "bedrock"),
        ("https://my-vllm.us-east-1.elb.amazonaws.com/v1", "openai"),
    ],
)
def test_a_call_has_the_label_of_its_host(seen: Recording, base_url: str, label: str) -> None:
    assert asked(seen, base_url, chat(USAGE)).provider == label
