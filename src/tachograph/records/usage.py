"""What a call used: tokens as the contract counts them, and their parts."""

from __future__ import annotations

from typing import Final

import msgspec

DETAILS: Final[tuple[str, ...]] = (
    "cache_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_30m",
    "cache_write_1h",
    "cache_write_12h",
    "reasoning",
    "audio_input",
    "audio_cache_read",
    "audio_output",
    "image_input",
    "image_cache_read",
    "image_output",
    "video_input",
    "video_output",
    "document_input",
    "tool_use_prompt",
    "accepted_prediction",
    "rejected_prediction",
)
"""Known parts of tokens: the values of `detail` on `llm_provider_token_details_total`.

`cache_write` is all of what was written; its lifetimes (`cache_write_5m` ...) are parts of it.
"""


class Usage(msgspec.Struct):
    """Tokens of one call, under one rule for every vendor.

    Attributes:
        input_tokens: The whole prompt: cached, cache-written and tool-use prompt tokens included. None: not reported.
        output_tokens: The whole completion, reasoning included. None: not reported.
        details: Parts of the two totals by the words of `DETAILS`; never to be added to them. Zero parts are left out.
        tool_uses: What is billed by number beside tokens, by kind: uses of server-side tools (`web_search`,
            `web_fetch`, `file_search`, `code_interpreter` by container, `image_generation`), sources of a search
            (`source`), characters of speech (`character`); images and seconds of video, by what their price depends on
            (`image/hd/1024x1792`, `video_second/4k`; see `records.media`); and what is billed at another model's prices
            (`advisor`, `svg_author`).
        audio_seconds: Audio billed by time, where the vendor bills so.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    details: dict[str, int] = msgspec.field(default_factory=dict)
    tool_uses: dict[str, int] = msgspec.field(default_factory=dict)
    audio_seconds: float | None = None

    @property
    def is_reported(self) -> bool:
        """Whether the vendor reported any usage at all."""
        return (
            self.input_tokens is not None
            or self.output_tokens is not None
            or self.audio_seconds is not None
            or bool(self.tool_uses)
        )

    def __add__(self, other: Usage) -> Usage:
        """Sum two usages of one call (hops of one call, iterations), keeping 'not reported' apart from zero."""
        return Usage(
            _plus(self.input_tokens, other.input_tokens),
            _plus(self.output_tokens, other.output_tokens),
            _merge(self.details, other.details),
            _merge(self.tool_uses, other.tool_uses),
            None
            if self.audio_seconds is None and other.audio_seconds is None
            else (self.audio_seconds or 0.0) + (other.audio_seconds or 0.0),
        )


def _plus(left: int | None, right: int | None) -> int | None:
    if left is None:
        return right
    return left if right is None else left + right


def _merge(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    merged = dict(left)
    for key, value in right.items():
        merged[key] = merged.get(key, 0) + value
    return merged
