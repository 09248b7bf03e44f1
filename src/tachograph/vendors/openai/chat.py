"""How chat completions and legacy text completions are read: OpenAI's, and those of servers compatible with its API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tachograph.records import LLMCall
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import TAIL, WholeAnswer
from tachograph.vendors.dialects import dialect_for
from tachograph.vendors.failures import Failure
from tachograph.vendors.fields import count, dig, getter, items, pick, plain, text, word
from tachograph.vendors.openai.errors import openai_chat_failure, openai_finish_failure
from tachograph.vendors.openai.usage import read_reports, read_usage


def identify(call: LLMCall, get: Callable[[str], Any]) -> None:
    """Take the model, the id and the service tier of an answer."""
    # plain text is distinguished here: calling `word` for it three times would cost a microsecond
    model, answer_id, tier = get("model"), get("id"), get("service_tier")
    if model is not None:
        call.response_model = model if type(model) is str and model else word(model) or call.response_model
    if answer_id is not None:
        call.response_id = answer_id if type(answer_id) is str and answer_id else word(answer_id) or call.response_id
    if tier is not None:
        call.service_tier = tier if type(tier) is str and tier else word(tier) or call.service_tier


def type_of(failure: Failure | None) -> ErrorType | None:
    """The category of a failure, if there is one."""
    return None if failure is None else failure.error_type


def read_chat(call: LLMCall, answer: object) -> ErrorType | None:
    """A whole chat completion, or a legacy text completion."""
    if answer is None:
        return None  # the application asked for the response itself, and it is not JSON
    get = getter(answer)
    identify(call, get)
    choices = get("choices")
    choice = choices[0] if isinstance(choices, (list, tuple)) and choices else None
    call.finish_reason = reason = word(pick(choice, "finish_reason"))
    report = get("usage")
    read_usage(report_of(answer, choice) if report is None else report, dialect_for(call)).put(call)
    return None if reason == "stop" else type_of(openai_chat_failure(answer))


def read_stored_chat(call: LLMCall, answer: object) -> ErrorType | None:
    """A stored chat completion, read again: its tokens were counted when it was made."""
    read_chat(call, answer)
    call.model = call.response_model or call.model
    call.counts_usage = False
    return None  # it was read well, however it had ended


def report_of(answer: object, choice: object) -> object:
    """The usage report that is not beside the choices: in the last one (Moonshot), or in a field (Groq, llama.cpp)."""
    found = pick(choice, "usage")
    if found is None:
        found = dig(answer, "x_groq", "usage")
    return _timed(pick(answer, "timings")) if found is None else found


def _timed(timings: object) -> dict[str, Any] | None:
    """What llama.cpp's server reports in streams that it was not asked for usage in: the prompt without what came from
    its cache, and that beside it. Source: its tools/server/README.md, 2026-11-27."""
    new, cached = count(timings, "prompt_n"), count(timings, "cache_n") or 0
    if new is None:
        return None
    completion, details = count(timings, "predicted_n"), {"cached_tokens": cached}
    return {"prompt_tokens": new + cached, "completion_tokens": completion, "prompt_tokens_details": details}


def chat_tokens(answer: Any) -> tuple[int, int] | None:
    """Prompt and completion as they are reported."""
    usage = answer.usage
    return None if usage is None else (usage.prompt_tokens, usage.completion_tokens)


def chat_content(answer: object) -> object:
    """What the model said."""
    return [dig(choice, "message", "content") or text(choice, "text") for choice in items(answer, "choices")]


_OF_A_USAGE_CHUNK: Final = frozenset(
    ("id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation")
)

_TOTALS: Final = ("completion_tokens", "prompt_tokens", "output_tokens", "input_tokens", "total_tokens")


class ChatChunks(WholeAnswer):
    """Reads a streamed chat or text completion.

    The answer is whole once a finish reason has come, or the chunk of usage that comes last. Whatever comes after that
    (annotations of content filters, a relay's report of zeros) takes nothing back.
    """

    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None
        self.finish_reason: str | None = None
        self.reports: list[Any] = []
        self._is_early = False

    def hides(self, chunk: object) -> bool:
        """Whether a chunk is what asking for usage causes and nothing more: servers put fields of their own beside."""
        fields = plain(chunk)
        return (
            type(fields) is dict
            and fields.get("choices") == []
            and fields.get("usage") is not None
            and all(name in _OF_A_USAGE_CHUNK or value is None for name, value in fields.items())
        )

    def feed(self, chunk: object, call: LLMCall) -> bool:
        """Note one chunk; True for the one that carries nothing but usage."""
        choices = getattr(chunk, "choices", None)
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._report(usage)
            if not choices:
                self.is_complete = True  # it comes last, whether or not a finish reason did
                return self.hides(chunk)
        if choices:
            self.last = chunk
            choice = choices[0]
            reason = choice.finish_reason
            if reason:
                self._finish(reason, chunk, choice)
            if not self.started and _says_something(choice):
                self.start(call)
            if self.reports and usage is None and not reason:
                self._is_early = self._is_early or _says_something(choice)
        else:
            self.last = self.last or chunk
            if not self.finish_reason and getattr(chunk, "error", None) is not None:  # vLLM sends [DONE] even then
                self.error_type = self.error_type or type_of(openai_chat_failure(chunk))
        return False

    def _finish(self, reason: object, chunk: object, choice: object) -> None:
        self.is_complete = True
        self.finish_reason = word(reason) or self.finish_reason
        failure = openai_chat_failure(chunk) if reason == "error" else openai_finish_failure(self.finish_reason)
        self.error_type = self.error_type or type_of(failure)
        if getattr(chunk, "usage", None) is None and (report := report_of(chunk, choice)) is not None:
            self._report(report)

    def _report(self, report: object) -> None:
        """One that says anything, or the first."""
        if not self.reports or any(pick(report, name) for name in _TOTALS):
            self.reports.append(report)
            self._is_early = False

    def fill(self, call: LLMCall) -> None:
        """Put what the chunks said into the record."""
        if self.last is not None:
            identify(call, getter(self.last))
            call.finish_reason = self.finish_reason
        if self.reports:
            reading = read_reports(self.reports, dialect_for(call))
            if self._is_early and reading.usage is not None and reading.mismatch is None:
                reading.mismatch = "early"
            reading.put(call)


def _says_something(choice: object) -> bool:
    delta = getattr(choice, "delta", None)
    if delta is None:
        return bool(getattr(choice, "text", None))
    return bool(
        getattr(delta, "content", None)
        or getattr(delta, "tool_calls", None)
        or getattr(delta, "refusal", None)
        or getattr(delta, "reasoning_content", None)
        or getattr(delta, "reasoning", None)
        or getattr(delta, "function_call", None)
        or getattr(delta, "audio", None)
    )
