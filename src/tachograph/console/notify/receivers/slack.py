"""Slack: an incoming webhook with Block Kit.

Source: docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
docs.slack.dev/reference/block-kit/blocks, checked 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tachograph.console.notify.delivery import Post
from tachograph.console.notify.message import MAX_SHOWN, Notification, NotifiedAlert, clip
from tachograph.settings.notify import Slack

MAX_HEADER: Final = 150
MAX_SECTION: Final = 3000
MAX_TEXT: Final = 4000


def posts(settings: Slack, notification: Notification, url: str) -> Iterator[Post]:
    """One message with a header, a section per alert and their links."""
    header = {"type": "header", "text": {"type": "plain_text", "text": clip(notification.title, MAX_HEADER)}}
    blocks: list[dict[str, Any]] = [header]
    for alert in notification.alerts[:MAX_SHOWN]:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _section(notification, alert)}})
        links = " · ".join(f"<{_link(address)}|{text}>" for text, address in notification.links(alert))
        if links:
            blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": clip(links, MAX_SECTION)}]})
    more = len(notification.alerts) - MAX_SHOWN
    if more > 0:
        text = f"{more} more alerts are not listed."
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": text}]})
    yield Post(url, {"text": clip(_escaped(notification.title), MAX_TEXT), "blocks": blocks})


def _section(notification: Notification, alert: NotifiedAlert) -> str:
    title = _escaped(f"{'Resolved: ' if alert.resolved_at is not None else ''}{alert.title}")
    room = MAX_SECTION - 20
    lines = "\n".join(_escaped(line) for line in notification.lines(alert))
    return f"*{_whole(title, room // 2)}*\n{_whole(lines, room // 2)}"


def _whole(escaped: str, limit: int) -> str:
    """Clip without cutting through an entity such as `&amp;`."""
    cut = clip(escaped, limit)
    at = cut.rfind("&")
    return cut if at < 0 or ";" in cut[at:] else cut[:at] + "…"


def _escaped(text: str) -> str:
    """Text that Slack shows as it is: no mention, no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _link(url: str) -> str:
    return _escaped(url).replace("|", "%7C").replace(" ", "%20")
