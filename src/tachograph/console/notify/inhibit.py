"""Which firing alerts are not sent because another one that fires says it already: the catalogue's inhibitions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tachograph.catalogue.export.alertmanager import INHIBITIONS, Inhibition, equal
from tachograph.console.notify.message import NotifiedAlert

_MATCHER: Final = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')


def inhibited(alerts: Iterable[NotifiedAlert], identity: tuple[str, ...]) -> dict[str, str]:
    """Fingerprints of the alerts that are inhibited, with the name of the alert that does it."""
    by_name: dict[str, list[NotifiedAlert]] = {}
    for alert in alerts:
        by_name.setdefault(alert.name, []).append(alert)
    found: dict[str, str] = {}
    for rule in INHIBITIONS:
        sources = [one for one in by_name.get(rule.source, ()) if _matches(rule.source_matchers, one)]
        if not sources:
            continue
        same = equal(rule, identity)
        keys = {_values(source, same) for source in sources}
        for target in _targets(rule, by_name):
            if _values(target, same) in keys:
                found.setdefault(target.fingerprint, rule.source)
    return found


def _targets(rule: Inhibition, by_name: dict[str, list[NotifiedAlert]]) -> list[NotifiedAlert]:
    return [
        target
        for name in rule.targets
        if name != rule.source
        for target in by_name.get(name, ())
        if _matches(rule.target_matchers, target)
    ]


def _values(alert: NotifiedAlert, names: Iterable[str]) -> tuple[str, ...]:
    """The values that must be equal; a label that is not there is an empty one, as in Alertmanager."""
    return tuple(alert.labels.get(name, "") for name in names)


def _matches(matchers: Iterable[str], alert: NotifiedAlert) -> bool:
    for matcher in matchers:
        found = _MATCHER.fullmatch(matcher)
        assert found is not None, matcher
        name, operator, wanted = found.groups()
        value = alert.labels.get(name, "")
        hit = re.fullmatch(wanted, value) is not None if "~" in operator else value == wanted
        if hit == operator.startswith("!"):
            return False
    return True
