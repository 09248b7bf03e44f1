"""PostgreSQL's own troubles: a changed password, a full disk, a failover, a pooler. What was accepted is stored."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import psycopg
import pytest

from support.ledgers import eventually, make_recorder, metric, one_call, stored_numbers, sums
from support.postgres import PostgresServer, losing_answers, pgbouncer, standby_of
from support.small_disk import small_disk
from tachograph.recorder import Recorder
from tachograph.usage.migrations import migrate
from tachograph.usage.stores import StoreUnavailable, open_store
from tachograph.usage.stores.query import Query
from usage.test_budget_fleet import host, tried


def calls(recorder: Recorder, numbers: range) -> None:
    for number in numbers:
        one_call(recorder, number)


def failures(recorder: Recorder, kind: str = "db_error") -> float:
    return metric(recorder, "llm_usage_persist_errors_total", kind)


def fails_and_waits(recorder: Recorder, numbers: range) -> None:
    """These calls are accepted while the store fails, and the metrics say so."""
    before = failures(recorder)
    calls(recorder, numbers)
    eventually(lambda: failures(recorder) > before, "the failure is counted")
    assert metric(recorder, "llm_usage_persist_queue_size") == len(numbers)


def all_is_stored(recorder: Recorder, count: int) -> None:
    assert recorder.ledger.flush(60)
    assert stored_numbers(recorder.ledger) == list(range(count))
    assert metric(recorder, "llm_usage_persist_queue_size") == 0
    assert metric(recorder, "llm_usage_records_lost_total") == 0
    recorder.ledger.close()


def test_a_password_changed_while_running_is_read_from_the_passfile(
    postgres: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.run("CREATE ROLE app LOGIN PASSWORD 'old'")
    passfile = tmp_path / "passfile"
    passfile.touch(0o600)
    passfile.write_text("*:*:*:app:old\n")
    postgres.url("passwords", "OWNER app")
    recorder = make_recorder(tmp_path, url=f"{postgres.address('passwords', 'app')}&passfile={passfile}")
    with postgres.admits("local all app scram-sha-256"):
        calls(recorder, range(10))
        assert recorder.ledger.flush(20)
        postgres.run("ALTER ROLE app PASSWORD 'new'")
        postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        fails_and_waits(recorder, range(10, 50))
        eventually(lambda: "A changed password in a passfile" in caplog.text, "what to do is logged")
        passfile.write_text("*:*:*:app:new\n")
        all_is_stored(recorder, 50)


@pytest.fixture(name="small_disk")
def _small_disk(postgres: PostgresServer) -> Iterator[Path]:
    with small_disk(postgres.root, megabytes=24) as place:
        data = place / "data"
        data.mkdir()
        if postgres.user is not None:
            shutil.chown(data, postgres.user)
        postgres.run(f"CREATE TABLESPACE small LOCATION '{data}'")
        yield data
        postgres.run("DROP DATABASE IF EXISTS crowded WITH (FORCE)")
        postgres.run("DROP TABLESPACE small")


def test_a_full_disk_of_the_database_keeps_records_until_there_is_space(
    postgres: PostgresServer, small_disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.url("crowded", "TABLESPACE small")
    recorder = make_recorder(tmp_path, url=url)
    calls(recorder, range(10))
    assert recorder.ledger.flush(20)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        file.writelines(repeat(bytes(4096)))
    fails_and_waits(recorder, range(10, 1500))
    eventually(lambda: "PostgreSQL has no space" in caplog.text, "the reason is logged")
    filler.unlink()
    all_is_stored(recorder, 1500)


def test_after_a_failover_the_promoted_standby_gets_all_and_what_it_had_missed_is_stored_again(
    postgres: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.url("failover")
    with standby_of(postgres) as standby:
        both = f"postgresql://{postgres.name}@/failover?host={postgres.root},{standby.root}"
        recorder = make_recorder(tmp_path, url=both)
        calls(recorder, range(10))
        assert recorder.ledger.flush(20)
        (at,) = postgres.run("SELECT pg_current_wal_lsn()")[0]
        eventually(
            lambda: standby.run(f"SELECT pg_last_wal_replay_lsn() >= '{at}'::pg_lsn") == [(True,)], "it has followed"
        )
        with postgres.admits("local replication all reject"):  # from now on it is behind
            postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
            calls(recorder, range(10, 30))
            assert recorder.ledger.flush(20)
            postgres.stop("immediate")
        try:
            fails_and_waits(recorder, range(30, 50))  # there is only a standby, which takes no writes
            standby.control("promote")
            all_is_stored(recorder, 50)
        finally:
            postgres.start()
    assert "has lost 20 record(s) that it had taken" in caplog.text
    assert metric(recorder, "llm_usage_file_faults_total", "database_replaced") == 1
    store = open_store(url, read_only=True)
    assert store.count() == 30
    store.close()


def test_an_answer_to_a_commit_that_is_lost_doubles_nothing(postgres: PostgresServer, tmp_path: Path) -> None:
    postgres.url("in_doubt")
    with losing_answers(postgres.root, tmp_path / "proxy", after=b"COMMIT") as proxy:
        url = f"postgresql://{postgres.name}@/in_doubt?host={tmp_path / 'proxy'}"
        recorder = make_recorder(tmp_path / "data", url=url)
        calls(recorder, range(10))
        assert recorder.ledger.flush(20)
        proxy.lose(3)
        calls(recorder, range(10, 50))
        eventually(lambda: proxy.left == 0, "three answers are lost")
        assert recorder.ledger.flush(60)
        store = open_store(url, read_only=True)
        assert sums(store)["input_tokens"] == sums(store, raw=True)["input_tokens"] == sum(range(100, 150))
        store.close()
        all_is_stored(recorder, 50)


def test_a_server_without_a_free_connection_and_one_whose_tables_are_locked_are_waited_for(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.run("CREATE ROLE crowd LOGIN CONNECTION LIMIT 2")
    postgres.url("busy", "OWNER crowd")
    recorder = make_recorder(tmp_path, url=postgres.address("busy", "crowd"), timeout_seconds=1.0)
    calls(recorder, range(10))
    assert recorder.ledger.flush(20)
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'crowd'")
    with contextlib.ExitStack() as crowd:

        def one_more() -> bool:
            try:
                crowd.enter_context(psycopg.connect(postgres.address("busy", "crowd")))
            except psycopg.OperationalError:  # what was terminated is not gone yet
                return False
            return True

        for _ in range(2):
            eventually(one_more, "a connection is free")
        fails_and_waits(recorder, range(10, 20))
    assert recorder.ledger.flush(60)
    with psycopg.connect(postgres.address("busy")) as migration:  # until its transaction ends
        migration.execute("LOCK TABLE usage, journal_position IN ACCESS EXCLUSIVE MODE")
        before = failures(recorder, "timeout") + failures(recorder)
        calls(recorder, range(20, 30))
        eventually(lambda: failures(recorder, "timeout") + failures(recorder) > before, "the wait ends, and is counted")
    all_is_stored(recorder, 30)


_STOPS = """
import os, signal, sys
from pathlib import Path
from support.ledgers import make_recorder, one_call
from tachograph.usage.stores.postgres import PostgresStore

