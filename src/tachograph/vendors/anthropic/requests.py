"""What requests to Anthropic's APIs say about themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tachograph.vendors.api import facts_by, said_under, settings_of
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
_STATED: Final = frozenset((*_SETTINGS, "output_config"))


def _settings(body: Mapping[str, Any]) -> dict[str, Any] | None:
    settings = settings_of(body, _SETTINGS)
    effort = scalar(pick(body.get("output_config"), "effort"))
    if effort is not None:
        settings["reasoning.level"] = effort
    return settings or None


said: Final = said_under(("messages", "prompt", "requests"))
"""What the model was asked."""

request_facts: Final = facts_by(said, _settings, _STATED)
"""What a request for a message, or the creation of a batch, says about itself."""
