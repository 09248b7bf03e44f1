"""The pictures of docs/console.md: the console over the demo with a rejected key, and the edition before it.

`make pictures` runs the demo twice, with this tree and with the tree of BEFORE, and writes docs/images/console-*.png.
It needs Chromium and git; each demo runs for `--seconds`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs/images"
BEFORE = "0cd9041^"
"""The commit whose page is the picture of before: the last one before the page was drawn again."""
NOW = {
    "now": "#/now?range=5m",
    "llm": "#/llm?range=5m",
    "incident": "#/alerts?range=15m&alert=LLMProviderAuthFailure",
    "explore": "#/calls?range=15m",
    "run": "#/run?range=15m&id={run}",
    "money": "#/cost?range=15m",
}
THEN = {"before-home": "#/llm?range=5m", "before-calls": "#/calls?range=15m"}


def main() -> int:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=150, help="how long each demo runs before its pictures (150)")
    parser.add_argument("--only-now", action="store_true", help="leave the pictures of before as they are")
    asked = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    demo(ROOT, NOW, asked.seconds)
    if not asked.only_now:
        with tempfile.TemporaryDirectory(prefix="tachograph-before-") as name:
            subprocess.run(["git", "worktree", "add", "-q", "--detach", name, BEFORE], cwd=ROOT, check=True)
            try:
                demo(Path(name), THEN, asked.seconds)
            finally:
                subprocess.run(["git", "worktree", "remove", "--force", name], cwd=ROOT, check=True)
    for picture in sorted(IMAGES.glob("console-*.png")):
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size / 1024:.0f} KiB")
    return 0


def demo(tree: Path, views: dict[str, str], seconds: int) -> None:
    """Run a tree's demo and draw its console."""
    with tempfile.TemporaryDirectory(prefix="tachograph-pictures-") as data:
        command = [sys.executable, "-m", "tachograph", "demo", "--plain", "--rate", "5", "--incident", "bad-key"]
        command += [
            "--incident-at",
            str(seconds // 2),
            "--metrics-port",
            "0",
            "--console-port",
            "0",
            "--data-dir",
            data,
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": f"{tree / 'src'}:{tree / 'demo/src'}",
            "PYTHONUNBUFFERED": "1",
            "TZ": "UTC",
        }
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=data, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            url = ""
            assert process.stdout is not None
            for line in process.stdout:
                if "console" in line and "http:" in line:
                    url = line.split()[-1]
                if url and time.monotonic() - began >= seconds:
                    break
            if not url:
                raise SystemExit("the demo has opened no console")
            draw(url, views)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def draw(url: str, views: dict[str, str]) -> None:
    """Take the pictures of these addresses."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        for name, address in views.items():
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
            run = _run(url) if "{run}" in address else ""
            page.goto(url + address.format(run=run) + "&refresh=off")
            page.wait_for_selector("html[data-refreshed]", state="attached")
            page.wait_for_load_state("networkidle")
            _save(page, IMAGES / f"console-{name}.png")
            page.close()
        browser.close()


def _run(url: str) -> str:
    """The newest run that called tools."""
    import json

    with urllib.request.urlopen(f"{url}api/console/explore?what=runs") as answer:
        runs = json.loads(answer.read()).get("runs", [])
    return next((run["id"] for run in runs if run["tool_calls"] > 1 and not run["failed"]), "none")


def _save(page: Any, path: Path) -> None:
    """A picture with a small palette, which is enough for flat colours and a third of the size."""
    path.write_bytes(page.screenshot())
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--force", "--ext", ".png", "64", str(path)], check=False)


if __name__ == "__main__":
    sys.exit(main())
