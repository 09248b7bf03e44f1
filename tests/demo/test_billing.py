"""The vendors' usage and cost reports as the simulators tell them."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import anthropic
import openai
import pytest

from tachograph.usage.reconcile import anthropic as reconcile_anthropic
from tachograph.usage.reconcile import openai as reconcile_openai
from tachograph.usage.reconcile.bill import BillError
from tachograph_demo.incidents import INCIDENTS
from tachograph_demo.scripted_model import ScriptedModel
from tachograph_demo.simulators import Answer, BillEntry, RateLimited, ServedUsage, Simulators
from tachograph_demo.simulators.prices import cost_nano_usd

USAGE = ServedUsage(prompt=2000, completion=100, cache_read=1024)


def get(url: str, query: list[tuple[str, str]]) -> Any:
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}") as answer:
        return json.load(answer)


def test_openai_reports_what_was_served_and_what_was_added(simulators: Simulators) -> None:
    simulators.openai.script(Answer(usage=USAGE), Answer(usage=USAGE))
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="k", admin_api_key="k", max_retries=0)
    for _ in range(2):
        client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "x"}])
    today = datetime.now(UTC)
    simulators.openai.bill.add(
        BillEntry(day=(today - timedelta(days=9)).date(), model="gpt-5-mini", requests=3, usage=USAGE)
    )
    start = int((today - timedelta(days=9)).timestamp())
    usage = client.admin.organization.usage.completions(start_time=start, group_by=["model"], bucket_width="1d")
    assert (len(usage.data), usage.has_more) == (7, True)
    (first,) = usage.data[0].results
    rest = client.admin.organization.usage.completions(
        start_time=start, group_by=["model"], bucket_width="1d", page=usage.next_page or ""
    )
    assert rest.has_more is False
    (second,) = rest.data[-1].results
    seen = [(r.model, r.num_model_requests, r.input_tokens, r.input_cached_tokens) for r in (first, second)]  # type: ignore[union-attr]
    assert seen == [("gpt-5-mini", 3, 2000, 1024), ("gpt-5", 2, 4000, 2048)]
    costs = client.admin.organization.usage.costs(start_time=int(today.timestamp()), group_by=["line_item"])
    (line,) = costs.data[-1].results
    assert line.amount.value == pytest.approx(2 * (976 * 1.25 + 1024 * 0.125 + 100 * 10) / 1e6)  # type: ignore[union-attr]


def test_anthropic_reports_tokens_apart_and_costs_in_cents(simulators: Simulators) -> None:
    simulators.anthropic.script(Answer(usage=ServedUsage(prompt=300, completion=100, cache_write_1h=200)))
    client = anthropic.Anthropic(base_url=simulators.anthropic.url, api_key="k", max_retries=0)
    client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    root = f"{simulators.anthropic.url}/v1/organizations"
    start = ("starting_at", datetime.now(UTC).strftime("%Y-%m-%dT00:00:00Z"))
    (bucket,) = get(f"{root}/usage_report/messages", [start, ("group_by[]", "model")])["data"]
    (row,) = bucket["results"]
    assert (row["model"], row["uncached_input_tokens"], row["output_tokens"]) == ("claude-haiku-4-5", 100, 100)
    assert row["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 200}
    (bucket,) = get(f"{root}/cost_report", [start, ("group_by[]", "description")])["data"]
    (line,) = bucket["results"]
    assert float(line["amount"]) == pytest.approx((100 * 1 + 200 * 2 + 100 * 5) / 1e6 * 100)


def test_a_model_without_a_price_costs_nothing_known() -> None:
    assert cost_nano_usd("openai", "gpt-of-tomorrow", USAGE) is None


@pytest.mark.parametrize("name", ["rate-limit-storm", "provider-outage", "bad-key"])
async def test_reports_are_read_while_calls_are_in_trouble(simulators: Simulators, name: str) -> None:
    stage: Any = SimpleNamespace(simulators=simulators, model=ScriptedModel(seed=0))
    incident = INCIDENTS[name](stage)
    await incident.begin()
    now = datetime.now(UTC)
    for reports, url in ((reconcile_openai, simulators.openai.url), (reconcile_anthropic, simulators.anthropic.url)):
        await asyncio.to_thread(list, reports.billed(now - timedelta(days=1), now, key="k", base_url=url))
    await incident.end()


def test_a_report_that_is_still_limited_after_all_tries_says_so(simulators: Simulators) -> None:
    simulators.openai.rule(lambda _: RateLimited(retry_after=0.001))
    now = datetime.now(UTC)
    with pytest.raises(BillError, match="still answers 429 after"):
        list(reconcile_openai.billed(now - timedelta(days=1), now, key="k", base_url=simulators.openai.url))
