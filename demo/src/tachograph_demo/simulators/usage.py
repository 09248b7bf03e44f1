"""What a simulator says a call used, in one vendor-neutral shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedUsage:
    """Usage of one call, under the contract's token rule.

    `prompt` includes everything read from or written to a cache, audio, images and what server-side tools
    put in; `completion` includes reasoning and audio. The parts are therefore never added to the totals.
    Each vendor's file turns this into its own wire format, with its own habits of what includes what.
    """

    prompt: int = 0
    completion: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_write_30m: int = 0
    cache_write_12h: int = 0
    cache_write_other: int = 0
    """Written to a cache whose lifetime the vendor does not state."""
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    tool_prompt: int = 0
    """Gemini: what server-side tools put into the prompt (on the wire beside the prompt, here inside it)."""
    accepted_prediction: int = 0
    rejected_prediction: int = 0
    web_searches: int = 0
    web_fetches: int = 0
    audio_seconds: float = 0.0
    service_tier: str | None = None
    speed: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Merged into the usage object on the wire, for parts that have no field here."""

    @property
    def cache_write(self) -> int:
        """Tokens written to any cache."""
        return (
            self.cache_write_5m
            + self.cache_write_1h
            + self.cache_write_30m
            + self.cache_write_12h
            + self.cache_write_other
        )

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: ServedUsage) -> ServedUsage:
        """Sum the numbers; what is not a number is dropped."""
        return ServedUsage(**{name: getattr(self, name) + getattr(other, name) for name in _NUMBERS})


_NUMBERS = tuple(f.name for f in fields(ServedUsage) if f.type in ("int", "float"))
