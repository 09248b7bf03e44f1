"""Keeping what was said, only when the user asked for it: cut to a length, after a redaction hook of the user's."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec

from tachograph.errors import SettingsError
from tachograph.instrument import settled
from tachograph.records import LLMCall, ToolCall

Redactor = Callable[[str, str], str | None]

_redactors: dict[str, Redactor] = {}


def keep_input(call: LLMCall, make: Callable[[], Any]) -> None:
    """Keep the prompt, if prompts are kept."""
    if settled.content:
        _keep(call, "input", make())


def keep_output(call: LLMCall, make: Callable[[], Any]) -> None:
    """Keep the answer, if answers are kept."""
    if settled.content:
        _keep(call, "output", make())


def keep_arguments(call: ToolCall, arguments: Any) -> None:
    """Keep a tool's arguments, if they are kept."""
    if settled.content:
        _keep(call, "tool.arguments", arguments)


def keep_result(call: ToolCall, make: Callable[[], Any]) -> None:
    """Keep a tool's result, if results are kept."""
    if settled.content:
        _keep(call, "tool.result", make())


def _keep(call: LLMCall | ToolCall, where: str, value: Any) -> None:
    if value is None:
        return
    kept = prepared(value, where)
    if kept is not None:
        call.content = {**(call.content or {}), where.removeprefix("tool."): kept}


def prepared(value: Any, where: str) -> str | None:
    """A value as text: redacted by the user's hook, then cut. A hook that fails keeps nothing."""
    text = value if isinstance(value, str) else _as_json(value)
    redact = settled.settings.redact
    if redact is not None:
        redacted = redactor(redact)(text, where)
        if redacted is None:
            return None
        text = str(redacted)
    limit = settled.content_limit
    return text if len(text) <= limit else text[:limit] + f"... [{len(text) - limit} more characters]"


def _as_json(value: Any) -> str:
    def plain(thing: Any) -> Any:
        dump = getattr(thing, "model_dump", None)
        return dump(mode="json", exclude_none=True) if callable(dump) else str(thing)

    return msgspec.json.encode(value, enc_hook=plain).decode()


def redactor(path: str) -> Redactor:
    """The user's function behind a dotted path.

    Raises:
        SettingsError: It cannot be imported.
    """
    found = _redactors.get(path)
    if found is None:
        module, _, name = path.partition(":")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise SettingsError(
                f"the redaction hook {path!r} cannot be imported: {error}",
                where="setting instrument.redact",
                do="Name a function as package.module:function.",
            ) from error
        _redactors[path] = found
    return found
