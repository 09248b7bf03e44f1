"""Budgets: money is held for a call before it is sent and settled when it ends, over the processes of a host or fleet.

- `windows`: the time that a budget counts over
- `scope`: which calls it pays for, and whose account a call is on
- `estimate`: the largest likely cost of a call
- `accounts`: what all processes of this host have spent and reserved
- `fleet`: what this host may spend, leased from PostgreSQL
- `doubtful`: settings that do not do what they seem to say
- `guard`: joins them, and is what the recorder asks
"""

from tachograph.usage.budgets.guard import Budgets

__all__ = ["Budgets"]