real, has_stopped = PostgresStore._run, False

def run(store, statement, *more):
    global has_stopped
    if "INSERT INTO journal_position" in statement and not has_stopped:
        has_stopped = True
        os.kill(os.getpid(), signal.SIGSTOP)  # it has the locks of the sums' rows now
    return real(store, statement, *more)

PostgresStore._run = run
recorder = make_recorder(Path(sys.argv[1]), url=sys.argv[2], timeout_seconds=1.0)
for number in range(10):
    one_call(recorder, number)
sys.exit(0 if recorder.ledger.flush(60) else 1)
"""


def test_a_writer_that_is_stopped_within_a_transaction_holds_up_no_other_host(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.url("stopped")
    other = make_recorder(tmp_path / "other", url=url, timeout_seconds=1.0)
    calls(other, range(10, 11))
    assert other.ledger.flush(20)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    stopped = subprocess.Popen([sys.executable, "-c", _STOPS, str(tmp_path / "stopped"), url], env=environment)
    try:
        assert os.WIFSTOPPED(os.waitpid(stopped.pid, os.WUNTRACED)[1])
        calls(other, range(11, 20))
        assert other.ledger.flush(60)
        stopped.send_signal(signal.SIGCONT)
        assert stopped.wait(60) == 0
        assert stored_numbers(other.ledger) == list(range(20))
        store = open_store(url, read_only=True)
        assert sums(store)["input_tokens"] == sums(store, raw=True)["input_tokens"] == sum(range(100, 120))
        store.close()
    finally:
        stopped.kill()
        other.ledger.close()


@pytest.fixture(scope="module")
def pooled(postgres: PostgresServer) -> Iterator[str]:
    """What makes a database's URL lead through pgbouncer."""
    with pgbouncer(postgres) as port:
        yield f"&port={port}"


