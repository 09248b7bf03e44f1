"""Each state of the page: empty, being read, stale, of another time, older than what is kept, silent, keeping on."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from console.page.test_page import show, violations
from support.console_client import Client
from support.console_rules import groups_from
from support.exhaustive import part
from support.ledgers import eventually
from support.story import one_call
from tachograph.console import RunningConsole, start
from tachograph.console.calls import Call, CallDetail
from tachograph.console.promql.labels import labels_of
from tachograph.runtime import join
from tachograph.settings import Settings
from tachograph.settings.budgets import BudgetLimit, BudgetsSettings
from tachograph.settings.ledger import LedgerSettings
from tachograph.signals.registry import Metrics
from tachograph.tape import TAPE
from tachograph.usage.ledger import Ledger

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

EMPTY = {
    "now": "No calls yet.",
    "llm": "tachograph demo",
    "mcp": "tachograph demo",
    "alerts": "No alert fires.",
    "calls": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "calls?what=runs": "No runs in this range.",
    "calls?what=sessions": "No call in this range names a session.",
    "calls?what=errors": "No call failed in this range.",
    "cost": "No cost in this time range.",
    "run": "The address names no run.",
}
RULE = {"group": "g", "alert": "High", "expr": "x > 5", "keep_firing_for": "15m", "labels": {"severity": "warning"}}


@pytest.fixture(scope="module")
def served() -> Iterator[RunningConsole]:
    """A console that nothing has sent to; one rule of its own."""
    with start(port=0, step_seconds=300, auth=False) as running:
        running.console.rules.groups[:] = groups_from([RULE])
        yield running


@pytest.fixture
def page(browser: Browser, served: RunningConsole) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    opened.goto(served.url)
    opened.wait_for_selector(".tab")
    yield opened
    opened.close()


def call(number: int, *, at: float, **facts: Any) -> tuple[CallDetail, None]:
    identity = f"{number:032x}"
    facts = {"provider": "openai", "model": "gpt-5", "outcome": "success", "duration_seconds": 1.0, "attempts": 1,
             "trace_id": identity, "span_id": identity[16:], **facts}  # fmt: skip
    return CallDetail(Call(id=identity, kind="llm", time=at, **facts), []), None


def test_each_view_says_what_is_missing_where_nothing_has_come(page: Page, axe_source: str) -> None:
    for view, said in EMPTY.items():
        for theme in ("dark", "light"):
            show(page, f"#/{view}{'&' if '?' in view else '?'}range=15m&refresh=off&theme={theme}")
            assert said in page.locator("#view").inner_text(), view
            assert page.locator("#view[aria-busy]").count() == 0
            assert violations(page, axe_source, theme=theme) == [], (view, theme)


def test_money_says_why_it_changed_and_an_almost_spent_budget_is_no_calm_green(browser: Browser) -> None:
    limits = (BudgetLimit(name="team", usd=Decimal("0.21"), period="total"),)
    settings = Settings(budgets=BudgetsSettings(limits=limits))
    with start(port=0, step_seconds=300, auth=False, settings=settings) as paid:
        now = time.time()
        calls = [call(n, at=now - 300 * n, cost_usd="0.1", input_tokens=10, output_tokens=5) for n in (1, 4)]
        paid.console.calls.add_all(calls, wait=True)
        page = browser.new_page()
        page.goto(f"{paid.url}#/cost?range=15m&refresh=off")
        page.wait_for_selector(".budget-sum.warn")
        why = page.locator('section[aria-label="Why it changed"]').inner_text()
        assert "$0.100 in this range, $0.100 in the one before." in why
        assert "Volume" in why
        page.close()


def test_a_live_page_without_data_says_so_in_the_bar(page: Page) -> None:
    show(page, "#/now?range=15m")
    assert page.locator(".live").inner_text() == "No data yet"
    assert "stale" in (page.locator(".live").get_attribute("class") or "")


@pytest.mark.parametrize("view", part(["now", "llm", "calls", "cost", "alerts"], "now"))
def test_a_view_that_is_still_being_read_says_so_until_it_is(page: Page, view: str) -> None:
    held: list[Route] = []
    asked = {"now": "now", "llm": "board", "calls": "explore", "cost": "money", "alerts": "incidents"}[view]
    show(page, "#/run?refresh=off")
    page.route(re.compile(f"/api/console/{asked}"), lambda route: held.append(route))
    page.evaluate("view => { location.hash = `#/${view}?range=15m&refresh=off` }", view)
    page.wait_for_selector("#view[aria-busy=true]")
    eventually(lambda: page.evaluate("1") == 1 and bool(held), "the view asks")
    assert page.locator("#view[aria-busy=true]").count() == 1
    for route in held:
        route.continue_()
    page.unroute(re.compile(f"/api/console/{asked}"))
    page.wait_for_selector("#view:not([aria-busy])")


def test_a_phone_has_the_fields_that_a_comparison_asks_for(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 780})
    show(page, "#/calls?what=compare&refresh=off")
    assert [page.get_by_label(f"Version {side}").is_visible() for side in "AB"] == [True, True]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_alert_that_keeps_firing_and_a_silence_of_some_are_on_the_page(
    page: Page, served: RunningConsole, axe_source: str
) -> None:
    page.wait_for_selector("html[data-refreshed]", state="attached")  # what fires later is news
    now = int(time.time()) * 1000
    for at, value in ((now - 60_000, 9.0), (now - 30_000, 1.0)):
        for model in ("gpt-5", "o3"):
            served.console.store.ingest(model, at, [(labels_of({"__name__": "x", "model": model}), value)])
        served.console.rules.evaluate(served.console.rules.groups[0], at)
    page.keyboard.press("r")
    page.wait_for_function("() => document.querySelector('#announcer').innerText.includes('High fires')")
    show(page, "#/alerts?range=15m&refresh=off&alert=High")
    assert page.title() == "(1) Alerts · Tachograph"
    assert page.locator("link[rel=icon]").get_attribute("href") == "static/icon-firing.svg"
    book = page.locator(".runbook")
    assert re.search(r"Its condition is over since \d\d:\d\d: it resolves at \d\d:\d\d", book.inner_text())
    assert "keeps firing" in page.locator('[data-alert="High"]').inner_text()
    assert violations(page, axe_source) == []

    page.get_by_label("Silence only the alerts whose labels match").fill('model=~"gpt-.*"')
    page.get_by_role("button", name="Silence", exact=True).click()
    page.wait_for_selector(".silences")
    assert 'where model=~"gpt-.*"' in page.locator(".silences").inner_text()
    (rule,) = Client(served.url, served.token).get("/api/console/alerts")["alerts"]
    assert [one["silenced_until"] is None for one in rule["alerts"]] == [True, False]
    shown, until = page.locator(".timeline .silence").inner_text(), page.locator(".silences").inner_text()
    assert re.search(r"Silenced until (.+?) where", shown)[1] in until  # both by the page's clock
    page.get_by_role("button", name="End it").click()
    page.wait_for_selector(".silences", state="detached")

    page.get_by_role("button", name="Acknowledge", exact=True).click()
    page.wait_for_function("() => /Acknowledged \\d\\d:\\d\\d/.test(document.querySelector('.runbook').innerText)")


VOLATILE = {
    "now": 'section[aria-label="Providers and models"] a',
    "calls": ".calls tbody tr",
    "calls?what=runs": ".explore-other a",
    "calls?what=errors": ".explore-other a",
    "cost": ".cost-view td a, .cost-view th a",
}
WHERE = "() => [...document.querySelectorAll('.table-scroll')].map(e => e.scrollTop).join()"


def test_what_comes_leaves_the_keyboard_and_the_scrolling_where_they_are(browser: Browser) -> None:
    """Each view draws its tables again as calls come, under the hands of the one who reads them."""
    with start(port=0, step_seconds=300, auth=False) as busy:
        now, made = time.time(), count()
        fails: dict[str, Any] = {"outcome": "error", "error_type": "server_error"}

        def come(calls: int) -> None:
            numbers = [next(made) for _ in range(calls)]
            busy.console.calls.add_all(
                [
                    call(n + 1, at=now - 600 + n, model=f"m{n % 40}", cost_usd="0.01", **(fails if n % 3 else {}))
                    for n in numbers
                ],
                wait=True,
            )

        come(120)
        page = browser.new_page(viewport={"width": 1440, "height": 700})
        page.goto(busy.url)
        page.wait_for_selector(".tab")
        for view, stops in VOLATILE.items():
            show(page, f"#/{view}{'&' if '?' in view else '?'}range=1h&refresh=off")
            page.wait_for_selector(stops)
            page.locator(stops).nth(1).focus()
            page.evaluate("() => document.querySelectorAll('.table-scroll').forEach(e => { e.scrollTop = 70 })")
            focused, scrolled = page.evaluate("document.activeElement.outerHTML"), page.evaluate(WHERE)
            name = page.evaluate_handle("document.activeElement.dataset.call ?? document.activeElement.href")
            before = page.locator("#view").inner_text()
            come(7)
            page.keyboard.press("r")
            page.wait_for_function("text => document.querySelector('#view').innerText !== text", arg=before)
            page.wait_for_selector(".live:not(.asking)")
            again = "document.activeElement.dataset.call ?? document.activeElement.href"
            assert page.evaluate(again) == name.json_value(), (view, focused)
            assert page.evaluate(WHERE) == scrolled, view
        page.close()


def test_data_that_has_stopped_is_said_in_the_bar_and_an_empty_range_leads_to_it(browser: Browser) -> None:
    with start(port=0, step_seconds=300, auth=False) as stopped:
        stopped.console.calls.add_all([call(1, at=time.time() - 3600)], wait=True)
        page = browser.new_page()
        page.goto(f"{stopped.url}#/llm?range=15m")
        page.wait_for_selector(".panel-empty")
        assert re.fullmatch(r"Data (60 min|1 h) old", page.locator(".live").inner_text())
        page.locator(".panel-empty a").first.click()
        page.wait_for_selector(".panel .legend-name")
        assert page.locator(".panel .legend-name").first.inner_text() == "openai/gpt-5"
        for view, place in (("calls", ".calls-view"), ("now", ".sentence")):
            page.goto(f"{stopped.url}#/{view}?range=15m")
            page.wait_for_selector(f'{place} >> text="Show it"')
            assert "No calls in this range." in page.locator("main").inner_text()
        page.close()


def test_a_call_dated_ahead_shows_when_that_time_comes_and_the_bar_says_so(browser: Browser) -> None:
    with start(port=0, step_seconds=300, auth=False) as skewed:
        calls = [call(1, at=time.time() - 60), call(2, at=time.time() + 3600, model="ahead", run_id="ahead")]
        skewed.console.calls.add_all(calls, wait=True)
        page = browser.new_page()
        for view in ("now", "calls", "calls?what=runs", "cost"):
            page.goto(f"{skewed.url}#/now?refresh=off")
            show(page, f"#/{view}{'&' if '?' in view else '?'}range=15m")
            assert "ahead" not in page.locator("main").inner_text(), view
            assert page.locator(".live").inner_text() == "Clock ahead"
            assert "ahead of the console's clock" in (page.locator(".live").get_attribute("title") or "")
        page.close()


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_ranges_end_at_the_server_s_now_when_the_browser_s_clock_is_wrong(browser: Browser, seconds: int) -> None:
    with start(port=0, step_seconds=300, auth=False) as served:
        served.console.calls.add_all([call(1, at=time.time() - 10, model="newest")], wait=True)
        page = browser.new_page()
        page.add_init_script(f"const right = Date.now; Date.now = () => right() + {seconds * 1000};")
        page.goto(f"{served.url}#/calls?range=15m")
        page.wait_for_selector(".calls tbody tr >> text=newest")
        end = int(time.time()) - 300
        show(page, f"#/calls?from={end - 900}&to={end}&refresh=off")
        page.get_by_role("button", name="Later").click()  # as far as now
        page.wait_for_function(f"() => Number(new URLSearchParams(location.hash.split('?')[1]).get('to')) > {end}")
        assert abs(int(page.url.partition("&to=")[2].partition("&")[0]) - time.time()) < 60
        page.close()


def test_the_paused_tail_stays_while_calls_come_and_goes_on_when_resumed(browser: Browser) -> None:
    with start(port=0, step_seconds=300, auth=False) as busy:
        busy.console.calls.add_all([call(n + 1, at=time.time() - 600 + n) for n in range(120)], wait=True)
        page = browser.new_page()
        page.goto(busy.url)
        page.wait_for_selector(".tab")
        show(page, "#/calls?range=1h&refresh=off")
        page.get_by_role("button", name="Older calls").click()
        page.wait_for_function("() => document.querySelectorAll('.calls tbody tr').length === 120")
        busy.console.calls.add_all([call(500, at=time.time() - 1)], wait=True)
        for _ in range(2):  # the range of a second refresh ends later
            page.wait_for_function("since => Math.floor(Date.now() / 1000) > since", arg=int(time.time()))
            page.keyboard.press("r")
            page.wait_for_selector(".live:not(.asking)")
            assert page.locator(".calls tbody tr").count() == 120
        page.get_by_role("button", name="Resume the tail").click()
        page.wait_for_function(f"() => document.querySelector('.calls tbody tr').dataset.call === '{500:032x}'")
        page.close()


def test_the_usual_range_of_what_began_a_moment_ago_has_no_ten_empty_minutes(browser: Browser) -> None:
    with start(port=0, step_seconds=300, auth=False) as young:
        page = browser.new_page()
        for age, said in ((30, "Last 5 min"), (600, "Last 15 min")):
            young.console.calls.add_all([call(age, at=time.time() - age)], wait=True)
            page.goto(f"{young.url}?{age}#/now?refresh=off")
            page.wait_for_selector("html[data-refreshed]", state="attached")
            assert page.get_by_role("button", name=said).count() == 1
        page.close()


def test_a_session_shows_its_runs_and_the_tree_of_the_chosen_one(browser: Browser) -> None:
    with start(port=0, step_seconds=300, auth=False) as talked:
        now = time.time()
        facts = {"session_id": "s1", "agent": "desk"}
        calls = [call(n, at=now - 60 + n, run_id=f"run-{n // 2}", **facts) for n in range(1, 42)]
        talked.console.calls.add_all(calls, wait=True)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{talked.url}#/run?session=s1&refresh=off")
        page.wait_for_selector(".wf-row.own")
        assert page.locator(".session-runs tbody th").all_inner_texts() == [f"run-{n}" for n in range(21)]
        assert page.locator(".session-runs tr.chosen th").inner_text() == "run-20"
        boxes = [page.locator(f".session-runs {one}").bounding_box() for one in (".table-scroll", "tr.chosen")]
        tops, ends = zip(*((box["y"], box["y"] + box["height"]) for box in boxes if box), strict=True)
        assert tops[0] < tops[1] < ends[1] <= ends[0] + 1, "the chosen run is in sight"
        page.locator(".session-runs a", has_text=re.compile("^run-1$")).click()
        page.wait_for_function("() => document.querySelector('.session-runs tr.chosen th')?.innerText === 'run-1'")
        page.wait_for_function("() => document.querySelectorAll('.waterfall .wf-title').length === 2")
        times = page.locator(".wf-scale span").all_inner_texts()
        assert times == ["0.0 s", "0.5 s", "1.0 s", "1.5 s", "2.0 s"]
        page.set_viewport_size({"width": 360, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.close()


def test_seven_days_read_the_ledger_and_say_so(browser: Browser, tmp_path: Path) -> None:
    settings = LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}", data_dir=str(tmp_path))
    metrics = Metrics(())
    ledger = Ledger(settings, metrics)
    recorder = join(metrics, ledger=ledger, strict=True)
    for days, model in ((3, "gpt-5"), (2, "gpt-5-mini"), (0.01, "gpt-5")):
        one_call(recorder, time.time() - days * 86400, "openai", model, 1.0, 1000, 100, step=0)
    TAPE.flush()
    assert ledger.flush()
    with start(port=0, step_seconds=300, auth=False, ledger=settings) as looked:
        feed = looked.console.ledger
        assert feed is not None
        eventually(lambda: feed.look() >= 0 and looked.console.calls.count == 1, "the last day's call is copied")
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{looked.url}#/now?range=7d&refresh=off")
        page.wait_for_selector(".now-tile")
        rows = page.locator('section[aria-label="Providers and models"] tbody tr')
        counts = {row.locator("td").first.inner_text(): row.locator("td").nth(1).inner_text() for row in rows.all()}
        assert counts == {"gpt-5": "2", "gpt-5-mini": "1"}
        assert "comes from the ledger by the hour" in page.locator("#told").inner_text()
        show(page, "#/llm?range=7d&refresh=off")
        assert "the older part from the ledger by the hour" in page.locator("#told").inner_text()
        page.close()
    ledger.close()
