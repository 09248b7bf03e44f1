"""`make sbom`: what a fresh installation of Tachograph with every extra consists of, in CycloneDX form."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "artifacts/sbom.cdx.json"
INSTALL = (shutil.which("uv") or "", "pip", "install", "--quiet", "--python")


def main() -> int:
    """Install into an environment of its own, describe that, and say what it holds."""
    TARGET.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        python = Path(place) / "bin/python"
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        install = [*INSTALL, str(python)] if INSTALL[0] else [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, f"{ROOT}[all]"], check=True)
        described = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-format", "JSON", "-o", str(TARGET)]
        subprocess.run(
            [sys.executable, "-m", "cyclonedx_py", "environment", *described, "--output-reproducible", str(python)],
            check=True,
        )
    found = json.loads(TARGET.read_text("utf-8"))
    versions = {one["name"]: one.get("version", "?") for one in found["components"]}
    print(f"{TARGET.relative_to(ROOT)}: CycloneDX {found['specVersion']}, {len(versions)} components")
    print(f"prices come with genai-prices {versions['genai-prices']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
