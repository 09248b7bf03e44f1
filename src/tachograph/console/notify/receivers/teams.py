"""Microsoft Teams: an adaptive card for a workflow with the trigger "When a Teams webhook request is received".

Source: learn.microsoft.com/connectors/teams (adaptive card item schema) and
learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors, checked 2026-11-27. The old MessageCard form of
connectors is retired.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from tachograph.console.notify.delivery import Post
from tachograph.console.notify.message import MAX_SHOWN, Notification, clip
from tachograph.settings.notify import Teams

MAX_BYTES: Final = 28_000
"""A message may have 28 KB."""
MAX_TEXT: Final = 1500
_COLOURS: Final = {"critical": "Attention", "warning": "Warning"}


def posts(settings: Teams, notification: Notification, url: str) -> Iterator[Post]:
    """One card; as many alerts as fit."""
    for shown in range(min(len(notification.alerts), MAX_SHOWN), 0, -1):
        message = _message(notification, shown)
        if len(json.dumps(message).encode()) <= MAX_BYTES or shown == 1:
            yield Post(url, message)
            return


def _message(notification: Notification, shown: int) -> dict[str, Any]:
    colour = "Good" if not notification.firing else _COLOURS.get(notification.severity, "Default")
    title = {"size": "Medium", "weight": "Bolder", "style": "heading", "color": colour}
    body: list[dict[str, Any]] = [_block(notification.title, **title)]
    actions: dict[str, str] = {}
    for alert in notification.alerts[:shown]:
        state = "Resolved: " if alert.resolved_at is not None else ""
        body.append(_block(f"{state}{alert.title}", weight="Bolder", separator=True))
        body += [_block(line) for line in notification.lines(alert)]
        for text, address in notification.links(alert):
            actions.setdefault(address, f"{text} {alert.name}" if text != "Dashboard" else text)
    more = len(notification.alerts) - shown
    if more > 0:
        body.append(_block(f"{more} more alerts are not listed.", isSubtle=True))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": clip(text, 60), "url": at} for at, text in actions.items()][:6],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _block(text: str, **more: object) -> dict[str, Any]:
    return {"type": "TextBlock", "text": _escaped(clip(text, MAX_TEXT)), "wrap": True, **more}


def _escaped(text: str) -> str:
    """Text that Teams shows as it is: its TextBlocks read Markdown."""
    return re.sub(r"([\\`*_\[\]()#<>|~])", r"\\\1", text)
