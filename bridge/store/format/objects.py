"""Git's objects as bytes: their ids, trees, and commits.

Nothing here touches a disk. GitPython's own writers do not sync what they write, so the store
writes objects itself; what stands here is only as much of git's format as that takes.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["commit", "tree", "blob"]

FOLDER = b"40000"
FILE = b"100644"
EXECUTABLE = b"100755"
#: The modes that are files with bytes of their own: not symlinks, submodules or folders.
FILE_MODES = frozenset({b"100644", b"100755", b"100664"})


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """What a tree holds under a name: the file mode as git writes it, and the object's id."""

    mode: bytes
    oid: bytes

    @property
    def is_folder(self) -> bool:
        """Whether this is another tree."""
        return self.mode == FOLDER

    @property
    def is_file(self) -> bool:
        """Whether this is a plain file, and not a symlink or a submodule."""
        return self.mode in FILE_MODES


class Listing:
    """The entries of one folder, in git's order. Never changed: :meth:`replaced` makes a new one.

    Each entry is kept as the bytes that a tree has for it, so that a folder of thousands of posts
    with one more is copied and joined, and not taken apart.
    """

    __slots__ = ("_keys", "_records")

    def __init__(self, keys: list[bytes], records: list[bytes]) -> None:
        self._keys = keys
        self._records = records

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, name: bytes) -> TreeEntry | None:
        """What is under a name."""
        place = self._find(name)
        return None if place is None else _entry(self._records[place], len(name))

    def items(self) -> Iterator[tuple[bytes, TreeEntry]]:
        """Every name with what is under it."""
        for key, record in zip(self._keys, self._records, strict=True):
            name = key.removesuffix(b"/")
            yield name, _entry(record, len(name))

    def replaced(self, name: bytes, entry: TreeEntry | None) -> Listing:
        """The folder with something else, or (``None``) nothing, under a name."""
        keys, records = self._keys.copy(), self._records.copy()
        place = self._find(name)
        if place is not None:
            del keys[place], records[place]
        if entry is not None:
            key = _key(name, entry.mode)
            place = bisect_left(keys, key)
            keys.insert(place, key)
            records.insert(place, b"%s %s\0%s" % (entry.mode, name, entry.oid))
        return Listing(keys, records)

    def differing(self, other: Listing) -> set[bytes]:
        """The names under which the two folders hold something else."""
        records = set(self._records).symmetric_difference(other._records)
        return {record[record.index(b" ") + 1 : record.index(b"\0")] for record in records}

    def data(self) -> bytes:
        """The bytes of the tree."""
        return b"".join(self._records)

    def _find(self, name: bytes) -> int | None:
        for key in (name, name + b"/"):
            place = bisect_left(self._keys, key)
            if place < len(self._keys) and self._keys[place] == key:
                return place
        return None


EMPTY = Listing([], [])


def _key(name: bytes, mode: bytes) -> bytes:
    """What git sorts by: a folder as if its name ended in a slash."""
    return name + b"/" if mode == FOLDER else name


def _entry(record: bytes, length: int) -> TreeEntry:
    """What a record ``mode name NUL id`` says, the length of the name being known."""
    space = record.index(b" ")
    return TreeEntry(record[:space], record[space + length + 2 :])


@dataclass(frozen=True, slots=True)
class Object:
    """One object that is to be written. ``like`` is another one that is much the same."""

    kind: Kind
    oid: bytes
    data: bytes
    like: bytes | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """How a repo names its objects: ``sha1``, or ``sha256``."""

    algorithm: str = "sha1"

    @property
    def width(self) -> int:
        """The number of bytes of an id."""
        return 32 if self.algorithm == "sha256" else 20

    def digest(self, data: bytes) -> bytes:
        """The repo's hash of some bytes."""
        return hashlib.new(self.algorithm, data, usedforsecurity=False).digest()

    def object(self, kind: Kind, data: bytes) -> Object:
        """An object with the id that git gives to it."""
        name = hashlib.new(self.algorithm, b"%s %d\0" % (kind.encode(), len(data)))
        name.update(data)
        return Object(kind, name.digest(), data)

    def tree(self, listing: Listing, before: bytes | None = None) -> Object:
        """A folder as an object. ``before`` is the id of the folder that it is a change of."""
        return replace(self.object("tree", listing.data()), like=before)

    def listing(self, data: bytes) -> Listing:
        """The folder that the bytes of a tree describe."""
        keys: list[bytes] = []
        records: list[bytes] = []
        start, width = 0, self.width
        while start < len(data):
            end = data.index(b"\0", start)
            mode, _, name = data[start:end].partition(b" ")
            after = end + 1 + width
            keys.append(_key(name, mode))
            records.append(data[start:after])
            start = after
        return Listing(keys, records)

    def commit(
        self, tree: bytes, parents: Iterable[bytes], author: str, committer: str, message: str
    ) -> Object:
        """A commit. ``author`` and ``committer`` are ``Name <address> seconds zone``."""
        lines = [f"tree {tree.hex()}"]
        lines += [f"parent {parent.hex()}" for parent in parents]
        lines += [f"author {author}", f"committer {committer}", "", _message(message)]
        return self.object("commit", "\n".join(lines).encode("utf-8", "replace"))


def _message(text: str) -> str:
    """A commit message as git keeps it: no NUL, one newline at its end."""
    return text.replace("\0", "").rstrip("\n") + "\n"
