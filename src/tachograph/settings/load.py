"""Reading settings: code wins over environment, environment over file, file over defaults."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from tachograph.errors import SettingsError
from tachograph.settings.alerts import AlertsSettings
from tachograph.settings.instrument import InstrumentSettings
from tachograph.settings.ledger import LedgerSettings
from tachograph.settings.metrics import MetricsSettings
from tachograph.settings.otlp import OtlpSettings
from tachograph.settings.pricing import PricingSettings
from tachograph.settings.spans import SpansSettings


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set, by section.

    Attributes:
        enabled: Off switches all of Tachograph off.
    """

    enabled: bool = True
    instrument: InstrumentSettings = InstrumentSettings()
    metrics: MetricsSettings = MetricsSettings()
    spans: SpansSettings = SpansSettings()
    otlp: OtlpSettings = OtlpSettings()
    pricing: PricingSettings = PricingSettings()
    alerts: AlertsSettings = AlertsSettings()
    ledger: LedgerSettings = LedgerSettings()


PREFIX = "TACHOGRAPH_"


def load(
    overrides: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    read_file: bool = True,
) -> Settings:
    """Read the settings.

    Args:
        overrides: From code: `{"metrics": {"port": 9464}}`.
        environ: Instead of the process's environment.
        directory: Where to look for tachograph.toml or pyproject.toml; the working directory unless given.
            `TACHOGRAPH_CONFIG` names a file directly.
        read_file: False leaves files alone.

    Raises:
        SettingsError: A name or a value is not allowed; it says which, where it was found and what is allowed.
    """
    environ = os.environ if environ is None else environ
    values, source = _from_file(environ, directory or Path.cwd()) if read_file else ({}, "")
    if values:
        _check(values, source)
    for path, text, name in _from_environment(environ):
        _set(values, path, text)
        _check(_single(path, text), f"environment variable {name}")
    for key, value in (overrides or {}).items():
        if isinstance(value, Mapping):
            merged = dict(values.get(key) or {})
            merged.update(value)
            values[key] = merged
        else:
            values[key] = value
    return _check(values, "configure()")


def _from_file(environ: Mapping[str, str], directory: Path) -> tuple[dict[str, Any], str]:
    named = environ.get(PREFIX + "CONFIG")
    candidates = [Path(named)] if named else [directory / "tachograph.toml", directory / "pyproject.toml"]
    for path in candidates:
        if not path.is_file():
            if named:
                raise SettingsError(
                    f"the settings file {named!r} does not exist",
                    where=f"environment variable {PREFIX}CONFIG",
                    do="Name an existing TOML file, or unset the variable.",
                )
            continue
        try:
            data = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise SettingsError(
                f"the settings file cannot be read: {error}",
                where=str(path),
                do="Mend the file or remove it.",
            ) from error
        section = data.get("tool", {}).get("tachograph")
        if section is None and path.name != "pyproject.toml":
            section = data
        if section is not None:
            return dict(section), str(path)
    return {}, ""


def _from_environment(environ: Mapping[str, str]) -> list[tuple[tuple[str, ...], Any, str]]:
    found = []
    for path, kind in _paths(Settings):
        name = PREFIX + "_".join(path).upper()
        text = environ.get(name)
        if text is not None:
            found.append((path, _parse(text, kind), name))
    return found


def _paths(struct: type[msgspec.Struct], prefix: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    paths: list[tuple[tuple[str, ...], Any]] = []
    for name, kind in get_type_hints(struct, include_extras=False).items():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            paths += _paths(kind, (*prefix, name))
        elif name in struct.__struct_fields__:
            paths.append(((*prefix, name), kind))
    return paths


def _parse(text: str, kind: Any) -> Any:
    """Environment values are text: split what is a list, read the words for true and false, keep the rest."""
    kinds = [kind, *get_args(kind)]
    if any(getattr(k, "__origin__", k) in (tuple, list) for k in kinds):
        return [part.strip() for part in text.split(",") if part.strip()]
    if any(getattr(k, "__origin__", k) is dict for k in kinds):
        return dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if bool in kinds and text.strip().lower() in ("yes", "on"):
        return True
    if bool in kinds and text.strip().lower() in ("no", "off"):
        return False
    if type(None) in kinds and text.strip() == "":
        return None
    return text


def _single(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    tree: Any = value
    for key in reversed(path):
        tree = {key: tree}
    return tree  # type: ignore[no-any-return]  # paths are never empty


def _set(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        branch = dict(values.get(key) or {})
        values[key] = branch
        values = branch
    values[path[-1]] = value


def _check(values: Mapping[str, Any], source: str) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        name = where.strip("`.") or "the settings"
        value: Any = values
        for key in filter(None, name.split(".")):
            value = value.get(key) if isinstance(value, Mapping) else None
        shown = "" if value is None else f", got {value!r}"
        raise SettingsError(
            f"setting {name}: {message[0].lower()}{message[1:]}{shown}",
            where=source,
            do="docs/settings.md lists every setting and what it allows.",
        ) from None
