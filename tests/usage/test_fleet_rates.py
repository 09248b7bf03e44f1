"""A limiter of a fleet: processes lease parts of a rate from PostgreSQL, and together never pass it."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from support.postgres import PostgresServer
from tachograph import Limiter
from tachograph.llm import fleet_rates


@pytest.fixture
def url(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(fleet_rates, "SYNC_SECONDS", 3600.0)  # the tests look themselves
    return postgres.url()


class Host:
    """A process of the fleet, with a clock that the test moves."""

    now = 1000.0

    def __init__(self, url: str, **limits: float) -> None:
        limits = limits or {"requests_per_minute": 600}
        self.limiter = Limiter(fleet=url, clock=lambda: Host.now, **limits)
        self.rates = self.limiter._rates
        assert self.rates is not None

    def ask(self, times: int, tokens: int = 1) -> list[float]:
        return [self.limiter.reserve("openai", "gpt-5", tokens) for _ in range(times)]

    def look(self) -> None:
        assert self.rates is not None
        self.rates.sync()

    @property
    def part(self) -> float:
        assert self.rates is not None
        (part,) = self.rates._parts.values()
        return part.granted


def leased(url: str) -> float:
    with psycopg.connect(url) as db:
        found = db.execute("SELECT coalesce(sum(granted), 0) FROM tachograph_rate_lease").fetchone()
    assert found is not None
    return float(found[0])


def test_one_process_has_the_whole_limit(url: str) -> None:
    host = Host(url)
    assert host.ask(602) == pytest.approx([0.0] * 600 + [0.1, 0.2])


def test_calls_begun_together_in_many_processes_stay_within_one_limit(url: str) -> None:
    hosts = [Host(url) for _ in range(4)]
    at_once = sum(host.ask(300).count(0.0) for host in hosts)
    assert at_once <= 600
    assert leased(url) <= 600


def test_parts_follow_what_is_asked_for_and_never_pass_the_limit(url: str) -> None:
    busy, idle = Host(url), Host(url)
    for _ in range(12):
        busy.ask(90)
        idle.ask(10)
        for host in (busy, idle):
            host.look()
            assert leased(url) <= 600.001
    assert busy.part == pytest.approx(30 + 540 * 0.9, rel=0.02)
    assert idle.part == pytest.approx(30 + 540 * 0.1, rel=0.05)
    for _ in range(30):  # they change places
        busy.ask(10)
        idle.ask(90)
        busy.look()
        idle.look()
    assert idle.part > 450


def test_over_minutes_the_fleet_sends_no_more_than_the_limit(url: str) -> None:
    hosts = [Host(url) for _ in range(3)]
    sent, started = 0, Host.now
    while Host.now < started + 180:
        for host in hosts:
            while (wait := host.ask(1)[0]) == 0.0:
                sent += 1
            host.limiter.cancel("openai", "gpt-5", 1)
            assert wait > 0
        Host.now += 1.0
        for host in hosts:
            host.look()
    assert 600 * 3 * 0.9 <= sent <= 600 * 3 + 600


def test_what_was_saved_up_is_not_sent_twice_by_a_process_that_comes_later(url: str) -> None:
    first = Host(url)
    assert first.ask(600).count(0.0) == 600
    later = Host(url)
    assert later.ask(1)[0] > 0.0
    for _ in range(5):
        first.look()
        later.ask(10)
        later.look()
    assert later.ask(1)[0] > 0.0
    Host.now += 60
    assert later.ask(1)[0] == 0.0


def test_the_part_of_a_killed_process_comes_back(url: str) -> None:
    dead, alive = Host(url), Host(url)
    dead.ask(100)
    alive.ask(100)
    assert alive.part < 300
    with psycopg.connect(url) as db:
        db.execute("UPDATE tachograph_rate_lease SET heard_at = now() - interval '31 s' WHERE holder = %s",
                   (dead.rates._holder,))  # type: ignore[union-attr]  # fmt: skip
    alive.ask(10)
    alive.look()
    assert alive.part == pytest.approx(600)


def test_a_limiter_that_ends_gives_its_part_back(url: str) -> None:
    host = Host(url)
    host.ask(1)
    assert leased(url) == pytest.approx(600)
    host.limiter.close()
    assert leased(url) == 0


def test_a_store_that_is_away_leaves_each_process_its_part(url: str, caplog: pytest.LogCaptureFixture) -> None:
    hosts = [Host(url), Host(url)]
    for _ in range(8):
        for host in hosts:
            host.ask(50)
            host.look()
    before = [host.part for host in hosts]
    for host in hosts:
        assert host.rates is not None
        host.rates._disconnect()
        host.rates._url = "postgresql://127.0.0.1:1/none"
        host.look()
        host.look()
    assert [host.part for host in hosts] == before
    assert caplog.text.count("does not answer") == 2


def test_without_a_store_from_the_start_a_process_keeps_to_the_limit_alone(caplog: pytest.LogCaptureFixture) -> None:
    host = Host("postgresql://127.0.0.1:1/none", requests_per_minute=60)
    assert host.ask(61) == [0.0] * 60 + [1.0]
    assert "does not answer" in caplog.text


def test_tokens_are_shared_and_corrected(url: str) -> None:
    first = Host(url, tokens_per_minute=6000)
    assert first.ask(1, 5000) == [0.0]
    first.limiter.correct("openai", "gpt-5", 5000, 1000)
    assert first.ask(1, 5000) == [0.0]
    assert first.ask(1, 60)[0] == pytest.approx(0.6)


def test_a_forked_child_leases_for_itself(url: str) -> None:
    source = (
        "import os, sys\n"
        "from tachograph import Limiter\n"
        "limiter = Limiter(requests_per_minute=60, fleet=sys.argv[1], clock=lambda: 7.0)\n"
        "assert [limiter.reserve('openai', 'gpt-5', 1) for _ in range(60)].count(0.0) == 60\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if limiter.reserve('openai', 'gpt-5', 1) > 0 else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert limiter.reserve('openai', 'gpt-5', 1) > 0\n"
    )
    done = subprocess.run([sys.executable, "-c", source, url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_one_of_shared_and_fleet_is_given(tmp_path: object) -> None:
    with pytest.raises(ValueError, match="not both"):
        Limiter(requests_per_minute=1, shared=str(tmp_path), fleet="postgresql://host/db")
