"""Keeping keys out of what people read: servers echo them, and an exception's text ends in logs and spans."""

from __future__ import annotations

from typing import Final

_SHOWN: Final = "[api key]"
_SHORTEST = 6
"""A shorter secret is a placeholder of a test or of a local server; replacing it would only garble words."""


def scrub(text: str, secrets: tuple[str, ...]) -> str:
    """The text without the secrets."""
    for secret in secrets:
        if len(secret) >= _SHORTEST and secret in text:
            text = text.replace(secret, _SHOWN)
    return text


def scrub_error(error: BaseException, secrets: tuple[str, ...]) -> None:
    """Take the secrets out of an exception's text, and out of those that caused it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if any(len(secret) >= _SHORTEST and secret in f"{current} {current.args}" for secret in secrets):
            current.args = tuple(_clean(value, secrets) for value in current.args)
            for name in ("message", "body", "details", "api_message"):
                value = getattr(current, name, None)
                if value is not None:
                    _set(current, name, _clean(value, secrets))
        current = current.__cause__ or current.__context__


def _clean(value: object, secrets: tuple[str, ...]) -> object:
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, dict):
        return {key: _clean(inner, secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_clean(inner, secrets) for inner in value)
    return value


def _set(error: BaseException, name: str, value: object) -> None:
    try:
        setattr(error, name, value)
    except AttributeError:
        return  # a property: it reads what was cleaned already
