"""What a request for images or videos asks for, as far as it is billed by number: how many, of which quality and size.

An item's name is its kind and what its price depends on: `image/hd/1024x1792`, `video_second/4k/silent`.

Sources: openai 3.57 and google-genai 3.6 types; defaults from developers.openai.com/api/docs/api-reference/images and
.../videos, ai.google.dev/gemini-api/docs/video; 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MEDIA: Final = ("image", "video_second")
"""Kinds of items that are billed by number, at prices by quality and size."""
GENERATES_MEDIA: Final = frozenset(("image_generation", "video_generation"))
"""Operations whose answers hold such items."""
SILENT: Final = "silent"
"""The word of a video that was made without sound."""
_LONGEST_VIDEO: Final = 3600
_MOST_ITEMS: Final = 1000
_VEO_SECONDS: Final = 8
_SORA_SECONDS: Final = 4


def item(kind: str, *words: object) -> str:
    """The name of an item, without the words that are not known."""
    return "/".join([kind, *(word.lower().replace("/", "-") for word in words if isinstance(word, str) and word)])


def image_of(model: str, body: object, quality: object = None, size: object = None) -> str:
    """The item that one image of this request is.

    Args:
        model: What draws.
        body: The request: a JSON object of OpenAI's or Google's, or google-genai's keyword arguments.
        quality, size: What the answer says of them, which holds over what was asked.
    """
    quality, size = quality or _field(body, "quality"), size or _field(body, "size") or _config(body, "image_size")
    if "dall-e" in model:
        size = size or "1024x1024"
        quality = None if "dall-e-2" in model else quality or "standard"
    return item("image", quality, size)


def video_of(model: str, body: object, size: object = None) -> str:
    """The item that one second of this request's video is; the arguments are those of `image_of`."""
    size = size or _field(body, "size") or _config(body, "resolution")
    if not size:
        size = "720x1280" if "sora" in model else "720p" if "veo" in model else None
    return item("video_second", size, SILENT if _config(body, "generate_audio") is False else None)


def seconds_of(model: str, body: object) -> int | None:
    """How long each of the videos is that this request asks for; None where that is not known."""
    said = _field(body, "seconds") or _config(body, "duration_seconds")
    if isinstance(said, str) and said.isdigit():
        said = int(said)
    if type(said) is int:
        return said if 0 < said <= _LONGEST_VIDEO else None
    return _SORA_SECONDS if "sora" in model else _VEO_SECONDS if "veo" in model else None


def asked_for(operation: str, model: str, body: object) -> dict[str, int]:
    """The items that a request asks for, by name; empty where they are not known."""
    if operation == "image_generation":
        return {image_of(model, body): _number(_field(body, "n") or _config(body, "number_of_images"))}
    seconds = seconds_of(model, body)
    return {} if seconds is None else {video_of(model, body): seconds * _number(_config(body, "number_of_videos"))}


def _number(said: object) -> int:
    return said if type(said) is int and 0 < said <= _MOST_ITEMS else 1


_REST: Final = {
    "image_size": "sampleImageSize",
    "duration_seconds": "durationSeconds",
    "generate_audio": "generateAudio",
    "number_of_images": "sampleCount",
    "number_of_videos": "sampleCount",
    "resolution": "resolution",
}
"""What google-genai's settings are called in the `parameters` of Google's REST API."""


def _config(body: object, name: str) -> object:
    said = _field(_field(body, "config"), name)
    return _field(_field(body, "parameters"), _REST[name]) if said is None else said


def _field(thing: object, name: str) -> object:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
