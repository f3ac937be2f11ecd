"""The file of the index: its tables, and what becomes of one that is of no use any more."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.runtime import private
from bridge.store import StoreBroken, StoreFull

log = logging.getLogger(__name__)

#: Raised whenever a column changes its meaning: an older file is then thrown away.
_FORMAT = 4
#: Each of them has a column ``path``.
TABLES = ("posts", "pages", "aliases", "tags", "listings", "unread")
_SCHEMA = """
CREATE TABLE posts (
    path TEXT PRIMARY KEY, blob TEXT NOT NULL, url TEXT NOT NULL, save_as TEXT NOT NULL,
    status TEXT NOT NULL, type TEXT NOT NULL, published REAL NOT NULL, channel TEXT NOT NULL,
    categories TEXT NOT NULL, aliases TEXT NOT NULL, text TEXT NOT NULL,
    listings TEXT NOT NULL, found TEXT NOT NULL, address TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX posts_by_address ON posts (address);
CREATE INDEX posts_by_url ON posts (url);
CREATE INDEX posts_by_page ON posts (save_as);
CREATE INDEX posts_by_date ON posts (published DESC, path);
CREATE TABLE aliases (
    address TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY (address, path)
) WITHOUT ROWID;
CREATE TABLE unread (path TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pages (path TEXT PRIMARY KEY, save_as TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX pages_by_page ON pages (save_as);
CREATE TABLE tags (path TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (tag, path)) WITHOUT ROWID;
CREATE INDEX tags_by_path ON tags (path);
CREATE TABLE listings (
    path TEXT NOT NULL, listing TEXT NOT NULL, PRIMARY KEY (listing, path)
) WITHOUT ROWID;
CREATE INDEX listings_by_path ON listings (path);
CREATE TABLE state (version TEXT NOT NULL, rules TEXT NOT NULL);
"""


def open_tables(file: Path) -> sqlite3.Connection:
    """Connect for writing; a file that is damaged, or of another format, is thrown away.

    Raises :class:`StoreBroken` where none can be made anew, either.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        try:
            return _connect(file)
        except sqlite3.DatabaseError as error:
            log.info("the index %s is built anew: %s", file, error)
            for leftover in file.parent.glob(file.name + "*"):
                leftover.unlink()
    raise StoreBroken(f"the index {file} can be neither read nor made anew")


@contextmanager
def translated() -> Iterator[None]:
    """What SQLite says, in the words of the store."""
    try:
        yield
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise StoreFull("there is no room for the index of the posts") from error
        raise StoreBroken(f"the index of the posts cannot be written: {error}") from error


def _connect(file: Path) -> sqlite3.Connection:
    try:
        private.create(file)
        private.tighten(private.database_files(file))
    except OSError as error:
        raise StoreBroken(f"the index {file} cannot be made: {error.strerror}") from error
    database = sqlite3.connect(file, check_same_thread=False)
    try:
        # Derived data: if a crash loses it, it is built anew. No sync is worth its time.
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA journal_mode = WAL")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found == 0:
            database.executescript(f"{_SCHEMA} PRAGMA user_version = {_FORMAT};")
        elif found != _FORMAT:
            raise sqlite3.DatabaseError(f"format {found}, not {_FORMAT}")
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
