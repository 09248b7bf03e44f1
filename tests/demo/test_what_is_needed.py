"""Without its packages the demo says which one is missing, before anything is started."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tachograph.cli import main
from tachograph.version import __version__
from tachograph_demo.version import __version__ as version_of_demo

COMMANDS = [["demo", "--duration", "1"], ["fire-drill", "--incident", "quiet"]]


@pytest.mark.parametrize(
    ("module", "package"), [("uvicorn", "uvicorn"), ("google", "google-genai"), ("mcp_server_git", "mcp-server-git")]
)
@pytest.mark.parametrize("command", COMMANDS)
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


@pytest.mark.parametrize("command", COMMANDS)
def test_without_the_demo_its_commands_say_what_to_install(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As in an installation of production, where there is no such package: nothing finds it.
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not Path(entry, "tachograph_demo").is_dir()])
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if not hasattr(finder, "MAPPING")])
    for name in [name for name in sys.modules if name.split(".")[0] == "tachograph_demo"]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    assert main(command) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"tachograph {command[0]}: the demo is a package of its own, tachograph-demo, which is not installed. "
        "In a clone of the repository run `make demo`, or install it: pip install ./demo. Elsewhere: "
        "pip install 'tachograph[demo]'\n"
    )


def test_the_demo_has_the_version_of_what_it_shows() -> None:
    assert version_of_demo == __version__
