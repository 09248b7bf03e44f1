"""The demo's models: what they say, what they want, how they are limited; and the jobs that they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from tachograph.catalogue import alert_names
from tachograph_demo.incidents import INCIDENTS
from tachograph_demo.jobs import CALLS_PER_JOB, FAQ_CALLS, make_archive_job, make_job
from tachograph_demo.lineup import LINEUP
from tachograph_demo.scripted_model import RATE_LIMITS, SERVER_ERRORS, ScriptedModel
from tachograph_demo.servers import make_repository, server_configuration
from tachograph_demo.simulators import Answer, AskedRequest, Failure, ServedUsage, Simulators
from tachograph_demo.simulators.prices import cost_nano_usd
from tachograph_demo.simulators.seeded import number

TOOLS = {"weather": {}, "search_orders": {}, "get_current_time": {}}


def asked(n: int, **more: Any) -> AskedRequest:
    values: dict[str, Any] = {
        "vendor": "openai",
        "operation": "chat",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query": {},
        "headers": {},
        "body": {},
        "model": "gpt-5-mini",
        "is_stream": False,
        "occurrence": 0,
        "tools": {},
        "conversation": n,
        "tool_results": 0,
        "prompt_tokens": 100,
        "seed": number("test", n),
    }
    return AskedRequest(**{**values, **more})


def test_every_model_of_the_lineup_has_a_price_and_a_share() -> None:
    usage = ServedUsage(prompt=1000, completion=100)
    assert all(cost_nano_usd(m.provider, m.name, usage) for m in LINEUP)
    assert sum(m.share for m in LINEUP) == pytest.approx(1.0)
    assert {m.provider for m in LINEUP} == {"openai", "anthropic", "gemini"}


def test_ordinary_trouble_stays_below_one_in_a_hundred() -> None:
    model = ScriptedModel(seed=1)
    answers = [model.answer(asked(n)) for n in range(4000)]
    failed = sum(isinstance(item, Failure) for item in answers)
    assert 0 < failed < 4000 * 0.015
    assert SERVER_ERRORS < 0.01
    assert RATE_LIMITS < 0.05


def test_without_ordinary_trouble_nothing_fails() -> None:
    model = ScriptedModel(seed=1, ordinary_failures=False)
    assert not any(isinstance(model.answer(asked(n)), Failure) for n in range(4000))


def test_agents_call_tools_and_then_answer() -> None:
    model = ScriptedModel(seed=1, repo_path="/somewhere")
    for conversation in range(30):
        steps = 0
        for tool_results in range(10):
            item = model.answer(asked(conversation, tools=TOOLS, tool_results=tool_results, seed=2**60))
            assert isinstance(item, Answer)
            if not item.tool_calls:
                assert item.text
                break
            (call,) = item.tool_calls
            assert set(call.arguments) <= {"city", "days", "query", "limit", "timezone"}
            assert call.arguments
            steps += 1
        assert 1 <= steps <= 3


def test_the_same_conversation_gets_the_same_answer() -> None:
    assert ScriptedModel(seed=1).answer(asked(5)) == ScriptedModel(seed=1).answer(asked(5))
    assert ScriptedModel(seed=1).answer(asked(5)) != ScriptedModel(seed=2).answer(asked(5))


def test_rate_limit_headers_count_down(simulators: Simulators) -> None:
    model = ScriptedModel(seed=1, speed=0)
    model.attach(simulators)
    simulators.openai.always(Answer(text="x"))
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="k", max_retries=0)
    left = []
    for _ in range(3):
        raw = client.chat.completions.with_raw_response.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "x"}]
        )
        left.append(int(raw.headers["x-ratelimit-remaining-requests"]))
    assert left[0] <= 599
    assert left == sorted(left, reverse=True)
    model.exhaust("openai")
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": "x"}]
    )
    assert int(raw.headers["x-ratelimit-remaining-requests"]) < left[-1]


def test_jobs_repeat_with_the_seed_and_are_as_many_calls_as_planned() -> None:
    jobs = [make_job(3, n) for n in range(3000)]
    assert jobs[:50] == [make_job(3, n) for n in range(50)]
    assert jobs[:50] != [make_job(4, n) for n in range(50)]
    each = {"agent": 3, "faq": FAQ_CALLS}
    calls = sum(each.get(job.kind, len(job.turns)) for job in jobs)
    assert calls / len(jobs) == pytest.approx(CALLS_PER_JOB, rel=0.05)
    assert len(make_archive_job(3, 1).turns[0]) > 200_000


def test_the_repository_has_history_and_a_change(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    if repository is None:
        pytest.skip("git is not on PATH (apt install git): the demo then goes without its git server")
    assert (repository / ".git").is_dir()
    servers = server_configuration("http://127.0.0.1:1/mcp", repository)["mcpServers"]
    assert set(servers) == {"time", "workshop", "git"}
    assert set(server_configuration("http://127.0.0.1:1/mcp", None)["mcpServers"]) == {"time", "workshop"}


def test_every_alert_that_an_incident_promises_exists() -> None:
    known = set(alert_names())
    for incident in INCIDENTS.values():
        assert set(incident.alerts) | set(incident.also) <= known, incident.name
