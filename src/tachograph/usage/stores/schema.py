"""Versions of a store's tables, as data: what fresh stores run at once and Alembic runs step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tachograph.usage.stores.errors import UnknownVersion

VERSION_TABLE: Final = "ledger_version"
HEAD: Final = "0004"
"""The version that this Tachograph writes."""
KNOWN: Final = ("0001", "0002", "0003", "0004")

CREATE_VERSION_TABLE: Final = f"CREATE TABLE {VERSION_TABLE}(version_num VARCHAR(32) NOT NULL PRIMARY KEY)"


class Revision(NamedTuple):
    """One step: statements that lead to this version, and back from it to the one before."""

    version: str
    up: Sequence[str]
    down: Sequence[str]


OTHER_VERSION: Final = (
    "Its tables are of another version: stop what writes to the ledger and run: tachograph ledger migrate"
)
"""What to do where a reader asks for a column that the tables do not have."""


def check_version(found: str | None, where: str) -> None:
    """Refuse tables that this Tachograph does not write.

    Raises:
        UnknownVersion: It says whether to migrate or to upgrade.
    """
    if found == HEAD:
        return
    if found in KNOWN:
        raise UnknownVersion(
            f"the ledger's tables are at version {found}, this Tachograph writes version {HEAD}",
            where=where,
            do="Stop what writes to it and run: tachograph ledger migrate",
        )
    raise UnknownVersion(
        f"the ledger's tables are at version {found or '(none)'}, which this Tachograph does not know "
        f"(it supports {', '.join(KNOWN)})",
        where=where,
        do="Upgrade Tachograph, or name another store with the setting ledger.url.",
    )
