"""What was said in prompts, answers, arguments and results: the one gate through which it comes onto a record.

Nothing is kept unless the user asked for it (`spans.content`). What is kept goes through the user's redaction hook
(`instrument.redact`) and is cut to `spans.content_limit`. Engine, watched clients, MCP client and executor call `keep`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from tachograph.errors import SettingsError

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall
    from tachograph.records.tool_call import ToolCall

Place = Literal["input", "output", "tool.arguments", "tool.result"]
Redactor = Callable[[str, str], str | None]

SENTINELS: Final = frozenset({"Omit", "NotGiven", "UseClientDefault"})
"""Types by which SDKs say that a field of a request was left out."""
NOT_RECORDED: Final = "the tool answered with an error; its text is not recorded"


class ContentGate:
    """What may be kept. A recorder has one.

    Args:
        keeps: Whether anything is.
        limit: Longest text, in characters.
        redact: Dotted path of the user's hook, `package.module:function`.

    Raises:
        SettingsError: The hook cannot be imported.
    """

    __slots__ = ("keeps", "limit", "redact")

    def __init__(self, keeps: bool = False, limit: int = 8192, redact: str | None = None) -> None:
        self.keeps = keeps
        self.limit = limit
        self.redact = hook(redact) if keeps and redact is not None else None

    def text(self, value: object, place: Place) -> str | None:
        """A value as the text that may be kept of it, or None."""
        if not self.keeps or value is None:
            return None
        text = value if isinstance(value, str) else _as_json(value)
        if self.redact is not None:
            redacted = self.redact(text, place)
            if redacted is None:
                return None
            text = str(redacted)
        return (
            text if len(text) <= self.limit else f"{text[: self.limit]}... [{len(text) - self.limit} more characters]"
        )


CLOSED: Final = ContentGate()


def keep(record: LLMCall | ToolCall, place: Place, make: Callable[[], Any]) -> None:
    """Keep what `make()` gives, if content is kept. A hook that fails keeps nothing."""
    sink = record.sink
    gate: ContentGate = sink.content
    if not gate.keeps:
        return
    try:
        text = gate.text(make(), place)
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        sink.failed("content", error)
        return
    if text is not None:
        record.content = {**(record.content or {}), place.removeprefix("tool."): text}


def error_result(record: ToolCall, said: str) -> str:
    """The text of a tool's error result as a record may hold it: it is content as any other result."""
    try:
        return record.sink.content.text(said, "tool.result") or NOT_RECORDED
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        record.sink.failed("content", error)
        return NOT_RECORDED


def _as_json(value: object) -> str:
    def plain(thing: object) -> object:
        if type(thing).__name__ in SENTINELS:
            return None
        dump = getattr(thing, "model_dump", None)
        return dump(mode="json", exclude_none=True) if callable(dump) else str(thing)

    return msgspec.json.encode(value, enc_hook=plain).decode()


def hook(path: str) -> Redactor:
    """The user's function behind a dotted path.

    Raises:
        SettingsError: It cannot be imported.
    """
    module, _, name = path.partition(":")
    try:
        found: Redactor = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(
            f"the redaction hook {path!r} cannot be imported: {error}",
            where="setting instrument.redact",
            do="Name a function as package.module:function.",
        ) from error
    return found
