"""The index of the site's posts, in SQLite. It is derived data and may be deleted at any time.

The files are the truth. The index follows them by the difference between two versions, so a query
takes microseconds and reads no files.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from itertools import tee
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bridge.errors import IndexLost
from bridge.posts.index_tables import (
    POST,
    TABLES,
    FormerAddresses,
    MovedPost,
    connect,
    entry_of,
    forget,
    forget_unchanged,
    insert,
    open_tables,
    remember_all,
    stored,
    translated,
    without_alias,
)
from bridge.posts.linked import changed_links, found_differences, found_files, places_of
from bridge.posts.urls import canonical, hosts
from bridge.runtime import private
from bridge.runtime.damage import is_unusable
from bridge.runtime.release_memory import release_memory
from bridge.site.messages import IndexedPost, ReservedPage, SiteFacts, Source, Unread
from bridge.store import BlobId, ContentStore, Removal, StoreBroken, StoreError, Version

log = logging.getLogger(__name__)

#: The start of queries for posts: POST is a fixed list of columns.
_POSTS = f"SELECT {POST} FROM posts"  # noqa: S608 - no value of a user's is in it
#: How many files the site is asked about at once: for each batch, processes wait for each other.
_BATCH = 2000
#: Long files are in smaller batches, of this many bytes, but not in any that counts as a handful.
_BATCH_BYTES, _LEAST = 1 << 21, 51
#: The suffixes of the files that Pelican's own readers read.
_USUAL = (".htm", ".html", ".markdown", ".md", ".mdown", ".mkd", ".rst", ".static")
#: How much is read of a new index's files before the site is loaded.
_MOST_AHEAD = 1 << 25
#: With more symbolic links that changed at once, every file is described again.
_MOST_LINKS = 500
#: A batch on sites whose readers and plugins take milliseconds for a file, so that progress shows.
_SLOW_BATCH = 100
#: How many posts are searched for recently used tags.
_RECENT = 1000
#: How many batches the site has at once: one for each processor, and one waiting.
_AHEAD = 3
#: Seconds between two log lines about the progress of a long refresh.
_LOG_EVERY = 5.0
#: Stands in for the version until all of its files are described.
_UNFINISHED = Version("")
_LOST = "The index of the posts was damaged, and is made again. Try again in a moment."


#: Describes some files, in the background: others are read at the same time.
Describe: TypeAlias = Callable[
    [Sequence[Source]], Future[list[IndexedPost | ReservedPage | Unread | None]]
]


class PostCounts(NamedTuple):
    """How many posts there are: in total, drafts, and scheduled ones."""

    all: int
    drafts: int
    scheduled: int


class ReadableFiles:
    """The files in the content folder of one version that a reader of the site can read: only those
    can be posts.
    """

    def __init__(
        self, store: ContentStore, files: Iterable[tuple[str, BlobId]], suffixes: tuple[str, ...]
    ) -> None:
        """``suffixes`` are those of the site's readers, each with its dot."""
        self._suffixes = suffixes
        self._early = deque[Source]()
        self._coming = self._read(store, files)

    def __iter__(self) -> Iterator[Source]:
        while self._early:
            source = self._early.popleft()
            if source.path.endswith(self._suffixes):
                yield source
        yield from self._coming

    def read_ahead(self, most: int, stop: threading.Event) -> None:
        """Read files until ``stop`` is set, or they have this many bytes. Raises what the store
        does.
        """
        for source in self._coming:
            self._early.append(source)
            most -= len(source.data)
            if most <= 0 or stop.is_set():
                return

    def narrow(self, suffixes: tuple[str, ...]) -> bool:
        """Leave out files with other suffixes than these. ``False`` if some with these may be left
        out already.
        """
        if not set(suffixes) <= set(self._suffixes):
            return False
        self._suffixes = suffixes
        return True

    def _read(self, store: ContentStore, files: Iterable[tuple[str, BlobId]]) -> Iterator[Source]:
        posts, asked = tee(each for each in files if each[0].endswith(self._suffixes))
        blobs = store.blobs(blob for _, blob in asked)
        for (path, _), blob in zip(posts, blobs, strict=True):
            yield Source(path, blob.id, blob.data)


