"""OpenAI's other endpoints: embeddings, images, audio, moderations, batches, legacy completions, models."""

from __future__ import annotations

import base64
import random
import re
import struct
from collections.abc import Iterable
from typing import Any

from . import seeded
from .operation import Filled, Operation, Piece, Rendered, json_bytes
from .usage import ServedUsage


def route(method: str, path: str, model: str, body: object) -> Operation | None:
    fields = body if isinstance(body, dict) else {}
    form = _form(body) if isinstance(body, bytes) else {}
    model = model or form.get("model", "")
    is_stream = bool(fields.get("stream")) or form.get("stream") == "true"
    if method == "GET":
        return _route_get(path)
    if method != "POST":
        return None
    if path == "/embeddings":
        return Operation(
            name="embeddings",
            model=model,
            whole=_embeddings,
            prompt=(fields.get("input"),),
            produces_text=False,
        )
    if path == "/completions":
        return Operation(
            name="completions",
            model=model,
            whole=_completion,
            stream=_completion_pieces if is_stream else None,
            prompt=(fields.get("prompt"),),
        )
    if path in ("/images/generations", "/images/edits", "/images/variations"):
        return Operation(
            name="images",
            model=model,
            whole=_images,
            stream=_image_pieces if is_stream else None,
            prompt=(fields.get("prompt") or form.get("prompt"),),
            produces_text=False,
        )
    if path in ("/audio/transcriptions", "/audio/translations"):
        return Operation(
            name="transcriptions",
            model=model,
            whole=_transcription,
            stream=_transcript_pieces if is_stream else None,
        )
    if path == "/audio/speech":
        return Operation(name="speech", model=model, whole=_speech, prompt=(fields.get("input"),), produces_text=False)
    if path == "/moderations":
        return Operation(name="moderations", model=model, whole=_moderation, produces_text=False)
    return None


def _route_get(path: str) -> Operation | None:
    if path == "/models":
        return Operation(name="models", model="", is_scripted=False, whole=_models)
    if re.fullmatch(r"/batches/[^/]+", path):
        return Operation(name="batch", model="gpt-5-mini", whole=_batch, prompt=(path * 40,))
    return None


def _form(body: bytes) -> dict[str, str]:
    """The text fields of a multipart body (files are skipped)."""
    found = re.findall(rb'name="([^"]+)"\r\n(?:Content-Type: [^\r]*\r\n)?\r\n([^\r]*)\r\n', body)
    return {name.decode(): value.decode("utf-8", "replace") for name, value in found}


def _embeddings(filled: Filled) -> Rendered:
    body = filled.body
    given = body.get("input")
    count = len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
    size = int(body.get("dimensions") or 8)
    rng = random.Random(filled.asked.seed)
    vectors = [[rng.uniform(-1, 1) for _ in range(size)] for _ in range(count)]
    encoded: list[Any] = list(vectors)
    if body.get("encoding_format") == "base64":
        encoded = [base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() for vector in vectors]
    result = {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(encoded)],
        "model": filled.model,
        "usage": {"prompt_tokens": filled.usage.prompt, "total_tokens": filled.usage.prompt},
    }
    return Rendered(body=json_bytes(result), usage=filled.usage)


def _legacy_usage(usage: ServedUsage) -> dict[str, int]:
    return {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion, "total_tokens": usage.total}


def _completion_body(filled: Filled, text: str, finish: str | None) -> dict[str, Any]:
    return {
        "id": filled.id("cmpl-"),
        "object": "text_completion",
        "created": filled.created,
        "model": filled.model,
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}],
    }


def _completion(filled: Filled) -> Rendered:
    body = {**_completion_body(filled, filled.text, "stop"), "usage": _legacy_usage(filled.usage)}
    return Rendered(body=json_bytes(body), usage=filled.usage, response_id=body["id"])


def _data(value: object) -> bytes:
    return b"data: " + json_bytes(value) + b"\n\n"


def _completion_pieces(filled: Filled) -> Iterable[Piece]:
    for text in filled.text_pieces():
        yield Piece(data=_data(_completion_body(filled, text, None)), is_content=True)
    yield Piece(data=_data(_completion_body(filled, "", "stop")))
    if (filled.body.get("stream_options") or {}).get("include_usage"):
        last = {**_completion_body(filled, "", None), "choices": [], "usage": _legacy_usage(filled.usage)}
        yield Piece(data=_data(last), usage=filled.usage)
    yield Piece(data=b"data: [DONE]\n\n")


