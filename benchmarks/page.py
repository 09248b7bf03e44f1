"""How quick the console's page is: `python -m benchmarks.page`.

First paint with data, and what one refresh takes of the page's thread, in headless Chromium: for one panel with 20
series of 720 points, and for the whole dashboard. Prints medians of several runs; nothing is asserted.
"""

from __future__ import annotations

import shutil
import statistics
import time
from typing import Any

from tachograph.console import start
from tachograph.recorder import Recorder
from tachograph.records import Attempt, Cost, Usage
from tachograph.runtime import join
from tachograph.signals.registry import Metrics

SERIES, POINTS, STEP_SECONDS, RUNS = 20, 720, 5, 7


def main() -> None:
    """Measure and print."""
    from playwright.sync_api import sync_playwright

    recorder = join(Metrics(()))
    with start(port=0, step_seconds=STEP_SECONDS) as served:
        served.console.listen(recorder)
        tell(recorder, served.console)
        executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
            paints, panels, dashboards = [], [], []
            for _ in range(RUNS):
                page = browser.new_page(viewport={"width": 1720, "height": 1000})
                page.goto(served.login_url)
                page.wait_for_selector(".legend-value")
                began = time.perf_counter()
                page.goto(f"{served.url}#/llm?range=1h&refresh=off")
                page.reload(wait_until="commit")
                page.wait_for_selector(".panel .legend-value")
                paints.append(time.perf_counter() - began)
                dashboards.append(refresh(page, f"{served.url}#/llm?range=1h&refresh=off"))
                name = "request-latency-p95-by-model"
                panels.append(refresh(page, f"{served.url}#/llm?range=1h&refresh=off&panel={name}"))
                page.close()
            browser.close()
    print(f"first paint with data          {statistics.median(paints) * 1000:6.0f} ms")
    print(f"refresh, {SERIES} series x {POINTS} points {statistics.median(panels) * 1000:6.1f} ms")
    print(f"refresh, whole dashboard       {statistics.median(dashboards) * 1000:6.1f} ms")


def refresh(page: Any, address: str) -> float:
    """Seconds of the page's thread that one warm refresh takes: script, style, layout and painting."""
    page.goto(address)
    page.wait_for_function("() => document.documentElement.dataset.refreshed === location.hash")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    taken = []
    for _ in range(5):
        before = busy_seconds(session)
        page.evaluate("() => delete document.documentElement.dataset.refreshed")
        page.keyboard.press("r")
        page.wait_for_function("() => document.documentElement.dataset.refreshed === location.hash")
        taken.append(busy_seconds(session) - before)
    return statistics.median(taken)


def busy_seconds(session: Any) -> float:
    """What the page's thread has worked so far."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def tell(recorder: Recorder, console: Any) -> None:
    """One hour of traffic over twenty models."""
    began = int(time.time()) - POINTS * STEP_SECONDS
    for step in range(POINTS):
        for model in range(SERIES):
            call = recorder.start_llm_call(("openai", "anthropic", "gemini")[model % 3], f"model-{model}")
            attempt = Attempt(1, call.started_ns)
            call.attempts.append(attempt)
            ended = call.started_ns + int((0.2 + ((step * 7 + model * 13) % 50) / 10) * 1e9)
            attempt.end("success", ended_ns=ended)
            call.usage = Usage(1000 + model, 100)
            call.cost = Cost(2_000_000, "priced", "bench")
            call.finish("success", ended_ns=ended)
        console.tick((began + step * STEP_SECONDS) * 1000)


if __name__ == "__main__":
    main()
