"""Answers out of a seed: text, ids, tool arguments and token counts, the same for the same request."""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

IMAGE_TOKENS = 258
"""Tokens that every image in a prompt counts for."""

_TEXT = """
order parcel invoice customer ticket refund delivery answer summary report region weather price
stock team meeting plan review change release service request window balance account courier route
station morning evening north south quickly carefully arrived changed opened closed moved waits
shows holds is was will can should after before because while with without over under between
"""
_WORDS = tuple(_TEXT.split())

_SILENT_KEYS = frozenset(
    {"type", "role", "id", "call_id", "tool_call_id", "tool_use_id"} | {"media_type", "mimeType", "model", "taskType"}
)
_BINARY_KEYS = frozenset({"data", "image_url", "url", "signature", "thoughtSignature", "encrypted_content"})


def number(*parts: object) -> int:
    """A stable 64-bit number out of anything printable."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def identifier(seed: int, prefix: str, length: int = 24) -> str:
    return prefix + hashlib.blake2b(f"{prefix}{seed}".encode(), digest_size=32).hexdigest()[:length]


def sentence(rng: random.Random, words: int) -> str:
    chosen = [rng.choice(_WORDS) for _ in range(max(1, words))]
    return " ".join(chosen).capitalize() + "."


def count_tokens(text: str) -> int:
    """Tokens in a text: one for every four characters begun."""
    return math.ceil(len(text) / 4)


def prompt_tokens(*parts: object) -> int:
    """Tokens in parts of a request body: four characters of text each, and a fixed number per image."""
    characters = images = 0
    for kind, text in _strings(parts, ""):
        if kind == "binary":
            images += 1
        else:
            characters += len(text)
    return math.ceil(characters / 4) + images * IMAGE_TOKENS


def _strings(value: object, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if key in _BINARY_KEYS:
            yield "binary", value
        elif key not in _SILENT_KEYS:
            yield "text", value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _strings(inner, name)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner, key)


def count_tool_results(value: object) -> int:
    """Tool results in a conversation of any vendor."""
    if isinstance(value, Mapping):
        here = (
            value.get("role") == "tool"
            or value.get("type") in ("tool_result", "function_call_output", "function_result")
            or "functionResponse" in value
        )
        return int(here) + (0 if here else sum(map(count_tool_results, value.values())))
    if isinstance(value, (list, tuple)):
        return sum(map(count_tool_results, value))
    return 0


def split_text(text: str, pieces: int | None) -> list[str]:
    """Cut a text into `pieces` (about one for every 20 characters unless given); their sum is the text."""
    if not text:
        return []
    count = max(1, min(len(text), pieces or math.ceil(len(text) / 20)))
    edges = [round(i * len(text) / count) for i in range(count + 1)]
    return [text[a:b] for a, b in itertools.pairwise(edges) if b > a]


def example(schema: Mapping[str, Any], rng: random.Random, name: str = "") -> Any:
    """A value that a JSON schema allows (as far as the schemas of tools and structured outputs go)."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return rng.choice(list(schema["enum"]))
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            chosen = next((s for s in schema[union] if s.get("type") != "null"), schema[union][0])
            return example(chosen, rng, name)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = (kind[0] if isinstance(kind, list) else str(kind)).lower()
    if kind == "object":
        properties = schema.get("properties", {})
        wanted = schema.get("required") or list(properties)
        return {key: example(properties.get(key, {}), rng, key) for key in wanted}
    if kind == "array":
        return [example(schema.get("items", {}), rng, name) for _ in range(max(1, int(schema.get("minItems", 1))))]
    if kind in ("integer", "number"):
        low = int(schema.get("minimum", 1))
        return rng.randint(low, max(low, int(schema.get("maximum", low + 99))))
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "null":
        return None
    return f"{name or 'value'}-{rng.randint(100, 999)}"


TINY_PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
    )
).decode()
