"""Making providers by name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from time import perf_counter_ns
from typing import Any, ClassVar, Final

from tachograph.errors import TachographError
from tachograph.llm.providers.base import Provider
from tachograph.runtime import get_recorder, get_settings, warm_up_prices

_OURS: Final = {
    "openai": ("tachograph.llm.providers.openai", "OpenAIProvider"),
    "anthropic": ("tachograph.llm.providers.anthropic", "AnthropicProvider"),
    "gemini": ("tachograph.llm.providers.gemini", "GeminiProvider"),
}

Maker = Callable[..., Provider]


class ProviderFactory:
    """Makes providers: `ProviderFactory.create("openai")`; users may register their own."""

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _makers: ClassVar[dict[str, Maker]] = {}

    @classmethod
    def create(cls, name: str, /, **options: Any) -> Provider:
        """Make the provider of this name.

        Args:
            name: `openai`, `anthropic`, `gemini`, or a registered one.
            options: For the provider; see its class.

        Raises:
            TachographError: No provider has this name, or there is no API key.
            MissingExtraError: The vendor's SDK is not installed.
        """
        maker = cls._makers.get(name)
        if maker is None:
            maker = cls._load(name)
            if options.get("recorder") is None:
                warm_up_prices(get_settings())
        recorder = options.get("recorder") or get_recorder()
        started_ns = perf_counter_ns()
        provider = maker(**options)
        recorder.factory_created("provider", name, started_ns)
        return provider

    @classmethod
    def register(cls, name: str, maker: Maker) -> None:
        """Make a provider known by a name: `maker(**options)` gives it. The last one registered holds."""
        with cls._lock:
            cls._makers[name] = maker

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names that `create` accepts."""
        return tuple(sorted({*_OURS, *cls._makers}))

    @classmethod
    def _load(cls, name: str) -> Maker:
        """Import a provider of ours and its SDK, once; the time this takes is not the creation's."""
        try:
            module_name, class_name = _OURS[name]
        except KeyError:
            raise TachographError(
                f"there is no provider {name!r}",
                where="ProviderFactory.create()",
                do=f"Names that exist: {', '.join(cls.names())}. "
                "For a server that is compatible with OpenAI's API: create('openai', base_url=..., name=...).",
            ) from None
        module = import_module(module_name)
        module.load_sdk()
        maker: Maker = getattr(module, class_name)
        with cls._lock:
            return cls._makers.setdefault(name, maker)
