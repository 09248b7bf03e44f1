"""What gateways say of the cost of an answer in its headers: the cost itself, or that it came out of their cache.

Portkey, Helicone and Cloudflare state no cost in an answer, only that their cache gave it, which the vendor does not
bill. Sources, as stored pages of 2026: docs.litellm.ai/docs/proxy/response_headers,
developers.cloudflare.com/ai-gateway/features/caching, portkey.ai/docs/api-reference/response-schema,
docs.helicone.ai/features/advanced-usage/caching. Read 2026-11-27.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tachograph.vendors.dialects import Dialect, dialect_of
from tachograph.vendors.usage import nano_usd

if TYPE_CHECKING:
    from tachograph.records import LLMCall

_COST: Final = "x-litellm-response-cost"
_CACHES: Final = ("cf-aig-cache-status", "x-portkey-cache-status", "helicone-cache")
_MARKS: Final = re.compile("|".join(("x-litellm-", *_CACHES)).encode())

LITELLM: Final = Dialect(
    label="",
    hosts=(),
    stated_cost=("cost",),
    source="docs.litellm.ai/docs/proxy/config_settings, include_cost_in_streaming_usage; 2026-11-27",
)
"""LiteLLM's proxy has no host of its own; its headers identify it. A stream's headers come too early for the cost,
which then is in its usage, where the proxy is set so."""


def are_of_a_gateway(names: bytes) -> bool:
    """Whether these names of headers, in lower case and joined, are worth a look."""
    return _MARKS.search(names) is not None


def note_gateway(call: LLMCall, header: Callable[[str], str | None]) -> None:
    """Take what a gateway says in the headers of a successful answer.

    Args:
        call: The record.
        header: A header by its name in lower case.
    """
    said = header(_COST)
    if said is not None or header("x-litellm-call-id") is not None:
        if call.dialect is None and dialect_of(call.server_address or "") is None:
            call.dialect = LITELLM
        cost = None if call.stream or said is None else nano_usd(said)
        if cost:  # 0 is what the proxy says of a model that it has no price for
            call.stated_cost_nano_usd = cost
    if any((header(name) or "").upper().endswith("HIT") for name in _CACHES):
        call.stated_cost_nano_usd = 0
