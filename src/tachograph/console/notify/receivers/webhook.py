"""A webhook of yours, in the form that Alertmanager sends: what reads that can read this.

Source: prometheus.io/docs/alerting/latest/configuration/#webhook_config, checked 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tachograph.console.notify.delivery import Post
from tachograph.console.notify.message import Notification, NotifiedAlert
from tachograph.settings.notify import Webhook


def posts(settings: Webhook, notification: Notification, url: str, token: str) -> Iterator[Post]:
    """One request; its header `Idempotency-Key` is the same for a copy."""
    headers = {"Idempotency-Key": notification.identity}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    alerts = notification.alerts
    body = {
        "version": "4",
        "groupKey": notification.key,
        "truncatedAlerts": 0,
        "status": notification.status,
        "receiver": notification.receiver,
        "groupLabels": notification.labels,
        "commonLabels": _common([alert.labels for alert in alerts]),
        "commonAnnotations": _common([alert.annotations for alert in alerts]),
        "externalURL": notification.console_url,
        "alerts": [_alert(alert, notification) for alert in alerts],
    }
    yield Post(url, body, headers)


def _alert(alert: NotifiedAlert, notification: Notification) -> dict[str, Any]:
    return {
        "status": "firing" if alert.resolved_at is None else "resolved",
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": _time(alert.since),
        "endsAt": "0001-01-01T00:00:00Z" if alert.resolved_at is None else _time(alert.resolved_at),
        "generatorURL": next((url for text, url in notification.links(alert) if text == "Incident"), ""),
        "fingerprint": alert.fingerprint,
    }


def _common(maps: list[dict[str, str]]) -> dict[str, str]:
    return {key: value for key, value in maps[0].items() if all(one.get(key) == value for one in maps)}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
