"""What a reader of one API of a vendor looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from tachograph.vendors.fields import pick, plain, scalar

if TYPE_CHECKING:
    from tachograph.records import LLMCall
    from tachograph.records.outcomes import ErrorType

TAIL: Final = 64
"""Of the pieces after the first content, how many of the last are read: servers send annotations after the end. Each
piece that is kept costs a reference."""


class RequestFacts(msgspec.Struct, frozen=True):
    """What a request says about itself.

    Attributes:
        model: As asked for.
        message_count: Messages, or whatever the API takes in their place.
        stream: Whether the answer is to be streamed.
        settings: Settings for the record, by OpenTelemetry's names, or what reads them when the record is delivered;
            None when there are none.
    """

    model: str
    message_count: int
    stream: bool
    settings: Callable[[], dict[str, Any] | None] | dict[str, Any] | None


FETCH: Final = "fetch_response"
"""The operation that reads a stored answer again."""


def count_of(asked: object) -> int:
    """How many messages, inputs or prompts were given: a list counts its entries, anything else is one."""
    return len(asked) if isinstance(asked, (list, tuple)) else int(asked is not None)


def settings_of(body: object, names: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a request states, under our names.

    Args:
        body: The request, or the part of it that holds settings.
        names: Ours by theirs.
    """
    fields = plain(body)
    if type(fields) is not dict:
        fields = {theirs: pick(body, theirs) for theirs in names}
    settings = {}
    for theirs in sorted(names.keys() & fields.keys(), reverse=True):  # max_completion_tokens holds before max_tokens
        value = scalar(fields[theirs])
        if value is not None:
            settings[names[theirs]] = value
    return settings


_PLAIN: Final = frozenset((int, float, str, bool))
_OF_EACH: Final = ("model", "stream", "messages")


def facts_by(
    said: Callable[[Mapping[str, Any]], Any],
    read: Callable[[Mapping[str, Any]], dict[str, Any] | None],
    names: frozenset[str],
) -> Callable[[Mapping[str, Any]], RequestFacts]:
    """What reads a request.

    Args:
        said: What the model is asked, where that is no list of messages.
        read: Reads the settings, of these fields alone, when the record is delivered; the rest is not kept.
        names: The fields.
    """

    def request_facts(body: Mapping[str, Any]) -> RequestFacts:
        model, stream, asked = map(body.get, _OF_EACH)
        stated = names & body.keys()
        return RequestFacts(
            model if type(model) is str and model else str(scalar(model) or "unknown"),
            len(asked) if type(asked) is list else count_of(said(body)),
            bool(stream and type(stream) in _PLAIN),
            partial(read, dict(zip(stated, map(body.__getitem__, stated), strict=True))) if stated else None,
        )

    return request_facts


def said_under(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    """What reads what a model was asked: the first of these fields of a request that is there."""

    def said(body: Mapping[str, Any]) -> Any:
        for name in names:
            asked = body.get(name)
            if asked is not None:
                return asked
        return None

    return said


class ChunkReader(Protocol):
    """Reads the pieces of one streamed answer.

    Attributes:
        is_complete: Whether the vendor said that the answer is whole.
        error_type: Set when the answer itself says that it failed.
        takes_lines: Whether the pieces are lines of JSON rather than events.
        ends_with_body: Whether no piece is the last: it is complete when the body is.
        started: Whether the first content has come.
        tail: Of the pieces after the first content, how many of the last hold all that counts; 0: each must be fed.
    """

    takes_lines: bool
    ends_with_body: bool
    tail: int
    started: bool
    is_complete: bool
    error_type: ErrorType | None

    def hides(self, chunk: object, /) -> bool:
        """Whether a piece is what asking for usage causes, and nothing more."""
        ...

    def feed(self, chunk: object, call: LLMCall, /) -> bool:
        """Note one piece; says whether it is to be hidden from the application (only what we asked for is)."""
        ...

    def fill(self, call: LLMCall) -> None:
        """Put what the pieces said into the record."""

    def content(self) -> Any:
        """What was said, as far as one piece holds all of it. Called only where content is recorded."""


class WholeAnswer(ChunkReader):
    """Reads an answer that is no stream of events; `bodies.Follower` reads it as a whole. Also what readers build on.

    Attributes:
        started: Whether the first content has come.
    """

    takes_lines = False
    ends_with_body = False
    tail = 0
    error_type: ErrorType | None

    def __init__(self) -> None:
        self.is_complete = False
        self.error_type = None
        self.started = False

    def hides(self, chunk: object, /) -> bool:
        """Nothing is asked for here."""
        return False

    def feed(self, chunk: object, call: LLMCall, /) -> bool:
        """Pieces say nothing here."""
        return False

    def fill(self, call: LLMCall) -> None:
        """Nothing to add."""

    def content(self) -> Any:
        """No piece holds it all."""

    def start(self, call: LLMCall) -> None:
        """The first content is here."""
        self.started = True
        call.first_token()


def nothing(anything: object) -> Any:
    """Nothing of it is recorded."""
    return None


def no_facts(body: Mapping[str, Any]) -> RequestFacts:
    """A request without a body."""
    return RequestFacts(str(scalar(body.get("model")) or "unknown"), 0, False, None)


@dataclass(frozen=True, slots=True, eq=False)
class Api:
    """One API of a vendor, as it is read.

    Attributes:
        vendor: Whose wire format it uses: `openai`, `anthropic` or `gemini`.
        name: `chat_completions`, `messages`, ...: goes into the record.
        operation: OpenTelemetry's word for it.
        read: Reads a whole answer into the record; returns an error type when the answer says that it failed.
        chunks: Makes a reader of streamed answers; None when the API does not stream.
        counts_usage: False where there is never any usage to count (a free or a stored answer).
        facts: Reads a request.
        tokens: Prompt and completion of a whole answer in the vendor's own words, or None: two look-ups, no more, for
            the ring that survives a kill. `read` gives the truth.
        input_content, output_content: What was said, of a request and of a whole answer. Called only where content is
            recorded.
    """

    vendor: str
    name: str
    operation: str
    read: Callable[[LLMCall, Any], ErrorType | None]
    chunks: Callable[[], ChunkReader] | None = None
    counts_usage: bool = True
    facts: Callable[[Mapping[str, Any]], RequestFacts] = no_facts
    tokens: Callable[[Any], tuple[int, int] | None] = nothing
    input_content: Callable[[Mapping[str, Any]], Any] = nothing
    output_content: Callable[[Any], Any] = nothing

    @property
    def costs(self) -> bool:
        """Whether asking may cost something: counting tokens does not, nor does reading what was answered before."""
        return self.counts_usage and self.operation != FETCH
