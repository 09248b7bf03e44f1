"""Reading settings: code wins over environment, environment over file, file over defaults."""

from __future__ import annotations

import os
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from math import isfinite
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import msgspec

from tachograph.errors import SettingsError
from tachograph.files import read_toml
from tachograph.settings.alerts import AlertsSettings
from tachograph.settings.budgets import BudgetLimit, BudgetsSettings
from tachograph.settings.instrument import InstrumentSettings
from tachograph.settings.ledger import LedgerSettings
from tachograph.settings.metrics import MetricsSettings
from tachograph.settings.notify import NotifySettings
from tachograph.settings.otlp import OtlpSettings
from tachograph.settings.pricing import PricingSettings
from tachograph.settings.spans import SpansSettings
from tachograph.settings.waste import WasteSettings


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
    budgets: BudgetsSettings = BudgetsSettings()
    waste: WasteSettings = WasteSettings()
    notify: NotifySettings = NotifySettings()


PREFIX: Final = "TACHOGRAPH_"

LONGEST_FILE: Final = 4 << 20
"""Bytes of a settings file."""

_LONGEST_SHOWN: Final = 200

Path_ = tuple[str, ...]
"""A setting's place: ("metrics", "port")."""


def load(
    overrides: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    read_file: bool = True,
    left_out: Callable[[SettingsError], None] | None = None,
) -> Settings:
    """Read the settings.

    Args:
        overrides: From code: `{"metrics": {"port": 9464}}`.
        environ: Instead of the process's environment.
        directory: Where to look for tachograph.toml or pyproject.toml; the working directory unless given.
            `TACHOGRAPH_CONFIG` names a file directly.
        read_file: False leaves files alone.
        left_out: Called with each error instead of raising it; the settings are then those that are right.

    Raises:
        SettingsError: A name or a value is not allowed; it says which, where it was found and what is allowed.
    """
    return load_with_sources(
        overrides, environ=environ, directory=directory, read_file=read_file, left_out=left_out or _raise
    )[0]


def _raise(error: SettingsError) -> None:
    raise error


def load_with_sources(
    overrides: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    read_file: bool = True,
    left_out: Callable[[SettingsError], None] = _raise,
) -> tuple[Settings, dict[Path_, str]]:
    """The settings, and where each that is not a default came from."""
    environ = os.environ if environ is None else environ
    sources: dict[Path_, str] = {}
    values: dict[str, Any] = {}
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if read_file:
        try:
            from_file, source = _from_file(environ, directory or _working_directory())
            layers.append((source, from_file))
        except SettingsError as error:
            left_out(error)
    layers += _from_environment(environ, left_out)
    layers.append(("configure()", overrides or {}))
    for source, layer in layers:
        for path, value in _allowed(layer, source, left_out):
            sources[path] = source
            _set(values, path, value)
    try:
        settings = _check(values, "all together")
    except SettingsError as error:
        left_out(error)
        settings = Settings()
    return _with_daily_budget(settings), sources


def _allowed(
    layer: Mapping[str, Any], source: str, left_out: Callable[[SettingsError], None]
) -> Iterator[tuple[Path_, Any]]:
    """The settings of a layer that may be used."""
    try:
        _check(layer, source)
        yield from _leaves(layer)
        return
    except SettingsError:
        if left_out is _raise:
            raise  # it names the first; one by one, each is named
    for path, value in _leaves(layer):
        try:
            _check(_single(path, value), source)
        except SettingsError as error:
            left_out(error)
        else:
            yield path, value


def _with_daily_budget(settings: Settings) -> Settings:
    """`alerts.daily_budget_usd` as the budget that replaced it; until the next release."""
    usd = settings.alerts.daily_budget_usd
    if usd is None or any(limit.name == "daily" for limit in settings.budgets.limits):
        return settings
    warnings.warn(
        "the setting alerts.daily_budget_usd is deprecated: name a budget in budgets.limits instead",
        DeprecationWarning,
        stacklevel=3,
    )
    daily = BudgetLimit(name="daily", usd=Decimal(str(usd)), action="warn")
    budgets = msgspec.structs.replace(settings.budgets, limits=(*settings.budgets.limits, daily))
    return msgspec.structs.replace(settings, budgets=budgets)


@cache
def paths() -> tuple[tuple[Path_, Any, Any], ...]:
    """Every setting: its path, its type and its default."""
    return tuple(_paths(Settings))


