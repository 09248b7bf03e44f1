"""What requests to OpenAI's APIs say about themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tachograph.vendors.api import facts_by, said_under, settings_of
from tachograph.vendors.fields import pick, scalar

_SETTINGS: Final = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "service_tier": "service_tier",
    "stop": "stop_sequences",
    "reasoning_effort": "reasoning.level",
}
_STATED: Final = frozenset((*_SETTINGS, "reasoning"))


def _settings(body: Mapping[str, Any]) -> dict[str, Any] | None:
    settings = settings_of(body, _SETTINGS)
    stop = settings.get("stop_sequences")
    if type(stop) is str:
        settings["stop_sequences"] = [stop]
    effort = scalar(pick(body.get("reasoning"), "effort"))
    if effort is not None:
        settings["reasoning.level"] = effort
    return settings or None


said: Final = said_under(("messages", "input", "prompt"))
"""What the model was asked."""

request_facts: Final = facts_by(said, _settings, _STATED)
"""What a request with messages, an input or a prompt says about itself."""
