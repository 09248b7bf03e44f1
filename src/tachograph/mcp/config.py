"""Which MCP servers there are: the `mcpServers` JSON that every MCP host uses, read and checked.

    {"mcpServers": {
        "time":   {"command": "mcp-server-time", "args": ["--local-timezone", "UTC"], "env": {"TZ": "UTC"}},
        "search": {"url": "https://example.com/mcp", "headers": {"Authorization": "Bearer ${SEARCH_TOKEN}"}},
        "old":    {"type": "sse", "url": "https://example.com/sse"}}}

`${VAR}` and `${VAR:-default}` are taken from the environment. Keys that other hosts add (`disabled`, `autoApprove`,
...) are left alone, except `disabled`, which is honoured.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tachograph.files import read_named
from tachograph.mcp.errors import ConfigError
from tachograph.urls import split

_VARIABLE: Final = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_TYPES: Final[dict[str, Literal["stdio", "http", "sse"]]] = {
    "stdio": "stdio",
    "http": "http",
    "streamable-http": "http",
    "streamableHttp": "http",
    "streamable_http": "http",
    "sse": "sse",
}
_KEYS: Final = ("command", "args", "env", "cwd", "url", "headers", "type")


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A server that we start as a child process and communicate with over its standard input and output.

    Attributes:
        id: The name under `mcpServers`; the label `server_id`.
        env: Added to a small inherited set (PATH, HOME, ...), not to the whole environment.
    """

    id: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    transport: Literal["stdio"] = "stdio"


@dataclass(frozen=True, slots=True)
class HTTPServer:
    """A server at an address: streamable HTTP (`http`), or the older SSE (`sse`)."""

    id: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    transport: Literal["http", "sse"] = "http"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = split(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


ServerConfig = StdioServer | HTTPServer
LONGEST_FILE: Final = 8 << 20
"""Bytes of a configuration."""


def load_config(
    source: str | Path | Mapping[str, Any], *, environ: Mapping[str, str] | None = None
) -> tuple[ServerConfig, ...]:
    """Read an `mcpServers` configuration: a mapping, or the path of a JSON file.

    Raises:
        ConfigError: The file cannot be read or a value is not allowed; says which, and what is.
    """
    where = "mcpServers"
    data: Any = source
    if not isinstance(source, Mapping):
        where = str(source)
        try:
            data = json.loads(read_named(source, LONGEST_FILE))
        except OSError as error:
            raise ConfigError(f"cannot read the file: {error.strerror or error}", where=where) from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"not valid JSON: {error}", where=where) from error
    if not isinstance(data, Mapping):
        raise ConfigError("must be a JSON object", where=where)
    servers = data.get("mcpServers", data.get("servers"))
    if not isinstance(servers, Mapping):
        raise ConfigError(
            'has no "mcpServers" object', where=where, do='Write {"mcpServers": {"name": {"command": ...}}}'
        )
    environ = os.environ if environ is None else environ
    loaded = (_server(str(name), entry, f"{where}, server {name!r}", environ) for name, entry in servers.items())
    return tuple(server for server in loaded if server is not None)


def _server(name: str, entry: object, where: str, environ: Mapping[str, str]) -> ServerConfig | None:
    if not name:
        raise ConfigError("a server has an empty name", where=where)
    if not isinstance(entry, Mapping):
        raise ConfigError(f"must be an object, not {entry!r}", where=where)
    if entry.get("disabled") is True:
        return None
    transport = _transport(entry, where)
    if transport == "stdio":
        if not isinstance(entry.get("args", []), list):
            raise ConfigError(f'"args" must be a list of strings, not {entry["args"]!r}', where=where)
        arguments = [
            _text(value, f"args[{index}]", where, environ) for index, value in enumerate(entry.get("args", []))
        ]
        return StdioServer(
            name,
            _text(entry["command"], "command", where, environ),
            tuple(arguments),
            _texts(entry, "env", where, environ),
            _text(entry["cwd"], "cwd", where, environ) if entry.get("cwd") is not None else None,
        )
    url = _text(entry["url"], "url", where, environ)
    parts = split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f'"url" must be an http:// or https:// address, not {url!r}', where=where)
    return HTTPServer(name, url, _texts(entry, "headers", where, environ), transport)


def _transport(entry: Mapping[str, Any], where: str) -> Literal["stdio", "http", "sse"]:
    given = entry.get("type", entry.get("transport"))
    if given is not None and given not in _TYPES:
        raise ConfigError(f'"type" must be stdio, http or sse, not {given!r}', where=where)
    if "command" in entry and "url" in entry:
        raise ConfigError('has both "command" and "url"', where=where, do="Keep the one that is meant")
    transport = _TYPES[given] if given is not None else ("stdio" if "command" in entry else "http")
    needed = "command" if transport == "stdio" else "url"
    if needed not in entry:
        what = f'has no "{needed}"' if given is not None else 'has neither "command" nor "url"'
        do = None
        for key in entry:
            near = difflib.get_close_matches(str(key), [needed] if given is not None else ["command", "url"], 1)
            if near and key not in _KEYS:
                do = f'Did you mean "{near[0]}" by {key!r}?'
        raise ConfigError(what, where=where, do=do)
    return transport


def _texts(entry: Mapping[str, Any], key: str, where: str, environ: Mapping[str, str]) -> dict[str, str]:
    value = entry.get(key) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(f'"{key}" must be an object of strings, not {value!r}', where=where)
    return {str(name): _text(text, f"{key}.{name}", where, environ) for name, text in value.items()}


def _text(value: object, key: str, where: str, environ: Mapping[str, str]) -> str:
    if not isinstance(value, str) or (not value and key in ("command", "url")):
        shown = type(value).__name__ if key.startswith(("env.", "headers.")) else repr(value)  # may be a secret
        raise ConfigError(f'"{key}" must be a string, not {shown}', where=where)

    def expand(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = environ.get(name, default)
        if found is None:
            raise ConfigError(
                f'"{key}" uses ${{{name}}}, which is not set in the environment',
                where=where,
                do=f"Set {name}, or give a default: ${{{name}:-...}}",
            )
        return found

    return _VARIABLE.sub(expand, value)
