"""Former addresses of posts that were moved by hand, as the index has seen them.

An app that was told an address goes on using it. Where an app moves a post, the file itself says
where it was (``aliases`` in the ``Mf2`` line); where its owner edits the slug, renames the file or
changes the site's URLs, only a comparison of the index before and after shows it.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bridge.posts.index_tables import stored
from bridge.store import BlobId, ContentStore, Difference

#: Of more files than this, only those that were renamed without an edit are recognised.
_MOST_COMPARED = 50
#: The part of a file's text that stays the same in one that is the same post, as in git.
_ALIKE = 0.5
#: Lines that do not tell one post from another: what the bridge writes at each edit, and headers
#: that many posts have in common. In a short note they would be half of the file.
_COMMON = re.compile(
    rb":?(mf2|modified|category|tags|keywords|authors?|status|lang|template)\s*:", re.IGNORECASE
)
#: If more posts than this move at once, their files are left alone.
_MOST_AT_ONCE = 100


class MovedPost(NamedTuple):
    """A post that was moved by hand: its file, its former address (in the form of
    :func:`~bridge.posts.addresses.canonical`), and its former output path.
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


@dataclass(frozen=True, slots=True)
class FormerAddresses:
    """Where the posts of some files were, before the index forgets it."""

    database: sqlite3.Connection
    store: ContentStore
    places: Sequence[_Place]

    @classmethod
    def before(
        cls, database: sqlite3.Connection, store: ContentStore, changed: Sequence[Difference]
    ) -> FormerAddresses:
        """The present places of the posts in changed and removed files."""
        columns = "path, address, save_as, status IN ('published', 'hidden'), blob"
        query = f"SELECT {columns} FROM posts WHERE path = ?"  # noqa: S608 - fixed names
        paths = (stored(each.path) for each in changed if each.old)
        rows = (database.execute(query, (path,)).fetchone() for path in paths)
        return cls(database, store, [_Place(*row) for row in rows if row is not None])

    def remember(self, changed: Sequence[Difference]) -> None:
        """Note the former address of every post that is elsewhere now."""
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
                # The file is used again for another post, which was never there.
                self.database.execute("DELETE FROM former WHERE path = ?", (path,))
        few = len(moved) <= _MOST_AT_ONCE
        self.database.executemany(
            "INSERT OR REPLACE INTO former VALUES (?, ?, ?, ?)",
            [(each.address, path, each.save_as, each.public and few) for path, each in moved],
        )
        # Who removes an alias that was there wants no redirect.
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
    """Note the address of every post, before the site's settings give them others."""
    database.execute(
        "INSERT OR IGNORE INTO former SELECT address, path, save_as, 0 FROM posts"
        " WHERE status != 'draft'"
    )


def forget_unchanged(database: sqlite3.Connection) -> None:
    """Drop the addresses at which the posts still are."""
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
    """The part of the longer of two files that is in both, by its lines."""
    same = sum(len(line) * count for line, count in (one & other).items())
    whole = max(sum(len(line) * count for line, count in each.items()) for each in (one, other))
    return same / whole if whole else 1.0
