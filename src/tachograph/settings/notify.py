"""Settings of the notifications that the console sends about alerts."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Duration = Annotated[str, msgspec.Meta(pattern=r"^(\d+(ms|[smhdwy]))+$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
HttpUrl = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s]+$")]


class Slack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="slack", tag_field="kind"):
    """A Slack channel, through an incoming webhook.

    Attributes:
        url_env: Environment variable that holds the webhook's URL.
        url_file: File that holds it.
    """

    url_env: str | None = None
    url_file: str | None = None


class Teams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="teams", tag_field="kind"):
    """A Microsoft Teams channel, through a workflow with the trigger "When a Teams webhook request is received".

    Attributes:
        url_env: Environment variable that holds the workflow's URL.
        url_file: File that holds it.
    """

    url_env: str | None = None
    url_file: str | None = None


class PagerDuty(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="pagerduty", tag_field="kind"
):
    """A PagerDuty service with an "Events API v2" integration.

    Attributes:
        key_env: Environment variable that holds the integration key.
        key_file: File that holds it.
        url: Another address of the API: `https://events.eu.pagerduty.com` in the EU.
    """

    key_env: str | None = None
    key_file: str | None = None
    url: HttpUrl = "https://events.pagerduty.com"


class Opsgenie(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="opsgenie", tag_field="kind"):
    """An Opsgenie team, through an API integration.

    Attributes:
        key_env: Environment variable that holds the API key.
        key_file: File that holds it.
        url: Another address of the API: `https://api.eu.opsgenie.com` in the EU.
        team: Name of the team that responds; the integration's own team unless given.
    """

    key_env: str | None = None
    key_file: str | None = None
    url: HttpUrl = "https://api.opsgenie.com"
    team: str | None = None


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="webhook", tag_field="kind"):
    """An HTTP server of yours; the body has the form of Alertmanager's webhook, version 4.

    Attributes:
        url: The address, where it holds no secret.
        url_env: Environment variable that holds the address.
        url_file: File that holds it.
        token_env: Environment variable that holds a token for the header `Authorization: Bearer`.
        token_file: File that holds it.
    """

    url: HttpUrl | None = None
    url_env: str | None = None
    url_file: str | None = None
    token_env: str | None = None
    token_file: str | None = None


class Email(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="email", tag_field="kind"):
    """Mail through an SMTP server.

    Attributes:
        to: Addresses that get the mail.
        sender: Address that it comes from.
        host: Name of the SMTP server.
        port: Its port; 587 with `starttls`, 465 with `tls`, 25 with `none` unless given.
        security: `starttls` (refused where the server does not offer it), `tls` from the first byte, or `none`.
        username: Log in by this name.
        password_env: Environment variable that holds the password.
        password_file: File that holds it.
    """

    to: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    sender: str
    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password_env: str | None = None
    password_file: str | None = None


Receiver = Slack | Teams | PagerDuty | Opsgenie | Webhook | Email


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts go to which receivers. An alert takes the first route that matches.

    Attributes:
        match: Labels that the alert must have, with their values; several values of one label joined by `|`.
        receivers: Names of receivers; none: these alerts are not sent.
        group_by: Alerts with the same values of these labels make one notification.
        wait: How long the first notification of a group waits for further alerts.
        interval: Least time between two notifications of one group.
        repeat: When a notification is sent again while its alerts still fire; `0s` never.
        resolved: Whether to say that alerts are resolved.
    """

    match: dict[str, str] = {}
    receivers: tuple[Name, ...]
    group_by: tuple[str, ...] | None = None
    wait: Duration = "30s"
    interval: Duration = "5m"
    repeat: Duration = "4h"
    resolved: bool = True


class NotifySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is notified of alerts without Alertmanager: by the console, or by `tachograph notify` where no page runs.

    Attributes:
        receivers: Where notifications go, as `[tool.tachograph.notify.receivers.NAME]` tables with a `kind`: `slack`,
            `teams`, `pagerduty`, `opsgenie`, `webhook` or `email` (docs/notifications.md lists their settings).
        routes: Which alerts go where, as `[[tool.tachograph.notify.routes]]` tables; without any, critical, warning
            and info alerts go to every receiver.
        console_url: Address under which people reach the console, for the links of notifications.
        timeout_seconds: How long one delivery may take.
        restart_grace: How long after a start an alert that fired before goes on firing without being seen, so that a
            restart resolves nothing.
    """

    receivers: dict[Name, Receiver] = {}
    routes: tuple[Route, ...] = ()
    console_url: str = ""
    timeout_seconds: Annotated[float, msgspec.Meta(ge=1, le=120)] = 10.0
    restart_grace: Duration = "10m"
