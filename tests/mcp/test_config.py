"""The `mcpServers` configuration: what is read, and how a mistake is reported."""

from __future__ import annotations

import json

import pytest

from tachograph.mcp import ConfigError, HTTPServer, MCPClient, StdioServer, load_config


def read(servers, **environ):
    return load_config({"mcpServers": servers}, environ=environ)


def test_each_kind_of_server_is_read():
    servers = read(
        {
            "time": {"command": "mcp-server-time", "args": ["--local-timezone", "UTC"], "env": {"A": "1"}, "cwd": "/"},
            "search": {"url": "https://example.com/mcp", "headers": {"X-Key": "k"}},
            "typed": {"type": "streamable-http", "url": "http://localhost:1/mcp"},
            "old": {"type": "sse", "url": "https://example.com/sse"},
            "off": {"command": "x", "disabled": True},
        }
    )
    assert servers == (
        StdioServer("time", "mcp-server-time", ("--local-timezone", "UTC"), {"A": "1"}, "/"),
        HTTPServer("search", "https://example.com/mcp", {"X-Key": "k"}),
        HTTPServer("typed", "http://localhost:1/mcp"),
        HTTPServer("old", "https://example.com/sse", {}, "sse"),
    )


def test_variables_come_from_the_environment_or_their_default():
    servers = read(
        {
            "a": {"command": "${BIN}/run", "args": ["${MODE:-fast}", "${env:BIN}"], "env": {"K": "x${KEY}y"}},
            "b": {"url": "https://${HOST}/mcp", "headers": {"Authorization": "Bearer ${KEY}"}},
        },
        BIN="/bin",
        KEY="s3cret",
        HOST="h.example",
    )
    assert servers == (
        StdioServer("a", "/bin/run", ("fast", "/bin"), {"K": "xs3crety"}),
        HTTPServer("b", "https://h.example/mcp", {"Authorization": "Bearer s3cret"}),
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, 'neither "command" nor "url"'),
        ({"comand": "x"}, "Did you mean \"command\" by 'comand'"),
        ({"command": "x", "url": "http://h"}, 'both "command" and "url"'),
        ({"command": 5}, '"command" must be a string, not 5'),
        ({"command": ""}, '"command" must be a string'),
        ({"command": "x", "args": "-v"}, '"args" must be a list of strings'),
        ({"command": "x", "args": [1]}, r'"args\[0\]" must be a string, not 1'),
        ({"command": "x", "env": ["A"]}, '"env" must be an object'),
        ({"command": "x", "env": {"KEY": 12345}}, '"env.KEY" must be a string, not int'),
        ({"url": "ftp://h/x"}, "must be an http:// or https:// address"),
        ({"type": "websocket", "url": "http://h"}, "must be stdio, http or sse, not 'websocket'"),
        ({"type": "sse"}, 'has no "url"'),
        ({"command": "${NOPE}"}, r"uses \$\{NOPE\}, which is not set"),
        ("x", "must be an object"),
    ],
)
def test_a_mistake_says_what_and_where(entry, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read({"one": entry})
    assert "server 'one'" in str(caught.value)


def test_a_file_is_read_and_its_mistakes_carry_its_name(tmp_path):
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"time": {"command": "t"}}}))
    assert load_config(file) == (StdioServer("time", "t"),)
    file.write_text("{")
    with pytest.raises(ConfigError, match=r"not valid JSON.*mcp\.json"):
        load_config(str(file))
    file.write_text("{}")
    with pytest.raises(ConfigError, match='no "mcpServers" object'):
        load_config(file)
    with pytest.raises(ConfigError, match="cannot read the file"):
        load_config(tmp_path / "absent.json")


def test_a_secret_in_a_value_of_the_wrong_kind_is_not_shown():
    with pytest.raises(ConfigError) as caught:
        read({"one": {"command": "x", "env": {"KEY": ["hunter2"]}}})
    assert "hunter2" not in str(caught.value)


def test_secrets_do_not_stand_in_the_representation():
    servers = (StdioServer("a", "x", env={"KEY": "hunter2"}), HTTPServer("b", "http://h", {"Authorization": "hunter2"}))
    assert "hunter2" not in repr(servers)


def test_a_server_made_by_hand_is_taken_and_twice_the_same_id_is_not():
    assert MCPClient([StdioServer("a", "x"), HTTPServer("b", "http://h")]).server_ids == ("a", "b")
    with pytest.raises(ConfigError, match="same id"):
        MCPClient([StdioServer("a", "x"), StdioServer("a", "y")])
    with pytest.raises(ConfigError, match="must be a StdioServer or an HTTPServer"):
        MCPClient([{"command": "x"}])  # type: ignore[list-item]