def _paths(struct: type[msgspec.Struct], prefix: Path_ = ()) -> Iterator[tuple[Path_, Any, Any]]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        kind = hints[field.name]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield from _paths(kind, (*prefix, field.name))
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            yield (*prefix, field.name), kind, default


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was removed, or is not for this user: then no file is in it
        return Path()


def _from_file(environ: Mapping[str, str], directory: Path) -> tuple[dict[str, Any], str]:
    named = environ.get(PREFIX + "CONFIG")
    candidates = [Path(named)] if named else [directory / "tachograph.toml", directory / "pyproject.toml"]
    for path in candidates:
        try:
            data = read_toml(path, LONGEST_FILE)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
            if not named and (path.name == "pyproject.toml" or not os.path.lexists(path)):
                continue  # not ours to fix, or not there as far as this user may see
            why = error.strerror or error if isinstance(error, OSError) else error
            raise SettingsError(
                f"the settings file cannot be read: {why}",
                where=f"{path}, named by the environment variable {PREFIX}CONFIG" if named else str(path),
                do="Name a TOML file that can be read, or unset the variable."
                if named
                else "Fix the file or remove it.",
            ) from error
        tool = data.get("tool", {})
        section = tool.get("tachograph") if isinstance(tool, dict) else None
        if section is None and path.name != "pyproject.toml":
            section = data
        if section is not None:
            if not isinstance(section, dict):
                raise SettingsError(
                    "[tool.tachograph] is not a table", where=str(path), do="Write it as [tool.tachograph]."
                )
            return dict(section), str(path)
    return {}, ""


def _from_environment(
    environ: Mapping[str, str], left_out: Callable[[SettingsError], None]
) -> list[tuple[str, dict[str, Any]]]:
    found = []
    known = {PREFIX + "_".join(path).upper(): (path, kind) for path, kind, _ in paths()}
    sections = {PREFIX + path[0].upper() + "_": path[0] for path, *_ in paths() if len(path) > 1}
    for name, text in environ.items():
        source = f"environment variable {name}"
        if name in known:
            path, kind = known[name]
            try:
                found.append((source, _single(path, _parse(text, kind, source, ".".join(path)))))
            except SettingsError as error:
                left_out(error)
            continue
        section = next((section for prefix, section in sections.items() if name.startswith(prefix)), None)
        if section is not None:
            allowed = ", ".join(sorted(one for one in known if one.startswith(PREFIX + section.upper() + "_")))
            left_out(SettingsError(f"there is no setting {name}", where="the environment", do=f"Allowed: {allowed}."))
    return found


def _parse(text: str, kind: object, source: str, name: str) -> object:
    """Environment values are text: split what is a list, read the words for true and false, keep the rest."""
    kinds = _flat(kind)
    if any(getattr(k, "__origin__", k) in (tuple, list) for k in kinds):
        return [part.strip() for part in text.split(",") if part.strip()]
    if any(getattr(k, "__origin__", k) is dict for k in kinds):
        pairs = [part.strip() for part in text.split(",") if part.strip()]
        if any("=" not in pair for pair in pairs):
            raise SettingsError(
                f"setting {name}: expected key=value pairs, got {shortened(repr(text))}",
                where=source,
                do="Write key=value,other=value.",
            )
        return {key.strip(): value.strip() for key, value in (pair.split("=", 1) for pair in pairs)}
    word = text.strip().lower()
    if bool in kinds and word in ("yes", "on"):
        return True
    if bool in kinds and word in ("no", "off"):
        return False
    if type(None) in kinds and word in ("", "none"):
        return None
    return text.strip() if str not in kinds else text


def _flat(kind: object) -> list[Any]:
    """A type and what it is a union or an annotation of."""
    found = [kind]
    origin = getattr(kind, "__origin__", None)
    if origin not in (tuple, list, dict):
        for part in get_args(kind):
            found += _flat(part)
    return found


