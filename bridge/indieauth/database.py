"""The built-in server's SQLite database, and how secrets are made and hashed.

Every statement is short, so that it runs on the event loop: nothing else of this process comes
between the statements of one method, and ``BEGIN IMMEDIATE`` keeps other processes (the command
line) out.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.errors import Unavailable
from bridge.indieauth.migrations import MIGRATIONS
from bridge.runtime import private

_BUSY_SECONDS = 5.0

_log = logging.getLogger(__name__)


class TooNew(Unavailable):
    """The database was written by a newer version of this program."""


def new_secret() -> str:
    """256 random bits, as text that fits a header, a URL and a form."""
    return secrets.token_urlsafe(32)


def as_bytes(text: str) -> bytes:
    """Any text that someone sent as a secret, for hashing and comparing: even one with lone
    surrogates, which cookies and JSON can hold.
    """
    return text.encode("utf-8", "surrogatepass")


def digest(secret: str) -> bytes:
    """The hash that is stored for a secret. Secrets have 256 random bits, so no slow hash is
    needed.
    """
    return hashlib.sha256(as_bytes(secret)).digest()


class Database:
    """One connection. Opening makes the file (readable by its owner alone) and migrates it."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`Unavailable` if it cannot be opened, :class:`TooNew` if it is too new."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            private.create(path)
            private.tighten(private.database_files(path))
            self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"The IndieAuth database {path} cannot be opened.") from error
        self._migrate()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """An exclusive, durable transaction."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise Unavailable("The IndieAuth database cannot be written.") from error

    def note(self, sql: str, *values: object) -> None:
        """Write something that may be lost: at once, or not at all.

        No request waits or fails because another program is writing just now.
        """
        try:
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute(sql, values)
        except sqlite3.OperationalError as error:
            _log.debug("not noted: %s", error)
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query, if any."""
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            raise Unavailable("The IndieAuth database cannot be read.") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _migrate(self) -> None:
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise TooNew("The IndieAuth database belongs to a newer version of the bridge.")
            for step in MIGRATIONS[version:]:
                for statement in step:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
