"""Watching the anthropic client (1.x and 2.x): which requests are watched, and what they ask for.

How they are seen is in `stainless.py`, how answers are read in `anthropic_apis.py`. The client's own OpenTelemetry
span, which is on by default, is left out; see `vendor_spans.py`.
"""

from __future__ import annotations

from typing import Any, Final

from tachograph.instrument import stainless, vendor_spans
from tachograph.instrument.watch import Watch
from tachograph.vendors.anthropic.apis import ROUTES, route

_BY_CLASS: Final = (
    ("Bedrock", "bedrock"),
    ("AWS", "bedrock"),
    ("Vertex", "vertex"),
    ("GoogleCloud", "vertex"),
    ("Foundry", "azure"),
)
"""Provider labels by what the name of the client's class holds."""


def install() -> None:
    """Hook the client, now or once it is imported."""
    stainless.install("anthropic", _begin)
    vendor_spans.install_anthropic()


def _begin(client: object, options: Any) -> Watch | None:
    """The watch of one request, or None when it is not to be watched."""
    api = ROUTES.get((options.method, options.url))
    if api is not None:
        return stainless.watch_of(client, options, api, _fallback)
    api, stored_id = route(options.method, options.url)
    if api is None:
        return None
    watch = stainless.watch_of(client, options, api, _fallback)
    if watch is not None and stored_id:  # the results of a batch: they may come from another host, and belong to it
        watch.call.response_id, watch.host = stored_id, None
    return watch


def _fallback(client: type) -> str:
    return next((label for part, label in _BY_CLASS if part in client.__name__), "anthropic")
