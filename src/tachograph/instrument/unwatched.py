"""Clients of LLM providers that are imported here, and whose calls are not seen.

Most known clients are seen on the wire, by the HTTP library that carries them. One is not seen where the wire is not
watched, where its HTTP library has no hook in this version, or where it does not use HTTP.
"""

from __future__ import annotations

import logging
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

from tachograph.instrument import active_config, report
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import MARK, SWITCH
from tachograph.signals.families import UNWATCHED_CLIENT
from tachograph.vendors.fields import dig

if TYPE_CHECKING:
    from tachograph.signals.registry import Metrics

logger = logging.getLogger("tachograph")

CLIENTS: Final[dict[str, tuple[str, ...]]] = {
    "aiobotocore": ("aiohttp",),
    "azure.ai.inference": ("urllib3", "aiohttp"),
    "boto3": ("urllib3",),
    "cerebras.cloud.sdk": ("httpx",),
    "cohere": ("httpx",),
    "dspy._vendor.lm15": ("lm15",),
    "fireworks": ("httpx",),
    "google.generativeai": ("grpc",),
    "groq": ("httpx",),
    "huggingface_hub": ("httpx", "urllib3", "aiohttp"),
    "litellm": ("httpx", "aiohttp"),
    "mistralai": ("httpx",),
    "ollama": ("httpx",),
    "replicate": ("unknown host",),
    "together": ("httpx", "urllib3", "aiohttp"),
    "vertexai": ("grpc",),
    "xai_sdk": ("grpc",),
}
"""Known clients that have no hooks of their own or may be left without, each with what carries its requests."""

_REASONS: Final = {
    "grpc": "it sends over gRPC",
    "unknown host": "its host is not known",
}


class _Setting(NamedTuple):
    """How an application has a client use HTTP instead of gRPC.

    Attributes:
        call: What it calls.
        module, place: Where the client keeps that, and below which names.
    """

    call: str
    module: str
    place: tuple[str, ...]


_REST: Final = {
    "google.generativeai": _Setting(
        'configure(transport="rest")', "google.generativeai.client", ("_client_manager", "client_config", "transport")
    ),
    "vertexai": _Setting(
        'vertexai.init(api_transport="rest")',
        "google.cloud.aiplatform.initializer",
        ("global_config", "_api_transport"),
    ),
}
"""Sources: google-generativeai 0.8.6, google-cloud-aiplatform 2.7.0."""
_PLACES: Final = {
    "httpx": (("httpx", "Client", "send"), ("httpx2", "Client", "send")),
    "lm15": (("dspy._vendor.lm15.transports._sync", "StdlibTransport", "stream"),),
    "aiohttp": (("aiohttp", "ClientSession", "_request"),),
    "urllib3": (("urllib3", "HTTPConnectionPool", "_make_request"),),
}


class Unwatched(NamedTuple):
    """A client whose calls are not seen, and why."""

    library: str
    reason: str


def why(library: str) -> str | None:
    """Why the calls of a known client are not seen; None where they are."""
    if report.client(library).hooked:
        return None
    setting = _REST.get(library)
    uses_rest = setting is not None and dig(sys.modules.get(setting.module), *setting.place) == "rest"
    carriers = ("urllib3",) if uses_rest else CLIENTS[library]
    if not SWITCH.on or "wire" not in active_config.settings.clients:
        return "instrument.clients leaves `wire` out"
    for carrier in carriers:
        places = _PLACES.get(carrier)
        if places is None:
            other = f"; `{setting.call}` has it use HTTP, which is seen" if setting is not None else ""
            return _REASONS[carrier] + other
        if not all(map(_is_hooked_or_absent, places)):
            return f"{carrier} has no hook of ours in this version"
    return None


def _is_hooked_or_absent(place: tuple[str, str, str]) -> bool:
    module, owner, name = place
    library = sys.modules.get(module)
    function = getattr(getattr(library, owner, None), name, None)
    for _ in range(16):
        if function is None:
            return library is None
        if MARK in getattr(function, "__dict__", ()):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def imported() -> list[Unwatched]:
    """Those that are imported here."""
    found = ((library, why(library)) for library in CLIENTS if library in sys.modules)
    return [Unwatched(library, reason) for library, reason in found if reason is not None]


def installed() -> list[tuple[str, str | None]]:
    """Known clients that are installed, each with why its calls are not seen, or None."""
    return [(library, why(library)) for library in CLIENTS if _is_installed(library)]


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):
        return False


class UnwatchedGauge:
    """Shows them, before each collection."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._shown: set[str] = set()
        metrics.before_collect(self.show)

    def show(self) -> None:
        """Set the gauge of each."""
        now = {each.library for each in imported()} if SWITCH.on else set()
        for library in self._shown | now:
            self._metrics.cell(UNWATCHED_CLIENT, library).set(1.0 if library in now else 0.0)
        self._shown |= now


_logged: set[str] = set()


def install() -> None:
    """Show them in the metrics, and log each once."""
    active_config.recorder().metrics.part(UnwatchedGauge)
    for library in CLIENTS:
        after_import(library, lambda _, library=library: _log(library))  # type: ignore[misc]


def _log(library: str) -> None:
    reason = why(library)
    if reason is not None and library not in _logged:
        _logged.add(library)
        logger.warning("tachograph: calls of %s are not seen: %s (`tachograph doctor`)", library, reason)
