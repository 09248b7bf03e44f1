"""PagerDuty: the Events API v2.

Source: developer.pagerduty.com/docs/send-alert-event and github.com/PagerDuty/api-schema (events-v2), checked
2026-11-27. The same `dedup_key` updates and resolves one alert, so a copy makes no second page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from tachograph.console.notify.delivery import Post
from tachograph.console.notify.message import MAX_SHOWN, Notification, clip, text_of
from tachograph.settings.notify import PagerDuty

MAX_SUMMARY: Final = 1024
MAX_DETAIL: Final = 20_000
_SEVERITIES: Final = {"critical": "critical", "warning": "warning"}


def posts(settings: PagerDuty, notification: Notification, key: str) -> Iterator[Post]:
    """One event: `trigger` while anything of the group fires, then `resolve`."""
    event: dict[str, Any] = {
        "routing_key": key,
        "event_action": "trigger" if notification.firing else "resolve",
        "dedup_key": dedup_key(notification),
    }
    if notification.firing:
        first = notification.firing[0]
        where = notification.labels
        event["payload"] = {
            "summary": clip(notification.title, MAX_SUMMARY),
            "severity": _SEVERITIES.get(notification.severity, "info"),
            "source": first.labels.get("instance") or first.labels.get("job") or "tachograph",
            "timestamp": datetime.fromtimestamp(first.since, UTC).isoformat(timespec="milliseconds"),
            "component": first.labels.get("provider") or first.labels.get("server_id") or "tachograph",
            "group": ", ".join(f"{name}={value}" for name, value in where.items()) or "tachograph",
            "class": first.name,
            "custom_details": {
                "firing": clip(text_of(notification), MAX_DETAIL),
                "number_firing": len(notification.firing),
                "number_resolved": len(notification.resolved),
                "labels": first.labels,
            },
        }
        links = {
            url: f"{text} {alert.name}"
            for alert in notification.firing[:MAX_SHOWN]
            for text, url in notification.links(alert)
        }
        event["links"] = [{"href": url, "text": text} for url, text in links.items()]
        event["client"] = "Tachograph"
        if notification.console_url:
            event["client_url"] = notification.console_url
    yield Post(f"{settings.url.rstrip('/')}/v2/enqueue", event)


def dedup_key(notification: Notification) -> str:
    """The same for every event about one group: at most 255 characters."""
    return "tachograph-" + hashlib.sha256(notification.key.encode()).hexdigest()[:40]
