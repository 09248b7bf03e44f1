"""Every way to ask a provider: vendors and APIs, blocking and awaiting, whole and streamed."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tachograph.llm.factory import ProviderFactory
from tachograph.llm.providers.base import Provider
from tachograph.llm.types import Response, StreamEvent
from tachograph_demo.simulators import Simulators

MODELS = {"openai": "gpt-5", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash"}
TRUST = ssl.create_default_context()
"""One for all clients: loading the certificates takes longer than most of what is tested here."""
KEY = "sk-secret-key-1234567890"


@dataclass(frozen=True)
class Way:
    """One way to ask."""

    vendor: str
    is_async: bool
    is_stream: bool
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        api = self.options.get("api", "")
        return "-".join(filter(None, [self.vendor, api, "async" if self.is_async else "sync", self.mode]))

    @property
    def mode(self) -> str:
        return "stream" if self.is_stream else "complete"

    @property
    def model(self) -> str:
        return MODELS[self.vendor]

    def provider(self, simulators: Simulators, **options: Any) -> Provider:
        """A provider that talks to the simulators."""
        url = getattr(simulators, self.vendor).url
        clients = {"http_client": httpx2.Client(verify=TRUST), "async_http_client": httpx2.AsyncClient(verify=TRUST)}
        options = {"base_url": url, "api_key": KEY, **clients, **self.options, **options}
        return ProviderFactory.create(self.vendor, **options)

    def ask(self, provider: Provider, **fields: Any) -> Response:
        """Ask once in this way; returns the whole answer."""
        return self.events(provider, **fields)[1]

    def events(self, provider: Provider, **fields: Any) -> tuple[list[StreamEvent], Response]:
        fields = {"model": self.model, "messages": "Hello", **fields}
        if self.is_async:
            return asyncio.run(self._ask(provider, fields))
        with provider:
            if not self.is_stream:
                return [], provider.complete(**fields)
            with provider.stream(**fields) as stream:
                return list(stream), stream.response

    async def _ask(self, provider: Provider, fields: dict[str, Any]) -> tuple[list[StreamEvent], Response]:
        async with provider:
            if not self.is_stream:
                return [], await provider.acomplete(**fields)
            async with provider.astream(**fields) as stream:
                return [event async for event in stream], stream.response


VENDORS: list[tuple[str, dict[str, Any]]] = [
    ("openai", {}),
    ("openai", {"api": "responses"}),
    ("anthropic", {}),
    ("gemini", {}),
]
WAYS = [
    Way(vendor, is_async, is_stream, options)
    for vendor, options in VENDORS
    for is_async in (False, True)
    for is_stream in (False, True)
]
STREAMS = [way for way in WAYS if way.is_stream]
