"""How Gemini's generated content is read, in one request or several, and embeddings and media."""

from __future__ import annotations

from typing import Any

from tachograph.records import LLMCall
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import TAIL, WholeAnswer
from tachograph.vendors.fields import dig, either, getter, items, pick
from tachograph.vendors.gemini.errors import BLOCKED, gemini_response_failure
from tachograph.vendors.gemini.usage import gemini_embedding_usage, gemini_searches, read_usage
from tachograph.vendors.loose import loads
from tachograph.vendors.usage import Reading, put_all


class Hop:
    """What one HTTP request of a generation has said so far. Chunks carry running totals: the last one counts."""

    __slots__ = ("answer", "failure", "finish_reason", "has_candidates", "maps", "queries", "usage")

    def __init__(self) -> None:
        self.usage: Any = None
        self.finish_reason: str | None = None
        self.failure: ErrorType | None = None
        self.answer: Any = None
        self.has_candidates = False
        self.queries: set[str] = set()
        self.maps = False

    def feed(self, answer: object) -> bool:
        """Note a whole answer or one chunk; says whether it has content."""
        try:
            return self._feed(answer)
        except AttributeError:  # not the SDK's model, or another version's
            return self._feed_loose(answer)

    def _feed(self, answer: Any) -> bool:
        self.answer = answer
        usage, candidates = answer.usage_metadata, answer.candidates
        if usage is not None and (self.usage is None or usage.total_token_count or usage.prompt_token_count):
            self.usage = usage  # a relay's later zeros take nothing back
        has_content = False
        has_failed = answer.prompt_feedback is not None
        for candidate in candidates or ():
            self.has_candidates = True
            if candidate.finish_reason is not None:
                self.finish_reason = reason = _word(candidate.finish_reason)
                has_failed = has_failed or reason in BLOCKED
            if candidate.grounding_metadata is not None:
                self._ground(candidate.grounding_metadata)
            content = candidate.content
            if content is not None and content.parts:
                has_content = True
        if candidates is None and usage is None:
            return self._feed_loose(answer)
        if has_failed:
            self._note_failure(answer)
        return has_content

    def _feed_loose(self, answer: object) -> bool:
        """The same of an answer in another form: as JSON, where the application takes the HTTP response."""
        raw = dig(answer, "sdk_http_response", "body")
        if isinstance(raw, str) and pick(answer, "candidates") is None:
            answer = loads(raw)  # `should_return_http_response`: the body as it came
        self.answer = answer
        usage = either(answer, "usage_metadata", "usageMetadata")
        if usage is not None and (
            self.usage is None
            or either(usage, "total_token_count", "totalTokenCount")
            or either(usage, "prompt_token_count", "promptTokenCount")
        ):
            self.usage = usage
        has_content = False
        for candidate in items(answer, "candidates"):
            self.has_candidates = True
            reason = either(candidate, "finish_reason", "finishReason")
            if reason is not None:
                self.finish_reason = _word(reason)
            grounding = either(candidate, "grounding_metadata", "groundingMetadata")
            if grounding is not None:
                self._ground(grounding)
            has_content = has_content or bool(dig(candidate, "content", "parts"))
        if self.finish_reason is not None or not has_content:
            self._note_failure(answer)
        return has_content

    def _ground(self, grounding: object) -> None:
        """Note the searches that the answer rests on: they are billed."""
        for name, wire_name, kind in _QUERIES:
            for query in either(grounding, name, wire_name) or ():
                if isinstance(query, str) and query:
                    self.queries.add(kind + query)
        for chunk in either(grounding, "grounding_chunks", "groundingChunks") or ():
            self.maps = self.maps or pick(chunk, "maps") is not None

    def _note_failure(self, answer: object) -> None:
        failure = gemini_response_failure(answer)
        if failure is not None:
            self.failure = failure.error_type
            self.finish_reason = self.finish_reason or failure.code

    def read(self, model: str) -> Reading:
        """The tokens of this request, and its billed searches."""
        reading = read_usage(self.usage)
        if reading.usage is not None:
            if self.queries and (searches := gemini_searches(self.queries, model)):
                reading.usage.tool_uses["web_search"] = searches
            if self.maps:
                reading.usage.tool_uses["google_maps"] = 1
        return reading


_QUERIES = (("web_search_queries", "webSearchQueries", ""), ("image_search_queries", "imageSearchQueries", "image: "))


def _word(reason: object) -> str:
    return str(getattr(reason, "_value_", reason))  # `value` of an enumeration is a property in Python


class Generation(WholeAnswer):
    """Reads one `generate_content` of however many hops: function calling and continuation send several requests."""

    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.hops: list[Hop] = []

    def feed(self, chunk: object, call: LLMCall) -> bool:
        """Note one chunk of the request that is under way."""
        if not self.hops:
            self.hop()
        if self.hops[-1].feed(chunk) and not self.started:
            self.start(call)
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
        last = self.hops[-1]
        self.error_type = last.failure
        self.is_complete = last.finish_reason is not None or last.failure is not None
        call.finish_reason = last.finish_reason
        _identify(call, last.answer)
        readings = [hop.read(call.response_model or call.model) for hop in self.hops]
        put_all(readings, call)
        if call.service_tier is None and (settings := call.settings()):
            call.service_tier = settings.get("service_tier")  # served as asked, where the answer does not say


def _identify(call: LLMCall, answer: object) -> None:
    get = getter(answer)
    model = get("model_version") or get("modelVersion")
    call.response_model = model if isinstance(model, str) else None
    response_id = get("response_id") or get("responseId")
    call.response_id = response_id if isinstance(response_id, str) else None


def read_generation(call: LLMCall, answer: object) -> ErrorType | None:
    """A whole `generate_content`: one answer, or the reader that has read the answers of all its requests."""
    if isinstance(answer, Generation):
        reader = answer
    else:
        reader = Generation()
        reader.hop().feed(answer)
    reader.fill(call)
    if reader.hops and reader.error_type is None and not reader.hops[-1].has_candidates:
        return "server_error"  # no candidate and no reason why
    return reader.error_type


def generation_tokens(answer: Any) -> tuple[int, int] | None:
    """Prompt and completion as they are reported."""
    usage = answer.usage_metadata
    return None if usage is None else (usage.prompt_token_count or 0, usage.candidates_token_count or 0)


def generation_content(answer: object) -> object:
    """What the model said."""
    if isinstance(answer, Generation):
        answer = answer.hops[-1].answer if answer.hops else None
    return [pick(candidate, "content") for candidate in items(answer, "candidates")]


def read_embeddings(call: LLMCall, response: object) -> ErrorType | None:
    """Embeddings."""
    call.usage = gemini_embedding_usage(response)
    return None


def read_nothing(call: LLMCall, response: object) -> ErrorType | None:
    """A token count."""
    return None
