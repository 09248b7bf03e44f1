"""Watching the anthropic client (1.x and 2.x): which requests are watched, and what they ask for.

`stainless.py` sees the requests, `vendors/anthropic/apis.py` chooses how an answer is read. The client's own
OpenTelemetry span, which is on by default, is left out; see `vendor_spans.py`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from tachograph.instrument import stainless, vendor_spans
from tachograph.instrument.stainless import RequestedApi
from tachograph.vendors.anthropic.apis import route

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
    stainless.install("anthropic", partial(stainless.begin, find=_find))
    vendor_spans.install_anthropic()


def _find(client: object, options: Any) -> RequestedApi | None:
    """What a request asks for; None where it is not watched."""
    api, stored_id = route(options.method, options.url)
    if api is None:
        return None
    kind = type(client).__name__
    return RequestedApi(
        api, next((label for part, label in _BY_CLASS if part in kind), "anthropic"), stored_id=stored_id
    )
