"""Real parts for tests: find a program, or skip with a reason that says how to have it.

from support.parts import program, shared_folder, npm_package

def test_rules_load(): promtool = program("promtool")
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ROOT / ".parts"
_PLACES = (
    "usr/sbin",
    "usr/lib/postgresql/*/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
    "Applications/Google Chrome.app/Contents/MacOS",
)


def program(*names: str) -> str:
    """Path of the first of these programs that is there; skips the test when none is."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=str(PARTS / "debian/usr/bin"))
        if found:
            return found
        for pattern in _PLACES:
            for place in sorted(Path("/").glob(pattern), reverse=True):
                if (place / name).is_file():
                    return str(place / name)
    pytest.skip(f"{names[0]} is not installed here: run `make parts`, which gets it or says how")


def npm_package(name: str) -> Path:
    """Folder of an npm package that `make parts` got; skips the test when it is not there."""
    folder = PARTS / "npm" / "node_modules" / name
    if not folder.is_dir():
        pytest.skip(f"the npm package {name} is not in .parts/npm: run `make parts` with Node.js installed")
    return folder


def shared_folder(name: str, variable: str) -> Path:
    """A folder of data kept beside the project (`../shared/NAME`) or named by an environment variable."""
    named = os.environ.get(variable)
    folder = Path(named) if named else ROOT.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"the data folder {folder} is absent: set {variable} to have these tests")
    return folder
