"""What calls of the google-genai client say about themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tachograph.vendors.api import RequestFacts, count_of, said_under, settings_of
from tachograph.vendors.fields import pick, scalar

_SETTINGS: Final = {
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "candidate_count": "choice.count",
    "service_tier": "service_tier",
    "stop_sequences": "stop_sequences",
}


def request_facts(keywords: Mapping[str, Any]) -> RequestFacts:
    """A call of a method of `models`: its model, contents (or prompt) and config."""
    config = keywords.get("config")
    settings: dict[str, Any] = {}
    if config is not None:
        settings = settings_of(config, _SETTINGS)
        level = scalar(pick(pick(config, "thinking_config"), "thinking_level"))
        if level is not None:
            settings["reasoning.level"] = str(level).lower()
    model, asked = keywords.get("model"), keywords.get("contents")
    return RequestFacts(
        model if type(model) is str and model and "/" not in model else short_model(model),
        1 if type(asked) is str else count_of(said(keywords)),
        False,
        settings or None,
    )


said: Final = said_under(("contents", "prompt", "source"))
"""What the model was asked."""


def short_model(model: object) -> str:
    """`models/gemini-2.5-flash` and `publishers/google/models/gemini-2.5-flash` are `gemini-2.5-flash`."""
    return str(scalar(model) or "unknown").rpartition("/")[2] or "unknown"


def interaction_facts(body: Mapping[str, Any]) -> RequestFacts:
    """The creation of an interaction."""
    model = scalar(body.get("model")) or scalar(body.get("agent"))
    settings = settings_of(body.get("generation_config"), _SETTINGS)
    tier = scalar(body.get("service_tier"))
    if tier is not None:
        settings["service_tier"] = tier
    return RequestFacts(
        short_model(model), count_of(body.get("input")), bool(scalar(body.get("stream"))), settings or None
    )


def interaction_said(body: Mapping[str, Any]) -> object:
    """What the model or agent was asked."""
    return body.get("input")
