"""Finds, lists, compares and changes files in nested trees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from bridge.store import FileChanged, StoreError
from bridge.store.format.object_database import ObjectDatabase
from bridge.store.format.objects import EMPTY, FOLDER, Format, Listing, Object, TreeEntry


def check_path(path: str) -> None:
    """Raise :class:`StoreError` where a path is not a file's place inside a repo.

    The one who chooses a path chooses a good one; this is the last fence before the disk.
    """
    # git fsck: no empty name, no "." or "..", no ".git" in any case, none that Windows or macOS
    # would read as ".git" (a trailing dot or space, "git~1").
    for name in path.split("/"):
        plain = name.lower().rstrip(". ")
        if not plain or plain in {".git", "git~1"} or "\0" in name or "\\" in name:
            raise StoreError(f"{path!r} cannot be the path of a file in a repo")


def is_below(path: str, folder: str) -> bool:
    """Whether a path is inside a folder; everything is inside ``""``."""
    return not folder or path.startswith(folder.rstrip("/") + "/")


def find(database: ObjectDatabase, tree: bytes, path: str) -> TreeEntry | None:
    """What is at a path: a file, a folder, a symlink; ``None`` where nothing is."""
    entry = TreeEntry(FOLDER, tree)
    for name in os.fsencode(path).split(b"/"):
        if not entry.is_folder:
            return None
        below = database.tree(entry.oid).get(name)
        if below is None:
            return None
        entry = below
    return entry


def walk(
    database: ObjectDatabase, tree: bytes, prefix: bytes = b""
) -> Iterator[tuple[str, TreeEntry]]:
    """Every file below a tree, by path. Git's order of trees makes this sorted by itself."""
    for name, entry in database.tree(tree).items():
        if entry.is_folder:
            yield from walk(database, entry.oid, prefix + name + b"/")
        elif entry.is_file:
            yield os.fsdecode(prefix + name), entry


def compare(
    database: ObjectDatabase, old: bytes | None, new: bytes | None, prefix: bytes = b""
) -> Iterator[tuple[str, TreeEntry | None, TreeEntry | None]]:
    """Everything but folders that differs between two trees; equal folders are not looked into."""
    if old == new:
        return
    before = database.tree(old) if old else EMPTY
    after = database.tree(new) if new else EMPTY
    for name in sorted(before.differing(after)):
        was, now = before.get(name), after.get(name)
        yield from compare(database, _folder(was), _folder(now), prefix + name + b"/")
        leaf_was, leaf_now = _leaf(was), _leaf(now)
        if leaf_was != leaf_now:
            yield os.fsdecode(prefix + name), leaf_was, leaf_now


def _folder(entry: TreeEntry | None) -> bytes | None:
    return entry.oid if entry and entry.is_folder else None


def _leaf(entry: TreeEntry | None) -> TreeEntry | None:
    return None if entry and entry.is_folder else entry


@dataclass
class _Folder:
    """A folder that is being changed, what it was, and those below it that are changed."""

    listing: Listing
    oid: bytes | None = None
    below: dict[bytes, _Folder] = field(default_factory=dict)


class TreeEditor:
    """A tree with some files changed. Only the folders along their paths are read and rewritten."""

    def __init__(self, database: ObjectDatabase, fmt: Format, tree: bytes | None) -> None:
        self._database = database
        self._format = fmt
        self._root = _Folder(database.tree(tree), tree) if tree else _Folder(EMPTY)

    def get(self, path: str) -> TreeEntry | None:
        """What is at a path now."""
        folder, name = self._go(path, make=False)
        return folder.listing.get(name) if folder else None

    def put(self, path: str, entry: TreeEntry) -> None:
        """Write a file. Raises :class:`FileChanged` where a folder is in its place, or a file
        in the place of a folder above it."""
        folder, name = self._go(path, make=True)
        present = folder.listing.get(name) if folder else None
        if folder is None or name in folder.below or (present and present.is_folder):
            raise FileChanged(path)
        folder.listing = folder.listing.replaced(name, entry)

    def remove(self, path: str) -> None:
        """Delete a file."""
        folder, name = self._go(path, make=False)
        if folder:
            folder.listing = folder.listing.replaced(name, None)

    def write(self) -> tuple[bytes, list[Object]]:
        """The new tree's id, and the tree objects that have to be written."""
        objects: list[Object] = []
        return self._write(self._root, objects), objects

    def _go(self, path: str, *, make: bool) -> tuple[_Folder | None, bytes]:
        """The folder of a file, and the file's name; ``None`` where there is no such folder, or
        (``make``) where there cannot be one."""
        *folders, name = os.fsencode(path).split(b"/")
        current = self._root
        for folder in folders:
            if folder not in current.below:
                entry = current.listing.get(folder)
                if entry is None and make:
                    current.below[folder] = _Folder(EMPTY)
                elif entry is None or not entry.is_folder:
                    return None, name
                else:
                    current.below[folder] = _Folder(self._database.tree(entry.oid), entry.oid)
            current = current.below[folder]
        return current, name

    def _write(self, folder: _Folder, objects: list[Object]) -> bytes:
        for name, below in folder.below.items():
            oid = self._write(below, objects)
            # Git knows no empty folders.
            entry = TreeEntry(FOLDER, oid) if len(below.listing) else None
            folder.listing = folder.listing.replaced(name, entry)
        tree = self._format.tree(folder.listing, folder.oid)
        self._database.remember(tree.oid, folder.listing)
        if len(folder.listing) or folder is self._root:
            objects.append(tree)
        return tree.oid
