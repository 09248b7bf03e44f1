"""What the engine asks of a vendor: to build requests and to read answers, without input or output of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tachograph.llm.types import Delta, FinishReason, Request, ToolRequest
from tachograph.vendors.api import Api
from tachograph.vendors.failures import Failure


@dataclass(slots=True)
class Answer:
    """What a vendor answered, in our words; unfinished while a stream runs. Its facts are in the record, which the
    vendor's reader fills.

    Attributes:
        failure: A failure that raised nothing.
        native: The answer in the vendor's own form, to be sent back.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolRequest] = field(default_factory=list)
    refusal: str | None = None
    finish_reason: FinishReason = "other"
    native: Any = None
    raw: Any = None
    failure: Failure | None = None


class Fold(Protocol):
    """Gathers a stream's chunks into an answer."""

    def feed(self, chunk: object, /) -> Iterable[Delta]:
        """Take one chunk; gives what is new to see."""
        ...

    def answer(self, finish_reason: str | None) -> Answer:
        """The answer so far; the reader holds how it finished."""
        ...


class Adapter(Protocol):
    """One vendor's API. `send` and `parse` return a value from a blocking client and an awaitable from an async one.

    Attributes:
        api: How requests and answers are read into the record.
        sends_while_read: Whether the SDK sends requests while its stream is read, and not before.
    """

    api: Api
    sends_while_read: bool

    def build(self, request: Request, stream: bool) -> dict[str, Any]:
        """The SDK's arguments for this request."""
        ...

    def send(self, client: object, payload: dict[str, Any], timeout_seconds: float, stream: bool) -> Any:
        """Call the SDK."""

    def parse(self, sent: object) -> object:
        """From what `send` gave, the answer's object, or the stream to iterate."""

    def response(self, stream: object) -> Any:
        """The HTTP response that a stream reads, or None where the SDK does not show it."""

    def headers(self, sent: object) -> Mapping[str, str] | None:
        """The answer's headers, as far as the SDK shows them."""

    def read(self, answer: object, finish_reason: str | None) -> Answer:
        """Read an answer's object; the reader holds how it finished."""
        ...

    def fold(self) -> Fold:
        """Begin to read a stream."""
        ...

    def failure(self, error: BaseException) -> Failure:
        """Categorise what the SDK raised."""
        ...


class RawAnswers:
    """What adapters of the SDKs share that hand out raw responses: OpenAI's and Anthropic's, made by one generator."""

    sends_while_read = False

    def parse(self, sent: Any) -> object:
        return sent.parse()

    def response(self, stream: object) -> Any:
        return getattr(stream, "response", None)

    def headers(self, sent: Any) -> Mapping[str, str] | None:
        headers: Mapping[str, str] | None = sent.headers
        return headers


def tool_request(id: str, name: str, arguments: str) -> ToolRequest:
    """A tool request whose arguments came as JSON text, which a model may get wrong."""
    try:
        parsed = json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        parsed = None
    return ToolRequest(id, name, parsed if isinstance(parsed, dict) else {}, arguments)


class CallParts:
    """The parts of streamed tool calls, by whatever key the vendor numbers them."""

    def __init__(self) -> None:
        self._calls: dict[Any, tuple[str, str, list[str]]] = {}

    def begin(self, key: object, id: str, name: str) -> int:
        """A call begins; returns its place among the answer's calls."""
        self._calls.setdefault(key, (id, name, []))
        return list(self._calls).index(key)

    def __contains__(self, key: object) -> bool:
        return key in self._calls

    def add(self, key: object, arguments: str) -> int:
        """More of a call's arguments; returns its place."""
        self._calls[key][2].append(arguments)
        return list(self._calls).index(key)

    def requests(self) -> list[ToolRequest]:
        """All calls as they stand."""
        return [tool_request(id, name, "".join(parts)) for id, name, parts in self._calls.values()]


Categorise = Callable[..., Failure]
