"""Secrets of receivers: read from the environment or a file at each delivery, and kept out of every text."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import unquote

from tachograph.files import read_named
from tachograph.settings.notify import Receiver
from tachograph.urls import split

MAX_BYTES: Final = 65_536
_SHORTEST: Final = 6
"""A shorter part of a secret is not taken out of texts: it would take ordinary words with it."""


class SecretMissing(Exception):
    """A receiver's secret cannot be read; the text says which and why, never the secret."""


def read(settings: Receiver, name: str) -> str:
    """The secret `name` (`url`, `key`, `token`, `password`) of a receiver.

    Raises:
        SecretMissing: Neither variable nor file is named, or it cannot be read, or it is empty.
    """
    variable: str | None = getattr(settings, f"{name}_env")
    path: str | None = getattr(settings, f"{name}_file")
    if variable is not None:
        found = os.environ.get(variable, "").strip()
        if not found:
            raise SecretMissing(f"the environment variable {variable} is not set (setting {name}_env)")
    elif path is not None:
        try:
            found = read_named(path, MAX_BYTES).strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SecretMissing(f"the file {path} cannot be read: {why} (setting {name}_file)") from None
        if not found:
            raise SecretMissing(f"the file {path} is empty (setting {name}_file)")
    else:
        raise SecretMissing(f"no {name} is set: name an environment variable in {name}_env or a file in {name}_file")
    if any(character in found for character in "\r\n\x00"):
        raise SecretMissing(f"the {name} has more than one line (setting {name}_env or {name}_file)")
    return found


def scrubbed(text: str, secrets: tuple[str, ...]) -> str:
    """A text without the secrets, as a whole and in the parts of a URL that carry one."""
    for secret in filter(None, secrets):
        for part in sorted(_parts(secret), key=len, reverse=True):
            text = text.replace(part, "***")
    return text


def _parts(secret: str) -> set[str]:
    found = {secret}
    if "://" in secret:
        url = split(secret)
        found |= {url.path, url.query, url.password or "", url.username or "", *url.path.split("/")}
        found |= {pair.partition("=")[2] for pair in url.query.split("&")}
    return {one for part in found for one in (part, unquote(part)) if len(one) >= _SHORTEST or part == secret}
