"""One file per kind of receiver: how a notification looks there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tachograph.console.notify import secrets
from tachograph.console.notify.delivery import DeliveryError, Post, send
from tachograph.console.notify.message import Notification
from tachograph.console.notify.receivers import email, opsgenie, pagerduty, slack, teams, webhook
from tachograph.settings import notify as kinds

_POSTS: Final[dict[type, Callable[..., Iterable[Post]]]] = {
    kinds.Slack: slack.posts,
    kinds.Teams: teams.posts,
    kinds.PagerDuty: pagerduty.posts,
    kinds.Opsgenie: opsgenie.posts,
    kinds.Webhook: webhook.posts,
}


def deliver(settings: kinds.Receiver, notification: Notification, timeout: float) -> str:
    """Send a notification to one receiver; returns what was not perfect about it, or nothing.

    Raises:
        DeliveryError: It was not accepted; the reason holds no secret.
    """
    held: tuple[str, ...] = ()
    try:
        held = _secrets(settings)
        if isinstance(settings, kinds.Email):
            return secrets.scrubbed(email.send(settings, notification, *held, timeout=timeout), held)
        for post in _POSTS[type(settings)](settings, notification, *held):
            send(post, timeout)
        return ""
    except secrets.SecretMissing as error:
        raise DeliveryError(str(error), is_temporary=False) from None
    except DeliveryError as error:
        raise DeliveryError(
            secrets.scrubbed(str(error), held),
            is_temporary=error.is_temporary,
            retry_after_seconds=error.retry_after_seconds,
        ) from None


def _secrets(settings: kinds.Receiver) -> tuple[str, ...]:
    """What the receiver's functions take after the notification."""
    match settings:
        case kinds.Slack() | kinds.Teams():
            return (secrets.read(settings, "url"),)
        case kinds.PagerDuty() | kinds.Opsgenie():
            return (secrets.read(settings, "key"),)
        case kinds.Webhook():
            url = settings.url or secrets.read(settings, "url")
            has_token = settings.token_env is not None or settings.token_file is not None
            return (url, secrets.read(settings, "token") if has_token else "")
        case kinds.Email():
            return (secrets.read(settings, "password") if settings.username is not None else "",)
