"""OpenAI's APIs by method and path: how each is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from tachograph.urls import split
from tachograph.vendors.api import Api
from tachograph.vendors.openai.chat import ChatChunks, chat_content, chat_tokens, read_chat, read_stored_chat
from tachograph.vendors.openai.media import (
    MediaEvents,
    SpeechEvents,
    embedding_tokens,
    read_embeddings,
    read_images,
    read_nothing,
    read_speech,
    read_transcription,
)
from tachograph.vendors.openai.requests import request_facts, said
from tachograph.vendors.openai.responses import (
    ResponseEvents,
    read_response,
    read_stored_response,
    response_content,
    response_tokens,
)
from tachograph.vendors.openai.stored import (
    RunEvents,
    read_batch,
    read_conversation,
    read_eval_run,
    read_fine_tuning,
    read_run,
    read_video,
)

_api: Final[Callable[..., Api]] = partial(Api, "openai", facts=request_facts, input_content=said)
_chat: Final = partial(_api, chunks=ChatChunks, tokens=chat_tokens, output_content=chat_content)
_response: Final = partial(_api, chunks=ResponseEvents, tokens=response_tokens, output_content=response_content)
_images: Final = _api("images", "image_generation", read_images, MediaEvents, tokens=response_tokens)
_transcription: Final = _api("audio", "transcription", read_transcription, MediaEvents)

CHAT: Final[Api] = _chat("chat_completions", "chat", read_chat)
RESPONSES: Final[Api] = _response("responses", "chat", read_response)
_STORED_RESPONSE: Final = _response("responses", "fetch_response", read_stored_response)
_VIDEO: Final = _api("videos", "video_generation", read_video)
_RUN: Final = _api("assistants", "invoke_agent", read_run, RunEvents)

ROUTES: Final[dict[tuple[str, str], Api]] = {
    ("post", "/chat/completions"): CHAT,
    ("post", "/completions"): _chat("completions", "text_completion", read_chat),
    ("post", "/responses"): RESPONSES,
    ("post", "/responses/compact"): _response("responses_compact", "chat", read_response),
    ("post", "/responses/input_tokens"): _api("token_count", "count_tokens", read_nothing, counts_usage=False),
    ("post", "/decisions"): _response("decisions", "chat", read_response),
    ("post", "/embeddings"): _api("embeddings", "embeddings", read_embeddings, tokens=embedding_tokens),
    ("post", "/images/generations"): _images,
    ("post", "/images/edits"): _images,
    ("post", "/images/variations"): _images,
    ("post", "/audio/transcriptions"): _transcription,
    ("post", "/audio/translations"): _transcription,
    ("post", "/audio/speech"): _api("audio", "speech", read_speech, SpeechEvents),
    ("post", "/moderations"): _api("moderations", "moderation", read_nothing, counts_usage=False),
    ("post", "/batches"): _api("batches", "create_batch", read_batch),
    ("post", "/threads/runs"): _RUN,
    ("post", "/videos"): _VIDEO,
    ("post", "/videos/edits"): _VIDEO,
    ("post", "/videos/extensions"): _VIDEO,
    ("post", "/fine_tuning/jobs"): _api("fine_tuning", "create_fine_tuning_job", read_fine_tuning),
    ("post", "/conversations"): _api("conversations", "create_conversation", read_conversation),
    ("post", "/vector_stores"): _api("vector_stores", "create_vector_store", read_nothing, counts_usage=False),
}
"""What is watched, by method and path; other endpoints cost one look-up."""

_PATTERNS: Final[tuple[tuple[str, re.Pattern[str], Api], ...]] = (
    ("get", re.compile(r"/chat/completions/[^/]+"), _api("chat_completions", "fetch_response", read_stored_chat)),
    ("get", re.compile(r"/responses/[^/]+"), _STORED_RESPONSE),
    ("post", re.compile(r"/responses/[^/]+/cancel"), _STORED_RESPONSE),
    ("get", re.compile(r"/batches/[^/]+"), _api("batches", "fetch_response", read_batch)),
    ("post", re.compile(r"/threads/[^/]+/runs(/[^/]+/submit_tool_outputs)?"), _RUN),
    ("get", re.compile(r"/threads/[^/]+/runs/[^/]+"), _api("assistants", "fetch_response", read_run)),
    ("post", re.compile(r"/evals/[^/]+/runs"), _api("evals", "create_eval_run", read_eval_run)),
    ("get", re.compile(r"/evals/[^/]+/runs/[^/]+"), _api("evals", "fetch_response", read_eval_run)),
    ("post", re.compile(r"/videos/[^/]+/remix"), _VIDEO),
    ("get", re.compile(r"/videos/[^/]+"), _api("videos", "fetch_response", read_video)),
    ("get", re.compile(r"/fine_tuning/jobs/[^/]+"), _api("fine_tuning", "fetch_response", read_fine_tuning)),
    (
        "post",
        re.compile(r"/conversations/[^/]+/items"),
        _api("conversations", "add_conversation_items", read_conversation),
    ),
    (
        "post",
        re.compile(r"/vector_stores/[^/]+/search"),
        _api("vector_stores", "search_vector_store", read_nothing, counts_usage=False),
    ),
)
_PREFIXES: Final = (
    *("/chat/completions/", "/responses/", "/batches/", "/threads/", "/evals/"),
    *("/videos/", "/fine_tuning/", "/conversations/", "/vector_stores/"),
)


def route(method: str, url: str) -> Api | None:
    """The API behind a method and a path of the client, or None when it is not watched.

    Args:
        method: In either case.
        url: As given to the client: a path, with or without its first slash, or a whole URL (`client.post(url)`), of
            which the client's own prefix (`/v1`, a deployment) is passed over. A slash at its end changes nothing.
    """
    method = method.lower()
    path = url.partition("?")[0]
    if not path.startswith("/"):
        path = split(path).path if "://" in path else f"/{path}"
        if "://" in url:
            path = next((path[path.index(end) :] for end in _ENDS if end in path), path)
    path = path.rstrip("/")
    api = ROUTES.get((method, path))
    if api is None and path.startswith(_PREFIXES):
        for wanted, pattern, found in _PATTERNS:
            if wanted == method and pattern.fullmatch(path):
                return found
    return api


_ENDS: Final = tuple(
    sorted({path for _, path in ROUTES} | {prefix.rstrip("/") for prefix in _PREFIXES}, key=len, reverse=True)
)
