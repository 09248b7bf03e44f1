"""Watching the openai client (2.20 and later): which requests are watched, and what they ask for.

`stainless.py` sees the requests, `vendors/openai/apis.py` chooses how an answer is read; `openai_realtime.py` has
Realtime.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from tachograph.instrument import active_config, hosts, openai_realtime, stainless
from tachograph.instrument.stainless import RequestedApi
from tachograph.instrument.watch import Watch
from tachograph.vendors.openai.apis import route
from tachograph.vendors.openai.chat import ChatChunks


def install() -> None:
    """Hook the client, now or once it is imported."""
    stainless.install("openai", partial(stainless.begin, find=find))
    openai_realtime.install()


def find(client: object, options: Any, *, label: str = "") -> RequestedApi | None:
    """What a request asks for; None where it is not watched.

    Args:
        client: Of openai, or of a library that is made like it.
        options: The request.
        label: The provider's, where another library's host is not known. Its paths may have a prefix (`/openai/v1`).
    """
    url = options.url
    api = route(options.method, f"https://host{url}" if label and url[:1] == "/" else url)
    if api is None:
        return None
    return RequestedApi(api, label or ("azure" if "Azure" in type(client).__name__ else "openai"), _ask_for_usage)


def _ask_for_usage(watch: Watch, body: dict[str, Any], client: object) -> None:
    """Ask for the usage that the vendor sends only when asked, on a copy, and hide its chunk from the application.

    Nothing is asked, and so nothing hidden, where the application set the option itself, where it reads the bytes of
    the stream itself (a failure of ours while it does would show it the event), and where the host sends usage to
    everyone. What else the application set of a stream's options is sent with it.
    """
    if watch.api.chunks is not ChatChunks:
        return
    options: Any = watch.subject
    host = watch.host or ""
    mode = active_config.settings.include_usage
    asked = body.get("stream_options")
    asked = {} if asked is None else asked
    if mode == "never" or not isinstance(asked, dict) or "include_usage" in asked:
        return
    if watch.is_raw and options.headers[stainless.RAW_HEADER] != "true":  # `with_streaming_response`
        return
    if hosts.always_sends_usage(host):
        return
    if mode == "known" and not _understands(client, host, body):
        return
    whole = {**asked, "include_usage": True}
    watch.subject, _ = stainless.with_body(options, {**options.json_data, "stream_options": whole})
    if options.extra_json and "stream_options" in options.extra_json:  # it is laid over the body
        watch.subject.extra_json = {**options.extra_json, "stream_options": whole}
    watch.hides_usage = True


def _understands(client: Any, host: str, body: dict[str, Any]) -> bool:
    """Whether this request may be asked for usage: a server that does not know the option refuses the request.

    Azure refuses it in requests with sources of the application's own ("on your data"), by its older versions, and
    outside its OpenAI API. An Azure client may have a gateway's host.
    """
    if any(name in body for name in _ON_YOUR_DATA):
        return False
    is_azure = "Azure" in type(client).__name__
    if is_azure or hosts.is_azure(host):
        version = getattr(client, "_api_version", None) or client.default_query.get("api-version")
        if version:
            return str(version) >= AZURE_KNOWS_INCLUDE_USAGE  # `preview` and `v1` come after the dates
        if not is_azure and "/openai" not in client.base_url.path:
            return False
    return hosts.understands_include_usage(host, active_config.settings.include_usage_hosts)


_ON_YOUR_DATA: Final = ("data_sources", "dataSources")
AZURE_KNOWS_INCLUDE_USAGE: Final = "2024-09-01"
"""Sources: learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle; Azure/azure-sdk-for-js issue 30751 ("on
your data"); litellm 1.110 `llms/azure_ai` (its other API); 2026-11-27."""
