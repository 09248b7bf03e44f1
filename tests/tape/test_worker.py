"""The thread that writes: an exception raised into it from outside costs one piece of work and not the thread."""

from __future__ import annotations

from tachograph.native import Worker


def test_an_interrupted_worker_does_what_it_is_asked_next() -> None:
    done: list[int] = []

    def work() -> None:
        done.append(len(done))
        if len(done) == 1:
            raise KeyboardInterrupt

    worker = Worker(work, "test")
    assert worker.wait(60)
    assert worker.wait(60)
    assert done == [0, 1]
