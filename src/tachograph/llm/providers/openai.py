"""OpenAI, Azure OpenAI, and servers compatible with OpenAI's API."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from tachograph.errors import MissingExtraError, TachographError
from tachograph.llm.limiter import Limiter
from tachograph.llm.providers.base import Provider, find_api_key
from tachograph.llm.providers.openai_chat import ChatCompletions
from tachograph.llm.providers.openai_responses import Responses
from tachograph.llm.retry import RetryPolicy
from tachograph.recorder import Recorder
from tachograph.urls import split
from tachograph.vendors.dialects import dialect_of

Api = Literal["chat_completions", "responses"]


def load_sdk() -> Any:
    """The vendor's SDK.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import openai
    except ImportError as error:
        raise MissingExtraError("the OpenAI provider", "openai", error.name or "openai") from error
    return openai


class OpenAIProvider(Provider):
    """OpenAI by its official SDK, whose own retries are off.

    Args:
        api: `responses`, or `chat_completions`, which compatible servers know.
        api_key: Else from OPENAI_API_KEY (AZURE_OPENAI_API_KEY on Azure).
        base_url: Of another server with the same API; else OPENAI_BASE_URL, else OpenAI's.
        name: The provider label: give one of your own to a compatible server (`groq`, `vllm`).
        azure_endpoint, api_version: Azure OpenAI; `model` is then the deployment's name.
        http_client, async_http_client: An httpx2 client to send with; it is yours to close.
        client_options: Further arguments for the SDK's client.
        retry, limiter, timeout_seconds, recorder: See `Provider`.
    """

    def __init__(
        self,
        *,
        api: Api = "chat_completions",
        api_key: str | None = None,
        base_url: str | None = None,
        name: str = "openai",
        azure_endpoint: str | None = None,
        api_version: str | None = None,
        http_client: object = None,
        async_http_client: object = None,
        client_options: Mapping[str, Any] | None = None,
        retry: RetryPolicy | None = None,
        limiter: Limiter | None = None,
        timeout_seconds: float = 600.0,
        recorder: Recorder | None = None,
    ) -> None:
        if api not in ("chat_completions", "responses"):
            raise TachographError(
                f"there is no api {api!r}",
                where="ProviderFactory.create('openai', api=...)",
                do="Use 'chat_completions' or 'responses'.",
            )
        sdk = load_sdk()
        options: dict[str, Any] = {"max_retries": 0, **(client_options or {})}
        if azure_endpoint:
            key = find_api_key(api_key, name, "AZURE_OPENAI_API_KEY", "OPENAI_API_KEY")
            kinds = (sdk.AzureOpenAI, sdk.AsyncAzureOpenAI)
            options |= {"azure_endpoint": azure_endpoint, "api_version": api_version or "2024-10-21"}
            address = azure_endpoint
        else:
            key = find_api_key(api_key, name, "OPENAI_API_KEY")
            kinds = (sdk.OpenAI, sdk.AsyncOpenAI)
            address = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
            options["base_url"] = address
        options["api_key"] = key

        def make_client(is_async: bool) -> Any:
            given = async_http_client if is_async else http_client
            return kinds[is_async](**options, **({"http_client": given} if given is not None else {}))

        is_own = name == "openai" or azure_endpoint is not None
        dialect = dialect_of(split(address).hostname or "")
        chat = ChatCompletions(
            "max_completion_tokens" if is_own else "max_tokens",
            asks_for_usage=dialect is None or dialect.stream_usage != "always",
        )
        super().__init__(
            name,
            Responses() if api == "responses" else chat,
            make_client,
            address=address,
            retry=retry,
            limiter=limiter,
            timeout_seconds=timeout_seconds,
            recorder=recorder,
            secrets=(key,),
            owns_clients=http_client is None and async_http_client is None,
        )
