"""The page in a real browser: it shows the API's numbers, and everything on it works by mouse, key and URL."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest

from support.console_client import Client
from support.exhaustive import part
from tachograph.console import RunningConsole, start
from tachograph.console.calls import Call, CallDetail
from tachograph.runtime import join
from tachograph.signals.registry import Metrics

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VIEWS = ("now", "llm", "mcp", "alerts", "calls", "cost")


def show(page: Page, path: str) -> None:
    """Go to a view and wait until it has been refreshed once."""
    page.evaluate("path => { location.hash = path }", path)
    page.wait_for_function("path => document.documentElement.dataset.refreshed === path", arg=path)


def asked(page: Page) -> dict[str, list[str]]:
    """The parameters in the address."""
    return parse_qs(urlsplit(page.url).fragment.partition("?")[2])


def filled(expression: str, rate_interval: float, length: float) -> str:
    """The query as the page fills it in when nothing is chosen but the defaults."""
    values = {"__rate_interval": f"{rate_interval:g}s", "__range": f"{length:g}s", "outcome": "success"}
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], ".*"), expression)


def named(legend: str, labels: dict[str, str]) -> str:
    """The name of a series by its legend."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


@pytest.mark.parametrize(("view", "index"), [("llm", 0), ("mcp", 1)])
def test_each_panel_shows_the_numbers_that_the_api_gives(
    page: Page, asks: Client, view: str, index: int, artifacts: Path
) -> None:
    dashboard = asks.get("/api/console/catalogue")["dashboards"][index]
    folded = "~".join(re.sub(r"[^a-z0-9]+", "-", row["title"].lower()).strip("-") for row in dashboard["rows"])
    show(page, f"#/{view}?range=15m&refresh=off&source=metrics&open={folded}")
    page.screenshot(path=artifacts / f"{view}.png", full_page=True)
    compared = 0
    for panel in (panel for row in dashboard["rows"] for panel in row["panels"]):
        section = page.locator(f'.panel[data-panel="{panel["id"]}"]')
        assert section.count() == 1, panel["title"]
        start_, end, step, rate_interval = json.loads(section.get_attribute("data-window") or "[]")
        cells = section.locator(".sr-only tr").evaluate_all(
            "rows => rows.map(row => [row.querySelector('th')?.textContent,"
            " [...row.querySelectorAll('td')].at(-1)?.dataset.value])"
        )
        table = {name: float(value) for name, value in cells if value not in (None, "")}
        for query in panel["queries"]:
            expression = filled(query["expression"], rate_interval, end - start_)
            if query["instant"] or query["buckets"]:
                continue  # shown as differences of buckets; the histogram test below compares those
            answer = asks.get("/api/v1/query_range", query=expression, start=start_, end=end, step=step)
            for series in answer["data"]["result"]:
                name = named(query["legend"], series["metric"])
                finite = [float(text) for _, text in series["values"] if text != "NaN"]
                if name in table and finite and math.isfinite(finite[-1]) and panel["kind"] == "timeseries":
                    assert table[name] == pytest.approx(finite[-1], rel=1e-9), (panel["title"], name)
                    compared += 1
    assert compared >= (20 if view == "llm" else 6)


def test_the_histogram_counts_every_lookup_once(page: Page) -> None:
    show(page, "#/mcp?range=1h&refresh=off")  # the story's quarter of an hour, however long ago it ended
    cells = page.locator(".panel.kind-histogram .sr-only td").evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.value))"
    )
    assert sum(cells) == pytest.approx(59, abs=1.5)  # 60 lookups, the first before the first snapshot


def test_active_connections_are_a_gauge_per_server(page: Page) -> None:
    show(page, "#/mcp?range=15m&refresh=off")
    rows = page.locator(".panel.kind-gauge .sr-only tr").evaluate_all(
        "rows => rows.map(row => [row.querySelector('th').textContent, row.querySelector('td').dataset.value])"
    )
    assert dict(rows) == {"git": "1", "time": "1", "workshop": "1"}


