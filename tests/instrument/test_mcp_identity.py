"""What a watched MCP server is called."""

from __future__ import annotations

import pytest

from tachograph import instrument
from tachograph.instrument.mcp_identity import address_of_command, address_of_url, named, server_id
from tachograph.testing import Recording


@pytest.mark.parametrize(
    ("words", "address"),
    [
        (["/usr/bin/mcp-server-git", "--repository", "/src/a"], "mcp-server-git --repository /src/a"),
        (["npx", "-y", "@scope/server-filesystem", "."], "npx -y @scope/server-filesystem ."),
        (["srv", "--api-key", "hunter2", "--port", "1"], "srv --api-key *** --port 1"),
        (["srv", "--token=hunter2"], "srv --token=***"),
        (["srv", "postgres://me:pw@db:5432/shop?x=1"], "srv postgres://db:5432/shop"),
        (["docker", "run", "-e", "GITHUB_PAT=abc", "ghcr.io/x"], "docker run -e GITHUB_PAT=*** ghcr.io/x"),
        (["srv", "sk-proj-0123456789abcdef"], "srv ***"),
    ],
)  # fmt: skip
def test_a_command_line_is_an_id_without_its_secrets(words: list[str], address: str) -> None:
    assert address_of_command(words[0], words[1:]) == address


def test_a_long_command_line_is_cut_and_stays_apart_from_its_like() -> None:
    first = address_of_command("srv", ["x" * 200, "a"])
    second = address_of_command("srv", ["x" * 200, "b"])
    assert len(first) == len(second) == 120
    assert first != second


def test_an_address_is_an_id_without_user_query_and_keys() -> None:
    assert address_of_url("https://me:pw@example.com/weather/mcp?key=1") == "example.com/weather/mcp"
    assert address_of_url("http://127.0.0.1:8000/mcp/") == "127.0.0.1:8000/mcp"
    assert address_of_url("https://example.com/s/0123456789abcdef0123456789abcdef/mcp") == "example.com/s/***/mcp"


def test_the_configured_name_comes_first_then_the_transport_then_the_servers_own(seen: Recording) -> None:
    assert server_id("host/mcp", "Weather Server") == "host/mcp"
    assert server_id("host/mcp", "Weather Server", "in the config") == "in the config"
    assert server_id(None, "Weather Server") == "Weather Server"
    assert server_id(None, None) == "unknown"
    instrument(mcp_servers={"Weather Server": "weather", "other/mcp": "other"})
    assert server_id("other/mcp", None) == "other"
    assert server_id("host/mcp", None) == "host/mcp"
    assert server_id("host/mcp", "Weather Server") == "weather"
    assert server_id("host/mcp", None) == "weather", "a failure to connect to it later has its name too"


def test_a_name_that_fastmcp_draws_for_each_process_is_one_id() -> None:
    assert named("FastMCP-16ae") == named("FastMCP-ee75") == "FastMCP"
    assert named("FastMCP-2 by hand") == "FastMCP-2 by hand"
