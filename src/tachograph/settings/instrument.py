"""Settings of watching other people's clients."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Client = Literal["openai", "anthropic", "google_genai", "groq", "together", "mcp", "wire"]


class InstrumentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched, and how.

    Attributes:
        clients: Which client libraries to watch. `wire` watches requests to known providers below all client libraries
            (httpx, aiohttp, requests, urllib3): LiteLLM's, mistralai's, cohere's, ollama's, your own.
        wire_hosts: Further hosts whose requests are watched there (`llm.example.com`, `.example.com` for all below, or
            `localhost:8000`). The path shows which vendor's API it is.
        include_usage: Ask OpenAI chat streams for usage when the application did not, and hide the extra chunk:
            `known` for hosts known to understand it, `always`, or `never` (such streams then count as calls without
            usage).
        include_usage_hosts: Further hosts that understand it (`llm.example.com`, or `.example.com` for all below).
        always_usage_hosts: Further hosts whose chat streams report usage without being asked; nothing of theirs is
            hidden.
        reasoning_outside_hosts: Further hosts whose `completion_tokens` leave reasoning out, while `total_tokens` has
            it.
        providers: Provider labels by host: `{"llm.example.com": "acme"}`; they win over the ones we know.
        mcp_servers: Names for MCP servers, by the label that they have without (a command line, an address) or by the
            name that they give themselves: `{"My Weather Server": "weather"}`.
        mcp_probe_seconds: How often the port of a watched MCP client's silent HTTP server is tried, to see that it has
            gone; 0: never.
        mcp_server: Watch tool executions inside MCP servers of this process too.
        redact: `package.module:function` that gets each text that `spans.content` keeps, and where it stands
            (`input`, `output`, `tool.arguments`, `tool.result`), and returns what may be kept, or None.
    """

    clients: tuple[Client, ...] = ("openai", "anthropic", "google_genai", "groq", "together", "mcp", "wire")
    wire_hosts: tuple[str, ...] = ()
    include_usage: Literal["known", "always", "never"] = "known"
    include_usage_hosts: tuple[str, ...] = ()
    always_usage_hosts: tuple[str, ...] = ()
    reasoning_outside_hosts: tuple[str, ...] = ()
    providers: dict[str, str] = {}
    mcp_servers: dict[str, str] = {}
    mcp_probe_seconds: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    mcp_server: bool = True
    redact: str | None = None
