"""Which alert goes to which receivers, and in which group."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.export.alertmanager import GROUP_BY
from tachograph.console.notify.message import NotifiedAlert
from tachograph.errors import SettingsError
from tachograph.settings.notify import NotifySettings, Route

REPEAT: Final = {"critical": "4h", "warning|info": "24h"}
"""How often a notification is repeated by severity, where the settings have no routes."""


def routes_of(settings: NotifySettings) -> tuple[Route, ...]:
    """The routes of the settings, or those that send everything to every receiver.

    Raises:
        SettingsError: A route names a receiver that is not there, or nothing reaches a receiver.
    """
    everyone = tuple(settings.receivers)
    default = [Route(match={"severity": one}, receivers=everyone, repeat=often) for one, often in REPEAT.items()]
    routes = settings.routes or tuple(default)
    named = [name for route in routes for name in route.receivers]
    for name in named:
        if name not in settings.receivers:
            raise SettingsError(
                f"there is no receiver {name!r}",
                where="setting notify.routes",
                do=f"Known: {', '.join(everyone) or 'none'}. Receivers are tables [notify.receivers.NAME].",
            )
    unused = set(everyone) - set(named)
    if unused:
        raise SettingsError(
            f"no route leads to {', '.join(sorted(unused))}",
            where="setting notify.routes",
            do="Name it in a route's receivers, or remove the receiver.",
        )
    return routes


def route_of(alert: NotifiedAlert, routes: tuple[Route, ...]) -> Route | None:
    """The first route that matches; None: no notification."""
    for route in routes:
        if all(alert.labels.get(name, "") in wanted.split("|") for name, wanted in route.match.items()):
            return route
    return None


def group_of(alert: NotifiedAlert, route: Route, identity: tuple[str, ...]) -> dict[str, str]:
    """The labels that name the alert's group."""
    names = route.group_by if route.group_by is not None else (*identity, *GROUP_BY)
    return {name: alert.labels[name] for name in dict.fromkeys(names) if alert.labels.get(name)}