class PostIndex:
    """Finds posts by URL, date or tag. May be used from any thread."""

    def __init__(
        self, file: Path, store: ContentStore, folder: str, *, own: frozenset[str] = frozenset()
    ) -> None:
        """``file`` is created if it does not exist; ``folder`` is the content folder, ``own``
        are the site's host names.
        """
        self._store = store
        self._folder = folder
        self._configured = own
        self._own = own
        # Queries have a connection of their own, so that none waits for a long refresh.
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._file = file
        self._database, self._reader = open_tables(file), connect(file)
        self._opened = self._identity()
        self._damaged = False
        self._lists: dict[str, tuple[Version | None, list[Any]]] = {}
        self._suffixes: tuple[str, ...] = ()
        self._batch = _BATCH
        #: How many files a refresh has described so far; ``None`` where none is going on.
        self.described: int | None = None
        self.version: Version | None = None

    def read_ahead(self, head: Version, stop: threading.Event) -> ReadableFiles | None:
        """The files of a version, some of which are read until ``stop`` is set; ``None`` if the
        index has posts already.

        :meth:`refresh` needs them, and the site, which may take seconds until it is loaded.
        """
        files = ReadableFiles(self._store, found_files(self._store, self._folder, head), _USUAL)
        try:
            if not self.is_lost and self._column("SELECT 1 FROM posts LIMIT 1"):
                return None
            files.read_ahead(_MOST_AHEAD, stop)
        except (StoreError, IndexLost, sqlite3.Error):
            return None  # the refresh mends it, or tells
        return files

    def refresh(
        self,
        head: Version,
        facts: SiteFacts,
        describe: Describe,
        early: ReadableFiles | None = None,
    ) -> None:
        """Update the index to a version. ``early`` are its files, from :meth:`read_ahead`.

        If the site's settings (the fingerprint of its ``facts``) have changed, every file is
        described again. Raises what the store raises, and the same errors if the index cannot be
        written. Where its file was damaged or removed, a new one is made.
        """
        rules = f"{facts.fingerprint} {' '.join(sorted(self._configured))}"
        with self._writing, translated():
            self._own = self._configured | hosts(facts.siteurl)
            self._batch = _BATCH if facts.by_formatting else _SLOW_BATCH
            self._suffixes = tuple(f".{suffix}" for suffix in facts.suffixes)
            if self.is_lost:
                self._open_again()
            try:
                self._bring_to(head, rules, describe, early)
            except sqlite3.Error as error:
                if not is_unusable(error):
                    raise
                self._lose(error)
                self._open_again()
                self._bring_to(head, rules, describe)

    def _bring_to(
        self, head: Version, rules: str, describe: Describe, early: ReadableFiles | None = None
    ) -> None:
        known = self._state(rules)
        if known != head:
            self.described = 0
            try:
                with self._database:
                    if not known or not self._follow(known, head, describe):
                        self.version = None
                        self._begin(rules, unfinished=known == _UNFINISHED)
                        self._describe_all(head, describe, early)
                    self._note_state(head, rules)
            finally:
                self.described = None
        self.version = head

    @property
    def is_lost(self) -> bool:
        """Whether the file was found damaged, or is no longer there; :meth:`refresh` makes a new
        one.
        """
        return self._damaged or self._identity() != self._opened

    def make_folder(self) -> None:
        """Make the folder of the file, if it was removed. Raises :class:`StoreBroken`."""
        try:
            private.make_folder(self._file.parent)
        except OSError as error:
            raise StoreBroken(f"{self._file.parent} cannot be made: {error.strerror}") from error

    def _identity(self) -> tuple[int, int] | None:
        """Which file has the index's name; ``None`` if there is none, or an empty one."""
        try:
            found = os.stat(self._file)  # noqa: PTH116 - each request asks several times
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if found.st_size else None

    def _lose(self, error: sqlite3.Error) -> None:
        log.warning("the index of the posts is damaged, and is made again: %s", error)
        self._damaged = True
        self.version = None

    def _open_again(self) -> None:
        """Begin with an empty file. Raises what :func:`open_tables` raises."""
        self.version = None
        with self._reading:
            self._reader.close()
            self._database.close()
            self._damaged = True  # until there is one
            self._database, self._reader = open_tables(self._file, anew=True), connect(self._file)
            self._lists.clear()
            self._opened, self._damaged = self._identity(), False

    @contextmanager
    def _rows(self) -> Iterator[sqlite3.Connection]:
        """The connection for queries. Raises :class:`IndexLost` if the file is damaged."""
        with self._reading:
            if self._damaged:
                raise IndexLost(_LOST, retry_after=2)
            try:
                yield self._reader
            except sqlite3.Error as error:
                if not is_unusable(error):
                    raise
                self._lose(error)
                raise IndexLost(_LOST, retry_after=2) from error

    def find(self, url: str) -> IndexedPost | None:
        """The post that has, or once had, this URL in any spelling."""
        key = canonical(url, self._own)
        # If two posts have one address, the one whose URL is spelt like this.
        here = f"{_POSTS} WHERE address = ? ORDER BY url != ?, path LIMIT 1"
        once = f"{_POSTS} JOIN aliases USING (path) WHERE aliases.address = ? LIMIT 1"
        seen = f"{_POSTS} JOIN former USING (path) WHERE former.address = ? LIMIT 1"
        return self._one(here, key, url) or self._one(once, key) or self._one(seen, key)

    def find_linked(self, url: str) -> IndexedPost | None:
        """The post that a link to ``url`` leads to. A fragment makes no difference, nor does a
        query unless there are posts at that path whose addresses have one.
        """
        url = url.partition("#")[0]
        entry = self.find(url)
        if entry is None and not self.has_query(canonical(url, self._own).partition("?")[0]):
            return self.find(url.partition("?")[0])
        return entry

    def find_by_path(self, path: str) -> IndexedPost | None:
        """The post in a file."""
        return self._one(f"{_POSTS} WHERE path = ?", stored(path))

    def is_at(self, entry: IndexedPost, url: str) -> bool:
        """Whether a post has, or once had, this URL."""
        wanted = canonical(url, self._own)
        return any(canonical(each, self._own) == wanted for each in (entry.url, *entry.aliases))

    def has_query(self, path: str) -> bool:
        """Whether the address of a post is this canonical path with a query."""
        between = "address > ? AND address < ?"  # an index serves this; "@" comes after "?"
        sql = " UNION ALL ".join(
            f"SELECT 1 FROM {table} WHERE {between}"  # noqa: S608 - fixed names
            for table in ("posts", "aliases", "former")
        )
        with self._rows() as reader:
            values = (f"{path}?", f"{path}@") * 3
            return reader.execute(f"{sql} LIMIT 1", values).fetchone() is not None

    @property
    def own(self) -> frozenset[str]:
        """The site's own hosts."""
        return self._own

    def has_page(self, paths: Sequence[str]) -> bool:
        """Whether a page of the site is written to one of these output paths."""
        marks = ", ".join("?" * len(paths))
        with self._rows() as reader:
            sql = f"SELECT 1 FROM pages WHERE save_as IN ({marks}) LIMIT 1"  # noqa: S608 - only ?
            return reader.execute(sql, tuple(paths)).fetchone() is not None

    def unread(self) -> list[Unread]:
        """Files in the folders of posts from which Pelican makes no post."""
        with self._rows() as reader:
            rows = reader.execute("SELECT path, reason FROM unread ORDER BY path LIMIT 100")
            return [Unread(path, reason) for path, reason in rows]

    def taken_by(self, url: str, save_as: str, *, but: str = "") -> str | None:
        """The file of the post other than ``but``, or of the page, that has or had this URL."""
        key = canonical(url, self._own)
        with self._rows() as reader:
            row = reader.execute(
                "SELECT path FROM posts WHERE (address = ? OR save_as = ?) AND path != ?"
                " UNION ALL SELECT path FROM aliases WHERE address = ? AND path != ?"
                " UNION ALL SELECT path FROM pages WHERE save_as = ? LIMIT 1",
                (key, save_as, but, key, but, save_as),
            ).fetchone()
        return None if row is None else str(row[0])

    def moved_by_hand(self) -> list[MovedPost]:
        """Public posts that were moved by hand, and whose files do not say where they were.

        Those of a change of very many posts are left out.
        """
        with self._rows() as reader:
            return without_alias(reader)

    def listings(self, path: str) -> frozenset[str]:
        """The lists that the post in one file is on; none for ``""``."""
        if not path:
            return frozenset()
        with self._rows() as reader:
            row = reader.execute("SELECT listings FROM posts WHERE path = ?", (path,)).fetchone()
        return frozenset(() if row is None else json.loads(row[0]))

    def posts_on(self, listing: str) -> int:
        """How many posts are on a list."""
        with self._rows() as reader:
            sql = "SELECT count(*) FROM listings WHERE listing = ?"
            (count,) = reader.execute(sql, (listing,)).fetchone()
        return int(count)

    def listed(self, listings: Collection[str], *, but: str = "") -> frozenset[str]:
        """Those of the lists that a post other than the one in the file ``but`` is on."""
        if not listings:
            return frozenset()
        with self._rows() as reader:
            rows = reader.execute(
                "SELECT value FROM json_each(?) WHERE EXISTS"
                " (SELECT 1 FROM listings WHERE listing = value AND listings.path != ?)",
                (json.dumps([*listings]), but),
            ).fetchall()
        return frozenset(str(listing) for (listing,) in rows)

    def newest(
        self,
        *,
        limit: int,
        offset: int = 0,
        after: tuple[float, str] | None = None,
        before: tuple[float, str] | None = None,
        types: Sequence[str] = (),
        statuses: Sequence[str] = (),
        channel: str | None = None,
        text: str | None = None,
        later_than: float | None = None,
    ) -> list[IndexedPost]:
        """Posts, newest first.

        ``after`` and ``before`` are the date and path of a post: ``after`` gives older posts,
        ``before`` newer ones.
        """
        conditions: dict[str, Sequence[object] | None] = {
            # With the first half SQLite begins there, instead of with the newest or oldest post.
            "published <= ? AND (published < ? OR path > ?)": after and (after[0], *after),
            "published >= ? AND (published > ? OR path < ?)": before and (before[0], *before),
            f"type IN ({', '.join('?' * len(types))})": types or None,
            f"status IN ({', '.join('?' * len(statuses))})": statuses or None,
            "channel = ?": None if channel is None else (channel,),
            "published > ?": None if later_than is None else (later_than,),
            "instr(text, ?)": (text.casefold(),) if text else None,
        }
        given = {condition: values for condition, values in conditions.items() if values}
        # Towards newer posts the nearest come first, so the page is read backwards and reversed.
        order = "published ASC, path DESC" if before is not None else "published DESC, path ASC"
        # Conditions and ``order`` are fixed texts; all values are bound.
        where = " AND ".join(given) or "1"
        query = f"{_POSTS} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?"
        values = [value for values in given.values() for value in values]
        with self._rows() as reader:
            rows = reader.execute(query, (*values, limit, offset)).fetchall()
        entries = [entry_of(row) for row in rows]
        return entries[::-1] if before is not None else entries

    def sources(self) -> list[tuple[str, str]]:
        """The URL of every post, with the blob id of its file."""
        with self._rows() as reader:
            return list(reader.execute("SELECT url, blob FROM posts ORDER BY published DESC"))

    def counts(self, now: float) -> PostCounts:
        """How many posts there are."""
        whole, drafts = self._column(
            "SELECT count(*) FROM posts UNION ALL SELECT count(*) FROM posts WHERE status = 'draft'"
        )
        sql = "SELECT count(*) FROM posts WHERE published > ? AND status != 'draft'"
        with self._rows() as reader:
            (scheduled,) = reader.execute(sql, (now,)).fetchone()
        return PostCounts(whole, drafts, scheduled)

    def categories(self, text: str = "") -> list[str]:
        """The tags in use that contain ``text``, most used first."""
        tags: list[str] = self._column(
            "SELECT tag FROM tags GROUP BY tag ORDER BY count(*) DESC, tag"
        )
        return [tag for tag in tags if text.casefold() in tag.casefold()]

    def recent_categories(self, limit: int) -> list[str]:
        """The most recently used tags, newest first."""
        sql = "SELECT categories FROM posts ORDER BY published DESC, path LIMIT ?"
        tags: dict[str, None] = {}
        with self._rows() as reader:
            for (found,) in reader.execute(sql, (_RECENT,)):
                tags.update(dict.fromkeys(json.loads(found)))
                if len(tags) >= limit:
                    break
        return list(tags)[:limit]

    def channels(self) -> list[str]:
        """The Pelican categories in use, by name."""
        names = self._column("SELECT DISTINCT channel FROM posts ORDER BY 1")
        return [name for name in names if name]

    def close(self) -> None:
        """Close the file."""
        with self._writing, self._reading:
            self._reader.close()
            self._database.close()

    def _one(self, query: str, *values: str) -> IndexedPost | None:
        with self._rows() as reader:
            row = reader.execute(query, values).fetchone()
        return None if row is None else entry_of(row)

    def _column(self, query: str) -> list[Any]:
        """The result of a query for one column over all posts, cached per version."""
        known = self._lists.get(query)
        # During indexing there is no version, and each query finds more posts.
        if known is None or known[0] is None or known[0] != self.version:
            version = self.version
            with self._rows() as reader:
                rows = reader.execute(query).fetchall()
            self._lists[query] = known = (version, [value for (value,) in rows])
        return known[1]

    def _state(self, rules: str) -> Version | None:
        with closing(self._database.execute("SELECT version, rules FROM state")) as cursor:
            row = cursor.fetchone()
        return Version(row[0]) if row and row[1] == rules else None

    def _note_state(self, version: Version, rules: str) -> None:
        self._database.execute("DELETE FROM state")
        self._database.execute("INSERT INTO state VALUES (?, ?)", (version, rules))

    def _follow(self, known: Version, head: Version, describe: Describe) -> bool:
        """Update the rows that differ; ``False`` if the difference cannot be determined."""
        try:
            if len(changed_links(self._store, self._folder, known, head)) > _MOST_LINKS:
                return False
            inside = found_differences(self._store, self._folder, known, head)
        except StoreBroken:
            log.info("version %s is no longer there: the index is rebuilt", known[:10])
            return False
        former = FormerAddresses.before(self._database, self._store, inside)
        forget(self._database, (each.path for each in inside if each.old), self._own)
        changed = ((each.path, each.new) for each in inside if each.new)
        self._learn(ReadableFiles(self._store, changed, self._suffixes), describe)
        former.remember(inside)
        return True

    def _begin(self, rules: str, *, unfinished: bool) -> None:
        """Drop what was described by other rules; keep what an interrupted run with these rules has
        described.
        """
        if not unfinished:
            remember_all(self._database)
        # Few files are pages, or no posts at all: these are described again.
        for table in ("pages", "unread") if unfinished else TABLES:
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - fixed names
        self._note_state(_UNFINISHED, rules)
        self._database.commit()

    def _describe_all(self, head: Version, describe: Describe, early: ReadableFiles | None) -> None:
        """Describe every file in batches; batches that are done are kept if this is interrupted."""
        known = dict[str, str](self._database.execute("SELECT path, blob FROM posts"))
        if known or early is None or not early.narrow(self._suffixes):
            files = found_files(self._store, self._folder, head)
            if known:
                wanted = dict(files)
                stale = (path for path, blob in known.items() if wanted.get(path) != blob)
                forget(self._database, stale, self._own)
                files = (each for each in wanted.items() if known.get(each[0]) != each[1])
            early = ReadableFiles(self._store, files, self._suffixes)
        self._learn(early, describe, then=self._database.commit)
        forget_unchanged(self._database)
        release_memory()

    def removed(self, at: Version) -> Iterator[tuple[str, Removal]]:
        """Files of posts that were removed on the way to ``at``, the newest first, by the paths at
        which Pelican found them.
        """
        linked = self._store.links(self._folder, at)
        for removal in self._store.removals([self._folder, *linked.values()], at):
            for path in places_of(removal.path, self._folder, linked):
                yield path, removal

    def _learn(
        self,
        files: ReadableFiles,
        describe: Describe,
        *,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Describe files and store the result; ``then`` is called after each batch."""
        count, reported = 0, time.monotonic()
        ahead: deque[tuple[int, Future[list[IndexedPost | ReservedPage | Unread | None]]]] = deque()
        batches = self._batches(files)
        while True:
            # The site describes some files while others are stored.
            while len(ahead) < _AHEAD and (batch := next(batches, None)):
                ahead.append((len(batch), describe(batch)))
            if not ahead:
                return
            size, described = ahead.popleft()
            found = described.result()
            insert(self._database, found, self._own)
            then()
            count += size
            self.described = count
            if (now := time.monotonic()) - reported >= _LOG_EVERY:
                reported = now
                log.info("indexing the site's posts: %d files so far", count)

    def _batches(self, files: ReadableFiles) -> Iterator[list[Source]]:
        """The files in batches."""
        batch, size = list[Source](), 0
        for source in files:
            batch.append(source)
            size += len(source.data)
            if len(batch) >= self._batch or (size >= _BATCH_BYTES and len(batch) >= _LEAST):
                yield batch
                batch, size = [], 0
        if batch:
            yield batch
