"""The built-in server's SQLite database, and how secrets are generated and hashed.

Statements are short enough to run on the event loop, so that the statements of one method are not
interleaved with others of this process. ``BEGIN IMMEDIATE`` keeps out other processes, such as the
command line.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from bridge.errors import InsufficientStorage, Unavailable
from bridge.indieauth.migrations import MIGRATIONS
from bridge.runtime import private
from bridge.runtime.damage import is_damaged, primary_code

#: How long the event loop waits for another process that writes. One that was found to hold its
#: lock for longer is not waited for again, or each request would stop all others for as long.
_BUSY_SECONDS = 1.0
_OPENING_SECONDS = 5.0
_PAUSE = 0.02
#: A file that was found unusable, and has not changed, is tried again after this: another program
#: had locked it, or its permissions were wrong.
_AGAIN_SECONDS = 5.0

_REPLACED = "was changed by another program"

#: Which file there is, and when it was written.
_Stamp: TypeAlias = tuple[int, int, int]

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
    """A connection to the database. Opening creates the file with mode 0600 and migrates it.

    If the file is removed, replaced or damaged while it is open, all methods raise
    :class:`Unavailable` until there is a sound one of the same owner's, such as a backup that was
    copied there. No new one takes its place: it would know no token and no passkey.

    After each write SQLite's log is copied to the file, which is then complete by itself: nothing
    is left that would be mixed with a backup that is copied over it.
    """

    def __init__(self, path: Path) -> None:
        """Raises :class:`Unavailable` if the file cannot be opened, :class:`TooNew` if a
        newer version wrote it.
        """
        self._path = path
        self._uri = f"{path.absolute().as_uri()}?mode=rw"
        self._busy_seconds = _OPENING_SECONDS
        #: What became of the file that was open; the one in its place that was found unusable.
        self._fault = ""
        self._refused: _Stamp | None = None
        self._again_at = 0.0
        self._doubted = False
        #: Whether another program kept the log from being copied.
        self._log_left = False
        self._left_open: list[sqlite3.Connection] = []
        self._marks: frozenset[bytes] = frozenset()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            private.create(path)
            self._connect(_OPENING_SECONDS)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"The IndieAuth database {path} cannot be opened.") from error
        self._migrate()
        self._marks = _marks(self._connection)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """An exclusive and durable transaction.

        Raises :class:`Unavailable` if the database cannot be written, and
        :class:`InsufficientStorage` if the disk is full; nothing is written then.
        """
        self._look()
        with self._raising(Unavailable("The IndieAuth database cannot be written.")):
            self._begin()
            try:
                yield self._connection
            except BaseException:
                # On a full disk SQLite may have done that.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        if not self._marks:
            with suppress(sqlite3.Error):
                self._marks = _marks(self._connection)
        self._copy_log()

    def note(self, sql: str, *values: object) -> None:
        """Execute a statement whose effect may be lost, without waiting for a lock.

        No request waits or fails because another process is writing.
        """
        try:
            self._look()
        except Unavailable:
            return
        try:
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute(sql, values)
        except sqlite3.DatabaseError as error:
            self._doubted |= is_damaged(error)
            _log.debug("not noted: %s", error)
        finally:
            self._wait_at_most(self._busy_seconds)
        self._copy_log()

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query, or ``None``."""
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query. Raises :class:`Unavailable` if the database cannot be read."""
        self._look()
        with self._raising(Unavailable("The IndieAuth database cannot be read.")):
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _raising(self, failure: Unavailable) -> Iterator[None]:
        """Raise ``failure`` for SQLite's errors, except where a statement is wrong or the disk is
        full.
        """
        try:
            yield
        except sqlite3.DatabaseError as error:
            damaged = is_damaged(error)
            if not damaged and not isinstance(error, sqlite3.OperationalError):
                raise
            self._doubted |= damaged
            if primary_code(error) == sqlite3.SQLITE_FULL:
                raise InsufficientStorage("The disk is full; nothing was written.") from error
            raise failure from error

    def _connect(self, patience: float) -> None:
        """Open the file, which exists, and wait so many seconds for a lock. Raises ``OSError``,
        ``sqlite3.Error``.
        """
        private.tighten(private.database_files(self._path))
        connection = sqlite3.connect(self._uri, uri=True, timeout=patience, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            _use_wal(connection, patience)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection
        self._seen, self._wal = _stamp(self._path), self._wal_beside()

    def _copy_log(self) -> None:
        """Have SQLite copy its log to the file, without waiting for others that read it.

        If that fails, it is done at the next opportunity: what was written is durable in the log.
        """
        self._log_left = True
        if _stamp(self._path) != self._seen:
            return
        try:
            self._connection.execute("PRAGMA busy_timeout = 0")
            ((busy, *_),) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._log_left = bool(busy)
        except sqlite3.DatabaseError as error:
            self._doubted |= is_damaged(error)
            _log.debug("the log of the IndieAuth database is not copied: %s", error)
        finally:
            self._wait_at_most(self._busy_seconds)
        self._seen = _stamp(self._path)

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

    # What becomes of the file while it is open.

    def _look(self) -> None:
        """Raises :class:`Unavailable` if the file is not what it was, and not a sound one."""
        stamp = _stamp(self._path)
        if self._is_in_transaction:
            return
        if stamp == self._seen and not self._doubted and not self._fault:
            if self._log_left:
                self._copy_log()
            return
        is_refused = stamp is not None and stamp == self._refused
        if is_refused and time.monotonic() < self._again_at:
            raise _lost()
        if not self._fault:
            is_ours = stamp and self._seen and stamp[:2] == self._seen[:2]
            is_sound = bool(is_ours and not _why_unusable(self._uri))
            if is_sound and not self._doubted and self._has_log():
                # SQLite is copying its log, for another process.
                self._seen = stamp
                return
            self._release(keep_log=is_sound)
            self._fault = _REPLACED if is_sound else "is damaged"
        before = self._fault
        fault = "is gone" if stamp is None else self._why_not_opened()
        self._doubted = False
        if not fault:
            # Commands change it, too.
            level = logging.INFO if before == _REPLACED else logging.WARNING
            path = self._path
            _log.log(level, "the IndieAuth database %s %s, and was opened again", path, before)
            self._refused = None
            return
        if fault != self._fault:
            _log.error(
                "the IndieAuth database %s %s: nobody can sign in, and no token is accepted, until"
                " a backup of it is copied there. Without one, stop the bridge, remove the file,"
                " start the bridge, and set up anew how you sign in",
                self._path,
                fault,
            )
        self._fault, self._refused = fault, stamp
        self._again_at = time.monotonic() + _AGAIN_SECONDS
        raise _lost()

    @property
    def _is_in_transaction(self) -> bool:
        return not self._fault and self._connection.in_transaction

    def _why_not_opened(self) -> str:
        """Open the file in the place of the former one; returns why not, or ``""``."""
        if why := _why_unusable(self._uri):
            return why
        try:
            self._connect(_BUSY_SECONDS)
            marks = _marks(self._connection)
        except (OSError, sqlite3.Error) as error:
            return f"cannot be opened ({error})"
        # One that has never had an owner or a token had none to lose.
        if self._marks and not marks & self._marks:
            self._connection.close()
            return "was replaced by a new one, or another owner's"
        fault, self._fault = self._fault, ""
        try:
            self._migrate()
        except (Unavailable, InsufficientStorage) as error:
            self._fault = fault
            self._connection.close()
            return f"cannot be used: {error}"
        self._marks = marks
        return ""

    def _release(self, *, keep_log: bool) -> None:
        """Close the file; ``keep_log``: what is in the log beside it belongs to it."""
        with suppress(sqlite3.Error):
            self._marks |= _marks(self._connection)
        if not keep_log and self._wal_beside() not in {None, self._wal}:
            # That log has come with another file, and would be removed with this one.
            self._left_open.append(self._connection)
            return
        log = self._path.with_name(f"{self._path.name}-wal")
        if not keep_log:
            # It would be copied to what is in the place of the file, which may be a backup.
            with suppress(OSError):
                os.truncate(log, 0)
        with suppress(sqlite3.Error):
            self._connection.close()
        if not keep_log:
            with suppress(OSError):
                log.unlink()

    def _has_log(self) -> bool:
        return _stamp(self._path.with_name(f"{self._path.name}-wal")) is not None

    def _wal_beside(self) -> int | None:
        found = _stamp(self._path.with_name(f"{self._path.name}-wal"), may_be_empty=True)
        return found and found[1]


def _lost() -> Unavailable:
    return Unavailable(
        "The database of this bridge's tokens and passkeys is damaged, gone or not the former one."
        " Its owner can copy a backup of it to its place: the bridge's log says more."
    )


def _stamp(path: Path, *, may_be_empty: bool = False) -> _Stamp | None:
    """``None`` if there is no file, or an empty one."""
    try:
        found = path.stat()
    except OSError:
        return None
    is_there = found.st_size or may_be_empty
    return (found.st_dev, found.st_ino, found.st_mtime_ns) if is_there else None


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Have the database in WAL mode.

    Where another process is making the same new file (``serve`` and a command, both for the
    first time), SQLite does not wait for its lock, whatever the timeout.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _why_unusable(uri: str) -> str:
    """What is wrong with a database, read anew from the disk; ``""`` for nothing."""
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
            ((found,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        return f"is damaged ({error})" if is_damaged(error) else ""
    return "" if found == "ok" else f"is damaged ({found})"


def _marks(connection: sqlite3.Connection) -> frozenset[bytes]:
    """What tells this owner's database from others: the owner's handle, and the first tokens."""
    rows = connection.execute(
        "SELECT handle FROM owner UNION ALL SELECT * FROM (SELECT hash FROM tokens LIMIT 100)"
    )
    return frozenset(bytes(row[0]) for row in rows)
