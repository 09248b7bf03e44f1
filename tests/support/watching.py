"""Client libraries watched against servers on this machine."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from tachograph import instrument, uninstrument
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording


@contextmanager
def watched_loopback() -> Iterator[Recording]:
    """All clients and the wire to 127.0.0.1; what is left unread of streams has ended when this does."""
    with recording() as caught:
        instrument(wire_hosts=["127.0.0.1"], include_usage_hosts=["127.0.0.1"])
        try:
            yield caught
        finally:
            gc.collect()
            TAPE.drain()
            uninstrument()
