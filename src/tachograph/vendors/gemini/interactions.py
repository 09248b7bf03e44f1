"""How Gemini's interactions are read: whole, stored and streamed."""

from __future__ import annotations

from typing import Any, Final

from tachograph.records import LLMCall
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import WholeAnswer
from tachograph.vendors.fields import dig, items, pick, text
from tachograph.vendors.gemini.errors import gemini_failure, interaction_failure
from tachograph.vendors.gemini.usage import read_interaction_usage
from tachograph.vendors.once import COUNTED, Once

_TOOLS: Final = (
    *("code_execution", "file_search", "function", "google_maps", "google_search", "mcp_server_tool", "processing"),
    *("retrieval", "tool_search", "url_context"),
)
_STEPS: Final = frozenset(
    (
        *(f"{tool}_{part}" for tool in _TOOLS for part in ("call", "result")),
        *("model_output", "thought", "user_input"),
    )
)
"""Kinds of steps whose cost the usage report has. Source: google-genai 3.6 `Step`, read 2026-11-27."""
BEGUN: Final = Once()
"""Ids of interactions that were still under way when their creation returned."""


def read_interaction(call: LLMCall, interaction: object) -> ErrorType | None:
    """A whole interaction; one that runs on counts when it is read and done."""
    _identify(call, interaction)
    reading = read_interaction_usage(pick(interaction, "usage"), call.response_model or call.model)
    kinds = dict.fromkeys(text(step, "type") for step in items(interaction, "steps"))
    reading.unknown += tuple(kind for kind in kinds if kind and kind not in _STEPS)
    reading.put(call)
    is_left = call.stream and not pick(call.body, "background")  # a stream that was closed: it is not read again
    if call.usage is None and call.finish_reason in ("in_progress", "queued") and call.response_id and not is_left:
        BEGUN.first_time(call.response_id)
        call.counts_usage = False
    failure = interaction_failure(interaction)
    return None if failure is None else failure.error_type


def read_stored_interaction(call: LLMCall, interaction: object) -> ErrorType | None:
    """An interaction read by its id: counted only when it ran on after its creation, the first time that it is done."""
    error_type = read_interaction(call, interaction)
    call.model = call.response_model or call.model
    name = call.response_id
    if name is None or name not in BEGUN or call.usage is None or not COUNTED.first_time(name):
        call.counts_usage = False
        return None
    return error_type


def interaction_content(interaction: object) -> object:
    """What the model said."""
    return pick(interaction, "outputs") or pick(interaction, "steps")


def _identify(call: LLMCall, interaction: object) -> None:
    call.response_id = text(interaction, "id") or call.response_id
    call.response_model = text(interaction, "model") or text(interaction, "agent") or call.response_model
    call.finish_reason = text(interaction, "status") or call.finish_reason
    call.service_tier = text(interaction, "service_tier") or call.service_tier


class InteractionEvents(WholeAnswer):
    """Reads a streamed interaction."""

    def __init__(self) -> None:
        super().__init__()
        self.interaction: Any = None
        self.so_far: Any = None

    def feed(self, event: Any, call: LLMCall) -> bool:
        """Note one event."""
        kind = getattr(event, "event_type", None) or ""
        if kind.endswith(".delta"):  # `step.delta`, in 2.x `content.delta`
            if not self.started:
                self.start(call)
            self.so_far = dig(event, "metadata", "total_usage") or self.so_far
        elif kind.startswith("interaction.") and getattr(event, "interaction", None) is not None:
            self.interaction = event.interaction
            self.is_complete = kind.startswith(("interaction.complete", "interaction.fail"))
        elif kind == "error":
            error_type = gemini_failure(body={"error": _plain(pick(event, "error"))}).error_type
            self.error_type = "server_error" if error_type == "unknown" else error_type
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the events said into the record."""
        if self.interaction is not None:
            stored = call.operation == "fetch_response"
            read = read_stored_interaction if stored else read_interaction
            error_type = read(call, self.interaction)
            self.error_type = self.error_type or error_type
        if call.usage is None and self.so_far is not None:
            read_interaction_usage(self.so_far).put(call)


def _plain(error: object) -> dict[str, str]:
    return {name: value for name in ("code", "status", "message") if (value := text(error, name))}
