"""Gemini's APIs, by the methods of the google-genai client: how each is read."""

from __future__ import annotations

from functools import partial
from typing import Final

from tachograph.vendors.api import Api
from tachograph.vendors.gemini.batches import read_batch
from tachograph.vendors.gemini.generation import (
    Generation,
    generation_content,
    generation_tokens,
    read_embeddings,
    read_generation,
    read_nothing,
)
from tachograph.vendors.gemini.interactions import (
    InteractionEvents,
    interaction_content,
    read_interaction,
    read_stored_interaction,
)
from tachograph.vendors.gemini.media import read_images, read_video
from tachograph.vendors.gemini.requests import interaction_facts, interaction_said, request_facts, said

_api: Final = partial(Api, "gemini", facts=request_facts, input_content=said)
_interactions: Final = partial(
    Api,
    "gemini",
    "interactions",
    chunks=InteractionEvents,
    facts=interaction_facts,
    input_content=interaction_said,
    output_content=interaction_content,
)
_images: Final = _api("images", "image_generation", read_images)
_count: Final = _api("token_count", "count_tokens", read_nothing, counts_usage=False)

GENERATE: Final = _api(
    "generate_content",
    "generate_content",
    read_generation,
    Generation,
    tokens=generation_tokens,
    output_content=generation_content,
)
INTERACT: Final = _interactions("generate_content", read_interaction)
FETCH_INTERACTION: Final = _interactions("fetch_response", read_stored_interaction)
PLAIN: Final = {
    "embed_content": _api("embed_content", "embeddings", read_embeddings),
    "generate_images": _images,
    "edit_image": _images,
    "upscale_image": _images,
    "recontext_image": _images,
    "generate_videos": _api("videos", "video_generation", read_video),
    "count_tokens": _count,
    "compute_tokens": _count,
}
"""Methods of `models` that send one request each."""
_create_batch: Final = _api("batches", "create_batch", read_batch)
BATCHES: Final = {
    "create": _create_batch,
    "create_embeddings": _create_batch,
    "get": _api("batches", "fetch_response", read_batch),
}
"""Methods of `batches`."""
FETCH_VIDEO: Final = _api("videos", "fetch_response", read_video)
"""`get` of `operations`."""
