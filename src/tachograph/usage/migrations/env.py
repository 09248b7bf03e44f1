"""Alembic's environment: the connection is `run.migrate`'s, with its lock and its transaction."""

from __future__ import annotations

from alembic import context

from tachograph.usage.stores.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=context.config.attributes["kind"] != "clickhouse",
)
with context.begin_transaction():
    context.run_migrations()
