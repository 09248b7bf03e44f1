"""One console: its stores, its evaluator, its rules, and the clock that feeds them."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tachograph.console.alertmanager import Alertmanager
from tachograph.console.calls import Call, from_record
from tachograph.console.ingest.ledger import LedgerFeed
from tachograph.console.ingest.pricing import ForeignPricer
from tachograph.console.ingest.registry import RegistryFeed
from tachograph.console.ingest.scrape import ScrapeTarget
from tachograph.console.metric_snapshots import MetricSnapshots
from tachograph.console.notify import Notifier
from tachograph.console.promql import Limits, PromQLEngine
from tachograph.console.query import Prometheus, Querier
from tachograph.console.rules import Group, Rule, Rules, stamp
from tachograph.console.store import CallStore
from tachograph.console.tsdb import TimeSeriesStore
from tachograph.records import LLMCall, ToolCall
from tachograph.signals.registry import Metrics

if TYPE_CHECKING:
    from tachograph.catalogue.rules import RuleGroup
    from tachograph.recorder import Recorder
    from tachograph.settings import Settings

logger = logging.getLogger("tachograph.console")

_LOOK_SECONDS = 2.0
"""How often new rows of a ledger are looked for; less often where that takes long."""
_STORED_SECONDS = 0.7
"""How soon the ledger's writer, in another process, has stored what it is asked for."""
ELSEWHERE_RESOLVED_SECONDS = 120.0
"""An alert of another process must be gone for so long before it counts as resolved: it is gone while that restarts."""


