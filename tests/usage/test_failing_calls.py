"""Any system call can fail: what was accepted is stored or was refused and counted, and the application goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.exhaustive import part
from support.parts import program

SUPPORT = Path(__file__).parent.parent / "support"


CALLS = {
    "writes": [
        "write:ENOSPC:once:open", "write:ENOSPC:half:open", "write+truncate:EIO:half:open", "write:EDQUOT:all:open"
    ],
    "notes of what is stored": ["note:ENOSPC:once:open", "note:EIO:half:open", "note:EDQUOT:all:open"],
    "reads and syncs": ["read:EIO:once:open", "read:ESTALE:all:open", "sync:EIO:all:open"],
    "opens": ["open:EMFILE:once:open", "open:EROFS:all:open", "rename+unlink+truncate:EROFS:all:open"],
    "a new ledger": ["open:ENOSPC:once:new", "write:ENOSPC:all:new"],
    "a new ledger reads": ["read:EIO:once:new", "allocate+mkdir+rename+sync:ENOSPC:once:new"],
}  # fmt: skip
"""Which calls fail, how, and in which ledger."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.platform != "linux":
        pytest.skip("the library is for Linux")
    made = tmp_path_factory.mktemp("library") / "failing_calls.so"
    command = [program("cc"), "-shared", "-fPIC", "-O1", "-o", str(made), str(SUPPORT / "failing_calls.c"), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return made


@pytest.mark.parametrize("what", part(CALLS, "writes", "a new ledger"))
def test_a_call_that_fails_costs_no_accepted_record(library: Path, tmp_path: Path, what: str) -> None:
    _try_all(library, tmp_path, "failing_calls.py", CALLS[what])


@pytest.mark.parametrize(
    "specs",
    [
        ["metrics:write:ENOSPC:half", "metrics:allocate:ENOSPC:all", "metrics:open+mkdir+rename:EROFS:once"],
        ["budgets:open:EMFILE:once", "budgets:allocate+truncate+mkdir:ENOSPC:all"],
        ["console:write:ENOSPC:all", "console:write:EIO:once", "console:open:EMFILE:all", "console:sync+read:EIO:once"],
    ],
    ids=["metrics", "budgets", "console"],
)
def test_a_room_goes_on_when_its_calls_succeed_again(library: Path, tmp_path: Path, specs: list[str]) -> None:
    _try_all(library, tmp_path, "failing_rooms.py", specs)


def _try_all(library: Path, tmp_path: Path, script: str, specs: list[str]) -> None:
    plan = tmp_path / "plan"
    plan.write_bytes(bytes(4096))
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "FAILING_CALLS": str(plan),
        "PYTHONPATH": os.pathsep.join([str(SUPPORT.parent.parent / "src"), str(SUPPORT.parent)]),
    }
    command = [sys.executable, str(SUPPORT / script), str(tmp_path), *specs]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[::2] == specs, done.stdout
    assert all(int(failed) > 0 for failed in lines[1::2]), done.stdout
