"""Hooks of modules that are imported while we are being switched on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tachograph.instrument.imports import after_import, forget_all

SECONDS = 60


@pytest.fixture
def half_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A module that another thread has begun to import and that will not end before it may."""
    turn = ModuleType("turn_of_the_test")
    begun, go_on = threading.Event(), threading.Event()
    vars(turn).update(begun=begun, go_on=go_on)
    monkeypatch.setitem(sys.modules, turn.__name__, turn)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "slow_client.py").write_text(
        "import turn_of_the_test as turn\nturn.begun.set()\nassert turn.go_on.wait(60)\nclass Client: pass\n"
    )
    importing = threading.Thread(target=import_module, args=("slow_client",), daemon=True)
    importing.start()
    assert begun.wait(SECONDS)
    yield SimpleNamespace(name="slow_client", go_on=go_on, importing=importing)
    go_on.set()
    importing.join(SECONDS)
    sys.modules.pop("slow_client", None)
    forget_all()


def test_a_module_that_another_thread_is_importing_is_hooked_too(half_imported: SimpleNamespace) -> None:
    hooked: list[bool] = []
    waiting = threading.Thread(
        target=after_import,
        args=(half_imported.name, lambda module: hooked.append(hasattr(module, "Client"))),
        daemon=True,
    )
    waiting.start()
    half_imported.go_on.set()
    half_imported.importing.join(SECONDS)
    waiting.join(SECONDS)
    assert hooked
    assert all(hooked), "the hook ran before the module was whole"


@pytest.mark.parametrize("warm_up", ["true", "false"])
def test_no_thread_of_ours_imports_what_the_application_may_find_half_imported(tmp_path: Path, warm_up: str) -> None:
    (tmp_path / "openai.py").write_text("")  # like openai 3 over httpx: it asks `sys.modules` for httpx2
    program = (
        "import sys, tachograph; tachograph.instrument('openai'); import openai; found = sys.modules.get('httpx2');"
        "assert found is None or not found.__spec__._initializing"
    )
    environment = {**os.environ, "TACHOGRAPH_PRICING_WARM_UP": warm_up, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert not done.stderr
    assert done.returncode == 0
