"""How a server that is compatible with a vendor's API differs from it: data, no code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one host differs from the vendor's API that it is compatible with.

    Attributes:
        label: The provider label. Those of genai-prices where it has the provider, so that prices are found. Empty:
            that of the vendor whose API is used.
        hosts: Its host names; a leading dot or hyphen stands for every host that ends so.
        reasoning: Whether `completion_tokens` includes reasoning tokens, as with OpenAI, or leaves them out.
        stream_usage: Whether a chat stream reports usage when it is asked by `stream_options`, always in a chunk of its
            own, or not known. A server that does not know the option may refuse the request, so it is not asked.
        stated_cost: Where in the usage report the host states what the call cost.
        stated_cost_per_usd: How many of the unit of that figure make a US dollar.
        upstream_cost: Where it states what the vendor charges beside it, if the key is the user's own (`is_byok`).
        host_part: What the name of a host holds as well, where the ending serves other things too.
        local_ports: Ports of this machine on which it serves.
        source: Where this is said, and when it was checked.
    """

    label: str
    hosts: tuple[str, ...]
    reasoning: Literal["inside", "outside"] = "inside"
    stream_usage: Literal["on_request", "always", "unknown"] = "unknown"
    stated_cost: tuple[str, ...] = ()
    stated_cost_per_usd: int = 1
    upstream_cost: tuple[str, ...] = ()
    host_part: str = ""
    local_ports: tuple[int, ...] = ()
    source: str = ""
