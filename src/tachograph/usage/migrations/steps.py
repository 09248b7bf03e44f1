"""What every revision does: run its statements for the store at hand."""

from __future__ import annotations

from importlib import import_module
from typing import Literal

from alembic import context, op


def run(version: str, direction: Literal["up", "down"]) -> None:
    """Run the statements of one version, in the direction given."""
    kind = context.config.attributes["kind"]
    module = import_module(f"tachograph.usage.stores.{'postgres' if kind == 'postgresql' else kind}_schema")
    (revision,) = (found for found in module.REVISIONS if found.version == version)
    for statement in getattr(revision, direction):
        op.get_bind().exec_driver_sql(statement)
