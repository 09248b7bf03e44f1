"""Anthropic, by its Messages API."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

from tachograph.errors import MissingExtraError
from tachograph.llm.limiter import Limiter
from tachograph.llm.providers.anthropic_messages import Messages
from tachograph.llm.providers.base import Provider, find_api_key
from tachograph.llm.retry import RetryPolicy
from tachograph.recorder import Recorder


def load_sdk() -> Any:
    """The vendor's SDK.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import anthropic
    except ImportError as error:
        raise MissingExtraError("the Anthropic provider", "anthropic", error.name or "anthropic") from error
    return anthropic


class AnthropicProvider(Provider):
    """Anthropic by its official SDK, whose own retries and spans are off.

    Args:
        api_key: Else from ANTHROPIC_API_KEY.
        base_url: Of another server with the same API; else ANTHROPIC_BASE_URL, else Anthropic's.
        name: The provider label.
        http_client, async_http_client: An httpx2 client to send with; it is yours to close.
        client_options: Further arguments for the SDK's client.
        retry, limiter, timeout_seconds, recorder: See `Provider`.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        name: str = "anthropic",
        http_client: object = None,
        async_http_client: object = None,
        client_options: Mapping[str, Any] | None = None,
        retry: RetryPolicy | None = None,
        limiter: Limiter | None = None,
        timeout_seconds: float = 600.0,
        recorder: Recorder | None = None,
    ) -> None:
        sdk = load_sdk()
        key = find_api_key(api_key, name, "ANTHROPIC_API_KEY")
        address = base_url or os.environ.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com"
        options: dict[str, Any] = {"api_key": key, "base_url": address, "max_retries": 0}
        if "open_telemetry" in inspect.signature(sdk.Anthropic).parameters:
            options["open_telemetry"] = {"traces": False}  # our span stands for the call
        options |= client_options or {}

        def make_client(is_async: bool) -> Any:
            given = async_http_client if is_async else http_client
            kind = sdk.AsyncAnthropic if is_async else sdk.Anthropic
            return kind(**options, **({"http_client": given} if given is not None else {}))

        super().__init__(
            name,
            Messages(),
            make_client,
            address=address,
            retry=retry,
            limiter=limiter,
            timeout_seconds=timeout_seconds,
            recorder=recorder,
            secrets=(key,),
            owns_clients=http_client is None and async_http_client is None,
        )
