"""The models of the demo: how often they are asked, how fast they answer, what their vendor allows a minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Model:
    """One model as the simulators play it.

    Attributes:
        provider, name: Labels; genai-prices 0.2.3 has a price for each.
        share: Share of the ordinary traffic.
        first_token_seconds: Median time to the first token.
        tokens_per_second: Speed of writing.
        requests_per_minute, tokens_per_minute: What the vendor allows, given in its rate-limit headers.
    """

    provider: str
    name: str
    share: float
    first_token_seconds: float
    tokens_per_second: float
    requests_per_minute: int = 600
    tokens_per_minute: int = 400_000


LINEUP: Final = (
    Model("openai", "gpt-5", 0.10, 0.75, 110),
    Model("openai", "gpt-5-mini", 0.13, 0.35, 190),
    Model("openai", "gpt-4.1-mini", 0.11, 0.25, 170),
    Model("anthropic", "claude-opus-4-7", 0.05, 0.95, 90),
    Model("anthropic", "claude-sonnet-5", 0.12, 0.60, 120),
    Model("anthropic", "claude-haiku-4-5", 0.12, 0.30, 200),
    Model("gemini", "gemini-2.5-pro", 0.10, 0.80, 130),
    Model("gemini", "gemini-2.5-flash", 0.13, 0.30, 230),
    Model("gemini", "gemini-2.5-flash-lite", 0.14, 0.18, 300),
)
BY_NAME: Final = {model.name: model for model in LINEUP}
EXPENSIVE: Final = BY_NAME["claude-opus-4-7"]
"""The model that the incident `cost-spike` falls for."""
