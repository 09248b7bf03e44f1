"""The console itself sends: its own rules, its silences, its restarts, its API; and `tachograph notify`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.console_client import Client
from support.console_rules import groups_from
from support.receivers import SECRETS, Failure, Vendor, vendor
from tachograph.cli import main
from tachograph.console import start
from tachograph.console.console import Console
from tachograph.settings import Settings, load

RULE = {
    "group": "test",
    "interval": "1s",
    "alert": "LLMModelDown",
    "expr": "trouble > 0",
    "for": "10s",
    "keep_firing_for": "5s",
    "labels": {"severity": "critical", "component": "llm_provider"},
    "annotations": {"summary": "{{ $labels.provider }} is down", "runbook_url": "https://wiki.example/down"},
}
T0 = 1_700_000_000_000


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    with vendor("webhook") as served:
        for name, value in served.environment().items():
            monkeypatch.setenv(name, value)
        yield served


def settings_for(hook: Vendor, **route: Any) -> Settings:
    routes = [{"receivers": ["it"], "wait": "0s", "interval": "0s", **route}]
    notify = {"receivers": {"it": hook.settings()}, "routes": routes}
    return load({"notify": notify}, environ={}, read_file=False)


class Driven:
    """A console whose clock a test turns: one series `trouble`, one rule."""

    def __init__(self, hook: Vendor, directory: Path | None, **route: Any) -> None:
        self.settings, self.directory, self.now = settings_for(hook, **route), directory, T0
        self.console = self._make()

    def _make(self) -> Console:
        return Console(rule_groups=groups_from([RULE]), data_dir=self.directory, settings=self.settings)

    def step(self, trouble: float | None, seconds: int = 5) -> None:
        """Let seconds pass with the series at a value, or without it."""
        for _ in range(seconds):
            self.now += 1000
            samples = [] if trouble is None else [((("__name__", "trouble"), ("provider", "openai")), trouble)]
            self.console.store.ingest("test", self.now, samples)
            self.console.tick(self.now)
            assert self.console.notifier is not None
            self.console.notifier.look(self.now / 1000)
            self.console.notifier.deliver(self.now / 1000)

    def restart(self, after: int = 0) -> None:
        self.console.close()
        self.now += after * 1000
        self.console = self._make()
        self.console.started = self.now / 1000


@pytest.fixture
def driven(hook: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driven]:
    made: list[Driven] = []
    monkeypatch.setattr(time, "time", lambda: made[0].now / 1000 if made else T0 / 1000)
    made.append(Driven(hook, tmp_path))
    yield made[0]
    made[0].console.close()


def test_a_rule_of_the_console_that_fires_is_told_and_its_end_too(driven: Driven, hook: Vendor) -> None:
    driven.step(1, 9)
    assert hook.accepted == []
    driven.step(1, 4)
    driven.step(1, 60)
    (body,) = hook.bodies
    assert (body["status"], body["alerts"][0]["annotations"]["summary"]) == ("firing", "openai is down")
    assert body["alerts"][0]["startsAt"] == "2023-11-14T22:13:21.000Z"
    driven.step(0, 4)
    assert len(hook.bodies) == 1  # keep_firing_for
    driven.step(0, 10)
    assert [body["status"] for body in hook.bodies] == ["firing", "resolved"]


def test_a_restart_of_the_console_tells_nothing_twice_and_forgets_nothing(driven: Driven, hook: Vendor) -> None:
    driven.step(1, 20)
    for _ in range(3):
        driven.restart(after=120)
        driven.step(None, 3)  # nothing is scraped yet
        driven.step(1, 5)
    assert [body["status"] for body in hook.bodies] == ["firing"]
    driven.restart(after=30)
    driven.step(0, 590)
    assert len(hook.bodies) == 1  # it may be that the series has not come back yet
    driven.step(0, 30)
    assert [body["status"] for body in hook.bodies] == ["firing", "resolved"]
    assert hook.bodies[1]["alerts"][0]["startsAt"] == hook.bodies[0]["alerts"][0]["startsAt"]


def test_a_restart_does_not_begin_the_wait_of_a_pending_alert_again(driven: Driven, hook: Vendor) -> None:
    driven.step(1, 6)
    driven.restart(after=2)
    driven.step(1, 5)
    assert [body["status"] for body in hook.bodies] == ["firing"]


def test_a_silence_in_the_console_stops_notifications_and_can_be_taken_back(driven: Driven, hook: Vendor) -> None:
    driven.console.calls.note("LLMModelDown", "silence", driven.now / 1000 + 3600, "maintenance")
    driven.step(1, 60)
    assert hook.accepted == []
    driven.now += 1000
    driven.console.calls.note("LLMModelDown", "silence", driven.now / 1000, "done")
    driven.step(1, 5)
    assert [body["status"] for body in hook.bodies] == ["firing"]


def test_a_silence_of_other_alerts_of_the_name_stops_nothing(driven: Driven, hook: Vendor) -> None:
    until = driven.now / 1000 + 3600
    driven.console.calls.note("LLMModelDown", "silence", until, "", 'job=~"other.*"')
    driven.step(1, 60)
    assert [body["status"] for body in hook.bodies] == ["firing"]


def test_an_acknowledgement_in_the_console_stops_repeats(hook: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    driven = Driven(hook, None, repeat="30s")
    monkeypatch.setattr(time, "time", lambda: driven.now / 1000)
    driven.step(1, 50)
    assert len(hook.bodies) == 2
    driven.console.calls.note("LLMModelDown", "acknowledge", 0.0, "looking")
    driven.step(1, 120)
    assert len(hook.bodies) == 2
    driven.console.close()


def test_a_failing_receiver_is_in_the_console_and_in_its_metrics(driven: Driven, hook: Vendor) -> None:
    hook.failures.extend(Failure(503) for _ in range(9))
    driven.step(1, 30)
    assert driven.console.notifier is not None
    (shown,) = driven.console.notifier.described()["receivers"]
    assert shown["last_error"] == "127.0.0.1 answered 503 Service Unavailable"
    result = driven.console.querier.instant("tachograph_notification_failing_seconds", driven.now)
    ((labels, _, values),) = result.series
    assert dict(labels) == {
        "__name__": "tachograph_notification_failing_seconds",
        "instance": "console",
        "job": "tachograph-console",
        "receiver": "it",
    }
    assert 15 < values[0] < 30


def _until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def test_a_served_console_sends_on_its_own_threads_and_says_so(hook: Vendor, tmp_path: Path) -> None:
    settings = settings_for(hook, match={"alertname": "LLMMonitorWatchdog"})
    with start(port=0, settings=settings, data_dir=tmp_path, step_seconds=0.2) as running:
        _until(lambda: bool(hook.bodies))
        client = Client(running.url, running.token)
        _until(
            lambda: (
                client.request("GET", "/api/console/status").json["notify"]["receivers"][0]["last_success"] is not None
            )
        )
        (shown,) = client.request("GET", "/api/console/status").json["notify"]["receivers"]
        assert (shown["name"], shown["kind"], shown["last_error"]) == ("it", "webhook", None)
        exposed = client.request("GET", "/metrics").body.decode()
        assert 'tachograph_notifications_total{receiver="it",outcome="delivered"} 1' in exposed
        assert 'tachograph_notification_failing_seconds{receiver="it"} 0' in exposed
        assert client.request("GET", "/metrics", login=False).status != 200
        second = start(port=0, settings=settings, data_dir=tmp_path, step_seconds=0.2)
        with second:
            told = Client(second.url, second.token).request("GET", "/api/console/status").json["notify"]
        assert told == {"receivers": [], "error": f"another console of {tmp_path} sends notifications"}
    assert len(hook.bodies) == 1


def test_a_receiver_that_hangs_does_not_hold_the_console(hook: Vendor, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts, and never answers
        notify = {
            "receivers": {
                "deaf": {"kind": "webhook", "url": f"http://127.0.0.1:{deaf.getsockname()[1]}/"},
                "it": hook.settings(),
            },
            "routes": [{"match": {"alertname": "LLMMonitorWatchdog"}, "receivers": ["deaf", "it"], "wait": "0s"}],
            "timeout_seconds": 1,
        }
        settings = load({"notify": notify}, environ={}, read_file=False)
        with start(port=0, settings=settings, data_dir=tmp_path, step_seconds=0.2) as running:
            notifier = running.console.notifier
            assert notifier is not None
            _until(lambda: bool(hook.bodies))
            _until(lambda: notifier.described()["receivers"][0]["last_error"] is not None)
            assert notifier.described()["receivers"][0]["last_error"] == "127.0.0.1: no answer in time"


# -- the command ------------------------------------------------------------------------------------------------


def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    path = tmp_path / "tachograph.toml"
    path.write_text(text)
    monkeypatch.setenv("TACHOGRAPH_CONFIG", str(path))
    return path


@pytest.mark.parametrize("kind", ["slack", "teams", "pagerduty", "opsgenie", "webhook"])
def test_notify_test_sends_a_test_alert_and_its_end(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with vendor(kind) as served:
        table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in served.settings().items())
        _config(tmp_path, monkeypatch, f"[notify.receivers.it]\n{table}\n")
        for name, value in served.environment().items():
            monkeypatch.setenv(name, value)
        assert main(["notify", "--test"]) == 0
        assert capsys.readouterr().out == f"it ({kind}): delivered a test alert and its resolved notice\n"
        assert (len(served.accepted), served.complaints) == (2, [])
        served.failures.append(Failure(401, body=f"wrong {SECRETS[kind]}"))
        assert main(["notify", "--test", "it"]) == 1
        said = capsys.readouterr()
        assert "it (" + kind + "): not delivered: 127.0.0.1 answered 401 Unauthorized: wrong" in said.err
        assert SECRETS[kind] not in said.out + said.err


def test_no_secret_stands_in_the_settings_as_they_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "webhook-url"
    secret.write_text("https://hooks.slack.com/services/T0/B0/very-secret\n")
    _config(tmp_path, monkeypatch, f'[notify.receivers.it]\nkind = "slack"\nurl_file = "{secret}"\n')
    assert main(["settings"]) == 0
    assert main(["settings", "--json"]) == 0
    shown = capsys.readouterr().out
    assert "very-secret" not in shown
    assert str(secret) in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[notify.receivers.it]\nkind = "slack"\nurl = "https://hooks.slack.com/very-secret"', "has no setting url"),
        ('[notify.receivers.it]\nkind = "pager"\nkey = "very-secret"', "invalid value 'pager'"),
        ("[notify.receivers]\n", "no receiver is set"),
        ('[notify.receivers.it]\nkind = "slack"\n', "there is nothing to look at"),
    ],
)
def test_a_wrong_table_is_refused_in_words_and_not_repeated(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _config(tmp_path, monkeypatch, text)
    assert main(["notify"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "very-secret" not in err


def test_an_unknown_receiver_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _config(tmp_path, monkeypatch, '[notify.receivers.it]\nkind = "slack"\nurl_env = "X"\n')
    assert main(["notify", "--test", "other"]) == 2
    assert "there is no receiver 'other'" in capsys.readouterr().err


def test_headless_it_tells_that_a_target_is_down_and_a_signal_stops_it(hook: Vendor, tmp_path: Path) -> None:
    (tmp_path / "tachograph.toml").write_text(
        f"""
[notify.receivers.it]
kind = "webhook"
url = "{hook.url}/hook"
token_env = "TEST_WEBHOOK"
[[notify.routes]]
match = {{ alertname = "LLMMonitorTargetDown|LLMMonitorWatchdog" }}
receivers = ["it"]
wait = "0s"
"""
    )
    environment = {**os.environ, **hook.environment(), "TACHOGRAPH_CONFIG": str(tmp_path / "tachograph.toml")}
    command = [sys.executable, "-m", "tachograph", "notify", "--scrape", "http://127.0.0.1:1/metrics", "--step", "0.5"]
    process = subprocess.Popen([*command, "--data-dir", str(tmp_path / "data")], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    try:
        _until(lambda: bool(hook.bodies), 60)
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out == "Tachograph sends alerts to: it. Stop it with Ctrl-C.\n"
    assert hook.bodies[0]["alerts"][0]["labels"]["alertname"] == "LLMMonitorWatchdog"
