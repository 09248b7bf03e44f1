"""Decides what is sent to whom and when, and sends it.

A look (`look`) compares the alerts that fire with what each receiver was sent, and sets when each group is due. A
delivery (`deliver`) sends what is due. Looks run on one thread, deliveries on one thread per receiver, so a receiver
that hangs keeps neither the console nor another receiver waiting. Both take the time as an argument; only the threads
know a clock.

    new alert -> due after `wait`, or `interval` after the group's last notification
    resolved  -> the same; an alert that fires again before that was never gone
    unchanged -> due `repeat` after the last notification, unless it is acknowledged
    failed    -> due after a backoff, or when the receiver asked to come back
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from tachograph.catalogue import durations
from tachograph.console.notes import Silence
from tachograph.console.notify.delivery import DeliveryError
from tachograph.console.notify.inhibit import inhibited
from tachograph.console.notify.message import Notification, NotifiedAlert, by_severity
from tachograph.console.notify.receivers import deliver
from tachograph.console.notify.routes import group_of, route_of, routes_of
from tachograph.console.notify.state import AlertGroup, State
from tachograph.settings.notify import NotifySettings, Receiver, Route
from tachograph.signals.families import NOTIFICATION_FAILING, NOTIFICATIONS
from tachograph.signals.registry import Metrics

logger = logging.getLogger("tachograph.notify")

FIRST_RETRY: Final = 5.0
LAST_RETRY: Final = 300.0
FIRST_SLOW_RETRY: Final = 60.0
LAST_SLOW_RETRY: Final = 900.0
"""After an answer that does not end by waiting: a person has to change the key or the address, and then it goes on."""
KEEP_RESOLVED: Final = 86_400.0
"""A resolved notice that cannot be delivered for so long is dropped."""
IDLE_SECONDS: Final = 15.0

Deliver = Callable[[Receiver, Notification, float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The alerts at one moment.

    Attributes:
        firing: All that fire.
        silences: What people keep quiet.
        acknowledged: Since when the alerts of a name are acknowledged.
    """

    firing: tuple[NotifiedAlert, ...]
    silences: tuple[Silence, ...] = ()
    acknowledged: tuple[tuple[str, float], ...] = ()

    def is_silenced(self, alert: NotifiedAlert) -> bool:
        """Whether a person has silenced this alert."""
        return any(one.hides(alert.labels) for one in self.silences)

    def is_acknowledged(self, alert: NotifiedAlert) -> bool:
        """Whether a person has seen this alert: it began before the acknowledgement."""
        return any(name == alert.name and alert.since <= at for name, at in self.acknowledged)


@dataclass(slots=True)
class ReceiverState:
    """How a receiver does; times in seconds since 1970, None: never."""

    last_success: float | None = None
    failing_since: float | None = None
    last_error: str = ""
    last_warning: str = ""


