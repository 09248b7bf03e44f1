"""From a URL to a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlunsplit

from tachograph.errors import SettingsError
from tachograph.urls import NONE, split

if TYPE_CHECKING:
    from tachograph.usage.stores.base import Store

_URLS: Final = (
    "Set ledger.url, or the option, to sqlite:///path/to/ledger.db, postgresql://user@host/database or "
    "clickhouse://host:8123/database."
)
DEFAULT_ROLLUP_LABELS = ("team", "feature")


def sqlite_path(url: str) -> Path:
    """The file of a `sqlite:///relative/or//absolute.db` URL.

    Raises:
        SettingsError: The URL names no file.
    """
    path = url.removeprefix("sqlite:///")
    if path in ("", url):
        raise SettingsError("the ledger's URL names no file", where=url, do=_URLS)
    return Path(path)


def open_store(
    url: str,
    *,
    rollup_labels: tuple[str, ...] = DEFAULT_ROLLUP_LABELS,
    timeout_seconds: float = 10.0,
    read_only: bool = False,
    create: bool = True,
) -> Store:
    """Open a store; a fresh one is created at the newest version.

    Args:
        url: `sqlite:///path`, `postgresql://user@host/database`, `clickhouse://host:8123/database`.
        rollup_labels: Labels that rollups are kept by; only the writer's matter.
        timeout_seconds: Connecting, and waiting for one answer.
        read_only: For reports, beside a writer.
        create: Make the tables where there are none.

    Raises:
        SettingsError: The URL names no store that we know.
        MissingExtraError: Its package is not installed.
        StoreUnavailable, UnknownVersion: It cannot be used as it is.
    """
    kind: Any = store_class(url)
    place = sqlite_path(url) if url.startswith("sqlite") else url
    store: Store = kind(
        place, rollup_labels=rollup_labels, timeout_seconds=timeout_seconds, read_only=read_only, create=create
    )
    return store


def store_class(url: str) -> type[Store]:
    """The class of the store that a URL names, imported with its driver.

    Raises:
        SettingsError: The URL names no store that we know.
        MissingExtraError: Its package is not installed.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "sqlite":
        from tachograph.usage.stores.sqlite import SQLiteStore

        return SQLiteStore
    if scheme in ("postgresql", "postgres"):
        from tachograph.usage.stores.postgres import PostgresStore

        return PostgresStore
    if scheme in ("clickhouse", "clickhouses"):
        from tachograph.usage.stores.clickhouse import ClickHouseStore

        return ClickHouseStore
    raise SettingsError("this is not the URL of a ledger", where=without_password(url), do=_URLS)


def without_password(url: str) -> str:
    """A store's URL as people may see it."""
    parts = split(url)
    if parts is NONE:
        return "***" if "@" in url else url
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}"))
