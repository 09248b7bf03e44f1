"""The demo's MCP servers as an `mcpServers` configuration: two from PyPI over stdio, and the workshop over HTTP."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = "shop"
"""Name of the demo's git repository."""
_HISTORY = (
    ("README.md", "# Shop\n\nThe back office of a small shop.\n", "Begin the shop"),
    ("prices.csv", "article,eur\nlamp,39\ndesk,180\n", "Add the first prices"),
    ("prices.csv", "article,eur\nlamp,42\ndesk,180\nchair,85\n", "Raise the lamp's price, add the chair"),
)


def make_repository(directory: Path) -> Path | None:
    """A small git repository with some history and an uncommitted change; None where there is no git."""
    git = shutil.which("git")
    if git is None:
        return None
    repository = directory / REPOSITORY
    repository.mkdir()
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "Demo",
        "GIT_AUTHOR_EMAIL": "demo@example.com",
        "GIT_COMMITTER_NAME": "Demo",
        "GIT_COMMITTER_EMAIL": "demo@example.com",
    }

    def run(*arguments: str) -> None:
        subprocess.run([git, *arguments], cwd=repository, env=environment, check=True, capture_output=True)

    run("init", "--quiet", "--initial-branch=main")
    for name, text, message in _HISTORY:
        (repository / name).write_text(text)
        run("add", name)
        run("commit", "--quiet", "--message", message)
    (repository / "README.md").write_text("# Shop\n\nThe back office of a small shop. Open until six.\n")
    return repository


def server_configuration(workshop_url: str, repository: Path | None) -> dict[str, Any]:
    """The `mcpServers` mapping of the demo."""
    servers: dict[str, Any] = {
        "time": {"command": sys.executable, "args": ["-m", "mcp_server_time", "--local-timezone", "UTC"]},
        "workshop": {"url": workshop_url},
    }
    if repository is not None:
        servers["git"] = {
            "command": sys.executable,
            "args": ["-m", "mcp_server_git", "--repository", str(repository)],
            "env": {"GIT_CONFIG_GLOBAL": os.devnull},
        }
    return {"mcpServers": servers}