class Notifier:
    """Notifies receivers of alerts.

    Args:
        settings: Receivers, routes and times.
        identity: The labels that say where an alert comes from.
        state: What was sent before.
        source: Gives the alerts; it may block and fail, then nothing changes. Called on the notifier's thread.
        resolve_after: How long an alert must be gone before it counts as resolved: where another process evaluates the
            rules, an alert is gone for a moment when that process restarts.
        deliver: Sends one notification; replaced by tests of timing.

    Raises:
        SettingsError: Receivers and routes do not fit together.
    """

    def __init__(
        self,
        settings: NotifySettings,
        identity: tuple[str, ...],
        state: State,
        source: Callable[[], Snapshot],
        *,
        resolve_after: float = 0.0,
        deliver: Deliver = deliver,
    ) -> None:
        self.settings = settings
        self.routes = routes_of(settings)
        self.metrics = Metrics((NOTIFICATIONS, NOTIFICATION_FAILING), limit=1000)
        self.receivers = {name: ReceiverState() for name in settings.receivers}
        self._identity = identity
        self._state = state
        self._source = source
        self._resolve_after = resolve_after
        self._deliver = deliver
        self._lock = threading.Lock()
        self._groups: dict[tuple[str, str], AlertGroup] = {(one.receiver, one.key): one for one in state.groups()}
        self._missing: dict[str, float] = {}
        self._unsaved: set[tuple[str, str]] = set()
        self._firing: dict[str, NotifiedAlert] = {}
        self._muted: set[str] = set()
        self._seen: set[str] = set()
        self._looked = False
        self._begun: dict[tuple[str, str], str] = {key: one.sending for key, one in self._groups.items() if one.sending}
        self._wake = threading.Condition(self._lock)
        self._asked = threading.Event()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.source_error = ""
        for name in settings.receivers:
            self.metrics.cell(NOTIFICATION_FAILING, name)
            for outcome in ("delivered", "failed"):
                self.metrics.cell(NOTIFICATIONS, name, outcome)
        for group in self._groups.values():
            if group.tries and group.receiver in self.receivers:
                known = self.receivers[group.receiver]
                known.last_error, known.failing_since = group.error, group.failing_since

    # -- looking ------------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Compare what fires with what was sent, and set when each group is due."""
        try:
            snapshot = self._source()
        except Exception as error:  # noqa: BLE001  # whatever the source is: no news is not "resolved"
            if type(error).__name__ != self.source_error:
                logger.error("tachograph notify: the alerts cannot be read: %s", type(error).__name__)
            self.source_error = type(error).__name__
            return
        self.source_error = ""
        hidden = set(inhibited(snapshot.firing, self._identity))
        with self._lock:
            self._firing = {alert.fingerprint: alert for alert in snapshot.firing}
            self._seen = {fp for fp, alert in self._firing.items() if snapshot.is_acknowledged(alert)}
            self._muted = hidden | {fp for fp, alert in self._firing.items() if snapshot.is_silenced(alert)}
            wanted = self._wanted(snapshot.firing)
            self._looked = True
            self._notice_gone(now)
            for key in set(wanted) | set(self._groups):
                self._schedule(key, wanted.get(key), now)
            self._save()
            self._show_failing(now)
            self._wake.notify_all()

    def _wanted(
        self, firing: Iterable[NotifiedAlert]
    ) -> dict[tuple[str, str], tuple[Route, dict[str, str], list[NotifiedAlert]]]:
        """What each receiver should know, by group."""
        found: dict[tuple[str, str], tuple[Route, dict[str, str], list[NotifiedAlert]]] = {}
        for alert in firing:
            route = route_of(alert, self.routes)
            if route is None:
                continue
            labels = group_of(alert, route, self._identity)
            key = _key(route, labels)
            for receiver in route.receivers:
                found.setdefault((receiver, key), (route, labels, []))[2].append(alert)
        return found

    def _notice_gone(self, now: float) -> None:
        """Move what was sent and no longer fires to `ended`, and what fires again back."""
        for key, group in self._groups.items():
            for fingerprint, alert in list(group.notified.items()):
                if fingerprint in self._firing:
                    self._missing.pop(fingerprint, None)
                elif now - self._missing.setdefault(fingerprint, now) >= self._resolve_after:
                    del group.notified[fingerprint]
                    group.ended[fingerprint] = _ended(alert, self._missing[fingerprint])
                    self._unsaved.add(key)
            for fingerprint in [fp for fp in group.ended if fp in self._firing]:
                group.notified[fingerprint] = self._firing[fingerprint]
                del group.ended[fingerprint]
                self._unsaved.add(key)
        still = {fp for group in self._groups.values() for fp in group.notified}
        self._missing = {fp: at for fp, at in self._missing.items() if fp in still}

    def _schedule(
        self, key: tuple[str, str], wanted: tuple[Route, dict[str, str], list[NotifiedAlert]] | None, now: float
    ) -> None:
        group = self._groups.get(key)
        route = next((one for one in self.routes if key[1].startswith(_key(one, None))), None)
        if route is None or key[0] not in route.receivers:
            self._forget(key)  # the settings have lost this route or receiver
            return
        new = self._news(group, wanted[2] if wanted is not None else [])
        if group is None:
            if not new:
                return
            assert wanted is not None
            group = self._groups[key] = AlertGroup(receiver=key[0], key=key[1], labels=wanted[1])
        if not route.resolved and group.ended:
            group.ended.clear()
            self._unsaved.add(key)
        if not (new or group.notified or group.ended or group.sending):
            self._forget(key)
            return
        due = self._due(group, route, now, has_news=bool(new or group.ended or self._unsilenced(group)))
        if due != group.due:
            group.due = due
            self._unsaved.add(key)

    def _due(self, group: AlertGroup, route: Route, now: float, *, has_news: bool) -> float | None:
        loud = any(fp not in self._muted and fp not in self._seen for fp in group.notified)
        if group.tries:
            return group.due if has_news or loud else None
        if has_news:
            soonest = now if group.sent_at is None else group.sent_at + durations.seconds(route.interval)
            due = max(now + durations.seconds(route.wait), soonest)
            return due if group.due is None else min(due, group.due)
        repeat = durations.seconds(route.repeat)
        return group.sent_at + repeat if repeat and loud and group.sent_at is not None else None

    def _unsilenced(self, group: AlertGroup) -> bool:
        """Whether a silence has ended and the alert still fires: people are notified again."""
        group.silenced = sorted(
            {*group.silenced, *(fp for fp in group.notified if fp in self._muted)} & set(group.notified)
        )
        return any(fp not in self._muted for fp in group.silenced)

    def _news(self, group: AlertGroup | None, alerts: Iterable[NotifiedAlert]) -> list[NotifiedAlert]:
        notified = group.notified if group is not None else {}
        return [
            alert
            for alert in alerts
            if alert.fingerprint not in notified
            and alert.fingerprint not in self._muted
            and alert.fingerprint not in self._seen
        ]

    def _forget(self, key: tuple[str, str]) -> None:
        if self._groups.pop(key, None) is not None:
            self._unsaved.add(key)

    # -- delivering ---------------------------------------------------------------------------------------------

    def deliver(self, now: float, receiver: str | None = None) -> int:
        """Send what is due, to one receiver or to all; returns how many notifications were accepted."""
        accepted = 0
        while self._looked:  # before the first look it is not known what fires
            with self._lock:
                key = min(
                    (k for k, one in self._groups.items() if _is_due(one, now) and receiver in (None, k[0])),
                    key=lambda k: (self._groups[k].due or 0.0, k),
                    default=None,
                )
                if key is None:
                    return accepted
                notification = self._compose(key, now)
                if notification is None:
                    continue
            accepted += self._send(key, notification, now)
        return accepted

    def _compose(self, key: tuple[str, str], now: float) -> Notification | None:
        """What is said now, noted as begun; None: there is nothing to say any more."""
        group = self._groups[key]
        known = {fp for fp in group.notified if fp in self._firing}
        fresh = {
            fp
            for fp, alert in self._firing.items()
            if fp not in known and self._belongs(alert, key) and fp not in self._muted and fp not in self._seen
        }
        firing = [self._firing[fp] for fp in known | fresh]
        if not firing and not group.ended:
            group.due = None
            self._unsaved.add(key)
            self._save()
            return None
        notification = Notification(
            receiver=group.receiver,
            key=group.key,
            labels=group.labels,
            firing=by_severity(firing),
            resolved=by_severity(list(group.ended.values())),
            at=now,
            console_url=self.settings.console_url,
            number=group.number,
        )
        repeated = self._begun.pop(key, "") == notification.identity
        group.sending = notification.identity
        self._unsaved.add(key)
        self._save()
        return replace(notification, repeated=repeated)

    def _belongs(self, alert: NotifiedAlert, key: tuple[str, str]) -> bool:
        route = route_of(alert, self.routes)
        if route is None or key[0] not in route.receivers:
            return False
        labels = group_of(alert, route, self._identity)
        return key[1] == _key(route, labels)

    def _send(self, key: tuple[str, str], notification: Notification, now: float) -> bool:
        error: DeliveryError | None = None
        warning = ""
        try:
            warning = self._deliver(self.settings.receivers[key[0]], notification, self.settings.timeout_seconds)
        except DeliveryError as failure:
            error = failure
        except Exception as failure:  # a defect of ours must not end the thread
            logger.exception("tachograph notify: a notification to %s could not be made", key[0])
            error = DeliveryError(f"it could not be made: {type(failure).__name__}", is_temporary=False)
        with self._lock:
            group = self._groups.get(key)
            if group is not None:
                group.sending = ""
                if error is None:
                    self._delivered(group, notification, now)
                else:
                    self._failed(group, error, now)
                self._unsaved.add(key)
                self._save()
            self._note(key[0], error, warning, now)
        return error is None

    def _delivered(self, group: AlertGroup, notification: Notification, now: float) -> None:
        group.notified = {alert.fingerprint: alert for alert in notification.firing}
        group.silenced = [fp for fp in group.silenced if fp in self._muted]
        for alert in notification.resolved:
            if group.ended.get(alert.fingerprint) == alert:
                del group.ended[alert.fingerprint]
        group.sent_at, group.due = now, None
        group.number += 1
        group.tries, group.error, group.failing_since = 0, "", None

    def _failed(self, group: AlertGroup, error: DeliveryError, now: float) -> None:
        first, last = (FIRST_RETRY, LAST_RETRY) if error.is_temporary else (FIRST_SLOW_RETRY, LAST_SLOW_RETRY)
        wait = min(first * 2 ** min(group.tries, 20), last)
        group.tries += 1
        group.failing_since = group.failing_since or now
        group.error = str(error)
        group.due = now + max(wait, error.retry_after_seconds or 0.0)
        for fingerprint, alert in list(group.ended.items()):
            if now - (alert.resolved_at or now) > KEEP_RESOLVED:
                logger.warning(
                    "tachograph notify: %s was never notified that %s is resolved", group.receiver, alert.name
                )
                del group.ended[fingerprint]

    def _note(self, name: str, error: DeliveryError | None, warning: str, now: float) -> None:
        """The receiver's state, its metric, and a log line when it begins or ends to fail."""
        state = self.receivers[name]
        self.metrics.cell(NOTIFICATIONS, name, "delivered" if error is None else "failed").add(1)
        if error is None:
            if state.failing_since is not None:
                logger.warning("tachograph notify: receiver %s accepts notifications again", name)
            if warning:
                logger.warning("tachograph notify: receiver %s: %s", name, warning)
            state.last_success, state.failing_since = now, None
            state.last_error, state.last_warning = "", warning
        else:
            if state.failing_since is None:
                state.failing_since = now
            if state.last_error != str(error):
                logger.error("tachograph notify: receiver %s does not accept notifications: %s", name, error)
            state.last_error = str(error)
        self._show_failing(now)

    def _show_failing(self, now: float) -> None:
        for name, state in self.receivers.items():
            since = state.failing_since
            self.metrics.cell(NOTIFICATION_FAILING, name).set(0.0 if since is None else max(now - since, 0.001))

    def _save(self) -> None:
        """Write what has changed; what the disk does not take now is written with the next change."""
        changed = [self._groups[key] for key in self._unsaved if key in self._groups]
        try:
            self._state.save(changed, [key for key in self._unsaved if key not in self._groups])
        except sqlite3.Error as error:
            logger.error("tachograph notify: what was sent cannot be kept: %s", error)
            return
        self._unsaved.clear()

    # -- shown --------------------------------------------------------------------------------------------------

    def described(self) -> dict[str, Any]:
        """The state of every receiver, for the console."""
        with self._lock:
            return {
                "receivers": [
                    {
                        "name": name,
                        "kind": self.settings.receivers[name].__struct_config__.tag,
                        "last_success": state.last_success,
                        "failing_since": state.failing_since,
                        "last_error": state.last_error or None,
                        "last_warning": state.last_warning or None,
                        "waiting": sum(one.due is not None for one in self._groups.values() if one.receiver == name),
                        "firing": sum(len(one.notified) for one in self._groups.values() if one.receiver == name),
                    }
                    for name, state in self.receivers.items()
                ],
                "error": self._state.error or self.source_error or None,
            }

    # -- threads ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Look and deliver on threads of its own."""
        names = list(self.settings.receivers)
        self._threads = [
            threading.Thread(target=self._looking, name="tachograph-notify", daemon=True),
            *(
                threading.Thread(target=self._delivering, args=(n,), name=f"tachograph-notify-{n}", daemon=True)
                for n in names
            ),
        ]
        for thread in self._threads:
            thread.start()

    def ask(self) -> None:
        """Have a look soon: the rules were evaluated. Returns at once."""
        self._asked.set()

    def _looking(self) -> None:
        while not self._stop.is_set():
            self._asked.wait(IDLE_SECONDS)
            self._asked.clear()
            if self._stop.is_set():
                return
            try:
                self.look(time.time())
            except Exception:
                logger.exception("tachograph notify: a look failed and is repeated")

    def _delivering(self, name: str) -> None:
        while not self._stop.is_set():
            try:
                self.deliver(time.time(), name)
            except Exception:
                logger.exception("tachograph notify: a delivery to %s failed and is repeated", name)
            with self._wake:
                due = min((g.due for g in self._groups.values() if g.receiver == name and g.due), default=None)
                wait = IDLE_SECONDS if due is None else min(max(due - time.time(), 0.05), IDLE_SECONDS)
                if not self._stop.is_set():
                    self._wake.wait(wait)

    def close(self) -> None:
        """Stop; a delivery that is under way may end within the time-out."""
        self._stop.set()
        self._asked.set()
        with self._wake:
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(self.settings.timeout_seconds + 2)
        with self._lock:
            self._save()
        self._state.close()


def _key(route: Route, labels: dict[str, str] | None) -> str:
    """A group's key: the route by what it matches, and the labels; without labels, how the route's keys begin."""
    match = json.dumps(route.match, sort_keys=True, ensure_ascii=False)
    return match + ("" if labels is None else json.dumps(labels, sort_keys=True, ensure_ascii=False))


def _is_due(group: AlertGroup, now: float) -> bool:
    return group.due is not None and group.due <= now


def _ended(alert: NotifiedAlert, at: float) -> NotifiedAlert:
    return msgspec.structs.replace(alert, resolved_at=at)
