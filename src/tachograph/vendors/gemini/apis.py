"""How Gemini's answers are read: generated content in one or several hops, embeddings, interactions."""

from __future__ import annotations

from typing import Any, Final

from tachograph.records import LLMCall
from tachograph.records.content import keep
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import Api, WholeAnswer
from tachograph.vendors.fields import dig, getter, items, pick, text
from tachograph.vendors.gemini.errors import BLOCKED, gemini_response_failure, interaction_failure
from tachograph.vendors.gemini.usage import gemini_embedding_usage, gemini_usage, interactions_usage
from tachograph.vendors.loose import loads
from tachograph.vendors.once import COUNTED, Once

BEGUN: Final = Once()
"""Ids of interactions that were still under way when their creation returned."""


class Hop:
    """What one HTTP request of a generation has said so far. Chunks carry running totals: the last one counts."""

    __slots__ = ("answer", "failure", "finish_reason", "usage")

    def __init__(self) -> None:
        self.usage: Any = None
        self.finish_reason: str | None = None
        self.failure: ErrorType | None = None
        self.answer: Any = None

    def feed(self, answer: Any) -> bool:
        """Note a whole answer or one chunk; says whether it has content."""
        try:
            return self._feed(answer)
        except AttributeError:  # not the SDK's model, or another version's
            return self._feed_loose(answer)

    def _feed(self, answer: Any) -> bool:
        self.answer = answer
        usage, candidates = answer.usage_metadata, answer.candidates
        if usage is not None:
            self.usage = usage
        has_content = False
        has_failed = answer.prompt_feedback is not None
        for candidate in candidates or ():
            if candidate.finish_reason is not None:
                self.finish_reason = reason = _word(candidate.finish_reason)
                has_failed = has_failed or reason in BLOCKED
            content = candidate.content
            if content is not None and content.parts:
                has_content = True
        if candidates is None and usage is None:
            return self._feed_loose(answer)
        if has_failed:
            self._note_failure(answer)
        return has_content

    def _feed_loose(self, answer: Any) -> bool:
        """The same of an answer in another form: as JSON, where the application wants the HTTP response."""
        raw = dig(answer, "sdk_http_response", "body")
        if isinstance(raw, str) and pick(answer, "candidates") is None:
            answer = loads(raw)  # `should_return_http_response`: the body as it came
        self.answer = answer
        usage = _either(answer, "usage_metadata", "usageMetadata")
        if usage is not None:
            self.usage = usage
        has_content = False
        for candidate in items(answer, "candidates"):
            reason = _either(candidate, "finish_reason", "finishReason")
            if reason is not None:
                self.finish_reason = _word(reason)
            has_content = has_content or bool(dig(candidate, "content", "parts"))
        if self.finish_reason is not None or not has_content:
            self._note_failure(answer)
        return has_content

    def _note_failure(self, answer: Any) -> None:
        failure = gemini_response_failure(answer)
        if failure is not None:
            self.failure = failure.error_type


def _word(reason: Any) -> str:
    return str(getattr(reason, "_value_", reason))  # `value` of an enumeration is a property in Python


def _either(thing: Any, name: str, wire_name: str) -> Any:
    found = pick(thing, name)
    return pick(thing, wire_name) if found is None else found


class Generation(WholeAnswer):
    """Reads one `generate_content` of however many hops: function calling and continuation send several requests."""

    tail = 4

    def __init__(self) -> None:
        super().__init__()
        self.hops: list[Hop] = []

    def feed(self, chunk: Any, call: LLMCall) -> bool:
        """Note one of the last chunks of the request that is under way."""
        if self.hops:
            self.hops[-1].feed(chunk)
        return False

    def hop(self) -> Hop:
        """The next request's."""
        hop = Hop()
        self.hops.append(hop)
        return hop

    def fill(self, call: LLMCall) -> None:
        """Put the sums, and what the last hop said, into the record."""
        if not self.hops:
            return
        call.usage = None
        for hop in self.hops:
            usage = gemini_usage(hop.usage)
            if usage is not None:
                call.usage = usage if call.usage is None else call.usage + usage
        last = self.hops[-1]
        self.error_type = last.failure
        self.is_complete = last.finish_reason is not None or last.failure is not None
        call.finish_reason = last.finish_reason
        _identify(call, last.answer)


