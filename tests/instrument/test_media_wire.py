"""Images and videos that are asked for over HTTP, without a client library: by number, and a video once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
import requests

from tachograph import instrument, uninstrument
from tachograph.records import LLMCall
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording
from tachograph.vendors import once

VEO = "veo-3.1-generate-001"
ON_VERTEX = f"projects/p/locations/us-central1/publishers/google/models/{VEO}"
PICTURE = {"bytesBase64Encoded": "aGk=", "mimeType": "image/png"}
Ask = Callable[[str, str, Any], Any]


class Vendor:
    """A server that answers in turn."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                data = json.dumps(vendor.answers.pop(0)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    made = Vendor()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def seen(vendor: Vendor) -> Iterator[Recording]:
    once.COUNTED.forget()
    with recording() as caught:
        instrument(wire_hosts=[vendor.host])
        try:
            yield caught
        finally:
            TAPE.drain()
            uninstrument()


def by_httpx(method: str, url: str, body: Any) -> Any:
    return httpx2.request(method, url, json=body).json()


def by_requests(method: str, url: str, body: Any) -> Any:
    return requests.request(method, url, json=body, timeout=10).json()


@pytest.fixture(params=[by_httpx, by_requests])
def ask(request: pytest.FixtureRequest, vendor: Vendor) -> Ask:
    def asked(method: str, path: str, body: Any = None, *answers: dict[str, Any]) -> Any:
        vendor.answers = list(answers)
        return request.param(method, f"http://{vendor.host}{path}", body)

    return asked


def paid(call: LLMCall) -> tuple[str, dict[str, int] | None, int | None]:
    return call.model, call.usage and call.usage.tool_uses, call.cost and call.cost.nano_usd


def test_images_of_imagen_are_billed_but_for_those_that_were_filtered(seen: Recording, ask: Any) -> None:
    body = {"instances": [{"prompt": "A cat"}], "parameters": {"sampleCount": 3, "sampleImageSize": "2K"}}
    filtered = {"raiFilteredReason": "no"}
    predict = "models/imagen-4.0-generate-001:predict"
    ask("POST", f"/v1beta/{predict}", body, {"predictions": [PICTURE, filtered, {"gcsUri": "gs://b/1"}]})
    ask("POST", f"/v1/projects/p/locations/l/publishers/google/{predict}", body, {"predictions": [filtered]})
    assert [(call.provider, call.operation, *paid(call)) for call in seen.llm_calls] == [
        ("gemini", "image_generation", "imagen-4.0-generate-001", {"image/2k": 2}, 80_000_000),
        ("gemini", "image_generation", "imagen-4.0-generate-001", None, None),
    ]


MADE = {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": "u"}}, {"video": {"uri": "v"}}]}}


@pytest.mark.parametrize("is_vertex", [False, True])
def test_a_video_is_billed_once_when_its_job_is_done(seen: Recording, ask: Any, is_vertex: bool) -> None:
    model = ON_VERTEX if is_vertex else f"models/{VEO}"
    root = "/v1/" if is_vertex else "/v1beta/"
    name = f"{model}/operations/{ask.__hash__()}"
    body = {
        "instances": [{"prompt": "A dog"}],
        "parameters": {"durationSeconds": 6, "resolution": "4k", "sampleCount": 2},
    }
    done = {"name": name, "done": True, "response": {"videos": [{"gcsUri": "u"}] * 2} if is_vertex else MADE}
    ask("POST", f"{root}{model}:predictLongRunning", body, {"name": name})
    for answer in ({"name": name}, done, done):
        if is_vertex:
            ask("POST", f"{root}{model}:fetchPredictOperation", {"operationName": name}, answer)
        else:
            ask("GET", f"{root}{name}", None, answer)
    made, *read = seen.llm_calls
    assert (made.model, made.operation, made.counts_usage) == (VEO, "video_generation", False)
    assert {(call.provider, call.api, call.operation) for call in read} == {("gemini", "videos", "fetch_response")}
    assert [paid(call) for call in read] == [
        (VEO, None, None),
        (VEO, {"video_second/4k": 12}, 7_200_000_000),
        (VEO, None, None),
    ]


def test_a_video_that_failed_costs_nothing(seen: Recording, ask: Any) -> None:
    name = f"models/{VEO}/operations/op"
    ask("POST", f"/v1beta/models/{VEO}:predictLongRunning", {"instances": [{"prompt": "A dog"}]}, {"name": name})
    ask("GET", f"/v1beta/{name}", None, {"name": name, "done": True, "error": {"code": 3, "message": "no"}})
    assert [call.cost for call in seen.llm_calls] == [None, None]


def test_images_and_videos_of_openai_are_billed_once(seen: Recording, ask: Any) -> None:
    image = {"created": 1, "data": [{"url": "u"}]}
    asked = {"model": "dall-e-3", "prompt": "A cat", "quality": "hd", "size": "1024x1792"}
    ask("POST", "/v1/images/generations", asked, image)
    job = {"id": "video_1", "object": "video", "model": "sora-2", "seconds": "4", "size": "720x1280"}
    body = {"model": "sora-2", "prompt": "A dog"}
    ask("POST", "/v1/videos", body, {**job, "status": "queued"})
    for status in ("in_progress", "completed", "completed"):
        ask("GET", "/v1/videos/video_1", None, {**job, "status": status})
    assert [paid(call)[1:] for call in seen.llm_calls if call.cost is not None] == [
        ({"image/hd/1024x1792": 1}, 120_000_000),
        ({"video_second/720x1280": 4}, 400_000_000),
    ]


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("embedContent", {"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 7}}),
        ("predict", {"predictions": [{"embeddings": {"values": [0.5], "statistics": {"token_count": 7}}}]}),
    ],
)
def test_tokens_of_embeddings_are_read_from_the_wire(seen: Recording, ask: Any, method: str, answer: Any) -> None:
    ask("POST", f"/v1beta/models/gemini-embedding-001:{method}", {"instances": [{"content": "Hi"}]}, answer)
    (call,) = seen.llm_calls
    assert (call.operation, call.usage and call.usage.input_tokens) == ("embeddings", 7)


def test_predictions_of_other_models_are_none_of_ours(seen: Recording, ask: Any) -> None:
    ask("POST", "/v1/projects/p/locations/l/endpoints/123:predict", {"instances": [{"x": 1}]}, {"predictions": [1]})
    ask("GET", "/v1/projects/p/locations/l/operations/9", None, {"name": "x", "done": True})
    assert seen.llm_calls == []