def test_a_filter_narrows_the_panels_and_stands_in_the_url(page: Page) -> None:
    show(page, "#/llm?range=15m&refresh=off")
    page.select_option('select[name="provider"]', "anthropic")
    page.wait_for_function(
        "() => { const names = [...document.querySelectorAll('.panel .legend-name')].map(e => e.textContent);"
        " return names.length > 2 && names.every(n => !n.startsWith('openai') && !n.startsWith('gemini')); }"
    )
    assert asked(page)["provider"] == ["anthropic"]
    page.reload()
    page.wait_for_selector(".panel .legend-name")
    assert page.locator('select[name="provider"]').input_value() in ("anthropic", "")
    assert asked(page)["provider"] == ["anthropic"]


def test_dragging_over_a_chart_zooms_and_the_back_button_returns(page: Page) -> None:
    show(page, "#/llm?range=15m&refresh=off")
    chart = page.locator(".panel.kind-timeseries svg[role=img]").first
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 80, steps=4)
    page.mouse.up()
    page.wait_for_function("() => location.hash.includes('from=')")
    parameters = asked(page)
    length = int(parameters["to"][0]) - int(parameters["from"][0])
    assert 120 <= length <= 260  # a fifth of fifteen minutes
    page.go_back()
    page.wait_for_function("() => !location.hash.includes('from=')")


def test_a_legend_isolates_a_series_and_keeps_it_in_the_url(page: Page) -> None:
    show(page, "#/llm?range=15m&refresh=off")
    panel = page.locator(".panel.kind-timeseries").first
    item = panel.locator(".legend-item", has_text="gemini/gemini-2.5-flash")
    item.click()
    assert panel.locator('.legend-item[aria-pressed="true"]').count() == 1
    assert any(key.startswith("only.") for key in asked(page))
    panel.locator(".legend-item", has_text="gemini/gemini-2.5-flash").click()
    assert panel.locator('.legend-item[aria-pressed="false"]').count() == 0


def test_all_charts_share_one_crosshair(page: Page) -> None:
    show(page, "#/llm?range=15m&refresh=off")
    charts = page.locator(".panel.kind-timeseries svg[role=img]")
    box = charts.first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("() => document.querySelectorAll('line[stroke-dasharray=\"3 3\"]').length >= 3")
    assert page.locator(".tip").count() == 1
    assert "openai/gpt-5" in page.locator(".tip").inner_text()


def test_the_keyboard_reaches_everything(page: Page) -> None:
    show(page, "#/llm?range=15m&refresh=off")
    page.keyboard.press("?")
    assert page.locator("dialog[open] h2").inner_text() == "Keyboard"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("3")
    page.wait_for_selector('.tab[aria-current="page"]:has-text("MCP Tools")')
    page.keyboard.press("5")
    page.wait_for_selector(".calls tbody tr")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector(".drawer .wf-row.own")
    assert "call" in asked(page)
    page.keyboard.press("Escape")
    page.wait_for_selector(".drawer", state="detached")
    page.keyboard.press("Enter")
    page.wait_for_selector(".drawer .wf-row.own")
    page.go_back()
    page.wait_for_selector(".drawer", state="detached")
    assert page.locator('.tab[aria-current="page"]').inner_text() == "Explore"
    page.keyboard.press("2")
    page.wait_for_selector(".panel")
    page.keyboard.press("j")
    page.keyboard.press("v")
    page.wait_for_selector(".single .panel")
    assert "panel" in asked(page)
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.keyboard.press("4")
    page.wait_for_selector(".alert-row.chosen")
    assert page.locator('.alert-row[tabindex="0"]').count() == 1  # one stop for the Tab key, not eighty
    page.locator('.alert-row[tabindex="0"]').focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    name = page.evaluate("document.activeElement.dataset.alert")
    page.keyboard.press("Enter")
    page.wait_for_selector(f'.runbook h2:text-is("{name}")')


def test_calls_are_filtered_and_open_their_trace(page: Page, asks: Client, artifacts: Path) -> None:
    show(page, "#/calls?range=1h&refresh=off&provider=anthropic&outcome=success&label=team:support")
    listed = asks.get("/api/console/calls", provider="anthropic", outcome="success", label="team:support", limit=100)
    assert page.locator(".calls tbody tr").count() == len(listed["calls"]) > 5
    retried = next(call for call in listed["calls"] if call["attempts"] == 2)
    show(page, f"#/calls?range=1h&refresh=off&provider=anthropic&call={retried['id']}")
    page.wait_for_selector(".drawer .wf-row")
    text = page.locator(".drawer").inner_text()
    assert "attempt 1 · 429" in text
    assert "waiting for the rate limit" in text
    assert f"{retried['input_tokens']}, of them {retried['cached_tokens']} cached" in text
    page.screenshot(path=artifacts / "trace.png")