def _identify(call: LLMCall, answer: Any) -> None:
    get = getter(answer)
    model = get("model_version") or get("modelVersion")
    call.response_model = model if isinstance(model, str) else None
    response_id = get("response_id") or get("responseId")
    call.response_id = response_id if isinstance(response_id, str) else None


def read_generation(call: LLMCall, reader: Any) -> ErrorType | None:
    """A whole `generate_content`: its hops have been read already."""
    reader.fill(call)
    if reader.hops:
        answer = reader.hops[-1].answer
        keep(call, "output", lambda: [pick(candidate, "content") for candidate in items(answer, "candidates")])
    failure: ErrorType | None = reader.error_type
    return failure


def read_embeddings(call: LLMCall, response: Any) -> ErrorType | None:
    """Embeddings."""
    call.usage = gemini_embedding_usage(response)
    return None


def read_media(call: LLMCall, response: Any) -> ErrorType | None:
    """Images and videos: tokens are reported for some models only."""
    call.usage = gemini_usage(_either(response, "usage_metadata", "usageMetadata"))
    return None


def read_nothing(call: LLMCall, response: Any) -> ErrorType | None:
    """A token count."""
    return None


def read_interaction(call: LLMCall, interaction: Any) -> ErrorType | None:
    """A whole interaction; one that runs on counts when it is read and done."""
    _identify_interaction(call, interaction)
    call.usage = interactions_usage(pick(interaction, "usage"))
    if call.usage is None and call.finish_reason in ("in_progress", "queued") and call.response_id:
        BEGUN.first_time(call.response_id)
        call.counts_usage = False
    failure = interaction_failure(interaction)
    return None if failure is None else failure.error_type


def read_stored_interaction(call: LLMCall, interaction: Any) -> ErrorType | None:
    """An interaction read by its id: counted only when it ran on after its creation, the first time that it is done."""
    error_type = read_interaction(call, interaction)
    call.model = call.response_model or call.model
    interaction_id = call.response_id or ""
    ran_on = not BEGUN.first_time(interaction_id)
    if not (ran_on and call.usage is not None and COUNTED.first_time(interaction_id)):
        call.counts_usage = False
        return None
    return error_type


def _identify_interaction(call: LLMCall, interaction: Any) -> None:
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
            self.error_type = "server_error"
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the events said into the record."""
        if self.interaction is not None:
            self.error_type = self.error_type or read_interaction(call, self.interaction)
        if call.usage is None:
            call.usage = interactions_usage(self.so_far)


GENERATE: Final = Api("gemini", "generate_content", "generate_content", read_generation, Generation)
EMBED: Final = Api("gemini", "embed_content", "embeddings", read_embeddings)
INTERACT: Final = Api("gemini", "interactions", "generate_content", read_interaction, InteractionEvents)
FETCH_INTERACTION: Final = Api("gemini", "interactions", "fetch_response", read_stored_interaction, InteractionEvents)
PLAIN: Final = {
    "embed_content": EMBED,
    "generate_images": Api("gemini", "images", "image_generation", read_media),
    "edit_image": Api("gemini", "images", "image_generation", read_media),
    "upscale_image": Api("gemini", "images", "image_generation", read_media),
    "recontext_image": Api("gemini", "images", "image_generation", read_media),
    "generate_videos": Api("gemini", "videos", "video_generation", read_media),
    "count_tokens": Api("gemini", "token_count", "count_tokens", read_nothing, counts_usage=False),
    "compute_tokens": Api("gemini", "token_count", "count_tokens", read_nothing, counts_usage=False),
}
"""Methods of `models` that send one request each."""
