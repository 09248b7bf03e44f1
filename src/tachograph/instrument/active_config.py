"""What `instrument()` decided when it was called: which recorder gets the records, and by which settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tachograph import runtime
from tachograph.settings.instrument import InstrumentSettings
from tachograph.tape import guard

if TYPE_CHECKING:
    from tachograph.recorder import Recorder

_recorder: Recorder | None = None
settings: InstrumentSettings = InstrumentSettings()


def settle(chosen: Recorder | None, new: InstrumentSettings) -> None:
    """Keep what `instrument()` was given; None follows whatever recorder the process has."""
    global _recorder, settings
    _recorder, settings = chosen, new
    recorder().kinds = {}


def recorder() -> Recorder:
    """Where records go now."""
    return _recorder or runtime.recorder_in_place or runtime.get_recorder()


guard.report_to(lambda error: recorder().failed("instrument", error))
