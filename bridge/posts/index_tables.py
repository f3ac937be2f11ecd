"""The index's SQLite file: its tables, its format version, and the replacement of a damaged
file.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from bridge.posts.addresses import canonical
from bridge.runtime import private
from bridge.site.messages import IndexedPost, ReservedPage, Unread, shown_if_not_utf8
from bridge.store import StoreBroken, StoreFull

log = logging.getLogger(__name__)

#: Incremented whenever a column changes its meaning: an older file is then replaced.
_FORMAT = 10
#: How many rows one statement inserts: of the widest table fewer values than SQLite binds.
_ROWS = 50
#: What is dropped when every file is described again. Each of them has a column ``path``.
TABLES = ("posts", "pages", "aliases", "tags", "listings", "unread")
_SCHEMA = """
CREATE TABLE posts (
    path TEXT PRIMARY KEY, blob TEXT NOT NULL, url TEXT NOT NULL, save_as TEXT NOT NULL,
    status TEXT NOT NULL, type TEXT NOT NULL, published REAL NOT NULL, channel TEXT NOT NULL,
    categories TEXT NOT NULL, aliases TEXT NOT NULL, text TEXT NOT NULL,
    listings TEXT NOT NULL, found TEXT NOT NULL, address TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX posts_by_address ON posts (address);
CREATE INDEX posts_by_page ON posts (save_as);
CREATE INDEX posts_by_date ON posts (published DESC, path);
CREATE TABLE aliases (
    address TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY (address, path)
) WITHOUT ROWID;
CREATE TABLE unread (path TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pages (path TEXT PRIMARY KEY, save_as TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX pages_by_page ON pages (save_as);
CREATE TABLE tags (path TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (tag, path)) WITHOUT ROWID;
CREATE TABLE listings (
    path TEXT NOT NULL, listing TEXT NOT NULL, PRIMARY KEY (listing, path)
) WITHOUT ROWID;
CREATE TABLE former (
    address TEXT NOT NULL, path TEXT NOT NULL, save_as TEXT NOT NULL, by_hand INTEGER NOT NULL,
    PRIMARY KEY (address, path)
) WITHOUT ROWID;
CREATE TABLE state (version TEXT NOT NULL, rules TEXT NOT NULL);
"""

_COLUMNS = tuple(field.name for field in msgspec.structs.fields(IndexedPost))
_LISTS = ("categories", "aliases", "listings")
#: Where columns are that hold JSON, with what most posts have there.
_AS_JSON = (*((_COLUMNS.index(name), "[]") for name in _LISTS), (_COLUMNS.index("found"), "{}"))
_json = msgspec.json.Decoder().decode
_to_json = msgspec.json.Encoder().encode
#: The columns of a post, from which :func:`entry_of` makes one.
POST = ", ".join(f"posts.{name}" for name in _COLUMNS)


def entry_of(row: Sequence[str]) -> IndexedPost:
    """A post from its row."""
    values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    values |= {name: tuple(_json(values[name])) for name in _LISTS}
    return IndexedPost(**{**values, "found": _json(values["found"])})


def stored(path: str) -> str:
    """The path of a file as the tables have it: SQLite stores no names that are not UTF-8."""
    return shown_if_not_utf8(path) or path


def insert(
    database: sqlite3.Connection,
    found: Sequence[IndexedPost | ReservedPage | Unread | None],
    own: frozenset[str],
) -> None:
    """Insert the descriptions of files; ``own`` are the site's host names."""
    entries = [each for each in found if isinstance(each, IndexedPost)]
    tables: dict[str, list[Sequence[object]]] = {
        "INTO pages": [(e.path, e.save_as) for e in found if isinstance(e, ReservedPage)],
        "INTO posts": [_row(entry, own) for entry in entries],
        "OR IGNORE INTO aliases": [
            (canonical(url, own), entry.path) for entry in entries for url in entry.aliases
        ],
        "OR IGNORE INTO tags": [(entry.path, tag) for entry in entries for tag in entry.categories],
        "OR IGNORE INTO listings": [
            (entry.path, listing) for entry in entries for listing in entry.listings
        ],
        "OR REPLACE INTO unread": [(e.path, e.reason) for e in found if isinstance(e, Unread)],
    }
    for into, rows in tables.items():
        # A statement of many rows takes two thirds of the time of many statements.
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            marks = ", ".join([f"({', '.join('?' * len(some[0]))})"] * len(some))
            sql = f"INSERT {into} VALUES {marks}"  # noqa: S608 - fixed names and question marks
            database.execute(sql, [*chain.from_iterable(some)])


def forget(database: sqlite3.Connection, paths: Iterable[str], own: frozenset[str]) -> None:
    """Delete the rows of these files; ``own`` are the site's host names, as they were inserted.

    The rows of a post's tags, lists and aliases are found by what the post's own row says: an index
    of them by path would cost each insertion more than a deletion gains by it.
    """
    for path in map(stored, paths):
        known = database.execute(f"SELECT {POST} FROM posts WHERE path = ?", (path,)).fetchone()  # noqa: S608 - fixed names
        if known is not None:
            post = entry_of(known)
            for table, column, values in (
                ("tags", "tag", post.categories),
                ("listings", "listing", post.listings),
                ("aliases", "address", [canonical(url, own) for url in post.aliases]),
            ):
                database.executemany(
                    f"DELETE FROM {table} WHERE {column} = ? AND path = ?",  # noqa: S608 - fixed names
                    [(value, path) for value in values],
                )
        for table in ("posts", "pages", "unread"):
            database.execute(f"DELETE FROM {table} WHERE path = ?", (path,))  # noqa: S608 - fixed names


def _row(entry: IndexedPost, own: frozenset[str]) -> Sequence[object]:
    values: list[object] = [*msgspec.structs.astuple(entry), canonical(entry.url, own)]
    for place, empty in _AS_JSON:
        value = values[place]
        values[place] = _to_json(value).decode() if value else empty
    return values


def open_tables(file: Path) -> sqlite3.Connection:
    """Connect for writing; a file that is damaged or of another format is replaced.

    Raises :class:`StoreBroken` if no new one can be made.
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
    """Translate SQLite's errors into the store's.

    Raises :class:`StoreFull` and :class:`StoreBroken` in their place.
    """
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
        # Derived data: if a crash loses it, it is built again, so syncing is not worth the time.
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
