"""Silences made on the page are in a real Alertmanager, and its own show on the page."""

from __future__ import annotations

import json
import time
import urllib.request
from datetime import UTC, datetime
from typing import Any

import pytest

from support.alertmanager import alertmanager
from support.console_client import Client
from support.console_rules import groups_from
from support.ledgers import eventually
from tachograph.console import start
from tachograph.console.promql.labels import labels_of

PATH = "/api/console/alerts/LLMProviderAuthFailure/notes"


def _asked(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/api/v2/silences", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def _silenced(client: Client, name: str) -> float | None:
    rules = client.get("/api/console/alerts")["alerts"]
    found: float | None = next(rule for rule in rules if rule["name"] == name)["silenced_until"]
    return found


def test_a_silence_is_made_and_ended_in_the_alertmanager_and_its_own_are_shown() -> None:
    with alertmanager() as real, start(port=0, step_seconds=300, alertmanager=real.url) as served:
        client = Client(served.url, served.token)
        body = json.dumps({"kind": "silence", "minutes": 30, "text": "key is being replaced"}).encode()
        assert client.post(PATH, body, "application/json").status == 200
        (made,) = _asked(real.url)
        assert [(m["name"], m["value"], m["isRegex"]) for m in made["matchers"]] == [
            ("alertname", "LLMProviderAuthFailure", False)
        ]
        assert (made["comment"], made["createdBy"]) == ("key is being replaced", "tachograph console")
        assert _silenced(client, "LLMProviderAuthFailure") == pytest.approx(time.time() + 1800, abs=60)

        end = json.dumps({"kind": "silence", "minutes": 0}).encode()
        assert client.post(PATH, end, "application/json").status == 200
        assert [one["status"]["state"] for one in _asked(real.url)] == ["expired"]
        assert _silenced(client, "LLMProviderAuthFailure") is None

        now = time.time()
        starts, ends = (datetime.fromtimestamp(at, UTC).isoformat() for at in (now - 1, now + 600))
        for matchers in (
            [{"name": "alertname", "value": "LLMModelDown", "isRegex": False, "isEqual": True}],
            [{"name": "alertname", "value": "LLMCallsFailing", "isRegex": False, "isEqual": True},
             {"name": "model", "value": "gpt-5", "isRegex": False, "isEqual": True}],
            [{"name": "alertname", "value": "MCPServer.*", "isRegex": True, "isEqual": True},
             {"name": "severity", "value": "info", "isRegex": False, "isEqual": False}],
        ):  # fmt: skip
            _asked(real.url, {"matchers": matchers, "startsAt": starts, "endsAt": ends, "createdBy": "ann",
                              "comment": "maintenance"})  # fmt: skip
        assert served.console.alertmanager is not None
        served.console.alertmanager._looked = float("-inf")  # what it said last holds for five seconds
        eventually(lambda: _silenced(client, "LLMModelDown") is not None, "its own silence is shown")
        assert _silenced(client, "LLMCallsFailing") is None  # one model of it is silenced, not the alert
        assert _silenced(client, "MCPServerDown") == pytest.approx(now + 600, abs=1)  # by a regular expression
        assert _silenced(client, "LLMModelRejected") is None


def test_a_silence_of_some_alerts_by_a_regular_expression_is_made_shown_and_ended() -> None:
    with alertmanager() as real, start(port=0, step_seconds=300, alertmanager=real.url) as served:
        client = Client(served.url, served.token)
        rule = {"group": "g", "alert": "LLMProviderAuthFailure", "expr": "x > 5", "labels": {"severity": "critical"}}
        served.console.rules.groups[:] = groups_from([rule])
        now = int(time.time()) * 1000
        for model in ("gpt-5", "gpt-5-mini", "o3"):
            served.console.store.ingest(model, now, [(labels_of({"__name__": "x", "model": model}), 9.0)])
        served.console.rules.evaluate(served.console.rules.groups[0], now)

        where = 'model=~"gpt-.*"'
        body = json.dumps({"kind": "silence", "minutes": 30, "matchers": where}).encode()
        assert client.post(PATH, body, "application/json").status == 200
        (made,) = _asked(real.url)
        assert {(m["name"], m["value"], m["isRegex"]) for m in made["matchers"]} == {
            ("alertname", "LLMProviderAuthFailure", False), ("model", "gpt-.*", True),
        }  # fmt: skip
        (shown,) = client.get("/api/console/alerts")["alerts"]
        assert shown["silenced_until"] is None  # one of its alerts is not silenced, and comes first
        assert shown["alerts"][0]["labels"]["model"] == "o3"
        assert [a["silenced_until"] is None for a in shown["alerts"]] == [True, False, False]
        assert [(one["where"], one["here"]) for one in shown["silences"]] == [(where, True)]

        end = json.dumps({"kind": "silence", "minutes": 0, "matchers": where}).encode()
        assert client.post(PATH, end, "application/json").status == 200
        assert [one["status"]["state"] for one in _asked(real.url)] == ["expired"]
        assert client.get("/api/console/alerts")["alerts"][0]["silences"] == []

        bad = json.dumps({"kind": "silence", "minutes": 30, "matchers": 'model=~"("'}).encode()
        answer = client.post(PATH, bad, "application/json")
        assert answer.status == 400
        assert answer.json["error"]["where"] == "matchers"


def test_a_silence_that_the_alertmanager_does_not_take_is_not_shown_as_one() -> None:
    with start(port=0, step_seconds=300, alertmanager="http://127.0.0.1:1") as served:
        client = Client(served.url, served.token)
        body = json.dumps({"kind": "silence", "minutes": 30}).encode()
        answer = client.post(PATH, body, "application/json")
        assert answer.status == 502
        assert "the Alertmanager does not answer" in answer.json["error"]["what"]
        assert _silenced(client, "LLMProviderAuthFailure") is None
        assert "http://127.0.0.1:1" in client.get("/api/console/status")["data"]["broken"]
