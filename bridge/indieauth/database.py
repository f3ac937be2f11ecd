"""The built-in server's SQLite database, and how secrets are generated and hashed.

Statements are short enough to run on the event loop, so that the statements of one method are not
interleaved with others of this process. ``BEGIN IMMEDIATE`` keeps out other processes, such as the
command line.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.errors import Unavailable
from bridge.indieauth.migrations import MIGRATIONS
from bridge.runtime import private

#: How long the event loop waits for another process that writes. One that was found to hold its
#: lock for longer is not waited for again, or each request would stop all others for as long.
_BUSY_SECONDS = 1.0
_OPENING_SECONDS = 5.0
_PAUSE = 0.02

_log = logging.getLogger(__name__)


class TooNew(Unavailable):
    """The database was written by a newer version of this program."""


def new_secret() -> str:
    """256 random bits as text that can be used in a header, a URL and a form."""
    return secrets.token_urlsafe(32)


def as_bytes(text: str) -> bytes:
    """A received secret as bytes, for hashing and comparing; accepts lone surrogates, which
    cookies and JSON may contain.
    """
    return text.encode("utf-8", "surrogatepass")


def digest(secret: str) -> bytes:
    """The hash under which a secret is stored. Secrets have 256 random bits, so SHA-256
    suffices.
    """
    return hashlib.sha256(as_bytes(secret)).digest()


class Database:
    """A connection to the database. Opening creates the file with mode 0600 and migrates it."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`Unavailable` if the file cannot be opened, :class:`TooNew` if a
        newer version wrote it.
        """
        self._busy_seconds = _OPENING_SECONDS
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            private.create(path)
            private.tighten(private.database_files(path))
            self._connection = sqlite3.connect(path, timeout=_OPENING_SECONDS, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            self._use_wal()
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"The IndieAuth database {path} cannot be opened.") from error
        self._migrate()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """An exclusive and durable transaction.

        Raises :class:`Unavailable` if the database cannot be written; nothing is then.
        """
        try:
            self._begin()
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise Unavailable("The IndieAuth database cannot be written.") from error

    def _use_wal(self) -> None:
        """Have the database in WAL mode.

        Where another process is making the same new file (``serve`` and a command, both for the
        first time), SQLite does not wait for its lock, whatever the timeout.
        """
        deadline = time.monotonic() + _OPENING_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def _begin(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            self._wait_at_most(0)
            raise
        if self._busy_seconds != _BUSY_SECONDS:
            self._wait_at_most(_BUSY_SECONDS)

    def _wait_at_most(self, seconds: float) -> None:
        self._busy_seconds = seconds
        self._connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    def note(self, sql: str, *values: object) -> None:
        """Execute a statement whose effect may be lost, without waiting for a lock.

        No request waits or fails because another process is writing.
        """
        try:
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute(sql, values)
        except sqlite3.OperationalError as error:
            _log.debug("not noted: %s", error)
        finally:
            self._wait_at_most(self._busy_seconds)

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query, or ``None``."""
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query. Raises :class:`Unavailable` if the database cannot be read."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            raise Unavailable("The IndieAuth database cannot be read.") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _migrate(self) -> None:
        # Only if necessary: commands that read do so beside one that writes, and on a full disk.
        if self.all("PRAGMA user_version")[0]["user_version"] == len(MIGRATIONS):
            self._wait_at_most(_BUSY_SECONDS)
            return
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise TooNew("The IndieAuth database belongs to a newer version of the bridge.")
            for step in MIGRATIONS[version:]:
                for statement in step:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
