"""Watching the clients that an application already has: `tachograph.instrument()`, and it is done."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Final

from tachograph.settings import load

if TYPE_CHECKING:
    from tachograph.recorder import Recorder

__all__ = ["CLIENTS", "instrument", "uninstrument"]

logger = logging.getLogger("tachograph")

CLIENTS: Final = ("openai", "anthropic", "google_genai", "mcp")
"""The client libraries we know; each has a file here with `install()`."""


def instrument(*clients: str, recorder: Recorder | None = None) -> None:
    """Watch the client libraries of this process, those imported already and those to come.

    Calling it again changes nothing, or widens what is watched. Nothing is imported that the application does not
    import.

    Args:
        clients: `openai`, `anthropic`, `google_genai`, `mcp` (fastmcp's too); all unless given (setting
            `instrument.clients`).
        recorder: Where records go; the process's own unless given.

    Raises:
        SettingsError: A setting or a client's name is not allowed.
    """
    from tachograph.instrument import attempts, patches, settled

    settings = load({"instrument": {"clients": list(clients)}} if clients else None)
    settled.settle(recorder, settings.instrument)
    if not settings.enabled:
        return
    patches.SWITCH.on = True
    attempts.install()
    for name in CLIENTS:
        if name in settings.instrument.clients:
            import_module(f"tachograph.instrument.{name}").install()


def uninstrument() -> None:
    """Put everything back as it was; calls under way finish their records."""
    from tachograph.instrument import imports, patches, report

    patches.SWITCH.on = False
    imports.forget_all()
    for place in patches.unpatch_all():
        logger.warning("tachograph: %s was wrapped by somebody after us; our part of it now does nothing", place)
    report.forget()
