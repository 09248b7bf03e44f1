"""The notifier's state, on disk: which alerts fire, and what each receiver was sent of them.

`notify.db` stands beside `console.db`. One process has it: the first one that opens it. It is written before a delivery
begins and after it ends, so that after a crash it is known what may have been sent.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tachograph.console.notify.message import NotifiedAlert
from tachograph.console.rules import SavedAlert
from tachograph.files import make_private_directory, make_private_file

logger = logging.getLogger("tachograph.notify")

FILE: Final = "notify.db"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS groups(receiver TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY(receiver, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS active(rule TEXT NOT NULL, position INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""


class AlertGroup(msgspec.Struct, kw_only=True):
    """What was sent to one receiver of one group of alerts; times in seconds since 1970.

    Attributes:
        notified: The firing alerts that it was sent, by fingerprint.
        ended: Those of them that are resolved, which it was not sent yet.
        due: When the next notification is due; None: there is nothing to say.
        sent_at: When the last one was accepted.
        number: How many were accepted; part of a notification's identity, so that a repetition is no copy.
        sending: Identity of the notification whose delivery has begun and not ended.
        silenced: Fingerprints in `notified` that a silence or an inhibition has kept quiet since.
        tries: Failed deliveries since the last success.
        failing_since: When the first of them was.
        error: Why the last one failed.
    """

    receiver: str
    key: str
    labels: dict[str, str]
    notified: dict[str, NotifiedAlert] = msgspec.field(default_factory=dict, name="told")  # as older states have it
    ended: dict[str, NotifiedAlert] = {}
    due: float | None = None
    sent_at: float | None = None
    number: int = 0
    sending: str = ""
    silenced: list[str] = []
    tries: int = 0
    failing_since: float | None = None
    error: str = ""


class StateTaken(Exception):
    """Another process has the state."""


class State:
    """The file, or memory where there is none.

    Args:
        directory: Where `notify.db` is; None keeps everything in memory.

    Raises:
        StateTaken: Another console of this directory sends notifications already.
    """

    def __init__(self, directory: Path | None) -> None:
        self.error = ""
        self._lock = threading.Lock()
        self.path = None if directory is None else directory / FILE
        try:
            self._db = self._open(self.path)
        except sqlite3.DatabaseError as error:
            if _is_locked(error):
                raise StateTaken(f"another console of {directory} sends notifications") from None
            self._db = self._replaced(error)
        except OSError as error:
            self.error = f"{self.path}: {error.strerror or type(error).__name__}"
            self._db = self._open(None)
        if self.error:
            logger.error("tachograph notify: state is not kept across a restart: %s", self.error)

    def _open(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:
            make_private_directory(path.parent)
            make_private_file(path)
        db = sqlite3.connect(
            ":memory:" if path is None else str(path), check_same_thread=False, isolation_level=None, timeout=0
        )
        try:
            # Exclusive for as long as the connection lives: a second console must not send the same again.
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("BEGIN EXCLUSIVE")
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute("COMMIT")
            db.execute("SELECT count(*) FROM groups").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _replaced(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """A new file in the place of one that cannot be read, which is kept under another name."""
        assert self.path is not None
        aside = self.path.with_name(f"{FILE}.unreadable-{int(time.time())}")
        logger.error("tachograph notify: %s cannot be read (%s); it is now %s", self.path, error, aside.name)
        try:
            os.replace(self.path, aside)
            return self._open(self.path)
        except (OSError, sqlite3.DatabaseError) as second:
            self.error = f"{self.path}: {type(second).__name__}"
            return self._open(None)

    # -- groups -------------------------------------------------------------------------------------------------

    def groups(self) -> list[AlertGroup]:
        """What was sent to every receiver."""
        found = []
        for receiver, key, body in self._db.execute("SELECT receiver, key, body FROM groups"):
            try:
                found.append(msgspec.json.decode(body, type=AlertGroup))
            except ValueError as error:
                logger.error("tachograph notify: what was sent to %s about %s cannot be read: %s", receiver, key, error)
        return found

    def save(self, changed: Iterable[AlertGroup], gone: Iterable[tuple[str, str]] = ()) -> None:
        """Write groups, and remove those that have nothing to remember. Committed when this returns."""
        rows = [(one.receiver, one.key, msgspec.json.encode(one)) for one in changed]
        removed = list(gone)
        if not rows and not removed:
            return
        self._write(
            [
                ("INSERT OR REPLACE INTO groups VALUES(?,?,?)", rows),
                ("DELETE FROM groups WHERE receiver = ? AND key = ?", removed),
            ]
        )

    # -- alerts of the evaluator ----------------------------------------------------------------------------------

    def active(self) -> dict[tuple[str, int], list[SavedAlert]]:
        """The active alerts of each rule, by its name and its position among the rules of that name."""
        found: dict[tuple[str, int], list[SavedAlert]] = {}
        for rule, position, body in self._db.execute("SELECT rule, position, body FROM active"):
            try:
                found.setdefault((rule, position), []).append(msgspec.json.decode(body, type=SavedAlert))
            except ValueError as error:
                logger.error("tachograph notify: an alert of %s cannot be read: %s", rule, error)
        return found

    def save_active(self, alerts: dict[tuple[str, int], list[SavedAlert]], now: float) -> None:
        """Keep the active alerts of all rules."""
        rows = [(rule, n, msgspec.json.encode(one)) for (rule, n), found in alerts.items() for one in found]
        self._write(
            [
                ("DELETE FROM active", [()]),
                ("INSERT INTO active VALUES(?,?,?)", rows),
                ("INSERT OR REPLACE INTO meta VALUES('saved', ?)", [(now,)]),
            ]
        )

    def saved_at(self) -> float:
        """When the active alerts were last kept; 0: never."""
        found = self._db.execute("SELECT value FROM meta WHERE name = 'saved'").fetchone()
        return float(found[0]) if found else 0.0

    def _write(self, statements: Sequence[tuple[str, Sequence[tuple[object, ...]]]]) -> None:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    for statement, rows in statements:
                        self._db.executemany(statement, rows)
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
                self.error = ""
            except sqlite3.Error as error:
                self.error = f"{self.path}: {error}"
                raise

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._db.close()


def _is_locked(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