class Console:
    """Everything behind the page, without HTTP.

    Args:
        scrape: URLs of /metrics to scrape every `step_seconds`.
        prometheus_url: Ask this Prometheus instead of the own store.
        alertmanager_url: Silence alerts in this Alertmanager too, and show what it silences.
        data_dir: Where calls and traces are kept, and the metrics for the next start; None keeps all in memory.
        rule_groups: Alerting and recording rules to evaluate.
        retention_seconds, max_series: Bounds of the metrics in memory.
        max_calls: Bound of the calls on disk.
        service: Name of this process in calls that it hands over itself.
        settings: Of the project: its budgets, its dashboards' and rules' thresholds.
    """

    def __init__(
        self,
        *,
        scrape: Iterable[str] = (),
        prometheus_url: str | None = None,
        alertmanager_url: str | None = None,
        data_dir: Path | None = None,
        rule_groups: Iterable[Group] = (),
        step_seconds: float = 5.0,
        retention_seconds: float = 6 * 3600,
        max_series: int = 20_000,
        max_calls: int = 500_000,
        job: str = "tachograph",
        service: str = "",
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings
        self.pricer = ForeignPricer(settings.pricing.file if settings is not None else None)
        self.started = time.time()
        self.step_seconds = step_seconds
        self.service = service
        self.job = job
        self.targets = [ScrapeTarget(url, job=job) for url in scrape]
        rule_groups = list(rule_groups)
        ours = frozenset(rule.name for group in rule_groups for rule in group.rules if rule.alerting)
        self.prometheus = Prometheus(prometheus_url, ours) if prometheus_url else None
        self.alertmanager = Alertmanager(alertmanager_url) if alertmanager_url else None
        self.store = TimeSeriesStore(retention_seconds=retention_seconds, max_series=max_series)
        self.engine = PromQLEngine(
            self.store, Limits(max_samples=20_000_000, max_points=5_000_000, max_series=max_series)
        )
        self.calls = CallStore(None if data_dir is None else data_dir / "console.db", max_calls=max_calls)
        self.kept: MetricSnapshots | None = None
        if data_dir is not None and self.prometheus is None:
            self.kept = MetricSnapshots(data_dir / "metrics", self.store)
        self._loading = threading.Thread(target=self._load, name="tachograph-console-kept", daemon=True)
        self._loading.start()
        self.querier: Querier = self.prometheus or self.engine
        self.rules = Rules(rule_groups, self.querier, None if self.prometheus else self.store, self._applies)
        self.ledger: LedgerFeed | None = None
        self.otlp_sources: dict[str, float] = {}
        self._feeds: list[RegistryFeed] = []
        self._removers: list[Callable[[], None]] = []
        self._stop = threading.Event()
        self._workers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="tachograph-console-scrape")
        self._clock: threading.Thread | None = None
        self.notify_error = ""
        self.notifier: Notifier | None = None
        if settings is not None and settings.notify.receivers:
            self.notifier = self._notifier(settings, data_dir)

    # -- in the same process ----------------------------------------------------------------------------------

    def watch(self, metrics: Metrics, *, instance: str = "in-process") -> None:
        """Take a snapshot of a registry at every step."""
        self._feeds.append(RegistryFeed(self.store, metrics, job=self.job, instance=instance))

    def accept(self, record: LLMCall | ToolCall) -> None:
        """Take a finished record; a listener of the recorder, returns within microseconds."""
        self.calls.add_later(lambda: from_record(record, self.service))

    def listen(self, recorder: Recorder) -> None:
        """Watch a recorder: its metrics and its finished records."""
        self.watch(recorder.metrics)
        self._removers += [
            recorder.settle,
            recorder.add_listener(self.accept),
        ]  # at the end: what is on the tape, then no more

    def read_ledger(self, feed: LedgerFeed) -> None:
        """Copy calls from a ledger, from now on and those of the last day."""
        self.ledger = feed
        threading.Thread(target=self._follow_ledger, name="tachograph-console-ledger", daemon=True).start()

    def _follow_ledger(self) -> None:
        assert self.ledger is not None
        self.ledger.look()
        while not self._stop.is_set():
            self.ledger.ask()
            self._stop.wait(_STORED_SECONDS)
            began = time.monotonic()
            self.ledger.look()
            took = time.monotonic() - began
            self._stop.wait(min(max(_LOOK_SECONDS, 20 * took), self.step_seconds, 5.0))
        self.ledger.close()

    def _load(self) -> None:
        if self.kept is not None:
            try:
                self.kept.load()
            except Exception:
                logger.exception("tachograph console: the metrics of before could not be read")

    def _applies(self, rule: Rule) -> bool:
        """Whether a rule can give a result: where only spans or a ledger come, no target is missing."""
        return "absent(up{" not in rule.expr or bool(self.targets or self._feeds or self.prometheus)

    @property
    def is_loading(self) -> bool:
        """Whether the metrics of before the start are still being read: a second or two where there are many."""
        return self._loading.is_alive()

    def wait_until_loaded(self) -> None:
        """Wait for the metrics of before the start."""
        self._loading.join()

    # -- the clock --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start feeding and evaluating, every step."""
        if self._clock is None:
            self._clock = threading.Thread(target=self._run, name="tachograph-console-clock", daemon=True)
            self._clock.start()
            if self.notifier is not None:
                self.notifier.start()

    def _run(self) -> None:
        step = self.step_seconds
        while not self._stop.is_set():
            began = time.time()
            try:
                self.tick(int(began * 1000))
                if self.kept is not None:
                    self.kept.write_when_due()
            except Exception:
                logger.exception("tachograph console: a step failed and was skipped")
            self._stop.wait(max(0.05, step - (time.time() - began)))

    def tick(self, now: int | None = None) -> None:
        """Do what one step does: take snapshots, scrape, evaluate the rules that are due."""
        self.wait_until_loaded()
        at = int(time.time() * 1000) if now is None else now
        for feed in self._feeds:
            feed.feed(at)
        if self.targets:
            list(self._workers.map(lambda target: target.scrape(self.store, at), self.targets))
        if self.evaluates:
            self.rules.evaluate_due(at)
        if self.notifier is not None:
            self.notifier.ask()

    def close(self) -> None:
        """Stop, and write what is queued. A second close does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        for remove in self._removers:
            remove()
        if self._clock is not None:
            self._clock.join(10)
        if self.notifier is not None:
            self.notifier.close()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self.wait_until_loaded()
        if self.kept is not None:
            self.kept.close()
        self.calls.close()

    @property
    def closing(self) -> bool:
        """Whether the console is being closed."""
        return self._stop.is_set()

    # -- alerts -----------------------------------------------------------------------------------------------

    @property
    def evaluates(self) -> bool:
        """Whether the rules are evaluated here; otherwise a Prometheus does it, with rules of its own."""
        return self.prometheus is None or not self.prometheus.has_rules()

    @property
    def rules_told(self) -> str:
        """Where a Prometheus is asked: which rules are not evaluated, or not in full; "": there are none."""
        if self.prometheus is None:
            return ""
        if missing := self.prometheus.missing():
            return (
                f"The Prometheus at {self.prometheus.url} evaluates the alerts, and lacks {len(missing)} of them: "
                f"{', '.join(missing)}. Load what this version's `tachograph export` writes."
            )
        if not self.evaluates:
            return ""
        if not self.prometheus.answered:
            return f"The Prometheus at {self.prometheus.url} does not answer: no alert can be evaluated."
        names = [rule.name for group in self.rules.groups for rule in group.rules if rule.needs_recorded]
        return (
            f"The Prometheus at {self.prometheus.url} has none of these rules: they are evaluated from here. "
            f"{len(names)} of them compare with recorded series, which are not there, and see less or nothing: "
            f"{', '.join(dict.fromkeys(names))}. Load what `tachograph export` writes."
        )

    def _notifier(self, settings: Settings, data_dir: Path | None) -> Notifier | None:
        """What notifies people of alerts; None where no receiver is set, or another console of this directory does."""
        from tachograph.console.notify.source import AlertSource
        from tachograph.console.notify.state import State, StateTaken

        try:
            state = State(data_dir)
        except StateTaken as taken:
            logger.warning("tachograph console: no notifications are sent from here: %s", taken)
            self.notify_error = str(taken)
            return None
        source = AlertSource(self, state)
        source.restore(settings.notify.restart_grace, self.started)
        notifier = Notifier(
            settings.notify,
            settings.alerts.identity,
            state,
            source,
            resolve_after=0.0 if self.prometheus is None else ELSEWHERE_RESOLVED_SECONDS,
        )
        if self.prometheus is None:
            job, instance = f"{self.job}-console", "console"
            self._feeds.append(RegistryFeed(self.store, notifier.metrics, job=job, instance=instance))
        return notifier

    @cached_property
    def catalogue_rules(self) -> list[RuleGroup]:
        """The catalogue's rules by these settings, also where a Prometheus evaluates its own."""
        from tachograph import catalogue

        return catalogue.rule_groups(self.settings)

    def alert_rules(self) -> list[dict[str, Any]]:
        """Return the alerting rules in the shape of Prometheus' API: the real one's where it has rules, else ours."""
        if self.prometheus is not None and not self.evaluates:
            _, _, body = self.prometheus.forward("/api/v1/rules", [("type", "alert")])
            groups = json.loads(body)["data"]["groups"]
        else:
            groups = self.rules.described("alert")
        return [{**rule, "group": group["name"]} for group in groups for rule in group["rules"]]

    def alerts_now(self) -> list[dict[str, Any]]:
        """Return what fires or is about to, without what is silenced, the loudest first."""
        from tachograph.console.views.incident import alerts

        return [
            {name: rule[name] for name in ("name", "state", "labels", "since", "acknowledged")}
            | {"summary": rule["alerts"][0]["annotations"].get("summary", "") if rule["alerts"] else ""}
            for rule in alerts(self)
            if rule["state"] != "inactive" and not rule["silenced_until"] and rule["labels"].get("severity") != "none"
        ]

    def data_state(self) -> dict[str, Any]:
        """Say how fresh what is shown is: when the last call and the last metrics came, and what does not answer."""
        down = [t.url for t in self.targets if t.state.last_scrape and not t.state.up]
        newest = self.store.newest_sent / 1000 or None
        if self.alertmanager is not None and self.alertmanager.error:
            down.append(self.alertmanager.url)
        broken = [*down, *([self.ledger.url] if self.ledger is not None and self.ledger.last_error else [])]
        return {"newest_metrics": newest, "newest_call": self.calls.newest(), "broken": broken}

    def price_lines(self, call: Call) -> list[dict[str, Any]]:
        """Return what a call's tokens cost by kind; empty where no price is known."""
        return self.pricer.lines(call)

    # -- shown ------------------------------------------------------------------------------------------------

    def described_targets(self) -> list[dict[str, Any]]:
        """Return the scrape targets in the shape of Prometheus' API."""
        return [
            {
                "discoveredLabels": {"__address__": t.instance, "job": t.job},
                "labels": {"instance": t.instance, "job": t.job},
                "scrapePool": t.job,
                "scrapeUrl": t.url,
                "globalUrl": t.url,
                "lastError": t.state.last_error,
                "lastScrape": stamp(int(t.state.last_scrape * 1000)),
                "lastScrapeDuration": t.state.last_duration,
                "health": "up" if t.state.up else ("down" if t.state.last_scrape else "unknown"),
                "scrapeInterval": f"{self.step_seconds:g}s",
                "scrapeTimeout": f"{t.timeout:g}s",
            }
            for t in self.targets
        ]
