"""A short torture: producers and the writer are killed at random, and every accepted record is in the store once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.postgres import PostgresServer
from support.torture import Result, Torture

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX thing")


def check(result: Result, rate: float) -> None:
    assert result.problems == []
    assert result.missing == 0
    assert result.refused == 0
    assert result.stored == result.accepted + result.unacknowledged
    assert result.unacknowledged <= result.producer_kills
    assert result.rate > rate


def test_no_kill_loses_or_doubles_a_record_in_sqlite(tmp_path: Path) -> None:
    torture = Torture(tmp_path, producers=2, rate=6000)
    result = torture.run(4, producer_kills=5, writer_kills=4)
    check(result, 500)


def test_no_kill_loses_or_doubles_a_record_in_postgres_which_is_killed_too(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    torture = Torture(tmp_path, producers=2, rate=6000, settings={"url": postgres.url(), "timeout_seconds": 1.0})

    def restart() -> None:
        postgres.stop("immediate")
        postgres.start()

    def hang() -> None:
        with postgres.hung():
            torture.kill_producer()
            torture.wait(2.0)

    result = torture.run(
        5, producer_kills=3, writer_kills=2, faults={1.2: ("PostgreSQL stopped at once", restart), 2.5: ("hung", hang)}
    )
    check(result, 500)
