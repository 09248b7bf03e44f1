"""Images and videos of watched clients are billed by number where no tokens are reported; a video once, when done."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest
from google import genai

from tachograph.records import LLMCall
from tachograph.testing import Recording
from tachograph.vendors import once

PICTURE = {"bytesBase64Encoded": "aGk=", "mimeType": "image/png"}
MODEL = "veo-3.1-generate-001"
NAME = f"projects/p/locations/us-central1/publishers/google/models/{MODEL}/operations/op1"
MADE = {"videos": [{"gcsUri": "gs://v/1"}]}


# google-genai warns of its own method; applications call it, so it is watched.
pytestmark = pytest.mark.filterwarnings("ignore:The generate_images method is deprecated")


@pytest.fixture(autouse=True)
def nothing_counted_yet() -> None:
    once.COUNTED.forget()


def client(*answers: dict[str, Any]) -> openai.OpenAI:
    left = list(answers)
    over = httpx2.MockTransport(lambda _: httpx2.Response(200, json=left.pop(0)))
    return openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=over))


def gemini(*answers: dict[str, Any]) -> genai.Client:
    left = list(answers)
    over = httpx2.MockTransport(lambda _: httpx2.Response(200, json=left.pop(0)))
    options: Any = {
        "httpx_client": httpx2.Client(transport=over),
        "httpx_async_client": httpx2.AsyncClient(transport=over),
    }
    return genai.Client(vertexai=True, api_key="k", http_options=options)


def paid(call: LLMCall) -> tuple[dict[str, int] | None, str | None, int | None]:
    return (
        call.usage and call.usage.tool_uses,
        call.cost and call.cost.quality,
        call.cost and call.cost.nano_usd,
    )


def test_images_without_usage_are_billed_by_quality_and_size(seen: Recording) -> None:
    two = {"created": 1, "data": [{"url": "u"}, {"url": "v"}]}
    told = {**two, "quality": "high", "size": "1024x1024"}
    asked = client(two, two, told)
    asked.images.generate(model="dall-e-3", prompt="A cat", quality="hd", size="1024x1792", n=2)
    asked.images.generate(model="dall-e-2", prompt="A cat", n=2)
    asked.images.generate(model="gpt-image-1", prompt="A cat", n=2)
    assert [paid(call) for call in seen.llm_calls] == [
        ({"image/hd/1024x1792": 2}, "priced", 240_000_000),
        ({"image/1024x1024": 2}, "priced", 40_000_000),
        ({"image/high/1024x1024": 2}, "estimated", 334_000_000),
    ]


def test_the_author_of_a_drawing_is_billed_at_its_own_price(seen: Recording) -> None:
    usage = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110, "input_tokens_details": {"text_tokens": 10}}
    svg = {"model": "gpt-5", "input_tokens": 1000, "output_tokens": 500, "reasoning_tokens": 300, "total_tokens": 1500}
    asked = client({"created": 1, "data": [{"b64_json": "aGk="}], "usage": usage, "svg_usage": svg})
    asked.images.generate(model="gpt-image-2", prompt="A cat", output_format="svg")
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens, call.usage.tool_uses) == (1010, 600, {"svg_author": 1})
    assert call.cost is not None
    drawn, written = 10 * 5000 + 100 * 30_000, 1000 * 1250 + 500 * 10_000
    assert (call.cost.quality, call.cost.nano_usd) == ("priced", drawn + written)


def test_images_of_imagen_are_billed_but_for_those_that_were_filtered(seen: Recording) -> None:
    asked = gemini({"predictions": [PICTURE, {"raiFilteredReason": "no"}, PICTURE]})
    asked.models.generate_images(
        model="imagen-4.0-generate-001", prompt="A cat", config={"number_of_images": 3, "image_size": "2K"}
    )
    assert [paid(call) for call in seen.llm_calls] == [({"image/2k": 2}, "priced", 80_000_000)]


def poll(*answers: dict[str, Any], is_async: bool = False, **config: Any) -> None:
    asked = gemini({"name": NAME}, *answers)
    job = asked.models.generate_videos(model=MODEL, source={"prompt": "A dog"}, config=config)
    for _ in answers:
        job = asyncio.run(asked.aio.operations.get(job)) if is_async else asked.operations.get(job)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_video_is_billed_once_when_it_is_done(seen: Recording, is_async: bool) -> None:
    done = {"name": NAME, "done": True, "response": MADE}
    answers = [done] if is_async else [{"name": NAME}, done, done]
    poll(*answers, is_async=is_async, duration_seconds=6, resolution="4k")
    made, *read = seen.llm_calls
    assert (made.model, made.operation, made.finish_reason, made.counts_usage) == (
        MODEL,
        "video_generation",
        "in_progress",
        False,
    )
    assert {(call.api, call.operation, call.model, call.outcome) for call in read} == {
        ("videos", "fetch_response", MODEL, "success")
    }
    billed = [call for call in read if call.cost is not None]
    assert [paid(call) for call in billed] == [({"video_second/4k": 6}, "priced", 3_600_000_000)]
    assert not seen.value("llm_calls_usage_missing_total", provider="gemini", model=MODEL)


def test_a_video_that_failed_or_was_filtered_costs_nothing(seen: Recording) -> None:
    poll({"name": NAME, "done": True, "error": {"code": 3, "message": "no"}})
    poll({"name": NAME, "done": True, "response": {"raiMediaFilteredCount": 1}})
    assert [call.cost for call in seen.llm_calls] == [None] * 4


def test_a_video_that_another_process_asked_for_says_what_is_unknown(seen: Recording) -> None:
    other = NAME + "2"
    asked = gemini({"name": other, "done": True, "response": MADE})
    asked.operations.get(genai.types.GenerateVideosOperation(name=other))
    (call,) = seen.llm_calls
    assert paid(call) == ({"video/unknown_length": 1}, "unpriced", None)
    assert call.cost is not None
    assert call.cost.detail == "no price for video/unknown_length"


def test_tokens_of_a_video_are_told_apart(seen: Recording) -> None:
    usage = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 5000,
        "totalTokenCount": 5010,
        "candidatesTokensDetails": [{"modality": "VIDEO", "tokenCount": 4900}, {"modality": "TEXT", "tokenCount": 100}],
    }
    said = {"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}
    asked = gemini(json.loads(json.dumps({"candidates": [said], "usageMetadata": usage})))
    asked.models.generate_content(model="gemini-omni-1.1-flash", contents="A dog")
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert call.usage.details == {"video_output": 4900}
    assert call.cost is not None
    assert (call.cost.quality, call.cost.nano_usd) == ("priced", 10 * 1500 + 100 * 9000 + 4900 * 17_500)
