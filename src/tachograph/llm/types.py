"""What goes to a provider and what comes back, in one form for all vendors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall
    from tachograph.records.usage import Usage

Role = Literal["user", "assistant"]
Effort = Literal["none", "minimal", "low", "medium", "high"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "other"]


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its bytes with their media type, or an address the provider can read it from."""

    data: bytes | None = None
    media_type: str = "image/png"
    url: str | None = None

    def __post_init__(self) -> None:
        if (self.data is None) == (self.url is None):
            raise ValueError("An Image takes either data or url")


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """The model asks for a tool to be called.

    Attributes:
        id: To be named in the result. Gemini may leave it out; then it is made here.
        name: The tool's.
        arguments: Parsed. Empty when they are no JSON object; `arguments_text` then shows what came.
        arguments_text: As the model wrote them.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    arguments_text: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered.

    Attributes:
        id: Of the ToolRequest.
        content: Text, or text and images.
        name: The tool's name; Gemini needs it.
        is_error: Whether the tool failed; `content` says how.
    """

    id: str
    content: str | Sequence[Text | Image]
    name: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought, as far as the vendor shows it."""

    text: str


Part = Text | Image | ToolRequest | ToolResult | Reasoning


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: `user` (tool results too) or `assistant`.
        content: Text, or parts in order.
        native: The vendor's own form of an assistant message, by api (`messages`, `responses`, ...). Sent back
            verbatim to the same api, because it carries what no common form has (signatures of thoughts).
    """

    role: Role
    content: str | Sequence[Part]
    native: tuple[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Text(self.content),) if isinstance(self.content, str) else tuple(self.content)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool the model may ask for; `parameters` is a JSON Schema of type object."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, in the same words for every vendor.

    Attributes:
        model: The vendor's name of the model; a deployment's name on Azure.
        messages: The conversation; a bare string is one user message.
        system: The system prompt.
        tools: What the model may ask for.
        tool_choice: `auto`, `none`, `required` (some tool), or the name of one tool.
        max_tokens: Longest answer, reasoning included. Anthropic needs one: 4096 unless given.
        temperature, top_p, stop: As the vendor takes them.
        output_schema: A JSON Schema that the answer's text must follow.
        output_name: A name for that schema.
        reasoning_effort: How much to think.
        timeout: Seconds without an answer (or between two parts of one) after which a request is given up.
        deadline: Seconds for the whole call, retries and waits included.
        labels: The user's own, for the ledger and spans.
        options: Passed to the vendor's SDK as they stand; they win over all of the above.
    """

    model: str
    messages: str | Sequence[Message]
    system: str | None = None
    tools: Sequence[Tool] = ()
    tool_choice: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: Sequence[str] = ()
    output_schema: Mapping[str, Any] | None = None
    output_name: str = "answer"
    reasoning_effort: Effort | None = None
    timeout: float | None = None
    deadline: float | None = None
    labels: Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.messages, str):
            object.__setattr__(self, "messages", (Message("user", self.messages),))

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The messages, always as messages."""
        assert not isinstance(self.messages, str)
        return tuple(self.messages)

    def as_body(self) -> dict[str, Any]:
        """What is asked, under the names that vendors use, for estimating its cost and knowing it again."""
        return {
            "system": self.system,
            "tools": self.tools or None,
            "messages": self.conversation,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "output_schema": self.output_schema,
            **self.options,
        }


class RequestFields(TypedDict, total=False):
    """The fields of a Request as keyword arguments of `complete()` and `stream()`."""

    model: str
    messages: str | Sequence[Message]
    system: str | None
    tools: Sequence[Tool]
    tool_choice: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: Sequence[str]
    output_schema: Mapping[str, Any] | None
    output_name: str
    reasoning_effort: Effort | None
    timeout: float | None
    deadline: float | None
    labels: Mapping[str, str] | None
    options: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Response:
    """One answer.

    Attributes:
        text: All text of the answer.
        reasoning: What the vendor shows of the model's thoughts.
        tool_calls: The tools the model asks for, in order.
        refusal: What the model said instead of an answer, where the vendor distinguishes it.
        finish_reason: In common words; `call.finish_reason` has the vendor's.
        usage: Tokens of the whole call, or None when none were reported.
        model: The model that answered, as the vendor names it.
        id: The vendor's id of the answer.
        request_id: The vendor's id of the request.
        message: The answer as a message, to go on with the conversation.
        raw: The vendor's own object; for a stream, the last one that had a say.
        record: The record, perhaps not complete yet; `call` is.
    """

    text: str
    reasoning: str
    tool_calls: tuple[ToolRequest, ...]
    refusal: str | None
    finish_reason: FinishReason
    usage: Usage | None
    model: str | None
    id: str | None
    request_id: str | None
    message: Message
    raw: Any = field(repr=False)
    record: LLMCall = field(repr=False)

    @property
    def call(self) -> LLMCall:
        """The record, complete: with its cost. A finished record is completed a moment later, or at once when asked."""
        self.record.sink.settle()
        return self.record


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's thoughts."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a tool call.

    Attributes:
        index: Which of the answer's tool calls, from 0.
        id, name: On the first part of each call.
        arguments: More of the arguments' JSON text.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Completed:
    """The end of a stream: the whole answer, with its usage. Always the last event."""

    response: Response


Delta = TextDelta | ReasoningDelta | ToolCallDelta
StreamEvent = Delta | Completed
