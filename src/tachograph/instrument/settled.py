"""What was settled when `instrument()` was called: which recorder gets the records, and by which settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tachograph import runtime
from tachograph.settings.instrument import InstrumentSettings
from tachograph.settings.spans import SpansSettings

if TYPE_CHECKING:
    from tachograph.recorder import Recorder

_recorder: Recorder | None = None
settings: InstrumentSettings = InstrumentSettings()
content: bool = False
content_limit: int = 8192


def settle(chosen: Recorder | None, new: InstrumentSettings, spans: SpansSettings) -> None:
    """Keep what `instrument()` was given; None follows whatever recorder the process has."""
    global _recorder, settings, content, content_limit
    _recorder, settings = chosen, new
    content, content_limit = spans.content, spans.content_limit


def recorder() -> Recorder:
    """Where records go now."""
    return _recorder or runtime._recorder or runtime.get_recorder()
