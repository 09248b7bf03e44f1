"""How Ollama's own API is read: an answer, or lines of JSON of which the last (`done`) counts the tokens.

Streams unless the request says no. `prompt_eval_count` is missing where the whole prompt was cached. Source:
github.com/ollama/ollama/blob/main/docs/api.md, ollama 0.6 types; 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from tachograph.records import LLMCall, Usage
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.api import TAIL, Api, RequestFacts, WholeAnswer, count_of, settings_of
from tachograph.vendors.fields import dig, pick, scalar, text, wholes
from tachograph.vendors.usage import Reading, bounded

_SETTINGS: Final = {
    "num_predict": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
}


def chat_facts(body: Mapping[str, Any]) -> RequestFacts:
    """A chat or a generation: it streams unless it says otherwise."""
    return RequestFacts(
        str(scalar(body.get("model")) or "unknown"),
        count_of(said(body)),
        body.get("stream") is not False,
        settings_of(body.get("options"), _SETTINGS) or None,
    )


def embed_facts(body: Mapping[str, Any]) -> RequestFacts:
    """Embeddings never stream."""
    return RequestFacts(str(scalar(body.get("model")) or "unknown"), count_of(said(body)), False, None)


def said(body: Mapping[str, Any]) -> Any:
    """What the model was asked."""
    return next((body[name] for name in ("messages", "prompt", "input") if body.get(name) is not None), None)


def read_answer(call: LLMCall, answer: object) -> ErrorType | None:
    """A whole answer, or the last line of one."""
    call.response_model = text(answer, "model") or call.response_model
    call.finish_reason = text(answer, "done_reason") or call.finish_reason
    said = [pick(answer, "prompt_eval_count"), pick(answer, "eval_count")]
    prompt, answered = counts = wholes(said)
    usage = Usage(prompt, answered)
    if usage.is_reported:
        bounded(Reading(usage), said, counts).put(call)
    return "server_error" if text(answer, "error") else None


def answer_content(answer: object) -> object:
    """What the model said."""
    return text(answer, "response") or dig(answer, "message", "content")


class JSONLines(WholeAnswer):
    """Reads a streamed answer."""

    takes_lines = True
    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None

    def feed(self, line: object, call: LLMCall) -> bool:
        """Note one line."""
        if text(line, "error"):
            self.error_type = "server_error"
        elif pick(line, "done"):
            self.last = line
            self.is_complete = True
        elif not self.started:
            self.start(call)
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the last line said into the record."""
        if self.last is not None:
            read_answer(call, self.last)


_api: Final = partial(Api, "ollama", input_content=said, output_content=answer_content)
_EMBED: Final = _api("embed", "embeddings", read_answer, facts=embed_facts)
ROUTES: Final = {
    "/api/chat": _api("chat", "chat", read_answer, JSONLines, facts=chat_facts),
    "/api/generate": _api("generate", "text_completion", read_answer, JSONLines, facts=chat_facts),
    "/api/embed": _EMBED,
    "/api/embeddings": _EMBED,
}
"""What is watched, by path; all are `post`."""
