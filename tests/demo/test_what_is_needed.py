"""Without its packages the demo says which one is missing, before anything is started."""

from __future__ import annotations

import sys

import pytest

from tachograph.cli import main


@pytest.mark.parametrize(
    ("module", "package"), [("uvicorn", "uvicorn"), ("google", "google-genai"), ("mcp_server_git", "mcp-server-git")]
)
@pytest.mark.parametrize("command", [["demo", "--duration", "1"], ["fire-drill", "--incident", "quiet"]])
def test_the_demo_says_which_package_it_lacks(
    command: list[str], module: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(command) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"tachograph {command[0]}: the demo needs the package {package!r}, which is not installed. "
        "Install it: pip install 'tachograph[demo]'\n"
    )
