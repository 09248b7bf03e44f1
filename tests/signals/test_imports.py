"""`import tachograph` is cheap: what is needed only once something is configured or called is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent.parent / "src"
HEAVY = ("opentelemetry", "asyncio", "http.server", "openai", "anthropic", "google.genai", "mcp", "numpy", "apsw",
         "genai_prices", "mmap", "prometheus_client", "pydantic", "httpx2")  # fmt: skip


def test_importing_tachograph_imports_nothing_heavy() -> None:
    code = "import sys; before = set(sys.modules); import tachograph; print(*(set(sys.modules) - before))"
    run = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": _path()}, capture_output=True, text=True, check=True
    )
    loaded = run.stdout.split()
    assert [name for name in loaded if name.startswith(HEAVY)] == []


def _path() -> str:
    return ":".join([str(SOURCE), *(entry for entry in sys.path if entry.endswith("site-packages"))])
