"""The one place where the parts are joined: settings become a recorder with its signals, prices and ledger."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from tachograph.recorder import Recorder
from tachograph.settings import Settings, load
from tachograph.signals.registry import Metrics

_lock = threading.Lock()
_recorder: Recorder | None = None
_settings: Settings | None = None


def build(settings: Settings) -> Recorder:
    """A recorder as the settings say; nothing global is touched."""
    return Recorder(Metrics((), limit=settings.metrics.label_limit))


def configure(overrides: Mapping[str, Any] | None = None, /, **sections: Any) -> Recorder:
    """Set Tachograph up for this process: `configure(metrics={"port": 9464})`.

    Settings not given come from the environment (`TACHOGRAPH_...`), then from tachograph.toml or pyproject.toml.
    Configuring again replaces the recorder; calls under way finish on the old one.

    Raises:
        SettingsError: A name or a value is not allowed.
    """
    global _recorder, _settings
    settings = load({**(overrides or {}), **sections})
    recorder = build(settings)
    with _lock:
        _recorder, _settings = recorder, settings
    return recorder


def get_recorder() -> Recorder:
    """The process's recorder, made from environment and file when nobody has configured one."""
    recorder = _recorder
    return recorder if recorder is not None else configure()


def get_settings() -> Settings:
    """The settings that `get_recorder()` was made from."""
    get_recorder()
    assert _settings is not None
    return _settings


def set_recorder(recorder: Recorder | None) -> Recorder | None:
    """Put another recorder in place (tests); returns the one before."""
    global _recorder, _settings
    with _lock:
        before, _recorder = _recorder, recorder
        if _settings is None:
            _settings = Settings()
    return before
