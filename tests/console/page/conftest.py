"""A console with a quarter of an hour of known traffic behind it, and a browser to look at it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.console_client import Client
from support.parts import ROOT, npm_package, program
from support.story import tell
from tachograph.console import RunningConsole, start
from tachograph.runtime import join
from tachograph.signals.registry import Metrics

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

ARTIFACTS = ROOT / "artifacts" / "page"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, the system's own. For one module: its driver keeps an event loop running in this thread."""
    executable = program("chromium", "chromium-browser", "google-chrome", "Google Chrome")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: run `make setup`")
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def running() -> Iterator[RunningConsole]:
    """A served console whose metrics and calls tell a known story that ended just now."""
    recorder = join(Metrics(()), strict=True)
    with start(port=0, step_seconds=5, service="story") as served:
        recorder.add_listener(served.console.accept)
        tell(recorder, served.console, ends=time.time())
        served.console.watch(recorder.metrics)  # not before: what the clock notes now is later than all of the story
        yield served


@pytest.fixture
def asks(running: RunningConsole) -> Client:
    """Asks the same console's API."""
    return Client(running.url, running.token)


@pytest.fixture(scope="module")
def visitor(browser: Browser, running: RunningConsole) -> Iterator[BrowserContext]:
    """A logged-in browser, 1440 px wide and dark, that keeps the page's modules from one test to the next."""
    token = {"Authorization": f"Bearer {running.token}"}  # the login link works once, and many tests share this console
    context = browser.new_context(
        viewport={"width": 1440, "height": 1000}, color_scheme="dark", accept_downloads=True, extra_http_headers=token
    )
    yield context
    context.close()


@pytest.fixture
def page(visitor: BrowserContext, running: RunningConsole) -> Iterator[Page]:
    """A new tab of it; anything it logs as an error fails the test."""
    opened = visitor.new_page()
    opened.set_default_timeout(30_000)  # a busy machine may take its time; no test waits so long otherwise
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("response", lambda answer: problems.append(answer.url) if answer.status >= 400 else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(running.url)
    opened.wait_for_selector(".tab")
    yield opened
    opened.evaluate("localStorage.clear()")
    opened.close()
    assert problems == []


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where screenshots are kept for people."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    return ARTIFACTS


@pytest.fixture(scope="session")
def axe_source() -> str:
    """axe-core, the accessibility checker."""
    return (npm_package("axe-core") / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="session", autouse=True)
def _no_proxy() -> None:
    os.environ.setdefault("NO_PROXY", "127.0.0.1")
