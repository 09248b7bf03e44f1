"""The ring, told of a record in the midst of being told of another: by a signal handler, or by another thread."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tachograph.records import LLMCall
from tachograph.tape import ring as module
from tachograph.tape.ring import Ring, read
from tachograph.testing import Recording, recording


def _call(seen: Recording, model: str) -> LLMCall:
    call = seen.recorder.start_llm_call("openai", model)
    call.finish("success")
    return call


@pytest.mark.timeout(60)
def test_a_call_made_at_any_line_of_the_ring_waits_for_nothing_and_spoils_no_slot(tmp_path: Path) -> None:
    """A signal handler runs between any two lines, also of those that make the file and write down a new plan."""
    with recording() as seen:
        for line in range(1, 10_000):
            ring, kept, lines = Ring(tmp_path), dict[str, bool](), 0

            def trace(frame: FrameType, event: str, _: Any) -> Any:
                nonlocal lines
                if frame.f_code.co_filename != module.__file__:
                    return None
                if event == "line":
                    lines += 1
                    if lines == line:  # noqa: B023 - called in this round only
                        sys.settrace(None)
                        kept["handler"] = ring.keep(_call(seen, "handler"))  # noqa: B023
                return trace

            outer = _call(seen, "outer")
            sys.settrace(trace)
            try:
                kept["outer"] = ring.keep(outer)
            finally:
                sys.settrace(None)
            if "handler" not in kept:
                break
            kept["later"] = ring.keep(_call(seen, "later"))
            assert ring.path is not None
            assert kept["later"]
            held = {record.model for record in read(ring.path.read_bytes(), seen.recorder).records}  # type: ignore[union-attr]
            assert held == {name for name, is_kept in kept.items() if is_kept}
            ring.path.unlink()
            ring.after_fork_in_child()
    assert line > 40, "the ring was not seen at work"
