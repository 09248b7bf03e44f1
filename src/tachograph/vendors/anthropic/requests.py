"""What requests to Anthropic's APIs say about themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tachograph.vendors.api import RequestFacts, count_of, settings_of
from tachograph.vendors.fields import pick, scalar

_SETTINGS: Final = {
    "max_tokens": "max_tokens",
    "max_tokens_to_sample": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "service_tier": "service_tier",
    "stop_sequences": "stop_sequences",
}


def request_facts(body: Mapping[str, Any]) -> RequestFacts:
    """A request for a message, or the creation of a batch."""
    settings = settings_of(body, _SETTINGS)
    effort = scalar(pick(body.get("output_config"), "effort"))
    if effort is not None:
        settings["reasoning.level"] = effort
    return RequestFacts(
        str(scalar(body.get("model")) or "unknown"),
        count_of(said(body)),
        bool(scalar(body.get("stream"))),
        settings or None,
    )


def said(body: Mapping[str, Any]) -> Any:
    """What the model was asked."""
    return next((body[name] for name in ("messages", "prompt", "requests") if body.get(name) is not None), None)