def _leaves(tree: Mapping[str, Any], prefix: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every value of nested sections; a value that is itself a table (`instrument.providers`) is one."""
    for key, value in tree.items():
        path = (*prefix, key)
        if isinstance(value, Mapping) and not prefix:
            yield from _leaves(value, path)
        else:
            yield path, value


def _single(path: Path_, value: object) -> dict[str, Any]:
    tree: Any = value
    for key in reversed(path):
        tree = {key: tree}
    return tree  # type: ignore[no-any-return]  # paths are never empty


def _set(values: dict[str, Any], path: Path_, value: object) -> None:
    for key in path[:-1]:
        values = values.setdefault(key, {})
    values[path[-1]] = value


def _check(values: Mapping[str, Any], source: str) -> Settings:
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(values, str(error), source) from None
    except UnicodeEncodeError:  # what is not UTF-8 in the environment comes as lone surrogates
        raise SettingsError("a value is not valid UTF-8", where=source, do="Write it in UTF-8.") from None
    for name in _fractions():
        value = attrgetter(name)(settings)
        if value is not None and not isfinite(value):
            raise SettingsError(f"setting {name}: the value is {value}", where=source, do="Give a finite number.")
    return settings


@cache
def _fractions() -> tuple[str, ...]:
    return tuple(".".join(path) for path, kind, _ in paths() if float in _flat(kind))


def _refusal(values: Mapping[str, Any], complaint: str, source: str) -> SettingsError:
    """msgspec's complaint in our words: the setting, its value, where it stands and what is allowed."""
    message, _, where = complaint.rpartition(" - at `$") if " - at `$" in complaint else (complaint, "", "")
    message = shortened(message)
    name = where.strip("`.").partition("[")[0]
    if message.startswith("Object contains unknown field"):
        field = message.partition("`")[2].strip("`")
        full = f"{name}.{field}" if name else field
        table = next((kind for path, kind, _ in paths() if ".".join(path) == name), None)
        if table is not None:
            return SettingsError(
                f"a table of {name} has no setting {field}", where=source, do=f"Allowed: {allowed_words(table)}."
            )
        allowed = (
            sorted({path[1] for path, *_ in paths() if len(path) > 1 and path[0] == name})
            if name
            else (sorted({path[0] for path, *_ in paths()}))
        )
        return SettingsError(f"there is no setting {full}", where=source, do=f"Allowed: {', '.join(allowed)}.")
    value: Any = values
    for key in filter(None, name.split(".")):
        value = value.get(key) if isinstance(value, Mapping) else None
    kind = next((kind for path, kind, _ in paths() if ".".join(path) == name), None)
    allowed_text = f"Allowed: {allowed_words(kind)}." if kind is not None else ""
    # A value inside a table of the user's is not shown: it may be a key that was put in the wrong place.
    shown = "" if "[" in where else f", the value is {shortened(repr(value))}"
    return SettingsError(
        f"setting {name or 'at the top'}: {message[0].lower()}{message[1:]}{shown}",
        where=source,
        do=f"{allowed_text} docs/settings.md lists every setting.".strip(),
    )


def shortened(text: str) -> str:
    """What an error shows of a text that may be of any length."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({len(text):,} characters)"


def allowed_words(kind: object) -> str:
    """What a setting takes, in words: `whole number from 0 to 65535, or none`."""
    parts = [_words(part) for part in _alternatives(kind)]
    return ", or ".join(dict.fromkeys(parts))


def _alternatives(kind: object) -> list[Any]:
    origin = getattr(kind, "__origin__", None)
    args = get_args(kind)
    if args and (origin is None or "Union" in str(origin) or "UnionType" in type(kind).__name__):
        return [one for part in args for one in _alternatives(part)]
    return [kind]


_PLAIN: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    type(None): "none",
}


def _words(kind: object) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind]
    metadata = getattr(kind, "__metadata__", ())
    if metadata:
        base = allowed_words(get_args(kind)[0])
        meta = metadata[0]
        low, high = meta.ge if meta.ge is not None else meta.gt, meta.le if meta.le is not None else meta.lt
        if low is not None:
            base += f" {'from' if meta.ge is not None else 'above'} {low}"
        if high is not None:
            base += f" {'to' if meta.le is not None else 'below'} {high}"
        return base
    origin = getattr(kind, "__origin__", None)
    if origin in (tuple, list):
        inner = [part for part in get_args(kind) if part is not ...]
        return f"list of: {allowed_words(inner[0])}"
    if origin is dict:
        value = get_args(kind)[1]
        tables = any(isinstance(one, type) and issubclass(one, msgspec.Struct) for one in _alternatives(value))
        return f"by name, {allowed_words(value)}" if tables else "table of text by text"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        names = ", ".join(f"`{name}`" for name in kind.__struct_fields__)
        config = kind.__struct_config__
        return f"a table with `{config.tag_field}` = `{config.tag}`, {names}" if config.tag else f"tables with {names}"
    literal = get_args(kind)
    if literal:
        return ", ".join(f"`{value}`" for value in literal)
    return getattr(kind, "__name__", str(kind))