def test_behind_pgbouncer_in_transaction_mode_two_hosts_store_and_report(
    postgres: PostgresServer, pooled: str, tmp_path: Path
) -> None:
    url = postgres.url() + pooled
    hosts = [make_recorder(tmp_path / name, url=url) for name in "ab"]
    for number in range(40):  # more often than any statement is prepared by default
        for index, recorder in enumerate(hosts):
            calls(recorder, range(number * 4 + index * 2, number * 4 + index * 2 + 2))
            recorder.ledger.flush(20)
    hosts[0].ledger.close()
    all_is_stored(hosts[1], 160)
    store = open_store(url, read_only=True)
    assert sum(row["n"] for row in store.usage(Query(by=("hour",)))) == 160
    with pytest.raises(StoreUnavailable, match="read-only transaction"):
        store.erase("team", "search", 0)
    store.close()
    assert failures(hosts[0]) == failures(hosts[1]) == 0
    with psycopg.connect(url) as other:  # another application's, on the same connections to the server
        for setting in ("statement_timeout", "lock_timeout", "default_transaction_read_only"):
            assert other.execute(f"SHOW {setting}").fetchone() in {("0",), ("off",)}


def test_behind_pgbouncer_tables_are_migrated(postgres: PostgresServer, pooled: str) -> None:
    url = postgres.url() + pooled
    assert migrate(url)[0] == "base"
    assert migrate(url, to="base", down=True)[1] == "base"


def test_a_pooler_that_refuses_options_is_named_with_what_to_do(postgres: PostgresServer, pooled: str) -> None:
    url = postgres.url() + pooled
    with pytest.raises(StoreUnavailable, match="leave `options` out"):
        open_store(f"{url}&options=-cwork_mem%3D8MB")


def test_behind_pgbouncer_hosts_of_a_fleet_lease(postgres: PostgresServer, pooled: str, tmp_path: Path) -> None:
    url = postgres.url() + pooled
    hosts = [host(tmp_path / name, url, usd="0.5") for name in "ab"]
    made = sum(tried(hosts[number % 2], "0.01") for number in range(80))
    assert 48 <= made <= 50


MAKES_TABLES = """
import sys
from tachograph.usage.budgets.fleet import Fleet
from tachograph.usage.stores import open_store
sys.stdin.readline()
open_store(sys.argv[1]).close()
Fleet(sys.argv[1], None, timeout_seconds=20)._run("SELECT 1", None)
"""


def test_tables_made_by_several_processes_at_once_are_no_error_in_the_server_s_log(
    postgres: PostgresServer,
) -> None:
    url = postgres.url()
    logged = len(postgres.log())
    processes = [
        subprocess.Popen([sys.executable, "-c", MAKES_TABLES, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = [process.communicate(b"\n", 120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, ends
    assert "ERROR" not in postgres.log()[logged:]


def test_a_ledger_that_many_hosts_open_for_the_first_time_at_once_is_made_by_one(postgres: PostgresServer) -> None:
    url = postgres.url()
    logged = len(postgres.log())
    all_are_ready = threading.Barrier(8)

    def open_first(_: int) -> None:
        all_are_ready.wait(60)
        open_store(url).close()

    with ThreadPoolExecutor(8) as hosts:
        list(hosts.map(open_first, range(8)))
    assert "ERROR" not in postgres.log()[logged:]
