"""The index's SQLite file: its tables, and their rows.

The table ``former`` has the addresses of posts that were moved by hand. An app that was told an
address goes on using it. Where an app moves a post, the file itself says where it was (``aliases``
in the ``Mf2`` line); where the owner edits the slug, renames the file or changes the site's URLs,
only a comparison of the index before and after shows it.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from bridge.posts.urls import canonical
from bridge.runtime import private
from bridge.runtime.damage import primary_code
from bridge.site.messages import IndexedPost, ReservedPage, Unread, shown_if_not_utf8
from bridge.store import BlobId, ContentStore, Difference, StoreBroken, StoreFull

log = logging.getLogger(__name__)

#: Incremented whenever a column changes its meaning: an older file is then replaced.
_FORMAT = 10
#: How many rows one statement inserts: in the widest table, fewer values than SQLite can bind.
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
#: With more files than this, only those renamed without an edit are recognised.
_MOST_COMPARED = 50
#: The smallest share of text that two versions of one post have in common, as in git.
_ALIKE = 0.5
#: Lines that do not distinguish posts: what the bridge writes at each edit, and headers that many
#: posts have in common. In a short note they would be half of the file.
_COMMON = re.compile(
    rb":?(mf2|modified|category|tags|keywords|authors?|status|lang|template)\s*:", re.IGNORECASE
)
#: If more posts than this move at once, their files are left alone.
_MOST_AT_ONCE = 100


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


def connect(file: Path) -> sqlite3.Connection:
    """Another connection of this process to the index.

    With ``unix-excl`` SQLite keeps what connections share in this process's memory. In a file
    beside the database, which it maps, it would end the process if another program truncated that.
    """
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?vfs=unix-excl", uri=True, check_same_thread=False
    )


def open_tables(file: Path, *, anew: bool = False) -> sqlite3.Connection:
    """Connect for writing; a file that is damaged or of another format is replaced.

    ``anew``: also if the damage does not show yet. Raises :class:`StoreFull` if there is no room
    for a new one, :class:`StoreBroken` if none can be made.
    """
    for _ in range(2):
        try:
            private.make_folder(file.parent)
            if anew:
                for leftover in private.database_files(file):
                    leftover.unlink(missing_ok=True)
            return _connect(file)
        except OSError as error:
            raise StoreBroken(f"the index {file} cannot be made: {error.strerror}") from error
        except sqlite3.DatabaseError as error:
            if primary_code(error) == sqlite3.SQLITE_FULL:
                raise _no_room() from error
            log.info("the index %s is rebuilt: %s", file, error)
            anew = True
    raise StoreBroken(f"the index {file} can be neither read nor rebuilt")


def _no_room() -> StoreFull:
    return StoreFull("there is no room for the index of the posts")


@contextmanager
def translated() -> Iterator[None]:
    """Translate SQLite's errors into the store's.

    Raises :class:`StoreFull` and :class:`StoreBroken` in their place.
    """
    try:
        yield
    except sqlite3.Error as error:
        if primary_code(error) == sqlite3.SQLITE_FULL:
            raise _no_room() from error
        raise StoreBroken(f"the index of the posts cannot be written: {error}") from error


def _connect(file: Path) -> sqlite3.Connection:
    private.create(file)
    private.tighten(private.database_files(file))
    database = connect(file)
    try:
        # Derived data, rebuilt if a crash loses it: syncing is not worth the time.
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


class MovedPost(NamedTuple):
    """A post that was moved by hand: its file, its former address (in the form of
    :func:`~bridge.posts.urls.canonical`), and its former output path.
    """

    path: str
    address: str
    save_as: str


class _Place(NamedTuple):
    """Where a post was."""

    path: str
    address: str
    save_as: str
    public: bool
    blob: BlobId


class FormerAddresses(Struct, frozen=True):
    """Where the posts of some files were, before the index forgets it."""

    database: sqlite3.Connection
    store: ContentStore
    places: Sequence[_Place]

    @classmethod
    def before(
        cls, database: sqlite3.Connection, store: ContentStore, changed: Sequence[Difference]
    ) -> FormerAddresses:
        """The current locations of the posts in changed and removed files."""
        columns = "path, address, save_as, status IN ('published', 'hidden'), blob"
        query = f"SELECT {columns} FROM posts WHERE path = ?"  # noqa: S608 - fixed names
        paths = (stored(each.path) for each in changed if each.old)
        rows = (database.execute(query, (path,)).fetchone() for path in paths)
        return cls(database, store, [_Place(*row) for row in rows if row is not None])

    def remember(self, changed: Sequence[Difference]) -> None:
        """Record the former address of every post that has another one now."""
        now = {stored(each.path): each.new for each in changed if each.new}
        new = {stored(each.path): each.new for each in changed if each.new and not each.old}
        renamed = self._renamed([each for each in self.places if each.path not in now], new)
        moved = list[tuple[str, _Place]]()
        for place in self.places:
            path = renamed.get(place.path, place.path)
            blob = now.get(path)
            if path != place.path:
                self.database.execute(
                    "UPDATE OR REPLACE former SET path = ? WHERE path = ?", (path, place.path)
                )
            elif blob is None:
                self.database.execute("DELETE FROM former WHERE path = ?", (path,))
            if blob is None or not self._is_elsewhere(path, place.address):
                continue
            if (
                self._is_alias(path, place.address)
                or _likeness(*self._lines(place.blob, blob)) >= _ALIKE
            ):
                moved.append((path, place))
            else:
                # The file now has another post, which never had this address.
                self.database.execute("DELETE FROM former WHERE path = ?", (path,))
        few = len(moved) <= _MOST_AT_ONCE
        self.database.executemany(
            "INSERT OR REPLACE INTO former VALUES (?, ?, ?, ?)",
            [(each.address, path, each.save_as, each.public and few) for path, each in moved],
        )
        # An owner who removes an alias does not want the redirect.
        self.database.execute(
            "UPDATE former SET by_hand = 0 WHERE by_hand AND EXISTS (SELECT 1 FROM aliases"
            " WHERE aliases.address = former.address AND aliases.path = former.path)"
        )

    def _is_elsewhere(self, path: str, address: str) -> bool:
        query = "SELECT address FROM posts WHERE path = ?"
        row = self.database.execute(query, (path,)).fetchone()
        return row is not None and row[0] != address

    def _is_alias(self, path: str, address: str) -> bool:
        query = "SELECT 1 FROM aliases WHERE path = ? AND address = ?"
        return self.database.execute(query, (path, address)).fetchone() is not None

    def _renamed(self, gone: Sequence[_Place], new: Mapping[str, BlobId]) -> Mapping[str, str]:
        """The new paths of files that were renamed, by their old ones."""
        paths = {blob: path for path, blob in new.items()}
        found = {each.path: paths[each.blob] for each in gone if each.blob in paths}
        left = [each for each in gone if each.path not in found]
        free = {path: blob for path, blob in new.items() if path not in found.values()}
        if not left or not free or len(left) * len(free) > _MOST_COMPARED**2:
            return found
        texts = dict(zip(free, self._lines(*free.values()), strict=True))
        for place in left:
            (before,) = self._lines(place.blob)
            likeness = {path: _likeness(before, text) for path, text in texts.items()}
            best = max(likeness, key=lambda path: likeness[path], default="")
            if best and likeness[best] >= _ALIKE:
                found[place.path] = best
                del texts[best]
        return found

    def _lines(self, *blobs: BlobId) -> Iterator[Counter[bytes]]:
        for blob in self.store.blobs(blobs):
            yield _lines_of(blob.data)


def are_alike(one: bytes, other: bytes) -> bool:
    """Whether two files are versions of one post."""
    return _likeness(_lines_of(one), _lines_of(other)) >= _ALIKE


def remember_all(database: sqlite3.Connection) -> None:
    """Record the address of every post before the site's settings change it."""
    database.execute(
        "INSERT OR IGNORE INTO former SELECT address, path, save_as, 0 FROM posts"
        " WHERE status != 'draft'"
    )