def test_the_cost_page_adds_up_to_the_api(page: Page, asks: Client, artifacts: Path) -> None:
    show(page, "#/cost?range=1h&refresh=off&by=provider")
    assert page.locator(".cost-view > section:last-of-type tbody tr").count() == 3
    page.screenshot(path=artifacts / "cost.png", full_page=True)
    why = page.locator('section[aria-label="Why it changed"]').inner_text()
    assert "in the period before to compare with" in why
    shares = page.locator(".cost-view > section:last-of-type tbody tr td:nth-child(3)").all_inner_texts()
    assert sum(float(share.strip().rstrip(" %")) for share in shares) == pytest.approx(100, abs=0.2)


def test_the_statement_is_printed_on_white_and_the_page_stays_dark(page: Page) -> None:
    show(page, "#/cost?range=1h&refresh=off")
    page.evaluate(
        "() => addEventListener('beforeprint', () => {"
        " window.printed = [getComputedStyle(document.body).backgroundColor,"
        " document.querySelector('.panel-body svg text').parentElement.getAttribute('fill')] })"
    )
    assert page.pdf()[:5] == b"%PDF-"
    assert page.evaluate("window.printed") == ["rgb(243, 245, 248)", "#566370"]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"


def test_a_panel_downloads_as_csv_svg_and_png(page: Page, tmp_path: Path) -> None:
    show(page, "#/llm?range=15m&refresh=off")
    for name, ending in (("Download CSV", "csv"), ("Download SVG", "svg"), ("Download PNG", "png")):
        page.locator(".panel-menu-button").first.click()
        with page.expect_download() as waiting:
            page.locator(".panel-menu button", has_text=name).click()
        saved = tmp_path / f"panel.{ending}"
        waiting.value.save_as(saved)
        content = saved.read_bytes()
        assert content[:4] == {"csv": b"time", "svg": b"<svg", "png": b"\x89PNG"}[ending]
    rows = (tmp_path / "panel.csv").read_text().splitlines()
    assert rows[0].startswith("time,")
    assert len(rows) > 80


def test_a_hidden_tab_asks_for_nothing(page: Page) -> None:
    show(page, "#/llm?range=5m&refresh=1")
    page.wait_for_function(  # not during a refresh, which would go on to its end
        "() => { if (document.querySelector('.asking')) return false;"
        " Object.defineProperty(document, 'hidden', {get: () => window.pretend ?? true, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); window.asked = 0; const real = window.fetch;"
        " window.fetch = (...given) => { window.asked += 1; return real(...given); }; return true; }"
    )
    page.evaluate("() => new Promise(done => setTimeout(done, 1500))")  # longer than one refresh, were there one
    assert page.evaluate("window.asked") == 0
    page.evaluate("() => { window.pretend = false; document.dispatchEvent(new Event('visibilitychange')); }")
    page.wait_for_function("() => window.asked > 0")


