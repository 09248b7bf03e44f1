"""Moving a store's tables between versions, with Alembic, under a lock, and only when asked to.

The statements are in `stores/*_schema.py`; `versions/` holds one Alembic revision per step, which runs them.
"""

from tachograph.usage.migrations.run import migrate

__all__ = ["migrate"]