def forget_unchanged(database: sqlite3.Connection) -> None:
    """Drop the former addresses that are current again."""
    database.execute(
        "DELETE FROM former WHERE EXISTS (SELECT 1 FROM posts"
        " WHERE posts.path = former.path AND posts.address = former.address)"
    )


def without_alias(database: sqlite3.Connection) -> list[MovedPost]:
    """Public posts that were moved by hand, and whose files do not say where they were.

    Those of a change of very many posts are left out.
    """
    rows = database.execute(
        "SELECT former.path, former.address, former.save_as FROM former"
        " JOIN posts USING (path) WHERE by_hand"
        " AND posts.status IN ('published', 'hidden') AND posts.address != former.address"
        " AND NOT EXISTS (SELECT 1 FROM aliases"
        " WHERE aliases.address = former.address AND aliases.path = former.path)"
    )
    return [MovedPost(*row) for row in rows]


def _lines_of(data: bytes) -> Counter[bytes]:
    return Counter(line for line in data.splitlines() if not _COMMON.match(line))


def _likeness(one: Counter[bytes], other: Counter[bytes]) -> float:
    """The share of the longer file's text that is in both, by lines."""
    same = sum(len(line) * count for line, count in (one & other).items())
    whole = max(sum(len(line) * count for line, count in each.items()) for each in (one, other))
    return same / whole if whole else 1.0
