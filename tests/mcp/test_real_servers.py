"""Servers that others wrote: mcp-server-time and mcp-server-git over stdio, and the protocol's reference server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest

from support.mcp_servers import eventually, installed_server
from support.parts import npm_package
from tachograph.mcp import ToolExecutionError, ToolFactory, ToolValidationError


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not on PATH (apt install git): mcp-server-git needs a repository")
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "T",
        "GIT_AUTHOR_EMAIL": "t@example.com",
        "GIT_COMMITTER_NAME": "T",
        "GIT_COMMITTER_EMAIL": "t@example.com",
    }
    (tmp_path / "a.txt").write_text("one\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Begin with one"]):
        subprocess.run(["git", *command], cwd=tmp_path, env=environment, check=True)
    return tmp_path


async def test_the_time_and_git_servers(on, seen, repository):
    servers = {
        "time": {"command": installed_server("mcp-server-time"), "args": ["--local-timezone", "UTC"]},
        "git": {"command": installed_server("mcp-server-git"), "args": ["--repository", str(repository)]},
    }
    async with on(servers) as bench:
        time = await bench.execute("time", "get_current_time", {"timezone": "Europe/Berlin"})
        assert "Europe/Berlin" in time.text
        log = await bench.execute("git", "git_log", {"repo_path": str(repository), "max_count": 1})
        assert "Begin with one" in log.text
        assert (await bench.registry.find("git_status")).server_id == "git"
        with pytest.raises(ToolExecutionError, match="Mars"):
            await bench.execute("time", "get_current_time", {"timezone": "Mars/Phobos"})
        with pytest.raises(ToolValidationError, match="missing 'timezone'"):
            await bench.execute("time", "get_current_time", {})
        tools = await ToolFactory(bench.executor).create_all()
        assert {"get_current_time", "git_log"} <= {tool.name for tool in tools}

        pid = await bench.pid("time")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: seen.value("mcp_server_connections_total", server_id="time", outcome="success") == 2)
        assert "UTC" in (await bench.execute("time", "get_current_time", {"timezone": "UTC"})).text
    assert seen.value("mcp_server_connections_active") == 0


async def test_the_reference_server(on, seen):
    """Written in TypeScript, and speaking the handshake of 2025-11-25."""
    modules = npm_package("@modelcontextprotocol/server-everything").parents[1]
    program = str(modules / ".bin" / "mcp-server-everything")
    async with on({"everything": {"command": program, "args": ["stdio"]}}) as bench:
        assert (await bench.execute("everything", "echo", {"message": "hi"})).text == "Echo: hi"
        weather = await bench.execute("everything", "get-structured-content", {"location": "New York"})
        assert set(weather.structured_content) == {"temperature", "conditions", "humidity"}
        tiny = await bench.execute("everything", "get-tiny-image", {})
        assert "image" in {block["type"] for block in tiny.content}
        names = [tool.name for tool in await ToolFactory(bench.executor).create_all()]
        assert "trigger-long-running-operation" in names
        assert (await bench.client.status())["everything"].protocol_version == "2025-11-25"
    assert {call.outcome for call in seen.tool_calls} == {"success"}
