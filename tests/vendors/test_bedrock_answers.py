"""Amazon Bedrock: which API a path is, what requests, answers and streams say, its frames and its failures."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from support.answers import Attributes, attributes, loose, read, routed, streamed
from tachograph.records import Usage
from tachograph.vendors.api import RequestFacts
from tachograph.vendors.bedrock.apis import read_usage, route
from tachograph.vendors.bedrock.errors import bedrock_failure, failure_of_event
from tachograph.vendors.bedrock.frames import LONGEST, length, opened
from tachograph.vendors.failures import Failure

CONVERSE = routed("/model/amazon.nova-pro-v1:0/converse").api
INVOKE = routed("/model/amazon.nova-pro-v1:0/invoke").api
USAGE = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}


@pytest.mark.parametrize(
    ("path", "api", "operation", "model", "stream"),
    [
        ("/model/amazon.nova-pro-v1:0/converse", "converse", "chat", "amazon.nova-pro-v1:0", False),
        ("/model/us.amazon.nova/converse-stream", "converse", "chat", "us.amazon.nova", True),
        ("/model/us.anthropic.claude/converse", "converse", "chat", "us.anthropic.claude", False),
        ("/model/cohere.embed/converse", "converse", "chat", "cohere.embed", False),
        ("/model/meta.llama/invoke", "invoke_model", "chat", "meta.llama", False),
        ("/model/meta.llama/invoke-with-response-stream", "invoke_model", "chat", "meta.llama", True),
        ("/model/us.anthropic.claude/invoke", "messages", "chat", "us.anthropic.claude", False),
        ("/model/eu.anthropic.c/invoke-with-response-stream", "messages", "chat", "eu.anthropic.c", True),
        ("/model/cohere.embed-v3/invoke", "invoke_model", "embeddings", "cohere.embed-v3", False),
        ("/model/arn:aws:bedrock:us-east-1:1:inference-profile/x/invoke", "invoke_model", "chat",
         "arn:aws:bedrock:us-east-1:1:inference-profile/x", False),
    ],
)  # fmt: skip
def test_a_path_says_the_api_the_model_and_whether_it_streams(
    path: str, api: str, operation: str, model: str, stream: bool
) -> None:
    found = route(path)
    assert found is not None
    assert (found[0].vendor, found[0].name, found[0].operation) == ("bedrock", api, operation)
    assert found[1:] == (model, stream)


@pytest.mark.parametrize(
    "path",
    ["/model/m/other", "/models/m/converse", "/v1/model/m/converse", "/model/converse", "/converse", "", "/model/m"],
)
def test_other_paths_are_none_of_its_apis(path: str) -> None:
    assert route(path) is None


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ({}, (0, None)),
        ({"messages": [1, 2]}, (2, None)),
        (
            {
                "messages": [1],
                "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["a"], "x": 1},
                "serviceTier": {"type": "flex"},
            },
            (
                1,
                {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["a"], "service_tier": "flex"},
            ),
        ),
        ({"messages": "one", "serviceTier": {"type": "priority"}}, (1, {"service_tier": "priority"})),
        ({"inferenceConfig": {"maxTokens": 9}}, (0, {"max_tokens": 9})),
    ],
)
def test_a_request_of_converse_says_its_settings(body: dict[str, Any], facts: tuple[int, Any]) -> None:
    assert CONVERSE.facts(body) == RequestFacts("unknown", facts[0], False, facts[1])


@pytest.mark.parametrize(
    ("body", "number", "asked"),
    [
        ({"messages": [1, 2], "prompt": "p"}, 2, [1, 2]),
        ({"prompt": "p", "inputText": "i"}, 1, "p"),
        ({"messages": [], "inputText": "i"}, 1, "i"),
        ({"texts": ["a", "b", "c"]}, 3, ["a", "b", "c"]),
        ({"inputText": "i", "texts": ["a", "b"]}, 1, "i"),
        ({}, 0, None),
    ],
)
def test_a_request_of_invoke_model_asks_in_the_models_own_words(
    body: dict[str, Any], number: int, asked: object
) -> None:
    assert INVOKE.facts(body) == RequestFacts("unknown", number, False, None)
    assert INVOKE.input_content(body) == asked


FORMS = pytest.mark.parametrize("form", [lambda each: each, loose, attributes], ids=["dict", "wire", "attributes"])


@FORMS
@pytest.mark.parametrize(
    ("report", "usage", "mismatch"),
    [
        (USAGE, Usage(10, 5), None),
        (
            {
                **USAGE,
                "cacheReadInputTokens": 100,
                "cacheWriteInputTokens": 8,
                "cacheDetails": [
                    {"ttl": "5m", "inputTokens": 3},
                    {"ttl": "1h", "inputTokens": 5},
                    {"ttl": "9d", "inputTokens": 7},
                    {"inputTokens": 7},
                ],
            },
            Usage(118, 5, {"cache_read": 100, "cache_write": 8, "cache_write_5m": 3, "cache_write_1h": 5}),
            None,
        ),
        (
            {**USAGE, "cacheReadInputTokenCount": 20, "cacheWriteInputTokenCount": 30},
            Usage(60, 5, {"cache_read": 20, "cache_write": 30}),
            None,
        ),
        (
            {
                **USAGE,
                "cacheReadInputTokens": 1,
                "cacheReadInputTokenCount": 20,
                "cacheWriteInputTokens": 2,
                "cacheWriteInputTokenCount": 30,
            },
            Usage(13, 5, {"cache_read": 1, "cache_write": 2}),
            None,
        ),
        ({**USAGE, "cacheReadInputTokens": 20}, Usage(30, 5, {"cache_read": 20}), None),
        ({**USAGE, "cacheWriteInputTokens": 20}, Usage(30, 5, {"cache_write": 20}), None),
        ({**USAGE, "cacheReadInputTokens": 0, "cacheDetails": [{"ttl": "5m", "inputTokens": 0}]}, Usage(10, 5), None),
        ({"outputTokens": 5, "cacheReadInputTokens": 3}, Usage(None, 5, {"cache_read": 3}), None),
        ({"inputTokens": 10}, Usage(10, None), None),
        ({"inputTokens": 0, "outputTokens": 0}, None, "zeros"),
        ({"inputTokens": 10, "outputTokens": -5}, Usage(10, None), "absurd"),
        ({}, None, "zeros"),
    ],
)
def test_the_prompt_of_converse_includes_what_was_cached(
    form: Any, report: dict[str, Any], usage: Usage | None, mismatch: str | None
) -> None:
    reading = read_usage(form(report))
    assert (reading.usage, reading.mismatch, reading.unknown) == (usage, mismatch, ())


def test_no_report_of_converse_is_no_usage() -> None:
    reading = read_usage(None)
    assert (reading.usage, reading.mismatch) == (None, None)


@pytest.mark.parametrize("form", [lambda each: each, loose], ids=["dict", "wire"])
def test_counts_that_nobody_knows_are_told(form: Any) -> None:
    report = {**USAGE, "cacheDetails": [], "cacheReadInputTokenCount": 1, "hologramTokens": 4, "note": "x"}
    assert read_usage(form(report)).unknown == ("hologramTokens",)


@FORMS
@pytest.mark.parametrize(
    ("stop_reason", "failed"),
    [
        ("end_turn", None),
        ("max_tokens", None),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("malformed_model_output", "server_error"),
        ("malformed_tool_use", "server_error"),
    ],
)
def test_an_answer_of_converse_has_its_reason_tier_and_tokens(form: Any, stop_reason: str, failed: str | None) -> None:
    answer = {"stopReason": stop_reason, "serviceTier": {"type": "priority"}, "usage": USAGE}
    expected = {"finish_reason": stop_reason, "service_tier": "priority", "usage": Usage(10, 5)}
    assert read(CONVERSE, form(answer), service_tier="flex") == expected | ({"failed": failed} if failed else {})
    events = [{"kind": "messageStop", "stopReason": stop_reason}, {"kind": "metadata", **answer, "stopReason": "no"}]
    told = streamed(CONVERSE, *map(form, events), service_tier="flex")
    assert told == expected | {"whole": True} | ({"failed": failed} if failed else {})


def test_the_tier_asked_for_holds_where_converse_names_none() -> None:
    assert read(CONVERSE, {}, service_tier="flex") == {"service_tier": "flex"}
    assert streamed(CONVERSE, service_tier="flex") == {"service_tier": "flex"}
    assert streamed(CONVERSE) == {}


def test_what_converse_said_is_its_texts() -> None:
    content = [{"text": "one"}, {"toolUse": {}}, {"text": ""}, {"text": "two"}]
    assert CONVERSE.output_content({"output": {"message": {"content": content}}}) == ["one", "two"]
    assert CONVERSE.output_content({}) == []


@pytest.mark.parametrize(
    ("event", "failed"),
    [
        ({"kind": "throttlingException", "is_failure": True, "message": "slow"}, "rate_limit"),
        ({"kind": "modelStreamErrorException", "is_failure": True}, "server_error"),
        ({"kind": "validationException", "is_failure": True, "message": "no"}, "invalid_request"),
        ({"kind": "serviceQuotaExceededException", "is_failure": True}, "quota"),
        ({"kind": "somethingNew", "is_failure": True}, "server_error"),
        ({"is_failure": True}, "server_error"),
        ({"kind": "messageStop", "is_failure": True, "stopReason": "end_turn"}, "server_error"),
    ],
)
@pytest.mark.parametrize("api", [CONVERSE, INVOKE], ids=["converse", "invoke"])
def test_an_exception_in_a_stream_is_a_failure_of_its_kind(api: Any, event: dict[str, Any], failed: str) -> None:
    assert streamed(api, event) == {"failed": failed}


def test_a_stream_of_converse_begins_with_its_first_block() -> None:
    begin, text = {"kind": "messageStart", "role": "assistant"}, {"kind": "contentBlockDelta", "delta": {"text": "a"}}
    tool = {"kind": "contentBlockStart", "start": {"toolUse": {}}}
    end = {"kind": "contentBlockStop"}
    assert streamed(CONVERSE, begin, text, text, end) == {"first": 1}
    assert streamed(CONVERSE, begin, end, tool, text) == {"first": 2}
    assert streamed(CONVERSE, begin, end) == {}


def test_a_failure_in_a_stream_of_converse_holds_over_its_stop_reason() -> None:
    failure = {"kind": "throttlingException", "is_failure": True}
    stop = {"kind": "messageStop", "stopReason": "content_filtered"}
    assert streamed(CONVERSE, failure, stop) == {
        "failed": "rate_limit", "finish_reason": "content_filtered", "whole": True,
    }  # fmt: skip


@FORMS
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"stopReason": "end_turn", "usage": USAGE}, {"finish_reason": "end_turn", "usage": Usage(10, 5)}),
        (
            {"usage": {**USAGE, "cacheReadInputTokens": 4}, "output": {}},
            {"usage": Usage(14, 5, {"cache_read": 4})},
        ),
        (
            {"inputTextTokenCount": 7, "results": [{"tokenCount": 3, "completionReason": "FINISH"}, {"tokenCount": 9}]},
            {"finish_reason": "FINISH", "usage": Usage(7, 3)},
        ),
        (
            {"prompt_token_count": 7, "generation_token_count": 3, "stop_reason": "stop", "generation": "x"},
            {"finish_reason": "stop", "usage": Usage(7, 3)},
        ),
        (
            {"choices": [{"finish_reason": "length"}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
            {"finish_reason": "length", "usage": Usage(5, 2)},
        ),
        ({"choices": [{"stop_reason": "a"}, {"stop_reason": "b"}]}, {"finish_reason": "a"}),
        ({"prompt_tokens": 5, "completion_tokens": 2}, {"usage": Usage(5, 2)}),
        ({"inputTokenCount": 5, "outputTokenCount": 2}, {"usage": Usage(5, 2)}),
        ({"inputTokens": 5, "outputTokens": 2}, {"usage": Usage(5, 2)}),
        ({"inputTextTokenCount": 0, "prompt_tokens": 9}, {"usage": Usage(0, None)}),
        ({"results": [{"inputTokens": 6, "outputTokens": 1}]}, {"usage": Usage(6, 1)}),
        ({"results": [], "choices": [{"tokenCount": 4}]}, {"usage": Usage(None, 4)}),
        ({"stop_reason": "first", "stopReason": "second", "results": [{"stop_reason": "third"}]},
         {"finish_reason": "first"}),
        ({"results": [{"stop_reason": "third"}], "finish_reason": "own"}, {"finish_reason": "own"}),
        ({"embedding": [0.5]}, {}),
    ],
)  # fmt: skip
def test_an_invoked_model_counts_in_its_own_words(form: Any, answer: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(INVOKE, form(answer)) == expected


METRICS = "amazon-bedrock-invocationMetrics"


@pytest.mark.parametrize("form", [lambda each: each, loose], ids=["dict", "wire"])
@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                {"generation": "a", "stop_reason": None},
                {
                    "generation": "b",
                    "stop_reason": "stop",
                    METRICS: {"inputTokenCount": 10, "outputTokenCount": 4, "invocationLatency": 9},
                },
            ],
            {"first": 0, "whole": True, "finish_reason": "stop", "usage": Usage(10, 4)},
        ),
        (
            [
                {"messageStop": {"stopReason": "end_turn"}},
                {
                    METRICS: {
                        "inputTokenCount": 10,
                        "outputTokenCount": 4,
                        "cacheReadInputTokenCount": 100,
                        "cacheWriteInputTokenCount": 20,
                    }
                },
            ],
            {
                "first": 0,
                "whole": True,
                "finish_reason": "end_turn",
                "usage": Usage(130, 4, {"cache_read": 100, "cache_write": 20}),
            },
        ),
        (
            [{METRICS: {"outputTokenCount": 4, "cacheReadInputTokenCount": 100}}],
            {"whole": True, "usage": Usage(None, 4, {"cache_read": 100})},
        ),
        ([{METRICS: {"inputTokenCount": 4}}], {"whole": True, "usage": Usage(4, None)}),
        ([{METRICS: {"inputTokenCount": 0, "outputTokenCount": 0}}], {"whole": True, "usage_mismatch": "zeros"}),
        (
            [{METRICS: {"inputTokenCount": 4, "outputTokenCount": -1, "invocationLatency": 9}}],
            {"whole": True, "usage": Usage(4, None), "usage_mismatch": "absurd"},
        ),
        (
            [{"choices": [{"finish_reason": "length"}]}, {"choices": [{"delta": {}}]}],
            {"first": 0, "finish_reason": "length"},
        ),
        ([{"completionReason": "FINISH"}, {"completionReason": "LENGTH"}], {"first": 0, "finish_reason": "LENGTH"}),
        (
            [{"generation": "a"}, {"kind": "modelTimeoutException", "is_failure": True}, {"stop_reason": "stop"}],
            {"first": 0, "failed": "timeout", "finish_reason": "stop"},
        ),
        ([{"is_failure": True, "stop_reason": "stop"}], {"failed": "server_error"}),
        ([], {}),
    ],
)
def test_a_stream_of_an_invoked_model_ends_with_bedrocks_own_counts(
    form: Any, events: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    assert streamed(INVOKE, *map(form, events)) == expected


def test_pieces_that_are_no_objects_are_passed_over() -> None:
    assert streamed(INVOKE, [1], Attributes({"stop_reason": "stop"})) == {"first": 0, "finish_reason": "stop"}


# Frames


def frame(payload: bytes, *headers: tuple[str, int, bytes]) -> bytes:
    packed = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!B", kind) + value for name, kind, value in headers
    )
    total = 16 + len(packed) + len(payload)
    return struct.pack("!II", total, len(packed)) + b"\0\0\0\0" + packed + payload + b"\1\2\3\4"


def text(name: str, value: str) -> tuple[str, int, bytes]:
    return name, 7, struct.pack("!H", len(value.encode())) + value.encode()


OTHERS = [
    ("true", 0, b""), ("false", 1, b""), ("byte", 2, b"a"), ("short", 3, b"ab"), ("int", 4, b"abcd"),
    ("long", 5, b"abcdefgh"), ("bytes", 6, b"\0\3abc"), ("time", 8, b"abcdefgh"), ("uuid", 9, b"0123456789abcdef"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "kind", "is_failure"),
    [
        ([text(":event-type", "metadata"), text(":message-type", "event")], "metadata", False),
        ([text(":message-type", "exception"), text(":exception-type", "throttlingException")],
         "throttlingException", True),
        ([text(":message-type", "error"), text(":error-code", "internal")], "internal", True),
        ([text(":error-code", "c"), text(":exception-type", "b"), text(":event-type", "a")], "a", False),
        ([text(":error-code", "c"), text(":exception-type", "b")], "b", False),
        ([*OTHERS, text(":event-type", "last")], "last", False),
        *(([other, text(":event-type", "behind")], "behind", False) for other in OTHERS),
        ([text(":event-type", "größer")], "größer", False),
        ([], None, False),
    ],
)  # fmt: skip
def test_a_frame_says_its_kind_and_its_payload(headers: list[Any], kind: str | None, is_failure: bool) -> None:
    found = opened(frame(b'{"usage": {"inputTokens": 7}}', *headers))
    assert (found.kind, found.is_failure, found.usage.inputTokens) == (kind, is_failure, 7)


def test_a_frame_around_a_models_own_event_says_that_event() -> None:
    inner = base64.b64encode(json.dumps({"generation": "a"}).encode()).decode()
    found = opened(frame(json.dumps({"bytes": inner}).encode(), text(":event-type", "chunk")))
    assert vars(found) == {"generation": "a", "kind": "chunk", "is_failure": False}
    listed = base64.b64encode(b"[1, 2]").decode()
    assert opened(frame(json.dumps({"bytes": listed}).encode())) == [1, 2]


def test_a_frame_without_a_payload_is_an_empty_event() -> None:
    assert vars(opened(frame(b"", text(":event-type", "ping")))) == {"kind": "ping", "is_failure": False}


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 7, frame(b"not JSON"), frame(b"{}", ("odd", 10, b"")), frame(b'{"bytes": "%"}')]
)
def test_a_frame_that_cannot_be_read_says_nothing(data: bytes) -> None:
    assert opened(data) is None


def test_a_payload_that_is_no_object_is_itself() -> None:
    assert opened(frame(b"[7]", text(":event-type", "x"))) == [7]


@pytest.mark.parametrize(
    ("total", "data", "expected"),
    [(16, b"\0" * 8, 16), (LONGEST, b"\0" * 8, LONGEST), (300, b"\0" * 7, 0), (300, b"\0" * 9, 300)],
)
def test_the_length_of_a_frame_is_known_from_its_twelve_first_bytes(total: int, data: bytes, expected: int) -> None:
    assert length(struct.pack("!I", total) + data) == expected


@pytest.mark.parametrize("total", [0, 15, LONGEST + 1, 0xFFFFFFFF])
def test_a_length_that_cannot_be_is_no_frame(total: int) -> None:
    with pytest.raises(ValueError, match="no frame of an event stream"):
        length(struct.pack("!I", total) + b"\0" * 8)


def test_the_longest_frame_has_16_mib() -> None:
    assert LONGEST == 16 * 1024 * 1024


# Failures


class ClientError(Exception):
    def __init__(self, response: Any) -> None:
        super().__init__("An error occurred")
        self.response = response


CODES = {
    "ThrottlingException": ("rate_limit", True),
    "TooManyRequestsException": ("rate_limit", True),
    "ModelNotReadyException": ("server_error", True),
    "ServiceQuotaExceededException": ("quota", False),
    "ModelTimeoutException": ("timeout", True),
    "ModelErrorException": ("server_error", True),
    "ModelStreamErrorException": ("server_error", True),
    "InternalServerException": ("server_error", True),
    "ServiceUnavailableException": ("server_error", True),
    "AccessDeniedException": ("auth", False),
    "UnrecognizedClientException": ("auth", False),
    "InvalidSignatureException": ("auth", False),
    "ExpiredTokenException": ("auth", False),
    "ValidationException": ("invalid_request", False),
    "ResourceNotFoundException": ("invalid_request", False),
}


@pytest.mark.parametrize(("code", "category"), CODES.items())
def test_a_failure_is_named_in_its_exception_in_a_header_or_in_a_stream(code: str, category: tuple[Any, bool]) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 418}})
    assert bedrock_failure(error=error) == Failure(*category, 418, code, "no")
    headers = {"x-amzn-errortype": f"{code}:http://internal.amazon.com/", "x-amzn-requestid": "r-1"}
    told = bedrock_failure(status=418, headers=headers, body={"message": "no"})
    assert told == Failure(*category, 418, code, "no", "r-1")
    assert failure_of_event(code) == category[0]
    assert failure_of_event(code[0].lower() + code[1:]) == category[0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"status": 429, "body": {"message": "slow"}}, Failure("rate_limit", True, 429, None, "slow")),
        ({"status": 424}, Failure("server_error", True, 424)),
        ({"status": 403, "headers": {"x-amzn-errortype": ""}}, Failure("auth", False, 403)),
        ({"status": 400, "headers": {"x-amzn-errortype": "NewException"}, "body": "text"},
         Failure("invalid_request", False, 400, "NewException", "text")),
        ({"status": 503, "error": ClientError({"ResponseMetadata": {"HTTPStatusCode": 400}})},
         Failure("server_error", True, 503, None, "An error occurred")),
        ({"error": ClientError({"Error": {"Code": 404}, "ResponseMetadata": {"HTTPStatusCode": 404}})},
         Failure("invalid_request", False, 404, None, "An error occurred")),
        ({"error": ClientError({"Error": {"Code": "ThrottlingException"}}), "body": {"message": "from the body"}},
         Failure("rate_limit", True, None, "ThrottlingException", "from the body")),
        ({"error": ClientError({"Error": {"Code": "Mine"}}), "headers": {"x-amzn-errortype": "ThrottlingException"}},
         Failure("unknown", False, None, "Mine", "An error occurred")),
        ({"error": ClientError(None)}, Failure("unknown", False, None, None, "An error occurred")),
        ({}, Failure("unknown", False)),
    ],
)  # fmt: skip
def test_a_failure_has_its_category_whatever_it_comes_as(given: dict[str, Any], expected: Failure) -> None:
    assert bedrock_failure(**given) == expected


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("ConnectTimeoutError", "timeout"),
        ("ReadTimeoutError", "timeout"),
        ("ConnectionClosedError", "connection"),
        ("EndpointConnectionError", "connection"),
        ("HTTPClientError", "connection"),
        ("NoCredentialsError", "auth"),
        ("ParamValidationError", "invalid_request"),
    ],
)
def test_exceptions_of_botocore_without_an_answer_are_known_by_their_names(name: str, category: str) -> None:
    assert bedrock_failure(error=type(name, (Exception,), {})("x")).error_type == category


@pytest.mark.parametrize(
    ("kind", "category"), [(None, "server_error"), ("new", "server_error"), ("validationException", "invalid_request")]
)
def test_what_a_stream_does_not_name_is_a_failure_of_the_server(kind: str | None, category: str) -> None:
    assert failure_of_event(kind) == category
