"""Gemini, by generateContent, from Google's Gemini API or Vertex AI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from tachograph.errors import MissingExtraError
from tachograph.llm.limiter import Limiter
from tachograph.llm.providers.base import Provider, find_api_key
from tachograph.llm.providers.gemini_content import GenerateContent
from tachograph.llm.read_deadline import see_response
from tachograph.llm.retry import RetryPolicy
from tachograph.recorder import Recorder


def load_sdk() -> Any:
    """The vendor's SDK.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        from google import genai
    except ImportError as error:
        raise MissingExtraError("the Gemini provider", "gemini", "google-genai") from error
    return genai


def _http_library() -> Any:
    """httpx2, or for older versions of the SDK httpx."""
    try:
        import httpx2
    except ImportError:
        return import_module("httpx")
    return httpx2


class _Clients:
    """One google-genai client, used as a blocking or as an async one, with the HTTP clients that are ours to close."""

    def __init__(self, client: Any, is_async: bool, own: Any, own_async: Any) -> None:
        self.client = client
        self.models = client.aio.models if is_async else client.models
        self._own = own
        self._own_async = own_async

    def close(self) -> None:
        self.client.close()
        if self._own is not None:
            self._own.close()

    async def aclose(self) -> None:
        await self.client.aio.aclose()
        if self._own_async is not None:
            await self._own_async.aclose()
        self.close()


class GeminiProvider(Provider):
    """Gemini by its official SDK, without the SDK's retries.

    Args:
        api_key: Else from GEMINI_API_KEY or GOOGLE_API_KEY. Vertex AI needs none.
        base_url: Of another server; else GOOGLE_GEMINI_BASE_URL, else Google's.
        name: The provider label.
        http_client, async_http_client: An httpx2 client to send with; it is yours to close.
        client_options: Further arguments for `google.genai.Client`: `vertexai`, `project`, `location`, ...
        retry, limiter, timeout_seconds, recorder: See `Provider`.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        name: str = "gemini",
        http_client: object = None,
        async_http_client: object = None,
        client_options: Mapping[str, Any] | None = None,
        retry: RetryPolicy | None = None,
        limiter: Limiter | None = None,
        timeout_seconds: float = 600.0,
        recorder: Recorder | None = None,
    ) -> None:
        sdk = load_sdk()
        options: dict[str, Any] = dict(client_options or {})
        is_vertex = bool(options.get("vertexai") or options.get("enterprise"))
        key = api_key
        if not is_vertex:
            key = find_api_key(api_key, name, "GEMINI_API_KEY", "GOOGLE_API_KEY")
        if key is not None:
            options["api_key"] = key
        http_options: dict[str, Any] = {"retry_options": {"attempts": 1}, **options.pop("http_options", {})}
        address = base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL")
        if address:
            http_options["base_url"] = address

        def make_client(is_async: bool) -> Any:
            # Always HTTP clients of ours, both sharing one set of certificates: the SDK would load them three times,
            # and its aiohttp client hides a retry of its own, with up to 10 seconds of sleep.
            http = _http_library()
            needs_own = http_client is None or async_http_client is None
            trust = http.create_ssl_context() if needs_own else True
            hooks = {"response": [see_response]}
            own = http.Client(verify=trust, follow_redirects=True, event_hooks=hooks) if http_client is None else None
            own_async = http.AsyncClient(verify=trust, follow_redirects=True) if async_http_client is None else None
            chosen = {
                **http_options,
                "httpx_client": http_client if own is None else own,
                "httpx_async_client": async_http_client if own_async is None else own_async,
            }
            return _Clients(sdk.Client(**options, http_options=chosen), is_async, own, own_async)

        default = "https://aiplatform.googleapis.com" if is_vertex else "https://generativelanguage.googleapis.com"
        super().__init__(
            name,
            GenerateContent(),
            make_client,
            address=address or default,
            retry=retry,
            limiter=limiter,
            timeout_seconds=timeout_seconds,
            recorder=recorder,
            secrets=(key,) if key else (),
            owns_clients=True,
        )
