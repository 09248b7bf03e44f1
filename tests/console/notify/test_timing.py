"""What is sent when: grouping, deduplication, resolved notices, repeats, silences, retries. The clock is a number."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tachograph.console.notes import Silence, matchers_of
from tachograph.console.notify import Notifier
from tachograph.console.notify.delivery import DeliveryError
from tachograph.console.notify.message import Notification, NotifiedAlert
from tachograph.console.notify.notifier import Snapshot
from tachograph.console.notify.state import State
from tachograph.errors import SettingsError
from tachograph.settings import load
from tachograph.settings.notify import Receiver

START = 1_700_000_000.0


class World:
    """A notifier whose alerts, clock and receivers a test holds in its hands."""

    def __init__(self, directory: Path | None = None, **notify: Any) -> None:
        base = {"receivers": {"chat": {"kind": "slack", "url_env": "X"}, "pager": {"kind": "pagerduty"}}}
        self.settings = load({"notify": base | notify}, environ={}, read_file=False).notify
        self.directory = directory
        self.now = START
        self.firing: list[NotifiedAlert] = []
        self.silenced: set[str] = set()
        self.acknowledged: dict[str, float] = {}
        self.sent: list[tuple[float, Notification]] = []
        self.failures: list[DeliveryError] = []
        self.broken: Exception | None = None
        self.notifier = self._start()

    def _start(self) -> Notifier:
        return Notifier(
            self.settings, ("job",), State(self.directory), self._snapshot, deliver=self._deliver, resolve_after=0.0
        )

    def restart(self, after: float = 0.0) -> None:
        self.notifier.close()
        self.now += after
        self.notifier = self._start()

    def _snapshot(self) -> Snapshot:
        if self.broken is not None:
            raise self.broken
        return Snapshot(
            firing=tuple(self.firing),
            silences=tuple(Silence(self.now + 3600, matchers_of(name, "")) for name in self.silenced),
            acknowledged=tuple(self.acknowledged.items()),
        )

    def _deliver(self, settings: Receiver, notification: Notification, timeout: float) -> str:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((self.now - START, notification))
        return ""

    def run(self, seconds: float, step: float = 5.0) -> list[tuple[float, str, str, list[str]]]:
        """Let time pass; returns what was sent in it: when, to whom, what, about which alerts."""
        begin = len(self.sent)
        end = self.now + seconds
        while self.now < end:
            self.now += step
            self.notifier.look(self.now)
            self.notifier.deliver(self.now)
        return [(at, one.receiver, one.status, [alert.name for alert in one.alerts]) for at, one in self.sent[begin:]]

    def fire(self, name: str, severity: str = "critical", **labels: str) -> NotifiedAlert:
        own = {"alertname": name, "severity": severity, "component": "llm_provider", "job": "shop"} | labels
        alert = NotifiedAlert(labels=own, annotations={"summary": name}, since=self.now)
        self.firing.append(alert)
        return alert


@pytest.fixture
def world() -> Iterator[World]:
    """Everything goes to the chat alone."""
    found = World(receivers={"chat": {"kind": "slack", "url_env": "X"}})
    yield found
    found.notifier.close()


def test_alerts_that_come_together_make_one_notification(world: World) -> None:
    world.fire("LLMModelDown", provider="openai", model="a")
    world.run(10)
    world.fire("LLMModelDown", provider="openai", model="b")
    assert world.run(60) == [(35.0, "chat", "firing", ["LLMModelDown", "LLMModelDown"])]


def test_another_provider_and_another_job_have_their_own(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.fire("LLMModelDown", provider="gemini")
    world.fire("LLMModelDown", provider="gemini", job="staging")
    assert len(world.run(60)) == 3


def test_an_alert_that_goes_on_is_told_once_and_again_after_its_repeat_interval(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    assert [at for at, *_ in world.run(9 * 3600, step=30)] == [60.0, 14460.0, 28860.0]


def test_a_warning_is_repeated_daily_and_a_route_may_say_never() -> None:
    world = World(
        routes=[
            {"match": {"severity": "critical"}, "receivers": ["pager"], "repeat": "0s"},
            {"match": {"severity": "warning|info"}, "receivers": ["chat"], "repeat": "24h"},
        ]
    )
    world.fire("LLMModelDown", provider="openai")
    world.fire("LLMTokenSpike", "warning", provider="openai")
    assert [(at, to) for at, to, *_ in world.run(25 * 3600, step=60)] == [
        (120.0, "chat"),
        (120.0, "pager"),
        (86520.0, "chat"),
    ]


def test_the_end_is_told_once_and_nothing_after(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.run(60)
    world.firing.clear()
    assert world.run(7200) == [(335.0, "chat", "resolved", ["LLMModelDown"])]


def test_one_of_two_ends_and_the_group_stays_open(world: World) -> None:
    first = world.fire("LLMModelDown", provider="openai", model="a")
    world.fire("LLMModelDown", provider="openai", model="b")
    world.run(60)
    world.firing.remove(first)
    ((_, _, status, names),) = world.run(600)
    assert (status, names) == ("firing", ["LLMModelDown", "LLMModelDown"])
    assert [alert.resolved_at is not None for alert in world.sent[-1][1].alerts] == [False, True]


def test_an_alert_that_ends_before_it_is_told_is_never_told(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.run(20)
    world.firing.clear()
    assert world.run(3600) == []


def test_flapping_within_the_interval_is_one_trouble(world: World) -> None:
    alert = world.fire("LLMModelDown", provider="openai")
    world.run(60)
    for _ in range(4):
        world.firing.clear()
        world.run(30)
        world.firing.append(alert)
        world.run(30)
    assert len(world.sent) == 1


def test_a_new_alert_of_a_group_is_told_with_those_that_fire(world: World) -> None:
    world.fire("LLMModelDown", provider="openai", model="a")
    world.run(60)
    world.fire("LLMModelDown", provider="openai", model="b")
    assert world.run(600) == [(335.0, "chat", "firing", ["LLMModelDown", "LLMModelDown"])]


def test_a_consequence_keeps_silent_while_its_cause_fires(world: World) -> None:
    world.fire("LLMProviderDown", provider="openai")
    world.fire("LLMProviderErrorRatioHigh", "warning", provider="openai", model="a")
    world.fire("LLMProviderErrorRatioHigh", "warning", provider="gemini", model="a")
    told = world.run(120)
    assert sorted(names[0] for *_, names in told) == ["LLMProviderDown", "LLMProviderErrorRatioHigh"]
    (ratio,) = [one for _, one in world.sent if one.severity == "warning"]
    assert ratio.labels["provider"] == "gemini"


def test_a_burn_rate_over_days_keeps_nothing_new_silent(world: World) -> None:
    world.fire("LLMProviderErrorBudgetBurn", "warning", provider="openai", long="3d")
    world.fire("LLMProviderErrorRatioHigh", "warning", provider="openai", model="a")
    ((*_, names),) = world.run(120)
    assert len(names) == 2


def test_a_silence_stops_what_is_new_and_what_is_repeated_and_its_end_is_told(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.run(60)
    world.silenced.add("LLMModelDown")
    world.fire("LLMModelDown", provider="openai", model="b")
    assert world.run(6 * 3600, step=60) == []
    world.silenced.clear()
    ((*_, names),) = world.run(120)
    assert names == ["LLMModelDown", "LLMModelDown"]


def test_a_silenced_alert_that_was_told_is_told_when_it_ends_so_that_no_incident_stays_open(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.run(60)
    world.silenced.add("LLMModelDown")
    world.firing.clear()
    ((_, _, status, _),) = world.run(900)
    assert status == "resolved"


def test_an_acknowledged_alert_is_not_repeated_but_a_later_one_of_its_name_is_told(world: World) -> None:
    world.fire("LLMModelDown", provider="openai", model="a")
    world.run(60)
    world.acknowledged["LLMModelDown"] = world.now
    assert world.run(12 * 3600, step=60) == []
    world.fire("LLMModelDown", provider="openai", model="b")
    ((*_, names),) = world.run(900)
    assert names == ["LLMModelDown", "LLMModelDown"]


def test_the_watchdog_is_sent_only_where_a_route_names_it() -> None:
    world = World(receivers={"chat": {"kind": "slack", "url_env": "X"}})
    world.fire("LLMMonitorWatchdog", "none")
    assert world.run(120) == []
    routed = World(
        receivers={"deadman": {"kind": "webhook", "url": "http://127.0.0.1:1/"}},
        routes=[{"match": {"alertname": "LLMMonitorWatchdog"}, "receivers": ["deadman"], "wait": "0s", "repeat": "5m"}],
    )
    routed.fire("LLMMonitorWatchdog", "none")
    assert [at for at, *_ in routed.run(700)] == [5.0, 305.0, 605.0]


def test_a_route_by_a_label_of_yours_sends_a_team_its_alerts() -> None:
    world = World(
        routes=[
            {"match": {"team": "search"}, "receivers": ["pager"]},
            {"match": {"severity": "critical|warning"}, "receivers": ["chat"]},
        ]
    )
    world.fire("LLMModelDown", provider="openai", team="search")
    world.fire("LLMModelDown", provider="openai", team="ads")
    assert sorted((to, names) for _, to, _, names in world.run(60)) == [
        ("chat", ["LLMModelDown"]),
        ("pager", ["LLMModelDown"]),
    ]


def test_a_failure_is_tried_again_with_growing_waits_and_told_once(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.failures = [DeliveryError("down", is_temporary=True) for _ in range(4)]
    told = world.run(600)
    assert [at for at, *_ in told] == [35.0 + 5 + 10 + 20 + 40]
    assert world.notifier.described()["receivers"][0]["failing_since"] is None


def test_what_the_receiver_asks_for_is_waited(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.failures = [DeliveryError("429", is_temporary=True, retry_after_seconds=120)]
    assert [at for at, *_ in world.run(600)] == [155.0]


def test_a_wrong_key_is_tried_slowly_and_works_once_it_is_right(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.failures = [DeliveryError("401", is_temporary=False) for _ in range(3)]
    assert [at for at, *_ in world.run(3600)] == [35.0 + 60 + 120 + 240]


def test_a_failing_receiver_is_a_state_a_metric_and_one_log_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.failures = [DeliveryError("hooks.slack.com answered 503", is_temporary=True) for _ in range(50)]
    with caplog.at_level(logging.WARNING, "tachograph.notify"):
        world.run(300)
    (shown,) = world.notifier.described()["receivers"]
    assert (shown["last_error"], shown["failing_since"]) == ("hooks.slack.com answered 503", START + 35)
    assert [record.message for record in caplog.records] == [
        "tachograph notify: receiver chat does not accept notifications: hooks.slack.com answered 503"
    ]
    values = {
        (family.name, sample.labels): sample.value
        for family, samples in world.notifier.metrics.collect()
        for sample in samples
    }
    assert values["tachograph_notification_failing_seconds", ("chat",)] == 265.0
    assert values["tachograph_notifications_total", ("chat", "failed")] == 6
    world.failures.clear()
    with caplog.at_level(logging.WARNING, "tachograph.notify"):
        world.run(600)
    assert caplog.records[-1].message == "tachograph notify: receiver chat accepts notifications again"
    assert world.notifier.metrics.cell(_failing(), "chat").value == 0.0


def _failing() -> Any:
    from tachograph.signals.families import NOTIFICATION_FAILING

    return NOTIFICATION_FAILING


def test_one_receiver_that_fails_keeps_no_other_waiting() -> None:
    world = World(routes=[{"match": {"severity": "critical"}, "receivers": ["pager", "chat"]}])
    world.fire("LLMModelDown", provider="openai")
    world.failures = [DeliveryError("down", is_temporary=True)]
    assert [(at, to) for at, to, *_ in world.run(60)] == [(35.0, "pager"), (40.0, "chat")]


def test_no_news_is_not_the_end(world: World) -> None:
    world.fire("LLMModelDown", provider="openai")
    world.run(60)
    world.broken = OSError("the Prometheus does not answer")
    world.firing.clear()
    assert world.run(3600) == []
    assert world.notifier.described()["error"] == "OSError"


# -- restarts ---------------------------------------------------------------------------------------------------


def test_after_a_restart_nothing_is_told_twice_and_the_end_is_still_told(tmp_path: Path) -> None:
    world = World(tmp_path, receivers={"chat": {"kind": "slack", "url_env": "X"}})
    world.fire("LLMModelDown", provider="openai")
    world.run(60)
    for _ in range(5):
        world.restart(after=100)
        assert world.run(60) == []
    world.firing.clear()
    world.restart(after=10)
    ((_, _, status, names),) = world.run(900)
    assert (status, names) == ("resolved", ["LLMModelDown"])


def test_what_could_not_be_delivered_before_a_restart_is_delivered_after_it(tmp_path: Path) -> None:
    world = World(tmp_path, receivers={"chat": {"kind": "slack", "url_env": "X"}})
    world.fire("LLMModelDown", provider="openai")
    world.failures = [DeliveryError("down", is_temporary=True) for _ in range(100)]
    world.run(120)
    world.restart()
    assert world.notifier.described()["receivers"][0]["last_error"] == "down"
    world.failures.clear()
    assert len(world.run(600)) == 1


def test_a_resolved_notice_that_was_due_is_told_after_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path, receivers={"chat": {"kind": "slack", "url_env": "X"}})
    world.fire("LLMModelDown", provider="openai")
    world.run(60)
    world.firing.clear()
    world.run(30)
    world.restart()
    ((_, _, status, _),) = world.run(900)
    assert status == "resolved"


def test_a_process_that_dies_while_it_sends_says_that_the_next_may_be_a_copy(tmp_path: Path) -> None:
    world = World(tmp_path, receivers={"chat": {"kind": "slack", "url_env": "X"}})
    world.fire("LLMModelDown", provider="openai")
    world.run(30)

    class Killed(BaseException):
        """Nothing of ours catches this: the process is gone."""

    def die(settings: Receiver, notification: Notification, timeout: float) -> str:
        world.sent.append((0.0, notification))
        raise Killed

    world.notifier._deliver = die
    with pytest.raises(Killed):
        world.run(30)
    world.restart()
    world.run(60)
    first, second = (one for _, one in world.sent)
    assert (first.repeated, second.repeated) == (False, True)
    assert first.identity == second.identity
    assert any("may be a copy" in line for line in second.lines(second.firing[0]))


def test_what_is_over_and_told_is_forgotten_on_disk_too(tmp_path: Path) -> None:
    world = World(tmp_path, receivers={"chat": {"kind": "slack", "url_env": "X"}})
    world.fire("LLMModelDown", provider="openai")
    world.run(60)
    world.firing.clear()
    world.run(900)
    world.notifier.close()
    state = State(tmp_path)
    assert state.groups() == []
    state.close()


def test_a_second_console_of_the_same_directory_sends_nothing(tmp_path: Path) -> None:
    from tachograph.console.notify.state import StateTaken

    first = State(tmp_path)
    with pytest.raises(StateTaken):
        State(tmp_path)
    first.close()
    State(tmp_path).close()


def test_a_state_that_cannot_be_read_is_kept_aside_and_sending_goes_on(tmp_path: Path) -> None:
    (tmp_path / "notify.db").write_bytes(b"this is no database" * 1000)
    world = World(tmp_path, receivers={"chat": {"kind": "slack", "url_env": "X"}})
    world.fire("LLMModelDown", provider="openai")
    assert len(world.run(60)) == 1
    assert [path.name.split("-")[0] for path in tmp_path.glob("notify.db.*")] == ["notify.db.unreadable"]


def test_the_state_is_for_this_user_alone(tmp_path: Path) -> None:
    State(tmp_path).close()
    assert (tmp_path / "notify.db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("notify", "said"),
    [
        ({"routes": [{"receivers": ["absent"]}]}, "there is no receiver 'absent'"),
        ({"routes": [{"receivers": ["chat"]}]}, "no route leads to pager"),
    ],
)
def test_receivers_and_routes_that_do_not_fit_are_refused(notify: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        World(**notify)
