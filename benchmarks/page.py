"""How quick the console's page is with 100,000 calls kept: `make bench-page`.

For each view the first paint with data in headless Chromium, from the address typed to a number drawn; the server's
answer to filters, searches and sorts; and the page's own work for one refresh. Medians and the largest of several runs;
the CPU time of the server beside them, which a busy machine does not change, and how often a view asks it.
With `--check` it ends with 1 when a first paint takes a second or more, or a filter 200 ms or more.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from tachograph.console import RunningConsole, start
from tachograph.console.calls import Call, CallAttempt, CallDetail

PAINT_SECONDS: Final = 1.0
FILTER_SECONDS: Final = 0.2
SPAN_SECONDS: Final = 6 * 3600.0
ERROR: Final = "Rate limit reached for organization org-x on tokens per min: Limit 30000, Used 29{:03}."
VIEWS: Final = {
    "Now": ("#/now?range=6h&refresh=off", ".now-tile .stat-value"),
    "LLM Provider": ("#/llm?range=6h&refresh=off", ".panel .legend-value"),
    "Explore": ("#/calls?range=6h&refresh=off", ".calls tbody td"),
    "Money": ("#/cost?range=6h&refresh=off", ".cost-view .stat-value"),
}
QUESTIONS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "calls, newest": ("calls", {}),
    "calls of one model": ("calls", {"model": "model-7"}),
    "calls by two facets": ("calls", {"provider": "openai", "outcome": "rate_limited"}),
    "calls by cost": ("calls", {"sort": "cost"}),
    "text in errors": ("calls", {"q": "Limit 30000"}),
    "a label": ("calls", {"label": "team:search"}),
    "facets": ("explore", {}),
    "errors grouped": ("explore", {"what": "errors"}),
    "runs": ("explore", {"what": "runs"}),
    "sessions": ("explore", {"what": "sessions"}),
    "Now": ("now", {}),
    "board": ("board/tachograph-llm-provider", {}),
    "Money": ("money", {}),
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000, help="how many calls are kept (100000)")
    parser.add_argument("--runs", type=int, default=7, help="how often each is measured (7)")
    parser.add_argument("--check", action="store_true", help="end with 1 when something is slower than promised")
    asked = parser.parse_args()
    slow = []
    with start(port=0, step_seconds=300, auth=False, max_calls=asked.calls) as served:
        fill(served, asked.calls)
        began = time.time() - SPAN_SECONDS
        print(f"{served.console.calls.count:,} calls kept; medians of {asked.runs} runs, the largest in brackets")
        for name, (path, parameters) in QUESTIONS.items():
            address = f"{served.url}api/console/{path}?{urlencode({'from': began, **parameters})}"
            taken, cpu = _timed(lambda a=address: _read(a), asked.runs)
            slow += told(f"answer: {name}", taken, FILTER_SECONDS, f"{cpu * 1000:.0f} ms CPU")
        slow += _paints(served, asked.runs)
    if slow:
        print("slower than promised: " + ", ".join(slow))
    return 1 if slow and asked.check else 0


_IS_DRAWN = "selector => (document.querySelector(selector)?.getClientRects().length ?? 0) > 0"


def _paints(served: RunningConsole, runs: int) -> list[str]:
    from playwright.sync_api import sync_playwright

    slow = []
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        for name, (view, selector) in VIEWS.items():
            taken: list[float] = []
            for _ in range(runs):
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                asked: list[str] = []
                page.on("request", lambda request, asked=asked: asked.append(request.url))
                began = time.perf_counter()
                page.goto(served.url + view, wait_until="commit")
                page.wait_for_function(_IS_DRAWN, arg=selector, polling="raf")  # wait_for_selector looks each 0.5 s
                taken.append(time.perf_counter() - began)
                page.close()
            count = sum("/api/" in url for url in asked)
            slow += told(f"first paint with data: {name}", taken, PAINT_SECONDS, f"{count} questions")
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(served.url + VIEWS["LLM Provider"][0])
        page.wait_for_selector("html[data-refreshed]", state="attached")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        work = []
        for _ in range(runs):
            before = _busy(session)
            page.evaluate("() => delete document.documentElement.dataset.refreshed")
            page.keyboard.press("r")
            page.wait_for_selector("html[data-refreshed]", state="attached")
            work.append(_busy(session) - before)
        told("the page's own work for one refresh of LLM Provider", work, float("inf"))
        browser.close()
    return slow


def told(name: str, seconds: list[float], most: float, more: str = "") -> list[str]:
    """Print a line; returns its name when the median is too large."""
    median = statistics.median(seconds)
    late = median >= most
    late_word = "  TOO SLOW" if late else ""
    print(f"{name:<54} {median * 1000:7.0f} ms  [{max(seconds) * 1000:.0f}]  {more}{late_word}", flush=True)
    return [name] if late else []


def _timed(act: Callable[[], object], runs: int) -> tuple[list[float], float]:
    act()  # the first one fills caches, as it does for a person
    taken, cpu = [], []
    for _ in range(runs):
        began, used = time.perf_counter(), time.process_time()
        act()
        taken.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return taken, statistics.median(cpu)


def _read(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return json.loads(answer.read())


def _busy(session: Any) -> float:
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def fill(served: RunningConsole, count: int) -> None:
    """Calls of the last six hours: 20 models, 500 sessions, retries, failures with texts, labels and runs."""
    chance = random.Random(1)
    now = time.time()
    providers = ("openai", "anthropic", "gemini")
    batch: list[tuple[CallDetail, None]] = []
    for number in range(count):
        identity = f"{number + 1:032x}"
        model = number % 20
        failed = number % 40 == 0
        call = Call(
            id=identity, kind="llm", time=now - SPAN_SECONDS * (1 - number / count), trace_id=identity,
            span_id=identity[16:], provider=providers[model % 3], model=f"model-{model}", operation="chat",
            outcome="rate_limited" if failed else "success", error_type="rate_limit" if failed else None,
            duration_seconds=chance.lognormvariate(0, 1), input_tokens=None if failed else chance.randrange(10, 20_000),
            output_tokens=None if failed else chance.randrange(1, 3_000), attempts=1,
            cost_usd=None if failed else f"{chance.random() / 10:.6f}",
            labels={"team": ("search", "support")[number % 2]},
            session_id=f"session-{number % 500}", user_id=f"user-{number % 50}", run_id=f"run-{number // 5}",
            agent="triage", service="checkout", app_version=f"1.{number * 4 // count}",
        )  # fmt: skip
        tries = [CallAttempt(1, 0.0, call.duration_seconds, 429 if failed else 200, call.outcome, call.error_type)]
        batch.append((CallDetail(call, tries, ERROR.format(number % 1000) if failed else None), None))
        if len(batch) == 5000 or number == count - 1:
            served.console.calls.add_all(batch, wait=True, timeout=120)
            batch = []


if __name__ == "__main__":
    sys.exit(main())
