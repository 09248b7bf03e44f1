"""Gemini's REST API, as clients other than google-genai use it: requests by path, answers in the names of the wire.

Source: ai.google.dev/api/generate-content, cloud.google.com/vertex-ai/docs/reference/rest; 2026-11-27.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tachograph.records import LLMCall
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import Api, RequestFacts, count_of, settings_of
from tachograph.vendors.fields import dig, either, items, pick, scalar
from tachograph.vendors.gemini.apis import FETCH_VIDEO, GENERATE, PLAIN
from tachograph.vendors.gemini.generation import Generation, Hop, read_generation
from tachograph.vendors.gemini.media import bill_images
from tachograph.vendors.gemini.usage import gemini_embedding_usage

_SETTINGS: Final = {
    "maxOutputTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
    "candidateCount": "choice.count",
    "stopSequences": "stop_sequences",
}


def facts(body: Mapping[str, Any]) -> RequestFacts:
    """A request: the model is in the path."""
    config = pick(body, "generationConfig") or pick(body, "generation_config")
    settings = settings_of({**config, **_snake(config)}, _SETTINGS) if isinstance(config, dict) else {}
    level = scalar(dig(config, "thinkingConfig", "thinkingLevel"))
    if level is not None:
        settings["reasoning.level"] = str(level).lower()
    tier = scalar(either(body, "serviceTier", "service_tier"))
    if tier is not None:
        settings["service_tier"] = tier
    return RequestFacts("unknown", count_of(said(body)), False, settings or None)


def _snake(config: Mapping[str, Any]) -> dict[str, Any]:
    """Names with underscores, which the API takes as well (LiteLLM sends them)."""
    return {wire: config[name] for wire in _SETTINGS if (name := re.sub(r"([A-Z])", r"_\1", wire).lower()) in config}


def said(body: Mapping[str, Any]) -> Any:
    """What the model was asked."""
    return next((body[name] for name in ("contents", "content", "requests", "instances") if body.get(name)), None)


class _WireHop(Hop):
    def feed(self, answer: object) -> bool:
        """Note an answer or a chunk as it was sent."""
        return self._feed_loose(answer)


class Chunks(Generation):
    """Reads a streamed answer as it was sent."""

    def hop(self) -> Hop:
        """The request's."""
        hop = _WireHop()
        self.hops.append(hop)
        return hop


def read(call: LLMCall, answer: object) -> ErrorType | None:
    """A whole answer; one that streams without server-sent events is a list of chunks."""
    reader = Chunks()
    hop = reader.hop()
    for chunk in answer if isinstance(answer, list) else (answer,):
        hop.feed(chunk)
    return read_generation(call, reader)


def read_pictures(call: LLMCall, answer: object) -> ErrorType | None:
    """Images of Imagen; those that were filtered are named without their bytes."""
    drawn = (pick(each, "bytesBase64Encoded") or pick(each, "gcsUri") for each in items(answer, "predictions"))
    bill_images(call, sum(map(bool, drawn)))
    return None


def read_vectors(call: LLMCall, answer: object) -> ErrorType | None:
    """Embeddings: their usage in the names of the wire, or what each says of its own tokens."""
    stated = {"embeddings": [pick(each, "embeddings") for each in items(answer, "predictions")]}
    call.usage = gemini_embedding_usage({"usage_metadata": pick(answer, "usageMetadata"), **stated})
    return None


_MODELS: Final = re.compile(r".*/(?:models|endpoints|tunedModels)/(?P<model>[^/:]+):(?P<method>\w+)")
_GENERATE: Final = replace(GENERATE, read=read, chunks=Chunks, facts=facts, input_content=said)
_EMBED: Final = replace(PLAIN["embed_content"], read=read_vectors, facts=facts, input_content=said)
_COUNT: Final = replace(PLAIN["count_tokens"], facts=facts, input_content=said)
_METHODS: Final[dict[str, tuple[Api, bool]]] = {
    "generateContent": (_GENERATE, False),
    "streamGenerateContent": (_GENERATE, True),
    "embedContent": (_EMBED, False),
    "batchEmbedContents": (_EMBED, False),
    "countTokens": (_COUNT, False),
    "predictLongRunning": (replace(PLAIN["generate_videos"], facts=facts, input_content=said), False),
    "fetchPredictOperation": (FETCH_VIDEO, False),
}
_IMAGES: Final = replace(PLAIN["generate_images"], read=read_pictures, facts=facts, input_content=said)
_PREDICTS: Final = (("imagen", _IMAGES), ("text-embedding", _EMBED), ("text-multilingual-embedding", _EMBED),
                    ("gemini-embedding", _EMBED))  # fmt: skip
"""What `predict` of a model is, by the model's name; other models have answers of their own."""
_OPERATION: Final = re.compile(r".*/models/(?P<model>veo-[^/:]+)/operations/[^/:]+")


def route(method: str, path: str) -> tuple[Api, str, bool] | None:
    """The API behind a path `/v1beta/models/{model}:generateContent`, the model, and whether the answer streams."""
    if method != "post":
        job = _OPERATION.fullmatch(path) if method == "get" else None
        return None if job is None else (FETCH_VIDEO, job["model"], False)
    found = _MODELS.fullmatch(path)
    if found is None:
        return None
    model = found["model"]
    if found["method"] == "predict":
        return next(((api, model, False) for name, api in _PREDICTS if model.startswith(name)), None)
    entry = _METHODS.get(found["method"])
    return None if entry is None else (entry[0], model, entry[1])
