"""The thread that notices that a silent HTTP server has gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.mcp_servers import eventually
from tachograph import instrument, uninstrument
from tachograph.instrument.mcp_ports import PortWatch

URL = "http://127.0.0.1:9/mcp"


class Connected:
    answered_at = 0.0

    def __init__(self) -> None:
        self.is_gone = False

    def server_gone(self) -> None:
        self.is_gone = True


class Port:
    """A port that behaves as a test says."""

    def __init__(self, *failures: type[OSError]) -> None:
        self.failures: list[type[OSError]] = list(failures)
        self.tries = 0

    def __call__(self, place: tuple[str, int]) -> None:
        assert place == ("127.0.0.1", 9)
        self.tries += 1
        if self.failures:
            raise self.failures[0] if len(self.failures) == 1 else self.failures.pop(0)


@pytest.fixture(autouse=True)
def _often() -> Iterator[None]:
    instrument("mcp", mcp_probe_seconds=0.01)
    yield
    uninstrument()


@pytest.mark.parametrize(("failure", "tries"), [(ConnectionRefusedError, 1), (TimeoutError, 3)])
def test_a_port_that_refuses_is_gone_at_once_and_a_silent_one_after_three_tries(
    failure: type[OSError], tries: int
) -> None:
    connected, port = Connected(), Port()
    watch = PortWatch(port)
    watch.add(connected, URL)
    eventually(lambda: port.tries > 1)
    port.tries = 0
    port.failures = [failure]
    eventually(lambda: connected.is_gone)
    assert port.tries in (tries, tries + 1)  # one may have been under way


def test_a_port_that_never_answered_is_not_the_way_to_the_server() -> None:
    connected, port = Connected(), Port(ConnectionRefusedError)
    watch = PortWatch(port)
    watch.add(connected, URL)
    eventually(lambda: watch._thread is None)
    assert port.tries == 1
    assert not connected.is_gone


def test_one_try_is_made_for_all_connections_to_a_server_and_none_when_there_is_none() -> None:
    first, second, port = Connected(), Connected(), Port()
    watch = PortWatch(port)
    watch.add(first, URL)
    watch.add(second, URL)
    eventually(lambda: port.tries > 2)
    watch.remove(first)
    watch.remove(second)
    eventually(lambda: watch._thread is None)


def test_a_setting_turns_it_off() -> None:
    uninstrument()
    instrument("mcp", mcp_probe_seconds=0)
    port = Port()
    watch = PortWatch(port)
    watch.add(Connected(), URL)
    assert watch._thread is None
    assert port.tries == 0
