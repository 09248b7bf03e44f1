"""One of the demo's incidents, end to end.

Real calls against the simulators, a real scrape, a real Prometheus with the exported rules, a real Alertmanager with
the exported routes, and a webhook receiver in the place of the pager.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from tachograph.catalogue import durations
from tachograph.catalogue.push import interval
from tachograph.drill.stack import Intervals, PrometheusAlert, Stack
from tachograph.settings.alerts import AlertsSettings

if TYPE_CHECKING:
    from tachograph_demo.scenario import Demo

ALWAYS_RIGHT: Final = frozenset({"LLMMonitorWatchdog", "LLMCostBaselineTooShort"})
"""Alerts that any Prometheus fires that has just been started: it lives, and has no week of history."""
QUIET: Final = "quiet"
_LOOK_SECONDS: Final = 1.0
_TIMES: Final = re.compile(
    r"(\b(?:keep_firing_)?for: '?|\binterval: '?|\boffset |\[|(?<=[smhd]):)((?:\d+(?:ms|[smhd]))+)"
)
_COUNTED: Final = re.compile(r"([*/]) (30|120|300)\b")
"""What a rate is multiplied with for the number of events in its window, or in an interval."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline."""

    unix: float
    what: str
    alert: str = ""
    detail: str = ""


@dataclass(slots=True)
class Report:
    """What happened, and whether it is what should have.

    Attributes:
        incident: Its name, or `quiet`.
        began, ended: Unix times of the trouble; None for a quiet run.
        expected: Alerts that had to fire.
        allowed: Alerts that may fire besides.
        fired: First time that each alert fired.
        resolved: When each alert stopped, after the end.
        notified: First notification that named each alert, and its receiver.
        pages: Notifications that would have paged a person.
    """

    incident: str
    expected: tuple[str, ...]
    allowed: tuple[str, ...]
    began: float | None = None
    ended: float | None = None
    watched: float = 0.0
    timeline: list[Entry] = field(default_factory=list)
    fired: dict[str, float] = field(default_factory=dict)
    resolved: dict[str, float] = field(default_factory=dict)
    notified: dict[str, tuple[float, str]] = field(default_factory=dict)
    pages: int = 0
    still: set[str] = field(default_factory=set)

    @property
    def missing(self) -> list[str]:
        """Alerts that had to fire and did not."""
        return [name for name in self.expected if name not in self.fired]

    @property
    def wrong(self) -> list[str]:
        """Alerts that fired and should not have."""
        return [name for name in self.fired if name not in (*self.expected, *self.allowed)]

    @property
    def is_right(self) -> bool:
        """Whether the right alerts fired, no wrong one did, and all are resolved."""
        return not self.missing and not self.wrong and not self.still

    def seconds_to(self, name: str) -> float | None:
        """From the beginning of trouble until this alert fired."""
        if self.began is None or name not in self.fired:
            return None
        return self.fired[name] - self.began


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long to wait for what, in seconds.

    Attributes:
        warm_up: Normal traffic before the trouble.
        patience: Longest time from the beginning until all expected alerts have fired.
        recovery: Longest time from the end until all alerts are resolved; 0 does not wait.
        rate: LLM calls per second.
        speed: All durations of the rules and all intervals are divided by it; thresholds stay. Above 1 no call fails
            by chance: in a window of seconds one failure is a rate above a threshold.
        seed: Of the traffic.
    """

    warm_up: float = 180
    patience: float = 900
    recovery: float = 1200
    rate: float = 4.0
    speed: float = 1.0
    seed: int = 0


def hasten(rules: str, speed: float) -> str:
    """Rules with all windows, offsets, `for` and intervals divided by `speed`, and what makes counts of rates."""

    def shorter(found: re.Match[str]) -> str:
        return f"{found.group(1)}{round(durations.seconds(found.group(2)) / speed * 1000)}ms"

    rules = _TIMES.sub(shorter, rules)
    return _COUNTED.sub(lambda found: f"{found[1]} {durations.number(float(found[2]) / speed)}", rules)


async def replay(
    name: str,
    rules: Mapping[str, str],
    settings: AlertsSettings,
    plan: Plan,
    say: Callable[[Entry], None],
) -> Report:
    """Run one incident, or normal traffic for `plan.patience` when its name is `quiet`.

    Args:
        name: One of the demo's incidents, or `quiet`.
        rules: Rule files: name to text, as exported.
        settings: Job name, profile and intervals.
        plan: How long to wait for what.
        say: Called with each entry of the timeline as it happens.
    """
    from tachograph_demo.incidents import INCIDENTS
    from tachograph_demo.scenario import Demo

    kind = INCIDENTS.get(name)
    report = Report(name, kind.alerts if kind else (), kind.also if kind else ())
    watch = _Watch(report, say)
    if plan.speed != 1:
        rules = {path: hasten(text, plan.speed) for path, text in rules.items()}
    intervals = Intervals(
        scrape=settings.scrape_interval / plan.speed,
        evaluation=30 / plan.speed,
        group_wait=30 / plan.speed,
        group_interval=300 / plan.speed,
    )
    job = settings.job.split("|")[0]
    make = partial(Demo, rate=plan.rate, seed=plan.seed, budgets=(), ordinary_failures=plan.speed <= 1)
    if settings.profile == "push":
        async with _running(Stack(rules, {}, intervals, pushed=True)) as stack:
            with _pushing(stack.otlp_url, job, interval(settings) / plan.speed):
                async with make(metrics_port=None) as demo:
                    await demo.tools_ready()
                    await _play(demo, stack, name, plan, watch)
                    if demo.recorder.otlp is not None:
                        await asyncio.to_thread(demo.recorder.otlp.close)
        return report
    async with make() as demo:
        await demo.tools_ready()
        target = (demo.metrics_url or "").split("//")[-1].split("/")[0]
        async with _running(Stack(rules, {job: target}, intervals)) as stack:
            await _play(demo, stack, name, plan, watch)
    return report


@contextlib.asynccontextmanager
async def _running(stack: Stack) -> AsyncIterator[Stack]:
    await asyncio.to_thread(stack.__enter__)
    try:
        yield stack
    finally:
        await asyncio.to_thread(stack.__exit__, None, None, None)


@contextlib.contextmanager
def _pushing(url: str, service: str, seconds: float) -> Iterator[None]:
    """OpenTelemetry's variables of this process, for an application that is made inside the block."""
    ours = {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": str(round(seconds * 1000)),
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_SERVICE_NAME": service,
        "OTEL_SDK_DISABLED": "false",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


async def _play(demo: Demo, stack: Stack, name: str, plan: Plan, watch: _Watch) -> None:
    report = watch.report
    started = time.time()
    watch.add(Entry(started, f"normal traffic, {plan.rate:g} calls/s"))
    if name == QUIET:
        await _until(lambda: False, plan.patience, stack, watch)
        report.watched = time.time() - started
        return
    await _until(lambda: False, plan.warm_up / plan.speed, stack, watch)
    await demo.begin_incident(name)
    report.began = time.time()
    watch.add(Entry(report.began, f"trouble begins: {name}"))
    await _until(lambda: not report.missing and watch.all_notified, plan.patience / plan.speed, stack, watch)
    await demo.end_incident()
    report.ended = time.time()
    watch.add(Entry(report.ended, "trouble is over"))
    if plan.recovery:
        await _until(lambda: not watch.firing, plan.recovery / plan.speed, stack, watch)
        report.still = set(watch.firing)
    report.watched = time.time() - started


async def _until(done: Callable[[], bool], seconds: float, stack: Stack, watch: _Watch) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not done():
        await asyncio.sleep(_LOOK_SECONDS)
        watch.look(await asyncio.to_thread(stack.alerts), stack)


class _Watch:
    """Turns what Prometheus and Alertmanager show into the timeline."""

    def __init__(self, report: Report, say: Callable[[Entry], None]) -> None:
        self.report = report
        self.firing: set[str] = set()
        self._pending: set[str] = set()
        self._seen = 0
        self._say = say

    @property
    def all_notified(self) -> bool:
        """Whether a person has been notified: one of the expected alerts has been notified."""
        return any(name in self.report.notified for name in self.report.expected)

    def add(self, entry: Entry) -> None:
        self.report.timeline.append(entry)
        self._say(entry)

    def look(self, alerts: list[PrometheusAlert], stack: Stack) -> None:
        now = time.time()
        found = [alert for alert in alerts if alert.name not in ALWAYS_RIGHT]
        firing = {alert.name for alert in found if alert.state == "firing"}
        pending = {alert.name for alert in found} - firing
        for name in sorted(pending - self._pending - self.firing):
            self.add(Entry(now, "pending", name, _labels(found, name)))
        for name in sorted(firing - self.firing):
            self.report.fired.setdefault(name, now)
            self.add(Entry(now, "firing", name, _labels(found, name)))
        for name in sorted(self.firing - firing):
            self.report.resolved[name] = now
            self.add(Entry(now, "resolved", name))
        self.firing, self._pending = firing, pending
        self._hear(stack)

    def _hear(self, stack: Stack) -> None:
        received = stack.receiver.notifications[self._seen :]
        self._seen += len(received)
        for one in received:
            if one.receiver == "watchdog":
                continue
            names = sorted({alert for alert, status in one.alerts if status == one.status})
            for name in names:
                self.report.notified.setdefault(name, (one.unix, one.receiver))
            if one.receiver == "page" and one.status == "firing":
                self.report.pages += 1
            self.add(Entry(one.unix, f"{one.receiver}: {one.status}", ", ".join(names)))


def _labels(alerts: list[PrometheusAlert], name: str) -> str:
    boring = {"severity", "component", "instance", "job", "slo"}
    texts = {
        " ".join(f"{label}={value}" for label, value in alert.labels if label not in boring)
        for alert in alerts
        if alert.name == name
    }
    return "; ".join(sorted(texts))
