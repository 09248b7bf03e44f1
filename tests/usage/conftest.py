"""Stores for the ledger's tests: every test that asks for `store_url` runs on each store that can be had here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from support.postgres import PostgresServer, postgres_server

_databases = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests of this process."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where ClickHouse's engine keeps its data in this process; a process can have only one."""
    pytest.importorskip(
        "chdb", reason="ClickHouse's engine is not installed (555 MB): pip install chdb-core to have these tests"
    )
    return str(tmp_path_factory.mktemp("chdb"))


@pytest.fixture(params=["sqlite", "postgresql", "clickhouse"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, empty store, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    if request.param == "clickhouse":
        return f"clickhouse+chdb://{request.getfixturevalue('clickhouse')}?database=t{next(_databases)}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url()
