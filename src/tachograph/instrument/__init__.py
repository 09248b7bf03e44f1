"""Watching the clients that an application already has: `tachograph.instrument()`, and it is done."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tachograph import runtime
from tachograph.errors import TachographError
from tachograph.settings import load

if TYPE_CHECKING:
    from tachograph.recorder import Recorder

__all__ = ["CLIENTS", "instrument", "uninstrument"]

logger = logging.getLogger("tachograph")

CLIENTS: Final = ("openai", "anthropic", "google_genai", "groq", "together", "mcp", "wire")
"""The client libraries we know; each has a file here with `install()`."""

_FILES: Final = {"wire": ("wire_urllib3", "wire_lm15", "retries")}
"""What is installed for a name that stands for several files; requests over httpx and aiohttp are seen anyway."""


def instrument(*clients: str, recorder: Recorder | None = None, **settings: Any) -> None:
    """Watch the client libraries of this process, those imported already and those to come.

    Calling it again changes nothing, or what is watched. Nothing is imported that the application does not import.
    Where the system has no file descriptor left, or our files cannot be read, that is logged, and the application goes
    on with what is watched by then.

    Args:
        clients: `openai`, `anthropic`, `google_genai`, `groq`, `together`, `mcp` (fastmcp's too), `wire` (requests to
            known providers by httpx, aiohttp, requests, urllib3); all unless given.
        recorder: Where records go; the process's own unless given.
        settings: Fields of the section `instrument` that win over the settings of the process:
            `instrument(include_usage="always")`.

    Raises:
        SettingsError: A setting or a client's name is not allowed.
    """
    try:
        _watch(clients, recorder, settings)
    except TachographError:
        raise
    except (OSError, ImportError) as error:
        logger.error(
            "tachograph: not all clients are watched: %s: %s. The application goes on. If too many files are open, "
            "raise the limit (ulimit -n) or close some, then call instrument() again.",
            type(error).__name__,
            error,
        )


def _watch(clients: tuple[str, ...], recorder: Recorder | None, settings: dict[str, Any]) -> None:
    from tachograph.instrument import (
        active_config,
        attempts,
        frameworks,
        imports,
        other_instrumentation,
        patches,
        threads,
        unwatched,
    )

    own = runtime.get_settings()
    if clients:
        settings["clients"] = clients
    chosen = own.instrument
    if settings:
        base = {name: getattr(chosen, name) for name in chosen.__struct_fields__}
        chosen = load({"instrument": {**base, **settings}}, environ={}, read_file=False).instrument
    runtime.redact_with(settings.get("redact"))
    runtime.set_content_gate(recorder or runtime.get_recorder(), own)
    active_config.settle(recorder, chosen)
    if not own.enabled:
        return
    active_config.recorder()  # its families are there from now on
    patches.SWITCH.on = True
    attempts.install()
    threads.install()
    frameworks.install()
    for name in CLIENTS:
        if name in chosen.clients:
            for part in _FILES.get(name, (name,)):
                import_module(f"tachograph.instrument.{part}").install()
    if "mcp" in chosen.clients and chosen.mcp_server:
        import_module("tachograph.instrument.mcp_server").install()
    for sdk in runtime.SDKS:  # prices bring an HTTP client with them: not before there is something to price
        imports.after_import(sdk, lambda _: runtime.warm_up_prices(own))
    other_instrumentation.log_once()
    unwatched.install()


def uninstrument() -> None:
    """Put everything back as it was; calls under way finish their records."""
    from tachograph.instrument import imports, patches, report, vendor_spans

    patches.SWITCH.on = False
    imports.forget_all()
    import_module("tachograph.run_context").forget_sources()
    vendor_spans.restore()
    for place in patches.unpatch_all():
        logger.warning("tachograph: %s was wrapped by other code after us; our part of it now does nothing", place)
    report.forget()
    runtime.redact_with(None)
