"""Opsgenie: the Alert API, create and close by alias.

Source: docs.opsgenie.com/docs/alert-api, checked 2026-11-27. An alias that is open takes a copy as a count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tachograph.console.notify.delivery import Post
from tachograph.console.notify.message import Notification, clip, text_of
from tachograph.console.notify.receivers.pagerduty import dedup_key
from tachograph.settings.notify import Opsgenie

MAX_MESSAGE: Final = 130
MAX_DESCRIPTION: Final = 15_000
MAX_DETAILS: Final = 8000
MAX_ENTITY: Final = 512
MAX_TAGS: Final = 20
MAX_TAG: Final = 50
_PRIORITIES: Final = {"critical": "P1", "warning": "P3", "info": "P5"}


def posts(settings: Opsgenie, notification: Notification, key: str) -> Iterator[Post]:
    """Create an alert (or count a copy of it), or close it."""
    base = f"{settings.url.rstrip('/')}/v2/alerts"
    headers = {"Authorization": f"GenieKey {key}"}
    alias = dedup_key(notification)
    if not notification.firing:
        closing = {"source": "Tachograph", "note": clip(text_of(notification), MAX_DESCRIPTION)}
        yield Post(f"{base}/{alias}/close?identifierType=alias", closing, headers)
        return
    first = notification.firing[0]
    tags = dict.fromkeys(clip(tag, MAX_TAG) for alert in notification.firing for tag in (alert.name, alert.severity))
    body: dict[str, Any] = {
        "message": clip(notification.title, MAX_MESSAGE),
        "alias": alias,
        "description": clip(text_of(notification), MAX_DESCRIPTION),
        "tags": list(tags)[:MAX_TAGS],
        "details": _details(first.labels, dict(notification.links(first))),
        "entity": clip(first.labels.get("provider") or first.labels.get("server_id") or "tachograph", MAX_ENTITY),
        "source": "Tachograph",
        "priority": _PRIORITIES.get(notification.severity, "P5"),
    }
    if settings.team is not None:
        body["responders"] = [{"name": settings.team, "type": "team"}]
    yield Post(base, body, headers)


def _details(labels: dict[str, str], links: dict[str, str]) -> dict[str, Any]:
    """Labels and links, as many as fit."""
    found: dict[str, str] = {}
    room = MAX_DETAILS
    for name, value in {**links, **labels}.items():
        room -= len(name) + len(value)
        if room < 0:
            break
        found[name] = value
    return found