def _image_usage(filled: Filled) -> tuple[ServedUsage, dict[str, Any]]:
    usage = filled.usage
    if filled.answer.usage is None:
        usage = ServedUsage(prompt=usage.prompt, completion=272, image_output=272)
    wire = {
        "input_tokens": usage.prompt,
        "input_tokens_details": {
            "text_tokens": usage.prompt - usage.image_input,
            "image_tokens": usage.image_input,
        },
        "output_tokens": usage.completion,
        "output_tokens_details": {
            "text_tokens": usage.completion - usage.image_output,
            "image_tokens": usage.image_output,
        },
        "total_tokens": usage.total,
    }
    return usage, wire


def _images(filled: Filled) -> Rendered:
    usage, wire = _image_usage(filled)
    body = {"created": filled.created, "data": [{"b64_json": seeded.TINY_PNG}], "usage": wire}
    return Rendered(body=json_bytes(body), usage=usage)


def _image_pieces(filled: Filled) -> Iterable[Piece]:
    usage, wire = _image_usage(filled)
    common = {
        "b64_json": seeded.TINY_PNG,
        "created_at": filled.created,
        "size": "1024x1024",
        "quality": "low",
        "background": "opaque",
        "output_format": "png",
    }
    for kind, more in (
        ("image_generation.partial_image", {"partial_image_index": 0}),
        ("image_generation.completed", {"usage": wire}),
    ):
        data = b"event: " + kind.encode() + b"\n" + _data({"type": kind, **common, **more})
        yield Piece(data=data, is_content=True, usage=usage if "usage" in more else None)


def _transcription_usage(filled: Filled) -> tuple[ServedUsage, dict[str, Any]]:
    usage = filled.usage
    if filled.answer.usage is None:
        usage = ServedUsage(prompt=120, completion=max(1, usage.completion), audio_input=110, audio_seconds=11.0)
        if filled.model.startswith("whisper"):
            usage = ServedUsage(audio_seconds=11.0)
    if usage.total == 0:
        return usage, {"type": "duration", "seconds": usage.audio_seconds}
    return usage, {
        "type": "tokens",
        "input_tokens": usage.prompt,
        "input_token_details": {
            "audio_tokens": usage.audio_input,
            "text_tokens": usage.prompt - usage.audio_input,
        },
        "output_tokens": usage.completion,
        "total_tokens": usage.total,
    }


def _transcription(filled: Filled) -> Rendered:
    usage, wire = _transcription_usage(filled)
    return Rendered(body=json_bytes({"text": filled.text, "usage": wire}), usage=usage)


def _transcript_pieces(filled: Filled) -> Iterable[Piece]:
    usage, wire = _transcription_usage(filled)
    for text in filled.text_pieces():
        yield Piece(data=_data({"type": "transcript.text.delta", "delta": text}), is_content=True)
    yield Piece(data=_data({"type": "transcript.text.done", "text": filled.text, "usage": wire}), usage=usage)
    yield Piece(data=b"data: [DONE]\n\n")


def _speech(filled: Filled) -> Rendered:
    return Rendered(body=b"ID3" + bytes(1000), usage=None, headers={"content-type": "audio/mpeg"})


def _moderation(filled: Filled) -> Rendered:
    categories = dict.fromkeys(
        ("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
         "self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence",
         "violence/graphic"),
        False,
    )  # fmt: skip
    result = {
        "flagged": False,
        "categories": categories,
        "category_scores": dict.fromkeys(categories, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in categories},
    }
    body = {"id": filled.id("modr-"), "model": filled.model or "omni-moderation-latest", "results": [result]}
    return Rendered(body=json_bytes(body), usage=None)


def _models(filled: Filled) -> Rendered:
    names = (
        "gpt-5",
        "gpt-5-mini",
        "gpt-5-nano",
        "gpt-4.1",
        "gpt-4o",
        "gpt-4o-mini",
        "text-embedding-3-small",
    )
    data = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "openai"} for name in names]
    return Rendered(body=json_bytes({"object": "list", "data": data}), usage=None)


def _batch(filled: Filled) -> Rendered:
    usage = filled.usage
    body = {
        "id": filled.asked.path.rsplit("/", 1)[1],
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "model": filled.model,
        "input_file_id": "file-input",
        "output_file_id": "file-output",
        "completion_window": "24h",
        "status": "completed",
        "created_at": filled.created - 3600,
        "completed_at": filled.created,
        "request_counts": {"total": 3, "completed": 3, "failed": 0},
        "usage": {
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cache_read},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.total,
        },
    }
    return Rendered(body=json_bytes(body), usage=usage, response_id=str(body["id"]))
