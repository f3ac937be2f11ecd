"""What the site's posts are and where they live, in SQLite: derived, may be deleted at any time.

The files are the truth. The index follows them by the difference between two versions, so that a
question costs microseconds instead of a walk over the files.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

from bridge.store import BlobId, ContentStore, StoreBroken, Version
from bridge.store.post_tables import TABLES, open_tables, translated

log = logging.getLogger(__name__)

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One post, as far as questions need it.

    ``url`` is absolute, ``save_as`` the path of its page in the output. ``published`` is in seconds
    since the epoch. ``status`` is Pelican's (``published``, ``draft``, ``hidden``), ``type`` the
    discovered post type, ``channel`` Pelican's category, ``categories`` its tags, ``aliases`` the
    URLs at which it once lived, ``text`` what ``filter`` looks through, ``listings`` the lists that
    it is on and whose file another list may want (:mod:`bridge.content.listings`).
    """

    path: str
    blob: BlobId
    url: str
    save_as: str
    status: str
    type: str
    published: float
    channel: str
    categories: tuple[str, ...]
    aliases: tuple[str, ...]
    text: str
    listings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A file that is no post, but has a page that no post may have: ``save_as`` in the output."""

    path: str
    save_as: str


#: Tells what the index should know of a file; ``None`` where it is neither a post nor a page.
Describe = Callable[[str, BlobId, bytes], Entry | Page | None]

_COLUMNS = tuple(field.name for field in fields(Entry))
_LISTS = ("categories", "aliases", "listings")


class PostIndex:
    """Answers by URL, by date, by tag. Safe to use from any thread."""

    def __init__(self, file: Path, store: ContentStore, folder: str, describe: Describe) -> None:
        """``file`` is created where it is missing; ``folder`` is the content folder."""
        self._store = store
        self._folder = folder
        self._describe = describe
        # Questions have a connection of their own, so that none waits for a long refresh.
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._database = open_tables(file)
        self._reader = sqlite3.connect(file, check_same_thread=False)
        self._lists: dict[str, tuple[Version | None, list[str]]] = {}
        self.version: Version | None = None

    def refresh(self, rules: str) -> Version | None:
        """Bring the index to the store's newest version and return that.

        ``rules`` names whatever else the answers depend on (the site's settings): where it is not
        the same as last time, everything is described anew. Raises what the store does, and so
        where the index itself cannot be written.
        """
        with self._writing, translated():
            head = self._store.head()
            if head is None:
                return None
            known = self._state(rules)
            if known != head:
                with self._database:
                    self._follow(known, head)
                    self._database.execute("DELETE FROM state")
                    self._database.execute("INSERT INTO state VALUES (?, ?)", (head, rules))
            self.version = head
            return head

    def find(self, url: str) -> Entry | None:
        """The post that lives at ``url``, or once did."""
        found = self._one("SELECT * FROM posts WHERE url = ? ORDER BY path LIMIT 1", url)
        return found or self._one(
            "SELECT posts.* FROM aliases JOIN posts USING (path) WHERE aliases.url = ? LIMIT 1", url
        )

    def taken_by(self, url: str, save_as: str, *, but: str = "") -> str | None:
        """The file of a post, other than ``but``, or of a page that has, or had, this address."""
        with self._reading:
            row = self._reader.execute(
                "SELECT path FROM posts WHERE (url = ? OR save_as = ?) AND path != ?"
                " UNION ALL SELECT path FROM aliases WHERE url = ? AND path != ?"
                " UNION ALL SELECT path FROM pages WHERE save_as = ? LIMIT 1",
                (url, save_as, but, url, but, save_as),
            ).fetchone()
        return None if row is None else str(row[0])

    def listings(self, path: str) -> frozenset[str]:
        """The lists that the post in one file is on."""
        with self._reading:
            rows = self._reader.execute("SELECT listing FROM listings WHERE path = ?", (path,))
            return frozenset(listing for (listing,) in rows)

    def posts_on(self, listing: str) -> int:
        """How many posts are on a list."""
        with self._reading:
            sql = "SELECT count(*) FROM listings WHERE listing = ?"
            (count,) = self._reader.execute(sql, (listing,)).fetchone()
        return int(count)

    def is_listed(self, listing: str, *, but: str = "") -> bool:
        """Whether a post other than the one in the file ``but`` is on this list."""
        with self._reading:
            row = self._reader.execute(
                "SELECT 1 FROM listings WHERE listing = ? AND path != ? LIMIT 1", (listing, but)
            ).fetchone()
        return row is not None

    def newest(
        self,
        *,
        limit: int,
        offset: int = 0,
        after: tuple[float, str] | None = None,
        before: tuple[float, str] | None = None,
        type: str | None = None,  # noqa: A002 - the query's own word
        statuses: Sequence[str] = (),
        text: str | None = None,
    ) -> list[Entry]:
        """Posts, newest first.

        ``after`` and ``before`` are the date and path of a post: the page that follows it (older
        posts), and the one that leads to it (newer ones).
        """
        where, values = ["1"], list[object]()
        if after is not None:
            where.append("(published < ? OR (published = ? AND path > ?))")
            values += [after[0], *after]
        if before is not None:
            where.append("(published > ? OR (published = ? AND path < ?))")
            values += [before[0], *before]
        if type is not None:
            where.append("type = ?")
            values.append(type)
        if statuses:
            where.append(f"status IN ({', '.join('?' * len(statuses))})")
            values += statuses
        if text:
            where.append("instr(text, ?)")
            values.append(text.casefold())
        # Towards newer posts the nearest come first, so the page is read upwards and turned round.
        order = "published ASC, path DESC" if before is not None else "published DESC, path ASC"
        query = f"SELECT * FROM posts WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608 - fixed parts; values are bound
        with self._reading:
            rows = self._reader.execute(query, (*values, limit, offset)).fetchall()
        entries = [_entry(row) for row in rows]
        return entries[::-1] if before is not None else entries

    def categories(self, text: str = "") -> list[str]:
        """The tags in use, those of most posts first; only those that contain ``text``."""
        tags = self._words("SELECT tag FROM tags GROUP BY tag ORDER BY count(*) DESC, tag")
        return [tag for tag in tags if text.casefold() in tag.casefold()]

    def channels(self) -> list[str]:
        """The Pelican categories in use, by name."""
        names = self._words("SELECT DISTINCT channel FROM posts ORDER BY 1")
        return [name for name in names if name]

    def close(self) -> None:
        """Let go of the file."""
        with self._writing, self._reading:
            self._reader.close()
            self._database.close()

    def _one(self, query: str, value: str) -> Entry | None:
        with self._reading:
            row = self._reader.execute(query, (value,)).fetchone()
        return None if row is None else _entry(row)

    def _words(self, query: str) -> list[str]:
        """The one column of a query over all posts; asked once a version: clients ask often."""
        known = self._lists.get(query)
        if known is None or known[0] != self.version:
            version = self.version
            with self._reading:
                rows = self._reader.execute(query).fetchall()
            self._lists[query] = known = (version, [word for (word,) in rows])
        return known[1]

    def _state(self, rules: str) -> Version | None:
        with closing(self._database.execute("SELECT version, rules FROM state")) as cursor:
            row = cursor.fetchone()
        return Version(row[0]) if row and row[1] == rules else None

    def _follow(self, known: Version | None, head: Version) -> None:
        """Change the rows that differ; describe everything where too little is known."""
        if known is not None:
            try:
                differences = self._store.diff(known, head)
            except StoreBroken:
                log.info("version %s is no longer there: the index is built anew", known[:10])
            else:
                inside = [each for each in differences if self._is_inside(each.path)]
                self._forget([each.path for each in inside if each.old])
                self._learn((each.path, each.new) for each in inside if each.new)
                return
        for table in TABLES:
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names
        self._learn(self._store.files(self._folder, head))

    def _is_inside(self, path: str) -> bool:
        return path.startswith(f"{self._folder}/")

    def _forget(self, paths: Sequence[str]) -> None:
        for table in TABLES:
            self._database.executemany(
                f"DELETE FROM {table} WHERE path = ?",  # noqa: S608 - fixed names
                [(path,) for path in paths],
            )

    def _learn(self, files: Iterable[tuple[str, BlobId]]) -> None:
        count = 0
        for batch in _batches(files):
            blobs = self._store.blobs(blob for _, blob in batch)
            described = [
                self._describe(path, blob.id, blob.data)
                for (path, _), blob in zip(batch, blobs, strict=True)
            ]
            self._insert_pages([each for each in described if isinstance(each, Page)])
            self._insert([each for each in described if isinstance(each, Entry)])
            count += len(batch)
            if count % (10 * _BATCH) == 0:
                log.info("indexing: %d files", count)

    def _insert_pages(self, pages: Sequence[Page]) -> None:
        self._database.executemany(
            "INSERT INTO pages VALUES (?, ?)", [(page.path, page.save_as) for page in pages]
        )

    def _insert(self, entries: Sequence[Entry]) -> None:
        self._database.executemany(
            f"INSERT INTO posts VALUES ({', '.join('?' * len(_COLUMNS))})",  # noqa: S608 - only ?
            [_row(entry) for entry in entries],
        )
        self._database.executemany(
            "INSERT OR IGNORE INTO aliases VALUES (?, ?)",
            [(url, entry.path) for entry in entries for url in entry.aliases],
        )
        self._database.executemany(
            "INSERT OR IGNORE INTO tags VALUES (?, ?)",
            [(entry.path, tag) for entry in entries for tag in entry.categories],
        )
        self._database.executemany(
            "INSERT OR IGNORE INTO listings VALUES (?, ?)",
            [(entry.path, listing) for entry in entries for listing in entry.listings],
        )


def _batches(files: Iterable[tuple[str, BlobId]]) -> Iterator[list[tuple[str, BlobId]]]:
    """Only what can be a post is worth reading: Pelican's text formats."""
    posts = (each for each in files if each[0].endswith((".md", ".markdown", ".rst", ".html")))
    while batch := list(islice(posts, _BATCH)):
        yield batch


def _row(entry: Entry) -> tuple[object, ...]:
    values = (getattr(entry, column) for column in _COLUMNS)
    return tuple(json.dumps(value) if isinstance(value, tuple) else value for value in values)


def _entry(row: tuple[str, ...]) -> Entry:
    values = dict(zip(_COLUMNS, row, strict=True))
    lists = {name: tuple(json.loads(values.pop(name))) for name in _LISTS}
    return Entry(**values, **lists)  # type: ignore[arg-type]  # the columns are the fields
