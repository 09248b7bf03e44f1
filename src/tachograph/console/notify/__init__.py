"""Notifications about alerts, without Alertmanager.

`notifier.py` decides what is sent to whom and when, `state.py` keeps that across restarts, `routes.py` and
`inhibit.py` choose, `receivers/` has one file per kind of receiver, `delivery.py` sends over HTTP.
"""

from tachograph.console.notify.notifier import Notifier

__all__ = ["Notifier"]