def violations(page: Page, axe_source: str, *, theme: str = "dark") -> list[tuple[Any, ...]]:
    """What axe finds on the page as it stands; in the light theme only colours differ, so only they are checked."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(axe_source)
    everything = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    only = {"type": "tag", "values": everything} if theme == "dark" else {"type": "rule", "values": ["color-contrast"]}
    found: dict[str, Any] = page.evaluate(
        "only => axe.run(document, {runOnly: only, resultTypes: ['violations']})", only
    )
    return [
        (violation["id"], violation["nodes"][0]["target"], violation["nodes"][0]["failureSummary"])
        for violation in found["violations"]
    ]


SCHEMES: tuple[Literal["dark"], Literal["light"]] = ("dark", "light")
FEW = "&label=team:support&provider=anthropic"
"""Rows enough: hundreds of equal ones take axe seconds and show nothing more."""


def without_scrolling(page: Page, width: int) -> list[str]:
    """What is wider than a window of this width: the page, a table, or on a phone the tabs."""
    found = ["the page"] if page.evaluate("document.documentElement.scrollWidth") > width else []
    wider: list[str] = page.evaluate(
        "all => [...document.querySelectorAll(all)]"
        ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => `${e.tagName} ${e.className}`)",
        ".table-scroll, nav, .card, .segmented" if width == 360 else ".table-scroll",
    )
    return found + wider


@pytest.mark.parametrize("view", part(VIEWS, "llm"))
def test_each_view_is_accessible(page: Page, axe_source: str, view: str, artifacts: Path) -> None:
    for theme in ("dark", "light"):
        show(page, f"#/{view}?range=15m&refresh=off&theme={theme}{FEW if view == 'calls' else ''}")
        page.screenshot(path=artifacts / f"{view}-{theme}.png")
        assert violations(page, axe_source, theme=theme) == [], theme


@pytest.mark.parametrize("what", part(["call", "run", "runs", "sessions", "errors", "compare", "panel"], "call"))
def test_what_a_view_opens_is_accessible_and_fits_a_phone(
    page: Page, asks: Client, axe_source: str, what: str, artifacts: Path
) -> None:
    call = asks.get("/api/console/calls", kind="llm", limit=1)["calls"][0]
    address = {
        "call": f"calls?call={call['id']}{FEW}",
        "run": f"run?id={call['trace_id']}",
        "panel": "llm?panel=token-usage-rate",
    }.get(what, f"calls?what={what}{'' if what == 'errors' else FEW}")
    for theme in ("dark", "light"):
        show(page, f"#/{address}&range=1h&refresh=off&theme={theme}")
        page.screenshot(path=artifacts / f"{what}-{theme}.png")
        assert violations(page, axe_source, theme=theme) == [], theme
    page.set_viewport_size({"width": 360, "height": 780})
    show(page, f"#/{address}&range=1h&refresh=off&width=360")
    page.screenshot(path=artifacts / f"{what}-360.png")
    assert without_scrolling(page, 360) == []


@pytest.mark.parametrize("view", part(VIEWS, "calls"))
def test_no_view_is_wider_than_the_window(page: Page, view: str, artifacts: Path) -> None:
    for width in (360, 700, 1024, 1280, 1440, 3840):
        page.set_viewport_size({"width": width, "height": 900})
        show(page, f"#/{view}?range=15m&refresh=off&width={width}")
        if width in (360, 3840):
            page.screenshot(path=artifacts / f"{view}-{width}.png")
        assert without_scrolling(page, width) == [], width


def test_reduced_motion_stops_every_animation(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    show(page, "#/calls?range=1h&refresh=off")
    page.locator(".calls tbody tr").first.click()
    page.wait_for_selector(".drawer")
    assert page.evaluate("getComputedStyle(document.querySelector('.drawer')).animationName") == "none"


def test_names_from_outside_are_text_only(browser: Browser, tmp_path: Path) -> None:
    recorder = join(Metrics(()), strict=True)
    hostile = "<img src=x onerror=alert(1)>"
    with start(port=0, recorder=recorder, step_seconds=5) as served:
        call = recorder.start_llm_call("openai", hostile, labels={"team": hostile})
        call.begin_attempt()
        call.finish("error", "server_error", error=RuntimeError(hostile))
        recorder.settle()
        served.console.calls.flush()
        served.console.tick()
        page = browser.new_page()
        alerted: list[str] = []
        page.on("dialog", lambda dialog: (alerted.append(dialog.message), dialog.dismiss()))
        page.goto(served.login_url)
        page.wait_for_selector(".tab")
        for view in ("calls", "llm", "cost"):
            show(page, f"#/{view}?refresh=off")
        show(page, "#/calls?range=1h&refresh=off")
        assert page.locator(".calls tbody .name span").get_attribute("title") == hostile
        page.locator(".calls tbody tr").first.click()
        page.wait_for_selector(".drawer")
        assert page.locator("img").count() == 0
        assert alerted == []
        page.close()


def test_a_console_that_went_away_is_said_so_and_what_is_drawn_stays(browser: Browser) -> None:
    recorder = join(Metrics(()), strict=True)
    served: RunningConsole = start(port=0, recorder=recorder, step_seconds=5)
    page = browser.new_page()
    page.goto(served.login_url)
    page.wait_for_selector(".tab")
    show(page, "#/calls?range=1h&refresh=off")
    served.close()
    page.keyboard.press("r")
    page.wait_for_selector("#failure")
    assert "does not answer" in page.locator("#failure").inner_text()
    assert page.title() == "No answer · Explore · Tachograph"
    assert page.locator(".calls-view").count() == 1
    page.close()


def test_without_a_login_the_page_says_where_the_link_is(browser: Browser, running: RunningConsole) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(running.url)
    page.wait_for_function("() => /login link|log in/i.test(document.body.innerText)")
    context.close()


def test_a_dot_on_the_latency_panel_leads_to_its_trace(page: Page) -> None:
    show(page, "#/llm?range=15m&refresh=off")
    dots = page.locator(".panel.kind-timeseries .exemplar")
    assert dots.count() > 0
    dots.first.dispatch_event("click")
    page.wait_for_selector(".drawer .wf-row.own")
    assert "call" in asked(page)


# -- the second edition's views -------------------------------------------------------------------------------------


def test_the_first_page_says_in_a_sentence_how_things_stand(page: Page, asks: Client) -> None:
    now = int(time.time())
    span = {"from": now - 3600, "to": now}
    show(page, f"#/now?from={now - 3600}&to={now}&refresh=off")
    assert page.locator('.tab[aria-current="page"]').inner_text() == "Now"
    text = asks.get("/api/console/now", **span)["sentence"]["text"]
    said = re.escape(text).replace(r"\{since\}", r"\d\d:\d\d").replace(r"\{until\}", r"\d\d:\d\d")
    assert re.fullmatch(said, page.locator(".sentence-text").inner_text())
    tiles = page.locator(".now-tile h2").all_inner_texts()
    assert tiles == [
        "Calls", "Success of calls", "Call p95", "First token p95", "Cost per hour", "Budget left", "Waste",
    ]  # fmt: skip
    rows = page.locator('section[aria-label="Providers and models"] tbody tr')
    assert rows.count() == len(asks.get("/api/console/now", **span)["providers"]["rows"])


def test_the_drawer_shows_the_providers_own_words_and_the_raw_record(page: Page, asks: Client) -> None:
    failed = asks.get("/api/console/calls", outcome="error", kind="llm", limit=1)["calls"][0]
    show(page, f"#/calls?range=1h&refresh=off&call={failed['id']}")
    drawer = page.locator(".drawer")
    assert "the server had an error" in drawer.locator(".call-error").inner_text()
    drawer.locator("summary", has_text="Raw JSON").click()
    assert failed["id"] in drawer.locator("details pre").last.inner_text()
    assert {"Link", "curl", "Call id"} <= set(drawer.locator(".call-actions button").all_inner_texts())


def test_a_facet_narrows_the_list_and_stands_in_the_url(page: Page) -> None:
    show(page, "#/calls?range=1h&refresh=off")
    page.locator(".facet", has_text="anthropic").locator("input").check()
    page.wait_for_function("() => location.hash.includes('provider=anthropic')")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.calls tbody tr td:nth-child(3)')]"
        ".every(e => e.innerText === 'anthropic')"
    )


def test_a_click_on_a_column_sorts_by_it(page: Page) -> None:
    show(page, "#/calls?range=1h&refresh=off")
    page.locator(".sorter", has_text="Latency").click()
    page.wait_for_selector('th[aria-sort="descending"] .sorter:has-text("Latency")')
    assert asked(page)["sort"] == ["duration"]


def test_times_are_in_one_zone_that_the_bar_names_and_a_key_switches(browser: Browser, running: RunningConsole) -> None:
    token = {"Authorization": f"Bearer {running.token}"}
    context = browser.new_context(timezone_id="Asia/Tokyo", extra_http_headers=token)
    page = context.new_page()
    page.goto(running.url)
    page.wait_for_selector(".tab")
    show(page, "#/calls?range=1h&refresh=off")
    assert page.locator(".zone").inner_text() == "Tokyo"
    before = page.locator(".calls tbody td.time").first.inner_text()
    page.keyboard.press("u")
    page.wait_for_function("before => document.querySelector('.calls tbody td.time').innerText !== before", arg=before)
    assert page.locator(".zone").inner_text() == "UTC"
    hours = [int(text[:2]) for text in (before, page.locator(".calls tbody td.time").first.inner_text())]
    assert (hours[0] - hours[1]) % 24 == 9
    context.close()


def test_an_unknown_page_says_so(page: Page) -> None:
    show(page, "#/nonsense?refresh=off")
    assert "No such page" in page.locator("#view").inner_text()


def test_a_stat_of_many_series_names_its_worst(page: Page) -> None:
    show(page, "#/llm?range=1h&refresh=off&open=tokens-and-money")
    text = page.locator('[data-panel="error-budget-left-in-range"]').inner_text()
    assert "is the worst of 3" in text
    values = page.locator('[data-panel="error-budget-left-in-range"] .stat-list b').all_inner_texts()
    numbers = [float(value.rstrip(" %")) for value in values]
    assert numbers == sorted(numbers)
    assert page.locator('[data-panel="error-budget-left-in-range"] .stat-value').inner_text() == values[0]


def test_an_incident_shows_evidence_and_live_queries(page: Page) -> None:
    show(page, "#/alerts?range=1h&refresh=off&alert=LLMProviderErrorRatioHigh")
    book = page.locator(".runbook")
    assert "What it hits" in book.inner_text()
    assert book.locator(".live-query").count() > 0


def test_two_hundred_models_fit_the_screen(browser: Browser, artifacts: Path) -> None:
    with start(port=0, recorder=join(Metrics(()), strict=True), step_seconds=300) as served:
        now = time.time()
        calls = [
            CallDetail(
                Call(id=f"{i + 1:032x}", kind="llm", time=now - i % 800, provider="openai",
                     model=f"accounts/long-organisation/deployments/eu-west-3-model-{i % 200:03d}-2026-11-26-preview",
                     outcome="success", duration_seconds=1 + i % 7, attempts=1, input_tokens=10, output_tokens=5),
                [],
            )
            for i in range(4000)
        ]  # fmt: skip
        served.console.calls.add_all([(call, None) for call in calls], wait=True)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto(served.login_url)
        page.wait_for_selector(".tab")
        for view in ("now", "llm"):
            show(page, f"#/{view}?range=15m&refresh=off")
            page.screenshot(path=artifacts / f"{view}-200-models.png")
            heights = page.locator(".panel, .now-view > section").evaluate_all("es => es.map(e => e.offsetHeight)")
            assert max(heights) <= 900
            assert page.evaluate("document.documentElement.scrollWidth") <= 1440
        panel = page.locator('[data-panel="token-usage-rate"]')
        assert "others" in panel.locator(".legend").inner_text()
        panel.locator(".legend-search").fill("model-199")
        context.close()


def test_a_browser_logs_out_and_logs_in_by_the_token(browser: Browser, axe_source: str) -> None:
    with start(port=0, step_seconds=300) as served:
        context = browser.new_context()
        page = context.new_page()
        page.goto(served.login_url)
        page.locator('button[aria-label="Log out"]').click()
        page.wait_for_selector("input[name=token]")
        assert page.request.get(f"{served.url}api/console/status").status == 401
        assert page.evaluate("getComputedStyle(document.querySelector('.login')).display") == "flex"
        for theme in SCHEMES:
            page.emulate_media(color_scheme=theme)
            assert violations(page, axe_source, theme=theme) == [], theme
        page.fill("input[name=token]", "wrong")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector("text=This is not the token of this console.")
        page.fill("input[name=token]", served.token)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector(".tab")
        context.close()


def test_an_unknown_panel_is_said_so(page: Page) -> None:
    show(page, "#/llm?panel=nosuch&refresh=off")
    assert 'has no panel called "nosuch"' in page.locator(".fatal").inner_text()


def test_a_link_to_a_run_that_is_gone_says_so(browser: Browser) -> None:
    with start(port=0, step_seconds=300, auth=False) as served:
        page = browser.new_page()
        page.goto(f"{served.url}#/run?id={'ab' * 16}")
        page.wait_for_selector(".fatal")
        assert "No such run" in page.locator(".fatal").inner_text()
        assert "older than what the console keeps" in page.locator(".fatal").inner_text()
        assert page.locator("#failure").count() == 0
        page.close()
